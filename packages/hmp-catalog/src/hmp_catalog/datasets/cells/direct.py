"""Chunks straight from the files of arrays whose bytes are known exactly: those that `arrays.create` makes.

Zarr reads the same, and reads everything else: other codecs, other stores. Here a chunk is decompressed where it is
asked for, into memory that is there already, and only files are opened that are needed.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hmp_catalog.datasets.cells import blocks
from hmp_catalog.datasets.cells.blocks import Shape, Window
from hmp_core.errors import CorruptError

if TYPE_CHECKING:
    import zarr
    from numpy.typing import NDArray

    Values = NDArray[Any]
    Index = NDArray[np.uint64]

#: Bytes of a CRC-32C, which is last, and of the offset and the length of a chunk in the index of a shard.
_SUM, _ENTRY = 4, 16

#: The codecs of a chunk, and those of an index.
_OURS, _INDEX = ["bytes", "blosc", "crc32c"], ["bytes", "crc32c"]

#: Where the header of Blosc 1 says how many bytes come out (its README_CHUNK_FORMAT).
_NBYTES = slice(4, 8)

#: What the index says of a chunk that was never written (Zarr v3, "sharding-indexed").
NOTHING = 2**64 - 1


class Files:
    """The files of an array: one for each ``unit`` of cells, which has one chunk, or many and an index of them."""

    def __init__(self, array: zarr.Array[Any], unit: Shape, *, sharded: bool) -> None:
        self._folder: Path = Path(array.store.root) / array.path
        self._key = array.metadata.encode_chunk_key
        self._fill = array.fill_value
        self.unit, self.sharded = unit, sharded
        self.chunks: Shape = tuple(array.chunks)
        self.counts: Shape = tuple(size // chunk for size, chunk in zip(unit, self.chunks, strict=True))

    def scratch(self, stored: Any) -> Scratch:
        """Return memory for chunks of the stored type, which one thread may use again and again."""
        return Scratch(np.empty(self.chunks, dtype=stored))

    def into(self, window: Window, out: Values, scratch: Scratch | None = None) -> None:
        """Put what is stored of a window in ``out``, an array of its shape and of the stored type.

        Raises
        ------
        CorruptError
            If a file is not what was written; ``path`` names it.
        """
        scratch = scratch or self.scratch(out.dtype)
        for number, cells in blocks.units(window, self.unit):
            # the Ellipsis keeps a single value an array
            at: tuple[Any, ...] = (*blocks.within(cells, window), ...)
            target = out[at]
            with self.opened(number, scratch) as file:
                if file is None:
                    target[...] = self._fill
                else:
                    self._chunks_into(file, blocks.inside(cells, self.unit), target)

    def place(self, number: Shape) -> Path:
        """Return where a file is, or would be."""
        return self._folder / str(self._key(number))

    @contextlib.contextmanager
    def opened(self, number: Shape, scratch: Scratch) -> Iterator[File | None]:
        """Open a file, if it is there."""
        path = self.place(number)
        try:
            file = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            yield None
            return
        try:
            yield File(path, file, scratch)
        finally:
            os.close(file)

    def index(self, file: File | None) -> Index:
        """Return the offset and the length of each chunk of a file; `NOTHING` where there is none.

        Raises
        ------
        CorruptError
            If it cannot be read.
        """
        if file is None:
            return np.full((math.prod(self.counts), 2), NOTHING, dtype="<u8")
        return file.index(math.prod(self.counts)) if self.sharded else np.array([[0, file.size]], dtype="<u8")

    def _chunks_into(self, file: File, cells: Window, target: Values) -> None:
        """Put the cells of a file, counted from its first, in place."""
        index = self.index(file)
        for place, part in blocks.units(cells, self.chunks):
            at: tuple[Any, ...] = (*blocks.within(part, cells), ...)
            into = target[at]
            offset, length = index[self.inner(place)].tolist()
            if offset == NOTHING:
                into[...] = self._fill
            else:
                copy(file.chunk(offset, length)[blocks.inside(part, self.chunks)], into)

    def stored(self, chunk: Shape) -> bool:
        """Return whether anything was written to a chunk."""
        number = tuple(n // count for n, count in zip(chunk, self.counts, strict=True))
        inside = tuple(n % count for n, count in zip(chunk, self.counts, strict=True))
        with self.opened(number, Scratch(np.empty(0))) as file:
            offset: int = self.index(file)[self.inner(inside), 0].item()
        return offset != NOTHING

    def inner(self, place: Shape) -> int:
        """Return the number of a chunk of a file in its index."""
        return int(np.ravel_multi_index(place, self.counts)) if place else 0


class Scratch:
    """Memory that one chunk after the other goes through: ``cells`` of it, and the bytes of its file."""

    def __init__(self, cells: Values) -> None:
        self.cells = cells
        self._bytes: Values = np.empty(0, dtype=np.uint8)

    def room(self, count: int) -> Values:
        """Return room for so many bytes."""
        if len(self._bytes) < count:
            self._bytes = np.empty(count, dtype=np.uint8)
        return self._bytes[:count]


class File:
    """A file that is open, as descriptor ``number``."""

    def __init__(self, path: Path, number: int, scratch: Scratch) -> None:
        self.path = path
        self.size = os.fstat(number).st_size
        self._number = number
        self._scratch = scratch

    def index(self, count: int) -> Index:
        """Return the offset and the length of each of so many chunks."""
        length = count * _ENTRY + _SUM
        found = self._checked(self.size - length, length, "the index of its chunks")
        return found.view("<u8").reshape(count, 2).copy()

    def kept(self, offset: int, length: int) -> Values:
        """Return the bytes of a chunk as they are, until the next one is asked for."""
        return self._read(offset, length, "a chunk")

    def chunk(self, offset: int, length: int) -> Values:
        """Return the cells of a chunk, until the next one is asked for."""
        from numcodecs import blosc

        packed = self._checked(offset, length, "a chunk")
        cells = self._scratch.cells
        if int.from_bytes(packed[_NBYTES].tobytes(), "little") != cells.nbytes:
            raise self._damaged("a chunk is not one of shape " + str(cells.shape))
        try:
            blosc.decompress(packed, cells)
        except (RuntimeError, ValueError) as error:
            raise self._damaged(str(error)) from error
        return cells

    def _checked(self, offset: int, length: int, what: str) -> Values:
        """Return bytes of the file without the sum of them at their end, which was as it should be."""
        room = self._read(offset, length, what)
        found = room[:-_SUM]
        if summed(found) != room[-_SUM:].tobytes():
            raise self._damaged(what + " has another checksum than it was written with")
        return found

    def _read(self, offset: int, length: int, what: str) -> Values:
        if offset < 0 or length < _SUM or offset + length > self.size:
            raise self._damaged(what + " would be outside of it")
        room = self._scratch.room(length)
        if os.preadv(self._number, [room.data], offset) != length:
            raise self._damaged(what + " was cut short while it was read")
        return room

    def _damaged(self, why: str) -> CorruptError:
        message = f"{self.path}: cannot be read: {why}; restore it from a backup"
        return CorruptError(message, path=str(self.path))


def files(array: zarr.Array[Any]) -> Files | None:
    """Return the files of an array; None if they are not in a folder, or have anything in them that is not known."""
    from zarr.storage import LocalStore

    from hmp_catalog.datasets.history.stores import TreeStore

    if type(array.store) not in (LocalStore, TreeStore) or sys.byteorder != "little":
        return None
    said = array.metadata.to_dict()
    regular = said.get("chunk_grid", {}).get("name") == "regular" and not said.get("storage_transformers")
    if not regular or said.get("zarr_format") != 3 or array.dtype.kind not in "iuf":
        return None
    codecs = list(said["codecs"])
    unit: Shape = tuple(said["chunk_grid"]["configuration"]["chunk_shape"])
    if len(codecs) == 1 and codecs[0]["name"] == "sharding_indexed":
        how = codecs[0]["configuration"]
        plain = how["index_location"] == "end" and _names(how["index_codecs"]) == _INDEX
        return Files(array, unit, sharded=True) if plain and _names(how["codecs"]) == _OURS else None
    return Files(array, unit, sharded=False) if _names(codecs) == _OURS else None


def _names(codecs: Any) -> list[str]:
    """Return the names of codecs, with the order of bytes where that is another than here."""
    orders = [each.get("configuration", {}).get("endian", "little") for each in codecs]
    return [each["name"] + order.removeprefix("little") for each, order in zip(codecs, orders, strict=True)]


def summed(data: Any) -> bytes:
    """Return the bytes of the CRC-32C that comes after others."""
    import google_crc32c

    total: int = google_crc32c.value(data)
    return total.to_bytes(_SUM, "little")


def copy(source: Values, target: Values) -> None:
    """Copy cells, a row at once where it can be: NumPy takes a third of the time for that (rows of 20 of 2 bytes)."""
    width = source.dtype.itemsize
    if source.size and source.strides[-1:] == target.strides[-1:] == (width,) and source.shape[-1] > 1:
        row = f"V{source.shape[-1] * width}"
        source, target = source.view(row), target.view(row)
    target[...] = source
