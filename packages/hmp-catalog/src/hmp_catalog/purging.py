"""Removing a run for ever: the tombstone, its files, its rows, what the log said of it, and a certificate.

The order is that of architecture: the tombstone is in the log before a file goes, so that nobody can take a run that
is half gone for one that is damaged. Each step can be made again.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hmp_catalog import doing, manifest, privacy, queries
from hmp_catalog.doing import Doing
from hmp_catalog.meanings.trail import SCRUBBED, emptied
from hmp_catalog.plain import fingerprint
from hmp_core.durable import translated
from hmp_core.errors import CorruptError
from hmp_core.events import Event
from hmp_core.events.scrubbing import Scrubbed, scrub
from hmp_core.identity import sha256_tree

if TYPE_CHECKING:
    from hmp_catalog.privacy import Certificate
    from hmp_core.events import EventStore
    from hmp_core.protocols import CatalogBackend

#: How the folder of a run is called while its files are removed: no run has such a name.
GOING = ".purging-"
#: What tells that a run was purged, and must stay.
_TOMBSTONE = "run.purged"


def rows_of(backend: CatalogBackend, sim_id: str) -> dict[str, int]:
    """Return how many rows of which tables a purge of a run removes."""
    from hmp_catalog.fold import FOLD

    found = {}
    for table in (table.name for table in FOLD.tables if table.subject == "sim_id"):
        ((count,),) = backend.fetch_all(f"SELECT count(*) FROM {table} WHERE sim_id = CAST($1 AS UUID)", [sim_id])
        found[table] = int(count)
    return {table: count for table, count in found.items() if count}


def facts(project: Path, folder: str, rows: dict[str, int], manifest_sha256: str | None) -> dict[str, Any]:
    """Return what is to be known of a run once it is gone: how much there was, and one hash over it."""
    where = manifest.run_folder(project, folder)
    files = [file for file in where.rglob("*") if file.is_file()]
    components = {
        "rows": rows,
        "files": len(files),
        "bytes": sum(file.stat().st_size for file in files),
        "manifest_sha256": manifest_sha256,
        "files_sha256": sha256_tree(where) if files else None,
    }
    return {"components": components, "sha256_snapshot": fingerprint(components)}


def carry_out(store: EventStore, begun: Sequence[Doing]) -> list[Certificate]:
    """Purge what was begun, from wherever it was left; the caller holds the lock, and no lease."""
    if not begun:
        return []
    told = {each.sim_id: each.told() for each in begun}
    store.commit(list(told.values()))
    for each in begun:
        _remove(store.path.parent, each.folder)
    store.log.turn()
    store.fold()
    _require_tombstones(store, told.keys())
    scrubbed = scrub_log(store, told.keys())
    done = [privacy.certify(store, told[each.sim_id], scrubbed.left) for each in begun]
    for each in begun:
        doing.end(store.path, each)
    return done


def _require_tombstones(store: EventStore, sim_ids: Collection[str]) -> None:
    """Raise if a purge was logged and is not in the tables: then the log must keep what it says."""
    with store.reading() as backend:
        missing = set(sim_ids) - {row["sim_id"] for row in queries.deletions(backend)}
        if missing:
            why = "; ".join(queries.reasons(backend)) or str(store.notice)
            message = f"the purge of {', '.join(sorted(missing))} is on record and not in {store.path.name}: {why}"
            raise CorruptError(message, path=str(store.path))


def _remove(project: Path, folder: str) -> None:
    """Remove the files of a run: out of sight in one step, then one by one."""
    going = project / manifest.TRASH / f"{GOING}{folder}"
    for home in (manifest.HOME, manifest.TRASH):
        where = project / home / folder
        if where.exists() and going.exists():
            _clear(going)
        doing.move(where, going)
    _clear(going)


def _clear(folder: Path) -> None:
    if folder.exists():
        with translated(folder):
            shutil.rmtree(folder)


def scrub_log(store: EventStore, sim_ids: Collection[str]) -> Scrubbed:
    """Empty what the log says of purged runs; that something was said, by whom and when, stays."""
    gone = set(sim_ids)

    return scrub(store.path, lambda event: emptied(event) if tells_of(event, gone) else None)


def tells_of(event: Event, sim_ids: Collection[str]) -> bool:
    """Return whether an event says something of one of these runs, beyond that it was purged."""
    told = event.kind.startswith("run.") and event.kind != _TOMBSTONE and event.v != SCRUBBED
    return told and event.payload.get("sim_id") in sim_ids
