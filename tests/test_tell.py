"""Results told by the files of a run, and trials of workers that died or left. Real SQLite."""

from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState
from stub_sweep import row
from sweeping import WIDTHS, ask, finish_job, open_worker, search_config

from cifar_arch.record import Status, Summary
from cifar_arch.runfolder import RunFolder
from cifar_arch.search import tell
from cifar_arch.search.ask import Job
from cifar_arch.search.trial import Role
from cifar_arch.search.worker import Worker

OUTCOMES: list[dict[str, Any]] = [
    {"accuracy": 0.5, "state": "COMPLETE"},
    {"accuracy": None, "state": "FAIL", "told": "its accuracy is not a finite number"},
    {"status": Status.PRUNED, "reason": "pruned after epoch 2", "state": "PRUNED"},
    {"status": Status.FAILED, "reason": "out of memory", "state": "FAIL"},
    {"status": Status.REJECTED, "reason": "too large", "state": "FAIL"},
]


@pytest.mark.parametrize("case", OUTCOMES)
def test_a_summary_decides_the_state_of_its_trial(tmp_path: Path, case: dict[str, Any]) -> None:
    worker = open_worker(search_config(tmp_path, WIDTHS))
    summary = {name: value for name, value in case.items() if name not in ("state", "told")}
    trial = finish_job(worker, ask(worker), **summary, error="SomeError", device="cpu", epochs_done=2)
    assert trial.state.name == case["state"]
    assert trial.reason == case.get("told", case.get("reason"))
    assert (trial.error, trial.device, trial.epochs_done) == ("SomeError", "cpu", 2)
    assert trial.folder == str(worker.shared.folder(0))
    assert worker.shared.counts().trained == 1


