"""From a manifest to rows: what a sealed run is and produced, as the tables of the catalog hold it. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from hmp_catalog.facts import ABOUT, parameter_values
from hmp_catalog.plain import from_microseconds, moment, number
from hmp_core.events import Event, Row

#: What is said of one row, by rank: opening gives way to sealing, and sealing to what a user says later.
OPENED, SEALED, LATER = 1, 2, 3

#: A solver that the vocabulary does not describe is listed by its name alone.
_NEVER_WINS = "0"

_BBOX = ("bbox_xmin", "bbox_ymin", "bbox_xmax", "bbox_ymax")


_KNOWN_LATER = (
    "identity_hash",
    "config_source",
    "lineage_kind",
    "n_cells",
    "n_layers",
    "n_timesteps",
    "mesh_hash",
    "zarr_path",
    "time_unit",
    "crs_epsg",
    "geographic_fingerprint",
)


def manifest_rows(content: dict[str, Any], checksum: str, event: Event) -> Iterator[Row]:
    """Yield all that a manifest says; ``checksum`` is its SHA-256, ``event`` the one that sealed the run."""
    run = content["run"]
    created = from_microseconds(content["opened"]["at"])
    values = {
        "status": run["status"],
        "created_at": created,
        "started_at": moment(run["started_at"]),
        "ended_at": moment(run["ended_at"]),
        "duration_s": number(run["duration_s"]),
        "seed": run["seed"],
        "parent_sim_id": run["parent_sim_id"],
        "config": json.dumps(content["config"]) if content["config"] is not None else None,
        "config_hash": run["config_hash"],
        # manifests of 0.1 know none of these
        **{name: run.get(name) for name in _KNOWN_LATER},
        "manifest_sha256": checksum,
        "error": run["error"],
        "traceback": run["traceback"],
    }
    yield from simulation_rows(run, values, event, SEALED, author=content["opened"]["author"])
    sim, stamp = run["sim_id"], event.stamp(SEALED)
    yield from (_parameter(sim, p, created, stamp) for p in content["parameters"])
    yield from (metric_row(sim, m, created, stamp) for m in content["metrics"])
    yield from (Row("tags", (sim, tag), tag_values(event), stamp) for tag in content["tags"])
    for said in content["inputs"]:
        yield from _input(sim, said, created, stamp)
    yield from _geography(sim, content.get("geography", {}), stamp)
    yield _environment(sim, content, event, stamp)
    yield from (_file(sim, f, event, stamp) for f in content["files"] if f["path"].endswith(".parquet"))


def simulation_rows(
    said: dict[str, Any], values: dict[str, Any], event: Event, rank: int, *, author: str
) -> Iterator[Row]:
    """Yield the row of a simulation and of the vocabularies it names, as said when it was opened or sealed."""
    sim, stamp = said["sim_id"], event.stamp(rank)
    bbox, period, outlet = said.get("bbox") or [None] * 4, said.get("period") or [None] * 2, said.get("outlet")
    common = {
        "project": said["project"],
        "solver": said["solver"],
        "flow_regime": said.get("flow_regime"),
        "mesh_topology": said.get("mesh_topology"),
        "crs_wkt": said.get("crs"),
        **dict(zip(_BBOX, map(number, bbox), strict=True)),
        "period_start": moment(period[0]),
        "period_end": moment(period[1]),
        "outlet_x": number(outlet[0]) if outlet else None,
        "outlet_y": number(outlet[1]) if outlet else None,
        "storage_basename": said["folder"],
        "folder": said["path"],
        "owner": json.dumps(said["owner"]),
        "principal_id": author,
        "updated_at": from_microseconds(event.at),
    }
    yield Row("simulations", (sim,), common | values, stamp)
    yield Row("simulations", (sim,), {"name": said["name"]}, stamp, group="name")
    about = {column: said.get(column) for column in ABOUT} | {"study_area_name": said.get("study_area")}
    yield Row("simulations", (sim,), about, stamp, group="about")
    yield Row("solvers", (said["solver"],), {"category": "unspecified", "description": None}, _NEVER_WINS)
    if said.get("study_area"):
        area = {"name": said["study_area"], **dict(zip(_BBOX, map(number, bbox), strict=True)), "crs_epsg": None}
        # one that was said without its extent does not take it away
        yield Row("dim_study_areas", (said["study_area"],), area, stamp if bbox[0] is not None else _NEVER_WINS)


def _parameter(sim: str, said: dict[str, Any], created: Any, stamp: str) -> Row:
    values = {
        **parameter_values(said),
        "unit": said["unit"],
        "parameterization": "uniform",
        "valid_from": created,
    }
    return Row("parameters", (sim, said["name"], said["zone"]), values, stamp)


def metric_row(sim: str, said: dict[str, Any], created: Any, stamp: str, *, later: bool = False) -> Row:
    """Return the row of a metric; one that is said ``later`` waits for its simulation."""
    start, end = said["period"]
    values = {
        "value": number(said["value"]),
        "n_samples": said["n_samples"],
        "period_start": moment(start),
        "period_end": moment(end),
        "valid_from": created,
    }
    key = (sim, said["station"], said["variable"], said["name"])
    return Row("metrics", key, values, stamp, needs=("simulations", sim) if later else None)


def _input(sim: str, said: dict[str, Any], created: Any, stamp: str) -> Iterator[Row]:
    yield Row(
        "tracked_files",
        (sim, said["role"], said["path"]),
        {
            "category": said["source"],
            "original_path": said["path"],
            "sha256": said["sha256"],
            "size_bytes": said["size"],
            "portable": True,
            "entry_id": said["entry_id"],
            "recorded_at": created,
        },
        stamp,
    )
    if said["role"] == "input":
        yield _provenance(sim, said, created, stamp)


def _provenance(sim: str, said: dict[str, Any], created: Any, stamp: str) -> Row:
    return Row(
        "provenance",
        (sim, said["variable"], said["entry_id"] or said["path"]),
        {
            "entry_id": said["entry_id"],
            "artifact_id": said["artifact_id"],
            "source_type": "cache" if said["entry_id"] else "custom_file",
            "source_sha256": said["sha256"],
            "file_path": said["path"],
            "license": said["license"],
            "data_provider": said["source"],
            "valid_from": created,
        },
        stamp,
    )


def _geography(sim: str, said: dict[str, Any], stamp: str) -> Iterator[Row]:
    for point in said.get("points", ()):
        values = {
            "x": number(point["x"]),
            "y": number(point["y"]),
            "cell_id": point["cell"],
            "layer": point["layer"],
            "crs_wkt": point["crs"],
            "crs_epsg": point["crs_epsg"],
        }
        yield Row("observation_points", (sim, point["station"]), values, stamp)
    for one in said.get("metadata", ()):
        shown = one["value"] if one["type"] in {"string", "double"} else json.dumps(one["value"])
        values = {"value": str(shown), "value_type": one["type"], "unit": one["unit"]}
        yield Row("geographic_metadata", (sim, one["key"]), values, stamp)
    for layer in said.get("features", ()):
        about = {name: layer[name] for name in ("rows", "bbox", "columns", "crs_epsg", "sha256")}
        values = {
            "geometry_kind": layer["kind"],
            "crs_wkt": layer["crs"],
            "geoparquet_path": layer["path"],
            "properties": json.dumps(about | {"encoding": "WKB", "geoparquet": "1.1.0"}),
        }
        yield Row("geographic_features", (sim, layer["name"]), values, stamp)


_OF_SOLVERS = (
    "project_git_commit",
    "conda_env_hash",
    "solver_binary_path",
    "solver_binary_sha256",
    "solver_version_text",
)


def _environment(sim: str, content: dict[str, Any], event: Event, stamp: str) -> Row:
    known = content["environment"]
    values = {
        "python_version": known["python_version"],
        "hydromodpy_version": known["hmp_version"],
        "platform": known["platform"],
        "hostname": known["hostname"],
        "user_name": known["user_name"],
        "cpu_info": json.dumps(known["cpu_info"]),
        "memory_gb": number(known["memory_gb"]),
        "git_commit": known["git_commit"],
        "git_dirty": known["git_dirty"],
        "solver_name": content["run"]["solver"],
        **{name: known.get(name) for name in _OF_SOLVERS},
        "additional_solvers": json.dumps(known["additional_solvers"]) if known.get("additional_solvers") else None,
        "env_packages": json.dumps(known["packages"]),
        "rng_seed": content["run"]["seed"],
        "principal_id": event.author,
        "recorded_at": from_microseconds(event.at),
    }
    return Row("runs_environment", (sim,), values, stamp)


def _file(sim: str, said: dict[str, Any], event: Event, stamp: str) -> Row:
    values = {
        "path": said["path"],
        "n_rows": said["rows"],
        "bytes": said["size"],
        "sha256": said["sha256"],
        "written_at": from_microseconds(event.at),
    }
    file = PurePosixPath(said["path"])
    # a layer of features may be called as a table is
    view = file.stem if file.parent.name == "tables" else file.with_suffix("").as_posix()
    return Row("parquet_files", (sim, view), values, stamp)


def tag_values(event: Event) -> dict[str, Any]:
    """Return when and by whom a tag was added."""
    return {"added_at": from_microseconds(event.at), "added_by": event.author}
