"""How runs came to be, as W3C PROV: what it says, that others read it, and that it holds to PROV's constraints."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

import hydromodpy as hmp
from exported import HOME, HOST, SECRET, World, file, record, told, world
from hmp_cache import DataCatalogDuckDB
from hmp_core.cli.main import main
from hmp_core.errors import NotFound, PathNotFound
from hydromodpy import Workspace
from hydromodpy.exports import prov
from hydromodpy.exports.document import text


@pytest.fixture(scope="module")
def dry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Make a run that has everything; no test changes it."""
    home = tmp_path_factory.mktemp("exported")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HMP_STATE_HOME", str(home / "state"))
        patch.setenv("HMP_USER", "https://orcid.org/0000-0002-1825-0097")
        made = world(home)
        made.run.metric("kge", 0.7)
        yield made
        made.workspace.close()


@pytest.fixture(scope="module")
def document(dry: World) -> dict[str, Any]:
    return told(dry.run)


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with hmp.init(tmp_path / "fulda") as made:
        yield made


def named(document: dict[str, Any], kind: str, label: str) -> str:
    """Return the name of the thing of that label."""
    (found,) = (name for name, said in document[kind].items() if said.get("prov:label") == label)
    return found


def pairs(document: dict[str, Any], relation: str, first: str, second: str) -> set[tuple[str, str]]:
    """Return what a relation relates."""
    said = document.get(relation, {}).values()
    return {(one[f"prov:{first}"], one[f"prov:{second}"]) for one in said if f"prov:{second}" in one}


# ── what PROV demands ────────────────────────────────────────────────────────────────────────────────

#: Relation -> the kinds of what it relates (PROV-CONSTRAINTS, constraint 50).
TYPES = {
    "used": {"activity": "activity", "entity": "entity"},
    "wasGeneratedBy": {"entity": "entity", "activity": "activity"},
    "wasDerivedFrom": {"generatedEntity": "entity", "usedEntity": "entity", "activity": "activity"},
    "wasAssociatedWith": {"activity": "activity", "agent": "agent", "plan": "entity"},
    "actedOnBehalfOf": {"delegate": "agent", "responsible": "agent", "activity": "activity"},
    "wasInformedBy": {"informed": "activity", "informant": "activity"},
    "wasInvalidatedBy": {"entity": "entity"},
    "alternateOf": {"alternate1": "entity", "alternate2": "entity"},
    "wasInfluencedBy": {},
}


def broken(document: dict[str, Any]) -> list[str]:
    """Return the constraints of PROV (https://www.w3.org/TR/prov-constraints/) that a document does not hold to."""
    found = []
    kinds = {name: kind for kind in ("entity", "activity", "agent") for name in document.get(kind, {})}
    if sum(len(document.get(kind, {})) for kind in ("entity", "activity", "agent")) != len(kinds):
        found.append("55: a thing is an entity and an activity")
    for relation in document.keys() - {"prefix", "entity", "activity", "agent"}:
        for said in document[relation].values():
            for role, kind in TYPES[relation].items():
                if f"prov:{role}" in said and kinds.get(said[f"prov:{role}"]) != kind:
                    found.append(f"50: {relation} has {said[f'prov:{role}']} as its {role}")
    return found + _out_of_order(document) + _in_a_circle(document)


def _out_of_order(document: dict[str, Any]) -> list[str]:
    found = []
    makers: dict[str, str] = {}
    for said in document.get("wasGeneratedBy", {}).values():
        if makers.setdefault(said["prov:entity"], said["prov:activity"]) != said["prov:activity"]:
            found.append(f"39: {said['prov:entity']} was generated twice")
        activity = document["activity"][said["prov:activity"]]
        if not activity.get("prov:startTime", "") <= said["prov:time"] <= activity["prov:endTime"]:
            found.append(f"33, 34: {said['prov:entity']} was generated outside its activity")
    born = {said["prov:entity"]: said["prov:time"] for said in document.get("wasGeneratedBy", {}).values()}
    gone = {said["prov:entity"]: said["prov:time"] for said in document.get("wasInvalidatedBy", {}).values()}
    for said in document.get("used", {}).values():
        activity, entity = document["activity"][said["prov:activity"]], said["prov:entity"]
        if born.get(entity, "") > activity.get("prov:endTime", "9"):
            found.append(f"37: {entity} was used before it was there")
        if activity.get("prov:startTime", "") > gone.get(entity, "9"):
            found.append(f"38: {entity} was used after it was gone")
    found += [f"36: {entity} was gone before it was there" for entity in gone if gone[entity] < born.get(entity, "")]
    for newer, older in pairs(document, "wasDerivedFrom", "generatedEntity", "usedEntity"):
        if born.get(newer, "9") < born.get(older, ""):
            found.append(f"41: {newer} is older than what it was derived from")
    return found


