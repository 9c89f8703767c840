"""Coordinates: what they refuse, how they go on, and that a caller's array stays as it is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hmp_catalog.datasets.axes.ticks import agreed_step, appended, checked, prepended, step_of, truncated
from hmp_core.errors import InvalidInput, NotFound

KINDS = ("int64", "uint8", "float32", "float64", "datetime64[h]", "datetime64[ns]")


def grid(kind: str, start: float, step: float, count: int) -> np.ndarray:
    """Return ``count`` values of a type, regular."""
    if kind.startswith("float"):
        return (start + step * np.arange(count)).astype(kind)
    return (int(start) + int(step) * np.arange(count)).astype(kind)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ([1.0, np.nan], "nan at 1"),
        ([1.0, np.inf], "inf at 1"),
        (np.array(["2001", "NaT"], dtype="datetime64[D]"), "NaT at 1"),
        ([1, 2, 2], "2 stands at 1 and again at 2"),
        ([3, 2, 1], "Turn them and their data together"),
        ([1, 3, 2], "2 at 2 comes after 3"),
        ([[1, 2]], r"shape \(1, 2\)"),
        (3, r"shape \(\)"),
        ([True, False], "False at 1 comes after True"),
        ([1 + 2j], "expected numbers"),
        (np.array(["a", "b", "a"], dtype=object), "'a' stands at 0 and again at 2"),
        (np.array(["a", None], dtype=object), "None at 1 is not text"),
        (np.ma.array([1, 2], mask=[0, 1]), "masked"),
    ],
    ids=str,
)
def test_what_is_no_coordinate_is_refused(values, why) -> None:
    with pytest.raises(InvalidInput, match=why):
        checked(values)


def test_the_array_of_the_caller_is_neither_changed_nor_kept() -> None:
    values = np.array([1.0, 2.0])
    kept = checked(values)
    values[0] = 9
    assert kept.tolist() == [1.0, 2.0]
    falling = np.array([2.0, 1.0])
    with pytest.raises(InvalidInput):
        checked(falling)
    assert falling.tolist() == [2.0, 1.0]
    assert checked(np.array(["b", "a"])).tolist() == ["b", "a"]


# ── steps ────────────────────────────────────────────────────────────────────────────────────────────


@given(st.sampled_from(KINDS), st.integers(0, 50), st.integers(1, 4), st.integers(2, 40))
def test_whole_steps_are_found(kind, start, step, count) -> None:
    assert step_of(grid(kind, start, step, count)) == step


@pytest.mark.parametrize("step", [1e-6, 1 / 3, 0.1, 0.25, 1e-9, 1234.5])
@pytest.mark.parametrize("start", [0.0, 50.0, -179.875])
@pytest.mark.parametrize("count", [2, 10, 20_000])
def test_steps_of_floats_are_found_however_they_were_made(step, start, count) -> None:
    if step < 1e-8 and start:
        return  # the noise of doubles at 180 is 4 % of a step
    for values in (
        start + step * np.arange(count),
        np.arange(start, start + step * (count - 0.5), step),
        np.linspace(start, start + step * (count - 1), count),
    ):
        assert step_of(values) == pytest.approx(step, rel=1e-5)


def test_steps_are_said_shortly_and_rounded_values_are_regular() -> None:
    assert step_of(np.arange(0, 1, 0.1)) == 0.1
    assert step_of(50 + 1e-6 * np.arange(9_000)) == 1e-6
    assert step_of(np.round(np.arange(100) / 3, 6), precision=6) == pytest.approx(1 / 3, rel=1e-6)
    assert step_of(np.arange(-90, 90.25, 0.25, dtype="float32")) == 0.25


@given(st.sampled_from(["int64", "float64", "datetime64[s]"]), st.lists(st.integers(1, 9), min_size=2, max_size=9))
def test_irregular_values_have_no_step(kind, gaps) -> None:
    values = np.cumsum(gaps).astype(kind)
    assert (step_of(values) is None) == (len(set(gaps[1:])) > 1)


def test_a_step_is_agreed_upon() -> None:
    values = np.array([0, 6, 12], dtype="datetime64[h]")
    assert agreed_step(values, np.timedelta64(6, "h")) == agreed_step(values, True) == agreed_step(values, 6) == 6
    assert agreed_step(values, np.timedelta64(360, "m")) == 6
    assert agreed_step(values, False) is None
    assert agreed_step(np.array([1, 2, 4]), True) is None
    assert agreed_step(np.arange(3) / 3, 1 / 3) == 1 / 3
    assert agreed_step(np.array([5.0]), 0.5) == 0.5
    refused = [
        (values, 3), (values, 0), (values, -6), (values, np.timedelta64(90, "m")), (values, "6h"),
        (np.array([0, 1, 3]), 1), (np.arange(3.0), float("nan")), (np.array(["a"], dtype=object), 1),
    ]  # fmt: skip
    for refusing, step in refused:
        with pytest.raises(InvalidInput, match="step"):
            agreed_step(refusing, step)


# ── going on ─────────────────────────────────────────────────────────────────────────────────────────


@given(
    st.sampled_from(KINDS),
    st.sampled_from([1, 2, 3, 1 / 3, 0.1, 1e-6]),
    st.integers(2, 20),
    st.sets(st.integers(1, 40), min_size=1, max_size=6),
    st.booleans(),
    st.booleans(),
)
def test_gaps_are_filled_at_either_end(kind, step, count, offsets, before, inferred) -> None:
    if not kind.startswith("float"):
        step = max(1, int(step))
    if kind == "float32":
        step = max(step, 0.1)
    places = sorted(offsets)
    whole = grid(kind, 5, step, count + places[-1])
    if before:
        values, new = whole[places[-1] :], whole[[places[-1] - p for p in reversed(places)]]
        grown = prepended(values, new, True if inferred else step)
        old = slice(places[-1], len(whole))
    else:
        values, new = whole[:count], whole[[count - 1 + p for p in places]]
        grown = appended(values, new, True if inferred else step)
        old = slice(0, count)
    near = 0 if not kind.startswith("float") else 16 * np.spacing(np.abs(whole).max())
    assert grown.values.dtype == values.dtype
    assert len(grown.values) == len(whole)
    assert np.abs(grown.values - whole).astype(float).max() <= near
    assert grown.old == old
    np.testing.assert_array_equal(grown.values[grown.old], values)
    np.testing.assert_array_equal(grown.values[grown.given], new)
    assert grown.filled == places[-1] - len(places)
    checked(grown.values)


@pytest.mark.parametrize(
    ("values", "step", "off"),
    [
        (np.arange(0, 24, 6), 6, [25]),
        (np.arange(0, 24, 6), True, [24, 31]),
        (np.arange(10) * 1e-6, True, [10.5e-6]),
        (50 + np.arange(10) * 1e-6, 1e-6, [50 + 10.01e-6]),
        (np.arange(10) / 3, True, [3.5]),
        (np.arange(3.0), True, [3.0, 3.00001]),
        (np.arange(3.0), 1, [2.00001]),
        (np.arange(10) / 3, 1 / 3, [10 / 3 + 0.001]),
        (np.arange(0, 24, 6, dtype="datetime64[h]"), True, np.array([25], dtype="datetime64[h]")),
        (np.arange(0, 24, 6, dtype="datetime64[h]"), 6, np.array([24, 26], dtype="datetime64[h]")),
    ],
    ids=str,
)
def test_what_is_off_the_grid_is_refused_at_either_end(values, step, off) -> None:
    before = values.copy()
    with pytest.raises(InvalidInput, match="whole number of steps"):
        appended(values, off, step, of="t")
    mirrored = values[0] - (np.asarray(off)[::-1] - values[-1])
    with pytest.raises(InvalidInput, match="whole number of steps"):
        prepended(values, mirrored, step)
    assert appended(values, off).filled == prepended(values, mirrored).filled == 0
    np.testing.assert_array_equal(values, before)


@pytest.mark.parametrize(
    "new", [[3], [2], [4, 4], [5, 4], [np.nan], [[4]], ["4"], [4.5], np.array([4], "datetime64[D]")]
)
def test_a_batch_that_does_not_go_on_is_refused(new) -> None:
    with pytest.raises(InvalidInput):
        appended(np.array([1, 2, 3]), new)


def test_a_batch_before_the_first_must_be_before_it() -> None:
    for new in ([1], [2], [0, 0], [0, 5]):
        with pytest.raises(InvalidInput):
            prepended(np.array([1, 2, 3]), new)
    with pytest.raises(InvalidInput, match="cannot be kept as uint8"):
        appended(np.array([1], dtype="uint8"), [256])
    with pytest.raises(InvalidInput, match="cannot be kept as datetime64"):
        appended(np.array(["2001-01-01"], "datetime64[D]"), np.array(["2001-01-02T06"], "datetime64[h]"))
    with pytest.raises(InvalidInput):
        appended(np.array([1e8], dtype="float32"), [1e8 + 1])


def test_text_goes_on_in_any_order_once_each() -> None:
    stations = checked(np.array(["b", "a"]))
    assert appended(stations, ["z", "c"]).values.tolist() == ["b", "a", "z", "c"]
    found = prepended(stations, ["z"])
    assert (found.values.tolist(), found.old, found.given.tolist()) == (["z", "b", "a"], slice(1, 3), [0])
    with pytest.raises(InvalidInput, match="again"):
        appended(stations, ["a"])


def test_what_comes_first_tells_the_step_and_nothing_adds_nothing() -> None:
    assert appended(np.array([0]), [5, 10, 15], True).filled == 0
    assert appended(np.array([0]), [5, 6], True).filled == 0
    empty = appended(np.array([1.0, 2.0]), [], True)
    assert (empty.values.tolist(), empty.added) == ([1.0, 2.0], 0)
    assert appended(np.array([], dtype="int64"), [4, 5]).given.tolist() == [0, 1]
    assert prepended(np.array([], dtype="int64"), [4, 5]).given.tolist() == [0, 1]
    ends = appended(np.array([-(2**63), 0], dtype="int64"), [2**63 - 1])
    assert ends.values.tolist() == [-(2**63), 0, 2**63 - 1]


# ── what is kept ─────────────────────────────────────────────────────────────────────────────────────


@given(st.integers(1, 60), st.data(), st.integers(1, 25))
def test_truncation_keeps_both_ends_and_tells_what_is_dead(count, data, chunk) -> None:
    values = np.arange(count) * 2.0
    first = data.draw(st.integers(0, count - 1))
    last = data.draw(st.integers(first, count - 1))
    cut = truncated(values, first * 2.0, last * 2.0)
    assert cut.kept == slice(first, last + 1)
    np.testing.assert_array_equal(cut.values, values[first : last + 1])
    dead = cut.dead(chunk)
    assert dead.start == len(cut.values)
    assert dead.stop % chunk == 0
    assert 0 <= dead.stop - dead.start < chunk


def test_truncating_to_nothing_is_refused() -> None:
    days = np.arange("2001-01-01", "2001-02-01", dtype="datetime64[D]")
    assert len(truncated(days, "2001-01-30").values) == 2
    with pytest.raises(InvalidInput, match="nothing is left"):
        truncated(days, "2002")
    with pytest.raises(NotFound):
        truncated(np.array(["a", "b"], dtype=object), "c")
