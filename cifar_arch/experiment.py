"""One experiment, from its parts to a finished run folder; `_steps` is the whole data flow.

torch is imported once an architecture has passed its limits, and not before.
"""

import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from cifar_arch import artifacts, identity
from cifar_arch.config import Experiment as Experiment  # those who run one import it from here
from cifar_arch.data import SYNTHETIC_NOTE, Dataset, load_once
from cifar_arch.device import choose_execution
from cifar_arch.feasibility import Verdict, judge
from cifar_arch.latency import latency_ms
from cifar_arch.provenance import provenance
from cifar_arch.record import Cause, Epoch, Status, Summary
from cifar_arch.runfolder import RunFolder
from cifar_arch.schema import ConfigError, install
from cifar_arch.shown_commands import exact_command
from cifar_arch.terminal import counted

if TYPE_CHECKING:
    import numpy as np

    from cifar_arch.training import Trained

log = logging.getLogger(__name__)

OnEpoch = Callable[[list[Epoch]], None]


class Rejected(Exception):
    """An architecture outside its limits; the text is a line for each violation."""


class Pruned(Exception):
    """Raised by `on_epoch` to end a run that is not worth its time."""


def run_config(
    config: dict[str, Any],
    path: str | Path,
    on_epoch: OnEpoch | None = None,
    *,
    progress: bool = True,
    command: str | None = None,
) -> Summary:
    """`run` for a plain config, all of whose keys go on record.

    Raises ConfigError for a mistake in the config; summary.json is written all the same, where the
    folder holds no run.
    """
    try:
        experiment = Experiment.from_dict(config)
    except ConfigError as error:
        folder = RunFolder(path)
        if not identity.holds_run(folder):
            folder.write_summary(Summary(**provenance(config), **failure(error), seconds=0.0))
        raise
    objectives = config.get("objectives")
    latency = isinstance(objectives, list | tuple) and "latency" in objectives
    return run(
        experiment, path, on_epoch, config=config, progress=progress, command=command, with_latency=latency
    )


def run(
    experiment: Experiment,
    path: str | Path,
    on_epoch: OnEpoch | None = None,
    *,
    config: dict[str, Any] | None = None,
    progress: bool = True,
    command: str | None = None,
    with_latency: bool = False,
) -> Summary:
    """Runs the experiment in the folder `path` and returns what summary.json says at its end.

    Goes on from the folder's checkpoint where there is one; where nothing is left to do, returns what is on
    record. `on_epoch` gets the history after every epoch; what it raises ends the run. `config` goes on
    record, by default the experiment's own fields, and so does `command`, which repeats the run. `progress`
    shows a bar on a terminal; `with_latency` has the latency on record, also where no limit asks for it.

    Raises ConfigError, with no result written, where the folder holds another experiment or another process
    trains in it. Whatever else it raises, Rejected before any tensor exists, is in summary.json too.
    """
    folder = RunFolder(path)
    with folder.locked():
        if done := identity.finished(folder, experiment):
            log.info(f"{folder.path} is complete: nothing is left to train")
            return done
        folder.discard_unfinished()
        steps = _steps(experiment, folder, on_epoch, progress, with_latency)
        return _recorded(folder, _begun(experiment, config, command), steps)


def _recorded(folder: RunFolder, summary: Summary, steps: Iterable[dict[str, Any]]) -> Summary:
    """The summary with the fields that the steps yield; written when they end, in whatever way."""
    before = sum(epoch.seconds for epoch in folder.read_metrics())  # in earlier sessions
    start = time.perf_counter() - before
    try:
        for known in steps:
            summary = replace(summary, **known)
    except BaseException as error:
        summary = replace(summary, **failure(error))
        raise
    finally:
        summary = replace(summary, **_reached(folder), seconds=round(time.perf_counter() - start, 3))
        summary = replace(summary, command=exact_command(summary))
        folder.write_summary(summary)
    return summary


