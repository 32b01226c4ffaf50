"""The heartbeat of a running trial, by which other hosts know that its worker is alive."""

import logging
import signal
import threading
from collections.abc import Callable

from cifar_arch.schema import SearchStopped
from cifar_arch.search.ask import Job
from cifar_arch.search.processes import interrupt
from cifar_arch.search.session import Session
from cifar_arch.search.storage import HEARTBEAT, STORAGE_ERRORS
from cifar_arch.search.study import SharedStudy

log = logging.getLogger(__name__)


class Heartbeat:
    """Beats for a job while it is entered, from a thread of its own: an epoch may outlast any grace period.

    The same thread calls `refresh` every other second. It interrupts the training when the session ends, or
    when the trial was given to another worker, for its host had been asleep: then `given_away` is true.
    """

    def __init__(self, shared: SharedStudy, job: Job, session: Session | None, refresh: Callable[[], None]):
        self.shared, self.job, self.session, self.refresh = shared, job, session, refresh
        self.given_away = False
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
                if ticks % 2 == 0 and self._is_over():
                    return
                if ticks % HEARTBEAT == 0:
                    self.shared.beat(self.job.trial_id)
                if ticks % 2 == 0:
                    self.refresh()
            except (*STORAGE_ERRORS, SearchStopped, OSError):  # the last where a terminal is gone
                log.debug("a beat was missed; the next one may be answered", exc_info=True)

    def _is_over(self) -> bool:
        if self.session and self.session.ended():
            interrupt()
        elif self.shared.storage.get_trial(self.job.trial_id).state.is_finished():
            self.given_away = True
            interrupt(signal.SIGINT)  # which, unlike SIGTERM, does not end the worker
        else:
            return False
        return True
