"""How a data set changes: a session works on a tree of its own, and its commit is one rename.

::

    forcing.zarr/
      zarr.json          -> .versions/current/zarr.json
      air_temperature    -> .versions/current/air_temperature
      .versions/
        current          -> 00000042         replaced in one step: the commit
        00000042/        a whole Zarr group; what did not change are hard links to the files of 00000041
        00000042.lock    shared by who reads it; who clears it must have it alone
        commit.lock      held from "is my base still current?" to the switch
        work-<hex>/      the tree of a session, hard links of its base; work-<hex>.lock is its owner's

Files in a tree are replaced, never written in place: that is how Zarr's ``LocalStore`` writes, and it is what keeps
the versions apart. A folder whose ``zarr.json`` is a plain file was written, or copied, by somebody else: it is read
as it is, and taken over by the first commit.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from hmp_catalog.datasets.history import adopting, copies
from hmp_catalog.datasets.history.holding import Hold, hold
from hmp_catalog.datasets.history.layout import Layout
from hmp_catalog.datasets.history.work import Work
from hmp_core.durable import refusal, right_to_write, translated
from hmp_core.errors import (
    BusyError,
    HmpError,
    InvalidInput,
    NotFound,
    NotWritable,
    PathNotFound,
    PathTaken,
)
from hmp_core.locks import database_lock

if TYPE_CHECKING:
    from zarr.storage import LocalStore

#: How often a reader tries to hold a version, and the seconds in between: who clears one has it for a rename.
_TRIES, _PAUSE = 2000, 0.005

#: Where no lock file can be made: a read-only medium, or a folder of others.
_NO_LOCK = {errno.EROFS, errno.EACCES, errno.EPERM}


class Versions:
    """The versions of the data set at ``path``: who reads holds one of them, who writes makes the next.

    Nothing is read or made before `snapshot` or `session` is called.

    Parameters
    ----------
    path : Path
        The folder of the data set, ``forcing.zarr``.
    keep : int
        How many versions before the current one a commit leaves. What somebody reads is left in any case.
    timeout : float
        Seconds that a commit waits for another one that is under way.
    """

    def __init__(self, path: Path, *, keep: int = 0, timeout: float = 30.0) -> None:
        self.path = Path(os.path.realpath(path))
        self.keep = keep
        self.timeout = timeout
        self._layout = Layout(self.path)

    @property
    def exists(self) -> bool:
        """Whether there is a data set: something was committed, or written without hmp."""
        with _reading():
            return self._layout.current() is not None

    def numbers(self) -> list[int]:
        """Return the numbers of the versions that can be read, oldest first; the last is the current one."""
        with _reading():
            current = self._layout.current()
            if current is None:
                return []
            return [*(number for number in self._layout.numbers() if number < current), current]

    def snapshot(self, number: int | None = None) -> Snapshot:
        """Hold a version for reading, the current one unless a ``number`` is given.

        Raises
        ------
        PathNotFound
            If there is no data set.
        CorruptError
            If its versions, or its links, were left behind when it was copied.
        NotFound
            If that version is not kept any more.
        NotWritable
            If the folder may not even be read.
        """
        with _reading():
            for _ in range(_TRIES):
                wanted = self._current() if number is None else self._kept(number)
                found = self._hold(wanted)
                if found is not None:
                    return found
                time.sleep(_PAUSE)
        message = f"{self.path}: version {wanted} cannot be held; somebody keeps its lock for long. Try again"
        raise BusyError(message, path=str(self._layout.lock(wanted)), holder="another process", waited=_TRIES * _PAUSE)

    def _current(self) -> int:
        found = self._layout.current()
        copies.refuse_broken(self._layout)
        if found is None:
            message = f"{self.path}: {adopting.instead(self.path)}"
            raise PathNotFound(message, path=str(self.path))
        return found

    def _kept(self, number: int) -> int:
        numbers = self.numbers()
        if number not in numbers:
            message = f"{self.path}: version {number} is not kept (there are {numbers}); open one that is"
            raise NotFound(message, reference=str(number), candidates=[str(each) for each in numbers])
        return number

    def _hold(self, number: int) -> Snapshot | None:
        """Hold a version unless it is being cleared; where no lock can be made, nobody can clear either."""
        folder = self._layout.version(number)
        if not number:
            return Snapshot(self._layout, 0, None)
        if not folder.is_dir():
            return None
        try:
            held = hold(self._layout.lock(number), alone=False)
        except OSError as error:
            if error.errno not in _NO_LOCK:
                raise
            return Snapshot(self._layout, number, None)
        if held is not None and not folder.is_dir():
            held.release()
            return None
        return Snapshot(self._layout, number, held) if held is not None else None

    def session(self, *, create: bool = False, empty: bool = False) -> Session:
        """Begin to write on the current version. Any number of sessions may be under way.

        Parameters
        ----------
        create
            Begin a new data set where there is none.
        empty
            Begin with nothing: the commit replaces all there is.

        Raises
        ------
        PathNotFound
            If there is no data set and ``create`` is off, or no folder to make it in.
        PathTaken
            If there is something else at the path.
        CorruptError
            If its versions, or its links, were left behind when it was copied.
        NotWritable
            If the folder may not be written.
        """
        if create and not self.exists:
            self._refuse_taken()
            base = None
        else:
            base = self.snapshot()
        place = self.path if self.path.exists() else self.path.parent
        if not place.is_dir():
            message = f"{place}: no such folder; make it first"
            raise PathNotFound(message, path=str(place))
        place = self._layout.hidden if self._layout.hidden.is_dir() else place
        if not os.access(place, os.W_OK | os.X_OK):
            message = f"{place} cannot be written; {right_to_write(place)}"
            raise NotWritable(message, path=str(place))
        return Session(self, base, empty=empty)

    def _refuse_taken(self) -> None:
        try:
            taken = any(not self._layout.is_ours(name) for name in os.listdir(self.path))
        except FileNotFoundError:
            return
        except NotADirectoryError:
            taken = True
        if taken:
            message = f"{self.path} is there already and is no data set; choose another path"
            raise PathTaken(message, path=str(self.path))
        copies.refuse_broken(self._layout)

    def clear(self, before: float | None = None) -> int:
        """Remove old versions that nobody reads and the trees of sessions whose process died; return how many.

        Parameters
        ----------
        before
            Seconds since 1970: only versions committed before that are removed, but for the current one all of them.

        Raises
        ------
        BusyError
            If a commit took longer than the timeout.
        NotWritable
            If the folder may not be written.
        CorruptError
            If it is not known which version is the current one: its links were left behind when it was copied.
        """
        if not self._layout.hidden.is_dir():
            return 0
        with translated(self.path), self._alone():
            copies.refuse_broken(self._layout)
            count = self._layout.clear_versions(self.keep if before is None else 0, before)
        return count + self._layout.clear_dead()

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other commits out."""
        with database_lock(self._layout.hidden / "commit").hold(self.timeout):
            yield


