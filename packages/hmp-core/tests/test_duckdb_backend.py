"""DuckDB: the judge of backends, and what is its own: leases, forks, locks, files, and words of the engine."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hmp_core.backends import DuckDBBackend
from hmp_core.backends.duckdb import _instance
from hmp_core.backends.literals import literals
from hmp_core.backends.meanings import meaning
from hmp_core.errors import (
    AccessDenied,
    BusyError,
    CorruptError,
    DatabaseNotFound,
    InvalidInput,
    NotWritable,
    SchemaTooNewError,
    StatementError,
)
from hmp_core.testing.backend_suite import MakeBackend
from hmp_core.testing.children import run, start
from hmp_core.testing.door_suite import Nobody, anybodys_folder, closed_to_writers, unprivileged
from hmp_core.testing.store_backend_suite import StoreBackendSuite

from_duckdb = "from hmp_core.backends import DuckDBBackend\n"


class TestDuckDB(StoreBackendSuite):
    @pytest.fixture
    def make(self) -> MakeBackend:
        return DuckDBBackend


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "catalog.duckdb"


@pytest.fixture
def backend(path: Path) -> DuckDBBackend:
    backend = DuckDBBackend(path, create=True, timeout=5.0)
    backend.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, s VARCHAR)")
    return backend


def _count(backend: DuckDBBackend) -> int:
    return int(backend.fetch_all("SELECT count(*) FROM t")[0][0])


# ── the file ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_database_is_made_for_years(backend: DuckDBBackend, path: Path) -> None:
    """Storage of 1.5 and blocks of 16 KiB: small, and read by 1.5 and 2.x alike."""
    assert path.stat().st_size < 200_000
    with backend.lease(write=False):
        name = backend.fetch_all("SELECT current_database()")[0][0]
        options = dict(
            backend.fetch_all(
                "SELECT unnest(map_keys(tags)), unnest(map_values(tags)) FROM duckdb_databases() "
                f"WHERE database_name = '{name}'"
            )
        )
        size = backend.fetch_all(f"SELECT block_size FROM pragma_database_size() WHERE database_name = '{name}'")
    assert options["storage_version"].startswith("v1.5.0")
    assert size == [(16384,)]


def test_nothing_lies_beside_a_database_at_rest(backend: DuckDBBackend, path: Path) -> None:
    backend.insert("t", {"a": 1})
    assert sorted(p.name for p in path.parent.iterdir()) == [f"{path.name}{end}" for end in ("", ".lock", ".lock.json")]


def test_reading_leaves_every_byte(backend: DuckDBBackend, path: Path) -> None:
    before = path.read_bytes()
    _count(backend)
    with backend.lease(write=True):
        _count(backend)
    assert path.read_bytes() == before


# ── leases ───────────────────────────────────────────────────────────────────────────────────────────

COUNT = from_duckdb + "say(DuckDBBackend(path, timeout=1.0).fetch_all('SELECT count(*) FROM t')[0][0])"
ADD = from_duckdb + "DuckDBBackend(path, timeout=1.0).insert('t', {'a': key}); say('added')"


def test_a_notebook_left_open_blocks_nobody(backend: DuckDBBackend, path: Path) -> None:
    """Between two leases nothing is held: others read, and others write."""
    backend.insert("t", {"a": 1})
    assert run(COUNT, path=path) == [1]
    assert run(ADD, path=path, key=2) == ["added"]
    assert _count(backend) == 2
    assert run(ADD, path=path, key=3) == ["added"]


def test_during_a_lease_others_wait_and_are_told_who(backend: DuckDBBackend, path: Path) -> None:
    told = pytest.raises(AssertionError, match=f"BusyError.*process {os.getpid()} on")
    with backend.lease(write=False), start(COUNT, path=path) as other, told:
        other.hear()


def test_who_bypasses_the_lock_file_meets_the_lock_of_the_engine(backend: DuckDBBackend, path: Path) -> None:
    code = from_duckdb + "with DuckDBBackend(path).lease(write=True, unlocked=True):\n    say(); listen()"
    with start(code, path=path) as other:
        other.hear()
        with pytest.raises(BusyError, match=str(other.pid)):
            _count(backend)


def test_reading_this_file_in_this_process_would_drop_that_lock(backend: DuckDBBackend, path: Path) -> None:
    """Why nobody may: the law is about this. Under the lock file nobody gets in all the same."""
    probe = (
        from_duckdb
        + """
