"""The race of DuckDB 2.0.0 that loses committed rows, forced: it is there, and cannot happen to us.

``connect(path)`` and a plain ``ATTACH`` read the header of a file, then take the lock, and never read it again. Here a
process is held between the two by ``strace``, another one commits and checkpoints meanwhile, and the rows are counted.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hmp_core.backends import DuckDBBackend
from hmp_core.testing.children import start

#: For how long a process is held before it takes the lock, in microseconds.
_HELD = 3_000_000

#: Ways in, as text: nothing of ours may open a file like the first two.
CONNECT = "connection = duckdb.connect(path)"
PLAIN = "connection = duckdb.connect()\nconnection.execute(f\"ATTACH '{path}' AS d\")\nconnection.execute('USE d')"
BARE = """
import sys, duckdb
path = sys.argv[1]
{way}
connection.execute("INSERT INTO t VALUES (100)")
connection.close()
"""
OURS = """
import sys
from pathlib import Path
from hmp_core.backends import DuckDBBackend
backend = DuckDBBackend(Path(sys.argv[1]))
with backend.lease(write=True, unlocked={unlocked}):
    backend.insert("t", {{"a": 100}})
"""


@pytest.fixture
def database(tmp_path: Path, other_python: str) -> DuckDBBackend:
    """A table with one row, in the session that runs 2.x and where a process can be held."""
    if shutil.which("strace") is None:
        pytest.skip("strace, which holds a process between two steps, is not installed")
    probe = subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, text=True, check=False)
    if probe.returncode != 0:
        pytest.skip(f"no process may be traced here: {probe.stderr.strip()}")
    backend = DuckDBBackend(tmp_path / "a.duckdb", create=True, timeout=20.0)
    backend.execute("CREATE TABLE t (a INTEGER)")
    backend.insert("t", {"a": 0})
    return backend


@contextmanager
def _held_before_its_lock(database: DuckDBBackend, code: str) -> Iterator[None]:
    """Run ``code`` beside the block, which begins when it is about to take the lock of the engine."""
    trace = database.path.with_name("trace")
    inject = f"inject=fcntl:delay_enter={_HELD}"
    command = ["strace", "-f", "-qq", "-o", str(trace), "-P", str(database.path), "-e", "trace=fcntl", "-e", inject]
    child = subprocess.Popen([*command, sys.executable, "-c", code, str(database.path)])
    try:
        until = time.monotonic() + 90
        while not (trace.exists() and "F_SETLK" in trace.read_text()):
            assert child.poll() is None, "it ended before it took a lock"
            assert time.monotonic() < until
            time.sleep(0.01)
        yield
        assert child.wait(timeout=90) == 0
    finally:
        child.kill()
        child.wait()
    assert "(DELAYED)" in trace.read_text()


def _add(database: DuckDBBackend, *, unlocked: bool = False) -> None:
    with database.lease(write=True, unlocked=unlocked), database.transaction():
        for n in range(1, 6):
            database.insert("t", {"a": n})


def _found(database: DuckDBBackend) -> list[int]:
    return [a for (a,) in database.fetch_all("SELECT a FROM t ORDER BY a")]


@pytest.mark.parametrize("way", [CONNECT, PLAIN], ids=["connect", "plain ATTACH"])
def test_the_race_is_there(database: DuckDBBackend, way: str) -> None:
    """The control: if five committed rows no longer vanish, 2.x is mended, and decision 0003 can be looked at again."""
    with _held_before_its_lock(database, BARE.format(way=way)):
        _add(database, unlocked=True)
    assert _found(database) == [0, 100]


def test_nothing_is_lost_under_our_lock(database: DuckDBBackend) -> None:
    with _held_before_its_lock(database, OURS.format(unlocked=False)):
        began = time.monotonic()
        _add(database)
        assert time.monotonic() - began > _HELD / 2e6, "it did not wait for the lock file"
    assert _found(database) == [0, 1, 2, 3, 4, 5, 100]


def test_nothing_is_lost_by_our_way_in_alone(database: DuckDBBackend) -> None:
    """``ATTACH (TYPE duckdb)`` reads the header under the lock of the engine: there are two bars, not one."""
    with _held_before_its_lock(database, OURS.format(unlocked=True)):
        _add(database, unlocked=True)
    assert _found(database) == [0, 1, 2, 3, 4, 5, 100]


SHORT_LEASES = """
    import time
    from hmp_core.backends import DuckDBBackend
    until, n = time.monotonic() + seconds, 0
    backend = DuckDBBackend(path)
    while time.monotonic() < until:
        backend.insert("t", {"a": first + n})
        n += 1
    say(n)
"""


def test_many_short_leases_lose_nothing(tmp_path: Path, other_python: str) -> None:
    """Four processes attach, commit, checkpoint and detach in turn: every acknowledged row is there."""
    backend = DuckDBBackend(tmp_path / "a.duckdb", create=True)
    backend.execute("CREATE TABLE t (a INTEGER)")
    firsts = [n * 1_000_000 for n in range(4)]
    children = [start(SHORT_LEASES, path=backend.path, first=first, seconds=5.0) for first in firsts]
    acknowledged = [child.hear() for child in children]
    for child in children:
        with child:
            assert child.join() == 0
    assert min(acknowledged) > 0
    expected = [first + n for first, count in zip(firsts, acknowledged, strict=True) for n in range(count)]
    assert _found(backend) == expected
