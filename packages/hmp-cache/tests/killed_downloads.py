"""Kill a process that downloads between any two lines, and look at what it left.

Run by ``test_kills.py`` as ``killed.py`` is: ``python killed_downloads.py FOLDER SCENARIO POINTS``. The server is a
process of its own (``killed_downloads.py serve``), so that nothing of it is in the processes that are forked.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import killed
from killed import SAID

import hmp_cache
from hmp_cache import DownloadFailed, Retry
from hmp_core.identity import sha256_bytes

killed.ROOMS |= {"resuming.py", "gathering.py", "batch.py", "backoff.py", "transfer.py", "succession.py"}
#: More than `hmp_cache.resuming` takes to be worth going on with.
ROWS = b"".join(b"2001-01-01T%02d:%02d:%02d,1.25\n" % (n // 3600, n // 60 % 60, n % 60) for n in range(50_000))
BODY = b"time,discharge\n" + ROWS
TOGETHER = 4


class Server(BaseHTTPRequestHandler):
    """Sends the same bytes; under ``/cut`` not all of them, under ``/<tag>/`` with another ETag."""

    def do_GET(self) -> None:
        _, tag, _ = self.path.split("/")
        start = int(self.headers.get("Range", "bytes=0-")[6:-1])
        self.send_response(206 if start else 200)
        self.send_header("ETag", '"v1"' if tag == "cut" else f'"{tag}"')
        self.send_header("Content-Length", str(len(BODY) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(BODY) - 1}/{len(BODY)}")
        self.end_headers()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.wfile.write(BODY[start : 1_200_000 if tag == "cut" and not start else None])

    def log_message(self, *args: object) -> None:
        pass


def serve() -> None:
    """Answer until the process ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    server.daemon_threads = True
    print(server.server_port, flush=True)
    server.serve_forever()


@contextlib.contextmanager
def _server() -> Iterator[str]:
    process = subprocess.Popen([sys.executable, __file__, "serve"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def _prepare(base: Path, scenario: str, address: str) -> None:
    """For one that goes on, half a download; for a confirmation, the bytes as the server called them before."""
    with hmp_cache.open(base, create=True) as data:
        if scenario == "resumed":
            with contextlib.suppress(DownloadFailed):
                data.fetch(f"{address}/cut/q.csv", retry=Retry(attempts=1), **SAID)
            assert list((base / "data" / ".incoming").glob("*.half"))
        if scenario == "confirmed":
            data.fetch(f"{address}/v1/q.csv", **SAID)


def _act(scenario: str, data: hmp_cache.InputsNamespace, address: str) -> None:
    if scenario == "together":
        threading.settrace(sys.gettrace())
        uris = [f"{address}/v{n}/q{n}.csv" for n in range(TOGETHER)]
        found = data.fetch_many(uris, variable="discharge", at_once=TOGETHER)
        threading.settrace(None)
        assert all(f.entry for f in found), found
    else:
        data.fetch(f"{address}/{_tag(scenario)}/q.csv", refresh=True, retry_now=True, **SAID)


def _tag(scenario: str) -> str:
    """Return where the server has it: what goes on asks where it was cut; what is confirmed has another name now."""
    return {"resumed": "cut", "confirmed": "v2"}.get(scenario, "v1")


def _judge(workspace: Path, scenario: str, answered: bool, address: str) -> None:
    with hmp_cache.open(workspace) as data:
        _look(data)
        count = TOGETHER if scenario == "together" else 1
        assert len(data.find()) == count or not answered
        if scenario == "confirmed" and answered:
            assert data.sql("SELECT etag FROM provenance ORDER BY recorded_at").column(0).to_pylist() == [
                '"v1"',
                '"v2"',
            ]
        _act(scenario, data, address)
        _look(data)
        assert len(data.find()) == count
        assert [len(data.versions(entry)) for entry in data.find()] == [1] * count
        data.add(_desk(workspace), variable="stage")  # whoever comes next clears away what nobody needs
        left = killed._visible(data.workspace / "data" / ".incoming")
        assert left == [], left
    killed._make_again(workspace)


def _desk(workspace: Path) -> Path:
    path = workspace.parent / "own.csv"
    path.write_bytes(b"time,stage\n2001-01-01,1\n")
    return path


def _look(data: hmp_cache.InputsNamespace) -> None:
    """What is shown is whole."""
    for entry in data.find():
        assert entry.state == "current"
        with entry.open() as file:
            assert sha256_bytes(file.read()) == entry.sha256 == sha256_bytes(BODY)


def main(folder: Path, scenario: str, points: int) -> None:
    """Kill a process that downloads as ``scenario`` says."""
    base = folder / "base"
    with _server() as address:
        assert killed._in_child(lambda: _prepare(base, scenario, address)) == 0
        killed.kill(
            folder,
            base,
            lambda data: _act(scenario, data, address),
            lambda workspace, answered: _judge(workspace, scenario, answered, address),
            points,
        )


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve()
    else:
        main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
