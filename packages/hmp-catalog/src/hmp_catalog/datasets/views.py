"""What every variable of a data set has, whole or in part: where it lies, what it is, how it is read.

A view knows the cells it means and reads them when asked. Labels that move (`Coordinate.prepend`, another version) make
it a view of nothing: it says so, rather than give the cells that stand there now.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from hmp_catalog.datasets import shown
from hmp_catalog.datasets.attributes import Attributes
from hmp_catalog.datasets.cells.selecting import Selection, whole
from hmp_core.errors import InvalidInput

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hmp_catalog.datasets.cells.selecting import Window
    from hmp_catalog.datasets.dtypes import DataType
    from hmp_catalog.datasets.handle import Handle
    from hmp_catalog.datasets.values.packing import Packing

    Values = NDArray[Any]


class View(ABC):
    """A variable, or a part of one, of an open data set.

    Parameters
    ----------
    handle : Handle
        The open data set.
    name : str
        The variable.
    selection : Selection, optional
        Its part; all of it, whatever its shape becomes, if not given.
    """

    def __init__(self, handle: Handle, name: str, selection: Selection | None = None) -> None:
        self.handle = handle
        self.name = name
        self._picked = selection
        self._generation = handle.generation

    # ── what it is ───────────────────────────────────────────────────────────────────────────────────

    @property
    @abstractmethod
    def dtype(self) -> DataType:
        """The type of the values."""

    @property
    @abstractmethod
    def coord_names(self) -> tuple[str, ...]:
        """The coordinates along its dimensions."""

    @property
    @abstractmethod
    def chunk_shape(self) -> tuple[int, ...]:
        """What one read decodes at least."""

    @property
    def shape(self) -> tuple[int, ...]:
        """How many values it has along each dimension."""
        return self.selection.shape

    @property
    def ndims(self) -> int:
        """How many dimensions it has."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """How many values it has."""
        return self.selection.size

    @property
    def attrs(self) -> Attributes:
        """Its attributes, those of the whole variable."""
        return Attributes(self.handle, self._holder)

    @property
    def units(self) -> str | None:
        """The units of the values, as UDUNITS has them; None where nobody said any."""
        with self.handle.reading():
            arrays = self.handle.arrays()
            found = arrays[self._holder].attrs.get("units") if self._holder in arrays else None
            return None if found is None else str(found)

    def update_units(self, units: str | None) -> None:
        """Say other units, or none: no value changes.

        Raises
        ------
        InvalidInput
            Of times, whose units say what is stored, or where nothing may be written.
        """
        if units is None:
            self.attrs.pop("units", None)
        else:
            self.attrs["units"] = units

    @property
    def writable(self) -> bool:
        """Whether it can be changed."""
        return self.handle.writable

    @property
    def is_open(self) -> bool:
        """Whether the data set is open."""
        return self.handle.is_open

    @property
    def _holder(self) -> str:
        return self.name

    # ── where it lies ────────────────────────────────────────────────────────────────────────────────

    @abstractmethod
    def _extent(self) -> tuple[int, ...]:
        """Return the shape of the whole variable."""

    @property
    def selection(self) -> Selection:
        """The cells that it means.

        Raises
        ------
        InvalidInput
            If labels have moved since it was made.
        """
        if self._picked is None:
            return whole(self._extent())
        if not self.is_current:
            message = f"{self.name}: this view was made before labels moved; select again"
            raise InvalidInput(message)
        return self._picked

    @property
    def window(self) -> Window:
        """Where it lies in the stored array.

        Raises
        ------
        InvalidInput
            If it is no block of it: steps, lists and masks leave cells out.
        """
        found = self.selection
        if found.is_block:
            return found.window
        message = f"{self.name}: a view by steps, lists or masks is no block; take slices without a step"
        raise InvalidInput(message)

    def get_coord_origins(self) -> tuple[int, ...]:
        """Return where each axis begins on disk: at 0, also after labels were prepended."""
        return (0,) * self.ndims

    # ── values ───────────────────────────────────────────────────────────────────────────────────────

    @property
    @abstractmethod
    def data(self) -> Values:
        """The values, in an array of one's own."""

    @property
    def values(self) -> Values:
        """The values; the same as ``data``."""
        return self.data

    def load(self) -> Self:
        """Return itself: what is local needs no fetching."""
        return self

    def items(self, decoded: bool = True) -> Iterator[tuple[tuple[int, ...], Any]]:  # noqa: FBT001, FBT002 - as cfdb
        """Yield each value with its position, in C order.

        Parameters
        ----------
        decoded
            Codes instead of values if off.
        """
        if not self.ndims:
            yield (), (self.data if decoded else self.codes())[()]
            return
        for row in range(self.shape[0]):
            part = self[row : row + 1]
            found = part.data if decoded else part.codes()
            for inside, value in np.ndenumerate(found):
                yield (row + inside[0], *inside[1:]), value

    @abstractmethod
    def codes(self, window: Window | None = None) -> Values:
        """Return what is stored of a window of it (all if not given), counted from where it begins."""

    @property
    @abstractmethod
    def packing(self) -> Packing:
        """How codes become values."""

    @abstractmethod
    def __getitem__(self, key: Any) -> Self:
        """Return a part of it."""

    def __len__(self) -> int:
        """Return how long the first dimension is, as of an array."""
        if not self.ndims:
            message = f"{self.name}: a single value has no length"
            raise TypeError(message)
        return self.shape[0]

    def __bool__(self) -> bool:
        """Return a single value as truth; what has dimensions is there, whatever its values are."""
        return bool(self.data) if not self.ndims else True

    def __eq__(self, other: object) -> bool:
        """Tell whether it is the same view; values are compared where they were read.

        Raises
        ------
        TypeError
            Something that is no view: ``view.values == other`` compares it with every value.
        """
        if other is None or isinstance(other, View):
            return self is other
        message = f"{self.name}: a view has not read its values; compare them: .values == {other!r:.40}"
        raise TypeError(message)

    __hash__ = object.__hash__

    def __iter__(self) -> Iterator[Self]:
        return (self[position] for position in range(len(self)))

    #: Whether a value is in it would be told of its parts, which no value is.
    __contains__ = None

    def __float__(self) -> float:
        """Return a single value."""
        return float(self.data)

    def __int__(self) -> int:
        """Return a single value."""
        return int(self.data)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Values:  # noqa: FBT001 - as NumPy calls it
        return np.asarray(self.data, dtype=dtype)

    # ── others ───────────────────────────────────────────────────────────────────────────────────────

    @property
    def is_current(self) -> bool:
        """Whether labels are still where they were when it was made."""
        return self._picked is None or self._generation == self.handle.generation

    def __repr__(self) -> str:
        return shown.variable(self)

    def _repr_html_(self) -> str:
        return shown.html(repr(self))

    def __reduce__(self) -> tuple[Any, ...]:
        from hmp_catalog.datasets.handle import pinned, reopened

        return _remade, (type(self), reopened, pinned(self.handle), self.name, self._picked and self.selection)


