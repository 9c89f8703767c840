"""The fields of a run are a data set too: what `SimulationZarr` wrote is read, cut, exported and copied as one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from hmp_catalog.datasets import open_dataset
from hmp_catalog.fields import SimulationZarr

pyproj = pytest.importorskip("pyproj", reason="pyproj is not installed: the extra [datasets]")

DAYS = np.arange("2001-01-01", "2001-02-10", dtype="datetime64[D]")
HEAD = np.arange(40 * 2 * 3 * 4, dtype="f4").reshape(40, 2, 3, 4)
X, Y = np.arange(4) * 50.0, np.arange(3) * 50.0
LAMBERT = pyproj.CRS("EPSG:2154").to_wkt("WKT1_GDAL")


def made(path: Path, crs: str | None = "EPSG:2154") -> Path:
    store = SimulationZarr.create(path, title="Base run", run_id="1", crs=crs)
    heads = HEAD.copy()
    heads[3, 1, 2, 3] = 1e30
    store.write_field(
        "head", heads, dims=("time", "layer", "y", "x"), time=DAYS, coords={"layer": [1, 2], "x": X, "y": Y}
    )
    store.write_field("flow", HEAD[:, 0, 0], dims=("time", "station"), coords={"station": ["a", "b", "c", "d"]})
    store.finalize()
    return path


def test_values_and_labels_are_those_of_the_run(tmp_path: Path) -> None:
    with open_dataset(made(tmp_path / "fields.zarr")) as ds:
        assert ds.data_var_names == ("flow", "head")
        assert ds.coord_names == ("layer", "station", "time", "x", "y")
        found = ds["head"].loc["2001-01-04":"2001-01-05", 2, 100.0, 150.0].values
        assert np.isnan(found[0])
        assert found[1] == HEAD[4, 1, 2, 3]
        assert np.array_equal(ds["flow"].loc[:, "c"].values, HEAD[:, 0, 0, 2])
        assert np.array_equal(ds["time"].values.astype("datetime64[D]"), DAYS)


def test_it_says_what_xarray_says(tmp_path: Path) -> None:
    path = made(tmp_path / "fields.zarr")
    with open_dataset(path) as ds, xr.open_zarr(path, chunks=None) as theirs:
        assert np.array_equal(ds["head"].values, theirs["head"].values, equal_nan=True)
        assert ds["head"].units == theirs["head"].attrs["units"]


@pytest.mark.parametrize("crs", ["EPSG:2154", LAMBERT], ids=["code", "wkt"])
def test_the_reference_system_is_that_of_the_run(tmp_path: Path, crs: str) -> None:
    with open_dataset(made(tmp_path / "fields.zarr", crs)) as ds:
        assert ds.crs is not None
        assert ds.crs.to_epsg(min_confidence=20) == 2154


def test_without_one_there_is_none(tmp_path: Path) -> None:
    with open_dataset(made(tmp_path / "fields.zarr", None)) as ds:
        assert ds.crs is None


def test_a_copy_of_a_part_is_a_data_set_of_its_own(tmp_path: Path) -> None:
    """The run stays as it was sealed, byte for byte."""
    path = made(tmp_path / "fields.zarr")
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    with open_dataset(path) as ds, ds.select_loc({"layer": slice(1, 1)}).copy(tmp_path / "copy.zarr") as copy:
        assert np.array_equal(copy["head"].values[:, 0], HEAD[:, 0])
        copy["head"][0] = -1.0
    assert {file: file.read_bytes() for file in path.rglob("*") if file.is_file()} == before
    with open_dataset(tmp_path / "copy.zarr") as copy:
        assert float(copy["head"][0, 0, 0, 0].values) == -1.0


def test_a_whole_copy_leaves_the_run_as_it_was(tmp_path: Path) -> None:
    """Files are linked where they can be: what is written to the copy must not reach the run."""
    path = made(tmp_path / "fields.zarr")
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    with open_dataset(path) as ds, ds.copy(tmp_path / "copy.zarr") as copy:
        copy["head"][:] = 7.0
        copy["time"].append(np.array(["2001-02-10"], dtype="datetime64[D]"))
    assert {file: file.read_bytes() for file in path.rglob("*") if file.is_file()} == before
    with open_dataset(tmp_path / "copy.zarr") as copy:
        assert copy["head"].shape[0] == 41
        assert np.all(copy["head"][:40].values == 7.0)
