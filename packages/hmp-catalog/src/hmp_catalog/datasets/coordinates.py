"""Coordinates of a data set: their labels, how these go on at either end, and what becomes of the data along them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from hmp_catalog.datasets import growing
from hmp_catalog.datasets.attributes import Attributes
from hmp_catalog.datasets.axes import keeping, ticks
from hmp_catalog.datasets.views import LocationIndexer, View
from hmp_core.errors import InvalidInput

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hmp_catalog.datasets.axes.keeping import Keeper
    from hmp_catalog.datasets.cells.selecting import Window
    from hmp_catalog.datasets.dtypes import DataType
    from hmp_catalog.datasets.values.packing import Packing

    Values = NDArray[Any]

#: The attributes with the step and, where CF has no letter for it, the axis.
STEP, AXIS = "hmp_step", "hmp_axis"

#: What axes are called.
AXES = ("x", "y", "z", "t", "xy", "xyz")


class CoordinateView(View):
    """A coordinate, or a part of it: its labels are in memory. The parameters are those of `View`."""

    @property
    def _keeper(self) -> Keeper:
        return keeping.keeper(self.handle, self.name)

    @property
    def _holder(self) -> str:
        return self._keeper.holder

    @property
    def attrs(self) -> Attributes:
        """Its attributes, those of the whole coordinate; ``axis`` may be none that another coordinate is."""
        return Attributes(self.handle, self._holder, self._check_attribute)

    def _check_attribute(self, key: str, value: Any) -> None:
        from hmp_catalog.datasets.creating import checked_axis

        if key == "axis":
            checked_axis(self.handle, self.name, self.dtype, value)

    def _extent(self) -> tuple[int, ...]:
        return self.handle.labels(self.name).shape

    @property
    def dtype(self) -> DataType:
        """The type of the labels."""
        return self._keeper.dtype

    @property
    def coord_names(self) -> tuple[str, ...]:
        """Itself."""
        return (self.name,) * self.ndims

    @property
    def coords(self) -> tuple[Self, ...]:
        """Itself."""
        return (self,) * self.ndims

    @property
    def chunk_shape(self) -> tuple[int, ...]:
        """How many labels one read decodes at least."""
        return self._keeper.chunk_shape

    @property
    def data(self) -> Values:
        """The labels, in an array of one's own."""
        with self.handle.reading():
            found = self.selection
            return np.array(found.finish(self.handle.labels(self.name)[found.window]))

    @property
    def packing(self) -> Packing:
        """How codes become labels."""
        return self.handle.cells(self.name).packing

    def codes(self, window: Window | None = None) -> Values:
        """Return what is stored of a window of it (all if not given), counted from where it begins."""
        with self.handle.reading():
            found = self.selection if window is None else self.selection.compose(tuple(window))
            return self.handle.cells(self.name).pick(found, decoded=False)

    def get_chunk(self, sel: Any = None, missing_none: bool = False) -> Values | None:  # noqa: FBT001, FBT002 - as cfdb
        """Return the labels of its first chunk, or of the first that ``sel`` touches; labels are never missing."""
        part = self if sel is None else self[sel]
        return part.data[: part.chunk_shape[0]]

    def iter_chunks(
        self,
        include_data: bool = True,  # noqa: FBT001, FBT002 - as cfdb
        decoded: bool = True,  # noqa: FBT001, FBT002 - as cfdb
    ) -> Iterator[Any]:
        """Yield as many labels at a time as a chunk has, each time with where they are: ``coord[place]``.

        Parameters
        ----------
        include_data
            Only the places if off.
        decoded
            Codes instead of labels if off.
        """
        length, (chunk, *_) = len(self), self.chunk_shape
        for start in range(0, length, chunk):
            place = (slice(start, min(length, start + chunk)),)
            if include_data:
                yield place, self[place].data if decoded else self[place].codes()
            else:
                yield place

    def __getitem__(self, key: Any) -> CoordinateView:
        """Return a part of it, by positions."""
        return CoordinateView(self.handle, self.name, self.selection.compose(key))

    @property
    def loc(self) -> LocationIndexer:
        """Parts of it by labels."""
        return LocationIndexer(self)

    def locate(self, key: Any) -> Any:
        """Return the positions of labels: an int for a label, a slice for a slice, an array for a list.

        Raises
        ------
        NotFound
            A label that is not there. It is a `KeyError`.
        InvalidInput
            A label of another kind, or a slice that goes backwards.
        """
        if (isinstance(key, np.ndarray) and key.dtype.kind == "b") or (isinstance(key, slice) and key == slice(None)):
            return key
        return self._keeper.locate(self.data, key)

    # ── what is said of it ───────────────────────────────────────────────────────────────────────────

    @property
    def step(self) -> int | float | None:
        """What is between two labels, where that is kept when it grows; of datetimes in their unit."""
        found = self._said(STEP)
        return found if isinstance(found, (int, float)) and not isinstance(found, bool) else None

    @property
    def axis(self) -> str | None:
        """``x``, ``y``, ``z``, ``t``, ``xy`` or ``xyz``; None where it is none of them."""
        found = self._said(AXIS) or self._said("axis")
        return None if found is None else str(found).lower()

    @property
    def origin(self) -> int:
        """Where it begins on disk: at 0, also after labels were prepended."""
        return 0

    @property
    def auto_increment(self) -> bool:
        """Whether labels are made up: never."""
        return False

    def _said(self, key: str) -> Any:
        with self.handle.reading():
            arrays = self.handle.arrays()
            return arrays[self._holder].attrs.get(key) if self._holder in arrays else None


