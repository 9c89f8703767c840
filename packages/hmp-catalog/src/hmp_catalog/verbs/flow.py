"""``hmp catalog workflow list, show``: which workflows ran, and how far each came."""

from __future__ import annotations

import click

from hmp_catalog.verbs.words import LIMIT, PROJECT, form, reading
from hmp_core.cli.show import emit, notice


@click.group()
def workflow() -> None:
    """The runs of workflows and their steps."""


@workflow.command("list")
@click.argument("name", required=False)
@PROJECT
@LIMIT
@form
def _list(name: str | None, project: str | None, limit: int, form: str) -> None:
    """List the runs of workflows (of the one called NAME), newest first."""
    columns = ["run_id", "workflow", "status", "steps", "reused", "started_at", "duration_s", "error_message"]
    with reading(project) as catalog:
        runs = catalog.workflows(name)
        emit(runs[:limit], columns, form=form)
        if len(runs) > limit:
            notice(f"{len(runs) - limit} more; use --limit")


@workflow.command("show")
@click.argument("run")
@PROJECT
@form
def _show(run: str, project: str | None, form: str) -> None:
    """Show the steps of RUN: its id, the head of it, or the name of a workflow for its newest run."""
    columns = ["step_order", "step", "status", "reused", "duration_s", "artifacts", "error_message"]
    with reading(project) as catalog:
        steps = [
            step
            | {"reused": step["reused_step_id"] is not None}
            | {"artifacts": ", ".join(one["path"] for one in step["artifacts"])}
            for step in catalog.workflow_steps(run)
        ]
        emit(steps, columns, form=form)
