"""What a search trains next, rejects and replays: no Hydra, no training, real SQLite."""

import functools
import threading
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.trial import TrialState
from sqlalchemy.event import listen
from sweeping import DIGITS, WIDTHS, ask, assess, at_most, broken, finish_job, open_worker, search_config

from cifar_arch.record import Status
from cifar_arch.schema import ConfigError
from cifar_arch.search.ask import Assess, Job, total
from cifar_arch.search.candidate import Candidate
from cifar_arch.search.space import Point
from cifar_arch.search.trial import Role
from cifar_arch.search.worker import Worker

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


def test_a_grid_is_asked_for_once_each_and_then_ends(tmp_path: Path) -> None:
    worker = open_worker(search_config(tmp_path, WIDTHS))
    assert total(worker.shared.config, worker.asker.assess) == 3
    for width in (4, 6, 8):
        job = ask(worker)
        assert job.point == {"width": width}
        trial = finish_job(worker, job, width / 10)
        assert (trial.state, trial.values) == (TrialState.COMPLETE, (width / 10,))
    assert worker.asker.ask() is None
    assert open_worker(search_config(tmp_path, WIDTHS)).asker.ask() is None  # as after a restart


def test_two_workers_never_get_the_same_point_nor_more_than_the_total(tmp_path: Path) -> None:
    wanted = search_config(tmp_path, DIGITS, exhaustive=False, n_trials=9)
    jobs: list[Job] = []
    workers = [open_worker(wanted) for _ in range(3)]

    def work(worker: Worker) -> None:
        while job := worker.asker.ask():
            jobs.append(job)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(jobs) == 9
    assert len({job.number for job in jobs}) == len({str(job.point) for job in jobs}) == 9


def equal_below(width: int) -> Assess:
    """Narrower points are written differently and equal."""

    def assessed(point: Point) -> Candidate:
        key = "narrow" if point["width"] < width else "wide"
        return replace(assess(point), key=key, configuration=key)

    return assessed


def test_an_equal_candidate_is_replayed_and_does_not_count(tmp_path: Path) -> None:
    worker = open_worker(search_config(tmp_path, WIDTHS), assessed=equal_below(8))
    first = ask(worker)
    finish_job(worker, first, 0.7)
    other = ask(worker)
    assert (first.point, other.point) == ({"width": 4}, {"width": 8})
    replayed = worker.shared.ledger.trial(1)
    assert (replayed.role, replayed.replays) == (Role.REPLAYED, 0)
    assert (replayed.state, replayed.values) == (TrialState.COMPLETE, (0.7,))
    assert worker.shared.counts().trained == 1
    assert total(worker.shared.config, worker.asker.assess) == 2
    assert total(replace(worker.shared.config, n_trials=1), worker.asker.assess) == 1  # of sampler=grid


def test_a_pruned_equal_is_answered_with_its_last_epoch_and_a_running_one_is_dropped(tmp_path: Path) -> None:
    worker = open_worker(search_config(tmp_path, WIDTHS), assessed=equal_below(9))
    job = ask(worker)
    assert worker.asker.ask() is None  # the others equal the one that is running
    assert [t.role for t in worker.shared.trials()[1:]] == [Role.DISCARDED] * 2
    worker.shared.report(worker.shared.ledger.trial(0), {1: 0.25, 2: 0.5})
    pruned = finish_job(worker, job, status=Status.PRUNED, reason="pruned after epoch 2")
    assert (pruned.state, pruned.values) == (TrialState.PRUNED, ())
    more = open_worker(search_config(tmp_path, WIDTHS), assessed=equal_below(9))
    more.shared.queue({"width": 6})
    assert more.asker.ask() is None
    again = more.shared.ledger.trial(3)
    assert (again.state, again.curve, again.replays) == (TrialState.PRUNED, {2: 0.5}, 0)


def test_a_failed_point_is_not_tried_again(tmp_path: Path) -> None:
    worker = open_worker(search_config(tmp_path, WIDTHS))
    finish_job(worker, ask(worker), status=Status.FAILED, reason="broken")
    assert ask(worker).point == {"width": 6}


LARGEST = {
    # largest_first and n_trials -> the widths asked for first, in order; 8 is outside the limits
    "no more than there are": (5, 3, [6, 4]),
    "the largest": (1, 3, [6]),
    "no more than are wanted": (2, 1, [6]),
}


