"""Addresses of databases, and the locks that keep their workers apart. Real SQLite."""

import gc
import re
import sqlite3
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import cases
from filelock import FileLock, Timeout
from hypothesis import example, given
from hypothesis import strategies as st
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.trial import TrialState
from sqlalchemy.exc import OperationalError
from sweeping import WIDTHS, close, search_config

from cifar_arch.schema import ConfigError, SearchStopped
from cifar_arch.search import storage as storages
from cifar_arch.search.console import announce
from cifar_arch.search.storage import (
    cached_storage,
    network_file_system,
    open_storage,
    patient,
    quiet_optuna,
    sqlite_file,
    sqlite_url,
    study_lock,
)
from cifar_arch.search.study import SharedStudy
from cifar_arch.search.trial import CachedStorage

FILES = {
    "sqlite:///outputs/studies.db": "outputs/studies.db",
    "sqlite:////abs/studies.db": "/abs/studies.db",
    "sqlite:///C:/Users/me/s.db": "C:/Users/me/s.db",
    "sqlite+pysqlite:///s.db": "s.db",
    "sqlite:///my studies.db?timeout=5": "my studies.db",
    "sqlite:///a#b.db": "a#b.db",
}


@pytest.mark.parametrize(("url", "file"), FILES.items())
def test_the_file_of_an_address(url: str, file: str) -> None:
    assert sqlite_file(url) == Path(file)


def test_a_database_that_vanished_is_made_again_only_by_who_opens_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, file = f"sqlite:///{tmp_path}/s.db", tmp_path / "s.db"
    monkeypatch.setattr(storages, "_open", lambda _: file.touch())
    open_storage(url)
    file.unlink()
    cached_storage(url)
    assert not file.exists()
    open_storage(url)
    assert file.exists()


def test_postgresql_has_no_file() -> None:
    assert sqlite_file("postgresql+psycopg://me@host/studies") is None


@cases(200)
@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
@example("100%25.db")
@example("größe,(1)#2.db?timeout=5")
def test_the_address_of_a_file_leads_back_to_it(name: str) -> None:
    for file in (Path("some where") / name, Path("/") / name):
        assert sqlite_file(sqlite_url(file)) == file


REFUSED = [
    "nowhere",
    "",
    "sqlite://",
    "sqlite:///",
    "sqlite:///:memory:",
    "sqlite:///file:s.db?mode=ro&uri=true",
    "sqlite:///file::memory:?cache=shared&uri=true",
    "sqlite:///s.db?mode=memory&uri=true",
    "sqlite://outputs/studies.db",  # one slash too few
    "mysql://host/studies",
    "postgresql://host:port/studies",
]


@pytest.mark.parametrize("url", REFUSED)
def test_other_addresses_are_refused(url: str) -> None:
    expected = f"storage: expected sqlite:///FILE.db or postgresql+psycopg://USER@HOST/DATABASE, got {url!r}"
    with pytest.raises(ConfigError, match=f"^{re.escape(expected)}$"):
        open_storage(url)


EXPECTED = (
    "expected sqlite:///FILE.db or postgresql+psycopg://USER@HOST/DATABASE, the latter with its driver: "
    "uv sync --inexact --extra postgres (without uv: pip install '.[postgres]')"
)
FIX = "fix it, or name another one"
UNUSABLE = {
    "sqlite:////proc/x/s.db": f"([Errno 2] No such file or directory: '/proc/x'); {FIX}",
    "sqlite:///torn.db": f"(file is not a database); {FIX}",
    "sqlite:///folder": f"([Errno 21] Is a directory: 'folder'); {FIX}",
    "sqlite+nope:///new/s.db": f"(Can't load plugin: sqlalchemy.dialects:sqlite.nope); {EXPECTED}",
    "postgresql+nope://me@host/s": f"(Can't load plugin: sqlalchemy.dialects:postgresql.nope); {EXPECTED}",
}


@pytest.mark.parametrize(("url", "why"), UNUSABLE.items())
def test_a_database_that_cannot_be_opened_says_why_and_what_helps(
    url: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "torn.db").write_bytes(b"no database" * 99)
    (tmp_path / "folder").mkdir()
    with pytest.raises(ConfigError) as error:
        open_storage(url)
    assert str(error.value) == f"storage: {url!r} cannot be opened {why}"
    assert {path.name for path in tmp_path.iterdir()} == {"torn.db", "folder"}  # no lock beside them
    del error
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):
        gc.collect()  # Optuna leaves the connection open that Python 3.13 would warn of in a later test


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[RDBStorage]]:
    """Storages that are closed at the end, in an empty current folder."""
    quiet_optuna()
    monkeypatch.chdir(tmp_path)
    made: list[RDBStorage] = []
    yield made
    for storage in made:
        close(storage)


LOCKED = ["C:/me/s.db", "a b.db", "a%20b.db", "100%25.db", "s.db?timeout=5", "./x/../x/s.db"]


