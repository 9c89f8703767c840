"""``hmp experiment``, as it is typed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("polars")
pytest.importorskip("sklearn")

from sklearn.linear_model import LinearRegression
from sklearn.preprocessing import StandardScaler

from hmp_catalog.experiments import references
from hmp_catalog.experiments.library import PipelineLibrary
from hmp_catalog.experiments.store import WorkspaceStore
from hmp_core.cli.main import main
from hmp_core.errors import AmbiguousReference
from hmp_core.layout import init_project, init_workspace

RNG = np.random.default_rng(7)
X = RNG.normal(size=(40, 3))
Y = X @ [1.0, -2.0, 0.5] + 3.0


def _chain(store: WorkspaceStore, pipeline: str) -> tuple[str, Any]:
    scaler = StandardScaler().fit(X)
    models = [LinearRegression().fit(scaler.transform(X[half]), Y[half]) for half in (slice(0, 25), slice(15, 40))]
    scaled = store.save_artifact(scaler, "sklearn.preprocessing.StandardScaler", "transformer", "joblib")
    kept = [store.save_artifact(model, "sklearn.linear_model.LinearRegression", "model", "joblib") for model in models]
    steps = [
        {"step_idx": 1, "operator_class": "StandardScaler", "params": {}, "artifact_id": scaled, "stateless": False},
        {"step_idx": 2, "operator_class": "LinearRegression", "params": {}, "artifact_id": None, "stateless": False},
    ]
    folds = {f"fold_{n}": identity for n, identity in enumerate(kept)}
    chain = store.save_chain(pipeline, steps, 2, "LinearRegression", "Scaler", "per_fold", folds, {"1": scaled})
    return chain, np.mean([model.predict(scaler.transform(X)) for model in models], axis=0)


def _score(store: WorkspaceStore, made: SimpleNamespace, model: str, score: float | None) -> str:
    about = (made.pipeline, made.chain, "wheat", model, f"x.{model}", "fold_0", "val", score, None, None)
    return store.save_prediction(*about, "rmse", "regression", 40, 3, {"rmse": score}, {"n": 2}, None, None, 0, 0.0)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Return a project with three runs: one with a chain and predictions, one without any, one with two chains."""
    workspace = init_workspace(tmp_path_factory.mktemp("made") / "workspace").path
    made = SimpleNamespace(workspace=workspace, project=init_project(workspace, "aare").path)
    with WorkspaceStore(made.project) as store:
        made.run = store.begin_run("spring", {"seed": 7}, [{"name": "wheat"}])
        made.pipeline = store.begin_pipeline(made.run, "0001_linear", {"steps": [1, 2]}, [], "wheat", "")
        made.chain, made.expected = _chain(store, made.pipeline)
        made.best = _score(store, made, "Linear", 0.12)
        made.second = _score(store, made, "Forest", 0.34)
        made.unmeasured = _score(store, made, "Odd", None)
        store.complete_pipeline(made.pipeline, 0.12, None, "rmse", 40)
        store.complete_run(made.run, {"best": 0.12})
        made.empty = store.begin_run("empty", None, [{"name": "barley"}])
        store.fail_run(made.empty, "no data")
        made.twice = store.begin_run("twice", None, [])
        pipeline = store.begin_pipeline(made.twice, "0001_two", {}, [], "wheat", "")
        made.two = [_chain(store, pipeline)[0] for _ in range(2)]
    return made


