"""The stores that trees are read and written through: files are put in the place of others, what is missing is fetched.

`LocalStore` writes beside and renames (zarr 3.1.6 to 3.4.2, tested). The codec pipeline of ``zarrs`` does not ask it:
for a `LocalStore`, and for that class alone, it opens the files itself and writes over them (zarrs 0.2.3, measured),
which would change every version that shares the file. For a store of another class it steps back.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zarr.abc.store import OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from zarr.core.buffer import default_buffer_prototype
from zarr.storage import LocalStore

from hmp_catalog.datasets.remote import standing, stubs
from hmp_catalog.datasets.remote.manifests import Entry

if TYPE_CHECKING:
    from hmp_catalog.datasets.remote.fetching import Fetcher

_ABSENT = (FileNotFoundError, IsADirectoryError, NotADirectoryError)


def of(folder: Path, *, read_only: bool) -> LocalStore:
    """Return the store of a tree of a data set; one that fetches, where parts of the data set are behind a URL."""
    return (FetchingStore if _waits(folder) else TreeStore)(folder, read_only=read_only)


def reading(folder: Path) -> LocalStore:
    """Return the store of a version, which nobody writes to; where it was never pushed, any pipeline of codecs may."""
    return LocalStore(folder, read_only=True) if stubs.home(folder) is None else of(folder, read_only=True)


def _waits(folder: Path) -> bool:
    """Whether there may be stubs in a tree: in one beside the versions always, in others if they say so."""
    home = stubs.home(folder)
    if home is None:
        return False
    on = standing.standing(folder)
    return on is None or not on.whole or home in Path(os.path.realpath(folder)).parents


class TreeStore(LocalStore):  # type: ignore[misc]
    """A `LocalStore` that ``zarrs`` does not take for one."""

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Return what is in a folder, but for the hidden files of the data set."""
        async for name in super().list_dir(prefix):
            if not name.startswith("."):
                yield name


class FetchingStore(TreeStore):
    """A tree some of whose files are stubs, which are seen by nobody who reads through it."""

    @cached_property
    def _fetcher(self) -> Fetcher:
        from hmp_catalog.datasets.remote.fetching import Fetcher

        home = stubs.home(self.root)
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
        start, stop = _limits(byte_range, entry)
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


def _limits(asked: Any, entry: Entry) -> tuple[int, int]:
    match asked:
        case RangeByteRequest():
            return asked.start, asked.end
        case OffsetByteRequest():
            return asked.offset, entry.size
        case SuffixByteRequest():
            return max(0, entry.size - asked.suffix), entry.size
        case _:
            return 0, entry.size
