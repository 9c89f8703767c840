"""From a CSV or Parquet file to an Arrow table whose time column is understood.

CSV as hydrologists exchange it: comma, semicolon or tab, decimal point or comma, lines beginning with ``#`` are
comments, dates in ISO 8601 or in the forms ``31.12.2001`` and ``31/12/2001``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hmp_core.errors import CorruptError, InvalidInput

if TYPE_CHECKING:
    import pyarrow as pa

#: Suffixes that are read as tables.
TABULAR = {".csv", ".tsv", ".parquet"}

#: What a column of times is called, in lower case.
TIME_NAMES = frozenset({
    "time", "date", "datetime", "date_time", "timestamp", "valid_time", "day", "jour", "datum", "fecha",
    "date_obs", "date_obs_elab", "date_mesure",
})  # fmt: skip

#: Orders of a date that is not ISO 8601; pairs that differ only in day and month are told apart by the data.
_DATES = ("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d", "%d-%m-%Y", "%Y%m%d")
_CLOCKS = ("", " %H:%M", " %H:%M:%S")


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a CSV file is written."""

    delimiter: str
    decimal: str
    encoding: str


def read(path: Path, *, suffix: str | None = None) -> pa.Table:
    """Return the rows of a CSV or Parquet file.

    The time column of a CSV file, where there is one that is understood, comes as timestamps; everything else as
    Arrow infers it. A Parquet file comes as it is.

    Raises
    ------
    InvalidInput
        If the suffix is not one of `TABULAR`.
    CorruptError
        If the bytes are not such a table; says in which row, where that is known.
    """
    suffix = (suffix or path.suffix).lower()
    if suffix not in TABULAR:
        known = ", ".join(sorted(TABULAR))
        message = f"{path.name} is not read as a table ({suffix or 'of unknown form'}); expected one of {known}"
        raise InvalidInput(message)
    import pyarrow as pa

    try:
        return _parquet(path) if suffix == ".parquet" else _csv(path, tab=suffix == ".tsv")
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowKeyError, OSError, UnicodeDecodeError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        message = f"{path.name} cannot be read as {suffix[1:].upper()}: {error}"
        raise CorruptError(message, path=str(path), reason=str(error)) from error


def _parquet(path: Path) -> pa.Table:
    import pyarrow.parquet as pq

    return pq.ParquetFile(path).read()


def _csv(path: Path, *, tab: bool) -> pa.Table:
    import pyarrow as pa
    from pyarrow import csv

    data = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    if b"#" in data:
        data = re.sub(rb"(?m)^#[^\n]*\n?", b"", data)
    dialect = _sniff(data, tab=tab)
    table = csv.read_csv(
        pa.BufferReader(data),
        read_options=csv.ReadOptions(encoding=dialect.encoding),
        parse_options=csv.ParseOptions(delimiter=dialect.delimiter),
        convert_options=csv.ConvertOptions(decimal_point=dialect.decimal, strings_can_be_null=True),
    )
    name = time_column(table)
    if name is None:
        return table
    moments = _moments(table.column(name))
    return table if moments is None else table.set_column(table.column_names.index(name), name, moments)


def _sniff(data: bytes, *, tab: bool) -> Dialect:
    try:
        data.decode()
        encoding = "utf-8"
    except UnicodeDecodeError:
        encoding = "latin-1"
    head = data[:65536].decode(encoding, errors="replace").splitlines()[:50]
    delimiter = "\t" if tab else _delimiter([line for line in head if line.strip()] or [""])
    return Dialect(delimiter, _decimal(data, delimiter), encoding)


def _delimiter(lines: list[str]) -> str:
    """Return the sign that divides every line into as many cells; of several the one that makes most.

    A comma comes last: in ``time;discharge, m3/s`` over ``2001-01-31;1,5`` it does so too.
    """
    counts = {sign: lines[0].count(sign) for sign in ";\t,"}
    even = [sign for sign, n in counts.items() if n and all(line.count(sign) == n for line in lines)]
    return max(even, key=counts.__getitem__) if even else max(",;\t", key=counts.__getitem__)


def _decimal(data: bytes, delimiter: str) -> str:
    """Return the decimal sign: a comma only if some number of the whole file has one and none has a point.

    It may be the last line that tells: rain is 0 for weeks. Between commas a number with a comma stands in quotes.
    """
    sign = re.escape(delimiter.encode())
    if delimiter == ",":
        comma = b'"' in data and re.search(rb'"\s*[-+]?\d*,\d+\s*"', data)
    else:
        comma = b"," in data and re.search(rb"(?m)" + sign + rb'[ "]*[-+]?\d*,\d+[ "]*(?:' + sign + rb"|\r?$)", data)
    if not comma:
        return "."
    point = re.search(rb"(?m)" + sign + rb'[ "]*[-+]?\d*\.\d+[ "]*(?:' + sign + rb"|\r?$)", data)
    return "." if point else ","


def time_column(table: pa.Table) -> str | None:
    """Return the name of the column of times, by its name; None if there is none, or more than one."""
    found = [name for name in table.column_names if name.strip().lower() in TIME_NAMES]
    return found[0] if len(found) == 1 else None


def times(table: pa.Table) -> pa.ChunkedArray | None:
    """Return the time column as timestamps in UTC without a zone; None if there is none or it is not understood."""
    name = time_column(table)
    return None if name is None else _naive(table.column(name))


def _naive(column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    import pyarrow as pa
    import pyarrow.compute as pc

    moments = _moments(column)
    if moments is None:
        return None
    # a zoned timestamp counts from the epoch in UTC already: dropping the zone gives UTC
    return pc.cast(moments, pa.timestamp("us", moments.type.tz)).cast(pa.int64()).cast(pa.timestamp("us"))


def _moments(column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    import pyarrow as pa

    kind = column.type
    if pa.types.is_timestamp(kind):
        return column
    if pa.types.is_date(kind):
        return column.cast(pa.timestamp("us"))
    if pa.types.is_integer(kind) and not pa.types.is_uint64(kind):  # 20011231
        column = column.cast(pa.string())
    return _parsed(column) if pa.types.is_string(column.type) or pa.types.is_large_string(column.type) else None


def _parsed(column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """Return the only reading of a text column as dates; of several, the only one that does not run backwards."""
    import pyarrow as pa
    import pyarrow.compute as pc

    readings = []
    for layout in (date + clock for date in _DATES for clock in _CLOCKS):
        try:
            # the first value tells most layouts apart without reading the column
            pc.strptime(column.slice(0, 1), format=layout, unit="us")
            readings.append(pc.strptime(column, format=layout, unit="us"))
        except pa.ArrowInvalid:
            continue
    if len(readings) > 1:
        readings = [r for r in readings if _runs_forward(r)]
    return readings[0] if len(readings) == 1 else None


def _runs_forward(moments: pa.ChunkedArray) -> bool:
    import pyarrow.compute as pc

    return pc.all(pc.less_equal(moments[:-1], moments[1:])).as_py() is not False
