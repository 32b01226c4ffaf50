"""A trial of a study as one typed record; and every call of Optuna's private interface."""

import copy
import heapq
import itertools
from collections import defaultdict
from collections.abc import Container, Mapping
from enum import StrEnum
from typing import Any

import msgspec
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, GPSampler, NSGAIIISampler, NSGAIISampler, TPESampler
from optuna.storages import BaseStorage, RDBStorage
from optuna.storages._cached_storage import _CachedStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from cifar_arch.search.space import Point, exact

EXCERPT = 250  # trials that TPE is shown at most
BEST = 25  # of them the best, as many as TPE takes for good


class Role(StrEnum):
    """Why a trial does not count; the finished ones without a role are the trained ones, which do."""

    REJECTED = "rejected"  # outside the limits
    REPLAYED = "replayed"  # answered by an equal trial
    DISCARDED = "discarded"  # equal to one that is being trained or that failed
    REQUEUED = "requeued"  # its worker died or was stopped; a copy took its place
    ABANDONED = "abandoned"  # its worker died before it was launched
    MISTAKEN = "mistaken"  # failed for a mistake in what was typed, before any other came to an end


class Attributes(msgspec.Struct, frozen=True, kw_only=True):
    """What a study stores about a trial as user attributes, under these names; None is not stored."""

    role: Role | None = None
    key: str | None = None  # equal for equal candidates
    configuration: str | None = None  # equal for candidates that are equal but for the seed
    params: int | None = None  # trainable numbers
    macs: int | None = None
    receptive_field: int | None = None  # pixels, before global pooling
    worker: str | None = None
    continues: int | None = None  # number of the trial whose checkpoint it goes on from
    retries: int = 0  # times that a worker died without finishing an epoch
    epochs_before: int = 0  # done by the trials that it continues
    replays: int | None = None  # number of the trial whose result it repeats
    infeasible: str | None = None  # the broken limits, in sentences
    reason: str | None = None  # why it was pruned or failed
    folder: str | None = None
    seconds: float | None = None
    epochs_done: int | None = None
    device: str | None = None
    error: str | None = None  # the class of the exception that ended it


class TrialRecord(Attributes, frozen=True, kw_only=True):
    """A trial as its study has it."""

    number: int
    id: int  # in the storage
    state: TrialState
    values: tuple[float, ...] = ()  # of a complete one, a value for each objective
    point: Point = {}
    curve: dict[int, float] = {}  # reported validation accuracy by epoch

    @classmethod
    def of(cls, trial: FrozenTrial, keys: Mapping[str, str] | None = None) -> "TrialRecord":
        """The record of an Optuna trial; user attributes of other names are left out.

        `keys`: as `ledger.full_keys` gives them.
        """
        stored: Mapping[str, Any] = trial.user_attrs
        attributes = {name: stored[name] for name in Attributes.__struct_fields__ if name in stored}
        if "role" in attributes:
            attributes["role"] = Role(attributes["role"])
        return cls(
            number=trial.number,
            id=trial_id(trial),
            state=trial.state,
            # Of a pruned one Optuna gives its last epoch for a value.
            values=tuple(trial.values) if trial.state == TrialState.COMPLETE else (),
            point={(keys or {}).get(name, name): value for name, value in _point(trial).items()},
            curve=trial.intermediate_values,
            **attributes,
        )

    @property
    def trained(self) -> bool:
        """Whether it ran to an end of its own: complete, pruned or failed."""
        return self.state.is_finished() and self.role is None

    @property
    def failed(self) -> bool:
        """Whether it is a trained one without a result."""
        return self.trained and self.state == TrialState.FAIL


def _point(trial: FrozenTrial) -> Point:
    """The values of a trial; a queued one has no parameters yet."""
    if not trial.params:
        return trial.system_attrs.get("fixed_params", {})
    return {name: exact(value, trial.distributions[name]) for name, value in trial.params.items()}


