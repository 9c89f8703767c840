"""Events in, rows out: what each event of the catalog says about its tables. Pure, but that it reads manifests.

A sealed run is told by its manifest, whether the event or only the file is left. Ranks order what is said of one
row: opening (1) gives way to sealing (2), and what a user says later (3) to neither's clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from hmp_catalog import chain, manifest
from hmp_catalog.facts import ABOUT
from hmp_catalog.meanings import calibrations, description, lifecycle, observations, portability, vocabulary, workflow
from hmp_catalog.meanings.trail import SCRUBBED, audit_row, circumstances
from hmp_catalog.plain import from_microseconds
from hmp_catalog.queries import unsealed, waiting_ids
from hmp_catalog.sealed import LATER, OPENED, manifest_rows, metric_row, simulation_rows, tag_values
from hmp_core.errors import CorruptError, SchemaTooNewError
from hmp_core.events import Event, Fold, NotYet, Row, Table
from hmp_core.events.fold import Purge
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
    **description.AUDITED,
    **lifecycle.AUDITED,
    **portability.AUDITED,
}


def _rows(event: Event, project: Path) -> list[Row | Purge]:
    """Return what an event says.

    Raises
    ------
    NotYet
        For a kind or version this hmp does not know, or a manifest that cannot be read.
    """
    if event.v == SCRUBBED and event.kind in _KINDS:
        return [row] if (row := audited(event, project)) is not None else []
    read = _KINDS.get(event.kind)
    if read is None or event.v != 1:
        message = f"{event.kind} v{event.v} is not known to this hmp"
        raise NotYet(message)
    try:
        found = list(read(event, project))
    except NotYet as reason:
        rest = [row] if (row := audited(event, project)) is not None else []
        raise NotYet(str(reason), subject=event.payload.get("sim_id"), rest=rest) from None
    except (ArithmeticError, RecursionError) as error:
        # one number that is too great must not keep everything else from being read
        message = f"its facts are not understood: {error}"
        raise NotYet(message) from error
    if (row := audited(event, project)) is not None:
        found.append(row)
    rows = (row for row in found if isinstance(row, Row))
    strange = next((row for row in rows if not all(isinstance(part, str) for part in row.key)), None)
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


def _unreadable(event: Event, project: Path) -> Iterator[Row | Purge]:
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


def audited(event: Event, project: Path) -> Row | None:
    """Return what the audit trail says of an event; None if it is not on it."""
    known = event.kind in AUDITED and event.v in {SCRUBBED, 1}
    return audit_row(event, project, _audited_as(event)) if known else None


def _circumstances(kind: str, project: Path, author: str) -> dict[str, Any]:
    return circumstances(project, author) if kind in AUDITED else {}


def _audited_as(event: Event) -> str:
    untagged = event.kind == "run.tagged" and not event.payload.get("on", True)
    return "sim.tag_remove" if untagged else AUDITED[event.kind]


_KINDS: dict[str, Callable[[Event, Path], Iterable[Row | Purge]]] = {
    "run.opened": _opened,
    "run.sealed": _sealed,
    "run.unreadable": _unreadable,
    "run.tagged": _tagged,
    "run.renamed": _overlaid("name", "name"),
    "run.noted": _overlaid("notes", "notes"),
    "run.measured": _measured,
    **calibrations.MEANINGS,
    **description.MEANINGS,
    **lifecycle.MEANINGS,
    **observations.MEANINGS,
    **portability.MEANINGS,
    **vocabulary.MEANINGS,
    **workflow.MEANINGS,
}


# ── what the files tell without the log ──────────────────────────────────────────────────────────────


def _files(project: Path) -> Iterator[Event]:
    """Yield the sealing event of each run folder; one that cannot be read waits, and is counted."""
    for folder in manifest.sealed_folders(project):
        try:
            content, checksum = manifest.read(folder)
            yield (sealed := manifest.sealing_event(content, checksum))
            if folder.parent.name == manifest.TRASH:
                yield _found_in_trash(sealed, folder)
        except FileNotFoundError:
            continue
        except (CorruptError, SchemaTooNewError):
            identity = derived_id("catalog", "unreadable", folder.name)
            yield Event(identity, "catalog", 1, "run.unreadable", 0, 0, "", {"folder": folder.name})


def _found_in_trash(sealed: Event, folder: Path) -> Event:
    """Return what a folder in the trash tells; any word of the log, which knows when it came there, wins over it."""
    identity, said = derived_id("catalog", "trash", folder.name), {"sim_id": sealed.payload["sim_id"]}
    return Event(identity, "catalog", 1, "run.found_in_trash", 0, sealed.at, sealed.author, said)


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
        Table("metric_definitions", ("metric_name",)),
        Table("dim_metrics", ("code",)),
        Table("dim_variables", ("code",)),
        Table("dim_study_areas", ("code",)),
        Table(
            "simulations",
            ("sim_id",),
            {
                "name": ("name",),
                "notes": ("notes",),
                "about": ABOUT,
                "doi": ("doi",),
                "trash": ("trashed_at",),
                "packed": portability.PACKED,
            },
            subject="sim_id",
        ),
        Table("parameters", ("sim_id", "param_name", "zone_id"), subject="sim_id"),
        Table("metrics", ("sim_id", "station_id", "variable", "metric_name"), subject="sim_id"),
        Table("tags", ("sim_id", "tag"), subject="sim_id"),
        Table("tracked_files", ("sim_id", "role", "canonical_path"), subject="sim_id"),
        Table("provenance", ("sim_id", "variable", "source_ref"), subject="sim_id"),
        Table("runs_environment", ("sim_id",), subject="sim_id"),
        Table("parquet_files", ("sim_id", "view_name"), subject="sim_id"),
        Table("observation_points", ("sim_id", "station_id"), subject="sim_id"),
        Table("geographic_features", ("sim_id", "feature_name"), subject="sim_id"),
        Table("geographic_metadata", ("sim_id", "key"), subject="sim_id"),
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
            emptied={"best_sim_id": ("best_sim_id",)},
        ),
        Table("calibration_iterations", ("session_id", "trial_id"), emptied={"sim_id": ("sim_id",)}),
        Table("observations", ("addition_id",)),
        Table("stations", ("station_id", "variable_type")),
        Table("workflow_steps", ("step_id",), {"end": workflow.END}),
        # what happened stays on record; what was said of the run does not
        Table("audit_log", ("event_id",), emptied={"sim_id": ("payload",)}),
        Table("deletions", ("sim_id",)),
    ),
    rows=_rows,
    files=_files,
    orphans=_orphans,
    before_commit=chain.extend,
    circumstances=_circumstances,
)
