"""What there is to fold: segments beside a database and packs of past months, and how far each was read.

The log is kept for ever. A segment whose owner left it is copied to the pack of its month, ``events/2026-11.log``,
and removed only after the fold that read it has committed: a process that dies in between leaves the same events
in both places. Reading an event twice changes nothing, and what a pack holds already is not copied again.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from hmp_core.durable import fsync_folder, make_folder, translated, write_atomic
from hmp_core.events.record import Event, Line, decode, is_torn
from hmp_core.events.segment import NEW, SUFFIX, claim, unclaim
from hmp_core.layout import internal_folder
from hmp_core.saying import once

_log = logging.getLogger(__name__)

#: How the note of a file begins that was read further than it reaches now: kept until the file is back, or a rebuild.
LOST = "lost:"

#: Seconds after which a segment that is still being made will never be.
_UNFINISHED = 60.0


@dataclass(frozen=True, slots=True)
class Position:
    """How far a file of events was folded."""

    position: int
    packed: bool = False


@dataclass(slots=True)
class Harvest:
    """What was read: new events, how far each file now is, and the segments that may be removed."""

    events: list[Event] = field(default_factory=list)
    positions: dict[str, Position] = field(default_factory=dict)
    finished: list[Path] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)
    #: ids of the events that were read from packs just now: a copy that was not committed, or a rebuild
    in_packs: set[UUID] = field(default_factory=set)
    rejected: int = 0

    def note(self, lost: Mapping[str, Position]) -> dict[str, Position]:
        """Keep the notes of what the log lost, and return them; a segment whose events were read is in a pack."""
        told = {f"{LOST}{event.writer}{SUFFIX}" for event in self.events}
        kept = {name: at for name, at in lost.items() if name not in told or name[len(LOST) :] in self.positions}
        self.positions |= kept
        return kept

    def release(self) -> None:
        """Give back the locks of claimed segments."""
        while self.descriptors:
            unclaim(self.descriptors.pop())

    def discard(self) -> None:
        """Remove the segments that are folded and packed; one that cannot go now goes with a later fold."""
        for path in self.finished:
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                once(_log, "%s is folded and packed but cannot be removed: %s", path, error)
        self.release()


class LogFiles:
    """The files of one database's log."""

    def __init__(self, database: Path) -> None:
        folder = internal_folder(database)
        self.pending = folder / "pending"
        self.rejected = folder / "rejected"
        self.packs = database.parent / "events"

    def segments(self) -> list[Path]:
        """Return the segments that are in use or left, oldest first."""
        return _logs(self.pending)

    def packed(self) -> list[Path]:
        """Return the packs, oldest first."""
        return _logs(self.packs)

    def is_behind(self, positions: Mapping[str, Position]) -> bool:
        """Return whether anything was appended since ``positions``, or a segment was left; opens no database."""
        for path in (*self.segments(), *self.packed()):
            try:
                size = path.stat().st_size
            except FileNotFoundError:
                continue
            known = positions.get(path.name)
            if known is not None and known.packed:
                continue
            if known is None or size != known.position:
                return True
            if path.parent == self.pending and (descriptor := claim(path)) is not None:
                unclaim(descriptor)
                return True
        return False

    def unread(self, positions: Mapping[str, Position]) -> int:
        """Return how many events were appended since ``positions``; those in two places count once."""
        found: set[UUID] = set()
        for path in (*self.segments(), *self.packed()):
            known = positions.get(path.name, Position(0))
            if not known.packed:
                lines = decode(_read(path, known.position))
                found.update(line.event.id for line in lines if line.event is not None)
        return len(found)

    def recent(self, positions: Mapping[str, Position]) -> list[Event] | None:
        """Return what was appended to segments in use since ``positions``; None where a fold has more to do than that.

        That is: a segment was left, a pack is not as it was read, a file lost events, or something cannot be read.
        """
        found: list[Event] = []
        missing = {name for name, at in positions.items() if not at.packed and not name.startswith(LOST)}
        for pack in self.packed():
            if positions.get(pack.name) != Position(_size(pack)):
                return None
            missing.discard(pack.name)
        for path in self.segments():
            missing.discard(path.name)
            known = positions.get(path.name, Position(0))
            if known.packed:
                continue
            if (descriptor := claim(path)) is not None:
                unclaim(descriptor)
                return None
            lines = list(decode(_read(path, known.position)))
            if lines and is_torn(lines[-1]):  # its writer is at it, and has acknowledged nothing
                lines.pop()
            events = [line.event for line in lines if line.event is not None]
            if _size(path) < known.position or len(events) < len(lines):
                return None
            found += events
        return None if missing else found

    def lost(self, positions: Mapping[str, Position]) -> dict[str, Position]:
        """Return the files that were read further than they reach now, or ever since: notes of them, by name.

        A pack that lost events grows again with others, of the same length often enough. It is back when it came to
        its former length at once, and not by folds, which know how far they brought it; a rebuild forgets the note.
        """
        sizes = {path.name: _size(path) for path in (*self.packed(), *self.segments())}
        found: dict[str, Position] = {}
        for name, at in positions.items():
            file = name.removeprefix(LOST)
            size, end = sizes.get(file, 0), positions.get(file, Position(0)).position
            back = size >= at.position and (name == file or (end < at.position and self._has_end(file, at.position)))
            if not at.packed and not back:
                note = LOST + file
                found[note] = max(at, found.get(note, at), key=lambda each: each.position)
        return found

    def _has_end(self, name: str, position: int) -> bool:
        path = next(folder / name for folder in (self.packs, self.pending) if (folder / name).exists())
        return any(line.end == position for line in decode(_read(path, 0)) if line.event is not None)

    def rejected_count(self) -> int:
        """Return how many pieces of segments could not be read and were set aside."""
        return sum(1 for _ in self.rejected.glob("*.raw")) if self.rejected.is_dir() else 0

    def harvest(self, positions: Mapping[str, Position]) -> Harvest:
        """Read what is new since ``positions``, and pack the segments that were left. The lock is held."""
        found = Harvest()
        lost = self.lost(positions)
        try:
            for pack in self.packed():
                self._read_pack(pack, positions.get(pack.name, Position(0)).position, found)
            for path in self.segments():
                self._read_segment(path, positions.get(path.name, Position(0)), found)
            self._sweep()
            found.note(lost)
        except BaseException:
            found.release()
            raise
        return found

    def everything(self) -> Harvest:
        """Read the whole log, from its first event on, changing nothing."""
        found = Harvest()
        for path in (*self.packed(), *self.segments()):
            lines = list(decode(_read(path, 0)))
            found.events += [line.event for line in lines if line.event is not None]
            found.rejected += sum(line.event is None and not is_torn(line) for line in lines)
        return found

    # ── one file ─────────────────────────────────────────────────────────────────────────────────────

    def _read_pack(self, path: Path, known: int, found: Harvest) -> None:
        size = path.stat().st_size
        start = known if known <= size else 0  # somebody put an older copy in its place: read it all again
        lines = list(decode(_read(path, start)))
        if lines and is_torn(lines[-1]):
            # a copy that was cut short; its segment is still there and is copied again
            os.truncate(path, start + lines.pop().start)
        self._take(path, start, lines, found)
        found.in_packs.update(line.event.id for line in lines if line.event is not None)
        found.positions[path.name] = Position(start + (lines[-1].end if lines else 0))

    def _read_segment(self, path: Path, known: Position, found: Harvest) -> None:
        descriptor = claim(path)
        if descriptor is not None:
            found.descriptors.append(descriptor)
        if known.packed:  # its remover died, or could not; the row stays until the file is gone
            found.positions[path.name] = known
            if descriptor is not None:
                found.finished.append(path)
            return
        start = known.position if known.position <= _size(path) else 0
        lines = list(decode(_read(path, start, flush=True)))
        if lines and (is_torn(lines[-1]) or (lines[-1].event is None and descriptor is None)):
            torn = lines.pop()
            if descriptor is not None:
                once(_log, "%s: dropped %d bytes that were never acknowledged", path, len(torn.raw))
        self._take(path, start, lines, found)
        end = start + (lines[-1].end if lines else 0)
        if descriptor is not None:
            self._pack(path, found)
            found.finished.append(path)
        found.positions[path.name] = Position(end, packed=descriptor is not None)

    def _take(self, path: Path, start: int, lines: list[Line], found: Harvest) -> None:
        for line in lines:
            if line.event is not None:
                found.events.append(line.event)
            else:
                self._reject(path, start + line.start, line.raw)
                found.rejected += 1

    def _reject(self, path: Path, start: int, raw: bytes) -> None:
        """Keep what cannot be read, for whoever can: its segment will be put away."""
        make_folder(self.rejected)
        kept = self.rejected / f"{path.stem}-{start}.raw"
        if write_atomic(kept, raw, overwrite=False):
            _log.error("%s: %d bytes at %d cannot be read and were set aside in %s", path, len(raw), start, kept)

    def _pack(self, path: Path, found: Harvest) -> None:
        """Copy a segment's events to the pack of its month."""
        data = _read(path, 0)
        kept = b"".join(
            data[line.start : line.end]
            for line in decode(data)
            if line.event is not None and line.event.id not in found.in_packs
        )
        if not kept:
            return
        pack = self.packs / f"{_month(path.stem)}{SUFFIX}"
        make_folder(self.packs)
        with translated(pack):
            fresh = not pack.exists()
            with pack.open("ab") as file:
                file.write(kept)
                file.flush()
                os.fsync(file.fileno())
                size = file.tell()
            if fresh:
                fsync_folder(self.packs)
        found.positions[pack.name] = Position(size)

    def _sweep(self) -> None:
        """Remove segments that were made and never came to be (their maker died before the rename)."""
        for path in self.pending.glob(f".*{NEW}"):
            if _age(path) > _UNFINISHED and (descriptor := claim(path)) is not None:
                path.unlink(missing_ok=True)
                unclaim(descriptor)


def _logs(folder: Path) -> list[Path]:
    """Return the files of events in a folder; hidden ones are what other systems leave beside real ones."""
    return sorted(path for path in folder.glob(f"*{SUFFIX}") if not path.name.startswith("."))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _age(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _read(path: Path, start: int, *, flush: bool = False) -> bytes:
    """Return the bytes from ``start`` on; with ``flush``, once they are on the disk.

    A line can be read before its writer's own flush has returned: a row must not know what a power cut would take
    from the log.
    """
    try:
        with path.open("rb") as file:
            file.seek(start)
            data = file.read()
            if data and flush:
                os.fsync(file.fileno())
            return data
    except FileNotFoundError:
        return b""


def _month(writer: str) -> str:
    try:
        milliseconds = UUID(writer).int >> 80
        return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m")
    except (ValueError, OverflowError):
        return "undated"
