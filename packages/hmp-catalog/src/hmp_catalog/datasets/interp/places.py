"""Where a variable has its values, and where others are wanted: numbers, points, or the places of another variable."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hmp_catalog.datasets import kinds
from hmp_catalog.datasets.dataset import DatasetView
from hmp_catalog.datasets.interp import targets
from hmp_catalog.datasets.interp.regridding import Axis
from hmp_catalog.datasets.interp.roles import Fields, roles
from hmp_catalog.datasets.variables import DataVariableView
from hmp_core.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from pyproj import CRS

    Values = NDArray[Any]


@dataclass(frozen=True)
class Wanted:
    """Places that are wanted, in the reference system of the data: ``y`` and ``x``, perhaps ``z``, each of shape (m,).

    ``shape`` is that of the result, of m cells.
    """

    places: dict[str, Values]
    shape: tuple[int, ...]

    @classmethod
    def grid(cls, along: dict[str, Values], crs: CRS | None, source: CRS | None) -> Wanted:
        """Return the places of a grid of labels in another reference system."""
        x, y = np.meshgrid(along["x"], along["y"])
        x, y = targets.transformed(x, y, crs, source)
        shape = tuple(len(labels) for labels in along.values())
        found = {"y": y, "x": x}
        if "z" in along:
            found = {"z": along["z"][:, None, None], **found}
        return cls({axis: np.broadcast_to(at, shape).ravel() for axis, at in found.items()}, shape)

    @classmethod
    def points(cls, points: Values, crs: CRS | None, source: CRS | None) -> Wanted:
        """Return the places of points in another reference system."""
        x, y = targets.transformed(points[:, 0], points[:, 1], crs, source)
        found = {"y": y, "x": x} if points.shape[1] == 2 else {"z": points[:, 2], "y": y, "x": x}
        return cls(found, (len(points),))


# ── where values are ─────────────────────────────────────────────────────────────────────────────────


def at_stations(view: DataVariableView, named: Mapping[str, str | None]) -> bool:
    """Return whether a variable has its values at stations, not on a grid."""
    return bool(named.get("xy")) or kinds.kind(view.handle.dataset_type).geometries


def fields_of(
    view: DataVariableView, named: Mapping[str, str | None], iter_dim: str | Sequence[str] | None = None
) -> tuple[Fields, CRS | None]:
    """Return the fields of a variable and the reference system of their places.

    Raises
    ------
    InvalidInput
        If it has no places: no x and y, no stations.
    NotFound
        A name that is not along it.
    """
    wanted = ("z", "xy") if at_stations(view, named) else ("z", "y", "x")
    fixed = view[...]  # labels that move while it is gone through make it a view of nothing, not of other cells
    return Fields(fixed, roles(fixed, named, wanted, iter_dim)), DatasetView(view.handle).crs


def axes_of(fields: Fields, crs: CRS | None) -> dict[str, Axis]:
    """Return the axes of a grid in the order of its dimensions: ``z`` if there is one, ``y`` and ``x``."""
    names = fields.roles.space
    around = 360.0 if crs is None and fields.in_degrees_east(names[-1]) else targets.period(crs)
    return {
        axis: Axis(name, fields.labels(name), around if axis == "x" else None)
        for axis, name in zip(("z", "y", "x")[3 - len(names) :], names, strict=True)
    }


def stations_of(fields: Fields) -> Values:
    """Return x and y of stations, shape (n, 2)."""
    return targets.points(fields.labels(fields.roles.space[-1]))[:, :2]


# ── where they are wanted ────────────────────────────────────────────────────────────────────────────


def grid_of(view: DataVariableView, to_crs: Any, bbox: Any) -> tuple[dict[str, Values], CRS | None]:
    """Return the grid of a variable that is taken over, and its reference system.

    Raises
    ------
    InvalidInput
        A variable at stations, or something else that is said about the grid.
    """
    if to_crs is not None or bbox is not None:
        message = f"to_crs= and bbox= beside {view.name}, whose grid is taken over; leave them out"
        raise InvalidInput(message)
    if at_stations(view, {}):
        message = f"{view.name}: a variable at stations has no grid; to_points takes its places"
        raise InvalidInput(message)
    fields, crs = fields_of(view, {})
    return {axis: along.ascending for axis, along in axes_of(fields, crs).items()}, crs


def points_of(given: Any, to_crs: Any, source: CRS | None) -> tuple[Values, CRS | None]:
    """Return points that are wanted, shape (m, 2) or (m, 3), and their reference system.

    Raises
    ------
    InvalidInput
        Something else; a variable on a grid, or one with something else said about its places.
    """
    if not isinstance(given, DataVariableView):
        return targets.points(given), targets.wanted_crs(to_crs, source)
    if to_crs is not None:
        message = f"to_crs= beside {given.name}, whose places are taken over; leave it out"
        raise InvalidInput(message)
    if not at_stations(given, {}):
        message = f"{given.name}: a variable on a grid has no stations; to_grid takes its grid"
        raise InvalidInput(message)
    fields, crs = fields_of(given, {})
    return stations_of(fields), crs or source


def spaced(
    extent: targets.Extent, grid_res: Any, depth: int, bbox: Any, crs: tuple[CRS | None, CRS | None]
) -> tuple[dict[str, Values], float | None]:
    """Return the labels ``y`` and ``x`` of a grid of a spacing, and the spacing of z if it is said.

    Parameters
    ----------
    extent : Extent
        What data cover, for a grid without ``bbox``.
    depth : int
        Axes that the data have.
    crs : tuple of two pyproj.CRS or None
        The reference systems of the data and of the grid.
    """
    steps = targets.spacing(grid_res, depth)
    covered = extent.projected(*crs) if bbox is None else targets.Extent.of_bbox(bbox)
    x, y = targets.grid(covered, steps[:2], aligned=bbox is None)
    return {"y": y, "x": x}, steps[2] if len(steps) == 3 else None