def _in_a_circle(document: dict[str, Any]) -> list[str]:
    edges = pairs(document, "wasDerivedFrom", "generatedEntity", "usedEntity")
    reached, former = set(edges), set[tuple[str, str]]()
    while reached != former:
        former, reached = reached, reached | {(a, d) for a, b in reached for c, d in edges if b == c}
    return [f"42: {a} was derived from itself" for a, b in reached if a == b]


def test_the_judge_of_constraints_can_fail(document: dict[str, Any]) -> None:
    def spoiled(**relations: dict[str, str]) -> list[str]:
        copy = json.loads(json.dumps(document))
        for relation, said in relations.items():
            copy.setdefault(relation, {})["_:odd"] = said
        return [line.partition(":")[0] for line in broken(copy)]

    run = named(document, "activity", "dry year")
    smooth = next(name for name in document["entity"] if "smoothed" in document["entity"][name]["prov:label"])
    raw = next(name for name in document["entity"] if "gauges" in document["entity"][name]["prov:label"])
    late = {"prov:entity": smooth, "prov:activity": run, "prov:time": "2999-01-01T00:00:00.000+00:00"}
    assert {"39", "33, 34", "37"} <= set(spoiled(wasGeneratedBy=late))
    assert "50" in spoiled(used={"prov:activity": run, "prov:entity": "hmp:nothing"})
    early = "1999-01-01T00:00:00.000+00:00"
    assert {"36", "38"} <= set(spoiled(wasInvalidatedBy={"prov:entity": smooth, "prov:time": early}))
    assert {"41", "42"} <= set(spoiled(wasDerivedFrom={"prov:generatedEntity": raw, "prov:usedEntity": smooth}))


def parsed(document: dict[str, Any]) -> Any:
    """Return a document as the package prov reads it, after it was read back from what that writes."""
    model = pytest.importorskip("prov.model", reason="the package prov reads what is exported")
    found = model.ProvDocument.deserialize(content=json.dumps(document), format="json")
    again = model.ProvDocument.deserialize(content=found.serialize(format="json"), format="json")
    # as text: NaN is not equal to itself
    assert flat(json.loads(again.serialize(format="json"))) == flat(json.loads(found.serialize(format="json")))
    return found


def flat(document: dict[str, Any]) -> dict[str, list[str]]:
    """Return the lines of a document by kind, whatever its relations are called, a list of one as the one."""
    found: dict[str, list[str]] = {}
    for kind in document.keys() - {"prefix"}:
        for name, said in document[kind].items():
            values = {key: _flat(value) for key, value in said.items()}
            found.setdefault(kind, []).append(json.dumps([name if name[0] != "_" else "", values], sort_keys=True))
        found[kind].sort()
    return found


def _flat(value: Any) -> Any:
    if isinstance(value, list):
        return sorted((_flat(one) for one in value), key=json.dumps) if len(value) > 1 else _flat(value[0])
    if isinstance(value, dict) and value.get("type", "").startswith("xsd:"):
        return str(float(value["$"])) if value["type"] in NUMBERS else str(value["$"]).lower()
    if isinstance(value, (int, float)):
        return str(value).lower() if isinstance(value, bool) else str(float(value))
    # they say moments to the microsecond
    return re.sub(r"(T[0-9:]{8}\.\d{3})000\+", r"\1+", value) if isinstance(value, str) else value


NUMBERS = {"xsd:double", "xsd:long", "xsd:integer", "xsd:int"}


def test_prov_reads_all_of_it_and_writes_the_same(document: dict[str, Any]) -> None:
    """Nothing is lost or changed on the way through another implementation, to the attribute."""
    assert flat(json.loads(parsed(document).serialize(format="json"))) == flat(document)


