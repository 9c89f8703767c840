"""SIGKILL between a verb of the experiments store and the disk: what returned is there, once, and whole."""

from __future__ import annotations

import contextlib
import random
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("polars")
pytest.importorskip("joblib")

from hmp_catalog.experiments.schema import TABLES
from hmp_catalog.experiments.store import WorkspaceStore
from hmp_core.backends.duckdb import DuckDBBackend

#: Kills, two of them one after the other in the same store.
SEEDS, MANY, EACH = range(6), range(6, 300), 2
PARTS = 12

#: Where a line more or less decides whether something happened.
ROOMS = {"keeper", "journal", "settling", "recording", "ending", "artifacts", "store", "segment", "durable"}

#: Tables whose rows are counted; artefacts may be collected.
COUNTED = [table for table in TABLES if table != "artifacts"]

#: The numbers that `killed_experiments.prediction` is called with.
SIZES = {1, 2, 3, 4}


@pytest.fixture(scope="module")
def victims(make_victims: Callable[[str, int], Any]) -> Any:
    return make_victims("killed_experiments.py", 0)


@pytest.fixture(scope="module")
def counted(victims: Any, tmp_path_factory: pytest.TempPathFactory) -> list[list[str]]:
    """Return what is said of a story in which nobody is killed, in a store that is not new."""
    folder = tmp_path_factory.mktemp("counted")
    assert victims.work(folder, 0)[-1] == ["end", "0"]
    said = victims.work(folder, -1)
    assert said[-1] == ["end", "0"], said
    return list(said)


@pytest.fixture(scope="module")
def places(counted: list[list[str]]) -> dict[str, list[int]]:
    """Where one can die: each line, with steps at which it runs."""
    return {words[1]: list(map(int, words[2:])) for words in counted if words[0] == "place"}


@pytest.fixture(scope="module")
def changes(counted: list[list[str]]) -> list[Counter[str]]:
    """What each act adds to the tables."""
    found = []
    for words in counted:
        if words[0] == "did":
            pairs = (each.split("=") for each in words[2].split(",") if "=" in each)
            found.append(Counter({table: int(count) for table, count in pairs}))
    return found


# ── what is there ────────────────────────────────────────────────────────────────────────────────────


@contextlib.contextmanager
def rows(folder: Path) -> Iterator[DuckDBBackend]:
    """Look into the tables as they are, once whoever opens the store has brought them up to date."""
    with WorkspaceStore(folder) as store:
        store.list_runs()
    backend = DuckDBBackend(folder / "store.duckdb")
    with backend.lease(write=False):
        yield backend


def counts(backend: DuckDBBackend) -> Counter[str]:
    return Counter({table: backend.fetch_all(f"SELECT count(*) FROM {table}")[0][0] for table in COUNTED})


def check(folder: Path, before: Counter[str], said: list[list[str]], changes: list[Counter[str]]) -> Counter[str]:
    """Hold the store against what was acknowledged since it had the rows ``before``; return what it has now."""
    assert said[-1] in (["end", str(int(signal.SIGKILL))], ["end", "0"]), said
    does = [" ".join(words[2:]) for words in said if words[0] == "does"]
    done = [words for words in said if words[0] == "did"]
    with rows(folder) as backend:
        found = counts(backend)
        now = Counter(before)
        for each in changes[: len(done)]:
            now.update(each)
        expected = [now]
        if len(does) > len(done):
            expected.append(Counter(now))
            expected[-1].update(changes[len(done)])
        assert found in expected, (found, expected, does[-1:])
        check_rows(backend, does, done)
        check_parents(backend)
        check_artifacts(backend, folder)
    check_values(folder, does, done)
    check_files(folder)
    return found


def check_rows(backend: DuckDBBackend, does: list[str], done: list[list[str]]) -> None:
    """What returned is there by its id and has its status, unless something took it away."""
    ids = {name: words[3] for name, words in zip(does, done, strict=False)}
    finished = set(does[: len(done)])
    expected = {"run": "runs", "pipeline": "pipelines", "chain": "chains", "prediction 1": "predictions"}
    for name, table in expected.items():
        if name in ids:
            assert backend.fetch_all(f"SELECT 1 FROM {table} WHERE {TABLES[table]} = $1", [ids[name]]) == [(1,)], name
    if "complete run" in finished:
        assert status(backend, "runs", ids["run"]) == "completed"
    elif "run" in ids:
        assert status(backend, "runs", ids["run"]) in {"interrupted", "completed"}
    if "fail pipeline" in finished:
        assert status(backend, "pipelines", ids["doomed pipeline"]) == "failed"
    if "delete run" in finished:
        assert ids["delete run"] == "5"
        assert backend.fetch_all("SELECT 1 FROM runs WHERE run_id = $1", [ids["other run"]]) == []
    assert backend.fetch_all("SELECT 1 FROM runs WHERE status = 'running'") == []


def status(backend: DuckDBBackend, table: str, identity: str) -> str:
    sql = f"SELECT status FROM {table} WHERE {TABLES[table]} = $1"
    return str(backend.fetch_all(sql, [identity])[0][0])


