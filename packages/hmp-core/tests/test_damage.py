"""Files that were cut, overwritten or lost a bit, at many places: the right rows, or an error of ours that says so.

Every database is opened in a process of its own, so that a crash of the engine is seen as one.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from hmp_core.backends.meanings import remedy
from hmp_core.errors import BusyError, CorruptError
from hmp_core.events.rebuild import rebuild
from hmp_core.events.store import Notice
from hmp_core.locks import database_lock
from hmp_core.testing.children import run, start
from hmp_core.testing.damage import spoilt
from hmp_core.testing.gauges import FOLD, dump, gauges, survey

GAUGES = [str(UUID(int=n + 1)) for n in range(8)]
Rows = dict[str, list[tuple[Any, ...]]]
#: How a file is spoilt: what was done, and what it holds then.
Case = tuple[str, bytes]


@pytest.fixture(scope="module")
def lived_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that was folded and packed several times, and knows every kind of event."""
    home = tmp_path_factory.mktemp("lived") / "aare"
    gauges(home).prepare_schema()
    for part in (GAUGES[:3], GAUGES[3:6]):
        store = gauges(home)
        for gauge in part:
            store.append("gauge.set", {"gauge": gauge, "river": "Aare", "elevation": 300.5})
            store.append("gauge.named", {"gauge": gauge, "name": f"gauge {gauge[-2:]}"})
            store.commit([store.prepare("level.set", {"gauge": gauge, "day": d, "level": d / 7}) for d in range(12)])
        store.append("observer.set", {"code": part[0][-2:], "called": "Anna"})
        store.append("visit.made", {"code": part[0][-2:], "gauge": part[0]})
        dump(store)
        store.close()
    store = gauges(home)
    survey(store, GAUGES[6], "Reuss", [1.0, 2.0])
    store.append("level.set", {"gauge": GAUGES[0], "day": 1, "level": None})
    dump(store)
    store.close()
    return home


@pytest.fixture(scope="module")
def right(lived_in: Path) -> Rows:
    """What it answers."""
    return dump(gauges(lived_in))


@pytest.fixture
def home(lived_in: Path, tmp_path: Path) -> Path:
    """A copy, to spoil."""
    return shutil.copytree(lived_in, tmp_path / "aare")


# ── the database ─────────────────────────────────────────────────────────────────────────────────────

#: Says what is answered of a database in which one file is replaced again and again, and whether that was changed.
_ASK = """
    from hmp_core.errors import HmpError
    from hmp_core.testing.gauges import dump, gauges
    database = folder / "gauges.duckdb"
    for how, data in cases:
        (folder / "gauges.duckdb.wal").unlink(missing_ok=True)
        database.write_bytes(data)
        say(how)
        store = gauges(folder, read_only=not write)
        try:
            if write:
                store.append("observer.set", {"code": "new", "called": how})
            found = dump(store)
            found["observers"] = [row for row in found["observers"] if row[0] != "new"]
            say("right" if found == right and not store.notice else (store.notice, found))
        except HmpError as error:
            say(error)
        say(database.read_bytes() == data)
"""


#: Where the blocks of a file of DuckDB begin, and their size in ours.
_HEADERS, _BLOCK = 12288, 16384

#: Databases that are handed to one child.
_AT_ONCE = 30


def _asked(home: Path, right: Rows, cases: list[Case], *, write: bool) -> Iterator[tuple[str, Any, bool]]:
    """Ask about every case; a child that crashes ends the test and says at which."""
    for first in range(0, len(cases), _AT_ONCE):
        some = cases[first : first + _AT_ONCE]
        with start(_ASK, folder=home, right=right, cases=some, write=write) as child:
            for how, _ in some:
                assert child.hear(60) == how
                yield how, child.hear(60), child.hear(60)
            assert child.join() == 0


def _judge_reading(home: Path, right: Rows, cases: list[Case]) -> Counter[str]:
    seen: Counter[str] = Counter()
    for how, answer, unchanged in _asked(home, right, cases, write=False):
        assert unchanged, how
        seen["right" if answer == "right" else "refused"] += 1
        if answer != "right":
            assert isinstance(answer, CorruptError), (how, answer)
            assert "gauges.duckdb" in str(answer)
            assert "rebuild" in str(answer)
    return seen


def test_a_spoilt_database_is_right_or_refused(home: Path, right: Rows) -> None:
    """And left as it is, to the byte."""
    data = (home / "gauges.duckdb").read_bytes()
    seen = _judge_reading(home, right, list(spoilt(data, count=25, seed=1)))
    assert min(seen["right"], seen["refused"]) > 10


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(3))
def test_a_database_spoilt_anywhere_is_right_or_refused(home: Path, right: Rows, seed: int) -> None:
    data = (home / "gauges.duckdb").read_bytes()
    _judge_reading(home, right, list(spoilt(data, count=700, seed=seed)))


