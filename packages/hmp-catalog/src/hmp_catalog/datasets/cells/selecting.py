"""Which cells a key of NumPy means, and what has to be read for them: keys are resolved and put on top of each other.

A `Selection` knows a shape and no array. Ints take their dimension away, slices may be negative and have steps, one
list, array of integers or mask may be among them, as in NumPy (its reference, "Advanced indexing": with an array in
the key ints count as arrays, and what slices separate comes first).
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hmp_catalog.errors import NoSuchCell
from hmp_core.errors import InvalidInput

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Indices = NDArray[np.intp]
    Places = range | Indices
    Window = tuple[slice, ...]


@dataclass(frozen=True)
class Line:
    """A dimension of what is selected: the axes it runs along and where it is on each. A mask runs along several."""

    axes: tuple[int, ...]
    places: tuple[Places, ...]

    def __len__(self) -> int:
        return len(self.places[0])

    def at(self, places: Places) -> Line:
        """Return the line with these of its cells."""
        return Line(self.axes, tuple(_picked(each, places) for each in self.places))


@dataclass(frozen=True)
class Selection:
    """Cells of an array of shape ``source``: ``fixed`` has the axes that are gone, ``lines`` the dimensions left."""

    source: tuple[int, ...]
    fixed: Mapping[int, int]
    lines: tuple[Line, ...]

    # ── what it is ───────────────────────────────────────────────────────────────────────────────────

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of what is selected."""
        return tuple(len(line) for line in self.lines)

    @property
    def size(self) -> int:
        """How many cells are selected."""
        return math.prod(self.shape)

    @property
    def window(self) -> Window:
        """The smallest block of the array that has all of the cells; empty where there are none."""
        spans = [slice(0, 0)] * len(self.source)
        for axis, index in self.fixed.items():
            spans[axis] = slice(index, index + 1)
        for line in self.lines:
            for axis, places in zip(line.axes, line.places, strict=True):
                spans[axis] = _span(places)
        return tuple(spans) if self.size else tuple(slice(span.start, span.start) for span in spans)

    @property
    def is_block(self) -> bool:
        """Whether the cells are a block of the array, in its order."""
        order = [axis for line in self.lines for axis in line.axes]
        return order == sorted(order) and all(_is_straight(each) for line in self.lines for each in line.places)

    @property
    def dims(self) -> tuple[int, ...] | None:
        """The axis of the array that each dimension runs along; None where one runs along several (a mask)."""
        alone = [line.axes[0] for line in self.lines if len(line.axes) == 1]
        return tuple(alone) if len(alone) == len(self.lines) else None

    # ── more of it ───────────────────────────────────────────────────────────────────────────────────

    def compose(self, key: Any) -> Selection:
        """Return what a key means on what is selected here.

        Raises
        ------
        NoSuchCell, InvalidInput
            As `resolve`.
        """
        return self.then(resolve(key, self.shape))

    def then(self, other: Selection) -> Selection:
        """Return what another selection means on what is selected here."""
        fixed = dict(self.fixed)
        for dim, index in other.fixed.items():
            line = self.lines[dim]
            fixed |= {axis: int(places[index]) for axis, places in zip(line.axes, line.places, strict=True)}
        lines = []
        for new in other.lines:
            parts = [self.lines[dim].at(places) for dim, places in zip(new.axes, new.places, strict=True)]
            axes = tuple(axis for part in parts for axis in part.axes)
            lines.append(Line(axes, tuple(places for part in parts for places in part.places)))
        return Selection(self.source, fixed, tuple(lines))

    def parts(self, unit: Sequence[int]) -> Iterator[tuple[tuple[Places, ...], Selection]]:
        """Yield the cells by the blocks of ``unit`` that have them, and where each part is in what is selected."""
        yield from self._parts(unit, 0, ())

    def _parts(
        self, unit: Sequence[int], dim: int, before: tuple[Places, ...]
    ) -> Iterator[tuple[tuple[Places, ...], Selection]]:
        if dim == len(self.lines):
            lines = tuple(line.at(places) for line, places in zip(self.lines, before, strict=True))
            yield before, Selection(self.source, self.fixed, lines)
            return
        for places in _together(self.lines[dim], unit):
            yield from self._parts(unit, dim + 1, (*before, places))

    # ── arrays ───────────────────────────────────────────────────────────────────────────────────────

    def finish(self, block: NDArray[Any]) -> NDArray[Any]:
        """Return the selected cells of ``block``, which has those of `window`."""
        if not self.size:
            return np.empty(self.shape, dtype=block.dtype)
        view = self._view(block)
        if all(isinstance(places, range) for line in self.lines for places in line.places):
            return view
        return np.asarray(view[self._mesh()])

    def scatter(self, block: NDArray[Any], values: NDArray[Any]) -> None:
        """Put values into the selected cells of ``block``, which has those of `window`; the others stay."""
        if not self.size:
            return
        view = self._view(block)
        if all(isinstance(places, range) for line in self.lines for places in line.places):
            view[...] = values
        else:
            view[self._mesh()] = values

    def _view(self, block: NDArray[Any]) -> NDArray[Any]:
        """Return the block without the fixed axes, ranges cut, the others as they are, in the order of the lines."""
        key: list[Any] = [0] * block.ndim
        order = []
        for line in self.lines:
            for axis, places in zip(line.axes, line.places, strict=True):
                key[axis] = _step_of(places) if isinstance(places, range) else slice(None)
                order.append(axis)
        left = sorted(order)
        return block[(*key, Ellipsis)].transpose([left.index(axis) for axis in order])

    def _mesh(self) -> tuple[Any, ...]:
        """Return the key of a `_view` that has the cells of every line, all arrays."""
        mesh: list[Any] = []
        for dim, line in enumerate(self.lines):
            form = [1] * len(self.lines)
            form[dim] = len(line)
            for places in line.places:
                inside = np.arange(len(places)) if isinstance(places, range) else places - places.min()
                mesh.append(inside.reshape(form))
        return tuple(mesh)


