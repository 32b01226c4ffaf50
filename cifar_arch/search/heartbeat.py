"""The heartbeat of running trials, by which other hosts know that their worker is alive."""

import threading
from collections.abc import Callable, Sequence

from cifar_arch.search.ask import Job
from cifar_arch.search.storage import HEARTBEAT
from cifar_arch.search.study import SharedStudy


class Heartbeat:
    """Beats for jobs while it is entered, from a thread of its own: an epoch may outlast any grace period.

    The same thread calls `refresh` every other second.
    """

    def __init__(self, shared: SharedStudy, jobs: Sequence[Job], refresh: Callable[[], None]):
        self.shared, self.jobs, self.refresh = shared, jobs, refresh
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
                        self.shared.beat(job.trial_id)
                if ticks % 2 == 0:
                    self.refresh()
            except Exception:  # a storage that is busy now will answer the next beat
                continue
