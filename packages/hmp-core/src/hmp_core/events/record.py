"""One event: what it holds, and the line of text it becomes in a segment.

A line is ``<length> <checksum> <JSON>``: eight hex digits of the length in bytes, eight of the CRC-32, and the
event as compact JSON. What the length and checksum do not confirm is not an event.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

#: Eight hex digits of length, eight of checksum, and the brace that every event begins with.
_HEAD = re.compile(rb"([0-9a-f]{8}) ([0-9a-f]{8}) (?=\{)")
_HEAD_LENGTH = 18

#: What is left of a line whose writing was cut short: some bytes of a head, or a head and some of its event.
_TORN = re.compile(rb"[0-9a-f]{1,8}|[0-9a-f]{8} [0-9a-f]{0,8}|([0-9a-f]{8}) [0-9a-f]{8} (?:\{[^\n]*)?")

#: Clocks are kept in 64 bits; what lies beyond is no clock.
_LATEST = 1 << 63


@dataclass(frozen=True, slots=True)
class Event:
    """Something that was done, for ever."""

    #: uuid7; the same event read twice is applied once
    id: UUID
    #: the scope it belongs to: "catalog", "cache"
    component: str
    #: version of the payload of this kind
    v: int
    #: what was done, as "run.sealed"
    kind: str
    #: hybrid clock in microseconds; orders events
    clock: int
    #: wall clock in microseconds since 1970 (UTC)
    at: int
    #: who did it
    author: str
    #: the facts, small and plain; larger things are files that it names
    payload: dict[str, Any] = field(default_factory=dict)
    #: segment it was written to and its number there; empty until written
    writer: str = ""
    seq: int = 0

    def stamp(self, rank: int = 1) -> str:
        """Return the text by which rows are ordered: rank, then clock, then id."""
        return f"{rank}{self.clock:016x}{self.id.hex}"

    def placed(self, writer: str, seq: int) -> Event:
        """Return the event as written to segment ``writer`` at number ``seq``."""
        return replace(self, writer=writer, seq=seq)

    def as_dict(self) -> dict[str, Any]:
        """Return the event as plain JSON values."""
        return {
            "id": str(self.id),
            "component": self.component,
            "v": self.v,
            "kind": self.kind,
            "clock": self.clock,
            "at": self.at,
            "author": self.author,
            "payload": self.payload,
            "writer": self.writer,
            "seq": self.seq,
        }


def from_dict(found: dict[str, Any]) -> Event:
    """Return the event that `Event.as_dict` described.

    Raises
    ------
    ValueError, KeyError, TypeError
        If it does not describe one.
    """
    payload = found["payload"]
    if not isinstance(payload, dict):
        message = f"payload of {found['id']} is {type(payload).__name__}, expected an object"
        raise TypeError(message)
    v, clock, at, seq = int(found["v"]), int(found["clock"]), int(found["at"]), int(found.get("seq", 0))
    if min(v, clock, at, seq) < 0 or max(v, clock, at, seq) >= _LATEST:
        message = f"a number of {found['id']} is out of range"
        raise ValueError(message)
    return Event(
        id=UUID(found["id"]),
        component=str(found["component"]),
        v=v,
        kind=str(found["kind"]),
        clock=clock,
        at=at,
        author=str(found["author"]),
        payload=payload,
        writer=str(found.get("writer", "")),
        seq=seq,
    )


def to_json(value: Any) -> str:
    """Return compact JSON; numbers that JSON does not know are refused.

    Raises
    ------
    ValueError
        For NaN and infinities (see `hmp_core.events.numbers`).
    TypeError
        For anything that is not plain.
    """
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def encode(event: Event) -> bytes:
    """Return the line that stands for ``event`` in a segment."""
    body = to_json(event.as_dict()).encode()
    return b"%08x %08x %s\n" % (len(body), zlib.crc32(body), body)


@dataclass(frozen=True, slots=True)
class Line:
    """A piece of a segment: an event, or bytes that are none."""

    start: int
    end: int
    event: Event | None
    raw: bytes = b""


def decode(data: bytes, start: int = 0) -> Iterator[Line]:
    """Yield the pieces of a segment from byte ``start`` on.

    Bytes that are no event are yielded with ``event=None``, up to the next line that is one. What follows the last
    line break is a piece of its own: it may still be being written.
    """
    position = start
    while position < len(data):
        line = _line(data, position)
        if line is None:
            end = _resume(data, position)
            line = Line(position, end, None, data[position:end])
        yield line
        position = line.end


def _line(data: bytes, start: int) -> Line | None:
    head = _HEAD.match(data, start)
    if head is None:
        return None
    end = head.end() + int(head[1], 16) + 1
    body = data[head.end() : end - 1]
    if end > len(data) or data[end - 1] != 0x0A or zlib.crc32(body) != int(head[2], 16):
        return None
    try:
        return Line(start, end, from_dict(json.loads(body.decode())))
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError, RecursionError):
        return None


def _resume(data: bytes, start: int) -> int:
    """Return where the next readable line begins, else where the last piece begins, else the end of the data."""
    for head in _HEAD.finditer(data, start + 1):
        if _line(data, head.start()) is not None:
            return head.start()
    end = data.rfind(b"\n", start) + 1
    return end if end > start else len(data)


def is_torn(line: Line) -> bool:
    """Return whether a piece is a line whose writing was cut short (never acknowledged), and not a damaged one."""
    found = _TORN.fullmatch(line.raw)
    if line.event is not None or found is None:
        return False
    return found[1] is None or len(line.raw) < _HEAD_LENGTH + int(found[1], 16) + 1
