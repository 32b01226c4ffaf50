"""What a running search shows: its first lines, a bar, a line for each trial, its end."""

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from optuna.trial import TrialState
from tqdm import tqdm

from cifar_arch.search.objectives import OBJECTIVES, by_accuracy_first
from cifar_arch.search.space import short_overrides
from cifar_arch.search.storage import GRACE, network_file_system
from cifar_arch.search.study import SharedStudy
from cifar_arch.search.trial import Role, TrialRecord
from cifar_arch.terminal import counted, one_line

BAR = 12  # characters


def announce(shared: SharedStudy) -> None:
    """Prints what is searched, and how much of it is done."""
    config, done = shared.config, shared.counts().trained
    size = config.space.size()
    points = "endless" if size is None else counted(size, "point")
    print(f"study {config.name}: {points}, folders in {config.folder.path}", flush=True)
    if done:
        print(f"{done} trained before", flush=True)
    began = Path(shared.study.user_attrs["folder"])  # relative in the published study
    if began.resolve() != config.folder.path.resolve():
        print(f"its folders were in {began} at first; trials whose checkpoints are only there restart here")
    if shared.file and (kind := network_file_system(shared.file)):
        print(
            f"warning: {shared.file} lies on {kind}, where SQLite serves one machine alone; "
            "for several type storage=postgresql+psycopg://USER@HOST/DATABASE",
            flush=True,
        )


class Console:
    """A bar of trained trials on a terminal; elsewhere a line for each finished trial alone.

    `progress`: whether anything is shown at all.
    """

    def __init__(self, shared: SharedStudy, total: int | None, *, progress: bool = True):
        self.shared = shared
        self.progress = progress
        self.waiting = False
        self.start = self.last = time.monotonic()  # `last`: when the number of trials that are `done` changed
        self.before = self.done = shared.counts().trained
        self.told = {t.number for t in shared.trials() if t.state.is_finished()}  # by `follow`
        self.total = total and max(total, self.before)  # n_trials may be less than before
        self.bar = tqdm(
            total=self.total,
            initial=self.before,
            disable=None if progress else True,
            leave=False,
            bar_format=f"{{percentage:3.0f}}% {{bar:{BAR}}} {{n_fmt}}/{{total_fmt}} trials{{postfix}}",
        )

    def finished(self, trial: TrialRecord, after: int = 0) -> None:
        """Prints a line about a trial and brings the bar up to date; so many were finished `after` it."""
        self._update(())
        done = self.bar.n - after
        of = f"/{self.total}" if self.total else ""
        line = one_line(_result_line(self.shared, trial))
        if self.progress:
            with self.bar.external_write_mode(file=sys.stdout):
                print(f"{done:3}{of}  {line}  {self._left(done)}".rstrip(), flush=True)

    def wait_for(self, running: int) -> None:
        """Says once that nothing is left but what other workers train."""
        if self.progress and not self.waiting:
            self.waiting = True
            print(
                f"waiting for {counted(running, 'trial')} of other workers; "
                f"a dead one is known {GRACE // 60} minutes after its last sign, on this machine at once",
                flush=True,
            )

    def follow(self) -> None:
        """Prints a line about each trial that any worker has finished since, and shows what is running."""
        trials = self.shared.trials()
        fresh = [t for t in trials if t.state.is_finished() and t.number not in self.told]
        self.told |= {trial.number for trial in fresh}
        for place, trial in enumerate(fresh, 1):
            if trial.role in (None, Role.REQUEUED, Role.MISTAKEN):
                self.finished(trial, after=sum(later.trained for later in fresh[place:]))
        self.refresh([t.number for t in trials if t.state == TrialState.RUNNING])

    def refresh(self, running: Sequence[int]) -> None:
        """Shows what is running now: the last epoch of each trial, from its folder."""
        if not self.bar.disable:
            self._update(running)
            self.bar.refresh()

    def close(self) -> None:
        self.bar.close()

    def _left(self, done: int) -> str:
        if not self.total or done <= self.before or done >= self.total:
            return ""
        now = time.monotonic()
        if done != self.done:
            self.done, self.last = done, now
        each = (self.last - self.start) / (done - self.before)
        seconds = each * (self.total - done) - min(now - self.last, each)
        return f"about {tqdm.format_interval(seconds)} left"

    def _update(self, trials: Sequence[int]) -> None:
        counts, best = self.shared.counts(), _best_line(self.shared)
        running = [f"trial {number} epoch {len(self.shared.history(number))}" for number in trials]
        others = [f"{getattr(counts, name)} {name}" for name in ("failed", "pruned", "rejected")]
        # Where the line is too long, the last of these are left out first, of the others those of none.
        told = sorted(others, key=lambda count: count.startswith("0 "))
        wanted = [*running[:1], self._left(counts.trained), best, *running[1:], *told]
        shown = [best, *reversed(others), *running, self._left(counts.trained)]
        self.bar.n = counts.trained
        self.bar.set_postfix_str(", ".join(fitting(shown, wanted, self._room())), refresh=False)

    def _room(self) -> int:
        """Characters of the terminal's width that are left beside the bar."""
        if self.bar.disable:
            return 0
        columns = os.get_terminal_size(self.bar.fp.fileno()).columns or 80
        return columns - len(f"100% {'':{BAR}} {self.bar.n}/{self.total or '?'} trials, ") - 1


def fitting(parts: Sequence[str], wanted: Sequence[str], room: int) -> list[str]:
    """Those of the parts that fit into so many characters with commas; `wanted` says which come first."""
    kept: list[str] = []
    for part in wanted:
        if part and len(", ".join([*kept, part])) <= room:
            kept.append(part)
    return [part for part in parts if part in kept]


def _best_line(shared: SharedStudy) -> str:
    best = shared.best()
    return f"best {best:.2%}" if best is not None and by_accuracy_first(shared.config.objectives) else ""


def _result_line(shared: SharedStudy, trial: TrialRecord) -> str:
    """A trial's outcome, in a line."""
    if trial.role is Role.REQUEUED:
        text = "interrupted, queued again"
    elif trial.state == TrialState.COMPLETE:
        pairs = zip(shared.config.objectives, trial.values, strict=True)
        text = "  ".join(f"{name} {OBJECTIVES[name].shown(v)}" for name, v in pairs if name != "params")
    elif trial.state == TrialState.PRUNED:
        text = str(trial.reason)
    else:
        text = f"failed: {trial.reason}"
    return f"trial {trial.number}  {text}  {trial.params or 0:,} parameters  {short_overrides(trial.point)}"


def done_line(shared: SharedStudy) -> str:
    """What a finished study counts."""
    counts, config = shared.counts(), shared.config
    kinds = ("pruned", "failed", "rejected", "replayed")
    others = ", ".join(f"{getattr(counts, name)} {name}" for name in kinds if getattr(counts, name))
    count, wanted = counts.trained, config.n_trials
    used_up = wanted is not None and count < wanted
    return (
        f"study {config.name} is done: {count} trained"
        + (f", and nothing new was found of the {wanted} that were asked for" if used_up else "")
        + (f" ({others})" if others else "")
    )
