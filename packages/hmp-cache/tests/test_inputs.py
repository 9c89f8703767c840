"""The inputs of a workspace as a user handles them."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pytest

import hmp_cache
from hmp_cache import ArtifactGone, EntryNotFound, InputsNamespace, ValidationFailed
from hmp_core.errors import (
    AccessDenied,
    CorruptError,
    InvalidInput,
    MissingPart,
    NotWritable,
    PathNotFound,
    UnknownFilter,
    UnsupportedScheme,
)
from hmp_core.identity import sha256_bytes

Write = Callable[..., Path]
OTHER = "time,discharge\n2001-01-01,1.4\n2001-01-02,1.3\n2001-01-03,9\n"


def _tree(folder: Path) -> dict[str, bytes]:
    """Return what files hold; not the notes that say who holds a lock, nor databases."""
    found = (p for p in folder.rglob("*") if p.is_file() and not p.name.endswith((".lock.json", ".duckdb")))
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in found}


def _visible(data: InputsNamespace) -> list[str]:
    """Return the files a person sees in ``data``, without sidecars and the database."""
    root = data.workspace / "data"
    found = (p.relative_to(root) for p in root.rglob("*") if p.is_file())
    shown = (p for p in found if not any(part.startswith(".") for part in p.parts) and len(p.parts) > 2)
    return sorted(p.as_posix() for p in shown if not p.name.endswith(".hmp.json"))


# ── add ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_file_lies_where_a_person_would_look(data: InputsNamespace, write: Write) -> None:
    entry = data.add(write(), variable="discharge", source="custom")
    assert entry.relative_path == "data/discharge/custom/q.csv"
    assert entry.path.read_bytes() == write().read_bytes()


def test_the_original_is_left_alone(data: InputsNamespace, write: Write) -> None:
    original = write()
    before = original.stat()
    data.add(original, variable="discharge")
    assert original.stat().st_mtime_ns == before.st_mtime_ns
    assert original.stat().st_nlink == 1


def test_everything_that_was_said_comes_back(data: InputsNamespace, write: Write) -> None:
    said = {
        "station": "Grebenau", "bbox": (9.0, 50.0, 10.0, 51.0), "crs": "EPSG:4326", "frequency": "1D",
        "unit": "m3 s-1", "license": "MIT", "name": "Fulda",
    }  # fmt: skip
    entry = data.add(write(), variable="discharge", source="spotpy", period="2000-12-31/2001-12-31", **said)
    found = data[entry.id]
    assert found == entry
    for name, value in said.items():
        assert getattr(found, {"station": "station_id"}.get(name, name)) == value
    assert found.period == (datetime(2000, 12, 31), datetime(2001, 12, 31))
    assert found.uri == write().as_uri()


def test_a_period_that_is_not_stated_is_what_the_data_cover(data: InputsNamespace, write: Write) -> None:
    assert data.add(write(), variable="discharge").period == (datetime(2001, 1, 1), datetime(2001, 1, 2))


def test_the_same_bytes_again_change_nothing(data: InputsNamespace, write: Write) -> None:
    first = data.add(write(), variable="discharge", station="outlet")
    before = _tree(data.workspace / "data" / "discharge")
    assert data.add(write("copy.csv"), variable="discharge", station="outlet") == first
    assert _tree(data.workspace / "data" / "discharge") == before
    assert data.sql("SELECT count(*) AS n FROM provenance")["n"][0].as_py() == 1


def test_other_bytes_are_a_new_version_of_the_same_input(data: InputsNamespace, write: Write) -> None:
    first = data.add(write(), variable="discharge", station="outlet")
    second = data.add(write(content=OTHER), variable="discharge", station="outlet")
    assert second.id == first.id
    assert second.artifact_id != first.artifact_id
    assert second.created_at == first.created_at
    assert second.relative_path == first.relative_path
    assert data.find() == [second]


def test_the_former_version_stays_reachable(data: InputsNamespace, write: Write) -> None:
    first = data.add(write(), variable="discharge", station="outlet")
    data.add(write(content=OTHER), variable="discharge", station="outlet")
    assert first.read_table().num_rows == 2
    assert data.artifact_path(first.sha256).read_bytes() == hmp_bytes()
    assert data.artifact(first.sha256).state == "superseded"


def hmp_bytes() -> bytes:
    return b"time,discharge\n2001-01-01,1.4\n2001-01-02,1.3\n"


def test_versions_come_newest_first(data: InputsNamespace, write: Write) -> None:
    for rows in range(1, 4):
        text = "time,discharge\n" + "".join(f"2001-01-0{n},1\n" for n in range(1, rows + 1))
        entry = data.add(write(content=text), variable="discharge", station="outlet")
    assert [v.read_table().num_rows for v in data.versions(entry)] == [3, 2, 1]
    assert [v.state for v in data.versions("q")] == ["current", "superseded", "superseded"]


def test_a_version_may_come_back(data: InputsNamespace, write: Write) -> None:
    first = data.add(write(), variable="discharge", station="outlet")
    second = data.add(write(content=OTHER), variable="discharge", station="outlet")
    again = data.add(write(), variable="discharge", station="outlet")
    assert (again.artifact_id, again.sha256) == (first.artifact_id, first.sha256)
    assert data["q"] == again
    assert {v.sha256: v.state for v in data.versions(again)} == {first.sha256: "current", second.sha256: "superseded"}
    assert second.read_table().num_rows == 3


def test_a_second_file_of_the_same_name_gets_another(data: InputsNamespace, write: Write) -> None:
    one = data.add(write(), variable="discharge", station="a")
    two = data.add(write(content=OTHER), variable="discharge", station="b")
    assert one.relative_path == "data/discharge/custom/q.csv"
    assert two.relative_path == f"data/discharge/custom/q~{two.id.hex[:8]}.csv"
    assert one.read_table().num_rows == 2


def test_a_file_the_cache_did_not_make_is_never_replaced(data: InputsNamespace, write: Write) -> None:
    mine = data.workspace / "data" / "discharge" / "custom" / "q.csv"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    entry = data.add(write(), variable="discharge", station="a")
    assert mine.read_text() == "mine"
    assert entry.path != mine


def test_a_file_may_be_added_from_where_it_will_not_lie(data: InputsNamespace) -> None:
    mine = data.workspace / "data" / "discharge" / "custom" / "q.csv"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(hmp_bytes())
    entry = data.add(mine, variable="discharge")
    assert mine.read_bytes() == hmp_bytes()
    assert entry.uri == "data/discharge/custom/q.csv"


def test_another_form_takes_another_name(data: InputsNamespace, write: Write) -> None:
    import pyarrow.parquet as pq

    first = data.add(write(), variable="discharge", station="a")
    table = first.read_table()
    desk = write("q.parquet", b"")
    pq.write_table(table, desk)
    second = data.add(desk, variable="discharge", station="a")
    assert second.id == first.id
    assert _visible(data) == ["discharge/custom/q.parquet"]
    assert first.read_table() == table
    assert [v.media_type for v in data.versions(second)] == ["application/vnd.apache.parquet", "text/csv"]


def test_grids_without_a_station_are_there_once(data: InputsNamespace, write: Write) -> None:
    for name in ("dem.txt", "dem_again.txt"):
        data.add(write(name, name), variable="dem", source="ign", bbox=(0, 0, 1, 1), crs="EPSG:2154")
    assert len(data.find()) == 1
    assert len(data.versions("dem")) == 2


def test_without_a_place_the_name_tells_inputs_apart(data: InputsNamespace, write: Write) -> None:
    data.add(write("north.txt", "1"), variable="dem")
    data.add(write("south.txt", "2"), variable="dem")
    assert sorted(e.name for e in data.find()) == ["north", "south"]


def test_two_files_that_differ_in_their_suffix_are_two_inputs(data: InputsNamespace, write: Write) -> None:
    for name in ("freyberg.hds", "freyberg.cbc"):
        data.add(write(name, name), variable="modflow")
    assert sorted(e.relative_path for e in data.find(name="freyberg")) == [
        "data/modflow/custom/freyberg.cbc",
        "data/modflow/custom/freyberg.hds",
    ]


def test_a_name_that_is_given_stands_in_for_the_place(data: InputsNamespace, write: Write) -> None:
    one = data.add(write("north_v1.txt", "1"), variable="dem", name="north")
    two = data.add(write("north_v2.txt", "2"), variable="dem", name="north")
    assert one.id == two.id


def test_what_something_was_made_from_is_kept(data: InputsNamespace, write: Write) -> None:
    parent = data.add(write("t.csv", "time,temperature\n2001-01-01,3\n"), variable="temperature")
    made = data.add(
        write("pet.csv", "time,pet\n2001-01-01,1\n"),
        variable="potential_evapotranspiration",
        parents=[parent],
        tool="oudin 2005",
        parameters={"latitude": 50.8},
    )
    row = data.sql("SELECT * FROM provenance WHERE entry_id = $1", [str(made.id)]).to_pylist()[0]
    assert parent.sha256 in row["parents"]
    assert row["uri"] is None, "it came from its parents, not from the file that was handed over"
    assert (row["tool_name"], row["tool_version"]) == ("oudin", "2005")
    assert row["parameters_json"] == '{"latitude":50.8}'
    assert row["input_hash"] == sha256_bytes(parent.sha256.encode())
    assert (
        data.sql("SELECT artifact_type FROM artifacts WHERE entry_id = $1", [str(made.id)])[0][0].as_py() == "derived"
    )


def test_parents_may_be_named(data: InputsNamespace, write: Write) -> None:
    data.add(write("t.csv", "time,temperature\n2001-01-01,3\n"), variable="temperature")
    made = data.add(write("pet.txt", "1"), variable="pet", parents=["t"])
    assert (
        data["t"].sha256 in data.sql("SELECT parents FROM provenance WHERE entry_id = $1", [str(made.id)])[0][0].as_py()
    )


def test_a_modified_copy_is_made_good_and_the_edit_kept(data: InputsNamespace, write: Write) -> None:
    entry = data.add(write(), variable="discharge", station="a")
    entry.path.write_text("time,discharge\n2001-01-01,7\n")
    assert data.check()[0].state == "modified"
    assert data.add(write(), variable="discharge", station="a") == entry
    assert data.check()[0].state == "current"
    assert data.workspace.joinpath("data/.versions", sha256_bytes(b"time,discharge\n2001-01-01,7\n")).exists()


def test_a_missing_copy_is_made_good(data: InputsNamespace, write: Write) -> None:
    entry = data.add(write(), variable="discharge", station="a")
    entry.path.unlink()
    assert data["q"].state == "missing"
    assert data.add(write(), variable="discharge", station="a") == entry


# ── what is refused ──────────────────────────────────────────────────────────────────────────────────


def test_a_file_that_fails_is_kept_aside_and_not_served(data: InputsNamespace, write: Write) -> None:
    with pytest.raises(ValidationFailed, match="below -") as caught:
        data.add(write(content="time,discharge\n2001-01-01,-9e9\n"), variable="discharge", unit="m3 s-1")
    assert data.find() == []
    assert _visible(data) == []
    assert caught.value.checks == ["range"]
    assert (data.workspace / caught.value.path).read_text().endswith("-9e9\n")
    assert caught.value.path.startswith("data/.rejected/")


def test_a_file_that_fails_is_on_record(data: InputsNamespace, write: Write) -> None:
    with pytest.raises(ValidationFailed):
        data.add(write(content="<html>"), variable="discharge")
    assert data.failures().to_pylist()[0]["error_type"] == "validation"
    report = data.sql("SELECT * FROM validation_reports").to_pylist()[0]
    assert (report["passed"], report["artifact_id"], report["schema_name"]) == (False, None, "discharge/1")
    assert "web page" in report["errors_json"]


def test_how_many_failures_are_asked_for(data: InputsNamespace, write: Write) -> None:
    with pytest.raises(ValidationFailed):
        data.add(write(content="<html>"), variable="discharge")
    assert [data.failures(limit).num_rows for limit in (0, 1, 2**70)] == [0, 1, 1]
    with pytest.raises(InvalidInput, match="limit is -1, expected a number from 0 on"):
        data.failures(-1)


def test_a_file_that_fails_leaves_the_version_that_is_there(data: InputsNamespace, write: Write) -> None:
    entry = data.add(write(), variable="discharge", station="a")
    with pytest.raises(ValidationFailed):
        data.add(write(content="time,discharge\n2001-01-01,-9e9\n"), variable="discharge", station="a")
    assert data.check() == [entry]


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("nowhere.csv", PathNotFound),
        (".", InvalidInput),
        ("s3://bucket/q.csv", UnsupportedScheme),
        ("http://example.org/q.csv", UnsupportedScheme),
        ("", InvalidInput),
        ("a\0b", InvalidInput),
        ("/dev/null", InvalidInput),
        (7, InvalidInput),
    ],
)
def test_what_is_no_file(data: InputsNamespace, path: object, error: type[Exception]) -> None:
    before = _tree(data.workspace)
    with pytest.raises(error):
        data.add(path, variable="discharge")  # type: ignore[arg-type]
    assert _tree(data.workspace) == before


def test_a_sidecar_is_no_input(data: InputsNamespace, write: Write) -> None:
    with pytest.raises(InvalidInput, match="is a sidecar"):
        data.add(write("q.csv.hmp.json", "{}"), variable="discharge")


def test_an_empty_file_is_refused(data: InputsNamespace, write: Write) -> None:
    with pytest.raises(ValidationFailed, match="empty"):
        data.add(write("x.bin", b""), variable="anything")


def test_a_bad_word_changes_nothing(data: InputsNamespace, write: Write) -> None:
    before = _tree(data.workspace)
    with pytest.raises(InvalidInput):
        data.add(write(), variable="../up")
    with pytest.raises(EntryNotFound):
        data.add(write(), variable="discharge", parents=["nobody"])
    assert _tree(data.workspace) == before


@pytest.mark.parametrize("link", [False, True])
def test_a_name_that_is_no_unicode(data: InputsNamespace, tmp_path: Path, *, link: bool) -> None:
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/d\xe9bit.csv"))
    odd.write_bytes(hmp_bytes())
    (tmp_path / "link.csv").symlink_to(odd)
    with pytest.raises(InvalidInput):
        data.add(tmp_path / "link.csv" if link else odd, variable="discharge")


def test_nothing_is_written_through_a_read_only_door(data: InputsNamespace, write: Write) -> None:
    before = _tree(data.workspace / "data" / ".incoming") if (data.workspace / "data" / ".incoming").exists() else {}
    with hmp_cache.open(data.workspace, read_only=True) as closed, pytest.raises(NotWritable):
        closed.add(write(), variable="discharge")
    assert (data.workspace / "data" / ".incoming").exists() is bool(before)


class _Nobody:
    def current_user(self) -> str:
        return "eve"

    def can_read(self, resource: str) -> bool:
        return True

    def can_write(self, resource: str) -> bool:
        assert resource == "cache:fulda"
        return False


def test_who_may_not_write_changes_nothing(data: InputsNamespace, write: Write) -> None:
    with hmp_cache.open(data.workspace, auth=_Nobody()) as theirs:
        with pytest.raises(AccessDenied, match="eve may not write cache:fulda"):
            theirs.add(write(), variable="discharge")
        with pytest.raises(AccessDenied):
            theirs.fetch(write().as_uri(), variable="discharge")
        with pytest.raises(AccessDenied):
            theirs.rebuild()
    assert _visible(data) == []
    assert not (data.workspace / "data" / ".incoming").exists()


# ── out ──────────────────────────────────────────────────────────────────────────────────────────────


def test_find_says_which_keys_there_are(data: InputsNamespace) -> None:
    with pytest.raises(UnknownFilter, match="did you mean variable") as caught:
        data.find(varible="discharge")
    assert {"station", "unit", "size"} < set(caught.value.valid)


def test_latest_is_the_last_that_was_stored(data: InputsNamespace, write: Write) -> None:
    old = data.add(write("a.csv"), variable="discharge")
    new = data.add(write("b.csv"), variable="discharge")
    assert data.latest() == new
    data.add(write("a.csv", OTHER), variable="discharge")
    assert data.latest(variable="discharge").id == old.id


def test_latest_of_nothing(data: InputsNamespace) -> None:
    with pytest.raises(EntryNotFound, match="no input fits variable='discharge'"):
        data.latest(variable="discharge")


def test_the_table_has_a_row_per_input(data: InputsNamespace, write: Write) -> None:
    entry = data.add(write(), variable="discharge", station="a")
    table = data.table
    assert isinstance(table, pa.Table)
    assert table.to_pylist()[0]["id"] == str(entry.id)
    assert table.to_pylist()[0]["size"] == entry.size


@pytest.mark.skipif(importlib.util.find_spec("pandas") is None, reason="needs pandas")
def test_the_frame_is_the_table_for_pandas(data: InputsNamespace, write: Write) -> None:
    data.add(write(), variable="discharge")
    assert list(data.frame["variable"]) == ["discharge"]


def test_the_frame_without_pandas_says_what_to_install(data: InputsNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hmp_cache.records.find_spec", lambda name: None)
    with pytest.raises(MissingPart, match=r"install hmp-cache\[frame\]"):
        _ = data.frame


def test_sql_reads(data: InputsNamespace, write: Write) -> None:
    data.add(write(), variable="discharge")
    assert data.sql("SELECT variable FROM entries WHERE source = $1", ["custom"]).to_pylist() == [
        {"variable": "discharge"}
    ]


@pytest.mark.parametrize("statement", ["DELETE FROM entries", "COPY entries TO 'x.csv'", "SELECT 1; SELECT 2", ""])
def test_sql_does_not_write(data: InputsNamespace, statement: str) -> None:
    with pytest.raises(InvalidInput, match="expected one question"):
        data.sql(statement)


def test_the_summary_counts(data: InputsNamespace, write: Write) -> None:
    data.add(write(), variable="discharge", station="a")
    data.add(write(), variable="discharge", station="b")
    (row,) = data.summary().to_pylist()
    assert (row["n_entries"], row["n_stations"], row["n_custom"]) == (2, 2, 2)


def test_bytes_nobody_has_ever_seen(data: InputsNamespace) -> None:
    with pytest.raises(EntryNotFound):
        data.artifact_path("0" * 64)
    with pytest.raises(EntryNotFound):
        data.artifact(uuid4())
    with pytest.raises(InvalidInput, match="64 hex digits"):
        data.artifact("q.csv")


def test_bytes_that_are_gone(data: InputsNamespace, write: Write) -> None:
    entry = data.add(write(), variable="discharge")
    entry.path.unlink()
    with pytest.raises(ArtifactGone, match="not here any more"):
        data.artifact_path(entry.sha256)
    with pytest.raises(ArtifactGone, match="are gone"):
        entry.open()


def test_a_version_whose_bytes_were_overwritten_is_missing(data: InputsNamespace, write: Write) -> None:
    first = data.add(write(), variable="discharge", station="a")
    first.path.write_text("time,discharge\n2001-01-01,7\n")
    data.add(write(content=OTHER), variable="discharge", station="a")
    assert [v.state for v in data.versions(first)] == ["current", "missing"]


# ── looking after ────────────────────────────────────────────────────────────────────────────────────


def test_check_tells_what_is_wrong(data: InputsNamespace, write: Write) -> None:
    for name in ("fine", "edited", "gone", "touched"):
        data.add(write(f"{name}.csv"), variable="discharge")
    data["edited"].path.write_bytes(hmp_bytes().replace(b"1.4", b"9.4"))
    data["gone"].path.unlink()
    os.utime(data["touched"].path, (1, 1))
    found = {entry.name: entry.state for entry in data.check()}
    assert found == {"fine": "current", "edited": "modified", "gone": "missing", "touched": "current"}


def test_check_takes_filters(data: InputsNamespace, write: Write) -> None:
    data.add(write(), variable="discharge")
    assert data.check(variable="precipitation") == []


def test_what_does_not_fit_its_record_is_not_opened(data: InputsNamespace, write: Write) -> None:
    entry = data.add(write(), variable="discharge")
    entry.path.write_text("short")
    with pytest.raises(CorruptError, match="has 5 bytes, 45 were registered"):
        entry.open()


def test_a_copied_workspace_works_there_unchanged(data: InputsNamespace, write: Write, tmp_path: Path) -> None:
    import shutil

    first = data.add(write(), variable="discharge", station="a")
    data.add(write(content=OTHER), variable="discharge", station="a")
    data.close()
    shutil.copytree(data.workspace, tmp_path / "copy", copy_function=shutil.copy)
    shutil.rmtree(data.workspace)
    with hmp_cache.open(tmp_path / "copy") as copy:
        assert copy["q"].read_table().num_rows == 3
        assert copy.artifact(first.sha256).read_table().num_rows == 2
        assert [e.state for e in copy.check()] == ["current"]
        assert copy.find()[0].workspace == tmp_path / "copy"


def test_nothing_absolute_is_kept_of_a_file_in_the_workspace(data: InputsNamespace) -> None:
    inside = data.workspace / "notes.csv"
    inside.write_bytes(hmp_bytes())
    data.add(inside, variable="discharge")
    data.close()
    for path, content in _tree(data.workspace).items():
        assert str(data.workspace).encode() not in content, path


def test_a_folder_where_a_file_should_be(data: InputsNamespace, write: Write) -> None:
    (data.workspace / "data" / "discharge").write_text("a file where a folder should be")
    with pytest.raises(NotWritable):
        data.add(write(), variable="discharge")


def test_a_link_out_of_the_workspace_hides_no_other_input(data: InputsNamespace, write: Write, tmp_path: Path) -> None:
    """Somebody moved a large file to another disk and left a link: its bytes are not here, those of the others are."""
    moved = data.add(write(), variable="discharge", station="moved")
    data.add(write("stays.csv"), variable="discharge", station="stays")
    elsewhere = tmp_path / "elsewhere.csv"
    moved.path.rename(elsewhere)
    moved.path.symlink_to(elsewhere)
    told = {"moved": "missing", "stays": "current"}
    for answer in (data.check(), data.check(verify="full"), data.check(fix=True), data.verify()):
        assert {each.station_id: each.state for each in answer} == told
    assert [each.as_dict()["path"] for each in data.find(station_id="moved")] == [None]
    assert len(data.prune(older_than="0h")) == 0
    assert elsewhere.exists()


def test_two_doors_of_one_process_see_each_other(data: InputsNamespace, write: Write) -> None:
    with hmp_cache.open(data.workspace) as other:
        entry = other.add(write(), variable="discharge", station="a")
        assert data["q"] == entry
        data.add(write("other_name.csv", OTHER), variable="discharge", station="a")
        assert len(other.versions(entry)) == 2
