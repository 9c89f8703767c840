"""The record of refused writes: who tried what, a JSON line each, in ``.hmp/<database>/refused.jsonl`` beside it.

What concerns a database that is not there yet is kept in ``.hmp/refused.jsonl`` of the workspace; where there is no
workspace either, the log of the process alone says it: a refusal makes no folder that hmp would not have.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hmp_core.durable import fsync_folder, make_folder, translated
from hmp_core.errors import HmpError, StorageError
from hmp_core.layout import PROJECT_MARKER, WORKSPACE_MARKER, internal_folder, workspace_root
from hmp_core.locks import this_process

_log = logging.getLogger(__name__)

NAME = "refused.jsonl"

#: What is full moves here; one is kept.
_FORMER = "refused.former.jsonl"

#: Bytes after which a record is full; characters that are kept of a text.
_FULL = 1 << 20
_LONGEST = 500


@dataclass(frozen=True, slots=True)
class Refusal:
    """A write that was refused."""

    #: UTC
    at: datetime
    user: str
    host: str
    pid: int
    action: str
    resource: str
    #: what was about to be done
    what: str

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as plain values, for JSON."""
        return asdict(self) | {"at": self.at.isoformat()}


def keep(database: Path, *, user: str, action: str, resource: str, what: str) -> Path | None:
    """Put a refusal on the disk and return where; None where there is nobody to keep it.

    What stands in the way is logged: it must not hide the refusal itself.
    """
    try:
        here = this_process()
        refusal = Refusal(datetime.now(UTC), user, here.host, here.pid, action, resource, what)
        short = {k: v[:_LONGEST] if isinstance(v, str) else v for k, v in refusal.as_dict().items()}
        file = _place(database)
        if file is not None:
            with translated(file):
                _append(file, json.dumps(short).encode())
    except (HmpError, OSError) as error:
        _log.error("the refusal of %s to %s at %s could not be kept: %s", what or action, user, resource, error)
        return None
    return file


def _place(database: Path) -> Path | None:
    database = Path(os.path.realpath(database))
    home, own = database.parent, internal_folder(database)
    marked = (home / PROJECT_MARKER).is_file() or (home.is_dir() and (home.parent / WORKSPACE_MARKER).is_file())
    if marked or database.exists() or own.is_dir():
        return own / NAME
    workspace = workspace_root(home)
    return None if workspace is None else workspace / ".hmp" / NAME


def _append(file: Path, line: bytes) -> None:
    """Add a line by one write, flushed; many processes may do so at once."""
    make_folder(file.parent)
    fresh = not file.exists()
    descriptor = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        size = os.fstat(descriptor).st_size
        torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        whole = (b"\n" if torn else b"") + line + b"\n"
        if os.write(descriptor, whole) != len(whole):
            message = f"{file}: the disk took only a part of the line"
            raise StorageError(message, path=str(file))
        os.fsync(descriptor)
        if size > _FULL:
            _turn(file, descriptor)
    finally:
        os.close(descriptor)
    if fresh:
        fsync_folder(file.parent)


def _turn(file: Path, descriptor: int) -> None:
    """Put a full record aside in place of the former one; whoever has it open still writes into it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return  # somebody else is at it
    if os.fstat(descriptor).st_ino == os.stat(file).st_ino:
        os.replace(file, file.with_name(_FORMER))


def refusals(database: Path) -> list[Refusal]:
    """Return the writes to a database that were refused, oldest first, as far as they are kept."""
    return read(internal_folder(Path(os.path.realpath(database))))


def read(folder: Path) -> list[Refusal]:
    """Return the refusals kept in a folder; lines that cannot be read are logged."""
    found: list[Refusal] = []
    for file in (folder / _FORMER, folder / NAME):
        try:
            lines = file.read_bytes().splitlines()
        except (FileNotFoundError, NotADirectoryError):
            continue
        told = [_told(line) for line in lines if line]
        found += [one for one in told if one is not None]
        if odd := told.count(None):
            _log.warning("%s: %d lines cannot be read", file, odd)
    return found


def _told(line: bytes) -> Refusal | None:
    try:
        said = json.loads(line)
        return Refusal(**(said | {"at": datetime.fromisoformat(said["at"])}))
    except (ValueError, TypeError, KeyError):
        return None
