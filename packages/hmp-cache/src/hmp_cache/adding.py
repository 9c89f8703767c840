"""Many files at once: each judged as ever, those of one source stored together (see `hmp_cache.batch`).

What is not small, is known with other bytes, or comes twice, goes the way of a single file afterwards.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hmp_cache.arrival import Arrival
from hmp_cache.batch import Batch, Move, Put
from hmp_cache.errors import NotAllAdded
from hmp_cache.incoming import Staged
from hmp_cache.opening import Rooms
from hmp_cache.records import Entry
from hmp_cache.shelf import SIDECAR, safe_name
from hmp_cache.sidecar import Sidecar
from hmp_cache.tabular import TABULAR
from hmp_cache.validation import Report
from hmp_core.durable import translated
from hmp_core.errors import HmpError, InvalidInput
from hmp_core.events import Event
from hmp_core.identity import refuse_database

if TYPE_CHECKING:
    from upath import UPath

    Item = str | Path | UPath | Mapping[str, Any]

#: Bytes beyond which a file is stored by itself: it is read whole, and copying it is what takes the time.
_SMALL = 4 << 20
#: How many are stored together: the folder is locked meanwhile (0.2 s), and each holds some kilobytes.
_TOGETHER = 512
_LISTED = 10


def add_many(rooms: Rooms, items: Iterable[Item], shared: Mapping[str, Any], *, at_once: int | None) -> list[Entry]:
    """Copy many files in; see `InputsNamespace.add_many`."""
    rooms.may_write("add many files")
    adding = Adding(rooms, at_once or min(4, os.cpu_count() or 1))
    for number, item in enumerate(items):
        adding.want(number, item, shared)
    adding.run()
    entries = [rooms.entry(event) for _, event in sorted(adding.events.items())]
    if adding.refused:
        refused = sorted(adding.refused.items())
        listed = "; ".join(f"{number}: {error}" for number, error in refused[:_LISTED])
        more = f"; and {len(refused) - _LISTED} more" if len(refused) > _LISTED else ""
        message = (
            f"{len(refused)} of {len(refused) + len(entries)} files are not in, all the others are: {listed}{more}"
        )
        raise NotAllAdded(message, refused=refused, entries=entries)
    return entries


@dataclass(frozen=True, slots=True)
class _Wanted:
    number: int
    source: Path
    arrival: Arrival


@dataclass(frozen=True, slots=True)
class _Ready:
    """A file that was copied and judged."""

    wanted: _Wanted
    staged: Staged
    report: Report


class Adding:
    """One round of adding many files: what is wanted, what came of it."""

    def __init__(self, rooms: Rooms, at_once: int) -> None:
        self._rooms = rooms
        self._at_once = at_once
        self._wanted: dict[tuple[str, str], list[_Wanted]] = {}
        self._alone: list[_Wanted] = []
        self.events: dict[int, Event] = {}
        self.refused: dict[int, HmpError] = {}

    def want(self, number: int, item: Item, shared: Mapping[str, Any]) -> None:
        """Take a file into the round, or refuse it."""
        try:
            said = {**shared, **item} if isinstance(item, Mapping) else {**shared, "path": item}
            source, arrival = self._rooms.arriving(said)
        except HmpError as error:
            self.refused[number] = error
            return
        wanted = _Wanted(number, source, arrival)
        if source.stat().st_size > _SMALL:
            self._alone.append(wanted)
        else:
            self._wanted.setdefault((arrival.label.variable, arrival.label.source), []).append(wanted)

    def run(self) -> None:
        """Store everything that is wanted."""
        for (variable, source), wanted in self._wanted.items():
            for first in range(0, len(wanted), _TOGETHER):
                chunk = wanted[first : first + _TOGETHER]
                try:
                    with self._rooms.intake.holding(variable, source):
                        self._together(chunk, self._rooms.intake.batch(f"{variable}.{source}"))
                except HmpError as error:
                    # nothing of this chunk was acknowledged
                    self.refused |= {each.number: error for each in chunk if self._is_open(each)}
        for each in self._alone:
            try:
                self.events[each.number] = self._rooms.store_copy(each.source, each.arrival)
            except HmpError as error:
                self.refused[each.number] = error

    def _is_open(self, wanted: _Wanted) -> bool:
        return wanted.number not in self.events and wanted.number not in self.refused and wanted not in self._alone

    # ── those that are stored together ───────────────────────────────────────────────────────────────

    def _together(self, chunk: Sequence[_Wanted], batch: Batch) -> None:
        label = chunk[0].arrival.label
        maybe = self._rooms.intake.ledger.maybe(label.variable, label.source)
        fresh: dict[str, _Wanted] = {}
        for wanted in chunk:
            entry = str(wanted.arrival.entry_id)
            if entry in maybe or entry in fresh:
                self._again(wanted)
            else:
                fresh[entry] = wanted
        with batch.staging(), self._threads(fresh.values()) as each:
            ready = each(lambda one: self._stage(batch, one[0], one[1]), fresh.items())
            self._store(batch, self._accepted(ready), label.variable, label.source)

    @contextlib.contextmanager
    def _threads(self, wanted: Iterable[_Wanted]) -> Iterator[Callable[..., Iterable[Any]]]:
        """Give a ``map``: on threads for tables, which are parsed; handing a mere copy over takes longer than it."""
        if self._at_once == 1 or not any(each.arrival.suffix.lower() in TABULAR for each in wanted):
            yield map
            return
        with ThreadPoolExecutor(self._at_once) as threads:
            yield threads.map

    def _again(self, wanted: _Wanted) -> None:
        """What is there with the same bytes is what was asked for; anything else is a new version."""
        known = self._rooms.intake.find(wanted.arrival)
        if known is None or known.newest.payload["entry"]["id"] != str(wanted.arrival.entry_id):
            self._alone.append(wanted)
            return
        try:
            _, sha256 = _read(wanted.source)
        except HmpError as error:
            self.refused[wanted.number] = error
            return
        place = self._rooms.shelf.local(known.artifact["path"])
        if known.bytes.sha256 == sha256 and not known.sidecar.removed and known.bytes.unchanged(place):
            self.events[wanted.number] = known.newest
        else:
            self._alone.append(wanted)

    def _stage(self, batch: Batch, name: str, wanted: _Wanted) -> _Ready | tuple[_Wanted, HmpError]:
        """Copy and judge one file; on a thread of its own."""
        try:
            data, sha256 = _read(wanted.source)
            path = Path(batch.staged(name))
            with translated(path):
                batch.write(name, data)
            report = wanted.arrival.judged(path)
        except HmpError as error:
            return wanted, error
        return _Ready(wanted, Staged(path, sha256, len(data)), report)

    def _accepted(self, ready: Iterable[_Ready | tuple[_Wanted, HmpError]]) -> Iterator[_Ready]:
        for each in ready:
            if not isinstance(each, _Ready):
                self.refused[each[0].number] = each[1]
            elif each.report.passed:
                yield each
            else:
                error = self._rooms.intake.reject(each.staged, each.wanted.arrival, each.report)
                self.refused[each.wanted.number] = error

    def _store(self, batch: Batch, accepted: Iterable[_Ready], variable: str, source: str) -> None:
        moves, sidecars, stored = [], [], {}
        folder = self._rooms.shelf.home(variable, source)
        names = _Names(folder)
        home = self._rooms.shelf.relative(folder)
        for each in accepted:
            name = names.free(each.wanted.arrival)
            if name is None:
                self._alone.append(each.wanted)
                continue
            event = self._event(each, f"{home}/{name}")
            entry, artifact = event.payload["entry"]["id"], event.payload["artifact"]
            moves.append(Move(entry, artifact, (event,), (Put(each.staged.path.name, artifact["path"]),)))
            sidecars.append(Sidecar(entry, (event,)))
            stored[each.wanted.number] = event
        if moves:
            batch.commit(moves, sidecars)
        self.events |= stored
        for move in moves:
            self._rooms.intake.ledger.remember(move.entry, folder / Path(move.artifact["path"]).name)

    def _event(self, each: _Ready, kept: str) -> Event:
        arrival = each.wanted.arrival
        facts = arrival.artifact(each.staged, kept, in_place=False)
        return self._rooms.store.prepare("input.stored", arrival.payload(facts, each.report, None))


class _Names:
    """The names in the folder of a source: those that are taken, and those that were given in this round."""

    def __init__(self, folder: Path) -> None:
        # two files whose names differ in capitals alone are one, on some file systems
        self._taken = {name.casefold() for name in os.listdir(folder)} if folder.is_dir() else set()

    def free(self, arrival: Arrival) -> str | None:
        """Return what a file is called here; None where its own name is taken."""
        name = safe_name(arrival.file_name)
        folded = name.casefold()
        if folded in self._taken or f"{folded}{SIDECAR}" in self._taken:
            return None
        self._taken.add(folded)
        return name


def _read(source: Path) -> tuple[bytes, str]:
    """Return the bytes of a small file and their SHA-256.

    Raises
    ------
    InvalidInput
        If it may not be read, is a database, or changes meanwhile.
    """
    if ".duckdb" in source.name:
        refuse_database(source)
    try:
        with source.open("rb") as file:
            before = os.fstat(file.fileno())
            data = file.read(_SMALL + 1)
            after = os.fstat(file.fileno())
    except OSError as error:
        message = f"{source} cannot be read: {error.strerror}"
        raise InvalidInput(message) from error
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns) or len(data) != after.st_size:
        message = f"{source} was written to while it was copied; add it again when it is complete"
        raise InvalidInput(message)
    return data, hashlib.sha256(data).hexdigest()
