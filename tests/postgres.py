"""A PostgreSQL server from the system's package, to be started, killed and started again."""

import os
import pwd
import shutil
import socket
import subprocess
from pathlib import Path

import pytest


class Server:
    """A server on the loopback with its data in an empty folder."""

    def __init__(self, folder: Path):
        self.programs, self.user, self.folder = _programs(), _unprivileged(), folder
        self.port = _free_port()
        if self.user:
            shutil.chown(folder, self.user)
        self._type("initdb", "-U", "tester", "--auth=trust", "-E", "UTF8", "--no-sync")

    def start(self) -> None:
        listen = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.folder}"
        self._type("pg_ctl", "-l", f"{self.folder}/log", "-o", f"{listen} -c fsync=off", "-w", "start")

    def stop(self) -> None:
        """As a crash does."""
        self._type("pg_ctl", "-m", "immediate", "stop")

    def database(self, name: str) -> str:
        """The address of a new database."""
        self.execute("postgres", f"CREATE DATABASE {name}")
        return f"postgresql+psycopg://tester@127.0.0.1:{self.port}/{name}"

    def execute(self, database: str, statement: str) -> None:
        address = ("-h", "127.0.0.1", "-p", str(self.port), "-U", "tester", "-d", database)
        subprocess.run([self.programs / "psql", *address, "-q", "-c", statement], check=True)

    def _type(self, program: str, *words: str) -> None:
        done = subprocess.run(
            [self.programs / program, "-D", f"{self.folder}/data", *words],
            user=self.user,
            cwd=self.folder,
            env={"LC_ALL": "C", "PATH": os.environ["PATH"]},
            timeout=120,
        )
        assert done.returncode == 0


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
