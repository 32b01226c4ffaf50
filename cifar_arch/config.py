"""Experiment: the parts of a config that a run reads, checked together."""

from typing import Annotated, Any

from msgspec import Meta, to_builtins
from msgspec.structs import force_setattr, replace

from cifar_arch.augment import Augment
from cifar_arch.data import DataConfig, require_batch
from cifar_arch.latency import NOT_INSTALLED, measurable
from cifar_arch.limits import Accuracy, Limits
from cifar_arch.recipe import Recipe
from cifar_arch.record import EXECUTION, SELECTION
from cifar_arch.schema import ConfigError, Strict, checked, meant
from cifar_arch.spec import Architecture


class Experiment(Strict, frozen=True, kw_only=True):
    """The parts of a config that a run reads; `record` says which of them decide what it computes."""

    model: Architecture
    limits: Limits = Limits()
    data: DataConfig = DataConfig()
    augment: Augment = Augment()
    training: Recipe = Recipe()
    seed: Annotated[int, Meta(ge=0, lt=2**32)] = 0
    read_test: bool = True  # whether the run ends by reading the test set, once
    target: Accuracy | None = None  # to reach, in place of limits.target_accuracy

    def __post_init__(self) -> None:
        if self.limits.latency_ms_below is not None and not measurable():
            raise ConfigError(f"limits.latency_ms_below: {NOT_INSTALLED}")
        require_batch(self.training.batch_size, self.data.training_images)
        if self.target is not None:
            limits = replace(self.limits, target_accuracy=self.target)
            force_setattr(self, "limits", limits)

    @property
    def reachable_target(self) -> float | None:
        """The accuracy to reach on the test set; None on the synthetic data set, which never counts."""
        return None if self.data.synthetic else self.limits.target_accuracy

    @classmethod
    def from_dict(cls, config: dict[str, Any]) -> "Experiment":
        """The checked experiment. Raises ConfigError with the full key of the first wrong field."""
        known = {*cls.__struct_fields__, *(key.partition(".")[0] for key in EXECUTION | SELECTION)}
        if unknown := [name for name in config if name not in known]:
            unplaced = unknown[0] in ("experiment", "search", "cluster")
            hint = "; a file of that group begins with the line # @package _global_" * unplaced
            near = meant(cls, str(unknown[0]))
            raise ConfigError(f"{unknown[0]}: unknown key{near} choose from {', '.join(sorted(known))}{hint}")
        ours = {name: config[name] for name in cls.__struct_fields__ if name in config}
        return checked(cls, ours, "")

    def to_dict(self) -> dict[str, Any]:
        """Plain data that `from_dict` takes."""
        return to_builtins(self)
