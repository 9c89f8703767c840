"""The measuring sessions of one folder: their runs as rows beside the simulations.

They are read by the scope that knows them (entry point group ``hmp.stores``), which keeps nobody from writing. One
that cannot be read is named, and hides nothing of the others.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

from hmp_core.errors import HmpError
from hmp_core.identity import derived_id
from hmp_core.layout import sessions
from hmp_index.asking import status_of
from hmp_index.fold import ACQUISITION, SUMMARY, Facts, Place, Reading, snapshot
from hmp_index.survey import session_mark

if TYPE_CHECKING:
    from hmp_core.protocols import AuthBackend

_log = logging.getLogger(__name__)

#: The status of a run that goes on.
_RUNNING = "running"


class Listing(Protocol):
    """How the runs of a session are read."""

    def __call__(self, database: Path, *, auth: AuthBackend | None, timeout: float) -> Sequence[Mapping[str, Any]]:
        """Return the runs of a session as plain rows."""
        ...


class Sessions:
    """Reads measuring sessions, on behalf of a user."""

    def __init__(self, auth: AuthBackend | None) -> None:
        self._auth = auth

    @cached_property
    def listing(self) -> Listing | None:
        """What reads sessions; None if nobody here can."""
        from importlib.metadata import entry_points

        for point in entry_points(group="hmp.stores", name="acquisition"):
            try:
                loaded: Listing = point.load()
            except (ImportError, AttributeError) as error:
                _log.warning("sessions are not listed: %s cannot be loaded: %s", point.value, error)
                return None
            return loaded
        return None

    def read(self, folder: Path, place: Place, timeout: float) -> Reading:
        """Return what the sessions of a folder say; never raises for what it finds there."""
        now = datetime.now(UTC).replace(tzinfo=None)
        if self.listing is None:
            return Reading("ok", now, "sessions: hmp-catalog is not installed", snapshot=snapshot(place, _NONE, now))
        try:
            before, found = session_mark(folder), sessions(folder)
        except OSError as error:
            return Reading("unreachable", now, f"{folder} cannot be read: {error.strerror or error}")
        rows: list[tuple[Path, Mapping[str, Any]]] = []
        status, troubles = "ok", list[str]()
        for path in found:
            try:
                rows += [(path, row) for row in self.listing(path, auth=self._auth, timeout=timeout)]
            except HmpError as error:
                status = status if status != "ok" else status_of(error)
                troubles.append(str(error))
        after = ""
        with contextlib.suppress(OSError):
            after = session_mark(folder)
        # of a run that goes on nobody is told when its process dies: it is looked at each time
        settled = before == after and not any(row["status"] == _RUNNING for _, row in rows)
        settled = settled and status in {"ok", "corrupt", "schema_mismatch"}
        return Reading(
            status, now, "; ".join(troubles), before if settled else "", snapshot=snapshot(place, _facts(rows), now)
        )


_NONE = Facts(experiments=True)


def _facts(rows: Sequence[tuple[Path, Mapping[str, Any]]]) -> Facts:
    """Return runs as a catalog would say them; of a file that was copied beside itself each run once."""
    known: dict[str, tuple[Path, Mapping[str, Any]]] = {}
    for path, row in rows:
        known.setdefault(_identity(row["uid"]), (path, row))
    summary = [_summary(identity, *found) for identity, found in known.items()]
    parameters = [
        {"sim_id": identity, "param_name": name, "zone_id": None, "value": None, "text_value": None} | value
        for identity, (_, row) in known.items()
        for name, value in _parameters(row)
    ]
    tags = [{"sim_id": identity, "tag": tag} for identity, (_, row) in known.items() for tag in row["tags"]]
    return Facts(summary, (), parameters, tags, experiments=True)


def _identity(uid: str) -> str:
    """Return the id of a run: a uid is one without its hyphens; another word stands for one of its own."""
    with contextlib.suppress(ValueError):
        return str(UUID(uid))
    return str(derived_id("acquisition", uid))


def _summary(identity: str, path: Path, row: Mapping[str, Any]) -> Mapping[str, Any]:
    start, stop = _moment(row["start"]), _moment(row["stop"])
    said = {
        "sim_id": identity,
        "kind": ACQUISITION,
        "name": row["plan"],
        "status": row["status"],
        "study_area_name": row["sample"],
        "description": row["session"],
        "contact_email": row["email"],
        "principal_id": row["operator"] or row["researcher"],
        "period_start": start,
        "period_end": stop,
        "folder": f"{path.parent.name}/{path.name}",
        "duration_s": None if stop is None or start is None else (stop - start).total_seconds(),
        "created_at": start,
        "updated_at": stop or start,
    }
    return dict.fromkeys(SUMMARY) | said


def _parameters(row: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    numbers = [(name, {"value": float(row[name])}) for name in ("scan_id", "events") if row[name] is not None]
    return [*numbers, ("session", {"text_value": f'"{row["session"]}"'})]


def _moment(seconds: float | None) -> datetime | None:
    if seconds is None:
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)
    except (ValueError, OverflowError, OSError):  # no such year
        return None
