"""The judge of backends under a store with a log: all that `BackendSuite` asks, and what `StoreBackend` promises.

The test file of an adapter with which catalogs can be opened is a subclass with one fixture, as for `BackendSuite`.
"""

# ruff: noqa: D102 - a claim is the name of its test

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from hmp_core.auth import LocalAuthBackend
from hmp_core.errors import AccessDenied, BusyError, DatabaseNotFound, InvalidInput
from hmp_core.locks import database_lock
from hmp_core.protocols import BackendFactory, StoreBackend
from hmp_core.testing.backend_suite import BackendSuite
from hmp_core.testing.door_suite import Nobody


class StoreBackendSuite(BackendSuite):
    """Asks an adapter for everything that all three protocols promise."""

    @pytest.fixture
    def store(self, make: BackendFactory, backend: StoreBackend, path: Path) -> StoreBackend:
        """Return a backend with an empty table of gauges, made as a store makes it."""
        return make(path, auth=LocalAuthBackend(), resource="gauges", timeout=5.0)

    def test_keeps_all_three_protocols(self, store: StoreBackend) -> None:
        assert isinstance(store, StoreBackend)

    @pytest.mark.parametrize("mode", ["write", "read"])
    def test_what_a_thread_has_open_belongs_to_the_file(
        self, store: StoreBackend, make: BackendFactory, path: Path, mode: str
    ) -> None:
        other = make(path)
        store.start()
        assert (other.leased, other.only_reads) == (False, False)
        with store.lease(write=mode == "write"):
            assert (other.leased, other.only_reads) == (True, mode == "read")
            with other.lease(write=False):
                assert other.fetch_all("SELECT code FROM gauges") == []
            with ThreadPoolExecutor(1) as pool:
                assert pool.submit(lambda: (other.leased, other.only_reads)).result() == (False, False)
        assert (store.leased, store.only_reads) == (False, False)

    def test_a_lease_stands_on_a_lock_that_the_thread_holds(self, store: StoreBackend, path: Path) -> None:
        with database_lock(path).hold(5.0), store.lease(write=True, timeout=0.0):
            store.insert("gauges", {"code": "brugg"})
        with _held_elsewhere(path), pytest.raises(BusyError), store.lease(write=False, timeout=0.0):
            pass
        assert store.fetch_all("SELECT code FROM gauges") == [("brugg",)]

    def test_a_lease_that_needs_no_lock_file_makes_none(self, make: BackendFactory, path: Path) -> None:
        fresh = make(path.parent / "beside.duckdb", create=True)
        with fresh.lease(write=True, unlocked=True):
            fresh.execute("CREATE TABLE t (a INTEGER)")
        with fresh.lease(write=False, unlocked=True):
            assert fresh.fetch_all("SELECT * FROM t") == []
        assert [each.name for each in path.parent.iterdir()] == ["beside.duckdb"]

    def test_a_lease_asks_for_the_action_that_it_is_for(self, make: BackendFactory, store: StoreBackend) -> None:
        reader = make(store.path, auth=_OnlyReads(), resource="gauges")
        with pytest.raises(AccessDenied), reader.lease(write=True):
            pass
        with reader.lease(write=True, action="read"):
            reader.insert("gauges", {"code": "brugg"})
        with pytest.raises(AccessDenied), make(store.path, auth=Nobody(), resource="gauges").lease(write=False):
            pass
        assert store.fetch_all("SELECT code FROM gauges") == [("brugg",)]

    def test_another_file_may_take_the_place_between_two_leases(
        self, make: BackendFactory, store: StoreBackend, path: Path
    ) -> None:
        store.insert("gauges", {"code": "brugg"})
        new = make(path.parent / "new.duckdb", create=True)
        with new.lease(write=True, unlocked=True):
            new.execute("CREATE TABLE gauges (code VARCHAR)")
        new.path.replace(path)
        assert store.fetch_all("SELECT * FROM gauges") == []
        path.unlink()
        with pytest.raises(DatabaseNotFound), store.lease(write=False):
            pass

    def test_a_copy_holds_everything_and_both_go_on(
        self, store: StoreBackend, make: BackendFactory, path: Path
    ) -> None:
        store.insert("gauges", {"code": "brugg"})
        copy = make(path.parent / "copy.duckdb", create=True)
        with store.lease(write=False), copy.lease(write=True):
            store.copy_to(copy)
            copy.execute("CREATE INDEX by_river ON gauges (river)")
            assert store.fetch_one("SELECT count(*) FROM gauges") == (1,)
        copy.insert("gauges", {"code": "thun"})
        assert copy.fetch_one("SELECT count(*) FROM gauges") == (2,)
        assert store.fetch_one("SELECT count(*) FROM gauges") == (1,)

    def test_no_copy_is_made_inside_a_transaction(self, store: StoreBackend, make: BackendFactory, path: Path) -> None:
        copy = make(path.parent / "copy.duckdb", create=True)
        with copy.lease(write=True), store.transaction(), pytest.raises(InvalidInput):
            store.copy_to(copy)


class _OnlyReads(LocalAuthBackend):
    def can_write(self, resource: str) -> bool:
        return False


@contextmanager
def _held_elsewhere(path: Path) -> Iterator[None]:
    """Let another thread hold the lock of a database for the block."""
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with database_lock(path).hold(5.0):
            held.set()
            done.wait(30.0)

    other = threading.Thread(target=hold)
    other.start()
    try:
        assert held.wait(30.0)
        yield
    finally:
        done.set()
        other.join()
