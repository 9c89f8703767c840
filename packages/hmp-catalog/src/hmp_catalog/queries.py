"""One function per question: named statements and filters in, plain rows out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from hmp_catalog import criteria
from hmp_catalog.facts import GLOBAL_ZONE, OUTLETS
from hmp_catalog.plain import number, plain, uuid_text
from hmp_core.backends.identifiers import identifier
from hmp_core.errors import InvalidInput, NotFound
from hmp_core.filters import Bound, condition
from hmp_core.locks import Owner
from hmp_core.protocols import CatalogBackend
from hmp_core.statements import load_statements

if TYPE_CHECKING:
    import pyarrow as pa

_SQL = load_statements("hmp_catalog")

#: What is read of each simulation; also what one may find by, with `tags`, `text`, metrics and parameters.
SUMMARY = (
    "sim_id",
    "name",
    "project",
    "solver",
    "status",
    "flow_regime",
    "mesh_topology",
    "study_area_name",
    "scientific_objective",
    "description",
    "contact_email",
    "principal_id",
    "notes",
    "doi",
    "seed",
    "parent_sim_id",
    "config_hash",
    "bbox_xmin",
    "bbox_ymin",
    "bbox_xmax",
    "bbox_ymax",
    "period_start",
    "period_end",
    "created_at",
    "started_at",
    "ended_at",
    "updated_at",
    "trashed_at",
    "duration_s",
    "error",
    "storage_basename",
    "owner",
)

_FEW = 200
_PLACE = "CASE WHEN station_id NOT IN ('__outlet__', 'outlet') THEN 2 WHEN variable <> 'discharge' THEN 1 ELSE 0 END"
_ORDER = {
    "parameters": "sim_id, param_name, zone_id",
    "metrics": f"sim_id, metric_name, {_PLACE}, station_id, variable",
}


def find(backend: CatalogBackend, filters: Mapping[str, Any]) -> list[str]:
    """Return the simulations that fit, newest first; `hmp_catalog.columns.facts` tells what they are."""
    bound, filters = Bound(), dict(filters)
    wanted = _whether_trashed(filters.pop("trashed", False))
    asked, fits = criteria.conditions(backend, filters, bound)
    wanted += asked
    sql = (
        f"SELECT CAST(s.sim_id AS VARCHAR) FROM simulations s WHERE {' AND '.join(wanted)} "
        "ORDER BY s.created_at DESC, s.sim_id DESC"
    )
    found = [row[0] for row in backend.fetch_all(sql, bound.values)]
    if not fits:
        return found
    now = {sim: state("running", owner) for sim, owner, _ in backend.fetch_all(_SQL["open_runs"].sql)}
    return [sim for sim in found if sim not in now or all(fit(now[sim]) for fit in fits)]


def _whether_trashed(wanted: Any) -> list[str]:
    if wanted not in (True, False, None):
        message = f"trashed is {wanted!r}, expected True (only the trash), False (all but the trash) or None (both)"
        raise InvalidInput(message)
    return ["TRUE"] if wanted is None else [f"s.trashed_at IS {'NOT ' if wanted else ''}NULL"]


def state(status: str, owner: str | None) -> str:
    """Return ``interrupted`` for an open run whose process has died."""
    return "interrupted" if status == "running" and _lives(owner) is False else status


def _lives(owner: str | None) -> bool | None:
    """Return whether a process still runs; None where nobody can say: on another host, or told by another version."""
    try:
        dead = Owner(**json.loads(owner or "{}")).is_dead()
    except TypeError:
        return None
    return None if dead is None else not dead


def names_ever(backend: CatalogBackend) -> list[str]:
    """Return the names that simulations have, in the trash too."""
    return [row[0] for row in backend.fetch_all(_SQL["names_ever"].sql)]


def names(backend: CatalogBackend, *, trashed: bool = False) -> list[tuple[str, str | None, str]]:
    """Return (sim_id, name, status) of all simulations, or of those in the trash, newest first."""
    sql = _SQL["names_in_trash" if trashed else "names"].sql
    return [(sim, name, status) for sim, name, status in backend.fetch_all(sql)]


def to_delete(backend: CatalogBackend, sim_id: str) -> tuple[Any, ...] | None:
    """Return what must be known of a simulation before it is moved or purged (see `hmp_catalog.lifecycle.Subject`)."""
    return next(iter(backend.fetch_all(_SQL["to_delete"].sql, [sim_id])), None)


def trashed(backend: CatalogBackend) -> list[tuple[str, datetime, bool]]:
    """Return (sim_id, since when, whether pinned) of what is in the trash, longest first."""
    return [(sim, since, pinned) for sim, since, pinned in backend.fetch_all(_SQL["trashed"].sql)]


def pinned(backend: CatalogBackend) -> set[str]:
    """Return the simulations that are pinned."""
    return {row[0] for row in backend.fetch_all(_SQL["pinned"].sql)}


def deletions(backend: CatalogBackend) -> list[dict[str, Any]]:
    """Return the simulations that were purged, newest first."""
    found = _dicts(backend.query(_SQL["deleted"].sql))
    return [row | {"components": json.loads(row["components"] or "{}")} for row in found]


def trail(
    backend: CatalogBackend, *, sim_id: str | None = None, since: datetime | None = None, limit: int = 100
) -> pa.Table:
    """Return the audit trail, newest first."""
    return backend.query(_SQL["trail"].sql, [sim_id, since, limit])


def folders(backend: CatalogBackend) -> list[tuple[Any, ...]]:
    """Return (sim_id, name, status, folder, SHA-256 of the manifest, owner, whether trashed) of every simulation."""
    return backend.fetch_all(_SQL["folders"].sql)


def latest(backend: CatalogBackend, n: int) -> list[str]:
    """Return the ``n`` newest finished simulations, newest first."""
    return [row[0] for row in backend.fetch_all(_SQL["finished"].sql, [_tomorrow(), n])]


def names_like(
    backend: CatalogBackend, names: Sequence[str], head: str, *, trashed: bool = False
) -> list[tuple[str, str | None, str]]:
    """Return (sim_id, name, status) of simulations of either of two names, or whose id begins so, newest first."""
    # digits alone, or nothing that an id begins with
    pattern = f"{head}%" if head.isalnum() else "-"
    rows = backend.fetch_all(_SQL["names_like"].sql, [trashed, *names, pattern, _tomorrow()])
    return [(sim, name, status) for sim, name, status in rows]


def _tomorrow() -> datetime:
    """Return when a run cannot have been made yet, whatever the time zones and clocks of its makers."""
    return datetime.now(UTC).replace(tzinfo=None) + timedelta(days=1)


def identical(backend: CatalogBackend, identity: str) -> list[tuple[str, str]]:
    """Return the finished simulations that must have given the same, with the names of their folders, newest first."""
    return [(sim, folder) for sim, folder in backend.fetch_all(_SQL["identical"].sql, [identity])]


def of_identity(backend: CatalogBackend, identity: str) -> set[str]:
    """Return all simulations that are said to be the same, whatever became of them."""
    return {row[0] for row in backend.fetch_all(_SQL["of_identity"].sql, [identity])}


def running(backend: CatalogBackend) -> list[str]:
    """Return the open simulations whose process lives, newest first."""
    rows = backend.fetch_all(_SQL["open_runs"].sql)
    return [sim for sim, owner, _ in rows if state("running", owner) == "running"]


def is_taken(backend: CatalogBackend, sim_id: str) -> bool:
    """Return whether a simulation has, or ever had, this id."""
    return bool(backend.fetch_all(_SQL["taken"].sql, [sim_id]))


def unsealed(backend: CatalogBackend) -> list[str]:
    """Return the folders of the simulations that were opened and not sealed, and that nobody will seal any more."""
    rows = backend.fetch_all(_SQL["open_runs"].sql)
    return [folder for _, owner, folder in rows if not _lives(owner)]


def waiting_ids(backend: CatalogBackend) -> set[str]:
    """Return the events that are in the log and cannot be told yet."""
    return {row[0] for row in backend.fetch_all(_SQL["waiting"].sql)}


def reasons(backend: CatalogBackend) -> list[str]:
    """Return why events wait, each reason once."""
    return [row[0] for row in backend.fetch_all(_SQL["reasons"].sql)]


def scores(backend: CatalogBackend, metric: str) -> pa.Table:
    """Return sim_id, station_id, variable, value of a metric of finished simulations, newest first; numbers alone."""
    return backend.query(_SQL["metric_of_finished"].sql, [metric])


def directions(backend: CatalogBackend) -> dict[str, tuple[bool | None, float | None, float | None, float | None]]:
    """Return metric -> whether more is better, its best value, and between what it can lie."""
    return {name: tuple(said) for name, *said in backend.fetch_all(_SQL["directions"].sql)}


# ── one simulation ───────────────────────────────────────────────────────────────────────────────────


def parameters(backend: CatalogBackend, sim_id: str) -> dict[str, Any]:
    """Return name (``name::zone``) -> value."""
    return wide(backend, "parameters", [sim_id]).get(sim_id, {})


def metrics(backend: CatalogBackend, sim_id: str) -> dict[str, float]:
    """Return name (``name@station``) -> value."""
    return wide(backend, "metrics", [sim_id]).get(sim_id, {})


def tags(backend: CatalogBackend, sim_id: str) -> list[str]:
    """Return the tags, by name."""
    return [row[0] for row in backend.fetch_all(_SQL["tags_of"].sql, [sim_id])]


def provenance(backend: CatalogBackend, sim_id: str) -> pa.Table:
    """Return what a simulation consumed."""
    return backend.query(_SQL["provenance_of"].sql, [sim_id])


def wide(backend: CatalogBackend, kind: str, sim_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return sim_id -> {key -> value} of the parameters or metrics of some simulations."""
    sql = _SQL[f"all_{kind}"].sql
    bound = Bound()
    if len(sim_ids) <= _FEW:
        if not sim_ids:
            return {}
        sql = f"SELECT * FROM ({sql}) WHERE {condition('sim_id', '=', list(sim_ids), bound)}"
    # the order is kept: of metrics, what is nearest to discharge at the outlet gets the short name
    rows = backend.fetch_all(f"{sql} ORDER BY {_ORDER[kind]}", bound.values)
    read = _parameter_row if kind == "parameters" else _metric_row
    wanted, found = set(sim_ids), dict[str, dict[str, Any]]()
    for sim, *rest in rows:
        if sim in wanted:
            read(found.setdefault(sim, {}), *rest)
    return found


