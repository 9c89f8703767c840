"""``hmp db refused``: the writes that the authority refused, as they are on record beside each database."""

from __future__ import annotations

from typing import Any

import click

from hmp_core.auth.refused import read, refusals
from hmp_core.cli.each import AS_JSON, WHERE, each
from hmp_core.databases import Database


@click.command()
@WHERE
@AS_JSON
def refused(path: str, as_json: bool) -> None:  # noqa: FBT001 - click passes flags by name
    """List the writes around PATH that were refused: when, who, what, oldest first."""
    each(path, _refused, ["at", "user", "host", "resource", "what", "path"], as_json=as_json)


def _refused(found: Database) -> list[dict[str, Any]]:
    found.authorize("read")
    kept = refusals(found.path)
    if found.component == "cache":  # with the cache of a workspace what concerned a database that was not there
        kept += read(found.path.parents[1] / ".hmp")
    return [one.as_dict() for one in sorted(kept, key=lambda one: one.at)]
