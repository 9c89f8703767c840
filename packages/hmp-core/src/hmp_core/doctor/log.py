"""The log of a database: its segments, its packs, what was set aside of them, and the clocks of its events."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from hmp_core.doctor import codes
from hmp_core.doctor.case import Case
from hmp_core.doctor.findings import Finding, many, some
from hmp_core.events.record import Event
from hmp_core.events.segment import claim

#: Seconds.
_DAY, _HOUR = 86_400.0, 3_600.0


def look(case: Case) -> Iterator[Finding]:
    """Yield what is to be said of the files of the log, without the database."""
    if not case.is_logged:
        return
    yield from _segments(case)
    yield from _rejected(case)
    yield from damage(case)
    yield from _gaps(case)
    yield from _clocks(case)


def _segments(case: Case) -> Iterator[Finding]:
    seen = [(path, found, _is_left(path)) for path in case.files.segments() if (found := _stat(path)) is not None]
    if not seen:
        return
    oldest = min(found.st_mtime for _, found, _ in seen)
    left = [path for path, _, is_left in seen if is_left]
    size = sum(found.st_size for _, found, _ in seen)
    what = (
        f"{many(len(seen), 'segment')} with {size} bytes, the oldest written to {_ago(case.now - oldest)}: "
        f"{len(seen) - len(left)} in use, {len(left)} left by processes that have ended"
    )
    yield case.finding(codes.PENDING, what, case.files.pending)
    late = [path for path, found, is_left in seen if is_left and case.now - found.st_mtime > _DAY]
    if late:
        yield case.finding(codes.LEFT, f"not folded since {_ago(case.now - oldest)}: {some(p.name for p in late)}")


def _is_left(path: Path) -> bool:
    descriptor = claim(path)
    if descriptor is None:
        return False
    os.close(descriptor)
    return True


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _ago(seconds: float) -> str:
    for unit, length in (("days", _DAY), ("hours", _HOUR), ("minutes", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit} ago"
    return f"{max(seconds, 0.0):.0f} seconds ago"


def _rejected(case: Case) -> Iterator[Finding]:
    kept = sorted(case.files.rejected.glob("*.raw")) if case.files.rejected.is_dir() else []
    if kept:
        what = f"{many(len(kept), 'piece')} set aside: {some(path.name for path in kept)}"
        yield case.finding(codes.REJECTED, what, case.files.rejected)


def damage(case: Case) -> Iterator[Finding]:
    """Yield the files of the log that hold bytes that are no event."""
    for log in case.log:
        if log.damaged:
            places = some(f"{len(line.raw)} bytes at {line.start}" for line in log.damaged)
            yield case.finding(codes.LOG_DAMAGED, f"no event can be read in {places}", log.path)


def _gaps(case: Case) -> Iterator[Finding]:
    """Yield the writers of whose lines some are missing in the middle; a damaged one is told of by itself."""
    told = {path.name.rpartition("-")[0] for path in case.files.rejected.glob("*.raw")}
    numbers: dict[str, set[int]] = defaultdict(set)
    for log in case.log:
        if log.damaged:
            return  # which lines these were cannot be told
        for event in log.events:
            numbers[event.writer].add(event.seq)
    for writer, found in sorted(numbers.items()):
        missing = sorted(set(range(1, max(found))) - found)
        if missing and writer not in told:
            yield case.finding(codes.GAP, f"of writer {writer} the lines {some(missing)} are missing", case.files.packs)


# ── clocks ───────────────────────────────────────────────────────────────────────────────────────────


def _clocks(case: Case) -> Iterator[Finding]:
    now = case.now * 1e6
    events = [event for log in case.log for event in log.events]
    ahead = [event for event in events if max(event.clock, event.at) > now + _HOUR * 1e6]
    if ahead:
        latest = max(max(event.clock, event.at) for event in ahead)
        by = some(sorted({event.author for event in ahead}))
        yield case.finding(codes.AHEAD, f"{len(ahead)} events by {by} are of up to {_moment(latest)}", case.files.packs)
    # what follows one that was ahead is behind it: that is said already
    behind = [event for event in events if event.clock - event.at > _HOUR * 1e6] if not ahead else []
    if behind:
        most = max(event.clock - event.at for event in behind)
        yield case.finding(
            codes.BEHIND, f"{len(behind)} events, by up to {most / 3.6e9:.1f} hours", _pack(case, behind)
        )


def _pack(case: Case, events: list[Event]) -> Path:
    chosen = {event.id for event in events}
    return next(log.path for log in case.log if any(event.id in chosen for event in log.events))


def _moment(microseconds: int) -> str:
    try:
        return f"{datetime.fromtimestamp(microseconds / 1e6, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (OverflowError, ValueError, OSError):
        return f"{microseconds} µs after 1970"
