"""A new database takes the place of an old one: made beside it under another name, then one rename.

Whoever dies on the way leaves the old database where it was. The lock of the database is held all the while. What is
made beside is nobody else's, so it needs no lock file; what a killed process left of it goes with the next sweep.
"""

from __future__ import annotations

import contextlib
import glob
import os
import re
import secrets
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from hmp_core import wal
from hmp_core.durable import fsync_folder, fsync_place, make_folder, translated
from hmp_core.errors import StorageError
from hmp_core.layout import internal_folder

if TYPE_CHECKING:
    from hmp_core.protocols.backend import BulkBackend

#: How many former databases are kept, and how many backups.
KEPT = 5

_NEW = "new"
_MOMENT = "%Y%m%dT%H%M%S%f"
_STAMPED = re.compile(r"(\d{8}T\d{12})-.")


@contextlib.contextmanager
def beside(database: Path) -> Iterator[Path]:
    """Give a name in the same folder for the database that is to come; what is left of it at the end goes.

    What killed processes left under such names is swept first.
    """
    sweep(database)
    new = database.with_name(f".{database.name}.{secrets.token_hex(4)}.{_NEW}")
    try:
        yield new
    finally:
        for path in (new, *wal.files(new)):
            with contextlib.suppress(OSError):  # a medium that may only be read refuses even what is not there
                path.unlink()


def sweep(database: Path) -> None:
    """Remove what a process killed while making a new database left; the lock is held."""
    unlink_own_copies(database)
    name = glob.escape(database.name)
    # the second pattern: what is made beside is itself made beside
    for pattern in (f".{name}.*.{_NEW}*", f"..{name}.*.{_NEW}*"):
        for leftover in database.parent.glob(pattern):
            with contextlib.suppress(OSError):
                leftover.unlink()


def flush(backend: BulkBackend) -> None:
    """Bring what is in the WAL into the database itself, so that the file is all of it; the lock is held.

    Raises
    ------
    StorageError
        If something is left in the WAL.
    BusyError
        If the file is open elsewhere, without our lock.
    """
    with backend.lease(write=True):
        backend.execute("CHECKPOINT")
    if left := wal.files(backend.path):
        message = f"{left[0]} could not be brought into its database; free some space and try again"
        raise StorageError(message, path=str(backend.path))


def take_place(new: Path, database: Path, *, like: Path | None = None) -> None:
    """Let ``new`` be the database from now on. What was there is flushed (`flush`) or set aside (`set_aside`).

    It is given the owner and the permissions of ``like``, by default of what was there.
    """
    with translated(database):
        _resemble(new, database if like is None else like)
        fsync_place(new)
        os.replace(new, database)
        fsync_folder(database.parent)


def set_aside(database: Path) -> Path:
    """Keep what is there in ``.hmp/<name>/replaced``, with the newest four before it; return that folder.

    A process killed meanwhile leaves the old database in its place. The WAL goes first, for it must never lie beside
    another database; what only it held is in the log, or comes from a backup.
    """
    folder = _replaced(database)
    there = [*wal.files(database), *([database] if os.path.lexists(database) else [])]
    if not there:
        return folder
    with translated(database):
        make_folder_beside(database, folder)
        moment = next_moment(folder)
        for path in there:
            kept = folder / f"{moment}-{path.name}"
            if path != database:
                os.replace(path, kept)
                continue
            try:
                os.link(path, kept)
            except OSError:  # a folder, or a file system without links
                os.replace(path, kept)
        fsync_folder(folder)
        forget_old(folder)
    return folder


def make_folder_beside(database: Path, folder: Path) -> None:
    """Make a folder below that of a database, as open as that one: who may restore it must reach its copies."""
    above = (each for each in (folder, *folder.parents) if database.parent in each.parents)
    missing = [each for each in above if not os.path.lexists(each)]
    make_folder(folder)
    for made in reversed(missing):
        _resemble(made, database.parent)


def unlink_own_copies(database: Path) -> None:
    """Let the database have one name again where `set_aside` was interrupted between its two steps.

    Two names of one file are two lock files, and the engine knows no better. Call it under the lock of the database,
    before its links are counted; nothing else than a name in ``.hmp/<name>/replaced`` is removed, and only where it is
    the very file that is the database now.
    """
    folder = _replaced(database)
    try:
        if os.stat(database).st_nlink < 2:
            return
        for entry in os.scandir(folder):
            if _STAMPED.match(entry.name) and os.path.samefile(entry.path, database):
                os.unlink(entry.path)
    except OSError:
        return  # nothing there, or it may not be touched: then it has as many names as before


def next_moment(folder: Path) -> str:
    """Return the present time as files in ``folder`` are named after it: later than any of them.

    The clock may have been set back; what is kept longest is what came last.
    """
    now = datetime.now(UTC).strftime(_MOMENT)
    latest = max(moments(folder), default="")
    if latest < now:
        return now
    return (datetime.strptime(latest, _MOMENT) + timedelta(microseconds=1)).strftime(_MOMENT)


def moments(folder: Path) -> list[str]:
    """Return the times after which files in a folder are named, oldest first; other files are not ours."""
    names = os.listdir(folder) if os.path.isdir(folder) else []
    return sorted({match[1] for name in names if (match := _STAMPED.match(name))})


def forget_old(folder: Path) -> None:
    """Remove all but the newest that are kept in a folder."""
    for stale in moments(folder)[:-KEPT]:
        for file in folder.glob(f"{stale}-*"):
            with contextlib.suppress(OSError):
                file.unlink()


def _replaced(database: Path) -> Path:
    return internal_folder(database) / "replaced"


def _resemble(new: Path, old: Path) -> None:
    """Give a file or folder the owner and rights of another, as far as we may: who could open that may open this."""
    try:
        former = os.stat(old)
    except OSError:
        return
    for owner in (former.st_uid, -1):  # who is not root may still have a group in common
        with contextlib.suppress(PermissionError):
            os.chown(new, owner, former.st_gid)
            break
    with contextlib.suppress(PermissionError):
        os.chmod(new, stat.S_IMODE(former.st_mode))
