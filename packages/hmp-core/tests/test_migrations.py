"""Migrations: the judge on synthetic folders, first openings by many at once, and deaths while a database is made."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import ClassVar

import pytest

from hmp_core.auth import LocalAuthBackend
from hmp_core.backends import DuckDBBackend
from hmp_core.backups import list_backups
from hmp_core.errors import (
    AccessDenied,
    BusyError,
    HmpError,
    InvalidInput,
    MigrationDiscoveryError,
    MigrationExecutionError,
    NotWritable,
    SchemaIntegrityError,
    StorageError,
    UnsupportedScheme,
)
from hmp_core.migrations import apply_migrations, discover_migrations
from hmp_core.migrations.plan import Migration, pending
from hmp_core.migrations.runner import EVENT_TABLES, migrate
from hmp_core.testing.children import run, start
from hmp_core.testing.door_suite import Nobody
from hmp_core.testing.faults import spread, steps
from hmp_core.testing.gauges import FOLD, MIGRATIONS, gauges
from hmp_core.testing.migration_suite import MigrationSuite

FIRST = "CREATE TABLE stations (code VARCHAR PRIMARY KEY);\nINSERT INTO stations VALUES ('a;b');\n"
SECOND = "-- only one thing\nALTER TABLE stations ADD COLUMN name VARCHAR;"


class TestEventTables(MigrationSuite):
    folder: ClassVar[Path] = EVENT_TABLES
    component: ClassVar[str] = "events"


class TestGauges(MigrationSuite):
    folder: ClassVar[Path] = MIGRATIONS


@pytest.fixture
def migrations(tmp_path: Path) -> Path:
    folder = tmp_path / "sql"
    folder.mkdir()
    (folder / "0001_initial.sql").write_text(FIRST)
    return folder


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "er" / "catalog.duckdb"


def _tables(database: Path) -> set[str]:
    sql = "SELECT table_name FROM information_schema.tables WHERE table_catalog = current_database()"
    return {name for (name,) in DuckDBBackend(database).fetch_all(sql)}


# ── the plan ─────────────────────────────────────────────────────────────────────────────────────────


def test_an_empty_folder_is_version_0(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("none yet")
    assert discover_migrations(tmp_path) == []
    assert apply_migrations(tmp_path / "a.duckdb", tmp_path) == 0


@pytest.mark.parametrize(
    "name",
    ["1_initial.sql", "00001_initial.sql", "0001-initial.sql", "0001_.sql", "0001_Initial.sql", "0001_a.SQL", "x.sql"],
)
def test_malformed_names(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(FIRST)
    with pytest.raises(MigrationDiscoveryError, match=name):
        discover_migrations(tmp_path)


def test_a_missing_folder_and_what_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(MigrationDiscoveryError):
        discover_migrations(tmp_path / "nowhere")
    (tmp_path / "0001_a.sql").write_bytes(b"\xff\xfe")
    with pytest.raises(MigrationDiscoveryError, match="UTF-8"):
        discover_migrations(tmp_path)
    (tmp_path / "0001_a.sql").unlink()
    (tmp_path / "0001_a.sql").mkdir()
    with pytest.raises(MigrationDiscoveryError):
        discover_migrations(tmp_path)


def test_line_ends_of_another_system_change_no_checksum(tmp_path: Path) -> None:
    (tmp_path / "0001_a.sql").write_bytes(FIRST.encode())
    unix = discover_migrations(tmp_path)[0].checksum
    (tmp_path / "0001_a.sql").write_bytes(FIRST.replace("\n", "\r\n").encode())
    assert discover_migrations(tmp_path)[0].checksum == unix


def test_a_ledger_with_a_gap_is_no_ledger() -> None:
    known = [Migration(n, "x", Path(f"{n:04d}_x.sql"), "") for n in (1, 2, 3)]
    with pytest.raises(SchemaIntegrityError, match="ledger"):
        pending(known, {1: known[0].checksum, 3: known[2].checksum}, where="a.duckdb")
    assert pending(known, {1: known[0].checksum}, where="a.duckdb") == known[1:]


# ── applying ─────────────────────────────────────────────────────────────────────────────────────────


def test_the_two_argument_call(migrations: Path, database: Path) -> None:
    assert apply_migrations(database, migrations) == 1
    assert DuckDBBackend(database).fetch_all("SELECT * FROM stations") == [("a;b",)]
    assert apply_migrations(database.as_uri(), migrations) == 1


def test_an_upgrade_keeps_what_is_there(migrations: Path, database: Path) -> None:
    apply_migrations(database, migrations)
    (migrations / "0002_name.sql").write_text(SECOND)
    assert apply_migrations(database, migrations) == 2
    assert DuckDBBackend(database).fetch_all("SELECT code, name FROM stations") == [("a;b", None)]
    ledger = "SELECT version, slug, component FROM schema_migrations ORDER BY version"
    assert DuckDBBackend(database).fetch_all(ledger) == [(1, "initial", "catalog"), (2, "name", "catalog")]


def test_components_share_a_file(migrations: Path, database: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "0001_initial.sql").write_text("CREATE TABLE runs (id UUID);")
    assert migrate(database, [("catalog", migrations), ("more", other)]) == {"catalog": 1, "more": 1}
    assert {"stations", "runs"} <= _tables(database)


def test_all_components_are_seen_before_any_is_touched(migrations: Path, database: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(migrations, tmp_path / "other"))
    (other / "0001_initial.sql").write_text("CREATE TABLE runs (id UUID);")
    migrate(database, [("catalog", migrations), ("more", other)])
    (migrations / "0002_name.sql").write_text(SECOND)
    (other / "0001_initial.sql").write_text("CREATE TABLE runs (id UUID, edited INTEGER);")
    before = database.read_bytes()
    with pytest.raises(SchemaIntegrityError):
        migrate(database, [("catalog", migrations), ("more", other)])
    assert database.read_bytes() == before


def test_the_ledger_of_another_attached_database_is_not_ours(migrations: Path, database: Path, tmp_path: Path) -> None:
    apply_migrations(database, migrations)
    bare = DuckDBBackend(tmp_path / "bare.duckdb", create=True)
    bare.execute("CREATE TABLE t (a INTEGER)")
    bare.execute("DROP TABLE t")
    with DuckDBBackend(database).lease(write=False):
        assert apply_migrations(tmp_path / "bare.duckdb", migrations) == 1


def test_a_first_step_that_fails_leaves_no_database(migrations: Path, database: Path) -> None:
    (migrations / "0001_initial.sql").write_text(FIRST + "SELECT * FROM nowhere;")
    with pytest.raises(MigrationExecutionError, match="0001_initial"):
        apply_migrations(database, migrations)
    assert not database.exists()
    assert {p.suffix for p in database.parent.iterdir()} <= {".lock", ".json"}


def test_a_lock_held_elsewhere_is_waited_for_in_vain(migrations: Path, database: Path) -> None:
    apply_migrations(database, migrations)
    code = """
        from hmp_core.locks import database_lock
        with database_lock(path).hold(): say(); listen()
    """
    with start(code, path=database) as holder:
        holder.hear()
        with pytest.raises(BusyError, match=str(holder.pid)):
            apply_migrations(database, migrations, lock_timeout=0.1)


def test_a_wal_without_its_database_is_not_given_to_a_new_one(migrations: Path, database: Path) -> None:
    database.parent.mkdir(parents=True)
    stray = database.with_name(f"{database.name}.wal")
    stray.write_bytes(b"of another life")
    apply_migrations(database, migrations)
    assert not stray.exists()
    (aside,) = database.parent.glob("*.wal.orphan-*")
    assert aside.read_bytes() == b"of another life"


def test_odd_names_of_databases(migrations: Path, tmp_path: Path) -> None:
    for name in ("it's [a] *.duckdb", "ü ?.duckdb", "no suffix"):
        assert apply_migrations(tmp_path / name, migrations) == 1
        assert apply_migrations(tmp_path / name, migrations) == 1


@pytest.mark.parametrize("uri", ["s3://bucket/a.duckdb", "http://x/a.duckdb"])
def test_other_schemes(migrations: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UnsupportedScheme):
        apply_migrations(uri, migrations)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_file_in_the_way(migrations: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("of the user")
    with pytest.raises(NotWritable):
        apply_migrations(tmp_path / "file" / "a.duckdb", migrations)


def test_who_may_not_write_makes_nothing(migrations: Path, database: Path) -> None:
    with pytest.raises(AccessDenied):
        migrate(database, [("catalog", migrations)], auth=Nobody(), resource="catalog:aare/base")
    assert not database.parent.exists()
    migrate(database, [("catalog", migrations)], auth=LocalAuthBackend())
    (migrations / "0002_name.sql").write_text(SECOND)
    with pytest.raises(AccessDenied):
        migrate(database, [("catalog", migrations)], auth=Nobody(), resource="catalog:aare/base")


def test_a_database_of_something_else_is_left_alone(migrations: Path, database: Path) -> None:
    database.parent.mkdir(parents=True)
    DuckDBBackend(database, create=True).execute("CREATE TABLE recipes (a INTEGER)")
    before = database.read_bytes()
    with pytest.raises(HmpError, match="recipes"):
        apply_migrations(database, migrations)
    assert database.read_bytes() == before


# ── many at once, and the dead ───────────────────────────────────────────────────────────────────────


def test_eight_processes_open_it_first(tmp_path: Path) -> None:
    """Scenario 16: all succeed, and each step is in the ledger once."""
    code = """
        from hmp_core.testing.gauges import gauges
        store = gauges(folder)
        say(); listen()
        store.prepare_schema()
        with store.reading() as backend:
            say(backend.fetch_all("SELECT component, version FROM schema_migrations ORDER BY component"))
    """
    children = [start(code, folder=tmp_path / "aare") for _ in range(8)]
    for child in children:
        child.hear()
    for child in children:
        child.tell()
    for child in children:
        with child:
            assert child.hear() == [("events", 1), ("gauges", 1)]
            assert child.join() == 0


MAKE = """
    from hmp_core.testing.gauges import gauges
    gauges(folder).prepare_schema()
