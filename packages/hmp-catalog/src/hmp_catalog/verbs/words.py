"""What the verbs of ``hmp catalog`` share: their options, the project they mean, and how simulations are listed."""

from __future__ import annotations

import contextlib
import functools
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hmp_core.cli.show import FORMS, emit, notice
from hmp_core.errors import AccessDenied, HmpError, InvalidInput, NotWritable, PathNotFound
from hmp_core.layout import project_root, workspace_root
from hmp_core.paths import to_local

if TYPE_CHECKING:
    from hmp_catalog.catalog import SimulationCatalog
    from hmp_catalog.group import SimulationGroup

PROJECT = click.option(
    "-p", "--project", default=None, help="The project folder; by default the one at or above here, or $HMP_PROJECT."
)
LIMIT = click.option("--limit", type=click.IntRange(min=0), default=20, show_default=True, help="How many at most.")


def form(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Give a verb the options that say in which form it answers; it is called with ``form``, one of `FORMS`."""

    @click.option("--format", "form", type=click.Choice(FORMS), default="table", help="How to answer.")
    @click.option("--json", "as_json", is_flag=True, help="One JSON object a line: --format json.")
    @functools.wraps(verb)
    def asked(*, form: str, as_json: bool, **said: Any) -> Any:
        try:
            return verb(form="json" if as_json else form, **said)
        except HmpError as error:
            error.message = in_words_of_the_line(error.message, click.get_current_context().command)
            raise

    return asked


#: An option of a Python verb, as errors name it: ``overwrite=True``, ``station=``.
_KEYWORD = re.compile(r"\b(?P<name>[a-z_]+)=(?:True\b|(?=[\s,;:.)]|$))")
#: What only one verb of the line can be told.
_ELSEWHERE = {name: f"`hmp catalog rank METRIC --{name}`" for name in ("ascending", "station", "variable")}


def in_words_of_the_line(message: str, command: click.Command) -> str:
    """Return what an error advises in the options of a command, where it names those of the verb in Python."""
    options = {each.name: " or ".join(each.opts + each.secondary_opts) for each in command.params}
    options = _ELSEWHERE | {name: said for name, said in options.items() if name and said.startswith("-")}
    return _KEYWORD.sub(lambda found: options.get(found["name"], found[0]), message)


def opened(project: str | None) -> SimulationCatalog:
    """Open the catalog that a user named, or stands in, to say something."""
    from hmp_catalog.door import open as open_catalog

    return open_catalog(place(project))


@contextlib.contextmanager
def reading(project: str | None) -> Iterator[SimulationCatalog]:
    """Open a catalog to ask it, also where nothing can be written; say at the end what the answer lacks."""
    from hmp_catalog.door import open as open_catalog

    where = place(project)
    try:
        catalog = open_catalog(where)
    except (NotWritable, AccessDenied):
        catalog = open_catalog(where, read_only=True)
    with catalog:
        yield catalog
        lack = catalog.notice
    if lack:
        notice(str(lack))
        raise click.exceptions.Exit(1)


def place(project: str | None) -> Path:
    """Return the project that a user named, or stands in."""
    if project or os.environ.get("HMP_PROJECT"):
        return to_local(project or os.environ["HMP_PROJECT"])
    here = Path.cwd()
    found = project_root(here) or workspace_root(here)
    if found is None:
        message = f"{here} is not inside a project; go into one, or name it with --project"
        raise PathNotFound(message, path=str(here))
    return found


def filters_of(words: Sequence[str]) -> dict[str, Any]:
    """Return filters as `find` takes them; a key that is said twice means any of these (of tags: all)."""
    found: dict[str, list[Any]] = {}
    for word in words:
        key, sign, value = word.partition("=")
        if not sign:
            message = f"{word!r}: a filter is written KEY=VALUE, as solver=gr4j"
            raise InvalidInput(message)
        found.setdefault(key, []).append(_value(key, value))
    return {key: values[0] if len(values) == 1 else values for key, values in found.items()}


def _value(key: str, value: str) -> Any:
    from hmp_catalog.criteria import is_text

    if is_text(key):
        return value
    if key == "trashed":
        return _whether(key, value)
    if key.startswith("param.") and value in {"true", "false"}:
        return value == "true"
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(value)
    return value


def _whether(key: str, value: str) -> bool | None:
    said = {"true": True, "false": False, "both": None}
    if value.lower() not in said:
        message = f"{key} is {value!r}, expected true (only the trash), false (all but the trash) or both"
        raise InvalidInput(message)
    return said[value.lower()]


def show_runs(catalog: SimulationCatalog, found: SimulationGroup, limit: int, *, form: str) -> None:
    """Print simulations, a line each, with their metrics; say how many more there are."""
    from hmp_catalog import queries

    columns = ["sim_id", "name", "solver", "status", "created_at"]
    shown = [run.facts for run in found[:limit]]
    with catalog.reading() as backend:
        metrics = queries.wide(backend, "metrics", [facts["sim_id"] for facts in shown])
    rows = [{k: facts[k] for k in columns} | metrics.get(facts["sim_id"], {}) for facts in shown]
    columns += sorted({k for row in rows for k in row} - set(columns))
    emit([row | {"sim_id": identity(row["sim_id"], form)} for row in rows], columns, form=form)
    if found.hint:
        notice(found.hint)
    if len(found) > limit:
        notice(f"{len(found) - limit} more; use --limit")


def identity(sim_id: str, form: str) -> str:
    """Return an id as a form writes it: people get its head, which they can type."""
    return sim_id[:8] if form == "table" else sim_id
