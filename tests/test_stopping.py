"""When a search that keeps failing is stopped. Real SQLite."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from sweeping import DIGITS, WIDTHS, ask, finish_job, open_worker, search_config

from cifar_arch.record import Cause, Status, Summary
from cifar_arch.runfolder import RunFolder
from cifar_arch.schema import SearchStopped
from cifar_arch.search.stopping import stop_if_hopeless, stop_if_unfit
from cifar_arch.search.trial import Role


@dataclass(frozen=True, kw_only=True)
class Case:
    outcomes: (
        str  # f: failed, u: failed for an unknown reason, m: for a mistake, c: completed, |: typed again
    )
    says: str | None
    rate: float = 0.5


CASES = [
    Case(outcomes="c", says=None),
    Case(outcomes="ff", says=None),
    Case(outcomes="cfff", says="3 trials failed in a row; trial 3: broken"),
    Case(outcomes="uuu", says="3 trials failed in a row; trial 2: no reason on record"),
    Case(outcomes="m", says="the first trial failed because of a mistake in the config; trial 0: broken"),
    Case(outcomes="cm", says=None),
    Case(outcomes="mc", says=None),  # the same command, once the mistake was fixed
    Case(outcomes="fff|", says=None),  # what failed before the command was typed again
    Case(outcomes="ff|fcc", says=None),
    Case(outcomes="c|fff", says="3 trials failed in a row; trial 3: broken"),
    Case(
        outcomes="ffcfc", says="3 of 5 trials failed, more than hydra.sweeper.max_failure_rate (=0.5) allows"
    ),
    Case(outcomes="fcfc", says=None),
    Case(outcomes="fcc", says=None, rate=0.1),  # too few for a rate
    Case(outcomes="fccc", says="1 of 4 trials failed", rate=0.1),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.outcomes)
def test_a_search_that_keeps_failing_is_stopped(case: Case, tmp_path: Path) -> None:
    wanted = search_config(tmp_path, DIGITS, max_failure_rate=case.rate)
    worker = open_worker(wanted)
    for outcome in case.outcomes:
        if outcome == "|":
            worker = open_worker(wanted)
        elif outcome == "c":
            finish_job(worker, ask(worker))
        else:
            error = "ConfigError" if outcome == "m" else "RuntimeError"
            reason = None if outcome == "u" else "broken"
            finish_job(worker, ask(worker), status=Status.FAILED, reason=reason, error=error)
    if case.says is None:
        stop_if_hopeless(worker.shared, worker.since)
        return
    with pytest.raises(SearchStopped) as stopped:
        stop_if_hopeless(worker.shared, worker.since)
    assert str(stopped.value).startswith(case.says)


def test_a_mistake_in_the_config_spends_no_point(tmp_path: Path) -> None:
    for _ in range(3):
        worker = open_worker(search_config(tmp_path, WIDTHS))
        told = finish_job(worker, ask(worker), status=Status.FAILED, reason="no data", error="ConfigError")
        assert (told.point, told.role) == ({"width": 4}, Role.MISTAKEN)
    worker = open_worker(search_config(tmp_path, WIDTHS))  # once it is fixed
    while job := worker.asker.ask():
        finish_job(worker, job)
    assert [t.point["width"] for t in worker.shared.trials() if t.trained] == [4, 6, 8]


def test_the_largest_whose_config_was_mistaken_stays_the_first(tmp_path: Path) -> None:
    wanted = search_config(tmp_path, WIDTHS, exhaustive=False, n_trials=2, largest_first=1)
    worker = open_worker(wanted)
    finish_job(worker, ask(worker), status=Status.FAILED, reason="no data", error="ConfigError")
    assert ask(open_worker(wanted)).point == {"width": 8}


UNFIT = {
    Cause.DISK_FULL: "^no space is left on the disk of ",
    Cause.NO_MEMORY: "^there was no memory to load torch into; end other programs, and ",
}


@pytest.mark.parametrize(("cause", "says"), UNFIT.items())
def test_what_a_trial_met_stops_a_search(cause: Cause, says: str, tmp_path: Path) -> None:
    RunFolder(tmp_path).write_summary(Summary(status=Status.FAILED, cause=cause))
    with pytest.raises(SearchStopped, match=says):
        stop_if_unfit(tmp_path)
