"""A web server on this machine that gives what is in a folder, and counts what it gave."""

from __future__ import annotations

import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self


class Shop:
    """Serves ``folder``; ``ranges`` off: it sends everything whole, as simple servers do."""

    def __init__(self, folder: Path, *, ranges: bool = True) -> None:
        self.folder, self.ranges = folder, ranges
        self.gave: list[tuple[str, int, int]] = []
        self.closed = False
        shop = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if shop.closed:  # a connection that was kept open
                    self.close_connection = True
                    return
                status, body = shop.answer(self.path.lstrip("/"), self.headers.get("Range"))
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def answer(self, key: str, asked: str | None) -> tuple[int, bytes]:
        place = self.folder / key
        if not place.is_file():
            self.gave.append((key, 404, 0))
            return 404, b""
        body, status = place.read_bytes(), 200
        if asked and self.ranges:
            start, stop = map(int, re.fullmatch(r"bytes=(\d+)-(\d+)", asked).groups())  # type: ignore[union-attr]
            body, status = body[start : stop + 1], 206
        self.gave.append((key, status, len(body)))
        return status, body

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
