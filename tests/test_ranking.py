"""The order of a sweep's trials, and the table that shows it."""

from typing import Any

import pytest
from optuna.trial import TrialState

from cifar_arch.search.objectives import Prefer
from cifar_arch.search.ranking import Ranking, ranked
from cifar_arch.search.trial import Role, TrialRecord


def trial(number: int, *values: float, state: str = "COMPLETE", params: int = 1000) -> TrialRecord:
    return TrialRecord(
        number=number,
        id=number,
        state=TrialState[state],
        values=values,
        point={"model.width": number + 4},
        params=params,
        receptive_field=45,
        seconds=1.5,
        role=Role.REPLAYED if number == 7 else None,
    )


def rank(trials: list[TrialRecord], objectives: list[str], prefer: Prefer, target: float | None) -> Ranking:
    ranking = ranked(trials, objectives, prefer, target)
    assert ranking is not None
    return ranking


ACCURACY = [
    trial(0, 0.80, params=9000),
    trial(1, 0.90, params=9000),
    trial(2, 0.86, params=3000),
    trial(3, 0.90, params=8000),
    trial(4, 0.95, state="PRUNED"),
    trial(5, 0.70, params=100),
    trial(6, state="FAIL"),
    trial(7, 0.99),  # replayed
]
ORDERS = [
    # prefer, target, the numbers in order
    ("accuracy", 0.85, [3, 1, 2, 0, 5]),  # of equal ones the smaller
    ("smallest", 0.85, [2, 3, 1, 0, 5]),  # those at the target first, the smallest ahead
    ("smallest", 0.95, [3, 1, 2, 0, 5]),  # none is there: the best
    ("smallest", None, [3, 1, 2, 0, 5]),
]


@pytest.mark.parametrize(("prefer", "target", "order"), ORDERS)
def test_the_best_comes_first_or_the_smallest_at_the_target(
    prefer: Prefer, target: float | None, order: list[int]
) -> None:
    ranking = rank(ACCURACY, ["accuracy"], prefer, target)
    assert [t.number for t in ranking.trials] == order
    assert ranking.best is ranking.trials[0]
    assert ranking.front == set()


def test_without_a_complete_trial_there_is_no_ranking() -> None:
    assert ranked([trial(0, 0.3, state="PRUNED")], ["accuracy"], "accuracy", None) is None


FRONTS = [
    {
        "objectives": ["accuracy", "params"],
        "values": [(0.9, 900), (0.8, 500), (0.8, 600), (0.7, 400), (0.6, 450)],
        "front": {0, 1, 3},
    },
    {"objectives": ["params", "macs"], "values": [(900, 5), (800, 4), (700, 6)], "front": {1, 2}},
    {"objectives": ["params", "macs"], "values": [(9, 5), (9, 5), (9, 6)], "front": {0, 1}},  # equal ones
]


@pytest.mark.parametrize("case", FRONTS)
def test_fronts_come_first(case: dict[str, Any]) -> None:
    trials = [trial(number, *row) for number, row in enumerate(case["values"])]
    ranking = rank(trials, case["objectives"], "accuracy", 0.85)
    front = case["front"]
    assert ranking.front == front
    assert {t.number for t in ranking.trials[: len(front)]} == front
    assert {int(line.split()[1]) for line in str(ranking).splitlines() if " * " in line} == front


def test_the_table_shows_what_to_type() -> None:
    shown = str(rank(ACCURACY, ["accuracy"], "accuracy", None))
    assert shown.splitlines()[:3] == [
        "rank  trial  accuracy  params  field  seconds  overrides",
        "   1      3    90.00%   8,000  45 px        2  width=7",
        "   2      1    90.00%   9,000  45 px        2  width=5",
    ]


def test_the_table_shows_ten() -> None:
    shown = str(rank([trial(number, 0.5) for number in range(10, 24)], ["accuracy"], "accuracy", None))
    assert len(shown.splitlines()) == 1 + 10
