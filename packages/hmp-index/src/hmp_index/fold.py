"""Workspaces in, rows out: what was seen and read of a project becomes rows of the index; pure.

Every row follows from ``workspaces.toml`` and the workspaces, so that an index that was deleted comes back row for
row; only the times of looking differ.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from hmp_core.identity import derived_id
from hmp_index.search import WEIGHTS, searchable

#: What a workspace itself goes by among its projects: it has a place there if experiments lie in it.
ROOT = "."

#: What `hmp db status` and `hmp db upgrade` need to know: the component and its migrations.
SCHEMA = ("index", Path(__file__).parent / "sql" / "migrations")

#: The kind of the rows that come from experiments stores.
EXPERIMENT = "experiment"
#: The kind of those that come from measuring sessions; what is said of experiments in a project goes for them too.
ACQUISITION = "acquisition"

#: The form of the rows; a snapshot of another form is read again.
FORM = 2

#: Column of ``v_simulation_summary``, matched by name -> the type it is read as. The key is `sim_id`.
SUMMARY: Mapping[str, str] = {
    "sim_id": "UUID",
    "kind": "VARCHAR",
    "name": "VARCHAR",
    "solver": "VARCHAR",
    "solver_category": "VARCHAR",
    "status": "VARCHAR",
    "flow_regime": "VARCHAR",
    "mesh_topology": "VARCHAR",
    "study_area_name": "VARCHAR",
    "scientific_objective": "VARCHAR",
    "description": "VARCHAR",
    "contact_email": "VARCHAR",
    "principal_id": "VARCHAR",
    "crs_epsg": "INTEGER",
    "bbox_xmin": "DOUBLE PRECISION",
    "bbox_ymin": "DOUBLE PRECISION",
    "bbox_xmax": "DOUBLE PRECISION",
    "bbox_ymax": "DOUBLE PRECISION",
    "period_start": "TIMESTAMP",
    "period_end": "TIMESTAMP",
    "folder": "VARCHAR",
    "duration_s": "DOUBLE PRECISION",
    "created_at": "TIMESTAMP",
    "updated_at": "TIMESTAMP",
    "trashed_at": "TIMESTAMP",
}
METRICS: Mapping[str, str] = {
    "sim_id": "UUID",
    "metric_name": "VARCHAR",
    "station_id": "VARCHAR",
    "variable": "VARCHAR",
    "value": "DOUBLE PRECISION",
}
PARAMETERS: Mapping[str, str] = {
    "sim_id": "UUID",
    "param_name": "VARCHAR",
    "zone_id": "VARCHAR",
    "value": "DOUBLE PRECISION",
    "text_value": "VARCHAR",
}
TAGS: Mapping[str, str] = {"sim_id": "UUID", "tag": "VARCHAR"}

#: The view that says what there is.
VIEW = "v_simulation_summary"

#: What is read of a catalog: table, columns, and those without which a row says nothing.
TOLD: Sequence[tuple[str, Mapping[str, str], frozenset[str]]] = (
    (VIEW, SUMMARY, frozenset({"sim_id"})),
    ("metrics", METRICS, frozenset({"sim_id", "metric_name"})),
    ("parameters", PARAMETERS, frozenset({"sim_id", "param_name"})),
    ("tags", TAGS, frozenset({"sim_id", "tag"})),
)

#: Column -> how it is staged; ids as text.
WORKSPACES: Mapping[str, str] = {
    "workspace_id": "VARCHAR",
    "workspace_uri": "VARCHAR",
    "label": "VARCHAR",
    "status": "VARCHAR",
    "status_detail": "VARCHAR",
    "last_scanned_at": "TIMESTAMP",
    "created_at": "TIMESTAMP",
}
PROJECTS: Mapping[str, str] = {
    "project_id": "VARCHAR",
    "workspace_id": "VARCHAR",
    "slug": "VARCHAR",
    "name": "VARCHAR",
    "root_relative": "VARCHAR",
    "catalog_path": "VARCHAR",
    "mark": "VARCHAR",
    "status": "VARCHAR",
    "status_detail": "VARCHAR",
    "unfolded": "INTEGER",
    "n_simulations": "INTEGER",
    "last_run_at": "TIMESTAMP",
    "last_refreshed_at": "TIMESTAMP",
    "created_at": "TIMESTAMP",
}
SIMULATIONS: Mapping[str, str] = {
    **SUMMARY,
    "workspace_id": "VARCHAR",
    "project_id": "VARCHAR",
    "project": "VARCHAR",
    "metrics": "VARCHAR",
    "parameters": "VARCHAR",
    "tags": "VARCHAR",
    "search_text": "VARCHAR",
    "snapshot_taken_at": "TIMESTAMP",
}

_OUTLETS = {None, "", "__outlet__", "outlet"}
_EVERYWHERE = {None, "", "__global__"}
_SPOKEN = [name for name in WEIGHTS if name in SUMMARY]


Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Facts:
    """What was read of a catalog: rows with the columns of `SUMMARY`, `METRICS`, `PARAMETERS`, `TAGS`."""

    summary: Rows = ()
    metrics: Rows = ()
    parameters: Rows = ()
    tags: Rows = ()
    #: whether it was an experiments store, or measuring sessions
    experiments: bool = False


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a project holds: the rows of its simulations as JSON text, a quarter of their size as objects."""

    rows: str
    #: not counting what is in the trash, nor experiments
    n_simulations: int
    last_run_at: datetime | None

    def beside(self, other: Snapshot) -> Snapshot:
        """Return this snapshot with the rows of another place of the same project."""
        rows = ",".join(each.rows[1:-1] for each in (self, other) if each.rows != "[]")
        return Snapshot(f"[{rows}]", self.n_simulations + other.n_simulations, latest(self, other))


