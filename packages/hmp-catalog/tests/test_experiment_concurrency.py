"""Several who use one experiments store at once: threads, processes, a fork, a death, a full disk; nothing is lost."""

from __future__ import annotations

import os
import pickle
import random
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pytest

pytest.importorskip("polars")
pytest.importorskip("joblib")

from hmp_catalog.errors import ExperimentNotFound, StoreClosed
from hmp_catalog.experiments.store import WorkspaceStore
from hmp_core.backends.duckdb import DuckDBBackend
from hmp_core.errors import HmpError, SchemaTooNewError, StorageError
from hmp_core.testing.children import run, start
from hmp_core.testing.surroundings import fill, small_disk

#: What other processes know.
BEGIN = """
from hmp_catalog.experiments.store import WorkspaceStore

def predict(store, pipeline, n):
    of_model = ("wheat", "m", "a.M", f"fold_{n}", "val", float(n), 0.2, 0.3, "rmse", "regression", 4, 2)
    return store.save_prediction(pipeline, None, *of_model, {}, {}, None, None, 0, 0.0)

def begun(store, name="first"):
    run = store.begin_run(name, {}, [{"name": "wheat"}])
    return run, store.begin_pipeline(run, "0001", {}, [], "wheat", "0a")

def chain(store, pipeline, artifact):
    steps = [{"step_idx": 1, "operator_class": "a.M", "params": {}, "artifact_id": None, "stateless": False}]
    return store.save_chain(pipeline, steps, 1, "a.M", "", "per_fold", {"fold_0": artifact}, {})
"""
ours: dict[str, Any] = {}
exec(BEGIN, ours)  # the same here and there
predict, begun, chain = ours["predict"], ours["begun"], ours["chain"]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[WorkspaceStore]:
    with WorkspaceStore(tmp_path) as opened:
        yield opened


def ids(store: WorkspaceStore) -> set[str]:
    return set(store.query_predictions()["prediction_id"])


def knowing(code: str) -> str:
    return BEGIN + dedent(code)


def left(folder: Path) -> list[str]:
    """Return what closing has to clear away."""
    journals = [each.name for each in (folder / ".hmp").rglob("*.log")]
    return journals + [each.name for each in folder.glob("*.wal*")]


# ── another process ──────────────────────────────────────────────────────────────────────────────────


def test_each_sees_what_the_other_has_said_while_both_are_open(store, tmp_path):
    _, pipeline = begun(store)
    code = """
    with WorkspaceStore(folder) as store:
        while True:
            said = listen()
            if said is None:
                break
            seen = store.query_predictions()["prediction_id"].to_list()
            say((seen, predict(store, pipeline, 100 + said)))
    """
    with start(knowing(code), folder=tmp_path, pipeline=pipeline) as other:
        mine, theirs = set[str](), set[str]()
        for n in range(5):
            mine.add(predict(store, pipeline, n))
            other.tell(n)
            seen, said = other.hear()
            assert set(seen) == mine | theirs
            theirs.add(said)
            assert ids(store) == mine | theirs
        other.tell(None)
        assert other.join() == 0
    assert ids(store) == mine | theirs


def test_a_reader_sees_arrays_and_artefacts_that_are_not_settled(store, tmp_path):
    _, pipeline = begun(store)
    prediction = predict(store, pipeline, 1)
    store.save_prediction_arrays(prediction, np.arange(4.0), np.arange(4.0) + 1)
    artifact = store.save_artifact({"coef": 3}, "a.M", "model", "joblib")
    code = """
    with WorkspaceStore(folder, read_only=read_only) as store:
        found = store.get_prediction(prediction, load_arrays=True)
        say((found["y_pred"].tolist(), store.load_artifact(artifact)))
    """
    names = {"folder": tmp_path, "prediction": prediction, "artifact": artifact}
    assert run(knowing(code), read_only=False, **names) == [([1, 2, 3, 4], {"coef": 3})]
    assert run(knowing(code), read_only=True, **names) == [([1, 2, 3, 4], {"coef": 3})]


