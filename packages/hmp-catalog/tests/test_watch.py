"""What is running is seen with its age and its last sign of life; what died is named."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

KILLED = """
import os, signal, sys, hmp_catalog
hmp_catalog.open(sys.argv[1]).record("modflow6", name="killed")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_open_runs_are_told_with_their_state(cat, project):
    assert subprocess.run([sys.executable, "-c", KILLED, project], check=False).returncode == -signal.SIGKILL
    with cat.record("gr4j", name="done"):
        pass
    with cat.record("gr4j", name="here") as rec:
        os.utime(rec.folder, (1e9, 1e9))
        found = {run["name"]: run for run in cat.open_runs()}
    assert {name: run["status"] for name, run in found.items()} == {"killed": "interrupted", "here": "running"}
    assert found["here"]["pid"] == os.getpid()
    assert 0 <= found["here"]["age_s"] < 60
    assert found["here"]["silent_s"] > 1e8
    assert 0 <= found["killed"]["silent_s"] < 60
    assert [run["name"] for run in cat.open_runs()] == ["killed"]


def test_a_script_looks_once(cat, project, hmp):
    assert hmp("catalog", "watch", "--once", "--project", project).stdout.strip() == "nothing found"
    with cat.record("gr4j", name="[red]here") as rec:
        line = hmp("catalog", "watch", "--once", "--json", "--project", project)
    assert line.returncode == 0, line.stderr
    said = json.loads(line.stdout)
    assert (said["sim_id"], said["name"], said["status"]) == (rec.sim_id, "[red]here", "running")


def test_a_person_watches_until_ctrl_c(cat, project):
    command = [sys.executable, "-m", "hmp_core.cli.main", "catalog", "watch", "--interval", "0.2", "--project", project]
    with cat.record("gr4j", name="[red]here"):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            process.communicate(timeout=4)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert "[red]here" in out
    assert "Traceback" not in err
    assert process.returncode == 130
