"""What changed in a local folder since the last push or pull, and the files of one tree put into another."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hmp_catalog.datasets.history import documents, trees
from hmp_catalog.datasets.remote.standing import MARK


@dataclass(frozen=True, slots=True)
class Changed:
    """A variable that changed here, or with an empty name the data set itself.

    Attributes
    ----------
    variable : str
        Its name.
    kind : str
        ``added``, ``removed`` or ``changed``.
    files : tuple of str
        The files that are others now: documents, chunks or shards.
    nbytes : int
        What they take here.
    """

    variable: str
    kind: Literal["added", "removed", "changed"]
    files: tuple[str, ...]
    nbytes: int


def names(base: Path | None, folder: Path) -> set[str]:
    """Return the files that differ; documents differ by what they say, others by being another file."""
    found = trees.changed(trees.inventory(base), trees.inventory(folder))
    return {name for name in found if not hidden(name) and not _says_the_same(base, folder, name)}


def _says_the_same(base: Path | None, folder: Path, name: str) -> bool:
    if base is None or not document(name):
        return False
    before, now = (documents.read((each / name).parent) for each in (base, folder))
    return before is not None and before == now


def changes(base: Path | None, folder: Path) -> list[Changed]:
    """Return what changed, by variable."""
    found: dict[str, list[str]] = {}
    for name in sorted(names(base, folder)):
        found.setdefault(name.rpartition("/")[0].partition("/")[0], []).append(name)
    return [_changed(variable, files, base, folder) for variable, files in sorted(found.items())]


def _changed(variable: str, files: list[str], base: Path | None, folder: Path) -> Changed:
    before, now = (each is not None and (each / variable / documents.NAME).is_file() for each in (base, folder))
    kind: Literal["added", "removed", "changed"] = "changed" if before and now else "added" if now else "removed"
    sizes = [os.stat(folder / name).st_size for name in files if (folder / name).is_file()]
    return Changed(variable, kind, tuple(files), sum(sizes))


def document(name: str) -> bool:
    """Whether a file makes a folder a group or an array."""
    return name.rpartition("/")[2] == documents.NAME


def hidden(name: str) -> bool:
    """Whether a file is no part of the data set."""
    return any(part.startswith(".") for part in name.split("/"))


def mirror(source: Path, folder: Path) -> None:
    """Make the tree of a session the same as another: links to its files; the mark stays."""
    wanted, found = trees.inventory(source), trees.inventory(folder)
    for name in found.keys() - wanted.keys() - {MARK}:
        os.unlink(folder / name)
    for name, inode in wanted.items():
        if found.get(name) != inode:
            (folder / name).unlink(missing_ok=True)
            os.makedirs((folder / name).parent, exist_ok=True)
            trees.link(source / name, folder / name)
    trees.remove_empty(folder)
