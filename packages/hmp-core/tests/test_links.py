"""Names of a database: by whatever link or mount it is reached it is one, and where it cannot be it is not written."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import UUID

import pytest

from hmp_core.backends import DuckDBBackend
from hmp_core.errors import BusyError, NotWritable
from hmp_core.events.rebuild import rebuild
from hmp_core.locks import database_lock
from hmp_core.testing.children import start
from hmp_core.testing.gauges import FOLD, dump, gauges
from hmp_core.testing.surroundings import second_mount

HOLD = """
    from hmp_core.backends import DuckDBBackend
    with DuckDBBackend(path).lease(write=True):
        say("held")
        listen()
"""


def _gauge(number: int) -> dict[str, str]:
    return {"gauge": str(UUID(int=number)), "river": "Aare"}


@pytest.mark.parametrize("link", ["database", "folder", "workspace"])
def test_by_a_symlink_it_is_one_lock_one_log_one_answer(folder: Path, tmp_path: Path, link: str) -> None:
    place = tmp_path / "elsewhere"
    place.mkdir()
    match link:
        case "database":
            there = place
            (place / "gauges.duckdb").symlink_to(folder / "gauges.duckdb")
        case "folder":
            there = place / "link"
            there.symlink_to(folder)
        case _:
            (place / "link").symlink_to(folder.parent)
            there = place / "link" / folder.name
    here, linked = gauges(folder), gauges(there, timeout=0.1)
    here.append("gauge.set", _gauge(1))
    linked.append("gauge.set", _gauge(2))
    assert dump(here) == dump(linked)
    assert len(here.files.segments()) == 1
    with start(HOLD, path=folder / "gauges.duckdb") as holder:
        holder.hear()
        with pytest.raises(BusyError), linked.reading():
            pass
    rebuild(there / "gauges.duckdb", FOLD)
    linked.append("gauge.set", _gauge(3))
    assert dump(here) == dump(linked)
    assert len(dump(here)["gauges"]) == 3
    assert (folder / "gauges.duckdb").is_file()
    made = {path.name for path in there.iterdir()} if link == "database" else {"gauges.duckdb"}
    assert made == {"gauges.duckdb"}, "something lies beside the link"


def test_a_database_of_two_names_is_read_and_not_written(folder: Path, tmp_path: Path) -> None:
    """As ``cp -al`` makes them: two lock files, two WALs, one file."""
    store = gauges(folder)
    store.append("gauge.set", _gauge(1))
    store.fold()
    os.link(folder / "gauges.duckdb", tmp_path / "copy.duckdb")
    store.append("gauge.set", _gauge(2))
    with store.reading() as backend:
        assert backend.fetch_all("SELECT count(*) FROM gauges") == [(1,)]
    assert store.notice.unfolded == 1
    assert "2 names" in store.notice.reason
    for path in (folder / "gauges.duckdb", tmp_path / "copy.duckdb"):
        backend = DuckDBBackend(path)
        with pytest.raises(NotWritable, match=r"2 names.*-samefile.*rebuild") as refused, backend.lease(write=True):
            pass
        assert refused.value.names == 2  # type: ignore[attr-defined]
        assert backend.fetch_all("SELECT count(*) FROM gauges") == [(1,)]
    (tmp_path / "copy.duckdb").unlink()
    assert len(dump(store)["gauges"]) == 2
    assert not store.notice


def test_a_rebuild_gives_it_a_file_of_its_own(folder: Path, tmp_path: Path) -> None:
    store = gauges(folder)
    store.append("gauge.set", _gauge(1))
    os.link(folder / "gauges.duckdb", tmp_path / "copy.duckdb")
    copy = (tmp_path / "copy.duckdb").read_bytes()
    rebuild(store.path, FOLD)
    assert len(dump(store)["gauges"]) == 1
    assert not store.notice
    assert (tmp_path / "copy.duckdb").read_bytes() == copy


def test_a_name_that_an_interrupted_rebuild_left_is_ours_to_remove(folder: Path) -> None:
    store = gauges(folder)
    store.append("gauge.set", _gauge(1))
    kept = folder / ".hmp" / "gauges" / "replaced"
    kept.mkdir()
    os.link(folder / "gauges.duckdb", kept / "20260101T000000000000-gauges.duckdb")
    assert len(dump(store)["gauges"]) == 1
    assert not store.notice
    assert list(kept.iterdir()) == []


def test_by_two_mounts_it_is_one_lock(folder: Path) -> None:
    """The lock lies beside the database: where the folder is the same, so is it."""
    with second_mount(folder) as there:
        store, other = gauges(folder), gauges(there, timeout=0.1)
        store.append("gauge.set", _gauge(1))
        other.append("gauge.set", _gauge(2))
        store.close()
        with start(HOLD, path=there / "gauges.duckdb") as holder:
            holder.hear()
            with pytest.raises(BusyError), database_lock(folder / "gauges.duckdb").hold(0.1):
                pass
        with other.reading() as backend:
            assert backend.fetch_all("SELECT count(*) FROM gauges") == [(2,)]
        other.close()
