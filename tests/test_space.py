"""The points of a space: every value once, exactly as it is written in decimals."""

import itertools
import random
from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler
from sweeping import finish_job, open_worker, search_config

from cifar_arch.search.ask import total
from cifar_arch.search.candidate import Candidate
from cifar_arch.search.composer import read_space
from cifar_arch.search.space import Point, Space

# What is typed -> the values, in the order in which they are gone through.
VALUES: dict[str, list[Any]] = {
    "range(0.1,0.4,0.1)": [0.1, 0.2, 0.3],
    "range(0.4,0.1,-0.1)": [0.2, 0.3, 0.4],
    "range(-0.2,0.3,0.1)": [-0.2, -0.1, 0.0, 0.1, 0.2],
    "range(0,1,0.35)": [0.0, 0.35, 0.7],
    "range(1e-4,4e-4,1e-4)": [0.0001, 0.0002, 0.0003],
    "range(1,10,3)": [1, 4, 7],
    "range(5,1,-2)": [3, 5],
    "int(interval(8,11))": [8, 9, 10, 11],
    "interval(0.1,0.1)": [0.1],
    "tag(log,interval(0.1,0.1))": [0.1],
    "int(tag(log,interval(1,4)))": [1, 2, 3, 4],
    "1,1.0,1e0": [1],
    "2,1,2.0,0.1,.1": [2, 1, 0.1],
    "true,1,null": [True, 1, "null"],
    "8,'8'": [8, "'8'"],
}


@pytest.mark.parametrize(("typed", "values"), VALUES.items())
def test_the_values_of_a_key(typed: str, values: list[Any]) -> None:
    space, _ = read_space(None, [f"x={typed}"])
    found = [point["x"] for point in space.points()]
    assert list(map(str, found)) == list(map(str, values))
    assert space.size() == len(values)
    rng = random.Random(0)
    assert {str(space.sample(rng)["x"]) for _ in range(200)} == set(map(str, values))


LONG: dict[str, list[float]] = {"range(0,1000000000)": [0, 1], "range(0.0,1.0,0.000000001)": [0.0, 1e-9]}


@pytest.mark.parametrize(("typed", "first"), LONG.items())
def test_a_long_range_is_not_written_out(typed: str, first: list[float]) -> None:
    """Its values would take all of the memory."""
    space, _ = read_space(None, [f"x={typed}", "y=1,2"])
    assert space.size() == 2 * 10**9
    points = list(itertools.islice(space.points(), 3))
    assert points == [{"x": first[0], "y": 1}, {"x": first[0], "y": 2}, {"x": first[1], "y": 1}]
    assert space.sample(random.Random(0))["x"] > 0


def test_an_interval_has_no_end_and_a_logarithmic_one_is_drawn_evenly_by_powers() -> None:
    space = Space({"x": FloatDistribution(0.001, 1, log=True)})
    assert space.size() is None
    rng = random.Random(0)
    drawn = [space.sample(rng)["x"] for _ in range(300)]
    assert all(0.001 <= x <= 1 for x in drawn)
    assert 60 < sum(x < 0.01 for x in drawn) < 140
    assert len(space.some(7, rng)) == 7


STEPPED: dict[str, BaseDistribution] = {
    "x": FloatDistribution(0.1, 0.7, step=0.1),
    "n": IntDistribution(1, 2),
}
WRITTEN = {"0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7"}
SAMPLERS: dict[str, BaseSampler] = {
    "random": RandomSampler(seed=0),
    "tpe": TPESampler(seed=0, n_startup_trials=4, multivariate=True),
    "gp": GPSampler(seed=0, n_startup_trials=4),
    "nsgaii": NSGAIISampler(seed=0, population_size=4),
}


@pytest.mark.slow
@pytest.mark.parametrize("sampler", SAMPLERS.values(), ids=SAMPLERS)
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning", "ignore:The 'greenlet' package")
def test_whatever_chooses_no_value_is_trained_twice(sampler: BaseSampler, tmp_path: Path) -> None:

    def assess(point: Point) -> Candidate:
        totals = {"params": 1, "macs": 1, "receptive_field": 45}
        key = str(sorted(point.items()))
        return Candidate(key=key, configuration=key, violations=(), totals=totals)

    worker = open_worker(search_config(tmp_path, STEPPED, exhaustive=False, n_trials=12), sampler, assess)
    while job := worker.asker.ask():
        finish_job(worker, job, job.point["x"])
    points = [(str(t.point["x"]), t.point["n"]) for t in worker.shared.trials() if t.trained]
    assert len(set(points)) == len(points) == 12
    assert {x for x, _ in points} <= WRITTEN
    stored = {str(t.params["x"]) for t in worker.shared.study.get_trials() if t.params}
    assert stored <= WRITTEN  # in the dashboard and in trials_dataframe() as well
    # The same command with the whole space goes on with the rest.
    rest = open_worker(search_config(tmp_path, STEPPED), None, assess)
    assert total(rest.shared.config, assess) == 14
    while job := rest.asker.ask():
        finish_job(rest, job, 0.5)
    assert rest.shared.counts().trained == 14


def test_what_earlier_versions_stored_is_the_same_point(tmp_path: Path) -> None:
    space: dict[str, BaseDistribution] = {"x": FloatDistribution(0.1, 0.4, step=0.1)}
    worker = open_worker(search_config(tmp_path, space))
    trial = worker.shared.study.ask({})
    worker.shared.storage.set_trial_param(worker.shared.ledger.trial(0).id, "x", 0.1 + 2 * 0.1, space["x"])
    assert trial.number == 0
    assert worker.shared.ledger.trial(0).point == {"x": 0.3}


def test_a_choice_is_kept_in_its_order() -> None:
    space = Space({"x": CategoricalDistribution(["b", 3, "a", 3.0, "b"])})
    assert [point["x"] for point in space.points()] == ["b", 3, "a"]
