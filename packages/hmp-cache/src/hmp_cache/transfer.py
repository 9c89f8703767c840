"""One download's bytes, over as many attempts as it takes: decoded, hashed, counted, and held to what was promised.

Nothing here knows the library that speaks HTTP. What an attempt brought of a version that the server can tell from
every other (a strong validator, RFC 9110, 8.8) stays when it breaks off, and the next one asks for the rest.
"""

from __future__ import annotations

import hashlib
import re
import time
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import PurePosixPath
from typing import Any, Protocol

from hmp_cache import digests, formats
from hmp_cache.addresses import file_name
from hmp_cache.retries import Retry

#: Why an attempt came to nothing.
NETWORK, HTTP, TRUNCATED, CONTENT = "network", "http", "truncated", "content"

_HEAD = 1024
#: Seconds between the time of a change and that of the answer from which on a date tells two versions apart (RFC
#: 9110, 8.8.2.2): what changes twice within one second has one date.
_SETTLED = 60.0
#: No file has more bytes than 19 digits say, and Python refuses to read thousands of them.
_RANGE = re.compile(r"bytes ([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19}|\*)")


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
    #: seconds that the server asks to wait
    asked: float | None = field(default=None, compare=False)


class Refused(Exception):
    """An attempt brought nothing that can be used; ``asked`` is how long the server asks to wait."""

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        status: int | None = None,
        transient: bool = True,
        asked: float | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.status = status
        self.transient = transient
        self.asked = asked


@dataclass(frozen=True, slots=True)
class Head:
    """What a server said before the body; names in ``headers`` may be asked for in any case."""

    status: int
    headers: Mapping[str, str]
    #: where it came from in the end, after redirects
    uri: str

    @property
    def encoding(self) -> str:
        """How the body is packed, as "gzip"; empty if it is not."""
        said = self.headers.get("Content-Encoding", "").strip().lower()
        return "" if said == "identity" else said

    @property
    def length(self) -> int | None:
        """How many bytes the body has, if that was announced."""
        said = self.headers.get("Content-Length", "")
        return int(said) if re.fullmatch(r"[0-9]{1,19}", said) else None

    @property
    def has_an_end(self) -> bool:
        """Whether one can see from outside where the body ends: not where it ends with the connection."""
        return self.length is not None or "chunked" in self.headers.get("Transfer-Encoding", "").lower()


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


@dataclass(frozen=True, slots=True)
class Version:
    """Which version of something the bytes are of that came."""

    etag: str | None = None
    last_modified: str | None = None
    #: bytes in all, if that was said
    total: int | None = None

    @classmethod
    def of(cls, head: Head) -> Version | None:
        """Return the version that an answer carries; None if it cannot be told from others, or not be gone on with."""
        etag, date = head.headers.get("ETag"), head.headers.get("Last-Modified")
        strong = etag is not None and not etag.startswith("W/")
        if head.encoding or head.headers.get("Accept-Ranges", "").lower() == "none":
            return None
        if not strong and not (etag is None and _is_settled(date, head.headers.get("Date"))):
            return None
        return cls(etag, date, head.length)

    @property
    def validator(self) -> str:
        """What ``If-Range`` says."""
        return self.etag or self.last_modified or ""

    def goes_on(self, head: Head, held: int) -> bool:
        """Return whether an answer to a question for the rest carries just that."""
        found = _RANGE.fullmatch(head.headers.get("Content-Range", "").strip())
        if found is None or head.encoding or int(found[1]) != held:
            return False
        total = None if found[3] == "*" else int(found[3])
        same = head.headers.get("ETag", self.etag) == self.etag
        dated = head.headers.get("Last-Modified", self.last_modified) == self.last_modified
        return same and dated and (None in {total, self.total} or total == self.total)

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)


def _is_settled(date: str | None, now: str | None) -> bool:
    try:
        return (parsedate_to_datetime(now or "") - parsedate_to_datetime(date or "")).total_seconds() >= _SETTLED
    except (TypeError, ValueError):
        return False


@dataclass(frozen=True, slots=True)
class Begun:
    """What is there already of a version: from another attempt, or from another process."""

    version: Version
    size: int
    #: of these bytes: a `hashlib` object that goes on
    digest: Any


