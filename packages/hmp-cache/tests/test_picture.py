"""The picture of what is covered."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import pytest

from hmp_cache.picture import ASCII, BLOCKS, draw, marks_for


def _row(state: str, start: str | None, end: str | None, **more: Any) -> dict[str, Any]:
    said = {"variable": "discharge", "source": "rivers", "station_id": "K1", "frequency": "1D"} | more
    moments = {"start": start and datetime.fromisoformat(start), "end": end and datetime.fromisoformat(end)}
    return said | {"state": state} | moments


ROWS = [
    _row("held", "2012-01-01", "2015-12-31T23:59:59.999999"),
    _row("empty", "2016-01-01", "2017-12-31T23:59:59.999999"),
    _row("missing", "2018-01-01", "2019-12-31T23:59:59.999999"),
    _row("missing", "2010-01-01", "2011-12-31T23:59:59.999999"),
    _row("offered", "2011-01-01", None, station_id=None),
]


def test_each_state_has_its_mark() -> None:
    """2010 is before what is offered; 2011, 2018 and 2019 are missing."""
    lines = draw(ROWS, width=23 + 40, marks=ASCII)
    assert re.fullmatch(r"K1 discharge 1D rivers {4,5}\.{3,5}\+?#{14,16}\+?o{7,8}\.{8}", lines[0]), lines
    assert lines[2].split() == ["2010", "2012", "2014", "2016", "2018"]
    assert [lines[1].index("|"), lines[1].rindex("|")] == [lines[2].index("2010"), lines[2].index("2018")]
    assert lines[-1].strip() == "# held   + partly held   o source has nothing   . missing   blank not offered"


def test_a_part_of_a_cell_is_told_from_the_whole() -> None:
    rows = [_row("held", "2010-01-01", "2010-06-30T23:59:59.999999"), _row("missing", "2010-07-01", "2029-12-31")]
    bar = draw(rows, width=23 + 20, marks=ASCII)[0].rpartition(" ")[2]
    assert bar == "+" + "." * 19


def test_days_are_on_the_axis_of_a_month() -> None:
    rows = [_row("held", "2020-02-01", "2020-02-29T23:59:59.999999")]
    assert draw(rows, width=90, marks=ASCII)[2].split() == ["2020-02-01", "2020-02-11", "2020-02-21"]


@pytest.mark.parametrize("width", [0, 1, 40, 300])
@pytest.mark.parametrize("last", ["2010-01-01T00:00:00.000001", "2010-01-02", "2011-06-01", "2700-01-01"])
def test_any_width_and_span_can_be_drawn(width: int, last: str) -> None:
    lines = draw([_row("held", "2010-01-01", last)], width=width)
    assert "█" in lines[0]
    assert max(map(len, lines[:2])) <= max(width, 23 + 20)


def test_what_has_always_been_is_no_end_of_the_axis() -> None:
    rows = [_row("empty", None, "2009-12-31T23:59:59.999999"), _row("held", "2010-01-01", "2010-12-31T23:59:59.999999")]
    assert draw([*rows, _row("held", "1990-01-01", "1990-12-31", station_id="K2")], width=60, marks=ASCII)[0].count("o")


@pytest.mark.parametrize("rows", [[], [_row("offered", "2011-01-01", None)], [_row("empty", None, None)]])
def test_nothing_is_drawn_of_nothing(rows: list[dict[str, Any]]) -> None:
    assert draw(rows, width=80) == []


def test_a_name_commands_no_terminal() -> None:
    assert "\x1b" not in draw([_row("held", "2010-01-01", "2010-12-31", station_id="a\x1b[2J")], width=80)[0]


def test_marks_are_plain_where_others_cannot_be_shown() -> None:
    assert [marks_for(name) for name in ("utf-8", "ascii", "latin-1", None, "nonsense")] == [
        BLOCKS, ASCII, ASCII, ASCII, ASCII,
    ]  # fmt: skip
