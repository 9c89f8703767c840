"""A process that dies while it fetches a series loses no row, and nothing is taken for known that is not stored."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

#: a gap on both sides of what is held, a series that is new, and a period in which there is nothing
SCENARIOS = {"more": 3, "first": 1, "nothing": 1}


def _killed(folder: Path, scenario: str, points: int) -> dict[str, Any]:
    script = Path(__file__).with_name("killed_series.py")
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
    assert outcome["before"] == outcome["lines"]
