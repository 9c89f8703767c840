"""Arrays of a prediction: whole by every path, refused where they would come back as something else."""

from __future__ import annotations

import json
import time
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hmp_catalog.experiments import arrays as a
from hmp_catalog.experiments.schema import SCHEMA
from hmp_core.backends.duckdb import DuckDBBackend
from hmp_core.errors import CorruptError, InvalidInput
from hmp_core.migrations import apply_migrations

NAMES = ("y_true", "y_pred", "y_proba", "sample_indices", "weights")
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5)
FLOATS = st.floats(width=64)


@st.composite
def given_arrays(draw: st.DrawFn) -> dict[str, Any]:
    """What `arrays` takes besides the id."""
    n = draw(st.integers(0, 6))

    def numbers(kind: Any, **options: Any) -> Any:
        shape = st.tuples(st.just(n), *[st.integers(0, 3)] * draw(st.integers(0, 2)))
        return draw(st.none() | hnp.arrays(kind, shape, **options))

    found = {name: numbers(np.float64) for name in ("y_true", "y_pred", "y_proba")}
    if draw(st.booleans()):
        found |= {name: numbers(object, elements=TEXT) for name in ("y_true", "y_pred")}
    found["sample_indices"] = draw(st.none() | hnp.arrays(np.int64, n))
    found["weights"] = draw(st.none() | hnp.arrays(np.float32, n))
    return found


def same(found: Any, expected: Any) -> None:
    if expected is None:
        assert found is None
        return
    assert found.shape == expected.shape
    if expected.dtype.kind in "OU":
        assert found.tolist() == expected.tolist()
    else:
        np.testing.assert_array_equal(found, expected)  # NaN equals NaN, -0.0 equals 0.0
        assert (np.signbit(found) == np.signbit(expected)).all()


@given(given_arrays())
def test_what_went_in_comes_out_by_every_path(expected):
    made = a.arrays("p", **expected)
    from_journal = a.from_payload(json.loads(json.dumps(a.to_payload(made), allow_nan=False)))
    for each in (made, from_journal):
        table = a.to_table([each])
        scalars = {name: table[name][0] for name in table.column_names}
        for row in (scalars, table.to_pylist()[0]):
            found = a.from_row(row)
            assert list(found) == list(NAMES)
            for name in NAMES:
                same(found[name], expected[name])


@pytest.fixture(scope="module")
def backend(tmp_path_factory):
    path = tmp_path_factory.mktemp("store") / "store.duckdb"
    apply_migrations(path, SCHEMA[1], component=SCHEMA[0])
    backend = DuckDBBackend(path)
    yield backend
    backend.close()


def test_a_table_of_arrays_goes_through_the_database(backend):
    given = [
        {"y_true": np.arange(3.0), "y_pred": np.array([np.nan, np.inf, -0.0]), "sample_indices": [2**40, -1, 0]},
        {"y_true": None, "y_pred": None},
        {"y_true": ["é", "", "low"], "y_pred": ["low", "low", "high"], "y_proba": np.arange(9.0).reshape(3, 3)},
        {"y_true": np.zeros((0, 2)), "y_pred": np.zeros((0, 2)), "weights": []},
    ]
    made = [a.arrays(f"p{n}", **each) for n, each in enumerate(given)]
    with backend.lease(write=True), backend.transaction(), backend.staged("coming", a.to_table(made)):
        backend.execute("INSERT INTO prediction_arrays SELECT * FROM coming")
    table = backend.query("SELECT * FROM prediction_arrays ORDER BY prediction_id")
    assert table.column_names == a.to_table(made).column_names
    for n, each in enumerate(given):
        scalars = {name: table[name][n] for name in table.column_names}
        for row in (scalars, table.slice(n, 1).to_pylist()[0]):
            for name, found in a.from_row(row).items():
                value = each.get(name)
                same(found, None if value is None else np.asarray(value))


def test_the_table_has_the_columns_of_the_plan(backend):
    declared = backend.query("SELECT * FROM prediction_arrays LIMIT 0").schema
    made = a.to_table([]).schema
    assert made.names == declared.names
    for name in made.names:
        assert str(made.field(name).type) == str(declared.field(name).type).replace("l: ", "item: ")


