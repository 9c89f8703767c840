"""Who keeps the labels of a coordinate: an array of codes, the flat arrays of geometries, or nobody.

All keepers have the same verbs, so that a coordinate need not know what its labels are. They refuse before they write.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from hmp_catalog.datasets.axes import containers, crs, geometry, labels, ticks
from hmp_catalog.datasets.axes.ticks import Growth, Truncation
from hmp_catalog.datasets.dtypes import DataType, dtype
from hmp_catalog.datasets.values import instants
from hmp_catalog.datasets.values.plans import plan
from hmp_core.errors import InvalidInput

if TYPE_CHECKING:
    import zarr
    from numpy.typing import NDArray

    from hmp_catalog.datasets.cells.arrays import Cells
    from hmp_catalog.datasets.handle import Handle
    from hmp_catalog.datasets.values.packing import Packing

    Values = NDArray[Any]


class Keeper(ABC):
    """What keeps the labels of the coordinate ``name``. ``holder`` is the array that bears its attributes."""

    def __init__(self, handle: Handle, name: str, holder: str, of: DataType) -> None:
        self._handle = handle
        self.name = name
        self.holder = holder
        self.dtype = of

    @abstractmethod
    def read(self) -> Values:
        """Return the labels."""

    @property
    def members(self) -> tuple[str, ...]:
        """The names of all arrays that are the coordinate's."""
        return (self.holder,)

    @property
    def chunk_shape(self) -> tuple[int, ...]:
        """How many labels are in one chunk."""
        return self._handle.cells(self.holder).chunks

    @abstractmethod
    def checked(self, given: Any) -> Values:
        """Return labels as they will be read again."""

    @abstractmethod
    def locate(self, values: Values, key: Any) -> Any:
        """Return the positions of labels."""

    def grown(self, values: Values, given: Any, step: Any, *, before: bool) -> Growth:
        """Return the labels with others after their last, or before their first."""
        raise self._refused()

    def cut(self, values: Values, start: Any, stop: Any) -> Truncation:
        """Return the labels from one to another."""
        raise self._refused()

    def write(self, group: zarr.Group, values: Values, same: int = 0) -> None:
        """Put these labels in the place of all that there were; the first ``same`` of them are there already."""
        raise self._refused()

    def _refused(self) -> InvalidInput:
        message = f"{self.name}: this dimension has no labels; whoever wrote the data set gave it none"
        return InvalidInput(message)


def keeper(handle: Handle, name: str) -> Keeper:
    """Return who keeps the labels of a coordinate.

    Raises
    ------
    NotFound
        If there is no such coordinate.
    """
    found = handle.contents()
    if name in found.geometries:
        return Geometries(handle, name, found.geometries[name])
    if name in found.unlabelled:
        return Numbers(handle, name, found.unlabelled[name])
    if name not in found.coords:
        raise handle.missing(name)
    return Codes(handle, name)


class Codes(Keeper):
    """Labels in an array: numbers, datetimes, text."""

    def __init__(self, handle: Handle, name: str) -> None:
        self._cells: Cells = handle.cells(name)
        super().__init__(handle, name, name, self._cells.dtype)

    def read(self) -> Values:
        """Return the labels."""
        return self._cells.read((slice(0, self._cells.shape[0]),))

    def checked(self, given: Any) -> Values:
        """Return labels as they will be read again."""
        return checked(given, self.dtype, name=self.name, packing=self._cells.packing)

    def locate(self, values: Values, key: Any) -> Any:
        """Return the positions of labels."""
        return labels.locate(values, key, of=self.name, precision=self.dtype.precision)

    def grown(self, values: Values, given: Any, step: Any, *, before: bool) -> Growth:
        """Return the labels with others after their last, or before their first."""
        added = ticks.prepended if before else ticks.appended
        found = added(values, self.checked(given), step, of=self.name, precision=self.dtype.precision)
        kept = self.checked(found.values)
        kept[found.old] = values
        return Growth(kept, found.old, found.given)

    def cut(self, values: Values, start: Any, stop: Any) -> Truncation:
        """Return the labels from one to another."""
        return ticks.truncated(values, start, stop, of=self.name, precision=self.dtype.precision)

    def write(self, group: zarr.Group, values: Values, same: int = 0) -> None:
        """Put these labels in the place of all that there were; the first ``same`` of them are there already."""
        size = self._cells.shape[0]
        if len(values) < size:
            self._cells.clear((slice(len(values), size),))
        self._cells.resize((len(values),))
        self._cells.write((slice(same, len(values)),), values[same:])


