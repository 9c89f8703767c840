"""Taking in an archive of inputs: verified first, then unpacked aside, then stored as everything is stored.

A process that dies in between leaves inputs that are in and inputs that are not, each whole; importing again goes on.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from uuid import UUID

from hmp_cache.batch import Batch, Move, Put
from hmp_cache.fitting import Tables
from hmp_cache.ledger import Known
from hmp_cache.merging import Merged, merge
from hmp_cache.opening import Rooms
from hmp_cache.records import Entry
from hmp_cache.shelf import SIDECAR
from hmp_cache.sidecar import Sidecar
from hmp_cache.signature import Bytes, Signature
from hmp_cache.unpacking import Contents, unpack, verified
from hmp_core.durable import make_folder, translated
from hmp_core.errors import ArchiveInvalid, PathNotFound, StorageError
from hmp_core.events import Event
from hmp_core.locks import try_flock
from hmp_core.paths import to_local

if TYPE_CHECKING:
    from upath import UPath

_TOGETHER = 256
_UNPACKED = ".unpacked"
_ASKED = 500


def import_archive(rooms: Rooms, path: str | Path | UPath) -> list[Entry]:
    """Take in what an archive holds; see `InputsNamespace.import_archive`."""
    rooms.may_write(f"import {path}")
    source = to_local(path)
    if not source.is_file():
        message = f"{source}: no such file"
        raise PathNotFound(message, path=str(source))
    contents = verified(source, rooms.shelf.workspace)
    _require_fit(rooms, contents)
    identities = [told.entry for told in contents.sidecars]
    _sweep(rooms.shelf.incoming.folder)
    wanted = _lacking(rooms, contents)
    if wanted:
        with _Aside(rooms).opened() as aside:
            aside.fill(contents, set().union(*(bytes_ for _, bytes_ in wanted)))
            _store(rooms, aside, [told for told, _ in wanted])
    asked = (identities[n : n + _ASKED] for n in range(0, len(identities), _ASKED))
    return [entry for some in asked for entry in rooms.asking.find({"id": some})]


def _require_fit(rooms: Rooms, contents: Contents) -> None:
    with rooms.store.reading() as backend:
        unfit = Tables(backend).unfit([event for told in contents.sidecars for event in told.events])
    if unfit is not None:
        event, why = unfit
        message = f"{contents.path}: what is said of {event.payload['entry']['id']} cannot be ({why})"
        raise ArchiveInvalid(message, path=str(contents.path))


def _home(told: Sidecar) -> tuple[str, str]:
    assert told.newest is not None
    entry = told.newest.payload["entry"]
    return entry["variable"], entry["source"]


def _known(rooms: Rooms, told: Sidecar, maybe: set[str]) -> Known | None:
    """Return what is known here of an input, which may lie under another name; the lock of its folder is held.

    Only of one that ``maybe`` is known (see `Ledger.maybe`): looking for each lists the folder for each, which for
    10,000 took a minute.
    """
    if told.entry not in maybe:
        return None
    assert told.newest is not None
    artifact = told.newest.payload["artifact"]
    variable, source = _home(told)
    name = artifact["path"].rpartition("/")[2]
    return rooms.intake.ledger.find(UUID(told.entry), variable=variable, source=source, file_name=name)


def _lacking(rooms: Rooms, contents: Contents) -> list[tuple[Sidecar, set[str]]]:
    """Return the inputs of which something is not here, each with the SHA-256 of the bytes that are not."""
    held = {sha256 for _, _, sha256 in contents.members}
    found = []
    for (variable, source), grouped in groupby(sorted(contents.sidecars, key=_home), key=_home):
        with rooms.intake.holding(variable, source):
            maybe = rooms.intake.ledger.maybe(variable, source)
            for told in grouped:
                known = _known(rooms, told, maybe)
                here = {event.id for event in known.sidecar.events} if known else set()
                wanted = _wanted(rooms, known, told, held)
                if wanted or not {event.id for event in told.events} <= here:
                    found.append((told, wanted))
    return found


def _wanted(rooms: Rooms, known: Known | None, told: Sidecar, held: set[str]) -> set[str]:
    """Return the bytes of an input that the archive has, that nobody purged here, and that are not here."""
    wanted = set()
    for event in told.events:
        if event.kind != "input.stored" or event.payload["artifact"]["sha256"] not in held:
            continue
        artifact = event.payload["artifact"]
        if known is not None and (known.sidecar.purged(artifact["id"]) or _lies_here(rooms, known, artifact)):
            continue
        wanted.add(artifact["sha256"])
    return wanted


def _lies_here(rooms: Rooms, known: Known, artifact: dict[str, Any]) -> bool:
    if known.artifact["sha256"] == artifact["sha256"]:
        return bool(known.bytes.are_in(rooms.shelf.local(known.artifact["path"])))
    return rooms.shelf.version(artifact["sha256"]).exists()


def _sweep(incoming: Path) -> None:
    """Remove what processes that died had unpacked."""
    for leftover in incoming.glob(f"*{_UNPACKED}"):
        with contextlib.suppress(FileNotFoundError):  # its owner is done with it
            descriptor = os.open(leftover, os.O_RDONLY)
            try:
                if try_flock(descriptor):
                    shutil.rmtree(leftover, ignore_errors=True)
            finally:
                os.close(descriptor)


class _Aside:
    """Where the bytes of an archive wait that was verified; nobody reads them, and the next import clears them away."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._used: set[str] = set()
        self.folder = rooms.shelf.incoming.folder / _UNPACKED

    @contextlib.contextmanager
    def opened(self) -> Iterator[_Aside]:
        """Hold a folder of one's own; when its process dies, the next import removes it."""
        make_folder(self._rooms.shelf.incoming.folder)
        with translated(self.folder):
            descriptor = self._made()
            try:
                yield self
            finally:
                os.close(descriptor)
                shutil.rmtree(self.folder, ignore_errors=True)

    def _made(self) -> int:
        """Make the folder and return a descriptor that holds its lock."""
        while True:
            self.folder = self.folder.with_name(f"{secrets.token_hex(8)}{_UNPACKED}")
            self.folder.mkdir()
            descriptor = os.open(self.folder, os.O_RDONLY)
            if try_flock(descriptor) and self.folder.exists():
                return descriptor
            os.close(descriptor)  # somebody took it for a leftover between its making and its lock

    def fill(self, contents: Contents, wanted: set[str]) -> None:
        """Unpack the bytes that are wanted."""
        needed = sum({sha256: size for _, size, sha256 in contents.members if sha256 in wanted}.values())
        free = shutil.disk_usage(self.folder).free
        if needed > free:
            message = f"{contents.path} needs {needed} bytes here, {free} are free; make room and import it again"
            raise StorageError(message, path=str(self.folder))
        unpack(contents, dict.fromkeys(wanted, self._open))

    def _open(self, sha256: str) -> BinaryIO:
        return (self.folder / sha256).open("xb")

    def has(self, sha256: str) -> bool:
        """Return whether these bytes wait here."""
        return (self.folder / sha256).exists()

    def hand_over(self, sha256: str, target: str, mtime_ns: int) -> None:
        """Put the bytes at ``target``: the file itself, and a copy for whoever comes after."""
        waiting = self.folder / sha256
        if sha256 in self._used:
            shutil.copyfile(waiting, target)
        else:
            os.link(waiting, target)
            self._used.add(sha256)
        os.utime(target, ns=(mtime_ns, mtime_ns))


