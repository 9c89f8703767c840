"""Stores that earlier versions wrote: read, brought up to date, rebuilt, gone on with, for as long as there is hmp."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import frozen
import hmp_cache
import hmp_catalog
import hmp_index
from hmp_cache.fold import _MEANINGS
from hmp_cache.opening import rebuild_cache
from hmp_catalog.fold import _KINDS
from hmp_catalog.rebuilding import rebuild_catalog
from hmp_core.errors import MigrationPending
from house import PACKAGES, ROOT

VERSIONS = sorted(path.name for path in frozen.STORES.iterdir() if path.is_dir())

#: What each fold knows by name; each kind was version 1 when it was frozen.
KNOWN = {"cache": set(_MEANINGS), "catalog": set(_KINDS)}


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def store(version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the store, on a machine whose index is that of the store."""
    monkeypatch.setenv("HMP_STATE_HOME", str(tmp_path / "store" / "state"))
    monkeypatch.chdir(tmp_path)
    return frozen.unpacked(version, tmp_path / "store")


@pytest.fixture
def then(version: str) -> dict[str, Any]:
    """What every door answered when the store was frozen."""
    return frozen.expected(version)


def _project(store: Path) -> Path:
    return store / "workspace" / "projects" / "fulda"


def _cache(store: Path) -> Path:
    return store / "workspace" / "data" / "cache.duckdb"


def _brought_up_to_date(store: Path) -> None:
    """Open the catalog as somebody does who may write; the index only reads."""
    hmp_catalog.open(_project(store)).close()


def _check(store: Path, then: dict[str, Any]) -> None:
    """Compare what doors and tables say with what they said."""
    now = frozen.answers(store)
    now["rows of cache"] = frozen.tables(_cache(store))
    now["rows of catalog"] = frozen.tables(_project(store) / "catalog.duckdb")
    assert frozen.same({name: then[name] for name in now}, now) == []


# ── read ─────────────────────────────────────────────────────────────────────────────────────────────


def test_every_door_answers_as_it_did(store: Path, then: dict[str, Any]) -> None:
    """Also what was acknowledged and not folded when its writer was killed."""
    _check(store, then)


def test_the_index_answers_as_it_did(store: Path, then: dict[str, Any]) -> None:
    """From its snapshot, its workspace being where nobody finds it; then from the workspace, once that is of today."""
    assert frozen.same(then["index out of reach"], frozen.machine(store / "state")) == []
    _brought_up_to_date(store)
    assert frozen.same(then["index"], frozen.machine(store / "state", store / "workspace")) == []
    assert frozen.same(then["rows of index"], frozen.tables(store / "state" / "index.duckdb")) == []


def test_who_only_reads_is_told_to_upgrade(store: Path) -> None:
    """Nothing is folded, brought up to date or written."""
    before = (_project(store) / "catalog.duckdb").read_bytes()
    with pytest.raises(MigrationPending, match="hmp db upgrade"):
        hmp_catalog.open(_project(store), read_only=True)
    assert (_project(store) / "catalog.duckdb").read_bytes() == before


def test_what_only_a_later_hmp_knows_still_waits(store: Path) -> None:
    with hmp_catalog.open(_project(store)) as catalog, catalog.reading() as backend:
        ((event,),) = backend.fetch_all("SELECT event FROM _hmp_waiting")
    assert (json.loads(event)["kind"], json.loads(event)["v"]) == ("run.foretold", 3)


# ── rebuilt ──────────────────────────────────────────────────────────────────────────────────────────


def _rebuilt(store: Path) -> None:
    assert not rebuild_cache(store / "workspace")
    assert rebuild_catalog(_project(store)).waiting == 1


@pytest.mark.parametrize("kept", [True, False], ids=["beside the old", "from files alone"])
def test_it_is_rebuilt_as_it_was(store: Path, then: dict[str, Any], kept: bool) -> None:
    if not kept:
        _cache(store).unlink()
        (_project(store) / "catalog.duckdb").unlink()
    _rebuilt(store)
    _check(store, then)


def test_the_index_is_rebuilt_as_it_was(store: Path, then: dict[str, Any]) -> None:
    _brought_up_to_date(store)
    with hmp_index.index() as index:
        index.relocate("Fulda", store / "workspace")
    (store / "state" / "index.duckdb").unlink()
    with hmp_index.index() as index:
        assert [one.detail for one in index.rebuild().skipped] == ["1 waiting"]
    assert frozen.same(then["index"], frozen.machine(store / "state")) == []
    assert frozen.same(then["rows of index"], frozen.tables(store / "state" / "index.duckdb")) == []