class Geometries(Keeper):
    """Labels that are geometries, in a container of CF."""

    def __init__(self, handle: Handle, name: str, holder: str) -> None:
        said = handle.arrays()[holder].attrs.asdict()
        self._said = said
        super().__init__(handle, name, holder, containers.coordinate(holder, said)[1])

    @property
    def members(self) -> tuple[str, ...]:
        """The names of all arrays that are the coordinate's."""
        return (self.holder, *sorted(containers.parts(self._said)))

    @property
    def chunk_shape(self) -> tuple[int, ...]:
        """How many labels are in one chunk."""
        return (max(1, len(self._handle.labels(self.name))),)

    def read(self) -> Values:
        """Return the labels."""
        return containers.read(self._handle.group(), self.name)

    def checked(self, given: Any) -> Values:
        """Return labels as they will be read again."""
        return geometry.checked(given, self.dtype, name=self.name)

    def locate(self, values: Values, key: Any) -> Any:
        """Return the positions of labels."""
        return geometry.locate(values, key, self.dtype, name=self.name)

    def grown(self, values: Values, given: Any, step: Any, *, before: bool) -> Growth:
        """Return the labels with others after their last, or before their first."""
        added = geometry.prepended if before else geometry.appended
        return added(values, given, self.dtype, name=self.name)

    def cut(self, values: Values, start: Any, stop: Any) -> Truncation:
        """Return the labels from one to another."""
        return geometry.truncated(values, self.dtype, start, stop, name=self.name)

    def write(self, group: zarr.Group, values: Values, same: int = 0) -> None:
        """Put these labels in the place of all that there were."""
        flat = containers.variables(self.name, values, self.dtype, self._said, axes(self._handle))
        containers.write(group, self.name, flat)


class Numbers(Keeper):
    """No labels at all: positions stand for them."""

    def __init__(self, handle: Handle, name: str, size: int) -> None:
        super().__init__(handle, name, "", dtype("int64"))
        self._size = size

    @property
    def members(self) -> tuple[str, ...]:
        """No array is the coordinate's."""
        return ()

    @property
    def chunk_shape(self) -> tuple[int, ...]:
        """As many as there are."""
        return (max(1, self._size),)

    def read(self) -> Values:
        """Return the positions."""
        import numpy as np

        return np.arange(self._size)

    def checked(self, given: Any) -> Values:
        """Refuse: there are none to be written."""
        raise self._refused()

    def locate(self, values: Values, key: Any) -> Any:
        """Return the positions of positions."""
        return labels.locate(values, key, of=self.name)


def axes(handle: Handle) -> dict[str, dict[str, str]] | None:
    """Return what the reference system of a data set says of its axes; None if it has none."""
    found = handle.contents().mappings
    if not found:
        return None
    return crs.axes(crs.of_attributes(handle.arrays()[found[0]].attrs.asdict(), of=found[0]))


def checked(given: Any, of: DataType, *, name: str, packing: Packing | None = None) -> Values:
    """Return the labels of a coordinate of a type as they will be read again; the caller's array is left alone.

    ``packing`` is that of an array that is there already: others pack otherwise than hmp would.

    Raises
    ------
    InvalidInput
        Labels that are not `ticks.checked`, also after they were rounded to what the type keeps.
    OutOfRange
        A label that the type does not reach.
    """
    if of.kind == "geometry":
        return geometry.checked(given, of, name=name)
    if of.kind == "datetime" and not _is_masked(given):
        given = instants.in_unit(given, of.unit, of=name)
    found = ticks.checked(given, of=name)
    if found.dtype.kind == "O" and of.kind != "string" and len(found):
        message = f"{name}: text, as {found[0]!r}, for labels of {of.name}; turn it into these first"
        raise InvalidInput(message)
    if not len(found):
        return found.astype(of.decoded)
    kept = packing or plan(of)
    return ticks.checked(kept.decode(kept.encode(found, of=name)), of=name)


def _is_masked(given: Any) -> bool:
    import numpy as np

    return bool(np.ma.is_masked(given))
