"""How the machine index reads a session: its runs as plain rows, by ``hmp.stores``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hmp_catalog.acquisition.glance import Glance, GlancedRun, glance

if TYPE_CHECKING:
    from hmp_core.protocols import AuthBackend


def listed(database: Path, *, auth: AuthBackend | None, timeout: float) -> list[Mapping[str, Any]]:
    """Return the runs of a session, the oldest first; nobody is kept from writing it, and nothing is migrated.

    Parameters
    ----------
    database
        Its file.
    auth
        Who is asked for the right to read it; by default whom its workspace or the environment names.
    timeout
        Seconds to wait for another process.

    Raises
    ------
    DatabaseNotFound, CorruptError, SchemaTooNewError, AccessDenied, BusyError
        If it cannot be read.
    """
    found = glance(database, auth=auth, timeout=timeout)
    return [_row(found, each, database) for each in found.runs]


def _row(session: Glance, run: GlancedRun, database: Path) -> Mapping[str, Any]:
    said, who = run.summary, session.researcher
    return {
        "uid": said.uid,
        "plan": said.plan_name,
        "status": said.exit_status,
        "sample": said.sample_name,
        "operator": said.operator,
        "scan_id": said.scan_id,
        "events": said.num_events,
        "start": said.time_start,
        "stop": said.time_stop,
        "tags": list(run.tags),
        "session": session.label or database.stem,
        "researcher": None if who is None else who.name,
        "email": None if who is None else who.email,
    }
