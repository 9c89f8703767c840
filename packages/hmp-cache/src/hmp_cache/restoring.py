"""Bringing bytes back: from what is kept here, else from where they came from, and held to their SHA-256."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from hmp_cache import queries
from hmp_cache.arrival import Arrival
from hmp_cache.changes import kept_bytes
from hmp_cache.errors import ArtifactGone, EntryNotFound, UpstreamChanged
from hmp_cache.fetching import How
from hmp_cache.incoming import Staged
from hmp_cache.ledger import Known
from hmp_cache.records import Entry
from hmp_cache.refreshing import asked_for
from hmp_cache.resuming import half
from hmp_cache.upstream import Origin, origin_of
from hmp_cache.windows import closed
from hmp_core.errors import InvalidInput
from hmp_core.identity import sha256_bytes
from hmp_core.paths import from_relative, to_local

if TYPE_CHECKING:
    from hmp_cache.opening import Rooms


def restore(rooms: Rooms, reference: Entry | UUID | str, how: How, *, accept_change: bool) -> Entry:
    """Bring the bytes of a version back; see `InputsNamespace.restore`."""
    entry = meant(rooms, reference)
    rooms.may_restore(entry, accept_change=accept_change)
    return Restoring(rooms, entry, how, accept_change=accept_change).run()


def meant(rooms: Rooms, reference: Entry | UUID | str) -> Entry:
    """Return the version that is meant: that of a record, of a SHA-256, of an artifact's id, else the current one."""
    if isinstance(reference, Entry):
        return rooms.unfrozen.artifact(str(reference.artifact_id))
    try:
        return rooms.unfrozen.artifact(str(reference))
    except (InvalidInput, EntryNotFound):  # no SHA-256 and no artifact's id, or an entry's id
        return rooms.unfrozen.one(reference)


