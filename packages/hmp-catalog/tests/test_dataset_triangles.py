"""Values between stations and in gaps: SciPy's, and nothing where there are no triangles."""

from __future__ import annotations

import numpy as np
import pytest

from hmp_catalog.datasets.interp.triangles import Stations, filled
from hmp_core.errors import InvalidInput

scipy = pytest.importorskip("scipy.interpolate", reason="the extra [datasets] is not installed")

RNG = np.random.default_rng(3)


@pytest.mark.parametrize("method", ["linear", "nearest", "cubic"])
def test_values_are_those_of_griddata(method: str) -> None:
    """For each field by the stations that have a value then."""
    places, wanted = RNG.uniform(0, 1, (30, 2)), RNG.uniform(0, 1, (200, 2))
    fields = RNG.normal(size=(5, 30))
    fields[1, :7] = fields[3, 11] = np.nan
    found, near = Stations(places, method).values(fields, wanted)
    for field, mine, nearest in zip(fields, found, near, strict=True):
        there = np.isfinite(field)
        theirs = scipy.griddata(places[there], field[there], wanted, method)
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-9)
        np.testing.assert_array_equal(nearest, scipy.griddata(places[there], field[there], wanted, "nearest"))
    assert np.isnan(found).any() == (method != "nearest")


def test_field_with_too_few_stations_has_no_value_between_them() -> None:
    places = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [2.0, 0.0]])
    fields = np.array([[1.0, 2.0, np.nan, 3.0], [np.nan] * 4, [1.0, 1.0, 1.0, np.nan]])
    found, near = Stations(places, "linear").values(fields, np.array([[0.2, 0.2], [np.inf, 0.0]]))
    np.testing.assert_allclose(found, [[np.nan] * 2, [np.nan] * 2, [1.0, np.nan]])
    assert near[0].tolist() == pytest.approx([1.0, np.nan], nan_ok=True)


@pytest.mark.parametrize("places", [[[0, 0], [1, 1]], [[0, 0], [1, 1], [3, 3]]], ids=["two", "a line"])
def test_stations_that_span_no_triangle_are_refused(places: list[list[float]]) -> None:
    with pytest.raises(InvalidInput, match="span no triangle"):
        Stations(np.array(places, dtype=float), "linear")
    found, _ = Stations(np.array(places, dtype=float), "nearest").values(np.ones((1, len(places))), np.zeros((1, 2)))
    assert found.tolist() == [[1.0]]


def test_method_that_there_is_not_is_refused() -> None:
    with pytest.raises(InvalidInput, match="'spline'"):
        Stations(np.eye(3)[:, :2], "spline")
    with pytest.raises(InvalidInput, match="'spline'"):
        filled(np.zeros((2, 2)), np.arange(2.0), np.arange(2.0), "spline")


@pytest.mark.parametrize("method", ["linear", "nearest"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.8])
def test_gaps_are_filled_from_their_rims_as_from_all_values(method: str, share: float) -> None:
    """On axes whose gaps differ a hundredfold, in gaps of all shapes."""
    for _ in range(5):
        y, x = np.cumsum(RNG.uniform(0.01, 1, 25)), 30 * np.cumsum(RNG.uniform(0.01, 1, 25))
        field = RNG.normal(size=(25, 25))
        field[RNG.random((25, 25)) < share] = np.nan
        field[5:11, 8:20] = np.nan
        grid = np.stack(np.broadcast_arrays(x, y[:, None]), axis=-1)
        there = np.isfinite(field)
        theirs = scipy.griddata(grid[there], field[there], grid, method)
        mine = filled(field, y, x, method)
        np.testing.assert_array_equal(mine[there], field[there])
        np.testing.assert_allclose(mine, np.where(there, field, theirs), rtol=0, atol=1e-9)


def test_gaps_at_the_edge_stay_and_the_callers_array_too() -> None:
    field = np.arange(25.0).reshape(5, 5)
    holed = field.copy()
    holed[0, :] = holed[2, 2] = np.nan
    before = holed.copy()
    found = filled(np.stack([holed, np.full((5, 5), np.nan)]), np.arange(5.0), np.arange(5.0), "linear")
    np.testing.assert_array_equal(holed, before)
    assert np.isnan(found[0, 0]).all()
    assert np.isnan(found[1]).all()
    np.testing.assert_allclose(found[0, 1:], field[1:], rtol=0, atol=1e-12)
