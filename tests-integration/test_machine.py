"""The machine index beside real workspaces: it understands what a catalog does, and hears of all that is made."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

import hmp_cache
import hmp_catalog
import hmp_index
import hydromodpy
from hmp_catalog import SimulationCatalog
from hmp_core.arrivals import FOLDER
from hmp_core.backends import DuckDBBackend
from hmp_core.errors import HmpError, UnknownFilter
from hmp_core.layout import init_workspace
from hmp_index import GlobalIndex

# ── the same questions ───────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SimulationCatalog, GlobalIndex]]:
    """A catalog of eight runs that differ in everything, and the index of its machine."""
    home = tmp_path_factory.mktemp("asked")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HMP_STATE_HOME", str(home / "state"))
        with (
            hydromodpy.init(home / "aare") as workspace,
            workspace.project("base") as project,
            hydromodpy.index() as machine,
        ):
            _fill(project.catalog)
            yield project.catalog, machine


#: What one parameter may be, from run to run.
MIXED = (3, "3", 3.5, True, None, "three")


def _fill(cat: SimulationCatalog) -> None:
    for n in range(6):
        about: dict[str, Any] = {
            "parameters": {"x1": 100.0 * n, "scheme": "euler" if n % 2 else "heun", "wet": n > 3}
            | {"mixed": MIXED[n], "*": n, "a/b~c": n},
            "description": f"Low flows of the Évron, number {n}",
            "tags": ["paper", f"t{n % 2}"][: 1 + n % 2],
        }
        if n:
            about["period"] = (f"200{n}-01-01", f"200{n + 1}-12-31" if n < 5 else None)
            about["bbox"] = (n, 0, n + 1, 1)
            about["study_area"] = "Aare" if n < 3 else "Fulda"
        with cat.record("gr4j" if n % 3 else "modflow6", name=f"run {n}", **about) as rec:
            if n != 2:
                rec.metric("nse", n / 10, station="outlet", variable="discharge")
                rec.metric("rmse", float("nan") if n == 4 else 5.0 - n, station="upper", variable="discharge")
    with contextlib.suppress(RuntimeError), cat.record("gr4j", name="failed") as rec:
        rec.metric("nse", float("inf"))
        raise RuntimeError
    with cat.record("gr4j", name="trash"):
        pass
    cat.delete("trash")


QUESTIONS: list[dict[str, Any]] = [
    {},
    {"solver": "gr4j"},
    {"solver_ne": "gr4j"},
    {"solver": ["gr4j", "modflow6"]},
    {"solver": []},
    {"solver_like": "MOD%"},
    {"study_area_name": None},
    {"study_area_name_ne": None},
    {"study_area_name_ne": "Aare"},
    {"study_area_name": ["Aare", None]},
    {"study_area_name_ne": ["Aare", None]},
    {"status": "failed"},
    {"status_ne": "completed"},
    {"status": "running"},
    {"name_like": "run _"},
    {"tags": "paper"},
    {"tags": ["paper", "t1"]},
    {"tags": []},
    {"text": "low évron"},
    {"text": "NUMBER 3"},
    {"text": ""},
    {"nse_gt": 0.2},
    {"nse_gte": 0.2, "nse_lt": 0.4},
    {"nse_ne": 0.3},
    {"nse": [0.1, 0.3]},
    {"nse": None},
    {"nse_ne": None},
    {"rmse_lte": 4},
    {"rmse_ne": None},
    {"rmse_gt": 0},
    {"param.x1_gt": 200},
    {"param.x1": [100, 300]},
    {"param.x1_ne": 300},
    {"param.x1": None},
    {"param.x9": None},
    {"param.x9_gt": 1},
    {"param.scheme": "euler"},
    {"param.scheme_ne": "euler"},
    {"param.scheme_like": "EU%"},
    {"param.scheme": ["euler", "heun"]},
    {"param.scheme": "100"},
    {"param.x1": "100"},
    {"param.wet": True},
    {"param.wet_ne": True},
    {"param.scheme": None},
    {"param.scheme_ne": None},
    {"param.mixed": None},
    {"param.mixed_ne": None},
    {"param.mixed": 3},
    {"param.mixed": "3"},
    {"param.mixed_ne": "3"},
    {"param.mixed_gt": 2},
    {"param.mixed": True},
    {"param.mixed_like": "T%"},
    {"param.*_gt": 3},
    {"param.*": "3"},
    {"param.a/b~c": 2},
    {"period": ("2002-06-01", "2003-06-01")},
    {"period": "2002-06-01/2003-06-01"},
    {"period": "2003-06-01"},
    {"period": (None, "2002-06-01")},
    {"period": "2006-01-01/"},
    {"period": datetime(2004, 7, 1)},
    {"period_covers": ("2002-06-01", "2002-09-01")},
    {"period_covers": ("2007-01-01", None)},
    {"bbox": (2.5, 0, 3.5, 1)},
    {"bbox": "2.5,0.5,2.6,0.6"},
    {"bbox": (90, 0, 91, 1)},
    {"bbox_xmin_gte": 3},
    {"period_start_gte": "2003-01-01"},
    {"period_end": None},
    {"created_at_gt": "2001-01-01T00:00:00+02:00"},
    {"trashed": True},
    {"trashed": None},
    {"trashed_at_ne": None},
    {"duration_s_gte": 0},
    {"solver": "gr4j", "nse_gt": 0.05, "tags": "paper", "param.x1_lt": 450, "bbox": (0, 0, 9, 9)},
]


@pytest.mark.parametrize("filters", QUESTIONS, ids=str)
def test_find_means_the_same_here_and_there(
    asked: tuple[SimulationCatalog, GlobalIndex], filters: dict[str, Any]
) -> None:
    cat, machine = asked
    assert sorted(hit.name or "" for hit in machine.find(**filters)) == sorted(run.name for run in cat.find(**filters))
    assert not machine.notice


def test_the_questions_tell_the_runs_apart(asked: tuple[SimulationCatalog, GlobalIndex]) -> None:
    """Questions that all had the same answer would judge nothing."""
    some = QUESTIONS[::4]
    assert len({tuple(run.name for run in asked[0].find(**filters)) for filters in some}) > len(some) // 2


@pytest.mark.parametrize(
    "filters",
    [
        {"solvr": "gr4j"},
        {"nse_gt": None},
        {"nse_gt": [0.1, 0.2]},
        {"solver_gt": ["a"]},
        {"nse_gt": "high"},
        {"created_at_gt": "soon"},
        {"created_at_like": "2001%"},
        {"period": ("2003-01-01", "2002-01-01")},
        {"period": 3},
        {"bbox": (1, 2, 3)},
        {"bbox": (3, 0, 1, 1)},
        {"trashed": "yes"},
        {"nse_like": "0%"},
        {"nse_gt": 10**400},
        {"created_at_gt": "9999-12-31T23:59:59-12:00"},
        {"period": "0001-01-01T00:00:00+12:00"},
    ],
    ids=str,
)
def test_what_the_one_refuses_the_other_refuses(
    asked: tuple[SimulationCatalog, GlobalIndex], filters: dict[str, Any]
) -> None:
    kinds = []
    for door in asked:
        with pytest.raises(HmpError) as refused:
            door.find(**filters)
        kinds.append(type(refused.value))
    assert kinds[0] is kinds[1]


@pytest.mark.parametrize("key", ["notes", "doi", "seed", "started_at", "config_hash", "parent_sim_id", "error"])
def test_what_only_the_catalog_knows_is_said_to_be_there(
    asked: tuple[SimulationCatalog, GlobalIndex], key: str
) -> None:
    cat, machine = asked
    assert cat.find(**{f"{key}_ne": None}) is not None
    with pytest.raises(UnknownFilter, match="hmp catalog find"):
        machine.find(**{f"{key}_ne": None})


# ── what is made is known ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "work",
    [
        hydromodpy.init,
        lambda root: hmp_cache.open(root, create=True).close(),
        lambda root: hmp_catalog.open(init_workspace(root).path / "projects" / "base", create=True).close(),
        lambda root: hmp_cache.DataCatalogDuckDB(init_workspace(root).path / "data" / "cache.duckdb").close(),
    ],
    ids=["init", "cache", "catalog", "low-level cache"],
)
def test_every_door_that_opens_to_work_leaves_word(tmp_path: Path, work: Callable[[Path], object]) -> None:
    work(tmp_path / "fulda")
    with hmp_index.index() as machine:
        assert [one.path for one in machine.workspaces()] == [tmp_path / "fulda"]
        assert not machine.notice


def test_who_only_reads_leaves_none(tmp_path: Path, state_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HMP_AUTO_REGISTER_WORKSPACE", "0")
    with hydromodpy.init(tmp_path / "fulda") as workspace:
        workspace.project("base").catalog.close()
    monkeypatch.delenv("HMP_AUTO_REGISTER_WORKSPACE")
    hmp_catalog.open(tmp_path / "fulda", read_only=True).close()
    hmp_cache.open(tmp_path / "fulda", read_only=True).close()
    with hydromodpy.index() as machine:
        assert machine.find() == []
    assert not (state_home / FOLDER).exists()


def test_the_index_itself_brings_nothing_back(tmp_path: Path, state_home: Path) -> None:
    """What refresh, live questions and the bridge read was not opened to work in."""
    with hydromodpy.init(tmp_path / "fulda") as workspace:
        workspace.project("base").catalog.close()
    code = (
        "import hydromodpy; m = hydromodpy.index(); m.refresh(only_stale=False); "
        "m.sql('SELECT * FROM all_tags', live=True)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ)
    assert list((state_home / FOLDER).iterdir()) == []


def test_work_does_not_wait_for_a_state_folder_that_cannot_be_written(tmp_path: Path, state_home: Path) -> None:
    state_home.write_text("a file in its place")
    with hydromodpy.init(tmp_path / "fulda") as workspace, workspace.project("base").catalog as cat:
        with cat.record("gr4j", name="base"):
            pass
        assert cat["base"].status == "completed"


# ── scenario 22 to 26, with real catalogs ────────────────────────────────────────────────────────────


def _workspace(path: Path, *projects: str, solver: str = "gr4j") -> Path:
    with hydromodpy.init(path) as workspace:
        for name in projects:
            with workspace.project(name) as project, project.catalog.record(solver, name=f"{path.name}-{name}") as rec:
                rec.metric("nse", 0.5)
    return path


def test_scenario_22_any_spelling_is_one_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    aare, fulda = _workspace(tmp_path / "aare", "a", "b"), _workspace(tmp_path / "fulda", "c", "d")
    (tmp_path / "link").symlink_to(aare)
    with hydromodpy.index() as machine:
        for spelling in (aare, str(aare), "aare", "link", aare.as_uri(), tmp_path / "fulda" / ".." / "aare"):
            machine.register(spelling)
        assert sorted(one.path for one in machine.workspaces()) == [aare, fulda]
        hits = machine.find(solver="gr4j")
        assert {(hit.workspace, hit.project) for hit in hits} == {
            ("aare", "a"),
            ("aare", "b"),
            ("fulda", "c"),
            ("fulda", "d"),
        }
        assert len({hit.workspace_id for hit in hits}) == 2


@pytest.mark.parametrize("uri", ["s3://bucket/aare", "http://example.org/aare"])
def test_scenario_23_another_scheme_is_named(tmp_path: Path, uri: str) -> None:
    with hydromodpy.index() as machine:
        verbs: list[Callable[[], object]] = [
            lambda: machine.register(uri),
            lambda: machine.rebuild([uri]),
            lambda: machine.rebuild(below=uri),
            lambda: machine.relocate("aare", uri),
            lambda: hydromodpy.index(uri),
        ]
        for verb in verbs:
            with pytest.raises(NotImplementedError, match=uri.partition("/")[0]):
                verb()


HOLD = """
import sys
from pathlib import Path
from hmp_core.backends import DuckDBBackend
with DuckDBBackend(Path(sys.argv[1])).lease(write=True):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def _held(database: Path) -> Iterator[None]:
    """Let another process write a database for the block."""
    command = [sys.executable, "-c", HOLD, str(database)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        try:
            yield
        finally:
            holder.kill()


def test_scenario_24_others_are_answered_and_the_answer_says_what_it_lacks(
    tmp_path: Path, hmp: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    trouble = {
        "away": "unreachable",
        "held": "busy",
        "spoilt": "corrupt",
        "newer": "schema_mismatch",
        "older": "schema_mismatch",
    }
    homes = {name: _workspace(tmp_path / name, "a") for name in (*trouble, "well")}
    catalogs = {name: home / "projects" / "a" / "catalog.duckdb" for name, home in homes.items()}
    with hmp_index.index() as machine:
        machine.refresh()
        homes["away"].rename(tmp_path / ".unmounted")
        catalogs["spoilt"].write_bytes(b"not a database" * 1000)
        change = "UPDATE schema_migrations SET version = version + 90 WHERE component = 'catalog' AND version = 1"
        DuckDBBackend(catalogs["newer"]).execute(change)
        DuckDBBackend(catalogs["older"]).execute("DELETE FROM schema_migrations WHERE component = 'catalog'")
        with hydromodpy.open(homes["held"]) as cat:
            cat["held-a"].tag("changed")
        with _held(catalogs["held"]):
            hits = {hit.workspace: hit for hit in machine.find(solver="gr4j")}
            skipped = {one.workspace: one for one in machine.notice.skipped}
            shown = hmp("index", "find", "solver=gr4j")
        assert set(hits) == set(homes)
        assert {name: one.status for name, one in skipped.items()} == trouble
        assert all(one.detail and one.taken_at for one in skipped.values())
        assert {name: hit.age > 0 for name, hit in hits.items()} == dict.fromkeys(trouble, True) | {"well": False}
        assert (shown.returncode, shown.stdout.count("gr4j"), shown.stderr.count("note: ")) == (1, 6, 5)
        not_ok = machine.sql("SELECT label FROM v_workspace_health WHERE status <> 'ok' OR n_projects_not_ok > 0")
        assert set(not_ok["label"].to_pylist()) == set(trouble) - {"held"}, "nobody holds that one any more"


HOSTILE = "saint-brieuc'; DROP TABLE workspaces; --"


@pytest.fixture(scope="module")
def brittany(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GlobalIndex]:
    """The index of a machine with one workspace, of which one run has something to say."""
    home = tmp_path_factory.mktemp("brittany")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HMP_STATE_HOME", str(home / "state"))
        with hydromodpy.init(home / "west") as workspace, workspace.project("a").catalog as cat:
            with cat.record("gr4j", name="base", study_area="Évron à Saint-Brieuc", description="100 % drop"):
                pass
            with cat.record("gr4j", name="other"):
                pass
        with hydromodpy.index() as machine:
            yield machine


@pytest.mark.parametrize("text", ["evron", "ÉVRON", "saint brieuc", HOSTILE, "%", "évr"])
def test_scenario_26_words_are_found_offline_whatever_their_signs(brittany: GlobalIndex, text: str) -> None:
    expected = {"%": [], HOSTILE: []}.get(text, ["base"])
    assert [hit.name for hit in brittany.search(text)] == expected
    assert len(brittany.workspaces()) == 1


def test_scenario_25_moved_pruned_lost_and_back(tmp_path: Path, state_home: Path) -> None:
    aare = _workspace(tmp_path / "aare", "a")
    with hydromodpy.index() as machine:
        before = machine.register(aare, label="Upper Aare")
        away = tmp_path / "elsewhere" / "deep"
        away.mkdir(parents=True)
        shutil.move(aare, away / "aare")
        (hit,) = machine.search("aare")
        assert (hit.state, [one.status for one in machine.notice.skipped]) == ("unreachable", ["unreachable"])
        assert hit.age > 0
        again = machine.register(away / "aare")
        assert (again.id, again.label, len(machine.workspaces())) == (before.id, "Upper Aare", 1)
        shutil.move(away / "aare", tmp_path / "lost")
        assert [one.workspace for one in machine.prune(dry_run=True)] == ["Upper Aare"]
        assert [one.workspace for one in machine.prune()] == ["Upper Aare"]
        assert machine.find() == []
    shutil.rmtree(state_home)
    with hydromodpy.index() as machine:
        assert not machine.rebuild(below=tmp_path)
        assert [(one.id, one.label) for one in machine.workspaces()] == [(before.id, "Upper Aare")]
        assert [hit.name for hit in machine.find()] == ["aare-a"]