def test_two_who_write_and_one_who_deletes_and_collects_lose_nothing(tmp_path):
    """Of what is named, and of what nobody took away."""
    writes = """
    store = WorkspaceStore(folder)
    run, pipeline = begun(store, f"writer {number}")
    kept = []
    for n in range(15):
        artifact = store.save_artifact({"coef": n}, "a.M", "model", "joblib")  # the same for both
        kept.append((chain(store, pipeline, artifact), artifact, predict(store, pipeline, n)))
    store.complete_pipeline(pipeline, 0.1, 0.2, "rmse", 1)
    store.complete_run(run, {})
    store.close()
    say((run, kept))
    """
    clears = """
    store = WorkspaceStore(folder)
    say("begun")
    n = 0
    while n < 6 or not stop.exists():
        n += 1
        run, pipeline = begun(store, "doomed")
        chain(store, pipeline, store.save_artifact({"coef": n % 15}, "a.M", "model", "joblib"))
        predict(store, pipeline, n)
        assert store.delete_run(run) == 4
        store.gc_artifacts()
    store.close()
    """
    stop = tmp_path.with_name("stop")
    folder = tmp_path / "store"
    WorkspaceStore(folder).close()
    with start(knowing(clears), folder=folder, stop=stop) as clearing:
        clearing.hear()
        code = knowing(writes)
        with start(code, folder=folder, number=1) as one, start(code, folder=folder, number=2) as two:
            said = [one.hear(60), two.hear(60)]
        stop.touch()
        assert clearing.join() == 0, clearing.rest()
    with WorkspaceStore(folder) as store:
        kept = [each for _, written in said for each in written]
        assert ids(store) == {prediction for _, _, prediction in kept}
        assert set(store.list_runs()["name"]) == {"writer 1", "writer 2"}
        for saved, artifact, _ in kept:
            assert store.get_chain(saved)["fold_artifacts"] == {"fold_0": artifact}
            assert store.artifact(artifact)["ref_count"] == 2
        assert [store.load_artifact(artifact)["coef"] for _, artifact, _ in said[0][1]] == [*range(15)]
        assert store.gc_artifacts() == 0
    assert left(folder) == []


def test_what_a_living_process_has_saved_and_not_named_is_no_garbage(store, tmp_path):
    code = """
    store = WorkspaceStore(folder)
    run, pipeline = begun(store)
    artifact = store.save_artifact({"coef": 1}, "a.M", "model", "joblib")
    say(artifact)
    listen()
    chain(store, pipeline, artifact)
    store.close()
    """
    with start(knowing(code), folder=tmp_path) as other:
        artifact = other.hear()
        assert store.gc_artifacts() == 0
        other.tell()
        assert other.join() == 0
    assert store.artifact(artifact)["ref_count"] == 1
    assert store.load_artifact(artifact) == {"coef": 1}


def test_what_a_dead_process_saved_and_never_named_is_garbage(store, tmp_path):
    code = """
    WorkspaceStore.close = lambda store: None
    store = WorkspaceStore(folder)
    say(store.save_artifact({"coef": 1}, "a.M", "model", "joblib"))
    listen()
    """
    with start(knowing(code), folder=tmp_path) as other:
        artifact = other.hear()
        other.kill()
    assert store.gc_artifacts() == 1
    with pytest.raises(ExperimentNotFound):
        store.load_artifact(artifact)


# ── death ────────────────────────────────────────────────────────────────────────────────────────────

ENDLESS = """
store = WorkspaceStore(folder)
run, pipeline = begun(store)
say((run, pipeline))
n = 0
while True:
    n += 1
    saved = predict(store, pipeline, n)
    store.save_prediction_arrays(saved, [float(n)], [float(-n)])
    say(saved)
    if n % 20 == 0:
        store.query_predictions(limit=1)
    if n % 33 == 0:
        store.flush()
"""


