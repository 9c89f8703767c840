"""``hmp data``: the inputs of a workspace from the command line."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hmp_core.cli.show import emit, emit_record, notice
from hmp_core.errors import InvalidInput, PathNotFound
from hmp_core.layout import workspace_root
from hmp_core.paths import to_local

if TYPE_CHECKING:
    from hmp_cache.inputs import InputsNamespace
    from hmp_cache.records import Entry

_LISTED = ("id", "name", "variable", "source", "station_id", "first", "last", "unit", "size", "state", "relative_path")

_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
_WORKSPACE = click.option(
    "-w", "--workspace", default=None, help="The workspace; by default the one at or above here, or $HMP_WORKSPACE."
)


@click.group()
def group() -> None:
    """The input cache of a workspace: add, fetch, find."""


def _open(workspace: str | None, *, read_only: bool = False) -> InputsNamespace:
    from hmp_cache.door import open as open_inputs

    return open_inputs(_where(workspace), read_only=read_only)


def _where(workspace: str | None) -> Path:
    if workspace:
        return to_local(workspace)
    here = Path.cwd()
    found = workspace_root(here)
    if found is not None:
        return found
    if os.environ.get("HMP_WORKSPACE"):
        return to_local(os.environ["HMP_WORKSPACE"])
    message = f"{here} is not inside a workspace; go into one, name it with --workspace, or set HMP_WORKSPACE"
    raise PathNotFound(message, path=str(here))


def _labels(command: Any) -> Any:
    """Give a verb the options that say what an input is."""
    options = (
        click.option("--variable", required=True, help="What it is, as 'discharge'."),
        click.option("--source", default=None, help="Where it comes from, as 'custom'."),
        click.option("--station", default=None, help="The station it was measured at."),
        click.option("--bbox", nargs=4, type=float, default=None, help="Extent: xmin ymin xmax ymax."),
        click.option("--crs", default=None, help="Coordinate system, as EPSG:2154."),
        click.option("--period", default=None, help="First and last moment, as 2001-01-01/2005-12-31."),
        click.option("--frequency", default=None, help="As 1D."),
        click.option("--unit", default=None, help="As 'm3 s-1'."),
        click.option("--license", default=None, help="Under which terms it may be used."),
        click.option("--name", default=None, help="What to call it."),
    )
    for option in reversed(options):
        command = option(command)
    return command


# ── in ───────────────────────────────────────────────────────────────────────────────────────────────


@group.command()
@click.argument("file")
@_labels
@_WORKSPACE
@_JSON
def add(file: str, workspace: str | None, as_json: bool, **said: Any) -> None:  # noqa: FBT001 - click passes flags by name
    """Keep a copy of FILE as an input."""
    with _open(workspace) as data:
        _show([data.add(file, **_given(said))], as_json=as_json)


@group.command()
@click.argument("uri")
@_labels
@click.option("--refresh", is_flag=True, help="Ask the server whether there is something newer.")
@_WORKSPACE
@_JSON
def fetch(uri: str, workspace: str | None, refresh: bool, as_json: bool, **said: Any) -> None:  # noqa: FBT001
    """Keep what lies under URI (http, https, file) as an input."""
    with _open(workspace) as data:
        _show([data.fetch(uri, refresh=refresh, **_given(said))], as_json=as_json)


def _given(said: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in said.items() if value is not None}


# ── out ──────────────────────────────────────────────────────────────────────────────────────────────


@group.command()
@click.option("--variable", default=None, help="Only this variable.")
@click.option("--source", default=None, help="Only this source.")
@click.option("--summary", is_flag=True, help="A line per variable and source.")
@_WORKSPACE
@_JSON
def ls(variable: str | None, source: str | None, summary: bool, workspace: str | None, as_json: bool) -> None:  # noqa: FBT001
    """List the inputs, newest first."""
    with _open(workspace) as data:
        if summary:
            table = data.summary()
            emit(table.to_pylist(), table.column_names, as_json=as_json)
        else:
            _show(data.find(**_given({"variable": variable, "source": source})), as_json=as_json)
        _say(data)


@group.command()
@click.argument("conditions", nargs=-1, metavar="KEY=VALUE...")
@_WORKSPACE
@_JSON
def find(conditions: tuple[str, ...], workspace: str | None, as_json: bool) -> None:  # noqa: FBT001
    """List the inputs that fit, as `variable=discharge size_gt=1000 period=2001-01-01/2001-12-31`."""
    with _open(workspace) as data:
        _show(data.find(**_filters(conditions)), as_json=as_json)
        _say(data)


def _filters(conditions: tuple[str, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for condition in conditions:
        key, equals, value = condition.partition("=")
        if not equals or not key:
            message = f"{condition!r} is no condition; expected KEY=VALUE, as variable=discharge"
            raise InvalidInput(message)
        found[key] = [float(v) if _is_number(v) else v for v in value.split(",")] if key == "bbox" else value
    return found


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


@group.command()
@click.argument("reference")
@_WORKSPACE
@_JSON
def show(reference: str, workspace: str | None, as_json: bool) -> None:  # noqa: FBT001
    """Show one input: what it is, its versions, how each was obtained, and how it was validated."""
    with _open(workspace) as data:
        story = data.story(reference)
    entry, provenance, reports = story["entry"], story["provenance"], story["validation"]
    versions = [_line(v) for v in story["versions"]]
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


@group.command()
@click.option("--limit", default=20, show_default=True, help="How many at most.")
@_WORKSPACE
@_JSON
def failures(limit: int, workspace: str | None, as_json: bool) -> None:  # noqa: FBT001
    """List the newest attempts to obtain an input that failed, and why."""
    with _open(workspace) as data:
        columns = ["occurred_at", "variable", "source", "error_type", "source_ref", "message"]
        emit(data.failures(limit).to_pylist(), columns, as_json=as_json)
        _say(data)


# ── looking after ────────────────────────────────────────────────────────────────────────────────────


@group.command()
@click.argument("conditions", nargs=-1, metavar="KEY=VALUE...")
@_WORKSPACE
@_JSON
def check(conditions: tuple[str, ...], workspace: str | None, as_json: bool) -> None:  # noqa: FBT001
    """Say whether each file is there and what was registered; exit 1 if one is not."""
    with _open(workspace) as data:
        found = data.check(**_filters(conditions))
        _show(found, as_json=as_json)
        _say(data)
    if any(entry.state in {"missing", "modified"} for entry in found):
        raise click.exceptions.Exit(1)


@group.command()
@_WORKSPACE
@_JSON
def rebuild(workspace: str | None, as_json: bool) -> None:  # noqa: FBT001
    """Make the database anew from the sidecars and the log; exit 22 if something could not be read."""
    from hmp_cache.opening import rebuild_cache

    where = _where(workspace)
    lacking = rebuild_cache(where)
    with _open(str(where)) as data:
        emit_record({"inputs": data.table.num_rows, "lacking": str(lacking)}, as_json=as_json)
    if lacking.rejected:
        raise click.exceptions.Exit(22)


def _show(found: list[Entry], *, as_json: bool) -> None:
    if as_json:
        emit([entry.as_dict() for entry in found], as_json=True)
    else:
        emit([_line(entry) for entry in found], _LISTED)


def _line(entry: Entry) -> dict[str, Any]:
    """Return an entry as a line of a table: short id, and its period in two columns."""
    first, last = entry.period or (None, None)
    short = {"id": entry.id.hex[:8], "first": first and first.date(), "last": last and last.date()}
    return entry.as_dict() | short


def _say(data: InputsNamespace) -> None:
    """Say what the answer that was just given lacks, and leave with 1 for it."""
    if data.notice:
        notice(str(data.notice))
        raise click.exceptions.Exit(1)