with DuckDBBackend(path).lease(write=True, unlocked=True):
    say("in")
"""
    )
    with backend.lease(write=True):
        with pytest.raises(AssertionError, match="BusyError"), start(probe, path=path) as other:
            other.hear()
        path.open("rb").close()
        with start(probe, path=path) as other:
            assert other.hear() == "in", "DuckDB holds its lock now even so: the law could be relaxed"
        with pytest.raises(AssertionError, match="BusyError"), start(COUNT, path=path) as other:
            other.hear()


def test_nothing_of_ours_drops_that_lock(backend: DuckDBBackend, path: Path) -> None:
    """Whatever verb is used within a lease, a stranger without the lock file is kept out until its end."""
    probe = from_duckdb + "with DuckDBBackend(path).lease(write=True, unlocked=True):\n    say('in')"
    other_database = DuckDBBackend(path.with_name("other.duckdb"), create=True)
    with backend.lease(write=True):
        other_database.execute("CREATE TABLE t (a INTEGER)")
        backend.insert("t", {"a": 1})
        with backend.transaction():
            backend.upsert("t", {"a": 1, "s": "x"}, key=["a"])
        with pytest.raises(StatementError):
            backend.execute("INSERT INTO t VALUES (1, 'taken')")
        backend.execute("CHECKPOINT")
        with pytest.raises(AssertionError, match="BusyError"), start(probe, path=path) as other:
            other.hear()


def test_two_databases_at_once(path: Path) -> None:
    one, two = (DuckDBBackend(path.with_name(f"{name}.duckdb"), create=True) for name in "ab")
    for backend in (one, two):
        backend.execute("CREATE TABLE t (a INTEGER)")
    with one.lease(write=True), two.lease(write=True):
        one.insert("t", {"a": 1})
        two.insert("t", {"a": 2})
    assert (one.fetch_all("SELECT a FROM t"), two.fetch_all("SELECT a FROM t")) == ([(1,)], [(2,)])


def test_one_thread_waits_for_another(backend: DuckDBBackend, path: Path) -> None:
    order: list[str] = []
    inside = threading.Event()

    def hold() -> None:
        with backend.lease(write=True):
            inside.set()
            time.sleep(0.2)
            order.append("first")

    thread = threading.Thread(target=hold)
    thread.start()
    inside.wait()
    backend.insert("t", {"a": 1})
    order.append("second")
    thread.join()
    assert order == ["first", "second"]


def test_a_thread_that_waits_too_long_is_told(backend: DuckDBBackend) -> None:
    with backend.lease(write=True):
        found: list[BaseException] = []

        def ask() -> None:
            try:
                with backend.lease(write=False, timeout=0.05):
                    pass
            except BusyError as error:
                found.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()
    assert "another thread" in str(found[0])


def test_a_read_only_backend_cannot_write_within_anothers_lease(backend: DuckDBBackend, path: Path) -> None:
    reader = DuckDBBackend(path, read_only=True)
    with backend.lease(write=True):
        with pytest.raises(NotWritable):
            reader.insert("t", {"a": 1})
        assert _count(reader) == 0


def test_everybody_is_asked_within_anothers_lease(backend: DuckDBBackend, path: Path) -> None:
    nobody = DuckDBBackend(path, auth=Nobody(), resource="catalog:aare/base")
    with backend.lease(write=True), pytest.raises(AccessDenied, match="catalog:aare/base"):
        _count(nobody)


def test_a_database_that_vanishes_while_it_is_opened_is_not_found(backend: DuckDBBackend, path: Path) -> None:
    """Between the look for it and the engine's own: a workspace that is unmounted, or renamed away."""
    with pytest.raises(StatementError) as caught:
        backend.execute(f"ATTACH '{path.with_name('other.duckdb')}' AS other (READ_ONLY)")
    assert isinstance(caught.value.__cause__, Exception)
    assert isinstance(meaning(caught.value.__cause__, str(path), opening=True), DatabaseNotFound)


