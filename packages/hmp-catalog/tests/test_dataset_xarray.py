"""Data sets beside xarray: what plain xarray opens of them, what they give it, and what they take of it."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

pytest.importorskip("pyproj")
pytest.importorskip("shapely")

from hmp_catalog.datasets import Dataset, dtype, from_xarray, open_dataset
from hmp_catalog.errors import OutOfRange
from hmp_core.errors import InvalidInput, PathTaken

DAY = np.datetime64("2020-02-28")
TEXTS = np.array(["", "é", "a b", "x"], dtype=object)


def _floats(kind: str) -> np.ndarray:
    return np.array([-1.5, 0.0, 20.25, np.nan]).astype(kind)


def _times(unit: str) -> np.ndarray:
    return np.array([DAY, "1969-07-01", "NaT", "2020-03-01"], dtype=f"datetime64[{unit}]")


#: Every type, packed and not -> how it is declared, four values, and what of them plain xarray reads.
VALUES: dict[str, tuple[Any, np.ndarray, np.ndarray]] = {
    **{kind: (dtype(kind), _floats(kind), _floats(kind)) for kind in ("float16", "float32", "float64")},
    "float32 rounded": (dtype("float32", precision=1), _floats("f4"), np.array([-1.5, 0, 20.2, np.nan], dtype="f4")),
    "float32 packed": (dtype("float32", 2, -50, 60), _floats("f4"), _floats("f8")),
    "float64 packed": (dtype("float64", 4, -50, 60), _floats("f8"), _floats("f8")),
    "float64 scaled": (
        dtype("float64", dtype_encoded="int16", offset=1.0, fillvalue=-1, scale_factor=-0.25),
        _floats("f8"), _floats("f8"),
    ),
    **{
        kind: (dtype(kind), np.array([0, 1, 2, 100], dtype=kind), np.array([0, 1, 2, 100], dtype=kind))
        for kind in ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
    },
    "int32 packed": (dtype("int32", min_value=-5, max_value=300), np.ma.array([0, -5, 300, 1], mask=[0, 0, 0, 1]),
                     np.array([0, -5, 300, np.nan])),
    "int16 filled": (dtype("int16", fillvalue=-9), np.ma.array([0, -5, 300, 1], mask=[0, 0, 0, 1]),
                     np.array([0, -5, 300, np.nan])),
    **{f"datetime64[{unit}]": (dtype(f"datetime64[{unit}]"), _times(unit), _times(unit))
       for unit in ("Y", "M", "D", "h", "m", "s", "ms", "us", "ns")},
    "datetime64[m] packed": (
        dtype("datetime64[m]", min_value="1900-01-01", max_value="2100-01-01"), _times("m"), _times("m"),
    ),
    "bool": (dtype("bool"), np.array([True, False, True, True]), np.array([True, False, True, True])),
    "string": (dtype("string"), TEXTS, TEXTS),
}  # fmt: skip

#: Coordinates -> how they are declared, and four labels.
LABELS: dict[str, tuple[Any, np.ndarray]] = {
    "float64": (dtype("float64"), np.array([-1.5, 0, 2, 1e9])),
    "float32": (dtype("float32"), np.array([0.1, 0.2, 0.3, 0.4], dtype="f4")),
    "float64 packed": (dtype("float64", 6, -180, 360), np.array([-179.875, 0, 0.000001, 360])),
    "int32": (dtype("int32"), np.array([-3, 0, 4, 5])),
    "int64 packed": (dtype("int64", min_value=0, max_value=1000), np.array([0, 1, 2, 1000])),
    "datetime64[h]": (dtype("datetime64[h]"), DAY + np.arange(4) * np.timedelta64(5, "h")),
    "datetime64[ns]": (dtype("datetime64[ns]"), (DAY + np.arange(4)).astype("M8[ns]")),
    "datetime64[m] packed": (
        dtype("datetime64[m]", min_value="1700-01-01", max_value="6000-01-01"), (DAY + np.arange(4)).astype("M8[m]"),
    ),
    "string": (dtype("string"), np.array(["b", "a", "é", "zz"], dtype=object)),
}  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a store with a variable of every type along (t, y, x), of which the last row was never written."""
    path = tmp_path_factory.mktemp("every") / "every.zarr"
    with open_dataset(path, "n") as made:
        made.create.coord.generic("t", LABELS["datetime64[h]"][1], LABELS["datetime64[h]"][0], axis="t")
        made.create.coord.y([10.0, 20.0])
        made.create.coord.x([1.0, 2.0, 3.0])
        made.create.coord.generic("unused", [1, 2])
        made.create.crs.from_user_input(2154)
        for name, (kept, values, _) in VALUES.items():
            found = made.create.data_var.generic(plain(name), ("t", "y", "x"), kept, (1, 1, 2))
            found[:, 0] = np.ma.stack([values] * 3, -1) if np.ma.isMaskedArray(values) else np.stack([values] * 3, -1)
            found.attrs["long_name"] = name
        made.attrs["title"] = "Every"
    return path


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a store with a coordinate of every type, and data along each."""
    path = tmp_path_factory.mktemp("labelled") / "labelled.zarr"
    with open_dataset(path, "n") as made:
        for name, (kept, labels) in LABELS.items():
            made.create.coord.generic(plain(name), labels, kept)
        for name in LABELS:
            made.create.data_var.generic(f"of_{plain(name)}", (plain(name),), "int32")[:] = np.arange(4)
    return path


@pytest.fixture(scope="module")
def made(store: Path) -> Iterator[Dataset]:
    """Give the store of every type, open to read."""
    with open_dataset(store) as found:
        yield found


@pytest.fixture(scope="module")
def shown(made: Dataset) -> xr.Dataset:
    """Give it as xarray sees it: once, for the cost is that of all its types."""
    return made.to_xarray()


@pytest.fixture(scope="module")
def unmasked(made: Dataset) -> xr.Dataset:
    """Give it as xarray sees it, integers as integers."""
    return made.to_xarray(masked=False)


def plain(name: str) -> str:
    return name.replace(" ", "_").replace("[", "_").replace("]", "")


def same(found: np.ndarray, expected: np.ndarray) -> bool:
    """Return whether values are the same, missing ones too."""
    if found.dtype == object or expected.dtype == object:
        return found.tolist() == expected.tolist()
    if found.dtype.kind == "f":
        # what is packed comes to within the last bits of arithmetic
        return found.shape == expected.shape and np.allclose(found, expected, rtol=1e-12, atol=1e-9, equal_nan=True)
    return bool(np.array_equal(found, expected, equal_nan=found.dtype.kind == "M"))


def missing(kind: Any, shape: tuple[int, ...], *, plainly: bool = False) -> np.ndarray:
    """Return what cells are that nobody wrote; ``plainly`` as xarray has it."""
    if kind.kind == "string":
        return np.full(shape, "", dtype=object)
    if kind.kind == "bool":
        return np.zeros(shape, dtype=bool)
    if kind.kind == "datetime":
        return np.full(shape, np.datetime64("NaT"))
    absent = kind.kind == "float" or (plainly and (kind.is_packed or kind.fillvalue is not None))
    return np.full(shape, np.nan if absent else kind.fillvalue or 0)


# ── without hmp ──────────────────────────────────────────────────────────────────────────────────────


def test_plain_xarray_opens_every_type(store: Path) -> None:
    with xr.open_zarr(store, chunks=None) as found:
        assert found.attrs["Conventions"] == "CF-1.11"
        assert found["unused"].values.tolist() == [1, 2]
        assert found["spatial_ref"].attrs["grid_mapping_name"] == "lambert_conformal_conic"
        for name, (of, _, expected) in VALUES.items():
            array = found[plain(name)]
            assert set(array.coords) == {"t", "y", "x", "spatial_ref"}
            assert array.attrs["long_name"] == name
            assert array.attrs["grid_mapping"] == "spatial_ref"
            assert same(array.values[:, 0, 1], expected), name
            assert same(array.values[:, 1, 1], missing(of, (4,), plainly=True)), name


def test_plain_xarray_opens_every_coordinate(labelled: Path) -> None:
    with xr.open_zarr(labelled, chunks=None) as found:
        assert "spatial_ref" not in found
        for name, (_, labels) in LABELS.items():
            assert same(found[plain(name)].values, labels), name
            assert plain(name) in found.indexes
            assert found[f"of_{plain(name)}"].values.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("crs", "name", "standard"),
    [
        (4326, "latitude_longitude", "longitude"),
        (2193, "transverse_mercator", "projection_x_coordinate"),
        ("+proj=laea +lat_0=46 +lon_0=3", "lambert_azimuthal_equal_area", "projection_x_coordinate"),
    ],
    ids=str,
)
def test_plain_xarray_finds_the_reference_system(tmp_path: Path, crs: Any, name: str, standard: str) -> None:
    with open_dataset(tmp_path / "d.zarr", "n") as made:
        made.create.coord.generic("e", [0.0, 1.0])
        made.create.coord.generic("n", [0.0, 1.0])
        made.create.data_var.generic("before", ("n", "e"), "float32")
        system = made.create.crs.from_user_input(crs, x_coord="e", y_coord="n")
        made.create.data_var.generic("after", ("n", "e"), "float32")
        made.create.data_var.generic("beside", ("n",), "float32")
    with xr.open_zarr(tmp_path / "d.zarr", chunks=None) as found:
        assert found["e"].attrs["standard_name"] == standard
        for each in ("before", "after"):
            assert found[each].attrs["grid_mapping"] == "spatial_ref"
            assert found[each].coords["spatial_ref"].attrs["grid_mapping_name"] == name
    with open_dataset(tmp_path / "d.zarr") as found:
        assert found.crs == system


# ── to xarray ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", VALUES)
def test_what_hmp_reads_is_given_to_xarray(made: Dataset, unmasked: xr.Dataset, name: str) -> None:
    of, view, array = VALUES[name][0], made[plain(name)], unmasked[plain(name)]
    assert array.dtype.kind == view.data.dtype.kind
    assert array.dtype == view.data.dtype or of.kind == "datetime"
    assert of.kind != "datetime" or np.datetime_data(array.values.dtype)[0] in {"s", "ms", "us", "ns"}
    assert array.values.dtype == array.dtype
    assert array.attrs == {"long_name": name}
    for key in ((), (0,), (slice(None, None, -1), 0), (2, slice(0, 1), slice(0, 3, 2)), (slice(3, 1, -2),)):
        assert same(array[key].values, view[key].data), key
    assert same(array[[2, 0], [1, 0], [0, 2]].values, view.data[[2, 0]][:, [1, 0]][:, :, [0, 2]])
    points = array.isel(t=xr.DataArray([3, 1], dims="p"), x=xr.DataArray([0, 2], dims="p"))
    assert same(points.transpose("p", "y").values, view.data[[3, 1], :, [0, 2]])


def test_coordinates_are_given_to_xarray(labelled: Path) -> None:
    with open_dataset(labelled) as made:
        found = made.to_xarray()
        for name in LABELS:
            view = made[plain(name)]
            assert same(found[plain(name)].values, view.data)
            key = found[plain(name)].values[2]
            assert int(found[f"of_{plain(name)}"].sel({plain(name): key})) == 2


def test_missing_integers_are_nan_in_xarray_and_a_zero_is_not(made: Dataset, tmp_path: Path) -> None:
    found = made.to_xarray()
    for name in ("int32 packed", "int16 filled"):
        assert same(found[plain(name)].values[:, 0, 0], VALUES[name][2])
        assert np.isnan(found[plain(name)].values[:, 1]).all()
    assert found["int64"].dtype == "int64"
    with open_dataset(tmp_path / "wide.zarr", "n") as wide:
        wide.create.coord.generic("t", [1, 2])
        wide.create.data_var.generic("wide", ("t",), dtype("int64", fillvalue=-1))[0] = 2**53 + 1
        with pytest.raises(InvalidInput, match="wide: integers that a double does not tell apart"):
            wide.to_xarray()["wide"].load()
        assert wide.to_xarray(masked=False)["wide"].values.tolist() == [2**53 + 1, -1]


def test_xarray_selects_by_labels_and_finds_the_reference_system(made: Dataset) -> None:
    pytest.importorskip("rioxarray")
    found = made.to_xarray()["float32_packed"]
    assert found.dtype == "float32"
    assert found.sel(t="2020-02-28T05", y=10).dims == ("x",)
    assert found.rio.crs.to_epsg() == 2154


def test_nothing_is_read_before_it_is_asked_for(made: Dataset) -> None:
    found = made.to_xarray()["float32"]
    assert not found.variable._in_memory
    assert found.encoding["preferred_chunks"] == {"t": 1, "y": 1, "x": 2}
    lazily = found.chunk(found.encoding["preferred_chunks"])
    assert float(lazily.sum().compute()) == float(np.nansum(made["float32"].data))
    assert not found.variable._in_memory


def test_what_is_committed_later_is_not_seen(tmp_path: Path) -> None:
    path = tmp_path / "d.zarr"
    with open_dataset(path, "n") as made:
        made.create.coord.generic("t", [1, 2, 3])
        made.create.data_var.generic("a", ("t",), "int64")[:] = 1
    with open_dataset(path) as reader:
        found = reader.to_xarray()
        packed = pickle.dumps(found)
    with open_dataset(path, "w") as made:
        made["a"][:] = 7
        assert made.to_xarray()["a"].values.tolist() == [7, 7, 7]
    assert found["a"].values.tolist() == [1, 1, 1]
    assert pickle.loads(packed)["a"].values.tolist() == [1, 1, 1]
    with open_dataset(path) as reader:
        assert reader.to_xarray()["a"].values.tolist() == [7, 7, 7]
    with pytest.raises(InvalidInput, match="closed"):
        reader.to_xarray()


def test_parts_are_given_to_xarray(made: Dataset) -> None:
    found = made.select({"t": slice(3, 0, -2), "x": [2, 0], "y": 0}).to_xarray()
    assert same(found["t"].values, made["t"].data[3:0:-2])
    assert found["float32"].dims == ("t", "y", "x")
    assert same(found["float32"].values, made["float32"].data[3:0:-2, :1][:, :, [2, 0]])
    alone = made["float32"][1:, 0].to_xarray()
    assert (alone.dims, alone.name) == (("t", "x"), "float32")
    assert set(alone.coords) == {"t", "x", "spatial_ref"}
    assert same(alone.sel(x=2).values, made["float32"].data[1:, 0, 1])
    with pytest.raises(InvalidInput, match="leaves no coordinates"):
        made["float32"][np.zeros((4, 2, 3), dtype=bool)].to_xarray()


@pytest.mark.parametrize("name", VALUES)
def test_missing_cells_read_the_same_everywhere(
    made: Dataset, shown: xr.Dataset, unmasked: xr.Dataset, name: str
) -> None:
    of, whole = VALUES[name][0], made[plain(name)]
    assert same(whole.data[:, 1], missing(of, (4, 3)))
    assert same(whole[1:3, 1].data, missing(of, (2, 3)))
    assert same(unmasked[plain(name)].values[:, 1], missing(of, (4, 3)))
    assert same(shown[plain(name)].values[:, 1], missing(of, (4, 3), plainly=True))


# ── from xarray ──────────────────────────────────────────────────────────────────────────────────────


def test_a_data_set_of_xarray_is_kept_and_comes_back(store: Path, labelled: Path, tmp_path: Path) -> None:
    for path in (store, labelled):
        made = open_dataset(path)
        given = made.to_xarray()
        types = {name: made[name].dtype for name in made.var_names}
        with from_xarray(given, tmp_path / path.name, types) as again:
            assert again.crs == made.crs
            assert again.attrs.data == made.attrs.data
            for name in made.var_names:
                assert again[name].dtype == made[name].dtype
                assert again[name].attrs.data == made[name].attrs.data
                assert same(again[name].codes(), made[name].codes()), name
            xr.testing.assert_identical(again.to_xarray().load(), given.load())


def test_values_without_a_type_are_kept_as_they_are(tmp_path: Path) -> None:
    given = xr.Dataset(
        {"a": (("t", "y"), np.arange(6, dtype="f4").reshape(2, 3), {"units": "m"}), "n": ("t", np.array(["x", None]))},
        {"t": np.array(["2001", "2002"], dtype="M8[ns]"), "y": ("y", [3.0, 2.0, 1.0], {"axis": "Y"}), "z": 4.0},
        {"title": "T", "Conventions": "CF-1.6, ACDD-1.3"},
    )
    with from_xarray(given, tmp_path / "d.zarr") as made:
        assert made["a"].dtype == dtype("float32")
        assert made["t"].dtype == dtype("datetime64[ns]")
        assert (made["y"].data.tolist(), made["y"].axis) == ([1, 2, 3], "y")
        assert made["a"].data.tolist() == [[2, 1, 0], [5, 4, 3]]
        assert made["n"].data.tolist() == ["x", ""]
        assert (made["z"].shape, float(made["z"].data)) == ((), 4.0)
        assert made.attrs.data == {"title": "T", "Conventions": "CF-1.11 ACDD-1.3"}
    assert given["y"].values.tolist() == [3, 2, 1]


def test_auxiliary_coordinates_stay_coordinates_and_bare_dimensions_are_numbered(tmp_path: Path) -> None:
    given = xr.Dataset(
        {"a": (("y", "x"), np.ones((2, 3)))},
        {"lat": (("y", "x"), np.full((2, 3), 45.0)), "lon": (("y", "x"), np.full((2, 3), 5.0))},
    )
    with from_xarray(given, tmp_path / "d.zarr") as made:
        assert made["y"].data.tolist() == [0, 1]
        assert set(made.to_xarray().coords) == {"lat", "lon", "x", "y"}
    with xr.open_zarr(tmp_path / "d.zarr", chunks=None) as found:
        assert set(found.coords) == {"lat", "lon", "x", "y"}


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (xr.Dataset({"a": ("t", np.array([1, 2], dtype="m8[s]"))}), r"a: values of type timedelta64\[s\]"),
        (xr.Dataset({"a": ("t", [1j])}), "a: values of type complex128"),
        (xr.Dataset({"a": ("t", np.array([{}], dtype=object))}), "a: values of type dict"),
        (xr.Dataset({}, {"t": [1.0, 3.0, 2.0]}), "t: 2.0 at 2 comes after 3.0"),
        (xr.Dataset({}, {"t": [1.0, 1.0]}), "t: 1.0 stands at 0 and again at 1"),
        (xr.Dataset({}, {"t": [1.0, np.nan]}), "t: nan at 1"),
        (xr.Dataset({"a b": ("t", [1.0])}), "name 'a b'"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_what_cannot_be_kept_is_named_and_nothing_is_made(tmp_path: Path, given: xr.Dataset, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        from_xarray(given, tmp_path / "d.zarr")
    assert not (tmp_path / "d.zarr").exists()


def test_values_beyond_their_type_are_refused_and_nothing_is_replaced(tmp_path: Path) -> None:
    given = xr.Dataset({"a": ("t", [1.0, 1000.0])})
    with pytest.raises(OutOfRange, match=r"a: 1000\.0"):
        from_xarray(given, tmp_path / "d.zarr", {"a": dtype("float32", 2, -50, 60)})
    assert not (tmp_path / "d.zarr").exists()
    (tmp_path / "d.zarr").mkdir()
    with pytest.raises(PathTaken):
        from_xarray(given, tmp_path / "d.zarr")
    with pytest.raises(InvalidInput, match="dtypes: no variable 'b'"):
        from_xarray(given, tmp_path / "e.zarr", {"b": "int8"})


def test_a_data_set_on_disk_is_taken_block_by_block(tmp_path: Path) -> None:
    pytest.importorskip("dask")
    whole = np.arange(400 * 30 * 20, dtype="f4").reshape(400, 30, 20)
    given = xr.Dataset(
        {"a": (("t", "y", "x"), whole)}, {"t": np.arange(400), "y": np.arange(30.0), "x": np.arange(20.0)}
    )
    given.to_zarr(tmp_path / "plain.zarr", consolidated=False)
    with (
        xr.open_zarr(tmp_path / "plain.zarr", consolidated=False) as lazily,
        from_xarray(lazily, tmp_path / "d.zarr", max_mem=1 << 16) as made,
    ):
        assert np.array_equal(made["a"].data, whole)
