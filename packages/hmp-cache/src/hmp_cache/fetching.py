"""From a URI to a version of an input: asked for once, conditionally the next time, every failed attempt on record."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from hmp_cache import formats, http
from hmp_cache.arrival import Arrival
from hmp_cache.http import Answer, Failure
from hmp_cache.intake import Intake
from hmp_cache.labels import Label
from hmp_cache.ledger import Known
from hmp_cache.retries import Retry
from hmp_cache.shelf import Shelf
from hmp_core.errors import InvalidInput, PathNotFound, StorageError, UnsupportedScheme
from hmp_core.events import Event, EventStore
from hmp_core.paths import to_local


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

    def fetch(self, uri: str, label: Label, *, refresh: bool, retry: Retry | None) -> Event:
        """Return the event that stored what ``uri`` holds.

        What is there already and came from this URI is not asked for again, unless ``refresh``: then the server is
        asked whether it has changed.

        Raises
        ------
        UnsupportedScheme, InvalidInput
            For a URI that is none of http, https, file.
        DownloadFailed, PathNotFound
            If nothing usable is there; every attempt is in ``failures``.
        ValidationFailed, BusyError, StorageError
            See `Intake.accept`.
        """
        scheme = scheme_of(uri)
        name = file_name(uri)
        arrival = Arrival(label, name, stand_in=http.public(uri), uri=http.public(uri), is_custom=False)
        with self._alone(arrival):
            known = self._known(arrival)
            if known is not None and not refresh:
                return known.newest
            with self._shelf.incoming.receiving() as file:
                if scheme == "file":
                    return self._copy(uri, arrival, file)
                return self._download(uri, arrival, file, known, retry)

    @contextlib.contextmanager
    def _alone(self, arrival: Arrival) -> Iterator[None]:
        """Let one process fetch an input while the others wait for it; inputs share 4096 locks."""
        with self._intake.lock(f"fetch-{arrival.entry_id.hex[:3]}", str(arrival.uri), self._timeout):
            yield

    def _known(self, arrival: Arrival) -> Known | None:
        """Return the version that is there, if it came from this URI and its file is what it was."""
        label = arrival.label
        with self._intake.holding(label.variable, label.source):
            self._intake.settle(arrival.entry_id)
            known = self._intake.find(arrival)
        if known is None or known.newest.payload["provenance"]["uri"] != arrival.uri:
            return None
        return known if known.bytes.are_in(self._shelf.local(known.artifact["path"])) else None

    def _copy(self, uri: str, arrival: Arrival, file: BinaryIO) -> Event:
        path = to_local(uri)
        if not path.is_file():
            message = f"{path}: no such file"
            self._record(arrival, "missing", message, {"uri": arrival.uri})
            raise PathNotFound(message, path=str(path))
        return self._intake.accept(self._shelf.incoming.copy_in(path, file), replace(arrival, fetched_at=_now()))

    def _download(self, uri: str, arrival: Arrival, file: BinaryIO, known: Known | None, retry: Retry | None) -> Event:
        how = known.newest.payload["provenance"] if known else {}
        try:
            answer = http.download(
                uri,
                lambda block: self._shelf.incoming.write(file, block),
                lambda: _restart(file),
                etag=how.get("etag"),
                last_modified=how.get("last_modified"),
                retry=retry,
                failed=lambda failure: self._failed(arrival, failure),
            )
        except StorageError as error:
            with contextlib.suppress(StorageError):  # the log may lie on the same full disk
                self._record(arrival, "disk", str(error), {"uri": arrival.uri})
            raise
        if answer.unchanged and known is not None:
            return known.newest
        staged = self._shelf.incoming.flushed(file, answer.sha256)
        return self._intake.accept(staged, _answered(arrival, answer))

    def _failed(self, arrival: Arrival, failure: Failure) -> None:
        request: dict[str, object] = {"attempt": failure.attempt, "status": failure.status, "wait": failure.wait}
        self._record(arrival, failure.reason, failure.message, request)

    def _record(self, arrival: Arrival, reason: str, message: str, request: dict[str, object]) -> None:
        self._store.append("input.failed", {"failure": arrival.failure(reason, message, request)})


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


def _restart(file: BinaryIO) -> None:
    file.seek(0)
    file.truncate()


def _now() -> str:
    return datetime.now(UTC).replace(tzinfo=None).isoformat()


def scheme_of(uri: str) -> str:
    """Return the scheme of a URI that can be fetched.

    Raises
    ------
    UnsupportedScheme
        For another scheme than http, https and file.
    InvalidInput
        For what is no URI.
    """
    if not isinstance(uri, str) or "://" not in uri:
        message = f"{uri!r} is no URI; fetch opens http://, https:// and file://, a local file is added with add()"
        raise InvalidInput(message)
    scheme = uri.partition("://")[0].lower()
    if scheme not in {"http", "https", "file"}:
        message = f"{uri}: fetch opens http://, https:// and file://, not {scheme}://"
        raise UnsupportedScheme(message, uri=uri)
    if scheme != "file" and not _host(uri):
        message = f"{uri}: names no host; expected as in https://example.org/discharge.csv"
        raise InvalidInput(message)
    return scheme


def _host(uri: str) -> str | None:
    try:
        found = urlsplit(uri)
        _ = found.port
    except ValueError:  # brackets that hold no address, a port that is none
        return None
    return found.hostname


def file_name(uri: str) -> str:
    """Return what a file is called that comes from a URI: its last part, else the host.

    Examples
    --------
    >>> file_name("https://example.org/a/q%201.csv?year=2001"), file_name("https://example.org/")
    ('q 1.csv', 'example-org')
    """
    parts = urlsplit(uri)
    return PurePosixPath(unquote(parts.path)).name or (parts.hostname or "file").replace(".", "-")