@pytest.mark.parametrize(("largest", "n_trials", "first"), LARGEST.values(), ids=LARGEST)
def test_a_search_may_begin_with_the_largest(
    largest: int, n_trials: int, first: list[int], tmp_path: Path
) -> None:
    wanted = search_config(tmp_path, WIDTHS, exhaustive=False, n_trials=n_trials, largest_first=largest)
    worker, other = (open_worker(wanted, assessed=at_most(7)) for _ in range(2))
    assert ask(worker).point == {"width": first[0]}
    queued = [t.point["width"] for t in worker.shared.trials() if not t.state.is_finished()]
    assert queued == first
    if len(first) > 1:  # a second worker takes the next, and queues nothing again
        assert ask(other).point == {"width": first[1]}
        assert worker.shared.counts().waiting == 0


def test_a_worker_that_died_while_it_queued_the_largest_is_made_up_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = search_config(tmp_path, WIDTHS, exhaustive=False, n_trials=3, largest_first=3)
    worker = open_worker(wanted)
    queue = worker.shared.queue

    def queue_one(point: Point) -> None:
        queue(point)
        raise KeyboardInterrupt

    monkeypatch.setattr(worker.shared, "queue", queue_one)
    with pytest.raises(KeyboardInterrupt):
        worker.asker.ask()
    assert [ask(open_worker(wanted)).point["width"] for _ in range(3)] == [8, 6, 4]


def test_the_largest_have_most_multiply_adds_not_parameters(tmp_path: Path) -> None:
    def assessed(point: Point) -> Candidate:
        return replace(assess(point), totals={"params": point["width"], "macs": -point["width"]})

    wanted = search_config(tmp_path, WIDTHS, exhaustive=False, n_trials=2, largest_first=1)
    assert ask(open_worker(wanted, assessed=assessed)).point == {"width": 4}


def test_of_the_largest_none_equals_another(tmp_path: Path) -> None:
    wanted = search_config(tmp_path, WIDTHS, exhaustive=False, n_trials=2, largest_first=2)
    worker = open_worker(wanted, assessed=equal_below(7))
    assert ask(worker).point == {"width": 8}
    assert ask(worker).point["width"] in (4, 6)
    assert len(worker.shared.trials()) == 2


def test_rejections_are_free_and_infeasible(tmp_path: Path) -> None:
    worker = open_worker(search_config(tmp_path, WIDTHS), assessed=at_most(5))
    finish_job(worker, ask(worker))
    assert worker.asker.ask() is None
    counts = worker.shared.counts()
    assert (counts.trained, counts.rejected) == (1, 2)
    for trial in worker.shared.trials()[1:]:
        assert trial.state == TrialState.PRUNED
        assert trial.infeasible == f"sum: 5 is allowed, got {trial.point['width']}"
    feasible = [trial.constraints["limits"] <= 0 for trial in worker.shared.study.trials]
    assert feasible == [True, False, False]
    assert not worker.shared.folder(1).exists()


TPE = functools.partial(TPESampler, n_startup_trials=5, multivariate=True, group=True, constant_liar=True)
LEARNING: dict[str, dict[str, Any]] = {
    # Rejections for each trained trial, of which there would be six without learning.
    "tpe": {"make": TPE, "least": 0, "below": 2.5},
    "gp": {"make": functools.partial(GPSampler, n_startup_trials=5), "least": 0, "below": 2.5},
    "nsgaii": {"make": functools.partial(NSGAIISampler, population_size=10), "least": 0, "below": 4},
    "random": {"make": RandomSampler, "least": 4.8, "below": 8},
}


def rejections_late(tmp_path: Path, sampler: BaseSampler) -> float:
    """Rejections for each trained trial, after the first eight, where a seventh of the points is feasible."""

    def narrow(point: Point) -> Candidate:
        total = round(100 * sum(point.values()))
        rules = (broken("sum", 53, total),) if total > 53 else ()
        totals = {"params": 1, "macs": 1, "receptive_field": 45}
        return Candidate(key=str(point), configuration=str(point), violations=rules, totals=totals)

    space: dict[str, BaseDistribution] = {name: FloatDistribution(0, 1) for name in "ab"}
    wanted = search_config(tmp_path, space, exhaustive=False, n_trials=24)
    worker = open_worker(wanted, sampler, narrow)
    early = 0
    for number in range(24):
        if number == 8:
            early = worker.shared.counts().rejected
        job = ask(worker)
        finish_job(worker, job, 0.5 + job.point["a"] / 3)
    return (worker.shared.counts().rejected - early) / 16


