"""SQLite: the judge of backends, and what is its own: readers beside a writer, forks, files, and what types mean."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from hmp_core.backends import DuckDBBackend, SQLiteBackend
from hmp_core.backends.sqlite_files import seen
from hmp_core.errors import (
    AccessDenied,
    BusyError,
    CorruptError,
    InvalidInput,
    NotWritable,
    StatementError,
    StorageError,
)
from hmp_core.testing.backend_suite import BackendSuite, MakeBackend
from hmp_core.testing.children import run, start
from hmp_core.testing.door_suite import Nobody, anybodys_folder, closed_to_writers, unprivileged
from hmp_core.testing.faults import spread, steps

from_sqlite = "from hmp_core.backends import SQLiteBackend\n"


class TestSQLite(BackendSuite):
    @pytest.fixture
    def make(self) -> MakeBackend:
        return SQLiteBackend


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "session.db"


@pytest.fixture
def backend(path: Path) -> SQLiteBackend:
    backend = SQLiteBackend(path, create=True, timeout=5.0)
    backend.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, s VARCHAR)")
    return backend


def _count(backend: SQLiteBackend) -> int:
    return int(backend.fetch_all("SELECT count(*) FROM t")[0][0])


COUNT = from_sqlite + "say(SQLiteBackend(path, timeout=1.0).fetch_all('SELECT count(*) FROM t')[0][0])"
ADD = from_sqlite + "SQLiteBackend(path, timeout=1.0).insert('t', {'a': key}); say('added')"


# ── the file ─────────────────────────────────────────────────────────────────────────────────────────


def test_it_is_in_wal_mode(backend: SQLiteBackend) -> None:
    assert backend.fetch_all("PRAGMA journal_mode") == [("wal",)]


def test_at_rest_the_file_lies_alone(backend: SQLiteBackend, path: Path) -> None:
    backend.insert("t", {"a": 1})
    _count(backend)
    assert sorted(p.name for p in path.parent.iterdir()) == [f"{path.name}{end}" for end in ("", ".lock", ".lock.json")]


def test_reading_leaves_every_byte(backend: SQLiteBackend, path: Path) -> None:
    before = path.read_bytes()
    _count(backend)
    with backend.lease(write=True):
        _count(backend)
    assert path.read_bytes() == before


def test_foreign_keys_are_enforced_by_every_connection(backend: SQLiteBackend, path: Path) -> None:
    backend.execute("CREATE TABLE child (a INTEGER REFERENCES t (a))")
    with pytest.raises(StatementError, match="FOREIGN KEY"):
        SQLiteBackend(path).insert("child", {"a": 7})
    backend.insert("t", {"a": 7})
    SQLiteBackend(path).insert("child", {"a": 7})
    with pytest.raises(StatementError, match="FOREIGN KEY"):
        SQLiteBackend(path).execute("DELETE FROM t")


def test_changes_of_another_life_are_not_given_to_a_new_database(backend: SQLiteBackend, path: Path) -> None:
    """SQLite plays any WAL that lies beside a file into it: that of a database that was deleted too."""
    code = from_sqlite + "import os\nwith SQLiteBackend(path).lease(write=True):\n    backend = SQLiteBackend(path)\n"
    code += "    backend.insert('t', {'a': 1})\n    os.kill(os.getpid(), 9)"
    with start(code, path=path) as child:
        assert child.join() == -9
    wal = path.with_name(f"{path.name}-wal")
    kept = wal.read_bytes()
    assert kept
    path.unlink()
    fresh = SQLiteBackend(path, create=True)
    fresh.execute("CREATE TABLE other (a INTEGER)")
    assert fresh.fetch_all("SELECT name FROM sqlite_master") == [("other",)]
    (aside,) = path.parent.glob("*-wal.orphan-*")
    assert aside.read_bytes() == kept


def test_a_database_of_two_names_is_read_and_not_written(backend: SQLiteBackend, path: Path) -> None:
    """Each name has a WAL of its own: what is written under the one is not seen, and lost, under the other."""
    other = path.with_name("other.db")
    os.link(path, other)
    for name in (path, other):
        with pytest.raises(NotWritable, match="2 names"):
            SQLiteBackend(name).insert("t", {"a": 1})
        assert _count(SQLiteBackend(name)) == 0
    other.unlink()
    backend.insert("t", {"a": 1})


def test_who_dies_while_making_it_leaves_nothing_that_looks_like_one(tmp_path: Path) -> None:
    code = from_sqlite + "SQLiteBackend(path, create=True).execute('CREATE TABLE t (a INTEGER)')"
    taken = steps(code, path=tmp_path / "counted.db")
    for number in spread(taken, 12, seed=1):
        path = tmp_path / f"{number}.db"
        with start(code, path=path, die_at=number) as child:
            assert child.join() == -9
        backend = SQLiteBackend(path, create=True)
        backend.execute("CREATE TABLE IF NOT EXISTS t (a INTEGER)")
        assert _count(backend) == 0, taken[number - 1]


# ── locks ────────────────────────────────────────────────────────────────────────────────────────────

HOLD = """
with SQLiteBackend(path).transaction():
    SQLiteBackend(path).insert("t", {"a": 1})
    say("in"); listen()
