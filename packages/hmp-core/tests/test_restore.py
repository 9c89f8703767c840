"""Restoring: a backup, brought up to date, with all that was acknowledged since, in the place of whatever is there."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from hmp_core.backends import DuckDBBackend
from hmp_core.backups import list_backups, take_backup
from hmp_core.errors import (
    AccessDenied,
    BusyError,
    CorruptError,
    FoldDisabled,
    HmpError,
    InvalidInput,
    PathNotFound,
    SchemaIntegrityError,
    SchemaTooNewError,
    StorageError,
)
from hmp_core.events import EventStore
from hmp_core.events.store import Notice, components
from hmp_core.migrations import apply_migrations
from hmp_core.testing.children import run, start
from hmp_core.testing.door_suite import Nobody
from hmp_core.testing.gauges import FOLD, dump, gauges, survey
from hmp_core.upkeep import restore
from hmp_core.upkeep.restore import Restored

SCHEMA = components(FOLD)


def _gauge(n: int) -> str:
    return str(UUID(int=n))


def _restore(store: EventStore, backup: Path | None = None, **more: Any) -> Restored:
    return restore(store.path, SCHEMA, backup, fold=FOLD, **more)


def _live(store: EventStore, first: int) -> None:
    """Everything that can be said, of three gauges."""
    for n in range(first, first + 3):
        store.append("gauge.set", {"gauge": _gauge(n), "river": "Aare"})
        store.commit([store.prepare("level.set", {"gauge": _gauge(n), "day": d, "level": d / 7}) for d in range(5)])
    store.append("gauge.named", {"gauge": _gauge(first), "name": "named"})
    survey(store, _gauge(first + 100), "Reuss", [1.0, 2.0])
    store.append("observer.set", {"code": f"c{first}", "called": "Anna"})
    store.append("visit.made", {"code": f"c{first}", "gauge": _gauge(first)})
    store.append("visit.made", {"code": "nobody", "gauge": _gauge(first)})


@pytest.fixture
def backed_up(store: EventStore) -> EventStore:
    """A store whose backup is older than half of what is in it; the other half is in the log alone."""
    _live(store, 1)
    dump(store)
    take_backup(store.path)
    _live(store, 11)
    store.append("gauge.purged", {"gauge": _gauge(2)})
    store.append("level.set", {"gauge": _gauge(1), "day": 1, "level": None})
    store.append("observer.set", {"code": "c1", "called": None})
    store.append("gauge.named", {"gauge": _gauge(1), "name": "renamed"})
    return store


def _kept(store: EventStore) -> list[Path]:
    return sorted((store.path.parent / ".hmp/gauges/replaced").glob("*"))


# ── what was acknowledged since is there ─────────────────────────────────────────────────────────────


@pytest.mark.parametrize("former", ["there", "missing", "garbage", "empty"])
@pytest.mark.parametrize("log", ["pending", "packed"])
def test_all_that_was_acknowledged_is_there(backed_up: EventStore, former: str, log: str) -> None:
    before = dump(backed_up)
    if log == "packed":
        backed_up.close()
        assert backed_up.files.segments() == []
    content = {"garbage": b"x" * 50_000, "empty": b""}.get(former, backed_up.path.read_bytes())
    backed_up.path.unlink() if former == "missing" else backed_up.path.write_bytes(content)
    done = _restore(backed_up)
    assert done == Restored(list_backups(backed_up.path)[0].path, Notice(waiting=2))
    assert dump(gauges(backed_up.path.parent)) == before
    assert [path.read_bytes() for path in _kept(backed_up)] == ([] if former == "missing" else [content])


def test_it_is_there_before_anybody_asks(backed_up: EventStore) -> None:
    """The database itself holds it, not only the next answer."""
    before = dump(backed_up)
    backed_up.path.unlink()
    _restore(backed_up)
    with DuckDBBackend(backed_up.path).lease(write=False):
        rows = DuckDBBackend(backed_up.path).fetch_all("SELECT * FROM levels ORDER BY gauge_id, taken_at")
    assert rows == before["levels"]
    assert [row for row in rows if row[0] == UUID(int=2)] == [], "purged since"


def test_an_open_door_sees_it(backed_up: EventStore) -> None:
    before = dump(backed_up)
    _restore(backed_up)
    assert dump(backed_up) == before
    backed_up.append("gauge.set", {"gauge": _gauge(50), "river": "Limmat"})
    assert len(dump(backed_up)["gauges"]) == len(before["gauges"]) + 1


def test_what_the_log_has_lost_the_backup_still_knows(store: EventStore) -> None:
    """This is what a backup is for: a rebuild from the files alone would lack it, and the user is told not to."""
    _live(store, 1)
    store.close()
    before = dump(gauges(store.path.parent))
    take_backup(store.path)
    (pack,) = store.files.packed()
    pack.unlink()
    notice = _restore(store).notice
    assert (notice.lost, notice.waiting) == (1, 1)
    assert f"{pack.name}; what they told is in this database alone" in notice.reason
    assert dump(gauges(store.path.parent)) == before


def test_what_neither_knows_is_said(backed_up: EventStore) -> None:
    dump(backed_up)
    backed_up.close()
    dump(gauges(backed_up.path.parent))
    (pack,) = backed_up.files.packed()
    pack.unlink()
    done = _restore(backed_up)
    assert pack.name in done.notice.reason
    # the segment that went into that pack: the backup had read it, and nothing else tells of it now
    assert done.notice.lost == 2
    assert "in this database alone" in done.notice.reason


def test_a_wal_goes_with_the_former_database(backed_up: EventStore) -> None:
    before = dump(backed_up)
    wal = backed_up.path.with_name("gauges.duckdb.wal")
    backed_up.path.write_bytes(b"damaged")
    wal.write_bytes(b"of the former one")
    _restore(backed_up)
    assert not wal.exists()
    kept = [*_kept(backed_up), *backed_up.path.parent.glob("*.corrupt-*")]
    assert b"of the former one" in [path.read_bytes() for path in kept]
    assert dump(backed_up) == before


def test_nothing_is_left_beside_it(backed_up: EventStore) -> None:
    names = {path.name for path in backed_up.path.parent.iterdir()}
    _restore(backed_up)
    assert {path.name for path in backed_up.path.parent.iterdir()} == names


# ── which backup ─────────────────────────────────────────────────────────────────────────────────────


def test_any_of_them_by_path_or_by_name(backed_up: EventStore, tmp_path: Path) -> None:
    before = dump(backed_up)
    first = list_backups(backed_up.path)[0].path
    take_backup(backed_up.path)
    elsewhere = Path(shutil.copy(first, tmp_path / "elsewhere.duckdb"))
    for named, path in ((first, first), (Path(first.name), first), (elsewhere, elsewhere)):
        assert _restore(backed_up, named).backup == path
        assert dump(backed_up) == before


def test_without_a_log_it_is_what_it_was(tmp_path: Path) -> None:
    database = tmp_path / "index.duckdb"
    apply_migrations(database, FOLD.migrations, component="index")
    backend = DuckDBBackend(database)
    backend.execute("INSERT INTO observers VALUES ('a', 'Anna', 's')")
    backup = take_backup(database)
    backend.execute("DELETE FROM observers")
    assert restore(database, [("index", FOLD.migrations)]) == Restored(backup, Notice())
    assert backend.fetch_all("SELECT code FROM observers") == [("a",)]


def test_an_older_one_is_brought_up_to_date(tmp_path: Path) -> None:
    folder = tmp_path / "sql"
    folder.mkdir()
    (folder / "0001_a.sql").write_text("CREATE TABLE t (a INTEGER);")
    database = tmp_path / "index.duckdb"
    apply_migrations(database, folder, component="index")
    DuckDBBackend(database).execute("INSERT INTO t VALUES (1)")
    backup = take_backup(database)
    (folder / "0002_b.sql").write_text("ALTER TABLE t ADD COLUMN b INTEGER;")
    apply_migrations(database, folder, component="index")
    content = backup.read_bytes()
    restore(database, [("index", folder)], backup)
    assert DuckDBBackend(database).fetch_all("SELECT * FROM t") == [(1, None)]
    assert backup.read_bytes() == content
    (folder / "0002_b.sql").unlink()
    newer = take_backup(database)
    _refused(SchemaTooNewError, database, lambda: restore(database, [("index", folder)], newer))


# ── refusals: the database stays what it is ──────────────────────────────────────────────────────────


def _refused(kind: type[HmpError], database: Path, act: Any) -> HmpError:
    before = database.read_bytes()
    with pytest.raises(kind) as refused:
        act()
    assert database.read_bytes() == before
    beside = {path.suffix for path in database.parent.iterdir() if path.name.startswith(f".{database.name}")}
    assert beside == set()
    return refused.value


def test_there_is_none(store: EventStore) -> None:
    _refused(PathNotFound, store.path, lambda: _restore(store))
    _refused(PathNotFound, store.path, lambda: _restore(store, Path("nowhere.duckdb")))


def test_a_damaged_one(backed_up: EventStore) -> None:
    before = dump(backed_up)
    backup = list_backups(backed_up.path)[0].path
    data = backup.read_bytes()
    seen = 0
    for content in (b"", b"garbage" * 9999, data[: len(data) // 2], *(_flipped(data, at) for at in (5000, 60_000))):
        backup.write_bytes(content)
        try:
            _restore(backed_up)
        except CorruptError:
            seen += 1
        assert dump(backed_up) == before
    assert seen >= 4


def _flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def test_one_of_another_database(backed_up: EventStore, tmp_path: Path) -> None:
    other = tmp_path / "cache.duckdb"
    apply_migrations(other, FOLD.migrations, component="cache")
    error = _refused(InvalidInput, backed_up.path, lambda: _restore(backed_up, take_backup(other)))
    assert "backup of cache" in str(error)
    DuckDBBackend(tmp_path / "x.duckdb", create=True).execute("CREATE TABLE recipes (a INTEGER)")
    _refused(SchemaIntegrityError, backed_up.path, lambda: _restore(backed_up, tmp_path / "x.duckdb"))
    _refused(InvalidInput, backed_up.path, lambda: _restore(backed_up, backed_up.path))


def test_who_may_not(backed_up: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    _refused(AccessDenied, backed_up.path, lambda: _restore(backed_up, auth=Nobody(), resource="gauges"))
    with backed_up.reading(), pytest.raises(InvalidInput, match="leave the block"):
        _restore(backed_up)
    code = """
        from hmp_core.locks import database_lock
        with database_lock(path).hold(): say(); listen()
    """
    with start(code, path=backed_up.path) as holder:
        holder.hear()
        _refused(BusyError, backed_up.path, lambda: _restore(backed_up, timeout=0.1))
    monkeypatch.setenv("HMP_FOLD", "never")
    _refused(FoldDisabled, backed_up.path, lambda: _restore(backed_up))


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(PathNotFound):
        restore(tmp_path / "nowhere" / "gauges.duckdb", SCHEMA, fold=FOLD)
    assert list(tmp_path.iterdir()) == []


LIMITED = """
    import resource
    from hmp_core.errors import HmpError
    from hmp_core.events.store import components
    from hmp_core.testing.gauges import FOLD
    from hmp_core.upkeep import restore
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        say(str(restore(path, components(FOLD), fold=FOLD).notice))
    except HmpError as error:
        say(type(error))
"""


def test_no_room_at_any_moment(backed_up: EventStore) -> None:
    before = dump(backed_up)
    backed_up.close()
    dump(gauges(backed_up.path.parent))
    content, restored = backed_up.path.read_bytes(), 0
    for limit in (4096, 20_000, 100_000, len(content) - 20_000, len(content) + 20_000, 4 * len(content)):
        (said,) = run(LIMITED, path=backed_up.path, limit=limit)
        if said is StorageError:
            assert backed_up.path.read_bytes() == content
        else:
            assert said == "2 waiting"
            restored += 1
        assert dump(gauges(backed_up.path.parent)) == before
    assert restored
