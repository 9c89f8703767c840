"""Values of a grid at other places: nearest, linear, or splines, at the true labels of its axes.

Axes may be irregular: where a place lies is found among the labels, an even spacing is never assumed. Longitudes go
round: -10 is found among 0 to 359, and between 359 and 0 there is no gap. The splines are tensor products of B-splines
through all values, with the end condition "not a knot" (C. de Boor, A Practical Guide to Splines, ch. XIII and XVII):
polynomials up to the order come out exactly, on any spacing.

What is not finite is missing. A place is missing where a missing cell has a part in the linear value, for every order
above 0, and where the nearest cell is missing for order 0: no more, no less. Splines need a value everywhere: they are
laid through the nearest value in place of a missing one, as if the field went on flat. Its effect fades by
`_FADES` with each cell.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hmp_catalog.datasets.axes.labels import noise
from hmp_catalog.datasets.libraries import library
from hmp_core.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Values = NDArray[Any]

#: By which factor the effect of a value on a spline fades with each cell, by order: the largest pole of its filter
#: (M. Unser, Splines: a perfect fit for signal and image processing, 1999, box 2).
_FADES = {2: 0.172, 3: 0.268, 4: 0.362, 5: 0.431}

#: What is left of an effect that is not looked at: a spline is laid through so many cells around its places.
_FADED = 1e-12

#: The part of a cell that a place may be beside a label and still be on it: what reprojecting there and back costs.
_BESIDE = 1e-6


@dataclass(frozen=True)
class Axis:
    """The labels of one axis of a grid: shape (n,), of any spacing, ascending or descending.

    ``period`` is the length after which labels come round again, 360 for longitudes in degrees; else None.

    Raises
    ------
    InvalidInput
        Labels that are no numbers, or of which some go up and some down.
    """

    name: str
    labels: Values
    period: float | None = None

    def __post_init__(self) -> None:
        plain = self.labels.dtype.kind in "iuf" and len(self.labels) and np.isfinite(self.labels).all()
        steps = np.diff(self.labels.astype(np.float64)) if plain else np.zeros(1)
        if not (steps > 0).all() and not (steps < 0).all():
            message = f"{self.name}: its labels are no axis; expected numbers that ascend, or descend, all along it"
            raise InvalidInput(message)

    @property
    def descends(self) -> bool:
        """Whether the first label is the greatest."""
        return len(self.labels) > 1 and bool(self.labels[0] > self.labels[-1])

    @property
    def ascending(self) -> Values:
        """The labels in ascending order, as floats."""
        return (self.labels[::-1] if self.descends else self.labels).astype(np.float64)

    @property
    def closes(self) -> bool:
        """Whether the labels go all round, so that the first is beside the last.

        The gap that is left is then one like the others: no wider than the widest, and than what is usual along the
        axis or beside it, for grids that are fine in one part alone. A wide gap inside of a region says nothing.
        """
        if self.period is None or len(self.labels) < 2:
            return False
        labels = self.ascending
        rest, gaps = self.period - float(labels[-1] - labels[0]), np.diff(labels)
        usual = max(float(np.median(gaps)), float(min(gaps[0], gaps[-1])))
        # steps that were rounded leave a little more: 1.406 for 360/256 leaves 1.47
        return self._noise() < rest <= min(1.1 * float(gaps.max()), 1.5 * usual)

    def found(self, wanted: Values) -> tuple[Values, Values]:
        """Return places within the labels, and which of the wanted were outside.

        Parameters
        ----------
        wanted : ndarray, shape (m,)
            Places in the unit of the labels. What is not finite is outside.
        """
        labels, near = self.ascending, self._near()
        known = np.isfinite(wanted)
        at = np.where(known, wanted, labels[0])
        if self.period is not None:
            at = labels[0] + np.mod(at - labels[0] + near, self.period) - near
        last = labels[0] + self.period if self.closes and self.period is not None else labels[-1]
        outside = ~known | (at < labels[0] - near) | (at > last + near)
        if self.period is not None and not self.closes:  # beyond the last label: which end is nearer, going round
            at = np.where(outside & (at - last > labels[0] + self.period - at), labels[0], at)
        return np.clip(at, labels[0], last), outside

    def _noise(self) -> float:
        return noise(self.labels[::-1] if self.descends else self.labels)

    def _near(self) -> float:
        gaps = np.diff(self.ascending)
        return self._noise() + (_BESIDE * float(gaps.min()) if len(gaps) else 0.0)


class Sampler:
    """Takes the values of fields at places; all fields are on one grid, and the places are looked up once.

    Parameters
    ----------
    axes : sequence of Axis
        Those of the grid, in the order of the dimensions of its fields.
    places : sequence of ndarray, each of shape (m,)
        For each axis, where values are wanted, in the unit of its labels.
    order : int
        0 is the nearest cell, 1 linear, 2 to 5 a spline of that degree.

    Attributes
    ----------
    outside : ndarray of bool, shape (m,)
        The places beyond the labels. Their values are those at the edge.
    nowhere : ndarray of bool, shape (m,)
        The places that are not finite, which is what projecting gives for what has no place in a projection.

    Raises
    ------
    InvalidInput
        No such order, or an axis with too few labels for it.
    """

    def __init__(self, axes: Sequence[Axis], places: Sequence[Values], order: int) -> None:
        _check_order(order)
        self._order = order
        wanted = [np.asarray(along, dtype=np.float64) for along in places]
        found = [axis.found(along) for axis, along in zip(axes, wanted, strict=True)]
        self.outside: Values = np.logical_or.reduce([outside for _, outside in found])
        self.nowhere: Values = ~np.logical_and.reduce([np.isfinite(along) for along in wanted])
        self._lines = [_Line.around(axis, at, order) for axis, (at, _) in zip(axes, found, strict=True)]
        self._at = np.stack([at for at, _ in found], axis=-1)

    @property
    def window(self) -> tuple[slice, ...]:
        """The part of the grid that is needed."""
        return tuple(line.window for line in self._lines)

    def values(self, fields: Values) -> Values:
        """Return the values of fields at the places.

        Parameters
        ----------
        fields : ndarray, shape (..., *shape of the window)
            What is in the window of each field; what is not finite is missing.

        Returns
        -------
        ndarray of float64, shape (..., m)
            NaN where a value is missing.
        """
        depth = len(self._lines)
        lead = fields.shape[: fields.ndim - depth]
        stack = fields.astype(np.float64).reshape(-1, *fields.shape[fields.ndim - depth :])
        for number, line in enumerate(self._lines, start=1):
            stack = np.take(stack, line.cells, axis=number)
        taken = self._nearest(stack) if self._order == 0 else self._between(stack)
        return taken.reshape(*lead, len(self._at))

    def _nearest(self, stack: Values) -> Values:
        cells: tuple[Any, ...] = tuple(
            _nearest(line.labels, at) for line, at in zip(self._lines, self._at.T, strict=True)
        )
        found: Values = stack[:, *cells]
        return np.where(np.isfinite(found), found, np.nan)

    def _between(self, stack: Values) -> Values:
        missing = ~np.isfinite(stack)
        if not missing.any():
            return self._laid(stack, self._order)
        part = self._laid(missing.astype(np.float64), 1)
        part[part > _BESIDE] = np.nan
        if self._order == 1:
            linear: Values = self._laid(np.where(missing, 0.0, stack), 1) / (1 - part)
            return linear
        return np.where(np.isnan(part), np.nan, self._laid(_flat(stack, missing), self._order))

    def _laid(self, stack: Values, order: int) -> Values:
        """Lay B-splines through fields, along one axis after the other, and take their values at the places."""
        scipy = library("scipy.interpolate", "interpolation needs")
        laid, knots = np.moveaxis(stack, 0, -1), []
        for number, line in enumerate(self._lines):
            spline = scipy.make_interp_spline(line.labels, np.moveaxis(laid, number, 0), k=order)
            laid = np.moveaxis(spline.c, 0, number)
            knots.append(spline.t)
        taken: Values = scipy.NdBSpline(tuple(knots), np.ascontiguousarray(laid), order)(self._at)
        return np.moveaxis(taken, -1, 0)


@dataclass(frozen=True)
class _Line:
    """The labels that are needed of an axis: those of ``cells`` of the window, which may go round."""

    window: slice
    cells: Values
    labels: Values

    @classmethod
    def around(cls, axis: Axis, at: Values, order: int) -> _Line:
        labels = axis.ascending
        _check_length(axis, order)
        margin = 1 if order < 2 else math.ceil(math.log(_FADED) / math.log(_FADES[order]))
        if axis.closes and axis.period is not None:
            beyond = min(len(labels), margin)
            cells = np.arange(-beyond, len(labels) + beyond)
            turns, cells = np.divmod(cells, len(labels))
            along = len(labels) - 1 - cells if axis.descends else cells
            return cls(slice(0, len(labels)), along, labels[cells] + turns * axis.period)
        low, high = (at.min(), at.max()) if len(at) else (labels[0], labels[0])
        first = int(np.searchsorted(labels, low, side="right")) - 1 - margin
        after = int(np.searchsorted(labels, high, side="left")) + 1 + margin
        needed = slice(max(0, first), min(len(labels), after))
        cells = np.arange(needed.stop - needed.start)
        if axis.descends:
            window = slice(len(labels) - needed.stop, len(labels) - needed.start)
            return cls(window, cells[::-1], labels[needed])
        return cls(needed, cells, labels[needed])


def _nearest(labels: Values, at: Values) -> Values:
    return np.searchsorted((labels[:-1] + labels[1:]) / 2, at)


def _flat(stack: Values, missing: Values) -> Values:
    """Return fields with the nearest value, counted in cells, in place of each missing one; zeros if there is none."""
    ndimage = library("scipy.ndimage", "interpolation needs")
    whole, before, cells = stack.copy(), None, ()
    for number, gaps in enumerate(missing):
        if gaps.all():
            whole[number] = 0.0
        elif gaps.any():
            if before is None or not np.array_equal(gaps, before):
                before = gaps
                cells = tuple(ndimage.distance_transform_edt(gaps, return_distances=False, return_indices=True))
            whole[number] = stack[number][cells]
    return whole


def _check_order(order: Any) -> None:
    if isinstance(order, bool) or not isinstance(order, (int, np.integer)) or not 0 <= order <= 5:
        message = f"order={order!r}: expected 0 (the nearest cell), 1 (linear), or 2 to 5 (a spline)"
        raise InvalidInput(message)


def _check_length(axis: Axis, order: int) -> None:
    if len(axis.labels) <= order:
        message = (
            f"{axis.name} has {len(axis.labels)} labels; order={order} goes through {order + 1} of them: "
            f"{'select more, or ask for the nearest with order=0' if order == 1 else 'take a lower order'}"
        )
        raise InvalidInput(message)


@dataclass(frozen=True)
class Edges:
    """What is wanted beyond the labels, and how little a value may be.

    ``extrapolation`` is ``constant``, for ``fill_val`` outside, or ``nearest``, for the value at the edge. A value
    below ``min_val`` becomes ``min_val``: splines go below zero beside steep rain. ``fill_val`` stays what it is.

    Raises
    ------
    InvalidInput
        No such extrapolation.
    """

    extrapolation: str = "constant"
    fill_val: float = math.nan
    min_val: float | None = None

    def __post_init__(self) -> None:
        if self.extrapolation not in ("constant", "nearest"):
            message = f"extrapolation={self.extrapolation!r}: expected 'constant' (fill_val outside) or 'nearest'"
            raise InvalidInput(message)

    def applied(self, values: Values, outside: Values, nowhere: Values) -> Values:
        """Return values as they are wanted.

        Parameters
        ----------
        values : ndarray of float64, shape (..., m)
            Those outside are the values at the edge.
        outside, nowhere : ndarray of bool, shape (m,)
            Places beyond the labels, and those that are at no place at all.
        """
        kept = values if self.min_val is None else np.maximum(values, self.min_val)
        return np.where(nowhere if self.extrapolation == "nearest" else outside, self.fill_val, kept)
