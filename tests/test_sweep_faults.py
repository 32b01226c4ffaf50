"""Sweeps in real processes that are interrupted, killed, and started twice."""

import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState
from sweeping import assert_whole, epochs, progressed, start, sweep, trained_trials, trials, wait_until

from cifar_arch.terminal import ENDING

pytestmark = pytest.mark.slow

WIDTHS = range(4, 16)
GRID = (f"width={','.join(map(str, WIDTHS))}", "limits=none", "epochs=3", "pruner=none", "study=grid")


def kill(process: "subprocess.Popen[str]", sent: int = signal.SIGKILL) -> None:
    os.killpg(process.pid, sent)
    process.communicate(timeout=60)


def test_killed_twenty_times_a_sweep_loses_nothing(tmp_path: Path) -> None:
    rng = random.Random(3)
    settings = '{"seconds": 0.8}'  # so that even a fast machine is not through before the last kill
    kills = 0
    while kills < 20:
        process = start(GRID, tmp_path, settings)
        before = len(epochs(tmp_path)) if (tmp_path / "epochs.log").exists() else 0
        # Half of the kills come while it starts, reads, recovers and asks, half while it trains.
        if kills % 2:
            further = progressed(tmp_path, before + 1)
            wait_until(lambda: further() or process.poll() is not None)  # noqa: B023
            time.sleep(rng.uniform(0, 0.7))
        else:
            time.sleep(rng.uniform(1.0, 5.0))
        if process.poll() is not None:
            break
        kill(process)
        kills += 1
        if (tmp_path / "outputs/studies.db").exists() and kills > 2:
            assert sum(t.state == TrialState.RUNNING for t in trials(tmp_path)) <= 1
    done = sweep(*GRID, cwd=tmp_path, settings='{"seconds": 0.01}')
    assert (done.returncode, done.stderr) == (0, "")
    assert kills >= 20, "the sweep was through before it was killed twenty times"
    assert_whole(tmp_path)


