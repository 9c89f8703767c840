"""One function per named statement: records in and out of the database."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from hmp_cache.labels import checked_bbox
from hmp_cache.meanings.inputs import period_of
from hmp_cache.records import Entry
from hmp_cache.searching import Search
from hmp_cache.signature import Bytes, Signature
from hmp_core.errors import InvalidInput
from hmp_core.events import Event
from hmp_core.filters import Bound, where
from hmp_core.protocols import CatalogBackend
from hmp_core.statements import load_statements

if TYPE_CHECKING:
    import pyarrow as pa

    from hmp_cache.shelf import Shelf

#: What is listed: the current version of each input that nobody removed.
_LISTED = "is_current AND coalesce(entry_state, '') <> 'removed'"

#: Fields of a record that are columns of a row as they are.
_SAME = (
    "name", "variable", "source", "station_id", "crs", "frequency", "unit", "source_unit", "sha256", "size",
    "relative_path", "media_type", "uri", "license", "created_at", "stored_at", "is_custom",
)  # fmt: skip

#: Columns that fields of a record are made of.
_MADE = (
    "id", "artifact_id", "bbox_xmin", "bbox_ymin", "bbox_xmax", "bbox_ymax", "date_start", "date_end", "state",
    "file_mtime", "file_mtime_ns", "file_inode",
)  # fmt: skip

#: How many files of a folder are looked for before listing it is quicker.
_MANY = 200

#: What stations are found by -> the column of the statement ``stations``.
STATIONS = {name: name for name in ("source", "variable", "station_id", "name", "lat", "lon", "z")}
STATIONS |= {"station": "station_id", "first_valid": "first_valid", "last_valid": "last_valid"}


def find(backend: CatalogBackend, filters: Mapping[str, Any], *, limit: int | None = None, offset: int = 0) -> pa.Table:
    """Return the current version of each input that fits, newest first.

    ``period`` and ``bbox`` ask for inputs that cover them; every other key is a column (see `hmp_core.filters`).

    Raises
    ------
    UnknownFilter
        For a key nobody knows.
    InvalidInput
        For a value that a column cannot be compared with.
    """
    search = Search.of(filters, _LISTED)
    if min(limit or 0, offset) < 0:
        message = f"limit is {limit}, offset is {offset}; expected numbers from 0 on"
        raise InvalidInput(message)
    page = ""
    if limit is not None or offset:
        page = f"LIMIT {search.bound.add(2**62 if limit is None else limit)} OFFSET {search.bound.add(offset)}"
    return backend.query(search.sql("stored_at DESC, id", page), search.bound.values)


def versions(backend: CatalogBackend, column: str, value: str) -> pa.Table:
    """Return every version of the inputs that fit, the newest first."""
    assert column in {"id", "sha256", "artifact_id"}
    search = Search.of({column: value}, "true")
    return backend.query(search.sql("stored_at DESC, artifact_id"), search.bound.values)


def every(backend: CatalogBackend, filters: Mapping[str, Any], *, removed: bool = False) -> pa.Table:
    """Return every version of the inputs that fit, also of those that were ``removed``; see `find`."""
    search = Search.of(filters, "true" if removed else "coalesce(entry_state, '') <> 'removed'")
    return backend.query(search.sql("stored_at DESC, artifact_id"), search.bound.values)


def news(backend: CatalogBackend) -> dict[str, int]:
    """Return artifact id -> microseconds since 1970 when it was last stored, confirmed, superseded or restored."""
    return {str(artifact): int(clock, 16) for artifact, clock in backend.fetch_all(_sql("news"))}


def series(backend: CatalogBackend) -> set[str]:
    """Return the artifact ids of the versions that a source was asked for window by window."""
    return {str(artifact) for (artifact,) in backend.fetch_all(_sql("series"))}


def fetched(backend: CatalogBackend) -> dict[str, str]:
    """Return artifact id -> when it was last fetched or confirmed, as ISO 8601 text in UTC."""
    return {str(artifact): moment.isoformat() for artifact, moment in backend.fetch_all(_sql("fetched"))}


def places(backend: CatalogBackend, variable: str, source: str) -> list[tuple[str, str]]:
    """Return (id, path) of the inputs of a source."""
    return [(str(row[0]), str(row[1])) for row in backend.fetch_all(_sql("places"), [variable, source])]


def held(backend: CatalogBackend) -> list[tuple[Any, ...]]:
    """Return (entry id, name, state, mtime, path, SHA-256, size, whether current) of every version of every input."""
    return backend.fetch_all(_sql("held"))


def holders(backend: CatalogBackend, sha256: str) -> list[tuple[str, str, bool]]:
    """Return (entry id, path, whether current) of the versions that have these bytes and were not purged."""
    return [(str(a), str(b), bool(c)) for a, b, c in backend.fetch_all(_sql("holders"), [sha256])]


def fitting(backend: CatalogBackend, text: str, digits: str) -> list[tuple[str, str, str]]:
    """Return (id, name, path) of the inputs with this id, name or path, or whose id begins with ``digits``."""
    # ids are numbers: those that begin with some digits lie between two of them
    first, last = (str(UUID(digits.ljust(32, fill))) if digits else None for fill in "0f")
    return [(str(a), str(b), str(c)) for a, b, c in backend.fetch_all(_sql("fitting"), [text, first, last])]


def of_variable(backend: CatalogBackend, variable: str) -> list[tuple[str, str, str]]:
    """Return (id, name, path) of the inputs of a variable, newest first."""
    return [(str(a), str(b), str(c)) for a, b, c in backend.fetch_all(_sql("of_variable"), [variable])]


def names(backend: CatalogBackend, limit: int) -> list[str]:
    """Return what inputs are called, and their variables: those of the newest inputs."""
    found = backend.fetch_all(_sql("names"), [limit])
    return sorted({str(word) for row in found for word in row})


def summary(backend: CatalogBackend) -> pa.Table:
    """Return a line per variable and source."""
    return backend.query(_sql("summary"))


def failures(backend: CatalogBackend, limit: int) -> pa.Table:
    """Return the newest failed attempts.

    Raises
    ------
    InvalidInput
        For a number below 0.
    """
    if limit < 0:
        message = f"limit is {limit}, expected a number from 0 on"
        raise InvalidInput(message)
    return backend.query(_sql("failures"), [min(limit, 2**62)])


def failing(backend: CatalogBackend, since: datetime) -> list[tuple[Any, ...]]:
    """Return (entry id, failures in a row, when to try again, reason, message, status) of what could not be had."""
    return backend.fetch_all(_sql("failing"), [since])


def offers(backend: CatalogBackend) -> pa.Table:
    """Return what sources offered when it was put on record last."""
    return backend.query(_sql("offers"))


def empty(backend: CatalogBackend, entry: UUID, now: datetime) -> list[tuple[Any, ...]]:
    """Return (first, last, until) of the periods in which a source has nothing of one input, as is remembered."""
    return backend.fetch_all(_sql("empty"), [str(entry), now])


def requests(backend: CatalogBackend, filters: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was asked for the current version of each input that a source was asked for, by its id.

    Of the ``filters`` of `find`, one variable, source and station count: to read less is all that they are for.
    """
    named = [value if isinstance(value := filters.get(key), str) else None for key in ("variable", "source", "station")]
    return {str(entry): json.loads(request) for entry, request in backend.fetch_all(_sql("requests"), named)}


