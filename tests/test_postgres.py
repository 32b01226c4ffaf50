"""Two shells on a PostgreSQL that the test starts from the system's package."""

from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy
from postgres import Server
from sweeping import WIDTHS, epochs, search_config, start, trained_trials

from cifar_arch.search.ledger import Counts
from cifar_arch.search.storage import open_storage, quiet_optuna
from cifar_arch.search.study import SharedStudy
from cifar_arch.search.trial import stale_ids, trial_id

pytestmark = pytest.mark.slow


def test_two_shells_share_a_study_on_postgres(server: Server, tmp_path: Path) -> None:
    url = server.database("two")
    command = ("width=range(4,14)", "limits=none", "epochs=2", "n_trials=8", "study=shared", f"storage={url}")
    folders = [tmp_path / "one", tmp_path / "other"]  # as two hosts: no folder and no lock in common
    for folder in folders:
        folder.mkdir()
    shells = [start(command, folder, '{"seconds": 0.1}') for folder in folders]
    for process in shells:
        _, err = process.communicate(timeout=300)
        assert (process.returncode, err) == (0, "")
    done = trained_trials(tmp_path, url, "shared")
    assert len(done) == 8
    assert len({t.point["model.width"] for t in done}) == 8
    assert len([row for folder in folders for row in epochs(folder)]) == 8 * 2
    assert len({t.worker for t in done}) == 2


def test_the_plain_address_works_and_the_password_is_masked(server: Server, tmp_path: Path) -> None:
    url = server.database("plain").replace("+psycopg://tester", "://tester:secret")
    process = start(("width=4,6", "limits=none", "epochs=1", "study=plain", f"storage={url}"), tmp_path)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "")
    assert "secret" not in out
    assert "optuna-dashboard 'postgresql://tester:***@127.0.0.1" in out


CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'cut'"


def test_a_connection_that_ends_between_two_statements_of_a_read_is_made_again(
    server: Server, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shared = SharedStudy(search_config(tmp_path, WIDTHS, storage=server.database("cut")))
    shared.ask()
    statements: list[str] = []

    def cut(*given: Any) -> None:
        statements.append(given[2])
        if len(statements) == 2:
            server.execute("postgres", CUT)

    sqlalchemy.event.listen(shared.storage.engine, "before_cursor_execute", cut)
    assert shared.counts() == Counts(running=1)
    assert "waiting for the database (" in capfd.readouterr().out
    assert len(statements) > 3


@pytest.mark.parametrize("zone", ["Etc/GMT-1", "Asia/Tokyo"])
def test_no_time_zone_makes_the_living_look_dead(
    server: Server, zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As summer time moves the clock of a server, or PGTZ that of a host."""
    quiet_optuna()
    name = f"zone{len(zone)}"
    storage = open_storage(server.database(name))
    study = optuna.create_study(study_name="s", storage=storage)
    storage.record_heartbeat(trial_id(study.ask()))
    server.execute(name, f"ALTER DATABASE {name} SET timezone = '{zone}'")
    monkeypatch.setenv("PGTZ", zone)
    storage.engine.dispose()
    storage.remove_session()
    assert stale_ids(storage, "s") == set()
