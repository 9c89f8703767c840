"""Holding the bytes of an input to its contract, on arrival: what was checked, what failed, what was learned.

A contract is small: the file is readable; a table of a known variable has a time column that runs forward without
duplicates (per station, if it has a column of stations), and values that are numbers within what is possible.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hmp_cache import endings, formats, regularity, tabular
from hmp_cache.contracts import UNITS, Contract, contract_for
from hmp_core.errors import CorruptError

if TYPE_CHECKING:
    import pyarrow as pa

#: What a column is called that tells the stations of a long table apart, in lower case.
STATION_NAMES = frozenset({
    "station", "station_id", "code_station", "id_station", "site", "site_id", "site_no", "code_site", "gauge",
    "gauge_id", "gauge_name", "code_bss", "bss", "bss_id", "piezometer", "well", "location", "location_id",
})  # fmt: skip

#: Numbers in a table that are no values of the variable, in lower case.
_NO_VALUES = frozenset({
    "lat", "latitude", "lon", "long", "longitude", "x", "y", "z", "easting", "northing", "elevation", "altitude",
    "quality", "quality_code", "qualifier", "flag", "flags", "id", "index", "year", "month", "doy",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a file."""

    #: readable, columns, time, duplicates, range; as a remark: missing, step
    check: str
    message: str


@dataclass(frozen=True, slots=True)
class Report:
    """What was found: which contract, what is wrong, and the facts learned on the way."""

    schema_name: str
    findings: tuple[Finding, ...] = ()
    #: what is worth saying of a file that is accepted: values that are missing, a step that is not kept
    remarks: tuple[Finding, ...] = ()
    #: rows of a table
    n_records: int | None = None
    columns: tuple[str, ...] | None = None
    #: first and last moment of the data, UTC without a zone
    date_start: datetime | None = None
    date_end: datetime | None = None

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings


def validate(path: Path, *, suffix: str, variable: str, unit: str | None, frequency: str | None = None) -> Report:
    """Hold a file to the contract of its variable.

    Parameters
    ----------
    path
        The file, under whatever name.
    suffix
        What it is said to be, as ".csv".
    variable, unit, frequency
        What its values are said to be.

    Returns
    -------
    Report
        All findings, not only the first.
    """
    contract = contract_for(variable)
    wrong = formats.trouble(path, suffix) or _cut(path, suffix)
    if wrong is not None:
        return Report(contract.name, (Finding("readable", wrong),))
    if suffix.lower() not in tabular.TABULAR:
        return Report(contract.name)
    try:
        table = tabular.read(path, suffix=suffix)
    except CorruptError as error:
        return Report(contract.name, (Finding("readable", f"it cannot be read as {suffix[1:]}: {error.reason}"),))  # type: ignore[attr-defined]
    return _judge(table, contract, unit, frequency)


def _cut(path: Path, suffix: str) -> str | None:
    with path.open("rb") as file:
        return endings.lacking(file, suffix.lower(), told=True)


def _judge(table: pa.Table, contract: Contract, unit: str | None, frequency: str | None) -> Report:
    import pyarrow.compute as pc

    moments = tabular.times(table)
    span = pc.min_max(moments).as_py() if moments is not None else {"min": None, "max": None}
    findings = list(_rows(table))
    if contract.ranges and not findings:
        findings += [*_time(table, moments), *_values(table, contract, unit)]
    remarks: list[Finding] = []
    if contract.ranges and not findings and moments is not None and _stations(table) is None:
        values = {name: table.column(name) for name in value_columns(table, contract)}
        remarks = [Finding(*said) for said in regularity.remarks(moments, values, frequency)]
    return Report(
        schema_name=contract.name,
        findings=tuple(findings),
        remarks=tuple(remarks),
        n_records=table.num_rows,
        columns=tuple(table.column_names),
        date_start=span["min"],
        date_end=span["max"],
    )


def _rows(table: pa.Table) -> Iterator[Finding]:
    if table.num_rows == 0:
        yield Finding("readable", "it has a header and no rows")
    if len(set(table.column_names)) < table.num_columns:
        yield Finding("columns", f"two columns have the same name: {', '.join(table.column_names)}")
    # not the first: an index has no name in many files
    if table.num_columns > 1 and not table.column_names[-1].strip() and table.columns[-1].null_count < table.num_rows:
        what = "the last column has values and no name; are they the decimals of numbers with a decimal comma?"
        yield Finding("columns", f"{what} Divide the cells by semicolons, or use decimal points")


# ── time ─────────────────────────────────────────────────────────────────────────────────────────────


def _time(table: pa.Table, moments: pa.ChunkedArray | None) -> Iterator[Finding]:
    if moments is None:
        name = tabular.time_column(table)
        if name is None:
            listed = ", ".join(table.column_names)
            yield Finding("columns", f"no column of times; expected one called time or date, found {listed}")
        else:
            first = table.column(name)[0].as_py()
            yield Finding("time", f"column {name} is not understood as times, the first is {first!r}; use ISO 8601")
        return
    if moments.null_count:
        yield Finding("time", f"{moments.null_count} rows have no time, the first is row {_first_null(moments)}")
        return
    yield from _order(table, moments)


