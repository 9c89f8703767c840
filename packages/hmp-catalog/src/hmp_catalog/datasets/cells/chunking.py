"""How arrays are cut into chunks: what is asked for is checked, and where nothing is, lengths are chosen.

A chunk is what one read decodes. Lengths are chosen so that they divide the array: a chunk that sticks out is read and
rechunked as if it were whole (measured: the same array in (840, 12, 12) takes 2.6 times as long to rechunk as in
(730, 20, 20), which divides it).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hmp_catalog.datasets.libraries import library
from hmp_core.errors import InvalidInput

if TYPE_CHECKING:
    from types import ModuleType

#: Values in a chunk of a data variable: from 130,000 to 540,000 reading and compressing are at their best.
ELEMENTS = 1 << 18

#: The chunk of a coordinate, however short it is now: it grows. 3.7 years of hours in a file.
COORDINATE_CHUNK = (1 << 15,)

#: How long an axis that grows is taken to be at least: a variable is often made with its first label or two.
GROWING = 1 << 6

#: How far from the length that is wanted a length may be that divides the axis.
_SLACK = 1.5


def guess_chunk_shape(shape: Sequence[int], itemsize: int, target_chunk_size: int = 2**21) -> tuple[int, ...]:
    """Return a chunk shape of about ``target_chunk_size`` bytes, as `rechunkit` guesses it.

    Its lengths are highly composite numbers, so that two guesses have small common multiples. The chunks of new
    variables are not made by it but by `variable_chunk_shape`, whose lengths divide the array.

    Parameters
    ----------
    shape : sequence of int
        Of the array, no axis of it empty.
    itemsize : int
        Bytes of a value.
    target_chunk_size : int
        Bytes of a chunk before compression; up to 1.5 times as many.

    Raises
    ------
    InvalidInput
        Lengths or sizes that are not positive integers.
    MissingPart
        ``rechunkit`` is not installed.

    Examples
    --------
    >>> guess_chunk_shape((8760, 100, 100), 2)
    (840, 12, 48)
    """
    lengths = checked_chunk_shape(tuple(shape), what="shape")
    sizes = checked_chunk_shape((itemsize, target_chunk_size), what="itemsize and target_chunk_size")
    guessed: tuple[int, ...] = rechunkit().guess_chunk_shape(lengths, *sizes)
    return guessed


def variable_chunk_shape(
    shape: Sequence[int], names: Sequence[str] = (), growing: int | None = None
) -> tuple[int, ...]:
    """Return the chunk shape of a new data variable: about 2**18 values, lengths that divide its axes if any do.

    Axes are cut into equally many pieces; the longest one makes up for what the others leave. The axis that grows does
    not keep a chunk as short as it is now: 31 days of hours were 752 files where the first hour came first.

    Parameters
    ----------
    shape : sequence of int
        Of the variable.
    names : sequence of str
        Its coordinates, for the message of an error.
    growing : int, optional
        The axis that grows; none if not given.

    Raises
    ------
    InvalidInput
        An axis without labels: nobody knows yet how long it will be.

    Examples
    --------
    >>> variable_chunk_shape((8760, 100, 100))
    (730, 20, 20)
    >>> variable_chunk_shape((1, 100, 100), growing=0)
    (52, 100, 50)
    """
    for position, length in enumerate(shape):
        if length < 1:
            name = names[position] if position < len(names) else f"axis {position}"
            message = f"{name} has no labels yet, so no chunk shape can be chosen; say chunk_shape=, or append labels"
            raise InvalidInput(message)
    if growing is not None:
        return _of_growing(shape, growing)
    wanted = max(1.0, math.prod(shape) / ELEMENTS)
    order = sorted(range(len(shape)), key=lambda axis: (shape[axis], -axis))
    chunks = dict.fromkeys(order, 1)
    of_length: dict[int, int] = {}
    for done, axis in enumerate(order):
        length, left = shape[axis], len(order) - done
        if length not in of_length or left == 1:
            of_length[length] = _dividing(length, length / wanted ** (1 / left))
        chunks[axis] = of_length[length]
        wanted = max(1.0, wanted / math.ceil(length / chunks[axis]))
    return tuple(chunks[axis] for axis in range(len(shape)))


def _of_growing(shape: Sequence[int], axis: int) -> tuple[int, ...]:
    """Return the chunk shape of what grows: where all labels are in one chunk, it is as long as a chunk may be."""
    later = [max(GROWING, length) if each == axis else length for each, length in enumerate(shape)]
    chunks = list(variable_chunk_shape(later))
    room = ELEMENTS // math.prod(length for each, length in enumerate(chunks) if each != axis)
    if chunks[axis] >= shape[axis] and room >= 2 * shape[axis]:
        chunks[axis] = room
    return tuple(chunks)


def checked_chunk_shape(given: Any, ndims: int | None = None, *, what: str = "chunk_shape") -> tuple[int, ...]:
    """Return a chunk shape as Python integers.

    Raises
    ------
    InvalidInput
        Anything but positive integers, or more or fewer of them than ``ndims``.
    """
    if not isinstance(given, Sequence) or isinstance(given, str):
        message = f"{what}={given!r}; expected a tuple of positive integers"
        raise InvalidInput(message)
    if ndims is not None and len(given) != ndims:
        message = f"{what}={given!r} has {len(given)} lengths for {ndims} dimensions"
        raise InvalidInput(message)
    for length in given:
        if isinstance(length, bool) or not isinstance(length, int | np.integer) or length < 1:
            message = f"{what}={given!r}: {length!r} is no positive integer"
            raise InvalidInput(message)
    return tuple(int(length) for length in given)


def rechunkit() -> ModuleType:
    """Return the library that plans how chunks become other chunks.

    Raises
    ------
    MissingPart
        It is not installed.
    """
    found: ModuleType = library("rechunkit", "rechunking needs")
    return found


def _dividing(length: int, wanted: float) -> int:
    """Return the length of a chunk near the one that is wanted, of which least sticks out at the end of the axis."""
    low, high = math.ceil(wanted / _SLACK), math.floor(wanted * _SLACK)
    pieces = range(max(1, length // max(1, high)), math.ceil(length / max(1, low)) + 1)
    near = {chunk for chunk in (math.ceil(length / n) for n in pieces) if low <= chunk <= high}
    return min(near or {max(1, round(wanted))}, key=lambda chunk: (-length % chunk, abs(math.log(chunk / wanted))))
