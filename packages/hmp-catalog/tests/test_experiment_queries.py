"""What an experiments store is asked: records with their JSON decoded, lists with their columns, exact filters."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import pytest

pytest.importorskip("polars")

sys.path.append(str(Path(__file__).parent))
import numpy as np
import polars as pl
from experiment_rows import START, empty, ids, put
from hypothesis import given, settings
from hypothesis import strategies as st

from hmp_catalog.errors import StoreClosed
from hmp_catalog.experiments import WorkspaceStore, queries, snapshot
from hmp_catalog.experiments.arrays import arrays, to_table
from hmp_catalog.experiments.filtering import Filters
from hmp_catalog.experiments.snapshot import Snapshot
from hmp_core.backends.duckdb import DuckDBBackend
from hmp_core.errors import AccessDenied, InvalidInput, UnknownFilter

TEXT, TIME, REAL, WHOLE, SMALL = pl.String, pl.Datetime("us"), pl.Float64, pl.Int64, pl.Int32


@pytest.fixture
def backend(tmp_path: Path) -> DuckDBBackend:
    return empty(tmp_path)


class Kept:
    """A database that is not being written, and how often it was read."""

    def __init__(self, backend: DuckDBBackend) -> None:
        self.backend, self.read, self.refused = backend, 0, False

    @property
    def database(self) -> Path:
        return self.backend.path

    def authorize(self, action: Literal["read", "write"]) -> None:
        if self.refused:
            message = "no"
            raise AccessDenied(message, user="somebody", action=action, resource="here")

    def pending(self) -> None:
        return None

    def reading(self) -> AbstractContextManager[Any]:
        self.read += 1
        return _reading(self.backend)

    tables = reading


class _reading(AbstractContextManager[DuckDBBackend]):
    def __init__(self, backend: DuckDBBackend) -> None:
        self.backend, self.lease = backend, backend.lease(write=False)

    def __enter__(self) -> DuckDBBackend:
        self.lease.__enter__()
        return self.backend

    def __exit__(self, *exc: Any) -> None:
        self.lease.__exit__(*exc)


# ── one record ───────────────────────────────────────────────────────────────────────────────────────


def test_what_is_not_there_is_none(backend: DuckDBBackend) -> None:
    asked = (queries.run, queries.pipeline, queries.chain, queries.prediction, queries.artifact, queries.whole_run)
    assert [ask(backend, "nobody") for ask in asked] == [None] * 6
    assert queries.run(backend, None) is None  # type: ignore[arg-type]


def test_a_record_has_the_columns_of_its_table_in_order(backend: DuckDBBackend) -> None:
    for kind, table in (("run", "runs"), ("pipeline", "pipelines"), ("chain", "chains"), ("prediction", "predictions")):
        put(backend, table, {})
        found = getattr(queries, kind)(backend, f"{kind[0]}0")
        assert list(found) == backend.query(f"SELECT * FROM {table}").column_names
    backend.insert(
        "artifacts",
        {
            "artifact_id": "a0",
            "artifact_path": "ab/abc.joblib",
            "content_hash": "abc",
            "format": "joblib",
            "size_bytes": 3,
            "ref_count": 1,
            "created_at": START,
        },
    )
    found = queries.artifact(backend, "a0")
    assert found is not None
    assert list(found) == backend.query("SELECT * FROM artifacts").column_names


def test_json_is_decoded_in_records_and_text_in_lists(backend: DuckDBBackend) -> None:
    put(backend, "runs", {"config": {"seed": 1, "nested": {"é": [1.5, None]}}, "summary": {"best": 0.1}})
    put(backend, "chains", {"branch_path": [0, 1], "fold_artifacts": {"fold_0": "a"}, "shared_artifacts": {}})
    run, chain = queries.run(backend, "r0"), queries.chain(backend, "c0")
    assert run is not None
    assert chain is not None
    assert run["config"] == {"seed": 1, "nested": {"é": [1.5, None]}}
    assert (run["datasets"], run["summary"], run["error"]) == ([{"name": "wheat"}], {"best": 0.1}, None)
    assert (chain["steps"], chain["branch_path"]) == ([{"step_idx": 1}], [0, 1])
    assert '"seed"' in queries.runs(backend)["config"][0]


def test_times_are_utc_without_a_zone(backend: DuckDBBackend) -> None:
    put(backend, "runs", {"completed_at": START + timedelta(microseconds=7)})
    run = queries.run(backend, "r0")
    assert run is not None
    assert (run["created_at"], run["completed_at"].microsecond, run["completed_at"].tzinfo) == (START, 7, None)


def test_a_prediction_has_arrays_only_where_they_are_asked_for(backend: DuckDBBackend) -> None:
    put(backend, "predictions", {"scores": {"rmse": 0.1}}, {})
    kept = arrays("p0", np.array([1.0, 2.0]), np.array([1.5, 2.5]), np.array([[0.1, 0.9], [0.3, 0.7]]), [2**40, 3])
    with backend.lease(write=True), backend.staged("_s", to_table([kept])):
        backend.execute("INSERT INTO prediction_arrays SELECT * FROM _s")
    without, found = queries.prediction(backend, "p0"), queries.prediction(backend, "p0", load_arrays=True)
    assert without is not None
    assert found is not None
    assert "y_true" not in without
    assert without["scores"] == {"rmse": 0.1}
    assert found["y_proba"].shape == (2, 2)
    assert found["sample_indices"].tolist() == [2**40, 3]
    assert found["weights"] is None
    nothing = queries.prediction(backend, "p1", load_arrays=True)
    assert nothing is not None
    assert [nothing[name] for name in ("y_true", "y_pred", "y_proba", "sample_indices", "weights")] == [None] * 5


def test_a_whole_run_has_its_pipelines_and_their_chains_in_order(backend: DuckDBBackend) -> None:
    put(backend, "runs", {}, {})
    put(backend, "pipelines", {}, {"run_id": "r1"}, {"expanded_config": [1]})
    put(backend, "chains", {"pipeline_id": "p2"}, {}, {"pipeline_id": "p1"}, {"pipeline_id": "p2"})
    found = queries.whole_run(backend, "r0")
    assert found is not None
    assert [each["pipeline_id"] for each in found["pipelines"]] == ["p0", "p2"]
    assert found["pipelines"][1]["expanded_config"] == [1]
    assert [[c["chain_id"] for c in each["chains"]] for each in found["pipelines"]] == [["c1"], ["c0", "c3"]]


# ── lists ────────────────────────────────────────────────────────────────────────────────────────────


def test_an_empty_list_has_its_columns_and_their_types(backend: DuckDBBackend) -> None:
    assert dict(queries.runs(backend).schema) == {
        "run_id": TEXT,
        "name": TEXT,
        "config": TEXT,
        "datasets": TEXT,
        "status": TEXT,
        "created_at": TIME,
        "completed_at": TIME,
        "summary": TEXT,
        "error": TEXT,
    }
    assert list(queries.pipelines(backend).schema.values()) == [*[TEXT] * 8, TIME, TIME, REAL, REAL, TEXT, WHOLE, TEXT]
    assert list(queries.chains_of(backend, "p").schema.values()) == [
        *[TEXT] * 3,
        SMALL,
        *[TEXT] * 6,
        SMALL,
        TIME,
    ]
    predictions = [*[TEXT] * 8, *[REAL] * 3, TEXT, TEXT, WHOLE, WHOLE, *[TEXT] * 3, SMALL, TEXT, WHOLE, REAL, TIME]
    assert list(queries.predictions(backend).schema.values()) == predictions
    assert list(queries.log_of(backend, "p").schema.values()) == [TEXT, SMALL, TEXT, TEXT, WHOLE, *[TEXT] * 3, TIME]
    assert dict(queries.log_summary(backend, "r").schema) == {
        "pipeline_id": TEXT,
        "pipeline_name": TEXT,
        "pipeline_status": TEXT,
        "log_count": WHOLE,
        "total_duration_ms": WHOLE,
        "warning_count": WHOLE,
        "error_count": WHOLE,
    }


def test_a_list_has_the_same_types_with_rows(backend: DuckDBBackend) -> None:
    before = [queries.runs(backend).schema, queries.pipelines(backend).schema, queries.predictions(backend).schema]
    put(backend, "runs", {})
    put(backend, "pipelines", {"duration_ms": 3})
    put(backend, "predictions", {"val_score": 1.0})
    put(backend, "logs", {"duration_ms": 2, "event": "end"})
    assert [
        queries.runs(backend).schema,
        queries.pipelines(backend).schema,
        queries.predictions(backend).schema,
    ] == before
    assert queries.log_summary(backend, "r0").schema["total_duration_ms"] == WHOLE


def test_the_newest_come_first_within_a_millisecond(backend: DuckDBBackend) -> None:
    put(backend, "runs", *[{}] * 5)
    put(backend, "pipelines", *[{}] * 5)
    put(backend, "chains", *[{}] * 5)
    put(backend, "predictions", *[{}] * 5)
    assert ids(queries.runs(backend)) == ["r4", "r3", "r2", "r1", "r0"]
    assert ids(queries.pipelines(backend)) == ["p4", "p3", "p2", "p1", "p0"]
    assert ids(queries.chains_of(backend, "p0")) == ["c4", "c3", "c2", "c1", "c0"]
    assert ids(queries.predictions(backend)) == ["p4", "p3", "p2", "p1", "p0"]


def test_runs_are_found_by_the_exact_name_of_a_dataset(backend: DuckDBBackend) -> None:
    put(
        backend,
        "runs",
        {"datasets": [{"name": "wheat", "path": "/data/corn"}]},
        {"datasets": [{"name": "corn"}, {"name": "wheat"}]},
        {"datasets": ["barley"]},
        {"datasets": [{"name": "wh\"eat'"}]},
        {"datasets": []},
        {"datasets": None},
    )
    found = {name: ids(queries.runs(backend, dataset=name)) for name in ("wheat", "corn", "barley", "wh\"eat'")}
    assert found == {"wheat": ["r1", "r0"], "corn": ["r1"], "barley": ["r2"], "wh\"eat'": ["r3"]}
    assert all(queries.runs(backend, dataset=name).is_empty() for name in ("hea", "name", "%", "/data/corn", ""))


def test_runs_are_found_by_status_and_in_pages(backend: DuckDBBackend) -> None:
    put(backend, "runs", *[{"status": "completed" if n % 2 else "failed"} for n in range(10)])
    assert queries.runs(backend, "completed").height == 5
    assert ids(queries.runs(backend, limit=3)) == ["r9", "r8", "r7"]
    assert ids(queries.runs(backend, limit=3, offset=8)) == ["r1", "r0"]
    assert ids(queries.runs(backend, limit=None, offset=9)) == ["r0"]
    assert queries.runs(backend, limit=0).is_empty()


@pytest.mark.parametrize(
    "asked", [{"status": "done"}, {"limit": -1}, {"offset": -1}, {"limit": 1.5}, {"limit": True}, {"dataset": 3}]
)
def test_a_list_of_runs_refuses_what_it_does_not_understand(backend: DuckDBBackend, asked: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(asked))):
        queries.runs(backend, **asked)


def test_pipelines_are_found_by_run_and_dataset(backend: DuckDBBackend) -> None:
    put(backend, "pipelines", {}, {"run_id": "r1"}, {"dataset_name": "corn"}, {"run_id": "r1", "dataset_name": "corn"})
    assert ids(queries.pipelines(backend, "r1")) == ["p3", "p1"]
    assert ids(queries.pipelines(backend, dataset_name="corn")) == ["p3", "p2"]
    assert ids(queries.pipelines(backend, "r1", "corn")) == ["p3"]


def test_a_log_is_by_step_and_keeps_its_order_within_one(backend: DuckDBBackend) -> None:
    put(backend, "logs", {"step_idx": 2}, {"step_idx": 1}, {"step_idx": 2}, {"step_idx": 1}, {"pipeline_id": "p1"})
    assert ids(queries.log_of(backend, "p0")) == ["l1", "l3", "l0", "l2"]


def test_a_summary_has_a_row_for_each_pipeline(backend: DuckDBBackend) -> None:
    put(backend, "pipelines", {"name": "talks"}, {"name": "silent"}, {"run_id": "r1"})
    put(
        backend,
        "logs",
        {"duration_ms": 5},
        {"event": "end", "duration_ms": 100},
        {"event": "end", "duration_ms": 92},
        {"level": "warning"},
        {"level": "error"},
    )
    found = queries.log_summary(backend, "r0")
    assert found.rows() == [("p1", "silent", "running", 0, 0, 0, 0), ("p0", "talks", "running", 5, 192, 1, 1)]


# ── predictions ──────────────────────────────────────────────────────────────────────────────────────


def _hundred(backend: DuckDBBackend) -> None:
    put(backend, "pipelines", {})
    rows = [
        {
            "partition": "val" if n % 2 else "test",
            "model_class": "sklearn.Ridge" if n < 50 else "sklearn.PLS_2",
            "fold_id": f"fold_{n % 5}",
            "branch_id": n % 4 or None,
        }
        for n in range(100)
    ]
    put(backend, "predictions", *rows)


def test_predictions_are_found_by_every_filter_at_once(backend: DuckDBBackend) -> None:
    _hundred(backend)
    asked: list[tuple[dict[str, Any], int]] = [
        ({}, 100),
        ({"partition": "val"}, 50),
        ({"model_class": "%Ridge%"}, 50),
        ({"fold_id": "fold_3"}, 20),
        ({"limit": 10}, 10),
        ({"pipeline_id": "p0"}, 100),
        ({"run_id": "r0"}, 100),
        ({"run_id": "r1"}, 0),
        ({"branch_id": 1}, 25),
        ({"branch_id": np.int64(1)}, 25),
        ({"partition": "val", "fold_id": "fold_3", "model_class": "sklearn.Ridge"}, 5),
        ({"offset": 97}, 3),
        ({"limit": 10, "offset": 95}, 5),
    ]
    assert [queries.predictions(backend, **filters).height for filters, _ in asked] == [count for _, count in asked]


def test_only_the_class_of_a_model_knows_a_wildcard(backend: DuckDBBackend) -> None:
    put(backend, "predictions", {"dataset_name": "100%_x"}, {"dataset_name": "100xxX"}, {"model_class": "a_b\\c"})
    assert ids(queries.predictions(backend, dataset_name="100%_x")) == ["p0"]
    assert queries.predictions(backend, dataset_name="100%").is_empty()
    assert ids(queries.predictions(backend, model_class="a_b\\c")) == ["p2"]
    assert ids(queries.predictions(backend, model_class="a_b%")) == ["p2"]
    assert queries.predictions(backend, model_class="a__%").is_empty()


@pytest.mark.parametrize(
    "asked", [{"dataset_name": 3}, {"fold_id": 0}, {"branch_id": "1"}, {"limit": -1}, {"offset": "1"}, {"run_id": b""}]
)
def test_a_filter_of_another_kind_is_refused(backend: DuckDBBackend, asked: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=next(iter(asked))):
        queries.predictions(backend, **asked)


def test_a_filter_that_nobody_knows_is_refused(backend: DuckDBBackend) -> None:
    with pytest.raises(UnknownFilter, match="model_class"):
        queries.predictions(backend, model="Ridge")


_names = st.sampled_from(["a", "b", "a_b", "a%b", "axb", "A", "a\\b", "é", "", "a.b", "a\nb", "a b"])


@settings(max_examples=30, deadline=None)
@given(
    rows=st.lists(st.tuples(_names, _names, st.none() | st.integers(-1, 2)), max_size=8),
    asked=st.fixed_dictionaries(
        {},
        optional={
            "dataset_name": _names,
            "model_class": _names | st.sampled_from(["%", "a%", "%b", "a%b%", "%_%", "a_b", "\\%"]),
            "branch_id": st.integers(-1, 2),
            "limit": st.integers(0, 5),
            "offset": st.integers(0, 5),
        },
    ),
)
def test_memory_and_engine_filter_alike(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, int | None]], asked: dict[str, Any]
) -> None:
    with _scratch(tmp_path_factory) as backend:
        put(
            backend,
            "predictions",
            *[dict(zip(("dataset_name", "model_class", "branch_id"), r, strict=True)) for r in rows],
        )
        with backend.lease(write=False):
            every, found = queries.predictions(backend), queries.predictions(backend, **asked)
        assert Filters.of(asked).of_frame(every).equals(found)


class _scratch(AbstractContextManager[DuckDBBackend]):
    """One database for all examples: making one takes longer than to ask it."""

    made: DuckDBBackend | None = None

    def __init__(self, factory: pytest.TempPathFactory) -> None:
        if _scratch.made is None or not _scratch.made.path.exists():
            _scratch.made = empty(factory.mktemp("scratch"))

    def __enter__(self) -> DuckDBBackend:
        assert _scratch.made is not None
        _scratch.made.execute("DELETE FROM predictions")
        return _scratch.made

    def __exit__(self, *exc: object) -> None:
        return None


# ── kept in memory ───────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def kept(backend: DuckDBBackend) -> Kept:
    put(backend, "predictions", {"val_score": 0.2}, {"val_score": 0.1}, {"val_score": None})
    time.sleep(0.06)  # what changed a moment ago is not kept
    return Kept(backend)


def test_a_third_question_is_answered_from_memory(kept: Kept) -> None:
    memory = Snapshot(kept)
    found = [memory.top(2) for _ in range(5)]
    assert kept.read == 2
    assert all(ids(each) == ["p1", "p0"] for each in found)
    assert ids(memory.predictions(partition="val", limit=2)) == ["p2", "p1"]
    assert kept.read == 2


def test_what_changed_is_read_again(kept: Kept) -> None:
    memory = Snapshot(kept)
    for score in (0.05, 0.04, 0.03):
        assert [memory.top(1)["val_score"][0] for _ in range(4)] == [memory.top(1)["val_score"][0]] * 4
        with kept.backend.lease(write=True):
            kept.backend.execute("UPDATE predictions SET val_score = $1 WHERE prediction_id = 'p0'", [score])
        assert memory.top(1)["val_score"].to_list() == [score]
        time.sleep(0.06)


def test_what_changed_a_moment_ago_is_not_kept(kept: Kept) -> None:
    memory = Snapshot(kept)
    os.utime(kept.database)
    for _ in range(5):
        memory.top(1)
    # as long as it looks as if it might change within the same tick
    assert kept.read >= 3


def test_a_journal_that_grew_is_a_change_and_one_that_went_is_none(kept: Kept) -> None:
    memory, pending = Snapshot(kept), kept.database.parent / ".hmp" / "store" / "pending"
    pending.mkdir(parents=True)
    journal = pending / f"somebody{snapshot.SUFFIX}"
    journal.write_bytes(b"a line\n")
    (pending / ".being-made.new").write_bytes(b"")
    asked = []
    for change in (lambda: None, lambda: journal.write_bytes(b"a line\nand another\n"), journal.unlink):
        change()
        for _ in range(4):
            memory.top(1)
        asked.append(kept.read)
    assert asked == [2, 4, 4]


def test_who_may_not_read_gets_nothing_from_memory(kept: Kept) -> None:
    memory = Snapshot(kept)
    for _ in range(3):
        memory.top(1)
    kept.refused = True
    with pytest.raises(AccessDenied):
        memory.top(1)
    with pytest.raises(AccessDenied):
        memory.predictions(run_id="r0")


def test_very_many_predictions_are_left_to_the_engine(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "MOST", 2)
    memory = Snapshot(kept)
    assert [ids(memory.top(2)) for _ in range(4)] == [["p1", "p0"]] * 4
    assert kept.read == 4


def test_the_memory_of_predictions_is_no_ones_to_change(kept: Kept) -> None:
    memory = Snapshot(kept)
    for _ in range(3):
        found = memory.predictions()
    found[0, "val_score"] = -1.0
    found.insert_column(0, pl.Series("mine", [1, 2, 3]))
    assert memory.predictions()["val_score"].to_list() == [None, 0.1, 0.2]
    assert memory.top(1).columns[0] == "prediction_id"


def test_two_stores_see_what_the_other_wrote(tmp_path: Path) -> None:
    with WorkspaceStore(tmp_path) as one, WorkspaceStore(tmp_path) as other:
        run = one.begin_run("r", {}, [])
        pipeline = one.begin_pipeline(run, "p", {}, [], "wheat", "h")
        for n in range(6):
            assert other.top_predictions(100).height == n
            _save(one, pipeline, 0.1 * n)
            assert other.top_predictions(100).height == n + 1
            time.sleep(0.06 if n % 2 else 0)


def test_a_closed_store_gives_nothing_from_memory(tmp_path: Path) -> None:
    with WorkspaceStore(tmp_path) as store:
        pipeline = store.begin_pipeline(store.begin_run("r", {}, []), "p", {}, [], "wheat", "h")
        _save(store, pipeline, 0.5)
        time.sleep(0.06)
        for _ in range(4):
            assert store.top_predictions(1).height == 1
    with pytest.raises(StoreClosed):
        store.top_predictions(1)


def _save(store: WorkspaceStore, pipeline: str, score: float) -> None:
    said: dict[str, Any] = {"metric": "rmse", "task_type": "regression", "n_samples": 1, "n_features": 1}
    none: dict[str, Any] = {"scores": {}, "best_params": {}, "branch_id": None, "branch_name": None}
    told: dict[str, Any] = {"exclusion_count": 0, "exclusion_rate": 0.0}
    scores: dict[str, Any] = {"val_score": score, "test_score": score, "train_score": score}
    store.save_prediction(pipeline, None, "wheat", "m", "M", "fold_0", "val", **scores, **said, **none, **told)  # type: ignore[arg-type]


def test_a_forked_process_is_told_that_polars_would_hang(kept: Kept) -> None:
    memory = Snapshot(kept)
    for _ in range(3):
        memory.top(1)
    for ask in (lambda: memory.top(1), lambda: queries.runs(kept.backend)):
        assert _forked(ask) == "InvalidInput: this process was forked"
    assert _forked(lambda: queries.run(kept.backend, "nobody")) == "None"


def _forked(ask: Callable[[], Any]) -> str:
    source, sink = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(10)
        try:
            said = str(ask())
        except InvalidInput as error:
            said = f"{type(error).__name__}: {str(error)[:23]}"
        os.write(sink, said.encode())
        os._exit(0)
    os.close(sink)
    with os.fdopen(source) as answers:
        said = answers.read()
    os.waitpid(child, 0)
    return said


@pytest.fixture(autouse=True)
def _alone() -> Iterator[None]:
    """Let no test that forks change what the others find."""
    lost = queries._frames.lost
    yield
    assert queries._frames.lost == lost


def test_what_is_in_a_transaction_is_not_kept(kept: Kept) -> None:
    memory = Snapshot(kept)
    memory.top(1)
    with suppress(InterruptedError), kept.backend.lease(write=True), kept.backend.transaction():
        kept.backend.execute("UPDATE predictions SET val_score = -1")
        assert memory.top(1)["val_score"].to_list() == [-1.0]
        raise InterruptedError
    assert [memory.top(1)["val_score"][0] for _ in range(4)] == [0.1] * 4
