"""Geometries as WKB and back, held to bytes that other tools write."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hmp_catalog import wkb
from hmp_core.errors import InvalidInput

#: As PostGIS writes them: SELECT ST_AsBinary(...), ST_AsEWKB(...).
KNOWN = [
    ("0101000000000000000000f03f0000000000000040", {"type": "Point", "coordinates": [1.0, 2.0]}),
    ("00000000013ff00000000000004000000000000000", {"type": "Point", "coordinates": [1.0, 2.0]}),
    ("0101000020e6100000000000000000f03f0000000000000040", {"type": "Point", "coordinates": [1.0, 2.0]}),
    ("01e9030000000000000000f03f00000000000000400000000000000840", {"type": "Point", "coordinates": [1.0, 2.0, 3.0]}),
    ("0101000080000000000000f03f00000000000000400000000000000840", {"type": "Point", "coordinates": [1.0, 2.0, 3.0]}),
    (
        "010200000002000000000000000000f03f000000000000004000000000000008400000000000001040",
        {"type": "LineString", "coordinates": [[1.0, 2.0], [3.0, 4.0]]},
    ),
    (
        "0104000000010000000101000000000000000000f03f0000000000000040",
        {"type": "MultiPoint", "coordinates": [[1.0, 2.0]]},
    ),
]


@pytest.mark.parametrize(("data", "geometry"), KNOWN)
def test_what_others_write_is_read(data: str, geometry: dict[str, Any]) -> None:
    assert wkb.decode(bytes.fromhex(data)) == geometry


@pytest.mark.parametrize("number", [0, 3, 5, 6])
def test_what_we_write_is_iso_wkb(number: int) -> None:
    data, geometry = KNOWN[number]
    assert wkb.encode(geometry).hex() == data


def _geometries() -> st.SearchStrategy[dict[str, Any]]:
    number = st.floats(allow_nan=False, allow_infinity=False)

    def of(width: int) -> st.SearchStrategy[dict[str, Any]]:
        position = st.lists(number, min_size=width, max_size=width)
        line, ring = st.lists(position, min_size=1, max_size=4), st.lists(position, min_size=4, max_size=5)
        polygon = st.lists(ring, min_size=1, max_size=2)
        shapes = {
            "Point": position,
            "LineString": line,
            "Polygon": polygon,
            "MultiPoint": line,
            "MultiLineString": st.lists(line, min_size=1, max_size=3),
            "MultiPolygon": st.lists(polygon, min_size=1, max_size=3),
        }
        single = st.one_of(
            *(st.fixed_dictionaries({"type": st.just(name), "coordinates": c}) for name, c in shapes.items())
        )
        many = st.fixed_dictionaries(
            {"type": st.just("GeometryCollection"), "geometries": st.lists(single, min_size=1, max_size=3)}
        )
        return single | many

    return of(2) | of(3)


@given(_geometries())
def test_every_geometry_comes_back(geometry: dict[str, Any]) -> None:
    assert wkb.decode(wkb.encode(geometry)) == geometry


@given(st.binary(max_size=60))
def test_bytes_that_are_no_geometry_are_refused(data: bytes) -> None:
    try:
        found = wkb.decode(data)
    except InvalidInput:
        return
    assert found["type"] in wkb.KINDS


@pytest.mark.parametrize(
    "geometry",
    [
        {},
        {"type": "Circle", "coordinates": [1, 2]},
        {"type": "Point", "coordinates": [1.0]},
        {"type": "Point", "coordinates": ["1", "2"]},
        {"type": "Point", "coordinates": [1.0, float("nan")]},
        {"type": "LineString", "coordinates": [[1.0, 2.0], [1.0, 2.0, 3.0]]},
        {"type": "Polygon", "coordinates": [1.0, 2.0]},
        {"type": "GeometryCollection"},
    ],
    ids=str,
)
def test_what_is_no_geometry_is_refused(geometry: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        wkb.encode(geometry)


def test_what_follows_a_geometry_and_measures_are_refused() -> None:
    point = wkb.encode({"type": "Point", "coordinates": [1.0, 2.0]})
    with pytest.raises(InvalidInput, match="1 bytes follow"):
        wkb.decode(point + b"\0")
    with pytest.raises(InvalidInput, match="measures"):
        wkb.decode(struct.pack("<BI3d", 1, 2001, 1.0, 2.0, 3.0))


def test_an_endless_nest_is_refused() -> None:
    with pytest.raises(InvalidInput, match="nested"):
        wkb.decode(struct.pack("<BII", 1, 7, 1) * 100)


def test_an_empty_point_is_one() -> None:
    assert wkb.decode(wkb.encode({"type": "Point", "coordinates": []})) == {"type": "Point", "coordinates": []}
