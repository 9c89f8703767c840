"""``hmp db``: every database that can be found from here, how current it is, folding and upgrading it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hmp_core.cli.show import emit, notice
from hmp_core.errors import HmpError, MissingPart, NotWritable, PathNotFound
from hmp_core.layout import (
    anchor,
    cache_path,
    catalog_path,
    index_path,
    project_root,
    projects,
    workspace_root,
)
from hmp_core.paths import to_local

if TYPE_CHECKING:
    from hmp_core.backends.duckdb import DuckDBBackend
    from hmp_core.events.fold import Fold
    from hmp_core.events.store import EventStore

_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
_WHERE = click.argument("path", default=".", required=False)


@dataclass(frozen=True, slots=True)
class _Found:
    component: str
    path: Path


@click.group()
def group() -> None:
    """The databases: status, fold, waiting, upgrade."""


@group.command()
@_WHERE
@_JSON
def status(path: str, as_json: bool) -> None:  # noqa: FBT001 - click passes flags by name
    """Show each database below PATH (a workspace or project) and the machine index."""
    rows = [_status(found) for found in _databases(path)]
    emit(rows, ["component", "path", "version", "known", "state"], as_json=as_json)
    if any(row["state"] not in {"current", "absent"} for row in rows):
        raise click.exceptions.Exit(1)


@group.command()
@_WHERE
@_JSON
def fold(path: str, as_json: bool) -> None:  # noqa: FBT001
    """Turn what is pending in the logs below PATH into rows now."""
    _report(path, _folded, ["component", "path", "state"], as_json=as_json)


@group.command()
@_WHERE
@_JSON
def waiting(path: str, as_json: bool) -> None:  # noqa: FBT001
    """List the events below PATH that could not become rows yet, and why."""
    _report(path, _waiting, ["path", "kind", "reason", "id"], as_json=as_json)


@group.command()
@_WHERE
@_JSON
def upgrade(path: str, as_json: bool) -> None:  # noqa: FBT001
    """Bring the databases below PATH up to date."""
    _report(path, _upgraded, ["component", "path", "version", "state"], as_json=as_json)


_Act = Callable[["_Found"], list[dict[str, Any]]]


def _report(path: str, act: _Act, columns: list[str], *, as_json: bool) -> None:
    """Do the same to each database that is there and show what came of it.

    One in trouble keeps no other one out; the first trouble gives the exit code, as does an answer that is not whole.
    """
    rows: list[dict[str, Any]] = []
    code = 0
    for found in _databases(path):
        if not found.path.exists():
            continue
        known = {"component": found.component, "path": str(found.path)}
        try:
            told = act(found)
        except HmpError as error:
            notice(f"{found.path}: {type(error).__name__}: {error}")
            told = [{"state": type(error).__name__, "reason": type(error).__name__}]
            code = code or error.exit_code
        rows += [known | row for row in told]
        code = code or int(any(row.get("lacks") for row in told))
    emit(rows, columns, as_json=as_json)
    if code:
        raise click.exceptions.Exit(code)


def _folded(found: _Found) -> list[dict[str, Any]]:
    if found.component == "index":
        return []
    with contextlib.closing(_store(found)) as store:
        outcome = store.fold()
    return [{"state": str(outcome), "lacks": bool(outcome)}]


def _waiting(found: _Found) -> list[dict[str, Any]]:
    if found.component == "index":
        return []
    sql = (
        "SELECT json_extract_string(event, '$.kind') AS kind, reason, CAST(event_id AS VARCHAR) AS id FROM _hmp_waiting"
    )
    with contextlib.closing(_store(found)) as store, store.reading() as backend:
        rows: list[dict[str, Any]] = backend.query(sql).to_pylist()
    return rows


def _upgraded(found: _Found) -> list[dict[str, Any]]:
    from hmp_core.auth.gate import get_auth_backend
    from hmp_core.migrations.runner import migrate

    schema = _schema(found)
    versions = migrate(found.path, schema, auth=get_auth_backend(), resource=_resource(found), requested=True)
    return [{"version": versions[schema[-1][0]], "state": "current"}]


def _databases(path: str) -> Iterator[_Found]:
    start = to_local(path)
    if not start.exists():
        message = f"{start}: no such folder"
        raise PathNotFound(message, path=str(start))
    yield _Found("index", index_path())
    workspace = workspace_root(start)
    if workspace is not None:
        yield _Found("cache", cache_path(workspace))
        for project in projects(workspace):
            yield _Found("catalog", catalog_path(project))
    elif (project_here := project_root(start)) is not None:
        yield _Found("catalog", catalog_path(project_here))


def _status(found: _Found) -> dict[str, Any]:
    from hmp_core.auth.gate import get_auth_backend
    from hmp_core.backends.duckdb import DuckDBBackend
    from hmp_core.migrations import ledger
    from hmp_core.migrations.plan import discover_migrations, pending

    row: dict[str, Any] = {"component": found.component, "path": str(found.path)}
    if not found.path.exists():
        return row | {"state": "absent"}
    try:
        components = _schema(found)
        backend = DuckDBBackend(found.path, auth=get_auth_backend(), resource=_resource(found))
        state = "current"
        with _reading(backend):
            if strangers := ledger.strangers(backend):
                return row | {"state": f"a database of something else: it holds {', '.join(strangers[:5])}"}
            for component, folder in components:
                migrations = discover_migrations(folder)
                applied = ledger.applied(backend, component)
                row |= {"version": max(applied, default=0), "known": len(migrations)}
                if pending(migrations, applied, where=str(found.path)):
                    state = "pending: hmp db upgrade"
    except HmpError as error:
        state = f"{type(error).__name__}: {error}"
    return row | {"state": state}


@contextlib.contextmanager
def _reading(backend: DuckDBBackend) -> Iterator[None]:
    """Hold a lease; without a lock where this user may make none."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(backend.lease(write=False))
        except NotWritable:
            stack.enter_context(backend.lease(write=False, unlocked=True))
        yield


def _schema(found: _Found) -> list[tuple[str, Path]]:
    from importlib.metadata import entry_points

    for point in entry_points(group="hmp.schemas", name=found.component):
        return [point.load()]
    from hmp_core.events.store import components

    return components(_fold(found.component))


def _fold(component: str) -> Fold:
    from importlib.metadata import entry_points

    for point in entry_points(group="hmp.folds", name=component):
        loaded: Fold = point.load()
        return loaded
    message = f"a {component} database needs hmp-{component}: install it"
    raise MissingPart(message, install=f"hmp-{component}")


def _store(found: _Found) -> EventStore:
    from hmp_core.auth.gate import get_auth_backend
    from hmp_core.events.store import EventStore

    return EventStore(found.path, _fold(found.component), auth=get_auth_backend(), resource=_resource(found))


def _resource(found: _Found) -> str:
    """Return what an authority is asked about: ``index``, ``cache:<workspace>``, ``catalog:<workspace>/<project>``."""
    if found.component == "index":
        return "index"
    home = found.path.parent
    if found.component == "cache":
        return f"cache:{home.parent.name}"
    return f"catalog:{anchor(home).name}/{home.name}"
