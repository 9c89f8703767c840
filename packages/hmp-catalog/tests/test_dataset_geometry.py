"""Geometries as labels: what they refuse, and that they come back from CF containers as they were."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("shapely")

import shapely
import xarray as xr
import zarr

from hmp_catalog.datasets.axes import containers, crs, geometry
from hmp_catalog.datasets.dtypes import dtype
from hmp_core.errors import CorruptError, InvalidInput, NotFound

POINT = dtype("point", precision=3)
LINE = dtype("linestring", precision=3)
POLYGON = dtype("polygon", precision=3)

SQUARE = shapely.box(0, 0, 10, 10)
HOLED = shapely.Polygon(SQUARE.exterior, [shapely.box(1, 1, 2, 2).exterior, shapely.box(4, 4, 6, 6).exterior])
ISLANDS = shapely.MultiPolygon([shapely.box(20, 0, 21, 1), HOLED, shapely.box(30, 0, 31, 1)])
RIVER = shapely.LineString([(0, 0), (1, 1), (2, 0)])
DELTA = shapely.MultiLineString([[(0, 0), (1, 1)], [(0, 0), (1, -1), (2, -1)]])

LABELS = {
    "point": [shapely.Point(1.5, 2), shapely.Point(-3, 0), "POINT (7 8.25)"],
    "linestring": [RIVER, DELTA, "LINESTRING (5 5, 6 6)"],
    "polygon": [SQUARE, HOLED, ISLANDS, "POLYGON ((0 0, 1 0, 0 1, 0 0))"],
}
TYPES = {"point": POINT, "linestring": LINE, "polygon": POLYGON}


def same(found, expected) -> bool:
    return len(found) == len(expected) and bool(
        np.all(shapely.equals_exact(shapely.normalize(found), shapely.normalize(expected)))
    )


def laid_out(name: str, labels, *, axes=None) -> xr.Dataset:
    """Return a data set of xarray with what a store or a file has of a geometry coordinate."""
    found = containers.variables(name, labels, TYPES[labels_type(labels)], {"long_name": "of a test"}, axes)
    each = {key: (made.dims, made.values, dict(made.attributes)) for key, made in found.items()}
    made = xr.Dataset(each)
    made["flow"] = ((name,), np.arange(len(labels)), containers.mentioned(name, TYPES[labels_type(labels)]))
    return made


def labels_type(labels) -> str:
    return {"Point": "point", "LineString": "linestring", "MultiLineString": "linestring"}.get(
        labels[0].geom_type, "polygon"
    )


# ── labels ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("of", "values", "why"),
    [
        (POINT, [SQUARE], r"POLYGON .* at 0 is no label of points; expected a Point"),
        (POINT, [shapely.MultiPoint([(0, 0), (1, 1)])], "no label of points"),
        (LINE, [SQUARE], "no label of linestrings"),
        (LINE, [shapely.LinearRing([(0, 0), (1, 1), (1, 0)])], "no label of linestrings"),
        (POLYGON, [shapely.Point(0, 0)], "no label of polygons"),
        (POLYGON, [SQUARE, shapely.Polygon([(0, 0), (2, 2), (2, 0), (0, 2)])], "at 1 is not valid.*Self-intersection"),
        (POLYGON, [shapely.box(0, 0, 1e-4, 1)], "not valid, kept at 3 decimals"),
        (POINT, [shapely.Point()], "is empty"),
        (POINT, [shapely.Point(1, np.nan)], "is empty|not finite"),
        (POINT, [shapely.Point(1, np.inf)], "not finite"),
        (POINT, [shapely.Point(1, 2, 3)], "has heights"),
        (POINT, [None], "no geometry"),
        (POINT, ["POINT 1"], "not WKT"),
        (POINT, [(1, 2)], "no geometry"),
        (POINT, [shapely.Point(1, 2), shapely.Point(1.0001, 2)], "stands at 0 and again at 1"),
        (LINE, [RIVER, RIVER.reverse()], "stands at 0 and again at 1"),
        (POLYGON, [SQUARE, shapely.box(0, 0, 10, 10, ccw=False)], "stands at 0 and again at 1"),
        (POINT, np.array([[shapely.Point(1, 2)]]), r"shape \(1, 1\)"),
    ],
    ids=str,
)
def test_what_is_no_label_of_its_coordinate_is_refused(of, values, why) -> None:
    with pytest.raises(InvalidInput, match=why):
        geometry.checked(values, of)


def test_geometries_keep_their_order_and_are_kept_at_their_precision() -> None:
    given = np.array([shapely.Point(5, 5), shapely.Point(-0.00001, 1.23456)], dtype=object)
    kept = geometry.checked(given, POINT)
    assert [point.wkt for point in kept] == ["POINT (5 5)", "POINT (0 1.235)"]
    assert not np.signbit(kept[1].x)
    assert given[1].y == 1.23456
    assert geometry.checked(given, dtype("point"))[1].y == 1.23456
    assert [point.wkt for point in geometry.checked("POINT (1 2)", POINT)] == ["POINT (1 2)"]


def test_a_geometry_is_found_wherever_its_ring_begins() -> None:
    labels = geometry.checked(LABELS["polygon"], POLYGON)
    turned = shapely.Polygon([(10, 10), (10, 0), (0, 0.0001), (0, 10)])
    assert geometry.locate(labels, turned, POLYGON) == 0
    assert geometry.locate(labels, [ISLANDS, SQUARE.wkt], POLYGON).tolist() == [2, 0]
    assert geometry.locate(labels, slice(HOLED, ISLANDS), POLYGON) == slice(1, 3)
    assert geometry.locate(labels, slice(None), POLYGON) == slice(0, 4)
    with pytest.raises(NotFound, match="no label POLYGON"):
        geometry.locate(labels, shapely.box(0, 0, 1, 1), POLYGON)
    with pytest.raises(InvalidInput, match="comes after"):
        geometry.locate(labels, slice(ISLANDS, SQUARE), POLYGON)
    with pytest.raises(InvalidInput, match="no geometry"):
        geometry.locate(labels, 3, POLYGON)


def test_coordinates_go_on_at_either_end_and_are_cut() -> None:
    labels = geometry.checked(LABELS["point"], POINT)
    new = [shapely.Point(9, 9), shapely.Point(8, 8)]
    after, before = geometry.appended(labels, new, POINT), geometry.prepended(labels, new, POINT)
    assert same(after.values, [*labels, *new])
    assert (after.old, after.given.tolist(), after.filled) == (slice(0, 3), [3, 4], 0)
    assert same(before.values, [*new, *labels])
    assert (before.old, before.given.tolist()) == (slice(2, 5), [0, 1])
    with pytest.raises(InvalidInput, match="stands at 0 and again at 3"):
        geometry.appended(labels, [labels[0]], POINT)
    with pytest.raises(InvalidInput, match="stands at 0 and again at 1"):
        geometry.appended(labels, [new[0], new[0]], POINT)
    cut = geometry.truncated(labels, POINT, labels[1], None)
    assert (cut.kept, len(cut.values)) == (slice(1, 3), 2)


# ── containers ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", LABELS)
def test_geometries_come_back_from_flat_arrays(kind) -> None:
    labels = geometry.checked(LABELS[kind], TYPES[kind])
    flat = geometry.flattened(labels, TYPES[kind])
    assert np.all(shapely.equals_exact(geometry.gathered(flat), labels))
    none = geometry.gathered(geometry.flattened(labels[:0], TYPES[kind]))
    assert none.shape == (0,)


def test_holes_are_turned_as_cf_wants_them() -> None:
    labels = geometry.checked([shapely.Polygon(SQUARE.exterior.reverse(), [HOLED.interiors[0]])], POLYGON)
    assert labels[0].exterior.is_ccw
    assert not labels[0].interiors[0].is_ccw
    assert geometry.flattened(labels, POLYGON).interior_ring.tolist() == [0, 1]


def test_counts_that_do_not_agree_are_refused() -> None:
    x = np.arange(4.0)
    with pytest.raises(InvalidInput, match="do not agree"):
        geometry.gathered(geometry.Flat("linestring", x, x, np.array([2, 3])))
    with pytest.raises(InvalidInput, match="do not agree"):
        geometry.gathered(geometry.Flat("linestring", x, x, np.array([1, 3]), np.array([2, 2])))
    with pytest.raises(InvalidInput, match="several places"):
        geometry.gathered(geometry.Flat("point", x, x, np.array([1, 3])))


@pytest.mark.parametrize("kind", LABELS)
def test_cf_xarray_reads_the_containers(kind) -> None:
    cf = pytest.importorskip("cf_xarray.geometry")
    labels = geometry.checked(LABELS[kind], TYPES[kind])
    read = cf.decode_geometries(laid_out("place", labels))
    assert same(read["place"].values, labels)
    assert read["place"].dims == read["flow"].dims == ("place",)


@pytest.mark.parametrize("kind", LABELS)
def test_containers_that_cf_xarray_wrote_are_read(kind) -> None:
    cf = pytest.importorskip("cf_xarray.geometry")
    labels = geometry.checked(LABELS[kind], TYPES[kind])
    made = xr.Dataset({"flow": ("place", np.arange(len(labels)))}, {"place": ("place", labels)})
    written = cf.encode_geometries(made)
    said = written["geometry_container"].attrs
    assert containers.mine(said)
    assert containers.coordinate("geometry_container", said) == ("place", dtype(kind))
    assert same(containers.labels("geometry_container", said, lambda key: written[key].values), labels)


@pytest.mark.parametrize("kind", LABELS)
def test_containers_are_kept_in_a_store_that_xarray_opens(kind, tmp_path) -> None:
    group = zarr.open_group(tmp_path, mode="w")
    labels = geometry.checked(LABELS[kind], TYPES[kind])
    said = {"long_name": "place", "geometry_type": "of no effect"}
    system = crs.axes(crs.parsed(2154))
    containers.write(group, "place", containers.variables("place", labels[:1], TYPES[kind], said, system))
    before = dict(group["place_geometry"].attrs)
    containers.write(group, "place", containers.variables("place", labels, TYPES[kind], before))
    assert dict(group["place_geometry"].attrs) == before
    assert same(containers.read(group, "place"), labels)
    assert set(group.array_keys()) == set(containers.members("place", TYPES[kind]))
    with xr.open_zarr(tmp_path, chunks=None, consolidated=False) as plain:
        assert plain["place_geometry"].attrs["long_name"] == "place"
        assert plain["place_x"].attrs["standard_name"] == "projection_x_coordinate"
        assert containers.coordinate("place_geometry", plain["place_geometry"].attrs) == ("place", TYPES[kind])


def test_a_container_of_another_kind_is_refused_by_name() -> None:
    with pytest.raises(InvalidInput, match="rivers: geometry_type 'curve'; expected one of point, line, polygon"):
        containers.coordinate("rivers", {"geometry_type": "curve"})
    with pytest.raises(InvalidInput, match="rivers: node_coordinates='x'"):
        containers.labels("rivers", {"geometry_type": "line", "node_coordinates": "x"}, {}.__getitem__)


# ── coordinate reference systems ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("code", [4326, 2154, 2193, 32631, 27572, 3857, 3035], ids=str)
def test_systems_come_back_from_a_grid_mapping(code) -> None:
    pytest.importorskip("pyproj")
    system = crs.parsed(code)
    said = crs.attributes(system)
    assert crs.of_attributes(said).to_epsg() == code
    assert crs.same(crs.of_attributes(said), system)
    assert crs.axes(system)["x"]["axis"] == "X"
    assert "units" in crs.axes(system)["y"]


def test_a_grid_mapping_without_wkt_is_read_and_what_is_none_is_refused() -> None:
    pytest.importorskip("pyproj")
    said = {key: value for key, value in crs.attributes(crs.parsed(2193)).items() if key != "crs_wkt"}
    assert crs.of_attributes(said).to_cf()["longitude_of_central_meridian"] == 173
    assert crs.of_attributes({"spatial_ref": crs.parsed(2154).to_wkt()}).to_epsg() == 2154
    with pytest.raises(CorruptError, match=r"mapping: its attributes are no grid mapping of CF.*found x"):
        crs.of_attributes({"x": 1}, of="mapping")
    with pytest.raises(InvalidInput, match="crs='EPSG:1': pyproj does not know it"):
        crs.parsed("EPSG:1")
