"""``hmp db``: every database that can be found from here, how current it is, folding and upgrading it."""

from __future__ import annotations

import contextlib
from typing import Any

import click

from hmp_core.cli.backups import backup, restore, vacuum
from hmp_core.cli.each import AS_JSON, WHERE, each, there
from hmp_core.cli.refused import refused
from hmp_core.cli.show import emit
from hmp_core.cli.unlock import unlock
from hmp_core.cli.verify import verify
from hmp_core.databases import Database, databases, read_lease, require_meant
from hmp_core.durable import refusal
from hmp_core.errors import HmpError


@click.group()
def group() -> None:
    """The databases: their state, upgrades, backups, checks and locks."""


group.add_command(verify)
group.add_command(unlock)


@group.command()
@WHERE
@AS_JSON
def status(path: str, as_json: bool) -> None:  # noqa: FBT001 - click passes flags by name
    """Show each database around PATH (a workspace or project) and the machine index."""
    rows = [_status(found) for found in databases(path)]
    emit(rows, ["component", "path", "version", "known", "state"], as_json=as_json)
    if any(row["state"] not in {"current", "absent"} for row in rows):
        raise click.exceptions.Exit(next((row["code"] for row in rows if "code" in row), 1))


@group.command()
@WHERE
@AS_JSON
def fold(path: str, as_json: bool) -> None:  # noqa: FBT001
    """Turn what is pending in the logs around PATH into rows now."""
    each(path, _folded, ["component", "path", "state"], as_json=as_json)


@group.command()
@WHERE
@AS_JSON
def waiting(path: str, as_json: bool) -> None:  # noqa: FBT001
    """List the events around PATH that could not become rows yet, and why."""
    each(path, _waiting, ["path", "kind", "reason", "id"], as_json=as_json)


@group.command()
@WHERE
@AS_JSON
def upgrade(path: str, as_json: bool) -> None:  # noqa: FBT001
    """Bring the databases around PATH up to date."""
    require_meant(path)
    each(path, _upgraded, ["component", "path", "version", "state"], as_json=as_json)


group.add_command(backup)
group.add_command(restore)
group.add_command(vacuum)


group.add_command(refused)


def _folded(found: Database) -> list[dict[str, Any]]:
    if (store := found.store()) is None:
        return []
    with contextlib.closing(store):
        outcome = store.fold()
    return [{"state": str(outcome), "lacks": bool(outcome)}]


def _waiting(found: Database) -> list[dict[str, Any]]:
    if (store := found.store()) is None:
        return []
    sql = (
        "SELECT json_extract_string(event, '$.kind') AS kind, reason, CAST(event_id AS VARCHAR) AS id FROM _hmp_waiting"
    )
    with contextlib.closing(store), store.reading() as backend:
        rows: list[dict[str, Any]] = backend.query(sql).to_pylist()
    return rows


def _upgraded(found: Database) -> list[dict[str, Any]]:
    from hmp_core.migrations.runner import migrate

    schema = found.components()
    versions = migrate(found.path, schema, auth=found.auth(), resource=found.resource, requested=True)
    return [{"version": versions[schema[-1][0]], "state": "current"}]


def _status(found: Database) -> dict[str, Any]:
    from hmp_core.migrations import ledger
    from hmp_core.migrations.plan import discover_migrations, pending

    row: dict[str, Any] = {"component": found.component, "path": str(found.path)}
    try:
        if not there(found.path):
            return row | {"state": "absent"}
        components = found.components()
        backend = found.backend()
        state = "current"
        with read_lease(backend):
            if strangers := ledger.strangers(backend):
                return row | {"state": f"a database of something else: it holds {', '.join(strangers[:5])}"}
            for component, folder in components:
                migrations = discover_migrations(folder)
                applied = ledger.applied(backend, component)
                row |= {"version": max(applied, default=0), "known": len(migrations)}
                if pending(migrations, applied, where=str(found.path)):
                    state = "pending: hmp db upgrade"
    except (HmpError, OSError) as error:
        ours = error if isinstance(error, HmpError) else refusal(error)
        state = f"{type(ours).__name__}: {ours}"
        row["code"] = ours.exit_code
    return row | {"state": state}
