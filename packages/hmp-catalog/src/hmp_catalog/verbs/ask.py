"""``hmp catalog ls, find, show, best, rank, diff, query``: what there is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import click

from hmp_catalog.verbs.words import LIMIT, PROJECT, filters_of, form, identity, reading, show_runs
from hmp_core.cli.show import emit, emit_record


@click.command()
@PROJECT
@LIMIT
@form
def ls(project: str | None, limit: int, form: str) -> None:
    """List the simulations, newest first."""
    with reading(project) as catalog:
        show_runs(catalog, catalog.find(), limit, form=form)


@click.command()
@click.argument("filters", nargs=-1, metavar="KEY=VALUE...")
@PROJECT
@LIMIT
@form
def find(filters: tuple[str, ...], project: str | None, limit: int, form: str) -> None:
    """List the simulations that fit, as solver=gr4j nse_gt=0.7 tags=paper param.x1_gt=300."""
    with reading(project) as catalog:
        show_runs(catalog, catalog.find(**filters_of(filters)), limit, form=form)


@click.command()
@click.argument("reference")
@PROJECT
@form
def show(reference: str, project: str | None, form: str) -> None:
    """Show one simulation: REFERENCE is an id, a prefix of one, a name, @latest, @best:nse, ..."""
    with reading(project) as catalog:
        run = catalog[reference]
        record = {k: v for k, v in run.summary().items() if v not in (None, "", [], {}) and k != "owner"}
        emit_record(record | {"folder": str(run.folder)}, form=form)


def _which(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Give a verb the options that say which values of a metric count, and which of them are good."""
    order = "By the value itself; by default the best come first."
    verb = click.option("--ascending/--descending", default=None, help=order)(verb)
    verb = click.option("--variable", default=None, help="Only what was measured of it.")(verb)
    return click.option("--station", default=None, help="Only what was measured there.")(verb)


@click.command()
@click.argument("metric")
@PROJECT
@click.option("-n", "count", type=click.IntRange(min=1), default=5, show_default=True, help="How many.")
@_which
@form
def best(metric: str, project: str | None, count: int, form: str, **how: Any) -> None:
    """Show the best finished simulations by METRIC, best first."""
    _rank(metric, project, form, count=count, **how)


@click.command()
@click.argument("metric")
@PROJECT
@LIMIT
@_which
@form
def rank(metric: str, project: str | None, limit: int, form: str, **how: Any) -> None:
    """Rank the finished simulations by METRIC."""
    _rank(metric, project, form, count=limit, **how)


def _rank(metric: str, project: str | None, form: str, *, count: int, **how: Any) -> None:
    with reading(project) as catalog:
        ranked = catalog.find().ranked(metric, **how)
        rows = [
            {"rank": n, "sim_id": identity(run.sim_id, form), "name": run.name, metric: value}
            for n, (run, value) in enumerate(ranked[:count], 1)
        ]
        emit(rows, ["rank", "sim_id", "name", metric], form=form)


@click.command()
@click.argument("left")
@click.argument("right")
@PROJECT
@form
def diff(left: str, right: str, project: str | None, form: str) -> None:
    """Show in what two simulations differ; no line is no difference."""
    with reading(project) as catalog:
        found = catalog.diff(left, right)
        emit([asdict(one) for one in found], ["part", "key", "left", "right", "only"], form=form)


@click.command()
@click.argument("sql")
@PROJECT
@form
def query(sql: str, project: str | None, form: str) -> None:
    """Ask a SQL question; the database is attached read-only."""
    with reading(project) as catalog:
        table = catalog.sql(sql)
        emit(table.to_pylist(), table.column_names, form=form)
