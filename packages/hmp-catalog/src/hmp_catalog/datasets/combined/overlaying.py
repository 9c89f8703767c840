"""Variables laid over one another, block by block: which of them gives each cell, and nothing larger in memory.

A cell is there if it is not missing; of types that have nothing that means missing all cells are. Whether a chunk was
ever written decides nothing.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hmp_catalog.datasets.axes.joining import runs
from hmp_catalog.datasets.cells import blocks
from hmp_catalog.errors import OverlapRefused

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hmp_catalog.datasets.values.packing import Packing

    Codes = NDArray[Any]
    Positions = NDArray[np.intp]

Region = tuple[slice, ...]
#: The extents of a file and of a chunk of the target.
Files = tuple[tuple[int, ...], tuple[int, ...]]
Overlap = Literal["last", "first", "error"]

#: Bytes that may be in memory at a time, as long as one chunk of the target fits. A file of it, which has 64 MiB of
#: codes at most, is then written once.
MAX_MEM = 2**29

#: Bytes that a block takes, as long as a file of the target is not more: larger ones gain nothing (measured: 10.2 s at
#: 64 MiB, 11.5 s at 256 MiB for 2 GB of codes).
_BLOCK = 2**26

#: Bytes of text, which is as long as it is.
_TEXT = 64

#: Arrays of codes that are there at a time for a block (it, and what is read or written of it in between), and for a
#: piece of it (what is laid on it, and what comes of that).
_OF_BLOCK, _OF_PIECE = 3, 3


@dataclass(frozen=True)
class Layer:
    """A variable that is laid on the target: how its codes are read, and where its cells lie.

    Parameters
    ----------
    name : str
        What it is called in errors.
    read : callable
        Gives the codes of a window: slices of the variable, step 1.
    packing : Packing
        What the codes mean.
    places : tuple of ndarray of int, one for each dimension
        Position in the target of each position of the variable.
    """

    name: str
    read: Callable[[Region], Codes]
    packing: Packing
    places: tuple[Positions, ...]

    @cached_property
    def _ascending(self) -> tuple[bool, ...]:
        return tuple(bool((np.diff(each) > 0).all()) for each in self.places)

    def windows(self, block: Region) -> Iterator[tuple[Region, tuple[Positions, ...]]]:
        """Yield what of the variable lies in a block of the target, and where in the block."""
        sides = []
        for there, ascends, side in zip(self.places, self._ascending, block, strict=True):
            if ascends:
                first, after = np.searchsorted(there, (side.start, side.stop))
                found = [slice(int(first), int(after))] if after > first else []
            else:
                found = runs(np.flatnonzero((there >= side.start) & (there < side.stop)))
            sides.append([(run, there[run] - side.start) for run in found])
        for window in itertools.product(*sides):
            yield tuple(run for run, _ in window), tuple(places for _, places in window)

    def codes(self, window: Region, wanted: Packing) -> Codes:
        """Return the codes of a window in another packing.

        Raises
        ------
        OutOfRange
            A value that the other packing does not reach.
        """
        found = self.read(window)
        if self.packing == wanted:
            return found
        start = tuple(side.start for side in window)
        return wanted.encode(self.packing.masked(found), of=self.name, at=start)


class Block:
    """A block of the target on which layers are laid: its ``codes``, and which cells are there.

    ``changed`` is whether something came that was not there, or another value. ``pieces`` are its regions on which a
    layer is laid at a time.
    """

    def __init__(self, region: Region, packing: Packing, pieces: Sequence[Region] | None = None) -> None:
        self.region = region
        self.changed = False
        self._packing = packing
        self._pieces = pieces or [region]
        self.codes = packing.blank(blocks.extent(region))
        self._there = np.zeros(self.codes.shape, dtype=bool)

    def lay(self, layer: Layer, overlap: Overlap) -> None:
        """Lay a layer on the block.

        Raises
        ------
        OverlapRefused
            If it has cells that are there already, and ``overlap`` is "error".
        """
        for piece in self._pieces:
            # NumPy gives a single value, not a view of it, for an index without "..."
            inside: Any = (*blocks.within(piece, self.region), ...)
            for window, places in layer.windows(piece):
                self._lay(layer, window, (self.codes[inside], self._there[inside], _index(places)), overlap)

    def _lay(
        self, layer: Layer, window: Region, target: tuple[Codes, NDArray[np.bool_], Any], overlap: Overlap
    ) -> None:
        all_codes, all_there, at = target
        codes = layer.codes(window, self._packing)
        comes = ~self._packing.missing(codes)
        there = all_there[at]
        if overlap == "error" and (comes & there).any():
            raise self._refused(layer, window, comes & there)
        if overlap == "first":
            comes &= ~there
        before = all_codes[at]
        self.changed = self.changed or bool((comes & (before != codes)).any())
        all_codes[at] = np.where(comes, codes, before)
        all_there[at] = there | comes

    def _refused(self, layer: Layer, window: Region, clash: NDArray[np.bool_]) -> OverlapRefused:
        inside = zip(window, clash.nonzero() if window else (), strict=True)
        sides = [f"{side.start + cells.min()}:{side.start + cells.max() + 1}" for side, cells in inside]
        region = f"[{', '.join(sides)}]"
        message = (
            f"{layer.name}, {region}: {int(clash.sum())} cells there are in what came before too; say "
            "overlap='last' or 'first' to have one of them"
        )
        return OverlapRefused(message, variable=layer.name, region=region)


def _index(places: tuple[Positions, ...]) -> Any:
    """Return how a block is indexed: by slices, so that nothing is copied, if the places follow one another."""
    sides = [runs(each) for each in places]
    return tuple(each[0] for each in sides) if all(len(each) == 1 for each in sides) else np.ix_(*places)


def touched(layers: Sequence[Layer], shape: tuple[int, ...], unit: tuple[int, ...]) -> Region:
    """Return the part of a target, in whole units of it, that layers lie in."""
    found = []
    for axis, (length, size) in enumerate(zip(shape, unit, strict=True)):
        ends = [(int(each.places[axis].min()), int(each.places[axis].max()) + 1) for each in layers if _has_cells(each)]
        start, stop = min((end[0] for end in ends), default=0), max((end[1] for end in ends), default=0)
        found.append(slice(start // size * size, min(length, -(-stop // size) * size)))
    return tuple(found)


def _has_cells(layer: Layer) -> bool:
    return all(len(each) for each in layer.places)


def cut(region: Region, packing: Packing, files: Files, max_mem: int) -> Iterator[Region]:
    """Yield a region in blocks that begin where files do, or chunks where a whole file is too much for ``max_mem``."""
    cell, room = _OF_BLOCK * _itemsize(packing) + 1, max_mem * 3 // 4
    unit, chunks = files
    fits = math.prod(unit) * cell <= room
    yield from blocks.slabs(region, unit if fits else chunks, cell, min(room, _BLOCK))


def laid(
    region: Region, packing: Packing, layers: Sequence[Layer], overlap: Overlap, room: tuple[tuple[int, ...], int]
) -> Block | None:
    """Return a block with all layers laid on it, the first of which is what is there; None if nothing changes.

    ``room`` is the extent of a chunk, and how many bytes may be in memory beside the block.
    """
    there, *coming = layers
    if not any(_lies_in(layer, region) for layer in coming):
        return None
    again = any(layer.packing != packing for layer in coming)
    cell = _OF_PIECE * (_itemsize(packing) + 1) + (3 * packing.decoded.itemsize + 8 if again else 0)
    chunks, max_mem = room
    block = Block(region, packing, list(blocks.slabs(region, chunks, cell, min(max_mem, _BLOCK) // 4)))
    block.lay(there, "last")
    block.changed = False
    for layer in coming:
        block.lay(layer, overlap)
    return block if block.changed else None


def _itemsize(packing: Packing) -> int:
    return _TEXT if packing.stored == "string" else np.dtype(packing.stored).itemsize


def _lies_in(layer: Layer, region: Region) -> bool:
    return next(layer.windows(region), None) is not None
