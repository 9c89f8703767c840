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

from hmp_catalog.datasets import blocks
from hmp_catalog.datasets.joining import runs
from hmp_catalog.errors import OverlapRefused

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hmp_catalog.datasets.packing import Packing

    Codes = NDArray[Any]
    Positions = NDArray[np.intp]

Region = tuple[slice, ...]
#: The extents of a file and of a chunk of the target.
Files = tuple[tuple[int, ...], tuple[int, ...]]
Overlap = Literal["last", "first", "error"]

#: Bytes that may be in memory at a time, as long as one chunk of the target fits.
MAX_MEM = 2**28

#: Bytes of text, which is as long as it is.
_TEXT = 64

#: Arrays of codes that are there at a time for a block: it, what is laid on it, what is read or written for it.
_COPIES = 5


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

    ``changed`` is whether something came that was not there, or another value.
    """

    def __init__(self, region: Region, packing: Packing) -> None:
        self.region = region
        self.changed = False
        self._packing = packing
        self.codes = packing.blank(blocks.extent(region))
        self._there = np.zeros(self.codes.shape, dtype=bool)

    def lay(self, layer: Layer, overlap: Overlap) -> None:
        """Lay a layer on the block.

        Raises
        ------
        OverlapRefused
            If it has cells that are there already, and ``overlap`` is "error".
        """
        for window, places in layer.windows(self.region):
            codes = layer.codes(window, self._packing)
            comes = ~self._packing.missing(codes)
            at = _index(places)
            there = self._there[at]
            if overlap == "error" and (comes & there).any():
                raise self._refused(layer, window, comes & there)
            if overlap == "first":
                comes &= ~there
            before = self.codes[at]
            self.changed = self.changed or bool((comes & (before != codes)).any())
            self.codes[at] = np.where(comes, codes, before)
            self._there[at] = there | comes

    def _refused(self, layer: Layer, window: Region, clash: NDArray[np.bool_]) -> OverlapRefused:
        inside = zip(window, clash.nonzero(), strict=True)
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


def cut(region: Region, packing: Packing, layers: Sequence[Layer], files: Files, max_mem: int) -> Iterator[Region]:
    """Yield a region in blocks that begin where files do, or chunks where a whole file is more than ``max_mem``."""
    item = _TEXT if packing.stored == "string" else np.dtype(packing.stored).itemsize
    again = any(layer.packing != packing for layer in layers)
    cell = _COPIES * item + 4 + (3 * packing.decoded.itemsize + 8 if again else 0)
    unit, chunks = files
    fits = math.prod(unit) * cell <= max_mem
    yield from blocks.slabs(region, unit if fits else chunks, cell, max_mem)


def laid(region: Region, packing: Packing, layers: Sequence[Layer], overlap: Overlap) -> Block | None:
    """Return a block with all layers laid on it, the first of which is what is there; None if nothing changes."""
    there, *coming = layers
    if not any(_lies_in(layer, region) for layer in coming):
        return None
    block = Block(region, packing)
    block.lay(there, "last")
    block.changed = False
    for layer in coming:
        block.lay(layer, overlap)
    return block if block.changed else None


def _lies_in(layer: Layer, region: Region) -> bool:
    return next(layer.windows(region), None) is not None
