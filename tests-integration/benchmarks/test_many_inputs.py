"""Many inputs: registering and rescanning beside ``dvc``, finding among 100,000, hashing beside ``sha256sum``.

Goals on two cores: register 10,000 small files <= 3 s, rescan unchanged <= 0.3 s, with one changed <= 0.3 s. Everything
is flushed as it always is; ``dvc`` flushes nothing. Sizes can be made smaller with ``HMP_BENCH_SCALE`` (1 by default).
"""

from __future__ import annotations

import copy
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hmp_cache
from hmp_cache.labels import artifact_id
from hmp_core.identity import derived_id

SCALE = float(os.environ.get("HMP_BENCH_SCALE", "1"))
FILES = int(10_000 * SCALE)
ENTRIES = int(100_000 * SCALE)
GREAT = int((1 << 30) * SCALE)


def _timed(what: str, act: Callable[[], Any], goal: float | None = None, *, times: int = 1) -> float:
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        act()
        taken.append(time.perf_counter() - began)
    told = "" if goal is None else f" (goal {goal:g} s)"
    print(f"\n{what}: {min(taken):.4f} s{told}", end="")
    return min(taken)


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    folder = tmp_path / "desk"
    folder.mkdir()
    for n in range(FILES):
        (folder / f"s{n:06d}.dat").write_bytes(os.urandom(256))
    return folder


def test_register_and_rescan(tmp_path: Path, desk: Path) -> None:
    with hmp_cache.open(tmp_path / "w", create=True) as data:
        files = sorted(desk.iterdir())
        ours = _timed(f"hmp: register {FILES} files", lambda: data.add_many(files, variable="other"), 3.0)
        _timed("hmp: the first question, which folds", lambda: data.table)
        unchanged = _timed("hmp: rescan unchanged", data.check, 0.3, times=3)
        data.latest().path.write_bytes(b"changed")
        changed = _timed("hmp: rescan, one changed", data.check, 0.3, times=3)
        assert sum(entry.state == "modified" for entry in data.check()) == 1
    dvc = shutil.which("dvc") or shutil.which("dvc", path=str(Path(sys.executable).parent))
    if dvc is None:
        pytest.skip("dvc is not installed: nothing to compare with")
    repository = tmp_path / "dvc"
    shutil.copytree(desk, repository / "desk")
    quiet = {**os.environ, "DVC_NO_ANALYTICS": "1"}

    def run(*words: str) -> None:
        subprocess.run([dvc, *words], cwd=repository, check=True, capture_output=True, env=quiet)

    run("init", "--no-scm", "--quiet")
    theirs = _timed(f"dvc add of {FILES} files", lambda: run("add", "desk"))
    theirs_unchanged = _timed("dvc status, unchanged", lambda: run("status"), times=3)
    next((repository / "desk").iterdir()).write_bytes(b"changed")
    theirs_changed = _timed("dvc status, one changed", lambda: run("status"))
    ratios = (theirs / ours, theirs_unchanged / unchanged, theirs_changed / changed)
    print("\nhmp is quicker by", ", ".join(f"{ratio:.1f}" for ratio in ratios))


def _fill(data: hmp_cache.InputsNamespace, file: Path) -> None:
    """Put many inputs on record that differ in station and file; the files are empty."""
    data.add(file, variable="discharge", source="hubeau", station="T")
    [event] = [e for e in data.store.files.everything().events if e.kind == "input.stored"]
    home = data.workspace / "data" / "discharge" / "hubeau"
    events = []
    for n in range(ENTRIES):
        said = copy.deepcopy(event.payload)
        entry, sha256 = str(derived_id("bench", str(n))), hashlib.sha256(str(n).encode()).hexdigest()
        said["entry"] |= {"id": entry, "name": f"st{n:06d}", "station_id": f"S{n:06d}"}
        said["artifact"] |= {"id": str(artifact_id(entry, sha256)), "sha256": sha256}
        said["artifact"]["path"] = f"data/discharge/hubeau/st{n:06d}.csv"
        (home / f"st{n:06d}.csv").touch()
        events.append(data.store.prepare("input.stored", said))
    data.store.commit(events)
    data.store.fold()


def test_find_among_many(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("time,discharge\n2001-01-01,1.4\n")
    name = f"st{ENTRIES // 2:06d}"
    with hmp_cache.open(tmp_path / "w", create=True) as data:
        _fill(data, file)
        _timed(f"find one among {ENTRIES} by station", lambda: data.find(station=name.replace("st", "S")), times=5)
        _timed("data[name]", lambda: data[name], 0.005, times=5)
        entry = data[name]
        _timed("data[id]", lambda: data[str(entry.id)], 0.005, times=5)
        _timed("a page of 20", lambda: data._rooms.asking.table({}, limit=20), times=5)
        _timed("the whole table", lambda: data.table, times=3)
        _timed("the whole list", data.find, times=2)


def test_hash_and_verify_beside_sha256sum(tmp_path: Path) -> None:
    file = tmp_path / "great.bin"
    with file.open("wb") as out:
        for _ in range(max(1, GREAT >> 20)):
            out.write(os.urandom(1 << 20))
    theirs = _timed("sha256sum", lambda: subprocess.run(["sha256sum", file], check=True, capture_output=True), times=2)
    with hmp_cache.open(tmp_path / "w", create=True) as data:
        entry = data.add(file, variable="other")
        ours = _timed("hmp data verify", data.verify, times=2)
        _timed("hmp data check", data.check, times=3)
        assert entry.size == file.stat().st_size
    print(f"\nverify takes {ours / theirs:.2f} times as long as sha256sum")
