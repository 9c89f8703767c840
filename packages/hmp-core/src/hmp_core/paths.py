"""From what a user types to a local path, and from a local path to what a database may keep.

Doors take ``str | Path | UPath``. Local paths and ``file://`` URIs become ``pathlib.Path`` here, at the
border; every other scheme is refused before anything is created. What goes into a database is POSIX and
relative to the workspace, and cannot leave it in either direction.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from hmp_core.errors import InvalidInput, PathEscape, UnsupportedScheme

if TYPE_CHECKING:
    from upath import UPath

#: Bytes that the name of a file or folder may have on the file systems we know.
_LONGEST = 255

_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+):(?://|(?=[^/\\]))")


def to_local(path: str | Path | UPath) -> Path:
    """Return the absolute local path that ``path`` names.

    Parameters
    ----------
    path : str, Path or UPath
        A local path, ``~`` included, or a ``file://`` URI (percent-decoded).

    Raises
    ------
    UnsupportedScheme
        For any other scheme or a ``file://`` URI of another host. It is a ``NotImplementedError``.
    InvalidInput
        For an empty path, one with a NUL byte or a name of more than 255 bytes, the home of an unknown user, or a
        ``file://`` URI with a query or fragment (write ``%3F`` and ``%23``).

    Examples
    --------
    >>> to_local("file:///tmp/a%20b").as_posix()
    '/tmp/a b'
    >>> to_local("s3://bucket/catchment")
    Traceback (most recent call last):
        ...
    hmp_core.errors.UnsupportedScheme: s3://bucket/catchment: hmp keeps its files on a local file system...
    """
    text = _plain(_as_text(path))
    if text.lower().startswith("file:"):
        return _from_file_uri(text)
    if not isinstance(path, Path) or re.match(r"^[A-Za-z][A-Za-z0-9+.-]+:/", text):
        found = _SCHEME.match(text) or re.match(r"^([A-Za-z][A-Za-z0-9+.-]+):/", text)
        if found:
            raise _refused(text)
    try:
        return Path(os.path.abspath(Path(text).expanduser()))
    except RuntimeError as error:
        message = f"{text}: {error}; write the path out in full"
        raise InvalidInput(message) from error


def _plain(text: str) -> str:
    if not text or "\0" in text:
        message = f"{text!r} is not a path: expected a local path or a file:// URI"
        raise InvalidInput(message)
    try:
        names = [len(name.encode()) for name in text.split("/")]
    except UnicodeEncodeError as error:
        message = f"{text!r}: the name is no Unicode text; rename the file or folder"
        raise InvalidInput(message) from error
    if max(names) > _LONGEST:
        message = f"{text[:60]!r}...: a name of {max(names)} bytes; file systems allow {_LONGEST}"
        raise InvalidInput(message)
    return text


def _as_text(path: str | Path | UPath) -> str:
    if isinstance(path, (str, Path)):
        return str(path)
    if hasattr(path, "protocol") and hasattr(path, "path"):
        # a UPath: its own text has lost neither the scheme nor the percent signs
        return str(path) if path.protocol else str(path.path)
    message = f"{path!r} is not a path: expected str, pathlib.Path or UPath, got {type(path).__name__}"
    raise InvalidInput(message)


def _from_file_uri(uri: str) -> Path:
    from urllib.request import url2pathname  # 20 ms to import, and most paths are no URI

    try:
        parts = urlsplit(uri)
    except ValueError as error:
        message = f"{uri}: not a URI: {error}"
        raise InvalidInput(message) from error
    if parts.netloc not in {"", "localhost"}:
        raise _refused(uri)
    if parts.query or parts.fragment:
        message = f"{uri}: write ? as %3F and # as %23 in a file URI; what follows them would be lost"
        raise InvalidInput(message)
    local = _plain(url2pathname(parts.path))
    if not local.startswith(("/", "\\")) and not re.match(r"^[A-Za-z]:", local):
        message = f"{uri}: a file URI names an absolute path, as in file:///home/me/catchments"
        raise InvalidInput(message)
    return Path(os.path.abspath(local))


def _refused(uri: str) -> UnsupportedScheme:
    message = f"{uri}: hmp keeps its files on a local file system; pass a local path or a file:// URI of this machine"
    return UnsupportedScheme(message, uri=uri)


def to_relative(path: str | Path, root: Path) -> str:
    """Return ``path`` as POSIX text relative to ``root``: what a database or manifest keeps.

    Raises
    ------
    PathEscape
        If the path, links followed, does not lie inside ``root``, or has a name that `from_relative` refuses.
    """
    base = Path(os.path.realpath(root))
    where = Path(os.path.realpath(base / _plain(os.fspath(path))))
    try:
        text = where.relative_to(base).as_posix()
    except ValueError:
        message = f"{path}: lies outside the workspace {root}; add it to the workspace first"
        raise PathEscape(message, path=str(path)) from None
    _require_kept(text)
    return text


def from_relative(text: str, root: Path) -> Path:
    """Return the local path of a kept ``text``, refusing any that would leave ``root``.

    Raises
    ------
    PathEscape
        For an absolute path, one with ``..``, a backslash or a drive, or one whose links lead out.
    """
    _require_kept(text)
    base = Path(os.path.realpath(root))
    where = base / text
    real = Path(os.path.realpath(where))
    if base not in real.parents and real != base:
        message = f"{text!r}: leaves the workspace {root} through a link"
        raise PathEscape(message, path=text)
    return where


def _require_kept(text: str) -> None:
    """Refuse what would mean another place on another machine: the same names on the way in and out."""
    pure = PurePosixPath(text)
    drive = ":" in (pure.parts[0] if pure.parts else "")
    if not text or pure.is_absolute() or ".." in pure.parts or "\\" in text or "\0" in text or drive:
        message = f"{text!r}: a kept path is relative to the workspace, stays inside it, and has no backslash or drive"
        raise PathEscape(message, path=text)