def _parameter_row(into: dict[str, Any], name: str, zone: str, value: float | None, text: str | None) -> None:
    key = name if zone == GLOBAL_ZONE else f"{name}::{zone}"
    if text is None:
        into[key] = value
    else:  # a whole number has both, and is the most frequent of these
        into[key] = int(text) if value is not None else json.loads(text)


def _metric_row(into: dict[str, Any], name: str, station: str, variable: str, value: float | None) -> None:
    key = name if station in OUTLETS else f"{name}@{station}"
    if key in into:  # the same metric of another variable
        key = f"{variable}.{key}"
    if key in into:  # the outlet goes by two names
        key = f"{variable}.{name}@{station}"
    into[key] = value


# ── calibrations ─────────────────────────────────────────────────────────────────────────────────────


def calibrations(backend: CatalogBackend) -> list[dict[str, Any]]:
    """Return the calibration sessions, newest first."""
    rows = _dicts(backend.query(_SQL["calibrations"].sql))
    return [row | {"status": state(row["status"], row.pop("owner"))} for row in rows]


def session_id(backend: CatalogBackend, session: str) -> str:
    """Return the id of a calibration session as it is kept.

    Raises
    ------
    NotFound
        If there is none.
    """
    try:
        wanted = uuid_text(session, "session")
    except InvalidInput:
        wanted = None
    if not any(row["session_id"] == wanted for row in calibrations(backend)):
        message = f"there is no calibration session {session!r} here"
        raise NotFound(message, reference=str(session), candidates=[])
    return str(wanted)


