"""``hmp db unlock``: who holds the databases, and taking one from a holder that cannot be asked any more."""

from __future__ import annotations

from typing import Any

import click

from hmp_core.cli.each import AS_JSON, WHERE, each
from hmp_core.databases import Database, require_meant


@click.command()
@WHERE
@click.option("--force", is_flag=True, help="Displace a holder of whom this machine cannot know whether it lives.")
@AS_JSON
def unlock(path: str, force: bool, as_json: bool) -> None:  # noqa: FBT001 - click passes flags by name
    """Say who holds the databases around PATH; with --force displace one who may have ended."""
    if force:
        require_meant(path)

    def unlocked(found: Database) -> list[dict[str, Any]]:
        from hmp_core.upkeep.unlock import unlock as free

        return [{"state": free(found.path, found.fold(), force=force, auth=found.auth(), resource=found.resource)}]

    each(path, unlocked, ["component", "path", "state"], as_json=as_json)