def test_the_constraints_hold(document: dict[str, Any]) -> None:
    assert broken(document) == []


# ── what it says ─────────────────────────────────────────────────────────────────────────────────────


def test_the_run_is_an_activity_with_its_times_and_status(document: dict[str, Any], dry: World) -> None:
    said = document["activity"][f"uuid:{dry.run.sim_id}"]
    assert (said["prov:label"], said["hmp:status"], said["hmp:project"]) == ("dry year", "completed", "base")
    begun, ended = (datetime.fromisoformat(said[f"prov:{when}Time"]).replace(tzinfo=None) for when in ("start", "end"))
    # to the millisecond
    assert 0 <= (dry.run.facts["started_at"] - begun).total_seconds() < 0.001
    assert 0 <= (dry.run.facts["ended_at"] - ended).total_seconds() < 0.001


def test_the_inputs_have_their_hashes(document: dict[str, Any], dry: World) -> None:
    run = f"uuid:{dry.run.sim_id}"
    used = {entity for activity, entity in pairs(document, "used", "activity", "entity") if activity == run}
    inputs = {name: document["entity"][name] for name in used if "prov:location" in document["entity"][name]}
    assert {said["prov:location"]: said["schema:sha256"] for said in inputs.values()} == {
        one.path: one.sha256 for one in dry.run.input_entries()
    }
    assert f"uuid:{dry.smooth.artifact_id}" in inputs
    assert {said["hmp:state"] for said in inputs.values()} == {"current"}


def test_a_derived_input_leads_to_its_source_upstream(document: dict[str, Any], dry: World) -> None:
    edges = pairs(document, "wasDerivedFrom", "generatedEntity", "usedEntity")
    smooth, daily, raw = (f"uuid:{one.artifact_id}" for one in (dry.smooth, dry.daily, dry.raw))
    assert {(smooth, daily), (daily, raw)} <= edges
    (source,) = (older for newer, older in edges if newer == raw)
    assert document["entity"][source]["schema:url"] == {"$": dry.raw.uri, "type": "xsd:anyURI"}
    assert dry.raw.uri.startswith("http://127.0.0.1")
    assert document["entity"][raw]["schema:license"] == "etalab-2.0"
    assert document["entity"][raw]["schema:sha256"] == dry.raw.sha256


def test_a_derivation_names_its_tool_and_parameters(document: dict[str, Any], dry: World) -> None:
    activity = f"hmp:obtained/{dry.smooth.artifact_id}"
    assert document["activity"][activity]["hmp:parameter/window"] == {"$": "3", "type": "xsd:integer"}
    agents = {agent for one, agent in pairs(document, "wasAssociatedWith", "activity", "agent") if one == activity}
    assert {document["agent"][agent]["prov:label"] for agent in agents} == {"smoother"}
    assert {document["agent"][agent]["schema:softwareVersion"] for agent in agents} == {"1.2"}


def test_software_and_agent_are_named(document: dict[str, Any], dry: World) -> None:
    run = f"uuid:{dry.run.sim_id}"
    agents = {agent for one, agent in pairs(document, "wasAssociatedWith", "activity", "agent") if one == run}
    labels = {document["agent"][agent]["prov:label"] for agent in agents}
    assert {"gr4j", "hmp", "Python"} <= labels
    assert "orcid:0000-0002-1825-0097" in agents
    solver = document["agent"][named(document, "agent", "gr4j")]
    assert solver["schema:sha256"] == dry.run.environment["solver_binary_sha256"]
    assert (solver["schema:softwareVersion"], solver["prov:location"]) == ("gr4j 4.2", "bin/gr4j")
    packages = document["entity"][named(document, "entity", "installed packages")]["hmp:package"]
    assert f"hmp-core {dry.run.environment['packages']['hmp-core']}" in packages


