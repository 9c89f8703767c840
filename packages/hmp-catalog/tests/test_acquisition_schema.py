"""The tables of a session and of the master index: scenarios 1 to 5."""

from __future__ import annotations

import pickle
import sqlite3  # noqa: TID251 - the functions work on the connection of the caller
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from hmp_catalog.acquisition import (
    BEAMTIME_SCHEMA_VERSION,
    INDEX_SCHEMA_VERSION,
    create_beamtime_schema,
    create_index_schema,
    migrate_beamtime_schema,
    migrate_index_schema,
)
from hmp_catalog.errors import NoMigrationPath
from hmp_core.backends.sqlite_errors import MalformedDatabase
from hmp_core.errors import BusyError, HmpError, InvalidInput, SchemaTooNewError

#: Python code that opens a file and migrates it, and is killed before statement number `at`.
_KILLED = """
import os, signal, sqlite3, sys
from hmp_catalog.acquisition import migrate_beamtime_schema
path, at = sys.argv[1], int(sys.argv[2])
class Cut(sqlite3.Connection):
    n = 0
    def execute(self, *args):
        Cut.n += 1
        if Cut.n == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().execute(*args)
migrate_beamtime_schema(sqlite3.connect(path, factory=Cut))
"""


def version(conn: sqlite3.Connection) -> int:
    return int(conn.execute("PRAGMA user_version").fetchone()[0])


def plan(conn: sqlite3.Connection) -> list[tuple[object, ...]]:
    return conn.execute("SELECT type, name, sql FROM sqlite_master ORDER BY name").fetchall()


def columns(conn: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in conn.execute(f"PRAGMA table_info({table})")]


def old_session(path: Path, *, early: bool = False) -> None:
    """Make a file of the first version with two runs and three frames; an early one lacks its two unique rules."""
    with closing(sqlite3.connect(path)) as conn:
        migrate_beamtime_schema(conn, 1)
        if early:
            conn.executescript(
                "DROP INDEX idx_streams_run_name; DROP INDEX idx_events_seq; "
                "CREATE INDEX idx_events_seq ON events (stream_uid, seq_num);"
            )
        conn.execute("INSERT INTO samples (name) VALUES ('PS')")
        for run in ("r1", "r2"):
            conn.execute("INSERT INTO runs (uid, sample_id, plan_name, time_start) VALUES (?, 1, 'scan', 1.0)", [run])
            conn.execute("INSERT INTO streams VALUES (?, ?, 'primary', '{}', 1.0)", [f"s{run}", run])
        for n in range(3):
            conn.execute("INSERT INTO events VALUES (?, 'sr1', ?, 1.0, '{}', '{}')", [f"e{n}", n + 1])
            conn.execute(
                "INSERT INTO image_refs (event_uid, field_name, zarr_group, index_in_stack, shape_x, shape_y, dtype) "
                "VALUES (?, 'det', 'runs/r1/det', ?, 4, 6, 'int32')",
                [f"e{n}", n],
            )
        conn.commit()


@pytest.fixture
def memory() -> sqlite3.Connection:
    return sqlite3.connect(":memory:")


# ── 1: blank ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_blank_file_gets_every_table_and_twice_changes_nothing(memory: sqlite3.Connection) -> None:
    create_beamtime_schema(memory)
    first = plan(memory)
    create_beamtime_schema(memory)
    assert plan(memory) == first
    assert version(memory) == BEAMTIME_SCHEMA_VERSION
    documented = {
        "samples": ["id", "name", "formula", "serial", "tags", "beamline_pos", "extra"],
        "streams": ["uid", "run_uid", "name", "data_keys", "time_created"],
        "events": ["uid", "stream_uid", "seq_num", "time", "data", "timestamps"],
    }
    for table, wanted in documented.items():
        assert columns(memory, table) == wanted
    run = ["uid", "sample_id", "plan_name", "time_start", "time_stop", "exit_status", "num_events", "operator"]
    assert columns(memory, "runs")[:9] == [*run, "metadata"]
    frame = ["id", "event_uid", "field_name", "zarr_group", "index_in_stack", "shape_x", "shape_y", "dtype"]
    assert columns(memory, "image_refs") == [*frame, "compression_codec"]


