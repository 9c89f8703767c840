"""What a killed process leaves in the WAL, and all that can become of it: nothing acknowledged is ever missing."""

from __future__ import annotations

import logging
import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from hmp_core import wal
from hmp_core.backends import DuckDBBackend
from hmp_core.errors import CorruptError, HmpError, MigrationPending, WalCorrupt
from hmp_core.events import EventStore
from hmp_core.events.mending import mend
from hmp_core.events.rebuild import lost_files, rebuild
from hmp_core.testing import faults
from hmp_core.testing.children import run, start
from hmp_core.testing.door_suite import anybodys_folder, closed_to_writers, unprivileged
from hmp_core.testing.gauges import FOLD, dump, gauges

GAUGES = [str(UUID(int=n + 1)) for n in range(12)]

#: A process that folds several times within one lease and is killed before the checkpoint that ends it. The first of
#: its folds also packs, and removes, the segment of the process before it.
KILLED = """
    import os
    from hmp_core.backends import DuckDBBackend
    from hmp_core.events.apply import Folding, positions
    from hmp_core.testing.gauges import gauges
    store = gauges(folder)
    backend = DuckDBBackend(store.path)
    with backend.lease(write=True):
        for gauge in names:
            store.append("gauge.set", {"gauge": gauge, "river": "Aare"})
            store.append("level.set", {"gauge": gauge, "day": 1, "level": 1.5})
            harvest = store.files.harvest(positions(backend))
            Folding(backend, store.fold_spec, folder, {}).apply(harvest)
            harvest.discard()
        os.kill(os.getpid(), 9)
"""

#: A process that appends, folds, and leaves its segment behind.
LEFT = """
    import os
    from hmp_core.testing.gauges import dump, gauges
    store = gauges(folder)
    for gauge in names:
        store.append("gauge.set", {"gauge": gauge, "river": "Reuss"})
    dump(store)
    os._exit(0)
"""


def _killed(home: Path, names: list[str], code: str = KILLED) -> None:
    with start(code, folder=home, names=names) as child:
        child.join()


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a killed process left it: what it committed last is in the WAL alone, and in the log."""
    home = tmp_path_factory.mktemp("killed") / "aare"
    store = gauges(home)
    store.prepare_schema()
    store.append("gauge.set", {"gauge": GAUGES[0], "river": "Linth"})
    dump(store)
    store.close()
    _killed(home, GAUGES[1:3], LEFT)
    _killed(home, GAUGES[3:8])
    assert _wal(home).stat().st_size > 2000
    return home


@pytest.fixture(scope="module")
def whole(left: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the database answers if nothing is spoilt."""
    home = tmp_path_factory.mktemp("whole") / "aare"
    shutil.copytree(left, home)
    found = dump(gauges(home))
    assert [len(found["gauges"]), len(found["levels"])] == [8, 5]
    return found


@pytest.fixture
def home(left: Path, tmp_path: Path) -> Path:
    """A copy of the folder, to spoil."""
    return shutil.copytree(left, tmp_path / "aare")


def _wal(home: Path) -> Path:
    return home / "gauges.duckdb.wal"


def _spoil(home: Path) -> bytes:
    """Turn one bit of a word in the WAL, which the checksum around it tells, and return what it is then."""
    data = bytearray(_wal(home).read_bytes())
    data[data.index(b"Aare")] ^= 4
    _wal(home).write_bytes(data)
    return bytes(data)


def _aside(home: Path) -> list[Path]:
    return sorted(home.glob("gauges.duckdb.wal.corrupt-*"))


def _other(tmp_path: Path) -> bytes:
    """Return the WAL of another database of the same schema."""
    other = tmp_path / "other"
    gauges(other).prepare_schema()
    _killed(other, GAUGES[9:])
    return _wal(other).read_bytes()


# ── every kind of damage ─────────────────────────────────────────────────────────────────────────────

#: Opens each of many folders, and says what it answers and what lies there then.
_OPEN = """
    import os
    from hmp_core.errors import HmpError
    from hmp_core.testing.gauges import dump, gauges
    for folder in folders:
        store = gauges(folder, read_only=read_only)
        try:
            say((dump(store), store.notice))
        except HmpError as error:
            say((error, None))
        store.close()
"""


