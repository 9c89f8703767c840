"""Where a store lies: in a folder of its own, or in the pack of its run. Both are read alike."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from hmp_catalog.packs import Packed

if TYPE_CHECKING:
    from zarr.abc.store import Store


def size_of(place: Path | Packed, name: str) -> int:
    """Return the size of a file of a store; 0 if it is not there."""
    if isinstance(place, Packed):
        return (place / name).size()
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return (place / name).stat().st_size
    return 0


def zarr_store(place: Path | Packed) -> Store:
    """Return a store as zarr takes it; it is only read."""
    from zarr.storage import LocalStore

    from hmp_catalog.fields.packed import PackedStore

    return PackedStore(place) if isinstance(place, Packed) else LocalStore(place, read_only=True)
