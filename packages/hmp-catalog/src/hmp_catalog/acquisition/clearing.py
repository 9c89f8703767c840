"""What nobody needs any more: arrays of runs that were deleted, and frames behind the last one that was acknowledged.

Everything that goes is found by what lies there, so a removal that was cut short is found again and ended.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hmp_catalog.acquisition.looking import UNCLOSED, Finding, Looked, length_of, look, store_id_of
from hmp_catalog.acquisition.reading import Reading
from hmp_catalog.acquisition.records import RUNNING
from hmp_catalog.acquisition.recovery import interrupt_dead_runs
from hmp_catalog.acquisition.session import Session, array_of, placed_in, require_no_writer
from hmp_catalog.acquisition.stack import PER_SHARD
from hmp_core.backends import SQLiteBackend
from hmp_core.durable import fsync_folder, translated, write_atomic
from hmp_core.errors import NotFound
from hmp_core.paths import to_local

if TYPE_CHECKING:
    from upath import UPath

    from hmp_core.protocols import AuthBackend

#: Seconds to wait for a writer: one holds its session for hours.
_PATIENCE = 1.0

#: Files of an array: a closed shard, one that was open, and what a write that was cut short left.
_CLOSED, _LEFT = re.compile(r"c\.(\d+)\.0\.0"), re.compile(r"\.open-\d+|\..*\.tmp")


def gc(
    db_path: str | Path | UPath,
    *,
    dry_run: bool = True,
    auth: AuthBackend | None = None,
    timeout: float = _PATIENCE,
) -> list[Finding]:
    """Remove what nobody needs beside a session, and close what dead writers left; return what that is.

    Parameters
    ----------
    db_path
        The session file.
    dry_run
        Only return it; a session that somebody writes can be asked, and its open run is left out.
    auth
        Who is asked for the right to read, or to write; by default whom the workspace or ``HMP_AUTH_BACKEND`` names.
    timeout
        Seconds to wait for a writer.

    Raises
    ------
    BusyError
        If somebody writes the session; nothing is removed.
    DatabaseNotFound, CorruptError, SchemaTooNewError, NotWritable, AccessDenied
        If the session cannot be had.
    InvalidInput
        If the Zarr group beside it is another session's.

    Examples
    --------
    >>> import tempfile
    >>> from hmp_catalog.acquisition import RunWriter, SampleMetadata
    >>> june = tempfile.mkdtemp() + "/june.db"
    >>> with RunWriter(june, SampleMetadata("outlet")) as writer:
    ...     uid = writer.open_run("count")
    >>> gc(june)
    []
    """
    reading = Reading(to_local(db_path), auth=auth, timeout=timeout)
    looked = look(reading)
    if dry_run:
        return [*unclosed(looked), *orphans(looked)]
    with _writing(looked, auth, timeout) as session:
        looked = look(reading)
        found = [*unclosed(looked)]
        if found and session is not None:
            interrupt_dead_runs(session)
            looked = look(reading)
        gone = list(orphans(looked))
        for each in gone:
            _remove(looked, each)
    return [*found, *gone]


def delete_run(
    db_path: str | Path | UPath, uid: str, *, auth: AuthBackend | None = None, timeout: float = _PATIENCE
) -> None:
    """Delete a run with its streams and events; its frames are removed by `gc`.

    Parameters
    ----------
    db_path
        The session file.
    uid
        The run, in full.
    auth, timeout
        See `gc`.

    Raises
    ------
    NotFound
        If the session has no such run.
    BusyError
        If somebody writes the session.
    DatabaseNotFound, CorruptError, SchemaTooNewError, NotWritable, AccessDenied
        If the session cannot be had.
    """
    path = to_local(db_path)
    with Reading(path, auth=auth, timeout=timeout).snapshot():
        pass  # it is a session that this hmp knows
    backend = _backend(path, auth, timeout)
    with backend.lease(write=True), backend.transaction():
        if not isinstance(uid, str) or backend.fetch_one("SELECT 1 FROM runs WHERE uid = $1", [uid]) is None:
            message = f"{path} has no run {uid!r}; a run is deleted by its whole uid"
            raise NotFound(message, reference=str(uid), candidates=[])
        backend.execute("DELETE FROM runs WHERE uid = $1", [uid])


def _backend(path: Path, auth: AuthBackend | None, timeout: float) -> SQLiteBackend:
    require_no_writer(path)
    owner = placed_in(path)
    asked: dict[str, Any] = {"auth": owner.auth() if auth is None else auth, "resource": owner.resource}
    return SQLiteBackend(path, timeout=timeout, **asked)


@contextlib.contextmanager
def _writing(looked: Looked, auth: AuthBackend | None, timeout: float) -> Iterator[Session | None]:
    """Keep writers out; a file of an older version, and one without frames, stay as they are."""
    path = looked.reading.path
    if looked.store_id is None or not looked.reading.zarr.is_dir():
        with _backend(path, auth, timeout).lease(write=True):
            yield None
        return
    session = Session(path, auth=auth, timeout=timeout)
    session.open({})
    try:
        yield session
    finally:
        session.close()


# ── what nobody needs ────────────────────────────────────────────────────────────────────────────────


def unclosed(looked: Looked) -> Iterator[Finding]:
    """Yield the runs whose writer died, and which nobody closed."""
    for uid in looked.unended:
        what = "its writer ended without a word; the next writer, or gc, closes it"
        yield Finding(UNCLOSED, looked.reading.path, what, uid)


def orphans(looked: Looked) -> Iterator[Finding]:
    """Yield what lies in the Zarr group and belongs to no run, or lies behind the last frame of one."""
    store = looked.reading.zarr
    if store_id_of(store) not in {None, looked.store_id}:
        return
    for run, fields in looked.folders.items():
        folder = store / "runs" / run
        if run not in looked.runs:
            yield Finding("orphan-run", folder, "its run was deleted", run)
        elif looked.runs[run] != RUNNING:
            for name in fields:
                yield from _orphans_of(looked, run, name)


def _orphans_of(looked: Looked, run: str, name: str) -> Iterator[Finding]:
    folder = looked.reading.zarr / array_of(run, name)
    array = looked.arrays.get((run, name))
    if array is None:
        yield Finding("orphan-array", folder, "none of its frames was acknowledged", run, name)
        return
    if array.opened or run in looked.unended:
        return  # its tail goes when its run is closed; where that cannot be, nothing of it is touched
    length = length_of(folder)
    if length is not None and length > array.count:
        frames = tuple(range(array.count, length))
        yield Finding("orphan-tail", folder, "frames that were not acknowledged", run, name, frames)
    elif length is not None and not array.refs and any(_left(folder, array.count)):
        yield Finding("orphan-tail", folder, "files of frames that were not acknowledged", run, name)


def _left(folder: Path, count: int) -> Iterator[Path]:
    """Yield the files of an array that hold none of its first frames."""
    shards = -(-count // PER_SHARD)
    for file in sorted(folder.iterdir()):
        found = _CLOSED.fullmatch(file.name)
        if _LEFT.fullmatch(file.name) or (found and int(found[1]) >= shards):
            yield file


def _remove(looked: Looked, each: Finding) -> None:
    with translated(each.where):
        if each.code != "orphan-tail":
            shutil.rmtree(each.where)
            fsync_folder(each.where.parent)
            return
        array = looked.arrays[each.run or "", each.field or ""]
        said = json.loads((each.where / "zarr.json").read_bytes())
        said["shape"][0] = array.count
        for file in _old_chunks(each) if array.refs else _left(each.where, array.count):
            file.unlink(missing_ok=True)
        write_atomic(each.where / "zarr.json", json.dumps(said, indent=2).encode())


def _old_chunks(each: Finding) -> Iterator[Path]:
    """Yield the files of frames of an array of the first versions, which has one for each."""
    for number in each.frames:
        yield each.where / "c" / str(number) / "0" / "0"
