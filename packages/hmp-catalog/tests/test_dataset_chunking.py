"""Chunk shapes: what is asked for is checked; what is chosen divides the array and has the size that is wanted."""

from __future__ import annotations

import math

import pytest

from hmp_catalog.datasets.cells import chunking
from hmp_core.errors import InvalidInput

SHAPES = [(8760, 100, 100), (87600, 100, 100), (500, 500, 500), (1000, 1000), (360, 24, 720, 1440), (2, 10**6)]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_chosen_chunk_divides_the_array(shape: tuple[int, ...]) -> None:
    chunk = chunking.variable_chunk_shape(shape)
    assert all(length % edge == 0 for length, edge in zip(shape, chunk, strict=True))
    assert chunking.ELEMENTS / 2 <= math.prod(chunk) <= chunking.ELEMENTS * 1.5


@pytest.mark.parametrize("shape", [(101, 103, 107), (1000003,), (37, 1440, 721), (8761, 13, 199), (365, 24, 720, 1440)])
def test_of_lengths_that_nothing_divides_little_sticks_out(shape: tuple[int, ...]) -> None:
    chunk = chunking.variable_chunk_shape(shape)
    covered = math.prod(math.ceil(length / edge) * edge for length, edge in zip(shape, chunk, strict=True))
    assert covered <= 1.1 * math.prod(shape)
    assert chunking.ELEMENTS / 2 <= math.prod(chunk) <= chunking.ELEMENTS * 1.5


def test_a_small_array_is_one_chunk() -> None:
    assert chunking.variable_chunk_shape((24, 100, 100)) == (24, 100, 100)
    assert chunking.variable_chunk_shape(()) == ()


def test_axes_of_one_length_are_cut_alike_but_for_the_first() -> None:
    assert chunking.variable_chunk_shape((8760, 100, 100)) == (730, 20, 20)
    assert chunking.variable_chunk_shape((500, 500, 500)) == (100, 50, 50)


def test_an_axis_without_labels_is_named() -> None:
    with pytest.raises(InvalidInput, match=r"time has no labels yet.*chunk_shape="):
        chunking.variable_chunk_shape((0, 10), ("time", "latitude"))


def test_a_guess_keeps_to_the_bytes_that_are_wanted() -> None:
    for target in (2**16, 2**21, 2**24):
        assert math.prod(chunking.guess_chunk_shape((8760, 100, 100), 4, target)) * 4 <= 1.5 * target


@pytest.mark.parametrize("given", [(1, 0), (1, -1), (1, 2.0), (True, 2), "ab", 5, (1, 2, 3), None])
def test_a_chunk_shape_is_as_many_positive_integers_as_dimensions(given: object) -> None:
    with pytest.raises(InvalidInput):
        chunking.checked_chunk_shape(given, 2)
    with pytest.raises(InvalidInput, match="no positive integer"):
        chunking.guess_chunk_shape((3, 0), 4)


def test_a_list_and_numpy_integers_are_a_chunk_shape() -> None:
    import numpy as np

    assert chunking.checked_chunk_shape([np.int64(3), 4], 2) == (3, 4)
