"""What lies in the cache and belongs to no input, or says what is not so; and what was not accepted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hmp_cache import queries, sidecar
from hmp_cache.ledger import sidecar_path
from hmp_cache.meanings.values import at
from hmp_cache.shelf import SIDECAR
from hmp_core.errors import CorruptError, SchemaTooNewError

if TYPE_CHECKING:
    from hmp_cache.opening import Rooms


@dataclass(frozen=True, slots=True)
class Stray:
    """A file that belongs to no input, or a sidecar that says what is not so.

    ``kind`` is ``orphan`` (a file among the inputs that nobody registered), ``version`` (kept bytes that no input has
    had), ``sidecar-unknown`` (of an input that the database does not have), ``sidecar-stale`` (beside a file that is
    not the input's any more) or ``sidecar-damaged``.
    """

    kind: str
    #: POSIX, relative to the workspace
    path: str
    what: str

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values, for JSON."""
        return {"kind": self.kind, "path": self.path, "what": self.what}


@dataclass(frozen=True, slots=True)
class Rejected:
    """Bytes that their contract did not accept: they are kept aside and not served."""

    #: POSIX, relative to the workspace
    path: str
    variable: str
    source: str
    #: where they came from
    source_ref: str
    sha256: str
    size: int
    #: when, UTC without a zone
    rejected_at: datetime
    #: the contract, and what it found
    schema_name: str
    checks: tuple[str, ...]
    message: str

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values, for JSON."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return plain | {"rejected_at": self.rejected_at.isoformat(), "checks": list(self.checks)}


def strays(rooms: Rooms) -> list[Stray]:
    """Return what belongs to no input; see `InputsNamespace.strays`."""
    with rooms.store.reading() as backend:
        held = queries.held(backend)
    known = {row[0] for row in held}
    return [
        *_files(rooms, {row[4] for row in held if row[8] != "purged"}),
        *_versions(rooms, {row[5] for row in held}),
        *_sidecars(rooms, known),
    ]


def _files(rooms: Rooms, paths: set[str]) -> Iterator[Stray]:
    shelf = rooms.shelf
    for path in sorted(shelf.data.glob("[!.]*/[!.]*/[!.]*")):
        kept = f"data/{path.relative_to(shelf.data).as_posix()}"
        if kept not in paths and not path.name.endswith(SIDECAR) and path.is_file():
            yield Stray("orphan", kept, "nobody registered it; `hmp data add` it, or move it away")


def _versions(rooms: Rooms, hashes: set[str]) -> Iterator[Stray]:
    for path in sorted(rooms.shelf.versions.glob("[!.]*")):
        if path.name not in hashes:
            what = "bytes that no input has had, as of a file that was edited; remove them if nobody misses them"
            yield Stray("version", f"data/.versions/{path.name}", what)


def _sidecars(rooms: Rooms, known: set[str]) -> Iterator[Stray]:
    shelf = rooms.shelf
    for path in sidecar.every(shelf.data):
        if path.parent == shelf.rejected:
            continue
        kept = f"data/{path.relative_to(shelf.data).as_posix()}"
        try:
            found = sidecar.read(path)
        except (CorruptError, SchemaTooNewError) as error:
            yield Stray("sidecar-damaged", kept, str(error))
            continue
        newest = found.newest if found else None
        if found is None or newest is None:
            continue
        if found.entry not in known:
            yield Stray("sidecar-unknown", kept, "the database does not have its input; `hmp data rebuild` takes it in")
        elif sidecar_path(shelf, found.entry, newest.payload["artifact"]) != path:
            yield Stray("sidecar-stale", kept, "the input is not here any more; remove it")


def rejected(rooms: Rooms) -> list[Rejected]:
    """Return what was not accepted and is kept aside, the newest first; see `InputsNamespace.rejected`."""
    rooms.store.authorize(write=False)
    found = [one for path in sorted(rooms.shelf.rejected.glob(f"*{SIDECAR}")) for one in _rejected(rooms, path)]
    return sorted(found, key=lambda one: one.rejected_at, reverse=True)


def _rejected(rooms: Rooms, path: Path) -> Iterator[Rejected]:
    told = sidecar.read(path)
    kept = path.with_name(path.name.removesuffix(SIDECAR))
    events = [event for event in told.events if event.kind == "input.rejected"] if told and kept.exists() else []
    for event in events[-1:]:
        failure, report = event.payload["failure"], event.payload["validation"]
        request = failure["request"]
        yield Rejected(
            rooms.shelf.relative(kept), failure["variable"], failure["source"], failure["source_ref"],
            request["sha256"], request["size"], at(event), report["schema_name"],
            tuple(dict.fromkeys(error["check"] for error in report["errors"])), failure["message"],
        )  # fmt: skip
