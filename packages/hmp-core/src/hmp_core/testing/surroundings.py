"""Hostile surroundings for tests: a disk that is full, a medium that may only be read, another user, another namespace.

They are real, so most need the rights of root; where those are missing the test that asks is skipped, with the reason.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

#: A user and two groups that own nothing here.
STRANGER = 65534
FRIEND = 65532
GROUP = 65531


@contextlib.contextmanager
def small_disk(size: str = "2m") -> Iterator[Path]:
    """Give a folder on a disk of its own with room for ``size`` bytes, as ``mount -o size=`` understands it."""
    folder = Path(tempfile.mkdtemp()).resolve()
    _mount("-t", "tmpfs", "-o", f"size={size},mode=0755", "tmpfs", str(folder))
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
        folder.rmdir()


@contextlib.contextmanager
def read_only_medium(folder: Path) -> Iterator[Path]:
    """Give the content of ``folder`` as a medium that nobody can write, root included."""
    with second_mount(folder) as place:
        _mount("-o", "remount,bind,ro", str(place))
        yield place


@contextlib.contextmanager
def second_mount(folder: Path) -> Iterator[Path]:
    """Give a second path to ``folder``, which is no link."""
    place = Path(tempfile.mkdtemp()).resolve()
    _mount("--bind", str(folder), str(place))
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)
        place.rmdir()


def _mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False) if _root() else None
    if done is None or done.returncode:
        os.rmdir(arguments[-1])
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip() if done else 'only root mounts'}")


def fill(folder: Path, *, leaving: int = 0) -> Path:
    """Fill the disk of ``folder`` but for ``leaving`` bytes, and return the file that does it."""
    ballast = folder / "ballast"
    with ballast.open("ab", buffering=0) as file:
        for piece in (65536, 4096):
            with contextlib.suppress(OSError):
                while _free(folder) > leaving:
                    file.write(b"\0" * min(piece, max(1, _free(folder) - leaving)))
    return ballast


def _free(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def require_root(why: str) -> None:
    """Skip the test where it is not root's."""
    if not _root():
        pytest.skip(f"only root can {why}")


def _root() -> bool:
    return os.geteuid() == 0


def become(user: int, *, groups: Sequence[int] = (), umask: int = 0o022) -> None:
    """Be another user from now on, for good: in a child."""
    os.setgroups(list(groups))
    os.setgid(groups[0] if groups else user)
    os.setuid(user)
    os.umask(umask)


#: Runs a program in a pid namespace of its own, where /proc knows it alone.
_UNSHARED = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")


def in_another_namespace(code: str, *arguments: str) -> subprocess.Popen[str]:
    """Start Python with ``code`` and ``arguments`` in another pid namespace; its pipes are text.

    The process ends with what started it. Use it in a ``with`` block.
    """
    if not _root() or _cannot_unshare():
        pytest.skip("no pid namespace can be made here")
    command = [*_UNSHARED, sys.executable, "-P", "-c", code, *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def _cannot_unshare() -> bool:
    try:
        return subprocess.run([*_UNSHARED, "true"], capture_output=True, check=False).returncode != 0
    except OSError:
        return True
