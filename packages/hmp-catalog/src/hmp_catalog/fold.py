"""Events in, rows out: what each event of the catalog says about its tables. Pure, but that it reads manifests.

A sealed run is told by its manifest, whether the event or only the file is left. Ranks order what is said of one
row: opening (1) gives way to sealing (2), and what a user says later (3) to neither's clock.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from hmp_catalog import manifest
from hmp_catalog.meanings import observations, workflow
from hmp_catalog.plain import from_microseconds, number
from hmp_catalog.queries import unsealed, waiting_ids
from hmp_catalog.sealed import ABOUT, LATER, OPENED, SEALED, manifest_rows, metric_row, simulation_rows, tag_values
from hmp_core.errors import CorruptError, SchemaTooNewError
from hmp_core.events import Event, Fold, NotYet, Row, Table
from hmp_core.identity import derived_id
from hmp_core.protocols import CatalogBackend

#: Kinds of event that are on the audit trail, and what they are called there.
AUDITED = {
    "run.opened": "sim.register",
    "run.sealed": "sim.finalize",
    "run.tagged": "sim.tag_add",
    "run.renamed": "sim.rename",
    "run.noted": "note.add",
    "run.measured": "metric.write",
}


def _rows(event: Event, project: Path) -> list[Row]:
    """Return what an event says.

    Raises
    ------
    NotYet
        For a kind or version this hmp does not know, or a manifest that cannot be read.
    """
    read = _KINDS.get(event.kind)
    if read is None or event.v != 1:
        message = f"{event.kind} v{event.v} is not known to this hmp"
        raise NotYet(message)
    try:
        found = list(read(event, project))
    except (ArithmeticError, RecursionError) as error:
        # one number that is too great must not keep everything else from being read
        message = f"its facts are not understood: {error}"
        raise NotYet(message) from error
    if event.kind in AUDITED:
        found.append(_audit(event, project))
    strange = next((row for row in found if not all(isinstance(part, str) for part in row.key)), None)
    if strange is not None:
        message = f"the key of a row of {strange.table} is {strange.key}, expected text"
        raise NotYet(message)
    return found


def _opened(event: Event, project: Path) -> Iterator[Row]:  # noqa: ARG001
    said = event.payload
    run = {"status": "running", "created_at": from_microseconds(event.at), "started_at": from_microseconds(event.at)}
    yield from simulation_rows(said | said["about"], run, event, OPENED, author=event.author)


def _sealed(event: Event, project: Path) -> Iterator[Row]:
    folder = manifest.run_folder(project, event.payload["folder"])
    try:
        # the event knows the hash of the whole file: its own checksum need not be asked
        content, checksum = manifest.read(folder, verify=False)
    except FileNotFoundError:
        message = f"{folder.name}/{manifest.NAME} is missing: restore the folder from a backup"
        raise NotYet(message) from None
    except (CorruptError, SchemaTooNewError) as error:
        raise NotYet(str(error)) from error
    if checksum != event.payload["sha256"]:
        message = f"{folder.name}/{manifest.NAME} was changed after it was sealed: restore it from a backup"
        raise NotYet(message)
    yield from manifest_rows(content, checksum, event)


def _unreadable(event: Event, project: Path) -> Iterator[Row]:
    """A rebuild met a manifest that it could not read; once it is mended, it tells the run."""
    try:
        mended = manifest.sealing_event(*manifest.read(manifest.run_folder(project, event.payload["folder"])))
    except FileNotFoundError:
        return
    except (CorruptError, SchemaTooNewError) as error:
        raise NotYet(str(error)) from error
    yield from _rows(mended, project)


# ── said later ───────────────────────────────────────────────────────────────────────────────────────


def _tagged(event: Event, project: Path) -> Iterator[Row]:  # noqa: ARG001
    sim = event.payload["sim_id"]
    values = tag_values(event) if event.payload["on"] else None
    yield Row("tags", (sim, event.payload["tag"]), values, event.stamp(LATER), needs=("simulations", sim))


def _overlaid(group: str, column: str) -> Callable[[Event, Path], Iterator[Row]]:
    def read(event: Event, project: Path) -> Iterator[Row]:  # noqa: ARG001
        sim = event.payload["sim_id"]
        values = {column: event.payload[column]}
        yield Row("simulations", (sim,), values, event.stamp(LATER), group=group, needs=("simulations", sim))

    return read


def _measured(event: Event, project: Path) -> Iterator[Row]:  # noqa: ARG001
    stamp = event.stamp(LATER)
    yield metric_row(event.payload["sim_id"], event.payload["metric"], from_microseconds(event.at), stamp, later=True)


# ── calibration ──────────────────────────────────────────────────────────────────────────────────────


def _calibration_opened(event: Event, project: Path) -> Iterator[Row]:  # noqa: ARG001
    said = event.payload
    at = from_microseconds(event.at)
    values = {
        "project": said["project"],
        "method": said["method"],
        "objective_name": said["objective"],
        "config": json.dumps(said["config"]),
        "seed": said["seed"],
        "hostname": said["hostname"],
        "started_at": at,
    }
    yield Row("calibration_sessions", (said["session_id"],), values, event.stamp())
    running = {"status": "running"}
    yield Row("calibration_sessions", (said["session_id"],), running, event.stamp(OPENED), group="end")


def _trial(event: Event, project: Path) -> Iterator[Row]:  # noqa: ARG001
    said = event.payload
    values = {
        "iteration": said["iteration"],
        "sim_id": said["sim_id"],
        "params_hash": said["params_hash"],
        "parameters": json.dumps(said["parameters"]),
        "objective_value": number(said["objective"]),
        "metrics": json.dumps(said["metrics"]),
        "status": said["status"],
        "from_cache": said["status"] == "cached",
    }
    key = (said["session_id"], said["trial_id"])
    needs = ("calibration_sessions", said["session_id"])
    yield Row("calibration_iterations", key, values, event.stamp(), needs=needs)


def _calibration_closed(event: Event, project: Path) -> Iterator[Row]:  # noqa: ARG001
    said = event.payload
    values = {
        "status": said["status"],
        "n_iterations": said["n_trials"],
        "best_objective": number(said["best_objective"]),
        "best_params_hash": said["best_params_hash"],
        "best_sim_id": said["best_sim_id"],
        "error_message": said["error"],
        "duration_s": number(said["duration_s"]),
        "ended_at": from_microseconds(event.at),
    }
    session = said["session_id"]
    needs = ("calibration_sessions", session)
    yield Row("calibration_sessions", (session,), values, event.stamp(SEALED), group="end", needs=needs)


# ── the audit trail ──────────────────────────────────────────────────────────────────────────────────


def _audit(event: Event, project: Path) -> Row:
    kind = AUDITED[event.kind]
    if event.kind == "run.tagged" and not event.payload["on"]:
        kind = "sim.tag_remove"
    values = {
        "occurred_at": from_microseconds(event.at),
        "actor": event.author,
        "actor_kind": "os_user",
        "event_type": kind,
        "sim_id": event.payload["sim_id"],
        "project": event.payload.get("project", project.name),
        "payload": json.dumps({k: v for k, v in event.payload.items() if k not in {"about", "owner"}}),
    }
    return Row("audit_log", (str(event.id),), values, event.stamp())


_KINDS: dict[str, Callable[[Event, Path], Iterable[Row]]] = {
    "run.opened": _opened,
    "run.sealed": _sealed,
    "run.unreadable": _unreadable,
    "run.tagged": _tagged,
    "run.renamed": _overlaid("name", "name"),
    "run.noted": _overlaid("notes", "notes"),
    "run.measured": _measured,
    "calibration.opened": _calibration_opened,
    "calibration.trial": _trial,
    "calibration.closed": _calibration_closed,
    **observations.MEANINGS,
    **workflow.MEANINGS,
}


# ── what the files tell without the log ──────────────────────────────────────────────────────────────


def _files(project: Path) -> Iterator[Event]:
    """Yield the sealing event of each run folder; one that cannot be read waits, and is counted."""
    for folder in manifest.sealed_folders(project):
        try:
            yield manifest.sealing_event(*manifest.read(folder))
        except FileNotFoundError:
            continue
        except (CorruptError, SchemaTooNewError):
            identity = derived_id("catalog", "unreadable", folder.name)
            yield Event(identity, "catalog", 1, "run.unreadable", 0, 0, "", {"folder": folder.name})


def _orphans(backend: CatalogBackend, project: Path) -> Iterator[Event]:
    """Yield the seals that could not be logged: an open run, a dead owner, a whole manifest.

    A seal that waits was logged, and what was logged is believed before the file.
    """
    waiting = waiting_ids(backend)
    for folder in unsealed(backend):
        try:
            event = manifest.sealing_event(*manifest.read(manifest.run_folder(project, folder)))
        except (FileNotFoundError, CorruptError, SchemaTooNewError):
            continue  # interrupted; what was half a seal was never acknowledged
        if str(event.id) not in waiting:
            yield event


FOLD = Fold(
    component="catalog",
    migrations=Path(__file__).parent / "sql" / "migrations",
    tables=(
        Table("solvers", ("code",)),
        Table("dim_study_areas", ("code",)),
        Table(
            "simulations",
            ("sim_id",),
            {"name": ("name",), "notes": ("notes",), "about": ABOUT, "doi": ("doi",), "trash": ("trashed_at",)},
            subject="sim_id",
        ),
        Table("parameters", ("sim_id", "param_name", "zone_id"), subject="sim_id"),
        Table("metrics", ("sim_id", "station_id", "variable", "metric_name"), subject="sim_id"),
        Table("tags", ("sim_id", "tag"), subject="sim_id"),
        Table("tracked_files", ("sim_id", "role", "canonical_path"), subject="sim_id"),
        Table("provenance", ("sim_id", "variable", "source_ref"), subject="sim_id"),
        Table("runs_environment", ("sim_id",), subject="sim_id"),
        Table("parquet_files", ("sim_id", "view_name"), subject="sim_id"),
        Table(
            "calibration_sessions",
            ("session_id",),
            {
                "end": (
                    "n_iterations",
                    "best_sim_id",
                    "best_objective",
                    "best_params_hash",
                    "ended_at",
                    "duration_s",
                    "status",
                    "error_message",
                )
            },
        ),
        Table("calibration_iterations", ("session_id", "trial_id")),
        Table("observations", ("addition_id",)),
        Table("stations", ("station_id", "variable_type")),
        Table("workflow_steps", ("step_id",), {"end": workflow.END}),
        Table("audit_log", ("event_id",)),
    ),
    rows=_rows,
    files=_files,
    orphans=_orphans,
)
