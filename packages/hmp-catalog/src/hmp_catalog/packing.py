"""Packing a finished run: its tables, fields and artefacts become one file, and loose files again.

Steps of packing: the pack is written beside, read back and held against the manifest, put in place; the event is in
the log; then the loose files go, each if it still is the file that was sealed. A pack that is in place is whole and is
what readers use, so a process may die between any two steps: packing again does what is left. Unpacking is the same
backwards, and the pack goes last. ``run.json`` is not packed: a database is rebuilt from it.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hmp_catalog import manifest, packs
from hmp_catalog.turns import alone
from hmp_core.durable import fsync_folder, make_folder, translated
from hmp_core.errors import CorruptError, InvalidInput, PathNotFound, PathTaken
from hmp_core.identity import sha256_file
from hmp_core.paths import from_relative

if TYPE_CHECKING:
    from hmp_core.events import EventStore

Said = Mapping[str, Any]


def pack(store: EventStore, folder: Path) -> Path:
    """Make one file of what a sealed run left behind, and return it.

    Raises
    ------
    PathNotFound
        If the run is not sealed, or its folder is gone.
    InvalidInput
        If it left no files.
    CorruptError
        If a file is missing or is not what was sealed; nothing is changed.
    StorageError, NotWritable
        If there is no room or no right to write; the loose files stay.
    """
    content = _begin(store, folder, "pack")
    said = content["files"]
    if not said:
        message = f"run {content['run']['sim_id'][:8]} left no files; there is nothing to pack"
        raise InvalidInput(message)
    file = folder / packs.NAME
    with translated(file), alone(folder):
        if not file.exists():
            _write(folder, file, said)
        verify(file, said)
        facts = {"sha256": sha256_file(file), "size": file.stat().st_size}
        store.append("run.packed", _about(content) | facts)
        _remove_loose(folder, said)
    return file


def unpack(store: EventStore, folder: Path) -> None:
    """Make loose files of a pack; without a pack nothing is done.

    Raises
    ------
    PathNotFound
        If the run is not sealed, or its folder is gone.
    CorruptError
        If the pack is damaged; nothing is changed.
    PathTaken
        If something else lies where a file belongs; nothing is changed.
    StorageError, NotWritable
        If there is no room or no right to write; the pack stays.
    """
    content = _begin(store, folder, "unpack")
    file = folder / packs.NAME
    with translated(file), alone(folder):
        if not file.exists():
            return
        verify(file, content["files"])
        _refuse_taken(folder, content["files"])
        made = {_loosen(folder, file, each) for each in content["files"]}
        for parent in sorted({up for path in made for up in _within(folder, path)}, reverse=True):
            fsync_folder(parent)
        store.append("run.unpacked", _about(content))
        file.unlink()
        fsync_folder(folder)


def _begin(store: EventStore, folder: Path, verb: str) -> dict[str, Any]:
    store.authorize(write=True, what=f"{verb} run {folder.name}")
    try:
        return manifest.read(folder)[0]
    except FileNotFoundError as error:
        message = f"{folder} has no {manifest.NAME}: only a sealed run that is in its place is packed"
        raise PathNotFound(message, path=str(folder)) from error


def _about(content: Said) -> dict[str, Any]:
    run = content["run"]
    return {"sim_id": run["sim_id"], "project": run["project"], "folder": run["folder"]}


# ── one file ─────────────────────────────────────────────────────────────────────────────────────────


def _write(folder: Path, file: Path, said: Sequence[Said]) -> None:
    """Put the pack in place once it has been read back."""
    beside = file.with_name(f".{file.name}.{secrets.token_hex(4)}.tmp")
    members = [(each["path"], from_relative(each["path"], folder)) for each in sorted(said, key=lambda s: s["path"])]
    try:
        try:
            hashes = packs.write(beside, members, _more(folder, said))
        except FileNotFoundError as error:
            raise _missing(folder, str(error.filename)) from error
        changed = [each["path"] for each in said if hashes[each["path"]] != each["sha256"]]
        if changed:
            message = f"{folder / changed[0]} is not as it was sealed ({len(changed)} in all); restore it from a backup"
            raise CorruptError(message, path=str(folder / changed[0]))
        verify(beside, said)
        os.replace(beside, file)
        fsync_folder(folder)
    finally:
        beside.unlink(missing_ok=True)


#: The field store of a run, and what makes the whole pack a hierarchy of Zarr, of which that store is a group.
_FIELDS, _ROOT = "fields.zarr", "zarr.json"


def _more(folder: Path, said: Sequence[Said]) -> dict[str, bytes]:
    """Return what is in a pack beside the files of the run."""
    metadata = f"{_FIELDS}/{_ROOT}"
    if metadata not in {each["path"] for each in said}:
        return {}
    try:
        return {_ROOT: packs.zarr_root(_FIELDS, from_relative(metadata, folder).read_bytes())}
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        message = f"{folder / metadata} is not as it was sealed ({error}); restore it from a backup"
        raise CorruptError(message, path=str(folder / metadata)) from error


def verify(file: Path, said: Sequence[Said]) -> None:
    """Read a pack and hold every member against the manifest.

    Raises
    ------
    CorruptError
        If it is damaged, or does not hold exactly the files that were sealed.
    """
    found = {name: place for name, place in packs.index(file).members.items() if name != _ROOT}
    expected = {each["path"]: each for each in said}
    wrong = sorted(found.keys() ^ expected.keys())
    wrong += [name for name in sorted(found.keys() & expected.keys()) if found[name][1] != expected[name]["size"]]
    wrong = wrong or [
        name for name in sorted(found) if packs.sha256(packs.Packed(file, name)) != expected[name]["sha256"]
    ]
    if wrong:
        message = f"{file}: {wrong[0]} is not as it was sealed ({len(wrong)} in all); restore it from a backup"
        raise CorruptError(message, path=str(file))


def _missing(folder: Path, name: str) -> CorruptError:
    message = f"{name} is missing, which run {folder.name} left behind; restore it from a backup"
    return CorruptError(message, path=name)


# ── loose files ──────────────────────────────────────────────────────────────────────────────────────


def _remove_loose(folder: Path, said: Sequence[Said]) -> None:
    """Remove the loose files that are packed; what is not what was sealed is somebody's, and stays."""
    for each in said:
        loose = from_relative(each["path"], folder)
        if _is(loose, each):
            loose.unlink()
    for parent in sorted({up for each in said for up in _within(folder, folder / each["path"])}, reverse=True):
        _remove_empty(parent)
    fsync_folder(folder)


