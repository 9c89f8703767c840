"""Reading every byte: several files at a time, each held to the SHA-256 that is on record."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hmp_cache import queries
from hmp_cache.progress import Progress, Step, shown
from hmp_cache.records import Entry
from hmp_cache.signature import Signature
from hmp_core.errors import InvalidInput
from hmp_core.identity import refuse_database

if TYPE_CHECKING:
    from hmp_cache.opening import Rooms

_CHUNK = 1 << 20


def verify(
    rooms: Rooms, filters: Mapping[str, Any], *, at_once: int | None, progress: bool | Progress | None
) -> list[Entry]:
    """Read every version of the inputs that fit; see `InputsNamespace.verify`."""
    from hmp_cache.mending import resight

    with rooms.store.reading() as backend:
        found = queries.entries(queries.every(backend, filters), rooms.shelf)
    paths = {each.artifact_id: path for each in found if (path := rooms.shelf.within(each.relative_path)) is not None}
    kept = {entry.artifact_id for entry in found if entry.state not in {"purged", "missing"}}
    seen = Reading(at_once=at_once, progress=progress).read(path for each, path in paths.items() if each in kept)
    read = {each: seen[path] for each, path in paths.items() if path in seen}
    told = [_told(entry, read.get(entry.artifact_id)) for entry in found]
    resight(rooms, [(entry, read[entry.artifact_id][1]) for entry in told if entry.state == "current"])
    return told


def _told(entry: Entry, read: tuple[str, Signature] | None) -> Entry:
    if entry.state == "purged":
        return entry
    if read is None:
        return replace(entry, state="missing")
    return entry if read[0] == entry.sha256 else replace(entry, state="modified")


class Reading:
    """Reads files on several threads: hashing does not hold the interpreter.

    Parameters
    ----------
    at_once
        How many files at a time; by default one a processor.
    progress
        See `hmp_cache.progress.shown`.
    """

    def __init__(self, *, at_once: int | None = None, progress: bool | Progress | None = None) -> None:
        if at_once is not None and at_once < 1:
            message = f"at_once is {at_once}; expected at least one file at a time"
            raise InvalidInput(message)
        self._at_once = at_once or os.cpu_count() or 1
        self._progress = progress
        self._guard = threading.Lock()
        self._done = 0
        self._total = 0
        self._tell: Progress | None = None

    def read(self, paths: Iterable[Path]) -> dict[Path, tuple[str, Signature]]:
        """Return path -> SHA-256 and how the file looked while it was read; without those that are not there."""
        sizes = {path: size for path in dict.fromkeys(paths) if (size := _size(path)) is not None}
        if not sizes:
            return {}  # and no thread is made: this is what a look at a hit comes to
        self._total = sum(sizes.values())
        # the largest first: else it is alone at the end
        ordered = sorted(sizes, key=lambda path: sizes[path], reverse=True)
        with shown(self._progress) as self._tell, ThreadPoolExecutor(self._at_once) as threads:
            found = zip(ordered, threads.map(self._one, ordered), strict=True)
            return {path: told for path, told in found if told is not None}

    def _one(self, path: Path) -> tuple[str, Signature] | None:
        refuse_database(path)
        digest, buffer = hashlib.sha256(), memoryview(bytearray(_CHUNK))
        try:
            with path.open("rb", buffering=0) as file:
                before = os.fstat(file.fileno())
                while count := file.readinto(buffer):
                    digest.update(buffer[:count])
                    self._advance(count)
                after = os.fstat(file.fileno())
        except FileNotFoundError:
            return None
        # of a file that was written to meanwhile nobody knows how it looked
        looks = Signature.of(after) if Signature.of(before) == Signature.of(after) else Signature(-1, 0.0)
        return digest.hexdigest(), looks

    def _advance(self, count: int) -> None:
        if self._tell is not None:
            with self._guard:
                self._done += count
                self._tell(Step("verify", self._done, self._total))


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return None
