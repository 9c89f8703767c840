"""One session as a writer holds it: its SQLite file under one lease, the Zarr group beside it, and who they are."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from hmp_catalog.acquisition.schema import BEAMTIME_SCHEMA_VERSION, create_beamtime_schema
from hmp_catalog.errors import WriterState
from hmp_core.backends import SQLiteBackend
from hmp_core.databases import Database
from hmp_core.durable import make_folder, translated, write_atomic
from hmp_core.errors import BusyError, CorruptError, InvalidInput, PathNotFound, SchemaTooNewError
from hmp_core.layout import catalog_path, project_root, workspace_root
from hmp_core.statements import load_statements

if TYPE_CHECKING:
    from hmp_core.protocols import AuthBackend

SQL = {name: found.sql for name, found in load_statements("hmp_catalog.acquisition").items()}

#: The key under which a session, and the Zarr group beside it, say which they are.
STORE_ID = "store_id"
ATTRIBUTE = "hmp_store_id"

#: How many tables every session has, of whatever version.
_TABLES = 5


#: The sessions that this process writes, by their files: a thread may lease a database twice, but not write one so.
_written: weakref.WeakValueDictionary[str, Session] = weakref.WeakValueDictionary()


def zarr_beside(database: Path) -> Path:
    """Return the folder of the frames of a session: beside its file, links followed."""
    return Path(os.path.realpath(database)).with_suffix(".zarr")


def placed_in(database: Path) -> Database:
    """Return whose a session file is: its project's, else its workspace's, else its folder's."""
    folder = database.parent
    return Database("catalog", catalog_path(project_root(folder) or workspace_root(folder) or folder))


def array_of(run_uid: str, field: str) -> str:
    """Return where the frames of a field lie in the Zarr group."""
    return f"runs/{run_uid}/{field}"


def require_no_writer(database: Path) -> None:
    """Return unless this thread itself writes a session: for others there is the lock.

    Raises
    ------
    BusyError
        If it does.
    """
    path = os.path.realpath(database)
    if (found := _written.get(path)) is not None and found.is_mine:
        message = f"{path} is written by a RunWriter of this thread: close that one first"
        raise BusyError(message, path=path, holder="this thread", waited=0.0)


