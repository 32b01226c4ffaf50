"""The table of a confirmation and its verdict, from what was measured."""

import pytest

from cifar_arch import confirm
from cifar_arch.confirm import Confirmed

VERDICTS = [
    (
        [0.84, 0.80],
        0.85,
        "cifar10",
        "none reaches the target of 85%: trial 0 comes closest, 1.00 points below",
    ),
    ([0.86, 0.80], 0.85, "cifar10", "reach the target of 85% on average: trial 0"),
    ([0.86], None, "cifar10", "no target is set"),
    ([0.99], 0.85, "shapes", "the synthetic data set never counts towards the target"),
]


@pytest.mark.parametrize(("means", "target", "data", "said"), VERDICTS)
def test_the_verdict_names_who_reaches_the_target_or_comes_closest(
    means: list[float], target: float | None, data: str, said: str
) -> None:
    found = [Confirmed(n, 1000, 50, 0.5, [mean], 60) for n, mean in enumerate(means)]
    assert confirm.verdict(found, target, data) == said


def test_one_seed_has_no_std() -> None:
    text = confirm.results_table([Confirmed(3, 1000, 50, 0.5, [0.8], 60)], None)
    assert text.splitlines()[1].split() == ["3", "80.00%", "-", "1", "1,000", "50", "px", "50.00%", "60"]


def test_a_mean_at_the_target_reaches_it() -> None:
    found = [Confirmed(3, 1000, 50, 0.5, [0.85], 60)]
    assert confirm.results_table(found, 0.85).splitlines()[-1].endswith("reached")
    assert confirm.verdict(found, 0.85, "cifar10").endswith("on average: trial 3")
