"""The outcome of a trial: told by its own summary.json, or queued again where its worker is gone."""

import logging
import math
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from cifar_arch.experiment import INTERRUPTED
from cifar_arch.record import Epoch, Status, Summary
from cifar_arch.runfolder import RunFolder
from cifar_arch.schema import ConfigError
from cifar_arch.search.book import RUNNING, Book
from cifar_arch.search.workers import Workers

log = logging.getLogger(__name__)

SUMMARY = {"accuracy": "val_accuracy", "params": "params", "macs": "macs"}
RETRIES = 4  # times that a trial is queued again whose worker died without finishing an epoch


def settle(book: Book, trial: FrozenTrial, *, stopped: bool = False) -> None:
    """Tells a running trial's result by its folder, whoever wrote it; under the lock.

    `stopped`: its worker was stopped on purpose, which is not held against the trial.
    """
    if trial.state.is_finished():  # another worker did it
        return
    folder = RunFolder(book.folder(trial.number))
    summary = _summary(folder)
    state, values, reason = _outcome(book, summary)
    if summary is None or state is None:
        requeue(book, trial, blame=not stopped and reason != INTERRUPTED)
        return
    attrs = {name: getattr(summary, name) for name in ("seconds", "epochs_done", "device", "error")}
    book.note(trial._trial_id, folder=str(folder.path))
    _complete_curve(book, folder, trial)
    _attach_pictures(book, folder, trial)
    book.close(trial, state, values, **attrs, reason=reason)


def _summary(folder: RunFolder) -> Summary | None:
    """The run's summary; None where it did not end, or left one that cannot be read."""
    try:
        return folder.read_summary()
    except (ConfigError, OSError):
        return None


def epochs_in(folder: RunFolder) -> list[Epoch]:
    """The epochs that a run has finished; none where its table cannot be read."""
    try:
        return folder.read_metrics()
    except (ConfigError, OSError):
        return []


def _outcome(book: Book, summary: Summary | None) -> tuple[TrialState | None, list[float] | None, str | None]:
    """State, values and reason; no state where the run did not come to an end."""
    if summary is None:
        return None, None, None
    values: list[Any] = [getattr(summary, SUMMARY[name]) for name in book.plan.objectives]
    reason = summary.reason
    match summary.status:
        case Status.COMPLETED if all(map(_finite, values)):
            return TrialState.COMPLETE, values, None
        case Status.COMPLETED:
            named = dict(zip(book.plan.objectives, values, strict=True))
            bad = ", ".join(name for name, value in named.items() if not _finite(value))
            return TrialState.FAIL, None, f"its {bad} is not a finite number"
        case Status.PRUNED:
            return TrialState.PRUNED, None, reason
        case Status.FAILED | Status.REJECTED if reason != INTERRUPTED:
            return TrialState.FAIL, None, reason
    return None, None, reason


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def requeue(book: Book, trial: FrozenTrial, *, blame: bool) -> None:
    """Closes a trial that did not come to an end, and queues a copy that goes on from its checkpoint.

    `blame`: a trial that kills its worker again and again before an epoch is done becomes a failure.
    """
    folder = RunFolder(book.folder(trial.number))
    epochs = len(epochs_in(folder))
    retries = trial.user_attrs.get("retries", 0)
    if epochs > trial.user_attrs.get("epochs_before", 0):
        retries = 0
    elif blame:
        retries += 1
    if retries > RETRIES:
        reason = f"its worker died {retries} times before an epoch was done"
        book.close(trial, TrialState.FAIL, reason=reason)
        return
    attrs = {"retries": retries, "epochs_before": max(epochs, trial.user_attrs.get("epochs_before", 0))}
    # A worker may have died before it had brought the checkpoint along: then the older one counts.
    source = trial.number if folder.checkpoint.is_file() else trial.user_attrs.get("continues")
    attrs |= {"continues": source if source is not None else trial.number}
    # The copy comes first: a worker that dies between the two must not lose the trial. Should both
    # exist, the copy is discarded or replayed, as any equal candidate.
    book.study.enqueue_trial(trial.params or trial.system_attrs.get("fixed_params", {}), user_attrs=attrs)
    book.close(trial, TrialState.FAIL, role="requeued")


def recover(book: Book, workers: Workers) -> None:
    """Settles or queues again what dead workers left running; under the lock."""
    running = book.trials(RUNNING)
    if not running:
        return
    stale = set(book.storage._get_stale_trial_ids(book.study._study_id))
    for trial in running:
        worker = trial.user_attrs.get("worker")
        if worker is None:  # asked, but never launched: asking happens under the lock, so it died
            if "continues" in trial.user_attrs:
                requeue(book, trial, blame=False)
            else:
                book.close(trial, TrialState.FAIL, role="abandoned")
            continue
        dead = workers.dead(worker)
        if dead or (dead is None and trial._trial_id in stale):
            settle(book, trial)


def _complete_curve(book: Book, folder: RunFolder, trial: FrozenTrial) -> None:
    """Reports the epochs that the job could not: the storage was away, or it went on after its last one."""
    if len(book.plan.objectives) > 1:
        return
    curve = {row.epoch: row.val_accuracy for row in epochs_in(folder) if row.val_accuracy is not None}
    reported = book.trial(trial.number).intermediate_values
    for epoch in sorted(curve.keys() - reported.keys()):
        book.study._storage.set_trial_intermediate_value(trial._trial_id, epoch, curve[epoch])


def _attach_pictures(book: Book, folder: RunFolder, trial: FrozenTrial) -> None:
    """Curves and misclassified pictures, for the dashboard. Not worth a result where it fails."""
    store = book.plan.folder.parent.parent / "artifacts"
    try:
        store.mkdir(parents=True, exist_ok=True)
        backend = optuna.artifacts.FileSystemArtifactStore(store)
        for name in ("curves", "misclassified"):
            file = folder.plots / f"{name}.png"
            if file.is_file():
                optuna.artifacts.upload_artifact(
                    artifact_store=backend,
                    file_path=str(file),
                    study_or_trial=trial,
                    storage=book.study._storage,
                )
    except OSError:
        log.exception("the pictures of trial %d could not be copied for the dashboard", trial.number)
