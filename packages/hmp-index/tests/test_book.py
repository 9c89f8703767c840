"""The file of the index: made, checked, written in one transaction, set aside, begun anew."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from hmp_core.auth import LocalAuthBackend
from hmp_core.backends.duckdb import DuckDBBackend
from hmp_core.errors import (
    AccessDenied,
    BusyError,
    CorruptError,
    DatabaseNotFound,
    MigrationPending,
    NotWritable,
    SchemaIntegrityError,
    SchemaTooNewError,
    StatementError,
)
from hmp_core.layout import catalog_path, read_root
from hmp_core.migrations.runner import EVENT_TABLES, migrate
from hmp_index.book import Book
from hmp_index.federation import Reader
from hmp_index.fold import FORM, SCHEMA
from hmp_index.refresh import Found, look_around
from hmp_index.roster import Listed

AUTH = LocalAuthBackend()
NOW = datetime(2026, 11, 21, 3)


def open_book(path, *, read_only=False, auth=AUTH, timeout=5.0):
    book = Book(path, auth=auth, timeout=timeout, read_only=read_only)
    book.prepare()
    return book


@pytest.fixture
def book(machine):
    return open_book(machine.database)


@pytest.fixture
def listed(machine, make_sim):
    root = read_root(machine.workspace("aare", "base", sims=[make_sim("one"), make_sim("two")]), "workspace.toml")
    return [Listed(root.id, root.path, "Aare", NOW)]


def store(book, listed):
    return book.store(listed, *look_around(listed, book.state(), Reader(AUTH)))


def simulations(book):
    with book.reading() as backend:
        return sorted(row[0] for row in backend.fetch_all("SELECT name FROM simulations_cache"))


def test_what_is_stored_is_there(book, listed):
    state = store(book, listed)
    assert book.state() == state
    assert simulations(book) == ["one", "two"]


def test_simulations_that_are_gone_go(book, listed, machine):
    store(book, listed)
    catalog = listed[0].path / "projects" / "base" / "catalog.duckdb"
    DuckDBBackend(catalog).execute("DELETE FROM simulations WHERE name = 'one'")
    store(book, listed)
    assert simulations(book) == ["two"]


def test_a_forgotten_workspace_leaves_nothing(book, listed):
    store(book, listed)
    book.store([], Found(NOW))
    with book.reading() as backend:
        for table in ("workspaces", "projects", "simulations_cache"):
            assert backend.fetch_one(f"SELECT count(*) FROM {table}") == (0,)


def test_the_one_row_says_when_and_in_which_form(book, listed):
    store(book, listed)
    store(book, [replace(listed[0], label="Upper")])
    with book.reading() as backend:
        rows = backend.fetch_all("SELECT id, schema_version, scanned_at > TIMESTAMP '2026-01-01' FROM index_metadata")
    assert rows == [(1, FORM, True)]


def test_nothing_new_writes_nothing(book, listed):
    store(book, listed)
    before = book.path.stat().st_mtime_ns
    store(book, listed)
    assert book.path.stat().st_mtime_ns == before


def test_a_snapshot_of_another_form_is_not_current(book, listed):
    store(book, listed)
    DuckDBBackend(book.path).execute("UPDATE index_metadata SET schema_version = 0")
    assert not book.state().current


def test_a_store_that_fails_changes_nothing(book, listed, machine, make_sim):
    before = store(book, listed)
    [found] = look_around(listed, before, Reader(AUTH), only_stale=False)
    place, reading = found.readings[0]
    broken = reading.snapshot.rows.replace('"sim_id": "', '"sim_id": "no id ')
    found.readings[0] = (place, replace(reading, snapshot=replace(reading.snapshot, rows=broken)))
    with pytest.raises(StatementError, match="UUID"):
        book.store([replace(listed[0], label="Upper")], found)
    assert book.state() == before


# ── at the door ──────────────────────────────────────────────────────────────────────────────────────


def test_the_database_is_made_with_its_folders(tmp_path):
    open_book(tmp_path / "a" / "b" / "index.duckdb")
    assert (tmp_path / "a" / "b" / "index.duckdb").is_file()


def test_read_only_makes_nothing(tmp_path):
    with pytest.raises(DatabaseNotFound, match="refresh"):
        open_book(tmp_path / "a" / "index.duckdb", read_only=True)
    assert not (tmp_path / "a").exists()


def test_read_only_refuses_to_write(book, listed):
    reader = open_book(book.path, read_only=True)
    with pytest.raises(NotWritable):
        reader.store(listed, Found(NOW))


def test_where_no_lock_can_be_made_it_is_read_without(book, listed):
    """As in a folder that may only be read; a folder in the place of the lock does the same also for root."""
    store(book, listed)
    lock = book.path.with_name("index.duckdb.lock")
    lock.unlink()
    lock.mkdir()
    assert simulations(open_book(book.path, read_only=True)) == ["one", "two"]


@pytest.mark.parametrize("read_only", [False, True])
def test_a_newer_index_is_refused(book, read_only):
    DuckDBBackend(book.path).execute(
        "INSERT INTO schema_migrations VALUES ('index', 99, 'later', 'x', now()::TIMESTAMP)"
    )
    with pytest.raises(SchemaTooNewError):
        open_book(book.path, read_only=read_only)


@pytest.mark.parametrize("read_only", [False, True])
def test_an_edited_migration_is_refused(book, read_only):
    DuckDBBackend(book.path).execute("UPDATE schema_migrations SET checksum = 'x'")
    with pytest.raises(SchemaIntegrityError):
        open_book(book.path, read_only=read_only)


def older(path):
    """Make a database from before the first migration."""
    migrate(path, [("events", EVENT_TABLES)])


def test_an_older_index_is_brought_up_to_date(machine):
    older(machine.database)
    assert open_book(machine.database).state().workspaces == []


def test_an_older_index_is_not_read_only_read(machine):
    older(machine.database)
    with pytest.raises(MigrationPending):
        open_book(machine.database, read_only=True)


def test_migrating_can_be_switched_off(machine, monkeypatch):
    older(machine.database)
    before = machine.database.stat()
    monkeypatch.setenv("HMP_AUTO_MIGRATE", "0")
    with pytest.raises(MigrationPending):
        open_book(machine.database)
    assert machine.database.stat().st_mtime_ns == before.st_mtime_ns


def test_a_damaged_index_is_refused_here(machine):
    machine.database.parent.mkdir()
    machine.database.write_bytes(b"garbage" * 5000)
    with pytest.raises(CorruptError):
        open_book(machine.database)
    assert machine.database.read_bytes() == b"garbage" * 5000


def test_an_unwritable_folder_is_refused():
    with pytest.raises(NotWritable):
        open_book(Path("/proc/hmp/index.duckdb"))


def test_a_file_where_a_folder_should_be_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotWritable):
        open_book(tmp_path / "file" / "index.duckdb")


def test_an_index_that_another_process_writes_is_busy(book, held):
    with held(book.path) as pid, pytest.raises(BusyError, match=str(pid)):
        open_book(book.path, timeout=0.2)


# ── the authority ────────────────────────────────────────────────────────────────────────────────────


class Policy(LocalAuthBackend):
    def __init__(self, *allowed):
        self.allowed = allowed

    def can_read(self, resource):
        return resource == "index" and "read" in self.allowed

    def can_write(self, resource):
        return resource == "index" and "write" in self.allowed


def test_who_may_not_read_does_not_get_in(machine):
    with pytest.raises(AccessDenied):
        open_book(machine.database, auth=Policy("write"))
    assert not machine.database.exists()


def test_a_reader_may_bring_the_snapshot_up_to_date(machine, listed):
    book = open_book(machine.database, auth=Policy("read"))
    assert store(book, listed).projects


def test_a_reader_may_not_change_the_list(machine):
    book = open_book(machine.database, auth=Policy("read"))
    with pytest.raises(AccessDenied), book.locked("write"):
        pass


# ── beginning anew ───────────────────────────────────────────────────────────────────────────────────


def test_what_is_set_aside_is_kept(book, listed):
    store(book, listed)
    book.set_aside()
    assert book.state().projects == []
    kept = list((book.path.parent / ".hmp" / "index" / "replaced").iterdir())
    assert [path.name.partition("-")[2] for path in kept] == ["index.duckdb"]
    aside = Book(kept[0], auth=AUTH, timeout=1.0, read_only=True)
    assert simulations(aside) == ["one", "two"]


def test_only_the_newest_five_are_kept(book):
    for _ in range(7):
        book.set_aside()
    assert len(list((book.path.parent / ".hmp" / "index" / "replaced").iterdir())) == 5


def test_a_new_beginning_keeps_the_snapshots(book, listed):
    state = store(book, listed)
    shutil.rmtree(listed[0].path)
    book.begin_anew()
    assert simulations(book) == ["one", "two"]
    assert book.state().projects == [replace(row, mark="") for row in state.projects]


def test_a_new_beginning_after_damage_has_nothing(book, listed):
    store(book, listed)
    os.truncate(book.path, 4096)
    book.begin_anew()
    assert (book.state().projects, SCHEMA[0]) == ([], "index")


def test_what_is_read_again_as_it_was_is_not_written_again(book, listed, machine, make_sim):
    """The engine would write all rows about it again; what differs is written."""

    def written():
        with book.reading() as backend:
            return dict(backend.fetch_all("SELECT name, snapshot_taken_at FROM simulations_cache"))

    project = machine.project(
        listed[0].path, "more", [make_sim("a", {"nse": 0.5}), make_sim("b", {"nse": float("nan")})]
    )
    store(book, listed)
    before = written()
    book.store(listed, *look_around(listed, book.state(), Reader(AUTH), only_stale=False))
    assert written() == before
    backend = DuckDBBackend(catalog_path(project))
    with backend.transaction():
        backend.execute("UPDATE metrics SET value = 0.6 WHERE value = 0.5")
    store(book, listed)
    after = written()
    assert after["a"] > before["a"]
    assert after["b"] == before["b"]