@pytest.mark.parametrize("heard", [1, 45])
def test_a_killed_process_loses_nothing_that_returned(tmp_path, heard):
    with start(knowing(ENDLESS), folder=tmp_path) as child:
        began, pipeline = child.hear()
        for _ in range(heard):
            child.hear()
        os.kill(child.pid, signal.SIGKILL)
        said = child.rest()[1:]
    with WorkspaceStore(tmp_path) as store:
        found = ids(store)
        assert set(said) <= found
        assert len(found) <= len(said) + 1
        for n, saved in enumerate(said, 1):
            assert store.get_prediction(saved, load_arrays=True)["y_pred"].tolist() == [-n]
        assert store.get_run(began)["status"] == "interrupted"
        store.complete_pipeline(pipeline, 0.1, 0.2, "rmse", 1)  # somebody takes it up
        store.complete_run(began, {})
        assert store.get_run(began)["status"] == "completed"
    assert left(tmp_path) == []


#: Somebody who settles, fails and deletes all the time: death comes within the engine more often than not.
RESTLESS = """
import itertools
store = WorkspaceStore(folder)
run, pipeline = begun(store)
say((run, pipeline))
for n in itertools.count(1):
    saved = predict(store, pipeline, n)
    store.save_prediction_arrays(saved, [float(n)], [float(-n)])
    say(saved)
    doomed, failing = begun(store, "doomed")
    chain(store, failing, store.save_artifact({"coef": n}, "a.M", "model", "joblib"))
    predict(store, failing, n)
    if n % 2:
        store.fail_pipeline(failing, "singular")
    assert store.delete_run(doomed) == (2 if n % 2 else 4)
    store.query_predictions(limit=1)
    if n % 5 == 0:
        store.gc_artifacts()
"""


def die_at_any_moment(folder: Path, delay: float) -> None:
    with start(knowing(RESTLESS), folder=folder) as child:
        child.hear()
        child.hear()
        time.sleep(delay)
        os.kill(child.pid, signal.SIGKILL)
        said = child.rest()[1:]
    with WorkspaceStore(folder) as store:
        assert set(said) <= ids(store)
        runs = store.list_runs()
        kept = runs.filter(runs["name"] == "first")["run_id"].to_list()
        pipelines = store.list_pipelines(run_id=kept[0])["pipeline_id"].to_list()
        assert len(store.query_predictions(pipeline_id=pipelines[0])) in {len(said), len(said) + 1}
        for n, saved in enumerate(said, 1):
            assert store.get_prediction(saved, load_arrays=True)["y_pred"].tolist() == [-n]
        # of the last run that was to go there is all or nothing
        assert len(runs) <= 2
        for doomed in set(runs["run_id"]) - set(kept):
            rows = store.query_predictions(run_id=doomed)
            failed = [each for each in store.list_pipelines(run_id=doomed)["status"] if each == "failed"]
            assert len(rows) + len(failed) <= 1
            assert store.delete_run(doomed) in {1, 2, 3, 4}
        store.gc_artifacts()
        assert [each for each in (folder / "artifacts").rglob("*") if each.is_file()] == []
    assert left(folder) == []


@pytest.mark.parametrize("delay", [0.11, 0.37])
def test_killed_at_any_moment_nothing_is_lost_or_left_half(tmp_path, delay):
    """Also within the engine, in the midst of a commit or a checkpoint."""
    die_at_any_moment(tmp_path, delay)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100))
def test_killed_at_many_moments(tmp_path, seed):
    die_at_any_moment(tmp_path, random.Random(seed).uniform(0.0, 0.6))


