"""The loop of a search: ask, train, tell, until the total is reached; and a training in this very process."""

import logging
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from typing import Any

from cifar_arch.experiment import OnEpoch, run_config
from cifar_arch.runfolder import RunFolder, atomic
from cifar_arch.schema import ConfigError
from cifar_arch.search.ask import Asker, Assess, Job, MakeSampler, total
from cifar_arch.search.console import Console, announce
from cifar_arch.search.heartbeat import Heartbeat
from cifar_arch.search.processes import end_with_parent
from cifar_arch.search.session import Session
from cifar_arch.search.space import with_value
from cifar_arch.search.stopping import stop_if_hopeless, stop_if_unfit
from cifar_arch.search.study import SearchConfig, SharedStudy
from cifar_arch.search.tell import Teller

log = logging.getLogger(__name__)


class Worker:
    """This process at work on a shared study; gives back what it did not finish when it is left.

    `mark`: that of a worker which another process started as one of several; the end of their session, or
    of that process, is this worker's too.
    """

    def __init__(
        self,
        config: SearchConfig,
        make_sampler: MakeSampler,
        assess: Assess,
        *,
        mark: str | None = None,
        make_teller: Callable[[SharedStudy], Teller] = Teller,
        make_asker: Callable[[SharedStudy, Teller, MakeSampler, Assess], Asker] = Asker,
    ):
        if mark:
            end_with_parent()
        self.shared = SharedStudy(config)
        self.shared.workers.join()
        self.teller = make_teller(self.shared)
        self.asker = make_asker(self.shared, self.teller, make_sampler, assess)
        self.session = Session(self.shared, mark.partition("-")[0]) if mark else None
        self.since = len(self.shared.trials())  # what was there before it came

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self.teller.leave()

    def work(self, train: Callable[[Job], None], *, progress: bool = True) -> None:
        """Trains to the total; `train` leaves a summary.json for its job.

        Raises ConfigError and SearchStopped, and what `train` raises.
        """
        if progress:
            announce(self.shared)
        # Of several workers none measures again what a limit on latency asks for.
        wanted = total(self.shared.config, self.asker.assess) if progress and not self.session else None
        console = Console(self.shared, wanted, progress=progress)
        with closing(console), self.session.of_worker() if self.session else nullcontext():
            asked_again = False
            while not (self.session and self.session.ended()):
                if job := self.asker.ask():
                    asked_again = False
                    self._train(train, job, console)
                    stop_if_unfit(self.shared.folder(job.number))
                    stop_if_hopeless(self.shared, self.since)
                elif running := self.asker.awaited():
                    console.wait_for(running)
                    time.sleep(1)  # another worker's: should that die, what it leaves is ours
                elif not asked_again and self.shared.counts().waiting:
                    asked_again = True  # one was given back a moment ago
                else:
                    break

    def _train(self, train: Callable[[Job], None], job: Job, console: Console) -> None:
        """Trains a job and tells its result, also where `train` itself breaks."""
        _copy_checkpoint(job)
        heartbeat = Heartbeat(self.shared, job, self.session, lambda: console.refresh([job.number]))
        stopped = False
        try:
            with heartbeat:
                train(job)
        except KeyboardInterrupt:
            stopped = True
            if not heartbeat.given_away:
                raise
        finally:
            console.finished(self.teller.tell(job.number, stopped=stopped))


def _copy_checkpoint(job: Job) -> None:
    """Brings along the checkpoint of the trial that this one goes on from."""
    if job.continues is None:
        return
    old, new = RunFolder(job.continues), RunFolder(job.folder)
    # The checkpoint before the metrics, since it alone is enough to go on from; what it belongs to first.
    for source, target, read in (
        (old.experiment, new.experiment, old.read_json),
        (old.architecture, new.architecture, old.read_json),
        (old.checkpoint, new.checkpoint, lambda _: None),
        (old.metrics, new.metrics, lambda _: old.read_metrics()),
    ):
        if source.is_file():
            # A damaged record stays behind, or it would fail the copy, and each copy of that.
            with suppress(ConfigError), atomic(target) as temporary:
                read(source)
                shutil.copyfile(source, temporary)


def train_here(
    config: dict[str, Any],
    folder: RunFolder,
    shared: SharedStudy,
    callback: OnEpoch | None = None,
    command: str | None = None,
) -> None:
    """Runs a trial in this process, on its share of the cores; what it says goes to its log alone."""
    if config.get("training", {}).get("threads", "auto") == "auto":
        config = with_value(config, "training.threads", shared.workers.threads())
    with _logged_to(folder):
        try:
            run_config(config, folder.path, callback, progress=False, command=command)
        except Exception:
            log.debug("the run ended here", exc_info=True)
            raise


@contextmanager
def _logged_to(folder: RunFolder) -> Iterator[None]:
    """Writes what the package logs to the run's log, and nothing of it elsewhere."""
    folder.path.mkdir(parents=True, exist_ok=True)
    logger = logging.getLogger("cifar_arch")
    before = logger.level, logger.propagate
    file = folder.log_handler()
    logger.addHandler(file)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(file)
        file.close()
        logger.setLevel(before[0])
        logger.propagate = before[1]
