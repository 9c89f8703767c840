"""``hmp catalog``: the simulations of a project from the command line."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hmp_core.cli.show import emit, emit_record, notice
from hmp_core.errors import AccessDenied, InvalidInput, NotWritable, PathNotFound
from hmp_core.layout import project_root, workspace_root
from hmp_core.paths import to_local

if TYPE_CHECKING:
    from hmp_catalog.catalog import SimulationCatalog

_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
_PROJECT = click.option(
    "-p", "--project", default=None, help="The project folder; by default the one at or above here, or $HMP_PROJECT."
)
_LIMIT = click.option("--limit", type=click.IntRange(min=0), default=20, show_default=True, help="How many at most.")


@click.group()
def group() -> None:
    """The simulations of a project: list, show, find, tag."""


def _open(project: str | None) -> SimulationCatalog:
    from hmp_catalog.door import open as open_catalog

    return open_catalog(_where(project))


@contextlib.contextmanager
def _reading(project: str | None) -> Iterator[SimulationCatalog]:
    """Open a catalog to ask it, also where nothing can be written; say at the end what the answer lacks."""
    from hmp_catalog.door import open as open_catalog

    where = _where(project)
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


def _where(project: str | None) -> Path:
    if project or os.environ.get("HMP_PROJECT"):
        return to_local(project or os.environ["HMP_PROJECT"])
    here = Path.cwd()
    found = project_root(here) or workspace_root(here)
    if found is None:
        message = f"{here} is not inside a project; go into one, or name it with --project"
        raise PathNotFound(message, path=str(here))
    return found


@group.command()
@_PROJECT
@_LIMIT
@_JSON
def ls(project: str | None, limit: int, as_json: bool) -> None:  # noqa: FBT001 - click passes flags by name
    """List the simulations, newest first."""
    _list(project, {}, limit, as_json=as_json)


@group.command()
@click.argument("filters", nargs=-1, metavar="KEY=VALUE...")
@_PROJECT
@_LIMIT
@_JSON
def find(filters: tuple[str, ...], project: str | None, limit: int, as_json: bool) -> None:  # noqa: FBT001
    """List the simulations that fit, as solver=gr4j nse_gt=0.7 tags=paper param.x1_gt=300."""
    _list(project, _filters(filters), limit, as_json=as_json)


def _filters(words: tuple[str, ...]) -> dict[str, Any]:
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
    if key.startswith("param.") and value in {"true", "false"}:
        return value == "true"
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(value)
    return value


def _list(project: str | None, filters: dict[str, Any], limit: int, *, as_json: bool) -> None:
    from hmp_catalog import queries

    columns = ["sim_id", "name", "solver", "status", "created_at"]
    with _reading(project) as catalog:
        found = catalog.find(**filters)
        shown = [run.facts for run in found[:limit]]
        with catalog.reading() as backend:
            metrics = queries.wide(backend, "metrics", [facts["sim_id"] for facts in shown])
        rows = [{k: facts[k] for k in columns} | metrics.get(facts["sim_id"], {}) for facts in shown]
        columns += sorted({k for row in rows for k in row} - set(columns))
        if not as_json:
            rows = [row | {"sim_id": row["sim_id"][:8]} for row in rows]
        emit([_finite(row) for row in rows] if as_json else rows, columns, as_json=as_json)
        if len(found) > limit:
            notice(f"{len(found) - limit} more; use --limit")


def _finite(value: Any) -> Any:
    """Return what JSON can say: it knows neither NaN nor infinities."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


@group.command()
@click.argument("reference")
@_PROJECT
@_JSON
def show(reference: str, project: str | None, as_json: bool) -> None:  # noqa: FBT001
    """Show one simulation: REFERENCE is an id, a prefix of one, a name, @latest, @best:nse, ..."""
    with _reading(project) as catalog:
        run = catalog[reference]
        record = {k: v for k, v in run.summary().items() if v not in (None, "", [], {}) and k != "owner"}
        record["folder"] = str(run.folder)
        emit_record(_finite(record) if as_json else record, as_json=as_json)


@group.command()
@click.argument("metric")
@_PROJECT
@click.option("-n", "count", type=click.IntRange(min=1), default=5, show_default=True, help="How many.")
@_JSON
def best(metric: str, project: str | None, count: int, as_json: bool) -> None:  # noqa: FBT001
    """Rank the finished simulations by METRIC, best first."""
    with _reading(project) as catalog:
        ranked = catalog.find().ranked(metric)[:count]
        rows = [
            {"rank": n, "sim_id": run.sim_id if as_json else run.sim_id[:8], "name": run.name, metric: value}
            for n, (run, value) in enumerate(ranked, 1)
        ]
        emit([_finite(row) for row in rows] if as_json else rows, ["rank", "sim_id", "name", metric], as_json=as_json)


@group.command()
@click.argument("sql")
@_PROJECT
@_JSON
def query(sql: str, project: str | None, as_json: bool) -> None:  # noqa: FBT001
    """Ask a SQL question; the database is attached read-only."""
    with _reading(project) as catalog:
        table = catalog.sql(sql)
        emit([_finite(row) for row in table.to_pylist()], table.column_names, as_json=as_json)


@group.command()
@click.argument("reference")
@click.argument("tags", nargs=-1, required=True)
@_PROJECT
def tag(reference: str, tags: tuple[str, ...], project: str | None) -> None:
    """Add TAGS to a simulation; a leading minus takes one away: `hmp catalog tag REF -- -draft`."""
    with _open(project) as catalog:
        click.echo(", ".join(catalog[reference].tag(*tags).tags))


@group.command()
@click.argument("reference")
@click.argument("text")
@_PROJECT
def note(reference: str, text: str, project: str | None) -> None:
    """Set the note of a simulation."""
    with _open(project) as catalog:
        click.echo(repr(catalog[reference].note(text)))


@group.command()
@click.argument("reference")
@click.argument("name")
@_PROJECT
def rename(reference: str, name: str, project: str | None) -> None:
    """Give a simulation another name; its folder stays."""
    with _open(project) as catalog:
        click.echo(repr(catalog[reference].rename(name)))


@group.command()
@_PROJECT
@_JSON
def calibration(project: str | None, as_json: bool) -> None:  # noqa: FBT001
    """List the calibration sessions with their best trial."""
    with _reading(project) as catalog:
        columns = ["session_id", "method", "objective_name", "status", "n_iterations", "best_objective", "started_at"]
        emit([_finite(row) for row in catalog.calibrations()], columns, as_json=as_json)


@group.command()
@_PROJECT
def rebuild(project: str | None) -> None:
    """Make catalog.duckdb anew from the run folders and the log."""
    from hmp_catalog import queries
    from hmp_catalog.catalog import rebuild_catalog
    from hmp_catalog.door import locate
    from hmp_catalog.door import open as open_catalog

    where = locate(_where(project))
    outcome = rebuild_catalog(where)
    with open_catalog(where, read_only=True) as catalog:
        click.echo(f"{catalog.store.path}: {len(catalog)} simulations, {outcome}")
        with catalog.reading() as backend:
            for reason in queries.reasons(backend):
                notice(reason)
    if outcome:
        raise click.exceptions.Exit(1)