def test_a_database_that_vanished_is_not_made_again(backend: DuckDBBackend, path: Path) -> None:
    kept = DuckDBBackend(path)
    path.unlink()
    with pytest.raises(DatabaseNotFound):
        kept.insert("t", {"a": 1})
    assert not path.exists()


def test_a_transaction_left_open_does_not_keep_the_file(backend: DuckDBBackend, path: Path) -> None:
    """Somebody types BEGIN into a question; once that kept the file attached for ever."""
    with backend.lease(write=True):
        backend.execute("BEGIN")
        backend.execute("INSERT INTO t VALUES (1, 'lost')")
    assert _count(backend) == 0
    with backend.lease(write=True):
        backend.execute("BEGIN")
        with pytest.raises(StatementError):
            backend.execute("INSERT INTO t VALUES ('no number', NULL)")
    assert _count(backend) == 0
    backend.query("BEGIN")
    assert run(ADD, path=path, key=2) == ["added"]


def test_what_does_not_fit_into_memory_does_not_go_where_the_user_is(path: Path, tmp_path: Path) -> None:
    code = (
        from_duckdb
        + """
import os
os.chdir(folder)
backend = DuckDBBackend(path, create=True)
with backend.lease(write=True):
    backend.execute("SET memory_limit = '60MB'")
    backend.execute("CREATE TEMP TABLE t AS SELECT i, hash(i)::VARCHAR AS s FROM range(3000000) r(i)")
    say(os.listdir(folder))
"""
    )
    (tmp_path / "here").mkdir()
    assert run(code, path=path, folder=tmp_path / "here") == [[]]


def test_a_checkpoint_stays_cheap(path: Path) -> None:
    """No column of text is packed with the method that takes ten times as long at every checkpoint."""
    backend = DuckDBBackend(path, create=True)
    backend.execute("CREATE TABLE t (s VARCHAR)")
    backend.execute("INSERT INTO t SELECT md5(i::VARCHAR) FROM range(5000) r(i)")
    found = {row[0] for row in backend.fetch_all("SELECT DISTINCT compression FROM pragma_storage_info('t')")}
    assert found
    assert "DICT_FSST" not in found


def test_what_a_question_leaves_behind_is_gone_with_its_lease(backend: DuckDBBackend) -> None:
    with backend.lease(write=False):
        backend.query("CREATE TEMP TABLE mine AS SELECT 1 AS a")
        assert backend.fetch_all("SELECT a FROM mine") == [(1,)]
    with pytest.raises(StatementError):
        backend.query("SELECT * FROM mine")


# ── interrupts ───────────────────────────────────────────────────────────────────────────────────────


def test_ctrl_c_within_a_question_stays_an_interrupt(backend: DuckDBBackend) -> None:
    """The engine wraps it in a RuntimeError, if it notices it (1.5.6 does not always)."""
    with pytest.raises(KeyboardInterrupt), backend.transaction():  # noqa: PT012 - the whole block is ended
        backend.insert("t", {"a": 1})
        with backend._translated():
            raise RuntimeError("Query interrupted") from KeyboardInterrupt()
    assert _count(backend) == 0


# ── forks ────────────────────────────────────────────────────────────────────────────────────────────

FORK = (
    from_duckdb
    + """
import os, sys
from hmp_core.errors import BusyError, InvalidInput
backend = DuckDBBackend(path, timeout=0.1)
def inner():
    {inner}
def outer():
    {outer}
outer()
"""
)


def _forked(path: Path, outer: str, inner: str = "pass") -> list[Any]:
    indent = "\n    "
    code = FORK.format(outer=outer.strip().replace("\n", indent), inner=inner.strip().replace("\n", indent))
    return run(code, path=path)


