"""Whether what events say has a place in the tables: asked before anything is written that says it.

The fold sets an event aside that does not fit, and an input would be on the disk of which no row tells.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hmp_cache.fold import TABLES, rows
from hmp_core.backends.identifiers import identifier
from hmp_core.events import Event
from hmp_core.events.columns import arrow_table
from hmp_core.protocols.backend import CatalogBackend

if TYPE_CHECKING:
    import pyarrow as pa

#: How many events are looked at together: one by one takes ten times as long, all at once too much memory.
_TOGETHER = 1000
_ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class Tables:
    """What the columns of the tables take."""

    def __init__(self, backend: CatalogBackend) -> None:
        self._keys = {table.name: table.key for table in TABLES}
        self._schemas: dict[str, pa.Schema] = {}
        self._ids: dict[str, frozenset[str]] = {}
        for name in self._keys:
            self._schemas[name] = backend.query(f"SELECT * FROM {identifier(name)} LIMIT 0").schema
            described = backend.fetch_all(f"DESCRIBE {identifier(name)}")
            self._ids[name] = frozenset(column for column, kind, *_ in described if kind == "UUID")

    def unfit(self, events: Sequence[Event]) -> tuple[Event, str] | None:
        """Return the first event of which a value does not fit its column, and why; None if all of them fit."""
        for first in range(0, len(events), _TOGETHER):
            some = events[first : first + _TOGETHER]
            if self._why(some) is None:
                continue
            for event in some:
                why = self._why([event])
                if why is not None:
                    return event, why
        return None

    def _why(self, events: Sequence[Event]) -> str | None:
        try:
            for (table, _), columns in self._columns(events).items():
                arrow_table(columns, self._schemas[table])
                for name in self._ids[table] & set(columns):
                    for value in columns[name]:
                        _require_id(name, value)
        except (ValueError, TypeError, OverflowError, KeyError) as error:
            return f"{type(error).__name__}: {error}"
        return None

    def _columns(self, events: Sequence[Event]) -> dict[tuple[str, tuple[str, ...]], dict[str, list[Any]]]:
        """Return the columns of what the events say, of each table as often as different ones are set."""
        found: dict[tuple[str, tuple[str, ...]], dict[str, list[Any]]] = {}
        for event in events:
            for row in rows(event, Path()):
                said = dict(zip(self._keys[row.table], row.key, strict=True)) | dict(row.values or {})
                columns = found.setdefault((row.table, tuple(said)), {name: [] for name in said})
                for name, value in said.items():
                    columns[name].append(value)
        return found


def _require_id(name: str, value: Any) -> None:
    if value is not None and not _ID.fullmatch(value):
        message = f"{name}: {value!r} is no id"
        raise ValueError(message)
