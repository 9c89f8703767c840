"""The store: several doors over one database against a dictionary, and what an answer lacks when it lacks something."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from hmp_core.backends import DuckDBBackend
from hmp_core.errors import (
    BusyError,
    CorruptError,
    DatabaseNotFound,
    FoldDisabled,
    HmpError,
    InvalidInput,
    MigrationPending,
    NotWritable,
    SchemaTooNewError,
)
from hmp_core.events import Event, EventStore
from hmp_core.events.clock import clock
from hmp_core.events.rebuild import rebuild
from hmp_core.events.record import encode
from hmp_core.events.store import Notice
from hmp_core.identity import uuid7
from hmp_core.testing.children import run, start
from hmp_core.testing.door_suite import anybodys_folder, closed_to_writers, unprivileged
from hmp_core.testing.expected import tables
from hmp_core.testing.gauges import FOLD, dump, gauges, survey

GAUGES = [str(UUID(int=n + 1)) for n in range(3)]
AARE = {"gauge": GAUGES[0], "river": "Aare"}

_GAUGE = st.sampled_from(GAUGES)
_CODE = st.sampled_from(["ann", "bob"])
FACTS = st.one_of(
    st.tuples(st.just("gauge.set"), st.fixed_dictionaries({"gauge": _GAUGE, "river": st.sampled_from("AR")})),
    st.tuples(st.just("gauge.named"), st.fixed_dictionaries({"gauge": _GAUGE, "name": st.sampled_from("xyz")})),
    st.tuples(st.just("gauge.hidden"), st.fixed_dictionaries({"gauge": _GAUGE, "on": st.booleans()})),
    st.tuples(st.just("gauge.purged"), st.fixed_dictionaries({"gauge": st.just(GAUGES[2])})),
    st.tuples(
        st.just("level.set"),
        st.fixed_dictionaries({"gauge": _GAUGE, "day": st.integers(0, 3), "level": st.none() | st.floats(0, 9)}),
    ),
    st.tuples(
        st.just("observer.set"), st.fixed_dictionaries({"code": _CODE, "called": st.none() | st.sampled_from("AB")})
    ),
    st.tuples(st.just("visit.made"), st.fixed_dictionaries({"code": _CODE, "gauge": _GAUGE})),
)


class Doors(RuleBasedStateMachine):
    """Several doors append, fold, close; the database is deleted, rebuilt, its log copied. The model is a list."""

    def __init__(self) -> None:
        super().__init__()
        self.home = Path(tempfile.mkdtemp())
        self.said: dict[UUID, Event] = {}
        self.doors = [gauges(self.home) for _ in range(3)]

    @initialize()
    def make(self) -> None:
        self.doors[0].prepare_schema()

    def teardown(self) -> None:
        for door in self.doors:
            door.close()
        shutil.rmtree(self.home)

    @property
    def pending(self) -> Path:
        return self.home / ".hmp/gauges/pending"

    def _check(self, door: EventStore) -> None:
        expected, waiting = tables(self.said.values())
        assert dump(door) == expected
        assert door.notice == Notice(waiting=len(waiting))

    @rule(door=st.integers(0, 2), facts=FACTS)
    def append(self, door: int, facts: tuple[str, dict[str, Any]]) -> None:
        event = self.doors[door].append(*facts)
        self.said[event.id] = event

    @rule(door=st.integers(0, 2), facts=st.lists(FACTS, min_size=2, max_size=5))
    def commit(self, door: int, facts: list[tuple[str, dict[str, Any]]]) -> None:
        events = [self.doors[door].prepare(*each) for each in facts]
        self.doors[door].commit(events)
        self.said |= {event.id: event for event in events}

    @rule(facts=st.lists(FACTS, max_size=4), early=st.booleans(), torn=st.integers(0, 30))
    def another_machine_left_a_segment(self, facts: list[Any], early: bool, torn: int) -> None:
        clock = 1000 if early else time.time_ns() // 1000
        events = [
            Event(uuid7(), "gauges", 1, kind, clock + n, 0, "else", payload) for n, (kind, payload) in enumerate(facts)
        ]
        self.pending.mkdir(parents=True, exist_ok=True)
        unfinished = encode(Event(uuid7(), "gauges", 1, "gauge.set", 1, 0, "else", AARE))[:torn]
        (self.pending / f"{uuid7()}.log").write_bytes(b"".join(map(encode, events)) + unfinished)
        self.said |= {event.id: event for event in events}

    @rule(door=st.integers(0, 2))
    def read(self, door: int) -> None:
        self._check(self.doors[door])

    @rule(door=st.integers(0, 2))
    def fold(self, door: int) -> None:
        self.doors[door].fold()

    @rule(door=st.integers(0, 2))
    def close_and_open(self, door: int) -> None:
        self.doors[door].close()
        self.doors[door] = gauges(self.home)

    @rule()
    def rebuild(self) -> None:
        before = dump(self.doors[0])
        assert rebuild(self.home / "gauges.duckdb", FOLD).rejected == 0
        assert dump(self.doors[1]) == before

    @rule(again=st.booleans())
    def lose_the_database(self, again: bool) -> None:
        (self.home / "gauges.duckdb").unlink()
        if again:
            self.doors[1].prepare_schema()
        else:
            rebuild(self.home / "gauges.duckdb", FOLD)

    @precondition(lambda self: self.pending.is_dir() and any(self.pending.glob("*.log")))
    @rule(data=st.data())
    def copy_a_segment(self, data: st.DataObject) -> None:
        path = data.draw(st.sampled_from(sorted(self.pending.glob("*.log"))))
        shutil.copy(path, self.pending / f"{uuid7()}.log")

    @precondition(lambda self: any((self.home / "events").glob("*.log")))
    @rule()
    def copy_a_pack(self) -> None:
        path = sorted((self.home / "events").glob("*.log"))[-1]
        copy = self.home / "events" / "1999-12.log"
        if path != copy:
            shutil.copy(path, copy)

    @rule(door=st.integers(0, 2))
    def read_without_folding(self, door: int) -> None:
        os.environ["HMP_FOLD"] = "never"
        try:
            with self.doors[door].reading() as backend:
                assert backend.fetch_all("SELECT count(*) FROM gauges")[0][0] <= len(GAUGES)
        finally:
            del os.environ["HMP_FOLD"]

    @invariant()
    def nothing_is_set_aside(self) -> None:
        assert not (self.home / ".hmp/gauges/rejected").exists()


Doors.TestCase.settings = settings(max_examples=max(8, settings().max_examples // 10), stateful_step_count=16)
TestDoors = Doors.TestCase


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────


def _count(store: EventStore, table: str = "gauges") -> int:
    with store.reading() as backend:
        return int(backend.fetch_all(f"SELECT count(*) FROM {table}")[0][0])


def test_one_sees_ones_own_writes_at_once(store: EventStore) -> None:
    for n, gauge in enumerate(GAUGES, 1):
        store.append("gauge.set", {"gauge": gauge, "river": "Aare"})
        assert _count(store) == n
    assert not store.notice
    assert str(store.notice) == "complete"


def test_one_sees_what_others_acknowledged(store: EventStore, folder: Path) -> None:
    code = """
        from hmp_core.testing.gauges import gauges
        store = gauges(folder)
        store.append("gauge.set", facts)
        say(); listen()
    """
    with start(code, folder=folder, facts=AARE) as other:
        other.hear()
        assert _count(store) == 1, "while it lives"
        other.kill()
    assert _count(store) == 1, "and when it is dead"
    assert store.files.segments() == []


def test_a_block_that_reads_sees_one_state(store: EventStore) -> None:
    with store.reading() as backend:
        store.append("gauge.set", AARE)
        assert backend.fetch_all("SELECT count(*) FROM gauges") == [(0,)]
        assert _count(store) == 0, "the same block"
    assert _count(store) == 1


def test_threads_read_and_write(store: EventStore, folder: Path) -> None:
    failed: list[BaseException] = []

    def work(name: int) -> None:
        mine = gauges(folder) if name % 2 else store
        try:
            for n in range(6):
                gauge = str(UUID(int=name * 100 + n))
                mine.append("gauge.set", {"gauge": gauge, "river": "Aare"})
                with mine.reading() as backend:
                    assert backend.fetch_one("SELECT 1 FROM gauges WHERE gauge_id = $1", [gauge]) == (1,)
        except BaseException as error:  # noqa: BLE001 - raised again below
            failed.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert _count(store) == 24


def test_between_answers_nothing_is_held(store: EventStore, folder: Path) -> None:
    _count(store)
    code = """
        from hmp_core.backends import DuckDBBackend
        with DuckDBBackend(folder / "gauges.duckdb", timeout=0).lease(write=True): say("in")
    """
    assert run(code, folder=folder) == ["in"]


def test_the_clock_of_others_is_learnt_by_reading(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "_last", clock._last)  # all stores of the process share it
    later = replace(store.prepare("gauge.set", AARE), clock=2**62)
    store.commit([later])
    before = store.prepare("gauge.named", {})
    _count(store)
    after = store.prepare("gauge.named", {})
    assert before.clock < 2**62 < after.clock


# ── another database in the place of the one we knew ─────────────────────────────────────────────────


@pytest.mark.parametrize("how", ["created anew", "an older copy", "rebuilt"])
def test_a_database_that_was_replaced_is_noticed(store: EventStore, folder: Path, how: str) -> None:
    """Its inode may even be the same."""
    database = folder / "gauges.duckdb"
    empty = database.read_bytes()
    store.append("gauge.set", AARE)
    assert _count(store) == 1
    database.unlink()
    if how == "created anew":
        gauges(folder).prepare_schema()
    elif how == "an older copy":
        database.write_bytes(empty)
    else:
        rebuild(database, FOLD)
    assert _count(store) == 1


def test_a_restored_backup_is_folded_before_it_answers(store: EventStore, folder: Path) -> None:
    database = folder / "gauges.duckdb"
    for gauge in GAUGES:
        store.append("gauge.set", {"gauge": gauge, "river": "Aare"})
        assert _count(store) >= 1
        if gauge == GAUGES[0]:
            backup = database.read_bytes()
    store.close()
    database.write_bytes(backup)
    assert _count(gauges(folder)) == 3


# ── who may not or cannot fold ───────────────────────────────────────────────────────────────────────


def test_without_folding_an_answer_says_what_it_lacks(
    store: EventStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.append("gauge.set", AARE)
    assert _count(store) == 1
    monkeypatch.setenv("HMP_FOLD", "never")
    store.commit([store.prepare("gauge.set", {"gauge": gauge, "river": "R"}) for gauge in GAUGES])
    assert _count(store) == 1
    assert store.notice == Notice(unfolded=3, reason="HMP_FOLD=never")
    assert "3 unfolded" in str(store.notice)
    store.close()
    reader = gauges(folder)
    assert _count(reader) == 1
    assert reader.notice.unfolded == 3
    monkeypatch.delenv("HMP_FOLD")
    assert _count(reader) == 3
    assert not reader.notice


def test_a_read_only_door_neither_appends_nor_folds(store: EventStore, folder: Path) -> None:
    store.append("gauge.set", AARE)
    reader = gauges(folder, read_only=True)
    assert _count(reader) == 0
    assert reader.notice == Notice(unfolded=1, reason="opened read-only")
    for act in (lambda: reader.append("gauge.set", AARE), reader.fold, reader.immediate().__enter__):
        with pytest.raises(NotWritable):
            act()
    assert _count(store) == 1
    assert _count(reader) == 1
    assert not reader.notice


def test_a_folder_that_may_only_be_read_answers_from_the_last_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    with anybodys_folder() as folder:
        home = folder / "aare"
        store = gauges(home)
        store.prepare_schema()
        store.append("gauge.set", AARE)
        assert _count(store) == 1
        for n in range(2):
            store.append("level.set", {"gauge": GAUGES[0], "day": n, "level": 1.0})
        with monkeypatch.context() as patch:
            patch.setenv("HMP_FOLD", "never")
            store.close()
        closed_to_writers(home)
        with unprivileged():
            reader = gauges(home)
            assert _count(reader, "levels") == 0
            assert reader.notice.unfolded == 2
            assert "may not be opened" in reader.notice.reason
            found: list[int] = []

            def read() -> None:
                found.append(_count(reader))

            threads = [threading.Thread(target=read) for _ in range(3)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert found == [1, 1, 1], "threads take turns without a lock file"
            with pytest.raises(NotWritable), reader.immediate():
                pass
            with pytest.raises(NotWritable):
                reader.append("gauge.set", AARE)


HOLD = """
    from hmp_core.backends import DuckDBBackend
    with DuckDBBackend(folder / "gauges.duckdb").lease(write=write):
        say(); listen()
