"""What a rejected candidate looks like to those that read a study; tests/test_ask.py: what samplers learn."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.samplers import BaseSampler, GPSampler, NSGAIIISampler, NSGAIISampler, TPESampler
from optuna.trial import TrialState
from sweeping import assess, broken, finish_job, open_worker, search_config

from cifar_arch.search.candidate import Candidate
from cifar_arch.search.space import Point
from cifar_arch.search.worker import Worker

pytestmark = pytest.mark.filterwarnings(
    "ignore::optuna.exceptions.ExperimentalWarning", "ignore:PedAnovaImportanceEvaluator computes"
)
SAMPLERS: dict[str, Callable[..., BaseSampler]] = {
    "tpe": functools.partial(TPESampler, n_startup_trials=2),
    "gp": functools.partial(GPSampler, n_startup_trials=20),
    "nsgaii": functools.partial(NSGAIISampler, population_size=4),
    "nsgaiii": functools.partial(NSGAIIISampler, population_size=4),
}
OBJECTIVES = {"one": ("accuracy",), "two": ("accuracy", "params")}
# "never" is never trained.
SPACE: dict[str, BaseDistribution] = {
    "kind": CategoricalDistribution(["always", "never"]),
    "x": FloatDistribution(0, 1),
}


def outside_where_never(point: Point) -> Candidate:
    found = assess({"x": 10})
    rules = (broken("kind", 0, 1),) if point["kind"] == "never" else ()
    return Candidate(key=str(point), configuration=str(point), violations=rules, totals=found.totals)


@pytest.fixture
def worked(request: pytest.FixtureRequest, tmp_path: Path) -> Worker:
    """A worker after eight trained and at least one rejected trial."""
    sampler, objectives = request.param
    wanted = search_config(tmp_path, SPACE, exhaustive=False, n_trials=8, objectives=OBJECTIVES[objectives])
    worker = open_worker(wanted, SAMPLERS[sampler](seed=2), outside_where_never)
    while job := worker.asker.ask():
        finish_job(worker, job, 0.6 + job.point["x"] / 4, params=1000)
    assert worker.shared.counts().rejected > 0
    return worker


CASES = [
    pytest.param((sampler, objectives), id=f"{sampler} {objectives}", marks=marks)
    for sampler, marks in (
        ("tpe", ()),
        ("nsgaii", pytest.mark.slow),
        ("gp", pytest.mark.slow),
        ("nsgaiii", pytest.mark.slow),
    )
    for objectives in OBJECTIVES
]


@pytest.mark.parametrize("worked", CASES, indirect=True)
def test_a_rejected_candidate_has_no_value_that_could_be_read(worked: Worker) -> None:
    study = optuna.load_study(study_name="test", storage=worked.shared.storage)
    rejected = [t for t in study.trials if t.user_attrs.get("role") == "rejected"]
    for trial in rejected:
        assert (trial.state, trial.values, trial.intermediate_values) == (TrialState.PRUNED, None, {})
        assert trial.constraints["limits"] > 0
        assert trial.user_attrs["infeasible"] == "kind: 0 is allowed, got 1"
    table = study.trials_dataframe()
    values = table[[name for name in table if str(name).startswith("value")]]
    assert values[table["params_kind"] == "never"].isna().all(axis=None)
    assert (values[table["params_kind"] == "always"].iloc[:, 0] >= 0.6).all()
    assert {t.params["kind"] for t in study.best_trials} == {"always"}
    importances = optuna.importance.get_param_importances(study, target=lambda t: -t.values[0])
    assert next(iter(importances)) == "x"


@pytest.mark.parametrize("worked", [("nsgaii", "two")], indirect=True, ids=" ".join)
def test_a_plot_of_the_front_holds_trained_trials_alone(worked: Worker) -> None:
    study = optuna.load_study(study_name="test", storage=worked.shared.storage)
    drawn = optuna.visualization.matplotlib.plot_pareto_front(study)
    points: Any = [point for part in drawn.collections for point in np.asarray(part.get_offsets())]
    assert points
    assert all(accuracy >= 0.6 and params == 1000 for accuracy, params in points)
