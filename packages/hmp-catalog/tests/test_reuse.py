"""A simulation that was finished before is not run again; one that is run all the same is linked, never merged."""

from __future__ import annotations

import shutil

import pytest

import hmp_catalog
from hmp_catalog.errors import SimulationNotFound
from hmp_core.identity import sha256_file


@pytest.fixture
def rain(workspace):
    path = workspace / "data" / "rain.csv"
    path.parent.mkdir(exist_ok=True)
    path.write_text("time,p\n2001-01-01,3.0\n")
    return path


@pytest.fixture
def run(cat, rain):
    """Return a function that simulates, and how often the work was really done."""
    done = []

    def simulate(**changes):
        about = {"parameters": {"x1": 320.0, "x2": 1.0}, "inputs": [rain], "config": {"steps": 10}, "seed": 7}

        def work(rec):
            done.append(rec.sim_id)
            rec.metric("nse", 0.8)

        solver = changes.pop("solver", "gr4j")
        return cat.simulate(solver, work, **(about | changes)), len(done)

    return simulate


def test_an_identical_simulation_is_not_run_again(cat, run):
    first, _ = run(name="base")
    again, times = run(name="another name", tags=["draft"], description="words do not count")
    assert (again, times) == (first, 1)
    assert again.metrics == {"nse": 0.8}
    assert len(cat) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"solver": "gr5j"},
        {"solver_version": "1.2"},
        {"seed": 8},
        {"config": {"steps": 11}},
        {"parameters": {"x1": 320.0, "x2": 1.1}},
        {"parameters": {"x1": 320.0}},
        {"parameters": {"x1": 320.0, "x2": "1.0"}},
        {"inputs": []},
        {"period": ("2001-01-01", "2002-01-01")},
        {"bbox": (0.0, 0.0, 1.0, 1.0)},
    ],
    ids="-".join,
)
def test_whatever_changes_the_result_is_run(run, change):
    first, _ = run()
    other, times = run(**change)
    assert times == 2
    assert other != first


def test_an_input_is_the_same_by_its_bytes_wherever_it_lies(run, rain):
    first, _ = run()
    moved = rain.with_name("moved.csv")
    shutil.copy(rain, moved)
    assert sha256_file(moved) == sha256_file(rain)
    assert run(inputs=[moved]) == (first, 1)
    moved.write_text("time,p\n2001-01-01,4.0\n")
    assert run(inputs=[moved])[1] == 2


def test_the_order_in_which_parameters_are_said_does_not_count(run):
    first, _ = run()
    assert run(parameters={"x2": 1.0, "x1": 320.0}) == (first, 1)


@pytest.mark.parametrize("end", ["failed", "trashed", "lost"])
def test_only_a_finished_run_that_is_there_is_given(cat, run, end):
    first, _ = run()
    if end == "failed":
        cat.purge(first.sim_id, reason="test")
        with pytest.raises(RuntimeError), cat.record("gr4j", parameters={"x1": 1.0}):
            raise RuntimeError
        again = cat.record("gr4j", parameters={"x1": 1.0}, reuse=True)
        assert again.reused is None
        again.seal()
        return
    if end == "trashed":
        cat.delete(first.sim_id)
    else:
        shutil.rmtree(first.folder)
    other, times = run()
    assert (other != first, times) == (True, 2)


def test_what_is_said_all_the_same_is_a_run_of_its_own_linked_as_a_duplicate(cat):
    with cat.record("gr4j", name="base", parameters={"x1": 1.0}) as rec:
        rec.metric("nse", 0.8)
    with cat.record("gr4j", name="again", parameters={"x1": 1.0}, reuse=True) as rec:
        assert rec.reused == cat["base"]
        assert rec.sim_id == cat["base"].sim_id
        rec.metric("nse", 0.7)  # whoever forgets to ask loses time, and no result
    assert rec.sim_id != cat["base"].sim_id
    assert (cat["base"].metrics, cat["again"].metrics) == ({"nse": 0.8}, {"nse": 0.7})
    said = cat["again"].manifest["run"]
    assert (said["parent_sim_id"], said["lineage_kind"]) == (cat["base"].sim_id, "duplicate")


def test_a_block_that_says_nothing_of_a_finished_run_leaves_nothing(cat, project):
    with cat.record("gr4j", parameters={"x1": 1.0}) as rec:
        rec.metric("nse", 0.8)
    with pytest.raises(RuntimeError), cat.record("gr4j", parameters={"x1": 1.0}, reuse=True):
        raise RuntimeError
    with cat.record("gr4j", parameters={"x1": 1.0}, reuse=True):
        pass
    assert len(cat) == 1
    assert len([*(project / "simulations").iterdir()]) == 1


