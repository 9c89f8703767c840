"""Backups: whole or absent, through the engine and under the lock, the newest five kept."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from hmp_core.backends import DuckDBBackend
from hmp_core.backups import Backup, list_backups, take_backup
from hmp_core.copying import contents
from hmp_core.errors import (
    AccessDenied,
    BusyError,
    CorruptError,
    DatabaseNotFound,
    HmpError,
    InvalidInput,
    NotWritable,
    SchemaIntegrityError,
    StorageError,
)
from hmp_core.events import EventStore
from hmp_core.testing.children import run, start
from hmp_core.testing.door_suite import Nobody, anybodys_folder, closed_to_writers, unprivileged
from hmp_core.testing.gauges import ORDERS, dump, gauges

#: Everything that a database may be made of, with names that must be quoted.
ODD = """
CREATE TABLE schema_migrations (component VARCHAR, version INTEGER, checksum VARCHAR);
CREATE SEQUENCE numbers START 7;
CREATE TABLE "a ""b"" c" (i INTEGER PRIMARY KEY DEFAULT nextval('numbers'), "the name" VARCHAR NOT NULL, l DOUBLE[]);
CREATE INDEX "by name" ON "a ""b"" c" ("the name");
CREATE VIEW a_view AS SELECT i FROM "a ""b"" c" WHERE i > 1;
CREATE SCHEMA other;
CREATE TABLE other.t (d TIMESTAMP, j JSON, u UUID, CHECK (d IS NOT NULL));
INSERT INTO "a ""b"" c" ("the name", l) SELECT 'n' || r, [r, NULL, r / 3] FROM range(5000) t(r);
INSERT INTO other.t VALUES ('2020-01-01', '{"a": null}', '00000000-0000-0000-0000-000000000001');
"""


@pytest.fixture
def lived_in(store: EventStore) -> EventStore:
    """A folded database with a few rows in every table."""
    for n in range(3):
        gauge = str(UUID(int=n + 1))
        store.append("gauge.set", {"gauge": gauge, "river": "Aare", "elevation": 300.5})
        store.commit([store.prepare("level.set", {"gauge": gauge, "day": d, "level": d / 7}) for d in range(40)])
    store.append("observer.set", {"code": "ann", "called": "Anna"})
    store.append("visit.made", {"code": "ann", "gauge": str(UUID(int=1))})
    store.append("visit.made", {"code": "bob", "gauge": str(UUID(int=1))})
    dump(store)
    return store


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of half a megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "none", disk], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("mounting a small disk needs root")
    yield disk
    subprocess.run(["umount", disk], check=True)


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if not path.name.endswith((".lock", ".lock.json"))}


def _rows(database: Path) -> dict[str, list[tuple[Any, ...]]]:
    backend = DuckDBBackend(database, read_only=True)
    with backend.lease(write=False, unlocked=True):
        return {table: backend.fetch_all(f"SELECT * FROM {table} ORDER BY {by}") for table, by in ORDERS.items()}


# ── what is in it ────────────────────────────────────────────────────────────────────────────────────


def test_a_backup_holds_the_same(lived_in: EventStore) -> None:
    taken = take_backup(lived_in.path)
    assert _rows(taken) == dump(lived_in)
    assert contents(DuckDBBackend(taken)) == contents(DuckDBBackend(lived_in.path))
    kinds = [part[0] for part in contents(DuckDBBackend(taken))]
    assert (kinds.count("table"), kinds.count("index")) == (11, 2)


def test_whatever_a_database_is_made_of(tmp_path: Path) -> None:
    backend = DuckDBBackend(tmp_path / "odd's.duckdb", create=True)
    with backend.lease(write=True):
        for statement in backend.statements(ODD):
            backend.execute(statement)
    taken = DuckDBBackend(take_backup(backend.path))
    assert contents(taken) == contents(backend)
    assert len(contents(taken)) == 6
    for sql in ('SELECT * FROM "a ""b"" c" ORDER BY i', "SELECT * FROM other.t", "SELECT sum(i) FROM a_view"):
        assert taken.fetch_all(sql) == backend.fetch_all(sql)
    with pytest.raises(HmpError, match=r"(?i)duplicate|constraint"):
        taken.execute('INSERT INTO "a ""b"" c" (i, "the name") VALUES (8, \'x\')')
    taken.execute('INSERT INTO "a ""b"" c" ("the name") VALUES (\'next\')')
    assert taken.fetch_all('SELECT max(i) FROM "a ""b"" c"') == [(5007,)]


def test_what_is_not_flushed_yet_is_in_it(lived_in: EventStore) -> None:
    code = """
        import os
        from hmp_core.backends import DuckDBBackend
        backend = DuckDBBackend(path)
        with backend.lease(write=True):
            backend.execute("UPDATE gauges SET river = 'Reuss'")
            os._exit(0)
    """
    with start(code, path=lived_in.path) as child:
        child.join()
    assert lived_in.path.with_name("gauges.duckdb.wal").exists()
    assert {row[1] for row in _rows(take_backup(lived_in.path))["gauges"]} == {"Reuss"}


def test_one_may_be_reading_but_not_in_the_midst_of_a_transaction(lived_in: EventStore) -> None:
    with lived_in.reading():
        assert _rows(take_backup(lived_in.path))["gauges"] != []
    backend = DuckDBBackend(lived_in.path)
    with backend.transaction():
        backend.execute("DELETE FROM gauges")
        with pytest.raises(InvalidInput, match="transaction"):
            take_backup(lived_in.path)
        backend.execute("INSERT INTO observers VALUES ('x', 'y', 'z')")
    assert backend.fetch_all("SELECT count(*) FROM gauges") == [(0,)], "the caller's changes are not lost to it"
    assert len(list_backups(lived_in.path)) == 1


def test_a_second_writer_stays_locked_out(lived_in: EventStore) -> None:
    """Scenario 20: a backup of a live database drops no lock, not even the engine's own."""
    code = """
        from hmp_core.backends import DuckDBBackend
        from hmp_core.errors import BusyError
        try:
            with DuckDBBackend(path).lease(write=True, unlocked=True):
                say("in")
        except BusyError as error:
            say(error.holder)
    """
    backend = DuckDBBackend(lived_in.path)
    with backend.lease(write=True):
        take_backup(lived_in.path)
        list_backups(lived_in.path)
        (said,) = run(code, path=lived_in.path)
        assert str(os.getpid()) in said


