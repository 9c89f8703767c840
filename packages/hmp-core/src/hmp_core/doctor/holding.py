"""Who holds the lock of a database, told and waited for without a trace: no lock file is made, no note is signed."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from hmp_core.doctor import codes
from hmp_core.doctor.case import Case
from hmp_core.doctor.findings import Finding
from hmp_core.errors import BusyError
from hmp_core.locks import Owner, database_lock, this_process, try_flock
from hmp_core.upkeep.unlock import lockers

#: Seconds after which somebody who holds the lock is to be looked at: a fold takes seconds.
_LONG = 600.0
_POLL = 0.01


def look(case: Case) -> Iterator[Finding]:
    """Yield who holds the lock now, if somebody does."""
    with _descriptor(case.path) as descriptor:
        if descriptor is None or _taken(descriptor):
            return
    note, since = database_lock(case.path).note()
    seconds = None if since is None else max(0.0, case.now - since)
    who = _who(note, case.path)
    when = "" if since is None else f" since {datetime.fromtimestamp(since, UTC):%Y-%m-%d %H:%M:%S} UTC"
    known = note is not None and note.is_dead() is not True
    code = codes.HELD if known and seconds is not None and seconds < _LONG else codes.HELD_LONG
    yield case.finding(code, f"the lock is held by {who}{when}", _lock_file(case.path))


def _who(note: Owner | None, database: Path) -> str:
    """Say who signed the note, and whether that process lives."""
    if note is None:
        return "somebody who has left no note"
    named = f"process {note.pid} on {note.host}"
    here = this_process()
    if note == here:
        return f"{named}, this very process"
    match note.is_dead():
        case False:
            return f"{named}, which lives"
        case True:
            return f"somebody; the note names {named}, which has ended: a child of it, or one who may not sign"
    if pids := sorted(lockers(_lock_file(database))):  # the kernel knows it by another number
        place = "another host by its name" if note.host != here.host else "in another container or pid namespace"
        return f"{named}, {place}, which lives: here it is process {' '.join(map(str, pids))}"
    if note.host != here.host:
        return f"{named}, another host: whether it lives cannot be told here"
    return f"{named}, in another container or pid namespace: whether it lives cannot be told here"


def _lock_file(database: Path) -> Path:
    return database.with_name(f"{database.name}.lock")


@contextlib.contextmanager
def quietly(database: Path, wait: float) -> Iterator[None]:
    """Keep every other process of hmp out for the block; where there is no lock file nobody is kept out.

    Raises
    ------
    BusyError
        If the lock was not free within ``wait`` seconds; names the holder.
    """
    until = time.monotonic() + wait
    while True:
        with _descriptor(database) as descriptor:
            # a lock that this process holds already is not ours to wait for: threads wait for one another elsewhere
            if descriptor is None or database_lock(database).held or _is_ours(descriptor, database):
                yield
                return
        if time.monotonic() > until:
            holder = _who(database_lock(database).note()[0], database)
            message = f"{database} is held by {holder}; waited {wait:.1f} s"
            raise BusyError(message, path=str(_lock_file(database)), holder=holder, waited=wait)
        time.sleep(_POLL)


def _is_ours(descriptor: int, database: Path) -> bool:
    """Take the lock without waiting; one on a file that was replaced meanwhile guards nothing."""
    try:
        return _taken(descriptor) and os.path.samestat(os.fstat(descriptor), os.stat(_lock_file(database)))
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def _descriptor(database: Path) -> Iterator[int | None]:
    """Give a descriptor of the lock file that is there; None where there is none, or it may not be read."""
    try:
        descriptor = os.open(_lock_file(database), os.O_RDONLY)
    except OSError:
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _taken(descriptor: int) -> bool:
    """Take the lock without waiting; True too where the file system cannot lock what is only read (NFS)."""
    try:
        return try_flock(descriptor)
    except OSError:
        return True
