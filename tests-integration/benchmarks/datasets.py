"""Gridded data sets beside others: write, size, read, point, map, days, other chunks, another day.

``python datasets.py [--peers PYTHON] [--length 1] [--rounds 3] [--json FILE] [--where FOLDER] [WHO ...]``. PYTHON has
cfdb, whose chunks are those of hmp (``cfdb``) or its own (``cfdb default``); plain zarr, and xarray with h5netcdf, are
measured by the interpreter of hmp. ``--length 10`` takes ten years of hours instead of one: what grows, and how.

The field is 8,760 x 100 x 100 float32 at two decimals, 260 to 307 K: latitude and relief, the year, the day, 24 smooth
modes of weather and noise of 0.02 K. Each operation runs in a process of its own and what it gives is compared with the
source; all who are measured take turns. The processor time is that of all threads, without imports; the peak is that of
anonymous memory above what was there before, in a run of its own that is not timed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

HOURS, SIDE = 8_760, 100
CHUNK = (730, 20, 20)
NAME = "air_temperature"
DIMS = ("time", "y", "x")
LOW, HIGH, PRECISION = -60, 350, 2
BUDGET = 1 << 27
NEAR = 0.0051
TIMES = 20

#: What is done to each store, in this order.
STEPS = ("write", "read", "points", "maps", "days", "rechunk", "append")
TOLD = {
    "write": "write all",
    "size": "size",
    "read": "read all",
    "points": "a series at a point",
    "maps": "a map",
    "days": "group by day",
    "rechunk": "rechunk to time-major",
    "append": "append a day",
}
#: Times cfdb of the same chunks, at most: of processor time, or of bytes.
GOALS = {"write": 1.2, "read": 1.0, "points": 1.0, "maps": 1.0, "days": 1.2, "rechunk": 1.2, "size": 1.05}


# ── the field ────────────────────────────────────────────────────────────────────────────────────────


def make_field(path: Path, hours: int) -> None:
    """Write the field as a plain array, a month at a time."""
    chance = np.random.default_rng(1)
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    mean = 283 + 8 * (1 - y) + 4 * np.sin(5 * x) * np.cos(7 * y)
    waves = chance.integers(1, 4, (24, 2))
    shifts = chance.uniform(0, 6, 24)
    pairs = zip(waves, shifts, strict=True)
    modes = np.stack([np.sin(2 * np.pi * (a * x + b * y) + shift).ravel() for (a, b), shift in pairs])
    target = np.lib.format.open_memmap(path, mode="w+", dtype="f4", shape=(hours, SIDE, SIDE))
    weather = np.zeros(24)
    for start in range(0, hours, 730):
        t = np.arange(start, min(start + 730, hours))
        states = np.empty((len(t), 24))
        for step in range(len(t)):
            weather = 0.98 * weather + chance.normal(scale=0.07, size=24)
            states[step] = weather
        year = 7 * np.sin(2 * np.pi * t / 8766)[:, None, None]
        day = 3 * np.sin(2 * np.pi * t / 24)[:, None, None] * (1 - 0.5 * x)
        values = mean + year + day + (states @ modes).reshape(-1, SIDE, SIDE)
        target[start : start + len(t)] = np.round(values + chance.normal(scale=0.02, size=values.shape), 2)
    target.flush()


def hours_of(count: int, start: int = 0) -> Any:
    return np.datetime64("2001-01-01T00:00", "m") + np.arange(start, start + count) * np.timedelta64(60, "m")


def axis() -> Any:
    return 1_000.0 * np.arange(SIDE)


def another_day(source: Any) -> Any:
    return np.ascontiguousarray(source[:24]) + np.float32(0.25)


# ── who is measured ──────────────────────────────────────────────────────────────────────────────────


class CfdbLike:
    """hmp and cfdb, which are asked with the same words."""

    def __init__(self, module: Any, *, chunk: tuple[int, ...] | None = CHUNK) -> None:
        self.module, self.chunk = module, chunk

    @contextlib.contextmanager
    def opened(self, path: Path) -> Iterator[Any]:
        with self.module.open_dataset(path, "r") as ds:
            yield ds[NAME]

    def _new(self, path: Path, hours: int, chunk: tuple[int, ...] | None) -> tuple[Any, Any]:
        ds = self.module.open_dataset(path, "n")
        ds.create.coord.generic("time", data=hours_of(hours), dtype="datetime64[m]", step=True, axis="t")
        for name in ("y", "x"):
            ds.create.coord.generic(name, data=axis(), dtype="float64", step=True, axis=name)
        kind = self.module.dtypes.dtype("float32", precision=PRECISION, min_value=LOW, max_value=HIGH)
        return ds, ds.create.data_var.generic(NAME, DIMS, kind, chunk_shape=chunk)

    def write(self, path: Path, source: Any) -> None:
        ds, variable = self._new(path, len(source), self.chunk)
        with ds:
            self._fill(variable, source)

    def _fill(self, variable: Any, source: Any) -> None:
        # as its manual shows; all at once takes it 1.3 times as long and 690 MB
        for where in variable.iter_chunks(include_data=False):
            variable[where] = source[where]

    def read(self, variable: Any) -> Any:
        return variable.data

    def point(self, variable: Any, j: int, i: int) -> Any:
        return variable[:, j, i].data

    def map(self, variable: Any, t: int) -> Any:
        return variable[t].data

    def days(self, variable: Any) -> Iterator[Any]:
        for _, values in variable.groupby({"time": "D"}):
            yield values

    def rechunk(self, path: Path, target: Path, chunk: tuple[int, ...]) -> None:
        with self.opened(path) as variable:
            ds, new = self._new(target, variable.shape[0], chunk)
            with ds:
                self._turn(variable.rechunker(), new, chunk)

    def _turn(self, rechunker: Any, new: Any, chunk: tuple[int, ...]) -> None:
        for where, values in rechunker.rechunk(chunk, BUDGET):
            new[where] = values

    def append(self, path: Path, values: Any) -> None:
        with self.module.open_dataset(path, "w") as ds:
            known = len(ds["time"].data)
            ds["time"].append(hours_of(24, known))
            ds[NAME][known : known + 24] = values


class Hmp(CfdbLike):
    """What hmp does in its own way: in one call, for its files hold many chunks."""

    def _fill(self, variable: Any, source: Any) -> None:
        variable[:] = source

    def _turn(self, rechunker: Any, new: Any, chunk: tuple[int, ...]) -> None:
        rechunker.into(new, BUDGET)


class Zarr:
    """Plain zarr, packed by hand as CF says, with the files and compression of hmp."""

    OFFSET, SCALE = -61.0, 0.01

    @contextlib.contextmanager
    def opened(self, path: Path) -> Iterator[Any]:
        import zarr

        yield zarr.open_array(path / NAME, mode="r")

    def _new(self, path: Path, hours: int, chunk: tuple[int, ...], shard: tuple[int, ...] | None) -> Any:
        import zarr
        from zarr.codecs import BloscCodec

        said = {"scale_factor": self.SCALE, "add_offset": self.OFFSET, "_FillValue": 0, "units": "K"}
        codec = BloscCodec(cname="zstd", clevel=1, shuffle="shuffle", typesize=2)
        how = {"dtype": "u2", "fill_value": 0, "compressors": [codec], "attributes": said, "dimension_names": DIMS}
        group = zarr.create_group(path, overwrite=True)
        return group.create_array(NAME, shape=(hours, SIDE, SIDE), chunks=chunk, shards=shard, **how)

    def _codes(self, values: Any) -> Any:
        return np.rint((values.astype("f8") - self.OFFSET) / self.SCALE).astype("u2")

    def _values(self, codes: Any, out: Any = None) -> Any:
        found = np.multiply(codes, self.SCALE, dtype="f8")
        found += self.OFFSET
        found[codes == 0] = np.nan
        if out is None:
            return found.astype("f4")
        out[...] = found
        return out

    def write(self, path: Path, source: Any) -> None:
        array = self._new(path, len(source), CHUNK, (CHUNK[0], SIDE, SIDE))
        for start in range(0, len(source), CHUNK[0]):
            array[start : start + CHUNK[0]] = self._codes(source[start : start + CHUNK[0]])

    def read(self, array: Any) -> Any:
        out = np.empty(array.shape, "f4")
        for start in range(0, len(out), CHUNK[0]):
            self._values(array[start : start + CHUNK[0]], out[start : start + CHUNK[0]])
        return out

    def point(self, array: Any, j: int, i: int) -> Any:
        return self._values(array[:, j, i])

    def map(self, array: Any, t: int) -> Any:
        return self._values(array[t])

    def days(self, array: Any) -> Iterator[Any]:
        for start in range(0, array.shape[0], CHUNK[0]):
            # days lie across the ends of chunks
            first = -(-start // 24) * 24
            block = self._values(array[first : min(-(-(start + CHUNK[0]) // 24) * 24, array.shape[0])])
            yield from (block[at : at + 24] for at in range(0, len(block), 24))

    def rechunk(self, path: Path, target: Path, chunk: tuple[int, ...]) -> None:
        from rechunkit import rechunker

        with self.opened(path) as array:
            new = self._new(target, array.shape[0], chunk, None)
            for where, codes in rechunker(array.__getitem__, array.shape, array.dtype, CHUNK, chunk, BUDGET):
                new[where] = codes

    def append(self, path: Path, values: Any) -> None:
        import zarr

        array = zarr.open_array(path / NAME, mode="r+")
        known = array.shape[0]
        array.resize((known + 24, SIDE, SIDE))
        array[known:] = self._codes(values)


class NetCDF:
    """xarray with h5netcdf: gzip on shuffled bytes, the usual file of the field."""

    def _encoding(self, chunk: tuple[int, ...]) -> dict[str, Any]:
        packed = {"dtype": "uint16", "scale_factor": 0.01, "add_offset": -61.0, "_FillValue": 0}
        return {NAME: packed | {"chunksizes": chunk, "zlib": True, "complevel": 1, "shuffle": True}}

    @contextlib.contextmanager
    def opened(self, path: Path) -> Iterator[Any]:
        import xarray as xr

        with xr.open_dataset(path, engine="h5netcdf", cache=False) as ds:
            yield ds[NAME]

    def write(self, path: Path, source: Any) -> None:
        import xarray as xr

        times = hours_of(len(source)).astype("datetime64[ns]")
        values = xr.DataArray(source, dims=DIMS, coords={"time": times, "y": axis(), "x": axis()}, name=NAME)
        how = {"engine": "h5netcdf", "encoding": self._encoding(CHUNK), "unlimited_dims": ["time"]}
        values.to_dataset().to_netcdf(path, **how)

    def read(self, variable: Any) -> Any:
        return variable.values

    def point(self, variable: Any, j: int, i: int) -> Any:
        return variable[:, j, i].values

    def map(self, variable: Any, t: int) -> Any:
        return variable[t].values

    def days(self, variable: Any) -> Iterator[Any]:
        for _, values in variable.load().groupby("time.date"):
            yield values.values

    def rechunk(self, path: Path, target: Path, chunk: tuple[int, ...]) -> None:
        with self.opened(path) as variable:
            loaded = variable.load().to_dataset()
            loaded[NAME].encoding = {}
            loaded.to_netcdf(target, engine="h5netcdf", encoding=self._encoding(chunk))

    def append(self, path: Path, values: Any) -> None:
        """Xarray does not append to netCDF: h5netcdf does."""
        import h5netcdf

        with h5netcdf.File(path, "a") as file:
            known = file.dimensions["time"].size
            file.resize_dimension("time", known + 24)
            step = file["time"][1] - file["time"][0]
            file["time"][known:] = file["time"][known - 1] + step * np.arange(1, 25)
            file[NAME][known:] = np.rint((values.astype("f8") + 61) * 100).astype("u2")


def _hmp() -> CfdbLike:
    from hmp_catalog import datasets

    return Hmp(datasets)


def _cfdb(chunk: tuple[int, ...] | None) -> CfdbLike:
    import cfdb

    return CfdbLike(cfdb, chunk=chunk)


#: Who -> how to get at it, and whether it is somebody else's package.
WAYS: dict[str, tuple[Callable[[], Any], str]] = {
    "hmp": (_hmp, ""),
    "cfdb": (lambda: _cfdb(CHUNK), "cfdb"),
    "cfdb default": (lambda: _cfdb(None), "cfdb"),
    "zarr": (Zarr, ""),
    "xarray+h5netcdf": (NetCDF, ""),
}


# ── one operation, in a process of its own ───────────────────────────────────────────────────────────


#: What stays open until the process ends.
_OPEN = contextlib.ExitStack()


def processor() -> float:
    others = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + others.ru_utime + others.ru_stime


def anonymous(process: int | str = "self") -> float:
    """Return the anonymous memory of a process in MB."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1e3
    return 0.0


