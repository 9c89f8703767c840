"""A run as an RO-Crate: what lies in it, what is said of it, that it is whole, and that others read it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

import hydromodpy as hmp
from exported import HOME, HOST, SECRET, World, file, record, world
from hmp_core.cli.main import main
from hmp_core.errors import CorruptError, MissingPart, PathNotFound, PathTaken
from hydromodpy import Workspace
from hydromodpy.exports import ro_crate
from hydromodpy.exports.crate import crate_of
from hydromodpy.exports.told import Item, tell

rocrate = pytest.importorskip("rocrate.rocrate", reason="crates are made and read with rocrate (extra [export])")


@pytest.fixture(scope="module")
def dry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Make a run that has everything; no test changes it."""
    home = tmp_path_factory.mktemp("exported")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HMP_STATE_HOME", str(home / "state"))
        made = world(home)
        made.run.metric("kge", 0.7)
        yield made
        made.workspace.close()


@pytest.fixture(scope="module")
def crate(dry: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the crate of that run, with its inputs, as a folder."""
    return ro_crate(dry.run, tmp_path_factory.mktemp("crates") / "dry", license="CC-BY-4.0", with_inputs=True)


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with hmp.init(tmp_path / "fulda") as made:
        yield made


def entities(crate: Path) -> dict[str, dict[str, Any]]:
    """Return what is said in a crate, by name."""
    content = json.loads((crate / "ro-crate-metadata.json").read_text())
    return {one["@id"]: one for one in content["@graph"]}


def many(value: Any) -> list[str]:
    """Return the names that a property points to."""
    return [one["@id"] for one in (value if isinstance(value, list) else [value])]


def checked(crate: Path) -> None:
    """Hold every file of a crate to its hash, with a tool that knows nothing of us."""
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", "--quiet", "sha256.txt"], cwd=crate, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    listed = len((crate / "sha256.txt").read_bytes().splitlines())
    there = sum(one.is_file() for one in crate.rglob("*"))
    assert there == listed + len(["ro-crate-metadata.json", "sha256.txt"])


# ── what lies in it ──────────────────────────────────────────────────────────────────────────────────


def test_every_file_of_the_run_lies_in_it_with_its_hash(crate: Path, dry: World) -> None:
    for said in dry.run.files():
        assert hashlib.sha256((crate / said["path"]).read_bytes()).hexdigest() == said["sha256"]
    checked(crate)


def test_what_is_said_of_a_file_is_so(crate: Path) -> None:
    """Names are those of files in the crate, percent-encoded; sizes and hashes are theirs."""
    there = rocrate.ROCrate(crate)
    files = [one for one in there.data_entities if one.type == "File"]
    assert {"artifacts/a%20report%231%2050%25.txt", "tables/timeseries.parquet"} <= {one.id for one in files}
    for one in files:
        data = Path(one.source).read_bytes()
        assert (int(one["contentSize"]), one["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())


def test_rocrate_reads_back_what_was_written(crate: Path) -> None:
    content = json.loads((crate / "ro-crate-metadata.json").read_text())
    again = rocrate.ROCrate(crate).metadata.generate()
    by_name = lambda graph: {one["@id"]: one for one in graph}  # noqa: E731
    assert by_name(again["@graph"]) == by_name(content["@graph"])


def test_a_zip_holds_the_same_as_a_folder(crate: Path, dry: World, tmp_path: Path) -> None:
    packed = ro_crate(dry.run, tmp_path / "dry.zip", license="CC-BY-4.0", with_inputs=True)
    with zipfile.ZipFile(packed) as archive:
        assert archive.testzip() is None
        names = [name for name in archive.namelist() if not name.endswith("/")]
        assert len(set(names)) == len(names)
        members = {name: archive.read(name) for name in names}
    assert members == {one.relative_to(crate).as_posix(): one.read_bytes() for one in crate.rglob("*") if one.is_file()}


def test_a_run_that_is_packed_gives_the_same_crate(workspace: Workspace, tmp_path: Path) -> None:
    catalog = workspace.project("base").catalog
    with catalog.record("gr4j", name="base") as rec:
        rec.timeseries("discharge", (["2001-01-01"], [4.2]), unit="m3 s-1")
        rec.field("storage", [[12.0, 8.5]], dims=("y", "x"), units="mm")
    loose = ro_crate(catalog["base"], tmp_path / "loose.zip").read_bytes()
    assert ro_crate(catalog["base"].pack(), tmp_path / "packed.zip").read_bytes() == loose


def test_the_same_run_gives_the_same_bytes_in_any_process_and_place(dry: World, tmp_path: Path) -> None:
    here = ro_crate(dry.run, tmp_path / "here.zip", with_inputs=True)
    shutil.copytree(dry.workspace.path, tmp_path / "copy")
    script = (
        "import sys, hydromodpy as hmp; from hydromodpy.exports import ro_crate\n"
        "with hmp.open(sys.argv[1]) as cat: ro_crate(cat['dry year'], sys.argv[2], with_inputs=True)"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "copy" / "projects" / "base"), str(tmp_path / "there.zip")]
    environment = os.environ | {"PYTHONHASHSEED": "7", "HMP_USER": "somebody else", "TZ": "Asia/Tokyo"}
    done = subprocess.run(command, capture_output=True, check=False, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "there.zip").read_bytes() == here.read_bytes()


# ── what is said in it ───────────────────────────────────────────────────────────────────────────────


def test_the_run_is_an_action_of_the_profile(crate: Path, dry: World) -> None:
    said = entities(crate)
    assert said["ro-crate-metadata.json"]["conformsTo"] == {"@id": "https://w3id.org/ro/crate/1.1"}
    assert said["./"]["conformsTo"] == {"@id": "https://w3id.org/ro/wfrun/process/0.5"}
    action = said[f"urn:uuid:{dry.run.sim_id}"]
    assert (action["@type"], action["actionStatus"]) == ("CreateAction", "http://schema.org/CompletedActionStatus")
    assert f"urn:uuid:{dry.run.sim_id}" in many(said["./"]["mentions"])
    assert said["./"]["datePublished"] == action["endTime"]
    assert said["./"]["license"] == {"@id": "https://spdx.org/licenses/CC-BY-4.0"}
    assert (said["./"]["name"], said["./"]["keywords"]) == ("dry year", "paper")


def test_objects_are_inputs_and_parameters_and_results_are_files_and_metrics(crate: Path, dry: World) -> None:
    said = entities(crate)
    action = said[f"urn:uuid:{dry.run.sim_id}"]
    objects = {said[name]["name"]: said[name] for name in many(action["object"])}
    results = {said[name]["name"]: said[name] for name in many(action["result"])}
    assert (objects["x1"]["value"], objects["levels"]["value"], objects["method"]["value"]) == (320.0, 3, "implicit")
    assert objects["seed of random numbers"]["value"] == 7
    assert objects["configuration"]["@id"] == "configuration.json"
    assert {"inputs/mesh.txt", "inputs/grids/"} <= set(many(action["object"]))
    assert (results["nse"]["value"], results["rmse"]["value"]) == (0.83, "nan")
    assert {"fields.zarr/", "tables/timeseries.parquet"} <= set(many(action["result"]))
    # measured after the run had ended
    assert "kge" not in results
    assert said["./"]["variableMeasured"] == {"@id": "#metric/kge"}


def test_a_derived_input_leads_to_its_source_upstream(crate: Path, dry: World) -> None:
    said = entities(crate)
    smooth = said["inputs/data/discharge/smoothed/smooth.csv"]
    assert smooth["identifier"] == f"urn:uuid:{dry.smooth.artifact_id}"
    daily = said[smooth["isBasedOn"]["@id"]]
    raw = said[daily["isBasedOn"]["@id"]]
    assert (daily["sha256"], raw["sha256"]) == (dry.daily.sha256, dry.raw.sha256)
    assert raw["license"] == {"@id": "https://spdx.org/licenses/etalab-2.0"}
    assert raw["isBasedOn"] == {"@id": dry.raw.uri}
    assert said[dry.raw.uri]["url"] == dry.raw.uri


def test_a_derivation_is_an_action_of_its_tool(crate: Path, dry: World) -> None:
    said = entities(crate)
    action = said[f"#derivation/{dry.smooth.artifact_id}"]
    tool = said[action["instrument"]["@id"]]
    assert (action["@type"], tool["name"], tool["softwareVersion"]) == ("CreateAction", "smoother", "1.2")
    assert action["result"] == {"@id": "inputs/data/discharge/smoothed/smooth.csv"}
    assert f"urn:uuid:{dry.daily.artifact_id}" in many(action["object"])


def test_software_and_agent_are_named(crate: Path, dry: World) -> None:
    said = entities(crate)
    action = said[f"urn:uuid:{dry.run.sim_id}"]
    solver = next(said[one] for one in many(action["instrument"]) if said[one]["@type"] == "SoftwareApplication")
    assert (solver["name"], solver["softwareVersion"]) == ("gr4j", "gr4j 4.2")
    assert solver["sha256"] == dry.run.environment["solver_binary_sha256"]
    on = {said[one]["name"]: said[one]["softwareVersion"] for one in many(solver["softwareRequirements"])}
    assert on["Python"] == dry.run.environment["python_version"]
    assert on["hmp-core"] == dry.run.environment["packages"]["hmp-core"]
    agent = said[action["agent"]["@id"]]
    assert (agent["@type"], agent["name"]) == ("Person", dry.run.facts["principal_id"])
    assert said[agent["contactPoint"]["@id"]]["email"] == "ben@example.org"


def test_code_under_version_control_is_named(tmp_path: Path) -> None:
    """The commit of the folder that the run was made in, and that it had changes."""
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "model.py").write_text("1\n")
    git = ["git", "-c", "user.name=anna", "-c", "user.email=a@example.org", "-C", str(folder)]
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "model"]):
        subprocess.run([*git, *words], check=True)
    (folder / "model.py").write_text("2\n")
    script = (
        "import sys, hydromodpy as hmp; from hydromodpy.exports import ro_crate\n"
        "with hmp.init(sys.argv[1]) as workspace:\n"
        "    catalog = workspace.project('base').catalog\n"
        "    catalog.record('gr4j', name='base').seal()\n"
        "    ro_crate(catalog['base'], sys.argv[2])"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "aare"), str(tmp_path / "crate")]
    subprocess.run(command, cwd=folder, check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    said = entities(tmp_path / "crate")[f"#code/{commit}"]
    assert (said["@type"], said["version"]) == ("SoftwareSourceCode", commit)
    assert said["description"] == "with changes that were not committed"


def test_every_word_is_known_to_the_context(crate: Path) -> None:
    """A word that is not would silently mean nothing."""
    content = json.loads((crate / "ro-crate-metadata.json").read_text())
    known = json.loads(resources.files("rocrate").joinpath("data/ro-crate.jsonld").read_text())["@context"]
    known = set(known) | set(content["@context"][1]) | {"@id", "@type"}
    words = {word for one in content["@graph"] for word in (*one, one["@type"])}
    assert words - known == set()


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("CC-BY-4.0", "https://spdx.org/licenses/CC-BY-4.0"),
        ("https://example.org/terms", "https://example.org/terms"),
        ("ask Anna", "#license/ask%20Anna"),
        (None, None),
    ],
)
def test_a_licence_is_an_address_an_identifier_or_a_name(
    workspace: Workspace, tmp_path: Path, said: str | None, name: str | None
) -> None:
    found = entities(ro_crate(record(workspace, "base"), tmp_path / "crate", license=said))
    assert found["./"].get("license", {}).get("@id") == name


# ── what does not lie in it ──────────────────────────────────────────────────────────────────────────


def test_without_inputs_the_crate_names_what_it_does_not_contain(dry: World, tmp_path: Path) -> None:
    where = ro_crate(dry.run, tmp_path / "crate")
    said = entities(where)
    assert not (where / "inputs").exists()
    smooth = said[f"urn:uuid:{dry.smooth.artifact_id}"]
    assert (smooth["@type"], smooth["sha256"]) == ("CreativeWork", dry.smooth.sha256)
    for one in dry.run.input_entries():
        assert f"{one.path} (SHA-256 {one.sha256})" in said["./"]["description"]


def test_purged_bytes_are_named_with_their_hash(workspace: Workspace, tmp_path: Path) -> None:
    old = workspace.data.add(file(tmp_path, "q.csv"), variable="discharge", station="outlet")
    run = record(workspace, "base", old)
    workspace.data.add(file(tmp_path, "q.csv", 2.5), variable="discharge", station="outlet")
    kept = ro_crate(run, tmp_path / "kept", with_inputs=True)
    assert hashlib.sha256((kept / "inputs" / old.relative_path).read_bytes()).hexdigest() == old.sha256
    assert "does not contain" not in entities(kept)["./"]["description"]
    workspace.data.prune(superseded=True, force=True, apply=True)
    said = entities(ro_crate(run, tmp_path / "purged", with_inputs=True))
    assert f"{old.relative_path} (purged, SHA-256 {old.sha256})" in said["./"]["description"]
    assert said[f"urn:uuid:{old.artifact_id}"]["creativeWorkStatus"] == "purged"
    assert not (tmp_path / "purged" / "inputs").exists()


def test_an_input_within_another_lies_in_the_crate_once(workspace: Workspace, tmp_path: Path) -> None:
    grids = workspace.path / "grids"
    grids.mkdir()
    for name in ("dem.txt", "soil.txt"):
        (grids / name).write_text(name)
    run = record(workspace, "base", grids / "soil.txt", grids, grids / "dem.txt")
    checked(ro_crate(run, tmp_path / "crate", with_inputs=True))
    where = ro_crate(run, tmp_path / "crate.zip", with_inputs=True)
    with zipfile.ZipFile(where) as archive:
        names = [name for name in archive.namelist() if name.startswith("inputs/")]
    assert names == ["inputs/grids/", "inputs/grids/dem.txt", "inputs/grids/soil.txt"]
    said = entities(tmp_path / "crate")
    assert {"inputs/grids/", "inputs/grids/dem.txt", "inputs/grids/soil.txt"} <= said.keys()


def test_an_input_that_came_in_a_package_and_lies_beside_goes_along(workspace: Workspace, tmp_path: Path) -> None:
    mesh = workspace.path / "mesh.txt"
    mesh.write_text("1 2 3")
    record(workspace, "base", mesh)
    workspace.project("base").catalog.export_package("base", tmp_path / "base.hmprun", with_inputs=True)
    with hmp.init(tmp_path / "aare") as other:
        (other.path / "mesh.txt").write_text("4 5 6")
        (run,) = other.project("base").catalog.import_package(tmp_path / "base.hmprun")
        where = ro_crate(run, tmp_path / "crate", with_inputs=True)
    assert (where / "inputs" / "mesh.txt").read_text() == "1 2 3"
    assert "does not contain" not in entities(where)["./"]["description"]


def test_an_input_of_a_package_leads_to_what_has_its_bytes_here(
    dry: World, workspace: Workspace, tmp_path: Path
) -> None:
    dry.project.catalog.export_package("dry year", tmp_path / "dry.hmprun")
    (run,) = workspace.project("base").catalog.import_package(tmp_path / "dry.hmprun")
    raw = workspace.data.add(file(tmp_path, "q.csv"), variable="discharge", station="outlet")
    shutil.copy(dry.smooth.path, tmp_path / "same.csv")
    same = workspace.data.add(tmp_path / "same.csv", variable="discharge", source="lowpass", parents=[raw])
    said = entities(ro_crate(run, tmp_path / "crate"))
    assert said[f"urn:uuid:{dry.smooth.artifact_id}"]["sameAs"] == {"@id": f"urn:uuid:{same.artifact_id}"}
    assert f"urn:uuid:{raw.artifact_id}" in many(said[f"urn:uuid:{same.artifact_id}"]["isBasedOn"])


def test_what_grew_day_by_day_for_years_is_told_to_its_beginning(workspace: Workspace, tmp_path: Path) -> None:
    used = workspace.data.add(file(tmp_path, "q.csv"), variable="discharge", station="outlet")
    told = tell(record(workspace, "base", used))
    days = [str(used.artifact_id), *(str(UUID(int=day)) for day in range(2000))]
    said = {"path": "q.csv", "sha256": used.sha256, "state": "superseded", "tool": "append"}
    made = {day: Item(day, parents=(before,), **said) for day, before in pairwise(days)}
    grown = replace(told, items=made | {days[-1]: Item(days[-1], **said)})
    found = entities(crate_of(grown, tmp_path / "crate", license=None, with_inputs=False, overwrite=False))
    assert all(found[f"urn:uuid:{day}"]["isBasedOn"] == {"@id": f"urn:uuid:{before}"} for day, before in pairwise(days))


def test_a_parameter_of_a_derivation_may_have_parts(workspace: Workspace, tmp_path: Path) -> None:
    raw = workspace.data.add(file(tmp_path, "q.csv"), variable="discharge", station="outlet")
    parts = {"bounds": {"low": [0, 1]}, "steps": [{"n": 1}]}
    said = {"tool": "lowess 1.0", "parameters": parts, "license": "see /home/anna/terms.txt"}
    made = workspace.data.add(file(tmp_path, "s.csv", 2.5), variable="discharge", source="s", parents=[raw], **said)
    found = entities(ro_crate(record(workspace, "base", made), tmp_path / "crate"))
    values = {one["name"]: one["value"] for one in found.values() if "#derivation" in one["@id"] and "value" in one}
    assert {name: json.loads(value) for name, value in values.items()} == parts
    assert "anna" not in json.dumps(found)


def test_an_input_that_was_edited_does_not_go_along(workspace: Workspace, tmp_path: Path) -> None:
    mesh = workspace.path / "mesh.txt"
    mesh.write_text("1 2 3")
    run = record(workspace, "base", mesh)
    mesh.write_text("4 5 6")
    said = entities(ro_crate(run, tmp_path / "crate", with_inputs=True))
    assert "mesh.txt (modified, SHA-256" in said["./"]["description"]
    assert not (tmp_path / "crate" / "inputs").exists()


def test_no_path_host_or_key_leaves_the_machine(crate: Path, dry: World) -> None:
    hidden = (str(dry.workspace.path.parent), HOME, HOST, SECRET, f"{Path.home()}/")
    for one in (one for one in crate.rglob("*") if one.suffix in {".json", ".txt"}):
        shown = one.read_text()
        assert [secret for secret in hidden if secret in shown] == [], one


def test_the_machine_is_named_when_asked_for(dry: World, tmp_path: Path) -> None:
    said = entities(ro_crate(dry.run, tmp_path / "crate", host=True))
    assert f" on {HOST}" in said[f"urn:uuid:{dry.run.sim_id}"]["description"]


# ── runs of every kind ───────────────────────────────────────────────────────────────────────────────


def test_a_failed_run_is_a_failed_action_with_its_error(workspace: Workspace, tmp_path: Path) -> None:
    catalog = workspace.project("base").catalog
    with pytest.raises(FileNotFoundError), catalog.record("gr4j", name="bad") as rec:
        Path(f"{HOME}/no such.csv").read_text()
    action = entities(ro_crate(catalog[rec.sim_id], tmp_path / "crate"))[f"urn:uuid:{rec.sim_id}"]
    assert action["actionStatus"] == "http://schema.org/FailedActionStatus"
    assert action["error"] == "FileNotFoundError: [Errno 2] No such file or directory: '<path>/no such.csv'"


def test_of_a_run_that_was_killed_there_is_a_description_and_no_file(workspace: Workspace, tmp_path: Path) -> None:
    workspace.project("base").catalog.close()
    script = (
        "import os, signal, sys, hydromodpy as hmp\n"
        "rec = hmp.open(sys.argv[1]).record('gr4j', name='cut')\n"
        "rec.table('budget', {'zone': [1]})\nos.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", script, str(workspace.path / "projects" / "base")], check=False)
    with hmp.open(workspace.path / "projects" / "base") as catalog:
        (run,) = catalog.find(name="cut")
        crate = ro_crate(run, tmp_path / "crate")
    action = entities(crate)[f"urn:uuid:{run.sim_id}"]
    assert action["actionStatus"] == "http://schema.org/FailedActionStatus"
    assert action["error"] == "its process died before it was sealed"
    assert "endTime" not in action
    assert {one.name for one in crate.iterdir()} == {"ro-crate-metadata.json", "sha256.txt"}


def test_a_run_in_the_trash_says_so_and_has_its_files(workspace: Workspace, tmp_path: Path) -> None:
    catalog = workspace.project("base").catalog
    with catalog.record("gr4j", name="old") as rec:
        rec.timeseries("discharge", (["2001-01-01"], [4.2]), unit="m3 s-1")
    crate = ro_crate(catalog["old"].trash(), tmp_path / "crate")
    assert "It lies in the trash of its project." in entities(crate)["./"]["description"]
    assert (crate / "tables" / "timeseries.parquet").is_file()


def test_names_that_are_meant_to_break_something_break_nothing(workspace: Workspace, tmp_path: Path) -> None:
    name = "a \"quoted\" <b>name</b>\\ \u202eתשובה 😀 'x' {y} %00 &amp; :?#[]@!$,;="
    odd = tmp_path / "#1 für 50%25?&'\"<b> .txt"
    odd.write_text("1")
    shutil.copy(odd, workspace.path / odd.name)
    catalog = workspace.project("base").catalog
    with catalog.record("gr4j", name=name, inputs=[workspace.path / odd.name], parameters={name: name}) as rec:
        rec.artifact(odd)
        rec.metric("odd/metric?", 1.0)
    crate = ro_crate(catalog[rec.sim_id], tmp_path / "crate", with_inputs=True)
    checked(crate)
    there = rocrate.ROCrate(crate)
    assert there.name == name
    files = {Path(one.source).name for one in there.data_entities if one.type == "File"}
    assert odd.name in files
    assert all(Path(one.source).exists() for one in there.data_entities)


# ── whole or not at all ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("target", ["crate", "crate.zip"])
def test_a_file_that_is_not_as_it_was_sealed_is_refused_and_nothing_is_left(
    workspace: Workspace, tmp_path: Path, target: str
) -> None:
    catalog = workspace.project("base").catalog
    with catalog.record("gr4j", name="base") as rec:
        rec.timeseries("discharge", (["2001-01-01"], [4.2]), unit="m3 s-1")
    table = catalog["base"].folder / "tables" / "timeseries.parquet"
    table.write_bytes(table.read_bytes()[:-1] + b"x")
    where = tmp_path / "out"
    where.mkdir()
    with pytest.raises(CorruptError, match=r"tables/timeseries\.parquet"):
        ro_crate(catalog["base"], where / target)
    assert list(where.iterdir()) == []


def test_what_is_there_is_left_as_it_is(workspace: Workspace, tmp_path: Path) -> None:
    run = record(workspace, "base")
    taken = tmp_path / "crate"
    taken.mkdir()
    for overwrite in (False, True):
        with pytest.raises(PathTaken):
            ro_crate(run, taken, overwrite=overwrite)
    packed = tmp_path / "crate.zip"
    packed.write_text("mine")
    with pytest.raises(PathTaken):
        ro_crate(run, packed)
    assert packed.read_text() == "mine"
    assert zipfile.is_zipfile(ro_crate(run, packed, overwrite=True))
    with pytest.raises(PathNotFound):
        ro_crate(run, tmp_path / "no" / "such" / "folder.zip")


def test_without_rocrate_it_says_what_to_install(workspace: Workspace, tmp_path: Path) -> None:
    """PROV-JSON needs nothing; a crate names the extra."""
    run = record(workspace, "base")
    script = (
        "import sys; sys.modules['rocrate'] = None; sys.modules['prov'] = None\n"
        "import hydromodpy as hmp; from hydromodpy.exports import prov, ro_crate\n"
        "from hmp_core.errors import MissingPart\n"
        "with hmp.open(sys.argv[1]) as cat:\n"
        "    assert prov(cat['base'])['activity']\n"
        "    try:\n        ro_crate(cat['base'], sys.argv[2])\n"
        "    except MissingPart as error:\n        print(error.install)"
    )
    command = [sys.executable, "-c", script, str(run.project), str(tmp_path / "crate")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == "hmp-hydromodpy[export]\n", done.stderr
    assert issubclass(MissingPart, ImportError)
    assert not (tmp_path / "crate").exists()


# ── the command ──────────────────────────────────────────────────────────────────────────────────────


def test_the_command_names_the_crate_after_the_run(dry: World, tmp_path: Path, hmp: Callable[..., Any]) -> None:
    words = ("--license", "CC-BY-4.0", "--with-inputs", "--project", str(dry.project.path))
    done = hmp("export", "ro-crate", "dry year", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    name = f"{dry.run.folder.name}.crate.zip"
    assert done.stdout.strip().endswith(name)
    assert rocrate.ROCrate(tmp_path / name).name == "dry year"


def test_the_command_leaves_what_is_there(
    dry: World, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(dry.project.path)
    words = ["export", "ro-crate", "dry year", "--output", str(tmp_path / "dry.zip")]
    assert main(words) == 0
    assert main(words) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main([*words, "--overwrite"]) == 0
