"""``hmp experiment templates``: the pipelines that are worth keeping."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from hmp_catalog.verbs.experiments.places import PROJECT, place
from hmp_catalog.verbs.words import form
from hmp_core.cli.show import emit, emit_record

if TYPE_CHECKING:
    from hmp_catalog.experiments.library import PipelineLibrary

_CATEGORY = click.option("-c", "--category", default=None, help="The category; needed where two have one of that name.")


def _library(project: str | None) -> PipelineLibrary:
    from hmp_catalog.experiments.library import PipelineLibrary

    return PipelineLibrary(place(project))


@click.group()
def templates() -> None:
    """Templates of pipelines, by category and name."""


@templates.command("ls")
@click.option("-c", "--category", default=None, help="Only of this one.")
@click.option("--tag", "tags", multiple=True, help="Only with this tag; of several, any.")
@PROJECT
@form
def _ls(project: str | None, form: str, *, category: str | None, tags: tuple[str, ...]) -> None:
    """List the templates by category and name, damaged ones too; exit 1 if there is one."""
    rows = _library(project).list_templates(category, tags or None)
    columns = ["category", "name", "description", "tags", "metrics", "modified_at", "damaged"]
    if form == "table":
        rows = [row | {"tags": ", ".join(row["tags"]), "modified_at": (row["modified_at"] or "")[:19]} for row in rows]
        columns = columns if any(row["damaged"] for row in rows) else columns[:-1]
    else:
        columns += ["notes", "created_at"]
    emit(rows, columns, form=form)
    if any(row["damaged"] for row in rows):
        raise click.exceptions.Exit(1)


@templates.command("show")
@click.argument("name")
@_CATEGORY
@PROJECT
@form
def _show(name: str, project: str | None, form: str, *, category: str | None) -> None:
    """Show what is known of a template, and its pipeline."""
    library = _library(project)
    found: dict[str, Any] = library.get_template_metadata(name, category)
    emit_record(found | {"pipeline": library.load_template(name, category)}, form=form)


@templates.command("rm")
@click.argument("name")
@_CATEGORY
@PROJECT
@form
def _rm(name: str, project: str | None, form: str, *, category: str | None) -> None:
    """Remove a template."""
    _library(project).delete_template(name, category)
    emit([{"removed": name}], form=form)


@templates.command("export")
@click.argument("name")
@click.argument("output", type=click.Path(dir_okay=False))
@_CATEGORY
@PROJECT
@form
def _export(name: str, output: str, project: str | None, form: str, *, category: str | None) -> None:
    """Write a template into one file that `hmp experiment templates import` verifies."""
    path = _library(project).export_template(name, output, category)
    emit([{"name": name, "path": str(path), "bytes": path.stat().st_size}], form=form)


@templates.command("import")
@click.argument("file", type=click.Path(dir_okay=False))
@click.option("-c", "--category", default=None, help="Where to put it; by default where it was.")
@click.option("--overwrite", is_flag=True, help="Replace the template of the same name.")
@PROJECT
@form
def _import(file: str, project: str | None, form: str, *, category: str | None, overwrite: bool) -> None:
    """Take a template from a file; nothing is written before all of it was verified."""
    folder = _library(project).import_template(file, category, overwrite=overwrite)
    emit([{"category": folder.parent.name, "name": folder.name, "path": str(folder)}], form=form)
