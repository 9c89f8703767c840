"""Inputs in one file that is carried elsewhere: sidecars, bytes, and a list of both with every size and SHA-256.

The file is a tar (see `hmp_core.tarball`) compressed with zstd. It holds ``manifest.json`` first, then everything
under the path it has in a workspace, sorted: unpacked by hand into an empty one, `hmp data rebuild` makes a cache of
it. The same inputs give the same bytes. What is said of one machine alone (`input.sighted`) stays there.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from hmp_cache import sidecar
from hmp_cache.ledger import sidecar_path
from hmp_cache.opening import Rooms
from hmp_cache.records import Entry
from hmp_cache.shelf import Shelf
from hmp_cache.sidecar import Sidecar
from hmp_cache.signature import Bytes
from hmp_core import tarball
from hmp_core.durable import fsync_folder, translated
from hmp_core.errors import ArchiveInvalid, InvalidInput, PathTaken
from hmp_core.events.record import to_json
from hmp_core.identity import sha256_bytes
from hmp_core.paths import to_local

if TYPE_CHECKING:
    from upath import UPath

FORMAT = "hmpdata"
#: The form of an archive that this module writes; every earlier one stays readable.
SCHEMA = 1
MANIFEST = "manifest.json"
SUFFIX = ".hmpdata"

_CHUNK = 1 << 20
#: How often it is begun anew where files change meanwhile; the last time every byte is read before.
_TRIES = 3


@dataclass(frozen=True, slots=True)
class Lacking:
    """A version whose bytes could not be taken along: its record is there."""

    name: str
    sha256: str
    path: str
    #: missing or modified
    why: str


@dataclass(frozen=True, slots=True)
class Archive:
    """An archive that was written."""

    path: Path
    inputs: int
    #: versions whose bytes are in it
    versions: int
    #: bytes of the file, and of what is in it
    size: int
    unpacked: int
    sha256: str
    #: versions whose bytes are not, though nobody purged them
    lacking: tuple[Lacking, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values, for JSON."""
        plain = {name: getattr(self, name) for name in ("inputs", "versions", "size", "unpacked", "sha256")}
        lacking = [{name: getattr(each, name) for name in Lacking.__slots__} for each in self.lacking]
        return {"path": str(self.path), **plain, "lacking": lacking}


@dataclass(frozen=True, slots=True)
class Member:
    """A file in an archive: what it is called there, and where it comes from."""

    name: str
    size: int
    sha256: str
    #: the bytes themselves, or the file that holds them
    origin: bytes | Path


@dataclass(slots=True)
class _Plan:
    members: dict[str, Member] = field(default_factory=dict)
    versions: int = 0
    lacking: list[Lacking] = field(default_factory=list)


class _Changed(Exception):
    """A file is not what it was when it was listed."""


def archive(
    rooms: Rooms, path: str | Path | UPath, filters: Mapping[str, Any], *, versions: bool, overwrite: bool
) -> Archive:
    """Write inputs to one file; see `InputsNamespace.archive`."""
    rooms.store.authorize(write=False)
    target = to_local(path)
    if Path(os.path.realpath(target)).is_relative_to(rooms.shelf.data):
        message = f"{target} lies among the inputs and the records of the cache; choose a place outside of data/"
        raise InvalidInput(message)
    if target.exists() and not (overwrite and target.is_file()):
        message = f"{target} is there already; choose another name, or say that it may be overwritten"
        raise PathTaken(message, path=str(target))
    found = rooms.asking.find(filters)
    for attempt in range(1, _TRIES + 1):
        plan = _planned(rooms, found, versions=versions, full=attempt == _TRIES)
        try:
            with _beside(target) as (beside, file):
                _write(file, plan, len(found))
                file.close()
                return _placed(beside, target, plan, len(found))
        except _Changed:
            continue
    message = f"{target} was not written: the files of the cache change faster than they can be read; try again later"
    raise InvalidInput(message)


# ── what belongs to it ───────────────────────────────────────────────────────────────────────────────


def _planned(rooms: Rooms, found: Iterable[Entry], *, versions: bool, full: bool) -> _Plan:
    plan = _Plan()
    for entry in found:
        known = rooms.intake.ledger.told(entry.id, rooms.shelf.local(entry.relative_path))
        if known is None:
            message = f"nothing is known of {entry.name} ({entry.id}) but its row; run `hmp data rebuild`"
            raise InvalidInput(message)
        told = carried(known.sidecar)
        beside = rooms.shelf.relative(sidecar_path(rooms.shelf, told.entry, known.artifact))
        data = sidecar.encoded(told)
        plan.members[beside] = Member(beside, len(data), sha256_bytes(data), data)
        _add_bytes(plan, rooms.shelf, known.sidecar, versions=versions, full=full)
    return plan


