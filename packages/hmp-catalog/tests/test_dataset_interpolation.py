"""Variables of real data sets on other grids, at points, in their gaps and on other levels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from hmp_catalog.datasets import open_dataset
from hmp_core.errors import InvalidInput, NotFound

pyproj = pytest.importorskip("pyproj", reason="the extra [datasets] is not installed")
shapely = pytest.importorskip("shapely", reason="the extra [datasets] is not installed")

#: What tests write after the commit is left to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:.*never committed:ResourceWarning")

RNG = np.random.default_rng(22)
HOURS = np.arange("2021-01-01T00", "2021-01-01T05", dtype="datetime64[h]")


def grid(path: Path, x: np.ndarray, y: np.ndarray, crs: Any, values: np.ndarray, dtype: Any = "float64") -> Any:
    """Return a variable ``t`` over (time, y, x) of a new data set."""
    ds = open_dataset(path, "n")
    ds.create.coord.time(HOURS)
    ds.create.coord.generic("y", y, axis="y")
    ds.create.coord.generic("x", x, axis="x")
    if crs is not None:
        ds.create.crs.from_user_input(crs, x_coord="x", y_coord="y")
    var = ds.create.data_var.generic("t", ("time", "y", "x"), dtype)
    var[:] = values
    ds.commit()
    return var


def field(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return a smooth field that changes with time, shape (5, ny, nx)."""
    waves = np.sin(np.linspace(0, 9, len(y)))[:, None] * np.cos(np.linspace(0, 7, len(x)))
    return 10 * waves + np.arange(5.0)[:, None, None]


@pytest.fixture
def metres(tmp_path: Path) -> Any:
    """A grid of New Zealand in EPSG:2193, 20 km, whose authority says north before east."""
    x, y = np.arange(1.2e6, 1.7e6, 2e4), np.arange(5.1e6, 5.5e6, 2e4)
    return grid(tmp_path / "nz.zarr", x, y, 2193, field(x, y))


def opened(var: Any) -> xr.DataArray:
    """Return the same variable as xarray alone reads it."""
    return xr.open_zarr(var.handle.path)[var.name]


# ── grids: scenario 22 ───────────────────────────────────────────────────────────────────────────────


def test_projected_grid_to_degrees_agrees_with_xarray(metres: Any) -> None:
    interp = metres.interp()
    found = list(interp.to_grid(0.05, 4326, order=1))
    labels = interp.target_grid(0.05, 4326)
    lon, lat = np.meshgrid(labels["x"], labels["y"])
    x, y = pyproj.Transformer.from_crs(4326, 2193, always_xy=True).transform(lon, lat)
    theirs = opened(metres).interp(x=(("lat", "lon"), x), y=(("lat", "lon"), y))
    assert [time for time, _ in found] == list(HOURS)
    assert labels["x"][:3].tolist() == [round(labels["x"][0] + 0.05 * number, 2) for number in range(3)]
    for (_, mine), their in zip(found, theirs.values, strict=True):
        inside = np.isfinite(their)
        assert 0.5 < inside.mean() < 0.99
        assert not (inside & np.isnan(mine)).any()
        assert (np.isfinite(mine) & ~inside).sum() <= 4  # at the very edge
        np.testing.assert_allclose(mine[inside], their[inside], rtol=0, atol=1e-6)


@pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")  # rioxarray with affine 3.1
def test_projected_grid_to_degrees_agrees_with_rioxarray(metres: Any) -> None:
    pytest.importorskip("rioxarray", reason="rioxarray is not installed")
    from affine import Affine
    from rasterio.enums import Resampling

    interp = metres.interp()
    labels = interp.target_grid(0.05, 4326)
    lon, lat = labels["x"], labels["y"]
    source = opened(metres).rio.write_crs(2193)
    columns = []
    for start in range(0, len(lon), 4):  # in wider ones GDAL places cells by interpolation, up to 0.125 of a cell off
        place = Affine(0.05, 0, lon[start] - 0.025, 0, 0.05, lat[0] - 0.025)
        shape = (len(lat), len(lon[start : start + 4]))
        how = {"transform": place, "shape": shape, "resampling": Resampling.bilinear, "nodata": np.nan}
        columns.append(source.rio.reproject(4326, **how).values)
    theirs = np.concatenate(columns, axis=-1)
    for (_, mine), their in zip(interp.to_grid(0.05, 4326, order=1), theirs, strict=True):
        inside = np.isfinite(mine) & np.isfinite(their)  # a raster has half a cell more on each side
        assert inside.sum() > 0.99 * np.isfinite(mine).sum()
        np.testing.assert_allclose(mine[inside], their[inside], rtol=0, atol=1e-6)


