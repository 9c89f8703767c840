"""Variables of somebody else, of a netCDF file or of xarray, and how hmp will keep them.

Where the codes of a file can stay what they are, they do: then ``coded`` is true and ``block`` gives codes. Else it
gives values. What cannot be kept is refused by its name.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hmp_catalog.datasets.cells.blocks import Window, slabs
from hmp_catalog.datasets.dtypes import FLOATS, DataType, dtype
from hmp_catalog.datasets.exchange.netcdf import JSON
from hmp_catalog.datasets.values import instants, plans
from hmp_catalog.datasets.values.packing import DECLARED
from hmp_core.errors import InvalidInput

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

    Values = NDArray[Any]
    Turn = Callable[[Values], Values]

#: Attributes that say how codes become values: they are of the packing, and are not passed on.
OF_PACKING = ("_FillValue", "missing_value", "scale_factor", "add_offset", "_Unsigned", DECLARED)

#: Values along a dimension that has no labels yet.
_LABELS = 1024

_FILLS = ("_FillValue", "missing_value")


@dataclass(frozen=True)
class Given:
    """A variable as it will be kept: its type, its attributes, and where its values come from."""

    name: str
    variable: xr.Variable
    dtype: DataType
    attributes: Mapping[str, Any]
    turn: Turn | None = None
    coded: bool = False

    @property
    def chunks(self) -> tuple[int, ...] | None:
        """How a file that hmp wrote is cut, or what has no length yet; None where that is for hmp to choose."""
        sizes = self.variable.shape
        said = self.variable.encoding.get("chunksizes") if DECLARED in self.variable.attrs else None
        if said is None or len(said) != len(sizes):
            return None if all(sizes) else tuple(size or _LABELS for size in sizes)
        return tuple(max(1, min(chunk, size or chunk)) for chunk, size in zip(said, sizes, strict=True))

    @property
    def dims(self) -> tuple[str, ...]:
        """The names of the dimensions."""
        return tuple(str(dim) for dim in self.variable.dims)

    def block(self, window: Window) -> Values:
        """Return the values of a window; the codes if it is ``coded``."""
        found = np.asarray(self.variable[window].values)
        if found.dtype == object and self.variable.dtype.kind in "iufb":
            # xarray takes lists of any length for single numbers
            raise refused(self.name, f"{self.variable.dtype}, lists of any length")
        return found if self.turn is None else self.turn(found)

    def whole(self) -> Values:
        """Return all values."""
        found = self.block(tuple(slice(0, size) for size in self.variable.shape))
        return plans.plan(self.dtype).decode(found) if self.coded else found


# ── of a file ────────────────────────────────────────────────────────────────────────────────────────


def of_file(name: str, variable: xr.Variable) -> Given:
    """Return how a variable of a netCDF file is kept, read as it is stored.

    Raises
    ------
    InvalidInput
        A type or times that are not kept here.
    """
    said = attributes(variable.attrs)
    kind = variable.dtype.kind
    if kind in "SUOT":
        return Given(name, variable, dtype("string"), _without(said), _texts(name, said.get("_FillValue")))
    if kind == "b":
        # xarray takes "dtype" for its own word, also where nothing is decoded
        of = dtype("bool")
        return Given(name, variable, of, _without(said, *plans.plan(of).attributes()))
    if kind not in "iuf":
        raise refused(name, variable.dtype)
    if kind == "i" and str(said.get("_Unsigned", "")).lower() == "true":
        variable, said = _unsigned(variable, said)
    if " since " in str(said.get("units", "")):
        return _times(name, variable, said)
    return _integers(name, variable, said) if kind in "iu" else _floats(name, variable, said)


def attributes(found: Mapping[Any, Any]) -> dict[str, Any]:
    """Return attributes of a netCDF file as plain ones; those that hmp kept as JSON are read."""
    listed = json.loads(str(found.get(JSON, "[]")))
    plain = {str(key): _plain(value) for key, value in found.items() if key != JSON}
    return {key: json.loads(value) if key in listed else value for key, value in plain.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)):
        found = value.tolist()
        return found[0] if isinstance(found, list) and len(found) == 1 else found
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def refused(name: str, kind: Any) -> InvalidInput:
    """Return the error of a variable of a type that hmp does not keep."""
    message = (
        f"{name}: values of type {kind} are not kept; expected numbers, truth, text, datetimes or geometries. "
        f"Leave it out (exclude_data_vars=[{name!r}]), or make it one of these first"
    )
    return InvalidInput(message)


def _without(said: Mapping[str, Any], *more: str) -> dict[str, Any]:
    return {key: value for key, value in said.items() if key not in {*OF_PACKING, *more}}


def _texts(name: str, fill: Any) -> Turn:
    def turn(found: Values) -> Values:
        made = np.empty(found.shape, dtype=object)
        for at, value in enumerate(found.flat):
            made.flat[at] = _text(name, value, fill)
        return made

    return turn


def _text(name: str, value: Any, fill: Any) -> str | None:
    if isinstance(value, bytes):
        try:
            value = value.rstrip(b"\0").decode()
        except UnicodeDecodeError as error:
            message = f"{name}: {value!r} is not text in UTF-8"
            raise InvalidInput(message) from error
    absent = value is None or (isinstance(value, float) and math.isnan(value))
    if absent or (fill is not None and value == fill):
        return None
    if not isinstance(value, str):
        raise refused(name, f"{type(value).__name__} (objects)")
    return str(value)


def _unsigned(variable: xr.Variable, said: Mapping[str, Any]) -> tuple[xr.Variable, dict[str, Any]]:
    """Return integers of netCDF-3, which has signed ones only, as the unsigned ones that are meant."""
    import xarray as xr

    kind = np.dtype(f"u{variable.dtype.itemsize}")
    decoded = xr.conventions.decode_cf_variable("v", xr.Variable(variable.dims, variable._data, {"_Unsigned": "true"}))
    fills = {key: int(np.asarray(said[key]).astype(np.int64)) % 256**kind.itemsize for key in _FILLS if key in said}
    return decoded, {key: value for key, value in said.items() if key != "_Unsigned"} | fills


# ── integers ─────────────────────────────────────────────────────────────────────────────────────────


def _integers(name: str, variable: xr.Variable, said: dict[str, Any]) -> Given:
    stored = str(variable.dtype.newbyteorder("="))
    if DECLARED in said:
        packing = plans.read(stored, said, of=name)
        if packing.attributes().get(DECLARED) == said[DECLARED]:
            own = set(packing.attributes())
            return Given(name, variable, packing.dtype, _without(said, *own), coded=True)
    fill, turn = _fill(stored, said)
    if "scale_factor" not in said and "add_offset" not in said:
        return Given(name, variable, dtype(stored, fillvalue=fill), _without(said), turn, coded=True)
    scale, offset = float(said.get("scale_factor", 1.0)), float(said.get("add_offset", 0.0))
    wide = _decoded(variable)
    free = _unused(variable) if fill is None else fill
    if free is None or np.iinfo(stored).bits > 32 or not scale:
        return Given(name, variable, dtype(wide), _unpacked(said), _scaled(wide, fill, turn, scale, offset))
    of = dtype(wide, dtype_encoded=stored, offset=offset, fillvalue=free, scale_factor=scale)
    return Given(name, variable, of, _without(said), turn, coded=True)


def _fill(stored: str, said: Mapping[str, Any]) -> tuple[int | None, Turn | None]:
    """Return the code that means missing, and what makes it of the others that do."""
    room = np.iinfo(stored)
    codes = [int(value) for value in _fills(said) if _is_code(value, room)]
    if not codes:
        return None, None
    first = codes[0]
    others = [code for code in codes if code != first]
    return first, (lambda found: np.where(np.isin(found, others), found.dtype.type(first), found)) if others else None


def _fills(said: Mapping[str, Any]) -> list[Any]:
    return [value for key in _FILLS if key in said for value in np.ravel(said[key]).tolist()]


def _is_code(value: Any, room: Any) -> bool:
    """Return whether a fill value can be among codes: files say NaN of integers."""
    number = isinstance(value, (int, float)) and math.isfinite(value)
    return number and value == int(value) and room.min <= value <= room.max


def _decoded(variable: xr.Variable) -> str:
    """Return the type of floats that scaled integers are, by the type of the scale (CF 8.1)."""
    kinds = {np.asarray(variable.attrs[key]).dtype for key in ("scale_factor", "add_offset") if key in variable.attrs}
    narrow = variable.dtype.itemsize <= 2 and kinds == {np.dtype("float32")}
    return "float32" if narrow else "float64"


def _unused(variable: xr.Variable) -> int | None:
    """Return a code that a variable does not have, for what is missing; None if it has them all but inner ones."""
    room = np.iinfo(variable.dtype)
    least, greatest = int(room.max), int(room.min)
    window = tuple(slice(0, size) for size in variable.shape)
    unit = variable.encoding.get("chunksizes") or (1,) * variable.ndim
    for part in slabs(window, unit, variable.dtype.itemsize):
        found = np.asarray(variable[part].values)
        least, greatest = min(least, int(found.min())), max(greatest, int(found.max()))
    return int(room.min) if least > room.min else int(room.max) if greatest < room.max else None


def _scaled(wide: str, fill: int | None, turn: Turn | None, scale: float, offset: float) -> Turn:
    def scaled(codes: Values) -> Values:
        known = codes if turn is None else turn(codes)
        found = known.astype(np.float64) * scale + offset
        if fill is not None:
            found[known == fill] = np.nan
        return found.astype(wide)

    return scaled


def _unpacked(said: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of values that were packed: bounds that are told in codes are so of values."""
    scale, offset = float(said.get("scale_factor", 1.0)), float(said.get("add_offset", 0.0))
    found = _without(said)
    for key in ("valid_range", "valid_min", "valid_max"):
        if key in found:
            found[key] = (np.asarray(found[key], dtype=np.float64) * scale + offset).tolist()
    return found


