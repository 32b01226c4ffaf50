"""Which processes still work on a study: each holds a lock that vanishes with it."""

import os
import socket
import uuid
from collections.abc import Container
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
        self.job = os.environ.get("SLURM_JOB_ID", "")
        self.me = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}+{self.job}".rstrip("+")
        self.lock = FileLock(self._path(self.me))

    def join(self) -> None:
        """Makes this process one of them."""
        self.lock.acquire()

    def others(self) -> int:
        """How many other workers have a lock in this folder: they are alive, or were killed."""
        return len(list(self.folder.glob("*.lock"))) - self.lock.is_locked

    def threads(self) -> int:
        """The threads for a trial, so that workers share the cores of their host, or of their job on it."""
        known = [path.stem for path in self.folder.glob("*.lock")]
        sharing = [worker for worker in known if _is_here(worker) and worker.partition("+")[2] == self.job]
        alive = sum(not self.dead(worker) for worker in sharing)
        return max(1, cores() // max(1, alive))

    def dead(self, worker: str) -> bool | None:
        """Whether `worker` has ended; None where this process cannot tell."""
        if worker == self.me:
            return False
        if not _is_here(worker) or not self._path(worker).exists():
            return None
        try:
            with FileLock(self._path(worker), timeout=0):
                pass
        except Timeout:
            return False
        self._path(worker).touch()  # filelock 3.21 to 3.29 removes it on release, but it says who is dead
        return True

    def bury(self, working: Container[str | None]) -> None:
        """Removes the locks of dead workers, but for those that still have to be told from the living."""
        for path in self.folder.glob("*.lock"):
            if path.stem not in working and self.dead(path.stem):
                path.unlink(missing_ok=True)

    def leave(self) -> None:
        self.lock.release()
        self._path(self.me).unlink(missing_ok=True)

    def _path(self, worker: str) -> Path:
        return self.folder / f"{worker}.lock"


def _is_here(worker: str) -> bool:
    """Whether a worker is one of this host, by its name: HOST-PROCESS-RANDOM, and +JOB on SLURM."""
    # From the right, since a host's name may have hyphens: gpu-2 is another host than gpu.
    return worker.partition("+")[0].rsplit("-", 2)[0] == socket.gethostname()
