"""Files written with either DuckDB open with both, and hold the same rows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).with_name("written.py")

ORDERS = [pytest.param(True, id="written there, read here"), pytest.param(False, id="written here, read there")]


def _do(python: str, *words: str | Path, state: Path, code: int = 0) -> str:
    environment = os.environ | {"HMP_STATE_HOME": str(state), "HMP_USER": "ada"}
    command = [python, "-W", "error", str(SCRIPT), *map(str, words)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == code, done.stderr
    return done.stdout


def _rows(python: str, project: Path, state: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_do(python, "rows", project, state=state))
    return found


def test_here_and_there_are_two_versions(other_python: str) -> None:
    """Or all that follows would mean nothing."""
    ask = [other_python, "-c", "import importlib.metadata as m; print(m.version('duckdb'))"]
    there = subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip()
    ask[0] = sys.executable
    here = subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip()
    assert there.partition(".")[0] != here.partition(".")[0]


@pytest.mark.parametrize("there_first", ORDERS)
def test_a_catalog_goes_back_and_forth(other_python: str, tmp_path: Path, *, there_first: bool) -> None:
    first, second = (other_python, sys.executable) if there_first else (sys.executable, other_python)
    project, state = tmp_path / "aare", tmp_path / "state"
    for number, (writer, reader) in enumerate([(first, second), (second, first), (first, second)], 1):
        _do(writer, "record", project, f"run-{number}", state=state)
        written = _rows(writer, project, state)
        assert _rows(reader, project, state) == written
        assert len(written["rows"]["simulations"]) == number
        assert written["format"].startswith("v1.5.0"), "the other version can no longer open it"


@pytest.mark.parametrize("there_first", ORDERS)
def test_what_a_killed_process_committed_is_read_by_the_other(
    other_python: str, tmp_path: Path, *, there_first: bool
) -> None:
    """It is in the WAL alone, which the other version must play."""
    first, second = (other_python, sys.executable) if there_first else (sys.executable, other_python)
    for number, python in enumerate([first, second, first], 1):
        _do(python, "die", tmp_path / "catalog.duckdb", str(number), state=tmp_path, code=-9)
        assert (tmp_path / "catalog.duckdb.wal").stat().st_size > 0
    assert _rows(second, tmp_path, tmp_path)["rows"] == {"t": ["(1,)", "(2,)", "(3,)"]}
