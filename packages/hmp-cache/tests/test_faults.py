"""Everything that goes wrong on the way: never served as data, on record with its class, and tried again in time."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from faults import FAULTS, GOOD, Fault

import hmp_cache
from hmp_cache import DownloadFailed, InputsNamespace, Retry, ValidationFailed
from hmp_cache.errors import RetryLater
from hmp_core.errors import StorageError
from hmp_core.identity import sha256_bytes
from hmp_core.testing.surroundings import fill, small_disk

HASTY = Retry(attempts=2, first=0.01, longest=0.02, stalled=0.4)


def _fetch(data: InputsNamespace, uri: str, **said: Any) -> hmp_cache.Entry:
    return data.fetch(uri, **({"variable": "discharge", "retry": HASTY, "station": "outlet"} | said))


def _said(fault: Fault) -> dict[str, Any]:
    return dict(fault.said) | ({"sha256": sha256_bytes(fault.good)} if "sha256" in fault.said else {})


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


def _last(data: InputsNamespace) -> dict[str, Any]:
    found: dict[str, Any] = data.failures().to_pylist()[0]
    return found


def _left(data: InputsNamespace) -> list[Path]:
    return list((data.workspace / "data" / ".incoming").iterdir())


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InputsNamespace]:
    """One workspace for all faults: each at a station of its own."""
    with pytest.MonkeyPatch.context() as patch, hmp_cache.open(tmp_path_factory.mktemp("node"), create=True) as opened:
        patch.setenv("NO_PROXY", "*")
        yield opened


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.title)
def test_a_fault_is_not_served(node: InputsNamespace, web: Any, reply: Any, fault: Fault) -> None:
    path, station = f"/{FAULTS.index(fault)}/{fault.name}", f"new {FAULTS.index(fault)}"
    uri = web.on(path, *(reply(**said) for said in fault.replies))
    before = _now()
    with pytest.raises(DownloadFailed) as caught:
        _fetch(node, uri, station=station, **_said(fault))
    assert caught.value.reason == fault.reason
    assert node.find(station=station) == []
    assert _left(node) == []
    row = _last(node)
    assert (row["error_type"], row["attempts"]) == (fault.reason, 1)
    wait = row["next_retry"] - before
    assert wait >= (timedelta(hours=24) if fault.hopeless else timedelta(minutes=1))
    assert fault.hopeless or wait < timedelta(minutes=20)
    asked = len(web.asked)
    with hmp_cache.open(node.workspace) as other:  # as another process would
        for each in (node, other):
            with pytest.raises(RetryLater, match="is not asked for again before") as later:
                _fetch(each, uri, station=station, **_said(fault))
            assert later.value.reason == fault.reason
            assert later.value.next_retry > _now()
    assert len(web.asked) == asked
    web.on(path, reply(body=fault.good))
    assert _fetch(node, uri, retry_now=True, station=station, **_said(fault)).path.read_bytes() == fault.good
    _fetch(node, uri, refresh=True, station=station)


#: A third of them in the ordinary run: what is there is left by the same lines whatever the fault.
SOME = [pytest.param(f, id=f.title, marks=[pytest.mark.soak] if n % 3 else []) for n, f in enumerate(FAULTS)]


@pytest.mark.parametrize("fault", SOME)
def test_a_fault_leaves_what_is_there(node: InputsNamespace, web: Any, reply: Any, fault: Fault) -> None:
    path, station = f"/{FAULTS.index(fault)}/{fault.name}", f"held {FAULTS.index(fault)}"
    uri = web.on(path, reply(body=fault.good))
    entry = _fetch(node, uri, station=station)
    web.on(path, *(reply(**said) for said in fault.replies))
    with pytest.raises(DownloadFailed):
        _fetch(node, uri, refresh=True, station=station, **_said(fault))
    assert node.check(station=station) == [entry]
    assert entry.path.read_bytes() == fault.good
    assert _fetch(node, uri, station=station) == entry  # not asked for: it is there


# ── what passes ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("headers", [{}, {"Retry-After": "1"}])
def test_a_server_that_was_busy(data: InputsNamespace, server: Any, reply: Any, headers: dict[str, str]) -> None:
    entry = _fetch(data, server.on("/q.csv", reply(503, b"", headers), reply(body=GOOD)))
    assert entry.path.read_bytes() == GOOD
    row = _last(data)
    assert (row["error_type"], row["status"], row["next_retry"], row["attempts"]) == ("http", 503, None, None)


def test_a_table_that_is_cut_between_two_lines_passes(data: InputsNamespace, server: Any, reply: Any) -> None:
    """Where neither length, hash nor form tells: the manual says so. The remedy is ``sha256=``."""
    cut = GOOD[: GOOD.rindex(b"2001-01-20")]
    assert _fetch(data, server.on("/q.csv", reply(body=cut, announced=-1))).size == len(cut)


def test_the_hash_that_the_server_sends_along(data: InputsNamespace, server: Any, reply: Any) -> None:
    import base64
    import hashlib

    digest = base64.b64encode(hashlib.sha256(GOOD).digest()).decode()
    old = base64.b64encode(hashlib.md5(GOOD).digest()).decode()
    headers = {"Repr-Digest": f"sha-256=:{digest}:", "Content-MD5": old}
    assert _fetch(data, server.on("/q.csv", reply(body=GOOD, headers=headers))).size == len(GOOD)


def test_a_packed_answer_that_nobody_asked_for_is_unpacked(data: InputsNamespace, server: Any, reply: Any) -> None:
    import gzip

    packed = reply(body=gzip.compress(GOOD[:50]) + gzip.compress(GOOD[50:]), headers={"Content-Encoding": "gzip"})
    entry = _fetch(data, server.on("/q.csv", packed))
    assert (entry.sha256, entry.path.read_bytes()) == (sha256_bytes(GOOD), GOOD)


@pytest.mark.parametrize("twice", [False, True])
def test_a_packed_file_stays_packed(data: InputsNamespace, server: Any, reply: Any, twice: bool) -> None:
    """Servers call ``q.csv.gz`` a ``q.csv`` that is packed; some pack it once more."""
    import gzip

    file = gzip.compress(GOOD)
    sent = reply(body=gzip.compress(file) if twice else file, headers={"Content-Encoding": "gzip"}, drip=(7, 0.0))
    assert _fetch(data, server.on("/q.csv.gz", sent)).path.read_bytes() == file


# ── in a row ─────────────────────────────────────────────────────────────────────────────────────────


def test_each_failure_in_a_row_waits_longer(data: InputsNamespace, server: Any, reply: Any) -> None:
    uri = server.on("/q.csv", reply(503, b""))
    waits = []
    for _ in range(3):
        before = _now()
        with pytest.raises(DownloadFailed):
            _fetch(data, uri, retry_now=True)
        waits.append(round((_last(data)["next_retry"] - before).total_seconds() / 60))
    assert waits == [1, 2, 4]
    with hmp_cache.open(data.workspace) as other, pytest.raises(RetryLater, match="failed 3 times in a row"):
        _fetch(other, uri)


@pytest.mark.parametrize("refresh", [False, True])
def test_a_success_ends_the_row(data: InputsNamespace, server: Any, reply: Any, refresh: bool) -> None:
    """Also one that brings nothing new: a process that comes later does not wait for what has been answered."""
    good, bad = reply(body=GOOD, headers={"ETag": '"v1"'}), reply(503, b"")
    uri = server.on("/q.csv", *([good, bad, bad, good] if refresh else [bad, bad, good]))
    if refresh:
        _fetch(data, uri)
    with pytest.raises(DownloadFailed):
        _fetch(data, uri, refresh=refresh)
    _fetch(data, uri, refresh=refresh, retry_now=True)
    server.on("/q.csv", bad)
    with hmp_cache.open(data.workspace) as other, pytest.raises(DownloadFailed) as caught:
        _fetch(other, uri, refresh=True)
    assert not isinstance(caught.value, RetryLater)
    assert _last(data)["attempts"] == 1


def test_a_server_that_asks_for_a_long_wait_gets_it(data: InputsNamespace, server: Any, reply: Any) -> None:
    before = _now()
    with pytest.raises(DownloadFailed):
        _fetch(data, server.on("/q.csv", reply(503, b"", {"Retry-After": "7200"})))
    assert _last(data)["next_retry"] - before >= timedelta(hours=2)


def test_other_inputs_are_asked_for(data: InputsNamespace, server: Any, reply: Any) -> None:
    with pytest.raises(DownloadFailed):
        _fetch(data, server.on("/q.csv", reply(404, b"")))
    assert _fetch(data, server.on("/other.csv", reply(body=GOOD)), station="inlet").size == len(GOOD)


def test_what_is_no_data_waits_too(data: InputsNamespace, server: Any, reply: Any) -> None:
    backwards = GOOD.replace(b"2001-01-09", b"2000-01-09")
    uri = server.on("/q.csv", reply(body=backwards))
    with pytest.raises(ValidationFailed):
        _fetch(data, uri)
    row = _last(data)
    assert (row["error_type"], row["attempts"]) == ("validation", 1)
    assert row["next_retry"] - _now() > timedelta(hours=23)
    with hmp_cache.open(data.workspace) as other:
        for each in (data, other):
            with pytest.raises(RetryLater) as caught:
                _fetch(each, uri)
            assert caught.value.reason == "validation"


def test_a_file_of_ones_own_is_never_waited_for(data: InputsNamespace, write: Callable[..., Path]) -> None:
    with pytest.raises(ValidationFailed):
        data.add(write(content=GOOD.replace(b"2001-01-09", b"2000-01-09")), variable="discharge", station="outlet")
    assert _last(data)["next_retry"] is None
    assert data.add(write(content=GOOD), variable="discharge", station="outlet").size == len(GOOD)


def test_a_server_that_is_not_there(data: InputsNamespace) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with pytest.raises(DownloadFailed) as caught:
        _fetch(data, f"http://127.0.0.1:{port}/q.csv")
    assert (caught.value.reason, _last(data)["error_type"]) == ("network", "network")


# ── on the disk ──────────────────────────────────────────────────────────────────────────────────────


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[40] ^= 1
    path.write_bytes(content)


def _replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(GOOD.replace(b"9.25", b"8.25"))
    os.replace(other, path)


@pytest.mark.parametrize("harm", [_truncate, _flip, _replace, Path.unlink])
def test_a_kept_file_that_was_harmed_is_not_served(
    data: InputsNamespace, server: Any, reply: Any, harm: Callable[[Path], None]
) -> None:
    uri = server.on("/q.csv", reply(body=GOOD))
    entry = _fetch(data, uri)
    harm(entry.path)
    assert data.check()[0].state in {"modified", "missing"}
    assert _fetch(data, uri).path.read_bytes() == GOOD
    assert len(server.asked) == 2


def test_a_flipped_bit_that_left_no_trace_is_found_by_reading_all(
    data: InputsNamespace, server: Any, reply: Any
) -> None:
    uri = server.on("/q.csv", reply(body=GOOD))
    entry = _fetch(data, uri)
    seen = entry.path.stat()
    with entry.path.open("r+b") as file:
        file.seek(40)
        file.write(b"7")
    os.utime(entry.path, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    assert _fetch(data, uri).path.read_bytes() != GOOD  # size, time and inode are what they were
    assert _fetch(data, uri, verify="full").path.read_bytes() == GOOD


def test_a_full_disk(server: Any, reply: Any) -> None:
    big = GOOD + b"".join(b"2001-02-01T%02d:%02d:%02d,1\n" % (n // 3600, n // 60 % 60, n % 60) for n in range(86_400))
    uri = server.on("/q.csv", reply(body=big, announced=-1))
    with small_disk("24m") as disk, hmp_cache.open(disk / "node", create=True) as data:
        ballast = fill(disk, leaving=1_500_000)
        with pytest.raises(StorageError):
            _fetch(data, uri)
        assert _left(data) == []
        ballast.unlink()
        row = _last(data)
        assert row["error_type"] == "disk"
        assert row["next_retry"] > _now()
        assert data.find() == []
        with pytest.raises(RetryLater):
            _fetch(data, uri)
        assert _fetch(data, uri, retry_now=True).size == len(big)
