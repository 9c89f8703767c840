"""The master index: whose sessions there are and what was run in them, asked without opening one of them.

It is derived: `MasterIndex.rebuild` makes the same one from the session files alone. Paths in it are relative to its
own folder, so that the whole may be moved.
"""

from __future__ import annotations

import contextlib
import logging
import re
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hmp_catalog.acquisition.indexing import SQL, Refreshed, numbered, refresh
from hmp_catalog.acquisition.records import BeamtimeInfo, ResearcherInfo, RunSummary
from hmp_catalog.acquisition.schema import INDEX_SCHEMA_VERSION, create_index_schema
from hmp_catalog.acquisition.searching import seconds
from hmp_catalog.acquisition.session import placed_in
from hmp_catalog.acquisition.values import dumped, loaded
from hmp_catalog.plain import real, text, whole, word
from hmp_core.backends import SQLiteBackend
from hmp_core.durable import make_folder, translated
from hmp_core.errors import CorruptError, InvalidInput, MigrationPending, NotFound, SchemaTooNewError
from hmp_core.locks import DEFAULT_TIMEOUT, database_lock
from hmp_core.paths import to_local, to_relative

if TYPE_CHECKING:
    from collections.abc import Sequence

    from upath import UPath

    from hmp_core.protocols import AuthBackend

_log = logging.getLogger(__name__)

_UID = re.compile(r"[0-9a-f-]{1,36}")


@dataclass(frozen=True)
class IndexedRun(RunSummary):
    """A run as the master index knows it; ``state`` says how its session was found when it was last looked for."""

    tags: tuple[str, ...] = ()
    researcher: str = ""
    beamtime: str = ""
    db_path: str = ""
    state: str = "ok"


class _Index:
    """The file of a master index, as both doors hold it."""

    def __init__(
        self, index_db_path: str | Path | UPath, *, auth: AuthBackend | None = None, timeout: float = DEFAULT_TIMEOUT
    ) -> None:
        self.path = to_local(index_db_path)
        owner = placed_in(self.path)
        asked: Any = {"auth": owner.auth() if auth is None else auth, "resource": owner.resource}
        self._auth = auth
        self._backend = SQLiteBackend(self.path, create=True, timeout=timeout, **asked)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[SQLiteBackend]:
        """Have the index for writing, its tables made or brought up to date."""
        make_folder(self.path.parent)
        if self.path.exists():
            self._require_known()  # before it is opened for writing: its first page changes
        with self._backend.lease(write=True):
            with self._backend.connection() as connection:
                create_index_schema(connection)
            with self._backend.transaction():
                yield self._backend

    def _require_known(self) -> int:
        """Return the version of the file, unless somebody else or a newer hmp wrote it."""
        tables, mine = self._backend.fetch_one(SQL["tables_at_all"]) or (0, 0)
        if tables and not mine:
            message = f"{self.path} is a database of something else, and no master index: give another path"
            raise InvalidInput(message)
        (found,) = self._backend.fetch_one("PRAGMA user_version") or (0,)
        if found > INDEX_SCHEMA_VERSION:
            message = f"{self.path} was written by a newer hmp (version {found}): upgrade this one"
            raise SchemaTooNewError(message, path=str(self.path), found=found, known=INDEX_SCHEMA_VERSION)
        return int(found)


