"""A WAL that cannot be replayed: it is kept, the database comes back from its files, and the user is told."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from hmp_core import wal
from hmp_core.backends.duckdb import DuckDBBackend
from hmp_core.errors import MigrationPending, SchemaTooNewError
from hmp_core.events.fold import Fold
from hmp_core.events.rebuild import lost_files, rebuild_locked
from hmp_core.events.store import components
from hmp_core.locks import database_lock
from hmp_core.migrations.runner import require_current

if TYPE_CHECKING:
    from hmp_core.protocols.backend import BackendFactory

_log = logging.getLogger(__name__)


def mend(database: Path, fold: Fold, *, timeout: float, backend: BackendFactory = DuckDBBackend) -> str:
    """Set a WAL that cannot be replayed aside and make the database anew; return what to tell the user.

    The database itself stays where the new one could hold less: where files of the log that it had read are gone, and
    where it is of another schema (folding never migrates). It is then at its last checkpoint, and the next fold adds
    what is newer.

    Returns
    -------
    str
        Empty if there is nothing to mend: somebody else has been here.

    Raises
    ------
    CorruptError
        If the database itself is damaged too; it is left as it is.
    BusyError, NotWritable, StorageError
        If it cannot be done here.
    """
    with database_lock(database).hold(timeout):
        damage = wal.damage(database, backend=backend)
        if damage is None:
            return ""
        kept = wal.set_aside(database)
        said = f"{damage.wal} could not be replayed and is kept as {', '.join(path.name for path in kept)}"
        if why := _why_left(database, fold, backend):
            said += f"; {why}, so {database.name} is as it was before and what is newer comes from the log"
        else:
            lack = rebuild_locked(database, fold, backend=backend)
            said += f"; {database.name} was rebuilt from its files: {lack or 'nothing that was acknowledged is lost'}"
    _log.warning("%s (%s)", said, str(damage.__cause__).partition("\n\nStack Trace")[0])
    return said


def _why_left(database: Path, fold: Fold, factory: BackendFactory) -> str:
    """Return why the database must not be made anew; empty if it may. The WAL is out of the way."""
    opened = factory(database)
    try:
        with opened.lease(write=False):
            require_current(opened, components(fold))
    except (MigrationPending, SchemaTooNewError) as other:
        return f"it has another schema ({other})"
    lost = lost_files(database, backend=factory)
    return f"the log has lost {', '.join(lost)}" if lost else ""
