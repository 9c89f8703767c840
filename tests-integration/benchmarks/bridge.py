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
from collections.abc import Callable
from pathlib import Path
from typing import Any

from timing import tell

SCALE = float(os.environ.get("HMP_BENCH_SCALE", "1"))
RUNS = int(10_000 * SCALE)
INPUTS = int(1_000 * SCALE)
CHANGED = INPUTS // 10
HUNDRED = "inputs of 100 runs, one by one"


def _columns(names: list[str], changed: dict[str, str], prefix: str) -> str:
    return ", ".join(changed.get(name, f"{prefix}.{name}") for name in names)


def _names(backend: Any, table: str) -> list[str]:
    found = backend.fetch_all(
        "SELECT column_name FROM information_schema.columns "
        f"WHERE table_name = '{table}' AND table_catalog = current_database() ORDER BY ordinal_position"
    )
    return [name for (name,) in found]


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
        columns = _columns(_names(backend, "simulations"), run, "s")
        backend.execute(f"INSERT INTO simulations SELECT {columns} FROM simulations s, made WHERE s.name = 'first'")
        consumed = {
            "sim_id": "made.id", "entry_id": "CAST(e.id AS UUID)", "artifact_id": "CAST(e.artifact_id AS UUID)",
            "source_ref": "e.id", "source_sha256": "e.sha256", "file_path": "e.relative_path", "variable": "e.variable",
            "data_provider": "e.source",
        }  # fmt: skip
        columns = _columns(_names(backend, "provenance"), consumed, "p")
        one = "(SELECT * FROM provenance LIMIT 1) p"
        which = f"CASE k.k WHEN 0 THEN 0 ELSE 1 + (made.i * 7 + k.k * {INPUTS // 5}) % {INPUTS} END"
        rows = f"{one}, made, range(5) k(k), made_inputs e WHERE e.n = {which}"
        backend.execute(f"INSERT INTO provenance SELECT {columns} FROM {rows}")


def hmp(where: Path) -> None:
    """Ask hmp."""
    import hydromodpy
    from hydromodpy import bridge
    from hydromodpy.lineage import of_entry
    from hydromodpy.origins import upstream

    os.environ["HMP_STATE_HOME"] = str(where / "state")
    workspace = hydromodpy.init(where / "w")
    data = workspace.data
    entries = _add(data, where / "desk")
    project = workspace.project("base")
    _record(project, entries)
    catalog = hydromodpy.open(project.path)
    elevation, changed, once = entries[0], entries[1], entries[CHANGED + 1]
    run, hashes = catalog["run-77"], {entry.sha256 for entry in entries}

    def say(what: str, act: Callable[[], Any], times: int, goal: float | None = None) -> None:
        tell("hmp", f"{what}, {RUNS} runs x 5", act, times, goal=goal)

    say("inputs of a run", run.input_entries, 10, 100)
    say("all that a run came from", lambda: upstream(run), 10, 200)
    hundred = [catalog[f"run-{n}"] for n in range(100)]
    tell("hmp", HUNDRED, lambda: [each.input_entries() for each in hundred], 1)
    say("inputs of all runs", lambda: bridge.inputs_of(catalog), 3, 1_000)
    say(f"stale: {len(bridge.stale([project.path]))} runs", lambda: bridge.stale([project.path]), 3, 2_000)
    for entry, versions in ((once, ""), (changed, ", 2 versions"), (elevation, "")):
        say(f"used_by: {len(entry.used_by())} runs{versions}", entry.used_by, 5, 500)
    say(f"uses of {len(hashes)} inputs", lambda: bridge.uses(workspace.path, hashes), 3, 1_000)
    say("plan to let go: superseded", lambda: data.prune(superseded=True, force=True), 3, 2_000)
    say("plan to let go: all", lambda: data.prune(max_size=0, force=True), 1, 5_000)
    say("lineage of an input that all used", lambda: of_entry(elevation).to_text(), 3, 1_000)
    workspace.close()


def original(where: Path) -> None:
    """Ask the pre-release of the original: from a run to its inputs alone, it has no way back and knows no states."""
    import uuid
    from types import SimpleNamespace

    from hydromodpy.data.registry.catalog_duckdb import DataCatalogDuckDB

    import hydromodpy

    os.environ["HMP_STATE_HOME"] = str(where / "state")
    desk, project = where / "w" / "data", where / "w" / "projects" / "base"
    desk.mkdir(parents=True)
    project.mkdir(parents=True)
    files = [_series(desk, n, version=1) for n in range(INPUTS + 1)]
    with DataCatalogDuckDB(desk / "cache.duckdb") as data:
        for file in files:
            data.register(variable="discharge", source="custom", file_path=file, station_id=file.stem)
    catalog = hydromodpy.open(project, create=True, read_only=False)
    first = str(uuid.uuid4())
    catalog.register_simulation(first, "base", "modflow_nwt", name="first")
    about = {"role": "input", "category": "forcing", "portable": True}
    said = [SimpleNamespace(**about, original_path=str(file), canonical_path=file) for file in files]
    catalog.register_tracked_files(first, said)
    catalog.finalize(first)
    engine = catalog.connection
    engine.execute(f"CREATE TEMP TABLE made AS SELECT uuid() AS id, i FROM range({RUNS - 1}) r(i)")
    names = [row[0] for row in engine.execute("SELECT name FROM pragma_table_info('simulations')").fetchall()]
    new = {
        "sim_id": "made.id",
        "name": "'run-' || i",
        "storage_basename": "'run-' || i",
        "name_stem": "'run-' || i",
    }
    columns = _columns(names, new, "s")
    engine.execute(f"INSERT INTO simulations SELECT {columns} FROM simulations s, made")
    order = "row_number() OVER (ORDER BY canonical_path) - 1"
    engine.execute(f"CREATE TEMP TABLE file AS SELECT *, {order} AS n FROM tracked_files")
    engine.execute("DELETE FROM tracked_files")
    which = f"CASE k.k WHEN 0 THEN {INPUTS} ELSE (made.i * 7 + k.k * {INPUTS // 5}) % {INPUTS} END"
    columns = "role, category, original_path, canonical_path, sha256, size_bytes, portable, recorded_at"
    rows = f"SELECT made.id, {columns} FROM file, made, range(5) k(k) WHERE n = {which}"
    engine.execute(f"INSERT INTO tracked_files {rows}")
    catalog.close()
    catalog = hydromodpy.open(project)
    run = catalog["run-77"]
    assert len(run.input_entries()) == 5
    tell("original", f"inputs of a run, {RUNS} runs x 5", run.input_entries, 10)
    hundred = [catalog[f"run-{n}"] for n in range(100)]
    tell("original", HUNDRED, lambda: [each.input_entries() for each in hundred], 1)
    catalog.close()


def main() -> None:
    """Measure what was named, or hmp alone."""
    for what in sys.argv[1:] or ["hmp"]:
        with tempfile.TemporaryDirectory() as made:
            {"hmp": hmp, "original": original}[what](Path(made))


if __name__ == "__main__":
    main()
