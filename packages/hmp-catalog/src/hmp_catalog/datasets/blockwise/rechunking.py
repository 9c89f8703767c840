"""Arrays read in one order and given in another: `rechunkit` plans which blocks are read when, and what waits.

What waits are codes, a half or a quarter of the values: they are decoded as blocks are given. A plan reads several
chunks of a file at once where the budget has room for them, for each request costs as much as decoding some chunk.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from hmp_catalog.datasets.blockwise.planning import Plan, Source, bytes_of, carried_out, lengths_of, plan, source
from hmp_catalog.datasets.cells import pouring
from hmp_catalog.datasets.cells.chunking import checked_chunk_shape, guess_chunk_shape, rechunkit
from hmp_catalog.datasets.values import infinities
from hmp_core.errors import InvalidInput

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hmp_catalog.datasets.blockwise.planning import Block
    from hmp_catalog.datasets.cells.blocks import Shape
    from hmp_catalog.datasets.variables import DataVariableView

    Values = NDArray[Any]

#: The budget of everything that is done by blocks, in bytes.
MAX_MEM = 2**29


# ── one variable ─────────────────────────────────────────────────────────────────────────────────────


class Rechunker:
    """A variable, or a part of one, in other chunks than those it is stored in. ``var.rechunker()`` makes it.

    Parameters
    ----------
    view : DataVariableView
        What is read.
    """

    def __init__(self, view: DataVariableView) -> None:
        self._source = source(view)

    def guess_chunk_shape(self, target_chunk_size: int = 2**21) -> Shape:
        """Return a chunk shape of about that many bytes of codes; see `guess_chunk_shape`."""
        return guess_chunk_shape(self._source.shape, self._source.itemsize, target_chunk_size)

    def calc_ideal_read_chunk_shape(self, target_chunk_shape: Any) -> Shape:
        """Return the block that has whole chunks of both kinds: with room for it each chunk is read once."""
        of, target = self._source, self._target(target_chunk_shape)
        ideal: Shape = rechunkit().calc_ideal_read_chunk_shape(of.chunks, target, of.shape)
        return ideal

    def calc_ideal_read_chunk_mem(self, target_chunk_shape: Any) -> int:
        """Return how many bytes of codes that block has."""
        return math.prod(self.calc_ideal_read_chunk_shape(target_chunk_shape)) * self._source.itemsize

    def calc_source_read_chunk_shape(self, target_chunk_shape: Any, max_mem: int = MAX_MEM) -> Shape:
        """Return the block that is gathered at a time with so many bytes."""
        of, target = self._source, self._target(target_chunk_shape)
        phase = tuple(start % size for start, size in zip(of.starts, of.chunks, strict=True))
        found: Shape = rechunkit().calc_source_read_chunk_shape(
            of.chunks, target, of.itemsize, checked_mem(max_mem), of.shape, phase
        )
        return found

    def calc_n_chunks(self) -> int:
        """Return in how many chunks it is stored."""
        return math.prod(len(side) for side in self._source.grid(self._source.chunks))

    def calc_n_reads_rechunker(self, target_chunk_shape: Any, max_mem: int = MAX_MEM) -> tuple[int, int]:
        """Return how often something is read and how many blocks are given.

        A read is one request for one or more chunks of a file, where cfdb counts chunks.
        """
        how = self._plan(target_chunk_shape, max_mem)
        return (how.reads, how.writes) if how else (0, 0)

    def rechunk(
        self,
        target_chunk_shape: Any,
        max_mem: int = MAX_MEM,
        decoded: bool = True,  # noqa: FBT001, FBT002 - as iter_chunks of cfdb
    ) -> Iterator[Block]:
        """Yield blocks in C order with where they are; each array is its own.

        Parameters
        ----------
        target_chunk_shape : sequence of int or mapping
            Lengths of a block along each dimension, or by the name of the coordinate; those that are not named are
            not cut. Blocks begin where the view does.
        max_mem : int
            Bytes for everything that waits. One block, and one chunk, is held however small it is.
        decoded
            Codes instead of values if off.

        Raises
        ------
        NotFound
            A name that is no coordinate.
        InvalidInput
            Lengths or bytes that are no positive integers.

        Examples
        --------
        >>> for place, values in variable.rechunker().rechunk({"time": 8760, "y": 5, "x": 5}):  # doctest: +SKIP
        ...     print(place, values.mean())
        """
        of, how = self._source, self._plan(target_chunk_shape, max_mem)
        blocks_of = carried_out(of, how) if how else ()
        return ((place, of.given(codes, decoded=decoded)) for place, codes in blocks_of)

    def into(self, variable: DataVariableView, max_mem: int = MAX_MEM) -> None:
        """Write it into another variable of the same shape, each file of that one once.

        Codes are written as they are read where both variables are packed alike. A loop over `rechunk` that assigns
        blocks does the same; but where a file has many chunks, each assignment of one writes the file anew.

        Parameters
        ----------
        variable : DataVariable or DataVariableView
            What is written, also of another data set. Other threads that write there wait.
        max_mem : int
            Bytes for everything that waits.

        Raises
        ------
        InvalidInput
            Another shape, a variable that may not be written, or the variable itself.
        OutOfRange
            A value that the other variable does not keep; files before it are written.
        """
        of, target, room = self._source, source(variable), checked_mem(max_mem)
        _refuse_unlike(of, target)
        with variable.handle.writing() as group, infinities.gathered():
            array = group[variable.name]
            if not math.prod(of.shape):
                return
            whole = variable.selection.is_block and tuple(array.shape) == target.shape
            if whole and pouring.known(array):
                with pouring.Pouring(array) as files:
                    for place, codes in _recoded(of, target, target.chunks, room):
                        variable.handle.writes.begun += 1
                        number = (side.start // size for side, size in zip(place, target.chunks, strict=True))
                        files.put(tuple(number), codes)
            else:
                for place, codes in _recoded(of, target, _file_within(target, room), room):
                    variable.set(place, codes, decoded=False)

    def _target(self, given: Any) -> Shape:
        return lengths_of(self._source.view.coord_names, self._source.shape, given, what=self._source.view.name)

    def _plan(self, given: Any, max_mem: int) -> Plan | None:
        target, room = self._target(given), checked_mem(max_mem)
        return plan(self._source, target, room) if math.prod(self._source.shape) else None


def checked_mem(given: Any) -> int:
    """Return a budget in bytes.

    Raises
    ------
    InvalidInput
        Anything but a positive integer.
    """
    return checked_chunk_shape((given,), what="max_mem")[0]


def _refuse_unlike(of: Source, target: Source) -> None:
    if of.shape != target.shape:
        message = f"{target.view.name} has the shape {target.shape}, {of.view.name} {of.shape}; they must be the same"
        raise InvalidInput(message)
    if of.view.handle is target.view.handle and of.view.name == target.view.name:
        message = f"{of.view.name} cannot be written into itself; make a variable with other chunks"
        raise InvalidInput(message)


def _recoded(of: Source, target: Source, shape: Shape, max_mem: int) -> Iterator[Block]:
    """Yield blocks as the codes of another variable, in the order that takes least."""
    alike = of.packing == target.packing
    for place, codes in carried_out(of, plan(of, shape, max_mem, ordered=False)):
        if alike:
            yield place, codes
        else:
            at = tuple(side.start for side in place)
            # a missing integer is 0 when decoded, and masked
            values = (of.packing.masked if of.packing.dtype.kind == "integer" else of.packing.decode)(codes)
            yield place, target.packing.encode(values, of=target.view.name, at=at)


def _file_within(target: Source, max_mem: int) -> Shape:
    """Return what is written at a time: a file, or as many of its chunks as there is room for."""
    block, room = list(target.unit), max_mem // 2
    for axis in range(len(block)):
        if bytes_of(target, tuple(block)) > room:
            chunk = target.chunks[axis]
            fit = room * block[axis] // max(1, bytes_of(target, tuple(block))) // chunk
            block[axis] = max(1, fit) * chunk
    return tuple(block)


# ── several variables ────────────────────────────────────────────────────────────────────────────────


class DatasetRechunker:
    """Variables with the same coordinates in other chunks, block by block together. ``ds.rechunker()`` makes it.

    Parameters
    ----------
    views : sequence of DataVariableView
        What is read.

    Raises
    ------
    InvalidInput
        No variable, or variables along other coordinates.
    """

    def __init__(self, views: Sequence[DataVariableView]) -> None:
        together(views)
        self._views = tuple(views)

    def calc_ideal_read_chunk_mem(self, chunk_shape: Any) -> int:
        """Return the bytes of codes with which each chunk of all variables is read once."""
        return sum(Rechunker(view).calc_ideal_read_chunk_mem(chunk_shape) for view in self._views)

    def calc_n_reads_rechunker(self, chunk_shape: Any, max_mem: int = MAX_MEM) -> tuple[int, int]:
        """Return how often something is read, of all variables, and how many blocks are given."""
        shares = zip(self._views, shared(self._views, max_mem), strict=True)
        counts = [Rechunker(view).calc_n_reads_rechunker(chunk_shape, share) for view, share in shares]
        return sum(reads for reads, _ in counts), counts[0][1]

    def rechunk(self, chunk_shape: Any, max_mem: int = MAX_MEM) -> Iterator[tuple[dict[str, slice], dict[str, Values]]]:
        """Yield blocks in C order: where they are by coordinate, and the values by variable.

        Parameters
        ----------
        chunk_shape : mapping
            Lengths of a block by coordinate; those that are not named are not cut.
        max_mem : int
            Bytes for everything that waits, of all variables.
        """
        shares = zip(self._views, shared(self._views, max_mem), strict=True)
        return zipped(self._views, [Rechunker(view).rechunk(chunk_shape, share) for view, share in shares])


def together(views: Sequence[DataVariableView]) -> tuple[str, ...]:
    """Return the coordinates that variables have in common.

    Raises
    ------
    InvalidInput
        No variable, or variables along other coordinates.
    """
    if not views:
        message = "no data variables; name some that have the same coordinates"
        raise InvalidInput(message)
    first = views[0]
    for other in views[1:]:
        if other.coord_names != first.coord_names or other.shape != first.shape:
            message = (
                f"{other.name} is along {', '.join(other.coord_names)} {other.shape}, "
                f"{first.name} along {', '.join(first.coord_names)} {first.shape}; say data_vars= that are alike"
            )
            raise InvalidInput(message)
    return tuple(first.coord_names)


def shared(views: Sequence[DataVariableView], max_mem: int) -> list[int]:
    """Return the budget of each variable, by the bytes of its values."""
    sizes = [source(view).decoded_itemsize for view in views]
    room = checked_mem(max_mem)
    return [max(1, room * size // sum(sizes)) for size in sizes]


def zipped(
    views: Sequence[DataVariableView], each: Sequence[Iterator[Block]]
) -> Iterator[tuple[dict[str, slice], dict[str, Values]]]:
    """Yield the blocks of several variables together; they come in the same order."""
    names = together(views)
    for found in itertools.zip_longest(*each):
        place = found[0][0]
        yield dict(zip(names, place, strict=True)), {view.name: of[1] for view, of in zip(views, found, strict=True)}
