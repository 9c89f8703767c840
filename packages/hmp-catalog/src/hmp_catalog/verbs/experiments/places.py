"""What the verbs of ``hmp experiment`` share: which folder they mean, and how a store is opened."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hmp_core.cli.show import notice
from hmp_core.errors import AccessDenied, DatabaseNotFound, NotWritable, PathNotFound
from hmp_core.layout import project_root, workspace_root
from hmp_core.paths import to_local

if TYPE_CHECKING:
    from hmp_catalog.experiments.store import WorkspaceStore

#: The database of a store, as `hmp_catalog.experiments.schema` says it.
_DATABASE = "store.duckdb"

PROJECT = click.option(
    "-p",
    "--project",
    default=None,
    help="The folder of the store; by default the project or workspace at or above here that has one, or $HMP_PROJECT.",
)


def place(project: str | None) -> Path:
    """Return the folder that a user named, or stands in.

    Raises
    ------
    PathNotFound
        If neither a store, a project nor a workspace is at or above here.
    """
    if project or os.environ.get("HMP_PROJECT"):
        return to_local(project or os.environ["HMP_PROJECT"])
    here = Path.cwd()
    roots = [root for root in (project_root(here), workspace_root(here)) if root]
    with_store = next((each for each in (here, *roots) if os.path.lexists(each / _DATABASE)), None)
    if found := with_store or next(iter(roots), None):
        return found
    message = f"{here} is not inside a project; go into one, or name the folder of the store with --project"
    raise PathNotFound(message, path=str(here))


def opened(project: str | None) -> WorkspaceStore:
    """Open the store that a user means, to change something; none is made."""
    from hmp_catalog.experiments.store import WorkspaceStore

    return WorkspaceStore(_there(project))


@contextlib.contextmanager
def reading(project: str | None) -> Iterator[WorkspaceStore]:
    """Open a store to ask it, also where nothing can be written; say at the end what the answer lacks."""
    from hmp_catalog.experiments.store import WorkspaceStore

    folder = _there(project)
    try:
        store = WorkspaceStore(folder)
    except (NotWritable, AccessDenied):
        store = WorkspaceStore(folder, read_only=True)
    with store:
        yield store
        lack = store.notice
    if lack:
        notice(lack)
        raise click.exceptions.Exit(1)


def _there(project: str | None) -> Path:
    folder = place(project)
    if not os.path.lexists(folder / _DATABASE):
        message = f"{folder} has no experiments store ({_DATABASE}); the first training run makes one"
        raise DatabaseNotFound(message, path=str(folder / _DATABASE))
    return folder


def brief(row: dict[str, Any], form: str) -> dict[str, Any]:
    """Return a row as a form shows it: people get the head of an id, which they can type."""
    if form != "table":
        return row
    return {key: value[:8] if key.endswith("_id") and _is_id(value) else value for key, value in row.items()}


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 36
