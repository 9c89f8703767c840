"""One database in the place of another: what was there is kept, what was left is swept, one name for one file."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from hmp_core.backends import DuckDBBackend
from hmp_core.errors import BusyError, StorageError
from hmp_core.replacing import (
    KEPT,
    beside,
    flush,
    forget_old,
    moments,
    next_moment,
    set_aside,
    take_place,
    unlink_own_copies,
)
from hmp_core.testing.children import start

FAR = "29991231T235959999999"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A file in the place of a database: these rooms do not look into it."""
    path = tmp_path / "aare.duckdb"
    path.write_bytes(b"old")
    return path


@pytest.fixture
def replaced(tmp_path: Path) -> Path:
    return tmp_path / ".hmp" / "aare" / "replaced"


# ── beside ───────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_made_beside_goes_unless_it_took_the_place(database: Path) -> None:
    with beside(database) as new:
        new.write_bytes(b"new")
        new.with_name(f"{new.name}.wal").write_bytes(b"its wal")
    assert [path.name for path in database.parent.iterdir()] == [database.name]
    with beside(database) as new:
        new.write_bytes(b"new")
        take_place(new, database)
    assert [path.read_bytes() for path in database.parent.iterdir()] == [b"new"]


def test_what_a_killed_process_left_is_swept_and_nothing_else(database: Path) -> None:
    left = [".aare.duckdb.12ab34cd.new", ".aare.duckdb.12ab34cd.new.wal", "..aare.duckdb.12ab34cd.new.99999999.new"]
    others = [".aare.duckdb.notes", "aare.duckdb.new", ".reuss.duckdb.12ab34cd.new", "aare.duckdb.lock"]
    for name in (*left, *others):
        (database.parent / name).write_bytes(b"")
    with beside(database):
        assert {path.name for path in database.parent.iterdir()} == {database.name, *others}


def test_a_name_with_signs_of_a_pattern_sweeps_only_its_own(tmp_path: Path) -> None:
    other = tmp_path / ".b.duckdb.12ab34cd.new"
    other.write_bytes(b"")
    with beside(tmp_path / "[ab].duckdb"):
        assert other.exists()


# ── in the place of ──────────────────────────────────────────────────────────────────────────────────


def test_who_could_open_the_old_one_can_open_the_new_one(database: Path) -> None:
    database.chmod(0o660)
    with beside(database) as new:
        new.write_bytes(b"new")
        take_place(new, database)
    assert stat.S_IMODE(database.stat().st_mode) == 0o660


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files of others")
def test_a_database_of_somebody_else_stays_theirs(database: Path) -> None:
    os.chown(database, 65534, 65534)
    with beside(database) as new:
        new.write_bytes(b"new")
        take_place(new, database)
    assert (database.stat().st_uid, database.stat().st_gid) == (65534, 65534)


# ── set aside ────────────────────────────────────────────────────────────────────────────────────────


def test_the_old_one_is_kept_with_its_wal_and_stays_until_it_is_replaced(database: Path, replaced: Path) -> None:
    wal = database.with_name("aare.duckdb.wal")
    wal.write_bytes(b"wal")
    assert set_aside(database) == replaced
    assert not wal.exists()
    assert database.read_bytes() == b"old"
    kept = sorted(replaced.iterdir())
    assert [path.read_bytes() for path in kept] == [b"old", b"wal"]
    assert kept[1].name == f"{kept[0].name}.wal", "opened where it lies, it finds its WAL"


def test_nothing_to_set_aside_makes_no_folder(tmp_path: Path) -> None:
    set_aside(tmp_path / "aare.duckdb")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_its_place_is_moved(database: Path, replaced: Path) -> None:
    database.unlink()
    database.mkdir()
    set_aside(database)
    assert not database.exists()
    assert [path.is_dir() for path in replaced.iterdir()] == [True]


def test_the_newest_are_kept_and_what_is_not_ours_is_left_alone(database: Path, replaced: Path) -> None:
    replaced.mkdir(parents=True)
    for name in ("notes.txt", "20200101-of-mine.duckdb"):
        (replaced / name).write_text("of the user")
    for n in range(KEPT + 3):
        with beside(database) as new:
            new.write_bytes(b"%d" % n)
            set_aside(database)
            take_place(new, database)
    kept = [path.read_bytes() for path in sorted(replaced.iterdir()) if "T" in path.name]
    assert kept == [b"%d" % n for n in range(2, KEPT + 2)]
    assert {"notes.txt", "20200101-of-mine.duckdb"} < {path.name for path in replaced.iterdir()}


