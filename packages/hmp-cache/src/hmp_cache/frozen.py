"""Inputs held to ``hydromodpy.lock``: what it names is answered in exactly those bytes, anything else is refused."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from hmp_cache import queries, references
from hmp_cache.addresses import public
from hmp_cache.asking import Asking
from hmp_cache.errors import EntryNotFound, FrozenDataError
from hmp_cache.labels import Label
from hmp_cache.locking import NAME, Locked, read
from hmp_cache.records import Entry
from hmp_cache.signature import Bytes
from hmp_core.errors import InvalidInput
from hmp_core.events import EventStore
from hmp_core.identity import sha256_file

if TYPE_CHECKING:
    import pyarrow as pa

    from hmp_cache.fetching import How
    from hmp_cache.shelf import Shelf

_REMEDY = "`hmp data lock` names what is there now, without frozen"


def is_frozen(asked: bool | None) -> bool:  # noqa: FBT001 - as it was said at the door
    """Return whether inputs are frozen: as was asked, else as the environment says (``HMP_FROZEN``)."""
    if asked is not None:
        return asked
    said = os.environ.get("HMP_FROZEN", "").strip().lower()
    if said not in _WORDS:
        message = f"HMP_FROZEN is {said!r}; expected 1 or 0"
        raise InvalidInput(message)
    return _WORDS[said]


_WORDS = {"": False, "0": False, "false": False, "no": False, "1": True, "true": True, "yes": True}


class Frozen(Asking):
    """Answers with the versions that the lock file of a workspace names.

    Raises
    ------
    PathNotFound, CorruptError
        If there is no lock file, or none that can be read.
    """

    def __init__(self, store: EventStore, shelf: Shelf) -> None:
        super().__init__(store, shelf)
        self._locked = {each.id: each for each in read(shelf.workspace / NAME)}

    # ── what is asked ────────────────────────────────────────────────────────────────────────────────

    def find(self, filters: Mapping[str, Any]) -> list[Entry]:
        """Return the versions that are named and fit; each is there in exactly those bytes."""
        return [self._exactly(entry) for entry in self.listed(filters)]

    def listed(self, filters: Mapping[str, Any]) -> list[Entry]:
        """Return the versions that are named and fit, each with its state."""
        return queries.entries(self.table(filters), self._shelf)

    def table(self, filters: Mapping[str, Any], *, limit: int | None = None, offset: int = 0) -> pa.Table:
        """Return the versions that are named and fit, as rows."""
        with self._store.reading() as backend:
            found = queries.every(backend, filters, removed=True)
        pairs = zip(found.column("id").to_pylist(), found.column("sha256").to_pylist(), strict=True)
        named = [n for n, pair in enumerate(pairs) if self._names(*pair)]
        return (found.take(named) if named else found.slice(0, 0)).slice(offset, limit)

    def one(self, reference: str | UUID) -> Entry:
        """Return the version of an input that is named."""
        with self._store.reading() as backend:
            try:
                identity = references.resolve(backend, reference)
            except EntryNotFound as error:
                raise self._refused(str(reference), None, error.message) from error
        return self._of(identity, str(reference))

    def versions(self, entry: Entry | UUID | str) -> list[Entry]:
        """Return the one version of an input that is named."""
        return [self._of(str(entry.id), entry.name) if isinstance(entry, Entry) else self.one(entry)]

    def artifact(self, reference: str) -> Entry:
        """Return a version, if it is named."""
        found = super().artifact(reference)
        if not self._names(str(found.id), found.sha256):
            raise self._unnamed(found.name, found.sha256)
        return self._exactly(found, read_kept=True)

    def artifact_path(self, sha256: str) -> Path:
        """Return where bytes lie, if they are named."""
        if sha256.lower() not in {each.sha256 for each in self._locked.values()}:
            raise self._unnamed(sha256, sha256)
        return super().artifact_path(sha256)

    def fetched(self, uri: str | None, said: Mapping[str, Any], how: How) -> Entry:
        """Return what a fetch would find there already; nobody is asked."""
        what = uri or f"{said['variable']} of {said['source']}"
        if how.refresh:
            raise self._refused(public(what), None, "refreshing asks upstream")
        if uri is not None:
            same = self._of(str(Label(**said).entry_id(public(uri))), public(uri))
            if same.uri != public(uri):
                raise self._unnamed(public(uri), None)
            return same
        words = ("variable", "source", "station", "bbox", "frequency", "unit", "period")
        found = self.find({name: said[name] for name in words if said.get(name) is not None})
        if not found:
            raise self._refused(what, None, f"{NAME} names nothing that has all of it")
        return found[0]

    # ── what is refused ──────────────────────────────────────────────────────────────────────────────

    def require(self, entry: Entry) -> None:
        """Return if a version is named.

        Raises
        ------
        FrozenDataError
            If it is not.
        """
        if not self._names(str(entry.id), entry.sha256):
            raise self._unnamed(entry.name, entry.sha256)

    def refuse(self, what: str) -> FrozenDataError:
        """Return what is to be raised where something would be written."""
        return self._refused(what, None, "nothing is written while the inputs are frozen")

    def _names(self, identity: str, sha256: str) -> bool:
        named = self._locked.get(identity)
        return named is not None and named.sha256 == sha256

    def _of(self, identity: str, what: str) -> Entry:
        named = self._locked.get(identity)
        if named is None:
            raise self._refused(what, None, f"{NAME} does not name it")
        found = self.listed({"id": identity})
        if not found:
            raise self._refused(what, named, "it is not here; `hmp data restore` brings it back where it is on record")
        return self._exactly(found[0], read_kept=True)

    def _exactly(self, entry: Entry, *, read_kept: bool = False) -> Entry:
        """Return a version, if its bytes are here; what is kept aside has no look that is known, and may be read."""
        named = self._locked[str(entry.id)]
        if entry.state in {"missing", "purged"}:
            raise self._refused(entry.name, named, f"its bytes are {entry.state}; `hmp data restore {entry.sha256}`")
        if entry.state == "superseded" and not read_kept:
            return entry
        path = self._shelf.local(entry.relative_path)
        if not Bytes(entry.sha256, entry.signature).are_in(path):
            found = sha256_file(path) if path.exists() else None
            raise self._refused(entry.name, named, f"{entry.relative_path} has SHA-256 {found}", found)
        return entry

    def _unnamed(self, what: str, sha256: str | None) -> FrozenDataError:
        return self._refused(what, None, f"{NAME} does not name " + (f"the bytes {sha256}" if sha256 else "it"), sha256)

    def _refused(self, what: str, named: Locked | None, why: str, found: str | None = None) -> FrozenDataError:
        expected = named.sha256 if named else None
        message = f"{what}: {why}" + (f", and {NAME} names {expected}" if expected else "") + f"; {_REMEDY}"
        return FrozenDataError(message, reference=what, expected=expected, found=found)
