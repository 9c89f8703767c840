"""Where everything of a data set is: its versions, which of them is current, and the links that others follow."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path

from hmp_catalog.datasets.history.holding import hold
from hmp_catalog.datasets.history.trees import remove_tree, symlink
from hmp_core.durable import fsync_folder
from hmp_core.errors import PathTaken

#: The document that makes a folder a group or an array (Zarr v3).
ROOT = "zarr.json"

HIDDEN, CURRENT = ".versions", "current"

#: Where ``current`` leads before the first commit became one: a version there is that of a commit that died. Where
#: there is no ``current`` at all beside a version, it was lost.
_NEVER = "nothing"

#: The folder beside the versions with what was fetched from behind a URL.
HOME = "remote"

_NUMBER = re.compile(r"\d{8,}")
_LOCK = re.compile(r"\d{8,}\.lock")
_WORK = re.compile(r"work-[0-9a-f]{16}(\.lock)?")
_DEAD = re.compile(r"dead-[0-9a-f]{16}")


class Layout:
    """The folder of a data set, as it is on disk now. Nothing is kept in memory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.hidden = root / HIDDEN

    # ── what there is ────────────────────────────────────────────────────────────────────────────────

    def current(self) -> int | None:
        """Return the number of the version that is current; 0 for what was written without hmp; None for nothing.

        What a plain reader sees is the truth: where ``zarr.json`` is a file and no link, somebody else wrote here.
        """
        if self._is_plain():
            return 0
        return self.switched()

    def _is_plain(self) -> bool:
        document = self.root / ROOT
        return document.is_file() and not document.is_symlink()

    def switched(self) -> int | None:
        """Return the number of the version that the links lead to; None if they lead nowhere."""
        before = None
        while True:
            try:
                said = os.readlink(self.hidden / CURRENT)
            except OSError:  # nothing there, or a copy that followed the link
                return None
            if said == before or not _NUMBER.fullmatch(said):
                return None
            if (self.hidden / said).is_dir():
                return int(said)
            before = said  # cleared since by a commit, which switched before, or not there at all

    def never_committed(self) -> bool:
        """Whether it is said that no version became current yet."""
        try:
            return os.readlink(self.hidden / CURRENT) == _NEVER
        except OSError:
            return False

    def numbers(self) -> list[int]:
        """Return the number of every version whose folder is there, also of one that never became current."""
        return sorted(int(name) for name in self._names(_NUMBER) if (self.hidden / name).is_dir())

    def version(self, number: int) -> Path:
        """Return the folder of a version; that of the data set for 0."""
        return self.hidden / _named(number) if number else self.root

    def lock(self, number: int) -> Path:
        """Return the lock file of a version."""
        return self.lock_of(self.hidden / _named(number))

    @staticmethod
    def lock_of(place: Path) -> Path:
        """Return the lock file of a version, or of the tree of a session."""
        return place.with_name(f"{place.name}.lock")

    def next(self) -> int:
        """Return the number of the version to be made."""
        return max(self.numbers(), default=0) + 1

    def is_ours(self, name: str) -> bool:
        """Whether something in the folder of the data set is there because of its versions."""
        return self.hidden.is_dir() and (name == HIDDEN or points_here(self.root / name, name))

    def _names(self, form: re.Pattern[str]) -> list[str]:
        try:
            return sorted(name for name in os.listdir(self.hidden) if form.fullmatch(name))
        except (FileNotFoundError, NotADirectoryError):
            return []

    # ── becoming current ─────────────────────────────────────────────────────────────────────────────

    def put(self, tree: Path, number: int, work: Path) -> None:
        """Make a finished tree the version ``number``, and that the current one. ``work`` is a folder of the caller.

        The last step is the switch: whoever dies before it leaves everything as it was.

        Raises
        ------
        PathTaken
            If something of the user's has the name of a variable.
        """
        switch, place = switch_to(number, work), self.version(number)
        self.add_links(os.listdir(tree))
        if not os.path.lexists(self.hidden / CURRENT):
            symlink(_NEVER, self.hidden / CURRENT)
            fsync_folder(self.hidden)
        os.rename(tree, place)
        try:
            fsync_folder(self.hidden)
            os.replace(switch, self.hidden / CURRENT)
        except BaseException:
            if self.switched() != number:  # an interrupt may come between the switch and here
                os.rename(place, tree)
            raise
        fsync_folder(self.hidden)

    def add_links(self, names: list[str]) -> None:
        """Make the links by which others find these parts of the current version, where they are not there.

        What is hidden in a version is for hmp alone.

        Raises
        ------
        PathTaken
            If something of the user's has the name.
        """
        for name in names:
            place = self.root / name
            if name.startswith(".") or points_here(place, name):
                continue
            if os.path.lexists(place):
                message = f"{place} is no part of the data set and has the name of a variable; move it away"
                raise PathTaken(message, path=str(place))
            symlink(_target(name), place)
        fsync_folder(self.root)

    def drop_links(self) -> None:
        """Remove the links to variables that the current version does not have."""
        names = set(os.listdir(self.hidden / CURRENT))
        for name in os.listdir(self.root):
            if name not in names and points_here(self.root / name, name):
                (self.root / name).unlink()

    # ── clearing up ──────────────────────────────────────────────────────────────────────────────────

    def bury(self, place: Path) -> None:
        """Take something away in one step; it is removed with the next clearing up."""
        os.rename(place, self.hidden / f"dead-{secrets.token_hex(8)}")

    def clear_versions(self, keep: int, before: float | None = None) -> int:
        """Bury the versions that nobody reads, but for the current one and ``keep`` before it; return how many.

        With ``before`` only those that were finished before that moment, in seconds since 1970.
        Under the lock of commits: a version beyond the current one is that of a commit whose process died.
        """
        current, found = self.switched() or 0, self.numbers()
        past = [number for number in found if number < current]
        kept = {current, *past[max(0, len(past) - keep) :]}
        if before is not None:
            kept.update(number for number in past if os.stat(self.version(number)).st_mtime >= before)
        locks = {int(name.removesuffix(".lock")) for name in self._names(_LOCK)}
        old = sorted({*found, *locks} - kept)
        return sum(self._bury_unread(self.version(number)) for number in old)

    def clear_dead(self) -> int:
        """Remove what was buried, and the trees of sessions whose process died; return how many."""
        works = {name.removesuffix(".lock") for name in self._names(_WORK)}
        count = sum(self._bury_unread(self.hidden / name) for name in sorted(works))
        for name in self._names(_DEAD):
            place = self.hidden / name
            remove_tree(place) if place.is_dir() and not place.is_symlink() else place.unlink(missing_ok=True)
        return count

    def _bury_unread(self, place: Path) -> bool:
        lock = self.lock_of(place)
        held = hold(lock, alone=True)
        if held is None:
            return False
        there = place.exists()
        if there:
            self.bury(place)
        lock.unlink(missing_ok=True)
        held.release()
        return there


def _named(number: int) -> str:
    return f"{number:08d}"


def switch_to(number: int, work: Path) -> Path:
    """Make the link that is to be ``current``, in a folder of the caller."""
    switch = work / CURRENT
    switch.unlink(missing_ok=True)
    symlink(_named(number), switch)
    return switch


def _target(name: str) -> str:
    return f"{HIDDEN}/{CURRENT}/{name}"


def points_here(place: Path, name: str) -> bool:
    """Whether something in the folder of a data set is the link to the part ``name`` of its current version."""
    return place.is_symlink() and os.readlink(place) == _target(name)


def home(folder: Path | str) -> Path | None:
    """Return where that is kept which was fetched for a tree of a data set; None if it is behind no URL."""
    place = Path(os.path.realpath(folder))
    for each in (place, *place.parents):
        if each.name == HIDDEN:
            found = each / HOME
            return found if found.is_dir() else None
    return None
