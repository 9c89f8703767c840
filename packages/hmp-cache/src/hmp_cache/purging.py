"""Making room: which bytes may go, a plan of it, and doing it; records stay, a user's file is never touched.

What may go is a copy that the cache made: a file that stays where its owner has it may not, nor the current version of
a custom file, nor one that was edited since. A version that nobody could fetch again, or that the lock file names, goes
only by force. Bytes that another input needs stay for it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from hmp_cache import queries
from hmp_cache.changes import kept_bytes
from hmp_cache.ledger import Known
from hmp_cache.locking import named_by_lock
from hmp_cache.plans import Kept, Plan, Planned
from hmp_cache.records import Entry
from hmp_cache.shelf import SIDECAR
from hmp_cache.signature import Bytes
from hmp_cache.uses import uses_of
from hmp_core.errors import HmpError, InvalidInput
from hmp_core.events import Event
from hmp_core.events.clock import clock

if TYPE_CHECKING:
    from hmp_cache.opening import Rooms

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_UNITS |= {f"{unit}i": 2 ** (10 * power) for power, unit in enumerate("kmgt", start=1)}
_SIZE = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*([kmgt]i?)?b?\s*$", re.IGNORECASE)
_AGE = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*([hdwy])\s*$", re.IGNORECASE)
_HOURS = {"h": 1.0, "d": 24.0, "w": 7 * 24.0, "y": 365.25 * 24.0}


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked to go: the versions that fit all that is said.

    Parameters
    ----------
    older_than
        Nothing has happened to the version for so long: it was not stored, confirmed, superseded or restored since.
    keep_latest
        It is not among that many newest versions of its input.
    max_size
        Bytes that may be left; the oldest go first, former versions before current ones.
    superseded
        It is a former version.
    force
        Also what the lock file names, and former versions that nobody could fetch again.
    """

    older_than: timedelta | None = None
    keep_latest: int | None = None
    max_size: int | None = None
    superseded: bool = False
    force: bool = False

    @classmethod
    def of(
        cls,
        older_than: str | timedelta | None,
        keep_latest: int | None,
        max_size: str | int | None,
        *,
        superseded: bool,
        force: bool,
    ) -> Wish:
        """Return a wish out of what a user typed.

        Raises
        ------
        InvalidInput
            For what is no age or size, or if nothing is said of what may go.
        """
        if older_than is None and keep_latest is None and max_size is None and not superseded:
            message = "nothing says what may go: give older_than, keep_latest, max_size or superseded"
            raise InvalidInput(message)
        if keep_latest is not None and (type(keep_latest) is not int or keep_latest < 1):
            message = f"keep_latest is {keep_latest!r}, expected a number from 1 on; `remove` gives up a whole input"
            raise InvalidInput(message)
        age = older_than if older_than is None or isinstance(older_than, timedelta) else age_of(str(older_than))
        if age is not None and age < timedelta():
            message = f"older_than is {age}, expected no time or more"
            raise InvalidInput(message)
        size = None if max_size is None else size_of(str(max_size))
        return cls(age, keep_latest, size, superseded, force)


def age_of(text: str) -> timedelta:
    """Return how long "36h", "180d", "4w" or "2y" is.

    Raises
    ------
    InvalidInput
        For anything else.
    """
    found = _AGE.match(text)
    if found is None:
        message = f"{text!r} is no age; expected a number of hours, days, weeks or years, as 36h, 180d, 4w, 2y"
        raise InvalidInput(message)
    try:
        return timedelta(hours=float(found[1]) * _HOURS[found[2].lower()])
    except OverflowError:
        message = f"{text!r} is longer than any time that can be counted; expected as 36h, 180d, 4w, 2y"
        raise InvalidInput(message) from None


def size_of(text: str) -> int:
    """Return how many bytes "500MB", "10 GiB" or "1000" are.

    Raises
    ------
    InvalidInput
        For anything else.

    Examples
    --------
    >>> size_of("10 GB"), size_of("1.5KiB")
    (10000000000, 1536)
    """
    found = _SIZE.match(text)
    if found is None:
        message = f"{text!r} is no size; expected a number of bytes, as 1000, 500MB, 10GiB"
        raise InvalidInput(message)
    try:
        return int(float(found[1]) * _UNITS[(found[2] or "").lower()])
    except OverflowError:
        message = f"{text[:40]!r} is more than any disk has; expected a number of bytes, as 1000, 500MB, 10GiB"
        raise InvalidInput(message) from None


