"""Calibrations: every trial on record, from one process or many, also of a session that was killed."""

from __future__ import annotations

import math
import signal
import subprocess
import sys

import numpy as np
import pytest

import hmp_catalog
from hmp_core.errors import InvalidInput, NotFound, SealedError

TRIALS = """
import sys, hmp_catalog
cat = hmp_catalog.open(sys.argv[1])
with cat.calibration("sce-ua", objective="1 - kge", session=sys.argv[2]) as session:
    sys.stdin.readline()
    number = int(sys.argv[3])
    for n in range(25):
        session.trial({"x1": n, "process": number}, number + n / 100, {"kge": 1 - number - n / 100})
cat.close()
print("done", flush=True)
"""

KILLED = """
import os, signal, sys, hmp_catalog
cat = hmp_catalog.open(sys.argv[1])
session = cat.calibration("sce-ua", objective="1 - kge")
for n in range(10):
    session.trial({"x1": n}, 1 - n / 10, flush=n == 6)
print(session.session_id, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def session(cat):
    with cat.calibration("sce-ua", objective="1 - kge", config={"repetitions": 10}, seed=7) as found:
        yield found


@pytest.fixture(scope="module")
def going(common):
    """Return a session that the tests of refusals share."""
    with common.calibration("sce-ua", objective="1 - kge") as found:
        yield found


def test_trials_come_back_in_the_order_they_were_made(cat, session):
    """Many are made within a millisecond."""
    ids = [session.trial({"x1": n}, 1 / (n + 1), {"kge": n}) for n in range(200)]
    table = session.table
    assert table.column("trial_id").to_pylist() == ids
    assert table.column("iteration").to_pylist() == list(range(1, 201))
    assert cat.trials(session.session_id).equals(table)


def test_the_best_have_the_lowest_objective(session):
    made = session.trials([({"x1": n}, abs(n - 3), {"kge": 1 - abs(n - 3)}) for n in range(6)])
    assert [trial["objective"] for trial in session.top(3)] == [0.0, 1.0, 1.0]
    best = session.best()
    assert (best["trial_id"], best["parameters"], best["metrics"]) == (made[3], {"x1": 3}, {"kge": 1.0})
    # of equals, the first that was made
    assert [trial["trial_id"] for trial in session.top(3)][1] == made[2]


def test_what_failed_is_on_record_and_never_wins(session):
    session.trial({"x1": 1}, float("nan"))
    session.trial({"x1": 2}, 0.1, status="diverged")
    session.trial({"x1": 3}, 0.0, status="crashed")
    with pytest.raises(NotFound, match="no completed trial"):
        session.best()
    session.trial({"x1": 4}, float("inf"))
    session.trial({"x1": 5}, 7.0)
    assert session.best()["parameters"] == {"x1": 5}
    assert session.table.column("status").to_pylist() == ["completed", "diverged", "crashed", "completed", "completed"]
    assert math.isnan(session.table.column("objective_value").to_pylist()[0])


@pytest.mark.parametrize("value", [float("-inf"), float("inf"), float("nan")])
def test_an_objective_that_is_not_finite_is_on_record_and_never_the_best(cat, session, value):
    """A logarithm of nothing is -inf, which is lower than any number."""
    session.trial({"x1": 1}, value)
    with pytest.raises(NotFound, match="no completed trial"):
        session.best()
    assert cat.calibrations()[0]["best_objective"] is None
    good = session.trial({"x1": 2}, 7.0)
    assert [trial["trial_id"] for trial in session.top(5)] == [good]
    session.end()
    ended = cat.sql("SELECT best_objective, n_iterations FROM calibration_sessions").to_pylist()
    assert ended == [{"best_objective": 7.0, "n_iterations": 2}]
    assert cat.calibrations()[0]["best_objective"] == 7.0
    assert cat.trials(session.session_id).num_rows == 2


def test_a_trial_that_crashed_is_not_the_best_of_its_session(cat, session):
    session.trial({"x1": 1}, 0.0, status="crashed")
    session.trial({"x1": 2}, 7.0, flush=True)
    assert cat.calibrations()[0]["best_objective"] == session.best()["objective"] == 7.0


def test_a_session_tells_how_it_ended(cat, record):
    run = record(cat, "best")
    session = cat.calibration("sce-ua", objective="1 - kge", config={"repetitions": 2}, seed=7)
    session.trials([({"x1": 1}, 0.5, {}), ({"x1": 2}, 0.25, {})])
    assert cat.calibrations()[0]["status"] == "running"
    session.end(best_sim_id=run.sim_id)
    found = cat.calibrations()[0]
    expected = {
        "session_id": session.session_id,
        "project": "aare",
        "method": "sce-ua",
        "objective_name": "1 - kge",
        "status": "completed",
        "n_iterations": 2,
        "best_objective": 0.25,
        "best_sim_id": run.sim_id,
        "seed": 7,
        "error_message": None,
    }
    assert {key: found[key] for key in expected} == expected
    row = cat.sql("SELECT n_iterations, best_objective, config FROM calibration_sessions").to_pylist()
    assert row == [{"n_iterations": 2, "best_objective": 0.25, "config": '{"repetitions": 2}'}]
    with pytest.raises(SealedError, match="ended"):
        session.trial({"x1": 3}, 0.1)
    with pytest.raises(SealedError, match="ended"):
        session.end()


def test_the_newest_session_comes_first(cat):
    made = [cat.calibration(method, objective="o").session_id for method in ("a", "b", "c")]
    assert [found["session_id"] for found in cat.calibrations()] == made[::-1]


@pytest.mark.parametrize(("error", "status"), [(RuntimeError, "failed"), (KeyboardInterrupt, "aborted")])
def test_an_exception_ends_it(cat, error, status):
    with pytest.raises(error), cat.calibration("sce-ua", objective="o") as session:  # noqa: PT012
        session.trial({"x1": 1}, 0.5)
        raise error
    found = cat.calibrations()[0]
    assert (found["status"], found["error_message"], found["n_iterations"]) == (status, f"{error.__name__}: ", 1)


# ── several processes ────────────────────────────────────────────────────────────────────────────────


def test_four_processes_add_trials_to_one_session(project, cat, spawn):
    with cat.calibration("sce-ua", objective="1 - kge") as session:
        with spawn(TRIALS, project, session.session_id, count=4) as processes:
            for process in processes:
                process.stdin.write("go\n")
                process.stdin.flush()
            assert [process.communicate()[0] for process in processes] == ["done\n"] * 4
        assert session.table.num_rows == 100
        assert session.best()["parameters"] == {"x1": 0, "process": 0}
        for process in range(4):
            made = [trial for trial in session.table.to_pylist() if f'"process": {process}' in trial["parameters"]]
            assert [trial["iteration"] for trial in made] == list(range(1, 26))
    assert cat.calibrations()[0]["n_iterations"] == 100
    assert cat.calibrations()[0]["status"] == "completed"


def test_what_was_flushed_survives_a_kill(project):
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(project)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == -signal.SIGKILL
    with hmp_catalog.open(project) as cat:
        found = cat.calibrations()[0]
        assert (found["session_id"], found["n_iterations"]) == (done.stdout.strip(), 7)
        assert found["best_objective"] == pytest.approx(0.4)
        assert cat.trials(found["session_id"]).column("iteration").to_pylist() == list(range(1, 8))
        assert not cat.rebuild()
        assert cat.calibrations()[0] == found


def test_a_killed_session_can_be_gone_on_with(project, cat, python):
    done = subprocess.run([sys.executable, "-c", KILLED, str(project)], capture_output=True, text=True, check=False)
    with cat.calibration("sce-ua", objective="1 - kge", session=done.stdout.strip()) as session:
        session.trial({"x1": 99}, 0.0)
        assert session.best()["parameters"] == {"x1": 99}
        session.end()
    assert (cat.calibrations()[0]["status"], cat.calibrations()[0]["n_iterations"]) == ("completed", 8)


def test_a_guest_does_not_end_the_session(cat, session):
    with cat.calibration("sce-ua", objective="1 - kge", session=session.session_id) as guest:
        guest.trial({"x1": 1}, 0.5)
    assert cat.calibrations()[0]["status"] == "running"
    assert session.table.num_rows == 1


def test_the_end_does_not_wait_for_a_lock_that_is_not_free(project, spawn):
    """Every trial is on the disk already."""
    hold = """
    import sys
    from pathlib import Path
    from hmp_core.backends.duckdb import DuckDBBackend
    with DuckDBBackend(Path(sys.argv[1])).lease(write=True):
        print("held", flush=True)
        sys.stdin.read()
    """
    with hmp_catalog.open(project, timeout=0.2) as cat:
        with spawn(hold, project / "catalog.duckdb") as (holder,), cat.calibration("a", objective="o") as session:
            assert holder.stdout.readline() == "held\n"
            session.trial({"x1": 1}, 0.5)
            session.end()
        found = cat.calibrations()[0]
        assert (found["status"], found["n_iterations"], found["best_objective"]) == ("completed", 1, 0.5)


# ── what cannot be kept ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "bad",
    [
        {"method": None},
        {"method": ""},
        {"objective": 5},
        {"config": [1]},
        {"config": {"f": print}},
        {"seed": "seven"},
    ],
)
def test_a_session_that_could_not_be_kept_is_refused(common, bad):
    before = common.calibrations()
    with pytest.raises(InvalidInput):
        common.calibration(**({"method": "sce-ua", "objective": "o"} | bad))
    assert common.calibrations() == before


@pytest.mark.parametrize(
    ("trial", "more"),
    [
        ((None, 0.5), {}),
        (([1.0], 0.5), {}),
        (({"x1": object()}, 0.5), {}),
        (({"x1": 1}, "low"), {}),
        (({"x1": 1}, None), {}),
        (({"x1": 1}, 10**400), {}),
        (({"x1": 1}, 0.5, {"kge": "high"}), {}),
        (({"x1": 1}, 0.5, [0.5]), {}),
        (({"x1": 1}, 0.5), {"status": "fine"}),
        (({"x1": 1}, 0.5), {"sim_id": "base"}),
    ],
)
def test_a_trial_that_could_not_be_kept_is_refused(going, trial, more):
    before = going.table.num_rows
    with pytest.raises(InvalidInput):
        going.trial(*trial, **more)
    going.trial({"x1": np.float64(1)}, np.float32(0.5), {"kge": np.int64(1)})
    assert going.table.column("iteration").to_pylist() == list(range(1, before + 2))


@pytest.mark.parametrize("status", ["running", "bananas", None])
def test_a_session_ends_as_runs_do(common, going, status):
    with pytest.raises(InvalidInput):
        going.end(status)
    assert common.calibrations()[0]["status"] == "running"


@pytest.mark.parametrize("unknown", ["nope", "00000000-0000-7000-8000-000000000001", "", None, 5])
def test_an_unknown_session_is_not_found(common, going, unknown):
    with pytest.raises(NotFound):
        common.trials(unknown)
    if unknown is not None:
        with pytest.raises(NotFound):
            common.calibration("a", objective="o", session=unknown)


def test_a_promoted_trial_says_which_run_it_is_and_the_run_where_it_comes_from(cat):
    with cat.calibration("grid", objective="error") as session:
        session.trials([({"k": float(k)}, abs(k - 3.0), {"rmse": abs(k - 3.0)}) for k in range(6)])
        with session.promote(session.best(), "reservoir", name="best") as rec:
            rec.metric("rmse", 0.0)
        ids = cat.trials(session.session_id).to_pydict()
    run = cat["best"]
    assert run.parameters == {"k": 3.0}
    assert ids["iteration"] == [1, 2, 3, 4, 5, 6]
    assert ids["sim_id"] == [None, None, None, run.sim_id, None, None]
    assert run.manifest["run"]["lineage_kind"] == "promoted"
    assert run.manifest["run"]["config_source"] == f"calibration:{session.session_id}/{ids['trial_id'][3]}"


def test_a_trial_of_another_session_is_not_promoted(cat):
    with cat.calibration("grid", objective="error") as other:
        trial = other.trial({"k": 1.0}, 0.5)
    with (
        cat.calibration("grid", objective="error") as session,
        pytest.raises(NotFound, match=trial),
        session.promote(trial, "reservoir"),
    ):
        pass
    assert len(cat.find()) == 0


def test_a_trial_whose_promotion_fails_stays_a_trial(cat):
    with cat.calibration("grid", objective="error") as session:
        trial = session.trial({"k": 1.0}, 0.5)
        with pytest.raises(RuntimeError), session.promote(trial, "reservoir"):
            raise RuntimeError
        assert cat.trials(session.session_id)["sim_id"].to_pylist() == [None]
    assert [run.status for run in cat.find()] == ["failed"]


def test_of_many_trials_all_are_kept_or_none(cat):
    with cat.calibration("grid", objective="error") as session:
        with pytest.raises(InvalidInput):
            session.trials([({"k": 1.0}, 0.5, {}), ({"k": object()}, 0.5, {})])
        session.trials([({"k": float(k)}, float(k), {}) for k in range(1000)])
        assert session.table["iteration"].to_pylist() == list(range(1, 1001))


ABANDONED = """
import os, signal, sys, hmp_catalog
session = hmp_catalog.open(sys.argv[1]).calibration("grid", objective="error")
session.trial({"k": 1.0}, 0.5, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_session_whose_process_died_is_interrupted(cat, project):
    assert subprocess.run([sys.executable, "-c", ABANDONED, project], check=False).returncode == -signal.SIGKILL
    (known,) = cat.calibrations()
    assert (known["status"], known["n_iterations"]) == ("interrupted", 1)
    cat.calibration("grid", objective="error", session=known["session_id"]).end("aborted")
    assert [one["status"] for one in cat.calibrations()] == ["aborted"]
