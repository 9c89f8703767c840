"""``hmp catalog rebuild``: looking after what there is."""

from __future__ import annotations

import click

from hmp_catalog.verbs.words import PROJECT, form, place
from hmp_core.cli.show import emit_record, notice


@click.command()
@PROJECT
@form
def rebuild(project: str | None, form: str) -> None:
    """Make catalog.duckdb anew from the run folders and the log."""
    from hmp_catalog import queries
    from hmp_catalog.catalog import rebuild_catalog
    from hmp_catalog.door import locate
    from hmp_catalog.door import open as open_catalog

    where = locate(place(project))
    outcome = rebuild_catalog(where)
    with open_catalog(where, read_only=True) as catalog:
        emit_record({"path": catalog.store.path, "simulations": len(catalog), "outcome": str(outcome)}, form=form)
        with catalog.reading() as backend:
            for reason in queries.reasons(backend):
                notice(reason)
    if outcome:
        raise click.exceptions.Exit(1)
