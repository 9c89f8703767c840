"""Questions to the catalogs as they are at this moment: by the names of their columns, and what is missing is named."""

from __future__ import annotations

import shutil

import pytest

import hmp_index
from hmp_core.errors import InvalidInput, NotWritable, StatementError
from hmp_core.layout import catalog_path


@pytest.fixture
def filled(machine, make_sim):
    """Two workspaces with two simulations each, registered."""
    runs = [
        make_sim("base", {"nse": 0.8, "rmse@upper": 2.0}, {"x1": 320.0}, ["paper"]),
        make_sim("wet", {"nse": 0.6}, {"x1": 410.0}),
    ]
    with hmp_index.index() as index:
        for name in ("aare", "fulda"):
            index.register(machine.workspace(name, "one", sims=runs))
    return machine


@pytest.fixture
def index(filled):
    with hmp_index.index() as opened:
        yield opened


def rows(table):
    return [tuple(row.values()) for row in table.to_pylist()]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("SELECT DISTINCT name FROM all_simulations ORDER BY name", [("base",), ("wet",)]),
        ("SELECT workspace, count(*) FROM all_metrics GROUP BY 1 ORDER BY 1", [("aare", 3), ("fulda", 3)]),
        ("SELECT avg(value) FROM ALL_PARAMETERS", [(365.0,)]),
        (
            "SELECT workspace, project, tag FROM all_tags ORDER BY 1",
            [("aare", "one", "paper"), ("fulda", "one", "paper")],
        ),
        (
            "SELECT workspace, name, status FROM all_projects ORDER BY 1",
            [("aare", "one", "ok"), ("fulda", "one", "ok")],
        ),
        (
            "SELECT s.workspace, s.name, m.value FROM all_simulations s JOIN all_metrics m USING (project_id, sim_id) "
            "WHERE m.metric_name = 'nse' AND value > 0.7 ORDER BY 1",
            [("aare", "base", 0.8), ("fulda", "base", 0.8)],
        ),
    ],
)
def test_the_tables_of_all_catalogs_are_one(index, query, found):
    assert rows(index.sql(query, live=True)) == found
    assert not index.notice


def test_values_are_bound(index):
    assert rows(index.sql("SELECT count(*) FROM all_simulations WHERE name = $1", ["wet"], live=True)) == [(2,)]


def test_the_snapshot_is_there_too(index):
    """The ids are the same: a question may be about both."""
    both = (
        "SELECT count(*) FROM all_simulations a JOIN simulations_cache s "
        "ON CAST(s.sim_id AS VARCHAR) = a.sim_id AND CAST(s.project_id AS VARCHAR) = a.project_id"
    )
    index.find()
    assert rows(index.sql(both, live=True)) == [(4,)]


def test_it_is_as_it_is_now_and_not_as_the_snapshot_has_it(index, filled, make_sim):
    filled.put(filled.root / "aare" / "projects" / "one", make_sim("new"))
    assert rows(index.sql("SELECT count(*) FROM all_simulations", live=True)) == [(5,)]


def test_columns_that_the_snapshot_does_not_have_are_there(index, filled, make_sim, current_schema):
    names = index.sql("SELECT * FROM all_simulations", live=True).column_names
    assert names[:4] == ["workspace_id", "workspace", "project_id", "project"]
    assert len(set(names)) == len(names)
    extra = current_schema.replace("status VARCHAR,", "status VARCHAR, depth DOUBLE,", 1)
    filled.project(filled.root / "aare", "odd", [make_sim("deep", columns={"depth": 3.5})], schema=extra)
    assert rows(index.sql("SELECT name, depth FROM all_simulations WHERE depth > 1", live=True)) == [("deep", 3.5)]


@pytest.mark.parametrize(
    ("kinds", "values", "found"),
    [(("INTEGER", "DOUBLE"), (3, 2.5), [2.5, 3.0]), (("DOUBLE", "VARCHAR"), (1.5, "deep"), ["1.5", "deep"])],
)
def test_a_column_of_several_types_holds_them_all(index, filled, make_sim, current_schema, kinds, values, found):
    for kind, value in zip(kinds, values, strict=True):
        schema = current_schema.replace("status VARCHAR,", f"status VARCHAR, depth {kind},", 1)
        filled.project(filled.root / "aare", kind.lower(), [make_sim(columns={"depth": value})], schema=schema)
    query = "SELECT depth FROM all_simulations WHERE depth IS NOT NULL ORDER BY 1"
    assert index.sql(query, live=True)["depth"].to_pylist() == found


