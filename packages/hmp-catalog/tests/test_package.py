"""From project to project in one file: every value arrives, and what is wrong is refused before a byte is written."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import hmp_catalog
from hmp_catalog import manifest, package
from hmp_catalog.errors import PackageConflict
from hmp_core import tarball
from hmp_core.errors import (
    ArchiveInvalid,
    CorruptError,
    InvalidInput,
    NotWritable,
    PathNotFound,
    PathTaken,
    SchemaTooNewError,
)
from hmp_core.identity import sha256_bytes, sha256_file
from hmp_core.layout import init_project, init_workspace
from hmp_core.testing.traces import differences, trace

DAYS = pd.date_range("2001-01-01", periods=30, name="time")
HEADS = np.random.default_rng(1).normal(size=(30, 2, 7, 5)).astype("f4")


@pytest.fixture
def run(cat, workspace):
    """Return a run with everything: values, tables, fields, an artefact, an input, things that were said later."""
    rain = workspace / "data" / "rain.csv"
    rain.write_text("time,rain\n2001-01-01,1.5\n")
    (workspace / "report.txt").write_text("all is well")
    about = {
        "parameters": {"x1": 320.0, "kind": "dry"},
        "tags": ["a"],
        "config": {"dt": 1},
        "inputs": [rain],
        "seed": 7,
    }
    with cat.record("modflow6", name="base", description="a dry year", **about) as rec:
        rec.metric("nse", 0.5)
        rec.timeseries("discharge", pd.Series(np.arange(30.0), index=DAYS), unit="m3 s-1")
        rec.table("budget", {"component": ["wells"], "volume": [1.5]})
        rec.field("head", HEADS, time=DAYS, coords={"x": np.arange(5.0)})
        rec.artifact(workspace / "report.txt")
    return cat["base"].tag("paper", "-a").note("worth a look").metric("kge", 0.7).rename("dry base")


@pytest.fixture
def file(cat, run, tmp_path) -> Path:
    return cat.export_package(run, tmp_path / "base.hmprun").path


@pytest.fixture
def other(tmp_path):
    """Return the catalog of an empty project elsewhere."""
    project = init_project(init_workspace(tmp_path / "elsewhere").path, "loire").path
    with hmp_catalog.open(project, create=True) as catalog:
        yield catalog


def told(run: hmp_catalog.Run) -> dict:
    """Return all that a run says and left behind, wherever it is."""
    said = {k: v for k, v in run.summary().items() if k not in {"project", "storage_basename", "owner", "updated_at"}}
    return said | {
        "config": run.config,
        "environment": run.environment,
        "files": {f["path"]: _bytes(run, f["path"]) for f in run.files()},
        "heads": run.dataset()["head"].values.tolist(),
        "flow": run.timeseries("discharge").tolist(),
        "budget": run.table("budget").to_pylist(),
        "provenance": run.provenance.to_pylist(),
    }


def _bytes(run: hmp_catalog.Run, path: str) -> bytes:
    with run.open(path) as file:
        return file.read()


def rewritten(file: Path, change) -> Path:
    """Return a package whose list was changed, and is whole otherwise."""
    content = package.verify(file).content
    with tarfile.open(file) as archive:
        data = {each.name: archive.extractfile(each).read() for each in archive}
    content = json.loads(json.dumps(content))
    change(content, data)
    target = file.with_name("changed.hmprun")
    with target.open("wb") as sink:
        said = package.listed(content)
        tarball.put(sink, package.LIST, len(said), [said])
        for member in package.members(content):
            tarball.put(sink, member.name, len(data[member.name]), [data[member.name]])
        tarball.finish(sink)
    return target


def test_every_value_arrives_in_an_empty_project(run, file, other, contents) -> None:
    (came,) = other.import_package(file)
    assert told(came) == told(run)
    assert (came.name, came.sim_id) == ("dry base", run.sim_id)
    assert (came.facts["project"], came.facts["notes"], came.tags) == ("loire", "worth a look", ["paper"])
    assert came.metrics == {"nse": 0.5, "kge": 0.7}
    kept = came.manifest["imported"]
    assert [k["project"] for k in kept] == ["aare"]
    assert kept[0]["manifest_sha256"] == sha256_file(run.folder / "run.json")
    before = contents(other.path)
    assert not other.rebuild()
    assert contents(other.path) == before


def test_export_and_import_are_on_the_audit_trail(cat, file, other) -> None:
    other.import_package(file)
    question = "SELECT event_type, payload FROM audit_log WHERE event_type IN ('export', 'import')"
    for catalog, kind in ((cat, "export"), (other, "import")):
        (row,) = catalog.sql(question).to_pylist()
        assert (row["event_type"], json.loads(row["payload"])["package"]) == (kind, sha256_file(file))


@pytest.mark.parametrize("verb", ["export", "import", "import as", "pack", "unpack"])
def test_a_catalog_that_is_only_read_makes_no_file(run, file, project, tmp_path, verb) -> None:
    """It was refused when the event was to be written, and the file was there already."""
    if verb == "unpack":
        run.pack()
    with hmp_catalog.open(project, read_only=True) as reader:
        verbs = {
            "export": lambda: reader.export_package("dry base", tmp_path / "again.hmprun"),
            "import": lambda: reader.import_package(file, force=True),
            "import as": lambda: reader.import_package(file, rename=True, as_project="other"),
            "pack": reader["dry base"].pack,
            "unpack": reader["dry base"].unpack,
        }
        assert len(reader) == 1
        before = trace(tmp_path)
        with pytest.raises(NotWritable, match="read-only"):
            verbs[verb]()
    assert [each for each in differences(before, trace(tmp_path)) if "catalog.duckdb.lock" not in each] == []


def test_a_package_that_cannot_be_put_on_record_is_not_written(cat, run, tmp_path) -> None:
    cat.close()
    pending = cat.path / ".hmp" / "catalog" / "pending"
    shutil.rmtree(pending)
    pending.write_text("nothing can be appended here")
    with hmp_catalog.open(cat.path) as again, pytest.raises(FileExistsError):
        again.export_package(run.sim_id, tmp_path / "base.hmprun")
    assert not list(tmp_path.glob("*base.hmprun*"))


def test_a_packed_run_gives_the_same_package(cat, run, file, tmp_path) -> None:
    def parts(path: Path) -> dict:
        return {m.name: m.sha256 for m in package.verify(path).members}

    run.pack()
    assert parts(cat.export_package("dry base", tmp_path / "packed.hmprun").path) == parts(file)


def test_tar_reads_a_package(file) -> None:
    with tarfile.open(file) as archive:
        names = archive.getnames()
    assert names[0] == "package.json"
    assert any(name.endswith("/files/tables/budget.parquet") for name in names)


def test_several_runs_go_in_one_file(cat, record, run, other, tmp_path) -> None:
    record(cat, "wet", metrics={"nse": 0.9})
    found = cat.export_package(cat.find(), tmp_path / "all.hmprun")
    assert len(found.runs) == 2
    assert sorted(each.name for each in other.import_package(found.path)) == ["dry base", "wet"]
    assert other.best("nse").name == "wet"


# ── what is refused ──────────────────────────────────────────────────────────────────────────────────


def test_any_changed_byte_is_refused_before_any_write(file, other) -> None:
    whole = file.read_bytes()
    before = trace(other.workspace, locks=False)
    for at in np.linspace(0, len(whole) - 1, 80).astype(int):
        spoilt = bytearray(whole)
        spoilt[at] ^= 0x20
        file.write_bytes(spoilt)
        with pytest.raises(ArchiveInvalid):
            other.import_package(file)
    for cut in (0, 100, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:cut])
        with pytest.raises(ArchiveInvalid):
            other.import_package(file)
    file.write_bytes(whole + b"\0")
    with pytest.raises(ArchiveInvalid, match="something follows"):
        other.import_package(file)
    assert differences(before, trace(other.workspace, locks=False)) == []


def _escape(name: str):
    def change(content, data) -> None:
        said = content["runs"][0]["files"][0]
        data[f"runs/{content['runs'][0]['sim_id']}/files/{name}"] = b"x"
        said |= {"path": name, "size": 1, "sha256": sha256_bytes(b"x")}

    return change


def _bomb(content, data) -> None:
    content["runs"][0]["files"][0]["size"] = 1 << 50


def _twice(content, data) -> None:
    content["runs"].append(content["runs"][0])


def _stranger(content, data) -> None:
    """The manifest says other files than the list."""
    content["runs"][0]["files"].pop()


def _other_values(content, data) -> None:
    """The values of the manifest were changed, and the list was made to fit."""
    run = content["runs"][0]
    name = f"runs/{run['sim_id']}/run.json"
    data[name] = data[name].replace(b"320.0", b"321.0")
    run["manifest"]["sha256"] = sha256_bytes(data[name])


def _foreign_event(content, data) -> None:
    run = content["runs"][0]
    name = f"runs/{run['sim_id']}/events.jsonl"
    data[name] = data[name].replace(b'"run.tagged"', b'"run.purged"')
    run["events"] = {"size": len(data[name]), "sha256": sha256_bytes(data[name])}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_escape("../../../evil.txt"), "stays inside"),
        (_escape("/etc/evil"), "is no member"),
        (_escape("tables\\evil"), "backslash"),
        (_escape("run.json"), "differ"),
        (_escape("files.zip"), "differ"),
        (_bomb, "announces more than"),
        (_twice, "the same name"),
        (_stranger, "differ"),
        (_other_values, "changed after it was sealed"),
        (_foreign_event, "of another run"),
    ],
)
def test_a_package_that_was_made_to_deceive_is_refused(file, other, change, says) -> None:
    def and_change(content, data) -> None:
        change(content, data)

    before = trace(other.workspace, locks=False)
    try:
        spoilt = rewritten(file, and_change)
    except ArchiveInvalid:  # a size that is not there cannot even be written: write the list alone
        content = json.loads(json.dumps(package.verify(file).content))
        change(content, {})
        spoilt, said = file.with_name("changed.hmprun"), package.listed(content)
        sink = io.BytesIO()
        tarball.put(sink, package.LIST, len(said), [said])
        spoilt.write_bytes(sink.getvalue())
    with pytest.raises(ArchiveInvalid, match=says):
        other.import_package(spoilt)
    assert differences(before, trace(other.workspace, locks=False)) == []


@pytest.mark.parametrize("newer", ["package", "run"])
def test_a_newer_version_is_refused(file, other, newer) -> None:
    def change(content, data) -> None:
        run = content["runs"][0]
        name = f"runs/{run['sim_id']}/run.json"
        if newer == "package":
            content["version"] = 2
        else:
            data[name] = data[name].replace(b'"version": 1', b'"version": 2')
            run["manifest"]["sha256"] = sha256_bytes(data[name])

    with pytest.raises(SchemaTooNewError, match="upgrade hmp-catalog"):
        other.import_package(rewritten(file, change))
    assert len(other) == 0


def test_another_file_than_was_announced_is_refused(file, other) -> None:
    with pytest.raises(InvalidInput, match="it is another package"):
        other.import_package(file, sha256="0" * 64)
    assert len(other.import_package(file, sha256=sha256_file(file))) == 1


def test_what_is_no_package_is_refused(other, tmp_path) -> None:
    (tmp_path / "x").write_bytes(b"x" * 10000)
    with pytest.raises(ArchiveInvalid, match=r"begin with package\.json"):
        other.import_package(tmp_path / "x")
    with pytest.raises(PathNotFound, match="no such package"):
        other.import_package(tmp_path / "y")


# ── runs that are here already ───────────────────────────────────────────────────────────────────────


def test_a_run_that_is_here_is_a_conflict_and_the_whole_package_is_refused(cat, record, run, other, tmp_path) -> None:
    record(cat, "wet")
    other.import_package(cat.export_package(run, tmp_path / "one.hmprun").path)
    both = cat.export_package(cat.find(), tmp_path / "both.hmprun").path
    with pytest.raises(PackageConflict, match="rename=True") as caught:
        other.import_package(both)
    assert caught.value.sim_ids == [run.sim_id]
    assert len(other) == 1


def test_force_restores_files_and_takes_what_was_said_since(cat, run, file, other, tmp_path) -> None:
    (came,) = other.import_package(file)
    expected = told(came)
    shutil.rmtree(came.folder / "tables")
    (came.folder / "artifacts" / "report.txt").write_text("all is ill")
    run.tag("later")
    (again,) = other.import_package(cat.export_package(run, tmp_path / "again.hmprun").path, force=True)
    assert told(again) == expected | {"tags": ["later", "paper"]}


def test_force_replaces_a_damaged_pack(file, other) -> None:
    (came,) = other.import_package(file)
    expected = told(came)
    came.pack()
    (came.folder / "files.zip").write_bytes(b"damaged")
    (again,) = other.import_package(file, force=True)
    assert told(again) == expected


def test_force_never_replaces_another_recording(file, other, record, run) -> None:
    record(other, "mine", sim_id=run.sim_id)
    with pytest.raises(PackageConflict, match="another recording"):
        other.import_package(file, force=True)
    assert other["mine"].solver == "gr4j"


def test_renamed_runs_are_beside_the_ones_that_are_here(run, file, other) -> None:
    (first,) = other.import_package(file)
    (second,) = other.import_package(file, rename=True)
    assert first.sim_id != second.sim_id
    assert second.manifest["imported"][0]["sim_id"] == run.sim_id
    same = ("tags", "files", "heads", "metrics", "parameters", "notes")
    assert [told(first)[key] for key in same] == [told(second)[key] for key in same]
    assert len(other.find(name="dry base")) == 2


def test_a_run_may_go_to_another_project_of_the_same_workspace(cat, file) -> None:
    (came,) = cat.import_package(file, as_project="copy")
    assert came.project == cat.workspace / "projects" / "copy"
    assert came.facts["project"] == "copy"
    assert told(came)["flow"] == list(range(30))


def test_a_dry_run_verifies_and_writes_nothing(file, other) -> None:
    before = trace(other.workspace, locks=False)
    assert other.import_package(file, dry_run=True) == []
    assert other.import_package(file, dry_run=True, as_project="new") == []
    assert differences(before, trace(other.workspace, locks=False)) == []
    other.import_package(file)
    with pytest.raises(PackageConflict):
        other.import_package(file, dry_run=True)


# ── inputs ───────────────────────────────────────────────────────────────────────────────────────────


def test_inputs_come_along_when_asked_for(cat, run, other, tmp_path) -> None:
    found = cat.export_package(run, tmp_path / "full.hmprun", with_inputs=True)
    assert [each["paths"] for each in found.inputs] == [["data/rain.csv"]]
    other.import_package(found.path)
    assert (other.workspace / "data" / "rain.csv").read_text().endswith("1.5\n")


def test_an_input_never_takes_the_place_of_another_file(cat, run, other, tmp_path) -> None:
    (other.workspace / "data" / "rain.csv").write_text("mine")
    other.import_package(cat.export_package(run, tmp_path / "full.hmprun", with_inputs=True).path)
    assert (other.workspace / "data" / "rain.csv").read_text() == "mine"
    (beside,) = (other.workspace / "data" / "imported").rglob("rain.csv")
    assert beside.read_text().endswith("1.5\n")


def test_an_input_that_changed_since_is_named_and_stays(cat, run, tmp_path) -> None:
    (cat.workspace / "data" / "rain.csv").write_text("other rain")
    found = cat.export_package(run, tmp_path / "full.hmprun", with_inputs=True)
    assert (found.inputs, [each["path"] for each in found.content["missing_inputs"]]) == ([], ["data/rain.csv"])


# ── exporting ────────────────────────────────────────────────────────────────────────────────────────


def test_a_file_that_is_there_is_not_replaced(cat, run, file) -> None:
    with pytest.raises(PathTaken, match="overwrite=True"):
        cat.export_package(run, file)
    assert cat.export_package(run, file, overwrite=True).path == file


def test_a_damaged_run_is_not_exported(cat, run, tmp_path) -> None:
    (run.folder / "artifacts" / "report.txt").write_text("all is ill")
    with pytest.raises(CorruptError, match=r"report.txt is not as it was sealed"):
        cat.export_package(run, tmp_path / "base.hmprun")
    assert list(tmp_path.glob("*base.hmprun*")) == []


def test_only_sealed_runs_are_exported(cat, tmp_path) -> None:
    rec = cat.record("gr4j", name="open")
    with pytest.raises(PathNotFound, match="only a sealed run"):
        cat.export_package("open", tmp_path / "open.hmprun")
    rec.seal()
    with pytest.raises(InvalidInput, match="no simulation"):
        cat.export_package([], tmp_path / "none.hmprun")


def test_the_commands(run, file, other, hmp, tmp_path) -> None:
    project = run.project
    done = hmp("catalog", "export", "dry base", "-o", tmp_path / "x.hmprun", "-p", project, "--format", "json")
    said = json.loads(done.stdout)
    assert (said["simulations"], said["sha256"]) == (1, sha256_file(tmp_path / "x.hmprun"))
    done = hmp("catalog", "import", tmp_path / "x.hmprun", "-p", other.path, "--sha256", said["sha256"], "--json")
    assert json.loads(done.stdout)["sim_id"] == run.sim_id, done
    done = hmp("catalog", "import", tmp_path / "x.hmprun", "-p", other.path)
    assert done.returncode == 2
    assert "--rename" in done.stderr


# ── killed ───────────────────────────────────────────────────────────────────────────────────────────

VICTIM = """
import os, signal, sys
import hmp_catalog, hmp_catalog.importing
from hmp_core.events import EventStore
def die(*a, **k):
    os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[3] == "before the files":
    hmp_catalog.importing._move = die
elif sys.argv[3] == "before the seal":
    commit = EventStore.commit
    EventStore.commit = lambda self, events: die() if events[0].kind == "run.sealed" else commit(self, events)
else:
    hmp_catalog.importing._tell = die
hmp_catalog.open(sys.argv[1]).import_package(sys.argv[2])
"""


@pytest.mark.parametrize("when", ["before the files", "before the seal", "before what was said since"])
def test_killed_while_importing(run, file, other, spawn, when, contents) -> None:
    with spawn(VICTIM, other.path, file, when) as (victim,):
        assert victim.wait() == -signal.SIGKILL
    # a manifest that is in place tells its run; else it is interrupted, and comes with the next attempt
    if when == "before the files":
        assert other[run.sim_id].status == "interrupted"
        (came,) = other.import_package(file)
    else:
        assert other[run.sim_id].status == "completed"
        (came,) = other.import_package(file, force=True)
    assert told(came) == told(run)
    assert not other.notice
    assert not other.rebuild()
    assert manifest.read(came.folder)[0]["run"]["project"] == "loire"
    assert os.listdir(other.path / "simulations") == [came.folder.name]
