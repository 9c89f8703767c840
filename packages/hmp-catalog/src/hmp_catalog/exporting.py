"""Out of a catalog: finished runs into one package, with what was said of them since and, if wanted, their inputs."""

from __future__ import annotations

import hashlib
import io
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from hmp_catalog import manifest, package, packs
from hmp_core import tarball
from hmp_core.durable import fsync_folder, translated
from hmp_core.errors import CorruptError, InvalidInput, PathEscape, PathNotFound, PathTaken
from hmp_core.events.record import Event, to_json
from hmp_core.identity import sha256_bytes, sha256_file, sha256_path
from hmp_core.paths import from_relative

if TYPE_CHECKING:
    from hmp_catalog.catalog import SimulationCatalog
    from hmp_core.events import EventStore

#: What is said of a sealed run and goes along with it; where it lies, and that it was exported, does not.
SAID_LATER = frozenset({"run.tagged", "run.renamed", "run.noted", "run.measured", "run.cited"})

Source = tuple[package.Member, "Path | packs.Packed | bytes"]


def take(
    catalog: SimulationCatalog, references: Any, target: Path, *, with_inputs: bool, overwrite: bool
) -> package.Package:
    """Write sealed runs into a package; see `SimulationCatalog.export_package`."""
    from hmp_catalog.run import Run

    given = [references] if isinstance(references, (str, Run)) else list(references)
    runs = {run.sim_id: run for run in (one if isinstance(one, Run) else catalog[one] for one in given)}
    folders = [run.folder for run in runs.values()]
    said = {"with_inputs": with_inputs, "overwrite": overwrite}
    return export_runs(catalog.store, folders, target, workspace=catalog.workspace, **said)


def export_runs(
    store: EventStore,
    folders: Sequence[Path],
    target: Path,
    *,
    workspace: Path,
    with_inputs: bool = False,
    overwrite: bool = False,
) -> package.Package:
    """Write the runs of some folders into a package and verify it."""
    store.authorize(write=True, what=f"export {len(folders)} runs")
    if not folders:
        message = "there is no simulation to export"
        raise InvalidInput(message)
    if target.exists() and not overwrite:
        message = f"{target} is there already; take another name, or say overwrite=True"
        raise PathTaken(message, path=str(target))
    if not target.parent.is_dir():
        message = f"{target.parent}: no such folder"
        raise PathNotFound(message, path=str(target.parent))
    store.log.ready()  # no package leaves that nobody can put on record
    content, sources = _gathered(store, folders, workspace, with_inputs=with_inputs)
    beside = target.with_name(f".{target.name[:200]}.{secrets.token_hex(4)}.tmp")
    with translated(target):
        try:
            _write(beside, content, sources)
            found = package.verify(beside)
            os.replace(beside, target)
            fsync_folder(target.parent)
        finally:
            beside.unlink(missing_ok=True)
    for run in found.runs:
        said = {"sim_id": run["sim_id"], "project": store.path.parent.name, "package": found.sha256}
        store.append("run.exported", said | {"name": target.name, "with_inputs": with_inputs})
    return package.Package(target, found.content, found.sha256)


