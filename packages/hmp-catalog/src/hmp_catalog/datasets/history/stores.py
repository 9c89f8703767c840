"""The stores that trees are read and written through: files are put in the place of others, what is missing is fetched.

`LocalStore` writes beside and renames (zarr 3.1.6 to 3.4.2, tested). The codec pipeline of ``zarrs`` does not ask it:
for a `LocalStore`, and for that class alone, it opens the files itself and writes over them (zarrs 0.2.3, measured),
which would change every version that shares the file. For a store of another class it steps back.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

from zarr.storage import LocalStore

from hmp_catalog.datasets.history import layout


def of(folder: Path, *, read_only: bool) -> LocalStore:
    """Return the store of a tree of a data set; one that fetches, where parts of the data set are behind a URL."""
    home = layout.home(folder)
    if home is None:
        return TreeStore(folder, read_only=read_only)
    from hmp_catalog.datasets.remote import missing  # what is behind a URL stands on the versions, not they on it

    return missing.store(folder, home, read_only=read_only)


def reading(folder: Path) -> LocalStore:
    """Return the store of a version, which nobody writes to; where it was never pushed, any pipeline of codecs may."""
    return LocalStore(folder, read_only=True) if layout.home(folder) is None else of(folder, read_only=True)


class TreeStore(LocalStore):  # type: ignore[misc]
    """A `LocalStore` that ``zarrs`` does not take for one."""

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Return what is in a folder, but for the hidden files of the data set."""
        async for name in super().list_dir(prefix):
            if not name.startswith("."):
                yield name