@contextlib.contextmanager
def _reading() -> Iterator[None]:
    """Turn what the operating system refuses a reader into errors of hmp."""
    try:
        yield
    except HmpError:
        raise  # some are errors of permission too, and say more
    except PermissionError as error:
        raise refusal(error) from error


class Snapshot:
    """One version, held: its files are there and stay as they are until `close`.

    Attributes
    ----------
    folder : Path
        The Zarr group to read; never write there.
    number : int
        The number of the version; 0 for a data set that was written without hmp and has no versions yet: its
        ``folder`` is the data set itself, and what others write there is seen.
    held : bool
        Whether nobody can clear the version away. Not so for number 0, and on a medium where no lock can be made.
    """

    def __init__(self, layout: Layout, number: int, held: Hold | None) -> None:
        self.folder = layout.version(number)
        self.number = number
        self.held = held is not None
        self._layout = layout
        self._hold = held

    @property
    def store(self) -> LocalStore:
        """What Zarr and xarray read this version from."""
        from hmp_catalog.datasets.history import stores

        return stores.reading(self.folder)

    @property
    def current(self) -> bool:
        """Whether nothing was committed since."""
        return self._layout.current() == self.number

    def close(self) -> None:
        """Let go; may be called twice."""
        held, self._hold, self.held = self._hold, None, False
        if held is not None:
            held.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()