# ── the plan ─────────────────────────────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class _Held:
    """A version whose bytes are here."""

    entry: Entry
    current: bool
    #: when something last happened to it, in microseconds since 1970
    at: int
    #: 0 is the newest version of its input
    rank: int = 0
    is_series: bool = False

    @property
    def obtainable(self) -> bool:
        """Whether somebody can be asked for the bytes again: a source, or another machine."""
        entry = self.entry
        remote = entry.uri is not None and "://" in entry.uri and not entry.uri.startswith("file:")
        return not entry.is_custom and (self.is_series or remote)


def prune(rooms: Rooms, wish: Wish, filters: Mapping[str, Any], *, apply: bool) -> Plan:
    """Return what would go, and let it go if ``apply``; see `InputsNamespace.prune`."""
    if apply:
        rooms.may_write("prune it")
    held = _held(rooms, filters)
    locked = frozenset() if wish.force else named_by_lock(rooms.shelf.workspace)
    wanted, kept = [], []
    for each in _chosen(held, wish):
        why_not = _why_not(rooms, each, locked, force=wish.force)
        if why_not is None:
            wanted.append(each)
        else:
            kept.append(Kept(each.entry, why_not))
    if wish.max_size is not None:
        wanted = _down_to(wish.max_size, held, wanted)
    plan = _plan(rooms, wanted, kept, _why(wish), force=wish.force)
    if wish.max_size is not None:
        left = _size(held) - plan.freed
        plan = replace(plan, over=max(0, left - wish.max_size))
    return _applied(rooms, plan) if apply else plan


def _held(rooms: Rooms, filters: Mapping[str, Any]) -> list[_Held]:
    """Return every version of the inputs that fit whose bytes are here; of each input the newest first."""
    with rooms.store.reading() as backend:
        found = queries.entries(queries.every(backend, filters, removed=True), rooms.shelf)
        news, series = queries.news(backend), queries.series(backend)
    here = [entry for entry in found if entry.state not in {"purged", "missing"}]
    held = [
        _Held(e, e.state == "current", news[str(e.artifact_id)], is_series=str(e.artifact_id) in series) for e in here
    ]
    held.sort(key=lambda each: (each.current, each.at), reverse=True)
    count: Counter[UUID] = Counter()
    for each in held:
        each.rank = count[each.entry.id]
        count[each.entry.id] += 1
    return held


def _chosen(held: Sequence[_Held], wish: Wish) -> Iterator[_Held]:
    # the clock that stamps events: one that another machine has set ahead must not make everything young
    latest = clock.now() + 1 - (wish.older_than or timedelta()) // timedelta(microseconds=1)
    for each in held:
        if wish.superseded and each.current:
            continue
        if wish.keep_latest is not None and each.rank < wish.keep_latest:
            continue
        if wish.older_than is None or each.at < latest:
            yield each


def _why_not(rooms: Rooms, each: _Held, locked: frozenset[str], *, force: bool) -> str | None:
    """Return why a version must stay; None if it may go."""
    entry = each.entry
    placed = entry.state in {"current", "removed"}
    if placed and (rooms.shelf.registered / f"{entry.id}{SIDECAR}").exists():
        return "it stays where its owner has it"
    place = rooms.shelf.within(entry.relative_path) if placed else None
    if placed and (place is None or not Bytes(entry.sha256, entry.signature).are_in(place)):
        return "the file was changed since"
    if each.current and not each.obtainable:
        return "it cannot be fetched again; `remove` gives it up"
    if not force and not each.obtainable:
        return "it cannot be fetched again; with force it goes"
    if entry.sha256 in locked:
        return "hydromodpy.lock names it; with force it goes"
    return None


def _down_to(limit: int, held: Sequence[_Held], wanted: Sequence[_Held]) -> list[_Held]:
    """Return as few of the wanted as bring what is held down to the limit."""
    left, going, gone = _size(held), [], set()
    for each in sorted(wanted, key=lambda one: (one.current, one.at)):
        if left <= limit:
            break
        going.append(each)
        if each.entry.path not in gone:
            gone.add(each.entry.path)
            left -= each.entry.size
    return going


def _size(held: Iterable[_Held]) -> int:
    """Return how many bytes lie here; what several versions share counts once."""
    return sum({each.entry.relative_path: each.entry.size for each in held}.values())


def _why(wish: Wish) -> str:
    said = []
    if wish.superseded:
        said.append("a former version")
    if wish.keep_latest is not None:
        said.append(f"not among the newest {wish.keep_latest}")
    if wish.older_than is not None:
        said.append(f"nothing happened to it for {wish.older_than / timedelta(days=1):g} days")
    if wish.max_size is not None:
        said.append(f"to keep within {wish.max_size} bytes")
    return ", ".join(said)