def stored_attributes(**attributes: Any) -> dict[str, Any]:
    """The given attributes as user attributes are stored. Raises TypeError for an unknown name."""
    plain = msgspec.to_builtins(Attributes(**attributes))
    return {name: plain[name] for name in attributes if plain[name] is not None}


# --- Optuna's private interface: here and nowhere else, each with a test in tests/test_trial.py -----------


def trial_id(trial: Trial | FrozenTrial) -> int:
    """The storage's own number of a trial, which its public methods ask for."""
    return trial._trial_id


def stale_ids(storage: RDBStorage, study: str) -> set[int]:
    """Ids of the running trials whose heartbeat has stopped for longer than the grace period."""
    return set(storage._get_stale_trial_ids(storage.get_study_id_from_name(study)))


def random_start(sampler: BaseSampler) -> int | None:
    """How many trials a sampler draws at random first; None where it has no such number."""
    return getattr(sampler, "_n_startup_trials", None)


def set_random_start(sampler: Any, trials: int) -> None:
    sampler._n_startup_trials = trials


def set_constraint(trial: Trial, storage: RDBStorage, excess: float) -> None:
    """Marks a trial as outside the limits by `excess`, or as inside where that is 0.

    Optuna 5 reads a key of its own, optuna-dashboard 0.21 only the older list: both are written.
    """
    trial.set_constraint("limits", excess)
    storage.set_trial_system_attr(trial_id(trial), "constraints", [excess])


