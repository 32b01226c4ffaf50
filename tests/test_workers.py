"""What a study does with the trials of workers that died or left. Real SQLite."""

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import environment
from optuna.trial import TrialState
from stub_sweep import row
from sweeping import WIDTHS, ask, finish_job, open_search, plan

from cifar_arch.runfolder import RunFolder
from cifar_arch.search.storage import quiet_optuna
from cifar_arch.search.study import SearchStudy
from cifar_arch.search.workers import Workers


@pytest.fixture(autouse=True)
def quiet() -> None:
    quiet_optuna()


def kill(search: SearchStudy) -> None:
    """What is left of a worker after kill -9: its lock is free, its file is there."""
    search.workers.lock.release()
    Path(search.workers.lock.lock_file).touch()  # some versions of filelock remove it then


@pytest.mark.parametrize("with_checkpoint", [True, False])
def test_a_dead_workers_trial_goes_on_with_its_point(tmp_path: Path, with_checkpoint: bool) -> None:
    wanted = plan(tmp_path, WIDTHS)
    dead = open_search(wanted)
    finish_job(dead, ask(dead))
    job = ask(dead)
    folder = RunFolder(job.folder)
    if with_checkpoint:
        folder.checkpoint.parent.mkdir(parents=True)
        folder.checkpoint.write_text("1")
        folder.write_metrics([row(1, 0.5)])
    alive = open_search(wanted)
    assert ask(alive).point == {"width": 8}  # of a living worker nothing is taken
    kill(dead)
    after = ask(alive)
    assert after.point == job.point == {"width": 6}
    assert after.number == 3
    assert after.continues == job.folder
    assert alive.trial(1).user_attrs["role"] == "requeued"
    assert alive.trial(3).user_attrs["retries"] == (0 if with_checkpoint else 1)
    assert alive.counts()["trained"] == 1


def test_a_worker_that_died_while_it_asked_loses_no_point(tmp_path: Path) -> None:
    wanted = plan(tmp_path, WIDTHS)
    search = open_search(wanted)
    search.study.enqueue_trial({"width": 4})
    search.study.ask(wanted.space.distributions)  # killed here: no worker on record
    search.study.enqueue_trial({"width": 6}, user_attrs={"continues": 7, "retries": 2})
    search.study.ask()  # killed here: not even its point is read
    points = []
    for _ in range(3):
        job = ask(search)
        points.append((job.point["width"], job.continues))
    assert sorted(points, key=str) == [(4, None), (6, search.folder(7)), (8, None)]
    assert search.ask() is None
    assert search.trial(0).user_attrs["role"] == "abandoned"
    assert search.trial(1).user_attrs["role"] == "requeued"


def test_a_finished_run_of_a_dead_worker_is_told_not_repeated(tmp_path: Path) -> None:
    dead = open_search(plan(tmp_path, WIDTHS))
    job = ask(dead)
    folder = RunFolder(job.folder)
    folder.write_json(folder.summary, {"status": "completed", "val_accuracy": 0.6, "params": 4})
    kill(dead)
    alive = open_search(plan(tmp_path, WIDTHS))
    assert ask(alive).point == {"width": 6}
    assert (alive.trial(0).state, alive.trial(0).values) == (TrialState.COMPLETE, [0.6])


def test_a_worker_that_leaves_gives_its_trials_back(tmp_path: Path) -> None:
    search = open_search(plan(tmp_path, WIDTHS))
    ask(search), ask(search)
    search.leave()
    assert search.counts()["running"] == 0
    assert search.counts()["waiting"] == 2
    assert not list((search.plan.folder / ".workers").glob("*.lock"))


def test_a_dead_worker_stays_dead(tmp_path: Path) -> None:
    """Each of its trials asks again, whatever the lock's library does with the file."""
    code = """if True:
        import os, sys
        from pathlib import Path
        from cifar_arch.search.workers import Workers
        workers = Workers(Path(sys.argv[1]))
        print(workers.me, flush=True)
        os.kill(os.getpid(), 9)
    """
    words = [sys.executable, "-c", code, str(tmp_path)]
    killed = subprocess.run(words, env=environment(), capture_output=True, text=True, check=False)
    me = Workers(tmp_path)
    assert [me.dead(killed.stdout.strip()) for _ in range(3)] == [True, True, True]
    assert (me.dead(me.me), me.dead("elsewhere-1-abc"), me.others()) == (False, None, 1)
