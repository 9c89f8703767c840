"""The page of names of measuring sessions: every public name is on it, and what it names is there."""

from __future__ import annotations

import inspect
import re

import pytest

from hmp_catalog import acquisition
from house import ROOT

REFERENCE = ROOT / "docs" / "reference"
PAGE = (REFERENCE / "acquisition.md").read_text(encoding="utf-8")


def _ours(title: str) -> set[str]:
    """Return the words in the column of ours of the table below a title."""
    section = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert section, title
    rows = [line.split(" | ") for line in section[1].splitlines() if line.startswith("| ")]
    return {name for row in rows[2:] for code in re.findall(r"`([^`]+)`", row[1]) for name in re.findall(r"\w+", code)}


@pytest.mark.parametrize("name", ["RunWriter", "Catalog", "Run", "LazyImageSequence"])
def test_every_verb_is_on_the_page(name: str) -> None:
    public = {verb for verb, _ in inspect.getmembers(getattr(acquisition, name)) if not verb.startswith("_")}
    assert public - _ours(name) == set()


def test_every_public_name_is_on_the_page() -> None:
    assert set(acquisition.__all__) - set(re.findall(r"\w+", PAGE)) == set()


def test_the_tables_are_described() -> None:
    import sqlite3  # noqa: TID251 - the engine itself is asked which columns there are

    text = (REFERENCE / "schema.md").read_text(encoding="utf-8").partition("## Measuring sessions")[2]
    for make in (acquisition.create_beamtime_schema, acquisition.create_index_schema):
        with sqlite3.connect(":memory:") as conn:
            make(conn)
            for (table,) in conn.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT GLOB 'sqlite*'"
            ):
                rows = "".join(re.findall(rf"^\| {table}(?:,[^|]*)? \|([^|]*)\|", text, re.MULTILINE))
                told = re.findall(r"`(\w+)`", rows)
                assert told == [row[1] for row in conn.execute(f"PRAGMA table_info({table})")], table
        conn.close()
