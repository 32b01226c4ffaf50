"""Optuna storages that several processes share: opened safely, locked across workers."""

import contextlib
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

from cifar_arch.schema import ConfigError

HEARTBEAT = 30  # seconds between two beats
GRACE = 180  # seconds without one after which a worker of another host counts as dead


def open_storage(url: str) -> RDBStorage:
    """The database of `url`, made where it is missing. Raises ConfigError for one that cannot be used."""
    file = _sqlite_file(url)
    options: dict[str, Any] = {"pool_pre_ping": True}
    try:
        if file:
            file.parent.mkdir(parents=True, exist_ok=True)
            options = {"connect_args": {"timeout": 60}}
        # Several processes that make the tables at once fail: one after the other.
        with _creation_lock(file), warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            storage = RDBStorage(url, engine_kwargs=options, heartbeat_interval=HEARTBEAT, grace_period=GRACE)
    except Exception as error:
        raise ConfigError(
            f"storage: {masked(url)!r} cannot be opened ({_first_line(error)}); give "
            "sqlite:///FILE.db, or postgresql+psycopg://USER:PASSWORD@HOST/DATABASE with its driver"
        ) from error
    if file:
        sqlalchemy.event.listen(storage.engine, "connect", _fast_sqlite)
        storage.engine.dispose()  # connections made before have the slow settings
    return storage


def masked(url: str) -> str:
    """The address without its password."""
    return re.sub(r"(://[^:/@\s]+):[^@\s]+@", r"\1:***@", url)


@contextlib.contextmanager
def study_lock(storage: RDBStorage, url: str, study: str) -> Iterator[None]:
    """One worker at a time, across processes, and across hosts on PostgreSQL."""
    if storage.engine.dialect.name == "postgresql":
        key = sqlalchemy.text("SELECT pg_advisory_xact_lock(hashtext(:study))")
        with storage.engine.begin() as connection:
            connection.execute(key, {"study": f"cifar_arch:{study}"})
            yield
    else:
        file = _sqlite_file(url) or Path("outputs") / "studies"
        with FileLock(f"{file}.lock"):
            yield


def _sqlite_file(url: str) -> Path | None:
    match = re.match(r"sqlite(?:\+\w+)?:///([^?]+)", url)
    return Path(match.group(1)) if match else None


def _creation_lock(file: Path | None) -> contextlib.AbstractContextManager[Any]:
    return FileLock(f"{file}.lock") if file else contextlib.nullcontext()


def _fast_sqlite(connection: Any, _: Any) -> None:
    """Write-ahead log: readers such as the dashboard never block writers; commits cost a fifth."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def quiet_optuna() -> None:
    """Optuna's own lines and warnings say nothing that the sweep does not say better."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=ExperimentalWarning)
    warnings.filterwarnings("ignore", "Heartbeat of storage")  # beaten by our own thread
