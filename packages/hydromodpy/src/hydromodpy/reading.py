"""The input cache as the bridge asks it: questions, and nothing put in order on the way.

The door of the cache settles what dead processes left, and tells the machine index of the workspace; a question about
runs needs neither. It goes through that door where the database must be made or brought up to date, and to put on
record how files look that had to be read.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hmp_core.databases import Database
from hmp_core.errors import DatabaseNotFound, MigrationPending
from hmp_core.events import EventStore
from hmp_core.layout import cache_path, internal_folder

if TYPE_CHECKING:
    from hmp_cache import Entry, InputsNamespace
    from hmp_core.protocols import AuthBackend, BulkBackend

#: How many inputs are asked for by their ids; of more, all are asked for: that takes 0.1 s a 10,000.
AT_ONCE = 1000


#: The current version of each entry that nobody removed: 10 ms of 100,000, less than to look each up by its id.
_CURRENT = "SELECT CAST(artifact_id AS VARCHAR) FROM entries WHERE coalesce(state, '') <> 'removed'"


def has_cache(workspace: Path) -> bool:
    """Return whether a workspace has an input cache, or the log that one can be made from."""
    database = cache_path(workspace)
    return any(map(os.path.exists, (database, internal_folder(database), database.with_name("events"))))


class CacheReader:
    """Asks the input cache of a workspace.

    Parameters
    ----------
    workspace
        Its folder.
    auth
        Who is asked for the right to read; by default whom the workspace or the environment names.
    """

    def __init__(self, workspace: Path, auth: AuthBackend | None = None) -> None:
        from hmp_cache.fold import FOLD
        from hmp_cache.shelf import Shelf

        known = Database("cache", cache_path(workspace))
        self._shelf = Shelf(workspace, auth)
        self.workspace = self._shelf.workspace
        self._auth = auth
        authority = known.auth() if auth is None else auth
        self._store = EventStore(known.path, FOLD, auth=authority, resource=known.resource)

    @contextlib.contextmanager
    def reading(self) -> Iterator[BulkBackend]:
        """Hold one lease for several questions."""
        with contextlib.ExitStack() as stack:
            try:
                backend = stack.enter_context(self._store.reading())
            except (DatabaseNotFound, MigrationPending):
                self._door().close()
                backend = stack.enter_context(self._store.reading())
            yield backend

    def _door(self) -> InputsNamespace:
        """Open the cache as a user does; what is frozen is what a run may be given, and hides nothing here."""
        from hmp_cache import InputsNamespace

        return InputsNamespace(self.workspace, auth=self._auth, frozen=False)

    @property
    def lack(self) -> str:
        """What the last answer lacks; empty where it is complete."""
        notice = self._store.notice
        return f"the answer of the cache is not complete: {notice}" if notice else ""

    def sql(self, query: str, params: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """Return the rows of a question."""
        with self.reading() as backend:
            found: list[dict[str, Any]] = backend.query(query, params).to_pylist()
        return found

    def versions(self, filters: Mapping[str, Any]) -> tuple[list[Entry], list[Entry]]:
        """Return every version that fits, also of removed entries, and the current ones of those that are not.

        The latter are looked at: their state may be ``modified``.

        Parameters
        ----------
        filters
            Ids of entries, hashes, or nothing: then it is all versions.
        """
        from hmp_cache import queries

        with self.reading() as backend:
            table = queries.every(backend, filters, removed=True)
            ids = sorted(set(table["id"].to_pylist()))
            if "sha256" in filters:  # then the current version may be another one
                asked = {"id": ids} if len(ids) <= AT_ONCE else {}
                now = queries.entries(queries.find(backend, asked), self._shelf)
                return queries.entries(table, self._shelf), self._looked_at(now)
            rows = backend.fetch_all(_CURRENT)
        found, current = queries.entries(table, self._shelf), {str(row[0]) for row in rows}
        return found, self._looked_at([each for each in found if str(each.artifact_id) in current])

    def current(self, ids: Sequence[str]) -> list[Entry]:
        """Return entries as they are now, without those that were removed; only their files are not looked at."""
        from hmp_cache import queries

        with self.reading() as backend:
            return queries.entries(queries.find(backend, {"id": list(ids)}), self._shelf)

    def _looked_at(self, entries: list[Entry]) -> list[Entry]:
        suspect = [str(each.id) for each in entries if each.state == "current" and not self._looks_the_same(each)]
        if not suspect:
            return entries
        with self._door() as cache:  # which reads them, and notes how those look that are what they were
            seen = {each.id: each for each in (cache.check(id=suspect) if len(suspect) <= AT_ONCE else cache.check())}
        return [seen.get(each.id, each) if str(each.id) in set(suspect) else each for each in entries]

    def _looks_the_same(self, entry: Entry) -> bool:
        try:
            return entry.signature.fits(os.lstat(f"{self.workspace}/{entry.relative_path}"))
        except OSError:
            return False

    def close(self) -> None:
        """Give everything back."""
        self._store.close()

    def __enter__(self) -> CacheReader:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
