"""Sweeps of several workers, started by every engine that is installed; and what is done about lost ones."""

import os
import re
import signal
import time
import uuid
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from optuna.trial import TrialState
from sweeping import (
    WIDTHS,
    assert_whole,
    epochs,
    finish_job,
    open_worker,
    progressed,
    search_config,
    start,
    sweep,
    trials,
    wait_until,
)

from cifar_arch.overrides import read_override
from cifar_arch.schema import ConfigError
from cifar_arch.search.processes import WorkerCommand
from cifar_arch.search.session import Session
from cifar_arch.search.study import SharedStudy

GRID = ("width=range(4,16)", "limits=none", "epochs=3", "pruner=none", "study=grid", "workers=2")
ENGINES = {
    "here": ((), "cifar_arch"),
    "joblib": (("hydra/launcher=joblib", "hydra.launcher.n_jobs=1"), "hydra_plugins.hydra_joblib_launcher"),
    "joblib, a process each": (
        ("hydra/launcher=joblib", "hydra.launcher.backend=multiprocessing"),
        "hydra_plugins.hydra_joblib_launcher",
    ),
    "submitit": (("hydra/launcher=submitit_local",), "hydra_plugins.hydra_submitit_launcher"),
    "ray": (("hydra/launcher=ray",), "hydra_plugins.hydra_ray_launcher"),
}


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """What is typed to have it start the workers."""
    words, needed = ENGINES[request.param]
    if find_spec(needed.partition(".")[0]) is None or find_spec(needed) is None:
        pytest.skip(f"needs {needed}")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    return words


def process_of(worker: str | None) -> int:
    assert worker
    return int(worker.rsplit("-", 2)[1])


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def processes(cwd: Path, name: str = "") -> set[int]:
    """Those of all workers that a trial was ever given to."""
    return {process_of(t.worker) for t in trials(cwd, name=name) if t.worker}


def someone_at_work(cwd: Path) -> str:
    """A worker that trains something, once there is one: between two trials there may be none."""
    seen: list[str] = []

    def look() -> bool:
        seen.extend(t.worker for t in trials(cwd) if t.state == TrialState.RUNNING and t.worker)
        return bool(seen)

    wait_until(look)
    return seen[0]


@pytest.mark.slow
def test_workers_share_the_total_and_a_killed_one_costs_nothing(
    engine: tuple[str, ...], tmp_path: Path
) -> None:
    process = start((*GRID, *engine), tmp_path, '{"seconds": 0.2}')
    wait_until(progressed(tmp_path, 4))
    wait_until(lambda: len(processes(tmp_path)) == 2)
    os.kill(process_of(someone_at_work(tmp_path)), signal.SIGKILL)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert "Traceback" not in out
    assert "study grid is done: 12 trained\n" in out
    assert_whole(tmp_path)
    logs = sorted((tmp_path / "outputs/sweeps/grid/workers").glob("*.log"))
    assert f"2 workers, logs in outputs/sweeps/grid/workers/{logs[0].stem.partition('-')[0]}-*.log\n" in out
    assert not any(map(lives, processes(tmp_path)))


@pytest.mark.slow
def test_a_launcher_makes_no_folder_but_that_of_the_study(engine: tuple[str, ...], tmp_path: Path) -> None:
    done = sweep("width=4,5", "limits=none", "epochs=1", "workers=2", *engine, cwd=tmp_path)
    (folder,) = (tmp_path / "outputs/sweeps").iterdir()
    assert f"study {folder.name} is done: 2 trained\n" in done.stdout
    left = [path.name for path in (folder / "workers").iterdir()]  # by the jobs of the launcher nothing
    assert all(re.fullmatch(r"w[0-9a-f]{6}-[01]\.log", name) for name in left), left


def interrupt_all(process: int) -> None:
    """To the command and its workers, as a terminal does."""
    os.killpg(process, signal.SIGINT)


