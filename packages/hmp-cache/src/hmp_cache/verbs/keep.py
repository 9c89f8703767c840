"""``hmp data check, rebuild``: looking after what there is."""

from __future__ import annotations

import click

from hmp_cache.verbs.words import (
    JSON,
    WORKSPACE,
    filters_of,
    opened,
    place,
    say,
    show_entries,
)
from hmp_core.cli.show import emit_record


@click.command()
@click.argument("conditions", nargs=-1, metavar="KEY=VALUE...")
@WORKSPACE
@JSON
def check(conditions: tuple[str, ...], workspace: str | None, as_json: bool) -> None:  # noqa: FBT001
    """Say whether each file is there and what was registered; exit 1 if one is not."""
    with opened(workspace) as data:
        found = data.check(**filters_of(conditions))
        show_entries(found, as_json=as_json)
        say(data)
    if any(entry.state in {"missing", "modified"} for entry in found):
        raise click.exceptions.Exit(1)


@click.command()
@WORKSPACE
@JSON
def rebuild(workspace: str | None, as_json: bool) -> None:  # noqa: FBT001
    """Make the database anew from the sidecars and the log; exit 22 if something could not be read."""
    from hmp_cache.opening import rebuild_cache

    where = place(workspace)
    lacking = rebuild_cache(where)
    with opened(str(where)) as data:
        emit_record({"inputs": data.table.num_rows, "lacking": str(lacking)}, as_json=as_json)
    if lacking.rejected:
        raise click.exceptions.Exit(22)
