"""What `hmp doctor` and `hmp db verify` ask of a cache: do rows, sidecars and files tell the same?"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hmp_cache import queries, sidecar
from hmp_cache.shelf import SIDECAR, Shelf
from hmp_cache.sidecar import Sidecar
from hmp_core.doctor import Case, Checks, Code, Finding, Relation, Vocabulary
from hmp_core.doctor.findings import many, some
from hmp_core.errors import CorruptError, InvalidInput, SchemaTooNewError
from hmp_core.events import Event
from hmp_core.identity import sha256_file
from hmp_core.protocols import CatalogBackend

GONE = Code(
    "input-missing",
    "warning",
    "The current version of an input is not where it was put.",
    "add or fetch it again; `hmp data check` lists what is missing",
)
CHANGED = Code(
    "input-modified",
    "warning",
    "A file has another size, or other bytes, than the version that was registered.",
    "put the registered bytes back, or add the file again as a new version",
)
BAD_VERSION = Code(
    "version-damaged",
    "error",
    "A kept version of an input does not have the bytes that its name says.",
    "remove the file and fetch that version again",
)
UNKNOWN_VERSION = Code(
    "version-unreferenced",
    "info",
    "Bytes of a version that no input has.",
    "remove them, if `hmp data rebuild` does not find whose they are",
)
BAD_SIDECAR = Code(
    "sidecar-damaged",
    "error",
    "A sidecar that cannot be read.",
    "move it away; `hmp data rebuild` takes what the event log knows",
)
NEWER_SIDECAR = Code(
    "sidecar-newer", "warning", "A sidecar that was written by a newer hmp.", "upgrade hmp-cache on this machine"
)
NO_ROW = Code(
    "sidecar-without-row",
    "warning",
    "A sidecar tells of an input that the database does not have.",
    "`hmp data rebuild` takes it in",
)
NO_SIDECAR = Code(
    "row-without-sidecar",
    "warning",
    "An input has no sidecar: without the log it could not be rebuilt.",
    "put the sidecar back from a backup, or add the file again",
)
UNKNOWN_FILE = Code(
    "unknown-file",
    "info",
    "A file among the inputs that nobody has registered.",
    "`hmp data add` it, or move it away",
)
LEFT = Code(
    "incoming-left",
    "info",
    "An input that a killed process was about to store.",
    "nothing: the next process that stores into the same folder finishes it, or sweeps it away",
)

#: Seconds after which what is on its way in belongs to nobody.
_LONG = 3600.0


@dataclass(frozen=True, slots=True)
class Held:
    """A version of an input as the database has it."""

    entry: str
    name: str | None
    state: str | None
    mtime: float | None
    path: str | None
    sha256: str | None
    size: int | None
    current: bool | None
    #: of this version
    place: str | None = None

    def __str__(self) -> str:
        return f"{self.name or self.entry[:8]} ({self.path})"


def ask(backend: CatalogBackend) -> list[Held]:
    """Return every version of every input."""
    return [Held(*row) for row in queries.held(backend)]


def look(case: Case, told: Sequence[Held] | None) -> Iterator[Finding]:
    """Yield where files, sidecars and rows do not tell the same; files are looked at by size alone."""
    shelf = Shelf(case.home.parent)
    found = _Sidecars(case)
    yield from found.findings
    if told is not None:
        current = [held for held in told if held.current]
        yield from _rows(case, shelf, current, found)
        yield from _bytes(case, shelf, current, deep=False)
        yield from _strangers(case, shelf, told)
    yield from _incoming(case, shelf)


class _Sidecars:
    """Every sidecar of a cache, read once, with what is wrong with them."""

    def __init__(self, case: Case) -> None:
        self.known: dict[str, Path] = {}
        self.stored: dict[str, Sidecar] = {}
        self.findings: list[Finding] = []
        for path in sidecar.every(case.home):
            try:
                found = sidecar.read(path)
            except CorruptError as error:
                self.findings.append(case.finding(BAD_SIDECAR, str(error), path))
            except SchemaTooNewError as error:
                self.findings.append(case.finding(NEWER_SIDECAR, str(error), path))
            else:
                if found is not None:
                    self.known[found.entry] = path
                    if any(event.kind == "input.stored" for event in found.events):
                        self.stored[found.entry] = found


def _rows(case: Case, shelf: Shelf, current: Sequence[Held], found: _Sidecars) -> Iterator[Finding]:
    ids = {held.entry for held in current}
    strange = sorted(found.stored.keys() - ids)
    # a sidecar comes before its event, and an intent before both; what the log has and no row, yet, the log tells
    strange = [entry for entry in strange if not shelf.incoming.intent(entry).exists()]
    if strange:
        case.read_log_again()
        logged = {event.id for log in case.log for event in log.events}
        for entry in strange:
            if not any(event.id in logged for event in found.stored[entry].events):
                yield case.finding(NO_ROW, f"the input {entry} is not in the database", found.known[entry])
    without = [held for held in current if held.entry not in found.known]
    if without and not found.findings:
        yield case.finding(NO_SIDECAR, f"{len(without)} inputs have none: {some(without)}")


def _bytes(case: Case, shelf: Shelf, current: Sequence[Held], *, deep: bool) -> Iterator[Finding]:
    gone, changed = [], []
    for held in current:
        if held.state != "current" or held.place == "purged" or not held.path:
            continue
        try:
            path = shelf.local(held.path)
            size = path.stat().st_size
        except (FileNotFoundError, NotADirectoryError, InvalidInput):
            gone.append(held)
            continue
        if size != held.size or (deep and sha256_file(path) != held.sha256):
            changed.append(held)
    if gone or changed:
        anew = _stored_anew(case, shelf, gone + changed)
        gone = [held for held in gone if held.entry not in anew]
        changed = [held for held in changed if held.entry not in anew]
    if gone:
        yield case.finding(GONE, f"{many(len(gone), 'input')}: {some(gone)}", case.home)
    if changed:
        yield case.finding(CHANGED, f"{many(len(changed), 'input')}: {some(changed)}", case.home)


def _stored_anew(case: Case, shelf: Shelf, suspects: Sequence[Held]) -> set[str]:
    """Return the inputs of which the log has another version than the tables, or is about to.

    An intent lasts until its event is in the log: it is looked for first.
    """
    being = {held.entry for held in suspects if shelf.incoming.intent(held.entry).exists()}
    case.read_log_again()
    told = sorted((e for log in case.log for e in log.events if _is_telling(e)), key=Event.stamp)
    newest = {str(event.payload["entry"]["id"]): _current(event) for event in told}
    return being | {held.entry for held in suspects if newest.get(held.entry, held.sha256) != held.sha256}


def _is_telling(event: Event) -> bool:
    """Return whether an event says which bytes an input has now, or that it has none."""
    if event.kind in {"input.restored", "input.purged"}:
        return bool(event.payload["current"])
    return event.kind in {"input.stored", "input.removed"}


def _current(event: Event) -> str | None:
    """Return the SHA-256 of the bytes that an input has after an event; None if it has none, or nobody wants them."""
    gone = event.kind in {"input.purged", "input.removed"}
    return None if gone else str(event.payload["artifact"]["sha256"])


def _strangers(case: Case, shelf: Shelf, told: Sequence[Held]) -> Iterator[Finding]:
    logged = _not_folded(case, told)
    placed = (held.path for held in told if held.path and held.place != "purged")
    listed = [*placed, *(str(artifact["path"]) for artifact in logged)]
    paths = {os.path.realpath(shelf.workspace / path) for path in listed}
    files = (path for path in case.home.glob("[!.]*/[!.]*/[!.]*") if path.is_file())
    strange = [p for p in sorted(files) if not p.name.endswith(SIDECAR) and os.path.realpath(p) not in paths]
    if strange:
        named = some(path.relative_to(case.home).as_posix() for path in strange)
        yield case.finding(UNKNOWN_FILE, f"{len(strange)} files: {named}", strange[0])
    sums = {held.sha256 for held in told} | {artifact["sha256"] for artifact in logged}
    unknown = [path for path in _versions(shelf) if path.name not in sums]
    if unknown:
        size = sum(path.stat().st_size for path in unknown)
        what = f"{len(unknown)} files with {size} bytes: {some(path.name[:12] for path in unknown)}"
        yield case.finding(UNKNOWN_VERSION, what, shelf.versions)


def _not_folded(case: Case, told: Sequence[Held]) -> list[Mapping[str, Any]]:
    """Return the versions that the log tells of and no row yet."""
    known = {(held.entry, held.sha256) for held in told}
    stored = (event.payload for log in case.log for event in log.events if event.kind == "input.stored")
    return [said["artifact"] for said in stored if (said["entry"]["id"], said["artifact"]["sha256"]) not in known]


def _versions(shelf: Shelf) -> list[Path]:
    return sorted(shelf.versions.glob("[!.]*")) if shelf.versions.is_dir() else []


def _incoming(case: Case, shelf: Shelf) -> Iterator[Finding]:
    waiting = [p for p in sorted(shelf.incoming.folder.glob("*")) if _age(p, case.now) > _LONG]
    if waiting:
        yield case.finding(LEFT, f"{len(waiting)} files: {some(path.name for path in waiting)}", shelf.incoming.folder)


def _age(path: Path, now: float) -> float:
    try:
        return now - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def deep(case: Case, told: Sequence[Held] | None) -> Iterator[Finding]:
    """Yield the inputs and the kept versions whose bytes are not those that were registered: all of them are read."""
    shelf = Shelf(case.home.parent)
    yield from _bytes(case, shelf, [held for held in told or () if held.current], deep=True)
    for path in _versions(shelf):
        if sha256_file(path) != path.name:
            yield case.finding(BAD_VERSION, "its bytes have another SHA-256 than its name says", path)


CHECKS = Checks(
    component="cache",
    codes=(
        GONE,
        CHANGED,
        BAD_VERSION,
        UNKNOWN_VERSION,
        BAD_SIDECAR,
        NEWER_SIDECAR,
        NO_ROW,
        NO_SIDECAR,
        UNKNOWN_FILE,
        LEFT,
    ),
    relations=(
        Relation("entries.artifact_id", "artifacts.id"),
        Relation("artifacts.entry_id", "entries.id"),
        Relation("coverage.entry_id", "entries.id"),
        Relation("provenance.artifact_id", "artifacts.id"),
        Relation("provenance.entry_id", "entries.id"),
        Relation("validation_reports.artifact_id", "artifacts.id"),
        # what its contract did not accept never became an input
        Relation("validation_reports.entry_id", "entries.id", where="c.passed"),
    ),
    vocabularies=(
        Vocabulary("entries.state", frozenset({"current", "purged", "removed"})),
        Vocabulary("artifacts.state", frozenset({"current", "superseded", "purged"})),
        Vocabulary("coverage.state", frozenset({"held", "empty"})),
    ),
    outside={
        "failures.entry_id": "an input that could not be obtained need not exist",
        "entries.station_id": "a name that its source gives",
        "stations.station_id": "a name that its source gives",
        "coverage.station_id": "a name that its source gives",
    },
    ask=ask,
    look=look,
    deep=deep,
    remains=lambda case: sidecar.every(case.home),
)
