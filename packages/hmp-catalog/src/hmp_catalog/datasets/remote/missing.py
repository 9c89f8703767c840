"""The store of a tree some of whose files were not fetched: they are, as far as they are read."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

from zarr.core.buffer import default_buffer_prototype
from zarr.storage import LocalStore

from hmp_catalog.datasets.history import layout
from hmp_catalog.datasets.history.stores import TreeStore
from hmp_catalog.datasets.remote import standing, stubs
from hmp_catalog.datasets.remote.fetching import Fetcher
from hmp_catalog.fields.packed import bounds

_ABSENT = (FileNotFoundError, IsADirectoryError, NotADirectoryError)


def store(folder: Path, home: Path, *, read_only: bool) -> LocalStore:
    """Return the store of a tree of a data set that is behind a URL; ``home`` is where what was fetched is kept.

    There may be stubs in a tree beside the versions always, in others if they say so.
    """
    on = standing.standing(folder)
    waits = on is None or not on.whole or home in Path(os.path.realpath(folder)).parents
    return (FetchingStore if waits else TreeStore)(folder, read_only=read_only)


class FetchingStore(TreeStore):
    """A tree some of whose files are stubs, which are seen by nobody who reads through it."""

    @cached_property
    def _fetcher(self) -> Fetcher:
        home = layout.home(self.root)
        if home is None:
            message = f"{self.root} is no tree of a data set behind a URL"
            raise FileNotFoundError(message)
        return Fetcher(home)

    def _behind(self, key: str, prototype: Any, byte_range: Any) -> tuple[bool, Any]:
        """Return whether a file is a stub, or not there, and then what is read of it."""
        try:
            entry = stubs.read(self.root / key)
        except _ABSENT:
            return True, None
        if entry is None:
            return False, None
        start, stop = bounds(byte_range, entry.size)
        buffer = (prototype or default_buffer_prototype()).buffer
        return True, buffer.from_bytes(self._fetcher.read(entry, start, stop))

    async def get(self, key: str, prototype: Any = None, byte_range: Any = None) -> Any:
        """Return a file, or a part of it; None if it is not there."""
        done, found = await asyncio.to_thread(self._behind, key, prototype, byte_range)
        return found if done else await super().get(key, prototype, byte_range)

    def get_sync(self, key: str, *, prototype: Any = None, byte_range: Any = None) -> Any:
        """Return a file, or a part of it; None if it is not there."""
        done, found = self._behind(key, prototype, byte_range)
        return found if done else super().get_sync(key, prototype=prototype, byte_range=byte_range)

    async def get_partial_values(self, prototype: Any, key_ranges: Iterable[tuple[str, Any]]) -> list[Any]:
        """Return parts of files."""
        return list(await asyncio.gather(*(self.get(key, prototype, asked) for key, asked in key_ranges)))

    async def getsize(self, key: str) -> int:
        """Return the size of a file in bytes, here or not."""
        entry = await asyncio.to_thread(stubs.read, self.root / key)
        return int(await super().getsize(key)) if entry is None else entry.size
