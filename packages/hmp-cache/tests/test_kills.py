"""A process that dies between any two lines loses nothing that was acknowledged and shows nothing half done."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

#: an input's first version, its next, one of another form under another name, one that is fetched, and a rebuild
SCENARIOS = {"first": 4, "next": 6, "form": 4, "fetch": 4, "rebuild": 4}

#: bytes that go, an input that is given up, bytes that come back
CHANGES = {"purge": 4, "remove": 4, "restore": 4}

#: a download, one that goes on where it broke off, one that brings what is there, and several that arrive together
DOWNLOADS = {"download": 2, "resumed": 3, "confirmed": 2, "together": 3}
EVERY = SCENARIOS | CHANGES | DOWNLOADS


def _killed(folder: Path, scenario: str, points: int) -> dict[str, Any]:
    of = "_changes" if scenario in CHANGES else "_downloads" if scenario in DOWNLOADS else ""
    script = Path(__file__).with_name(f"killed{of}.py")
    done = subprocess.run(
        [sys.executable, str(script), str(folder), scenario, str(points)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    outcome: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert outcome["wrong"] == [], done.stderr
    return outcome


@pytest.mark.parametrize("scenario", EVERY)
def test_a_kill_at_some_lines(tmp_path: Path, scenario: str) -> None:
    points = EVERY[scenario]
    outcome = _killed(tmp_path, scenario, points)
    assert outcome["before"] >= points


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("scenario", EVERY)
def test_a_kill_at_every_line(tmp_path: Path, scenario: str) -> None:
    outcome = _killed(tmp_path, scenario, 0)
    assert outcome["before"] == outcome["lines"]