def test_a_clock_set_back_does_not_make_the_last_one_the_oldest(tmp_path: Path) -> None:
    for n in range(KEPT):
        (tmp_path / f"{FAR[:-1]}{n}-aare.duckdb").write_bytes(b"")
    moment = next_moment(tmp_path)
    (tmp_path / f"{moment}-aare.duckdb").write_bytes(b"last")
    forget_old(tmp_path)
    assert len(moments(tmp_path)) == KEPT
    assert moments(tmp_path)[-1] == moment


# ── one name for one file ────────────────────────────────────────────────────────────────────────────


def test_an_interrupted_set_aside_is_undone(database: Path, replaced: Path) -> None:
    set_aside(database)
    assert database.stat().st_nlink == 2
    unlink_own_copies(database)
    assert (database.stat().st_nlink, database.read_bytes()) == (1, b"old")
    assert list(replaced.iterdir()) == []


def test_the_next_replacement_undoes_it_too(database: Path) -> None:
    set_aside(database)
    with beside(database):
        assert database.stat().st_nlink == 1


def test_a_name_that_somebody_else_gave_it_stays(database: Path, replaced: Path, tmp_path: Path) -> None:
    os.link(database, tmp_path / "mine.duckdb")
    replaced.mkdir(parents=True)
    os.link(database, replaced / "mine.duckdb")
    (replaced / f"{FAR}-aare.duckdb").write_bytes(b"old")
    unlink_own_copies(database)
    assert database.stat().st_nlink == 3
    assert (replaced / f"{FAR}-aare.duckdb").exists(), "equal, but another file"


@pytest.mark.parametrize("there", [True, False])
def test_where_there_is_nothing_to_undo_nothing_happens(database: Path, there: bool) -> None:
    if not there:
        database.unlink()
    unlink_own_copies(database)
    assert database.exists() == there


# ── flushed ──────────────────────────────────────────────────────────────────────────────────────────

LEFT = """
    import os
    from hmp_core.backends import DuckDBBackend
    backend = DuckDBBackend(path)
    with backend.lease(write=True):
        backend.execute("INSERT INTO t VALUES (1)")
        os._exit(0)
"""


def test_what_is_in_the_wal_comes_into_the_database(tmp_path: Path) -> None:
    backend = DuckDBBackend(tmp_path / "a.duckdb", create=True)
    backend.execute("CREATE TABLE t (a INTEGER)")
    with start(LEFT, path=backend.path) as child:
        child.join()
    wal = backend.path.with_name("a.duckdb.wal")
    assert wal.exists()
    flush(backend)
    assert not wal.exists()
    assert backend.fetch_all("SELECT * FROM t") == [(1,)]


def test_nothing_to_flush_changes_not_a_byte(tmp_path: Path) -> None:
    backend = DuckDBBackend(tmp_path / "a.duckdb", create=True)
    backend.execute("CREATE TABLE t (a INTEGER)")
    before = backend.path.read_bytes()
    flush(backend)
    assert backend.path.read_bytes() == before


def test_what_cannot_be_flushed_is_said(tmp_path: Path) -> None:
    """Here because the file is open elsewhere without the lock file."""
    backend = DuckDBBackend(tmp_path / "a.duckdb", create=True)
    backend.execute("CREATE TABLE t (a INTEGER)")
    code = """
        from hmp_core.backends import DuckDBBackend
        with DuckDBBackend(path).lease(write=False, unlocked=True): say(); listen()
    """
    with start(code, path=backend.path) as holder:
        holder.hear()
        with pytest.raises(BusyError):
            flush(backend)


def test_a_wal_that_stays_is_an_error(tmp_path: Path) -> None:
    backend = DuckDBBackend(tmp_path / "a.duckdb", create=True)
    backend.execute("CREATE TABLE t (a INTEGER)")
    backend.path.with_name("a.duckdb.wal.recovery").mkdir()
    with pytest.raises(StorageError, match="free some space"):
        flush(backend)
