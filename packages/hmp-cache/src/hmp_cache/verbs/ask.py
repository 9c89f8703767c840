"""``hmp data ls, find, show, sources, gaps, coverage, stations, failures``: what there is, and could be had."""

from __future__ import annotations

import shutil
import sys
from datetime import UTC, datetime
from typing import Any

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

_COVERED = (
    "variable", "source", "station_id", "name", "frequency", "unit", "state", "start", "end", "expires_at", "bbox",
    "entry_id",
)  # fmt: skip


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
@click.option("--variable", required=True, help="What it is, as 'discharge'.")
@click.option("--source", required=True, help="Whom a fetch would ask, as 'hubeau'.")
@click.option("--station", default=None, help="The station it is measured at.")
@click.option("--bbox", nargs=4, type=float, default=None, help="Extent: xmin ymin xmax ymax.")
@click.option("--crs", default=None, help="Coordinate system, as EPSG:2154.")
@click.option("--period", default=None, help="First and last moment, as 2001-01-01/2005-12-31; by default until now.")
@click.option("--frequency", default=None, help="As 1D.")
@WORKSPACE
@JSON
def gaps(workspace: str | None, as_json: bool, **said: Any) -> None:  # noqa: FBT001
    """List what is missing of a period: what a fetch would ask the source for."""
    with opened(workspace) as data:
        found = [{"start": start, "end": end} for start, end in data.gaps(**given(said))]
        if found or as_json:
            emit(found, ("start", "end"), as_json=as_json)
        else:
            click.echo("nothing is missing")
        say(data)


@click.command()
@click.argument("conditions", nargs=-1, metavar="KEY=VALUE...")
@click.option("--picture/--table", default=None, help="A bar for each series, or a line for each window.")
@WORKSPACE
@JSON
def coverage(conditions: tuple[str, ...], picture: bool | None, workspace: str | None, as_json: bool) -> None:  # noqa: FBT001
    """Show what is held, empty, missing and offered, as `variable=discharge period=2001-01-01/2020-12-31`.

    On a terminal as a picture, elsewhere as a table.
    """
    with opened(workspace) as data:
        filters = filters_of(conditions)
        rows = data.coverage(**filters).to_pylist()
        if as_json or not (sys.stdout.isatty() if picture is None else picture):
            emit(rows, _COVERED, as_json=as_json)
        else:
            _show(rows, filters.get("period"))
        say(data)


def _show(rows: list[dict[str, Any]], period: Any) -> None:
    from hmp_cache import picture, windows

    span = None if period is None else windows.asked(period, datetime.now(UTC).replace(tzinfo=None))
    width = shutil.get_terminal_size((100, 24)).columns
    axis = None if span is None or span[0] == windows.EVER else span
    for line_ in picture.draw(rows, width=width, marks=picture.marks_for(sys.stdout.encoding), period=axis) or [
        "nothing found"
    ]:
        click.echo(line_)


@click.command()
@click.argument("conditions", nargs=-1, metavar="KEY=VALUE...")
@WORKSPACE
@JSON
def stations(conditions: tuple[str, ...], workspace: str | None, as_json: bool) -> None:  # noqa: FBT001
    """List the stations that are known, as `source=hubeau bbox=-5,47,-1,49`."""
    with opened(workspace) as data:
        table = data.stations(**filters_of(conditions))
        emit(table.to_pylist(), table.column_names, as_json=as_json)
        say(data)


@click.command()
@click.option("--limit", default=20, show_default=True, help="How many at most.")
@WORKSPACE
@JSON
def failures(limit: int, workspace: str | None, as_json: bool) -> None:  # noqa: FBT001
    """List the newest attempts to obtain an input that failed, and why."""
    with opened(workspace) as data:
        columns = ["occurred_at", "variable", "source", "error_type", "next_retry", "source_ref", "message"]
        emit(data.failures(limit).to_pylist(), columns, as_json=as_json)
        say(data)
