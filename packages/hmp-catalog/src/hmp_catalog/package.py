"""A package: finished runs in one file, every byte of which is announced and held to its hash.

It is a tar that can be written in one way only (see `hmp_core.tarball`): ``package.json`` first, which lists every
other member with size and SHA-256 and ends with a checksum of itself, then for each run ``run.json``, what was said of
it since (``events.jsonl``) and its files, then the inputs if they came along. Whoever reads knows what must come and
refuses anything else: no link, no path that leads elsewhere, nothing that was not announced. Nothing is compressed a
second time, so nothing can swell. ``tar`` unpacks it, for who has no hmp.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO
from uuid import UUID

from hmp_catalog.plain import dumps
from hmp_core import tarball
from hmp_core.durable import translated
from hmp_core.errors import ArchiveInvalid, InvalidInput, PathEscape, PathNotFound, SchemaTooNewError
from hmp_core.identity import sha256_bytes
from hmp_core.paths import from_relative

FORMAT = "hmp-package"
VERSION = 1
LIST = "package.json"

#: A list of a million files has about this size; more is no list.
_LONGEST = 256 << 20
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Member:
    """A file in a package."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Package:
    """A package whose every byte was read and is what its list says."""

    path: Path
    content: Mapping[str, Any]
    #: of the whole file
    sha256: str = ""

    @property
    def runs(self) -> list[dict[str, Any]]:
        """What is in it of each run."""
        return list(self.content["runs"])

    @property
    def inputs(self) -> list[dict[str, Any]]:
        """The inputs that came along."""
        return list(self.content["inputs"])

    @cached_property
    def members(self) -> list[Member]:
        """Every file, in the order in which it comes."""
        return list(members(self.content))

    def take(self, wanted: Callable[[Member], Path | None]) -> None:
        """Write members to the paths that ``wanted`` gives for them; each is held to its hash again.

        Raises
        ------
        ArchiveInvalid
            If the file is not what it was when it was verified.
        """
        with opened(self.path) as stream:
            tarball.take_first(stream, LIST, _LONGEST)
            for member in self.members:
                target = wanted(member)
                if target is None:
                    _hash(stream, member)
                else:
                    _write(stream, member, target)

    def read(self, names: Sequence[str]) -> dict[str, bytes]:
        """Return small members by name."""
        found = {}
        with opened(self.path) as stream:
            tarball.take_first(stream, LIST, _LONGEST)
            for member in self.members:
                if member.name in names:
                    found[member.name] = _exactly(stream, member)
                else:
                    _hash(stream, member)
        return found


# ── the list ─────────────────────────────────────────────────────────────────────────────────────────


def listed(content: Mapping[str, Any]) -> bytes:
    """Return ``package.json``."""
    whole = dict(content) | {"checksum": sha256_bytes(dumps(content).encode())}
    return (json.dumps(whole, ensure_ascii=False, allow_nan=False, indent=1, sort_keys=True) + "\n").encode()


def members(content: Mapping[str, Any]) -> Iterator[Member]:
    """Yield every file that a list announces, in order."""
    for run in content["runs"]:
        home = f"runs/{run['sim_id']}"
        for name, said in (("run.json", run["manifest"]), ("events.jsonl", run["events"])):
            if said is not None:
                yield _member(f"{home}/{name}", said)
        yield from (_member(f"{home}/files/{said['path']}", said) for said in run["files"])
    for each in content["inputs"]:
        yield from (_member(f"inputs/{each['sha256']}/{said['path']}", said) for said in each["files"])


def _member(name: str, said: Mapping[str, Any]) -> Member:
    return Member(name, int(said["size"]), str(said["sha256"]))


def _content(data: bytes, path: Path, size: int) -> dict[str, Any]:
    """Return what a list says, once nothing in it can lead astray."""
    try:
        content: dict[str, Any] = json.loads(data)
        if content["format"] != FORMAT:
            message = f"format is {content['format']!r}, expected {FORMAT!r}"
            raise ValueError(message)
        version = int(content["version"])
        if version <= VERSION:
            if content.pop("checksum") != sha256_bytes(dumps(content).encode()):
                message = "the list was changed after it was written"
                raise ValueError(message)
            _require_sound(content, size)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        message = f"{path} is not a package of runs ({error}); nothing was taken from it"
        raise ArchiveInvalid(message, path=str(path)) from error
    if version > VERSION:
        message = f"{path} is a package of version {version}, this hmp reads up to {VERSION}: upgrade hmp-catalog"
        raise SchemaTooNewError(message, path=str(path), found=version, known=VERSION)
    return content


