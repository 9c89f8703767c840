"""Files of many chunks written chunk by chunk: none of them is in memory as a whole, or written more than once.

Zarr makes such a file in memory, of three times its size (measured: 190 MB for 61 MB of codes), and makes it anew for
each chunk that is assigned. Here chunks are compressed as they come and put at the end of a file beside; with the last
one it gets its index, and takes its place. Nothing else may write to these files meanwhile.
"""

from __future__ import annotations

import math
import os
import uuid
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from hmp_catalog.datasets.cells import direct
from hmp_catalog.datasets.cells.laying import Press
from hmp_core.durable import translated

if TYPE_CHECKING:
    import zarr
    from numpy.typing import NDArray

    from hmp_catalog.datasets.cells.blocks import Shape

    Values = NDArray[Any]


@dataclass
class _Begun:
    """A file under way: where it is, its index, how long it is, and how many chunks are to come."""

    beside: Path
    index: NDArray[np.uint64]
    size: int
    left: int


class Pouring:
    """Write all chunks of an array of many chunks in a file, in any order. Used in a ``with`` statement.

    Parameters
    ----------
    array : zarr.Array
        One that `known` knows, of the tree of a session.
    """

    def __init__(self, array: zarr.Array[Any]) -> None:
        self._folder = Path(array.store.root) / array.path
        self._key = array.metadata.encode_chunk_key
        self._press = Press(array)
        self._chunks: Shape = tuple(array.chunks)
        self._counts = tuple(a // b for a, b in zip(array.shards or array.chunks, array.chunks, strict=True))
        self._all = tuple(math.ceil(a / b) for a, b in zip(array.shape, array.chunks, strict=True))
        self._begun: dict[Shape, _Begun] = {}

    def put(self, number: Shape, codes: Values) -> None:
        """Write a chunk, by its number; what sticks out of the array may be left away.

        Raises
        ------
        StorageError
            If the disk refuses it.
        """
        file = tuple(n // count for n, count in zip(number, self._counts, strict=True))
        begun = self._begun.get(file) or self._begin(file)
        data, inside = self._packed(codes), tuple(n % count for n, count in zip(number, self._counts, strict=True))
        with translated(begun.beside):
            if data:
                begun.beside.parent.mkdir(parents=True, exist_ok=True)  # others separate the numbers by "/"
                with begun.beside.open("ab") as opened:
                    opened.write(data)
                begun.index[np.ravel_multi_index(inside, self._counts)] = begun.size, len(data)
                begun.size += len(data)
            begun.left -= 1
            if not begun.left:
                self._finish(file, begun)

    def _begin(self, file: Shape) -> _Begun:
        beside = self._folder / f"{self._key(file)}.{uuid.uuid4().hex}.partial"
        index = np.full((math.prod(self._counts), 2), direct.NOTHING, dtype="<u8")
        inside = (min(count, total - n * count) for n, count, total in zip(file, self._counts, self._all, strict=True))
        self._begun[file] = _Begun(beside, index, 0, math.prod(inside))
        return self._begun[file]

    def _packed(self, codes: Values) -> bytes:
        """Return a chunk as it is stored; nothing if it has only missing cells."""
        plain = codes
        if codes.shape != self._chunks:
            plain = np.full(self._chunks, self._press.blank)
            plain[tuple(slice(0, size) for size in codes.shape)] = codes
        packed = self._press.packed(plain)
        return packed and packed + direct.summed(packed)

    def _finish(self, file: Shape, begun: _Begun) -> None:
        place = self._folder / self._key(file)
        if not begun.size:
            place.unlink(missing_ok=True)
        else:
            index = begun.index.tobytes()
            with begun.beside.open("ab") as opened:
                opened.write(index + direct.summed(index))
            os.replace(begun.beside, place)
        del self._begun[file]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        for begun in self._begun.values():
            begun.beside.unlink(missing_ok=True)


def known(array: zarr.Array[Any]) -> bool:
    """Whether an array has files of many chunks, whose bytes are known exactly."""
    return array.shards is not None and direct.files(array) is not None
