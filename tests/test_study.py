"""The study by itself: no Hydra, no training, real SQLite."""

import csv
import re
import threading
from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.trial import TrialState
from sweeping import DIGITS, WIDTHS, ask, broken, finish_job, judge, open_search, plan

from cifar_arch.schema import ConfigError
from cifar_arch.search.candidate import Candidate
from cifar_arch.search.space import Point
from cifar_arch.search.storage import open_storage, quiet_optuna
from cifar_arch.search.study import Job, SearchStudy

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


@pytest.fixture(autouse=True)
def quiet() -> None:
    quiet_optuna()


def test_a_grid_is_asked_for_once_each_and_then_ends(tmp_path: Path) -> None:
    search = open_search(plan(tmp_path, WIDTHS))
    assert search.total() == 3
    for width in (4, 6, 8):
        job = ask(search)
        assert job.point == {"width": width}
        trial = finish_job(search, job, width / 10)
        assert (trial.state, trial.values) == (TrialState.COMPLETE, [width / 10])
    assert search.ask() is None
    assert open_search(plan(tmp_path, WIDTHS)).ask() is None  # as after a restart


def test_two_workers_never_get_the_same_point_nor_more_than_the_total(tmp_path: Path) -> None:
    wanted = plan(tmp_path, DIGITS, exhaustive=False, n_trials=9)
    jobs: list[Job] = []
    workers = [open_search(wanted) for _ in range(3)]

    def work(search: SearchStudy) -> None:
        while job := search.ask():
            jobs.append(job)

    threads = [threading.Thread(target=work, args=(search,)) for search in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(jobs) == 9
    assert len({job.number for job in jobs}) == len({str(job.point) for job in jobs}) == 9


def test_an_equal_candidate_is_replayed_and_does_not_count(tmp_path: Path) -> None:
    def same(point: Point) -> Candidate:  # 4 and 6 are written differently and equal
        return judge(point)._replace(key="small" if point["width"] < 8 else "large")

    search = open_search(plan(tmp_path, WIDTHS), judged=same)
    first = ask(search)
    finish_job(search, first, 0.7)
    other = ask(search)
    assert (first.point, other.point) == ({"width": 4}, {"width": 8})
    replayed = search.trial(1)
    assert replayed.user_attrs["role"] == "replayed"
    assert replayed.user_attrs["replays"] == 0
    assert (replayed.state, replayed.values) == (TrialState.COMPLETE, [0.7])
    assert search.counts()["trained"] == 1
    assert search.total() == 2


def test_a_pruned_equal_is_answered_as_pruned_and_a_running_one_is_dropped(tmp_path: Path) -> None:
    def same(point: Point) -> Candidate:
        return judge(point)._replace(key="one")

    search = open_search(plan(tmp_path, WIDTHS), judged=same)
    job = ask(search)
    assert search.ask() is None  # the others equal the one that is running
    assert [t.user_attrs["role"] for t in search.trials()[1:]] == ["discarded"] * 2
    search.study._storage.set_trial_intermediate_value(job.trial_id, 1, 0.25)
    finish_job(search, job, status="pruned", reason="pruned after epoch 1")
    assert (search.trial(0).state, search.trial(0).value) == (TrialState.PRUNED, 0.25)
    more = open_search(plan(tmp_path, WIDTHS), judged=same)
    more.study.enqueue_trial({"width": 6})
    assert more.ask() is None
    assert (more.trial(3).state, more.trial(3).value) == (TrialState.PRUNED, 0.25)
    assert more.trial(3).user_attrs["replays"] == 0


def test_rejections_are_free_recorded_and_infeasible(tmp_path: Path) -> None:
    def small(point: Point) -> Candidate:
        return judge(point, most=5)

    search = open_search(plan(tmp_path, WIDTHS), judged=small)
    finish_job(search, ask(search))
    assert search.ask() is None
    assert search.counts()["trained"] == 1
    assert search.counts()["rejected"] == 2
    for trial in search.trials()[1:]:
        assert trial.state == TrialState.PRUNED
        assert trial.user_attrs["infeasible"] == f"sum: 5 is allowed, got {trial.params['width']}"
        assert trial.constraints["limits"] > 0
        assert trial.system_attrs["constraints"] == [trial.constraints["limits"]]
    assert search.trial(0).constraints["limits"] == 0
    assert not search.folder(1).exists()
    with (search.plan.folder / "rejected.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0] == {
        "trial": "1",
        "overrides": "width=6",
        "rule": "sum",
        "limit": "5",
        "actual": "6",
        "message": "sum: 5 is allowed, got 6",
    }
    assert len(rows) == 2


SAMPLERS: list[tuple[type[BaseSampler], dict[str, Any]]] = [
    (TPESampler, {"n_startup_trials": 5, "multivariate": True, "group": True, "constant_liar": True}),
    (GPSampler, {"n_startup_trials": 5}),
    (NSGAIISampler, {"population_size": 10}),
    (RandomSampler, {}),
]


def rejections_late(tmp_path: Path, sampler: BaseSampler) -> float:
    """Rejected ones for each trained trial, after the first eight, where a seventh is feasible."""

    def narrow(point: Point) -> Candidate:
        total = round(100 * sum(point.values()))
        rules = (broken("sum", 53, total),) if total > 53 else ()
        return Candidate(str(point), rules, {"params": 1, "macs": 1, "receptive_field": 45})

    space = {name: FloatDistribution(0, 1) for name in "ab"}
    search = open_search(plan(tmp_path, dict(space), exhaustive=False, n_trials=24), sampler, narrow)
    early = 0
    for trained in range(24):
        if trained == 8:
            early = search.counts()["rejected"]
        job = ask(search)
        finish_job(search, job, 0.5 + job.point["a"] / 3, params=1)
    return (search.counts()["rejected"] - early) / 16


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "options"), SAMPLERS, ids=[kind.__name__ for kind, _ in SAMPLERS])
@pytest.mark.filterwarnings("ignore:The 'greenlet' package")
def test_what_samplers_learn_from_rejections(
    kind: type[BaseSampler], options: dict[str, Any], tmp_path: Path
) -> None:
    rejected = rejections_late(tmp_path, kind(seed=1, **options))  # type: ignore[call-arg]
    least, most = {RandomSampler: (4.8, 8), NSGAIISampler: (0, 4)}.get(kind, (0, 2.5))
    assert least <= rejected < most


