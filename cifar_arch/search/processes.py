"""A worker as a process: the command that was typed, once more, with the mark that makes a worker of it."""

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

_started: "list[subprocess.Popen[bytes]]" = []  # by this process; to kill one that is over does nothing


class WorkerCommand(NamedTuple):
    """The command of this process as its workers type it; plain data, so that a launcher can carry it."""

    words: Sequence[str]  # after the interpreter
    folder: Path  # where it was typed
    logs: Path  # the folder of what the workers print
    session: str
    option: str  # what the mark is typed after
    threads: str | None  # OMP_NUM_THREADS as the user has it; launchers set another
    gpus: Sequence[int] = ()  # each is the only one that its workers see, in turn; (): all see all

    @classmethod
    def of_this_process(cls, logs: Path, option: str, gpus: Sequence[int] = ()) -> "WorkerCommand":
        """That of this process, for a new session."""
        session = f"w{uuid.uuid4().hex[:6]}"  # a letter first: 98879e-0 would be a number to Hydra
        threads = os.environ.get("OMP_NUM_THREADS")
        return cls(sys.orig_argv[1:], Path.cwd(), logs, session, option, threads, gpus)

    def log(self, index: int) -> Path:
        """What a worker prints; made when it starts."""
        return self.folder / self.logs / f"{self.session}-{index}.log"

    def run(self, index: int) -> int:
        """Works as worker `index` until it has ended; returns its exit status.

        It has its own session, so that Ctrl-C reaches it through the study alone, and a pipe that it
        reads from: when this process ends, however that comes, the pipe does, and so does the worker.
        """
        self.log(index).parent.mkdir(parents=True, exist_ok=True)
        with (
            self.log(index).open("ab") as log,
            subprocess.Popen(
                [sys.executable, *self.words, f"{self.option}{self.session}-{index}"],
                cwd=self.folder,
                env=self._environment(index),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            ) as process,
        ):
            _started.append(process)
            return process.wait()

    def _environment(self, index: int) -> dict[str, str]:
        ours = {"OMP_NUM_THREADS": self.threads}
        if self.gpus:
            ours["CUDA_VISIBLE_DEVICES"] = str(self.gpus[index % len(self.gpus)])
        return {name: value for name, value in {**os.environ, **ours}.items() if value is not None}

    def run_here(self, count: int) -> None:
        """Works as `count` workers on this machine until all of them have ended."""
        with ThreadPoolExecutor(count) as pool:
            list(pool.map(self.run, range(count)))


def kill_workers() -> None:
    """Ends what this process has started as workers however they hang, for it would wait for them."""
    for process in [*_started]:
        process.kill()
    for child in multiprocessing.active_children():  # of joblib, which have no `kill`
        if child.pid:
            with contextlib.suppress(OSError):
                os.kill(child.pid, signal.SIGKILL)


def end_with_parent() -> None:
    """Has this process interrupted when the one that started it as a worker ends."""

    def wait() -> None:
        os.read(sys.stdin.fileno(), 1)
        interrupt()

    threading.Thread(target=wait, daemon=True).start()


def leave_ends_to_parent() -> None:
    """Has a process that a launcher made end with its parent, and ignore the Ctrl-C that it gets as well.

    A process of joblib does neither by itself: its workers would go on after a command that is killed, and
    interrupted it would leave its parent waiting for ever.
    """
    if threading.current_thread() is not threading.main_thread():
        return  # of the command itself, where some launchers work
    parent = os.getppid()

    def wait() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGKILL)  # its worker notices by the pipe

    threading.Thread(target=wait, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def interrupt(number: int = signal.SIGTERM) -> None:
    """Interrupts the main thread from another one, whatever it waits for: what it trains is given back."""
    main = threading.main_thread().ident
    assert main is not None
    signal.pthread_kill(main, number)
