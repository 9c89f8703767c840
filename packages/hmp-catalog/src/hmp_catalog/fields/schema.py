"""What a field store looks like, as plain data: names, CF attributes, chunks and shards.

Nothing here touches a file. Sources: CF conventions 1.11 (attributes, time, coordinates), the CF standard
name table (names and their canonical units), ACDD 1.3 (attributes of the store), Zarr core specification
v3 (metadata, chunk keys).
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from hmp_core.errors import InvalidInput

SCHEMA_VERSION = 1
CONVENTIONS = "CF-1.11, ACDD-1.3"
#: What a store with a mesh adds to them.
MESH_CONVENTIONS = f"{CONVENTIONS}, UGRID-1.0"

#: Between the numbers of a chunk in the name of its file: with "/" each dimension would be a folder.
SEPARATOR = "."

#: A chunk is what one read decodes, a shard is what one file holds; bytes before compression.
CHUNK_BYTES = 1 << 20
SHARD_BYTES = 64 << 20

DEFAULT_DIMS = ("time", "layer", "y", "x")

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")

#: Written by this room alone: a caller's value would change what the numbers mean.
RESERVED_ATTRIBUTES = frozenset(
    {"_FillValue", "missing_value", "scale_factor", "add_offset", "_Unsigned", "coordinates", "dtype", "calendar"}
)
RESERVED_ROOT_ATTRIBUTES = frozenset({"Conventions", "hmp_schema_version", "title", "id"})

#: xarray takes a variable in "days" for a duration and decodes it away from numbers; the symbols of UDUNITS
#: mean the same and stay numbers.
_DURATIONS = {
    "days": "d", "hours": "h", "minutes": "min", "seconds": "s",
    "milliseconds": "ms", "microseconds": "us", "nanoseconds": "ns",
}  # fmt: skip

# ── what is known of variables ───────────────────────────────────────────────────────────────────────

_LENGTH = frozenset({"m", "cm", "mm"})
_LENGTH_RATE = frozenset(
    f"{a}{b}" for a in ("m", "mm") for b in (" s-1", " h-1", " d-1", " day-1", "/s", "/h", "/d", "/day")
)
_MASS = frozenset({"kg m-2"})
_MASS_RATE = frozenset({"kg m-2 s-1", "kg m-2 d-1", "kg/m2/s"})
_VOLUME_RATE = frozenset({"m3 s-1", "m3/s", "m^3/s", "l s-1", "L s-1", "m3 d-1", "m3 day-1", "m3/d", "m3/day"})
_TEMPERATURE = frozenset({"K", "degC", "celsius", "Celsius", "degree_Celsius"})
_FRACTION = frozenset({"1", "%"})


@dataclass(frozen=True, slots=True)
class Quantity:
    """What is known of a variable before it is written.

    ``units`` is what is assumed when the caller says none; None where usage differs (a recharge may be in
    m d-1 or mm d-1), for a wrong unit is worse than no unit. ``standard_names`` pairs the units with the CF
    standard name of that kind of quantity: "precipitation" in mm d-1 and in kg m-2 s-1 bear different names.
    """

    long_name: str
    units: str | None = None
    standard_names: tuple[tuple[frozenset[str], str], ...] = ()


#: CF has no standard name for hydraulic head, recharge or drawdown: they carry a long name and units.
VARIABLES: Mapping[str, Quantity] = MappingProxyType(
    {
        "head": Quantity("hydraulic head", "m"),
        "drawdown": Quantity("drawdown of the hydraulic head", "m"),
        "water_table": Quantity("elevation of the water table", "m"),
        "water_table_depth": Quantity("depth of the water table", "m", ((_LENGTH, "water_table_depth"),)),
        "recharge": Quantity("groundwater recharge"),
        "discharge": Quantity(
            "river discharge", "m3 s-1", ((_VOLUME_RATE, "water_volume_transport_in_river_channel"),)
        ),
        "runoff": Quantity("runoff", None, ((_MASS_RATE, "runoff_flux"), (_MASS, "runoff_amount"))),
        "surface_runoff": Quantity("surface runoff", None, ((_MASS_RATE, "surface_runoff_flux"),)),
        "baseflow": Quantity("baseflow", None, ((_MASS_RATE, "subsurface_runoff_flux"),)),
        "precipitation": Quantity(
            "precipitation",
            None,
            (
                (_LENGTH_RATE, "lwe_precipitation_rate"),
                (_LENGTH, "lwe_thickness_of_precipitation_amount"),
                (_MASS_RATE, "precipitation_flux"),
                (_MASS, "precipitation_amount"),
            ),
        ),
        "evapotranspiration": Quantity(
            "actual evapotranspiration", None, ((_MASS_RATE, "water_evapotranspiration_flux"),)
        ),
        "potential_evapotranspiration": Quantity(
            "potential evapotranspiration",
            None,
            ((_MASS_RATE, "water_potential_evaporation_flux"), (_MASS, "water_potential_evaporation_amount")),
        ),
        "temperature": Quantity("air temperature", None, ((_TEMPERATURE, "air_temperature"),)),
        "soil_moisture": Quantity(
            "soil moisture",
            None,
            ((_FRACTION, "volume_fraction_of_condensed_water_in_soil"), (_MASS, "mass_content_of_water_in_soil")),
        ),
        "snow": Quantity(
            "snow water equivalent",
            None,
            ((_LENGTH, "lwe_thickness_of_surface_snow_amount"), (_MASS, "surface_snow_amount")),
        ),
        "topography": Quantity("elevation of the ground", "m", ((_LENGTH, "surface_altitude"),)),
    }
)

#: Attributes of coordinates by name; what the caller says of them comes on top.
COORDINATES: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "x": {"standard_name": "projection_x_coordinate", "long_name": "easting", "units": "m", "axis": "X"},
        "y": {"standard_name": "projection_y_coordinate", "long_name": "northing", "units": "m", "axis": "Y"},
        "lon": {"standard_name": "longitude", "long_name": "longitude", "units": "degrees_east", "axis": "X"},
        "lat": {"standard_name": "latitude", "long_name": "latitude", "units": "degrees_north", "axis": "Y"},
        "longitude": {"standard_name": "longitude", "long_name": "longitude", "units": "degrees_east", "axis": "X"},
        "latitude": {"standard_name": "latitude", "long_name": "latitude", "units": "degrees_north", "axis": "Y"},
        "z": {"standard_name": "altitude", "long_name": "elevation", "units": "m", "axis": "Z", "positive": "up"},
        "depth": {"standard_name": "depth", "long_name": "depth", "units": "m", "axis": "Z", "positive": "down"},
        "layer": {"standard_name": "model_level_number", "long_name": "model layer", "units": "1", "axis": "Z",
                  "positive": "down"},
        "cell": {"long_name": "cell number", "units": "1"},
        "station": {"long_name": "station", "cf_role": "timeseries_id"},
    }
)  # fmt: skip


def is_time(dim: str) -> bool:
    """Return whether a dimension is a time axis: ``time``, or another named ``time_...``."""
    return dim == "time" or dim.startswith("time_")


def is_counted(dim: str) -> bool:
    """Return whether a dimension counts steps of which nobody knows when they are: ``step``, or ``step_...``."""
    return dim == "step" or dim.startswith("step_")


def check_name(name: str, what: str) -> str:
    """Return ``name`` if a variable or dimension may be called so.

    Raises
    ------
    InvalidInput
        Not an ASCII letter followed by letters, digits and underscores, or longer than 64.
    """
    if isinstance(name, str) and _NAME.fullmatch(name):
        return name
    message = f"{name!r} cannot name a {what}: expected a letter, then letters, digits or _, at most 64 in all"
    raise InvalidInput(message)


def variable_attributes(name: str, units: str | None, attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the attributes of a field: what is known of its name, its units, what the caller says.

    Examples
    --------
    >>> variable_attributes("discharge", None, None)["standard_name"]
    'water_volume_transport_in_river_channel'
    >>> variable_attributes("recharge", "m d-1", {"comment": "from the soil model"})
    {'long_name': 'groundwater recharge', 'units': 'm d-1', 'comment': 'from the soil model'}
    """
    given = plain_attributes(attributes, RESERVED_ATTRIBUTES, name)
    known = VARIABLES.get(name)
    found: dict[str, Any] = {"long_name": known.long_name if known else name.replace("_", " ")}
    said = units if units is not None else given.get("units", known.units if known else None)
    if said is not None:
        found["units"] = said = _DURATIONS.get(said, said)
        given.pop("units", None)
        standard = next((name for group, name in known.standard_names if said in group), None) if known else None
        found |= {} if standard is None else {"standard_name": standard}
    return found | given


