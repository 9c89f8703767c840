"""A database brought back from a backup: copied, brought up to date, everything logged since put in, then swapped."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hmp_core.auth.gate import authorize
from hmp_core.backends.duckdb import DuckDBBackend
from hmp_core.backups import backups_folder, list_backups
from hmp_core.copying import copy_whole
from hmp_core.durable import translated
from hmp_core.errors import FoldDisabled, InvalidInput, PathNotFound
from hmp_core.events.host import why_not_fold
from hmp_core.events.rebuild import refold_into
from hmp_core.events.store import Notice
from hmp_core.locks import DEFAULT_TIMEOUT, database_lock
from hmp_core.migrations import ledger
from hmp_core.migrations.runner import upgrade_apart
from hmp_core.replacing import beside, set_aside, take_place

if TYPE_CHECKING:
    from hmp_core.events.fold import Fold
    from hmp_core.protocols.auth import AuthBackend


@dataclass(frozen=True, slots=True)
class Restored:
    """Which backup a database was brought back from, and what it lacks; complete if it has a log of its own."""

    backup: Path
    notice: Notice


def restore(
    database: Path,
    components: Sequence[tuple[str, Path]],
    backup: Path | None = None,
    *,
    fold: Fold | None = None,
    timeout: float = DEFAULT_TIMEOUT,
    auth: AuthBackend | None = None,
    resource: str = "",
) -> Restored:
    """Bring a database back from a backup, with everything that was logged since, or before.

    Nothing is served meanwhile. The former database, if there is one, damaged or not, moves to
    ``.hmp/<name>/replaced``, where the newest five are kept. An older backup is brought up to date on the way.

    Parameters
    ----------
    database, components
        Which database, and whose schema it has: each component and the folder of its migrations, its own last.
    backup
        Which one: a file, or the name of one of the database's own; by default the newest of those.
    fold
        What the scope declares about its events. Without it (a database without a log) the database is what it was
        when the backup was taken.
    timeout
        Seconds to wait for the lock.
    auth, resource
        Who is asked for the right to write, and to what; nobody if ``auth`` is None.

    Raises
    ------
    PathNotFound
        If there is no backup, or no folder to restore into.
    CorruptError, SchemaTooNewError, SchemaIntegrityError
        If the backup is damaged, was written by a newer hmp, or is of something else; the database is as it was.
    InvalidInput
        If the backup is of another kind of database, or within a block that reads the database.
    FoldDisabled
        Where folding is off: this machine is not the one that opens databases.
    BusyError, AccessDenied, NotWritable, StorageError
        If it cannot be done.
    """
    database = Path(os.path.realpath(database))
    if fold is not None and (lack := why_not_fold(database)):
        message = f"{database}: databases are not opened here ({lack}); restore on the machine that may"
        raise FoldDisabled(message)
    if auth is not None:
        authorize(auth, "write", resource, database=database, what="restore it")
    chosen = _chosen(database, backup)
    with database_lock(database).hold(timeout):
        if DuckDBBackend(database).leased:
            message = f"{database}: it is being read; leave the block before restoring it"
            raise InvalidInput(message)

        def make(new: Path) -> None:
            _copy(chosen, new, components)

        if fold is not None:
            return Restored(chosen, refold_into(make, database, fold))
        with beside(database) as new, translated(database):
            make(new)
            set_aside(database)
            take_place(new, database)
    return Restored(chosen, Notice())


def _chosen(database: Path, backup: Path | None) -> Path:
    if backup is None:
        own = list_backups(database)
        if not own:
            message = (
                f"{database} has no backup in {backups_folder(database)}; name one (`hmp db restore --from FILE`), or "
                "rebuild the database from its files with the `rebuild` verb of its scope"
            )
            raise PathNotFound(message, path=str(backups_folder(database)))
        return own[0].path
    candidates = [backup, backups_folder(database) / backup.name]
    there = [path for path in candidates if path.is_file()]
    if not there:
        message = f"{backup}: no such backup; `hmp db restore --list` shows those that there are"
        raise PathNotFound(message, path=str(backup))
    if os.path.realpath(there[0]) == str(database):
        message = f"{backup} is the database itself, not a backup of it"
        raise InvalidInput(message)
    return there[0]


def _copy(backup: Path, new: Path, components: Sequence[tuple[str, Path]]) -> None:
    """Make the database out of a backup, of which every block is read."""
    source = DuckDBBackend(backup, read_only=True)
    with source.lease(write=False, unlocked=True):
        ledger.require_ours(source, where=str(backup))
        of = ledger.everything(source)
        name = components[-1][0]
        if name not in of:
            message = f"{backup} is a backup of {', '.join(sorted(of)) or 'nothing'}, not of a {name} database"
            raise InvalidInput(message)
        copy_whole(source, new, unlocked=True)
    upgrade_apart(new, components)
