"""Labels of several inputs become one coordinate in which each finds its own again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hmp_catalog.datasets.axes.joining import joined, positions, runs
from hmp_core.errors import InvalidInput

SETS = st.lists(st.sets(st.integers(-40, 40), max_size=25), min_size=1, max_size=4)


@given(SETS, st.sampled_from(["int16", "float32", "float64", "datetime64[h]"]))
def test_every_input_finds_its_labels_in_the_union(sets, name) -> None:
    inputs = [np.array(sorted(each), dtype=np.int64).astype(name) for each in sets]
    made = joined(inputs)
    assert made.values.dtype == inputs[0].dtype
    assert made.values.tolist() == np.array(sorted(set.union(*sets)), dtype=np.int64).astype(name).tolist()
    for labels, place in zip(inputs, made.places, strict=True):
        assert (made.values[place] == labels).all()
        follow = bool((np.diff(positions(place)) == 1).all())
        assert isinstance(place, slice) == follow


@given(SETS, st.floats(-1e4, 1e4), st.floats(1e-3, 10), st.randoms(use_true_random=False))
def test_floats_that_noise_set_apart_are_one_label(sets, start, step, random) -> None:
    exact = start + step * np.arange(-40, 41)
    used = [exact[i + 40] for each in sets for i in each]
    near = 3 * np.spacing(np.abs(used).max(initial=0.0))
    if step < 20 * near:
        return
    noisy = [
        np.array([exact[i + 40] + random.choice([-1, 0, 1]) * near / 2 for i in sorted(each)], dtype=float)
        for each in sets
    ]
    made = joined(noisy)
    assert len(made.values) == len(set.union(*sets))
    for labels, place in zip(noisy, made.places, strict=True):
        assert np.abs(made.values[place] - labels).max(initial=0) <= 2 * near


def test_one_last_bit_makes_no_second_label_and_the_first_stays() -> None:
    first = np.arange(10) / 10
    made = joined([first[:6], np.nextafter(first[4:], 9)])
    assert made.values[:6].tolist() == first[:6].tolist()
    assert made.places == (slice(0, 6), slice(4, 10))


def test_labels_within_half_of_the_precision_are_one() -> None:
    made = joined([np.array([1.001, 1.002]), np.array([1.0022, 1.003])], precision=3)
    assert made.values.tolist() == [1.001, 1.002, 1.003]


def test_labels_that_are_neither_one_nor_two_are_refused() -> None:
    exact = np.arange(1, 40) / 10
    with pytest.raises(InvalidInput, match="neither one label nor clearly two"):
        joined([exact, exact.astype("float32").astype("float64")], of="latitude")
    assert len(joined([exact, exact + 0.05]).values) == 78


def test_a_dense_input_keeps_all_its_labels_beside_a_coarse_one() -> None:
    fine = 1.0 + np.arange(5) * np.spacing(1.0)
    made = joined([np.array([0.0, 1.0]), fine])
    assert made.values.tolist() == [0.0, *fine]


def test_text_keeps_the_order_in_which_it_was_seen() -> None:
    made = joined([np.array(["Tours", "Blois"], object), np.array(["Nevers", "Tours"], object)])
    assert made.values.tolist() == ["Tours", "Blois", "Nevers"]
    assert made.places[0] == slice(0, 2)
    assert positions(made.places[1]).tolist() == [2, 0]
    assert made.arriving().after.tolist() == ["Nevers"]


def test_geometries_are_one_wherever_they_begin() -> None:
    shapely = pytest.importorskip("shapely")
    ring = [(0, 0), (1, 0), (1, 1)]
    one, same, other = (shapely.Polygon(ring), shapely.Polygon(ring[1:] + ring[:1]), shapely.Polygon([*ring, (0, 1)]))
    first, second = np.empty(1, object), np.empty(2, object)
    first[0], second[:] = one, [other, same]
    made = joined([first, second])
    assert made.values.tolist() == [one, other]
    assert positions(made.places[1]).tolist() == [1, 0]


def test_what_comes_is_told_from_what_is_there() -> None:
    made = joined([np.array([3, 5, 9]), np.array([1, 3, 4]), np.array([9, 10])])
    told = made.arriving()
    assert (told.before.tolist(), told.middle.tolist(), told.after.tolist()) == ([1], [4], [10])
    assert told.count == 3
    assert joined([np.array([3, 5, 9]), np.array([5])]).arriving().count == 0
    nothing = joined([np.array([], dtype=int), np.array([2, 3])]).arriving()
    assert (nothing.before.tolist(), nothing.after.tolist()) == ([], [2, 3])


def test_labels_are_taken_in_the_type_of_the_first_or_refused() -> None:
    days, hours = np.array(["2001-01-02"], "datetime64[D]"), np.array(["2001-01-02T00", "2001-01-02T06"], "M8[h]")
    assert joined([hours, days]).places == (slice(0, 2), slice(0, 1))
    with pytest.raises(InvalidInput, match="2001-01-02T06 cannot be kept"):
        joined([days, hours])
    with pytest.raises(InvalidInput, match="cannot be kept"):
        joined([np.array([1], "uint64"), np.array([-1])])
    with pytest.raises(InvalidInput, match="300 cannot be kept as uint8"):
        joined([np.array([1], "uint8"), np.array([300])])
    for other in (np.array([1.0]), np.array(["a"], object), hours):
        with pytest.raises(InvalidInput, match="to unite with int64"):
            joined([np.array([1]), other])
    with pytest.raises(InvalidInput, match="no labels"):
        joined([])


def test_runs_cover_positions_and_nothing_else() -> None:
    assert runs(np.array([], dtype=np.intp)) == []
    there = np.array([4, 5, 6, 9, 2, 3])
    assert runs(there) == [slice(4, 7), slice(9, 10), slice(2, 4)]


@pytest.mark.parametrize(
    "falling", [np.array([3.0, 2.0, 1.0]), np.array([3, 1]), np.array([3, 1], "datetime64[s]")], ids=str
)
def test_what_descends_is_refused_by_its_order(falling) -> None:
    # it was noise between floats, and whole numbers stood twice
    with pytest.raises(InvalidInput, match=r"lat: its labels do not ascend, .*from_xarray"):
        joined([falling, falling], of="lat")
