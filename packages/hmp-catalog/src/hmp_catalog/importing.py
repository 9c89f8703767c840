"""Into a catalog: the runs of a package become sealed runs here, all of them or, after any refusal, none.

Everything that can be refused is refused before a byte is written: damage, newer versions, names that lead elsewhere,
runs that are here already. Then each run is sealed as any other: it is on record as open, its files are laid out aside
and moved into place with their manifest in one step, its seal is in the log. A process that dies in between leaves an
open run, or one whose seal the fold finds.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hmp_catalog import manifest, package, packing, packs, queries
from hmp_catalog.errors import PackageConflict
from hmp_catalog.exporting import SAID_LATER
from hmp_catalog.plain import plain
from hmp_core.databases import Database
from hmp_core.durable import fsync_folder, make_folder, translated, write_atomic
from hmp_core.errors import ArchiveInvalid, CorruptError, InvalidInput, SchemaTooNewError, StorageError
from hmp_core.events.record import Event, from_dict
from hmp_core.identity import derived_id, random_id, sha256_file, sha256_path, slug
from hmp_core.layout import cache_path, catalog_path, init_project, project_folder
from hmp_core.locks import this_process
from hmp_core.paths import from_relative, to_relative

if TYPE_CHECKING:
    from hmp_catalog.catalog import SimulationCatalog
    from hmp_catalog.run import Run
    from hmp_core.events import EventStore
    from hmp_core.protocols import AuthBackend, CatalogBackend


@dataclass(frozen=True)
class Arrival:
    """A run of a package, and what becomes of it here."""

    listed: Mapping[str, Any]
    content: dict[str, Any]
    said: Sequence[Event]
    #: its id here
    sim_id: str
    folder: str
    #: it is here already; its files are restored
    known: bool = False

    @property
    def home(self) -> str:
        """Where it lies in the package."""
        return f"runs/{self.listed['sim_id']}"


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What is done with runs that are here already: nothing (refuse), restore their files, or a new id."""

    force: bool = False
    rename: bool = False
    as_project: str | None = None
    dry_run: bool = False


def bring(catalog: SimulationCatalog, path: Path, wish: Wish, *, sha256: str | None = None) -> list[Run]:
    """Import a package; see `SimulationCatalog.import_package`."""
    from hmp_catalog.run import Run

    catalog.store.authorize(write=True, what=f"import {path.name}")
    found = package.verify(path, sha256=sha256)
    home = catalog if wish.as_project is None else _beside(catalog, wish.as_project, wish)
    if home is None:
        return []
    arrivals = import_runs(home.store, home.workspace, found, wish, auth=catalog.auth)
    return [] if wish.dry_run else [Run(home, each.sim_id) for each in arrivals]


def _beside(catalog: SimulationCatalog, name: str, wish: Wish) -> SimulationCatalog | None:
    """Return the catalog of another project of the workspace; make it if need be, unless nothing is to be done."""
    if catalog.workspace == catalog.path:
        message = f"{catalog.path.name} is in no workspace: there is no project {name!r} beside it"
        raise InvalidInput(message)
    place = catalog.workspace / "projects" / project_folder(name)
    if wish.dry_run and not place.exists():
        return None
    Database("catalog", catalog_path(place)).authorize("write", catalog.auth, what="import into the project")
    return type(catalog)(init_project(catalog.workspace, name).path, create=True, auth=catalog.auth)


def import_runs(
    store: EventStore,
    workspace: Path,
    found: package.Package,
    wish: Wish,
    *,
    auth: AuthBackend | None = None,
) -> list[Arrival]:
    """Import every run of a verified package into the project of ``store``."""
    project = store.path.parent
    store.authorize(write=True, what=f"import {len(found.runs)} runs")
    if found.inputs:
        Database("cache", cache_path(workspace)).authorize("write", auth, what="place the inputs of a package")
    read = _read(found)
    with store.reading() as backend:
        arrivals = _settled(backend, project, read, wish)
    if wish.dry_run:
        return arrivals
    _require_room(project, found)
    with _laid_out(project, found) as aside:
        # laying out took time: what is decided is decided anew, under the lock
        with store.immediate() as backend:
            arrivals = _settled(backend, project, read, wish)
            places = {each.sim_id: _open(store, workspace, each) for each in arrivals if not each.known}
        _place_inputs(found, aside, workspace)
        for each in arrivals:
            if each.known:
                _mend(project / "simulations" / each.folder, each, aside / each.home / "files")
            else:
                _seal(store, found, each, aside, places[each.sim_id])
            _tell(store, found, each)
    return arrivals


