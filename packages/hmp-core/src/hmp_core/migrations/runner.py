"""One step and its record, one transaction; a database appears, or changes its version, whole or not at all.

A database that is not there yet is built beside its place and renamed. One that is there is backed up first, then
copied beside its place, brought up to date there and renamed: a step that fails, a full disk or a process killed
meanwhile leaves it as it was, not a byte of it changed. (On DuckDB 1.5 a WAL with DDL in it cannot always be replayed:
there is never one beside a database.)
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from hmp_core import wal
from hmp_core.auth.gate import authorize
from hmp_core.backends.duckdb import DuckDBBackend
from hmp_core.backups import keep_backup
from hmp_core.copying import copy_whole
from hmp_core.databases import Database
from hmp_core.durable import make_folder, translated
from hmp_core.errors import (
    HmpError,
    InvalidInput,
    MigrationExecutionError,
    MigrationPending,
    NotWritable,
    StatementError,
)
from hmp_core.locks import DEFAULT_TIMEOUT, database_lock
from hmp_core.migrations import ledger
from hmp_core.migrations.plan import Migration, discover_migrations, pending
from hmp_core.paths import to_local
from hmp_core.replacing import beside, flush, take_place

if TYPE_CHECKING:
    from upath import UPath

    from hmp_core.protocols.auth import AuthBackend
    from hmp_core.protocols.backend import BackendFactory, BulkBackend, StoreBackend

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
        If a migration fails: the database is as it was before the call; its ``backup`` says where a copy lies.
    StorageError
        If the disk has no room for a backup and a copy; the database is as it was.
    InvalidInput
        Inside a block that reads the database, if there is something to apply: leave it first.
    BusyError, NotWritable, AccessDenied, UnsupportedScheme, CorruptError
        If the database cannot be had.
    """
    found = Database(component, to_local(db_path))
    plan = [(component, Path(migrations_dir))]
    return migrate(found.path, plan, timeout=lock_timeout, auth=found.auth(), resource=found.resource)[component]


def migrate(
    database: Path,
    components: Sequence[tuple[str, Path]],
    *,
    timeout: float = DEFAULT_TIMEOUT,
    auth: AuthBackend | None = None,
    resource: str = "",
    requested: bool = False,
    backend: BackendFactory = DuckDBBackend,
) -> dict[str, int]:
    """Bring several components of a database up to date under one lock; return component -> version.

    ``requested`` says that somebody asked for just this: then ``HMP_AUTO_MIGRATE`` has no say.

    ``auth`` is asked for the right to write to ``resource`` if there is something to do; ``backend`` makes what opens
    the file, and the new one that takes its place.
    """
    plans = [(component, discover_migrations(folder)) for component, folder in components]
    database = Path(os.path.realpath(database))
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
            _require_nothing_to_do(backend(database, read_only=True), components)
            return {component: len(migrations) for component, migrations in plans}
        if os.path.exists(database):
            _upgrade(backend(database, auth=auth, resource=resource), plans, backend, requested=requested)
        else:
            _create(database, plans, backend)
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


def require_known(backend: BulkBackend, components: Sequence[tuple[str, Path]]) -> None:
    """Return if the schema of the database is one that this code knows, the present or an older one; never write.

    Raises
    ------
    SchemaTooNewError, SchemaIntegrityError
        See `plan.pending`.
    """
    _pending(backend, [(component, discover_migrations(folder)) for component, folder in components])


def _require_nothing_to_do(backend: StoreBackend, components: Sequence[tuple[str, Path]]) -> None:
    with backend.lease(write=False, unlocked=True):
        require_current(backend, components)


def create_database(
    database: Path, components: Sequence[tuple[str, Path]], *, backend: BackendFactory = DuckDBBackend
) -> None:
    """Make a database that is not there yet, whole or not at all; the caller sees to it that nobody else does."""
    _create(database, [(component, discover_migrations(folder)) for component, folder in components], backend)


def upgrade_apart(database: Path, components: Sequence[tuple[str, Path]]) -> None:
    """Bring a database up to date that nobody else knows: without lock, backup or copy.

    Raises
    ------
    SchemaTooNewError, SchemaIntegrityError, MigrationExecutionError
        See `apply_migrations`; what was applied before stays.
    """
    backend = DuckDBBackend(database)
    with backend.lease(write=True, unlocked=True):
        plans = [(component, discover_migrations(folder)) for component, folder in components]
        _apply_all(backend, [(component, left) for component, _, left in _pending(backend, plans)])