def test_a_forked_child_begins_afresh(backend: DuckDBBackend, path: Path) -> None:
    """Whatever its parent did before, it reads and writes, and ends as a program does."""
    outer = """
backend.insert("t", {"a": 1})
if (child := os.fork()) == 0:
    backend.insert("t", {"a": 2})
    say(backend.fetch_all("SELECT count(*) FROM t")[0][0])
    sys.exit(0)
say(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
backend.insert("t", {"a": 3})
"""
    assert _forked(path, outer) == [2, 0]
    assert _count(backend) == 3


def test_a_fork_within_a_lease_leaves_it_to_the_parent(backend: DuckDBBackend, path: Path) -> None:
    """The child can neither use nor end what its parent holds; it waits like any other process."""
    outer = """
with backend.transaction():
    backend.insert("t", {"a": 1})
    if (child := os.fork()) == 0:
        try:
            backend.insert("t", {"a": 2})
        except BusyError as error:
            say("busy")
        sys.exit(0)  # out of the blocks of its parent
    say(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    backend.insert("t", {"a": 3})
say(backend.fetch_all("SELECT a FROM t ORDER BY a"))
"""
    assert _forked(path, outer) == ["busy", 0, [(1,), (3,)]]


def test_a_child_that_runs_on_does_not_commit_for_its_parent(backend: DuckDBBackend, path: Path) -> None:
    outer = """
child = None
try:
    with backend.transaction():
        backend.insert("t", {"a": 1})
        child = os.fork()
        if child:
            raise ValueError
except InvalidInput:
    say("not mine to commit")
    sys.exit(0)
except ValueError:
    say(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
say(backend.fetch_all("SELECT count(*) FROM t")[0][0])
"""
    assert _forked(path, outer) == ["not mine to commit", 0, 0]


def test_the_parents_lock_survives_the_end_of_its_child(backend: DuckDBBackend, path: Path) -> None:
    outer = """
with backend.lease(write=True):
    if (child := os.fork()) == 0:
        sys.exit(0)
    os.waitpid(child, 0)
    say("child gone")
    listen()
"""
    with start(FORK.format(outer=outer.strip().replace("\n", "\n    "), inner="pass"), path=path) as parent:
        parent.hear()
        with pytest.raises(BusyError):
            DuckDBBackend(path, timeout=0).insert("t", {"a": 1})
        with pytest.raises(BusyError), DuckDBBackend(path, timeout=0).lease(write=True, unlocked=True):
            pass


# ── damage ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def large(path: Path) -> DuckDBBackend:
    backend = DuckDBBackend(path, create=True)
    backend.execute("CREATE TABLE t (a INTEGER, s VARCHAR)")
    backend.execute("INSERT INTO t SELECT i, 'row ' || i FROM range(20000) r(i)")
    return backend


def _answer(backend: DuckDBBackend) -> str:
    try:
        return str(backend.fetch_all("SELECT count(*), sum(a), count(DISTINCT s) FROM t"))
    except CorruptError as error:
        return "damaged" if str(backend.path) in str(error) else str(error)


