"""When a search has nothing left to train, and how it ends then."""

from pathlib import Path

import pytest
from msgspec.structs import replace
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.samplers import RandomSampler
from sweeping import DIGITS, WIDTHS, ask, assess, at_most, finish_job, open_worker, search_config

from cifar_arch.schema import ConfigError
from cifar_arch.search.ask import Job
from cifar_arch.search.candidate import Candidate
from cifar_arch.search.space import Point
from cifar_arch.search.storage import quiet_optuna


@pytest.fixture(autouse=True)
def quiet() -> None:
    quiet_optuna()


def test_nothing_feasible_names_the_rules_and_the_closest(tmp_path: Path) -> None:
    message = (
        r"nothing inside the limits among 3 candidates; the rules that bind: sum \(3 of 3\); "
        r"the closest is width=4: sum: 1 is allowed, got 4; widen the space or the limits"
    )
    for _ in range(2):  # and again when the same command is typed again
        worker = open_worker(search_config(tmp_path, WIDTHS), assessed=at_most(1))
        with pytest.raises(ConfigError, match=message):
            worker.asker.ask()
    space: dict[str, BaseDistribution] = {"x": FloatDistribution(5, 9)}
    endless = search_config(tmp_path, space, exhaustive=False, n_trials=3, name="endless", max_rejections=20)
    worker = open_worker(endless, assessed=lambda point: assess({"x": int(point["x"])}, 1))
    with pytest.raises(ConfigError, match="among 20 candidates"):
        worker.asker.ask()


def test_a_mix_of_rejections_and_replays_ends_too(tmp_path: Path) -> None:
    space: dict[str, BaseDistribution] = {"width": IntDistribution(0, 9)}
    wanted = search_config(tmp_path, space, exhaustive=False, n_trials=8)

    def even(point: Point) -> Candidate:
        return replace(assess({"x": 2 * (point["width"] % 2)}, 1), key=str(point))

    worker = open_worker(wanted, RandomSampler(seed=0), even)
    while job := worker.asker.ask():
        finish_job(worker, job)
    assert worker.shared.counts()["trained"] == 5
    assert len(worker.shared.trials()) <= 5 * 21 + 20


def test_a_worker_that_finds_nothing_more_waits_for_what_others_train(tmp_path: Path) -> None:
    space: dict[str, BaseDistribution] = {"x": FloatDistribution(0, 1)}
    wanted = search_config(tmp_path, space, exhaustive=False, n_trials=3, max_rejections=5)
    inside: list[Point] = []

    def only_the_first(point: Point) -> Candidate:
        if not inside:
            inside.append(point)
        return replace(assess({"x": 0 if point in inside else 9}, 1), key=str(point))

    worker, other = (open_worker(wanted, RandomSampler(seed=n), only_the_first) for n in range(2))
    job = ask(worker)
    for _ in range(3):
        assert other.asker.ask() is None
        assert other.shared.counts()["rejected"] == 5
    finish_job(worker, job)
    assert other.asker.ask() is None  # and no error: something was trained
    assert other.shared.counts()["rejected"] == 10


def test_a_confirmation_waits_for_none_but_its_own_trials(tmp_path: Path) -> None:
    worker = open_worker(search_config(tmp_path, WIDTHS, by_key=True))
    worker.shared.ask()
    me = worker.shared.workers.me
    worker.shared.note(worker.shared.trial(0), key="of another schedule", worker=me)

    def train(job: Job) -> None:
        finish_job(worker, job)

    worker.work(train, progress=False)
    assert worker.shared.counts() == {"completed": 3, "trained": 3, "running": 1}


@pytest.mark.slow
def test_the_few_feasible_points_of_a_finite_space_are_found(tmp_path: Path) -> None:
    digits = {name: DIGITS[name] for name in "ab"}
    wanted = search_config(tmp_path, digits, exhaustive=False, n_trials=9)
    worker = open_worker(wanted, assessed=at_most(1))  # 3 points of 100
    found = []
    while job := worker.asker.ask():
        finish_job(worker, job)
        found.append(job.point)
    assert len(found) == 3
    assert all(sum(point.values()) <= 1 for point in found)
