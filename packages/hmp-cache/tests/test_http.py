"""Downloading over HTTP, against a real server on loopback."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hmp_cache import DownloadFailed, http
from hmp_cache.http import Failure, public
from hmp_cache.retries import Retry
from hmp_core.identity import sha256_bytes

BODY = b"time,discharge\n2001-01-01,1.4\n" * 20_000
HASTY = Retry(attempts=3, first=0.01, longest=0.02, stalled=2.0)


class Sink:
    """What a download was told and given."""

    def __init__(self) -> None:
        self.content = b""
        self.failures: list[Failure] = []

    def restart(self) -> None:
        self.content = b""

    def take(self, block: bytes) -> None:
        self.content += block

    def get(self, uri: str, retry: Retry = HASTY, **conditions: Any) -> http.Answer:
        return http.download(uri, self.take, self.restart, retry=retry, failed=self.failures.append, **conditions)


@pytest.fixture
def sink() -> Sink:
    return Sink()


# ── what comes ───────────────────────────────────────────────────────────────────────────────────────


def test_a_body_is_hashed_on_the_way(server: Any, reply: Any, sink: Sink) -> None:
    answer = sink.get(server.on("/q.csv", reply(body=BODY)))
    assert sink.content == BODY
    assert (answer.sha256, answer.size, answer.status) == (sha256_bytes(BODY), len(BODY), 200)
    assert sink.failures == []


def test_what_the_server_says_is_kept(server: Any, reply: Any, sink: Sink) -> None:
    headers = {
        "ETag": '"v1"',
        "Last-Modified": "Mon, 01 Jan 2001 00:00:00 GMT",
        "Content-Type": "text/csv",
        "Link": '<https://creativecommons.org/licenses/by/4.0/>; rel="license"',
    }
    answer = sink.get(server.on("/q.csv", reply(headers=headers)))
    assert (answer.etag, answer.last_modified) == ('"v1"', "Mon, 01 Jan 2001 00:00:00 GMT")
    assert (answer.content_type, answer.license) == ("text/csv", "https://creativecommons.org/licenses/by/4.0/")


def test_the_file_itself_is_asked_for_not_a_compressed_form(server: Any, reply: Any, sink: Sink) -> None:
    sink.get(server.on("/q.csv", reply()))
    assert server.asked[0][1]["accept-encoding"] == "identity"
    assert server.asked[0][1]["user-agent"].startswith("hmp-cache/")


def test_redirects_are_followed(server: Any, reply: Any, sink: Sink) -> None:
    server.on("/new.csv", reply(body=b"moved"))
    answer = sink.get(server.on("/old.csv", reply(302, b"", {"Location": "/new.csv"})))
    assert sink.content == b"moved"
    assert answer.uri == server.address + "/new.csv"


def test_without_a_length_the_end_of_the_connection_is_the_end(server: Any, reply: Any, sink: Sink) -> None:
    sink.get(server.on("/q.csv", reply(body=BODY, announced=-1)))
    assert sink.content == BODY


def test_what_has_not_changed_is_not_sent(server: Any, reply: Any, sink: Sink) -> None:
    uri = server.on("/q.csv", reply(headers={"ETag": '"v1"'}))
    answer = sink.get(uri, etag='"v1"', last_modified="Mon, 01 Jan 2001 00:00:00 GMT")
    assert answer.unchanged
    assert sink.content == b""
    assert "if-modified-since" not in server.asked[0][1]


def test_without_an_etag_the_date_is_the_condition(server: Any, reply: Any, sink: Sink) -> None:
    sink.get(server.on("/q.csv", reply()), last_modified="Mon, 01 Jan 2001 00:00:00 GMT")
    assert server.asked[0][1]["if-modified-since"] == "Mon, 01 Jan 2001 00:00:00 GMT"


# ── what is tried again ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again(server: Any, reply: Any, sink: Sink, status: int) -> None:
    sink.get(server.on("/q.csv", reply(status, b"later"), reply(body=BODY)))
    assert sink.content == BODY
    assert [(f.reason, f.status, f.attempt) for f in sink.failures] == [("http", status, 1)]


def test_the_server_says_how_long_to_wait(server: Any, reply: Any, sink: Sink) -> None:
    sink.get(server.on("/q.csv", reply(429, b"", {"Retry-After": "1"}), reply()))
    assert sink.failures[0].wait == 1.0


def test_a_server_that_asks_for_too_long_is_left_alone(server: Any, reply: Any, sink: Sink) -> None:
    uri = server.on("/q.csv", reply(429, b"", {"Retry-After": "3600"}))
    with pytest.raises(DownloadFailed, match="asks to wait 3600 s, which is more than 120 s") as caught:
        sink.get(uri)
    assert (caught.value.status, caught.value.attempts) == (429, 1)


def test_a_body_that_breaks_off_is_taken_from_the_start_again(server: Any, reply: Any, sink: Sink) -> None:
    short = reply(body=BODY[:1000], announced=len(BODY))
    sink.get(server.on("/q.csv", short, reply(body=BODY)))
    assert sink.content == BODY
    assert [f.reason for f in sink.failures] == ["truncated"]


def test_what_keeps_failing_is_given_up(server: Any, reply: Any, sink: Sink) -> None:
    with pytest.raises(DownloadFailed, match="nothing usable after 3 attempts: 500") as caught:
        sink.get(server.on("/q.csv", reply(500, b"oh")))
    assert [f.attempt for f in sink.failures] == [1, 2, 3]
    assert [f.wait is None for f in sink.failures] == [False, False, True]
    assert (caught.value.reason, caught.value.status, caught.value.attempts) == ("http", 500, 3)


def test_a_transfer_that_stalls_is_given_up(server: Any, sink: Sink) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}/q.csv"
        with pytest.raises(DownloadFailed, match="no answer in time") as caught:
            sink.get(uri, Retry(attempts=1, stalled=0.2))
    assert caught.value.reason == "network"


@pytest.fixture
def dripping() -> Iterator[Callable[[bytes, bytes], str]]:
    """Gives the address of a server that answers with its first words, then again and again with the others."""
    stop = threading.Event()

    def answer(listener: socket.socket, first: bytes, again: bytes) -> None:
        while not stop.is_set():
            with contextlib.suppress(OSError):
                connection = listener.accept()[0]
                with connection:
                    connection.recv(4096)
                    connection.sendall(first)
                    while not stop.wait(0.1):
                        connection.sendall(again)

    with contextlib.ExitStack() as stack:

        def serve(first: bytes, again: bytes) -> str:
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            listener.settimeout(0.5)
            thread = threading.Thread(target=answer, args=(listener, first, again))
            thread.start()
            stack.callback(thread.join)
            return f"http://127.0.0.1:{listener.getsockname()[1]}/q.csv"

        yield serve
        stop.set()


def test_a_head_that_drips_is_given_up(dripping: Any, sink: Sink) -> None:
    """Each of its lines is in time."""
    uri, began = dripping(b"HTTP/1.1 200 OK\r\n", b"X-More: 1\r\n"), time.monotonic()
    with pytest.raises(DownloadFailed) as caught:
        sink.get(uri, Retry(attempts=2, first=0.01, stalled=0.3))
    assert (caught.value.reason, caught.value.attempts) == ("network", 2)
    assert 2.4 <= time.monotonic() - began < 6


def test_a_reason_that_drips_is_not_waited_for(dripping: Any, sink: Sink) -> None:
    head = b"HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
    uri, began = dripping(head, b" "), time.monotonic()
    with pytest.raises(DownloadFailed) as caught:
        sink.get(uri, Retry(attempts=1, stalled=0.5))
    assert (caught.value.reason, caught.value.status) == ("http", 404)
    assert time.monotonic() - began < 5


def test_a_body_may_take_longer_than_its_head(dripping: Any, sink: Sink) -> None:
    line = b"2001-01-01,1.4\n" * 20
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nContent-Length: {len(line) * 15}\r\n\r\n".encode()
    assert sink.get(dripping(head, line), Retry(attempts=1, stalled=0.3)).size == len(line) * 15


def test_a_head_that_drips_on_a_connection_that_was_kept_is_given_up(sink: Sink) -> None:
    asked = []

    def answer(listener: socket.socket) -> None:
        connection = listener.accept()[0]
        with connection, contextlib.suppress(OSError):
            asked.append(connection.recv(4096))
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\na,b\n")
            asked.append(connection.recv(4096))
            connection.sendall(b"HTTP/1.1 200 OK\r\n")
            for _ in range(60):
                time.sleep(0.1)
                connection.sendall(b"X-More: 1\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer, args=(listener,))
        thread.start()
        uri = f"http://127.0.0.1:{listener.getsockname()[1]}/q.csv"
        assert sink.get(uri, Retry(attempts=1, stalled=0.3)).size == 4
        began = time.monotonic()
        with pytest.raises(DownloadFailed, match="no answer in time"):
            sink.get(uri, Retry(attempts=1, stalled=0.3))
        assert time.monotonic() - began < 4
        thread.join()
    assert [request[:10] for request in asked] == [b"GET /q.csv"] * 2


def test_a_server_that_is_not_there(sink: Sink) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with pytest.raises(DownloadFailed, match="ConnectError") as caught:
        sink.get(f"http://127.0.0.1:{port}/q.csv", Retry(attempts=2, first=0.01))
    assert caught.value.reason == "network"
    assert len(sink.failures) == 2


# ── what is not ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 418])
def test_what_will_not_pass_is_asked_once(server: Any, reply: Any, sink: Sink, status: int) -> None:
    with pytest.raises(DownloadFailed) as caught:
        sink.get(server.on("/q.csv", reply(status, b"no")))
    assert len(server.asked) == 1
    assert caught.value.status == status


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"<!DOCTYPE html><html><head><title>Maintenance</title>", "text/csv"),
        (b"<html><title>Maintenance</title>", "application/octet-stream"),
        (b"please log in <title>Maintenance</title>", "text/html; charset=utf-8"),
    ],
)
def test_a_web_page_is_no_data(server: Any, reply: Any, sink: Sink, body: bytes, kind: str) -> None:
    with pytest.raises(DownloadFailed, match="a web page \\('Maintenance'\\) in place of data") as caught:
        sink.get(server.on("/q.csv", reply(body=body, headers={"Content-Type": kind})))
    assert caught.value.reason == "content"
    assert len(server.asked) == 1


@pytest.mark.parametrize("kind", ["image/png", "application/json; charset=utf-8", "text/xml", "application/pdf"])
def test_a_table_that_is_called_something_else_is_no_data(server: Any, reply: Any, sink: Sink, kind: str) -> None:
    with pytest.raises(DownloadFailed, match=f"200 with {kind.partition(';')[0]} in place of data"):
        sink.get(server.on("/q.csv", reply(body=BODY, headers={"Content-Type": kind})))


@pytest.mark.parametrize("kind", ["text/plain", "application/octet-stream", "application/vnd.ms-excel", "text/csv"])
def test_a_table_that_is_called_what_servers_call_tables(server: Any, reply: Any, sink: Sink, kind: str) -> None:
    sink.get(server.on("/q.csv", reply(body=BODY, headers={"Content-Type": kind})))
    assert sink.content == BODY


def test_a_web_page_that_is_asked_for_is_data(server: Any, reply: Any, sink: Sink) -> None:
    sink.get(server.on("/page.html", reply(body=b"<html>", headers={"Content-Type": "text/html"})))
    assert sink.content == b"<html>"


@pytest.mark.parametrize("status", [204, 206, 304])
def test_what_is_not_the_whole_is_no_data(server: Any, reply: Any, sink: Sink, status: int) -> None:
    with pytest.raises(DownloadFailed) as caught:
        sink.get(server.on("/q.csv", reply(status, b"" if status != 206 else b"part")))
    assert caught.value.reason == "content"


def test_a_service_may_answer_a_page_with_206(server: Any, reply: Any, sink: Sink) -> None:
    answer = sink.get(server.on("/q.json", reply(206, b"[1]")), also=(206,))
    assert (answer.status, sink.content) == (206, b"[1]")


def test_a_service_may_say_that_there_is_nothing(server: Any, reply: Any, sink: Sink) -> None:
    answer = sink.get(server.on("/q.json", reply(404, b"<html>no sites found</html>")), also=(404,))
    assert (answer.status, sink.content, sink.failures) == (404, b"", [])


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"error":true,"reason":"Latitude must be\\n in range"}', " ('Latitude must be in range')"),
        (b'{"code": "ValidatorError", "message": "size must be \\"small\\""}', " ('size must be \"small\"')"),
        (b'{"message": "lone \\ud800"}', " ('lone ?')"),
        (b'{"message": "\\x"}', " ('\\\\x')"),
        (b'{"reason": 7}', ""),
        (b"<html>no</html>", ""),
        (b"", ""),
    ],
)
def test_the_reason_of_a_service_is_passed_on(server: Any, reply: Any, sink: Sink, body: bytes, said: str) -> None:
    with pytest.raises(DownloadFailed) as caught:
        sink.get(server.on("/q.json", reply(400, body, {"Content-Type": "application/json"})))
    assert str(caught.value).endswith(f"400 Bad Request{said}")


def test_a_service_that_repeats_the_key_is_not_passed_on_with_it(server: Any, reply: Any, sink: Sink) -> None:
    """What failed goes into a log that many read."""
    body = b'{"error": "no such key: K3y/4711; me:pa55word@here"}'
    uri = server.on("/q.json?api_key=K3y%2F4711", reply(403, body, {"Content-Type": "application/json"}))
    with pytest.raises(DownloadFailed) as caught:
        sink.get(uri.replace("://", "://me:pa55word@"))
    told = f"{caught.value} {sink.failures}"
    assert "no such key: ...; me:...@here" in told
    assert "4711" not in told
    assert "pa55word" not in told


def test_a_refusal_whose_body_breaks_off_is_still_that_refusal(server: Any, reply: Any, sink: Sink) -> None:
    cut = reply(404, b"", {"Content-Type": "application/json"}, announced=100)
    with pytest.raises(DownloadFailed, match="404 Not Found"):
        sink.get(server.on("/q.json", cut))


def test_an_empty_body_is_no_data(server: Any, reply: Any, sink: Sink) -> None:
    with pytest.raises(DownloadFailed, match="empty body"):
        sink.get(server.on("/q.csv", reply(body=b"")))


def test_a_redirect_that_never_ends(server: Any, reply: Any, sink: Sink) -> None:
    with pytest.raises(DownloadFailed, match="redirects") as caught:
        sink.get(server.on("/q.csv", reply(302, b"", {"Location": "/q.csv"})))
    assert caught.value.reason == "http"
    assert caught.value.attempts == 1


def test_a_redirect_to_elsewhere_than_the_web(server: Any, reply: Any, sink: Sink) -> None:
    with pytest.raises(DownloadFailed):
        sink.get(server.on("/q.csv", reply(302, b"", {"Location": "file:///etc/passwd"})))
    assert sink.content == b""


def test_an_error_of_the_disk_is_not_one_of_the_network(server: Any, reply: Any) -> None:
    def full(block: bytes) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        http.download(server.on("/q.csv", reply()), full, lambda: None, retry=HASTY, failed=lambda f: None)


def test_a_password_is_not_kept(server: Any, reply: Any, sink: Sink) -> None:
    uri = server.on("/q.csv", reply(404, b"")).replace("http://", "http://me:secret@")
    with pytest.raises(DownloadFailed) as caught:
        sink.get(uri)
    assert "secret" not in str(caught.value) + caught.value.uri
    assert public(uri) == server.address + "/q.csv"
    assert server.asked[0][1]["authorization"].startswith("Basic ")


@pytest.mark.parametrize("name", ["apikey", "api_key", "APIKEY", "token", "access_token", "X-Amz-Signature"])
def test_an_api_key_is_not_kept(server: Any, reply: Any, sink: Sink, name: str) -> None:
    uri = server.on(f"/q.csv?station=K1&{name}=s3cret&year=2001", reply())
    answer = sink.get(uri)
    assert answer.uri == f"{server.address}/q.csv?station=K1&{name}=...&year=2001"


def test_what_only_looks_like_a_key_is_kept() -> None:
    assert public("https://example.org/q?monkey=1&key=discharge") == "https://example.org/q?monkey=1&key=discharge"
