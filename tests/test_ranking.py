"""The order of a sweep's trials, and the table that shows it."""

from collections.abc import Sequence

import pytest
from optuna.distributions import IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from cifar_arch.search.ranking import ranked, ranking_table


def trial(number: int, *values: float, params: int = 1000, state: str = "COMPLETE") -> FrozenTrial:
    made = create_trial(
        state=TrialState[state],
        values=values if state == "COMPLETE" else None,
        params={"model.width": number + 4},
        distributions={"model.width": IntDistribution(1, 99)},
        user_attrs={"params": params, "receptive_field": 45, "seconds": 1.5},
    )
    made.number = number
    return made


ACCURACY = [
    trial(0, 0.80, params=9000),
    trial(1, 0.90, params=9000),
    trial(2, 0.86, params=3000),
    trial(3, 0.90, params=8000),
    trial(4, state="PRUNED"),
    trial(5, 0.70, params=100),
    trial(6, state="FAIL"),
]
ORDERS = [
    # prefer, target, the numbers in order
    ("accuracy", 0.85, [3, 1, 2, 0, 5]),  # of equal ones the smaller
    ("smallest", 0.85, [2, 3, 1, 0, 5]),  # those at the target first, the smallest ahead
    ("smallest", 0.95, [3, 1, 2, 0, 5]),  # nobody is there: the best
    ("smallest", None, [3, 1, 2, 0, 5]),
]


@pytest.mark.parametrize(("prefer", "target", "order"), ORDERS)
def test_orders(prefer: str, target: float | None, order: list[int]) -> None:
    trials, front = ranked(ACCURACY, ["accuracy"], prefer, target)
    assert [t.number for t in trials] == order
    assert front == set()


FRONTS: list[tuple[Sequence[str], list[tuple[float, ...]], set[int]]] = [
    (["accuracy", "params"], [(0.9, 900), (0.8, 500), (0.8, 600), (0.7, 400), (0.6, 450)], {0, 1, 3}),
    (["params", "macs"], [(900, 5), (800, 4), (700, 6)], {1, 2}),
]


@pytest.mark.parametrize(("objectives", "values", "expected"), FRONTS)
def test_fronts_come_first(
    objectives: Sequence[str], values: list[tuple[float, ...]], expected: set[int]
) -> None:
    made = [trial(number, *row) for number, row in enumerate(values)]
    trials, front = ranked(made, objectives, "accuracy", 0.85)
    assert front == expected
    assert {t.number for t in trials[: len(front)]} == expected
    marked = {
        int(line.split()[1])
        for line in ranking_table(trials, objectives, front).splitlines()
        if " * " in line
    }
    assert marked == expected


def test_the_table_shows_what_to_type() -> None:
    shown = ranking_table(ranked(ACCURACY, ["accuracy"], "accuracy", None)[0][:2], ["accuracy"])
    assert shown == (
        "rank  trial  accuracy  params  field  seconds  overrides\n"
        "   1      3    90.00%   8,000  45 px        2  width=7\n"
        "   2      1    90.00%   9,000  45 px        2  width=5"
    )
