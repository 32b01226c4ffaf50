"""Optuna storages that several processes share: opened safely, locked across workers."""

import contextlib
import functools
import os
import sqlite3
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import optuna
import sqlalchemy
from filelock import FileLock
from optuna.exceptions import ExperimentalWarning, OptunaError, StorageInternalError
from optuna.storages import BaseStorage, RDBStorage
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DatabaseError,
    InterfaceError,
    NoSuchModuleError,
    OperationalError,
    PendingRollbackError,
    SQLAlchemyError,
)

from cifar_arch.provenance import masked
from cifar_arch.schema import ConfigError, SearchStopped, first_line, install
from cifar_arch.search.trial import CachedStorage

HEARTBEAT = 30  # seconds between two beats
GRACE = 180  # seconds without one after which a worker of another host counts as dead
BUSY = 60  # seconds that a writer waits for another one on SQLite
FORMS = "sqlite:///FILE.db or postgresql+psycopg://USER@HOST/DATABASE"

GONE = "Record does not exist"  # what Optuna says of a study that was deleted
AWAY = 900.0  # seconds that a database server may be away
TRY_AGAIN = 2.0  # seconds between two tries
# So that neither a server nor a client that vanished is waited for without end; seconds but for the last.
PATIENCE = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
    "options": "-c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3 "
    "-c lock_timeout=600000",
}
# As Linux names file systems that several hosts may share.
NETWORK = ("nfs", "cifs", "smb", "lustre", "gpfs", "beegfs", "ceph", "glusterfs", "fuse.sshfs", "9p", "afs")

# What a storage may raise that is busy, away, or has lost what is asked for.
STORAGE_ERRORS = (OptunaError, SQLAlchemyError, KeyError)

P = ParamSpec("P")
T = TypeVar("T")

Lock = contextlib.AbstractContextManager[object]  # held while it is entered

_opened: dict[tuple[str, str, int], tuple[RDBStorage, BaseStorage]] = {}
_missed: list[float] = []  # times at which the server was found away, since it answered last


def open_storage(url: str) -> RDBStorage:
    """The database of `url`, made where it is missing; one connection pool for each process.

    Raises ConfigError for one that cannot be used.
    """
    return _of_process(url)[0]


def cached_storage(url: str) -> BaseStorage:
    """The same, with all finished trials that this process has read: reading a large study takes seconds.

    A database that vanished is not made again.
    """
    return _of_process(url, again=False)[1]


def _of_process(url: str, *, again: bool = True) -> tuple[RDBStorage, BaseStorage]:
    key = url, str(Path.cwd()), os.getpid()
    file = sqlite_file(url)
    if key not in _opened or (again and file and not file.exists()):
        storage = _open(url)
        _opened[key] = storage, CachedStorage(storage)
    return _opened[key]


def _open(url: str) -> RDBStorage:
    file = sqlite_file(url)
    options: dict[str, Any] = {} if file else {"pool_pre_ping": True, "connect_args": PATIENCE}
    if file and "timeout" not in make_url(url).query:
        options = {"connect_args": {"timeout": BUSY}}
    try:
        make_url(url).get_dialect()  # is there such a one?
        if file:
            _require_database(file)
            file.parent.mkdir(parents=True, exist_ok=True)
        # Several processes that make the tables at once fail: one after the other.
        with _creation_lock(url, file), warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            storage = RDBStorage(url, engine_kwargs=options, heartbeat_interval=HEARTBEAT, grace_period=GRACE)
    except Exception as error:
        # Optuna says of every fault in a commit that its data is invalid.
        said = first_line((isinstance(error, StorageInternalError) and error.__cause__) or error)
        advice = "fix it, or name another one"
        if isinstance(error, ArgumentError | NoSuchModuleError | ImportError):
            advice = f"expected {FORMS}, the latter with its driver: {install('postgres')}"
        raise ConfigError(f"storage: {masked(url)!r} cannot be opened ({said}); {advice}") from error
    sqlalchemy.event.listen(storage.engine, "connect", _fast_sqlite if file else _in_utc)
    storage.engine.dispose()  # connections made before have other settings
    return storage


def _require_database(file: Path) -> None:
    """Raises an error for a file of another kind, before the file of a lock lies beside it."""
    if file.exists():
        with file.open("rb") as existing:
            if existing.read(16) not in (b"", b"SQLite format 3\0"):
                raise sqlite3.DatabaseError("file is not a database")


