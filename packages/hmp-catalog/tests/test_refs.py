"""References: every way to name a run, and what is said of those that name none, or several."""

from __future__ import annotations

from uuid import UUID

import pytest

import hmp_catalog
from hmp_catalog.errors import AmbiguousSimulation, SimulationNotFound, UnrankedMetric

A = "abcdef01-0000-4000-8000-000000000001"
B = "abcdef02-0000-4000-8000-000000000002"
C = "12345678-0000-4000-8000-000000000003"


def put_three(cat, record):
    record(cat, "base", sim_id=A, metrics={"nse": 0.5, "rmse": 2.0})
    record(cat, "wet", sim_id=B, metrics={"nse": 0.9, "rmse": 1.0})
    record(cat, "dry", sim_id=C, metrics={"nse": 0.7, "rmse": 3.0})
    return cat


@pytest.fixture(scope="module")
def three(tmp_path_factory, record):
    """Return a catalog of three runs, which no test changes."""
    with hmp_catalog.open(tmp_path_factory.mktemp("three") / "aare", create=True) as cat:
        yield put_three(cat, record)


@pytest.fixture
def own(cat, record):
    """Return a catalog of three runs, to which a test may add."""
    return put_three(cat, record)


@pytest.mark.parametrize(
    ("reference", "sim"),
    [
        (A, A),
        (A.upper(), A),
        (A.replace("-", ""), A),
        (f"{{{A}}}", A),
        (UUID(A), A),
        ("1234", C),
        ("12345678", C),
        ("12345678-0000", C),
        ("123456780000", C),
        ("ABCDEF01", A),
        ("base", A),
        (" base ", A),
        ("@latest", C),
        ("@latest~0", C),
        ("@latest~2", A),
        ("@best:nse", B),
        ("@best:rmse", B),
        ("@worst:nse", A),
        ("@worst:rmse", C),
        ("@best:nse@outlet", B),
        ("@best:nse@__outlet__", B),
    ],
    ids=str,
)
def test_a_reference_means_a_run(three, reference, sim):
    assert three[reference].sim_id == sim


@pytest.mark.parametrize(
    "reference", ["", "  ", "nobody", "ab", "fff", "ffff", "@latest~3", "@oldest", "@", "@best", "@best:", "@running"]
)
def test_what_means_nothing_is_refused(three, reference):
    with pytest.raises(SimulationNotFound) as caught:
        three[reference]
    assert isinstance(caught.value, KeyError)


def test_a_prefix_of_two_lists_both(three):
    with pytest.raises(AmbiguousSimulation, match=r"base.*wet|wet.*base") as caught:
        three["abcdef"]
    assert sorted(caught.value.candidates) == [A, B]


def test_many_candidates_are_counted_and_ten_listed(cat, record):
    for n in range(12):
        record(cat, sim_id=f"abcdef{n:02d}-0000-4000-8000-000000000001")
    with pytest.raises(AmbiguousSimulation, match="12 simulations") as caught:
        cat["abcdef"]
    assert len(caught.value.candidates) == 12
    assert str(caught.value).count("no name") == 10


def test_near_misses_are_named(three):
    with pytest.raises(SimulationNotFound, match="base") as caught:
        three["bsae"]
    assert caught.value.candidates == ["base"]


def test_a_prefix_that_is_too_short_says_so(three):
    with pytest.raises(SimulationNotFound, match="at least 4"):
        three["12"]


def test_an_unknown_special_lists_the_known(three):
    with pytest.raises(SimulationNotFound, match=r"@latest~N.*@best:METRIC"):
        three["@newest"]


def test_a_name_that_looks_like_a_prefix_of_another_is_ambiguous(own, record):
    run = record(own, "abcdef01")
    with pytest.raises(AmbiguousSimulation) as caught:
        own["abcdef01"]
    assert sorted(caught.value.candidates) == sorted([A, run.sim_id])
    assert own[run.sim_id] == run


