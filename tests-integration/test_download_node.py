"""A download node that runs unattended: a server that fails now and then, SIGKILL at any moment, purge and restore."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import hmp_cache
from hmp_core.identity import sha256_file

SCRIPT = Path(__file__).with_name("node_process.py")
FILES = 24


def _series(seed: int) -> bytes:
    """Return a record of discharge whose length and values no other has."""
    chance = random.Random(seed)
    lines = [f"{1900 + n // 336:04d}-{n // 28 % 12 + 1:02d}-{n % 28 + 1:02d},{chance.random() * 9:.4f}"
             for n in range(chance.randrange(200, 20_000))]  # fmt: skip
    return ("time,discharge\n" + "\n".join(lines) + "\n").encode()


class Upstream:
    """A publisher whose service is unwell every third time: errors, web pages, transfers that break off or stall."""

    def __init__(self) -> None:
        self.bodies = {f"/{n:02d}.csv": _series(n) for n in range(FILES)}
        self.chance = random.Random(7)
        self.well = False
        self.told: Counter[str] = Counter()
        self._lock = threading.Lock()
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                upstream.answer(self)

            def log_message(self, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, *args: object) -> None:
                pass  # whoever asked was killed

        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def wait_for(self, answers: int, process: subprocess.Popen[bytes]) -> None:
        """Wait until so many answers were given, or whoever asks has ended."""
        end = time.monotonic() + 60
        while self.told.total() < answers and process.poll() is None:
            assert time.monotonic() < end, "nothing was asked for a minute"
            time.sleep(0.005)

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        with self._lock:
            mood = "well" if self.well else self.chance.choices(
                ["well", "500", "503", "page", "short", "stalled"], [12, 2, 1, 1, 3, 1]
            )[0]  # fmt: skip
            self.told[mood] += 1
        try:
            getattr(self, f"_{mood}", self._status)(request, self.bodies[request.path], mood)
        except OSError:
            request.close_connection = True  # whoever asked was killed

    def _status(self, request: BaseHTTPRequestHandler, body: bytes, mood: str) -> None:
        request.send_response(int(mood))
        request.send_header("Content-Length", "0")
        if mood == "503":
            request.send_header("Retry-After", "0")
        request.end_headers()

    def _page(self, request: BaseHTTPRequestHandler, body: bytes, mood: str) -> None:
        page = b"<!DOCTYPE html><html><title>Maintenance</title></html>"
        request.send_response(200)
        request.send_header("Content-Length", str(len(page)))
        request.end_headers()
        request.wfile.write(page)

    def _well(self, request: BaseHTTPRequestHandler, body: bytes, mood: str) -> None:
        etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        asked = request.headers.get("Range", "")
        first = int(asked.removeprefix("bytes=").partition("-")[0]) if asked.startswith("bytes=") else 0
        if first and request.headers.get("If-Range") == etag and first < len(body):
            request.send_response(206)
            request.send_header("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")
        else:
            first = 0
            request.send_response(200)
        request.send_header("ETag", etag)
        request.send_header("Accept-Ranges", "bytes")
        request.send_header("Content-Length", str(len(body) - first))
        request.end_headers()
        for start in range(first, len(body), 20_000):
            request.wfile.write(body[start : start + 20_000])
            time.sleep(0.002)  # so that a kill meets transfers under way

    def _short(self, request: BaseHTTPRequestHandler, body: bytes, mood: str) -> None:
        request.send_response(200)
        request.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()[:16]}"')
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body[: len(body) // 2])
        request.close_connection = True

    def _stalled(self, request: BaseHTTPRequestHandler, body: bytes, mood: str) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body[:100])
        request.wfile.flush()
        time.sleep(1.5)
        request.close_connection = True


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    server = Upstream()
    yield server
    server.close()


def _wanted(upstream: Upstream) -> list[dict[str, Any]]:
    return [
        {"uri": upstream.address + path, "variable": "discharge", "source": "node", "station": path[1:3],
         "unit": "m3 s-1", "retry_now": True}
        for path in upstream.bodies
    ]  # fmt: skip


def _node(workspace: Path, upstream: Upstream, *arguments: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), str(workspace), *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(_wanted(upstream)).encode())
    process.stdin.close()
    return process


def _answers(process: subprocess.Popen[bytes]) -> list[dict[str, str]]:
    assert process.stdout is not None
    with process.stdout:
        answers = [json.loads(line) for line in process.stdout.read().splitlines()]
    process.wait()
    return answers


def _judge(workspace: Path, upstream: Upstream, acknowledged: dict[str, str]) -> None:
    """What was acknowledged is there, what is served is whole, and nothing lies about that nobody knows."""
    sums = {upstream.address + path: hashlib.sha256(body).hexdigest() for path, body in upstream.bodies.items()}
    assert acknowledged.items() <= sums.items(), "other bytes than upstream has were acknowledged"
    with hmp_cache.open(workspace) as data:
        there = {str(entry.uri): entry for entry in data.find()}
        assert acknowledged.keys() <= there.keys(), "an acknowledged input is gone"
        for uri, entry in there.items():
            assert (entry.state, entry.sha256) == ("current", sums[uri])
            assert sha256_file(entry.path) == entry.sha256
        visible = {path.name for path in (workspace / "data" / "discharge" / "node").glob("*.csv")}
        assert visible == {entry.path.name for entry in there.values()}


def test_nothing_is_lost_and_nothing_half_is_served(tmp_path: Path, upstream: Upstream) -> None:
    """SIGKILL in the middle of transfers, and between the bytes in place and the event that says so."""
    workspace, chance = tmp_path / "node", random.Random(3)
    hmp_cache.open(workspace, create=True).close()
    acknowledged: dict[str, str] = {}
    killed = 0
    for turn in range(6):
        before = upstream.told.total()
        process = _node(workspace, upstream, *([str(2 + turn)] if turn % 2 else []))
        if not turn % 2:
            upstream.wait_for(before + chance.randrange(4, 12), process)
            process.kill()
        said = _answers(process)
        killed += process.returncode == -9
        acknowledged |= {line["uri"]: line["got"] for line in said if "got" in line}
        _judge(workspace, upstream, acknowledged)
    assert killed >= 3, "the processes ended before they were killed: nothing was tried"
    upstream.well = True
    last = _node(workspace, upstream)
    said = _answers(last)
    assert [line for line in said if "failed" in line] == []
    assert len(said) == FILES
    assert last.returncode == 0
    _judge(workspace, upstream, {line["uri"]: line["got"] for line in said})
    with hmp_cache.open(workspace) as data:
        assert len(data.find()) == FILES
        assert {found.state for found in data.verify()} == {"current"}
        left = [path.name for path in (workspace / "data" / ".incoming").iterdir()]
        assert left == [], "a transfer that broke off was left behind"


def test_every_failure_is_recorded(tmp_path: Path, upstream: Upstream) -> None:
    said = _answers(_node(tmp_path / "node", upstream))
    assert len(said) == FILES
    unwell = sum(count for mood, count in upstream.told.items() if mood != "well")
    with hmp_cache.open(tmp_path / "node") as data:
        rows = data.failures(limit=10_000).to_pylist()
    assert unwell > 5
    assert len(rows) == unwell
    classes = Counter(row["error_type"] for row in rows)
    assert classes["http"] == upstream.told["500"] + upstream.told["503"]
    assert classes["content"] == upstream.told["page"]
    assert classes["truncated"] == upstream.told["short"]
    assert classes["network"] == upstream.told["stalled"]
    failed = {line["uri"] for line in said if "failed" in line}
    assert {row["source_ref"] for row in rows if row["next_retry"]} == failed


def test_what_was_purged_comes_back_to_the_byte(tmp_path: Path, upstream: Upstream) -> None:
    upstream.well = True
    _answers(_node(tmp_path / "node", upstream))
    with hmp_cache.open(tmp_path / "node") as data:
        plan = data.prune(older_than="0d", apply=True)
        assert plan.applied
        assert len(plan.items) == FILES
        assert {entry.state for entry in data.check()} == {"purged"}
        assert not list((tmp_path / "node" / "data" / "discharge" / "node").glob("*.csv"))
        for entry in data.find():
            data.restore(entry)
        bodies = {entry.path.read_bytes() for entry in data.find()}
        assert bodies == set(upstream.bodies.values())
        assert {found.state for found in data.verify()} == {"current"}