def test_parameters_metrics_and_files_are_there(document: dict[str, Any], dry: World) -> None:
    run = f"uuid:{dry.run.sim_id}"
    entities = document["entity"]
    assert entities[f"{run}#parameter/x1"]["prov:value"] == {"$": "320.0", "type": "xsd:double"}
    assert entities[f"{run}#parameter/levels"]["prov:value"] == {"$": "3", "type": "xsd:integer"}
    assert entities[f"{run}#parameter/method"]["prov:value"] == "implicit"
    assert entities[f"{run}#metric/nse"]["prov:value"] == {"$": "0.83", "type": "xsd:double"}
    assert entities[f"{run}#metric/rmse"]["prov:value"] == {"$": "NaN", "type": "xsd:double"}
    made = {entity for entity, _ in pairs(document, "wasGeneratedBy", "entity", "activity") if entity.startswith(run)}
    assert {entities[one]["prov:label"] for one in made} == {
        "artifacts/a report#1 50%.txt",
        "fields.zarr",
        "nse",
        "rmse",
        "tables/timeseries.parquet",
    }
    table = next(one for one in dry.run.files() if one["path"] == "tables/timeseries.parquet")
    assert entities[f"{run}#files/tables/timeseries.parquet"]["schema:sha256"] == table["sha256"]


def test_the_hash_of_a_store_of_fields_is_that_of_its_folder(document: dict[str, Any], dry: World) -> None:
    from hmp_core.identity import sha256_tree

    said = document["entity"][f"uuid:{dry.run.sim_id}#files/fields.zarr"]
    assert said["hmp:treeSha256"] == sha256_tree(dry.run.folder / "fields.zarr")


def test_a_metric_that_was_added_later_was_not_made_by_the_run(document: dict[str, Any], dry: World) -> None:
    metric = f"uuid:{dry.run.sim_id}#metric/kge"
    assert metric not in {entity for entity, _ in pairs(document, "wasGeneratedBy", "entity", "activity")}
    assert (metric, f"uuid:{dry.run.sim_id}") in pairs(document, "wasInfluencedBy", "influencee", "influencer")


# ── the same again, and nothing that tells of the machine ────────────────────────────────────────────


def test_the_same_run_gives_the_same_bytes_in_any_process_and_place(dry: World, tmp_path: Path) -> None:
    shutil.copytree(dry.workspace.path, tmp_path / "copy")
    script = (
        "import sys, hydromodpy as hmp; from hydromodpy.exports.document import prov, text\n"
        "with hmp.open(sys.argv[1]) as cat: sys.stdout.write(text(prov(cat['dry year'])))"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "copy" / "projects" / "base")]
    environment = os.environ | {"PYTHONHASHSEED": "7", "HMP_USER": "somebody else"}
    done = subprocess.run(command, capture_output=True, check=False, cwd=tmp_path, env=environment)
    assert done.stdout == text(prov(dry.run)).encode(), done.stderr


def test_no_path_host_or_key_leaves_the_machine(document: dict[str, Any], dry: World) -> None:
    shown = json.dumps(document)
    for hidden in (str(dry.workspace.path), str(dry.workspace.path.parent), HOME, HOST, SECRET, f"{Path.home()}/"):
        assert hidden not in shown, hidden
    config = json.loads(document["entity"][f"uuid:{dry.run.sim_id}#plan"]["prov:value"])
    assert config == {"grid": "<path>/dem.tif", "out": "<path>/out", "node": "<host>", "steps": [1, 2]}


def test_the_machine_is_named_when_asked_for(dry: World) -> None:
    said = told(dry.run, host=True)["activity"][f"uuid:{dry.run.sim_id}"]
    assert said["prov:location"] == HOST


# ── runs of every kind ───────────────────────────────────────────────────────────────────────────────


def test_purged_bytes_are_told_with_the_moment_they_went(workspace: Workspace, tmp_path: Path) -> None:
    old = workspace.data.add(file(tmp_path, "q.csv"), variable="discharge", station="outlet")
    run = record(workspace, "base", old)
    workspace.data.add(file(tmp_path, "q.csv", 2.5), variable="discharge", station="outlet")
    superseded = told(run)
    entity = f"uuid:{old.artifact_id}"
    assert superseded["entity"][entity]["hmp:state"] == "superseded"
    assert "wasInvalidatedBy" not in superseded
    workspace.data.prune(superseded=True, force=True, apply=True)
    document = told(run)
    assert document["entity"][entity]["hmp:state"] == "purged"
    assert document["entity"][entity]["schema:sha256"] == old.sha256
    (gone,) = document["wasInvalidatedBy"].values()
    assert gone["prov:entity"] == entity
    assert gone["prov:time"] >= document["activity"][f"uuid:{run.sim_id}"]["prov:endTime"]
    assert broken(document) == []
    parsed(document)
    file(tmp_path, "q.csv")
    workspace.data.restore(old.sha256)
    assert "wasInvalidatedBy" not in told(run)


