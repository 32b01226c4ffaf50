"""One experiment, from a plain config to a finished run folder: the whole data flow on one screen.

torch is imported once an architecture has passed its limits, and not before.
"""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from msgspec import Meta

from cifar_arch.augment import Augment, Pipeline
from cifar_arch.data import DataConfig, Pictures, load
from cifar_arch.feasibility import Verdict, judge
from cifar_arch.limits import Limits
from cifar_arch.recipe import Recipe
from cifar_arch.runfolder import RunFolder, Status, atomic
from cifar_arch.schema import ConfigError, Strict, checked
from cifar_arch.spec import Architecture
from cifar_arch.summary import provenance

if TYPE_CHECKING:
    from cifar_arch.training import Epoch, Trained

log = logging.getLogger(__name__)

# Keys of a config that say nothing about a single run: `downsample` is what t1 to t3 start from.
OF_SWEEPS = ("downsample", "study", "storage", "n_trials", "objectives", "prefer", "trial")

EMBEDDED = "the embedded picture set never counts towards the target"


class Experiment(Strict, frozen=True, kw_only=True):
    """The parts of a config that decide what a run computes."""

    model: Architecture
    limits: Limits = Limits()
    data: DataConfig = DataConfig()
    augment: Augment = Augment()
    training: Recipe = Recipe()
    seed: Annotated[int, Meta(ge=0, lt=2**32)] = 0
    read_test: bool = True  # whether the run ends by reading the test set, once

    @classmethod
    def from_dict(cls, config: dict[str, Any]) -> "Experiment":
        """The checked experiment. Raises ConfigError with the full key of the first wrong field."""
        known = {*cls.__struct_fields__, *OF_SWEEPS}
        if unknown := [name for name in config if name not in known]:
            raise ConfigError(f"{unknown[0]}: unknown key; choose from {', '.join(sorted(known))}")
        ours = {name: config[name] for name in cls.__struct_fields__ if name in config}
        return checked(cls, ours, "")


class Rejected(Exception):
    """An architecture outside its limits; the text is a line for each violation."""


class Pruned(Exception):
    """Raised by `on_epoch` to end a run that is not worth its time."""


def run(
    config: dict[str, Any],
    path: str | Path,
    on_epoch: "Callable[[list[Epoch]], None] | None" = None,
    *,
    progress: bool = True,
) -> dict[str, Any]:
    """Runs the experiment of a plain `config` in the folder `path` and returns its summary.

    Goes on from the folder's checkpoint where there is one. `on_epoch` gets the history after every
    epoch; what it raises ends the run. Raises Rejected before any tensor exists, ConfigError for
    a mistake in the config, and whatever else went wrong; `summary.json` is written all the same.
    `progress` shows a bar on a terminal.
    """
    folder = RunFolder(path)
    folder.discard_unfinished()
    summary: dict[str, Any] = {"status": Status.FAILED, "reason": None, **provenance(config)}
    start = time.perf_counter() - folder.seconds_trained()  # by earlier sessions
    try:
        experiment = Experiment.from_dict(config)
        verdict = judge(experiment.model, experiment.limits, experiment.augment.active())
        summary |= _totals(experiment, verdict)
        _write_architecture(folder, verdict)
        if not verdict.ok:
            raise Rejected("\n".join(violation.message for violation in verdict.violations))
        _require_extras(experiment)
        pictures = load(experiment.data)
        summary["split"] = {part: len(getattr(pictures, part).labels) for part in _PARTS}
        trained = _train(experiment, verdict, pictures, folder, summary, on_epoch, progress)
        results, probabilities = _evaluate(experiment, pictures, trained)
        summary |= {"status": Status.COMPLETED, **results}
        _save_weights(folder, trained)
        _draw(folder, experiment, pictures, trained, probabilities)
        return summary
    except BaseException as error:
        summary |= {"status": _status(error), "reason": _reason(error), "error": type(error).__name__}
        raise
    finally:
        summary["seconds"] = round(time.perf_counter() - start, 3)
        folder.write_json(folder.summary, summary)


_PARTS = ("train", "validation", "test")


def _totals(experiment: Experiment, verdict: Verdict) -> dict[str, Any]:
    analysis = verdict.analysis
    return {
        "architecture": verdict.architecture.key(),
        "params": analysis.params,
        "macs": analysis.macs,
        "receptive_field": analysis.receptive_field,
        "receptive_field_with_pooling": analysis.receptive_field_with_pooling,
        "data": experiment.data.name,
        "target_accuracy": experiment.limits.target_accuracy,
        "reaches_target": None,
        "epochs": experiment.training.epochs,
    }


def _write_architecture(folder: RunFolder, verdict: Verdict) -> None:
    spec = verdict.architecture.to_dict()
    folder.write_json(folder.architecture, {"spec": spec, **verdict.to_dict()})


def _require_extras(experiment: Experiment) -> None:
    if experiment.training.tensorboard:
        try:
            import tensorboard  # noqa: F401
        except ImportError:
            raise ConfigError(
                "training.tensorboard: needs a package that is not installed, got true; "
                "type uv sync --extra tensorboard, or set it to false"
            ) from None


