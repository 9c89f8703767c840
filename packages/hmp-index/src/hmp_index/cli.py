"""``hmp index``: the workspaces of this machine and what they hold, from the command line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from hmp_core.cli.show import emit, notice
from hmp_core.errors import InvalidInput

if TYPE_CHECKING:
    from hmp_index.door import GlobalIndex
    from hmp_index.records import Hit, Notice, Workspace

_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
_LIMIT = click.option("--limit", default=20, show_default=True, type=click.IntRange(min=1), help="How many at most.")

_WORKSPACE = ["id", "label", "status", "n_projects", "n_simulations", "latest_simulation_at", "path", "detail"]
_HIT = ["workspace", "project", "sim_id", "name", "solver", "status", "created_at"]
_HEALTH = ["workspace", "project", "status", "unfolded", "n_simulations", "taken_at", "detail"]
_PRUNED = ["kind", "workspace", "project", "n_simulations", "path"]
_SHORT = 8


@click.group()
def group() -> None:
    """The machine index: find workspaces and simulations anywhere."""


@contextmanager
def _index() -> Iterator[GlobalIndex]:
    """Open the index; at the end say what the answer lacks, and leave with 1 if it had to leave something out."""
    from hmp_index.door import index

    with index() as machine:
        yield machine
        said = machine.notice
    _say(said)
    if said.skipped:
        raise click.exceptions.Exit(1)


def _say(said: Notice) -> None:
    for remark in (*said.remarks, *map(str, said.skipped)):
        notice(remark)


def _show_workspaces(workspaces: Iterable[Workspace], *, as_json: bool) -> None:
    rows = [asdict(one) for one in workspaces]
    if not as_json:
        rows = [row | {"id": row["id"][:_SHORT]} for row in rows]
    emit(rows, [*_WORKSPACE, *(["copy_of", "registered_at"] if as_json else [])], as_json=as_json)


@group.command()
@click.argument("path", default=".")
@click.option("--label", default=None, help="What to call it; by default its own name.")
@_JSON
def register(path: str, label: str | None, as_json: bool) -> None:  # noqa: FBT001 - click passes flags by name
    """Put the workspace PATH (by default this folder) on the list."""
    with _index() as machine:
        _show_workspaces([machine.register(path, label)], as_json=as_json)


@group.command()
@click.argument("reference")
def forget(reference: str) -> None:
    """Take a workspace off the list: REFERENCE is its id, the first digits of it, its label or its path."""
    with _index() as machine:
        gone = machine.forget(reference)
        click.echo(f"forgot {gone.label} ({gone.id}), {gone.n_simulations} simulations; {gone.path} is left as it is")


@group.command()
@click.argument("reference")
@click.argument("path")
@_JSON
def relocate(reference: str, path: str, as_json: bool) -> None:  # noqa: FBT001
    """Say that the workspace REFERENCE lies at PATH now."""
    with _index() as machine:
        _show_workspaces([machine.relocate(reference, path)], as_json=as_json)


@group.command()
@_JSON
def ls(as_json: bool) -> None:  # noqa: FBT001
    """List the registered workspaces."""
    with _index() as machine:
        _show_workspaces(machine.workspaces(), as_json=as_json)


@group.command()
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@_JSON
def prune(dry_run: bool, as_json: bool) -> None:  # noqa: FBT001
    """Forget workspaces and projects that are not at their place any more."""
    from hmp_index.door import index

    with index() as machine:
        pruned = machine.prune(dry_run=dry_run)
    if as_json:
        emit([asdict(one) for one in pruned], _PRUNED, as_json=True)
        return
    for one in pruned:
        what = f"{one.kind} {one.workspace}" + (f"/{one.project}" if one.project else "")
        click.echo(f"{'would forget' if dry_run else 'forgot'} {what}, {one.n_simulations} simulations ({one.path})")
    if not pruned:
        click.echo("nothing to forget: every workspace and project is at its place")


@group.command()
@click.option("--all", "everything", is_flag=True, help="Read also what did not change.")
def refresh(everything: bool) -> None:  # noqa: FBT001
    """Read every project that changed."""
    with _index() as machine:
        machine.refresh(only_stale=not everything)
        _count(machine)


@group.command()
def rebuild() -> None:
    """Make the database anew from workspaces.toml and the workspaces."""
    with _index() as machine:
        machine.rebuild()
        _count(machine)


def _count(machine: GlobalIndex) -> None:
    said = machine.notice
    workspaces = machine.workspaces()
    projects = sum(one.n_projects for one in workspaces)
    simulations = sum(one.n_simulations for one in workspaces)
    click.echo(f"{len(workspaces)} workspaces, {projects} projects, {simulations} simulations")
    machine.notice = said


@group.command()
@click.argument("filters", nargs=-1, metavar="KEY=VALUE...")
@_LIMIT
@_JSON
def find(filters: tuple[str, ...], limit: int, as_json: bool) -> None:  # noqa: FBT001
    """List the simulations that fit, as solver=gr4j nse_gt=0.7 tags=paper param.x1_gt=300; the same key twice: any."""
    with _index() as machine:
        _show_hits(machine.find(**_filters(filters)), limit, as_json=as_json)


def _filters(texts: Iterable[str]) -> dict[str, Any]:
    found: dict[str, list[str]] = {}
    for text in texts:
        key, sign, value = text.partition("=")
        if not sign or not key:
            message = f"{text!r}: a filter is written KEY=VALUE, as solver=gr4j"
            raise InvalidInput(message)
        found.setdefault(key, []).append(value)
    return {key: values[0] if len(values) == 1 else values for key, values in found.items()}


@group.command()
@click.argument("words", nargs=-1, required=True)
@_LIMIT
@_JSON
def search(words: tuple[str, ...], limit: int, as_json: bool) -> None:  # noqa: FBT001
    """List the simulations that WORDS describe, best first."""
    with _index() as machine:
        _show_hits(machine.search(" ".join(words), limit=None), limit, as_json=as_json, scored=True)


def _show_hits(hits: list[Hit], limit: int, *, as_json: bool, scored: bool = False) -> None:
    shown = hits[:limit]
    columns = [*_HIT, *(["score"] if scored else [])]
    rows = [asdict(hit) for hit in shown]
    if as_json:
        emit(rows, [*columns, *(name for name in rows[0] if name not in columns)] if rows else columns, as_json=True)
    else:
        metrics = sorted({name for hit in shown for name in hit.metrics if "@" not in name and "." not in name})
        short = [row | {"sim_id": row["sim_id"][:_SHORT]} | row["metrics"] for row in rows]
        emit(short, [*columns, *metrics, "path"])
    if len(hits) > limit:
        notice(f"{len(hits) - limit} more; use --limit")


@group.command()
@_JSON
def health(as_json: bool) -> None:  # noqa: FBT001
    """Say of each workspace and project whether it can be read, and how old its snapshot is."""
    with _index() as machine:
        rows: list[dict[str, Any]] = []
        for one in machine.health():
            facts = asdict(one.workspace) | {"workspace": one.workspace.label}
            rows.append(facts | {"unfolded": sum(project.unfolded for project in one.projects)})
            rows += [asdict(project) | {"project": project.slug} for project in one.projects]
        emit(rows, _HEALTH, as_json=as_json)


@group.command()
@click.argument("query")
@_JSON
def sql(query: str, as_json: bool) -> None:  # noqa: FBT001
    """Ask a SQL question about the snapshot: the tables workspaces, projects and simulations_cache."""
    with _index() as machine:
        table = machine.sql(query)
        emit(table.to_pylist(), table.column_names, as_json=as_json)
