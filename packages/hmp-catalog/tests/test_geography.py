"""The geography of a run: stations in the mesh, figures of the catchment, layers that GIS software opens."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import hmp_catalog
from hmp_catalog import wkb
from hmp_catalog.geography import collection
from hmp_core.errors import CorruptError, InvalidInput, PathNotFound

OUTLINE = {"type": "Polygon", "coordinates": [[[0.0, 0.0], [4.0, 0.0], [4.0, 3.0], [0.0, 0.0]]]}
RIVERS = {
    "type": "FeatureCollection",
    "features": [
        {
            "type": "Feature",
            "geometry": {"type": "LineString", "coordinates": [[0.0, 1.0], [2.0, 3.0]]},
            "properties": {"name": "Aare", "order": 3},
        },
        {"type": "Feature", "geometry": None, "properties": {"name": "nowhere"}},
    ],
}


def _geo(run: hmp_catalog.Run, name: str) -> dict[str, Any]:
    metadata = pq.read_schema(run.folder / "geography" / f"{name}.parquet").metadata
    return json.loads(metadata[b"geo"])


def test_what_was_said_comes_back(cat: hmp_catalog.SimulationCatalog) -> None:
    with cat.record("gr4j", crs="EPSG:2154") as rec:
        rec.geographic_metadata("area", 2945.0, "km2")
        rec.geographic_metadata("gauges", np.int64(3))
        rec.geographic_metadata("karst", True)
        rec.geographic_metadata("land use", "forest")
        rec.observation_point("H1", 600000.0, 200000, cell=17, layer=2)
    run = cat[rec.sim_id]
    assert run.geographic() == {"area": 2945.0, "gauges": 3, "karst": True, "land use": "forest"}
    rows = cat.sql("SELECT key, value, value_type, unit FROM geographic_metadata ORDER BY key").to_pylist()
    assert [tuple(row.values()) for row in rows] == [
        ("area", "2945.0", "double", "km2"),
        ("gauges", "3", "int", None),
        ("karst", "true", "bool", None),
        ("land use", "forest", "string", None),
    ]
    (point,) = cat.sql("SELECT * EXCLUDE (sim_id, _stamp) FROM observation_points").to_pylist()
    assert list(point.values()) == ["H1", 600000.0, 200000.0, 17, 2, "EPSG:2154", 2154]


def test_features_are_geoparquet(cat: hmp_catalog.SimulationCatalog) -> None:
    with cat.record("gr4j", crs="EPSG:2154") as rec:
        rec.geographic_feature("catchment", OUTLINE)
        rec.geographic_feature("rivers", RIVERS, crs=4326)
    run = cat[rec.sim_id]
    assert collection(run.feature("rivers"))["features"] == [
        RIVERS["features"][0],
        {"type": "Feature", "geometry": None, "properties": {"name": "nowhere", "order": None}},
    ]
    geo = _geo(run, "rivers")
    assert geo["version"] == "1.1.0"
    assert geo["columns"][geo["primary_column"]] == {
        "encoding": "WKB",
        "geometry_types": ["LineString"],
        "bbox": [0.0, 1.0, 2.0, 3.0],
    }
    assert _geo(run, "catchment")["columns"]["geometry"]["crs"] is None
    rows = cat.sql("SELECT * EXCLUDE (sim_id, _stamp) FROM geographic_features ORDER BY 1").to_pylist()
    assert [row["geometry_kind"] for row in rows] == ["polygon", "linestring"]
    assert [row["crs_wkt"] for row in rows] == ["EPSG:2154", "EPSG:4326"]
    assert json.loads(rows[1]["properties"])["rows"] == 2
    assert rows[0]["geoparquet_path"] == "geography/catchment.parquet"


def test_the_files_are_of_the_manifest_and_apart_from_tables(cat: hmp_catalog.SimulationCatalog) -> None:
    with cat.record("gr4j") as rec:
        rec.geographic_feature("budget", OUTLINE)
        rec.table("budget", {"volume": [1.0]})
    run = cat[rec.sim_id]
    for said in run.files():
        assert hashlib.sha256((run.folder / said["path"]).read_bytes()).hexdigest() == said["sha256"]
    views = cat.sql("SELECT view_name FROM parquet_files ORDER BY 1")["view_name"].to_pylist()
    assert views == ["budget", "geography/budget"]
    assert run.table("budget").column_names == ["volume"]


def test_a_table_with_wkb_is_a_layer(cat: hmp_catalog.SimulationCatalog) -> None:
    points = [{"type": "Point", "coordinates": [1.0, 2.0, 3.0]}, {"type": "Point", "coordinates": [5.0, 6.0, 7.0]}]
    big = wkb.encode(points[1])
    table = pa.table({"geometry": [wkb.encode(points[0]), big], "depth": [10.0, 20.0]})
    with cat.record("gr4j") as rec:
        rec.geographic_feature("wells", table)
    run = cat[rec.sim_id]
    assert [one["geometry"] for one in collection(run.feature("wells"))["features"]] == points
    assert _geo(run, "wells")["columns"]["geometry"]["geometry_types"] == ["Point Z"]


class _Frame:
    """What is used of a GeoDataFrame, for where geopandas is not installed."""

    def __init__(self) -> None:
        import pandas as pd

        self._frame = pd.DataFrame({"name": ["a"]})
        self.columns = ["name", "geometry"]
        self.geometry = self
        self.name = "geometry"
        self.crs = _Crs()

    def to_wkb(self) -> list[bytes]:
        return [wkb.encode({"type": "Point", "coordinates": [1.0, 2.0]})]

    def drop(self, *, columns: str) -> Any:
        assert columns == "geometry"
        return self._frame


class _Crs:
    def to_wkt(self) -> str:
        return 'PROJCRS["Lambert-93"]'

    def to_epsg(self) -> int:
        return 2154

    def to_json(self) -> str:
        return '{"type": "ProjectedCRS", "name": "Lambert-93"}'


def test_a_geodataframe_brings_its_coordinate_system(cat: hmp_catalog.SimulationCatalog) -> None:
    with cat.record("gr4j", crs="EPSG:4326") as rec:
        rec.geographic_feature("wells", _Frame())
    run = cat[rec.sim_id]
    assert run.feature("wells")["name"].to_pylist() == ["a"]
    assert _geo(run, "wells")["columns"]["geometry"]["crs"]["name"] == "Lambert-93"
    (row,) = run.geography["features"]
    assert (row["crs"], row["crs_epsg"]) == ('PROJCRS["Lambert-93"]', 2154)


@pytest.mark.parametrize(
    ("name", "features", "crs", "why"),
    [
        ("Rivers", OUTLINE, None, "lower-case letters"),
        ("../x", OUTLINE, None, "lower-case letters"),
        ("x", 17, None, "expected a GeoDataFrame"),
        ("x", {"type": "FeatureCollection", "features": []}, None, "at least one"),
        ("x", {"type": "Circle"}, None, "expected one of Point"),
        ("x", pa.table({"geometry": ["POINT (1 2)"]}), None, "with WKB"),
        ("x", pa.table({"geometry": [b"123"]}), None, "not WKB"),
        ("x", OUTLINE, 3, "EPSG code"),
        ("x", [RIVERS, {"type": "Feature", "geometry": OUTLINE, "properties": {"order": "big"}}], None, "one kind"),
    ],
)
def test_what_is_no_layer_leaves_nothing(
    common: hmp_catalog.SimulationCatalog, name: str, features: Any, crs: Any, why: str
) -> None:
    with common.record("gr4j") as rec:
        with pytest.raises(InvalidInput, match=why):
            rec.geographic_feature(name, features, crs=crs)
        assert not (rec.folder / "geography").exists()


@pytest.mark.parametrize("value", [None, [1], float("nan") * 1j])
def test_a_figure_is_one_value(common: hmp_catalog.SimulationCatalog, value: Any) -> None:
    with common.record("gr4j") as rec, pytest.raises(InvalidInput):
        rec.geographic_metadata("area", value)


def test_a_point_has_finite_coordinates_and_known_words(common: hmp_catalog.SimulationCatalog) -> None:
    with common.record("gr4j") as rec:
        for x, where in ((float("nan"), {}), (1.0, {"cell": 1.5}), (1.0, {"row": 1})):
            with pytest.raises(InvalidInput):
                rec.observation_point("H1", x, 2.0, **where)


def test_a_missing_or_damaged_layer_is_named(cat: hmp_catalog.SimulationCatalog) -> None:
    with cat.record("gr4j") as rec:
        rec.geographic_feature("rivers", RIVERS)
    run = cat[rec.sim_id]
    with pytest.raises(PathNotFound, match="it left feature"):
        run.feature("lakes")
    (run.folder / "geography" / "rivers.parquet").write_bytes(b"PAR1")
    with pytest.raises(CorruptError, match="restore it"):
        run.feature("rivers")


# ── what the fields tell ─────────────────────────────────────────────────────────────────────────────


def _columns(cat: hmp_catalog.SimulationCatalog, sim_id: str) -> dict[str, Any]:
    names = "n_cells, n_layers, n_timesteps, mesh_hash, zarr_path, time_unit, crs_epsg, geographic_fingerprint"
    return cat.sql(f"SELECT {names} FROM simulations WHERE sim_id = $1", [sim_id]).to_pylist()[0]


def _fields(cat: hmp_catalog.SimulationCatalog, *, width: float = 1.0, days: int = 3) -> dict[str, Any]:
    with cat.record("modflow6", crs="EPSG:2154") as rec:
        coords = {"x": np.arange(4) * width, "y": np.arange(2) * 1.0}
        time = np.arange("2001-01-01", days, dtype="datetime64[D]")
        rec.field("head", np.zeros((days, 5, 2, 4)), dims=("time", "layer", "y", "x"), time=time, coords=coords)
    return _columns(cat, rec.sim_id)


def test_the_fields_tell_the_size_of_the_model(cat: hmp_catalog.SimulationCatalog) -> None:
    found = _fields(cat)
    assert [found[name] for name in ("n_cells", "n_layers", "n_timesteps")] == [8, 5, 3]
    assert (found["zarr_path"], found["time_unit"], found["crs_epsg"]) == ("fields.zarr", "day", 2154)


def test_runs_on_the_same_mesh_have_the_same_hash(cat: hmp_catalog.SimulationCatalog) -> None:
    one, longer, wider = _fields(cat), _fields(cat, days=9), _fields(cat, width=2.0)
    assert len(one["mesh_hash"]) == 64
    assert one["mesh_hash"] == longer["mesh_hash"] != wider["mesh_hash"]
    assert one["geographic_fingerprint"] == longer["geographic_fingerprint"] != wider["geographic_fingerprint"]


def test_a_run_without_fields_has_no_size(cat: hmp_catalog.SimulationCatalog, record: Any) -> None:
    assert set(_columns(cat, record(cat).sim_id).values()) == {None}


def test_a_rebuild_tells_the_same(cat: hmp_catalog.SimulationCatalog, contents: Any) -> None:
    with cat.record("gr4j", bbox=(0, 0, 4, 3)) as rec:
        rec.geographic_metadata("area", 2945.0, "km2")
        rec.observation_point("H1", 1.0, 2.0, cell=3)
        rec.geographic_feature("rivers", RIVERS)
    _fields(cat)
    len(cat)
    before = contents(cat.path)
    for table in ("geographic_metadata", "observation_points", "geographic_features"):
        assert before[table]
    assert not cat.rebuild()
    assert contents(cat.path) == before


def test_a_layer_of_a_run_that_died_is_no_layer(cat: hmp_catalog.SimulationCatalog) -> None:
    recorder = cat.record("gr4j")
    recorder.geographic_feature("rivers", RIVERS)
    assert Path(recorder.folder / "geography" / "rivers.parquet").is_file()
    with pytest.raises(PathNotFound):
        _ = hmp_catalog.Run(cat, recorder.sim_id).geography
