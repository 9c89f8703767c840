"""Rebuilding: the same fold from zero, whatever is left of the former database, which is kept."""

from __future__ import annotations

import logging
from pathlib import Path
from uuid import UUID

import pytest

from hmp_core.backends import DuckDBBackend
from hmp_core.errors import BusyError, FoldDisabled, InvalidInput, PathNotFound
from hmp_core.events import EventStore
from hmp_core.events.rebuild import rebuild
from hmp_core.events.store import Notice
from hmp_core.testing.children import start
from hmp_core.testing.gauges import FOLD, dump, gauges, survey

GAUGES = [str(UUID(int=n + 1)) for n in range(6)]


@pytest.fixture
def lived_in(store: EventStore) -> EventStore:
    """A database that was folded several times and knows every kind of event."""
    for n, gauge in enumerate(GAUGES[:4]):
        store.append("gauge.set", {"gauge": gauge, "river": "Aare", "elevation": 300.5 + n})
        store.append("gauge.named", {"gauge": gauge, "name": f"gauge {n}"})
        store.commit([store.prepare("level.set", {"gauge": gauge, "day": d, "level": d / 7}) for d in range(5)])
        dump(store)
    survey(store, GAUGES[4], "Reuss", [1.0, 2.0])
    store.append("gauge.hidden", {"gauge": GAUGES[0], "on": True})
    store.append("level.set", {"gauge": GAUGES[0], "day": 1, "level": None})
    store.append("gauge.purged", {"gauge": GAUGES[3]})
    for code, called in (("ann", "Anna"), ("bob", "Bob"), ("bob", None)):
        store.append("observer.set", {"code": code, "called": called})
    store.append("visit.made", {"code": "bob", "gauge": GAUGES[0]})
    store.append("visit.made", {"code": "nobody", "gauge": GAUGES[0]})
    return store


def _kept(store: EventStore) -> list[Path]:
    return sorted((store.path.parent / ".hmp/gauges/replaced").glob("*"))


def test_the_rebuilt_one_equals_the_lost_one(lived_in: EventStore) -> None:
    before = dump(lived_in)
    assert {name: len(rows) for name, rows in before.items()} == {
        "gauges": 4,
        "levels": 16,
        "observers": 1,
        "visits": 1,
        "namings": 4,
    }
    lived_in.path.unlink()
    assert rebuild(lived_in.path, FOLD) == Notice(waiting=1)
    assert dump(lived_in) == before
    assert lived_in.notice == Notice(waiting=1)


@pytest.mark.parametrize("packed", [False, True])
def test_also_after_packing(lived_in: EventStore, packed: bool) -> None:
    before = dump(lived_in)
    home = lived_in.path.parent
    if packed:
        lived_in.close()
        assert lived_in.files.segments() == []
    assert bool(lived_in.files.packed()) == packed
    rebuild(lived_in.path, FOLD)
    assert dump(gauges(home)) == before


def test_files_alone_tell_what_they_hold(lived_in: EventStore) -> None:
    """The log is lost: what was sealed comes back, and with the very stamps it had."""
    before = dump(lived_in)
    lived_in.close()
    for pack in lived_in.files.packed():
        pack.unlink()
    lived_in.path.unlink()
    rebuild(lived_in.path, FOLD)
    again = dump(gauges(lived_in.path.parent))
    assert again["gauges"] == [row for row in before["gauges"] if row[1] == "Reuss"]
    assert again["levels"] == [row for row in before["levels"] if row[0] == UUID(GAUGES[4])]


def test_what_the_former_database_had_read_and_is_gone_is_said(lived_in: EventStore) -> None:
    dump(lived_in)
    lived_in.close()
    dump(gauges(lived_in.path.parent))
    (pack,) = lived_in.files.packed()
    pack.unlink()
    notice = rebuild(lived_in.path, FOLD)
    assert notice.lost == 1
    assert pack.name in notice.reason


@pytest.mark.parametrize("content", [b"", b"not a database", b"x" * 100_000, None])
def test_whatever_was_there_is_set_aside_and_not_destroyed(lived_in: EventStore, content: bytes | None) -> None:
    before = dump(lived_in)
    if content is not None:
        lived_in.path.write_bytes(content)
    kept = lived_in.path.read_bytes()
    rebuild(lived_in.path, FOLD)
    assert dump(lived_in) == before
    assert [path.read_bytes() for path in _kept(lived_in)] == [kept]