@dataclass(frozen=True, slots=True)
class Reading:
    """What came of looking into a project."""

    #: "ok", "busy", "unreachable", "corrupt" or "schema_mismatch"
    status: str
    #: when it was looked into (UTC, without a zone)
    at: datetime
    detail: str = ""
    #: what the files looked like when they were read; empty if they must be looked into again
    mark: str = ""
    #: events that are in the log and not in the snapshot
    unfolded: int = 0
    #: None if the last snapshot stays
    snapshot: Snapshot | None = None
    #: which rows the snapshot replaces: those of experiments (True), all others (False), or every one (None)
    experiments: bool | None = None

    @property
    def settles(self) -> bool:
        """Whether nothing else is to be kept of the project: all that there is of it was read."""
        return self.snapshot is not None and (self.experiments is None or self.status == "ok")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a project stands in the index; its folder is ``projects/<slug>`` of the workspace, or that itself."""

    workspace_id: UUID
    project_id: UUID
    slug: str
    name: str
    #: when its marker was written; None without one
    created_at: datetime | None = None

    @property
    def relative(self) -> str:
        """Its folder, relative to the workspace."""
        return self.slug if self.slug == ROOT else f"projects/{self.slug}"

    @property
    def database(self) -> str:
        """What is read of it first, relative to the workspace."""
        return "store.duckdb" if self.slug == ROOT else f"{self.relative}/catalog.duckdb"


@dataclass(frozen=True, slots=True)
class ProjectRow:
    """A row of ``projects``."""

    place: Place
    mark: str
    status: str
    detail: str
    unfolded: int
    n_simulations: int
    last_run_at: datetime | None
    #: when its snapshot was taken; None if there is none
    taken_at: datetime | None

    def as_dict(self) -> dict[str, Any]:
        """Return the columns; ids as text."""
        place = self.place
        values: tuple[Any, ...] = (str(place.project_id), str(place.workspace_id), place.slug, place.name)
        values += (place.relative, place.database, self.mark, self.status, self.detail, self.unfolded)
        values += (self.n_simulations, self.last_run_at, self.taken_at, place.created_at)
        return dict(zip(PROJECTS, values, strict=True))


@dataclass(frozen=True, slots=True)
class WorkspaceRow:
    """A row of ``workspaces``."""

    id: UUID
    uri: str
    label: str
    status: str
    detail: str
    scanned_at: datetime | None
    registered_at: datetime

    def as_dict(self) -> dict[str, Any]:
        """Return the columns; ids as text."""
        values = (str(self.id), self.uri, self.label, self.status, self.detail, self.scanned_at, self.registered_at)
        return dict(zip(WORKSPACES, values, strict=True))


def project_ids(workspace_id: UUID, carried: Mapping[str, UUID | None]) -> dict[str, UUID]:
    """Return the id of each project of a workspace in the index, given the ids that their folders carry.

    It follows a project that is renamed, and tells it from its copy in another workspace. Projects of one workspace
    that carry the same id are copies of each other: these, and folders without a marker, are known by their names.

    Parameters
    ----------
    carried
        Name of the folder -> the id in its ``project.toml``, None where there is none.
    """
    ids = list(carried.values())
    return {
        slug: derived_id("project", str(workspace_id), str(own) if ids.count(own) == 1 and own else f"{own}/{slug}")
        for slug, own in carried.items()
    }


def project_row(place: Place, reading: Reading, former: ProjectRow | None) -> ProjectRow:
    """Return the row of a project that was looked into: with new figures, or with those of its last snapshot."""
    new = reading.snapshot
    if new is None:
        kept = former or ProjectRow(place, "", "", "", 0, 0, None, None)
        row = replace(kept, place=place, mark=reading.mark, status=reading.status, detail=reading.detail)
        if row.status != "ok" or row.taken_at is None:
            return row
        # nothing is there where something was: that is not to be taken for an empty project
        return replace(row, status="unreachable", detail="it has neither catalog nor log any more")
    row = ProjectRow(
        place=place,
        mark=reading.mark,
        status=reading.status,
        detail=reading.detail,
        unfolded=reading.unfolded,
        n_simulations=new.n_simulations,
        last_run_at=new.last_run_at,
        taken_at=reading.at,
    )
    return row if reading.experiments is None else _with_the_rest(row, reading, former)


def _with_the_rest(row: ProjectRow, reading: Reading, former: ProjectRow | None) -> ProjectRow:
    """Return the row of a project of which a part was read, and the rest is as it was."""
    if former is None:
        return row
    if reading.status != "ok":
        row = replace(row, taken_at=former.taken_at or row.taken_at)
    row = replace(row, last_run_at=latest(row, former))
    if not reading.experiments:
        return row
    row = replace(row, n_simulations=former.n_simulations)
    if row.status != "ok" or not row.n_simulations:
        return row
    return replace(row, status="unreachable", detail="it has neither catalog nor log any more")


def latest(*told: Snapshot | ProjectRow) -> datetime | None:
    """Return when the newest run of several was made."""
    return max((each.last_run_at for each in told if each.last_run_at is not None), default=None)


def snapshot(place: Place, facts: Facts, at: datetime) -> Snapshot:
    """Return what is kept of a project whose catalog said ``facts`` at a time."""
    created = [row["created_at"] for row in facts.summary if row["trashed_at"] is None]
    newest = max((moment for moment in created if moment is not None), default=None)
    rows = packed(simulations(place, facts, at))
    return Snapshot(rows, 0 if facts.experiments else len(created), newest)


def simulations(place: Place, facts: Facts, at: datetime) -> list[dict[str, Any]]:
    """Return the rows of ``simulations_cache`` for one project, by id."""
    metrics = _gathered(facts.metrics, metric_key, lambda row: _number(row["value"]))
    parameters = _gathered(facts.parameters, parameter_key, _parameter)
    tags: dict[str, set[str]] = {}
    for row in facts.tags:
        tags.setdefault(row["sim_id"], set()).add(row["tag"])
    rows = []
    for found in sorted(facts.summary, key=lambda row: str(row["sim_id"])):
        sim = found["sim_id"]
        labels = sorted(tags.get(sim, ()))
        told = {name: found[name] for name in _SPOKEN}
        told |= {"tags": " ".join(labels), "project": f"{place.slug} {place.name}"}
        rows.append(
            {**found}
            | {"kind": found["kind"] or "simulation", "project": place.slug}
            | {"workspace_id": str(place.workspace_id), "project_id": str(place.project_id)}
            | {"metrics": _json(metrics.get(sim, {})), "parameters": _json(parameters.get(sim, {}))}
            | {"tags": _json(labels), "search_text": searchable(told), "snapshot_taken_at": at}
        )
    return rows


def packed(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return rows as JSON text: times as ISO 8601, numbers that JSON does not know as words."""
    return _json([{name: _plain(value) for name, value in row.items()} for row in rows])


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    return value