def test_projected_grid_at_points_agrees_with_xarray(metres: Any) -> None:
    lon, lat = RNG.uniform(168.5, 172.5, 200), RNG.uniform(-44.2, -40.8, 200)
    x, y = pyproj.Transformer.from_crs(4326, 2193, always_xy=True).transform(lon, lat)
    theirs = opened(metres).interp(x=("m", x), y=("m", y)).values
    for points in (np.stack([lon, lat], axis=-1), shapely.points(lon, lat), list(zip(lon, lat, strict=True))):
        mine = np.stack([values for _, values in metres.interp().to_points(points, 4326, order=1)])
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-6)
    assert 0.3 < np.isfinite(theirs).mean() < 1


def test_irregular_axis_is_handled(tmp_path: Path) -> None:
    """Taking the median spacing, as others do, is off by whole units here."""
    x, y = np.array([0.0, 1.0, 2.0, 3.0, 10.0, 30.0]), np.array([0.0, 0.1, 5.0, 6.0])
    var = grid(tmp_path / "a.zarr", x, y, None, np.broadcast_to(2 * x + 3 * y[:, None], (5, 4, 6)))
    for order in (1, 2, 3):
        labels = var.interp().target_grid((2.5, 1.5))
        for _, values in var.interp().to_grid((2.5, 1.5), order=order):
            np.testing.assert_allclose(values, 2 * labels["x"] + 3 * labels["y"][:, None], rtol=0, atol=1e-9)


def test_descending_and_cut_views_are_the_same_field(metres: Any) -> None:
    points = RNG.uniform((1.3e6, 5.2e6), (1.5e6, 5.4e6), (50, 2))
    expected = dict(metres.interp().to_points(points, order=1))
    turned = dict(metres[:, ::-1, ::-1].interp().to_points(points, order=1))
    cut = dict(metres[1:3, 2:, 3:].interp().to_points(points, order=1))
    steps = dict(metres[::2].interp().to_points(points, order=1))
    assert list(cut) == list(HOURS[1:3])
    assert list(steps) == list(HOURS[::2])
    for found in (turned, cut, steps):
        for time, values in found.items():
            np.testing.assert_allclose(values, expected[time], rtol=0, atol=1e-9)


def test_grid_of_another_data_set_is_taken_over(metres: Any, tmp_path: Path) -> None:
    lon, lat = np.array([170.0, 170.5, 171.1]), np.array([-43.5, -43.0])
    other = grid(tmp_path / "other.zarr", lon, lat, 4326, np.zeros((5, 2, 3)))
    points = np.stack([axis.ravel() for axis in np.meshgrid(lon, lat)], axis=-1)
    expected = [values.reshape(2, 3) for _, values in metres.interp().to_points(points, 4326)]
    found = [values for _, values in metres.interp().to_grid(other)]
    np.testing.assert_array_equal(found, expected)
    with pytest.raises(InvalidInput, match="leave them out"):
        metres.interp().to_grid(other, to_crs=4326)
    with pytest.raises(InvalidInput, match="to_grid takes its grid"):
        metres.interp().to_points(other)