"""


def test_a_long_reader_elsewhere_keeps_no_answer_back(store: EventStore, folder: Path) -> None:
    """Somebody's notebook holds the lock to read: we answer from the last fold, and say so."""
    store.append("gauge.set", AARE)
    impatient = gauges(folder, timeout=0.2)
    with start(HOLD, folder=folder, write=False) as other:
        other.hear()
        assert _count(impatient) == 0
        assert impatient.notice.unfolded == 1
        assert str(other.pid) in impatient.notice.reason
        with pytest.raises(BusyError), impatient.immediate():
            pass
    assert _count(impatient) == 1


def test_a_writer_elsewhere_is_waited_for_and_named(store: EventStore, folder: Path) -> None:
    impatient = gauges(folder, timeout=0.2)
    with start(HOLD, folder=folder, write=True) as other:
        other.hear()
        began = time.monotonic()
        with pytest.raises(BusyError, match=f"process {other.pid}"):
            _count(impatient)
        assert time.monotonic() - began < 3
        store.append("gauge.set", AARE)  # a finished simulation never waits
    assert _count(impatient) == 1


def test_a_foreign_reader_without_the_lock_file_only_delays_folding(store: EventStore, folder: Path) -> None:
    store.append("gauge.set", AARE)
    code = """
        from hmp_core.backends import DuckDBBackend
        with DuckDBBackend(folder / "gauges.duckdb").lease(write=False, unlocked=True):
            say(); listen()
    """
    with start(code, folder=folder) as other:
        other.hear()
        assert _count(store) == 0
        assert store.notice.unfolded == 1
    assert _count(store) == 1


