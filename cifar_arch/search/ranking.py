"""The complete trials of a study, the best first; as text, a table of the first of them."""

from collections.abc import Sequence

import msgspec
from optuna.trial import TrialState

from cifar_arch.search.options import DIRECTIONS
from cifar_arch.search.space import typed
from cifar_arch.search.trial import TrialRecord
from cifar_arch.terminal import table

SHOWN = 10


class Ranking(msgspec.Struct, frozen=True, kw_only=True):
    """At least one trial. Print it: rank, trial, accuracy, sizes, and what to type for each."""

    trials: tuple[TrialRecord, ...]
    objectives: tuple[str, ...]
    front: frozenset[int] = frozenset()  # numbers of the Pareto front, where there are several objectives

    @property
    def best(self) -> TrialRecord:
        return self.trials[0]

    def __str__(self) -> str:
        """The first ten, or the whole Pareto front, which is marked."""
        front = ["front"] if self.front else []
        heading = ["rank", "trial", *front, *self.objectives, "params", "field", "seconds", "overrides"]
        heading = list(dict.fromkeys(heading))  # parameters may be an objective
        shown = self.trials[: max(SHOWN, len(self.front))]
        cells = [self._cells(rank, trial) for rank, trial in enumerate(shown, 1)]
        rows = [heading, *([row[name] for name in heading] for row in cells)]
        return table(rows, left={heading.index("overrides")})

    def _cells(self, rank: int, trial: TrialRecord) -> dict[str, str]:
        values = dict(zip(self.objectives, trial.values, strict=True))
        cells = {name: f"{value:,.0f}" for name, value in values.items()}
        if "accuracy" in values:
            cells["accuracy"] = f"{values['accuracy']:.2%}"
        return {
            **cells,
            "rank": str(rank),
            "trial": str(trial.number),
            "front": "*" if trial.number in self.front else "",
            "params": f"{trial.params:,}",
            "field": f"{trial.receptive_field} px",
            "seconds": f"{trial.seconds or 0:.0f}",
            "overrides": typed(trial.point),
        }


def ranked(
    trials: Sequence[TrialRecord], objectives: Sequence[str], prefer: str, target: float | None
) -> Ranking | None:
    """The complete ones among the trained trials, the best first; None where there is none.

    By the first objective; with `prefer=smallest` those at or above `target` come first, the fewest
    parameters ahead. With several objectives the Pareto front comes first.
    """
    complete = [t for t in trials if t.trained and t.state == TrialState.COMPLETE]
    complete.sort(key=lambda t: (_losses(t, objectives)[0], t.params or 0, t.number))
    front: frozenset[int] = frozenset()
    if len(objectives) > 1:
        front = _pareto_front(complete, objectives)
        complete.sort(key=lambda t: t.number not in front)
    elif prefer == "smallest" and target is not None:
        complete.sort(key=lambda t: _smallest_at(t, target))
    if not complete:
        return None
    return Ranking(trials=tuple(complete), objectives=tuple(objectives), front=front)


def _losses(trial: TrialRecord, objectives: Sequence[str]) -> tuple[float, ...]:
    """The values so that less is better in each."""
    signs = (-1 if DIRECTIONS[name] == "maximize" else 1 for name in objectives)
    return tuple(sign * value for sign, value in zip(signs, trial.values, strict=True))


def _smallest_at(trial: TrialRecord, target: float) -> tuple[bool, int]:
    reached = trial.values[0] >= target
    return not reached, trial.params or 0 if reached else 0


def _pareto_front(trials: Sequence[TrialRecord], objectives: Sequence[str]) -> frozenset[int]:
    """Numbers of the trials that no other one equals or beats in every objective and beats in one."""
    front: list[tuple[tuple[float, ...], int]] = []
    # In this order none is beaten by a later one.
    for losses, number in sorted((_losses(t, objectives), t.number) for t in trials):
        beaten = (
            other != losses and all(a <= b for a, b in zip(other, losses, strict=True)) for other, _ in front
        )
        if not any(beaten):
            front.append((losses, number))
    return frozenset(number for _, number in front)
