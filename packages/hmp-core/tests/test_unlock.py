"""Unlocking: who holds a database is told, the living are never displaced, whoever is displaced destroys nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from uuid import UUID

import pytest

from hmp_core.backends import DuckDBBackend
from hmp_core.errors import BusyError, FoldDisabled
from hmp_core.locks import Owner, database_lock, this_process
from hmp_core.testing.children import start
from hmp_core.testing.gauges import FOLD, gauges
from hmp_core.testing.surroundings import in_another_namespace
from hmp_core.upkeep.unlock import unlock

GAUGE = str(UUID(int=1))
AARE = {"gauge": GAUGE, "river": "Aare"}

HOLD = """
    from hmp_core.locks import database_lock
    with database_lock(path).hold():
        say("held")
        listen()
"""

#: Holds a transaction open on what the fold has made, and goes on when it is told.
HOLDER = """
import sys
from pathlib import Path
from uuid import UUID
from hmp_core.backends import DuckDBBackend
from hmp_core.errors import BusyError
from hmp_core.testing.gauges import gauges
store = gauges(Path(sys.argv[1]))
backend = DuckDBBackend(store.path)
with backend.lease(write=True):
    if sys.argv[2] == "committed":  # its WAL lies beside the database
        backend.execute("PRAGMA disable_checkpoint_on_shutdown")
        backend.execute("UPDATE gauges SET river = 'of the holder'")
    try:
        with backend.transaction():
            backend.execute("UPDATE gauges SET river = 'never'")
            print("held", flush=True)
            sys.stdin.readline()
    except BusyError as error:
        print("displaced" if "taken away" in str(error) else error, flush=True)
store.append("gauge.set", {"gauge": str(UUID(int=3)), "river": "Rhine"})
with store.reading() as found:
    print(found.fetch_all("SELECT count(*) FROM gauges")[0][0], flush=True)
"""


@pytest.fixture
def path(folder: Path) -> Path:
    store = gauges(folder)
    store.append("gauge.set", AARE)
    store.fold()
    store.close()
    return store.path


def _note(path: Path, **changed: object) -> None:
    note = this_process().as_dict() | {"since": time.time()} | changed
    path.with_name(f"{path.name}.lock.json").write_text(json.dumps(note))


def test_a_free_lock_is_free(path: Path) -> None:
    assert unlock(path, FOLD) == "free"
    assert unlock(path.with_name("other.duckdb"), None) == "free"
    assert not path.with_name("other.duckdb.lock").exists()


def test_the_note_of_the_dead_is_removed(path: Path) -> None:
    with start(HOLD, path=path) as child:
        child.hear()
        child.kill()
    assert f"process {child.pid} on" in unlock(path, FOLD)
    assert not path.with_name(f"{path.name}.lock.json").exists()
    assert unlock(path, FOLD) == "free"


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("noted", [True, False])
def test_who_lives_is_never_displaced(path: Path, noted: bool, force: bool) -> None:
    """Without a note the kernel knows who took the lock."""
    with start(HOLD, path=path) as child:
        child.hear()
        if not noted:
            path.with_name(f"{path.name}.lock.json").unlink()
        elif not Path("/proc/locks").exists():
            pytest.skip("this kernel does not list its locks")
        inode = os.stat(f"{path}.lock").st_ino
        with pytest.raises(BusyError, match=f"end process {child.pid}") as refused:
            unlock(path, FOLD, force=force)
        assert refused.value.exit_code == 12
        assert os.stat(f"{path}.lock").st_ino == inode


def test_one_unknown_is_not_displaced_without_force(path: Path) -> None:
    with in_another_namespace(HOLDER, str(path.parent), "begun") as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(BusyError, match=r"lives|--force"):
            unlock(path, FOLD)
        holder.communicate("\n")
    with gauges(path.parent).reading() as backend:
        assert backend.fetch_all("SELECT DISTINCT river FROM gauges WHERE gauge_id = $1", [GAUGE]) == [("never",)]


def test_an_inherited_lock_of_the_dead_is_taken(path: Path, tmp_path: Path) -> None:
    """A process started with the open lock file, as no fork of ours does, outlives the holder."""
    code = f"""