@pytest.mark.parametrize("sent", [signal.SIGINT, *ENDING], ids=lambda sent: sent.name)
def test_an_interrupted_sweep_leaves_nothing_running_and_goes_on(tmp_path: Path, sent: int) -> None:
    heard = ("env", "--default-signal=HUP")  # for these tests may run under nohup
    process = start(GRID, tmp_path, '{"seconds": 0.3}', heard)
    wait_until(progressed(tmp_path, 5))  # in the second trial
    os.killpg(process.pid, sent)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "interrupted\n"), out
    assert "the same command goes on with study grid" in out
    found = trials(tmp_path)
    assert not [t for t in found if t.state == TrialState.RUNNING]
    (waiting,) = [t for t in found if t.state == TrialState.WAITING]
    assert waiting.continues == 1
    assert waiting.retries == 0  # the person's doing
    done = sweep(*GRID, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert_whole(tmp_path)
    again = sweep(*GRID, cwd=tmp_path)
    assert again.returncode == 0
    assert "12 trained before" in again.stdout
    assert "study grid is done: 12 trained\n" in again.stdout
    assert re.search(r"^ +1 +\d+ +\d\d\.\d\d% ", again.stdout, re.M)
    assert_whole(tmp_path)


def test_two_shells_share_a_total_and_no_candidate(tmp_path: Path) -> None:
    both = [start(GRID, tmp_path, '{"seconds": 0.2}') for _ in range(2)]
    for process in both:
        out, err = process.communicate(timeout=300)
        assert (process.returncode, err) == (0, "")
        assert "study grid is done: 12 trained\n" in out
    assert_whole(tmp_path)
    assert len(epochs(tmp_path)) == 3 * len(WIDTHS)
    assert len({t.worker for t in trained_trials(tmp_path)}) == 2


def test_three_shells_with_a_sampler_never_exceed_n_trials(tmp_path: Path) -> None:
    command = ("width=range(4,24)", "limits=none", "epochs=1", "n_trials=7", "study=shared")
    shells = [start(command, tmp_path, '{"seconds": 0.2}') for _ in range(3)]
    for process in shells:
        _, err = process.communicate(timeout=300)
        assert (process.returncode, err) == (0, "")
    done = trained_trials(tmp_path)
    assert len(done) == 7
    assert len({t.point["model.width"] for t in done}) == 7
    assert len(epochs(tmp_path)) == 7
    more = sweep(*command, "n_trials=9", cwd=tmp_path)
    assert more.returncode == 0
    assert len(trained_trials(tmp_path)) == 9


def test_a_shell_takes_over_from_a_killed_one(tmp_path: Path) -> None:
    first, second = (start(GRID, tmp_path, '{"seconds": 0.4}') for _ in range(2))
    wait_until(lambda: progressed(tmp_path, 6)() and len({n for n, _, _ in epochs(tmp_path)}) > 2)
    kill(first)
    _, err = second.communicate(timeout=300)
    assert (second.returncode, err) == (0, "")
    assert_whole(tmp_path)


def test_a_trial_that_kills_its_worker_each_time_becomes_a_failure(tmp_path: Path) -> None:
    command = ("width=4,6,8,10", "limits=none", "epochs=1", "study=deadly")
    for _ in range(5):
        assert sweep(*command, cwd=tmp_path, settings='{"faults": {"6": "die_always"}}').returncode == -9
    done = sweep(*command, cwd=tmp_path, settings='{"faults": {"6": "die_always"}}')
    assert done.returncode == 0
    (failed,) = [t for t in trained_trials(tmp_path) if t.state == TrialState.FAIL]
    assert failed.reason == "its worker died 5 times before an epoch was done"
    assert len(trained_trials(tmp_path)) == 4


REASONS = {
    "raise": "something went wrong",
    "nan": "its accuracy is not a finite number",
    "memory": "out of memory: tried to allocate 40 GiB",
    "mistake": "data.root: no pictures there",
}
FAILURES: list[dict[str, Any]] = [
    {"faults": {6: "raise", 8: "nan", 12: "memory"}, "status": 0, "says": "12 trained (3 failed)"},
    {
        "faults": {5: "raise", 6: "memory", 7: "nan"},
        "status": 1,
        "says": "the sweep was stopped: 3 trials failed in a row; trial 3: its accuracy is",
    },
    {
        "faults": {4: "mistake"},
        "status": 1,
        "says": "the sweep was stopped: the first trial failed because of a mistake in the config; "
        "trial 0: data.root: no pictures there",
    },
]


@pytest.mark.parametrize("case", FAILURES)
def test_a_failed_trial_keeps_its_reason_and_the_others_are_trained(
    tmp_path: Path, case: dict[str, Any]
) -> None:
    done = sweep(*GRID, cwd=tmp_path, settings=json.dumps({"faults": case["faults"]}))
    assert done.returncode == case["status"]
    assert case["says"] in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    reasons = {t.point["model.width"]: t.reason for t in trials(tmp_path) if t.state == TrialState.FAIL}
    assert reasons == {width: REASONS[fault] for width, fault in case["faults"].items()}


def test_a_sweep_ends_at_its_largest_failure_rate(tmp_path: Path) -> None:
    faults = '{"faults": {"5": "raise", "7": "raise"}}'
    done = sweep(*GRID, "hydra.sweeper.max_failure_rate=0.3", cwd=tmp_path, settings=faults)
    assert done.returncode == 1
    message = (
        r"the sweep was stopped: 2 of 4 trials failed, more than hydra\.sweeper\.max_failure_rate \(=0\.3\)"
    )
    assert re.match(message, done.stderr)


def test_another_sweep_under_the_same_name_is_refused(tmp_path: Path) -> None:
    command = ("width=4,6", "limits=none", "study=mine")
    assert sweep(*command, "epochs=1", cwd=tmp_path).returncode == 0
    other = sweep(*command, "epochs=2", cwd=tmp_path)
    assert other.returncode == 2
    assert other.stderr == (
        "study: 'mine' was made with training.epochs=1, now 2; "
        "choose another study=NAME, or type the command it was made with\n"
    )
    other = sweep(*command, "epochs=1", "hydra.sweeper.pruner.n_warmup_steps=1", cwd=tmp_path)
    assert other.stderr.startswith("study: 'mine' was made with pruner={")
    for layers in (2, 3):  # of each that is swept: under a name of our making they are two studies
        typed = ("c3=plain,dilated", f"++model.c3.layers={layers}", "limits=none", "epochs=1")
        assert sweep(*typed, cwd=tmp_path).returncode == 0
    assert len([*(tmp_path / "outputs" / "sweeps").glob("c3-*")]) == 2
    elsewhere = sweep(*command, "epochs=1", "training.device=cuda", "data.root=there", cwd=tmp_path)
    assert elsewhere.returncode == 0  # where it runs makes no other sweep of it
    (tmp_path / "outputs" / "studies.db").unlink()
    lost = sweep(*command, "epochs=1", cwd=tmp_path)
    assert lost.returncode == 2
    assert "'outputs/sweeps/mine/0' already exists" in lost.stderr
    assert not [t for t in trials(tmp_path) if t.state == TrialState.RUNNING]


def test_a_writer_waits_for_a_busy_database(tmp_path: Path) -> None:
    command = ("width=4,6,8", "limits=none", "epochs=2", "study=busy")
    assert sweep(*command, "n_trials=1", cwd=tmp_path).returncode == 0
    process = start(command, tmp_path, '{"seconds": 0.3}')
    wait_until(progressed(tmp_path, 3))  # in the second trial
    connection = sqlite3.connect(tmp_path / "outputs" / "studies.db", timeout=30)
    connection.execute("BEGIN EXCLUSIVE")
    time.sleep(8)  # longer than the five seconds that Python's sqlite3 waits by itself
    connection.rollback()
    _, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "")
    connection.close()
    assert len(trained_trials(tmp_path)) == 3