def test_several_objectives_are_read_from_the_summary(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wanted = search_config(tmp_path, WIDTHS, objectives=("accuracy", "params", "macs"))
    worker = open_worker(wanted)
    assert finish_job(worker, ask(worker), 0.4, params=30, macs=500).values == (0.4, 30, 500)
    bad = finish_job(worker, ask(worker), None, params=None)
    assert bad.reason == "its accuracy, params is not a finite number"
    assert not caplog.records  # the folder of the figures may be there already


UNFINISHED: list[dict[str, Any]] = [
    {"summary": None, "retries": 1},
    {"summary": '{"status": "compl', "retries": 1},  # damaged: as if it were not there
    {"summary": '{"status": "completed", "seconds": "some"}', "retries": 1},
    {"summary": '{"status": "failed", "cause": "interrupted"}', "retries": 0},
    {"summary": '{"status": "failed", "cause": "disk full"}', "retries": 0},
    {"summary": '{"status": "failed", "cause": "GPU broken"}', "retries": 1},
    {"summary": '{"status": "failed", "cause": "no memory"}', "retries": 1},
]


@pytest.mark.parametrize("case", UNFINISHED)
def test_a_run_that_did_not_end_is_queued_again(tmp_path: Path, case: dict[str, Any]) -> None:
    worker = open_worker(search_config(tmp_path, WIDTHS))
    job = ask(worker)
    if case["summary"]:
        job.folder.mkdir()
        (job.folder / "summary.json").write_text(case["summary"], encoding="utf-8")
    assert worker.teller.tell(job.number).role is Role.REQUEUED
    queued = worker.shared.ledger.trial(1)
    assert (queued.state, queued.point) == (TrialState.WAITING, job.point)
    assert (queued.continues, queued.retries) == (0, case["retries"])


def test_epochs_that_the_run_could_not_report_are_added(tmp_path: Path) -> None:
    worker = open_worker(search_config(tmp_path, WIDTHS))
    job = ask(worker)
    worker.shared.report(worker.shared.ledger.trial(0), {1: 0.25})
    RunFolder(job.folder).write_metrics([row(1, 0.2), row(2, 0.5), row(3, None)])
    assert finish_job(worker, job).curve == {1: 0.25, 2: 0.5}


def test_figures_that_cannot_be_copied_cost_no_result(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    worker = open_worker(search_config(tmp_path, WIDTHS))
    (tmp_path / "outputs" / "artifacts").write_text("no folder", encoding="utf-8")
    assert finish_job(worker, ask(worker)).state == TrialState.COMPLETE
    assert "the figures of trial 0 could not be copied" in caplog.text


# --- workers that died or left ------------------------------------------------------------------------


def kill(worker: Worker) -> None:
    """What is left of a worker after kill -9: its lock is free, its file is there."""
    lock = worker.shared.workers.lock
    lock.release()
    Path(lock.lock_file).touch()  # some versions of filelock remove it then


@pytest.mark.parametrize("with_checkpoint", [True, False])
def test_a_dead_workers_trial_goes_on_with_its_point(tmp_path: Path, with_checkpoint: bool) -> None:
    wanted = search_config(tmp_path, WIDTHS)
    dead = open_worker(wanted)
    finish_job(dead, ask(dead))
    job = ask(dead)
    folder = RunFolder(job.folder)
    if with_checkpoint:
        folder.checkpoint.parent.mkdir(parents=True)
        folder.checkpoint.write_text("1", encoding="utf-8")
        folder.write_metrics([row(1, 0.5)])
    folder.path.mkdir(parents=True, exist_ok=True)
    torn = folder.path / ".summary.json.4242-0a1b2c3d.tmp"
    torn.touch()
    alive = open_worker(wanted)
    assert ask(alive).point == {"width": 8}  # of a living worker nothing is taken
    alive.shared.workers.bury(())
    kill(dead)
    after = ask(alive)
    assert after.point == job.point == {"width": 6}
    assert after.number == 3
    assert after.continues == job.folder
    assert alive.shared.ledger.trial(1).role is Role.REQUEUED
    assert alive.shared.ledger.trial(3).retries == (0 if with_checkpoint else 1)
    assert alive.shared.counts().trained == 1
    alive.teller.leave()
    assert not torn.exists()
    assert list(wanted.folder.locks.iterdir()) == []


def test_heartbeats_tell_of_workers_on_other_hosts_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = open_worker(search_config(tmp_path, WIDTHS))
    mine, silent, beating = (ask(worker) for _ in range(3))
    for job in (silent, beating):
        worker.shared.note(worker.shared.ledger.trial(job.number), worker="elsewhere-1-abcdef")
    monkeypatch.setattr(tell, "stale_ids", lambda *_: {mine.trial_id, silent.trial_id})
    worker.teller.lock_and_recover()
    assert [t.role for t in worker.shared.trials()[:3]] == [None, Role.REQUEUED, None]


def test_a_copy_is_spared_what_is_damaged(tmp_path: Path) -> None:
    wanted = search_config(tmp_path, WIDTHS, n_trials=1)
    dead = open_worker(wanted)
    left = RunFolder(ask(dead).folder)
    left.checkpoint.parent.mkdir(parents=True)
    for file in (left.experiment, left.architecture, left.checkpoint, left.metrics):
        file.write_text("epoch\n1", encoding="utf-8")  # not all that each of them has
    kill(dead)
    copied: list[str] = []

    def train(job: Job) -> None:
        copied.extend(file.name for file in job.folder.rglob("*.*"))
        RunFolder(job.folder).write_summary(Summary(status=Status.COMPLETED, val_accuracy=0.5))

    with open_worker(wanted) as worker:
        worker.work(train, progress=False)
    assert copied == ["last.pt"]


def test_a_worker_that_died_while_it_asked_loses_no_point(tmp_path: Path) -> None:
    wanted = search_config(tmp_path, WIDTHS)
    worker = open_worker(wanted)
    shared = worker.shared
    shared.queue({"width": 4})
    shared.study.ask(wanted.space.distributions)  # killed here: no worker on record
    shared.queue({"width": 6}, continues=7, retries=2)
    shared.study.ask()  # killed here: not even its point is read
    points = []
    for _ in range(3):
        job = ask(worker)
        points.append((job.point["width"], job.continues))
    assert sorted(points, key=str) == [(4, None), (6, shared.folder(7)), (8, None)]
    assert worker.asker.ask() is None
    assert [shared.ledger.trial(0).role, shared.ledger.trial(1).role] == [Role.ABANDONED, Role.REQUEUED]


def test_a_finished_run_of_a_dead_worker_is_told_not_repeated(tmp_path: Path) -> None:
    dead = open_worker(search_config(tmp_path, WIDTHS))
    job = ask(dead)
    RunFolder(job.folder).write_summary(Summary(status=Status.COMPLETED, val_accuracy=0.6, params=4))
    kill(dead)
    alive = open_worker(search_config(tmp_path, WIDTHS))
    assert ask(alive).point == {"width": 6}
    told = alive.shared.ledger.trial(0)
    assert (told.state, told.values) == (TrialState.COMPLETE, (0.6,))


def test_a_trial_that_kills_five_workers_is_a_failure(tmp_path: Path) -> None:
    wanted = search_config(tmp_path, {"width": WIDTHS["width"]}, n_trials=1)
    for _ in range(5):
        worker = open_worker(wanted)
        ask(worker)
        kill(worker)
    last = open_worker(wanted)
    assert last.asker.ask() is None
    (failed,) = [t for t in last.shared.trials() if t.trained]
    assert failed.reason == "its worker died 5 times before an epoch was done"


def test_a_worker_that_leaves_gives_its_trials_back(tmp_path: Path) -> None:
    worker = open_worker(search_config(tmp_path, WIDTHS))
    with worker:
        ask(worker), ask(worker)
    assert worker.shared.counts().running == 0
    assert worker.shared.counts().waiting == 2
    assert [t.retries for t in worker.shared.trials(TrialState.WAITING)] == [0, 0]
    assert not list(worker.shared.config.folder.locks.glob("*.lock"))


def test_an_interrupted_run_of_an_earlier_version_is_queued_again(tmp_path: Path) -> None:
    worker = open_worker(search_config(tmp_path, WIDTHS))
    job = ask(worker)
    job.folder.mkdir()
    summary = '{"status": "failed", "reason": "interrupted", "error": "KeyboardInterrupt"}'
    (job.folder / "summary.json").write_text(summary, encoding="utf-8")
    assert worker.teller.tell(job.number).role is Role.REQUEUED


def test_a_copy_that_dies_is_held_against_what_its_trial_had_reached(tmp_path: Path) -> None:
    worker = open_worker(search_config(tmp_path, WIDTHS))
    worker.shared.queue({"width": 4}, retries=2, epochs_before=2)
    first = ask(worker)
    RunFolder(first.folder).write_metrics([row(1, 0.5), row(2, 0.5)])  # brought along
    worker.teller.tell(first.number)
    second = ask(worker)  # dies before it has brought them along
    worker.teller.tell(second.number)
    last = worker.shared.ledger.trial(second.number + 1)
    assert (last.retries, last.epochs_before) == (4, 2)
