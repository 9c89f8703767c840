"""What a folder lies on: the type of its file system, and whether the locks there can be trusted.

``flock`` may be a no-op on a network file system, or hold among the processes of one host alone. There one host
folds and every other appends (see `hmp_core.events.host`).
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_log = logging.getLogger(__name__)

#: Where the kernel lists what is mounted, as this process sees it (Linux; proc(5)).
MOUNTS = Path("/proc/self/mountinfo")

#: File systems that several hosts may have mounted at once.
NETWORK = frozenset(
    re.findall(
        r"\S+",
        """
        9p acfs afs beegfs ceph cifs coda davfs gfs gfs2 gpfs lustre ncpfs nfs nfs4 ocfs2 orangefs panfs prl_fs pvfs2
        smb2 smb3 smbfs vboxsf virtiofs wekafs
        fuse.beegfs fuse.ceph fuse.cvmfs fuse.davfs fuse.gcsfuse fuse.glusterfs fuse.juicefs fuse.mfs fuse.moosefs
        fuse.rclone fuse.s3fs fuse.smbnetfs fuse.sshfs fuse.vmhgfs-fuse
        """,
    )
)

#: File systems that are gone when the machine is switched off.
VOLATILE = frozenset({"ramfs", "tmpfs"})

_ESCAPED = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class FileSystem:
    """What a path lies on."""

    #: as the kernel calls it: "ext4", "nfs4", "overlay", "fuse.sshfs"
    type: str
    #: where it is mounted
    mount: Path
    #: whether other hosts may use it at the same time
    network: bool
    read_only: bool

    @property
    def volatile(self) -> bool:
        """Whether it lives in memory alone."""
        return self.type in VOLATILE


@dataclass(frozen=True, slots=True)
class _Mount:
    device: str
    found: FileSystem


def filesystem_of(path: Path) -> FileSystem | None:
    """Return what ``path`` lies on, links followed; it need not exist. None where this system does not tell.

    Examples
    --------
    >>> filesystem_of(Path("/proc/self")).type
    'proc'
    """
    try:
        text = MOUNTS.read_bytes().decode(errors="surrogateescape")
    except OSError:
        return None
    real = Path(os.path.realpath(path))
    # the last of those that were mounted at one place hides the others
    above = [mount for mount in _mounts(text) if real.is_relative_to(mount.found.mount)][::-1]
    above.sort(key=lambda mount: len(mount.found.mount.parts), reverse=True)
    # a mount below a folder that was mounted over later is listed, and cannot be reached; a btrfs subvolume has a
    # device of its own that is listed nowhere
    device = _device(real)
    best = next((mount for mount in above if mount.device == device), above[0] if above else None)
    return best.found if best else None


def _mounts(text: str) -> Iterator[_Mount]:
    for line in text.split("\n"):
        ours, _, theirs = line.partition(" - ")
        first, last = ours.split(" "), theirs.split(" ")
        if len(first) < 6 or len(last) < 3:
            continue
        kind, options = last[0], {*first[5].split(","), *last[2].split(",")}
        yield _Mount(first[2], FileSystem(kind, Path(_plain(first[4])), kind in NETWORK, "ro" in options))


def _plain(escaped: str) -> str:
    """Return a path as it is: blanks, tabs, line breaks and backslashes are listed as octal numbers."""
    return _ESCAPED.sub(lambda found: chr(int(found[1], 8)), escaped)


def _device(path: Path) -> str:
    for place in (path, *path.parents):
        try:
            number = os.stat(place).st_dev
        except OSError:
            continue
        return f"{os.major(number)}:{os.minor(number)}"
    return ""


#: Folders that were looked at already, and mounts that were warned of; the child of a fork knows them too.
_asked: set[Path] = set()
_warned: set[Path] = set()


def warn_of_network(folder: Path) -> None:
    """Say in the log, once for each mount and process, that the locks in ``folder`` may not be trusted.

    Nothing is said where the workspace names the host that folds, or the environment decides.
    """
    if folder in _asked:
        return
    _asked.add(folder)
    found = filesystem_of(folder)
    if found is None or not found.network or found.mount in _warned:
        return
    from hmp_core.events.host import is_decided

    if not is_decided(folder):
        _warned.add(found.mount)
        _log.warning(
            "%s is on a network file system (%s, mounted at %s): locks may not hold between hosts; name the one host "
            'that folds in workspace.toml ([fold] host = "..."), or set HMP_FOLD=never on every other',
            folder,
            found.type,
            found.mount,
        )
