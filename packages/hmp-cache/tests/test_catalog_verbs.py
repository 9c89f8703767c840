"""The documented low-level verbs: what is given up stays on record, what is written by hand is a row."""

from __future__ import annotations

import multiprocessing
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import hmp_cache
from hmp_cache import DataCatalogDuckDB, InputsNamespace
from hmp_cache.errors import EntryNotFound
from hmp_core.errors import InvalidInput, NotWritable, PathEscape

SHA = "0" * 64


@pytest.fixture
def low(data: InputsNamespace) -> Iterator[DataCatalogDuckDB]:
    with DataCatalogDuckDB(data.workspace / "data" / "cache.duckdb") as catalog:
        yield catalog


def _file(data: InputsNamespace, name: str, text: str = "1 2 3") -> Path:
    path = data.workspace / name
    path.write_text(text)
    return path


def _grid(low: DataCatalogDuckDB, file: Path, bbox: Any, **said: Any) -> Any:
    return low.register(variable="dem", source="ign", file_path=file, bbox=bbox, **said)


def test_none_is_refused_with_the_reason() -> None:
    with pytest.raises(InvalidInput, match="in memory would forget"):
        DataCatalogDuckDB(None)


def test_what_is_invalidated_is_not_found_and_stays_on_record(data: InputsNamespace, low: DataCatalogDuckDB) -> None:
    file = _file(data, "a.txt")
    identity = _grid(low, file, (0, 0, 1, 1))
    assert low.invalidate(variable="dem", source="nobody") == 0
    assert low.invalidate(variable="dem", source="ign", delete_files=True) == 1
    assert low.find_cached(variable="dem") is None
    assert file.read_text() == "1 2 3"
    assert low.query("SELECT state FROM entries").to_pylist() == [{"state": "removed"}]
    assert low.invalidate(variable="dem") == 0
    assert _grid(low, file, (0, 0, 1, 1)) == identity
    assert low.find_cached(variable="dem") is not None


@pytest.mark.parametrize("delete", [True, False])
def test_copies_go_only_where_that_is_asked_for(
    data: InputsNamespace, low: DataCatalogDuckDB, write: Any, delete: bool
) -> None:
    path = data.add(write("q.csv"), variable="discharge").path
    assert low.invalidate(variable="discharge", delete_files=delete) == 1
    assert path.exists() is not delete


def test_a_larger_grid_subsumes_those_inside(data: InputsNamespace, low: DataCatalogDuckDB) -> None:
    inside = _grid(low, _file(data, "a.txt"), (1, 1, 2, 2))
    beside = _grid(low, _file(data, "b.txt"), (5, 5, 20, 20))
    other = _grid(low, _file(data, "c.txt"), (1, 1, 2, 2), unit="m")
    large = _grid(low, _file(data, "d.txt"), (0, 0, 10, 10))
    assert low.subsume_entries(large) == 1
    found = {row["id"] for row in low.list_entries().to_pylist()}
    assert found == {str(beside), str(other), str(large)}
    assert str(inside) not in found
    with pytest.raises(EntryNotFound):
        low.subsume_entries("nobody")


def test_a_grid_without_an_extent_subsumes_nothing(data: InputsNamespace, low: DataCatalogDuckDB) -> None:
    plain = low.register(variable="dem", source="ign", file_path=_file(data, "a.txt"))
    with pytest.raises(InvalidInput, match="no extent"):
        low.subsume_entries(plain)


def test_what_is_old_is_given_up(data: InputsNamespace, low: DataCatalogDuckDB) -> None:
    file = _file(data, "a.txt")
    _grid(low, file, (0, 0, 1, 1))
    assert low.prune_older_than(1) == 0
    assert low.prune_older_than(0) == 1
    assert file.exists()
    for days in (-1, "old", float("nan")):
        with pytest.raises(InvalidInput):
            low.prune_older_than(days)  # type: ignore[arg-type]


