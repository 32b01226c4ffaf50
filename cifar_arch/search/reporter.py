"""The side of the job: reports each epoch's validation accuracy and ends a run that is not worth it."""

import logging
from typing import TYPE_CHECKING

import optuna
from optuna.pruners import BasePruner
from optuna.samplers import RandomSampler

from cifar_arch.experiment import Pruned
from cifar_arch.search.storage import open_storage

if TYPE_CHECKING:
    from cifar_arch.training import Epoch

log = logging.getLogger(__name__)


class Reporter:
    """An `on_epoch` for `experiment.run`, in whatever process the job runs.

    A storage that does not answer must not cost a training: that is logged, and training goes on.
    """

    def __init__(self, storage: str, study: str, trial_id: int, pruner: BasePruner):
        backend = open_storage(storage)
        self.study = optuna.load_study(
            study_name=study, storage=backend, sampler=RandomSampler(), pruner=pruner
        )
        self.trial = optuna.trial.Trial(self.study, trial_id)
        self.prunes = len(self.study.directions) == 1  # Optuna prunes for one objective only
        self.reported = 0

    def __call__(self, history: "list[Epoch]") -> None:
        try:
            prune = self._report(history)
        except Exception:
            log.exception("the study could not be reached; training goes on")
            return
        if prune:
            last = history[-1]
            raise Pruned(f"pruned after epoch {last.epoch} at {last.val_accuracy:.2%}")

    def _report(self, history: "list[Epoch]") -> bool:
        if not self.prunes:
            return False
        for row in history[self.reported :]:
            if row.val_accuracy is not None:
                self.trial.report(row.val_accuracy, row.epoch)
        self.reported = len(history)
        return self.trial.should_prune()
