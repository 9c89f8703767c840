"""Statements: named, described, and found where they lie."""

from __future__ import annotations

import pytest

from hmp_core.statements import parse

TEXT = """
-- what the river asks

-- name: latest
-- The newest level of a gauge,
-- by time.
SELECT level FROM levels   -- of any gauge
WHERE gauge_id = $1

ORDER BY taken_at DESC LIMIT 1;

-- name: count_all
-- How many there are.
SELECT count(*) FROM levels
"""


def test_statements_have_names_and_words() -> None:
    found = parse(TEXT)
    assert list(found) == ["latest", "count_all"]
    assert found["latest"].description == "The newest level of a gauge, by time."
    assert found["count_all"].sql == "SELECT count(*) FROM levels"


def test_the_text_is_kept_without_its_last_semicolon() -> None:
    sql = parse(TEXT)["latest"].sql
    assert sql.startswith("SELECT level FROM levels   -- of any gauge\n")
    assert sql.endswith("LIMIT 1")


@pytest.mark.parametrize(
    "text",
    [
        "-- name: a\n-- words\nSELECT 1\n-- name: a\n-- words\nSELECT 2",
        "-- name: a\nSELECT 1",
        "-- name: a\n-- words\n",
        "-- name: a\n-- words\n-- name: b\n-- words\nSELECT 1",
    ],
    ids=["twice", "without words", "without sql", "without sql before another"],
)
def test_what_is_not_right_is_said(text: str) -> None:
    with pytest.raises(ValueError, match="'a'"):
        parse(text)


def test_nothing_is_nothing() -> None:
    assert parse("") == {}
    assert parse("-- only words\n") == {}