# ── which there are ──────────────────────────────────────────────────────────────────────────────────


def test_the_newest_five_are_kept(lived_in: EventStore) -> None:
    taken = [take_backup(lived_in.path, reason=f"n-{n}") for n in range(7)]
    listed = list_backups(lived_in.path)
    assert [backup.path for backup in listed] == taken[:1:-1]
    newest = listed[0]
    assert newest == Backup(taken[-1], newest.taken_at, "n-6", taken[-1].stat().st_size)
    assert abs(newest.taken_at - datetime.now(UTC)) < timedelta(minutes=1)
    assert taken[0].parent == lived_in.path.parent / ".hmp" / "gauges" / "backups"
    assert _names(taken[0].parent) == {backup.path.name for backup in listed}


def test_other_files_there_are_neither_listed_nor_removed(lived_in: EventStore) -> None:
    first = take_backup(lived_in.path)
    for name in ("mine.duckdb", "20200101T000000000000-mine.txt", ".gauges.duckdb.12345678.new"):
        (first.parent / name).write_bytes(b"")
    for _ in range(2):
        take_backup(lived_in.path)
    assert len(list_backups(lived_in.path)) == 3
    assert {"mine.duckdb", "20200101T000000000000-mine.txt"} < _names(first.parent)
    assert ".gauges.duckdb.12345678.new" not in _names(first.parent), "what a killed process left goes"


def test_none_there_are(tmp_path: Path) -> None:
    assert list_backups(tmp_path / "gauges.duckdb") == []
    assert list(tmp_path.iterdir()) == []


def test_through_a_link_it_is_the_same_database(lived_in: EventStore, tmp_path: Path) -> None:
    (tmp_path / "link.duckdb").symlink_to(lived_in.path)
    taken = take_backup(tmp_path / "link.duckdb")
    assert [backup.path for backup in list_backups(lived_in.path)] == [taken]
    assert list_backups(tmp_path / "link.duckdb") == list_backups(lived_in.path)


# ── refusals: typed, and nothing left behind ─────────────────────────────────────────────────────────


def _refused(kind: type[HmpError], database: Path, **more: Any) -> None:
    before = _names(database.parent) | {"backups", ".hmp", database.stem}
    content = database.read_bytes() if database.exists() else b""
    with pytest.raises(kind):
        take_backup(database, **more)
    assert _names(database.parent) - before == set()
    assert (database.read_bytes() if database.exists() else b"") == content


def test_there_is_none(tmp_path: Path) -> None:
    _refused(DatabaseNotFound, tmp_path / "gauges.duckdb")
    _refused(DatabaseNotFound, tmp_path / "nowhere" / "gauges.duckdb")
    assert list(tmp_path.iterdir()) == []


def test_somebody_elses(tmp_path: Path) -> None:
    DuckDBBackend(tmp_path / "a.duckdb", create=True).execute("CREATE TABLE recipes (a INTEGER)")
    _refused(SchemaIntegrityError, tmp_path / "a.duckdb")