@dataclass(slots=True)
class Restoring:
    """One version that is to be brought back."""

    rooms: Rooms
    entry: Entry
    how: How
    accept_change: bool = False
    known: Known = field(init=False)
    version: dict[str, Any] = field(init=False)

    def run(self) -> Entry:
        """Bring it back, and return it."""
        if (found := self.here()) is not None:
            return found
        origin = origin_of(self.known, self.version["id"])
        if origin is None or not (origin.is_remote or _is_file(origin)):
            raise self._hopeless()
        if origin.windows:
            return self._series(origin)
        return self._copy(origin) if _is_file(origin) else self._download(origin)

    def here(self) -> Entry | None:
        """Bring it back from this machine, and return it; None if its bytes are nowhere here."""
        if not self._lacks():
            return self._answer()
        for path in self._places(origin_of(self.known, self.version["id"])):
            with self.rooms.shelf.incoming.receiving() as file:
                staged = self.rooms.shelf.incoming.copy_in(path, file)
                if staged.sha256 == self.entry.sha256:
                    self._bring(staged, None)
                    return self._answer()
        return None

    def _lacks(self) -> bool:
        """Return whether the bytes are to be brought back."""
        entry, intake = self.entry, self.rooms.intake
        with intake.holding(entry.variable, entry.source):
            intake.settle(entry.id)
            known = intake.known(entry)
        version = known.sidecar.stored(entry.sha256) if known else None
        if known is None or version is None or known.sidecar.removed:
            message = f"{entry.name} was removed; add or fetch it again, and it is back under the same id"
            raise EntryNotFound(message, reference=str(entry.id), candidates=[])
        self.known, self.version = known, version
        current = version["id"] == known.artifact["id"]
        path = self.rooms.shelf.local(known.artifact["path"]) if current else self.rooms.shelf.version(entry.sha256)
        there = (known.bytes if current else kept_bytes(version)).are_in(path, full=self.how.verify == "full")
        if there is False and current and not known.artifact["in_place"] and known.bytes.unchanged(path):
            path.touch()  # it looks as it did and is not what it was: now all see that
        if current and known.artifact["in_place"] and not there:
            message = (
                f"{entry.relative_path} stays where its owner has it, and it is not there or was changed; put these "
                f"bytes back ({entry.sha256}), or register the file as it is now"
            )
            raise InvalidInput(message)
        return known.sidecar.purged(version["id"]) or not there

    # ── where from ───────────────────────────────────────────────────────────────────────────────────

    def _places(self, origin: Origin | None) -> Iterator[Path]:
        """Yield where on this machine the bytes may be: kept, of another input, where a user's file came from."""
        shelf, sha256 = self.rooms.shelf, self.entry.sha256
        with self.rooms.store.reading() as backend:
            others = queries.entries(queries.versions(backend, "sha256", sha256), shelf)
        places = [shelf.version(sha256), *(shelf.local(other.relative_path) for other in others)]
        places += [path for path in (_own_file(shelf.workspace, origin),) if path is not None]
        for path in dict.fromkeys(places):
            if path.is_file() and path.stat().st_size == self.entry.size:
                yield path

    def _hopeless(self) -> ArtifactGone:
        message = (
            f"{self.entry.name}: nobody can be asked for these bytes ({self.entry.sha256}) again, "
            "and they are not kept here; add the file again"
        )
        return ArtifactGone(message, path=self.entry.relative_path, sha256=self.entry.sha256)

    def _series(self, origin: Origin) -> Entry:
        data = self.rooms.obtaining.again(origin.told, self.how)
        assert data is not None
        found = sha256_bytes(data)
        if found != self.entry.sha256 and self.accept_change:
            period = closed((origin.windows[0][0], origin.windows[-1][1]))
            asked = asked_for(self.entry, origin) | {"period": period}
            return self.rooms.obtaining.fetch(asked, replace(self.how, refresh=True))
        if found != self.entry.sha256:
            raise self._changed(origin, found)
        with self.rooms.shelf.incoming.receiving() as file:
            self.rooms.shelf.incoming.write(file, data)
            self._bring(self.rooms.shelf.incoming.flushed(file, found), origin.uri)
        return self._answer()

    def _copy(self, origin: Origin) -> Entry:
        path = to_local(str(origin.uri))
        if not path.is_file():
            raise self._hopeless()
        with self.rooms.shelf.incoming.receiving() as file:
            return self._judged(origin, self.rooms.shelf.incoming.copy_in(path, file), self._arrival(origin))

    def _download(self, origin: Origin) -> Entry:
        arrival, fetcher = self._arrival(origin), self.rooms.fetcher
        with fetcher.alone(arrival):
            if not self._lacks():
                return self._answer()  # another process was quicker
            with (
                fetcher.trying(arrival, retry_now=self.how.retry_now) as tried,
                half(self.rooms.shelf.incoming, arrival.entry_id, str(arrival.uri)) as body,
            ):
                staged, answered = fetcher.again(str(origin.uri), tried, body, self.how)
                return self._judged(origin, staged, answered)

    def _arrival(self, origin: Origin) -> Arrival:
        arrival = origin.arrival()
        if arrival is None:
            raise self._hopeless()
        return arrival

    # ── what came ────────────────────────────────────────────────────────────────────────────────────

    def _judged(self, origin: Origin, staged: Staged, arrival: Arrival) -> Entry:
        """Take what came for the version, if it is; else for a new one, if that is wanted."""
        if staged.sha256 == self.entry.sha256:
            self._bring(staged, origin.uri)
            return self._answer()
        if not self.accept_change:
            raise self._changed(origin, staged.sha256)
        return self.rooms.entry(self.rooms.intake.accept(staged, arrival))

    def _changed(self, origin: Origin, found: str) -> UpstreamChanged:
        where = origin.uri or self.entry.source
        message = (
            f"{where} has other bytes now: SHA-256 {found}, not {self.entry.sha256}; those of {self.entry.name} cannot "
            "be had again. With accept_change (--accept-change) what is there now becomes a new version"
        )
        return UpstreamChanged(message, uri=where, expected=self.entry.sha256, found=found)

    def _bring(self, staged: Staged, uri: str | None) -> None:
        entry, intake = self.entry, self.rooms.intake
        with intake.holding(entry.variable, entry.source):
            intake.settle(entry.id)
            known = intake.known(entry)
            if known is not None and not known.sidecar.removed:
                intake.changes.bring_back(staged, known, self.version, uri=uri)

    def _answer(self) -> Entry:
        return self.rooms.unfrozen.artifact(str(self.entry.artifact_id))


def _is_file(origin: Origin) -> bool:
    return not origin.entry["is_custom"] and (origin.uri or "").startswith("file:")


def _own_file(workspace: Path, origin: Origin | None) -> Path | None:
    """Return where a user's file came from, if that is told."""
    if origin is None or not origin.entry["is_custom"] or not origin.uri:
        return None
    if origin.uri.startswith("file:"):
        return to_local(origin.uri)
    return None if "://" in origin.uri else from_relative(origin.uri, workspace)
