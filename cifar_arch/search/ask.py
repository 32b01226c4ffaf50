"""What to train next: proposed, rejected outside the limits, replayed where an equal is known."""

import random
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from pathlib import Path
from typing import NoReturn

import msgspec
from optuna.samplers import BaseSampler
from optuna.trial import Trial, TrialState

from cifar_arch.schema import ConfigError
from cifar_arch.search.candidate import Candidate
from cifar_arch.search.edited import require_unedited
from cifar_arch.search.ledger import UNTRIED, Counts
from cifar_arch.search.notes import note_rejection
from cifar_arch.search.space import Point, point_identity, short_overrides
from cifar_arch.search.storage import patient
from cifar_arch.search.study import SearchConfig, SharedStudy
from cifar_arch.search.tell import Teller
from cifar_arch.search.trial import Role, StudySampler, TrialRecord, set_constraint
from cifar_arch.terminal import counted

GUESSES = 20  # consecutive proposals without a new point before a finite space is enumerated
STALE = 1200  # the same for a space that is too large for that
LOOKED_AT = 1000  # points among which the largest are looked for
BEGUN = "largest queued"  # the attribute of a study whose largest points are all queued

Assess = Callable[[Point], Candidate]
MakeSampler = Callable[[int], BaseSampler]  # by how far its seed moves on


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A trial to train, and the folder of the one that it goes on from."""

    number: int
    trial_id: int
    point: Point
    folder: Path
    continues: Path | None


def total(config: SearchConfig, assess: Assess) -> int | None:
    """How many trials will have been trained at the end, where that can be told beforehand."""
    if not config.exhaustive or not config.space.enumerable():
        return config.n_trials
    candidates = (assess(point) for point in config.space.points())
    feasible = len({c.key for c in candidates if not c.violations})
    return min(feasible, config.n_trials or feasible)


class Asker:
    """The next jobs of a shared study, chosen by a sampler or point by point."""

    def __init__(self, shared: SharedStudy, teller: Teller, make_sampler: MakeSampler, assess: Assess):
        self.shared = shared
        self.teller = teller
        self.assess = assess
        self._ahead: Iterator[Point] = iter(())
        self._given_up = -1  # trained trials when the sampler ran dry: it is asked again after one more
        # A seed that stood still would propose the same points again after every restart, and in
        # every shell that starts at the same moment.
        self.sampler = make_sampler(len(shared.trials()) + 1009 * shared.workers.others())
        shared.study.sampler = StudySampler(self.sampler, shared.study)
        self._refuse_edited()

    def _refuse_edited(self) -> None:
        """Raises ConfigError where a point of the study means something else by now."""
        require_unedited(self.shared.trials(), self.assess)

    @patient
    def ask(self) -> Job | None:
        """The next candidate to train; None when the total is reached or nothing new is left.

        Raises ConfigError where nothing is found inside the limits.
        """
        config = self.shared.config
        fruitless = rejected = 0  # proposals in a row without a job; of them the last that were rejected
        while True:
            with self.shared.lock():
                self.teller.recover()
                counts = self.shared.ledger.counts()
                if self._total_reached(counts):
                    return None
                if config.largest_first and not config.exhaustive and not (counts.trained or counts.running):
                    self._queue_largest()
                    counts = self.shared.ledger.counts()
                hopeless = rejected >= config.max_rejections and not config.exhaustive
                trial = None if hopeless else self._next_trial(counts, fruitless)
                if trial is None:
                    if fruitless and not config.space.enumerable():
                        self._given_up = counts.trained
                    if not (counts.trained or counts.running or counts.replayed):
                        self._nothing_feasible()
                    return None
                decision = self._decide(trial)
            if isinstance(decision, Job):
                return decision
            fruitless += 1
            rejected = rejected + 1 if decision is Role.REJECTED else 0

    def awaited(self) -> int:
        """How many trials of other workers this search waits for.

        0 once its own total is reached: those that run then belong to a command with a larger total.
        """
        counts, wanted = self.shared.counts(), self.shared.config.n_trials
        return 0 if wanted is not None and counts.trained >= wanted else counts.running

    # --- proposing ------------------------------------------------------------------------------

    def _total_reached(self, counts: Counts) -> bool:
        wanted = self.shared.config.n_trials
        return wanted is not None and counts.trained + counts.running >= wanted

    def _queue_largest(self) -> None:
        """Queues the points that `largest_first` asks for, of those that train something different.

        At equal parameters a network with more multiply-adds is better on average (docs/findings.md).
        """
        config = self.shared.config
        if self.shared.study.user_attrs.get(BEGUN):
            return
        rng = random.Random(config.name)
        points = config.space.some(LOOKED_AT, rng)
        rng.shuffle(points)  # or equally large ones would come in the order in which values were typed
        largest: dict[str, tuple[int, Point]] = {}
        for point in points:
            candidate = self.assess(point)
            if not candidate.violations:
                largest.setdefault(candidate.configuration, (candidate.totals["macs"], point))
        count = min(config.largest_first, config.n_trials or config.largest_first)
        for _, point in sorted(largest.values(), key=lambda sized: -sized[0])[:count]:
            if point_identity(point) not in self._tried():  # by a worker that was killed before the last one
                self.shared.queue(point)
        self.shared.study.set_user_attr(BEGUN, True)

    def _next_trial(self, counts: Counts, fruitless: int) -> Trial | None:
        """A queued point, one from the sampler, or the first untried one; None when none is left."""
        config = self.shared.config
        if counts.waiting:
            return self.shared.ask()  # Optuna hands out what is queued
        if config.exhaustive or (config.space.enumerable() and fruitless >= GUESSES):
            point = self._first_untried(feasible=not config.exhaustive)
            if point is None:
                return None
            self.shared.queue(point)
        elif fruitless >= STALE or self._given_up == counts.trained:
            return None
        return self.shared.ask()

    def _first_untried(self, feasible: bool) -> Point | None:
        """The next point that was not tried; None only once all of them were looked at in a row.

        Looked for from where the last one was found, so that its cost does not grow with what is done.
        """
        point = self._untried(self._ahead, feasible)
        if point is None:  # one before it may be open again: its worker died
            self._ahead = self.shared.config.space.points()
            point = self._untried(self._ahead, feasible)
        return point

    def _untried(self, points: Iterator[Point], feasible: bool) -> Point | None:
        tried = self._tried()
        for point in points:
            if point_identity(point) in tried:
                continue
            if feasible:
                candidate = self.assess(point)
                if candidate.violations or self._has_known(candidate.key):
                    continue
            return point
        return None

    def _tried(self) -> set[Hashable]:
        """The identities of the points that are not looked at again."""
        return self.shared.ledger.tried()

    def _has_known(self, key: str) -> bool:
        return any(t.role not in UNTRIED for t in self._equal(key))

    def _equal(self, key: str) -> list[TrialRecord]:
        """The trials of a key, by number, that make another one needless."""
        return self.shared.ledger.equal(key)

    # --- deciding -------------------------------------------------------------------------------

    def _decide(self, asked: Trial) -> Job | Role:
        """A job of this worker, or the role that the trial was closed with."""
        trial = self.shared.ledger.trial(asked.number)
        try:
            candidate = self.assess(trial.point)
        except BaseException:  # an invalid value: the sweep ends, and leaves nothing running
            self.shared.close(trial, TrialState.FAIL, role=Role.ABANDONED)
            raise
        set_constraint(asked, self.shared.storage, candidate.excess)
        if candidate.violations:
            note_rejection(asked, trial.point, candidate.violations)
            return self._reject(trial, candidate)
        return self._replay_or_discard(trial, candidate) or self._job(trial, candidate)

    def _replay_or_discard(self, trial: TrialRecord, candidate: Candidate) -> Role | None:
        """Answers a trial from its equal, or drops it where that is not finished or failed."""
        others = (t for t in self._equal(candidate.key) if t.number != trial.number)
        equal = [t for t in others if t.trained or not t.state.is_finished()]
        if not equal:
            return None
        done = next((t for t in equal if t.state in (TrialState.COMPLETE, TrialState.PRUNED)), None)
        if done is None:
            self.shared.close(trial, TrialState.FAIL, role=Role.DISCARDED)
            return Role.DISCARDED
        if done.state == TrialState.PRUNED and done.curve:
            last = max(done.curve)
            self.shared.report(trial, {last: done.curve[last]})
        self.shared.close(trial, done.state, done.values or None, role=Role.REPLAYED, replays=done.number)
        return Role.REPLAYED

    def _reject(self, trial: TrialRecord, candidate: Candidate) -> Role:
        """Closes a trial outside the limits as pruned: without a value, with its constraint."""
        self.shared.list_rejection(trial, candidate.violations)
        self.shared.close(
            trial,
            TrialState.PRUNED,
            None,
            role=Role.REJECTED,
            infeasible="; ".join(violation.message for violation in candidate.violations),
            **candidate.totals,
        )
        return Role.REJECTED

    def _job(self, trial: TrialRecord, candidate: Candidate) -> Job | Role:
        folder = self.shared.folder(trial.number)
        if folder.exists():
            return self._pass_over(trial, folder)
        self.shared.beat(trial.id)
        # The worker comes last: a trial without one is known to have never been launched.
        self.shared.note(
            trial,
            key=candidate.key,
            configuration=candidate.configuration,
            **candidate.totals,
            worker=self.shared.workers.me,
        )
        return Job(
            number=trial.number,
            trial_id=trial.id,
            point=dict(trial.point),
            folder=folder,
            continues=None if trial.continues is None else self.shared.folder(trial.continues),
        )

    def _pass_over(self, trial: TrialRecord, folder: Path) -> Role:
        """Leaves a number whose folder is there, as after a power cut, which takes a database's last trials.

        Raises ConfigError where the study has no result either: then it is another one.
        """
        lost = not self.shared.ledger.counts().trained
        if not lost:
            left = {name: getattr(trial, name) for name in ("continues", "retries", "epochs_before")}
            self.shared.queue(trial.point, **left)
        self.shared.close(trial, TrialState.FAIL, role=Role.ABANDONED)
        if lost:
            raise ConfigError(
                f"study: {str(folder)!r} already exists, left by a study of the same name that is no "
                f"longer in the storage; remove {str(self.shared.config.folder.path)!r} or choose another "
                "study=NAME"
            )
        return Role.ABANDONED

    def _nothing_feasible(self) -> NoReturn:
        """Raises ConfigError with the rules that bind and the closest candidate."""
        config = self.shared.config
        rejected = [t.point for t in self.shared.ledger.trials() if t.role is Role.REJECTED]
        if not rejected:  # every point was found outside before it was asked for
            rejected = list(config.space.points())
        assessed = [(self.assess(point), point) for point in rejected[-config.max_rejections :]]
        rules = Counter(v.rule for candidate, _ in assessed for v in candidate.violations)
        binding = ", ".join(f"{rule} ({count} of {len(assessed)})" for rule, count in rules.most_common())
        closest, point = min(assessed, key=lambda pair: pair[0].excess)
        which = f" is {short_overrides(point)}" if point else ""  # where nothing is swept there is but one
        raise ConfigError(
            f"nothing inside the limits among {counted(len(assessed), 'candidate')}; the rules that bind: "
            f"{binding}; the closest{which}: "
            f"{'; '.join(v.message for v in closest.violations)}; widen the space or the limits"
        )
