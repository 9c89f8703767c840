"""How long the bridge takes among 10,000 runs of 5 inputs each, both ways; beside the pre-release of the original.

``python bridge.py [hmp] [original]``, the latter where ``hydromodpy`` of PyPI is installed: an environment of its own.
One input is consumed by every run, as an elevation model is, and 4 of 1,000 others. 100 of those have a newer version.
The inputs are added in one go; of one recorded run, and one other, the rest are made as rows by the engine itself:
what is measured is asking. ``HMP_BENCH_SCALE`` (1 by default) makes it smaller or larger.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from finding import _columns
from recording import tell

SCALE = float(os.environ.get("HMP_BENCH_SCALE", "1"))
RUNS = int(10_000 * SCALE)
INPUTS = int(1_000 * SCALE)
CHANGED = INPUTS // 10


def _series(folder: Path, number: int, *, version: int) -> Path:
    file = folder / f"s{number:05d}.csv"
    rows = "".join(f"2001-01-0{day},{number}.{version}{day}\n" for day in range(1, 6))
    file.write_text("time,discharge\n" + rows)
    return file


def _add(data: Any, desk: Path) -> list[Any]:
    """Add the inputs, some of them in two versions; return what the runs consumed: the first."""
    desk.mkdir()
    files = [_series(desk, n, version=1) for n in range(INPUTS)]
    entries = [data.add(_series(desk, 99_999, version=1), variable="elevation")]
    entries += data.add_many(files, variable="discharge")
    data.add_many([_series(desk, n, version=2) for n in range(CHANGED)], variable="discharge")
    return entries


def _record(project: Any, entries: list[Any]) -> None:
    """Record one run, and make so many of it, each with inputs of its own."""
    import pyarrow as pa

    from hmp_core.backends.duckdb import DuckDBBackend
    from hmp_core.layout import catalog_path

    with project.catalog as catalog:
        with catalog.record("gr4j", name="first", inputs=[entries[0], *entries[-4:]]):
            pass
        len(catalog)
    said = ("id", "artifact_id", "sha256", "relative_path", "variable", "source")
    table = pa.table({name: [str(getattr(entry, name)) for entry in entries] for name in said})
    table = table.append_column("n", pa.array(range(len(entries))))
    backend = DuckDBBackend(catalog_path(project.path))
    with backend.transaction(), backend.staged("made_inputs", table):
        backend.execute(f"CREATE TEMP TABLE made AS SELECT uuid() AS id, i FROM range({RUNS - 1}) r(i)")
        run = {"sim_id": "made.id", "name": "'run-' || i", "created_at": "s.created_at - to_seconds(i)"}
        columns = _columns(backend, "simulations", run, "s")
        backend.execute(f"INSERT INTO simulations SELECT {columns} FROM simulations s, made WHERE s.name = 'first'")
        consumed = {
            "sim_id": "made.id", "entry_id": "CAST(e.id AS UUID)", "artifact_id": "CAST(e.artifact_id AS UUID)",
            "source_ref": "e.id", "source_sha256": "e.sha256", "file_path": "e.relative_path", "variable": "e.variable",
            "data_provider": "e.source",
        }  # fmt: skip
        columns = _columns(backend, "provenance", consumed, "p")
        one = "(SELECT * FROM provenance LIMIT 1) p"
        which = f"CASE k.k WHEN 0 THEN 0 ELSE 1 + (made.i * 7 + k.k * {INPUTS // 5}) % {INPUTS} END"
        rows = f"{one}, made, range(5) k(k), made_inputs e WHERE e.n = {which}"
        backend.execute(f"INSERT INTO provenance SELECT {columns} FROM {rows}")


def hmp(where: Path) -> None:
    """Ask hmp."""
    import hydromodpy
    from hydromodpy import bridge

    os.environ["HMP_STATE_HOME"] = str(where / "state")
    workspace = hydromodpy.init(where / "w")
    data = workspace.data
    entries = _add(data, where / "desk")
    project = workspace.project("base")
    _record(project, entries)
    catalog = hydromodpy.open(project.path)
    title = f"{RUNS} runs x 5, {INPUTS} inputs:"
    elevation, changed, once = entries[0], entries[1], entries[CHANGED + 1]
    run = catalog["run-77"]
    tell(f"{title} inputs of a run", run.input_entries, 10)
    if hasattr(bridge, "inputs_of"):
        tell(f"{title} inputs of all runs", lambda: bridge.inputs_of(catalog), 3)
    tell(f"{title} used_by, {len(once.used_by())} runs", once.used_by, 5)
    tell(f"{title} used_by, {len(changed.used_by())} runs, 2 versions", changed.used_by, 5)
    tell(f"{title} used_by, {len(elevation.used_by())} runs", elevation.used_by, 3)
    hashes = {entry.sha256 for entry in entries}
    tell(f"{title} uses of {len(hashes)}", lambda: bridge.uses(workspace.path, hashes), 3)
    tell(f"{title} plan of what goes, superseded", lambda: data.prune(superseded=True, force=True), 3)
    tell(f"{title} plan of what goes, all", lambda: data.prune(max_size=0, force=True), 1)
    if hasattr(bridge, "inputs_of"):
        tell(f"{title} stale, {len(bridge.stale([project.path]))} runs", lambda: bridge.stale([project.path]), 3)
    workspace.close()


def main() -> None:
    """Measure what was named, or hmp alone."""
    for what in sys.argv[1:] or ["hmp"]:
        with tempfile.TemporaryDirectory() as made:
            {"hmp": hmp}[what](Path(made))


if __name__ == "__main__":
    main()
