"""Composition of the points of a space: as Hydra does it, and faster."""

import random
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from optuna.distributions import CategoricalDistribution
from sweeping import broken

from cifar_arch.compose import plain
from cifar_arch.feasibility import FORMS
from cifar_arch.overrides import CONF, expanded
from cifar_arch.provenance import flatten
from cifar_arch.record import EXECUTION
from cifar_arch.saved_config import experiment_text
from cifar_arch.schema import ConfigError
from cifar_arch.search.candidate import Candidate
from cifar_arch.search.composer import Composer, read_space
from cifar_arch.search.space import ALIASES, Point, Space, overrides

SPACES = sorted(path.stem for path in (CONF / "search").glob("*.yaml"))
DESIGN = (
    "block@model.c3=plain,dilated",
    "block@model.c4=separable,plain",
    "downsample@model.t1=strided,dilated",
    "downsample=strided,dilated",
    "model.width=16,24,auto",
    "model.depth=1,[1,2,2,1]",
)
# Overrides of a sweep, full keys.
COMMANDS = [
    *([f"+search={name}"] for name in SPACES),
    list(DESIGN),
    ["training=standard,adamw", "training.lr=0.1,0.2", "training.label_smoothing=0,0.1"],
    ["block@model.c3=dilated,dilated_residual", "model.c3.dilation=2,3", "model.c3.layers=range(1,4)"],
    ["augment=eva6,reference", "augment.coarse_dropout.p=0.1,0.2", "seed=1,2,3", "limits=eva6,none"],
    ["model=c1c2c3c4,reference", "model.activation=relu,silu"],
    ["+experiment=reference", "++training.lr=0.1,0.2", "training.epochs=2,3"],
    ["block@model.c1=dilated,separable", "++model.c1.dilation=2,3"],
]


@pytest.fixture(autouse=True)
def hydra() -> Iterator[None]:
    with initialize_config_dir(str(CONF), job_name="cifar_arch"):
        yield


def composer(command: list[str]) -> Composer:
    single = [text for text in command if text.startswith("+search")]
    base = hydra_compose("config", single, return_hydra_config=True)
    space, fixed = read_space(base.hydra.sweeper.params, command)
    return Composer(lambda chosen: hydra_compose("config", chosen, return_hydra_config=True), fixed, space)


