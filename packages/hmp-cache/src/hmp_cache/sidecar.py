"""The sidecar of an input: every version of it and how each was obtained, as the events that said so.

It holds everything the rows of the database hold, so that the database can be made again from sidecars alone.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hmp_cache.shelf import SIDECAR, Shelf
from hmp_core.durable import make_folder, write_atomic
from hmp_core.errors import CorruptError, SchemaTooNewError
from hmp_core.events import Event
from hmp_core.events.record import from_dict, to_json
from hmp_core.identity import sha256_bytes

#: The kinds of events that a sidecar holds: what became of one input.
KINDS = frozenset({
    "input.stored", "input.sighted", "input.confirmed", "input.purged", "input.restored", "input.removed",
})  # fmt: skip

#: The form of a sidecar that this module writes; every earlier one stays readable.
SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Sidecar:
    """What a sidecar says."""

    entry: str
    events: tuple[Event, ...] = ()

    def with_event(self, event: Event) -> Sidecar:
        """Return the sidecar with one more event; with the same, if it has it already.

        Of several sightings of one version the newest counts, and is kept alone.
        """
        if any(known.id == event.id for known in self.events):
            return self
        kept = self.events
        if event.kind == "input.sighted":
            former = self.sighting(event.payload["artifact"]["id"])
            if former is not None and former.stamp() > event.stamp():
                return self
            kept = tuple(known for known in kept if known != former)
        return replace(self, events=(*kept, event))

    @property
    def newest(self) -> Event | None:
        """The event that set the current version: the one with the greatest stamp."""
        return max(self._stored(), key=Event.stamp, default=None)

    def stored(self, sha256: str) -> dict[str, Any] | None:
        """Return the facts of the version with these bytes, as they were first stored."""
        found = [e.payload["artifact"] for e in self._stored() if e.payload["artifact"]["sha256"] == sha256]
        return found[0] if found else None

    def sighting(self, artifact: str) -> Event | None:
        """Return the event that says how a version was last seen."""
        return self._last(artifact, "input.sighted")

    def sighted(self, artifact: str) -> dict[str, Any] | None:
        """Return how a version was last seen, if after it was stored or restored; its id is ``artifact``."""
        seen = self._last(artifact, "input.sighted", "input.stored", "input.restored")
        return seen.payload["artifact"] if seen is not None else None

    def purged(self, artifact: str) -> bool:
        """Return whether the bytes of a version went on purpose and have not come back."""
        last = self._last(artifact, "input.purged", "input.stored", "input.restored")
        return last is not None and last.kind == "input.purged"

    @property
    def removed(self) -> bool:
        """Whether the input is not wanted any more."""
        last = max(
            (e for e in self.events if e.kind in {"input.removed", "input.stored"}), key=Event.stamp, default=None
        )
        return last is not None and last.kind == "input.removed"

    def upstream(self, artifact: str) -> dict[str, Any]:
        """Return how a version was obtained, as upstream last confirmed it; its id is ``artifact``."""
        told = self._last(artifact, "input.stored", "input.confirmed")
        found: dict[str, Any] = told.payload["provenance"] if told is not None else {}
        return found

    def _stored(self) -> list[Event]:
        return [event for event in self.events if event.kind == "input.stored"]

    def _last(self, artifact: str, *kinds: str) -> Event | None:
        told = (e for e in self.events if e.kind in kinds and e.payload["artifact"]["id"] == artifact)
        return max(told, key=Event.stamp, default=None)


def path_of(file: Path) -> Path:
    """Return where the sidecar of a file lies."""
    return file.with_name(file.name + SIDECAR)


def read(path: Path) -> Sidecar | None:
    """Return what a sidecar says; None if there is none.

    Raises
    ------
    CorruptError
        If it cannot be read; it is left as it is.
    SchemaTooNewError
        If it was written by a newer hmp.
    """
    try:
        data = _content(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _unreadable(path, error) from error
    return decoded(data, path)


def _content(path: Path) -> bytes:
    """Return the bytes of a file; a pipe in its place would let whoever reads it wait for ever."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            message = "it is no file"
            raise OSError(message)
        with open(descriptor, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)


def decoded(data: bytes, path: Path) -> Sidecar:
    """Return what a sidecar says whose bytes are at hand; ``path`` is where they lie.

    Raises
    ------
    CorruptError, SchemaTooNewError
        See `read`.
    """
    try:
        found = json.loads(data)
        schema = int(found["schema"])
        if schema > SCHEMA:
            message = f"{path} has schema {schema}, this hmp reads up to {SCHEMA}; upgrade hmp-cache"
            raise SchemaTooNewError(message, path=str(path), found=schema, known=SCHEMA)
        # the log has a checksum a line; where it is lost, nothing else would tell that a value was changed
        if found.get("checksum", _checksum(found)) != _checksum(found):
            message = "it is not as it was written"
            raise ValueError(message)
        return Sidecar(str(found["entry"]["id"]), tuple(from_dict(event) for event in found["events"]))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> CorruptError:
    message = (
        f"{path} is no sidecar that can be read ({type(error).__name__}: {error}); it was left as it is: "
        "move it away, then `hmp data rebuild` takes what the event log knows"
    )
    return CorruptError(message, path=str(path))


def write(path: Path, sidecar: Sidecar) -> None:
    """Put a sidecar on the disk, whole."""
    make_folder(path.parent)
    write_atomic(path, encoded(sidecar))


def encoded(sidecar: Sidecar) -> bytes:
    """Return a sidecar as it is kept: JSON, an event a line.

    Each part is encoded once and by C code: indented JSON takes ten times as long, a fifth of what storing a small
    file takes.
    """
    newest = sidecar.newest
    entry = to_json(newest.payload["entry"] if newest else {"id": sidecar.entry})
    events = [to_json(event.as_dict()) for event in sidecar.events]
    checksum = sha256_bytes(f"[{entry},[{','.join(events)}]]".encode())
    listed = ",\n  ".join(events)
    return (
        f'{{\n "schema": {SCHEMA},\n "entry": {entry},\n "events": [\n  {listed}\n ],\n "checksum": "{checksum}"\n}}\n'
    ).encode()


def _checksum(content: dict[str, Any]) -> str:
    return sha256_bytes(to_json([content["entry"], content["events"]]).encode())


def every(data: Path) -> Iterator[Path]:
    """Yield the sidecars of a ``data`` folder."""
    shelf = Shelf(data.parent)
    for pattern in (
        f"[!.]*/[!.]*/[!.]*{SIDECAR}",
        f"{shelf.registered.name}/*{SIDECAR}",
        f"{shelf.rejected.name}/*{SIDECAR}",
    ):
        yield from sorted(data.glob(pattern))
