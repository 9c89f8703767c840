"""What the values of a variable are: their type, to which precision they are meant, between which bounds.

A `DataType` is a declaration and knows no array. ``packing`` tells from it how values become the codes of a store.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from hmp_core.errors import InvalidInput

if TYPE_CHECKING:
    import numpy as np

FLOATS = ("float16", "float32", "float64")
INTEGERS = tuple(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
GEOMETRIES = {"point": "Point", "linestring": "LineString", "polygon": "Polygon"}
_OTHER_NAMES = {"line": "linestring", "str": "string"}

#: Units of datetime64 -> those of CF. UDUNITS has years and months of 365.24 days: such times are kept in days.
TIME_UNITS = {
    "Y": "days", "M": "days", "W": "days", "D": "days", "h": "hours", "m": "minutes", "s": "seconds",
    "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds",
}  # fmt: skip
_DATETIME = re.compile(r"datetime64\[(\w+)\]")

#: With more decimals than these a double has nothing left before the point.
MOST_DECIMALS = 15


@dataclass(frozen=True)
class DataType:
    """A type of values, made by `dtype`; the parameters are described there."""

    name: str
    kind: str
    precision: int | None = None
    min_value: Any = None
    max_value: Any = None
    dtype_encoded: str | None = None
    offset: int | float | None = None
    fillvalue: Any = None
    scale_factor: float | None = None

    @property
    def is_packed(self) -> bool:
        """Whether the store holds codes, that is integers of another meaning than the values."""
        return self.min_value is not None or self.dtype_encoded is not None

    @property
    def unit(self) -> str:
        """The unit of datetimes."""
        found = _DATETIME.fullmatch(self.name)
        if found is None:
            message = f"{self.name} has no unit of time"
            raise InvalidInput(message)
        return found[1]

    @property
    def decoded(self) -> np.dtype[Any]:
        """The NumPy type of the values; objects for text and geometries."""
        import numpy as np

        return np.dtype(object if self.kind in {"string", "geometry"} else self.name)


def dtype(
    name: Any,
    precision: int | None = None,
    min_value: Any = None,
    max_value: Any = None,
    dtype_encoded: Any = None,
    offset: float | None = None,
    fillvalue: Any = None,
    *,
    scale_factor: float | None = None,
) -> DataType:
    """Return a type of values.

    Parameters
    ----------
    name : str, NumPy dtype, Python type or DataType
        ``float16`` to ``float64``, ``int8`` to ``uint64``, ``datetime64[unit]`` (Y to ns), ``bool``, ``string``,
        ``point``, ``linestring`` (``line``) or ``polygon``. A DataType is returned as it is.
    precision : int, optional
        Floats: decimals that are kept. Geometries: decimals of coordinates, else they are kept as they are.
    min_value, max_value : int, float, datetime64 or str, optional
        The least and the greatest value. Floats (with a precision), integers and datetimes are packed into as few
        bytes as these need, and a value beyond them is refused.
    dtype_encoded : str, optional
        An integer type, to say the packing itself: a value is ``code * 10 ** -precision + offset``.
    offset : int or float, optional
        Of that packing; for datetimes in their unit since 1970.
    fillvalue : int, optional
        The code of that packing that means "no value"; 0 if not given. Of integers that are not packed: the value
        that means it; without one they cannot be missing.
    scale_factor : float, optional
        Floats: instead of a precision with dtype_encoded, what a code is multiplied by. Files that others wrote
        are kept so, code for code.

    Raises
    ------
    InvalidInput
        Another type, or parameters that say nothing of it: what is declared is never ignored.

    Examples
    --------
    >>> dtype("float32", precision=2, min_value=-50, max_value=60).is_packed
    True
    >>> dtype("line").name
    'linestring'
    """
    said = {
        "precision": precision,
        "min_value": min_value,
        "max_value": max_value,
        "dtype_encoded": dtype_encoded,
        "offset": offset,
        "fillvalue": fillvalue,
        "scale_factor": scale_factor,
    }
    given = {key: _plain(value) for key, value in said.items() if value is not None}
    if isinstance(name, DataType):
        if given:
            _refuse(name.name, given, "declare all of it at once")
        return name
    found = _name(name)
    kind = _kind(found)
    if dtype_encoded is not None:
        given["dtype_encoded"] = _encoded(found, dtype_encoded)
    _check(found, kind, given)
    return DataType(found, kind, **given)


def declared(of: DataType) -> str:
    """Return a declaration as text, for the attribute ``hmp_dtype``."""
    return json.dumps({key: value for key, value in asdict(of).items() if value is not None and key != "kind"})


def of_array(stored: Any) -> DataType:
    """Return the type of values that are kept as they are: that of a plain array.

    Examples
    --------
    >>> import numpy as np
    >>> of_array(np.array([1.5])).name
    'float64'
    """
    return dtype(stored.dtype if hasattr(stored, "dtype") else stored)


# ── names ────────────────────────────────────────────────────────────────────────────────────────────


def _name(given: Any) -> str:
    text = given if isinstance(given, str) else _of_numpy(given)
    if text in {*FLOATS, *INTEGERS, *GEOMETRIES, "bool", "string"}:
        return text
    unit = _DATETIME.fullmatch(text)
    if unit and unit[1] in TIME_UNITS:
        return text
    if text in _OTHER_NAMES or re.fullmatch(r"[<>|=]?[UT]\d*|StringDType.*", text):
        return _OTHER_NAMES.get(text, "string")
    other = _of_numpy(text) if isinstance(given, str) else text
    if other != text:
        return _name(other)
    message = (
        f"{given!r} is no data type; expected one of {', '.join((*FLOATS, *INTEGERS, 'bool', 'string', *GEOMETRIES))} "
        f"or datetime64[{'|'.join(TIME_UNITS)}]"
    )
    raise InvalidInput(message)


def _of_numpy(given: Any) -> str:
    """Return how NumPy calls a type; what it does not know stays as it is."""
    import numpy as np

    try:
        found = np.dtype(given)
    except TypeError:
        return str(given)
    return "string" if found.kind in "UT" else str(found.newbyteorder("="))


def _kind(name: str) -> str:
    if name in GEOMETRIES:
        return "geometry"
    if name in {"bool", "string"}:
        return name
    return "float" if name in FLOATS else "integer" if name in INTEGERS else "datetime"


def _encoded(name: str, given: Any) -> str:
    found = _of_numpy(given)
    if found not in INTEGERS:
        message = f"{name}: dtype_encoded={given!r}: codes are integers, one of {', '.join(INTEGERS)}"
        raise InvalidInput(message)
    return found


# ── what may be said of which ────────────────────────────────────────────────────────────────────────

_MAY_SAY = {
    "float": {"precision", "min_value", "max_value", "dtype_encoded", "offset", "fillvalue", "scale_factor"},
    "integer": {"min_value", "max_value", "dtype_encoded", "offset", "fillvalue"},
    "datetime": {"min_value", "max_value", "dtype_encoded", "offset", "fillvalue"},
    "geometry": {"precision"},
    "bool": set[str](),
    "string": set[str](),
}


def _plain(value: Any) -> Any:
    """Return a number of NumPy as one of Python, an instant as text."""
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    return value.item() if kind in {"i", "u", "f"} else str(value) if kind == "M" else value


def _check(name: str, kind: str, given: dict[str, Any]) -> None:
    unfit = {key: value for key, value in given.items() if key not in _MAY_SAY[kind]}
    if unfit:
        _refuse(name, unfit, f"it means nothing for {kind} values; leave it out")
    _check_precision(name, given.get("precision"))
    bounds, codes = given.keys() & {"min_value", "max_value"}, given.keys() & {"dtype_encoded", "offset"}
    if bounds and codes:
        _refuse(name, given, "say min_value and max_value, or dtype_encoded and offset, not both")
    if len(bounds) == 1 or len(codes) == 1:
        _refuse(name, given, "min_value goes with max_value, and dtype_encoded with offset")
    if kind == "float" and (bounds or codes) and not given.keys() & {"precision", "scale_factor"}:
        _refuse(name, given, "a float is packed to a precision; say precision= too, or leave these out")
    if "scale_factor" in given:
        _check_scale(name, given, by_hand=bool(codes))
    if "fillvalue" in given:
        _check_fill(name, kind, given, packed_by_hand=bool(codes))


def _check_precision(name: str, precision: Any) -> None:
    if precision is None:
        return
    if not isinstance(precision, int) or isinstance(precision, bool) or not 0 <= precision <= MOST_DECIMALS:
        _refuse(name, {"precision": precision}, f"a number of decimals is an integer of 0 to {MOST_DECIMALS}")


def _check_scale(name: str, given: dict[str, Any], *, by_hand: bool) -> None:
    scale = given["scale_factor"]
    if not by_hand or "precision" in given:
        _refuse(name, given, "scale_factor goes with dtype_encoded and offset, in place of precision")
    if isinstance(scale, bool) or not isinstance(scale, (int, float)) or not math.isfinite(scale) or not scale:
        _refuse(name, {"scale_factor": scale}, "expected a finite number that is not 0")


def _check_fill(name: str, kind: str, given: dict[str, Any], *, packed_by_hand: bool) -> None:
    import numpy as np

    fill = given["fillvalue"]
    if not packed_by_hand and (kind != "integer" or "min_value" in given):
        _refuse(name, {"fillvalue": fill}, "it goes with dtype_encoded, or with integers that are not packed")
    room = np.iinfo(given.get("dtype_encoded", name))
    if not isinstance(fill, int) or isinstance(fill, bool) or not room.min <= fill <= room.max:
        _refuse(name, {"fillvalue": fill}, f"expected an integer of {room.min} to {room.max}")


def _refuse(name: str, said: dict[str, Any], why: str) -> None:
    words = ", ".join(f"{key}={value!r}" for key, value in said.items())
    message = f"{name} with {words}: {why}"
    raise InvalidInput(message)
