"""The chain of the audit trail: a file of hashes beside the database, each over the one before, and its anchor.

``audit.jsonl`` has a line for each audited event, in the order in which they were folded: its number, its id, the
SHA-256 of what its row says, and the hash over all this and the hash of the line before. The fold appends and flushes
the lines before it commits the rows that quote them, so that the chain goes on without a fork wherever a process dies.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hmp_catalog.plain import dumps
from hmp_core.durable import fsync_folder, make_folder, translated, write_atomic
from hmp_core.errors import HmpError
from hmp_core.events.columns import texts
from hmp_core.identity import sha256_bytes
from hmp_core.layout import anchor
from hmp_core.locks import database_lock
from hmp_core.protocols import BulkBackend
from hmp_core.statements import load_statements

_log = logging.getLogger(__name__)
_SQL = load_statements("hmp_catalog")

NAME = "audit.jsonl"
ANCHORS = "anchors.json"
#: What the first line follows.
GENESIS = sha256_bytes(b"hmp audit trail, version 1")
#: What is under the hash, of a row of ``audit_log``.
CONTENT = (
    "event_id",
    "occurred_at",
    "actor",
    "actor_kind",
    "event_type",
    "sim_id",
    "project",
    "payload",
    "git_commit",
    "hostname",
)
_STAGED = "_hmp_links"
_BLOCK = 1 << 16


@dataclass(frozen=True, slots=True)
class Link:
    """A line of the chain."""

    seq: int
    event_id: str
    content: str
    hash: str

    def follows(self, before: str) -> bool:
        """Return whether its hash is over what it says and the hash ``before``."""
        return self.hash == _hash(before, self.seq, self.event_id, self.content)


def link(before: Link | None, event_id: str, content: str) -> Link:
    """Return the line that comes after ``before``."""
    seq, last = (before.seq + 1, before.hash) if before else (1, GENESIS)
    return Link(seq, event_id, content, _hash(last, seq, event_id, content))


def _hash(before: str, seq: int, event_id: str, content: str) -> str:
    return sha256_bytes(f"{before} {seq} {event_id} {content}".encode())


def content_hash(row: Mapping[str, Any]) -> str:
    """Return the SHA-256 of what a row of ``audit_log`` says; a column that is missing is null."""
    said = {name: None if row.get(name) is None else str(row[name]) for name in CONTENT}
    return sha256_bytes(dumps(said | {"occurred_at": row["occurred_at"].isoformat(timespec="microseconds")}).encode())


# ── the file ─────────────────────────────────────────────────────────────────────────────────────────


def links(project: Path) -> Iterator[tuple[int, Link | None]]:
    """Yield the lines of a chain with their numbers; None is a line that is none. A torn end was never told of."""
    try:
        data = (project / NAME).read_bytes()
    except FileNotFoundError:
        return
    for number, line in enumerate(data.split(b"\n")[:-1], 1):
        yield number, _parsed(line)


def _parsed(line: bytes) -> Link | None:
    try:
        said = json.loads(line)
        found = Link(int(said["seq"]), str(said["event_id"]), str(said["content"]), str(said["hash"]))
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return found if line == _line(found) else None


def _line(said: Link) -> bytes:
    return json.dumps(asdict(said), separators=(",", ":")).encode()


def place_of(project: Path, event_id: str) -> Link | None:
    """Return the line of an event; None if it is not chained."""
    return next((each for _, each in links(project) if each is not None and each.event_id == event_id), None)


def _since(project: Path, seq: int) -> list[Link]:
    """Return the lines after number ``seq``, and that line itself, reading from the end as far as needed."""
    try:
        size = (project / NAME).stat().st_size
    except FileNotFoundError:
        return []
    block = _BLOCK
    with (project / NAME).open("rb") as file:
        while True:
            start = max(size - block, 0)
            file.seek(start)
            lines = file.read(size - start).split(b"\n")[1 if start else 0 : -1]
            found = [each for each in map(_parsed, lines) if each is not None]
            if not start or (found and found[0].seq <= seq):
                return [each for each in found if each.seq >= seq]
            block *= 8


def _append(project: Path, new: Sequence[Link]) -> None:
    """Put lines at the end and on the disk; half a line of a process that died is cut off first."""
    path = project / NAME
    with translated(path):
        fresh = not path.exists()
        with path.open("a+b") as file:
            whole = _whole(file)
            file.truncate(whole)
            try:
                file.write(b"".join(_line(each) + b"\n" for each in new))
                file.flush()
                os.fsync(file.fileno())
            except BaseException:
                os.truncate(path, whole)
                raise
        if fresh:
            fsync_folder(project)


def _whole(file: Any) -> int:
    """Return where the last whole line ends."""
    end = file.seek(0, os.SEEK_END)
    while end:
        start = max(end - _BLOCK, 0)
        file.seek(start)
        at = file.read(end - start).rfind(b"\n")
        if at >= 0:
            return int(start + at + 1)
        end = start
    return 0


# ── the fold ─────────────────────────────────────────────────────────────────────────────────────────


def extend(backend: BulkBackend, project: Path) -> None:
    """Chain the rows of ``audit_log`` that are not chained yet: the file first, then the rows, then the anchor."""
    total, chained, last = backend.fetch_all(_SQL["chained"].sql)[0]
    if total == chained:
        return
    # a row that is missing here may come back with the number that it has in the file
    there = _since(project, 0 if chained < (last or 0) else last or 0)
    known = {each.event_id: each for each in there}
    new = list(_lost(backend, there[-1].seq if there else 0, last or 0))
    head = max([*there, *new], key=lambda each: each.seq, default=None)
    told = []
    for row in backend.query(_SQL["unchained"].sql).to_pylist():
        content = row["content_sha256"]
        if row["event_id"] not in known:
            head = link(head, row["event_id"], content or content_hash(row))
            new.append(head)
        told.append(known.get(row["event_id"], head))
    if new:
        _append(project, new)
    _tell(backend, [each for each in told if each is not None])
    if new and head:
        _anchor(project, head)


def _lost(backend: BulkBackend, known: int, last: int) -> Iterator[Link]:
    """Yield what the rows know of a chain whose file was lost, or cut short."""
    if known < last:
        _log.warning("%s ends at %d: the database knows of %d", NAME, known, last)
        for row in backend.query(_SQL["links"].sql, [known]).to_pylist():
            yield Link(**row)


def _tell(backend: BulkBackend, told: Iterable[Link]) -> None:
    said = list(told)
    staged = texts(
        seq=[str(each.seq) for each in said],
        event_id=[each.event_id for each in said],
        content=[each.content for each in said],
        hash=[each.hash for each in said],
    )
    with backend.staged(_STAGED, staged):
        backend.execute(
            f"UPDATE audit_log AS a SET seq = CAST(i.seq AS BIGINT), content_sha256 = i.content, chain_hash = i.hash "
            f"FROM {_STAGED} i WHERE a.event_id = CAST(i.event_id AS UUID)"
        )


# ── anchors ──────────────────────────────────────────────────────────────────────────────────────────


def anchors_file(project: Path) -> Path:
    """Return where the heads of the chains of a workspace are kept."""
    return anchor(project) / ".hmp" / ANCHORS


def anchored(project: Path) -> dict[str, Any] | None:
    """Return what the workspace knows of the head of a project's chain: ``seq`` and ``hash``; None if nothing."""
    found = _anchors(anchors_file(project)).get(_place(project))
    return found if isinstance(found, dict) else None


def _place(project: Path) -> str:
    return project.relative_to(anchor(project)).as_posix()


def _anchors(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        _log.warning("%s cannot be read and is made anew: %s", file, error)
        return {}
    return found if isinstance(found, dict) else {}


def _anchor(project: Path, head: Link) -> None:
    """Keep the head where whoever changes the project does not pass by; several projects share the file."""
    file = anchors_file(project)
    try:
        make_folder(file.parent)
        with database_lock(file).hold():
            said = _anchors(file) | {_place(project): {"seq": head.seq, "hash": head.hash}}
            write_atomic(file, (json.dumps(said, indent=1, sort_keys=True) + "\n").encode())
    except HmpError as error:
        # the chain is whole: what lacks is the witness, and verifying says so
        _log.warning("the head of the chain of %s was not anchored: %s", project, error)