def _tell(store: EventStore, found: package.Package, each: Arrival) -> None:
    about = {"sim_id": each.sim_id, "project": store.path.parent.name}
    came = {"package": found.sha256, "was": each.listed["sim_id"], "restored": each.known}
    store.commit([*(_told(each, event) for event in each.said), store.prepare("run.imported", about | came)])


# ── what is refused ──────────────────────────────────────────────────────────────────────────────────


def _read(found: package.Package) -> list[tuple[dict[str, Any], dict[str, Any], list[Event]]]:
    """Return list, manifest and later events of each run, having compared them."""
    homes = [f"runs/{run['sim_id']}" for run in found.runs]
    small = found.read([f"{home}/{name}" for home in homes for name in ("run.json", "events.jsonl")])
    read = []
    for home, run in zip(homes, found.runs, strict=True):
        where = f"{found.path}!{home}/run.json"
        try:
            content = manifest.parse(small[f"{home}/run.json"], where)
            _require_same(run, content)
            events = [from_dict(json.loads(line)) for line in small.get(f"{home}/events.jsonl", b"").splitlines()]
            strange = [e.kind for e in events if e.kind not in SAID_LATER or e.payload.get("sim_id") != run["sim_id"]]
            if strange:
                message = f"it says {strange[0]} of another run"
                raise ValueError(message)
        except SchemaTooNewError:
            raise
        except (CorruptError, ValueError, LookupError, TypeError, AttributeError) as error:
            message = f"{where}: {error}; nothing was taken from the package"
            raise ArchiveInvalid(message, path=str(found.path)) from error
        read.append((run, content, events))
    return read


def _require_same(run: Mapping[str, Any], content: Mapping[str, Any]) -> None:
    """The list and the manifest tell of the same run and the same files, none of which is the manifest itself."""
    there = {(f["path"], f["size"], f["sha256"]) for f in content["files"]}
    here = {(f["path"], f["size"], f["sha256"]) for f in run["files"]}
    own = {manifest.NAME, packs.NAME} & {str(path).split("/")[0] for path, _, _ in here}
    if content["run"]["sim_id"] != run["sim_id"] or there != here or own:
        message = "the manifest of the run and the list of the package differ"
        raise ValueError(message)


def _settled(backend: CatalogBackend, project: Path, read: Sequence[tuple[Any, Any, Any]], wish: Wish) -> list[Arrival]:
    """Say what becomes of each run; refuse all if one is here already and nobody said what then."""
    here = {str(row[0]): row for row in queries.folders(backend)}
    arrivals, conflicts = [], []
    for run, content, said in read:
        row = here.get(run["sim_id"])
        taken = queries.is_taken(backend, run["sim_id"]) and not _never_came(row, project)
        sim = str(random_id()) if wish.rename else run["sim_id"]
        folder = f"{slug(content['run']['name'] or content['run']['solver'])}__{sim[:8]}"
        if not taken or wish.rename:
            arrivals.append(Arrival(run, content, said, sim, folder))
        elif wish.force and row is not None and _is_same(project / "simulations" / str(row[3]), content):
            arrivals.append(Arrival(run, content, said, sim, str(row[3]), known=True))
        else:
            conflicts.append(run["sim_id"])
    if conflicts:
        remedy = "take them under new ids with rename=True" + (
            "" if wish.force else ", or restore them with force=True"
        )
        more = "; what is here under that id is in the trash, was purged, or is another recording" if wish.force else ""
        message = f"{', '.join(conflicts)} are in {project.name} already{more}; {remedy}"
        raise PackageConflict(message, sim_ids=conflicts)
    return arrivals


def _never_came(row: Sequence[Any] | None, project: Path) -> bool:
    """Return whether a run is known only from an import, or a recording, that died before there were files."""
    if row is None:
        return False
    _, _, status, folder, _, owner, _ = row
    died = queries.state(status, owner) == "interrupted"
    return died and not (project / "simulations" / str(folder) / manifest.NAME).exists()


def _is_same(folder: Path, content: Mapping[str, Any]) -> bool:
    """Return whether a run that is here is the recording that a package holds, whatever became of its files."""
    try:
        here = manifest.read(folder)[0]
    except FileNotFoundError:
        return False
    same = ("opened", "config", "parameters", "metrics", "inputs", "files")
    return all(here[key] == content[key] for key in same)


def _require_room(project: Path, found: package.Package) -> None:
    needed, free = sum(member.size for member in found.members), shutil.disk_usage(project).free
    if needed > free:
        message = f"{found.path} needs {needed} bytes at {project}, where {free} are free; make room and try again"
        raise StorageError(message, path=str(project))


