"""``hmp data ls, find, show, sources, failures``: what there is, and could be had."""

from __future__ import annotations

import click

from hmp_cache.verbs.words import (
    JSON,
    WORKSPACE,
    filters_of,
    given,
    line,
    opened,
    say,
    show_entries,
)
from hmp_core.cli.show import emit, emit_record, notice

#: What of an offer fits a line.
_OFFERED = ("source", "variable", "unit", "frequency", "country", "since", "description")


@click.command()
@click.option("--variable", default=None, help="Only this variable.")
@click.option("--source", default=None, help="Only this source.")
@click.option("--summary", is_flag=True, help="A line per variable and source.")
@WORKSPACE
@JSON
def ls(variable: str | None, source: str | None, summary: bool, workspace: str | None, as_json: bool) -> None:  # noqa: FBT001
    """List the inputs, newest first."""
    with opened(workspace) as data:
        if summary:
            table = data.summary()
            emit(table.to_pylist(), table.column_names, as_json=as_json)
        else:
            show_entries(data.find(**given({"variable": variable, "source": source})), as_json=as_json)
        say(data)


@click.command()
@click.argument("conditions", nargs=-1, metavar="KEY=VALUE...")
@WORKSPACE
@JSON
def find(conditions: tuple[str, ...], workspace: str | None, as_json: bool) -> None:  # noqa: FBT001
    """List the inputs that fit, as `variable=discharge size_gt=1000 period=2001-01-01/2001-12-31`."""
    with opened(workspace) as data:
        show_entries(data.find(**filters_of(conditions)), as_json=as_json)
        say(data)


@click.command()
@click.argument("reference")
@WORKSPACE
@JSON
def show(reference: str, workspace: str | None, as_json: bool) -> None:  # noqa: FBT001
    """Show one input: what it is, its versions, how each was obtained, and how it was validated."""
    with opened(workspace) as data:
        story = data.story(reference)
    entry, provenance, reports = story["entry"], story["provenance"], story["validation"]
    versions = [line(v) for v in story["versions"]]
    if as_json:
        emit_record(
            entry.as_dict() | {"versions": versions, "provenance": provenance, "validation": reports}, as_json=True
        )
        return
    emit_record(entry.as_dict())
    for title, rows, columns in (
        ("versions", versions, ("stored_at", "sha256", "size", "state", "relative_path")),
        ("provenance", provenance, ("recorded_at", "uri", "tool_name", "tool_version", "etag", "license")),
        ("validation", reports, ("validated_at", "schema_name", "passed", "errors_json")),
    ):
        click.echo(f"\n{title}")
        emit(rows, columns)


@click.command()
@click.option("--source", default=None, help="Only this source.")
@click.option("--variable", default=None, help="Only what is offered of this variable.")
@click.option("--record", is_flag=True, help="Put on record what they offer, where it has changed.")
@WORKSPACE
@JSON
def sources(source: str | None, variable: str | None, record: bool, workspace: str | None, as_json: bool) -> None:  # noqa: FBT001
    """List the sources that are installed, and what each offers, as it says itself."""
    with opened(workspace) as data:
        table = data.offers(source, variable, record=record)
        rows = table.to_pylist()
        if as_json:
            emit(rows, table.column_names, as_json=True)
        else:
            emit([row | {"since": (start := row["period_start"]) and start.date()} for row in rows], _OFFERED)
        broken = sorted({f"{row['source']}: {row['error']}" for row in rows if row["error"]})
        for trouble in broken:
            notice(trouble)
        say(data)
    if broken:
        raise click.exceptions.Exit(1)


@click.command()
@click.option("--limit", default=20, show_default=True, help="How many at most.")
@WORKSPACE
@JSON
def failures(limit: int, workspace: str | None, as_json: bool) -> None:  # noqa: FBT001
    """List the newest attempts to obtain an input that failed, and why."""
    with opened(workspace) as data:
        columns = ["occurred_at", "variable", "source", "error_type", "source_ref", "message"]
        emit(data.failures(limit).to_pylist(), columns, as_json=as_json)
        say(data)
