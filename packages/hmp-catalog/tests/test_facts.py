"""Parameters and metrics: what is kept of them, and that it comes back as it was said."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hmp_catalog.facts import metric_facts, parameter_facts, parameter_values
from hmp_core.errors import InvalidInput


def came_back(value):
    """Return a parameter as it is read again, from the manifest through the columns of the table."""
    columns = parameter_values(json.loads(json.dumps(parameter_facts("x", value), allow_nan=False)))
    return columns["value"] if columns["text_value"] is None else json.loads(columns["text_value"])


@given(
    st.none()
    | st.booleans()
    | st.floats()
    | st.integers(-(2**1000), 2**1000)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
)
def test_a_parameter_comes_back_as_it_was_said(value):
    found = came_back(value)
    assert found == value or (math.isnan(found) and math.isnan(value))
    assert type(found) is type(value)


@pytest.mark.parametrize("word", ["nan", "inf", "-inf", "null", "true", "1.5", ""])
def test_text_stays_text(word):
    assert came_back(word) == word


@pytest.mark.parametrize("value", [np.float64("nan"), np.float32("nan"), np.array(np.nan)])
def test_a_missing_number_of_numpy_stays_a_number(value):
    assert math.isnan(came_back(value))


@pytest.mark.parametrize(
    ("value", "text"), [(np.int32(5), "5"), (np.int64(5), "5"), (5, "5"), (np.float32(5), None), (5.0, None)]
)
def test_a_number_is_kept_as_one_and_a_whole_one_as_such(value, text):
    assert parameter_values(parameter_facts("x", value)) == {"value": 5.0, "text_value": text}


def test_a_whole_number_that_no_float_is_equal_to_is_kept_beside_the_nearest():
    assert parameter_values(parameter_facts("x", 2**60 + 1)) == {"value": 2.0**60, "text_value": str(2**60 + 1)}


@pytest.mark.parametrize(
    ("name", "value", "more"),
    [
        (None, 1, {}),
        ("", 1, {}),
        (5, 1, {}),
        ("x" * 256, 1, {}),
        ("x\0", 1, {}),
        ("k::north", 1, {}),
        ("x", [1], {}),
        ("x", {"a": 1}, {}),
        ("x", np.arange(3), {}),
        ("x", object(), {}),
        ("x", 10**400, {}),
        ("x", "\ud800", {}),
        ("x", 1, {"zone": None}),
        ("x", 1, {"zone": ""}),
        ("x", 1, {"unit": 5}),
    ],
)
def test_a_parameter_that_could_not_be_kept_is_refused(name, value, more):
    with pytest.raises(InvalidInput, match="parameter"):
        parameter_facts(name, value, **more)


@pytest.mark.parametrize(
    ("name", "value", "more"),
    [
        (None, 1, {}),
        ("nse", "0.8", {}),
        ("nse", None, {}),
        ("nse", 10**400, {}),
        ("nse", 1, {"station": None}),
        ("nse", 1, {"variable": None}),
        ("nse", 1, {"variable": " "}),
        ("nse", 1, {"n_samples": 1.5}),
        ("nse", 1, {"period": ("2001-01-01",)}),
        ("nse", 1, {"period": ("2002-01-01", "2001-01-01")}),
    ],
)
def test_a_metric_that_could_not_be_kept_is_refused(name, value, more):
    with pytest.raises(InvalidInput, match="metric"):
        metric_facts(name, value, **more)


def test_a_metric_says_all_that_was_said():
    assert metric_facts(
        "nse", np.float32(0.5), station="q1", variable="head", period=("2001-01-01", None), n_samples=9
    ) == {
        "name": "nse",
        "station": "q1",
        "variable": "head",
        "value": 0.5,
        "n_samples": 9,
        "period": ["2001-01-01T00:00:00", None],
    }