def test_a_blank_index_gets_every_table(memory: sqlite3.Connection) -> None:
    create_index_schema(memory)
    assert version(memory) == INDEX_SCHEMA_VERSION
    assert columns(memory, "researchers") == ["id", "name", "email", "orcid", "affiliation", "root_path", "extra"]
    assert columns(memory, "beamtimes")[:5] == ["id", "researcher_id", "label", "db_path", "time_start"]
    assert columns(memory, "runs_index")[:4] == ["uid", "researcher_id", "beamtime_id", "plan_name"]


@pytest.mark.parametrize(
    ("statement", "values"),
    [
        ("INSERT INTO streams VALUES ('x', 'nobody', 'primary', '{}', 1.0)", []),
        ("INSERT INTO streams VALUES ('x', 'r1', 'primary', '{}', 1.0)", []),
        ("INSERT INTO events VALUES ('x', 'sr1', 1, 1.0, '{}', '{}')", []),
    ],
)
def test_what_has_no_parent_or_is_there_twice_is_refused(tmp_path: Path, statement: str, values: list[object]) -> None:
    old_session(tmp_path / "old.db")
    with closing(sqlite3.connect(tmp_path / "old.db")) as conn:
        migrate_beamtime_schema(conn)
        with pytest.raises(sqlite3.IntegrityError):
            conn.execute(statement, values)


@pytest.mark.parametrize("target", range(1, BEAMTIME_SCHEMA_VERSION + 1))
def test_a_blank_file_honours_its_target(memory: sqlite3.Connection, target: int) -> None:
    migrate_beamtime_schema(memory, target)
    assert version(memory) == target
    assert ("compression_codec" in columns(memory, "image_refs")) is (target >= 2)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Python 3.12 has connections that are always in a transaction")
def test_a_connection_that_is_always_in_a_transaction_will_do() -> None:
    conn = sqlite3.connect(":memory:", autocommit=False)  # type: ignore[call-arg, unused-ignore]
    create_beamtime_schema(conn)
    assert (version(conn), conn.execute("PRAGMA foreign_keys").fetchone()) == (BEAMTIME_SCHEMA_VERSION, (1,))


# ── 2: older files ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("early", [False, True])
def test_an_old_file_keeps_every_row(tmp_path: Path, *, early: bool) -> None:
    old_session(tmp_path / "old.db", early=early)
    with closing(sqlite3.connect(tmp_path / "old.db")) as conn:
        migrate_beamtime_schema(conn)
        assert version(conn) == BEAMTIME_SCHEMA_VERSION
        assert conn.execute("SELECT count(*) FROM runs").fetchone() == (2,)
        assert conn.execute("SELECT compression_codec FROM image_refs").fetchall() == [(None,)] * 3
        unique = {row[1] for row in conn.execute("PRAGMA index_list(events)") if row[2]}
        assert "idx_events_seq" in unique


def test_doubles_in_an_early_file_are_named_and_the_file_stays_as_it_was(tmp_path: Path) -> None:
    old_session(tmp_path / "old.db", early=True)
    with closing(sqlite3.connect(tmp_path / "old.db")) as conn:
        conn.execute("INSERT INTO events VALUES ('again', 'sr1', 2, 1.0, '{}', '{}')")
        conn.commit()
        before = plan(conn)
        with pytest.raises(InvalidInput, match="'seq_num': 2"):
            migrate_beamtime_schema(conn)
        assert (plan(conn), version(conn)) == (before, 1)


def test_a_file_whose_step_was_half_done_is_completed(memory: sqlite3.Connection) -> None:
    migrate_beamtime_schema(memory, 1)
    memory.execute("ALTER TABLE image_refs ADD COLUMN compression_codec TEXT")
    migrate_beamtime_schema(memory)
    assert version(memory) == BEAMTIME_SCHEMA_VERSION


