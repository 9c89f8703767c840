"""Eight processes record into one catalog and four of them are killed at random: every acknowledged run is there."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import hmp_catalog
from hmp_core.layout import catalog_path

WRITER = Path(__file__).resolve().parent / "benchmarks" / "recorder_process.py"
PROCESSES, VICTIMS = 8, 4


class Writer:
    """A process that records, and what it was told is on record."""

    def __init__(self, project: Path, count: int, number: int) -> None:
        command = [sys.executable, str(WRITER), "runs", str(project), str(count), f"w{number}"]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, cwd=WRITER.parent)
        self.acknowledged: list[str] = []
        self.ended = False
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"
        self._listener = threading.Thread(target=self._listen)

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        self._listener.start()

    def _listen(self) -> None:
        for line in self.process.stdout or ():
            # a line that was cut short acknowledges nothing
            if line.startswith("ack ") and line.endswith("\n"):
                self.acknowledged.append(line.split()[1])
            self.ended = self.ended or line.startswith("end ")

    def wait(self) -> int:
        self._listener.join()
        code = self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()
        return code


@contextmanager
def writers(project: Path, count: int) -> Iterator[list[Writer]]:
    started = [Writer(project, count, number) for number in range(PROCESSES)]
    try:
        for writer in started:
            writer.go()
        yield started
    finally:
        for writer in started:
            writer.process.kill()


def race(project: Path, count: int, seed: int) -> None:
    """Let eight record, kill four of them, and hold the catalog against what was acknowledged."""
    chance = random.Random(seed)
    with hmp_catalog.open(project, create=True) as cat, writers(project, count) as running:
        victims = chance.sample(running, VICTIMS)
        for victim in victims:
            wanted = chance.randrange(count)
            while len(victim.acknowledged) < wanted and victim.process.poll() is None:
                time.sleep(0.001)
            time.sleep(chance.random() / 100)
            victim.process.send_signal(signal.SIGKILL)
            # somebody looks all the while
            assert {run.status for run in cat.find()} <= {"running", "completed", "interrupted"}
        codes = {writer: writer.wait() for writer in running}
        survivors = [writer for writer in running if writer not in victims]
        assert all(codes[writer] == 0 and len(writer.acknowledged) == count for writer in survivors)
        found = {run.sim_id: run.status for run in cat.find()}
        acknowledged = [sim for writer in running for sim in writer.acknowledged]
        assert not cat.notice
        assert len(acknowledged) == len(set(acknowledged)) >= count * len(survivors)
        assert {sim for sim in acknowledged if found.get(sim) != "completed"} == set()
        # beside these, each victim may have one that was not acknowledged any more
        others = {sim: status for sim, status in found.items() if sim not in set(acknowledged)}
        assert len(others) <= VICTIMS
        assert set(others.values()) <= {"completed", "interrupted"}
        for run in cat.find(status="completed"):
            assert len(run.metrics) == len(run.parameters) == 10
        expected = rows(cat)
    catalog_path(project).unlink()
    with hmp_catalog.open(project, create=True) as cat:
        assert not cat.notice
        assert rows(cat) == expected


def rows(cat: hmp_catalog.SimulationCatalog) -> dict[str, list[dict[str, object]]]:
    """Return what the tables hold, in a fixed order."""
    tables = ("simulations", "parameters", "metrics", "tags", "runs_environment", "audit_log")
    found = {table: cat.sql(f"SELECT * FROM {table}").to_pylist() for table in tables}
    return {table: sorted(each, key=str) for table, each in found.items()}


def test_what_was_acknowledged_survives_four_kills(tmp_path: Path) -> None:
    race(tmp_path / "project", 12, seed=0)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(20))
def test_what_was_acknowledged_survives_many_kills(tmp_path: Path, seed: int) -> None:
    race(tmp_path / "project", 50, seed)
