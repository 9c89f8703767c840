"""Keys mean what they mean to NumPy, on arrays and on what was selected of them, to read and to write."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hmp_catalog.datasets import dtype, open_dataset
from hmp_catalog.datasets.cells.selecting import outer, resolve, whole
from hmp_catalog.errors import NoSuchCell
from hmp_core.errors import InvalidInput


def some_key(rng: np.random.Generator, shape: tuple[int, ...]) -> object:
    """Return a key that NumPy takes for an array of that shape, with one array in it at most."""
    if len(shape) > 1 and rng.random() < 0.05:
        return rng.random(shape) < 0.3
    count = int(rng.integers(0, len(shape) + 1))
    keys: list[object] = [some_side(rng, size) for size in shape[:count]]
    if rng.random() < 0.3:
        back = int(rng.integers(0, count + 1))
        keys = [*keys[:back], Ellipsis, *(some_side(rng, size) for size in shape[len(shape) - (count - back) :])]
    places = [at for at, size in enumerate(sides(keys, shape)) if size is not None]
    if places and rng.random() < 0.4:
        at = places[int(rng.integers(len(places)))]
        keys[at] = some_array(rng, sides(keys, shape)[at] or 0)
    return keys[0] if len(keys) == 1 and rng.random() < 0.5 else tuple(keys)


def sides(keys: list[object], shape: tuple[int, ...]) -> list[int | None]:
    """Return the size of the dimension of each key that is not an Ellipsis."""
    dots = keys.index(Ellipsis) if Ellipsis in keys else len(keys)
    after = len(keys) - dots - 1
    return [
        None if at == dots else shape[at] if at < dots else shape[len(shape) - after + (at - dots - 1)]
        for at in range(len(keys))
    ]


def some_side(rng: np.random.Generator, size: int) -> object:
    if size and rng.random() < 0.4:
        number = int(rng.integers(-size, size))
        return [number, np.int64(number), np.array(number)][int(rng.integers(3))]
    ends = [None if rng.random() < 0.3 else int(rng.integers(-size - 3, size + 4)) for _ in range(2)]
    step = [None, 1, 2, 3, 7, -1, -2, -5][int(rng.integers(8))]
    return slice(*ends, step)


def some_array(rng: np.random.Generator, size: int) -> object:
    kind = int(rng.integers(3))
    if kind == 0 or not size:
        return rng.random(size) < 0.5
    found = rng.integers(-size, size, int(rng.integers(0, 6)))
    return found.tolist() if kind == 1 else found


def shapes() -> st.SearchStrategy[tuple[int, ...]]:
    return st.lists(st.integers(0, 9), min_size=1, max_size=4).map(tuple)


@settings(max_examples=400)
@given(shapes(), st.integers(0, 2**32))
def test_a_key_on_a_key_on_a_key_means_what_it_means_to_numpy(shape, seed) -> None:
    rng = np.random.default_rng(seed)
    array = np.arange(math.prod(shape)).reshape(shape)
    selection, expected = whole(shape), array
    for _ in range(3):
        key = some_key(rng, expected.shape)
        selection, expected = selection.compose(key), expected[key]
        assert selection.shape == expected.shape
        np.testing.assert_array_equal(selection.finish(array[selection.window]), expected)


@settings(max_examples=200)
@given(shapes(), st.integers(0, 2**32))
def test_what_is_written_through_a_key_is_what_numpy_writes(shape, seed) -> None:
    rng = np.random.default_rng(seed)
    key = some_key(rng, shape)
    found, expected = (np.zeros(shape, dtype=int) for _ in range(2))
    values = rng.integers(1, 100, expected[key].shape)
    selection = resolve(key, shape)
    selection.scatter(found[selection.window], values)
    expected[key] = values
    np.testing.assert_array_equal(found, expected)


@settings(max_examples=200)
@given(shapes(), st.integers(0, 2**32))
def test_the_parts_of_a_selection_are_within_blocks_and_are_all_of_it(shape, seed) -> None:
    rng = np.random.default_rng(seed)
    unit = [int(rng.integers(1, 5)) for _ in shape]
    array = np.arange(math.prod(shape)).reshape(shape)
    selection = resolve(some_key(rng, shape), shape)
    if not selection.size:
        return
    found = np.full(selection.shape, -1)
    for places, part in selection.parts(unit):
        assert all((s.stop - 1) // u == s.start // u for s, u in zip(part.window, unit, strict=True))
        found[np.ix_(*places)] = part.finish(array[part.window])
    np.testing.assert_array_equal(found, selection.finish(array[selection.window]))


def test_the_window_is_the_smallest_block_that_has_the_cells() -> None:
    assert resolve((slice(2, 9, 3), -1, [4, 1]), (10, 6, 7)).window == (slice(2, 9), slice(5, 6), slice(1, 5))
    assert resolve((slice(8, 2), 1), (10, 6)).window == (slice(0, 0), slice(1, 1))


def test_a_block_is_known_and_so_is_what_is_none() -> None:
    shape = (10, 6, 7)
    assert resolve((slice(1, 5), 2), shape).is_block
    assert resolve((slice(1, 2, 5), Ellipsis, slice(None)), shape).is_block
    assert not resolve(slice(None, None, 2), shape).is_block
    assert not resolve([1, 2], shape).is_block
    assert resolve(np.ones(shape, dtype=bool), shape).dims is None
    assert resolve((3, slice(None), [1, 2]), shape).dims == (2, 1)


def test_an_ellipsis_that_means_nothing_separates_all_the_same() -> None:
    array = np.arange(24).reshape(2, 3, 4)
    for key in ((slice(None), 0, Ellipsis, [1, 2, 3]), (slice(None), [1, 2, 2], Ellipsis, 0)):
        assert array[key].shape == (3, 2)
        found = resolve(key, array.shape)
        np.testing.assert_array_equal(found.finish(array[found.window]), array[key])


def test_select_takes_each_key_for_itself_and_keeps_every_dimension() -> None:
    array = np.arange(60).reshape(3, 4, 5)
    found = outer((-1, [0, 2], np.array([True, False, True, False, True])), array.shape)
    np.testing.assert_array_equal(found.finish(array[found.window]), array[np.ix_([2], [0, 2], [0, 2, 4])])


@pytest.mark.parametrize("key", [3, -4, (0, 5), ([0, 3],), (slice(None), [-6]), np.int64(3)])
def test_a_cell_beyond_the_array_is_an_index_error(key) -> None:
    with pytest.raises(NoSuchCell, match="beyond dimension") as caught:
        resolve(key, (3, 5))
    assert isinstance(caught.value, IndexError)
    assert caught.value.size in (3, 5)


@pytest.mark.parametrize(
    ("key", "says"),
    [
        (([0], [1]), "select"),
        ((np.array([True, False, True]), [1]), "select"),
        (1.0, "expected an int"),
        ("a", "expected an int"),
        (None, "expected an int"),
        (True, "expected an int"),
        ((0, 0, 0), "3 keys"),
        ((Ellipsis, Ellipsis), "Ellipsis"),
        ([True, False], "a mask"),
        ([0.5], "expected ints"),
        (np.zeros((2, 2), dtype=int), "expected ints"),
        (slice(None, None, 0), "zero"),
        (slice("a", None), "integers"),
    ],
    ids=str,
)
def test_another_key_is_refused_with_what_it_should_be(key, says) -> None:
    with pytest.raises(InvalidInput, match=says):
        resolve(key, (3, 5))


def test_numpy_takes_every_key_that_the_oracle_makes() -> None:
    """The oracle must meet what it is there for: each kind of key is among those that it makes."""
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(500):
        key = some_key(rng, (5, 4, 3))
        operator.getitem(np.zeros((5, 4, 3)), key)
        seen |= {type(each).__name__ for each in (key if isinstance(key, tuple) else (key,))}
    assert seen >= {"int", "int64", "slice", "ellipsis", "list", "ndarray"}


# ── on data sets ─────────────────────────────────────────────────────────────────────────────────────

#: A type -> how many values of it are made of whole numbers.
KINDS: dict[str, Any] = {
    "packed": (
        dtype("float32", precision=2, min_value=-50, max_value=60),
        lambda n: (n % 10000 / 100 - 45).astype("float32"),
    ),
    "float": (dtype("float64"), lambda n: n / 7),
    "integer": (dtype("int16"), lambda n: (n % 30000 - 9000).astype("int16")),
    "truth": (dtype("bool"), lambda n: n % 3 == 0),
    "datetime": (dtype("datetime64[h]"), lambda n: n.astype("datetime64[h]")),
    "text": (dtype("string"), lambda n: np.array([f"é{each}" for each in n.flat], dtype=object).reshape(n.shape)),
}


def some_values(rng: np.random.Generator, of: Any, shape: tuple[int, ...]) -> Any:
    """Return values of a shape, or of one that NumPy stretches over it."""
    form = [1 if rng.random() < 0.1 else size for size in shape]
    form = form[int(rng.integers(len(form) + 1)) :] if rng.random() < 0.1 else form
    return of(rng.integers(0, 10**6, form))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ndim", [1, 2, 3, 4])
def test_keys_read_and_write_what_numpy_does(kind, ndim, tmp_path) -> None:
    """Scenario 11: 24 data sets, each of 80 chains of up to 3 keys that read and of 12 that write."""
    rng = np.random.default_rng([ndim, list(KINDS).index(kind)])
    of, values = KINDS[kind]
    shape = tuple(int(each) for each in rng.integers(3, 11, ndim))
    chunks = tuple(int(each) for each in rng.integers(1, 7, ndim))
    with open_dataset(tmp_path / "v.zarr", "n") as ds:
        for axis, size in enumerate(shape):
            ds.create.coord.generic(f"c{axis}", np.arange(size))
        var = ds.create.data_var.generic("v", tuple(f"c{axis}" for axis in range(ndim)), of, chunks)
        expected = var.data
        for _ in range(12):
            key = some_key(rng, shape)
            given = some_values(rng, values, np.shape(expected[key]))
            var[key] = given
            expected[key] = given
        for read in (var, None):
            if read is None:
                ds.commit()
            for _ in range(40):
                view, found = ds["v"], expected
                for _ in range(int(rng.integers(1, 4))):
                    if not np.ndim(found):
                        break
                    key = some_key(rng, found.shape)
                    view, found = view[key], found[key]
                assert view.shape == np.shape(found)
                np.testing.assert_array_equal(view.data, found)