# ── 3, 5: what is refused ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("verb", [create_beamtime_schema, create_index_schema])
def test_a_newer_file_is_refused_and_not_a_byte_of_it_changes(
    tmp_path: Path, verb: Callable[[sqlite3.Connection], None]
) -> None:
    path = tmp_path / "newer.db"
    with closing(sqlite3.connect(path)) as conn:
        conn.execute("PRAGMA user_version = 9")
        conn.commit()
    before = path.read_bytes()
    with closing(sqlite3.connect(path)) as conn, pytest.raises(SchemaTooNewError) as told:
        verb(conn)
    assert isinstance(told.value, RuntimeError)
    assert path.read_bytes() == before


def test_each_refusal_is_a_kind_of_its_own(tmp_path: Path) -> None:
    found: list[type[HmpError]] = []
    conn = sqlite3.connect(tmp_path / "a.db")
    create_beamtime_schema(conn)
    for target, kind in ((1, SchemaTooNewError), (BEAMTIME_SCHEMA_VERSION + 1, NoMigrationPath)):
        with pytest.raises(kind):
            migrate_beamtime_schema(conn, target)
        found.append(kind)
    (tmp_path / "b.db").write_bytes(b"this is no database at all" * 100)
    with pytest.raises(MalformedDatabase), closing(sqlite3.connect(tmp_path / "b.db")) as other:
        create_beamtime_schema(other)
    holder = sqlite3.connect(tmp_path / "c.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(BusyError), closing(sqlite3.connect(tmp_path / "c.db", timeout=0.05)) as waiting:
        create_beamtime_schema(waiting)
    found += [MalformedDatabase, BusyError]
    assert len(set(found)) == 4
    assert all(issubclass(kind, HmpError) and not issubclass(kind, NotImplementedError) for kind in found)
    assert issubclass(MalformedDatabase, sqlite3.DatabaseError)


def test_what_the_engine_says_of_a_damaged_file_pickles() -> None:
    error = MalformedDatabase("x: not a database", path="x")
    assert pickle.loads(pickle.dumps(error)).path == "x"


def test_a_target_beyond_what_is_known_applies_nothing(memory: sqlite3.Connection) -> None:
    migrate_beamtime_schema(memory, 1)
    with pytest.raises(NoMigrationPath) as told:
        migrate_beamtime_schema(memory, 99)
    assert (told.value.found, told.value.target, version(memory)) == (1, 99, 1)
    with pytest.raises(NoMigrationPath):
        migrate_index_schema(sqlite3.connect(":memory:"), 99)


# ── 4: interrupted ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("at", [5, 8, 12, 20, 30])
def test_a_migration_that_is_killed_is_completed_by_the_next(tmp_path: Path, at: int) -> None:
    killed_at(tmp_path, at)


@pytest.mark.soak
@pytest.mark.parametrize("at", range(2, 45))
def test_a_migration_that_is_killed_before_any_statement_is_completed_by_the_next(tmp_path: Path, at: int) -> None:
    killed_at(tmp_path, at)


def killed_at(folder: Path, at: int) -> None:
    path = folder / "old.db"
    old_session(path)
    subprocess.run([sys.executable, "-c", _KILLED, str(path), str(at)], check=False)
    with closing(sqlite3.connect(path)) as conn:
        assert version(conn) in {1, 2, 3}
        migrate_beamtime_schema(conn)
        assert version(conn) == BEAMTIME_SCHEMA_VERSION
        assert conn.execute("SELECT count(*) FROM image_refs").fetchone() == (3,)


def test_of_two_processes_that_migrate_at_once_one_does_and_the_other_sees_it_done(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    old_session(path)
    code = _KILLED.replace("at = sys.argv[1], int(sys.argv[2])", "at = sys.argv[1], -1")
    children = [subprocess.Popen([sys.executable, "-c", code, str(path), "0"]) for _ in range(2)]
    assert [child.wait() for child in children] == [0, 0]
    with closing(sqlite3.connect(path)) as conn:
        assert version(conn) == BEAMTIME_SCHEMA_VERSION
