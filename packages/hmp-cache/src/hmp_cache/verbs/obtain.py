"""``hmp data add, fetch``: how inputs come in."""

from __future__ import annotations

from typing import Any

import click

from hmp_cache.verbs.words import (
    JSON,
    WORKSPACE,
    given,
    labels,
    opened,
    show_entries,
)


@click.command()
@click.argument("file")
@labels
@WORKSPACE
@JSON
def add(file: str, workspace: str | None, as_json: bool, **said: Any) -> None:  # noqa: FBT001 - click passes flags by name
    """Keep a copy of FILE as an input."""
    with opened(workspace) as data:
        show_entries([data.add(file, **given(said))], as_json=as_json)


@click.command()
@click.argument("uri", required=False)
@labels
@click.option("--refresh", is_flag=True, help="Ask the server whether there is something newer.")
@WORKSPACE
@JSON
def fetch(uri: str | None, workspace: str | None, refresh: bool, as_json: bool, **said: Any) -> None:  # noqa: FBT001
    """Keep what lies under URI as an input; without one, what --source has of --station in --period."""
    with opened(workspace) as data:
        show_entries([data.fetch(uri, refresh=refresh, **given(said))], as_json=as_json)
