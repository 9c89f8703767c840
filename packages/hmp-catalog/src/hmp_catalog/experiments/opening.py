"""How others than its own door read an experiments store: `hmp db` and the machine index, by ``hmp.stores``."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from hmp_catalog.experiments.keeper import Keeper
from hmp_catalog.experiments.schema import SCHEMA
from hmp_core.backends.duckdb import DuckDBBackend
from hmp_core.databases import read_lease
from hmp_core.errors import AccessDenied, NotWritable
from hmp_core.migrations.runner import require_current

if TYPE_CHECKING:
    from hmp_core.protocols import AuthBackend, BulkBackend


@contextlib.contextmanager
def reading(
    database: Path, *, auth: AuthBackend | None, resource: str, timeout: float
) -> Iterator[tuple[BulkBackend, str]]:
    """Hold a lease on a store that is there, with what its writers wrote settled first; nothing is migrated.

    Parameters
    ----------
    database
        Its ``store.duckdb``.
    auth, resource
        Who is asked for the right to read it, and what it is called there.
    timeout
        Seconds to wait for the lock.

    Yields
    ------
    tuple
        The backend, and what is not settled nevertheless, in a sentence; empty if nothing.

    Raises
    ------
    DatabaseNotFound, BusyError, AccessDenied, NotWritable, CorruptError
        If it cannot be had.
    MigrationPending, SchemaTooNewError, SchemaIntegrityError
        If it is of another form than this hmp reads.
    """
    plain = DuckDBBackend(database, auth=auth, resource=resource, timeout=timeout)
    with contextlib.ExitStack() as stack:
        with read_lease(plain):
            require_current(plain, [SCHEMA])
        keeper = _keeper(database.parent, auth, timeout)
        stack.callback(keeper.close)
        backend = stack.enter_context(keeper.reading())
        yield backend, keeper.lack


def _keeper(folder: Path, auth: AuthBackend | None, timeout: float) -> Keeper:
    """Return what settles, or where this user may not write, what only reads."""
    if os.access(folder, os.W_OK):
        with contextlib.suppress(NotWritable, AccessDenied):
            return Keeper(folder, auth=auth, timeout=timeout)
    return Keeper(folder, auth=auth, timeout=timeout, read_only=True)


class Opening:
    """What stands under ``experiments`` in the entry point group ``hmp.stores``; see `hmp_core.databases.Settling`."""

    reading = staticmethod(reading)


STORE = Opening()
