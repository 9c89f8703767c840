"""``hmp init``, ``hmp lineage`` and ``hmp demo``: the verbs that need every scope."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hmp_core.cli.show import emit, notice
from hmp_core.errors import NotFound, PathNotFound
from hmp_core.layout import WORKSPACE_MARKER, project_root, projects, workspace_root
from hmp_core.paths import to_local

if TYPE_CHECKING:
    from hydromodpy.lineage import Graph


@click.command()
@click.argument("path", default=".")
@click.option("--name", default=None, help="What people call it; the folder's name by default.")
@click.option(
    "--project", "project_name", default=None, help="Make this project in it, also in a workspace that is there."
)
@click.option("--force", is_flag=True, help="Also where there is something already.")
def init(path: str, name: str | None, project_name: str | None, force: bool) -> None:  # noqa: FBT001 - click passes flags by name
    """Make PATH a workspace, with its input cache, and register it in the machine index."""
    from hydromodpy.workspace import init as init_workspace

    # a project may be added to a workspace that is there: nothing of it is taken over
    adding = project_name is not None and (to_local(path) / WORKSPACE_MARKER).is_file()
    with init_workspace(path, name=name, force=force or adding) as workspace:
        click.echo(f"{workspace.path}: workspace {workspace.name}")
        if project_name is not None:
            with workspace.project(project_name) as project:
                project.catalog.close()
                click.echo(f"{project.path}: project {project.name}")


@click.command()
@click.argument("reference", required=False)
@click.option("-p", "--project", default=None, help="The project; by default those of the workspace around here.")
@click.option("--json", "as_json", is_flag=True, help="The graph as JSON.")
@click.option("--dot", "as_dot", is_flag=True, help="The graph for Graphviz.")
@click.option("--stale", "only_stale", is_flag=True, help="List the runs whose inputs have changed since.")
def lineage(reference: str | None, project: str | None, as_json: bool, as_dot: bool, only_stale: bool) -> None:  # noqa: FBT001 - click passes flags by name
    """Draw how REFERENCE (a run, or an input) came to be and what came of it."""
    where = _projects(project)
    if only_stale:
        _stale(where, as_json=as_json)
        return
    if reference is None:
        message = "name a run or an input, or ask for --stale"
        raise click.UsageError(message)
    graph = _graph(reference, where)
    click.echo(graph.to_json() if as_json else graph.to_dot() if as_dot else graph.to_text())
    for place, reason in graph.skipped.items():
        notice(f"{place}: {reason}")
    if graph.skipped:
        raise click.exceptions.Exit(1)


def _projects(project: str | None) -> list[Path]:
    if project is not None:
        return [to_local(project)]
    here = _here()
    inside = project_root(here)
    if inside is not None:
        return [inside]
    workspace = workspace_root(here)
    if workspace is None:
        message = f"{here} is not inside a workspace; go into one, or name a project with --project"
        raise PathNotFound(message, path=str(here))
    return projects(workspace)


def _here() -> Path:
    """Return the current folder, or the workspace of the environment where that lies in none."""
    here = Path.cwd()
    elsewhere = os.environ.get("HMP_WORKSPACE")
    return to_local(elsewhere) if elsewhere and workspace_root(here) is None else here


def _graph(reference: str, where: list[Path]) -> Graph:
    from hmp_catalog.door import open as open_catalog
    from hydromodpy.lineage import of_run

    last: NotFound | None = None
    for project in where:
        with open_catalog(project) as catalog:
            try:
                graph = of_run(catalog[reference])
            except NotFound as error:
                last = error
                continue
            if catalog.notice:
                graph.skipped[str(project)] = f"the answer is not complete: {catalog.notice}"
            return graph
    workspace = workspace_root(where[0] if where else _here())
    if workspace is None:
        raise last or _nothing(reference)
    return _graph_of_input(reference, workspace, last)


def _graph_of_input(reference: str, workspace: Path, last: NotFound | None) -> Graph:
    from hmp_cache import InputsNamespace
    from hydromodpy.lineage import of_entry

    with InputsNamespace(workspace) as cache:
        try:
            return of_entry(cache[reference], cache)
        except NotFound as error:
            message = f"neither a run nor an input: {f'{last}; ' if last else ''}{error}"
            raise NotFound(message, reference=reference, candidates=error.candidates) from error


def _nothing(reference: str) -> NotFound:
    message = f"there is no project here to look for {reference!r} in"
    return NotFound(message, reference=reference, candidates=[])


def _stale(where: list[Path], *, as_json: bool) -> None:
    from hydromodpy.bridge import stale

    rows = []
    for project in where:
        for run, changed in stale(project, notice):
            why = "; ".join(f"{c.variable or c.path} is {c.state}" for c in changed)
            rows.append({"project": project.name, "sim_id": run.sim_id, "name": run.name, "because": why})
    emit(rows, ["project", "sim_id", "name", "because"], as_json=as_json)


@click.command()
@click.argument("path", default="hmp-demo")
@click.option("--repetitions", default=2000, show_default=True, help="Model runs of the calibration, at most.")
@click.option("--seed", default=1, show_default=True, help="Of the random numbers.")
def demo(path: str, repetitions: int, seed: int) -> None:
    """Calibrate GR4J on the Fulda catchment in the workspace PATH, from download to lineage."""
    from hydromodpy.doors import demo as run_demo

    result = run_demo(path, repetitions=repetitions, seed=seed, say=click.echo)
    click.echo(result.report())
