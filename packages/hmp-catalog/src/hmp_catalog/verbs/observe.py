"""``hmp catalog stations, observations, vocabulary``: what was observed, and what words mean."""

from __future__ import annotations

import click

from hmp_catalog.verbs.words import PROJECT, form, reading
from hmp_core.cli.show import emit

_OTHERS = ("variables", "solvers", "study_areas", "statuses", "flow_regimes", "mesh_topologies")


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


@click.command()
@click.argument("kind", type=click.Choice(["metrics", *_OTHERS]), default="metrics")
@PROJECT
@form
def vocabulary(kind: str, project: str | None, form: str) -> None:
    """List the words of a KIND with what they mean: metrics, variables, solvers, ..."""
    with reading(project) as catalog:
        table = catalog.vocabulary.table(kind)
        emit(table.to_pylist(), table.column_names, form=form)