def test_a_truncated_database_gives_no_wrong_answer(large: DuckDBBackend, path: Path) -> None:
    """Cut anywhere it says so, or still knows everything."""
    data, right = path.read_bytes(), _answer(large)
    for cut in [*range(0, 14000, 997), *range(14000, len(data), len(data) // 12)]:
        path.write_bytes(data[:cut])
        assert _answer(large) in {right, "damaged"}
        assert path.read_bytes() == data[:cut]


def test_a_flipped_bit_gives_no_wrong_answer(large: DuckDBBackend, path: Path) -> None:
    data, right = path.read_bytes(), _answer(large)
    for place in range(5, len(data), len(data) // 40):
        path.write_bytes(data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :])
        assert _answer(large) in {right, "damaged"}


def test_after_damage_the_process_goes_on(large: DuckDBBackend, path: Path) -> None:
    """A fatal error ends the engine of the process; the next lease begins with a new one."""
    data = path.read_bytes()
    other = DuckDBBackend(path.with_name("other.duckdb"), create=True)
    other.execute("CREATE TABLE t (a INTEGER)")
    for place in range(30_000, len(data), len(data) // 12):
        path.write_bytes(data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :])
        for sql in ("UPDATE t SET s = 'x'", "DELETE FROM t WHERE a < 15000", "CHECKPOINT"):
            try:
                large.execute(sql)
            except (CorruptError, StatementError):
                continue
        other.insert("t", {"a": place})
        path.with_name(f"{path.name}.wal").unlink(missing_ok=True)
        path.write_bytes(data)
        assert large.fetch_all("SELECT count(*) FROM t") == [(20000,)], "the file was not let go"


def test_a_wal_of_another_database_is_not_played(large: DuckDBBackend, path: Path, tmp_path: Path) -> None:
    code = (
        from_duckdb
        + """
import os
with DuckDBBackend(path).lease(write=True):
    DuckDBBackend(path).execute("INSERT INTO t VALUES (-1, 'only in the WAL')")
    os.kill(os.getpid(), 9)
"""
    )
    with start(code, path=path) as child:
        assert child.join() == -9
    wal = path.with_name(f"{path.name}.wal")
    kept = wal.read_bytes()
    assert large.fetch_all("SELECT count(*) FROM t") == [(20001,)], "a killed process loses nothing that it committed"
    other = DuckDBBackend(tmp_path / "other.duckdb", create=True)
    other.execute("CREATE TABLE t (a INTEGER, s VARCHAR)")
    (tmp_path / "other.duckdb.wal").write_bytes(kept)
    with pytest.raises(CorruptError):
        other.fetch_all("SELECT * FROM t")


@pytest.mark.parametrize("size", [1, 100, 5000])
def test_a_wal_of_no_meaning_is_refused_and_kept(backend: DuckDBBackend, path: Path, size: int) -> None:
    wal = path.with_name(f"{path.name}.wal")
    wal.write_bytes(b"\x07" * size)
    try:
        _count(backend)
    except CorruptError:
        assert wal.read_bytes() == b"\x07" * size


def test_a_folder_is_no_database(path: Path) -> None:
    path.mkdir()
    for backend in (DuckDBBackend(path), DuckDBBackend(path, read_only=True)):
        with pytest.raises(CorruptError):
            backend.query("SELECT 1")


def test_a_file_format_of_tomorrow(backend: DuckDBBackend, path: Path) -> None:
    """Written by a newer engine: the version stands at byte 12 of the file, and is part of no checksum there."""
    data = bytearray(path.read_bytes())
    (version,) = struct.unpack_from("<Q", data, 12)
    struct.pack_into("<Q", data, 12, version + 30)
    path.write_bytes(data)
    with pytest.raises((SchemaTooNewError, CorruptError)) as refused:
        _count(backend)
    if isinstance(refused.value, SchemaTooNewError):
        assert refused.value.found == version + 30
        assert refused.value.known < version + 30


# ── room ─────────────────────────────────────────────────────────────────────────────────────────────

FULL = (
    from_duckdb
    + """
import resource
from hmp_core.errors import StorageError
backend = DuckDBBackend(path)
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + room, hard))
try:
    with backend.transaction():
        backend.execute(f"INSERT INTO t SELECT i + 10, hash(i)::VARCHAR FROM range({rows}) r(i)")
    say("committed")
except StorageError as error:
    say("full")
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
say(backend.fetch_all("SELECT count(*) FROM t")[0][0])
backend.insert("t", {"a": 1})
say(backend.fetch_all("SELECT count(*) FROM t")[0][0])
"""
)


def test_a_full_disk_refuses_and_loses_nothing(backend: DuckDBBackend, path: Path) -> None:
    assert run(FULL, path=path, room=2000, rows=5000) == ["full", 0, 1]


def test_a_commit_that_fits_stands_though_its_checkpoint_does_not(backend: DuckDBBackend, path: Path) -> None:
    """It is in the WAL, and the next lease reads it from there."""
    assert run(FULL, path=path, room=2000, rows=5) == ["committed", 5, 6]


def test_a_folder_that_is_gone_is_told(path: Path) -> None:
    """Who has it open still is not told to make one: it lies elsewhere."""
    away = path.parent / "away"
    moved = DuckDBBackend(away / "a.duckdb", create=True)
    away.mkdir()
    moved.execute("CREATE TABLE t (a INTEGER)")
    away.rename(path.parent / "elsewhere")
    for write in (False, True):
        with pytest.raises(DatabaseNotFound, match="its folder was moved or removed"), moved.lease(write=write):
            pass


# ── permissions ──────────────────────────────────────────────────────────────────────────────────────


def test_a_database_that_may_only_be_read() -> None:
    with anybodys_folder() as folder:
        backend = DuckDBBackend(folder / "a.duckdb", create=True)
        backend.execute("CREATE TABLE t (a INTEGER)")
        closed_to_writers(folder)
        with unprivileged():
            with backend.lease(write=False, unlocked=True):
                assert _count(backend) == 0
            assert _count(backend) == 0  # a lock file that is there is locked by whoever may read it
            with pytest.raises(NotWritable), backend.lease(write=True):
                pass
            with pytest.raises(NotWritable), backend.lease(write=True, unlocked=True):
                pass
        folder.chmod(0o755)
        (folder / "a.duckdb.lock").unlink()
        folder.chmod(0o555)
        with unprivileged(), pytest.raises(NotWritable):
            _count(backend)  # no lock file can be made


def test_a_database_that_may_not_be_read() -> None:
    with anybodys_folder() as folder:
        folder.chmod(0o777)
        backend = DuckDBBackend(folder / "a.duckdb", create=True)
        backend.execute("CREATE TABLE t (a INTEGER)")
        for file in folder.iterdir():
            file.chmod(0o666)
        (folder / "a.duckdb").chmod(0)
        with unprivileged(), pytest.raises(NotWritable):
            _count(backend)


# ── statements and values ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT checksum FROM t",
        "SELECT 'Permission denied' + 1 FROM t",
        'SELECT "Could not read enough bytes" FROM t',
        "SELECT * FROM 'No space left on device'",
        "SELECT error('FATAL Error: INTERNAL Error')",
        "SELECT * FROM read_csv('/nowhere/Is a directory.csv')",
        "SELECT * FROM read_parquet('/proc/self/status')",
    ],
)
def test_words_of_a_statement_are_not_damage_of_the_file(backend: DuckDBBackend, sql: str) -> None:
    with pytest.raises(StatementError) as refused:
        backend.query(sql)
    assert str(backend.path) in str(refused.value)


