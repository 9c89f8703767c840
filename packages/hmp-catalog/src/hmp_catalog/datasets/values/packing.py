"""Values become the codes that a store holds, and codes become values: nothing is wrapped, clipped or made up.

A code and the CF attributes beside it (``scale_factor``, ``add_offset``, ``_FillValue``, ``units``) say the value, so
that xarray and others decode what hmp decodes. The type and the bounds as they were declared are in ``hmp_dtype``, for
JSON does not tell float32 from float64; where somebody else changed the attributes since, these count.

Arrays are encoded and decoded in pieces that stay in the cache of a core, into arrays that are there already: what
costs in a large read is the allocation of what lies between (measured: 0.73 s whole, 0.45 s in pieces, 350 MB).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hmp_catalog.datasets.dtypes import DataType, declared
from hmp_catalog.datasets.values import infinities, instants
from hmp_catalog.errors import OutOfRange
from hmp_catalog.fields.times import CALENDAR
from hmp_core.errors import InvalidInput

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[Any]

#: Values that are encoded or decoded at a time.
PIECE = 1 << 16

#: The attribute with the declaration.
DECLARED = "hmp_dtype"


@dataclass(frozen=True)
class Packing(ABC):
    """How values of a type are kept. ``low`` and ``high`` are the least and greatest code; `plans.plan` makes one.

    ``fill`` is the code of "no value" and what the store gives for chunks that were never written; None if values of
    this type cannot be missing, and the store gives zero.
    """

    dtype: DataType
    stored: str
    fill: Any
    low: int | None = None
    high: int | None = None
    offset: Any = 0
    scale: float = 1.0

    # ── the attributes ───────────────────────────────────────────────────────────────────────────────

    def attributes(self, *, coordinate: bool = False) -> dict[str, Any]:
        """Return the attributes that say to others what the codes mean; a coordinate has no missing values (CF 2.5)."""
        said = self._meaning()
        if self.fill is not None and self._integral() and not coordinate:
            said["_FillValue"] = self.fill
        if self.dtype.min_value is not None:
            said["valid_range"] = [self.low, self.high]
        return said | {DECLARED: declared(self.dtype)}

    def _meaning(self) -> dict[str, Any]:
        return {}

    def _integral(self) -> bool:
        return self.stored.lstrip("u").startswith("int")

    @property
    def decoded(self) -> np.dtype[Any]:
        """The NumPy type of the values."""
        return self.dtype.decoded

    # ── codes ────────────────────────────────────────────────────────────────────────────────────────

    def blank(self, shape: tuple[int, ...]) -> Values:
        """Return codes where nothing has been written."""
        code = np.dtype(object if self.stored == "string" else self.stored)
        return np.full(shape, 0 if self.fill is None else self.fill, dtype=code)

    def missing(self, codes: Values) -> Values:
        """Return where there is no value."""
        return np.zeros(codes.shape, dtype=bool) if self.fill is None else np.asarray(codes == self.fill)

    def encode(self, values: Any, *, of: str = "values", at: tuple[int, ...] = ()) -> Values:
        """Return the codes of values; these stay as they are.

        Parameters
        ----------
        values : array_like
            Masked, NaN, NaT and None are "no value".
        of : str
            The variable, for the message of an error.
        at : tuple of int
            Where the first value is in the variable.

        Raises
        ------
        OutOfRange
            A value that the type does not reach: one beyond the declared range.
        InvalidInput
            Values of another kind, or missing ones where the type has no code for them.

        Warns
        -----
        InfinityWarning
            Infinite values among packed floats; they become missing.
        """
        given = np.ma.asanyarray(values)
        mask = np.ma.getmaskarray(given) if np.ma.is_masked(given) else None
        ready = self._taken(np.ma.getdata(given), of)
        codes = self.blank(ready.shape)
        with infinities.gathered():
            for start, piece, target, hidden in _pieces(ready, codes, mask):
                bad = self._encode(piece, target, hidden, of)
                if bad is not None and bad.any():
                    first = start + int(bad.ravel().argmax())
                    self._refuse(ready, first, of, at or (0,) * ready.ndim)
        return codes

    def decode(self, codes: Values, out: Values | None = None) -> Values:
        """Return the values of codes, in ``out`` if it is given: an array of their shape and of type `decoded`."""
        codes = np.asarray(codes)
        if out is None:
            out = np.empty(codes.shape, dtype=self.decoded)
        if out.shape != codes.shape or out.dtype != self.decoded:
            message = f"out: {out.dtype} of shape {out.shape}; expected {self.decoded} of shape {codes.shape}"
            raise InvalidInput(message)
        for _start, piece, target, _hidden in _pieces(codes, out, None):
            self._decode(piece, target)
        return out

    def masked(self, codes: Values) -> np.ma.MaskedArray[Any, Any]:
        """Return the values of codes, masked where there is none: a real 0 of integers is not masked."""
        found: np.ma.MaskedArray[Any, Any] = np.ma.MaskedArray(self.decode(codes), mask=self.missing(codes))
        return found

    def surely(self, values: Any) -> bool:
        """Return whether `encode` takes all of the values, as far as their extremes tell; False says nothing."""
        return False

    # ── of each kind ─────────────────────────────────────────────────────────────────────────────────

    @abstractmethod
    def _taken(self, values: Values, of: str) -> Values:
        """Return values as an array of a type that `_encode` understands."""

    @abstractmethod
    def _encode(self, values: Values, codes: Values, hidden: Values | None, of: str) -> Values | None:
        """Put the codes of a piece in place; return where values are out of range."""

    def _decode(self, codes: Values, out: Values) -> None:
        out[...] = codes

    def _range(self) -> tuple[Any, Any]:
        return self.dtype.min_value, self.dtype.max_value

    def _refuse(self, values: Values, first: int, of: str, at: tuple[int, ...]) -> None:
        inside = np.unravel_index(first, values.shape)
        position = tuple(int(i) + start for i, start in zip(inside, at, strict=True))
        value = values[inside]
        value = str(value) if values.dtype.kind == "M" else value.item() if hasattr(value, "item") else value
        low, high = self._range()
        message = (
            f"{of}: {value!r} at {position} is beyond {low} to {high}, what {self.dtype.name} as declared can keep; "
            "declare a wider range, or make it missing (NaN, NaT or masked) before it is written"
        )
        raise OutOfRange(message, variable=of, value=value, position=position, low=low, high=high)

    def without_missing(self, of: str) -> InvalidInput:
        """Return the error of missing values where no code means that."""
        message = (
            f"{of}: {self.dtype.name} has nothing that means missing; declare min_value and max_value, or a fillvalue"
        )
        return InvalidInput(message)


class Integers(Packing):
    """Integers: as they are, or counted from an offset. Sums are taken modulo the width, where they are exact."""

    def _meaning(self) -> dict[str, Any]:
        return {"add_offset": self.offset} if self.dtype.is_packed else {}

    def _range(self) -> tuple[Any, Any]:
        return (self.low or 0) + self.offset, (self.high or 0) + self.offset

    def _taken(self, values: Values, of: str) -> Values:
        if values.dtype.kind in "iuf":
            return values
        if values.dtype == object:
            return _integers_of(values, of)
        raise other_kind(of, values, "integers")

    def _encode(self, values: Values, codes: Values, hidden: Values | None, of: str) -> Values | None:
        nothing = hidden
        if values.dtype.kind == "f":
            absent = np.isnan(values)
            nothing = absent if hidden is None else absent | hidden
        return self._counted(values, codes, nothing, of)

    def _counted(self, values: Values, codes: Values, nothing: Values | None, of: str) -> Values:
        low, high = (self.low or 0) + self.offset, (self.high or 0) + self.offset
        present = np.ones(values.shape, dtype=bool) if nothing is None else ~nothing
        if self.fill is None and not present.all():
            raise self.without_missing(of)
        bad = present & ((values < _reach(values, low)) | (values > _reach(values, high)))
        if self.dtype.dtype_encoded is not None and self.fill is not None:
            bad |= present & (values == self.fill + self.offset)
        sure = np.where(present & ~bad, values, values.dtype.type(0))
        if values.dtype.kind == "f":
            if (sure != np.trunc(sure)).any():
                message = f"{of}: fractions among values for {self.dtype.name}; round them first"
                raise InvalidInput(message)
            sure = sure.astype(np.uint64 if low >= 0 else np.int64)
        wrapped = sure.astype(np.uint64) - np.uint64(self.offset % 2**64)
        codes[...] = wrapped.astype(codes.dtype)
        if nothing is not None and self.fill is not None:
            codes[nothing] = self.fill
        return np.asarray(bad)

    def _decode(self, codes: Values, out: Values) -> None:
        bits = out.dtype.itemsize
        plain = np.dtype(f"u{bits}")
        found = out.view(plain)
        np.add(codes.astype(plain), plain.type(self.offset % 256**bits), out=found)
        if self.dtype.is_packed and self.fill is not None:
            np.copyto(found, 0, where=codes == self.fill)


class Datetimes(Integers):
    """Instants as whole units since a date. The offset of the codes is that date: readers need no arithmetic."""

    def _meaning(self) -> dict[str, Any]:
        return {"units": instants.cf_units(self.offset, self.dtype.unit), "calendar": CALENDAR}

    def _taken(self, values: Values, of: str) -> Values:
        return instants.in_unit(values, self.dtype.unit, of=of)

    def _encode(self, values: Values, codes: Values, hidden: Values | None, of: str) -> Values | None:
        absent = np.isnat(values)
        nothing = absent if hidden is None else absent | hidden
        return self._counted(instants.counted(values), codes, nothing, of)

    def _decode(self, codes: Values, out: Values) -> None:
        count = np.empty(codes.shape, dtype=np.int64)
        np.add(codes.astype(np.uint64), np.uint64(self.offset % 2**64), out=count.view(np.uint64))
        out[...] = instants.of_count(count, self.dtype.unit)
        np.copyto(out, np.array("NaT", dtype=out.dtype), where=codes == self.fill)

    def _range(self) -> tuple[Any, Any]:
        low, high = super()._range()
        ends = np.array([max(low, 1 - 2**63), min(high, 2**63 - 1)], dtype=np.int64)
        low, high = instants.of_count(ends, self.dtype.unit)
        return low, high


class Truths(Packing):
    """True and false as bytes: CF has no such type; xarray takes these for it."""

    def _meaning(self) -> dict[str, Any]:
        return {"dtype": "bool", "flag_values": [0, 1], "flag_meanings": "false true"}

    def _taken(self, values: Values, of: str) -> Values:
        if values.dtype.kind in "biuf":
            return values
        raise other_kind(of, values, "true and false")

    def _encode(self, values: Values, codes: Values, hidden: Values | None, of: str) -> Values | None:
        if hidden is not None:
            raise self.without_missing(of)
        truth = values.astype(bool)
        codes[...] = truth
        return None if values.dtype.kind == "b" else truth != values

    def _decode(self, codes: Values, out: Values) -> None:
        out[...] = codes != 0

    def _range(self) -> tuple[Any, Any]:
        return False, True


class Texts(Packing):
    """Text; where there is none, the store has text of no length, as CF does."""

    def _taken(self, values: Values, of: str) -> Values:
        if values.dtype.kind in "OUT":
            return values.astype(object)
        raise other_kind(of, values, "text")

    def _encode(self, values: Values, codes: Values, hidden: Values | None, of: str) -> Values | None:
        for position, value in enumerate(values.flat):
            absent = value is None or (hidden is not None and hidden.flat[position])
            if not absent and not isinstance(value, str):
                message = f"{of}: {value!r} is not text"
                raise InvalidInput(message)
            if not absent and not value.isascii():
                _refuse_surrogates(value, of)
            codes.flat[position] = "" if absent else str(value)
        return None


def _refuse_surrogates(value: str, of: str) -> None:
    """Refuse half a character, which UTF-8 and so the store does not have."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        message = f"{of}: {value!r:.80} is no text that can be stored: {error.reason}; mend or mask it first"
        raise InvalidInput(message) from error


