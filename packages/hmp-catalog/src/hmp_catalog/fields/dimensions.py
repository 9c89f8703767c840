"""The dimensions, coordinates and time axes that the fields of one store share, checked as they come.

Fields on one time axis must tell the same instants as far as each of them goes. A field that differs names an
axis of its own: any dimension called ``time_...`` is one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hmp_catalog.fields import schema
from hmp_catalog.fields.values import Coordinate, Field, coordinate
from hmp_core.errors import InvalidInput

if TYPE_CHECKING:
    from hmp_catalog.fields.times import Instants


@dataclass
class TimeAxis:
    """The instants along one time dimension, as far as any field has told them, in microseconds since 1970."""

    dim: str
    steps: list[int] = field(default_factory=list)
    closed: bool = False

    def place(self, start: int, times: Instants, of: str) -> None:
        """Take the times of a field's steps from ``start`` on: known ones must be equal, further ones extend.

        Raises
        ------
        InvalidInput
            Other instants than another field told, or further ones where that field is complete.
        """
        told = times.astype("int64").tolist()
        known = self.steps[start : start + len(told)]
        further = told[len(known) :]
        differs = next((at for at, pair in enumerate(zip(told, known, strict=False)) if pair[0] != pair[1]), None)
        if differs is None and further and (self.closed or (self.steps and further[0] <= self.steps[-1])):
            differs = len(known)
        if differs is not None:
            raise self._refused(of, str(times[differs]), start + differs)
        self.steps.extend(further)

    def _refused(self, of: str, told: str, at: int) -> InvalidInput:
        there = f"has {self._at(at)} there" if at < len(self.steps) else f"ends with {self._at(len(self.steps) - 1)}"
        message = (
            f"{of}: step {at} is {told}, but {self.dim!r} {there}; fields on one axis share their times, "
            f"name another axis in dims= for these, as in 'time_{of}'"
        )
        return InvalidInput(message)

    def _at(self, position: int) -> str:
        import numpy as np

        return str(np.datetime64(self.steps[position], "us"))

    def instants(self, count: int | None = None) -> Instants:
        """Return the first ``count`` instants, or all."""
        import numpy as np

        return np.array(self.steps[:count], dtype="int64").astype("datetime64[us]")


@dataclass
class Dimensions:
    """What the fields of a store have said so far of the dimensions they share."""

    sizes: dict[str, int] = field(default_factory=dict)
    coordinates: dict[str, Coordinate] = field(default_factory=dict)
    times: dict[str, TimeAxis] = field(default_factory=dict)
    fields: set[str] = field(default_factory=set)
    #: what describes a mesh or a projection
    structure: set[str] = field(default_factory=set)

    def draft(self) -> Dimensions:
        """Return a copy to try a new field on: what is refused leaves no trace."""
        axes = {dim: TimeAxis(dim, list(axis.steps), axis.closed) for dim, axis in self.times.items()}
        return Dimensions(dict(self.sizes), dict(self.coordinates), axes, set(self.fields), set(self.structure))

    def describe(self, names: Iterable[str], sizes: Mapping[str, int], of: str) -> None:
        """Take variables that are no fields, and the sizes of the dimensions that they give.

        Raises
        ------
        InvalidInput
            A name that is taken, or a size that differs from what is known.
        """
        for dim, size in sizes.items():
            self._size(dim, size, of)
        for name in names:
            self.structure.add(self._free(name))

    def admit(self, new: Field, step_shape: tuple[int, ...]) -> None:
        """Take the sizes and coordinates of a new field; ``step_shape`` leaves out its time axis.

        Raises
        ------
        InvalidInput
            A name that is taken, an empty dimension, a size or a coordinate that differs from what is known.
        """
        self.fields.add(self._free(new.name))
        for dim, size in zip((d for d in new.dims if not schema.is_time(d)), step_shape, strict=True):
            self._size(dim, size, new.name)
        for dim in filter(schema.is_time, new.dims):
            self.times.setdefault(self._unlike_fields(dim), TimeAxis(dim))
        self.tell(new)

    def tell(self, new: Field) -> None:
        """Take the coordinates that come with a field."""
        for name, given in new.coords.items():
            found = coordinate(name, given, new)
            known = self.coordinates.setdefault(self._unlike_fields(name), found)
            if not known.same_as(found):
                message = f"{new.name}: coordinate {name!r} differs from the one this store has; fields share them"
                raise InvalidInput(message)
            for dim, size in zip(found.dims, found.values.shape, strict=True):
                if not schema.is_time(dim):
                    self._size(dim, size, f"coordinate {name} of {new.name}")

    def _size(self, dim: str, size: int, of: str) -> None:
        known = self.sizes.setdefault(self._unlike_fields(dim), size)
        if size < 1 or known != size:
            has = f"{known} in this store" if known != size else "nothing to keep"
            message = f"{of}: {size} along {dim!r}: {has}; give another grid dimensions of another name"
            raise InvalidInput(message)

    def _free(self, name: str) -> str:
        here = (*self.fields, *self.structure, *self.sizes, *self.coordinates, *self.times)
        taken = {known.casefold() for known in here}
        if name.casefold() in taken:
            # some file systems do not tell Head from head
            message = f"{name!r} is in this store already, as a field, a dimension or a coordinate; take another name"
            raise InvalidInput(message)
        return name

    def _unlike_fields(self, name: str) -> str:
        if name.casefold() in {known.casefold() for known in self.fields | self.structure}:
            message = f"{name!r} is a field of this store; a dimension or coordinate takes another name"
            raise InvalidInput(message)
        return name
