"""What the dimensions of a variable mean to who interpolates: places, levels, times; and its fields one by one.

Fields are read block by block, as many at a time as the chunks of the store and the memory allow, each with its labels.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hmp_core.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hmp_catalog.datasets.coordinates import CoordinateView
    from hmp_catalog.datasets.variables import DataVariableView

    Values = NDArray[Any]

#: Values of a block that are in memory at a time, before and after: 32 MiB each.
_ROOM = 1 << 22

#: What CF (4.1, 4.2, 5.6) tells of the axis of a coordinate that says none itself.
_EAST, _NORTH = re.compile(r"degrees?(_east|_?E)"), re.compile(r"degrees?(_north|_?N)")
_STANDARD_NAMES = {
    "projection_x_coordinate": "x", "longitude": "x", "projection_y_coordinate": "y", "latitude": "y", "time": "t",
    "forecast_reference_time": "t",
}  # fmt: skip

#: The second time of a forecast, which has no letter in CF.
_LEAD_TIME = "forecast_period"


def axis_of(coord: CoordinateView) -> str | None:
    """Return which axis a coordinate is, by what it says or by its units and standard name."""
    if coord.axis is not None:
        return coord.axis
    for axis, spelt in (("x", _EAST), ("y", _NORTH)):
        if spelt.fullmatch(coord.units or ""):
            return axis
    found = _STANDARD_NAMES.get(str(coord.attrs.get("standard_name")))
    return "t" if found is None and coord.dtype.kind == "datetime" else found


@dataclass(frozen=True)
class Roles:
    """The names of dimensions: the places ``space`` (z, y, x; or stations), ``over`` which is gone through."""

    space: tuple[str, ...]
    over: tuple[str, ...]
    alone: bool

    @property
    def taken(self) -> tuple[str, ...]:
        """All that have a role; the others lead in each field."""
        return (*self.over, *self.space)


def roles(view: DataVariableView, named: Mapping[str, str | None], wanted: Sequence[str], over: Any) -> Roles:
    """Tell the roles of dimensions.

    Parameters
    ----------
    view : DataVariableView
        The variable.
    named : mapping of str to str or None
        Axes that the caller named: ``{"x": "easting"}``.
    wanted : sequence of str
        The axes of places, in the order of the result; only ``z`` may be missing.
    over : str, sequence of str or None
        What is gone through; times if not given, both of a forecast.

    Raises
    ------
    InvalidInput
        Values that are no numbers, an axis that no coordinate is, or one dimension in two roles.
    NotFound
        A name that is not along the variable.
    """
    if view.dtype.kind not in {"float", "integer"}:
        message = f"{view.name}: values of type {view.dtype.name}; expected numbers"
        raise InvalidInput(message)
    if len(view.coord_names) != view.ndims:
        message = f"{view.name}: a mask of several dimensions leaves no grid; select along coordinates"
        raise InvalidInput(message)
    asked = (over,) if isinstance(over, str) else tuple(over or ())
    said = {axis_of(coord): coord.name for coord in view.coords}
    if said.get("z") in asked:
        del said["z"]  # levels that are gone through are no places
    found = {axis: _named(view, named[axis]) if named.get(axis) else said.get(axis) for axis in wanted}
    for axis, name in found.items():
        if name is None and axis != "z":
            message = (
                f"{view.name}: none of its coordinates ({', '.join(view.coord_names) or 'there are none'}) is the axis "
                f"{axis!r}; name it, {axis}=..., or say it with update_axis"
            )
            raise InvalidInput(message)
    space = tuple(name for name in found.values() if name is not None)
    times = _times(view, said.get("t")) if over is None else asked
    gone = tuple(_named(view, name) for name in times if over is not None or name not in space)
    if len({*gone, *space}) < len(gone) + len(space):
        message = f"{view.name}: {', '.join((*gone, *space))}: a dimension has one role"
        raise InvalidInput(message)
    return Roles(space, gone, isinstance(over, str) or (over is None and len(gone) == 1))


def _times(view: DataVariableView, time: str | None) -> tuple[str, ...]:
    names = [name for name in (time, _LEAD_TIME) if name in view.coord_names]
    return tuple(name for name in view.coord_names if name in names)


def _named(view: DataVariableView, name: Any) -> str:
    if name in view.coord_names:
        return str(name)
    message = f"{view.name}: no coordinate {name!r} along it; there are {', '.join(view.coord_names) or 'none'}"
    raise NotFound(message, reference=str(name), candidates=list(view.coord_names))


@dataclass(frozen=True)
class Fields:
    """The fields of a variable on its places, one for each label of what is gone through."""

    view: DataVariableView
    roles: Roles

    def __str__(self) -> str:
        parts = {"at": self.roles.space, "for each": self.roles.over, "together": self.lead}
        return f"{self.view.name!r}, " + ", ".join(
            f"{how} ({', '.join(names)})" for how, names in parts.items() if names
        )

    def labels(self, name: str) -> Values:
        """Return the labels of a dimension."""
        found: Values = self._coord(name).data
        return found

    def size(self, name: str) -> int:
        """Return the length of a dimension."""
        return self.view.shape[self.view.coord_names.index(name)]

    def in_degrees_east(self, name: str) -> bool:
        """Return whether a dimension is the longitude by its units (CF 4.2)."""
        return bool(_EAST.fullmatch(self._coord(name).units or ""))

    @property
    def lead(self) -> tuple[str, ...]:
        """The dimensions without a role: they come first in each field."""
        return tuple(name for name in self.view.coord_names if name not in self.roles.taken)

    @property
    def type(self) -> np.dtype[Any]:
        """The type of values that are computed: that of the floats, and of integers float64."""
        decoded = self.view.dtype.decoded
        return np.result_type(decoded, np.float32) if decoded.kind == "f" else np.dtype(np.float64)

    def blocks(self, window: dict[str, slice], room: int = 1) -> Iterator[tuple[list[Any], Values]]:
        """Yield fields in the order of what is gone through, some at a time.

        Parameters
        ----------
        window : mapping of str to slice
            The part of places that is needed; all where nothing is said.
        room : int
            How many values will be made of one field.

        Yields
        ------
        tuple of list and ndarray of float64, shape (t, *lead, *space)
            The labels, None where nothing is gone through, and the fields. What is missing is NaN.
        """
        for labels, cut in self.cuts(window, room):
            yield labels, self.read(self.view, cut)

    def cuts(self, window: dict[str, slice], room: int = 1) -> Iterator[tuple[list[Any], dict[str, slice]]]:
        """Yield the labels of fields and where they are; the parameters are those of `blocks`."""
        names, over = self.view.coord_names, self.roles.over
        cells = math.prod(_length(window.get(name), self.size(name)) for name in (*self.lead, *self.roles.space))
        chunks = [self.view.chunk_shape[names.index(name)] for name in over]
        labels = [self.labels(name) for name in over]
        for part in _parts([self.size(name) for name in over], chunks, max(1, _ROOM // max(1, cells, room))):
            told = itertools.product(*(along[side] for along, side in zip(labels, part, strict=True)))
            yield [self._label(each) for each in told], window | dict(zip(over, part, strict=True))

    def read(self, view: DataVariableView, cut: dict[str, slice]) -> Values:
        """Return fields of a variable along the same dimensions."""
        names = view.coord_names
        part = view[tuple(cut.get(name, slice(None)) for name in names)]
        found: np.ma.MaskedArray[Any, Any] = part.masked.astype(np.float64)  # type: ignore[assignment]
        order = [names.index(name) for name in (*self.roles.over, *self.lead, *self.roles.space)]
        plain: Values = found.filled(np.nan).transpose(order)
        return plain.reshape(-1, *plain.shape[len(self.roles.over) :])

    def _label(self, each: tuple[Any, ...]) -> Any:
        if not self.roles.over:
            return None
        return each[0] if self.roles.alone else each

    def _coord(self, name: str) -> CoordinateView:
        return self.view.coords[self.view.coord_names.index(name)]


def _parts(sizes: Sequence[int], chunks: Sequence[int], room: int) -> Iterator[tuple[slice, ...]]:
    """Cut what is gone through into blocks of at most ``room`` fields, or of one, in C order."""
    if not sizes:
        yield ()
        return
    rest = math.prod(sizes[1:])
    if rest > room:
        for number in range(sizes[0]):
            for tail in _parts(sizes[1:], chunks[1:], room):
                yield (slice(number, number + 1), *tail)
        return
    count = room // max(1, rest)
    count = count // chunks[0] * chunks[0] or count
    for start in range(0, sizes[0], count):
        yield (slice(start, min(start + count, sizes[0])), *(slice(0, size) for size in sizes[1:]))


def _length(side: slice | None, size: int) -> int:
    return size if side is None else len(range(*side.indices(size)))
