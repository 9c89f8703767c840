"""``hmp catalog pack, unpack``: where the files of a simulation lie."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hmp_catalog.verbs.words import PROJECT, form, identity, opened
from hmp_core.cli.show import emit

if TYPE_CHECKING:
    from hmp_catalog.run import Run

_PACKED = ["sim_id", "name", "files", "bytes", "packed"]


@click.command()
@click.argument("references", nargs=-1, required=True)
@PROJECT
@form
def pack(references: tuple[str, ...], project: str | None, form: str) -> None:
    """Make one file of what each finished simulation left behind; everything reads as before."""
    with opened(project) as catalog:
        emit([_row(catalog[reference].pack(), form) for reference in references], _PACKED, form=form)


@click.command()
@click.argument("references", nargs=-1, required=True)
@PROJECT
@form
def unpack(references: tuple[str, ...], project: str | None, form: str) -> None:
    """Make loose files of packed simulations again."""
    with opened(project) as catalog:
        emit([_row(catalog[reference].unpack(), form) for reference in references], _PACKED, form=form)


def _row(run: Run, form: str) -> dict[str, object]:
    from hmp_catalog import packs

    files = run.files()
    return {
        "sim_id": identity(run.sim_id, form),
        "name": run.name,
        "files": len(files),
        "bytes": sum(int(file["size"]) for file in files),
        "packed": (run.folder / packs.NAME).exists(),
    }
