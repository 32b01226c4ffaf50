"""The Optuna study of a search, opened, locked and counted; every trial with its role.

A trial's user attribute `role` says why it was not trained: rejected (outside the limits), replayed
(answered by an equal trial), discarded (equal to one that is being trained or that failed), requeued
(its worker died or was stopped; a copy took its place) or abandoned (its worker died before it was
launched). Trials without a role are the trained ones, and only they count.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import optuna
from optuna.samplers import RandomSampler
from optuna.trial import FrozenTrial, Trial, TrialState

from cifar_arch.schema import ConfigError
from cifar_arch.search.space import Space
from cifar_arch.search.storage import open_storage, study_lock

DIRECTIONS: dict[str, Literal["maximize", "minimize"]] = {
    "accuracy": "maximize",
    "params": "minimize",
    "macs": "minimize",
}
RUNNING = (TrialState.RUNNING,)


class Plan(NamedTuple):
    """What a search is about."""

    name: str
    storage: str
    folder: Path  # outputs/sweeps/<name>
    space: Space
    objectives: tuple[str, ...]
    n_trials: int | None  # trained trials in all; None: every point of the space once
    exhaustive: bool  # point by point instead of by a sampler
    fingerprint: dict[str, Any]
    max_rejections: int = 300


class Book:
    """The study of a plan, opened or made. Raises ConfigError for one that is of another sweep."""

    def __init__(self, plan: Plan):
        self.plan = plan
        self.storage = open_storage(plan.storage)
        with self.lock():
            self.study = optuna.create_study(
                study_name=plan.name,
                storage=self.storage,
                sampler=RandomSampler(),
                directions=[DIRECTIONS[name] for name in plan.objectives],
                load_if_exists=True,
            )
            self._check_fingerprint()

    @contextmanager
    def lock(self) -> Iterator[None]:
        with study_lock(self.storage, self.plan.storage, self.plan.name):
            yield

    def _check_fingerprint(self) -> None:
        stored = self.study.user_attrs.get("fingerprint")
        if stored is None:
            if self.trials():
                raise ConfigError(
                    f"study: {self.plan.name!r} was not made by this tool; choose another study=NAME"
                )
            self.study.set_user_attr("fingerprint", self.plan.fingerprint)
            self.study.set_metric_names(list(self.plan.objectives))
        elif different := _differences(stored, self.plan.fingerprint):
            raise ConfigError(
                f"study: {self.plan.name!r} was made with {different}; "
                "choose another study=NAME, or type the command it was made with"
            )

    # --- looking ------------------------------------------------------------------------------

    def trials(self, states: tuple[TrialState, ...] | None = None) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False, states=states)

    def trial(self, number: int) -> FrozenTrial:
        return self.trials()[number]

    def trained(self) -> list[FrozenTrial]:
        return [t for t in self.trials() if trained(t)]

    def folder(self, number: int) -> Path:
        return self.plan.folder / str(number)

    def counts(self) -> Counter[str]:
        """How many trials are trained (complete, pruned and failed ones), running, waiting, ..."""
        counts: Counter[str] = Counter()
        for trial in self.trials():
            role = trial.user_attrs.get("role")
            if role:
                counts[role] += 1
            elif not trial.state.is_finished():
                counts[trial.state.name.lower()] += 1
            else:
                counts["trained"] += 1
                counts[{"COMPLETE": "completed", "FAIL": "failed"}.get(trial.state.name, "pruned")] += 1
        return counts

    # --- writing ------------------------------------------------------------------------------

    def note(self, trial_id: int, **attrs: Any) -> None:
        """Writes user attributes of a trial that is not finished; None is nothing to write."""
        for name, value in attrs.items():
            if value is not None:
                self.study._storage.set_trial_user_attr(trial_id, name, value)

    def close(
        self,
        trial: Trial | FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None = None,
        **attrs: Any,
    ) -> None:
        """Ends a trial, its attributes first: a finished one cannot be written to."""
        self.note(trial._trial_id, **attrs)
        self.study.tell(trial.number, values, state=state)

    def beat(self, trial_id: int) -> None:
        self.storage.record_heartbeat(trial_id)


def trained(trial: FrozenTrial) -> bool:
    return trial.state.is_finished() and "role" not in trial.user_attrs


def _differences(stored: dict[str, Any], wanted: dict[str, Any]) -> str:
    """The keys in which two fingerprints differ, at most four, with both values."""
    keys = [k for k in {**stored, **wanted} if stored.get(k) != wanted.get(k)]
    shown = [f"{k}={stored.get(k, 'nothing')}, now {wanted.get(k, 'nothing')}" for k in keys[:4]]
    more = f" and {len(keys) - 4} more" if len(keys) > 4 else ""
    return "; ".join(shown) + more
