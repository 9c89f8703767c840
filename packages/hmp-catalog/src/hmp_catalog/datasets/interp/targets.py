"""Where values are wanted: grids and points, in a reference system of their own, and where that is in the data's.

A grid of a spacing has its labels at the multiples of it, so that two data sets on the same spacing have the same
labels. Reprojecting is pyproj's; x comes before y everywhere, whatever the authority of a reference system says.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hmp_catalog.datasets.axes.crs import parsed
from hmp_catalog.datasets.libraries import library
from hmp_core.errors import InvalidInput

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pyproj import CRS

    Values = NDArray[Any]

#: Values per field above which a spacing is taken for a mistake: 8 GiB.
_MOST = 1 << 30

#: The part of a step that an extent may go over a multiple of it and not take one step more.
_NEARLY = 1e-9


@dataclass(frozen=True)
class Extent:
    """What data cover, in their own reference system: the least and the greatest x and y."""

    low: tuple[float, float]
    high: tuple[float, float]

    @classmethod
    def of(cls, x: Values, y: Values) -> Extent:
        """Return the extent of labels; that of cells is half a cell more on each side."""
        return cls((float(x.min()), float(y.min())), (float(x.max()), float(y.max())))

    @classmethod
    def of_bbox(cls, bbox: Any) -> Extent:
        """Return the extent of ``(min_x, max_x, min_y, max_y)``.

        Raises
        ------
        InvalidInput
            Not four finite numbers, or a least that is not below the greatest.
        """
        expected = "expected (min_x, max_x, min_y, max_y), in the reference system of the grid that is wanted"
        try:
            found = [float(bound) for bound in bbox]
        except (TypeError, ValueError) as error:
            message = f"bbox={bbox!r}: {expected}"
            raise InvalidInput(message) from error
        if len(found) != 4 or not all(map(math.isfinite, found)) or found[0] >= found[1] or found[2] >= found[3]:
            message = f"bbox={bbox!r}: {expected}"
            raise InvalidInput(message)
        return cls((found[0], found[2]), (found[1], found[3]))

    def projected(self, source: CRS | None, target: CRS | None) -> Extent:
        """Return what covers this extent in another reference system; its edges may be bent there.

        Raises
        ------
        InvalidInput
            The extent has no place there.
        """
        if source is None or target is None or same(source, target):
            return self
        transformer = _transformer(source, target)
        west, south, east, north = transformer.transform_bounds(*self.low, *self.high, densify_pts=101)
        if not all(map(math.isfinite, (west, south, east, north))):
            message = f"x and y from {self.low} to {self.high} have no place in {target.name}: give bbox="
            raise InvalidInput(message)
        if east < west:  # across the antimeridian, which pyproj says so
            east += period(target) or 0.0
        return Extent((west, south), (east, north))


def labels(low: float, high: float, step: float, *, aligned: bool = True) -> Values:
    """Return labels from one value to another.

    Parameters
    ----------
    aligned : bool
        True: the multiples of the step, from the last before ``low`` to the first after ``high``. False: from ``low``
        on, as long as they are not above ``high``.

    Examples
    --------
    >>> labels(0.12, 0.31, 0.1).tolist(), labels(0.12, 0.4, 0.1, aligned=False).tolist()
    ([0.1, 0.2, 0.3, 0.4], [0.12, 0.22, 0.32])
    """
    if not aligned:
        found: Values = low + step * np.arange(math.floor((high - low) / step + _NEARLY) + 1)
        return found
    numbers = np.arange(math.floor(low / step + _NEARLY), math.ceil(high / step - _NEARLY) + 1)
    part = round(1 / step)
    return numbers / part if part and abs(part * step - 1) < 1e-12 else numbers * step


def spacing(grid_res: Any, depth: int) -> tuple[float, ...]:
    """Return the steps of a grid: x and y, and z if it is said.

    Parameters
    ----------
    grid_res : float or tuple of float
        One step for x and y, or ``(x, y)``, or ``(x, y, z)``.
    depth : int
        Axes that the data have: 2 or 3.

    Raises
    ------
    InvalidInput
        Something else, or a step that is not positive.
    """
    found = tuple(grid_res) if isinstance(grid_res, (Sequence, np.ndarray)) else (grid_res, grid_res)
    if not 2 <= len(found) <= depth or not all(_is_length(step) for step in found):
        message = f"grid_res={grid_res!r}: expected a positive number, (x, y){', or (x, y, z)' if depth == 3 else ''}"
        raise InvalidInput(message)
    return tuple(float(step) for step in found)


def _is_length(step: Any) -> bool:
    number = isinstance(step, (int, float, np.integer, np.floating)) and not isinstance(step, bool)
    return number and 0 < step < math.inf


def grid(extent: Extent, steps: Sequence[float], *, aligned: bool) -> tuple[Values, Values]:
    """Return the labels ``x`` and ``y`` of a grid that covers an extent.

    Raises
    ------
    InvalidInput
        A step with which no memory would do: most often it is in another unit than the reference system.
    """
    counts = [(high - low) / step + 2 for low, high, step in zip(extent.low, extent.high, steps, strict=True)]
    if math.prod(counts) > _MOST:
        message = (
            f"grid_res={tuple(steps)} makes {counts[0]:.0f} x {counts[1]:.0f} cells from {extent.low} to "
            f"{extent.high}; it is in the unit of the reference system of the grid that is wanted"
        )
        raise InvalidInput(message)
    x, y = (
        labels(low, high, step, aligned=aligned) for low, high, step in zip(extent.low, extent.high, steps, strict=True)
    )
    return x, y


def points(given: Any) -> Values:
    """Return the coordinates of points.

    Parameters
    ----------
    given : array_like of shape (m, 2) or (m, 3), or sequence of shapely.Point
        x, y and perhaps z.

    Returns
    -------
    ndarray of float64, shape (m, 2) or (m, 3)

    Raises
    ------
    InvalidInput
        Something else, such as other geometries or points of which some have no z.
    """
    expected = "expected x and y, or x, y and z, of shape (m, 2) or (m, 3), or shapely points"
    plain = given if isinstance(given, np.ndarray) else list(given)
    if len(plain) and hasattr(plain[0], "geom_type"):
        return _of_geometries(plain)
    try:
        found = np.asarray(plain, dtype=np.float64)
    except (TypeError, ValueError) as error:
        message = f"points: {error}; {expected}"
        raise InvalidInput(message) from error
    if found.ndim == 1 and not len(found):
        found = found.reshape(0, 2)
    if found.ndim != 2 or found.shape[1] not in (2, 3):
        message = f"points: shape {found.shape}; {expected}"
        raise InvalidInput(message)
    return found


def _of_geometries(given: Any) -> Values:
    shapely = library("shapely", "geometries need")
    geometries = np.asarray(given, dtype=object)
    wrong = shapely.get_type_id(geometries) != 0
    if wrong.any():
        message = f"points: {geometries[int(wrong.argmax())]!r} at {int(wrong.argmax())}; expected points"
        raise InvalidInput(message)
    deep = shapely.has_z(geometries)
    if deep.any() != deep.all():
        message = f"points: that at {int((~deep).argmax())} has no z, others have"
        raise InvalidInput(message)
    found: Values = shapely.get_coordinates(geometries, include_z=bool(deep.any()))
    return found


# ── reference systems ────────────────────────────────────────────────────────────────────────────────


def wanted_crs(to_crs: Any, source: CRS | None) -> CRS | None:
    """Return the reference system that is asked for: the data's own for None.

    Raises
    ------
    InvalidInput
        Another is asked for, and the data have none.
    """
    if to_crs is None:
        return source
    if source is None:
        message = f"to_crs={to_crs!r}: the data set has no reference system; ds.create.crs.from_user_input(...) says it"
        raise InvalidInput(message)
    return parsed(to_crs)


def same(one: CRS | None, other: CRS | None) -> bool:
    """Return whether x and y mean the same in two reference systems."""
    if one is None or other is None:
        return one is other
    return bool(one.equals(other, ignore_axis_order=True))


def transformed(x: Values, y: Values, source: CRS | None, target: CRS | None) -> tuple[Values, Values]:
    """Return places in another reference system; infinite where they have none there."""
    if same(source, target):
        return x, y
    # pyproj takes an array of one for a number, and gives a number back
    flat = [np.resize(np.asarray(along, dtype=np.float64), max(2, np.size(along))) for along in (x, y)]
    found_x, found_y = _transformer(source, target).transform(*flat)
    return found_x[: np.size(x)].reshape(np.shape(x)), found_y[: np.size(y)].reshape(np.shape(y))


def period(crs: CRS | None) -> float | None:
    """Return after how much of x one is there again: 360 for longitudes in degrees; None on a plane."""
    if crs is None or not crs.is_geographic:
        return None
    return float(round(2 * math.pi / crs.axis_info[0].unit_conversion_factor, 9))


def _transformer(source: Any, target: Any) -> Any:
    return library("pyproj", "reprojecting needs").Transformer.from_crs(source, target, always_xy=True)
