"""Data sets as xarray shows them, lazily.

What `to_xarray` gives is what hmp reads: float32 stays float32 (plain ``xarray.open_zarr`` decodes packed values to
float64, for JSON does not tell the two apart), and geometries are objects of shapely.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from hmp_catalog.datasets.cells.selecting import outer
from hmp_core.errors import InvalidInput

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hmp_catalog.datasets.dataset import Dataset, DatasetView
    from hmp_catalog.datasets.variables import DataVariableView

    Values = NDArray[Any]

#: Doubles tell neighbouring integers apart up to here.
_EXACT = 2**53

#: Units of times that xarray does not have; it has seconds and what is shorter.
_LONG = frozenset({"Y", "M", "W", "D", "h", "m"})


def to_xarray(source: Dataset | DatasetView, *, masked: bool = True) -> xr.Dataset:
    """Return a data set, or a part of it, of xarray; data are read when they are asked for.

    Parameters
    ----------
    source : Dataset or DatasetView
        The data set. What is committed later is not seen, and what is read stays there, also after it was closed. A
        session with changes is seen as it is.
    masked
        Integers that may be missing are floats, NaN where they are, as everywhere in xarray. If off, they are
        integers, and 0 where they are missing.

    Raises
    ------
    InvalidInput
        If it is closed.
    MissingPart
        If there are geometries and shapely is not installed.
    """
    held = _held(source)
    views = {name: held[name] for name in held.data_var_names}
    coords = {name: held[name] for name in held.coord_names}
    found = {name: _lazy(view, masked=masked) for name, view in views.items()}
    beside = {word for name in views for word in str(_said(held, name).get("coordinates", "")).split()}
    made = _with_indexes(held, xr.Dataset(found, _coordinates(held, coords), held.attrs.data))
    return made.set_coords([name for name in found if name in beside])


def variable_to_xarray(source: DataVariableView, *, masked: bool = True) -> xr.DataArray:
    """Return a variable, or a part of it, of xarray, with its coordinates; see `to_xarray`.

    Raises
    ------
    InvalidInput
        What a mask of several dimensions selected: it has no coordinates.
    """
    held = _held(source)
    if len(held.coord_names) != held.ndims:
        message = f"{held.name}: a mask of several dimensions leaves no coordinates; select by each, or take .values"
        raise InvalidInput(message)
    coords = _coordinates(held, {each.name: each for each in held.coords})
    made: xr.DataArray = _with_indexes(held, xr.Dataset({held.name: _lazy(held, masked=masked)}, coords))[held.name]
    return made


def _held(source: Any) -> Any:
    """Return the same at the version that it has now, held for itself."""
    # a copy is what another process would open; there is none of what is not committed
    return source if source.handle.changed else copy.copy(source)


def _said(source: Any, name: str) -> dict[str, Any]:
    found: dict[str, Any] = source.handle.arrays()[name].attrs.asdict()
    return found


def _coordinates(source: Any, views: Mapping[str, Any]) -> xr.Coordinates:
    contents = source.handle.contents()
    found: dict[Any, Any] = {
        name: xr.Variable((name,) * view.ndims, _in_units(view.data), view.attrs.data)
        for name, view in views.items()
        if name not in contents.unlabelled
    }
    for name in contents.mappings:
        found[name] = xr.Variable((), np.asarray(source.handle.arrays()[name][...]), _said(source, name))
    return xr.Coordinates(found, indexes={})


def _with_indexes(source: Any, made: xr.Dataset) -> xr.Dataset:
    """Return a data set with indexes of its labels; geometries have none, as cf_xarray leaves them."""
    for name in map(str, made.coords):
        if made[name].dims == (name,) and name not in source.handle.contents().geometries:
            made = made.set_xindex(name)
    return made


def _in_units(found: Values) -> Values:
    return found.astype(_unit(found.dtype)) if found.dtype.kind == "M" else found


def _unit(kind: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type of times that xarray has for these."""
    return np.dtype("datetime64[s]") if np.datetime_data(kind)[0] in _LONG else kind


def _lazy(view: Any, *, masked: bool) -> xr.Variable:
    said = _said(view, view.name)
    chunks = dict(zip(view.coord_names, view.chunk_shape, strict=True))
    encoding = {"preferred_chunks": chunks} | {key: said[key] for key in ("grid_mapping",) if key in said}
    data = indexing.LazilyIndexedArray(LazyArray(view, masked=masked))
    return xr.Variable(view.coord_names, data, view.attrs.data, encoding)


class LazyArray(BackendArray):
    """The values of a view, read as xarray asks for them.

    Parameters
    ----------
    view : DataVariableView
        What is read.
    masked
        Whether integers that may be missing are floats.
    """

    def __init__(self, view: DataVariableView, *, masked: bool) -> None:
        self._view = view
        self.shape = view.shape
        self._floats = masked and view.dtype.kind == "integer" and view.packing.fill is not None
        kind = view.packing.decoded
        self.dtype = np.dtype(np.float64) if self._floats else _unit(kind) if kind.kind == "M" else kind

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Values:
        """Return the values of a key of xarray."""
        found: Values = indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._read)
        return found

    def _read(self, key: tuple[Any, ...]) -> Values:
        alone = tuple(0 if isinstance(each, (int, np.integer)) else slice(None) for each in key)
        kept = [[int(each)] if isinstance(each, (int, np.integer)) else each for each in key]
        view = self._view
        part = type(view)(view.handle, view.name, view.selection.then(outer(kept, view.shape)))
        values = self._as_floats(part) if self._floats else _in_units(part.data)
        return np.asarray(values[alone])

    def _as_floats(self, part: DataVariableView) -> Values:
        codes = part.codes()
        values, missing = part.packing.decode(codes), part.packing.missing(codes)
        found = values.astype(np.float64)
        if (((values > _EXACT) | (values < -_EXACT)) & ~missing).any():
            message = f"{part.name}: integers that a double does not tell apart; to_xarray(masked=False) keeps them"
            raise InvalidInput(message)
        found[missing] = np.nan
        return found
