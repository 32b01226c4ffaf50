"""The trials of a study, read once and kept up to date: counted, and found by what they are equal to."""

import threading
from collections import Counter, defaultdict
from collections.abc import Hashable

import msgspec
import optuna
from optuna.trial import TrialState

from cifar_arch.search.space import point_identity
from cifar_arch.search.trial import Role, TrialRecord

UNTRIED = (Role.REQUEUED, Role.ABANDONED, Role.MISTAKEN)  # roles of trials whose points are open again


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """How many trials a study has of each kind."""

    completed: int = 0
    pruned: int = 0
    failed: int = 0
    running: int = 0
    waiting: int = 0
    # One for each role.
    rejected: int = 0
    replayed: int = 0
    discarded: int = 0
    requeued: int = 0
    abandoned: int = 0
    mistaken: int = 0

    @property
    def trained(self) -> int:
        """Those that ran to an end of their own."""
        return self.completed + self.pruned + self.failed


class Ledger:
    """What a process knows of a study. Finished trials never change, so that each is looked at once.

    Every answer is that of the moment; threads may ask at the same time.
    """

    def __init__(self, study: optuna.Study):
        self.study = study
        self.keys = full_keys(study)
        self._lock = threading.RLock()
        self._records: list[TrialRecord] = []  # by number
        self._open: set[int] = set()
        self._by_key: defaultdict[str | None, list[int]] = defaultdict(list)  # finished ones
        self._tried: set[Hashable] = set()
        self._finished: Counter[str] = Counter()  # by the names of Counts
        self._best: float | None = None

    def trials(self, *states: TrialState) -> list[TrialRecord]:
        """All trials by number, or those in one of `states`."""
        with self._lock:
            self._update()
            if not states:
                return list(self._records)
            unfinished = not any(state.is_finished() for state in states)
            among = map(self._records.__getitem__, sorted(self._open)) if unfinished else self._records
            return [t for t in among if t.state in states]

    def trial(self, number: int) -> TrialRecord:
        with self._lock:
            self._update()
            return self._records[number]

    def counts(self) -> Counts:
        with self._lock:
            self._update()
            return Counts(**self._finished + Counter(_kind(self._records[number]) for number in self._open))

    def equal(self, key: str) -> list[TrialRecord]:
        """The trials of a key, by number."""
        with self._lock:
            self._update()
            unfinished = [number for number in self._open if self._records[number].key == key]
            return [self._records[number] for number in sorted([*self._by_key.get(key, ()), *unfinished])]

    def tried(self) -> set[Hashable]:
        """The identities of all points that need not be asked again."""
        with self._lock:
            self._update()
            return self._tried | {point_identity(self._records[number].point) for number in self._open}

    def best(self) -> float | None:
        """The highest first value of the trained trials."""
        with self._lock:
            self._update()
            return self._best

    def _update(self) -> None:
        frozen = self.study.get_trials(deepcopy=False)  # by number; read where they may have changed
        for number in sorted({*self._open, *range(len(self._records), len(frozen))}):
            record = TrialRecord.of(frozen[number], self.keys)
            self._records[number : number + 1] = [record]
            if record.state.is_finished():
                self._open.discard(number)
                self._enter(record)
            else:
                self._open.add(number)

    def _enter(self, record: TrialRecord) -> None:
        self._by_key[record.key].append(record.number)
        self._finished[_kind(record)] += 1
        if record.role not in UNTRIED:
            self._tried.add(point_identity(record.point))
        if record.trained and record.values and (self._best is None or record.values[0] > self._best):
            self._best = record.values[0]


def full_keys(study: optuna.Study) -> dict[str, str]:
    """The keys of a study's parameters, by the shorter names that they have there."""
    return study.user_attrs.get("keys", {})


def _kind(record: TrialRecord) -> str:
    if record.role or not record.state.is_finished():
        return record.role or record.state.name.lower()
    return {TrialState.COMPLETE: "completed", TrialState.FAIL: "failed"}.get(record.state, "pruned")
