"""A process that dies between any two lines loses nothing that was acknowledged and shows nothing half done."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

#: Script -> scenario -> at how many lines a process is killed in the ordinary run; 0: in the long run alone.
SCRIPTS = {
    # an input's first version, its next, one of another form under another name, one that is fetched, and a rebuild
    "killed.py": {"first": 0, "next": 6, "form": 0, "fetch": 3, "rebuild": 3},
    # bytes that go, an input that is given up, bytes that come back
    "killed_changes.py": {"purge": 3, "remove": 0, "restore": 3},
    # a download, one that goes on where it broke off, one that brings what is there, and several that arrive together
    "killed_downloads.py": {"download": 0, "resumed": 3, "confirmed": 0, "together": 2},
    # adding files, importing them into an empty workspace, and into one where the same inputs have another history
    "killed_many.py": {"many": 2, "import": 0, "merge": 2},
    # a gap on both sides of what is held, a series that is new, and a period in which there is nothing
    "killed_series.py": {"more": 3, "first": 0, "nothing": 0},
}
EVERY = [(script, scenario) for script, scenarios in SCRIPTS.items() for scenario in scenarios]
#: How many lines a flush by several threads takes differs a little from one run to the next.
VARIES = {"killed_many.py": 5}


def _killed(folder: Path, script: str, scenario: str, points: int) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name(script)), str(folder), scenario, str(points)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    outcome: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert outcome["wrong"] == [], done.stderr
    return outcome


@pytest.mark.parametrize(("script", "scenario"), [each for each in EVERY if SCRIPTS[each[0]][each[1]]])
def test_a_kill_at_some_lines(tmp_path: Path, script: str, scenario: str) -> None:
    points = SCRIPTS[script][scenario]
    assert _killed(tmp_path, script, scenario, points)["before"] >= points


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("script", "scenario"), EVERY)
def test_a_kill_at_every_line(tmp_path: Path, script: str, scenario: str) -> None:
    outcome = _killed(tmp_path, script, scenario, 0)
    assert outcome["before"] >= outcome["lines"] - VARIES.get(script, 0)
