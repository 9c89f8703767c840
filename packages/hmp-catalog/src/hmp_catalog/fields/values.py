"""What a caller hands over as a field or a coordinate, made ready to be kept.

Arrays of NumPy, masked arrays, ``xarray.DataArray`` and anything that slices like an array are read slab by
slab. What a solver writes for "no value here" becomes NaN; integers stay the integers they are.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from hmp_catalog.fields import schema
from hmp_core.errors import InvalidInput

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Values = NDArray[Any]

#: What solvers write where they have no value, whatever the caller adds: MODFLOW 6 and most of its kin write
#: 1e30 into inactive and -1e30 into dry cells.
SENTINELS = (1e30, -1e30)

_NUMBERS = "biuf"


@dataclass(frozen=True, slots=True)
class Coordinate:
    """A coordinate: its dimensions, its values (numbers or text), its attributes."""

    dims: tuple[str, ...]
    values: Values
    attributes: dict[str, Any]

    def same_as(self, other: Coordinate) -> bool:
        """Return whether both say the same of the same dimensions."""
        equal = self.values.shape == other.values.shape and bool((self.values == other.values).all())
        return self.dims == other.dims and equal and self.attributes == other.attributes


@dataclass(frozen=True)
class Field:
    """A field as the caller gave it, before a store has looked at it."""

    name: str
    array: Any
    dims: tuple[str, ...]
    time: Any = None
    coords: Mapping[str, Any] = field(default_factory=dict)
    units: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    missing: tuple[float, ...] = ()

    @property
    def along(self) -> int | None:
        """The position of the time axis among the dimensions, if there is one."""
        found = [position for position, dim in enumerate(self.dims) if schema.is_time(dim)]
        return found[0] if found else None

    @property
    def by_steps(self) -> int | None:
        """The position of the axis along which it is read and cut: that of time, or of steps that are only counted."""
        counted = [position for position, dim in enumerate(self.dims) if schema.is_counted(dim)]
        return self.along if self.along is not None or not counted else counted[0]

    @property
    def dtype(self) -> np.dtype[Any]:
        """The little-endian type the values are kept in: the caller's own."""
        return kept_dtype(self.array, self.name)


def given_field(name: str, array: Any, dims: Sequence[str] | None, **said: Any) -> Field:
    """Return the field that a caller describes; a DataArray describes most of itself.

    Raises
    ------
    InvalidInput
        A bad name, a dimension named twice, two time axes, or another number of dimensions than the array's.
    """
    schema.check_name(name, "field")
    found = _from_xarray(name, array, dims, said) if hasattr(array, "dims") else _described(name, array, dims, said)
    for dim in found.dims:
        schema.check_name(dim, "dimension")
    if len(set(found.dims)) < len(found.dims) or sum(map(schema.is_time, found.dims)) > 1:
        message = f"{name}: dimensions {found.dims}: each may stand once, and only one may be a time axis"
        raise InvalidInput(message)
    if found.time is not None and found.along is None:
        message = f"{name}: has times but no time dimension among {found.dims}; name one 'time'"
        raise InvalidInput(message)
    return found


def _described(name: str, array: Any, dims: Sequence[str] | None, said: Mapping[str, Any]) -> Field:
    import numpy as np

    if not (hasattr(array, "shape") and hasattr(array, "dtype")):
        try:
            array = np.asanyarray(array)
        except ValueError as error:
            message = f"{name}: not an array: {error}"
            raise InvalidInput(message) from error
    known = {key: value for key, value in said.items() if value is not None}
    return Field(name, array, tuple(schema.DEFAULT_DIMS if dims is None else dims), **known)


def _from_xarray(name: str, array: Any, dims: Sequence[str] | None, said: Mapping[str, Any]) -> Field:
    """Take from a DataArray what the caller did not say; other attributes stay, the encoding does not."""
    plain = _described(name, array, array.dims if dims is None else dims, said)
    attributes = {k: v for k, v in array.attrs.items() if k not in schema.RESERVED_ATTRIBUTES}
    units = attributes.pop("units", None)
    own = {key: value for key, value in array.coords.items() if not _is_time_axis(key) and value.ndim}
    times = next((array.coords[dim] for dim in array.dims if _is_time_axis(dim) and dim in array.coords), None)
    return replace(
        plain,
        time=plain.time if plain.time is not None else times,
        coords=plain.coords or {str(key): value for key, value in own.items()},
        units=plain.units if plain.units is not None else units,
        attributes=attributes | dict(plain.attributes),
    )


def _is_time_axis(dim: Hashable) -> bool:
    return isinstance(dim, str) and schema.is_time(dim)


# ── values ───────────────────────────────────────────────────────────────────────────────────────────


def kept_dtype(array: Any, name: str) -> np.dtype[Any]:
    """Return the little-endian type of an array's values.

    Raises
    ------
    InvalidInput
        Values that are neither numbers of at most 8 bytes nor true and false.
    """
    import numpy as np

    dtype = np.dtype(array.dtype)
    if dtype.kind in _NUMBERS and dtype.itemsize <= 8:
        little: np.dtype[Any] = dtype.newbyteorder("<")
        return little
    message = f"{name}: values of type {dtype}: a field holds floats, integers or true and false; convert them first"
    raise InvalidInput(message)


