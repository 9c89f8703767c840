"""A lock that does not come free: who holds it, and how it is taken from somebody who may have ended.

The kernel frees the lock of a process that ends, so there is nothing to do on one machine. What is left are holders of
whom this machine cannot know: on another host, in another pid namespace, or a process that inherited the open lock file
from one that is dead. Such a one may wake up and go on. Nothing that it has open is therefore touched: a new lock file
and a new database, made from files and log, take the place of the old ones by renaming.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from hmp_core.auth.gate import authorize
from hmp_core.backends.duckdb import DuckDBBackend
from hmp_core.copying import copy_whole
from hmp_core.durable import fsync_folder, translated
from hmp_core.errors import BusyError, FoldDisabled
from hmp_core.events.fold import Fold
from hmp_core.events.host import why_not_fold
from hmp_core.events.rebuild import rebuild_locked
from hmp_core.layout import experiments_path
from hmp_core.locks import DatabaseLock, Owner, database_lock, this_process, try_flock
from hmp_core.replacing import beside, set_aside, take_place

if TYPE_CHECKING:
    from hmp_core.protocols.auth import AuthBackend

#: Where the kernel lists the locks that it keeps and the processes that took them (Linux; proc(5)).
_LOCKS = Path("/proc/locks")


def unlock(
    database: Path, fold: Fold | None, *, force: bool = False, auth: AuthBackend | None = None, resource: str = ""
) -> str:
    """Return what is to be said of the lock of a database, free now.

    Parameters
    ----------
    database, fold
        Which one, and what its scope declares; without a log the index is set aside, and its own verb makes it anew;
        of an experiments store a copy takes its place.
    force
        Displace a holder of whom this machine cannot know whether it lives.
    auth, resource
        Who is asked for the right to write, and to what; nobody if ``auth`` is None.

    Raises
    ------
    BusyError
        If it is held: by a process that lives, which is never displaced, or by one unknown, without ``force``.
    FoldDisabled
        With ``force``, where this machine is not the one that opens databases.
    AccessDenied, NotWritable, StorageError
        If it cannot be done here.
    """
    database = Path(os.path.realpath(database))
    lock = database_lock(database)
    if auth is not None:
        authorize(auth, "write", resource, database=database, what="unlock it")
    if told := _free(lock):
        return told
    _require_unknown(lock, force=force)
    if lack := why_not_fold(database):
        message = f"{database}: databases are not opened here ({lack}); unlock it on the machine that may"
        raise FoldDisabled(message)
    who = _who(lock)
    with lock.displacing():
        return f"{who} was displaced; {_replace(database, fold)}"


def _free(lock: DatabaseLock) -> str:
    """Say that nobody holds the lock, and remove the note of one who has ended; empty if somebody does."""
    try:
        descriptor = os.open(lock.path, os.O_RDONLY)
    except FileNotFoundError:
        return "free"
    try:
        if not try_flock(descriptor):
            return ""
        owner, _ = lock.note()
        if owner is None or owner.is_dead() is not True:
            return "free"
        try:
            lock.note_path.unlink(missing_ok=True)
        except OSError as error:  # the note says nothing that counts: the kernel keeps the lock
            return f"free; the note of {_named(owner)}, which has ended, stays ({error.strerror})"
        return f"free; the note of {_named(owner)}, which has ended, was removed"
    finally:
        os.close(descriptor)


def _require_unknown(lock: DatabaseLock, *, force: bool) -> None:
    owner, _ = lock.note()
    living = {owner.pid} if owner is not None and owner.is_dead() is False else lockers(lock.path)
    if living:
        pids = " ".join(str(pid) for pid in sorted(living))
        raise _held(lock, f"which lives: end process {pids}, and the kernel frees the lock")
    if not force:
        raise _held(
            lock,
            "and whether it lives cannot be told here: look there, and if it has ended for certain, "
            "`hmp db unlock --force`",
        )


def _held(lock: DatabaseLock, rest: str) -> BusyError:
    database, who = str(lock.path).removesuffix(".lock"), _who(lock)
    message = f"{database} is held by {who}, {rest}"
    return BusyError(message, path=str(lock.path), holder=who, waited=0.0)


def _who(lock: DatabaseLock) -> str:
    owner, _ = lock.note()
    if owner is None:
        return "somebody who left no note"
    here = this_process()
    if owner.is_dead():
        return f"somebody who has the lock file from {_named(owner)}, which has ended"
    if owner.host == here.host and owner.namespace != here.namespace:
        return f"{_named(owner)}, in another container or pid namespace"
    return _named(owner)


def _named(owner: Owner) -> str:
    return f"process {owner.pid} on {owner.host}"


def lockers(path: Path) -> set[int]:
    """Return the processes of this machine that took the lock of a file and have it open, as far as one can see."""
    try:
        found = os.stat(path)
        listed = [line.split() for line in _LOCKS.read_text().splitlines()]
    except OSError:
        return set()
    place = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    pids = {int(line[4]) for line in listed if line[1] == "FLOCK" and line[5] == place}
    return {pid for pid in pids if pid > 0 and _has_open(pid, found)}


def _has_open(pid: int, file: os.stat_result) -> bool:
    """Return whether a process has a file open; True where one may not look."""
    try:
        return any(os.path.samestat(os.stat(each), file) for each in Path(f"/proc/{pid}/fd").iterdir())
    except FileNotFoundError:
        return os.path.exists(f"/proc/{pid}")
    except OSError:
        return True


def _replace(database: Path, fold: Fold | None) -> str:
    """Let a new database take the place of one that somebody may still write to; the lock is held."""
    if not os.path.lexists(database):
        return "there was no database"
    if database.name == experiments_path(database.parent).name:
        return _copied(database)
    if fold is None:
        with translated(database):
            kept = set_aside(database)
            database.unlink(missing_ok=True)
            fsync_folder(database.parent)
        return f"the database was set aside in {kept}: make it anew with `hmp index rebuild`"
    lack = rebuild_locked(database, fold)
    return f"the database was rebuilt from its files: {lack}"


def _copied(database: Path) -> str:
    """Let a copy take the place of a database that is the only home of what it holds."""
    with beside(database) as new:
        copy_whole(DuckDBBackend(database, read_only=True), new, unlocked=True)
        kept = set_aside(database)
        take_place(new, database)
    return f"a copy took the place of the database, which was set aside in {kept}"
