"""Values of a variable at stations on grids and at other points: the part of ``interpolation`` that has no grid."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from hmp_catalog.datasets.interp import places, targets, triangles
from hmp_catalog.datasets.interp.regridding import Edges
from hmp_catalog.datasets.interp.roles import Fields
from hmp_catalog.datasets.variables import DataVariableView
from hmp_core.errors import InvalidInput

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pyproj import CRS

    Values = NDArray[Any]
    Steps = Iterator[tuple[Any, Values]]


class PointInterp:
    """Interpolates a variable at stations. Its methods yield, for each label of ``iter_dim``, the label and an array.

    Each field goes by the stations that have a value then. Where these span no triangle nothing lies between them, and
    the nearest is still the nearest. Heights, of stations or of points, are not looked at.

    Parameters
    ----------
    fields : Fields
        What is interpolated.
    crs : pyproj.CRS or None
        The reference system of its places.
    """

    def __init__(self, fields: Fields, crs: CRS | None) -> None:
        self._fields = fields
        self._crs = crs
        self._places = places.stations_of(fields)

    def __repr__(self) -> str:
        return f"<hmp.PointInterp of {self._fields}>"

    def target_grid(self, grid_res: Any, to_crs: Any = None, bbox: Any = None) -> dict[str, Values]:
        """Return the labels of the grid that `to_grid` gives for the same parameters: ``y`` and ``x``, ascending."""
        return self._grid(grid_res, to_crs, bbox)[0]

    def to_grid(
        self,
        grid_res: Any,
        to_crs: Any = None,
        bbox: Any = None,
        method: str = "linear",
        *,
        extrapolation: str = "constant",
        fill_val: float = math.nan,
        min_val: float | None = None,
    ) -> Steps:
        """Interpolate to a grid.

        Parameters
        ----------
        grid_res, to_crs, bbox
            As `GridInterp.to_grid`; without a bbox the grid covers the stations.
        method : str
            ``linear`` or ``cubic`` on the Delaunay triangles of the stations, or ``nearest``.
        extrapolation : str
            Outside of the triangles: ``constant`` for ``fill_val``, ``nearest`` for the nearest station.
        fill_val : float
            The value outside.
        min_val : float, optional
            What is less becomes this.

        Yields
        ------
        tuple of label and ndarray, shape (..., y, x)

        Raises
        ------
        InvalidInput
            A grid, a method or an extrapolation that there is not; stations that span no triangle.
        """
        along, crs = self._grid(grid_res, to_crs, bbox)
        edges = Edges(extrapolation, fill_val, min_val)
        return self._taken(places.Wanted.grid(along, crs, self._crs), method, edges)

    def to_points(self, points: Any, to_crs: Any = None, method: str = "linear", min_val: float | None = None) -> Steps:
        """Interpolate to points.

        Parameters
        ----------
        points : array_like of shape (m, 2) or (m, 3), shapely points, or DataVariableView
            x and y. Or a variable at stations of another data set, whose places are taken over.
        to_crs : int, str or pyproj.CRS, optional
            The reference system of the points; that of the data if not given.
        method, min_val
            As `to_grid`.

        Yields
        ------
        tuple of label and ndarray, shape (..., m)
            NaN outside of the triangles.

        Raises
        ------
        InvalidInput
            Points or a method that are none; stations that span no triangle.
        """
        found, crs = places.points_of(points, to_crs, self._crs)
        return self._taken(places.Wanted.points(found[:, :2], crs, self._crs), method, Edges(min_val=min_val))

    def interp_na(self, method: str = "linear", min_val: float | None = None) -> Steps:
        """Refuse: stations have no grid with gaps."""
        self._refuse("interp_na")

    def regrid_levels(
        self, target_levels: Any, source_levels: str | DataVariableView, axis: int = 0, method: str = "linear"
    ) -> Steps:
        """Refuse: stations have no columns."""
        self._refuse("regrid_levels")

    # ── how ──────────────────────────────────────────────────────────────────────────────────────────

    def _refuse(self, verb: str) -> NoReturn:
        message = f"{self._fields.view.name}: {verb} is for grids, and this is at stations; to_grid makes a grid of it"
        raise InvalidInput(message)

    def _grid(self, grid_res: Any, to_crs: Any, bbox: Any) -> tuple[dict[str, Values], CRS | None]:
        if isinstance(grid_res, DataVariableView):
            theirs, crs = places.grid_of(grid_res, to_crs, bbox)
            return {axis: labels for axis, labels in theirs.items() if axis != "z"}, crs or self._crs
        crs = targets.wanted_crs(to_crs, self._crs)
        extent = targets.Extent.of(self._places[:, 0], self._places[:, 1])
        return places.spaced(extent, grid_res, 2, bbox, (self._crs, crs))[0], crs

    def _taken(self, wanted: places.Wanted, method: str, edges: Edges) -> Steps:
        stations = triangles.Stations(self._places, method)
        at = np.stack([wanted.places["x"], wanted.places["y"]], axis=-1)
        nowhere = ~np.isfinite(at).all(axis=1)

        def steps() -> Steps:
            for labels, block in self._fields.blocks({}, len(at)):
                flat, lead = block.reshape(-1, block.shape[-1]), block.shape[:-1]
                found, near = stations.values(flat, at)
                outside = np.isnan(found)
                whole = edges.applied(np.where(outside, near, found), outside, nowhere)
                yield from zip(labels, whole.reshape(*lead, *wanted.shape).astype(self._fields.type), strict=True)

        return steps()