def samples(space: Space, count: int, seed: int = 0) -> list[Point]:
    rng = random.Random(seed)
    return [space.sample(rng) for _ in range(count)]


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_points_are_composed_as_by_hydra(command: list[str]) -> None:
    made = composer(command)
    for point in samples(made.space, 8):
        config = made.config_at(point)
        like = plain(hydra_compose("config", [*made.fixed, *overrides(point)]))
        assert config == like
        flat, like = dict(flatten(config)), dict(flatten(like))
        assert {k: type(v) for k, v in flat.items()} == {k: type(v) for k, v in like.items()}


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", [*COMMANDS, ["model.width=4,6", "training.lr=${oc.env:RATE}"]], ids=" ".join
)
def test_jobs_have_the_config_that_hydra_gives_them(
    command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RATE", "0.5")
    made = composer(command)
    for point in samples(made.space, 4):
        point |= {"study": "named-1", "trial.number": 7, "training.threads": 2}
        job = made.job_at(point)
        like = hydra_compose("config", [*made.fixed, *overrides(point)], return_hydra_config=True)
        assert OmegaConf.to_container(job) == OmegaConf.to_container(like)  # interpolations as they are
        assert OmegaConf.is_struct(job)
        job.hydra.runtime.output_dir = job.model.activation = "changed"
        assert OmegaConf.to_container(made.job_at(point)) == OmegaConf.to_container(like)


@pytest.mark.slow
def test_hydra_composes_each_choice_once_and_no_single_value() -> None:
    """So that a judgement takes 0.4 ms on an idle core."""
    made = composer(["+search=blocks"])
    points = samples(made.space, 300)
    load, composed = made.load, []

    def counted(chosen: list[str]) -> DictConfig:
        composed.append(tuple(chosen))
        return load(chosen)

    made.load = counted
    for point in points:
        made.config_at(point)
    assert len(composed) == len(set(composed)) < 100
    composed.clear()
    for point in points:
        made.assess({**point, "model.width": 24})
    assert composed == []


def test_values_that_hang_on_others_are_composed_by_hydra() -> None:
    made = composer(["training.epochs=3,6", "training.batch_size=${training.epochs}"])
    assert made.config_at({"training.epochs": 6})["training"]["batch_size"] == 6


SPACE_ERRORS = {
    "model.width=range(4,4)": "width: range(4,4) cannot be searched (An Optuna range sweep must contain at ",
    "model.width=interval(4": "the space cannot be read: 'model.width=interval(4': cannot be read; ",
    "model.width=interval(8,4)": "width: interval(8,4) cannot be searched (",
    "seed=tag(lag,range(1,3))": "seed: the only tag is log, got lag in tag(lag,range(1,3)); type tag(",
    "training.lr=range(1,2,0)": "training.lr: range(1,2,0) cannot be searched (An Optuna range sweep ",
    "model.width=glob(*)": "the space cannot be read: model.width: glob(*) takes options, and this is no gr",
    "block@model.c3=glob(x*)": "the space cannot be read: block@model.c3: glob(x*) matches none of ",
    "+search=blocks,recipe": "search: cannot be swept, for a search is one study, got blocks,recipe; choose",
    "~training.clip=1,2": "training.clip: cannot be swept, for it holds for a sweep as a whole, got 1,2; ",
    "hydra/sweeper/sampler=tpe,gp": "sampler: cannot be swept, for it holds for a sweep as a ",
}


@pytest.mark.parametrize(("typed", "start"), SPACE_ERRORS.items())
def test_what_is_no_space_is_a_sentence(typed: str, start: str) -> None:
    with pytest.raises(ConfigError) as error:
        read_space(None, [typed])
    assert str(error.value).startswith(start)
    assert "\n" not in str(error.value)


def test_a_typed_key_pins_or_replaces_the_one_of_a_named_space() -> None:
    params = {"model.width": "choice(8,16)", "model.depth": "choice(1,2)"}
    space, fixed = read_space(params, ["model.width=24", "+search=x"])
    assert list(space.distributions) == ["model.depth"]
    assert fixed == ["model.width=24", "+search=x"]
    space, fixed = read_space(params, ["model.width=range(4,6)"])
    assert space.size() == 2 * 2
    assert fixed == []


def test_of_two_arguments_the_later_one_counts() -> None:
    assert read_space(None, ["model.width=8,16", "model.width=24"])[1] == ["model.width=24"]
    space, fixed = read_space(None, ["model.width=24", "model.width=8,16"])
    assert (space.size(), fixed) == (2, [])
    with pytest.raises(ConfigError, match=r"^width: is swept twice, got .*=8,16 and .*=4,6; type all its v"):
        read_space(None, ["model.width=8,16", "model.width=4,6"])


def test_params_may_hold_aliases_and_any_value() -> None:
    space, fixed = read_space({"c3": "glob(dil*)", "training.clip": None, "depth": [1, 2, 2, 1]}, [])
    (choice,) = space.distributions.values()
    assert isinstance(choice, CategoricalDistribution)
    assert choice.choices == ("dilated", "dilated_residual")
    assert fixed == ["training.clip=null", "model.depth=[1,2,2,1]"]


# What is typed: the options that it stands for.
GLOBS = {
    "c3=glob(*)": FORMS,
    "c3=glob([dil*,plain*],exclude=*residual)": ("dilated", "plain"),
    "downsample=glob(*)": ("dilated", "dilated_separable", "strided", "strided_separable"),
    "+experiment=glob(*)": ("fastest", "reference"),
}


@pytest.mark.parametrize(("typed", "options"), GLOBS.items())
def test_a_glob_is_every_option_of_its_name(typed: str, options: Iterable[str]) -> None:
    space, _ = read_space(None, [expanded(typed)])
    (choice,) = space.distributions.values()
    assert isinstance(choice, CategoricalDistribution)
    assert choice.choices == tuple(sorted(options))


BESTS: list[tuple[list[str], dict[str, Any]]] = [
    ([], {"model.width": 12}),
    (["seed=3", "limits=none", "augment.grayscale.p=0.5"], {"block@model.c3": "plain", "model.width": 6}),
    (
        ["training=adamw"],
        {"block@model.c4": "plain", "downsample": "dilated", "downsample@model.t2": "strided"},
    ),
    ([], {"model": "reference", "training": "reference"}),
    (["+experiment=reference"], {"training.lr": 0.05}),
    (["+cluster=gpus"], {"model.width": 12}),
    (["+search=quickstart"], {"block@model.c3": "dilated", "model.width": 16}),
    (["data=shapes"], {"model.depth": "[1,2,2,1]", "model.c3.layers": 3, "training.clip": 1.5}),
]


def without_execution(config: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in flatten(config) if key not in EXECUTION}


@pytest.mark.parametrize(("fixed", "point"), BESTS)
def test_the_best_config_gives_the_same_again(fixed: list[str], point: Point, tmp_path: Path) -> None:
    path = tmp_path / "experiment" / "best.yaml"
    path.parent.mkdir()
    composed = hydra_compose("config", [*fixed, *overrides(point)], return_hydra_config=True)
    path.write_text(experiment_text(composed, composed.hydra, tmp_path, "best"), encoding="utf-8")
    again = hydra_compose("config", [f"hydra.searchpath=[file://{tmp_path}]", "+experiment=best"])
    assert without_execution(plain(again)) == without_execution(plain(composed))
    assert not EXECUTION & {key for key, _ in flatten(OmegaConf.to_container(OmegaConf.load(path)))}  # type: ignore[arg-type]


def test_the_aliases_are_those_of_the_config() -> None:
    aliases = hydra_compose("config", return_hydra_config=True).hydra.aliases
    assert {key: name for name, key in aliases.items() if not key.startswith("hydra/")} == ALIASES


def test_every_value_is_looked_at_once_before_a_sweep() -> None:
    space = Space({"a": CategoricalDistribution([1, 2, 3]), "b": CategoricalDistribution(["x", "y"])})
    points = list(space.each_value())
    assert {point["a"] for point in points} == {1, 2, 3}
    assert {point["b"] for point in points} == {"x", "y"}
    assert len(points) == 4


def test_the_excess_is_in_parts_of_each_limit() -> None:
    def excess(rule: str, limit: int, actual: int) -> float:
        return Candidate(
            key="", configuration="", violations=(broken(rule, limit, actual),), totals={}
        ).excess

    assert excess("params", 100, 100) > 0  # the limit itself is outside
    assert excess("params", 200_000, 210_000) < excess("receptive_field", 44, 30)