def test_a_purged_parent_is_told_too(workspace: Workspace, tmp_path: Path) -> None:
    raw = workspace.data.add(file(tmp_path, "raw.csv"), variable="discharge", station="outlet")
    made = workspace.data.add(file(tmp_path, "made.csv", 1.7), variable="discharge", source="made", parents=[raw])
    run = record(workspace, "base", made)
    workspace.data.add(file(tmp_path, "raw.csv", 2.5), variable="discharge", station="outlet")
    workspace.data.prune(superseded=True, force=True, apply=True)
    document = told(run)
    assert document["entity"][f"uuid:{raw.artifact_id}"]["hmp:state"] == "purged"
    assert [one["prov:entity"] for one in document["wasInvalidatedBy"].values()] == [f"uuid:{raw.artifact_id}"]
    assert broken(document) == []


def test_a_failed_run_tells_its_error_without_paths(workspace: Workspace) -> None:
    catalog = workspace.project("base").catalog
    with pytest.raises(FileNotFoundError), catalog.record("gr4j", name="bad") as rec:
        Path(f"{HOME}/no such.csv").read_text()
    said = told(catalog[rec.sim_id])["activity"][f"uuid:{rec.sim_id}"]
    assert said["hmp:status"] == "failed"
    assert said["hmp:error"] == "FileNotFoundError: [Errno 2] No such file or directory: '<path>/no such.csv'"