@pytest.mark.parametrize(
    "value",
    [
        [1, 2],
        (1.0, 2.0),
        range(1, 3),
        np.array([1, 2], ">i2"),
        np.array([1, 2], np.uint64),
        np.array([1, 2], np.float16),
        np.array([1, 2], np.longdouble),
        np.array([9, 1, 9, 2])[1::2],
        np.ma.masked_array([1, 2], mask=[False, False]),
        pd.Series([1, 2], index=[7, 8]),
        pd.Series([1, 2], dtype="Int64"),
        pa.array([1, 2]),
    ],
    ids=lambda value: f"{type(value).__name__} {getattr(value, 'dtype', '')}",
)
def test_whatever_numpy_takes_as_numbers_is_taken(value):
    found = a.arrays("p", value, value, weights=value, sample_indices=value)
    assert found.y_true.tolist() == found.y_pred.tolist() == found.weights.tolist() == [1.0, 2.0]
    assert found.sample_indices.tolist() == [1, 2]
    assert (found.y_true.dtype, found.sample_indices.dtype) == (np.dtype("f8"), np.dtype("i8"))


@pytest.mark.parametrize(
    "value",
    [
        ["b", "a"],
        np.array(["b", "a"]),
        np.array(["b", "a"], object),
        pd.Series(["b", "a"]),
        pd.Series(["b", "a"], dtype="string"),
        pd.Categorical(["b", "a"]),
    ],
    ids=lambda value: f"{type(value).__name__} {getattr(value, 'dtype', '')}",
)
def test_labels_that_are_text_are_positions_in_their_classes(value):
    found = a.arrays("p", value, ["a", "c"])
    assert found.classes == ("a", "b", "c")
    assert (found.y_true.tolist(), found.y_pred.tolist()) == ([1.0, 0.0], [0.0, 2.0])
    row = a.from_row(a.to_table([found]).to_pylist()[0])
    assert row["y_true"].tolist() == ["b", "a"]
    assert row["y_true"].dtype.kind == "U"


def test_polars_and_its_missing_numbers_are_taken():
    pl = pytest.importorskip("polars")
    found = a.arrays("p", pl.Series([1.0, None]), pl.Series([True, False]))
    np.testing.assert_array_equal(found.y_true, [1.0, np.nan])
    assert found.y_pred.tolist() == [1.0, 0.0]
    assert a.arrays("p", pl.Series(["x"]), None).classes == ("x",)


def test_truth_values_come_back_as_numbers():
    found = a.from_row(a.to_table([a.arrays("p", [True, False], np.array([False, True]))]).to_pylist()[0])
    assert found["y_true"].tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"y_true": [1 + 2j], "y_pred": [1.0]}, "complex"),
        ({"y_true": [[1], [1, 2]], "y_pred": [1, 2]}, "no array"),
        ({"y_true": [1.0, None], "y_pred": [1, 2]}, "NoneType"),
        ({"y_true": [object()], "y_pred": ["a"]}, "object"),
        ({"y_true": ["a", 1], "y_pred": ["a", "b"]}, "int"),
        ({"y_true": ["a"], "y_pred": [1.0]}, "y_true is text"),
        ({"y_true": [0.0], "y_pred": np.array(["a"])}, "y_pred is text"),
        ({"y_true": ["a\0"], "y_pred": ["a"]}, "NUL"),
        ({"y_true": ["\ud800"], "y_pred": ["a"]}, "Unicode"),
        ({"y_true": [b"a"], "y_pred": [b"a"]}, "S1"),
        ({"y_true": 1.0, "y_pred": None}, "shape"),
        ({"y_true": {1.0, 2.0}, "y_pred": None}, "set"),
        ({"y_true": "abc", "y_pred": None}, "shape"),
        ({"y_true": np.array(["2001-01-01"], "M8[D]"), "y_pred": [1.0]}, "datetime64"),
        ({"y_true": [2**53 + 1], "y_pred": [1.0]}, "2\\*\\*53"),
        ({"y_true": [-(2**60)], "y_pred": [1.0]}, "2\\*\\*53"),
        ({"y_true": [2**70], "y_pred": [1.0]}, "int"),
        ({"y_true": np.array([np.longdouble("1e4000")]), "y_pred": [1.0]}, "too great"),
        ({"y_true": np.ma.masked_array([1, 2], [True, False]), "y_pred": None}, "masked"),
        ({"y_true": [1.0, 2.0], "y_pred": [1.0]}, "one length"),
        ({"y_true": [1.0], "y_pred": [1.0], "y_proba": [[0.5], [0.5]]}, "'y_proba': 2"),
        ({"y_true": [1.0], "y_pred": [1.0], "y_proba": ["a"]}, "y_proba"),
        ({"y_true": [1.0], "y_pred": [1.0], "weights": ["a"]}, "weights"),
        ({"y_true": [1.0], "y_pred": [1.0], "weights": [[1.0]]}, "one dimension"),
        ({"y_true": [1.0], "y_pred": [1.0], "sample_indices": [0.5]}, "whole"),
        ({"y_true": [1.0], "y_pred": [1.0], "sample_indices": [float("nan")]}, "whole"),
        ({"y_true": [1.0], "y_pred": [1.0], "sample_indices": [1e300]}, "whole"),
        ({"y_true": [1.0], "y_pred": [1.0], "sample_indices": [2**63]}, "whole"),
        ({"y_true": [1.0], "y_pred": [1.0], "sample_indices": [True]}, "whole"),
        ({"y_true": [1.0], "y_pred": [1.0], "sample_indices": ["s1"]}, "sample_indices"),
    ],
)
def test_what_would_come_back_as_something_else_is_refused(given, said):
    with pytest.raises(InvalidInput, match=said):
        a.arrays("p", **given)