def _judge_writing(home: Path, right: Rows, cases: list[Case]) -> Counter[str]:
    seen: Counter[str] = Counter()
    for how, answer, _ in _asked(home, right, cases, write=True):
        assert answer == "right" or isinstance(answer, CorruptError), (how, answer)
        seen["right" if answer == "right" else "refused"] += 1
    return seen


def test_writing_to_a_spoilt_database_loses_nothing(home: Path, right: Rows) -> None:
    """The event is in the log whatever becomes of the fold, and a rebuild has all of it."""
    data = (home / "gauges.duckdb").read_bytes()
    seen = _judge_writing(home, right, list(spoilt(data, count=8, seed=2)))
    assert seen["right"]
    assert seen["refused"] > 10
    assert not rebuild(home / "gauges.duckdb", FOLD)
    assert dump(gauges(home)) == right | {"observers": dump(gauges(home))["observers"]}
    assert [row[0] for row in dump(gauges(home))["observers"]] == [*(row[0] for row in right["observers"]), "new"]


def test_damage_that_is_met_while_writing_is_called_by_its_name(home: Path, right: Rows) -> None:
    """A block that the fold needs, and whose damage ends the engine: what is told is the damage, not the end."""
    data = (home / "gauges.duckdb").read_bytes()
    cases = []
    for block in range(_HEADERS, len(data), _BLOCK):
        place = next((n for n in range(block + 100, block + _BLOCK) if data[n]), None)
        if place is not None:
            cases.append((f"block at {block}", data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]))
    assert _judge_writing(home, right, cases)["refused"] > 5


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_writing_to_a_database_spoilt_anywhere_loses_nothing(home: Path, right: Rows) -> None:
    data = (home / "gauges.duckdb").read_bytes()
    _judge_writing(home, right, list(spoilt(data, count=200, seed=3)))
    assert not rebuild(home / "gauges.duckdb", FOLD)


def test_whatever_is_left_of_it_is_rebuilt(home: Path, right: Rows) -> None:
    """In a process that survives it: rebuilding asks the spoilt one what of the log it had read."""
    data = (home / "gauges.duckdb").read_bytes()
    code = """
        from hmp_core.events.rebuild import rebuild
        from hmp_core.testing.gauges import FOLD, dump, gauges
        for how, data in cases:
            (folder / "gauges.duckdb").write_bytes(data)
            say((rebuild(folder / "gauges.duckdb", FOLD), dump(gauges(folder)) == right))
    """
    cases = list(spoilt(data, count=2, seed=4))
    assert run(code, folder=home, right=right, cases=cases) == [(Notice(), True)] * len(cases)


@pytest.mark.parametrize(
    ("name", "verb"),
    [
        ("catalog.duckdb", "`hmp catalog rebuild --project '/a place/fulda'`"),
        ("cache.duckdb", "`hmp data rebuild --workspace '/a place'`"),
        ("index.duckdb", "`hmp index rebuild`"),
        ("other.duckdb", "the `rebuild` verb of its scope"),
    ],
)
def test_the_remedy_is_the_very_command(name: str, verb: str) -> None:
    assert verb in remedy(f"/a place/fulda/{name}")


# ── the log ──────────────────────────────────────────────────────────────────────────────────────────

#: Rebuilds each of many folders from its files, and says what was told and what it holds then.
_REBUILD = """
    from hmp_core.errors import HmpError
    from hmp_core.events.rebuild import rebuild
    from hmp_core.testing.gauges import FOLD, dump, gauges
    for folder in folders:
        try:
            notice = rebuild(folder / "gauges.duckdb", FOLD)
            say((notice, dump(gauges(folder))))
        except HmpError as error:
            say((error, None))
"""

#: Folds what a writer left behind.
_FOLD = """
    from hmp_core.errors import HmpError
    from hmp_core.testing.gauges import dump, gauges
    for folder in folders:
        store = gauges(folder)
        try:
            found = dump(store)
            say((store.notice, found))
        except HmpError as error:
            say((error, None))
"""


def _copies(home: Path, file: Callable[[Path], Path], cases: list[Case]) -> list[Path]:
    folders = [shutil.copytree(home, home.with_name(f"{home.name} {n}")) for n in range(len(cases))]
    for folder, (_, data) in zip(folders, cases, strict=True):
        file(folder).write_bytes(data)
    return folders