class Kept(Protocol):
    """Where the bytes of a download stay, so that another process can go on with them."""

    def begun(self) -> Begun | None:
        """Return what is there."""

    def expect(self, version: Version | None, total: int | None) -> None:
        """Note of which version the bytes are that come now, and how many; None if one cannot go on with them."""

    def lacks(self, suffix: str, *, told: bool) -> str | None:
        """Return what is missing at the end of the bytes, as far as such a file shows it.

        ``told``: the server said where the end is.
        """


class Transfer:
    """The bytes of one download.

    Parameters
    ----------
    uri
        What was asked for; its suffix says what is expected.
    write, restart
        Take the next bytes; forget all bytes so far.
    sha256
        What the data are known to be.
    kept
        Where bytes stay for another process.
    """

    def __init__(
        self,
        uri: str,
        write: Callable[[bytes], None],
        restart: Callable[[], None],
        *,
        sha256: str | None = None,
        kept: Kept | None = None,
        advance: Callable[[int, int | None], None] | None = None,
    ) -> None:
        self.suffix = PurePosixPath(file_name(uri)).suffix.lower()
        self._write = write
        self._restart = restart
        self._kept = kept
        self._advance = advance
        self._expected = sha256.lower() if sha256 else None
        self._resumed = False
        begun = kept.begun() if kept is not None else None
        if begun is None:
            self.forget()
        else:
            self.version: Version | None = begun.version
            self.size, self._digest = begun.size, begun.digest

    def forget(self) -> None:
        """Begin anew."""
        self._restart()
        self.version, self.size, self._digest = None, 0, hashlib.sha256()

    @property
    def sha256(self) -> str:
        """The SHA-256 of what came so far."""
        return str(self._digest.hexdigest())

    @property
    def rest(self) -> dict[str, str]:
        """The headers that ask for the rest; empty where all is to be asked for."""
        if not self.size or self.version is None:
            return {}
        return {"Range": f"bytes={self.size}-", "If-Range": self.version.validator}

    def receive(self, head: Head, blocks: Iterable[bytes], policy: Retry) -> None:
        """Take a body in.

        Raises
        ------
        Refused
            If it is not complete, or not what it should be.
        """
        self._begin(head, policy)
        came = _Counted(policy)
        promises = digests.promised(head.headers, partial=self._resumed)
        unpack, start = _unpacking(head, self.suffix), bytearray()
        sniffed = self._resumed
        for raw in blocks:
            came.more(len(raw))
            for promise in promises:
                promise.found.update(raw)
            block = unpack.feed(raw)
            if not sniffed:
                start += block
                if len(start) < _HEAD:
                    continue
                self._sniff(head, start)
                sniffed, block = True, bytes(start)
            self._take(block, policy)
        if not sniffed and start:
            self._sniff(head, start)
            self._take(bytes(start), policy)
        self._judge(head, came.bytes, promises, unpack)

    def _begin(self, head: Head, policy: Retry) -> None:
        self._resumed = bool(self.rest) and head.status == 206
        if not self._resumed:
            self.forget()
            self.version = Version.of(head)
        total = None if head.encoding else (head.length or 0) + self.size if head.length is not None else None
        if total is not None and total > policy.largest:
            message = f"{total} bytes are announced, more than {policy.largest}"
            raise Refused(CONTENT, message, status=head.status, transient=False)
        self._total = total
        if self._kept is not None:
            self._kept.expect(self.version, total)

    def _take(self, block: bytes, policy: Retry) -> None:
        if self.size + len(block) > policy.largest:
            message = f"it is more than {policy.largest} bytes"
            raise Refused(CONTENT, message, transient=False)
        self._write(block)
        self._digest.update(block)
        self.size += len(block)
        if self._advance is not None:
            self._advance(self.size, self._total)

    def _sniff(self, head: Head, start: bytearray) -> None:
        """Refuse what is by its first bytes something else than was asked for."""
        wrong = formats.disguise(bytes(start), self.suffix, head.headers.get("Content-Type"))
        if wrong is not None:
            message = f"{head.status} with {wrong} in place of data"
            raise Refused(CONTENT, message, status=head.status, transient=False)

    def _judge(self, head: Head, came: int, promises: list[digests.Promise], unpack: _Plain | _Gzip) -> None:
        status = head.status
        if head.length is not None and came != head.length:
            message = f"{came} bytes came of {head.length} that were announced"
            raise Refused(TRUNCATED, message, status=status)
        if not unpack.is_complete:
            message = f"the {head.encoding} stream ends before its end"
            raise Refused(TRUNCATED, message, status=status)
        if self.version is not None and self.version.total not in {None, self.size} and self._resumed:
            message = f"{self.size} bytes are there of {self.version.total} that were announced"
            raise Refused(TRUNCATED, message, status=status)
        if self.size == 0:
            raise Refused(CONTENT, f"{status} with an empty body", status=status)
        lacking = self._kept.lacks(self.suffix, told=head.has_an_end) if self._kept and not self._expected else None
        if lacking is not None:
            raise Refused(TRUNCATED, f"the transfer ended, but {lacking}", status=status)
        self._compare(head, promises)

    def _compare(self, head: Head, promises: list[digests.Promise]) -> None:
        broken = [p.header for p in promises if not p.kept]
        whole = digests.whole_sha256(head.headers) if not head.encoding else None
        if broken or (whole is not None and whole != self.sha256):
            message = f"the data have not the hash that the server sent ({', '.join(broken) or 'Repr-Digest'})"
            raise Refused(CONTENT, message, status=head.status)
        if self._expected is not None and self._expected != self.sha256:
            message = f"the data have SHA-256 {self.sha256}, not {self._expected} as was asked for"
            # what was put together of two transfers gets one more chance in one
            raise Refused(CONTENT, message, status=head.status, transient=self._resumed)