def one(who: str, step: str, home: Path) -> dict[str, float]:
    """Do one operation, compare what it gives, and return what it took for one."""
    warm_up(who)
    way, source = WAYS[who][0](), np.load(home / "field.npy", mmap_mode="r")
    store = home / f"{who.replace(' ', '-')}.store"
    act, judge = prepared(way, step, store, source)
    before, wall, cpu = anonymous(), time.perf_counter(), processor()
    print("ready", before, flush=True)
    found = act()
    took = {"wall": time.perf_counter() - wall, "cpu": processor() - cpu}
    print("done", flush=True)
    judge(found)
    _OPEN.close()
    times = TIMES if step in {"points", "maps"} else 1
    return {name: value / times for name, value in took.items()}


def warm_up(who: str) -> None:
    """Import what is needed: what is compared is the work, not the start."""
    for name in {"zarr": ("zarr", "rechunkit"), "xarray+h5netcdf": ("xarray", "h5netcdf", "pandas")}.get(who, ()):
        __import__(name)
    if who == "hmp":
        import rechunkit  # noqa: F401
        import zarr  # noqa: F401


def prepared(way: Any, step: str, store: Path, source: Any) -> tuple[Callable[[], Any], Callable[[Any], None]]:
    """Return an operation, and the judge of what it gives."""
    chance = np.random.default_rng(7)
    if step == "write":
        _remove(store)
        return lambda: way.write(store, source), lambda _: _same(way, store, source)
    if step == "rechunk":
        target, chunk = store.with_suffix(".turned"), (len(source), 5, 5)
        _remove(target)
        return lambda: way.rechunk(store, target, chunk), lambda _: _same(way, target, source)
    if step == "append":
        day = another_day(source)
        return lambda: way.append(store, day), lambda _: _ends_with(way, store, day)
    if step == "read":
        return lambda: _with(way, store, way.read), lambda found: _near(found, source)
    if step == "days":
        return lambda: _with(way, store, lambda v: _sums(way.days(v))), lambda found: _near(found, _sums_of(source))
    places = chance.integers(0, SIDE, (TIMES, 2)) if step == "points" else chance.integers(0, len(source), (TIMES, 1))
    ask = way.point if step == "points" else way.map
    variable = _OPEN.enter_context(way.opened(store))
    ask(variable, *map(int, places[0]))
    right = [source[:, j, i] for j, i in places] if step == "points" else [source[t] for (t,) in places]
    return lambda: [ask(variable, *map(int, at)) for at in places], lambda found: _all_near(found, right)


