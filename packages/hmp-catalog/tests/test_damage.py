"""Manifests, markers and the database of a project, cut, overwritten or with a bit turned: right, refused or named."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import hmp_catalog
from hmp_catalog.rebuilding import rebuild_catalog
from hmp_core.databases import Database
from hmp_core.errors import CorruptError, HmpError
from hmp_core.layout import catalog_path
from hmp_core.testing.children import start
from hmp_core.testing.damage import spoilt


@pytest.fixture
def filled(project, cat, record) -> Path:
    """A project with three finished runs and a catalog that was closed."""
    record(cat, "base", parameters={"x1": 320.0}, metrics={"nse": 0.8}, tags=["a"], config={"dt": "1D"})
    record(cat, "wet", parameters={"x1": 410.0}, metrics={"nse": 0.6})
    record(cat, "dry", parameters={"x1": 210.0}, metrics={"nse": 0.7})
    cat["wet"].tag("later")
    cat.close()
    return project


def _answers(project: Path) -> dict[str, object]:
    with hmp_catalog.open(project) as cat:
        runs = {run.name: [run.status, run.parameters, run.metrics, run.tags, str(run.facts["error"])] for run in cat}
        return runs | {"lacks": str(cat.notice)}


def _manifest(project: Path) -> Path:
    (folder,) = (project / "simulations").glob("base__*")
    return folder / "run.json"


# ── manifests ────────────────────────────────────────────────────────────────────────────────────────


def _judge_manifests(filled: Path, *, count: int, seed: int, logged: bool) -> None:
    right = _answers(filled)
    if not logged:
        shutil.rmtree(filled / "events")
        rebuild_catalog(filled)
        right = _answers(filled)
    whole = _manifest(filled).read_bytes()
    for how, content in spoilt(whole, count=count, seed=seed):
        _manifest(filled).write_bytes(content)
        outcome = rebuild_catalog(filled)
        assert _manifest(filled).read_bytes() == content, how
        found = _answers(filled)
        others = {"wet", "dry"}
        assert {name: found[name] for name in others} == {name: right[name] for name in others}, how
        if found.get("base") != right["base"]:
            assert outcome.waiting, how
            # of the run that was opened nothing is told that its manifest alone knows
            assert found.get("base", ["running"])[0] in {"running", "interrupted"}, how
            assert "waiting" in str(found["lacks"]), how
    _manifest(filled).write_bytes(whole)
    assert not rebuild_catalog(filled)
    assert _answers(filled) == right


@pytest.mark.parametrize("logged", [True, False], ids=["beside its log", "alone"])
def test_a_spoilt_manifest_waits_and_is_never_half_believed(filled, logged):
    _judge_manifests(filled, count=1, seed=1, logged=logged)


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("logged", [True, False], ids=["beside its log", "alone"])
def test_a_manifest_spoilt_anywhere_waits(filled, logged):
    _judge_manifests(filled, count=100, seed=2, logged=logged)


def test_a_spoilt_manifest_takes_nothing_from_what_was_folded(filled):
    right = _answers(filled)
    for how, content in spoilt(_manifest(filled).read_bytes(), count=1, seed=3):
        _manifest(filled).write_bytes(content)
        assert _answers(filled) == right, how
        with hmp_catalog.open(filled) as cat:
            try:
                config = cat["base"].config
            except HmpError as error:
                assert "run.json" in str(error)  # noqa: PT017 - either will do
            else:
                assert config == {"dt": "1D"}, how


# ── the marker, the database ─────────────────────────────────────────────────────────────────────────


def test_a_spoilt_marker_keeps_nobody_from_the_runs(filled):
    """The catalog does not need what it says: id and name are for the index, which tells when they are gone."""
    right = _answers(filled)
    marker = filled / "project.toml"
    for how, content in spoilt(marker.read_bytes(), count=1, seed=4):
        marker.write_bytes(content)
        assert _answers(filled) == right, how
        assert marker.read_bytes() == content, how


_OPEN = """
    import hmp_catalog
    from hmp_core.errors import HmpError
    for content in contents:
        database.write_bytes(content)
        try:
            with hmp_catalog.open(project) as cat:
                say({run.name: [run.parameters, run.metrics, run.tags] for run in cat})
        except HmpError as error:
            say(error)
"""


def test_a_spoilt_database_is_right_or_says_how_it_is_rebuilt(filled):
    right = {name: told[1:4] for name, told in _answers(filled).items() if name != "lacks"}
    database = catalog_path(filled)
    cases = list(spoilt(database.read_bytes(), count=4, seed=5))
    refused = 0
    with start(_OPEN, database=database, project=filled, contents=[content for _, content in cases]) as child:
        for (how, _), answer in zip(cases, child.rest(), strict=True):
            if isinstance(answer, HmpError):
                refused += 1
                assert isinstance(answer, CorruptError), (how, answer)
                assert f"`hmp catalog rebuild --project {filled}`" in str(answer)
            else:
                assert answer == right, how
    assert refused > 5
    assert not rebuild_catalog(filled)
    assert {name: told[1:4] for name, told in _answers(filled).items() if name != "lacks"} == right


def test_the_command_in_the_message_mends_it(filled, hmp):
    right = _answers(filled)
    catalog_path(filled).write_bytes(b"not a database")
    refused = hmp("catalog", "ls", "--project", filled)
    assert refused.returncode == 22
    command = refused.stderr.partition("`hmp ")[2].partition("`")[0]
    assert hmp(*command.split()).returncode == 0
    assert _answers(filled) == right


# ── what the engine does not see ─────────────────────────────────────────────────────────────────────


def test_what_slips_past_the_checksums_of_the_engine_is_found_by_looking_deep(filled):
    """They are sums of words that may change places, and equal words vanish in pairs: wrong rows, and no complaint.

    Bits that turned and noise are always seen (see `hmp_core`'s test_damage); this stands for all that is not.
    """
    from hmp_core.backends.duckdb import DuckDBBackend
    from hmp_core.doctor.case import Case
    from hmp_core.doctor.verify import verify

    database = Database("catalog", catalog_path(filled))
    assert not verify(Case(database, filled, 10.0), deep=True).findings
    DuckDBBackend(database.path).execute("UPDATE metrics SET value = 0.99 WHERE metric_name = 'nse'")
    with hmp_catalog.open(filled) as cat:
        assert cat["base"].metrics == {"nse": 0.99}, "nothing tells"
    assert verify(Case(database, filled, 10.0), deep=True).findings
    rebuild_catalog(filled)
    assert not verify(Case(database, filled, 10.0), deep=True).findings
    with hmp_catalog.open(filled) as cat:
        assert cat["base"].metrics == {"nse": 0.8}
