"""The options of a sweep, and the keys that it cannot sweep."""

from pathlib import Path
from typing import Any, get_args

import pytest
from conftest import Cli
from hydra import compose as hydra_compose
from omegaconf import OmegaConf
from optuna.distributions import CategoricalDistribution, IntDistribution

from cifar_arch.compose import compose, composing
from cifar_arch.record import EXECUTION, ObjectiveName
from cifar_arch.schema import ConfigError
from cifar_arch.search.composer import fixed_keys, read_space
from cifar_arch.search.objectives import OBJECTIVES
from cifar_arch.search.options import Options, fingerprint, readable_name, refuse_unswept
from cifar_arch.search.space import Space

UNSWEPT = {
    "study=a,b": "study: cannot be swept, because it changes nothing in what a trial computes, got a, b; ",
    "n_trials=range(1,3)": "n_trials: cannot be swept, because it changes nothing in what a trial computes, "
    "got a range; choose one value for all trials",
    "objectives=[accuracy],[params]": "objectives: cannot be swept, because it changes nothing in what a "
    "trial computes, got [accuracy], [params]; choose one value for all trials",
    "objectives=accuracy,params": "objectives: cannot be swept, because it changes nothing in what a trial "
    "computes, got accuracy, params; type 'objectives=[accuracy,params]'",
    "gpus=0,1": "gpus: cannot be swept, because it changes nothing in what a trial computes, got 0, 1; "
    "type 'gpus=[0,1]'\n",
    "plugins=a.py,b/c.py": "plugins: cannot be swept, because it changes nothing in what a trial computes, "
    "got a.py, b/c.py; type 'plugins=[a.py,b/c.py]'\n",
    "sampler=tpe,random": "sampler: cannot be swept, ",
    "pruner=median,none": "pruner: cannot be swept, ",
    "hydra.sweeper.n_jobs=1,2": "hydra.sweeper.n_jobs: cannot be swept, ",
    "hydra/launcher=basic,joblib": "hydra/launcher: cannot be swept, ",
    "trial.number=1,2": "trial.number: cannot be swept, ",
}


@pytest.mark.parametrize(("typed", "start"), UNSWEPT.items())
def test_keys_of_the_sweep_itself_are_refused(typed: str, start: str, cli: Cli) -> None:
    done = cli("check", "-m", typed, "width=16,24")
    assert done.status == 2
    assert done.err.startswith(start)
    assert done.err.count("\n") == 1


MISTAKES = {
    "study='12'": "study: '12' would be read as a number; choose another name",
    "hydra.launcher=null": "hydra.launcher: expected the options of a launcher, got null; leave it out",
    "hydra.sweeper.sampler=null": "hydra.sweeper.sampler: expected the options of a sampler, got null",
    "data.validation=0": "data.validation: a search chooses by validation images, got 0; "
    "type data.validation=5000",
    "data.validation=5000,0": "data.validation: a search chooses by validation images, got 0; "
    "type data.validation=5000",
    "++read_test=true": "read_test: a sweep chooses by validation images alone, got true; "
    "type python -m cifar_arch.confirm STUDY after it",
    "study=-x": "study: expected a name of at most 100 letters (a to z, A to Z), digits, '.', '_' and '-', "
    "beginning with a letter, a digit or '_', got '-x'",
    "hydra.sweep.dir=elsewhere": "hydra.sweep.dir: a trial's folder is always OUTPUTS/sweeps/STUDY/NUMBER, "
    "got 'elsewhere'; type outputs=FOLDER or study=NAME to choose those",
    "hydra.sweeper.pruner.n_startup_trials=abc": "hydra.sweeper.pruner: '<' not supported between instances "
    "of 'str' and 'int'; got n_startup_trials=abc, n_warmup_steps=2",
    "sampler=grid n_trials=2 training.lr=interval(0.1,0.2)": "sampler: grid needs a finite space, got an "
    "interval; choose tpe, gp or random",
    "hydra.sweeper.params=3": "hydra.sweeper.params: expected keys with their values, got 3",
}


TOLD_BY_RUN = ("study='12'", "hydra.launcher=null", "hydra.sweeper.pruner.n_startup_trials=abc")


