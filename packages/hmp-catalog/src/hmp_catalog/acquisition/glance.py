"""A session at a glance: which one it is, whose, and its runs; of every version, read without changing it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hmp_catalog.acquisition.reading import Reading
from hmp_catalog.acquisition.records import ResearcherInfo, RunSummary
from hmp_catalog.acquisition.searching import summary
from hmp_catalog.acquisition.session import STORE_ID, placed_in
from hmp_catalog.acquisition.values import loaded
from hmp_core.backends import SQLiteBackend
from hmp_core.errors import HmpError
from hmp_core.locks import DEFAULT_TIMEOUT

if TYPE_CHECKING:
    from hmp_core.protocols import AuthBackend

#: What no other database has.
_TABLES = {"runs", "streams", "events"}


@dataclass(frozen=True, slots=True)
class GlancedRun:
    """A run of a session, with the tags of its sample."""

    summary: RunSummary
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Glance:
    """What a session says of itself; a file of the first two versions says little, and is known by its first run."""

    store_id: str | None
    label: str | None
    researcher: ResearcherInfo | None
    description: str | None
    created_at: float | None
    runs: tuple[GlancedRun, ...]


def glance(database: Path, *, auth: AuthBackend | None = None, timeout: float = DEFAULT_TIMEOUT) -> Glance:
    """Return what a session says of itself, and its runs, the oldest first.

    Raises
    ------
    DatabaseNotFound, CorruptError, SchemaTooNewError, AccessDenied, BusyError
        If it cannot be read.
    """
    reading = Reading(database, auth=auth, timeout=timeout)
    with reading.snapshot():
        said: dict[str, str] = dict(reading.ask("identity"))
        rows = reading.runs(" ORDER BY time_start, place")
    runs = tuple(GlancedRun(summary(row), _tags(row["tags"])) for row in rows)
    return Glance(
        said.get(STORE_ID, f"run:{runs[0].summary.uid}" if runs else None),
        said.get("label"),
        _researcher(said.get("researcher")),
        said.get("description"),
        loaded(said.get("created_at"), "created_at of a session"),
        runs,
    )


def is_something_else(database: Path) -> bool:
    """Return whether a file is a database in good order, and no session."""
    owner = placed_in(database)
    backend = SQLiteBackend(database, read_only=True, auth=owner.auth(), resource=owner.resource, timeout=0.0)
    try:
        found = backend.fetch_all("SELECT name FROM sqlite_master WHERE type = 'table'")
    except HmpError:
        return False
    return not _TABLES & {name for (name,) in found}


def _tags(text: str | None) -> tuple[str, ...]:
    return tuple(str(each) for each in loaded(text, "tags of a sample") or ())


def _researcher(text: str | None) -> ResearcherInfo | None:
    said: Any = loaded(text, "researcher of a session")
    if not isinstance(said, dict) or not said.get("name"):
        return None
    about: dict[str, Any] = {each.name: said.get(each.name) for each in fields(ResearcherInfo)}
    return ResearcherInfo(**about)
