"""Downloading over HTTP: one pool of connections, attempts where they may help, the rest of what broke off.

Nothing but complete data leaves this room (see `hmp_cache.transfer`), and every attempt that failed is told to the
caller with its reason.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hmp_cache.addresses import host_of, public, without_secrets
from hmp_cache.attempts import until_whole
from hmp_cache.deadlines import watched, within
from hmp_cache.hosts import HostTurns
from hmp_cache.refusals import reason_in
from hmp_cache.retries import Retry, retry_after
from hmp_cache.transfer import CONTENT, HTTP, NETWORK, TRUNCATED, Answer, Failure, Head, Kept, Refused, Transfer

if TYPE_CHECKING:
    import httpx

__all__ = ["Answer", "Failure", "download", "public"]

_HEAD = 1024
#: How many times as long as a read the whole head of an answer may take.
_HEADS = 4
#: Answers that another try may change (RFC 9110, RFC 6585).
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})


def download(
    uri: str,
    write: Callable[[bytes], None],
    restart: Callable[[], None],
    *,
    etag: str | None = None,
    last_modified: str | None = None,
    sha256: str | None = None,
    retry: Retry | None = None,
    failed: Callable[[Failure], None],
    also: Collection[int] = (),
    kept: Kept | None = None,
    advance: Callable[[int, int | None], None] | None = None,
    turns: HostTurns | None = None,
) -> Answer:
    """Fetch a URI.

    Parameters
    ----------
    uri
        ``http://`` or ``https://``.
    write, restart
        Take the next bytes; forget all bytes so far, because the transfer begins anew.
    etag, last_modified
        Of what is there already: the server then answers 304 if it is still current.
    sha256
        What the data are known to be.
    failed
        Told of each attempt that failed, before the wait.
    also
        Statuses that are an answer of this service, beside 200: 206 where it stands for a page of many and its body is
        complete (Hub'Eau), any other, as 404, where it says that there is nothing: its body is not read.
    kept
        Where bytes stay for another process, if the transfer breaks off.
    advance
        Told how many bytes are there, and of how many.
    turns
        Who may ask a host when; by default four at once of this process.

    Raises
    ------
    DownloadFailed
        If no attempt brought complete data; ``reason`` is that of the last.
    BusyError
        If the host gave no turn for long.
    """
    policy = retry or Retry()
    conditions = {"If-None-Match": etag} if etag else {"If-Modified-Since": last_modified} if last_modified else {}
    transfer = Transfer(uri, write, restart, sha256=sha256, kept=kept, advance=advance)
    question = _Question(uri, conditions, transfer, policy, frozenset({200, *also}), turns or _turns)
    return until_whole(uri, transfer, question.ask, policy, failed)


# ── one attempt ──────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Question:
    """What is asked of a server, as often as it takes."""

    uri: str
    conditions: dict[str, str]
    transfer: Transfer
    policy: Retry
    accepted: frozenset[int]
    turns: HostTurns

    def ask(self) -> Answer:
        """Return a complete answer to one attempt.

        Raises
        ------
        Refused
            For anything else; the exceptions of the HTTP library end here.
        """
        host = host_of(self.uri) or ""
        with _translated(), self.turns.turn(host):
            try:
                return self._whole_or_rest()
            except Refused as refused:
                if refused.asked and refused.asked <= self.policy.patience:
                    self.turns.pause(host, refused.asked)
                raise

    def _whole_or_rest(self) -> Answer:
        """Ask for the rest where bytes are there; if the server does not go on with them, for all."""
        rest = self.transfer.rest
        with self._stream(rest or self.conditions) as response:
            head = _head(response)
            if not rest or not self._is_elsewhere(head):
                return self._received(response, head, conditional=bool(self.conditions) and not rest)
        self.transfer.forget()
        with self._stream({}) as response:
            return self._received(response, _head(response), conditional=False)

    def _is_elsewhere(self, head: Head) -> bool:
        """Return whether an answer to the question for the rest does not fit what is there."""
        version, held = self.transfer.version, self.transfer.size
        return head.status == 416 or (head.status == 206 and not (version and version.goes_on(head, held)))

    def _received(self, response: httpx.Response, head: Head, *, conditional: bool) -> Answer:
        resumed = bool(self.transfer.rest) and head.status == 206
        if head.status == 304 and conditional:
            return _answer(response, head, "", 0)
        if head.status not in self.accepted and not resumed:
            with within(self.policy.stalled):
                raise _unusable(response, head, self.uri)
        if head.status not in {200, 206}:
            return _answer(response, head, "", 0)
        self.transfer.receive(head, response.iter_raw(), self.policy)
        return _answer(response, head, self.transfer.sha256, self.transfer.size)

    def _stream(self, headers: dict[str, str]) -> AbstractContextManager[httpx.Response]:
        import httpx

        stalled = self.policy.stalled
        timeout = httpx.Timeout(stalled, connect=min(stalled, 10.0))
        return _reached(
            lambda: _shared().stream("GET", self.uri, headers=headers, timeout=timeout, extensions={"trace": watched}),
            _HEADS * stalled,
        )


@contextlib.contextmanager
def _reached(ask: Callable[[], AbstractContextManager[httpx.Response]], longest: float) -> Iterator[httpx.Response]:
    """Ask once more where a connection that was kept open turns out to be closed by the server.

    Until the head of an answer is there, redirects and all, ``longest`` seconds may pass.
    """
    import httpx

    with contextlib.ExitStack() as stack:
        with within(longest):
            try:
                response = stack.enter_context(ask())
            except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
                response = stack.enter_context(ask())
        yield response


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    import httpx

    try:
        yield
    except httpx.RemoteProtocolError as error:
        raise Refused(TRUNCATED, f"the transfer broke off: {error}") from error
    except httpx.TooManyRedirects as error:
        raise Refused(HTTP, f"{error}", transient=False) from error
    except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
        raise Refused(HTTP, f"not an HTTP address: {error}", transient=False) from error
    except httpx.TimeoutException as error:
        raise Refused(NETWORK, f"no answer in time ({type(error).__name__})") from error
    except httpx.HTTPError as error:
        raise Refused(NETWORK, f"{type(error).__name__}: {error}") from error


def _head(response: httpx.Response) -> Head:
    return Head(response.status_code, response.headers, public(str(response.url)))


def _unusable(response: httpx.Response, head: Head, uri: str) -> Refused:
    words = without_secrets(f"{head.status} {response.reason_phrase}".strip(), uri)
    if head.status in {204, 205, 206, 304}:
        return Refused(CONTENT, f"{words}: not the whole of the data", status=head.status)
    transient = head.status in _TRANSIENT
    asked = retry_after(response.headers.get("Retry-After")) if transient else None
    said = without_secrets(_reason(response), uri)
    return Refused(HTTP, f"{words} ({said!r})" if said else words, status=head.status, transient=transient, asked=asked)


def _reason(response: httpx.Response) -> str:
    """Return why the service refuses, if it says so in JSON."""
    import httpx

    if "json" not in response.headers.get("Content-Type", "").lower():
        return ""
    try:
        return reason_in(next(response.iter_bytes(_HEAD), b""))
    except httpx.HTTPError:  # the body breaks off: the status, which is what counts, is there
        return ""


def _answer(response: httpx.Response, head: Head, sha256: str, size: int) -> Answer:
    license_ = response.links.get("license")  # a Link header with that relation (RFC 8288)
    return Answer(
        status=head.status,
        uri=head.uri,
        sha256=sha256,
        size=size,
        etag=head.headers.get("ETag"),
        last_modified=head.headers.get("Last-Modified"),
        content_type=head.headers.get("Content-Type"),
        license=license_["url"] if license_ else None,
    )


# ── one pool of connections ──────────────────────────────────────────────────────────────────────────

_turns = HostTurns()
_client: httpx.Client | None = None
_making = threading.Lock()


def _shared() -> httpx.Client:
    """Return the client of this process: making one takes 20 ms and more, and a connection is used again."""
    global _client
    import httpx

    from hmp_cache import __version__

    with _making:
        if _client is None:
            logging.getLogger("httpx").addFilter(_without_secrets)
            # what is hashed and counted must be the file itself, not a packed form of it
            headers = {"User-Agent": f"hmp-cache/{__version__}", "Accept-Encoding": "identity"}
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=32)
            _client = httpx.Client(follow_redirects=True, headers=headers, limits=limits)
        return _client


def _without_secrets(record: logging.LogRecord) -> bool:
    """Take keys out of what the library logs of each request."""
    import httpx

    if isinstance(record.args, tuple):
        record.args = tuple(public(str(a)) if isinstance(a, httpx.URL) else a for a in record.args)
    return True


def _close() -> None:
    if _client is not None:
        _client.close()


def _forget() -> None:
    """Leave the connections to the parent: in the child of a fork they are the same sockets."""
    global _client, _making, _turns
    _client, _making, _turns = None, threading.Lock(), HostTurns()


atexit.register(_close)
os.register_at_fork(after_in_child=_forget)
