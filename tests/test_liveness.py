"""Which processes still work on a study, and how they share the cores of a host."""

import socket
from pathlib import Path

import pytest
from conftest import TINY, python, summary_of, type_command

from cifar_arch.search.liveness import Workers


def test_a_dead_worker_stays_dead(tmp_path: Path) -> None:
    """Each of its trials asks again, whatever the lock's library does with the file."""
    code = """if True:
        import os, sys
        from pathlib import Path
        from cifar_arch.search.liveness import Workers
        workers = Workers(Path(sys.argv[1]))
        workers.join()
        print(workers.me, flush=True)
        os.kill(os.getpid(), 9)
    """
    killed = python(code, str(tmp_path))
    me = joined(tmp_path)
    assert [me.dead(killed.stdout.strip()) for _ in range(3)] == [True, True, True]
    assert (me.dead(me.me), me.dead("elsewhere-1-abc"), me.others()) == (False, None, 1)


def joined(folder: Path) -> Workers:
    workers = Workers(folder)
    workers.join()
    return workers


def test_the_workers_of_a_host_share_its_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "6")
    watching = Workers(tmp_path)  # works on nothing itself
    first = joined(tmp_path)
    assert (first.threads(), first.others(), watching.others()) == (6, 0, 1)
    second = joined(tmp_path)
    assert (first.threads(), second.threads(), first.others()) == (3, 3, 1)
    second.leave()
    assert first.threads() == 6
    (tmp_path / f"{socket.gethostname()}-1-killed.lock").touch()  # its process is no more
    (tmp_path / "elsewhere-1-abcdef.lock").touch()  # another host has cores of its own
    assert first.threads() == 6
    first.leave()


@pytest.mark.parametrize("job", ["", "7"])
def test_a_host_whose_name_begins_like_this_one_is_another(
    job: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a folder that hosts share, the locks of one tell another nothing."""
    monkeypatch.setenv("OMP_NUM_THREADS", "6")
    monkeypatch.setenv("SLURM_JOB_ID", job)
    found = {}
    for host in ("gpu", "gpu-2", "gpu-2-1"):
        monkeypatch.setattr(socket, "gethostname", lambda host=host: host)
        found[host] = joined(tmp_path)
    for host, workers in found.items():
        monkeypatch.setattr(socket, "gethostname", lambda host=host: host)
        known = {other: workers.dead(found[other].me) for other in found}
        assert known == {other: False if other == host else None for other in found}
        assert workers.threads() == 6
        second = joined(tmp_path)
        assert (workers.dead(second.me), workers.threads()) == (False, 3)
        second.leave()


def test_a_job_of_slurm_shares_its_own_cores_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "6")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    both = [joined(tmp_path), joined(tmp_path)]
    monkeypatch.setenv("SLURM_JOB_ID", "8")
    assert [workers.threads() for workers in (*both, joined(tmp_path))] == [3, 3, 6]


THREADS: dict[str, tuple[tuple[str, ...], set[int]]] = {
    "one after the other": ((), {6}),
    "two workers": (("workers=2",), {3}),
    "of joblib": (("hydra/launcher=joblib", "hydra.launcher.n_jobs=2"), {3}),
    "as typed": (("training.threads=2",), {2}),
}


@pytest.mark.slow
@pytest.mark.parametrize(("words", "threads"), THREADS.values(), ids=THREADS)
def test_a_trial_gets_its_share_and_has_it_on_record(
    words: tuple[str, ...], threads: set[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "6")
    done = type_command("run", "-m", *TINY, "seed=0,1,2,3,4,5", "epochs=1", "study=s", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    summaries = [summary_of(tmp_path / "outputs" / "sweeps" / "s" / str(number)) for number in range(6)]
    alone = {6} if threads == {3} else set()  # the worker that starts first, until the other does
    found = {summary["threads"] for summary in summaries}
    assert threads <= found <= threads | alone
    assert {summary["precision"] for summary in summaries} <= {"float32", "bf16"}


def test_nobody_is_called_dead_whose_lock_lies_elsewhere(tmp_path: Path) -> None:
    assert Workers(tmp_path).dead(f"{socket.gethostname()}-1-abcdef") is None