OF_BOTH = [
    (command, typed)
    for command in ("run", "check")
    for typed in MISTAKES
    if command == "run" or typed not in TOLD_BY_RUN
]


@pytest.mark.parametrize(("command", "typed"), OF_BOTH)
def test_a_mistake_in_the_options_of_a_sweep_is_a_sentence(
    command: str, typed: str, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = cli(command, "-m", *typed.split(), "width=3,4", "limits=none", "data=shapes")
    assert (done.status, done.err) == (2, f"{MISTAKES[typed]}\n")


def test_every_key_that_says_how_something_runs_is_refused_and_no_other() -> None:
    for key in EXECUTION:
        with pytest.raises(ConfigError, match=f"^{key}: cannot be swept"):
            refuse_unswept(Space({key: CategoricalDistribution(["a", "b"])}))
    for key in ("seed", "limits", "downsample", "model.width", "data.validation"):
        refuse_unswept(Space({key: IntDistribution(1, 2)}))


FIXED = {  # overrides with a swept one -> keys of the swept group that the fingerprint holds all the same
    "augment=none,crop augment.pad_crop.padding=12": {"augment.pad_crop.padding": 12},
    "c3=plain,dilated ++model.c3.layers=3": {"model.c3.layers": 3},
    "model=c1c2c3c4,reference ++model.activation=silu": {"model.activation": "silu"},
    "c3=plain,dilated c4=separable training=sgd": {},
    "training.epochs=1,2 training=sgd": {},
    "training=quick,fast +experiment=mine": {"training.label_smoothing": 0.3},
    "c3=plain,dilated +experiment=mine": {},
    "+search=quickstart": {},
    "+search=blocks model.width=auto": {},
}


@pytest.mark.parametrize(("typed", "held"), FIXED.items())
def test_a_key_within_a_swept_group_tells_two_sweeps_apart(
    typed: str, held: dict[str, object], tmp_path: Path
) -> None:
    """A second sweep took the trials of the first, which had another value of it."""
    (tmp_path / "experiment").mkdir()
    text = "# @package _global_\nmodel: {depth: 2}\ntraining: {label_smoothing: 0.3}\n"
    (tmp_path / "experiment" / "mine.yaml").write_text(text, encoding="utf-8")
    with composing(str(tmp_path)):
        named = [text for text in typed.split() if text.startswith("+search")]
        base = hydra_compose("config", named, return_hydra_config=True)
        space, fixed = read_space(base.hydra.sweeper.params, typed.split())
        keys = fixed_keys(fixed)
        swept = tuple(f"{key.rpartition('@')[2]}." for key in space.distributions)
        mark = fingerprint(compose(fixed), space, {}, ("accuracy",), keys)
    assert {key: value for key, value in mark.items() if f"{key}.".startswith(swept)} == held


def test_a_study_keeps_its_name_whatever_keys_come_later() -> None:
    """README quotes it. A key that is not in `record.ADDED` would give every study another name."""
    with composing():
        base = hydra_compose("config", ["+search=quickstart"], return_hydra_config=True)
        space, fixed = read_space(base.hydra.sweeper.params, ["+search=quickstart"])
        sweeper: Any = OmegaConf.to_container(base.hydra.sweeper, resolve=True)
        algorithms = {name: sweeper[name] for name in ("sampler", "pruner")}
        mark = fingerprint(compose(fixed), space, algorithms, ("accuracy",), fixed_keys(fixed))
    assert readable_name("quickstart", space, mark) == "quickstart-0f772b"


NAMED = {None: "width-", "mine": "mine-", "sub/mine": "sub-mine-", "größe": "gr--e-"}


@pytest.mark.parametrize(("search", "start"), NAMED.items())
def test_a_name_of_our_own_making_is_one_that_could_be_typed(search: str | None, start: str) -> None:
    space = Space({"model.width": IntDistribution(1, 2)})
    name = readable_name(search, space, {"a": 1})
    assert name.startswith(start)
    assert Options(storage="sqlite:///a.db", study=name).study == name


def test_every_objective_that_a_config_may_name_is_in_the_table() -> None:
    assert {*OBJECTIVES} == {*get_args(ObjectiveName), "test_accuracy"}
