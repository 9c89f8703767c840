"""``hmp catalog tag, note, rename``: what is said of a simulation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hmp_catalog.verbs.words import PROJECT, form, identity, opened
from hmp_core.cli.show import emit_record

if TYPE_CHECKING:
    from hmp_catalog.run import Run


def _say(run: Run, form: str) -> None:
    said = {"sim_id": identity(run.sim_id, form), "name": run.name, "tags": run.tags, "notes": run.facts["notes"]}
    emit_record(said, form=form)


@click.command()
@click.argument("reference")
@click.argument("tags", nargs=-1, required=True)
@PROJECT
@form
def tag(reference: str, tags: tuple[str, ...], project: str | None, form: str) -> None:
    """Add TAGS to a simulation; a leading minus takes one away: `hmp catalog tag REF -- -draft`."""
    with opened(project) as catalog:
        _say(catalog[reference].tag(*tags), form)


@click.command()
@click.argument("reference")
@click.argument("text")
@PROJECT
@form
def note(reference: str, text: str, project: str | None, form: str) -> None:
    """Set the note of a simulation."""
    with opened(project) as catalog:
        _say(catalog[reference].note(text), form)


@click.command()
@click.argument("reference")
@click.argument("name")
@PROJECT
@form
def rename(reference: str, name: str, project: str | None, form: str) -> None:
    """Give a simulation another name; its folder stays."""
    with opened(project) as catalog:
        _say(catalog[reference].rename(name), form)
