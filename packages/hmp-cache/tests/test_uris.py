"""Whatever fsspec opens beside the web."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from typing import Any

import fsspec
import pytest

import hmp_cache
from hmp_cache import DownloadFailed, InputsNamespace, Retry, RetryLater, ValidationFailed
from hmp_core.errors import UnsupportedScheme
from hmp_core.identity import sha256_bytes

GOOD = b"time,discharge\n2001-01-01,1.4\n2001-01-02,1.3\n"
HASTY = Retry(attempts=2, first=0.01)


@pytest.fixture
def memory() -> Iterator[Any]:
    found = fsspec.filesystem("memory")
    found.store.clear()
    yield found
    found.store.clear()


def _fetch(data: InputsNamespace, uri: str, **said: Any) -> hmp_cache.Entry:
    return data.fetch(uri, **({"variable": "discharge", "retry": HASTY} | said))


def test_what_lies_there_becomes_an_input(data: InputsNamespace, memory: Any) -> None:
    memory.pipe("/a/q.csv", GOOD)
    entry = _fetch(data, "memory://a/q.csv", station="outlet")
    assert (entry.path.read_bytes(), entry.uri, entry.name) == (GOOD, "memory://a/q.csv", "q")
    memory.rm("/a/q.csv")
    assert _fetch(data, "memory://a/q.csv", station="outlet") == entry


def test_a_refresh_looks_again(data: InputsNamespace, memory: Any) -> None:
    memory.pipe("/q.csv", GOOD)
    first = _fetch(data, "memory://q.csv")
    memory.pipe("/q.csv", GOOD + b"2001-01-03,1\n")
    assert _fetch(data, "memory://q.csv", refresh=True).id == first.id
    assert len(data.versions(first)) == 2


def test_a_file_in_an_archive(data: InputsNamespace, memory: Any) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("in/q.csv", GOOD)
    memory.pipe("/all.zip", packed.getvalue())
    entry = _fetch(data, "zip://in/q.csv::memory://all.zip")
    assert entry.sha256 == sha256_bytes(GOOD)
    with pytest.raises(DownloadFailed) as caught:
        _fetch(data, "zip://in/none.csv::memory://all.zip")
    assert caught.value.reason == "http"


@pytest.mark.parametrize(
    ("content", "reason"), [(b"", "content"), (b"<html>Sorry", "content"), (b"PK\x03\x04\x00", "content")]
)
def test_the_same_is_looked_at(data: InputsNamespace, memory: Any, content: bytes, reason: str) -> None:
    memory.pipe("/q.csv", content)
    with pytest.raises(DownloadFailed) as caught:
        _fetch(data, "memory://q.csv")
    assert caught.value.reason == reason
    assert data.find() == []
    assert data.failures().to_pylist()[0]["error_type"] == reason


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # what fsspec half made says so
def test_an_address_that_names_no_host(data: InputsNamespace) -> None:
    with pytest.raises(DownloadFailed, match="host"):
        data.fetch("ftp://", variable="discharge", retry=Retry(attempts=1))
    assert data.failures()["error_type"].to_pylist() == ["http"]


def test_what_is_not_there_is_waited_after(data: InputsNamespace, memory: Any) -> None:
    with pytest.raises(DownloadFailed, match="FileNotFoundError") as caught:
        _fetch(data, "memory://none.csv")
    assert (caught.value.reason, caught.value.attempts) == ("http", 1)
    memory.pipe("/none.csv", GOOD)
    with pytest.raises(RetryLater):
        _fetch(data, "memory://none.csv")
    assert _fetch(data, "memory://none.csv", retry_now=True).size == len(GOOD)


def test_the_hash_that_is_known(data: InputsNamespace, memory: Any) -> None:
    memory.pipe("/q.csv", GOOD)
    with pytest.raises(DownloadFailed, match="as was asked for"):
        _fetch(data, "memory://q.csv", sha256="0" * 64)
    assert _fetch(data, "memory://q.csv", sha256=sha256_bytes(GOOD), retry_now=True).size == len(GOOD)


def test_a_shorter_file_than_it_was_said_to_be(
    data: InputsNamespace, memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.pipe("/q.csv", GOOD)
    told = type(memory).info
    monkeypatch.setattr(type(memory), "info", lambda self, path, **_: told(self, path) | {"size": 900})
    with pytest.raises(DownloadFailed) as caught:
        _fetch(data, "memory://q.csv")
    assert (caught.value.reason, caught.value.attempts) == ("truncated", 2)


def test_a_store_that_names_what_it_holds_says_that_nothing_has_changed(
    data: InputsNamespace, memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.pipe("/q.csv", GOOD)
    told = type(memory).info
    monkeypatch.setattr(type(memory), "info", lambda self, path, **_: told(self, path) | {"ETag": '"v1"'})
    entry = _fetch(data, "memory://q.csv")
    monkeypatch.setattr(type(memory), "open", lambda *_, **__: pytest.fail("it was read"))
    assert _fetch(data, "memory://q.csv", refresh=True) == entry


def test_what_arrives_is_validated(data: InputsNamespace, memory: Any) -> None:
    memory.pipe("/q.csv", b"time,discharge\n2001-01-02,1\n2001-01-01,1\n")
    with pytest.raises(ValidationFailed):
        _fetch(data, "memory://q.csv")


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("nowhere://h/q.csv", "nobody here opens nowhere://"),
        ("gs://b/q.csv", "install|needs a package"),
        ("zip://q.csv::nowhere://x.zip", "nobody here opens nowhere://"),
        ("simplecache::memory://q.csv", "nobody here opens simplecache://"),
        ("reference://x", "nobody here opens reference://"),
    ],
)
def test_what_nobody_opens(data: InputsNamespace, uri: str, told: str) -> None:
    with pytest.raises(UnsupportedScheme, match=f"(?i){told}"):
        _fetch(data, uri)
    assert data.failures().num_rows == 0
