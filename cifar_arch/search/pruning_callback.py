"""Called by a run after each epoch: reports its validation accuracy, and prunes it where that is low."""

import logging
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.pruners import BasePruner
from optuna.samplers import RandomSampler
from optuna.trial import FrozenTrial

from cifar_arch.experiment import Pruned
from cifar_arch.record import Epoch
from cifar_arch.search.objectives import by_accuracy_alone, objectives_of
from cifar_arch.search.storage import cached_storage
from cifar_arch.search.trial import role_of

log = logging.getLogger(__name__)

EPOCHS = "epochs"  # the attribute of a trial that says how many it trains


class HandedOver(RuntimeError):
    """The study gave this trial to another worker, so that training on is pointless."""


class PruningCallback:
    """An `on_epoch` for `experiment.run`, in whatever process the job runs.

    A storage that does not answer must not cost a training: that is logged, and training goes on.
    """

    def __init__(self, storage: str, study: str, trial_id: int, pruner: BasePruner, epochs: int):
        self.where = storage, study, trial_id
        self.pruner = pruner
        self.epochs = epochs  # after the last one there is nothing left to save
        self.trial: optuna.Trial | None = None
        self.prunes = False  # until the study is open, which says so
        self.reported = 0

    def __call__(self, history: list[Epoch]) -> None:
        try:
            prune = self._report(history)
        except UpdateFinishedTrialError as error:
            raise HandedOver("its trial was given to another worker") from error
        except Exception:
            log.exception("the study could not be reached; training goes on")
            return
        if prune:
            last = history[-1]
            raise Pruned(f"pruned after epoch {last.epoch} at {last.val_accuracy:.2%}")

    def _report(self, history: list[Epoch]) -> bool:
        trial = self.trial = self.trial or self._open()
        if len(trial.study.directions) > 1:  # Optuna has neither curves nor pruning there
            return False
        prune = False
        for row in history[self.reported :]:
            if row.val_accuracy is not None:
                trial.report(row.val_accuracy, row.epoch)
            # A resumed trial tells many epochs at once, of which the last one decides. But successive halving
            # stores the latest value for each rung that is passed, so that it has to be asked at each.
            prune = self.prunes and row.epoch < self.epochs and trial.should_prune()
        self.reported = len(history)
        return prune

    def _open(self) -> optuna.Trial:
        url, name, trial_id = self.where
        study = _Peers(self.epochs, name, cached_storage(url), sampler=RandomSampler(), pruner=self.pruner)
        self.prunes = by_accuracy_alone(objectives_of(study))
        trial = optuna.Trial(study, trial_id)
        trial.set_user_attr(EPOCHS, self.epochs)
        return trial


class _Peers(optuna.Study):
    """The study as pruners should see it: rejected and replayed trials have no curves to compare.

    Nor have those of another number of epochs: at the same epoch a short schedule is nearly done, and ahead.
    Hyperband alone reads the storage by itself, past this.
    """

    def __init__(self, epochs: int, *args: Any, **options: Any):
        super().__init__(*args, **options)
        self.epochs = epochs
        self.finished: dict[int, bool] = {}  # by number, whether it is one of them: that never changes

    def get_trials(self, *args: Any, **options: Any) -> list[FrozenTrial]:
        return [t for t in super().get_trials(*args, **options) if self._comparable(t)]

    def _comparable(self, trial: FrozenTrial) -> bool:
        known = self.finished.get(trial.number)
        if known is None:
            known = role_of(trial) is None and trial.user_attrs.get(EPOCHS, self.epochs) == self.epochs
            if trial.state.is_finished():
                self.finished[trial.number] = known
        return known
