"""Meshes and projections: what UGRID and CF want said is said, and plain xarray reads it without hmp."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hmp_catalog.fields import SimulationZarr, mapping, schema
from hmp_core.errors import InvalidInput
from hmp_core.identity import sha256_tree

DAYS = np.arange("2001-01-01", "2001-12-31", dtype="datetime64[D]")
#: Two squares and a triangle: nodes (x, y), and the corners of each cell.
NODES = ([0.0, 1.0, 2.0, 0.0, 1.0, 2.0, 3.0], [0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0])
CELLS = [[0, 1, 4, 3], [1, 2, 5, 4], [2, 6, 5]]
LAMBERT = (
    'PROJCS["RGF93 / Lambert-93",GEOGCS["RGF93",DATUM["RGF93",SPHEROID["GRS 1980",6378137,298.257222101]],'
    'PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433]],PROJECTION["Lambert_Conformal_Conic_2SP"],'
    'PARAMETER["standard_parallel_1",49],PARAMETER["standard_parallel_2",44],PARAMETER["latitude_of_origin",46.5],'
    'PARAMETER["central_meridian",3],PARAMETER["false_easting",700000],PARAMETER["false_northing",6600000],'
    'UNIT["metre",1]]'
)


@pytest.fixture
def store(tmp_path: Path) -> SimulationZarr:
    return SimulationZarr.create(tmp_path / "fields.zarr", title="Base", run_id="1", crs=LAMBERT)


def without_hmp(code: str, path: Path) -> dict:
    """Run code in a process that has no hmp, and return what it prints as JSON."""
    hidden = """
        import sys
        class Hidden:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] in {"hmp_catalog", "hmp_core", "hydromodpy"}:
                    raise ModuleNotFoundError(name)
        sys.meta_path.insert(0, Hidden())
        import json, numpy as np, xarray as xr
        found = xr.open_zarr(sys.argv[1])
    """
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(hidden) + textwrap.dedent(code), str(path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_layered_mesh_is_read_without_hmp(store: SimulationZarr) -> None:
    store.write_mesh(NODES, CELLS)
    heads = np.arange(3 * 2 * 3, dtype="f4").reshape(3, 2, 3)
    heads[1, 0, 2] = 1e30
    store.write_field("head", heads, dims=("time", "layer", "cell"), time=DAYS[:3], coords={"layer": [1, 2]})
    store.finalize()
    said = without_hmp(
        """
        head = found["head"]
        topology = found[head.attrs["mesh"]].attrs
        nodes = found[topology["face_node_connectivity"]]
        print(json.dumps({
            "conventions": found.attrs["Conventions"],
            "topology": topology,
            "location": head.attrs["location"],
            "units": head.attrs["units"],
            "times": [str(t) for t in head["time"].values.astype("datetime64[D]")],
            "layers": head["layer"].values.tolist(),
            "gone": bool(np.isnan(head.values[1, 0, 2])),
            "value": float(head.sel(time="2001-01-03").values[1, 0]),
            "corners": np.nan_to_num(nodes.values, nan=-9).tolist(),
            "start": nodes.attrs["start_index"],
            "fill": nodes.encoding["_FillValue"],
            "centres": [found[n].values.tolist() for n in topology["face_coordinates"].split()],
            "where": sorted(map(str, head.coords)),
            "mapping": {k: v for k, v in found[head.attrs["grid_mapping"]].attrs.items() if "wkt" not in k},
        }, default=str))
        """,
        store.path,
    )
    assert said["conventions"] == "CF-1.11, ACDD-1.3, UGRID-1.0"
    assert said["topology"] == {
        "cf_role": "mesh_topology", "long_name": "topology of mesh", "topology_dimension": 2,
        "node_coordinates": "mesh_node_x mesh_node_y", "face_dimension": "cell",
        "face_node_connectivity": "mesh_face_nodes", "face_coordinates": "mesh_face_x mesh_face_y",
    }  # fmt: skip
    assert (said["location"], said["units"], said["layers"]) == ("face", "m", [1, 2])
    assert said["times"] == ["2001-01-01", "2001-01-02", "2001-01-03"]
    assert (said["gone"], said["value"]) == (True, 15.0)
    assert said["corners"] == [[0, 1, 4, 3], [1, 2, 5, 4], [2, 6, 5, -9]]
    assert (int(said["start"]), int(said["fill"])) == (0, -1)
    assert np.allclose(said["centres"], [[0.5, 1.5, 7 / 3], [0.5, 0.5, 1 / 3]])
    assert said["where"] == ["layer", "mesh_face_x", "mesh_face_y", "time"]
    assert said["mapping"]["grid_mapping_name"] == "lambert_conformal_conic"
    assert said["mapping"]["standard_parallel"] == [49.0, 44.0]


def test_what_describes_a_mesh_is_no_field(store: SimulationZarr) -> None:
    store.write_mesh(NODES, CELLS)
    store.write_field("head", [1.0, 2.0, 3.0], dims=("cell",))
    store.finalize()
    assert store.fields() == ["head"]
    store.verify()


def test_volumes_are_a_mesh_of_three_dimensions(store: SimulationZarr) -> None:
    corner = ([0.0, 1.0, 0.0, 0.0, 1.0], [0.0, 0.0, 1.0, 0.0, 1.0], [0.0, 0.0, 0.0, 1.0, 1.0])
    store.write_mesh(corner, [[1, 2, 3, 4], [2, 3, 4, 5]], start_index=1, dim="node_cell")
    store.write_field("head", [1.0, 2.0], dims=("node_cell",))
    store.finalize()
    found = store.dataset()
    assert found["mesh"].attrs["topology_dimension"] == 3
    assert found["mesh"].attrs["volume_node_connectivity"] == "mesh_volume_nodes"
    assert found["mesh_volume_nodes"].values.tolist() == [[0, 1, 2, 3], [1, 2, 3, 4]]
    assert found["head"].attrs["location"] == "volume"
    assert found["mesh_volume_z"].values.tolist() == [0.25, 0.5]


def test_each_cell_dimension_has_its_own_mesh(store: SimulationZarr) -> None:
    store.write_mesh(NODES, CELLS)
    store.write_mesh(NODES, CELLS[:2], name="coarse", dim="coarse_cell")
    store.write_field("head", [1.0, 2.0, 3.0], dims=("cell",))
    store.write_field("recharge", [1.0, 2.0], dims=("coarse_cell",))
    store.finalize()
    found = store.dataset()
    assert [found[name].attrs["mesh"] for name in ("head", "recharge")] == ["mesh", "coarse"]


@pytest.mark.parametrize(
    ("nodes", "cells", "says"),
    [
        (NODES, [[0, 1, 7]], "cell 0 has a corner that is no node: there are 7, numbered from 0"),
        (NODES, [[0, 1, 4], [0, 1, -1]], "cell 1 has 2 corners, expected 3"),
        (NODES, [], "no node"),
        (NODES, [[0, 1.5, 4]], "whole numbers"),
        (([0.0, 1.0], [0.0]), CELLS, "as many of each"),
        (([0.0, np.nan, 1.0], [0.0, 1.0, 1.0]), [[0, 1, 2]], "finite"),
    ],
)
def test_what_is_no_mesh_is_refused(store: SimulationZarr, nodes, cells, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        store.write_mesh(nodes, cells)
    store.write_field("head", [1.0], dims=("cell",))
    store.finalize()
    assert store.fields() == ["head"]


def test_cells_and_fields_must_be_as_many(store: SimulationZarr) -> None:
    store.write_field("head", [1.0, 2.0], dims=("cell",))
    with pytest.raises(InvalidInput, match="3 along 'cell': 2 in this store"):
        store.write_mesh(NODES, CELLS)


def test_a_mesh_takes_no_name_of_a_field(store: SimulationZarr) -> None:
    store.write_field("mesh_node_x", [1.0, 2.0], dims=("other",))
    with pytest.raises(InvalidInput, match="mesh_node_x"):
        store.write_mesh(NODES, CELLS)
    store.write_mesh(NODES, CELLS, name="grid")
    with pytest.raises(InvalidInput, match="grid_face_nodes"):
        store.write_field("grid_face_nodes", [1.0], dims=("other_one",))


@pytest.mark.parametrize(
    ("crs", "said"),
    [
        (LAMBERT, {"grid_mapping_name": "lambert_conformal_conic", "longitude_of_central_meridian": 3.0}),
        ("EPSG:2154", {"epsg_code": "EPSG:2154"}),
        ("epsg:4326", {"grid_mapping_name": "latitude_longitude"}),
        ('GEOGCRS["WGS 84",DATUM["WGS 84",ELLIPSOID["WGS 84",6378137,298.257223563]]]',
         {"grid_mapping_name": "latitude_longitude", "semi_major_axis": 6378137.0}),
        ('PROJCRS["UTM 32N",CONVERSION["x",METHOD["Transverse Mercator"],PARAMETER["Latitude of natural origin",0],'
         'PARAMETER["Longitude of natural origin",9],PARAMETER["Scale factor at natural origin",0.9996],'
         'PARAMETER["False easting",500000],PARAMETER["False northing",0]]]',
         {"grid_mapping_name": "transverse_mercator", "longitude_of_central_meridian": 9.0,
          "scale_factor_at_central_meridian": 0.9996, "false_easting": 500000.0, "false_northing": 0.0,
          "latitude_of_projection_origin": 0.0}),
        ("the grid of the mill", {"comment": "the grid of the mill"}),
    ],
)  # fmt: skip
def test_a_reference_system_becomes_a_grid_mapping(crs: str, said: dict) -> None:
    found = mapping.grid_mapping(crs).attributes
    assert {key: found.get(key) for key in said} == said
    assert ("crs_wkt" in found) is crs.startswith(("PROJ", "GEOG"))


def test_only_what_lies_in_space_has_a_grid_mapping(store: SimulationZarr) -> None:
    store.write_field("top", np.ones((2, 3)), dims=("y", "x"), coords={"y": [1.0, 0.0], "x": [0.0, 1.0, 2.0]})
    store.write_field("flow", [1.0, 2.0], dims=("gauge",))
    store.finalize()
    documents = json.loads((store.path / "zarr.json").read_text())["consolidated_metadata"]["metadata"]
    assert [documents[name]["attributes"].get("grid_mapping") for name in ("top", "flow")] == ["crs", None]


# ── written in several calls ─────────────────────────────────────────────────────────────────────────


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=st.lists(st.integers(1, 20), min_size=1, max_size=6), width=st.sampled_from([1, 40, 400]))
def test_written_in_several_calls_or_in_one_the_bytes_are_the_same(tmp_path_factory, parts, width) -> None:
    folder = tmp_path_factory.mktemp("runs")
    values = np.random.default_rng(7).normal(size=(sum(parts), width))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schema, "SHARD_BYTES", 2048)
        patch.setattr(schema, "CHUNK_BYTES", 512)
        whole = SimulationZarr.create(folder / "whole.zarr", title="Base", run_id="1")
        whole.write_field("head", values, dims=("time", "cell"), time=DAYS[: len(values)])
        whole.finalize()
        parted = SimulationZarr.create(folder / "parted.zarr", title="Base", run_id="1")
        start = 0
        for steps in parts:
            stop = start + steps
            parted.write_field("head", values[start:stop], dims=("time", "cell"), time=DAYS[start:stop])
            start = stop
        parted.finalize()
    assert np.array_equal(parted.read_field("head"), values)
    assert sha256_tree(parted.path) == sha256_tree(whole.path)


def test_the_same_steps_again_are_refused(store: SimulationZarr) -> None:
    store.write_field("head", np.zeros((3, 2)), dims=("time", "cell"), time=DAYS[:3])
    with pytest.raises(InvalidInput, match="step 3 is 2001-01-01"):
        store.write_field("head", np.zeros((3, 2)), dims=("time", "cell"), time=DAYS[:3])
    store.finalize()
    assert len(store.time()) == 3


def test_a_field_that_another_one_closed_may_go_on_beyond_it(store: SimulationZarr) -> None:
    store.write_field("head", np.zeros((3, 2)), dims=("time", "cell"), time=DAYS[:3])
    store.write_field("recharge", np.zeros((3, 2)), dims=("time", "cell"))
    store.write_field("head", np.ones((2, 2)), dims=("time", "cell"), time=DAYS[3:5])
    store.finalize()
    assert store.read_field("head")[:, 0].tolist() == [0, 0, 0, 1, 1]
    assert {name: store.dataset()[name].dims[0] for name in store.fields()} == {
        "head": "time",
        "recharge": "time_recharge",
    }


def test_the_marks_of_a_solver_become_nan(store: SimulationZarr) -> None:
    values = np.array([[1e30, -1e30, 1e20, -999.99, 5.0]], dtype="f4")
    store.write_field("head", values, dims=("time", "cell"), time=DAYS[:1], missing=(1e20, -999.99))
    store.finalize()
    assert np.isnan(store.read_field("head")).tolist() == [[True, True, True, True, False]]
