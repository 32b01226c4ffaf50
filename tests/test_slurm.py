"""Workers as jobs of a real SLURM: cancelled, preempted, queued again, and ended with their command."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from optuna.trial import TrialState
from sweeping import assert_whole, epochs, progressed, start, sweep, trials, wait_until

pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="needs --extra slurm")

pytestmark = [pytest.mark.slow, pytest.mark.slurm]

GRID = ("width=range(4,16)", "limits=none", "epochs=3", "pruner=none", "study=grid")
JOBS = (*GRID, "+cluster=slurm", "workers=2", "hydra.launcher.cpus_per_task=1")
SETTINGS = '{"seconds": 1.0}'


def ask_slurm(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def jobs() -> list[str]:
    """The jobs that run or wait, as SLURM names them: 7_0, 7_1."""
    return ask_slurm("squeue", "--noheader", "--array", "--format=%i").split()


@pytest.fixture(autouse=True)
def _an_empty_queue() -> None:
    if not shutil.which("sinfo") or subprocess.run(["sinfo"], capture_output=True).returncode:
        pytest.skip("needs SLURM: ../shared/tools/slurm/start DIR; export SLURM_CONF=DIR/slurm.conf")
    for job in jobs():
        ask_slurm("scancel", job)
    wait_until(lambda: not jobs())


def cancel(job: str) -> None:
    ask_slurm("scancel", job)


def preempt(job: str) -> None:
    """What SLURM does to a job some time before it takes the machine away, by submitit's --signal."""
    ask_slurm("scancel", "--signal=USR2", job)


def requeue(job: str) -> None:
    ask_slurm("scontrol", "requeue", job)


def start_waiting_ones() -> None:
    """SLURM has a job that is queued again wait for two minutes."""
    for line in ask_slurm("squeue", "--noheader", "--array", "--states=PENDING", "--format=%i").split():
        subprocess.run(["scontrol", "update", f"jobid={line}", "starttime=now"], capture_output=True)


FATES = {"cancelled": (cancel, 1), "preempted": (preempt, 2), "queued again": (requeue, 2)}


@pytest.mark.parametrize("fate", FATES)
def test_a_job_may_end_at_any_time(fate: str, tmp_path: Path) -> None:
    """The total is reached, no epoch is lost or trained twice, and a job that comes back goes on working."""
    happens, starts = FATES[fate]
    process = start(JOBS, tmp_path, SETTINGS)
    wait_until(progressed(tmp_path, 4))
    running = jobs()
    assert len(running) == 2
    happens(running[0])
    assert_reaches_its_total(process, tmp_path)
    assert len(epochs(tmp_path)) <= 3 * 12 + 1  # at most the one that was cut short is trained again
    assert starts_of(tmp_path, worker=0) == starts


def assert_reaches_its_total(process: "subprocess.Popen[str]", cwd: Path) -> None:
    end = time.monotonic() + 400
    while process.poll() is None and time.monotonic() < end:
        start_waiting_ones()
        time.sleep(1)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "study grid is done: 12 trained\n" in out
    assert_whole(cwd)
    wait_until(lambda: not jobs(), seconds=60)


def starts_of(cwd: Path, worker: int) -> int:
    log = next((cwd / "outputs/sweeps/grid/workers").glob(f"*-{worker}.log"))
    return log.read_text(encoding="utf-8").count("study grid: 12 points")


def test_a_job_at_its_time_limit_comes_back(tmp_path: Path) -> None:
    """SLURM signals it some time before, up to a minute earlier than asked, and it is queued again."""
    limits = ("hydra.launcher.timeout_min=2", "hydra.launcher.signal_delay_s=20")
    process = start((*JOBS, *limits), tmp_path, '{"seconds": 6.0}')
    assert_reaches_its_total(process, tmp_path)
    assert len(epochs(tmp_path)) <= 3 * 12 + 2
    assert starts_of(tmp_path, worker=0) + starts_of(tmp_path, worker=1) >= 3


def test_ctrl_c_leaves_no_job(tmp_path: Path) -> None:
    process = start((*JOBS, "workers=3"), tmp_path, SETTINGS)  # the third waits for a core
    wait_until(progressed(tmp_path, 4))
    assert len(jobs()) == 3
    os.kill(process.pid, signal.SIGINT)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "the same command goes on with study grid" in out
    wait_until(lambda: not jobs(), seconds=90)
    found = trials(tmp_path)
    assert not [t for t in found if t.state == TrialState.RUNNING]
    before = epochs(tmp_path)
    assert sweep(*GRID, cwd=tmp_path).returncode == 0
    assert epochs(tmp_path)[: len(before)] == before
    assert_whole(tmp_path)