@pytest.mark.parametrize("value", ["\ud800", object(), {1, 2}, 2**200])
def test_what_cannot_be_said_is_a_statement_error(backend: DuckDBBackend, value: Any) -> None:
    with pytest.raises(StatementError):
        backend.insert("t", {"a": 1, "s": value})
    with pytest.raises(StatementError):
        backend.query("SELECT '\ud800'")
    assert _count(backend) == 0


def test_values_are_bound_to_one_statement(backend: DuckDBBackend) -> None:
    with pytest.raises(InvalidInput):
        backend.execute("INSERT INTO t VALUES ($1, 'x'); DELETE FROM t", [1])
    backend.execute("INSERT INTO t VALUES ($1, 'a;b');", [1])
    assert backend.fetch_all("SELECT s FROM t") == [("a;b",)]


PLAIN = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]))
    | st.uuids()
    | st.datetimes()
    | st.dates()
)


@pytest.fixture(scope="module")
def anywhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDBBackend]:
    backend = DuckDBBackend(tmp_path_factory.mktemp("values") / "a.duckdb", create=True)
    backend.execute("CREATE TABLE t (a INTEGER)")
    with backend.lease(write=False):
        yield backend


@given(value=PLAIN)
def test_a_plain_value_arrives_as_if_it_were_bound(anywhere: DuckDBBackend, value: Any) -> None:
    """Said as a literal or handed over as an object: the engine gets the same value of the same type."""
    assert literals([value]) is not None
    with anywhere.lease(write=False):
        said = anywhere.fetch_all("SELECT $1, typeof($1)", [value])
        file = _instance.file(str(anywhere.path))
        bound = file.connection.execute("SELECT $1, typeof($1)", [value]).fetchall()
    assert repr(said) == repr(bound)


