"""What a purge leaves in the log: that something happened, and not what.

A pack is written anew with lines of the same length, so that how far it was read stays true, and takes the place of
the former one in a step. What is still in the segment of a living process cannot be changed here; it is counted.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hmp_core.durable import write_atomic
from hmp_core.errors import InvalidInput
from hmp_core.events.pending import LogFiles
from hmp_core.events.record import Event, decode, to_json

#: The head of a line, and the line break.
_AROUND = 19


@dataclass(frozen=True, slots=True)
class Scrubbed:
    """How many events were emptied, and how many could not be reached."""

    emptied: int = 0
    left: int = 0


def scrub(database: Path, emptied: Callable[[Event], Event | None]) -> Scrubbed:
    """Put emptied events in the place of those that said too much; the caller holds the lock and has folded.

    Parameters
    ----------
    database
        The database that the log belongs to.
    emptied
        From an event to what is to stay of it, which must not be longer; None leaves it as it is.

    Raises
    ------
    InvalidInput
        If what is to stay is longer than what was.
    NotWritable, StorageError
        If a pack cannot be written; it is then as it was.
    """
    files, done = LogFiles(database), 0
    for pack in files.packed():
        data = pack.read_bytes()
        kept = bytearray(data)
        for line in decode(data):
            rest = None if line.event is None else emptied(line.event)
            if rest is not None:
                kept[line.start : line.end] = _padded(rest, line.end - line.start)
                done += 1
        if kept != data:
            write_atomic(pack, bytes(kept))
    segments = (line.event for path in files.segments() for line in decode(path.read_bytes()))
    return Scrubbed(done, sum(event is not None and emptied(event) is not None for event in segments))


def _padded(event: Event, length: int) -> bytes:
    """Return the line that stands for an event, made as long as asked by blanks inside the JSON."""
    body = to_json(event.as_dict()).encode()
    spare = length - _AROUND - len(body)
    if spare < 0:
        message = f"what is to stay of {event.id} is longer than what was, by {-spare} bytes"
        raise InvalidInput(message)
    body = body[:-1] + b" " * spare + b"}"
    return b"%08x %08x %s\n" % (len(body), zlib.crc32(body), body)
