"""Results told to the study, each read from its run's own files; what dead workers left, queued again."""

import logging
import math
from typing import NamedTuple

import optuna
from msgspec.structs import replace
from optuna.trial import TrialState

from cifar_arch.record import Cause, Status, Summary
from cifar_arch.runfolder import FigureName, RunFolder
from cifar_arch.schema import ConfigError
from cifar_arch.search.notes import note_study
from cifar_arch.search.objectives import OBJECTIVES, by_accuracy_alone
from cifar_arch.search.storage import patient
from cifar_arch.search.study import SharedStudy
from cifar_arch.search.trial import Role, TrialRecord, stale_ids

log = logging.getLogger(__name__)

FIGURES: tuple[FigureName, ...] = ("curves", "misclassified")  # that the dashboard shows
RETRIES = 4  # times that a trial is queued again whose worker died without finishing an epoch


class Outcome(NamedTuple):
    """How a trial ended, as its summary says; `state` is None where its run did not end."""

    state: TrialState | None = None
    values: list[float] | None = None
    reason: str | None = None


class Teller:
    """Ends the trials of a study, by the summary.json of each."""

    def __init__(self, shared: SharedStudy):
        self.shared = shared

    @patient
    def tell(self, number: int, *, stopped: bool = False) -> TrialRecord:
        """The trial as it is once its result is told, or once it is queued again.

        `stopped`: its worker was stopped on purpose, which is not held against the trial.
        """
        with self.shared.lock():
            before = self.shared.ledger.best()
            self._settle(self.shared.ledger.trial(number), stopped=stopped)
            trial = self.shared.ledger.trial(number)
            by_accuracy = by_accuracy_alone(self.shared.config.objectives)
            if by_accuracy and self.shared.ledger.best() != before:
                note_study(self.shared.study, self.shared.config.about, trial)
            return trial

    @patient
    def leave(self) -> None:
        """Gives back what this worker did not finish; another one goes on from its checkpoint."""
        with self.shared.lock():
            self.recover()  # also a trial whose asking failed half-way
            for trial in self.shared.ledger.trials(TrialState.RUNNING):
                if trial.worker == self.shared.workers.me:
                    self._settle(trial, stopped=True)
            running = self.shared.ledger.trials(TrialState.RUNNING)
            self.shared.workers.bury({trial.worker for trial in running})
        self.shared.workers.leave()

    @patient
    def lock_and_recover(self) -> None:
        """`recover` for a caller that does not hold the lock."""
        with self.shared.lock():
            self.recover()

    def recover(self) -> None:
        """Settles or queues again what dead workers left running. Call it under the lock."""
        running = self.shared.ledger.trials(TrialState.RUNNING)
        if not running:
            return
        stale = stale_ids(self.shared.storage, self.shared.config.name)
        for trial in running:
            if trial.worker is None:  # never launched: asking happens under the lock, so its worker died
                if trial.continues is None:
                    self.shared.close(trial, TrialState.FAIL, role=Role.ABANDONED)
                else:
                    self._requeue(trial, blame=False)
                continue
            dead = self.shared.workers.dead(trial.worker)
            if dead:  # its copy has a folder of its own
                RunFolder(self.shared.folder(trial.number)).discard_unfinished()
            if dead or (dead is None and trial.id in stale):
                self._settle(trial)

    def _settle(self, trial: TrialRecord, *, stopped: bool = False) -> None:
        """Tells a running trial's result by its folder, whichever worker wrote it."""
        if trial.state.is_finished():  # another worker did it
            return
        folder = RunFolder(self.shared.folder(trial.number))
        summary = read_summary(folder)
        state, values, reason = self._outcome(summary)
        if summary is None or state is None:
            broken = (Cause.GPU_BROKEN, Cause.NO_MEMORY)
            blame = not stopped and (summary is None or summary.cause in broken)
            self._requeue(trial, blame=blame)
            return
        self.shared.note(trial, folder=str(folder.path))
        self._complete_curve(trial)
        self._attach_figures(trial, folder)
        counts = self.shared.ledger.counts()
        first = not counts.completed and not counts.pruned
        mistaken = first and state == TrialState.FAIL and summary.error == ConfigError.__name__
        if mistaken:
            self.shared.queue(trial.point)  # the same command begins with it, once the mistake is fixed
        self.shared.close(
            trial,
            state,
            values,
            role=Role.MISTAKEN if mistaken else None,
            seconds=summary.seconds,
            epochs_done=summary.epochs_done,
            device=summary.device,
            error=summary.error,
            reason=reason,
        )

    def _outcome(self, summary: Summary | None) -> Outcome:
        if summary is None:
            return Outcome()
        results = {name: getattr(summary, OBJECTIVES[name].field) for name in self.shared.config.objectives}
        bad = [name for name, value in results.items() if value is None or not math.isfinite(value)]
        match summary.status:
            case Status.COMPLETED if bad:
                return Outcome(TrialState.FAIL, reason=f"its {', '.join(bad)} is not a finite number")
            case Status.COMPLETED:
                return Outcome(TrialState.COMPLETE, list(results.values()))
            case Status.PRUNED:
                return Outcome(TrialState.PRUNED, reason=summary.reason)
            case Status.FAILED | Status.REJECTED if summary.cause is None:
                return Outcome(TrialState.FAIL, reason=summary.reason)
        return Outcome()

    def _requeue(self, trial: TrialRecord, *, blame: bool) -> None:
        """Closes a trial that did not come to an end, and has a copy go on from its checkpoint.

        `blame`: a trial whose worker dies again and again before an epoch is done becomes a failure.
        """
        epochs, retries = len(self.shared.history(trial.number)), trial.retries
        if epochs > trial.epochs_before:
            retries = 0
        elif blame:
            retries += 1
        if retries > RETRIES:
            self._give_up(trial, f"its worker died {retries} times before an epoch was done")
        else:
            self._hand_on(trial, retries, max(epochs, trial.epochs_before))

    def _give_up(self, trial: TrialRecord, reason: str) -> None:
        self.shared.close(trial, TrialState.FAIL, reason=reason)

    def _hand_on(self, trial: TrialRecord, retries: int, epochs: int) -> None:
        """Leaves a trial to whoever asks next, with what its copy has to know."""
        # The copy comes first: a worker that dies between the two must not lose the trial. Should both
        # exist, the copy is discarded or replayed, as any equal candidate.
        self.shared.queue(
            trial.point,
            retries=retries,
            epochs_before=epochs,
            continues=self.shared.with_checkpoint(trial),
        )
        self.shared.close(trial, TrialState.FAIL, role=Role.REQUEUED)

    def _complete_curve(self, trial: TrialRecord) -> None:
        """Reports the epochs that the run could not: the storage was away, or it was the last one."""
        if len(self.shared.config.objectives) > 1:
            return
        history = self.shared.history(trial.number)
        curve = {row.epoch: row.val_accuracy for row in history if row.val_accuracy is not None}
        self.shared.report(trial, {e: accuracy for e, accuracy in curve.items() if e not in trial.curve})

    def _attach_figures(self, trial: TrialRecord, folder: RunFolder) -> None:
        """Copies two figures for the dashboard. An error here must not cost the result."""
        place = self.shared.config.folder.outputs.artifacts
        frozen = self.shared.study.get_trials(deepcopy=False)[trial.number]
        try:
            place.mkdir(parents=True, exist_ok=True)
            store = optuna.artifacts.FileSystemArtifactStore(place)
            for name in FIGURES:
                file = folder.figure(name)
                if file.is_file():
                    optuna.artifacts.upload_artifact(
                        artifact_store=store,
                        file_path=str(file),
                        study_or_trial=frozen,
                        storage=self.shared.storage,
                    )
        except OSError:
            log.exception("the figures of trial %d could not be copied for the dashboard", trial.number)


def read_summary(folder: RunFolder) -> Summary | None:
    """A run's summary; None for an unreadable one as well, so that the run counts as not ended."""
    try:
        summary = folder.read_summary()
    except (ConfigError, OSError):
        return None
    if summary and summary.reason == Cause.INTERRUPTED:  # of an earlier version
        return replace(summary, cause=Cause.INTERRUPTED)
    return summary
