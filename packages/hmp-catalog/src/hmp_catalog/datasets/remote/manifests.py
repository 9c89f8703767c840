"""What a version of a data set consists of, behind its URL: the manifests, which of them is the newest, the next one.

A manifest is created exclusively, and that is the commit of a push. ``HEAD`` is a hint and may lag behind: numbers
have no gaps from there on. See ``docs/decisions/0011-a-data-set-behind-a-url.md``.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from hmp_catalog.errors import RemoteMissing
from hmp_core.errors import CorruptError

if TYPE_CHECKING:
    from hmp_catalog.datasets.remote.remotes import Remote

HEAD, FOLDER, OBJECTS = "HEAD", "manifests", "objects"

_FORM = 1

#: What a manifest may become by decompression, in bytes: some millions of files.
_LARGEST = 2**30
_BEGIN = re.compile(rb"hmp data set, manifest (\d+), ([0-9a-f]{64})\n")
_SHA256, _PUSH = re.compile(r"[0-9a-f]{64}"), re.compile(r"[0-9a-f]{16}")
_NAME = re.compile(rf"{FOLDER}/(\d{{8,}})\.hmp")

#: How long a hint may be.
_DIGITS = 20

#: Bytes of a part of a path; file systems take no more.
_LONGEST = 255

#: How often one looks for the newest again, where others replace and clear at the same time.
_TRIES = 20


@dataclass(frozen=True, slots=True)
class Entry:
    """A file behind the URL: its bytes, in the folder of the push that sent them; ``pieces`` digests its table."""

    sha256: str
    size: int
    push: str
    pieces: str | None = None

    @property
    def key(self) -> str:
        """The object with its bytes."""
        return f"{OBJECTS}/{self.push}/{self.sha256}"

    @property
    def keys(self) -> tuple[str, ...]:
        """Every object that it needs."""
        return (self.key,) if self.pieces is None else (self.key, f"{OBJECTS}/{self.push}/{self.pieces}")

    def said(self) -> list[Any]:
        """Return it as JSON has it."""
        return [self.sha256, self.size, self.push, self.pieces]

    @classmethod
    def heard(cls, said: Any) -> Self:
        """Return the entry that JSON has.

        Raises
        ------
        ValueError
            If it is none.
        """
        sha256, size, push, pieces = said
        right = _SHA256.fullmatch(sha256) and _PUSH.fullmatch(push) and isinstance(size, int) and size >= 0
        if not right or not (pieces is None or _SHA256.fullmatch(pieces)):
            message = f"{said!r} is no entry"
            raise ValueError(message)
        return cls(sha256, size, push, pieces)


@dataclass(frozen=True)
class Manifest:
    """A version behind the URL.

    Attributes
    ----------
    dataset : str
        What tells it from every other data set, also one that lay at this URL before.
    number : int
        Counts up from 1, without gaps.
    push : str
        By which it was made.
    files : mapping
        Path in the data set -> where its bytes are.
    held : mapping
        Path -> the bytes, of documents and small files.
    doomed : frozenset
        Objects that are being deleted since this version was made.
    deleted : bool
        Whether there is no data set any more.
    """

    dataset: str
    number: int
    push: str
    files: Mapping[str, Entry] = field(default_factory=dict)
    held: Mapping[str, bytes] = field(default_factory=dict)
    doomed: frozenset[str] = frozenset()
    deleted: bool = False
    when: str = field(default_factory=lambda: datetime.now(UTC).isoformat())

    def objects(self) -> set[str]:
        """Return every object that it names."""
        return {key for entry in self.files.values() for key in entry.keys}

    def by_content(self) -> dict[str, Entry]:
        """Return digest -> where such bytes are."""
        return {entry.sha256: entry for entry in self.files.values()}

    def same(self, other: Manifest) -> bool:
        """Whether another version is the same, moved or not."""
        contents = [{name: each.sha256 for name, each in one.files.items()} for one in (self, other)]
        return contents[0] == contents[1] and self.held == other.held and self.deleted == other.deleted

    def next(self, push: str, **changes: Any) -> Manifest:
        """Return the version after this one, with what is said here and ``changes``."""
        now = datetime.now(UTC).isoformat()
        options: dict[str, Any] = {"doomed": frozenset()} | changes
        return replace(self, number=self.number + 1, push=push, when=now, **options)

    def dumps(self) -> bytes:
        """Return it as it is kept: the same version is the same bytes."""
        said = {
            **{name: getattr(self, name) for name in ("dataset", "number", "push", "when", "deleted")},
            "files": {name: each.said() for name, each in sorted(self.files.items())},
            "held": {name: base64.b64encode(each).decode() for name, each in sorted(self.held.items())},
            "doomed": sorted(self.doomed),
        }
        body = gzip.compress(json.dumps(said).encode(), compresslevel=6, mtime=0)
        return b"hmp data set, manifest %d, %s\n" % (_FORM, hashlib.sha256(body).hexdigest().encode()) + body


def loads(data: bytes, where: str) -> Manifest:
    """Return the manifest that these bytes are.

    Raises
    ------
    CorruptError
        If they are not what they say, of a later form, or name files that cannot be in a data set.
    """
    begin = _BEGIN.match(data)
    body = data[begin.end() :] if begin else b""
    if begin is None or hashlib.sha256(body).hexdigest().encode() != begin[2]:
        message = f"{where} is no manifest, or a damaged one; restore it, or push again from a folder that has it"
        raise CorruptError(message, path=where)
    if int(begin[1]) != _FORM:
        message = f"{where} was written by a newer hmp (form {begin[1].decode()}, expected {_FORM}); upgrade this one"
        raise CorruptError(message, path=where)
    try:
        return _loaded(json.loads(_decompressed(body)))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, zlib.error) as error:
        message = f"{where} cannot be understood ({type(error).__name__}: {error}); restore it"
        raise CorruptError(message, path=where) from error


def _decompressed(body: bytes) -> bytes:
    work = zlib.decompressobj(zlib.MAX_WBITS | 16)  # gzip
    found = work.decompress(body, _LARGEST)
    if not work.eof:
        message = f"it ends early, or is larger than {_LARGEST:,} bytes"
        raise ValueError(message)
    return found


def _loaded(said: dict[str, Any]) -> Manifest:
    files = {_safe(name): Entry.heard(each) for name, each in said["files"].items()}
    held = {_safe(name): base64.b64decode(each, validate=True) for name, each in said["held"].items()}
    doomed = frozenset(_doomed(name) for name in said["doomed"])
    plain = {name: said[name] for name in ("dataset", "number", "push", "when", "deleted")}
    kinds = {"dataset": str, "number": int, "push": str, "when": str, "deleted": bool}
    wrong = [name for name, kind in kinds.items() if type(plain[name]) is not kind]
    if wrong or not _PUSH.fullmatch(plain["push"]) or datetime.fromisoformat(plain["when"]).tzinfo is None:
        message = f"{plain!r} says nothing of a version"
        raise ValueError(message)
    _refuse_both({*files, *held})
    return Manifest(files=files, held=held, doomed=doomed, **plain)


def _safe(name: str) -> str:
    """Return a path that stays in the data set, and is none of its hidden files."""
    if any(
        not part or part.startswith(".") or "\0" in part or len(part.encode()) > _LONGEST for part in name.split("/")
    ):
        message = f"{name!r} is no path in a data set"
        raise ValueError(message)
    return name


def _refuse_both(names: set[str]) -> None:
    """Refuse a name that would be a file and a folder."""
    for name in names:
        parts = name.split("/")
        if any("/".join(parts[:count]) in names for count in range(1, len(parts))):
            message = f"{name!r} lies in a file"
            raise ValueError(message)


def _doomed(name: str) -> str:
    """Return the key of an object; whoever deletes believes what a manifest says."""
    parts = name.split("/")
    if parts[0] != OBJECTS or len(parts) < 2 or {"", ".", ".."} & set(parts) or "\0" in name or "\\" in name:
        message = f"{name!r} is no object of a data set"
        raise ValueError(message)
    return name


# ── behind the URL ───────────────────────────────────────────────────────────────────────────────────


def place(number: int) -> str:
    """Return the key of a manifest."""
    return f"{FOLDER}/{number:08d}.hmp"


def read(remote: Remote, number: int) -> Manifest | None:
    """Return the manifest of that number; None if there is none.

    Raises
    ------
    CorruptError
        If it is not what it should be, also when it is asked for again.
    RemoteUnreachable
        If the store does not answer.
    """
    for again in (True, False):
        try:
            found = loads(remote.read(place(number)), f"{remote.url}/{place(number)}")
        except RemoteMissing:
            return None
        except CorruptError:
            if again:
                continue
            raise
        if found.number == number:
            return found
        break
    message = f"{remote.url}/{place(number)} is the manifest of another number; restore it"
    raise CorruptError(message, path=remote.url)


def newest(remote: Remote) -> Manifest | None:
    """Return the newest manifest; None if nothing was ever pushed. One that says "deleted" is a manifest too.

    Raises
    ------
    CorruptError
        If it is not what it should be.
    RemoteUnreachable
        If the store does not answer.
    """
    for _ in range(_TRIES):
        number = _hint(remote)
        found = read(remote, number) if number else None
        if number and found is None:
            number = max(numbers(remote), default=0)
            found = read(remote, number) if number else None
            if found is None:
                continue  # cleared just now: others are newer
        while (later := read(remote, number + 1)) is not None:
            found, number = later, number + 1
        return found
    message = f"{remote.url}: {HEAD} names a version that is not there; push again, or restore it"
    raise CorruptError(message, path=remote.url)


def _hint(remote: Remote) -> int:
    try:
        said = remote.read(HEAD)
    except RemoteMissing:
        return 0
    if not said.strip().isdigit() or len(said) > _DIGITS:
        message = f"{remote.url}/{HEAD} holds no number; restore it, or remove it where the store lists its objects"
        raise CorruptError(message, path=f"{remote.url}/{HEAD}")
    return int(said)


def numbers(remote: Remote) -> list[int]:
    """Return the numbers of the manifests that are there, oldest first; none where the store does not list."""
    if not remote.lists:
        return []
    return sorted(int(match[1]) for key in remote.listing(FOLDER) if (match := _NAME.fullmatch(key)))


def publish(remote: Remote, manifest: Manifest) -> bool:
    """Make a version the newest; False if somebody else made that number first.

    Raises
    ------
    NotWritable, StorageError, RemoteUnreachable
        If it cannot be made. After `RemoteUnreachable` it may have been, which the next push finds out.
    """
    if not remote.create(place(manifest.number), manifest.dumps()):
        found = read(remote, manifest.number)  # ours, if only the answer was lost
        if found is None or found.push != manifest.push:
            return False
    number = manifest.number
    while number:
        remote.put(HEAD, b"%d\n" % number)
        later = read(remote, number + 1)  # who overtook us may have said so before we did
        number = later.number if later is not None else 0
    return True


def since(remote: Remote, number: int, last: Manifest) -> list[Manifest] | None:
    """Return the versions after that ``number`` up to ``last``; None if some are not there any more."""
    found = [read(remote, each) for each in range(number + 1, last.number)]
    whole = [each for each in found if each is not None]
    return [*whole, last][: max(0, last.number - number)] if len(whole) == len(found) else None
