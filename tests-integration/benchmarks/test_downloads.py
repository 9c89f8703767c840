"""200 files of 1 MiB from loopback by hmp, pooch and curl, one after the other; the server is a process of its own.

hmp validates each file, keeps its provenance and flushes it to the disk; pooch moves a file into place; curl writes it.
pooch downloads one at a time, which is what it does.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

COUNT = 200
SERVER = """
import http.server

BODY = bytes(range(256)) * 4096

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        number = int(self.path.rpartition("/")[2].partition(".")[0])
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(number.to_bytes(4, "big") + BODY[4:])

    def log_message(self, *words):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
print(server.server_port, flush=True)
server.serve_forever()
"""


@contextlib.contextmanager
def _uris() -> Iterator[list[str]]:
    process = subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        port = int(process.stdout.readline())
        yield [f"http://127.0.0.1:{port}/{n}.bin" for n in range(COUNT)]
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def _by_curl(uris: list[str], folder: Path) -> None:
    asked = folder / "asked"
    asked.write_text("".join(f'url = "{uri}"\noutput = "{folder}/{n}.bin"\n' for n, uri in enumerate(uris)))
    command = ["curl", "-s", "--no-progress-meter", "--parallel", "--parallel-max", "8", "-K", str(asked)]
    subprocess.run(command, check=True)
    asked.unlink()


def _by_pooch(uris: list[str], folder: Path) -> None:
    import pooch

    pooch.get_logger().setLevel("ERROR")
    for uri in uris:
        pooch.retrieve(uri, known_hash=None, path=folder, progressbar=False)


def _by_hmp(uris: list[str], folder: Path) -> None:
    import hmp_cache

    with hmp_cache.open(folder, create=True) as data:
        found = data.fetch_many(uris, variable="tile")
    assert all(f.entry for f in found)


def _timed(way: Callable[[list[str], Path], None], uris: list[str], folder: Path) -> float:
    folder.mkdir()
    began = time.perf_counter()
    way(uris, folder)
    taken = time.perf_counter() - began
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file() and path.stat().st_size == 1 << 20]
    assert len(sizes) == COUNT
    shutil.rmtree(folder)
    return taken


def test_many_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pooch")
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    monkeypatch.setenv("NO_PROXY", "*")
    ways = {"hmp fetch_many": _by_hmp, "pooch": _by_pooch, "curl --parallel": _by_curl}
    taken: dict[str, list[float]] = {name: [] for name in ways}
    with _uris() as uris:
        for turn in range(4):
            for name, way in ways.items():
                taken[name].append(_timed(way, uris, tmp_path / f"{name.split()[0]}{turn}"))
    best = {name: min(each[1:]) for name, each in taken.items()}  # the first pays for imports
    os.sync()
    print(f"\n{COUNT} files of 1 MiB, best of three:")
    for name, seconds in best.items():
        print(f"  {name:16} {seconds:.2f} s, {COUNT / seconds:.0f} MiB/s, {best['hmp fetch_many'] / seconds:.2f} x")
