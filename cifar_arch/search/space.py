"""The points that a search chooses among: named distributions, and what is said of a point."""

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)

Point = dict[str, Any]

# The aliases of conf/config.yaml, by key.
ALIASES = {
    **{f"block@model.c{n}": f"c{n}" for n in (1, 2, 3, 4)},
    **{f"downsample@model.t{n}": f"t{n}" for n in (1, 2, 3)},
    **{f"model.{name}": name for name in ("width", "depth")},
    "training.epochs": "epochs",
}

ENUMERABLE = 20_000  # points; spaces up to here are looked through instead of guessed at


class Space:
    """Override keys with the values that each may take."""

    def __init__(self, distributions: Mapping[str, BaseDistribution]):
        self.distributions = dict(distributions)

    def size(self) -> int | None:
        """The number of points; None where an interval makes it endless."""
        values = [_values(distribution) for distribution in self.distributions.values()]
        return None if None in values else math.prod(len(v) for v in values if v is not None)

    def points(self) -> Iterator[Point]:
        """Every point of a finite space, the last key changing fastest."""
        values = [_values(distribution) or [] for distribution in self.distributions.values()]
        for combination in itertools.product(*values):
            yield dict(zip(self.distributions, combination, strict=True))

    def each_value(self) -> Iterator[Point]:
        """Few points that hold every value of every choice, and both ends of every range, once."""
        first = {key: _ends(d)[0] for key, d in self.distributions.items()}
        yield first
        for key, distribution in self.distributions.items():
            yield from ({**first, key: value} for value in _ends(distribution)[1:])

    def enumerable(self) -> bool:
        size = self.size()
        return size is not None and size <= ENUMERABLE

    def describe(self) -> dict[str, str]:
        """Plain text of each distribution, for fingerprints."""
        return {key: distribution_to_json(d) for key, d in self.distributions.items()}


def typed(point: Mapping[str, Any]) -> str:
    """The point as a person types it."""
    return " ".join(f"{ALIASES.get(key, key)}={value}" for key, value in point.items())


def overrides(point: Mapping[str, Any]) -> tuple[str, ...]:
    """The point with full keys, for Hydra."""
    return tuple(f"{key}={value}" for key, value in point.items())


def identity(point: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Equal for equal points, whatever the order of their keys."""
    return tuple(sorted((key, str(value)) for key, value in point.items()))


def _ends(distribution: Any) -> list[Any]:
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    return list(dict.fromkeys((distribution.low, distribution.high)))


def _values(distribution: BaseDistribution) -> list[Any] | None:
    match distribution:
        case CategoricalDistribution():
            return list(distribution.choices)
        case IntDistribution() if not distribution.log:
            return list(range(distribution.low, distribution.high + 1, distribution.step))
        case FloatDistribution() if distribution.step is not None:
            steps = round((distribution.high - distribution.low) / distribution.step)
            return [distribution.low + i * distribution.step for i in range(steps + 1)]
        case _:
            return None
