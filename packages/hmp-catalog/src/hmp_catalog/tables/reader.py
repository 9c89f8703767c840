"""Tables coming back: a table, its time series, one of them as a pandas Series."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from hmp_catalog.fields.times import bounds, instant
from hmp_catalog.packs import Packed
from hmp_catalog.tables import schema
from hmp_catalog.tables.timeseries import timeseries_schema
from hmp_core.errors import AmbiguousReference, CorruptError, HmpError, InvalidInput, NotFound, PathNotFound
from hmp_core.paths import to_local

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc
    from upath import UPath

    Filters = Mapping[str, Any] | Sequence[tuple[str, str, Any]]


def read_table(
    path: str | Path | UPath | Packed, *, columns: Sequence[str] | None = None, filters: Filters | None = None
) -> pa.Table:
    """Return a table, or some columns and rows of it; row groups that cannot hold such rows are skipped.

    Parameters
    ----------
    path : str, Path, UPath or Packed
        The file; also in the pack of a run.
    columns : sequence of str, optional
        Which columns, in this order.
    filters : mapping or sequence of (column, operator, value), optional
        Column -> value, or list of values; or conditions that must all hold, with the operators ``==``, ``!=``,
        ``<``, ``<=``, ``>``, ``>=``, ``in`` and ``not in``.

    Raises
    ------
    PathNotFound
        If there is no such file.
    SchemaTooNewError
        If a newer hmp wrote it.
    CorruptError
        If it is damaged or not a table of hmp; it is left as it is.
    InvalidInput
        An unknown column, or a condition that its type cannot meet.

    Examples
    --------
    >>> from hmp_catalog.tables import write_table
    >>> rows = {"component": ["wells", "drains"], "volume": [12.5, 3.0]}
    >>> _ = write_table("tables", "budget", rows, metadata={"run_id": "6f2f1b0e"})
    >>> read_table("tables/budget.parquet", filters={"component": "wells"}).to_pylist()
    [{'component': 'wells', 'volume': 12.5}]
    """
    import pyarrow.parquet as pq

    file = path if isinstance(path, Packed) else to_local(path)
    with _opened(file) as source:
        found = pq.read_schema(source)
        schema.check_version(found, file)
        unknown = [name for name in columns or () if name not in found.names]
        if unknown:
            message = f"{file}: no column {unknown[0]!r}; it has {', '.join(found.names)}"
            raise InvalidInput(message)
        wanted = _expression(filters, found, file)
        source.seek(0)
        kept = None if columns is None else list(columns)
        # a thread of pyarrow's that still holds the file when the process ends has aborted it
        calm = {"use_threads": False, "pre_buffer": False}
        return pq.read_table(source, columns=kept, filters=wanted, page_checksum_verification=True, **calm)


def read_timeseries(
    path: str | Path | UPath | Packed,
    *,
    variable: str | Sequence[str] | None = None,
    station: str | Sequence[str] | None = None,
    period: tuple[Any, Any] | None = None,
) -> pa.Table:
    """Return time series in long form (see `timeseries_table`).

    Parameters
    ----------
    path : str, Path or UPath
        The file, usually ``tables/timeseries.parquet`` of a run.
    variable, station : str or sequence of str, optional
        Which of them; all unless given.
    period : tuple of two times, optional
        First and last, both included; None stays open. A year, a month or a day stands for all of it:
        ``("2001-10", "2002-09")``.

    Raises
    ------
    NotFound
        If the file has no such variable or station, or they have no value in the period; lists what there is.
    PathNotFound, SchemaTooNewError, CorruptError
        As `read_table`.
    """
    file = path if isinstance(path, Packed) else to_local(path)
    filters: list[tuple[str, str, Any]] = []
    for column, wanted in (("variable", variable), ("station", station)):
        if wanted is not None:
            filters.append((column, "in", [wanted] if isinstance(wanted, str) else list(wanted)))
    first, last = (None, None) if period is None else bounds(*period)
    filters += [("time", ">=", first)] if first is not None else []
    filters += [("time", "<=", last)] if last is not None else []
    found = read_table(file, filters=filters or None)
    if found.schema.names != timeseries_schema().names:
        message = f"{file}: columns {found.schema.names}; expected {timeseries_schema().names}: not time series"
        raise CorruptError(message, path=str(file))
    if not found.num_rows:
        raise _nothing_there(file, variable, station, period)
    return found


def to_series(table: pa.Table) -> pd.Series:
    """Return the one time series of a table as a pandas Series.

    Parameters
    ----------
    table : pyarrow.Table
        Time series in long form, of one variable and one station.

    Returns
    -------
    pandas.Series, shape (n,)
        Named after the variable, by time (UTC); ``attrs`` has ``units`` and ``station``.

    Raises
    ------
    NotFound
        If the table has no rows.
    AmbiguousReference
        If it has more than one series; lists them.

    Examples
    --------
    >>> from hmp_catalog.tables import timeseries_table
    >>> to_series(timeseries_table("discharge", {"2001-01-01": 4.2}, station="outlet", unit="m3 s-1")).attrs
    {'units': 'm3 s-1', 'station': 'outlet'}
    """
    import pandas as pd

    names = _series_of(table)
    if len(names) != 1:
        kind, what = (AmbiguousReference, "more than one") if names else (NotFound, "no")
        message = f"{what} time series in this table: {', '.join(names) or 'no rows'}; say which variable and station"
        raise kind(message, reference="time series", candidates=names)
    first = table.slice(0, 1).to_pylist()[0]
    index = pd.DatetimeIndex(table.column("time").to_numpy(), name="time")
    series = pd.Series(table.column("value").to_numpy(), index=index, name=first["variable"])
    series.attrs.update(units=first["unit"], station=first["station"])
    return series


def _series_of(table: pa.Table) -> list[str]:
    pairs = table.select(["variable", "station"]).group_by(["variable", "station"]).aggregate([]).to_pylist()
    return sorted(f"{pair['variable']} at {pair['station']}" if pair["station"] else pair["variable"] for pair in pairs)


def _nothing_there(file: Path | Packed, variable: Any, station: Any, period: Any) -> NotFound:
    there = _series_of(read_table(file, columns=["variable", "station"]))
    asked = {"variable": variable, "station": station, "period": period}
    reference = ", ".join(f"{name} {value!r}" for name, value in asked.items() if value is not None) or "any"
    message = f"{file}: no values for {reference}; there is {', '.join(there) or 'nothing'}"
    return NotFound(message, reference=reference, candidates=there)


# ── the border to pyarrow ────────────────────────────────────────────────────────────────────────────


@contextlib.contextmanager
def _opened(file: Path | Packed) -> Iterator[BinaryIO]:
    """Open a table file, and turn what pyarrow says about damage into an error of hmp."""
    import pyarrow as pa

    try:
        with file.open("rb") as source:
            yield source
    except (FileNotFoundError, NotADirectoryError) as error:
        message = f"{file}: no such table; a run has those it recorded"
        raise PathNotFound(message, path=str(file)) from error
    except (HmpError, PermissionError):
        raise
    # damage shows as ArrowException, OSError or ValueError (text that is not UTF-8), depending on the byte
    except (pa.ArrowException, OSError, ValueError) as error:
        message = f"{file}: cannot be read as Parquet: {error}; restore it from a copy of the run"
        raise CorruptError(message, path=str(file)) from error


def _expression(filters: Filters | None, found: pa.Schema, file: Path | Packed) -> pc.Expression | None:
    """Return the conditions as pyarrow takes them, tried out on no rows, so that what fails later is damage."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    conditions = (
        [_condition(*item) for item in filters.items()] if isinstance(filters, Mapping) else list(filters or ())
    )
    unknown = [name for name, _, _ in conditions if name not in found.names]
    if unknown:
        message = f"{file}: no column {unknown[0]!r} to filter on; it has {', '.join(found.names)}"
        raise InvalidInput(message)
    if not conditions:
        return None
    try:
        wanted = pq.filters_to_expression([_typed(*condition, found) for condition in conditions])
        found.empty_table().filter(wanted)
    except (pa.ArrowException, TypeError, ValueError) as error:
        message = f"{file}: cannot filter by {conditions}: {error}"
        raise InvalidInput(message) from error
    return wanted


def _typed(name: str, operator: str, value: Any, found: pa.Schema) -> tuple[str, str, Any]:
    """Return a condition on a time with a time that pyarrow takes, however the caller holds it."""
    import pyarrow as pa

    if not pa.types.is_timestamp(found.field(name).type):
        return name, operator, value
    if operator in {"in", "not in"}:
        return name, operator, [instant(each).item() for each in value]
    return name, operator, instant(value).item()


def _condition(name: str, value: Any) -> tuple[str, str, Any]:
    several = isinstance(value, Sequence | set | frozenset) and not isinstance(value, (str, bytes))
    return (name, "in", list(value)) if several else (name, "==", value)
