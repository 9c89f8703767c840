"""The database file and what lies beside it: looked at by `stat` alone, for no live database is read as a file."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from pathlib import Path

from hmp_core.backups import list_backups
from hmp_core.doctor import codes
from hmp_core.doctor.case import Case
from hmp_core.doctor.checks import checks_of
from hmp_core.doctor.findings import Finding, many, some
from hmp_core.errors import CorruptError
from hmp_core.layout import PROJECT_MARKER, WORKSPACE_MARKER, read_root

#: Seconds after which what is being made beside a database is a leftover.
_UNFINISHED = 120.0


def look(case: Case) -> Iterator[Finding]:
    """Yield what is to be said of the file, of what lies beside it, and of who may write it."""
    path = case.database.path
    if not os.path.lexists(path):
        yield absent(case)
    elif not case.path.exists():
        yield case.finding(codes.BROKEN_LINK, f"it points to {case.path}, and nothing is there")
    elif not case.path.is_file():
        kind = "a folder" if case.path.is_dir() else "a pipe or a device"
        yield case.finding(codes.FOREIGN, f"it is {kind}, not a file")
    else:
        yield from _names(case)
        if case.path.stat().st_size == 0:
            yield case.finding(codes.EMPTY, "it has no bytes at all: what made it was interrupted")
        yield from _rights(case)
    yield from _beside(case)
    yield from _marker(case)


def is_there(case: Case) -> bool:
    """Return whether there is something that the engine could open."""
    try:
        return case.path.is_file() and case.path.stat().st_size > 0
    except OSError:
        return False


def absent(case: Case) -> Finding:
    """Say that there is no database: lost, if anything tells that there was one; else not made yet."""
    logs = [log for log in case.log if log.events]
    left = [f"its log is ({some(log.path.name for log in logs)})"] if logs else []
    if kept := list_backups(case.path):
        left.append(f"{many(len(kept), 'backup')} of it are" if len(kept) > 1 else "a backup of it is")
    if files := list(checks_of(case.database.component).remains(case)):
        left.append(f"what it is made from is ({some(path.relative_to(case.home) for path in files)})")
    if left:
        return case.finding(codes.MISSING, f"it is not there, but {', and '.join(left)}")
    return case.finding(codes.ABSENT, "there is no database yet")


def _names(case: Case) -> Iterator[Finding]:
    path = case.database.path
    if path.is_symlink():
        yield case.finding(codes.LINKED, f"it is a link to {case.path}")
    found = case.path.stat()
    if found.st_nlink > 1:
        folders = (case.home, case.internal, case.internal / "replaced")
        others = [p for folder in folders for p in _entries(folder) if p != case.path and _same(p, found)]
        where = f", among them {some(others)}" if others else ""
        yield case.finding(codes.HARD_LINKED, f"the file has {found.st_nlink} names{where}")


def _entries(folder: Path) -> list[Path]:
    return sorted(Path(entry.path) for entry in os.scandir(folder)) if folder.is_dir() else []


def _same(path: Path, found: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.lstat(path), found)
    except OSError:
        return False


def _marker(case: Case) -> Iterator[Finding]:
    """Yield whether the marker of the workspace or the project that it belongs to can be read, if there is one."""
    marker = {"cache": WORKSPACE_MARKER, "catalog": PROJECT_MARKER}.get(case.database.component, "")
    folder = case.database.path.parent
    root = folder.parent if case.database.component == "cache" else folder
    if marker and os.path.isfile(root / marker):
        try:
            read_root(root, marker)
        except CorruptError as error:
            yield case.finding(codes.BAD_MARKER, str(error), root / marker)


# ── who may ──────────────────────────────────────────────────────────────────────────────────────────


def _rights(case: Case) -> Iterator[Finding]:
    ours = [place for place in _places(case) if place.exists()]
    if not os.access(case.path, os.R_OK):
        yield case.finding(codes.NOT_READABLE, f"{case.path} may not be read")
    shut = [place for place in (case.home, *ours) if not os.access(place, os.W_OK)]
    if shut:
        yield case.finding(codes.NOT_WRITABLE, f"may not be written: {some(shut)}", shut[0])
    owner = case.home.stat().st_uid
    strange = [place for place in ours if place.stat().st_uid != owner]
    if strange:
        named = some(f"{place.name} (user {_user(place.stat().st_uid)})" for place in strange)
        yield case.finding(codes.OWNERS, f"the folder belongs to user {_user(owner)}, but {named}", strange[0])


def _places(case: Case) -> list[Path]:
    lock = case.path.with_name(f"{case.path.name}.lock")
    return [case.path, lock, case.internal, case.files.pending, case.files.packs]


def _user(number: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


# ── beside it ────────────────────────────────────────────────────────────────────────────────────────


def _beside(case: Case) -> Iterator[Finding]:
    if not case.home.is_dir():
        return
    wal = case.path.with_name(f"{case.path.name}.wal")
    if wal.exists() and not case.path.exists():
        yield case.finding(codes.WAL_ALONE, f"{wal.name} ({wal.stat().st_size} bytes) has no database", wal)
    name = glob.escape(case.path.name)
    for aside in sorted([*case.home.glob(f"{name}.wal*.corrupt-*"), *case.home.glob(f"{name}.wal*.orphan-*")]):
        yield case.finding(codes.WAL_ASIDE, f"{aside.stat().st_size} bytes were set aside", aside)
    unfinished = [path for path in _unfinished(case, name) if _age(path, case.now) > _UNFINISHED]
    if unfinished:
        what = f"left by a killed process: {some(path.name for path in unfinished)}"
        yield case.finding(codes.LEFTOVER, what, unfinished[0])


def _unfinished(case: Case, name: str) -> Iterator[Path]:
    """Yield what is being made beside the database, or was: all of it is hidden, and has its name in front."""
    yield from sorted(case.home.glob(f".{name}.*"))
    yield from sorted(case.home.glob(f"..{name}.*"))
    if case.internal.is_dir():
        yield from (path for path in sorted(case.internal.rglob(".*")) if path.suffix in {".new", ".tmp"})


def _age(path: Path, now: float) -> float:
    try:
        return now - path.stat().st_mtime
    except OSError:
        return 0.0
