"""Where the bytes of each version lie, and the few moves that bring them there.

::

    data/<variable>/<source>/<file>               the current version, where a person would look
    data/<variable>/<source>/<file>.hmp.json      its sidecar
    data/.versions/<sha256>                       the bytes of superseded versions
    data/.rejected/<8 hex>-<file>                 what did not pass validation
    data/.registered/<entry id>.hmp.json          sidecars of files that stay where their owner has them
    data/.incoming/                               what is on its way in: never read as data

Every move is one rename of a flushed file; none touches a file that the cache did not make.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from hmp_cache.incoming import Incoming
from hmp_cache.signature import Bytes
from hmp_core.durable import fsync_folder, make_folder, translated
from hmp_core.errors import PathEscape
from hmp_core.identity import sha256_file, slug
from hmp_core.paths import from_relative, to_relative

if TYPE_CHECKING:
    from hmp_core.protocols import AuthBackend

#: What a sidecar's name ends in.
SIDECAR = ".hmp.json"

#: Seconds after which a half-written file is nobody's: writing one takes milliseconds.
_LONG = 3600.0
_PLAIN = re.compile(r"[^\x00-\x1f\x7f/\\:*?\"<>|]+")


class Shelf:
    """The ``data`` folder of a workspace.

    Parameters
    ----------
    workspace : Path
        The workspace folder.
    auth : AuthBackend, optional
        Who was given at the door; the records of what lies here take it with them.
    """

    def __init__(self, workspace: Path, auth: AuthBackend | None = None) -> None:
        self.auth = auth
        self.workspace = Path(os.path.realpath(workspace))
        self.data = self.workspace / "data"
        self.versions = self.data / ".versions"
        self.rejected = self.data / ".rejected"
        self.registered = self.data / ".registered"
        self.incoming = Incoming(self.data / ".incoming")

    # ── names ────────────────────────────────────────────────────────────────────────────────────────

    def relative(self, path: Path) -> str:
        """Return a path as it is kept: POSIX, relative to the workspace."""
        return to_relative(path, self.workspace)

    def local(self, kept: str) -> Path:
        """Return where a kept path lies on this machine."""
        return from_relative(kept, self.workspace)

    def within(self, kept: str) -> Path | None:
        """Return the same; None where a link leads out of the workspace: nothing that lies there is the cache's."""
        try:
            return self.local(kept)
        except PathEscape:
            return None

    def version(self, sha256: str) -> Path:
        """Return where a superseded version lies, or would."""
        return self.versions / sha256

    def home(self, variable: str, source: str) -> Path:
        """Return the folder of the files of a source."""
        return self.data / variable / source

    def candidates(self, variable: str, source: str, file_name: str, entry: UUID) -> Iterator[Path]:
        """Yield where a file may go, best first: under its own name, then with digits of its entry's id."""
        home, name = self.home(variable, source), safe_name(file_name)
        head, dot, suffix = name.rpartition(".")
        head, suffix = (head, dot + suffix) if head else (name, "")
        yield home / name
        for digits in (8, 32):
            yield home / f"{head}~{entry.hex[:digits]}{suffix}"

    # ── on the way in ────────────────────────────────────────────────────────────────────────────────

    def sweep(self) -> None:
        """Remove half-written files whose writers have been gone for long."""
        for folder in (self.incoming.folder, self.versions, self.rejected, self.registered):
            for leftover in folder.glob(".*.tmp"):
                with contextlib.suppress(FileNotFoundError):
                    if time.time() - leftover.stat().st_mtime > _LONG:
                        leftover.unlink()

    # ── moves ────────────────────────────────────────────────────────────────────────────────────────

    def keep_version(self, path: Path, known: Bytes, *, link: bool = True) -> None:
        """Make sure that the bytes of ``path`` stay when it is replaced: under their SHA-256 in ``.versions``.

        A file that its owner may still write to is copied, not linked.
        """
        same = known.unchanged(path)
        if same is None:
            return
        kept = self.version(known.sha256 if same else sha256_file(path))
        if kept.exists():
            return
        with translated(kept):
            make_folder(self.versions)
            _link_or_copy(path, kept, link=link)
            fsync_folder(self.versions)

    def put(self, source: Path, target: Path) -> None:
        """Move ``source`` to ``target`` in one step, replacing what is there."""
        with translated(target):
            make_folder(target.parent)
            _move(source, target)
            fsync_folder(target.parent)

    def set_aside(self, staged: Path, sha256: str, file_name: str) -> Path:
        """Move bytes that are not to be served out of the way, and return where they are."""
        target = self.rejected / f"{sha256[:8]}-{safe_name(file_name)}"
        self.put(staged, target)
        return target


def move_file(source: str, target: str, *, replaces: bool) -> None:
    """Move a file in one step; what is at ``target`` makes way, or stays. The name is not flushed."""
    if replaces:
        _move(source, target)
        return
    if not os.path.exists(target):
        _link_or_copy(Path(source), Path(target), link=True)
    os.unlink(source)


def _link_or_copy(path: Path, target: Path, *, link: bool) -> None:
    if link:
        try:
            os.link(path, target)
        except FileExistsError:
            return
        except OSError as error:
            if error.errno not in {errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS}:
                raise
        else:
            return
    _copy(path, target)


def _move(source: Path | str, target: Path | str) -> None:
    try:
        os.replace(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy(Path(source), Path(target))
        os.unlink(source)


def _copy(source: Path, target: Path) -> None:
    """Copy so that ``target`` appears whole."""
    beside = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        shutil.copy2(source, beside)
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(beside, target)
    finally:
        beside.unlink(missing_ok=True)


def safe_name(file_name: str) -> str:
    """Return a file name that any file system takes and that is no internal name of the cache.

    Examples
    --------
    >>> safe_name("Débit 2001.csv"), safe_name("a:b?.csv"), safe_name(".hidden.csv")
    ('Débit 2001.csv', 'a-b.csv', 'hidden.csv')
    """
    name = file_name.lstrip(".").rstrip(". ")
    if name.lower().endswith(SIDECAR):  # it would be taken for what is said of another file, and replaced by that
        name = f"{name[: -len(SIDECAR)]}-hmp.json"
    if _PLAIN.fullmatch(name) and len(name.encode(errors="surrogateescape")) <= 180 and _is_unicode(name):
        return name
    head, dot, suffix = name.rpartition(".")
    if not dot or len(suffix) > 16:
        return slug(name, length=100)
    return f"{slug(head, length=100)}.{slug(suffix)}"


def _is_unicode(name: str) -> bool:
    return not any("\ud800" <= c <= "\udfff" for c in name)
