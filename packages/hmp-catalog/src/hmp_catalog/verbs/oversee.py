"""``hmp catalog audit, privacy``: who did what, whether the record of it was changed, and what was removed for ever."""

from __future__ import annotations

import json

import click

from hmp_catalog.verbs.words import LIMIT, PROJECT, form, identity, reading
from hmp_core.cli.show import emit, emit_record
from hmp_core.errors import InvalidInput
from hmp_core.paths import to_local


@click.group()
def audit() -> None:
    """Who did what to the catalog."""


@audit.command("list")
@click.option("--of", "simulation", default=None, help="Only of this simulation, also by the id of a purged one.")
@click.option("--since", default=None, help="Only from this time on (UTC), as 2026-11-01.")
@LIMIT
@PROJECT
@form
def _list(project: str | None, limit: int, form: str, *, simulation: str | None, since: str | None) -> None:
    """List what was done, newest first."""
    columns = ["seq", "occurred_at", "actor", "event_type", "sim_id", "payload", "hostname"]
    with reading(project) as catalog:
        rows = catalog.audit.table(simulation=simulation, since=since, limit=limit).to_pylist()
        if form == "table":
            rows = [row | {"sim_id": (row["sim_id"] or "")[:8], "payload": _said(row["payload"])} for row in rows]
        emit(rows, columns if form == "table" else None, form=form)


def _said(payload: str | None) -> str:
    """Return what is worth a column of what was said."""
    said = json.loads(payload or "{}")
    return ", ".join(f"{k}={v}" for k, v in said.items() if k in {"name", "tag", "notes", "metric", "status", "doi"})


@audit.command("verify")
@click.option("--anchor", default=None, metavar="SEQ:HASH", help="The end of the chain as it was kept elsewhere.")
@PROJECT
@form
def _verify(project: str | None, form: str, *, anchor: str | None) -> None:
    """Say whether the trail was changed: rows, chain, log and anchor against one another; exit 1 if it was."""
    seq, _, hash_ = (anchor or "").partition(":")
    if anchor and not (seq.isdecimal() and hash_):
        message = f"--anchor is {anchor!r}, expected SEQ:HASH as `hmp catalog audit verify` says it"
        raise InvalidInput(message)
    with reading(project) as catalog:
        found = catalog.audit.verify({"seq": seq, "hash": hash_} if anchor else None)
        said = {"entries": found.entries, "head": f"{found.entries}:{found.head}", "anchor": found.anchor}
        emit_record(said | {"emptied": found.emptied, "problems": list(found.problems)}, form=form)
    if not found:
        raise click.exceptions.Exit(1)


@click.group()
def privacy() -> None:
    """What was removed for ever, and how that is certified."""


@privacy.command("list")
@PROJECT
@form
def _purged(project: str | None, form: str) -> None:
    """List the simulations that were purged, newest first."""
    with reading(project) as catalog:
        rows = [row | {"sim_id": identity(row["sim_id"], form)} for row in catalog.deletions()]
        columns = ["sim_id", "deleted_at", "deleted_by", "reason", "components", "sha256_snapshot"]
        emit(rows, columns[: 4 if form == "table" else None], form=form)


@privacy.command("verify")
@click.argument("certificate", type=click.Path(dir_okay=False))
@PROJECT
@form
def _certified(certificate: str, project: str | None, form: str) -> None:
    """Hold a certificate against the catalog: the run is gone, and what is said of that is true; exit 1 if not."""
    from hmp_catalog import privacy as room

    with reading(project) as catalog:
        found = room.verify(catalog, to_local(certificate))
        said = {"sim_id": found.certificate.sim_id, "timestamp_utc": found.certificate.timestamp_utc}
        said |= {"operator": found.certificate.operator, "reason": found.certificate.reason}
        emit_record(said | {"problems": list(found.problems), "remains": found.certificate.remains}, form=form)
    if not found:
        raise click.exceptions.Exit(1)