def study_lock(storage: RDBStorage, url: str, study: str) -> Lock:
    """One worker at a time, across processes, and across hosts on PostgreSQL."""
    file = sqlite_file(url)
    return _file_lock(file) if file else _advisory_lock(storage.engine, study)


def _creation_lock(url: str, file: Path | None) -> Lock:
    if file:
        return _file_lock(file)
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.pool.NullPool, connect_args=PATIENCE)
    return _advisory_lock(engine, "the tables")


def _file_lock(file: Path) -> FileLock:
    """Beside the file that is meant, however its path is spelled and linked."""
    return FileLock(f"{file.resolve()}.lock")


@contextlib.contextmanager
def _advisory_lock(engine: sqlalchemy.Engine, name: str) -> Iterator[None]:
    key = sqlalchemy.text("SELECT pg_advisory_xact_lock(hashtext(:name))")
    with engine.begin() as connection:
        connection.execute(key, {"name": f"cifar_arch:{name}"})
        yield


def patient(method: Callable[P, T]) -> Callable[P, T]:
    """The method, tried again as a whole while the database server is away.

    For what may be done twice: whatever a worker does in the study, another one may have to do again after
    a crash. Raises SearchStopped where the server stays away, where a database file cannot be written or is
    damaged, or where the study was deleted.

    All such methods share one time to wait: a worker that has given up still has its end to tell.
    """

    @functools.wraps(method)
    def tried(*args: P.args, **options: P.kwargs) -> T:
        while True:
            try:
                result = method(*args, **options)
                _missed.clear()
                return result
            except KeyError as error:
                if GONE not in str(error):
                    raise
                raise SearchStopped(
                    "the study was removed while it ran; the same command starts again, after the folder of "
                    "its trials is removed"
                ) from error
            except (StorageInternalError, SQLAlchemyError) as error:
                cause = _unreachable(error)
                if cause is None:
                    raise
                _wait(cause)

    return tried


def _wait(cause: BaseException) -> None:
    """Until the next try. Raises SearchStopped where none is worth while."""
    if type(cause) is sqlite3.DatabaseError:
        raise SearchStopped(
            f"the database is damaged ({first_line(cause)}); put a copy of it back, or name another "
            "storage; what was trained is kept in its folder"
        ) from cause
    _missed.append(time.monotonic())
    if isinstance(cause, sqlite3.Error) or _missed[-1] - _missed[0] > AWAY:
        raise SearchStopped(
            f"the study cannot be reached ({first_line(cause)}); what was trained is kept in its folder, "
            "and the same command goes on"
        ) from cause
    if len(_missed) == 1:
        print(f"waiting for the database ({first_line(cause)})", flush=True)
    time.sleep(TRY_AGAIN)


def _unreachable(error: BaseException | None) -> BaseException | None:
    """The driver's error that says so; None for another fault."""
    while error is not None:
        # The last is that of a damaged file; its other heirs are faults of ours.
        if isinstance(error, OperationalError | InterfaceError) or type(error) is DatabaseError:
            return error.orig or error
        # Optuna reads on in the transaction that ended with the connection, which hides why it ended.
        hidden = error.__context__ if isinstance(error, PendingRollbackError) else None
        error = error.__cause__ or hidden
    return None


def network_file_system(file: Path, mounts: Path = Path("/proc/mounts")) -> str | None:
    """The kind of the network file system that a file lies on; None where it is none, or unknown."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    place = file.resolve()
    mounted = ((Path(where.replace("\\040", " ")), kind) for _, where, kind, *_ in map(str.split, lines))
    above = [(len(where.parts), kind) for where, kind in mounted if place.is_relative_to(where)]
    kind = max(above, default=(0, ""))[1]
    return kind if kind.startswith(NETWORK) else None


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


def _in_utc(connection: Any, _: Any) -> None:
    """Optuna writes the times of heartbeats without a zone, and compares them with the session's clock.

    So that neither summer time nor a host with a zone of its own makes the living look dead.
    """
    cursor = connection.cursor()
    cursor.execute("SET TIME ZONE 'UTC'")
    cursor.close()
    connection.commit()


def _fast_sqlite(connection: Any, _: Any) -> None:
    """Write-ahead log: readers such as the dashboard never block writers; commits cost a fifth."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()


def quiet_optuna() -> None:
    """Silences Optuna's own lines and warnings: the sweep says the same in its own words."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=ExperimentalWarning)
    warnings.filterwarnings("ignore", "Heartbeat of storage")  # beaten by our own thread
    warnings.filterwarnings("ignore", "Constraints have been set")  # rejected ones are not trained anyway