def test_check_and_fix(data: InputsNamespace, low: DataCatalogDuckDB) -> None:
    """A file that is gone is counted and stays on record; one that its owner changed is the next version."""
    gone, changed = _file(data, "a.txt"), _file(data, "b.txt")
    _grid(low, gone, (0, 0, 1, 1))
    identity = _grid(low, changed, (5, 5, 6, 6))
    gone.unlink()
    changed.write_text("4 5 6 7")
    assert low.check_and_fix() == {"dropped": 1, "refreshed": 1}
    assert changed.read_text() == "4 5 6 7"
    assert {entry.name: entry.state for entry in data.check()} == {"a": "missing", "b": "current"}
    assert len(data.versions(identity)) == 2
    assert low.check_and_fix() == {"dropped": 1, "refreshed": 0}
    assert low.cleanup() == 1
    assert low.cleanup() == 0
    assert [entry.name for entry in data.find()] == ["b"]


def test_when_a_file_was_modified(data: InputsNamespace, low: DataCatalogDuckDB) -> None:
    file = _file(data, "a.txt")
    low.register(variable="dem", source="custom", file_path=file, is_custom=True)
    assert low.custom_file_mtime(variable="dem") == pytest.approx(file.stat().st_mtime, abs=1e-5)
    with pytest.raises(EntryNotFound):
        low.custom_file_mtime(variable="dem", source="ign")


def test_what_is_written_by_hand_is_a_row(data: InputsNamespace, low: DataCatalogDuckDB) -> None:
    identity = _grid(low, _file(data, "a.txt"), (0, 0, 1, 1))
    version = low.write_artifact(entry_id=identity, sha256=SHA, path="data/old.txt", size_bytes=3)
    low.write_provenance(artifact_id=version, uri="https://example.org/old", license="CC0", fetched_at="2001-01-01")
    low.write_validation_report(artifact_id=version, schema_name="mine/1", passed=False, errors=["too old"])
    low.upsert_station(source="hubeau", variable="discharge", station_id="K1", name="Fulda", lat=50.5, lon=9.7)
    low.upsert_station(source="hubeau", variable="discharge", station_id="K1", name="Fulda", lat=50.6, lon=9.7, z=250)
    low.write_coverage(
        variable="discharge", source="hubeau", station_id="K1", date_start="2001-01-01", date_end="2001-12-31",
        state="empty", expires_at="2099-01-01",
    )  # fmt: skip
    low.write_failure(variable="discharge", source="hubeau", error_type="network", message="no route")
    entry = low.find_cached(variable="dem")
    assert entry is not None
    assert entry.artifact_id != version
    assert [v.state for v in data.versions(identity)] == ["missing", "current"]
    asked = {
        "provenance": f"SELECT uri, license FROM provenance WHERE artifact_id = '{version}'",
        "reports": f"SELECT passed, schema_name FROM validation_reports WHERE artifact_id = '{version}'",
        "stations": "SELECT station_id, name, lat, z FROM stations",
        "coverage": "SELECT station_id, state FROM coverage WHERE variable = 'discharge'",
        "failures": "SELECT error_type, message FROM failures",
    }
    expected = {
        "provenance": [("https://example.org/old", "CC0")],
        "reports": [(False, "mine/1")],
        "stations": [("K1", "Fulda", 50.6, 250.0)],
        "coverage": [("K1", "empty")],
        "failures": [("network", "no route")],
    }
    for _ in range(2):
        found = {name: [tuple(row.values()) for row in low.query(sql).to_pylist()] for name, sql in asked.items()}
        assert found == expected
        data.rebuild()


