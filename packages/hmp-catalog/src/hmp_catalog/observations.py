"""What stations observed, beside the simulations that are compared with it: each addition one Parquet file, for ever.

A series is all that was added to it: where two additions have a value for the same time, the later one counts. The
values stay in their files and the database knows one row for each: 30 years of hourly values cost it 45 MB and every
later fold 30 ms when they were rows with a key, and 4 MB and nothing as a file, which is read as fast (25-40 ms).
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hmp_catalog import bundles, packs, queries
from hmp_catalog.inputs import InputEntry, describe
from hmp_catalog.plain import plain, text, word
from hmp_core.durable import make_folder, write_atomic
from hmp_core.errors import AmbiguousReference, CorruptError, InvalidInput, NotFound, PathNotFound
from hmp_core.identity import sha256_bytes, slug, uuid7
from hmp_core.paths import from_relative, to_relative

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from hmp_core.events import EventStore

FOLDER = "observations"
KIND = "observations"
#: A file that is packed while it is looked for is found at the second look; at the third something else is wrong.
_LOOKS = 3


class Observations:
    """The observed series of a project; `SimulationCatalog.observations` gives it.

    Examples
    --------
    ``cat.observations.add("H5920010", "discharge", series, unit="m3 s-1")``, then ``cat.observed("discharge")``.
    """

    def __init__(self, store: EventStore, project: Path, workspace: Path) -> None:
        self._store = store
        self._project = project
        self._workspace = workspace

    def __repr__(self) -> str:
        return f"<Observations of {self._project.name}>"

    # ── writing ──────────────────────────────────────────────────────────────────────────────────────

    def add(
        self,
        station: str,
        variable: str,
        series: Any = None,
        *,
        unit: str = "",
        quality: str | Sequence[str | None] | None = None,
        source: str | None = None,
        input: Any = None,  # noqa: A002 - the word of `Recorder.input`
    ) -> str:
        """Add values to what a station observed of a variable; return the id of this addition.

        Parameters
        ----------
        station, variable
            Where, and what: "H5920010", "discharge".
        series
            As `Recorder.timeseries` takes it; times strictly increasing. Without it the rows of ``input`` are taken:
            its column ``value`` (or the one named after the variable, or its only column of numbers) by its times.
        unit
            UDUNITS, as "m3 s-1"; where it is empty, what the series or the input says.
        quality
            One word for all values, or one for each.
        source
            Who published them.
        input
            The cache entry, or the file of the workspace, that they come from: its hash is recorded.

        Raises
        ------
        InvalidInput
            If it is no time series, or has no value.
        InputChanged
            If the bytes of the input are not those that the cache registered.
        NotWritable, StorageError
            If it cannot be kept; nothing is acknowledged then.
        """
        word(station, "station")
        word(variable, "variable")
        self._store.authorize(write=True, what=f"add observations of {variable} at {station}")
        origin = None if input is None else describe([input], self._workspace)[0]
        values, said = (series, unit) if series is not None else _of_input(input, variable, unit)
        table = _table(station, variable, values, said or unit, quality)
        event = self._store.prepare("observations.added", {})  # a catalog that is only read refuses here
        file, checksum, size = self._keep(table, station, variable)
        first, last = table.slice(0, 1)["time"][0].as_py(), table.slice(table.num_rows - 1)["time"][0].as_py()
        addition = str(uuid7())
        facts = {
            "addition_id": addition,
            "station": station,
            "variable": variable,
            "unit": table["unit"][0].as_py(),
            "path": file,
            "sha256": checksum,
            "size": size,
            "rows": table.num_rows,
            "first": plain(first),
            "last": plain(last),
            "source": text(source, "source") or (origin or {}).get("source"),
            "input": origin,
        }
        event.payload.update(facts)
        self._store.commit([event])
        return addition

    def _keep(self, table: pa.Table, station: str, variable: str) -> tuple[str, str, int]:
        """Put the values on the disk, under a name that tells their content; the same values are kept once."""
        data = _parquet(table, station, variable)
        checksum = sha256_bytes(data)
        folder = self._project / FOLDER / slug(variable)
        make_folder(folder)
        file = folder / f"{slug(station)}__{checksum[:16]}.parquet"
        relative = to_relative(file, self._project)
        there = bundles.find(self._project, relative)
        if there is None or packs.sha256(there) != checksum:  # damaged, it becomes what its name says again
            write_atomic(file, data)
        return relative, checksum, len(data)

    def pack(self) -> int:
        """Make one file of the many of each variable, and return of how many; `SimulationCatalog.vacuum` does it.

        Every addition stays by itself, with the same bytes, and is read in place.

        Raises
        ------
        CorruptError
            If what was packed before is damaged; nothing is removed.
        StorageError, NotWritable
            If there is no room or no right to write; nothing is removed.
        """
        self._store.authorize(write=True, what="pack the files of observations")
        known: dict[Path, dict[str, str]] = {}
        for one in self.additions():
            place = from_relative(one["path"], self._project)
            known.setdefault(place.parent, {})[place.name] = one["sha256"]
        return sum(bundles.bundle(folder, names) for folder, names in sorted(known.items()) if folder.is_dir())

    def withdraw(self, addition: str) -> None:
        """Take one addition back; its file stays, and so does what the log says of it.

        Raises
        ------
        NotFound
            If there is no such addition.
        """
        self._store.authorize(write=True, what=f"withdraw observations {addition}")
        known = [row["addition_id"] for row in self.additions()]
        if addition not in known:
            message = f"there is no addition {addition!r} of observations; `additions()` lists them"
            raise NotFound(message, reference=str(addition), candidates=known[:10])
        self._store.append("observations.withdrawn", {"addition_id": addition})

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────

    def additions(self, variable: str | None = None, station: str | None = None) -> list[dict[str, Any]]:
        """Return what was added, oldest first: station, variable, period, rows, unit, file, hash, source, by whom."""
        with self._store.reading() as backend:
            return queries.additions(backend, variable, station)

    def table(
        self, variable: str | None = None, station: str | None = None, period: tuple[Any, Any] | None = None
    ) -> pa.Table:
        """Return observed values in long form: time, variable, station, value, unit, quality.

        Parameters
        ----------
        variable, station
            Which of them; all unless given.
        period
            First and last time, both included; a year, a month or a day stands for all of it.

        Raises
        ------
        NotFound
            If nothing was observed there; lists what was.
        PathNotFound, CorruptError
            If a file of values is gone, or is not what was added.
        """
        import pyarrow as pa

        found = self.additions(variable, station)
        if not found:
            raise self._unknown(variable, station)
        series: dict[tuple[str, str], list[pa.Table]] = {}
        for one in _within(found, period):
            series.setdefault((one["variable"], one["station"]), []).append(self._read(one, period))
        return pa.concat_tables([_latest(parts) for _, parts in sorted(series.items())])

    def series(self, variable: str, station: str | None = None, period: tuple[Any, Any] | None = None) -> pd.Series:
        """Return one observed series as a pandas Series by time (UTC); ``attrs`` has ``units`` and ``station``.

        Raises
        ------
        NotFound
            If nothing was observed there (in that period).
        AmbiguousReference
            If several stations observed it, or its additions are in different units.
        """
        from hmp_catalog.tables import to_series

        return to_series(self.one(variable, station, period))

    def one(self, variable: str, station: str | None = None, period: tuple[Any, Any] | None = None) -> pa.Table:
        """Return the values of one series, as `table` does; of the only station unless one is named.

        Raises
        ------
        NotFound, AmbiguousReference
            As `series`.
        """
        found = self.table(variable, station, period)
        stations, units = (sorted(found[name].unique().to_pylist()) for name in ("station", "unit"))
        if len(stations) > 1:
            message = f"{variable} was observed at {', '.join(stations)}: name the station"
            raise AmbiguousReference(message, reference=variable, candidates=stations)
        if len(units) > 1:
            message = f"{variable} at {stations[0]} was added in {' and '.join(map(repr, units))}: withdraw one of them"
            raise AmbiguousReference(message, reference=variable, candidates=units)
        if not found.num_rows:
            message = f"{variable} was not observed in {period}"
            raise NotFound(message, reference=variable, candidates=[])
        return found

    def _read(self, one: dict[str, Any], period: tuple[Any, Any] | None) -> pa.Table:
        from hmp_catalog.fields.times import bounds
        from hmp_catalog.tables import read_table

        first, last = (None, None) if period is None else bounds(*period)
        filters = [("time", sign, at) for sign, at in ((">=", first), ("<=", last)) if at is not None]
        for _ in range(_LOOKS):
            file = bundles.find(self._project, one["path"])
            if file is None:
                break
            try:
                size = bundles.size(file)
                found = read_table(file, filters=filters or None)
            except (PathNotFound, FileNotFoundError):
                continue  # it was packed meanwhile
            if size != one["size_bytes"]:
                message = f"{one['path']} has {size} bytes, expected {one['size_bytes']}: restore it"
                raise CorruptError(message, path=str(file))
            return found
        message = f"{one['path']} is missing: {one['variable']} at {one['station']}; restore it from a backup"
        raise PathNotFound(message, path=str(from_relative(one["path"], self._project)))

    def _unknown(self, variable: str | None, station: str | None) -> NotFound:
        there = sorted({f"{row['variable']} at {row['station']}" for row in self.additions()})
        asked = " at ".join(filter(None, (variable, station))) or "anything"
        message = f"nobody added observations of {asked}; there is {', '.join(there) or 'nothing'}"
        return NotFound(message, reference=asked, candidates=there)


# ── values ───────────────────────────────────────────────────────────────────────────────────────────


def _table(station: str, variable: str, series: Any, unit: str, quality: Any) -> pa.Table:
    import pyarrow as pa

    from hmp_catalog.tables import timeseries_table

    table = timeseries_table(variable, series, station=station, unit=unit)
    if not table.num_rows:
        message = f"{variable} at {station}: a series without values; nothing to add"
        raise InvalidInput(message)
    if quality is None or isinstance(quality, str):
        words = pa.repeat(pa.scalar(_quality(quality, "quality"), pa.string()), table.num_rows)
    else:
        given = [_quality(one, f"quality[{n}]") for n, one in enumerate(quality)]
        if len(given) != table.num_rows:
            message = f"{variable} at {station}: {len(given)} words of quality for {table.num_rows} values"
            raise InvalidInput(message)
        words = pa.array(given, pa.string())
    return table.append_column("quality", words)


def _quality(said: Any, where: str) -> str | None:
    return None if said is None else word(said, where)


def _parquet(table: pa.Table, station: str, variable: str) -> bytes:
    import pyarrow.parquet as pq

    from hmp_catalog.tables import schema

    keys, units = ("time", "variable", "station"), {"value": table["unit"][0].as_py()}
    facts = schema.metadata_of(KIND, keys, units, {"station": station, "variable": variable})
    sink = io.BytesIO()
    pq.write_table(
        table.replace_schema_metadata(facts),
        sink,
        row_group_size=schema.ROW_GROUP,
        version="2.6",
        compression="zstd",
        compression_level=5,
        write_page_checksum=True,
    )
    return sink.getvalue()


def _of_input(given: Any, variable: str, unit: str) -> tuple[tuple[Any, Any], str]:
    """Return times and values of the rows of a cache entry, and the unit that it says it is in."""
    if not isinstance(given, InputEntry) or not hasattr(given, "read_table"):
        message = f"observations of {variable}: pass the series, or a cache entry that is a table as input="
        raise InvalidInput(message)
    table = given.read_table()
    times = [field.name for field in table.schema if str(field.type).startswith(("timestamp", "date"))]
    numbers = [field.name for field in table.schema if str(field.type) in {"double", "float", "int64", "int32"}]
    named = [name for name in ("value", variable) if name in numbers] or numbers
    if len(times) != 1 or not named or (named is numbers and len(numbers) > 1):
        message = (
            f"observations of {variable}: the input has the columns {table.column_names}; expected one of times, and "
            f"'value' or {variable!r}; pass the series itself"
        )
        raise InvalidInput(message)
    said = unit or getattr(given, "unit", None) or ""
    return (table[times[0]].cast("timestamp[us]").to_numpy(), table[named[0]].to_numpy()), said


def _within(found: list[dict[str, Any]], period: tuple[Any, Any] | None) -> list[dict[str, Any]]:
    """Return the additions that have values in a period; the first, which then gives no rows, where none has."""
    from hmp_catalog.fields.times import bounds

    first, last = (None, None) if period is None else bounds(*period)
    inside = [
        one
        for one in found
        if (last is None or one["first_time"] <= last.item()) and (first is None or one["last_time"] >= first.item())
    ]
    return inside or found[:1]


def _latest(parts: Sequence[pa.Table]) -> pa.Table:
    """Return the values of a series by time: of several for the same time, the one that was added last."""
    import numpy as np
    import pyarrow as pa

    whole = pa.concat_tables(parts)
    if len(parts) == 1:
        return whole
    times = whole["time"].to_numpy()[::-1]
    _, last = np.unique(times, return_index=True)
    return whole.take(pa.array(len(times) - 1 - last))
