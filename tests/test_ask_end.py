"""When a search has nothing left to train, and how it ends then."""

from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from msgspec.structs import replace
from optuna.distributions import (
    BaseDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import RandomSampler
from sweeping import DIGITS, WIDTHS, ask, assess, at_most, finish_job, open_worker, search_config

from cifar_arch.runfolder import RunFolder
from cifar_arch.schema import ConfigError, SearchStopped
from cifar_arch.search import ask as asking
from cifar_arch.search.ask import Job
from cifar_arch.search.candidate import Candidate
from cifar_arch.search.confirm_trials import ConfirmAsker, ConfirmTeller
from cifar_arch.search.ledger import Counts
from cifar_arch.search.space import Point, Space
from cifar_arch.search.study import SearchConfig
from cifar_arch.search.trial import Role
from cifar_arch.search.worker import Worker


def test_nothing_feasible_names_the_rules_and_the_closest(tmp_path: Path) -> None:
    message = (
        r"nothing inside the limits among 3 candidates; the rules that bind: sum \(3 of 3\); "
        r"the closest is width=4: sum: 1 is allowed, got 4; widen the space or the limits"
    )
    for _ in range(2):  # and again when the same command is typed again
        worker = open_worker(search_config(tmp_path, WIDTHS), assessed=at_most(1))
        with pytest.raises(ConfigError, match=message):
            worker.asker.ask()
    worker = open_worker(search_config(tmp_path, {}, name="single"), assessed=lambda _: assess({"x": 4}, 1))
    with pytest.raises(ConfigError, match=r"among 1 candidate; .* the closest: sum: 1 is allowed, got 4;"):
        worker.asker.ask()
    space: dict[str, BaseDistribution] = {"x": FloatDistribution(5, 9)}
    endless = search_config(tmp_path, space, exhaustive=False, n_trials=3, name="endless", max_rejections=20)
    worker = open_worker(endless, assessed=lambda point: assess({"x": int(point["x"])}, 1))
    with pytest.raises(ConfigError, match="among 20 candidates"):
        worker.asker.ask()


def test_a_mix_of_rejections_and_replays_ends_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "GUESSES", 6)
    space: dict[str, BaseDistribution] = {"width": IntDistribution(0, 9)}
    wanted = search_config(tmp_path, space, exhaustive=False, n_trials=8)

    def even(point: Point) -> Candidate:
        return replace(assess({"x": 2 * (point["width"] % 2)}, 1), key=str(point))

    worker = open_worker(wanted, RandomSampler(seed=0), even)
    while job := worker.asker.ask():
        finish_job(worker, job)
    assert worker.shared.counts().trained == 5
    assert len(worker.shared.trials()) <= 5 * 7 + 6


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
        assert other.shared.counts().rejected == 5
    finish_job(worker, job)
    assert other.asker.ask() is None  # and no error: something was trained
    assert other.shared.counts().rejected == 10


def open_confirmation(config: SearchConfig) -> Worker:
    return Worker(config, RandomSampler, assess, make_teller=ConfirmTeller, make_asker=ConfirmAsker)


def test_a_confirmation_waits_for_none_but_its_own_trials(tmp_path: Path) -> None:
    worker = open_confirmation(search_config(tmp_path, WIDTHS))
    worker.shared.ask()
    me = worker.shared.workers.me
    worker.shared.note(worker.shared.ledger.trial(0), key="of another schedule", worker=me)

    def train(job: Job) -> None:
        finish_job(worker, job)

    worker.work(train, progress=False)
    assert worker.shared.counts() == Counts(completed=3, running=1)


class Widths(Space):
    """One point of many, as of a confirmation."""

    def __init__(self, width: int):
        super().__init__({"width": IntDistribution(0, 2**31)})
        self.width = width

    def points(self) -> Iterator[Point]:
        yield {"width": self.width}


def of_width(tmp_path: Path, width: int) -> SearchConfig:
    return replace(search_config(tmp_path, {}), space=Widths(width))


