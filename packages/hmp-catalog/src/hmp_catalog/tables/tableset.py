"""All tables of one run while it is recorded: each kind one open file, all closed when the run is sealed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hmp_catalog.tables.timeseries import KEYS, KIND, Continuity, timeseries_table
from hmp_catalog.tables.writer import TableWriter
from hmp_core.errors import InvalidInput, SealedError
from hmp_core.paths import to_local

if TYPE_CHECKING:
    from upath import UPath

    from hmp_catalog.records import FileRecord


class TableSet:
    """The tables of one run.

    Parameters
    ----------
    run : str, Path or UPath
        The folder of the run; the tables go to ``tables/`` in it.
    run_id : str
        The id of the run, written into each file.

    Examples
    --------
    >>> tables = TableSet(".", run_id="6f2f1b0e")
    >>> tables.timeseries("discharge", {"2001-01-01": 4.2}, station="outlet", unit="m3 s-1")
    >>> tables.timeseries("discharge", {"2001-01-02": 3.9}, station="outlet", unit="m3 s-1")
    >>> tables.add("budget", {"component": ["wells"], "volume": [12.5]})
    >>> [(file.path, file.rows) for file in tables.close()]
    [('tables/budget.parquet', 1), ('tables/timeseries.parquet', 2)]
    """

    def __init__(self, run: str | Path | UPath, *, run_id: str) -> None:
        self._folder = to_local(run) / "tables"
        self._metadata = {"run_id": run_id}
        self._writers: dict[str, TableWriter] = {}
        self._continuity = Continuity()
        self._closed: list[FileRecord] | None = None

    def timeseries(self, variable: str, series: Any, *, station: str = "", unit: str = "") -> None:
        """Add a time series, or what follows of one; see `timeseries_table` for the parameters.

        Raises
        ------
        InvalidInput
            Times out of order, twice, or not after those the series has already; nothing is kept.
        SealedError
            If the tables were closed.
        """
        part = timeseries_table(variable, series, station=station, unit=unit)
        seen = self._continuity.check(part)
        self._append(KIND, part, keys=KEYS)
        self._continuity.keep(seen)

    def add(self, kind: str, table: Any, *, keys: tuple[str, ...] = (), units: dict[str, str] | None = None) -> None:
        """Add rows to a table, which the first call begins; see `TableWriter` for the parameters.

        Raises
        ------
        InvalidInput
            Not a table, other columns than before, the same keys twice; time series have a verb of their own.
        SealedError
            If the tables were closed.
        """
        if kind == KIND:
            message = "table 'timeseries' is written by timeseries(), which checks the times; give this another kind"
            raise InvalidInput(message)
        self._append(kind, table, keys=keys, units=units)

    def close(self) -> list[FileRecord]:
        """Put every file in place, and return their records, sorted by path (relative to the run).

        Raises
        ------
        StorageError
            If the disk is full or fails.
        """
        if self._closed is None:
            self._closed = sorted((writer.close() for writer in self._writers.values()), key=lambda record: record.path)
        return self._closed

    def discard(self) -> None:
        """Forget all rows; nothing stays on the disk."""
        for writer in self._writers.values():
            writer.discard()
        self._writers, self._closed = {}, []

    def _append(
        self, kind: str, table: Any, *, keys: tuple[str, ...] = (), units: dict[str, str] | None = None
    ) -> None:
        if self._closed is not None:
            message = f"tables of {self._folder.parent}: are closed; record a new run to write other rows"
            raise SealedError(message)
        known = self._writers.get(kind)
        if known and ((keys and keys != known.keys) or (units and units != known.units)):
            message = f"table {kind}: began with keys {known.keys} and units {known.units}; say them once, at the start"
            raise InvalidInput(message)
        writer = known or TableWriter(self._folder, kind, keys=keys, units=units, metadata=self._metadata)
        writer.append(table)
        self._writers[kind] = writer
