"""The low-level class: register files where they are, and look them up."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa
import pytest

import hmp_cache
from hmp_cache import DataCatalogDuckDB, InputsNamespace, ValidationFailed
from hmp_core.errors import InvalidInput, NotWritable, PathEscape, PathNotFound, UnsupportedScheme
from hmp_core.identity import sha256_file
from hmp_core.layout import cache_path, init_workspace

Write = Callable[..., Path]


@pytest.fixture
def catalog(workspace: Path) -> Iterator[DataCatalogDuckDB]:
    init_workspace(workspace)
    with DataCatalogDuckDB(cache_path(workspace)) as opened:
        yield opened


@pytest.fixture
def mine(workspace: Path, catalog: DataCatalogDuckDB) -> Callable[..., Path]:
    """Write a user's file inside the workspace."""

    def _write(name: str = "mine/q.csv", content: str = "time,discharge\n2001-01-01,1.4\n") -> Path:
        path = workspace / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        return path

    return _write


def _register(catalog: DataCatalogDuckDB, path: object, **said: Any) -> UUID:
    return catalog.register(**({"variable": "discharge", "source": "custom", "file_path": path} | said))


# ── register ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_file_is_registered_where_it_is(catalog: DataCatalogDuckDB, mine: Write) -> None:
    before = mine().stat()
    identity = _register(catalog, mine(), station_id="outlet")
    found = catalog.find_cached(variable="discharge", station_id="outlet")
    assert found is not None
    assert (found.id, found.path) == (identity, mine())
    assert mine().stat().st_ino == before.st_ino
    assert [p.name for p in mine().parent.iterdir()] == ["q.csv"]


def test_everything_that_was_said_comes_back(catalog: DataCatalogDuckDB, mine: Write) -> None:
    _register(
        catalog, mine(), station_id="outlet", bbox=(0, 0, 1, 1), crs="EPSG:2154", date_start="2001-01-01",
        date_end=date(2001, 12, 31), frequency="1D", unit="m3 s-1", source_unit="l s-1", is_custom=True,
        file_sha256=sha256_file(mine()), file_mtime=mine().stat().st_mtime, fetch_metadata={"asked_window": [1, 2]},
    )  # fmt: skip
    (row,) = catalog.list_entries().to_pylist()
    said = {key: row[key] for key in ("station_id", "crs", "frequency", "unit", "source_unit", "is_custom")}
    assert said == {
        "station_id": "outlet", "crs": "EPSG:2154", "frequency": "1D", "unit": "m3 s-1", "source_unit": "l s-1",
        "is_custom": True,
    }  # fmt: skip
    assert (row["date_start"], row["date_end"]) == (datetime(2001, 1, 1), datetime(2001, 12, 31))
    with hmp_cache.open(mine().parents[2]) as data:
        metadata = data.sql("SELECT fetch_metadata ->> 'asked_window' AS said FROM entries").to_pylist()
        assert metadata == [{"said": "[1,2]"}]


def test_the_same_key_is_the_same_input(catalog: DataCatalogDuckDB, mine: Write) -> None:
    first = _register(catalog, mine(), station_id="outlet")
    assert _register(catalog, mine(), station_id="outlet") == first
    assert _register(catalog, mine(content="time,discharge\n2001-01-01,9\n"), station_id="outlet") == first
    assert catalog.list_entries().num_rows == 1


def test_the_same_input_as_through_the_other_door(catalog: DataCatalogDuckDB, mine: Write, workspace: Path) -> None:
    first = _register(catalog, mine(), station_id="outlet")
    with hmp_cache.open(workspace) as data:
        other = data.workspace / "other.csv"
        other.write_text("time,discharge\n2001-01-01,9\n")
        entry = data.add(other, variable="discharge", station="outlet")
        assert entry.id == first
        assert entry.relative_path == "data/discharge/custom/other.csv"
        assert mine().exists()
        assert [v.state for v in data.versions(entry)] == ["current", "superseded"]
        assert data.versions(entry)[1].read_table()["discharge"].to_pylist() == [1.4]


def test_registering_over_a_copy_keeps_the_copy_as_a_version(
    catalog: DataCatalogDuckDB, mine: Write, workspace: Path
) -> None:
    with hmp_cache.open(workspace) as data:
        other = data.workspace / "other.csv"
        other.write_text("time,discharge\n2001-01-01,9\n")
        first = data.add(other, variable="discharge", station="outlet")
        _register(catalog, mine(), station_id="outlet")
        assert first.read_table()["discharge"].to_pylist() == [9]
        assert data[first.id].path == mine()
        assert not list((workspace / "data" / "discharge" / "custom").iterdir())


