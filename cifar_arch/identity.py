"""Whether a folder may take an experiment: nothing was trained in it, or this very experiment was."""

import hashlib
import shlex
from collections.abc import Callable, Mapping
from typing import Any

from msgspec.structs import replace

from cifar_arch.config import Experiment
from cifar_arch.feasibility import judge
from cifar_arch.provenance import flatten, nested
from cifar_arch.record import Status, Summary, decides_search, differences, with_added
from cifar_arch.runfolder import RunFolder
from cifar_arch.schema import ConfigError


def finished(
    folder: RunFolder, experiment: Experiment, began: Mapping[str, Any] | None = None
) -> Summary | None:
    """The record of a run that has nothing left to do; None for one to begin, or to go on with.

    `began` is the flattened config of a folder that keeps none on record: those of earlier versions did
    not until the run had ended. Raises ConfigError, with nothing written, where the folder holds another run.
    """
    if not holds_run(folder):
        return None
    summary = folder.read_summary()
    complete = summary is not None and summary.status == Status.COMPLETED
    if different := changes(folder, experiment, began, decides_search if complete else _decides_training):
        raise ConfigError(
            f"run: {str(folder.path)!r} holds another run ({different}); choose another folder "
            f"(hydra.run.dir=FOLDER), or type training.resume={shlex.quote(str(folder.path))} for that one"
        )
    if summary is None or not complete:
        return None
    tested = summary.test_accuracy is not None or not experiment.read_test
    return summary if tested and weights_are_those_of(folder, summary) else None


def _decides_training(key: str) -> bool:
    """Whether a key must match before an unfinished run continues: only the target may have changed."""
    return decides_search(key) and key != "limits.target_accuracy"


def holds_run(folder: RunFolder) -> bool:
    """Whether something was trained in a folder, or may be at this moment."""
    if any(file.exists() for file in (folder.checkpoint, folder.weights, folder.metrics)):
        return True
    summary = folder.read_summary()
    if summary is None:
        return folder.experiment.exists() or folder.architecture.exists()
    return bool(summary.epochs_done)


def changes(
    folder: RunFolder,
    experiment: Experiment,
    began: Mapping[str, Any] | None = None,
    decides: Callable[[str], bool] = decides_search,
) -> str:
    """The keys that decide and in which an experiment differs from the folder's, with both values.

    "" for none, and where the folder has no config on record, as those of earlier versions may not.
    """
    stored = recorded_config(folder) or began
    if not stored:
        return ""
    try:
        theirs = Experiment.from_dict(nested(with_added(stored)))
    except ConfigError as error:
        return f"whose config cannot be read: {error}"
    old, new = flatten(theirs.to_dict()), flatten(experiment.to_dict())
    different = differences(
        {key: value for key, value in old if decides(key)},
        {key: value for key, value in new if decides(key)},
        most=8,
    )
    return different or _other_network(folder, experiment)


def _other_network(folder: RunFolder, experiment: Experiment) -> str:
    """Both keys where a block's own file was edited since, so that equal configs make different networks.

    "" where they make the same, and for a folder of an earlier version, which has no key.
    """
    stored = folder.read_json(folder.architecture) if folder.architecture.exists() else {}
    if "architecture" not in stored:
        return ""
    limits = replace(experiment.limits, latency_ms_below=None)  # which would be measured
    now = judge(experiment.model, limits, repairs=False).key
    return differences({"architecture": stored["architecture"]}, {"architecture": now}, most=1)


def recorded_config(folder: RunFolder) -> dict[str, Any] | None:
    """The flattened config that a run began with, as far as it is on record; None where it is not."""
    if folder.experiment.exists():  # fields of parts alone, where a block's own may be called tokens
        return dict(flatten(folder.read_json(folder.experiment), mask=False))
    summary = folder.read_summary()
    return (summary.config or None) if summary else None


def weights_are_those_of(folder: RunFolder, summary: Summary) -> bool:
    """Whether the weights are there, and to the last bit those that the summary tells of."""
    if not folder.weights.is_file():
        return False
    return summary.weights_sha256 in (None, hashlib.sha256(folder.weights.read_bytes()).hexdigest())
