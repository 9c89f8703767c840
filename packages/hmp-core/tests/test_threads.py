"""Sixteen threads of one process: each its own rows, no wait without an end, every acknowledged event there."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from hmp_core.backends import DuckDBBackend
from hmp_core.errors import InvalidInput
from hmp_core.events import EventStore
from hmp_core.testing.gauges import gauges

THREADS = 16

#: Seconds that a thread may wait for the others at most: they take turns, 16 leases of some milliseconds each.
LONGEST = 15.0


class Crowd:
    """Threads that work for some seconds, and what they met."""

    def __init__(self, stores: list[EventStore]) -> None:
        self.stores = stores
        self.acknowledged: list[set[str]] = [set() for _ in stores]
        self.trouble: list[BaseException] = []
        self.waits: list[float] = []
        self.turns = [0] * THREADS

    def run(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        threads = [threading.Thread(target=self._work, args=(n, until), daemon=True) for n in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60.0)
            assert not thread.is_alive(), "a thread never came back"
        assert self.trouble == []

    def _work(self, number: int, until: float) -> None:
        acts = itertools.cycle((self._append, self._read, self._fold, self._hold, self._append))
        for _ in range(number % 4):
            next(acts)
        try:
            while time.monotonic() < until:
                which = (number + self.turns[number]) % len(self.stores)
                began = time.monotonic()
                next(acts)(number, which)
                self.waits.append(time.monotonic() - began)
                self.turns[number] += 1
        except BaseException as error:  # noqa: BLE001 - told by the test
            self.trouble.append(error)

    def _append(self, number: int, which: int) -> None:
        gauge = str(uuid4())
        self.stores[which].append("gauge.set", {"gauge": gauge, "river": f"{which}-{number}"})
        self.acknowledged[which].add(gauge)

    def _read(self, number: int, which: int) -> None:
        """All that this thread has appended is in its answer, and rows of this database alone."""
        mine = set(self.acknowledged[which])
        with self.stores[which].reading() as backend:
            rows = backend.fetch_all("SELECT CAST(gauge_id AS VARCHAR), river FROM gauges WHERE $1 = $1", [number])
            assert backend.fetch_all("SELECT $1", [f"{number}"]) == [(f"{number}",)]
        assert all(river.startswith(f"{which}-") for _, river in rows)
        assert mine <= {gauge for gauge, _ in rows}

    def _fold(self, number: int, which: int) -> None:
        if number % 4 == 0:
            self.stores[which].fold()

    def _hold(self, number: int, which: int) -> None:
        """A question asked over and over in one lease: the answer of another thread would be seen."""
        backend = DuckDBBackend(self.stores[which].path)
        with backend.lease(write=number % 2 == 0):
            for n in range(5):
                table = backend.query("SELECT i, $1 AS who FROM range(50) r(i)", [number * 100 + n])
                assert set(table.column("who").to_pylist()) == {number * 100 + n}


@pytest.mark.parametrize("databases", [1, 3])
def test_sixteen_threads(tmp_path: Path, databases: int) -> None:
    stores = [gauges(tmp_path / f"d{n}", timeout=60.0) for n in range(databases)]
    for store in stores:
        store.prepare_schema()
    crowd = Crowd(stores)
    crowd.run(1.5)
    _check(crowd)


@pytest.mark.soak
@pytest.mark.parametrize("databases", [1, 3])
def test_sixteen_threads_for_long(tmp_path: Path, databases: int) -> None:
    stores = [gauges(tmp_path / f"d{n}", timeout=60.0) for n in range(databases)]
    for store in stores:
        store.prepare_schema()
    crowd = Crowd(stores)
    crowd.run(60.0)
    _check(crowd)


def _check(crowd: Crowd) -> None:
    assert min(crowd.turns) > 0
    assert max(crowd.waits) < LONGEST, max(crowd.waits)
    for store, acknowledged in zip(crowd.stores, crowd.acknowledged, strict=True):
        with store.reading() as backend:
            rows = backend.fetch_all("SELECT CAST(gauge_id AS VARCHAR) FROM gauges")
        assert {row[0] for row in rows} == acknowledged
        assert len(store.files.segments()) == 1, "a process has one segment"
        store.close()


def test_a_transaction_is_its_threads_own(folder: Path) -> None:
    """Another thread neither sees it nor writes into it: it waits."""
    store = gauges(folder)
    store.append("gauge.set", {"gauge": str(UUID(int=1)), "river": "Aare"})
    store.fold()
    backend = DuckDBBackend(store.path, timeout=10.0)
    seen: list[object] = []

    def ask() -> None:
        seen.append(backend.fetch_all("SELECT river FROM gauges"))

    with backend.transaction():
        backend.execute("UPDATE gauges SET river = 'Reuss'")
        thread = _started(ask)
        time.sleep(0.1)
        assert seen == []
    thread.join(10.0)
    assert seen == [[("Reuss",)]]


def test_a_door_is_closed_while_others_use_it(folder: Path) -> None:
    """They are told so; what was acknowledged stays."""
    store = gauges(folder)
    acknowledged: list[str] = []
    told: list[BaseException] = []

    def append() -> None:
        try:
            while True:
                gauge = str(uuid4())
                store.append("gauge.set", {"gauge": gauge, "river": "Aare"})
                acknowledged.append(gauge)
        except InvalidInput as error:
            told.append(error)

    threads = [_started(append) for _ in range(4)]
    time.sleep(0.2)
    store.close()
    for thread in threads:
        thread.join(20.0)
    assert len(told) == 4
    with gauges(folder).reading() as backend:
        found = {row[0] for row in backend.fetch_all("SELECT CAST(gauge_id AS VARCHAR) FROM gauges")}
    assert found == set(acknowledged)


def _started(act: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    return thread
