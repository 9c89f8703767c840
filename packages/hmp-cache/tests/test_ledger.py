"""What is already known of an input when new bytes arrive for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hmp_cache
from hmp_cache import InputsNamespace
from hmp_cache.ledger import Ledger
from hmp_cache.shelf import Shelf
from hmp_core.errors import CorruptError

Write = Callable[..., Path]


@pytest.fixture
def stocked(data: InputsNamespace, write: Write) -> InputsNamespace:
    data.add(write("a.csv"), variable="discharge", station="s1", unit="m3 s-1", bbox=(0, 0, 10, 10))
    data.add(write("b.csv", "time,rain\n2005-06-01,1\n"), variable="precipitation", license="CC0")
    return data


def test_the_ledger_finds_by_name_by_database_and_by_what_comes_later(stocked: InputsNamespace, write: Write) -> None:
    shelf = Shelf(stocked.workspace)
    ledger = Ledger(stocked.store, shelf)
    entry = stocked["a"]

    def find(name: str, identity: Any = entry.id) -> Any:
        return ledger.find(identity, variable="discharge", source="custom", file_name=name)

    assert find("a.csv").artifact["sha256"] == entry.sha256
    assert find("other.csv").artifact["sha256"] == entry.sha256
    later = stocked.add(write("later.csv"), variable="discharge", station="s2")
    assert find("other.csv", later.id).artifact["sha256"] == later.sha256
    assert find("other.csv", stocked["b"].id) is None


def test_the_ledger_asks_the_log_where_a_sidecar_was_removed(stocked: InputsNamespace, write: Write) -> None:
    entry = stocked["a"]
    sidecar = entry.path.with_name("a.csv.hmp.json")
    sidecar.unlink()
    text = "time,q\n2009-01-01,1\n"
    said = {"variable": "discharge", "station": "s1", "unit": "m3 s-1", "bbox": (0, 0, 10, 10)}
    again = stocked.add(write("renamed.csv", text), **said)
    assert again.id == entry.id
    assert again.created_at == entry.created_at
    assert sidecar.exists()
    assert [v.state for v in stocked.versions(again)] == ["current", "superseded"]


def test_what_another_process_adds_is_found_without_the_database(
    stocked: InputsNamespace, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    stocked.add(write("first.csv"), variable="discharge", station="s2")
    with hmp_cache.open(stocked.workspace) as other:
        entry = other.add(write("theirs.csv"), variable="discharge", station="s3")
    monkeypatch.setattr(stocked.store, "reading", None)
    again = stocked.add(write("mine.csv", "time,q\n2001-01-01,5\n"), variable="discharge", station="s3")
    assert again.relative_path == entry.relative_path


def test_a_sidecar_that_cannot_be_read_stops_its_own_input_only(stocked: InputsNamespace, write: Write) -> None:
    sidecar = stocked.workspace / "data/discharge/custom/a.csv.hmp.json"
    sidecar.write_text("{")
    other = "time,q\n2009-01-01,1\n"
    assert stocked.add(write("a.csv", other), variable="discharge", station="s9").path.name != "a.csv"
    with pytest.raises(CorruptError, match=r"a\.csv\.hmp\.json is no sidecar"):
        stocked.add(write("a.csv", other), variable="discharge", station="s1", unit="m3 s-1", bbox=(0, 0, 10, 10))
    assert sidecar.read_text() == "{"


def test_what_a_dead_process_half_wrote_is_swept(stocked: InputsNamespace, write: Write) -> None:
    home = stocked.workspace / "data/discharge/custom"
    half, mine = home / ".a.csv.hmp.json.0123abcd.tmp", home / ".mine.tmp"
    half.touch()
    mine.touch()
    stocked.add(write("new.csv"), variable="discharge", station="s4")
    assert not half.exists()
    assert mine.exists()