def whole(shape: Sequence[int]) -> Selection:
    """Return the selection of all there is."""
    return Selection(tuple(shape), {}, tuple(Line((axis,), (range(size),)) for axis, size in enumerate(shape)))


def resolve(key: Any, shape: Sequence[int]) -> Selection:
    """Return which cells of an array of ``shape`` a key means: as NumPy, with one array in it at most.

    Parameters
    ----------
    key : int, slice, Ellipsis, list or array of int or bool, or a tuple of these
        A mask has the length of its dimension, or the shape of the whole array if it stands alone.
    shape : sequence of int
        The shape of the array.

    Raises
    ------
    NoSuchCell
        An integer beyond the array. It is an `IndexError`.
    InvalidInput
        Something else than these, too many of them, two arrays, or a mask of another shape.

    Examples
    --------
    >>> found = resolve((slice(None, None, -2), 3), (10, 5))
    >>> found.shape, found.window
    ((5,), (slice(1, 10, None), slice(3, 4, None)))
    """
    source = tuple(shape)
    keys = key if isinstance(key, tuple) else (key,)
    if len(keys) == 1 and _is_mask(keys[0], source):
        return _masked(np.asarray(keys[0]), source)
    picks = [_pick(each, axis, source) for axis, each in enumerate(_filled(keys, source))]
    arrays = [axis for axis, pick in enumerate(picks) if isinstance(pick, np.ndarray)]
    if len(arrays) > 1:
        message = (
            f"key {key!r}: an array for each of the dimensions {arrays}; NumPy would pair their numbers. Use one, or "
            "select({coordinate: numbers, ...}), which takes each for itself"
        )
        raise InvalidInput(message)
    fixed = {axis: pick for axis, pick in enumerate(picks) if isinstance(pick, int)}
    lines = {axis: Line((axis,), (pick,)) for axis, pick in enumerate(picks) if not isinstance(pick, int)}
    order = list(lines)
    if arrays and _apart(keys):
        order.remove(arrays[0])
        order.insert(0, arrays[0])
    return Selection(source, fixed, tuple(lines[axis] for axis in order))


def outer(keys: Sequence[Any], shape: Sequence[int]) -> Selection:
    """Return the cells at every combination of keys, one for each dimension; an int keeps its dimension, of length 1.

    This is what ``select`` means. Keys and errors are those of `resolve`.

    Examples
    --------
    >>> outer((3, [0, 2]), (10, 5)).shape
    (1, 2)
    """
    source = tuple(shape)
    lines = []
    for axis, key in enumerate(_filled(tuple(keys), source)):
        pick = _pick(key, axis, source)
        lines.append(Line((axis,), (range(pick, pick + 1) if isinstance(pick, int) else pick,)))
    return Selection(source, {}, tuple(lines))


# ── keys ─────────────────────────────────────────────────────────────────────────────────────────────


def _filled(keys: tuple[Any, ...], shape: tuple[int, ...]) -> list[Any]:
    """Return a key for each dimension."""
    dots = [place for place, key in enumerate(keys) if key is Ellipsis]
    given = len(keys) - len(dots)
    if len(dots) > 1 or given > len(shape):
        message = f"key {keys!r}: {given} keys and {len(dots)} Ellipsis for the {len(shape)} dimensions of {shape}"
        raise InvalidInput(message)
    place = dots[0] if dots else len(keys)
    return [*keys[:place], *[slice(None)] * (len(shape) - given), *keys[place + len(dots) :]]


