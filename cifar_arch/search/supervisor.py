"""A command as the supervisor of its workers: starts them, shows what they do, starts lost ones again."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from optuna.trial import TrialState

from cifar_arch.schema import SearchStopped
from cifar_arch.search.console import Console, announce
from cifar_arch.search.processes import WorkerCommand, kill_workers
from cifar_arch.search.session import Session
from cifar_arch.search.study import SharedStudy
from cifar_arch.search.tell import Teller
from cifar_arch.terminal import counted, one_line

log = logging.getLogger(__name__)

LOOK = 1.0  # seconds between two looks at what the workers do; tests look more often
RECOVER = 30  # seconds between two looks for trials of dead workers
LOST = 120  # seconds without a running trial after which workers that had all started count as lost
AWAY = 600  # the same for workers that had trials: SLURM may have queued their jobs again
SETTLE = 10  # the same once the launcher has ended
ENDING = 30  # seconds that workers get to end
FRUITLESS = 2  # starts in a row of workers none of which asked for a trial


class Supervisor:
    """Has `count` workers of a command train to the total of a study, and trains nothing itself.

    `start` starts them and returns, or raises, when they have ended. `make_teller`: as the workers have it.
    """

    def __init__(
        self,
        shared: SharedStudy,
        command: WorkerCommand,
        start: Callable[[WorkerCommand, int], Any],
        count: int,
        *,
        make_teller: Callable[[SharedStudy], Teller] = Teller,
    ):
        self.shared = shared
        self.command = command
        self.start = start
        self.count = count
        self.session = Session(shared, command.session)
        self.teller = make_teller(shared)
        self.launchers: list[threading.Event] = []  # of each start: set once its launcher has ended

    def supervise(self, total: int | None) -> None:
        """Returns when the total is reached.

        Raises ConfigError or SearchStopped with the sentence of a worker that could not go on, and
        SearchStopped where none gets to work; on KeyboardInterrupt the workers are ended first.
        """
        announce(self.shared)
        logs = self.command.logs / f"{self.command.session}-*.log"
        print(f"{counted(self.count, 'worker')}, logs in {logs}", flush=True)
        console = Console(self.shared, total)
        fruitless = 0
        try:
            while not self.session.ended():
                before = self._asked()
                failure = self._started(console)
                fruitless = 0 if self._asked() > before else fruitless + 1
                if fruitless == FRUITLESS and not self.session.ended():
                    raise SearchStopped(f"no worker could start a trial; {self._why(failure)}")
        finally:
            self.session.end("stopped")
            console.close()
        self.session.raise_why()

    def _started(self, console: Console) -> BaseException | None:
        """Starts all workers and shows what they do until they have ended; what starting them raised."""
        failures: list[BaseException] = []
        ended = threading.Event()
        self.launchers.append(ended)
        asked, logs = self._asked(), self._log_sizes()

        def start() -> None:
            try:
                self.start(self.command, self.count)
            # A launcher raises for one killed job, the study says what is left; and passes on the Ctrl-C that
            # a process of its own got.
            except BaseException as error:
                log.debug("the workers' start ended with this", exc_info=True)
                failures.append(error)
            ended.set()

        # A launcher may wait for a job without end, as SLURM's does for a cancelled one where there is no
        # accounting; and the main thread alone gets Ctrl-C.
        threading.Thread(target=start, daemon=True).start()
        try:
            self._watch(console, ended, asked, logs)
        except KeyboardInterrupt:
            self.session.end("stopped")
            raise
        finally:
            if self.session.ended() and not ended.wait(ENDING):
                kill_workers()
                ended.wait(LOOK)
                self.teller.lock_and_recover()  # or what they trained would seem to run until the next start
            console.follow()
        return failures[0] if failures else None

    def _watch(self, console: Console, ended: threading.Event, asked: int, logs: list[int]) -> None:
        """Shows what happens until the session ends, or until no worker is left.

        `asked`, `logs`: trials asked for, and sizes of the logs, before this start. A launcher that ended
        says little: it raises for one job while others train on.
        """
        recovered = busy = time.monotonic()
        while not self.session.ended():
            over = ended.wait(LOOK)
            console.follow()
            now = time.monotonic()
            if over or now - recovered > RECOVER:
                recovered = now
                self.teller.lock_and_recover()
            if self.shared.trials(TrialState.RUNNING) or not (over or self._all_started(logs)):
                busy = now
            elif now - busy > (SETTLE if over else self._patience(worked=self._asked() > asked)):
                return
            if over:
                time.sleep(LOOK)

    def _all_started(self, before: list[int]) -> bool:
        """Whether each log has grown from its size `before`.

        Workers of a later start print into the logs that are there, and may wait in a queue until then.
        """
        return all(size > was for size, was in zip(self._log_sizes(), before, strict=True))

    def _log_sizes(self) -> list[int]:
        """Bytes of each worker's log, -1 where there is none."""
        logs = map(self.command.log, range(self.count))
        return [log.stat().st_size if log.exists() else -1 for log in logs]

    def _patience(self, *, worked: bool) -> int:
        """Seconds without a running trial after which workers are started again while their launcher waits.

        Twice as long for each earlier launcher that waits as well: the jobs of all of them may come back.
        """
        if not worked:
            return LOST
        waiting = sum(not ended.is_set() for ended in self.launchers)
        return AWAY * 2 ** max(0, waiting - 1)

    def _asked(self) -> int:
        """How many trials workers have asked for, without those that wait: this process queues some too."""
        return sum(t.state != TrialState.WAITING for t in self.shared.trials())

    def _why(self, failure: BaseException | None) -> str:
        """What the first worker printed last, or else what starting them raised."""
        path = self.command.log(0)
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n") if path.exists() else []
        if last := [line for line in lines if line.strip()][-1:]:
            return f"the last line of {str(path)!r}: {one_line(last[0])}"
        return f"starting them failed: {one_line(str(failure))}" if failure else "none of them ever started"
