"""A composed config seen as a candidate: what it is equal to, and why it may not be trained."""

import hashlib
from typing import Any, NamedTuple

import msgspec

from cifar_arch.experiment import Experiment
from cifar_arch.feasibility import judge
from cifar_arch.limits import Violation
from cifar_arch.record import decides_result
from cifar_arch.schema import ConfigError


class Candidate(NamedTuple):
    key: str  # equal for equal layers, recipe, data, augmentation and seed
    violations: tuple[Violation, ...]
    totals: dict[str, int]  # params, macs, receptive_field

    @property
    def excess(self) -> float:
        """How far outside the limits, summed over the rules in parts of each limit; 0 inside."""
        return sum(_excess(violation) for violation in self.violations)


def candidate(config: dict[str, Any]) -> Candidate:
    """The candidate of a plain config. Raises ConfigError for a value that no network could have.

    A combination of valid values that makes no network (a map that collapses) is a violation.
    """
    experiment = Experiment.from_dict(config)
    try:
        verdict = judge(experiment.model, experiment.limits, experiment.augment.active(), repairs=False)
    except ConfigError as error:
        impossible = Violation(rule="plan", limit=0, actual=1, message=str(error))
        return Candidate("", (impossible,), {})
    a = verdict.analysis
    totals = {"params": a.params, "macs": a.macs, "receptive_field": a.receptive_field}
    return Candidate(_key(experiment, verdict.key), verdict.violations, totals)


def _key(experiment: Experiment, architecture: str) -> str:
    parts = [
        architecture,
        _deciding("training", experiment.training),
        _deciding("data", experiment.data),
        msgspec.to_builtins(experiment.augment.active()),
        experiment.seed,
    ]
    return hashlib.sha256(msgspec.json.encode(parts, order="deterministic")).hexdigest()[:16]


def _deciding(part: str, values: Any) -> dict[str, Any]:
    """The fields of a part of the config that decide a result."""
    fields = msgspec.to_builtins(values)
    return {name: value for name, value in fields.items() if decides_result(f"{part}.{name}")}


def _excess(violation: Violation) -> float:
    if isinstance(violation.limit, str) or isinstance(violation.actual, str):
        return 1.0
    return (abs(violation.actual - violation.limit) + 1) / max(1, violation.limit)
