"""Tables going to disk: one Parquet file per kind, put in place in one step, never rewritten to add rows.

Rows gather in memory until they fill a row group, which is written to a file beside; closing puts that file in
place. How the rows were handed over does not show: the same rows in the same order give the same bytes.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from hmp_catalog.records import FileRecord
from hmp_catalog.tables import schema
from hmp_core.durable import fsync_folder, make_folder, translated
from hmp_core.errors import InvalidInput, SealedError
from hmp_core.identity import sha256_file
from hmp_core.paths import to_local

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from upath import UPath


#: Small parts are joined when there are this many: an Arrow table of one row takes some kilobytes.
_MOST_PARTS = 1024


class TableWriter:
    """Writes one table file, part by part.

    Parameters
    ----------
    folder : str, Path or UPath
        The ``tables`` folder of the run; made when the first rows are written.
    kind : str
        What the table is: ``timeseries``, ``budget``, ... It names the file.
    keys : sequence of str
        The columns that tell rows apart: within a part, no two rows have the same.
    units : mapping
        Column -> UDUNITS unit.
    metadata : mapping
        What else to say in the file, ``run_id`` above all; ``hmp.`` goes before each name.
    row_group : int
        How many rows gather before they are written.

    Examples
    --------
    >>> with TableWriter("tables", "budget", units={"inflow": "m3 d-1"}, metadata={"run_id": "6f2f1b0e"}) as writer:
    ...     writer.append({"step": [1, 2], "inflow": [4.0, 5.5]})
    ...     writer.append({"step": [3], "inflow": [6.0]})
    >>> writer.record.path, writer.record.rows
    ('tables/budget.parquet', 3)
    """

    def __init__(
        self,
        folder: str | Path | UPath,
        kind: str,
        *,
        keys: Sequence[str] = (),
        units: Mapping[str, str] | None = None,
        metadata: Mapping[str, Any] | None = None,
        row_group: int = schema.ROW_GROUP,
    ) -> None:
        self.path = to_local(folder) / f"{schema.check_kind(kind)}.parquet"
        self.kind, self.keys = kind, tuple(keys)
        self.units = dict(units or {})
        self.record: FileRecord | None = None
        self.rows = 0
        self._metadata = dict(metadata or {})
        self._over = False
        self._gathered = 0
        self._row_group = row_group
        self._schema: pa.Schema | None = None
        self._waiting: list[pa.Table] = []
        self._beside = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}.tmp")
        self._open: pq.ParquetWriter | None = None
        schema.metadata_of(kind, self.keys, self.units, self._metadata)

    def append(self, table: pa.Table | Mapping[str, Any] | Any) -> None:
        """Add rows at the end.

        Parameters
        ----------
        table : pyarrow.Table, pandas.DataFrame or mapping
            The same columns each time, in any order.

        Raises
        ------
        InvalidInput
            Not a table, other columns or types than before, or two rows with the same keys; nothing is kept.
        SealedError
            If the file was closed.
        StorageError
            If the disk is full or fails.
        """
        if self._over:
            message = f"{self.path}: is closed; record a new run to write other rows"
            raise SealedError(message)
        part = schema.as_table(table, self.kind)
        agreed = self._agreed(part)
        part = _fitted(part, agreed, self.kind)
        self._refuse_same_keys(part)
        self._schema = agreed
        if part.num_rows:
            self._waiting.append(part)
            self._gathered += part.num_rows
            self.rows += part.num_rows
            self._write_full_groups()

    def close(self) -> FileRecord:
        """Write what waits, flush it to disk and put the file in place; return its record.

        The path of the record is relative to the folder that holds ``tables``.

        Raises
        ------
        InvalidInput
            If no part was ever appended (the columns are not known), or the rows were discarded.
        StorageError
            If the disk is full or fails; a former file of that name stays as it is.
        """
        if self.record is not None:
            return self.record
        if self._schema is None or self._over:
            message = f"table {self.kind}: no rows and no columns; append a part first"
            raise InvalidInput(message)
        with translated(self.path), self._cleaning():
            if self._waiting:
                self._write(self._joined())
            self._opened().close()
            with self._beside.open("rb") as file:
                os.fsync(file.fileno())
            os.replace(self._beside, self.path)
            fsync_folder(self.path.parent)
        run = self.path.parent.parent
        relative = self.path.relative_to(run).as_posix()
        self.record = FileRecord(relative, self.path.stat().st_size, sha256_file(self.path), self.kind, self.rows)
        return self.record

    def discard(self) -> None:
        """Forget the rows and remove the file beside; a former file of that name stays as it is."""
        with self._cleaning():
            if self._open is not None:
                self._open.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    # ── columns ──────────────────────────────────────────────────────────────────────────────────────

    def _agreed(self, part: pa.Table) -> pa.Schema:
        """Return the columns of the file: those of the first part, with units, a type for one that had none."""
        import pyarrow as pa

        if self._schema is None:
            return _with_units(part.schema, self.units, self.keys, self.kind)
        if set(part.column_names) != set(self._schema.names):
            message = f"table {self.kind}: columns {part.column_names}; it began with {self._schema.names}"
            raise InvalidInput(message)
        if self._open is not None:
            return self._schema
        known = (
            part.schema.field(f.name).with_metadata(f.metadata) if pa.types.is_null(f.type) else f for f in self._schema
        )
        return pa.schema(known)

    def _refuse_same_keys(self, part: pa.Table) -> None:
        if not self.keys or not part.num_rows:
            return
        count = part.group_by(list(self.keys)).aggregate([([], "count_all")])
        if count.num_rows < part.num_rows:
            again = next(row for row in count.to_pylist() if row.pop("count_all") > 1)
            message = f"table {self.kind}: more than one row with {again}; keys {list(self.keys)} tell rows apart"
            raise InvalidInput(message)

    # ── onto the disk ────────────────────────────────────────────────────────────────────────────────

    def _write_full_groups(self) -> None:
        if self._gathered >= self._row_group:
            rows = self._joined()
            whole = rows.num_rows // self._row_group * self._row_group
            self._write(rows.slice(0, whole))
            self._waiting, self._gathered = [rows.slice(whole).combine_chunks()], rows.num_rows - whole
        elif len(self._waiting) >= _MOST_PARTS:
            self._waiting = [self._joined().combine_chunks()]

    def _joined(self) -> pa.Table:
        import pyarrow as pa

        return pa.concat_tables([_fitted(part, self._schema, self.kind) for part in self._waiting])

    def _write(self, rows: pa.Table) -> None:
        with translated(self.path):
            for start in range(0, rows.num_rows, self._row_group):
                # pages end where chunks end: in one chunk, parts of any size give the same pages
                group = rows.slice(start, self._row_group).combine_chunks()
                self._opened().write_table(group, row_group_size=self._row_group)

    def _opened(self) -> pq.ParquetWriter:
        import pyarrow.parquet as pq

        if self._open is None:
            make_folder(self.path.parent)
            units = {field.name: field.metadata[b"units"].decode() for field in self._schema or () if field.metadata}
            metadata = schema.metadata_of(self.kind, self.keys, units, self._metadata)
            self._open = pq.ParquetWriter(
                self._beside,
                self._schema.with_metadata(metadata) if self._schema else None,
                version="2.6",
                compression="zstd",
                compression_level=5,
                write_page_index=True,
                write_page_checksum=True,
            )
        return self._open

    @contextlib.contextmanager
    def _cleaning(self) -> Any:
        """Leave no file beside, whatever happens."""
        try:
            yield
        finally:
            self._over, self._open, self._waiting = True, None, []
            self._beside.unlink(missing_ok=True)


def write_table(
    folder: str | Path | UPath,
    kind: str,
    table: pa.Table | Mapping[str, Any] | Any,
    *,
    keys: Sequence[str] = (),
    units: Mapping[str, str] | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> FileRecord:
    """Write a whole table as ``<kind>.parquet`` into ``folder``; the parameters are those of `TableWriter`.

    Raises
    ------
    InvalidInput
        Not a table, or two rows with the same keys; nothing is written.
    StorageError
        If the disk is full or fails; a former file of that name stays as it is.

    Examples
    --------
    >>> rows = {"component": ["wells", "drains"], "volume": [12.5, 3.0]}
    >>> record = write_table("tables", "budget", rows, keys=("component",), metadata={"run_id": "6f2f1b0e"})
    >>> record.rows
    2
    """
    with TableWriter(folder, kind, keys=keys, units=units, metadata=metadata) as writer:
        writer.append(table)
    return writer.close()


def _with_units(found: pa.Schema, units: Mapping[str, str], keys: Sequence[str], of: str) -> pa.Schema:
    import pyarrow as pa

    unknown = [name for name in (*units, *keys) if name not in found.names]
    if unknown:
        message = f"table {of}: no column {unknown[0]!r} for its units or keys; it has {found.names}"
        raise InvalidInput(message)
    fields = []
    for field in found:
        unit = units.get(field.name, (field.metadata or {}).get(b"units", b"").decode())
        fields.append(pa.field(field.name, field.type, metadata={"units": unit} if unit else None))
    return pa.schema(fields)


def _fitted(part: pa.Table, agreed: pa.Schema, of: str) -> pa.Table:
    """Return the rows with the columns of the file, in its order and types."""
    import pyarrow as pa

    columns = []
    for field in agreed:
        column = part.column(field.name)
        try:
            columns.append(column.cast(field.type))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            message = f"table {of}: column {field.name!r} began as {field.type}, now it is {column.type}: {error}"
            raise InvalidInput(message) from error
    return pa.table(columns, schema=agreed)
