"""An open data set, as all views of it share it: the version or the session, what was read of it, who may write.

Views hold the handle and the handle holds none of them, so that a data set that nobody has any more is gone at once,
and its locks with it: what was not committed is forgotten then, and at the end of the interpreter.
"""

from __future__ import annotations

import contextlib
import os
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hmp_catalog.datasets.axes import keeping
from hmp_catalog.datasets.cells.arrays import Cells, Writes, open_cells
from hmp_catalog.datasets.contents import Contents, contents, dims
from hmp_catalog.datasets.gates import Gate
from hmp_catalog.datasets.history.layout import ROOT
from hmp_catalog.datasets.history.versions import Session, Snapshot, Versions
from hmp_core.errors import InvalidInput, NotFound, PathNotFound

if TYPE_CHECKING:
    import zarr
    from numpy.typing import NDArray

    Values = NDArray[Any]

#: The attribute of the root with what a data set is.
ABOUT = "hmp"


class Handle:
    """An open data set; threads may share it.

    Parameters
    ----------
    versions : Versions
        Those of the data set.
    held : Snapshot or Session
        What is read, or written to.
    begin : callable, optional
        Makes a new data set in the session, also after a rollback of all there was.
    """

    def __init__(self, versions: Versions, held: Snapshot | Session, begin: Callable[[], None] | None = None) -> None:
        self.path: Path = versions.path
        self.versions = versions
        self.gate = Gate()
        #: Counts the times that positions changed their meaning: a view of before is good for nothing then.
        self.generation = 0
        #: Counts writes of cells as they begin.
        self.writes = Writes()
        self._held = held
        self._begin = begin
        self._mutex = threading.RLock()
        self._open = True
        self._damaged: str | None = None
        self._half: str | None = None
        self._folder: Path | None = None
        self._group: zarr.Group | None = None
        self._arrays: dict[str, zarr.Array[Any]] | None = None
        self._contents: Contents | None = None
        self._cells: dict[str, Cells] = {}
        self._labels: dict[str, Values] = {}
        self._finalizer = weakref.finalize(self, _forgotten, held, self.path)
        _handles.add(self)

    # ── what it is ───────────────────────────────────────────────────────────────────────────────────

    @property
    def writable(self) -> bool:
        """Whether it was opened to write."""
        return isinstance(self._held, Session)

    @property
    def is_open(self) -> bool:
        """Whether nobody closed it."""
        return self._open

    @property
    def number(self) -> int:
        """The version that is read, or that the session stands on."""
        return self._held.number

    @property
    def changed(self) -> bool:
        """Whether there is anything to commit."""
        return isinstance(self._held, Session) and self._held.changed

    @property
    def about(self) -> dict[str, Any]:
        """What was said when it was made: ``dataset_type``, ``compression`` and ``compression_level``."""
        found = self.group().attrs.get(ABOUT)
        return dict(found) if isinstance(found, dict) else {}

    @property
    def dataset_type(self) -> str:
        """``grid``, ``ts_ortho``, ``ts_forecast`` or ``grid_forecast``; ``grid`` for what others wrote."""
        return str(self.about.get("dataset_type", "grid"))

    @property
    def compression(self) -> str:
        """How new arrays are compressed."""
        return str(self.about.get("compression", "zstd_shuffle"))

    @property
    def compression_level(self) -> int | None:
        """The level of it; None for the usual one."""
        found = self.about.get("compression_level")
        return None if found is None else int(found)

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Keep away what would change shapes, or take the files away, while something is read."""
        with self.gate.together():
            self._refuse_closed()
            try:
                yield
            finally:
                self._refuse_gone()

    def group(self) -> zarr.Group:
        """Return the group to read from; its metadata are consolidated where it is a version.

        Raises
        ------
        InvalidInput
            If it is closed.
        """
        import zarr

        with self._mutex:
            self._refuse_closed()
            if self._group is None or self._held.folder != self._folder:
                self._forget_all()
                self._folder = self._held.folder
                plain = False if self.changed or (self.writable and not self.number) else None
                mode: Any = "r+" if self.changed else "r"
                self._group = zarr.open_group(self._held.store, mode=mode, use_consolidated=plain)
            return self._group

    def arrays(self) -> dict[str, zarr.Array[Any]]:
        """Return all arrays by name."""
        with self._mutex:
            group = self.group()
            if self._arrays is None:
                self._refuse_gone()
                self._arrays = dict(sorted(group.arrays()))
            return self._arrays

    def contents(self) -> Contents:
        """Return which of them are what."""
        with self._mutex:
            arrays = self.arrays()
            if self._contents is None:
                self._contents = contents(arrays)
            return self._contents

    def cells(self, name: str) -> Cells:
        """Return a stored array.

        Raises
        ------
        NotFound
            If there is none of that name.
        """
        with self._mutex:
            arrays = self.arrays()
            if name not in self._cells:
                if name not in arrays:
                    raise self.missing(name)
                self._cells[name] = open_cells(arrays[name], name)
            self._cells[name].writes = self.writes
            return self._cells[name]

    def labels(self, name: str) -> Values:
        """Return the labels of a coordinate, which nobody may change in place.

        Raises
        ------
        NotFound
            If there is no such coordinate.
        """
        with self._mutex:
            self.group()
            if name not in self._labels:
                found = keeping.keeper(self, name).read()
                found.flags.writeable = False
                self._labels[name] = found
            return self._labels[name]

    def dims(self, name: str) -> tuple[str, ...]:
        """Return the names of the dimensions of an array."""
        return dims(name, self.arrays()[name])

    def missing(self, name: str) -> NotFound:
        """Return the error of a name that is not there."""
        found = self.contents()
        names = [*found.coords, *found.data_vars]
        message = f"{self.path}: no variable {name!r}; there are {', '.join(names) or 'none'}"
        return NotFound(message, reference=name, candidates=names)

    def _refuse_closed(self) -> None:
        if not self._open:
            message = f"{self.path} is closed; open it again"
            raise InvalidInput(message)

    def _refuse_gone(self) -> None:
        """Refuse what was moved or removed: for Zarr cells without a file are empty, and a folder is made anew."""
        if not os.path.exists(os.path.join(self._held.folder, ROOT)):
            message = f"{self.path} was moved or removed while it was open; open it where it is now"
            raise PathNotFound(message, path=str(self.path))

    # ── writing ──────────────────────────────────────────────────────────────────────────────────────

    @contextlib.contextmanager
    def writing(self) -> Iterator[zarr.Group]:
        """Give the group to write to, and keep other threads that write out.

        If it fails after cells began to be written, nothing can be committed until `rollback`.

        Raises
        ------
        InvalidInput
            If it is open for reading only, is closed, or belongs to another process.
        """
        with self.gate.together():
            session = self._session()
            self._refuse_gone()
            with session.writing():
                before = self.writes.begun
                try:
                    yield self.group()
                except BaseException as error:
                    if self.writes.begun > before:
                        self._half = f"{type(error).__name__}: {error}"
                    raise

    @contextlib.contextmanager
    def reshaping(self, *names: str) -> Iterator[Callable[[], zarr.Group]]:
        """Keep everybody else out for what takes several steps; gives what begins it and returns the group.

        ``names`` are the arrays that are made, if nothing else is changed: all others are known as before.
        If it fails after it began, nothing can be committed until `rollback`.
        """
        with self.gate.alone():
            session = self._session()
            self._refuse_gone()
            with session.writing():
                begun: list[zarr.Group] = []

                def begin() -> zarr.Group:
                    begun.append(self.group())
                    return begun[0]

                try:
                    yield begin
                except BaseException as error:
                    self.forget()
                    if begun:
                        self._damaged = f"{type(error).__name__}: {error}"
                    raise
                self.forget(*names)

    def _session(self) -> Session:
        self._refuse_closed()
        if isinstance(self._held, Session):
            return self._held
        message = f"{self.path} is open for reading only; open it with flag 'w'"
        raise InvalidInput(message)

    def forget(self, *names: str) -> None:
        """Forget what was read of arrays, all of them if none is named: they changed."""
        with self._mutex:
            if not names or self._arrays is None:
                self._arrays = self._contents = None
                self._cells, self._labels = {}, {}
                return
            again = {name: self.group()[name] for name in names}
            self._arrays = dict(sorted({**self._arrays, **again}.items()))
            self._contents = None
            self._cells = {name: cells for name, cells in self._cells.items() if name not in again}
            self._labels = {name: labels for name, labels in self._labels.items() if name not in again}

    def _forget_all(self) -> None:
        self._group = None
        self.forget()

    # ── versions ─────────────────────────────────────────────────────────────────────────────────────

    def commit(self) -> int:
        """Make what was written the current version; return its number."""
        with self.gate.alone():
            session = self._session()
            half = self._half if self._damaged is None else self._damaged
            if half is not None:
                message = f"{self.path}: a change failed half-way ({half}); roll back"
                raise InvalidInput(message)
            self._refuse_gone()
            old: dict[str, Values] = {}
            after = session.commit(lambda: old.update(self._all_labels()))
            if old:
                self._moved_on(old)
            return after

    def rollback(self) -> None:
        """Forget what was written since the last commit."""
        with self.gate.alone():
            session = self._session()
            old = self._all_labels() if session.changed and self._damaged is None else {}
            session.rollback()
            self._half = None
            if self._damaged is not None:
                self._damaged, self.generation = None, self.generation + 1
            if self._begin is not None and not session.folder.is_dir():
                self._begin()
            self._moved_on(old)

    def refresh(self) -> int:
        """Read the version that is current now; return its number."""
        with self.gate.alone():
            self._refuse_closed()
            if isinstance(self._held, Session):
                message = f"{self.path}: a session sees its own changes; commit or roll back instead"
                raise InvalidInput(message)
            if not self._held.current:
                old, before = self._all_labels(), self._held
                self._held = self.versions.snapshot()
                self._finalizer.detach()
                self._finalizer = weakref.finalize(self, _forgotten, self._held, self.path)
                before.close()
                self._moved_on(old)
            return self._held.number

    def close(self) -> None:
        """Let go; what was not committed is forgotten."""
        with self.gate.alone():
            self._open = False
            self._forget_all()
            if self._finalizer.detach() is not None:
                self._held.close()

    def _unlock(self) -> None:
        """Take new locks, in the child of a fork: nobody else is there."""
        self.gate, self._mutex = Gate(), threading.RLock()

    def _all_labels(self) -> dict[str, Values]:
        return {name: self.labels(name) for name in self.contents().coords}

    def _moved_on(self, old: dict[str, Values]) -> None:
        """Tell views that they are of before, unless every label is where it was; more at the end are no change."""
        self._forget_all()
        for name, labels in old.items():
            if name not in self.contents().coords or not _begins(self.labels(name), labels):
                self.generation += 1
                return


def _forgotten(held: Snapshot | Session, path: Path) -> None:
    """Let go of what nobody closed; what was not committed is gone then, and that is told."""
    changed = isinstance(held, Session) and held.changed
    held.close()
    if changed and not (isinstance(held, Session) and held.changed):  # in the child of a fork all is its parent's still
        message = f"{path}: changes were never committed and are forgotten; use 'with open_dataset(...)', or close() it"
        warnings.warn(message, ResourceWarning, stacklevel=2)


def _begins(now: Values, before: Values) -> bool:
    return len(now) >= len(before) and bool((now[: len(before)] == before).all())


# ── elsewhere ────────────────────────────────────────────────────────────────────────────────────────

#: The open data sets of this process.
_handles: weakref.WeakSet[Handle] = weakref.WeakSet()

#: What views that came from other processes are read from, by process, path and version.
_elsewhere: weakref.WeakValueDictionary[tuple[int, str, int], Handle] = weakref.WeakValueDictionary()
_turn = threading.Lock()


def pinned(handle: Handle) -> tuple[str, int]:
    """Return what other processes open to see the same: path and version.

    Raises
    ------
    InvalidInput
        If there is something that is not committed, or nothing at all.
    """
    if handle.changed or not handle.is_open:
        why = "has changes that are not committed; commit them first" if handle.is_open else "is closed; open it again"
        message = f"{handle.path}: others cannot see what {why}"
        raise InvalidInput(message)
    return str(handle.path), handle.number


def reopened(path: str, number: int) -> Handle:
    """Return a version of a data set, open for reading; views of one process share it."""
    key = (os.getpid(), path, number)
    with _turn:
        found = _elsewhere.get(key)
        if found is None or not found.is_open:
            versions = Versions(Path(path))
            found = Handle(versions, versions.snapshot(number))
            _elsewhere[key] = found
        return found


def _after_fork() -> None:
    """Give the child locks of its own: those that it inherits may be held by threads that it has not."""
    global _turn
    _turn = threading.Lock()
    for each in list(_handles):
        each._unlock()


os.register_at_fork(after_in_child=_after_fork)
