"""Forks: what the parent has survives its child, and the child's life prolongs nothing that its parent held."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from textwrap import dedent
from typing import Any
from uuid import UUID

import pytest

from hmp_core.errors import BusyError
from hmp_core.locks import database_lock
from hmp_core.testing.children import run, start
from hmp_core.testing.gauges import gauges

SETTING = dedent("""
    import os, sys, threading, time
    from uuid import UUID
    from hmp_core.backends import DuckDBBackend
    from hmp_core.errors import BusyError
    from hmp_core.locks import database_lock
    from hmp_core.testing.gauges import gauges
    store = gauges(folder, timeout=20.0)
    path = store.path
    def gauge(n): return {"gauge": str(UUID(int=n)), "river": "Aare"}
    def work(n):
        mine = gauges(folder, timeout=20.0)
        mine.append("gauge.set", gauge(n))
        with mine.reading() as backend:
            found = backend.fetch_all("SELECT count(*) FROM gauges")[0][0]
        mine.close()
        return found
    def leave(how):
        if how == "os._exit": os._exit(0)
        if how == "sys.exit": sys.exit(0)
        raise ZeroDivisionError("the child fails")
    def ended(child): return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
""")

WAYS = ("os._exit", "sys.exit", "exception")


def _gauges(folder: Path) -> set[int]:
    with gauges(folder).reading() as backend:
        return {UUID(str(row[0])).int for row in backend.fetch_all("SELECT gauge_id FROM gauges")}


def _forked(folder: Path, code: str, **names: Any) -> list[Any]:
    return run(SETTING + dedent(code), folder=folder, **names)


@pytest.mark.parametrize("how", WAYS)
def test_a_child_of_an_idle_parent(folder: Path, how: str) -> None:
    code = """
        store.append("gauge.set", gauge(1))
        work(2)
        if (child := os.fork()) == 0:
            store.append("gauge.set", gauge(3))  # with what it inherited
            work(4)
            sys.stderr = open(os.devnull, "w")
            def say(_): pass
            if how == "exception":
                try:
                    leave(how)
                except ZeroDivisionError:
                    os._exit(1)
            leave(how)
        assert ended(child) == (1 if how == "exception" else 0)
        store.append("gauge.set", gauge(5))
        say(work(6))
    """
    assert _forked(folder, code, how=how) == [6]
    assert _gauges(folder) == {1, 2, 3, 4, 5, 6}


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("inside", ["lock", "lease", "transaction"])
def test_a_child_forked_within_what_the_parent_holds(folder: Path, inside: str, how: str) -> None:
    """It leaves the parent's blocks on its way out, and ends nothing that is the parent's."""
    code = """
        import contextlib
        backend = DuckDBBackend(path, timeout=0.1)
        store.append("gauge.set", gauge(1)); store.fold()
        blocks = {"lock": database_lock(path).hold, "lease": lambda: backend.lease(write=True),
                  "transaction": backend.transaction}
        with blocks[inside]():
            if inside == "transaction":
                backend.execute("UPDATE gauges SET river = 'Reuss'")
            if (child := os.fork()) == 0:
                store.append("gauge.set", gauge(2))  # an append waits for no lock
                try:
                    backend.execute("UPDATE gauges SET river = 'never'")
                except BusyError:
                    pass
                else:
                    os._exit(3)
                if how == "exception":
                    try:
                        leave(how)
                    except ZeroDivisionError:
                        sys.exit(0)
                leave(how)
            assert ended(child) == 0
            say("child gone")
            listen()
        say(DuckDBBackend(path).fetch_all("SELECT river FROM gauges"))
        say(work(3))
    """
    with start(SETTING + dedent(code), folder=folder, inside=inside, how=how) as parent:
        assert parent.hear() == "child gone"
        with pytest.raises(BusyError), database_lock(folder / "gauges.duckdb").hold(0):
            pass
        parent.tell()
        assert parent.hear() == [("Reuss" if inside == "transaction" else "Aare",)]
        assert parent.hear() == 3
        assert parent.join() == 0
    assert _gauges(folder) == {1, 2, 3}


def test_forks_while_other_threads_hold_and_append(folder: Path) -> None:
    """The fork falls anywhere into what the others do; each child works at once, and nothing is lost."""
    code = """
        stop, counts = threading.Event(), [100, 200, 300]
        def append(which):
            while not stop.is_set():
                counts[which] += 1
                store.append("gauge.set", gauge(counts[which]))
        def fold():
            while not stop.is_set():
                with store.reading() as backend:
                    backend.fetch_all("SELECT count(*) FROM gauges")
                time.sleep(0.002)  # whoever takes the lock again at once leaves others few turns
        threads = [threading.Thread(target=append, args=(n,)) for n in (0, 1)] + [threading.Thread(target=fold)]
        for thread in threads: thread.start()
        for n in range(count):
            if (child := os.fork()) == 0:
                work(1000 + n)
                os._exit(0)
            assert ended(child) == 0, n
        stop.set()
        for thread in threads: thread.join()
        say(counts[:2])
    """
    (last,) = _forked(folder, code, count=12)
    expected = {*range(101, last[0] + 1), *range(201, last[1] + 1), *range(1000, 1012)}
    assert _gauges(folder) == expected


def test_a_living_child_of_a_dead_holder_does_not_prolong_its_lock(folder: Path) -> None:
    """The kernel's lock belongs to the open file, which a child inherits: forks in the midst of taking it too."""
    code = """
        stop = threading.Event()
        def hold():
            while not stop.is_set():
                with database_lock(path).hold(5.0):
                    pass
        thread = threading.Thread(target=hold)
        thread.start()
        for _ in range(60):
            if os.fork() == 0:
                time.sleep(60)
                os._exit(0)
        stop.set(); thread.join()
        with database_lock(path).hold(5.0):
            if os.fork() == 0:
                time.sleep(60)
                os._exit(0)
            say(os.getpgid(0))
            listen()
    """
    begin = "import os; os.setpgid(0, 0)\n"
    with start(begin + SETTING + dedent(code), folder=folder) as parent:
        group = parent.hear()
        parent.kill()
        try:
            with database_lock(folder / "gauges.duckdb").hold(2.0):
                pass
        finally:
            os.killpg(group, signal.SIGKILL)


