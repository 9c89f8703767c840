"""What is said of a series that is accepted: values that are missing, a step that is not kept."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from hmp_cache import InputsNamespace
from hmp_cache.regularity import remarks

FIRST = datetime(2020, 2, 1)


def _said(moments: list[datetime], values: list[float | None] | None = None, frequency: str | None = None) -> list[str]:
    column = pa.chunked_array([pa.array(values or [1.0] * len(moments), pa.float64())])
    times = pa.chunked_array([pa.array(moments, pa.timestamp("us"))])
    return [f"{check}: {message}" for check, message in remarks(times, {"q": column}, frequency)]


def _days(*left_out: int, of: int = 40) -> list[datetime]:
    return [FIRST + timedelta(days=n) for n in range(of) if n not in left_out]


@pytest.mark.parametrize("frequency", ["1D", None])
def test_a_regular_series_needs_no_remark(frequency: str | None) -> None:
    assert _said(_days(), frequency=frequency) == []
    assert _said(_days(7, 8, 9, 30), frequency=frequency) == []


def test_days_that_are_left_out_and_cells_that_are_empty_are_missing() -> None:
    values = [None, None, None] + [1.0] * 32
    assert _said(_days(10, 11, 12, 20, 21), values, "1D") == [
        "missing: 20% of the values of column q are missing (3 empty, 5 left out)"
    ]


def test_a_step_that_is_not_kept_is_said() -> None:
    moments = _days()
    moments[5] += timedelta(hours=3)
    holed = [moment for n, moment in enumerate(moments) if n not in range(10, 30)]
    assert [said[:4] for said in _said(holed, frequency="1D")] == ["step"]
    assert _said(moments, frequency="1D") == ["step: 2 of 39 steps are no multiple of 1 day, 0:00:00"]


@pytest.mark.parametrize("frequency", [None, "real-time"])
def test_of_what_comes_as_it_comes_no_step_is_expected(frequency: str | None) -> None:
    assert _said([FIRST + timedelta(days=n * n) for n in range(20)], frequency=frequency) == []


def test_months_are_not_all_as_long() -> None:
    months = [datetime(2000 + n // 12, n % 12 + 1, 1) for n in range(48)]
    assert _said(months) == _said(months, frequency="1MS") == []


def test_little_is_said_of_a_few_rows() -> None:
    assert _said(_days(of=9)[::4], frequency="1D") == []


def test_a_remark_is_on_record_and_refuses_nothing(data: InputsNamespace, write: Any) -> None:
    rows = "".join(f"{moment:%Y-%m-%d},1\n" for moment in _days(*range(10, 30)))
    entry = data.add(write("q.csv", f"time,discharge\n{rows}"), variable="discharge", frequency="1D")
    (report,) = data.story(entry.id)["validation"]
    assert report["passed"]
    (said,) = json.loads(report["errors_json"])
    assert (said["check"], said["remark"]) == ("missing", True)
