"""Versions of many inputs of one source, stored together: flushed together, recorded together, finished together.

One arrival costs seven flushes (see `hmp_cache.intake`); here seven flushes are paid for hundreds. The protocol is the
same: everything that is needed lies in ``data/.incoming/<variable>.<source>.many/`` and is on the disk, and what is to
be done with it is written down there, before anything is done. Each step can be repeated; whoever holds the folder of
that source next finishes what a dead process had begun, or clears away what it had not written down.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hmp_cache import sidecar
from hmp_cache.flushing import flush
from hmp_cache.ledger import sidecar_path
from hmp_cache.shelf import SIDECAR, Shelf, move_file
from hmp_cache.sidecar import Sidecar
from hmp_cache.succession import keep, retire
from hmp_core.durable import fsync_folder, make_folder, translated
from hmp_core.errors import CorruptError
from hmp_core.events import Event, EventStore
from hmp_core.events.record import to_json

_log = logging.getLogger(__name__)

_SUFFIX = ".many"
_INTENT = "intent.json"


@dataclass(frozen=True, slots=True)
class Put:
    """Staged bytes and where they go."""

    staged: str
    #: relative to the workspace
    path: str
    #: whether what lies there makes way; else what lies there stays
    replaces: bool = True


@dataclass(frozen=True, slots=True)
class Move:
    """What is to be done for one input.

    Parameters
    ----------
    entry, artifact
        The input's id and the facts of the version that is current afterwards.
    events
        What happened, as the log does not have it yet.
    puts
        Which bytes go where.
    former
        The facts of the version that makes way.
    """

    entry: str
    artifact: Mapping[str, Any]
    events: Sequence[Event]
    puts: Sequence[Put] = ()
    former: Mapping[str, Any] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the move as plain JSON values."""
        return {
            "entry": self.entry,
            "artifact": {name: self.artifact[name] for name in ("path", "sha256", "in_place")},
            # what happened is said in the sidecar
            "events": [str(event.id) for event in self.events],
            "puts": [[put.staged, put.path, put.replaces] for put in self.puts],
            "former": dict(self.former) if self.former else None,
        }


