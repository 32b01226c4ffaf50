"""Optuna storages that several processes share: opened safely, locked across workers."""

import contextlib
import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy
from filelock import FileLock
from optuna.exceptions import ExperimentalWarning
from optuna.storages import RDBStorage

from cifar_arch.provenance import masked
from cifar_arch.schema import ConfigError

HEARTBEAT = 30  # seconds between two beats
GRACE = 180  # seconds without one after which a worker of another host counts as dead
BUSY = 60  # seconds that a writer waits for another one on SQLite
FORMS = "sqlite:///FILE.db or postgresql+psycopg://USER@HOST/DATABASE"

_opened: dict[tuple[str, str, int], RDBStorage] = {}


def open_storage(url: str) -> RDBStorage:
    """The database of `url`, made where it is missing; one connection pool for each process.

    Raises ConfigError for one that cannot be used.
    """
    key = url, str(Path.cwd()), os.getpid()
    if key not in _opened or not _still_there(url):
        _opened[key] = _open(url)
    return _opened[key]


def _open(url: str) -> RDBStorage:
    file = _sqlite_file(url)
    if not file and not url.startswith("postgresql"):
        raise ConfigError(f"storage: expected {FORMS}, got {masked(url)!r}")
    options: dict[str, Any] = {"connect_args": {"timeout": BUSY}} if file else {"pool_pre_ping": True}
    try:
        if file:
            file.parent.mkdir(parents=True, exist_ok=True)
        # Several processes that make the tables at once fail: one after the other.
        with _creation_lock(url, file), warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            storage = RDBStorage(url, engine_kwargs=options, heartbeat_interval=HEARTBEAT, grace_period=GRACE)
    except Exception as error:
        raise ConfigError(
            f"storage: {masked(url)!r} cannot be opened ({_first_line(error)}); expected {FORMS}, "
            "the latter with its driver: uv sync --extra postgres"
        ) from error
    if file:
        sqlalchemy.event.listen(storage.engine, "connect", _fast_sqlite)
        storage.engine.dispose()  # connections made before have the slow settings
    return storage


@contextlib.contextmanager
def study_lock(storage: RDBStorage, url: str, study: str) -> Iterator[None]:
    """One worker at a time, across processes, and across hosts on PostgreSQL."""
    file = _sqlite_file(url)
    with FileLock(f"{file}.lock") if file else _advisory_lock(storage.engine, study):
        yield


@contextlib.contextmanager
def _creation_lock(url: str, file: Path | None) -> Iterator[None]:
    if file:
        with FileLock(f"{file}.lock"):
            yield
        return
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.pool.NullPool)
    with _advisory_lock(engine, "the tables"):
        yield


@contextlib.contextmanager
def _advisory_lock(engine: sqlalchemy.Engine, name: str) -> Iterator[None]:
    key = sqlalchemy.text("SELECT pg_advisory_xact_lock(hashtext(:name))")
    with engine.begin() as connection:
        connection.execute(key, {"name": f"cifar_arch:{name}"})
        yield


def _sqlite_file(url: str) -> Path | None:
    match = re.match(r"sqlite(?:\+\w+)?:///([^?:]+)", url)
    return Path(match.group(1)) if match else None


def _still_there(url: str) -> bool:
    file = _sqlite_file(url)
    return file is None or file.exists()


def _fast_sqlite(connection: Any, _: Any) -> None:
    """Write-ahead log: readers such as the dashboard never block writers; commits cost a fifth."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def quiet_optuna() -> None:
    """Silences Optuna's own lines and warnings: the sweep says the same in its own words."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=ExperimentalWarning)
    warnings.filterwarnings("ignore", "Heartbeat of storage")  # beaten by our own thread
    warnings.filterwarnings("ignore", "Constraints have been set")  # rejected ones are not trained anyway
