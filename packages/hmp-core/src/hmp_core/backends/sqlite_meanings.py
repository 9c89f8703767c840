"""What SQLite says and what it means: it gives a code to each of its errors, and by that they are told apart."""

from __future__ import annotations

import os
from pathlib import Path

from hmp_core.errors import (
    BusyError,
    CorruptError,
    HmpError,
    NotWritable,
    StatementError,
    StorageError,
)

#: It could not get at a lock; ``LOCKED`` is not one of them: that is a statement in the way of another.
BUSY = ("SQLITE_BUSY", "SQLITE_PROTOCOL")
_DAMAGED = (
    "SQLITE_CORRUPT",
    "SQLITE_NOTADB",
    "SQLITE_IOERR_READ",
    "SQLITE_IOERR_SHORT_READ",
    "SQLITE_IOERR_CORRUPTFS",
    "SQLITE_IOERR_DATA",
)
_FULL = ("SQLITE_FULL", "SQLITE_IOERR")
_FORBIDDEN = ("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH")

#: Where in the file beside a database, that its processes share, the lock of its writer lies.
_WRITER = "120"


def meaning(error: Exception, path: Path, *, writing: bool) -> HmpError:
    """Return the error of hmp that stands for an exception of the engine.

    Parameters
    ----------
    error
        What the engine raised.
    path
        The database file that was being used.
    writing
        Whether it was opened to be written.
    """
    name = getattr(error, "sqlite_errorname", None) or ""
    said = f"{error} [{name}]" if name else str(error)
    if name.startswith(BUSY):
        return busy(path, waited=0.0)
    if name.startswith(_DAMAGED) or (name.startswith("SQLITE_CANTOPEN") and path.is_dir()):
        return corrupt(path, said)
    if name.startswith(_FULL):
        message = f"{path} could not be written; free some space and try again ({said})"
        return StorageError(message, path=str(path))
    if name.startswith("SQLITE_READONLY") and not writing:
        message = f"{path}: a statement that writes, where only reading was asked for ({said})"
        return StatementError(message)
    if name.startswith(_FORBIDDEN):
        message = f"{path} may not be opened or written: {said}"
        return NotWritable(message, path=str(path))
    message = f"{path}: {said}"
    return StatementError(message)


def corrupt(path: Path, said: str) -> CorruptError:
    """Return the error for a file that is not what it should be."""
    message = f"{path} is damaged or not a database; it was left as it is: restore it from a backup ({said})"
    return CorruptError(message, path=str(path))


def busy(path: Path, *, waited: float) -> BusyError:
    """Return the error for a file that somebody else kept, with who it was as far as the kernel tells."""
    holder = _holder(path)
    message = f"{path} is held by {holder}; waited {waited:.1f} s; try again, or wait longer (timeout=)"
    return BusyError(message, path=str(path), holder=holder, waited=waited)


def _holder(path: Path) -> str:
    # the table of the kernel: opening the file to ask it would drop this process's own locks on closing it
    try:
        lines = Path("/proc/locks").read_text().splitlines()
        shared = os.stat(f"{path}-shm").st_ino
    except OSError:
        return "another process"
    for line in lines:
        _, _, _, kind, pid, place, first, *_ = line.replace("->", "").split()
        if kind == "WRITE" and place.endswith(f":{shared}") and first == _WRITER and int(pid) > 0:
            return f"process {pid}"
    return "another process"