import fcntl, json, os, subprocess, sys, time
from hmp_core.locks import this_process
fd = os.open({str(path) + ".lock"!r}, os.O_RDWR)
fcntl.flock(fd, fcntl.LOCK_EX)
open({str(path) + ".lock.json"!r}, "w").write(json.dumps(this_process().as_dict() | {{"since": time.time()}}))
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], pass_fds=[fd],
    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(child.pid)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heir = int(done.stdout)
    try:
        with pytest.raises(BusyError, match=r"has ended.*hmp db unlock"), database_lock(path).hold(0.05):
            pass
        with pytest.raises(BusyError, match="--force"):
            unlock(path, FOLD)
        assert "was displaced; the database was rebuilt" in unlock(path, FOLD, force=True)
        assert gauges(path.parent).fold().unfolded == 0
    finally:
        os.kill(heir, signal.SIGKILL)


@pytest.mark.parametrize("had", ["begun", "committed"])
def test_who_was_displaced_destroys_nothing(path: Path, had: str) -> None:
    """A holder in another pid namespace sleeps, loses its lock, wakes and goes on: nothing acknowledged is lost."""
    displace = (
        "import sys; from pathlib import Path; from hmp_core.testing.gauges import FOLD; "
        "from hmp_core.upkeep.unlock import unlock; print(unlock(Path(sys.argv[1]), FOLD, force=True))"
    )
    code = HOLDER
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path.parent), had], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        gauges(path.parent).append("gauge.set", {"gauge": str(UUID(int=2)), "river": "Reuss"})
        os.kill(holder.pid, signal.SIGSTOP)
        try:
            with in_another_namespace(displace, str(path)) as other:
                out, err = other.communicate(timeout=60)
            assert "another container or pid namespace was displaced" in out, err
            with gauges(path.parent).reading() as backend:
                rivers = backend.fetch_all("SELECT river FROM gauges ORDER BY river")
            assert rivers == [("Aare",), ("Reuss",)]
        finally:
            os.kill(holder.pid, signal.SIGCONT)
        out, _ = holder.communicate("\n", timeout=60)
        assert out.split() == ["displaced", "3"]
        assert holder.returncode == 0
    store = gauges(path.parent)
    with store.reading() as backend:
        assert backend.fetch_all("SELECT river FROM gauges ORDER BY river") == [("Aare",), ("Reuss",), ("Rhine",)]
    assert not store.notice
    assert not list(path.parent.glob("*.corrupt-*"))


def test_the_index_is_set_aside(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hmp_core.upkeep import unlock as room

    with start(HOLD, path=path) as child:
        child.hear()
        _note(path, host="elsewhere")
        monkeypatch.setattr(room, "_LOCKS", Path("/nowhere"))
        told = unlock(path, None, force=True)
    assert "process" in told
    assert "on elsewhere was displaced" in told
    assert "hmp index rebuild" in told
    assert not path.exists()
    assert [p for p in (path.parent / ".hmp" / "gauges" / "replaced").iterdir() if p.name.endswith(".duckdb")]


def test_where_folding_is_off_nobody_is_displaced(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hmp_core.upkeep import unlock as room

    with start(HOLD, path=path) as child:
        child.hear()
        _note(path, host="elsewhere")
        monkeypatch.setattr(room, "_LOCKS", Path("/nowhere"))
        monkeypatch.setenv("HMP_FOLD", "never")
        with pytest.raises(FoldDisabled):
            unlock(path, FOLD, force=True)


def test_the_lock_knows_that_it_was_displaced(path: Path) -> None:
    backend = DuckDBBackend(path)
    lock = database_lock(path)
    with pytest.raises(BusyError, match="taken away"), backend.transaction():  # noqa: PT012 - the whole block is ended
        assert not lock.displaced
        os.replace(_new(path), f"{path}.lock")
        assert lock.displaced
    with backend.lease(write=True):
        assert not lock.displaced


def _new(path: Path) -> Path:
    new = path.with_name("new.lock")
    new.touch()
    return new


def test_owners_elsewhere_are_unknown() -> None:
    assert Owner(**(this_process().as_dict() | {"namespace": "pid:[1]"})).is_dead() is None