_Plans = Sequence[tuple[str, list[Migration]]]


def _pending(backend: BulkBackend, plans: _Plans) -> list[tuple[str, list[Migration], list[Migration]]]:
    """Return (component, all its migrations, those still to be applied), or refuse before anything is touched."""
    where = str(backend.path)
    applied = ledger.everything(backend)
    if not applied:
        ledger.require_ours(backend, where=where)
    return [
        (component, migrations, pending(migrations, applied.get(component, {}), where=where))
        for component, migrations in plans
    ]


def _create(database: Path, plans: _Plans, factory: BackendFactory) -> None:
    with beside(database) as new:
        _move_stray_wal(database)
        backend = factory(new, create=True)
        # nobody else knows this name: it needs no lock file
        with backend.lease(write=True, unlocked=True):
            _apply_all(backend, plans)
        take_place(new, database)


def _move_stray_wal(database: Path) -> None:
    """Move aside a WAL without its database: the new one must not be given the changes of another."""
    for stray in wal.files(database):
        aside = stray.with_name(f"{stray.name}.orphan-{datetime.now(UTC):%Y%m%dT%H%M%S%f}")
        _log.warning("%s has no database; it was moved to %s", stray, aside)
        with translated(stray):
            stray.rename(aside)


def _upgrade(backend: StoreBackend, plans: _Plans, factory: BackendFactory, *, requested: bool) -> None:
    with backend.lease(write=False):
        waiting = [(component, migrations, left) for component, migrations, left in _pending(backend, plans) if left]
    if not waiting:
        return
    if not requested and os.environ.get("HMP_AUTO_MIGRATE", "1").lower() in _OFF:
        raise _waiting(str(backend.path), *waiting[0][1:])
    if lack := _why_not_here(backend.path, plans):
        raise _waiting(str(backend.path), *waiting[0][1:], but=f"; not here: {lack}")
    if backend.leased:
        message = f"{backend.path}: it is older than this hmp and a block that reads it is open; leave the block first"
        raise InvalidInput(message)
    flush(backend)
    steps = [(component, left) for component, _, left in waiting]
    backup = None if ledger.is_bare(backend) else _kept(backend, steps, factory)
    with beside(backend.path) as new:
        copy_whole(backend, new, backend=factory)
        _upgrade_copy(factory(new), steps, of=backend.path, backup=backup)
        take_place(new, backend.path)


def _why_not_here(database: Path, plans: _Plans) -> str:
    """Return why no other file may take the place of a database here: another host folds into it."""
    from hmp_core.events.host import why_not_fold  # the events stand on this room

    return why_not_fold(database) if any(component == "events" for component, _ in plans) else ""


def _kept(backend: StoreBackend, steps: _Plans, factory: BackendFactory) -> Path:
    return keep_backup(backend, f"before-{steps[-1][1][0].version:04d}", backend=factory)


def _upgrade_copy(copy: StoreBackend, steps: _Plans, *, of: Path, backup: Path | None) -> None:
    try:
        with copy.lease(write=True, unlocked=True):
            _apply_all(copy, steps)
    except MigrationExecutionError as error:
        kept = f"; a backup of it is {backup}" if backup else ""
        message = f"{error}; {of} is as it was before{kept}"
        raise MigrationExecutionError(message, path=str(of), backup=str(backup) if backup else "") from error


def _apply_all(backend: BulkBackend, steps: _Plans) -> None:
    for component, migrations in steps:
        for migration in migrations:
            _apply(backend, component, migration)
            _log.info("%s: applied %s", backend.path, migration.path.name)
    backend.execute("CHECKPOINT")


def _apply(backend: BulkBackend, component: str, migration: Migration) -> None:
    try:
        statements = backend.statements(migration.sql)
        with backend.transaction():
            ledger.prepare(backend)
            for statement in statements:
                backend.execute(statement)
            ledger.record(backend, component, migration)
    except (StatementError, InvalidInput) as error:
        message = f"{migration.path.name} failed and was rolled back: {error}"
        raise MigrationExecutionError(message, path=str(backend.path), backup="") from error


def _waiting(where: str, migrations: list[Migration], left: list[Migration], *, but: str = "") -> HmpError:
    found = len(migrations) - len(left)
    message = (
        f"{where} has schema version {found}, this hmp writes {len(migrations)}; "
        f"upgrade it with `hmp db upgrade` (or open it for writing with HMP_AUTO_MIGRATE unset){but}"
    )
    return MigrationPending(message, path=where, found=found, known=len(migrations))
