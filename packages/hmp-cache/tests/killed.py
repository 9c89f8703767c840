"""Kill a process that stores an input between any two lines, many times, and look at what it left.

Run by ``test_kills.py``: ``python killed.py FOLDER SCENARIO POINTS``. A process is forked for each point, traced, and
killed with SIGKILL when it has come to that many lines of the rooms that touch the disk. Another process then opens the
workspace and judges it. Prints one line of JSON: how many lines there are, how often the kill came before and after the
answer, and what was wrong.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import duckdb  # noqa: F401, TID251 - loaded once here, opened by nobody here: each process forks with it
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import pyarrow.parquet as pq

import hmp_cache
from hmp_core.identity import sha256_bytes

_NAMES = "intake incoming shelf sidecar ledger fetching durable log segment apply pending rebuild replacing"
ROOMS = {f"{name}.py" for name in _NAMES.split()}
OLD = b"time,discharge\n2001-01-01,1.4\n"
NEW = b"time,discharge\n2001-01-01,1.4\n2001-01-02,1.3\n"
SAID = {"variable": "discharge", "station": "outlet"}

Work = Callable[[hmp_cache.InputsNamespace], object]
Judge = Callable[[Path, bool], None]


def _sources(desk: Path) -> dict[str, Path]:
    desk.mkdir(parents=True)
    (desk / "old").mkdir()
    (desk / "old" / "q.csv").write_bytes(OLD)
    (desk / "q.csv").write_bytes(NEW)
    pq.write_table(pa.table({"time": pa.array([0], pa.timestamp("us")), "discharge": [1.4]}), desk / "q.parquet")
    return {"old": desk / "old" / "q.csv", "csv": desk / "q.csv", "parquet": desk / "q.parquet"}


def _act(scenario: str, data: hmp_cache.InputsNamespace, sources: dict[str, Path]) -> None:
    if scenario == "fetch":
        data.fetch(sources["csv"].as_uri(), source="custom", **SAID)
    elif scenario == "rebuild":
        data.rebuild()
    else:
        data.add(sources["parquet" if scenario == "form" else "csv"], **SAID)


def _in_child(work: Callable[[], None]) -> int:
    """Run ``work`` in a process of its own and return how that ended, as `os.waitpid` says it."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        except Exception:  # noqa: BLE001 - whatever it is, it is told and counted
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1]


class Fuse:
    """Counts the lines of the rooms that touch the disk, and kills this process at one of them."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.count = 0

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Any:
        if Path(frame.f_code.co_filename).name not in ROOMS:
            return None
        return self.line

    def line(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event == "line":
            self.count += 1
            if self.count == self.at:
                os.kill(os.getpid(), signal.SIGKILL)
        return self.line


def _traced(workspace: Path, work: Work, at: int, said: Path) -> None:
    data = hmp_cache.open(workspace)
    fuse = Fuse(at)
    sys.settrace(fuse)
    work(data)
    sys.settrace(None)
    said.write_text(str(fuse.count))
    data.close()


def _prepare(workspace: Path, scenario: str, sources: dict[str, Path]) -> None:
    with hmp_cache.open(workspace, create=True) as data:
        if scenario != "first":
            data.add(sources["old"], **SAID)
        if scenario == "rebuild":
            data.add(sources["csv"], **SAID)


def _judge(workspace: Path, scenario: str, sources: dict[str, Path], answered: bool) -> None:
    final = sources["parquet" if scenario == "form" else "csv"].read_bytes()
    with hmp_cache.open(workspace) as data:
        found = data.find()
        if scenario != "first" or answered:
            assert len(found) == 1, found
        for entry in found:
            assert entry.state == "current", entry
            with entry.open() as file:
                assert sha256_bytes(file.read()) == entry.sha256, "bytes are not those of the record"
            assert entry.sha256 in {sha256_bytes(final), *(() if answered else [sha256_bytes(OLD)])}, (
                "not what was said"
            )
        if scenario != "first":
            assert data.artifact_path(sha256_bytes(OLD)).read_bytes() == OLD, "the former version is lost"
        # a process that comes after finishes or repeats what the dead one began, under another file name
        again = sources["old"].parent / f"again{sources['parquet'].suffix if scenario == 'form' else '.csv'}"
        again.write_bytes(final)
        entry = data.add(again, **SAID)
        assert data.find() == [entry], "the same input is there twice"
        versions = [v.sha256 for v in data.versions(entry)]
        expected = [sha256_bytes(final)] + ([] if scenario == "first" else [sha256_bytes(OLD)])
        assert versions == expected, versions
        assert [v.state for v in data.versions(entry)] == ["current", "superseded"][: len(versions)]
        _look(data, entry)
    _make_again(workspace)


def _look(data: hmp_cache.InputsNamespace, entry: hmp_cache.Entry) -> None:
    home = data.workspace / "data" / "discharge" / "custom"
    names = _visible(home)
    assert names == [entry.path.name, f"{entry.path.name}.hmp.json"], names
    left = _visible(data.workspace / "data" / ".incoming")
    assert left == [], left


def _visible(folder: Path) -> list[str]:
    """Return the files of a folder; a half-written one is hidden and swept in its time."""
    found = sorted(p.name for p in folder.iterdir()) if folder.exists() else []
    return [name for name in found if not (name.startswith(".") and name.endswith(".tmp"))]


def _make_again(workspace: Path) -> None:
    """A database made again from the sidecars alone says the same."""
    tables = ("entries", "artifacts", "provenance", "validation_reports", "coverage", "stations")
    with hmp_cache.open(workspace) as data:
        before = {name: data.sql(f"SELECT * FROM {name} ORDER BY ALL").to_pylist() for name in tables}
    for gone in ("events", ".hmp"):
        shutil.rmtree(workspace / "data" / gone, ignore_errors=True)
    (workspace / "data" / "cache.duckdb").unlink()
    with hmp_cache.open(workspace) as data:
        after = {name: data.sql(f"SELECT * FROM {name} ORDER BY ALL").to_pylist() for name in tables}
    assert after == before, "sidecars and log disagree"


def kill(folder: Path, base: Path, work: Work, judge: Judge, points: int) -> None:
    """Count the lines of ``work`` on a copy of ``base``, then die at ``points`` of them (0: at every one)."""
    lines = 0
    outcome: dict[str, Any] = {"before": 0, "after": 0, "wrong": []}

    def once(at: int) -> None:
        nonlocal lines
        workspace, said = folder / f"run{at}", folder / f"said{at}"
        shutil.copytree(base, workspace)
        ended = _in_child(lambda: _traced(workspace, work, at, said))
        answered = said.exists()
        lines = max(lines, int(said.read_text())) if answered else lines
        assert answered or os.WTERMSIG(ended) == signal.SIGKILL, ended
        outcome["after" if answered else "before"] += 1
        if _in_child(lambda: judge(workspace, answered)):
            outcome["wrong"].append(at)
        else:
            shutil.rmtree(workspace)

    once(0)
    step = max(1, lines // points) if points else 1
    for at in range(1, lines + 1, step):
        once(at)
    print(json.dumps(outcome | {"lines": lines}))


def main(folder: Path, scenario: str, points: int) -> None:
    """Kill a process that stores an input."""
    sources = _sources(folder / "desk")
    base = folder / "base"
    assert _in_child(lambda: _prepare(base, scenario, sources)) == 0
    kill(
        folder,
        base,
        lambda data: _act(scenario, data, sources),
        lambda workspace, answered: _judge(workspace, scenario, sources, answered),
        points,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
