"""Looking whether files are what was registered, and putting in order what can be without losing anything.

A file that is what it was though it looks otherwise (a copied workspace, another time) is put on record as it looks
now, so that it need not be read again. What was changed is kept aside before the registered bytes take its place. A
user's own file, and one that nobody registered, is never touched.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hmp_cache import sidecar
from hmp_cache.fetching import How
from hmp_cache.ledger import Known, sidecar_path
from hmp_cache.records import Entry
from hmp_cache.restoring import Restoring
from hmp_cache.shelf import SIDECAR
from hmp_cache.sidecar import KINDS, Sidecar
from hmp_cache.sighting import sight
from hmp_cache.signature import Signature
from hmp_cache.verifying import Reading
from hmp_core.errors import BusyError, HmpError, InvalidInput, NotWritable

if TYPE_CHECKING:
    from hmp_cache.opening import Rooms

_log = logging.getLogger(__name__)

#: How many are put on record together; see `hmp_cache.batch`.
_TOGETHER = 512


class Checked(list[Entry]):
    """The inputs that were looked at, each with its state; ``fixed`` says in words what was put in order."""

    def __init__(self, entries: Sequence[Entry], fixed: Sequence[str] = ()) -> None:
        super().__init__(entries)
        self.fixed = list(fixed)


def check(rooms: Rooms, filters: Mapping[str, Any], *, fix: bool, verify: str) -> Checked:
    """Look whether inputs are what was registered; see `InputsNamespace.check`."""
    if verify not in {"quick", "full"}:
        message = f"verify is {verify!r}; expected 'quick' or 'full'"
        raise InvalidInput(message)
    if fix:
        rooms.may_write("check and fix it")
    entries = rooms.asking.listed(filters)
    looked = look(rooms, entries, full=verify == "full")
    resight(rooms, [(each.entry, each.seen) for each in looked if each.seen is not None])
    found = [each.entry for each in looked]
    if not fix:
        return Checked(found)
    fixed = list(_sidecars(rooms, found))
    for number, entry in enumerate(found):
        if entry.state in {"missing", "modified"} and (back := _mended(rooms, entry)) is not None:
            found[number] = back
            fixed.append(f"{entry.relative_path} was {entry.state} and is what it was again")
    return Checked(found, fixed)


# ── looking ──────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Looked:
    """What was found of an input; ``seen`` is how its file looks, where that is news."""

    entry: Entry
    seen: Signature | None = None


def look(rooms: Rooms, entries: Sequence[Entry], *, full: bool = False) -> list[Looked]:
    """Say of each input whether its file is what was registered: read is only what looks otherwise, or all of it."""
    root = str(rooms.shelf.workspace)
    # only looked at, thousands at a time: what is read goes through `Shelf.within`
    suspect = [e for e in entries if e.state in _PLACED and (full or not _unchanged(e, f"{root}/{e.relative_path}"))]
    places = {entry.artifact_id: rooms.shelf.within(entry.relative_path) for entry in suspect}
    read = Reading().read([path for e in suspect if (path := places[e.artifact_id]) and e.size == _size(path)])
    return [_judged(e, places[e.artifact_id], read) if e.artifact_id in places else Looked(e) for e in entries]


_PLACED = frozenset({"current"})


def _unchanged(entry: Entry, path: str) -> bool:
    try:
        return entry.signature.fits(os.lstat(path))  # a link may lead out of the workspace
    except (FileNotFoundError, NotADirectoryError):
        return False


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.exists() else None


def _judged(entry: Entry, place: Path | None, read: Mapping[Path, tuple[str, Signature]]) -> Looked:
    if place is None:
        return Looked(replace(entry, state="missing"))
    sha256, seen = read.get(place, (None, None))
    if sha256 != entry.sha256:
        return Looked(replace(entry, state="modified"))
    return Looked(entry, None if seen == entry.signature else seen)


# ── how files look ───────────────────────────────────────────────────────────────────────────────────


def resight(rooms: Rooms, seen: Sequence[tuple[Entry, Signature]]) -> None:
    """Put on record how files look that were read and are what they were; where one may not write, nothing is."""
    news = [(entry, looks) for entry, looks in seen if looks.size == entry.size and looks != entry.signature]
    if not news or not rooms.writes:
        return
    for (variable, source), group in groupby(sorted(news, key=_folder), key=_folder):
        of_folder = list(group)
        try:
            for first in range(0, len(of_folder), _TOGETHER):
                with rooms.intake.holding(variable, source):
                    known = list(_known(rooms, of_folder[first : first + _TOGETHER]))
                    sight(rooms.intake, rooms.shelf, f"{variable}.{source}", known)
        except (BusyError, NotWritable) as error:
            _log.info("how files of %s/%s look was not put on record: %s", variable, source, error)


def _folder(one: tuple[Entry, Signature]) -> tuple[str, str]:
    return one[0].variable, one[0].source


def _known(rooms: Rooms, seen: Sequence[tuple[Entry, Signature]]) -> Iterator[tuple[Known, Signature]]:
    """Yield what is known of each input, if the version that was read is still its current one."""
    for entry, looks in seen:
        rooms.intake.settle(entry.id)
        known = rooms.intake.known(entry)
        if known is not None and known.artifact["id"] == str(entry.artifact_id):
            yield known, looks


# ── what is put in order ─────────────────────────────────────────────────────────────────────────────


def _mended(rooms: Rooms, entry: Entry) -> Entry | None:
    """Return an input whose bytes were here somewhere and are in their place again; None if they were not."""
    try:
        return Restoring(rooms, entry, How()).here()
    except HmpError as error:
        _log.warning("%s stays %s: %s", entry.relative_path, entry.state, error)
        return None


def _sidecars(rooms: Rooms, entries: Sequence[Entry]) -> Iterator[str]:
    """Write the sidecars that are not there again, from the log; yield what was done."""
    lacking = {str(entry.id): entry for entry in entries if not _has_sidecar(rooms, entry)}
    if not lacking:
        return
    told = {entry: Sidecar(entry) for entry in lacking}
    for event in rooms.store.files.everything().events:
        entry = event.payload["entry"]["id"] if event.kind in KINDS else None
        if entry in told:
            told[entry] = told[entry].with_event(event)
    for identity, found in told.items():
        newest = found.newest
        if newest is None:
            _log.warning("the log does not tell of %s any more: its sidecar stays lost", lacking[identity].name)
            continue
        entry = lacking[identity]
        with rooms.intake.holding(entry.variable, entry.source):
            path = sidecar_path(rooms.shelf, identity, newest.payload["artifact"])
            if not path.exists():
                sidecar.write(path, found)
                yield f"{rooms.shelf.relative(path)} was written again from the log"


def _has_sidecar(rooms: Rooms, entry: Entry) -> bool:
    shelf = rooms.shelf
    own = shelf.registered / f"{entry.id}{SIDECAR}"
    place = shelf.within(entry.relative_path)
    # where a link leads out of the workspace nothing is written
    return place is None or sidecar.path_of(place).exists() or own.exists()
