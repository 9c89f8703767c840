"""Records in and out of the database."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from hmp_cache import InputsNamespace, queries, searching
from hmp_core.errors import InvalidInput, UnknownFilter
from hmp_core.statements import load_statements

Write = Callable[..., Path]


@pytest.fixture
def stocked(data: InputsNamespace, write: Write) -> InputsNamespace:
    data.add(write("a.csv"), variable="discharge", station="s1", unit="m3 s-1", bbox=(0, 0, 10, 10))
    data.add(write("b.csv", "time,rain\n2005-06-01,1\n"), variable="precipitation", license="CC0")
    data.add(write("c.txt", "1 2 3"), variable="dem", source="ign", bbox=(5, 5, 20, 20), crs="EPSG:2154")
    return data


def _found(data: InputsNamespace, **filters: Any) -> str:
    return "".join(sorted(entry.name for entry in data.find(**filters)))


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ({}, "abc"),
        ({"variable": "discharge"}, "a"),
        ({"variable": ["discharge", "dem"]}, "ac"),
        ({"variable_ne": "discharge"}, "bc"),
        ({"variable_like": "%e%"}, "abc"),
        ({"station": "s1"}, "a"),
        ({"station": None}, "bc"),
        ({"station_id": "s1"}, "a"),
        ({"unit": None}, "bc"),
        ({"license": "CC0"}, "b"),
        ({"crs": "EPSG:2154"}, "c"),
        ({"size_gt": 30}, "a"),
        ({"size_lte": "25"}, "bc"),
        ({"date_start_gt": "2004-01-01"}, "b"),
        ({"date_start_lt": date(2004, 1, 1)}, "a"),
        ({"stored_at_gt": datetime(2000, 1, 1)}, "abc"),
        ({"created_at_lt": "2000-01-01"}, ""),
        ({"is_custom": True}, "abc"),
        ({"is_custom": "no"}, ""),
        ({"name": "a", "source": "custom"}, "a"),
        ({"name": "a", "source": "ign"}, ""),
        ({"bbox": (6, 6, 9, 9)}, "ac"),
        ({"bbox": (1, 1, 2, 2)}, "a"),
        ({"period": ("2001-01-01", None)}, "a"),
        ({"period": "2005-06-01/2005-06-01"}, "b"),
        ({"media_type": "text/csv"}, "ab"),
        ({"variable": []}, ""),
        ({"relative_path_like": "data/dem/%"}, "c"),
    ],
)
def test_inputs_are_found_by_what_was_said_of_them(
    stocked: InputsNamespace, filters: dict[str, Any], names: str
) -> None:
    assert _found(stocked, **filters) == names


def test_an_id_may_be_text_or_not(stocked: InputsNamespace) -> None:
    entry = stocked["a"]
    assert stocked.find(id=entry.id) == stocked.find(id=str(entry.id)) == stocked.find(sha256=entry.sha256) == [entry]
    assert len(stocked.find(id=[e.id for e in stocked.find()])) == 3


@pytest.mark.parametrize("key", ["state", "station_gtt", "DROP TABLE entries", "", "mtime"])
def test_keys_that_nobody_knows(stocked: InputsNamespace, key: str) -> None:
    with pytest.raises(UnknownFilter):
        stocked.find(**{key: 1})


@pytest.mark.parametrize(
    "filters",
    [{"size_gt": "many"}, {"date_start": "soon"}, {"is_custom": "perhaps"}, {"variable": 1.5}, {"bbox": (1, 2)}],
)
def test_values_that_do_not_fit(stocked: InputsNamespace, filters: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        stocked.find(**filters)


@pytest.mark.parametrize("value", ["' OR 1=1 --", "a'; DROP TABLE entries; --", "%", "\x00"])
def test_a_value_is_never_more_than_a_value(stocked: InputsNamespace, value: str) -> None:
    assert stocked.find(name=value) == []
    assert len(stocked.find()) == 3


def test_the_event_says_what_the_database_will_say(stocked: InputsNamespace, write: Write) -> None:
    before = stocked.add(write("a.csv", "time,q\n2009-01-01,1\n"), variable="discharge", station="s1", unit="m3 s-1")
    assert stocked[before.id] == before


def test_every_statement_is_used_and_described() -> None:
    text = Path(queries.__file__).read_text() + Path(searching.__file__).read_text()
    for name, statement in load_statements("hmp_cache").items():
        assert re.search(f"_sql\\(['\"]{name}['\"]\\)", text), name
        assert statement.description.endswith(".")
