"""Reading an archive of inputs: everything in it is verified before anybody takes anything from it."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from hmp_cache import sidecar
from hmp_cache.archive import FORMAT, MANIFEST, SCHEMA, checksum
from hmp_cache.fold import rows
from hmp_cache.labels import Label, artifact_id
from hmp_cache.shelf import SIDECAR
from hmp_cache.sidecar import KINDS, Sidecar
from hmp_core import tarball
from hmp_core.durable import refusal
from hmp_core.errors import ArchiveInvalid, CorruptError, HmpError, PathEscape, SchemaTooNewError
from hmp_core.events import Event, NotYet
from hmp_core.events.clock import FARTHEST
from hmp_core.paths import from_relative

#: Bytes that a list of members may have: of a million of them.
_LIMIT = 256 << 20
#: Files of the workspace itself.
_HOUSE = frozenset({"workspace.toml", "hydromodpy.lock"})


@dataclass(frozen=True, slots=True)
class Contents:
    """What an archive holds, once all of it was verified."""

    path: Path
    #: (name, size, SHA-256), in the order in which they come
    members: tuple[tuple[str, int, str], ...]
    sidecars: tuple[Sidecar, ...]

    @property
    def unpacked(self) -> int:
        """Bytes of everything in it."""
        return sum(size for _, size, _ in self.members)


def verified(path: Path, workspace: Path) -> Contents:
    """Return what an archive holds, after every byte of it was read and compared.

    Raises
    ------
    ArchiveInvalid
        If anything is not as it should be, or it was written by a newer hmp.
    """
    sidecars: list[Sidecar] = []
    with _opened(path) as stream:
        members = _listed(path, tarball.take_first(stream, MANIFEST, _LIMIT))
        for name, size, sha256 in members:
            data = io.BytesIO() if name.endswith(SIDECAR) else None
            if _hashed(stream, name, size, data.write if data else None) != sha256:
                message = f"{path}: {name} is not what the manifest says; get the archive again"
                raise ArchiveInvalid(message, path=str(path))
            if data is not None:
                sidecars.append(_sidecar(path, name, data.getvalue()))
        tarball.expect_end(stream)
    contents = Contents(path, members, tuple(sidecars))
    _judge(contents, workspace)
    return contents


def unpack(contents: Contents, wanted: Mapping[str, Callable[[str], BinaryIO]]) -> None:
    """Write the members that are wanted to the files that are given for them, comparing them once more.

    Parameters
    ----------
    wanted
        SHA-256 of a member -> what opens the file that takes it; each is written once.

    Raises
    ------
    ArchiveInvalid
        If the archive was changed since it was verified.
    """
    left = dict(wanted)
    with _opened(contents.path) as stream:
        tarball.take_first(stream, MANIFEST, _LIMIT)
        for name, size, sha256 in contents.members:
            opener = None if name.endswith(SIDECAR) else left.pop(sha256, None)
            with opener(sha256) if opener else io.BytesIO() as file:
                if _hashed(stream, name, size, file.write if opener else None) != sha256:
                    message = f"{contents.path}: {name} was changed since it was verified; import it again"
                    raise ArchiveInvalid(message, path=str(contents.path))


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    import pyarrow as pa

    try:
        with path.open("rb") as file, pa.CompressedInputStream(file, "zstd") as stream:
            yield io.BufferedReader(stream, 1 << 20)
    except HmpError as error:
        if not isinstance(error, ArchiveInvalid) or str(error).startswith(str(path)):
            raise
        message = f"{path}: {error}; get the archive again"
        raise ArchiveInvalid(message, path=str(path)) from error
    except (OSError, pa.ArrowException) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise refusal(error) from error
        message = f"{path} is no archive of inputs, or it is damaged ({error}); get it again"
        raise ArchiveInvalid(message, path=str(path)) from error


def _hashed(stream: BinaryIO, name: str, size: int, write: Callable[[bytes], Any] | None) -> str:
    digest = hashlib.sha256()
    for block in tarball.take(stream, name, size):
        digest.update(block)
        if write is not None:
            write(block)
    return digest.hexdigest()


# ── what is said in it ───────────────────────────────────────────────────────────────────────────────


def _listed(path: Path, data: bytes) -> tuple[tuple[str, int, str], ...]:
    """Return what the manifest announces."""
    try:
        said = json.loads(data)
        whole = said["format"] == FORMAT and checksum(said) == said["checksum"]
        schema = int(said["schema"])
        members = tuple((str(name), int(size), str(sha256)) for name, size, sha256 in said["members"])
        names = [name for name, *_ in members]
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        message = f"{path}: its manifest cannot be read ({type(error).__name__}: {error}); get the archive again"
        raise ArchiveInvalid(message, path=str(path)) from error
    if schema > SCHEMA:
        message = (
            f"{path} has schema {schema}, written by hmp-cache {said.get('hmp_cache')}; this hmp reads up to {SCHEMA}: "
            "upgrade hmp-cache"
        )
        raise ArchiveInvalid(message, path=str(path))
    if not whole or names != sorted(set(names)) or min((size for _, size, _ in members), default=0) < 0:
        message = f"{path}: its manifest is not as it was written; get the archive again"
        raise ArchiveInvalid(message, path=str(path))
    return members


def _sidecar(path: Path, name: str, data: bytes) -> Sidecar:
    try:
        return sidecar.decoded(data, path / name)
    except (CorruptError, SchemaTooNewError) as error:
        raise ArchiveInvalid(str(error), path=str(path)) from error


def _judge(contents: Contents, workspace: Path) -> None:
    """Refuse an archive whose sidecars say what cannot be, or speak of other files than those that are in it."""
    announced = set()
    for told in contents.sidecars:
        try:
            for event in told.events:
                announced |= _announced(told, event, workspace)
        except (PathEscape, NotYet, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            message = f"{contents.path}: what is said of {told.entry} cannot be ({type(error).__name__}: {error})"
            raise ArchiveInvalid(message, path=str(contents.path)) from error
    for name, size, sha256 in contents.members:
        if not name.endswith(SIDECAR) and (name, size, sha256) not in announced:
            message = f"{contents.path}: nothing is said of {name}"
            raise ArchiveInvalid(message, path=str(contents.path))


def _announced(told: Sidecar, event: Event, workspace: Path) -> set[tuple[str, int, str]]:
    """Return the files that an event speaks of: where they lie, their size and SHA-256.

    Raises
    ------
    PathEscape, NotYet, ValueError, KeyError, TypeError, AttributeError, OverflowError
        If it says what cannot be.
    """
    list(rows(event, workspace))
    if event.clock > FARTHEST:
        message = f"{event.id} was said at {event.clock} microseconds, which is no time"
        raise ValueError(message)
    entry, artifact = event.payload["entry"], event.payload.get("artifact")
    if event.kind not in KINDS or entry["id"] != told.entry or told.newest is None:
        message = f"{event.kind} {event.id} does not belong there"
        raise ValueError(message)
    if artifact is not None and artifact["id"] != str(artifact_id(told.entry, artifact["sha256"])):
        message = f"{event.id} names a version that is none of this input"
        raise ValueError(message)
    if artifact is not None and "path" in artifact:
        from_relative(artifact["path"], workspace)
    if artifact is None or event.kind != "input.stored":
        return set()
    _require_place(entry, artifact)
    _require_moment(artifact)
    size, sha256 = int(artifact["size"]), artifact["sha256"]
    return {(artifact["path"], size, sha256), (f"data/.versions/{sha256}", size, sha256)}


def _require_moment(artifact: Mapping[str, Any]) -> None:
    moment = artifact.get("mtime_ns") or artifact["mtime"] * 1e9
    if not abs(moment) < 1 << 62:
        message = f"{artifact['path']} was modified at {moment} nanoseconds, which is no time"
        raise ValueError(message)


def _require_place(entry: Mapping[str, Any], artifact: Mapping[str, Any]) -> None:
    """Refuse a path where no input lies: beside the others of its source, or where its owner has it."""
    Label(entry["variable"], entry["source"])
    folder, _, name = artifact["path"].rpartition("/")
    home = f"data/{entry['variable']}/{entry['source']}"
    hidden = any(part.startswith(".") for part in artifact["path"].split("/"))
    right = _is_an_owners(artifact["path"]) if artifact["in_place"] else folder == home
    if hidden or name.endswith((SIDECAR, ".duckdb", ".wal")) or not right:
        message = f"{artifact['path']} is not where a {entry['variable']} of {entry['source']} lies"
        raise PathEscape(message, path=artifact["path"])


def _is_an_owners(path: str) -> bool:
    """Return whether a file may stay there with its owner: what the workspace itself has there is no input."""
    top, *below = path.split("/")
    if top == "data":
        return len(below) > 2 and below[0] != "events"
    return top != "projects" and path not in _HOUSE
