"""What a run consumed: the bytes that were there, inside the workspace, and nothing else."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from hmp_catalog.errors import InputChanged
from hmp_catalog.inputs import InputEntry, as_inputs, describe
from hmp_core.errors import InvalidInput, PathEscape, PathNotFound, UnsupportedScheme
from hmp_core.identity import sha256_bytes, sha256_file, sha256_path


@dataclass
class Entry:
    """What the catalog must know of a cache entry."""

    relative_path: str
    sha256: str
    variable: str = "discharge"
    source: str = "hubeau"
    id: UUID | str = "00000000-0000-7000-8000-000000000001"
    artifact_id: UUID | str = "00000000-0000-7000-8000-000000000002"
    uri: str | None = None
    license: str | None = None
    unit: str | None = "m3 s-1"


@dataclass
class PlacedEntry(Entry):
    """An entry that knows where the bytes of its version lie."""

    path: Path = Path()


@pytest.fixture
def file(workspace):
    found = workspace / "data" / "discharge" / "q.csv"
    found.parent.mkdir(parents=True)
    found.write_text("time,q\n2001-01-01,4.2\n")
    return found


def entry_of(file, workspace, **more):
    return Entry(file.relative_to(workspace).as_posix(), sha256_file(file), **more)


# ── entries ──────────────────────────────────────────────────────────────────────────────────────────


def test_an_entry_is_recorded_with_its_version(cat, workspace, file):
    entry = entry_of(file, workspace, id=uuid4(), artifact_id=uuid4(), uri="https://hubeau/q", license="etalab-2.0")
    assert isinstance(entry, InputEntry)
    with cat.record("gr4j", name="base", inputs=[entry]):
        pass
    assert cat["base"].provenance.to_pylist() == [
        {
            "entry_id": str(entry.id),
            "artifact_id": str(entry.artifact_id),
            "variable": "discharge",
            "source_ref": str(entry.id),
            "source_type": "cache",
            "source_sha256": entry.sha256,
            "file_path": "data/discharge/q.csv",
            "license": "etalab-2.0",
            "data_provider": "hubeau",
        }
    ]
    tracked = cat.sql("SELECT canonical_path, sha256, size_bytes, portable FROM tracked_files").to_pylist()
    assert tracked == [
        {"canonical_path": "data/discharge/q.csv", "sha256": entry.sha256, "size_bytes": 22, "portable": True}
    ]
    assert cat["base"].manifest["inputs"][0]["uri"] == "https://hubeau/q"


def test_an_entry_whose_bytes_changed_is_refused(cat, workspace, file):
    entry = entry_of(file, workspace)
    file.write_text("time,q\n2001-01-01,9.9\n")
    with pytest.raises(InputChanged) as caught:
        cat.record("gr4j", inputs=[entry])
    assert (caught.value.path, caught.value.expected) == ("data/discharge/q.csv", entry.sha256)
    assert caught.value.found == sha256_file(file)
    assert len(cat) == 0


def test_bytes_that_change_within_the_same_tick_are_seen(workspace, file):
    """A file system counts time in milliseconds; two writes may fall into one."""
    for n in range(50):
        file.write_text(f"time,q\n2001-01-01,{n % 10}.2\n")
        assert describe([file], workspace)[0]["sha256"] == sha256_bytes(file.read_bytes())


def test_a_file_that_changed_just_now_is_read_again(workspace, file, monkeypatch):
    """Where the clock of the file system is coarse, nothing else would show a second change."""
    describe([file], workspace)
    read = []
    monkeypatch.setattr("hmp_catalog.inputs.sha256_file", lambda path: read.append(path) or "0" * 64)
    describe([file], workspace)
    assert read == [file]


def test_bytes_that_change_behind_the_same_date_are_seen(workspace, file, monkeypatch):
    monkeypatch.setattr("hmp_catalog.inputs._SETTLED", 0.0)  # as if the file had been there for long
    before = file.stat()
    first = describe([file], workspace)[0]["sha256"]
    time.sleep(0.05)
    file.write_text("time,q\n2001-01-01,9.9\n")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_size == before.st_size
    assert describe([file], workspace)[0]["sha256"] == sha256_file(file) != first


def test_a_file_that_is_long_there_is_read_once(workspace, file, monkeypatch):
    monkeypatch.setattr("hmp_catalog.inputs._SETTLED", 0.0)
    found = describe([file], workspace)
    monkeypatch.setattr("hmp_catalog.inputs.sha256_file", None)
    assert describe([file, file], workspace) == found


def test_an_entry_whose_bytes_are_gone_is_refused(cat, workspace, file):
    entry = entry_of(file, workspace)
    file.unlink()
    with pytest.raises(PathNotFound, match="restore"):
        cat.record("gr4j", inputs=[entry])


def test_an_older_version_is_consumed_where_the_cache_put_it(cat, workspace, file):
    old = PlacedEntry(**vars(entry_of(file, workspace)), path=workspace / "data" / ".versions" / sha256_file(file))
    old.path.parent.mkdir()
    file.rename(old.path)
    file.write_text("newer")
    with cat.record("gr4j", name="base", inputs=[old]):
        pass
    kept = cat["base"].provenance.to_pylist()[0]
    assert (kept["source_sha256"], kept["file_path"]) == (old.sha256, "data/discharge/q.csv")


def test_an_entry_of_another_workspace_is_refused(cat, workspace, file, tmp_path):
    elsewhere = tmp_path / "other" / "data" / "q.csv"
    elsewhere.parent.mkdir(parents=True)
    elsewhere.write_bytes(file.read_bytes())
    entry = PlacedEntry("data/discharge/q.csv", sha256_file(file), path=elsewhere)
    with pytest.raises(PathEscape):
        cat.record("gr4j", inputs=[entry])


@pytest.mark.parametrize(
    "more",
    [
        {"id": "not a uuid"},
        {"artifact_id": 5},
        {"variable": 5},
        {"source": b"x"},
        {"license": ["a"]},
        {"uri": 1},
        {"sha256": None},
        {"relative_path": None},
        {"relative_path": "/etc/passwd"},
        {"relative_path": "../../secret"},
    ],
    ids=str,
)
def test_an_entry_that_could_not_be_kept_is_refused(cat, workspace, file, more):
    entry = Entry(**(vars(entry_of(file, workspace)) | more))
    with pytest.raises(InvalidInput):
        cat.record("gr4j", inputs=[entry])
    assert len(cat) == 0


# ── files and folders ────────────────────────────────────────────────────────────────────────────────


def test_a_file_of_the_workspace_is_recorded(cat, workspace, file):
    with cat.record("gr4j", name="base", inputs=[file]) as rec:
        rec.input(str(file), file.as_uri())
    kept = cat["base"].provenance.to_pylist()
    assert [(row["source_type"], row["file_path"], row["source_sha256"]) for row in kept] == [
        ("custom_file", "data/discharge/q.csv", sha256_file(file))
    ]


def test_a_folder_is_recorded_by_all_its_files(cat, workspace, file):
    (file.parent / "more").mkdir()
    (file.parent / "more" / "b.csv").write_text("b")
    with cat.record("gr4j", name="base", inputs=[file.parent]):
        pass
    tracked = cat.sql("SELECT canonical_path, sha256, size_bytes FROM tracked_files").to_pylist()
    assert tracked == [
        {"canonical_path": "data/discharge", "sha256": sha256_path(file.parent), "size_bytes": 23},
    ]


def test_one_input_may_be_given_alone(cat, workspace, file):
    for inputs in (file, str(file), entry_of(file, workspace)):
        with cat.record("gr4j", inputs=inputs) as rec:
            pass
        assert cat[rec.sim_id].provenance.num_rows == 1


def test_a_path_and_its_entry_are_one_input(workspace, file):
    entry = entry_of(file, workspace)
    for items in ([file, entry], [entry, file], [entry, entry]):
        assert [facts["entry_id"] for facts in describe(items, workspace)] == [entry.id]


def test_two_entries_of_one_file_are_two(workspace, file):
    entries = [entry_of(file, workspace, id=uuid4(), variable=v) for v in ("discharge", "rainfall")]
    assert [facts["variable"] for facts in describe(entries, workspace)] == ["discharge", "rainfall"]


def test_the_same_input_in_two_versions_is_refused(workspace, file):
    entry = PlacedEntry("data/discharge/q.csv", sha256_bytes(b"old"), path=workspace / "data" / "old")
    entry.path.write_bytes(b"old")
    with pytest.raises(InvalidInput, match="twice"):
        describe([file, entry], workspace)


def test_inputs_said_later_are_checked_with_the_first(cat, workspace, file):
    with cat.record("gr4j", name="base", inputs=[file]) as rec:
        file.write_text("changed meanwhile")
        with pytest.raises(InvalidInput):
            rec.input(Entry("data/discharge/q.csv", sha256_bytes(b"other")))
    assert cat["base"].provenance.num_rows == 1


# ── what lies elsewhere ──────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def secret(tmp_path):
    found = tmp_path / "secret.txt"
    found.write_text("secret")
    return found


def test_a_file_outside_is_refused(cat, secret):
    with pytest.raises(PathEscape):
        cat.record("gr4j", inputs=[secret])
    assert len(cat) == 0


def test_a_link_that_leads_out_is_refused(cat, workspace, secret):
    link = workspace / "data" / "link.txt"
    link.symlink_to(secret)
    for item in (link, Entry("data/link.txt", sha256_file(secret))):
        with pytest.raises(PathEscape):
            cat.record("gr4j", inputs=[item])


def test_a_link_in_a_folder_that_leads_out_is_refused(cat, workspace, file, secret):
    (file.parent / "link.txt").symlink_to(secret)
    with pytest.raises(PathEscape):
        cat.record("gr4j", inputs=[file.parent])


def test_a_link_to_a_folder_is_named_by_itself(cat, workspace, file):
    (workspace / "data" / "more").mkdir()
    (file.parent / "link").symlink_to(workspace / "data" / "more")
    with pytest.raises(InvalidInput, match="link to a folder"):
        cat.record("gr4j", inputs=[file.parent])


def test_a_link_within_the_workspace_is_what_it_leads_to(workspace, file):
    (workspace / "data" / "link.csv").symlink_to(file)
    assert describe([workspace / "data" / "link.csv"], workspace)[0]["path"] == "data/discharge/q.csv"


@pytest.mark.parametrize("name", ["we\\ird.csv", "nul.csv"])
def test_what_could_not_be_found_again_is_refused(workspace, name, monkeypatch):
    file = workspace / name
    file.write_text("x")
    if "\\" in name:
        with pytest.raises(InvalidInput):
            describe([file], workspace)
    else:
        assert describe([file], workspace)[0]["path"] == name


def test_a_database_is_no_input(cat, project):
    with pytest.raises(InvalidInput, match="database"):
        cat.record("gr4j", inputs=[project / "catalog.duckdb"])


@pytest.mark.parametrize("item", [5, None, b"q.csv", object()])
def test_what_is_no_input_is_refused(cat, item):
    with pytest.raises(InvalidInput):
        cat.record("gr4j", inputs=[item])
    with pytest.raises(InvalidInput):
        describe([item], cat.workspace)


def test_another_scheme_is_refused(cat):
    with pytest.raises(UnsupportedScheme):
        cat.record("gr4j", inputs=["s3://bucket/q.csv"])


def test_a_missing_file_is_refused(cat, workspace):
    with pytest.raises(PathNotFound):
        cat.record("gr4j", inputs=[workspace / "data" / "nowhere.csv"])


def test_inputs_come_from_any_collection():
    assert as_inputs(item for item in ("a", "b")) == ["a", "b"]
    assert as_inputs(("a",)) == ["a"]
