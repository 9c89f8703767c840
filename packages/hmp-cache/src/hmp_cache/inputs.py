"""The inputs of a workspace as a user handles them: add, fetch, find, look after."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from hmp_cache.errors import EntryNotFound
from hmp_cache.records import Entry, Fetched, to_frame
from hmp_core.locks import DEFAULT_TIMEOUT
from hmp_core.questions import ask

if TYPE_CHECKING:
    from datetime import timedelta

    import pandas as pd
    import pyarrow as pa
    from upath import UPath

    from hmp_cache.archive import Archive
    from hmp_cache.fetching import How
    from hmp_cache.labels import Period
    from hmp_cache.locking import Difference
    from hmp_cache.mending import Checked
    from hmp_cache.opening import Rooms
    from hmp_cache.plans import Plan
    from hmp_cache.progress import Progress
    from hmp_cache.refreshing import Refreshed
    from hmp_cache.retries import Retry
    from hmp_cache.sources import Source
    from hmp_cache.strays import Rejected, Stray
    from hmp_core.events import EventStore
    from hmp_core.events.store import Notice
    from hmp_core.protocols import AuthBackend, BackendFactory, BulkBackend


class InputsNamespace:
    """The input cache of one workspace; `hmp_cache.open` makes it.

    Parameters
    ----------
    workspace
        The workspace folder.
    create
        Make it a workspace if it is none. The database itself is made wherever it is missing, from what lies in
        ``data``: it can be made again at any time.
    read_only, auth, timeout, frozen, backend
        See `hmp_cache.open`.
    """

    def __init__(
        self,
        workspace: str | Path | UPath,
        *,
        create: bool = False,
        read_only: bool = False,
        auth: AuthBackend | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        frozen: bool | None = None,
        backend: BackendFactory | None = None,
    ) -> None:
        from hmp_cache.opening import rooms_of  # with all that it brings: the command line starts without

        self._rooms: Rooms = rooms_of(
            workspace, create=create, read_only=read_only, auth=auth, timeout=timeout, frozen=frozen, backend=backend
        )
        self.workspace = self._rooms.shelf.workspace

    def __repr__(self) -> str:
        return f"<InputsNamespace {self.workspace}>"

    # ── in ───────────────────────────────────────────────────────────────────────────────────────────

    def add(  # noqa: PLR0913 - what can be said of an input, each by its name
        self,
        path: str | Path | UPath,
        *,
        variable: str,
        source: str = "custom",
        station: str | None = None,
        bbox: Sequence[float] | None = None,
        crs: str | None = None,
        period: Any = None,
        frequency: str | None = None,
        unit: str | None = None,
        license: str | None = None,  # noqa: A002
        parents: Sequence[Entry | UUID | str] = (),
        tool: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        name: str | None = None,
    ) -> Entry:
        """Keep a copy of a file as an input.

        Variable, source, place (station, or extent and coordinate system; else the name, else the file's name), stated
        period, frequency and unit make it the same input as before: then these bytes become its current version, and
        the former stay reachable. The same bytes again change nothing.

        Parameters
        ----------
        path
            The file. It is copied, never moved or changed.
        variable, source
            What it is and where it comes from, as "discharge" and "custom": names of folders.
        station
            The station it was measured at.
        bbox, crs
            Extent (xmin, ymin, xmax, ymax) and coordinate system, as "EPSG:2154".
        period
            First and last moment, as a pair or "2001-01-01/2005-12-31"; by default what the data cover.
        frequency, unit
            As "1D" and "m3 s-1" (UDUNITS).
        license
            Under which terms it may be used.
        parents
            For derived data: the inputs it was made from.
        tool, parameters
            For derived data: what made it ("name version") and with which settings.
        name
            What to call it; by default the file's name without its suffix.

        Returns
        -------
        Entry
            The input with its current version.

        Raises
        ------
        InvalidInput, PathNotFound
            For a value or a path that cannot be accepted; nothing was changed.
        ValidationFailed
            If the file is not what its variable's contract expects; a copy is kept aside and not served.
        BusyError, NotWritable, StorageError, AccessDenied
            See `hmp_core.errors`.

        Examples
        --------
        >>> import tempfile, hmp_cache
        >>> workspace = Path(tempfile.mkdtemp())
        >>> _ = (workspace / "p.csv").write_text("date,rain\\n2001-01-01,1.4\\n2001-01-02,0\\n")
        >>> data = hmp_cache.open(workspace, create=True)
        >>> entry = data.add(workspace / "p.csv", variable="precipitation", unit="mm d-1")
        >>> entry == data["p"]
        True
        """
        said = _said(locals())
        return self._rooms.add(path, said, parents)

    def add_many(
        self,
        items: Iterable[str | Path | UPath | Mapping[str, Any]],
        *,
        source: str = "custom",
        at_once: int | None = None,
        **said: Any,
    ) -> list[Entry]:
        """Keep copies of many files as inputs; those of one source are stored together, which is quicker.

        Parameters
        ----------
        items
            Files; or what is said of each, as `add` takes it: ``{"path": ..., "station": ...}``.
        source, **said
            What is said of all of them, where an item does not say otherwise.
        at_once
            How many files are read and judged at the same time.

        Returns
        -------
        list of Entry
            In the order of the items.

        Raises
        ------
        NotAllAdded
            If some could not be added. All others are in: see its ``refused`` and ``entries``.
        NotWritable, AccessDenied
            See `hmp_core.errors`.

        Examples
        --------
        >>> import tempfile, hmp_cache
        >>> workspace = Path(tempfile.mkdtemp())
        >>> for n in range(3):
        ...     _ = (workspace / f"s{n}.csv").write_text("time,discharge\\n2001-01-01,1.4\\n")
        >>> data = hmp_cache.open(workspace, create=True)
        >>> [entry.name for entry in data.add_many(sorted(workspace.glob("s*.csv")), variable="discharge")]
        ['s0', 's1', 's2']
        """
        from hmp_cache.adding import add_many

        return add_many(self._rooms, items, {"source": source, **said}, at_once=at_once)

    def fetch(  # noqa: PLR0913
        self,
        uri: str | None = None,
        *,
        variable: str,
        source: str | Source = "url",
        station: str | None = None,
        bbox: Sequence[float] | None = None,
        crs: str | None = None,
        period: Any = None,
        frequency: str | None = None,
        unit: str | None = None,
        license: str | None = None,  # noqa: A002
        tool: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        name: str | None = None,
        refresh: bool = False,
        retry: Retry | None = None,
        retry_now: bool = False,
        sha256: str | None = None,
        verify: str = "quick",
        progress: bool | Progress | None = None,
    ) -> Entry:
        """Keep what lies under a URI, or what a source has, as an input.

        What is there already, came from this URI and is unharmed is returned without asking the server. Where neither
        station, extent nor name is given, the URI stands in for the place.

        Without a URI the source is asked, and only for what is missing of the period: what came before stays, and what
        comes is added, as a new version. What a source did not have is not asked for again for some time. Without a
        period it is everything until now. A grid that is held and covers extent and period is the answer.

        A server's ``Link: <...>; rel="license"`` is taken as the license if none is given; see `add` for the parameters
        that are not listed.

        Parameters
        ----------
        uri
            ``https://``, ``http://``, ``file://``, or whatever fsspec opens here (``memory://``, ``ftp://``, ``zip::``,
            with its package ``s3://``). User name, password and API keys in it are used and not recorded.
        source
            Without a URI: who is asked, as "hubeau" (see `offers`), or a `hmp_cache.sources.Source` itself.
        period
            First and last moment, both included; an end that is a day, as "2018-12-31", means all of it.
        parameters
            Without a URI: what only this source understands.
        refresh
            Ask the server whether there is something newer (304: there is not); a source for all of the period again.
        retry
            How often and how patiently to try.
        retry_now
            Ask although it failed a short while ago (see `RetryLater`).
        sha256
            What the data are known to be, as 64 hexadecimal digits: anything else is refused.
        verify
            "quick": what is there is unharmed if size, time and inode are what they were; "full": it is read.
        progress
            True for a bar on the terminal, or a function that is told of each step (`hmp_cache.progress.Step`).

        Raises
        ------
        UnsupportedScheme
            For a scheme that nobody here opens; names the package to install. Nothing was changed.
        DownloadFailed
            If nothing usable came; each attempt is in `failures`.
        RetryLater
            If it failed a short while ago; says from when on it is tried again. It is a `DownloadFailed`.
        NothingThere
            If the source has nothing of that period; says until when that is remembered. It is a ``KeyError``.
        PartlyFetched
            If some of it came, and is kept: its ``entry``. It is a `DownloadFailed`.
        SourceNotFound
            If no source goes by that name.
        ValidationFailed, InvalidInput, PathNotFound, BusyError, NotWritable, StorageError, AccessDenied
            See `add`.
        """
        said, how = _said(locals()), _how(locals())
        return self._rooms.fetch(uri, said, how, progress=progress)

    def fetch_many(
        self,
        requests: Iterable[str | Mapping[str, Any]],
        *,
        at_once: int = 8,
        progress: bool | Progress | None = None,
        each: Callable[[Fetched], None] | None = None,
        **said: Any,
    ) -> list[Fetched]:
        """Fetch several inputs at once; one that fails stops no other.

        Of one host four at most are asked for at the same time, by all processes of this workspace together.

        Parameters
        ----------
        requests
            URIs; or what is asked for each, as `fetch` takes it: ``{"uri": ..., "station": ...}``.
        at_once
            How many downloads are under way at the same time.
        progress
            True for bars on the terminal, or a function that is told of each step, by several threads.
        each
            Told what became of each as soon as it is done, one at a time.
        **said
            What is asked for all of them, where a request does not say otherwise.

        Returns
        -------
        list of Fetched
            In the order of the requests, each with its ``entry`` or its ``error``.

        Raises
        ------
        NotWritable, AccessDenied
            Before anything is asked for.

        Examples
        --------
        >>> import tempfile, hmp_cache
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "q.csv").write_text("time,discharge\\n2001-01-01,1.4\\n")
        >>> data = hmp_cache.open(folder / "node", create=True)
        >>> wanted = [(folder / "q.csv").as_uri(), (folder / "gone.csv").as_uri()]
        >>> [f.entry.name if f.entry else type(f.error).__name__ for f in data.fetch_many(wanted, variable="discharge")]
        ['q', 'PathNotFound']
        """
        from hmp_cache.transfers import fetch_many

        self._rooms.may_write("fetch many")
        return fetch_many(self.fetch, requests, said, at_once=at_once, progress=progress, each=each)

    # ── out ──────────────────────────────────────────────────────────────────────────────────────────

    def find(self, **filters: Any) -> list[Entry]:
        """Return the inputs that fit, newest first, each with its current version.

        Parameters
        ----------
        **filters
            ``variable``, ``source``, ``station``, ``name``, ``unit``, ``frequency``, ``crs``, ``sha256``, ``uri``,
            ``license``, ``size``, ``date_start``, ``date_end``, ``created_at``, ``stored_at``, ``is_custom`` ...;
            suffixes ``_gt _gte _lt _lte _ne _like``; a list means any of. ``period`` and ``bbox`` ask for inputs that
            cover them.

        Raises
        ------
        UnknownFilter
            For a key nobody knows; lists the valid ones. It is a ``ValueError``.
        """
        return self._rooms.asking.find(filters)

    def __getitem__(self, reference: str | UUID) -> Entry:
        """Return one input: by id, at least four digits of it, name, path, or a variable there is once.

        Raises
        ------
        EntryNotFound, AmbiguousEntry
            If there is none (with the nearest names), or more than one (listed). Both are ``KeyError``.
        """
        return self._rooms.asking.one(reference)

    def latest(self, **filters: Any) -> Entry:
        """Return the input (that fits the filters) whose current version was stored last.

        Raises
        ------
        EntryNotFound
            If none fits.
        """
        return _first(self.find(**filters), filters)

    def versions(self, entry: Entry | UUID | str) -> list[Entry]:
        """Return every version of an input, the newest first; those whose bytes are gone have state ``missing``."""
        return self._rooms.asking.versions(entry)

    def artifact(self, reference: UUID | str) -> Entry:
        """Return one version of an input, by its artifact id or the SHA-256 of its bytes.

        Raises
        ------
        EntryNotFound
            If no input ever had it.
        """
        return self._rooms.asking.artifact(str(reference))

    def artifact_path(self, sha256: str) -> Path:
        """Return where the bytes with this SHA-256 lie, also those of a superseded version.

        Raises
        ------
        ArtifactGone
            If they are on record but not here any more.
        EntryNotFound
            If no input ever had them.
        """
        return self._rooms.asking.artifact_path(sha256)

    @property
    def table(self) -> pa.Table:
        """All inputs with their current version as an Arrow table, newest first."""
        return self._rooms.asking.table({})

    @property
    def frame(self) -> pd.DataFrame:
        """All inputs as a pandas DataFrame (see `table`)."""
        return to_frame(self.table)

    def summary(self) -> pa.Table:
        """Return a line per variable and source: how many inputs and stations, from when to when."""
        return self._rooms.asking.summary()

    def offers(self, source: str | None = None, variable: str | None = None, *, record: bool = False) -> pa.Table:
        """Return what the sources offer that are installed here, as they say themselves; nobody is asked for it.

        Parameters
        ----------
        source, variable
            Only what this source offers, only of this variable.
        record
            Put it on record too, in the table ``api_coverage``, where it has changed. The first `fetch` from a source
            does so for that source.

        Returns
        -------
        pyarrow.Table
            A row for each offer: ``source``, ``variable``, ``unit``, ``frequency``, ``country``, ``description``,
            extent (``bbox_xmin`` ... in degrees), ``period_start``, ``period_end``, ``recorded_at``, ``license``; and a
            row for each source that offers nothing by itself. What cannot be used says why in ``error``.

        Raises
        ------
        SourceNotFound
            If no source is called ``source``, neither here nor on record.
        InvalidInput
            If ``[sources]`` in ``workspace.toml`` is not understood.
        BusyError, AccessDenied, NotWritable
            See `hmp_core.errors`.

        Examples
        --------
        >>> import tempfile, hmp_cache
        >>> data = hmp_cache.open(tempfile.mkdtemp(), create=True)
        >>> data.offers(source="usgs").column("unit").to_pylist()
        ['m3 s-1', 'm', 'm', 'mm d-1']
        """
        return self._rooms.offers(source, variable, record=record)

    def gaps(
        self,
        *,
        variable: str,
        source: str | Source,
        station: str | None = None,
        period: Any = None,
        **more: Any,
    ) -> list[Period]:
        """Return what is missing of a period: what a fetch of it would ask the source for.

        What is held, and what the source lately did not have, is not missing, nor is a gap in which no value can be.

        Parameters
        ----------
        variable, source, station, period
            As for `fetch`.
        **more
            ``bbox``, ``crs``, ``frequency``, ``unit`` and ``parameters``, as for `fetch`.

        Returns
        -------
        list of (start, end)
            In order, both ends included, UTC without a zone; start is None where it is from the beginning on.

        Raises
        ------
        SourceNotFound, InvalidInput
            If there is no such source, or it does not offer that.
        """
        said = {"variable": variable, "source": source, "station": station, "period": period, **more}
        return self._rooms.coverage.gaps(said)

    def coverage(self, **filters: Any) -> pa.Table:
        """Return the ledger of what is covered: of each series and grid what is held, empty, missing and offered.

        Parameters
        ----------
        **filters
            As for `find`, but for two: ``period`` asks what is missing of it, and ``bbox`` for what lies there
            (stations by their coordinates in degrees); what is missing is then what is not held all over it.

        Returns
        -------
        pyarrow.Table
            A row for each window: ``state`` is held, empty (the source has nothing; remembered until ``expires_at``),
            missing, or offered (what the source says it has); ``start`` and ``end`` are both included.

        Raises
        ------
        UnknownFilter
            For a key nobody knows.
        """
        return self._rooms.coverage.table(filters)

    def stations(self, **filters: Any) -> pa.Table:
        """Return the stations that are known, by ``variable``, ``source``, ``station``, ``name``, ``bbox`` ... .

        Coordinates are degrees (WGS 84) and metres; ``first_valid`` and ``last_valid`` are of the data that are held.

        Raises
        ------
        UnknownFilter
            For a key nobody knows.
        """
        return self._rooms.asking.stations(filters)

    def failures(self, limit: int = 100) -> pa.Table:
        """Return the newest attempts to obtain an input that failed, and why."""
        return self._rooms.asking.failures(limit)

    def story(self, reference: UUID | str) -> dict[str, Any]:
        """Return everything that is known of one input.

        Returns
        -------
        dict
            ``entry``, ``versions`` (entries, newest first), ``provenance`` (how each was obtained) and ``validation``
            (how each was judged), as plain rows.
        """
        return self._rooms.asking.story(reference)

    def sql(self, query: str, params: Sequence[Any] = ()) -> pa.Table:
        """Return the answer to one SQL question, as ``SELECT`` or ``FROM``; anything that does something is refused."""
        with self.reading() as backend:
            return ask(backend, query, params)

    # ── looking after ────────────────────────────────────────────────────────────────────────────────

    def check(self, *, fix: bool = False, verify: str = "quick", **filters: Any) -> Checked:
        """Return the inputs that fit, each with its state: current, modified, missing or purged.

        A file whose size, time and inode are those on record counts as unchanged; any other is read. Where one may
        write, it is put on record how a file looks that was read and is what it was.

        Parameters
        ----------
        fix
            Put in order what can be without losing anything: write sidecars that are not there again, and bring the
            registered bytes back where they are kept on this machine; what was changed is kept aside before. A file
            of its owner, and one that nobody registered, is not touched.
        verify
            "full": read every file.
        **filters
            See `find`.

        Returns
        -------
        Checked
            A list of entries; its ``fixed`` says what was put in order.

        Raises
        ------
        UnknownFilter, InvalidInput, NotWritable, AccessDenied
            See `hmp_core.errors`.
        """
        from hmp_cache.mending import check

        return check(self._rooms, filters, fix=fix, verify=verify)

    def strays(self) -> list[Stray]:
        """Return the files in the cache that belong to no input, and the sidecars that say what is not so.

        Returns
        -------
        list of Stray
            Nothing is done with any of them.
        """
        from hmp_cache.strays import strays

        return strays(self._rooms)

    def rejected(self) -> list[Rejected]:
        """Return what arrived and was not accepted by the contract of its variable, the newest first.

        Returns
        -------
        list of Rejected
            Where the bytes are kept aside, and what was found. They are not served.
        """
        from hmp_cache.strays import rejected

        return rejected(self._rooms)

    def verify(
        self, *, at_once: int | None = None, progress: bool | Progress | None = None, **filters: Any
    ) -> list[Entry]:
        """Read every byte of every version of the inputs that fit, and return these versions, each with its state.

        Parameters
        ----------
        at_once
            How many files are read at the same time; by default one a processor.
        progress
            True: a bar on the terminal, if there is one; a function: it is told of each step.
        **filters
            See `find`.

        Returns
        -------
        list of Entry
            ``current`` and ``superseded`` have the bytes that were registered; ``modified`` and ``missing`` have not;
            ``purged`` are gone on purpose.

        Raises
        ------
        UnknownFilter, InvalidInput, AccessDenied
            See `hmp_core.errors`.
        """
        from hmp_cache.verifying import verify

        return verify(self._rooms, filters, at_once=at_once, progress=progress)

    def restore(
        self,
        reference: Entry | UUID | str,
        *,
        accept_change: bool = False,
        retry_now: bool = False,
        verify: str = "quick",
    ) -> Entry:
        """Bring the bytes of a version back that were purged, are missing or were changed, and return it.

        They are taken from what is kept in the workspace, from another input that has the same bytes, from where a
        user's file came from; else upstream is asked again. What comes is held to the SHA-256 of the version. A file
        that was changed is kept aside before.

        Parameters
        ----------
        reference
            A version as a record, by the SHA-256 of its bytes or its artifact's id; else the current version of an
            input, see `__getitem__`.
        accept_change
            If upstream has other bytes now, take those as a new version.
        retry_now
            Ask though it failed a short while ago.
        verify
            "full": read the bytes that are there; by default size, time and inode tell.

        Raises
        ------
        UpstreamChanged
            If upstream has other bytes now; nothing was changed.
        ArtifactGone
            If nobody can be asked for them again.
        DownloadFailed
            If nothing usable came.
        InvalidInput
            For a file that stays where its owner has it.
        EntryNotFound, AmbiguousEntry, PathTaken, StorageError, BusyError, NotWritable, AccessDenied
            See `hmp_core.errors`.
        """
        from hmp_cache.fetching import How
        from hmp_cache.restoring import restore

        return restore(self._rooms, reference, How(retry_now=retry_now, verify=verify), accept_change=accept_change)

    def refresh(
        self,
        reference: Entry | UUID | str | None = None,
        *,
        retry_now: bool = False,
        **filters: Any,
    ) -> list[Refreshed]:
        """Ask upstream again for each input that can be asked for; what has changed becomes a new version.

        Servers are asked conditionally: what is unchanged is not sent again. What was purged is left alone, unless it
        is named.

        Parameters
        ----------
        reference
            One input; see `__getitem__`. By default all that fit the filters.
        retry_now
            Ask also where it failed a short while ago.
        **filters
            See `find`.

        Returns
        -------
        list of Refreshed
            For each: whether it is ``changed``, ``unchanged`` or ``failed``, and why.

        Raises
        ------
        InvalidInput
            If one input is named that nobody can be asked for.
        EntryNotFound, AmbiguousEntry, UnknownFilter, NotWritable, AccessDenied
            See `hmp_core.errors`.
        """
        from hmp_cache.fetching import How
        from hmp_cache.refreshing import refresh

        return refresh(self._rooms, reference, filters, How(refresh=True, retry_now=retry_now))

    def prune(
        self,
        *,
        older_than: str | timedelta | None = None,
        keep_latest: int | None = None,
        max_size: str | int | None = None,
        superseded: bool = False,
        apply: bool = False,
        force: bool = False,
        **filters: Any,
    ) -> Plan:
        """Return the plan of letting bytes go that fit all that is said, and carry it out if ``apply``.

        Only copies that the cache made go, and their records stay: `restore` brings the bytes back. What cannot be
        fetched again stays, former versions of it unless ``force``; so does what ``hydromodpy.lock`` names. Bytes that
        another input needs stay for it.

        Parameters
        ----------
        older_than
            As "180d", "36h", "4w", "2y" or a timedelta: for so long the version was not stored, confirmed by its
            server, superseded or restored.
        keep_latest
            Leave that many newest versions of each input.
        max_size
            As "10GB", "500MiB" or bytes: let go, the oldest first and former versions before current ones, until no
            more than that is left of the inputs that fit.
        superseded
            Only former versions.
        apply
            Do it; by default nothing is changed.
        force
            Also what the lock file names, and former versions that nobody could fetch again.
        **filters
            Of which inputs, as in `find`.

        Returns
        -------
        Plan
            What goes, with why, how many bytes that frees and which runs consumed it (None: unknown here), and what
            was asked for and stays.

        Raises
        ------
        InvalidInput
            If nothing says what may go, or for a value that is no age or size.
        AccessDenied, NotWritable, BusyError
            See `hmp_core.errors`.
        """
        from hmp_cache.purging import Wish, prune

        wish = Wish.of(older_than, keep_latest, max_size, superseded=superseded, force=force)
        return prune(self._rooms, wish, filters, apply=apply)

    def remove(self, reference: Entry | UUID | str, *, apply: bool = False, force: bool = False) -> Plan:
        """Return the plan of giving an input up, and carry it out if ``apply``.

        The copies that the cache made go, the input is hidden, its record stays. A file that stays where its owner
        has it is left alone. Adding or fetching the input again brings it back under the same id.

        Parameters
        ----------
        reference
            The input; see `__getitem__`.
        apply
            Do it; by default nothing is changed.
        force
            Also if ``hydromodpy.lock`` names it.

        Raises
        ------
        EntryNotFound, AmbiguousEntry
            See `__getitem__`.
        AccessDenied, NotWritable, BusyError
            See `hmp_core.errors`.
        """
        from hmp_cache.removing import remove

        return remove(self._rooms, reference, apply=apply, force=force)

    def archive(
        self, path: str | Path | UPath, *, versions: bool = True, overwrite: bool = False, **filters: Any
    ) -> Archive:
        """Write the inputs that fit to one file, ``NAME.hmpdata``, with which another workspace can be given them.

        It holds what is known of each and the bytes of its versions, compressed, with the size and SHA-256 of each
        file. The same inputs give the same file. What was purged is in it as a record alone.

        Parameters
        ----------
        path
            The file to be written; it appears whole.
        versions
            With the bytes of former versions too; else of the current ones alone.
        overwrite
            Replace a file that is there.
        **filters
            See `find`; by default all inputs.

        Returns
        -------
        Archive
            What was written. ``lacking`` names what could not be taken along, because the file is not here any more or
            was changed.

        Raises
        ------
        PathTaken
            If there is a file already.
        InvalidInput
            If ``path`` lies in ``data/`` of the workspace.
        UnknownFilter, StorageError, NotWritable, AccessDenied
            See `hmp_core.errors`.

        Examples
        --------
        >>> import tempfile, hmp_cache
        >>> here, there = Path(tempfile.mkdtemp()), Path(tempfile.mkdtemp())
        >>> _ = (here / "q.csv").write_text("time,discharge\\n2001-01-01,1.4\\n")
        >>> data = hmp_cache.open(here, create=True)
        >>> entry = data.add(here / "q.csv", variable="discharge")
        >>> data.archive(there / "fulda.hmpdata").inputs
        1
        >>> hmp_cache.open(there, create=True).import_archive(there / "fulda.hmpdata") == [entry]
        True
        """
        from hmp_cache.archive import archive

        return archive(self._rooms, path, filters, versions=versions, overwrite=overwrite)

    def import_archive(self, path: str | Path | UPath) -> list[Entry]:
        """Take in the inputs of an archive, with all their versions and how each was obtained.

        Everything in it is verified before anything is written. What is here already stays; of two histories of one
        input every version is kept, and that which was stored last is current. Importing once more changes nothing;
        after a process died in between it goes on.

        Returns
        -------
        list of Entry
            The inputs that are in the archive, as they are here now; without those that were removed.

        Raises
        ------
        ArchiveInvalid
            If the archive is damaged, cut short, or was written by a newer hmp; nothing was changed.
        PathNotFound, StorageError, NotWritable, BusyError, AccessDenied
            See `hmp_core.errors`.
        """
        from hmp_cache.importing import import_archive

        return import_archive(self._rooms, path)

    def lock(self, path: str | Path | UPath | None = None, **filters: Any) -> Path:
        """Write down which inputs there are, in exactly which bytes, and return where.

        The same inputs give the same file: keep it under version control. With ``frozen`` nothing else is answered.

        Parameters
        ----------
        path
            The file; by default ``hydromodpy.lock`` in the workspace, which is replaced.
        **filters
            Which inputs; see `find`. By default all.

        Raises
        ------
        InvalidInput
            If an input is not the bytes that were registered.
        PathTaken
            If ``path`` is there and is no lock file.
        UnknownFilter, NotWritable, StorageError, AccessDenied
            See `hmp_core.errors`.
        """
        from hmp_cache.locking import write

        return write(self._rooms, path, filters)

    def lock_state(self, path: str | Path | UPath | None = None) -> list[Difference]:
        """Return what a lock file and the cache do not agree on; nothing if all inputs are as it names them.

        Parameters
        ----------
        path
            The lock file; by default ``hydromodpy.lock`` in the workspace.

        Raises
        ------
        PathNotFound, CorruptError, SchemaTooNewError
            If there is none, or none that can be read.
        """
        from hmp_cache.locking import compare

        return compare(self._rooms, path)

    def rebuild(self) -> Notice:
        """Make the database anew from the sidecars and the log; finish first what a dead process had begun.

        Returns
        -------
        Notice
            What the new database lacks: false when nothing; sidecars that cannot be read are named in its ``reason``.
        """
        return self._rooms.rebuild()

    @contextlib.contextmanager
    def reading(self) -> Iterator[BulkBackend]:
        """Hold one lease for several questions, which then see the same state."""
        with self._rooms.store.reading() as backend:
            yield backend

    @property
    def notice(self) -> Notice:
        """What the last answer lacks; false when it was complete."""
        return self._rooms.store.notice

    @property
    def auth(self) -> AuthBackend | None:
        """The authority that was given; None where the workspace or the environment names it."""
        return self._rooms.shelf.auth

    @property
    def store(self) -> EventStore:
        """The database with its log."""
        return self._rooms.store

    def close(self) -> None:
        """Fold what is pending if nobody else is at it, and give everything back."""
        self._rooms.store.close()

    def __enter__(self) -> InputsNamespace:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


_LABELLED = (
    "variable", "source", "station", "bbox", "crs", "period", "frequency", "unit", "license", "tool", "parameters",
    "name",
)  # fmt: skip


def _said(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was said of an input, out of a verb's arguments."""
    return {name: arguments[name] for name in _LABELLED}


def _how(arguments: Mapping[str, Any]) -> How:
    from hmp_cache.fetching import How

    return How(**{name: arguments[name] for name in ("refresh", "retry", "retry_now", "sha256", "verify")})


def _first(found: Sequence[Entry], filters: Mapping[str, Any]) -> Entry:
    if found:
        return found[0]
    asked = ", ".join(f"{key}={value!r}" for key, value in filters.items()) or "no filter"
    message = f"no input fits {asked}"
    raise EntryNotFound(message, reference=asked, candidates=[])