# ── gone on with ─────────────────────────────────────────────────────────────────────────────────────


def test_it_is_gone_on_with(store: Path, then: dict[str, Any]) -> None:
    """What is recorded today stands beside what was there, and both are rebuilt together."""
    (store / "today.csv").write_text("date,precipitation\n2026-11-01,4\n")
    with hmp_cache.open(store / "workspace") as data:
        entry = data.add(store / "today.csv", variable="precipitation", station="Fulda", unit="mm d-1")
        rain = data["rain"]
    with hmp_catalog.open(_project(store)) as catalog:
        with catalog.record(solver="gr4j", name="today", inputs=[entry, rain]) as rec:
            rec.metric("nse", 0.5)
        catalog["last"].tag("looked at")
    for again in (lambda: None, lambda: _rebuilt(store)):
        again()
        now = frozen.answers(store)
        assert frozen.same(then["cache"]["entries"], now["cache"]["entries"]) == []
        runs = then["catalog"]["runs"]
        last = next(sim for sim, run in runs.items() if run["summary"]["name"] == "last")
        assert frozen.same({sim: run for sim, run in runs.items() if sim != last}, now["catalog"]["runs"]) == []
        assert now["catalog"]["runs"][last]["tags"] == ["looked at"]
        assert now["catalog"]["by name"]["today"] == rec.sim_id
        assert now["cache"]["entries"]["today"]["rows"] == 1


# ── each kind of event ───────────────────────────────────────────────────────────────────────────────


def _frozen_kinds(scope: str) -> set[tuple[str, int]]:
    files = frozen.STORES.glob(f"*/events-{scope}.jsonl")
    lines = [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    return {(line["kind"], line["v"]) for line in lines}


@pytest.mark.parametrize("scope", KNOWN)
def test_every_kind_of_event_is_frozen(scope: str) -> None:
    """A kind that is new gets a real event in the store of the next version, before that is released."""
    assert {(kind, 1) for kind in KNOWN[scope]} - _frozen_kinds(scope) == set()


@pytest.mark.parametrize("scope", KNOWN)
def test_every_kind_of_event_means_what_it_meant(version: str, store: Path, tmp_path: Path, scope: str) -> None:
    here = frozen.STORES / version
    then = json.loads((here / f"events-{scope}.expected.json").read_text(encoding="utf-8"))
    now = frozen.folded(scope, here / f"events-{scope}.jsonl", store / "workspace", tmp_path / "folded")
    assert frozen.same(then, now) == []


# ── what is kept ─────────────────────────────────────────────────────────────────────────────────────


def test_a_released_version_left_its_store() -> None:
    """One store for each release of the catalog, the scope that holds what cannot be made again."""
    changes = (ROOT / "packages" / "hmp-catalog" / "CHANGELOG.md").read_text(encoding="utf-8")
    released = re.findall(r"^## \[(.+?)\] - \d{4}-\d{2}-\d{2}$", changes, re.MULTILINE)
    assert set(released) - set(VERSIONS) == set()


def test_a_store_says_how_it_was_written(version: str) -> None:
    home = frozen.STORES / version
    assert {"write_store.py", "store.tar.xz", "expected.json"} <= {path.name for path in home.iterdir()}
    assert sum(path.stat().st_size for path in home.iterdir()) < 1_500_000


def test_stores_are_no_part_of_what_is_shipped() -> None:
    for folder in PACKAGES:
        assert not list((ROOT / "packages" / folder).rglob("store.tar.xz"))


def test_a_difference_is_seen(then: dict[str, Any]) -> None:
    """The comparison itself: a value, a row and a column that are not what they were."""
    rows = then["rows of catalog"]["metrics"]
    assert frozen.same(rows, rows) == []
    changed = [dict(row) for row in rows]
    changed[0]["value"] = 0.5
    assert len(frozen.same(rows, changed)) == 1
    assert len(frozen.same(rows, rows[1:])) == 1
    without = [{name: value for name, value in row.items() if name != "value"} for row in rows]
    assert len(frozen.same(rows, without)) == len(rows)
    assert frozen.same(rows, [row | {"new": 1} for row in rows]) == []
