"""Time series in long form: from whatever a user holds, in order, in UTC, with every NaN."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import xarray as xr

from hmp_catalog.tables import timeseries_table
from hmp_core.errors import InvalidInput

DAYS = pd.date_range("2001-01-01", periods=3, freq="D")
VALUES = [4.2, math.nan, 3.9]


@pytest.mark.parametrize(
    "series",
    [
        pd.Series(VALUES, index=DAYS),
        pd.Series(VALUES, index=DAYS.tz_localize("UTC").tz_convert("Asia/Tokyo")),
        pd.Series(VALUES, index=pd.period_range("2001-01-01", periods=3, freq="D")),
        pd.Series([4.2, None, 3.9], index=DAYS, dtype="Float64"),
        xr.DataArray(VALUES, dims="time", coords={"time": DAYS}),
        xr.DataArray([VALUES], dims=("station", "time"), coords={"time": DAYS, "station": ["outlet"]}),
        (DAYS.to_numpy(), VALUES),
        ([datetime(2001, 1, day, tzinfo=UTC) for day in (1, 2, 3)], np.array(VALUES, "f4").astype("f8")),
        (DAYS, np.ma.masked_array([4.2, 0.0, 3.9], mask=[False, True, False])),
        {"2001-01-01": 4.2, "2001-01-02": math.nan, "2001-01-03": 3.9},
        {"time": DAYS, "value": VALUES},
    ],
    ids=lambda series: type(series).__name__,
)
def test_every_way_to_hold_a_series_gives_the_same_rows(series: Any) -> None:
    found = timeseries_table("discharge", series, station="outlet", unit="m3 s-1")
    assert found.column("time").to_pylist() == [datetime(2001, 1, day) for day in (1, 2, 3)]
    assert np.allclose(found.column("value").to_numpy(), VALUES, equal_nan=True, rtol=1e-6)
    assert set(zip(*(found.column(name).to_pylist() for name in ("variable", "station", "unit")), strict=True)) == {
        ("discharge", "outlet", "m3 s-1")
    }


def test_the_columns_are_the_long_form() -> None:
    found = timeseries_table("discharge", {"2001-01-01": 1.0})
    assert [(field.name, field.type) for field in found.schema] == [
        ("time", pa.timestamp("us")),
        ("variable", pa.string()),
        ("station", pa.string()),
        ("value", pa.float64()),
        ("unit", pa.string()),
    ]


def test_nan_is_kept_as_a_value() -> None:
    found = timeseries_table("discharge", pd.Series(VALUES, index=DAYS))
    assert found.column("value").null_count == 0


def test_the_unit_may_come_with_the_series() -> None:
    series = pd.Series(VALUES, index=DAYS)
    series.attrs["units"] = "m3 s-1"
    assert timeseries_table("discharge", series).column("unit").to_pylist() == ["m3 s-1"] * 3


def test_the_unit_of_the_caller_goes_before_that_of_the_series() -> None:
    series = xr.DataArray(VALUES, dims="time", coords={"time": DAYS}, attrs={"units": "l s-1"})
    assert timeseries_table("discharge", series, unit="m3 s-1").column("unit").to_pylist() == ["m3 s-1"] * 3


@pytest.mark.parametrize(
    ("series", "says"),
    [
        (pd.Series(VALUES, index=DAYS[[0, 2, 1]]), "discharge at outlet: 2001-01-02.* comes after 2001-01-03"),
        (pd.Series(VALUES, index=DAYS[[0, 1, 1]]), "2001-01-02.* stands at 1 and again at 2"),
        (pd.Series(VALUES, index=[DAYS[0], DAYS[1], pd.NaT]), "no time at position 2"),
        (pd.Series(VALUES), "one dimension of datetimes"),
        ((DAYS, VALUES[:2]), "3 times and values of shape"),
        ((DAYS, ["a", "b", "c"]), "not numbers"),
        ((DAYS, np.array([1j, 2, 3])), "complex128, expected numbers"),
        ((DAYS, DAYS), "datetime64.*expected numbers"),
        ((DAYS, DAYS - DAYS[0]), "timedelta64.*expected numbers"),
        (pd.DataFrame({"q": VALUES}, index=DAYS), "DataFrame is not a time series"),
        (xr.DataArray(np.zeros((2, 3)), dims=("x", "time"), coords={"time": DAYS}), "is not a time series"),
        (xr.DataArray(VALUES, dims="time"), "is not a time series"),
        (VALUES, "list is not a time series"),
    ],
)
def test_what_is_no_series_is_refused_and_said(series: Any, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        timeseries_table("discharge", series, station="outlet")


@pytest.mark.parametrize("said", [{"variable": ""}, {"variable": None}, {"station": 7}, {"unit": None}])
def test_names_are_text(said: dict[str, Any]) -> None:
    said = {"variable": "discharge", **said}
    with pytest.raises(InvalidInput, match="expected text"):
        timeseries_table(series={"2001-01-01": 1.0}, **said)
