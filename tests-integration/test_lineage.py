"""``hmp lineage``: what a run or an input came from and what came of it, however it is named and whatever is gone."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

import hydromodpy
from bridged import discharge, edit, record, served
from hmp_cache import DataCatalogDuckDB, Entry
from hmp_core.cli.main import main
from hmp_core.errors import AmbiguousReference, NotFound
from hydromodpy import Workspace
from hydromodpy.bridge import uses
from hydromodpy.graph import Graph, Node
from hydromodpy.origins import upstream

Say = Callable[..., tuple[int, str]]


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with hydromodpy.init(tmp_path / "fulda") as made:
        yield made


@pytest.fixture
def say(workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Say:
    """Return a function that runs ``hmp lineage`` in the workspace: exit code and what was said."""
    monkeypatch.chdir(workspace.path)

    def run(*words: str) -> tuple[int, str]:
        capsys.readouterr()
        code = main(["lineage", *words])
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


def derived(workspace: Workspace, folder: Path, name: str, *parents: Entry, first: float) -> Entry:
    """Add an input that was made of others."""
    file = discharge(folder, f"{name}.csv", first=first)
    return workspace.data.add(file, variable="discharge", source=name, parents=parents, tool="smooth 1.2")


# ── upstream ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_chain_leads_to_the_source_though_a_link_is_purged(workspace: Workspace, tmp_path: Path, say: Say) -> None:
    desk = tmp_path / "served"
    desk.mkdir()
    discharge(desk, "raw.csv")
    with served(desk) as address:
        raw = workspace.data.fetch(f"{address}/raw.csv", variable="discharge", station="outlet")
        daily = derived(workspace, tmp_path, "daily", raw, first=1.6)
        smooth = derived(workspace, tmp_path, "smooth", daily, first=1.7)
        sim = record(workspace, "base", smooth)
        workspace.data.prune(max_size=0, apply=True, source="url")
    code, told = say("base")
    assert code == 0
    lines = told.splitlines()
    assert lines[:2] == ["run base (gr4j) [completed]", "consumed"]
    assert re.match(r"└── input discharge from smooth \(.*\) sha256:\w+ \[current\]", lines[2])
    assert re.match(r"    └── input discharge from daily \(.*\) sha256:\w+ \[current\]", lines[3])
    assert re.match(r"        └── input discharge from url \(.*\) sha256:\w+ \[purged\]", lines[4])
    assert lines[5] == f"            └── source {address}/raw.csv"
    with workspace.project("base") as project:
        found = upstream(project.catalog[sim])
    (used,) = found.inputs
    version = found.of(used)
    assert [each.entry.source for each in found.ancestors(version)] == ["daily", "url"]
    assert (version.obtained[0].tool_name, version.obtained[0].tool_version) == ("smooth", "1.2")
    (last,) = found.parents(found.parents(version)[0])
    assert (last.state, last.current, last.obtained[0].uri, last.parents) == ("purged", True, raw.uri, ())


def test_what_two_things_came_from_is_drawn_once(workspace: Workspace, tmp_path: Path, say: Say) -> None:
    raw = workspace.data.add(discharge(tmp_path), variable="discharge", station="outlet")
    left, right = (derived(workspace, tmp_path, name, raw, first=n) for n, name in ((2.0, "left"), (3.0, "right")))
    record(workspace, "base", derived(workspace, tmp_path, "both", left, right, first=4.0))
    _, told = say("base")
    assert told.count("discharge from custom") == 2
    assert told.count("(as above)") == 1
    assert told.count("source file:") == 1


def test_a_series_that_grew_day_by_day_leads_to_its_first_day(workspace: Workspace, tmp_path: Path, say: Say) -> None:
    """More levels than are asked for one by one; what it was not made of is not there."""
    days = [workspace.data.add(discharge(tmp_path, "day0.csv"), variable="discharge", station="first")]
    aside = derived(workspace, tmp_path, "aside", days[0], first=50.0)
    for day in range(1, 12):
        days.append(derived(workspace, tmp_path, f"day{day}", days[-1], first=1.5 + day))
    record(workspace, "base", days[-1])
    _, told = say("base", "--json")
    inputs = {node["id"] for node in json.loads(told)["nodes"] if node["kind"] == "input"}
    assert inputs == {f"artifact:{one.artifact_id}" for one in days}
    assert f"artifact:{aside.artifact_id}" not in inputs


def test_inputs_that_have_the_same_bytes_are_each_drawn(workspace: Workspace, tmp_path: Path, say: Say) -> None:
    one = workspace.data.add(discharge(tmp_path, "one.csv"), variable="discharge", station="one")
    two = workspace.data.add(discharge(tmp_path, "two.csv"), variable="discharge", station="two")
    same = derived(workspace, tmp_path, "same", one, two, first=1.5)
    plain = shutil.copy(one.path, workspace.path / "plain.csv")
    record(workspace, "all", one, two, plain)
    record(workspace, "same", same)
    for words in (["all"], ["@latest"]):
        _, told = say(*words, "--json")
        labels = {node["label"] for node in json.loads(told)["nodes"]}
        assert sum("one.csv)" in label or "two.csv)" in label for label in labels) == len([one, two])
    assert "plain.csv" in say("all")[1]
    assert "(as above)" not in say(same.relative_path)[1] + say("@latest")[1]
    assert [use.name for use in one.used_by()] == ["all"]
    assert uses(workspace.path, {one.sha256})[one.sha256] == ["base: all", "base: same"]


def test_a_circle_ends_where_it_began(workspace: Workspace, tmp_path: Path, say: Say) -> None:
    raw = workspace.data.add(discharge(tmp_path), variable="discharge", station="outlet")
    made = derived(workspace, tmp_path, "made", raw, first=2.0)
    with DataCatalogDuckDB(workspace.path / "data" / "cache.duckdb") as low:
        low.write_provenance(artifact_id=raw.artifact_id, parents=[made.artifact_id])
    record(workspace, "base", made)
    for words in (["base"], ["q"], ["base", "--dot"], ["--stale"]):
        code, told = say(*words)
        assert (code, len(told.splitlines()) < 20) == (0, True)


def test_a_parent_that_nobody_knows_is_named(workspace: Workspace, tmp_path: Path, say: Say) -> None:
    made = workspace.data.add(discharge(tmp_path), variable="discharge", station="outlet")
    unknown = uuid4()
    with DataCatalogDuckDB(workspace.path / "data" / "cache.duckdb") as low:
        low.write_provenance(artifact_id=made.artifact_id, parents=[unknown])
    record(workspace, "base", made)
    _, told = say("base")
    assert f"an input that is not known here ({str(unknown)[:8]}) [missing]" in told


def test_a_run_leads_to_the_run_it_goes_on_from_and_back(workspace: Workspace, say: Say) -> None:
    first = record(workspace, "first")
    with workspace.project("base") as project:
        for name, parent in (("second", first), ("third", "second")):
            with project.catalog.record("gr4j", name=name, parent=parent):
                pass
        project.catalog.delete("second")
    _, told = say("third")
    assert told.splitlines()[1:] == [
        "came from",
        "└── run second (gr4j) [completed, in the trash]",
        "    └── run first (gr4j) [completed]",
    ]
    _, told = say("first")
    assert told.splitlines()[1:3] == ["used by", "└── run second (gr4j) [completed, in the trash]"]


# ── downstream ───────────────────────────────────────────────────────────────────────────────────────


def test_an_input_leads_to_what_was_made_of_it_and_the_runs_of_all_of_that(
    workspace: Workspace, tmp_path: Path, say: Say
) -> None:
    raw = workspace.data.add(discharge(tmp_path), variable="discharge", station="outlet")
    daily = derived(workspace, tmp_path, "daily", raw, first=1.6)
    record(workspace, "on raw", raw)
    record(workspace, "on smooth", derived(workspace, tmp_path, "smooth", daily, first=1.7), project="other")
    workspace.data.add(discharge(tmp_path, first=2.5), variable="discharge", station="outlet")
    code, told = say(str(raw.id))
    assert code == 0
    below = told.partition("used by\n")[2].splitlines()
    assert re.match(r"├── input discharge from daily .*\[current\]", below[0])
    assert re.match(r"│   └── input discharge from smooth .*\[current\]", below[1])
    assert below[2:] == [
        "│       └── run on smooth in other [completed]",
        "└── run on raw in base [completed, consumed an older version]",
    ]


def test_a_run_of_another_workspace_says_of_which(workspace: Workspace, tmp_path: Path, say: Say) -> None:
    entry = workspace.data.add(discharge(tmp_path), variable="discharge", station="outlet")
    mesh = workspace.path / "mesh.txt"
    mesh.write_text("1 2 3")
    with hydromodpy.init(tmp_path / "weser") as other:
        (other.path / "grid.txt").write_text("1 2 3")
        mine = other.data.add(discharge(tmp_path), variable="discharge", station="outlet")
        record(other, "far", mine, other.path / "grid.txt")
    for name in (str(entry.id), "mesh.txt"):
        assert say(name)[1].splitlines()[-1] == "└── run far in weser/base [completed]"


def test_ten_thousand_runs_of_one_input_are_drawn_in_a_moment() -> None:
    """Adding an edge looked through all others: minutes, where this takes milliseconds."""
    graph = Graph.of(Node("a", "input", "a"))
    for n in range(10_000):
        graph.link("a", graph.add(Node(f"r{n}", "run", str(n))))
    assert len(graph.to_text().splitlines()) == 10_002


def test_a_ladder_of_diamonds_is_drawn_in_a_moment() -> None:
    """There are 2^60 ways down."""
    graph = Graph.of(Node("0", "input", "0"))
    for n in range(60):
        for side in "ab":
            middle = graph.add(Node(f"{n}{side}", "input", side))
            graph.link(middle, str(n))
            graph.link(graph.add(Node(str(n + 1), "input", str(n + 1))), middle)
    assert len(graph.to_text().splitlines()) == 2 + 4 * 60


# ── names ────────────────────────────────────────────────────────────────────────────────────────────


def test_an_input_goes_by_every_name_it_has(
    workspace: Workspace, tmp_path: Path, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = workspace.data.add(discharge(tmp_path), variable="discharge", station="outlet")
    record(workspace, "base", entry)
    names = [str(entry.id), str(entry.id)[:13], "q", entry.relative_path, str(entry.path), entry.sha256]
    told = {say(name) for name in names}
    assert len(told) == 1
    ((code, text),) = told
    assert (code, "run base in base" in text) == (0, True)
    monkeypatch.chdir(entry.path.parent)
    assert say("q.csv") in told


def test_a_former_version_goes_by_its_hash(workspace: Workspace, tmp_path: Path, say: Say) -> None:
    old = workspace.data.add(discharge(tmp_path), variable="discharge", station="outlet")
    record(workspace, "base", old)
    workspace.data.add(discharge(tmp_path, first=2.5), variable="discharge", station="outlet")
    code, told = say(old.sha256)
    assert code == 0
    assert f"sha256:{old.sha256[:12]} [superseded]" in told.splitlines()[0]


def test_a_file_that_is_no_input_leads_to_its_runs(
    workspace: Workspace, tmp_path: Path, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    mesh = workspace.path / "grids" / "mesh.txt"
    mesh.parent.mkdir()
    mesh.write_text("1 2 3")
    record(workspace, "old", mesh)
    edit(mesh, "4 5 6")
    record(workspace, "new", mesh)
    monkeypatch.chdir(mesh.parent)
    code, told = say("mesh.txt")
    assert code == 0
    assert told.splitlines()[1:] == [
        "used by",
        "├── run old in base [completed, consumed an older version]",
        "└── run new in base [completed]",
    ]


def test_a_run_goes_by_every_reference(workspace: Workspace, say: Say) -> None:
    sim = record(workspace, "base")
    assert len({say(name) for name in (sim, sim[:8], "base", "@latest", "@best:nse")}) == 1


def test_a_run_that_two_projects_have_is_asked_for(workspace: Workspace, say: Say) -> None:
    record(workspace, "base", project="one")
    record(workspace, "base", project="two")
    code, told = say("base")
    assert code == AmbiguousReference.exit_code
    assert "a run in one, two; say which with --project" in told
    assert say("base", "--project", "projects/two")[0] == 0


def test_what_nothing_goes_by_is_not_found(workspace: Workspace, say: Say) -> None:
    record(workspace, "base")
    for nothing in ("nothing-like-it", "x" * 5000, "a\x00b", "../../etc/passwd", "--", "[red]", "%"):
        code, told = say("--", nothing)
        assert (code, "neither a run nor an input" in told) == (NotFound.exit_code, True)


def test_a_project_that_is_damaged_keeps_nobody_else_from_being_found(workspace: Workspace, say: Say) -> None:
    record(workspace, "good")
    record(workspace, "bad", project="a damaged one")
    (workspace.path / "projects" / "a-damaged-one" / "catalog.duckdb").write_bytes(b"not a database" * 1000)
    code, told = say("good")
    assert code == 1
    assert told.splitlines()[0] == "run good (gr4j) [completed]"
    assert "a-damaged-one" in told


# ── drawn ────────────────────────────────────────────────────────────────────────────────────────────

_QUOTED = r'"(?:[^"\\\n]|\\.)*"'
_LINES = re.compile(rf"  {_QUOTED} \[label={_QUOTED}, shape=\w+(, style=bold)?\];|  {_QUOTED} -> {_QUOTED};")

HOSTILE = [
    'a "quoted" run',
    "two\nlines",
    "back\\slash\\",
    "ends in \\",
    "Fluß → 流域 🌊",
    "tab\there",
    "\x1b[2J",
    "%s {x} [y]",
]


@pytest.mark.parametrize("label", HOSTILE, ids=range(len(HOSTILE)))
def test_no_label_breaks_a_drawing(label: str) -> None:
    graph = Graph.of(Node(f"run:{label}", "run", label, label))
    graph.link(graph.add(Node(label, "source", label)), graph.root)
    head, rank, *lines, end = graph.to_dot().split("\n")
    assert (head, rank, end) == ("digraph lineage {", "  rankdir=LR;", "}")
    assert [line for line in lines if not _LINES.fullmatch(line)] == []
    assert len(graph.to_text().split("\n")) == 3
    assert "\x1b" not in graph.to_text() + graph.to_dot()
    assert json.loads(graph.to_json())["nodes"][0]["label"] == label
    if dot := shutil.which("dot"):
        drawn = subprocess.run([dot, "-Tplain"], input=graph.to_dot(), capture_output=True, text=True, check=True)
        assert drawn.stdout.count("\nnode ") == 2


def test_a_graph_has_its_forms_and_a_list_has_others(workspace: Workspace, say: Say) -> None:
    sim = record(workspace, "base")
    assert say("base", "--json") == say("base", "--format", "json")
    assert json.loads(say("base", "--json")[1])["root"] == f"run:{sim}"
    assert say("base", "--dot") == say("base", "--format", "dot")
    assert say("base") == say("base", "--format", "tree")
    assert say("--stale") == (0, "nothing found\n")
    assert say("--stale", "--format", "csv") == (0, "workspace,project,sim_id,name,because\n")
    for words in (
        ["base", "--format", "csv"],
        ["--stale", "--dot"],
        ["base", "--json", "--dot"],
        [],
        ["base", "--stale"],
    ):
        assert say(*words)[0] == 2
    assert say("base", "--everywhere")[0] == 2


# ── what must be run again ───────────────────────────────────────────────────────────────────────────


def test_stale_runs_of_all_projects_are_listed_with_why(workspace: Workspace, tmp_path: Path, say: Say) -> None:
    entry = workspace.data.add(discharge(tmp_path), variable="discharge", station="outlet")
    for project in ("one", "two"):
        record(workspace, f"run of {project}", entry, project=project)
    workspace.data.add(discharge(tmp_path, first=2.5), variable="discharge", station="outlet")
    record(workspace, "fresh", workspace.data["q"], project="two")
    code, told = say("--stale", "--json")
    rows = [json.loads(line) for line in told.splitlines()]
    assert code == 1
    assert [(row["project"], row["name"], row["because"]) for row in rows] == [
        ("one", "run of one", "discharge is superseded"),
        ("two", "run of two", "discharge is superseded"),
    ]
    assert say("--stale", "--format", "csv", "-p", "projects/one")[1].count("\n") == 2


def test_a_run_is_stale_when_what_its_input_was_made_of_has_changed(
    workspace: Workspace, tmp_path: Path, say: Say
) -> None:
    raw = workspace.data.add(discharge(tmp_path, "raw.csv"), variable="discharge", station="outlet")
    daily = derived(workspace, tmp_path, "daily", raw, first=1.6)
    record(workspace, "base", derived(workspace, tmp_path, "smooth", daily, first=1.7))
    assert say("--stale")[0] == 0
    workspace.data.add(discharge(tmp_path, "raw.csv", first=2.5), variable="discharge", station="outlet")
    code, told = say("--stale", "--json")
    assert (code, json.loads(told)["because"]) == (1, "discharge was made of raw, which is superseded")


def test_a_parent_that_was_only_let_go_makes_nothing_stale(workspace: Workspace, tmp_path: Path, say: Say) -> None:
    """Its bytes are gone, but nothing is newer: there is nothing to run again."""
    raw = workspace.data.add(discharge(tmp_path, "raw.csv"), variable="discharge", station="outlet")
    record(workspace, "base", derived(workspace, tmp_path, "daily", raw, first=1.6))
    raw.path.unlink()
    assert say("--stale")[0] == 0


def test_stale_runs_are_found_everywhere_and_what_is_gone_is_named(
    workspace: Workspace, tmp_path: Path, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("weser", "gone", "broken"):
        with hydromodpy.init(tmp_path / name) as other:
            entry = other.data.add(discharge(tmp_path), variable="discharge", station="outlet")
            record(other, f"run of {name}", entry)
            other.data.add(discharge(tmp_path, first=2.5), variable="discharge", station="outlet")
    with hydromodpy.index() as machine:
        machine.refresh()
    shutil.move(tmp_path / "gone", tmp_path / "elsewhere-on-a-disk")
    cache = tmp_path / "broken" / "data" / "cache.duckdb"
    cache.write_bytes(b"not a database" * 1000)
    monkeypatch.chdir(tmp_path)
    assert say("--stale", "--everywhere", "--json")[0] == 1
    told = say("--stale", "--everywhere", "--json")[1].splitlines()
    found = [json.loads(line) for line in told if line.startswith("{")]
    assert [(row["workspace"], row["name"]) for row in found] == [("weser", "run of weser")]
    skipped = "\n".join(line for line in told if line.startswith("note: "))
    assert str(tmp_path / "gone") in skipped
    assert str(tmp_path / "broken") in skipped
