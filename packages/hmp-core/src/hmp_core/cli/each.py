"""The same done to each database that is found: one in trouble keeps no other one out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from hmp_core.cli.show import emit, notice
from hmp_core.databases import Database, databases
from hmp_core.errors import HmpError

#: What a verb does to a database, and the rows that tell what came of it.
Act = Callable[[Database], list[dict[str, Any]]]

AS_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
WHERE = click.argument("path", default=".", required=False)


def each(path: str, act: Act, columns: list[str], *, as_json: bool) -> None:
    """Do ``act`` to each database found from ``path`` and show what came of it.

    The first trouble gives the exit code; else 1 where a row ``lacks`` something.
    """
    rows: list[dict[str, Any]] = []
    code = 0
    for found in databases(path):
        if not found.path.exists():
            continue
        known = {"component": found.component, "path": str(found.path)}
        try:
            told = act(found)
        except HmpError as error:
            notice(f"{found.path}: {type(error).__name__}: {error}")
            told = [{"state": type(error).__name__, "reason": type(error).__name__}]
            code = code or error.exit_code
        rows += [known | row for row in told]
        code = code or int(any(row.get("lacks") for row in told))
    emit(rows, columns, as_json=as_json)
    if code:
        raise click.exceptions.Exit(code)
