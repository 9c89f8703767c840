"""What the doors of today answer about a store of yesterday: the questions that were put when it was frozen.

A store is a folder with a ``workspace`` and the ``state`` of a machine. `answers` asks every door, `tables` reads every
row of its databases; both give plain JSON, so that what was answered then can be kept beside the store.
"""

from __future__ import annotations

import json
import math
import shutil
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import hmp_cache
import hmp_catalog
import hmp_index
from hmp_core.auth import LocalAuthBackend
from hmp_core.backends.duckdb import DuckDBBackend
from hmp_core.databases import Database
from hmp_core.durable import make_folder
from hmp_core.events import EventStore
from hmp_core.events.record import encode, from_dict
from hmp_core.identity import sha256_file

STORES = Path(__file__).resolve().parent / "data" / "stores"

#: What says when something was looked at, or lies on this machine alone: no part of what a store tells.
PASSING = {
    "_hmp_segments",
    "_hmp_clock",
    "_hmp_tombstones",
    "schema_migrations",
    "reason",
    "applied_at",
    "scanned_at",
    "last_scanned_at",
    "last_refreshed_at",
    "snapshot_taken_at",
    "workspace_uri",
    "mark",
    "status_detail",
    "file_mtime",
}


def unpacked(version: str, into: Path) -> Path:
    """Return a copy of the store that ``version`` wrote."""
    with tarfile.open(STORES / version / "store.tar.xz") as archive:
        archive.extractall(into, filter="data")
    return into


def expected(version: str) -> dict[str, Any]:
    """Return what every door answered when the store was frozen."""
    found: dict[str, Any] = json.loads((STORES / version / "expected.json").read_text(encoding="utf-8"))
    return found


def plain(value: Any) -> Any:
    """Return a value as JSON keeps it: times as ISO 8601 in UTC, numbers that are none as words."""
    match value:
        case float():
            return value if math.isfinite(value) else str(value)
        case datetime():
            return (value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value).isoformat()
        case None | bool() | int() | str():
            return value
        case Mapping():
            return {str(key): plain(each) for key, each in value.items()}
        case date():
            return value.isoformat()
        case list() | tuple():
            return [plain(each) for each in value]
    return str(value)


# ── what the doors say ───────────────────────────────────────────────────────────────────────────────


def answers(store: Path) -> dict[str, Any]:
    """Return what every door answers about a store; ``HMP_STATE_HOME`` is its ``state``."""
    workspace = store / "workspace"
    with hmp_cache.open(workspace) as data:
        inputs = _inputs(data)
    with hmp_catalog.open(workspace / "projects" / "fulda") as catalog:
        simulations = _simulations(catalog)
    return plain({"cache": inputs, "catalog": simulations})


def _inputs(data: hmp_cache.InputsNamespace) -> dict[str, Any]:
    return {
        "entries": {entry.name: _entry(entry) for entry in data.find()},
        "versions": {entry.name: [_entry(one) for one in data.versions(entry)] for entry in data.find()},
        "states": {entry.name: entry.state for entry in data.check()},
        "failures": _rows(data.failures().to_pylist()),
        "waiting": data.notice.waiting,
        "lacking": [data.notice.unfolded, data.notice.rejected],
    }


def _entry(entry: hmp_cache.Entry) -> dict[str, Any]:
    known = entry.as_dict() | {"bytes": sha256_file(entry.path)}
    if entry.path.suffix == ".csv":
        known["rows"] = entry.read_table().num_rows
    return {name: value for name, value in known.items() if name not in {"state", "path"}}


def _simulations(catalog: hmp_catalog.SimulationCatalog) -> dict[str, Any]:
    sessions = [
        session | {"trials": _rows(catalog.trials(str(session["session_id"])).to_pylist())}
        for session in catalog.calibrations()
    ]
    return {
        "runs": {run.sim_id: _run(run) for run in catalog},
        "by name": {run.name: catalog[run.name].sim_id for run in catalog if run.name},
        "tagged": sorted(run.sim_id for run in catalog.find(tags="paper")),
        "good": sorted(run.sim_id for run in catalog.find(nse_gt=0.6)),
        "best": catalog.best("nse").sim_id,
        "calibrations": sessions,
        "waiting": catalog.notice.waiting,
        "lacking": [catalog.notice.unfolded, catalog.notice.rejected],
    }


