"""Write a catalog, or tell every row of its database, with the DuckDB of the interpreter that runs this.

::

    python written.py record PROJECT NAME    # record a run, tag it, and leave
    python written.py rows PROJECT           # every row of every table, as JSON
    python written.py die DATABASE VALUE     # commit a row and be killed before it is checkpointed
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

from hmp_core.backends import DuckDBBackend


def record(project: str, name: str) -> None:
    import hmp_catalog

    with hmp_catalog.open(project, create=True) as catalog:
        with catalog.record(solver="gr4j", name=name, parameters={"x1": 320.5, "warm": True}, seed=7) as run:
            run.metric("nse", 0.83, station="outlet", variable="discharge")
            run.metric("kge", -1.5)
        catalog[name].tag("paper")
        assert catalog[name].parameters["x1"] == 320.5


def rows(project: str) -> None:
    backend = DuckDBBackend(Path(project) / "catalog.duckdb", read_only=True)
    tables = "SELECT table_name FROM information_schema.tables WHERE table_catalog = current_database() ORDER BY 1"
    with backend.lease(write=False):
        found = {
            name: sorted(repr(row) for row in backend.fetch_all(f'SELECT * FROM "{name}"'))
            for (name,) in backend.fetch_all(tables)
        }
        said = backend.fetch_all("SELECT tags FROM duckdb_databases() WHERE database_name = current_database()")
    print(json.dumps({"rows": found, "format": dict(said[0][0])["storage_version"].partition("+")[0]}))


def die(database: str, value: str) -> None:
    backend = DuckDBBackend(Path(database), create=True)
    with backend.lease(write=True):
        backend.execute("CREATE TABLE IF NOT EXISTS t (a INTEGER)")
        backend.execute("CHECKPOINT")
        backend.insert("t", {"a": int(value)})
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    {"record": record, "rows": rows, "die": die}[sys.argv[1]](*sys.argv[2:])
