"""A database with its log: append without waiting, read what everybody has acknowledged.

Reading folds first: under the lock, what is new becomes rows in one transaction, then the question is asked. Where
this process may not or cannot fold, the answer comes from the last fold and ``notice`` says what it lacks.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from hmp_core.auth.gate import authorize
from hmp_core.backends.duckdb import DuckDBBackend
from hmp_core.backends.making import made_by
from hmp_core.backends.replay import is_left
from hmp_core.durable import translated
from hmp_core.errors import (
    BusyError,
    FoldDisabled,
    HmpError,
    InvalidInput,
    MigrationPending,
    NotWritable,
    StatementError,
    StorageError,
    WalCorrupt,
)
from hmp_core.events.apply import Folding, apply, components, unsettled
from hmp_core.events.apply import positions as positions_of
from hmp_core.events.clock import clock
from hmp_core.events.columns import import_arrow
from hmp_core.events.fold import Fold
from hmp_core.events.host import folding_is_off, why_not_fold
from hmp_core.events.log import EventLog
from hmp_core.events.notice import Notice
from hmp_core.events.pending import LogFiles, Position
from hmp_core.events.record import Event
from hmp_core.locks import DEFAULT_TIMEOUT, database_lock
from hmp_core.migrations.runner import migrate, require_current
from hmp_core.saying import once

if TYPE_CHECKING:
    import pyarrow as pa

    from hmp_core.protocols.auth import AuthBackend
    from hmp_core.protocols.backend import BackendFactory, StoreBackend

_log = logging.getLogger(__name__)

T = TypeVar("T")

#: A writer folds now and then, if the lock happens to be free.
_EVERY_EVENTS = 256
_EVERY_SECONDS = 5.0

#: Of an event-logged database: how many events wait, the newest clock, and what tells one database from another.
_STATE = (
    "SELECT (SELECT count(*) FROM _hmp_waiting), (SELECT max(seen) FROM _hmp_clock), "
    "(SELECT count(*) FROM schema_migrations), (SELECT max(applied_at) FROM schema_migrations)"
)

__all__ = ["EventStore", "Notice", "apply", "components", "folding_is_off"]


class EventStore:
    """One event-logged database as a door holds it.

    Parameters
    ----------
    database : Path
        The database file.
    fold : Fold
        What the scope declares.
    auth, resource
        Who is asked, and for what, at every append and every lease.
    timeout : float
        Seconds to wait for the lock.
    read_only : bool
        Never append, never fold.
    backend : BackendFactory
        Makes what opens the database file; by default `DuckDBBackend`.

    Raises
    ------
    InvalidInput
        If what ``backend`` makes does not keep `StoreBackend`.
    """

    def __init__(
        self,
        database: Path,
        fold: Fold,
        *,
        auth: AuthBackend,
        resource: str,
        timeout: float = DEFAULT_TIMEOUT,
        read_only: bool = False,
        backend: BackendFactory | None = None,
    ) -> None:
        self.path = Path(os.path.realpath(database))
        self.fold_spec = fold
        self.files = LogFiles(self.path)
        self.read_only = read_only
        #: makes what opens the file: who works on it beside the store asks no other
        self.backend_factory: BackendFactory = DuckDBBackend if backend is None else backend
        self.notice = Notice()
        self._auth = auth
        self._resource = resource
        self._timeout = timeout
        self._backend = made_by(self.backend_factory, self.path, auth=auth, resource=resource, timeout=timeout)
        self._log: EventLog | None = None
        self._opening = threading.Lock()
        self._closed = False
        #: how far the log was folded; None until the database has said it
        self._known: dict[str, Position] | None = None
        self._remark = ""
        self._mark: tuple[Any, ...] = ()
        self._schemas: dict[str, pa.Schema] = {}
        self._since = 0
        self._folded_at = time.monotonic()
        self._here = threading.local()

    def authorize(self, *, write: bool, what: str = "") -> None:
        """Return if the current user may read or write here: asked before anything is touched, files beside it too.

        Raises
        ------
        AccessDenied
            If not; a refused write is on record, with ``what`` was about to be done.
        NotWritable
            For writing what was opened read-only.
        """
        authorize(self._auth, "write" if write else "read", self._resource, database=self.path, what=what)
        if write:
            self._require_writable()

    # ── life ─────────────────────────────────────────────────────────────────────────────────────────

    @property
    def components(self) -> list[tuple[str, Path]]:
        """The components of the database and where their migrations are."""
        return components(self.fold_spec)

    def prepare_schema(self) -> None:
        """Make the database, or bring it up to date.

        Raises
        ------
        AccessDenied
            If there is something to do and the user may not write.
        """
        self._require_open()
        asked: dict[str, Any] = {"timeout": self._timeout, "auth": self._auth, "resource": self._resource}
        self._mended(lambda: migrate(self.path, self.components, backend=self.backend_factory, **asked))

    def close(self) -> None:
        """Give the segment up; fold what is pending if the lock is free, never waiting for it.

        Closing twice is allowed; any other verb afterwards is `InvalidInput`.
        """
        if self._closed:
            return
        self._closed = True
        if self._log is not None:
            self._log.close()
            self._fold_in_passing()

    def _require_open(self) -> None:
        if self._closed:
            message = f"{self.path}: it was closed; open it again"
            raise InvalidInput(message)

    def _require_writable(self) -> None:
        self._require_open()
        if self.read_only:
            message = f"{self.path} was opened read-only"
            raise NotWritable(message, path=str(self.path))

    # ── writing ──────────────────────────────────────────────────────────────────────────────────────

    @property
    def log(self) -> EventLog:
        """The log, as this process appends to it."""
        self._require_writable()
        with self._opening:
            if self._log is None:
                self._log = EventLog(self.path, self.fold_spec.component, auth=self._auth, resource=self._resource)
            return self._log

    def prepare(self, kind: str, payload: dict[str, Any], *, v: int = 1) -> Event:
        """See `EventLog.prepare`."""
        log, beside = self.log, self.fold_spec.circumstances(kind, self.path.parent, self._auth.current_user())
        return log.prepare(kind, payload | beside, v=v)

    def append(self, kind: str, payload: dict[str, Any], *, v: int = 1) -> Event:
        """See `EventLog.append`."""
        event = self.prepare(kind, payload, v=v)
        self.commit([event])
        return event

    def commit(self, events: Sequence[Event]) -> None:
        """See `EventLog.commit`. Now and then folds too, if the lock is free."""
        self.log.commit(events)
        if self._since == 0:  # the time counts from the first event that is not folded, not from the last fold
            self._folded_at = time.monotonic()
        self._since += len(events)
        if self._since >= _EVERY_EVENTS or time.monotonic() - self._folded_at > _EVERY_SECONDS:
            self._fold_in_passing()

    def _fold_in_passing(self) -> None:
        self._since, self._folded_at = 0, time.monotonic()
        if folding_is_off(self.path) or self._backend.only_reads or not os.path.exists(self.path):
            return
        try:
            self._fold(timeout=0.0)
        except (BusyError, NotWritable, MigrationPending):
            return  # somebody else will fold: what was appended is durable
        except (HmpError, OSError) as error:
            # the events are safe in the log; whoever reads next meets the same trouble and is told
            once(_log, "%s was not folded: %s", self.path, error)

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────

    @contextlib.contextmanager
    def reading(self, *, tables: bool = True) -> Iterator[StoreBackend]:
        """Hold one lease for several questions; everything acknowledged before is in the answers.

        Where this process may not or cannot fold, or somebody else holds the lock for too long, the answers are
        those of the last fold, and ``notice`` counts what they lack.

        Parameters
        ----------
        tables
            Whether an answer may be wanted in Arrow, which is then imported before others have to wait for the lock.

        Raises
        ------
        BusyError
            If the database could not be had in time.
        DatabaseNotFound, CorruptError, SchemaTooNewError, MigrationPending
            If there is nothing to read, or it cannot be read by this hmp.
        """
        self._require_open()
        if self._is_reading:
            yield self._backend
            return
        if tables or self.files.segments():  # these are to be folded, most likely
            import_arrow()
        with self._folded_lease(strict=False):
            yield self._backend

    def glance(self, question: Callable[[StoreBackend, list[Event]], T | None]) -> T | None:
        """Ask of the rows of the last fold and the events since: where few of these matter, a fold is 70 ms too much.

        Parameters
        ----------
        question
            Is given the database and what was acknowledged since it was folded; answers None where it must be folded.

        Returns
        -------
        T or None
            The answer; None where `reading` is to be asked, which folds first: a process that died left something to
            fold, an event waits, the log lost something, or this process reads or may not fold.
        """
        self._require_open()
        self.authorize(write=False)
        if self._is_reading or self.read_only or self._known is None or is_left(self.path) or why_not_fold(self.path):
            return None
        with contextlib.ExitStack() as stack:
            if self._lock_for_reading(stack, strict=False) is not None:
                return None
            self._attach(stack, None)
            waiting, seen, fresh = self._state(self._backend)
            clock.observe(seen)
            recent = None if waiting or fresh else self.files.recent(positions_of(self._backend))
            return None if recent is None else question(self._backend, recent)

    @contextlib.contextmanager
    def immediate(self) -> Iterator[StoreBackend]:
        """Hold the lock with everything folded, so that what is checked and then appended is one step.

        Raises
        ------
        FoldDisabled
            Where this process may not fold (see `hmp_core.events.host`): this question cannot be answered here.
        BusyError, NotWritable, StorageError
            If everything could not be folded.
        InvalidInput
            Inside a block that reads: what was appended since it began would not be seen.
        """
        self._require_writable()
        if lack := why_not_fold(self.path):
            message = f"{self.path}: this needs the database at once, and folding is off here: {lack}"
            raise FoldDisabled(message)
        if self._is_reading:
            message = f"{self.path}: this needs the newest state, and a block that reads is open; leave it first"
            raise InvalidInput(message)
        self.authorize(write=True, what="record what needs an answer at once")
        import_arrow()
        with self._folded_lease(strict=True):
            yield self._backend

    @property
    def _is_reading(self) -> bool:
        return getattr(self._here, "reading", False)

    @contextlib.contextmanager
    def _folded_lease(self, *, strict: bool) -> Iterator[None]:
        self.authorize(write=False)
        with contextlib.ExitStack() as stack:
            lack = self._lock_for_reading(stack, strict=strict)
            reason = str(lack) if lack else self._catch_up(strict=strict)
            lease = stack.enter_context(contextlib.ExitStack())
            self._attach(lease, lack)
            if not self._observe(reason):
                # it is the first time, or another database took the place of the one we knew: fold into that one
                lease.close()
                reason = self._catch_up(strict=strict, asked=True)
                self._attach(lease, lack)
                self._observe(reason or "appended just now")
            try:
                self._here.reading = True
                yield
            finally:
                self._here.reading = False

    def _lock_for_reading(self, stack: contextlib.ExitStack, *, strict: bool) -> HmpError | None:
        """Take the lock for the whole reading; where it cannot be had, return why."""
        if not os.path.exists(self.path):
            return None  # the lease says so, and no lock file is made
        self._backend.start()
        try:
            stack.enter_context(database_lock(self.path).hold(self._timeout))
        except (NotWritable, BusyError) as error:
            if strict:
                raise
            return error
        return None

    def _attach(self, lease: contextlib.ExitStack, lack: HmpError | None) -> None:
        if lack is None:
            self._mended(lambda: lease.enter_context(self._backend.lease(write=False)))
            return
        wait = 0.0 if isinstance(lack, BusyError) else self._timeout  # has been waited for
        try:
            lease.enter_context(self._backend.lease(write=False, unlocked=True, timeout=wait))
        except BusyError as error:
            # whoever holds the lock is writing; the engine does not know who that is
            raise (lack if isinstance(lack, BusyError) else error) from None

    def _catch_up(self, *, strict: bool, asked: bool = False) -> str:
        """Fold what is new; return why not, where that is not possible.

        Before the database has said how far it is there is nothing to compare with, and it is asked first, unless what
        a killed process left must be replayed; ``asked`` tells that it was.
        """
        if lack := why_not_fold(self.path):
            return lack
        if self.read_only:
            return "opened read-only"
        if not asked and not (is_left(self.path) if self._known is None else self.files.is_behind(self._known)):
            return ""
        if self._backend.only_reads:
            return "the answer is given inside another block that reads"
        try:
            self._mended(lambda: self._fold(timeout=self._timeout))
        except (NotWritable, StorageError, BusyError) as error:
            if strict:
                raise
            return str(error)
        return ""

    def _observe(self, reason: str) -> bool:
        """Note what this reading lacks; return False if the database is behind what we thought it had."""
        waiting, seen, _ = self._state(self._backend)
        positions = positions_of(self._backend)
        if not reason and positions != self._known:
            first, self._known = self._known is None, positions
            behind = self.files.is_behind(positions)
            if behind or (first and unsettled(self._backend, self.fold_spec, self.files, waiting)):
                return False
        unfolded = self.files.unread(positions) if reason else 0
        self.notice = Notice(
            unfolded=unfolded,
            waiting=waiting,
            rejected=self.files.rejected_count(),
            reason=reason if unfolded else "",
            remark=self._remark,
        )
        clock.observe(seen)
        return True

    def _state(self, backend: StoreBackend) -> tuple[int, int, bool]:
        """Return how many events wait, the newest clock, and whether we see this schema for the first time."""
        try:
            waiting, seen, *mark = backend.fetch_all(_STATE)[0]
        except StatementError:
            require_current(backend, self.components)
            raise
        fresh = tuple(mark) != self._mark
        if fresh:
            require_current(backend, self.components)
            self._mark = tuple(mark)
            self._schemas.clear()
        return waiting, seen or 0, fresh

    # ── folding ──────────────────────────────────────────────────────────────────────────────────────

    def fold(self, *, timeout: float | None = None) -> Notice:
        """Turn everything pending into rows now.

        Raises
        ------
        BusyError
            If the lock was not free in time.
        MigrationPending
            If the database is older than this hmp: folding never migrates.
        FoldDisabled
            Where this process may not fold (see `hmp_core.events.host`).
        """
        self._require_writable()
        if lack := why_not_fold(self.path):
            message = f"{self.path}: folding is off here: {lack}; HMP_FOLD=always lets this process fold"
            raise FoldDisabled(message)
        wait = self._timeout if timeout is None else timeout
        self._mended(lambda: self._fold(timeout=wait))
        with self.reading():
            return self.notice

    def _mended(self, act: Callable[[], T]) -> T:
        """Do something; where a WAL that cannot be replayed is in the way, and may be put aside, do it again."""
        try:
            return act()
        except WalCorrupt as error:
            if self.read_only or folding_is_off(self.path) or error.path != str(self.path):
                raise
            try:
                self._remark = self._mend() or self._remark
            except NotWritable:
                raise error from None
            self._known = None
        return act()

    def _mend(self) -> str:
        from hmp_core.events.mending import mend

        return mend(self.path, self.fold_spec, timeout=self._timeout, backend=self.backend_factory)

    def _fold(self, *, timeout: float) -> None:
        import_arrow()
        backend = self.backend_factory(self.path, auth=self._auth, resource=self._resource, timeout=timeout)
        with backend.lease(write=True, action="read"), translated(self.path):
            *_, fresh = self._state(backend)
            harvest = self.files.harvest(positions_of(backend))
            try:
                Folding(backend, self.fold_spec, self.path.parent, self._schemas).apply(harvest, retry=fresh)
                harvest.discard()
            finally:
                harvest.release()
            self._known = harvest.positions
