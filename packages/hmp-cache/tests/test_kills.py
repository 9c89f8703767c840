"""A process that dies between any two lines loses nothing that was acknowledged and shows nothing half done."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

#: an input's first version, its next, one of another form under another name, one that is fetched, and a rebuild
SCENARIOS = {"first": 4, "next": 15, "form": 4, "fetch": 4, "rebuild": 4}

#: bytes that go, an input that is given up, bytes that come back
CHANGES = {"purge": 4, "remove": 4, "restore": 4}


def _killed(folder: Path, scenario: str, points: int) -> dict[str, Any]:
    script = Path(__file__).with_name("killed_changes.py" if scenario in CHANGES else "killed.py")
    done = subprocess.run(
        [sys.executable, str(script), str(folder), scenario, str(points)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    outcome: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert outcome["wrong"] == [], done.stderr
    return outcome


@pytest.mark.parametrize("scenario", SCENARIOS | CHANGES)
def test_a_kill_at_some_lines(tmp_path: Path, scenario: str) -> None:
    points = (SCENARIOS | CHANGES)[scenario]
    outcome = _killed(tmp_path, scenario, points)
    assert outcome["before"] >= points


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("scenario", SCENARIOS | CHANGES)
def test_a_kill_at_every_line(tmp_path: Path, scenario: str) -> None:
    outcome = _killed(tmp_path, scenario, 0)
    assert outcome["before"] == outcome["lines"]
