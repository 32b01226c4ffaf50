"""What a run leaves on record, as structs; and which keys of a config decide a result."""

import errno
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Literal

import msgspec


class Status(StrEnum):
    """How a run ended."""

    COMPLETED = "completed"
    PRUNED = "pruned"
    REJECTED = "rejected"  # outside its limits: never trained
    FAILED = "failed"


class Cause(StrEnum):
    """What ended a run from outside, so that the run itself did not fail."""

    INTERRUPTED = "interrupted"
    DISK_FULL = "disk full"
    GPU_BROKEN = "GPU broken"  # CUDA refuses all further work in that process
    NO_MEMORY = "no memory"  # to load torch into, so that nothing was trained

    @classmethod
    def of(cls, error: BaseException) -> "Cause | None":
        """The external cause of an exception; None if the run itself failed, as where memory runs out."""
        match error:
            case KeyboardInterrupt():
                return cls.INTERRUPTED
            # Of the device, of the user, and of the shell (ulimit -f).
            case OSError(errno=errno.ENOSPC | errno.EDQUOT | errno.EFBIG):
                return cls.DISK_FULL
            case ImportError() if "failed to map segment" in str(error):
                return cls.NO_MEMORY
            case RuntimeError() if str(error).startswith("CUDA error: no kernel image"):
                return None  # this torch is not made for this GPU, and in another process it is not either
            case RuntimeError() if str(error).startswith("CUDA error"):
                return cls.GPU_BROKEN
        return None


class Epoch(msgspec.Struct, frozen=True):
    """One row of metrics.csv: losses in nats, accuracies from 0 to 1."""

    epoch: int  # from 1
    lr: float  # of the step that would follow the epoch: about 0 after the last
    train_loss: float  # on augmented images, with label smoothing
    train_accuracy: float
    val_loss: float | None  # None without validation images
    val_accuracy: float | None
    seconds: float  # validation included
    images_per_second: float  # of training alone


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """summary.json: how a run ended and what it reached; None is not known, or not reached."""

    status: Status
    reason: str | None = None  # a sentence; None for a completed run
    error: str | None = None  # the class of the exception that ended it
    cause: Cause | None = None  # where that came from outside
    command: str | None = None  # trains the same once more
    seed: int | None = None
    versions: dict[str, str] = {}
    git_commit: str | None = None
    config: dict[str, Any] = {}  # flattened to full keys, secrets masked
    architecture: str | None = None  # equal for equal layers
    params: int | None = None  # trainable numbers
    macs: int | None = None  # multiply-adds of one image
    latency_ms: float | None = None  # of one image on one thread of the CPU; where it was asked for
    receptive_field: int | None = None  # pixels, before global pooling
    receptive_field_with_pooling: int | None = None
    data: str | None = None
    split: dict[str, int] | None = None  # images in train, validation, test
    target_accuracy: float | None = None
    reaches_target: bool | None = None  # None without a test accuracy, or a target that counts
    epochs: int | None = None  # asked for
    epochs_done: int | None = None
    device: str | None = None
    precision: str | None = None  # of the products in training: float32 or bf16
    threads: int | None = None  # of the CPU; another number rounds differently
    compiled: bool | None = None  # by torch.compile on a CPU; on a GPU captured as CUDA graphs
    train_accuracy: float | None = None
    val_accuracy: float | None = None
    val_loss: float | None = None
    test_accuracy: float | None = None
    test_loss: float | None = None
    weights_sha256: str | None = None  # of the file of weights
    images_per_second: float | None = None
    seconds: float | None = None  # of all sessions
    note: str | None = None


# The only place that classifies config keys. A key in neither set changes what a run computes: two runs that
# differ in it are different runs.

# How and where something runs. Changing one of these changes neither a run nor what a search finds, but for
# the last bits that another number of threads rounds differently: those on record are `Summary.threads`.
EXECUTION = frozenset(
    {
        "data.root",
        "data.workers",
        "gpus",
        "n_trials",
        "outputs",
        "plugins",
        "prefer",
        "read_test",
        "storage",
        "study",
        "target",
        "training.compile",
        "training.device",
        "training.resume",
        "training.tensorboard",
        "training.threads",
        "trial.id",
        "trial.number",
        "trial.worker",
        "workers",
    }
)
# Which runs are wanted. They decide what a search finds, and not what one of its runs computes:
# limits reject, objectives rank, and `downsample` is only what t1 to t3 start from.
SELECTION = frozenset({"downsample", "limits", "objectives"})
# What a search may rank by, and what a run then measures: its latency where that is among them.
ObjectiveName = Literal["accuracy", "params", "macs", "latency"]
Objectives = tuple[ObjectiveName, ...]

# Keys added later, with the value that older records and studies imply.
ADDED: Mapping[str, Any] = {
    "augment.backend": "albumentations",
    "augment.cutmix.alpha": 1.0,
    "augment.cutmix.p": 0.0,
    "augment.horizontal_flip.alternate": False,
    "augment.mixup.alpha": 0.2,
    "augment.mixup.p": 0.0,
    "limits.latency_ms_below": None,
    "limits.macs_below": None,
    "model.stem": None,
    "training.precision": "float32",
    "training.sgd_lr": 0.02,
    "training.whiten": False,
}
# The same for what a block may have or not: these are taken away alone, and blocks fill in their own.
ADDED_TO_BLOCKS: Mapping[str, Any] = {
    f"model.c{stage}.{field}": value
    for stage in (1, 2, 3, 4)
    for field, value in {"kernel": 3, "multiplier": 1, "preactivation": False, "squeeze": None}.items()
} | {f"{place}.separable": False for place in ("downsample", "model.t1", "model.t2", "model.t3")}


def with_added(config: Mapping[str, Any]) -> dict[str, Any]:
    """A flattened config on record, with the values of the keys that came later."""
    return {**ADDED, **config}


def without_added(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config without the keys that came later, where they hold what earlier versions implied."""
    added = {**ADDED, **ADDED_TO_BLOCKS}
    return {key: value for key, value in config.items() if key not in added or added[key] != value}


def decides_search(key: str) -> bool:
    """Whether a full key of a flattened config decides what a search finds."""
    return key not in EXECUTION


def decides_result(key: str) -> bool:
    """Whether a full key of a flattened config decides what a run computes."""
    return key not in EXECUTION and key.partition(".")[0] not in SELECTION


def differences(stored: Mapping[str, Any], wanted: Mapping[str, Any], most: int) -> str:
    """The keys in which two flat configs differ, at most `most` of them, with both values; "" for none."""
    keys = [k for k in {**stored, **wanted} if stored.get(k) != wanted.get(k)]
    shown = [f"{k}={_spelt(stored, k)}, now {_spelt(wanted, k)}" for k in keys[:most]]
    more = f" and {len(keys) - most} more" if len(keys) > most else ""
    return "; ".join(shown) + more


def _spelt(config: Mapping[str, Any], key: str) -> str:
    """A value as it is typed, cut where it is long."""
    text = str(config.get(key, "nothing"))
    text = {"None": "null", "True": "true", "False": "false"}.get(text, text)
    return text if len(text) <= 60 else f"{text[:57]}..."