class _Counted:
    """How many bytes came, and whether fast enough to go on."""

    def __init__(self, policy: Retry) -> None:
        self.bytes = 0
        self._policy = policy
        self._since, self._then = time.monotonic(), 0

    def more(self, count: int) -> None:
        self.bytes += count
        now = time.monotonic()
        if now - self._since < self._policy.stalled:
            return
        came = self.bytes - self._then
        if came < self._policy.slowest * self._policy.stalled:
            message = f"{came} bytes came in {now - self._since:.0f} s, which would never end"
            raise Refused(NETWORK, message, status=None)
        self._since, self._then = now, self.bytes


# ── how a body is packed ─────────────────────────────────────────────────────────────────────────────


class _Plain:
    """A body that is what it is."""

    is_complete = True

    def feed(self, raw: bytes) -> bytes:
        return raw


class _Gzip:
    """A body that is packed though nobody asked for that; `zlib` does not say by itself that a stream is cut."""

    def __init__(self, encoding: str, *, perhaps_the_file: bool) -> None:
        self._encoding = encoding
        self._perhaps_the_file = perhaps_the_file
        self._is_the_file = False
        self._undecided = b""
        self._began = False
        self._stream = self._fresh()

    def _fresh(self) -> Any:
        return zlib.decompressobj(wbits=31 if self._encoding == "gzip" else 15)

    @property
    def is_complete(self) -> bool:
        return self._is_the_file or (self._began and bool(self._stream.eof))

    def feed(self, raw: bytes) -> bytes:
        if self._is_the_file:
            return raw
        try:
            found = self._feed(raw)
        except zlib.error as error:
            message = f"the body is said to be {self._encoding} and is not: {error}"
            raise Refused(CONTENT, message) from error
        if not self._perhaps_the_file:
            return found
        self._undecided += raw
        if not found:
            return b""
        # servers call q.csv.gz a q.csv that is packed: unless it is packed twice, it is the file that was wanted
        self._is_the_file, self._perhaps_the_file = not found.startswith(b"\x1f\x8b"), False
        return self._undecided if self._is_the_file else found

    def _feed(self, raw: bytes) -> bytes:
        found = bytearray()
        while raw:
            if self._stream.eof:
                self._stream = self._fresh()  # several streams in a row are one (RFC 1952, 2.2)
            self._began = True
            found += self._stream.decompress(raw)
            raw = self._stream.unused_data
        return bytes(found)


def _unpacking(head: Head, suffix: str) -> _Plain | _Gzip:
    encoding = head.encoding.removeprefix("x-")
    if not encoding:
        return _Plain()
    if encoding in {"gzip", "deflate"}:
        return _Gzip(encoding, perhaps_the_file=suffix in {".gz", ".tgz"} and encoding == "gzip")
    message = f"the body is packed as {encoding}, which was not asked for"
    raise Refused(CONTENT, message, status=head.status, transient=False)