def coordinate_attributes(name: str, attributes: Mapping[str, Any], *, index: bool, text: bool) -> dict[str, Any]:
    """Return the attributes of a coordinate: what is known of its name, and what the caller says on top.

    Only a coordinate that is the index of its dimension is an axis. Labels have no units, and in units of the
    caller's own the known standard name may no longer be true (``x`` in degrees is not projected).
    """
    given = plain_attributes(attributes, RESERVED_ATTRIBUTES, name)
    known = dict(COORDINATES.get(name, {"long_name": name.replace("_", " ")}))
    untrue = set() if index else {"axis"}
    if text:
        untrue |= {"units", "standard_name", "axis", "positive"}
    if given.get("units", known.get("units")) != known.get("units"):
        untrue |= {"standard_name"}
    return {key: value for key, value in known.items() if key not in untrue} | given


def plain_attributes(attributes: Mapping[str, Any] | None, reserved: frozenset[str], of: str) -> dict[str, Any]:
    """Return attributes as JSON can keep them.

    Raises
    ------
    InvalidInput
        A reserved name, a name that is not text, or a value that JSON cannot keep (NaN included).
    """
    given = dict(attributes or {})
    for name in given:
        if not isinstance(name, str) or name in reserved:
            message = f"attribute {name!r} of {of} is set by the store itself or not a name; leave it out"
            raise InvalidInput(message)
    return {name: _plain(value, f"attribute {name} of {of}") for name, value in given.items()}


