"""Versions of many inputs of one source, stored together: flushed together, recorded together, finished together.

One arrival costs seven flushes (see `hmp_cache.intake`); here seven flushes are paid for hundreds. The protocol is the
same: everything that is needed lies in ``data/.incoming/<variable>.<source>.many/`` and is on the disk, and what is to
be done with it is written down there, before anything is done. Each step can be repeated; whoever holds the folder of
that source next finishes what a dead process had begun, or clears away what it had not written down.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hmp_cache import sidecar
from hmp_cache.flushing import flush
from hmp_cache.ledger import sidecar_path
from hmp_cache.shelf import SIDECAR, Shelf
from hmp_cache.sidecar import Sidecar
from hmp_cache.succession import keep, retire
from hmp_core.durable import fsync_folder, make_folder, translated
from hmp_core.events import Event, EventStore
from hmp_core.events.record import from_dict, to_json

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
            "artifact": dict(self.artifact),
            "events": [event.as_dict() for event in self.events],
            "puts": [[put.staged, put.path, put.replaces] for put in self.puts],
            "former": dict(self.former) if self.former else None,
        }


def _move(found: Mapping[str, Any]) -> Move:
    events = tuple(from_dict(event) for event in found["events"])
    puts = tuple(Put(*put) for put in found["puts"])
    return Move(found["entry"], found["artifact"], events, puts, found["former"])


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
            return [_move(move) for move in found["moves"]]
        except (ValueError, KeyError, TypeError) as error:
            # nothing acknowledged hangs on it: whoever wrote it was never answered
            _log.error("%s cannot be read (%s): what it was to store is forgotten", self.folder / _INTENT, error)
            return []

    def clear(self) -> None:
        """Forget everything that was staged."""
        with translated(self.folder):
            (self.folder / _INTENT).unlink(missing_ok=True)
            shutil.rmtree(self.folder, ignore_errors=True)

    # ── in ───────────────────────────────────────────────────────────────────────────────────────────

    def begin(self) -> None:
        """Make room for what is to be staged."""
        self.settle()
        make_folder(self.folder)

    def staged(self, name: str) -> Path:
        """Return where bytes are staged under a name."""
        return self.folder / name

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
                self.staged(names[-1]).write_bytes(sidecar.encoded(told))
            beside = self.staged(f".{_INTENT}")
            beside.write_bytes(to_json({"moves": [move.as_dict() for move in moves]}).encode())
            flush([*map(self.staged, names), beside], self.folder)
            beside.replace(self.folder / _INTENT)
            fsync_folder(self.folder)
            fsync_folder(self.folder.parent)
        self._carry_out(moves)
        self.clear()

    def _carry_out(self, moves: Sequence[Move]) -> None:
        with translated(self._shelf.data):
            for move in moves:
                if move.former is not None and self._is_at_stake(move):
                    keep(self._shelf, move.former, move.artifact)
            changed = {folder for move in moves for folder in self._placed(move)}
            for folder in changed:
                fsync_folder(folder)
            self._store.commit([event for move in moves for event in move.events])
            for move in moves:
                if move.former is not None:
                    retire(self._shelf, move.entry, move.former, move.artifact, emptied=_leaves_empty(move))

    def _is_at_stake(self, move: Move) -> bool:
        """Return whether the bytes of the former version are about to go from where they lie."""
        return _leaves_empty(move) or any(self.staged(put.staged).exists() for put in move.puts)

    def _placed(self, move: Move) -> Iterator[Path]:
        """Put sidecar and bytes where they belong, and yield the folders that were changed."""
        beside = sidecar_path(self._shelf, move.entry, move.artifact)
        places = [Put(f"{move.entry}{SIDECAR}", self._shelf.relative(beside)), *move.puts]
        for put in places:
            target, staged = self._shelf.local(put.path), self.staged(put.staged)
            if staged.exists():
                make_folder(target.parent)
                self._shelf.move(staged, target, replaces=put.replaces)
            yield target.parent


def _leaves_empty(move: Move) -> bool:
    """Return whether nothing takes the place of the former version: the bytes of the new one are not here."""
    return all(put.path != move.artifact["path"] for put in move.puts)


def begun(shelf: Shelf) -> list[str]:
    """Return the locks under which something was begun together and is not done."""
    return sorted(path.name.removesuffix(_SUFFIX) for path in shelf.incoming.folder.glob(f"*{_SUFFIX}"))
