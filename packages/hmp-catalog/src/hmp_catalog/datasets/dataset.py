"""A gridded data set: opened, its variables by name, parts of it by positions or labels, committed or rolled back."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from hmp_catalog.datasets import opening, shown
from hmp_catalog.datasets.attributes import Attributes
from hmp_catalog.datasets.axes import crs
from hmp_catalog.datasets.blockwise import grouping, iterating, mapping, rechunking
from hmp_catalog.datasets.cells.selecting import Line, Selection, outer
from hmp_catalog.datasets.coordinates import Coordinate, CoordinateView
from hmp_catalog.datasets.creating import Creator
from hmp_catalog.datasets.handle import Handle, pinned, reopened
from hmp_catalog.datasets.variables import DataVariable, DataVariableView
from hmp_core.errors import InvalidInput

if TYPE_CHECKING:
    import xarray as xr
    from pyproj import CRS

    from hmp_catalog.datasets.blockwise.rechunking import DatasetRechunker

Variable = CoordinateView | DataVariableView


class DatasetView:
    """A data set cut along some of its coordinates: a mapping of its variables.

    Parameters
    ----------
    handle : Handle
        The open data set.
    cuts : mapping, optional
        The coordinates that are cut, each with what is left of it.
    """

    def __init__(self, handle: Handle, cuts: Mapping[str, Selection] | None = None) -> None:
        self.handle = handle
        self._cuts = dict(cuts or {})
        self._generation = handle.generation

    # ── what it is ───────────────────────────────────────────────────────────────────────────────────

    @property
    def file_path(self) -> Path:
        """The folder of the data set."""
        return self.handle.path

    @property
    def dataset_type(self) -> str:
        """``grid``, ``ts_ortho``, ``ts_forecast`` or ``grid_forecast``."""
        return self.handle.dataset_type

    @property
    def compression(self) -> str:
        """How new variables are compressed."""
        return self.handle.compression

    @property
    def compression_level(self) -> int | None:
        """The level of it; None for the usual one."""
        return self.handle.compression_level

    @property
    def writable(self) -> bool:
        """Whether it can be changed."""
        return self.handle.writable

    @property
    def is_open(self) -> bool:
        """Whether nobody closed it."""
        return self.handle.is_open

    @property
    def attrs(self) -> Attributes:
        """The attributes of the data set."""
        return Attributes(self.handle)

    @property
    def crs(self) -> CRS | None:
        """The coordinate reference system of its places; None where nobody said any."""
        with self.handle.reading():
            found, arrays = self.handle.contents().mappings, self.handle.arrays()
            return crs.of_attributes(arrays[found[0]].attrs.asdict(), of=found[0]) if found else None

    # ── variables ────────────────────────────────────────────────────────────────────────────────────

    @property
    def coord_names(self) -> tuple[str, ...]:
        """The names of the coordinates."""
        return self.handle.contents().coords

    @property
    def data_var_names(self) -> tuple[str, ...]:
        """The names of the data variables."""
        return self.handle.contents().data_vars

    @property
    def var_names(self) -> tuple[str, ...]:
        """The names of the coordinates and of the data variables."""
        return (*self.coord_names, *self.data_var_names)

    @property
    def coords(self) -> tuple[CoordinateView, ...]:
        """The coordinates."""
        return tuple(self._coord(name) for name in self.coord_names)

    @property
    def data_vars(self) -> tuple[DataVariableView, ...]:
        """The data variables."""
        return tuple(self._data_var(name) for name in self.data_var_names)

    @property
    def variables(self) -> tuple[Variable, ...]:
        """The coordinates and the data variables."""
        return (*self.coords, *self.data_vars)

    def get(self, var_name: str) -> Any:
        """Return a variable by its name.

        Raises
        ------
        NotFound
            If there is none of that name. It is a `KeyError`.
        InvalidInput
            If the name is no text.
        """
        if not isinstance(var_name, str):
            message = f"variable {var_name!r}: expected its name"
            raise InvalidInput(message)
        found = self.handle.contents()
        if var_name in found.coords:
            return self._coord(var_name)
        if var_name in found.data_vars:
            return self._data_var(var_name)
        raise self.handle.missing(var_name)

    def _coord(self, name: str) -> CoordinateView:
        cut = self._cut(name)
        return Coordinate(self.handle, name) if cut is None else CoordinateView(self.handle, name, cut)

    def _data_var(self, name: str) -> DataVariableView:
        names, shape = self.handle.dims(name), self.handle.arrays()[name].shape
        cuts = [self._cut(dim) for dim in names]
        if all(cut is None for cut in cuts):
            return DataVariable(self.handle, name)
        lines = [
            Line((axis,), (range(size) if cut is None else cut.lines[0].places[0],))
            for axis, (size, cut) in enumerate(zip(shape, cuts, strict=True))
        ]
        return DataVariableView(self.handle, name, Selection(shape, {}, tuple(lines)))

    def _cut(self, name: str) -> Selection | None:
        if self._cuts and self._generation != self.handle.generation:
            message = f"{self.handle.path}: this view was made before labels moved; select again"
            raise InvalidInput(message)
        return self._cuts.get(name)

    # ── parts ────────────────────────────────────────────────────────────────────────────────────────

    def select(self, sel: Mapping[str, Any]) -> DatasetView:
        """Return a part by positions: every variable cut along the coordinates that are named.

        Parameters
        ----------
        sel : mapping of str to int, slice, list or mask
            The coordinate, and where. An int leaves the dimension there, of length 1.

        Raises
        ------
        NotFound
            A coordinate that is not there. It is a `KeyError`.
        NoSuchCell
            A number beyond it. It is an `IndexError`.
        """
        cuts = dict(self._cuts)
        for name, key in sel.items():
            if name not in self.coord_names:
                raise self.handle.missing(name)
            before, size = self._cut(name), len(self.handle.labels(name))
            found = outer((key,), (size,) if before is None else before.shape)
            cuts[name] = found if before is None else before.then(found)
        return DatasetView(self.handle, cuts)

    def select_loc(self, sel: Mapping[str, Any]) -> DatasetView:
        """Return a part by labels: every variable cut along the coordinates that are named.

        Parameters
        ----------
        sel : mapping of str to label, slice or list
            The coordinate, and its labels; both ends of a slice belong to it. A label alone leaves the dimension there,
            of length 1.

        Raises
        ------
        NotFound
            A coordinate, or a label, that is not there. It is a `KeyError`.
        InvalidInput
            A label of another kind than the coordinate.
        """
        for name in sel:
            if name not in self.coord_names:
                raise self.handle.missing(name)
        return self.select({name: self._coord(name).locate(key) for name, key in sel.items()})

    def copy(
        self,
        file_path: str | Path,
        include_data_vars: Sequence[str] | None = None,
        exclude_data_vars: Sequence[str] | None = None,
    ) -> Dataset:
        """Make a data set of this one, or of this part; the parameters are those of `copying.copy`."""
        from hmp_catalog.datasets.combined import copying

        return copying.copy(self, file_path, include_data_vars, exclude_data_vars)

    # ── block by block ───────────────────────────────────────────────────────────────────────────────

    def iter_chunks(
        self,
        chunk_shape: Mapping[str, int],
        data_vars: Iterable[str] | None = None,
        max_mem: int = rechunking.MAX_MEM,
        include_data: bool = True,  # noqa: FBT001, FBT002 - as cfdb
    ) -> Iterator[Any]:
        """Yield blocks of data variables together: ``({coordinate: slice}, {variable: array})``.

        Parameters
        ----------
        chunk_shape : mapping of str to int
            How long a block is along each coordinate; those that are not named are not cut.
        data_vars : iterable of str, optional
            Variables along the same coordinates; all if not given.
        max_mem : int
            Bytes for everything that waits, of all variables.
        include_data
            Only the places if off.

        Raises
        ------
        NotFound
            A name that is no coordinate, or no data variable. It is a `KeyError`.
        InvalidInput
            Variables along other coordinates, or lengths that are no positive integers.
        """
        return iterating.iter_dataset(self, chunk_shape, data_vars, max_mem, include_data=include_data)

    def groupby(
        self,
        coord_names: Any,
        data_vars: Iterable[str] | None = None,
        max_mem: int = rechunking.MAX_MEM,
        *,
        origin: Any = "start_day",
    ) -> Iterator[tuple[dict[str, slice], dict[str, Any]]]:
        """Yield data variables in groups: ``({coordinate: slice}, {variable: array})``.

        The parameters are those of `DataVariableView.groupby` and `iter_chunks`.
        """
        return grouping.group_dataset(self, coord_names, data_vars, max_mem, origin=origin)

    def map(
        self,
        func: Callable[..., Any],
        chunk_shape: Mapping[str, int],
        data_vars: Iterable[str] | None = None,
        max_mem: int = rechunking.MAX_MEM,
        n_workers: int | None = None,
        *,
        ordered: bool = False,
        workers: Any = "processes",
    ) -> Iterator[tuple[dict[str, slice], Any]]:
        """Yield what ``func({coordinate: slice}, {variable: array})`` makes of each block, done by many workers.

        The parameters are those of `DataVariableView.map` and `iter_chunks`.
        """
        how = mapping.How(workers, n_workers, ordered)
        return mapping.map_dataset(self, func, chunk_shape, data_vars, max_mem, how)

    def rechunker(self, data_vars: Iterable[str] | None = None) -> DatasetRechunker:
        """Return what gives data variables along the same coordinates in other chunks, block by block together."""
        return rechunking.DatasetRechunker(iterating.named(self, data_vars))

    # ── a mapping ────────────────────────────────────────────────────────────────────────────────────

    def to_xarray(self, *, masked: bool = True) -> xr.Dataset:
        """Return it as a data set of xarray, lazily; the parameters are those of `xarrays.to_xarray`."""
        from hmp_catalog.datasets.exchange import xarrays

        return xarrays.to_xarray(self, masked=masked)

    def to_netcdf4(
        self,
        file_path: str | Path,
        compression: str | None = "gzip",
        include_data_vars: Sequence[str] | None = None,
        exclude_data_vars: Sequence[str] | None = None,
        **file_kwargs: Any,
    ) -> None:
        """Write it to a new netCDF-4 file; the parameters are those of `netcdf.to_netcdf4`."""
        from hmp_catalog.datasets.exchange import netcdf

        netcdf.to_netcdf4(self, file_path, compression, include_data_vars, exclude_data_vars, **file_kwargs)

    def __getitem__(self, var_name: str) -> Any:
        return self.get(var_name)

    def __contains__(self, var_name: object) -> bool:
        return var_name in self.var_names

    def __iter__(self) -> Iterator[str]:
        return iter(self.var_names)

    def __len__(self) -> int:
        return len(self.var_names)

    def __repr__(self) -> str:
        return shown.dataset(self)

    def _repr_html_(self) -> str:
        return shown.html(repr(self))

    def __reduce__(self) -> tuple[Any, ...]:
        return _view_again, (pinned(self.handle), self._cuts)


class Dataset(DatasetView):
    """An open data set; `open_dataset` makes one.

    Used in a ``with`` statement, what was written is committed at its end, and forgotten if it ends by an exception.
    """

    @property
    def create(self) -> Creator:
        """What makes coordinates, data variables and the coordinate reference system."""
        return Creator(self.handle)

    def __delitem__(self, var_name: str) -> None:
        """Remove a variable.

        Raises
        ------
        NotFound
            If there is none of that name. It is a `KeyError`.
        InvalidInput
            A coordinate that data variables are along, or where nothing may be written.
        """
        opening.delete(self.handle, var_name)

    def commit(self) -> int:
        """Make what was written the current version, all at once; return its number.

        Raises
        ------
        DatasetConflict
            If another session changed the same meanwhile: nothing was committed. Roll back, and do it again.
        InvalidInput
            If it is open for reading only.
        """
        return self.handle.commit()

    def sync(self) -> int:
        """Commit; the same as `commit`."""
        return self.handle.commit()

    def rollback(self) -> None:
        """Forget what was written since the last commit, and go on from the version that is current now."""
        self.handle.rollback()

    def refresh(self) -> int:
        """Read the version that is current now, where it is open for reading; return its number."""
        return self.handle.refresh()

    def prune(self, timestamp: str | datetime | None = None) -> int:
        """Remove old versions that nobody reads; return how many. See `copying.prune`."""
        from hmp_catalog.datasets.combined import copying

        return copying.prune(self, timestamp)

    def close(self) -> None:
        """Commit what was written, and close; may be called twice. If the commit fails it stays open."""
        if self.handle.changed and self.handle.is_open:
            self.handle.commit()
        self.handle.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            if kind is None:
                self.close()
        finally:
            self.handle.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, pinned(self.handle)


def _again(path: str, number: int) -> Dataset:
    return Dataset(opening.opened(path, "r", version=number))


def _view_again(pin: tuple[str, int], cuts: Mapping[str, Selection]) -> DatasetView:
    return DatasetView(reopened(*pin), cuts)


def open_dataset(
    file_path: str | os.PathLike[str],
    flag: str = "r",
    dataset_type: str = "grid",
    compression: str = "zstd_shuffle",
    compression_level: int | None = None,
    *,
    version: int | None = None,
    keep_versions: int = 0,
    timeout: float = 30.0,
) -> Dataset:
    """Open a gridded data set, a folder of CF on Zarr v3.

    Parameters
    ----------
    file_path : str or Path
        The folder, ``forcing.zarr``.
    flag : str
        ``r`` to read the version that is current now, ``w`` to write, ``c`` to write and make it where there is none,
        ``n`` to replace what there is by a new one.
    dataset_type : str
        Of a new one: ``grid``, ``ts_ortho`` (series at stations), ``ts_forecast`` or ``grid_forecast``.
    compression : str
        Of a new one: ``zstd_shuffle``, ``zstd``, ``lz4_shuffle`` or ``lz4``.
    compression_level : int, optional
        Of a new one: 1 to 9, 1 if not given.
    version : int, optional
        Another version to read, one that is kept.
    keep_versions : int
        How many versions before the current one commits leave.
    timeout : float
        Seconds that a commit waits for another one that is under way.

    Raises
    ------
    PathNotFound
        If there is no data set.
    PathTaken
        If there is something else at the path.
    NotWritable
        If the folder may not be read, or not written.
    NotFound
        If that version is not kept.
    InvalidInput
        Another flag, type or compression.
    """
    new = opening.About(dataset_type, compression, compression_level)
    return Dataset(opening.opened(file_path, flag, new, version=version, keep=keep_versions, timeout=timeout))
