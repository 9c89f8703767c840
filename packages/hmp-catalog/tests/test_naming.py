"""What a run is called where its name is taken: each mode of ``if_exists``."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hmp_catalog
from hmp_catalog.errors import DuplicateSimulationName
from hmp_catalog.naming import next_version
from hmp_core.errors import InvalidInput


def _folders(cat: hmp_catalog.SimulationCatalog) -> set[str]:
    return {path.name for path in (cat.path / "simulations").glob("*")}


def _named(cat: hmp_catalog.SimulationCatalog, name: str) -> list[str]:
    return [run.sim_id for run in cat.find(name=name)]


def test_keep_keeps_both(cat: hmp_catalog.SimulationCatalog, record: Any) -> None:
    one, two = record(cat, "base"), record(cat, "base", if_exists="keep")
    assert _named(cat, "base") == [two.sim_id, one.sim_id]


def test_fail_leaves_no_row_and_no_folder(cat: hmp_catalog.SimulationCatalog, record: Any) -> None:
    one = record(cat, "base")
    folders = _folders(cat)
    with pytest.raises(DuplicateSimulationName):
        cat.record("gr4j", name="base", if_exists="fail")
    with pytest.raises(DuplicateSimulationName):
        cat.register_simulation("gr4j", name="base", if_exists="fail")
    assert _folders(cat) == folders
    assert [run.sim_id for run in cat] == [one.sim_id]
    assert not cat.rebuild()
    assert len(cat) == 1


def test_version_counts_on(cat: hmp_catalog.SimulationCatalog, record: Any) -> None:
    names = [record(cat, "base", if_exists="version").name for _ in range(3)]
    assert names == ["base", "base.v2", "base.v3"]
    cat["base.v3"].trash()
    assert record(cat, "base", if_exists="version").name == "base.v4", "that of one in the trash is not given again"
    assert cat["base.v4"].folder.name.startswith("base-v4__")
    assert json.loads((cat["base.v2"].folder / "run.json").read_text())["run"]["name"] == "base.v2"


def test_replace_moves_the_others_to_the_trash(cat: hmp_catalog.SimulationCatalog, record: Any) -> None:
    old = [record(cat, "base").sim_id, record(cat, "base").sim_id]
    other = record(cat, "other")
    new = record(cat, "base", if_exists="replace")
    assert {run.sim_id for run in cat} == {new.sim_id, other.sim_id}
    assert {run.sim_id for run in cat.trash} == set(old)
    assert cat.restore(old[0]).status == "completed"


def test_a_run_without_a_name_takes_nobodys(cat: hmp_catalog.SimulationCatalog, record: Any) -> None:
    record(cat)
    for mode in ("fail", "version", "replace"):
        assert record(cat, if_exists=mode).name is None
    assert len(cat) == 4


def test_another_mode_is_refused(cat: hmp_catalog.SimulationCatalog) -> None:
    with pytest.raises(InvalidInput, match="keep, fail, version, replace"):
        cat.record("gr4j", name="base", if_exists="overwrite")  # type: ignore[arg-type]


@given(st.sampled_from(["base", "base.v3", "v.v", "a.v1.v2"]), st.lists(st.integers(1, 30)))
def test_a_version_is_new_and_after_all_others(name: str, numbers: list[int]) -> None:
    stem = name.rpartition(".v")[0] if name.rpartition(".v")[2].isdigit() else name
    known = [f"{stem}.v{n}" for n in numbers]
    found = next_version(name, known)
    assert found not in known
    assert found == (f"{stem}.v{max(numbers) + 1}" if numbers else name)


def test_two_processes_do_not_take_the_same_version(cat: hmp_catalog.SimulationCatalog, spawn: Any) -> None:
    code = """
    import sys
    import hmp_catalog
    from pathlib import Path
    sys.stdin.readline()
    with hmp_catalog.open(Path(sys.argv[1])) as cat:
        for _ in range(5):
            with cat.record("gr4j", name="base", if_exists="version"):
                pass
    """
    with spawn(code, cat.path, count=2) as processes:
        for process in processes:
            process.stdin.write("go\n")
            process.stdin.flush()
        for process in processes:
            assert process.wait(60) == 0
    assert {run.name for run in cat} == {"base", *(f"base.v{n}" for n in range(2, 11))}