class Batch:
    """What is stored together into the folder of one source, whose lock is held."""

    def __init__(self, store: EventStore, shelf: Shelf, name: str) -> None:
        self._store = store
        self._shelf = shelf
        self.folder = shelf.incoming.folder / f"{name}{_SUFFIX}"

    # ── what a dead process left ─────────────────────────────────────────────────────────────────────

    def settle(self) -> None:
        """Finish what a process that died had written down; clear away what it had not."""
        if not self.folder.exists():
            return
        if (self.folder / _INTENT).exists():
            _log.warning("%s: carrying out what a process that died had begun", self.folder)
            self._carry_out(self._intended())
        self.clear()

    def _intended(self) -> list[Move]:
        try:
            found = json.loads((self.folder / _INTENT).read_bytes())
            return [self._move(move) for move in found["moves"]]
        except (CorruptError, ValueError, KeyError, TypeError) as error:
            # nothing acknowledged hangs on it: whoever wrote it was never answered
            _log.error("%s cannot be read (%s): what it was to store is forgotten", self.folder / _INTENT, error)
            return []

    def _move(self, found: Mapping[str, Any]) -> Move:
        entry, artifact = found["entry"], found["artifact"]
        told = sidecar.read(Path(self.staged(f"{entry}{SIDECAR}")))
        if told is None:  # it is in its place already
            told = sidecar.read(sidecar_path(self._shelf, entry, artifact)) or Sidecar(entry)
        events = [event for event in told.events if str(event.id) in found["events"]]
        return Move(entry, artifact, events, [Put(*put) for put in found["puts"]], found["former"])

    def clear(self) -> None:
        """Forget everything that was staged."""
        with translated(self.folder):
            (self.folder / _INTENT).unlink(missing_ok=True)
            shutil.rmtree(self.folder, ignore_errors=True)

    # ── in ───────────────────────────────────────────────────────────────────────────────────────────

    @contextlib.contextmanager
    def staging(self) -> Iterator[Batch]:
        """Make room for what is to be staged; what was not written down by the end of the block is forgotten."""
        self.settle()
        make_folder(self.folder)
        try:
            yield self
        finally:
            if not (self.folder / _INTENT).exists():
                self.clear()

    def staged(self, name: str) -> str:
        """Return where bytes are staged under a name."""
        return f"{self.folder}{os.sep}{name}"  # ten times as quick as with pathlib, and many are asked for

    def write(self, name: str, data: bytes) -> None:
        """Stage bytes under a name; they are flushed later, with the others."""
        with open(self.staged(name), "wb", buffering=0) as file:
            file.write(data)

    def commit(self, moves: Sequence[Move], sidecars: Sequence[Sidecar]) -> None:
        """Make all of it so; what returns is acknowledged.

        Parameters
        ----------
        moves
            What is to be done, each input once.
        sidecars
            What is to be said beside each.
        """
        with translated(self.folder):
            names = [put.staged for move in moves for put in move.puts]
            for told in sidecars:
                names.append(f"{told.entry}{SIDECAR}")
                self.write(names[-1], sidecar.encoded(told))
            self.write(f".{_INTENT}", to_json({"moves": [move.as_dict() for move in moves]}).encode())
            flush([self.staged(name) for name in (*names, f".{_INTENT}")], self.folder)
            os.replace(self.staged(f".{_INTENT}"), self.staged(_INTENT))
            fsync_folder(self.folder)
            fsync_folder(self.folder.parent)
        self._carry_out(moves)
        (self.folder / _INTENT).unlink()

    def _carry_out(self, moves: Sequence[Move]) -> None:
        places = Places(self._shelf)
        with translated(self._shelf.data):
            for move in moves:
                if move.former is not None and self._is_at_stake(move):
                    keep(self._shelf, move.former, move.artifact)
                self._place(move, places)
            places.flush()
            self._store.log.commit([event for move in moves for event in move.events])  # folded all at once, later
            for move in moves:
                if move.former is not None:
                    retire(self._shelf, move.entry, move.former, move.artifact, emptied=_leaves_empty(move))

    def _is_at_stake(self, move: Move) -> bool:
        """Return whether the bytes of the former version are about to go from where they lie."""
        return _leaves_empty(move) or any(os.path.exists(self.staged(put.staged)) for put in move.puts)

    def _place(self, move: Move, places: Places) -> None:
        """Put sidecar and bytes where they belong; see `ledger.sidecar_path`."""
        held = f"{places.registered}/{move.entry}" if move.artifact["in_place"] else move.artifact["path"]
        for put in (Put(f"{move.entry}{SIDECAR}", f"{held}{SIDECAR}"), *move.puts):
            target, staged = places.local(put.path), self.staged(put.staged)
            if os.path.exists(staged):
                move_file(staged, target, replaces=put.replaces)


class Places:
    """Where kept paths lie on this machine: each folder is looked up once, made if it is missing, and flushed once."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._folders: dict[str, str] = {}
        #: where the sidecars of files lie that stay with their owner
        self.registered = shelf.registered.relative_to(shelf.workspace).as_posix()

    def local(self, kept: str) -> str:
        """Return where a file lies that is kept as ``kept``; see `hmp_core.paths.from_relative`."""
        parent, _, name = kept.rpartition("/")
        found = self._folders.get(parent)
        if found is None or name in {"", ".", ".."} or "\\" in name:
            folder = self._shelf.local(kept).parent
            make_folder(folder)
            found = self._folders[parent] = str(folder)
        return f"{found}{os.sep}{name}"

    def flush(self) -> None:
        """Flush the folders: the names in them are on the disk."""
        for folder in self._folders.values():
            fsync_folder(Path(folder))


def _leaves_empty(move: Move) -> bool:
    """Return whether nothing takes the place of the former version: the bytes of the new one are not here."""
    return all(put.path != move.artifact["path"] for put in move.puts)


def begun(shelf: Shelf) -> list[str]:
    """Return the locks under which something was begun together and is not done."""
    return sorted(path.name.removesuffix(_SUFFIX) for path in shelf.incoming.folder.glob(f"*{_SUFFIX}"))
