import signal
import sqlite3
import time
from pathlib import Path

import pytest
from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState
from sweeping import WIDTHS, ask, open_worker, search_config, wait_until

from cifar_arch.search import heartbeat
from cifar_arch.search.heartbeat import Heartbeat
from cifar_arch.search.session import Session
from cifar_arch.search.worker import Worker


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Worker:
    """One whose trials give a sign of life each second."""
    monkeypatch.setattr(heartbeat, "HEARTBEAT", 1)
    return open_worker(search_config(tmp_path, WIDTHS))


def test_a_trial_beats_and_its_progress_is_shown_while_it_is_trained(worker: Worker) -> None:
    job = ask(worker)
    beats: set[tuple[int, str]] = set()
    shown: list[bool] = []
    assert worker.shared.file
    database = sqlite3.connect(worker.shared.file)

    def beaten_twice_and_shown() -> bool:
        beats.update(database.execute("SELECT trial_id, heartbeat FROM trial_heartbeats"))
        return len(beats) >= 3 and bool(shown)  # the first beat is that of asking

    beating = Heartbeat(worker.shared, job, None, lambda: shown.append(True))
    with beating:
        wait_until(beaten_twice_and_shown, seconds=30)
    database.close()
    assert {trial for trial, _ in beats} == {job.trial_id}
    assert not beating.given_away
    assert not beating.thread.is_alive()


def test_the_end_of_a_session_interrupts_a_training(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    session, sent = Session(worker.shared, "w1"), []
    monkeypatch.setattr(heartbeat, "interrupt", lambda *numbers: sent.append(numbers))
    beating = Heartbeat(worker.shared, ask(worker), session, lambda: None)
    monkeypatch.setattr(beating.done, "wait", lambda _: time.sleep(0.01))
    session.end("stopped")
    with beating:
        wait_until(lambda: bool(sent), seconds=20)
    assert (sent, beating.given_away) == ([()], False)


def test_a_trial_that_another_worker_took_ends_without_its_worker(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[int, ...]] = []
    monkeypatch.setattr(heartbeat, "interrupt", lambda *numbers: sent.append(numbers))
    beating = Heartbeat(worker.shared, ask(worker), None, lambda: None)
    assert not beating._is_over()
    worker.shared.close(worker.shared.ledger.trial(0), TrialState.FAIL)
    assert beating._is_over()
    assert (sent, beating.given_away) == ([(signal.SIGINT,)], True)


@pytest.mark.slow
def test_a_storage_that_is_busy_at_one_beat_gets_the_next(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = ask(worker)
    beats: list[int] = []

    def beat(trial_id: int) -> None:
        beats.append(trial_id)
        if len(beats) == 1:
            raise StorageInternalError("database is locked")

    monkeypatch.setattr(worker.shared, "beat", beat)
    with Heartbeat(worker.shared, job, None, lambda: None):
        wait_until(lambda: len(beats) > 1, seconds=20)
    assert set(beats) == {job.trial_id}
