"""The cache out of a backup: what was obtained since comes from sidecars and log; a vacuum changes nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hmp_cache
from hmp_cache.fold import FOLD
from hmp_core.backups import take_backup
from hmp_core.copying import contents
from hmp_core.databases import Database, read_lease
from hmp_core.events.store import components
from hmp_core.layout import cache_path
from hmp_core.upkeep import restore, vacuum

Write = Callable[..., Path]


@pytest.fixture
def database(workspace: Path, write: Write) -> Path:
    """A cache with two inputs, one of them in two versions, and a backup from the time of the first."""
    with hmp_cache.open(workspace, create=True) as data:
        data.add(write("q.csv"), variable="discharge", station="outlet")
        data.find()
        take_backup(cache_path(workspace))
        data.add(write("q.csv", "time,discharge\n2001-01-01,9.9\n"), variable="discharge", station="outlet")
        data.add(write("p.csv", "time,rain\n2001-01-01,0.1\n"), variable="rain", station="outlet")
        data.find()
    return cache_path(workspace)


def _rows(workspace: Path) -> dict[str, list[tuple[Any, ...]]]:
    with hmp_cache.open(workspace) as data:
        assert len(data.find()) == 2
        assert {entry.state for entry in data.find()} == {"current"}
    found = Database("cache", cache_path(workspace)).backend()
    with read_lease(found):
        tables = [table.name for table in FOLD.tables]
        return {table: sorted(found.fetch_all(f"SELECT * FROM {table}"), key=str) for table in tables}


def test_what_was_obtained_since_is_there(workspace: Path, database: Path) -> None:
    before = _rows(workspace)
    database.unlink()
    assert not restore(database, components(FOLD), fold=FOLD).notice
    assert _rows(workspace) == before


def test_also_where_the_log_was_lost(workspace: Path, database: Path) -> None:
    """Sidecars and backup tell which inputs there are."""
    with hmp_cache.open(workspace) as data:
        before = {(entry.sha256, entry.variable) for entry in data.find()}
    shutil.rmtree(database.parent / "events", ignore_errors=True)
    shutil.rmtree(database.parent / ".hmp" / "cache" / "pending")
    restore(database, components(FOLD), fold=FOLD)
    with hmp_cache.open(workspace) as data:
        assert {(entry.sha256, entry.variable) for entry in data.find()} == before


def test_a_vacuum_changes_no_row(workspace: Path, database: Path) -> None:
    before = _rows(workspace)
    parts = contents(Database("cache", database).backend())
    vacuum(database, components(FOLD))
    assert _rows(workspace) == before
    assert contents(Database("cache", database).backend()) == parts