def _plan(rooms: Rooms, going: Sequence[_Held], kept: list[Kept], why: str, *, force: bool) -> Plan:
    going = list(_unless_shared(rooms, going, kept))
    uses = uses_of(rooms, [each.entry for each in going])
    items, counted = [], set()
    for each in going:
        place = each.entry.relative_path
        freed = 0 if place in counted else each.entry.size
        counted.add(place)
        items.append(Planned(each.entry, why, freed, uses.of(each.entry.sha256)))
    return Plan(tuple(items), tuple(kept), force=force, unasked=tuple(uses.unasked))


def _unless_shared(rooms: Rooms, going: Sequence[_Held], kept: list[Kept]) -> Iterator[_Held]:
    """Yield what goes; bytes that another input needs, which stays, are kept."""
    leaving = {each.entry.artifact_id for each in going}
    others = _sharing(rooms, {each.entry.sha256 for each in going})
    for each in going:
        entry = each.entry
        needing = [
            o for o in others.get(entry.sha256, ())
            if o.id != entry.id and o.artifact_id not in leaving
            and o.relative_path == entry.relative_path and o.state != "purged"
        ]  # fmt: skip
        if needing:
            kept.append(Kept(entry, f"{needing[0].name} ({str(needing[0].id)[:8]}) has the same bytes"))
        else:
            yield each


def _sharing(rooms: Rooms, hashes: Collection[str]) -> dict[str, list[Entry]]:
    """Return SHA-256 -> the versions that have these bytes: one question, where one for each took 4 ms each."""
    found: dict[str, list[Entry]] = {}
    if not hashes:
        return found
    asked = {"sha256": sorted(hashes)} if len(hashes) <= _AT_ONCE else {}
    with rooms.store.reading() as backend:
        versions = queries.entries(queries.every(backend, asked, removed=True), rooms.shelf)
    for each in versions:
        found.setdefault(each.sha256, []).append(each)
    return found


#: How many versions are asked for by their hashes; of more, all are read.
_AT_ONCE = 1000


# ── doing it ─────────────────────────────────────────────────────────────────────────────────────────


def _applied(rooms: Rooms, plan: Plan) -> Plan:
    """Let go what is planned, each under the lock of its folder and looked at again there."""
    done, kept = [], list(plan.kept)
    for item in plan.items:
        try:
            freed = purge(rooms, item.entry, item.why)
        except HmpError as error:
            kept.append(Kept(item.entry, str(error)))
        else:
            if isinstance(freed, str):
                kept.append(Kept(item.entry, freed))
            else:
                done.append(replace(item, freed=freed))
    return replace(plan, items=tuple(done), kept=tuple(kept), applied=True)


def purge(rooms: Rooms, entry: Entry, why: str) -> int | str:
    """Let the bytes of one version go; return how many were freed, or why they stay."""
    intake = rooms.intake
    with intake.holding(entry.variable, entry.source):
        intake.settle(entry.id)
        known = intake.known(entry)
        version = known.sidecar.stored(entry.sha256) if known else None
        if known is None or version is None:
            return "nobody knows it any more"
        if (version["id"] == known.artifact["id"]) == (entry.state == "superseded"):
            return "it has become another version since"
        going = Going(rooms, known)
        event = going.purged(version, why)
        if isinstance(event, str):
            return event
        intake.changes.intend(known, [event])
        return int(event.payload["freed"])


@dataclass(frozen=True, slots=True)
class Going:
    """The versions of an input that go; the folder's lock is held."""

    rooms: Rooms = field(repr=False)
    known: Known

    def purged(self, version: Mapping[str, Any], why: str) -> Event | str:
        """Return the event by which the bytes of a version go, or why they stay."""
        shelf, changes, known = self.rooms.shelf, self.rooms.intake.changes, self.known
        placed = version["id"] == known.artifact["id"]
        if known.sidecar.purged(version["id"]):
            return "it is purged already"
        if placed and known.artifact["in_place"]:
            return "it stays where its owner has it"
        kept = shelf.version(version["sha256"])
        path = shelf.local(known.artifact["path"]) if placed else kept
        there = (known.bytes if placed else kept_bytes(version)).are_in(path)
        if there is False:
            return "the file was changed since"
        needed = changes.needed(known.sidecar.entry, version["sha256"])
        places = {path, kept} if not needed else {path} - {kept}
        freed = version["size"] * len({p.stat().st_ino for p in places if p.exists()})
        artifact = {name: version[name] for name in ("id", "sha256", "size")} | {"path": shelf.relative(path)}
        current = placed and not known.sidecar.removed  # else it would be listed again, as purged
        return changes.event("input.purged", known, artifact=artifact, current=current, why=why, freed=freed)