def _gathered(
    store: EventStore, folders: Sequence[Path], workspace: Path, *, with_inputs: bool
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the list of a package, and where each of its members lies."""
    from hmp_catalog.chain import anchored

    said = _said_later(store)
    sources: dict[str, Any] = {}
    runs: list[dict[str, Any]] = []
    inputs: dict[str, dict[str, Any]] = {}
    missing: dict[tuple[str, str], dict[str, Any]] = {}
    for folder in folders:
        content, data = _manifest(folder)
        runs.append(_run(folder, content, data, said.get(content["run"]["sim_id"], []), sources))
        for each in content["inputs"] if with_inputs else ():
            if not _input(each, workspace, inputs, sources):
                missing[each["path"], each["sha256"]] = {"path": each["path"], "sha256": each["sha256"]}
    project = store.path.parent
    return {
        "format": package.FORMAT,
        "version": package.VERSION,
        "origin": {"project": project.name, "audit": anchored(project)},
        "runs": runs,
        "inputs": list(inputs.values()),
        "missing_inputs": list(missing.values()),
    }, sources


def _manifest(folder: Path) -> tuple[dict[str, Any], bytes]:
    try:
        data = (folder / manifest.NAME).read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        message = f"{folder} has no {manifest.NAME}: only a sealed run that is in its place is exported"
        raise PathNotFound(message, path=str(folder)) from error
    return manifest.parse(data, str(folder / manifest.NAME)), data


def _run(
    folder: Path, content: Mapping[str, Any], data: bytes, said: Sequence[Event], sources: dict[str, Any]
) -> dict[str, Any]:
    sim = content["run"]["sim_id"]
    home = f"runs/{sim}"
    lines = "".join(to_json(event.as_dict()) + "\n" for event in said).encode()
    sources[f"{home}/run.json"] = data
    sources[f"{home}/events.jsonl"] = lines
    files = [{key: each[key] for key in ("path", "size", "sha256")} for each in content["files"]]
    for each in files:
        found = packs.find(folder, each["path"])
        if found is None:
            message = f"{folder / each['path']} is missing, which the run left behind; restore it from a backup"
            raise CorruptError(message, path=str(folder / each["path"]))
        sources[f"{home}/files/{each['path']}"] = found
    return {
        "sim_id": sim,
        "name": content["run"]["name"],
        "manifest": _announced(data),
        "events": _announced(lines) if said else None,
        "files": sorted(files, key=lambda each: str(each["path"])),
    }


def _announced(data: bytes) -> dict[str, Any]:
    return {"size": len(data), "sha256": sha256_bytes(data)}


def _said_later(store: EventStore) -> dict[str, list[Event]]:
    """Return what was said of each sealed run, in the order of the clock, each once."""
    events = {e.id: e for e in store.files.everything().events if e.kind in SAID_LATER}
    found: dict[str, list[Event]] = {}
    for event in sorted(events.values(), key=lambda e: (e.clock, e.id)):
        found.setdefault(str(event.payload.get("sim_id")), []).append(event)
    return found


def _input(said: Mapping[str, Any], workspace: Path, inputs: dict[str, Any], sources: dict[str, Any]) -> bool:
    """Take the bytes of an input along, if they are still what was consumed; return whether they are."""
    sha = said["sha256"]
    if sha in inputs:
        inputs[sha]["paths"] = sorted({*inputs[sha]["paths"], said["path"]})
        return True
    try:
        place = from_relative(said["path"], workspace)
    except PathEscape:
        return False
    if not place.exists() or sha256_path(place) != sha:
        return False
    found = sorted(p for p in place.rglob("*") if p.is_file()) if place.is_dir() else [place]
    files = [(path.relative_to(place if place.is_dir() else place.parent).as_posix(), path) for path in found]
    inputs[sha] = {
        "sha256": sha,
        "folder": place.is_dir(),
        "paths": [said["path"]],
        "files": [{"path": name, "size": path.stat().st_size, "sha256": sha256_file(path)} for name, path in files],
    }
    sources.update({f"inputs/{sha}/{name}": path for name, path in files})
    return True


# ── onto the disk ────────────────────────────────────────────────────────────────────────────────────


def _write(beside: Path, content: Mapping[str, Any], sources: Mapping[str, Any]) -> None:
    data = package.listed(content)
    with beside.open("xb") as sink:
        tarball.put(sink, package.LIST, len(data), [data])
        for member in package.members(content):
            source = sources[member.name]
            with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
                tarball.put(sink, member.name, member.size, _held_to(member, file, source))
        tarball.finish(sink)
        sink.flush()
        os.fsync(sink.fileno())


def _held_to(member: package.Member, file: BinaryIO, source: Any) -> Iterator[bytes]:
    """Yield the bytes of a file as long as they are those that were sealed."""
    digest, left = hashlib.sha256(), member.size
    for block in packs.blocks(file):
        digest.update(block)
        left -= len(block)
        if left < 0:
            break
        yield block
    if left or digest.hexdigest() != member.sha256:
        message = f"{source} is not as it was sealed; restore it from a backup before it is exported"
        raise CorruptError(message, path=str(source))
