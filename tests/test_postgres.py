"""Two shells on a PostgreSQL that the test starts from the system's package."""

from pathlib import Path

import pytest
from postgres import Server
from sweeping import epochs, start, trained_trials

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
