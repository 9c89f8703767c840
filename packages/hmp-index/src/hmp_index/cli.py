"""``hmp index``: the workspaces of this machine and what they hold, from the command line."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from hmp_core.cli.show import FORMS, emit, notice, plain
from hmp_core.errors import InvalidInput

if TYPE_CHECKING:
    from hmp_index.door import GlobalIndex
    from hmp_index.records import Hit, Notice, Workspace

_LIMIT = click.option("--limit", default=20, show_default=True, type=click.IntRange(min=1), help="How many at most.")

_WORKSPACE = ["id", "label", "status", "n_projects", "n_simulations", "latest_simulation_at", "path", "detail"]
_HIT = ["workspace", "project", "sim_id", "name", "solver", "status", "created_at"]
_PROJECT = ["id", "workspace", "slug", "name", "status", "n_simulations", "last_run_at", "unfolded", "path", "detail"]
_EVERY = [
    *("workspace", "workspace_id", "project", "project_name", "sim_id", "name", "kind", "solver", "status", "metrics"),
    *("parameters", "tags", "study_area_name", "scientific_objective", "description", "path", "folder", "created_at"),
    *("duration_s", "state", "age", "score"),
]
_HEALTH = ["workspace", "project", "status", "unfolded", "n_simulations", "taken_at", "detail"]
_PRUNED = ["kind", "workspace", "project", "n_simulations", "path"]
_SHORT = 8


def form(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Give a verb the options that say in which form it answers; it is called with ``form``, one of `FORMS`."""

    @click.option("--format", "form", type=click.Choice(FORMS), default="table", help="How to answer.")
    @click.option("--json", "as_json", is_flag=True, help="One JSON object a line: --format json.")
    @functools.wraps(verb)
    def asked(*, form: str, as_json: bool, **said: Any) -> Any:
        return verb(form="json" if as_json else form, **said)

    return asked


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


def _progress(sentence: str) -> None:
    """Say on standard error how far a long verb is, where somebody looks on."""
    if sys.stderr.isatty():
        click.echo(f"\r\x1b[2K{plain(sentence)[:_WIDTH]}", nl=False, err=True)


def _clear() -> None:
    """Take away what `_progress` said."""
    if sys.stderr.isatty():
        click.echo("\r\x1b[2K", nl=False, err=True)


_WIDTH = 100


def _show_workspaces(workspaces: Iterable[Workspace], form: str) -> None:
    rows = [asdict(one) for one in workspaces]
    if form == "table":
        rows = [row | {"id": row["id"][:_SHORT]} for row in rows]
    emit(rows, [*_WORKSPACE, *([] if form == "table" else ["copy_of", "registered_at"])], form=form)


@group.command()
@click.argument("path", default=".")
@click.option("--label", default=None, help="What to call it; by default its own name.")
@form
def register(path: str, label: str | None, form: str) -> None:
    """Put the workspace PATH (by default this folder) on the list."""
    with _index() as machine:
        _show_workspaces([machine.register(path, label)], form)


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
@form
def relocate(reference: str, path: str, form: str) -> None:
    """Say that the workspace REFERENCE lies at PATH now."""
    with _index() as machine:
        _show_workspaces([machine.relocate(reference, path)], form)


@group.command()
@form
def ls(form: str) -> None:
    """List the registered workspaces."""
    with _index() as machine:
        _show_workspaces(machine.workspaces(), form)


@group.command()
@form
def projects(form: str) -> None:
    """List the projects of the registered workspaces."""
    with _index() as machine:
        rows = [asdict(one) | {"id": one.id[:_SHORT] if form == "table" else one.id} for one in machine.projects()]
        emit(rows, [*_PROJECT, *([] if form == "table" else ["workspace_id", "taken_at"])], form=form)


@group.command()
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@form
def prune(dry_run: bool, form: str) -> None:  # noqa: FBT001 - click passes flags by name
    """Forget workspaces and projects that are not at their place any more."""
    from hmp_index.door import index

    with index() as machine:
        pruned = machine.prune(dry_run=dry_run)
    if form != "table":
        emit([asdict(one) for one in pruned], _PRUNED, form=form)
        return
    for one in pruned:
        what = f"{one.kind} {one.workspace}" + (f"/{one.project}" if one.project else "")
        click.echo(f"{'would forget' if dry_run else 'forgot'} {what}, {one.n_simulations} simulations ({one.path})")
    if not pruned:
        click.echo("nothing to forget: every workspace and project is at its place")


@group.command()
@click.option("--all", "everything", is_flag=True, help="Read also what did not change.")
def refresh(everything: bool) -> None:  # noqa: FBT001 - click passes flags by name
    """Read every project that changed, and look for workspaces that are gone from their place."""
    with _index() as machine:
        machine.refresh(only_stale=not everything, progress=_progress)
        _count(machine)


