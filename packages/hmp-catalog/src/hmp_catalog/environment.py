"""What a run was made with: interpreter, packages, code, host. Most is captured once per process, not per run."""

from __future__ import annotations

import getpass
import os
import platform
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any

from hmp_catalog.plain import printable
from hmp_core.locks import this_process


@cache
def _capture(pid: int) -> dict[str, Any]:  # noqa: ARG001 - a child captures anew
    known = {
        "python_version": platform.python_version(),
        "hmp_version": _packages().get("hmp-catalog", ""),
        "platform": platform.platform(),
        "hostname": this_process().host,
        "user_name": _user(),
        "cpu_info": {"machine": platform.machine(), "cores": os.cpu_count()},
        "memory_gb": _memory(),
        "packages": _packages(),
        "command": Path(sys.argv[0]).name if sys.argv and sys.argv[0] else "",
    }
    return {name: printable(value) if isinstance(value, str) else value for name, value in known.items()}


def capture() -> dict[str, Any]:
    """Return the environment of this process as plain values.

    ``git_commit`` is that of the folder the process runs in; it and ``git_dirty`` are None outside a repository.
    """
    commit, dirty = _code()
    return _capture(os.getpid()) | {"git_commit": commit, "git_dirty": dirty}


#: (process, folder) -> when git was asked, and its answer
_asked: dict[tuple[int, str], tuple[float, tuple[str | None, bool | None]]] = {}


def _code() -> tuple[str | None, bool | None]:
    """Return commit and whether there are changes, as they were at most half a minute ago.

    Asking takes 10 ms, which a loop of fast runs cannot spare; a notebook that is open all day sees its commits.
    """
    try:
        here = (os.getpid(), os.getcwd())
    except FileNotFoundError:
        return None, None  # the folder this process runs in was removed
    then, answer = _asked.get(here, (0.0, (None, None)))
    if here not in _asked or time.monotonic() - then > _LATELY:
        answer = _git(Path(here[1]))
        _asked[here] = (time.monotonic(), answer)
    return answer


_LATELY = 30.0


@cache
def _packages() -> dict[str, str]:
    from importlib.metadata import distributions

    # a folder that was left half removed has neither name nor version
    found = {d.metadata["Name"]: d.metadata["Version"] for d in distributions() if {"Name", "Version"} <= {*d.metadata}}
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


def _user() -> str | None:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return None


def _memory() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError):
        return None


def _git(folder: Path) -> tuple[str | None, bool | None]:
    commit = _ask_git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None, None
    changes = _ask_git(folder, "status", "--porcelain", "--untracked-files=no")
    return commit, None if changes is None else bool(changes)


def _ask_git(folder: Path, *words: str) -> str | None:
    try:
        answer = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None