def test_grids_without_station_are_there_once(catalog: DataCatalogDuckDB, mine: Write) -> None:
    first = _register(catalog, mine("a.txt"), variable="dem", bbox=(0, 0, 1, 1))
    assert _register(catalog, mine("b.txt"), variable="dem", bbox=(0.0, 0, 1, 1)) == first
    assert catalog.list_entries().num_rows == 1


def test_without_a_place_the_path_is_the_place(catalog: DataCatalogDuckDB, mine: Write) -> None:
    paths = ["a/q.csv", "b/q.csv", "b/q.tsv"]
    assert len({_register(catalog, mine(path), variable="anything") for path in paths}) == 3


def test_a_path_may_be_relative_to_the_workspace(catalog: DataCatalogDuckDB, mine: Write) -> None:
    mine()
    _register(catalog, "data/mine/q.csv")
    assert catalog.list_entries()["relative_path"].to_pylist() == ["data/mine/q.csv"]


def test_a_registered_file_that_changes_is_modified(
    catalog: DataCatalogDuckDB, mine: Write, data: InputsNamespace
) -> None:
    _register(catalog, mine(), station_id="outlet")
    path = mine(content="time,discharge\n2001-01-01,9\n2001-01-02,9\n")
    assert [e.state for e in data.check()] == ["modified"]
    _register(catalog, path, station_id="outlet")
    assert [e.state for e in data.check()] == ["current"]
    assert [v.state for v in data.versions("q")] == ["current", "missing"]


@pytest.mark.parametrize(
    "said",
    [
        {"variable": "no/such"},
        {"variable": None},
        {"source": ""},
        {"date_start": "soon"},
        {"date_start": "2002-01-01", "date_end": "2001-01-01"},
        {"bbox": (1, 1, 0, 0)},
        {"file_sha256": "0" * 64},
        {"file_mtime": 1.0},
        {"fetch_metadata": {"x": float("nan")}},
        {"fetch_metadata": [1]},
    ],
)
def test_invalid_input_raises(catalog: DataCatalogDuckDB, mine: Write, said: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        _register(catalog, mine(), **said)
    assert catalog.list_entries().num_rows == 0


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("data/none.csv", PathNotFound),
        ("data", InvalidInput),
        ("../outside.csv", PathEscape),
        ("/etc/hostname", PathEscape),
        ("s3://bucket/q.csv", UnsupportedScheme),
        ("data/cache.duckdb", InvalidInput),
    ],
)
def test_what_is_no_file_of_the_workspace(
    catalog: DataCatalogDuckDB, workspace: Path, path: str, error: type[Exception]
) -> None:
    workspace.parent.joinpath("outside.csv").write_text("time,q\n2001-01-01,1\n")
    with pytest.raises(error):
        _register(catalog, path)
    assert catalog.list_entries().num_rows == 0


def test_what_fails_is_left_where_it_is(catalog: DataCatalogDuckDB, mine: Write, data: InputsNamespace) -> None:
    bad = mine(content="time,discharge\n2001-01-01,-9e9\n")
    with pytest.raises(ValidationFailed, match="below -") as caught:
        _register(catalog, bad, unit="m3 s-1")
    assert bad.exists()
    assert caught.value.path == "data/mine/q.csv"
    assert data.failures()["error_type"].to_pylist() == ["validation"]


def test_nothing_is_registered_through_a_read_only_door(catalog: DataCatalogDuckDB, mine: Write) -> None:
    path = mine()
    with DataCatalogDuckDB(cache_path(path.parents[2]), read_only=True) as closed, pytest.raises(NotWritable):
        _register(closed, path)


# ── look up ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def covering(catalog: DataCatalogDuckDB, mine: Write) -> DataCatalogDuckDB:
    grid = mine("grid.txt")
    catalog.register(
        variable="dem",
        source="ign",
        file_path=grid,
        bbox=(0, 0, 10, 10),
        date_start="2001-01-01",
        date_end="2001-12-31",
    )
    catalog.register(variable="dem", source="ign", file_path=grid, bbox=(0, 0, 5, 5))
    return catalog


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, True),
        ({"bbox": (1, 1, 2, 2)}, True),
        ({"bbox": (6, 6, 10, 10)}, True),
        ({"bbox": (6, 6, 11, 10)}, False),
        ({"date_start": "2001-02-01"}, True),
        ({"date_start": date(2001, 1, 1), "date_end": datetime(2001, 12, 31)}, True),
        ({"date_start": "2000-12-31"}, False),
        ({"date_end": "2002-01-01"}, False),
        ({"bbox": (6, 6, 7, 7), "date_end": "2001-06-01"}, True),
        ({"source": "other"}, False),
        ({"station_id": "a"}, False),
        ({"variable": "discharge"}, False),
    ],
)
def test_what_covers_is_found(covering: DataCatalogDuckDB, asked: dict[str, Any], *, found: bool) -> None:
    assert (covering.find_cached(**({"variable": "dem"} | asked)) is not None) is found


