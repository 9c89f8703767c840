"""What is asked of a cache: inputs that fit, one by a reference, versions, bytes, and whether they are still there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from hmp_cache import checking, queries, references
from hmp_cache.records import Entry
from hmp_cache.shelf import Shelf
from hmp_core.events import EventStore

if TYPE_CHECKING:
    import pyarrow as pa


class Asking:
    """Answers from the database of one workspace; each question is a lease of its own, unless one is held."""

    def __init__(self, store: EventStore, shelf: Shelf) -> None:
        self._store = store
        self._shelf = shelf

    def find(self, filters: Mapping[str, Any]) -> list[Entry]:
        """Return the current version of each input that fits."""
        return queries.entries(self.table(filters), self._shelf)

    def listed(self, filters: Mapping[str, Any]) -> list[Entry]:
        """Return the same; where inputs are frozen also those that are not as they were (see `hmp_cache.frozen`)."""
        return self.find(filters)

    def table(self, filters: Mapping[str, Any], *, limit: int | None = None, offset: int = 0) -> pa.Table:
        """Return the current version of each input that fits, as rows."""
        with self._store.reading() as backend:
            return queries.find(backend, filters, limit=limit, offset=offset)

    def one(self, reference: str | UUID) -> Entry:
        """Return the input that a reference means; see `references.resolve`."""
        with self._store.reading() as backend:
            return self.find({"id": references.resolve(backend, reference)})[0]

    def versions(self, entry: Entry | UUID | str) -> list[Entry]:
        """Return every version of an input, the newest first."""
        with self._store.reading() as backend:
            identity = str(entry.id) if isinstance(entry, Entry) else references.resolve(backend, entry)
            return queries.entries(queries.versions(backend, "id", identity), self._shelf)

    def artifact(self, reference: str) -> Entry:
        """Return one version; see `checking.artifact`."""
        with self._store.reading() as backend:
            return checking.artifact(backend, self._shelf, reference)

    def artifact_path(self, sha256: str) -> Path:
        """Return where bytes lie; see `checking.path_of`."""
        with self._store.reading() as backend:
            return checking.path_of(backend, self._shelf, sha256)

    def check(self, filters: Mapping[str, Any]) -> list[Entry]:
        """Return the inputs that fit, each with its state; see `checking.check`."""
        with self._store.reading() as backend:
            return checking.check(backend, self._shelf, filters)

    def summary(self) -> pa.Table:
        """Return a line per variable and source."""
        with self._store.reading() as backend:
            return queries.summary(backend)

    def failures(self, limit: int) -> pa.Table:
        """Return the newest attempts that failed."""
        with self._store.reading() as backend:
            return queries.failures(backend, limit)

    def stations(self, filters: Mapping[str, Any]) -> pa.Table:
        """Return the stations that fit."""
        with self._store.reading() as backend:
            return queries.stations(backend, filters)

    def story(self, reference: str | UUID) -> dict[str, Any]:
        """Return everything that is known of one input: its versions, how they were obtained, how they were judged."""
        with self._store.reading() as backend:
            entry = self.one(reference)
            return {
                "entry": entry,
                "versions": self.versions(entry),
                "provenance": queries.provenance(backend, entry.id).to_pylist(),
                "validation": queries.reports(backend, entry.id).to_pylist(),
            }

    def table_names(self) -> list[str]:
        """Return the names of the tables."""
        with self._store.reading() as backend:
            return queries.table_names(backend)
