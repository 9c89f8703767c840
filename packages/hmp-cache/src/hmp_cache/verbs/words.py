"""What the verbs of ``hmp data`` share: their options, the workspace they mean, and how inputs are shown."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hmp_core.cli.show import emit, notice
from hmp_core.errors import InvalidInput, PathNotFound
from hmp_core.layout import workspace_root
from hmp_core.paths import to_local

if TYPE_CHECKING:
    from hmp_cache.inputs import InputsNamespace
    from hmp_cache.records import Entry

LISTED = ("id", "name", "variable", "source", "station_id", "first", "last", "unit", "size", "state", "relative_path")

#: What the group remembers for its verbs.
FROZEN = "hmp_cache.frozen"

JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
WORKSPACE = click.option(
    "-w", "--workspace", default=None, help="The workspace; by default the one at or above here, or $HMP_WORKSPACE."
)


def opened(workspace: str | None, *, read_only: bool = False) -> InputsNamespace:
    """Open the inputs of a workspace that a user named, or stands in."""
    from hmp_cache.door import open as open_inputs

    frozen = click.get_current_context().meta.get(FROZEN)
    return open_inputs(place(workspace), read_only=read_only, frozen=frozen)


def place(workspace: str | None) -> Path:
    """Return the workspace that a user named, or stands in."""
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


def labels(command: Any) -> Any:
    """Give a verb the options that say what an input is."""
    return _labelled(command, required=True)


def labels_of_some(command: Any) -> Any:
    """Give a verb the options that say what inputs are which may also say so themselves."""
    return _labelled(command, required=False)


def _labelled(command: Any, *, required: bool) -> Any:
    options = (
        click.option("--variable", required=required, default=None, help="What it is, as 'discharge'."),
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


def given(said: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that were given."""
    return {key: value for key, value in said.items() if value is not None}


def filters_of(conditions: tuple[str, ...]) -> dict[str, Any]:
    """Return what ``KEY=VALUE`` words ask for."""
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


def show_entries(found: list[Entry], *, as_json: bool) -> None:
    """Print inputs, a line each."""
    if as_json:
        emit([entry.as_dict() for entry in found], as_json=True)
    else:
        emit([line(entry) for entry in found], LISTED)


def line(entry: Entry) -> dict[str, Any]:
    """Return an entry as a line of a table: short id, and its period in two columns."""
    first, last = entry.period or (None, None)
    short = {"id": entry.id.hex[:8], "first": first and first.date(), "last": last and last.date()}
    return entry.as_dict() | short


def say(data: InputsNamespace) -> None:
    """Say what the answer that was just given lacks, and leave with 1 for it."""
    if data.notice:
        notice(str(data.notice))
        raise click.exceptions.Exit(1)
