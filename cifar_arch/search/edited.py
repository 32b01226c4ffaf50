"""Refuses a study whose options were edited: it has only their names, so that its results would pass for
those of what the options hold now."""

from collections.abc import Callable, Sequence

from cifar_arch.schema import ConfigError
from cifar_arch.search.candidate import SIZES, Candidate
from cifar_arch.search.space import Point, short_overrides
from cifar_arch.search.trial import Role, TrialRecord

KNOWN = (None, Role.REQUEUED, Role.REPLAYED, Role.REJECTED)  # their trials have a key or sizes on record


def require_unedited(trials: Sequence[TrialRecord], assess: Callable[[Point], Candidate]) -> None:
    """Raises ConfigError where an option, or a block's file, is no longer what a trial had.

    `trials` are all of a study, by number. The latest with each option is looked at, and the last of all, for
    what they share; no failed one, because the edit may be what mends it.
    """
    known = [t for t in trials if t.role in KNOWN and t.state.is_finished() and not t.failed]
    latest = {(key, v): t for t in known for key, v in t.point.items() if isinstance(v, str)}
    for trial in {t.number: t for t in (*known[-1:], *latest.values())}.values():
        require_same(trial, _had(trial, trials), _has(trial, assess))


def require_same(trial: TrialRecord, had: object, has: object) -> None:
    """Raises ConfigError where what a trial had is known, and its values mean something else now."""
    if had not in (None, has):
        raise ConfigError(
            f"study: trial {trial.number} ({short_overrides(trial.point)}) would not be the same now: its "
            "options, or a file of plugins, were edited; put them back, or choose another study=NAME"
        )


def _had(trial: TrialRecord, trials: Sequence[TrialRecord]) -> object:
    """The key that a trial had, or the sizes of a rejected one; None where there is no word of them."""
    if trial.role is Role.REJECTED:
        return None if trial.params is None else tuple(getattr(trial, name) for name in SIZES)
    return (trial if trial.replays is None else trials[trial.replays]).key


def _has(trial: TrialRecord, assess: Callable[[Point], Candidate]) -> object:
    candidate = assess(trial.point)
    if trial.role is Role.REJECTED:
        return tuple(candidate.totals.get(name) for name in SIZES)
    return candidate.key