# ── pieces and kinds ─────────────────────────────────────────────────────────────────────────────────


def _pieces(source: Values, target: Values, mask: Values | None) -> Iterator[tuple[int, Values, Values, Values | None]]:
    """Yield parts of arrays that are as large as is quick, and the position of each part in C order."""
    if source.flags.c_contiguous and target.flags.c_contiguous:
        source, target = source.reshape(-1), target.reshape(-1)
        mask = None if mask is None else mask.reshape(-1)
    row = max(1, math.prod(source.shape[1:]))
    rows = max(1, PIECE // row)
    for start in range(0, len(source), rows):
        part = slice(start, start + rows)
        yield start * row, source[part], target[part], None if mask is None else mask[part]


def _reach(values: Values, bound: int) -> Any:
    """Return a bound as it is compared: among floats the next to it that is not beyond it."""
    if values.dtype.kind != "f":
        return bound
    near = np.float64(bound)
    return near if abs(int(near)) <= abs(bound) else np.nextafter(near, 0.0)


def _integers_of(values: Values, of: str) -> Values:
    plain = np.array(values.tolist())
    if plain.dtype.kind in "iu":
        return plain
    raise other_kind(of, values, "integers (mask those that are missing)")


def other_kind(of: str, values: Values, expected: str) -> InvalidInput:
    """Return the error of values that are of another kind than those of the type."""
    message = f"{of}: values of type {values.dtype}; expected {expected}"
    return InvalidInput(message)
