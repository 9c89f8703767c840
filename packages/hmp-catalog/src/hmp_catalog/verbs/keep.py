"""``hmp catalog rm, trash, restore, pin, purge, gc, vacuum, rebuild``: throwing away, and looking after."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from hmp_catalog.verbs.words import PROJECT, form, identity, opened, place, reading
from hmp_core.cli.show import emit, emit_record, notice

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hmp_catalog.privacy import Certificate
    from hmp_catalog.run import Run

_REASON = click.option("--reason", required=True, help="Why; it stays on record.")
_YES = click.option("-y", "--yes", is_flag=True, help="Do not ask.")


def _show(runs: Iterable[Run], form: str) -> None:
    columns = ["sim_id", "name", "solver", "status", "trashed_at"]
    rows = [{key: run.facts[key] for key in columns} | {"sim_id": identity(run.sim_id, form)} for run in runs]
    emit(rows, columns, form=form)


def _certified(done: list[Certificate], form: str) -> None:
    rows = [
        {
            "sim_id": identity(each.sim_id, form),
            "files": each.components["files"],
            "bytes": each.components["bytes"],
            "certificate": each.path,
        }
        for each in done
    ]
    emit(rows, ["sim_id", "files", "bytes", "certificate"], form=form)
    for what in sorted({what for each in done for what in each.remains}):
        notice(f"not removed: {what}")


def _ask(question: str, *, yes: bool) -> None:
    if not yes:
        click.confirm(question, abort=True, err=True)


@click.command()
@click.argument("references", nargs=-1, required=True)
@PROJECT
@form
def rm(references: tuple[str, ...], project: str | None, form: str) -> None:
    """Move simulations to the trash; `restore` brings them back, `purge` removes them for ever."""
    with opened(project) as catalog:
        _show([catalog.delete(reference) for reference in references], form)


@click.command()
@click.option("--empty", is_flag=True, help="Purge what is in the trash; what is pinned stays.")
@click.option("--older-than", type=click.FloatRange(min=0), default=None, help="Only what is in it for so many days.")
@_YES
@PROJECT
@form
def trash(project: str | None, form: str, **said: Any) -> None:
    """List the simulations in the trash, or empty it."""
    if not said["empty"]:
        with reading(project) as catalog:
            _show(catalog.trash, form)
        return
    with opened(project) as catalog:
        _ask(f"Remove for ever what is in the trash of {catalog.path}?", yes=said["yes"])
        _certified(catalog.empty_trash(older_than=said["older_than"]), form)


@click.command()
@click.argument("references", nargs=-1, required=True)
@PROJECT
@form
def restore(references: tuple[str, ...], project: str | None, form: str) -> None:
    """Bring simulations back from the trash."""
    with opened(project) as catalog:
        _show([catalog.restore(reference) for reference in references], form)


@click.command()
@click.argument("references", nargs=-1, required=True)
@click.option("--off", is_flag=True, help="Take the pin away.")
@PROJECT
@form
def pin(references: tuple[str, ...], project: str | None, form: str, *, off: bool) -> None:
    """Keep simulations from being thrown away or purged."""
    with opened(project) as catalog:
        runs = [catalog[reference].pin(on=not off) for reference in references]
        emit([{"sim_id": identity(run.sim_id, form), "name": run.name, "tags": run.tags} for run in runs], form=form)


@click.command()
@click.argument("references", nargs=-1, required=True)
@_REASON
@_YES
@PROJECT
@form
def purge(references: tuple[str, ...], project: str | None, form: str, *, reason: str, yes: bool) -> None:
    """Remove simulations for ever: files, rows, and what the log said of them; a certificate stays."""
    with opened(project) as catalog:
        _ask(f"Remove {', '.join(references)} of {catalog.path} for ever?", yes=yes)
        _certified([catalog.purge(reference, reason=reason) for reference in references], form)


@click.command()
@click.option("--apply", is_flag=True, help="Remove what is listed.")
@click.option("--older-than", type=click.FloatRange(min=0), default=30.0, show_default=True, help="Days.")
@PROJECT
@form
def gc(project: str | None, form: str, *, apply: bool, older_than: float) -> None:
    """List what dead processes left behind and nothing speaks of; with --apply remove it. What was sealed stays."""
    with opened(project) if apply else reading(project) as catalog:
        found = catalog.gc(older_than=older_than, apply=apply)
        emit([each.as_dict() for each in found], ["kind", "path", "size", "why", "sim_id"], form=form)
        if found and not apply:
            notice("nothing was removed; --apply removes what is listed")


@click.command()
@PROJECT
@form
def vacuum(project: str | None, form: str) -> None:
    """Write catalog.duckdb anew, without the room that deleted rows took; pack the files of observations."""
    with opened(project) as catalog:
        packed = catalog.observations.pack()
        done = catalog.vacuum()
        said = {"path": str(catalog.store.path), "before": done.before, "after": done.after}
        emit_record(said | {"observations_packed": packed}, form=form)


@click.command()
@PROJECT
@form
def rebuild(project: str | None, form: str) -> None:
    """Make catalog.duckdb anew from the run folders and the log."""
    from hmp_catalog import queries
    from hmp_catalog.door import locate
    from hmp_catalog.door import open as open_catalog
    from hmp_catalog.rebuilding import rebuild_catalog

    where = locate(place(project))
    outcome = rebuild_catalog(where)
    with open_catalog(where, read_only=True) as catalog:
        emit_record({"path": catalog.store.path, "simulations": len(catalog), "outcome": str(outcome)}, form=form)
        with catalog.reading() as backend:
            for reason in queries.reasons(backend):
                notice(reason)
    if outcome:
        raise click.exceptions.Exit(1)
