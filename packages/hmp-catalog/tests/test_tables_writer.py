"""Tables going to disk: the same bytes for the same rows, put in place in one step, never rewritten."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hmp_catalog.tables import TableWriter, read_table, write_table
from hmp_core.errors import InvalidInput, SealedError
from hmp_core.identity import sha256_file

ROWS = {"step": [1, 1, 2], "component": ["wells", "drains", "wells"], "volume": [12.5, 3.0, float("nan")]}
META = {"run_id": "6f2f1b0e"}


def test_the_record_is_the_file_as_it_is(tmp_path: Path) -> None:
    record = write_table(tmp_path / "tables", "budget", ROWS, metadata=META)
    file = tmp_path / "tables" / "budget.parquet"
    assert (record.path, record.kind, record.rows) == ("tables/budget.parquet", "budget", 3)
    assert (record.size, record.sha256) == (file.stat().st_size, sha256_file(file))
    assert [each.name for each in file.parent.iterdir()] == ["budget.parquet"]


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    one = write_table(tmp_path / "one", "budget", ROWS, keys=("step", "component"), metadata=META)
    two = write_table(tmp_path / "two", "budget", ROWS, keys=("step", "component"), metadata=META)
    assert one.sha256 == two.sha256


def test_a_frame_an_arrow_table_and_a_mapping_give_the_same_bytes(tmp_path: Path) -> None:
    rows = {"step": [1, 2], "component": ["wells", "drains"], "volume": [12.5, 3.0]}
    forms = [rows, pd.DataFrame(rows), pa.table(rows), pa.RecordBatch.from_pydict(rows)]
    forms.append(pa.table(rows).set_column(1, "component", pa.array(rows["component"]).dictionary_encode()))
    hashes = {
        write_table(tmp_path / str(number), "budget", form, metadata=META).sha256 for number, form in enumerate(forms)
    }
    assert len(hashes) == 1


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=st.lists(st.integers(0, 40), min_size=1, max_size=10))
def test_in_any_parts_the_bytes_are_the_same(tmp_path: Path, parts: list[int]) -> None:
    rows = pa.table({"n": np.arange(sum(parts)), "v": np.random.default_rng(1).normal(size=sum(parts)).round(1)})
    written = []
    for name, sizes in (("whole", [sum(parts)]), ("parts", parts)):
        with TableWriter(tmp_path / name, "budget", row_group=50) as writer:
            start = 0
            for size in sizes:
                writer.append(rows.slice(start, size))
                start += size
        written.append(writer.close())
    assert written[0].sha256 == written[1].sha256
    assert read_table(tmp_path / "parts" / "budget.parquet").equals(rows)
    groups = pq.ParquetFile(tmp_path / "parts" / "budget.parquet").metadata
    assert groups.num_row_groups == -(-rows.num_rows // 50)


def test_rows_are_on_their_way_before_the_end(tmp_path: Path) -> None:
    """What fills a row group is written once: nothing gathers without bound, nothing is written twice."""
    with TableWriter(tmp_path / "tables", "budget", row_group=100) as writer:
        writer.append({"n": np.arange(250)})
        beside = [each.name for each in (tmp_path / "tables").iterdir()]
        assert len(beside) == 1
        assert beside[0].startswith(".budget.parquet.")
    assert [each.name for each in (tmp_path / "tables").iterdir()] == ["budget.parquet"]


def test_thousands_of_single_rows_become_one_file(tmp_path: Path) -> None:
    with TableWriter(tmp_path / "tables", "budget", row_group=1500) as writer:
        for number in range(2500):
            writer.append({"n": [number]})
    assert read_table(tmp_path / "tables" / "budget.parquet").column("n").to_pylist() == list(range(2500))


def test_metadata_say_in_text_what_the_table_is(tmp_path: Path) -> None:
    units = {"volume": "m3"}
    write_table(tmp_path / "tables", "budget", ROWS, keys=("step", "component"), units=units, metadata=META)
    found = pq.read_schema(tmp_path / "tables" / "budget.parquet")
    assert {key.decode(): value.decode() for key, value in found.metadata.items() if key.startswith(b"hmp.")} == {
        "hmp.schema_version": "1",
        "hmp.kind": "budget",
        "hmp.run_id": "6f2f1b0e",
        "hmp.keys": '["step", "component"]',
        "hmp.units": '{"volume": "m3"}',
    }
    assert found.field("volume").metadata == {b"units": b"m3"}


def test_units_of_an_arrow_column_are_kept(tmp_path: Path) -> None:
    table = pa.table([[1.0]], schema=pa.schema([pa.field("volume", pa.float64(), metadata={"units": "m3"})]))
    write_table(tmp_path / "tables", "budget", table)
    found = pq.read_schema(tmp_path / "tables" / "budget.parquet")
    assert json.loads(found.metadata[b"hmp.units"]) == {"volume": "m3"}


def test_the_index_of_a_frame_becomes_columns_if_it_has_a_name(tmp_path: Path) -> None:
    frame = pd.DataFrame({"volume": [1.0, 2.0]}, index=pd.Index([10, 20], name="step"))
    write_table(tmp_path / "tables", "budget", frame)
    assert read_table(tmp_path / "tables" / "budget.parquet").column_names == ["step", "volume"]


def test_times_are_kept_in_utc_to_the_microsecond(tmp_path: Path) -> None:
    times = pd.DatetimeIndex(["2001-07-01 02:00"], tz="Europe/Paris")
    write_table(tmp_path / "tables", "budget", {"time": times})
    column = read_table(tmp_path / "tables" / "budget.parquet").column("time")
    assert column.type == pa.timestamp("us")
    assert str(column[0]) == "2001-07-01 00:00:00"


@pytest.mark.parametrize(
    ("table", "said", "says"),
    [
        ({"a": [1, 1]}, {"keys": ("a",)}, "more than one row with {'a': 1}"),
        ({"a": [1]}, {"keys": ("b",)}, "no column 'b' for its units or keys"),
        ({"a": [1]}, {"units": {"b": "m"}}, "no column 'b' for its units or keys"),
        ({"a": [1], "b": [1, 2]}, {}, "cannot be kept"),
        ({"a": [[1, 2]]}, {}, "column 'a' is list"),
        ({"a": [object()]}, {}, "cannot be kept"),
        ({"a": np.array([1], "datetime64[ns]")}, {}, "round it first"),
        (pa.table([[1], [2]], names=["a", "a"]), {}, "needs a name of its own"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), {}, "a name|cannot be kept"),
        ({}, {}, "needs a name of its own"),
        ([1, 2], {}, "list is not a table"),
    ],
)
def test_what_is_no_table_is_refused_and_nothing_is_written(
    tmp_path: Path, table: Any, said: dict[str, Any], says: str
) -> None:
    with pytest.raises(InvalidInput, match=says):
        write_table(tmp_path / "tables", "budget", table, **said)
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize("kind", ["", "Budget", "a/b", "..", "1st", "a" * 65, None])
def test_a_kind_is_a_plain_file_name(tmp_path: Path, kind: str) -> None:
    with pytest.raises(InvalidInput, match="cannot be a kind"):
        write_table(tmp_path / "tables", kind, ROWS)


@pytest.mark.parametrize("metadata", [{"schema_version": "2"}, {"kind": "x"}, {"a": None}, {1: "x"}])
def test_metadata_that_would_mislead_a_reader_are_refused(tmp_path: Path, metadata: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="of its own"):
        write_table(tmp_path / "tables", "budget", ROWS, metadata=metadata)


@pytest.mark.parametrize(
    ("part", "says"),
    [
        ({"step": [2]}, r"columns \['step'\]; it began with"),
        ({"step": [2], "volume": ["much"]}, "began as double"),
        ({"step": [2.5], "volume": [1.0]}, "began as int64"),
        ({"step": [2, 2], "volume": [1.0, 2.0]}, "more than one row"),
    ],
)
def test_a_part_unlike_those_before_is_refused_and_nothing_of_it_is_kept(
    tmp_path: Path, part: dict[str, Any], says: str
) -> None:
    with TableWriter(tmp_path / "tables", "budget", keys=("step",)) as writer:
        writer.append({"step": [1], "volume": [1.0]})
        with pytest.raises(InvalidInput, match=says):
            writer.append(part)
        writer.append({"volume": [3], "step": [3]})
    assert read_table(tmp_path / "tables" / "budget.parquet").to_pydict() == {"step": [1, 3], "volume": [1.0, 3.0]}


def test_a_column_without_a_value_at_first_takes_the_type_of_the_first_value(tmp_path: Path) -> None:
    with TableWriter(tmp_path / "tables", "budget") as writer:
        writer.append({"note": [None]})
        writer.append({"note": ["dry"]})
    assert read_table(tmp_path / "tables" / "budget.parquet").column("note").to_pylist() == [None, "dry"]


def test_a_former_table_is_replaced_as_a_whole(tmp_path: Path) -> None:
    write_table(tmp_path / "tables", "budget", {"a": [1]})
    write_table(tmp_path / "tables", "budget", {"b": [2.0]})
    assert read_table(tmp_path / "tables" / "budget.parquet").to_pydict() == {"b": [2.0]}


def test_an_exception_leaves_the_former_table_and_nothing_beside(tmp_path: Path) -> None:
    before = write_table(tmp_path / "tables", "budget", {"a": [1]}).sha256

    def solve() -> None:
        with TableWriter(tmp_path / "tables", "budget", row_group=1) as writer:
            writer.append({"a": [1, 2, 3]})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        solve()
    assert [each.name for each in (tmp_path / "tables").iterdir()] == ["budget.parquet"]
    assert sha256_file(tmp_path / "tables" / "budget.parquet") == before


def test_a_closed_table_takes_no_more_rows(tmp_path: Path) -> None:
    writer = TableWriter(tmp_path / "tables", "budget")
    writer.append({"a": [1]})
    assert writer.close() == writer.close()
    with pytest.raises(SealedError, match="is closed"):
        writer.append({"a": [2]})


def test_a_table_of_which_nothing_is_known_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="append a part first"):
        TableWriter(tmp_path / "tables", "budget").close()
    assert list(tmp_path.iterdir()) == []


def test_a_table_without_rows_keeps_its_columns(tmp_path: Path) -> None:
    record = write_table(tmp_path / "tables", "budget", pa.table({"a": pa.array([], pa.int32())}))
    assert record.rows == 0
    assert read_table(tmp_path / "tables" / "budget.parquet").schema.field("a").type == pa.int32()


@pytest.mark.parametrize(
    "values",
    [[True, None], [1, None], ["a", None], [Decimal("1.50"), None], [datetime(2001, 1, 1), None]],
    ids=str,
)
def test_no_value_stays_no_value(tmp_path: Path, values: list[Any]) -> None:
    write_table(tmp_path / "tables", "budget", {"a": values})
    assert read_table(tmp_path / "tables" / "budget.parquet").column("a").null_count == 1


def test_a_disk_that_refuses_is_an_error_of_storage_and_leaves_the_former_table(tmp_path: Path) -> None:
    before = write_table(tmp_path / "tables", "budget", {"a": [1]}).sha256
    script = """
        import resource, sys
        import numpy as np
        from hmp_catalog.tables import write_table
        from hmp_core.errors import StorageError

        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            write_table(sys.argv[1], "budget", {"a": np.random.default_rng(1).normal(size=500_000)})
        except StorageError as error:
            print("refused", error.path)
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "tables")]
    said = subprocess.run(command, check=True, capture_output=True, text=True)
    assert said.stdout.strip() == f"refused {tmp_path / 'tables' / 'budget.parquet'}"
    assert [each.name for each in (tmp_path / "tables").iterdir()] == ["budget.parquet"]
    assert sha256_file(tmp_path / "tables" / "budget.parquet") == before
