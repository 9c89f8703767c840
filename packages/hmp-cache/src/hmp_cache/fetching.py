"""From a URI to a version of an input: asked for once, conditionally the next time, every failed attempt on record."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

from hmp_cache import formats, http, uris
from hmp_cache.addresses import file_name, public
from hmp_cache.arrival import Arrival
from hmp_cache.backoff import Backoff, Setback
from hmp_cache.errors import DownloadFailed, ValidationFailed
from hmp_cache.gathering import Gathering
from hmp_cache.hosts import HostTurns
from hmp_cache.http import Answer, Failure
from hmp_cache.incoming import Staged
from hmp_cache.intake import Intake
from hmp_cache.labels import Label
from hmp_cache.ledger import Known
from hmp_cache.resuming import Half, half
from hmp_cache.retries import Retry
from hmp_cache.shelf import Shelf
from hmp_cache.sighting import sight
from hmp_cache.signature import Signature
from hmp_core.errors import HmpError, InvalidInput, PathNotFound, StorageError
from hmp_core.events import Event, EventStore
from hmp_core.layout import internal_folder
from hmp_core.paths import to_local

_log = logging.getLogger(__name__)

__all__ = ["Fetcher", "How", "file_name", "lock_name"]


@dataclass(frozen=True, slots=True)
class How:
    """In which way something is fetched.

    Parameters
    ----------
    refresh
        Ask whether what is there has changed.
    retry
        How often and how patiently to try.
    retry_now
        Ask though it failed a short while ago.
    sha256
        What the data are known to be.
    verify
        "quick": what is there is taken for what it was by size, time and inode; "full": it is read.
    advance
        Told how many bytes are there, and of how many.
    """

    refresh: bool = False
    retry: Retry | None = None
    retry_now: bool = False
    sha256: str | None = None
    verify: str = "quick"
    advance: Callable[[int, int | None], None] | None = None


class Fetcher:
    """Obtains what lies under a URI.

    Parameters
    ----------
    store, shelf, intake
        The log, the files and the way in of a workspace.
    timeout
        Seconds to wait while another process fetches the same input.
    """

    def __init__(self, store: EventStore, shelf: Shelf, intake: Intake, *, timeout: float) -> None:
        self._store = store
        self._shelf = shelf
        self._intake = intake
        self._timeout = timeout
        self._gathering = Gathering(store, shelf, intake, timeout=timeout)
        self.backoff = Backoff(store)
        self.turns = HostTurns(internal_folder(store.path) / "locks")

    def fetch(self, uri: str, label: Label, how: How) -> Event:
        """Return the event that stored what ``uri`` holds.

        What is there already and came from this URI is not asked for again, unless ``refresh``: then the server is
        asked whether it has changed.

        Raises
        ------
        UnsupportedScheme, InvalidInput
            For a URI that nobody here opens.
        DownloadFailed, PathNotFound
            If nothing usable is there; every attempt is in ``failures``.
        RetryLater
            If it failed a short while ago.
        ValidationFailed, BusyError, StorageError
            See `Intake.accept`.
        """
        scheme = uris.require_known(uri)
        how = _checked(how)
        shown = public(uri)
        arrival = Arrival(label, file_name(uri), stand_in=shown, uri=shown, is_custom=False)
        with self.alone(arrival):
            known = self._known(arrival, full=how.verify == "full")
            if known is not None and not how.refresh and how.sha256 in {None, known.bytes.sha256}:
                return known.newest
            if scheme == "file":
                return self._copy(uri, arrival, how.sha256)
            with self.trying(arrival, retry_now=how.retry_now) as tried:
                return self._download(uri, tried, known, how)

    def again(self, uri: str, arrival: Arrival, body: Half, how: How) -> tuple[Staged, Arrival]:
        """Download what lies under a URI, whatever is there; return its bytes, and what was answered."""
        answer = self._ask(uri, arrival, body, {}, how)
        return body.flushed(answer.sha256), _answered(arrival, answer)

    def asker(self, arrival: Arrival, retry: Retry | None = None) -> Callable[..., Answer]:
        """Return how a source asks servers for an input: its turn is waited for, what fails is on record."""

        def ask(uri: str, body: BytesIO, *, also: Collection[int] = ()) -> Answer:
            return http.download(
                uri,
                lambda block: _put(body, block),
                lambda: _empty(body),
                retry=retry,
                also=also,
                failed=lambda failure: self._failed(arrival, failure),
                turns=self.turns,
            )

        return ask

    @contextlib.contextmanager
    def alone(self, arrival: Arrival) -> Iterator[None]:
        """Let one process obtain an input while the others wait for it."""
        with self._intake.lock(lock_name(arrival), str(arrival.uri), self._timeout):
            yield

    @contextlib.contextmanager
    def trying(self, arrival: Arrival, *, retry_now: bool = False) -> Iterator[Arrival]:
        """Give the arrival with what is known of failures before, and note how the block ends.

        Raises
        ------
        RetryLater
            If it failed a short while ago.
        """
        if not retry_now:
            self.backoff.require(arrival.entry_id, str(arrival.uri))
        last = self.backoff.last(arrival.entry_id)
        tried = replace(arrival, failures=(last.attempts or 0) if last else 0)
        try:
            yield tried
        except StorageError as error:
            with contextlib.suppress(HmpError):  # the log may lie on the same full disk
                self._setback(tried, tried.setback("disk", str(error), hopeless=False), {"uri": tried.uri})
            raise
        except ValidationFailed as error:  # on record already
            self.backoff.failed(tried.entry_id, tried.setback("validation", str(error), hopeless=True))
            raise
        self.backoff.obtained(tried.entry_id)

    @contextlib.contextmanager
    def noting(self, arrival: Arrival) -> Iterator[None]:
        """Put on record what is wrong with an answer though it came whole: nobody else has."""
        before = self.backoff.last(arrival.entry_id)
        try:
            yield
        except DownloadFailed as error:
            if self.backoff.last(arrival.entry_id) == before:
                hopeless = error.reason == "content"
                ended = arrival.setback(error.reason, error.message, status=error.status, hopeless=hopeless)
                self._setback(arrival, ended, {"uri": error.uri})
            raise

    def _known(self, arrival: Arrival, *, full: bool) -> Known | None:
        """Return the version that is there, if it came from this URI and its file is what it was."""
        label = arrival.label
        with self._intake.holding(label.variable, label.source):
            self._intake.settle(arrival.entry_id)
            known = self._intake.find(arrival)
        if known is None or known.sidecar.removed or _upstream(known).get("uri") != arrival.uri:
            return None
        path = self._shelf.local(known.artifact["path"])
        looks = Signature.of(path.stat()) if path.exists() else None
        if known.bytes.are_in(path, full=full):
            if looks is not None and not known.bytes.unchanged(path):
                self._sighted(arrival, known, looks)
            return known
        if known.bytes.unchanged(path) and not known.artifact["in_place"]:
            _log.warning("%s looks as it did and holds other bytes; it gets another time, so that all see that", path)
            path.touch()
        return None

    def _sighted(self, arrival: Arrival, known: Known, looks: Signature) -> None:
        """Put on record how a file looks that had to be read, so that the next hit need not read it."""
        label = arrival.label
        with self._intake.holding(label.variable, label.source):
            now = self._intake.find(arrival)
            if now is not None and now.artifact["id"] == known.artifact["id"]:
                sight(self._intake, self._shelf, f"{label.variable}.{label.source}", [(now, looks)])

    def _copy(self, uri: str, arrival: Arrival, sha256: str | None) -> Event:
        path = to_local(uri)
        if not path.is_file():
            message = f"{path}: no such file"
            self._record(arrival, Setback("disk", message), {"uri": arrival.uri})
            raise PathNotFound(message, path=str(path))
        with self._shelf.incoming.receiving() as file:
            staged = self._shelf.incoming.copy_in(path, file)
            if sha256 not in {None, staged.sha256}:
                message = f"{path} has SHA-256 {staged.sha256}, not {sha256} as was asked for"
                self._record(arrival, Setback("content", message), {"uri": arrival.uri})
                raise _wrong(message, str(arrival.uri))
            return self._intake.accept(staged, replace(arrival, fetched_at=_now()))

    def _download(self, uri: str, arrival: Arrival, known: Known | None, how: How) -> Event:
        former = _upstream(known) if known is not None and how.sha256 in {None, known.bytes.sha256} else {}
        with half(self._shelf.incoming, arrival.entry_id, str(arrival.uri)) as body:
            answer = self._ask(uri, arrival, body, former, how)
            answered = _answered(arrival, answer)
            if answer.unchanged and known is not None:
                if arrival.failures:
                    self._intake.confirm(replace(answered, **_said_before(former)), always=True)
                return known.newest
            event = self._gathering.accept(body.flushed(answer.sha256), answered)
        if event.payload["provenance"]["fetched_at"] != answered.fetched_at:  # the same bytes as before
            self._intake.confirm(answered, always=bool(arrival.failures))
        return event

    def _ask(self, uri: str, arrival: Arrival, body: Half, former: dict[str, Any], how: How) -> Answer:
        said: dict[str, Any] = {
            "etag": former.get("etag"),
            "sha256": how.sha256,
            "retry": how.retry,
            "failed": lambda failure: self._failed(arrival, failure),
            "kept": body,
            "advance": how.advance,
        }
        if uri.partition("://")[0].lower() not in {"http", "https"}:
            return uris.download(uri, body.write, body.restart, **said)
        dated = former.get("last_modified")
        return http.download(uri, body.write, body.restart, last_modified=dated, turns=self.turns, **said)

    # ── what failed ──────────────────────────────────────────────────────────────────────────────────

    def _failed(self, arrival: Arrival, failure: Failure) -> None:
        request = {"attempt": failure.attempt, "status": failure.status, "wait": failure.wait}
        if failure.wait is not None:
            self._record(arrival, Setback(failure.reason, failure.message, failure.status), request)
            return
        hopeless = not failure.transient
        ended = arrival.setback(
            failure.reason, failure.message, status=failure.status, hopeless=hopeless, asked=failure.asked
        )
        self._setback(arrival, ended, request)

    def _setback(self, arrival: Arrival, setback: Setback, request: dict[str, Any]) -> None:
        try:
            self._record(arrival, setback, request)
        finally:
            self.backoff.failed(arrival.entry_id, setback)

    def _record(self, arrival: Arrival, setback: Setback, request: dict[str, Any]) -> None:
        self._store.append("input.failed", {"failure": arrival.failure(setback, request)})


def lock_name(arrival: Arrival) -> str:
    """Return which lock an input shares with some others while it is obtained: there are 4096."""
    return f"fetch-{arrival.entry_id.hex[:3]}"


def _checked(how: How) -> How:
    if how.verify not in {"quick", "full"}:
        message = f"verify is {how.verify!r}; expected 'quick' or 'full'"
        raise InvalidInput(message)
    if how.sha256 is None:
        return how
    found = how.sha256.strip().lower().removeprefix("sha256:") if isinstance(how.sha256, str) else ""
    if not re.fullmatch(r"[0-9a-f]{64}", found):
        message = f"sha256 is {how.sha256!r}; expected 64 hexadecimal digits"
        raise InvalidInput(message)
    return replace(how, sha256=found)


def _upstream(known: Known) -> dict[str, Any]:
    return known.sidecar.upstream(known.artifact["id"])


def _said_before(former: dict[str, Any]) -> dict[str, Any]:
    """Return what an answer that nothing has changed need not repeat."""
    return {name: former.get(name) for name in ("etag", "last_modified", "license")}


def _answered(arrival: Arrival, answer: Answer) -> Arrival:
    """Return the arrival with what the server said of it."""
    suffix = "" if arrival.suffix else formats.suffix_of(answer.content_type)
    request = {"url": arrival.uri, "answered_by": answer.uri, "content_type": answer.content_type}
    return replace(
        arrival,
        file_name=arrival.file_name + suffix,
        request=request,
        etag=answer.etag,
        last_modified=answer.last_modified,
        license=answer.license,
        fetched_at=_now(),
    )


def _put(body: BytesIO, block: bytes) -> None:
    body.write(block)


def _empty(body: BytesIO) -> None:
    body.seek(0)
    body.truncate()


def _wrong(message: str, uri: str) -> DownloadFailed:
    return DownloadFailed(message, uri=uri, reason="content", status=None, attempts=1)


def _now() -> str:
    return datetime.now(UTC).replace(tzinfo=None).isoformat()
