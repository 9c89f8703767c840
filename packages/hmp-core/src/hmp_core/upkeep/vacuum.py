"""A database made small again: what is in it is copied into a new file, which takes its place."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hmp_core.auth.gate import authorize
from hmp_core.backends.duckdb import DuckDBBackend
from hmp_core.backups import require_there
from hmp_core.copying import copy_whole
from hmp_core.errors import FoldDisabled, InvalidInput
from hmp_core.events.host import why_not_fold
from hmp_core.locks import DEFAULT_TIMEOUT, database_lock
from hmp_core.migrations.runner import EVENT_TABLES, require_known
from hmp_core.replacing import beside, flush, take_place

if TYPE_CHECKING:
    from hmp_core.protocols.auth import AuthBackend
    from hmp_core.protocols.backend import BackendFactory


@dataclass(frozen=True, slots=True)
class Vacuumed:
    """The size of a database before and after, in bytes."""

    before: int
    after: int


def vacuum(
    database: Path,
    components: Sequence[tuple[str, Path]],
    *,
    timeout: float = DEFAULT_TIMEOUT,
    auth: AuthBackend | None = None,
    resource: str = "",
    backend: BackendFactory = DuckDBBackend,
) -> Vacuumed:
    """Give back the room that deleted rows take; an interrupted vacuum leaves the database as it was.

    The engine's own VACUUM does not shrink a file. No copy of the former file is kept: what is in the new one has been
    compared with it, table by table.

    Parameters
    ----------
    database, components
        Which database, and whose schema it has: each component and the folder of its migrations.
    timeout
        Seconds to wait for the lock.
    auth, resource
        Who is asked for the right to write, and to what; nobody if ``auth`` is None.
    backend
        Makes what opens the file.

    Raises
    ------
    DatabaseNotFound
        If there is none.
    BusyError, AccessDenied, NotWritable
        If it cannot be had.
    InvalidInput
        Inside a block that reads or writes the database: leave it first.
    SchemaTooNewError, SchemaIntegrityError, CorruptError
        If it was written by a newer hmp, is a database of something else, or is damaged.
    FoldDisabled
        Where folding is off: this machine is not the one that opens databases.
    StorageError
        If the disk has no room for the copy.
    """
    database = Path(os.path.realpath(database))
    logged = any(folder == EVENT_TABLES for _, folder in components)
    if logged and (lack := why_not_fold(database)):
        message = f"{database}: databases are not opened here ({lack}); vacuum it on the machine that may"
        raise FoldDisabled(message)
    require_there(database)
    if auth is not None:
        authorize(auth, "write", resource, database=database, what="vacuum it")
    opened = backend(database, timeout=timeout)
    with database_lock(database).hold(timeout):
        if opened.leased:
            message = f"{database}: it is open in a block of this thread; leave the block before a vacuum"
            raise InvalidInput(message)
        with opened.lease(write=False):
            require_known(opened, components)
        flush(opened)
        before = database.stat().st_size
        with beside(database) as new:
            copy_whole(opened, new, backend=backend)
            take_place(new, database)
        return Vacuumed(before, database.stat().st_size)
