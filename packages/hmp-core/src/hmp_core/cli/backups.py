"""``hmp db backup | restore | vacuum``: copies of databases, and what is done with them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from hmp_core.cli.each import AS_JSON, NAMED, WHERE, each, named
from hmp_core.cli.show import emit, notice
from hmp_core.databases import Database, require_meant
from hmp_core.errors import CorruptError, HmpError, InvalidInput, SchemaTooNewError
from hmp_core.paths import to_local


@click.command()
@WHERE
@NAMED
@AS_JSON
def backup(path: str, name: str | None, as_json: bool) -> None:  # noqa: FBT001 - click passes flags by name
    """Copy each database around PATH to its backups, of which the newest five are kept."""
    _require_clear(path, name)
    each(path, _backed_up, ["component", "path", "state", "backup", "bytes"], as_json=as_json, name=name)


@click.command()
@WHERE
@NAMED
@click.option("--from", "source", metavar="FILE", help="Which backup; by default the newest.")
@click.option("--list", "listing", is_flag=True, help="Show the backups that there are, and do nothing.")
@AS_JSON
def restore(path: str, name: str | None, source: str | None, listing: bool, as_json: bool) -> None:  # noqa: FBT001
    """Bring one database around PATH back from a backup, with all that was logged since."""
    if listing:
        if source is not None:
            message = "--list shows the backups that there are, and --from restores one: give one of them"
            raise InvalidInput(message)
        _list(named(path, name), as_json=as_json)
        return
    _require_clear(path, name)
    found = named(path, name)
    row = _restored(_the_one(found), source)
    emit([row], ["component", "path", "state", "backup"], as_json=as_json)
    if row["lacks"]:
        raise click.exceptions.Exit(1)


@click.command()
@WHERE
@NAMED
@AS_JSON
def vacuum(path: str, name: str | None, as_json: bool) -> None:  # noqa: FBT001
    """Give back the room that deleted rows take in the databases around PATH."""
    _require_clear(path, name)
    each(path, _vacuumed, ["component", "path", "state", "before", "after"], as_json=as_json, name=name)


def _require_clear(path: str, name: str | None) -> None:
    """Return if it is clear which databases are meant: an index is not what an empty folder names."""
    if name != "index":
        require_meant(path)
    start = to_local(path)
    if name is None or start.suffix != ".duckdb":
        return
    if not {each.path for each in named(path, None)} & {each.path for each in named(str(start.parent), name)}:
        message = f"{start} is not the database {name!r}: give one of them, PATH or --database"
        raise InvalidInput(message)


def _backed_up(found: Database) -> list[dict[str, Any]]:
    from hmp_core.backups import take_backup

    lack = found.settle()
    taken = take_backup(found.path, auth=found.auth(), resource=found.resource)
    state = f"backed up; {lack}" if lack else "backed up"
    return [{"state": state, "backup": str(taken), "bytes": taken.stat().st_size}]


def _vacuumed(found: Database) -> list[dict[str, Any]]:
    from hmp_core.upkeep.vacuum import vacuum

    found.settle()
    done = vacuum(found.path, found.components(), auth=found.auth(), resource=found.resource)
    return [{"state": "vacuumed", "before": done.before, "after": done.after}]


def _list(found: list[Database], *, as_json: bool) -> None:
    """Show the backups of databases, those that were lost too; one that may not be read keeps no other one out."""
    rows: list[dict[str, Any]] = []
    code = 0
    for database in found:
        try:
            database.authorize("read", what="list its backups")
            rows += _listed(database)
        except HmpError as error:
            notice(f"{database.path}: {type(error).__name__}: {error}")
            code = code or error.exit_code
    emit(rows, ["component", "path", "taken", "reason", "bytes", "backup"], as_json=as_json)
    if code:
        raise click.exceptions.Exit(code)


def _listed(found: Database) -> list[dict[str, Any]]:
    from hmp_core.backups import list_backups

    found.authorize("read")
    known = {"component": found.component, "path": str(found.path)}
    return [
        known
        | {
            "taken": f"{backup.taken_at:%Y-%m-%d %H:%M:%S}",
            "reason": backup.reason,
            "bytes": backup.bytes,
            "backup": str(backup.path),
        }
        for backup in list_backups(found.path)
    ]


def _the_one(found: list[Database]) -> Database:
    """Return the database to restore: what is overwritten is named, not guessed."""
    from hmp_core.backups import list_backups

    there = [each for each in found if os.path.lexists(each.path) or list_backups(each.path)]
    candidates = there or found
    # a workspace that has lost all of its databases and backups does not mean the index by that
    if len(candidates) != 1 or (len(found) > 1 and candidates[0].component == "index"):
        listed = ", ".join(f"{each.resource} ({each.path})" for each in (candidates if len(candidates) > 1 else found))
        message = f"there are several databases here: {listed}; say which one to restore with --database"
        raise InvalidInput(message)
    return candidates[0]


def _restored(found: Database, source: str | None) -> dict[str, Any]:
    from hmp_core.upkeep.restore import restore

    backup = None if source is None else to_local(source)
    with _of_the_backup(found, backup):
        done = restore(
            found.path,
            found.components(),
            backup,
            fold=found.fold(),
            auth=found.auth(),
            resource=found.resource,
        )
    return {
        "component": found.component,
        "path": str(found.path),
        "state": str(done.notice),
        "backup": str(done.backup),
        "lacks": bool(done.notice),
    }


@contextlib.contextmanager
def _of_the_backup(found: Database, given: Path | None) -> Iterator[None]:
    """Let what is wrong with a backup name the backup, and not the copy of it that a restore works on."""
    from hmp_core.backups import list_backups

    backup = given or next((kept.path for kept in list_backups(found.path)), found.path)
    others = "choose another: `hmp db restore --list` shows those that there are"
    try:
        yield
    except CorruptError as error:
        if error.path != str(backup):
            raise
        message = f"the backup {backup} is damaged; {others}"
        raise CorruptError(message, path=str(backup)) from error
    except SchemaTooNewError as error:
        message = f"the backup {backup} was written by a newer hmp; upgrade this one, or {others}"
        raise SchemaTooNewError(message, path=str(backup), found=error.found, known=error.known) from error
