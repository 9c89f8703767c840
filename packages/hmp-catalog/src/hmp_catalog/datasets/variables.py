"""Data variables of a data set, whole or in part: keys of NumPy read and write them, `loc` takes labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from hmp_catalog.datasets.blockwise import grouping, iterating, mapping, rechunking
from hmp_catalog.datasets.cells.selecting import Line, Selection
from hmp_catalog.datasets.coordinates import Coordinate, CoordinateView
from hmp_catalog.datasets.views import LocationIndexer, View

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import xarray as xr
    from numpy.typing import NDArray

    from hmp_catalog.datasets.blockwise.rechunking import Rechunker
    from hmp_catalog.datasets.cells.arrays import Cells
    from hmp_catalog.datasets.cells.selecting import Window
    from hmp_catalog.datasets.dtypes import DataType
    from hmp_catalog.datasets.interp.interpolation import GridInterp
    from hmp_catalog.datasets.interp.stations import PointInterp
    from hmp_catalog.datasets.values.packing import Packing

    Values = NDArray[Any]


class DataVariableView(View):
    """A part of a data variable. Nothing is read until ``data``, ``values`` or NumPy asks for it.

    The parameters are those of `View`.
    """

    @property
    def _cells(self) -> Cells:
        return self.handle.cells(self.name)

    def _extent(self) -> tuple[int, ...]:
        return tuple(self.handle.arrays()[self.name].shape)

    @property
    def dtype(self) -> DataType:
        """The type of the values."""
        return self._cells.dtype

    @property
    def packing(self) -> Packing:
        """How codes become values."""
        return self._cells.packing

    @property
    def chunk_shape(self) -> tuple[int, ...]:
        """What one read decodes at least, along each dimension that is left."""
        chunks = self._cells.chunks
        return tuple(chunks[line.axes[0]] if len(line.axes) == 1 else len(line) for line in self.selection.lines)

    @property
    def coord_names(self) -> tuple[str, ...]:
        """The coordinates along its dimensions; what a mask of several dimensions selects has none along it."""
        names = self.handle.dims(self.name)
        return tuple(names[line.axes[0]] for line in self.selection.lines if len(line.axes) == 1)

    @property
    def coords(self) -> tuple[CoordinateView, ...]:
        """The coordinates along its dimensions, cut as it is."""
        names, alone = self.handle.dims(self.name), [line for line in self.selection.lines if len(line.axes) == 1]
        return tuple(self._coord(names[line.axes[0]], line) for line in alone)

    def _coord(self, name: str, line: Line) -> CoordinateView:
        size, places = len(self.handle.labels(name)), line.places[0]
        if isinstance(places, range) and places == range(size):
            return Coordinate(self.handle, name)
        return CoordinateView(self.handle, name, Selection((size,), {}, (Line((0,), (places,)),)))

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────

    @property
    def data(self) -> Values:
        """The values; what is missing is NaN, NaT, text of no length, False or 0 (see ``masked``)."""
        with self.handle.reading():
            return self._cells.pick(self.selection)

    @property
    def masked(self) -> np.ma.MaskedArray[Any, Any]:
        """The values, masked where there is none: a 0 of integers that was written is not masked."""
        return self.packing.masked(self.codes())

    def codes(self, window: Window | None = None) -> Values:
        """Return what is stored of a window of it (all if not given), counted from where it begins."""
        with self.handle.reading():
            found = self.selection if window is None else self.selection.compose(tuple(window))
            return self._cells.pick(found, decoded=False)

    def get_chunk(self, sel: Any = None, missing_none: bool = False) -> Values | None:  # noqa: FBT001, FBT002 - as cfdb
        """Return the values of one chunk as it is stored, the first that a selection touches.

        Parameters
        ----------
        sel : key, optional
            A part of this view; all of it if not given.
        missing_none
            Return None for a chunk that was never written, instead of missing values.
        """
        with self.handle.reading():
            part, cells = self if sel is None else self[sel], self._cells
            window = tuple(
                slice(side.start, min(side.stop, (side.start // chunk + 1) * chunk))
                for side, chunk in zip(part.selection.window, cells.chunks, strict=True)
            )
            number = tuple(side.start // chunk for side, chunk in zip(window, cells.chunks, strict=True))
            if missing_none and not cells.stored(number):
                return None
            return cells.read(window)

    def __getitem__(self, key: Any) -> DataVariableView:
        """Return a part of it, by a key of NumPy; its values are read when they are asked for.

        Raises
        ------
        NoSuchCell
            A number beyond it. It is an `IndexError`.
        InvalidInput
            A key with more than one list or array; `Dataset.select` takes several.
        """
        return DataVariableView(self.handle, self.name, self.selection.compose(key))

    @property
    def loc(self) -> LocationIndexer:
        """Parts of it by labels."""
        return LocationIndexer(self)

    # ── interpolating ────────────────────────────────────────────────────────────────────────────────

    def interp(
        self,
        x: str | None = None,
        y: str | None = None,
        z: str | None = None,
        iter_dim: str | Sequence[str] | None = None,
        *,
        xy: str | None = None,
    ) -> GridInterp | PointInterp:
        """Return what interpolates it: to other grids, to points, into its gaps, to other levels.

        Parameters
        ----------
        x, y, z : str, optional
            The coordinates of the places of a grid; those whose `Coordinate.axis` says so if not given.
        iter_dim : str or sequence of str, optional
            What is gone through: the times if not given, both of a forecast. ``()`` for nothing.
        xy : str, optional
            The coordinate of the stations, points.

        Raises
        ------
        InvalidInput
            Values that are no numbers, or no coordinates for the places.
        NotFound
            A name that is not along it. It is a `KeyError`.
        """
        from hmp_catalog.datasets.interp import interpolation

        return interpolation.interp(self, {"x": x, "y": y, "z": z, "xy": xy}, iter_dim)

    def to_xarray(self, *, masked: bool = True) -> xr.DataArray:
        """Return it as a data array of xarray, lazily; the parameters are those of `xarrays.to_xarray`."""
        from hmp_catalog.datasets.exchange import xarrays

        return xarrays.variable_to_xarray(self, masked=masked)

    # ── block by block ───────────────────────────────────────────────────────────────────────────────

    def iter_chunks(
        self,
        chunk_shape: Any = None,
        max_mem: int = rechunking.MAX_MEM,
        decoded: bool = True,  # noqa: FBT001, FBT002 - as cfdb
        include_data: bool = True,  # noqa: FBT001, FBT002 - as cfdb
    ) -> Iterator[Any]:
        """Yield its blocks, each with where it is in this view, as ``var[place]`` takes it.

        Parameters
        ----------
        chunk_shape : mapping of str to int, optional
            How long a block is along each coordinate; those that are not named are not cut. The chunks as they are
            stored if not given, as much of each as this view has; those that were never written too.
        max_mem : int
            Bytes for everything that waits. One block is held however large it is.
        decoded
            Codes instead of values if off.
        include_data
            Only the places if off: what one writes block by block needs no more.

        Yields
        ------
        place : tuple of slice
            Counted from where this view begins.
        values : ndarray
            An array of its own, that may be kept and changed. cfdb's may change when the next one is asked for.

        Raises
        ------
        NotFound
            A name that is no coordinate. It is a `KeyError`.
        InvalidInput
            Lengths or bytes that are no positive integers.
        """
        return iterating.iter_chunks(self, chunk_shape, max_mem, decoded=decoded, include_data=include_data)

    def groupby(
        self, coord_names: Any, max_mem: int = rechunking.MAX_MEM, *, origin: Any = "start_day"
    ) -> Iterator[tuple[tuple[slice, ...], Values]]:
        """Yield its values in groups, each with where it is in this view. A group is one array, however large.

        Parameters
        ----------
        coord_names : str, iterable of str or mapping
            A coordinate or several: a group for each of their labels. A mapping tells how many labels are in a group,
            or a period of times: a count and ``Y``, ``M``, ``W``, ``D``, ``h``, ``m``, ``s``, ``ms``, ``us`` or
            ``ns``. Coordinates that are not named are not cut. Periods may be mixed with lengths.
        max_mem : int
            Bytes for everything that waits.
        origin : str or datetime64
            From when periods are counted: ``start_day``, midnight before the first label, as pandas and xarray
            resample; ``start``, the first label; ``epoch``, 1970; or an instant. Years, months and weeks are counted
            from the one in which it lies, and weeks begin on Monday. cfdb counts from the first label cut down to the
            unit, and its weeks begin on Thursday.

        Yields
        ------
        place : tuple of slice
            Counted from where this view begins. A period that has no labels is left out.
        values : ndarray
            An array of its own.

        Raises
        ------
        NotFound
            A name that is no coordinate. It is a `KeyError`.
        InvalidInput
            A period of what is no time, or that is none; times that are in no order.
        """
        return grouping.groupby(self, coord_names, max_mem, origin=origin)

    def map(
        self,
        func: Callable[..., Any],
        chunk_shape: Any = None,
        max_mem: int = rechunking.MAX_MEM,
        n_workers: int | None = None,
        *,
        ordered: bool = False,
        workers: Any = "processes",
    ) -> Iterator[tuple[Any, Any]]:
        """Yield what a function makes of each block, done by many workers at a time.

        Parameters
        ----------
        func : callable
            Takes the place of a block and its values; it is called for blocks that were never written too, which cfdb
            leaves out. What returns None is not yielded.
        chunk_shape : mapping of str to int, optional
            As `iter_chunks` has it.
        max_mem : int
            Bytes for what is read; blocks under way come on top of it, two for each worker.
        n_workers : int, optional
            As many as there are processors, or as many as ``workers`` has, if not given.
        ordered
            Results in the order of the blocks; else as they come.
        workers : str, Executor or Client
            ``processes``, ``threads``, an executor of `concurrent.futures`, or a client of dask.distributed. Processes
            are spawned: a script needs ``if __name__ == "__main__":`` around what calls this.

        Yields
        ------
        place : tuple of slice
            Counted from where this view begins.
        result : object
            What the function returned.

        Raises
        ------
        Exception
            What the function raised, with the place of its block as ``block`` and in a note.
        WorkerLost
            If a process ended in the midst of it.
        InvalidInput
            A function that cannot be sent to another process.
        """
        how = mapping.How(workers, n_workers, ordered)
        return mapping.map_variable(self, func, chunk_shape, max_mem, how)

    def rechunker(self) -> Rechunker:
        """Return what gives it in other chunks, and tells how often it would be read for them."""
        return rechunking.Rechunker(self)

    # ── writing ──────────────────────────────────────────────────────────────────────────────────────

    def __setitem__(self, key: Any, values: Any) -> None:
        """Write values to a part of it; they are stretched as NumPy does. All of them, or none.

        Raises
        ------
        OutOfRange
            A value that the type does not keep.
        InvalidInput
            Values of another kind or shape, or where nothing may be written.
        """
        self.set(key, values)

    def set(self, sel: Any, data: Any, decoded: bool = True) -> None:  # noqa: FBT001, FBT002 - as cfdb
        """Write values to a part of it; the same as ``var[sel] = data``.

        Parameters
        ----------
        sel : key
            As NumPy has them.
        data : array_like
            Values; masked, NaN, NaT and None are missing.
        decoded
            Codes instead of values if off.
        """
        given = data.data if isinstance(data, View) else data
        with self.handle.writing():
            self._cells.put(self.selection.compose(sel), given, decoded=decoded)


class DataVariable(DataVariableView):
    """A data variable of a data set: as long as its coordinates are, now and later."""
