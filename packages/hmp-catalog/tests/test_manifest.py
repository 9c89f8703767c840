"""run.json: the same facts give the same file, and a changed one is told from a whole one."""

from __future__ import annotations

import json
import re
import shutil

import pytest

from hmp_catalog import manifest
from hmp_core.errors import CorruptError, SchemaTooNewError

#: What of a manifest is not the same when the same run is recorded again: ids, clocks, durations.
VARYING = {
    ("event", "id"),
    ("event", "clock"),
    ("event", "at"),
    ("opened", "id"),
    ("opened", "clock"),
    ("opened", "at"),
    ("run", "sim_id"),
    ("run", "folder"),
    ("run", "path"),
    ("run", "started_at"),
    ("run", "ended_at"),
    ("run", "duration_s"),
    ("checksum",),
}


def leaves(value, path=()):
    if isinstance(value, dict) and value:
        return {k: v for key, one in value.items() for k, v in leaves(one, (*path, key)).items()}
    if isinstance(value, list) and value:
        return {k: v for n, one in enumerate(value) for k, v in leaves(one, (*path, n)).items()}
    return {path: value}


@pytest.fixture(scope="module")
def run(common, record):
    return record(common, "base", parameters={"x1": 1.5}, metrics={"nse": 0.5}, config={"a": "é"})


@pytest.fixture
def folder(run, tmp_path):
    """Return a copy of the folder of a sealed run."""
    return shutil.copytree(run.folder, tmp_path / run.folder.name)


def test_the_same_facts_give_the_same_file(cat, workspace):
    file = workspace / "data" / "q.csv"
    file.write_text("x")
    texts = []
    for _ in range(2):
        with cat.record(
            "gr4j",
            name="base",
            parameters={"b": 2, "a": float("inf")},
            config={"z": {"é", "a", "c"}, "y": [1.0, None]},
            inputs=[file],
            tags=["b", "a"],
            seed=7,
            period=("2001-01-01", None),
        ) as rec:
            rec.metric("nse", 0.5, n_samples=3)
            rec.table("budget", {"component": ["wells"], "volume": [1.0]})
        texts.append((rec.folder / "run.json").read_text())
    first, second = (leaves(json.loads(text)) for text in texts)
    assert list(first) == list(second)  # in the same order
    different = {path for path in first if first[path] != second[path]}
    files = {path for path in different if path[0] == "files"}  # a table names its run
    assert different - files <= VARYING
    assert {path[2] for path in files} <= {"sha256", "size"}


def test_another_process_differs_only_in_who_it_was(project, python):
    code = """
    import sys, hmp_catalog
    with hmp_catalog.open(sys.argv[1]) as cat:
        with cat.record("gr4j", name="base", config={"tags": {"a", "b", "c", "d"}}, parameters={"x": 1}) as rec:
            pass
    print((rec.folder / "run.json").read_text())
    """
    first, second = (leaves(json.loads(python(code, project))) for _ in range(2))
    different = {path for path in first if first[path] != second[path]}
    assert different <= VARYING | {("run", "owner", "pid"), ("run", "owner", "started")}


def test_a_manifest_can_be_read_by_anybody(folder):
    text = (folder / "run.json").read_text(encoding="utf-8")
    found = json.loads(text)
    assert '"a": "é"' in text
    assert (found["format"], found["version"]) == ("hmp-run", 1)
    assert found["run"]["status"] == "completed"


def test_a_manifest_comes_back_with_its_hash(run, folder):
    content, checksum = manifest.read(folder)
    assert content["run"]["sim_id"] == run.sim_id
    assert re.fullmatch("[0-9a-f]{64}", checksum)
    event = manifest.sealing_event(content, checksum)
    assert event.payload["sha256"] == checksum


def edited(folder, change):
    file = folder / "run.json"
    text = file.read_text()
    changed = change(text)
    assert changed != text
    file.write_text(changed)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace('"value": 0.5', '"value": 0.9'),
        lambda text: text.replace("completed", "failed"),
        lambda text: text.replace('"checksum": "', '"checksum": "0'),
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: "[]",
        lambda text: "null",
        lambda text: '"hmp-run"',
        lambda text: "{}",
        lambda text: text.replace("hmp-run", "other"),
        lambda text: text.replace('"version": 1', '"version": "one"'),
        lambda text: "[" * 100_000,
        lambda text: text.replace("é", "e"),
        lambda text: re.sub(r'"checksum": "[0-9a-f]+"', '"other": 1', text),
        lambda text: re.sub(r'"sim_id": "[^"]+"', '"sim_id": "x"', text),
    ],
)
def test_a_changed_manifest_is_told(folder, change):
    edited(folder, change)
    with pytest.raises(CorruptError, match=r"run\.json"):
        manifest.read(folder)


def test_bytes_that_are_no_text_are_told(folder):
    (folder / "run.json").write_bytes(b"\xff\xfe" * 100)
    with pytest.raises(CorruptError):
        manifest.read(folder)


def test_a_folder_in_its_place_is_told(folder):
    (folder / "run.json").unlink()
    (folder / "run.json").mkdir()
    with pytest.raises(CorruptError):
        manifest.read(folder)


def test_a_newer_manifest_is_not_guessed_at(folder):
    edited(folder, lambda text: text.replace('"version": 1', '"version": 2').replace("checksum", "signature"))
    with pytest.raises(SchemaTooNewError) as caught:
        manifest.read(folder)
    assert (caught.value.found, caught.value.known) == (2, 1)


@pytest.mark.parametrize("where", ["nothing", "file"])
def test_no_manifest_is_no_file(tmp_path, where):
    (tmp_path / "file").write_text("x")
    with pytest.raises(FileNotFoundError):
        manifest.read(tmp_path / where)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../x", "/etc", "a\\b"])
def test_a_run_folder_is_one_name(tmp_path, name):
    with pytest.raises(ValueError, match="run folder"):
        manifest.run_folder(tmp_path, name)