def test_a_full_disk_only_delays_folding(folder: Path) -> None:
    code = """
        import resource
        from hmp_core.testing.gauges import gauges
        store = gauges(folder)
        size = (folder / "gauges.duckdb").stat().st_size
        store.append("gauge.set", facts)
        for n in range(300):
            store.log.append("level.set", {"gauge": facts["gauge"], "day": n, "level": 1.0, "remarks": "x" * 200})
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
        with store.reading() as backend:
            say((backend.fetch_all("SELECT count(*) FROM levels")[0][0], store.notice.unfolded))
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        with store.reading() as backend:
            say((backend.fetch_all("SELECT count(*) FROM levels")[0][0], store.notice.unfolded))
    """
    full, room = run(code, folder=folder, facts=AARE)
    assert full == (0, 301)
    assert room == (300, 0)


# ── what needs an answer at once ─────────────────────────────────────────────────────────────────────


def test_check_and_append_are_one_step(folder: Path) -> None:
    """Four processes want the same name; one gets it."""
    code = """
        from hmp_core.testing.gauges import gauges
        store = gauges(folder)
        say(); listen()
        with store.immediate() as backend:
            if backend.fetch_one("SELECT 1 FROM observers WHERE code = 'ann'") is None:
                store.append("observer.set", {"code": "ann", "called": str(name)})
                say("mine")
        store.close()
    """
    children = [start(code, folder=folder, name=n) for n in range(4)]
    for child in children:
        child.hear()
    for child in children:
        child.tell()
    won = [n for n, child in enumerate(children) if "mine" in child.rest()]
    for child in children:
        with child:
            assert child.join() == 0
    assert len(won) == 1
    with gauges(folder).reading() as backend:
        assert backend.fetch_all("SELECT called FROM observers") == [(str(won[0]),)]