def test_longitudes_of_a_globe_go_round(tmp_path: Path) -> None:
    x, y = np.arange(0.0, 360.0, 10.0), np.arange(-80.0, 81.0, 10.0)
    values = np.broadcast_to(np.cos(np.radians(x)), (5, 17, 36))
    var = grid(tmp_path / "globe.zarr", x, y, 4326, values)
    points = [(-5.0, 0.0), (5.0, 0.0), (355.0, 0.0), (-180.0, 0.0)]
    _, found = next(iter(var.interp().to_points(points, order=1)))
    assert found.tolist() == pytest.approx([*[(1 + np.cos(np.radians(10))) / 2] * 3, -1.0])


def test_store_of_others_is_understood_by_its_units(tmp_path: Path) -> None:
    """Latitudes from north to south, longitudes from 0 to 360, no axes, no reference system: as ERA-Interim comes."""
    lon, lat = np.arange(0.0, 360.0, 1.5), np.arange(90.0, -90.1, -1.5)
    values = np.cos(np.radians(lon)) * np.cos(np.radians(lat))[:, None]
    theirs = xr.Dataset(
        {"t": (("latitude", "longitude"), values)},
        {
            "latitude": ("latitude", lat, {"units": "degrees_north"}),
            "longitude": ("longitude", lon, {"units": "degrees_east"}),
        },
    )
    theirs.to_zarr(tmp_path / "era.zarr", zarr_format=3, consolidated=False)
    with open_dataset(tmp_path / "era.zarr") as ds:
        points = np.array([(-4.2, 47.9), (2.3, 48.9), (359.7, -12.0)])
        _, found = next(iter(ds["t"].interp().to_points(points)))
        expected = np.cos(np.radians(points)).prod(axis=1)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
        labels = ds["t"].interp().target_grid(3.0, bbox=(-9, 9, 42, 51))
        assert labels["y"].tolist() == [42.0, 45.0, 48.0, 51.0]
        assert np.isfinite(next(iter(ds["t"].interp().to_grid(3.0, bbox=(-9, 9, 42, 51))))[1]).all()


def test_store_of_others_is_understood_by_its_standard_names(tmp_path: Path) -> None:
    along = {
        "instant": ("instant", HOURS.astype("datetime64[ns]")),
        "northing": ("northing", np.arange(4.0), {"standard_name": "projection_y_coordinate"}),
        "easting": ("easting", np.arange(5.0), {"standard_name": "projection_x_coordinate"}),
    }
    values = np.arange(5.0)[:, None, None] + 10 * np.arange(4.0)[:, None] + np.zeros(5)
    xr.Dataset({"t": (tuple(along), values)}, along).to_zarr(tmp_path / "a.zarr", zarr_format=3, consolidated=False)
    with open_dataset(tmp_path / "a.zarr") as ds:
        found = {str(time)[:13]: at.tolist() for time, at in ds["t"].interp().to_points([(1.0, 2.5)], order=1)}
    assert found == {str(hour): [25.0 + number] for number, hour in enumerate(HOURS)}


def test_box_and_outside(metres: Any) -> None:
    interp = metres.interp()
    box = (1.15e6, 1.25e6, 5.2e6, 5.22e6)
    labels = interp.target_grid(1e4, bbox=box)
    assert labels["x"].tolist() == [1.15e6 + 1e4 * number for number in range(11)]
    plain, filled, near = (
        next(iter(interp.to_grid(1e4, bbox=box, order=1, **how)))[1]
        for how in ({}, {"fill_val": -9.0, "min_val": 1.0}, {"extrapolation": "nearest"})
    )
    assert plain.shape == (3, 11)
    assert np.isnan(plain).tolist() == (np.ones((3, 1)) * (labels["x"] < 1.2e6)).astype(bool).tolist()
    assert (filled[np.isnan(plain)] == -9.0).all()
    assert filled[~np.isnan(plain)].tolist() == np.maximum(plain[~np.isnan(plain)], 1.0).tolist()
    np.testing.assert_array_equal(near[:, :5], np.repeat(plain[:, 5:6], 5, axis=1))


# ── what is missing, and types ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("order", [1, 3])
def test_missing_cells_are_missing_and_others_are_not(metres: Any, order: int) -> None:
    x, y = metres.coords[2].data, metres.coords[1].data
    metres[:, 10, 12] = np.nan
    points = np.array([[x[12], y[10]], [x[12] + 5e3, y[10]], [x[11], y[10]], [x[11] + 5e3, y[10]], [x[3], y[3] + 1e3]])
    _, found = next(iter(metres.interp().to_points(points, order=order)))
    assert np.isnan(found).tolist() == [True, True, False, True, False]