def trial(backend: CatalogBackend, session: str, trial_id: str) -> dict[str, Any]:
    """Return a trial as its event told it.

    Raises
    ------
    NotFound
        If the session has none of that id.
    """
    found = _dicts(backend.query(_SQL["trial"].sql, [session, trial_id]))
    if not found:
        message = f"calibration session {session} has no trial {trial_id!r}"
        raise NotFound(message, reference=trial_id, candidates=[])
    row = found[0]
    told = {"parameters": json.loads(row["parameters"]), "metrics": json.loads(row["metrics"])}
    return row | told | {"objective": plain(row["objective"])}


def trials(backend: CatalogBackend, session: str) -> pa.Table:
    """Return the trials of a session in the order they were made."""
    return backend.query(_SQL["trials_of"].sql, [session])


def count(backend: CatalogBackend, session: str) -> int:
    """Return how many trials a session has."""
    return int(backend.fetch_all(_SQL["count_trials"].sql, [session])[0][0])


def top_trials(backend: CatalogBackend, session: str, n: int) -> list[dict[str, Any]]:
    """Return the best trials of a session, lowest objective first."""
    rows = _dicts(backend.query(_SQL["top_trials"].sql, [session, n]))
    for row in rows:
        row["parameters"] = json.loads(row["parameters"])
        row["metrics"] = {name: number(value) for name, value in json.loads(row["metrics"] or "{}").items()}
    return rows


