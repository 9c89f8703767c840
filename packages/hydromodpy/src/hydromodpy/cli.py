"""``hmp init``, ``hmp lineage`` and ``hmp demo``: the verbs that need every scope."""

from __future__ import annotations

import click

from hmp_core.layout import WORKSPACE_MARKER
from hmp_core.paths import to_local
from hydromodpy.verbs.lineage import lineage

__all__ = ["demo", "init", "lineage"]


@click.command()
@click.argument("path", default=".")
@click.option("--name", default=None, help="What people call it; the folder's name by default.")
@click.option(
    "--project", "project_name", default=None, help="Make this project in it, also in a workspace that is there."
)
@click.option("--force", is_flag=True, help="Also where there is something already.")
def init(path: str, name: str | None, project_name: str | None, force: bool) -> None:  # noqa: FBT001 - click passes flags by name
    """Make PATH a workspace, with its input cache, which the machine index hears of."""
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
@click.argument("path", default="hmp-demo")
@click.option("--repetitions", default=2000, show_default=True, help="Model runs of the calibration, at most.")
@click.option("--seed", default=1, show_default=True, help="Of the random numbers.")
def demo(path: str, repetitions: int, seed: int) -> None:
    """Calibrate GR4J on the Fulda catchment in the workspace PATH, from download to lineage."""
    from hydromodpy.doors import demo as run_demo

    result = run_demo(path, repetitions=repetitions, seed=seed, say=click.echo)
    click.echo(result.report())
