"""From what a user types to one input."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hmp_cache import AmbiguousEntry, EntryNotFound, InputsNamespace
from hmp_cache.references import resolve

Write = Callable[..., Path]


@pytest.fixture
def three(data: InputsNamespace, write: Write) -> InputsNamespace:
    data.add(write("fulda.csv"), variable="discharge", station="Grebenau")
    data.add(write("weser.csv"), variable="discharge", station="Porta")
    data.add(write("rain.csv", "time,rain\n2001-01-01,1\n"), variable="precipitation")
    return data


def test_by_id(three: InputsNamespace) -> None:
    for entry in three.find():
        assert three[entry.id] == three[str(entry.id)] == three[entry.id.hex] == entry


def test_by_the_first_digits(three: InputsNamespace) -> None:
    for entry in three.find():
        assert three[entry.id.hex[:6]] == entry
        assert three[str(entry.id)[:13].upper()] == entry


def test_by_name(three: InputsNamespace) -> None:
    assert three["fulda"].station_id == "Grebenau"


def test_by_path(three: InputsNamespace) -> None:
    assert three["data/discharge/custom/weser.csv"].station_id == "Porta"


def test_by_a_variable_there_is_once(three: InputsNamespace) -> None:
    assert three["precipitation"].name == "rain"


def test_a_variable_there_is_twice(three: InputsNamespace) -> None:
    with pytest.raises(AmbiguousEntry, match="could be 2 inputs") as caught:
        _ = three["discharge"]
    assert set(caught.value.candidates) == {str(e.id) for e in three.find(variable="discharge")}


def test_a_name_there_is_twice(three: InputsNamespace, write: Write) -> None:
    three.add(write("fulda.csv"), variable="discharge", station="Rotenburg")
    with pytest.raises(AmbiguousEntry, match=r"data/discharge/custom/fulda\.csv"):
        _ = three["fulda"]


def test_a_name_that_looks_like_the_digits_of_another(three: InputsNamespace, write: Write) -> None:
    digits = three["fulda"].id.hex[:5]
    three.add(write(), variable="discharge", station="x", name=digits)
    with pytest.raises(AmbiguousEntry):
        _ = three[digits]


@pytest.mark.parametrize(
    "reference", ["", "fuldaa", "zz", "abc", "5f0c1e2a-9b1d-4c53-8f7e-0d3a6b2c4e11", "ffffff", "data/none.csv"]
)
def test_nothing_by_that_reference(three: InputsNamespace, reference: str) -> None:
    with pytest.raises(EntryNotFound) as caught:
        _ = three[reference]
    assert isinstance(caught.value, KeyError)


def test_the_nearest_are_named(three: InputsNamespace) -> None:
    with pytest.raises(EntryNotFound, match="the nearest are fulda") as caught:
        _ = three["fulta"]
    assert caught.value.candidates == ["fulda"]


def test_an_empty_cache_says_so(data: InputsNamespace) -> None:
    with pytest.raises(EntryNotFound, match="hmp data ls"), data.reading() as backend:
        resolve(backend, "anything")
