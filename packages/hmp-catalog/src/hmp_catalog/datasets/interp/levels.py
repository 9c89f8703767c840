"""Columns of values onto other levels, where each cell has a level of its own: model levels, terrain-following ones.

Within a column values are linear in the level. Beyond its levels there is no value: NaN, not the last one again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hmp_core.errors import InvalidInput

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[Any]


def relevelled(values: Values, levels: Values, targets: Values, axis: int) -> Values:
    """Return columns of values at other levels.

    Parameters
    ----------
    values : ndarray of float, shape (..., n, ...)
        What is not finite is missing: what lies between it and the next value of its column is missing too.
    levels : ndarray of float, the shape of ``values``
        The level of each cell, in any order. A cell whose level is not finite is not there.
    targets : ndarray of float, shape (k,)
        The levels that are wanted, in the unit of ``levels``.
    axis : int
        Which axis the columns are along.

    Returns
    -------
    ndarray of float64, shape (..., k, ...)
        NaN above and below a column.
    """
    order = np.argsort(np.where(np.isfinite(levels), levels, np.inf), axis=axis, kind="stable")
    height = np.moveaxis(np.take_along_axis(levels.astype(np.float64), order, axis), axis, 0)
    column = np.moveaxis(np.take_along_axis(values.astype(np.float64), order, axis), axis, 0)
    height = np.where(np.isfinite(height), height, np.inf)
    column = np.where(np.isfinite(column), column, np.nan)
    found = np.empty((len(targets), *column.shape[1:]))
    for number, target in enumerate(targets):
        found[number] = _at(height, column, float(target))
    return np.moveaxis(found, 0, axis)


def _at(height: Values, column: Values, target: float) -> Values:
    """Return columns at one level: of the cells below or at it the highest, and the next above."""
    last = len(height) - 1
    below = (height <= target).sum(axis=0) - 1
    low = np.clip(below, 0, last)[None]
    high = np.clip(below + 1, 0, last)[None]
    bottom, top = np.take_along_axis(height, low, 0)[0], np.take_along_axis(height, high, 0)[0]
    with np.errstate(invalid="ignore", divide="ignore"):
        part = (target - bottom) / (top - bottom)
        between = np.take_along_axis(column, low, 0)[0] * (1 - part) + np.take_along_axis(column, high, 0)[0] * part
    exact = np.take_along_axis(column, low, 0)[0]
    inside = (below >= 0) & (below < last) & np.isfinite(top)
    return np.where(inside & (part > 0), between, np.where((below >= 0) & (bottom == target), exact, np.nan))


def targets(given: Any) -> Values:
    """Return levels that are wanted: finite numbers, in the order they were given in.

    Raises
    ------
    InvalidInput
        Something else, or none.
    """
    expected = "target_levels: expected finite numbers, shape (k,)"
    try:
        found = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError) as error:
        message = f"{expected}; {error}"
        raise InvalidInput(message) from error
    if found.ndim != 1 or not len(found) or not np.isfinite(found).all():
        message = f"{expected}; got {given!r}"
        raise InvalidInput(message)
    return found
