"""``hmp data check, verify, lock, rebuild``: looking after what there is."""

from __future__ import annotations

import click

from hmp_cache.verbs.words import (
    JSON,
    LISTED,
    WORKSPACE,
    filters_of,
    line,
    opened,
    place,
    say,
    show_entries,
)
from hmp_core.cli.show import emit, emit_record, notice
from hmp_core.errors import InvalidInput

_BAD = {"missing", "modified"}


@click.command()
@click.argument("conditions", nargs=-1, metavar="KEY=VALUE...")
@click.option("--fix", is_flag=True, help="Put in order what can be without losing anything.")
@click.option("--full", is_flag=True, help="Read every file.")
@click.option("--rejected", is_flag=True, help="List what was not accepted and is kept aside, and nothing else.")
@WORKSPACE
@JSON
def check(
    conditions: tuple[str, ...],
    fix: bool,  # noqa: FBT001
    full: bool,  # noqa: FBT001
    rejected: bool,  # noqa: FBT001
    workspace: str | None,
    as_json: bool,  # noqa: FBT001
) -> None:
    """Say whether each file is there and what was registered, and what lies there besides; exit 1 if one is not."""
    with opened(workspace) as data:
        if rejected:
            columns = ["rejected_at", "variable", "source", "path", "message"]
            told = [one.as_dict() for one in data.rejected()]
            emit(told, None if as_json else columns, as_json=as_json)
            return
        found = data.check(fix=fix, verify="full" if full else "quick", **filters_of(conditions))
        show_entries(found, as_json=as_json)
        for done in found.fixed:
            notice(done)
        strays = [] if conditions else [stray.as_dict() for stray in data.strays()]
        if strays and not as_json:
            click.echo("\nbelongs to no input")
        if strays:
            emit(strays, as_json=as_json)
        say(data)
    if any(entry.state in _BAD for entry in found):
        raise click.exceptions.Exit(1)


@click.command()
@click.argument("conditions", nargs=-1, metavar="KEY=VALUE...")
@click.option("--at-once", type=int, default=None, help="How many files are read at the same time.")
@WORKSPACE
@JSON
def verify(conditions: tuple[str, ...], at_once: int | None, workspace: str | None, as_json: bool) -> None:  # noqa: FBT001
    """Read every byte of every version; exit 1 if one is not what was registered."""
    with opened(workspace) as data:
        found = data.verify(at_once=at_once, progress=not as_json, **filters_of(conditions))
        if as_json:
            emit([entry.as_dict() | {"ok": entry.state not in _BAD} for entry in found], as_json=True)
        else:
            emit([line(entry) for entry in found], [*LISTED[:4], "sha256", "size", "state", "relative_path"])
        say(data)
    if any(entry.state in _BAD for entry in found):
        raise click.exceptions.Exit(1)


@click.command()
@click.argument("conditions", nargs=-1, metavar="KEY=VALUE...")
@click.option(
    "--check", "compare", is_flag=True, help="Compare the lock file with what there is; exit 1 if they differ."
)
@click.option("--file", "path", default=None, help="The lock file; by default hydromodpy.lock in the workspace.")
@WORKSPACE
@JSON
def lock(
    conditions: tuple[str, ...],
    compare: bool,  # noqa: FBT001
    path: str | None,
    workspace: str | None,
    as_json: bool,  # noqa: FBT001
) -> None:
    """Write down which inputs there are, in exactly which bytes."""
    if compare and conditions:
        message = "a lock file is compared with all that there is; leave the conditions out"
        raise InvalidInput(message)
    with opened(workspace) as data:
        if not compare:
            emit_record({"written": str(data.lock(path, **filters_of(conditions)))}, as_json=as_json)
            return
        found = data.lock_state(path)
        emit([each.as_dict() for each in found], ["kind", "id", "name", "locked", "found"], as_json=as_json)
        say(data)
    if found:
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