def end_command(process: int) -> None:
    """To the command alone, as `kill` does."""
    os.kill(process, signal.SIGTERM)


@pytest.mark.slow
@pytest.mark.parametrize("end", [interrupt_all, end_command])
def test_an_end_is_that_of_all_workers_and_the_command_goes_on(
    end: Callable[[int], None], engine: tuple[str, ...], tmp_path: Path
) -> None:
    process = start((*GRID, *engine), tmp_path, '{"seconds": 0.5}')
    wait_until(progressed(tmp_path, 4))
    end(process.pid)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert err.splitlines()[-1] == "interrupted"
    assert "the same command goes on with study grid" in out
    assert not any(map(lives, processes(tmp_path)))
    assert not [t for t in trials(tmp_path) if t.state == TrialState.RUNNING]
    before = epochs(tmp_path)
    done = sweep(*GRID, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert epochs(tmp_path)[: len(before)] == before
    assert_whole(tmp_path)


@pytest.mark.slow
def test_a_worker_that_hangs_is_killed_at_the_end_of_the_command(tmp_path: Path) -> None:
    """As one does that waits for a GPU, or for a network folder, that no longer answers."""
    process = start(GRID, tmp_path, '{"seconds": 0.5}')
    wait_until(progressed(tmp_path, 4))
    os.kill(process_of(someone_at_work(tmp_path)), signal.SIGSTOP)
    end_command(process.pid)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "interrupted\n")
    assert not any(map(lives, processes(tmp_path)))
    assert not [t for t in trials(tmp_path) if t.state == TrialState.RUNNING]
    done = sweep(*GRID, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert_whole(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("typed", "workers"), [("gpus=[0,1]", "2 workers"), ("gpus=[3]", "1 worker")])
def test_each_gpu_has_a_worker(typed: str, workers: str, tmp_path: Path) -> None:
    words = ["width=4,5,6", "limits=none", "epochs=1", "study=s", "training.device=cpu", typed]
    done = sweep(*words, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"\n{workers}, logs in outputs/sweeps/s/workers/" in done.stdout


@pytest.mark.slow
def test_a_gpu_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """Rather than that its worker trains on the CPU."""
    done = sweep("width=4,5,6", "limits=none", "epochs=1", "study=s", "gpus=[99]", cwd=tmp_path)
    assert done.returncode == 2
    assert re.fullmatch(r"gpus: torch finds no GPU 99 on .*; choose from those that .*=cpu\n", done.stderr)
    assert not [t for t in trials(tmp_path) if t.trained]


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["here", "joblib", "joblib, a process each"], indirect=True)
def test_workers_end_with_the_command_that_started_them(engine: tuple[str, ...], tmp_path: Path) -> None:
    process = start((*GRID, *engine), tmp_path, '{"seconds": 0.5}')
    wait_until(progressed(tmp_path, 4))
    workers = processes(tmp_path)
    os.kill(process.pid, signal.SIGKILL)
    wait_until(lambda: not any(map(lives, workers)), seconds=20)
    process.communicate()
    assert not [t for t in trials(tmp_path) if t.state == TrialState.RUNNING]
    assert sweep(*GRID, cwd=tmp_path).returncode == 0
    assert_whole(tmp_path)


@pytest.mark.slow
def test_a_worker_whose_gpu_is_broken_ends_and_the_others_go_on(tmp_path: Path) -> None:
    settings = '{"seconds": 0.05, "faults": {"6": "cuda"}}'
    alone = sweep(*GRID[:-1], "study=alone", cwd=tmp_path, settings=settings)
    assert alone.returncode == 1
    assert alone.stderr == (
        "the sweep was stopped: the GPU refuses further work in this process; "
        "the same command goes on in a new one\n"
    )
    for name in ("died.log", "epochs.log"):
        (tmp_path / name).unlink()
    done = sweep(*GRID, "workers=1", "hydra/launcher=submitit_local", cwd=tmp_path, settings=settings)
    assert (done.returncode, done.stderr) == (0, "")
    assert "interrupted, queued again" in done.stdout
    assert_whole(tmp_path, name="grid")
    assert len(processes(tmp_path, "grid")) == 2  # it was started again


WRONG = {
    "a mistake in the config": (
        '{"faults": {"4": "mistake", "5": "mistake"}}',
        GRID,
        1,
        r"the sweep was stopped: the first trial failed because of a mistake in the config; "
        r"trial [01]: data.root: no pictures there\n",
    ),
    "nothing inside the limits": (
        "{}",
        ("width=range(200,300)", "n_trials=3", "workers=2", "hydra.sweeper.max_rejections=5"),
        2,
        r"nothing inside the limits among \d+ candidates; the rules that bind: params .*\n",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", WRONG)
def test_a_worker_that_cannot_go_on_ends_the_sweep_with_its_sentence(case: str, tmp_path: Path) -> None:
    settings, words, status, sentence = WRONG[case]
    done = sweep(*words, cwd=tmp_path, settings=settings)
    assert done.returncode == status, done.stderr
    assert re.fullmatch(sentence, done.stderr)
    assert "Traceback" not in done.stdout


def test_the_first_end_of_a_session_stays(tmp_path: Path) -> None:
    shared = SharedStudy(search_config(tmp_path, {**WIDTHS}))
    mine, other = Session(shared, "a"), Session(shared, "b")
    with pytest.raises(ConfigError), mine.of_worker():
        raise ConfigError("width: too wide")
    mine.end("finished")
    with pytest.raises(ConfigError, match=r"^width: too wide$"):
        mine.raise_why()
    assert other.ended() is None
    other.raise_why()
    with pytest.raises(KeyboardInterrupt), other.of_worker():  # a cancelled job leaves the rest to others
        raise KeyboardInterrupt
    assert other.ended() is None


SAY = (
    "-c",
    "import os; print(os.getcwd(), *map(os.environ.get, ('CUDA_VISIBLE_DEVICES', 'OMP_NUM_THREADS')))",
)


def test_what_a_worker_sees_of_its_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "9")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # as joblib sets it in its processes
    command = WorkerCommand(SAY, tmp_path, Path("logs"), "abc", "--worker=", threads=None)
    command.run_here(1)
    for gpus in ((2, 3), (5,)):
        command._replace(gpus=gpus, threads="7", session=f"on{gpus[0]}").run_here(3)
    seen = {path.stem: path.read_text(encoding="utf-8").strip() for path in (tmp_path / "logs").iterdir()}
    assert seen == {
        "abc-0": f"{tmp_path} 9 None",
        **{f"on2-{n}": f"{tmp_path} {gpu} 7" for n, gpu in enumerate((2, 3, 2))},
        **{f"on5-{n}": f"{tmp_path} 5 7" for n in range(3)},
    }


def test_the_mark_of_a_worker_is_no_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hydra reads 98879e-0 as 98879.0, so that the workers ended a session that was not theirs."""
    monkeypatch.setattr(uuid, "uuid4", lambda: uuid.UUID(f"98879e{0:026}"))
    command = WorkerCommand.of_this_process(tmp_path, "trial.worker=")
    mark = f"{command.session}-0"
    assert read_override(f"{command.option}{mark}").value() == mark


@pytest.mark.slow
def test_a_trial_that_was_given_away_is_trained_no_further(tmp_path: Path) -> None:
    """As after a laptop's sleep, in which others took it for dead."""
    worker = open_worker(search_config(tmp_path, {**WIDTHS}))
    trained = []

    def train(job: object) -> None:
        trained.append(job)
        if len(trained) > 1:
            finish_job(worker, job)  # type: ignore[arg-type]
            return
        worker.teller.tell(0)  # queues it again
        time.sleep(30)
        pytest.fail("was not interrupted")

    with worker:
        worker.work(train, progress=False)
    assert [t.point["width"] for t in worker.shared.trials() if t.trained] == [4, 6, 8]
