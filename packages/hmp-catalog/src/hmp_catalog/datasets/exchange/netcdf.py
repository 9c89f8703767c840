"""Data sets as netCDF-4 files: the same codes under the same attributes, block by block.

A file says what the store says: nothing is decoded on the way. What netCDF has no words for (truth, nothing, lists of
lists) is kept as JSON, and ``hmp_json`` names such attributes: `intake` reads them again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hmp_catalog.datasets.axes import containers, keeping, ticks
from hmp_catalog.datasets.axes.containers import Variable
from hmp_catalog.datasets.axes.crs import NAME as GRID_MAPPING
from hmp_catalog.datasets.cells import blocks
from hmp_catalog.datasets.coordinates import STEP
from hmp_catalog.datasets.libraries import library
from hmp_catalog.datasets.values import marked
from hmp_core.durable import new_file
from hmp_core.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from hmp_catalog.datasets.dataset import Dataset, DatasetView

#: The attribute with the names of those that are JSON, a list in JSON itself.
JSON = "hmp_json"

#: Bytes of codes that are written at a time, where one chunk has not more.
_BLOCK = 8 << 20

#: Attributes that are of the type of what is stored (CF 2.5.1, 3.4).
_OF_CODES = ("_FillValue", "missing_value", "valid_range", "valid_min", "valid_max", "flag_values", "flag_masks")


def to_netcdf4(
    source: Dataset | DatasetView,
    path: str | Path,
    compression: str | None = "gzip",
    include_data_vars: Sequence[str] | None = None,
    exclude_data_vars: Sequence[str] | None = None,
    **file_kwargs: Any,
) -> None:
    """Write a data set, or a part of it, to a new netCDF-4 file; in as much memory as a few chunks take.

    Parameters
    ----------
    source : Dataset or DatasetView
        What is written: all its coordinates, those without data too.
    path : str or Path
        A file that is not there yet.
    compression : str, optional
        ``gzip``, ``lzf`` or None.
    include_data_vars, exclude_data_vars : sequence of str, optional
        The variables that are written, or those that are not.
    **file_kwargs
        Passed to `h5netcdf.File`.

    Raises
    ------
    PathTaken
        If there is something at ``path``.
    NotFound
        A variable that is not there.
    InvalidInput
        Another compression, both lists of variables, or a path in the data set itself.
    MissingPart
        If h5netcdf is not installed.
    """
    h5netcdf = library("h5netcdf", "netCDF files are written with")
    if compression not in {None, "gzip", "lzf"}:
        message = f"compression={compression!r}; expected gzip, lzf or None"
        raise InvalidInput(message)
    names = chosen(source, include_data_vars, exclude_data_vars)
    if Path(os.path.realpath(path)).is_relative_to(source.handle.path):
        message = f"{path} lies in the data set itself; choose a path outside of {source.handle.path}"
        raise InvalidInput(message)
    with new_file(Path(path)) as draft, h5netcdf.File(draft, "w", **file_kwargs) as file:
        Writer(source, file, compression).write(names)


def chosen(source: Any, include: Sequence[str] | None, exclude: Sequence[str] | None) -> list[str]:
    """Return the data variables that are meant.

    Raises
    ------
    NotFound
        A variable that is not there.
    InvalidInput
        Both lists.
    """
    there = list(source.data_var_names)
    if include is not None and exclude is not None:
        message = "include_data_vars and exclude_data_vars: say one of them"
        raise InvalidInput(message)
    listed = [include] if isinstance(include, str) else list(include or exclude or ())
    if isinstance(exclude, str):
        listed = [exclude]
    for name in listed:
        if name not in there:
            message = f"no data variable {name!r}; there are {', '.join(there) or 'none'}"
            raise NotFound(message, reference=str(name), candidates=there)
    return [name for name in there if (name in listed) == (include is not None)]


class Writer:
    """What puts a data set into an open file.

    Parameters
    ----------
    source : Dataset or DatasetView
        The data set.
    file : h5netcdf.File
        A new file.
    compression : str or None
        How its arrays are compressed.
    """

    def __init__(self, source: Any, file: Any, compression: str | None) -> None:
        self._source = source
        self._file = file
        self._compression = compression

    def write(self, names: Sequence[str]) -> None:
        """Write the variables of these names, and all coordinates."""
        handle = self._source.handle
        self._say(self._file, dict(handle.group().attrs), None)
        arrays = handle.arrays()
        for name in self._source.coord_names:
            self._coordinate(name, arrays)
        views = {name: self._source[name] for name in names}
        for mapping in sorted(self._mappings(names, arrays)):
            found = Variable((), np.asarray(arrays[mapping][...]), arrays[mapping].attrs.asdict())
            self._whole(mapping, found)
        for name, view in views.items():
            self._lazily(name, view, arrays[name].attrs.asdict())

    def _mappings(self, names: Sequence[str], arrays: Mapping[str, Any]) -> set[str]:
        """Return the grid mappings that what is written refers to."""
        holders = [keeping.keeper(self._source.handle, name).holder for name in self._source.coord_names]
        bearers = [arrays[name].attrs for name in (*names, *holders) if name in arrays]
        # CF 5.6 has a longer form too: "crs: x y other: lat lon"
        said = {word.rstrip(":") for bearer in bearers for word in str(bearer.get("grid_mapping", "")).split()}
        return {name for name in said | {GRID_MAPPING} if name in arrays and not arrays[name].shape}

    # ── arrays ───────────────────────────────────────────────────────────────────────────────────────

    def _coordinate(self, name: str, arrays: Mapping[str, Any]) -> None:
        view = self._source[name]
        keeper = keeping.keeper(self._source.handle, name)
        if not keeper.holder:
            self._dimensions((name,), view.shape)
            return
        said = arrays[keeper.holder].attrs.asdict()
        if view.dtype.kind != "geometry":
            self._lazily(name, view, said | _step(view, said), labels=True)
            return
        for key, found in containers.variables(name, view.data, view.dtype, said).items():
            before = arrays[key].attrs.asdict() if key in arrays and key != containers.container(name) else {}
            self._whole(key, Variable(found.dims, found.values, before | dict(found.attributes)))

    def _whole(self, name: str, found: Variable) -> None:
        made = self._array(name, found.dims, found.values.shape, str(found.values.dtype), found.attributes)
        made[...] = found.values

    def _lazily(self, name: str, view: Any, said: Mapping[str, Any], *, labels: bool = False) -> None:
        """Write an array block by block, as the codes that it has."""
        stored = view.packing.stored
        # what has no length yet may get any: HDF5 takes chunks of its own for it
        chunks = tuple(
            max(1, min(chunk, size or chunk)) for chunk, size in zip(view.chunk_shape, view.shape, strict=True)
        )
        said = said if labels or not stored.startswith("float") else {"_FillValue": float("nan"), **said}
        said = dict(said) | _narrow(view.packing, said)
        made = self._array(name, view.coord_names, view.shape, stored, said, **({"chunks": chunks} if chunks else {}))
        window = tuple(slice(0, size) for size in view.shape)
        width = np.dtype(object if stored == "string" else stored).itemsize
        for part in blocks.slabs(window, chunks, width, _BLOCK) if view.size else ():
            made[part] = view.codes(part)

    def _array(
        self, name: str, dims: Sequence[str], shape: Sequence[int], stored: str, said: Mapping[str, Any], **how: Any
    ) -> Any:
        self._dimensions(dims, shape)
        text = stored == "string"
        if shape and self._compression and not text:
            how |= {"compression": self._compression, "shuffle": True}
        kind: Any = library("h5py", "netCDF files are written with").string_dtype() if text else np.dtype(stored)
        filled = None if text or "_FillValue" not in said else _fill(stored, said["_FillValue"])
        made = self._file.create_variable(name, tuple(dims), dtype=kind, fillvalue=filled, **how)
        self._say(made, {key: value for key, value in said.items() if key != "_FillValue"}, None if text else stored)
        return made

    def _dimensions(self, dims: Sequence[str], shape: Sequence[int]) -> None:
        for dim, size in zip(dims, shape, strict=True):
            if dim not in self._file.dimensions:
                # HDF5 takes a length of 0 for one without limit
                self._file.dimensions[dim] = size or None

    # ── attributes ───────────────────────────────────────────────────────────────────────────────────

    def _say(self, bearer: Any, said: Mapping[str, Any], stored: str | None) -> None:
        as_json = []
        for key, value in said.items():
            if value is None and key == STEP:
                continue
            plain = _attribute(key, value, stored)
            if plain is None:
                as_json.append(key)
                plain = json.dumps(value)
            try:
                bearer.attrs[key] = plain
            except AttributeError as error:
                message = f"attribute {key!r}: netCDF-4 keeps this name for itself; rename it first"
                raise InvalidInput(message) from error
        if as_json:
            bearer.attrs[JSON] = json.dumps(as_json)


def _narrow(packing: Any, said: Mapping[str, Any]) -> dict[str, Any]:
    """Return scale and offset as float32, if all codes are the same values then: their type tells that of values."""
    keys = [key for key in ("scale_factor", "add_offset") if key in said]
    stored = np.dtype(object if packing.stored == "string" else packing.stored)
    if not keys or packing.decoded != np.float32 or stored.kind not in "iu" or stored.itemsize > 2:
        return {}
    found = {key: np.float32(said[key]) for key in keys}
    room = np.iinfo(stored)
    codes = np.arange(room.min, room.max + 1).astype(stored)
    theirs = codes.astype(np.float32) * found.get("scale_factor", np.float32(1)) + found.get(
        "add_offset", np.float32(0)
    )
    same = (theirs == packing.decode(codes)) | packing.missing(codes)
    kept = all(float(found[key]) == said[key] for key in keys)
    return found if kept and bool(same.all()) else {}


def _step(view: Any, said: Mapping[str, Any]) -> dict[str, Any]:
    """Return the step of labels that were cut, which may be another one."""
    if STEP not in said or view.size < 2:
        return {}
    return {STEP: ticks.step_of(view.data, precision=view.dtype.precision)}


def _fill(stored: str, said: Any) -> Any:
    kind = np.dtype(stored)
    found = marked.told(said) if kind.kind == "f" else said
    return kind.type(np.nan if found is None else found)


def _attribute(key: str, value: Any, stored: str | None) -> Any:
    """Return an attribute as netCDF has it; None if it does not."""
    if stored is not None and key in _OF_CODES:
        return np.asarray(value, dtype=stored)
    if isinstance(value, np.floating):
        return value
    if isinstance(value, str):
        return value if value and "\0" not in value else None
    # a list of one item, and one of text, would come back as the item, as text
    listed = isinstance(value, (list, tuple)) and len(value) > 1
    kinds = {type(item) for item in value} if listed else {type(value)}
    if kinds not in ({int}, {float}):
        return None
    found = np.asarray(value)
    return found if found.dtype.kind in "if" else None
