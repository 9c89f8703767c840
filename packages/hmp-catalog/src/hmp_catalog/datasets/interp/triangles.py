"""Values between stations, and in the gaps of a grid: on the Delaunay triangles of the places that have values.

Both are SciPy's: linear on each triangle, a smooth cubic through all (Clough and Tocher), or the nearest. Outside of
the triangles there is no value. Distances are those in the reference system of the data: far from the equator a degree
of longitude counts as much as one of latitude, and the antimeridian is an edge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hmp_catalog.datasets.libraries import library
from hmp_core.errors import InvalidInput

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[Any]

METHODS = ("linear", "nearest", "cubic")


class Stations:
    """Places with values: shape (n, 2), x and y.

    Raises
    ------
    InvalidInput
        No such method; or no two stations, or all on a line, where triangles are asked for.
    """

    def __init__(self, places: Values, method: str) -> None:
        check_method(method)
        self._places = places
        self._method = method
        if method != "nearest" and not _spread(places):
            message = (
                f"{len(places)} stations that span no triangle: method={method!r} has nothing to go by; "
                "expected three that are not on a line, or method='nearest'"
            )
            raise InvalidInput(message)

    def values(self, fields: Values, wanted: Values) -> tuple[Values, Values]:
        """Return values at other places, and those of the nearest station.

        Parameters
        ----------
        fields : ndarray, shape (t, n)
            What is not finite is missing: that station is not there for that field.
        wanted : ndarray, shape (m, 2)
            What is not finite is no place.

        Returns
        -------
        tuple of two ndarray of float64, shape (t, m)
            NaN outside of the triangles, and where there are none.
        """
        known = np.isfinite(wanted).all(axis=1)
        found, near = np.full((2, len(fields), len(wanted)), np.nan)
        patterns, which = np.unique(np.isfinite(fields), axis=0, return_inverse=True)
        for number, there in enumerate(patterns):
            rows = np.flatnonzero(which.ravel() == number)
            if there.any() and known.any():
                values, places = fields[rows][:, there].T.astype(np.float64), self._places[there]
                near[np.ix_(rows, known)] = _taken("nearest", places, values, wanted[known]).T
                if self._method == "nearest" or _spread(places):
                    found[np.ix_(rows, known)] = _taken(self._method, places, values, wanted[known]).T
        return found, near


def filled(fields: Values, y: Values, x: Values, method: str) -> Values:
    """Return fields with values where they were missing.

    Parameters
    ----------
    fields : ndarray, shape (..., ny, nx)
        What is not finite is missing.
    y, x : ndarray, shape (ny,) and (nx,)
        The labels, of any spacing.
    method : str
        ``linear``, ``nearest`` or ``cubic``.

    Returns
    -------
    ndarray of float64, shape (..., ny, nx)
        NaN stays where no triangle of values is around it; a field without any value stays as it is.
    """
    check_method(method)
    whole = fields.astype(np.float64).reshape(-1, len(y), len(x))
    places = np.stack([np.broadcast_to(x, (len(y), len(x))), np.broadcast_to(y[:, None], (len(y), len(x)))], axis=-1)
    for field in whole:
        missing = ~np.isfinite(field)
        if missing.any() and not missing.all():
            rim = ~missing if method == "cubic" else _rim(missing)
            if method == "nearest" or _spread(places[rim]):
                field[missing] = _taken(method, places[rim], field[rim][:, None], places[missing])[:, 0]
            else:
                field[missing] = np.nan
    return whole.reshape(fields.shape)


def _rim(missing: Values) -> Values:
    """Return the cells with a value that have one without beside them.

    The triangle around a missing cell has its corners there, on any spacing: in its circumcircle there is no value,
    and of the cells in the box between a corner and the missing cell half are in it, one of them beside the corner.
    """
    ndimage = library("scipy.ndimage", "interpolation needs")
    found: Values = ndimage.binary_dilation(missing) & ~missing
    return found


def _taken(method: str, places: Values, values: Values, wanted: Values) -> Values:
    """Return values (m, t) at places (m, 2), of values (n, t) at places (n, 2)."""
    scipy = library("scipy.interpolate", "interpolation needs")
    kinds = {
        "linear": scipy.LinearNDInterpolator,
        "nearest": scipy.NearestNDInterpolator,
        "cubic": scipy.CloughTocher2DInterpolator,
    }
    found: Values = kinds[method](places, values)(wanted)
    return found


def _spread(places: Values) -> bool:
    """Return whether places span a triangle."""
    if len(places) < 3:
        return False
    beside = places - places.mean(axis=0)
    widths = np.linalg.svd(beside, compute_uv=False)
    return bool(widths[1] > 1e-9 * widths[0])


def check_method(method: Any) -> None:
    """Refuse a method that there is not."""
    if method not in METHODS:
        message = f"method={method!r}: expected one of {', '.join(METHODS)}"
        raise InvalidInput(message)
