"""Starts whose workers are lost, come back, or never get to a trial. The launchers are stubs."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from omegaconf import OmegaConf
from sweeping import WIDTHS, ask, finish_job, open_worker, search_config

from cifar_arch.device import cores
from cifar_arch.schema import SearchStopped
from cifar_arch.search import supervisor, sweeper
from cifar_arch.search.options import Options
from cifar_arch.search.processes import WorkerCommand
from cifar_arch.search.session import Session
from cifar_arch.search.study import SharedStudy
from cifar_arch.search.supervisor import Supervisor
from cifar_arch.search.sweeper import ArchitectureSweeper


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "LOOK", 0.1)
    monkeypatch.setattr(supervisor, "ENDING", 2)
    for name in ("SETTLE", "LOST", "AWAY"):
        monkeypatch.setattr(supervisor, name, 0.5)


def wait_as_long_as_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on a slow machine is no lost worker."""
    for name in ("LOST", "AWAY"):
        monkeypatch.setattr(supervisor, name, 60)


def supervised(tmp_path: Path, start: Callable[[WorkerCommand, int], object]) -> Supervisor:
    shared = SharedStudy(search_config(tmp_path, {**WIDTHS}))
    return Supervisor(shared, WorkerCommand.of_this_process(tmp_path / "workers", "--worker="), start, 1)


def print_line(command: WorkerCommand, line: str = "study test: 3 points\n") -> None:
    command.log(0).parent.mkdir(exist_ok=True)
    with command.log(0).open("a", encoding="utf-8") as log:
        log.write(line)


def work_to_the_end(tmp_path: Path, command: WorkerCommand) -> None:
    with (
        open_worker(search_config(tmp_path, {**WIDTHS})) as worker,  # which may take a second
        Session(worker.shared, command.session).of_worker(),
    ):
        print_line(command)
        while job := worker.asker.ask():
            finish_job(worker, job)


def give_back_a_trial(tmp_path: Path, command: WorkerCommand) -> None:
    """As a worker does at the time limit of its job."""
    with open_worker(search_config(tmp_path, {**WIDTHS})) as worker:
        ask(worker)
        print_line(command)


def test_a_launcher_that_waits_for_a_lost_job_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As submitit waits for a cancelled job where SLURM keeps no accounts."""
    never, started = threading.Event(), []
    monkeypatch.setattr(supervisor, "FRUITLESS", 1)  # which no start is here

    def lose(command: WorkerCommand, _: int) -> None:
        started.append(threading.current_thread())
        if len(started) == 1:  # it does some work, and is lost without a word
            with open_worker(search_config(tmp_path, {**WIDTHS})) as worker:
                finish_job(worker, ask(worker))
                print_line(command)
                never.wait()
        else:
            wait_as_long_as_it_takes(monkeypatch)
            work_to_the_end(tmp_path, command)

    work = supervised(tmp_path, lose)
    work.supervise(3)
    assert [thread.daemon for thread in started] == [True, True]  # the command ends without the first
    assert [ended.is_set() for ended in work.launchers] == [False, True]
    assert work.shared.counts().trained == 3
    never.set()


@pytest.mark.slow
def test_workers_that_never_get_to_a_trial_are_told_by_their_last_line(tmp_path: Path) -> None:
    def die(command: WorkerCommand, _: int) -> None:
        print_line(command, "ImportError: libcuda is missing\n\n")

    with pytest.raises(
        SearchStopped, match=r"^no worker could start a trial; the last line of '.*-0\.log': Imp"
    ):
        supervised(tmp_path, die).supervise(None)

    def refuse(*_: object) -> None:
        raise RuntimeError("no srun\nhere")

    with pytest.raises(SearchStopped, match=r"could start a trial; starting them failed: no srun here$"):
        supervised(tmp_path, refuse).supervise(None)
    with pytest.raises(SearchStopped, match=r"none of them ever started$"):
        supervised(tmp_path, lambda *_: None).supervise(None)


def test_workers_whose_launcher_waits_count_as_well_where_they_never_get_to_a_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    never = threading.Event()
    monkeypatch.delattr(supervisor, "AWAY")  # is for those that had one

    def hang(command: WorkerCommand, _: int) -> None:
        print_line(command, "no GPU\n")
        never.wait()

    with pytest.raises(SearchStopped, match=r"^no worker could start a trial; the last line of .*: no GPU$"):
        supervised(tmp_path, hang).supervise(None)
    never.set()


@pytest.mark.slow
def test_jobs_that_wait_in_the_queue_again_are_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a time limit all of them give back their trials at once, and SLURM holds them for two minutes."""
    monkeypatch.setattr(supervisor, "AWAY", 60)
    started = []

    def come_back(command: WorkerCommand, _: int) -> None:
        started.append(command.session)
        if len(started) > 1:
            return
        give_back_a_trial(tmp_path, command)
        time.sleep(2)  # longer than LOST, several times
        work_to_the_end(tmp_path, command)

    work = supervised(tmp_path, come_back)
    work.supervise(3)
    assert len(started) == 1
    assert work.shared.counts().trained == 3


