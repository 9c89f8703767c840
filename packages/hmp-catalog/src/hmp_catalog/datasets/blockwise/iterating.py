"""Variables given block by block: their chunks, blocks of lengths that are asked for, pieces of unlike lengths.

Every array that is given is its own: it may be kept or changed. Blocks come in C order. Files are read in large pieces
from one end to the other, so that each chunk is decoded once; only what is larger than the budget is planned by
``rechunking`` (blocks of one length) or read block by block.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hmp_catalog.datasets.blockwise import planning, rechunking
from hmp_catalog.datasets.blockwise.planning import Source, source
from hmp_catalog.datasets.blockwise.rechunking import MAX_MEM, checked_mem
from hmp_catalog.datasets.cells import blocks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hmp_catalog.datasets.blockwise.planning import Block
    from hmp_catalog.datasets.cells.blocks import Shape, Window
    from hmp_catalog.datasets.dataset import DatasetView
    from hmp_catalog.datasets.variables import DataVariableView

    Values = NDArray[Any]
    Sides = tuple[tuple[slice, ...], ...]
    Blocks = Iterator[tuple[dict[str, slice], dict[str, Values]]]

#: Bytes of codes that are read at a time where the budget has more: beyond them nothing gets faster.
_SLAB = 32 << 20


# ── what is asked for ────────────────────────────────────────────────────────────────────────────────


def iter_chunks(
    view: DataVariableView,
    chunk_shape: Any = None,
    max_mem: int = MAX_MEM,
    *,
    decoded: bool = True,
    include_data: bool = True,
) -> Iterator[Any]:
    """Yield the blocks of a variable; `DataVariableView.iter_chunks` says how."""
    of, room = source(view), checked_mem(max_mem)
    if chunk_shape is None:
        sides = of.grid(of.chunks)
        return itertools.product(*sides) if not include_data else _chunks(of, room, decoded=decoded)
    sides = cut(of.shape, planning.lengths_of(view.coord_names, of.shape, chunk_shape, what=view.name))
    return pieces(of, sides, room, decoded=decoded) if include_data else itertools.product(*sides)


def iter_dataset(
    dataset: DatasetView,
    chunk_shape: Any,
    data_vars: Iterable[str] | None = None,
    max_mem: int = MAX_MEM,
    *,
    decoded: bool = True,
    include_data: bool = True,
) -> Iterator[Any]:
    """Yield the blocks of several variables together; `DatasetView.iter_chunks` says how."""
    views = named(dataset, data_vars)
    names, shape = rechunking.together(views), tuple(views[0].shape)
    sides = cut(shape, planning.lengths_of(names, shape, chunk_shape, what=str(dataset.file_path)))
    if not include_data:
        return (dict(zip(names, place, strict=True)) for place in itertools.product(*sides))
    return pieces_together(views, sides, max_mem, decoded=decoded)


def named(dataset: DatasetView, data_vars: Iterable[str] | None) -> list[DataVariableView]:
    """Return the data variables of these names, all if none are given.

    Raises
    ------
    NotFound
        A name that is no data variable. It is a `KeyError`.
    """
    given = dataset.data_var_names if data_vars is None else (data_vars,) if isinstance(data_vars, str) else data_vars
    names = tuple(given)
    for name in names:
        if name not in dataset.data_var_names:
            raise dataset.handle.missing(name)
    return [dataset[name] for name in names]


def cut(shape: Shape, lengths: Shape) -> Sides:
    """Return the pieces of each dimension, all of one length but the last."""
    return tuple(tuple(blocks.pieces(slice(0, size), step)) for size, step in zip(shape, lengths, strict=True))


# ── pieces ───────────────────────────────────────────────────────────────────────────────────────────


def pieces(of: Source, sides: Sides, max_mem: int, *, decoded: bool = True) -> Iterator[Block]:
    """Yield the blocks that pieces of the dimensions make; pieces follow one another and leave nothing out."""
    if not math.prod(of.shape):
        return
    axis = next((axis for axis, side in enumerate(sides) if len(side) > 1), 0)
    lengths, spare, row = _regular(sides, of.shape), _spare(of, sides, axis, max_mem), _row(of, axis)
    chunk = of.chunks[axis] if sides else 1
    planned = lengths is not None and math.prod(lengths) * of.decoded_itemsize * 2 < max_mem
    if not sides or spare >= row * chunk or (spare >= row and not planned):
        yield from _streamed(of, sides, axis, max(1, spare // row), decoded=decoded)
    elif lengths is not None and planned:
        for place, codes in planning.carried_out(of, planning.plan(of, lengths, max_mem)):
            yield place, of.given(codes, decoded=decoded)
    else:
        for place in itertools.product(*sides):
            yield place, of.given(of.codes(place), decoded=decoded)


def pieces_together(views: Sequence[DataVariableView], sides: Sides, max_mem: int, *, decoded: bool = True) -> Blocks:
    """Yield the blocks of several variables, by coordinate and by variable."""
    shares = zip(views, rechunking.shared(views, max_mem), strict=True)
    return rechunking.zipped(views, [pieces(source(view), sides, share, decoded=decoded) for view, share in shares])


def _regular(sides: Sides, shape: Shape) -> Shape | None:
    """Return the length of all pieces of each dimension; None if those of one differ."""
    lengths = tuple(blocks.length(side[0]) for side in sides)
    return lengths if all(a == b for a, b in zip(sides, cut(shape, lengths), strict=True)) else None


def _row(of: Source, axis: int) -> int:
    """Return the bytes of codes for each step along a dimension."""
    return of.itemsize * math.prod(of.shape) // of.shape[axis] if of.shape else of.itemsize


def _spare(of: Source, sides: Sides, axis: int, max_mem: int) -> int:
    """Return what a budget leaves beside a piece of a dimension, twice where it is put together, and what is given."""
    longest = max((blocks.length(side) for side in sides[axis]), default=0) if sides else 0
    given = math.prod(max(blocks.length(side) for side in each) for each in sides) * of.decoded_itemsize
    return max_mem - 2 * longest * _row(of, axis) - given


def _streamed(of: Source, sides: Sides, axis: int, steps: int, *, decoded: bool) -> Iterator[Block]:
    """Read along a dimension, and cut the others from what was read."""
    if not sides:
        yield (), of.given(of.codes(()), decoded=decoded)
        return
    across = tuple(slice(0, size) for size in of.shape)
    for side, codes in _along(of, sides[axis], axis, steps):
        for rest in itertools.product(*sides[axis + 1 :]):
            place = (*across[:axis], side, *rest)
            yield place, of.given(codes[(slice(None),) * (axis + 1) + rest], decoded=decoded)
        del codes  # what it is a part of makes room for the next


def _along(of: Source, side: Sequence[slice], axis: int, steps: int) -> Iterator[tuple[slice, Values]]:
    """Yield the codes of pieces of a dimension, all across; an array is good until the next one is asked for."""
    slabs = iter(_slabs(of, axis, steps))
    start = stop = 0
    held: Values = of.packing.blank((0,))
    for piece in side:
        waiting: list[Values] = []
        at = piece.start
        while at < piece.stop:
            if at >= stop:
                window = next(slabs)
                start, stop = window[axis].start, window[axis].stop
                del held  # before there is another one as large
                held = of.codes(window)
            end = min(piece.stop, stop)
            waiting.append(held[(slice(None),) * axis + (slice(at - start, end - start),)])
            if end < piece.stop:
                waiting[-1] = waiting[-1].copy()
            at = end
        yield piece, np.concatenate(waiting, axis=axis) if waiting[1:] else waiting.pop()


def _slabs(of: Source, axis: int, steps: int) -> Iterator[Window]:
    """Yield blocks all across, of so many steps or fewer, that end where files end or at least chunks do."""
    size = next((size for size in (of.unit[axis], of.chunks[axis]) if size <= steps), steps)
    length = max(1, min(steps, _SLAB // _row(of, axis)) // size) * size
    start = of.starts[axis]
    across = [slice(0, each) for each in of.shape]
    for piece in blocks.pieces(slice(start, start + of.shape[axis]), length):
        yield (*across[:axis], slice(piece.start - start, piece.stop - start), *across[axis + 1 :])


# ── chunks ───────────────────────────────────────────────────────────────────────────────────────────


def _chunks(of: Source, max_mem: int, *, decoded: bool) -> Iterator[Block]:
    """Yield the chunks of a variable as they are stored, as much of each as the view has, file by file."""
    for file in itertools.product(*of.grid(of.unit)):
        stored = tuple(slice(a.start + b, a.stop + b) for a, b in zip(file, of.starts, strict=True))
        for slab in blocks.slabs(stored, of.chunks, of.itemsize, min(_SLAB, max_mem // 2)):
            codes = of.codes(blocks.within(slab, tuple(slice(b, b) for b in of.starts)))
            for _, window in blocks.units(slab, of.chunks):
                place = blocks.within(window, tuple(slice(b, b) for b in of.starts))
                yield place, of.given(codes[blocks.within(window, slab)], decoded=decoded)