class Session:
    """A session that is open for writing, until `close`; one writer at a time, readers at any time.

    Parameters
    ----------
    database : Path
        The SQLite file; made, with the folders above it, if it is not there.
    auth : AuthBackend, optional
        Who is asked; by default whom the workspace or the environment names.
    timeout : float
        Seconds to wait for another writer.
    """

    def __init__(self, database: Path, *, auth: AuthBackend | None, timeout: float) -> None:
        self.path = Path(os.path.realpath(database))
        self.zarr = zarr_beside(database)
        if self.zarr == self.path:
            message = f"{database}: a session is a file beside its frames; give it another ending than .zarr"
            raise InvalidInput(message)
        owner = placed_in(self.path)
        asked: dict[str, Any] = {"auth": owner.auth() if auth is None else auth, "resource": owner.resource}
        owner.authorize("write", asked["auth"], what="open a session")
        # links followed: whatever leads to it, it has one lock
        self.backend = SQLiteBackend(self.path, create=True, timeout=timeout, **asked)
        self._stack = contextlib.ExitStack()
        self._batch: contextlib.ExitStack | None = None
        self._thread, self._process = threading.get_ident(), os.getpid()

    def open(self, facts: Mapping[str, Any]) -> None:
        """Take the session, bring its tables up to date, and tie the Zarr group to it.

        Parameters
        ----------
        facts
            What is to be put down about the session, where nothing is said yet: text, or None.

        Raises
        ------
        BusyError
            If another writer has it.
        SchemaTooNewError, CorruptError, NotWritable, AccessDenied
            If it cannot be had; nothing is changed.
        InvalidInput
            If the Zarr group beside it is another session's, or it has frames and there is none.
        """
        require_no_writer(self.path)
        make_folder(self.path.parent)
        if self.path.exists():
            self._require_known()
        else:
            self._require_no_frames()  # of another session; before there is a file
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.backend.lease(write=True))
            with self.backend.connection() as connection:
                create_beamtime_schema(connection)
            self._identify(facts)
            self._stack = stack.pop_all()
        _written[str(self.path)] = self

    def _require_known(self) -> None:
        """Refuse what a newer hmp, or somebody else, wrote before it is opened for writing: its first page changes."""
        (found,) = self.backend.fetch_one("PRAGMA user_version") or (0,)
        if found > BEAMTIME_SCHEMA_VERSION:
            message = f"{self.path} was written by a newer hmp (version {found} of its tables): upgrade this one"
            raise SchemaTooNewError(message, path=str(self.path), found=found, known=BEAMTIME_SCHEMA_VERSION)
        tables, mine = self.backend.fetch_one(SQL["tables_at_all"]) or (0, 0)
        if tables and mine < _TABLES:
            message = f"{self.path} is a database of something else, and no session: give another path"
            raise InvalidInput(message)

    def _require_no_frames(self) -> None:
        if ATTRIBUTE in _group(self.zarr / "zarr.json")["attributes"] or (self.zarr / "runs").exists():
            raise self._not_mine()

    def _not_mine(self) -> InvalidInput:
        message = (
            f"{self.zarr} belongs to another session than {self.path}: do two files differ in their ending alone, or "
            "was the file moved away? Give this session another name"
        )
        return InvalidInput(message)

    def _identify(self, facts: Mapping[str, Any]) -> None:
        said = dict(self.backend.fetch_all(SQL["identity"]))
        mine = said.get(STORE_ID) or str(uuid4())
        root = self.zarr / "zarr.json"
        found = _group(root)
        theirs = found["attributes"].get(ATTRIBUTE, mine)
        if theirs != mine:
            raise self._not_mine()
        if STORE_ID in said and not self.zarr.is_dir() and self.backend.fetch_one(SQL["any_frames"]) != (0,):
            message = (
                f"the frames of {self.path} are not there: was it renamed or moved without {self.zarr.name}? Put that "
                "beside it; where it is lost for good, begin another session"
            )
            raise InvalidInput(message)
        new = {STORE_ID: mine} | {key: value for key, value in facts.items() if value is not None}
        with self.backend.transaction():
            for key, value in new.items():
                if key not in said:
                    self.backend.execute(SQL["say"], [key, value])
        if found["attributes"].get(ATTRIBUTE) != mine:
            found["attributes"][ATTRIBUTE] = mine
            make_folder(self.zarr)
            write_atomic(root, json.dumps(found, indent=2).encode())

    def group(self, run_uid: str) -> None:
        """Make the Zarr groups above the arrays of a run."""
        for folder in (self.zarr / "runs", self.zarr / "runs" / run_uid):
            if not (folder / "zarr.json").exists():
                make_folder(folder)
                write_atomic(folder / "zarr.json", json.dumps(_group(None), indent=2).encode())

    # ── writing ──────────────────────────────────────────────────────────────────────────────────────

    def require_thread(self) -> None:
        """Return if this is the thread that opened the session: what it holds is that thread's.

        Raises
        ------
        WriterState
            If not.
        """
        if self.inherited:
            message = f"{self.path} is written by the process that opened it; this child of a fork opens a writer anew"
            raise WriterState(message)
        if not self.is_mine:
            message = f"{self.path} is written by the thread that opened it, and by no other"
            raise WriterState(message)

    @property
    def is_mine(self) -> bool:
        """Whether this thread opened the session."""
        return threading.get_ident() == self._thread and not self.inherited

    @property
    def inherited(self) -> bool:
        """Whether this is the child of a fork: the session is its parent's."""
        return os.getpid() != self._process

    def begin(self) -> None:
        """Begin a transaction, unless one is under way."""
        if self._batch is None:
            with contextlib.ExitStack() as stack:
                stack.enter_context(self.backend.transaction())
                self._batch = stack.pop_all()

    def commit(self) -> None:
        """End the transaction that is under way: what was written is durable."""
        if self._batch is not None:
            self._batch.close()  # where it fails or is cut short, `roll_back` finds what is left of it
            self._batch = None

    def roll_back(self, error: BaseException) -> None:
        """Undo the transaction that is under way."""
        if self._batch is not None:
            self._batch.__exit__(type(error), error, error.__traceback__)
            self._batch = None

    def close(self) -> None:
        """Commit, and give the session back."""
        try:
            self.commit()
        finally:
            self._stack.close()
            _written.pop(str(self.path), None)


def _group(file: Path | None) -> dict[str, Any]:
    """Return the metadata of a Zarr group; those of a new one where there is none."""
    try:
        with translated(file or Path()):
            found = json.loads(file.read_bytes()) if file is not None else {}
        return {"zarr_format": 3, "node_type": "group", **found, "attributes": dict(found.get("attributes", {}))}
    except PathNotFound:
        return _group(None)
    except (ValueError, AttributeError, TypeError) as error:
        message = f"{file} cannot be read: {error}"
        raise CorruptError(message, path=str(file)) from error
