"""Which processes still work on a study: each holds a lock that vanishes with it."""

import os
import socket
import uuid
from pathlib import Path

from filelock import FileLock, Timeout

from cifar_arch.device import cores


class Workers:
    """The workers of a study, by files in one folder.

    A lock tells at once that a process is dead, however it died. A worker that keeps its lock in
    another folder or on another host can only be judged by its heartbeat.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.me = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
        self.lock = FileLock(self._path(self.me))
        self.lock.acquire()

    def others(self) -> int:
        """Workers of this folder that are alive, or were killed."""
        return len(list(self.folder.glob("*.lock"))) - 1

    def threads(self, at_once: int = 1) -> int:
        """The threads for each of `at_once` trials here, so that the workers of this host share its cores."""
        here = [path.stem for path in self.folder.glob(f"{socket.gethostname()}-*.lock")]
        alive = sum(not self.dead(worker) for worker in here)
        return max(1, cores() // (max(1, alive) * at_once))

    def dead(self, worker: str) -> bool | None:
        """Whether `worker` has ended; None where this process cannot tell."""
        if worker == self.me:
            return False
        if not worker.startswith(socket.gethostname() + "-") or not self._path(worker).exists():
            return None
        try:
            with FileLock(self._path(worker), timeout=0):
                pass
        except Timeout:
            return False
        self._path(worker).touch()  # filelock 3.21 to 3.29 removes it on release, but it says who is dead
        return True

    def leave(self) -> None:
        self.lock.release()
        self._path(self.me).unlink(missing_ok=True)

    def _path(self, worker: str) -> Path:
        return self.folder / f"{worker}.lock"
