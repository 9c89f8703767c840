"""Inputs and runs of a workspace, as the tests of the bridge make them."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from hydromodpy import Workspace


def discharge(folder: Path, name: str = "q.csv", *, first: float = 1.5) -> Path:
    """Write a small record of discharge."""
    file = folder / name
    rows = [f"2001-01-{day:02d},{first - day / 50:.2f}" for day in range(1, 11)]
    file.write_text("time,discharge\n" + "\n".join(rows) + "\n")
    return file


def record(workspace: Workspace, name: str, *inputs: object, project: str = "base") -> str:
    """Record a run and return its id."""
    with workspace.project(project) as here:
        with here.catalog.record("gr4j", name=name, inputs=inputs) as rec:
            rec.metric("nse", 0.8)
        return rec.sim_id


def consumed(workspace: Workspace, sim: str, project: str = "base") -> list[Any]:
    """Return what a run consumed, as it is told now."""
    with workspace.project(project) as here:
        return list(here.catalog[sim].input_entries())


def states(workspace: Workspace, sim: str, project: str = "base") -> list[str]:
    """Return the states of what a run consumed."""
    return [one.state for one in consumed(workspace, sim, project)]


def edit(path: Path, text: str = "time,discharge\n2001-01-01,7\n") -> None:
    """Write to a file in place, so that it also looks otherwise."""
    path.write_text(text)
    os.utime(path, (1, 1))


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder on loopback: what is fetched from there the cache may let go. The value is its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
