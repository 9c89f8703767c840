"""Labels of several coordinates become those of one, and where each lies in it.

Numbers and datetimes are put in ascending order; texts and geometries keep the order in which they were first seen.
Floats that differ by the last bits of arithmetic (`labels.noise`) are one label: the first of them is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from hmp_catalog.datasets.axes.labels import ascends, noise
from hmp_core.errors import InvalidInput

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[Any]
    Places = slice | NDArray[np.intp]

#: Floats nearer than this part of the smallest step of the inputs, and yet no noise, are refused: both kinds of half
#: of the cells would be missing (latitudes that went through float32 are 1e-7 of themselves beside those that did not).
_TOO_NEAR = 1e-4


@dataclass(frozen=True)
class Joined:
    """Labels of several inputs united: all ``values``, and the ``places`` in them of those of each input.

    A place is a slice where the labels follow one another, else an array of positions.
    """

    values: Values
    places: tuple[Places, ...]

    def arriving(self, number: int = 0) -> Arriving:
        """Return what the others bring to one of the inputs."""
        there = positions(self.places[number])
        new = np.ones(len(self.values), dtype=bool)
        new[there] = False
        first, last = (there.min(), there.max()) if len(there) else (0, -1)
        at = np.arange(len(self.values))
        before, after = new & (at < first), new & (at > last)
        return Arriving(self.values[before], self.values[after], self.values[new & ~before & ~after])


@dataclass(frozen=True)
class Arriving:
    """Labels that a coordinate does not have: those before its first, those after its last, those in the middle."""

    before: Values
    after: Values
    middle: Values

    @property
    def count(self) -> int:
        """How many there are; 0 if the coordinate has them all."""
        return len(self.before) + len(self.after) + len(self.middle)


def joined(inputs: Sequence[Values], *, of: str = "coordinate", precision: int | None = None) -> Joined:
    """Return the labels of several inputs as those of one coordinate.

    Parameters
    ----------
    inputs : sequence of ndarray, shape (n,)
        Coordinates as `ticks.checked` leaves them: each label once; numbers and datetimes ascending. They are taken
        in the type of the first.
    of : str
        The coordinate, for the message of an error.
    precision : int, optional
        Decimals that the coordinate is kept to.

    Raises
    ------
    InvalidInput
        Labels of different kinds or that do not ascend, those that the type of the first cannot keep, and floats
        that are neither one label nor clearly two.

    Examples
    --------
    >>> made = joined([np.array([0.1, 0.2]), np.array([0.1 + 0.1, 0.5])])
    >>> made.values.tolist(), made.places
    ([0.1, 0.2, 0.5], (slice(0, 2, None), slice(1, 3, None)))
    """
    if not inputs:
        message = f"{of}: no labels to unite"
        raise InvalidInput(message)
    for each in inputs:
        if not ascends(each):
            message = (
                f"{of}: its labels do not ascend, {each[0]} to {each[-1]}; make a data set of what others wrote first: "
                "from_xarray(xarray.open_zarr(path), ...) turns labels that descend round with their data"
            )
            raise InvalidInput(message)
    alike = [_in_type_of(inputs[0], each, of) for each in inputs]
    kind = alike[0].dtype.kind
    if kind == "O":
        return _seen(alike)
    if kind == "f":
        return _near(alike, of, precision)
    whole = np.unique(np.concatenate(alike))
    return Joined(whole, tuple(_place(np.searchsorted(whole, each)) for each in alike))


def positions(place: Places) -> NDArray[np.intp]:
    """Return a place as an array of positions."""
    return np.arange(place.start, place.stop, dtype=np.intp) if isinstance(place, slice) else place


def runs(there: NDArray[np.intp]) -> list[slice]:
    """Return positions as slices of what follows one another.

    Examples
    --------
    >>> runs(np.array([3, 4, 7]))
    [slice(3, 5, None), slice(7, 8, None)]
    """
    cuts = [0, *(np.flatnonzero(np.diff(there) != 1) + 1).tolist(), len(there)]
    return [slice(int(there[start]), int(there[stop - 1]) + 1) for start, stop in pairwise(cuts) if stop > start]


def _place(there: Values) -> Places:
    """Return positions as a slice if they are one."""
    found = there.astype(np.intp)
    first = int(found[0]) if len(found) else 0
    return slice(first, first + len(found)) if (np.diff(found) == 1).all() else found


def _in_type_of(first: Values, values: Values, of: str) -> Values:
    if values.dtype == first.dtype:
        return values
    kinds = {"i": "whole numbers", "u": "whole numbers", "f": "floats", "M": "datetimes", "O": "text or geometries"}
    one, other = (kinds.get(each.dtype.kind, str(each.dtype)) for each in (first, values))
    if one != other:
        message = f"{of}: labels of type {values.dtype} ({other}) to unite with {first.dtype} ({one})"
        raise InvalidInput(message)
    with np.errstate(over="ignore", invalid="ignore"):
        kept = values.astype(first.dtype)
        lost = ~np.isfinite(kept) if first.dtype.kind == "f" else kept.astype(values.dtype) != values
    if first.dtype.kind in "iu":
        lost |= (kept < 0) != (values < 0)
    if lost.any():
        message = f"{of}: {values[int(lost.argmax())]} cannot be kept as {first.dtype}, the type of the first input"
        raise InvalidInput(message)
    return kept


# ── floats ───────────────────────────────────────────────────────────────────────────────────────────


def _near(inputs: Sequence[Values], of: str, precision: int | None) -> Joined:
    steps = [float(np.diff(each.astype(np.float64)).min()) for each in inputs if len(each) > 1]
    largest = max(
        (each[np.abs(each).argmax()] for each in inputs if len(each)), key=abs, default=inputs[0].dtype.type()
    )
    alone = np.array([largest], dtype=inputs[0].dtype)
    near = max(2 * noise(alone), noise(alone, precision))  # each of two may be off by the noise of arithmetic
    near = min([near, *(step / 3 for step in steps)])
    whole = inputs[0].astype(inputs[0].dtype)
    for each in inputs[1:]:
        _there, beside = _nearest(whole, each)
        whole = np.sort(np.concatenate([whole, each[beside > near]]))
    _refuse_too_near(whole, min(steps, default=0.0), of)
    return Joined(whole, tuple(_place(_nearest(whole, each)[0]) for each in inputs))


def _nearest(whole: Values, labels: Values) -> tuple[Values, Values]:
    """Return for each label which of all is the nearest, and how far it is."""
    wide, wanted = whole.astype(np.float64), labels.astype(np.float64)
    if not len(wide):
        return np.zeros(len(wanted), dtype=np.intp), np.full(len(wanted), np.inf)
    after = np.searchsorted(wide, wanted).clip(0, len(wide) - 1)
    before = (after - 1).clip(0)
    there = np.where(np.abs(wide[before] - wanted) < np.abs(wide[after] - wanted), before, after)
    return there, np.abs(wide[there] - wanted)


def _refuse_too_near(whole: Values, step: float, of: str) -> None:
    gaps = np.diff(whole.astype(np.float64))
    if not len(gaps) or gaps.min() >= _TOO_NEAR * step:
        return
    at = int(gaps.argmin())
    message = (
        f"{of}: {whole[at]} and {whole[at + 1]} are neither one label nor clearly two, the steps being {step}: round "
        "the labels of the inputs alike before they are united"
    )
    raise InvalidInput(message)


# ── text and geometries ──────────────────────────────────────────────────────────────────────────────


def _seen(inputs: Sequence[Values]) -> Joined:
    """Unite in the order in which labels are seen."""
    number: dict[Any, int] = {}
    values: list[Any] = []
    places = []
    for each in inputs:
        there = []
        for key, value in zip(_keys(each), each, strict=True):
            if key not in number:
                number[key] = len(values)
                values.append(value)
            there.append(number[key])
        places.append(_place(np.array(there, dtype=np.intp)))
    whole = np.empty(len(values), dtype=object)
    whole[:] = values
    return Joined(whole, tuple(places))


def _keys(labels: Values) -> list[Any]:
    """Return what tells labels apart: of geometries what they cover, not at which corner they begin."""
    if not len(labels) or isinstance(labels[0], str):
        return [str(label) for label in labels]
    import shapely

    return list(shapely.to_wkb(shapely.normalize(labels)))
