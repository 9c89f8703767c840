"""Records one simulation with the world stopped, and prints what is on the disk and in the database; see test_golden.

Called as ``golden_process.py FOLDER HOW``: through the facade, through the low-level verbs, or through the rooms.
"""

from __future__ import annotations

import json
import random
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

_CHANCE = random.Random(7)
DAYS = pd.date_range("2001-01-01", periods=40, name="time")
HEADS = np.random.default_rng(3).normal(size=(40, 2, 6, 5)).astype("f4")
FLOW = pd.Series(np.random.default_rng(4).normal(size=40), index=DAYS)
NODES = ([0.0, 1.0, 2.0, 0.0, 1.0, 2.0], [0.0, 0.0, 0.0, 1.0, 1.0, 1.0])
CELLS = [[0, 1, 4, 3], [1, 2, 5, 4]]
BUDGET = {"component": ["wells", "drains"], "volume": [12.5, 3.0]}
SPEC: dict[str, Any] = {
    "name": "base",
    "parameters": {"x1": 320.0, "kind": "dry"},
    "config": {"warmup": 365},
    "tags": ["b", "a"],
    "seed": 7,
    "crs": "EPSG:2056",
    "description": "a dry year",
    "sim_id": "9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d",
}


def stop_the_world() -> None:
    """Let ids, times and the machine be the same in every process."""
    import hmp_catalog.catalog
    import hmp_catalog.environment
    from hmp_core import identity, layout, locks

    at = 1_772_431_200_000_000_000
    time.time_ns, time.time, time.perf_counter = lambda: at, lambda: at / 1e9, lambda: 100.0
    identity.secrets.randbits = _CHANCE.getrandbits
    identity.uuid4 = layout.uuid4 = lambda: uuid.UUID(int=_CHANCE.getrandbits(128), version=4)
    owner = locks.Owner(pid=4242, host="node1", boot="0f2a", namespace="pid:[1]", started="77")
    locks._owner = lambda pid: owner
    locks._owner.cache_clear = lambda: None  # type: ignore[attr-defined]
    known = dict.fromkeys(hmp_catalog.environment._capture(0), "") | {"cpu_info": {}, "memory_gb": 8.0, "packages": {}}
    hmp_catalog.environment._capture = lambda pid: known
    hmp_catalog.environment._code = lambda: ("0" * 40, False)


def fill(rec: Any) -> None:
    """Say all there is of a run to its recorder."""
    rec.metric("nse", 0.5, variable="discharge")
    rec.timeseries("discharge", FLOW[:25], unit="m3 s-1")
    rec.timeseries("discharge", FLOW[25:], unit="m3 s-1")
    rec.table("budget", BUDGET, units={"volume": "m3"})
    rec.fields.write_mesh(NODES, CELLS)
    rec.field("recharge", [1e-3, 2e-3], dims=("cell",), units="m d-1")
    for part in (slice(0, 13), slice(13, 40)):
        rec.field("head", HEADS[part], time=DAYS[part], coords={"x": np.arange(5.0), "y": np.arange(6.0)})


def through_the_facade(cat: Any) -> None:
    with cat.record("modflow6", **SPEC) as rec:
        fill(rec)


def through_the_verbs(cat: Any) -> None:
    sim = cat.register_simulation("modflow6", **{k: v for k, v in SPEC.items() if k != "parameters"})
    cat.write_parameters(sim, SPEC["parameters"])
    cat.write_metric(sim, "nse", 0.5, variable="discharge")
    cat.write_timeseries(sim, "discharge", FLOW[:25], unit="m3 s-1")
    cat.write_timeseries(sim, "discharge", FLOW[25:], unit="m3 s-1")
    cat.write_view(sim, "budget", BUDGET, units={"volume": "m3"})
    cat.write_mesh(sim, NODES, CELLS)
    cat.write_field(sim, "recharge", [1e-3, 2e-3], dims=("cell",), units="m d-1")
    about = {"coords": {"x": np.arange(5.0), "y": np.arange(6.0)}}
    cat.write_field(sim, "head", HEADS, time=DAYS, **about)
    cat.finalize(sim)


def through_the_rooms(cat: Any) -> None:
    """The recorder is made by hand; tables and fields are written by their rooms, at once instead of in parts."""
    from hmp_catalog.fields import SimulationZarr
    from hmp_catalog.recorder import Recorder
    from hmp_catalog.records import RunSpec
    from hmp_catalog.tables import TableSet

    rec = Recorder(cat.store, cat.path, cat.workspace, RunSpec(solver="modflow6", **SPEC)).begin()
    rec.metric("nse", 0.5, variable="discharge")
    rec._tables = tables = TableSet(rec.folder, run_id=rec.sim_id)
    tables.timeseries("discharge", FLOW, station="outlet", unit="m3 s-1")
    tables.add("budget", pd.DataFrame(BUDGET), units={"volume": "m3"})
    store = rec.fields
    assert isinstance(store, SimulationZarr)
    store.write_mesh(NODES, CELLS)
    store.write_field("recharge", np.array([1e-3, 2e-3]), dims=("cell",), units="m d-1")
    for at in range(40):
        store.append_field(
            "head", HEADS[at], ("time", "layer", "y", "x"), time=DAYS[at],
            coords={"x": np.arange(5.0), "y": np.arange(6.0)},
        )  # fmt: skip
    rec.seal()


def main() -> None:
    folder, how = Path(sys.argv[1]), sys.argv[2]
    import hmp_catalog
    from hmp_catalog.fold import FOLD
    from hmp_core.identity import sha256_file
    from hmp_core.layout import init_project, init_workspace

    project = init_project(init_workspace(folder).path, "aare").path
    stop_the_world()
    with hmp_catalog.open(project, create=True) as cat:
        {"facade": through_the_facade, "verbs": through_the_verbs, "rooms": through_the_rooms}[how](cat)
        with cat.reading() as backend:
            dump = {t.name: backend.query(f"SELECT * FROM {t.name}").to_pylist() for t in FOLD.tables}
        (run,) = cat.find()
        files = {p.relative_to(run.folder).as_posix(): sha256_file(p) for p in run.folder.rglob("*") if p.is_file()}
        run.pack()
        files["files.zip"] = sha256_file(run.folder / "files.zip")
    rows = {name: sorted(json.dumps(row, default=str, sort_keys=True) for row in table) for name, table in dump.items()}
    print(json.dumps({"files": files, "rows": rows}, sort_keys=True))


if __name__ == "__main__":
    main()
