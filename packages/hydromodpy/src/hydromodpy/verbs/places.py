"""Where a verb looks for what a user names: the projects around the folder it was called in."""

from __future__ import annotations

import os
from pathlib import Path

from hmp_core.errors import NotFound, PathNotFound
from hmp_core.layout import project_root, projects, workspace_root
from hmp_core.paths import to_local


def projects_around(project: str | None) -> list[Path]:
    """Return the project that was named, else the one around here, else those of the workspace around here.

    Raises
    ------
    PathNotFound
        If none was named, and this is no workspace.
    """
    if project is not None:
        return [to_local(project)]
    start = here()
    inside = project_root(start)
    if inside is not None:
        return [inside]
    workspace = workspace_root(start)
    if workspace is None:
        message = f"{start} is not inside a workspace; go into one, or name a project with --project"
        raise PathNotFound(message, path=str(start))
    return projects(workspace)


def here() -> Path:
    """Return the current folder, or the workspace of the environment where that lies in none."""
    start = Path.cwd()
    elsewhere = os.environ.get("HMP_WORKSPACE")
    return to_local(elsewhere) if elsewhere and workspace_root(start) is None else start


def nothing(reference: str) -> NotFound:
    """Return the error of whoever looks where there is no project."""
    message = f"there is no project here to look for {reference!r} in"
    return NotFound(message, reference=reference, candidates=[])
