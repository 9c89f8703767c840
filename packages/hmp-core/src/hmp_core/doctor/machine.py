"""The machine that everything stands on: versions, file systems, free space, its clock."""

from __future__ import annotations

import os
import platform
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path

from hmp_core.backends.sqlite import engine_version
from hmp_core.doctor import codes
from hmp_core.doctor.case import Case
from hmp_core.doctor.findings import Finding
from hmp_core.events.host import fold_host, why_not_fold
from hmp_core.filesystem import FileSystem, filesystem_of
from hmp_core.layout import WORKSPACE_MARKER, anchor

#: What is told of in the first line, where it is installed.
_TOLD = ("duckdb", "pyarrow", "numpy", "pandas", "xarray", "zarr")

#: The name that requirements are told by: every distribution of hmp begins so.
_OURS = "hmp-"

#: No machine that runs this hmp is older (seconds since 1970: 2025-01-01).
_EARLIEST = 1_735_689_600

#: Bytes that should be free, whatever the size of the databases.
_ROOM = 100 << 20

_REQUIREMENT = re.compile(r"^([A-Za-z0-9._-]+)\s*(?:\[[^\]]*\])?\s*\(?([^;)]*)\)?\s*(;.*)?$")


def versions() -> dict[str, str]:
    """Return what is installed here that matters: Python, the packages of hmp, the engines."""
    found = {"python": platform.python_version()}
    found |= {name: version(name) for name in sorted(_installed())}
    for name in _TOLD:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found | {"sqlite": engine_version()}


def _installed() -> set[str]:
    names = {str(each.metadata["Name"]).lower().replace("_", "-") for each in distributions()}
    return {name for name in names if name.startswith(_OURS)}


def look(place: Path, now: float) -> Iterator[Finding]:
    """Yield what is to be said of the machine; ``place`` stands for it."""
    yield from _packages(place)
    booted = now - _uptime()
    if now < _EARLIEST or booted < _EARLIEST - 10 * 365 * 86_400:
        moment = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(now))
        yield codes.CLOCK.at(place, f"the clock says {moment} UTC, {_uptime():.0f} s after the machine was started")


def _uptime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


def _packages(place: Path) -> Iterator[Finding]:
    for ours in sorted(_installed()):
        for name, wanted in _requirements(ours):
            try:
                found = version(name)
            except PackageNotFoundError:
                yield codes.VERSIONS.at(place, f"{ours} needs {name}{wanted}, which is not installed")
                continue
            if not fits(found, wanted):
                code = codes.ENGINE if name == "duckdb" else codes.VERSIONS
                yield code.at(place, f"{ours} needs {name}{wanted}, found {found}")


def _requirements(package: str) -> Iterator[tuple[str, str]]:
    from importlib.metadata import requires

    for line in requires(package) or ():
        found = _REQUIREMENT.match(line)
        if found and not found[3]:  # what depends on an extra or on the platform need not be there
            yield found[1], found[2].strip().replace(" ", "")


def fits(found: str, wanted: str) -> bool:
    """Return whether a version is in a range such as ``>=1.5.5,<2``; what is not understood fits.

    Examples
    --------
    >>> fits("1.5.6", ">=1.5.5,<2"), fits("2.0.0", ">=1.5.5,<2"), fits("1.10", ">=1.9")
    (True, False, True)
    """
    for part in filter(None, wanted.split(",")):
        said = re.match(r"(>=|<=|==|!=|~=|>|<)([0-9.]+)(\.\*)?$", part)
        if said and not _meets(_numbers(found), said[1], _numbers(said[2]), family=bool(said[3])):
            return False
    return True


def _numbers(text: str) -> tuple[int, ...]:
    found = re.match(r"\d+(?:\.\d+)*", text)
    return tuple(int(part) for part in found[0].split(".")) if found else ()


def _meets(found: Sequence[int], sign: str, bound: Sequence[int], *, family: bool) -> bool:
    width = len(bound) if family else max(len(found), len(bound))
    ours = tuple(found[:width]) + (0,) * (width - len(found))
    theirs = tuple(bound) + (0,) * (width - len(bound))
    match sign:
        case "~=":
            return ours >= theirs and ours[: len(bound) - 1] == theirs[: len(bound) - 1]
        case "==":
            return ours == theirs
        case "!=":
            return ours != theirs
        case ">=":
            return ours >= theirs
        case "<=":
            return ours <= theirs
        case ">":
            return ours > theirs
    return ours < theirs


# ── what the databases lie on ────────────────────────────────────────────────────────────────────────


def grounds(cases: Sequence[Case]) -> Iterator[Finding]:
    """Yield what is to be said of the file systems that the databases lie on, each once."""
    told: set[Path] = set()
    for case in cases:
        if not os.access(case.home, os.R_OK | os.X_OK):
            continue  # not there, or shut: who looks at the database says so
        marker = anchor(case.home) / WORKSPACE_MARKER
        lack = why_not_fold(case.path)
        if "workspace.toml" in lack and " says that " not in lack and marker not in told:
            told.add(marker)
            yield case.finding(codes.HOST_UNKNOWN, lack, marker)
        found = filesystem_of(case.home)
        mount = found.mount if found else Path("/")
        if mount not in told:
            told.add(mount)
            yield from _space(case)
            yield from _kind(case, found) if found else ()


def _kind(case: Case, found: FileSystem) -> Iterator[Finding]:
    what = f"{case.home} lies on {found.type}, mounted at {found.mount}"
    host = fold_host(case.home)
    never = os.environ.get("HMP_FOLD", "").lower() == "never"
    if found.network and host:
        yield case.finding(codes.ONE_HOST, f"{what}; {host} folds", case.home)
    elif found.network and never:
        yield case.finding(codes.ONE_HOST, f"{what}; HMP_FOLD=never keeps this machine from folding", case.home)
    elif found.network:
        yield case.finding(codes.NETWORK, what, case.home)
    if found.read_only:
        yield case.finding(codes.READ_ONLY, what, case.home)
    if found.volatile:
        yield case.finding(codes.VOLATILE, what, case.home)


def _space(case: Case) -> Iterator[Finding]:
    size = case.path.stat().st_size if case.path.is_file() else 0
    wanted = max(_ROOM, 2 * size)
    free = shutil.disk_usage(case.home).free
    if free < wanted:
        what = f"{free >> 20} MiB are free; a rebuild and a backup may need {wanted >> 20} MiB"
        yield case.finding(codes.SPACE, what, case.home)
    names = os.statvfs(case.home)
    if names.f_files and names.f_favail < 1000:
        yield case.finding(codes.SPACE, f"{names.f_favail} more files can be made there", case.home)
