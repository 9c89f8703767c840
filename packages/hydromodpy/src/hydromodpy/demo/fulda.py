"""The record of the demo: ten years of the river Fulda at the gauge Grebenau, Hesse, Germany.

The file ships inside the package ``spotpy`` (MIT licence), which uses it in its example of a lumped
model: daily air temperature, precipitation (``mm/day``) and discharge from 1979 to 1988, no gap.

Discharge is in m3/s. The second line of the file says so (``m³/s``), spotpy's example converts it with
``Q * 86400 / area * 1000`` for an area of 2976.41 km2, and the water balance agrees: with this unit 839 mm
of rain a year give 332 mm of runoff (40 %), while read as mm/d the river would carry 11,400 mm a year.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from hmp_core.errors import CorruptError, InvalidInput, MissingPart, PathNotFound

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    Flow = TypeVar("Flow", float, NDArray[np.float64], pd.Series)

#: Area of the catchment [km2], as spotpy's example documents it.
AREA_KM2 = 2976.41
#: About the middle of the catchment, between the Rhön (50.5 N) and the gauge (51.2 N) [degrees north].
LATITUDE = 50.8
#: Columns of `read`: unit (UDUNITS) and CF standard name.
COLUMNS = {
    "precipitation": ("mm d-1", "lwe_precipitation_rate"),
    "air_temperature": ("degC", "air_temperature"),
    "discharge": ("m3 s-1", "water_volume_transport_in_river_channel"),
}

_INSIDE = ("examples", "cmf_data", "fulda_climate.csv")
_HEADER = ["date,tmax,tmin,tmean,Prec,Q", "#,°C,°C,°C,mm/day,m³/s"]


def source_file() -> Path:
    """Return where the installed spotpy keeps the record; spotpy itself is not imported.

    Returns
    -------
    Path
        An existing CSV file, to be read and never written.

    Raises
    ------
    MissingPart
        spotpy is not installed, or came without its examples.

    Examples
    --------
    >>> source_file().name
    'fulda_climate.csv'
    """
    spec = find_spec("spotpy")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder, *_INSIDE)
        if path.is_file():
            return path
    found = f"spotpy at {spec.origin} came without {'/'.join(_INSIDE)}" if spec else "spotpy is not installed"
    install = "hmp-hydromodpy[demo]"
    message = f"the Fulda record ships inside spotpy, and {found}: install {install}"
    raise MissingPart(message, install=install)


def read(path: str | Path | None = None) -> pd.DataFrame:
    """Return the record by day.

    Parameters
    ----------
    path : str or Path, optional
        A copy of the file; the one inside spotpy by default.

    Returns
    -------
    pandas.DataFrame, shape (3653, 3)
        Index ``time`` (days without a gap); columns ``precipitation`` [mm d-1], ``air_temperature``
        (daily mean) [degC] and ``discharge`` [m3 s-1]. ``attrs["units"]`` repeats the units.

    Raises
    ------
    MissingPart
        No `path` is given and spotpy is not installed.
    PathNotFound
        There is no such file.
    CorruptError
        The file is not this record: other columns or units, a gap, a value that is not a number.

    Examples
    --------
    >>> record = read()
    >>> record.loc["1979-01-01"].tolist()
    [1.0, -16.5, 143.0]
    """
    import pandas as pd

    path = source_file() if path is None else Path(path)
    if not path.is_file():
        message = f"there is no file {path}: expected the Fulda record or a copy of it"
        raise PathNotFound(message, path=str(path))
    try:
        header = path.read_text(encoding="utf-8").splitlines()[: len(_HEADER)]
        if header != _HEADER:
            raise _corrupt(path, f"begins with {header}: expected {_HEADER}")
        table = pd.read_csv(path, skiprows=[1], encoding="utf-8")
        days = pd.DatetimeIndex(pd.to_datetime(table["date"], format="%d.%m.%Y"), name="time")
        record = table[["Prec", "tmean", "Q"]].astype("float64")
    except ValueError as error:
        raise _corrupt(path, f"cannot be read: {error}") from error
    if days.empty or record.isna().any(axis=None) or not days.equals(pd.date_range(days[0], days[-1])):
        raise _corrupt(path, "has a day or a value missing")
    record.index = days
    record.columns = pd.Index(list(COLUMNS))
    record.attrs["units"] = {name: unit for name, (unit, _) in COLUMNS.items()}
    return record


def _corrupt(path: Path, what: str) -> CorruptError:
    return CorruptError(f"{path} {what}; it is not the Fulda record: install spotpy again", path=str(path))


def to_depth(discharge: Flow, area_km2: float = AREA_KM2) -> Flow:
    """Return a discharge as depth over the catchment.

    Parameters
    ----------
    discharge : float, ndarray or pandas.Series
        Discharge [m3 s-1].
    area_km2 : float
        Area of the catchment [km2].

    Returns
    -------
    float, ndarray or pandas.Series
        Depth [mm d-1], of the type given.

    Raises
    ------
    InvalidInput
        An area that is not positive.

    Examples
    --------
    >>> round(to_depth(31.33), 4)
    0.9095
    """
    return discharge * _millimetres_a_day(area_km2)


def to_discharge(depth: Flow, area_km2: float = AREA_KM2) -> Flow:
    """Return a depth over the catchment as discharge.

    Parameters
    ----------
    depth : float, ndarray or pandas.Series
        Depth [mm d-1].
    area_km2 : float
        Area of the catchment [km2].

    Returns
    -------
    float, ndarray or pandas.Series
        Discharge [m3 s-1], of the type given.

    Raises
    ------
    InvalidInput
        An area that is not positive.

    Examples
    --------
    >>> round(to_discharge(1.0), 2)
    34.45
    """
    return depth / _millimetres_a_day(area_km2)


def _millimetres_a_day(area_km2: float) -> float:
    """Return the depth [mm d-1] of 1 m3/s over the area: 86400 s/d * 1000 mm/m / (1e6 m2/km2 * area)."""
    if not area_km2 > 0:
        message = f"the catchment area is {area_km2} km2: expected a positive number"
        raise InvalidInput(message)
    return 86.4 / area_km2
