"""How a network is trained, as checked data. No torch, so that `check` and the sweeper can read it."""

from shlex import quote
from typing import Annotated, Literal

from msgspec import Meta

from cifar_arch.schema import ConfigError, Strict

Positive = Annotated[int, Meta(ge=1)]
Threads = Annotated[int, Meta(ge=1, le=1024)]
Share = Annotated[float, Meta(ge=0, lt=1)]
Rate = Annotated[float, Meta(gt=0, le=1000)]


class Recipe(Strict, frozen=True, kw_only=True):
    """How a network is trained, but for its images: the keys below `training`."""

    epochs: Positive = 15
    batch_size: Positive = 128
    optimizer: Literal["sgd", "adamw", "muon"] = "muon"  # sgd with Nesterov momentum
    lr: Rate = 0.03  # the highest of the schedule
    sgd_lr: Rate = 0.02  # with muon: of what it leaves to SGD, norms and biases too
    momentum: Share = 0.9
    cycle_momentum: tuple[Share, Share] | None = None  # (low, high), against the rate; onecycle only
    weight_decay: Annotated[float, Meta(ge=0, le=1000)] = 5e-4  # of weights; norms and biases have none
    schedule: Literal["onecycle", "cosine", "linear"] = "linear"
    warmup: Share = 0.1  # share of the steps in which the rate rises
    whiten: bool = True  # whether the first convolution starts from patterns of the training images
    label_smoothing: Share = 0.1
    ema: Share = 0.99  # decay of the averaged weights per step; 0 switches them off
    clip: Rate | None = None  # largest norm of the gradient
    precision: Literal["auto", "float32", "bf16"] = "auto"  # of products; auto: bf16 where units compute it
    threads: Threads | Literal["auto"] = "auto"  # of the CPU; auto: the cores, shared among workers
    compile: Literal["auto"] | bool = "auto"  # by torch.compile; auto: where it pays
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    resume: str | None = None  # a run folder to go on in; as an override alone, whose own config counts
    tensorboard: bool = False  # event files too; needs the extra of that name

    def __post_init__(self) -> None:
        if self.resume is not None:
            typed = f"python -m cifar_arch.run {quote(f'training.resume={self.resume}')}"
            raise ConfigError(
                f"training.resume: no config can ask for it, got {self.resume!r}; "
                f"type {typed} alone, or set it to null"
            )
        if self.cycle_momentum is None:
            return
        if self.schedule != "onecycle":
            raise ConfigError(
                "training.cycle_momentum: only training.schedule=onecycle cycles it, "
                f"got {self.schedule}; set it to null"
            )
        low, high = self.cycle_momentum
        if low > high:
            raise ConfigError(f"training.cycle_momentum: the lower one comes first, got [{low:g}, {high:g}]")
