"""Plans of arrays read in one order and given in another: which blocks are read when, what waits, in which parts.

`rechunkit` plans; what it takes is counted here, for it keeps to a budget only where its blocks need not wait long.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hmp_catalog.datasets.cells import blocks
from hmp_catalog.datasets.cells.chunking import checked_chunk_shape, rechunkit
from hmp_core.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hmp_catalog.datasets.cells.blocks import Shape, Window
    from hmp_catalog.datasets.values.packing import Packing
    from hmp_catalog.datasets.variables import DataVariableView

    Values = NDArray[Any]
    Block = tuple[Window, Values]

#: As many bytes of codes are decoded in the time that a request takes (measured: 0.3 ms, 60 requests or 300).
_REQUEST = 1 << 18

#: With more blocks than these, plans are not compared: each takes seconds.
_MOST_COMPARED = 20_000

#: How many bytes an element of text is taken for.
_TEXT = 64


# ── what is read ─────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Source:
    """A view of a variable as something that blocks are read from.

    Attributes
    ----------
    view : DataVariableView
        What is read; windows are counted from where it begins.
    shape, chunks, unit : tuple of int
        Its extent, and that of a chunk and of a file along its dimensions.
    starts : tuple of int
        How far behind the beginning of a file the view begins.
    """

    view: DataVariableView
    shape: Shape
    chunks: Shape
    unit: Shape
    starts: Shape

    @property
    def packing(self) -> Packing:
        """How codes become values."""
        return self.view.packing

    @property
    def itemsize(self) -> int:
        """Bytes of a code."""
        return _TEXT if self.packing.stored == "string" else np.dtype(self.packing.stored).itemsize

    @property
    def decoded_itemsize(self) -> int:
        """Bytes of a value."""
        return max(self.itemsize, self.packing.decoded.itemsize)

    def codes(self, window: Window) -> Values:
        """Return what is stored of a window."""
        return self.view.codes(window)

    def given(self, codes: Values, *, decoded: bool) -> Values:
        """Return an array of its own, of values or of codes."""
        return self.packing.decode(codes) if decoded else codes.copy()

    def grid(self, unit: Shape) -> tuple[tuple[slice, ...], ...]:
        """Return the pieces of each dimension that ``unit`` cuts, where files begin and the view does."""
        sides = []
        for start, length, size in zip(self.starts, self.shape, unit, strict=True):
            pieces = blocks.pieces(slice(start, start + length), size)
            sides.append(tuple(slice(piece.start - start, piece.stop - start) for piece in pieces))
        return tuple(sides)


def source(view: DataVariableView) -> Source:
    """Return a view as something to read from; one by steps, lists or masks has no files that it lies in."""
    selection, chunks = view.selection, tuple(view.chunk_shape)
    shape, dims = tuple(view.shape), selection.dims
    if dims is None:
        message = f"{view.name}: a mask of several dimensions leaves no coordinates to go along; take its .data"
        raise InvalidInput(message)
    if not selection.is_block:
        return Source(view, shape, chunks, chunks, (0,) * len(shape))
    unit, window = view.handle.cells(view.name).unit, selection.window
    along = tuple(unit[axis] for axis in dims)
    return Source(view, shape, chunks, along, tuple(window[d].start % unit[d] for d in dims))


def lengths_of(names: Sequence[str], shape: Shape, spec: Any, *, what: str) -> Shape:
    """Return block lengths along each dimension; coordinates that are not named are not cut.

    Raises
    ------
    NotFound
        A name that is no coordinate. It is a `KeyError`.
    InvalidInput
        Lengths that are no positive integers.
    """
    if isinstance(spec, Mapping):
        for name in spec:
            if name not in names:
                message = f"{what}: no coordinate {name!r}; there are {', '.join(names)}"
                raise NotFound(message, reference=str(name), candidates=list(names))
        spec = tuple(spec.get(name, max(1, size)) for name, size in zip(names, shape, strict=True))
    found = checked_chunk_shape(spec, len(shape), what=f"{what}: chunk_shape")
    return tuple(max(1, min(length, size)) for length, size in zip(found, shape, strict=True))


# ── plans ────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Plan:
    """Which blocks are read for which, within a budget.

    Attributes
    ----------
    unit : tuple of int
        What is read at a time.
    target : tuple of int
        What is given at a time.
    part : tuple of int
        What is planned at a time, one part after the other: what one part holds, the next one has not.
    budget : int
        Bytes for what waits.
    reads, writes : int
        How often something is read, and given.
    held : int
        The bytes that it takes, where that is more than was allowed too: a block of each kind at least.
    """

    unit: Shape
    target: Shape
    part: Shape
    budget: int
    reads: int
    writes: int
    held: int


def plan(of: Source, target: Shape, max_mem: int, *, ordered: bool = True) -> Plan:
    """Return the plan that takes least time: few requests, and no chunk read twice where the budget allows.

    Blocks in C order may have to wait for those beside them: a row of chunks across the array, and that has no limit.
    Where there is no room for it, the array is done in parts; a chunk in several parts is read for each of them. If the
    order does not matter (``ordered`` off) there are parts that have all blocks of their chunks.
    """
    room = max(max_mem // 2, max_mem - math.prod(target) * of.decoded_itemsize)
    few = math.prod(math.ceil(size / length) for size, length in zip(of.shape, target, strict=True)) <= _MOST_COMPARED
    units = [of.chunks, *(_units(of, room // 4) if few else ())]
    found = [_counted(of, unit, target, of.shape, room) for unit in units]
    if all(each.held > room for each in found):
        roughly = [
            (_roughly(of, _fitted(unit, p), target, p), unit, p)
            for p in _parts(of, target, ordered=ordered)
            for unit in units
        ]
        _, unit, part = min(roughly, key=lambda each: (max(each[0][0], room), each[0][1]))
        found.append(_counted(of, _fitted(unit, part), target, part, room))
    fit = [each for each in found if each.held <= room] or [min(found, key=lambda each: each.held)]
    return min(fit, key=lambda each: each.reads * (_decoded(of, each.unit) + _REQUEST))


def _parts(of: Source, target: Shape, *, ordered: bool) -> Iterator[Shape]:
    """Yield parts to do an array in, whose blocks come in C order if ``ordered``; the last one is a block."""
    ideal: Shape = rechunkit().calc_ideal_read_chunk_shape(of.chunks, target, of.shape)
    for axis in range(len(target)):
        rest = of.shape[axis + 1 :]
        if not ordered:
            yield (*ideal[: axis + 1], *rest)
        rows = ideal[axis]
        while rows > target[axis]:
            yield (*target[:axis], rows, *rest)
            rows = rows // 2 // target[axis] * target[axis]
        yield (*target[: axis + 1], *rest)


def _fitted(unit: Shape, part: Shape) -> Shape:
    """Return what is read at a time for parts that are pieces of chunks: no cells that others wait for."""
    return tuple(p if p < size and size % p == 0 else size for size, p in zip(unit, part, strict=True))


def _roughly(of: Source, unit: Shape, target: Shape, part: Shape) -> tuple[int, int]:
    """Return the bytes that a plan in parts holds if each reads its chunks once, and what that costs."""
    within = _placed(of, unit)[1]
    sides = [[_lies(s, size) for s in _cut(w, p)] for w, p, size in zip(within, part, unit, strict=True)]
    reads = math.prod(sum(-(-sum(lies) // size) for lies in side) for side, size in zip(sides, unit, strict=True))
    starts = [max(start for start, _ in side) for side in sides]
    read = rechunkit().calc_ideal_read_chunk_shape(unit, target, part)
    gathered = math.prod(max(r + start, t) for r, start, t in zip(read, starts, target, strict=True))
    held = of.itemsize * (gathered + _waiting(part, read, target))
    return held, reads * (_decoded(of, unit) + _REQUEST)


def _decoded(of: Source, unit: Shape) -> int:
    """Return the bytes that are decoded for a unit: whole chunks."""
    return bytes_of(of, tuple(-(-size // chunk) * chunk for size, chunk in zip(unit, of.chunks, strict=True)))


def _units(of: Source, most: int) -> Iterator[Shape]:
    """Yield what may be read at a time: whole chunks of a file, more of them along the last dimensions first."""
    unit = list(of.chunks)
    for axis in reversed(range(len(unit))):
        unit[axis] = of.unit[axis]
        if tuple(unit) != of.chunks and bytes_of(of, tuple(unit)) <= most:
            yield tuple(unit)


def _counted(of: Source, unit: Shape, target: Shape, part: Shape, room: int) -> Plan:
    """Count what a plan takes; parts that lie alike in their units are counted once."""
    library, within = rechunkit(), _placed(of, unit)[1]
    alike: Counter[tuple[tuple[int, int], ...]] = Counter()
    sides = [Counter(_lies(side, size) for side in _cut(w, p)) for w, p, size in zip(within, part, unit, strict=True)]
    for each in itertools.product(*(side.items() for side in sides)):
        alike[tuple(place for place, _ in each)] += math.prod(count for _, count in each)
    reads = writes = held = 0
    for places, count in alike.items():
        sel = tuple(slice(start, start + length) for start, length in places)
        ends = tuple(side.stop for side in sel)
        counted = library.calc_n_reads_rechunker(ends, of.itemsize, unit, target, room, sel)
        reads, writes = reads + count * counted[0], writes + count * counted[1]
        held = max(held, _held(of, unit, target, sel, room))
    return Plan(unit, target, part, room, reads, writes, held)


def _held(of: Source, unit: Shape, target: Shape, sel: Window, room: int) -> int:
    """Return the bytes that rechunkit takes for a part, where it does not keep to the budget (0.6.0).

    A block that has whole chunks of both kinds is gathered whatever the budget (175 MB for 64), and with it what waits
    for its turn (286 MB for 128 of ten years of hours).
    """
    library, shape, starts = rechunkit(), blocks.extent(sel), tuple(side.start for side in sel)
    read = library.calc_source_read_chunk_shape(unit, target, of.itemsize, room, shape, starts)
    least = bytes_of(of, unit) + bytes_of(of, target)
    if read != library.calc_ideal_read_chunk_shape(unit, target, shape):
        return least
    gathered = math.prod(max(r + start, t) for r, start, t in zip(read, starts, target, strict=True))
    return max(least, of.itemsize * (gathered + _waiting(shape, read, target)))


def _waiting(shape: Shape, read: Shape, target: Shape) -> int:
    """Return how many cells wait at most while blocks are gathered: rows of blocks, until the first has all of its."""
    found = 0
    for axis, (gathered, block) in enumerate(zip(read, target, strict=True)):
        rest = list(zip(shape, read, target, strict=True))[axis + 1 :]
        if any(size > length for size, length, _ in rest):
            row = block * math.prod(target[:axis]) * math.prod(-(-size // length) * length for size, _, length in rest)
            found += (-(-min(gathered, shape[axis]) // block) - 1) * row
    return found


def _lies(side: slice, size: int) -> tuple[int, int]:
    return side.start % size, side.stop - side.start


def _cut(side: slice, size: int) -> Iterator[slice]:
    """Cut a side into lengths of ``size`` from its start on."""
    for start in range(side.start, side.stop, size):
        yield slice(start, min(start + size, side.stop))


def bytes_of(of: Source, unit: Shape) -> int:
    """Return the bytes of codes of a block; what sticks out of the array is none."""
    return of.itemsize * math.prod(min(a, max(1, b)) for a, b in zip(unit, of.shape, strict=True))


def _placed(of: Source, unit: Shape) -> tuple[Shape, Window]:
    """Return the array as it is planned with: it ends where the view ends, and begins where a unit does."""
    starts = tuple(start % size for start, size in zip(of.starts, unit, strict=True))
    stops = tuple(start + length for start, length in zip(starts, of.shape, strict=True))
    return stops, tuple(slice(a, b) for a, b in zip(starts, stops, strict=True))


def carried_out(of: Source, how: Plan) -> Iterator[Block]:
    """Yield the blocks of a plan, part by part, as codes; an array is good until the next one is asked for."""
    stops, within = _placed(of, how.unit)
    starts = tuple(side.start for side in within)

    def read(window: Window) -> Values:
        inside = tuple(slice(max(0, a.start - b), a.stop - b) for a, b in zip(window, starts, strict=True))
        found = of.codes(inside)
        if found.shape == blocks.extent(window):
            return found
        # what a unit has before the view begins is read into its place by rechunkit and never given
        whole = np.empty(blocks.extent(window), dtype=found.dtype)
        whole[tuple(slice(size - length, size) for size, length in zip(whole.shape, found.shape, strict=True))] = found
        return whole

    kind = of.packing.blank((0,)).dtype
    for part in itertools.product(*(_cut(side, size) for side, size in zip(within, how.part, strict=True))):
        sizes = {"max_mem": how.budget, "sel": part, "itemsize": of.itemsize}
        for place, codes in rechunkit().rechunker(read, stops, kind, how.unit, how.target, **sizes):
            shifts = (side.start - start for side, start in zip(part, starts, strict=True))
            given = codes if how.part == of.shape else codes.copy()  # or the memory of two parts is held
            yield tuple(slice(a.start + by, a.stop + by) for a, by in zip(place, shifts, strict=True)), given
        del codes
