"""Locks: one holder at a time among threads and processes, waits that end, and the dead told from the living."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

import pytest

from hmp_core import locks
from hmp_core.errors import BusyError, NotWritable, PathNotFound
from hmp_core.locks import Owner, database_lock, this_process, try_flock
from hmp_core.testing.children import start
from hmp_core.testing.door_suite import anybodys_folder, unprivileged

HOLD = """
    from hmp_core.locks import database_lock
    with database_lock(path).hold(timeout):
        say("held")
        listen()
    say("released")
"""


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "catalog.duckdb"


# ── processes ────────────────────────────────────────────────────────────────────────────────────────


def test_another_process_is_kept_out(database: Path) -> None:
    with start(HOLD, path=database, timeout=5) as other:
        other.hear()
        with pytest.raises(BusyError), database_lock(database).hold(0):
            pass
        other.tell()
        assert other.hear() == "released"
        with database_lock(database).hold(0):
            assert database_lock(database).held
    assert not database_lock(database).held


@pytest.mark.parametrize("timeout", [0.0, 0.2, 0.6])
def test_a_wait_ends_in_time_and_names_the_holder(database: Path, timeout: float) -> None:
    with start(HOLD, path=database, timeout=5) as other:
        other.hear()
        began = time.monotonic()
        with pytest.raises(BusyError) as busy, database_lock(database).hold(timeout):
            pass
        assert timeout <= time.monotonic() - began < timeout + 1
        assert f"process {other.pid} on " in busy.value.holder
        assert "UTC" in busy.value.holder
        assert str(other.pid) in str(busy.value)
        assert str(database) in str(busy.value)
        assert busy.value.waited == pytest.approx(timeout, abs=1)


def test_who_waits_gets_it_when_it_is_free(database: Path) -> None:
    with start(HOLD, path=database, timeout=5) as other:
        other.hear()
        threading.Timer(0.2, other.tell).start()
        with database_lock(database).hold(10):
            assert other.hear() == "released"


def test_the_dead_hold_nothing(database: Path) -> None:
    with start(HOLD, path=database, timeout=5) as other:
        other.hear()
        other.kill()
        with database_lock(database).hold(1):
            pass


def test_turns_are_taken_fairly(database: Path) -> None:
    """With the default poll of 0.05 s one of four processes got 2 turns in 8 s (measured)."""
    code = """
        import time
        from hmp_core.locks import database_lock
        say(); listen()
        turns, longest, until = 0, 0.0, time.monotonic() + 1.5
        while time.monotonic() < until:
            began = time.monotonic()
            with database_lock(path).hold(20):
                longest = max(longest, time.monotonic() - began)
                time.sleep(0.002)
            turns += 1
            time.sleep(0.001)
        say((turns, longest))
    """
    children = [start(code, path=database) for _ in range(4)]
    for child in children:
        child.hear()
    for child in children:
        child.tell()
    answers = [child.hear() for child in children]
    for child in children:
        with child:
            child.join()
    turns = [answer[0] for answer in answers]
    assert min(turns) >= max(turns) / 10, turns
    assert max(answer[1] for answer in answers) < 1.0


# ── this process ─────────────────────────────────────────────────────────────────────────────────────


def test_the_holder_may_take_it_again(database: Path) -> None:
    lock = database_lock(database)
    with lock.hold(0):
        assert not lock.nested
        with lock.hold(0):
            assert lock.nested
        assert lock.held
        with start(HOLD, path=database, timeout=0) as other, pytest.raises(AssertionError, match="BusyError"):
            other.hear()
    assert not lock.held


def test_another_thread_is_kept_out(database: Path) -> None:
    found: list[BaseException] = []

    def attempt() -> None:
        try:
            with database_lock(database).hold(0.1):
                pass
        except BusyError as error:
            found.append(error)

    with database_lock(database).hold(0):
        thread = threading.Thread(target=attempt)
        thread.start()
        thread.join()
    assert "another thread of this process" in str(found[0])


def test_threads_take_turns(database: Path) -> None:
    inside = []

    def work() -> None:
        for _ in range(50):
            with database_lock(database).hold(20):
                inside.append(1)
                assert len(inside) == 1
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not database_lock(database).held


def test_threads_can_be_kept_out_without_a_file(database: Path) -> None:
    with database_lock(database).hold_among_threads(0):
        assert list(database.parent.iterdir()) == []
        assert not database_lock(database).held
        with database_lock(database).hold(0):
            assert database_lock(database).held


def test_a_link_is_the_same_database(database: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere" / "link.duckdb"
    link.symlink_to(database)
    assert database_lock(link) is database_lock(database)


def test_an_interrupt_gives_it_back(database: Path) -> None:
    with pytest.raises(KeyboardInterrupt), database_lock(database).hold(0):
        raise KeyboardInterrupt
    with start(HOLD, path=database, timeout=0) as other:
        assert other.hear() == "held"


def test_a_lock_file_that_was_replaced_meanwhile_guards_nothing(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kept under another name it has a link still: only a comparison with what is at the path tells."""
    original, kept = locks.try_flock, database.with_name("kept.lock")

    def late(descriptor: int) -> bool:
        if not kept.exists():
            os.rename(f"{database}.lock", kept)
            Path(f"{database}.lock").touch()
        return original(descriptor)

    Path(f"{database}.lock").touch()
    monkeypatch.setattr(locks, "try_flock", late)
    with database_lock(database).hold(1.0), start(HOLD, path=database, timeout=0) as other:
        assert kept.exists()
        with pytest.raises(AssertionError, match="BusyError"):
            other.hear()