def carried(told: Sidecar) -> Sidecar:
    """Return what a sidecar says anywhere: without how files looked on one machine."""
    return Sidecar(told.entry, tuple(event for event in told.events if event.kind != "input.sighted"))


def _add_bytes(plan: _Plan, shelf: Shelf, told: Sidecar, *, versions: bool, full: bool) -> None:
    assert told.newest is not None
    current = told.newest.payload["artifact"]
    stored = {e.payload["artifact"]["sha256"]: e for e in told.events if e.kind == "input.stored"}
    for sha256, event in stored.items():
        artifact = event.payload["artifact"]
        is_current = artifact["id"] == current["id"]
        if told.purged(artifact["id"]) or not (versions or is_current):
            continue
        kept = shelf.version(sha256)
        place = current["path"] if is_current else shelf.relative(kept)
        known = Bytes.said(artifact, told.sighted(artifact["id"]))
        for origin in (shelf.local(artifact["path"]), kept):
            if known.are_in(origin, full=full):
                plan.members[place] = Member(place, artifact["size"], sha256, origin)
                plan.versions += 1
                break
        else:
            why = "modified" if is_current and shelf.local(artifact["path"]).exists() else "missing"
            plan.lacking.append(Lacking(event.payload["entry"]["name"], sha256, place, why))


# ── the file ─────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def _beside(target: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """Give a file beside ``target``; it is gone at the end of the block, unless it was moved."""
    beside = target.with_name(f".{target.name[:200]}.{secrets.token_hex(4)}.tmp")
    with translated(target):
        try:
            with beside.open("xb") as file:
                yield beside, file
        finally:
            beside.unlink(missing_ok=True)


def _write(file: BinaryIO, plan: _Plan, inputs: int) -> None:
    import pyarrow as pa

    members = sorted(plan.members.values(), key=lambda member: member.name)
    data = manifest(members, inputs, plan.versions, plan.lacking)
    with pa.CompressedOutputStream(file, "zstd") as sink:
        tarball.put(sink, MANIFEST, len(data), [data])
        for member in members:
            try:
                tarball.put(sink, member.name, member.size, _blocks(member))
            except (ArchiveInvalid, FileNotFoundError) as error:
                raise _Changed(member.name) from error
        tarball.finish(sink)


def _blocks(member: Member) -> Iterator[bytes]:
    if isinstance(member.origin, bytes):
        yield member.origin
        return
    digest, left = hashlib.sha256(), member.size
    with member.origin.open("rb") as file:
        while left and (block := file.read(min(left, _CHUNK))):
            digest.update(block)
            left -= len(block)
            yield block
    if digest.hexdigest() != member.sha256:
        raise _Changed(member.name)


def manifest(members: Iterable[Member], inputs: int, versions: int, lacking: Iterable[Lacking]) -> bytes:
    """Return what an archive says of itself: what is in it, and a checksum of that."""
    from hmp_cache import __version__

    said = {
        "format": FORMAT,
        "schema": SCHEMA,
        "hmp_cache": __version__,
        "inputs": inputs,
        "versions": versions,
        "lacking": [[each.name, each.sha256, each.path, each.why] for each in lacking],
        "members": [[member.name, member.size, member.sha256] for member in members],
    }
    return to_json({**said, "checksum": checksum(said)}).encode()


def checksum(said: Mapping[str, Any]) -> str:
    """Return the checksum of what a manifest says beside it."""
    return sha256_bytes(to_json({key: value for key, value in said.items() if key != "checksum"}).encode())


def _placed(beside: Path, target: Path, plan: _Plan, inputs: int) -> Archive:
    digest = hashlib.sha256()
    with beside.open("rb") as file:
        os.fsync(file.fileno())
        while block := file.read(_CHUNK):
            digest.update(block)
        size = file.tell()
    os.replace(beside, target)
    fsync_folder(target.parent)
    unpacked = sum(member.size for member in plan.members.values())
    return Archive(target, inputs, plan.versions, size, unpacked, digest.hexdigest(), tuple(plan.lacking))
