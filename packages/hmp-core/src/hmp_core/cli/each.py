"""The same done to each database that is found: one in trouble keeps no other one out."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from hmp_core.cli.show import emit, notice
from hmp_core.databases import Database, databases
from hmp_core.durable import refusal
from hmp_core.errors import HmpError, NotFound
from hmp_core.paths import to_local

#: What a verb does to a database, and the rows that tell what came of it.
Act = Callable[[Database], list[dict[str, Any]]]

AS_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
WHERE = click.argument("path", default=".", required=False)


def seconds(context: click.Context, parameter: click.Parameter, value: float) -> float:
    """Return a time to wait as it was given: not negative, and with an end; `nan` is a number to click."""
    if not 0 <= value < math.inf:
        message = f"{value} is not a number of seconds, as 0 or 2.5"
        raise click.BadParameter(message, ctx=context, param=parameter)
    return value


NAMED = click.option(
    "--database",
    "name",
    metavar="NAME",
    help="Only this one: index, cache, catalog or experiments, the name of a project, or the path of a database.",
)


def named(path: str, name: str | None) -> list[Database]:
    """Return the databases found from ``path``, of which there need be no file; only those that go by ``name``.

    Raises
    ------
    NotFound
        If none of them goes by that name.
    PathNotFound
        If there is no such folder.
    """
    start = to_local(path)
    if start.suffix == ".duckdb":  # the path of a database says which one, also where it was lost
        return _matching(list(databases(str(start.parent))), str(start))
    found = list(databases(path))
    return found if name is None else _matching(found, name)


def there(database: Path) -> bool:
    """Return whether there is a file of that name, links followed; a folder that is shut does not say "no".

    Raises
    ------
    PermissionError
        If one may not look.
    """
    try:
        os.stat(database)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _matching(found: list[Database], name: str) -> list[Database]:
    chosen = [each for each in found if name in _names(each)]
    if not chosen and name.endswith(".duckdb"):
        path = os.path.realpath(to_local(name))
        chosen = [each for each in found if os.path.realpath(each.path) == path]
    if not chosen:
        candidates = [each.resource for each in found]
        message = f"{name!r} is none of the databases here: {', '.join(candidates)}"
        raise NotFound(message, reference=name, candidates=candidates)
    return chosen


def _names(found: Database) -> set[str]:
    project = {found.path.parent.name} if found.component == "catalog" else set()
    return {found.component, found.resource} | project


def each(path: str, act: Act, columns: list[str], *, as_json: bool, name: str | None = None) -> None:
    """Do ``act`` to each database found from ``path`` that goes by ``name`` and show what came of it.

    The first trouble gives the exit code; else 1 where a row ``lacks`` something.
    """
    rows: list[dict[str, Any]] = []
    code = 0
    for found in named(path, name):
        known = {"component": found.component, "path": str(found.path)}
        try:
            if not there(found.path):
                continue
            told = act(found)
        except (HmpError, OSError) as error:
            ours = error if isinstance(error, HmpError) else refusal(error)
            notice(f"{found.path}: {type(ours).__name__}: {ours}")
            told = [{"state": type(ours).__name__, "reason": type(ours).__name__}]
            code = code or ours.exit_code
        rows += [known | row for row in told]
        code = code or int(any(row.get("lacks") for row in told))
    emit(rows, columns, as_json=as_json)
    if code:
        raise click.exceptions.Exit(code)
