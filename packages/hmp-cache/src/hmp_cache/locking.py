"""``hydromodpy.lock``: which inputs, in exactly which bytes; written once, compared and held to later."""

from __future__ import annotations

import platform
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hmp_core.durable import make_folder, write_atomic
from hmp_core.errors import CorruptError, InvalidInput, PathNotFound, PathTaken, SchemaTooNewError
from hmp_core.paths import to_local

if TYPE_CHECKING:
    from upath import UPath

    from hmp_cache.opening import Rooms
    from hmp_cache.records import Entry

#: The lock file of a workspace.
NAME = "hydromodpy.lock"
#: The form that this module writes; every earlier one stays readable.
VERSION = 1

_HEAD = "# The inputs of this workspace, each in exactly these bytes; `hmp data lock` writes it, do not edit.\n"


@dataclass(frozen=True, slots=True)
class Locked:
    """An input as a lock file names it."""

    id: str
    name: str
    variable: str
    source: str
    sha256: str
    size: int
    #: where its current version lay, relative to the workspace
    path: str
    station: str | None = None
    uri: str | None = None
    #: when it was fetched, UTC without a zone
    fetched_at: str | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    """What a lock file and a cache do not agree on.

    ``kind`` is ``missing`` (the bytes that are named are not here), ``sha256`` (the input has other bytes now; those
    that are named may be kept beside) or ``extra`` (an input that is not named).
    """

    kind: str
    id: str
    name: str
    #: SHA-256 that the lock names, and that of the current version
    locked: str | None
    found: str | None

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values, for JSON."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def read(path: Path) -> list[Locked]:
    """Return what a lock file names.

    Raises
    ------
    PathNotFound
        If there is none.
    CorruptError
        If it is no lock file that can be read.
    SchemaTooNewError
        If it was written by a newer hmp.
    """
    try:
        found = tomllib.loads(path.read_bytes().decode())
        version = int(found["version"])
        if version > VERSION:
            message = f"{path} has version {version}, this hmp reads up to {VERSION}; upgrade hmp-cache"
            raise SchemaTooNewError(message, path=str(path), found=version, known=VERSION)
        known = Locked.__dataclass_fields__
        return [_named({key: value for key, value in each.items() if key in known}) for each in found["input"]]
    except FileNotFoundError:
        message = f"{path}: no lock file; `hmp data lock` writes one"
        raise PathNotFound(message, path=str(path)) from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        message = (
            f"{path} is no lock file that can be read ({type(error).__name__}: {error}); take it from where it is "
            "kept under version control, or write it anew with `hmp data lock`"
        )
        raise CorruptError(message, path=str(path)) from error


def _named(said: dict[str, Any]) -> Locked:
    odd = [key for key, value in said.items() if type(value) is not (int if key == "size" else str)]
    if odd:
        message = f"{odd[0]} is {said[odd[0]]!r}"
        raise TypeError(message)
    return Locked(**said)


def named_by_lock(workspace: Path) -> frozenset[str]:
    """Return the SHA-256 of everything that the lock file of a workspace names; nothing if there is no lock file."""
    path = workspace / NAME
    return frozenset(each.sha256 for each in read(path)) if path.exists() else frozenset()


def write(rooms: Rooms, path: str | Path | UPath | None, filters: Mapping[str, Any]) -> Path:
    """Write a lock file for the inputs that fit; see `InputsNamespace.lock`."""
    target = rooms.shelf.workspace / NAME if path is None else to_local(path)
    rooms.may_write(f"write {target.name}")
    _require_ours(target)
    found = rooms.unfrozen.check(filters)
    changed = [entry for entry in found if entry.state == "modified"]
    if changed:
        listed = ", ".join(entry.relative_path for entry in changed[:10])
        message = f"{len(changed)} inputs are not the bytes that were registered: {listed}; see `hmp data check --fix`"
        raise InvalidInput(message)
    fetched = _fetched(rooms)
    make_folder(target.parent)
    write_atomic(target, _encoded([_locked(entry, fetched) for entry in found]))
    return target


def _require_ours(target: Path) -> None:
    """Refuse to write over what is no lock file: somebody needs it."""
    if not target.exists():
        return
    head = _HEAD.partition(";")[0].encode()
    if not target.is_file() or not (target.name == NAME or target.read_bytes().startswith(head)):
        message = f"{target} is there and is no lock file; choose another name"
        raise PathTaken(message, path=str(target))


def _fetched(rooms: Rooms) -> dict[str, str]:
    from hmp_cache import queries

    with rooms.store.reading() as backend:
        return queries.fetched(backend)


def _locked(entry: Entry, fetched: Mapping[str, str]) -> Locked:
    # where a user's file came from is a path of this machine; where a download came from is known to all
    uri = entry.uri if entry.uri and "://" in entry.uri and not entry.uri.startswith("file:") else None
    return Locked(
        str(entry.id), entry.name, entry.variable, entry.source, entry.sha256, entry.size, entry.relative_path,
        entry.station_id, uri, fetched.get(str(entry.artifact_id)),
    )  # fmt: skip


def _encoded(inputs: Sequence[Locked]) -> bytes:
    import tomli_w

    from hmp_cache import __version__

    ordered = sorted(inputs, key=lambda each: (each.variable, each.source, each.path, each.id))
    lines = [{n: v for n in each.__dataclass_fields__ if (v := getattr(each, n)) is not None} for each in ordered]
    head = {"version": VERSION, "hmp_cache": __version__, "python": platform.python_version(), "input": lines}
    return (_HEAD + tomli_w.dumps(head, multiline_strings=False)).encode()


def compare(rooms: Rooms, path: str | Path | UPath | None) -> list[Difference]:
    """Return what the lock file and the cache do not agree on; see `InputsNamespace.lock_state`."""
    rooms.store.authorize(write=False)
    locked = read(rooms.shelf.workspace / NAME if path is None else to_local(path))
    current = {str(entry.id): entry for entry in rooms.unfrozen.check({})}
    found = []
    for each in locked:
        entry = current.get(each.id)
        if entry is not None and entry.sha256 == each.sha256 and entry.state == "current":
            continue
        kind = "sha256" if entry is not None and entry.sha256 != each.sha256 else "missing"
        found.append(Difference(kind, each.id, each.name, each.sha256, entry.sha256 if entry else None))
    named = {each.id for each in locked}
    extra = [entry for key, entry in current.items() if key not in named]
    return found + [Difference("extra", str(e.id), e.name, None, e.sha256) for e in extra]