def _with(way: Any, store: Path, use: Callable[[Any], Any]) -> Any:
    with way.opened(store) as variable:
        return use(variable)


def _sums(days: Iterator[Any]) -> Any:
    return np.array([float(day[0, 3, 4]) + float(day[-1, 96, 97]) for day in days])


def _sums_of(source: Any) -> Any:
    return source[0::24, 3, 4].astype("f8") + source[23::24, 96, 97]


def _near(found: Any, right: Any) -> None:
    found = np.squeeze(np.asarray(found))
    assert found.shape == np.squeeze(right).shape, (found.shape, right.shape)
    for start in range(0, len(found), 730):
        off = np.abs(found[start : start + 730] - np.squeeze(right[start : start + 730])).max()
        assert off < 2 * NEAR, off  # NaN is no less


def _all_near(found: list[Any], right: list[Any]) -> None:
    assert len(found) == len(right)
    for mine, theirs in zip(found, right, strict=True):
        _near(mine, theirs)


def _same(way: Any, store: Path, source: Any) -> None:
    _near(_with(way, store, way.read), source)


def _ends_with(way: Any, store: Path, day: Any) -> None:
    def last(variable: Any) -> Any:
        end = variable.shape[0]
        return np.stack([np.squeeze(way.map(variable, t)) for t in range(end - 24, end)])

    _near(_with(way, store, last), day)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