def test_the_child_does_not_write_into_the_segment_of_its_parent(folder: Path) -> None:
    code = """
        store.append("gauge.set", gauge(1))
        if (child := os.fork()) == 0:
            store.append("gauge.set", gauge(2))
            os._exit(0)
        assert ended(child) == 0
        store.append("gauge.set", gauge(3))
        os._exit(0)
    """
    _forked(folder, code)
    files = gauges(folder).files
    events = files.everything().events
    writers = {UUID(event.payload["gauge"]).int: event.writer for event in events}
    assert writers[1] == writers[3] != writers[2]
    assert len(files.segments()) == 2


# ── multiprocessing ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_pool_of_workers(folder: Path, tmp_path: Path, method: str) -> None:
    """As a calibration does it: the parent has the database open, four workers record at once."""
    program = tmp_path / "pool.py"
    program.write_text(
        dedent(f"""
        import multiprocessing, sys
        from pathlib import Path
        from uuid import UUID
        from hmp_core.testing.gauges import gauges

        def work(number):
            store = gauges(Path(sys.argv[1]))
            store.append("gauge.set", {{"gauge": str(UUID(int=number)), "river": "Aare"}})
            with store.reading() as backend:
                backend.fetch_all("SELECT count(*) FROM gauges")
            store.close()
            return number

        if __name__ == "__main__":
            mine = gauges(Path(sys.argv[1]))
            mine.append("gauge.set", {{"gauge": str(UUID(int=1)), "river": "Aare"}})
            with mine.reading() as backend:
                backend.fetch_all("SELECT count(*) FROM gauges")
            with multiprocessing.get_context("{method}").Pool(4) as pool:
                assert pool.map(work, range(2, 14)) == list(range(2, 14))
            mine.append("gauge.set", {{"gauge": str(UUID(int=14)), "river": "Aare"}})
            mine.close()
        """)
    )
    done = subprocess.run([sys.executable, program, folder], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert _gauges(folder) == set(range(1, 15))


# ── ends without goodbye ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("end", ["os._exit", "SIGTERM"])
@pytest.mark.parametrize("inside", ["transaction", "append", "fold"])
def test_an_end_in_the_midst(folder: Path, inside: str, end: str) -> None:
    """What was acknowledged stays, what was not committed does not, and the next process waits for nobody."""
    code = """
        import signal
        backend = DuckDBBackend(path)
        store.append("gauge.set", gauge(1)); store.fold()
        def die():
            say("dying")
            if end == "os._exit": os._exit(0)
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)
        if inside == "transaction":
            with backend.transaction():
                backend.execute("UPDATE gauges SET river = 'never'")
                die()
        if inside == "append":
            from hmp_core.events.segment import Segment
            Segment.is_linked = lambda self: die()
            store.append("gauge.set", gauge(2))
        store.append("gauge.set", gauge(3))
        from hmp_core.events import apply
        apply.remember = lambda *_: die()
        store.fold()
    """
    with start(SETTING + dedent(code), folder=folder, inside=inside, end=end) as child:
        assert child.rest()[-1] == "dying"
        assert child.join() == (0 if end == "os._exit" else -signal.SIGTERM)
    began = time.monotonic()
    assert _gauges(folder) == {"transaction": {1}, "append": {1}, "fold": {1, 3}}[inside]
    assert time.monotonic() - began < 5.0
    with gauges(folder).reading() as backend:
        assert backend.fetch_all("SELECT DISTINCT river FROM gauges") == [("Aare",)]


def test_a_child_born_within_a_block_is_told_that_it_cannot_open_the_database(folder: Path) -> None:
    """The engine remembers there what its parent had open (1.5.6); what it appends is kept all the same."""
    code = """
        from hmp_core.errors import InvalidInput
        store.append("gauge.set", gauge(1)); store.fold()
        ready, go = os.pipe()
        with DuckDBBackend(path).lease(write=True):
            if (child := os.fork()) == 0:
                os.read(ready, 1)
                store.append("gauge.set", gauge(2))
                try:
                    DuckDBBackend(path).fetch_all("SELECT 1")
                except InvalidInput as error:
                    os._exit(7 if "spawn" in str(error) else 8)
                os._exit(9)
        os.write(go, b".")
        say(ended(child))
    """
    assert _forked(folder, code) == [7], "the engine can open it now: the wait before a fork could go"
    assert _gauges(folder) == {1, 2}
