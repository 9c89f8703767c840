"""The judge of doors before a door of its own: a small one onto the gauges, as each scope has one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from hmp_core.auth import get_auth_backend
from hmp_core.durable import make_folder
from hmp_core.errors import PathNotFound
from hmp_core.events import EventStore
from hmp_core.events.rebuild import rebuild
from hmp_core.events.store import Notice
from hmp_core.paths import to_local
from hmp_core.questions import ask
from hmp_core.testing.door_suite import DoorSuite
from hmp_core.testing.gauges import FOLD


class Gauges:
    """The least that a door is."""

    def __init__(
        self, path: Any, *, create: bool = False, read_only: bool = False, auth: Any = None, timeout: float = 30.0
    ) -> None:
        home = Path(os.path.realpath(to_local(path)))
        if not create and not home.is_dir():
            message = f"{home}: no such folder; make it with create=True"
            raise PathNotFound(message, path=str(home))
        database = home / "gauges.duckdb"
        self._store = EventStore(
            database, FOLD, auth=auth or get_auth_backend(), resource="gauges", timeout=timeout, read_only=read_only
        )
        if create:
            make_folder(home)
        if create or (database.exists() and not read_only):
            self._store.prepare_schema()
        with self._store.reading():
            pass

    @property
    def table(self) -> pa.Table:
        return self.sql("SELECT * FROM gauges")

    def sql(self, query: str, params: Sequence[Any] = ()) -> pa.Table:
        with self._store.reading() as backend:
            return ask(backend, query, params)

    def rebuild(self) -> Notice:
        return rebuild(self._store.path, FOLD)

    @property
    def notice(self) -> Notice:
        return self._store.notice

    def close(self) -> None:
        self._store.close()

    def __enter__(self) -> Gauges:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class TestGauges(DoorSuite):
    def create(self, path: Any) -> Any:
        return Gauges(path, create=True)

    def open(self, path: Any, **options: Any) -> Any:
        return Gauges(path, **options)

    def database(self, path: Path) -> Path:
        return path / "gauges.duckdb"
