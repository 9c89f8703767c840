"""The same fold from zero: files, packs and pending segments become a new database that takes the old one's place."""

from __future__ import annotations

import contextlib
import glob
import logging
import os
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from hmp_core.auth.gate import authorize
from hmp_core.backends.duckdb import DuckDBBackend
from hmp_core.durable import fsync_folder, make_folder, translated
from hmp_core.errors import FoldDisabled, HmpError, InvalidInput, PathNotFound
from hmp_core.events.apply import Folding, positions
from hmp_core.events.fold import Fold
from hmp_core.events.host import why_not_fold
from hmp_core.events.pending import Harvest, LogFiles
from hmp_core.events.segment import SUFFIX
from hmp_core.events.store import Notice, components
from hmp_core.layout import internal_folder
from hmp_core.locks import DEFAULT_TIMEOUT, database_lock
from hmp_core.migrations.runner import create_database

if TYPE_CHECKING:
    from hmp_core.protocols.auth import AuthBackend

_log = logging.getLogger(__name__)

_KEPT = 5


def rebuild(
    database: Path,
    fold: Fold,
    *,
    timeout: float = DEFAULT_TIMEOUT,
    auth: AuthBackend | None = None,
    resource: str = "",
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
        return rebuild_locked(database, fold)


def rebuild_locked(database: Path, fold: Fold) -> Notice:
    """Make a database anew, as `rebuild` does, for a caller that holds its lock and no lease on it."""
    files = LogFiles(database)
    lost = lost_files(database)
    _sweep(database)
    beside = database.with_name(f".{database.name}.{secrets.token_hex(4)}.rebuilt")
    with translated(database):
        harvest = files.harvest({})
        try:
            waiting = _fill(beside, fold, harvest, database.parent)
            _set_aside(database)
            os.replace(beside, database)
            fsync_folder(database.parent)
            harvest.discard()
        finally:
            harvest.release()
            for end in ("", ".wal"):
                beside.with_name(beside.name + end).unlink(missing_ok=True)
    kept = internal_folder(database) / "replaced"
    reason = f"{', '.join(lost)}; the database that had read them is kept in {kept}" if lost else ""
    return Notice(waiting=waiting, rejected=files.rejected_count(), reason=reason, lost=len(lost))


def lost_files(database: Path) -> list[str]:
    """Return the files of the log that a database had read and that are gone, or shorter, now."""
    if not database.is_file():
        return []
    try:
        backend = DuckDBBackend(database)
        with backend.lease(write=False):
            known = positions(backend)
    except HmpError as error:
        # it is damaged, or somebody else's: what it had read cannot be known
        _log.info("%s tells nothing of its log: %s", database, error)
        return []
    files = LogFiles(database)
    sizes = {path.name: path.stat().st_size for path in (*files.packed(), *files.segments())}
    short = sorted(name for name, at in known.items() if not at.packed and sizes.get(name, 0) < at.position)
    if any(name not in sizes for name in short):
        # what a fold did that is not in this state of the database any more: it packed the segment and removed it
        told = {f"{event.writer}{SUFFIX}" for event in files.everything().events}
        short = [name for name in short if name in sizes or name not in told]
    return short


def _fill(beside: Path, fold: Fold, harvest: Harvest, home: Path) -> int:
    """Make the new database and return how many events wait in it."""
    create_database(beside, components(fold))
    # where log and file tell the same event, the log knows what the file was when it was sealed
    harvest.events = [*fold.files(home), *harvest.events]
    backend = DuckDBBackend(beside)
    # nobody else knows this name: it needs no lock file
    with backend.lease(write=True, unlocked=True):
        Folding(backend, fold, home, {}).apply(harvest)
        row = backend.fetch_one("SELECT count(*) FROM _hmp_waiting")
        backend.execute("CHECKPOINT")
    return row[0] if row else 0


def _sweep(database: Path) -> None:
    """Remove what a process killed while rebuilding this database left; the lock is held."""
    name = glob.escape(database.name)
    for beside in (f".{name}.*.rebuilt*", f"..{name}.*.rebuilt*"):  # the new one, and the one it is made beside
        for leftover in database.parent.glob(beside):
            with contextlib.suppress(OSError):
                leftover.unlink()


def _set_aside(database: Path) -> None:
    """Keep what was there; a process killed meanwhile leaves the old database in its place.

    The WAL goes first, for it must never lie beside another database. What only it held is in the log.
    """
    folder = internal_folder(database) / "replaced"
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
    wal = database.with_name(database.name + ".wal")
    if database.exists() or wal.exists():
        make_folder(folder)
    if wal.exists():
        os.replace(wal, folder / f"{moment}-{wal.name}")
    if database.exists():
        kept = folder / f"{moment}-{database.name}"
        try:
            os.link(database, kept)
        except OSError:  # a folder, or a file system without links
            os.replace(database, kept)
    if folder.is_dir():
        fsync_folder(folder)
        _forget_old(folder)


def _forget_old(folder: Path) -> None:
    moments = sorted({p.name.split("-")[0] for p in folder.iterdir()})
    for stale in moments[:-_KEPT]:
        for file in folder.glob(f"{stale}-*"):
            with contextlib.suppress(OSError):
                file.unlink()
