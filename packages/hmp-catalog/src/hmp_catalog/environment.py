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
from typing import TYPE_CHECKING, Any

from hmp_catalog.inputs import settled_hash
from hmp_catalog.plain import printable
from hmp_core.errors import PathNotFound
from hmp_core.identity import sha256_bytes
from hmp_core.locks import this_process
from hmp_core.paths import to_local

if TYPE_CHECKING:
    from hmp_catalog.records import RunSpec


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
        "conda_env_hash": _conda(),
        "command": Path(sys.argv[0]).name if sys.argv and sys.argv[0] else "",
    }
    return {name: printable(value) if isinstance(value, str) else value for name, value in known.items()}


def capture(project: Path | None = None) -> dict[str, Any]:
    """Return the environment of this process as plain values.

    ``git_commit`` is that of the folder the process runs in; it and ``git_dirty`` are None outside a repository;
    ``project_git_commit`` is that of the project, which may be a repository of its own.
    """
    commit, dirty = _code()
    own = None if project is None else _lately(project)[0]
    return _capture(os.getpid()) | {"git_commit": commit, "git_dirty": dirty, "project_git_commit": own}


def commit_of(project: Path) -> str | None:
    """Return the commit of a project as it was at most half a minute ago; None if it is in no repository."""
    return _lately(project)[0]


def user_name() -> str:
    """Return what the operating system calls who runs this process: ``uid:<number>`` where it has no name for it."""
    return _user() or f"uid:{os.getuid()}"


def solver_facts(spec: RunSpec, workspace: Path) -> dict[str, Any]:
    """Return what is known of the programs that computed a run; each file is hashed once per process.

    Raises
    ------
    PathNotFound
        If the binary that was named is not there.
    """
    said = {"solver_version_text": spec.solver_version, "additional_solvers": spec.additional_solvers}
    if spec.solver_binary is None:
        return said | {"solver_binary_path": None, "solver_binary_sha256": None}
    file = to_local(spec.solver_binary)
    if not file.is_file():
        message = f"{file}: no such solver"
        raise PathNotFound(message, path=str(file))
    real = Path(os.path.realpath(file))
    # outside the workspace only its name is the same on another machine
    place = real.relative_to(workspace).as_posix() if real.is_relative_to(workspace) else real.name
    return said | {"solver_binary_path": printable(place), "solver_binary_sha256": settled_hash(real)}


#: (process, folder) -> when git was asked, and its answer
_asked: dict[tuple[int, str], tuple[float, tuple[str | None, bool | None]]] = {}


def _code() -> tuple[str | None, bool | None]:
    """Return commit and whether there are changes, as they were at most half a minute ago.

    Asking takes 10 ms, which a loop of fast runs cannot spare; a notebook that is open all day sees its commits.
    """
    try:
        return _lately(Path.cwd())
    except FileNotFoundError:
        return None, None  # the folder this process runs in was removed


def _lately(folder: Path) -> tuple[str | None, bool | None]:
    here = (os.getpid(), str(folder))
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


def _conda() -> str | None:
    """Return the hash of what conda says is installed: name, version and build of each package."""
    home = Path(os.environ.get("CONDA_PREFIX", "/nowhere")) / "conda-meta"
    names = sorted(file.name for file in home.glob("*.json"))
    return sha256_bytes("\n".join(names).encode()) if names else None


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
