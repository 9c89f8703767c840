"""Values of a variable on other grids, at points, in its gaps and on other levels: what `interp` gives.

Which places are wanted is in ``targets``, how values come there in ``regridding`` (from grids), ``triangles`` (from
stations, and into gaps) and ``levels``; ``roles`` goes through the fields of a variable. Nothing is written.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hmp_catalog.datasets.dataset import DatasetView
from hmp_catalog.datasets.interp import levels, places, targets, triangles
from hmp_catalog.datasets.interp.regridding import Edges, Sampler
from hmp_catalog.datasets.interp.roles import Fields
from hmp_catalog.datasets.interp.stations import PointInterp
from hmp_catalog.datasets.variables import DataVariableView
from hmp_core.errors import InvalidInput

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pyproj import CRS

    Values = NDArray[Any]
    Steps = Iterator[tuple[Any, Values]]


def interp(
    view: DataVariableView, named: dict[str, str | None], iter_dim: str | Sequence[str] | None = None
) -> GridInterp | PointInterp:
    """Return what interpolates a variable; the parameters are those of `DataVariableView.interp`.

    Raises
    ------
    InvalidInput
        If it has no places: no x and y, no stations.
    NotFound
        A name that is not along it.
    """
    fields, crs = places.fields_of(view, named, iter_dim)
    return PointInterp(fields, crs) if places.at_stations(view, named) else GridInterp(fields, crs)


class GridInterp:
    """Interpolates a variable on a grid. Its methods yield, for each label of ``iter_dim``, the label and an array.

    The label is None where nothing is gone through, and a tuple of labels where ``iter_dim`` is several. Dimensions
    that are neither places nor gone through come first in each array. What is asked for is checked at once; fields are
    read and computed as they are taken, so many at a time as fit into 32 MiB.

    A place is missing (NaN) where a missing cell has a part in its linear value; with ``order=0``, where the nearest
    cell is missing. Values of float variables keep their type, those of integers become float64.

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

    def __repr__(self) -> str:
        return f"<hmp.GridInterp of {self._fields}>"

    def target_grid(self, grid_res: Any, to_crs: Any = None, bbox: Any = None) -> dict[str, Values]:
        """Return the labels of the grid that `to_grid` gives for the same parameters: ``y``, ``x``, perhaps ``z``.

        They ascend, whatever the order of the labels of the data.
        """
        return self._grid(grid_res, to_crs, bbox)[0]

    def to_grid(
        self,
        grid_res: Any,
        to_crs: Any = None,
        bbox: Any = None,
        order: int = 3,
        *,
        extrapolation: str = "constant",
        fill_val: float = math.nan,
        min_val: float | None = None,
    ) -> Steps:
        """Interpolate to another grid.

        Parameters
        ----------
        grid_res : float, tuple of float or DataVariableView
            The spacing, in the unit of ``to_crs``: of x and y, ``(x, y)``, or ``(x, y, z)``; without a z levels stay as
            they are. Labels are the multiples of it. Or a variable of another data set, whose grid is taken over.
        to_crs : int, str or pyproj.CRS, optional
            The reference system of the grid; that of the data if not given.
        bbox : tuple of float, optional
            ``(min_x, max_x, min_y, max_y)`` in ``to_crs``: labels go from the least in steps, within it. If not given
            the grid covers the data.
        order : int
            0 nearest, 1 linear, 2 to 5 a spline of that degree.
        extrapolation : str
            Outside of the data: ``constant`` for ``fill_val``, ``nearest`` for the value at the edge.
        fill_val : float
            The value outside.
        min_val : float, optional
            What is less becomes this: splines go below zero beside steep rain.

        Yields
        ------
        tuple of label and ndarray, shape (..., y, x), or (..., z, y, x) where the data have levels
            Rows go up with y; `target_grid` gives the labels.

        Raises
        ------
        InvalidInput
            A grid, an order or an extrapolation that there is not; an axis with too few labels for the order.
        """
        along, crs = self._grid(grid_res, to_crs, bbox)
        edges = Edges(extrapolation, fill_val, min_val)
        return self._sampled(places.Wanted.grid(along, crs, self._crs), order, edges)

    def to_points(self, points: Any, to_crs: Any = None, order: int = 3, min_val: float | None = None) -> Steps:
        """Interpolate to points.

        Parameters
        ----------
        points : array_like of shape (m, 2) or (m, 3), shapely points, or DataVariableView
            x and y, or x, y and z. Or a variable at stations of another data set, whose places are taken over.
        to_crs : int, str or pyproj.CRS, optional
            The reference system of the points; that of the data if not given.
        order, min_val
            As `to_grid`.

        Yields
        ------
        tuple of label and ndarray, shape (..., m), or (..., z, m) where the data have levels and the points no z
            NaN outside of the data.

        Raises
        ------
        InvalidInput
            Points or an order that are none; points with a z for data without.
        """
        found, crs = places.points_of(points, to_crs, self._crs)
        return self._sampled(places.Wanted.points(found, crs, self._crs), order, Edges(min_val=min_val))

    def interp_na(self, method: str = "linear", min_val: float | None = None) -> Steps:
        """Fill gaps, level by level, from the values around them.

        Parameters
        ----------
        method : str
            ``linear`` or ``cubic`` on the Delaunay triangles of the cells that have values, or ``nearest``.
        min_val : float, optional
            What is filled with less becomes this; other values stay.

        Yields
        ------
        tuple of label and ndarray, shape (..., [z,] y, x)
            In the order of the labels of the data. Cells outside of all triangles stay missing.

        Raises
        ------
        InvalidInput
            No such method.
        """
        triangles.check_method(method)
        y, x = (self._fields.labels(name).astype(np.float64) for name in self._fields.roles.space[-2:])
        least = -math.inf if min_val is None else min_val

        def steps() -> Steps:
            for labels, block in self._fields.blocks({}):
                whole = triangles.filled(block, y, x, method)
                found = np.where(np.isfinite(block), block, np.maximum(whole, least)).astype(self._fields.type)
                yield from zip(labels, found, strict=True)

        return steps()

    def regrid_levels(
        self, target_levels: Any, source_levels: str | DataVariableView, axis: int = 0, method: str = "linear"
    ) -> Steps:
        """Interpolate columns to other levels, where the level of each cell is in a variable of its own.

        Parameters
        ----------
        target_levels : array_like, shape (k,)
            The levels that are wanted, in the unit of ``source_levels``.
        source_levels : str or DataVariableView
            The variable with the level of each cell, along the same dimensions; or the coordinate along ``axis``.
        axis : int
            Which axis of each array the columns are along.
        method : str
            ``linear``: in the level.

        Yields
        ------
        tuple of label and ndarray
            As the variable, k long along ``axis``. NaN above and below a column, and beside missing cells.

        Raises
        ------
        InvalidInput
            Another method, axis or levels; a variable of other dimensions.
        NotFound
            No variable of that name.
        """
        if method != "linear":
            message = f"method={method!r}: expected 'linear'; for others interpolate a function of the level"
            raise InvalidInput(message)
        wanted = levels.targets(target_levels)
        names = (*self._fields.lead, *self._fields.roles.space)
        if isinstance(axis, bool) or not isinstance(axis, (int, np.integer)) or not -len(names) <= axis < len(names):
            message = f"axis={axis!r}: each array has the dimensions {', '.join(names)}, 0 to {len(names) - 1}"
            raise InvalidInput(message)
        height = _height(self._fields, source_levels, names[axis])

        def steps() -> Steps:
            for labels, cut in self._fields.cuts({}):
                block = self._fields.read(self._fields.view, cut)
                along = names.index(names[axis]) + 1
                found = levels.relevelled(block, np.broadcast_to(height(cut), block.shape), wanted, along)
                yield from zip(labels, found.astype(self._fields.type), strict=True)

        return steps()

    # ── how ──────────────────────────────────────────────────────────────────────────────────────────

    def _grid(self, grid_res: Any, to_crs: Any, bbox: Any) -> tuple[dict[str, Values], CRS | None]:
        along = places.axes_of(self._fields, self._crs)
        if isinstance(grid_res, DataVariableView):
            theirs, crs = places.grid_of(grid_res, to_crs, bbox)
            return {axis: labels for axis, labels in theirs.items() if axis in along}, crs or self._crs
        crs = targets.wanted_crs(to_crs, self._crs)
        extent = targets.Extent.of(along["x"].labels, along["y"].labels)
        found, step = places.spaced(extent, grid_res, len(along), bbox, (self._crs, crs))
        if step is not None:
            z = along["z"].ascending
            found = {"z": targets.labels(float(z[0]), float(z[-1]), step), **found}
        return found, crs

    def _sampled(self, wanted: places.Wanted, order: int, edges: Edges) -> Steps:
        along = places.axes_of(self._fields, self._crs)
        if not wanted.places.keys() <= along.keys():
            message = f"{self._fields.view.name} has no axis z; expected points, or a grid, of x and y alone"
            raise InvalidInput(message)
        axes = {axis: along[axis] for axis in along if axis in wanted.places}
        sampler = Sampler(list(axes.values()), [wanted.places[axis] for axis in axes], order)
        window = dict(zip((axis.name for axis in axes.values()), sampler.window, strict=True))
        room = math.prod(wanted.shape)

        def steps() -> Steps:
            for labels, block in self._fields.blocks(window, room):
                found = edges.applied(sampler.values(block), sampler.outside, sampler.nowhere)
                shaped = found.reshape(*found.shape[:-1], *wanted.shape).astype(self._fields.type)
                yield from zip(labels, shaped, strict=True)

        return steps()


def _height(fields: Fields, levels_of: str | DataVariableView, along: str) -> Callable[[dict[str, slice]], Values]:
    """Return what gives the level of each cell of fields, in a shape that stretches to theirs."""
    view, names = fields.view, (*fields.lead, *fields.roles.space)
    if isinstance(levels_of, str) and levels_of == along:
        shape = [-1 if name == along else 1 for name in ("", *names)]
        return lambda _: fields.labels(along).astype(np.float64).reshape(shape)
    other = levels_of
    if isinstance(other, str):
        found = DatasetView(view.handle).get(other)
        alike = view.handle.dims(view.name) == found.coord_names
        other = DataVariableView(view.handle, other, view.selection) if alike else found
    sizes = dict(zip(view.coord_names, view.shape, strict=True))
    if not isinstance(other, DataVariableView) or dict(zip(other.coord_names, other.shape, strict=True)) != sizes:
        message = (
            f"source_levels={getattr(levels_of, 'name', levels_of)!r}: expected a variable along "
            f"{', '.join(view.coord_names)}, of shape {view.shape}, or the coordinate {along!r}"
        )
        raise InvalidInput(message)
    heights = other
    return lambda cut: fields.read(heights, cut)
