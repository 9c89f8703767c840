"""The low-level class of the cache under its documented name: register files where they are, and look them up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from hmp_cache.records import Entry
from hmp_core.errors import InvalidInput
from hmp_core.locks import DEFAULT_TIMEOUT
from hmp_core.paths import to_local

if TYPE_CHECKING:
    import pyarrow as pa
    from upath import UPath

    from hmp_core.protocols import AuthBackend

_Moment = str | date | datetime


class DataCatalogDuckDB:
    """The input cache by its database file.

    Parameters
    ----------
    db_path
        ``<workspace>/data/cache.duckdb``; made if it is missing, in a folder that exists.
    read_only, auth, timeout
        See `hmp_cache.open`.

    Examples
    --------
    >>> import tempfile
    >>> from hmp_core.layout import init_workspace
    >>> workspace = init_workspace(tempfile.mkdtemp()).path
    >>> file = workspace / "data" / "dem.txt"
    >>> _ = file.write_text("1 2 3")
    >>> with DataCatalogDuckDB(workspace / "data" / "cache.duckdb") as catalog:
    ...     _ = catalog.register(variable="dem", source="custom", file_path=file, bbox=(0, 0, 10, 10))
    ...     catalog.find_cached(variable="dem", source="custom", bbox=(2, 2, 3, 3)).relative_path
    'data/dem.txt'
    """

    def __init__(
        self,
        db_path: str | Path | UPath | None,
        *,
        read_only: bool = False,
        auth: AuthBackend | None = None,
        timeout: float = DEFAULT_TIMEOUT,
    ) -> None:
        from hmp_cache.opening import Rooms, workspace_of  # with all that it brings; see `hmp_cache.inputs`

        if db_path is None:
            message = (
                "db_path is None: a cache in memory would forget files that lie on the disk; expected "
                "<workspace>/data/cache.duckdb, which may be in a temporary folder"
            )
            raise InvalidInput(message)
        workspace = workspace_of(to_local(db_path))
        self._rooms = Rooms.opened(workspace, read_only=read_only, auth=auth, timeout=timeout)

    # ── in ───────────────────────────────────────────────────────────────────────────────────────────

    def register(  # noqa: PLR0913 - the documented signature
        self,
        *,
        variable: str,
        source: str,
        file_path: str | Path | UPath,
        station_id: str | None = None,
        bbox: Sequence[float] | None = None,
        crs: str | None = None,
        date_start: _Moment | None = None,
        date_end: _Moment | None = None,
        frequency: str | None = None,
        unit: str | None = None,
        source_unit: str | None = None,
        is_custom: bool = False,
        file_mtime: float | None = None,
        file_sha256: str | None = None,
        fetch_metadata: Mapping[str, Any] | None = None,
    ) -> UUID:
        """Make a file where it is the current version of an input, and return the input's id.

        The same variable, source, place (station, or extent; else the path), period, frequency and unit give the same
        id. The file must lie in the workspace; it is read and left alone. When it changes later, `check` says
        ``modified``.

        Parameters
        ----------
        file_path
            Absolute, or relative to the workspace.
        station_id, bbox, crs, date_start, date_end, frequency, unit
            See `InputsNamespace.add`.
        source_unit
            The unit the source had it in.
        is_custom
            The user's own file.
        file_mtime, file_sha256
            What the caller believes the file to be; another one is refused.
        fetch_metadata
            Plain facts about how it was obtained.

        Raises
        ------
        InvalidInput, PathNotFound, PathEscape
            For a value or a path that cannot be accepted; nothing was changed.
        ValidationFailed
            If the file is not what its variable's contract expects.
        """
        from hmp_cache import labels, registering

        label = labels.Label(
            variable, source, station_id, bbox, crs, (date_start, date_end), frequency, unit, source_unit=source_unit
        )
        return registering.register(
            self._rooms, file_path, label,
            is_custom=is_custom, expected=(file_mtime, file_sha256), metadata=fetch_metadata,
        )  # fmt: skip

    # ── out ──────────────────────────────────────────────────────────────────────────────────────────

    def find_cached(
        self,
        *,
        variable: str,
        source: str | None = None,
        station_id: str | None = None,
        bbox: Sequence[float] | None = None,
        date_start: _Moment | None = None,
        date_end: _Moment | None = None,
        verify: str = "quick",
    ) -> Entry | None:
        """Return the newest input that covers what is asked for and whose file is there; None if there is none.

        An input without dates covers no period that is asked for, one without an extent no extent.

        Parameters
        ----------
        variable, source, station_id, bbox, date_start, date_end
            What is asked for.
        verify
            "full": its file must also have the bytes that were registered, and is read for that.

        Raises
        ------
        InvalidInput
            For an extent or a period that is none.
        """
        filters = _given(variable=variable, source=source, station_id=station_id)
        found = self._rooms.asking.find(filters | {"bbox": bbox, "period": (date_start, date_end)})
        return self._rooms.first_current(found, verify=verify)

    def list_entries(
        self, variable: str | None = None, source: str | None = None, limit: int | None = None, offset: int = 0
    ) -> pa.Table:
        """Return the inputs with their current version, newest first.

        Raises
        ------
        InvalidInput
            For a negative limit or offset.
        """
        return self._rooms.asking.table(_given(variable=variable, source=source), limit=limit, offset=offset)

    def table_names(self) -> list[str]:
        """Return the names of the tables of the cache."""
        return self._rooms.asking.table_names()

    def resolve_path(self, file_path: str | Path, variable: str | None = None) -> Path:
        """Return where a file lies, by its kept path, or by its name among the files of a variable.

        Raises
        ------
        PathNotFound
            If there is none.
        """
        from hmp_cache.registering import resolve_path

        self._rooms.store.authorize(write=False)
        return resolve_path(self._rooms.shelf, file_path, variable)

    def query(self, sql: str, params: Sequence[Any] = ()) -> pa.Table:
        """Return the answer to one SQL question; see `InputsNamespace.sql`."""
        from hmp_core.questions import ask

        with self._rooms.store.reading() as backend:
            return ask(backend, sql, params)

    def custom_file_mtime(self, *, variable: str, source: str = "custom", station_id: str | None = None) -> float:
        """Return when a user's file was last modified as it was registered, in seconds since 1970.

        Raises
        ------
        EntryNotFound
            If none is registered.
        """
        from hmp_cache.giving_up import custom_file_mtime

        return custom_file_mtime(self._rooms, variable, source, station_id)

    # ── given up ─────────────────────────────────────────────────────────────────────────────────────

    def invalidate(
        self, *, variable: str, source: str | None = None, station_id: str | None = None, delete_files: bool = False
    ) -> int:
        """Give up the inputs that go by these names, and return how many: they are no longer found.

        Their records stay, and registering or fetching one again brings it back under its id. A user's file is never
        touched.

        Parameters
        ----------
        source, station_id
            None: of any.
        delete_files
            Also let the copies go that the cache made; what ``hydromodpy.lock`` names stays.

        Raises
        ------
        NotWritable, AccessDenied, BusyError
            See `hmp_core.errors`.
        """
        from hmp_cache.giving_up import invalidate

        return invalidate(self._rooms, variable, source, station_id, delete_files=delete_files)

    def subsume_entries(
        self,
        exclude_id: UUID | str,
        *,
        bbox: Sequence[float] | None = None,
        date_start: _Moment | None = None,
        date_end: _Moment | None = None,
        delete_files: bool = False,
    ) -> int:
        """Give up the grids that a newer, larger one holds, and return how many (see `invalidate`).

        Those of the same variable, source, coordinate system, frequency and unit that lie inside in space and time.

        Parameters
        ----------
        exclude_id
            The larger one.
        bbox, date_start, date_end
            What it holds; by default what is on record of it.

        Raises
        ------
        EntryNotFound
            If there is no such input.
        InvalidInput
            If it has no extent and none is given.
        """
        from hmp_cache import giving_up, labels

        period = labels.checked_period((date_start, date_end)) or (None, None)
        return giving_up.subsume(self._rooms, exclude_id, bbox, period, delete_files=delete_files)

    def prune_older_than(self, days: float, *, delete_files: bool = False) -> int:
        """Give up what was stored more than ``days`` ago, and return how many inputs (or versions) that were.

        Parameters
        ----------
        delete_files
            Let the copies go that the cache made and that can be fetched again, and keep the inputs, as purged (see
            `InputsNamespace.prune`). By default the inputs are hidden and no file is touched (see `invalidate`).

        Raises
        ------
        InvalidInput
            For a number below 0.
        """
        from hmp_cache.giving_up import prune_older_than

        return prune_older_than(self._rooms, days, delete_files=delete_files)

    def check_and_fix(self) -> dict[str, int]:
        """Look at every file, and put in order what can be.

        A user's file that was changed becomes the next version of its input; what the cache made and has another copy
        of is what it was again.

        Returns
        -------
        dict
            ``dropped``: inputs whose files are gone, which are not served and stay on record; ``refreshed``: those that
            were put in order.
        """
        from hmp_cache.giving_up import check_and_fix

        return check_and_fix(self._rooms)

    def cleanup(self) -> int:
        """Hide the inputs whose files are gone, and return how many (see `invalidate`)."""
        from hmp_cache.giving_up import cleanup

        return cleanup(self._rooms)

    # ── written by hand ──────────────────────────────────────────────────────────────────────────────

    def write_artifact(
        self,
        *,
        entry_id: UUID | str,
        sha256: str,
        path: str,
        size_bytes: int,
        artifact_type: str = "download",
        media_type: str | None = None,
    ) -> UUID:
        """Record a former version of an input, and return its id. What is served comes in by `register` alone.

        Raises
        ------
        EntryNotFound, InvalidInput, PathEscape
            For an input that is not there, or a value that cannot be.
        """
        from hmp_cache.writing import artifact

        said = {"size_bytes": size_bytes, "artifact_type": artifact_type, "media_type": media_type}
        return artifact(self._rooms, entry_id, sha256, path, said)

    def write_provenance(
        self,
        *,
        artifact_id: UUID | str,
        uri: str | None = None,
        request: Mapping[str, Any] | None = None,
        etag: str | None = None,
        last_modified: str | None = None,
        license: str | None = None,  # noqa: A002
        fetched_at: _Moment | None = None,
        tool_name: str | None = None,
        tool_version: str | None = None,
        parents: Sequence[UUID | str] = (),
        parameters: Mapping[str, Any] | None = None,
    ) -> UUID:
        """Record how a version was obtained, and return the id of the record.

        Raises
        ------
        EntryNotFound, InvalidInput
            For a version that is not there, or a value that cannot be.
        """
        from hmp_cache.writing import provenance

        said = {name: value for name, value in locals().items() if name not in {"self", "artifact_id", "provenance"}}
        return provenance(self._rooms, artifact_id, said)

    def upsert_station(
        self,
        *,
        source: str,
        variable: str,
        station_id: str,
        name: str | None = None,
        lat: float | None = None,
        lon: float | None = None,
        z: float | None = None,
    ) -> None:
        """Record what is known of a station: degrees north and east (WGS 84), metres above the sea.

        Raises
        ------
        InvalidInput
            For a value that cannot be.
        """
        from hmp_cache.writing import station

        station(self._rooms, source, variable, station_id, {"name": name, "lat": lat, "lon": lon, "z": z})

    def write_coverage(
        self,
        *,
        variable: str,
        source: str,
        station_id: str | None = None,
        bbox: Sequence[float] | None = None,
        date_start: _Moment | None = None,
        date_end: _Moment | None = None,
        state: str = "held",
        n_records: int | None = None,
        expires_at: _Moment | None = None,
    ) -> UUID:
        """Record what a source had of a period ("held", or "empty" until ``expires_at``); return the record's id.

        Raises
        ------
        InvalidInput
            For a value that cannot be.
        """
        from hmp_cache import labels, writing

        label = labels.Label(variable, source, station_id, bbox, None, (date_start, date_end))
        return writing.coverage(self._rooms, label, state, n_records, expires_at)

    def write_failure(
        self,
        *,
        variable: str,
        source: str,
        error_type: str,
        message: str,
        source_ref: str | None = None,
        request: Mapping[str, Any] | None = None,
    ) -> UUID:
        """Record an attempt to obtain an input that failed, and return the record's id.

        Raises
        ------
        InvalidInput
            For a value that cannot be.
        """
        from hmp_cache import labels, writing

        said = {"source_ref": source_ref, "request": request}
        return writing.failure(self._rooms, labels.Label(variable, source), error_type, message, said)

    def write_validation_report(
        self, *, artifact_id: UUID | str, schema_name: str, passed: bool, errors: Sequence[Any] = ()
    ) -> UUID:
        """Record a verdict on a version, and return the record's id.

        Raises
        ------
        EntryNotFound, InvalidInput
            For a version that is not there, or a value that cannot be.
        """
        from hmp_cache.writing import report

        return report(self._rooms, artifact_id, schema_name, passed=passed, errors=errors)

    @property
    def auth(self) -> AuthBackend | None:
        """The authority that was given; None where the workspace or the environment names it."""
        return self._rooms.shelf.auth

    def close(self) -> None:
        """Fold what is pending if nobody else is at it, and give everything back."""
        self._rooms.store.close()

    def __enter__(self) -> DataCatalogDuckDB:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _given(**asked: Any) -> dict[str, Any]:
    """Return what was asked for."""
    return {key: value for key, value in asked.items() if value is not None}
