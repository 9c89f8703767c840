"""What makes the coordinates and the data variables of a data set, from a table of templates or from scratch."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hmp_catalog.datasets import dtypes, kinds, referencing
from hmp_catalog.datasets.axes import containers, keeping, ticks
from hmp_catalog.datasets.axes.crs import NAME as GRID_MAPPING
from hmp_catalog.datasets.cells import arrays, chunking
from hmp_catalog.datasets.coordinates import AXES, AXIS, STEP, Coordinate, CoordinateView
from hmp_catalog.datasets.dtypes import DataType
from hmp_catalog.datasets.values import templates
from hmp_catalog.datasets.values.plans import plan
from hmp_catalog.datasets.values.templates import Template
from hmp_catalog.datasets.variables import DataVariable, DataVariableView
from hmp_core.errors import InvalidInput

if TYPE_CHECKING:
    from pyproj import CRS

    from hmp_catalog.datasets.handle import Handle

#: Kinds of labels that may have a step.
_STEPPING = frozenset({"float", "integer", "datetime"})

_NAME, _LONGEST = re.compile(r"[A-Za-z][A-Za-z0-9_]*"), 256


class Creator:
    """What makes the parts of a data set: ``coord``, ``data_var`` and ``crs``.

    Parameters
    ----------
    handle : Handle
        The open data set.
    """

    def __init__(self, handle: Handle) -> None:
        self._handle = handle

    @property
    def coord(self) -> CoordCreator:
        """Makes coordinates: ``generic``, ``like``, and a method for each template (``lat``, ``time``, ...)."""
        return CoordCreator(self._handle)

    @property
    def data_var(self) -> DataVarCreator:
        """Makes data variables: ``generic``, ``like``, and a method for each template (``air_temp``, ...)."""
        return DataVarCreator(self._handle)

    @property
    def crs(self) -> CRSCreator:
        """Says in which coordinate reference system places are."""
        return CRSCreator(self._handle)


# ── coordinates ──────────────────────────────────────────────────────────────────────────────────────


class CoordCreator:
    """Makes coordinates. Each template of `templates.COORDINATES` is a method: ``lat(data=None, step=True, ...)``.

    Parameters
    ----------
    handle : Handle
        The open data set.
    """

    def __init__(self, handle: Handle) -> None:
        self._handle = handle

    def generic(
        self,
        name: str,
        data: Any = None,
        dtype: Any = None,
        chunk_shape: Sequence[int] | None = None,
        *,
        step: Any = False,
        axis: str | None = None,
    ) -> Coordinate:
        """Make a coordinate.

        Parameters
        ----------
        name : str
            Letters, digits and ``_``, a letter first.
        data : array_like, shape (n,), optional
            Its labels: each once, numbers and datetimes ascending. The array is never changed. None yet if not given.
        dtype : str, NumPy dtype or DataType, optional
            As `dtypes.dtype`; that of the labels if not given.
        chunk_shape : tuple of int, optional
            How many labels one read decodes.
        step : bool, int, float, timedelta or timedelta64
            What is between two labels, kept when it grows: gaps of whole steps are filled. True takes it from the
            labels, if they are regular. Of datetimes say a timedelta64: a number counts their unit, and is refused
            where no two labels bear it out.
        axis : str, optional
            x, y, z, t, xy or xyz.

        Raises
        ------
        InvalidInput
            A name that is taken or cannot be, labels that are no coordinate, an axis that another coordinate is.
        OutOfRange
            A label that the type does not reach.
        """
        of = _type_of(name, data, dtype)
        return self._make(Template(name, of, {}), data, chunk_shape, step=step, axis=axis)

    def like(self, name: str, coord: CoordinateView, copy_data: bool = False) -> Coordinate:  # noqa: FBT001, FBT002 - as cfdb
        """Make a coordinate of the type, the chunks and the attributes of another one, also of another data set.

        Parameters
        ----------
        name : str
            Of the new one.
        coord : Coordinate or CoordinateView
            The other.
        copy_data
            Take its labels too. The axis is taken if no other coordinate here is that already.
        """
        data = coord.data if copy_data else None
        taken = {each.axis for each in _coordinates(self._handle)}
        said = {key: value for key, value in coord.attrs.data.items() if key != "axis"}
        axis = None if coord.axis in taken else coord.axis
        chunks = None if coord.dtype.kind == "geometry" else coord.chunk_shape
        step: Any = coord.step or False
        if step and coord.dtype.kind == "datetime":
            step = np.array(step, dtype=f"timedelta64[{coord.dtype.unit}]")[()]  # a number alone says no unit
        return self._make(Template(name, coord.dtype, said), data, chunks, step=step, axis=axis)

    def _template(
        self, short: str, data: Any = None, dtype: Any = None, chunk_shape: Any = None, **options: Any
    ) -> Coordinate:
        found = templates.coordinate(short)
        of = found.dtype if dtype is None else dtypes.dtype(dtype)
        given = {"step": of.kind in _STEPPING, "axis": found.axis, "name": found.name} | options
        made = Template(given.pop("name"), of, found.attributes)
        return self._make(made, data, chunk_shape, **given)

    def _make(self, made: Template, data: Any, chunk_shape: Any, *, step: Any, axis: str | None) -> Coordinate:
        name, of = made.name, made.dtype
        with self._handle.reshaping(*(() if of.kind == "geometry" else (name,))) as begin:
            _check_name(self._handle, name, containers.members(name, of) if of.kind == "geometry" else (name,))
            found = checked_axis(self._handle, name, of, axis)
            labels = np.empty(0, dtype=of.decoded) if data is None else keeping.checked(data, of, name=name)
            said = {key: value for key, value in made.attributes.items() if key != "axis"} | _axis(found)
            self._check_length(name, len(labels))
            kept = ticks.agreed_step(labels, step, of=name, precision=of.precision) if of.kind != "geometry" else None
            said |= {} if kept is None else {STEP: kept}
            if step is True and of.kind in _STEPPING and len(labels) < 2:
                said[STEP] = True  # that of the labels, when there are some
            if of.kind == "geometry":
                flat = containers.variables(name, labels, of, said, keeping.axes(self._handle))
                containers.write(begin(), name, flat)
                return Coordinate(self._handle, name)
            chunks = chunking.COORDINATE_CHUNK if chunk_shape is None else chunking.checked_chunk_shape(chunk_shape, 1)
            plan(of)  # what cannot be kept is told before anything is begun
            cells = arrays.create(
                begin(), name, dims=(name,), shape=labels.shape, dtype=of, chunks=chunks, attributes=said,
                compression=self._handle.compression, level=self._handle.compression_level, coordinate=True,
            )  # fmt: skip
            cells.write((slice(0, len(labels)),), labels)
        return Coordinate(self._handle, name)

    def _check_length(self, name: str, count: int) -> None:
        """Refuse labels of another number than a dimension has that had none."""
        size = self._handle.contents().unlabelled.get(name, count)
        if size != count:
            message = f"{name}: {count} labels for a dimension that is there already, of size {size}"
            raise InvalidInput(message)

    def __getattr__(self, short: str) -> Callable[..., Coordinate]:
        return _method(self._template, short, templates.COORDINATES, self)

    def __dir__(self) -> Iterable[str]:
        return [*super().__dir__(), *_names(templates.COORDINATES)]


def _type_of(name: str, data: Any, given: Any) -> DataType:
    if given is not None:
        return dtypes.dtype(given)
    if data is None:
        message = f"{name}: say its dtype, or give its labels"
        raise InvalidInput(message)
    found = np.asarray(data)
    text = found.dtype == object and all(isinstance(each, str) for each in found.flat)
    return dtypes.dtype("string") if text else dtypes.of_array(found)


def _coordinates(handle: Handle) -> list[Coordinate]:
    return [Coordinate(handle, name) for name in handle.contents().coords]


def _axis(axis: str | None) -> dict[str, str]:
    """Return the attributes that say an axis: CF has letters for four of them."""
    if axis is None:
        return {}
    return {"axis": axis.upper()} if len(axis) == 1 else {AXIS: axis}


def checked_axis(handle: Handle, name: str, of: DataType, axis: str | None) -> str | None:
    """Return an axis as it is kept.

    Raises
    ------
    InvalidInput
        Another than x, y, z, t, xy and xyz, one that another coordinate is, or that does not go with the data set.
    """
    found = None if axis is None or axis == "e" else str(axis).lower()
    if found is not None and found not in AXES:
        message = f"{name}: axis={axis!r}; expected one of {', '.join(AXES)}"
        raise InvalidInput(message)
    for other in _coordinates(handle) if found else ():
        if other.name != name and other.axis == found:
            message = f"{name}: axis {found!r} is {other.name!r} already; say another, or other.update_axis(None) first"
            raise InvalidInput(message)
    kinds.kind(handle.dataset_type).check(name, of, found)
    return found


# ── data variables ───────────────────────────────────────────────────────────────────────────────────


class DataVarCreator:
    """Makes data variables. Each template of `templates.VARIABLES` is a method: ``air_temp(coords, ...)``.

    Parameters
    ----------
    handle : Handle
        The open data set.
    """

    def __init__(self, handle: Handle) -> None:
        self._handle = handle

    def generic(
        self, name: str, coords: Sequence[str], dtype: Any, chunk_shape: Sequence[int] | None = None
    ) -> DataVariable:
        """Make a data variable; everything in it is missing.

        Parameters
        ----------
        name : str
            Letters, digits and ``_``, a letter first.
        coords : tuple of str
            The coordinates along its dimensions; it is as long as they are, now and later. ``()`` of a single value.
        dtype : str, NumPy dtype or DataType
            As `dtypes.dtype`.
        chunk_shape : tuple of int, optional
            What one read decodes; about 2**18 values, lengths that divide the coordinates, if not given. Along the
            times a chunk may be longer than they are now: they grow.

        Raises
        ------
        InvalidInput
            A name that is taken or cannot be, coordinates that are not there, chunks of other dimensions.
        """
        return self._make(Template(name, dtypes.dtype(dtype), {}), coords, chunk_shape)

    def like(self, name: str, data_var: DataVariableView, chunk_shape: Sequence[int] | None = None) -> DataVariable:
        """Make a data variable of the coordinates, the type, the chunks and the attributes of another one.

        Parameters
        ----------
        name : str
            Of the new one.
        data_var : DataVariable or DataVariableView
            The other, also of another data set whose coordinates have the same names. Its values are not taken.
        chunk_shape : tuple of int, optional
            Chunks of another shape, as for `rechunker`.
        """
        made = Template(name, data_var.dtype, data_var.attrs.data)
        return self._make(made, data_var.coord_names, chunk_shape or data_var.chunk_shape)

    def _template(
        self, short: str, coords: Sequence[str], dtype: Any = None, chunk_shape: Any = None, **options: Any
    ) -> DataVariable:
        found = templates.variable(short)
        of = found.dtype if dtype is None else dtypes.dtype(dtype)
        made = Template(options.pop("name", found.name), of, found.attributes)
        return self._make(made, coords, chunk_shape, **options)

    def _make(self, made: Template, coords: Sequence[str], chunk_shape: Any) -> DataVariable:
        name, of, handle = made.name, made.dtype, self._handle
        with handle.reshaping(name) as begin:
            _check_name(handle, name, (name,))
            along = self._along(name, coords)
            shape = tuple(len(handle.labels(each)) for each in along)
            plan(of)  # what cannot be kept is told before anything is begun
            if chunk_shape is None:
                chunks = chunking.variable_chunk_shape(shape, along, self._growing(along))
            else:
                chunks = chunking.checked_chunk_shape(chunk_shape, len(shape))
            said = {**made.attributes, **referencing.mentioned(handle, along)}
            arrays.create(
                begin(), name, dims=along, shape=shape, dtype=of, chunks=chunks, attributes=said,
                compression=handle.compression, level=handle.compression_level,
            )  # fmt: skip
        return DataVariable(handle, name)

    def _growing(self, along: tuple[str, ...]) -> int | None:
        """Return the axis that grows, that of the times; None if there is none."""
        coords = [Coordinate(self._handle, each) for each in along]
        times = [axis for axis, each in enumerate(coords) if each.axis == "t"]
        times += [axis for axis, each in enumerate(coords) if each.dtype.kind == "datetime"]
        return times[0] if times else None

    def _along(self, name: str, coords: Sequence[str]) -> tuple[str, ...]:
        found = (coords,) if isinstance(coords, str) else tuple(getattr(each, "name", each) for each in coords)
        known = self._handle.contents().coords
        for each in found:
            if each not in known:
                raise self._handle.missing(str(each))
        if len(set(found)) != len(found):
            message = f"{name}: coords={found!r}; expected each once"
            raise InvalidInput(message)
        return found

    def __getattr__(self, short: str) -> Callable[..., DataVariable]:
        return _method(self._template, short, templates.VARIABLES, self)

    def __dir__(self) -> Iterable[str]:
        return [*super().__dir__(), *_names(templates.VARIABLES)]


# ── templates and names ──────────────────────────────────────────────────────────────────────────────


def _method(make: Callable[..., Any], name: str, table: Mapping[str, Template], of: Any) -> Callable[..., Any]:
    """Return what makes a variable of a template, by the short or the full name of that."""
    short = name if name in table else next((key for key, found in table.items() if found.name == name), None)
    if short is None or name.startswith("_"):
        message = f"{type(of).__name__} has no template {name!r}; generic() makes others"
        raise AttributeError(message)

    def method(*given: Any, **options: Any) -> Any:
        return make(short, *given, **options)

    found = table[short]
    method.__name__ = name
    method.__doc__ = f"Make {found.name!r}: {found.dtype.name}, {dict(found.attributes)}."
    return method


def _names(table: Mapping[str, Template]) -> list[str]:
    return sorted({*table, *(each.name for each in table.values())})


def _check_name(handle: Handle, name: Any, members: Iterable[str]) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name) or len(name) > _LONGEST:
        message = f"name {name!r}: expected letters, digits and '_', a letter first, at most {_LONGEST} of them"
        raise InvalidInput(message)
    found = handle.contents()
    taken = {*handle.arrays(), *(found.coords), GRID_MAPPING} - found.unlabelled.keys()
    for member in (name, *members):
        if member in taken:
            message = f"{name}: there is a variable {member!r} already; choose another name, or remove that first"
            raise InvalidInput(message)


class CRSCreator:
    """Says in which coordinate reference system the places of a data set are.

    Parameters
    ----------
    handle : Handle
        The open data set.
    """

    def __init__(self, handle: Handle) -> None:
        self._handle = handle

    def from_user_input(
        self, crs: Any, x_coord: str | None = None, y_coord: str | None = None, xy_coord: str | None = None
    ) -> CRS:
        """Say the coordinate reference system, and which coordinates are the places.

        Parameters
        ----------
        crs : int, str, dict or pyproj.CRS
            Whatever pyproj takes: ``2154``, ``"EPSG:2154"``, WKT, PROJ.
        x_coord, y_coord : str, optional
            The coordinates that are its x and y axis; those that are these already if not given.
        xy_coord : str, optional
            The coordinate of geometries.

        Raises
        ------
        NotFound
            A coordinate that is not there.
        InvalidInput
            What pyproj does not know, or a coordinate that cannot be that axis.
        MissingPart
            If pyproj is not installed.
        """
        return referencing.refer(self._handle, crs, {"x": x_coord, "y": y_coord, "xy": xy_coord})
