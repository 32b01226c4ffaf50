"""What a study found, the best configuration first; as text, a table of the first of them."""

import math
import statistics
from collections.abc import Hashable, Sequence

import msgspec
from optuna.trial import TrialState

from cifar_arch.search.objectives import FRONT, OBJECTIVES, Prefer, pareto_front
from cifar_arch.search.space import Point, point_identity, short_overrides
from cifar_arch.search.trial import TrialRecord
from cifar_arch.terminal import percent, table

SHOWN = 10


class Configuration(msgspec.Struct, frozen=True, kw_only=True):
    """Completed trials that are equal but for their seed, by number; where no seeds are swept, one."""

    trials: tuple[TrialRecord, ...]
    trained: int = 1  # with those that were pruned or failed

    @property
    def first(self) -> TrialRecord:
        return self.trials[0]

    @property
    def number(self) -> int:
        """The number of its first trial, by which it is known."""
        return self.first.number

    @property
    def point(self) -> Point:
        """Its values, without a swept seed."""
        return _seedless(self.first.point)

    @property
    def seeded(self) -> bool:
        return "seed" in self.first.point

    @property
    def whole(self) -> bool:
        """Whether no seed was pruned or failed: a mean of the others would be too high."""
        return len(self.trials) == self.trained

    @property
    def values(self) -> tuple[float, ...]:
        """The mean of each objective over the seeds."""
        return tuple(map(statistics.fmean, zip(*(t.values for t in self.trials), strict=True)))

    def std(self, objective: int) -> float | None:
        """The standard deviation of an objective over the seeds; None for a single one."""
        found = [t.values[objective] for t in self.trials]
        return statistics.stdev(found) if len(found) > 1 else None


class Ranking(msgspec.Struct, frozen=True, kw_only=True):
    """At least one configuration. Print it: rank, trial, accuracy, sizes, and what to type for each."""

    configurations: tuple[Configuration, ...]
    objectives: tuple[str, ...]
    front: frozenset[int] = frozenset()  # numbers of the Pareto front, where there are several objectives

    @property
    def trials(self) -> tuple[TrialRecord, ...]:
        """The first trial of each configuration."""
        return tuple(c.first for c in self.configurations)

    @property
    def best(self) -> TrialRecord:
        return self.trials[0]

    @property
    def accuracy(self) -> float | None:
        """The highest accuracy, a mean where seeds are swept; None where it is no objective.

        A mean without the seeds that were pruned or failed counts only where there is no other.
        """
        if "accuracy" not in self.objectives:
            return None
        place = self.objectives.index("accuracy")
        return max(c.values[place] for c in _sound(self.configurations))

    def __str__(self) -> str:
        """The first ten and the whole Pareto front, which is marked."""
        cells = [
            self._cells(rank, configuration)
            for rank, configuration in enumerate(self.configurations, 1)
            if rank <= SHOWN or configuration.number in self.front
        ]
        heading = list(cells[0])
        shown = table([heading, *([row[name] for name in heading] for row in cells)], {len(heading) - 1})
        return shown + f"\n{FRONT}" * bool(self.front)

    def _cells(self, rank: int, c: Configuration) -> dict[str, str]:
        numbers = ",".join(str(t.number) for t in c.trials)
        cells = {"rank": str(rank), "trials" if c.seeded else "trial": numbers}
        if self.front:
            cells["front"] = "*" if c.number in self.front else ""
        for place, name in enumerate(self.objectives):
            value = c.values[place]
            cells[name] = OBJECTIVES[name].shown(value)
            if name == "accuracy" and c.seeded:
                std = c.std(place)
                cells["std"] = "-" if std is None else f"{std:.2%}"
        if c.seeded:
            cells["n"] = str(len(c.trials)) if c.whole else f"{len(c.trials)} of {c.trained}"
        return {
            **cells,
            "params": f"{c.first.params:,}",
            "field": f"{c.first.receptive_field} px",
            "seconds": f"{statistics.fmean(t.seconds or 0 for t in c.trials):.0f}",
            "overrides": short_overrides(c.point),
        }


def ranked(
    trials: Sequence[TrialRecord], objectives: Sequence[str], prefer: Prefer, target: float | None
) -> Ranking | None:
    """The configurations with a complete trial, the best first; None where there is none.

    By the first objective, with several the Pareto front ahead. Where seeds are swept, by the mean over
    them; where a seed was pruned or failed, behind all others, and not on their front. With
    `prefer=smallest` those at or above `target` in accuracy come first, the fewest parameters ahead.
    """
    found = _configurations(trials)
    if not found:
        return None
    found.sort(key=lambda c: (not c.whole, _losses(c, objectives)[0], c.first.params or 0, c.number))
    front: frozenset[int] = frozenset()
    if len(objectives) > 1:
        losses = {c.number: _losses(c, objectives) for c in _sound(found)}
        best = pareto_front(losses.values())
        front = frozenset(number for number, mine in losses.items() if mine in best)
        found.sort(key=lambda c: (not c.whole, c.number not in front))
    if prefer == "smallest" and target is not None and "accuracy" in objectives:
        place = objectives.index("accuracy")
        found.sort(key=lambda c: _smallest_at(c, place, target))
    return Ranking(configurations=tuple(found), objectives=tuple(objectives), front=front)


def target_lines(
    ranking: Ranking, target: float | None, prefer: Prefer, *, synthetic: bool, option: str = "target="
) -> list[str]:
    """How far the best is from the target where none reaches it, and what that means for the ranking.

    `synthetic`: of the synthetic data set, on which a target counts only where `prefer` goes by it.
    `option`: how a target is typed.
    """
    if ranking.accuracy is None:
        return []
    lines = []
    if target is not None and ranking.accuracy < target and (prefer == "smallest" or not synthetic):
        missing = 100 * (target - ranking.accuracy)
        within_reach = max(0.01, math.floor(20 * ranking.accuracy) / 20)
        lines = [
            f"none reaches {percent(target)} on the validation images: the best is {missing:.2f} points below"
            + (
                f", and accuracy ranks them instead; {option}{within_reach:g} sets another"
                if prefer == "smallest"
                else ""
            )
        ]
    if synthetic:
        lines.append("accuracies on the synthetic data set never count towards the target")
    return lines


def _configurations(trials: Sequence[TrialRecord]) -> list[Configuration]:
    """In the order of their first trials."""
    groups: dict[Hashable, list[TrialRecord]] = {}
    for trial in trials:
        if trial.trained:
            key: Hashable = trial.number
            if "seed" in trial.point:  # studies of earlier versions have no configurations on record
                key = trial.configuration or point_identity(_seedless(trial.point))
            groups.setdefault(key, []).append(trial)
    complete = [([t for t in group if t.state == TrialState.COMPLETE], group) for group in groups.values()]
    return [Configuration(trials=tuple(done), trained=len(group)) for done, group in complete if done]


def _seedless(point: Point) -> Point:
    return {key: value for key, value in point.items() if key != "seed"}


def _sound(configurations: Sequence[Configuration]) -> Sequence[Configuration]:
    """Those without a pruned or failed seed; all where there are none: their means are then all one has."""
    return [c for c in configurations if c.whole] or configurations


def _losses(configuration: Configuration, objectives: Sequence[str]) -> tuple[float, ...]:
    """The values so that less is better in each."""
    pairs = zip(objectives, configuration.values, strict=True)
    return tuple(OBJECTIVES[name].loss(value) for name, value in pairs)


def _smallest_at(configuration: Configuration, place: int, target: float) -> tuple[bool, int]:
    reached = configuration.whole and configuration.values[place] >= target
    return not reached, configuration.first.params or 0 if reached else 0