def _steps(
    experiment: Experiment, folder: RunFolder, on_epoch: OnEpoch | None, progress: bool, with_latency: bool
) -> Iterator[dict[str, Any]]:
    """Does the run, and yields the fields of its summary as they become known."""
    folder.write_json(folder.experiment, experiment.to_dict())
    verdict = judge(experiment.model, experiment.limits, experiment.augment.active())
    totals = verdict.analysis.totals
    yield {"architecture": verdict.key, **totals, "latency_ms": verdict.latency_ms}
    known = {"spec": verdict.architecture.to_dict(), "architecture": verdict.key}
    folder.write_json(folder.architecture, known | verdict.to_dict())
    if not verdict.ok:
        raise Rejected("\n".join(violation.message for violation in verdict.violations))
    _require_extras(experiment)
    if with_latency and verdict.latency_ms is None:
        yield {"latency_ms": latency_ms(verdict.plan)}
    # Before torch and the data are loaded, which takes seconds.
    log.info("{params:,} parameters, receptive field {receptive_field} px".format_map(totals))
    dataset = load_once(experiment.data)
    yield {"split": {part: len(getattr(dataset, part).labels) for part in ("train", "validation", "test")}}
    execution = choose_execution(experiment.training, len(dataset.train.labels))
    yield execution._asdict()
    log.info(
        f"{counted(experiment.training.epochs, 'epoch')} on {len(dataset.train.labels):,} images "
        f"of {dataset.name}, on {execution.device} in {execution.precision}, threads: {execution.threads}"
    )
    trained = _train(experiment, verdict, dataset, folder, on_epoch, progress)
    yield trained.execution._asdict()  # a run that was resumed goes on as it began
    results, probabilities = _evaluate(experiment, dataset, trained)
    yield {"weights_sha256": artifacts.save_weights(folder, trained.network)}
    artifacts.save_augmented(folder, experiment.augment, experiment.seed, dataset)
    artifacts.save_curves(folder, trained.history, experiment.reachable_target)
    scored = dataset.test if experiment.read_test else dataset.validation
    artifacts.save_misclassified(folder, scored, probabilities, dataset.classes)
    yield {"status": Status.COMPLETED, **results}


def _begun(experiment: Experiment, config: dict[str, Any] | None, command: str | None) -> Summary:
    """The summary of a run of which nothing is known but what was asked for."""
    return Summary(
        status=Status.FAILED,
        command=command,
        seed=experiment.seed,
        data=experiment.data.name,
        note=SYNTHETIC_NOTE if experiment.data.synthetic else None,
        target_accuracy=experiment.limits.target_accuracy,
        epochs=experiment.training.epochs,
        **provenance(config or experiment.to_dict()),
    )


def _reached(folder: RunFolder) -> dict[str, Any]:
    """What the last epoch reached, of this session or of an earlier one."""
    if not (history := folder.read_metrics()):
        return {}
    last = history[-1]
    names = ("train_accuracy", "val_accuracy", "val_loss", "images_per_second")
    return {"epochs_done": last.epoch, **{name: getattr(last, name) for name in names}}


def _require_extras(experiment: Experiment) -> None:
    if experiment.training.tensorboard and find_spec("tensorboard") is None:
        raise ConfigError(
            "training.tensorboard: needs a package that is not installed, got true; "
            f"type {install('tensorboard')}, or set it to false"
        )


def _train(
    experiment: Experiment,
    verdict: Verdict,
    dataset: Dataset,
    folder: RunFolder,
    on_epoch: OnEpoch | None,
    progress: bool,
) -> "Trained":
    import torch

    from cifar_arch.network import build
    from cifar_arch.training import train

    def after_epoch(history: list[Epoch]) -> None:
        folder.write_metrics(history)
        if experiment.training.tensorboard:
            artifacts.write_tensorboard(folder, history[-1])
        if on_epoch:
            on_epoch(history)

    torch.manual_seed(experiment.seed)
    trained = train(
        build(verdict.plan),
        dataset,
        experiment.training,
        augment=experiment.augment,
        seed=experiment.seed,
        workers=experiment.data.workers,
        checkpoint=folder.checkpoint,
        on_epoch=after_epoch,
        progress=progress,
    )
    folder.write_metrics(trained.history)  # where all epochs were done before, none was written above
    return trained


def _evaluate(
    experiment: Experiment, dataset: Dataset, trained: "Trained"
) -> tuple[dict[str, Any], "np.ndarray"]:
    """The final accuracies, and the probabilities of the test set, or else of the validation set."""
    from cifar_arch.training import TrainingDiverged, loss_and_accuracy, predict

    if not experiment.read_test:
        return {}, predict(trained.network, dataset.validation.images)
    probabilities = predict(trained.network, dataset.test.images)
    loss, accuracy = loss_and_accuracy(probabilities, dataset.test.labels)
    if not math.isfinite(loss):  # without validation images nobody has looked so far
        raise TrainingDiverged(f"the test loss is {loss}: lower training.lr or set training.clip=1")
    target = experiment.reachable_target
    reached = None if target is None else accuracy >= target
    return {"test_accuracy": accuracy, "test_loss": loss, "reaches_target": reached}, probabilities


def failure(error: BaseException) -> dict[str, Any]:
    """The fields of its summary that say how a run ended which did not complete."""
    named = {Rejected: Status.REJECTED, Pruned: Status.PRUNED}
    status = next((status for kind, status in named.items() if isinstance(error, kind)), Status.FAILED)
    name, cause = type(error).__name__, Cause.of(error)
    reason = cause.value if cause is Cause.INTERRUPTED else str(error) or name
    return {"status": status, "reason": reason, "error": name, "cause": cause}
