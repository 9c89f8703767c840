"""What becomes of the data along a coordinate that grows or is cut: arrays get the lengths of their labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hmp_catalog.datasets.cells import blocks
from hmp_catalog.datasets.contents import dims

if TYPE_CHECKING:
    import zarr

    from hmp_catalog.datasets.axes.keeping import Keeper
    from hmp_catalog.datasets.axes.ticks import Growth, Truncation
    from hmp_catalog.datasets.cells.arrays import Cells
    from hmp_catalog.datasets.handle import Handle


def along(handle: Handle, keeper: Keeper) -> list[tuple[Cells, int]]:
    """Return the arrays along a coordinate that are not its own, and which of their axes it is."""
    found = []
    for name, array in handle.arrays().items():
        names = dims(name, array)
        if keeper.name in names and name not in keeper.members:
            found.append((handle.cells(name), names.index(keeper.name)))
    return found


def grow(group: zarr.Group, keeper: Keeper, arrays: list[tuple[Cells, int]], found: Growth) -> None:
    """Make a coordinate longer, and what is along it: before the first by moving what is there."""
    before = found.old.start
    for cells, axis in arrays:
        if before:
            cells.shift(axis, before)
        _resize(cells, axis, len(found.values))
    keeper.write(group, found.values, same=0 if before else found.old.stop)


def cut(group: zarr.Group, keeper: Keeper, arrays: list[tuple[Cells, int]], found: Truncation) -> None:
    """Make a coordinate shorter, and what is along it: cells that nobody sees any more are empty."""
    for cells, axis in arrays:
        _resize(cells, axis, found.kept.stop)
        if found.kept.start:
            _drop(cells, axis, found.kept.start)
    keeper.write(group, found.values, same=0 if found.kept.start else len(found.values))


def _resize(cells: Cells, axis: int, length: int) -> None:
    if cells.shape[axis] != length:
        cells.resize([length if dim == axis else size for dim, size in enumerate(cells.shape)])


def _drop(cells: Cells, axis: int, by: int) -> None:
    """Take the first cells along an axis away: what comes after them moves there, file by file."""
    length = cells.shape[axis] - by
    target = tuple(slice(0, length if dim == axis else size) for dim, size in enumerate(cells.shape))
    for _, window in sorted(blocks.units(target, cells.unit), key=lambda each: each[0][axis]):
        cells.write_codes(window, cells.codes(blocks.moved(window, axis, by)))
    _resize(cells, axis, length)
