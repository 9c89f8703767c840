"""Arrays cut along the grid of their files: which blocks a window has, how large a shard is. Numbers only."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

from hmp_catalog.fields import schema

Window = tuple[slice, ...]
Shape = tuple[int, ...]

#: Bytes of codes in one file, before compression: as of the fields of runs.
SHARD_BYTES = schema.SHARD_BYTES

#: Bytes of codes that are read or written at a time, where one file has not more.
SLAB_BYTES = 16 << 20


def shards(shape: Sequence[int], chunks: Sequence[int], itemsize: int) -> Shape | None:
    """Return the extent of a file of many chunks; None where a file has one.

    It is one chunk long in the dimension that grows, the first, so that what is appended changes no file but the last,
    and as wide in the others as `SHARD_BYTES` allow: a point series then opens one file for each step of chunks.

    Examples
    --------
    >>> shards((8760, 100, 100), (730, 20, 20), 2)
    (730, 100, 100)
    """
    room = max(1, SHARD_BYTES // (math.prod(chunks) * itemsize))
    found = list(chunks)
    for axis in range(len(chunks) - 1, 0, -1):
        count = max(1, min(room, -(-shape[axis] // chunks[axis])))
        found[axis] = count * chunks[axis]
        room //= count
    return None if found == list(chunks) else tuple(found)


def slabs(window: Window, unit: Sequence[int], itemsize: int, limit: int = SLAB_BYTES) -> Iterator[Window]:
    """Cut a window between units into blocks of at most ``limit`` bytes, or of one unit where that is more."""
    yield from _cut(window, tuple(unit), max(1, limit // itemsize), 0)


def _cut(window: Window, unit: Shape, room: int, axis: int) -> Iterator[Window]:
    if size(window) == 0:
        return
    if axis == len(window) or size(window) <= room:
        yield window
        return
    row = size(window) // length(window[axis])
    count = max(1, room // (row * unit[axis]))
    for side in pieces(window[axis], count * unit[axis]):
        yield from _cut((*window[:axis], side, *window[axis + 1 :]), unit, room, axis + 1)


def units(window: Window, unit: Sequence[int]) -> Iterator[tuple[Shape, Window]]:
    """Yield the number of each unit that a window has cells of, and these cells."""
    sides = [list(pieces(side, size)) for side, size in zip(window, unit, strict=True)]
    for cells in itertools.product(*sides):
        yield tuple(side.start // size for side, size in zip(cells, unit, strict=True)), cells


def pieces(side: slice, size: int) -> Iterator[slice]:
    """Cut a side of a window at multiples of ``size``."""
    start = side.start
    while start < side.stop:
        stop = min(side.stop, (start // size + 1) * size)
        yield slice(start, stop)
        start = stop


def covered(number: Shape, unit: Sequence[int], shape: Sequence[int]) -> Window:
    """Return the cells of an array that are in the unit of that number."""
    return tuple(slice(n * u, min((n + 1) * u, s)) for n, u, s in zip(number, unit, shape, strict=True))


def extent(window: Window) -> Shape:
    """Return the shape of a window."""
    return tuple(length(side) for side in window)


def size(window: Window) -> int:
    """Return how many cells a window has."""
    return math.prod(extent(window))


def length(side: slice) -> int:
    """Return how long a side of a window is."""
    found: int = side.stop - side.start
    return max(0, found)


def within(part: Window, window: Window) -> Window:
    """Return a part of a window counted from where the window begins."""
    return tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(part, window, strict=True))


def inside(window: Window, unit: Sequence[int]) -> Window:
    """Return a window that lies in one unit, counted from where the unit begins."""
    starts = [side.start // size * size for side, size in zip(window, unit, strict=True)]
    return tuple(slice(side.start - at, side.stop - at) for side, at in zip(window, starts, strict=True))


def moved(window: Window, axis: int, by: int) -> Window:
    """Return a window that lies ``by`` further along ``axis``."""
    side = window[axis]
    return (*window[:axis], slice(side.start + by, side.stop + by), *window[axis + 1 :])
