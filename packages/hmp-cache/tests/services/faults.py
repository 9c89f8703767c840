"""What servers do wrong, each as the answers that show it: the tests and the comparison with other tools share them."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

GOOD = b"time,discharge\n" + b"".join(b"2001-01-%02d,%d.25\n" % (day, day) for day in range(1, 31))
PAGE = b"<!DOCTYPE html><html><head><title>Maintenance</title></head><body>Back soon.</body></html>"
REPORT = b'<?xml version="1.0"?><ServiceExceptionReport><ServiceException>no such layer</ServiceException>'
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
JSON = b'{"error": "quota exceeded"}'


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong.

    Parameters
    ----------
    replies
        What the server answers, as arguments of ``Reply``; the last one stays.
    reason
        How hmp classifies it.
    name
        What the file is called.
    good
        What the server should have sent.
    said
        What else is asked.
    hopeless
        Whether another answer is hardly to be expected: then the next try is a day away.
    """

    title: str
    replies: tuple[Mapping[str, Any], ...]
    reason: str
    name: str = "q.csv"
    good: bytes = GOOD
    said: Mapping[str, Any] = field(default_factory=dict)
    hopeless: bool = False


def _parquet() -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"time": pa.array([0, 86_400_000_000], pa.timestamp("us")), "discharge": [1.4, 1.3]}), sink)
    return sink.getvalue()


def _zip() -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as packed:
        packed.writestr("q.csv", GOOD)
    return sink.getvalue()


def _netcdf() -> bytes:
    """A classic NetCDF file of one dimension and one variable (int discharge(time=64))."""

    def name(text: bytes) -> bytes:
        return struct.pack(">i", len(text)) + text + b"\0" * (-len(text) % 4)

    dims = struct.pack(">ii", 10, 1) + name(b"time") + struct.pack(">i", 64)
    var = struct.pack(">ii", 11, 1) + name(b"discharge") + struct.pack(">iiiiii", 1, 0, 0, 0, 4, 256)
    head = b"CDF\x01" + struct.pack(">i", 0) + dims + struct.pack(">ii", 0, 0) + var
    return head + struct.pack(">i", len(head) + 4) + b"".join(struct.pack(">i", n) for n in range(64))


PARQUET, ZIP, NETCDF = _parquet(), _zip(), _netcdf()
CLOSED = {"announced": -1}

FAULTS = (
    Fault("closes early, with Content-Length", ({"body": GOOD, "cut": 200},), "truncated"),
    Fault("closes early, chunked", ({"body": GOOD, "cut": 200, "chunked": True},), "truncated"),
    Fault("closes early, no length: text within a line", ({"body": GOOD[:200], **CLOSED},), "truncated"),
    Fault(
        "closes early, no length: Parquet",
        ({"body": PARQUET[: len(PARQUET) // 2], **CLOSED},), "truncated", "q.parquet", PARQUET,
    ),
    Fault("closes early, no length: ZIP", ({"body": ZIP[:120], **CLOSED},), "truncated", "q.zip", ZIP),
    Fault("closes early, no length: NetCDF", ({"body": NETCDF[:200], **CLOSED},), "truncated", "q.nc", NETCDF),
    Fault("closes early, no length: text, hash known", ({"body": GOOD[:285], **CLOSED},), "content",
          said={"sha256": "good"}, hopeless=True),
    Fault("web page with status 200", ({"body": PAGE, "headers": {"Content-Type": "text/html"}},), "content",
          hopeless=True),
    Fault("web page called text/csv", ({"body": PAGE, "headers": {"Content-Type": "text/csv"}},), "content",
          hopeless=True),
    Fault("OGC exception report with status 200", ({"body": REPORT, "headers": {"Content-Type": "text/xml"}},),
          "content", "q.tif", b"II*\x00" + bytes(500), hopeless=True),
    Fault("empty body with status 200", ({"body": b""},), "content"),
    Fault("wrong content type", ({"body": PNG, "headers": {"Content-Type": "image/png"}},), "content", hopeless=True),
    Fault("JSON error with status 200", ({"body": JSON, "headers": {"Content-Type": "application/json"}},), "content",
          hopeless=True),
    Fault("other bytes than the suffix says", ({"body": GOOD},), "content", "q.nc", NETCDF, hopeless=True),
    Fault("206 that nobody asked for", ({"status": 206, "body": GOOD[:100],
          "headers": {"Content-Range": f"bytes 0-99/{len(GOOD)}"}},), "content"),
    Fault("redirect loop", ({"status": 302, "body": b"", "headers": {"Location": "q.csv"}},), "http", hopeless=True),
    Fault("404", ({"status": 404, "body": b"gone"},), "http", hopeless=True),
    Fault("429", ({"status": 429, "body": b""},), "http"),
    Fault("429 with Retry-After", ({"status": 429, "body": b"", "headers": {"Retry-After": "900"}},), "http"),
    Fault("503", ({"status": 503, "body": PAGE},), "http"),
    Fault("500", ({"status": 500, "body": PAGE},), "http"),
    Fault("stalls in the middle", ({"body": GOOD, "cut": 200, "pause": 1.5},), "network"),
    Fault("drips for ever", ({"body": GOOD * 9, "drip": (1, 0.05)},), "network"),
    Fault("another hash than published", ({"body": GOOD.replace(b"9.25", b"8.25")},), "content",
          said={"sha256": "good"}, hopeless=True),
    Fault("another hash than the server sent along", ({"body": GOOD.replace(b"9.25", b"8.25"),
          "headers": {"Repr-Digest": "sha-256=:4qLRzxEOQ9sYVOUVMFUvfFS3SjEPFqTpXHM3dn5VJdY=:"}},), "content"),
    Fault("plain text called gzip", ({"body": GOOD, "headers": {"Content-Encoding": "gzip"}},), "content"),
    Fault("gzip that is cut, no length", ({"body": gzip.compress(GOOD)[:90], "headers": {"Content-Encoding": "gzip"},
          **CLOSED},), "truncated"),
    Fault("gzip not called so", ({"body": gzip.compress(GOOD)},), "content", hopeless=True),
)  # fmt: skip
