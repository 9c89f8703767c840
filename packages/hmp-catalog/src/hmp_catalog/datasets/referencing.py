"""Where the coordinate reference system of a data set stands: its grid mapping, and who mentions that (CF 5.6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hmp_catalog.datasets.axes import containers, crs
from hmp_catalog.datasets.coordinates import Coordinate
from hmp_core.errors import InvalidInput

if TYPE_CHECKING:
    import zarr
    from pyproj import CRS

    from hmp_catalog.datasets.handle import Handle

_PLACES = frozenset({"x", "y", "xy"})


def mentioned(handle: Handle, along: Sequence[str], *, referred: bool | None = None) -> dict[str, str]:
    """Return the attributes by which data along some coordinates mention geometries and the grid mapping.

    Parameters
    ----------
    along : sequence of str
        The coordinates.
    referred
        Whether there is a grid mapping; looked up if not given.
    """
    coords = [Coordinate(handle, name) for name in along]
    said: dict[str, str] = {}
    for coord in coords:
        if coord.dtype.kind == "geometry":
            said |= containers.mentioned(coord.name, coord.dtype)
    there = bool(handle.contents().mappings) if referred is None else referred
    if there and any(coord.axis in _PLACES for coord in coords):
        name = next(iter(handle.contents().mappings), crs.NAME)
        said |= {"grid_mapping": name, "coordinates": f"{said.get('coordinates', '')} {name}".strip()}
    return said


def refer(handle: Handle, given: Any, coords: Mapping[str, str | None]) -> CRS:
    """Write the grid mapping, make coordinates its axes, and let all data along them mention it."""
    found = crs.parsed(given)
    with handle.reshaping() as begin:
        _check(handle, coords)
        group = begin()
        for axis, name in coords.items():
            if name is not None:
                Coordinate(handle, name).update_axis(axis)
        name = next(iter(handle.contents().mappings), crs.NAME)
        group.create_array(name, shape=(), dtype="int32", attributes=crs.attributes(found), overwrite=True)
        handle.forget()
        for each in handle.contents().data_vars:
            said = mentioned(handle, [dim for dim in handle.dims(each) if dim in handle.contents().coords])
            _say(group, each, said)
        _describe(handle, group, found)
    return found


def _check(handle: Handle, coords: Mapping[str, str | None]) -> None:
    for axis, name in coords.items():
        if name is None:
            continue
        if name not in handle.contents().coords:
            raise handle.missing(name)
        if (Coordinate(handle, name).dtype.kind == "geometry") != (axis == "xy"):
            message = f"{axis}_coord={name!r}: expected {'geometries' if axis == 'xy' else 'numbers'}"
            raise InvalidInput(message)


def _describe(handle: Handle, group: zarr.Group, found: CRS) -> None:
    """Let the coordinates say what CF calls the axes of the system."""
    said = crs.axes(found)
    for name in handle.contents().coords:
        coord = Coordinate(handle, name)
        if coord.axis in said and coord.dtype.kind != "geometry":
            _say(group, name, said[coord.axis])
        elif coord.dtype.kind == "geometry":
            attributes = group[coord._holder].attrs.asdict()
            containers.write(group, name, containers.variables(name, coord.data, coord.dtype, attributes, said))


def _say(group: zarr.Group, name: str, said: Mapping[str, Any]) -> None:
    if said:
        array = group[name]
        array.attrs.put(array.attrs.asdict() | dict(said))
