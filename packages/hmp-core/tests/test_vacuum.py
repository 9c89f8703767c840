"""Vacuum: the file shrinks, what is in it stays, and whoever is interrupted leaves it as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from hmp_core.backends import DuckDBBackend
from hmp_core.backups import take_backup
from hmp_core.copying import contents
from hmp_core.errors import (
    AccessDenied,
    BusyError,
    CorruptError,
    DatabaseNotFound,
    FoldDisabled,
    HmpError,
    InvalidInput,
    SchemaIntegrityError,
    SchemaTooNewError,
    StorageError,
)
from hmp_core.events import EventStore
from hmp_core.events.store import components
from hmp_core.migrations import apply_migrations
from hmp_core.testing.children import run, start
from hmp_core.testing.door_suite import Nobody
from hmp_core.testing.gauges import FOLD, dump, gauges
from hmp_core.upkeep import Vacuumed, restore, vacuum

SCHEMA = components(FOLD)


@pytest.fixture
def grown(store: EventStore) -> EventStore:
    """A database most of whose rows were purged."""
    for n in range(1, 4):
        gauge = str(UUID(int=n))
        store.append("gauge.set", {"gauge": gauge, "river": "Aare"})
        remarks = {"remarks": f"{n}" * 400}
        made = [store.prepare("level.set", {"gauge": gauge, "day": d, "level": 1.0} | remarks) for d in range(1500)]
        store.commit(made)
    dump(store)
    for n in range(1, 3):
        store.append("gauge.purged", {"gauge": str(UUID(int=n))})
    dump(store)
    return store


def test_it_shrinks_and_says_by_how_much(grown: EventStore) -> None:
    before, size = dump(grown), grown.path.stat().st_size
    parts = contents(DuckDBBackend(grown.path))
    names = {path.name for path in grown.path.parent.rglob("*")}
    done = vacuum(grown.path, SCHEMA)
    assert done == Vacuumed(size, grown.path.stat().st_size)
    assert done.after < 0.6 * done.before
    assert dump(gauges(grown.path.parent)) == dump(grown) == before
    assert contents(DuckDBBackend(grown.path)) == parts
    assert {path.name for path in grown.path.parent.rglob("*")} == names, "no former file is kept"


def test_the_engines_own_does_not(grown: EventStore) -> None:
    """Why this room exists: if that changes, it may go."""
    backend, size = DuckDBBackend(grown.path), grown.path.stat().st_size
    with backend.lease(write=True):
        backend.execute("VACUUM")
        backend.execute("CHECKPOINT")
    assert grown.path.stat().st_size >= size


def test_what_is_not_flushed_yet_stays(grown: EventStore) -> None:
    code = """
        import os
        from hmp_core.backends import DuckDBBackend
        backend = DuckDBBackend(path)
        with backend.lease(write=True):
            backend.execute("UPDATE gauges SET river = 'Reuss'")
            os._exit(0)
    """
    with start(code, path=grown.path) as child:
        child.join()
    vacuum(grown.path, SCHEMA)
    assert not grown.path.with_name("gauges.duckdb.wal").exists()
    assert {row[1] for row in dump(grown)["gauges"]} == {"Reuss"}


def test_who_works_elsewhere_meanwhile_loses_nothing_and_sees_all(store: EventStore) -> None:
    """Another process appends, folds and reads while the database is replaced again and again under its hands."""
    code = """
        from uuid import UUID
        from hmp_core.testing.gauges import gauges
        store = gauges(folder)
        say()
        for n in range(1, 21):
            store.append("gauge.set", {"gauge": str(UUID(int=n)), "river": "Aare"})
            with store.reading() as backend:
                seen = backend.fetch_all("SELECT count(*) FROM gauges")[0][0]
            assert seen == n, f"{seen} of {n}: {store.notice}"
        store.close()
        say("done")
    """
    take_backup(store.path)
    with start(code, folder=store.path.parent) as worker:
        worker.hear()
        for _ in range(3):
            vacuum(store.path, SCHEMA)
            restore(store.path, SCHEMA, fold=FOLD)
            take_backup(store.path)
        assert worker.hear() == "done"
    assert len(dump(store)["gauges"]) == 20


# ── refusals ─────────────────────────────────────────────────────────────────────────────────────────


def _refused(kind: type[HmpError], database: Path, **more: Any) -> None:
    before = database.read_bytes()
    with pytest.raises(kind):
        vacuum(database, SCHEMA, **more)
    assert database.read_bytes() == before
    assert [path for path in database.parent.iterdir() if path.name.startswith(f".{database.name}")] == []


def test_inside_a_block_that_has_it_open(store: EventStore) -> None:
    with store.reading(), pytest.raises(InvalidInput, match="leave the block"):
        vacuum(store.path, SCHEMA)
    with DuckDBBackend(store.path).transaction(), pytest.raises(InvalidInput, match="leave the block"):
        vacuum(store.path, SCHEMA)


def test_who_may_not_and_what_is_none(store: EventStore, tmp_path: Path) -> None:
    _refused(AccessDenied, store.path, auth=Nobody(), resource="gauges")
    with pytest.raises(DatabaseNotFound):
        vacuum(tmp_path / "none.duckdb", SCHEMA)
    (tmp_path / "garbage.duckdb").write_bytes(b"x" * 50_000)
    _refused(CorruptError, tmp_path / "garbage.duckdb")
    DuckDBBackend(tmp_path / "foreign.duckdb", create=True).execute("CREATE TABLE recipes (a INTEGER)")
    _refused(SchemaIntegrityError, tmp_path / "foreign.duckdb")
    DuckDBBackend(store.path).execute("UPDATE schema_migrations SET version = version + 1")
    _refused(SchemaTooNewError, store.path)


def test_where_databases_are_not_opened(store: EventStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database without a log, as the index, is no matter of who folds."""
    monkeypatch.setenv("HMP_FOLD", "never")
    _refused(FoldDisabled, store.path)
    apply_migrations(tmp_path / "index.duckdb", FOLD.migrations, component="index")
    assert vacuum(tmp_path / "index.duckdb", [("index", FOLD.migrations)]).after > 0


def test_a_lock_held_elsewhere(store: EventStore) -> None:
    code = """
        from hmp_core.locks import database_lock
        with database_lock(path).hold(): say(); listen()
    """
    with start(code, path=store.path) as holder:
        holder.hear()
        with pytest.raises(BusyError, match=str(holder.pid)):
            vacuum(store.path, SCHEMA, timeout=0.1)


LIMITED = """
    import resource
    from hmp_core.errors import HmpError
    from hmp_core.events.store import components
    from hmp_core.testing.gauges import FOLD
    from hmp_core.upkeep import vacuum
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        say(vacuum(path, components(FOLD)))
    except HmpError as error:
        say(type(error))
"""


def test_no_room_at_any_moment(grown: EventStore) -> None:
    before = dump(grown)
    content = grown.path.read_bytes()
    for limit in (4096, 50_000, 300_000, len(content) // 2):
        (said,) = run(LIMITED, path=grown.path, limit=limit)
        if said is StorageError:
            assert grown.path.read_bytes() == content
            assert limit < len(content) // 2
        assert dump(gauges(grown.path.parent)) == before
    assert isinstance(said, Vacuumed)
