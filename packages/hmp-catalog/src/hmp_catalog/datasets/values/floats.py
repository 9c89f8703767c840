"""Floats as a store holds them: as they are, rounded, or as integers of a precision, in as little time as is exact."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from hmp_catalog.datasets.values import infinities
from hmp_catalog.datasets.values.packing import Packing, other_kind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[Any]

#: The greatest power of ten that is exact in single precision.
_EXACT_POWER = 10


class Floats(Packing):
    """Floats: as they are, rounded to a precision, or as integers of that precision."""

    def _meaning(self) -> dict[str, Any]:
        if self.dtype.is_packed:
            return {"scale_factor": self.scale, "add_offset": self.offset}
        return {} if self.dtype.precision is None else {"least_significant_digit": self.dtype.precision}

    def missing(self, codes: Values) -> Values:
        """Return where there is no value."""
        return super().missing(codes) if self._integral() else np.asarray(np.isnan(codes))

    def _taken(self, values: Values, of: str) -> Values:
        if values.dtype.kind in "biuf":
            return values
        if values.dtype == object:
            return _floats_of(values, of)
        raise other_kind(of, values, "numbers")

    def _encode(self, values: Values, codes: Values, hidden: Values | None, of: str) -> Values | None:
        if not self._integral():
            return self._rounded(values, codes, hidden)
        if hidden is None and self._in_steps(values, codes):
            return None
        wide = values.astype(np.float64)
        if hidden is not None:
            wide[hidden] = np.nan
        with np.errstate(over="ignore"):
            wide -= self.offset
            if self.dtype.precision is None:
                wide /= self.scale
            else:
                wide *= 10.0**self.dtype.precision
        np.rint(wide, out=wide)
        low, high = float(self.low or 0), float(self.high or 0)
        hole = self.fill is not None and low < self.fill < high
        if wide.size and not hole and low <= wide.min() and wide.max() <= high:  # neither is true of NaN
            codes[...] = wide
            return None
        self._without_infinities(wide, values, of)
        slack = self._slack()
        bad = (wide < low - slack) | (wide > high + slack) | (hole & (wide == self.fill))
        nothing = np.isnan(wide)
        if self.fill is None and nothing.any():
            raise self.without_missing(of)
        np.clip(wide, low, high, out=wide)
        wide[nothing] = self.fill
        codes[...] = wide
        return np.asarray(bad)

    def _without_infinities(self, wide: Values, values: Values, of: str) -> None:
        """Make missing what is infinite as it was given; a finite value that only its code makes so is out of range."""
        if self.fill is None or values.dtype.kind != "f":
            return
        endless = np.isinf(values) & ~np.isnan(wide)
        count = int(np.count_nonzero(endless))
        if count:
            wide[endless] = np.nan
            infinities.note(of, count)

    def _in_steps(self, values: Values, codes: Values) -> bool:
        """Put the codes of a piece in place if single precision will do: none is missing or beyond what may be.

        A product below 2 ** 21 is off by an eighth at most: codes come back as they were, and a value between two
        codes takes one of those beside it. It takes 0.6 of the time of doubles.
        """
        steps, high = self._steps, self.high or 0
        if steps is None or values.dtype != np.float32 or not values.size or max(abs(steps), steps + high) > 2**21:
            return False
        count = np.multiply(values, np.float32(10.0 ** (self.dtype.precision or 0)))
        np.rint(count, out=count)
        count -= np.float32(steps)
        low = self.low or 0
        hole = self.fill is not None and low < self.fill < high
        if hole or not (low <= count.min() and count.max() <= high):  # NaN is in no range
            return False
        codes[...] = count
        return True

    def surely(self, values: Any) -> bool:
        """Return whether `encode` takes all of the values, as far as their extremes tell; False says nothing."""
        if type(values) is not np.ndarray or values.dtype.kind != "f" or not values.size:
            return False
        if not self._integral():
            return bool(values.dtype.itemsize <= np.dtype(self.stored).itemsize)
        low, high = self._range()
        if self.fill is None or (self.low or 0) < self.fill < (self.high or 0):
            return False
        return bool(low <= np.fmin.reduce(values, axis=None) and np.fmax.reduce(values, axis=None) <= high)

    def _rounded(self, values: Values, codes: Values, hidden: Values | None) -> Values:
        with np.errstate(over="ignore"):
            codes[...] = values
        bad = np.isinf(codes) & ~np.isinf(values)
        if self.dtype.precision is not None:
            with np.errstate(over="ignore", invalid="ignore"):
                rounded = np.round(codes, self.dtype.precision)
            np.copyto(codes, rounded, where=np.isfinite(rounded))
        if hidden is not None:
            codes[hidden] = np.nan
            bad &= ~hidden
        return np.asarray(bad)

    def _slack(self) -> float:
        """Return by how many codes the bounds themselves may be off when they are told in the type of the values."""
        if self.dtype.min_value is None:
            return 0.0
        largest = max(abs(self.dtype.min_value), abs(self.dtype.max_value))
        return math.floor(0.5 + float(np.spacing(self.decoded.type(largest))) / self.scale / 2)

    def _decode(self, codes: Values, out: Values) -> None:
        if not self._integral():
            out[...] = codes
            return
        if self._steps is not None:
            np.add(codes, np.float32(self._steps), out=out, dtype=np.float32)
            out /= np.float32(10.0 ** (self.dtype.precision or 0))
        else:
            wide = np.multiply(codes, self.scale, dtype=np.float64)
            wide += self.offset
            out[...] = wide
        if self.fill is not None and (self.fill != 0 or not codes.all()):
            np.copyto(out, np.nan, where=codes == self.fill)

    @functools.cached_property
    def _steps(self) -> int | None:
        """How many steps from 0 the codes begin, where that is whole and single precision has every value.

        A sum of whole numbers below 2 ** 24 is exact, and one division by a power of ten is rounded once: it gives the
        float next to the decimal, in two thirds of the time of doubles. A 0 is one, where these give 2e-16.
        """
        if self.dtype.precision is None or self.dtype.precision > _EXACT_POWER or self.decoded != np.float32:
            return None
        factor = 10**self.dtype.precision
        steps = round(self.offset * factor)
        reach = max(abs(steps), abs(steps + np.iinfo(self.stored).max), abs(steps + np.iinfo(self.stored).min))
        exact = steps / factor == self.offset and 1 / factor == self.scale and reach < 2**24
        return steps if exact else None

    def _range(self) -> tuple[Any, Any]:
        if self.dtype.min_value is not None:
            return super()._range()
        if not self._integral():
            room = np.finfo(self.stored)
            return float(room.min), float(room.max)
        return (self.low or 0) * self.scale + self.offset, (self.high or 0) * self.scale + self.offset


def _floats_of(values: Values, of: str) -> Values:
    try:
        return np.array([np.nan if v is None else float(v) for v in values.flat]).reshape(values.shape)
    except (TypeError, ValueError) as error:
        raise other_kind(of, values, "numbers") from error
