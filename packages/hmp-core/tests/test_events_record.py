"""Events as lines: what is written is what is read, and of a damaged or torn segment nothing wrong is ever accepted."""

from __future__ import annotations

import json
import zlib
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hmp_core.events.record import Event, decode, encode, from_dict, is_torn, to_json

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(blacklist_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(blacklist_categories=["Cs"])), inner, max_size=3)
    ),
    max_leaves=8,
)
TEXT = st.text(st.characters(blacklist_categories=["Cs"]), max_size=20)
EVENTS = st.builds(
    Event,
    id=st.uuids(),
    component=TEXT,
    v=st.integers(0, 2**31),
    kind=TEXT,
    clock=st.integers(0, 2**63 - 1),
    at=st.integers(0, 2**63 - 1),
    author=TEXT,
    payload=st.dictionaries(TEXT, JSON, max_size=4),
    writer=TEXT,
    seq=st.integers(0, 2**63 - 1),
)


def _event(n: int, **payload: Any) -> Event:
    return Event(
        UUID(int=n), "gauges", 1, "level.set", n, n, "emma", payload or {"level": n, "remark": 'a "b"\n é'}, "w", n
    )


def _accepted(data: bytes) -> list[Event]:
    return [line.event for line in decode(data) if line.event is not None]


@given(EVENTS)
def test_what_is_written_is_read(event: Event) -> None:
    (line,) = decode(encode(event))
    assert line.event == event
    assert from_dict(event.as_dict()) == event


@given(st.lists(EVENTS, max_size=6))
def test_a_segment_is_its_lines(events: list[Event]) -> None:
    data = b"".join(map(encode, events))
    lines = list(decode(data))
    assert [line.event for line in lines] == events
    assert b"".join(data[line.start : line.end] for line in lines) == data
    for line in lines:
        assert [later.event for later in decode(data, line.start)] == events[lines.index(line) :]


def test_a_line_is_one_line_of_text() -> None:
    line = encode(_event(1, text="one\ntwo\r\n\u2028three\x00"))
    assert line.count(b"\n") == 1
    assert line.endswith(b"}\n")
    head, checksum, _ = line.split(b" ", 2)
    assert int(head, 16) == len(line) - 19
    assert len(head) == len(checksum) == 8


# ── cut short ────────────────────────────────────────────────────────────────────────────────────────


def test_a_segment_cut_anywhere_gives_its_whole_lines() -> None:
    """At every byte: the lines before are read, and what is left is one piece that was never acknowledged."""
    events = [_event(n) for n in range(1, 4)]
    lines = [encode(event) for event in events]
    data = b"".join(lines)
    ends = [sum(map(len, lines[:n])) for n in range(4)]
    for cut in range(len(data) + 1):
        whole = max(n for n, end in enumerate(ends) if end <= cut)
        pieces = list(decode(data[:cut]))
        assert [piece.event for piece in pieces if piece.event] == events[:whole]
        rest = [piece for piece in pieces if piece.event is None]
        if cut in ends:
            assert rest == []
        else:
            assert [(piece.start, piece.end) for piece in rest] == [(ends[whole], cut)]
            assert is_torn(rest[0])


def test_what_is_appended_to_a_torn_line_is_read_all_the_same() -> None:
    """It does not happen to a segment, which is abandoned, but may to a copy of one."""
    first, second = encode(_event(1)), encode(_event(2))
    for cut in range(1, len(first)):
        assert _accepted(first[:cut] + second) == [_event(2)]


# ── damaged ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_flipped_bit_anywhere_takes_its_line_and_no_other() -> None:
    """At every bit of every byte: never a wrong event, never another one lost, and the damaged piece is kept."""
    events = [_event(n) for n in range(1, 4)]
    lines = [encode(event) for event in events]
    data = b"".join(lines)
    ends = [sum(map(len, lines[: n + 1])) for n in range(3)]
    for place in range(len(data)):
        hit = next(n for n, end in enumerate(ends) if place < end)
        for bit in range(8):
            damaged = data[:place] + bytes([data[place] ^ (1 << bit)]) + data[place + 1 :]
            pieces = list(decode(damaged))
            assert [p.event for p in pieces if p.event] == [e for n, e in enumerate(events) if n != hit]
            assert b"".join(damaged[p.start : p.end] for p in pieces) == damaged
            spoiled = [p for p in pieces if p.event is None]
            assert spoiled
            assert b"".join(p.raw for p in spoiled) == damaged[ends[hit] - len(lines[hit]) : ends[hit]]
            assert not any(map(is_torn, spoiled)), "acknowledged once: it is never taken for a torn line"


@given(st.lists(EVENTS, min_size=1, max_size=3), st.binary(max_size=60), st.data())
def test_rubbish_in_between_costs_nothing_else(events: list[Event], rubbish: bytes, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(events)))
    lines = list(map(encode, events))
    assert _accepted(b"".join([*lines[:place], rubbish, *lines[place:]])) == events


@given(st.binary(max_size=200))
def test_rubbish_is_no_event(rubbish: bytes) -> None:
    assert _accepted(rubbish) == []


def test_a_line_within_a_line_is_text() -> None:
    inner = encode(_event(1)).decode()
    outer = _event(2, quoted=inner, again=inner * 2)
    assert _accepted(encode(outer)) == [outer]
    damaged = bytearray(encode(outer))
    damaged[20] ^= 1
    assert _accepted(bytes(damaged)) == []


@pytest.mark.parametrize("zeros", [1, 4096])
def test_zeros_at_the_end_are_kept_for_a_look(zeros: int) -> None:
    """Some file systems leave them after a power cut: neither an event nor certainly nothing."""
    event, rest = decode(encode(_event(1)) + b"\0" * zeros)
    assert event.event == _event(1)
    assert not is_torn(rest)


# ── what is no event ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "change",
    [
        {"id": "x"},
        {"id": 5},
        {"clock": -1},
        {"clock": 2**63},
        {"at": "soon"},
        {"seq": -1},
        {"v": None},
        {"payload": []},
        {"payload": None},
        {"clock": float("inf")},
    ],
)
def test_facts_that_describe_none(change: dict[str, Any]) -> None:
    body = json.dumps(_event(1).as_dict() | change).encode()
    line = b"%08x %08x %s\n" % (len(body), zlib.crc32(body), body)
    assert _accepted(line + encode(_event(2))) == [_event(2)]


def test_fields_of_tomorrow_are_ignored() -> None:
    assert from_dict(_event(1).as_dict() | {"mood": "sunny"}) == _event(1)


def test_what_json_does_not_know_is_refused() -> None:
    for value in (float("nan"), float("inf"), object(), b"x"):
        with pytest.raises((ValueError, TypeError)):
            to_json({"a": value})


# ── order ────────────────────────────────────────────────────────────────────────────────────────────


@given(st.integers(0, 2**63 - 1), st.integers(0, 2**63 - 1), st.uuids(), st.uuids())
def test_stamps_sort_by_clock_and_then_by_id(one: int, two: int, first: UUID, second: UUID) -> None:
    a, b = replace(_event(1), clock=one, id=first), replace(_event(1), clock=two, id=second)
    assert (a.stamp() < b.stamp()) == ((one, first.hex) < (two, second.hex))


def test_a_higher_rank_beats_every_clock() -> None:
    late, early = replace(_event(1), clock=2**63 - 1), replace(_event(1), clock=0)
    assert early.stamp(2) > late.stamp(1)
