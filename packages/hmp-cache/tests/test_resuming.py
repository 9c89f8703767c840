"""A download that broke off goes on where it was, never with bytes of another version."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import hmp_cache
from hmp_cache import DownloadFailed, InputsNamespace, Retry
from hmp_core.errors import StorageError
from hmp_core.identity import sha256_bytes

ROWS = b"".join(b"2001-01-01T%02d:%02d:%02d,%d\n" % (n // 3600, n // 60 % 60, n % 60, n % 97) for n in range(86_400))
BODY = b"time,discharge\n" + ROWS
OTHER = BODY.replace(b",7\n", b",8\n")
HASTY = Retry(attempts=3, first=0.01, longest=0.02, stalled=2.0)
ONCE = Retry(attempts=1, stalled=2.0)
V1, V2 = {"ETag": '"v1"'}, {"ETag": '"v2"'}
CUT = 1_500_000


def _fetch(data: InputsNamespace, uri: str, **said: Any) -> hmp_cache.Entry:
    return data.fetch(uri, **({"variable": "discharge", "retry": HASTY, "retry_now": True} | said))


def _ranges(server: Any) -> list[str | None]:
    return [headers.get("range") for _, headers in server.asked]


def _incoming(data: InputsNamespace) -> list[str]:
    return sorted(path.suffix for path in (data.workspace / "data" / ".incoming").iterdir())


# ── the next attempt ─────────────────────────────────────────────────────────────────────────────────


def test_the_next_attempt_asks_for_the_rest(data: InputsNamespace, server: Any, reply: Any) -> None:
    uri = server.on("/q.csv", reply(body=BODY, headers=V1, cut=CUT), reply(body=BODY, headers=V1, ranged=True))
    entry = _fetch(data, uri)
    assert entry.sha256 == sha256_bytes(BODY) == sha256_bytes(entry.path.read_bytes())
    first, rest = _ranges(server)
    assert first is None
    assert 0 < int(str(rest).removeprefix("bytes=").removesuffix("-")) <= CUT
    assert server.asked[1][1]["if-range"] == '"v1"'


def test_it_goes_on_as_often_as_it_breaks_off(data: InputsNamespace, server: Any, reply: Any) -> None:
    broken = reply(body=BODY, headers=V1, ranged=True, cut=700_000)
    uri = server.on("/q.csv", broken, broken, reply(body=BODY, headers=V1, ranged=True))
    assert _fetch(data, uri).sha256 == sha256_bytes(BODY)
    starts = [int(str(asked).removeprefix("bytes=").removesuffix("-")) for asked in _ranges(server)[1:]]
    assert starts == sorted(set(starts))


def test_another_version_meanwhile_begins_anew(data: InputsNamespace, server: Any, reply: Any) -> None:
    uri = server.on("/q.csv", reply(body=BODY, headers=V1, cut=CUT), reply(body=OTHER, headers=V2, ranged=True))
    entry = _fetch(data, uri)
    assert _ranges(server)[1] is not None
    assert entry.path.read_bytes() == OTHER


def test_a_server_that_knows_no_ranges_begins_anew(data: InputsNamespace, server: Any, reply: Any) -> None:
    uri = server.on("/q.csv", reply(body=BODY, headers=V1, cut=CUT), reply(body=BODY, headers=V1))
    assert _fetch(data, uri).path.read_bytes() == BODY
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (206, {"Content-Range": "bytes 5-9/10"}),
        (206, {"Content-Range": "bytes 1000000-1000001/*", "ETag": '"v2"'}),
        (206, {"Content-Range": f"bytes 1000000-{'9' * 5000}/*"}),
        (206, {}),
        (416, {"Content-Range": "bytes */10"}),
    ],
)
def test_a_rest_that_does_not_fit_begins_anew(
    data: InputsNamespace, server: Any, reply: Any, status: int, headers: dict[str, str]
) -> None:
    """No byte of it is taken, and it costs no attempt: all is asked for at once."""
    cut = reply(body=BODY, headers=V1, cut=CUT)
    uri = server.on("/q.csv", cut, reply(status, b"other", headers), reply(body=BODY, headers=V1))
    assert _fetch(data, uri, retry=Retry(attempts=2, first=0.01)).path.read_bytes() == BODY
    assert [asked is None for asked in _ranges(server)] == [True, False, True]


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (OTHER, V2),
        (OTHER, {"ETag": 'W/"v1"'}),
        (OTHER + b"2001-01-02T00:00:00,1\n", {}),
        (BODY, {"ETag": '"v1"', "Content-Encoding": "gzip"}),
    ],
)
def test_the_rest_of_another_version_is_not_taken(
    data: InputsNamespace, server: Any, reply: Any, body: bytes, headers: dict[str, str]
) -> None:
    """A server that does not look at If-Range sends the rest of what it has now."""
    rest = reply(body=body, headers=headers, careless=True)
    uri = server.on("/q.csv", reply(body=BODY, headers=V1, cut=CUT), rest, reply(body=OTHER, headers=V2))
    assert _fetch(data, uri, retry=Retry(attempts=2, first=0.01)).path.read_bytes() == OTHER
    assert [asked is None for asked in _ranges(server)] == [True, False, True]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"ETag": 'W/"v1"'},
        {"Last-Modified": "Mon, 01 Jan 2001 00:00:00 GMT", "Date": "Mon, 01 Jan 2001 00:00:01 GMT"},
        {"ETag": '"v1"', "Accept-Ranges": "none"},
    ],
)
def test_what_cannot_be_told_from_another_version_begins_anew(
    data: InputsNamespace, server: Any, reply: Any, headers: dict[str, str]
) -> None:
    whole = reply(body=BODY, headers=headers, ranged=True)
    uri = server.on("/q.csv", reply(body=BODY, headers=headers, cut=CUT), whole)
    assert _fetch(data, uri).path.read_bytes() == BODY
    assert _ranges(server) == [None, None]


def test_a_date_that_is_long_past_tells_versions_apart(data: InputsNamespace, server: Any, reply: Any) -> None:
    dated = {"Last-Modified": "Mon, 01 Jan 2001 00:00:00 GMT"}
    uri = server.on("/q.csv", reply(body=BODY, headers=dated, cut=CUT), reply(body=BODY, headers=dated, ranged=True))
    assert _fetch(data, uri).path.read_bytes() == BODY
    assert server.asked[1][1]["if-range"] == dated["Last-Modified"]


def test_a_busy_server_in_between_costs_no_byte(data: InputsNamespace, server: Any, reply: Any) -> None:
    broken, whole = reply(body=BODY, headers=V1, cut=CUT), reply(body=BODY, headers=V1, ranged=True)
    assert _fetch(data, server.on("/q.csv", broken, reply(503, b""), whole)).path.read_bytes() == BODY
    assert [asked is None for asked in _ranges(server)] == [True, False, False]


# ── the next process ─────────────────────────────────────────────────────────────────────────────────


def test_what_was_given_up_goes_on_the_next_time(data: InputsNamespace, server: Any, reply: Any) -> None:
    uri = server.on("/q.csv", reply(body=BODY, headers=V1, cut=CUT), reply(body=BODY, headers=V1, ranged=True))
    with pytest.raises(DownloadFailed):
        _fetch(data, uri, retry=ONCE)
    assert _incoming(data) == [".half", ".note"]
    assert data.find() == []
    with hmp_cache.open(data.workspace) as other:
        assert _fetch(other, uri).path.read_bytes() == BODY
    assert _ranges(server)[1] is not None
    assert _incoming(data) == []


@pytest.mark.parametrize("harm", ["boot", "uri", "note"])
def test_bytes_that_may_be_others_are_forgotten(data: InputsNamespace, server: Any, reply: Any, harm: str) -> None:
    uri = server.on("/q.csv", reply(body=BODY, headers=V1, cut=CUT), reply(body=BODY, headers=V1, ranged=True))
    with pytest.raises(DownloadFailed):
        _fetch(data, uri, retry=ONCE)
    (note,) = (data.workspace / "data" / ".incoming").glob("*.note")
    note.write_text("{" if harm == "note" else json.dumps(json.loads(note.read_text()) | {harm: "another"}))
    assert _fetch(data, uri).path.read_bytes() == BODY
    assert _ranges(server) == [None, None]


def test_bytes_that_were_harmed_meanwhile_are_never_served(data: InputsNamespace, server: Any, reply: Any) -> None:
    """Who knows the hash is protected: what was put together does not have it, and is fetched in one."""
    uri = server.on("/q.csv", reply(body=BODY, headers=V1, cut=CUT), reply(body=BODY, headers=V1, ranged=True))
    with pytest.raises(DownloadFailed):
        _fetch(data, uri, retry=ONCE)
    (kept,) = (data.workspace / "data" / ".incoming").glob("*.half")
    with kept.open("r+b") as file:
        file.seek(1000)
        file.write(b"#")
    assert _fetch(data, uri, sha256=sha256_bytes(BODY)).path.read_bytes() == BODY
    assert [asked is None for asked in _ranges(server)] == [True, False, True]


def test_a_small_download_leaves_nothing(data: InputsNamespace, server: Any, reply: Any) -> None:
    with pytest.raises(DownloadFailed):
        _fetch(data, server.on("/q.csv", reply(body=BODY[:90_000], headers=V1, cut=50_000)), retry=ONCE)
    assert _incoming(data) == []


def test_half_a_download_that_nobody_comes_back_for_goes(data: InputsNamespace, server: Any, reply: Any) -> None:
    with pytest.raises(DownloadFailed):
        _fetch(data, server.on("/q.csv", reply(body=BODY, headers=V1, cut=CUT)), retry=ONCE)
    for path in (data.workspace / "data" / ".incoming").iterdir():
        os.utime(path, (0, 0))
    _fetch(data, server.on("/other.csv", reply()))
    assert _incoming(data) == []


KILLED = """
import sys, hmp_cache
data = hmp_cache.open(sys.argv[1])
data.fetch(sys.argv[2], variable="discharge", sha256=None)
"""


@pytest.mark.parametrize("after", [1, CUT, len(BODY) - 1])
def test_a_killed_process_is_gone_on_from(data: InputsNamespace, server: Any, reply: Any, after: int) -> None:
    silent = reply(body=BODY, headers=V1, ranged=True, cut=after, pause=20.0)
    uri = server.on("/q.csv", silent, reply(body=BODY, headers=V1, ranged=True))
    child = subprocess.Popen([sys.executable, "-c", KILLED, str(data.workspace), uri])
    incoming = data.workspace / "data" / ".incoming"
    until = time.monotonic() + 20
    while time.monotonic() < until and sum(p.stat().st_size for p in incoming.glob("*.half")) < after - 70_000:
        time.sleep(0.01)
    time.sleep(0.05)
    child.send_signal(signal.SIGKILL)
    child.wait()
    entry = _fetch(data, uri)
    assert entry.path.read_bytes() == BODY
    assert data.check() == [entry]
    assert _incoming(data) == []
    if after == CUT:
        assert _ranges(server)[1] is not None


def test_all_bytes_of_a_process_that_died_before_it_had_stored_them(
    data: InputsNamespace, server: Any, reply: Any
) -> None:
    """One byte is asked for, which says whether the version is still current."""
    uri = server.on("/q.csv", reply(body=BODY, headers=V1, cut=CUT), reply(body=BODY, headers=V1, ranged=True))
    with pytest.raises(DownloadFailed):
        _fetch(data, uri, retry=ONCE)
    (kept,) = (data.workspace / "data" / ".incoming").glob("*.half")
    kept.write_bytes(BODY)
    assert _fetch(data, uri).path.read_bytes() == BODY
    assert _ranges(server)[1] == f"bytes={len(BODY) - 1}-"


# ── room ─────────────────────────────────────────────────────────────────────────────────────────────


def test_what_the_disk_has_no_room_for_is_not_begun(data: InputsNamespace, server: Any, reply: Any) -> None:
    with pytest.raises(StorageError, match="the disk has room for"):
        _fetch(data, server.on("/q.csv", reply(body=BODY, announced=1 << 60)), retry=Retry(largest=1 << 62))
    assert _incoming(data) == []
    assert [row["error_type"] for row in data.failures().to_pylist()] == ["disk"]


def test_more_than_is_allowed_is_refused(data: InputsNamespace, server: Any, reply: Any) -> None:
    for announced in (None, -1):
        with pytest.raises(DownloadFailed, match="more than 1000") as caught:
            _fetch(data, server.on("/q.csv", reply(body=BODY, announced=announced)), retry=Retry(largest=1000))
        assert caught.value.reason == "content"
    assert _incoming(data) == []


def test_the_folder_of_what_comes_in_may_go_meanwhile(data: InputsNamespace, server: Any, reply: Any) -> None:
    _fetch(data, server.on("/a.csv", reply()))
    (data.workspace / "data" / ".incoming").rmdir()
    assert isinstance(_fetch(data, server.on("/b.csv", reply())).path, Path)
