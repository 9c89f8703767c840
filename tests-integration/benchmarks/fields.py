"""Write and read a field of 365 x 200 x 200 float32: hmp beside plain zarr and xarray, in one process.

``python tests-integration/benchmarks/fields.py [FOLDER]`` prints medians and minima, sizes and files. What hmp
does more is part of its time: every file is hashed and flushed to the disk, every chunk has a checksum.
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from timing import Figure, note, processor

import hmp_catalog
from hmp_catalog.fields import SimulationZarr

ROUNDS = 5
SHAPE = (365, 200, 200)
DAYS = np.arange("2001-01-01", "2002-01-01", dtype="datetime64[D]")
CHUNKS = (46, 67, 67)


def field() -> np.ndarray:
    """Return heads: smooth in space and time, with a little noise."""
    chance = np.random.default_rng(1)
    y, x = np.mgrid[0:200, 0:200] / 200
    season = np.sin(np.arange(365) / 58)[:, None, None]
    noise = chance.normal(scale=0.01, size=SHAPE)
    return (50 + 10 * x + 5 * y + 2 * season * (1 - x) + noise).astype("f4")


def write_hmp(path: Path, values: np.ndarray) -> None:
    store = SimulationZarr.create(path, title="Benchmark", run_id="1")
    store.write_field("head", values, dims=("time", "y", "x"), time=DAYS)
    store.finalize()


def append_hmp(path: Path, values: np.ndarray) -> None:
    store = SimulationZarr.create(path, title="Benchmark", run_id="1")
    for day, step in zip(DAYS, values, strict=True):
        store.append_field("head", step, dims=("time", "y", "x"), time=day)
    store.finalize()


def write_zarr(path: Path, values: np.ndarray) -> None:
    group = zarr.create_group(path)
    target = group.create_array("head", shape=SHAPE, dtype="f4", chunks=CHUNKS, dimension_names=("time", "y", "x"))
    target[...] = values


def write_zarr_alike(path: Path, values: np.ndarray) -> None:
    """Write with the chunks, shards and compression that hmp takes."""
    group = zarr.create_group(path)
    codec = zarr.codecs.BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle", typesize=4)
    target = group.create_array(
        "head", shape=SHAPE, dtype="f4", chunks=CHUNKS, shards=(368, 201, 201), compressors=[codec]
    )
    target[...] = values


def write_xarray(path: Path, values: np.ndarray) -> None:
    data = xr.Dataset({"head": (("time", "y", "x"), values)}, coords={"time": DAYS.astype("datetime64[ns]")})
    data.to_zarr(path, zarr_format=3, consolidated=False)


WRITERS: dict[str, Callable[[Path, np.ndarray], None]] = {
    "hmp": write_hmp,
    "hmp, day by day": append_hmp,
    "zarr, default codec": write_zarr,
    "zarr, as hmp cuts": write_zarr_alike,
    "xarray": write_xarray,
}


def timed(do: Callable[[], Any]) -> tuple[float, float]:
    start, cpu = time.perf_counter(), processor()
    do()
    return (time.perf_counter() - start) * 1e3, (processor() - cpu) * 1e3


def told(who: str, what: str, spent: list[tuple[float, float]]) -> None:
    walls = [wall for wall, _ in spent]
    note(Figure(who, what, statistics.median(walls), min(walls), statistics.median(c for _, c in spent), len(spent)))


def _size(folder: Path) -> str:
    files = [p for p in folder.rglob("*") if p.is_file()]
    folders = sum(1 for p in folder.rglob("*") if p.is_dir()) + 1
    return f"{sum(p.stat().st_size for p in files) / 1e6:6.1f} MB, {len(files)} files, {folders} folders"


def writing(home: Path, values: np.ndarray) -> dict[str, Path]:
    stores, spent = {}, {name: list[tuple[float, float]]() for name in WRITERS}
    for turn in range(ROUNDS):
        ways = [*WRITERS.items()]
        for name, write in ways[turn:] + ways[:turn]:
            path = home / f"{name.replace(' ', '-').replace(',', '')}.zarr"
            shutil.rmtree(path, ignore_errors=True)
            spent[name].append(timed(lambda write=write, path=path: write(path, values)))
            os.sync()
            stores[name] = path
    for name, path in stores.items():
        told(name, "write a field", spent[name])
        print(f"{'':19} {name}: {_size(path)}")
    return stores


def reading(stores: dict[str, Path], values: np.ndarray, packed: hmp_catalog.Run) -> None:
    def by_zarr(path: Path) -> Any:
        return zarr.open_array(path / "head", mode="r")

    hmp = SimulationZarr.open(stores["hmp"])
    alike, plain = by_zarr(stores["zarr, as hmp cuts"]), by_zarr(stores["zarr, default codec"])

    # a dataset keeps what it has read: each question opens it anew
    def lazy() -> Any:
        return xr.open_zarr(stores["xarray"], chunks=None, consolidated=False)["head"]

    def inside() -> Any:
        return packed.dataset()["head"]

    questions: dict[str, dict[str, Callable[[], Any]]] = {
        "open": {
            "hmp": lambda: SimulationZarr.open(hmp.path).dataset(),
            "xarray": lambda: xr.open_zarr(stores["xarray"], chunks=None, consolidated=False),
        },
        "all": {
            "hmp": lambda: hmp.read_field("head"),
            "hmp, dataset": lambda: hmp.dataset()["head"].values,
            "hmp, packed": lambda: inside().values,
            "zarr, default codec": lambda: plain[...],
            "zarr, as hmp cuts": lambda: alike[...],
            "xarray": lambda: lazy().values,
        },
        "a map": {
            "hmp": lambda: hmp.read_field("head", time=180),
            "hmp, packed": lambda: inside()[180].values,
            "zarr, default codec": lambda: plain[180],
            "zarr, as hmp cuts": lambda: alike[180],
            "xarray": lambda: lazy()[180].values,
        },
        "a series": {
            "hmp": lambda: hmp.read_field("head", y=77, x=99),
            "hmp, packed": lambda: inside()[:, 77, 99].values,
            "zarr, default codec": lambda: plain[:, 77, 99],
            "zarr, as hmp cuts": lambda: alike[:, 77, 99],
            "xarray": lambda: lazy()[:, 77, 99].values,
        },
    }
    for what, ways in questions.items():
        spent = {name: list[tuple[float, float]]() for name in ways}
        for turn in range(ROUNDS):
            order = [*ways][turn % len(ways) :] + [*ways][: turn % len(ways)]  # nobody comes first each time
            for name in order:
                spent[name].append(timed(ways[name]))
        for name, those in spent.items():
            told(name, f"read a field: {what}", those)
    assert np.array_equal(hmp.read_field("head"), values)


def main() -> None:
    home = Path(tempfile.mkdtemp(dir=sys.argv[1] if len(sys.argv) > 1 else None))
    values = field()
    print(f"{SHAPE}, {values.nbytes / 1e6:.0f} MB of float32; {ROUNDS} rounds, {os.cpu_count()} cores")
    try:
        stores = writing(home, values)
        with hmp_catalog.open(home / "project", create=True) as cat:
            with cat.record("benchmark", name="base") as rec:
                rec.field("head", values, dims=("time", "y", "x"), time=DAYS)
            told("hmp", "pack a run with a field", [timed(cat["base"].pack)])
            target = home / "base.hmprun"
            told("hmp", "export a run with a field", [timed(lambda: cat.export_package("base", target))])
            with hmp_catalog.open(home / "other", create=True) as other:
                told("hmp", "import a run with a field", [timed(lambda: other.import_package(target))])
            reading(stores, values, cat["base"])
    finally:
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