def slab(field: Field, start: int, stop: int, dtype: np.dtype[Any], *, kept: bool = True) -> Values:
    """Return the steps ``start`` to ``stop`` (everything, where there are none) as they are kept.

    They are a copy, unless nobody keeps them longer than the caller keeps the array (``kept=False``) and nothing in
    them has to be changed.

    Raises
    ------
    InvalidInput
        Masked or missing integers: they have no NaN.
    """
    import numpy as np

    index = tuple(slice(start, stop) if d == field.by_steps else slice(None) for d in range(len(field.dims)))
    part = np.ma.asanyarray(field.array[index] if index else field.array)
    mask = np.ma.getmaskarray(part) if np.ma.is_masked(part) else None
    given = np.ma.getdata(part)
    values = np.array(given, dtype=dtype) if kept or mask is not None else np.asarray(given, dtype=dtype)
    if dtype.kind != "f":
        if mask is not None or field.missing:
            message = (
                f"{field.name}: {dtype} has no NaN for values that are missing; convert to float, or fill them "
                "with a number and say which in the attributes"
            )
            raise InvalidInput(message)
        return values
    if mask is not None:
        values[mask] = np.nan
    return _without(values, _sentinels(field.missing, dtype), ours=not np.may_share_memory(values, given))


#: What is compared at a time stays in the cache of a core.
_BLOCK = 1 << 16


def _without(values: Values, marks: set[Any], *, ours: bool) -> Values:
    """Return the values with NaN for marks: the same where there is none, a copy where they are not ours to change."""
    import numpy as np

    rows = np.atleast_1d(values)
    size = max(1, _BLOCK // max(1, rows[:1].size))
    for start in range(0, len(rows), size):
        for mark in marks:
            found = rows[start : start + size] == mark
            if found.any():
                if not ours:
                    return _without(values.copy(), marks, ours=True)
                rows[start : start + size][found] = np.nan
    return values


def _sentinels(missing: Sequence[float], dtype: np.dtype[Any]) -> set[Any]:
    """Return the marks as they look in ``dtype``, also where single precision rounded them on the way."""
    import numpy as np

    with np.errstate(over="ignore"):
        exact = [dtype.type(value) for value in (*SENTINELS, *missing)]
        rounded = [dtype.type(np.float32(value)) for value in (*SENTINELS, *missing)]
    return {mark for mark in exact + rounded if np.isfinite(mark)}


# ── coordinates ──────────────────────────────────────────────────────────────────────────────────────


def coordinate(name: str, given: Any, field: Field) -> Coordinate:
    """Return a coordinate from 1-D values, ``(dims, values)``, ``(dims, values, attributes)`` or a DataArray.

    Raises
    ------
    InvalidInput
        A bad name, dimensions that the field does not have, or values that cannot be coordinates.
    """
    import numpy as np

    schema.check_name(name, "coordinate")
    dims, raw, attributes = _parts(name, given)
    index = dims == (name,)
    if any(map(schema.is_time, (name, *dims))):
        message = (
            f"{field.name}: coordinate {name!r} along {dims}: times are given as time=; write what else varies in "
            "time as a field, or drop it (DataArray.drop_vars)"
        )
        raise InvalidInput(message)
    if not set(dims) <= set(field.dims):
        message = (
            f"{field.name}: coordinate {name!r} along {dims} does not fit the dimensions {field.dims}; for another "
            f"coordinate of a dimension write {{{name!r}: ({field.dims[-1]!r}, values)}}"
        )
        raise InvalidInput(message)
    values = _coordinate_values(name, raw)
    if values.ndim != len(dims) or (index and values.dtype.kind == "f" and not np.isfinite(values).all()):
        message = f"coordinate {name!r}: shape {values.shape} along {dims}: expected finite values, one dimension each"
        raise InvalidInput(message)
    text = values.dtype.kind == "U"
    return Coordinate(dims, values, schema.coordinate_attributes(name, attributes, index=index, text=text))


def _parts(name: str, given: Any) -> tuple[tuple[str, ...], Any, Mapping[str, Any]]:
    if hasattr(given, "dims"):
        kept = {k: v for k, v in given.attrs.items() if k not in schema.RESERVED_ATTRIBUTES}
        return tuple(given.dims), given.values, kept
    if isinstance(given, tuple) and len(given) in {2, 3} and not isinstance(given[1], (str, int, float)):
        dims = (given[0],) if isinstance(given[0], str) else tuple(given[0])
        return dims, given[1], given[2] if len(given) == 3 else {}
    return (name,), given, {}


def _coordinate_values(name: str, raw: Any) -> Values:
    import numpy as np

    values = np.asarray(raw)
    if values.size and values.dtype.kind in "OT" and all(isinstance(value, str) for value in values.flat):
        values = values.astype("U")
    if values.dtype.kind == "U" and values.size and (values.ndim != 1 or len(set(values.tolist())) < values.size):
        message = f"coordinate {name!r}: labels stand in one dimension, each once; got {values.tolist()}"
        raise InvalidInput(message)
    if values.size and values.dtype.kind in _NUMBERS + "U" and (values.dtype.kind == "U" or values.dtype.itemsize <= 8):
        return values if values.dtype.kind == "U" else values.astype(values.dtype.newbyteorder("<"))
    message = f"coordinate {name!r}: {values.size} values of type {values.dtype}; expected numbers or text"
    raise InvalidInput(message)