def _plain(value: Any, where: str) -> Any:
    if hasattr(value, "tolist"):
        # NumPy scalars and arrays
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [_plain(item, where) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(item, where) for key, item in value.items()}
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if value is None or isinstance(value, (str, bool, int)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    message = f"{where}: {value!r} cannot be kept; expected text, finite numbers, dates, or lists of them"
    raise InvalidInput(message)


# ── chunks and shards ────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Layout:
    """How an array is cut: ``chunks`` is what one read decodes, ``file`` is what one file holds."""

    chunks: tuple[int, ...]
    file: tuple[int, ...]

    @property
    def shards(self) -> tuple[int, ...] | None:
        """The shape of a shard; None where one chunk is the whole file."""
        return None if self.file == self.chunks else self.file


def layout(shape: Sequence[int], itemsize: int, along: int | None) -> Layout:
    """Return how to cut an array whose time axis, if any, is ``along``.

    Files are cut along time first, so that a field that grows step by step fills one after another; within a
    file the chunks are cut so that a map and a series at a point touch about as many of them. Beyond the
    first file the answer does not depend on the number of steps.

    Examples
    --------
    >>> layout((365, 60, 55), 4, along=0)
    Layout(chunks=(92, 30, 55), file=(368, 60, 55))
    """
    part = list(shape)
    if along is not None:
        step = math.prod(shape) // shape[along] * itemsize
        part[along] = min(shape[along], max(1, SHARD_BYTES // step))
    part = _cut(part, itemsize, SHARD_BYTES, None)
    chunks = _cut(part, itemsize, CHUNK_BYTES, along)
    return Layout(tuple(chunks), tuple(c * -(-n // c) for n, c in zip(part, chunks, strict=True)))


def steps_per_file(step_shape: Sequence[int], itemsize: int) -> int:
    """Return how many steps of a growing field fill a file."""
    return layout((SHARD_BYTES, *step_shape), itemsize, along=0).file[0]


def _cut(shape: Sequence[int], itemsize: int, most: int, along: int | None) -> list[int]:
    pieces = [1] * len(shape)
    while True:
        part = [-(-n // p) for n, p in zip(shape, pieces, strict=True)]
        if math.prod(part) * itemsize <= most:
            return part
        space = [d for d, n in enumerate(part) if n > 1 and d != along]
        across = math.prod(p for d, p in enumerate(pieces) if d != along)
        by_time = along is not None and part[along] > 1 and (not space or pieces[along] <= across)
        longest = along if by_time and along is not None else max(space, key=lambda d: part[d])
        pieces[longest] *= 2


# ── what the metadata promises ───────────────────────────────────────────────────────────────────────


def chunk_files(name: str, document: Mapping[str, Any]) -> Iterator[str]:
    """Return the file of every chunk or shard that an array's ``zarr.json`` promises, relative to the store."""
    shape = document["shape"]
    file = document["chunk_grid"]["configuration"]["chunk_shape"]
    between = document.get("chunk_key_encoding", {}).get("configuration", {}).get("separator", "/")
    counts = (range(-(-n // f)) for n, f in zip(shape, file, strict=True))
    for index in itertools.product(*counts):
        yield f"{name}/{between.join(('c', *map(str, index)))}"


def coordinate_names(documents: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """Return the arrays that are coordinates: named as a dimension, or listed as auxiliary by a field."""
    dims = {dim for document in documents.values() for dim in document["dimension_names"]}
    listed = (document["attributes"].get("coordinates", "") for document in documents.values())
    return (dims & documents.keys()) | {name for text in listed for name in text.split()}
