"""``hmp catalog calibration``: what was tried to find parameters."""

from __future__ import annotations

import click

from hmp_catalog.verbs.words import PROJECT, form, reading
from hmp_core.cli.show import emit


@click.command()
@PROJECT
@form
def calibration(project: str | None, form: str) -> None:
    """List the calibration sessions with their best trial."""
    with reading(project) as catalog:
        columns = ["session_id", "method", "objective_name", "status", "n_iterations", "best_objective", "started_at"]
        emit(catalog.calibrations(), columns, form=form)
