"""The file of the index: opened under its lock, written in one transaction, set aside when it is damaged."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from hmp_core import wal
from hmp_core.auth.gate import authorize
from hmp_core.backends.duckdb import DuckDBBackend
from hmp_core.durable import translated
from hmp_core.errors import CorruptError, DatabaseNotFound, MigrationPending, NotWritable, SchemaIntegrityError
from hmp_core.locks import database_lock
from hmp_core.migrations.runner import create_database, migrate, require_current
from hmp_core.replacing import beside, flush, set_aside, take_place
from hmp_index import queries
from hmp_index.fold import SCHEMA
from hmp_index.refresh import Found, Settled, State, settle
from hmp_index.roster import Listed

if TYPE_CHECKING:
    from hmp_core.protocols import AuthBackend

RESOURCE = "index"


class Book:
    """The database of the index; nothing else knows how it is locked.

    Parameters
    ----------
    path : Path
        The database file.
    auth : AuthBackend
        Who is asked before every lease.
    timeout : float
        Seconds to wait for the lock.
    read_only : bool
        Refuse every write.
    """

    def __init__(self, path: Path, *, auth: AuthBackend, timeout: float, read_only: bool) -> None:
        self.path = path
        self.read_only = read_only
        self._auth = auth
        self._timeout = timeout
        self._backend = DuckDBBackend(path, read_only=read_only, timeout=timeout)

    def prepare(self) -> None:
        """Make the database or bring it up to date; read-only, check that it can be read.

        Raises
        ------
        DatabaseNotFound, MigrationPending
            If there is none, or an older one, and this book may only be read.
        SchemaTooNewError, SchemaIntegrityError, CorruptError, NotWritable, BusyError, AccessDenied
            See `hmp_core.errors`.
        """
        authorize(self._auth, "read", RESOURCE)
        if not self.read_only:
            migrate(self.path, [SCHEMA], timeout=self._timeout)
            return
        if not self.path.exists():
            message = f"{self.path}: there is no index yet; `hmp index refresh` makes it"
            raise DatabaseNotFound(message, path=str(self.path))
        with self.reading() as backend:
            require_current(backend, [SCHEMA])

    @contextlib.contextmanager
    def reading(self) -> Iterator[DuckDBBackend]:
        """Hold a lease to read."""
        authorize(self._auth, "read", RESOURCE)
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(self._backend.lease(write=False))
            except NotWritable:  # no lock file can be made in a folder that may only be read
                stack.enter_context(self._backend.lease(write=False, unlocked=True))
            yield self._backend

    @contextlib.contextmanager
    def locked(self, action: Literal["read", "write"]) -> Iterator[None]:
        """Hold the lock of the index, to change the list of workspaces and what is derived from it.

        Parameters
        ----------
        action
            What the authority is asked for: a refresh writes on behalf of a reader.
        """
        self.authorize(action)
        with database_lock(self.path).hold(self._timeout):
            yield

    def authorize(self, action: Literal["read", "write"]) -> None:
        """Return if the list of workspaces, and what is derived from it, may be changed.

        Raises
        ------
        AccessDenied
            If the authority refuses it.
        NotWritable
            If this book was opened to be read.
        """
        authorize(self._auth, action, RESOURCE, database=self.path, what="change the list of workspaces")
        if self.read_only:
            message = f"{self.path} was opened read-only"
            raise NotWritable(message, path=str(self.path))

    def may_change(self) -> bool:
        """Return whether `authorize` would let this user write; nothing is put on record."""
        return not self.read_only and self._auth.can_write(RESOURCE) is True

    def state(self) -> State:
        """Return the rows of workspaces and projects."""
        with self.reading() as backend:
            return queries.state(backend)

    def store(self, listed: Sequence[Listed], found: Found) -> State:
        """Write what a look around found, in one transaction, and return the rows that there are then."""
        with self.locked("read"), self._backend.transaction():
            settled = settle(queries.state(self._backend), listed, found)
            if settled.differs:
                queries.write(self._backend, settled, found.at)
        return settled.state

    def is_damaged(self) -> bool:
        """Return whether the database cannot be read (another process may have mended it meanwhile)."""
        try:
            with self._backend.lease(write=False):
                queries.state(self._backend)
                queries.simulations(self._backend)
        except CorruptError:
            return True
        return False

    def set_wal_aside(self) -> str:
        """Move a WAL that cannot be replayed out of the way, keeping it, and make the database anew. The lock is held.

        Return what the WAL is called now; empty where another process has been here. The snapshots of the last
        checkpoint stay, which are all there is of a workspace out of reach.
        """
        if wal.damage(self.path) is None:
            return ""
        kept = wal.set_aside(self.path)
        self._begin_anew()
        return ", ".join(path.name for path in kept)

    def set_aside(self) -> None:
        """Move the database out of the way, keeping it, and make an empty one. The lock is held."""
        self._take_place(None)

    def begin_anew(self) -> None:
        """Make the database anew, keeping the last snapshots, which are all there is of a workspace out of reach.

        Every project is marked as to be read again. A damaged database keeps nothing.
        """
        with self.locked("write"):
            if not self.set_wal_aside():
                self._begin_anew()

    def _begin_anew(self) -> None:
        kept = self._kept()
        if kept is not None:
            flush(self._backend)  # its WAL goes before it: whoever dies in between must not miss what that held
        self._take_place(kept)

    def _take_place(self, kept: Settled | None) -> None:
        """Make a database beside, with the snapshots that are kept in it, and only then let it be the index.

        Whoever dies on the way, or finds the disk full, leaves the old one where it was.
        """
        with beside(self.path) as new, translated(self.path):
            create_database(new, [SCHEMA])
            backend = DuckDBBackend(new)
            # nobody else knows this name: it needs no lock file
            with backend.lease(write=True, unlocked=True):
                if kept is not None:
                    with backend.transaction():
                        queries.write(backend, kept, datetime.now(UTC).replace(tzinfo=None))
                backend.execute("CHECKPOINT")
            set_aside(self.path)
            take_place(new, self.path)

    def _kept(self) -> Settled | None:
        try:
            with self._backend.lease(write=False):
                require_current(self._backend, [SCHEMA])
                state = queries.state(self._backend)
                rows = [replace(row, mark="") for row in state.projects]
                return Settled(state, state.workspaces, rows, read=list(queries.simulations(self._backend).items()))
        except (DatabaseNotFound, CorruptError, MigrationPending, SchemaIntegrityError):
            return None

    def close(self) -> None:
        """Refuse every further use."""
        self._backend.close()
