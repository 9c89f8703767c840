"""One function per question: named statements and records in, rows and records out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from hmp_core.protocols import CatalogBackend
from hmp_core.statements import load_statements
from hmp_index import fold
from hmp_index.finding import Question
from hmp_index.fold import Place, ProjectRow, WorkspaceRow
from hmp_index.records import Hit, Project, Workspace
from hmp_index.refresh import Settled, State
from hmp_index.roster import Listed

if TYPE_CHECKING:
    import pyarrow as pa

_SQL = load_statements("hmp_index")


def state(backend: CatalogBackend) -> State:
    """Return the rows of workspaces and projects, and whether the snapshot has the form of this hmp."""
    form = backend.fetch_one(_SQL["form"].sql)
    return State(
        current=form is None or form[0] == fold.FORM,
        workspaces=[_workspace_row(*row) for row in backend.fetch_all(_SQL["workspaces"].sql)],
        projects=[_project_row(*row) for row in backend.fetch_all(_SQL["projects"].sql)],
    )


def _workspace_row(identity: str, *columns: Any) -> WorkspaceRow:
    return WorkspaceRow(UUID(identity), *columns)


def _project_row(workspace: str, project: str, slug: str, name: str, *columns: Any) -> ProjectRow:
    *figures, made = columns
    return ProjectRow(Place(UUID(workspace), UUID(project), slug, name, made), *figures)


def write(backend: CatalogBackend, settled: Settled, at: datetime) -> None:
    """Make the rows of the index what a look around says they are; a transaction is open.

    Parameters
    ----------
    at
        When it was looked around (UTC, without a zone).
    """
    if settled.forgotten or settled.gone:
        _forget(backend, settled)
    _stage(backend, "staged_seen", {"workspace_id": "VARCHAR"}, [_ids("workspace_id", settled.seen)])
    _stage(backend, "staged_workspaces", fold.WORKSPACES, [_rows(settled.workspaces)])
    _stage(backend, "staged_projects", fold.PROJECTS, [_rows(settled.projects)])
    _run(backend, "mark_seen_workspaces", [at])
    _run(backend, "merge_workspaces")
    _run(backend, "merge_projects")
    if settled.read:
        _stage(backend, "staged_read", {"project_id": "VARCHAR", "experiments": "BOOLEAN"}, [_replaced(settled)])
        _stage(backend, "staged_simulations", fold.SIMULATIONS, _batches(rows for _, rows in settled.read))
        _run(backend, "drop_simulations")
        _run(backend, "merge_simulations")
    for name in _STAGED:
        backend.execute(f"DROP TABLE IF EXISTS {name}")
    _run(backend, "merge_metadata", [at, fold.FORM])


def _forget(backend: CatalogBackend, settled: Settled) -> None:
    """Remove what is not listed any more, and projects that are gone."""
    _stage(backend, "staged_forgotten", {"workspace_id": "VARCHAR"}, [_ids("workspace_id", settled.forgotten)])
    _stage(backend, "staged_gone", {"project_id": "VARCHAR"}, [_ids("project_id", settled.gone)])
    for name in ("forget_simulations", "forget_projects", "forget_workspaces"):
        _run(backend, name)


def _run(backend: CatalogBackend, name: str, values: Sequence[Any] = ()) -> None:
    backend.execute(_SQL[name].sql, values)


def _stage(backend: CatalogBackend, name: str, columns: Mapping[str, str], texts: Iterable[str]) -> None:
    """Put rows, as JSON text, into a table that lasts no longer than the lease.

    Staged from Arrow, the engine imports pandas where that is installed: 0.7 to 2 s while the lock is held, where
    this takes 0.4 s for 100,000 rows (measured on DuckDB 1.5.6). ``CREATE TABLE ... AS`` does the same.
    """
    kinds = {column: "VARCHAR" if kind == "UUID" else kind for column, kind in columns.items()}
    backend.execute(f"CREATE TEMPORARY TABLE {name} ({', '.join(f'{c} {k}' for c, k in kinds.items())})")
    for text in texts:
        form = json.dumps([kinds])
        backend.execute(f"INSERT INTO {name} SELECT unnest(from_json($1, '{form}'), recursive := true)", [text])


def _rows(rows: Iterable[WorkspaceRow | ProjectRow]) -> str:
    return fold.packed(row.as_dict() for row in rows)


def _ids(column: str, ids: Iterable[UUID]) -> str:
    return json.dumps([{column: str(identity)} for identity in ids])


def _replaced(settled: Settled) -> str:
    """Return which rows of which projects are replaced: those of experiments, all others, or both."""
    rows = [
        {"project_id": str(identity), "experiments": experiments}
        for identity, _ in settled.read
        for experiments in (False, True)
        if settled.parts.get(identity, experiments) is experiments
    ]
    return json.dumps(rows)


def _batches(texts: Iterable[str]) -> Iterator[str]:
    """Join lists of rows, a statement for many projects."""
    batch: list[str] = []
    for text in texts:
        if text != "[]":
            batch.append(text[1:-1])
        if len(batch) == _BATCH:
            yield f"[{','.join(batch)}]"
            batch = []
    if batch:
        yield f"[{','.join(batch)}]"


_BATCH = 50
_STAGED = (
    "staged_forgotten",
    "staged_gone",
    "staged_seen",
    "staged_workspaces",
    "staged_projects",
    "staged_read",
    "staged_simulations",
)


def simulations(backend: CatalogBackend) -> dict[UUID, str]:
    """Return every row of ``simulations_cache`` as it is staged, by project."""
    ids = {"workspace_id", "project_id", "sim_id"}
    columns = ", ".join(f"CAST({name} AS VARCHAR)" if name in ids else name for name in fold.SIMULATIONS)
    found: dict[str, list[dict[str, Any]]] = {}
    for row in backend.fetch_all(f"SELECT {columns} FROM simulations_cache"):
        values = dict(zip(fold.SIMULATIONS, row, strict=True))
        found.setdefault(values["project_id"], []).append(values)
    return {UUID(project): fold.packed(rows) for project, rows in found.items()}


# ── records ──────────────────────────────────────────────────────────────────────────────────────────


def workspaces(backend: CatalogBackend, listed: Iterable[Listed], rows: Iterable[WorkspaceRow]) -> list[Workspace]:
    """Return the listed workspaces in the order they were registered, with what they hold.

    Parameters
    ----------
    rows
        How each was found just now, which is in the database only where that may be written.
    """
    health = {row[0]: row[1:] for row in backend.fetch_all(_SQL["health"].sql)}
    known = [_workspace(line, *health[str(line.id)]) if str(line.id) in health else unread(line) for line in listed]
    found = {str(row.id): row for row in rows}
    return [
        replace(one, status=found[one.id].status, detail=found[one.id].detail) if one.id in found else one
        for one in known
    ]


def unread(line: Listed) -> Workspace:
    """Return the record of a workspace of which nothing is known but its line."""
    return _workspace(line, "pending", "", None, 0, 0, 0, None)


def _workspace(line: Listed, status: str, detail: str | None, scanned: datetime | None, *figures: Any) -> Workspace:
    projects, not_ok, simulations_, latest = figures
    return Workspace(
        id=str(line.id),
        path=line.path,
        label=line.label,
        status=status,
        detail=detail or "",
        copy_of=str(line.copy_of) if line.copy_of else None,
        registered_at=line.registered_at,
        last_scanned_at=scanned,
        n_projects=projects,
        n_projects_not_ok=not_ok,
        n_simulations=simulations_,
        latest_simulation_at=latest,
    )


def project(line: Listed, row: ProjectRow, *, late: bool = False) -> Project:
    """Return the record of a project row; ``late`` if it changed and was not read."""
    return Project(
        id=str(row.place.project_id),
        workspace_id=str(line.id),
        workspace=line.label,
        slug=row.place.slug,
        name=row.place.name,
        path=line.path / row.place.relative,
        status="stale" if late and row.status == "ok" else row.status,
        detail=row.detail,
        unfolded=row.unfolded,
        n_simulations=row.n_simulations,
        last_run_at=row.last_run_at,
        taken_at=row.taken_at,
    )


def hits(backend: CatalogBackend, asked: Question, projects: Iterable[Project], limit: int | None = None) -> list[Hit]:
    """Return the simulations of some projects that fulfil the conditions of a question, best and then newest first.

    Parameters
    ----------
    limit
        How many at most; None for all.
    """
    homes = {home.id: home for home in projects}
    conditions = "".join(f" AND {condition}" for condition in asked.all())
    sql = f"{_SQL['hits'].sql.replace(_NO_SCORE, asked.score or _NO_SCORE)}{conditions} {_BEST_FIRST}"
    # not through Arrow: its conversions import pandas where that is installed
    rows = backend.fetch_all(sql if limit is None else f"{sql} LIMIT {int(limit)}", asked.bound.values)
    now = datetime.now(UTC).replace(tzinfo=None)
    known = [row for row in rows if row[0] in homes]
    return [
        _hit(row, told, homes[row[0]], now)
        for start in range(0, len(known), _TOGETHER)
        for row, told in _told(known[start : start + _TOGETHER])
    ]


_NO_SCORE = "CAST(NULL AS DOUBLE PRECISION)"
_BEST_FIRST = "ORDER BY score DESC NULLS LAST, s.created_at DESC NULLS LAST, s.sim_id DESC"

#: The columns of `hits` after the project and before the three that are JSON.
_HIT = (
    "workspace_id",
    "sim_id",
    "workspace",
    "project",
    "name",
    "kind",
    "solver",
    "status",
    "study_area_name",
    "scientific_objective",
    "description",
    "folder",
    "created_at",
    "duration_s",
    "score",
)

#: How many rows have their JSON read at once, in a third of the time that it takes one by one (300,000 texts: 1 s).
_TOGETHER = 1000

_Told = tuple[dict[str, Any], dict[str, Any], list[str]]


def _told(rows: Sequence[tuple[Any, ...]]) -> Iterator[tuple[tuple[Any, ...], _Told]]:
    """Yield each row with its metrics, parameters and tags."""
    texts = ",".join(f"[{row[-3]},{row[-2]},{row[-1]}]" for row in rows)
    yield from zip(rows, json.loads(f"[{texts}]"), strict=True)


def _hit(row: tuple[Any, ...], told: _Told, home: Project, now: datetime) -> Hit:
    metrics, parameters, tags = told
    behind = home.taken_at if home.status != "ok" or home.unfolded else None
    return Hit(
        **dict(zip(_HIT, row[1:-3], strict=True)),
        metrics={name: value if value is None else float(value) for name, value in metrics.items()},
        parameters=parameters,
        tags=tuple(tags),
        project_name=home.name,
        path=home.path,
        state=home.status,
        age=max(0.0, (now - behind).total_seconds()) if behind else 0.0,
    )


def keys(backend: CatalogBackend, kind: str) -> list[str]:
    """Return what the metrics or the parameters of the snapshot are called."""
    return sorted(row[0] for row in backend.fetch_all(_SQL[f"keys_of_{kind}"].sql))


def snapshot(backend: CatalogBackend) -> pa.Table:
    """Return the whole snapshot, newest first."""
    return backend.query(_SQL["snapshot"].sql)
