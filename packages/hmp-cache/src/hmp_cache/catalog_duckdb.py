"""The low-level class of the cache under its documented name: register files where they are, and look them up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from hmp_cache.records import Entry
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
        db_path: str | Path | UPath,
        *,
        read_only: bool = False,
        auth: AuthBackend | None = None,
        timeout: float = DEFAULT_TIMEOUT,
    ) -> None:
        from hmp_cache.opening import Rooms, workspace_of  # with all that it brings; see `hmp_cache.inputs`

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
        from hmp_cache.labels import Label
        from hmp_cache.registering import register

        label = Label(
            variable, source, station_id, bbox, crs, (date_start, date_end), frequency, unit, source_unit=source_unit
        )
        expected = (file_mtime, file_sha256)
        return register(self._rooms, file_path, label, is_custom=is_custom, expected=expected, metadata=fetch_metadata)

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
        asked = {"variable": variable, "source": source, "station_id": station_id}
        filters = {key: value for key, value in asked.items() if value is not None}
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
        asked = {"variable": variable, "source": source}
        filters = {key: value for key, value in asked.items() if value is not None}
        return self._rooms.asking.table(filters, limit=limit, offset=offset)

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