@pytest.fixture
def hmp(capfd: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Return a function that runs ``hmp experiment`` here, and expects an exit code."""

    def run(*words: object, code: int = 0) -> SimpleNamespace:
        found = main(["experiment", *map(str, words)])
        out, err = capfd.readouterr()
        assert found == code, out + err
        return SimpleNamespace(out=out, err=err)

    return run


@pytest.fixture
def ask(made: SimpleNamespace, hmp: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Return a function that asks the project with --json and returns the rows."""
    monkeypatch.chdir(made.project)

    def run(*words: object, code: int = 0) -> Any:
        return [json.loads(line) for line in hmp(*words, "--json", code=code).out.splitlines()]

    return run


def words(done: SimpleNamespace) -> list[list[str]]:
    """Return the words of each line that was printed."""
    return [line.split() for line in done.out.splitlines()]


# ── what there is ────────────────────────────────────────────────────────────────────────────────────


def test_runs_are_listed_newest_first(ask: Callable[..., Any]) -> None:
    rows = ask("ls")
    assert [row["name"] for row in rows] == ["twice", "empty", "spring"]
    assert rows[2]["config"] == {"seed": 7}
    assert rows[2]["datasets"] == [{"name": "wheat"}]


def test_runs_are_listed_by_status_and_dataset(ask: Callable[..., Any]) -> None:
    assert [row["name"] for row in ask("ls", "--status", "failed")] == ["empty"]
    assert [row["name"] for row in ask("ls", "--dataset", "wheat")] == ["spring"]
    assert ask("ls", "--dataset", "whe") == []


def test_a_short_list_says_that_there_are_more(
    made: SimpleNamespace, ask: Callable[..., Any], hmp: Callable[..., Any]
) -> None:
    assert "there are more" in hmp("ls", "--limit", 1).err
    assert "more" not in hmp("ls", "--limit", 3).err


def test_the_table_shows_what_can_be_typed(
    made: SimpleNamespace, ask: Callable[..., Any], hmp: Callable[..., Any]
) -> None:
    lines = hmp("ls").out.splitlines()
    assert lines[0].split() == ["run_id", "name", "status", "datasets", "created_at", "completed_at"]
    assert made.run[:8] in lines[3]
    assert made.run not in lines[3]
    assert ["name", "spring"] in words(hmp("show", lines[3].split()[0]))


def test_the_best_come_first_and_the_unmeasured_last(made: SimpleNamespace, ask: Callable[..., Any]) -> None:
    assert [row["prediction_id"] for row in ask("top")] == [made.best, made.second, made.unmeasured]
    assert [row["model_name"] for row in ask("top", "--descending")] == ["Forest", "Linear", "Odd"]
    assert len(ask("top", "-n", 1)) == 1
    assert len(ask("top", "-n", 1, "--group-by", "model_class")) == 3
    assert ask("top", "--partition", "test") == ask("top", "--dataset", "rye") == []


def test_what_cannot_be_ranked_by_is_refused(ask: Callable[..., Any]) -> None:
    ask("top", "--metric", "n_samples", code=2)
    ask("top", "--group-by", "created_at", code=2)


@pytest.mark.parametrize("kind", ["run", "pipeline", "chain"])
def test_each_kind_is_shown_by_the_head_of_its_id(made: SimpleNamespace, ask: Callable[..., Any], kind: str) -> None:
    identity = getattr(made, kind)
    (found,) = ask("show", identity[:8])
    assert (found["kind"], found[f"{kind}_id"]) == (kind, identity)
    assert ask("show", identity.upper()) == [found]


def test_a_prediction_is_shown(made: SimpleNamespace, ask: Callable[..., Any]) -> None:
    (found,) = ask("show", made.best[:13])
    assert (found["prediction_id"], found["val_score"], found["scores"]) == (made.best, 0.12, {"rmse": 0.12})


def test_what_belongs_to_it_is_shown_below(
    made: SimpleNamespace, ask: Callable[..., Any], hmp: Callable[..., Any]
) -> None:
    assert [each["pipeline_id"] for each in ask("show", "spring")[0]["pipelines"]] == [made.pipeline]
    assert [each["chain_id"] for each in ask("show", "0001_linear")[0]["chains"]] == [made.chain]
    assert made.pipeline[:8] in hmp("show", "spring").out.splitlines()[-1]


# ── references ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("text", ["0", "zzzz", "nothing", "", "%", "____", "spr"])
def test_what_is_not_there_is_not_found(made: SimpleNamespace, ask: Callable[..., Any], text: str) -> None:
    ask("show", text, code=10)


def test_a_head_of_several_ids_is_ambiguous_and_names_them(
    made: SimpleNamespace, hmp: Callable[..., Any], tmp_path: Path
) -> None:
    with WorkspaceStore(tmp_path) as store:  # a name that is the head of an id, too
        run = store.begin_run("first", None, [])
        named = store.begin_run(run[:6], None, [])
    said = hmp("show", run[:6], "-p", tmp_path, code=20).err
    assert run in said
    assert named in said
    assert ["run_id", run] in words(hmp("show", run, "-p", tmp_path))


def test_a_head_that_two_ids_share_is_ambiguous(hmp: Callable[..., Any], tmp_path: Path) -> None:
    heads: dict[str, str] = {}
    with WorkspaceStore(tmp_path) as store:
        while True:  # of some 300 ids two begin alike
            run = store.begin_run("one", None, [])
            if run[:4] in heads:
                break
            heads[run[:4]] = run
    said = hmp("show", run[:4], "-p", tmp_path, code=20).err
    assert run in said
    assert heads[run[:4]] in said
    with WorkspaceStore(tmp_path) as store, store._keeper.reading() as backend:
        with pytest.raises(AmbiguousReference) as error:
            references.resolve(backend, run[:4])
        assert set(error.value.candidates) == {run, heads[run[:4]]}
        assert references.resolve(backend, run.replace("-", "")).identity == run


def test_a_run_with_several_chains_does_not_mean_one(made: SimpleNamespace, ask: Callable[..., Any], hmp: Any) -> None:
    said = hmp("export", "twice", "x.n4a", code=20).err
    assert all(chain in said for chain in made.two)
    hmp("export", "empty", "x.n4a", code=10)
    assert not Path("x.n4a").exists()


# ── out of the store ─────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    path = tmp_path / "new.csv"
    np.savetxt(path, X, delimiter=",", header="a,b,c", comments="")
    return path


def _written(path: Path) -> Any:
    return np.loadtxt(path, delimiter=",")


@pytest.mark.parametrize("reference", ["chain", "best", "pipeline", "run"])
def test_replaying_gives_what_was_trained(
    made: SimpleNamespace, ask: Callable[..., Any], samples: Path, reference: str
) -> None:
    rows = ask("replay", getattr(made, reference)[:8], samples)
    np.testing.assert_allclose([row["prediction"] for row in rows], made.expected, rtol=1e-12)


def test_replaying_writes_a_file(made: SimpleNamespace, ask: Callable[..., Any], samples: Path, tmp_path: Path) -> None:
    (row,) = ask("replay", "spring", samples, "-o", tmp_path / "deep" / "out.csv")
    assert (row["chain_id"], row["samples"]) == (made.chain, 40)
    with WorkspaceStore(made.project) as store:
        np.testing.assert_array_equal(_written(tmp_path / "deep" / "out.csv"), store.replay_chain(made.chain, X))


@pytest.mark.parametrize(("text", "code"), [("", 2), ("1,2,3\n4,5\n", 2), ("1,x,3\n", 2), (None, 10)])
def test_a_file_that_is_no_table_of_numbers_is_refused(
    ask: Callable[..., Any], tmp_path: Path, text: str | None, code: int
) -> None:
    if text is not None:
        (tmp_path / "bad.csv").write_text(text)
    ask("replay", "spring", tmp_path / "bad.csv", code=code)


def test_a_bundle_and_a_script_predict_without_the_store(
    made: SimpleNamespace, ask: Callable[..., Any], samples: Path, tmp_path: Path
) -> None:
    from hmp_catalog.experiments.predicting import predict

    (row,) = ask("export", "spring", tmp_path / "model.n4a")
    assert (row["kind"], row["id"]) == ("chain", made.chain)
    with WorkspaceStore(made.project) as store:
        expected = store.replay_chain(made.chain, X)
    np.testing.assert_array_equal(predict(row["path"], X), expected)
    (row,) = ask("export", made.best[:8], tmp_path / "model.n4a.py")
    out = tmp_path / "out.csv"
    subprocess.run([sys.executable, row["path"], str(samples), str(out)], check=True, capture_output=True)
    np.testing.assert_array_equal(_written(out), expected)


def test_runs_and_pipelines_are_exported(made: SimpleNamespace, ask: Callable[..., Any], tmp_path: Path) -> None:
    import polars as pl
    import yaml

    ask("export", "spring", tmp_path / "run.yaml")
    assert yaml.safe_load((tmp_path / "run.yaml").read_text())["name"] == "spring"
    ask("export", "0001_linear", tmp_path / "config.json")
    assert json.loads((tmp_path / "config.json").read_text()) == {"steps": [1, 2]}
    ask("export", "spring", tmp_path / "all.parquet")
    assert len(pl.read_parquet(tmp_path / "all.parquet")) == 3
    ask("export", made.chain, tmp_path / "chain.yaml", code=2)
    ask("export", "spring", tmp_path / "all.csv", code=2)


# ── looking after ────────────────────────────────────────────────────────────────────────────────────


def test_garbage_is_listed_then_removed(hmp: Callable[..., Any], tmp_path: Path) -> None:
    with WorkspaceStore(tmp_path) as store:
        store.save_artifact({"a": 1}, "dict", "model", "pickle")
    there = [each for each in (tmp_path / "artifacts").rglob("*") if each.is_file()]
    assert len(there) == 1
    listed = hmp("gc", "--dry-run", "--json", "-p", tmp_path)
    assert there[0].name in json.loads(listed.out)["path"]
    assert "nothing was removed" in listed.err
    assert there[0].exists()
    assert json.loads(hmp("gc", "--json", "-p", tmp_path).out)["removed"] == 1
    assert not there[0].exists()


def test_vacuum_says_what_it_gave_back(hmp: Callable[..., Any], tmp_path: Path) -> None:
    with WorkspaceStore(tmp_path) as store:
        store.begin_run("one", None, [])
    done = json.loads(hmp("vacuum", "--json", "-p", tmp_path).out)
    assert done["before"] > 0 < done["after"]


# ── templates ────────────────────────────────────────────────────────────────────────────────────────


def test_templates_go_from_folder_to_folder(hmp: Callable[..., Any], tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    PipelineLibrary(one).save_template({"n": 3}, "My PLS", "regression", tags=["pls"], metrics={"rmse": 0.5})
    hmp("templates", "export", "My PLS", tmp_path / "pls.json", "-p", one)
    hmp("templates", "import", tmp_path / "pls.json", "-p", other)
    hmp("templates", "import", tmp_path / "pls.json", "-p", other, code=2)
    hmp("templates", "import", tmp_path / "pls.json", "--overwrite", "-p", other)
    assert json.loads(hmp("templates", "show", "my_pls", "--json", "-p", other).out)["pipeline"] == {"n": 3}
    assert json.loads(hmp("templates", "ls", "--tag", "pls", "--json", "-p", other).out)["name"] == "My PLS"
    assert hmp("templates", "ls", "--tag", "rf", "--json", "-p", other).out == ""
    assert "My PLS" in hmp("templates", "ls", "-p", other).out
    hmp("templates", "rm", "My PLS", "-p", other)
    hmp("templates", "rm", "My PLS", "-p", other, code=10)
    hmp("templates", "rm", "../x", "-p", other, code=2)


def test_a_damaged_template_is_listed_and_makes_the_exit_code(hmp: Callable[..., Any], tmp_path: Path) -> None:
    folder = PipelineLibrary(tmp_path).save_template({}, "pls")
    (folder / "metadata.json").write_text("{")
    assert "metadata.json" in hmp("templates", "ls", "-p", tmp_path, code=1).out
    hmp("templates", "show", "pls", "-p", tmp_path, code=22)


# ── which folder ─────────────────────────────────────────────────────────────────────────────────────


def test_the_store_is_that_of_the_project_one_stands_in(
    made: SimpleNamespace, hmp: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = made.project / "simulations"
    monkeypatch.chdir(inner)
    assert "spring" in hmp("ls").out
    monkeypatch.chdir("/")
    hmp("ls", code=10)
    monkeypatch.setenv("HMP_PROJECT", str(made.project))
    assert "spring" in hmp("ls").out


def test_a_project_without_a_store_uses_that_of_its_workspace(
    hmp: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = init_workspace(tmp_path / "workspace").path
    project = init_project(workspace, "aare").path
    monkeypatch.chdir(project)
    hmp("ls", code=10)
    with WorkspaceStore(workspace) as store:
        store.begin_run("of all", None, [])
    assert "of all" in hmp("ls").out


def test_looking_makes_no_store(hmp: Callable[..., Any], tmp_path: Path) -> None:
    for words in (["ls"], ["top"], ["show", "x"], ["gc"], ["vacuum"], ["export", "x", "y"], ["templates", "ls"]):
        hmp(*words, "-p", tmp_path, code=0 if words[0] == "templates" else 10)
    assert list(tmp_path.iterdir()) == []


def test_the_help_imports_nothing_heavy() -> None:
    code = """
import sys
from hmp_core.cli.main import main
main(["experiment", "--help"])
heavy = {"numpy", "polars", "duckdb", "pyarrow", "pandas", "xarray", "rich", "joblib", "sklearn", "zarr"}
print(sorted(heavy & set(sys.modules)), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_the_command_line_and_the_store_mean_the_same_file() -> None:
    from hmp_catalog.experiments import schema
    from hmp_catalog.verbs.experiments import places

    assert places._DATABASE == schema.DATABASE
