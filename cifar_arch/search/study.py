"""A search that several workers share: ask, reject, replay, tell, resume. No Hydra, no torch."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from optuna.samplers import BaseSampler, GPSampler, NSGAIIISampler, NSGAIISampler
from optuna.trial import FrozenTrial, Trial, TrialState

from cifar_arch.schema import ConfigError
from cifar_arch.search.book import DIRECTIONS, RUNNING, Book, Plan, trained
from cifar_arch.search.candidate import Candidate
from cifar_arch.search.rejections import Rejections
from cifar_arch.search.settling import recover, settle
from cifar_arch.search.space import Point, identity, typed
from cifar_arch.search.workers import Workers

GUESSES = 20  # proposals in a row without news before a finite space is looked through
STALE = 1200  # the same for a space that is too large to look through

Judge = Callable[[Point], Candidate]

__all__ = ["Job", "Judge", "Plan", "SearchStudy"]


class Job(NamedTuple):
    """A trial to train, and the folder of the one that it goes on from."""

    number: int
    trial_id: int
    point: Point
    folder: Path
    continues: Path | None


class SearchStudy(Book):
    """The study of a plan with its sampler, and this process as one of its workers."""

    def __init__(self, plan: Plan, make_sampler: Callable[[int], BaseSampler], judge: Judge):
        super().__init__(plan)
        self.judge = judge
        self.rejections = Rejections(plan.folder / "rejected.csv")
        self.workers = Workers(plan.folder / ".workers")
        # A seed that stood still would propose the same points again after every restart, and in
        # every shell that starts at the same moment.
        self.study.sampler = make_sampler(len(self.trials()) + 1009 * self.workers.others())

    def total(self) -> int | None:
        """How many trials will have been trained at the end, where that can be told beforehand."""
        if self.plan.n_trials is not None or not self.plan.space.enumerable():
            return self.plan.n_trials
        seen = (self.judge(point) for point in self.plan.space.points())
        return len({c.key for c in seen if not c.violations})

    # --- asking -------------------------------------------------------------------------------

    def ask(self) -> Job | None:
        """The next candidate to train; None when the total is reached or nothing new is left.

        Raises ConfigError where nothing feasible is found.
        """
        rejected = stale = 0  # proposals in a row
        while True:
            with self.lock():
                recover(self, self.workers)
                counts = self.counts()
                if not counts["waiting"] and self._total_reached(counts):
                    return None
                trial = self._next_trial(counts, stale, rejected)
                if trial is None:
                    if not any(counts[name] for name in ("trained", "running", "replayed")):
                        self._nothing_feasible()
                    return None
                outcome = self._decided(trial)
            if isinstance(outcome, Job):
                return outcome
            stale = stale + 1 if outcome == "known" else 0
            rejected += outcome == "rejected"
            if rejected >= self.plan.max_rejections and not self.plan.exhaustive:
                self._nothing_feasible()

    def _total_reached(self, counts: Counter[str]) -> bool:
        wanted = self.plan.n_trials
        return wanted is not None and counts["trained"] + counts["running"] >= wanted

    def _next_trial(self, counts: Counter[str], stale: int, rejected: int) -> Trial | None:
        """A queued point, one from the sampler, or the first untried one; None when none is left."""
        looks_through = self.plan.exhaustive or (
            self.plan.space.enumerable() and max(stale, rejected) >= GUESSES
        )
        if counts["waiting"]:
            pass  # Optuna hands it out by itself
        elif looks_through:
            point = self._first_untried(feasible=not self.plan.exhaustive)
            if point is None:
                return None
            self.study.enqueue_trial(point)
        elif stale >= STALE:
            return None
        self._forget_rejected(counts["rejected"])
        return self.study.ask(self.plan.space.distributions)

    def _first_untried(self, feasible: bool) -> Point | None:
        trials = self.trials()
        untried = ("requeued", "abandoned")
        tried = {identity(t.params) for t in trials if t.user_attrs.get("role") not in untried}
        known = {t.user_attrs.get("key") for t in trials if t.user_attrs.get("role") not in untried}
        for point in self.plan.space.points():
            if identity(point) in tried:
                continue
            if feasible:
                candidate = self.judge(point)
                if candidate.violations or candidate.key in known:
                    continue
            return point
        return None

    def _forget_rejected(self, rejected: int) -> None:
        """Rejected trials do not use up the random start of a sampler."""
        sampler: Any = self.study.sampler
        if isinstance(getattr(sampler, "_n_startup_trials", None), int):
            if not hasattr(sampler, "_own_startup_trials"):
                sampler._own_startup_trials = sampler._n_startup_trials
            sampler._n_startup_trials = sampler._own_startup_trials + rejected

    # --- deciding -----------------------------------------------------------------------------

    def _decided(self, trial: Trial) -> Job | str:
        """Rejects or replays a trial, or makes it a job of this worker."""
        try:
            candidate = self.judge(trial.params)
        except BaseException:  # a value that makes no sense: the sweep ends, and leaves nothing running
            self.close(trial, TrialState.FAIL, role="abandoned")
            raise
        self._set_constraint(trial, candidate.excess)
        if candidate.violations:
            self._reject(trial, candidate)
            return "rejected"
        return self._known(trial, candidate) or self._job(trial, candidate)

    def _known(self, trial: Trial, candidate: Candidate) -> str | None:
        """Answers a trial from its equal, or drops it where that is not finished or failed."""
        equal = [t for t in self.trials() if t.user_attrs.get("key") == candidate.key]
        equal = [t for t in equal if t.number != trial.number and (trained(t) or not t.state.is_finished())]
        if not equal:
            return None
        done = next((t for t in equal if t.state in (TrialState.COMPLETE, TrialState.PRUNED)), None)
        if done is None:
            self.close(trial, TrialState.FAIL, role="discarded")
            return "known"
        if done.state == TrialState.PRUNED and done.last_step is not None:
            trial.report(done.intermediate_values[done.last_step], done.last_step)
        values = done.values if done.state == TrialState.COMPLETE else None
        self.close(trial, done.state, values, role="replayed", replays=done.number)
        return "known"

    def _job(self, trial: Trial, candidate: Candidate) -> Job:
        continues, folder = trial.user_attrs.get("continues"), self.folder(trial.number)
        if folder.exists():
            self.close(trial, TrialState.FAIL, role="abandoned")
            raise ConfigError(
                f"study: {str(folder)!r} is there already, left by a study of the same name that is no "
                f"longer in the storage; remove {str(self.plan.folder)!r} or choose another study=NAME"
            )
        self.beat(trial._trial_id)
        # The worker comes last: a trial without one is known to have never been launched.
        self.note(trial._trial_id, key=candidate.key, **candidate.totals, worker=self.workers.me)
        return Job(
            number=trial.number,
            trial_id=trial._trial_id,
            point=dict(trial.params),
            folder=folder,
            continues=None if continues is None else self.folder(continues),
        )

    def _set_constraint(self, trial: Trial, excess: float) -> None:
        """Optuna 5 reads its own key, optuna-dashboard 0.21 only the older list: both are written."""
        trial.set_constraint("limits", excess)
        self.study._storage.set_trial_system_attr(trial._trial_id, "constraints", [excess])

    def _reject(self, trial: Trial, candidate: Candidate) -> None:
        """TPE learns from pruned trials with a violated constraint; GP and NSGA from complete ones."""
        reason = "; ".join(violation.message for violation in candidate.violations)
        attrs: dict[str, Any] = {"role": "rejected", "infeasible": reason, **candidate.totals}
        self.rejections.add(trial.number, trial.params, candidate.violations)
        if isinstance(self.study.sampler, GPSampler | NSGAIISampler | NSGAIIISampler):
            self.close(trial, TrialState.COMPLETE, self._worst(), **attrs)
        else:
            self.close(trial, TrialState.PRUNED, **attrs)

    def _worst(self) -> list[float]:
        """The worst trained values so far: what stands in for those of a candidate never trained."""
        values = [t.values for t in self.trained() if t.state == TrialState.COMPLETE]
        worst = []
        for index, name in enumerate(self.plan.objectives):
            maximised = DIRECTIONS[name] == "maximize"
            found = [v[index] for v in values] or [0.0 if maximised else 1e7]
            worst.append(min(found) if maximised else max(found))
        return worst

    def _nothing_feasible(self) -> None:
        """Raises ConfigError with the rules that bind and the closest candidate."""
        rejected = [t.params for t in self.trials() if t.user_attrs.get("role") == "rejected"]
        if not rejected:  # every point was found outside before it was asked for
            rejected = list(self.plan.space.points())
        judged = [(self.judge(point), point) for point in rejected[-self.plan.max_rejections :]]
        rules = Counter(v.rule for candidate, _ in judged for v in candidate.violations)
        binding = ", ".join(f"{rule} ({count} of {len(judged)})" for rule, count in rules.most_common())
        closest, point = min(judged, key=lambda pair: pair[0].excess)
        raise ConfigError(
            f"nothing inside the limits among {len(judged)} candidates; the rules that bind: {binding}; "
            f"the closest is {typed(point)}: "
            f"{'; '.join(v.message for v in closest.violations)}; widen the space or the limits"
        )

    # --- telling ------------------------------------------------------------------------------

    def settle(self, job: Job, *, stopped: bool = False) -> FrozenTrial:
        """Tells a job's result by what its own summary.json says; returns the finished trial."""
        with self.lock():
            settle(self, self.trial(job.number), stopped=stopped)
            return self.trial(job.number)

    def leave(self) -> None:
        """Gives back what this worker did not finish; somebody goes on from its checkpoint."""
        with self.lock():
            recover(self, self.workers)  # also a trial whose asking failed half-way
            for trial in self.trials(RUNNING):
                if trial.user_attrs.get("worker") == self.workers.me:
                    settle(self, trial, stopped=True)
        self.workers.leave()
