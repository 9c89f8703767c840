"""Downloading over HTTP: streamed to a file and hashed on the way, checked, tried again where that may help.

Nothing but complete data leaves this room: a body shorter than announced, a web page in place of data, an empty answer
and a partial one are refused, and every attempt that failed is told to the caller with its reason.
"""

from __future__ import annotations

import hashlib
import itertools
import re
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from hmp_cache.errors import DownloadFailed
from hmp_cache.formats import is_web_page
from hmp_cache.refusals import reason_in
from hmp_cache.retries import Retry, retry_after

if TYPE_CHECKING:
    import httpx

_CHUNK = 1 << 18
_HEAD = 1024
#: Answers that another try may change (RFC 9110, RFC 6585).
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
#: Parameters of a URI that are nobody else's business: how services call the key they gave to a user.
_KEY = re.compile(r"(?i)((?:^|(?<=&))(?:api_?key|(?:access|auth|private)?_?token|x-amz-signature)=)[^&]+")


@dataclass(frozen=True, slots=True)
class Failure:
    """One attempt that failed."""

    #: network, http, truncated, content
    reason: str
    message: str
    attempt: int
    status: int | None = None
    #: seconds until the next attempt; None if there is none
    wait: float | None = None
    transient: bool = field(default=True, compare=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server sent."""

    status: int
    #: where the data came from in the end, after redirects
    uri: str
    sha256: str = ""
    size: int = 0
    etag: str | None = None
    last_modified: str | None = None
    content_type: str | None = None
    license: str | None = None

    @property
    def unchanged(self) -> bool:
        """Whether the server says that what we have is still current."""
        return self.status == 304


class _Refused(Exception):
    def __init__(self, failure: Failure, asked: float | None = None) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.asked = asked


def download(
    uri: str,
    write: Callable[[bytes], None],
    restart: Callable[[], None],
    *,
    etag: str | None = None,
    last_modified: str | None = None,
    retry: Retry | None = None,
    also: Collection[int] = (),
    failed: Callable[[Failure], None],
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
    also
        Statuses that are an answer of this service, beside 200: 206 where it stands for a page of many and its body is
        complete (Hub'Eau), any other, as 404, where it says that there is nothing: its body is not read.
    failed
        Told of each attempt that failed, before the wait.

    Raises
    ------
    DownloadFailed
        If no attempt brought complete data; ``reason`` is that of the last.
    """
    import httpx

    policy = retry or Retry()
    fine = {200, *also}
    conditions = {"If-None-Match": etag} if etag else {"If-Modified-Since": last_modified} if last_modified else {}
    if conditions:
        fine.add(304)
    timeout = httpx.Timeout(policy.stalled, connect=min(policy.stalled, 10.0))
    with httpx.Client(follow_redirects=True, timeout=timeout, headers=_headers() | conditions) as client:
        for attempt in itertools.count(1):
            restart()
            try:
                return _attempt(client, uri, write, attempt, fine)
            except _Refused as refused:
                failure = _next(refused, attempt, policy)
            failed(failure)
            if failure.wait is None:
                raise _given_up(uri, failure)
            time.sleep(failure.wait)
    raise AssertionError  # counting never ends


def _headers() -> dict[str, str]:
    from hmp_cache import __version__

    # what is hashed and counted must be the file itself, not a compressed form of it
    return {"User-Agent": f"hmp-cache/{__version__}", "Accept-Encoding": "identity"}


def _next(refused: _Refused, attempt: int, policy: Retry) -> Failure:
    """Return a failure with the wait that follows it, if another attempt does."""
    failure = refused.failure
    if not failure.transient or attempt >= policy.attempts:
        return failure
    wait = policy.wait(attempt, refused.asked)
    if wait > policy.patience:
        message = f"{failure.message}; the server asks to wait {wait:.0f} s, which is more than {policy.patience:.0f} s"
        return Failure(failure.reason, message, attempt, failure.status)
    return Failure(failure.reason, failure.message, attempt, failure.status, wait)


def _given_up(uri: str, failure: Failure) -> DownloadFailed:
    tries = "1 attempt" if failure.attempt == 1 else f"{failure.attempt} attempts"
    message = f"{public(uri)}: nothing usable after {tries}: {failure.message}"
    return DownloadFailed(
        message, uri=public(uri), reason=failure.reason, status=failure.status, attempts=failure.attempt
    )


# ── one attempt ──────────────────────────────────────────────────────────────────────────────────────


def _attempt(
    client: httpx.Client, uri: str, write: Callable[[bytes], None], attempt: int, fine: Collection[int]
) -> Answer:
    """Return a complete answer with one of the statuses that are ``fine``.

    Raises
    ------
    _Refused
        For anything else; the exceptions of the HTTP library end here.
    """
    import httpx

    try:
        with client.stream("GET", uri) as response:
            _judge(response, attempt, fine)
            sha256, size = _receive(response, write, attempt)
            return _answer(response, sha256, size)
    except httpx.RemoteProtocolError as error:
        raise _Refused(Failure("truncated", f"the transfer broke off: {error}", attempt)) from error
    except httpx.TooManyRedirects as error:
        raise _Refused(Failure("http", f"{error}", attempt, transient=False)) from error
    except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
        raise _Refused(Failure("http", f"not an HTTP address: {error}", attempt, transient=False)) from error
    except httpx.DecodingError as error:
        raise _Refused(Failure("content", f"the body cannot be decoded: {error}", attempt)) from error
    except httpx.TimeoutException as error:
        raise _Refused(Failure("network", f"no answer in time ({type(error).__name__})", attempt)) from error
    except httpx.HTTPError as error:
        raise _Refused(Failure("network", f"{type(error).__name__}: {error}", attempt)) from error


def _judge(response: httpx.Response, attempt: int, fine: Collection[int]) -> None:
    """Return if the head of an answer promises the whole data."""
    status = response.status_code
    if status in fine:
        return
    words = f"{status} {response.reason_phrase}".strip()
    if status in {204, 205, 206, 304}:
        raise _Refused(Failure("content", f"{words}: not the whole of the data", attempt, status))
    transient = status in _TRANSIENT
    reason = _reason(response)
    failure = Failure("http", f"{words} ({reason!r})" if reason else words, attempt, status, transient=transient)
    raise _Refused(failure, asked=retry_after(response.headers.get("Retry-After")) if transient else None)


def _reason(response: httpx.Response) -> str:
    """Return why the service refuses, if it says so in JSON."""
    import httpx

    if "json" not in response.headers.get("Content-Type", "").lower():
        return ""
    try:
        return reason_in(next(response.iter_bytes(_HEAD), b""))
    except httpx.HTTPError:  # the body breaks off: the status, which is what counts, is there
        return ""


def _receive(response: httpx.Response, write: Callable[[bytes], None], attempt: int) -> tuple[str, int]:
    """Pass the body on and return its SHA-256 and size, if it is complete and no web page."""
    if response.status_code not in {200, 206}:
        return "", 0
    digest, size = hashlib.sha256(), 0
    for number, block in enumerate(response.iter_bytes(_CHUNK)):
        if number == 0:
            _refuse_page(response, block[:_HEAD], attempt)
        digest.update(block)
        size += len(block)
        write(block)
    announced = response.headers.get("Content-Length", "")
    if announced.isdigit() and response.num_bytes_downloaded != int(announced):
        message = f"{response.num_bytes_downloaded} bytes came of {announced} that were announced"
        raise _Refused(Failure("truncated", message, attempt, response.status_code))
    if size == 0:
        message = f"{response.status_code} with an empty body"
        raise _Refused(Failure("content", message, attempt, response.status_code))
    return digest.hexdigest(), size


def _refuse_page(response: httpx.Response, head: bytes, attempt: int) -> None:
    asked_for_page = urlsplit(str(response.request.url)).path.lower().endswith((".html", ".htm"))
    says_page = response.headers.get("Content-Type", "").lower().startswith(("text/html", "application/xhtml"))
    if not asked_for_page and (is_web_page(head) or says_page):
        title = re.search(rb"<title[^>]*>\s*([^<]{1,80})", head, re.IGNORECASE)
        said = f" ({title[1].decode(errors='replace').strip()!r})" if title else ""
        message = f"200 with a web page{said} in place of data"
        raise _Refused(Failure("content", message, attempt, 200, transient=False))


def _answer(response: httpx.Response, sha256: str, size: int) -> Answer:
    headers = response.headers
    return Answer(
        status=response.status_code,
        uri=public(str(response.url)),
        sha256=sha256,
        size=size,
        etag=headers.get("ETag"),
        last_modified=headers.get("Last-Modified"),
        content_type=headers.get("Content-Type"),
        license=_license(response),
    )


def _license(response: httpx.Response) -> str | None:
    """Return the target of a ``Link`` header with the relation "license" (RFC 8288)."""
    link = response.links.get("license")
    return link["url"] if link else None


def public(uri: str) -> str:
    """Return a URI without the user name, password and API key that may be in it: what is kept and shown.

    Examples
    --------
    >>> public("https://me:secret@example.org/q.csv?year=2001&apikey=9f2c")
    'https://example.org/q.csv?year=2001&apikey=...'
    """
    parts = urlsplit(uri)
    query = _KEY.sub(r"\1...", parts.query)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query=query))
