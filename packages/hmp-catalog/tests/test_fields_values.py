"""What a caller hands over: kept in its own type, without what solvers write for "no value here"."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from hmp_catalog.fields import SimulationZarr
from hmp_core.errors import InvalidInput

DAYS = np.arange("2001-01-01", "2001-01-04", dtype="datetime64[D]")


@pytest.fixture
def store(tmp_path: Path) -> SimulationZarr:
    return SimulationZarr.create(tmp_path / "fields.zarr", title="Base", run_id="1")


def kept(store: SimulationZarr, array: Any, **said: Any) -> np.ndarray:
    said.setdefault("dims", ("time", "y", "x")[: np.ndim(array)] if np.ndim(array) else ())
    if "time" in said["dims"]:
        said.setdefault("time", DAYS)
    store.write_field("value", array, **said)
    store.finalize()
    return store.read_field("value")


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4", ">f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?"])
def test_values_stay_in_the_type_they_came_in(store: SimulationZarr, dtype: str) -> None:
    array = np.arange(12).reshape(3, 4).astype(dtype)
    found = kept(store, array)
    assert found.dtype == np.dtype(dtype).newbyteorder("=")
    assert np.array_equal(found, array)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("mark", [1e30, -1e30])
def test_the_marks_of_modflow_become_nan(store: SimulationZarr, dtype: str, mark: float) -> None:
    found = kept(store, np.array([1.0, mark, 3.0], dtype=dtype))
    assert np.isnan(found).tolist() == [False, True, False]


def test_a_mark_rounded_to_single_precision_on_the_way_is_still_known(store: SimulationZarr) -> None:
    array = np.array([1.0, -999.99, -888.88], dtype="f4").astype("f8")
    found = kept(store, array, missing=(-999.99, -888.88))
    assert np.isnan(found).tolist() == [False, True, True]


def test_a_mark_becomes_nan_only_where_the_caller_says_it_is_one(store: SimulationZarr) -> None:
    assert np.array_equal(kept(store, np.array([-999.0, 0.0, 1.0])), [-999.0, 0.0, 1.0])


def test_masked_values_become_nan(store: SimulationZarr) -> None:
    found = kept(store, np.ma.masked_array([1.0, 2.0, 3.0], mask=[False, True, False]))
    assert np.isnan(found).tolist() == [False, True, False]


def test_an_infinite_value_is_kept(store: SimulationZarr) -> None:
    """A solver that diverged is not a cell without a value."""
    assert np.array_equal(kept(store, np.array([1.0, np.inf, -np.inf])), [1.0, np.inf, -np.inf])


def test_the_callers_array_is_left_as_it_is(store: SimulationZarr) -> None:
    array = np.array([1.0, 1e30, 3.0])
    kept(store, array)
    assert array[1] == 1e30


@pytest.mark.parametrize("at", [(0, 0, 0), (1, 299, 0), (2, 299, 299)])
def test_a_mark_is_found_wherever_it_lies_in_an_array_that_nobody_may_change(
    store: SimulationZarr, at: tuple[int, int, int]
) -> None:
    array = np.ones((3, 300, 300), dtype="f4")
    array[at] = -1e30
    array.flags.writeable = False
    found = kept(store, array)
    assert np.argwhere(np.isnan(found)).tolist() == [list(at)]
    assert array[at] == np.float32(-1e30)


def test_masked_integers_are_refused(store: SimulationZarr) -> None:
    with pytest.raises(InvalidInput, match="int64 has no NaN"):
        kept(store, np.ma.masked_array([1, 2, 3], mask=[False, True, False]))


def test_integers_under_a_mask_that_hides_nothing_are_kept(store: SimulationZarr) -> None:
    assert kept(store, np.ma.masked_array([1, 2, 3], mask=False)).tolist() == [1, 2, 3]


def test_zero_is_not_taken_for_the_fill_value(store: SimulationZarr) -> None:
    store.write_field("idomain", np.array([[0, 1], [1, -1]], dtype="i4"), dims=("y", "x"))
    store.finalize()
    found = store.dataset()["idomain"]
    assert found.dtype == np.dtype("i4")
    assert found.values.tolist() == [[0, 1], [1, -1]]


@pytest.mark.parametrize(
    "array",
    [np.array(["a", "b", "c"]), np.array([1j, 2, 3]), DAYS, np.array([None, 1, 2]), np.zeros(3, "longdouble")],
    ids=lambda array: str(array.dtype),
)
def test_what_is_no_number_of_eight_bytes_is_refused(store: SimulationZarr, array: np.ndarray) -> None:
    with pytest.raises(InvalidInput, match="values of type"):
        kept(store, array)


def test_lists_of_different_lengths_are_no_array(store: SimulationZarr) -> None:
    with pytest.raises(InvalidInput, match="head: not an array"):
        store.write_field("head", [[1.0], [1.0, 2.0]], dims=("y", "x"))


def test_a_list_is_an_array(store: SimulationZarr) -> None:
    assert kept(store, [1.0, 2.0, 3.0]).tolist() == [1.0, 2.0, 3.0]


def test_a_scalar_holds_attributes_such_as_a_coordinate_reference_system(store: SimulationZarr) -> None:
    store.write_field("crs", 0, dims=(), attributes={"crs_wkt": "PROJCRS[...]"})
    store.write_field("head", np.zeros((2, 2)), dims=("y", "x"), attributes={"grid_mapping": "crs"})
    store.finalize()
    found = xr.open_zarr(store.path, decode_coords="all")
    assert found["crs"].attrs["crs_wkt"] == "PROJCRS[...]"
    assert "crs" in found["head"].coords


# ── DataArray ────────────────────────────────────────────────────────────────────────────────────────


def data_array() -> xr.DataArray:
    return xr.DataArray(
        np.arange(12.0).reshape(3, 4),
        dims=("time", "cell"),
        coords={
            "time": DAYS.astype("datetime64[ns]"),
            "cell": [1, 2, 3, 4],
            "x": ("cell", [0.0, 1.0, 2.0, 3.0]),
            "run": 7,
        },
        attrs={"units": "m", "cell_methods": "time: mean", "_FillValue": -1.0},
    )


def test_a_data_array_says_its_dimensions_times_coordinates_and_attributes_itself(store: SimulationZarr) -> None:
    given = data_array()
    store.write_field("head", given)
    store.finalize()
    found = xr.open_zarr(store.path)["head"]
    xr.testing.assert_equal(found.compute(), given.drop_vars("run"))
    assert found.attrs["cell_methods"] == "time: mean"
    assert found.attrs["units"] == "m"


def test_what_the_caller_says_goes_before_what_the_data_array_says(store: SimulationZarr) -> None:
    store.write_field("head", data_array(), dims=("time", "node"), units="cm", coords={"node": [5, 6, 7, 8]})
    store.finalize()
    found = xr.open_zarr(store.path)["head"]
    assert found.dims == ("time", "node")
    assert found.attrs["units"] == "cm"


def test_a_coordinate_of_a_data_array_that_varies_in_time_is_refused_with_the_remedy(store: SimulationZarr) -> None:
    given = data_array().assign_coords(season=("time", ["w", "w", "s"]))
    with pytest.raises(InvalidInput, match="drop_vars"):
        store.write_field("head", given)


# ── coordinates ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("x", {"standard_name": "projection_x_coordinate", "units": "m", "axis": "X"}),
        ("y", {"standard_name": "projection_y_coordinate", "units": "m", "axis": "Y"}),
        ("lat", {"standard_name": "latitude", "units": "degrees_north", "axis": "Y"}),
        ("lon", {"standard_name": "longitude", "units": "degrees_east", "axis": "X"}),
        ("layer", {"standard_name": "model_level_number", "positive": "down", "axis": "Z"}),
        ("cell", {"long_name": "cell number"}),
    ],
)
def test_a_known_coordinate_says_in_cf_what_it_is(store: SimulationZarr, name: str, expected: dict[str, str]) -> None:
    store.write_field("value", np.zeros(3), dims=(name,), coords={name: [1.0, 2.0, 3.0]})
    store.finalize()
    assert expected.items() <= xr.open_zarr(store.path)[name].attrs.items()


def test_labels_come_back_as_text(store: SimulationZarr) -> None:
    labels = ["outlet", "Forêt d'Orléans", "上流"]
    store.write_field("level", np.zeros((3, 3)), dims=("time", "station"), time=DAYS, coords={"station": labels})
    store.finalize()
    assert [str(label) for label in xr.open_zarr(store.path)["station"].values] == labels


def test_a_coordinate_beside_the_index_is_listed_by_the_field(store: SimulationZarr) -> None:
    xs = ("cell", [100.0, 200.0], {"units": "km"})
    store.write_field("head", np.zeros((3, 2)), dims=("time", "cell"), time=DAYS, coords={"x": xs})
    store.finalize()
    found = xr.open_zarr(store.path)["head"]
    assert found.coords["x"].dims == ("cell",)
    assert found.coords["x"].attrs["units"] == "km"


def test_a_curvilinear_grid_has_coordinates_in_two_dimensions(store: SimulationZarr) -> None:
    lat = np.array([[50.0, 50.1], [51.0, 51.1]])
    store.write_field("head", np.zeros((2, 2)), dims=("y", "x"), coords={"lat": (("y", "x"), lat)})
    store.finalize()
    assert np.array_equal(xr.open_zarr(store.path)["head"].coords["lat"], lat)


@pytest.mark.parametrize(
    ("coords", "says"),
    [
        ({"x": [1.0, 2.0, 3.0]}, "3 along 'x'"),
        ({"x": [1.0, np.nan]}, "finite"),
        ({"lon": [1.0, 2.0]}, "does not fit"),
        ({"time": DAYS}, "given as time="),
        ({"x": DAYS[:2]}, "expected numbers or text"),
        ({"x": ["a", "a"]}, "each once"),
        ({"x": [[1.0, 2.0]]}, "one dimension each"),
        ({"x": []}, "0 values"),
        ({"../x": [1.0, 2.0]}, "cannot name"),
    ],
)
def test_what_cannot_be_a_coordinate_is_refused(store: SimulationZarr, coords: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        store.write_field("head", np.zeros((2, 2)), dims=("y", "x"), coords=coords)
