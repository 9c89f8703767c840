"""What the verbs of ``hmp acquisition`` share: which sessions they mean, and how a run is found among them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hmp_core.cli.show import notice
from hmp_core.errors import AmbiguousReference, HmpError, NotFound, PathNotFound
from hmp_core.layout import project_root, sessions, workspace_root
from hmp_core.paths import to_local

if TYPE_CHECKING:
    from hmp_catalog.acquisition import Catalog, Run

PROJECT = click.option(
    "-p",
    "--project",
    default=None,
    help="The project or workspace whose sessions are meant; by default the one at or above here, or $HMP_PROJECT.",
)
SESSIONS = click.argument("paths", metavar="[SESSION]...", nargs=-1)
SESSION = click.option("-s", "--session", default=None, help="The session file; by default every one of the project.")


def place(project: str | None) -> Path:
    """Return the folder that a user named, or the project or workspace that he stands in and that has sessions.

    Raises
    ------
    PathNotFound
        If there is none.
    """
    if project or os.environ.get("HMP_PROJECT"):
        return to_local(project or os.environ["HMP_PROJECT"])
    here = Path.cwd()
    roots = [root for root in (project_root(here), workspace_root(here)) if root]
    if found := next((root for root in roots if sessions(root)), next(iter(roots), None)):
        return found
    message = f"{here} is not inside a project; go into one, or name a session file"
    raise PathNotFound(message, path=str(here))


def meant(paths: Sequence[str], project: str | None) -> list[Path]:
    """Return the session files that are named, else those of the project.

    Raises
    ------
    PathNotFound
        If there are none.
    """
    if paths:
        return [to_local(path) for path in paths]
    from hmp_catalog.acquisition.glance import is_something_else

    folder = place(project)
    found = [path for path in sessions(folder) if not is_something_else(path)]
    if not found:
        message = f"{folder} has no sessions (acquisition/*.db); a RunWriter makes one"
        raise PathNotFound(message, path=str(folder))
    return found


def gathered(
    paths: Sequence[Path], act: Callable[[Path], Iterable[dict[str, Any]]]
) -> tuple[list[dict[str, Any]], int]:
    """Return what is said of all sessions, and the code to leave with: 1 if one could not be asked.

    That one is named, and hides nothing of the others.

    Raises
    ------
    HmpError
        If it is the only one.
    """
    rows: list[dict[str, Any]] = []
    code = 0
    for path in paths:
        try:
            rows += act(path)
        except HmpError as error:
            if len(paths) == 1:
                raise
            notice(str(error))
            code = 1
    return rows, code


def run_of(reference: str, session: str | None, project: str | None) -> Run:
    """Return the run that a uid, or the head of one, stands for, among the sessions that are meant.

    Raises
    ------
    NotFound
        If there is none.
    AmbiguousReference
        If there are several.
    """
    from hmp_catalog.acquisition import Catalog

    found: list[Run] = []
    paths = meant([session] if session else [], project)

    def look(path: Path) -> list[dict[str, Any]]:
        try:
            found.append(Catalog(path)[reference])
        except NotFound as error:
            if isinstance(error, AmbiguousReference) or len(paths) == 1:
                raise
        return []

    gathered(paths, look)
    if not found:
        message = f"no run {reference!r} in {len(paths)} sessions; `hmp acquisition ls` lists them"
        raise NotFound(message, reference=reference, candidates=[])
    if len(found) > 1:
        known = [f"{run.uid} in {run.path.name}" for run in found]
        message = f"several sessions have a run {reference!r}: {', '.join(known)}; name one with --session"
        raise AmbiguousReference(message, reference=reference, candidates=known)
    return found[0]


def running_in(paths: Sequence[Path]) -> Iterator[tuple[Catalog, str]]:
    """Yield the runs that go on."""
    from hmp_catalog.acquisition import Catalog

    for path in paths:
        catalog = Catalog(path)
        for run in catalog.find(status="running"):
            yield catalog, run.uid


def moment(seconds: float | None, form: str) -> Any:
    """Return a time as a form shows it: people get a date."""
    if seconds is None or form != "table":
        return seconds
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