# ── floats ───────────────────────────────────────────────────────────────────────────────────────────


def _floats(name: str, variable: xr.Variable, said: dict[str, Any]) -> Given:
    stored = str(variable.dtype.newbyteorder("="))
    if stored not in FLOATS:
        raise refused(name, stored)
    packing = plans.read(stored, said, of=name)
    scale, offset = float(said.get("scale_factor", 1.0)), float(said.get("add_offset", 0.0))
    fills = [value for value in _fills(said) if not math.isnan(value)]
    if not fills and scale == 1.0 and offset == 0.0:
        own = {DECLARED, "least_significant_digit"} if packing.dtype.precision is not None else set[str]()
        return Given(name, variable, packing.dtype, _without(said, *own), coded=True)
    absent = np.asarray(fills, dtype=stored)
    kinds = [np.asarray(variable.attrs[key]).dtype for key in ("scale_factor", "add_offset") if key in variable.attrs]
    # floats that are scaled are of the wider type of the two, as CF 8.1 has it: they were rounded to the narrower one
    wide = stored if scale == 1.0 and offset == 0.0 else str(np.result_type(stored, *kinds))

    def turn(found: Values) -> Values:
        missing = np.isin(found, absent)
        values = found if scale == 1.0 and offset == 0.0 else (found.astype(np.float64) * scale + offset).astype(wide)
        return np.where(missing, values.dtype.type(np.nan), values)

    return Given(name, variable, dtype(wide), _unpacked(said), turn)