# ── aside ────────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def _laid_out(project: Path, found: package.Package) -> Iterator[Path]:
    """Lay the files of a package out beside the runs, where nobody looks for one."""
    aside = project / ".hmp" / "importing" / secrets.token_hex(8)
    make_folder(aside)
    try:
        found.take(lambda member: aside / member.name if "/" in member.name else None)
        yield aside
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _place_inputs(found: package.Package, aside: Path, workspace: Path) -> None:
    """Put inputs that came along where the runs looked for them; what lies there already is left as it is."""
    for each in found.inputs:
        source = aside / "inputs" / each["sha256"]
        for path in each["paths"]:
            target = from_relative(path, workspace)
            if target.exists() and sha256_path(target) == each["sha256"]:
                continue
            if target.exists():
                target = workspace / "data" / "imported" / each["sha256"][:12] / target.name
            for said in each["files"]:
                file = target / said["path"] if each["folder"] else target
                _place(source / said["path"], file)


def _place(source: Path, target: Path) -> None:
    make_folder(target.parent)
    with translated(target):
        try:
            os.link(source, target)
        except FileExistsError:
            return
        except OSError:  # another file system, or one without links
            write_atomic(target, source.read_bytes(), overwrite=False)
        fsync_folder(target.parent)


# ── in place ─────────────────────────────────────────────────────────────────────────────────────────


def _open(store: EventStore, workspace: Path, each: Arrival) -> dict[str, Any]:
    """Put a run on record as open, and return what its manifest says of it here."""
    project, run = store.path.parent, each.content["run"]
    place = {
        "sim_id": each.sim_id,
        "name": run["name"],
        "project": project.name,
        "solver": run["solver"],
        "folder": each.folder,
        "path": to_relative(project / "simulations" / each.folder, workspace),
        "owner": this_process().as_dict(),
    }
    names = ("description", "scientific_objective", "contact_email", "study_area", "flow_regime", "mesh_topology")
    about = {name: run.get(name) for name in (*names, "period", "bbox", "crs", "outlet")}
    store.append("run.opened", place | {"about": about})
    return place


def _seal(store: EventStore, found: package.Package, each: Arrival, aside: Path, place: dict[str, Any]) -> None:
    """Move the files into place together with a manifest that says where they are now, and seal."""
    home = store.path.parent / "simulations"
    files = aside / each.home / "files"
    make_folder(files)
    event = store.prepare("run.sealed", {})
    run = each.content["run"]
    came = {
        "sim_id": run["sim_id"],
        "project": run["project"],
        "path": run["path"],
        "manifest_sha256": each.listed["manifest"]["sha256"],
        "package_sha256": found.sha256,
    }
    content = dict(each.content) | {
        "event": manifest.event_facts(event),
        "run": run | {key: place[key] for key in ("sim_id", "project", "folder", "path")},
        "imported": [*each.content.get("imported", []), came],
    }
    with translated(home):
        checksum = manifest.write(files, content)
        for folder in sorted((p for p in files.rglob("*") if p.is_dir()), reverse=True):
            fsync_folder(folder)
        home.mkdir(exist_ok=True)
        _move(files, home / each.folder)
        fsync_folder(home)
    event.payload.update(manifest.sealing_payload(content["run"], checksum))
    store.commit([event])


def _move(files: Path, target: Path) -> None:
    if target.exists():
        message = f"{target} is in the way, which no run speaks of; move it away"
        raise PackageConflict(message, sim_ids=[])
    os.rename(files, target)


def _told(each: Arrival, event: Event) -> Event:
    """Return what was said of a run as it is said of it here; told twice it is the same event."""
    if each.sim_id == each.listed["sim_id"]:
        return event
    identity = derived_id("imported", each.sim_id, str(event.id))
    payload = event.payload | {"sim_id": each.sim_id}
    return Event(identity, event.component, event.v, event.kind, event.clock, event.at, event.author, plain(payload))


def _mend(folder: Path, each: Arrival, files: Path) -> None:
    """Put back the files of a run that is here, where they are missing or not what was sealed."""
    pack, said = folder / packs.NAME, each.content["files"]
    if pack.exists():
        try:
            packing.verify(pack, said)
        except CorruptError:
            pass
        else:
            return
    for one in said:
        target = from_relative(one["path"], folder)
        if not target.is_file() or sha256_file(target) != one["sha256"]:
            make_folder(target.parent)
            with translated(target):
                os.replace(files / one["path"], target)
                fsync_folder(target.parent)
    pack.unlink(missing_ok=True)
    fsync_folder(folder)
