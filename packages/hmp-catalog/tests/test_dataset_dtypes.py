"""A data type says what it is given to say, and refuses what would mean nothing."""

from __future__ import annotations

import numpy as np
import pytest

from hmp_catalog.datasets.dtypes import declared, dtype
from hmp_core.errors import InvalidInput


@pytest.mark.parametrize(
    ("given", "name", "kind"),
    [
        ("float32", "float32", "float"),
        (float, "float64", "float"),
        (np.dtype(">i2"), "int16", "integer"),
        ("<f4", "float32", "float"),
        ("datetime64[m]", "datetime64[m]", "datetime"),
        (np.dtype("M8[h]"), "datetime64[h]", "datetime"),
        (bool, "bool", "bool"),
        (str, "string", "string"),
        ("U5", "string", "string"),
        (np.dtype("U5"), "string", "string"),
        ("line", "linestring", "geometry"),
    ],
    ids=repr,
)
def test_types_have_one_name(given, name, kind) -> None:
    found = dtype(given)
    assert (found.name, found.kind) == (name, kind)
    assert dtype(found) is found


@pytest.mark.parametrize(
    "given", ["timedelta64[s]", "complex64", "datetime64[10m]", "datetime64", "object", "a type", 3]
)
def test_other_types_are_refused(given) -> None:
    with pytest.raises(InvalidInput, match="no data type"):
        dtype(given)


@pytest.mark.parametrize(
    "said",
    [
        {"name": "float32", "min_value": 0, "max_value": 1},
        {"name": "float32", "precision": 2, "min_value": 0},
        {"name": "float32", "precision": 2.5},
        {"name": "float32", "precision": -1},
        {"name": "float32", "precision": 2, "dtype_encoded": "uint16"},
        {"name": "float32", "precision": 2, "dtype_encoded": "float32", "offset": 0},
        {"name": "float32", "precision": 2, "dtype_encoded": "uint8", "offset": 0, "fillvalue": 256},
        {"name": "float32", "precision": 2, "dtype_encoded": "uint8", "offset": 0, "min_value": 0, "max_value": 1},
        {"name": "float32", "dtype_encoded": "int16", "offset": 0, "scale_factor": 0.0},
        {"name": "float32", "dtype_encoded": "int16", "offset": 0, "scale_factor": 0.1, "precision": 1},
        {"name": "float32", "scale_factor": 0.1},
        {"name": "int32", "dtype_encoded": "int16", "offset": 0, "scale_factor": 2.0},
        {"name": "float32", "fillvalue": 1},
        {"name": "int32", "precision": 2},
        {"name": "int32", "fillvalue": 2**31},
        {"name": "bool", "fillvalue": 1},
        {"name": "string", "min_value": "a", "max_value": "b"},
        {"name": "point", "offset": 1},
        {"name": dtype("int8"), "fillvalue": 1},
    ],
    ids=str,
)
def test_what_would_be_ignored_is_refused(said) -> None:
    with pytest.raises(InvalidInput):
        dtype(**said)


def test_numbers_of_numpy_are_declared_as_plain_ones() -> None:
    found = dtype("float32", precision=np.int64(2), min_value=np.float32(0.5), max_value=np.int8(4))
    assert declared(found) == '{"name": "float32", "precision": 2, "min_value": 0.5, "max_value": 4}'
    times = dtype("datetime64[D]", min_value=np.datetime64("1900-01-01"), max_value="2000-01-01")
    assert times.min_value == "1900-01-01"
