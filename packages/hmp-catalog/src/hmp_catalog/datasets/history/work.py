"""The private tree of a session: links of its base, the owner's lock, and what becomes of both at a commit."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from hmp_catalog.datasets.history import adopting, documents, merging, trees
from hmp_catalog.datasets.history.holding import Hold, hold
from hmp_core.durable import make_folder
from hmp_core.errors import CorruptError, InvalidInput, PathNotFound

if TYPE_CHECKING:
    from hmp_catalog.datasets.history.layout import Layout


class Work:
    """A folder that is its owner's alone, ``tree`` in it; ``base`` is what the tree was linked from."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        layout.clear_dead()
        while True:
            self.folder = layout.hidden / f"work-{secrets.token_hex(8)}"
            held = hold(layout.lock_of(self.folder), alone=True)
            if held is not None:  # the name is new: only who clears up at this moment can be in the way
                break
        self._hold: Hold = held
        self.tree = self.folder / "tree"
        self.base: Path | None = None
        self._looks: trees.Looks = {}

    @classmethod
    def begin(cls, layout: Layout, number: int | None, *, empty: bool) -> Work:
        """Make a tree on a version that the caller holds, on none, or an ``empty`` one in the place of a version.

        Raises
        ------
        LinksRefused
            If the file system makes no links. Nothing is left behind then, or after any other error.
        """
        made = [place for place in (layout.hidden, layout.root) if not place.exists()]
        try:
            make_folder(layout.hidden)
            work = cls(layout)
            try:
                work._fill(number, empty=empty)
            except BaseException:
                work.remove()
                raise
        except BaseException:
            for place in made:
                with contextlib.suppress(OSError):  # another session may have begun in it
                    place.rmdir()
            raise
        return work

    def _fill(self, number: int | None, *, empty: bool) -> None:
        self.folder.mkdir()
        probe = self.folder / "probe"
        trees.symlink("probe", probe)
        probe.unlink()
        trees.link(self._layout.lock_of(self.folder), probe)
        probe.unlink()
        if number == 0:  # nobody keeps it as it is: our own links do
            self.base = self.folder / "base"
            adopting.link_plain(self._layout, self.base)
        elif number is not None:
            self.base = self._layout.version(number)
        if empty or self.base is None:
            self.tree.mkdir()
        else:
            trees.link_tree(self.base, self.tree)
            documents.scatter(self.tree)
            self._looks = trees.looks(self.tree)

    def finish(self) -> bool:
        """Make the tree ready to be a version, on disk; return whether it is another than the base.

        Raises
        ------
        InvalidInput
            If nothing in it says that it is a Zarr group.
        CorruptError
            If a file that it shares with its base was changed in place.
        """
        self._refuse_changed_in_place()
        found = documents.read(self.tree)
        if found is None or documents.is_array(found):
            message = f"{self._layout.root}: no Zarr group was written; a data set is one, with a zarr.json"
            raise InvalidInput(message)
        documents.consolidate(self.tree)
        if self.base is not None and documents.same(self.tree, self.base):
            (self.tree / documents.NAME).unlink()  # nothing changed: it is the file of the base again
            trees.link(self.base / documents.NAME, self.tree / documents.NAME)
        return self._flushed(self.tree, self.base)

    def _refuse_changed_in_place(self) -> None:
        wrong = trees.changed_in_place(self._looks, trees.looks(self.tree)) if self._looks else []
        if wrong:
            place = self.tree / wrong[0]
            message = (
                f"{place} was changed in place ({len(wrong)} in all), and with it every version that has the file: "
                "write through the store of the session; write what is damaged again from what it was made of"
            )
            raise CorruptError(message, path=str(place))

    def _flushed(self, tree: Path, base: Path | None) -> bool:
        now = trees.inventory(tree)
        for name in trees.partial(now):
            os.unlink(tree / name)
            del now[name]
        names = trees.changed(trees.inventory(base), now)
        if names:
            trees.flush(tree, names & now.keys())
        return bool(names)

    def on(self, current: int | None) -> Path:
        """Return the tree that is to follow the version ``current``: ours, or both put together; lock held.

        Raises
        ------
        DatasetConflict
            If both changed the same.
        PathNotFound
            If the data set was removed meanwhile.
        """
        if current is None:
            if self.base is None:
                return self.tree
            message = f"{self._layout.root}: the data set was removed meanwhile; roll back"
            raise PathNotFound(message, path=str(self._layout.root))
        theirs = self._layout.version(current)
        if theirs == self.base or not trees.changed(trees.inventory(self.base), trees.inventory(theirs)):
            return self.tree
        merged = self.folder / "merged"
        trees.remove_tree(merged)
        try:
            trees.link_tree(theirs, merged)
            merging.Merge(self._layout.root, self.base, self.tree, theirs).into(merged)
            self._flushed(merged, theirs)
        except BaseException:
            trees.remove_tree(merged)
            raise
        return merged

    def remove(self) -> None:
        """Forget everything; what cannot be removed now is cleared with the trees of dead sessions."""
        with contextlib.suppress(OSError):
            if self.folder.exists():
                self._layout.bury(self.folder)
            os.unlink(self._layout.lock_of(self.folder))
        self._hold.release()
        with contextlib.suppress(OSError):
            self._layout.clear_dead()