@pytest.mark.parametrize(
    "value",
    [
        datetime(1, 1, 1),
        datetime(9999, 12, 31, 23, 59, 59, 999999),
        date(1, 1, 1),
        UUID(int=0),
        b"\0",
        [1, 2],
        {"a": 1},
        "a\0b",
    ],
)
def test_odd_values_arrive_too(anywhere: DuckDBBackend, value: Any) -> None:
    assert anywhere.fetch_all("SELECT $1", [value]) == [(value,)]


def test_numbers_of_numpy_arrive(anywhere: DuckDBBackend) -> None:
    np = pytest.importorskip("numpy")
    assert anywhere.fetch_all("SELECT $1, $2", [np.float64(0.1), np.int64(7)]) == [(0.1, 7)]


def test_neither_binding_nor_staging_imports_pandas(backend: DuckDBBackend, path: Path) -> None:
    """It takes 0.4 to 2 s, and the command line has no use for it."""
    pytest.importorskip("pandas")
    code = """
import sys
from pathlib import Path
from hmp_core.testing.gauges import gauges
store = gauges(Path(sys.argv[1]))
store.prepare_schema()
store.append("gauge.set", {"gauge": "6f2f1b0e-5f0a-5c39-9d5e-6a7d3c1e8b42", "river": "Aare", "elevation": 1.5})
with store.reading() as backend:
    backend.query("SELECT * FROM gauges WHERE river = $1", ["Aare"]).to_pylist()
store.close()
found = {"pandas", "xarray", "zarr", "matplotlib", "httpx"} & sys.modules.keys()
sys.exit(f"imported {found}" if found else 0)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(path.parent / "aare")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


KILLED = """
import os, sys
from pathlib import Path
from hmp_core.backends.duckdb import DuckDBBackend
backend = DuckDBBackend(Path(sys.argv[1]), create=True)
with backend.lease(write=True), backend.transaction():
    backend.execute("CREATE TABLE IF NOT EXISTS gauges (id VARCHAR, name VARCHAR, PRIMARY KEY (id, name))")
    backend.execute("CREATE INDEX IF NOT EXISTS by_id ON gauges (id)")
with backend.lease(write=True):
    with backend.transaction():
        backend.execute("INSERT INTO gauges VALUES ('a', 'x'), ('b', 'y')")
    os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("write", [False, True], ids=["read", "written"])
def test_what_a_killed_process_committed_is_found_by_its_index(tmp_path: Path, write: bool) -> None:
    """The engine replays the rows; after a detach their index entries were missing (DuckDB 1.5.6)."""
    import subprocess
    import sys

    database = tmp_path / "gauges.duckdb"
    assert subprocess.run([sys.executable, "-c", KILLED, str(database)], check=False).returncode == -9
    assert database.with_name("gauges.duckdb.wal").stat().st_size
    for _ in range(2):
        backend = DuckDBBackend(database)
        with backend.lease(write=write):
            pass
        with backend.lease(write=False):
            assert backend.fetch_all("SELECT name FROM gauges WHERE id = 'b'") == [("y",)]


REPLAYED = (
    from_duckdb
    + """
import os, resource
from hmp_core.errors import StorageError
if os.fork() == 0:
    killed = DuckDBBackend(path, create=True)
    with killed.lease(write=True):
        with killed.transaction():
            killed.execute("CREATE TABLE t AS SELECT hash(i)::VARCHAR AS h FROM range(5000) r(i)")
        os.kill(os.getpid(), 9)
os.wait()
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size, hard))
try:
    with DuckDBBackend(path).lease(write=True):
        say("written")
except StorageError:
    say("full")
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
for database in (path.with_name("other.duckdb"), path):
    backend = DuckDBBackend(database, create=True)
    with backend.lease(write=True):
        say(backend.fetch_all("SELECT count(*) FROM information_schema.tables")[0][0])
"""
)


def test_a_disk_that_is_full_while_rows_are_replayed_closes_no_other_database(tmp_path: Path) -> None:
    """The engine kept the file attached and unusable, and every question about tables met it (DuckDB 1.5.6)."""
    assert run(REPLAYED, path=tmp_path / "gauges.duckdb") == ["full", 0, 1]
