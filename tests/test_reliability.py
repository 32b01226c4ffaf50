"""What docs/reliability.md promises: databases that go away, full disks, folders that vanish."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from optuna.trial import TrialState
from postgres import Server
from sweeping import assert_whole, epochs, progressed, start, sweep, trained_trials, trials, wait_until

pytestmark = pytest.mark.slow

GRID = ("width=range(4,16)", "limits=none", "epochs=3", "pruner=none", "study=grid")


@pytest.mark.parametrize(("seconds", "workers"), [(0, 1), (20, 1), (20, 2)])
def test_a_database_server_that_goes_away_costs_nothing(
    server: Server, seconds: int, workers: int, tmp_path: Path
) -> None:
    """Killed in the middle of trials, and started again at once or after a while.

    In two shells, or in one with workers of its own.
    """
    url = server.database(f"away{seconds}{workers}")
    words = (*GRID, f"storage={url}", f"workers={workers}")
    shells = [start(words, tmp_path, '{"seconds": 0.3}') for _ in range(2 // workers)]
    wait_until(progressed(tmp_path, 5))
    server.stop()
    time.sleep(seconds)
    server.start()
    outs = []
    for process in shells:
        out, err = process.communicate(timeout=300)
        assert (process.returncode, err) == (0, "")
        outs.append(out)
    assert not any("Traceback" in out for out in outs)
    if seconds:
        assert any("waiting for the database (" in out for out in outs)
    assert_whole(tmp_path, url=url)
    assert len(epochs(tmp_path)) == 3 * 12


@pytest.fixture
def small_disk(tmp_path: Path) -> Path:
    """A folder on a disk of its own, with room for little."""
    place = tmp_path / "disk"
    place.mkdir()
    if shutil.which("mount") is None or os.geteuid() != 0:
        pytest.skip("needs root, to mount a small disk")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(place)]).returncode:
        pytest.skip("needs the right to mount a small disk")
    return place


def fill(path: Path) -> None:
    """Writes until nothing fits any more, which raises."""
    with path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


# By whatever of a sweep writes next: to the study, or to a file beside it.
STOPPED = "the sweep was stopped: "
ENDS = (f"{STOPPED}the study cannot be reached (", "cannot read or write ")


def test_a_full_disk_costs_nothing(small_disk: Path) -> None:
    process = start(GRID, small_disk, '{"seconds": 0.3}')
    try:
        wait_until(progressed(small_disk, 5))
        filler = small_disk / "filler"
        with pytest.raises(OSError, match="No space left"):
            fill(filler)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 1
        assert "Traceback" not in out + err
        (sentence,) = err.splitlines()
        assert sentence.startswith((*ENDS, f"{STOPPED}no space is left on the disk of "))
        filler.unlink()
        done = sweep(*GRID, cwd=small_disk)
        assert (done.returncode, done.stderr) == (0, "")
        assert_whole(small_disk)
    finally:
        process.kill()
        subprocess.run(["umount", "-l", str(small_disk)], check=True)


def test_outputs_removed_under_a_sweep_end_it_with_a_sentence(tmp_path: Path) -> None:
    process = start(GRID, tmp_path, '{"seconds": 0.3}')
    wait_until(progressed(tmp_path, 5))
    shutil.rmtree(tmp_path / "outputs", ignore_errors=True)
    shutil.rmtree(tmp_path / "outputs", ignore_errors=True)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "is done" not in out
    assert "Traceback" not in out + err
    assert len(err.splitlines()) == 1, err
    assert err.startswith((f"{STOPPED}the study was removed while it ran", "cannot read or write "))


# Root may write whatever a mode says; without these rights it has to obey like everybody.
OBEYING = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override")


def test_outputs_made_read_only_under_a_sweep_end_it_with_a_sentence(tmp_path: Path) -> None:
    prefix = OBEYING if os.geteuid() == 0 else ()
    if prefix and (shutil.which("setpriv") is None or subprocess.run([*OBEYING, "true"]).returncode):
        pytest.skip("needs a user without root's rights, or the right to give them up")
    process = start(GRID, tmp_path, '{"seconds": 0.3}', prefix)
    wait_until(progressed(tmp_path, 5))
    kept = [*(tmp_path / "outputs").rglob("*"), tmp_path / "outputs"]
    modes = {path: path.stat().st_mode for path in kept}
    for path in kept:
        path.chmod(modes[path] & 0o555)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "Traceback" not in out + err
    (sentence,) = err.splitlines()
    assert sentence.startswith(ENDS)
    for path, mode in modes.items():
        path.chmod(mode)
    done = sweep(*GRID, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert_whole(tmp_path)


def test_a_study_with_folders_elsewhere_says_so(server: Server, tmp_path: Path) -> None:
    words = (*GRID, f"storage={server.database('folders')}")
    one, other = (tmp_path / name for name in ("one", "other"))
    one.mkdir()
    other.mkdir()
    first = start((*words, "n_trials=1"), one, '{"seconds": 3}')
    wait_until(progressed(one, 1))
    second = start((*words, "n_trials=1"), other)
    out, err = second.communicate(timeout=120)
    assert (second.returncode, err) == (0, "")
    begun = (one / "outputs/sweeps/grid").resolve()
    restarted = "trials whose checkpoints are only there restart here"
    assert f"its folders were in {begun} at first; {restarted}\n" in out
    assert "waiting for 1 trial of other workers; a dead one is known 3 minutes after its last sign" in out
    assert first.wait(timeout=120) == 0
    first.communicate()


def test_a_suspended_worker_gives_way_and_does_not_come_back(server: Server, tmp_path: Path) -> None:
    url = server.database("clocks")
    process = start((*GRID, f"storage={url}"), tmp_path, '{"seconds": 2}')
    wait_until(progressed(tmp_path, 2))
    time.sleep(1)  # in the middle of an epoch: what it has locked, others would wait for
    os.killpg(process.pid, signal.SIGSTOP)
    (running,) = [t for t in trials(tmp_path, url) if t.state == TrialState.RUNNING]
    past = "UPDATE trial_heartbeats SET heartbeat = now() - interval '1 hour' WHERE trial_id ="
    server.execute("clocks", f"{past} {running.id}")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = sweep(*GRID, f"storage={url}", "n_trials=12", cwd=elsewhere)
    assert (done.returncode, done.stderr) == (0, "")
    os.killpg(process.pid, signal.SIGCONT)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, ""), out
    assert len(trained_trials(tmp_path, url)) == 12
