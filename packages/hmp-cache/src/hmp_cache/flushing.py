"""Many files on the disk for the price of one flush, where the file system is known to mean it.

``fsync`` of 2000 small files took 0.31 s one after the other, 0.17 s from 16 threads, and one ``syncfs`` 0.02 s (ext4).
The price of ``syncfs`` is that it waits for what others have written to the same file system too: a few files are
flushed one by one.
"""

from __future__ import annotations

import ctypes
import os
import platform
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hmp_core.durable import fsync_place, translated
from hmp_core.filesystem import filesystem_of

#: Where ``syncfs`` waits for the data and the journal. A FUSE server is not told of it at all.
_MEANT = frozenset({"ext4", "xfs", "btrfs"})
#: Before, the kernel did not tell ``syncfs`` of data that it could not write (syncfs(2)).
_TOLD_SINCE = (5, 8)
_FEW = 64
_THREADS = 16


def flush(files: Sequence[str], folder: Path) -> None:
    """Return when all these files, which lie below ``folder``, are on the disk; their names are not looked after.

    Raises
    ------
    StorageError, NotWritable
        If the disk did not take them.
    """
    with translated(folder):
        if len(files) > _FEW and _is_meant(folder):
            _sync_all(folder)
            return
        with ThreadPoolExecutor(_THREADS) as threads:
            for _ in threads.map(fsync_place, files):
                pass


def _is_meant(folder: Path) -> bool:
    found = filesystem_of(folder)
    version = re.match(r"(\d+)\.(\d+)", platform.release())
    new = version is not None and (int(version[1]), int(version[2])) >= _TOLD_SINCE
    return new and found is not None and found.type in _MEANT and platform.system() == "Linux"


def _sync_all(folder: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)  # Python has no syncfs
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if libc.syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(folder))
    finally:
        os.close(descriptor)