class Session:
    """Changes to a data set that others see at `commit`, all at once, or never.

    It sees the version that was current when it began, and its own changes. Threads may share it. It belongs to the
    process that began it: in the child of a fork every verb raises `InvalidInput`.
    """

    def __init__(self, versions: Versions, base: Snapshot | None, *, empty: bool) -> None:
        self._versions = versions
        self._layout = versions._layout
        self._base = base
        self._empty = empty
        self._work: Work | None = None
        self._mutex = threading.RLock()
        self._process = os.getpid()
        self._closed = False

    @property
    def number(self) -> int:
        """The version that this session stands on; 0 if there is none."""
        return 0 if self._base is None else self._base.number

    @property
    def folder(self) -> Path:
        """The Zarr group this session sees. It changes at the first `writing`, at `commit` and at `rollback`.

        Before the first `writing` of a new or an ``empty`` session there is no such folder.
        """
        if self._work is not None:
            return self._work.tree
        if self._base is None or self._empty:
            return self._layout.hidden / "nothing"
        return self._base.folder

    @property
    def store(self) -> LocalStore:
        """What Zarr and xarray read from and, within `writing`, write to; another one whenever `folder` is."""
        from hmp_catalog.datasets.history import stores

        return stores.of(self.folder, read_only=self._work is None)

    @property
    def changed(self) -> bool:
        """Whether `writing` was entered since the session began, was committed or rolled back."""
        return self._work is not None

    @contextlib.contextmanager
    def writing(self) -> Iterator[Path]:
        """Give the folder to write to, and keep the other threads of this session out meanwhile.

        Write there through `store`, or with new files that are put in the place of old ones: a file that is opened
        and changed in place changes in every version. (So does ``zarrs`` with a `LocalStore` of that folder.) The
        folder is made when this is first called, which takes a link for each file of the data set.

        Raises
        ------
        LinksRefused
            If the file system makes no hard or symbolic links; nothing was written.
        StorageError, NotWritable
            If there is no room or no right to write; also for an `OSError` that the block raises.
        """
        with self._mutex, translated(self._versions.path):
            self._refuse_strangers()
            if self._work is None:
                number = None if self._base is None else self._base.number
                self._work = Work.begin(self._layout, number, empty=self._empty)
            yield self._work.tree

    def commit(self, before_others: Callable[[], object] | None = None) -> int:
        """Make everything that was written the current version and return its number; the session goes on from there.

        If others committed meanwhile, both are put together: what one of them changed is taken from that one; what
        both changed is compared cell by cell. Metadata are consolidated here. Nothing written: nothing happens.

        Parameters
        ----------
        before_others
            Called if others committed meanwhile, while this session still sees its own changes alone.

        Raises
        ------
        DatasetConflict
            If both changed the same; names variable and region. Others see nothing of this session, which can
            still be read, and rolled back.
        BusyError
            If another commit took longer than the timeout.
        StorageError, NotWritable
            If there is no room or no right to write; others see nothing of this session.
        CorruptError
            If a file was changed in place; every version that has it is damaged.
        """
        with self._mutex, translated(self._versions.path):
            self._refuse_strangers()
            if self._work is not None:
                self._commit(self._work, before_others)
            return self.number

    def _commit(self, work: Work, before_others: Callable[[], object] | None) -> None:
        if not work.finish():
            self._leave()
            return
        layout = self._layout
        with self._versions._alone():
            adopting.mend(layout)
            if layout.current() == 0:
                adopting.take_over(layout, work.folder)
            if before_others is not None and layout.current() != self.number:
                before_others()
            tree, number = work.on(layout.current()), layout.next()
            held = hold(layout.lock(number), alone=False)
            try:
                layout.put(tree, number, work.folder)
            finally:
                if layout.current() == number:
                    self._stand_on(Snapshot(layout, number, held))
                elif held is not None:
                    held.release()
            with contextlib.suppress(OSError):  # it is committed: what is left is cleared up by the next
                layout.drop_links()
                layout.clear_versions(self._versions.keep)
        work.remove()

    def _stand_on(self, base: Snapshot | None) -> None:
        before, self._base = self._base, base
        self._work, self._empty = None, False
        if before is not None:
            before.close()

    def _leave(self) -> None:
        work, self._work = self._work, None
        if work is not None:
            work.remove()

    def rollback(self) -> None:
        """Forget what was written since the last commit; the session goes on from the version that is current now."""
        with self._mutex, translated(self._versions.path):
            self._refuse_strangers()
            self._leave()
            self._stand_on(self._versions.snapshot() if self._versions.exists else None)

    def close(self) -> None:
        """Forget what was not committed, and let go; may be called twice."""
        if self._process != os.getpid():
            return  # all is its parent's
        with self._mutex:
            self._closed = True
            self._leave()
            self._stand_on(None)

    def _refuse_strangers(self) -> None:
        if self._process != os.getpid():
            message = (
                f"{self._versions.path}: this session is of process {self._process}; open the data set in this one"
            )
            raise InvalidInput(message)
        if self._closed:
            message = f"{self._versions.path}: this session is closed; open the data set again"
            raise InvalidInput(message)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            if kind is None:
                self.commit()
        finally:
            self.close()
