"""A config as a candidate of a search: what it is equal to, its sizes, the limits that it breaks."""

import hashlib
from typing import Any

import msgspec

from cifar_arch.config import Experiment
from cifar_arch.feasibility import judge
from cifar_arch.limits import Violation
from cifar_arch.record import decides_result, without_added
from cifar_arch.schema import ConfigError

SIZES = ("params", "macs", "receptive_field")  # that a study has on record of each candidate


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """What a search has to know of a point before it is trained."""

    key: str  # equal for equal layers, recipe, data, augmentation and seed
    configuration: str  # equal for what is equal but for its seed
    violations: tuple[Violation, ...]
    totals: dict[str, int]  # SIZES; none where there is no network

    @classmethod
    def from_dict(cls, config: dict[str, Any]) -> "Candidate":
        """The candidate of a plain config. Raises ConfigError for a value that no network could have.

        A combination of valid values that makes no network (a map that collapses) is a violation.
        """
        experiment = Experiment.from_dict(config)
        try:
            verdict = judge(experiment.model, experiment.limits, experiment.augment.active(), repairs=False)
        except ConfigError as error:
            impossible = Violation(rule="plan", limit=0, actual=1, message=str(error))
            return cls(key="", configuration="", violations=(impossible,), totals={})
        parts = _parts(experiment, verdict.key)
        return cls(
            key=_digest([*parts, experiment.seed]),
            configuration=_digest(parts),
            violations=verdict.violations,
            totals={name: getattr(verdict.analysis, name) for name in SIZES},
        )

    @property
    def excess(self) -> float:
        """How far outside the limits, summed over the rules in parts of each limit; 0 inside."""
        return sum(_excess(violation) for violation in self.violations)


def _parts(experiment: Experiment, architecture: str) -> list[Any]:
    augment = experiment.augment
    return [
        architecture,
        _deciding(msgspec.to_builtins(experiment.training), "training"),
        _deciding(msgspec.to_builtins(experiment.data), "data"),
        _deciding(msgspec.to_builtins({**augment.active(), "backend": augment.backend}), "augment"),
    ]


def _digest(parts: list[Any]) -> str:
    return hashlib.sha256(msgspec.json.encode(parts, order="deterministic")).hexdigest()[:16]


def _deciding(part: dict[str, Any], name: str) -> dict[str, Any]:
    """The fields of a part of the config that decide a result."""
    kept: dict[str, Any] = {}
    for field, value in part.items():
        key = f"{name}.{field}"
        if isinstance(value, dict):
            kept[field] = _deciding(value, key)
        elif decides_result(key) and without_added({key: value}):
            kept[field] = value
    return kept


def _excess(violation: Violation) -> float:
    if isinstance(violation.limit, str) or isinstance(violation.actual, str):
        return 1.0
    return (abs(violation.actual - violation.limit) + 1) / max(1, violation.limit)
