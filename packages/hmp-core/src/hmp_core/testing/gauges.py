"""A small scope with everything that a fold can do: what the judges of the event log work on.

Gauges have a name and may be hidden (groups), water levels belong to gauges (subject) and wait for them, observers
come and go (tombstones), that a gauge was named stays known, without the name, when it is purged (emptied), a survey
is a file that an event names, and a sealed survey tells itself (files, orphans).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hmp_core.durable import write_atomic
from hmp_core.events import Event, EventStore, Fold, NotYet, Row, Table
from hmp_core.events.fold import Purge
from hmp_core.events.record import from_dict, to_json
from hmp_core.protocols import CatalogBackend

if TYPE_CHECKING:
    from hmp_core.events.store import Notice
    from hmp_core.protocols import AuthBackend

MIGRATIONS = Path(__file__).parent / "sql" / "gauges"

#: The tables that events fill, each with an order of its rows.
ORDERS = {
    "gauges": "gauge_id",
    "levels": "gauge_id, taken_at",
    "observers": "code",
    "visits": "event_id",
    "namings": "event_id",
}

_EPOCH = datetime(2020, 1, 1)


def _rows(event: Event, root: Path) -> Iterable[Row | Purge]:
    if event.v != 1 or event.kind not in _KINDS:
        message = f"{event.kind} v{event.v} is not known"
        raise NotYet(message)
    return list(_KINDS[event.kind](event, root))


def _set(event: Event, root: Path) -> Iterator[Row | Purge]:  # noqa: ARG001 - the signature is the contract
    said = event.payload
    values = {"river": said["river"], "opened_at": _EPOCH, "elevation": said.get("elevation")}
    yield Row("gauges", (said["gauge"],), values, event.stamp())


def _named(event: Event, root: Path) -> Iterator[Row | Purge]:  # noqa: ARG001
    gauge, name = event.payload["gauge"], event.payload["name"]
    yield Row("gauges", (gauge,), {"name": name}, event.stamp(), group="name")
    yield Row("namings", (str(event.id),), {"gauge_id": gauge, "name": name}, event.stamp())


def _hidden(event: Event, root: Path) -> Iterator[Row | Purge]:  # noqa: ARG001
    yield Row("gauges", (event.payload["gauge"],), {"hidden": event.payload["on"]}, event.stamp(), group="hidden")


def _purged(event: Event, root: Path) -> Iterator[Row | Purge]:  # noqa: ARG001
    yield Purge(event.payload["gauge"])


def _level(event: Event, root: Path) -> Iterator[Row | Purge]:  # noqa: ARG001
    said = event.payload
    key = (said["gauge"], _EPOCH + timedelta(days=said["day"]))
    values = None if said["level"] is None else {"level": said["level"], "remarks": to_json(said.get("remarks"))}
    yield Row("levels", key, values, event.stamp(), needs=("gauges", said["gauge"]))


def _observer(event: Event, root: Path) -> Iterator[Row | Purge]:  # noqa: ARG001
    called = event.payload["called"]
    yield Row("observers", (event.payload["code"],), None if called is None else {"called": called}, event.stamp())


def _visit(event: Event, root: Path) -> Iterator[Row | Purge]:  # noqa: ARG001
    values = {"gauge_id": event.payload["gauge"], "code": event.payload["code"]}
    yield Row("visits", (str(event.id),), values, event.stamp(), needs=("observers", event.payload["code"]))


def _surveyed(event: Event, root: Path) -> Iterator[Row | Purge]:
    file = root / "surveys" / f"{event.payload['gauge']}.json"
    if not file.is_file():
        message = f"{file.name} is missing"
        raise NotYet(message)
    content = json.loads(file.read_text(encoding="utf-8"))
    gauge = event.payload["gauge"]
    yield Row("gauges", (gauge,), {"river": content["river"], "opened_at": _EPOCH}, event.stamp())
    for day, level in enumerate(content["levels"]):
        yield Row("levels", (gauge, _EPOCH + timedelta(days=day)), {"level": level}, event.stamp())


_KINDS: dict[str, Callable[[Event, Path], Iterator[Row | Purge]]] = {
    "gauge.set": _set,
    "gauge.named": _named,
    "gauge.hidden": _hidden,
    "gauge.purged": _purged,
    "level.set": _level,
    "observer.set": _observer,
    "visit.made": _visit,
    "survey.sealed": _surveyed,
}


def _files(root: Path) -> Iterator[Event]:
    for file in sorted((root / "surveys").glob("*.json")):
        yield from_dict(json.loads(file.read_text(encoding="utf-8"))["event"])


def _orphans(backend: CatalogBackend, root: Path) -> Iterator[Event]:
    known = {str(row[0]) for row in backend.fetch_all("SELECT gauge_id FROM gauges")}
    for event in _files(root):
        if event.payload["gauge"] not in known:
            yield event


FOLD = Fold(
    component="gauges",
    migrations=MIGRATIONS,
    tables=(
        Table("gauges", ("gauge_id",), {"name": ("name",), "hidden": ("hidden",)}, subject="gauge_id"),
        Table("levels", ("gauge_id", "taken_at"), subject="gauge_id"),
        Table("observers", ("code",)),
        Table("visits", ("event_id",), subject="gauge_id"),
        Table("namings", ("event_id",), emptied={"gauge_id": ("name",)}),
    ),
    rows=_rows,
    files=_files,
    orphans=_orphans,
)


def gauges(
    folder: Path, *, auth: AuthBackend | None = None, timeout: float = 20.0, read_only: bool = False
) -> EventStore:
    """Return the store of the gauges in ``folder``; `EventStore.prepare_schema` makes it."""
    from hmp_core.auth import LocalAuthBackend

    return EventStore(
        folder / "gauges.duckdb",
        FOLD,
        auth=auth or LocalAuthBackend(),
        resource="gauges",
        timeout=timeout,
        read_only=read_only,
    )


def survey(store: EventStore, gauge: str, river: str, levels: list[float]) -> Event:
    """Seal a survey: its file first, then the event that names it."""
    event = store.prepare("survey.sealed", {"gauge": gauge})
    folder = store.path.parent / "surveys"
    folder.mkdir(exist_ok=True)
    content = {"river": river, "levels": levels, "event": event.as_dict()}
    write_atomic(folder / f"{gauge}.json", to_json(content).encode())
    store.commit([event])
    return event


def dump(store: EventStore) -> dict[str, list[tuple[Any, ...]]]:
    """Return all rows of all tables of the scope, in order, stamps included."""
    with store.reading() as backend:
        return {table: backend.fetch_all(f"SELECT * FROM {table} ORDER BY {by}") for table, by in ORDERS.items()}


def complete(notice: Notice) -> bool:
    """Return whether nothing is missing from an answer but what waits for something that never comes."""
    return not notice.unfolded and not notice.rejected
