"""The machine index beside real catalogs: processes that refresh while others record."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import hmp_catalog
import hmp_index
from hmp_core.layout import init_workspace

#: Records until it is told to stop, and notes each run that it was promised to keep.
RECORD = """
import os, sys, time
import hmp_catalog
project, told, stop = sys.argv[1:]
n = 0
with hmp_catalog.open(project) as catalog:
    while not os.path.exists(stop):
        name = f"{os.path.basename(project)}{n}"
        with catalog.record("gr4j", name=name, parameters={"x1": float(n)}) as rec:
            rec.metric("nse", 0.5)
        with open(told, "a") as file:
            file.write(f"{name} ")
        n += 1
        time.sleep(0.05)
"""

#: Refreshes so many times; what was promised before must be in the answer, and stay.
REFRESH = """
import sys
from pathlib import Path
import hmp_index
told, rounds, only_stale = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "stale"
known = set()
with hmp_index.index() as index:
    for _ in range(rounds):
        promised = set(Path(told).read_text().rpartition(" ")[0].split())
        notice = index.refresh(only_stale=only_stale)
        assert {one.status for one in notice.skipped} <= {"ok", "busy"}, notice
        busy = {one.project for one in notice.skipped if one.status == "busy"}
        found = index.find(solver="gr4j")
        names = {hit.name for hit in found}
        assert len(found) == len(names), "a run is there twice"
        lost = known - names | {name for name in promised - names if name[0] not in busy}
        assert not lost, (sorted(lost), str(notice), str(index.notice))
        known = names
print(len(known))
"""


def _start(code: str, *words: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "error", "-c", code, *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ))


@pytest.mark.parametrize("rounds", [3, pytest.param(200, marks=pytest.mark.soak)])
def test_two_processes_refresh_while_a_third_records(tmp_path: Path, rounds: int) -> None:
    """What was acknowledged before a refresh is in its answer, no run is there twice, none is lost again.

    One reads what changed, the other reads everything each time; both fold what is being written, in two projects.
    """
    workspace = init_workspace(tmp_path / "aare").path
    projects = [workspace / "projects" / name for name in ("a", "b")]
    for project in projects:
        hmp_catalog.open(project, create=True).close()
    told, stop = tmp_path / "told", tmp_path / "stop"
    told.touch()
    with hmp_index.index() as index:
        index.register(workspace)
        recorders = [_start(RECORD, project, told, stop) for project in projects]
        until = time.monotonic() + 60
        while not {"a0", "b0"} <= set(told.read_text().split()):
            assert time.monotonic() < until, "nothing was recorded"
            time.sleep(0.01)
        readers = [_start(REFRESH, told, rounds, how) for how in ("stale", "everything")]
        seen = [int(reader.communicate(timeout=60 + rounds * 5)[0] or -1) for reader in readers]
        stop.touch()
        for recorder in recorders:
            recorder.communicate(timeout=60)
        assert [one.returncode for one in (*readers, *recorders)] == [0] * 4
        assert not index.refresh()
        names = [hit.name for hit in index.find()]
        assert sorted(names) == sorted(told.read_text().split())
        assert 0 < min(seen) <= len(names)
