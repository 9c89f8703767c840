"""The same fold from zero: files, packs and pending segments become a new database that takes the old one's place."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from hmp_core import wal
from hmp_core.auth.gate import authorize
from hmp_core.backends.duckdb import DuckDBBackend
from hmp_core.durable import translated
from hmp_core.errors import FoldDisabled, HmpError, InvalidInput, PathNotFound
from hmp_core.events.apply import Folding, positions
from hmp_core.events.fold import Fold
from hmp_core.events.host import why_not_fold
from hmp_core.events.pending import LOST, Harvest, LogFiles, Position
from hmp_core.events.segment import SUFFIX
from hmp_core.events.store import Notice, components
from hmp_core.locks import DEFAULT_TIMEOUT, database_lock
from hmp_core.migrations.runner import create_database
from hmp_core.replacing import beside, set_aside, take_place

if TYPE_CHECKING:
    from hmp_core.protocols.auth import AuthBackend
    from hmp_core.protocols.backend import BackendFactory, StoreBackend

_log = logging.getLogger(__name__)


def rebuild(
    database: Path,
    fold: Fold,
    *,
    timeout: float = DEFAULT_TIMEOUT,
    auth: AuthBackend | None = None,
    resource: str = "",
    backend: BackendFactory = DuckDBBackend,
) -> Notice:
    """Make a database anew from its files and its log.

    The former database, if there is one, is not trusted and not destroyed: it moves to ``.hmp/<name>/replaced``,
    where the newest five are kept.

    Parameters
    ----------
    database, fold
        Which database, and what its scope declares.
    timeout
        Seconds to wait for the lock.
    auth, resource
        Who is asked for the right to write, and to what; nobody if ``auth`` is None.
    backend
        Makes what opens the former database and the new one.

    Raises
    ------
    PathNotFound
        If the folder does not exist.
    BusyError
        If the lock was not free in time.
    AccessDenied
        If the user may not write.
    InvalidInput
        Inside a block that reads the database: leave it first.
    FoldDisabled
        Where folding is off (see `hmp_core.events.host`): this machine is not the one that opens databases.

    Returns
    -------
    Notice
        What the new database lacks. Files of the log that the former database had read and that are gone count as
        ``lost``, and ``reason`` says where that database is kept.
    """
    if lack := why_not_fold(database):
        message = f"{database}: databases are not opened here ({lack}); rebuild on the machine that may"
        raise FoldDisabled(message)
    home = Path(os.path.realpath(database)).parent
    database = home / database.name
    if not home.is_dir():
        message = f"{home}: no such folder; there is nothing to rebuild from"
        raise PathNotFound(message, path=str(home))
    if auth is not None:
        authorize(auth, "write", resource, database=database, what="rebuild it")
    lock = database_lock(database)
    with lock.hold(timeout):
        if lock.nested:
            message = f"{database}: it is being read; leave the block before rebuilding it"
            raise InvalidInput(message)
        return rebuild_locked(database, fold, backend=backend)


def rebuild_locked(database: Path, fold: Fold, *, backend: BackendFactory = DuckDBBackend) -> Notice:
    """Make a database anew, as `rebuild` does, for a caller that holds its lock and no lease on it."""

    def make(new: Path) -> None:
        create_database(new, components(fold), backend=backend)

    return refold_into(make, database, fold, backend=backend)


def refold_into(
    make: Callable[[Path], None], database: Path, fold: Fold, *, backend: BackendFactory = DuckDBBackend
) -> Notice:
    """Have a database made, put everything that files and log tell into it, and let it take the old one's place.

    The caller holds the lock of the database and no lease on it. Folding what a database has folded before changes
    nothing, so what is made need not be empty: all that was acknowledged, and every purge, holds in it.

    Parameters
    ----------
    make
        Makes a database, of the present schema, under the name that it is given.
    database, fold
        Whose place it takes, and what its scope declares.
    backend
        Makes what opens them.
    """
    files = LogFiles(database)
    with beside(database) as new, translated(database):
        make(new)
        # else it would go with the former database, and with the sixth rebuild for good
        remark = wal.set_aside_if_damaged(database, backend=backend)
        besides = _read_by(backend(new), unlocked=True)
        lost = lost_files(database, besides=besides, backend=backend)
        gone = files.lost(besides)
        harvest = files.harvest({})
        try:
            only_here = [name.removeprefix(LOST) for name in harvest.note(gone)]
            waiting = _fold_all(backend(new), fold, harvest, database.parent)
            kept = set_aside(database)
            take_place(new, database)
            harvest.discard()
        finally:
            harvest.release()
    reasons = [f"{', '.join(lost)}; the database that had read them is kept in {kept}"] if lost else []
    if only_here:
        reasons.append(f"{', '.join(only_here)}; what they told is in this database alone: do not rebuild it")
    count = len({*lost, *only_here})
    return Notice(
        waiting=waiting, rejected=files.rejected_count(), reason="; ".join(reasons), lost=count, remark=remark
    )


def lost_files(
    database: Path, *, besides: Mapping[str, Position] | None = None, backend: BackendFactory = DuckDBBackend
) -> list[str]:
    """Return the files of the log that a database had read and that are gone, or shorter, now.

    What another database has read of them, ``besides``, is not lost.
    """
    if not database.is_file():
        return []
    try:
        known = _read_by(backend(database))
    except HmpError as error:
        # it is damaged, or somebody else's: what it had read cannot be known
        _log.info("%s tells nothing of its log: %s", database, error)
        return []
    files = LogFiles(database)
    told = {f"{event.writer}{SUFFIX}" for event in files.everything().events}
    there = {path.name for path in (*files.packed(), *files.segments())}
    short = []
    for note, at in files.lost(known).items():
        name = note.removeprefix(LOST)
        read = max((besides or {}).get(key, Position(0)).position for key in (name, note))
        # a segment that is not there, and whose events are: a fold packed it that is not in this state of the database
        if read < at.position and (name in there or name not in told):
            short.append(name)
    return sorted(short)


def _read_by(backend: StoreBackend, *, unlocked: bool = False) -> dict[str, Position]:
    with backend.lease(write=False, unlocked=unlocked):
        return positions(backend)


def _fold_all(backend: StoreBackend, fold: Fold, harvest: Harvest, home: Path) -> int:
    """Put files and log into a database that nobody else knows, and return how many events wait in it."""
    # where log and file tell the same event, the log knows what the file was when it was sealed
    harvest.events = [*fold.files(home), *harvest.events]
    with backend.lease(write=True, unlocked=True):
        Folding(backend, fold, home, {}).apply(harvest)
        row = backend.fetch_one("SELECT count(*) FROM _hmp_waiting")
        backend.execute("CHECKPOINT")
    return row[0] if row else 0
