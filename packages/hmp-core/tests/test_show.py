"""How verbs speak: a table for people, JSON lines for programs, and what an answer lacks beside it."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import pty
import sys
from datetime import UTC, datetime
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hmp_core.cli.show import emit, emit_record, notice

ROWS = [
    {"river": "Aare", "discharge": 303.123456789, "note": None},
    {"river": "Reuß", "discharge": 140.0, "note": ["high", "low"]},
]

_PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
_VALUES = _PLAIN | st.lists(_PLAIN, max_size=3) | st.dictionaries(st.text(), _PLAIN, max_size=3)

#: A loaded machine is no fault of a test.
_CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=50)


def _lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    told = capsys.readouterr()
    assert told.err == ""
    return told.out.splitlines()


def _on_a_terminal(rows: list[dict[str, Any]]) -> str:
    """Return what a person sees of ``rows``: a process of its own whose output is a terminal."""
    code = "import json, sys; from hmp_core.cli.show import emit; emit(json.loads(sys.argv[1]))"
    ours, theirs = pty.openpty()
    env = os.environ | {"COLUMNS": "200", "LINES": "50", "TERM": "xterm"}
    with Popen([sys.executable, "-c", code, json.dumps(rows)], stdout=theirs, stderr=PIPE, env=env) as process:
        os.close(theirs)
        seen = b""
        with contextlib.suppress(OSError):  # the end of a terminal is an error on Linux
            while piece := os.read(ours, 4096):
                seen += piece
        assert process.stderr is not None
        said = process.stderr.read().decode()
    os.close(ours)
    assert (process.returncode, said) == (0, "")
    return seen.decode()


# ── to people ────────────────────────────────────────────────────────────────────────────────────────


def test_a_table_is_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    emit(ROWS)
    assert _lines(capsys) == [
        "river  discharge  note",
        "Aare   303.123",
        'Reuß   140        ["high", "low"]',
    ]


def test_columns_are_those_asked_for_in_that_order(capsys: pytest.CaptureFixture[str]) -> None:
    emit(ROWS, ["discharge", "never", "river"])
    assert _lines(capsys) == ["discharge  never  river", "303.123           Aare", "140               Reuß"]


def test_nothing_is_said_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    emit([], ["river"])
    assert _lines(capsys) == ["nothing found"]


def test_a_terminal_gets_a_table_too() -> None:
    seen = _on_a_terminal(ROWS)
    assert "\x1b[1m" in seen, "the head is bold"
    assert all(word in seen for word in ("river", "discharge", "Aare", "303.123", '["high", "low"]'))


@pytest.mark.parametrize("name", ["dry [red] run", "[/closing]", ":warning: high", "a [link=x] b"])
def test_a_terminal_shows_a_name_as_it_is(name: str) -> None:
    """What looks like markup is a name that somebody gave."""
    assert name in _on_a_terminal([{"name": name}])


def test_a_record_has_a_line_a_field(capsys: pytest.CaptureFixture[str]) -> None:
    emit_record({"id": 7, "river": "Aare", "tags": {"dry": True}, "note": None})
    assert [line.rstrip() for line in _lines(capsys)] == ["id     7", "river  Aare", 'tags   {"dry": true}', "note"]


def test_a_record_of_nothing_is_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    emit_record({})
    assert _lines(capsys) == []


# ── to programs ──────────────────────────────────────────────────────────────────────────────────────


def test_programs_get_every_digit(capsys: pytest.CaptureFixture[str]) -> None:
    emit(ROWS, as_json=True)
    assert [json.loads(line) for line in _lines(capsys)] == ROWS


def test_every_line_has_the_same_keys(capsys: pytest.CaptureFixture[str]) -> None:
    emit([{"a": 1, "b": 2}, {"b": 3}], ["b", "a"], as_json=True)
    assert _lines(capsys) == ['{"b": 2, "a": 1}', '{"b": 3, "a": null}']


def test_csv_has_every_digit_and_a_line_of_names(capsys: pytest.CaptureFixture[str]) -> None:
    emit(ROWS, ["river", "discharge", "note"], form="csv")
    assert capsys.readouterr().out.splitlines() == [
        "river,discharge,note",
        "Aare,303.123456789,",
        'Reuß,140.0,"[""high"", ""low""]"',
    ]


def test_what_csv_quotes_is_read_again(capsys: pytest.CaptureFixture[str]) -> None:
    awkward = {"name": 'a "b",\nc', "note": None}
    emit_record(awkward, form="csv")
    assert list(csv.DictReader(io.StringIO(capsys.readouterr().out))) == [{"name": 'a "b",\nc', "note": ""}]


def test_nothing_is_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    emit([], ["river"], as_json=True)
    assert _lines(capsys) == []


@_CALM
@given(st.lists(st.fixed_dictionaries({"a": _VALUES, "b": _VALUES}), max_size=4))
def test_a_row_is_a_line_whatever_it_holds(rows: list[dict[str, Any]]) -> None:
    """Line breaks, quotes and signs of every alphabet come back as they went."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        emit(rows, ["a", "b"], as_json=True)
    assert [json.loads(line) for line in out.getvalue().split("\n")[:-1]] == rows


def test_what_json_does_not_know_becomes_text(capsys: pytest.CaptureFixture[str]) -> None:
    name, day = UUID(int=7), datetime(2024, 5, 1, tzinfo=UTC)
    emit_record({"id": name, "at": day, "where": Path("/aare"), "in": [name]}, as_json=True)
    (line,) = _lines(capsys)
    assert json.loads(line) == {"id": str(name), "at": str(day), "where": "/aare", "in": [str(name)]}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_json_does_not_know_is_still_json(capsys: pytest.CaptureFixture[str], value: float) -> None:
    """Other programs than Python refuse the line."""
    emit([{"nse": value}], as_json=True)
    (line,) = _lines(capsys)
    assert line not in {'{"nse": NaN}', '{"nse": Infinity}'}


# ── beside the answer ────────────────────────────────────────────────────────────────────────────────


def test_a_notice_is_no_part_of_the_answer(capsys: pytest.CaptureFixture[str]) -> None:
    notice("3 events wait")
    assert capsys.readouterr() == ("", "note: 3 events wait\n")


def test_a_name_commands_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    user = "eve\n\x1b[2Jadmin\x9b\u202e\ud800"
    emit([{"user": user, "more": ["\x7f"]}])
    emit_record({"user": user})
    told = _lines(capsys)
    assert len(told) == 3
    assert all(line.isprintable() for line in told)
    assert told[1].startswith("eve\\n\\x1b[2Jadmin\\x9b\\u202e\\ud800")
    emit([{"user": "Chloé 👩‍🔬"}], as_json=False)
    assert _lines(capsys)[1] == "Chloé 👩‍🔬"
