"""What the tests of the search share: small searches, and sweeps in processes of their own."""

import functools
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import optuna
from conftest import environment
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from stub_sweep import curve

from cifar_arch.limits import Violation
from cifar_arch.outputs import Outputs
from cifar_arch.record import Status, Summary
from cifar_arch.runfolder import RunFolder
from cifar_arch.search.ask import Assess, Job
from cifar_arch.search.candidate import Candidate
from cifar_arch.search.ledger import full_keys
from cifar_arch.search.space import Point, Space
from cifar_arch.search.storage import quiet_optuna
from cifar_arch.search.study import SearchConfig
from cifar_arch.search.trial import TrialRecord
from cifar_arch.search.worker import Worker

STORAGE = "sqlite:///outputs/studies.db"


def close(storage: RDBStorage) -> None:
    """Leaves no connection to the garbage collector, which warns."""
    storage.remove_session()
    storage.engine.dispose()


@functools.cache
def _empty_database() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        close(RDBStorage(f"sqlite:///{folder}/empty.db"))
        return (Path(folder) / "empty.db").read_bytes()


def search_config(tmp_path: Path, space: dict[str, BaseDistribution], **changes: Any) -> SearchConfig:
    quiet_optuna()  # as each command does; pytest gives every test its own filters of warnings
    if not (tmp_path / "studies.db").exists():
        (tmp_path / "studies.db").write_bytes(_empty_database())  # making its tables takes half a second
    fields: dict[str, Any] = {
        "name": "test",
        "storage": f"sqlite:///{tmp_path}/studies.db",
        "folder": Outputs(tmp_path / "outputs").sweep("test"),
        "space": Space(space),
        "objectives": ("accuracy",),
        "n_trials": None,
        "exhaustive": True,
        "fingerprint": {"made": "by a test"},
    }
    return SearchConfig(**{**fields, **changes})


WIDTHS: dict[str, BaseDistribution] = {"width": CategoricalDistribution([4, 6, 8])}
DIGITS: dict[str, BaseDistribution] = {name: IntDistribution(0, 9) for name in "abcd"}


def broken(rule: str, limit: int, actual: int) -> Violation:
    return Violation(
        rule=rule, limit=limit, actual=actual, message=f"{rule}: {limit} is allowed, got {actual}"
    )


def assess(point: Point, most: int = 1000) -> Candidate:
    """A candidate with a limit on the sum of its values."""
    total = sum(point.values())
    key = str(sorted(point.items()))
    return Candidate(
        key=key,
        configuration=key,
        violations=(broken("sum", most, total),) if total > most else (),
        totals={"params": total, "macs": total, "receptive_field": 45},
    )


def at_most(most: int) -> Assess:
    return functools.partial(assess, most=most)


def open_worker(
    config: SearchConfig, sampler: BaseSampler | None = None, assessed: Assess = assess
) -> Worker:
    return Worker(config, lambda seed: sampler or RandomSampler(seed=seed), assessed)


def ask(worker: Worker) -> Job:
    job = worker.asker.ask()
    assert job is not None
    return job


def finish_job(
    worker: Worker, job: Job, accuracy: float | None = 0.5, status: Status = Status.COMPLETED, **summary: Any
) -> TrialRecord:
    """Writes what a finished run leaves, and has it told."""
    fields = {"val_accuracy": accuracy, "params": 1, "macs": 1, **summary}
    RunFolder(job.folder).write_summary(Summary(status=status, **fields))
    return worker.teller.tell(job.number)


def stub(*arguments: str) -> list[str]:
    """The command of a sweep whose jobs sleep instead of training; see stub_sweep.py."""
    return [sys.executable, "-m", "stub_sweep", "-m", *arguments]


def stub_environment(settings: str = "{}") -> dict[str, str]:
    return environment(STUB=settings)


def start(
    arguments: Sequence[str], cwd: Path, settings: str = "{}", prefix: Sequence[str] = ()
) -> "subprocess.Popen[str]":
    """A stub sweep in a session of its own; `prefix` is a command that runs it."""
    return subprocess.Popen(
        [*prefix, *stub(*arguments)],
        cwd=cwd,
        env=stub_environment(settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def sweep(*arguments: str, cwd: Path, settings: str = "{}") -> "subprocess.CompletedProcess[str]":
    process = start(arguments, cwd, settings)
    out, err = process.communicate(timeout=300)
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)


def trials(cwd: Path, url: str = "", name: str = "") -> list[TrialRecord]:
    """All trials of a study, by default the only one, in the folder's storage or the one at `url`."""
    storage = RDBStorage(url or f"sqlite:///{cwd}/outputs/studies.db")
    try:
        if not name:
            (name,) = optuna.get_all_study_names(storage)
        study = optuna.load_study(study_name=name, storage=storage)
        return [TrialRecord.of(trial, full_keys(study)) for trial in study.get_trials()]
    finally:
        close(storage)


def trained_trials(cwd: Path, url: str = "", name: str = "") -> list[TrialRecord]:
    return [trial for trial in trials(cwd, url, name) if trial.trained]


def wait_until(condition: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def epochs(cwd: Path) -> list[tuple[int, int, int]]:
    """(trial, width, epoch) of every epoch that a stub job has trained."""
    rows = [line.split() for line in (cwd / "epochs.log").read_text(encoding="utf-8").splitlines()]
    return [(int(trial), int(width), int(epoch)) for trial, width, epoch in rows]


def status(folder: RunFolder) -> Status | None:
    summary = folder.read_summary()
    return summary.status if summary else None


def progressed(cwd: Path, count: int) -> Callable[[], bool]:
    return lambda: (cwd / "epochs.log").exists() and len(epochs(cwd)) >= count


def assert_whole(
    cwd: Path, widths: "range | list[int]" = range(4, 16), url: str = "", name: str = ""
) -> None:
    """Every width trained to its end once, nothing lost, nothing left, results as if never stopped."""
    found = trials(cwd, url, name)
    assert [t.number for t in found] == list(range(len(found)))
    assert not [t.number for t in found if not t.state.is_finished()]
    done = [t for t in found if t.trained]
    assert sorted(t.point["model.width"] for t in done) == sorted(widths)
    for trial in done:
        assert trial.state == TrialState.COMPLETE, trial
        accuracies = curve(trial.params, 3)
        assert (trial.values, list(trial.curve.values())) == ((accuracies[-1],), accuracies)
        folder = RunFolder(cwd / str(trial.folder))
        assert folder.path.name == str(trial.number)
        assert len(folder.read_metrics()) == 3
        assert status(folder) == Status.COMPLETED
    trained_epochs = epochs(cwd)
    for trial in done:  # after an epoch there is its checkpoint; no finished work is repeated
        of_width = [epoch for _, width, epoch in trained_epochs if width == trial.point["model.width"]]
        assert set(of_width) == {1, 2, 3}
        assert of_width == sorted(of_width), "an epoch before the checkpoint was trained again"
        last = [n for n, width, epoch in trained_epochs if width == trial.point["model.width"]]
        assert last == sorted(last)