class IndexWriter(_Index):
    """Registers researchers, sessions and runs in a master index.

    Parameters
    ----------
    index_db_path
        Its file, made if it is not there; the sessions lie in its folder or below.
    auth
        Who is asked for the right to write; by default whom the workspace or ``HMP_AUTH_BACKEND`` names.
    timeout
        Seconds to wait for another process.

    Examples
    --------
    >>> import tempfile
    >>> writer = IndexWriter(tempfile.mkdtemp() + "/index.db")
    >>> writer.ensure_schema()
    >>> ada = writer.register_researcher("Ada", "ada", email="ada@example.org")
    >>> june = writer.register_beamtime(ada, "June", "ada/june.db")
    >>> writer.register_beamtime(ada, "June", "ada/june.db") == june
    True
    """

    def ensure_schema(self) -> None:
        """Make the tables, or bring them up to date.

        Raises
        ------
        SchemaTooNewError
            If a newer hmp wrote the file; it is left as it is.
        InvalidInput
            If it is a database of something else, as a session is; it is left as it is.
        CorruptError, NotWritable, AccessDenied, BusyError
            If it cannot be had.
        """
        with self._writing():
            pass

    def register_researcher(
        self,
        name: str,
        root_path: str | Path,
        *,
        email: str | None = None,
        orcid: str | None = None,
        affiliation: str | None = None,
    ) -> int:
        """Return the number of a researcher, who is added if nobody of that name is known.

        What is known stays; what was not is filled in.

        Raises
        ------
        PathEscape
            If ``root_path`` does not lie in the folder of the index.
        InvalidInput
            For what cannot be kept.
        """
        called, root = word(name, "name of a researcher"), to_relative(root_path, self.path.parent)
        facts = [text(email, "email"), text(orcid, "orcid"), text(affiliation, "affiliation")]
        with self._writing() as backend:
            return numbered(backend, called, root, facts)

    def register_beamtime(
        self, researcher_id: int, label: str, db_path: str | Path, *, time_start: float | None = None
    ) -> int:
        """Return the number of a session, which is added if none is known at that place.

        Parameters
        ----------
        researcher_id
            Whose it is, as `register_researcher` returned it.
        label
            What it is called.
        db_path
            Its file, absolute or relative to the folder of the index; it need not be there yet.
        time_start
            When it begins, in seconds since 1970.

        Raises
        ------
        PathEscape
            If the file does not lie in the folder of the index or below.
        NotFound
            If there is no such researcher.
        InvalidInput
            For what cannot be kept.
        """
        where = to_relative(db_path, self.path.parent)
        began = None if time_start is None else real(time_start, "time_start")
        called = word(label, "label of a beamtime")
        with self._writing() as backend:
            found = backend.fetch_one(SQL["beamtime_at"], [where])
            if found is None:
                _require(backend, "researchers", researcher_id)
                backend.execute(SQL["add_beamtime"], [researcher_id, called, where, began])
                found = backend.fetch_one(SQL["beamtime_at"], [where])
            (number,) = found or (0,)
            return int(number)

    def index_run(
        self,
        uid: str,
        researcher_id: int,
        beamtime_id: int,
        plan_name: str,
        *,
        sample_name: str | None = None,
        time_start: float | None = None,
        tags: Sequence[str] | None = None,
    ) -> None:
        """Put a run into the index; one that is there is replaced.

        ``time_start`` is by default what is known already, else now.

        Raises
        ------
        NotFound
            If there is no such researcher or session.
        InvalidInput
            If the session is another researcher's, or for what cannot be kept.
        """
        began = None if time_start is None else real(time_start, "time_start")
        said = [word(plan_name, "plan_name"), text(sample_name, "sample_name")]
        kept = dumped([word(each, "tag") for each in tags or ()], "tags")
        with self._writing() as backend:
            _require(backend, "researchers", researcher_id)
            _require(backend, "beamtimes", beamtime_id)
            if backend.fetch_one(SQL["beamtime"], [beamtime_id]) != (researcher_id,):
                message = f"beamtime {beamtime_id} is not one of researcher {researcher_id}"
                raise InvalidInput(message)
            if began is None:
                (began,) = backend.fetch_one(SQL["indexed_run"], [word(uid, "uid")]) or (time.time(),)
            backend.execute(SQL["index_run"], [word(uid, "uid"), researcher_id, beamtime_id, *said, began, kept])


