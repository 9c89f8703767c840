"""What goes through the door of the index: plain, frozen, comparable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Workspace:
    """A registered workspace, as it was last looked at."""

    #: its id in this index: the one it carries, unless it is a copy
    id: str
    path: Path
    label: str
    #: "ok", "unreachable" or "corrupt"; its projects have a status each
    status: str
    #: why, or what else there is to know
    detail: str = ""
    #: the id that it carries, where it is a copy of another registered workspace
    copy_of: str | None = None
    #: UTC, without a zone
    registered_at: datetime | None = None
    last_scanned_at: datetime | None = None
    n_projects: int = 0
    #: projects whose catalog could not be read
    n_projects_not_ok: int = 0
    n_simulations: int = 0
    latest_simulation_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Project:
    """A project of a registered workspace, as it was last looked at."""

    id: str
    workspace_id: str
    #: the label of its workspace
    workspace: str
    #: the name of its folder, unique in the workspace
    slug: str
    name: str
    path: Path
    #: "ok", "busy", "unreachable", "corrupt" or "schema_mismatch"
    status: str
    detail: str = ""
    #: events in its log that are not in its snapshot
    unfolded: int = 0
    n_simulations: int = 0
    last_run_at: datetime | None = None
    #: when its snapshot was taken (UTC, without a zone); None if there is none
    taken_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """A workspace with its projects: what can be read, what cannot, and why."""

    workspace: Workspace
    projects: tuple[Project, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether everything in it could be read."""
        return self.workspace.status == "ok" and all(p.status == "ok" and not p.unfolded for p in self.projects)


@dataclass(frozen=True, slots=True)
class Hit:
    """A simulation somewhere on this machine, as its project last described it."""

    #: the label of the workspace
    workspace: str
    workspace_id: str
    #: the name of the project folder
    project: str
    #: what people call the project
    project_name: str
    sim_id: str
    name: str | None
    #: "simulation", "acquisition" or "experiment"
    kind: str
    solver: str | None
    status: str | None
    #: name (``name@station`` off the outlet) -> value
    metrics: dict[str, float | None]
    #: name (``name::zone``) -> value
    parameters: dict[str, Any]
    tags: tuple[str, ...]
    study_area_name: str | None
    scientific_objective: str | None
    description: str | None
    #: the folder of the project
    path: Path
    #: the folder of the simulation, relative to the workspace, if the project says which
    folder: str | None
    created_at: datetime | None
    duration_s: float | None
    #: "ok", or why the snapshot could not be brought up to date: "stale", "busy", "unreachable", ...
    state: str
    #: seconds by which the snapshot may be behind; 0.0 where the project was found unchanged just now
    age: float
    #: how well it answers a search; None for `find`
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Pruned:
    """What `prune` took off the index, or would."""

    #: "workspace" or "project"
    kind: str
    #: the label of the workspace
    workspace: str
    #: the name of the project folder; empty for a workspace
    project: str
    path: Path
    #: simulations whose snapshot goes with it
    n_simulations: int


@dataclass(frozen=True, slots=True)
class Skipped:
    """A project, or a workspace, whose latest state is not in an answer."""

    workspace: str
    #: the name of the project folder; empty for a whole workspace
    project: str
    path: Path
    status: str
    detail: str = ""
    unfolded: int = 0
    #: of when the snapshot is that the answer used; None if there is none
    taken_at: datetime | None = None

    def __str__(self) -> str:
        where = f"{self.workspace}/{self.project}" if self.project else self.workspace
        unfolded = f" unfolded={self.unfolded}" if self.unfolded else ""
        since = f"snapshot of {self.taken_at:%Y-%m-%d %H:%M} UTC" if self.taken_at else "no snapshot"
        why = f": {self.detail}" if self.detail else ""
        return f"{where} {self.status}{unfolded} ({since}){why}"


@dataclass(frozen=True, slots=True)
class Notice:
    """What the last answer lacks, and what happened on the way; false when there is nothing to say."""

    skipped: Sequence[Skipped] = ()
    remarks: Sequence[str] = field(default=())

    @property
    def unfolded(self) -> int:
        """How many logged events are not in the answer."""
        return sum(one.unfolded for one in self.skipped)

    def __bool__(self) -> bool:
        return bool(self.skipped or self.remarks)

    def __str__(self) -> str:
        lines = [*self.remarks, *(str(one) for one in self.skipped)]
        return "\n".join(lines) if lines else "complete"
