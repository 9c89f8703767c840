"""What a store looks like, as plain data: names, attributes, chunks and shards."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hmp_catalog.fields import schema
from hmp_core.errors import InvalidInput

SHAPES = st.lists(st.integers(1, 4000), min_size=1, max_size=4).filter(lambda shape: math.prod(shape) < 10**9)


@given(shape=SHAPES, itemsize=st.sampled_from([1, 4, 8]), timed=st.booleans())
def test_chunks_and_files_stay_within_their_sizes(shape: list[int], itemsize: int, *, timed: bool) -> None:
    cut = schema.layout(shape, itemsize, 0 if timed else None)
    assert math.prod(cut.chunks) * itemsize <= schema.CHUNK_BYTES
    # a file is a whole number of chunks, which may cost it a few rows more
    assert math.prod(cut.file) * itemsize <= 1.5 * schema.SHARD_BYTES


@given(shape=SHAPES, itemsize=st.sampled_from([1, 4, 8]), timed=st.booleans())
def test_a_file_is_a_whole_number_of_chunks(shape: list[int], itemsize: int, *, timed: bool) -> None:
    cut = schema.layout(shape, itemsize, 0 if timed else None)
    assert all(f % c == 0 for f, c in zip(cut.file, cut.chunks, strict=True))


@given(shape=SHAPES, itemsize=st.sampled_from([1, 4, 8]))
def test_nothing_is_padded_by_more_than_a_chunk(shape: list[int], itemsize: int) -> None:
    cut = schema.layout(shape, itemsize, 0)
    assert all(f < n + c for n, f, c in zip(shape, cut.file, cut.chunks, strict=True))


@settings(max_examples=50)
@given(step=st.lists(st.integers(1, 300), min_size=0, max_size=3), more=st.integers(0, 10**7))
def test_beyond_the_first_file_the_cut_does_not_depend_on_the_number_of_steps(step: list[int], more: int) -> None:
    full = schema.steps_per_file(step, 8)
    assert schema.layout((full, *step), 8, 0) == schema.layout((full + more, *step), 8, 0)


def test_a_field_of_five_megabytes_is_one_file() -> None:
    shape = (365, 60, 55)
    assert all(f >= n for f, n in zip(schema.layout(shape, 4, 0).file, shape, strict=True))


def test_a_map_and_a_series_touch_about_as_many_chunks() -> None:
    shape = (1000, 200, 200)
    chunks = schema.layout(shape, 4, 0).chunks
    shard = schema.layout(shape, 4, 0).file
    series = shard[0] / chunks[0]
    whole_map = math.prod(math.ceil(n / c) for n, c in zip(shape[1:], chunks[1:], strict=True))
    assert 0.25 <= series / whole_map <= 4


def test_a_single_chunk_is_not_wrapped_into_a_shard() -> None:
    assert schema.layout((10, 10), 8, 0).shards is None


# ── attributes ───────────────────────────────────────────────────────────────────────────────────────


def test_the_standard_name_follows_the_units() -> None:
    names = {units: schema.variable_attributes("precipitation", units, None).get("standard_name") for units in
             ("mm d-1", "mm", "kg m-2 s-1", "kg m-2", "furlong")}  # fmt: skip
    assert names == {
        "mm d-1": "lwe_precipitation_rate",
        "mm": "lwe_thickness_of_precipitation_amount",
        "kg m-2 s-1": "precipitation_flux",
        "kg m-2": "precipitation_amount",
        "furlong": None,
    }


def test_units_are_assumed_only_where_everybody_uses_the_same() -> None:
    assert schema.variable_attributes("head", None, None)["units"] == "m"
    assert "units" not in schema.variable_attributes("recharge", None, None)
    assert "units" not in schema.variable_attributes("tracer", None, None)


def test_a_duration_keeps_its_meaning_and_stays_a_number_for_xarray() -> None:
    assert schema.variable_attributes("residence_time", "days", None)["units"] == "d"


def test_what_the_caller_says_goes_before_what_is_known() -> None:
    found = schema.variable_attributes("head", "m", {"long_name": "piezometric level"})
    assert found["long_name"] == "piezometric level"


@pytest.mark.parametrize("name", ["_FillValue", "scale_factor", "add_offset", "missing_value", "coordinates"])
def test_an_attribute_that_would_change_the_numbers_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match=name):
        schema.variable_attributes("head", "m", {name: 1})


@pytest.mark.parametrize("value", [math.nan, math.inf, object(), {"a": math.nan}, [1, math.nan], b"bytes"])
def test_an_attribute_that_json_cannot_keep_is_refused(value: object) -> None:
    with pytest.raises(InvalidInput, match="attribute comment of head"):
        schema.variable_attributes("head", "m", {"comment": value})


def test_numpy_values_become_plain_attributes() -> None:
    found = schema.variable_attributes("head", "m", {"valid_range": np.array([0, 9]), "n": np.int64(3)})
    assert (found["valid_range"], found["n"]) == ([0, 9], 3)
    assert type(found["n"]) is int


def test_labels_have_neither_units_nor_a_standard_name() -> None:
    found = schema.coordinate_attributes("layer", {}, index=True, text=True)
    assert found == {"long_name": "model layer"}


def test_only_the_index_of_a_dimension_is_an_axis() -> None:
    assert schema.coordinate_attributes("x", {}, index=True, text=False)["axis"] == "X"
    assert "axis" not in schema.coordinate_attributes("x", {}, index=False, text=False)


def test_a_coordinate_in_other_units_loses_the_name_that_is_no_longer_true() -> None:
    assert "standard_name" not in schema.coordinate_attributes("x", {"units": "degrees"}, index=True, text=False)


@pytest.mark.parametrize("name", ["", "1st", "a/b", "..", "a b", "é", "x" * 65, "zarr.json", None])
def test_a_name_that_could_leave_the_store_or_confuse_a_reader_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="cannot name a field"):
        schema.check_name(name, "field")
