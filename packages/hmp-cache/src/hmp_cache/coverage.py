"""What is known of time and space: what is held, what a source does not have, what is missing, and what is offered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from hmp_cache import queries, windows
from hmp_cache.extents import covers, overlap
from hmp_cache.labels import BBox, Period, checked_bbox
from hmp_cache.obtaining import Obtaining
from hmp_cache.offering import Offering
from hmp_cache.records import Entry
from hmp_cache.series import kept_windows
from hmp_cache.shelf import Shelf
from hmp_cache.windows import Step, Window
from hmp_core.events import EventStore

if TYPE_CHECKING:
    import pyarrow as pa

#: What tells one series from another.
_KEY = ("variable", "source", "station_id", "frequency", "unit", "crs")
#: Filters by which also what is not held can be found.
_PLAIN = {"variable": "variable", "source": "source", "station": "station_id", "station_id": "station_id"}


@dataclass(slots=True)
class Known:
    """What is known of one series, or of the grids that differ in extent and period alone."""

    key: tuple[str | None, ...]
    name: str | None = None
    entries: list[Entry] = field(default_factory=list)
    held: list[tuple[Window, Entry]] = field(default_factory=list)
    empty: list[tuple[Window, datetime | None]] = field(default_factory=list)

    @property
    def step(self) -> Step:
        """How far apart its values are."""
        return Step.of(self.key[_KEY.index("frequency")])

    def gaps(self, asked: Window, box: BBox | None, empty: Iterable[Window] = ()) -> list[Window]:
        """Return what is missing of a window; with an extent, what is not held all over it."""
        held = (w for w, entry in self.held if box is None or entry.bbox is None or covers(entry.bbox, box))
        return windows.gaps(asked, held, [*(window for window, _ in self.empty), *empty], self.step)


class Coverage:
    """The ledger of what is covered."""

    def __init__(self, store: EventStore, shelf: Shelf, offering: Offering, obtaining: Obtaining) -> None:
        self._store = store
        self._shelf = shelf
        self._offering = offering
        self._obtaining = obtaining

    def gaps(self, said: Mapping[str, Any]) -> list[Period]:
        """Return what a source would be asked for; see `InputsNamespace.gaps`."""
        wanted = self._obtaining.wanted(said)
        label = wanted.label
        filters = {name: getattr(label, name) for name in ("variable", "source", "station", "frequency", "unit", "crs")}
        key = tuple(filters["station" if name == "station_id" else name] for name in _KEY)
        found = self._known(filters if label.bbox is None else filters | {"bbox": label.bbox})
        one = next((one for one in found if one.key == key), Known(key))
        with self._store.reading() as backend:
            empty = queries.empty(backend, wanted.arrival.entry_id, wanted.arrival.now)
        lacking = [windows.opened((start, end), wanted.arrival.now) for start, end, _ in empty]
        return [windows.closed(gap) for gap in one.gaps(wanted.window, label.bbox, lacking)]

    def table(self, filters: Mapping[str, Any]) -> pa.Table:
        """Return the ledger; see `InputsNamespace.coverage`."""
        import pyarrow as pa

        plain = {key: value for key, value in filters.items() if key not in {"period", "bbox"}}
        box = checked_bbox(filters.get("bbox"))
        period = filters.get("period")
        asked = None if period is None else windows.asked(period, _now())
        found = self._known(plain, box)
        rows = [row for one in found for row in _rows(one, asked, box)]
        rows += self._offered(plain, {(one.key[0], one.key[1]) for one in found}, box)
        return pa.Table.from_pylist(rows, schema=_schema())

    # ── what is known ────────────────────────────────────────────────────────────────────────────────

    def _known(self, filters: Mapping[str, Any], box: BBox | None = None) -> list[Known]:
        """Return what is known of each series that fits, by name."""
        now = _now()
        with self._store.reading() as backend:
            entries = queries.entries(queries.find(backend, filters), self._shelf)
            requests = queries.requests(backend, filters)
            answered = queries.answered(backend, now)
            places = _places(queries.stations(backend, {})) if box else {}
        found: dict[tuple[str | None, ...], Known] = {}
        ids: dict[str, Known] = {}
        for entry in entries:
            if box is None or _touches(entry, box, places):
                one = found.setdefault(_key(entry), Known(_key(entry), entry.name))
                ids[str(entry.id)] = one
                _take(one, entry, requests.get(str(entry.id)), now)
        for row in answered:
            known = ids.get(row["entry_id"]) or (None if box else _nowhere(found, row, filters))
            if known is not None:
                window = windows.opened((row["period_start"], row["period_end"]), now)
                known.empty.append((window, row["expires_at"]))
        return sorted(found.values(), key=lambda one: [word or "" for word in one.key])

    def _offered(
        self, filters: Mapping[str, Any], there: set[tuple[str | None, str | None]], box: BBox | None
    ) -> list[dict[str, Any]]:
        """Return what sources say they have of what is in the answer, or of the variable or source asked for."""
        variable, source = filters.get("variable"), filters.get("source")
        named = isinstance(variable, str) or isinstance(source, str)
        rows = self._offering.table(None, None).to_pylist()
        return [
            {name: row[name] for name in ("variable", "source", "frequency", "unit")}
            | {"state": "offered", "name": row["description"], "start": row["period_start"], "end": row["period_end"]}
            | {"bbox": _box(row)}
            for row in rows
            if row["variable"]
            and ((row["variable"], row["source"]) in there or (named and _fits(row, filters)))
            and (box is None or (offered := _box(row)) is None or overlap(offered, box))
        ]


def _take(one: Known, entry: Entry, request: Mapping[str, Any] | None, now: datetime) -> None:
    """Add an input: the windows that its source was asked for, else the period that it covers."""
    one.entries.append(entry)
    if entry.state != "current":
        return
    kept = kept_windows(request)
    if not kept and entry.period is not None:
        kept = [one.step.whole(windows.opened(entry.period, now))]
    one.held += [(window, entry) for window in kept]


def _nowhere(
    found: dict[tuple[str | None, ...], Known], row: Mapping[str, Any], filters: Mapping[str, Any]
) -> Known | None:
    """Return the place of an answer about an input that there is not: its source had nothing of it at all."""
    if not filters.keys() <= _PLAIN.keys() or not _fits(row, filters):
        return None
    key = (row["variable"], row["source"], row["station_id"], None, None, None)
    alike = (one for one in found.values() if one.key[:3] == key[:3])
    return next(alike, None) or found.setdefault(key, Known(key, row["station_id"]))


def _fits(row: Mapping[str, Any], filters: Mapping[str, Any]) -> bool:
    """Return whether a row has the variable, source and station that are asked for, as far as it can have them."""
    asked = {_PLAIN[key]: value for key, value in filters.items() if key in _PLAIN}
    return all(row[name] == value for name, value in asked.items() if name in row)


def _key(entry: Entry) -> tuple[str | None, ...]:
    return tuple(getattr(entry, name) for name in _KEY)


# ── rows ─────────────────────────────────────────────────────────────────────────────────────────────


def _rows(one: Known, asked: Window | None, box: BBox | None) -> Iterable[dict[str, Any]]:
    about = dict(zip(_KEY, one.key, strict=True)) | {"name": one.name}
    about.pop("crs")
    held = windows.union(window for window, _ in one.held)
    for entry in one.entries:
        kept = [window for window, other in one.held if other is entry]
        for window in _within(kept, asked):
            box_ = list(entry.bbox) if entry.bbox else None
            yield about | _row("held", window) | {"name": entry.name, "entry_id": str(entry.id), "bbox": box_}
    for empty, until in one.empty:
        for window in windows.difference(_within([empty], asked), held):
            yield about | _row("empty", window) | {"expires_at": until}
    if asked is not None:
        for window in one.gaps(asked, box):
            yield about | _row("missing", window) | {"bbox": list(box) if box else None}


def _within(found: Sequence[Window], asked: Window | None) -> list[Window]:
    return windows.union(found) if asked is None else windows.common(found, [asked])


def _row(state: str, window: Window) -> dict[str, Any]:
    start, end = windows.closed(window)
    return {"state": state, "start": start, "end": end}


def _schema() -> pa.Schema:
    import pyarrow as pa

    words = ("variable", "source", "station_id", "name", "frequency", "unit", "state")
    moments = ("start", "end", "expires_at")
    return pa.schema(
        [(name, pa.string()) for name in words]
        + [(name, pa.timestamp("us")) for name in moments]
        + [("bbox", pa.list_(pa.float64())), ("entry_id", pa.string())]
    )


# ── space ────────────────────────────────────────────────────────────────────────────────────────────


def _touches(entry: Entry, box: BBox, places: Mapping[tuple[str, str, str], tuple[float, float]]) -> bool:
    if entry.bbox is not None:
        return overlap(entry.bbox, box)
    place = places.get((entry.source, entry.variable, entry.station_id or ""))
    return place is not None and overlap((*place, *place), box)


def _places(stations: pa.Table) -> dict[tuple[str, str, str], tuple[float, float]]:
    """Return longitude and latitude of each station of which they are known."""
    rows = stations.to_pylist()
    known = (row for row in rows if row["lat"] is not None and row["lon"] is not None)
    return {(row["source"], row["variable"], row["station_id"]): (row["lon"], row["lat"]) for row in known}


def _box(row: Mapping[str, Any]) -> BBox | None:
    edges = [row[f"bbox_{edge}"] for edge in ("xmin", "ymin", "xmax", "ymax")]
    return None if None in edges else checked_bbox(edges)


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