def _pick(key: Any, axis: int, shape: tuple[int, ...]) -> int | range | Indices:
    size = shape[axis]
    if isinstance(key, slice):
        try:
            return range(*key.indices(size))
        except (TypeError, ValueError) as error:
            message = f"{key!r} along dimension {axis}: {error}"
            raise InvalidInput(message) from error
    if not isinstance(key, (bool, np.bool_)) and hasattr(key, "__index__") and not getattr(key, "shape", ()):
        return _inside(operator.index(key), axis, shape)
    if not isinstance(key, (list, np.ndarray, range)):
        message = f"{key!r} along dimension {axis}: expected an int, a slice, a list, an array of ints or a mask"
        raise InvalidInput(message)
    return _array(np.asarray(key), axis, shape)


def _array(given: NDArray[Any], axis: int, shape: tuple[int, ...]) -> Indices:
    size = shape[axis]
    found = given.astype(np.intp) if not given.size and given.dtype.kind == "f" else given
    if found.ndim == 1 and found.dtype.kind == "b" and len(found) == size:
        return np.flatnonzero(found)
    if found.ndim != 1 or found.dtype.kind not in "iu":
        message = f"{found.dtype} of shape {found.shape} along dimension {axis} of size {size}: expected ints or a mask"
        raise InvalidInput(message)
    for end in (found.min(initial=0), found.max(initial=0)):
        if len(found):
            _inside(int(end), axis, shape)
    places = found.astype(np.intp)
    return np.where(places < 0, places + size, places)


def _inside(index: int, axis: int, shape: tuple[int, ...]) -> int:
    size = shape[axis]
    if -size <= index < size:
        return index + size if index < 0 else index
    message = f"{index} is beyond dimension {axis} of size {size}"
    raise NoSuchCell(message, index=index, axis=axis, size=size)


def _is_mask(key: Any, shape: tuple[int, ...]) -> bool:
    if not isinstance(key, (list, np.ndarray)) or len(shape) < 2:
        return False
    found = np.asarray(key)
    return found.dtype.kind == "b" and found.shape == shape


def _masked(mask: NDArray[Any], shape: tuple[int, ...]) -> Selection:
    return Selection(shape, {}, (Line(tuple(range(len(shape))), mask.nonzero()),))


def _apart(keys: tuple[Any, ...]) -> bool:
    """Return whether something stands between ints and arrays: a slice, or an Ellipsis, though it means nothing."""
    places = [place for place, key in enumerate(keys) if key is not Ellipsis and not isinstance(key, slice)]
    return places[-1] - places[0] >= len(places)


# ── places ───────────────────────────────────────────────────────────────────────────────────────────


def _picked(places: Places, which: Places) -> Places:
    if not len(which):
        return range(0)
    if not isinstance(places, range):
        return places[which.start : _end(which) : which.step] if isinstance(which, range) else places[which]
    if isinstance(which, range):
        first = places.start + which.start * places.step
        step = places.step * which.step
        return range(first, first + len(which) * step, step)
    return np.asarray(places.start + which * places.step, dtype=np.intp)


def _end(which: range) -> int | None:
    """Return where a slice ends that has the numbers of a range: -1 would be the last of all."""
    return which.stop if which.stop >= 0 else None


def _is_straight(places: Places) -> bool:
    return isinstance(places, range) and (places.step == 1 or len(places) < 2)


def _span(places: Places) -> slice:
    if not len(places):
        return slice(0, 0)
    if isinstance(places, range):
        ends = sorted((places[0], places[-1]))
        return slice(ends[0], ends[1] + 1)
    return slice(int(places.min()), int(places.max()) + 1)


def _step_of(places: range) -> slice:
    """Return a range as a slice of its own span."""
    return slice(None, None, places.step) if len(places) > 1 else slice(None)


def _together(line: Line, unit: Sequence[int]) -> Iterator[Places]:
    """Yield which cells of a line are in one block of its axes, for each block; those of a straight line in pieces."""
    if isinstance(line.places[0], range):
        yield from _straight(line.places[0], unit[line.axes[0]])
        return
    numbers = np.stack([np.asarray(places) // unit[axis] for axis, places in zip(line.axes, line.places, strict=True)])
    order = np.lexsort(numbers[::-1])
    moves = (np.diff(numbers[:, order]) != 0).any(axis=0)
    yield from np.split(order, np.flatnonzero(moves) + 1)


def _straight(places: range, size: int) -> Iterator[range]:
    """Cut a range where it comes into another block: positions, not places."""
    start = 0
    while start < len(places):
        first = places[start]
        edge = (first // size + 1) * size if places.step > 0 else first // size * size - 1
        count = -(-(edge - first) // places.step)
        stop = min(len(places), start + max(1, count))
        yield range(start, stop)
        start = stop
