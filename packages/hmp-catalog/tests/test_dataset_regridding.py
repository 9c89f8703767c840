"""Values of a grid at other places, against xarray and against what is known exactly."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from hmp_catalog.datasets.interp.regridding import Axis, Edges, Sampler
from hmp_core.errors import InvalidInput

pytest.importorskip("scipy", reason="the extra [datasets] is not installed")

RNG = np.random.default_rng(7)


def irregular(count: int, start: float = 0.0) -> np.ndarray:
    """Return labels whose gaps differ by a factor of ten."""
    return start + np.cumsum(RNG.uniform(0.1, 1.0, count))


def sampled(labels: list[np.ndarray], places: list, order: int, fields: np.ndarray, **kinds: float) -> np.ndarray:
    """Return values of fields on axes ``a``, ``b``, ... at places."""
    axes = [Axis(name, along, kinds.get(name)) for name, along in zip("abc", labels, strict=False)]
    sampler = Sampler(axes, places, order)
    return sampler.values(fields[(..., *sampler.window)])


@pytest.mark.parametrize("depth", [2, 3])
def test_linear_values_are_those_of_xarray_on_irregular_axes(depth: int) -> None:
    labels = [irregular(count, start) for count, start in ((13, -4.0), (17, 1e6), (9, 0.0))][:depth]
    field = RNG.normal(size=[len(along) for along in labels])
    places = [RNG.uniform(along[0], along[-1], 500) for along in labels]
    theirs = xr.DataArray(field, dict(zip("abc", labels, strict=False)), list("abc")[:depth]).interp(
        {name: ("m", at) for name, at in zip("abc", places, strict=False)}
    )
    np.testing.assert_allclose(sampled(labels, places, 1, field), theirs, rtol=0, atol=1e-9)


@pytest.mark.parametrize("order", [0, 1, 3])
def test_descending_labels_are_the_same_field(order: int) -> None:
    y, x = irregular(30, -40.0), np.arange(0.0, 360.0, 2.0)
    field = RNG.normal(size=(30, 180))
    places = [RNG.uniform(y[0], y[9], 200), RNG.uniform(-180, 180, 200)]
    expected = sampled([y, x], places, order, field, b=360.0)
    found = sampled([y[::-1], x[::-1]], places, order, field[::-1, ::-1], b=360.0)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("labels", [[1.0, 3.0, 2.0], [1.0, 1.0], [1.0, np.nan], [], ["a", "b"]], ids=str)
def test_labels_that_are_no_axis_are_refused(labels: list) -> None:
    with pytest.raises(InvalidInput, match="no axis"):
        Axis("x", np.array(labels))


@pytest.mark.parametrize("order", [1, 2, 3, 4, 5])
def test_polynomials_come_out_exactly_on_irregular_axes(order: int) -> None:
    """Taking the axis for regular is off by tenths here."""
    y, x = irregular(30), irregular(40)

    def field(y: np.ndarray, x: np.ndarray) -> np.ndarray:
        return (y / 10) ** order - 2 * (x / 10) ** order + (x / 10) * (y / 10)

    places = [RNG.uniform(y[0], y[-1], 200), RNG.uniform(x[0], x[-1], 200)]
    found = sampled([y, x], places, order, field(y[:, None], x[None, :]))
    np.testing.assert_allclose(found, field(*places), rtol=0, atol=1e-9)


def test_nearest_is_nearest_by_label() -> None:
    labels = np.array([0.0, 1.0, 10.0])
    field = np.arange(9.0).reshape(3, 3)
    assert sampled([labels, labels], [[5.4, 5.6], [0.4, 0.6]], 0, field).tolist() == [3.0, 7.0]


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_place_is_missing_exactly_where_a_missing_cell_has_a_part(order: int) -> None:
    y, x = irregular(40), irregular(40)
    field = np.sin(y[:, None]) + np.cos(x[None, :])
    holed = field.copy()
    holed[20, 20] = np.nan
    holed[5, 30:] = np.inf
    places = [RNG.uniform(y[0], y[-1], 4000), RNG.uniform(x[0], x[-1], 4000)]
    row, column = (np.searchsorted(along, at) for along, at in zip((y, x), places, strict=True))
    expected = (np.isin(row, (20, 21)) & np.isin(column, (20, 21))) | (np.isin(row, (5, 6)) & (column >= 30))
    found = sampled([y, x], places, order, holed)
    assert 5 < expected.sum() < 400
    assert (np.isnan(found) == expected).all()
    far = (np.abs(row - 20) > 18) & (row > 26)
    whole = sampled([y, x], places, order, field)
    assert far.sum() > 20
    np.testing.assert_allclose(found[far], whole[far], rtol=0, atol={1: 1e-12, 2: 1e-9, 3: 1e-6, 5: 1e-3}[order])


@pytest.mark.parametrize("order", [2, 3, 4, 5])
def test_splines_go_on_flat_beside_missing_cells(order: int) -> None:
    """Zeros in their place would swing temperatures in kelvin by tens."""
    labels = np.arange(30.0)
    field = 280 + np.sin(labels / 5)[:, None] * np.cos(labels / 7)
    field[10:20, 10:20] = np.nan
    places = [RNG.uniform(0, 29, 3000), RNG.uniform(0, 29, 3000)]
    found = sampled([labels, labels], places, order, field)
    assert 200 < np.isnan(found).sum() < 600
    smooth = 280 + np.sin(places[0] / 5) * np.cos(places[1] / 7)
    np.testing.assert_allclose(found, np.where(np.isnan(found), np.nan, smooth), rtol=0, atol=0.2)


@pytest.mark.parametrize("order", [0, 1, 3])
def test_place_on_a_cell_has_its_value_beside_missing_ones(order: int) -> None:
    labels = np.linspace(1e6, 1.0009e6, 10)
    field = RNG.normal(size=(10, 10))
    field[4, :] = np.nan
    rows, columns = np.indices(field.shape).reshape(2, -1)
    beside = RNG.uniform(-1e-5, 1e-5, (2, 100))  # of a spacing of 100: what reprojecting leaves
    found = sampled([labels, labels], [labels[rows] + beside[0], labels[columns] + beside[1]], order, field)
    np.testing.assert_allclose(found, field.ravel(), rtol=0, atol=1e-5)


def test_longitudes_go_round() -> None:
    x, y = np.arange(0.0, 360.0, 10.0), np.arange(0.0, 50.0, 10.0)
    field = np.cos(np.radians(x))[None, :] * np.ones((5, 1))
    wanted = np.array([-180.0, -95.0, -5.0, 0.0, 355.0, 540.0])
    found = sampled([y, x], [np.full(6, 20.0), wanted], 3, field, b=360.0)
    np.testing.assert_allclose(found, np.cos(np.radians(wanted)), rtol=0, atol=1e-3)
    assert np.isfinite(sampled([y, x], [np.full(6, 20.0), wanted], 1, field, b=360.0)).all()


@pytest.mark.parametrize("ring", [True, False], ids=["globe", "region"])
def test_irregular_regions_have_no_value_beyond_and_irregular_globes_no_seam(ring: bool) -> None:
    """A region with one wide gap was taken for a globe: it gave values where SciPy has none."""
    interpolate = pytest.importorskip("scipy.interpolate")
    random = np.random.default_rng(11)
    for _ in range(25):
        if ring:
            gaps = random.uniform(1.0, 1.4, random.integers(12, 40))
            x = -180 + np.cumsum(gaps * 360 / gaps.sum())
        else:
            gaps = random.uniform(8.0, 14.0, random.integers(12, 15))
            gaps[5] = random.uniform(0.7, 0.95) * (360 - gaps.sum()) / 1.7
            x = random.uniform(-180, 0) + np.concatenate([[0], np.cumsum(gaps)])
        y, field = np.array([0.0, 1.0]), random.normal(size=(2, len(x)))
        places = [random.uniform(0, 1, 200), x[0] + random.uniform(0, 360, 200)]
        wide = np.append(x, x[0] + 360) if ring else x
        theirs = interpolate.interpn(
            (y, wide), field[:, np.arange(len(wide)) % len(x)], np.stack(places, -1), bounds_error=False
        )
        sampler = Sampler([Axis("y", y), Axis("x", x, 360.0)], places, 1)
        found = Edges().applied(sampler.values(field[:, sampler.window[1]]), sampler.outside, sampler.nowhere)
        np.testing.assert_allclose(found, theirs, rtol=0, atol=1e-9)
        assert np.isnan(theirs).any() != ring


@pytest.mark.parametrize(
    ("labels", "ring"),
    [
        ([0.0, 150.0], False),
        ([0.0, 120.0, 240.0], True),
        (np.round(np.arange(256) * 1.406, 3), True),
        (np.concatenate([np.arange(-180, -20, 20.0), np.arange(-20, 20, 1.0), np.arange(20, 180, 20.0)]), True),
        (np.arange(0.0, 359.0), False),
    ],
    ids=["two", "three", "rounded", "fine in one part", "one lacks"],
)
def test_what_goes_all_round_is_told_by_the_gap_that_is_left(labels: list, ring: bool) -> None:
    assert Axis("x", np.asarray(labels), 360.0).closes is ring


def test_longitudes_of_a_region_are_found_from_either_side() -> None:
    x, y = np.array([170.0, 180.0, 190.0]), np.array([0.0, 1.0])
    sampler = Sampler([Axis("y", y), Axis("x", x, 360.0)], [np.zeros(5), [-175.0, 185.0, 169.0, -160.0, -190.0]], 1)
    assert sampler.outside.tolist() == [False, False, True, True, False]
    assert sampler.values(np.array([x, x])).tolist() == [185.0, 185.0, 170.0, 190.0, 170.0]


@pytest.mark.parametrize("order", [1, 2, 3, 4, 5])
def test_window_is_what_is_needed(order: int) -> None:
    """A few places read a few cells, and get what the whole grid would give."""
    y, x = irregular(300), irregular(200)
    field = RNG.normal(size=(300, 200))
    axes = [Axis("y", y), Axis("x", x)]
    sampler = Sampler(axes, [RNG.uniform(y[150], y[152], 9), RNG.uniform(x[1], x[3], 9)], order)
    cells = np.prod([window.stop - window.start for window in sampler.window])
    assert cells <= {1: 40, 2: 1000, 3: 1500, 4: 2500, 5: 3500}[order]
    corners = [np.append(at, along[[0, -1]]) for at, along in zip(sampler._at.T, (y, x), strict=True)]
    whole = Sampler(axes, corners, order)
    assert whole.window == (slice(0, 300), slice(0, 200))
    np.testing.assert_allclose(
        sampler.values(field[sampler.window]), whole.values(field)[:9], rtol=0, atol={5: 1e-7}.get(order, 1e-9)
    )


def test_many_fields_at_once_are_each_by_itself() -> None:
    y, x = irregular(12), irregular(15)
    fields = RNG.normal(size=(2, 3, 12, 15))
    fields[0, 1, 3:5, 4] = np.nan
    fields[1, 2] = np.nan
    fields[1, 0, 8, 9:11] = np.nan
    places = [RNG.uniform(y[0], y[-1], 50), RNG.uniform(x[0], x[-1], 50)]
    for order in (0, 1, 3):
        together = sampled([y, x], places, order, fields)
        assert together.shape == (2, 3, 50)
        for at in np.ndindex(2, 3):
            np.testing.assert_array_equal(together[at], sampled([y, x], places, order, fields[at]))
        assert np.isnan(together[1, 2]).all()


def test_outside_is_what_the_caller_wants() -> None:
    labels = np.array([0.0, 1.0, 2.0])
    sampler = Sampler([Axis("y", labels), Axis("x", labels)], [[1.0, 1.0, 9.0, np.inf], [1.0, -5.0, 9.0, 1.0]], 1)
    values = sampler.values(np.arange(9.0).reshape(3, 3))
    taken = {
        how: Edges(how, fill_val=-1.0, min_val=3.5).applied(values, sampler.outside, sampler.nowhere).tolist()
        for how in ("constant", "nearest")
    }
    assert taken == {"constant": [4.0, -1.0, -1.0, -1.0], "nearest": [4.0, 3.5, 8.0, -1.0]}


def test_place_at_the_last_label_is_inside_in_spite_of_the_last_bits() -> None:
    labels = np.array([0.1, 0.2, 0.3], dtype=np.float32)
    sampler = Sampler([Axis("y", labels), Axis("x", labels)], [[0.1, 0.3 + 1e-8], [0.1, 0.1 + 0.2]], 1)
    assert not sampler.outside.any()


@pytest.mark.parametrize("order", [-1, 6, 1.5, True, "linear"])
def test_order_that_there_is_not_is_refused(order: object) -> None:
    with pytest.raises(InvalidInput, match="expected 0"):
        Sampler([Axis("y", np.arange(9.0))], [[1.0]], order)  # type: ignore[arg-type]


def test_axis_too_short_for_a_spline_is_refused() -> None:
    with pytest.raises(InvalidInput, match="lat has 3 labels; order=3 goes through 4"):
        Sampler([Axis("lat", np.arange(3.0))], [[1.0]], 3)
    with pytest.raises(InvalidInput, match="order=0"):
        Sampler([Axis("lat", np.arange(1.0))], [[0.0]], 1)


def test_extrapolation_that_there_is_not_is_refused() -> None:
    with pytest.raises(InvalidInput, match="'reflect'"):
        Edges("reflect")
