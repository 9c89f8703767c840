"""The scale and offset with which integers of a width span a range: for packing with other tools.

Data sets themselves pack by precision (`plans`): values of two decimals are then told back as exactly these.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from hmp_core.errors import InvalidInput

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

#: Beyond this many bits, doubles do not tell neighbouring codes apart.
_MOST_BITS = 32


def compute_scale_and_offset(min_value: float, max_value: float, dtype: DTypeLike) -> tuple[float, float]:
    """Return ``scale_factor`` and ``add_offset`` of CF, so that ``code * scale + offset`` spans a range.

    One code is left for missing values: 0 of unsigned integers, the lowest of signed ones.

    Parameters
    ----------
    min_value, max_value : float
        The range.
    dtype : dtype_like
        Integers of 8, 16 or 32 bits.

    Returns
    -------
    tuple of float
        The scale and the offset, in the units of the range.

    Raises
    ------
    InvalidInput
        A range that is empty or not finite, or another type.

    Examples
    --------
    >>> scale, offset = compute_scale_and_offset(-50, 100, "uint16")
    >>> round((-50 - offset) / scale), round((100 - offset) / scale)
    (1, 65535)
    """
    kind = np.dtype(dtype)
    if kind.kind not in "iu" or kind.itemsize * 8 > _MOST_BITS:
        message = f"dtype={kind}; expected integers of 8, 16 or 32 bits, signed or not"
        raise InvalidInput(message)
    low, high = float(min_value), float(max_value)
    if not (math.isfinite(high - low) and low < high):
        message = f"{min_value!r} to {max_value!r}; expected finite bounds, the least value before the greatest"
        raise InvalidInput(message)
    room = np.iinfo(kind)
    first, last = int(room.min) + 1, int(room.max)
    scale = (high - low) / (last - first)
    offset = (low + high) / 2 if kind.kind == "i" else low - scale
    return scale, offset