def _within(folder: Path, path: Path) -> list[Path]:
    """Return the folders between a run and one of its files."""
    return [parent for parent in path.parents if folder in parent.parents]


def _remove_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno != errno.ENOTEMPTY:
            raise


def _is(file: Path, said: Said) -> bool:
    """Return whether a loose file is the one that was sealed."""
    return file.is_file() and file.stat().st_size == said["size"] and sha256_file(file) == said["sha256"]


def _refuse_taken(folder: Path, said: Sequence[Said]) -> None:
    for each in said:
        target = from_relative(each["path"], folder)
        if target.exists() and not _is(target, each):
            message = f"{target} lies where a packed file belongs, and is another one; move it away"
            raise PathTaken(message, path=str(target))


def _loosen(folder: Path, file: Path, said: Said) -> Path:
    """Put one member where it was, unless it is there; return where."""
    target = from_relative(said["path"], folder)
    if target.exists():
        return target
    make_folder(target.parent)
    beside = folder / f".{packs.NAME}.{secrets.token_hex(4)}.tmp"
    try:
        with packs.Packed(file, said["path"]).open() as source, beside.open("xb") as into:
            for block in packs.blocks(source):
                into.write(block)
            into.flush()
            os.fsync(into.fileno())
        os.replace(beside, target)
    finally:
        beside.unlink(missing_ok=True)
    return target