def test_catalogs_of_other_versions_are_matched_by_name(index, filled, make_sim, other_schema):
    filled.project(filled.root / "aare", "old", [make_sim("older", {"nse": 0.5})], schema=other_schema)
    query = "SELECT s.name, m.value FROM all_simulations s JOIN all_metrics m USING (sim_id) WHERE s.project = 'old'"
    found = index.sql(query, live=True)
    assert rows(found) == [("older", 0.5)]
    assert rows(index.sql("SELECT count(*) FROM all_tags", live=True)) == [(2,)]


def test_what_cannot_be_asked_is_named_and_stops_nobody(index, filled):
    catalog_path(filled.root / "aare" / "projects" / "one").write_bytes(b"not a database")
    assert rows(index.sql("SELECT DISTINCT workspace FROM all_simulations", live=True)) == [("fulda",)]
    (skipped,) = index.notice.skipped
    assert (skipped.workspace, skipped.project, skipped.status) == ("aare", "one", "corrupt")
    told = index.sql("SELECT workspace, status FROM all_projects ORDER BY 1", live=True)
    assert rows(told) == [("aare", "corrupt"), ("fulda", "ok")]


def test_one_that_is_held_is_busy(index, filled, held):
    with held(catalog_path(filled.root / "aare" / "projects" / "one")):
        assert rows(index.sql("SELECT DISTINCT workspace FROM all_simulations", live=True)) == [("fulda",)]
        assert [one.status for one in index.notice.skipped] == ["busy"]


def test_a_workspace_that_is_not_there_is_named(index, filled):
    shutil.move(filled.root / "aare", filled.root.parent / "away")
    assert rows(index.sql("SELECT DISTINCT workspace FROM all_simulations", live=True)) == [("fulda",)]
    assert [(one.workspace, one.status) for one in index.notice.skipped] == [("aare", "unreachable")]


def test_with_no_workspace_at_all_the_answer_is_empty(machine):
    with hmp_index.index() as index:
        assert (
            rows(index.sql("SELECT name, value FROM all_simulations JOIN all_metrics USING (sim_id)", live=True)) == []
        )
        assert rows(index.sql("SELECT avg(value) FROM all_metrics WHERE value > 0", live=True)) == [(None,)]
        assert rows(index.sql("SELECT max(created_at) FROM all_simulations", live=True)) == [(None,)]


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("SELECT * FROM workspaces", InvalidInput),
        ("SELECT 1", InvalidInput),
        ("DELETE FROM all_simulations", InvalidInput),
        ("SELECT 1 FROM all_tags; SELECT 2", InvalidInput),
        ("SELECT nothing FROM all_tags", StatementError),
    ],
)
def test_a_question_that_is_none_is_refused(index, query, error):
    with pytest.raises(error):
        index.sql(query, live=True)


def test_it_says_how_far_it_is(index):
    said = []
    index.sql("SELECT * FROM all_tags", live=True, progress=said.append)
    assert said[0] == "asked 1 projects, the last in aare"


def test_nothing_of_it_stays(index):
    index.sql("SELECT * FROM all_simulations", live=True)
    with pytest.raises(StatementError):
        index.sql("SELECT * FROM all_simulations")


def test_who_only_reads_may_ask(filled):
    with hmp_index.index(read_only=True) as reader:
        assert rows(reader.sql("SELECT count(*) FROM all_simulations", live=True)) == [(4,)]
        with pytest.raises(NotWritable):
            reader.register(filled.root / "aare")


def test_the_authority_of_each_workspace_is_asked(filled):
    class NotAare:
        def current_user(self):
            return "eve"

        def can_read(self, resource):
            return "aare" not in resource

        def can_write(self, resource):
            return True

    with hmp_index.index(auth=NotAare()) as index:
        assert rows(index.sql("SELECT DISTINCT workspace FROM all_simulations", live=True)) == [("fulda",)]
        assert "may not read catalog:aare/one" in str(index.notice)


def test_what_is_logged_is_folded_first(machine, scope):
    from hmp_core.layout import init_project

    project = init_project(machine.workspace("aare"), "one").path
    scope.install()
    store = scope.store(project)
    store.append("run.sealed", {"sim_id": "11111111-2222-4333-8444-555555555555", "name": "base"})
    with hmp_index.index() as index:
        index.register(project.parents[1])
        store.append("run.sealed", {"sim_id": "21111111-2222-4333-8444-555555555555", "name": "late"})
        assert rows(index.sql("SELECT name FROM all_simulations ORDER BY 1", live=True)) == [("base",), ("late",)]
    store.close()
