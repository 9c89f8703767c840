"""From a URI to a version of an input."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hmp_cache
from hmp_cache import DownloadFailed, InputsNamespace, Retry, ValidationFailed
from hmp_cache.addresses import file_name, scheme_of
from hmp_core.errors import BusyError, InvalidInput, PathNotFound, UnsupportedScheme
from hmp_core.identity import sha256_bytes

Write = Callable[..., Path]
HASTY = Retry(attempts=3, first=0.01, longest=0.02, stalled=2.0)
OTHER = b"time,discharge\n2001-01-01,1.4\n2001-01-02,1.3\n2001-01-03,9\n"


def _fetch(data: InputsNamespace, uri: str, **said: Any) -> hmp_cache.Entry:
    return data.fetch(uri, **({"variable": "discharge", "retry": HASTY} | said))


def _failures(data: InputsNamespace) -> list[tuple[str, str]]:
    return [(row["error_type"], row["message"]) for row in reversed(data.failures().to_pylist())]


def test_what_lies_under_a_uri_becomes_an_input(data: InputsNamespace, server: Any, reply: Any) -> None:
    uri = server.on("/a/q.csv", reply(headers={"ETag": '"v1"', "Content-Type": "text/csv"}))
    entry = _fetch(data, uri, station="outlet")
    assert entry.relative_path == "data/discharge/url/q.csv"
    assert (entry.uri, entry.is_custom, entry.source) == (uri, False, "url")
    assert data["q"] == entry
    row = data.sql("SELECT * FROM provenance").to_pylist()[0]
    assert (row["etag"], row["uri"]) == ('"v1"', uri)
    assert row["fetched_at"] is not None
    assert data.sql("SELECT artifact_type FROM artifacts").to_pylist() == [{"artifact_type": "download"}]


def test_what_is_there_is_not_asked_for_again(data: InputsNamespace, server: Any, reply: Any) -> None:
    uri = server.on("/q.csv", reply(), reply(body=OTHER))
    assert _fetch(data, uri) == _fetch(data, uri)
    assert len(server.asked) == 1


def test_another_door_of_the_workspace_has_it_too(data: InputsNamespace, server: Any, reply: Any) -> None:
    """Two projects of one workspace share one cache: what one has downloaded is a hit for the other."""
    uri = server.on("/q.csv", reply())
    entry = _fetch(data, uri, station="outlet")
    with hmp_cache.open(data.workspace) as other:
        assert _fetch(other, uri, station="outlet") == entry
    assert len(server.asked) == 1


def test_a_refresh_asks_whether_it_has_changed(data: InputsNamespace, server: Any, reply: Any) -> None:
    uri = server.on("/q.csv", reply(headers={"ETag": '"v1"'}))
    entry = _fetch(data, uri)
    assert _fetch(data, uri, refresh=True) == entry
    assert server.asked[1][1]["if-none-match"] == '"v1"'
    assert len(data.versions(entry)) == 1


def test_a_refresh_takes_what_has_changed(data: InputsNamespace, server: Any, reply: Any) -> None:
    uri = server.on("/q.csv", reply(headers={"ETag": '"v1"'}), reply(body=OTHER, headers={"ETag": '"v2"'}))
    first = _fetch(data, uri)
    second = _fetch(data, uri, refresh=True)
    assert second.id == first.id
    assert [v.size for v in data.versions(second)] == [len(OTHER), first.size]
    assert first.read_table().num_rows == 2


def test_the_newest_etag_is_the_condition(data: InputsNamespace, server: Any, reply: Any) -> None:
    uri = server.on("/q.csv", reply(headers={"ETag": '"v1"'}), reply(body=OTHER, headers={"ETag": '"v2"'}))
    for _ in range(3):
        _fetch(data, uri, refresh=True)
    assert server.asked[2][1]["if-none-match"] == '"v2"'


def test_a_server_without_conditions_sends_the_same_again(data: InputsNamespace, server: Any, reply: Any) -> None:
    uri = server.on("/q.csv", reply())
    assert _fetch(data, uri, refresh=True) == _fetch(data, uri, refresh=True)
    assert len(server.asked) == 2


@pytest.mark.parametrize("harm", ["remove", "change"])
def test_what_was_harmed_is_fetched_anew(data: InputsNamespace, server: Any, reply: Any, harm: str) -> None:
    uri = server.on("/q.csv", reply(headers={"ETag": '"v1"'}))
    entry = _fetch(data, uri)
    if harm == "remove":
        entry.path.unlink()
    else:
        entry.path.write_text("time,discharge\n2001-01-01,7\n")
    assert _fetch(data, uri) == entry
    assert "if-none-match" not in server.asked[1][1]
    assert data.check() == [entry]


def test_every_failed_attempt_is_on_record(data: InputsNamespace, server: Any, reply: Any) -> None:
    _fetch(data, server.on("/q.csv", reply(500, b""), reply(429, b""), reply()))
    assert [kind for kind, _ in _failures(data)] == ["http", "http"]
    assert [said[:3] for _, said in _failures(data)] == ["500", "429"]


def test_a_failure_says_what_where_and_when_again(data: InputsNamespace, server: Any, reply: Any) -> None:
    uri = server.on("/q.csv", reply(503, b""))
    with pytest.raises(DownloadFailed):
        _fetch(data, uri, variable="precipitation", source="era5")
    rows = data.failures().to_pylist()
    assert {(r["variable"], r["source"], r["source_ref"]) for r in rows} == {("precipitation", "era5", uri)}
    assert ['"wait":null' in r["request"] for r in rows] == [True, False, False]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"status": 404, "body": b"no"}, "http"),
        ({"body": b"time,disc", "announced": 900}, "truncated"),
        ({"body": b"<html>Sorry"}, "content"),
        ({"body": b""}, "content"),
    ],
)
def test_nothing_bad_is_ever_served(
    data: InputsNamespace, server: Any, reply: Any, bad: dict[str, Any], reason: str
) -> None:
    with pytest.raises(DownloadFailed) as caught:
        _fetch(data, server.on("/q.csv", reply(**bad)))
    assert caught.value.reason == reason
    assert {kind for kind, _ in _failures(data)} == {reason}
    assert data.find() == []
    assert list((data.workspace / "data" / ".incoming").iterdir()) == []


def test_a_bad_refresh_leaves_what_is_there(data: InputsNamespace, server: Any, reply: Any) -> None:
    uri = server.on("/q.csv", reply(), reply(body=b"<html>Sorry"))
    entry = _fetch(data, uri)
    with pytest.raises(DownloadFailed):
        _fetch(data, uri, refresh=True)
    assert data.check() == [entry]


def test_what_arrives_is_validated(data: InputsNamespace, server: Any, reply: Any) -> None:
    uri = server.on("/q.csv", reply(body=b"time,discharge\n2001-01-02,1\n2001-01-01,1\n"))
    with pytest.raises(ValidationFailed, match="backwards"):
        _fetch(data, uri)
    assert [kind for kind, _ in _failures(data)] == ["validation"]
    assert data.find() == []


def test_the_type_of_the_answer_gives_the_form(data: InputsNamespace, server: Any, reply: Any) -> None:
    uri = server.on("/api?station=7", reply(headers={"Content-Type": "text/csv; charset=utf-8"}))
    entry = _fetch(data, uri)
    assert entry.path.name == "api.csv"
    assert entry.read_table().num_rows == 2
    assert _fetch(data, uri, refresh=True) == entry


def test_without_a_place_the_uri_is_the_place(data: InputsNamespace, server: Any, reply: Any) -> None:
    one = _fetch(data, server.on("/2001/q.csv", reply()))
    two = _fetch(data, server.on("/2002/q.csv", reply(body=OTHER)))
    assert one.id != two.id
    assert one.path != two.path


def test_uris_that_differ_at_their_very_end_are_two_inputs(data: InputsNamespace, server: Any, reply: Any) -> None:
    for end in ("1.5", "1.7"):
        _fetch(data, server.on(f"/api?x={end}", reply(headers={"Content-Type": "text/csv"})))
    assert len(data.find()) == 2


def test_a_new_uri_for_the_same_place_is_a_new_version(data: InputsNamespace, server: Any, reply: Any) -> None:
    one = _fetch(data, server.on("/old/q.csv", reply()), station="outlet")
    two = _fetch(data, server.on("/new/q.csv", reply(body=OTHER)), station="outlet")
    assert one.id == two.id
    assert data["q"].uri == server.address + "/new/q.csv"


def test_the_license_of_the_server_is_kept_unless_one_is_given(data: InputsNamespace, server: Any, reply: Any) -> None:
    headers = {"Link": '<https://example.org/by>; rel="license"'}
    assert _fetch(data, server.on("/a.csv", reply(headers=headers))).license == "https://example.org/by"
    assert _fetch(data, server.on("/b.csv", reply(headers=headers)), license="CC0").license == "CC0"


def test_a_password_is_used_and_not_kept(data: InputsNamespace, server: Any, reply: Any) -> None:
    uri = server.on("/q.csv", reply()).replace("http://", "http://me:secret@")
    _fetch(data, uri)
    data.close()
    for path in data.workspace.rglob("*"):
        assert not path.is_file() or path.suffix == ".duckdb" or b"secret" not in path.read_bytes(), path


# ── file:// ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_file_is_fetched_too(data: InputsNamespace, write: Write) -> None:
    entry = _fetch(data, write().as_uri())
    assert entry.relative_path == "data/discharge/url/q.csv"
    assert entry.uri == write().as_uri()


def test_a_file_is_looked_at_again_on_refresh_only(data: InputsNamespace, write: Write) -> None:
    uri = write().as_uri()
    first = _fetch(data, uri)
    write(content=OTHER)
    assert _fetch(data, uri) == first
    assert _fetch(data, uri, refresh=True).size == len(OTHER)


def test_a_file_that_is_not_there(data: InputsNamespace, tmp_path: Path) -> None:
    with pytest.raises(PathNotFound, match="no such file"):
        _fetch(data, (tmp_path / "none.csv").as_uri())
    assert [kind for kind, _ in _failures(data)] == ["disk"]


# ── what is no URI ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("uri", ["s3://bucket/q.csv", "nowhere://host/q.csv", "gs://b/q", "local:///etc/passwd"])
def test_other_schemes_are_refused(data: InputsNamespace, uri: str) -> None:
    with pytest.raises(UnsupportedScheme, match=uri) as caught:
        _fetch(data, uri)
    assert caught.value.uri == uri
    assert _failures(data) == []


@pytest.mark.parametrize(
    "uri",
    ["q.csv", "/abs/q.csv", "", "http://", "https:///q.csv", "http://[::1", "http://h:99999/", "mailto:ada", None],
)
def test_what_is_no_uri(data: InputsNamespace, uri: Any) -> None:
    with pytest.raises((InvalidInput, UnsupportedScheme)):
        _fetch(data, uri)


def test_a_uri_that_cannot_be_asked(data: InputsNamespace) -> None:
    with pytest.raises(DownloadFailed, match="not an HTTP address") as caught:
        _fetch(data, "http://127.0.0.1/a\nb.csv")
    assert caught.value.attempts == 1


def test_names_of_files() -> None:
    assert file_name("https://example.org/a/b/d%C3%A9bit.csv?x=/y") == "débit.csv"
    assert scheme_of("HTTPS://example.org/q.csv") == "https"


# ── two at once ──────────────────────────────────────────────────────────────────────────────────────


def test_one_fetches_and_the_other_waits_for_it(data: InputsNamespace, server: Any, reply: Any) -> None:
    uri = server.on("/q.csv", reply(500, b""), reply())
    found: list[hmp_cache.Entry] = []
    patient = Retry(attempts=2, first=0.3, stalled=5)
    ways = [threading.Thread(target=lambda: found.append(_fetch(data, uri, retry=patient))) for _ in range(2)]
    for way in ways:
        way.start()
    for way in ways:
        way.join()
    assert found[0] == found[1]
    assert len(server.asked) == 2


def test_waiting_for_another_fetch_has_an_end(data: InputsNamespace, server: Any, reply: Any) -> None:
    uri = server.on("/q.csv", reply(500, b""), reply())
    slow = threading.Thread(target=_fetch, args=(data, uri), kwargs={"retry": Retry(attempts=2, first=2.0)})
    slow.start()
    while not server.asked:
        pass
    with hmp_cache.open(data.workspace, timeout=0.2) as hurried, pytest.raises(BusyError, match="is in the hands of"):
        _fetch(hurried, uri)
    slow.join()


# ── the same bytes again ─────────────────────────────────────────────────────────────────────────────


def _etags(data: InputsNamespace) -> list[str | None]:
    found: list[str | None] = data.sql("SELECT etag FROM provenance ORDER BY recorded_at").column(0).to_pylist()
    return found


def test_the_same_bytes_by_another_name_are_recorded(data: InputsNamespace, server: Any, reply: Any) -> None:
    """So the refresh after it is answered with 304, also in a process that comes later, and from the sidecars alone."""
    one, two = reply(headers={"ETag": '"v1"'}), reply(headers={"ETag": '"v2"'})
    uri = server.on("/q.csv", one, two)
    entry = _fetch(data, uri)
    assert _fetch(data, uri, refresh=True) == entry
    assert _etags(data) == ['"v1"', '"v2"']
    assert data.rebuild().rejected == 0
    with hmp_cache.open(data.workspace) as other:
        assert _fetch(other, uri, refresh=True) == entry
        assert server.asked[-1][1]["if-none-match"] == '"v2"'
        assert _etags(other) == ['"v1"', '"v2"']
        assert len(other.versions(entry)) == 1
        assert other.find() == [entry]


def test_what_says_nothing_new_is_not_recorded(data: InputsNamespace, server: Any, reply: Any) -> None:
    uri = server.on("/q.csv", reply(headers={"Last-Modified": "Mon, 01 Jan 2001 00:00:00 GMT"}))
    for _ in range(3):
        _fetch(data, uri, refresh=True)
    assert len(_etags(data)) == 1


def test_the_same_bytes_from_another_address_are_a_hit_there(data: InputsNamespace, server: Any, reply: Any) -> None:
    old, new = (server.on(f"/{place}/q.csv", reply()) for place in ("old", "new"))
    _fetch(data, old, station="outlet")
    for _ in range(2):
        entry = _fetch(data, new, station="outlet")
    assert [path for path, _ in server.asked] == ["/old/q.csv", "/new/q.csv"]
    assert data["q"].uri == new
    assert len(data.versions(entry)) == 1


@pytest.mark.parametrize("sha256", ["", "12", "g" * 64, 7])
def test_what_is_no_hash(data: InputsNamespace, server: Any, reply: Any, sha256: Any) -> None:
    with pytest.raises(InvalidInput, match="64 hexadecimal"):
        _fetch(data, server.on("/q.csv", reply()), sha256=sha256)
    assert server.asked == []


def test_another_hash_than_that_of_what_is_there_is_fetched(data: InputsNamespace, server: Any, reply: Any) -> None:
    uri = server.on("/q.csv", reply(headers={"ETag": '"v1"'}), reply(body=OTHER, headers={"ETag": '"v2"'}))
    _fetch(data, uri)
    assert _fetch(data, uri, sha256=sha256_bytes(OTHER)).size == len(OTHER)
    assert "if-none-match" not in server.asked[1][1]


def test_a_file_of_ones_own_with_another_hash(data: InputsNamespace, write: Write) -> None:
    with pytest.raises(DownloadFailed) as caught:
        _fetch(data, write().as_uri(), sha256="0" * 64)
    assert caught.value.reason == "content"
    assert data.find() == []
