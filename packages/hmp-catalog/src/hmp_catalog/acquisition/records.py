"""What goes through the doors of an acquisition store: plain and comparable."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

#: How a run may have ended; ``interrupted`` is said of one whose writer died.
SUCCESS, FAILED, ABORTED, INTERRUPTED = "success", "failed", "aborted", "interrupted"
ENDS = (SUCCESS, FAILED, ABORTED)
#: Shown of a run that has not ended, while its writer lives.
RUNNING = "running"


@dataclass
class SampleMetadata:
    """A thing that is measured.

    Parameters
    ----------
    name : str
        What it is called. Said otherwise than before, it is another sample of that name.
    formula, serial : str, optional
        Its chemical formula, and what is written on it.
    tags : list of str
        Labels.
    beamline_pos : str, optional
        Where it sits in the holder.
    extra : dict
        Whatever else is known, as JSON keeps it.
    id : int, optional
        Its number in a session, where it was read from one; it is never written into by a writer.
    """

    name: str
    formula: str | None = None
    serial: str | None = None
    tags: list[str] = field(default_factory=list)
    beamline_pos: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    id: int | None = None


@dataclass(frozen=True)
class RunSummary:
    """A run at a glance; times are seconds since 1970 (UTC)."""

    uid: str
    plan_name: str
    time_start: float
    sample_name: str | None = None
    time_stop: float | None = None
    exit_status: str | None = None
    scan_id: int | None = None
    num_events: int = 0
    operator: str | None = None


@dataclass(frozen=True)
class ResearcherInfo:
    """A person who measures; ``orcid`` as 0000-0002-1825-0097."""

    name: str
    email: str | None = None
    orcid: str | None = None
    affiliation: str | None = None


@dataclass(frozen=True)
class BeamtimeInfo:
    """A session in the master index; ``db_path`` is relative to the folder of the index."""

    id: int
    researcher_name: str
    label: str
    db_path: str
    time_start: float | None = None
    time_stop: float | None = None
    state: str = "ok"
