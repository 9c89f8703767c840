"""All tables of a run: one file per kind, each series going on where it stopped, closed once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hmp_catalog.tables import TableSet, read_table, read_timeseries, to_series
from hmp_core.errors import InvalidInput, SealedError
from hmp_core.identity import sha256_tree

DAYS = pd.date_range("2001-01-01", periods=400, freq="D")
FLOW = pd.Series(np.arange(400.0), index=DAYS)


@pytest.fixture
def tables(tmp_path: Path) -> TableSet:
    return TableSet(tmp_path, run_id="6f2f1b0e")


def test_each_kind_is_one_file(tables: TableSet, tmp_path: Path) -> None:
    tables.timeseries("discharge", FLOW, station="outlet", unit="m3 s-1")
    tables.timeseries("level", FLOW, station="outlet", unit="m")
    tables.add("budget", {"component": ["wells"], "volume": [1.0]})
    tables.add("budget", {"component": ["drains"], "volume": [2.0]})
    assert [(file.path, file.kind, file.rows) for file in tables.close()] == [
        ("tables/budget.parquet", "budget", 2),
        ("tables/timeseries.parquet", "timeseries", 800),
    ]
    assert sorted(each.name for each in (tmp_path / "tables").iterdir()) == ["budget.parquet", "timeseries.parquet"]


def test_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        tables = TableSet(tmp_path / name, run_id="6f2f1b0e")
        tables.timeseries("discharge", FLOW, station="outlet", unit="m3 s-1")
        tables.add("budget", {"component": ["wells"], "volume": [1.0]})
        tables.close()
    assert sha256_tree(tmp_path / "one") == sha256_tree(tmp_path / "two")


def test_a_series_goes_on_where_it_stopped(tables: TableSet, tmp_path: Path) -> None:
    for start in range(0, 400, 100):
        tables.timeseries("discharge", FLOW[start : start + 100], station="outlet", unit="m3 s-1")
    tables.close()
    found = to_series(read_timeseries(tmp_path / "tables" / "timeseries.parquet"))
    assert np.array_equal(found.to_numpy(), FLOW.to_numpy())


@pytest.mark.parametrize(
    ("series", "unit", "says"),
    [(FLOW[99:], "m3 s-1", "goes to 2001-04-10"), (FLOW[100:], "l s-1", "in the same unit")],
)
def test_a_part_that_does_not_follow_is_refused_and_nothing_of_it_is_kept(
    tables: TableSet, tmp_path: Path, series: pd.Series, unit: str, says: str
) -> None:
    tables.timeseries("discharge", FLOW[:100], station="outlet", unit="m3 s-1")
    with pytest.raises(InvalidInput, match=says):
        tables.timeseries("discharge", series, station="outlet", unit=unit)
    tables.timeseries("discharge", FLOW[100:], station="outlet", unit="m3 s-1")
    assert tables.close()[0].rows == 400


def test_series_of_the_same_time_at_two_stations_do_not_meet(tables: TableSet) -> None:
    tables.timeseries("discharge", FLOW, station="outlet")
    tables.timeseries("discharge", FLOW, station="mill")
    assert tables.close()[0].rows == 800


def test_the_file_says_which_run_it_is_of(tables: TableSet, tmp_path: Path) -> None:
    tables.add("budget", {"volume": [1.0]}, units={"volume": "m3"})
    tables.close()
    metadata = read_table(tmp_path / "tables" / "budget.parquet").schema.metadata
    assert metadata[b"hmp.run_id"] == b"6f2f1b0e"
    assert metadata[b"hmp.units"] == b'{"volume": "m3"}'


def test_time_series_are_not_written_past_the_check_of_their_times(tables: TableSet) -> None:
    with pytest.raises(InvalidInput, match="timeseries"):
        tables.add("timeseries", {"time": [1]})


def test_what_was_refused_at_first_may_be_said_better(tables: TableSet) -> None:
    with pytest.raises(InvalidInput, match="no column 'zone'"):
        tables.add("budget", {"component": ["wells"]}, keys=("zone",))
    tables.add("budget", {"component": ["wells"]}, keys=("component",))
    assert tables.close()[0].rows == 1


@pytest.mark.parametrize("said", [{"keys": ("volume",)}, {"units": {"volume": "l"}}])
def test_keys_and_units_do_not_change_on_the_way(tables: TableSet, said: dict[str, Any]) -> None:
    tables.add("budget", {"component": ["wells"], "volume": [1.0]}, keys=("component",), units={"volume": "m3"})
    with pytest.raises(InvalidInput, match="say them once"):
        tables.add("budget", {"component": ["drains"], "volume": [1.0]}, **said)


def test_a_run_without_tables_has_no_folder_of_them(tables: TableSet, tmp_path: Path) -> None:
    assert tables.close() == []
    assert list(tmp_path.iterdir()) == []


def test_closed_tables_take_no_more_rows(tables: TableSet) -> None:
    tables.add("budget", {"volume": [1.0]})
    assert tables.close() == tables.close()
    with pytest.raises(SealedError, match="are closed"):
        tables.add("budget", {"volume": [2.0]})
    with pytest.raises(SealedError, match="are closed"):
        tables.timeseries("discharge", FLOW)


def test_discarded_tables_leave_nothing(tables: TableSet, tmp_path: Path) -> None:
    tables.add("budget", {"n": np.arange(200_000)})
    tables.discard()
    assert [each for each in tmp_path.rglob("*") if each.is_file()] == []


def test_the_room_is_entered_without_its_engines() -> None:
    script = "import sys, hmp_catalog.tables; print(sorted({'pyarrow','numpy','pandas','xarray'} & set(sys.modules)))"
    said = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert said.stdout.strip() == "[]"
