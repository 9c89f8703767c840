"""``hmp export``: the lineage of runs in formats that others read."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from hmp_catalog.verbs.words import PROJECT, in_words_of_the_line, reading
from hmp_core.cli.show import notice
from hmp_core.durable import write_atomic
from hmp_core.errors import HmpError
from hmp_core.paths import to_local

if TYPE_CHECKING:
    from hmp_catalog import SimulationCatalog
    from hydromodpy.exports.told import Told

_HOST = click.option("--host", is_flag=True, help="Name the machine they ran on.")
_OVERWRITE = click.option("--overwrite", is_flag=True, help="Replace a file that is there.")


@click.group()
def export() -> None:
    """Hand over the lineage of runs in formats that others read."""


@export.command()
@click.argument("references", nargs=-1, required=True)
@click.option("-o", "--output", default=None, help="The file to write; by default it is printed.")
@PROJECT
@_HOST
@_OVERWRITE
def prov(references: tuple[str, ...], output: str | None, project: str | None, *, host: bool, overwrite: bool) -> None:
    """Tell how runs came to be as W3C PROV-JSON."""
    from hydromodpy.exports.document import document_of, text
    from hydromodpy.exports.told import tell
    from hydromodpy.exports.writing import require_free

    with _asking(project) as catalog:
        if output is not None:
            require_free(to_local(output), overwrite=overwrite)
        stories = [tell(catalog[reference], host=host) for reference in references]
        told = text(document_of(stories))
        if output is None:
            sys.stdout.write(told)
        else:
            if not write_atomic(to_local(output), told.encode(), overwrite=overwrite):
                require_free(to_local(output), overwrite=overwrite)  # somebody was there meanwhile
            click.echo(output)
    _finish(*stories)


@export.command(name="ro-crate")
@click.argument("reference")
@click.option("-o", "--output", default=None, help="A folder, or a .zip file; by default one named after the run.")
@click.option("--license", default=None, help="Of the crate: an SPDX identifier as CC-BY-4.0, or an address.")
@click.option("--with-inputs", is_flag=True, help="Take the bytes of the inputs along.")
@PROJECT
@_HOST
@_OVERWRITE
def ro_crate(reference: str, output: str | None, project: str | None, *, host: bool, **said: Any) -> None:
    """Write a run, its files and how it came to be as a Workflow Run RO-Crate."""
    from hydromodpy.exports.crate import crate_of
    from hydromodpy.exports.told import tell

    with _asking(project) as catalog:
        told = tell(catalog[reference], host=host)
        click.echo(str(crate_of(told, output or f"{told.run.folder.name}.crate.zip", **said)))
    _finish(told)


@contextmanager
def _asking(project: str | None) -> Iterator[SimulationCatalog]:
    """Open the catalog that is meant; what goes wrong is said in the options of the command."""
    try:
        with reading(project) as catalog:
            yield catalog
    except HmpError as error:
        error.message = in_words_of_the_line(error.message, click.get_current_context().command)
        raise


def _finish(*stories: Told) -> None:
    """Say what the answer lacks."""
    lacks = dict.fromkeys(told.lacking for told in stories if told.lacking)
    for lack in lacks:
        notice(lack)
    if lacks:
        raise click.exceptions.Exit(1)
