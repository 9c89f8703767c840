"""The list of workspaces, kept in ``workspaces.toml``: its home, of which every database row is derived.

Each workspace carries its own id in its ``workspace.toml``, so the same folder reached twice is one line here, a
moved one is recognised, and a copy, which carries the id of its original, gets a line and an id of its own.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

from hmp_core.durable import write_atomic
from hmp_core.errors import AmbiguousReference, InvalidInput, NotFound, NotWritable, SchemaTooNewError
from hmp_core.identity import derived_id, random_id
from hmp_core.layout import Root
from hmp_core.paths import to_local
from hmp_index.errors import OtherWorkspace, WorkspaceListCorrupt

NAME = "workspaces.toml"
VERSION = 1

#: A prefix of an id is taken for one from this many hex digits on.
_SHORTEST = 4

Outcome = Literal["registered", "known", "moved", "copied"]


@dataclass(frozen=True, slots=True)
class Listed:
    """A line of the list: a workspace that was registered, whether it can be reached now or not."""

    id: UUID
    path: Path
    label: str
    #: UTC, without a zone
    registered_at: datetime
    #: the id that the folder carries, where another line has it already
    copy_of: UUID | None = None

    @property
    def own_id(self) -> UUID:
        """The id that the folder carries in its ``workspace.toml``."""
        return self.copy_of or self.id


def read(file: Path) -> list[Listed] | None:
    """Return the list as it was written, None if there is no such file.

    Raises
    ------
    WorkspaceListCorrupt
        If the file cannot be understood; it is left as it is.
    SchemaTooNewError
        If it was written by a newer hmp.
    """
    try:
        return list(_parsed(file, file.read_bytes()))
    except FileNotFoundError:
        return None
    except PermissionError as error:
        message = f"{file} cannot be read: {error.strerror}; check who owns it"
        raise NotWritable(message, path=str(file)) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _corrupt(file, str(error)) from error


@lru_cache(maxsize=2)
def _parsed(file: Path, text: bytes) -> tuple[Listed, ...]:
    """Return the lines in a text that was read; the same one is parsed once, which for 1,000 lines takes 25 ms."""
    content = tomllib.loads(text.decode())
    version = int(content["version"])
    if version > VERSION:
        message = f"{file} has version {version}, this hmp reads up to {VERSION}: upgrade hmp-index"
        raise SchemaTooNewError(message, path=str(file), found=version, known=VERSION)
    listed = tuple(_listed(line) for line in content.get("workspaces", []))
    if len({one.id for one in listed}) != len(listed):
        message = "an id is there twice"
        raise ValueError(message)
    return listed


def write(file: Path, listed: Sequence[Listed]) -> None:
    """Replace the list in one step, flushed to disk; whoever writes holds the lock of the index.

    Raises
    ------
    NotWritable, StorageError
        If the folder or the disk refuses; the former list stays.
    """
    import tomli_w

    text = "# The workspaces that `hmp index` knows on this machine. index.duckdb beside it is derived from this.\n"
    text += tomli_w.dumps({"version": VERSION, "workspaces": [_line(one) for one in listed]})
    write_atomic(file, text.encode())


def _listed(line: dict[str, Any]) -> Listed:
    moment = line["registered_at"]
    path = Path(line["path"])
    if not isinstance(moment, datetime) or not path.is_absolute():
        message = f"the line of {path} needs an absolute path and a time"
        raise ValueError(message)
    return Listed(
        id=UUID(line["id"]),
        path=path,
        label=str(line["label"]),
        registered_at=(moment.astimezone(UTC) if moment.tzinfo else moment).replace(tzinfo=None),
        copy_of=UUID(line["copy_of"]) if "copy_of" in line else None,
    )


def _line(one: Listed) -> dict[str, Any]:
    line: dict[str, Any] = {"id": str(one.id), "path": str(one.path), "label": one.label}
    line["registered_at"] = one.registered_at.replace(tzinfo=UTC)
    return line | ({} if one.copy_of is None else {"copy_of": str(one.copy_of)})


def _corrupt(file: Path, why: str) -> WorkspaceListCorrupt:
    message = (
        f"{file} cannot be read as the list of workspaces ({why}); it was left as it is: mend it, or move it away "
        "and the list is written again from index.duckdb"
    )
    return WorkspaceListCorrupt(message, path=str(file))


# ── changing the list: pure ──────────────────────────────────────────────────────────────────────────


def enlist(
    listed: Sequence[Listed],
    root: Root,
    label: str | None,
    now: datetime,
    present: Callable[[Listed], bool],
) -> tuple[list[Listed], Listed, Outcome]:
    """Return the list with the workspace ``root`` on it, its line, and what had to be done.

    Parameters
    ----------
    root
        The folder, links followed, with the id and the name it carries.
    label
        What to call it; by default what it is called already, else its own name.
    now
        When it is registered, if it is new.
    present
        Tells whether the folder of a line still holds that workspace.
    """
    namesakes = [one for one in listed if one.own_id == root.id]
    here = next((one for one in namesakes if one.path == root.path), None)
    if here is not None:
        line = replace(here, label=label or here.label)
        return _with(listed, line), line, "known"
    gone = next((one for one in namesakes if not present(one)), None)
    if gone is not None:
        line = replace(gone, path=root.path, label=label or gone.label)
        return _with(listed, line), line, "moved"
    taken = {one.id for one in listed}
    line = Listed(root.id, root.path, label or root.name, now)
    if namesakes:
        own = derived_id("workspace", str(root.id), str(root.path))
        line = replace(line, id=random_id() if own in taken else own, copy_of=root.id)
        return [*listed, line], line, "copied"
    return [*listed, line], line, "registered"


def relocated(listed: Sequence[Listed], line: Listed, root: Root) -> list[Listed]:
    """Return the list with ``line`` at the folder ``root``.

    Raises
    ------
    OtherWorkspace
        If ``root`` carries another id.
    InvalidInput
        If another line has that folder.
    """
    if root.id != line.own_id:
        message = (
            f"{root.path} holds the workspace {root.id}, but {line.label!r} is {line.own_id}: "
            "register the folder as the workspace it is"
        )
        raise OtherWorkspace(message, path=str(root.path), expected=str(line.own_id), found=str(root.id))
    other = next((one for one in listed if one.path == root.path and one.own_id == root.id and one != line), None)
    if other is not None:
        message = f"{root.path} is registered already, as {other.label!r} ({other.id}); forget that one first"
        raise InvalidInput(message)
    return _with(listed, replace(line, path=root.path))


def _with(listed: Sequence[Listed], line: Listed) -> list[Listed]:
    return [line if one.id == line.id else one for one in listed]


# ── references ───────────────────────────────────────────────────────────────────────────────────────


def resolve(listed: Sequence[Listed], reference: str | Path | UUID) -> Listed:
    """Return the line that a reference means: an id, at least four of its first digits, a label, or a path.

    Raises
    ------
    NotFound
        If there is none; the labels that exist are listed.
    AmbiguousReference
        If there are several.
    """
    text = str(reference)
    found = (
        [one for one in listed if str(one.id) == text.lower()]
        or [one for one in listed if one.label == text]
        or _at(listed, reference)
        or _prefixed(listed, text)
    )
    if len(found) == 1:
        return found[0]
    if found:
        named = "; ".join(f"{one.id} ({one.label}, {one.path})" for one in found)
        message = f"{text!r} could be {len(found)} workspaces; say which by its id: {named}"
        raise AmbiguousReference(message, reference=text, candidates=[str(one.id) for one in found])
    labels = sorted(one.label for one in listed)
    message = f"no registered workspace goes by {text!r}; there are: {', '.join(labels) or 'none yet'}"
    raise NotFound(message, reference=text, candidates=labels)


def _at(listed: Sequence[Listed], reference: str | Path | UUID) -> list[Listed]:
    if isinstance(reference, UUID) or (isinstance(reference, str) and re.match(r"^[^/\\]*:(?!//)", reference)):
        return []  # a label may hold a colon; what has "://" is meant as a place and may be refused as one
    where = to_local(reference)
    places = {where, Path(os.path.realpath(where))}
    return [one for one in listed if one.path in places]


def _prefixed(listed: Sequence[Listed], text: str) -> list[Listed]:
    digits = text.replace("-", "").lower()
    if len(digits) < _SHORTEST or not re.fullmatch(r"[0-9a-f]+", digits):
        return []
    return [one for one in listed if one.id.hex.startswith(digits)]
