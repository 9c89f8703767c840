"""What makes an input the same input."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta, timezone
from functools import reduce

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hmp_cache.labels import Label, artifact_id, checked_period, stem
from hmp_core.errors import InvalidInput

names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,20}", fullmatch=True).filter(lambda n: n.lower() != "events")
words = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=20)
moments = st.datetimes(datetime(1800, 1, 1), datetime(2200, 1, 1))
edges = st.floats(-1e7, 1e7, allow_nan=False)


@st.composite
def labels(draw: st.DrawFn) -> Label:
    box = draw(st.none() | st.tuples(edges, edges, edges, edges))
    return Label(
        variable=draw(names),
        source=draw(names),
        station=draw(st.none() | words),
        bbox=None if box is None else (min(box[0], box[2]), min(box[1], box[3]), max(box[0], box[2]), max(box[1::2])),
        crs=draw(st.none() | words),
        period=draw(st.none() | st.tuples(moments, moments).map(sorted)),
        frequency=draw(st.none() | words),
        unit=draw(st.none() | words),
        name=draw(st.none() | words),
    )


def key(label: Label, stand_in: str) -> tuple[object, ...]:
    placed = label.station is not None or label.bbox is not None
    crs = label.crs if label.bbox else None
    name = None if placed else label.name or stand_in
    return label.variable, label.source, label.station, label.bbox, crs, label.period, label.frequency, label.unit, name


@given(labels(), labels(), words, words)
def test_ids_are_equal_exactly_if_the_keys_are(one: Label, other: Label, this: str, that: str) -> None:
    assert (one.entry_id(this) == other.entry_id(that)) == (key(one, this) == key(other, that))


@given(labels(), words)
def test_the_same_label_gives_the_same_id(label: Label, stand_in: str) -> None:
    again = Label(
        label.variable, label.source, label.station, label.bbox, label.crs, label.period, label.frequency, label.unit,
        label.name, license="CC-BY", tool="oudin 1", parameters={"latitude": 51},
    )  # fmt: skip
    assert again.entry_id(stand_in) == label.entry_id(stand_in)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"bbox": (0, 0, 1, 1)}, {"bbox": [0.0, -0.0, 1.0, 1.0]}),
        ({"period": "2001-01-01/2001-12-31"}, {"period": (date(2001, 1, 1), datetime(2001, 12, 31))}),
        ({"period": ("2001-01-01T01:00+01:00", None)}, {"period": (datetime(2001, 1, 1, tzinfo=UTC), "")}),
        ({"unit": " m3 s-1 "}, {"unit": "m3 s-1"}),
        ({"station": "Cafe\u0301"}, {"station": "Caf\u00e9"}),
    ],
)
def test_ways_to_say_the_same(one: dict[str, object], other: dict[str, object]) -> None:
    placed = {"station": "outlet"}
    first, second = (Label("discharge", "custom", **(placed | said)) for said in (one, other))
    assert first.entry_id("q") == second.entry_id("q")


def test_a_place_makes_the_name_idle() -> None:
    assert Label("q", "c", station="a").entry_id("one") == Label("q", "c", station="a", name="two").entry_id("x")


def test_without_a_place_the_name_is_the_place() -> None:
    assert Label("dem", "ign").entry_id("north") != Label("dem", "ign").entry_id("south")


def test_the_coordinate_system_counts_with_an_extent_only() -> None:
    box = (0, 0, 1, 1)
    assert Label("dem", "ign", bbox=box, crs="a").entry_id("") != Label("dem", "ign", bbox=box, crs="b").entry_id("")
    assert Label("q", "c", "s", crs="a").entry_id("") == Label("q", "c", "s", crs="b").entry_id("")


def test_the_id_is_the_same_on_every_machine() -> None:
    assert str(Label("discharge", "custom", station="outlet").entry_id("q")) == "6b6926a0-a8cc-506d-b8c0-e7541b8790f6"


def test_versions_have_ids_of_their_own() -> None:
    entry = Label("q", "c", "s").entry_id("")
    assert artifact_id(entry, "0" * 64) != artifact_id(entry, "1" * 64)


@pytest.mark.parametrize(
    "said",
    [
        {"variable": ""},
        {"variable": "../up"},
        {"variable": "a/b"},
        {"variable": ".hidden"},
        {"variable": "Events"},
        {"variable": "cache.duckdb"},
        {"variable": "x" * 65},
        {"variable": None},
        {"variable": "discharge\n"},
        {"source": "custom\n"},
        {"source": "un deux"},
        {"station": ""},
        {"station": " "},
        {"station": 7},
        {"station": "a\nb"},
        {"station": "\ud800"},
        {"unit": "m3\x1fs"},
        {"bbox": (1, 2, 3)},
        {"bbox": (2, 0, 1, 1)},
        {"bbox": (0, 2, 1, 1)},
        {"bbox": (0, 0, math.nan, 1)},
        {"bbox": (0, 0, math.inf, 1)},
        {"bbox": "0 0 1 1"},
        {"bbox": 7},
        {"bbox": "1234"},
        {"bbox": (10**400, 1, 2, 3)},
        {"period": ("2002-01-01", "2001-01-01")},
        {"period": "2001-01-01"},
        {"period": ("soon", None)},
        {"period": (20010101, None)},
        {"period": 5},
        {"period": ("0001-01-01T00:00+05:00", None)},
        {"period": (pd.NaT, None)},
        {"parameters": {"x": math.nan}},
        {"parameters": {"x": object()}},
        {"parameters": [1]},
        {"parameters": reduce(lambda inner, _: {"x": inner}, range(3000), {})},
    ],
)
def test_what_cannot_be_said(said: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        Label(**({"variable": "discharge", "source": "custom"} | said))


def test_the_message_says_what_was_expected() -> None:
    with pytest.raises(InvalidInput, match=r"variable is 'a/b'; expected a name such as 'discharge'"):
        Label("a/b", "custom")


def test_times_are_utc_without_a_zone() -> None:
    east = timezone(timedelta(hours=2))
    assert checked_period((datetime(2001, 1, 1, 2, tzinfo=east), None)) == (datetime(2001, 1, 1), None)


def test_an_open_period_that_says_nothing_is_none() -> None:
    assert checked_period((None, None)) is None


@pytest.mark.parametrize(("name", "expected"), [("q.csv", "q"), ("a.b.c", "a.b"), (".csv", ".csv"), ("q", "q")])
def test_stem(name: str, expected: str) -> None:
    assert stem(name) == expected
