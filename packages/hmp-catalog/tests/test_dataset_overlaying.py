"""Which layer gives a cell is told cell by cell, whatever the blocks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hmp_catalog.datasets.combined.overlaying import Layer, cut, laid, touched
from hmp_catalog.datasets.dtypes import dtype
from hmp_catalog.datasets.values.plans import plan
from hmp_catalog.errors import OutOfRange, OverlapRefused
from hmp_core.errors import InvalidInput

PACKED = plan(dtype("float64", precision=1, min_value=0, max_value=100))
PLAIN, WHOLE, TEXT = plan(dtype("float32")), plan(dtype("int16")), plan(dtype("string"))


def layer(values, places, packing=PACKED, name="input") -> Layer:
    codes = packing.encode(values)
    return Layer(name, lambda window: codes[window], packing, tuple(np.asarray(each, np.intp) for each in places))


def put(shape, layers, overlap="last", *, packing=PACKED, unit=None, max_mem=1 << 20):
    """Lay layers on a target of that shape that is empty, block by block; return its values and the blocks."""
    target = packing.blank(shape)
    whole = Layer("target", lambda window: target[window].copy(), packing, tuple(np.arange(n) for n in shape))
    unit = unit or shape
    written = []
    for region in cut(touched(layers, shape, unit), packing, (unit, unit), max_mem):
        block = laid(region, packing, [whole, *layers], overlap, (unit, max_mem))
        if block is not None:
            target[region] = block.codes
            written.append(region)
    return packing.decode(target), written


NUMBERS = st.lists(st.integers(0, 11), unique=True, min_size=1, max_size=9)


@given(
    st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=4), st.integers(1, 5), st.integers(1, 5),
    st.sampled_from(["last", "first"]), st.integers(0, 2**32 - 1), st.integers(1, 4000),
)  # fmt: skip
def test_cells_are_those_of_a_plain_loop(places, rows, columns, overlap, seed, max_mem) -> None:
    rng = np.random.default_rng(seed)
    expected = np.full((12, 12), np.nan)
    layers = []
    for one, other in places:
        values = np.round(rng.uniform(0, 100, (len(one), len(other))), 1)
        values[rng.random(values.shape) < 0.4] = np.nan
        layers.append(layer(values, (one, other)))
        for i, row in enumerate(one):
            for j, column in enumerate(other):
                if not np.isnan(values[i, j]) and (overlap == "last" or np.isnan(expected[row, column])):
                    expected[row, column] = values[i, j]
    found, _ = put((12, 12), layers, overlap, unit=(rows, columns), max_mem=max_mem)
    assert np.allclose(found, expected, atol=1e-9, equal_nan=True)


@given(st.sets(st.integers(0, 9)), st.sets(st.integers(0, 9)), st.integers(1, 4))
def test_cells_that_two_have_are_an_error_and_no_others(one, other, unit) -> None:
    layers = []
    for cells in (one, other):
        values = np.full(10, np.nan)
        values[sorted(cells)] = 7
        layers.append(layer(values, [range(10)], name="rain of b.zarr"))
    if not one & other:
        found, _ = put((10,), layers, "error", unit=(unit,))
        assert set(np.flatnonzero(~np.isnan(found))) == one | other
        return
    with pytest.raises(OverlapRefused, match=r"^rain of b\.zarr, ") as refused:
        put((10,), layers, "error", unit=(10,))
    both = sorted(one & other)
    assert refused.value.region == f"[{both[0]}:{both[-1] + 1}]"


def test_of_types_that_cannot_be_missing_all_cells_are_there() -> None:
    zeros, ones = layer(np.zeros(6, int), [range(6)], WHOLE), layer(np.ones(6, int), [range(2, 8)], WHOLE)
    target = np.full(10, 5, np.int16)
    there = Layer("target", lambda window: target[window], WHOLE, (np.arange(4),))  # the rest has come just now
    block = laid((slice(0, 10),), WHOLE, [there, zeros, ones], "first", ((3,), 9))
    assert block.codes.tolist() == [5, 5, 5, 5, 0, 0, 1, 1, 0, 0]
    block = laid((slice(0, 10),), WHOLE, [there, zeros, ones], "last", ((4,), 1))
    assert block.codes.tolist() == [0, 0, 1, 1, 1, 1, 1, 1, 0, 0]


def test_text_of_no_length_is_missing() -> None:
    first, second = np.array(["a", None, "c"], object), np.array(["x", "y", ""], object)
    layers = [layer(each, [range(3)], TEXT) for each in (first, second)]
    assert put((3,), layers, packing=TEXT)[0].tolist() == ["x", "y", "c"]
    assert put((3,), layers, "first", packing=TEXT)[0].tolist() == ["a", "y", "c"]


def test_only_blocks_that_change_are_written() -> None:
    values = np.full(100, np.nan)
    values[55] = 1
    assert put((100,), [layer(values, [range(100)])], unit=(10,), max_mem=1)[1] == [(slice(50, 60),)]
    assert put((100,), [layer(np.full(100, np.nan), [range(100)])], unit=(10,), max_mem=1)[1] == []
    assert put((100,), [layer(np.ones(3), [[97, 20, 21]])], unit=(10,), max_mem=1)[1] == [
        (slice(20, 30),), (slice(90, 100),)
    ]  # fmt: skip


def test_what_another_packing_does_not_reach_is_refused() -> None:
    wide = plan(dtype("float64", precision=3, min_value=-10, max_value=1000))
    found, _ = put((4,), [layer([1.24, np.nan, 99.94], [[0, 1, 3]], wide)])
    assert np.allclose(found, [1.2, np.nan, np.nan, 99.9], equal_nan=True)
    with pytest.raises(OutOfRange) as refused:
        put((4,), [layer([1.0, 2.0, 300.5], [[0, 1, 3]], wide, name="rain of c.zarr")])
    assert (refused.value.variable, refused.value.position) == ("rain of c.zarr", (2,))
    assert refused.value.value == pytest.approx(300.5)
    with pytest.raises(InvalidInput, match="nothing that means missing"):
        put((4,), [layer([np.nan], [[0]])], packing=WHOLE)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 7), st.integers(1, 7), st.integers(1, 20_000))
def test_blocks_cover_a_region_once_and_stay_within_the_budget(rows, columns, high, wide, max_mem) -> None:
    seen = np.zeros((rows, columns), int)
    for region in cut((slice(0, rows), slice(0, columns)), PLAIN, ((high * 2, wide), (high, wide)), max_mem):
        seen[region] += 1
        cells = math.prod(side.stop - side.start for side in region)
        assert cells * 13 <= max_mem * 3 // 4 or cells <= high * wide
        assert region[0].start % (high if high * 2 * wide * 13 > max_mem * 3 // 4 else high * 2) == 0
        assert region[1].start % wide == 0
    assert (seen == 1).all()