@pytest.mark.parametrize(
    ("verb", "said", "error"),
    [
        ("write_artifact", {"entry_id": "nobody", "sha256": SHA, "path": "x", "size_bytes": 1}, EntryNotFound),
        ("write_artifact", {"sha256": "1", "path": "x", "size_bytes": 1}, InvalidInput),
        ("write_artifact", {"sha256": SHA, "path": "../x", "size_bytes": 1}, PathEscape),
        ("write_artifact", {"sha256": SHA, "path": "x", "size_bytes": -1}, InvalidInput),
        ("write_provenance", {"artifact_id": SHA}, EntryNotFound),
        ("write_validation_report", {"artifact_id": "x", "schema_name": "a", "passed": True}, InvalidInput),
        ("upsert_station", {"source": "a", "variable": "b", "station_id": ""}, InvalidInput),
        ("upsert_station", {"source": "a", "variable": "b", "station_id": "c", "lat": "north"}, InvalidInput),
        ("write_coverage", {"variable": "a", "source": "b", "state": "maybe"}, InvalidInput),
        ("write_coverage", {"variable": "a", "source": "b", "date_start": "soon"}, InvalidInput),
        ("write_failure", {"variable": "a", "source": "b", "error_type": "", "message": "x"}, InvalidInput),
        ("register", {"variable": "a b", "source": "b", "file_path": "a.txt"}, InvalidInput),
        ("register", {"variable": "a", "source": "b", "file_path": "a.txt", "date_start": "31/12"}, InvalidInput),
    ],
)  # fmt: skip
def test_what_cannot_be_raises(
    data: InputsNamespace, low: DataCatalogDuckDB, verb: str, said: dict[str, Any], error: type[Exception]
) -> None:
    """The original logs it and returns -1."""
    identity = _grid(low, _file(data, "a.txt"), (0, 0, 1, 1))
    before = low.query("SELECT count(*) AS n FROM artifacts").to_pylist()
    with pytest.raises(error):
        getattr(low, verb)(**({"entry_id": identity} if verb == "write_artifact" else {}) | said)
    assert low.query("SELECT count(*) AS n FROM artifacts").to_pylist() == before


def test_a_reader_gives_nothing_up(data: InputsNamespace, low: DataCatalogDuckDB) -> None:
    _grid(low, _file(data, "a.txt"), (0, 0, 1, 1))
    with DataCatalogDuckDB(data.workspace / "data" / "cache.duckdb", read_only=True) as reader:
        for act in (
            lambda: reader.invalidate(variable="dem"),
            lambda: reader.prune_older_than(0),
            reader.cleanup,
            reader.check_and_fix,
            lambda: reader.upsert_station(source="a", variable="b", station_id="c"),
        ):
            with pytest.raises(NotWritable):
                act()


# ── scenarios 27 and 31 ──────────────────────────────────────────────────────────────────────────────


def _register(database: Path, file: Path) -> None:
    with DataCatalogDuckDB(database) as catalog:
        for _ in range(5):
            catalog.register(variable="dem", source="ign", file_path=file)


def test_a_grid_without_a_station_is_there_once_also_under_a_race(
    data: InputsNamespace, low: DataCatalogDuckDB
) -> None:
    """Scenario 27: the same key twice is the same id, also from several processes at once."""
    file = _file(data, "a.txt")
    context = multiprocessing.get_context("spawn")
    others = [context.Process(target=_register, args=(data.store.path, file)) for _ in range(3)]
    for other in others:
        other.start()
    for other in others:
        other.join()
    assert [other.exitcode for other in others] == [0, 0, 0]
    identity = low.register(variable="dem", source="ign", file_path=file)
    assert [entry.id for entry in data.find()] == [identity]
    assert len(data.versions(identity)) == 1


def test_a_copied_workspace_is_whole(data: InputsNamespace, low: DataCatalogDuckDB, write: Any, tmp_path: Path) -> None:
    """Scenario 31: every input and every version resolves elsewhere, and no row holds an absolute path."""
    _grid(low, _file(data, "a.txt"), (0, 0, 1, 1))
    data.add(write("q.csv"), variable="discharge", station="s")
    data.add(write("q.csv", "time,discharge\n2001-01-01,9\n"), variable="discharge", station="s")
    data.close()
    shutil.copytree(data.workspace, tmp_path / "elsewhere" / "copy")
    with hmp_cache.open(tmp_path / "elsewhere" / "copy") as copy:
        assert {entry.state for entry in copy.check()} == {"current"}
        for entry in copy.find():
            for version in copy.versions(entry):
                assert version.path.is_relative_to(copy.workspace)
                assert version.path.stat().st_size == version.size
        kept = copy.sql("SELECT path FROM artifacts UNION ALL SELECT file_path FROM entries").column(0).to_pylist()
        assert not [path for path in kept if path.startswith("/") or ".." in path]
