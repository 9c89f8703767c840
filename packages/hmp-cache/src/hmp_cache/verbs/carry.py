"""``hmp data archive, import``: inputs in one file, carried from one workspace to another."""

from __future__ import annotations

import click

from hmp_cache.verbs.words import JSON, WORKSPACE, filters_of, opened, say, show_entries
from hmp_core.cli.show import emit, emit_record, notice


@click.command()
@click.argument("path", metavar="NAME.hmpdata")
@click.argument("conditions", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--current-only", is_flag=True, help="Without the bytes of former versions.")
@click.option("--overwrite", is_flag=True, help="Replace a file that is there.")
@WORKSPACE
@JSON
def archive(
    path: str,
    conditions: tuple[str, ...],
    workspace: str | None,
    current_only: bool,  # noqa: FBT001 - click passes flags by name
    overwrite: bool,  # noqa: FBT001
    as_json: bool,  # noqa: FBT001
) -> None:
    """Write the inputs that fit, with all that is known of them, to one file; exit 1 if something is lacking."""
    with opened(workspace) as data:
        told = data.archive(path, versions=not current_only, overwrite=overwrite, **filters_of(conditions))
        say(data)
    shown = told.as_dict()
    lacking = shown.pop("lacking")
    emit_record(shown | {"lacking": lacking if as_json else len(lacking)}, as_json=as_json)
    if not lacking:
        return
    if not as_json:
        notice(f"{len(lacking)} versions are not in it, because their files are not what was stored:")
        emit(lacking)
    raise click.exceptions.Exit(1)


@click.command("import")
@click.argument("path", metavar="NAME.hmpdata")
@WORKSPACE
@JSON
def import_(path: str, workspace: str | None, as_json: bool) -> None:  # noqa: FBT001
    """Take in the inputs of an archive, with their versions and how each was obtained; what is here stays."""
    with opened(workspace) as data:
        show_entries(data.import_archive(path), as_json=as_json)
