"""One step and its record, one transaction; a new database appears whole or not at all.

A database that is not there yet is built beside its place and renamed, so that a process killed meanwhile leaves
nothing that looks like a database. Backups before a migration come with `hmp db backup`.
"""

from __future__ import annotations

import contextlib
import glob
import logging
import os
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from hmp_core.auth.gate import authorize
from hmp_core.backends.duckdb import DuckDBBackend
from hmp_core.durable import fsync_folder, make_folder, translated
from hmp_core.errors import (
    HmpError,
    InvalidInput,
    MigrationExecutionError,
    MigrationPending,
    NotWritable,
    SchemaIntegrityError,
    StatementError,
)
from hmp_core.locks import DEFAULT_TIMEOUT, database_lock
from hmp_core.migrations import ledger
from hmp_core.migrations.plan import Migration, discover_migrations, pending
from hmp_core.paths import to_local

if TYPE_CHECKING:
    from upath import UPath

    from hmp_core.protocols.auth import AuthBackend
    from hmp_core.protocols.backend import BulkBackend

_log = logging.getLogger(__name__)

#: The tables that any event-logged database needs: how far each segment was folded, and what waits.
EVENT_TABLES = Path(__file__).parents[1] / "events" / "sql" / "migrations"

_OFF = {"0", "false", "no", "off"}


def apply_migrations(
    db_path: str | Path | UPath,
    migrations_dir: str | Path,
    *,
    component: str = "catalog",
    lock_timeout: float = DEFAULT_TIMEOUT,
) -> int:
    """Bring one component of a database up to date and return its version.

    Parameters
    ----------
    db_path
        The database; made, with the folders above it, if it is not there.
    migrations_dir
        Files ``NNNN_slug.sql``, counting up from 0001.
    component
        Whose migrations these are; several components share one file.
    lock_timeout
        Seconds to wait for the database's lock.

    Raises
    ------
    MigrationDiscoveryError, SchemaIntegrityError, SchemaTooNewError
        Before anything is touched.
    MigrationPending
        If something is pending in an existing database and ``HMP_AUTO_MIGRATE`` is 0.
    MigrationExecutionError
        If a migration fails: it is rolled back with its line in the ledger.
    BusyError, NotWritable, UnsupportedScheme, CorruptError
        If the database cannot be had.
    """
    return migrate(to_local(db_path), [(component, Path(migrations_dir))], timeout=lock_timeout)[component]


def migrate(
    database: Path,
    components: Sequence[tuple[str, Path]],
    *,
    timeout: float = DEFAULT_TIMEOUT,
    auth: AuthBackend | None = None,
    resource: str = "",
    requested: bool = False,
) -> dict[str, int]:
    """Bring several components of a database up to date under one lock; return component -> version.

    ``requested`` says that somebody asked for just this: then ``HMP_AUTO_MIGRATE`` has no say.

    ``auth`` is asked for the right to write to ``resource`` if there is something to do.
    """
    plans = [(component, discover_migrations(folder)) for component, folder in components]
    if auth is not None:  # before the lock file and the folder: whoever is refused leaves nothing
        writes = requested or not os.path.exists(database)
        authorize(auth, "write" if writes else "read", resource, database=database, what="migrate it")
    make_folder(database.parent)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(database_lock(database).hold(timeout))
        except NotWritable:
            # whoever may only read needs no lock, if there is nothing to bring up to date
            if not os.path.exists(database):
                raise
            _require_nothing_to_do(DuckDBBackend(database, read_only=True), components)
            return {component: len(migrations) for component, migrations in plans}
        if os.path.exists(database):
            _upgrade(DuckDBBackend(database, auth=auth, resource=resource), plans, requested=requested)
        else:
            _create(database, plans)
    return {component: len(migrations) for component, migrations in plans}


def require_current(backend: BulkBackend, components: Sequence[tuple[str, Path]]) -> None:
    """Return if the database has exactly the schema this code knows; never write.

    Raises
    ------
    SchemaTooNewError, SchemaIntegrityError
        See `plan.pending`.
    MigrationPending
        If migrations are still to be applied: open for writing, or run ``hmp db upgrade``.
    """
    plans = [(component, discover_migrations(folder)) for component, folder in components]
    for _, migrations, left in _pending(backend, plans):
        if left:
            raise _waiting(str(backend.path), migrations, left)


