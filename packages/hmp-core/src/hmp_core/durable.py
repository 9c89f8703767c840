"""Files that are whole or absent: written beside, flushed to disk, then put in place in one step."""

from __future__ import annotations

import contextlib
import errno
import grp
import os
import pwd
import secrets
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hmp_core.errors import HmpError, NotWritable, PathNotFound, PathTaken, StorageError


def fsync_folder(folder: Path) -> None:
    """Flush a folder, so that the names just made in it survive a power cut."""
    fsync_place(folder)


def fsync_place(place: Path | str) -> None:
    """Flush a file that nobody has open any more, or a folder."""
    descriptor = os.open(place, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it that are missing, and flush the names just made.

    Raises
    ------
    NotWritable, StorageError
        If it cannot be made; a file may be in its place.
    """
    if os.path.isdir(folder):
        return
    with translated(folder):
        missing = [folder, *(parent for parent in folder.parents if not parent.exists())]
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, FileNotFoundError) as error:  # /proc says "no such file" to whoever makes one
            message = f"{folder} cannot be made: {error.strerror}; check the path"
            raise NotWritable(message, path=str(folder)) from error
        for made in missing:
            with contextlib.suppress(PermissionError):  # one may write into a folder that one may not list
                fsync_folder(made.parent)


def write_atomic(path: Path, data: bytes, *, overwrite: bool = True) -> bool:
    """Write ``data`` to ``path`` so that a reader sees all of it or nothing, and flush it to disk.

    Returns
    -------
    bool
        False if ``overwrite`` is off and the file was already there (it is left as it is).

    Raises
    ------
    StorageError
        If the disk is full or fails; ``path`` keeps its former content.
    NotWritable
        If the folder may not be written.
    PathNotFound
        If there is no such folder.
    """
    beside = path.with_name(f".{path.name[:200]}.{secrets.token_hex(4)}.tmp")
    with translated(path):
        try:
            with beside.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if overwrite:
                os.replace(beside, path)
            elif not _link(beside, path):
                return False
            fsync_folder(path.parent)
        finally:
            beside.unlink(missing_ok=True)
    return True


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Give a place for a file that goes to ``path`` when it is whole; what is there already is left as it is.

    Raises
    ------
    PathTaken
        If there is something.
    PathNotFound
        If its folder is not there.
    StorageError, NotWritable
        If it cannot be written.
    """
    if path.exists() or path.is_symlink():
        raise _taken(path)
    if not path.parent.is_dir():
        message = f"{path.parent}: no such folder"
        raise PathNotFound(message, path=str(path.parent))
    draft = path.with_name(f".{path.name[:200]}.{secrets.token_hex(4)}.tmp")
    with translated(path):
        try:
            yield draft
            fsync_place(draft)
            if not _link(draft, path):
                raise _taken(path)
            fsync_folder(path.parent)
        finally:
            draft.unlink(missing_ok=True)


def _taken(path: Path) -> PathTaken:
    message = f"{path} is there already; take another name, or remove it yourself"
    return PathTaken(message, path=str(path))


def _link(beside: Path, path: Path) -> bool:
    try:
        os.link(beside, path)
    except FileExistsError:
        return False
    return True


#: What the operating system means by "there is no room", and by "not here".
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG}
_NOT_HERE = {errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.ENOLCK, errno.ENOTSUP}


@contextlib.contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn what the operating system says about writing ``path`` into errors of hmp."""
    try:
        yield
    except HmpError:
        raise  # some are OSErrors too, and say more than we could
    except OSError as error:
        if (ours := _ours(error, path)) is None:
            raise
        raise ours from error


def _ours(error: OSError, path: Path) -> HmpError | None:
    if error.errno in _NO_ROOM:
        message = f"{path} could not be written: {error.strerror}; free some space and try again"
        return StorageError(message, path=str(path))
    if isinstance(error, FileNotFoundError):
        message = f"{error.filename or path}: no such file or folder; it may have been moved or removed"
        return PathNotFound(message, path=str(error.filename or path))
    if isinstance(error, PermissionError) or error.errno in _NOT_HERE:
        message = f"{path} cannot be written: {error.strerror}; {right_to_write(path)}"
        return NotWritable(message, path=str(path))
    return None


def refusal(error: OSError) -> HmpError:
    """Return the error of hmp that stands for what the operating system refused where nobody thought of it."""
    where = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else ""
    said = error.strerror or str(error)
    if isinstance(error, PermissionError):
        message = f"{where or 'something'} is closed to this user: {said}; {right_to_write(Path(where))}"
        return NotWritable(message, path=where)
    message = f"{where}: {said}" if where else said
    return StorageError(message, path=where)


def right_to_write(path: Path) -> str:
    """Say what to do where ``path`` may not be written: by whom it is owned, and how a group shares it."""
    found = next((each for each in (path, *path.parents) if _stat(each) is not None), None)
    told = None if found is None else _stat(found)
    if found is None or told is None or os.access(found, os.W_OK) or told.st_uid == os.geteuid():
        return "check the path and who owns the folder"
    owner, group = _name(pwd.getpwuid, told.st_uid), _name(grp.getgrgid, told.st_gid)
    mode = stat.filemode(told.st_mode)
    return (
        f"{found} belongs to {owner}, group {group} ({mode}): to share a workspace within a group, its owner runs "
        "`chmod -R g+rwX` on it and everybody works with `umask 002`"
    )


def _stat(path: Path) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None


def _name(entry: Callable[[int], Sequence[Any]], number: int) -> str:
    """Return what a user or a group is called here; its number where it has no name."""
    try:
        return str(entry(number)[0])
    except KeyError:
        return str(number)
