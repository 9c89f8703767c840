"""A session file that is only read: of any version that is known, at rest or while somebody writes it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hmp_catalog.acquisition.records import INTERRUPTED, RUNNING
from hmp_catalog.acquisition.schema import BEAMTIME_SCHEMA_VERSION
from hmp_catalog.acquisition.session import placed_in, zarr_beside
from hmp_catalog.errors import StoreClosed
from hmp_core.backends import SQLiteBackend
from hmp_core.errors import CorruptError, DatabaseNotFound, SchemaTooNewError
from hmp_core.locks import Owner
from hmp_core.statements import load_statements

if TYPE_CHECKING:
    from hmp_core.protocols import AuthBackend

SQL = {name: found.sql for name, found in load_statements("hmp_catalog.acquisition", "reading").items()}

#: The columns of the statement `runs`.
_RUN = (
    "uid", "plan_name", "time_start", "time_stop", "exit_status", "num_events", "operator", "metadata",
    "sample_id", "sample_name", "tags", "scan_id", "reason", "owner", "provenance", "place",
)  # fmt: skip

_TABLES = 5
#: The version from which on runs know their owners, and frames come in ranges.
_RANGES = 3


class Reading:
    """A session file to be read; nothing of it is ever written, and no older version of it is changed.

    Parameters
    ----------
    database : Path
        The session file.
    auth : AuthBackend, optional
        Who is asked; by default whom the workspace or the environment names.
    timeout : float
        Seconds to wait where somebody else keeps readers out.
    """

    def __init__(self, database: Path, *, auth: AuthBackend | None, timeout: float) -> None:
        self.path, self.zarr = database, zarr_beside(database)
        owner = placed_in(database)
        asked: dict[str, Any] = {"auth": owner.auth() if auth is None else auth, "resource": owner.resource}
        self._backend = SQLiteBackend(database, read_only=True, timeout=timeout, **asked)
        self._asked: dict[str, Any] = {"auth": asked["auth"], "timeout": timeout}
        self.is_closed = False
        self._version = -1  # not looked at yet

    def reopened(self) -> Reading:
        """Return the same file, to be read also when this one is closed."""
        return Reading(self.path, **self._asked)

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """See one state of the session in the whole block.

        Raises
        ------
        StoreClosed
            If it was closed.
        DatabaseNotFound, CorruptError, SchemaTooNewError, BusyError, AccessDenied
            If the file cannot be read.
        """
        if self.is_closed:
            message = f"{self.path} was closed: open it again"
            raise StoreClosed(message)
        if not self.path.exists():
            message = f"{self.path}: there is no session; a RunWriter makes one"
            raise DatabaseNotFound(message, path=str(self.path))
        with self._backend.lease(write=False):
            self._require_known()
            yield

    def ask(self, name: str, params: Sequence[Any] = (), *, more: str = "") -> list[tuple[Any, ...]]:
        """Return what a statement answers; ``more`` is put behind it, and the file's version chooses it."""
        with self.snapshot():
            older = f"{name}_before_3"
            chosen = older if older in SQL and self._version < _RANGES else name
            return self._backend.fetch_all(SQL[chosen] + more, params)

    def runs(self, more: str = "", params: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """Return runs as they are shown: with ``status``, and how many events they have until now."""
        with self.snapshot():
            found = [dict(zip(_RUN, row, strict=True)) for row in self.ask("runs", params, more=more)]
            for run in found:
                run["status"] = status_of(run["exit_status"], run["owner"])
                if run["exit_status"] is None:
                    ((run["num_events"],),) = self.ask("count_events", [run["uid"]])
                run["num_events"] = run["num_events"] or 0
        return found

    @property
    def knows_ranges(self) -> bool:
        """Whether frames come in ranges in this file; asked in a snapshot."""
        return self._version >= _RANGES

    def _require_known(self) -> None:
        ((found,),) = self._backend.fetch_all("PRAGMA user_version")
        if found > BEAMTIME_SCHEMA_VERSION:
            message = (
                f"{self.path} was written by a newer hmp (version {found}, this one knows {BEAMTIME_SCHEMA_VERSION}): "
                "upgrade this one"
            )
            raise SchemaTooNewError(message, path=str(self.path), found=found, known=BEAMTIME_SCHEMA_VERSION)
        if found != self._version and (found < 1 or self._backend.fetch_one(SQL["tables"]) != (_TABLES,)):
            message = f"{self.path} is no session: it has not the tables of one"
            raise CorruptError(message, path=str(self.path))
        self._version = found


def status_of(exit_status: str | None, owner: str | None) -> str:
    """Return how a run stands: as it ended, else ``running`` while its writer may live, else ``interrupted``."""
    if exit_status is not None:
        return exit_status
    try:
        said = json.loads(owner or "null")
        ended = not isinstance(said, Mapping) or Owner(**said).is_dead()
    except (ValueError, TypeError):
        ended = True
    return INTERRUPTED if ended else RUNNING
