"""The files of one store kept together: who writes goes to the journal, who reads settles first.

Every lease is short: another process reads and writes between any two calls. The lock of the database is taken before
the guard of the journal, never the other way round.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hmp_catalog.errors import StoreClosed
from hmp_catalog.experiments import settling
from hmp_catalog.experiments.artifacts import ArtifactFiles
from hmp_catalog.experiments.journal import Journal, Journals, Pages
from hmp_catalog.experiments.schema import ARTIFACTS, COMPONENT, DATABASE, SCHEMA
from hmp_core import wal
from hmp_core.auth.gate import authorize
from hmp_core.backends.duckdb import DuckDBBackend
from hmp_core.backends.making import made_by
from hmp_core.databases import Database, read_lease
from hmp_core.durable import make_folder
from hmp_core.errors import (
    AccessDenied,
    BusyError,
    FoldDisabled,
    InvalidInput,
    NotWritable,
    PathNotFound,
    StorageError,
    WalCorrupt,
)
from hmp_core.events.columns import import_arrow
from hmp_core.events.host import why_not_fold
from hmp_core.locks import database_lock
from hmp_core.migrations.runner import migrate, require_current
from hmp_core.saying import once

if TYPE_CHECKING:
    from hmp_core.protocols import AuthBackend, BackendFactory, StoreBackend

_log = logging.getLogger(__name__)

#: Bytes of entries in memory from which on they are settled in passing, and from which on the lock is waited for.
_MANY = 48 << 20
_TOO_MANY = 4 * _MANY


class Keeper:
    """Keeps ``store.duckdb``, the journals beside it, and the files of the artefacts.

    Parameters
    ----------
    folder : Path
        The folder of the store; it is made unless ``read_only``.
    auth : AuthBackend, optional
        Who is asked at every entry and every lease; by default whom the workspace or the environment names.
    timeout : float
        Seconds to wait for a lock.
    read_only : bool
        Refuse every write, and do not settle.
    backend : BackendFactory, optional
        Makes what opens the database.
    """

    def __init__(
        self,
        folder: Path,
        *,
        auth: AuthBackend | None,
        timeout: float,
        read_only: bool = False,
        backend: BackendFactory | None = None,
    ) -> None:
        self.folder = Path(os.path.realpath(folder))
        self.database = self.folder / DATABASE
        self.read_only = read_only
        #: what the last answer lacks; empty if nothing
        self.lack = ""
        known = Database(COMPONENT, self.database)
        self.auth = known.auth() if auth is None else auth
        self.resource = known.resource
        self.timeout = timeout
        self._factory: BackendFactory = DuckDBBackend if backend is None else backend
        self._schemas: settling.Schemas = {}
        #: how far each journal is in the tables, as far as this store has seen
        self._known: dict[str, int] = {}
        self._closed = False
        self._prepare()
        asked: dict[str, Any] = {"auth": self.auth, "resource": self.resource, "timeout": timeout}
        self._backend = made_by(self._factory, self.database, read_only=read_only, **asked)
        self.files = ArtifactFiles(self.folder, timeout=timeout)
        self.journal = Journal(self.database, self.auth.current_user())
        self._journals = Journals(self.database)

    def _prepare(self) -> None:
        asked: dict[str, Any] = {"auth": self.auth, "resource": self.resource, "timeout": self.timeout}
        if self.read_only:
            backend = made_by(self._factory, self.database, **asked)
            with read_lease(backend):
                require_current(backend, [SCHEMA])
            return
        try:
            migrate(self.database, [SCHEMA], backend=self._factory, **asked)
        except WalCorrupt as error:
            # what it held was never settled by a journal that is still there, or is lost with the disk: said, and kept
            with database_lock(self.database).hold(self.timeout):
                _log.error("%s", wal.set_aside_if_damaged(self.database, backend=self._factory) or error)
            migrate(self.database, [SCHEMA], backend=self._factory, **asked)
        make_folder(self.folder / ARTIFACTS)

    # ── asking leave ─────────────────────────────────────────────────────────────────────────────────

    def authorize(self, action: Literal["read", "write"], what: str = "") -> None:
        """Return if this store is open and the current user may do that.

        Raises
        ------
        StoreClosed, AccessDenied, NotWritable
            If not.
        """
        self._require_open()
        authorize(self.auth, action, self.resource, database=self.database, what=what)
        if action == "write" and self.read_only:
            message = f"{self.database} was opened read-only"
            raise NotWritable(message, path=str(self.database))

    def _require_open(self) -> None:
        if self._closed:
            message = f"{self.database}: the store was closed; open it again"
            raise StoreClosed(message)

    # ── writing ──────────────────────────────────────────────────────────────────────────────────────

    def write(self, kind: str, facts: dict[str, Any], kept: Any = None) -> None:
        """Write an entry: it outlives this process, and with `flush` a power cut."""
        self.authorize("write", kind)
        self.journal.write(kind, facts, kept)
        if self.journal.size > _MANY:
            self._in_passing(self.timeout if self.journal.size > _TOO_MANY else 0.0)

    def flush(self) -> None:
        """Put everything that was written on the disk: artefacts first, then what speaks of them.

        Raises
        ------
        StorageError
            If it did not get there: then it may be lost with the power.
        """
        self._require_open()
        self.files.sync()
        self.journal.sync()

    def settle_if_free(self) -> None:
        """Put what is pending into the tables, if nobody else holds the database: it is durable without."""
        self._in_passing(0.0)

    def _in_passing(self, timeout: float) -> None:
        if why_not_fold(self.database) or self._backend.leased:
            return
        try:
            with database_lock(self.database).hold(timeout):
                self._settle()
        except (BusyError, NotWritable) as error:
            _log.debug("%s is not settled now: %s", self.database, error)
        except (StorageError, AccessDenied, PathNotFound) as error:
            # what was said is written already: whoever asks next is told if this stays so
            once(_log, "%s is not settled now, what was written is in its journal: %s", self.database, error)

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────

    @contextlib.contextmanager
    def reading(self) -> Iterator[StoreBackend]:
        """Hold one lease for several questions; everything that was written before is in the answers.

        Where this process may not settle, ``lack`` says what is missing in the answers.
        """
        self.authorize("read")
        if self._backend.leased:
            yield self._backend
            return
        import_arrow()
        self._backend.start()
        self.lack = "opened read-only" if self.read_only else why_not_fold(self.database)
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(database_lock(self.database).hold(self.timeout))
                if not self.lack:
                    self._settle()
            except NotWritable as error:
                self.lack = str(error)
            stack.enter_context(read_lease(self._backend))
            if self.lack:
                self._tell_lack()
            yield self._backend

    def pending(self) -> Pages | None:
        """Return what this store wrote that is about to be in the tables, None where there is nothing."""
        return None if why_not_fold(self.database) else self.journal.waiting()

    @contextlib.contextmanager
    def tables(self) -> Iterator[StoreBackend]:
        """Hold a lease on the tables as they are: what is pending is not in them."""
        self.authorize("read")
        with read_lease(self._backend):
            yield self._backend

    def _tell_lack(self) -> None:
        missing: int | str
        try:
            missing = self._journals.unsettled(settling.positions(self._backend))
        except NotWritable:  # a journal that its owner keeps to himself
            missing = "an unknown number of"
        self.lack = f"{missing} entries are not in the answer: {self.lack}" if missing else ""
        if missing:
            _log.warning("%s: %s", self.database, self.lack)

    @contextlib.contextmanager
    def changing(self, what: str) -> Iterator[StoreBackend]:
        """Hold one transaction in which everything written before is in the tables; it ends with the block.

        Raises
        ------
        FoldDisabled
            Where this process may not settle.
        AccessDenied, NotWritable, BusyError, StoreClosed
            If the database cannot be had.
        """
        self.authorize("write", what)
        if lack := why_not_fold(self.database):
            message = f"{self.database}: to {what} needs the database at once, and that is off here: {lack}"
            raise FoldDisabled(message)
        if self._backend.leased:
            message = f"{self.database}: to {what}, leave the block that reads first"
            raise InvalidInput(message)
        import_arrow()
        with database_lock(self.database).hold(self.timeout), self._settled(always=True):
            yield self._backend

    # ── settling: the lock is held ───────────────────────────────────────────────────────────────────

    def _settle(self) -> None:
        with self._settled():
            pass

    @contextlib.contextmanager
    def _settled(self, *, always: bool = False) -> Iterator[None]:
        """Settle what is pending, and do what the block does, in one transaction; without either, open nothing."""
        if not always and not self._is_behind():
            yield
            return
        pages: list[Pages] = []
        done = False
        # who only reads may have others' entries settled: that is no writing of his
        action: Literal["read", "write"] = "write" if always else "read"
        try:
            with self._backend.lease(write=True, action=action), self._backend.transaction():
                pages += self._pages(settling.positions(self._backend))
                self._apply(pages)
                yield
            done = True
        finally:
            self._after(pages, done=done)

    def _is_behind(self) -> bool:
        if self.journal.waiting() is not None:
            return True
        for path in self._journals.paths():
            if path.name == self.journal.name:
                continue
            try:
                if self._known.get(path.name) != path.stat().st_size or self._journals.is_left(path):
                    return True
            except FileNotFoundError:
                continue
        return False

    def _pages(self, known: dict[str, int]) -> list[Pages]:
        found: list[Pages] = []
        try:
            for path in self._journals.paths():
                position = known.get(path.name, 0)
                if path.name == self.journal.name:
                    own = self.journal.waiting()
                    entries = [entry for entry in own.entries if entry.end > position] if own is not None else []
                    end = max(position, own.end if own is not None else 0)
                    found.append(Pages(path, entries, end))
                else:
                    found.append(self._journals.read(path, position))
        except BaseException:
            self._journals.release(found)
            raise
        return found

    def _apply(self, pages: list[Pages]) -> None:
        if not pages:
            return
        saved = (e.facts["artifact_path"] for each in pages for e in each.entries if e.kind == "artifact.saved")
        self.files.sync_these(sorted(set(saved)))
        settling.settle(self._backend, pages, self._schemas)
        dead = [p for p in pages if p.descriptor is not None and not p.closed and not self.journal.is_mine(p.name)]
        for each in dead:
            runs = self._journals.begun(each.path, "run.begun", "run_id")
            settling.interrupt(self._backend, runs, self._journals.begun(each.path, "pipeline.begun", "pipeline_id"))
        settling.remember(self._backend, pages, [path.name for path in self._journals.paths()])

    def _after(self, pages: list[Pages], *, done: bool) -> None:
        if not done:
            self._journals.release(pages)
            return
        self._known = {each.name: each.end for each in pages if each.descriptor is None}
        for each in pages:
            self.journal.settled(each.end, each.name)
        self._journals.remove(pages)
        if pages:
            self._journals.sweep()

    # ── life ─────────────────────────────────────────────────────────────────────────────────────────

    def close(self) -> None:
        """Settle what is pending and leave nothing behind; closing twice is allowed.

        What cannot be settled now, because somebody else holds the database, is durable and settled by who comes next.
        """
        if self._closed:
            return
        self._closed = True
        wrote = bool(self.journal.name)
        with contextlib.ExitStack() as stack:
            # a disk that fails keeps nothing from being given back, whichever of these it fails
            stack.callback(self._backend.close)
            if wrote and not self.read_only:
                stack.callback(self._in_passing, self.timeout)
            stack.callback(self.journal.close)
            self.files.sync()