@group.command()
@click.argument("roots", nargs=-1, metavar="[WORKSPACE]...")
@click.option("--below", default=None, metavar="FOLDER", help="Look through this folder for workspaces.")
@click.option("--depth", default=None, type=click.IntRange(min=0), help="How many levels below it; by default 8.")
def rebuild(roots: tuple[str, ...], below: str | None, depth: int | None) -> None:
    """Make the database anew from workspaces.toml and the workspaces; put the named ones on the list first."""
    if depth is not None and below is None:
        message = "--depth says how far --below looks: name a folder with --below"
        raise click.UsageError(message)
    with _index() as machine:
        machine.rebuild(roots, below=below, **({} if depth is None else {"depth": depth}), progress=_progress)
        _count(machine)


def _count(machine: GlobalIndex) -> None:
    said = machine.notice
    workspaces = machine.workspaces()
    _clear()
    n_projects = sum(one.n_projects for one in workspaces)
    n_simulations = sum(one.n_simulations for one in workspaces)
    click.echo(f"{len(workspaces)} workspaces, {n_projects} projects, {n_simulations} simulations")
    machine.notice = said


@group.command()
@click.argument("filters", nargs=-1, metavar="KEY=VALUE...")
@click.option("--kind", type=click.Choice(["simulation", "acquisition", "experiment"]), help="Only these; as kind=...")
@_LIMIT
@form
def find(filters: tuple[str, ...], kind: str | None, limit: int, form: str) -> None:
    """List the simulations that fit, as solver=gr4j nse_gt=0.7 tags=paper param.x1_gt=300; the same key twice: any."""
    told = (*filters, f"kind={kind}") if kind else filters
    with _index() as machine:
        _show_hits(machine.find(**_filters(told)), limit, form)


def _filters(texts: Iterable[str]) -> dict[str, Any]:
    found: dict[str, list[Any]] = {}
    for text in texts:
        key, sign, value = text.partition("=")
        if not sign or not key:
            message = f"{text!r}: a filter is written KEY=VALUE, as solver=gr4j"
            raise InvalidInput(message)
        found.setdefault(key, []).append(_value(key, value))
    return {key: values[0] if len(values) == 1 else values for key, values in found.items()}


def _value(key: str, value: str) -> Any:
    """Return what was typed as `find` takes it: a number where it is one and the key compares no text."""
    from hmp_index.finding import is_text

    if key == "trashed" and value.lower() in _WHETHER:
        return _WHETHER[value.lower()]
    if is_text(key):
        return value
    if key.startswith("param.") and value in {"true", "false"}:
        return value == "true"
    with suppress(ValueError):
        return float(value)
    return value


_WHETHER = {"true": True, "false": False, "both": None}


@group.command()
@click.argument("words", nargs=-1, required=True)
@_LIMIT
@form
def search(words: tuple[str, ...], limit: int, form: str) -> None:
    """List the simulations that WORDS describe, best first."""
    with _index() as machine:
        # one more than is shown tells whether there are more: a broad word has a hundred thousand
        _show_hits(machine.search(" ".join(words), limit=limit + 1), limit, form, scored=True)


def _show_hits(hits: list[Hit], limit: int, form: str, *, scored: bool = False) -> None:
    shown = hits[:limit]
    columns = [*_HIT, *(["score"] if scored else [])]
    rows = [asdict(hit) for hit in shown]
    if form != "table":
        emit(rows, [*columns, *(name for name in _EVERY if name not in columns)], form=form)
    else:
        metrics = sorted({name for hit in shown for name in hit.metrics if "@" not in name and "." not in name})
        short = [row | {"sim_id": row["sim_id"][:_SHORT]} | row["metrics"] for row in rows]
        emit(short, [*columns, *metrics, "path"])
    if len(hits) > limit:
        notice("there are more; use --limit" if scored else f"{len(hits) - limit} more; use --limit")


@group.command()
@form
def health(form: str) -> None:
    """Say of each workspace and project whether it can be read, and how old its snapshot is."""
    with _index() as machine:
        rows: list[dict[str, Any]] = []
        for one in machine.health():
            facts = asdict(one.workspace) | {"workspace": one.workspace.label}
            rows.append(facts | {"unfolded": sum(project.unfolded for project in one.projects)})
            rows += [asdict(project) | {"project": project.slug} for project in one.projects]
        emit(rows, _HEALTH, form=form)


@group.command()
@click.argument("query")
@click.option("--live", is_flag=True, help="Ask the catalogs themselves, as all_simulations, all_metrics, ...")
@form
def sql(query: str, live: bool, form: str) -> None:  # noqa: FBT001 - click passes flags by name
    """Ask a SQL question about the snapshot: the tables workspaces, projects and simulations_cache."""
    with _index() as machine:
        table = machine.sql(query, live=live, progress=_progress)
        _clear()
        emit(table.to_pylist(), table.column_names, form=form)
