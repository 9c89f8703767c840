"""A simulation that was finished before is not run again; one that is run all the same is linked, never merged."""

from __future__ import annotations

import shutil

import pytest

import hmp_catalog
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