# ── all of them ──────────────────────────────────────────────────────────────────────────────────────


class Bench:
    """The rounds of all who are measured."""

    def __init__(self, home: Path, pythons: dict[str, str], length: int) -> None:
        self.home, self.pythons, self.length = home, pythons, length
        self.took: dict[str, dict[str, list[dict[str, float]]]] = {who: {step: [] for step in STEPS} for who in pythons}
        self.peaks: dict[str, dict[str, float]] = {who: {} for who in pythons}
        self.sizes: dict[str, dict[str, float]] = {who: {} for who in pythons}

    def round(self, number: int, steps: tuple[str, ...], *, timed: bool) -> None:
        """Do every operation once, by each in turn; the first round looks at memory."""
        order = list(self.pythons)
        turn = number % len(order)
        for step in steps:
            for who in order[turn:] + order[:turn]:
                took = self._one(who, step, watched=number == 0)
                if timed:
                    self.took[who][step].append(took)
                if step in {"write", "rechunk"}:
                    suffix = ".store" if step == "write" else ".turned"
                    self.sizes[who][step] = size(self.home / f"{who.replace(' ', '-')}{suffix}")
            os.sync()

    def _one(self, who: str, step: str, *, watched: bool) -> dict[str, float]:
        command = [self.pythons[who], "-W", "ignore", __file__, "--one", who, step, "--where", str(self.home)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            ready = process.stdout.readline().split()
            if ready[:1] == ["ready"] and watched:
                self.peaks[who][step] = max(self.peaks[who].get(step, 0), watch(process) - float(ready[1]))
            said = process.stdout.read().splitlines()
        if process.returncode:
            message = f"{who} cannot {step}"
            raise RuntimeError(message)
        took: dict[str, float] = json.loads(said[-1])
        return took

    def report(self) -> dict[str, Any]:
        """Return every figure."""
        return {
            "hours": HOURS * self.length,
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
            "versions": {who: versions(python) for who, python in self.pythons.items()},
            "took": self.took,
            "peak_mb": self.peaks,
            "size_bytes": self.sizes,
        }


def watch(process: subprocess.Popen[str]) -> float:
    """Return the most anonymous memory of a process until it says that it is done."""
    assert process.stdout is not None
    finished = threading.Event()
    lines = process.stdout

    def wait() -> None:
        lines.readline()
        finished.set()

    threading.Thread(target=wait, daemon=True).start()
    most = 0.0
    while not finished.wait(0.002) and process.poll() is None:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            most = max(most, anonymous(process.pid))
    return most


def size(path: Path) -> float:
    """Return the bytes of a store; a file with several names counts once."""
    if path.is_file():
        return path.stat().st_size
    files = [entry.stat() for entry in path.rglob("*") if entry.is_file() and not entry.is_symlink()]
    return sum({each.st_ino: each.st_size for each in files}.values())


def versions(python: str) -> dict[str, str]:
    names = ("hmp-catalog", "cfdb", "zarr", "xarray", "h5netcdf", "numpy")
    ask = (
        f"from importlib import metadata as m\nfor n in {names}:\n try: print(n, m.version(n))\n except Exception: pass"
    )
    told = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True).stdout
    return dict(line.split() for line in told.splitlines())