def _require_nothing_to_do(backend: DuckDBBackend, components: Sequence[tuple[str, Path]]) -> None:
    with backend.lease(write=False, unlocked=True):
        require_current(backend, components)


def create_database(database: Path, components: Sequence[tuple[str, Path]]) -> None:
    """Make a database that is not there yet, whole or not at all; the caller sees to it that nobody else does."""
    _create(database, [(component, discover_migrations(folder)) for component, folder in components])


_Plans = Sequence[tuple[str, list[Migration]]]


def _pending(backend: BulkBackend, plans: _Plans) -> list[tuple[str, list[Migration], list[Migration]]]:
    """Return (component, all its migrations, those still to be applied), or refuse before anything is touched."""
    where = str(backend.path)
    applied = ledger.everything(backend)
    if not applied and (strangers := ledger.strangers(backend)):
        message = (
            f"{where} is a database of something else: it holds {', '.join(strangers[:5])} and no ledger of hmp; "
            "it was left as it is, move it away"
        )
        raise SchemaIntegrityError(message)
    return [
        (component, migrations, pending(migrations, applied.get(component, {}), where=where))
        for component, migrations in plans
    ]


def _create(database: Path, plans: _Plans) -> None:
    _sweep(database)
    beside = database.with_name(f".{database.name}.{secrets.token_hex(4)}.new")
    wal = beside.with_name(beside.name + ".wal")
    try:
        backend = DuckDBBackend(beside, create=True)
        # nobody else knows this name: it needs no lock file, and one checkpoint at the end will do
        with backend.lease(write=True, unlocked=True):
            for component, migrations in plans:
                for migration in migrations:
                    _apply(backend, component, migration)
            backend.execute("CHECKPOINT")
        with translated(database):
            os.replace(beside, database)
            fsync_folder(database.parent)
    finally:
        beside.unlink(missing_ok=True)
        wal.unlink(missing_ok=True)


def _sweep(database: Path) -> None:
    """Clear the place of a database that is not there; the lock is held.

    What a process killed while creating it left is removed. A WAL without its database is moved aside: the new
    database must not be given the changes of another.
    """
    for leftover in database.parent.glob(f".{glob.escape(database.name)}.*.new*"):
        with contextlib.suppress(OSError):
            leftover.unlink()
    wal = database.with_name(database.name + ".wal")
    if wal.exists():
        aside = wal.with_name(f"{wal.name}.orphan-{datetime.now(UTC):%Y%m%dT%H%M%S%f}")
        _log.warning("%s has no database; it was moved to %s", wal, aside)
        with translated(wal):
            wal.rename(aside)


def _upgrade(backend: DuckDBBackend, plans: _Plans, *, requested: bool) -> None:
    with backend.lease(write=False):
        waiting = [(component, migrations, left) for component, migrations, left in _pending(backend, plans) if left]
    if not waiting:
        return
    if not requested and os.environ.get("HMP_AUTO_MIGRATE", "1").lower() in _OFF:
        raise _waiting(str(backend.path), *waiting[0][1:])
    with backend.lease(write=True):
        for component, _, left in waiting:
            for migration in left:
                _apply(backend, component, migration)
                # a killed process must not leave DDL in the WAL: DuckDB 1.5 cannot always replay it
                backend.execute("CHECKPOINT")
                _log.info("%s: applied %s", backend.path, migration.path.name)


def _apply(backend: BulkBackend, component: str, migration: Migration) -> None:
    try:
        statements = backend.statements(migration.sql)
        with backend.transaction():
            ledger.prepare(backend)
            for statement in statements:
                backend.execute(statement)
            ledger.record(backend, component, migration)
    except (StatementError, InvalidInput) as error:
        message = f"{migration.path.name} failed on {backend.path} and was rolled back: {error}"
        raise MigrationExecutionError(message) from error


def _waiting(where: str, migrations: list[Migration], left: list[Migration]) -> HmpError:
    found = len(migrations) - len(left)
    message = (
        f"{where} has schema version {found}, this hmp writes {len(migrations)}; "
        "upgrade it with `hmp db upgrade` (or open it for writing with HMP_AUTO_MIGRATE unset)"
    )
    return MigrationPending(message, path=where, found=found, known=len(migrations))
