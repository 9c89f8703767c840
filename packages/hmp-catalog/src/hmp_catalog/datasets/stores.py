"""The store that trees are written through: a file is always put in the place of another, never changed in place.

`LocalStore` writes beside and renames (zarr 3.1.6 to 3.4.2, tested). The codec pipeline of ``zarrs`` does not ask it:
for a `LocalStore`, and for that class alone, it opens the files itself and writes over them (zarrs 0.2.3, measured),
which would change every version that shares the file. For a store of another class it steps back.
"""

from __future__ import annotations

from zarr.storage import LocalStore


class TreeStore(LocalStore):  # type: ignore[misc]
    """A `LocalStore` that ``zarrs`` does not take for one."""
