"""Two shells on a PostgreSQL that the test starts from the system's package."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sweeping import epochs, start, trained_trials

pytestmark = pytest.mark.slow

pytest.importorskip("psycopg", reason="needs --extra postgres")


def _programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb")) or [
        Path(p) for p in [shutil.which("initdb")] if p
    ]
    if not found:
        pytest.skip("needs PostgreSQL: apt-get install postgresql")
    return found[-1].parent


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _unprivileged() -> str | None:
    """PostgreSQL refuses to run as root: the user that its package made, then."""
    if os.geteuid() != 0:
        return None
    names = {user.pw_name for user in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """The address of an empty database on the loopback."""
    programs, user, port = _programs(), _unprivileged(), _free_port()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        if user:
            shutil.chown(folder, user)

        def typed(*words: str) -> None:
            done = subprocess.run(
                words, user=user, cwd=folder, env={"LC_ALL": "C", "PATH": os.environ["PATH"]}, timeout=120
            )
            assert done.returncode == 0

        data, log = f"{folder}/data", f"{folder}/log"
        typed(str(programs / "initdb"), "-D", data, "-U", "tester", "--auth=trust", "-E", "UTF8", "--no-sync")
        listen = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
        typed(str(programs / "pg_ctl"), "-D", data, "-l", log, "-o", listen, "-w", "start")
        try:
            yield f"tester@127.0.0.1:{port}/postgres"
        finally:
            typed(str(programs / "pg_ctl"), "-D", data, "-m", "immediate", "stop")


def test_two_shells_share_a_study_on_postgres(database: str, tmp_path: Path) -> None:
    url = f"postgresql+psycopg://{database}"
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


def test_the_plain_address_works_and_the_password_is_masked(database: str, tmp_path: Path) -> None:
    url = f"postgresql://{database.replace('tester', 'tester:secret')}"
    process = start(("width=4,6", "limits=none", "epochs=1", "study=plain", f"storage={url}"), tmp_path)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "")
    assert "secret" not in out
    assert "optuna-dashboard 'postgresql://tester:***@127.0.0.1" in out
