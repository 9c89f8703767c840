"""What processes that died left behind, and nothing speaks of any more; and a database made small again."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hmp_catalog import claims, manifest, purging, queries
from hmp_core.durable import translated
from hmp_core.locks import database_lock, this_process

if TYPE_CHECKING:
    from hmp_core.events import EventStore
    from hmp_core.protocols import AuthBackend
    from hmp_core.upkeep.vacuum import Vacuumed

_HALF = "half a file, of a process that died"

#: Seconds for which a folder that nobody speaks of may be one that is being made, or copied here.
_YOUNG = 86_400.0


@dataclass(frozen=True, slots=True)
class Leftover:
    """Something that may be cleared away: what it is, where (relative to the project), and how much room it takes."""

    kind: str
    path: str
    size: int
    why: str
    sim_id: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it as a row."""
        return asdict(self)


def sweep(store: EventStore, *, older_than: timedelta, apply: bool, timeout: float) -> list[Leftover]:
    """Return what was left behind; with ``apply`` clear it away, and put that on the audit trail."""
    store.authorize(write=apply, what="clear away what was left behind")
    if not apply:
        return list(_leftovers(store, older_than))
    with database_lock(store.path).hold(timeout):
        with store.immediate():
            found = list(_leftovers(store, older_than))
        for each in found:
            _clear(store, each)
        if found:
            said = [{key: value for key, value in each.as_dict().items() if key != "why"} for each in found]
            about = {"project": store.path.parent.name, "host": this_process().host}
            store.append("catalog.swept", about | {"removed": said})
    return found


def _clear(store: EventStore, each: Leftover) -> None:
    where = store.path.parent / each.path
    if each.kind == "log":
        purging.scrub_log(store, [str(each.sim_id)])
    elif where.parent.name == claims.FOLDER:
        claims.clear(where)
    elif where.is_dir():
        with translated(where):
            shutil.rmtree(where)
    else:
        with translated(where):
            where.unlink(missing_ok=True)


def _leftovers(store: EventStore, older_than: timedelta) -> Iterator[Leftover]:
    project = store.path.parent
    with store.reading() as backend:
        rows = {row[3]: row for row in queries.folders(backend)}
        purged = {row["sim_id"] for row in queries.deletions(backend)}
        pinned = queries.pinned(backend)
    yield from _folders(project, rows, pinned, older_than.total_seconds())
    yield from _temporary(project)
    yield from _telling(store, purged)


def _folders(project: Path, rows: dict[str, Any], pinned: set[str], patience: float) -> Iterator[Leftover]:
    for home in (manifest.HOME, manifest.TRASH):
        for folder in sorted((project / home).glob("*")):
            if not folder.is_dir() or (folder / manifest.NAME).is_file():
                continue  # what was sealed stays
            relative, size, row = folder.relative_to(project).as_posix(), _size(folder), rows.get(folder.name)
            if folder.name.startswith(purging.GOING):
                yield Leftover("purge", relative, size, "its run was purged, and its process died")
            elif row is None and _age(folder) > _YOUNG:
                yield Leftover("orphan", relative, size, "no run has this folder, and it was never sealed")
            elif row is not None and row[0] not in pinned and _is_over(row) and _age(folder) > patience:
                why = "its run was interrupted: it stays listed, without these files"
                yield Leftover("interrupted", relative, size, why, row[0])


def _is_over(row: tuple[Any, ...]) -> bool:
    _, _, status, _, _, owner, *_ = row
    return queries.state(status, owner) == "interrupted"


def _temporary(project: Path) -> Iterator[Leftover]:
    """Yield what was being written when its process died; a rename would have given it its name."""
    for home in (project, project / ".hmp", project / ".hmp" / "catalog" / "doing", project / "events"):
        yield from _halves(project, home.glob(".*.tmp"))
    # half a pack; half an import
    yield from _halves(project, (project / "simulations").glob("*/.*.tmp"))
    yield from _halves(project, (project / "observations").glob("*/.*.tmp"))
    yield from _halves(project, (project / ".hmp" / "importing").glob("*"))
    yield from _halves(project, claims.left(project / "catalog.duckdb"))


def _halves(project: Path, found: Iterable[Path]) -> Iterator[Leftover]:
    for file in sorted(found):
        if _age(file) > _YOUNG:
            size = _size(file) if file.is_dir() else file.stat().st_size
            yield Leftover("temporary", file.relative_to(project).as_posix(), size, _HALF)


def _telling(store: EventStore, purged: set[str]) -> Iterator[Leftover]:
    """Yield the purged runs of which packs of the log still say something: a process held the segment then."""
    from hmp_core.events.record import decode

    found: dict[str, int] = {}
    for pack in store.files.packed() if purged else []:
        for line in decode(pack.read_bytes()):
            if line.event is not None and purging.tells_of(line.event, purged):
                sim_id = line.event.payload["sim_id"]
                found[sim_id] = found.get(sim_id, 0) + line.end - line.start
    for sim_id, size in sorted(found.items()):
        yield Leftover("log", "events", size, "the log still tells of a run that was purged", sim_id)


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _age(path: Path) -> float:
    """Return the seconds since anything in a folder was changed."""
    newest = max((os.stat(file).st_mtime for file in path.rglob("*")), default=0.0)
    return time.time() - max(newest, path.stat().st_mtime)


def shrink(store: EventStore, *, auth: AuthBackend | None, timeout: float) -> Vacuumed:
    """Fold what is pending, and write the database anew without the room of what is gone."""
    from hmp_core.databases import Database
    from hmp_core.upkeep.vacuum import vacuum

    database = Database("catalog", store.path)
    store.fold()
    authority = database.auth() if auth is None else auth
    return vacuum(
        store.path,
        store.components,
        timeout=timeout,
        auth=authority,
        resource=database.resource,
        backend=store.backend_factory,
    )
