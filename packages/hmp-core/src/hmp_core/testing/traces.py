"""What folders hold, to the byte: taken before and after something that must change nothing."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from hmp_core.auth.refused import NAME
from hmp_core.identity import sha256_file

Trace = dict[str, tuple[object, ...]]


def trace(*folders: Path, locks: bool = True) -> Trace:
    """Return every name below the folders with kind, size, time and content; of links where they lead.

    The record of refusals is left out, and the folders it may have to make: that is what a refusal may change.
    A database is not read (that would drop the lock of its engine): its number, size and time must do.

    Parameters
    ----------
    locks
        Look at lock files, too; whoever may read takes the lock.
    """
    return {
        str(path): _told(path)
        for folder in folders
        for path in [folder, *folder.rglob("*")]
        if not _expected(path) and (locks or not path.name.endswith((".lock", ".lock.json")))
    }


def _expected(path: Path) -> bool:
    return path.name == NAME or (path.is_dir() and ".hmp" in {path.name, path.parent.name})


def _told(path: Path) -> tuple[object, ...]:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return ("absent",)
    if stat.S_ISLNK(found.st_mode):
        return ("link", os.readlink(path))
    if stat.S_ISDIR(found.st_mode):
        return ("folder", stat.S_IMODE(found.st_mode))
    known = (found.st_size, found.st_mtime_ns, found.st_ino)
    return known if path.name.endswith((".duckdb", ".wal")) else (*known, sha256_file(path))


def differences(before: Trace, after: Trace) -> list[str]:
    """Return what was made, what went and what changed, a line each."""
    made = [f"made {path}" for path in sorted(after.keys() - before.keys())]
    gone = [f"removed {path}" for path in sorted(before.keys() - after.keys())]
    changed = [f"changed {path}" for path in sorted(before.keys() & after.keys()) if before[path] != after[path]]
    return made + gone + changed
