"""How values of a type are kept: planned from what is declared, or read from what a store says."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

from hmp_catalog.datasets.dtypes import DataType, dtype
from hmp_catalog.datasets.values import instants, marked
from hmp_catalog.datasets.values.floats import Floats
from hmp_catalog.datasets.values.marked import Marked
from hmp_catalog.datasets.values.packing import DECLARED, Datetimes, Integers, Packing, Texts, Truths
from hmp_core.errors import InvalidInput

#: Doubles tell neighbouring integers apart up to here.
_EXACT = 2**53


def plan(of: DataType) -> Packing:
    """Return how values of a type are kept.

    Codes begin at 1 for the least value, in the smallest unsigned integers that hold them all; 0 is "no value". Times
    over more than 292 years are signed counts from 1970 (`instants.may_begin`).

    Raises
    ------
    InvalidInput
        A range that cannot be told apart in doubles, that is empty, or geometries: they are kept as CF containers.

    Examples
    --------
    >>> made = plan(dtype("float32", precision=2, min_value=-50, max_value=100))
    >>> made.stored, made.offset, made.fill
    ('uint16', -50.01, 0)
    >>> made.decode(made.encode([-50.0, 21.337, float("nan")])).tolist()
    [-50.0, 21.34000015258789, nan]
    """
    if of.kind == "geometry":
        message = f"{of.name}: geometries are no codes; they are kept as the coordinates of CF geometry containers"
        raise InvalidInput(message)
    kinds = {"float": _floats, "integer": _integers, "datetime": _datetimes, "bool": _truths, "string": _texts}
    return kinds[of.kind](of)


def _floats(of: DataType) -> Packing:
    if of.dtype_encoded is not None:
        fill, least, greatest = _by_hand(of)
        scale = _step(of.precision or 0) if of.scale_factor is None else float(of.scale_factor)
        return Floats(of, of.dtype_encoded, fill, least, greatest, float(of.offset or 0), scale)
    if of.min_value is None or of.precision is None:
        return Floats(of, of.name, math.nan) if of.fillvalue is None else Marked(of, of.name, of.fillvalue)
    _refuse_beyond(of)
    unit = Decimal(1).scaleb(-of.precision)
    low = int((_exact(of, of.min_value) / unit).to_integral_value(ROUND_FLOOR))
    high = int((_exact(of, of.max_value) / unit).to_integral_value(ROUND_CEILING))
    count = _count(of, low, high)
    if max(count, abs(low), abs(high)) > _EXACT:
        message = (
            f"{of.name}: {of.min_value} to {of.max_value} at {of.precision} decimals: more values than a double tells "
            "apart; take a lower precision, or leave the range out"
        )
        raise InvalidInput(message)
    return Floats(of, _width(count), 0, 1, count, float((low - 1) * unit), _step(of.precision))


def _integers(of: DataType) -> Packing:
    import numpy as np

    if of.dtype_encoded is not None:
        fill, low, high = _by_hand(of)
        room, start = np.iinfo(of.name), int(of.offset or 0)
        low, high = max(low, int(room.min) - start), min(high, int(room.max) - start)
        return Integers(of, of.dtype_encoded, fill, low, high, start)
    room = np.iinfo(of.name)
    if of.min_value is None:
        return Integers(of, of.name, of.fillvalue, int(room.min), int(room.max))
    low, high = _whole(of, of.min_value), _whole(of, of.max_value)
    if low < room.min or high > room.max:
        message = f"{of.name}: {low} to {high} is more than it reaches: {room.min} to {room.max}"
        raise InvalidInput(message)
    count = _count(of, low, high)
    return Integers(of, _width(count), 0, 1, count, low - 1)


def _datetimes(of: DataType) -> Packing:
    least = -(2**63)
    if of.dtype_encoded is not None:
        fill, low, high = _by_hand(of)
        return Datetimes(of, of.dtype_encoded, fill, low, high, _whole(of, of.offset))
    if of.min_value is None:
        return Datetimes(of, "int64", least, least + 1, 2**63 - 1)
    low, high = (instants.counted_one(value, of.unit) for value in (of.min_value, of.max_value))
    count = _count(of, low, high)
    if instants.may_begin(low - 1, high, of.unit):
        return Datetimes(of, _width(count), 0, 1, count, low - 1)
    bits = next(bits for bits in (16, 32, 64) if max(-low, high) < 2 ** (bits - 1))
    return Datetimes(of, f"int{bits}", -(2 ** (bits - 1)), low, high)


def _truths(of: DataType) -> Packing:
    return Truths(of, "int8", None)


def _texts(of: DataType) -> Packing:
    return Texts(of, "string", "")


def _by_hand(of: DataType) -> tuple[int, int, int]:
    """Return the fill, the least and the greatest code of a packing that was said itself."""
    import numpy as np

    room = np.iinfo(str(of.dtype_encoded))
    fill = 0 if of.fillvalue is None else int(of.fillvalue)
    low, high = int(room.min), int(room.max)
    if max(abs(low), high) > _EXACT and of.kind == "float":
        low, high = max(low, -_EXACT), _EXACT
    return fill, low + (fill == low), high - (fill == high)


def _refuse_beyond(of: DataType) -> None:
    """Refuse a range whose ends would come back infinite: float16 ends at 65504."""
    import numpy as np

    room = float(np.finfo(of.name).max)
    if max(abs(_exact(of, of.min_value)), abs(_exact(of, of.max_value))) > room:
        message = f"{of.name}: {of.min_value} to {of.max_value} is more than it reaches: {-room} to {room}"
        raise InvalidInput(message)


def _step(precision: int) -> float:
    return float(f"1e-{precision}")


def _exact(of: DataType, bound: Any) -> Decimal:
    if isinstance(bound, (int, float)) and not isinstance(bound, bool) and math.isfinite(bound):
        return Decimal(repr(bound))
    message = f"{of.name}: bound {bound!r}: expected a finite number"
    raise InvalidInput(message)


def _whole(of: DataType, bound: Any) -> int:
    if _exact(of, bound) == int(bound):
        return int(bound)
    message = f"{of.name}: {bound!r}: expected a whole number"
    raise InvalidInput(message)


def _count(of: DataType, low: int, high: int) -> int:
    count = high - low + 1
    if 1 <= count < 2**64:
        return count
    message = f"{of.name}: {of.min_value} to {of.max_value}: expected the least value before the greatest"
    if count > 1:
        message = f"{of.name}: {of.min_value} to {of.max_value}: no code is left for what is missing"
    raise InvalidInput(message)


def _width(highest: int) -> str:
    return next(f"uint{bits}" for bits in (8, 16, 32, 64) if highest < 2**bits)


# ── what a store says ────────────────────────────────────────────────────────────────────────────────


def read(stored: str, attributes: Mapping[str, Any], *, of: str = "array") -> Packing:
    """Return how the codes of an array are read, whoever wrote it.

    Parameters
    ----------
    stored : str
        The type of the codes.
    attributes : mapping
        Those of the array, of CF and `DECLARED`.

    Raises
    ------
    InvalidInput
        A type or times that are not understood here.
    """
    made = _as_declared(attributes)
    if made is not None and made.stored == stored and _agree(made.attributes(), attributes):
        return made
    plain = dtype(stored)
    fill = attributes.get("_FillValue", attributes.get("missing_value"))
    if plain.kind == "integer":
        return _foreign(plain, attributes, fill, of)
    mark = marked.told(fill, of=of) if plain.kind == "float" and fill is not None else None
    return plan(plain if mark is None else replace(plain, fillvalue=mark))


def _as_declared(attributes: Mapping[str, Any]) -> Packing | None:
    """Return the packing of a declaration; None where there is none that is understood: then CF counts."""
    try:
        return plan(dtype(**json.loads(attributes[DECLARED])))
    except (KeyError, TypeError, ValueError):
        return None


def _agree(made: Mapping[str, Any], found: Mapping[str, Any]) -> bool:
    """Return whether the attributes mean what was declared; a coordinate has no ``_FillValue``."""
    telling = ("scale_factor", "add_offset", "units", "calendar", "dtype", "_FillValue", "missing_value")
    said = {key: found[key] for key in telling if key in found and key in made}
    return {key for key in made if key in telling} - said.keys() <= {"_FillValue"} and all(
        made[key] == value for key, value in said.items()
    )


def _foreign(plain: DataType, attributes: Mapping[str, Any], fill: Any, of: str) -> Packing:
    """Return how integers that others wrote are read: what CF says of them, and nothing more."""
    import numpy as np

    room = np.iinfo(plain.name)
    units = str(attributes.get("units", ""))
    code = None if fill is None else int(fill)
    if attributes.get("dtype") == "bool":
        return Truths(dtype("bool"), plain.name, None)
    if " since " in units:
        unit, start = instants.of_cf(units, str(attributes.get("calendar", "standard")), of=of)
        kept = DataType(f"datetime64[{unit}]", "datetime", dtype_encoded=plain.name, offset=start, fillvalue=code)
        return Datetimes(kept, plain.name, int(room.min) if code is None else code, int(room.min), int(room.max), start)
    if "scale_factor" not in attributes and "add_offset" not in attributes:
        return plan(dtype(plain.name, fillvalue=code))
    scale, added = float(attributes.get("scale_factor", 1)), float(attributes.get("add_offset", 0))
    said: dict[str, Any] = {"dtype_encoded": plain.name, "offset": added, "fillvalue": code, "scale_factor": scale}
    kept = DataType("float64", "float", **said)
    return Floats(kept, plain.name, code, int(room.min), int(room.max), added, scale)
