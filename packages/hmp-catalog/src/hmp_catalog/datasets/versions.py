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
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self


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
        raise NotImplementedError

    @property
    def exists(self) -> bool:
        """Whether there is a data set: something was committed, or written without hmp."""
        raise NotImplementedError

    def numbers(self) -> list[int]:
        """Return the numbers of the versions that can be read, oldest first; the last is the current one."""
        raise NotImplementedError

    def snapshot(self, number: int | None = None) -> Snapshot:
        """Hold a version for reading, the current one unless a ``number`` is given.

        Raises
        ------
        PathNotFound
            If there is no data set.
        NotFound
            If that version is not kept any more.
        """
        raise NotImplementedError

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
        NotWritable
            If the folder may not be written.
        LinksRefused
            If the file system makes no hard or symbolic links; nothing was written.
        """
        raise NotImplementedError

    def clear(self) -> int:
        """Remove old versions that nobody reads and the trees of sessions whose process died; return how many."""
        raise NotImplementedError


class Snapshot:
    """One version, held: its files are there and stay as they are until `close`.

    Attributes
    ----------
    folder : Path
        The Zarr group to read; never write there.
    number : int
        The number of the version; 0 for a data set that was written without hmp and has no versions yet: its
        ``folder`` is the data set itself, and what others write there is seen.
    """

    folder: Path
    number: int

    @property
    def current(self) -> bool:
        """Whether nothing was committed since."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go; may be called twice."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()


class Session:
    """Changes to a data set that others see at `commit`, all at once, or never.

    It sees the version that was current when it began, and its own changes. Threads may share it. It belongs to the
    process that began it: in the child of a fork every verb raises `InvalidInput`.

    Attributes
    ----------
    number : int
        The version this session stands on; 0 if there is none.
    """

    number: int

    @property
    def folder(self) -> Path:
        """The Zarr group this session sees. It changes at the first `writing`, at `commit` and at `rollback`.

        Before the first `writing` of a new or an ``empty`` session it is an empty folder or not there at all.
        """
        raise NotImplementedError

    @property
    def changed(self) -> bool:
        """Whether `writing` was entered since the session began, was committed or rolled back."""
        raise NotImplementedError

    @contextlib.contextmanager
    def writing(self) -> Iterator[Path]:
        """Give the folder to write to, and keep the other threads of this session out meanwhile.

        Write there as Zarr's ``LocalStore`` does: a new file is put in the place of the old, links are free. A file
        that is opened and changed in place would change in every version. The folder is made when this is first
        called, which takes a link for each file of the data set.

        Raises
        ------
        StorageError, NotWritable
            If there is no room or no right to write; also for an `OSError` that the block raises.
        """
        raise NotImplementedError
        yield

    def commit(self) -> int:
        """Make everything that was written the current version and return its number; the session goes on from there.

        If others committed meanwhile, both are put together: what one of them changed is taken from that one; what
        both changed is compared cell by cell. Metadata are consolidated here. Nothing written: nothing happens.

        Raises
        ------
        DatasetConflict
            If both changed the same; names variable and region. Others see nothing of this session, which can
            still be read, and rolled back.
        BusyError
            If another commit took longer than the timeout.
        StorageError, NotWritable
            If there is no room or no right to write; others see nothing of this session.
        """
        raise NotImplementedError

    def rollback(self) -> None:
        """Forget what was written since the last commit; the session goes on from the version that is current now."""
        raise NotImplementedError

    def close(self) -> None:
        """Forget what was not committed, and let go; may be called twice."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            if kind is None:
                self.commit()
        finally:
            self.close()