def _run(run: hmp_catalog.Run) -> dict[str, Any]:
    told = {"summary": run.summary(), "parameters": run.parameters, "metrics": run.metrics, "tags": run.tags}
    told |= {"provenance": _rows(run.provenance.to_pylist()), "notes": run.facts["notes"]}
    if (run.folder / "run.json").exists():
        told |= {"config": run.config, "environment": run.environment, "files": run.files()}
    told["inputs"] = [[each.variable, each.path, each.sha256, each.state] for each in run.input_entries()]
    if (run.folder / "tables" / "timeseries.parquet").exists():
        series = run.timeseries("discharge")
        told["discharge"] = [[str(at), value] for at, value in zip(series.index, series.to_list(), strict=True)]
    if (run.folder / "tables" / "budget.parquet").exists():
        told["budget"] = run.table("budget").to_pylist()
    if (run.folder / "fields.zarr").exists():
        told["head"] = run.dataset()["head"].to_numpy().tolist()
    return told


def machine(state: Path, workspace: Path | None = None) -> dict[str, Any]:
    """Return what the machine index answers: workspaces, projects, simulations; told where they are, if given."""
    with hmp_index.index(state / "index.duckdb") as index:
        if workspace is not None:
            index.relocate("Fulda", workspace)
        found = {
            "workspaces": [asdict(one) for one in index.workspaces()],
            "projects": [asdict(one) for one in index.projects()],
            "simulations": sorted((asdict(hit) for hit in index.find()), key=lambda hit: str(hit["sim_id"])),
            "words": sorted(str(hit.sim_id) for hit in index.search("snowmelt")),
        }
    return {name: [_lasting(row) for row in plain(rows)] for name, rows in found.items()}


def _lasting(row: Any) -> Any:
    if not isinstance(row, dict):
        return row
    passing = PASSING | {"path", "age", "taken_at", "snapshot_at", "scanned_at", "refreshed_at", "detail", "status"}
    return {name: value for name, value in row.items() if name not in passing}


# ── every row ────────────────────────────────────────────────────────────────────────────────────────


def tables(database: Path) -> dict[str, list[dict[str, Any]]]:
    """Return every row of every table, in a fixed order, but for what the fold keeps for itself."""
    backend = DuckDBBackend(database)
    with backend.lease(write=False):
        names = [name for (name,) in backend.fetch_all("SELECT table_name FROM duckdb_tables() WHERE NOT internal")]
        found = {name: backend.query(f"SELECT * FROM {name}").to_pylist() for name in sorted(names)}
    return {name: _rows(rows) for name, rows in found.items() if name not in PASSING}


def _rows(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    kept = [{name: plain(value) for name, value in row.items() if name not in PASSING} for row in rows]
    return sorted(kept, key=lambda row: json.dumps(row, sort_keys=True))


def folded(scope: str, events: Path, workspace: Path, home: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the rows that a file of events, one JSON object a line, gives; runs lie in ``workspace``."""
    database = {"cache": home / "cache.duckdb", "catalog": home / "catalog.duckdb"}[scope]
    fold = Database(scope, database).fold()
    assert fold is not None
    store = EventStore(database, fold, auth=LocalAuthBackend(), resource=scope)
    store.prepare_schema()
    shutil.copytree(workspace / "projects" / "fulda" / "simulations", home / "simulations")
    lines = [from_dict(json.loads(line)) for line in events.read_text(encoding="utf-8").splitlines()]
    make_folder(store.files.pending)
    (store.files.pending / "00000000-0000-7000-8000-000000000000.log").write_bytes(b"".join(map(encode, lines)))
    with store.reading():
        assert not store.notice.rejected
    return tables(database)


#: Columns that nobody filled in 0.1.0.
FILLED_SINCE = ("seq", "chain_hash", "hostname")


def same(then: Any, now: Any, where: str = "") -> list[str]:
    """Return where an answer of today differs from one of then; what has come to it since is no difference.

    Nor is the form of a snapshot, which whoever opens an index brings to that of today: of what is searched the words
    are compared, and not how they stand.
    """
    column = where.rpartition("/")[2]
    if (then is None and column in FILLED_SINCE) or where == "/index_metadata/0/schema_version":
        return []
    if column == "search_text":
        then, now = (sorted(set(text.replace("|", " ").split())) for text in (then, now))
    if isinstance(then, dict) and isinstance(now, dict):
        missing = [f"{where}/{key}: gone" for key in then.keys() - now.keys()]
        pairs = [(key, then[key], now[key]) for key in sorted(then.keys() & now.keys())]
        return missing + [line for key, *both in pairs for line in same(*both, f"{where}/{key}")]
    if isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        return [line for n, both in enumerate(zip(then, now, strict=True)) for line in same(*both, f"{where}/{n}")]
    return [] if then == now else [f"{where}: {then!r} then, {now!r} now"]
