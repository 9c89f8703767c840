"""The folder of a new run: what it is called, what would keep it from being made, and making it."""

from __future__ import annotations

import os
from pathlib import Path

from hmp_catalog.manifest import HOME
from hmp_core.durable import translated
from hmp_core.errors import InvalidInput, NotWritable, PathNotFound
from hmp_core.identity import slug


def folder_of(project: Path, name: str, sim_id: str) -> Path:
    """Return where a new run goes: people know its name, and the head of its id tells it from others of that name."""
    return project / HOME / f"{slug(name)}__{sim_id[:8]}"


def require_room(folder: Path, sim_id: str) -> None:
    """Return if the folder of a run can be made: asked before anybody is told of the run.

    Raises
    ------
    InvalidInput
        If it is there.
    PathNotFound
        If the project is not.
    NotWritable
        If nothing can be made in it.
    """
    if folder.exists():
        raise _taken(folder, sim_id)
    home, project = folder.parent, folder.parent.parent
    if not project.is_dir():
        message = f"{project}: no such folder; it was moved or removed, so nothing can be recorded there"
        raise PathNotFound(message, path=str(project))
    with translated(home):
        home.mkdir(exist_ok=True)
    if not os.access(home, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
        message = f"{home} cannot be written; check who owns the folder"
        raise NotWritable(message, path=str(home))


def make(folder: Path, sim_id: str) -> None:
    """Make the folder of a run.

    Raises
    ------
    InvalidInput
        If somebody made it meanwhile.
    StorageError, NotWritable
        If it cannot be made.
    """
    with translated(folder):
        try:
            folder.mkdir()
        except FileExistsError:
            raise _taken(folder, sim_id) from None


def _taken(folder: Path, sim_id: str) -> InvalidInput:
    message = f"{folder} exists already: another run has the id {sim_id}"
    return InvalidInput(message)