"""


def test_who_dies_while_making_it_leaves_nothing_that_looks_like_one(tmp_path: Path) -> None:
    taken = steps(MAKE, folder=tmp_path / "counted")
    for number in spread(taken, 8, seed=1):
        folder = tmp_path / str(number)
        with start(MAKE, folder=folder, die_at=number) as child:
            assert child.join() == -9
        database = folder / "gauges.duckdb"
        if database.exists():
            assert not database.with_name("gauges.duckdb.wal").exists()
            assert FOLD.tables[0].name in _tables(database), f"half a database after {taken[number - 1]}"
        store = gauges(folder)
        store.prepare_schema()
        with store.reading() as backend:
            assert backend.fetch_all("SELECT count(*) FROM gauges") == [(0,)]
        left = {p.name for p in folder.iterdir()} - {f"gauges.duckdb{end}" for end in ("", ".lock", ".lock.json")}
        assert left == set(), f"litter after {taken[number - 1]}"


# ── bringing an old one up to date ───────────────────────────────────────────────────────────────────


@pytest.fixture
def old(migrations: Path, tmp_path: Path) -> Path:
    """A database of version 1 with a row, and two more steps that wait for it."""
    path = tmp_path / "old" / "old.duckdb"
    apply_migrations(path, migrations)
    (migrations / "0002_name.sql").write_text(SECOND + "UPDATE stations SET name = 'x';")
    (migrations / "0003_index.sql").write_text("CREATE INDEX by_name ON stations (name); ALTER TABLE stations " + THIRD)
    return path


THIRD = "ADD COLUMN opened INTEGER; CREATE VIEW named AS SELECT code FROM stations WHERE name IS NOT NULL;"


def _version(database: Path) -> int:
    rows = DuckDBBackend(database).fetch_all("SELECT version FROM schema_migrations ORDER BY version")
    assert rows == [(n,) for n in range(1, len(rows) + 1)]
    return len(rows)


def test_a_backup_of_before_is_kept(old: Path, migrations: Path) -> None:
    apply_migrations(old, migrations)
    (backup,) = list_backups(old)
    assert (_version(backup.path), backup.reason) == (1, "before-0002")
    assert (_version(old), DuckDBBackend(old).fetch_all("SELECT * FROM stations")) == (3, [("a;b", "x", None)])
    assert {path.name for path in old.parent.iterdir()} == {".hmp", *(f"old.duckdb{e}" for e in LOCKS)}


LOCKS = ("", ".lock", ".lock.json")


def test_a_step_that_fails_is_as_if_nothing_had_been_tried(old: Path, migrations: Path) -> None:
    (migrations / "0003_index.sql").write_text("SELECT * FROM nowhere;")
    before = old.read_bytes()
    with pytest.raises(MigrationExecutionError, match="0003_index") as refused:
        apply_migrations(old, migrations)
    assert old.read_bytes() == before
    assert str(old) in str(refused.value)
    assert Path(refused.value.backup).is_file()


def test_what_an_interrupt_leaves(old: Path, migrations: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while a step is applied."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    before = old.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr("hmp_core.migrations.ledger.record", interrupted)
        with pytest.raises(KeyboardInterrupt):
            apply_migrations(old, migrations)
    assert old.read_bytes() == before
    assert apply_migrations(old, migrations, lock_timeout=0.0) == 3


def test_not_inside_a_block_that_reads_it(old: Path, migrations: Path) -> None:
    backend = DuckDBBackend(old)
    with backend.lease(write=False):
        with pytest.raises(InvalidInput, match="leave the block"):
            apply_migrations(old, migrations)
        assert backend.fetch_all("SELECT * FROM stations") == [("a;b",)]
    assert list_backups(old) == []


def test_what_was_not_flushed_yet_is_not_lost(old: Path, migrations: Path) -> None:
    code = """
        import os
        from hmp_core.backends import DuckDBBackend
        backend = DuckDBBackend(path)
        with backend.lease(write=True):
            backend.execute("INSERT INTO stations VALUES ('b')")
            os._exit(0)
    """
    with start(code, path=old) as child:
        child.join()
    apply_migrations(old, migrations)
    assert DuckDBBackend(old).fetch_all("SELECT code FROM stations ORDER BY code") == [("a;b",), ("b",)]


def test_a_link_leads_to_the_same_database(old: Path, migrations: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.duckdb"
    link.symlink_to(old)
    assert apply_migrations(link, migrations) == 3
    assert link.is_symlink()
    assert _version(old) == 3


def test_no_room_for_a_backup_at_any_moment(old: Path, migrations: Path) -> None:
    """The disk is full before the backup, within it, while a step is applied: as it was, or done."""
    code = """
        import resource
        from hmp_core.errors import HmpError
        from hmp_core.migrations import apply_migrations
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            say(apply_migrations(path, folder))
        except HmpError as error:
            say(type(error))
    """
    before = old.read_bytes()
    outcomes = []
    for limit in (0, 4096, 13_000, 20_000, 40_000, 60_000, 1_000_000):
        (said,) = run(code, path=old, folder=migrations, limit=limit)
        outcomes.append(said)
        if said != 3:
            assert old.read_bytes() == before, limit
    assert outcomes[-1] == 3
    assert set(outcomes[:-1]) == {StorageError}
    assert {path.name for path in old.parent.iterdir()} == {".hmp", *(f"old.duckdb{e}" for e in LOCKS)}


UPGRADE = "from hmp_core.migrations import apply_migrations\napply_migrations(database, folder)"


def _die(old: Path, migrations: Path, number: int, where: str) -> None:
    home = Path(shutil.copytree(old.parent, old.parent.with_name("dying")))
    database = home / old.name
    with start(UPGRADE, database=database, folder=migrations, die_at=number) as child:
        assert child.join() == -9
    assert _version(database) in {1, 3}, f"neither old nor new: {where}"
    assert DuckDBBackend(database).fetch_all("SELECT code FROM stations") == [("a;b",)], where
    assert apply_migrations(database, migrations) == 3, where
    assert DuckDBBackend(database).fetch_all("SELECT * FROM stations") == [("a;b", "x", None)], where
    assert {path.name for path in home.iterdir()} <= {".hmp", *(f"old.duckdb{e}" for e in LOCKS)}, f"litter: {where}"
    assert database.stat().st_nlink == 1, where
    for backup in list_backups(database):
        assert _version(backup.path) == 1, f"a backup that is none: {where}"
    shutil.rmtree(home)


def _taken(old: Path, migrations: Path) -> list[str]:
    counted = shutil.copytree(old.parent, old.parent.with_name("counted"))
    return steps(UPGRADE, database=Path(counted) / old.name, folder=migrations)


def test_who_dies_while_upgrading_leaves_the_old_one_or_the_new_one(old: Path, migrations: Path) -> None:
    taken = _taken(old, migrations)
    for number in spread(taken, 6, seed=2):
        _die(old, migrations, number, taken[number - 1])


def test_who_dies_at_any_statement_leaves_the_old_one(old: Path, migrations: Path) -> None:
    """Before and after each statement of each migration."""
    taken = _taken(old, migrations)
    numbers = [n for n, place in enumerate(taken, 1) if place.endswith(" _apply")]
    assert len(numbers) > 2 * 5
    for number in numbers[:: max(1, len(numbers) // 5)]:
        _die(old, migrations, number, taken[number - 1])


@pytest.mark.soak
def test_who_dies_at_any_step_leaves_the_old_one_or_the_new_one(old: Path, migrations: Path) -> None:
    """At every statement, and at every line that is passed on the way."""
    taken = _taken(old, migrations)
    numbers = {n for n, place in enumerate(taken, 1) if place.endswith(" _apply")}
    for number in sorted(numbers | set(spread(taken, len(set(taken)) + 50, seed=3))):
        _die(old, migrations, number, taken[number - 1])