@pytest.mark.parametrize("content", [b"", b"not a database", b"x" * 100_000])
def test_no_database(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.duckdb").write_bytes(content)
    _refused(CorruptError, tmp_path / "a.duckdb")


def test_damage_in_any_block_is_seen(lived_in: EventStore) -> None:
    """Also in one that counting rows does not read."""
    data = lived_in.path.read_bytes()
    for at in range(12288 + 100, len(data), 16384):
        harmed = bytearray(data)
        harmed[at] ^= 1
        lived_in.path.write_bytes(harmed)
        before = len(list_backups(lived_in.path))
        try:
            taken = take_backup(lived_in.path)
        except CorruptError:
            assert len(list_backups(lived_in.path)) == before
        else:
            assert _rows(taken)["levels"] == _rows(lived_in.path)["levels"], "a block that nothing is in"


def test_who_may_not_write(lived_in: EventStore) -> None:
    with pytest.raises(AccessDenied):
        take_backup(lived_in.path, auth=Nobody(), resource="gauges")
    with pytest.raises(AccessDenied):
        take_backup(lived_in.path, auth=Reader(), resource="gauges")
    assert list_backups(lived_in.path) == []


class Reader(Nobody):
    """May read, and must not push the oldest backup out by taking another."""

    def can_read(self, resource: str) -> bool:
        return True


def test_a_reason_is_part_of_a_name(lived_in: EventStore) -> None:
    for reason in ("", "a/b", "..", "A", "x" * 65, "-a"):
        _refused(InvalidInput, lived_in.path, reason=reason)


def test_a_lock_held_elsewhere(lived_in: EventStore) -> None:
    code = """
        from hmp_core.locks import database_lock
        with database_lock(path).hold(): say(); listen()
    """
    with start(code, path=lived_in.path) as holder:
        holder.hear()
        with pytest.raises(BusyError, match=str(holder.pid)):
            take_backup(lived_in.path, timeout=0.1)


def test_a_folder_that_may_only_be_read() -> None:
    with anybodys_folder() as folder:
        store = gauges(folder / "aare")
        store.prepare_schema()
        store.close()
        closed_to_writers(folder)
        with unprivileged():
            _refused(NotWritable, store.path)


def test_a_file_in_the_place_of_the_backups(lived_in: EventStore) -> None:
    folder = lived_in.path.parent / ".hmp" / "gauges" / "backups"
    folder.write_text("of the user")
    _refused(NotWritable, lived_in.path)


LIMITED = """
    import resource
    from hmp_core.backups import take_backup
    from hmp_core.errors import HmpError
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        say(str(take_backup(path)))
    except HmpError as error:
        say(type(error))
"""


def test_no_room_at_any_moment(lived_in: EventStore) -> None:
    """The disk takes nothing more after the first bytes, or after nearly all: it is said, and nothing is left."""
    lived_in.close()
    before = _names(lived_in.path.parent) | {"backups"}
    size = lived_in.path.stat().st_size
    kept = 0
    for limit in (4096, 13_000, *range(20_000, size + 40_000, 70_000), 2 * size):
        (said,) = run(LIMITED, path=lived_in.path, limit=limit)
        if isinstance(said, str):
            kept += 1
            assert _rows(Path(said)) == dump(gauges(lived_in.path.parent))
            Path(said).unlink()
        else:
            assert said is StorageError, limit
        assert _names(lived_in.path.parent) == before, limit
    assert kept


def test_no_room_does_not_end_the_block_that_reads(lived_in: EventStore) -> None:
    """What fails is the engine's checkpoint of the copy, after which it refuses that file and nothing else."""
    lived_in.close()
    code = """
        import resource
        from hmp_core.backends import DuckDBBackend
        from hmp_core.backups import take_backup
        from hmp_core.errors import StorageError
        backend = DuckDBBackend(path)
        with backend.lease(write=False):
            backend.fetch_all("SELECT 1")
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            try:
                take_backup(path)
            except StorageError as error:
                say(str(error))
            say(backend.fetch_all("SELECT count(*) FROM gauges"))
    """
    for limit in (13_000, 20_000, 90_000):
        why, rows = run(code, path=lived_in.path, limit=limit)
        assert rows == [(3,)]
        assert "could not be copied" in why


def test_a_full_disk(small_disk: Path) -> None:
    store = gauges(small_disk / "aare")
    store.prepare_schema()
    store.append("gauge.set", {"gauge": str(UUID(int=1)), "river": "Aare"})
    before = dump(store)
    store.close()
    room = os.statvfs(small_disk)
    (small_disk / "ballast").write_bytes(b"x" * (room.f_bavail * room.f_frsize - 40_000))
    _refused(StorageError, store.path)
    again = gauges(small_disk / "aare")
    assert dump(again) == before
    (small_disk / "ballast").unlink()
    assert _rows(take_backup(store.path)) == before


@pytest.mark.parametrize("lost", ["DELETE FROM visits", "DROP INDEX gauges_by_name", "DROP TABLE observers"])
def test_a_copy_that_is_not_the_same_is_not_kept(
    lived_in: EventStore, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    """Should the engine ever leave something out."""
    whole = DuckDBBackend.copy_to

    def leaky(source: DuckDBBackend, other: DuckDBBackend) -> None:
        whole(source, other)
        other.execute(lost)

    monkeypatch.setattr(DuckDBBackend, "copy_to", leaky)
    _refused(CorruptError, lived_in.path)
    assert list_backups(lived_in.path) == []


def test_the_folder_of_backups_is_as_open_as_that_of_the_database(store: EventStore) -> None:
    store.path.parent.chmod(0o2775)
    former = os.umask(0o077)
    try:
        kept = take_backup(store.path)
    finally:
        os.umask(former)
    for folder in (kept.parent, kept.parents[1], kept.parents[2]):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o2775