def test_at_once_is_never_from_an_old_state(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    with store.reading():
        store.append("gauge.set", AARE)
        with pytest.raises(InvalidInput, match="leave it first"), store.immediate():
            pass
    with store.immediate() as backend:
        assert backend.fetch_all("SELECT count(*) FROM gauges") == [(1,)]
    monkeypatch.setenv("HMP_FOLD", "never")
    with pytest.raises(FoldDisabled), store.immediate():
        pass


# ── folding in passing ───────────────────────────────────────────────────────────────────────────────


def test_a_writer_folds_now_and_then(store: EventStore, folder: Path) -> None:
    store.commit([store.prepare("gauge.set", {"gauge": str(uuid4()), "river": "A"}) for _ in range(300)])
    assert DuckDBBackend(folder / "gauges.duckdb").fetch_all("SELECT count(*) FROM gauges") == [(300,)]


def test_a_writer_folds_when_it_leaves(folder: Path) -> None:
    store = gauges(folder)
    store.append("gauge.set", AARE)
    store.close()
    assert DuckDBBackend(folder / "gauges.duckdb").fetch_all("SELECT count(*) FROM gauges") == [(1,)]
    assert [p.name for p in (folder / ".hmp/gauges/pending").iterdir()] == []


def test_leaving_never_waits(folder: Path) -> None:
    store = gauges(folder)
    store.append("gauge.set", AARE)
    with start(HOLD, folder=folder, write=True) as other:
        other.hear()
        began = time.monotonic()
        store.close()
        assert time.monotonic() - began < 2
    assert _count(gauges(folder)) == 1


def test_trouble_of_the_database_is_no_trouble_of_an_append(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "gauges.duckdb").write_bytes(b"not a database")
    store = gauges(folder)
    with caplog.at_level(logging.WARNING):
        event = store.append("gauge.set", AARE)
        store.close()
    assert "was not folded" in caplog.text
    rebuild(folder / "gauges.duckdb", FOLD)
    with gauges(folder).reading() as backend:
        assert backend.fetch_all("SELECT _stamp FROM gauges") == [(event.stamp(),)]


def test_a_missing_database_keeps_no_append_back(tmp_path: Path) -> None:
    store = gauges(tmp_path)
    store.append("gauge.set", AARE)
    with pytest.raises(DatabaseNotFound):
        _count(store)
    assert [p.name for p in tmp_path.iterdir()] == [".hmp"], "no lock file of a database that is not there"
    store.prepare_schema()
    assert _count(store) == 1
    store.close()


# ── what cannot be read ──────────────────────────────────────────────────────────────────────────────


def _spoil(folder: Path, how: str) -> type[HmpError]:
    backend = DuckDBBackend(folder / "gauges.duckdb")
    match how:
        case "newer":
            backend.execute("INSERT INTO schema_migrations VALUES ('gauges', 2, 'x', 'x', TIMESTAMP '2020-01-01')")
            return SchemaTooNewError
        case "older":
            backend.execute("DELETE FROM schema_migrations WHERE component = 'gauges'")
            return MigrationPending
        case "damaged":
            path = folder / "gauges.duckdb"
            path.write_bytes(path.read_bytes()[:20_000])
            return CorruptError
        case _:
            (folder / "gauges.duckdb").unlink()
            return DatabaseNotFound


@pytest.mark.parametrize("how", ["newer", "older", "damaged", "missing"])
@pytest.mark.parametrize("read_only", [False, True], ids=["write", "read"])
@pytest.mark.parametrize("known", [False, True], ids=["at first", "while it is open"])
def test_a_database_that_cannot_be_read_is_refused(folder: Path, how: str, read_only: bool, known: bool) -> None:
    store = gauges(folder, read_only=read_only)
    if known:
        _count(store)
    kind = _spoil(folder, how)
    with pytest.raises(kind):
        _count(store)


# ── life ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_closed_store_says_so(folder: Path) -> None:
    store = gauges(folder)
    store.append("gauge.set", AARE)
    store.close()
    store.close()
    for act in (
        lambda: store.append("gauge.set", AARE),
        store.reading().__enter__,
        store.fold,
        store.prepare_schema,
        store.immediate().__enter__,
    ):
        with pytest.raises(InvalidInput, match="closed"):
            act()


def test_a_sealed_file_whose_event_was_not_logged_tells_itself(store: EventStore) -> None:
    """The process died between the seal and its event."""
    prepared: list[Event] = []
    store.commit = prepared.extend  # type: ignore[method-assign]
    survey(store, GAUGES[0], "Reuss", [1.0, 2.0])
    del store.commit  # type: ignore[method-assign]
    assert _count(store) == 0, "nothing is behind: nobody looks"
    store.append("observer.set", {"code": "ann", "called": "A"})
    assert _count(store) == 1
    assert _count(store, "levels") == 2
    with store.reading() as backend:
        assert backend.fetch_all("SELECT _stamp FROM gauges") == [(prepared[0].stamp(),)]


def test_an_event_whose_file_is_missing_waits_for_it(store: EventStore, folder: Path) -> None:
    event = survey(store, GAUGES[0], "Reuss", [1.0])
    file = folder / "surveys" / f"{GAUGES[0]}.json"
    content = file.read_bytes()
    file.unlink()
    assert _count(store) == 0
    assert store.notice == Notice(waiting=1)
    with store.reading() as backend:
        assert backend.fetch_all("SELECT event_id, reason FROM _hmp_waiting") == [(event.id, f"{file.name} is missing")]
    file.write_bytes(content)
    store.fold()
    assert _count(store) == 1
    assert not store.notice


def test_whoever_comes_next_writes_nothing_where_all_is_folded(
    store: EventStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.append("gauge.set", AARE)
    assert _count(store) == 1
    store.close()
    next_one = gauges(folder)
    monkeypatch.setattr(EventStore, "_fold", None)
    assert _count(next_one) == 1
    assert not next_one.notice


@pytest.mark.parametrize("since", ["nothing", "can be told", "was appended", "was not logged"])
def test_whoever_comes_next_folds_what_there_is_to_fold(store: EventStore, folder: Path, since: str) -> None:
    """What waited can be told, an event is new, or a process died between a seal and its event."""
    told, at_hand = list[Event](), store.commit
    store.append("gauge.set", AARE)
    assert _count(store) == 1
    if since == "was not logged":
        store.commit = told.extend  # type: ignore[method-assign]
    if since != "nothing":
        survey(store, GAUGES[1], "Reuss", [1.0])
    if since == "can be told":
        file = folder / "surveys" / f"{GAUGES[1]}.json"
        aside = file.rename(folder / "aside.json")
        assert _count(store) == 1
        aside.rename(file)
    store.commit = at_hand  # type: ignore[method-assign]
    next_one = gauges(folder)
    assert _count(next_one) == 1 + (since != "nothing")
    assert not next_one.notice


def test_a_damaged_line_is_reported_by_every_answer(store: EventStore, folder: Path) -> None:
    line = bytearray(encode(store.prepare("gauge.set", AARE)))
    line[60] ^= 1
    (folder / ".hmp/gauges/pending").mkdir(parents=True)
    (folder / f".hmp/gauges/pending/{uuid7()}.log").write_bytes(bytes(line))
    for _ in range(2):
        assert _count(store) == 0
        assert store.notice == Notice(rejected=1)
        assert "1 unreadable" in str(store.notice)
