"""Columns: laid out here or by pyarrow, the same values come out, and the same is refused."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hmp_core.events.columns import arrow_table, texts

KINDS: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "text": (pa.string(), st.text(st.characters(blacklist_categories=["Cs"]))),
    "double": (pa.float64(), st.floats() | st.integers(-(2**53), 2**53)),
    "float": (pa.float32(), st.floats(width=32)),
    "int8": (pa.int8(), st.integers(-(2**7), 2**7 - 1)),
    "int32": (pa.int32(), st.integers(-(2**31), 2**31 - 1)),
    "int64": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "uint16": (pa.uint16(), st.integers(0, 2**16 - 1)),
    "bool": (pa.bool_(), st.booleans()),
    "time": (pa.timestamp("us"), st.datetimes()),
    "day": (pa.date32(), st.dates()),
    "list": (pa.list_(pa.float64()), st.lists(st.floats(allow_nan=False), max_size=3)),
}


@pytest.mark.parametrize("name", KINDS)
@given(data=st.data())
def test_every_value_comes_out_as_it_went_in(name: str, data: st.DataObject) -> None:
    kind, values = KINDS[name]
    column = data.draw(st.lists(st.none() | values, max_size=20))
    ours = arrow_table({"c": column}, pa.schema([("c", kind)])).column("c").combine_chunks()
    theirs = pa.array(column, type=kind, from_pandas=False)
    ours.validate(full=True)
    assert ours.type == theirs.type
    assert repr(ours.to_pylist()) == repr(theirs.to_pylist())


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (pa.float64(), "1.5"),
        (pa.int32(), 1.5),
        (pa.int32(), 2**31),
        (pa.int8(), -129),
        (pa.string(), 5),
        (pa.string(), "\ud800"),
        (pa.bool_(), "yes"),
        (pa.timestamp("us"), "2020-01-01"),
        (pa.date32(), 5.5),
        (pa.string(), {"a": 1}),
    ],
)
def test_what_does_not_fit_is_refused_by_name(kind: pa.DataType, value: Any) -> None:
    with pytest.raises(ValueError, match="level"):
        arrow_table({"level": [None, value]}, pa.schema([("level", kind)]))


def test_what_pyarrow_converts_is_converted() -> None:
    schema = pa.schema([("t", pa.timestamp("us")), ("d", pa.date32()), ("n", pa.int64())])
    found = arrow_table(
        {"t": [datetime(2020, 1, 1, 2, tzinfo=UTC)], "d": [datetime(2020, 1, 1, 5)], "n": [True]}, schema
    )
    assert found.to_pylist() == [{"t": datetime(2020, 1, 1, 2), "d": date(2020, 1, 1), "n": 1}]


def test_columns_keep_their_order() -> None:
    schema = pa.schema([("a", pa.int64()), ("b", pa.string())])
    assert arrow_table({"b": ["x"], "a": [1]}, schema).column_names == ["b", "a"]


def test_texts() -> None:
    assert texts(a=["x", "é"], b=["1", "2"]).to_pylist() == [{"a": "x", "b": "1"}, {"a": "é", "b": "2"}]
    assert texts(a=[]).num_rows == 0
