"""Backups of a database: taken through the engine under its lock, whole or absent, the newest five kept.

They lie in ``.hmp/<name>/backups``, named ``<UTC time>-<why>.duckdb``.
"""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from hmp_core.auth.gate import authorize
from hmp_core.backends.duckdb import DuckDBBackend
from hmp_core.copying import copy_whole
from hmp_core.errors import DatabaseNotFound, InvalidInput
from hmp_core.layout import internal_folder
from hmp_core.locks import DEFAULT_TIMEOUT, database_lock
from hmp_core.replacing import beside, forget_old, make_folder_beside, next_moment, take_place

if TYPE_CHECKING:
    from hmp_core.protocols.auth import AuthBackend
    from hmp_core.protocols.backend import BackendFactory, StoreBackend

_NAME = re.compile(r"(?P<moment>\d{8}T\d{12})-(?P<reason>[a-z0-9][a-z0-9-]*)\.duckdb")
_REASON = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")

#: The reason of a backup that somebody asked for.
ASKED = "asked"


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup that there is: where it lies, when and why it was taken, and its size in bytes."""

    path: Path
    taken_at: datetime
    reason: str
    bytes: int


def take_backup(
    database: Path,
    *,
    reason: str = ASKED,
    timeout: float = DEFAULT_TIMEOUT,
    auth: AuthBackend | None = None,
    resource: str = "",
) -> Path:
    """Copy a database as it is now to its backups and return where the copy lies; older than the fifth go.

    Parameters
    ----------
    database
        Which one. What its log holds and it has not folded yet is not in the backup, nor does it need to be: the log
        is kept, and restoring folds it.
    reason
        Becomes part of the name: lower-case letters, digits and hyphens.
    timeout
        Seconds to wait for the lock.
    auth, resource
        Who is asked for the right to write, and to what; nobody if ``auth`` is None.

    Raises
    ------
    DatabaseNotFound
        If there is none.
    BusyError, AccessDenied, NotWritable
        If it cannot be had, or no copy may be kept beside it.
    StorageError
        If the disk has no room for the copy.
    CorruptError, SchemaIntegrityError
        If it is damaged, or a database of something else.
    InvalidInput
        For another kind of reason.
    """
    from hmp_core.migrations import ledger  # which needs this room to keep a backup of its own

    if not _REASON.fullmatch(reason):
        message = f"{reason!r} is not a reason: lower-case letters, digits and hyphens, 64 at most"
        raise InvalidInput(message)
    database = Path(os.path.realpath(database))
    require_there(database)
    if auth is not None:
        authorize(auth, "write", resource, database=database, what="back it up")
    backend = DuckDBBackend(database, timeout=timeout)
    with database_lock(database).hold(timeout):
        with backend.lease(write=False):
            ledger.require_ours(backend, where=str(database))
        return keep_backup(backend, reason)


def keep_backup(opened: StoreBackend, reason: str, *, backend: BackendFactory = DuckDBBackend) -> Path:
    """Copy a database to its backups, for a caller that holds its lock, and return where the copy lies.

    Raises
    ------
    See `take_backup`.
    """
    folder = backups_folder(opened.path)
    make_folder_beside(opened.path, folder)
    kept = folder / f"{next_moment(folder)}-{reason}.duckdb"
    with beside(folder / opened.path.name) as new:
        copy_whole(opened, new, backend=backend)
        take_place(new, kept, like=opened.path)
    forget_old(folder)
    return kept


def list_backups(database: Path) -> list[Backup]:
    """Return the backups that there are of a database, newest first; it need not be there any more."""
    folder = backups_folder(Path(os.path.realpath(database)))
    found = []
    for name in sorted(os.listdir(folder), reverse=True) if folder.is_dir() else []:
        if match := _NAME.fullmatch(name):
            taken = datetime.strptime(match["moment"], "%Y%m%dT%H%M%S%f").replace(tzinfo=UTC)
            with contextlib.suppress(FileNotFoundError):  # a newer one has just taken its place
                found.append(Backup(folder / name, taken, match["reason"], (folder / name).stat().st_size))
    return found


def backups_folder(database: Path) -> Path:
    """Return where the backups of a database lie."""
    return internal_folder(database) / "backups"


def require_there(database: Path) -> None:
    """Return if there is a database.

    Raises
    ------
    DatabaseNotFound
        If not; it may come back from a backup, or from its files.
    """
    if not os.path.exists(database):
        message = (
            f"{database}: there is no such database; bring it back with `hmp db restore`, "
            "or with the `rebuild` verb of its scope"
        )
        raise DatabaseNotFound(message, path=str(database))
