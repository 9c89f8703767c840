"""Opening the cache of a workspace: the rooms behind both doors, and a database wherever it is missing."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from hmp_cache import queries, sidecar
from hmp_cache.arrival import Arrival
from hmp_cache.asking import Asking
from hmp_cache.coverage import Coverage
from hmp_cache.fetching import Fetcher, How
from hmp_cache.fold import FOLD
from hmp_cache.frozen import Frozen, is_frozen
from hmp_cache.intake import Intake
from hmp_cache.labels import Label
from hmp_cache.obtaining import Obtaining
from hmp_cache.offering import Offering
from hmp_cache.progress import telling
from hmp_cache.records import Entry
from hmp_cache.shelf import SIDECAR, Shelf
from hmp_cache.signature import Bytes
from hmp_core.arrivals import announce
from hmp_core.databases import Database
from hmp_core.durable import make_folder
from hmp_core.errors import CorruptError, DatabaseNotFound, InvalidInput, NotWritable, PathNotFound, SchemaTooNewError
from hmp_core.events import Event, EventStore
from hmp_core.events.rebuild import rebuild
from hmp_core.layout import WORKSPACE_MARKER, cache_path, init_workspace, read_root
from hmp_core.locks import DEFAULT_TIMEOUT
from hmp_core.paths import to_local, to_relative

if TYPE_CHECKING:
    import pyarrow as pa
    from upath import UPath

    from hmp_cache.progress import Progress
    from hmp_core.events.store import Notice
    from hmp_core.protocols import AuthBackend, BackendFactory

_log = logging.getLogger(__name__)


def rooms_of(
    workspace: str | Path | UPath,
    *,
    create: bool,
    read_only: bool,
    auth: AuthBackend | None,
    timeout: float,
    frozen: bool | None = None,
    backend: BackendFactory | None = None,
) -> Rooms:
    """Open the cache of a workspace; see `hmp_cache.open`."""
    local = to_local(workspace)
    if create and not read_only and not (local / WORKSPACE_MARKER).is_file():
        Database("cache", cache_path(local)).authorize("write", auth, what="make the workspace")
        init_workspace(local)
    return Rooms.opened(_root(local), read_only=read_only, auth=auth, timeout=timeout, frozen=frozen, backend=backend)


def rebuild_cache(
    workspace: str | Path | UPath,
    *,
    auth: AuthBackend | None = None,
    timeout: float = DEFAULT_TIMEOUT,
    backend: BackendFactory | None = None,
) -> Notice:
    """Make the database of a workspace anew, also where it is damaged and cannot be opened.

    Returns
    -------
    Notice
        See `InputsNamespace.rebuild`.

    Raises
    ------
    PathNotFound
        If there is no such workspace.
    BusyError, AccessDenied, NotWritable
        See `hmp_core.errors`.
    """
    root = _root(to_local(workspace))
    rooms = Rooms.furnished(root, read_only=False, auth=auth, timeout=timeout, backend=backend)
    rooms.may_write("rebuild it")
    make_folder(cache_path(root).parent)
    return rooms.rebuild()


def _root(local: Path) -> Path:
    return Path(os.path.realpath(read_root(local, WORKSPACE_MARKER).path))


def workspace_of(database: Path) -> Path:
    """Return the workspace of a cache by its database file, which need not exist.

    Raises
    ------
    InvalidInput
        If it is not called ``data/cache.duckdb``.
    PathNotFound
        If its folder does not exist; nothing is created.
    """
    real = Path(os.path.realpath(database))
    if real != cache_path(real.parents[1]):
        message = f"{database}: the database of a cache is <workspace>/data/cache.duckdb"
        raise InvalidInput(message)
    if not real.parent.is_dir():
        message = f"{real.parent}: no such folder; make the workspace with `hmp init PATH`"
        raise PathNotFound(message, path=str(real.parent))
    return real.parents[1]


@dataclass(frozen=True, slots=True)
class Rooms:
    """What both doors of the cache stand on."""

    store: EventStore
    shelf: Shelf
    intake: Intake
    fetcher: Fetcher
    asking: Asking
    offering: Offering
    obtaining: Obtaining
    coverage: Coverage
    auth: AuthBackend
    resource: str
    timeout: float

    @classmethod
    def opened(
        cls,
        workspace: Path,
        *,
        read_only: bool,
        auth: AuthBackend | None,
        timeout: float,
        frozen: bool | None = None,
        backend: BackendFactory | None = None,
    ) -> Rooms:
        """Return the rooms of a workspace, its database made or brought up to date unless ``read_only``."""
        rooms = cls.furnished(workspace, read_only=read_only, auth=auth, timeout=timeout, backend=backend)
        if is_frozen(frozen):
            rooms.store.authorize(write=False)  # asked before the lock file is read
            rooms = replace(rooms, asking=Frozen(rooms.store, rooms.shelf))
        rooms._enter()
        if not (read_only or is_frozen(frozen)):
            announce(workspace)
        return rooms

    @classmethod
    def furnished(
        cls,
        workspace: Path,
        *,
        read_only: bool,
        auth: AuthBackend | None,
        timeout: float,
        backend: BackendFactory | None = None,
    ) -> Rooms:
        """Return the rooms of a workspace; nothing is opened yet."""
        database = cache_path(workspace)
        known = Database("cache", database)
        authority, resource = known.auth() if auth is None else auth, known.resource
        asked: dict[str, Any] = {"auth": authority, "resource": resource, "timeout": timeout}
        store = EventStore(database, FOLD, **asked, read_only=read_only, backend=backend)
        shelf = Shelf(workspace, auth)
        intake = Intake(store, shelf, timeout=timeout)
        fetcher = Fetcher(store, shelf, intake, timeout=timeout)
        asking, offering = Asking(store, shelf), Offering(store, workspace)
        obtaining = Obtaining(store, shelf, intake, fetcher, offering)
        coverage = Coverage(store, shelf, offering, obtaining)
        return cls(store, shelf, intake, fetcher, asking, offering, obtaining, coverage, authority, resource, timeout)

    def _enter(self) -> None:
        making = not (self.store.read_only or self.store.path.exists())
        self.store.authorize(write=making, what="make the database" if making else "open it")
        if self.store.read_only:
            if not self.store.path.exists():
                message = (
                    f"{self.shelf.workspace} has no data/cache.duckdb; open it for writing, or run `hmp data rebuild`"
                )
                raise DatabaseNotFound(message, path=str(self.store.path))
        else:
            self._make()
            if self.auth.can_write(self.resource):
                self.intake.settle_all()
        with self.store.reading():
            pass  # what cannot be read is refused here, at the door

    def _make(self) -> None:
        make_folder(self.shelf.data)
        if self.store.path.exists() or not self._has_history():
            self.store.prepare_schema()
        else:
            self._rebuild()

    def _has_history(self) -> bool:
        log = [*self.store.files.packed(), *self.store.files.segments()]
        return bool(log) or next(sidecar.every(self.shelf.data), None) is not None

    # ── verbs ────────────────────────────────────────────────────────────────────────────────────────

    def add(
        self, path: str | Path | UPath, said: Mapping[str, Any], parents: Sequence[Entry | UUID | str] = ()
    ) -> Entry:
        """Copy a file in; see `InputsNamespace.add`."""
        self.may_write(f"add {path}")
        return self.entry(self.store_copy(*self.arriving({**said, "path": path, "parents": parents})))

    def arriving(self, said: Mapping[str, Any]) -> tuple[Path, Arrival]:
        """Return a user's file that is to be copied in, and what is said of it.

        Raises
        ------
        InvalidInput, PathNotFound
            For a value or a path that cannot be accepted, and for a word that nobody knows.
        """
        facts = {"parents": (), **said}
        path, parents = facts.pop("path", None), facts.pop("parents")
        unknown = sorted(facts.keys() - Label.__dataclass_fields__.keys())
        if path is None or unknown or not {"variable", "source"} <= facts.keys():
            message = (
                f"what is said of a file is {sorted(said)}; expected path, variable, source and the words of add()"
            )
            raise InvalidInput(message)
        label = Label(**facts, parents=self._parents(parents))
        source = self.user_file(path)
        return source, Arrival(label, source.name, stand_in=source.name, uri=self._origin(source, label))

    def store_copy(self, source: Path, arrival: Arrival) -> Event:
        """Copy a user's file in, and return the event that stored it."""
        with self.shelf.incoming.receiving() as file:
            return self.intake.accept(self.shelf.incoming.copy_in(source, file), arrival)

    def _parents(self, parents: Sequence[Entry | UUID | str]) -> list[dict[str, Any]]:
        found = [parent if isinstance(parent, Entry) else self.asking.one(parent) for parent in parents]
        return [
            {"entry_id": str(e.id), "artifact_id": str(e.artifact_id), "sha256": e.sha256, "variable": e.variable}
            for e in found
        ]

    def fetch(
        self, uri: str | None, said: Mapping[str, Any], how: How, *, progress: bool | Progress | None = None
    ) -> Entry:
        """Obtain what lies under a URI, or what a source has; see `InputsNamespace.fetch`."""
        if self.frozen is not None:
            return self.frozen.fetched(uri, said, how)
        self.may_write(f"fetch {said['variable']}")
        if uri is None:
            return self.obtaining.fetch(said, how)
        with telling(uri, progress) as advance:
            return self.entry(self.fetcher.fetch(uri, Label(**said), replace(how, advance=advance)))

    def offers(self, source: str | None, variable: str | None, *, record: bool) -> pa.Table:
        """List what sources offer; see `InputsNamespace.offers`."""
        if record:
            self.may_write("record what sources offer")
            self.offering.record(source)
        return self.offering.table(source, variable)

    def entry(self, event: Event) -> Entry:
        """Return what a stored event says."""
        return queries.entry_of(event, self.shelf)

    def first_current(self, found: Sequence[Entry], *, verify: str) -> Entry | None:
        """Return the first entry whose file is there; with "full", has the bytes that were registered."""
        here = (entry for entry in found if entry.state == "current")
        if verify != "full":
            return next(here, None)
        return next((one for one in here if Bytes(one.sha256, one.signature).are_in(one.path, full=True)), None)

    def user_file(self, path: str | Path | UPath) -> Path:
        """Return a user's file, links followed.

        Raises
        ------
        PathNotFound, InvalidInput
            If there is none, or it is a folder, a device, or a sidecar of the cache.
        """
        found = Path(os.path.realpath(to_local(path)))
        try:
            str(found).encode()
        except UnicodeEncodeError:
            message = f"{str(found)!r}: the name is no Unicode text and cannot be kept; rename the file"
            raise InvalidInput(message) from None
        try:
            mode = found.stat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            message = f"{found}: no such file"
            raise PathNotFound(message, path=str(found)) from None
        except OSError as error:
            message = f"{found} cannot be looked at: {error.strerror}"
            raise InvalidInput(message) from error
        if not stat.S_ISREG(mode):
            message = f"{found} is {'a folder' if stat.S_ISDIR(mode) else 'no regular file'}; expected one file"
            raise InvalidInput(message)
        if found.name.endswith(SIDECAR):
            message = f"{found} is a sidecar of the cache; expected the file it lies beside"
            raise InvalidInput(message)
        return found

    def rebuild(self) -> Notice:
        """Make the database anew; see `InputsNamespace.rebuild`."""
        self.may_write("rebuild it")
        self.intake.settle_all()
        self.shelf.sweep()
        unreadable = self._unreadable()
        notice = self._rebuild()
        if not unreadable:
            return notice
        reason = "; ".join([notice.reason, *unreadable] if notice.reason else unreadable)
        return replace(notice, rejected=notice.rejected + len(unreadable), reason=reason)

    def _rebuild(self) -> Notice:
        asked: dict[str, Any] = {"auth": self.auth, "resource": self.resource, "timeout": self.timeout}
        return rebuild(self.store.path, FOLD, **asked, backend=self.store.backend_factory)

    def _unreadable(self) -> list[str]:
        found = []
        for path in sidecar.every(self.shelf.data):
            try:
                sidecar.read(path)
            except (CorruptError, SchemaTooNewError) as error:
                found.append(str(error))
        return found

    def may_write(self, what: str) -> None:
        """Return if the user may write here; asked before anything is touched, and on record if not."""
        self._may_write(what)
        if self.frozen is not None:
            raise self.frozen.refuse(what)

    def _may_write(self, what: str) -> None:
        if self.store.read_only:
            message = f"{self.store.path} was opened read-only"
            raise NotWritable(message, path=str(self.store.path))
        self.store.authorize(write=True, what=what)

    @property
    def writes(self) -> bool:
        """Whether the user may write here; nobody is refused by being asked."""
        return self.frozen is None and not self.store.read_only and self.auth.can_write(self.resource)

    @property
    def frozen(self) -> Frozen | None:
        """What answers where the inputs are held to a lock file."""
        return self.asking if isinstance(self.asking, Frozen) else None

    @property
    def unfrozen(self) -> Asking:
        """What answers with everything there is."""
        return Asking(self.store, self.shelf)

    def may_restore(self, entry: Entry, *, accept_change: bool) -> None:
        """Return if the bytes of a version may be brought back here; of frozen inputs those that are named may."""
        if self.frozen is None or accept_change:
            self.may_write(f"restore {entry.name}")
            return
        self.frozen.require(entry)
        self._may_write(f"restore {entry.name}")

    def _origin(self, source: Path, label: Label) -> str | None:
        """Return where a user's file came from: relative if it lies in the workspace, so that copies agree.

        Derived data came from its parents: the file that was handed over is nobody's source.
        """
        if label.parents:
            return None
        if str(source).startswith(f"{self.shelf.workspace}{os.sep}"):
            return to_relative(source, self.shelf.workspace)
        return source.as_uri()