class MasterIndex(_Index):
    """Asks a master index, and brings it up to date with the session files.

    Parameters
    ----------
    index_db_path, auth, timeout
        See `IndexWriter`.

    Examples
    --------
    >>> import tempfile
    >>> index = MasterIndex(tempfile.mkdtemp() + "/index.db")
    >>> index.refresh().sessions
    0
    >>> index.find(status="failed")
    []
    """

    def find(
        self,
        *,
        researcher: str | None = None,
        beamtime: str | None = None,
        sample: str | None = None,
        plan: str | None = None,
        operator: str | None = None,
        status: str | None = None,
        since: float | str | date | None = None,
        until: float | str | date | None = None,
        tag: str | None = None,
        scan_id: int | None = None,
        uid: str | None = None,
    ) -> list[IndexedRun]:
        """Return the runs that fit all that is said, the latest first; no session is opened.

        Parameters
        ----------
        researcher, beamtime, sample, plan, operator, status, scan_id
            Exactly these; a beamtime by its label or its ``db_path``.
        since, until
            When it began: from, and before; seconds since 1970, or a time (without a zone it is UTC).
        tag
            One of the tags of its sample.
        uid
            The head of the uid.

        Raises
        ------
        DatabaseNotFound, CorruptError, SchemaTooNewError, AccessDenied, BusyError
            If the index cannot be read.
        MigrationPending
            If an older hmp wrote it: `refresh` brings it up to date.
        InvalidInput
            For a time or a uid that is none, or a database of something else.
        """
        exact = {
            "r.name = ?": text(researcher, "researcher"),
            "? IN (b.label, b.db_path)": text(beamtime, "beamtime"),
            "i.sample_name = ?": text(sample, "sample"),
            "i.plan_name = ?": text(plan, "plan"),
            "i.operator = ?": text(operator, "operator"),
            "i.exit_status = ?": text(status, "status"),
            "i.scan_id = ?": whole(scan_id, "scan_id"),
            "i.time_start >= ?": None if since is None else seconds(since, "since"),
            "i.time_start < ?": None if until is None else seconds(until, "until"),
            "EXISTS (SELECT 1 FROM json_each(i.tags) WHERE value = ?)": text(tag, "tag"),
            "i.uid GLOB ?": _head(uid),
        }
        asked = {condition: value for condition, value in exact.items() if value is not None}
        conditions = [condition.replace("?", f"${n}") for n, condition in enumerate(asked, 1)]
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        with self._reading() as backend:
            rows = backend.fetch_all(f"{SQL['find']}{where} ORDER BY i.time_start DESC, i.uid", list(asked.values()))
        return [_indexed(row) for row in rows]

    def beamtimes(self) -> list[BeamtimeInfo]:
        """Return the sessions, the latest first; also those that are missing."""
        with self._reading() as backend:
            return [BeamtimeInfo(*row) for row in backend.fetch_all(SQL["all_beamtimes"])]

    def researchers(self) -> list[ResearcherInfo]:
        """Return the researchers, by name."""
        with self._reading() as backend:
            return [ResearcherInfo(*row) for row in backend.fetch_all(SQL["all_researchers"])]

    def refresh(self, root: str | Path | UPath | None = None) -> Refreshed:
        """Read the sessions that changed, and those that are new below ``root`` (by default the folder of the index).

        A session that is not at its place is looked for below ``root`` by its store id, and found as ``moved``, else
        kept as ``missing``. One that cannot be read keeps its runs and is named.

        Raises
        ------
        PathEscape
            If ``root`` does not lie in the folder of the index.
        SchemaTooNewError, CorruptError, NotWritable, AccessDenied, BusyError
            If the index itself cannot be had.
        InvalidInput
            If it is a database of something else, as a session is; it is left as it is.
        """
        return self._refreshed(root, anew=False)

    def rebuild(self, root: str | Path | UPath | None = None) -> Refreshed:
        """Forget everything, and read it from the session files below ``root`` alone; see `refresh`.

        It is one transaction: killed on the way, the index stays as it was. An index that is damaged is set aside.
        """
        try:
            return self._refreshed(root, anew=True)
        except CorruptError:
            self._set_aside()
            return self._refreshed(root, anew=True)

    def _set_aside(self) -> None:
        with database_lock(self.path).hold(), translated(self.path):
            aside = self.path.with_name(f"{self.path.name}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S%f}")
            self.path.rename(aside)
            _log.warning("%s is damaged; it was set aside as %s", self.path, aside)

    def _refreshed(self, root: str | Path | UPath | None, *, anew: bool) -> Refreshed:
        folder = self.path.parent if root is None else to_local(root)
        to_relative(folder, self.path.parent)
        with self._writing() as backend:
            if anew:
                backend.execute(SQL["forget_beamtimes"])
                backend.execute(SQL["forget_researchers"])
            return refresh(backend, self.path, folder, auth=self._auth)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[SQLiteBackend]:
        with self._backend.lease(write=False):
            found = self._require_known()
            if found < INDEX_SCHEMA_VERSION:
                message = f"{self.path} is of version {found}, not {INDEX_SCHEMA_VERSION}: refresh() brings it up to it"
                raise MigrationPending(message, path=str(self.path), found=found, known=INDEX_SCHEMA_VERSION)
            yield self._backend


def _head(uid: str | None) -> str | None:
    if uid is None:
        return None
    if not _UID.fullmatch(text(uid, "uid") or ""):
        message = f"{uid!r} is not the head of a uid: expected hexadecimal digits"
        raise InvalidInput(message)
    return f"{uid}*"


def _indexed(row: tuple[Any, ...]) -> IndexedRun:
    *said, tags, researcher, beamtime, db_path, state = row
    summary = RunSummary(*said)
    where: dict[str, Any] = {"researcher": researcher, "beamtime": beamtime, "db_path": db_path, "state": state}
    return IndexedRun(**asdict(summary), **where, tags=tuple(loaded(tags, "tags of a run") or ()))


def _require(backend: SQLiteBackend, table: str, number: int) -> None:
    if backend.fetch_one(f"SELECT 1 FROM {table} WHERE id = $1", [number]) is None:
        message = f"the index has no {number!r} among its {table}; register it first"
        raise NotFound(message)