def _said(found: Rows) -> set[tuple[Any, ...]]:
    """Return the keys of the rows: what was set later may be what was lost."""
    return {(table, *row[:2]) for table, rows in found.items() for row in rows}


def _pack(folder: Path) -> Path:
    (pack,) = (folder / "events").glob("*.log")
    return pack


def _judge_packs(home: Path, right: Rows, cases: list[Case]) -> None:
    """Whatever is missing after a rebuild is told; nothing is there that was never said."""
    deleted = {("levels", UUID(GAUGES[0]), datetime(2020, 1, 2))}  # its deletion may be what was lost
    folders = _copies(home, _pack, cases)
    for (how, _), (notice, found) in zip(cases, run(_REBUILD, folders=folders, timeout=1500), strict=True):
        assert found is not None, (how, notice)
        assert _said(found) - _said(right) <= deleted, how
        if found != right:
            assert notice.rejected or notice.lost or notice.waiting, (how, notice)
        if notice.lost:
            assert "kept in" in notice.reason


def test_a_spoilt_pack_is_told_by_a_rebuild(home: Path, right: Rows) -> None:
    _judge_packs(home, right, list(spoilt(_pack(home).read_bytes(), count=3, seed=5)))


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_a_pack_spoilt_anywhere_is_told_by_a_rebuild(home: Path, right: Rows) -> None:
    _judge_packs(home, right, list(spoilt(_pack(home).read_bytes(), count=100, seed=6)))


def test_a_spoilt_pack_takes_nothing_from_the_database(home: Path, right: Rows) -> None:
    """What was folded stays, however the log is spoilt later."""
    cases = list(spoilt(_pack(home).read_bytes(), count=2, seed=7))
    folders = _copies(home, _pack, cases)
    for (how, _), (notice, found) in zip(cases, run(_FOLD, folders=folders), strict=True):
        assert found == right, (how, notice)


_LEAVE = """
    import os
    from hmp_core.testing.gauges import gauges
    store = gauges(folder)
    for gauge in names:
        store.append("gauge.set", {"gauge": gauge, "river": "Sihl"})
    os._exit(0)
"""


def _segment(folder: Path) -> Path:
    (segment,) = (folder / ".hmp/gauges/pending").glob("*.log")
    return segment


def _judge_segments(home: Path, right: Rows, *, count: int, seed: int) -> None:
    """Lines that cannot be read are counted and kept; what was cut off the end is what nobody can know of."""
    with start(_LEAVE, folder=home, names=[str(UUID(int=100 + n)) for n in range(9)]) as child:
        child.join()
    data = _segment(home).read_bytes()
    ends = [n + 1 for n, byte in enumerate(data) if byte == 0x0A]
    cases = list(spoilt(data, count=count, seed=seed))
    folders = _copies(home, _segment, cases)
    for (how, kept), folder, (notice, found) in zip(
        cases, folders, run(_FOLD, folders=folders, timeout=1500), strict=True
    ):
        assert found is not None, (how, notice)
        new = [row for row in found["gauges"] if row[1] == "Sihl"]
        assert len(found["gauges"]) - len(new) == len(right["gauges"]), how
        assert {name: found[name] for name in right if name != "gauges"} == {
            n: right[n] for n in right if n != "gauges"
        }
        if how.startswith("cut"):
            assert len(new) == sum(end <= len(kept) for end in ends), how
            assert not notice, how
        elif how != "empty":
            assert len(new) < 9, how
            pieces = [path.read_bytes() for path in (folder / ".hmp/gauges/rejected").glob("*.raw")]
            assert notice.rejected == len(pieces) > 0, how
            assert all(piece in kept for piece in pieces), how


def test_a_spoilt_segment_is_told(home: Path, right: Rows) -> None:
    _judge_segments(home, right, count=4, seed=8)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_a_segment_spoilt_anywhere_is_told(home: Path, right: Rows) -> None:
    _judge_segments(home, right, count=120, seed=9)


# ── notes of locks ───────────────────────────────────────────────────────────────────────────────────


def test_a_spoilt_note_of_a_lock_is_worth_nothing(home: Path, right: Rows) -> None:
    """It is advisory: whoever waits is told what can be told, and the lock is the lock."""
    database, note = home / "gauges.duckdb", home / "gauges.duckdb.lock.json"
    code = """
        from hmp_core.locks import database_lock
        with database_lock(path).hold(): say(); listen()
    """
    with start(code, path=database) as holder:
        holder.hear()
        for how, data in spoilt(note.read_bytes(), count=12, seed=10):
            note.write_bytes(data)
            with pytest.raises(BusyError), database_lock(database).hold(0.0):
                raise AssertionError(how)
    assert dump(gauges(home)) == right