class Coordinate(CoordinateView):
    """A coordinate of a data set.

    Each label stands once; numbers and datetimes ascend, texts and geometries keep the order they came in. It grows at
    either end, and all data along it with it: what is not written is missing.
    """

    def append(self, data: Any) -> None:
        """Add labels after the last.

        Parameters
        ----------
        data : array_like, shape (n,)
            Labels; with a `step`, gaps of whole steps are filled.

        Raises
        ------
        InvalidInput
            Labels that are not after the last, not ascending, twice the same, missing, or between steps; nothing was
            changed.
        """
        self._grow(data, before=False)

    def prepend(self, data: Any) -> None:
        """Add labels before the first; views that were made before are of no use any more.

        Parameters
        ----------
        data : array_like, shape (n,)
            Labels; with a `step`, gaps of whole steps are filled.

        Raises
        ------
        InvalidInput
            As `append`.
        """
        self._grow(data, before=True)

    def _grow(self, data: Any, *, before: bool) -> None:
        with self.handle.reshaping() as begin:
            keeper, labels = self._keeper, self.handle.labels(self.name)
            found = keeper.grown(labels, data, self._said(STEP), before=before)
            arrays = growing.along(self.handle, keeper)
            if found.added:
                growing.grow(begin(), keeper, arrays, found)
                self.handle.generation += before
                if self._said(STEP) is True:
                    self._settle(found.values)

    def _settle(self, labels: Values) -> None:
        """Keep the step that was to be that of the labels, now that there are some."""
        found = ticks.agreed_step(labels, True, of=self.name, precision=self.dtype.precision)  # noqa: FBT003
        if len(labels) > 1:
            self._say(STEP, found)

    def truncate(self, start: Any = None, stop: Any = None) -> None:
        """Keep the labels from one to another, both included, and the data along them.

        Raises
        ------
        InvalidInput
            If nothing would be left.
        NotFound
            A text or a geometry that is not there.
        """
        with self.handle.reshaping() as begin:
            keeper, labels = self._keeper, self.handle.labels(self.name)
            found, arrays = keeper.cut(labels, start, stop), growing.along(self.handle, keeper)
            if len(found.values) < len(labels):
                growing.cut(begin(), keeper, arrays, found)
                self.handle.generation += 1

    def update_step(self, step: Any) -> None:
        """Say another step, ``True`` for that of the labels, ``False`` or None for none.

        Raises
        ------
        InvalidInput
            A step that is not that of the labels.
        """
        of = self.dtype
        found = ticks.agreed_step(self.data, step, of=self.name, precision=of.precision)
        self._say(STEP, found)

    def update_axis(self, axis: str | None) -> None:
        """Say which axis it is: x, y, z, t, xy, xyz or, with None, none.

        Raises
        ------
        InvalidInput
            Another, or one that another coordinate is.
        """
        from hmp_catalog.datasets.creating import checked_axis

        found = checked_axis(self.handle, self.name, self.dtype, axis)
        self._say("axis", found.upper() if found and len(found) == 1 else None)
        self._say(AXIS, found if found and len(found) > 1 else None)

    def _say(self, key: str, value: Any) -> None:
        with self.handle.writing() as group:
            if not self._holder:
                message = f"{self.name}: this dimension has no labels, and nothing is said of it"
                raise InvalidInput(message)
            array = group[self._holder]
            said = {each: kept for each, kept in array.attrs.asdict().items() if each != key}
            array.attrs.put(said if value is None else said | {key: value})
            self.handle.forget(self._holder)