@pytest.mark.parametrize("address", LOCKED)
def test_the_lock_lies_beside_the_database(address: str, tmp_path: Path, opened: list[RDBStorage]) -> None:
    url = f"sqlite:///{address}"
    opened.append(open_storage(url))
    (database,) = tmp_path.rglob("*.db")
    with study_lock(opened[0], url, "s"):
        assert Path(f"{database}.lock").is_file()
    assert {path.name for path in database.parent.iterdir()} <= {
        f"{database.name}{end}" for end in ("", ".lock", "-wal", "-shm")
    }


def test_a_link_shares_the_lock(tmp_path: Path, opened: list[RDBStorage]) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "linked").symlink_to("real")
    url = f"sqlite:///{tmp_path}/linked/s.db"
    opened.append(open_storage(url))
    with study_lock(opened[0], url, "s"), pytest.raises(Timeout):
        FileLock(tmp_path / "real" / "s.db.lock", timeout=0).acquire()


@pytest.mark.parametrize(("query", "seconds"), {"": 60.0, "?timeout=5": 5.0}.items())
def test_a_typed_time_to_wait_is_kept(query: str, seconds: float, opened: list[RDBStorage]) -> None:
    opened.append(open_storage(f"sqlite:///s.db{query}"))
    with opened[0].engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 1000 * seconds


MOUNTS = r"""
overlay / overlay rw 0 0
tmpfs /home tmpfs rw 0 0
server:/data /home/me/lab nfs4 rw 0 0
//other/with\040space /home/me/my\040share cifs rw 0 0
"""
PLACES = {
    "/home/me/lab/outputs/studies.db": "nfs4",
    "/home/me/my share/s.db": "cifs",
    "/home/me/labour/s.db": None,
    "/var/s.db": None,
}


@pytest.mark.parametrize(("file", "kind"), PLACES.items())
def test_a_network_file_system_is_known(file: str, kind: str | None, tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    assert network_file_system(Path(file), mounts) is None
    mounts.write_text(MOUNTS.strip(), encoding="utf-8")
    assert network_file_system(Path(file), mounts) == kind


def test_a_network_file_system_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("cifar_arch.search.console.network_file_system", lambda _: "nfs4")
    announce(SharedStudy(search_config(tmp_path, WIDTHS)))
    assert (
        "studies.db lies on nfs4, where SQLite serves one machine alone; "
        "for several type storage=postgresql+psycopg://USER@HOST/DATABASE\n"
    ) in capsys.readouterr().out


def test_a_server_that_stays_away_is_waited_for_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And not once more for each thing that a worker has to tell before it ends."""
    monkeypatch.setattr(storages, "AWAY", 0.2)
    monkeypatch.setattr(storages, "TRY_AGAIN", 0.05)
    tries: list[str] = []

    @patient
    def tell(what: str, away: bool = True) -> None:
        tries.append(what)
        if away:
            raise OperationalError("INSERT", None, ConnectionError("connection refused"))

    for what in ("result", "end", "goodbye"):
        with pytest.raises(SearchStopped, match=r"^the study cannot be reached \(connection refused\); what"):
            tell(what)
    assert tries.count("result") > 2
    assert tries[-2:] == ["end", "goodbye"]
    assert capsys.readouterr().out == "waiting for the database (connection refused)\n"
    tell("here again", away=False)
    with pytest.raises(SearchStopped):
        tell("away again")
    assert tries.count("away again") > 2
    tell("here at last", away=False)


@pytest.mark.parametrize("table", ["studies", "study_user_attributes"])
def test_a_damaged_database_says_so(table: str, tmp_path: Path) -> None:
    SharedStudy(search_config(tmp_path, WIDTHS)).ask()
    copy = tmp_path / "copy"
    copy.mkdir()
    with sqlite3.connect(tmp_path / "studies.db") as reader:
        reader.execute("VACUUM INTO ?", [f"{copy}/studies.db"])
    reader.close()
    with sqlite3.connect(copy / "studies.db") as reader:
        (size,) = reader.execute("PRAGMA page_size").fetchone()
        (page,) = reader.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", [table]).fetchone()
    reader.close()
    with (copy / "studies.db").open("rb+") as torn:
        torn.seek(size * (page - 1))
        torn.write(b"torn" * (size // 4))
    with pytest.raises(
        SearchStopped, match=r"^the database is damaged \(.* malformed\); put a copy of it back, "
    ):
        SharedStudy(search_config(copy, WIDTHS))


def test_trials_are_listed_by_number_whoever_made_them(tmp_path: Path) -> None:
    there = open_storage(sqlite_url(tmp_path / "studies.db"))
    here = CachedStorage(there)
    study = there.create_new_study([StudyDirection.MAXIMIZE], "s")
    makers = (here, there, there, here, there, there)  # its own trial 3 is known here before 1 and 2
    made = [maker.create_new_trial(study) for maker in makers]
    for trial in made[::2]:
        there.set_trial_state_values(trial, TrialState.COMPLETE, [0.5])
    assert [t.number for t in here.get_all_trials(study)] == [0, 1, 2, 3, 4, 5]
    complete = here.get_all_trials(study, states=(TrialState.COMPLETE,))
    assert [t.number for t in complete] == [0, 2, 4]