def tell(bench: Bench) -> bool:
    """Print the tables, and return whether every goal is met."""
    base = "cfdb" if "cfdb" in bench.pythons else next(iter(bench.pythons))
    for what in ("cpu", "wall"):
        print(f"\n{'processor' if what == 'cpu' else 'clock'}: ms, median of rounds; times {base} in brackets")
        print(f"  {'':24}" + "".join(f"{who:>22}" for who in bench.pythons))
        for step in STEPS:
            cells = []
            for who in bench.pythons:
                mine, theirs = (_median(bench, each, step, what) for each in (who, base))
                cells.append(f"{mine * 1e3:12.1f} ({mine / theirs:5.2f})" if mine and theirs else f"{'-':>20}")
            print(f"  {TOLD[step]:24}" + "".join(f"{cell:>22}" for cell in cells))
    print(
        "\nsize in MB, after writing and after rechunking; peak of anonymous memory in MB, above what was there before"
    )
    for step in ("write", "rechunk"):
        cells = (bench.sizes[who].get(step, 0) / 1e6 for who in bench.pythons)
        print(f"  {'size, ' + TOLD[step]:24}" + "".join(f"{cell:22.1f}" for cell in cells))
    for step in STEPS:
        cells = (bench.peaks[who].get(step, 0) for who in bench.pythons)
        print(f"  {'peak, ' + TOLD[step]:24}" + "".join(f"{cell:22.1f}" for cell in cells))
    return tell_goals(bench)


