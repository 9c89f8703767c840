"""A scale and an offset span a range with all codes but the one for missing values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hmp_catalog.datasets.values.scaling import compute_scale_and_offset
from hmp_core.errors import InvalidInput

WIDTHS = ["int8", "uint8", "int16", "uint16", "int32", "uint32"]


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6), st.sampled_from(WIDTHS))
def test_the_range_takes_every_code_but_one(low, extent, dtype):
    scale, offset = compute_scale_and_offset(low, low + extent, dtype)
    room = np.iinfo(dtype)
    codes = np.rint((np.array([low, low + extent]) - offset) / scale)
    # of 32 bits and a narrow range far from 0, the bounds themselves are told less finely than the codes
    slack = np.spacing(abs(low) + extent) / scale + 1e-6 * (room.bits == 32) * abs(codes)
    assert np.all(np.abs(codes - [room.min + 1, room.max]) <= slack)


@pytest.mark.parametrize("dtype", WIDTHS)
def test_values_come_back_within_half_a_step(dtype):
    values = np.linspace(-50, 100, 977)
    scale, offset = compute_scale_and_offset(-50, 100, dtype)
    codes = np.rint((values - offset) / scale).astype(dtype)
    assert np.abs(codes * scale + offset - values).max() <= scale / 2 * (1 + 1e-6)


@pytest.mark.parametrize(
    ("low", "high", "dtype"),
    [
        (0, 0, "int16"),
        (1, 0, "int16"),
        (0, float("nan"), "int16"),
        (float("-inf"), 0, "int16"),
        (-1e308, 1e308, "int16"),
        (0, 1, "float32"),
        (0, 1, "int64"),
        (0, 1, "bool"),
        (0, 1, "datetime64[s]"),
    ],
)
def test_what_cannot_be_spanned_is_refused(low, high, dtype):
    with pytest.raises(InvalidInput, match="expected"):
        compute_scale_and_offset(low, high, dtype)
