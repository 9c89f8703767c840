"""Groups of a data set: those of the calendar are those of pandas, and every value is in one of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hmp_catalog.datasets.blockwise import grouping
from hmp_catalog.datasets.cells import blocks
from hmp_catalog.datasets.dataset import Dataset, open_dataset
from hmp_catalog.datasets.dtypes import dtype
from hmp_core.errors import InvalidInput, NotFound

#: Periods here, and how pandas calls them.
CALENDAR = {"D": "D", "M": "MS", "Y": "YS", "W": "W", "3M": "3MS", "2Y": "2YS"}
FIXED = {"D": "D", "7D": "7D", "6h": "6h", "5h": "5h", "90m": "90min", "36h": "36h", "h": "h", "10D": "10D"}

HOURS = pd.date_range("2019-11-27T06:00", periods=9000, freq="h")
GAPS = HOURS[np.sort(np.random.default_rng(7).choice(9000, 500, replace=False))]
DAYS = pd.date_range("2018-12-31", periods=900, freq="D")


def in_pandas(times: pd.DatetimeIndex, rule: str, **how: Any) -> tuple[slice, ...]:
    sizes = pd.Series(1, index=times).resample(rule, **how).sum()
    edges = [0, *np.cumsum(sizes[sizes > 0]).astype(int)]
    return tuple(slice(int(a), int(b)) for a, b in itertools.pairwise(edges))


@pytest.mark.parametrize("times", [HOURS, GAPS, DAYS], ids=["hours", "gaps", "days"])
@pytest.mark.parametrize("period", CALENDAR)
def test_calendar_periods_are_those_of_pandas(times: pd.DatetimeIndex, period: str) -> None:
    expected = in_pandas(times, CALENDAR[period])
    assert grouping.period_pieces(times.to_numpy().astype("M8[h]"), period) == expected


@pytest.mark.parametrize("origin", ["start_day", "start", "epoch", "2019-11-01T03:20"])
@pytest.mark.parametrize("times", [HOURS, GAPS], ids=["hours", "gaps"])
@pytest.mark.parametrize("period", FIXED)
def test_fixed_periods_are_those_of_pandas(times: pd.DatetimeIndex, period: str, origin: str) -> None:
    # pandas: days follow the calendar and have no origin; hours have
    rule = f"{24 * int(period[:-1] or 1)}h" if period.endswith("D") else FIXED[period]
    stated = origin if origin in grouping.ORIGINS else pd.Timestamp(origin)
    expected = in_pandas(times, rule, origin=stated)
    assert grouping.period_pieces(times.to_numpy().astype("M8[m]"), period, origin) == expected


def test_seven_days_are_counted_from_the_midnight_before_the_first() -> None:
    first = grouping.period_pieces(HOURS.to_numpy(), "7D")[0]
    assert first == slice(0, 162)
    assert grouping.period_pieces(HOURS.to_numpy(), "7D", "start")[0] == slice(0, 168)


def test_weeks_begin_on_monday() -> None:
    for piece in grouping.period_pieces(HOURS.to_numpy(), "W")[1:]:
        assert HOURS[piece.start].day_name() == "Monday"
        assert HOURS[piece.start].hour == 0


def test_times_may_descend_and_be_coarser_than_the_period() -> None:
    days = DAYS.to_numpy().astype("M8[D]")
    assert len(grouping.period_pieces(days, "6h")) == len(days)
    assert grouping.period_pieces(days[::-1], "M")[0] == slice(0, 17)  # 17 June 2021, back to the first
    months = np.arange("2000-01", "2002-01", dtype="M8[M]")
    assert [piece.stop for piece in grouping.period_pieces(months, "Y")] == [12, 24]
    assert grouping.period_pieces(days[:0], "M") == ()


@pytest.mark.parametrize("period", ["", "0D", "3q", "D7", "-1D", "1.5h", "7d", "min"])
def test_what_is_no_period_is_refused(period: str) -> None:
    with pytest.raises(InvalidInput, match="no period"):
        grouping.period_pieces(HOURS.to_numpy(), period)


def test_times_too_far_away_for_a_period_are_refused_not_wrapped() -> None:
    far = np.array(["0001-01-01", "9999-01-01"], dtype="M8[D]")
    with pytest.raises(InvalidInput, match="coarser unit"):
        grouping.period_pieces(far, "7ns")
    assert len(grouping.period_pieces(far, "D")) == 2


def test_times_in_no_order_are_refused() -> None:
    with pytest.raises(InvalidInput, match="no order"):
        grouping.period_pieces(HOURS.to_numpy()[[0, 500, 3]], "D")


def test_an_origin_is_an_instant() -> None:
    for origin in ("yesterday", 5.5, np.datetime64("NaT")):
        with pytest.raises(InvalidInput, match="origin="):
            grouping.period_pieces(HOURS.to_numpy(), "D", origin)


# ── in a data set ────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def ds(tmp_path: Path) -> Iterator[Dataset]:
    values = np.random.default_rng(3).uniform(0, 60, (600, 9, 7)).round(2)
    with open_dataset(tmp_path / "grid.zarr", "n") as made:
        made.create.coord.generic("time", data=HOURS[:600].to_numpy().astype("M8[h]"))
        made.create.coord.generic("y", data=np.arange(9.0))
        made.create.coord.generic("x", data=np.arange(7))
        packed = dtype("float32", precision=2, min_value=0, max_value=100)
        for name, kind, chunks in (("packed", packed, (50, 4, 3)), ("plain", "float64", (70, 9, 2))):
            made.create.data_var.generic(name, ("time", "y", "x"), dtype=kind, chunk_shape=chunks)[:] = values
        yield made


@pytest.mark.parametrize("max_mem", [2**29, 60_000, 2_000])
@pytest.mark.parametrize("period", ["D", "M", "7D", "6h", "W"])
def test_means_of_groups_are_those_of_pandas(ds: Dataset, period: str, max_mem: int) -> None:
    table = pd.DataFrame(ds["plain"].data.reshape(600, -1), index=HOURS[:600])
    expected = table.resample({**CALENDAR, **FIXED}[period], origin="start_day").mean().to_numpy()
    found = [values.mean(axis=0).ravel() for _, values in list(ds["packed"].groupby({"time": period}, max_mem))]
    np.testing.assert_allclose(found, expected, atol=0.006)


@pytest.mark.parametrize("spec", [{"time": "D"}, {"time": "7D", "y": 2}, "y", ["time", "x"], {"x": 3, "y": 2}, {}])
def test_a_view_and_a_data_set_have_the_same_groups(ds: Dataset, spec: Any) -> None:
    view, part = ds["packed"][30:300, 2:], ds.select({"time": slice(30, 300), "y": slice(2, None)})
    alone = list(view.groupby(spec))
    together = list(part.groupby(spec))
    assert [place for place, _ in alone] == [tuple(place.values()) for place, _ in together]
    for (place, values), (_, several) in zip(alone, together, strict=True):
        np.testing.assert_array_equal(values, view[place].data)
        np.testing.assert_array_equal(values, several["packed"])
        np.testing.assert_allclose(values, several["plain"], atol=0.006)


def test_what_is_no_coordinate_or_no_time_is_refused(ds: Dataset) -> None:
    with pytest.raises(NotFound, match="no coordinate 'level'"):
        ds["packed"].groupby("level")
    with pytest.raises(InvalidInput, match="are of times"):
        ds["packed"].groupby({"y": "D"})
    for length in (0, -1, 1.5, True, None):
        with pytest.raises(InvalidInput, match="number of labels"):
            ds["packed"].groupby({"y": length})
    with pytest.raises(InvalidInput, match="expected a coordinate"):
        ds["packed"].groupby(5)


@pytest.mark.parametrize("max_mem", [2**20, 40_000])
def test_each_chunk_is_read_once_for_days_across_chunks(
    ds: Dataset, monkeypatch: pytest.MonkeyPatch, max_mem: int
) -> None:
    chunks: list[tuple[int, ...]] = []
    codes = type(ds["packed"]).codes

    def counted(self: Any, window: Any = None) -> Any:
        chunks.extend(number for number, _ in blocks.units(window, self.chunk_shape))
        return codes(self, window)

    monkeypatch.setattr(type(ds["packed"]), "codes", counted)
    for _ in ds["packed"].groupby({"time": "D"}, max_mem):
        pass
    assert sorted(chunks) == list(itertools.product(range(12), range(3), range(3)))
