"""Which configurations `confirm` takes: different ones, named ones, the smallest at a target."""

import contextlib
import functools
import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from conftest import Cli
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from optuna.distributions import IntDistribution
from sweeping import STORAGE

from cifar_arch.compose import compose
from cifar_arch.device import cores
from cifar_arch.overrides import CONF
from cifar_arch.record import Status, Summary
from cifar_arch.runfolder import RunFolder
from cifar_arch.search import local
from cifar_arch.search.objectives import OBJECTIVES
from cifar_arch.search.storage import open_storage, quiet_optuna

Trained = list[tuple[str, dict[str, Any]]]
# The swept values of each trial with its validation accuracy; None for a pruned one.
Trials = list[tuple[dict[str, Any], float | None]]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where studies lie that were made once, for most tests begin with the same one."""
    return tmp_path_factory.mktemp("studies")


@pytest.fixture
def made(kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """made(trials, ...) leaves the finished study `s` in the current folder."""
    quiet_optuna()
    monkeypatch.chdir(tmp_path)

    def make(trials: Trials, *fixed: str, objectives: tuple[str, ...] = ("accuracy",)) -> None:
        place = kept / hashlib.sha256(repr((trials, fixed, objectives)).encode()).hexdigest()[:16]
        if not place.exists():
            (place / "outputs").mkdir(parents=True)
            with contextlib.chdir(place):
                _make(trials, fixed, objectives)
        shutil.copytree(place, tmp_path, dirs_exist_ok=True)

    return make


def _make(trials: Trials, fixed: tuple[str, ...], objectives: tuple[str, ...]) -> None:
    directions = [OBJECTIVES[name].direction for name in objectives]
    study = optuna.create_study(study_name="s", storage=open_storage(STORAGE), directions=directions)
    study.set_metric_names(list(objectives))
    for number, (point, accuracy) in enumerate(trials):
        _add(study, number, point, accuracy, fixed)


@functools.cache  # most tests begin with the same study
def _composed(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(CONF), job_name="cifar_arch"):
        return hydra_compose("config", list(overrides), return_hydra_config=True)


def _add(
    study: optuna.Study, number: int, point: dict[str, Any], accuracy: float | None, fixed: tuple[str, ...]
) -> None:
    folder = RunFolder(Path("outputs/sweeps/s") / str(number))
    folder.config.parent.mkdir(parents=True)
    whole = _composed(*fixed, *(f"{key}={value}" for key, value in point.items()))
    choices = {"hydra": {"runtime": {"choices": whole.hydra.runtime.choices}}}
    OmegaConf.save(OmegaConf.create(choices), folder.hydra)
    names = [str(name) for name in whole if name != "hydra"]
    OmegaConf.save(OmegaConf.masked_copy(whole, names), folder.config)
    params = 1000 * whole.model.width
    state = optuna.trial.TrialState.PRUNED if accuracy is None else optuna.trial.TrialState.COMPLETE
    values = None if accuracy is None else [accuracy, params][: len(study.directions)]
    study.add_trial(
        optuna.trial.create_trial(
            state=state,
            values=values,
            params=point,
            distributions={key: IntDistribution(0, 99_999) for key in point},
            user_attrs={"folder": str(folder.path), "params": params, "receptive_field": 50},
        )
    )


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> Trained:
    """What is trained, by trial and seed and as a config, in place of training it."""
    calls: Trained = []

    def run_config(config: dict[str, Any], path: Path, *_: Any, progress: bool, command: str) -> Summary:
        calls.append((f"{config['trial']['number']}-seed{config['seed']}", config))
        summary = Summary(status=Status.COMPLETED, test_accuracy=0.8, seconds=60.0, device="cpu")
        RunFolder(path).write_summary(summary)
        return summary

    monkeypatch.setattr(local, "run_config", run_config)
    return calls


SEEDS: Trials = [
    ({"model.width": 8, "seed": 0}, 0.90),
    ({"model.width": 8, "seed": 1}, 0.70),
    ({"model.width": 9, "seed": 0}, 0.84),
    ({"model.width": 9, "seed": 1}, 0.86),
]


@pytest.mark.slow
def test_equal_networks_are_confirmed_once_with_distinct_seeds(
    made: Callable[..., None], trained: Trained, cli: Cli
) -> None:
    made(SEEDS, "training.threads=7")  # the share that their workers had
    done = cli("confirm", "s", "--top", "3", "--seeds", "2")
    assert done.status == 0
    assert {c["training"]["threads"] for _, c in trained} == {cores()}
    assert [name for name, _ in trained] == ["2-seed0", "2-seed1", "0-seed0", "0-seed1"]
    assert [(c["model"]["width"], c["seed"]) for _, c in trained] == [(9, 0), (9, 1), (8, 0), (8, 1)]
    assert done.out.startswith("study s: networks: 2, seeds for each: 2, ")
    assert " 85.00% " in done.out  # the mean in the study
    winner = OmegaConf.load("outputs/sweeps/s/experiment/winner.yaml")
    assert "seed" not in winner
    assert compose(["+experiment=winner", "seed=7"], "outputs/sweeps/s")["seed"] == 7


@pytest.mark.parametrize("key", ["training.epochs", "data.validation"])
def test_what_is_equal_on_the_full_schedule_is_trained_once(
    key: str, made: Callable[..., None], trained: Trained, cli: Cli
) -> None:
    made([({key: 5}, 0.5), ({key: 10}, 0.6), ({"model.width": 9}, 0.4)])
    assert cli("confirm", "s", "--top", "2", "--seeds", "1").status == 0
    assert [name for name, _ in trained] == ["1-seed0", "2-seed0"]


WIDTHS: Trials = [({"model.width": n}, a) for n, a in ((8, 0.5), (16, 0.6), (24, 0.7), (12, None))]


def test_a_trial_is_confirmed_by_its_number(made: Callable[..., None], trained: Trained, cli: Cli) -> None:
    made(WIDTHS, "seed=4")
    done = cli("confirm", "s", "--trial", "1", "0", "1", "--seeds", "1")
    assert done.status == 0
    assert [name for name, _ in trained] == ["1-seed0", "0-seed0"]
    assert "the first trial named is the winner" in done.out
    winner = compose(["+experiment=winner"], "outputs/sweeps/s")
    assert (winner["model"]["width"], winner["seed"]) == (16, 4)


def test_one_of_the_front_is_confirmed(made: Callable[..., None], trained: Trained, cli: Cli) -> None:
    made(WIDTHS, objectives=("accuracy", "params"))
    assert cli("confirm", "s", "--trial", "0", "--seeds", "1").status == 0
    assert (
        cli("confirm", "s", "--prefer", "smallest", "--target", "0.6", "--top", "1", "--seeds", "1").status
        == 0
    )
    assert [name for name, _ in trained] == ["0-seed0", "1-seed0"]


TARGETS: list[dict[str, Any]] = [
    {"typed": ["0.5"], "first": "0-seed0", "says": "reach the target of 50% on average: trial 0"},
    {"typed": ["0.65"], "first": "2-seed0", "says": "reach the target of 65% on average: trial 2"},
    {
        "typed": ["0.9"],
        "first": "2-seed0",
        "says": "none reaches 90% on the validation images: the best is 20.00 points below, "
        "and accuracy ranks them instead; --target 0.7 sets another\n",
    },
    {"typed": [], "first": "2-seed0", "says": "none reaches 85% on the validation images: the best is 15.00"},
]


@pytest.mark.parametrize("case", TARGETS, ids=lambda case: str(case["typed"]))
def test_smallest_at_a_target(
    case: dict[str, Any], made: Callable[..., None], trained: Trained, cli: Cli
) -> None:
    made(WIDTHS)
    target = ["--target", *case["typed"]] if case["typed"] else []
    done = cli("confirm", "s", "--prefer", "smallest", "--top", "1", "--seeds", "1", *target)
    assert done.status == 0
    assert [name for name, _ in trained] == [case["first"]]
    assert case["says"] in done.out


REFUSED = {
    "--trial 3": "--trial: expected a completed trial of the study, got 3 (it is pruned); choose ",
    "--trial 9": "--trial: expected a completed trial of the study, got 9 (there is no such trial); ",
    "--trial x": "argument --trial: expected the number of a trial, got 'x'",
    "--trial 1 --top 2": "argument --top: not allowed with argument --trial",
    "--trial 1 --prefer smallest": "--trial: names the trials itself, got --prefer smallest as well; ",
    "--target 2": "argument --target: expected an accuracy above 0 and at most 1, got '2'",
    "--target 85%": "argument --target: expected an accuracy above 0 and at most 1, got '85%'",
}


@pytest.mark.parametrize(("typed", "says"), REFUSED.items())
def test_what_is_no_choice_is_refused(typed: str, says: str, made: Callable[..., None], cli: Cli) -> None:
    made(WIDTHS)
    done = cli("confirm", "s", *typed.split())
    assert done.status == 2
    assert says in done.err


def test_a_trial_that_repeats_another_is_refused_by_its_name(made: Callable[..., None], cli: Cli) -> None:
    made(WIDTHS)
    study = optuna.load_study(study_name="s", storage=open_storage(STORAGE))
    attrs = {"role": "replayed", "replays": 1}
    study.add_trial(optuna.trial.create_trial(value=0.6, user_attrs=attrs))
    done = cli("confirm", "s", "--trial", "4")
    said = (
        "--trial: expected a completed trial of the study, got 4 (it is replayed, equal to trial 1); choose "
    )
    assert (done.status, done.err) == (2, f"{said}from 0, 1, 2\n")


def test_smallest_without_any_target_is_refused(made: Callable[..., None], cli: Cli) -> None:
    made(WIDTHS, "limits=none")
    done = cli("confirm", "s", "--prefer", "smallest")
    assert done.status == 2
    assert done.err.startswith(
        "prefer: smallest takes the fewest parameters among those that reach a target, "
    )


@pytest.mark.parametrize("place", [Path.rename, shutil.copytree])
def test_outputs_may_be_moved_or_copied(
    place: Callable[[Path, str], Any], made: Callable[..., None], trained: Trained, cli: Cli
) -> None:
    made([({"model.width": 9}, 0.4)])
    place(Path("outputs"), "moved")
    done = cli("confirm", "s", "--outputs", "moved", "--seeds", "1")
    assert (done.status, done.err) == (0, "")
    assert "--config-dir moved/sweeps/s +experiment=winner" in done.out
    assert not Path("outputs/sweeps/s/experiment").exists()  # of a copy the original is left alone
