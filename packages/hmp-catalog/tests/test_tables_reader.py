"""Tables coming back: the rows that are asked for, or an error that says what is wrong with the file."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hmp_catalog.tables import TableSet, read_table, read_timeseries, timeseries_table, to_series, write_table
from hmp_core.errors import AmbiguousReference, CorruptError, InvalidInput, NotFound, PathNotFound, SchemaTooNewError
from hmp_core.identity import sha256_file

DAYS = pd.date_range("2001-01-01", "2002-12-31", freq="D")
FLOW = pd.Series(np.random.default_rng(2).gamma(2.0, size=DAYS.size), index=DAYS)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    tables = TableSet(tmp_path, run_id="6f2f1b0e")
    tables.timeseries("discharge", FLOW, station="outlet", unit="m3 s-1")
    tables.timeseries("discharge", FLOW / 2, station="mill", unit="m3 s-1")
    tables.timeseries("storage", FLOW * 100, unit="mm")
    tables.close()
    return tmp_path / "tables" / "timeseries.parquet"


def test_a_series_comes_back_as_it_went_in(file: Path) -> None:
    found = to_series(read_timeseries(file, variable="discharge", station="mill"))
    pd.testing.assert_series_equal(found, FLOW / 2, check_names=False, check_freq=False, check_index_type=False)
    assert (found.name, found.index.name) == ("discharge", "time")
    assert found.attrs == {"units": "m3 s-1", "station": "mill"}


@pytest.mark.parametrize(
    ("period", "days"),
    [
        (("2001-02", "2001-02"), 28),
        (("2002", None), 365),
        ((None, "2001-01-01"), 1),
        (("2001-01-01T12:00", "2001-01-03T00:00"), 2),
        ((np.datetime64("2001-01-01"), pd.Timestamp("2001-01-10")), 10),
    ],
)
def test_a_period_includes_both_ends(file: Path, period: tuple[Any, Any], days: int) -> None:
    assert len(to_series(read_timeseries(file, variable="storage", period=period))) == days


def test_several_variables_and_stations_are_read_at_once(file: Path) -> None:
    found = read_timeseries(file, variable=["discharge", "storage"], station=["mill", ""], period=("2001-01-01",) * 2)
    assert found.num_rows == 2


@pytest.mark.parametrize(
    "asked", [{"variable": "level"}, {"station": "Outlet"}, {"variable": "storage", "period": ("1990", "1991")}]
)
def test_what_is_not_there_is_said_with_what_is(file: Path, asked: dict[str, Any]) -> None:
    with pytest.raises(NotFound, match="there is discharge at mill, discharge at outlet, storage") as caught:
        read_timeseries(file, **asked)
    assert caught.value.candidates == ["discharge at mill", "discharge at outlet", "storage"]


def test_one_series_of_several_must_be_named(file: Path) -> None:
    with pytest.raises(AmbiguousReference, match="discharge at mill, discharge at outlet"):
        to_series(read_timeseries(file, variable="discharge"))


def test_no_rows_are_no_series() -> None:
    with pytest.raises(NotFound, match="no time series"):
        to_series(timeseries_table("discharge", ([], [])))


def test_columns_come_in_the_order_they_are_asked_for(file: Path) -> None:
    assert read_table(file, columns=["value", "time"]).column_names == ["value", "time"]


@pytest.mark.parametrize(
    ("filters", "rows"),
    [
        ({"variable": "storage"}, 730),
        ({"station": ["mill", "outlet"]}, 1460),
        ([("variable", "==", "storage"), ("time", "<", np.datetime64("2001-01-03"))], 2),
        ([("station", "not in", ["mill"])], 1460),
        ({"time": "2001-01-01"}, 3),
        ({"time": [DAYS[0], "2001-01-02"]}, 6),
        ({}, 2190),
        (None, 2190),
    ],
)
def test_conditions_choose_rows(file: Path, filters: Any, rows: int) -> None:
    assert read_table(file, filters=filters).num_rows == rows


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"columns": ["values"]}, "no column 'values'; it has time, variable"),
        ({"filters": {"place": "mill"}}, "no column 'place' to filter on"),
        ({"filters": {"value": "much"}}, "cannot filter"),
        ({"filters": [("value", "~", 1.0)]}, "cannot filter"),
    ],
)
def test_a_question_the_table_cannot_answer_is_refused(file: Path, asked: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        read_table(file, **asked)


def test_folders_with_an_equals_sign_add_no_columns(tmp_path: Path) -> None:
    """Other readers take ``year=2001/`` for a column; a project may be called so."""
    (tmp_path / "year=2001").mkdir()
    write_table(tmp_path / "year=2001" / "tables", "budget", {"a": [1]})
    assert read_table(tmp_path / "year=2001" / "tables" / "budget.parquet").column_names == ["a"]


# ── without hmp ──────────────────────────────────────────────────────────────────────────────────────


def test_pandas_reads_the_file_without_hmp(file: Path) -> None:
    script = (
        f"import sys, pandas; found = pandas.read_parquet({str(file)!r})\n"
        "assert not [name for name in sys.modules if name.startswith('hmp')]\n"
        "print(len(found), found['time'].dtype.kind, found['station'].iloc[0])\n"
    )
    said = subprocess.run([sys.executable, "-W", "error", "-c", script], check=True, capture_output=True, text=True)
    assert said.stdout.split() == ["2190", "M", "outlet"]


# ── damage ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_missing_file_is_no_damage(tmp_path: Path) -> None:
    with pytest.raises(PathNotFound, match="no such table"):
        read_table(tmp_path / "tables" / "budget.parquet")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"PAR1", b"not parquet at all", b"PAR1" + b"\0" * 64 + b"PAR1"])
def test_what_is_no_parquet_is_left_as_it_is(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(CorruptError, match=r"timeseries\.parquet: cannot be read"):
        read_table(file)
    assert file.read_bytes() == content


def test_a_truncated_file_is_found(file: Path) -> None:
    whole = file.read_bytes()
    for keep in range(0, len(whole), len(whole) // 40):
        file.write_bytes(whole[:keep])
        with pytest.raises(CorruptError, match="cannot be read"):
            read_table(file)


def test_a_changed_byte_never_changes_a_value_unseen(file: Path) -> None:
    """Each page carries a checksum, so that damage is an error or harmless, never another number."""
    whole, expected = file.read_bytes(), read_table(file)
    found_out = 0
    for position in random.Random(4).sample(range(len(whole)), 300):
        file.write_bytes(whole[:position] + bytes([whole[position] ^ 0xFF]) + whole[position + 1 :])
        try:
            # the text in the footer (units, who wrote it) has no checksum of its own: the manifest has one for the file
            assert read_table(file).equals(expected)
        except (CorruptError, SchemaTooNewError):
            found_out += 1
    assert found_out > 200


def test_a_table_of_a_newer_hmp_is_not_read(file: Path) -> None:
    newer = pa.table({"a": [1]}).replace_schema_metadata({"hmp.schema_version": "2"})
    pq.write_table(newer, file)
    before = sha256_file(file)
    with pytest.raises(SchemaTooNewError, match="upgrade") as caught:
        read_table(file)
    assert (caught.value.found, caught.value.known) == (2, 1)
    assert sha256_file(file) == before


def test_a_table_of_somebody_else_is_told_apart(file: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), file)
    with pytest.raises(CorruptError, match="hmp did not write this"):
        read_table(file)


def test_another_table_is_not_taken_for_time_series(tmp_path: Path) -> None:
    write_table(tmp_path / "tables", "budget", {"variable": ["x"], "station": ["y"]})
    with pytest.raises(CorruptError, match="not time series"):
        read_timeseries(tmp_path / "tables" / "budget.parquet")


def test_a_remote_file_is_refused() -> None:
    with pytest.raises(NotImplementedError, match="s3://bucket"):
        read_table("s3://bucket/budget.parquet")