def test_the_newest_five_are_kept(lived_in: EventStore) -> None:
    for _ in range(7):
        rebuild(lived_in.path, FOLD)
    assert len(_kept(lived_in)) == 5


def test_a_wal_goes_with_its_database(lived_in: EventStore) -> None:
    before = dump(lived_in)
    wal = lived_in.path.with_name(f"{lived_in.path.name}.wal")
    wal.write_bytes(b"of the former one")
    lived_in.path.write_bytes(b"damaged")
    rebuild(lived_in.path, FOLD)
    assert not wal.exists()
    assert b"of the former one" in [path.read_bytes() for path in _kept(lived_in)]
    assert dump(lived_in) == before


def test_a_folder_in_the_place_of_the_database(lived_in: EventStore) -> None:
    before = dump(lived_in)
    lived_in.path.unlink()
    lived_in.path.mkdir()
    rebuild(lived_in.path, FOLD)
    assert dump(lived_in) == before


def test_nothing_is_left_beside_it(lived_in: EventStore) -> None:
    rebuild(lived_in.path, FOLD)
    names = {path.name for path in lived_in.path.parent.iterdir()}
    database = lived_in.path.name
    assert names == {database, f"{database}.lock", f"{database}.lock.json", ".hmp", "events", "surveys"} - {"events"}


def test_an_empty_folder_gives_an_empty_database(tmp_path: Path) -> None:
    assert rebuild(tmp_path / "gauges.duckdb", FOLD) == Notice()
    assert dump(gauges(tmp_path)) == {"gauges": [], "levels": [], "observers": [], "visits": [], "namings": []}


def test_a_damaged_line_is_said_and_kept(lived_in: EventStore, caplog: pytest.LogCaptureFixture) -> None:
    lived_in.close()
    (pack,) = lived_in.files.packed()
    data = bytearray(pack.read_bytes())
    data[100] ^= 1
    pack.write_bytes(bytes(data))
    with caplog.at_level(logging.ERROR):
        assert rebuild(lived_in.path, FOLD).rejected == 1
    assert rebuild(lived_in.path, FOLD).rejected == 1, "it stays where it is, and stays said"
    assert pack.read_bytes() == bytes(data)


def test_one_does_not_rebuild_what_one_is_reading(lived_in: EventStore) -> None:
    with lived_in.reading() as backend:
        before = backend.fetch_all("SELECT count(*) FROM gauges")
        with pytest.raises(InvalidInput, match="leave the block"):
            rebuild(lived_in.path, FOLD)
        assert backend.fetch_all("SELECT count(*) FROM gauges") == before


def test_one_does_not_rebuild_where_one_may_not_fold(lived_in: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HMP_FOLD", "never")
    with pytest.raises(FoldDisabled):
        rebuild(lived_in.path, FOLD)


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(PathNotFound):
        rebuild(tmp_path / "nowhere" / "gauges.duckdb", FOLD)
    assert list(tmp_path.iterdir()) == []


def test_a_lock_held_elsewhere(lived_in: EventStore) -> None:
    code = """
        from hmp_core.locks import database_lock
        with database_lock(path).hold(): say(); listen()
    """
    with start(code, path=lived_in.path) as holder:
        holder.hear()
        with pytest.raises(BusyError, match=str(holder.pid)):
            rebuild(lived_in.path, FOLD, timeout=0.1)


def test_others_read_before_and_after_but_never_half(lived_in: EventStore) -> None:
    """A reader elsewhere polls all the while: every answer is complete."""
    count = len(dump(lived_in)["levels"])
    code = """
        from hmp_core.testing.gauges import gauges
        store = gauges(folder)
        say()
        answers = set()
        for n in range(40):
            with store.reading() as backend:
                answers.add(backend.fetch_all("SELECT count(*) FROM levels")[0][0])
        say(answers)
    """
    with start(code, folder=lived_in.path.parent) as reader:
        reader.hear()
        for _ in range(4):
            rebuild(lived_in.path, FOLD)
        assert reader.hear() == {count}


def test_the_bookkeeping_is_that_of_the_files(lived_in: EventStore) -> None:
    """What was rebuilt goes on as if it had been folded: nothing is read or packed twice."""
    rebuild(lived_in.path, FOLD)
    with lived_in.reading():
        pass
    rows = DuckDBBackend(lived_in.path).fetch_all("SELECT name, position FROM _hmp_segments")
    sizes = {path.name: path.stat().st_size for path in (*lived_in.files.segments(), *lived_in.files.packed())}
    assert dict(rows) == sizes
