"""A gridded data set behind a URL: attached in a local folder, read as far as it is asked for, pushed and pulled."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from hmp_catalog.datasets import opening
from hmp_catalog.datasets.dataset import Dataset
from hmp_catalog.datasets.handle import Handle
from hmp_catalog.datasets.history.versions import Versions
from hmp_catalog.datasets.remote import clearing, differing, pulling, pushing, remotes
from hmp_catalog.datasets.remote.differing import Changed
from hmp_catalog.datasets.remote.fetching import Fetcher
from hmp_catalog.datasets.remote.pushing import Pushed
from hmp_catalog.datasets.remote.remotes import Remote
from hmp_catalog.datasets.remote.standing import Home
from hmp_catalog.errors import RemoteMissing, RemoteUnreachable
from hmp_core.errors import BusyError, CorruptError, InvalidInput, NotWritable


class Change:
    """What changed here since the last push or pull, committed or not; `EDataset.changes` gives it.

    Iterating looks anew each time, and gives a `Changed` for each variable; it is true if there is any.
    """

    def __init__(self, dataset: EDataset) -> None:
        self._dataset = dataset

    def __iter__(self) -> Iterator[Changed]:
        yield from self._dataset._differing()

    def __bool__(self) -> bool:
        return next(iter(self), None) is not None

    def __repr__(self) -> str:
        return f"Change({', '.join(f'{each.variable or chr(46)} {each.kind}' for each in self)})"

    def discard(self) -> None:
        """Go back to what was pushed or pulled last, and commit that. Before the first push nothing happens.

        Raises
        ------
        InvalidInput
            If the data set is open for reading only.
        """
        self._dataset._discard()

    def pull(self) -> int:
        """Pull; see `EDataset.pull`."""
        return self._dataset.pull()

    def push(self, force_push: bool = False) -> Pushed:  # noqa: FBT001, FBT002 - as cfdb has it
        """Push; see `EDataset.push`."""
        return self._dataset.push(force_push)


class EDataset(Dataset):
    """A data set that is also behind a URL; `open_edataset` makes one.

    It is read and written as any other. What is not here is fetched when it is read, and kept. What is written is
    committed here, and seen by others after `push`.
    """

    def __init__(self, handle: Handle, remote: Remote) -> None:
        super().__init__(handle)
        self.remote = remote

    @property
    def remote_number(self) -> int:
        """The version behind the URL that was pushed or pulled last; 0 if none was."""
        on = pulling.current(self.handle.versions)
        return 0 if on is None else on.number

    def changes(self) -> Change:
        """Return what changed here since the last push or pull, committed or not; nothing is committed by that."""
        return Change(self)

    def push(self, force_push: bool = False) -> Pushed:  # noqa: FBT001, FBT002 - as cfdb has it
        """Commit, and make this the newest version behind the URL; return its number there, and what was sent.

        Where nothing changed nothing is pushed, and the answer is false. Only what changed is sent. Others see the
        version before or this one, also if the process dies on the way; then the next push goes on with what was sent.

        Parameters
        ----------
        force_push : bool
            Also where others pushed since the last pull, or another data set is there: this one takes its place.

        Raises
        ------
        RemoteConflict
            If others pushed since the last pull: pull, and push again. Or another data set is at the URL.
        RemoteMissing
            If the data set was removed there.
        NotWritable
            If the store can only be read, as web servers, or makes no object exclusively.
        InvalidInput
            If the data set is open for reading only.
        RemoteUnreachable, StorageError
            If it could not be sent.
        """
        self._require_writable()
        self.commit()
        pushed = pushing.push(self.handle.versions, self.remote, force=force_push)
        with self.handle.gate.alone():
            if not self.handle.changed:  # another thread may write again already
                self._move_on()
        return pushed

    def pull(self) -> int:
        """Commit what was written, and bring what others pushed; return the number of the version behind the URL.

        Changes of both are put together cell by cell, as those of two sessions.

        Raises
        ------
        RemoteConflict
            If both changed the same; names variable and region, and nothing changed.
        RemoteMissing, RemoteUnreachable, CorruptError
            If there is nothing to pull, the store does not answer, or what it has is damaged.
        """
        with self._committed():
            return pulling.pull(self.handle.versions, self.remote)

    def load(self) -> int:
        """Fetch all that is not here yet; return how many files. Then plain Zarr and xarray read the folder too.

        Raises
        ------
        CorruptError, RemoteMissing, RemoteUnreachable
            If something cannot be fetched; what was, is kept.
        """
        with self._committed():
            return pulling.load(self.handle.versions, self.remote)

    def clear_remote(self, older_than: timedelta = timedelta(days=7)) -> int:
        """Delete behind the URL what no version needs, and what dead pushes left; return how many objects.

        Parameters
        ----------
        older_than : timedelta
            Versions that were the newest until then stay, for those who still read them; so do younger objects.

        Raises
        ------
        RemoteMissing
            If there is no data set.
        NotWritable, RemoteUnreachable
            If nothing can be deleted there.
        """
        return clearing.clear(self.remote, older_than)

    def delete_remote(self) -> None:
        """Delete the data set behind the URL. What is here stays; what was never fetched is gone: `load` first.

        Raises
        ------
        RemoteMissing
            If there is none.
        NotWritable, RemoteUnreachable
            If it cannot be deleted. Once it was begun nobody reads it any more; deleting it again goes on.
        """
        clearing.delete(self.remote)

    def copy_remote(self, remote_conn: str | os.PathLike[str] | Remote) -> int:
        """Put the newest version behind another URL, as a data set of its own; return its number there.

        Raises
        ------
        RemoteConflict
            If there is a data set already.
        RemoteMissing
            If there is nothing to copy.
        NotWritable, RemoteUnreachable, CorruptError
            If it cannot be written there, or not be read here.
        """
        fetcher = Fetcher(Home(self.handle.versions.path).path, self.remote)
        return clearing.copy(self.remote, _remote(remote_conn), fetcher)

    def _differing(self) -> list[Changed]:
        """Return what is other here than in what it stands on: in the session, else in the current version."""
        handle, versions = self.handle, self.handle.versions
        with handle.gate.alone():
            if not handle.changed:
                with versions.snapshot() as snapshot:
                    return differing.changes(Home(versions.path).base(snapshot.folder), snapshot.folder)
            folder = _folder(handle.group())
            if not versions.exists:
                return differing.changes(None, folder)
            try:
                return differing.changes(Home(versions.path).base(folder), folder)
            except (
                CorruptError
            ):  # another process pushed or pulled in this folder: the session stands on what was before
                with versions.snapshot(handle.number) as before:
                    return differing.changes(before.folder, folder)

    def _discard(self) -> None:
        self._require_writable()
        with self._committed():
            pulling.discard(self.handle.versions)

    @contextlib.contextmanager
    def _committed(self) -> Iterator[None]:
        """Commit, let something be done to the versions while nobody reads or writes, and see what came of it."""
        with self.handle.gate.alone():
            if self.handle.writable:
                self.handle.commit()
            yield
            self._move_on()

    def _move_on(self) -> None:
        """See the version that is current now; nothing was written since the commit."""
        if self.handle.writable:
            self.handle.rollback()
        else:
            self.handle.refresh()

    def _require_writable(self) -> None:
        if not self.writable:
            message = f"{self.file_path} is open for reading only; open it with flag 'w'"
            raise InvalidInput(message)


def open_edataset(
    remote_conn: str | os.PathLike[str] | Remote,
    file_path: str | os.PathLike[str],
    flag: str = "r",
    dataset_type: str = "grid",
    compression: str = "zstd_shuffle",
    compression_level: int | None = None,
    *,
    pull: bool = True,
    keep_versions: int = 0,
    timeout: float = 30.0,
) -> EDataset:
    """Open a gridded data set behind a URL, in a local folder that holds what was fetched and what was written.

    Parameters
    ----------
    remote_conn : str, Path, UPath or Remote
        The URL of a folder: ``s3://bucket/forcing``, ``https://example.org/forcing``, ``file:///srv/forcing``. Keys and
        endpoints are given by a `Remote`, by a UPath, or by the environment; they are never written down.
    file_path : str or Path
        The local folder, ``forcing.zarr``; made if it is not there. A data set that is there and was never pushed is
        pushed by the first `EDataset.push`.
    flag : str
        ``r`` to read, ``w`` to write, ``c`` to write and begin one where there is none, ``n`` to begin anew: the next
        push replaces what is there.
    dataset_type, compression, compression_level
        Of a new one; as in `open_dataset`.
    pull : bool
        Whether to bring what others pushed, if nothing changed here. Where the store does not answer, what is here is
        opened.
    keep_versions, timeout
        As in `open_dataset`.

    Raises
    ------
    RemoteMissing
        If there is no data set behind the URL, and none here.
    RemoteUnreachable
        If the store does not answer, and there is none here.
    RemoteConflict
        If the folder holds another data set than the URL.
    PathTaken
        If there is something else at the path.
    UnsupportedScheme
        If nobody here opens such a URL.
    CorruptError
        If what is behind the URL is damaged.
    InvalidInput
        Another flag, type or compression.
    """
    remote, new = _remote(remote_conn), opening.About(dataset_type, compression, compression_level)
    versions = Versions(Path(file_path), keep=keep_versions, timeout=timeout)
    home = Home(versions.path)
    remotes.introduce(home.path, remote)
    if versions.exists:
        _freshen(versions, remote, pull=pull)
    else:
        _attach(versions, remote, flag)
    on = pulling.current(versions) if versions.exists else None
    handle = opening.opened(file_path, flag, new, keep=keep_versions, timeout=timeout)
    if flag == "n" and on is not None:
        with handle.writing() as group:
            on.write(_folder(group))
    return EDataset(handle, remote)


def _folder(group: Any) -> Path:
    return Path(getattr(group.store, "root"))  # noqa: B009 - of all stores, this one has it


def _remote(said: str | os.PathLike[str] | Remote) -> Remote:
    return said if isinstance(said, Remote) else Remote(said)


def _freshen(versions: Versions, remote: Remote, *, pull: bool) -> None:
    """Bring what others pushed, where nothing can come of it but that."""
    on = pulling.current(versions)
    if on is None:
        _refuse_strangers(versions, remote)
    elif pull:
        with contextlib.suppress(RemoteUnreachable, RemoteMissing, NotWritable, BusyError):
            pulling.pull(versions, remote, only_even=True, timeout=0.0)


def _refuse_strangers(versions: Versions, remote: Remote) -> None:
    with contextlib.suppress(RemoteUnreachable, RemoteMissing):
        pulling.refuse_others(versions, remote, None, pulling.live(remote))


def _attach(versions: Versions, remote: Remote, flag: str) -> None:
    try:
        pulling.pull(versions, remote)
    except RemoteMissing:
        if flag not in {"c", "n"}:
            raise