def test_a_rejection_costs_under_a_tenth_of_a_second(tmp_path: Path) -> None:
    import time

    wanted = plan(tmp_path, DIGITS, exhaustive=False, n_trials=1, max_rejections=40)
    search = open_search(wanted, judged=lambda point: judge(point, most=-1))
    start = time.process_time()
    with pytest.raises(ConfigError):
        search.ask()
    assert (time.process_time() - start) / search.counts()["rejected"] < 0.1


def test_nothing_feasible_names_the_rules_and_the_closest(tmp_path: Path) -> None:
    search = open_search(plan(tmp_path, WIDTHS), judged=lambda point: judge(point, most=1))
    message = (
        r"nothing inside the limits among 3 candidates; the rules that bind: sum \(3 of 3\); "
        r"the closest is width=4: sum: 1 is allowed, got 4; widen the space or the limits"
    )
    for _ in range(2):  # and again when the same command is typed again
        with pytest.raises(ConfigError, match=message):
            search.ask()
        search = open_search(plan(tmp_path, WIDTHS), judged=lambda point: judge(point, most=1))
    endless = plan(tmp_path, {"x": FloatDistribution(5, 9)}, exhaustive=False, n_trials=3, name="endless")
    search = open_search(endless._replace(max_rejections=20), judged=lambda p: judge({"x": int(p["x"])}, 1))
    with pytest.raises(ConfigError, match="among 20 candidates"):
        search.ask()


def test_the_few_feasible_points_of_a_finite_space_are_found(tmp_path: Path) -> None:
    def narrow(point: Point) -> Candidate:
        return judge(point, most=1)  # 3 points of 100

    digits = {name: DIGITS[name] for name in "ab"}
    search = open_search(plan(tmp_path, digits, exhaustive=False, n_trials=9), judged=narrow)
    found = []
    while job := search.ask():
        finish_job(search, job)
        found.append(job.point)
    assert len(found) == 3
    assert all(sum(point.values()) <= 1 for point in found)


OUTCOMES = [
    ({"status": "completed", "val_accuracy": 0.5}, "COMPLETE", None),
    ({"status": "completed", "val_accuracy": None}, "FAIL", "its accuracy is not a finite number"),
    ({"status": "pruned", "reason": "pruned after epoch 2"}, "PRUNED", "pruned after epoch 2"),
    ({"status": "failed", "reason": "out of memory"}, "FAIL", "out of memory"),
    ({"status": "rejected", "reason": "too large"}, "FAIL", "too large"),
]


@pytest.mark.parametrize(("summary", "state", "reason"), OUTCOMES)
def test_outcomes(tmp_path: Path, summary: dict[str, Any], state: str, reason: str | None) -> None:
    search = open_search(plan(tmp_path, WIDTHS))
    trial = finish_job(search, ask(search), **{"accuracy": 0.5, **summary})
    assert trial.state.name == state
    assert trial.user_attrs.get("reason") == reason
    assert search.counts()["trained"] == 1


def test_a_failed_point_is_not_tried_again(tmp_path: Path) -> None:
    search = open_search(plan(tmp_path, WIDTHS))
    finish_job(search, ask(search), status="failed", reason="broken")
    assert ask(search).point == {"width": 6}


def test_another_fingerprint_and_a_foreign_study_are_refused(tmp_path: Path) -> None:
    wanted = plan(tmp_path, WIDTHS)
    open_search(wanted)
    other = {"made": "by another test", "seed": 3}
    message = "'test' was made with made=by a test, now by another test; seed=nothing, now 3; choose another"
    with pytest.raises(ConfigError, match=re.escape(message)):
        open_search(wanted._replace(fingerprint=other))
    import optuna

    foreign = optuna.create_study(
        study_name="foreign", storage=open_storage(wanted.storage), direction="maximize"
    )
    foreign.ask()
    with pytest.raises(ConfigError, match="'foreign' was not made by this tool"):
        open_search(wanted._replace(name="foreign"))


def test_a_mistake_found_while_asking_leaves_nothing_running(tmp_path: Path) -> None:
    def wrong(point: Point) -> Candidate:
        raise ConfigError("model.width: expected a number")

    search = open_search(plan(tmp_path, WIDTHS), judged=wrong)
    with pytest.raises(ConfigError, match=r"model\.width"):
        search.ask()
    assert not search.counts()["running"]


def test_seeds_move_on_with_the_trials_and_the_workers(tmp_path: Path) -> None:
    seeds: list[int] = []

    def sampler(moved_on: int) -> BaseSampler:
        seeds.append(moved_on)
        return RandomSampler(seed=moved_on)

    wanted = plan(tmp_path, {"x": CategoricalDistribution([1, 2, 3])})
    first = SearchStudy(wanted, sampler, judge)
    SearchStudy(wanted, sampler, judge)
    finish_job(first, ask(first))
    SearchStudy(wanted, sampler, judge)
    assert len(set(seeds)) == 3
    assert seeds[0] == 0
