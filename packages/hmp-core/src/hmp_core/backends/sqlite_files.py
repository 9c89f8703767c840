"""The file of a SQLite database: how it is made whole, and which way leads into it where one may only read."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from hmp_core.durable import fsync_folder, translated

_log = logging.getLogger(__name__)


class Seen(NamedTuple):
    """What a file was like when somebody looked."""

    inode: int
    size: int
    changed: int


def seen(path: Path) -> Seen:
    """Return what the file is like, by `stat` alone: to open it would drop the engine's locks on closing it."""
    found = os.stat(path)
    return Seen(found.st_ino, found.st_size, found.st_mtime_ns)


def way_in(path: Path, *, write: bool) -> tuple[str, bool]:
    """Return how the file is opened, and whether that takes no lock at all.

    Who reads where it could write joins the others, and clears up behind it. In a folder where nothing can be made
    the file is opened as one that does not change; whether it did is seen afterwards.
    """
    if write or (_may_write(path) and _may_write(path.parent)):
        return f"{path.as_uri()}?mode=rw", False
    if os.path.exists(f"{path}-wal"):
        return f"{path.as_uri()}?mode=ro", False
    return f"{path.as_uri()}?mode=ro&immutable=1", True


def has_changes(path: Path) -> bool:
    """Return whether something waits in the WAL to be played into the file."""
    try:
        return os.stat(f"{path}-wal").st_size > 0
    except FileNotFoundError:
        return False


def _may_write(path: Path) -> bool:
    return os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def make(path: Path, engine: Callable[[Path], None]) -> None:
    """Let ``engine`` make the database beside its place and put it there whole; the lock file is held.

    What another database of the same name left is moved aside: SQLite would play its changes into the new one.
    """
    for left in (path.with_name(f"{path.name}{end}") for end in ("-wal", "-journal")):
        if left.exists():
            aside = left.with_name(f"{left.name}.orphan-{datetime.now(UTC):%Y%m%dT%H%M%S%f}")
            _log.warning("%s has no database; it was moved to %s", left, aside)
            with translated(left):
                left.rename(aside)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
    try:
        engine(beside)
        with translated(path):
            path.with_name(f"{path.name}-shm").unlink(missing_ok=True)
            os.replace(beside, path)
            fsync_folder(path.parent)
    finally:
        for end in ("", "-wal", "-shm", "-journal"):
            with contextlib.suppress(FileNotFoundError):
                beside.with_name(f"{beside.name}{end}").unlink()
