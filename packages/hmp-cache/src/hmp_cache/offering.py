"""What sources offer: as they say themselves, beside what is on record here; and putting it on record."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hmp_cache import queries
from hmp_cache.sources.offers import Listed, plain, schema
from hmp_cache.sources.registry import Registry

if TYPE_CHECKING:
    import pyarrow as pa

    from hmp_core.events import EventStore

#: What makes two offers of a source the same.
_KEY = ("source", "variable", "frequency", "country", "description")


class Offering:
    """What the sources of a workspace offer.

    Parameters
    ----------
    store
        The log and the database.
    workspace
        Whose ``workspace.toml`` says how sources are asked.
    """

    def __init__(self, store: EventStore, workspace: Path) -> None:
        self._store = store
        self._workspace = workspace

    @cached_property
    def sources(self) -> Registry:
        """The sources; read when they are first needed, so that a mistake in their settings closes nobody's data."""
        return Registry.of(self._workspace)

    def table(self, source: str | None, variable: str | None) -> pa.Table:
        """Return a row for each offer; see `InputsNamespace.offers`."""
        import pyarrow as pa

        with self._store.reading() as backend:
            recorded = {_key(row): row for row in queries.offers(backend).to_pylist()}
        installed = self.sources.names()
        gone = [row for row in recorded.values() if row["source"] not in installed and source in {None, row["source"]}]
        listed = [] if source is not None and gone else self.sources.listed(source)
        rows = [row for one in listed for row in one.rows()]
        rows += [row | {"error": "as it was recorded: the source is not installed here"} for row in gone]
        for row in rows:
            row["recorded_at"] = recorded.get(_key(row), {}).get("recorded_at")
        kept = [row for row in rows if variable in {None, row["variable"]} or (row["error"] and not row["variable"])]
        return pa.Table.from_pylist(kept, schema=schema())

    def record(self, source: str | None = None) -> int:
        """Put on record what sources offer, where it is not yet: of each that can be used, or of one.

        Returns
        -------
        int
            How many sources had something new to say.

        Raises
        ------
        SourceNotFound, InvalidInput
            If ``source`` cannot be used.
        """
        if source is not None:
            self.sources.get(source)
        with self._store.reading() as backend:
            recorded = queries.offers(backend).drop_columns(["recorded_at"]).to_pylist()
        new = [one for one in self.sources.listed(source) if one.offers and not all(r in recorded for r in _facts(one))]
        for one in new:
            self._store.append("source.described", {"source": one.name, "offers": [plain(o) for o in one.offers]})
        return len(new)


def _facts(one: Listed) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "error"} for row in one.rows()]


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in _KEY)