def test_a_confirmation_leaves_what_another_one_interrupted(tmp_path: Path) -> None:
    """Each goes on from its own checkpoint, and waits for nothing of the other's."""
    wide, narrow = (of_width(tmp_path, width) for width in (8, 4))
    first = open_confirmation(wide)
    job = ask(first)
    RunFolder(job.folder).checkpoint.parent.mkdir(parents=True)
    RunFolder(job.folder).checkpoint.touch()
    first.teller.leave()

    other = open_confirmation(narrow)
    theirs = ask(other)
    assert (theirs.point, theirs.continues) == ({"width": 4}, None)
    finish_job(other, theirs)
    assert other.asker.ask() is None

    again = open_confirmation(wide)
    for retries in (1, 2):  # a worker that dies is counted from one copy to the next
        went_on = ask(again)
        assert (went_on.point, went_on.continues) == ({"width": 8}, job.folder)
        again.teller.tell(went_on.number)
        assert again.shared.ledger.trial(went_on.number).retries == retries
    finish_job(again, ask(again))
    assert again.asker.ask() is None


def test_what_an_earlier_version_left_waiting_for_a_confirmation_is_found_by_its_key(tmp_path: Path) -> None:
    worker = open_confirmation(of_width(tmp_path, 4))
    worker.shared.queue({"width": 1000}, continues=7)  # of another choice of networks
    assert ask(worker).point == {"width": 4}
    assert worker.shared.ledger.trial(0).role is Role.ABANDONED


def test_a_confirmation_ends_with_a_training_that_kills_its_workers(tmp_path: Path) -> None:
    worker = open_confirmation(of_width(tmp_path, 4))
    for _ in range(4):
        worker.teller.tell(ask(worker).number)  # without a result, as of one that died
    last = ask(worker).number
    with pytest.raises(SearchStopped, match=r"^a training failed \(its worker died 5 times before an epoch"):
        worker.teller.tell(last)
    assert ask(worker).continues is None  # the same command tries it once more


def test_a_total_that_is_reached_waits_for_nobody(tmp_path: Path) -> None:
    space: dict[str, BaseDistribution] = {"x": FloatDistribution(0, 1)}
    wanted = search_config(tmp_path, space, exhaustive=False, n_trials=3)
    more = open_worker(wanted)
    finish_job(more, ask(more))
    ask(more)  # is still trained, towards a larger total
    fewer = open_worker(replace(wanted, n_trials=1))
    fewer.work(lambda job: pytest.fail(f"{job} is one too many"), progress=False)


def test_a_trial_that_is_given_back_at_the_end_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = search_config(tmp_path, WIDTHS)
    leaving, worker = (open_worker(wanted) for _ in range(2))
    jobs = [ask(leaving) for _ in range(3)]
    for job in jobs[:2]:
        finish_job(leaving, job)
    asked = worker.asker.ask

    def ask_then_others_leave() -> Job | None:
        job = asked()
        leaving.teller.leave()
        return job

    def train(job: Job) -> None:
        finish_job(worker, job)

    monkeypatch.setattr(worker.asker, "ask", ask_then_others_leave)
    worker.work(train, progress=False)
    assert worker.shared.counts().trained == 3


def test_a_study_that_is_deleted_ends_its_search_in_a_sentence(tmp_path: Path) -> None:
    worker = open_worker(search_config(tmp_path, WIDTHS))
    ask(worker)
    optuna.delete_study(study_name="test", storage=worker.shared.storage)
    for call in (worker.asker.ask, worker.teller.lock_and_recover, worker.teller.leave, worker.shared.counts):
        with pytest.raises(SearchStopped, match=r"^the study was removed while it ran; the same command sta"):
            call()


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


def test_a_replay_ends_a_row_of_rejections(tmp_path: Path) -> None:
    space: dict[str, BaseDistribution] = {"x": FloatDistribution(0, 9)}
    config = search_config(tmp_path, space, exhaustive=False, n_trials=2, max_rejections=2)
    worker = open_worker(config, assessed=at_most(5))
    worker.shared.queue({"x": 1.0})
    finish_job(worker, ask(worker))
    for x in (6.0, 1.0, 7.0, 2.0):  # outside, replayed, outside, new
        worker.shared.queue({"x": x})
    assert ask(worker).point == {"x": 2.0}