def _order(table: pa.Table, moments: pa.ChunkedArray) -> Iterator[Finding]:
    """Compare each row with the one before it, of the same station."""
    import pyarrow as pa
    import pyarrow.compute as pc

    stations = _stations(table)
    rows = pa.table({"t": moments, "n": pa.array(range(table.num_rows)), "s": _codes(stations, table.num_rows)})
    if stations is not None:
        rows = rows.sort_by([("s", "ascending"), ("n", "ascending")])
    same = pc.equal(rows["s"][1:], rows["s"][:-1])
    back = pc.and_(same, pc.less(rows["t"][1:], rows["t"][:-1]))
    if (count := _count(back)) > 0:
        row = rows["n"][1:][pc.index(back, True).as_py()].as_py() + 1
        yield Finding("time", f"time runs backwards {count} times, first at row {row}; sort the rows by time")
    ordered = rows.sort_by([("s", "ascending"), ("t", "ascending"), ("n", "ascending")])
    twice = pc.and_(
        pc.equal(ordered["s"][1:], ordered["s"][:-1]),
        pc.equal(ordered["t"][1:], ordered["t"][:-1]),
    )
    if (count := _count(twice)) > 0:
        place = pc.index(twice, True).as_py()
        when = ordered["t"][place + 1].as_py().isoformat()
        row = ordered["n"][place + 1].as_py() + 1
        yield Finding("duplicates", f"{count} rows repeat a time, the first is {when} in row {row}")


def _stations(table: pa.Table) -> pa.ChunkedArray | None:
    found = [name for name in table.column_names if name.strip().lower() in STATION_NAMES]
    return table.column(found[0]) if found else None


def _codes(stations: pa.ChunkedArray | None, rows: int) -> Any:
    """Return a number per row that is the same for the same station."""
    import pyarrow as pa

    if stations is None:
        return pa.array([0] * rows, pa.int32())
    codes = stations.combine_chunks().dictionary_encode().indices
    return codes.fill_null(-1)


def _count(flags: Any) -> int:
    import pyarrow.compute as pc

    return pc.sum(flags).as_py() or 0


def _first_null(column: pa.ChunkedArray) -> int:
    import pyarrow.compute as pc

    found: int = pc.index(pc.is_null(column), True).as_py()
    return found + 1


# ── values ───────────────────────────────────────────────────────────────────────────────────────────


def _values(table: pa.Table, contract: Contract, unit: str | None) -> Iterator[Finding]:
    names = value_columns(table, contract)
    if not names:
        wanted = ", ".join(sorted(contract.columns))
        listed = ", ".join(table.column_names)
        yield Finding("columns", f"no column of values; expected numbers, called as {wanted}; found {listed}")
    for name in names:
        yield from _numbers(name, table.column(name), contract, unit)


def value_columns(table: pa.Table, contract: Contract) -> list[str]:
    """Return the columns that hold the variable: those called like it, else every column of numbers.

    A wide table has a column per station, under the stations' names.
    """
    import pyarrow as pa

    named = [name for name in table.column_names if name.strip().lower() in contract.columns]
    if named:
        return named
    no_values = _NO_VALUES | STATION_NAMES | tabular.TIME_NAMES
    return [
        column.name
        for column in table.schema
        if (pa.types.is_floating(column.type) or pa.types.is_integer(column.type) or pa.types.is_decimal(column.type))
        and column.name.strip().lower() not in no_values
    ]


def _numbers(name: str, column: pa.ChunkedArray, contract: Contract, unit: str | None) -> Iterator[Finding]:
    import pyarrow as pa

    if column.null_count == len(column):
        yield Finding("range", f"column {name} holds no value at all")
        return
    try:
        numbers = column.cast(pa.float64())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        row, value = _first_text(column)
        yield Finding("columns", f"column {name} holds {value!r} in row {row}, expected numbers")
        return
    yield from _possible(name, numbers, contract.limits(unit), unit)
    if contract.usual or unit not in UNITS:
        yield from _fillers(name, numbers, contract)


def _possible(
    name: str, numbers: pa.ChunkedArray, limits: tuple[float, float] | None, unit: str | None
) -> Iterator[Finding]:
    import pyarrow.compute as pc

    low, high = limits or (-math.inf, math.inf)
    words = f" {unit}" if unit else ""
    for outside, what in (
        (pc.less(numbers, low), f"below {low:g}{words}"),
        (pc.greater(numbers, high), f"above {high:g}{words}"),
    ):
        if (count := _count(outside)) > 0:
            row = pc.index(outside, True).as_py()
            value = numbers[row].as_py()
            hint = "; leave missing values empty" if value in FILLERS else ""
            said = f"{count} values of column {name} are {what}, the first is {value:g} in row {row + 1}{hint}"
            yield Finding("range", said)


#: Numbers that stand for a missing value in many files.
FILLERS = (-9999.0, -9999.9, -99999.0, -999.0, -999.9)


def _fillers(name: str, numbers: pa.ChunkedArray, contract: Contract) -> Iterator[Finding]:
    """Limits that are wide let a filler pass; only what is usual tells it from a value."""
    import pyarrow as pa
    import pyarrow.compute as pc

    low, high = contract.usual or next(iter(contract.ranges.values()))
    fillers = [value for value in FILLERS if not low <= value <= high]
    if (count := _count(pc.is_in(numbers, value_set=pa.array(fillers, pa.float64())))) > 0:
        said = f"{count} values of column {name} stand for a missing one (as {fillers[0]:g})"
        yield Finding("range", f"{said}; leave missing values empty")


def _first_text(column: pa.ChunkedArray) -> tuple[int, Any]:
    for row, value in enumerate(column.to_pylist(), 1):
        try:
            float(value if value is not None else "nan")
        except (TypeError, ValueError):
            return row, value
    return 0, None
