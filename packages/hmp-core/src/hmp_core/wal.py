"""What the engine wrote ahead of a database: the files it lies in, and how those are set aside, never deleted.

A process that is killed after a commit leaves its rows there, and whoever opens the database next replays them. What
cannot be replayed keeps the database from being opened at all; moved away, it leaves the state of the last checkpoint,
which lacks nothing that is not in files and log.
"""

from __future__ import annotations

import logging
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from hmp_core.backends.duckdb import DuckDBBackend
from hmp_core.durable import fsync_folder, translated
from hmp_core.errors import HmpError, WalCorrupt

if TYPE_CHECKING:
    from hmp_core.protocols.backend import BackendFactory

_log = logging.getLogger(__name__)

#: Beside ``<database>``: the WAL, and what a checkpoint makes of it while others commit (DuckDB 1.5).
ENDINGS = (".wal", ".wal.checkpoint", ".wal.recovery")


def files(database: Path) -> list[Path]:
    """Return the files beside a database that belong to its WAL."""
    beside = (database.with_name(f"{database.name}{ending}") for ending in ENDINGS)
    return [path for path in beside if os.path.lexists(path)]


def damage(database: Path, *, backend: BackendFactory = DuckDBBackend) -> WalCorrupt | None:
    """Return what keeps the WAL from being replayed; None if nothing does. The lock is held."""
    try:
        with backend(database).lease(write=False):
            return None
    except WalCorrupt as error:
        return error
    except HmpError as error:
        _log.debug("%s cannot be opened, and not for its WAL: %s", database, error)
        return None


def set_aside(database: Path) -> list[Path]:
    """Move the WAL to ``<database>.wal.corrupt-<UTC time>`` and return where its files are now. The lock is held.

    Raises
    ------
    NotWritable, StorageError
        If it cannot be moved; it is then where it was.
    """
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
    kept = []
    with translated(database):
        for path in files(database):
            kept.append(path.with_name(f"{path.name}.corrupt-{moment}"))
            os.rename(path, kept[-1])
        fsync_folder(database.parent)
    return kept


def set_aside_if_damaged(database: Path, *, backend: BackendFactory = DuckDBBackend) -> str:
    """Move a WAL that cannot be replayed, and return what to say of it; empty if it can be. The lock is held."""
    found = damage(database, backend=backend)
    if found is None:
        return ""
    kept = ", ".join(path.name for path in set_aside(database))
    return f"{found.wal} could not be replayed and is kept as {kept}"