# ── into the cache ───────────────────────────────────────────────────────────────────────────────────


def _store(rooms: Rooms, aside: _Aside, lacking: Sequence[Sidecar]) -> None:
    for (variable, source), grouped in groupby(sorted(lacking, key=_home), key=_home):
        inputs = list(grouped)
        for first in range(0, len(inputs), _TOGETHER):
            with rooms.intake.holding(variable, source):
                taken: set[str] = set()
                maybe = rooms.intake.ledger.maybe(variable, source)
                for told in inputs[first : first + _TOGETHER]:
                    rooms.intake.settle(told.entry)
                with rooms.intake.batch(f"{variable}.{source}").staging() as batch:
                    joining = (
                        _Joining(rooms, aside, batch, told, taken, known=_known(rooms, told, maybe))
                        for told in inputs[first : first + _TOGETHER]
                    )
                    arriving = [found for each in joining if (found := each.planned()) is not None]
                    if arriving:
                        batch.commit([move for move, _ in arriving], [told for _, told in arriving])
                for move, _ in arriving:
                    rooms.intake.ledger.remember(move.entry, rooms.shelf.local(move.artifact["path"]))


def _form(artifact: Mapping[str, Any]) -> str:
    return Path(artifact["path"]).suffix.lower()


class _Joining:
    """One input of an archive on its way into the cache; the lock of its folder is held."""

    def __init__(
        self, rooms: Rooms, aside: _Aside, batch: Batch, told: Sidecar, taken: set[str], *, known: Known | None
    ) -> None:
        self._rooms = rooms
        self._aside = aside
        self._batch = batch
        self._told = told
        self._taken = taken
        self._known = known

    def planned(self) -> tuple[Move, Sidecar] | None:
        """Return what is to be done, and what is to be said beside; None if all of it is here."""
        ours = self._known.sidecar if self._known else Sidecar(self._told.entry)
        merged = merge(self._rooms.store, ours, self._told, self._place)
        if merged is None:
            merged = Merged(ours, ())
        puts, told, events = self._puts(merged), merged.sidecar, merged.events
        if not puts and not events:
            return None
        seen = self._sighting(merged, puts)
        if seen is not None:
            told, events = told.with_event(seen), (*events, seen)
        return Move(told.entry, merged.artifact, events, puts, self._former(merged, puts)), told

    def _place(self, artifact: Any) -> str:
        """Return where the current version lies here: where it is, where it was, or under a free name."""
        shelf, known = self._rooms.shelf, self._known
        if artifact["in_place"]:
            return str(artifact["path"])
        suffix = Path(artifact["path"]).suffix.lower()
        if (
            known is not None
            and not known.artifact["in_place"]
            and Path(known.artifact["path"]).suffix.lower() == suffix
        ):
            return str(known.artifact["path"])
        name = Path(artifact["path"]).name
        for path in shelf.candidates(*_home(self._told), name, UUID(self._told.entry)):
            kept = f"{artifact['path'].rpartition('/')[0]}/{path.name}"
            if kept not in self._taken and not path.exists() and not path.with_name(path.name + SIDECAR).exists():
                self._taken.add(kept)
                return kept
        return str(artifact["path"])

    def _puts(self, merged: Merged) -> list[Put]:
        """Stage the bytes that are not here, and return where they go."""
        puts: list[Put] = []
        for event in self._told.events:
            if event.kind != "input.stored":
                continue
            artifact = event.payload["artifact"]
            sha256 = artifact["sha256"]
            if not self._aside.has(sha256) or merged.sidecar.purged(artifact["id"]):
                continue
            is_current = artifact["id"] == merged.artifact["id"]
            path = merged.artifact["path"] if is_current else f"data/.versions/{sha256}"
            place = self._rooms.shelf.local(path)
            if is_current and merged.artifact["in_place"] and place.exists():
                path, place = f"data/.versions/{sha256}", self._rooms.shelf.version(sha256)  # somebody's file stays
            if any(put.path == path for put in puts) or self._is_there(artifact, place, current=is_current):
                continue
            name = f"{self._told.entry}.{sha256}"
            mtime_ns = artifact.get("mtime_ns") or int(artifact["mtime"] * 1e9)
            self._aside.hand_over(sha256, self._batch.staged(name), mtime_ns)
            puts.append(Put(name, path, replaces=is_current and not merged.artifact["in_place"]))
        return puts

    def _is_there(self, artifact: dict[str, Any], place: Path, *, current: bool) -> bool:
        if not current:
            return place.exists()
        known = self._known
        same = known is not None and known.artifact["sha256"] == artifact["sha256"]
        return bool((known.bytes if same and known else Bytes.said(artifact)).are_in(place))

    def _sighting(self, merged: Merged, puts: Sequence[Put]) -> Event | None:
        """Return the event that says how the file looks here."""
        put = next((put for put in puts if put.path == merged.artifact["path"]), None)
        if put is None:
            return None
        artifact = {name: merged.artifact[name] for name in ("id", "sha256", "size")}
        artifact |= Signature.of(os.stat(self._batch.staged(put.staged))).as_dict()
        return self._rooms.store.prepare("input.sighted", {"entry": {"id": self._told.entry}, "artifact": artifact})

    def _former(self, merged: Merged, puts: Sequence[Put]) -> Any:
        """Return the facts of the version that makes way; of the same, where other bytes lie in its place."""
        if self._known is None:
            return None
        former, path = self._known.artifact, merged.artifact["path"]
        same = former["sha256"] == merged.artifact["sha256"] and former["path"] == path
        return None if same and all(put.path != path for put in puts) else former
