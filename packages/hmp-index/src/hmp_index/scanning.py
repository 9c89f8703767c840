"""Looking for workspaces on the disk: everything below a folder, or what moved from where it was known to lie.

Folders are listed and markers read, nothing else; links are not followed, and what lies in a workspace is not looked
through.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from hmp_core.errors import HmpError
from hmp_core.layout import WORKSPACE_MARKER, Root, read_root
from hmp_index.records import Skipped
from hmp_index.roster import Listed

#: How many levels below a folder are looked through.
DEPTH = 8

#: Seconds between two words of progress.
_PAUSE = 0.5


@dataclass(slots=True)
class Scan:
    """What was found below a folder."""

    roots: list[Root] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    #: folders that lie deeper than was looked
    too_deep: int = 0
    n_folders: int = 0


def below(folder: Path, *, depth: int = DEPTH, progress: Callable[[str], None] | None = None) -> Scan:
    """Return the workspaces at and below ``folder``, in the order of their paths.

    Hidden folders are passed over, and what cannot be read is named.
    """
    scan = Scan()
    said = time.monotonic()
    waiting = [(folder, 0)]
    while waiting:
        here, level = waiting.pop()
        scan.n_folders += 1
        inside = _inside(here, scan)
        if level < depth:
            waiting += [(path, level + 1) for path in reversed(inside)]
        else:
            scan.too_deep += len(inside)
        if progress is not None and time.monotonic() - said >= _PAUSE:
            said = time.monotonic()
            progress(f"{len(scan.roots)} workspaces in {scan.n_folders} folders, now {here}")
    return scan


def _inside(folder: Path, scan: Scan) -> list[Path]:
    """Return the folders that may hold workspaces; none of a folder that is one, which is noted."""
    try:
        with os.scandir(folder) as entries:
            names, inside = set[str](), list[str]()
            for entry in entries:
                names.add(entry.name)
                if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False):
                    inside.append(entry.path)
    except OSError as error:
        scan.skipped.append(_unread(folder, error.strerror or str(error)))
        return []
    if WORKSPACE_MARKER not in names:
        return [Path(path) for path in sorted(inside)]
    try:
        root = read_root(folder, WORKSPACE_MARKER)
        str(folder).encode()
    except UnicodeEncodeError:
        scan.skipped.append(_unread(Path(repr(str(folder))), "its path cannot be kept as text"))
    except HmpError as error:
        scan.skipped.append(_unread(folder, str(error)))
    else:
        scan.roots.append(root)
    return []


def _unread(folder: Path, why: str) -> Skipped:
    return Skipped(str(folder), "", folder, "unreachable", f"not looked through: {why}")


# ── moved ────────────────────────────────────────────────────────────────────────────────────────────

#: How many folders are looked at, and for how long, to find workspaces that are gone from their place.
MOST = 5000
SECONDS = 2.0


@dataclass(slots=True)
class Sought:
    """Where workspaces lie that were looked for by their ids."""

    found: dict[UUID, list[Root]] = field(default_factory=dict)
    #: whether there were more folders than could be looked at
    gave_up: bool = False


def seek(lost: Sequence[Listed], listed: Sequence[Listed]) -> Sought:
    """Look for workspaces that are gone from their place, beside it and beside the other workspaces.

    A folder above that was renamed is seen through: of ``study/fulda`` also ``*/fulda`` is looked at, where ``study``
    is not there any more.
    """
    wanted = {line.own_id for line in lost}
    sought, seen = Sought(), set[Path]()
    deadline = time.monotonic() + SECONDS
    for path in _candidates(lost, listed):
        if path in seen:
            continue
        if len(seen) >= MOST or time.monotonic() > deadline:
            sought.gave_up = True
            break
        seen.add(path)
        root = _marked(path, wanted)
        if root is not None:
            sought.found.setdefault(root.id, []).append(root)
    return sought


def _candidates(lost: Sequence[Listed], listed: Sequence[Listed]) -> Iterator[Path]:
    for line in lost:
        above = next((parent for parent in line.path.parents if os.path.isdir(parent)), None)
        if above is not None:
            _, *rest = line.path.relative_to(above).parts
            yield from (path.joinpath(*rest) for path in _folders(above))
    for parent in sorted({line.path.parent for line in listed}):
        yield from _folders(parent)


def _folders(folder: Path) -> Iterator[Path]:
    try:
        with os.scandir(folder) as entries:
            found = sorted(entry.path for entry in entries if entry.is_dir(follow_symlinks=False))
    except OSError:
        return  # nothing can be beside it that could be read
    yield from map(Path, found)


def _marked(folder: Path, wanted: Collection[UUID]) -> Root | None:
    if not os.path.isfile(folder / WORKSPACE_MARKER):
        return None
    try:
        root = read_root(folder, WORKSPACE_MARKER)
        str(folder).encode()
    except (HmpError, UnicodeEncodeError):
        return None  # damaged, or none of ours: whoever opens it is told
    return root if root.id in wanted else None
