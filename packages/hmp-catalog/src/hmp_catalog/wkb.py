"""Geometries as bytes and back: ISO well-known binary from and to the mappings of GeoJSON.

Points, lines, polygons, their collections of one kind, and mixed collections, in two or three dimensions. What other
tools write with flags (EWKB: a coordinate system beside each geometry) is read too, and written without them.
Source: OGC Simple Feature Access 06-103r4, section 8; GeoJSON, RFC 7946, section 3.1.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hmp_core.errors import InvalidInput

#: Code of a geometry, and how deep its coordinates are nested: a point is a position, a polygon a list of rings.
KINDS = {
    "Point": (1, 0),
    "LineString": (2, 1),
    "Polygon": (3, 2),
    "MultiPoint": (4, 1),
    "MultiLineString": (5, 2),
    "MultiPolygon": (6, 3),
    "GeometryCollection": (7, -1),
}
_NAMES = {code: name for name, (code, _) in KINDS.items()}
_PART = {"MultiPoint": "Point", "MultiLineString": "LineString", "MultiPolygon": "Polygon"}

_Z, _M = 1000, 2000
_HAS_Z, _HAS_M, _HAS_SRID = 0x80000000, 0x40000000, 0x20000000
_DEEPEST = 32


def encode(geometry: Mapping[str, Any]) -> bytes:
    """Return a geometry of GeoJSON as little-endian ISO WKB.

    Raises
    ------
    InvalidInput
        If it is none: an unknown type, positions of mixed length, coordinates that are not finite numbers.

    Examples
    --------
    >>> encode({"type": "Point", "coordinates": [2.0, 4.0]}).hex()
    '010100000000000000000000400000000000001040'
    """
    try:
        widths = {len(position) for position in positions(geometry)}
        if len(widths) > 1 or not widths <= {2, 3}:
            message = f"a geometry of {geometry.get('type')} has positions of {sorted(widths)} numbers, expected 2 or 3"
            raise InvalidInput(message)
        return _encoded(geometry, widths == {3})
    except (AttributeError, KeyError, LookupError, TypeError, struct.error) as error:
        message = f"{str(geometry)[:80]} is not a geometry of GeoJSON: {type(error).__name__} {error}"
        raise InvalidInput(message) from error


def positions(geometry: Mapping[str, Any]) -> Iterator[Sequence[float]]:
    """Yield every position of a geometry of GeoJSON."""
    name = geometry["type"]
    if name not in KINDS:
        message = f"a geometry is a {name!r}, expected one of {', '.join(KINDS)}"
        raise InvalidInput(message)
    if name == "GeometryCollection":
        for part in geometry["geometries"]:
            yield from positions(part)
        return
    yield from _flat(geometry["coordinates"], KINDS[name][1])


def _flat(coordinates: Any, depth: int) -> Iterator[Sequence[float]]:
    if depth:
        for part in coordinates:
            yield from _flat(part, depth - 1)
    elif len(coordinates):
        if not all(isinstance(number, (int, float)) and math.isfinite(number) for number in coordinates):
            message = f"a position is {list(coordinates)!r:.80}, expected finite numbers"
            raise InvalidInput(message)
        yield coordinates


def _encoded(geometry: Mapping[str, Any], deep: bool) -> bytes:  # noqa: FBT001 - inside, by position
    name = geometry["type"]
    head = struct.pack("<BI", 1, KINDS[name][0] + (_Z if deep else 0))
    if name == "GeometryCollection":
        parts = [_encoded(part, deep) for part in geometry["geometries"]]
    elif name in _PART:
        parts = [_encoded({"type": _PART[name], "coordinates": part}, deep) for part in geometry["coordinates"]]
    else:
        return head + _body(geometry["coordinates"], KINDS[name][1], 3 if deep else 2)
    return head + struct.pack("<I", len(parts)) + b"".join(parts)


def _body(coordinates: Any, depth: int, width: int) -> bytes:
    if depth == 0:  # a point without a position is one of NaN
        return struct.pack(f"<{width}d", *(coordinates or [math.nan] * width))
    if depth == 1:
        numbers = [number for position in coordinates for number in position]
        return struct.pack(f"<I{len(numbers)}d", len(coordinates), *numbers)
    return struct.pack("<I", len(coordinates)) + b"".join(_body(ring, 1, width) for ring in coordinates)


def decode(data: bytes) -> dict[str, Any]:
    """Return the geometry of GeoJSON that WKB (ISO or EWKB, of either byte order) stands for.

    Raises
    ------
    InvalidInput
        If the bytes are no such geometry, or more than one.

    Examples
    --------
    >>> decode(bytes.fromhex("010100000000000000000000400000000000001040"))
    {'type': 'Point', 'coordinates': [2.0, 4.0]}
    """
    try:
        geometry, end = _decoded(bytes(data), 0, 0)
    except (struct.error, LookupError, TypeError) as error:
        message = f"{data[:20]!r}... is not WKB: {error}"
        raise InvalidInput(message) from error
    if end != len(data):
        message = f"{len(data) - end} bytes follow a geometry of WKB; expected one geometry"
        raise InvalidInput(message)
    return geometry


def _decoded(data: bytes, at: int, deep: int) -> tuple[dict[str, Any], int]:
    if deep > _DEEPEST:
        message = f"geometries nested more than {_DEEPEST} deep"
        raise InvalidInput(message)
    order = "<>"[data[at] == 0]
    (code,) = struct.unpack_from(f"{order}I", data, at + 1)
    at += 5 + (4 if code & _HAS_SRID else 0)
    plain = code & 0x0FFFFFFF
    has_z, has_m = bool(code & _HAS_Z) or plain // _Z in {1, 3}, bool(code & _HAS_M) or plain // _M in {1}
    name, width = _NAMES[plain % _Z], 2 + has_z + has_m
    if has_m:
        message = f"a {name} has measures beside its coordinates, which GeoJSON does not know; drop them first"
        raise InvalidInput(message)
    if name not in _PART and name != "GeometryCollection":
        coordinates, at = _read(data, at, order, KINDS[name][1], width)
        return {"type": name, "coordinates": coordinates}, at
    (count,) = struct.unpack_from(f"{order}I", data, at)
    at, parts = at + 4, []
    for _ in range(count):
        part, at = _decoded(data, at, deep + 1)
        parts.append(part)
    if name == "GeometryCollection":
        return {"type": name, "geometries": parts}, at
    return {"type": name, "coordinates": [part["coordinates"] for part in parts]}, at


def _read(data: bytes, at: int, order: str, depth: int, width: int) -> tuple[Any, int]:
    if depth == 0:
        position = list(struct.unpack_from(f"{order}{width}d", data, at))
        return [] if all(math.isnan(number) for number in position) else position, at + 8 * width
    (count,) = struct.unpack_from(f"{order}I", data, at)
    at += 4
    if depth == 1:
        numbers = struct.unpack_from(f"{order}{count * width}d", data, at)
        return [list(numbers[n : n + width]) for n in range(0, len(numbers), width)], at + 8 * len(numbers)
    rings = []
    for _ in range(count):
        ring, at = _read(data, at, order, depth - 1, width)
        rings.append(ring)
    return rings, at