def test_integers_that_are_missing_are_no_zeros(tmp_path: Path) -> None:
    from hmp_catalog.datasets.dtypes import dtype

    of = dtype("int16", min_value=0, max_value=200)
    x = y = np.arange(5.0)
    values = np.ma.array(np.full((5, 5, 5), 8), mask=False)
    values[:, 0, 0] = 0
    values[:, 4, 4] = np.ma.masked
    var = grid(tmp_path / "a.zarr", x, y, None, values, of)
    _, found = next(iter(var.interp().to_points([(0.5, 0.0), (3.5, 4.0), (2.5, 2.0)], order=1)))
    assert found.tolist() == pytest.approx([4.0, np.nan, 8.0], nan_ok=True)
    assert found.dtype == np.float64


def test_floats_keep_their_type(tmp_path: Path) -> None:
    x = y = np.arange(5.0)
    var = grid(tmp_path / "a.zarr", x, y, None, np.ones((5, 5, 5)), "float32")
    assert next(iter(var.interp().to_grid(0.5)))[1].dtype == np.float32
    assert next(iter(var.interp().interp_na()))[1].dtype == np.float32


# ── what is gone through ─────────────────────────────────────────────────────────────────────────────


def test_times_are_gone_through_or_lead(metres: Any) -> None:
    points = [(1.4e6, 5.3e6)]
    each = list(metres.interp().to_points(points))
    together = list(metres.interp(iter_dim=()).to_points(points))
    assert [(label, values.shape) for label, values in together] == [(None, (5, 1))]
    np.testing.assert_array_equal(together[0][1], np.stack([values for _, values in each]))
    static = list(metres[2].interp().to_points(points))
    assert static[0][0] is None
    np.testing.assert_array_equal(static[0][1], each[2][1])


def test_labels_that_move_meanwhile_are_no_others(metres: Any) -> None:
    interp, points = metres.interp(), [(1.4e6, 5.3e6)]
    steps = interp.to_points(points)
    metres.coords[0].append([HOURS[-1] + 1])
    assert [time for time, _ in steps] == list(HOURS)
    assert len(list(metres.interp().to_points(points))) == 6
    steps = interp.to_points(points)
    metres.coords[0].prepend([HOURS[0] - 1])
    with pytest.raises(InvalidInput, match="labels moved"):
        next(steps)


def test_what_is_interpolated_is_shown(layered: Any, stations: Any) -> None:
    assert repr(layered["t"].interp()) == "<hmp.GridInterp of 't', at (height, y, x), for each (time)>"
    shown = repr(layered["t"].interp(z=None, iter_dim="height"))
    assert shown == "<hmp.GridInterp of 't', at (y, x), for each (height), together (time)>"
    assert repr(stations.interp()) == "<hmp.PointInterp of 'rain', at (point), for each (time)>"


