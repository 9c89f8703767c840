"""The master index: scenario 14, and what becomes of it when sessions move, vanish, or cannot be read."""

from __future__ import annotations

import shutil
import sqlite3  # noqa: TID251 - files of other versions are made by hand
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hmp_catalog.acquisition import ResearcherInfo, RunWriter, SampleMetadata, migrate_beamtime_schema
from hmp_catalog.acquisition.index import IndexedRun, IndexWriter, MasterIndex
from hmp_core.errors import (
    DatabaseNotFound,
    InvalidInput,
    MigrationPending,
    NotFound,
    PathEscape,
    SchemaTooNewError,
)


def record(
    path: Path, who: str | None = "Ada", *, plans: tuple[str, ...] = ("count", "scan"), tag: str = "clay"
) -> None:
    """Record a run of one event for each plan; the last one fails."""
    said = ResearcherInfo(who, email=f"{who.lower()}@example.org")
    with RunWriter(path, SampleMetadata("outlet", tags=[tag]), label=path.stem.title(), researcher=said) as writer:
        for plan in plans:
            writer.open_run(plan, operator=who)
            writer.open_stream("primary", {"level": {"dtype": "number"}})
            writer.write_event({"level": 1.0})
            writer.close_run(exit_status="failed" if plan == plans[-1] else "success")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three sessions of two people, and no index."""
    for where, who in (("ada/june.db", "Ada"), ("ada/july.db", "Ada"), ("bob/may.db", "Bob")):
        record(tmp_path / where, who)
    return tmp_path


def answers(index: MasterIndex) -> object:
    """Return all that an index answers; the numbers of sessions are its own business."""
    return [
        [index.find(**asked) for asked in ({}, {"researcher": "Ada"}, {"status": "failed"}, {"tag": "clay"})],
        [replace(each, id=0) for each in index.beamtimes()],
        index.researchers(),
    ]


def first(found: list[IndexedRun]) -> IndexedRun:
    assert found
    return found[0]


# ── registering ──────────────────────────────────────────────────────────────────────────────────────


def test_registering_twice_gives_the_same_numbers(tmp_path: Path) -> None:
    writer = IndexWriter(tmp_path / "index.db")
    writer.ensure_schema()
    ada = writer.register_researcher("Ada", "ada", email="ada@example.org")
    assert writer.register_researcher("Ada", "elsewhere", orcid="0000-0002-1825-0097") == ada
    june = writer.register_beamtime(ada, "June", "ada/june.db", time_start=12.0)
    assert writer.register_beamtime(ada, "June again", tmp_path / "ada" / "june.db") == june
    known = ResearcherInfo("Ada", email="ada@example.org", orcid="0000-0002-1825-0097")
    assert MasterIndex(tmp_path / "index.db").researchers() == [known]


def test_a_run_that_is_indexed_again_is_replaced_and_keeps_when_it_began(tmp_path: Path) -> None:
    writer, index = IndexWriter(tmp_path / "index.db"), MasterIndex(tmp_path / "index.db")
    ada = writer.register_researcher("Ada", ".")
    june = writer.register_beamtime(ada, "June", "june.db")
    writer.index_run("ab12", ada, june, "count", time_start=5.0, tags=["clay"])
    writer.index_run("ab12", ada, june, "scan", sample_name="outlet")
    found = first(index.find())
    assert (found.plan_name, found.sample_name, found.time_start, found.tags) == ("scan", "outlet", 5.0, ())


def test_a_run_needs_a_session_of_its_researcher(tmp_path: Path) -> None:
    writer = IndexWriter(tmp_path / "index.db")
    ada, bob = writer.register_researcher("Ada", "."), writer.register_researcher("Bob", ".")
    june = writer.register_beamtime(ada, "June", "june.db")
    with pytest.raises(NotFound, match="researchers"):
        writer.register_beamtime(77, "May", "may.db")
    with pytest.raises(NotFound, match="beamtimes"):
        writer.index_run("ab12", ada, 77, "count")
    with pytest.raises(InvalidInput, match="is not one of researcher"):
        writer.index_run("ab12", bob, june, "count")


def test_a_session_outside_the_folder_of_the_index_is_refused(tmp_path: Path) -> None:
    writer = IndexWriter(tmp_path / "in" / "index.db")
    ada = writer.register_researcher("Ada", ".")
    for outside in (tmp_path / "june.db", "../june.db"):
        with pytest.raises(PathEscape):
            writer.register_beamtime(ada, "June", outside)
    with pytest.raises(PathEscape):
        MasterIndex(tmp_path / "in" / "index.db").refresh(tmp_path)


# ── asking ───────────────────────────────────────────────────────────────────────────────────────────


def test_sessions_are_asked_without_being_opened(root: Path) -> None:
    index = MasterIndex(root / "index.db")
    index.refresh()
    for file in root.rglob("*"):
        if file.is_file() and file.parent != root:
            file.unlink()
    assert len(index.find()) == 6
    assert {run.beamtime for run in index.find(researcher="Ada")} == {"June", "July"}


def test_runs_are_found_by_all_that_is_known_of_them(root: Path) -> None:
    record(root / "bob" / "silt.db", "Bob", plans=("drift",), tag="silt")
    index = MasterIndex(root / "index.db")
    index.refresh()
    drift = first(index.find(plan="drift"))
    assert drift.db_path == "bob/silt.db"
    at = datetime.fromtimestamp(drift.time_start, UTC) - timedelta(milliseconds=1)
    asked: list[dict[str, object]] = [{"tag": "silt"}, {"beamtime": "Silt"}, {"beamtime": "bob/silt.db"}]
    asked += [{"since": at}, {"since": at.isoformat()}, {"since": drift.time_start}, {"uid": drift.uid[:8]}]
    asked += [{"sample": "outlet", "operator": "Bob", "scan_id": 1, "status": "failed", "researcher": "Bob"}]
    for each in asked:
        assert index.find(**each) == [drift], each  # type: ignore[arg-type]
    assert len(index.find(until=at)) == 6
    assert index.find(plan="drift", researcher="Ada") == []


@pytest.mark.parametrize("asked", [{"uid": "x*"}, {"uid": 3}, {"since": "yesterday"}, {"scan_id": "one"}])
def test_what_cannot_be_meant_is_refused(root: Path, asked: dict[str, object]) -> None:
    index = MasterIndex(root / "index.db")
    index.refresh()
    with pytest.raises(InvalidInput):
        index.find(**asked)  # type: ignore[arg-type]


def test_an_index_that_is_not_there_older_or_newer_is_told_apart(tmp_path: Path) -> None:
    index = MasterIndex(tmp_path / "index.db")
    with pytest.raises(DatabaseNotFound):
        index.find()
    index.refresh()
    for version, error in ((1, MigrationPending), (9, SchemaTooNewError)):
        with closing(sqlite3.connect(index.path)) as conn:
            conn.execute(f"PRAGMA user_version = {version}")
        with pytest.raises(error):
            index.find()
    with pytest.raises(SchemaTooNewError):
        index.refresh()


# ── rebuilding ───────────────────────────────────────────────────────────────────────────────────────


def test_an_index_that_was_deleted_is_rebuilt_from_the_sessions_alone(root: Path) -> None:
    writer, index = IndexWriter(root / "index.db"), MasterIndex(root / "index.db")
    for who, label in (("Ada", "June"), ("Ada", "July"), ("Bob", "May")):
        number = writer.register_researcher(who, who.lower(), email=f"{who.lower()}@example.org")
        writer.register_beamtime(number, label, f"{who.lower()}/{label.lower()}.db")
    index.refresh()
    before = answers(index)
    index.path.unlink()
    assert index.rebuild().sessions == 3
    assert answers(index) == before
    index.rebuild()
    assert answers(index) == before


def test_only_sessions_that_changed_are_read_again(root: Path) -> None:
    index = MasterIndex(root / "index.db")
    assert index.refresh().read == 3
    assert index.refresh().read == 0
    record(root / "ada" / "june.db")
    assert index.refresh().read == 1
    assert len(index.find(beamtime="June")) == 4


def test_a_damaged_index_is_set_aside_and_rebuilt(root: Path) -> None:
    index = MasterIndex(root / "index.db")
    index.path.write_bytes(b"no database at all " * 400)
    assert index.rebuild().sessions == 3
    assert len(index.find()) == 6
    assert list(root.glob("index.db.damaged-*"))


@pytest.mark.parametrize("version", [0, 1, 2, 3])
def test_a_database_of_something_else_is_no_index_and_left_as_it_is(tmp_path: Path, version: int) -> None:
    path = tmp_path / "june.db"
    with closing(sqlite3.connect(path)) as connection:
        if version:
            migrate_beamtime_schema(connection, version)
        else:
            connection.execute("CREATE TABLE bookmarks (url TEXT)")
    before = path.read_bytes()
    index = MasterIndex(path)
    for asked in (index.find, index.refresh, index.rebuild, IndexWriter(path).ensure_schema):
        with pytest.raises(InvalidInput, match="no master index"):
            asked()
    assert path.read_bytes() == before


def test_a_newer_index_is_left_as_it_is(tmp_path: Path) -> None:
    index = MasterIndex(tmp_path / "index.db")
    index.refresh()
    with closing(sqlite3.connect(index.path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("PRAGMA user_version = 9")
    before = index.path.read_bytes()
    for asked in (index.find, index.refresh, index.rebuild, IndexWriter(index.path).ensure_schema):
        with pytest.raises(SchemaTooNewError, match="newer hmp"):
            asked()
    assert index.path.read_bytes() == before


def test_the_whole_may_be_moved(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    index = MasterIndex(root / "index.db")
    index.refresh()
    before = answers(index)
    there = tmp_path_factory.mktemp("moved") / "data"
    shutil.move(root, there)
    moved = MasterIndex(there / "index.db")
    assert answers(moved) == before
    assert moved.refresh().missing == []
    assert answers(moved) == before


# ── what is gone, moved or damaged ───────────────────────────────────────────────────────────────────


def test_a_session_that_is_gone_is_reported_and_kept(root: Path) -> None:
    index = MasterIndex(root / "index.db")
    index.refresh()
    (root / "ada" / "june.db").unlink()
    assert index.refresh().missing == ["ada/june.db"]
    assert {run.state for run in index.find(beamtime="June")} == {"missing"}
    assert len(index.find(beamtime="June")) == 2
    assert [each.state for each in index.beamtimes() if each.label == "June"] == ["missing"]


def test_a_session_that_moved_is_found_by_its_store_id(root: Path) -> None:
    index = MasterIndex(root / "index.db")
    index.refresh()
    (root / "ada" / "june.db").rename(root / "bob" / "other.db")
    assert index.refresh().moved == {"ada/june.db": "bob/other.db"}
    assert {(run.db_path, run.state) for run in index.find(beamtime="June")} == {("bob/other.db", "moved")}
    assert index.refresh().moved == {}
    assert {run.state for run in index.find(beamtime="June")} == {"ok"}


def test_sessions_that_changed_places_are_not_mixed_up(root: Path) -> None:
    index = MasterIndex(root / "index.db")
    index.refresh()
    june, may, aside = root / "ada" / "june.db", root / "bob" / "may.db", root / "aside"
    june.rename(aside)
    may.rename(june)
    aside.rename(may)
    assert index.refresh().moved == {"ada/june.db": "bob/may.db", "bob/may.db": "ada/june.db"}
    assert {(run.db_path, run.researcher) for run in index.find(beamtime="June")} == {("bob/may.db", "Ada")}


def test_a_session_at_the_place_of_one_that_is_gone_is_another_one(root: Path) -> None:
    index = MasterIndex(root / "index.db")
    index.refresh()
    (root / "ada" / "june.db").unlink()
    shutil.rmtree(root / "ada" / "june.zarr")
    record(root / "ada" / "june.db", plans=("anew",))
    assert len(index.refresh().missing) == 1
    assert [run.plan_name for run in index.find(beamtime="ada/june.db")] == ["anew"]
    assert len(index.find(beamtime="June")) == 3


def test_a_copy_is_named_and_its_runs_are_listed_once(root: Path) -> None:
    index = MasterIndex(root / "index.db")
    index.refresh()
    (root / "ada" / "backup").mkdir()
    shutil.copy(root / "ada" / "june.db", root / "ada" / "backup" / "june.db")
    assert index.refresh().skipped == {"ada/backup/june.db": "it is a copy of ada/june.db"}
    assert len(index.find()) == 6


def test_damaged_and_newer_sessions_are_named_and_hide_nothing(root: Path) -> None:
    index = MasterIndex(root / "index.db")
    index.refresh()
    (root / "ada" / "june.db").write_bytes(b"not a database at all" * 300)
    with closing(sqlite3.connect(root / "bob" / "may.db")) as conn:
        conn.execute("PRAGMA user_version = 99")
    (root / "empty.db").touch()
    record(root / "ada" / "new.db")
    assert set(index.refresh().skipped) == {"ada/june.db", "bob/may.db", "empty.db"}
    assert {run.state for run in index.find(beamtime="June")} == {"damaged"}
    assert len(index.find(beamtime="New")) == 2
    assert set(index.rebuild().skipped) == {"ada/june.db", "bob/may.db", "empty.db"}
    assert {each.label for each in index.beamtimes()} == {"July", "New"}


def test_a_database_of_something_else_is_passed_over(root: Path) -> None:
    with closing(sqlite3.connect(root / "notes.db")) as conn:
        conn.execute("CREATE TABLE notes (id INTEGER)")
    MasterIndex(root / "other-index.db").refresh()
    assert MasterIndex(root / "index.db").refresh().skipped == {}


def test_a_session_of_an_older_version_is_called_as_its_file_and_nobodys(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    with closing(sqlite3.connect(path)) as conn:
        migrate_beamtime_schema(conn, 1)
        conn.execute("INSERT INTO runs (uid, plan_name, time_start, exit_status) VALUES ('ab', 'scan', 1.0, 'success')")
        conn.execute("INSERT INTO runs (uid, plan_name, time_start) VALUES ('cd', 'scan', 2.0)")
        conn.commit()
    index = MasterIndex(tmp_path / "index.db")
    index.refresh()
    assert [(run.uid, run.exit_status) for run in index.find()] == [("cd", "interrupted"), ("ab", "success")]
    assert {(run.beamtime, run.researcher) for run in index.find()} == {("old", "unknown")}
    path.rename(tmp_path / "renamed.db")
    assert index.refresh().moved == {"old.db": "renamed.db"}


def test_a_run_that_goes_on_is_looked_at_again(tmp_path: Path) -> None:
    index = MasterIndex(tmp_path / "index.db")
    with RunWriter(tmp_path / "june.db", SampleMetadata("outlet")) as writer:
        writer.open_run("count")
        writer.open_stream("primary", {"level": {}})
        writer.write_event({"level": 1.0})
        index.refresh()
        assert [(run.exit_status, run.num_events) for run in index.find(status="running")] == [("running", 1)]
        writer.close_run()
    index.refresh()
    assert [run.exit_status for run in index.find()] == ["success"]