def test_a_process_that_just_ends_loses_nothing(tmp_path):
    """It neither closes nor flushes: its interpreter does."""
    code = "store = WorkspaceStore(folder)\nsay([predict(store, begun(store)[1], n) for n in range(3)])"
    (said,) = run(knowing(code), folder=tmp_path)
    assert left(tmp_path) == []
    with WorkspaceStore(tmp_path) as store:
        assert ids(store) == set(said)


# ── threads and forks ────────────────────────────────────────────────────────────────────────────────


def test_four_threads_of_fifty_writes_are_two_hundred_rows(store):
    _, pipeline = begun(store)
    said: list[str] = []
    failed: list[BaseException] = []

    def work(thread: int) -> None:
        try:
            for n in range(50):
                saved = predict(store, pipeline, thread * 50 + n)
                store.save_prediction_arrays(saved, [1.0], [2.0])
                said.append(saved)
                if n % 25 == thread:
                    assert saved in ids(store)
        except BaseException as error:
            failed.append(error)
            raise

    threads = [threading.Thread(target=work, args=[n]) for n in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert failed == []
    assert len(set(said)) == 200
    assert ids(store) == set(said)
    assert store.get_prediction(said[-1], load_arrays=True)["y_pred"].tolist() == [2.0]


def test_threads_that_fail_pipelines_while_others_write_leave_whole_ones(store):
    run_id = store.begin_run("many", {}, [])

    def work(number: int) -> None:
        for n in range(4):
            pipeline = store.begin_pipeline(run_id, f"{number} {n}", {}, [], "wheat", "")
            for fold in range(3):
                predict(store, pipeline, fold)
            if n % 2:
                store.fail_pipeline(pipeline, "singular")
            else:
                store.complete_pipeline(pipeline, 0.1, 0.2, "rmse", 1)

    threads = [threading.Thread(target=work, args=[n]) for n in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(store.list_pipelines()["status"]) == ["completed"] * 8 + ["failed"] * 8
    assert store.query_predictions().height == 24


def test_a_fork_in_the_midst_writes_for_itself(tmp_path):
    """Neither loses what the other wrote, nor writes it twice."""
    code = """
    import os
    store = WorkspaceStore(folder)
    run, pipeline = begun(store)
    first = predict(store, pipeline, 0)
    reads, writes = os.pipe()
    if os.fork() == 0:
        mine = predict(store, pipeline, 1)
        os.write(writes, mine.encode())
        seen = set(store.query_predictions()["prediction_id"])
        store.close()
        os._exit(0 if {first, mine} <= seen else 3)
    ours = predict(store, pipeline, 2)
    theirs = os.read(reads, 100).decode()
    _, status = os.wait()
    seen = store.query_predictions()["prediction_id"].to_list()
    say((status, sorted(seen) == sorted([first, ours, theirs])))
    store.close()
    """
    assert run(knowing(code), folder=tmp_path) == [(0, True)]
    assert left(tmp_path) == []
    with WorkspaceStore(tmp_path) as store:
        assert store.query_predictions().height == 3
        assert store.list_runs()["status"].to_list() == ["running"]


def test_the_child_of_a_fork_that_says_nothing_ends_nothing(tmp_path):
    code = """
    import os, sys
    store = WorkspaceStore(folder)
    run, pipeline = begun(store)
    saved = predict(store, pipeline, 0)
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    saved = [saved, predict(store, pipeline, 1)]
    store.complete_run(run, {})
    say((store.get_run(run)["status"], sorted(store.query_predictions()["prediction_id"]) == sorted(saved)))
    """
    assert run(knowing(code), folder=tmp_path) == [("completed", True)]


def test_two_stores_on_one_folder_in_one_process(store, tmp_path):
    with WorkspaceStore(tmp_path) as other:
        began, pipeline = begun(store)
        mine = predict(store, pipeline, 1)
        theirs = predict(other, pipeline, 2)
        assert ids(store) == ids(other) == {mine, theirs}
        store.save_prediction_arrays(theirs, [1.0], [2.0])
        assert other.get_prediction(theirs, load_arrays=True)["y_true"].tolist() == [1.0]
        assert other.delete_run(began) == 5
        assert ids(store) == set()
        with pytest.raises(ExperimentNotFound):
            store.complete_run(store.begin_run("x", {}, []) + "x", {})


def test_a_store_that_is_pickled_is_another_of_the_same_folder(store):
    _, pipeline = begun(store)
    saved = predict(store, pipeline, 1)
    with pickle.loads(pickle.dumps(store)) as other:
        assert ids(other) == {saved}
        second = predict(other, pipeline, 2)
    assert ids(store) == {saved, second}


# ── surroundings ─────────────────────────────────────────────────────────────────────────────────────


def test_closing_leaves_no_journal_and_no_write_ahead_log(tmp_path):
    store = WorkspaceStore(tmp_path)
    _, pipeline = begun(store)
    predict(store, pipeline, 1)
    assert left(tmp_path) != []
    store.close()
    assert left(tmp_path) == []
    store.close()
    with pytest.raises(StoreClosed):
        store.list_runs()


def test_a_store_of_a_newer_hmp_is_refused_untouched(tmp_path):
    with WorkspaceStore(tmp_path) as store:
        begun(store)
    backend = DuckDBBackend(tmp_path / "store.duckdb")
    with backend.lease(write=True), backend.transaction():
        backend.execute(
            "INSERT INTO schema_migrations SELECT * REPLACE (version + 90 AS version) FROM schema_migrations "
            "WHERE component = 'experiments'"
        )
    before = (tmp_path / "store.duckdb").read_bytes()
    for read_only in (False, True):
        with pytest.raises(SchemaTooNewError):
            WorkspaceStore(tmp_path, read_only=read_only)
    assert (tmp_path / "store.duckdb").read_bytes() == before


@pytest.mark.parametrize("leaving", [0, 30_000, 400_000])
def test_on_a_full_disk_nothing_false_is_acknowledged(leaving):
    with small_disk("12m") as disk:
        folder = disk / "store"
        with WorkspaceStore(folder) as store:
            began, pipeline = begun(store)
            said = {predict(store, pipeline, 0): None}
            fill(disk, leaving=leaving)
            objects = _until_full(store, pipeline, said)
            (disk / "ballast").unlink()
            assert ids(store) == said.keys()
            said[predict(store, pipeline, 1000)] = None
            store.complete_run(began, {})
        with WorkspaceStore(folder) as store:
            assert ids(store) == said.keys()
            for saved, size in said.items():
                found = store.get_prediction(saved, load_arrays=True)
                assert (None if found["y_true"] is None else len(found["y_true"])) == size
            assert all(store.load_artifact(identity).sum() == n for identity, n in objects.items())
        assert left(folder) == []


def _until_full(store: WorkspaceStore, pipeline: str, said: dict[str, int | None]) -> dict[str, int]:
    """Save until the disk is full, and note what returned."""
    objects: dict[str, int] = {}
    try:
        for n in range(1, 400):
            saved = predict(store, pipeline, n)
            said[saved] = None
            store.save_prediction_arrays(saved, np.arange(n * 10.0), np.arange(n * 10.0))
            said[saved] = n * 10
            objects[store.save_artifact(np.full(1, n), "a.M", "model", "pickle")] = n
    except HmpError as error:
        assert isinstance(error, StorageError), error  # noqa: PT017
        assert "space" in str(error)  # noqa: PT017
        return objects
    pytest.fail("the disk was never full")


def test_a_folder_that_is_copied_is_a_store_of_its_own(store, tmp_path):
    _, pipeline = begun(store)
    saved = predict(store, pipeline, 1)
    copy = shutil.copytree(tmp_path, tmp_path.with_name("copy"))
    with WorkspaceStore(copy) as other:
        assert ids(other) == {saved}  # the journal of the other came along
    assert ids(store) == {saved}
