"""A catalog on a backend of somebody else: the same tests pass, and nothing is asked of the engine of hmp.

All of them: ``pytest packages/hmp-catalog/tests --backend=cold`` (or ``nox -s another-backend``).
"""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cold_backend import ColdBackend, told

import hmp_catalog
from hmp_core.backends import DuckDBBackend, SQLiteBackend
from hmp_core.errors import InvalidInput
from hmp_core.protocols import StoreBackend
from hmp_core.testing.backend_suite import MakeBackend
from hmp_core.testing.store_backend_suite import StoreBackendSuite

TESTS = Path(__file__).parent

#: Of each room a little, each test as it stands there.
SOME = {
    "test_door.py": [
        "a_file_uri_makes_it",
        "who_may_not_read",
        "an_older_database_is_mig",
    ],
    "test_recorder.py": ["everything_comes_back", "an_exception_seals_it", "tables_series_and_fields"],
    "test_queries.py": ["discharge_at_the_outlet", "many_runs_are_read"],
    "test_lifecycle.py": ["what_is_restored_is_as_before", "a_purge_takes_rows"],
    "test_rebuild.py": ["rebuild_says_what_it_made"],
}


@pytest.mark.soak
class TestColdBackend(StoreBackendSuite):
    @pytest.fixture
    def make(self) -> MakeBackend:
        return ColdBackend


def test_it_is_another_and_keeps_the_contract(tmp_path: Path) -> None:
    assert not issubclass(ColdBackend, DuckDBBackend)
    assert isinstance(ColdBackend(tmp_path / "catalog.duckdb"), StoreBackend)
    assert isinstance(DuckDBBackend(tmp_path / "catalog.duckdb"), StoreBackend)
    assert not isinstance(SQLiteBackend(tmp_path / "catalog.db"), StoreBackend)


def test_the_tests_of_the_catalog_pass_unchanged() -> None:
    chosen = " or ".join(f"({words})" for some in SOME.values() for words in some)
    command = [sys.executable, "-m", "pytest", "-q", "--backend=cold", "-p", "no:cacheprovider", "-k", chosen]
    done = subprocess.run([*command, *(TESTS / name for name in SOME)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:]
    passed, asked = re.search(r"(\d+) passed", done.stdout), re.search(r"(\d+) leases, (\d+) statements", done.stdout)
    assert passed is not None
    assert int(passed[1]) >= sum(map(len, SOME.values()))
    assert asked is not None
    assert int(asked[2]) > int(asked[1]) > 100


def test_nothing_is_asked_of_the_engine_of_hmp(tmp_path: Path, python: Callable[..., str]) -> None:
    """It is not even started, by whatever a catalog does in a process."""
    code = f"""
        import os, sys
        from pathlib import Path

        sys.path.append({str(TESTS / "plugin")!r})
        from cold_backend import ColdBackend, told

        import hmp_catalog
        from hmp_core.backends import duckdb as ours

        project = Path(sys.argv[1]) / "aare"
        with hmp_catalog.open(project, create=True, backend=ColdBackend) as cat:
            for number in range(3):
                with cat.record("gr4j", name=f"run{{number}}", parameters={{"x1": 320.0 + number}}) as rec:
                    rec.metric("nse", 0.5 + number / 10)
            run = cat["run0"]
            run.tag("paper")
            assert cat.best("nse").name == "run2"
            assert [each.name for each in cat.find(tags="paper")] == ["run0"]
            assert cat.sql("SELECT count(*) AS n FROM simulations").to_pylist() == [{{"n": 3}}]
            cat.delete("run1")
            cat.purge("run1", reason="a test")
            cat.vacuum()
            assert not cat.rebuild()
            cat.gc()
            assert len(cat) == 2
        os.unlink(project / "catalog.duckdb")  # nobody has it open
        with hmp_catalog.open(project, create=True, backend=ColdBackend) as cat:
            assert len(cat) == 2
        with hmp_catalog.open(project, read_only=True, backend=ColdBackend) as cat:
            assert cat["run0"].tags == ["paper"]
        print(ours._instance.root, told["leases"] > 20, told["statements"] > 200)
    """
    assert python(code, tmp_path).split() == ["None", "True", "True"]


def test_a_catalog_takes_its_backend_along(project: Path) -> None:
    """Where it is pickled for a worker, what makes its backend goes with it."""
    with hmp_catalog.open(project, backend=ColdBackend) as catalog:
        there = pickle.loads(pickle.dumps(catalog))
    before = told["leases"]
    with there:
        assert len(there) == 0
        assert isinstance(there.store, type(catalog.store))
    assert there.store.backend_factory is ColdBackend
    assert told["leases"] > before


def test_the_database_is_the_same_whoever_keeps_it(
    project: Path, record: Callable[..., hmp_catalog.Run], contents: Callable[[Path], object]
) -> None:
    with hmp_catalog.open(project, backend=ColdBackend) as catalog:
        record(catalog, "base", metrics={"nse": 0.8}, tags=["paper"])
        assert catalog["base"].metrics == {"nse": 0.8}
    kept = contents(project)
    with hmp_catalog.open(project) as catalog:
        assert catalog.best("nse").name == "base"
        assert not catalog.rebuild()
    assert contents(project) == kept


def test_what_cannot_keep_a_catalog_is_found_out(project: Path) -> None:
    """A factory that returns a backend with less than the contract is refused at the door, by its name."""
    with pytest.raises(InvalidInput, match="SQLiteBackend"):
        hmp_catalog.open(project, backend=SQLiteBackend)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="backend= is 'duckdb', expected what makes a backend"):
        hmp_catalog.open(project, backend="duckdb")  # type: ignore[arg-type]