def answered(backend: CatalogBackend, now: datetime) -> list[dict[str, Any]]:
    """Return which periods sources were asked for and had nothing of."""
    found: list[dict[str, Any]] = backend.query(_sql("answered"), [now]).to_pylist()
    return found


def stations(backend: CatalogBackend, filters: Mapping[str, Any]) -> pa.Table:
    """Return the stations that fit; ``bbox`` (degrees) asks for those within.

    Raises
    ------
    UnknownFilter
        For a key nobody knows.
    """
    bound = Bound()
    plain = {key: value for key, value in filters.items() if key != "bbox"}
    conditions = where(plain, STATIONS, bound)
    box = checked_bbox(filters.get("bbox"))
    if box is not None:
        west, south, east, north = (bound.add(value) for value in box)
        conditions.append(f"lon BETWEEN {west} AND {east} AND lat BETWEEN {south} AND {north}")
    sql = f"SELECT * FROM ({_sql('stations')}) AS t WHERE {' AND '.join(['TRUE', *conditions])}"
    return backend.query(f"{sql} ORDER BY source, variable, station_id", bound.values)


def table_names(backend: CatalogBackend) -> list[str]:
    """Return the names of the tables of the cache, without those that keep the books."""
    return [row[0] for row in backend.fetch_all(_sql("table_names"))]


