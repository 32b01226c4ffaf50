"""Complete trials in the order of their merit, as a table."""

from collections.abc import Collection, Sequence

from optuna.study import StudyDirection
from optuna.study._multi_objective import _get_pareto_front_trials_by_trials
from optuna.trial import FrozenTrial, TrialState

from cifar_arch.search.book import DIRECTIONS
from cifar_arch.search.space import typed
from cifar_arch.terminal import table

SHOWN = 10


def ranked(
    trained: Sequence[FrozenTrial], objectives: Sequence[str], prefer: str, target: float | None
) -> tuple[list[FrozenTrial], set[int]]:
    """The complete ones, the best first, and the numbers of those on the Pareto front, where there is one.

    By the first objective; with `prefer=smallest` those at or above `target` come first, the fewest
    parameters ahead. With several objectives the Pareto front comes first.
    """
    trials = [t for t in trained if t.state == TrialState.COMPLETE]
    sign = -1 if DIRECTIONS[objectives[0]] == "maximize" else 1
    trials.sort(key=lambda t: (sign * t.values[0], t.user_attrs["params"], t.number))
    front: set[int] = set()
    if len(objectives) > 1:
        directions = [StudyDirection[DIRECTIONS[name].upper()] for name in objectives]
        front = {t.number for t in _get_pareto_front_trials_by_trials(trials, directions)}
        trials.sort(key=lambda t: t.number not in front)
    elif prefer == "smallest" and target is not None:
        trials.sort(
            key=lambda t: (t.values[0] < target, t.user_attrs["params"] if t.values[0] >= target else 0)
        )
    return trials, front


def ranking_table(
    trials: Sequence[FrozenTrial], objectives: Sequence[str], front: Collection[int] = ()
) -> str:
    """The first trials for a terminal: rank, trial, accuracy, sizes, and what to type for each.

    The whole Pareto front is shown, and marked, where there is one.
    """
    heading = ["rank", "trial", *objectives, "params", "field", "seconds", "overrides"]
    heading[2:2] = ["front"] if front else []
    heading = list(dict.fromkeys(heading))
    rows = [heading]
    for rank, t in enumerate(trials[: max(SHOWN, len(front))], 1):
        values = dict(zip(objectives, t.values, strict=True))
        cells = {
            "rank": str(rank),
            "trial": str(t.number),
            "front": "*" if t.number in front else "",
            **{name: f"{value:,.0f}" for name, value in values.items()},
            "params": f"{t.user_attrs['params']:,}",
            "field": f"{t.user_attrs['receptive_field']} px",
            "seconds": f"{t.user_attrs.get('seconds', 0):.0f}",
            "overrides": typed(t.params),
        }
        if "accuracy" in values:
            cells["accuracy"] = f"{values['accuracy']:.2%}"
        rows.append([cells[name] for name in heading])
    return table(rows, left=[heading.index("overrides")])