def metric_key(row: Mapping[str, Any], taken: Mapping[str, Any]) -> str:
    """Return what a metric is called: ``nse``, ``nse@station`` off the outlet, ``variable.nse`` if that is taken."""
    name, station = row["metric_name"], row["station_id"]
    key = name if station in _OUTLETS else f"{name}@{station}"
    return f"{row['variable']}.{key}" if key in taken else key


def parameter_key(row: Mapping[str, Any], taken: Mapping[str, Any]) -> str:  # noqa: ARG001 - alike
    """Return what a parameter is called: ``x1``, ``k::zone`` where it holds for a zone only."""
    return str(row["param_name"]) if row["zone_id"] in _EVERYWHERE else f"{row['param_name']}::{row['zone_id']}"


def _gathered(rows: Rows, named: Any, valued: Any) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for row in sorted(rows, key=lambda row: [*map(str, row.values())]):
        into = found.setdefault(row["sim_id"], {})
        into[named(row, into)] = valued(row)
    return found


def _parameter(row: Mapping[str, Any]) -> Any:
    text = row["text_value"]
    if text is None:
        return _number(row["value"])
    try:
        value = json.loads(text)
        if "\\u" in text:  # JSON has words for halves of letters, which no database keeps
            _json(value).encode()
    except (ValueError, RecursionError):
        return text
    return value


def _number(value: float | None) -> float | str | None:
    """Return a number as JSON can hold it: NaN, which answers no comparison, is no number; infinity is a word."""
    if value is None or math.isnan(value):
        return None
    return value if math.isfinite(value) else ("Infinity" if value > 0 else "-Infinity")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