def reports(backend: CatalogBackend, entry: UUID) -> pa.Table:
    """Return the validation reports of one input, newest first."""
    return backend.query(_sql("reports"), [str(entry)])


def provenance(backend: CatalogBackend, entry: UUID) -> pa.Table:
    """Return how the versions of one input were obtained, newest first."""
    return backend.query(_sql("provenance"), [str(entry)])


# ── what is asked ────────────────────────────────────────────────────────────────────────────────────


def _sql(name: str) -> str:
    return load_statements("hmp_cache")[name].sql


# ── rows and records ─────────────────────────────────────────────────────────────────────────────────


def entries(table: pa.Table, shelf: Shelf) -> list[Entry]:
    """Return the rows of `find` or `versions` as records; a version whose file is not there is ``missing``."""
    columns = table.to_pydict()  # by column: a dictionary a row takes five times as long
    paths = columns["relative_path"]
    there = _present(shelf.workspace, [p for p, s in zip(paths, columns["state"], strict=True) if s != "purged"])
    same = zip(*(columns[name] for name in _SAME), strict=True)
    made = zip(*(columns[name] for name in _MADE), strict=True)
    found = []
    for plain, (identity, artifact, xmin, ymin, xmax, ymax, start, end, state, mtime, mtime_ns, inode) in zip(
        same, made, strict=True
    ):
        facts = dict(zip(_SAME, plain, strict=True))
        found.append(
            Entry(
                **facts,
                id=UUID(identity),
                artifact_id=UUID(artifact),
                bbox=None if xmin is None else (xmin, ymin, xmax, ymax),
                period=None if start is None and end is None else (start, end),
                state=state if state == "purged" or facts["relative_path"] in there else "missing",
                signature=Signature(facts["size"], mtime, mtime_ns, inode),
                workspace=shelf.workspace,
                auth=shelf.auth,
            )
        )
    return found


def _present(workspace: Path, kept: Sequence[str]) -> set[str]:
    """Return the paths where there is something; whoever opens one goes through `from_relative`.

    A folder with many of them is listed: a look at each of 100,000 files takes 0.5 s, a list of them 0.05 s.
    """
    folders: dict[str, list[str]] = {}
    for path in kept:
        folders.setdefault(path.rpartition("/")[0], []).append(path)
    found: set[str] = set()
    for folder, paths in folders.items():
        if len(paths) < _MANY:
            found.update(path for path in paths if os.path.exists(f"{workspace}/{path}"))
        else:
            found |= {f"{folder}/{name}" for name in _listed(f"{workspace}/{folder}")}.intersection(paths)
    return found


def _listed(folder: str) -> Iterator[str]:
    """Yield the names in a folder that lead to something."""
    try:
        with os.scandir(folder) as listed:
            yield from (each.name for each in listed if not each.is_symlink() or os.path.exists(each.path))
    except (FileNotFoundError, NotADirectoryError):
        return


def entry_of(event: Event, shelf: Shelf) -> Entry:
    """Return what a stored event says, as the database will say it once it is folded."""
    entry, artifact, how = (event.payload[part] for part in ("entry", "artifact", "provenance"))
    period = period_of(entry, event.payload["data"])
    named = ("name", "variable", "source", "station_id", "crs", "frequency", "unit", "source_unit", "is_custom")
    return Entry(
        **{name: entry[name] for name in named},
        id=UUID(entry["id"]),
        artifact_id=UUID(artifact["id"]),
        sha256=artifact["sha256"],
        size=artifact["size"],
        relative_path=artifact["path"],
        media_type=artifact["media_type"],
        uri=how["uri"],
        license=how["license"],
        created_at=datetime.fromisoformat(entry["created_at"]),
        stored_at=datetime.fromisoformat(artifact["created_at"]),
        bbox=tuple(entry["bbox"]) if entry["bbox"] else None,
        period=None if period == (None, None) else period,
        state="current" if os.path.exists(f"{shelf.workspace}/{artifact['path']}") else "missing",
        signature=Bytes.said(artifact).signature,
        workspace=shelf.workspace,
        auth=shelf.auth,
    )
