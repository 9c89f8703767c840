"""What is done to an input that is there already: its bytes go or come back, or it is hidden; its record stays.

The protocol is that of `hmp_cache.intake`, with an intent of its own form under the same name: what is to be done is
written down, the sidecar says it, files go or come, the events are appended, the intent is removed. Each step can be
repeated, so whoever opens the cache next, or next stores into the same folder, finishes what a dead process had begun.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hmp_cache import queries, sidecar
from hmp_cache.incoming import Staged
from hmp_cache.ledger import Known, sidecar_path
from hmp_cache.shelf import Shelf
from hmp_cache.sidecar import Sidecar
from hmp_cache.signature import Bytes, Signature
from hmp_core.durable import fsync_folder, make_folder, translated, write_atomic
from hmp_core.errors import BusyError, HmpError, PathTaken
from hmp_core.events import Event, EventStore
from hmp_core.events.clock import clock
from hmp_core.events.record import from_dict

_log = logging.getLogger(__name__)

_PURGED, _RESTORED = "input.purged", "input.restored"


class Changes:
    """Does what an intent says that is not about new bytes; the folder's lock is held."""

    def __init__(self, store: EventStore, shelf: Shelf) -> None:
        self._store = store
        self._shelf = shelf

    def intend(self, known: Known, events: Sequence[Event]) -> None:
        """Write down what is to be done with an input, then do it; what returns is acknowledged.

        Bytes that come back wait as `Incoming.ready`.

        Raises
        ------
        StorageError, NotWritable
            If it cannot be done; then nothing was, or the next to come finishes it.
        """
        intent = self._shelf.incoming.intent(known.sidecar.entry)
        content = {
            "events": [event.as_dict() for event in events],
            "artifact": dict(known.artifact),
            "looks": {e.payload["artifact"]["id"]: self._looks(known, e) for e in events if _is(e, _PURGED)},
        }
        try:
            make_folder(intent.parent)
            write_atomic(intent, json.dumps(content, ensure_ascii=False).encode())
            self.carry_out(intent)
        except (HmpError, OSError):
            self._call_off(known, events)
            raise

    def _call_off(self, known: Known, events: Sequence[Event]) -> None:
        """Undo what was begun, if no bytes have gone or come yet; else the next to come finishes it."""
        entry = known.sidecar.entry
        moved = [e for e in events if _is(e, _PURGED) and not self._lies(e.payload["artifact"])]
        if moved or (any(_is(e, _RESTORED) for e in events) and not self._shelf.incoming.ready(entry).exists()):
            return
        with contextlib.suppress(HmpError, OSError):  # what cannot be undone now is finished later
            sidecar.write(sidecar_path(self._shelf, entry, known.artifact), known.sidecar)
            self._shelf.incoming.intent(entry).unlink(missing_ok=True)
            self._shelf.incoming.ready(entry).unlink(missing_ok=True)

    def _looks(self, known: Known, event: Event) -> dict[str, Any]:
        """Return how the file of a version looks that goes, so that it is known again; that it is that was just seen.

        What is kept aside is known by its name.
        """
        artifact = event.payload["artifact"]
        path, facts = self._shelf.local(artifact["path"]), {"sha256": artifact["sha256"], "size": artifact["size"]}
        if path == self._shelf.version(artifact["sha256"]) or not path.exists():
            return {**facts, "mtime": 0.0}
        seen = Signature.of(path.stat())
        return {**facts, **(seen.as_dict() if known.bytes.are_in(path) else {"mtime": 0.0})}

    def _lies(self, artifact: Mapping[str, Any]) -> bool:
        return self._shelf.local(artifact["path"]).exists()

    # ── bytes that come back ─────────────────────────────────────────────────────────────────────────

    def bring_back(self, staged: Staged, known: Known, version: Mapping[str, Any], *, uri: str | None) -> bool:
        """Put the bytes of a version where they belong and record that, if they are not there.

        Parameters
        ----------
        staged
            The bytes; they have been hashed.
        known
            The input.
        version
            The facts of one of its versions.
        uri
            Where the bytes came from this time.

        Returns
        -------
        bool
            False if they were there already.

        Raises
        ------
        PathTaken
            If a file that is not the cache's lies where they were.
        """
        current = version["id"] == known.artifact["id"]
        if current and known.artifact["in_place"]:
            return False  # the place is its owner's
        target = self._shelf.local(known.artifact["path"]) if current else self._shelf.version(version["sha256"])
        purged = known.sidecar.purged(version["id"])
        there = (known.bytes if current else kept_bytes(version)).are_in(target)
        if there and not purged:
            return False
        if not there:
            self.refuse_stranger(known, target)
            self._shelf.keep_version(target, known.bytes)  # what it was changed to is not lost
            ready = self._shelf.incoming.ready(known.sidecar.entry)
            make_folder(target.parent)
            staged.path.replace(ready)
        looks = Signature.of((target if there else ready).stat())
        facts = {"id": version["id"], "sha256": version["sha256"], "size": version["size"]}
        placed = {**facts, "path": self._shelf.relative(target), **looks.as_dict()}
        self.intend(known, [self.event(_RESTORED, known, artifact=placed, current=current, uri=uri)])
        if not purged:
            _log.warning("%s was changed or missing and is what it was again", target)
        return True

    def refuse_stranger(self, known: Known, path: Path) -> None:
        """Return if what lies where the bytes of a purged or removed input were is not somebody else's.

        Raises
        ------
        PathTaken
            If it is; it was left as it is.
        """
        gone = known.sidecar.purged(known.artifact["id"]) or known.sidecar.removed
        if gone and path == self._shelf.local(known.artifact["path"]) and known.bytes.are_in(path) is False:
            message = (
                f"{path}: a file that the cache did not make lies where {known.newest.payload['entry']['name']} was; "
                "move it away and try again"
            )
            raise PathTaken(message, path=str(path))

    def event(self, kind: str, known: Known, **said: Any) -> Event:
        """Return the next event about an input."""
        clock.observe(max(e.clock for e in known.sidecar.events))
        entry = known.newest.payload["entry"]
        named = {name: entry[name] for name in ("id", "variable", "source", "name")}
        return self._store.prepare(kind, {"entry": named, **said})

    # ── the steps ────────────────────────────────────────────────────────────────────────────────────

    def carry_out(self, path: Path) -> None:
        """Do what an intent says, from wherever it was left."""
        intent = json.loads(path.read_bytes())
        events = [from_dict(event) for event in intent["events"]]
        entry = events[-1].payload["entry"]["id"]
        beside = sidecar_path(self._shelf, entry, intent["artifact"])
        told = sidecar.read(beside) or Sidecar(entry)
        for event in events:
            told = told.with_event(event)
        sidecar.write(beside, told)
        for event in events:
            if _is(event, _PURGED):
                self._drop(event, intent["looks"][event.payload["artifact"]["id"]])
            elif _is(event, _RESTORED):
                self._bring(event)
        self._store.commit(events)
        path.unlink()

    def _bring(self, event: Event) -> None:
        ready = self._shelf.incoming.ready(event.payload["entry"]["id"])
        if ready.exists():
            self._shelf.put(ready, self._shelf.local(event.payload["artifact"]["path"]))

    # ── bytes that go ────────────────────────────────────────────────────────────────────────────────

    def _drop(self, event: Event, looks: Mapping[str, Any]) -> None:
        """Remove the bytes of a version, wherever the cache has them for this input."""
        entry, artifact = event.payload["entry"]["id"], event.payload["artifact"]
        path = self._shelf.local(artifact["path"])
        kept = self._shelf.version(artifact["sha256"])
        if path != kept:
            self._remove(path, self._gone(entry, artifact), Bytes.said(looks))
        self._remove_kept(entry, artifact["sha256"])

    def _gone(self, entry: str, artifact: Mapping[str, Any]) -> Path:
        return self._shelf.incoming.folder / f"{entry}.{artifact['sha256'][:16]}.gone"

    def _remove(self, path: Path, gone: Path, known: Bytes) -> None:
        """Remove a file, unless it is another by now: moved aside first, so that what is looked at is what goes."""
        with translated(path):
            if known.unchanged(path):
                os.rename(path, gone)
            if gone.exists():
                if not known.unchanged(gone) and not path.exists():
                    os.link(gone, path)  # somebody wrote to it in this very moment
                gone.unlink()
                fsync_folder(path.parent)

    def _remove_kept(self, entry: str, sha256: str) -> None:
        """Remove kept bytes, unless another input needs them.

        They are moved aside before anybody is asked: who is about to keep the same bytes either has found them before
        that, and his intent or his event is seen here, or does not find them and keeps his own.
        """
        kept, gone = self._shelf.version(sha256), self._shelf.incoming.folder / f"{sha256}.gone"
        with translated(kept):
            if kept.exists():
                os.rename(kept, gone)
            if not gone.exists():
                return
            if self.needed(entry, sha256) and not kept.exists():
                os.link(gone, kept)
            gone.unlink()
            fsync_folder(kept.parent)

    def needed(self, entry: str, sha256: str) -> bool:
        """Return whether an input other than ``entry`` has kept bytes that nobody else holds for it.

        Where that cannot be known now, they are needed.
        """
        folder = self._shelf.incoming.folder
        intents = [*self._shelf.incoming.intents(), *folder.glob("*.many/intent.json")]
        own = self._shelf.incoming.intent(entry)
        if any(_speaks_of(path, sha256) for path in intents if path != own):
            return True
        try:
            with self._store.reading() as backend:
                holders = queries.holders(backend, sha256)
        except BusyError:
            return True
        if self._store.notice:
            return True
        others = ((path, current) for holder, path, current in holders if holder != entry)
        return any(not current or not self._shelf.local(path).exists() for path, current in others)


def kept_bytes(version: Mapping[str, Any]) -> Bytes:
    """Return the bytes of a version that is kept aside: nobody knows how that file looks, so it is read."""
    return Bytes(version["sha256"], Signature(version["size"], 0.0))


def _is(event: Event, kind: str) -> bool:
    return event.kind == kind


def _speaks_of(intent: Path, sha256: str) -> bool:
    try:
        return sha256.encode() in intent.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return False  # it was carried out: the database tells
