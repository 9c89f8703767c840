"""Floats of others, among which one value means that there is none: -9999, 1e20.

xarray writes such a ``_FillValue`` to Zarr as the bytes of a double, in base64.
"""

from __future__ import annotations

import base64
import binascii
import math
import struct
from typing import TYPE_CHECKING, Any

import numpy as np

from hmp_catalog.datasets.values.floats import Floats
from hmp_core.errors import InvalidInput

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[Any]


class Marked(Floats):
    """Floats as they are; ``fill`` is what others wrote where there is none, and what is written there again."""

    def _meaning(self) -> dict[str, Any]:
        return {"_FillValue": written(float(self.fill))}

    def missing(self, codes: Values) -> Values:
        """Return where there is no value."""
        return np.asarray(np.isnan(codes) | (codes == codes.dtype.type(self.fill)))

    def surely(self, values: Any) -> bool:
        """Return False: whether a value is the one that means none is not told by the extremes."""
        return False

    def _encode(self, values: Values, codes: Values, hidden: Values | None, of: str) -> Values | None:
        bad = self._rounded(values, codes, hidden)
        bad |= codes == codes.dtype.type(self.fill)
        codes[np.isnan(codes)] = self.fill
        return bad

    def _decode(self, codes: Values, out: Values) -> None:
        out[...] = codes
        np.copyto(out, np.nan, where=codes == codes.dtype.type(self.fill))


def written(value: float) -> str:
    """Return a fill value of floats as xarray has it in a store.

    Examples
    --------
    >>> told(written(-9999.0))
    -9999.0
    """
    return base64.b64encode(struct.pack("<d", value)).decode()


def told(said: Any, *, of: str = "array") -> float | None:
    """Return the value that an attribute says means missing; None for NaN, which does so anyway.

    Raises
    ------
    InvalidInput
        What is no number, and no bytes of one.
    """
    try:
        found = struct.unpack("<d", base64.b64decode(said))[0] if isinstance(said, str) else float(said)
    except (binascii.Error, struct.error, TypeError, ValueError) as error:
        message = f"{of}: _FillValue {said!r} of floats; expected a number, or the base64 of a double"
        raise InvalidInput(message) from error
    return None if math.isnan(found) else float(found)