def tell_goals(bench: Bench) -> bool:
    """Say which goals are met."""
    if not {"hmp", "cfdb"} <= bench.pythons.keys():
        return True
    met = []
    print("\ngoals of hmp, times cfdb of the same chunks (processor time, bytes):")
    for step, goal in GOALS.items():
        if step == "size":
            found = bench.sizes["hmp"]["write"] / bench.sizes["cfdb"]["write"]
        else:
            mine, theirs = (_median(bench, who, step, "cpu") for who in ("hmp", "cfdb"))
            if mine is None or theirs is None:
                print(f"  {TOLD[step]:24} not measured")
                continue
            found = mine / theirs
        met.append(found <= goal)
        print(f"  {TOLD[step]:24} {found:6.2f}  at most {goal:.2f}  {'met' if met[-1] else 'MISSED'}")
    return all(met)


def _median(bench: Bench, who: str, step: str, what: str) -> float | None:
    took = [each[what] for each in bench.took[who][step]]
    return statistics.median(took) if took else None


def installed(python: str, module: str) -> bool:
    return subprocess.run([python, "-c", f"import {module}"], capture_output=True, check=False).returncode == 0


def main() -> None:
    """Measure and compare, or do one operation of it."""
    asked = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    asked.add_argument("--peers", default=sys.executable, help="the interpreter that has cfdb")
    asked.add_argument("--length", type=int, default=1, help="years of hours")
    asked.add_argument("--rounds", type=int, default=3, help="0 for one that looks at memory and is timed")
    asked.add_argument("--json", type=Path, help="where every figure goes")
    asked.add_argument("--where", type=Path, help="the folder to work in")
    asked.add_argument("--step", choices=STEPS, action="append", help="only these, each after write")
    asked.add_argument("--one", nargs=2, metavar=("WHO", "STEP"), help=argparse.SUPPRESS)
    asked.add_argument("who", nargs="*", help=f"of {', '.join(WAYS)}; by default all")
    said = asked.parse_args()
    if said.one:
        print(json.dumps(one(*said.one, said.where)), flush=True)
        return
    if unknown := sorted(set(said.who) - WAYS.keys()):
        asked.error(f"nobody is called {', '.join(unknown)}; there are {', '.join(WAYS)}")
    with tempfile.TemporaryDirectory(dir=said.where) as folder:
        measure(said, Path(folder))


def measure(said: argparse.Namespace, home: Path) -> None:
    pythons = {}
    for who in said.who or WAYS:
        module = WAYS[who][1]
        pythons[who] = said.peers if module else sys.executable
        if module and not installed(said.peers, module):
            print(f"{who} is not installed for {said.peers}, and not measured", flush=True)
            del pythons[who]
    steps = STEPS if not said.step else tuple(step for step in STEPS if step == "write" or step in said.step)
    print("load", " ".join(f"{load:.2f}" for load in os.getloadavg()), "on", os.cpu_count(), "cores", flush=True)
    make_field(home / "field.npy", HOURS * said.length)
    bench = Bench(home, pythons, said.length)
    for number in range(said.rounds + 1):
        bench.round(number, steps, timed=number > 0 or not said.rounds)
        print(f"round {number} of {said.rounds}", "load", f"{os.getloadavg()[0]:.2f}", flush=True)
        if said.json:
            said.json.write_text(json.dumps(bench.report(), indent=1))
    tell(bench)


if __name__ == "__main__":
    main()
