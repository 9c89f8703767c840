"""What a run consumed: cache entries and files of the workspace, with the hash of the bytes that were there."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from hmp_catalog.errors import InputChanged
from hmp_catalog.plain import text, uuid_text, word
from hmp_core.errors import InvalidInput, PathNotFound
from hmp_core.identity import sha256_file, sha256_path
from hmp_core.paths import from_relative, to_local, to_relative


@runtime_checkable
class InputEntry(Protocol):
    """What the catalog must know of an input of the cache; `hmp_cache.Entry` has it."""

    @property
    def id(self) -> Any:
        """The entry."""
        ...

    @property
    def artifact_id(self) -> Any:
        """The version of its bytes."""
        ...

    @property
    def sha256(self) -> str:
        """The hash of that version."""
        ...

    @property
    def relative_path(self) -> str:
        """Where it lies, relative to the workspace."""
        ...

    @property
    def variable(self) -> str:
        """What it is about."""
        ...

    @property
    def source(self) -> str:
        """Where it came from."""
        ...


#: (device, inode, size, time of change) -> hash: a file is read once per process, not once per run
_hashed: dict[tuple[int, int, int, int], str] = {}
#: A file changed less than this long ago may change again within the same tick of the file system's clock.
_SETTLED = 2.0


def as_inputs(items: Any) -> list[Any]:
    """Return inputs as a list, also of one that is given alone.

    Raises
    ------
    InvalidInput
        If it is neither an input nor a list of them.
    """
    if isinstance(items, (str, os.PathLike, InputEntry)) or hasattr(items, "protocol"):
        return [items]
    try:
        return list(items)
    except TypeError as error:
        message = f"inputs is a {type(items).__name__}, expected a list of cache entries and paths"
        raise InvalidInput(message) from error


def describe(items: Iterable[Any], workspace: Path) -> list[dict[str, Any]]:
    """Return what is recorded of each input.

    Parameters
    ----------
    items
        Cache entries, or paths (inside the workspace) of files and folders.

    Raises
    ------
    InputChanged
        If a cache entry's file is not what the cache registered.
    PathNotFound, PathEscape
        If a path does not exist, or lies outside the workspace, links followed.
    InvalidInput
        If the same input is given twice in two versions, or is of another kind.
    """
    found: dict[tuple[str, str | None], dict[str, Any]] = {}
    bytes_of: dict[str, str] = {}
    for item in items:
        facts = _entry(item, workspace) if isinstance(item, InputEntry) else _path(item, workspace)
        if bytes_of.setdefault(facts["path"], facts["sha256"]) != facts["sha256"]:
            message = f"{facts['path']} is given twice, with different bytes"
            raise InvalidInput(message)
        found.setdefault((facts["path"], facts["entry_id"]), facts)
    # given as a path and as an entry it is the entry, of which more is known
    entries = {path for path, entry in found if entry is not None}
    return [facts for (path, entry), facts in found.items() if entry is not None or path not in entries]


def _entry(entry: InputEntry, workspace: Path) -> dict[str, Any]:
    relative = word(entry.relative_path, "relative_path of an input", most=None)
    registered = word(entry.sha256, f"sha256 of {relative}")
    file = _file_of(entry, relative, workspace)
    if not file.exists():
        message = f"{relative}: its bytes are not there; restore them before a run consumes them"
        raise PathNotFound(message, path=str(file))
    now = _hash(file, workspace)
    if now != registered:
        message = (
            f"{relative} has SHA-256 {now[:12]}, the cache registered {registered[:12]}: it was changed since; add it "
            "again, or restore it, before a run consumes it"
        )
        raise InputChanged(message, path=relative, expected=registered, found=now)
    return {
        "role": "input",
        "path": relative,
        "sha256": registered,
        "size": _size(file),
        "variable": text(entry.variable or None, f"variable of {relative}") or "",
        "source": text(entry.source or None, f"source of {relative}") or "",
        "entry_id": uuid_text(entry.id, f"id of {relative}"),
        "artifact_id": uuid_text(entry.artifact_id, f"artifact_id of {relative}"),
        **{name: text(getattr(entry, name, None) or None, f"{name} of {relative}") for name in _MORE},
    }


_MORE = ("uri", "license", "unit")


def _file_of(entry: InputEntry, relative: str, workspace: Path) -> Path:
    """Return where the bytes of this version lie: an older one has been put aside by the cache."""
    file = from_relative(relative, workspace)
    here = getattr(entry, "path", None)
    if here is None:
        return file
    kept = from_relative(to_relative(to_local(here), workspace), workspace)
    return kept if kept.exists() else file


def _path(item: Any, workspace: Path) -> dict[str, Any]:
    if not isinstance(item, (str, os.PathLike)) and not hasattr(item, "protocol"):
        message = f"an input is a cache entry or a path, not {type(item).__name__}"
        raise InvalidInput(message)
    where = to_local(item)
    if not where.exists():
        message = f"{where}: no such input"
        raise PathNotFound(message, path=str(where))
    relative = word(to_relative(where, workspace), "path of an input", most=None)
    from_relative(relative, workspace)  # what could not be found again is not recorded
    return {
        "role": "input",
        "path": relative,
        "sha256": _hash(where, workspace),
        "size": _size(where),
        "variable": "",
        "source": "custom",
        "entry_id": None,
        "artifact_id": None,
        **dict.fromkeys(_MORE),
    }


def _size(path: Path) -> int:
    files = (p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files)


def _hash(path: Path, workspace: Path) -> str:
    if path.is_dir():
        _refuse_links(path, workspace)
        return sha256_path(path)
    return settled_hash(path)


def settled_hash(path: Path) -> str:
    """Return the SHA-256 of a file, which is read once per process as long as it does not change."""
    before = path.stat()
    # the time of change, which unlike that of modification cannot be set back
    signature = (before.st_dev, before.st_ino, before.st_size, before.st_ctime_ns)
    if signature in _hashed:
        return _hashed[signature]
    settled = abs(time.time() - before.st_ctime) > _SETTLED
    found = sha256_file(path)
    if settled:
        _hashed[signature] = found
    return found


def _refuse_links(folder: Path, workspace: Path) -> None:
    """What a link leads to is part of what was consumed only if it is hashed with the folder, and is copied with it."""
    for path in folder.rglob("*"):
        if path.is_symlink():
            to_relative(path, workspace)
            if path.is_dir():
                message = f"{path} is a link to a folder, whose files are not hashed with {folder}; name it by itself"
                raise InvalidInput(message)