def _train(
    experiment: Experiment,
    verdict: Verdict,
    pictures: Pictures,
    folder: RunFolder,
    summary: dict[str, Any],
    on_epoch: "Callable[[list[Epoch]], None] | None",
    progress: bool,
) -> "Trained":
    from cifar_arch.network import build
    from cifar_arch.training import pick_device, random_seed, train

    summary["device"] = pick_device(experiment.training.device).type
    log.info(
        f"{summary['params']:,} parameters, receptive field {summary['receptive_field']} px; "
        f"{summary['epochs']} epochs on {len(pictures.train.labels):,} images of {pictures.name}, "
        f"on {summary['device']}"
    )

    def after_epoch(history: "list[Epoch]") -> None:
        _record(folder, summary, history)
        if experiment.training.tensorboard:
            _write_tensorboard(folder, history[-1])
        if on_epoch:
            on_epoch(history)

    _draw_augmented(folder, experiment, pictures)
    random_seed(experiment.seed)
    trained = train(
        build(verdict.architecture.plan()),
        pictures,
        experiment.training,
        augment=experiment.augment,
        seed=experiment.seed,
        workers=experiment.data.workers,
        checkpoint=folder.checkpoint,
        on_epoch=after_epoch,
        progress=progress,
    )
    _record(folder, summary, trained.history)  # nothing was trained where all epochs were done before
    return trained


def _record(folder: RunFolder, summary: dict[str, Any], history: "list[Epoch]") -> None:
    folder.write_metrics([row._asdict() for row in history])
    last = history[-1]
    summary.update(
        epochs_done=last.epoch,
        train_accuracy=last.train_accuracy,
        val_accuracy=last.val_accuracy,
        val_loss=last.val_loss,
        images_per_second=last.images_per_second,
    )


def _evaluate(
    experiment: Experiment, pictures: Pictures, trained: "Trained"
) -> tuple[dict[str, Any], np.ndarray]:
    """The final accuracies, and the probabilities of the test set, or else of the validation set."""
    from cifar_arch.training import loss_and_accuracy, predict

    if not experiment.read_test:
        return {}, predict(trained.network, pictures.validation.images)
    probabilities = predict(trained.network, pictures.test.images)
    loss, accuracy = loss_and_accuracy(probabilities, pictures.test.labels)
    target, counts = experiment.limits.target_accuracy, pictures.name != "shapes"
    results = {
        "test_accuracy": accuracy,
        "test_loss": loss,
        "reaches_target": accuracy >= target if target is not None and counts else None,
        "note": None if counts else EMBEDDED,
    }
    return results, probabilities


def _save_weights(folder: RunFolder, trained: "Trained") -> None:
    from safetensors.torch import save_file

    state = {name: tensor.contiguous() for name, tensor in trained.network.state_dict().items()}
    with atomic(folder.weights) as temporary:
        save_file(state, temporary)


def _write_tensorboard(folder: RunFolder, row: "Epoch") -> None:
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder.tensorboard)) as writer:
        for name, value in row._asdict().items():
            if name != "epoch" and value is not None:
                writer.add_scalar(name, value, row.epoch)


def _draw_augmented(folder: RunFolder, experiment: Experiment, pictures: Pictures) -> None:
    """What the network will see: one picture a class, as it is and as seven epochs show it."""
    from cifar_arch.plots import sheet

    pipeline = Pipeline(experiment.augment, pictures.mean, experiment.seed)
    firsts = [int(np.argmax(pictures.train.labels == label)) for label in range(len(pictures.classes))]
    images, titles = [], []
    for label, index in enumerate(firsts):
        original = pictures.train.images[index]
        images += [original, *(pipeline(original, epoch, index) for epoch in range(1, 8))]
        titles += [pictures.classes[label], *(f"epoch {epoch}" for epoch in range(1, 8))]
    heading = f"Augmented samples: {', '.join(experiment.augment.active()) or 'none'}"
    folder.save_figure("augmented", sheet(np.stack(images), titles, heading))


def _draw(
    folder: RunFolder,
    experiment: Experiment,
    pictures: Pictures,
    trained: "Trained",
    probabilities: np.ndarray,
) -> None:
    from cifar_arch import plots

    target = experiment.limits.target_accuracy if pictures.name != "shapes" else None
    folder.save_figure("curves", plots.curves(trained.history, target))
    split = pictures.test if experiment.read_test else pictures.validation
    if len(split.labels):
        predicted = probabilities.argmax(1)
        matrix = plots.confusion_matrix(split.labels, predicted, pictures.classes)
        folder.save_figure("confusion_matrix", matrix)
        wrong = plots.misclassified(*split, probabilities, pictures.classes)
        folder.save_figure("misclassified", wrong)


def _status(error: BaseException) -> Status:
    match error:
        case Rejected():
            return Status.REJECTED
        case Pruned():
            return Status.PRUNED
        case _:
            return Status.FAILED


def _reason(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    return str(error) or type(error).__name__
