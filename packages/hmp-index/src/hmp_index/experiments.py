"""One experiments store read as it is: its runs as rows beside the simulations, their scores as metrics.

What its writers left in their journals is settled first, by the scope that can (entry point group ``hmp.stores``);
where none is installed the store is read as it lies there, and what is not in it is counted.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hmp_core.backends.duckdb import DuckDBBackend
from hmp_core.databases import Database, Settling, read_lease
from hmp_core.errors import HmpError, MigrationPending
from hmp_core.events.pending import LogFiles
from hmp_core.events.record import decode
from hmp_core.layout import experiments_path
from hmp_core.statements import load_statements
from hmp_index.asking import facts, status_of
from hmp_index.fold import EXPERIMENT, Facts, Place, Reading, snapshot
from hmp_index.survey import store_mark

if TYPE_CHECKING:
    from hmp_core.protocols import AuthBackend, BulkBackend

_log = logging.getLogger(__name__)

_SQL = load_statements("hmp_index")

#: What the name of a score has in it that is the better the smaller it is; any other is the better the greater.
_ERRORS = ("mse", "mae", "mape", "loss", "error", "deviance")

#: The last line of a journal that was closed: nothing is missing without it.
_CLOSED = "writer.closed"


class Stores:
    """Reads experiments stores, on behalf of a user."""

    def __init__(self, auth: AuthBackend | None) -> None:
        self._auth = auth

    @cached_property
    def settling(self) -> Settling | None:
        """What puts pending entries into the tables; None if nobody here can."""
        from importlib.metadata import entry_points

        for point in entry_points(group="hmp.stores", name="experiments"):
            try:
                loaded: Settling = point.load()
            except (ImportError, AttributeError) as error:
                _log.warning("experiments are read as they are: %s cannot be loaded: %s", point.value, error)
                return None
            return loaded
        return None

    def read(self, folder: Path, place: Place, timeout: float) -> Reading:
        """Return what the store of a folder says, or why it says nothing; never raises for what it finds."""
        now = datetime.now(UTC).replace(tzinfo=None)
        try:
            try:
                return self._read(folder, place, now, timeout)
            except MigrationPending as older:
                # reading never migrates, but what an older store holds can be told by the names of its columns
                reading = self._read(folder, place, now, timeout, settle=False)
                return replace(reading, status="schema_mismatch", detail=str(older))
        except HmpError as error:
            status = status_of(error)
            return Reading(status, now, str(error), _mark(folder) if status in {"corrupt", "schema_mismatch"} else "")
        except OSError as error:
            return Reading("unreachable", now, f"{folder} cannot be read: {error.strerror or error}")

    @contextlib.contextmanager
    def opened(self, folder: Path, timeout: float, *, settle: bool = True) -> Iterator[tuple[BulkBackend, str]]:
        """Hold a lease on a store, settled where it can be; also tell what it lacks nevertheless."""
        real = Path(os.path.realpath(experiments_path(folder)))
        known = Database("experiments", real)
        auth = known.auth() if self._auth is None else self._auth
        if settle and self.settling is not None:
            with self.settling.reading(real, auth=auth, resource=known.resource, timeout=timeout) as found:
                yield found
            return
        backend = DuckDBBackend(real, auth=auth, resource=known.resource, timeout=timeout)
        with read_lease(backend):
            yield backend, ""

    def _read(self, folder: Path, place: Place, now: datetime, timeout: float, *, settle: bool = True) -> Reading:
        with self.opened(folder, timeout, settle=settle) as (backend, lack):
            before = store_mark(folder)
            told, odd = facts(backend)
            scores = backend.fetch_all(_SQL["store_scores"].sql)
            unread = _unsettled(experiments_path(folder), dict(backend.fetch_all(_SQL["store_journals"].sql)))
            waits = bool(unread) and settle and self.settling is not None and not lack
            settled = before == store_mark(folder) and not waits
        if unread and not lack:
            lack = "hmp-catalog is not installed" if self.settling is None else "not settled yet"
        rows = [dict(row) | {"kind": EXPERIMENT} for row in told.summary]
        of_store = Facts(rows, [_metric(*row) for row in scores], experiments=True)
        detail = "; ".join([*([lack] if unread else []), *odd])
        return Reading("ok", now, detail, before if settled else "", unread, snapshot(place, of_store, now))


def _metric(
    sim_id: str, name: str, variable: str | None, lowest: float | None, highest: float | None
) -> Mapping[str, Any]:
    """Return the best score of a run on a data set, by the direction of the score."""
    best = lowest if any(part in name.lower() for part in _ERRORS) else highest
    return {"sim_id": sim_id, "metric_name": name, "station_id": None, "variable": variable, "value": best}


def _unsettled(database: Path, positions: Mapping[str, int]) -> int:
    """Return how many entries of the journals are not in the tables."""
    count = 0
    for path in LogFiles(database).segments():
        try:
            data = path.read_bytes()[positions.get(path.name, 0) :]
        except FileNotFoundError:  # settled and removed meanwhile
            continue
        count += sum(line.event is not None and line.event.kind != _CLOSED for line in decode(data))
    return count


def _mark(folder: Path) -> str:
    try:
        return store_mark(folder)
    except OSError:
        return ""
