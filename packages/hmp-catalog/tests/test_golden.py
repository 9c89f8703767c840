"""The same recording gives the same bytes: fields, tables, manifest, pack and every row, however it was made."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("golden_process.py")


def recorded(folder: Path, how: str, **environment: str) -> dict:
    """Record in a process of its own, in which hashes, zone and place differ, and time and chance stand still."""
    command = [sys.executable, str(SCRIPT), str(folder / "workspace"), how]
    env = os.environ | environment | {"HMP_USER": "ada"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    found: dict = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> dict:
    return recorded(tmp_path_factory.mktemp("golden"), "facade", PYTHONHASHSEED="1", TZ="UTC")


def test_there_is_something_of_everything(golden: dict) -> None:
    names = golden["files"].keys()
    assert {
        "run.json",
        "files.zip",
        "tables/budget.parquet",
        "tables/timeseries.parquet",
        "fields.zarr/zarr.json",
    } <= names
    assert all(golden["rows"][name] for name in ("simulations", "parameters", "metrics", "parquet_files", "audit_log"))


@pytest.mark.parametrize(
    ("how", "seed", "zone"), [("facade", "2", "Asia/Tokyo"), ("verbs", "3", "UTC"), ("rooms", "4", "America/Lima")]
)
def test_the_same_recording_gives_the_same_bytes(tmp_path: Path, golden: dict, how: str, seed: str, zone: str) -> None:
    (tmp_path / "somewhere else").mkdir()
    again = recorded(tmp_path / "somewhere else", how, PYTHONHASHSEED=seed, TZ=zone)
    assert again["files"] == golden["files"]
    assert again["rows"] == golden["rows"]
