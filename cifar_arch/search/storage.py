"""Optuna storages that several processes share: opened safely, locked across workers."""

import contextlib
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy
from filelock import FileLock
from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage, RDBStorage
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from cifar_arch.provenance import masked
from cifar_arch.schema import ConfigError

HEARTBEAT = 30  # seconds between two beats
GRACE = 180  # seconds without one after which a worker of another host counts as dead
BUSY = 60  # seconds that a writer waits for another one on SQLite
FORMS = "sqlite:///FILE.db or postgresql+psycopg://USER@HOST/DATABASE"

_opened: dict[tuple[str, str, int], tuple[RDBStorage, BaseStorage]] = {}


def open_storage(url: str) -> RDBStorage:
    """The database of `url`, made where it is missing; one connection pool for each process.

    Raises ConfigError for one that cannot be used.
    """
    return _of_process(url)[0]


def cached_storage(url: str) -> BaseStorage:
    """The same, with all finished trials that this process has read: reading a large study takes seconds."""
    return _of_process(url)[1]


def _of_process(url: str) -> tuple[RDBStorage, BaseStorage]:
    key = url, str(Path.cwd()), os.getpid()
    if key not in _opened or not _still_there(url):
        storage = _open(url)
        _opened[key] = storage, optuna.storages.get_storage(storage)
    return _opened[key]


def _open(url: str) -> RDBStorage:
    file = sqlite_file(url)
    options: dict[str, Any] = {} if file else {"pool_pre_ping": True}
    if file and "timeout" not in make_url(url).query:
        options = {"connect_args": {"timeout": BUSY}}
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
    file = sqlite_file(url)
    with _file_lock(file) if file else _advisory_lock(storage.engine, study):
        yield


@contextlib.contextmanager
def _creation_lock(url: str, file: Path | None) -> Iterator[None]:
    if file:
        with _file_lock(file):
            yield
        return
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.pool.NullPool)
    with _advisory_lock(engine, "the tables"):
        yield


def _file_lock(file: Path) -> FileLock:
    """Beside the file that is meant, however its path is spelled and linked."""
    return FileLock(f"{file.resolve()}.lock")


@contextlib.contextmanager
def _advisory_lock(engine: sqlalchemy.Engine, name: str) -> Iterator[None]:
    key = sqlalchemy.text("SELECT pg_advisory_xact_lock(hashtext(:name))")
    with engine.begin() as connection:
        connection.execute(key, {"name": f"cifar_arch:{name}"})
        yield


def sqlite_url(file: Path) -> str:
    """The address of a database file, whatever characters its path has."""
    return URL.create("sqlite", database=str(file)).render_as_string()


def sqlite_file(url: str) -> Path | None:
    """The file of an SQLite address; None for PostgreSQL.

    Raises ConfigError for any other address, one in memory or of the form file: included.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # the latter for a port that is no number
        parsed = None
    match parsed:
        case URL(drivername=driver) if driver.startswith("postgresql"):
            return None
        case URL(drivername=driver, host=None, database=str(file)) if driver.startswith("sqlite"):
            if file and not file.startswith((":memory:", "file:")) and "uri" not in parsed.query:
                return Path(file)
    raise ConfigError(f"storage: expected {FORMS}, got {masked(url)!r}")


def _still_there(url: str) -> bool:
    file = sqlite_file(url)
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