def test_a_run_whose_process_was_killed_has_no_end(workspace: Workspace, tmp_path: Path) -> None:
    workspace.project("base").catalog.close()
    script = (
        "import os, signal, sys, hydromodpy as hmp\n"
        "rec = hmp.open(sys.argv[1]).record('gr4j', name='cut', parameters={'x1': 1.0})\n"
        "rec.metric('nse', 0.5)\nos.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(workspace.path / "projects" / "base")], check=False)
    assert done.returncode == -signal.SIGKILL
    with hmp.open(workspace.path / "projects" / "base") as catalog:
        (run,) = catalog.find(name="cut")
        document = told(run)
        assert told(run) == document
    said = document["activity"][f"uuid:{run.sim_id}"]
    assert (said["hmp:status"], "prov:endTime" in said) == ("interrupted", False)
    assert said["hmp:error"] == "its process died before it was sealed"
    assert broken(document) == []
    parsed(document)


def test_a_run_that_is_running_has_no_end_either(workspace: Workspace) -> None:
    catalog = workspace.project("base").catalog
    with catalog.record("gr4j", name="now") as rec:
        said = told(catalog.find(name="now")[0])["activity"][f"uuid:{rec.sim_id}"]
        assert (said["hmp:status"], "prov:endTime" in said) == ("running", False)


def test_a_run_in_the_trash_says_so(workspace: Workspace) -> None:
    run = record(workspace, "base").trash()
    said = told(run)["activity"][f"uuid:{run.sim_id}"]
    assert said["hmp:trashed"] == {"$": "true", "type": "xsd:boolean"}
    assert "hmp:trashed" not in told(run.restore())["activity"][f"uuid:{run.sim_id}"]


def test_a_purged_run_is_not_found(workspace: Workspace) -> None:
    run = record(workspace, "base").trash()
    workspace.project("base").catalog.purge(run.sim_id, reason="asked for")
    with pytest.raises(NotFound):
        prov(hmp.open(workspace.path / "projects" / "base")[run.sim_id])


def test_a_run_without_inputs_needs_no_cache(workspace: Workspace) -> None:
    run = record(workspace, "alone")
    shutil.rmtree(workspace.path / "data")
    document = told(run)
    assert broken(document) == []
    assert not any(said["prov:type"] == {"$": "hmp:Input", "type": "xsd:QName"} for said in document["entity"].values())


def test_a_run_whose_manifest_is_gone_is_refused(workspace: Workspace) -> None:
    run = record(workspace, "lost")
    (run.folder / "run.json").unlink()
    with pytest.raises(PathNotFound):
        prov(run)


def test_names_that_are_meant_to_break_something_break_nothing(workspace: Workspace, tmp_path: Path) -> None:
    name = "a \"quoted\" <b>name</b>\\ \u202eתשובה 😀 'x' {y} (z) %00 &amp; :/?#[]@!$,;="
    odd = workspace.path / 'für "q" #1?&=%2F.txt'
    odd.write_text("1")
    run = record(workspace, name, odd, parameters={name: name, "k:v=1": 1.0}, tags=[name], description=name)
    document = told(run)
    assert document["activity"][f"uuid:{run.sim_id}"]["prov:label"] == name
    again = parsed(document)
    assert broken(document) == []
    assert name in {str(label) for one in again.get_records() for label in one.get_attribute("prov:label")}


def test_an_imported_run_names_the_inputs_that_this_workspace_does_not_have(
    dry: World, workspace: Workspace, tmp_path: Path
) -> None:
    dry.project.catalog.export_package("dry year", tmp_path / "dry.hmprun")
    (run,) = workspace.project("base").catalog.import_package(tmp_path / "dry.hmprun")
    document = told(run)
    said = document["entity"][f"uuid:{dry.smooth.artifact_id}"]
    assert (said["schema:sha256"], said["hmp:state"]) == (dry.smooth.sha256, "missing")
    assert broken(document) == []


def test_an_imported_run_is_not_said_to_have_used_what_came_later(
    dry: World, workspace: Workspace, tmp_path: Path
) -> None:
    """The same bytes were registered here after the run was made elsewhere: they are not the version it used."""
    dry.project.catalog.export_package("dry year", tmp_path / "dry.hmprun")
    (run,) = workspace.project("base").catalog.import_package(tmp_path / "dry.hmprun")
    shutil.copy(dry.smooth.path, tmp_path / "same.csv")
    workspace.data.add(tmp_path / "same.csv", variable="discharge", station="elsewhere")
    document = told(run)
    assert document["entity"][f"uuid:{dry.smooth.artifact_id}"]["hmp:state"] == "current"
    assert broken(document) == []


def test_an_input_that_has_another_name_here_leads_to_what_that_was_made_of(
    dry: World, workspace: Workspace, tmp_path: Path
) -> None:
    dry.project.catalog.export_package("dry year", tmp_path / "dry.hmprun")
    (run,) = workspace.project("base").catalog.import_package(tmp_path / "dry.hmprun")
    shutil.copy(dry.smooth.path, tmp_path / "same.csv")
    same = workspace.data.add(tmp_path / "same.csv", variable="discharge", station="elsewhere")
    document = told(run)
    names = {(f"uuid:{dry.smooth.artifact_id}", f"uuid:{same.artifact_id}")}
    assert pairs(document, "alternateOf", "alternate1", "alternate2") == names
    parsed(document)


def test_a_parent_that_nobody_knows_is_named(workspace: Workspace, tmp_path: Path) -> None:
    made = workspace.data.add(file(tmp_path, "q.csv"), variable="discharge", station="outlet")
    unknown = uuid4()
    with DataCatalogDuckDB(workspace.path / "data" / "cache.duckdb") as low:
        low.write_provenance(artifact_id=made.artifact_id, parents=[unknown])
    document = told(record(workspace, "base", made))
    derived = pairs(document, "wasDerivedFrom", "generatedEntity", "usedEntity")
    assert (f"uuid:{made.artifact_id}", f"uuid:{unknown}") in derived
    assert "not known here" in document["entity"][f"uuid:{unknown}"]["prov:label"]
    assert broken(document) == []


def test_where_a_solver_lies_is_not_told(workspace: Workspace) -> None:
    with workspace.project("base").catalog.record("/home/anna/bin/gr4j") as rec:
        rec.metric("nse", 0.8)
    document = json.dumps(told(workspace.project("base").catalog["@latest"]))
    assert ("anna" in document, "gr4j" in document) == (False, True)


def test_runs_that_share_an_input_share_its_entity(workspace: Workspace, tmp_path: Path) -> None:
    used = workspace.data.add(file(tmp_path, "q.csv"), variable="discharge", station="outlet")
    first = record(workspace, "first", used)
    second = record(workspace, "second", used, parent=first.sim_id)
    document = told(second, first)
    one, two = f"uuid:{first.sim_id}", f"uuid:{second.sim_id}"
    entity = f"uuid:{used.artifact_id}"
    assert {(one, entity), (two, entity)} <= pairs(document, "used", "activity", "entity")
    assert pairs(document, "wasInformedBy", "informed", "informant") == {(two, one)}
    # the first was named by the second before it was told
    assert document["activity"][one]["prov:label"] == "first"
    assert broken(document) == []
    parsed(document)


def test_several_runs_are_told_as_they_were_found(workspace: Workspace) -> None:
    for name in ("first", "second"):
        record(workspace, name)
    document = told(*workspace.project("base").catalog.find())
    labels = {said["prov:label"] for said in document["activity"].values()}
    assert labels == {"first", "second"}
    assert json.loads(text(prov(workspace.project("base").catalog.find()))) == document


def test_two_versions_of_one_input_are_two_entities(workspace: Workspace, tmp_path: Path) -> None:
    workspace.data.add(file(tmp_path, "q.csv"), variable="discharge", station="outlet")
    new = workspace.data.add(file(tmp_path, "q.csv", 2.5), variable="discharge", station="outlet")
    run = record(workspace, "both", *workspace.data.versions(new))
    document = told(run)
    used = {entity for _, entity in pairs(document, "used", "activity", "entity")}
    states = {document["entity"][name]["hmp:state"] for name in used if "hmp:state" in document["entity"][name]}
    assert states == {"current", "superseded"}
    assert broken(document) == []


def test_a_run_is_not_said_to_come_from_the_one_that_it_repeats(workspace: Workspace) -> None:
    first = record(workspace, "first")
    second = record(workspace, "second", parent=first.sim_id, lineage="duplicate")
    assert "wasInformedBy" not in told(second)
    third = record(workspace, "third", parent=first.sim_id)
    assert "wasInformedBy" in told(third)


def test_parameters_whose_names_are_paths_stay_apart(workspace: Workspace) -> None:
    run = record(workspace, "odd", parameters={f"{HOME}/a/k": 1.0, f"{HOME}/b/k": 2.0})
    entities = told(run)["entity"]
    values = {said["prov:label"]: said["prov:value"]["$"] for said in entities.values() if "prov:value" in said}
    assert values == {"<path>/k": "1.0", "<path>/k (2)": "2.0", "nse": "0.8"}


# ── the command ──────────────────────────────────────────────────────────────────────────────────────


def test_the_command_prints_or_writes(dry: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["export", "prov", "dry year", "--project", str(dry.project.path)]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert json.loads(printed) == told(dry.run)
    where = tmp_path / "dry.prov.json"
    assert main([*words, "--output", str(where)]) == 0
    assert where.read_text() == printed
    assert main([*words, "--output", str(where)]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main([*words, "-o", str(where), "--overwrite", "--host"]) == 0
    assert HOST in where.read_text()


def test_no_database_is_overwritten(dry: World, capsys: pytest.CaptureFixture[str]) -> None:
    catalog = dry.project.path / "catalog.duckdb"
    words = ["export", "prov", "dry year", "--project", str(dry.project.path), "--output", str(catalog), "--overwrite"]
    before = catalog.stat()
    assert main(words) == 2
    assert "take another name" in capsys.readouterr().err
    assert catalog.stat().st_ino == before.st_ino


def test_the_command_says_what_is_not_there(dry: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "prov", "nothing-like-it", "--project", str(dry.project.path)]) == 10
    said = capsys.readouterr()
    assert said.out == ""
    assert "nothing-like-it" in said.err


def test_what_the_cache_could_not_tell_is_said(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    used = workspace.data.add(file(tmp_path, "q.csv"), variable="discharge", station="outlet")
    run = record(workspace, "base", used)
    assert told(run) == told(run)
    workspace.data.add(file(tmp_path, "other.csv", 3.0), variable="discharge", station="elsewhere")
    monkeypatch.setenv("HMP_FOLD", "never")
    assert main(["export", "prov", "base", "--project", str(run.project)]) == 1
    said = capsys.readouterr()
    assert "the answer of the cache is not complete: 1 unfolded" in said.err
    assert json.loads(said.out)["entity"][f"uuid:{used.artifact_id}"]["schema:sha256"] == used.sha256
