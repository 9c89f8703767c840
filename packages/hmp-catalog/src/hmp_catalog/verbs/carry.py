"""``hmp catalog pack, unpack, export, import``: where the files of a simulation lie, and from project to project."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from hmp_catalog.verbs.words import PROJECT, form, identity, opened
from hmp_core.cli.show import emit, notice

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


@click.command()
@click.argument("references", nargs=-1, required=True)
@click.option("-o", "--output", required=True, type=click.Path(dir_okay=False), help="The file to write.")
@click.option("--with-inputs", is_flag=True, help="Take the bytes of the inputs along.")
@click.option("--overwrite", is_flag=True, help="Replace a file that is there.")
@PROJECT
@form
def export(
    references: tuple[str, ...],
    output: str,
    project: str | None,
    form: str,
    *,
    with_inputs: bool,
    overwrite: bool,
) -> None:
    """Write finished simulations into one file that `hmp catalog import` reads; say its SHA-256."""
    with opened(project) as catalog:
        found = catalog.export_package(references, output, with_inputs=with_inputs, overwrite=overwrite)
    row = {"path": str(found.path), "simulations": len(found.runs), "inputs": len(found.inputs)}
    row |= {"bytes": found.path.stat().st_size, "sha256": found.sha256}
    emit([row], list(row), form=form)
    for each in found.content["missing_inputs"]:
        notice(f"{each['path']} is not what was consumed any more, and did not go along")


@click.command(name="import")
@click.argument("package", type=click.Path(dir_okay=False))
@click.option("--as", "as_project", default=None, help="The project of this workspace to import into.")
@click.option("--force", is_flag=True, help="Restore the files of simulations that are here already.")
@click.option("--rename", is_flag=True, help="Import under new ids.")
@click.option("--dry-run", is_flag=True, help="Only verify.")
@click.option("--sha256", default=None, help="What the file must have.")
@PROJECT
@form
def import_(project: str | None, package: str, form: str, **said: Any) -> None:
    """Import the simulations of a package, all or none; nothing is written before all of it was verified."""
    with opened(project) as catalog:
        found = catalog.import_package(package, **said)
        rows = [
            {
                "sim_id": identity(run.sim_id, form),
                "name": run.name,
                "project": run.project.name,
                "path": str(run.folder),
            }
            for run in found
        ]
        emit(rows, ["sim_id", "name", "project", "path"], form=form)


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