def test_what_is_said_inside_the_block_counts_too(cat):
    """A parameter that was said later makes another simulation of it: the shorter call does not find that one."""
    with cat.record("gr4j", reuse=True) as rec:
        rec.parameter("x1", 1.0)
    with cat.record("gr4j", reuse=True) as rec:
        assert rec.reused is None
    with cat.record("gr4j", parameters={"x1": 1.0}, reuse=True) as rec:
        assert rec.reused is not None


def test_a_rebuilt_catalog_still_knows_what_is_the_same(cat, project, run):
    from hmp_catalog.rebuilding import rebuild_catalog

    first, _ = run()
    cat.close()
    (project / "catalog.duckdb").unlink()
    rebuild_catalog(project)
    with hmp_catalog.open(project) as again:
        assert [r.sim_id for r in again.find(solver="gr4j")] == [first.sim_id]
        about = {"parameters": {"x1": 320.0, "x2": 1.0}, "config": {"steps": 10}, "seed": 7}
        with again.record("gr4j", inputs=[project.parents[1] / "data" / "rain.csv"], reuse=True, **about) as rec:
            assert rec.reused == first


# ── what was recorded since the last fold ────────────────────────────────────────────────────────────


def recorded(cat, x1: float, **about):
    with cat.record("gr4j", parameters={"x1": x1}, **about) as rec:
        pass
    return rec


@pytest.fixture
def nothing_is_folded_in_passing(monkeypatch):
    monkeypatch.setattr("hmp_core.events.store._EVERY_SECONDS", 1e9)


def is_folded(cat) -> bool:
    return not cat.store.files.is_behind(cat.store._known)


def test_one_that_nobody_has_run_is_told_without_folding(cat, nothing_is_folded_in_passing):
    """A fold for each was 140 ms where recording takes 2."""
    recorded(cat, 0.0)
    assert len(cat) == 1
    for x1 in (1.0, 2.0, 3.0):
        assert recorded(cat, x1, reuse=True).reused is None
    assert recorded(cat, 0.0, reuse=True).reused is not None
    assert not is_folded(cat)
    assert recorded(cat, 2.0, reuse=True).reused is not None
    assert len(cat) == 4


OTHER = """
import sys, hmp_catalog
cat = hmp_catalog.open(sys.argv[1])
for line in sys.stdin:
    with cat.record("gr4j", parameters={"x1": float(line)}):
        pass
    print("done", flush=True)
"""


def test_what_another_process_has_acknowledged_is_found_though_nobody_folded_it(cat, project, spawn):
    recorded(cat, 0.0)
    assert len(cat) == 1
    with spawn(OTHER, project) as (other,):
        other.stdin.write("1\n")
        other.stdin.flush()
        assert other.stdout.readline() == "done\n"
        assert not is_folded(cat)
        assert recorded(cat, 1.0, reuse=True).reused is not None
    assert len(cat) == 2


def test_what_became_of_one_since_the_last_fold_counts(cat, nothing_is_folded_in_passing):
    first = recorded(cat, 1.0)
    assert recorded(cat, 1.0, reuse=True).reused is not None
    cat.delete(first.sim_id)
    again = recorded(cat, 1.0, reuse=True)
    assert again.reused is None
    cat.restore(first.sim_id)
    cat.purge(again.sim_id, reason="tried")
    assert recorded(cat, 1.0, reuse=True).reused.sim_id == first.sim_id


def test_one_whose_manifest_is_gone_is_not_given(cat, project):
    recorded(cat, 0.0)
    assert len(cat) == 1
    lost = recorded(cat, 1.0)
    manifest = project / "simulations" / lost.folder.name / "run.json"
    manifest.rename(manifest.with_suffix(".aside"))
    assert recorded(cat, 2.0, reuse=True).reused is None
    assert recorded(cat, 1.0, reuse=True).reused is None
    manifest.with_suffix(".aside").rename(manifest)
    cat.store.fold()
    assert len(cat.find(**{"param.x1": 1.0})) == 2


def test_one_that_was_folded_by_a_rebuild_beside_it_is_found(cat, project):
    """The database that this process knows is another one now."""
    recorded(cat, 0.0)
    assert len(cat) == 1
    recorded(cat, 1.0)
    from hmp_catalog.rebuilding import rebuild_catalog

    rebuild_catalog(project)
    assert recorded(cat, 1.0, reuse=True).reused is not None
    assert recorded(cat, 0.0, reuse=True).reused is not None


def test_where_nothing_is_folded_the_run_that_was_made_is_given_and_not_said_to_be_empty(cat, monkeypatch):
    monkeypatch.setenv("HMP_FOLD", "never")
    made = cat.simulate("gr4j", lambda rec: rec.metric("nse", 0.5))
    with pytest.raises(SimulationNotFound, match="folding is off"):
        _ = made.metrics
    monkeypatch.delenv("HMP_FOLD")
    assert made.metrics == {"nse": 0.5}
