"""From events to rows: what is not understood waits, and nobody's words get lost in whatever order they come."""

from __future__ import annotations

import itertools
import shutil
from dataclasses import replace

import pytest

import hmp_catalog
from hmp_catalog.fold import FOLD
from hmp_core.events import NotYet
from hmp_core.events.pending import LogFiles
from hmp_core.events.rebuild import rebuild
from hmp_core.layout import catalog_path

SIM = "00000000-0000-4000-8000-000000000001"


def events_of(project):
    return LogFiles(catalog_path(project)).harvest({}).events


@pytest.fixture
def story(project, cat):
    """Return the events of a run of which much was said, and the place where it lies."""
    rec = cat.record("gr4j", name="base", tags=["a"])
    rec.metric("nse", 0.5)
    run = cat["base"]
    run.tag("-a")
    run.rename("other")
    rec.seal()
    run.metric("nse", 0.6)
    assert len(cat) == 1
    cat.close()
    return project, events_of(project)


def test_any_order_gives_the_same_rows(story, tmp_path, contents):
    project, events = story
    before = contents(project)
    assert len(events) == 5
    orders = list(itertools.permutations(range(len(events))))[:: 120 // 10]
    for n, order in enumerate(orders):
        copy = tmp_path / str(n)
        shutil.copytree(project, copy)
        pack = next((copy / "events").glob("*.log"))
        lines = [line + b"\n" for line in pack.read_bytes().split(b"\n") if line]
        # and some of it twice
        pack.write_bytes(b"".join(lines[i] for i in [*order, *order[:2]]))
        assert not rebuild(catalog_path(copy), FOLD)
        assert contents(copy) == before


def test_one_event_at_a_time_gives_the_same_rows(story, tmp_path, contents):
    """The same words, folded one by one and backwards."""
    project, events = story
    copy = tmp_path / "copy"
    copy.mkdir()
    shutil.copy(project / "project.toml", copy)
    shutil.copytree(project / "simulations", copy / "simulations")
    with hmp_catalog.open(copy, create=True) as cat:
        assert len(cat) == 1  # of the manifest
        for event in reversed(events):
            cat.store.commit([event])
            cat.find()
        assert not cat.notice
    # which was first is what the chain of the audit trail tells
    assert unchained(contents(copy)) == unchained(contents(project))


def unchained(rows):
    trail = [{**row, "seq": None, "chain_hash": None} for row in rows["audit_log"]]
    return rows | {"audit_log": sorted(trail, key=lambda row: row["event_id"])}


@pytest.mark.parametrize("change", [{"kind": "run.sung"}, {"v": 2}])
def test_what_a_newer_hmp_said_waits(project, cat, change):
    event = cat.store.prepare("run.tagged", {"sim_id": SIM, "tag": "x", "on": True})
    cat.store.commit([replace(event, **change)])
    assert len(cat) == 0
    assert cat.notice.waiting == 1
    assert "not known to this hmp" in cat.sql("SELECT reason FROM _hmp_waiting").to_pylist()[0]["reason"]
    assert not list((project / ".hmp" / "catalog").glob("rejected/*"))


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        ("run.tagged", {"tag": "x", "on": True}),
        ("run.renamed", {"name": "x"}),
        ("run.noted", {"notes": "x"}),
        (
            "run.measured",
            {
                "metric": {
                    "name": "nse",
                    "station": "q",
                    "variable": "",
                    "value": 1,
                    "n_samples": None,
                    "period": [None, None],
                }
            },
        ),
    ],
)
def test_what_is_said_of_a_run_that_is_not_known_waits_for_it(cat, kind, payload):
    cat.store.append(kind, {"sim_id": SIM, "project": "aare"} | payload)
    assert len(cat) == 0
    assert cat.notice.waiting == 1
    cat.record("gr4j", sim_id=SIM).seal()
    assert len(cat) == 1
    assert not cat.notice


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"sim_id": "not an id", "tag": "x", "on": True},
        {"sim_id": SIM, "tag": None, "on": True},
        {"sim_id": SIM, "tag": 5, "on": True},
    ],
    ids=str,
)
def test_facts_that_nobody_expects_wait_and_stop_nothing(cat, record, payload):
    record(cat, "first", sim_id=SIM)
    cat.store.append("run.tagged", payload)
    record(cat, "second")
    assert [run.name for run in cat] == ["second", "first"]
    assert cat.notice.waiting == 1


def test_a_seal_that_names_a_folder_elsewhere_waits(project, tmp_path):
    event = replace(_sealed(project), payload={"sim_id": SIM, "folder": "../../secret", "sha256": "0", "status": "x"})
    with pytest.raises((NotYet, ValueError)):
        list(FOLD.rows(event, project))


def _sealed(project):
    with hmp_catalog.open(project) as cat:
        return cat.store.prepare("run.sealed", {})


def test_every_audited_event_is_on_the_trail(story, contents):
    project, events = story
    trail = contents(project)["audit_log"]
    assert sorted(row["event_type"] for row in trail) == [
        "metric.write",
        "sim.finalize",
        "sim.register",
        "sim.rename",
        "sim.tag_remove",
    ]
    assert {row["event_id"] for row in trail} == {str(event.id) for event in events}
    assert {row["project"] for row in trail} == {"aare"}


def test_a_solver_of_ones_own_is_listed_and_a_known_one_stays_described(cat, record):
    record(cat, solver="mymodel")
    record(cat, solver="gr4j")
    rows = cat.sql("SELECT code, category FROM solvers WHERE code IN ('mymodel', 'gr4j') ORDER BY code").to_pylist()
    assert rows == [{"code": "gr4j", "category": "lumped"}, {"code": "mymodel", "category": "unspecified"}]


def test_study_areas_keep_their_names_and_extents(cat, record):
    record(cat, study_area="Aare", bbox=(0, 0, 1, 1))
    record(cat, study_area="東京", bbox=(2, 2, 3, 3))
    record(cat, study_area="長江")
    record(cat, study_area="Aare")
    rows = cat.sql(
        "SELECT d.name, d.bbox_xmin, count(*) AS runs FROM dim_study_areas d "
        "JOIN simulations s ON s.study_area_name = d.code GROUP BY ALL ORDER BY 1"
    ).to_pylist()
    assert rows == [
        {"name": "Aare", "bbox_xmin": 0.0, "runs": 2},
        {"name": "東京", "bbox_xmin": 2.0, "runs": 1},
        {"name": "長江", "bbox_xmin": None, "runs": 1},
    ]
