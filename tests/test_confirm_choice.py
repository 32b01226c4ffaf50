"""Which configurations `confirm` takes: different ones, named ones, the smallest at a target."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from conftest import Cli
from finished_studies import Stub, Trials, finished_study
from omegaconf import OmegaConf
from sweeping import STORAGE

from cifar_arch.compose import compose
from cifar_arch.device import cores
from cifar_arch.search import worker
from cifar_arch.search.storage import open_storage

pytestmark = pytest.mark.usefixtures("here")


@pytest.fixture
def training(monkeypatch: pytest.MonkeyPatch) -> Stub:
    stub = Stub(lambda _: 0.8)
    monkeypatch.setattr(worker, "run_config", stub)
    return stub


SEEDS: Trials = (
    ("model.width=8 seed=0", 0.90),
    ("model.width=8 seed=1", 0.70),
    ("model.width=9 seed=0", 0.84),
    ("model.width=9 seed=1", 0.86),
)


@pytest.mark.slow
def test_equal_networks_are_confirmed_once_with_distinct_seeds(training: Stub, cli: Cli) -> None:
    finished_study(SEEDS, "training.threads=7")  # the share that their workers had
    done = cli("confirm", "s", "--top", "3", "--seeds", "2")
    assert done.status == 0
    assert {c["training"]["threads"] for _, _, c in training.calls} == {cores()}
    assert training.trained == [(2, 0), (2, 1), (0, 0), (0, 1)]
    assert [c["model"]["width"] for _, _, c in training.calls] == [9, 9, 8, 8]
    assert done.out.startswith("study s: networks: 2, seeds for each: 2, ")
    assert " 85.00% " in done.out  # the mean in the study
    winner = OmegaConf.load("outputs/sweeps/s/experiment/winner.yaml")
    assert "seed" not in winner
    assert compose(["+experiment=winner", "seed=7"], "outputs/sweeps/s")["seed"] == 7


@pytest.mark.slow
@pytest.mark.parametrize("key", ["training.epochs", "data.validation"])
def test_what_is_equal_on_the_full_schedule_is_trained_once(key: str, training: Stub, cli: Cli) -> None:
    finished_study(((f"{key}=5", 0.5), (f"{key}=10", 0.6), ("model.width=9", 0.4)))
    assert cli("confirm", "s", "--top", "2", "--seeds", "1").status == 0
    assert training.trained == [(1, 0), (2, 0)]


WIDTHS: Trials = tuple((f"model.width={n}", a) for n, a in ((8, 0.5), (16, 0.6), (24, 0.7), (12, None)))


def test_a_trial_is_confirmed_by_its_number(training: Stub, cli: Cli) -> None:
    finished_study(WIDTHS, "seed=4")
    done = cli("confirm", "s", "--trial", "1", "--trial", "0", "1", "--seeds", "1")
    assert done.status == 0
    assert training.trained == [(1, 0), (0, 0)]
    assert "the first trial named is the winner" in done.out
    winner = compose(["+experiment=winner"], "outputs/sweeps/s")
    assert (winner["model"]["width"], winner["seed"]) == (16, 4)


def test_one_of_the_front_is_confirmed(training: Stub, cli: Cli) -> None:
    finished_study(WIDTHS, objectives=("accuracy", "params"))
    assert cli("confirm", "s", "--trial", "0", "--seeds", "1").status == 0
    assert (
        cli("confirm", "s", "--prefer", "smallest", "--target", "0.6", "--top", "1", "--seeds", "1").status
        == 0
    )
    assert training.trained == [(0, 0), (1, 0)]


TARGETS: list[dict[str, Any]] = [
    {"typed": ["0.5"], "first": 0, "says": "reach the target of 50% on average: trial 0"},
    {"typed": ["0.65"], "first": 2, "says": "reach the target of 65% on average: trial 2"},
    {
        "typed": ["0.9"],
        "first": 2,
        "says": "none reaches 90% on the validation images: the best is 20.00 points below, "
        "and accuracy ranks them instead; --target 0.7 sets another\n",
    },
    {"typed": [], "first": 2, "says": "none reaches 85% on the validation images: the best is 15.00"},
]


@pytest.mark.parametrize("case", TARGETS, ids=lambda case: str(case["typed"]))
def test_smallest_at_a_target(case: dict[str, Any], training: Stub, cli: Cli) -> None:
    finished_study(WIDTHS)
    target = ["--target", *case["typed"]] if case["typed"] else []
    done = cli("confirm", "s", "--prefer", "smallest", "--top", "1", "--seeds", "1", *target)
    assert done.status == 0
    assert training.trained == [(case["first"], 0)]
    assert case["says"] in done.out
    assert "synthetic" not in done.out


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
def test_what_is_no_choice_is_refused(typed: str, says: str, cli: Cli) -> None:
    finished_study(WIDTHS)
    done = cli("confirm", "s", *typed.split())
    assert done.status == 2
    assert says in done.err


def test_a_trial_that_repeats_another_is_refused_by_its_name(cli: Cli) -> None:
    finished_study(WIDTHS)
    study = optuna.load_study(study_name="s", storage=open_storage(STORAGE))
    attrs = {"role": "replayed", "replays": 1}
    study.add_trial(optuna.trial.create_trial(value=0.6, user_attrs=attrs))
    done = cli("confirm", "s", "--trial", "4")
    said = (
        "--trial: expected a completed trial of the study, got 4 (it is replayed, equal to trial 1); choose "
    )
    assert (done.status, done.err) == (2, f"{said}from 0, 1, 2\n")


def test_smallest_without_any_target_is_refused(cli: Cli) -> None:
    finished_study(WIDTHS, "limits=none")
    done = cli("confirm", "s", "--prefer", "smallest")
    assert done.status == 2
    assert done.err.startswith(
        "prefer: smallest takes the fewest parameters among those that reach a target, "
    )


@pytest.mark.parametrize("place", [Path.rename, shutil.copytree])
def test_outputs_may_be_moved_or_copied(place: Callable[[Path, str], Any], training: Stub, cli: Cli) -> None:
    finished_study((("model.width=9", 0.4),))
    place(Path("outputs"), "moved")
    done = cli("confirm", "s", "--outputs", "moved", "--seeds", "1")
    assert (done.status, done.err) == (0, "")
    assert "--config-dir moved/sweeps/s +experiment=winner" in done.out
    assert not Path("outputs/sweeps/s/experiment").exists()  # of a copy the original is left alone
