"""When a search is stopped that keeps failing, or has no room left, and what it says then."""

import shutil
from pathlib import Path

from cifar_arch.record import Cause
from cifar_arch.runfolder import DISK_FULL_BELOW, RunFolder
from cifar_arch.schema import SearchStopped
from cifar_arch.search.session import WorkerBroken
from cifar_arch.search.study import SharedStudy
from cifar_arch.search.tell import read_summary
from cifar_arch.search.trial import Role, TrialRecord

IN_A_ROW = 3
RATE_FROM = 4  # trained trials


def stop_if_unfit(folder: Path) -> None:
    """Raises WorkerBroken where a trial has broken this process, and SearchStopped where its disk is full."""
    summary = read_summary(RunFolder(folder))
    cause = summary and summary.cause
    if cause is Cause.GPU_BROKEN:
        raise WorkerBroken(
            "the GPU refuses further work in this process; the same command goes on in a new one"
        )
    if cause is Cause.NO_MEMORY:  # and what is half loaded stays so
        raise WorkerBroken(
            "there was no memory to load torch into; end other programs, and the same command goes on"
        )
    place = folder if folder.exists() else folder.parent
    if shutil.disk_usage(place).free < DISK_FULL_BELOW or cause is Cause.DISK_FULL:
        raise SearchStopped(
            f"no space is left on the disk of {str(place)!r}; make room, and the same command goes on"
        )


def stop_if_hopeless(shared: SharedStudy, since: int) -> None:
    """Raises SearchStopped after three failures in a row, a config mistake in the first trial, or
    when more than the search's `max_failure_rate` of at least four trained trials failed.

    `since`: the number of the first trial to look at. What failed before the command was typed may be
    what was fixed meanwhile.
    """
    recent = shared.trials()[since:]
    trials = [t for t in recent if t.trained]
    failed = [t for t in trials if t.failed]
    if len(failed) == len(trials):
        for trial in (t for t in recent if t.role is Role.MISTAKEN):
            raise SearchStopped(f"the first trial failed because of a mistake in the config; {_cause(trial)}")
    if not failed:
        return
    cause = _cause(failed[-1])
    last = trials[-IN_A_ROW:]
    if len(last) == IN_A_ROW and all(t.failed for t in last):
        raise SearchStopped(f"{IN_A_ROW} trials failed in a row; {cause}")
    rate, allowed = len(failed) / len(trials), shared.config.max_failure_rate
    if len(trials) >= RATE_FROM and rate > allowed:
        raise SearchStopped(
            f"{len(failed)} of {len(trials)} trials failed, more than hydra.sweeper.max_failure_rate "
            f"(={allowed:g}) allows; {cause}"
        )


def _cause(failed: TrialRecord) -> str:
    return f"trial {failed.number}: {failed.reason or 'no reason on record'}"