def check_parents(backend: DuckDBBackend) -> None:
    """Nothing is left of what was deleted, nor of a pipeline that failed."""
    for table, parent, key in (
        ("pipelines", "runs", "run_id"),
        ("chains", "pipelines", "pipeline_id"),
        ("predictions", "pipelines", "pipeline_id"),
        ("predictions", "chains", "chain_id"),
        ("logs", "pipelines", "pipeline_id"),
        ("prediction_arrays", "predictions", "prediction_id"),
        ("_hmp_references", "chains", "chain_id"),
        ("_hmp_references", "artifacts", "artifact_id"),
    ):
        sql = f"SELECT {key} FROM {table} WHERE {key} NOT IN (SELECT {key} FROM {parent})"
        assert backend.fetch_all(sql) == [], (table, parent)
    for table in ("chains", "predictions", "logs"):
        sql = f"SELECT 1 FROM {table} JOIN pipelines USING (pipeline_id) WHERE status = 'failed'"
        assert backend.fetch_all(sql) == [], table


def check_artifacts(backend: DuckDBBackend, folder: Path) -> None:
    """What chains name is counted as often, and its file is there."""
    named: Counter[str] = Counter()
    for shared, folds in backend.fetch_all("SELECT shared_artifacts ->> '1', fold_artifacts ->> 'fold_0' FROM chains"):
        named.update({shared, folds})
    kept = backend.fetch_all("SELECT artifact_id, ref_count, artifact_path, size_bytes FROM artifacts")
    assert {identity: count for identity, count, *_ in kept if count} == named
    for _, _, relative, size in kept:
        assert (folder / "artifacts" / relative).stat().st_size == size


def check_values(folder: Path, does: list[str], done: list[list[str]]) -> None:
    """What was saved can be had, and is what was saved."""
    ids = {name: words[3] for name, words in zip(does, done, strict=False)}
    with WorkspaceStore(folder) as store:
        for name in ids.keys() & {"artifact shared", "artifact own", "" if "collect" in does else "artifact loose"}:
            assert store.load_artifact(ids[name]) is not None
        for identity in store.query_predictions()["prediction_id"]:
            found = store.get_prediction(identity, load_arrays=True)
            assert found is not None
            size = found["n_samples"]
            assert size in SIZES
            if found["y_true"] is not None:
                np.testing.assert_array_equal(found["y_true"], np.arange(size) / 3)
                np.testing.assert_array_equal(found["sample_indices"], np.arange(size))
        for number in (1, 2):
            if f"arrays {number}" in does[: len(done)] and not (number == 2 and "delete prediction" in does):
                found = store.get_prediction(ids[f"prediction {number}"], load_arrays=True)
                assert found is not None
                np.testing.assert_array_equal(found["y_pred"], np.arange(number) / 7)


def check_files(folder: Path) -> None:
    """Closing leaves no journal and no write-ahead log, whoever died before."""
    left = [each.name for each in (folder / ".hmp").rglob("*.log")]
    assert left == []
    assert not (folder / "store.duckdb.wal").exists()


# ── who dies ─────────────────────────────────────────────────────────────────────────────────────────


def check_goes_on(folder: Path, before: Counter[str], victims: Any, changes: list[Counter[str]]) -> None:
    """What was left behind keeps nobody from going on, and collecting leaves the files that are known."""
    said = victims.work(folder, 0)
    assert said[-1] == ["end", "0"], said
    check(folder, before, said, changes)
    with WorkspaceStore(folder) as store:
        store.gc_artifacts()
        with store._keeper.reading() as backend:
            known = {row[0] for row in backend.fetch_all("SELECT artifact_path FROM artifacts")}
    there = {each.relative_to(folder / "artifacts").as_posix() for each in (folder / "artifacts").rglob("*.*")}
    assert there == known


def kill(seed: int, folder: Path, victims: Any, places: dict[str, list[int]], changes: list[Counter[str]]) -> None:
    chance, found = random.Random(seed), Counter(dict.fromkeys(COUNTED, 0))
    for _ in range(EACH):
        said = victims.work(folder, chance.choice(chance.choice(list(places.values()))))
        found = check(folder, found, said, changes)
    if seed % 4 == 0:
        check_goes_on(folder, found, victims, changes)


@pytest.mark.parametrize("seed", SEEDS)
def test_killed_at_any_line(seed, tmp_path, victims, places, changes):
    kill(seed, tmp_path, victims, places, changes)


@pytest.mark.soak
@pytest.mark.parametrize("seed", MANY)
def test_killed_at_many_lines(seed, tmp_path, victims, places, changes):
    kill(seed, tmp_path, victims, places, changes)


def test_every_room_between_a_verb_and_the_disk_is_watched(counted):
    assert {words[1] for words in counted if words[0] == "room"} >= ROOMS


#: Functions in whose midst something becomes so.
SWITCHES = ("_settled:", "_apply:", "_remove:", "_after:")


def test_killed_while_pending_entries_become_rows(tmp_path, victims, places, changes):
    """At lines of settling, in several of its turns."""
    lines = [place for place in places if place.startswith(SWITCHES)]
    assert len(lines) > 10
    for place in lines[::6]:
        folder = tmp_path / place.replace(":", "-")
        said = victims.work(folder, places[place][len(places[place]) // 2])
        check(folder, Counter(dict.fromkeys(COUNTED, 0)), said, changes)


@pytest.mark.soak
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("part", range(PARTS))
def test_killed_at_every_line(part, tmp_path, victims, places, changes):
    for place, steps in [*places.items()][part::PARTS]:
        for step in sorted({steps[0], steps[len(steps) // 2], steps[-1]}):
            folder = tmp_path / f"{place}-{step}".replace(":", "-")
            found = check(folder, Counter(dict.fromkeys(COUNTED, 0)), victims.work(folder, step), changes)
        check_goes_on(folder, found, victims, changes)


def test_nobody_killed(tmp_path, victims, changes):
    check_goes_on(tmp_path, Counter(dict.fromkeys(COUNTED, 0)), victims, changes)
