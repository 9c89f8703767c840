"""Where values are wanted: labels at multiples of a spacing, points, and extents in another reference system."""

from __future__ import annotations

import numpy as np
import pytest

from hmp_catalog.datasets.interp.targets import (
    Extent,
    grid,
    labels,
    period,
    points,
    same,
    spacing,
    transformed,
    wanted_crs,
)
from hmp_core.errors import InvalidInput

pyproj = pytest.importorskip("pyproj", reason="the extra [datasets] is not installed")
shapely = pytest.importorskip("shapely", reason="the extra [datasets] is not installed")


@pytest.mark.parametrize(
    ("low", "high", "step", "expected"),
    [
        (0.12, 0.31, 0.1, [0.1, 0.2, 0.3, 0.4]),
        (0.1, 0.1 + 0.2, 0.1, [0.1, 0.2, 0.3]),
        (-45.0, -44.0, 0.25, [-45.0, -44.75, -44.5, -44.25, -44.0]),
        (1.0, 9.0, 5, [0.0, 5.0, 10.0]),
        (-0.05, 0.05, 0.3, [-0.3, 0.0, 0.3]),
    ],
)
def test_labels_are_the_multiples_around(low: float, high: float, step: float, expected: list[float]) -> None:
    assert labels(low, high, step).tolist() == pytest.approx(expected, abs=1e-15)


def test_labels_of_decimal_steps_are_the_decimals() -> None:
    assert labels(170.0, 171.0, 0.05).tolist() == [round(170 + 0.05 * number, 2) for number in range(21)]


def test_labels_of_a_box_begin_at_its_corner_and_stay_in_it() -> None:
    extent = Extent.of_bbox((170.02, 170.6, -45.0, -44.5))
    x, y = grid(extent, (0.25, 0.25), aligned=False)
    assert x.tolist() == pytest.approx([170.02, 170.27, 170.52])
    assert y.tolist() == [-45.0, -44.75, -44.5]


@pytest.mark.parametrize("bbox", [(170, -45, 171, -44), (0, 1, 2), (0, 1, 0, np.nan), (0, 0, 0, 1), 5, "abcd"], ids=str)
def test_box_that_is_none_is_refused(bbox: object) -> None:
    """Other tools take min_x, min_y, max_x, max_y."""
    with pytest.raises(InvalidInput, match="min_x, max_x, min_y, max_y"):
        Extent.of_bbox(bbox)


@pytest.mark.parametrize("given", [0, -1.0, np.nan, np.inf, "1", None, True, (1,), (1, 2, 3), (1, 0)], ids=str)
def test_spacing_that_is_none_is_refused(given: object) -> None:
    with pytest.raises(InvalidInput, match="grid_res="):
        spacing(given, 2)


def test_spacing_of_each_axis() -> None:
    assert spacing(2, 3) == (2.0, 2.0)
    assert spacing((1, 2), 3) == (1.0, 2.0)
    assert spacing(np.array([1, 2, 3]), 3) == (1.0, 2.0, 3.0)


def test_degrees_on_a_grid_of_metres_are_refused() -> None:
    with pytest.raises(InvalidInput, match="unit of the reference system"):
        grid(Extent((0, 0), (1e6, 1e6)), (0.05, 0.05), aligned=True)


def test_points_are_numbers_or_geometries() -> None:
    expected = [[170.0, -45.0], [171.0, -44.0]]
    assert points(expected).tolist() == expected
    assert points(shapely.points(expected)).tolist() == expected
    assert points([shapely.Point(*pair) for pair in expected]).tolist() == expected
    assert points(shapely.points([[1.0, 2.0, 3.0]])).tolist() == [[1.0, 2.0, 3.0]]
    assert points([]).shape == (0, 2)


@pytest.mark.parametrize(
    "given",
    [
        [1.0, 2.0],
        [[1.0]],
        [["a", "b"]],
        [[1, 2], [1, 2, 3]],
        [shapely.Point(0, 0), shapely.LineString([(0, 0), (1, 1)])],
        [shapely.Point(0, 0), shapely.Point(0, 0, 1)],
    ],
    ids=["one pair", "no y", "text", "ragged", "a line", "some with z"],
)
def test_points_that_are_none_are_refused(given: list) -> None:
    with pytest.raises(InvalidInput, match="points: "):
        points(given)


def test_extent_is_covered_in_another_system() -> None:
    """The north edge of a grid of New Zealand bends: its corners do not tell how far north it goes."""
    metres, degrees = pyproj.CRS(2193), pyproj.CRS(4326)
    extent = Extent((1.1e6, 5.0e6), (1.9e6, 6.0e6))
    found = extent.projected(metres, degrees)
    x, y = transformed(*np.meshgrid(np.linspace(1.1e6, 1.9e6, 500), np.linspace(5e6, 6e6, 500)), metres, degrees)
    assert found.low == pytest.approx((x.min(), y.min()), abs=1e-4)
    assert found.high == pytest.approx((x.max(), y.max()), abs=1e-4)


def test_extent_across_the_antimeridian_goes_on_above_180() -> None:
    found = Extent((1.5e6, 5.4e6), (2.5e6, 6.0e6)).projected(pyproj.CRS(2193), pyproj.CRS(4326))
    assert 170 < found.low[0] < 180 < found.high[0] < 190


def test_longitudes_come_round_and_metres_do_not() -> None:
    assert [period(pyproj.CRS(code)) for code in (4326, 2193, 4807)] == [360.0, None, 400.0]
    assert period(None) is None


def test_another_system_needs_one_to_come_from() -> None:
    with pytest.raises(InvalidInput, match="no reference system"):
        wanted_crs(4326, None)
    assert wanted_crs(None, None) is None
    assert same(pyproj.CRS("OGC:CRS84"), pyproj.CRS(4326))
    assert not same(pyproj.CRS(4326), pyproj.CRS(2193))


def test_axes_are_x_and_y_whatever_the_authority_says() -> None:
    """EPSG:4326 and EPSG:2193 both say north before east."""
    x, y = transformed(np.array([173.0]), np.array([-41.0]), pyproj.CRS(4326), pyproj.CRS(2193))
    assert (x[0], y[0]) == pytest.approx((1.6e6, 5460000), abs=2e4)


@pytest.mark.parametrize("shape", [(0,), (1,), (1, 1), (3,), (2, 3)], ids=str)
def test_places_keep_their_shape(shape: tuple[int, ...]) -> None:
    x, y = transformed(np.full(shape, 173.0), np.full(shape, -41.0), pyproj.CRS(4326), pyproj.CRS(2193))
    assert x.shape == y.shape == shape
    np.testing.assert_allclose(x, 1.6e6, rtol=0, atol=2e4)


def test_place_that_has_none_is_infinite() -> None:
    """A globe shows its one half."""
    globe = pyproj.CRS("+proj=ortho +lat_0=0 +lon_0=0")
    x, y = transformed(np.array([0.0, 8e6]), np.array([0.0, 0.0]), globe, pyproj.CRS(4326))
    assert np.isfinite([x[0], y[0]]).all()
    assert np.isinf([x[1], y[1]]).all()