def _require_sound(content: Mapping[str, Any], size: int) -> None:
    """Refuse names that lead elsewhere or twice to the same place, hashes that are none, and more than there is."""
    found = list(members(content))
    for run in content["runs"]:
        if str(UUID(run["sim_id"])) != run["sim_id"]:
            message = f"{run['sim_id']!r} is not the id of a run"
            raise ValueError(message)
    for member in found:
        parts = member.name.split("/")
        try:
            from_relative(member.name, Path("/nowhere"))
        except PathEscape as error:
            raise ValueError(str(error)) from error
        if any(part in {"", ".", ".."} for part in parts) or not _HASH.fullmatch(member.sha256) or member.size < 0:
            message = f"{member.name!r} of {member.size} bytes is no member"
            raise ValueError(message)
    names = [member.name.casefold() for member in found]
    if len(set(names)) < len(names) or LIST in names:
        message = "two members have the same name"
        raise ValueError(message)
    if sum(member.size for member in found) > size:
        message = f"it announces more than its {size} bytes"
        raise ValueError(message)


# ── the file ─────────────────────────────────────────────────────────────────────────────────────────


class _Hashing:
    """A stream that remembers the hash of what was read from it."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self.stream.read(size)
        self.digest.update(data)
        return data


def opened(path: Path) -> BinaryIO:
    """Open a package.

    Raises
    ------
    PathNotFound
        If there is no such file.
    """
    if not path.is_file():
        message = f"{path}: no such package"
        raise PathNotFound(message, path=str(path))
    with translated(path):
        return path.open("rb")


def verify(path: Path, *, sha256: str | None = None) -> Package:
    """Read every byte of a package and return what is in it; nothing is written.

    Parameters
    ----------
    path
        The package.
    sha256
        What the whole file must have, if somebody said so.

    Raises
    ------
    PathNotFound
        If there is no such file.
    ArchiveInvalid
        If it is no package, or a byte is not as it was written.
    SchemaTooNewError
        If a newer hmp wrote it.
    InvalidInput
        If it is another file than ``sha256`` says.
    """
    with opened(path) as file:
        stream: Any = _Hashing(file)
        try:
            content = _content(tarball.take_first(stream, LIST, _LONGEST), path, path.stat().st_size)
            package = Package(path, content)
            for member in package.members:
                _hash(stream, member)
            tarball.expect_end(stream)
        except ArchiveInvalid as error:
            message = error.message if error.message.startswith(str(path)) else f"{path}: {error.message}"
            raise ArchiveInvalid(message, path=str(path)) from error
    found = stream.digest.hexdigest()
    if sha256 is not None and found != sha256.lower():
        message = f"{path} has SHA-256 {found}, expected {sha256}: it is another package"
        raise InvalidInput(message)
    return Package(path, content, found)


def _hash(stream: Any, member: Member) -> None:
    _held_to(member, tarball.take(stream, member.name, member.size), lambda block: None)  # noqa: ARG005


def _exactly(stream: Any, member: Member) -> bytes:
    parts: list[bytes] = []
    _held_to(member, tarball.take(stream, member.name, member.size), parts.append)
    return b"".join(parts)


def _write(stream: Any, member: Member, target: Path) -> None:
    with translated(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            _held_to(member, tarball.take(stream, member.name, member.size), file.write)
            file.flush()
            os.fsync(file.fileno())


def _held_to(member: Member, blocks: Iterator[bytes], keep: Callable[[bytes], object]) -> None:
    digest = hashlib.sha256()
    for block in blocks:
        digest.update(block)
        keep(block)
    if digest.hexdigest() != member.sha256:
        message = f"{member.name} is not as it was written: its bytes were changed"
        raise ArchiveInvalid(message, path=member.name)
