"""The screen of a running sweep, and the heartbeat of its trials."""

import sys
import threading
import time
from collections.abc import Iterable

from optuna.trial import FrozenTrial, TrialState
from tqdm import tqdm

from cifar_arch.runfolder import RunFolder
from cifar_arch.search.settling import epochs_in
from cifar_arch.search.space import typed
from cifar_arch.search.storage import HEARTBEAT
from cifar_arch.search.study import Job, SearchStudy


class Live:
    """A bar of trained trials on a terminal; elsewhere a line for each finished trial alone."""

    def __init__(self, search: SearchStudy, total: int | None):
        self.search = search
        self.total = total
        self.start = time.monotonic()
        self.before = search.counts()["trained"]
        self.bar = tqdm(
            total=total,
            initial=self.before,
            disable=None,
            leave=False,
            bar_format="{percentage:3.0f}% {bar:20} {n_fmt}/{total_fmt} trials{postfix}",
        )

    def finished(self, line: str) -> None:
        """Prints a line about a trial and brings the bar up to date."""
        done = self.search.counts()["trained"]
        self._update(())
        with self.bar.external_write_mode(file=sys.stdout):
            of = f"/{self.total}" if self.total else ""
            print(f"{done:3}{of}  {line}  {self.left(done)}".rstrip(), flush=True)

    def left(self, done: int) -> str:
        if not self.total or done <= self.before or done >= self.total:
            return ""
        seconds = (time.monotonic() - self.start) / (done - self.before) * (self.total - done)
        return f"about {seconds / 60:.1f} min left"

    def refresh(self, jobs: Iterable[Job]) -> None:
        """What is running now: the last epoch of each job, from its folder."""
        if not self.bar.disable:
            self._update(jobs)
            self.bar.refresh()

    def _update(self, jobs: Iterable[Job]) -> None:
        counts = self.search.counts()
        running = [f"trial {job.number} epoch {len(epochs_in(RunFolder(job.folder)))}" for job in jobs]
        others = [f"{counts[name]} {name}" for name in ("rejected", "pruned", "failed")]
        parts = [best_line(self.search), *others, *running, self.left(counts["trained"])]
        self.bar.n = counts["trained"]
        self.bar.set_postfix_str(", ".join(part for part in parts if part), refresh=False)


def best_line(search: SearchStudy) -> str:
    values = [t.values[0] for t in search.trained() if t.values]
    return f"best {max(values):.2%}" if values and search.plan.objectives[0] == "accuracy" else ""


def result_line(search: SearchStudy, trial: FrozenTrial) -> str:
    """The outcome of a trial, in a line."""
    reason = trial.user_attrs.get("reason")
    if trial.user_attrs.get("role") == "requeued":
        text = "interrupted, queued again"
    elif trial.state == TrialState.COMPLETE:
        pairs = zip(search.plan.objectives, trial.values, strict=True)
        text = "  ".join(f"{n} {v:.2%}" if n == "accuracy" else f"{n} {v:,.0f}" for n, v in pairs)
    elif trial.state == TrialState.PRUNED:
        text = str(reason)
    else:
        text = f"failed: {reason}"
    size = f"{trial.user_attrs.get('params', 0):,} parameters"
    return f"trial {trial.number}  {text}  {size}  {typed(trial.params)}"


class Heart:
    """Beats for the running jobs from a thread of its own: an epoch may outlast any grace period."""

    def __init__(self, search: SearchStudy, jobs: list[Job], live: Live):
        self.search, self.jobs, self.live = search, jobs, live
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> None:
        self.thread.start()

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.thread.join()

    def _run(self) -> None:
        ticks = 0
        while not self.done.wait(1.0):
            ticks += 1
            try:
                if ticks % HEARTBEAT == 0:
                    for job in self.jobs:
                        self.search.beat(job.trial_id)
                if ticks % 2 == 0:
                    self.live.refresh(self.jobs)
            except Exception:  # a storage that is busy now will answer the next beat
                continue