def _answers(folders: list[Path], *, read_only: bool = False, env: dict[str, str] | None = None) -> list[Any]:
    return run(_OPEN, folders=folders, read_only=read_only, env=env or {}, timeout=1500)


def _damages(data: bytes, other: bytes, *, count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    chance = random.Random(seed)
    for cut in sorted({0, 1, 17, len(data) - 1, *range(0, len(data), max(1, len(data) // count))}):
        yield f"cut at {cut}", data[:cut]
    places = [*range(0, 160, max(1, 200 // count)), *(chance.randrange(len(data)) for _ in range(count))]
    for place in places:
        bit = 1 << chance.randrange(8)
        yield f"bit {bit} of byte {place}", data[:place] + bytes([data[place] ^ bit]) + data[place + 1 :]
    for n in range(max(2, count // 8)):
        start, length = chance.randrange(len(data)), chance.randrange(1, 600)
        yield f"{length} bytes of noise at {start}", data[:start] + chance.randbytes(length) + data[start + length :]
        yield f"noise {n}", chance.randbytes(chance.randrange(1, 5000))
    yield "zeros", bytes(len(data))
    yield "zeros behind it", data + bytes(4096)
    yield "noise behind it", data + chance.randbytes(500)
    yield "of another database", other
    yield "of another database behind it", data + other


def _tried(left: Path, whole: dict[str, Any], tmp_path: Path, count: int, seed: int) -> None:
    cases = list(_damages(_wal(left).read_bytes(), _other(tmp_path), count=count, seed=seed))
    folders = []
    for n, (_, data) in enumerate(cases):
        folders.append(shutil.copytree(left, tmp_path / str(n)))
        _wal(folders[-1]).write_bytes(data)
    mended = 0
    for (how, data), folder, (found, notice) in zip(cases, folders, _answers(folders), strict=True):
        assert found == whole, how
        assert not notice, how
        kept = [path.read_bytes() for path in _aside(folder)]
        assert kept in ([], [data]), how
        assert bool(kept) == bool(notice.remark), how
        mended += bool(kept)
    assert mended > len(cases) // 4


def test_whatever_becomes_of_the_wal_nothing_acknowledged_is_missing(
    left: Path, whole: dict[str, Any], tmp_path: Path
) -> None:
    """The engine plays the part of a WAL that it can read and says nothing of the rest; the log knows it."""
    _tried(left, whole, tmp_path, count=4, seed=1)


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(4))
def test_so_it_is_at_any_byte(left: Path, whole: dict[str, Any], tmp_path: Path, seed: int) -> None:
    _tried(left, whole, tmp_path, count=150, seed=seed)


@pytest.mark.parametrize("options", [{"read_only": True}, {"env": {"HMP_FOLD": "never"}}], ids=["read-only", "never"])
def test_who_may_not_fold_is_told_what_is_missing(
    left: Path, whole: dict[str, Any], tmp_path: Path, options: dict[str, Any]
) -> None:
    """Fewer rows, and their number; or why there are none: never fewer rows in silence, and no file is changed."""
    cases = list(_damages(_wal(left).read_bytes(), _other(tmp_path), count=4, seed=2))
    folders = []
    for n, (_, data) in enumerate(cases):
        folders.append(shutil.copytree(left, tmp_path / str(n)))
        _wal(folders[-1]).write_bytes(data)
    before = (left / "gauges.duckdb").read_bytes()
    kinds = set()
    for (how, data), folder, (found, notice) in zip(cases, folders, _answers(folders, **options), strict=True):
        if isinstance(found, HmpError):
            assert isinstance(found, WalCorrupt), how
            assert str(found.wal) in str(found)
            kinds.add("refused")
        else:
            lack = sum(len(whole[table]) - len(found[table]) for table in whole)
            # what had been read from a segment that lies in a pack by now counts again
            assert lack <= notice.unfolded, how
            assert bool(lack) == bool(notice.unfolded), how
            kinds.add("complete" if found == whole else "told")
        assert _wal(folder).read_bytes() == data, how
        assert (folder / "gauges.duckdb").read_bytes() == before, how
    assert kinds == {"refused", "told", "complete"}


# ── one that cannot be replayed ──────────────────────────────────────────────────────────────────────


def test_it_is_kept_and_the_user_is_told(home: Path, whole: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    data = _spoil(home)
    store = gauges(home)
    with caplog.at_level(logging.WARNING):
        assert dump(store) == whole
    (kept,) = _aside(home)
    assert kept.read_bytes() == data
    assert not _wal(home).exists()
    for text in (caplog.text, store.notice.remark, str(store.notice)):
        assert str(_wal(home)) in text
        assert kept.name in text
    assert not store.notice, "nothing is missing from the answer"
    assert dump(gauges(home)) == whole
    assert gauges(home).notice.remark == "", "it is told once"


def test_the_database_is_made_anew_and_the_former_one_kept(home: Path, whole: dict[str, Any]) -> None:
    before = (home / "gauges.duckdb").read_bytes()
    _spoil(home)
    assert dump(gauges(home)) == whole
    assert [path.read_bytes() for path in (home / ".hmp/gauges/replaced").iterdir()] == [before]


def _at_once(store: EventStore) -> None:
    with store.immediate():
        pass


@pytest.mark.parametrize(
    "verb",
    [
        lambda store: store.fold(),
        lambda store: store.prepare_schema(),
        _at_once,
        lambda store: rebuild(store.path, FOLD),
    ],
    ids=["fold", "prepare_schema", "immediate", "rebuild"],
)
def test_whichever_verb_meets_it_first(home: Path, whole: dict[str, Any], verb: Any) -> None:
    data = _spoil(home)
    verb(gauges(home))
    assert [path.read_bytes() for path in _aside(home)] == [data]
    assert dump(gauges(home)) == whole


def test_an_append_does_not_wait_for_it(home: Path, whole: dict[str, Any]) -> None:
    _spoil(home)
    store = gauges(home)
    store.append("gauge.set", {"gauge": GAUGES[11], "river": "Emme"})
    store.close()
    assert len(dump(gauges(home))["gauges"]) == len(whole["gauges"]) + 1


def test_a_writer_that_is_open_all_the_while(left: Path, tmp_path: Path) -> None:
    """It has read the state that is gone, and appends before and after."""
    home = shutil.copytree(left, tmp_path / "aare")
    store = gauges(home)
    store.append("gauge.set", {"gauge": GAUGES[10], "river": "Emme"})
    known = {row[0] for row in dump(store)["gauges"]}
    for gauge, share in ((GAUGES[8], 0.5), (GAUGES[9], 0.0)):
        _killed(home, [gauge])
        os.truncate(_wal(home), int(_wal(home).stat().st_size * share))
        store.append("gauge.named", {"gauge": GAUGES[10], "name": f"after {gauge}"})
        known.add(UUID(gauge))
        assert {row[0] for row in dump(store)["gauges"]} == known
        assert not store.notice
    store.close()


def test_two_processes_meet_it_and_one_mends(home: Path, whole: dict[str, Any]) -> None:
    data = _spoil(home)
    code = """
        from hmp_core.testing.gauges import dump, gauges
        store = gauges(folder)
        say(); listen()
        say((dump(store), bool(store.notice.remark)))
    """
    children = [start(code, folder=home) for _ in range(4)]
    for child in children:
        child.hear()
    for child in children:
        child.tell()
    said = [child.hear() for child in children]
    for child in children:
        with child:
            child.join()
    assert [found for found, _ in said] == [whole] * 4
    assert sum(told for _, told in said) == 1
    assert [path.read_bytes() for path in _aside(home)] == [data]
    assert mend(home / "gauges.duckdb", FOLD, timeout=1.0) == ""


def test_where_it_cannot_be_moved_the_remedy_is_told(left: Path) -> None:
    with anybodys_folder() as folder:
        home = shutil.copytree(left, folder / "aare")
        data = _spoil(home)
        closed_to_writers(home)
        with unprivileged(), pytest.raises(WalCorrupt, match="rebuild") as refused:
            dump(gauges(home))
        assert refused.value.exit_code == 22
        assert _wal(home).read_bytes() == data


def test_a_database_that_is_damaged_too_is_left(home: Path) -> None:
    """Of the two the database counts: its WAL is put aside, and the verb is named that makes it anew."""
    _spoil(home)
    database = home / "gauges.duckdb"
    damaged = bytearray(database.read_bytes())
    data = _break(damaged)
    database.write_bytes(data)
    with pytest.raises(CorruptError, match="rebuild"):
        dump(gauges(home))
    assert database.read_bytes() == data


def _break(data: bytearray) -> bytes:
    """Spoil the block with the list of the tables, which each of the headers knows."""
    for place in range(12288, len(data), 4096):
        data[place + 100] ^= 0xFF
    return bytes(data)


def test_where_the_log_has_lost_something_the_database_stays(home: Path, whole: dict[str, Any]) -> None:
    """It may be the last that knows what a lost pack said: it is not replaced unasked."""
    packs = sorted((home / "events").glob("*.log"))
    for pack in packs:
        pack.unlink()
    _spoil(home)
    store = gauges(home)
    found = dump(store)
    assert packs[0].name in store.notice.remark
    assert not (home / ".hmp/gauges/replaced").exists()
    # what was checkpointed is there, and what the segments say
    assert {row[1] for row in found["gauges"]} >= {"Linth", "Reuss"}


def test_an_older_database_is_not_brought_up_to_date_by_the_way(
    home: Path, whole: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    code = """
        import os
        from hmp_core.backends import DuckDBBackend
        backend = DuckDBBackend(path)
        with backend.lease(write=True):
            backend.execute("INSERT INTO observers VALUES ('x', 'Aare', '1')")
            os.kill(os.getpid(), 9)
    """
    with (backend := DuckDBBackend(home / "gauges.duckdb")).lease(write=True):
        backend.execute("DELETE FROM schema_migrations WHERE component = 'gauges'")
        backend.execute("CHECKPOINT")  # 2.0 leaves it in the WAL that it has just played
    with start(code, path=home / "gauges.duckdb") as child:
        child.join()
    data = _spoil(home)
    monkeypatch.setenv("HMP_AUTO_MIGRATE", "0")
    with pytest.raises(MigrationPending):
        dump(gauges(home))
    assert [path.read_bytes() for path in _aside(home)] == [data]
    assert not (home / ".hmp/gauges/replaced").exists()


def test_what_a_lost_commit_packed_is_not_called_lost(home: Path) -> None:
    """The database at its last checkpoint had read a segment that was packed and removed later."""
    os.truncate(_wal(home), 0)
    assert lost_files(home / "gauges.duckdb") == []
    assert not rebuild(home / "gauges.duckdb", FOLD)


def test_it_survives_any_number_of_rebuilds(home: Path, whole: dict[str, Any]) -> None:
    data = _spoil(home)
    remarks = [rebuild(home / "gauges.duckdb", FOLD).remark for _ in range(7)]
    assert _aside(home)[0].name in remarks[0]
    assert set(remarks[1:]) == {""}
    assert [path.read_bytes() for path in _aside(home)] == [data]
    assert dump(gauges(home)) == whole


def test_what_belongs_to_a_wal_goes_with_it(home: Path) -> None:
    for ending in (".checkpoint", ".recovery"):
        _wal(home).with_name(f"{_wal(home).name}{ending}").write_bytes(b"of a checkpoint")
    assert len(wal.files(home / "gauges.duckdb")) == 3
    kept = wal.set_aside(home / "gauges.duckdb")
    assert wal.files(home / "gauges.duckdb") == []
    assert [path.read_bytes() for path in kept][1:] == [b"of a checkpoint"] * 2


_MENDING = """
    from hmp_core.testing.gauges import dump, gauges
    dump(gauges(folder))
"""


def _mending_is_killed(left: Path, whole: dict[str, Any], tmp_path: Path, count: int, seed: int) -> None:
    first = shutil.copytree(left, tmp_path / "first")
    data = _spoil(first)
    taken = faults.steps(_MENDING, folder=first)
    for at in faults.spread(taken, count, seed=seed):
        home = shutil.copytree(left, tmp_path / str(at))
        _spoil(home)
        with start(_MENDING, folder=home, die_at=at) as child:
            child.join()
        assert dump(gauges(home)) == whole, taken[at - 1]
        assert data in [path.read_bytes() for path in _aside(home)], taken[at - 1]
        shutil.rmtree(home)


def test_who_mends_may_be_killed(left: Path, whole: dict[str, Any], tmp_path: Path) -> None:
    _mending_is_killed(left, whole, tmp_path, count=4, seed=3)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_who_mends_may_be_killed_anywhere(left: Path, whole: dict[str, Any], tmp_path: Path) -> None:
    _mending_is_killed(left, whole, tmp_path, count=150, seed=4)
