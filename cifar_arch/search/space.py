"""The points that a search chooses among: override keys with the values that each may take."""

import math
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)

from cifar_arch.schema import ConfigError
from cifar_arch.spec import STAGES, TRANSITIONS

Point = dict[str, Any]  # override key -> value

# The aliases of conf/config.yaml, by key.
ALIASES = {
    **{f"block@model.{stage}": stage for stage in STAGES},
    **{f"downsample@model.{transition}": transition for transition in TRANSITIONS},
    **{f"model.{name}": name for name in ("width", "depth")},
    "training.epochs": "epochs",
}

ENUMERABLE = 20_000  # points; up to here every point is looked at instead of guessed at


class Space:
    """Override keys with the values that each may take."""

    def __init__(self, distributions: Mapping[str, BaseDistribution]):
        self.distributions = {key: _without_repeats(d) for key, d in distributions.items()}

    def size(self) -> int | None:
        """The number of points; None where an interval makes it endless."""
        values = [_values(distribution) for distribution in self.distributions.values()]
        return None if None in values else math.prod(len(v) for v in values if v is not None)

    def points(self) -> Iterator[Point]:
        """Every point of a finite space, the last key changing fastest."""
        values = [_values(distribution) or [] for distribution in self.distributions.values()]
        for combination in _combined(values):
            yield dict(zip(self.distributions, combination, strict=True))

    def some(self, most: int, rng: random.Random) -> list[Point]:
        """Every point of a small space, `most` random ones of a large or endless one."""
        size = self.size()
        if size is not None and size <= most:
            return list(self.points())
        return [self.sample(rng) for _ in range(most)]

    def sample(self, rng: random.Random) -> Point:
        """A point at random: choices and numbers equally likely; on a logarithmic range, magnitudes."""
        return {key: _sampled(d, rng) for key, d in self.distributions.items()}

    def each_value(self) -> Iterator[Point]:
        """Few points that hold every value of every choice, and both ends of every range."""
        first = {key: _ends(d)[0] for key, d in self.distributions.items()}
        yield first
        for key, distribution in self.distributions.items():
            yield from ({**first, key: value} for value in _ends(distribution)[1:])

    def enumerable(self) -> bool:
        size = self.size()
        return size is not None and size <= ENUMERABLE

    def aliases(self) -> dict[str, str]:
        """Its keys by alias, of those that have one: what a study calls its parameters."""
        return {ALIASES[key]: key for key in self.distributions if key in ALIASES}

    def describe(self) -> dict[str, str]:
        """Plain text of each distribution, for fingerprints."""
        return {key: distribution_to_json(d) for key, d in self.distributions.items()}


def packages(keys: Iterable[str]) -> tuple[str, ...]:
    """Where each of these override keys sets something: model.c3. for block@model.c3."""
    return tuple(f"{key.lstrip('+').rpartition('@')[2]}." for key in keys)


def short_overrides(point: Mapping[str, Any]) -> str:
    """The point as a person types it."""
    return " ".join(f"{ALIASES.get(key, key)}={value}" for key, value in point.items())


def overrides(point: Mapping[str, Any]) -> tuple[str, ...]:
    """The point with full keys, for Hydra."""
    return tuple(f"{key}={value}" for key, value in point.items())


def point_identity(point: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Equal for equal points, whatever the order of their keys."""
    return tuple(sorted((key, str(value)) for key, value in point.items()))


def with_value(config: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    """A copy of a plain config with `value` at a full key; nodes that are not on the way are shared.

    Raises ConfigError where something else than fields is on the way.
    """
    *above, name = key.split(".")
    whole = node = dict(config)
    for step in above:
        inner = node.get(step, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"{key}: {step} has to hold fields, got {inner!r}; write it out as a dict")
        node[step] = dict(inner)
        node = node[step]
    node[name] = value
    return whole


def exact(value: Any, distribution: BaseDistribution) -> Any:
    """A value as it is written in decimals where the distribution has steps: 0.1 + 2 * 0.1 is 0.3."""
    if not isinstance(distribution, FloatDistribution) or distribution.step is None:
        return value
    low, step = Decimal(str(distribution.low)), Decimal(str(distribution.step))
    steps = round((value - distribution.low) / distribution.step)
    return float(low + steps * step)


def _without_repeats(distribution: BaseDistribution) -> BaseDistribution:
    """A choice with every value once: 1, 1.0 and 1e0 are one number, true and 1 are not."""
    if not isinstance(distribution, CategoricalDistribution):
        return distribution
    first: dict[Any, Any] = {}
    for value in distribution.choices:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        first.setdefault(value if number else repr(value), value)
    return CategoricalDistribution(list(first.values()))


def _sampled(distribution: BaseDistribution, rng: random.Random) -> Any:
    if isinstance(distribution, IntDistribution | FloatDistribution) and distribution.log:
        value = math.exp(rng.uniform(math.log(distribution.low), math.log(distribution.high)))
        value = min(max(value, distribution.low), distribution.high)  # whose last bit is not that of exp(log)
        return round(value) if isinstance(distribution, IntDistribution) else value
    if (values := _values(distribution)) is not None:
        return rng.choice(values)
    assert isinstance(distribution, FloatDistribution)
    return rng.uniform(distribution.low, distribution.high)


def _ends(distribution: Any) -> list[Any]:
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    return list(dict.fromkeys((distribution.low, distribution.high)))


class _Steps(Sequence[float]):
    """The values of a range with steps, each worked out where it is asked for: there may be millions."""

    def __init__(self, distribution: FloatDistribution, step: float):
        self.distribution, self.step = distribution, step
        self.places = range(round((distribution.high - distribution.low) / step) + 1)

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, place: Any) -> Any:
        return exact(self.distribution.low + self.places[place] * self.step, self.distribution)


def _combined(values: Sequence[Sequence[Any]]) -> Iterator[tuple[Any, ...]]:
    """What itertools.product gives, which would first write every range out."""
    if not values:
        yield ()
        return
    for value in values[0]:
        yield from ((value, *others) for others in _combined(values[1:]))


def _values(distribution: BaseDistribution) -> Sequence[Any] | None:
    match distribution:
        case CategoricalDistribution():
            return distribution.choices
        case IntDistribution():
            return range(distribution.low, distribution.high + 1, distribution.step)
        case FloatDistribution(low=low, high=high) if low == high:
            return [low]
        case FloatDistribution() if distribution.step is not None:
            return _Steps(distribution, distribution.step)
        case _:
            return None