@pytest.mark.slow
@pytest.mark.parametrize("case", LEARNING.values(), ids=LEARNING)
@pytest.mark.filterwarnings("ignore:The 'greenlet' package")
def test_what_samplers_learn_from_rejections(case: dict[str, Any], tmp_path: Path) -> None:
    assert case["least"] <= rejections_late(tmp_path, case["make"](seed=1)) < case["below"]


def test_a_rejection_costs_few_statements(tmp_path: Path) -> None:
    """benchmarks/sweep_overhead.py has the time; a clock here would measure the load of the machine."""
    wanted = search_config(tmp_path, DIGITS, exhaustive=False, n_trials=1, max_rejections=15)
    worker = open_worker(wanted, assessed=at_most(-1))
    statements: list[str] = []
    listen(
        worker.shared.storage.engine, "after_cursor_execute", lambda *given: statements.append(str(given[2]))
    )
    with pytest.raises(ConfigError):
        worker.asker.ask()
    rejected = worker.shared.counts().rejected
    writing = [text for text in statements if not text.startswith("SELECT")]
    assert len(writing) / rejected < 18
    assert len(statements) / rejected < 90


def test_a_mistake_found_while_asking_leaves_nothing_running(tmp_path: Path) -> None:
    def wrong(point: Point) -> Candidate:
        raise ConfigError("model.width: expected a number")

    worker = open_worker(search_config(tmp_path, WIDTHS), assessed=wrong)
    with pytest.raises(ConfigError, match=r"model\.width"):
        worker.asker.ask()
    assert not worker.shared.counts().running


def test_a_folder_of_a_lost_study_is_not_overwritten(tmp_path: Path) -> None:
    worker = open_worker(search_config(tmp_path, WIDTHS))
    worker.shared.folder(0).mkdir()
    with pytest.raises(ConfigError, match=r"0' already exists, .* remove .* or choose another study=NAME"):
        worker.asker.ask()
    assert worker.shared.ledger.trial(0).role is Role.ABANDONED


def test_numbers_that_a_power_cut_took_from_the_study_are_passed_over(tmp_path: Path) -> None:
    worker = open_worker(search_config(tmp_path, WIDTHS))
    finish_job(worker, ask(worker))
    worker.shared.queue({"width": 8}, continues=0, retries=2)
    for number in (1, 2):
        worker.shared.folder(number).mkdir()
    job = ask(worker)
    assert (job.number, job.point, job.continues) == (3, {"width": 8}, worker.shared.folder(0))
    assert (worker.shared.ledger.trial(3).retries, worker.shared.counts().abandoned) == (2, 2)
    assert ask(worker).point == {"width": 6}


def test_seeds_move_on_with_the_trials_and_the_workers(tmp_path: Path) -> None:
    seeds: list[int] = []

    def sampler(moved_on: int) -> BaseSampler:
        seeds.append(moved_on)
        return RandomSampler(seed=moved_on)

    wanted = search_config(tmp_path, {"x": CategoricalDistribution([1, 2, 3])})
    first = Worker(wanted, sampler, assess)
    Worker(wanted, sampler, assess)
    finish_job(first, ask(first))
    Worker(wanted, sampler, assess)
    assert len(set(seeds)) == 3
    assert seeds[0] == 0


def test_a_smaller_total_leaves_an_interrupted_trial_alone(tmp_path: Path) -> None:
    wanted = search_config(tmp_path, DIGITS, exhaustive=False, n_trials=3)
    worker = open_worker(wanted)
    finish_job(worker, ask(worker))
    finish_job(worker, ask(worker))
    worker.shared.queue(dict.fromkeys(DIGITS, 1), continues=0)
    fewer = open_worker(replace(wanted, n_trials=2))
    assert fewer.asker.ask() is None
    assert ask(open_worker(wanted)).point == dict.fromkeys(DIGITS, 1)