"""


def test_one_reads_while_another_writes(backend: SQLiteBackend, path: Path) -> None:
    """What WAL is for: an acquisition goes on while somebody looks."""
    with start(from_sqlite + HOLD, path=path) as writer:
        writer.hear()
        assert _count(backend) == 0
        writer.tell()
        assert writer.join() == 0
    assert _count(backend) == 1


def test_a_block_that_reads_sees_one_state(backend: SQLiteBackend, path: Path) -> None:
    with backend.lease(write=False):
        assert _count(backend) == 0
        assert run(ADD, path=path, key=1) == ["added"]
        assert _count(backend) == 0
    assert _count(backend) == 1


def test_one_writer_waits_for_another_and_is_told_who(backend: SQLiteBackend, path: Path) -> None:
    impatient = SQLiteBackend(path, timeout=0.2)
    with start(from_sqlite + HOLD, path=path) as writer:
        writer.hear()
        began = time.monotonic()
        with pytest.raises(BusyError, match=f"process {writer.pid} on"):
            impatient.insert("t", {"a": 2})
        assert 0.15 < time.monotonic() - began < 3


STRANGER = """
import sqlite3
connection = sqlite3.connect(path, isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
connection.execute("INSERT INTO t VALUES (1, 'of a stranger')")
say("in"); listen()
connection.execute("COMMIT")
connection.close()
"""


def test_who_knows_nothing_of_the_lock_file_is_waited_for(backend: SQLiteBackend, path: Path) -> None:
    impatient = SQLiteBackend(path, timeout=0.2)
    who = r"process \d+" if os.path.exists("/proc/locks") else "another process"
    with start(STRANGER, path=path) as stranger:
        stranger.hear()
        for write in (lambda: impatient.insert("t", {"a": 2}), lambda: impatient.transaction().__enter__()):
            began = time.monotonic()
            with pytest.raises(BusyError, match=f"held by {who}; waited [0-9]"):
                write()
            assert time.monotonic() - began < 3
        stranger.tell()
        backend.insert("t", {"a": 2})
    assert _count(backend) == 2


def test_nobody_overwrites_what_another_just_wrote(backend: SQLiteBackend, path: Path) -> None:
    """Four processes add one to a number; what is read inside a transaction is still so when it is written."""
    backend.insert("t", {"a": 0, "s": "0"})
    code = """
        from hmp_core.backends import SQLiteBackend
        backend = SQLiteBackend(path)
        for _ in range(20):
            with backend.transaction():
                found = int(backend.fetch_one("SELECT s FROM t")[0])
                backend.upsert("t", {"a": 0, "s": str(found + 1)}, key=["a"])
    """
    children = [start(code, path=path) for _ in range(4)]
    for child in children:
        with child:
            assert child.join() == 0, child.rest()
    assert backend.fetch_all("SELECT s FROM t") == [("80",)]


def test_two_backends_of_a_thread_are_one_within_a_lease(backend: SQLiteBackend, path: Path) -> None:
    other = SQLiteBackend(path)
    with backend.transaction():
        backend.insert("t", {"a": 1})
        assert _count(other) == 1
        other.insert("t", {"a": 2})
    assert _count(backend) == 2
    with backend.lease(write=False), pytest.raises(InvalidInput):
        other.insert("t", {"a": 3})


def test_threads_read_beside_a_thread_that_writes(backend: SQLiteBackend) -> None:
    found: list[int] = []
    with backend.transaction():
        backend.insert("t", {"a": 1})
        thread = threading.Thread(target=lambda: found.append(_count(backend)))
        thread.start()
        thread.join()
    assert found == [0]


def test_everybody_is_asked_at_each_unit_of_work(backend: SQLiteBackend, path: Path) -> None:
    nobody = SQLiteBackend(path, auth=Nobody(), resource="catalog:aare/base")
    for verb in (lambda: _count(nobody), lambda: nobody.insert("t", {"a": 1}), nobody.transaction().__enter__):
        with pytest.raises(AccessDenied, match="catalog:aare/base"):
            verb()
    with backend.lease(write=True), pytest.raises(AccessDenied):
        _count(nobody)
    assert _count(backend) == 0


# ── forks, kills, interrupts ─────────────────────────────────────────────────────────────────────────


def test_a_forked_child_begins_afresh(backend: SQLiteBackend, path: Path) -> None:
    code = (
        from_sqlite
        + """
import os, sys
backend = SQLiteBackend(path)
backend.insert("t", {"a": 1})
if (child := os.fork()) == 0:
    backend.insert("t", {"a": 2})
    sys.exit(0)
say(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
backend.insert("t", {"a": 3})
"""
    )
    assert run(code, path=path) == [0]
    assert _count(backend) == 3


FORKED = (
    from_sqlite
    + """
import os, sys, threading
from hmp_core.errors import InvalidInput
backend, other = SQLiteBackend(path), SQLiteBackend(path.with_name("other.db"), create=True)
other.execute("CREATE TABLE t (a INTEGER)")
def child():
    for verb in (lambda: backend.insert("t", {"a": 2}), lambda: backend.query("SELECT * FROM t")):
        try:
            verb()
        except InvalidInput as error:
            say("forked" in str(error))
    other.insert("t", {"a": 1})
    sys.exit(0)  # out of the blocks of its parent
"""
)


def test_a_fork_within_a_unit_of_work_leaves_the_file_to_the_parent(backend: SQLiteBackend, path: Path) -> None:
    """SQLite keeps a table of its own locks, which the child inherits without the locks themselves."""
    code = """
with backend.transaction():
    backend.insert("t", {"a": 1})
    if (pid := os.fork()) == 0:
        child()
    say(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    backend.insert("t", {"a": 3})
say(backend.fetch_all("SELECT a FROM t ORDER BY a"))
"""
    assert run(FORKED + code, path=path) == [True, True, 0, [(1,), (3,)]]


def test_a_fork_while_another_thread_is_at_work(backend: SQLiteBackend, path: Path) -> None:
    code = """
inside, done = threading.Event(), threading.Event()
def work():
    with backend.transaction():
        backend.insert("t", {"a": 1})
        inside.set()
        done.wait()
thread = threading.Thread(target=work)
thread.start()
inside.wait()
if (pid := os.fork()) == 0:
    child()
say(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
done.set()
thread.join()
say(backend.fetch_all("SELECT a FROM t ORDER BY a"))
"""
    assert run(FORKED + code, path=path) == [True, True, 0, [(1,)]]


def test_a_child_that_runs_on_does_not_commit_for_its_parent(backend: SQLiteBackend, path: Path) -> None:
    code = (
        from_sqlite
        + """
import os, sys
from hmp_core.errors import InvalidInput
backend = SQLiteBackend(path)
try:
    with backend.transaction():
        backend.insert("t", {"a": 1})
        child = os.fork()
        if child:
            raise ValueError
except InvalidInput:
    sys.exit(0)  # not its own to commit
except ValueError:
    say(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
say(backend.fetch_all("SELECT count(*) FROM t"))
"""
    )
    assert run(code, path=path) == [0, [(0,)]]


def test_a_killed_process_loses_nothing_that_it_committed(backend: SQLiteBackend, path: Path) -> None:
    code = (
        from_sqlite
        + """
import os
backend = SQLiteBackend(path)
with backend.lease(write=True):
    backend.insert("t", {"a": 1})
    with backend.transaction():
        backend.insert("t", {"a": 2})
        os.kill(os.getpid(), 9)
"""
    )
    with start(code, path=path) as child:
        assert child.join() == -9
    assert backend.fetch_all("SELECT a FROM t") == [(1,)]


def test_writers_killed_among_others_lose_nothing_that_they_said(backend: SQLiteBackend, path: Path) -> None:
    code = """
        from hmp_core.backends import SQLiteBackend
        backend = SQLiteBackend(path)
        for n in range(first, first + 100_000):
            with backend.transaction():
                backend.insert("t", {"a": n})
            say(n)
    """
    said: list[int] = []
    with start(code, path=path, first=0) as steady, start(code, path=path, first=1_000_000) as other:
        for number in range(2, 6):
            with start(code, path=path, first=number * 1_000_000) as child:
                child.hear()
                child.kill()
                said += child.rest()
        for child in (steady, other):
            child.kill()
            said += child.rest()
    kept = {a for (a,) in backend.fetch_all("SELECT a FROM t")}
    assert len(said) >= 6
    assert set(said) <= kept
    assert len(kept) <= len(said) + 6, "each may have committed one row that it could not say any more"
    assert backend.fetch_all("PRAGMA integrity_check") == [("ok",)]


def test_ctrl_c_ends_a_question_that_takes_long(backend: SQLiteBackend, path: Path) -> None:
    code = (
        from_sqlite
        + """
import signal, time
def press(*_):
    raise KeyboardInterrupt
signal.signal(signal.SIGALRM, press)
backend = SQLiteBackend(path)
try:
    with backend.transaction():
        backend.insert("t", {"a": 1})
        began = time.monotonic()
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        backend.query("WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n")
except KeyboardInterrupt:
    say(time.monotonic() - began < 30)
say(backend.fetch_all("SELECT count(*) FROM t"))
"""
    )
    assert run(code, path=path) == [True, [(0,)]]


# ── damage and room ──────────────────────────────────────────────────────────────────────────────────


def test_a_truncated_database_gives_no_wrong_answer(backend: SQLiteBackend, path: Path) -> None:
    with backend.transaction():
        for n in range(2000):
            backend.insert("t", {"a": n, "s": f"row {n}"})
    data = path.read_bytes()
    for cut in [0, 1, 15, 16, 99, 100, 511, 512, *range(1000, len(data), len(data) // 15)]:
        path.write_bytes(data[:cut])
        for ask in (SQLiteBackend(path), SQLiteBackend(path, read_only=True)):
            with pytest.raises(CorruptError, match=path.name):
                ask.fetch_all("SELECT count(*), sum(a), count(DISTINCT s) FROM t")
        assert path.read_bytes() == data[:cut]


def test_a_folder_is_no_database(path: Path) -> None:
    path.mkdir()
    for ask in (SQLiteBackend(path), SQLiteBackend(path, read_only=True)):
        with pytest.raises(CorruptError):
            ask.query("SELECT 1")


FILL = (
    from_sqlite
    + """
from hmp_core.errors import StatementError, StorageError
backend = SQLiteBackend(path)
{limit}
try:
    with backend.transaction():
        try:
            for n in range(5000):
                backend.insert("t", {"a": 10 + n, "s": "x" * 1000})
        except StorageError:
            say("full")
        backend.execute("DELETE FROM t")  # must not be a transaction of its own
    say("committed")
except StatementError:
    say("refused")
except StorageError:
    say("full again")
{relax}
say(backend.fetch_all("SELECT count(*) FROM t"))
backend.insert("t", {"a": 5})
say(backend.fetch_all("SELECT count(*) FROM t"))
"""
)


def test_a_full_disk_refuses_and_loses_nothing(backend: SQLiteBackend, path: Path) -> None:
    backend.insert("t", {"a": 1})
    limit = "import resource\nsoft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)\n"
    limit += "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))"
    code = FILL.replace("{limit}", limit).replace("{relax}", "resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))")
    said = run(code, path=path)
    assert said[0] == "full"
    assert said[1] in {"refused", "full again"}
    assert said[2:] == [[(1,)], [(2,)]]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 300 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(place)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no file system can be mounted here: {error}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_disk_that_fills_up(small_disk: Path) -> None:
    backend = SQLiteBackend(small_disk / "session.db", create=True)
    backend.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, s VARCHAR)")
    kept = 0

    def fill() -> None:
        nonlocal kept
        while True:
            backend.insert("t", {"a": kept, "s": "x" * 2000})
            kept += 1

    with pytest.raises(StorageError, match="free some space"):
        fill()
    assert _count(backend) == kept > 10, "a row that was acknowledged is gone, or one that was refused is there"
    with pytest.raises(StorageError):
        backend.insert("t", {"a": -1, "s": "x" * 200_000})
    assert _count(backend) == kept


# ── permissions ──────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def closed() -> Iterator[SQLiteBackend]:
    """A database in a folder where nobody may write, asked by somebody without privileges."""
    with anybodys_folder() as folder:
        SQLiteBackend(folder / "a.db", create=True).execute("CREATE TABLE t (a INTEGER PRIMARY KEY, s VARCHAR)")
        closed_to_writers(folder)
        yield SQLiteBackend(folder / "a.db")


def test_a_database_that_may_only_be_read(closed: SQLiteBackend) -> None:
    with unprivileged():
        assert _count(closed) == 0
        with pytest.raises(NotWritable):
            closed.insert("t", {"a": 1})


def test_what_changed_while_it_was_read_without_a_lock_is_no_answer(closed: SQLiteBackend) -> None:
    owner = SQLiteBackend(closed.path)
    before = seen(closed.path)

    def read() -> None:
        with unprivileged(), closed.lease(write=False):
            assert _count(closed) == 0
            os.seteuid(0)
            owner_thread = threading.Thread(target=owner.insert, args=("t", {"a": 1}))
            owner_thread.start()
            owner_thread.join()
            assert seen(closed.path) != before

    if os.geteuid() != 0:
        pytest.skip("two users are needed")
    with pytest.raises(BusyError):
        read()
    with unprivileged():
        assert _count(closed) == 1


def test_a_database_that_may_not_be_read() -> None:
    with anybodys_folder() as folder:
        folder.chmod(0o777)
        backend = SQLiteBackend(folder / "a.db", create=True)
        backend.execute("CREATE TABLE t (a INTEGER)")
        for file in folder.iterdir():
            file.chmod(0o666)
        backend.path.chmod(0)
        with unprivileged():
            for verb in (lambda: _count(backend), lambda: backend.insert("t", {"a": 1})):
                with pytest.raises(NotWritable):
                    verb()


def test_a_file_that_may_not_be_written_in_a_folder_that_may() -> None:
    with anybodys_folder() as folder:
        folder.chmod(0o777)
        backend = SQLiteBackend(folder / "a.db", create=True)
        backend.execute("CREATE TABLE t (a INTEGER)")
        for file in folder.iterdir():
            file.chmod(0o666)
        backend.path.chmod(0o444)
        with unprivileged():
            assert _count(backend) == 0
            with pytest.raises(NotWritable):
                backend.insert("t", {"a": 1})


# ── statements and values ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("value", ["\ud800", object(), {1, 2}, 2**200, [1], {"a": 1}])
def test_what_cannot_be_said_is_a_statement_error(backend: SQLiteBackend, value: Any) -> None:
    with pytest.raises(StatementError):
        backend.insert("t", {"a": 1, "s": value})
    assert _count(backend) == 0


@pytest.mark.parametrize("sql", ["INSERT INTO t VALUES (1, 'x'); DELETE FROM t", "", " -- nothing", ";;", "/* open"])
def test_one_statement_at_a_time(backend: SQLiteBackend, sql: str) -> None:
    with pytest.raises(InvalidInput, match="one statement"):
        backend.execute(sql)
    backend.execute("INSERT INTO t VALUES (1, 'a;b'); -- and; no; more")
    assert backend.fetch_all("SELECT s FROM t") == [("a;b",)]


def test_a_trigger_is_one_statement(backend: SQLiteBackend) -> None:
    trigger = "CREATE TRIGGER again AFTER INSERT ON t BEGIN UPDATE t SET s = 'x;y'; UPDATE t SET s = s || '!'; END;"
    assert len(backend.statements(f"{trigger} SELECT 1;")) == 2
    backend.execute(trigger)
    backend.insert("t", {"a": 1})
    assert backend.fetch_all("SELECT s FROM t") == [("x;y!",)]


def test_a_question_cannot_write(backend: SQLiteBackend) -> None:
    for sql in ("INSERT INTO t VALUES (1, 'x')", "DROP TABLE t", "CREATE TABLE u (a INTEGER)"):
        with pytest.raises(StatementError):
            backend.query(sql)
    backend.query("SELECT a FROM t")
    with backend.lease(write=False):
        backend.query("SELECT a FROM t")
        with pytest.raises(StatementError):
            backend.query("DELETE FROM t")


def test_a_transaction_left_open_is_rolled_back(backend: SQLiteBackend) -> None:
    with backend.lease(write=True):
        backend.execute("BEGIN")
        backend.execute("INSERT INTO t VALUES (1, 'lost')")
    assert _count(backend) == 0
    assert run(COUNT, path=backend.path) == [0]


def test_types_are_known_through_names_joins_and_views(backend: SQLiteBackend) -> None:
    backend.execute("CREATE TABLE runs (id UUID PRIMARY KEY, at TIMESTAMP)")
    backend.execute("CREATE VIEW latest AS SELECT id AS run, at FROM runs")
    key = UUID(int=7)
    backend.insert("runs", {"id": key, "at": datetime(2001, 2, 3)})
    joined = "SELECT l.run AS r, a.at AS b, count(*) OVER () FROM latest l JOIN runs a ON a.id = l.run WHERE a.id = $1"
    assert backend.fetch_all(joined, [key]) == [(key, datetime(2001, 2, 3), 1)]
    with_clause = "WITH w AS (SELECT id FROM runs) SELECT * FROM w -- to the end"
    assert backend.fetch_all(with_clause) == [(key,)]
    assert [str(f.type) for f in backend.query(joined, [UUID(int=8)]).schema][:2] == ["string", "timestamp[us]"]


def test_what_was_computed_is_what_it_looks_like(backend: SQLiteBackend) -> None:
    found = backend.query("SELECT 1 AS i, 1.5 AS x, 'a' AS s, x'00' AS b, NULL AS n")
    assert [str(field.type) for field in found.schema] == ["int64", "double", "string", "binary", "null"]
    mixed = backend.query("SELECT 1 AS v UNION ALL SELECT 1.5")
    assert (str(mixed.schema[0].type), mixed.to_pylist()) == ("double", [{"v": 1.0}, {"v": 1.5}])
    for sql in ("SELECT 1 AS v UNION ALL SELECT 'a'", f"SELECT {2**63 - 1} AS v UNION ALL SELECT 1.5"):
        with pytest.raises(StatementError, match="v mixes"):
            backend.query(sql)


@pytest.mark.parametrize(
    ("kind", "sql"),
    [
        ("BIGINT", "9223372036854775808"),
        ("BIGINT", "'abc'"),
        ("BIGINT", "1.5"),
        ("BOOLEAN", "2"),
        ("TIMESTAMP", "'soon'"),
        ("DATE", "5"),
        ("UUID", "'abc'"),
        ("DOUBLE", "'abc'"),
        ("VARCHAR", "x'ff'"),
    ],
)
def test_a_column_that_holds_something_else_is_not_guessed_at(backend: SQLiteBackend, kind: str, sql: str) -> None:
    """SQLite takes it all the same: an integer beyond 64 bits as a real of fewer digits, for one."""
    backend.execute(f"CREATE TABLE kept (v {kind})")
    backend.execute(f"INSERT INTO kept VALUES ({sql})")
    for ask in (backend.fetch_all, backend.query):
        with pytest.raises(StatementError, match=f"column v is declared {kind}"):
            ask("SELECT v FROM kept")


def test_statements_that_declare_columns(backend: SQLiteBackend) -> None:
    """A column may be called as a type is, and what only looks like one is left alone."""
    backend.execute("CREATE TABLE kept (\"double\" DOUBLE, json JSON, b FLOAT DEFAULT (1.5), CHECK (json <> 'a JSON'))")
    backend.execute("ALTER TABLE kept ADD COLUMN real REAL")
    backend.execute("ALTER TABLE kept ADD more JSON")
    backend.execute("CREATE VIEW seen AS SELECT json, b real FROM kept")
    backend.insert("kept", {"double": -0.0, "json": "1.0", "real": 5.5, "more": "1e2"})
    found = backend.fetch_all("SELECT *, '(a DOUBLE' FROM kept")
    assert repr(found) == repr([(-0.0, "1.0", 1.5, 5.5, "1e2", "(a DOUBLE")])
    assert backend.fetch_all("SELECT real FROM seen") == [(1.5,)]


def test_a_nan_is_above_all_numbers_as_in_duckdb(tmp_path: Path) -> None:
    for name, kind in (("a.db", SQLiteBackend), ("a.duckdb", DuckDBBackend)):
        backend: Any = kind(tmp_path / name, create=True)
        backend.execute("CREATE TABLE t (x DOUBLE)")
        for x in (float("nan"), 1.0, float("inf"), None):
            backend.insert("t", {"x": x})
        assert repr(backend.fetch_all("SELECT x FROM t WHERE x IS NOT NULL ORDER BY x")) == "[(1.0,), (inf,), (nan,)]"
        assert backend.fetch_all("SELECT count(*) FROM t WHERE x > 5") == [(2,)]
        assert backend.fetch_all("SELECT count(*) FROM t WHERE x <> $1", [float("nan")]) == [(2,)]


def test_staged_values_keep_their_types(backend: SQLiteBackend) -> None:
    pa = pytest.importorskip("pyarrow")
    row = {"i": 2**63 - 1, "x": -0.0, "s": "a\0b", "b": b"\0", "f": True, "t": datetime(2001, 2, 3), "d": date(1, 1, 1)}
    with backend.lease(write=False):
        with backend.staged("incoming", pa.Table.from_pylist([row])):
            assert repr(backend.query("SELECT * FROM incoming").to_pylist()) == repr([row])
        for astray in (pa.table({"a": [[1]]}), pa.table({"a": pa.array([2**64 - 1], pa.uint64())})):
            with pytest.raises(StatementError), backend.staged("incoming", astray):
                pass
        with backend.staged("incoming", pa.table({"a": [1]})):
            assert backend.fetch_all("SELECT a FROM incoming") == [(1,)]
