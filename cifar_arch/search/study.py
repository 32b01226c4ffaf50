"""An Optuna study that several workers share: ask, reject, replay, tell, resume. No Hydra, no torch.

A trial's user attribute `role` says why it was not trained: rejected (outside the limits), replayed
(answered by an equal trial), discarded (equal to one that is being trained) or requeued (its worker
died; a copy took its place). Trials without a role are the trained ones, and only they count.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import optuna
from optuna.samplers import (
    BaseSampler,
    GPSampler,
    NSGAIIISampler,
    NSGAIISampler,
    RandomSampler,
)
from optuna.trial import FrozenTrial, Trial, TrialState

from cifar_arch.runfolder import RunFolder, Status
from cifar_arch.schema import ConfigError
from cifar_arch.search.candidate import Candidate
from cifar_arch.search.rejections import Rejections
from cifar_arch.search.space import Point, Space, identity
from cifar_arch.search.storage import open_storage, study_lock
from cifar_arch.search.workers import Workers

DIRECTIONS: dict[str, Literal["maximize", "minimize"]] = {
    "accuracy": "maximize",
    "params": "minimize",
    "macs": "minimize",
}
SUMMARY = {"accuracy": "val_accuracy", "params": "params", "macs": "macs"}
RETRIES = 4  # times that a trial is queued again whose worker died without finishing an epoch
GUESSES = 60  # proposals in a row without news before a finite space is looked through

Judge = Callable[[Point], Candidate]


class Job(NamedTuple):
    """A trial to train, and the folder of the one that it goes on from."""

    number: int
    trial_id: int
    point: Point
    folder: Path
    continues: Path | None


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


class SearchStudy:
    """The study of a plan, opened or made."""

    def __init__(self, plan: Plan, make_sampler: Callable[[int], BaseSampler], judge: Judge):
        self.plan = plan
        self.judge = judge
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
            # A seed that stood still would propose the same points again after every restart.
            self.study.sampler = make_sampler(len(self.study.get_trials(deepcopy=False)))
        self.workers = Workers(plan.folder / ".workers")
        self.rejections = Rejections(plan.folder / "rejected.csv")

    @contextmanager
    def lock(self) -> Iterator[None]:
        with study_lock(self.storage, self.plan.storage, self.plan.name):
            yield

    def _check_fingerprint(self) -> None:
        stored = self.study.user_attrs.get("fingerprint")
        if stored is None:
            if self.study.get_trials(deepcopy=False):
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
        rejected: list[tuple[Candidate, Point]] = []
        stale = 0  # proposals in a row that were known already
        while True:
            with self.lock():
                self.recover()
                counts = self.counts()
                waiting = counts["waiting"]
                if not waiting and self._total_reached(counts):
                    return None
                trial = self.study.ask() if waiting else self._propose(stale, len(rejected))
                if trial is None:
                    if not any(counts[name] for name in ("trained", "running", "replayed")):
                        self._nothing_feasible(rejected)
                    return None
                outcome, candidate = self._decide(trial)
            if isinstance(outcome, Job):
                return outcome
            stale = stale + 1 if outcome == "known" else 0
            if outcome == "rejected":
                rejected.append((candidate, dict(trial.params)))
            if len(rejected) >= self.plan.max_rejections and not self.plan.exhaustive:
                self._nothing_feasible(rejected)

    def _total_reached(self, counts: Counter[str]) -> bool:
        wanted = self.plan.n_trials
        return wanted is not None and counts["trained"] + counts["running"] >= wanted

    def _propose(self, stale: int, rejected: int) -> Trial | None:
        """A point from the sampler, or the first untried one; None when none is left."""
        finite = self.plan.space.enumerable()
        if self.plan.exhaustive or (finite and max(stale, rejected) >= GUESSES):
            point = self._first_untried(feasible=not self.plan.exhaustive)
            if point is None:
                return None
            self.study.enqueue_trial(point)
        elif stale >= 20 * GUESSES:
            return None  # too large to look through, and nothing new for a long time
        self._forget_rejected()
        trial = self.study.ask()
        for key, distribution in self.plan.space.distributions.items():
            trial._suggest(key, distribution)
        return trial

    def _first_untried(self, feasible: bool) -> Point | None:
        trials = self.study.get_trials(deepcopy=False)
        tried = {identity(t.params) for t in trials if t.user_attrs.get("role") != "requeued"}
        known = {t.user_attrs.get("key") for t in trials}
        for point in self.plan.space.points():
            if identity(point) in tried:
                continue
            if feasible:
                candidate = self.judge(point)
                if candidate.violations or candidate.key in known:
                    continue
            return point
        return None

    def _forget_rejected(self) -> None:
        """Rejected trials do not use up the random start of a sampler."""
        sampler: Any = self.study.sampler
        if isinstance(getattr(sampler, "_n_startup_trials", None), int):
            if not hasattr(sampler, "_own_startup_trials"):
                sampler._own_startup_trials = sampler._n_startup_trials
            sampler._n_startup_trials = sampler._own_startup_trials + self.counts()["rejected"]

    def _decide(self, trial: Trial) -> tuple[Job | str, Candidate]:
        """Rejects or replays a trial, or makes it a job of this worker."""
        candidate = self.judge(trial.params)
        self._set_constraint(trial, candidate.excess)
        if candidate.violations:
            self._reject(trial, candidate)
            return "rejected", candidate
        others = [
            t
            for t in self.study.get_trials(deepcopy=False)
            if t.user_attrs.get("key") == candidate.key and t.number != trial.number
        ]
        if done := next((t for t in others if t.state == TrialState.COMPLETE), None):
            self._close(trial, "replayed", TrialState.COMPLETE, done.values, replays=done.number)
            return "known", candidate
        if any(t.state.is_finished() is False or _trained(t) for t in others):
            self._close(trial, "discarded", TrialState.FAIL, None)
            return "known", candidate
        for name, value in {"key": candidate.key, **candidate.totals, "worker": self.workers.me}.items():
            trial.set_user_attr(name, value)
        self.beat(trial._trial_id)
        continues = trial.user_attrs.get("continues")
        job = Job(
            number=trial.number,
            trial_id=trial._trial_id,
            point=dict(trial.params),
            folder=self.folder(trial.number),
            continues=None if continues is None else self.folder(continues),
        )
        return job, candidate

    def folder(self, number: int) -> Path:
        return self.plan.folder / str(number)

    def _set_constraint(self, trial: Trial, excess: float) -> None:
        """Optuna 5 reads its own key, optuna-dashboard 0.21 only the older list: both are written."""
        trial.set_constraint("limits", excess)
        self.study._storage.set_trial_system_attr(trial._trial_id, "constraints", [excess])

    def _reject(self, trial: Trial, candidate: Candidate) -> None:
        """TPE learns from pruned trials with a violated constraint; GP and NSGA from complete ones."""
        reason = "; ".join(violation.message for violation in candidate.violations)
        for name, value in candidate.totals.items():
            trial.set_user_attr(name, value)
        if isinstance(self.study.sampler, GPSampler | NSGAIISampler | NSGAIIISampler):
            worst = [0.0 if DIRECTIONS[o] == "maximize" else 1e12 for o in self.plan.objectives]
            self._close(trial, "rejected", TrialState.COMPLETE, worst, reason=reason)
        else:
            self._close(trial, "rejected", TrialState.PRUNED, None, reason=reason)
        self.rejections.add(trial.number, trial.params, candidate.violations)

    def _close(
        self, trial: Trial, role: str, state: TrialState, values: list[float] | None, **attrs: Any
    ) -> None:
        for name, value in {"role": role, **attrs}.items():
            trial.set_user_attr(name, value)
        self.study.tell(trial, values=values, state=state)

    def _nothing_feasible(self, rejected: list[tuple[Candidate, Point]]) -> None:
        rules = Counter(v.rule for candidate, _ in rejected for v in candidate.violations)
        binding = ", ".join(f"{rule} ({count} of {len(rejected)})" for rule, count in rules.most_common())
        closest, point = min(rejected, key=lambda pair: pair[0].excess)
        raise ConfigError(
            f"nothing inside the limits among {len(rejected)} candidates; the rules that bind: {binding}; "
            f"the closest is {' '.join(f'{k}={v}' for k, v in point.items())}: "
            f"{'; '.join(v.message for v in closest.violations)}; widen the space or the limits"
        )

    # --- telling ------------------------------------------------------------------------------

    def settle(self, job: Job) -> FrozenTrial:
        """Tells a job's result by what its own summary.json says, whoever wrote it."""
        self._settle(job.number, job.trial_id)
        return self.trial(job.number)

    def trial(self, number: int) -> FrozenTrial:
        return self.study.get_trials(deepcopy=False)[number]

    def _settle(self, number: int, trial_id: int) -> None:
        folder = RunFolder(self.folder(number))
        summary = folder.read_summary()
        values: list[Any] = [summary.get(SUMMARY[name]) for name in self.plan.objectives]
        reason = summary.get("reason")
        match summary.get("status"):
            case Status.COMPLETED if all(isinstance(v, int | float) and math.isfinite(v) for v in values):
                state = TrialState.COMPLETE
            case Status.COMPLETED:
                state, reason = TrialState.FAIL, f"the result {values} is not a finite number"
            case Status.PRUNED:
                state = TrialState.PRUNED
            case Status.FAILED | Status.REJECTED if reason != "interrupted":
                state = TrialState.FAIL
            case _:
                self._requeue(number, trial_id)
                return
        attrs = {name: summary.get(name) for name in ("seconds", "epochs_done", "device", "error")}
        attrs |= {"reason": reason, "folder": str(folder.path)}
        for name, value in attrs.items():
            if value is not None:
                self.study._storage.set_trial_user_attr(trial_id, name, value)
        self._attach_pictures(folder, trial_id)
        complete = state == TrialState.COMPLETE
        self.study.tell(number, values if complete else None, state=state, skip_if_finished=True)

    def _attach_pictures(self, folder: RunFolder, trial_id: int) -> None:
        """Curves and misclassified pictures, for the dashboard."""
        store = self.plan.folder.parent.parent / "artifacts"
        store.mkdir(parents=True, exist_ok=True)
        backend = optuna.artifacts.FileSystemArtifactStore(store)
        frozen = self.study._storage.get_trial(trial_id)
        for name in ("curves", "misclassified"):
            file = folder.plots / f"{name}.png"
            if file.is_file():
                optuna.artifacts.upload_artifact(
                    artifact_store=backend,
                    file_path=str(file),
                    study_or_trial=frozen,
                    storage=self.study._storage,
                )

    def recover(self) -> None:
        """Settles or queues again what dead workers left running; under the lock."""
        stale = set(self.storage._get_stale_trial_ids(self.study._study_id))
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            worker = trial.user_attrs.get("worker")
            if worker is None:  # asked, but never launched: asking happens under the lock, so it died
                self.study._storage.set_trial_user_attr(trial._trial_id, "role", "discarded")
                self.study.tell(trial.number, state=TrialState.FAIL)
                continue
            dead = self.workers.dead(worker)
            if dead or (dead is None and trial._trial_id in stale):
                self._settle(trial.number, trial._trial_id)

    def release(self, job: Job) -> None:
        """Gives back a job that this worker did not finish; somebody goes on from its checkpoint."""
        if not self.trial(job.number).state.is_finished():
            self._settle(job.number, job.trial_id)

    def _requeue(self, number: int, trial_id: int) -> None:
        trial = self.study._storage.get_trial(trial_id)
        epochs = RunFolder(self.folder(number)).epochs_done()
        progress = epochs > trial.user_attrs.get("epochs_before", 0)
        retries = 0 if progress else trial.user_attrs.get("retries", 0) + 1
        if retries > RETRIES:
            reason = f"its worker died {retries} times before an epoch was done"
            self.study._storage.set_trial_user_attr(trial_id, "reason", reason)
        else:
            self.study._storage.set_trial_user_attr(trial_id, "role", "requeued")
            attrs = {"continues": number, "retries": retries, "epochs_before": epochs}
            self.study.enqueue_trial(trial.params, user_attrs=attrs)
        self.study.tell(number, state=TrialState.FAIL)

    def beat(self, trial_id: int) -> None:
        self.storage.record_heartbeat(trial_id)

    # --- looking ------------------------------------------------------------------------------

    def counts(self) -> Counter[str]:
        """How many trials are trained (complete, pruned and failed ones), running, waiting, ..."""
        counts: Counter[str] = Counter()
        for trial in self.study.get_trials(deepcopy=False):
            role = trial.user_attrs.get("role")
            if role:
                counts[role] += 1
            elif not trial.state.is_finished():
                counts[trial.state.name.lower()] += 1
            else:
                counts["trained"] += 1
                counts[{"COMPLETE": "completed", "FAIL": "failed"}.get(trial.state.name, "pruned")] += 1
        return counts

    def trained(self) -> list[FrozenTrial]:
        return [t for t in self.study.get_trials(deepcopy=False) if _trained(t)]


def _trained(trial: FrozenTrial) -> bool:
    return trial.state.is_finished() and "role" not in trial.user_attrs


def _differences(stored: dict[str, Any], wanted: dict[str, Any]) -> str:
    """The keys in which two fingerprints differ, at most four, with both values."""
    keys = [k for k in {**stored, **wanted} if stored.get(k) != wanted.get(k)]
    shown = [f"{k}={stored.get(k, 'nothing')}, now {wanted.get(k, 'nothing')}" for k in keys[:4]]
    more = f" and {len(keys) - 4} more" if len(keys) > 4 else ""
    return "; ".join(shown) + more
