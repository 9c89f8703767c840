"""CSV as hydrologists exchange it, and Parquet, to Arrow tables with times."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hmp_cache import tabular
from hmp_core.errors import CorruptError, InvalidInput


def _read(folder: Path, content: bytes | str, suffix: str = ".csv") -> pa.Table:
    file = folder / f"x{suffix}"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return tabular.read(file)


FIRST = datetime(2001, 1, 31)


@pytest.mark.parametrize(
    "text",
    [
        "time,q\n2001-01-31,1.5\n2001-02-01,2.5\n",
        "\ufefftime,q\r\n2001-01-31,1.5\r\n2001-02-01,2.5\r\n",
        "time;q\n31.01.2001;1,5\n01.02.2001;2,5\n",
        "time;q\n31.01.2001;1.5\n01.02.2001;2.5\n",
        'time,q\n2001-01-31,"1,5"\n2001-02-01,"2,5"\n',
        "time\tq\n31/01/2001\t1.5\n01/02/2001\t2.5\n",
        "time,q\n01/31/2001,1.5\n02/01/2001,2.5\n",
        "# station: outlet\n# unit: m3/s\ntime,q\n2001-01-31,1.5\n2001-02-01,2.5\n",
        "time,q\n#,m3/s\n2001-01-31,1.5\n2001-02-01,2.5\n",
        "time,q\n20010131,1.5\n20010201,2.5\n",
        "time,q\n31.01.2001 00:00,1.5\n01.02.2001 00:00,2.5\n",
        "time,q\n2001-01-31T00:00:00Z,1.5\n2001-02-01T00:00:00Z,2.5\n",
    ],
)
def test_ways_to_write_the_same(tmp_path: Path, text: str) -> None:
    table = _read(tmp_path, text)
    assert table.column("q").to_pylist() == [1.5, 2.5]
    moments = tabular.times(table)
    assert moments is not None
    assert moments.to_pylist() == [FIRST, datetime(2001, 2, 1)]


def test_latin_1_is_read(tmp_path: Path) -> None:
    assert _read(tmp_path, "débit,time\n1,2001-01-31\n".encode("latin-1")).column_names == ["débit", "time"]


def test_a_zone_becomes_utc(tmp_path: Path) -> None:
    moments = tabular.times(_read(tmp_path, "time,q\n2001-01-31T02:00:00+02:00,1\n"))
    assert moments is not None
    assert moments.to_pylist() == [FIRST]


def test_day_and_month_that_cannot_be_told_apart_are_not_guessed(tmp_path: Path) -> None:
    assert tabular.times(_read(tmp_path, "time,q\n01/02/2001,1\n02/03/2001,2\n")) is None


def test_order_tells_day_and_month_apart(tmp_path: Path) -> None:
    moments = tabular.times(_read(tmp_path, "time,q\n01/02/2001,1\n02/02/2001,2\n01/03/2001,3\n"))
    assert moments is not None
    assert moments.to_pylist()[0] == datetime(2001, 2, 1)


def test_two_columns_of_times_are_none(tmp_path: Path) -> None:
    assert tabular.time_column(_read(tmp_path, "date,time,q\n2001-01-31,12:00,1\n")) is None


def test_missing_values_stay_missing(tmp_path: Path) -> None:
    assert _read(tmp_path, "time,q\n2001-01-31,\n2001-02-01,NaN\n2001-02-02,1\n").column("q").null_count == 2


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"time,q\n2001-01-31\n", b"time,q\n2001-01-31,1,2\n", b"# only a comment\n"]
)
def test_what_is_no_csv(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(CorruptError, match="cannot be read as CSV"):
        _read(tmp_path, content)


@pytest.mark.parametrize("cut", [1, 4, 20, 200])
def test_a_truncated_parquet_file(tmp_path: Path, cut: int) -> None:
    pq.write_table(pa.table({"time": [FIRST] * 9, "q": range(9)}), tmp_path / "whole.parquet")
    content = (tmp_path / "whole.parquet").read_bytes()
    with pytest.raises(CorruptError, match="cannot be read as PARQUET"):
        _read(tmp_path, content[:-cut], ".parquet")


def test_parquet_comes_as_it_is(tmp_path: Path) -> None:
    table = pa.table({"time": [FIRST], "q": [1]})
    pq.write_table(table, tmp_path / "x.parquet")
    assert tabular.read(tmp_path / "x.parquet") == table


def test_other_forms_are_no_tables(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"expected one of \.csv, \.parquet, \.tsv"):
        _read(tmp_path, b"x", ".nc")


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_numbers_are_what_they_were(tmp_path_factory: pytest.TempPathFactory, values: list[float]) -> None:
    text = "time,q\n" + "".join(f"{2000 + n}-01-01,{value!r}\n" for n, value in enumerate(values))
    found = _read(tmp_path_factory.getbasetemp(), text).column("q").cast(pa.float64())
    assert found.to_pylist() == values


def test_the_last_line_may_tell_that_the_decimal_sign_is_a_comma(tmp_path: Path) -> None:
    """It did not rain for weeks."""
    dry = "".join(f"2001-{month:02}-{day:02};0\n" for month in (1, 2, 3) for day in range(1, 29))
    table = _read(tmp_path, f"time;p\n{dry}2001-04-01;1,5\r\n")
    assert table.column("p").to_pylist()[-2:] == [0.0, 1.5]


def test_a_comma_in_a_heading_divides_no_cells(tmp_path: Path) -> None:
    """Heading and rows have a comma each, and a semicolon each."""
    table = _read(tmp_path, "time;discharge, m3/s\n2001-01-31;1,5\n2001-02-01;2,5\n")
    assert table.column("discharge, m3/s").to_pylist() == [1.5, 2.5]