class StudySampler(BaseSampler):
    """A sampler that knows the rejected trials of a study, and gives stepped values as exact decimals.

    A rejected trial is stored as pruned, with its violated constraint and no value, so that nothing that
    reads a study takes it for a measurement. That is what TPE learns from; GP and NSGA read complete trials
    alone, and are shown the rejected ones as complete, in memory, with the worst values of the trained ones.
    """

    def __init__(self, sampler: BaseSampler, study: optuna.Study):
        self.sampler = sampler
        # Of those that are shown rejected trials, which must not use it up.
        knows = isinstance(sampler, TPESampler | GPSampler)
        self.random_start = random_start(sampler) if knows else None
        self.study = study
        if isinstance(sampler, GPSampler | NSGAIISampler | NSGAIIISampler):
            self.study = _WithRejected(study.study_name, study._storage)
        elif isinstance(sampler, TPESampler) and len(study.directions) == 1:
            self.study = _Excerpt(study.study_name, study._storage)

    def infer_relative_search_space(self, study: Any, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        trials = study.get_trials(deepcopy=False)
        if isinstance(self.study, _Excerpt):
            self.study.choose(trials)
        if self.random_start is not None:
            set_random_start(self.sampler, self._start(self.random_start, trials))
        return self.sampler.infer_relative_search_space(self.study, trial)

    def _start(self, wanted: int, trials: list[FrozenTrial]) -> int:
        """How many of the trials that the sampler is shown have to be there before it stops guessing."""
        if isinstance(self.study, _Excerpt):  # which may leave out trained ones
            ended = (t for t in trials if t.state in (TrialState.COMPLETE, TrialState.PRUNED))
            trained = (t for t in ended if role_of(t) != Role.REJECTED)
            if len([*itertools.islice(trained, wanted)]) == wanted:
                return 0
        return wanted + sum(role_of(t) == Role.REJECTED for t in trials)

    def sample_relative(
        self, study: Any, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        found = self.sampler.sample_relative(self.study, trial, search_space)
        return {name: exact(value, search_space[name]) for name, value in found.items()}

    def sample_independent(
        self, study: Any, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        value = self.sampler.sample_independent(self.study, trial, param_name, param_distribution)
        return exact(value, param_distribution)

    def before_trial(self, study: Any, trial: FrozenTrial) -> None:
        self.sampler.before_trial(self.study, trial)

    def after_trial(self, study: Any, trial: FrozenTrial, state: TrialState, values: Any) -> None:
        self.sampler.after_trial(self.study, trial, state, values)


class CachedStorage(_CachedStorage):
    """Optuna's cache, whose list of all trials costs little in a large study: it is asked for often."""

    def __init__(self, backend: RDBStorage):
        super().__init__(backend)
        self._listed: defaultdict[int, list[FrozenTrial | None]] = defaultdict(list)  # by number, of a study

    def _add_trials_to_cache(self, study_id: int, trials: list[FrozenTrial]) -> None:
        super()._add_trials_to_cache(study_id, trials)
        listed = self._listed[study_id]
        for trial in trials:  # one just made may come before others' earlier ones
            listed += [None] * (trial.number + 1 - len(listed))
            listed[trial.number] = trial

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        self._read_trials_from_remote_storage(study_id)
        with self._lock:
            trials = [*filter(None, self._listed[study_id])]
        if states is not None:
            trials = [trial for trial in trials if trial.state in states]
        return copy.deepcopy(trials) if deepcopy else trials


class _WithRejected(optuna.Study):
    """The study with its rejected trials as complete ones."""

    def _get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        trials = super()._get_trials(deepcopy=deepcopy)
        worst = self._worst(trials)
        shown = [_complete(t, worst) if role_of(t) == Role.REJECTED else t for t in trials]
        return [t for t in shown if states is None or t.state in states]

    def _worst(self, trials: list[FrozenTrial]) -> list[float]:
        found = [t.values for t in trials if t.state == TrialState.COMPLETE and role_of(t) is None]
        columns = zip(*found, strict=True) if found else [(0.0,)] * len(self.directions)
        return [
            min(column) if direction == StudyDirection.MAXIMIZE else max(column)
            for column, direction in zip(columns, self.directions, strict=True)
        ]


class _Excerpt(optuna.Study):
    """The study as TPE needs it, however large: its best trials, those that run, and a regular sample of all.

    TPE models the density of the best 25 against that of the others, at a cost that grows with both. From
    these it finds as much as from all (LOG.md, 2026-11-26).
    """

    def __init__(self, name: str, storage: BaseStorage):
        super().__init__(name, storage)
        self.shown: list[FrozenTrial] = []
        # The best of the first `_settled` trials, which are all finished: (value, minus the number).
        self._settled = 0
        self._best: list[tuple[float, int]] = []

    def choose(self, trials: list[FrozenTrial]) -> None:
        """From all of them, once for each proposal: TPE asks several times for one."""
        if len(trials) > EXCERPT:
            best = self._best_numbers(trials)
            # Those that run, too: their place is taken, as the constant liar says.
            best |= {t.number for t in trials[self._settled :] if t.state == TrialState.RUNNING}
            room = max(0, EXCERPT - len(best))
            sample = (len(trials) * place // room for place in range(room))
            trials = [trials[number] for number in sorted({*sample, *best})]
        self.shown = trials

    def _best_numbers(self, trials: list[FrozenTrial]) -> set[int]:
        """Numbers of the best complete trials. Finished ones never change, so that each is looked at once."""
        sign = 1 if self.direction == StudyDirection.MAXIMIZE else -1
        recent = trials[self._settled :]
        complete = [(sign * (t.value or 0.0), -t.number) for t in recent if t.state == TrialState.COMPLETE]
        best = heapq.nlargest(BEST, [*self._best, *complete])
        for settled in itertools.takewhile(lambda t: t.state.is_finished(), recent):
            self._settled = settled.number + 1
        self._best = [pair for pair in best if -pair[1] < self._settled]
        return {-number for _, number in best}

    def _get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        return [t for t in self.shown if states is None or t.state in states]


def role_of(trial: FrozenTrial) -> str | None:
    """The role of an Optuna trial, without the rest of its record."""
    return trial.user_attrs.get("role")


def _complete(trial: FrozenTrial, values: list[float]) -> FrozenTrial:
    shown = copy.copy(trial)
    shown.state, shown.values = TrialState.COMPLETE, values
    return shown