@pytest.mark.slow
def test_a_queue_that_outlasts_all_patience_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The jobs of the second start wait in it too, however long; those of the first come back."""
    started, again, never = [], threading.Event(), threading.Event()

    def wait_long(command: WorkerCommand, _: int) -> None:
        started.append(command.session)
        if len(started) > 1:
            again.set()
            never.wait()
            return
        give_back_a_trial(tmp_path, command)
        assert again.wait(30)
        time.sleep(3)  # in which two more starts would count as fruitless
        wait_as_long_as_it_takes(monkeypatch)
        work_to_the_end(tmp_path, command)

    work = supervised(tmp_path, wait_long)
    work.supervise(3)
    assert len(started) == 2
    assert work.shared.counts().trained == 3
    never.set()


def test_each_launcher_that_waits_doubles_the_patience(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a crowded queue would be given as many jobs again at every time limit."""
    monkeypatch.setattr(supervisor, "AWAY", 600)
    work = supervised(tmp_path, lambda *_: None)
    found = []
    for _ in range(3):
        work.launchers.append(threading.Event())
        found.append(work._patience(worked=True))
    work.launchers[0].set()
    assert [*found, work._patience(worked=True)] == [600, 1200, 2400, 1200]
    assert work._patience(worked=False) == supervisor.LOST


@pytest.mark.parametrize(
    ("launcher", "typed", "gpus", "count"),
    [
        ({}, None, [], 1),
        ({"n_jobs": 3}, None, [], 3),
        ({"n_jobs": -1}, None, [], cores()),  # as joblib has it by default
        ({"n_jobs": 3}, None, [0, 1], 2),
        ({"n_jobs": 3}, 4, [0, 1], 4),
    ],
)
def test_as_many_workers_are_started_as_typed_or_as_there_is_room_for(
    launcher: dict[str, int], typed: int | None, gpus: list[int], count: int
) -> None:
    stub: Any = SimpleNamespace(config=OmegaConf.create({"hydra": {"launcher": launcher}}))
    options: Any = SimpleNamespace(workers=typed, gpus=gpus)
    assert ArchitectureSweeper._count(stub, options) == count


def test_a_sampler_begins_with_the_seed_that_was_typed_and_moves_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or each start, and each shell, would propose the same points once more."""
    monkeypatch.setattr(sweeper, "make_sampler", lambda _, seed: seed)
    seeds: list[int] = []

    def look(_: object, make_sampler: Callable[[int], int], *__: object, **___: object) -> None:
        seeds.extend(map(make_sampler, (0, 5)))
        raise KeyboardInterrupt

    monkeypatch.setattr(sweeper, "Worker", look)
    stub: Any = SimpleNamespace(sampler=None, assess=None)
    with pytest.raises(KeyboardInterrupt):
        ArchitectureSweeper._work(stub, stub, stub, Options(storage="", seed=3))
    assert seeds == [3, 8]
