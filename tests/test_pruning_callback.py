"""What a run reports to its study after each epoch, and when that prunes it. Real SQLite."""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    SuccessiveHalvingPruner,
    ThresholdPruner,
)
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from stub_sweep import row
from sweeping import close

from cifar_arch.experiment import Pruned
from cifar_arch.record import Epoch
from cifar_arch.search.objectives import OBJECTIVES
from cifar_arch.search.pruning_callback import HandedOver, PruningCallback
from cifar_arch.search.trial import trial_id


def rows(*accuracies: float | None) -> list[Epoch]:
    return [row(epoch, accuracy) for epoch, accuracy in enumerate(accuracies, 1)]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/studies.db"


@pytest.fixture
def storage(url: str) -> Iterator[RDBStorage]:
    """The storage as another process opens it."""
    made = RDBStorage(url)
    yield made
    close(made)


def callback(study: optuna.Study, url: str, pruner: BasePruner, epochs: int = 3) -> PruningCallback:
    return PruningCallback(url, "s", trial_id(study.ask()), pruner, epochs)


def test_each_epoch_is_told_once_also_after_a_resumed_start(url: str, storage: RDBStorage) -> None:
    study = optuna.create_study(storage=storage, study_name="s", direction="maximize")
    report = callback(study, url, optuna.pruners.NopPruner())
    report(rows(0.1, 0.2))  # it goes on after the second epoch of an earlier process
    report(rows(0.1, 0.2, 0.3))
    assert study.trials[0].intermediate_values == {1: 0.1, 2: 0.2, 3: 0.3}


@pytest.mark.parametrize(("objective", "prunes"), [("accuracy", True), ("params", False)])
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_a_curve_of_accuracies_prunes_no_search_for_sizes(
    objective: str, prunes: bool, url: str, storage: RDBStorage
) -> None:
    direction = OBJECTIVES[objective].direction
    study = optuna.create_study(storage=storage, study_name="s", direction=direction)
    study.set_metric_names([objective])
    report = callback(study, url, ThresholdPruner(lower=0.5))
    with pytest.raises(Pruned) if prunes else contextlib.nullcontext():
        report(rows(0.4))
    assert study.trials[0].intermediate_values == {1: 0.4}


HALVING = {
    "halving": SuccessiveHalvingPruner(min_resource=1, reduction_factor=2),
    "hyperband": HyperbandPruner(min_resource=1, max_resource=2, reduction_factor=3),  # with one bracket
}


@pytest.mark.parametrize(("pruner", "rungs"), [("halving", [0.1, 0.2, 0.4]), ("hyperband", [0.1, 0.3])])
def test_a_resumed_trial_stands_on_each_rung_with_the_value_of_its_epoch(
    pruner: str, rungs: list[float], url: str, storage: RDBStorage
) -> None:
    """Or others would be held against what it reached later."""
    study = optuna.create_study(storage=storage, study_name="s", direction="maximize")
    callback(study, url, HALVING[pruner], epochs=9)(rows(0.1, 0.2, 0.3, 0.4, 0.5))
    stored = study.trials[0].system_attrs
    assert {name: value for name, value in stored.items() if "rung" in name} == {
        f"completed_rung_{number}": value for number, value in enumerate(rungs)
    }


def test_a_resumed_trial_is_pruned_by_its_last_epoch_alone(url: str, storage: RDBStorage) -> None:
    study = optuna.create_study(storage=storage, study_name="s", direction="maximize")
    callback(study, url, ThresholdPruner(lower=0.5))(rows(0.2, 0.6))
    assert study.trials[0].intermediate_values == {1: 0.2, 2: 0.6}  # both told, and no Pruned raised


def test_a_bad_trial_is_pruned_but_not_after_its_last_epoch(url: str, storage: RDBStorage) -> None:
    study = optuna.create_study(storage=storage, study_name="s", direction="maximize")
    below_half = ThresholdPruner(lower=0.5)
    with pytest.raises(Pruned, match=r"^pruned after epoch 2 at 20\.00%$"):
        callback(study, url, below_half)(rows(0.6, 0.2))
    callback(study, url, below_half)(rows(0.6, 0.6, 0.2))


def test_what_was_never_trained_prunes_nothing(url: str, storage: RDBStorage) -> None:
    """A replayed trial repeats a curve, a rejected one has none: the median is that of trained ones."""
    study = optuna.create_study(storage=storage, study_name="s", direction="maximize")
    for value, role in [(0.5, None), (0.9, "replayed"), (0.9, "replayed")]:
        trial = study.ask()
        trial.report(value, 1)
        if role:
            trial.set_user_attr("role", role)
        study.tell(trial, value)
    median = MedianPruner(n_startup_trials=1, n_warmup_steps=0)
    callback(study, url, median)(rows(0.6))
    with pytest.raises(Pruned):
        callback(study, url, median)(rows(0.4))


@pytest.mark.parametrize("pruner", ["median", "halving"])
def test_a_trial_is_compared_with_those_of_as_many_epochs(pruner: str, url: str, storage: RDBStorage) -> None:
    """At the same epoch a shorter schedule is further on, so that every longer one would be pruned."""
    pruners = {**HALVING, "median": MedianPruner(n_startup_trials=1, n_warmup_steps=0)}
    study = optuna.create_study(storage=storage, study_name="s", direction="maximize")
    for epochs, accuracy in [(2, 0.5), (2, 0.5), (9, 0.2), (9, 0.2)]:
        callback(study, url, pruners[pruner], epochs)(rows(accuracy))
        study.tell(len(study.trials) - 1, 0.9)
    with pytest.raises(Pruned):
        callback(study, url, pruners[pruner], epochs=9)(rows(0.1))


@pytest.mark.parametrize(
    ("directions", "accuracy"), [(["maximize", "minimize"], 0.1), (["maximize"], None)], ids=str
)
def test_nothing_is_told_with_several_objectives_or_without_validation(
    url: str, storage: RDBStorage, directions: Any, accuracy: float | None
) -> None:
    study = optuna.create_study(storage=storage, study_name="s", directions=directions)
    callback(study, url, ThresholdPruner(lower=0.5))(rows(accuracy))
    assert study.trials[0].intermediate_values == {}


def test_a_trial_that_another_worker_took_ends_here(url: str, storage: RDBStorage) -> None:
    study = optuna.create_study(storage=storage, study_name="s", direction="maximize")
    report = callback(study, url, optuna.pruners.NopPruner())
    report(rows(0.1))
    study.tell(0, state=TrialState.FAIL)
    with pytest.raises(HandedOver, match=r"^its trial was given to another worker$"):
        report(rows(0.1, 0.2))


def test_a_storage_that_does_not_answer_costs_no_training(
    url: str, storage: RDBStorage, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    study = optuna.create_study(storage=storage, study_name="s", direction="maximize")
    report = callback(study, url, optuna.pruners.NopPruner())
    (tmp_path / "studies.db").rename(tmp_path / "away.db")
    (tmp_path / "studies.db").mkdir()
    with caplog.at_level(logging.ERROR):
        report(rows(0.1))
    assert "training goes on" in caplog.text
    (tmp_path / "studies.db").rmdir()
    (tmp_path / "away.db").rename(tmp_path / "studies.db")
    report(rows(0.1, 0.2))
    assert study.trials[0].intermediate_values == {1: 0.1, 2: 0.2}
