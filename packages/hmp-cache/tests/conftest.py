"""A workspace, its inputs, and a real server on loopback that answers as it is told."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import hmp_cache
from hmp_cache import InputsNamespace

#: Where the services lie that the tests of the sources ask.
sys.path.append(str(Path(__file__).with_name("services")))

#: Programs that tests run as processes of their own: no modules to look for tests or examples in.
collect_ignore_glob = ["killed*.py"]

DAYS = "time,discharge\n2001-01-01,1.4\n2001-01-02,1.3\n"


@pytest.fixture(autouse=True)
def _plain_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    for name in ("HMP_FOLD", "HMP_WORKSPACE", "HMP_AUTO_MIGRATE", "HMP_AUTH_BACKEND"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HMP_USER", "ada")
    # where the umbrella is installed too, it would ask the workspaces of this machine
    monkeypatch.setenv("HMP_STATE_HOME", str(tmp_path_factory.getbasetemp() / "state"))
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return tmp_path / "fulda"


@pytest.fixture
def data(workspace: Path) -> Iterator[InputsNamespace]:
    with hmp_cache.open(workspace, create=True) as opened:
        yield opened


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a user's file outside the workspace."""

    def _write(name: str = "q.csv", content: str | bytes = DAYS) -> Path:
        path = tmp_path / "desk" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return _write


@dataclass
class Reply:
    """What the server says next to one path."""

    status: int = 200
    body: bytes = DAYS.encode()
    headers: dict[str, str] = field(default_factory=dict)
    #: what Content-Length says, if it is not the truth; -1 for none at all
    announced: int | None = None
    #: bytes of the body after which the connection is cut, or silent for ``pause`` seconds
    cut: int | None = None
    pause: float = 0.0
    #: bytes sent at a time, and the seconds in between
    drip: tuple[int, float] | None = None
    #: in pieces that say how long they are; a body that is cut lacks the last
    chunked: bool = False
    #: a question for the rest is answered with the rest, unless If-Range names another version
    ranged: bool = False
    #: the same, whatever If-Range names
    careless: bool = False
    #: the connection stays open for the next question
    keep: bool = False


class Loopback:
    """A server whose answers are queued by path; the last one stays. It remembers what it was asked."""

    def __init__(self) -> None:
        self.replies: dict[str, list[Reply]] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.connections: set[tuple[str, int]] = set()
        self.at_once = self.most_at_once = 0
        self.guard = threading.Lock()
        server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        server.daemon_threads = True
        self._server = server
        self._thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        self.address = f"http://127.0.0.1:{server.server_port}"

    def on(self, path: str, *replies: Reply) -> str:
        """Queue replies and return the URI."""
        self.replies[path] = list(replies)
        return self.address + path

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        loopback = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                with loopback.guard:
                    loopback.at_once += 1
                    loopback.most_at_once = max(loopback.most_at_once, loopback.at_once)
                    loopback.connections.add(self.client_address)
                    loopback.asked.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
                    queue = loopback.replies.get(self.path, [Reply(status=404, body=b"nothing here")])
                    reply = queue.pop(0) if len(queue) > 1 else queue[0]
                self.counted = True
                try:
                    self.answer(self.fitting(reply))
                except (BrokenPipeError, ConnectionResetError):
                    pass  # who asked has gone
                finally:
                    self.leave()

            def leave(self) -> None:
                """Count no more: who asked has, or is about to have, all of the answer."""
                with loopback.guard:
                    loopback.at_once -= self.counted
                    self.counted = False

            def fitting(self, reply: Reply) -> Reply:
                """Return what a reply becomes by what the question says of versions and parts."""
                etag, asked = reply.headers.get("ETag"), self.headers.get("Range")
                if etag and reply.status == 200 and self.headers.get("If-None-Match") == etag:
                    return Reply(304, b"", {"ETag": etag})
                same = self.headers.get("If-Range") in {None, etag, reply.headers.get("Last-Modified")}
                if not asked or not (reply.careless or (reply.ranged and same)):
                    return reply
                start, size = int(asked.removeprefix("bytes=").removesuffix("-")), len(reply.body)
                if start >= size:
                    return Reply(416, b"", {"Content-Range": f"bytes */{size}"})
                told = reply.headers | {"Content-Range": f"bytes {start}-{size - 1}/{size}"}
                return replace(reply, status=206, body=reply.body[start:], headers=told)

            def answer(self, reply: Reply) -> None:
                self.protocol_version = "HTTP/1.1" if reply.chunked or reply.keep else "HTTP/1.0"
                self.send_response(reply.status)
                length = len(reply.body) if reply.announced is None else reply.announced
                if reply.chunked:
                    self.send_header("Transfer-Encoding", "chunked")
                elif length >= 0 and reply.status not in {204, 304}:
                    self.send_header("Content-Length", str(length))
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.send(reply, reply.body if reply.cut is None else reply.body[: reply.cut])
                if reply.pause:
                    self.wfile.flush()
                    time.sleep(reply.pause)
                    self.send(reply, reply.body[reply.cut :])
                elif reply.chunked and reply.cut is None:
                    self.wfile.write(b"0\r\n\r\n")
                self.close_connection = not reply.keep or reply.cut is not None

            def send(self, reply: Reply, body: bytes) -> None:
                step, wait = reply.drip or (len(body), 0.0)
                for start in range(0, len(body), max(step, 1)):
                    if wait and start:
                        time.sleep(wait)
                    block = body[start : start + step]
                    if start + step >= len(body):
                        self.leave()
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(block), block) if reply.chunked else block)

            def log_message(self, *args: object) -> None:
                pass

        return Handler


@pytest.fixture
def server() -> Iterator[Loopback]:
    loopback = Loopback()
    yield loopback
    loopback.close()


@pytest.fixture(scope="module")
def web() -> Iterator[Loopback]:
    """A server for all tests of a room."""
    loopback = Loopback()
    yield loopback
    loopback.close()


@pytest.fixture
def reply() -> type[Reply]:
    return Reply
