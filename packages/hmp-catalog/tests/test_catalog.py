"""The catalog among other processes: names given once, writers that never wait, one state for several questions."""

from __future__ import annotations

import pytest

import hmp_catalog
from hmp_catalog.errors import DuplicateSimulationName
from hmp_core.auth import LocalAuthBackend
from hmp_core.errors import AccessDenied, BusyError, FoldDisabled, HmpError

CLAIM = """
import sys, hmp_catalog
from hmp_catalog.errors import DuplicateSimulationName
cat = hmp_catalog.open(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for n in range(5):
    try:
        with cat.record("gr4j", name=f"base {n}", if_exists="fail", parameters={"process": int(sys.argv[2])}) as rec:
            print(n, rec.sim_id, flush=True)
    except DuplicateSimulationName:
        pass
print("end", flush=True)
"""


def test_of_four_processes_exactly_one_gets_a_name(project, cat, spawn):
    with spawn(CLAIM, project, count=4) as processes:
        for process in processes:
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            process.stdin.write("go\n")
            process.stdin.flush()
        lines = [line for process in processes for line in process.communicate()[0].splitlines()]
    assert lines.count("end") == 4
    won = sorted(line.split() for line in lines if line != "end")
    assert [n for n, _ in won] == list("01234")
    assert sorted((run.name, run.sim_id) for run in cat) == [(f"base {n}", sim) for n, sim in won]


def test_a_name_that_exists_is_refused_if_asked(project, cat, record):
    run = record(cat, "base")
    with pytest.raises(DuplicateSimulationName, match=run.sim_id) as caught:
        cat.record("gr4j", name="base", if_exists="fail")
    assert isinstance(caught.value, ValueError)
    assert caught.value.name == "base"
    assert len(cat) == 1
    assert len(list((project / "simulations").iterdir())) == 1
    for other in ("other", None):
        cat.record("gr4j", name=other, if_exists="fail").seal()
    assert len(cat) == 3


def test_a_name_of_an_open_run_is_taken(cat):
    with cat.record("gr4j", name="base"), pytest.raises(DuplicateSimulationName):
        cat.record("gr4j", name="base", if_exists="fail")


def test_a_question_that_needs_the_database_at_once_says_so(cat, monkeypatch):
    monkeypatch.setenv("HMP_FOLD", "never")
    with pytest.raises(FoldDisabled):
        cat.record("gr4j", name="base", if_exists="fail")


def test_a_name_is_not_given_while_somebody_else_holds_the_lock(project, spawn):
    hold = """
    import sys
    from pathlib import Path
    from hmp_core.locks import database_lock
    with database_lock(Path(sys.argv[1])).hold():
        print("held", flush=True)
        sys.stdin.read()
    """
    with hmp_catalog.open(project, timeout=0.2) as cat:
        with spawn(hold, project / "catalog.duckdb") as (holder,):
            assert holder.stdout.readline() == "held\n"
            with pytest.raises(BusyError, match=str(holder.pid)):
                cat.record("gr4j", name="base", if_exists="fail")
        assert len(cat) == 0


def test_several_questions_see_the_same_state(project, cat, record, spawn):
    record(cat, "base")
    code = """
    import sys, hmp_catalog
    sys.stdin.readline()
    cat = hmp_catalog.open(sys.argv[1])
    with cat.record("gr4j", name="other"):
        pass
    print("recorded", flush=True)
    """
    with spawn(code, project) as (other,):
        with cat.reading():
            assert len(cat.find()) == 1
            other.stdin.write("go\n")
            other.stdin.flush()
            # it waits for the lock to open the catalog: what is read here does not change
            assert [len(cat.find()) for _ in range(5)] == [1] * 5
        assert other.stdout.readline() == "recorded\n"
    assert len(cat) == 2


def test_what_one_process_acknowledged_the_next_one_sees(project, cat, python):
    code = "import sys, hmp_catalog; print(len(hmp_catalog.open(sys.argv[1])))"
    for n in range(1, 4):
        with cat.record("gr4j", name=f"run {n}"):
            pass
        assert python(code, project).strip() == str(n)


def test_a_catalog_that_is_left_open_blocks_nobody(project, cat, record, python):
    record(cat, "base")
    assert len(cat) == 1
    python("import sys, hmp_catalog\nwith hmp_catalog.open(sys.argv[1]) as c:\n c['base'].tag('x')", project)
    assert cat["base"].tags == ["x"]


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO tags VALUES (uuid(), 'a', NULL, NULL, 'x')",
        "DELETE FROM simulations",
        "DROP TABLE simulations",
        "UPDATE simulations SET name = 'x'",
        "CREATE TABLE mine (a INTEGER)",
    ],
)
def test_sql_changes_nothing(project, cat, record, contents, sql):
    record(cat, "base")
    assert len(cat) == 1
    before = contents(project)
    with pytest.raises(HmpError):
        cat.sql(sql)
    assert contents(project) == before


def test_sql_takes_parameters(cat, record):
    record(cat, "it's")
    assert cat.sql("SELECT name FROM simulations WHERE name = $1", ["it's"]).to_pylist() == [{"name": "it's"}]


def test_every_view_answers(cat, record):
    run = record(cat, "base", metrics={"nse": 0.5, "rmse": 2.0})
    assert [(r["name"], r["nse"]) for r in cat.sql("SELECT * FROM v_simulation_summary").to_pylist()] == [("base", 0.5)]
    pivot = cat.sql("SELECT CAST(sim_id AS VARCHAR) AS sim, nse, rmse FROM v_metrics_pivot").to_pylist()
    assert pivot == [{"sim": run.sim_id, "nse": 0.5, "rmse": 2.0}]


def test_a_catalog_is_a_collection_of_runs(cat, record):
    record(cat, "a")
    record(cat, "b")
    assert [run.name for run in cat] == ["b", "a"]
    assert len(cat) == 2
    assert "aare" in repr(cat)


class Guarded(LocalAuthBackend):
    """Lets read, and not write."""

    def can_write(self, resource):
        self.asked = resource
        return False


def test_who_may_not_write_writes_nothing(project, cat, record):
    run = record(cat, "base")
    auth = Guarded()
    with hmp_catalog.open(project, auth=auth) as guarded:
        assert guarded["base"] == run
        for write in (
            lambda: guarded.record("gr4j"),
            lambda: guarded["base"].tag("x"),
            lambda: guarded.calibration("a", objective="o"),
            guarded.rebuild,
        ):
            with pytest.raises(AccessDenied, match="catalog:workspace/aare"):
                write()
    assert auth.asked == "catalog:workspace/aare"
    assert (len(cat), cat["base"].tags) == (1, [])
