"""Certificates of purges: what was removed, by whom and why, in a file that can be held against the catalog."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hmp_catalog import chain, manifest, queries
from hmp_catalog.plain import fingerprint
from hmp_core.durable import fsync_folder, make_folder, translated
from hmp_core.errors import CorruptError, PathNotFound, SchemaTooNewError
from hmp_core.layout import internal_folder

if TYPE_CHECKING:
    from hmp_catalog.catalog import SimulationCatalog
    from hmp_core.events import Event, EventStore

FORMAT, VERSION = "hmp-purge-certificate", 1
FOLDER = "purge_certificates"


@dataclass(frozen=True, slots=True)
class Certificate:
    """What is certified of a purge. ``remains`` says where traces of the run may still be."""

    sim_id: str
    event_id: str
    timestamp_utc: str
    operator: str
    reason: str
    project: str
    components: dict[str, Any]
    sha256_snapshot: str
    chain: dict[str, Any]
    remains: list[str]
    hmp_version: str
    path: str = ""

    def content(self) -> dict[str, Any]:
        """Return what the file says, its own hash apart."""
        said = asdict(self)
        said.pop("path")
        return {"format": FORMAT, "version": VERSION} | said


@dataclass(frozen=True, slots=True)
class Verified:
    """What came of holding a certificate against the catalog: nothing in ``problems`` if it is true."""

    certificate: Certificate
    problems: tuple[str, ...]

    def __bool__(self) -> bool:
        return not self.problems


def certify(store: EventStore, event: Event, left: int) -> Certificate:
    """Write the certificate of a purge, for the eyes of its owner alone; once more writes the same again."""
    from hmp_catalog import __version__

    project, said = store.path.parent, event.payload
    head = chain.place_of(project, str(event.id))
    found = Certificate(
        sim_id=said["sim_id"],
        event_id=str(event.id),
        timestamp_utc=datetime.fromtimestamp(event.at / 1_000_000, UTC).isoformat(timespec="microseconds"),
        operator=event.author,
        reason=said["reason"],
        project=said["project"],
        components=said["components"],
        sha256_snapshot=said["sha256_snapshot"],
        chain={"seq": head.seq, "hash": head.hash} if head else {},
        remains=list(_remains(store.path, left)),
        hmp_version=__version__,
    )
    file = project / ".hmp" / FOLDER / f"{found.sim_id}.json"
    content = found.content()
    _write_private(file, json.dumps(content | {"sha256": fingerprint(content)}, indent=1, ensure_ascii=False) + "\n")
    return _with_path(found, file)


def _with_path(found: Certificate, file: Path) -> Certificate:
    return Certificate(**(asdict(found) | {"path": str(file)}))


def _write_private(file: Path, text: str) -> None:
    make_folder(file.parent)
    beside = file.with_name(f".{file.name}.{secrets.token_hex(4)}.tmp")
    with translated(file):
        try:
            with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as opened:
                opened.write(text)
                opened.flush()
                os.fsync(opened.fileno())
            os.replace(beside, file)
            fsync_folder(file.parent)
        finally:
            beside.unlink(missing_ok=True)


def _remains(database: Path, left: int) -> Iterator[str]:
    """Yield what a purge does not reach."""
    yield "that something was done to the run, when, by whom, of which kind; not what was said (log, audit trail)"
    yield "the SHA-256 of what each of them said: whoever guesses the words can confirm them (audit.jsonl)"
    if left:
        what = f"what {left} events say of the run, in the logs of processes that still run"
        yield f"{what}: when these have ended, `hmp catalog gc --apply` empties them"
    for home, what in (("backups", "backups of the database"), ("replaced", "databases that were replaced")):
        copies = sorted(path.name for path in (internal_folder(database) / home).glob("*.duckdb"))
        if copies:
            yield f"{len(copies)} {what} in .hmp/catalog/{home}: remove them if they hold the run"
    yield "free blocks of catalog.duckdb: `hmp catalog vacuum` writes it anew without them"
    yield "copies, exports and backups of the project elsewhere, and the machine index until it looks again"


# ── verifying ────────────────────────────────────────────────────────────────────────────────────────


def read(file: Path) -> Certificate:
    """Return the certificate in a file.

    Raises
    ------
    PathNotFound
        If there is none.
    CorruptError
        If it is no certificate, or was changed.
    SchemaTooNewError
        If a newer hmp wrote it.
    """
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
        if said.pop("format") != FORMAT:
            message = "it is of another format"
            raise ValueError(message)
        if (version := int(said.pop("version"))) > VERSION:
            message = f"{file} has version {version}, this hmp reads up to {VERSION}: upgrade hmp-catalog"
            raise SchemaTooNewError(message, path=str(file), found=version, known=VERSION)
        told, found = said.pop("sha256"), Certificate(**said)
        if told != fingerprint(found.content()):
            message = "it was changed after it was written"
            raise ValueError(message)
    except FileNotFoundError:
        message = f"{file}: no such certificate"
        raise PathNotFound(message, path=str(file)) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        message = f"{file} is not a certificate of a purge as it was written: {error}"
        raise CorruptError(message, path=str(file)) from error
    return _with_path(found, file)


def verify(catalog: SimulationCatalog, file: Path) -> Verified:
    """Hold a certificate against the catalog: the tombstone is there, and nothing of the run is."""
    found = read(file)
    return Verified(found, tuple(_problems(catalog, found)))


def _problems(catalog: SimulationCatalog, found: Certificate) -> Iterator[str]:
    from hmp_catalog.purging import rows_of

    if fingerprint(found.components) != found.sha256_snapshot:
        yield "its snapshot is not the hash of its components"
    with catalog.reading() as backend:
        tombstone = next((row for row in queries.deletions(backend) if row["sim_id"] == found.sim_id), None)
        rows = rows_of(backend, found.sim_id)
    if tombstone is None:
        yield f"the catalog of {catalog.path.name} has no tombstone of {found.sim_id}"
    else:
        said = (tombstone["deleted_by"], tombstone["reason"], tombstone["sha256_snapshot"])
        if said != (found.operator, found.reason, found.sha256_snapshot):
            yield "the tombstone says otherwise: operator, reason or snapshot"
    for table, count in rows.items():
        yield f"{count} rows of the run are in {table}"
    head = found.sim_id[:8]
    for home in (manifest.HOME, manifest.TRASH):
        for folder in (catalog.path / home).glob(f"*__{head}"):
            yield f"{folder.relative_to(catalog.path)} is there"
    yield from _in_log(catalog, found)
    place = chain.place_of(catalog.path, found.event_id)
    if place is None or {"seq": place.seq, "hash": place.hash} != found.chain:
        yield "the audit trail does not have the purge at the place that the certificate names"


def _in_log(catalog: SimulationCatalog, found: Certificate) -> Iterator[str]:
    from hmp_catalog.purging import tells_of

    telling = sum(tells_of(event, {found.sim_id}) for event in catalog.store.files.everything().events)
    if telling:
        yield f"{telling} events of the log still say something of it: `hmp catalog gc --apply` empties them"
