"""``hmp catalog stations, observations``: what was observed beside the simulations."""

from __future__ import annotations

import click

from hmp_catalog.verbs.words import PROJECT, form, reading
from hmp_core.cli.show import emit


@click.command()
@PROJECT
@form
def stations(project: str | None, form: str) -> None:
    """List the stations with the period of their observations."""
    with reading(project) as catalog:
        table = catalog.stations.table
        emit(table.to_pylist(), table.column_names, form=form)


@click.command()
@click.option("--variable", default=None, help="Only of this variable.")
@click.option("--station", default=None, help="Only of this station.")
@PROJECT
@form
def observations(variable: str | None, station: str | None, project: str | None, form: str) -> None:
    """List what was added to the observations, oldest first: later values win over earlier ones."""
    columns = ["addition_id", "station", "variable", "unit", "first_time", "last_time", "n_rows", "source", "path"]
    with reading(project) as catalog:
        emit(catalog.observations.additions(variable, station), columns, form=form)