# ── forks ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_forked_child_starts_with_nothing(database: Path) -> None:
    """It can neither use its parent's hold nor give it back, and its life does not prolong it."""
    code = """
        import os
        from hmp_core.errors import BusyError
        from hmp_core.locks import database_lock
        with database_lock(path).hold(0):
            child = os.fork()
            if child == 0:
                try:
                    with database_lock(path).hold(0.05):
                        os._exit(1)
                except BusyError:
                    raise SystemExit(0)  # leaves the parent's block on its way out
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            say("child gone")
            listen()
            if os.fork() == 0:
                listen()  # until the test ends
            os.kill(os.getpid(), 9)
    """
    with start(code, path=database) as parent:
        assert parent.hear() == "child gone"
        with pytest.raises(BusyError), database_lock(database).hold(0):
            pass
        parent.tell()
        assert parent.join() == -9
        with database_lock(database).hold(1):
            pass  # although a child of the dead one still lives


# ── what cannot be locked ────────────────────────────────────────────────────────────────────────────


def test_a_missing_folder_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(PathNotFound), database_lock(tmp_path / "nowhere" / "a.duckdb").hold(0):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_may_not_be_written() -> None:
    with anybodys_folder() as folder:
        folder.chmod(0o555)
        with unprivileged(), pytest.raises(NotWritable), database_lock(folder / "a.duckdb").hold(0):
            pass


@pytest.mark.parametrize(
    "note", ["", "{}", "[]", "null", '{"pid": 1, "host": "x", "since": "y"}', '{"pid":1,"host":2,"since":1e99}']
)
def test_a_note_that_says_nothing_harms_nobody(database: Path, note: str) -> None:
    with start(HOLD, path=database, timeout=5) as other:
        other.hear()
        Path(f"{database}.lock.json").write_text(note)
        with pytest.raises(BusyError) as busy, database_lock(database).hold(0):
            pass
        assert busy.value.holder == "another process"


def test_the_note_tells_who_it_is(database: Path) -> None:
    with database_lock(database).hold(0):
        note = json.loads(Path(f"{database}.lock.json").read_text())
    assert note["pid"] == os.getpid()
    assert note["since"] == pytest.approx(time.time(), abs=10)


def test_a_kernel_lock_belongs_to_the_open_file(tmp_path: Path) -> None:
    one = os.open(tmp_path / "a", os.O_CREAT | os.O_RDWR)
    two = os.open(tmp_path / "a", os.O_RDONLY)
    assert try_flock(one)
    assert not try_flock(two)
    os.close(one)
    assert try_flock(two)
    os.close(two)


# ── owners ───────────────────────────────────────────────────────────────────────────────────────────


def test_this_process_lives() -> None:
    assert this_process().is_dead() is False
    assert this_process().pid == os.getpid()


def test_owners_survive_as_plain_values() -> None:
    assert Owner(**json.loads(json.dumps(this_process().as_dict()))) == this_process()


def test_a_process_that_ended_is_dead() -> None:
    with start("from hmp_core.locks import this_process\nsay(this_process()); listen()") as other:
        owner = other.hear()
        assert owner.pid == other.pid
        assert owner.is_dead() is False
        other.kill()
        assert owner.is_dead() is True


def test_a_number_used_again_is_another_process() -> None:
    owner = Owner(**(this_process().as_dict() | {"started": "1"}))
    assert owner.is_dead() is True


def test_a_process_before_the_last_boot_is_dead() -> None:
    assert Owner(**(this_process().as_dict() | {"boot": "another"})).is_dead() is True


@pytest.mark.parametrize("elsewhere", [{"host": "elsewhere"}, {"namespace": "pid:[1]"}])
def test_of_a_process_elsewhere_we_cannot_know(elsewhere: dict[str, str]) -> None:
    assert Owner(**(this_process().as_dict() | elsewhere)).is_dead() is None


def test_a_process_that_is_hidden_from_us_is_not_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """With hidepid, /proc shows nothing of other users' processes, as if they did not exist."""
    monkeypatch.setattr(locks, "_started", locks._probe)
    with unprivileged():
        owner = Owner(**(this_process().as_dict() | {"pid": 1, "started": "1"}))
        assert owner.is_dead() is None
    gone = Owner(**(this_process().as_dict() | {"pid": 2**22 + 1, "started": "1"}))
    assert gone.is_dead() is True


def test_a_child_is_another_process() -> None:
    code = """
        import os
        from hmp_core.locks import this_process
        mine = this_process()
        if (child := os.fork()) == 0:
            os._exit(0 if this_process().pid == os.getpid() != mine.pid and mine.is_dead() is False else 1)
        say(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    with start(code) as child:
        assert child.hear() == 0
