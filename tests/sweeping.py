"""What the tests of the search share: plans, stub judges, and sweeps in processes of their own."""

import functools
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
from conftest import environment
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial

from cifar_arch.limits import Violation
from cifar_arch.runfolder import RunFolder
from cifar_arch.search.candidate import Candidate
from cifar_arch.search.space import Point, Space
from cifar_arch.search.study import Job, Plan, SearchStudy

TESTS = Path(__file__).parent
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


def plan(tmp_path: Path, space: dict[str, BaseDistribution], **changes: Any) -> Plan:
    if not (tmp_path / "studies.db").exists():
        (tmp_path / "studies.db").write_bytes(_empty_database())  # making one anew takes half a second
    fields: dict[str, Any] = {
        "name": "test",
        "storage": f"sqlite:///{tmp_path}/studies.db",
        "folder": tmp_path / "outputs" / "sweeps" / "test",
        "space": Space(space),
        "objectives": ("accuracy",),
        "n_trials": None,
        "exhaustive": True,
        "fingerprint": {"made": "by a test"},
    }
    return Plan(**{**fields, **changes})


WIDTHS: dict[str, BaseDistribution] = {"width": CategoricalDistribution([4, 6, 8])}
DIGITS: dict[str, BaseDistribution] = {name: IntDistribution(0, 9) for name in "abcd"}


def broken(rule: str, limit: int, actual: int) -> Violation:
    return Violation(
        rule=rule, limit=limit, actual=actual, message=f"{rule}: {limit} is allowed, got {actual}"
    )


def judge(point: Point, most: int = 1000) -> Candidate:
    """The sum of the values is held against a limit."""
    total = sum(point.values())
    rules = (broken("sum", most, total),) if total > most else ()
    return Candidate(
        str(sorted(point.items())), rules, {"params": total, "macs": total, "receptive_field": 45}
    )


def open_search(wanted: Plan, sampler: BaseSampler | None = None, judged: Any = judge) -> SearchStudy:
    return SearchStudy(wanted, lambda seed: sampler or RandomSampler(seed=seed), judged)


def ask(search: SearchStudy) -> Job:
    job = search.ask()
    assert job is not None
    return job


def finish_job(search: SearchStudy, job: Job, accuracy: float = 0.5, **summary: Any) -> FrozenTrial:
    """Writes what a finished job leaves, and has it settled."""
    folder = RunFolder(job.folder)
    totals = {"params": sum(job.point.values()), "macs": 1}
    whole = {"status": "completed", "val_accuracy": accuracy, **totals, **summary}
    folder.write_json(folder.summary, whole)
    return search.settle(job)


def stub(*arguments: str) -> list[str]:
    """The command of a sweep whose jobs sleep instead of training; see stub_sweep.py."""
    return [sys.executable, "-m", "stub_sweep", "-m", *arguments]


def stub_environment(settings: str = "{}") -> dict[str, str]:
    ours = environment()
    return {**ours, "PYTHONPATH": f"{ours['PYTHONPATH']}{os.pathsep}{TESTS}", "STUB": settings}


def start(arguments: Sequence[str], cwd: Path, settings: str = "{}") -> "subprocess.Popen[str]":
    """A stub sweep in a session of its own."""
    return subprocess.Popen(
        stub(*arguments),
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


def trials(cwd: Path, url: str = "", name: str = "") -> list[FrozenTrial]:
    """All trials of a study, by default the only one, in the folder's storage or the one at `url`."""
    storage = RDBStorage(url or f"sqlite:///{cwd}/outputs/studies.db")
    try:
        if not name:
            (name,) = optuna.get_all_study_names(storage)
        return optuna.load_study(study_name=name, storage=storage).get_trials()
    finally:
        close(storage)


def trained(found: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    return [t for t in found if t.state.is_finished() and "role" not in t.user_attrs]


def epochs(cwd: Path) -> list[tuple[int, int, int]]:
    """(trial, width, epoch) of every epoch that a stub job has trained."""
    rows = [line.split() for line in (cwd / "epochs.log").read_text().splitlines()]
    return [(int(trial), int(width), int(epoch)) for trial, width, epoch in rows]
