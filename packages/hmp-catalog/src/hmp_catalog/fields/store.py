"""`SimulationZarr`: the fields of one run in one Zarr v3 store, plain CF, written once and then read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hmp_catalog.fields import schema
from hmp_catalog.fields.finalizer import begin, seal
from hmp_catalog.fields.mapping import is_geographic
from hmp_catalog.fields.mesh import given_mesh
from hmp_catalog.fields.reader import StoreReader
from hmp_catalog.fields.times import instant, iso
from hmp_catalog.fields.values import given_field
from hmp_catalog.fields.writer import StoreWriter
from hmp_catalog.packs import Packed
from hmp_core.errors import InvalidInput, PathNotFound, SealedError
from hmp_core.paths import to_local

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import ArrayLike, NDArray
    from upath import UPath

    from hmp_catalog.fields.times import Instants
    from hmp_catalog.records import FileRecord


class SimulationZarr:
    """The fields of one run.

    `create` begins a store, `write_field` and `append_field` fill it, `finalize` ends it: from then on it is
    read only. ``SimulationZarr(path)`` opens a finished one, and ``xarray.open_zarr(path)`` reads it without hmp.

    Examples
    --------
    >>> import numpy as np
    >>> store = SimulationZarr.create("fields.zarr", title="Base run", run_id="6f2f1b0e")
    >>> days = np.arange("2001-01-01", "2001-01-04", dtype="datetime64[D]")
    >>> store.write_field("head", np.full((3, 2, 4), 51.5), dims=("time", "y", "x"), time=days)
    >>> files = store.finalize()
    >>> store.read_field("head", time="2001-01-02", x=slice(0, 2)).shape
    (2, 2)
    """

    def __init__(self, path: str | Path | UPath | Packed) -> None:
        self.path = path if isinstance(path, Packed) else to_local(path)
        self._root: dict[str, Any] = {}
        self._crs: str | None = None
        self._writer: StoreWriter | None = None
        self._reader: StoreReader | None = StoreReader(self.path)

    @classmethod
    def open(cls, path: str | Path | UPath | Packed) -> SimulationZarr:
        """Open a finished store for reading, in a folder of its own or in the pack of its run.

        Raises
        ------
        PathNotFound
            If there is no folder at ``path``.
        SchemaTooNewError
            If a newer hmp wrote it.
        CorruptError
            If it was never finished, or a file of it is missing or damaged; names the file.
        """
        return cls(path)

    @classmethod
    def create(
        cls,
        path: str | Path | UPath,
        *,
        title: str,
        run_id: str,
        date_created: datetime | str | None = None,
        crs: str | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> SimulationZarr:
        """Begin a store at ``path``, where nothing may be yet.

        Parameters
        ----------
        path : str, Path or UPath
            The folder of the store, usually ``fields.zarr`` in the folder of the run.
        title, run_id : str
            What the run is called, and its id.
        date_created : datetime or str, optional
            When the run was made. It is never the time of the call: the same run written twice gives the
            same bytes.
        crs : str, optional
            The reference system of what lies in space, as WKT or ``EPSG:2154``: it becomes the grid mapping.
        attributes : mapping, optional
            Further attributes of the store (ACDD: ``summary``, ``keywords``, ``creator_name``, ...).

        Raises
        ------
        InvalidInput
            If something is at ``path``, or an attribute cannot be kept.
        PathNotFound
            If the folder that should hold the store is not there.
        NotWritable, StorageError
            If the file system refuses.
        """
        store = cls.__new__(cls)
        store.path = where = to_local(path)
        store._root = _root_attributes(title, run_id, date_created, attributes)
        store._crs = crs
        if not where.parent.is_dir():
            message = f"{where.parent}: no such folder; make the folder of the run first"
            raise PathNotFound(message, path=str(where.parent))
        begin(where, store._root)
        store._writer, store._reader = StoreWriter(where), None
        return store

    # ── writing ──────────────────────────────────────────────────────────────────────────────────────

    def write_field(
        self,
        name: str,
        array: ArrayLike | xr.DataArray,
        dims: Sequence[str] | None = None,
        *,
        time: Any = None,
        coords: Mapping[str, Any] | None = None,
        units: str | None = None,
        attributes: Mapping[str, Any] | None = None,
        missing: Sequence[float] = (),
    ) -> None:
        """Write a whole field, or further steps of one whose first dimension is time.

        Parameters
        ----------
        name : str
            Its name. Known ones (``head``, ``discharge``, ``recharge``, ...) bring a long name, a CF standard
            name where there is one for the units, and units where everybody uses the same.
        array : array_like of float, int or bool
            The values, in any shape, kept in their own type. Anything that slices like an array is read slab
            by slab. Masked values, 1e30, -1e30 and ``missing`` become NaN.
        dims : sequence of str, optional
            One name for each dimension: those of a DataArray, else ``("time", "layer", "y", "x")``. ``time``
            and any ``time_...`` are time axes.
        time : datetimes, optional
            One for each step, strictly increasing (NumPy, pandas, list; UTC if without a zone). May be left
            out if another field of this store has the same axis.
        coords : mapping, optional
            Dimension -> 1-D values, or name -> ``(dims, values)`` or ``(dims, values, attributes)``. Fields
            share them.
        units : str, optional
            UDUNITS, as in ``m3 s-1``.
        attributes : mapping, optional
            Further CF attributes (``cell_methods``, ``comment``, ``grid_mapping``, ...).
        missing : sequence of float, optional
            What else the solver writes where it has no value (HNOFLO, HDRY).

        Raises
        ------
        InvalidInput
            What does not fit the array, the store or its other fields; the store is as it was before.
        SealedError
            If the store was finalized.
        StorageError
            If the disk is full or fails.
        """
        said = {"time": time, "coords": coords, "units": units, "attributes": attributes, "missing": tuple(missing)}
        self._writing().write(given_field(name, array, dims, **said))

    def write_mesh(
        self, nodes: ArrayLike, cells: Any, *, name: str = "mesh", dim: str = "cell", centres: Any = None,
        start_index: int = 0,
    ) -> None:  # fmt: skip
        """Say on which mesh the fields along ``dim`` lie; they then say so of themselves (UGRID-1.0).

        Parameters
        ----------
        nodes : array_like, shape (2 or 3, n)
            The coordinates of the corners: x and y; and z where the cells are volumes.
        cells : array_like of int, shape (m, k), or sequence of sequences of int
            The corners of each cell; -1 or a mask where a cell has fewer than others. Polygons have 3 or more,
            volumes 4 or more.
        name, dim : str
            What the mesh is called, and the dimension of its cells. A layered mesh is this one, and fields along
            ``("time", "layer", dim)``.
        centres : array_like, shape (2 or 3, m), optional
            The centres of the cells; else their centroids.
        start_index : int
            The number of the caller's first node.

        Raises
        ------
        InvalidInput
            A name that is taken, corners that are no nodes, or another number of cells than fields have.
        SealedError
            If the store was finalized.

        Examples
        --------
        >>> store = SimulationZarr.create("mesh.zarr", title="Base run", run_id="6f2f1b0e")
        >>> store.write_mesh(([0, 1, 1, 0, 2], [0, 0, 1, 1, 0]), [[0, 1, 2, 3], [1, 4, 2]])
        >>> store.write_field("head", [12.0, 8.5], dims=("cell",))
        >>> files = store.finalize()
        >>> store.dataset()["head"].attrs["location"]
        'face'
        """
        said = {"name": name, "dim": dim, "centres": centres, "start_index": start_index}
        self._writing().add_mesh(given_mesh(nodes, cells, **said, crs_is_geographic=is_geographic(self._crs)))

    def append_field(
        self,
        name: str,
        array: ArrayLike | xr.DataArray,
        dims: Sequence[str] | None = None,
        *,
        time: Any = None,
        coords: Mapping[str, Any] | None = None,
        units: str | None = None,
        attributes: Mapping[str, Any] | None = None,
        missing: Sequence[float] = (),
    ) -> None:
        """Add steps at the end of a field, which the first call begins; the parameters are those of `write_field`.

        The first dimension is time; a single step may come without it, with one datetime. Steps wait in memory
        until they fill a file (64 MiB). The array may be reused at once.

        Raises
        ------
        InvalidInput
            Steps unlike those before, or times that do not go on; nothing of this call is kept.
        SealedError
            If the store was finalized.
        StorageError
            If the disk is full or fails.

        Examples
        --------
        >>> store = SimulationZarr.create("states.zarr", title="Base run", run_id="6f2f1b0e")
        >>> for day in ("2001-01-01", "2001-01-02"):
        ...     store.append_field("storage", [[12.0, 8.5]], dims=("time", "cell"), time=[day], units="mm")
        >>> _ = store.finalize()
        >>> store.time()
        array(['2001-01-01T00:00:00.000000', '2001-01-02T00:00:00.000000'], dtype='datetime64[us]')
        """
        writer = self._writing()
        said = {"time": time, "coords": coords, "units": units, "attributes": attributes, "missing": tuple(missing)}
        begun = writer.growing.get(name)
        writer.append(given_field(name, array, begun.dims if begun and dims is None else dims, **said))

    def finalize(self) -> list[FileRecord]:
        """End the store: write what waits, the coordinates and one root with all metadata; flush all to disk.

        A field with fewer steps than its time axis gets an axis of its own, ``time_<field>``.

        Returns
        -------
        list of FileRecord
            Every file, sorted by path; paths are relative to the folder the store lies in.

        Raises
        ------
        SealedError
            If it was finalized before.
        CorruptError
            If a file that was written is gone.
        StorageError
            If the disk is full or fails.
        """
        files = seal(self._writing(), self._root, self._crs)
        self._writer, self._reader = None, StoreReader(self.path)
        return files

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────

    @property
    def attributes(self) -> dict[str, Any]:
        """The attributes of the store: title, id, Conventions, time coverage, ..."""
        return dict(self._reading().attributes)

    def fields(self) -> list[str]:
        """Return the names of the fields, sorted."""
        return self._reading().fields()

    def time(self, dim: str = "time") -> Instants:
        """Return the instants of a time axis, in UTC.

        Returns
        -------
        ndarray of datetime64[us], shape (n,)

        Raises
        ------
        NotFound
            If there is no such axis.
        """
        return self._reading().time(dim)

    def read_field(self, name: str, *, time: Any = None, **where: Any) -> NDArray[Any]:
        """Return the values of a field, or of a piece of it; only the chunks of that piece are read.

        Parameters
        ----------
        name : str
            The field.
        time : int, datetime, str or slice, optional
            A position, an instant, or a slice of either. A slice of instants includes both ends, and a year,
            a month or a day as an end stands for all of it: ``slice("2001-10", "2002-09")``.
        **where : int, str or slice
            Dimension -> position, label (of a dimension with labels, such as ``station="outlet"``) or slice of
            positions. A single position or label drops the dimension.

        Returns
        -------
        ndarray
            In the type the field was written in; NaN where there is no value.

        Raises
        ------
        NotFound
            If there is no such field, instant or label.
        InvalidInput
            A dimension the field does not have, or a position outside it.
        CorruptError
            If a chunk is missing or damaged.
        """
        reader = self._reading()
        if time is not None:
            dims = reader.documents.get(name, {}).get("dimension_names", [])
            where[next(filter(schema.is_time, dims), "time")] = time
        return reader.read(name, where)

    def dataset(self) -> xr.Dataset:
        """Return all fields as a dataset that reads what is used of it (needs no dask).

        It is what ``xarray.open_zarr`` gives. Damage that shows only when values are read comes as an error
        of zarr: `verify` finds it.
        """
        return self._reading().dataset()

    def verify(self) -> None:
        """Read every byte: each chunk must be there, and its checksum right.

        Raises
        ------
        CorruptError
            Names the first array or file that is not as it was written.
        """
        self._reading().verify()

    def __repr__(self) -> str:
        state = "being written" if self._writer else f"fields {', '.join(self.fields()) or 'none'}"
        return f"SimulationZarr({str(self.path)!r}, {state})"

    # ── which of the two ─────────────────────────────────────────────────────────────────────────────

    def _writing(self) -> StoreWriter:
        if self._writer is None:
            message = f"{self.path}: is finished and only read; record a new run to write other fields"
            raise SealedError(message)
        return self._writer

    def _reading(self) -> StoreReader:
        if self._reader is None:
            message = f"{self.path}: is being written; call finalize() first"
            raise InvalidInput(message)
        return self._reader


def _root_attributes(
    title: str, run_id: str, date_created: datetime | str | None, attributes: Mapping[str, Any] | None
) -> dict[str, Any]:
    found = {
        "Conventions": schema.CONVENTIONS,
        "hmp_schema_version": str(schema.SCHEMA_VERSION),
        "title": str(title),
        "id": str(run_id),
    }
    if date_created is not None:
        found["date_created"] = iso(instant(date_created))
        found["history"] = f"{found['date_created']}: written by hmp-catalog"
    return found | schema.plain_attributes(attributes, schema.RESERVED_ROOT_ATTRIBUTES, "the store")
