"""Time series in long form: one row for each time, variable and station; all of a run in one file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hmp_catalog.fields.times import instants
from hmp_catalog.plain import label, word
from hmp_catalog.tables import schema
from hmp_core.errors import InvalidInput

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray


def timeseries_table(variable: str, series: Any, *, station: str = "", unit: str = "") -> pa.Table:
    """Return a time series as rows of the table ``timeseries``.

    Parameters
    ----------
    variable : str
        What it is: "discharge", "head", ...
    series : pandas.Series, xarray.DataArray, (times, values) or mapping of time to value
        One value for each time; NaN stays. Times without a zone are UTC, others become so; a period counts
        from its start. A mapping may also have exactly the keys ``time`` and ``value``.
    station : str
        Where; empty for the whole catchment.
    unit : str
        UDUNITS; where it is empty, what the series says in ``attrs["units"]``.

    Returns
    -------
    pyarrow.Table
        Columns ``time`` (timestamp[us], UTC), ``variable``, ``station``, ``value`` (double), ``unit``.

    Raises
    ------
    InvalidInput
        Times out of order, twice or missing (says which), or values that are not one number for each time.

    Examples
    --------
    >>> flow = timeseries_table("discharge", {"2001-01-01": 4.2, "2001-01-02": 3.9}, station="outlet", unit="m3 s-1")
    >>> flow.column("value").to_pylist()
    [4.2, 3.9]
    """
    import pyarrow as pa

    variable = word(variable, "variable of a time series")
    station, unit = label(station, f"station of {variable}"), label(unit, f"unit of {variable}")
    of = f"{variable} at {station}" if station else variable
    given_times, given_values, said = _parts(series, of)
    times, values = instants(given_times, of=of), _numbers(given_values, of)
    if times.shape != values.shape:
        message = f"{of}: {times.size} times and values of shape {values.shape}; expected one value for each time"
        raise InvalidInput(message)
    constants = {"variable": variable, "station": station, "unit": label(unit or said, f"unit of {of}")}
    columns = {name: pa.repeat(pa.scalar(text, pa.string()), times.size) for name, text in constants.items()}
    columns |= {"time": pa.array(times), "value": pa.array(values, from_pandas=False)}
    return pa.table([columns[field.name] for field in timeseries_schema()], schema=timeseries_schema())


def timeseries_schema() -> pa.Schema:
    """Return the columns of the table ``timeseries``."""
    import pyarrow as pa

    return pa.schema(
        [
            ("time", pa.timestamp("us")),
            ("variable", pa.string()),
            ("station", pa.string()),
            ("value", pa.float64()),
            ("unit", pa.string()),
        ]
    )


def _parts(series: Any, of: str) -> tuple[Any, Any, str]:
    """Return times, values, and the unit the series says it is in."""
    if isinstance(series, Mapping):
        if set(series) == {"time", "value"}:
            return series["time"], series["value"], ""
        return list(series), list(series.values()), ""
    if isinstance(series, tuple) and len(series) == 2:
        return series[0], series[1], ""
    said = str(getattr(series, "attrs", {}).get("units", ""))
    if hasattr(series, "dims") and hasattr(series, "coords"):
        line = series.squeeze(drop=True)
        if line.ndim == 1 and line.dims[0] in line.coords:
            return line.coords[line.dims[0]], line.values, said
    elif hasattr(series, "index") and hasattr(series, "to_numpy") and not hasattr(series, "columns"):
        return series.index, series.to_numpy(), said
    message = (
        f"{of}: {type(series).__name__} is not a time series; pass a pandas.Series with a DatetimeIndex, an "
        "xarray.DataArray along time, (times, values), or times with their values"
    )
    raise InvalidInput(message)


def _numbers(values: Any, of: str) -> NDArray[np.float64]:
    import numpy as np

    try:
        given = np.ma.asarray(values)
        if given.dtype.kind in "cmM":
            # numpy would drop the imaginary part, and count a time in the units of its type
            message = f"{of}: values of type {given.dtype}, expected numbers: convert them first"
            raise InvalidInput(message)
        found: NDArray[np.float64] = np.ma.filled(given.astype(np.float64), np.nan)
    except (TypeError, ValueError) as error:
        message = f"{of}: values that are not numbers: {error}"
        raise InvalidInput(message) from error
    return found


class Continuity:
    """Sees to it that each series goes on: later parts begin after earlier ones, in the same unit."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str], tuple[Any, str]] = {}

    def check(self, part: pa.Table) -> tuple[tuple[str, str], tuple[Any, str]] | None:
        """Return what to `keep` of a part of one series once it is written; None if it has no rows.

        Raises
        ------
        InvalidInput
            If it begins before the end of the part before, or is in another unit.
        """
        if not part.num_rows:
            return None
        first, last = part.slice(0, 1).to_pylist()[0], part.slice(part.num_rows - 1).to_pylist()[0]
        key = (first["variable"], first["station"])
        known = self._last.get(key)
        if known and (first["time"] <= known[0] or first["unit"] != known[1]):
            message = (
                f"{' at '.join(filter(None, key))}: goes to {known[0]} in {known[1]!r} already; further values begin "
                f"after that and in the same unit, these begin at {first['time']} in {first['unit']!r}"
            )
            raise InvalidInput(message)
        return key, (last["time"], last["unit"])

    def keep(self, seen: tuple[tuple[str, str], tuple[Any, str]] | None) -> None:
        """Remember how far a series goes."""
        if seen:
            self._last[seen[0]] = seen[1]


KEYS = ("time", "variable", "station")
KIND = schema.TIMESERIES