def test_the_newest_that_covers_is_found(covering: DataCatalogDuckDB) -> None:
    found = covering.find_cached(variable="dem", bbox=(1, 1, 2, 2))
    assert found is not None
    assert found.bbox == (0, 0, 5, 5)


def test_a_file_that_is_gone_is_no_hit(covering: DataCatalogDuckDB, workspace: Path) -> None:
    (workspace / "data" / "grid.txt").unlink()
    assert covering.find_cached(variable="dem") is None


@pytest.mark.parametrize("asked", [{"bbox": (5, 5, 1, 1)}, {"date_start": "2002-01-01", "date_end": "2001-01-01"}])
def test_asking_for_nothing_possible_raises(covering: DataCatalogDuckDB, asked: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        covering.find_cached(variable="dem", **asked)


def test_entries_are_listed_in_parts(covering: DataCatalogDuckDB, mine: Write) -> None:
    _register(covering, mine())
    whole = covering.list_entries()
    assert isinstance(whole, pa.Table)
    parts = [covering.list_entries(limit=1, offset=n)["id"].to_pylist() for n in range(4)]
    assert [identity for part in parts for identity in part] == whole["id"].to_pylist()
    assert covering.list_entries("dem", "ign").num_rows == 2
    assert covering.list_entries(source="custom").num_rows == 1


@pytest.mark.parametrize("part", [{"limit": -1}, {"offset": -1}])
def test_parts_that_are_none(covering: DataCatalogDuckDB, part: dict[str, int]) -> None:
    with pytest.raises(InvalidInput):
        covering.list_entries(**part)


def test_the_tables_are_those_that_are_documented(catalog: DataCatalogDuckDB) -> None:
    assert catalog.table_names() == [
        "api_coverage", "artifacts", "coverage", "entries", "failures", "provenance", "stations", "validation_reports",
    ]  # fmt: skip


def test_paths_are_found_by_path_and_by_name(catalog: DataCatalogDuckDB, mine: Write) -> None:
    path = mine("discharge/custom/q.csv")
    assert catalog.resolve_path("data/discharge/custom/q.csv") == path
    assert catalog.resolve_path(path) == path
    assert catalog.resolve_path("q.csv", variable="discharge") == path
    assert catalog.resolve_path("custom/q.csv", "discharge") == path


def test_a_name_that_two_sources_have(catalog: DataCatalogDuckDB, mine: Write) -> None:
    for source in ("a", "b"):
        mine(f"discharge/{source}/q.csv")
    with pytest.raises(InvalidInput, match="could be 2 files"):
        catalog.resolve_path("q.csv", "discharge")


@pytest.mark.parametrize(("path", "variable"), [("none.csv", None), ("none.csv", "discharge"), ("q.csv", "../..")])
def test_a_path_that_is_nowhere(catalog: DataCatalogDuckDB, path: str, variable: str | None) -> None:
    with pytest.raises((PathNotFound, InvalidInput)):
        catalog.resolve_path(path, variable)


def test_a_path_that_leads_out(catalog: DataCatalogDuckDB, workspace: Path) -> None:
    (workspace / "data" / "link").symlink_to("/etc")
    with pytest.raises(PathEscape):
        catalog.resolve_path("data/link/hostname")


# ── the database ─────────────────────────────────────────────────────────────────────────────────────


def test_another_file_is_no_cache(tmp_path: Path) -> None:
    for name in ("x.duckdb", "data/x.duckdb"):
        with pytest.raises(InvalidInput, match=r"<workspace>/data/cache\.duckdb"):
            DataCatalogDuckDB(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(PathNotFound):
        DataCatalogDuckDB(tmp_path / "ws" / "data" / "cache.duckdb")
    assert list(tmp_path.iterdir()) == []


def test_other_schemes() -> None:
    with pytest.raises(UnsupportedScheme):
        DataCatalogDuckDB("s3://bucket/data/cache.duckdb")


def test_a_closed_one_says_so(catalog: DataCatalogDuckDB) -> None:
    catalog.close()
    catalog.close()
    with pytest.raises(InvalidInput):
        catalog.list_entries()


def test_a_file_of_the_same_time_is_compared_in_seconds(catalog: DataCatalogDuckDB, mine: Write) -> None:
    path = mine()
    os.utime(path, (1000.4, 1000.4))
    assert isinstance(_register(catalog, path, file_mtime=1000.0), UUID)