def test_large_fields_are_read_one_by_one(metres: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from hmp_catalog.datasets.interp import roles

    whole = list(metres.interp().to_grid(1e4))
    monkeypatch.setattr(roles, "_ROOM", 3000)
    part = list(metres.interp().to_grid(1e4))
    assert [label for label, _ in whole] == [label for label, _ in part]
    np.testing.assert_array_equal([values for _, values in whole], [values for _, values in part])


def test_blocks_are_whole_chunks_where_there_is_room() -> None:
    """A chunk that is cut by two blocks is decoded twice."""
    from hmp_catalog.datasets.interp.roles import _parts

    def ends(sizes: list[int], chunks: list[int], room: int) -> list[tuple[tuple[int, int], ...]]:
        return [tuple((side.start, side.stop) for side in part) for part in _parts(sizes, chunks, room)]

    assert ends([10], [4], 9) == [((0, 8),), ((8, 10),)]
    assert ends([10], [4], 3) == [((0, 3),), ((3, 6),), ((6, 9),), ((9, 10),)]
    assert ends([4, 3], [2, 3], 7) == [((0, 2), (0, 3)), ((2, 4), (0, 3))]
    assert ends([2, 5], [2, 2], 4) == [((run, run + 1), side) for run in (0, 1) for side in ((0, 4), (4, 5))]
    assert ends([], [], 1) == [()]


def test_forecast_goes_through_both_of_its_times(tmp_path: Path) -> None:
    x, y = np.arange(5.0), np.arange(4.0)
    with open_dataset(tmp_path / "f.zarr", "n", "grid_forecast") as ds:
        ds.create.coord.forecast_reference_time(HOURS[:2])
        ds.create.coord.forecast_period(np.array([0, 6, 12]))
        ds.create.coord.generic("y", y, axis="y")
        ds.create.coord.generic("x", x, axis="x")
        var = ds.create.data_var.generic("t", ("forecast_reference_time", "forecast_period", "y", "x"), "float64")
        var[:] = np.arange(6.0).reshape(2, 3, 1, 1) + x
        found = [(label, values.tolist()) for label, values in var.interp().to_points([(0.5, 0.5)], order=1)]
        expected = [((HOURS[run], lead), [run * 3 + lead / 6 + 0.5]) for run in range(2) for lead in (0, 6, 12)]
        assert found == expected
        assert [label for label, _ in var.interp(iter_dim="forecast_period").to_grid(1.0)] == [0, 6, 12]


# ── levels ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def layered(tmp_path: Path) -> Any:
    """Variables over (time, height, y, x): ``t``, 2 x + 3 y + 10 z, and ``altitude``, the height above 100 y."""
    x, y, z = np.arange(6.0), np.arange(5.0), np.array([2.0, 10.0, 50.0, 100.0])
    ds = open_dataset(tmp_path / "z.zarr", "n")
    ds.create.coord.time(HOURS)
    ds.create.coord.height(z)
    ds.create.coord.generic("y", y, axis="y")
    ds.create.coord.generic("x", x, axis="x")
    names = ("time", "height", "y", "x")
    for name in ("t", "altitude"):
        ds.create.data_var.generic(name, names, "float64")
    ds["t"][:] = 2 * x + 3 * y[:, None] + 10 * z[:, None, None]
    ds["altitude"][:] = (z[:, None, None] + 100 * y[:, None]) * np.ones(6)
    ds.create.data_var.generic("flat", ("y", "x"), "float64")
    ds.commit()
    return ds


def test_levels_stay_unless_z_is_asked_for(layered: Any) -> None:
    interp = layered["t"].interp()
    shapes = {grid_res: next(iter(interp.to_grid(grid_res)))[1].shape for grid_res in (0.5, (0.5, 1), (0.5, 1, 10))}
    assert shapes == {0.5: (4, 9, 11), (0.5, 1): (4, 5, 11), (0.5, 1, 10): (11, 5, 11)}
    labels = interp.target_grid((0.5, 1, 10))
    assert labels["z"].tolist() == list(range(0, 101, 10))
    _, found = next(iter(interp.to_grid((0.5, 1, 10))))
    expected = 2 * labels["x"] + 3 * labels["y"][:, None] + 10 * labels["z"][:, None, None]
    expected[0] = np.nan  # below the lowest level
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


def test_points_have_all_levels_or_a_height_of_their_own(layered: Any) -> None:
    interp = layered["t"].interp()
    _, columns = next(iter(interp.to_points([(1.5, 2.5), (9.0, 0.0)])))
    assert columns[:, 0] == pytest.approx(10.5 + 10 * np.array([2.0, 10, 50, 100]))
    assert np.isnan(columns[:, 1]).all()
    _, values = next(iter(interp.to_points([(1.5, 2.5, 30.0), (1.5, 2.5, 1.0)])))
    assert values.tolist() == pytest.approx([310.5, np.nan], nan_ok=True)
    with pytest.raises(InvalidInput, match="no axis z"):
        layered["flat"].interp().to_points([(1.0, 2.0, 3.0)])


def test_columns_to_other_levels(layered: Any) -> None:
    """Levels above sea, in a variable that changes from column to column."""
    var = layered["t"]
    for source in ("altitude", layered["altitude"]):
        _, found = next(iter(var.interp().regrid_levels([110.0, 202.0], source)))
        heights = np.array([110.0, 202.0])[:, None] - 100 * np.arange(5.0)
        expected = np.where((heights >= 2) & (heights <= 100), 10 * heights + 3 * np.arange(5.0), np.nan)
        np.testing.assert_allclose(found, expected[..., None] + 2 * np.arange(6.0), rtol=0, atol=1e-9)
    _, found = next(iter(var.interp().regrid_levels([30.0, 200.0], "height")))
    np.testing.assert_allclose(found[0], 300 + 3 * np.arange(5.0)[:, None] + 2 * np.arange(6.0), rtol=0, atol=1e-9)
    assert np.isnan(found[1]).all()
    cut = next(iter(var[1:, :, 2:].interp().regrid_levels([202.0], "altitude")))[1]
    assert cut.shape == (1, 3, 6)
    assert cut[0, 0, 0] == pytest.approx(26.0)
    assert next(iter(var.interp().regrid_levels([1.0, 2.5], "x", axis=-1)))[1].shape == (4, 5, 2)


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"source_levels": "flat"}, "expected a variable along time"),
        ({"source_levels": "y"}, "or the coordinate 'height'"),
        ({"source_levels": "height", "axis": 3}, "axis=3"),
        ({"source_levels": "height", "method": "cubic"}, "'cubic'"),
    ],
    ids=["other dimensions", "another axis", "no axis", "method"],
)
def test_levels_that_do_not_fit_are_refused(layered: Any, how: dict, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        layered["t"].interp().regrid_levels([1.0], **how)


def test_levels_that_there_are_not(layered: Any) -> None:
    with pytest.raises(NotFound, match="sigma"):
        layered["t"].interp().regrid_levels([1.0], "sigma")


# ── gaps ─────────────────────────────────────────────────────────────────────────────────────────────


def test_gaps_are_filled_and_nothing_else_changes(metres: Any) -> None:
    before = metres.data
    metres[1, 4:6, 7:9] = np.nan
    metres[2, 0, 0] = np.nan
    found = [values for _, values in metres.interp().interp_na(min_val=-100.0)]
    stays = np.isfinite(metres.data)
    np.testing.assert_array_equal(np.stack(found)[stays], before[stays])
    np.testing.assert_allclose(found[1], before[1], rtol=0, atol=1.5)
    assert np.isnan(found[2][0, 0])
    least = [values for _, values in metres.interp().interp_na(min_val=50.0)]
    assert (least[1][4:6, 7:9] == 50.0).all()
    assert (least[1] < 50).any()


# ── stations ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def stations(tmp_path: Path) -> Any:
    """A variable over (point, time) at 40 stations, x + 2 y + hours, of which the first is missing at first."""
    places = np.round(RNG.uniform((170, -45), (171, -44), (40, 2)), 3)
    ds = open_dataset(tmp_path / "s.zarr", "n", "ts_ortho")
    ds.create.coord.point(shapely.points(places))
    ds.create.coord.time(HOURS)
    ds.create.crs.from_user_input(4326, xy_coord="point")
    var = ds.create.data_var.generic("rain", ("point", "time"), "float64")
    var[:] = (places[:, :1] - 170) + 2 * (places[:, 1:] + 45) + np.arange(5)
    var[0, 0] = np.nan
    ds.commit()
    return var


def test_stations_to_grid_and_points(stations: Any) -> None:
    interp = stations.interp()
    labels = interp.target_grid(0.25)
    expected = (labels["x"] - 170) + 2 * (labels["y"][:, None] + 45)
    found = list(interp.to_grid(0.25))
    assert [time for time, _ in found] == list(HOURS)
    for hour, (_, values) in enumerate(found):
        inside = np.isfinite(values)
        assert 3 < inside.sum() < values.size
        np.testing.assert_allclose(values[inside], (expected + hour)[inside], rtol=0, atol=1e-9)
    _, near = next(iter(interp.to_grid(0.25, extrapolation="nearest", min_val=0.5)))
    assert np.isfinite(near).all()
    assert near.min() == 0.5
    x, y = pyproj.Transformer.from_crs(4326, 2193, always_xy=True).transform(170.5, -44.5)
    _, values = next(iter(interp.to_points([(x, y), (0.0, 0.0)], 2193)))
    assert values.tolist() == pytest.approx([1.5, np.nan], nan_ok=True)


def test_stations_at_the_places_of_a_grid_and_the_other_way(stations: Any, metres: Any) -> None:
    _, on_grid = next(iter(stations.interp().to_grid(metres, method="nearest")))
    assert on_grid.shape == metres.shape[1:]
    _, at_stations = next(iter(metres.interp().to_points(stations, order=1)))
    lon, lat = shapely.get_coordinates(stations.coords[0].data).T
    x, y = pyproj.Transformer.from_crs(4326, 2193, always_xy=True).transform(lon, lat)
    theirs = opened(metres)[0].interp(x=("m", x), y=("m", y)).values
    np.testing.assert_allclose(at_stations, theirs, rtol=0, atol=1e-6)
    assert np.isfinite(theirs).any()
    with pytest.raises(InvalidInput, match="to_points takes its places"):
        metres.interp().to_grid(stations)


@pytest.mark.parametrize("verb", ["interp_na", "regrid_levels"])
def test_stations_have_no_grid(stations: Any, verb: str) -> None:
    with pytest.raises(InvalidInput, match="for grids"):
        getattr(stations.interp(), verb)(*(["height", "z"] if verb == "regrid_levels" else []))


# ── what is refused ──────────────────────────────────────────────────────────────────────────────────


def test_what_there_is_not_is_refused_at_once(metres: Any) -> None:
    """Before a value is asked for."""
    interp = metres.interp()
    for call, why in [
        (lambda: interp.to_grid(0), "grid_res=0"),
        (lambda: interp.to_grid(0.05), "unit of the reference system"),
        (lambda: interp.to_grid(1e4, order=9), "order=9"),
        (lambda: interp.to_grid(1e4, extrapolation="mirror"), "'mirror'"),
        (lambda: interp.to_grid(1e4, "EPSG:nonsense"), "nonsense"),
        (lambda: interp.to_grid(1e4, bbox=(0, 0, 1, 1)), "min_x, max_x"),
        (lambda: interp.to_points([1.0, 2.0]), "points: "),
        (lambda: interp.interp_na("kriging"), "'kriging'"),
        (lambda: metres[:, :2].interp().to_points([(1.0, 2.0)]), "y has 2 labels; order=3"),
        (lambda: metres[:, [3, 1, 2]].interp().to_points([(1.0, 2.0)]), "y: its labels are no axis"),
        (metres[:, 1].interp, "the axis 'y'"),
        (lambda: metres.interp(x="time", iter_dim="time"), "one role"),
    ]:
        with pytest.raises(InvalidInput, match=why):
            call()
    with pytest.raises(NotFound, match="no coordinate 'lon'"):
        metres.interp(x="lon")


def test_another_system_needs_one_to_come_from(tmp_path: Path) -> None:
    var = grid(tmp_path / "a.zarr", np.arange(5.0), np.arange(5.0), None, np.zeros((5, 5, 5)))
    with pytest.raises(InvalidInput, match="no reference system"):
        var.interp().to_points([(1.0, 1.0)], 4326)


def test_texts_are_not_interpolated(tmp_path: Path) -> None:
    with open_dataset(tmp_path / "a.zarr", "n") as ds:
        ds.create.coord.generic("y", np.arange(3.0), axis="y")
        ds.create.coord.generic("x", np.arange(3.0), axis="x")
        ds.create.data_var.generic("soil", ("y", "x"), "string")
        with pytest.raises(InvalidInput, match="expected numbers"):
            ds["soil"].interp()