def test_a_name_that_looks_like_hex_is_a_name(own, record):
    run = record(own, "deadbeef")
    assert own["deadbeef"] == run


def test_a_name_that_is_a_prefix_of_its_own_id_is_one_run(own, record):
    run = record(own, "feedface", sim_id="feedface-0000-4000-8000-000000000004")
    assert own["feedface"] == run


def test_a_name_that_is_the_id_of_another_gives_way(own, record):
    run = record(own, A)
    assert own[A].sim_id == A
    assert own[run.sim_id].name == A


def test_a_name_means_its_newest_finished_run(cat, record):
    record(cat, "base")
    second = record(cat, "base")
    failed = cat.record("gr4j", name="base")
    failed.seal("failed")
    running = cat.record("gr4j", name="base")
    assert cat["base"] == second
    running.seal()
    assert cat["base"].sim_id == running.sim_id


def test_a_name_without_a_finished_run_means_its_newest(cat):
    for _ in range(2):
        failed = cat.record("gr4j", name="base")
        failed.seal("failed")
    assert cat["base"].sim_id == failed.sim_id


def test_unfinished_runs_are_neither_latest_nor_best(own):
    for status in ("failed", "partial", "aborted"):
        rec = own.record("gr4j", name=status)
        rec.metrics({"nse": 0.99, "rmse": 0.0})
        rec.seal(status)
    with own.record("gr4j") as rec:
        rec.metric("nse", 1.0)
        assert own["@latest"].sim_id == C
        assert own["@best:nse"].sim_id == B
        assert own["@running"].sim_id == rec.sim_id


def test_ranking_at_a_station(cat, record):
    for name, here, there in (("a", 0.9, 0.1), ("b", 0.1, 0.9)):
        with cat.record("gr4j", name=name) as rec:
            rec.metric("nse", here)
            rec.metric("nse", there, station="q 1@bridge")
    assert cat["@best:nse"].name == "a"
    assert cat["@best:nse@q 1@bridge"].name == "b"
    with pytest.raises(SimulationNotFound):
        cat["@best:nse@nowhere"]


@pytest.mark.parametrize("reference", ["@best:colour", "@worst:colour@outlet"])
def test_ranking_by_a_metric_without_direction_says_which_have_one(three, reference):
    with pytest.raises(UnrankedMetric, match=r"kge, .*rmse"):
        three[reference]


def test_a_renamed_run_goes_by_its_new_name(own):
    own["base"].rename("reference")
    assert own["reference"].sim_id == A
    with pytest.raises(SimulationNotFound):
        own["base"]


def test_an_empty_catalog_has_nothing(cat):
    for reference in ("@latest", "@best:nse", "@running", "base", A):
        with pytest.raises(SimulationNotFound):
            cat[reference]


def test_a_run_from_the_future_is_not_the_latest_for_ever(own, record, monkeypatch):
    """A clock was wrong for one run; those that come later are the latest, and mean what they are called."""
    import time

    real = time.time_ns
    with monkeypatch.context() as wrong:
        wrong.setattr("time.time_ns", lambda: real() + 30 * 365 * 86400 * 10**9)
        record(own, "base", metrics={"nse": 0.1})
    assert own["@latest"].sim_id == C
    assert own["base"].sim_id == A
    later = record(own, "later")
    assert own["@latest"] == later
    assert own["@latest~4"].metrics == {"nse": 0.1}  # it is there, behind all others


def test_what_may_be_in_the_log_alone_is_not_said_to_be_nowhere(own, monkeypatch):
    """A disk is full, or another host folds: the run was acknowledged, and is not in the tables yet."""
    with pytest.raises(SimulationNotFound) as whole:
        own["nobody"]
    assert not hasattr(whole.value, "__notes__")
    monkeypatch.setenv("HMP_FOLD", "never")
    own.record("gr4j", name="later").seal()
    with pytest.raises(SimulationNotFound) as lacking:
        own["later"]
    assert "2 unfolded" in lacking.value.__notes__[0]
