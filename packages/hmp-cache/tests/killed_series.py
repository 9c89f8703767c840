"""Kill a process that fetches a series between any two lines, and look at what it left; see ``killed.py``.

Run by ``test_kills.py``: ``python killed_series.py FOLDER SCENARIO POINTS``.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import killed
import pyarrow as pa

import hmp_cache
from hmp_cache import chronicle
from hmp_cache.sources import Asset, Destination, Offer, Request, Station
from hmp_core.identity import sha256_bytes

killed.ROOMS |= {f"{name}.py" for name in ("series", "harvest", "obtaining", "batch")}

FIRST = datetime(2010, 1, 1)
#: What there is: twenty days; nothing after that.
DAYS = {FIRST + timedelta(days=n): (float(n), None) for n in range(20)}
#: What is held at first, what is asked for then.
BEFORE = "2010-01-05/2010-01-10"
ASKED = {"more": "2010-01-01/2010-01-31", "first": "2010-01-01/2010-01-31", "nothing": "2010-01-25/2010-01-31"}


class Rivers:
    """Rivers that need no server."""

    name = "rivers"
    asked = 0

    def coverage(self) -> Sequence[Offer]:
        return [Offer("discharge", "m3 s-1", "1D")]

    def plan(self, request: Request) -> Sequence[Asset]:
        return [Asset("memory://rivers", "q.csv", request.period)]

    def fetch(self, asset: Asset, destination: Destination) -> None:
        Rivers.asked += 1
        start, end = asset.period or (None, None)
        assert start is not None
        assert end is not None
        found = {moment: value for moment, (value, _) in DAYS.items() if start <= moment <= end}
        destination.station(Station("rivers", "K1", "discharge", "Fulda", 51.3, 9.5))
        times = pa.array(list(found), pa.timestamp("us"))
        destination.rows(pa.table({"time": times, "value": pa.array(list(found.values()), pa.float64())}))


def _fetch(data: hmp_cache.InputsNamespace, period: str) -> hmp_cache.Entry | None:
    try:
        return data.fetch(variable="discharge", source=Rivers(), station="K1", period=period)
    except hmp_cache.errors.NothingThere:
        return None


def _prepare(workspace: Path, scenario: str) -> None:
    with hmp_cache.open(workspace, create=True) as data:
        if scenario != "first":
            _fetch(data, BEFORE)


def _judge(workspace: Path, scenario: str, answered: bool) -> None:
    said: dict[str, Any] = {"variable": "discharge", "source": Rivers(), "station": "K1"}
    first = chronicle.encoded({m: DAYS[m] for m in DAYS if 4 <= m.day - 1 <= 9}, "discharge")
    with hmp_cache.open(workspace) as data:
        found = data.find()
        if scenario != "first" or answered:
            assert len(found) == 1, found
        known = data.coverage(period=ASKED[scenario]).to_pylist()
        rows = chronicle.decoded(found[0].path.read_bytes()) if found else {}
        for row in known:
            there = {moment for moment in DAYS if row["start"] <= moment <= row["end"]}
            if row["state"] == "held":
                assert there <= rows.keys(), f"held without its rows: {row}"
            elif row["state"] == "empty":
                assert not there, f"empty where there is something: {row}"
        for entry in found:
            assert entry.state == "current", entry
            with entry.open() as file:
                assert sha256_bytes(file.read()) == entry.sha256
        if scenario != "first":
            assert data.artifact_path(sha256_bytes(first)).read_bytes() == first, "acknowledged rows are lost"
        if answered:
            assert data.gaps(**said, period=ASKED[scenario]) == []
            _fetch(data, ASKED[scenario])
            assert Rivers.asked == 0, "what was answered is asked for again"
        entry = _fetch(data, ASKED[scenario])
        if scenario == "nothing":
            assert entry is None
            (entry,) = data.find()
        final = first if scenario == "nothing" else chronicle.encoded(DAYS, "discharge")
        assert entry is not None
        assert entry.path.read_bytes() == final
        versions = [version.sha256 for version in data.versions(entry)]
        assert versions == [sha256_bytes(final), *([sha256_bytes(first)] if scenario == "more" else [])], versions
        assert data.gaps(**said, period=ASKED[scenario]) == []
    _from_the_files_alone(workspace, scenario)


def _from_the_files_alone(workspace: Path, scenario: str) -> None:
    """Without database and log the windows that are held are known still; what there is not is asked for again."""
    for gone in ("events", ".hmp"):
        shutil.rmtree(workspace / "data" / gone, ignore_errors=True)
    (workspace / "data" / "cache.duckdb").unlink()
    with hmp_cache.open(workspace) as data:
        held = [row for row in data.coverage().to_pylist() if row["state"] == "held"]
        assert [row["start"].day for row in held] == [5 if scenario == "nothing" else 1]
        assert [row["end"].day for row in held] == [10 if scenario == "nothing" else 20]


def main(folder: Path, scenario: str, points: int) -> None:
    """Kill a process that fetches a series."""
    base = folder / "base"
    assert killed._in_child(lambda: _prepare(base, scenario)) == 0
    killed.kill(
        folder,
        base,
        lambda data: _fetch(data, ASKED[scenario]),
        lambda workspace, answered: _judge(workspace, scenario, answered),
        points,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