def test_whole_numbers_at_the_ends_of_their_type_are_exact():
    ends = [-(2**63), 2**63 - 1]
    found = a.arrays("p", [-(2**53), 2**53], None, sample_indices=ends)
    assert a.from_payload(a.to_payload(found)).sample_indices.tolist() == ends
    assert found.y_true.tolist() == [-(2**53), 2**53]


def test_indices_that_are_whole_floats_are_taken():
    assert a.arrays("p", [1, 2], None, sample_indices=[0.0, 7.0]).sample_indices.tolist() == [0, 7]


def test_what_is_kept_does_not_change_with_what_was_given():
    given = np.array([1.0, 2.0])
    found = a.arrays("p", given, given, sample_indices=np.array([1, 2]))
    given[0] = 9.0
    assert found.y_true.tolist() == [1.0, 2.0]
    with pytest.raises(ValueError, match="read-only"):
        found.y_true[0] = 3.0
    with pytest.raises(ValueError, match="read-only"):
        found.sample_indices[0] = 3


def test_what_comes_out_is_the_callers_own():
    row = a.to_table([a.arrays("p", [1.0], [2.0])]).to_pylist()[0]
    a.from_row(row)["y_true"][0] = 7.0
    assert a.from_row(row)["y_true"].tolist() == [1.0]


@pytest.mark.parametrize(
    "change", [{"y_true": "AAAA"}, {"y_true": "?"}, {"y_pred": 1}, {"prediction_id": None, "y_true": "é"}]
)
def test_a_payload_that_is_damaged_is_said_to_be(change):
    payload = a.to_payload(a.arrays("p", [1.0], [1.0])) | change
    with pytest.raises(CorruptError, match="cannot be read"):
        a.from_payload(payload)


@pytest.mark.parametrize("change", [{"y_true_shape": [7]}, {"classes": ["a"]}])
def test_a_row_that_is_damaged_is_said_to_be(change):
    row = a.to_table([a.arrays("p", [1.0, 2.0], [1.0, 3.0])]).to_pylist()[0] | change
    with pytest.raises(CorruptError, match="of prediction p "):
        a.from_row(row)


def test_arrays_pickle():
    import pickle

    found = pickle.loads(pickle.dumps(a.arrays("p", ["a"], ["b"], [[0.1, 0.9]])))
    assert a.to_payload(found) == a.to_payload(a.arrays("p", ["a"], ["b"], [[0.1, 0.9]]))


@pytest.mark.parametrize("path", ["arrays", "to_payload", "to_table"])
def test_the_cost_is_linear(path):
    chance = np.random.default_rng(8)
    values, labels = chance.random(100_000), np.array(["dry", "wet", "flood"])[chance.integers(0, 3, 100_000)]

    def cost(count: int) -> float:
        rows = [a.arrays("p", values[:1000], values[:1000], sample_indices=np.arange(1000)) for _ in range(count)]
        begin = time.process_time()
        if path == "arrays":
            a.arrays("p", labels[: count * 100], labels[: count * 100])
        elif path == "to_payload":
            [a.to_payload(row) for row in rows]
        else:
            a.to_table(rows)
        return time.process_time() - begin

    few = min(cost(100) for _ in range(5))
    many = min(cost(1000) for _ in range(5))
    assert many < 40 * few + 0.005, (few, many)
