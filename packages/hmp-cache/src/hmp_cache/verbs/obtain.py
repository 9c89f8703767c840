"""``hmp data add, fetch``: how inputs come in."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from hmp_cache.errors import NotAllAdded
from hmp_cache.verbs.words import (
    JSON,
    WORKSPACE,
    given,
    labels,
    labels_of_some,
    opened,
    show_entries,
)
from hmp_core.cli.show import emit
from hmp_core.errors import InvalidInput
from hmp_core.paths import to_local

if TYPE_CHECKING:
    from hmp_cache.records import Fetched


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@labels
@click.option("--recursive", is_flag=True, help="Of a folder: every file in it and below, but hidden ones.")
@click.option("--at-once", default=None, type=int, help="How many tables are read at the same time.")
@WORKSPACE
@JSON
def add(
    files: tuple[str, ...],
    workspace: str | None,
    as_json: bool,  # noqa: FBT001 - click passes flags by name
    recursive: bool,  # noqa: FBT001
    at_once: int | None,
    **said: Any,
) -> None:
    """Keep a copy of each FILE as an input; what is said is said of all of them.

    One that is refused keeps no other out; it is named at the end, and the exit code is then 2.
    """
    with opened(workspace) as data:
        if len(files) == 1 and not recursive:
            show_entries([data.add(files[0], **given(said))], as_json=as_json)
            return
        try:
            show_entries(
                data.add_many(_below(files, recursive=recursive), at_once=at_once, **given(said)), as_json=as_json
            )
        except NotAllAdded as refusal:
            show_entries(refusal.entries, as_json=as_json)
            raise


def _below(files: tuple[str, ...], *, recursive: bool) -> Iterator[Path]:
    """Yield the files that are meant, those of a folder in the order of their names."""
    for path in map(to_local, files):
        if not (recursive and path.is_dir()):
            yield path
            continue
        for folder, inside, names in os.walk(path):
            inside[:] = sorted(name for name in inside if not name.startswith("."))
            yield from (Path(folder, name) for name in sorted(names) if not name.startswith("."))


@click.command()
@click.argument("uris", nargs=-1, metavar="[URI]...")
@labels_of_some
@click.option(
    "--from", "listed", type=click.File(), help="A file of requests, one JSON object (or URI) a line; - reads."
)
@click.option("--refresh", is_flag=True, help="Ask the server whether there is something newer.")
@click.option("--retry-now", is_flag=True, help="Ask also for what failed a short while ago.")
@click.option("--sha256", default=None, help="What the data are known to be; anything else is refused.")
@click.option("--full", is_flag=True, help="Read what is there, to see that it is unharmed.")
@click.option("--at-once", default=8, show_default=True, help="How many downloads at the same time.")
@WORKSPACE
@JSON
def fetch(
    uris: tuple[str, ...],
    listed: TextIO | None,
    workspace: str | None,
    as_json: bool,  # noqa: FBT001
    full: bool,  # noqa: FBT001
    at_once: int,
    **said: Any,
) -> None:
    """Keep what lies under each URI as an input; without one, what --source has of --station in --period.

    Of several, each is told as it is done, and one that fails stops no other; the exit code is then 1.
    """
    said = given(said) | ({"verify": "full"} if full else {})
    with opened(workspace) as data:
        if listed is None and len(uris) < 2:
            _require_variable(said)
            show_entries([data.fetch(*uris, progress=not as_json, **said)], as_json=as_json)
            return
        requests = [*uris, *_requests(listed)]
        found = data.fetch_many(requests, at_once=at_once, progress=not as_json, each=_teller(as_json=as_json), **said)
    if any(each.error for each in found):
        raise click.exceptions.Exit(1)


def _require_variable(said: Mapping[str, Any]) -> None:
    if "variable" not in said:
        message = "what it is was not said: give --variable, as --variable discharge"
        raise InvalidInput(message)


def _requests(listed: TextIO | None) -> Iterator[str | dict[str, Any]]:
    for number, text in enumerate(listed or (), 1):
        line = text.strip()
        if not line or line.startswith("#"):
            continue
        try:
            found = json.loads(line) if line[0] in '{["' else line
        except ValueError as error:
            message = f"line {number} of the requests is no JSON: {error}"
            raise InvalidInput(message) from error
        if not isinstance(found, (str, dict)):
            message = f"line {number} of the requests is {found!r}; expected a JSON object or a URI"
            raise InvalidInput(message)
        yield found


def _teller(*, as_json: bool) -> Callable[[Fetched], None]:
    def tell(each: Fetched) -> None:
        if as_json:
            emit([each.as_dict()], as_json=True)
        elif each.entry is not None:
            click.echo(f"{each.entry.id.hex[:8]}  {each.entry.relative_path}")
        else:
            click.echo(f"failed    {each.error}", err=True)

    return tell