# ── observations ─────────────────────────────────────────────────────────────────────────────────────


def additions(backend: CatalogBackend, variable: str | None, station: str | None) -> list[dict[str, Any]]:
    """Return the additions to the observations, oldest first."""
    return _dicts(backend.query(_SQL["additions"].sql, [variable, station]))


def stations(backend: CatalogBackend) -> pa.Table:
    """Return the stations with the period of their observations."""
    return backend.query(_SQL["stations"].sql)


def vocabulary(backend: CatalogBackend, table: str) -> pa.Table:
    """Return the words of a vocabulary with what they mean, in their order; hmp brings those without a stamp."""
    found = backend.query(f"SELECT * FROM {identifier(table)} ORDER BY 1")
    return found.drop_columns([name for name in found.column_names if name.startswith("_stamp")])


def seeds(backend: CatalogBackend, table: str) -> set[str]:
    """Return the words of a vocabulary that hmp brings."""
    name = identifier(table)
    key = identifier("metric_name" if table == "metric_definitions" else "code")
    return {row[0] for row in backend.fetch_all(f"SELECT {key} FROM {name} WHERE _stamp IS NULL")}


# ── workflows ────────────────────────────────────────────────────────────────────────────────────────


def completed_steps(backend: CatalogBackend, workflow: str) -> dict[str, dict[str, Any]]:
    """Return the completed steps of all runs of a workflow by what they are known by, the last of each."""
    rows = _dicts(backend.query(_SQL["completed_steps"].sql, [workflow]))
    return {row.pop("inputs_hash"): _told(row) for row in rows}


def workflow_steps(backend: CatalogBackend, run_id: str | None = None) -> list[dict[str, Any]]:
    """Return the steps of workflows (of one run), newest run first; step 0 is the run as a whole."""
    rows = [_told(row) for row in _dicts(backend.query(_SQL["workflow_steps"].sql, [run_id]))]
    for row in rows:
        row["status"] = state(row["status"], row.pop("owner"))
    return rows


def _told(row: dict[str, Any]) -> dict[str, Any]:
    """Return a step with its artefacts and result as they were said."""
    return row | {name: json.loads(row[name] or empty) for name, empty in (("artifacts", "[]"), ("result", "null"))}


def _dicts(table: pa.Table) -> list[dict[str, Any]]:
    return list(_rows(table.to_pylist()))


def _rows(rows: Iterable[Any]) -> Iterable[dict[str, Any]]:
    return (dict(row) for row in rows)
