"""Files of observations, of which many become one: a logger that is read each hour adds 9000 of them a year.

A bundle is a pack (see `hmp_catalog.packs`) beside the files, whose name tells which it holds; each stays as it was
added, byte by byte, and is read in place. Rows and log do not know of it: they name the file, which is looked for here.

Steps of bundling: the new bundle, with all that former ones hold, is written beside, read back and put in place; then
the loose files go, then the former bundles. A process may die between any two: whatever a row names is in one of them,
and bundling again does what is left.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from hmp_catalog import packs
from hmp_catalog.packs import Packed
from hmp_catalog.turns import alone
from hmp_core.durable import fsync_folder, translated
from hmp_core.errors import CorruptError
from hmp_core.identity import sha256_bytes, sha256_file
from hmp_core.paths import from_relative

_HEAD, _ENDING = "bundle-", ".zip"
#: Fewer are not worth a bundle.
_FEWEST = 2


def find(project: Path, relative: str) -> Path | Packed | None:
    """Return where a file of observations lies: at its place, or in a bundle there; None if it is in neither."""
    loose = from_relative(relative, project)
    if loose.exists():
        return loose
    inside = (Packed(bundle, loose.name) for bundle in _bundles(loose.parent))
    return next((packed for packed in inside if packed.exists()), None)


def size(file: Path | Packed) -> int:
    """Return how many bytes a file has, wherever it lies."""
    return file.size() if isinstance(file, Packed) else file.stat().st_size


def bundle(folder: Path, known: Mapping[str, str]) -> int:
    """Make one bundle of the files in a folder, and return how many were loose before.

    Parameters
    ----------
    folder
        That of a variable.
    known
        Name -> SHA-256 of the files that the catalog speaks of; others are left, and so is one that has other bytes.

    Raises
    ------
    CorruptError
        If a former bundle is damaged, or the new one is not read back as it was written; nothing is removed.
    StorageError, NotWritable
        If there is no room or no right to write; nothing is removed.
    """
    with translated(folder), alone(folder):
        loose = {name: folder / name for name, sha in known.items() if _is(folder / name, sha)}
        former = _bundles(folder)
        members: dict[str, Path | Packed] = {}
        for each in former:
            members |= {name: Packed(each, name) for name in packs.index(each).members}
        half_done = len(former) > 1 or loose.keys() & members.keys()
        if len(loose) < _FEWEST and not half_done:
            return 0
        members |= loose
        whole = folder / f"{_HEAD}{sha256_bytes(chr(10).join(sorted(members)).encode())[:16]}{_ENDING}"
        # one that was added again, because what is packed of it is damaged, takes its place
        if whole not in former or any(packs.sha256(Packed(whole, name)) != known[name] for name in loose):
            _write(whole, members)
        for gone in [*loose.values(), *(each for each in former if each != whole)]:
            gone.unlink()
        fsync_folder(folder)
        return len(loose)


def _write(whole: Path, members: Mapping[str, Path | Packed]) -> None:
    beside = whole.with_name(f".{whole.name}.{secrets.token_hex(4)}.tmp")
    try:
        hashes = packs.write(beside, sorted(members.items()), {})
        for name, sha in hashes.items():
            if packs.sha256(Packed(beside, name)) != sha:
                message = f"{whole}: {name} is not read back as it was written; the disk may be failing"
                raise CorruptError(message, path=str(whole))
        os.replace(beside, whole)
        fsync_folder(whole.parent)
    finally:
        beside.unlink(missing_ok=True)


def _bundles(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"{_HEAD}*{_ENDING}"))


def _is(file: Path, sha256: str) -> bool:
    return file.is_file() and sha256_file(file) == sha256
