"""The loop of a search: ask, train, tell, until the total is reached."""

import shutil
import time
from collections.abc import Callable, Sequence

from optuna.samplers import BaseSampler

from cifar_arch.runfolder import RunFolder, atomic
from cifar_arch.search.ask import Asker, Assess, Job
from cifar_arch.search.console import Console, announce
from cifar_arch.search.heartbeat import Heartbeat
from cifar_arch.search.stopping import stop_if_hopeless
from cifar_arch.search.study import SearchConfig, SharedStudy
from cifar_arch.search.tell import Teller


class Worker:
    """This process at work on a shared study; gives back what it did not finish when it is left."""

    def __init__(self, config: SearchConfig, make_sampler: Callable[[int], BaseSampler], assess: Assess):
        self.shared = SharedStudy(config)
        self.teller = Teller(self.shared)
        self.asker = Asker(self.shared, self.teller, make_sampler, assess)

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self.teller.leave()

    def work(
        self,
        train: Callable[[Sequence[Job]], None],
        *,
        at_once: int = 1,
        max_failure_rate: float = 0.5,
        progress: bool = True,
    ) -> None:
        """Trains to the total; `train` gets up to `at_once` jobs and leaves a summary.json for each.

        Raises ConfigError and SearchStopped, and what `train` raises.
        """
        if progress:
            announce(self.shared)
        console = Console(self.shared, self.asker.total(), progress=progress)
        while True:
            if jobs := self._next_jobs(at_once):
                self._train(train, jobs, console)
                stop_if_hopeless(self.shared, max_failure_rate)
            elif self.shared.counts()["running"]:
                time.sleep(1)  # another worker's: should that die, what it leaves is ours
            else:
                console.close()
                return

    def _next_jobs(self, at_once: int) -> list[Job]:
        jobs: list[Job] = []
        while len(jobs) < at_once and (job := self.asker.ask()):
            jobs.append(job)
        return jobs

    def _train(self, train: Callable[[Sequence[Job]], None], jobs: Sequence[Job], console: Console) -> None:
        """Trains jobs and tells their results, also where `train` itself breaks."""
        for job in jobs:
            _copy_checkpoint(job)
        stopped = False
        try:
            with Heartbeat(self.shared, jobs, lambda: console.refresh(jobs)):
                train(jobs)
        except KeyboardInterrupt:
            stopped = True
            raise
        finally:
            for job in jobs:
                console.finished(self.teller.tell(job.number, stopped=stopped))


def _copy_checkpoint(job: Job) -> None:
    """Brings along the checkpoint of the trial that this one goes on from."""
    if job.continues is None:
        return
    old, new = RunFolder(job.continues), RunFolder(job.folder)
    # The checkpoint before the metrics, since it alone is enough to go on from; what it belongs to first.
    for source, target in (
        (old.experiment, new.experiment),
        (old.checkpoint, new.checkpoint),
        (old.metrics, new.metrics),
    ):
        if source.is_file():
            with atomic(target) as temporary:
                shutil.copyfile(source, temporary)
