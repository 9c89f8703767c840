"""One stored array and what its cells mean: codes and values go in and out by blocks, in as much memory as one needs.

An array is made of files: one for each chunk or, where there are many, for each shard of chunks. Reading and writing
goes file by file, so that what lies between the codes and the values stays small and a whole file is written at once.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hmp_catalog.datasets.cells import blocks, codecs, direct, laying
from hmp_catalog.datasets.cells.blocks import Window
from hmp_catalog.datasets.values import infinities, plans
from hmp_catalog.fields.schema import SEPARATOR
from hmp_core.errors import CorruptError, HmpError, InvalidInput

if TYPE_CHECKING:
    import zarr
    from numpy.typing import NDArray

    from hmp_catalog.datasets.cells.selecting import Places, Selection
    from hmp_catalog.datasets.dtypes import DataType
    from hmp_catalog.datasets.values.packing import Packing

    Values = NDArray[Any]

#: How many bytes an element of text is taken for.
_TEXT = 16

#: So many threads read at most, each with one part in memory, and not fewer than so many. They are half of the
#: processors: two threads on the two of one core take up to 20 % more processor time than one.
_HANDS, _MANY = 4, 2

#: Cells of a block that is large.
_LARGE = 1 << 16

#: How damage shows, depending on the byte: Blosc raises RuntimeError.
_DAMAGE = (ValueError, LookupError, TypeError, AttributeError, RuntimeError, OSError, ArithmeticError)

#: The same of the other codes of a file when some are written: an OSError then is of what is written.
_DAMAGE_BESIDE = (ValueError, LookupError, TypeError, AttributeError, RuntimeError, ArithmeticError)


class Writes:
    """Counts how often files of cells were begun to be written, for who must know whether a failure left half of it."""

    def __init__(self) -> None:
        self.begun = 0


class Cells:
    """The cells of an array in an open store.

    Attributes
    ----------
    name : str
        As in the group.
    shape, chunks : tuple of int
        The extent of the array, and of what one read decodes at least.
    shards : tuple of int or None
        The extent of a file, where that has many chunks.
    packing : Packing
        How codes become values.
    dims : tuple of str
        The names of the dimensions.
    writes : Writes
        What counts them; the arrays of a data set share one.
    """

    def __init__(self, array: zarr.Array[Any], name: str, packing: Packing) -> None:
        self._array = array
        self._files = direct.files(array)
        self.name = name
        self.writes = Writes()
        self.packing = packing
        self.shape: tuple[int, ...] = tuple(array.shape)
        self.chunks: tuple[int, ...] = tuple(array.chunks)
        self.shards: tuple[int, ...] | None = None if array.shards is None else tuple(array.shards)
        self.dims: tuple[str, ...] = tuple(str(each) for each in array.metadata.dimension_names or ())

    @property
    def dtype(self) -> DataType:
        """The type of the values."""
        return self.packing.dtype

    @property
    def attributes(self) -> dict[str, Any]:
        """What the store says of the array, of hmp and CF too."""
        return dict(self._array.attrs)

    @property
    def unit(self) -> tuple[int, ...]:
        """The extent of a file."""
        return self.shards or self.chunks

    @property
    def _itemsize(self) -> int:
        return _itemsize(self.packing)

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────

    def codes(self, window: Window) -> Values:
        """Return what is stored of a window.

        Raises
        ------
        CorruptError
            If a file cannot be read as what it should be; ``path`` names it.
        """
        if not blocks.size(window):
            return self.packing.blank(blocks.extent(window))
        if self._files is not None:
            codes = np.empty(blocks.extent(window), dtype=self.packing.stored)
            self._files.into(window, codes)
            return codes
        with self._border(window):
            found = np.asarray(self._array[window])
        return found.astype(object) if found.dtype.kind == "T" else found

    def read(self, window: Window, out: Values | None = None) -> Values:
        """Return the values of a window, in ``out`` if it is given: an array of its shape and of the decoded type.

        Raises
        ------
        CorruptError
            If a file cannot be read as what it should be; ``path`` names it.
        """
        if out is None:
            out = np.empty(blocks.extent(window), dtype=self.packing.decoded)
        parts = list(blocks.slabs(window, self.unit, self._itemsize))
        hands = min(_HANDS, len(os.sched_getaffinity(0)) // 2, len(parts))
        if self._files is None or hands < _MANY:
            self._read_parts(parts, window, out)
            return out
        with ThreadPoolExecutor(hands) as pool:
            done = [pool.submit(self._read_parts, parts[hand::hands], window, out) for hand in range(hands)]
        for each in done:
            each.result()
        return out

    def _read_parts(self, parts: list[Window], window: Window, out: Values) -> None:
        """Read parts of a window one after the other, through the same memory."""
        kind = self.packing.blank((0,)).dtype
        room = np.empty(max(map(blocks.size, parts), default=0), dtype=kind)
        scratch = None if self._files is None else self._files.scratch(kind)
        for part in parts:
            codes = room[: blocks.size(part)].reshape(blocks.extent(part))
            if self._files is None:
                codes = self.codes(part)
            else:
                self._files.into(part, codes, scratch)
            place: tuple[Any, ...] = (*blocks.within(part, window), ...)  # of a single value `out[()]` were a copy
            self.packing.decode(codes, out=out[place])

    def pick(self, selection: Selection, *, decoded: bool = True) -> Values:
        """Return the values, or the codes, of a selection; only chunks that have cells of it are read.

        Raises
        ------
        CorruptError
            If a file cannot be read as what it should be; ``path`` names it.
        """
        if selection.is_block:
            found = self.read(selection.window) if decoded else self.codes(selection.window)
            return found.reshape(selection.shape)
        kind = self.packing.decoded if decoded else self.packing.blank((0,)).dtype
        out = np.empty(selection.shape, dtype=kind)
        for places, part in selection.parts(self.chunks) if selection.size else ():
            found = part.finish(self.codes(part.window))
            out[_positions(places)] = self.packing.decode(found) if decoded else found
        return out

    # ── writing ──────────────────────────────────────────────────────────────────────────────────────

    def write(self, window: Window, values: Any) -> None:
        """Write values to a window; they are stretched over it as NumPy does. All of them, or none.

        Raises
        ------
        OutOfRange
            A value that the type does not keep; nothing was written.
        InvalidInput
            Values of another kind or shape; nothing was written.

        Warns
        -----
        InfinityWarning
            Infinite values of packed floats, which become missing; before anything is written.
        """
        given = self._stretched(values, blocks.extent(window))
        parts = list(blocks.slabs(window, self.unit, self._itemsize))
        if len(parts) < 2:
            for part in parts:
                self.write_codes(part, self._encoded(given, part, window))
            return
        with infinities.gathered():
            for part in parts:
                if not self.packing.surely(given[blocks.within(part, window)]):
                    self._encoded(given, part, window)
        with infinities.said():
            for part in parts:
                self.write_codes(part, self._encoded(given, part, window))

    def _encoded(self, values: Values, part: Window, window: Window) -> Values:
        at = tuple(side.start for side in part)
        return self.packing.encode(values[blocks.within(part, window)], of=self.name, at=at)

    def write_codes(self, window: Window, codes: Any) -> None:
        """Write what is to be stored in a window; the other codes of its files stay as they are.

        Raises
        ------
        CorruptError
            If a file that has other codes too cannot be read; ``path`` names it.
        """
        given = self._stretched(codes, blocks.extent(window))
        self.writes.begun += 1
        if self._files is not None and laying.known(self._array, given):
            laying.Laying(self._array, self._files).write(window, given)
        elif given.size:
            with self._border(window, damage=_DAMAGE_BESIDE):
                self._written(given)[window] = given

    def _written(self, codes: Values) -> zarr.Array[Any]:
        """Return the array as large blocks are written to it: zarr looks for empty chunks only where one may be.

        Comparing each chunk takes zarr 3.1.6 almost half of the time of a write, where one look at all takes 2 ms.
        """
        if self.packing.stored == "string" or codes.size < _LARGE or self.packing.missing(codes).any():
            return self._array
        full = self.packing.fill is not None or codes.all()
        return self._array.with_config({"write_empty_chunks": True}) if full else self._array

    def put(self, selection: Selection, values: Any, *, decoded: bool = True) -> None:
        """Write values, or codes, to a selection; they are stretched over it as NumPy does. All of them, or none.

        Raises
        ------
        OutOfRange
            A value that the type does not keep; nothing was written.
        InvalidInput
            Values of another kind or shape; nothing was written.
        """
        given = self._stretched(values, selection.shape)
        if selection.is_block:
            window, block = selection.window, given.reshape(blocks.extent(selection.window))
            return self.write(window, block) if decoded else self.write_codes(window, block)
        codes = self.packing.encode(given, of=self.name) if decoded else given
        for places, part in selection.parts(self.unit) if selection.size else ():
            block = self.codes(part.window)
            part.scatter(block, codes[_positions(places)])
            self.write_codes(part.window, block)
        return None

    def _stretched(self, values: Any, shape: tuple[int, ...]) -> Values:
        given = _as_array(values, self.packing, self.name)
        while given.ndim > len(shape) and given.shape[0] == 1:
            given = given[0]
        try:
            return given if given.shape == shape else _stretched(given, shape)
        except ValueError as error:
            message = f"{self.name}: values of shape {given.shape} for cells of shape {shape}; reshape them first"
            raise InvalidInput(message) from error

    # ── what is there ────────────────────────────────────────────────────────────────────────────────

    def stored(self, chunk_index: Sequence[int]) -> bool:
        """Return whether anything was written to a chunk; ``chunk_index`` counts `chunks`, also within shards.

        Of arrays that others wrote in shards: whether its shard is there.
        """
        inner = tuple(int(each) for each in chunk_index)
        if self._files is not None:
            return self._files.stored(inner)
        from zarr.core.sync import sync

        number = [n * chunk // size for n, chunk, size in zip(inner, self.chunks, self.unit, strict=True)]
        key = f"{self._array.path}/{self._array.metadata.encode_chunk_key(tuple(number))}"
        return bool(sync(self._array.store.exists(key)))

    def _file(self, number: Sequence[int]) -> Path:
        key: str = self._array.metadata.encode_chunk_key(tuple(number))
        return self._folder / key

    @property
    def _folder(self) -> Path:
        folder: Path = Path(self._array.store.root) / self._array.path
        return folder

    # ── its extent ───────────────────────────────────────────────────────────────────────────────────

    def resize(self, shape: Sequence[int]) -> None:
        """Make the array longer or shorter at its ends. New cells are missing, also where there were cells before."""
        new = tuple(int(each) for each in shape)
        for axis, (old, size) in enumerate(zip(self.shape, new, strict=True)):
            if size < old:
                edge = min(old, -(-size // self.unit[axis]) * self.unit[axis])
                sides = [slice(0, each) for each in self.shape]
                self.clear((*sides[:axis], slice(size, edge), *sides[axis + 1 :]))
        self._array.resize(new)
        self.shape = new

    def clear(self, window: Window) -> None:
        """Make the cells of a window missing; files of nothing else are removed."""
        for number, cells in blocks.units(window, self.unit):
            file = self._file(number)
            if not file.exists():
                continue
            if cells == blocks.covered(number, self.unit, self.shape):
                file.unlink()
            else:
                self.write_codes(cells, self.packing.blank(blocks.extent(cells)))

    def shift(self, axis: int, by: int) -> None:
        """Make room for ``by`` cells before the first along an axis: the array is as much longer, what it has moves.

        Where that is a whole number of files, these get other names; else they are written anew, from the last on.
        """
        old = self.shape
        self.resize([size + by * (dim == axis) for dim, size in enumerate(old)])
        numbers = [number for number, _ in blocks.units(tuple(slice(0, size) for size in old), self.unit)]
        if by % self.unit[axis] == 0:
            self._rename(axis, by // self.unit[axis], numbers)
        else:
            self._rewrite(axis, by, old)

    def _rename(self, axis: int, by: int, numbers: list[tuple[int, ...]]) -> None:
        for number in sorted(numbers, key=lambda each: each[axis], reverse=True):
            file, place = self._file(number), self._file([n + by * (dim == axis) for dim, n in enumerate(number)])
            if file.exists():
                place.parent.mkdir(parents=True, exist_ok=True)
                os.rename(file, place)

    def _rewrite(self, axis: int, by: int, old: tuple[int, ...]) -> None:
        whole = tuple(slice(0, size) for size in self.shape)
        targets = sorted(blocks.units(whole, self.unit), key=lambda each: each[0][axis], reverse=True)
        for _, cells in targets:
            codes = self.packing.blank(blocks.extent(cells))
            side = cells[axis]
            found = slice(max(0, side.start - by), min(old[axis], side.stop - by))
            if blocks.length(found):
                source = (*cells[:axis], found, *cells[axis + 1 :])
                codes[blocks.within(blocks.moved(source, axis, by), cells)] = self.codes(source)
            self.write_codes(cells, codes)

    # ── the border to zarr ───────────────────────────────────────────────────────────────────────────

    @contextlib.contextmanager
    def _border(self, window: Window, damage: tuple[type[Exception], ...] = _DAMAGE) -> Iterator[None]:
        """Turn what zarr says about damaged files into an error of hmp."""
        try:
            yield
        except (PermissionError, HmpError):
            raise
        except damage as error:
            where = self._damaged(window)
            message = f"{where}: cannot be read: {type(error).__name__}: {error}; restore it from a backup"
            raise CorruptError(message, path=str(where)) from error

    def _damaged(self, window: Window) -> Path:
        """Return the first file of a window that cannot be read; the folder of the array if each alone can."""
        for number, cells in blocks.units(window, self.unit):
            try:
                self._array[cells]
            except _DAMAGE:  # the first of these is being raised: only its place is sought
                return self._file(number)
        return self._folder


def _as_array(values: Any, packing: Packing, name: str) -> Values:
    if np.ma.isMaskedArray(values):
        found: Values = np.ma.asanyarray(values)
        return found
    # NumPy's text of a list of str loses what ends by NUL
    kind = object if packing.stored == "string" and isinstance(values, (str, list, tuple)) else None
    try:
        return np.asarray(values, dtype=kind)
    except ValueError as error:
        message = f"{name}: rows of different lengths are no array: {error}"
        raise InvalidInput(message) from error


def _positions(places: Sequence[Places]) -> Any:
    """Return the key of a part of a selection; slices where they will do, copied 16 times as fast."""
    straight = [each for each in places if isinstance(each, range)]
    if len(straight) == len(places):
        return tuple(slice(each.start, each.stop) for each in straight)
    return np.ix_(*places)


def _stretched(given: Values, shape: tuple[int, ...]) -> Values:
    """Return values stretched as NumPy does, and their mask with them, which `numpy.broadcast_to` leaves behind."""
    if not np.ma.isMaskedArray(given):
        return np.broadcast_to(given, shape)
    hidden = np.broadcast_to(np.ma.getmaskarray(given), shape)
    return np.ma.MaskedArray(np.broadcast_to(np.ma.getdata(given), shape), mask=hidden)


# ── making and opening ───────────────────────────────────────────────────────────────────────────────


def create(
    group: zarr.Group,
    name: str,
    *,
    dims: Sequence[str],
    shape: Sequence[int],
    dtype: DataType,
    chunks: Sequence[int],
    compression: str,
    level: int | None,
    attributes: Mapping[str, Any],
    coordinate: bool = False,
) -> Cells:
    """Make an array of missing cells.

    Parameters
    ----------
    group : zarr.Group
        Of the tree of a session, to be written.
    name, dims, shape
        Of the array.
    dtype : DataType
        What its values are; geometries are no array of values.
    chunks : sequence of int
        What one read decodes. How many of them one file has is up to `blocks.shards`.
    compression, level : str, int or None
        ``zstd_shuffle``, ``zstd``, ``lz4_shuffle`` or ``lz4``, and how hard it tries.
    attributes : mapping
        Of CF and the user's; those of the packing are added.
    coordinate : bool
        Whether these are labels, which are never missing.
    """
    packing = plans.plan(dtype)
    cut = tuple(int(each) for each in chunks)
    array = group.create_array(
        name,
        shape=tuple(shape),
        dtype=packing.stored,
        chunks=cut,
        shards=None if packing.stored == "string" else blocks.shards(shape, cut, _itemsize(packing)),
        compressors=codecs.of(packing.stored, compression, level),
        fill_value=packing.blank((1,))[0],
        attributes={**attributes, **packing.attributes(coordinate=coordinate)},
        dimension_names=list(dims),
        chunk_key_encoding={"name": "default", "separator": SEPARATOR},
    )
    return Cells(array, name, packing)


def open_cells(array: zarr.Array[Any], name: str) -> Cells:
    """Return the cells of an array, whoever wrote it; what changes its extent changes that of ``array`` too.

    Raises
    ------
    InvalidInput
        A type or times that are not understood here.
    """
    stored = "string" if array.dtype.kind in "OT" else str(array.dtype)
    return Cells(array, name, plans.read(stored, dict(array.attrs), of=name))


def _itemsize(packing: Packing) -> int:
    return _TEXT if packing.stored == "string" else np.dtype(packing.stored).itemsize