# ── times ────────────────────────────────────────────────────────────────────────────────────────────


def _times(name: str, variable: xr.Variable, said: dict[str, Any]) -> Given:
    units, calendar = str(said["units"]), str(said.get("calendar", "standard"))
    stored = str(variable.dtype.newbyteorder("="))
    kept = _without(said, "units", "calendar", "valid_range")
    if variable.dtype.kind == "f":
        return _by_xarray(name, variable, said, kept)
    if DECLARED in said:
        packing = plans.read(stored, said, of=name)
        if packing.attributes().get(DECLARED) == said[DECLARED]:
            return Given(name, variable, packing.dtype, _without(said, *packing.attributes()), coded=True)
    try:
        unit, start = instants.of_cf(units, calendar, of=name)
    except InvalidInput:
        return _by_xarray(name, variable, said, kept)
    fill, turn = _fill(stored, said)
    free = _unused(variable) if fill is None else fill
    of = dtype(f"datetime64[{unit}]", dtype_encoded=stored, offset=start, fillvalue=free)
    try:
        # refuses counts from before 1678: in those of before 1582 the calendar "standard" is not that of NumPy
        plans.plan(of).attributes()
    except InvalidInput:
        return _by_xarray(name, variable, said, kept)
    if free is None:
        return _by_xarray(name, variable, said, kept)
    return Given(name, variable, of, kept, turn, coded=True)


def _by_xarray(name: str, variable: xr.Variable, said: Mapping[str, Any], kept: Mapping[str, Any]) -> Given:
    """Return times that xarray decodes: fractions of days, months, calendars that go over to the Gregorian one."""
    keys = ("units", "calendar", *_FILLS)
    cf = {key: said[key] for key in keys if key in said}

    def turn(found: Values) -> Values:
        import xarray as xr

        coder = xr.coders.CFDatetimeCoder(time_unit="us")
        plain = xr.Variable([f"d{axis}" for axis in range(found.ndim)], found, cf)
        try:
            made = xr.conventions.decode_cf_variable(name, plain, decode_times=coder).values
        except (ValueError, OverflowError, ImportError) as error:
            message = f"{name}: times in {said['units']!r} ({said.get('calendar', 'standard')}) are not read: {error}"
            raise InvalidInput(message) from error
        if made.dtype.kind != "M":
            message = f"{name}: times of the calendar {said.get('calendar')!r} are no datetimes of NumPy; convert them"
            raise InvalidInput(message)
        return np.asarray(made.astype("datetime64[us]"))

    return Given(name, variable, dtype("datetime64[us]"), kept, turn)


# ── of xarray ────────────────────────────────────────────────────────────────────────────────────────


def of_values(name: str, variable: xr.Variable, of: Any = None) -> Given:
    """Return how decoded values are kept: as ``of`` says, else as they are.

    Raises
    ------
    InvalidInput
        A type that is not kept here.
    """
    kind = variable.dtype.kind
    said = attributes(variable.attrs)
    if of is None and kind not in "iufbMOUT":
        raise refused(name, variable.dtype)
    kept = _without(said, "units", "calendar") if kind == "M" else _without(said)
    if kind in "OUT":
        return Given(name, variable, dtype("string" if of is None else of), kept, _texts(name, None))
    plain = str(variable.dtype.newbyteorder("="))
    return Given(name, variable, dtype(plain if of is None else of), kept)
