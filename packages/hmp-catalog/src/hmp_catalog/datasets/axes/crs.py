"""Coordinate reference systems as CF writes them: a grid mapping, ``spatial_ref``, and the attributes of its axes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hmp_catalog.datasets.libraries import library
from hmp_core.errors import CorruptError, InvalidInput

if TYPE_CHECKING:
    from pyproj import CRS

#: The variable that bears the grid mapping: the name that rioxarray and GDAL write too.
NAME = "spatial_ref"


def parsed(given: Any) -> CRS:
    """Return a coordinate reference system.

    Parameters
    ----------
    given : int, str, dict or pyproj.CRS
        Whatever pyproj takes: ``2154``, ``"EPSG:2154"``, WKT, PROJ.

    Raises
    ------
    InvalidInput
        What pyproj does not know.
    MissingPart
        If pyproj is not installed.

    Examples
    --------
    >>> parsed(2154).name
    'RGF93 v1 / Lambert-93'
    """
    pyproj = _pyproj()
    try:
        return pyproj.CRS.from_user_input(given)
    except pyproj.exceptions.CRSError as error:
        message = f"crs={given!r}: pyproj does not know it ({error}); expected as 'EPSG:2154', 2154, WKT or PROJ"
        raise InvalidInput(message) from error


def attributes(crs: CRS) -> dict[str, Any]:
    """Return the attributes of the grid mapping: its WKT, and what CF has words for."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in crs.to_cf().items()}


def of_attributes(said: Mapping[str, Any], *, of: str = NAME) -> CRS:
    """Return the coordinate reference system of a grid mapping, whoever wrote it.

    Raises
    ------
    CorruptError
        Attributes that are no grid mapping.
    MissingPart
        If pyproj is not installed.
    """
    pyproj = _pyproj()
    # GDAL and rioxarray write the WKT as `spatial_ref` too; files of before CF 1.7 have it there alone
    text = said.get("crs_wkt") or said.get("spatial_ref")
    # CF 1.11 has no word for a code: this one is what ESRI, and the fields of a run, say beside or instead of a WKT
    code = said.get("epsg_code")
    try:
        if text or code:
            return pyproj.CRS.from_wkt(text) if text else pyproj.CRS.from_user_input(code)
        return pyproj.CRS.from_cf(dict(said))
    except (pyproj.exceptions.CRSError, KeyError, TypeError, ValueError) as error:
        message = f"{of}: its attributes are no grid mapping of CF ({error}); found {', '.join(said) or 'none'}"
        raise CorruptError(message) from error


def axes(crs: CRS) -> dict[str, dict[str, str]]:
    """Return the CF attributes of the ``x`` and the ``y`` axis.

    Examples
    --------
    >>> axes(parsed(4326))["x"]["units"], axes(parsed(2154))["y"]["standard_name"]
    ('degrees_east', 'projection_y_coordinate')
    """
    said = {"x": {"axis": "X"}, "y": {"axis": "Y"}}
    for axis in crs.cs_to_cf():
        key = str(axis.get("axis", "")).lower()
        if key in said:
            said[key] |= {word: str(value) for word, value in axis.items()}
    return said


def same(one: CRS | None, other: CRS | None) -> bool:
    """Return whether two systems are the same, whatever the order in which their axes are told."""
    if one is None or other is None:
        return one is other
    return bool(one.equals(other, ignore_axis_order=True))


def in_degrees(crs: CRS) -> bool:
    """Return whether the axes of a system are longitude and latitude themselves, not those of a moved pole."""
    return bool(crs.is_geographic) and not crs.is_derived


def _pyproj() -> Any:
    return library("pyproj", "coordinate reference systems need")