def _remade(kind: type[View], reopen: Any, pin: tuple[str, int], name: str, selection: Selection | None) -> View:
    return kind(reopen(*pin), name, selection)


class LocationIndexer:
    """``var.loc[...]``: parts of a variable by labels. Both ends of a slice belong to it.

    Parameters
    ----------
    of : View
        The variable.
    """

    def __init__(self, of: Any) -> None:
        self._of = of

    def __getitem__(self, key: Any) -> Any:
        """Return the part with these labels; a label alone takes its dimension away.

        Raises
        ------
        NotFound
            A label that is not there. It is a `KeyError`.
        InvalidInput
            A label of another kind than the coordinate, or a slice that goes backwards.
        """
        return self._of[self._positions(key)]

    def __setitem__(self, key: Any, values: Any) -> None:
        """Write values to the part with these labels."""
        self._of[self._positions(key)] = values

    def _positions(self, key: Any) -> tuple[Any, ...]:
        coords = self._of.coords
        if isinstance(key, dict):
            names = [each.name for each in coords]
            for name in key.keys() - set(names):
                message = f"{self._of.name}: no coordinate {name!r} along it; there are {', '.join(names)}"
                raise InvalidInput(message)
            key = tuple(key.get(name, slice(None)) for name in names)
        keys = key if isinstance(key, tuple) else (key,)
        dots = [place for place, each in enumerate(keys) if each is Ellipsis]
        if len(dots) > 1 or len(keys) - len(dots) > len(coords) or len(coords) != self._of.ndims:
            message = f"{self._of.name}: labels {key!r} for the coordinates {', '.join(self._of.coord_names) or 'none'}"
            raise InvalidInput(message)
        place = dots[0] if dots else len(keys)
        given = [*keys[:place], *[slice(None)] * (len(coords) - len(keys) + len(dots)), *keys[place + len(dots) :]]
        return tuple(coord.locate(each) for coord, each in zip(coords, given, strict=True))
