"""A process that dies while it stores many inputs together loses nothing that was acknowledged, nor what was there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

#: adding files, importing them into an empty workspace, and into one where the same inputs have another history
SCENARIOS = {"many": 3, "import": 2, "merge": 2}


def _killed(folder: Path, scenario: str, points: int) -> dict[str, Any]:
    script = Path(__file__).with_name("killed_many.py")
    done = subprocess.run(
        [sys.executable, str(script), str(folder), scenario, str(points)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    outcome: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert outcome["wrong"] == [], done.stderr
    return outcome


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_kill_at_some_lines(tmp_path: Path, scenario: str) -> None:
    outcome = _killed(tmp_path, scenario, SCENARIOS[scenario])
    assert outcome["before"] >= SCENARIOS[scenario]


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_kill_at_every_line(tmp_path: Path, scenario: str) -> None:
    outcome = _killed(tmp_path, scenario, 0)
    assert outcome["before"] >= outcome["lines"] - 5  # how many lines a flush by threads takes differs a little
