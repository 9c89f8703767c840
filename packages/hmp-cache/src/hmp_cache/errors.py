"""What only the cache can refuse; the tree is in `hmp_core.errors`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from hmp_core.errors import AmbiguousReference, HmpError, InvalidInput, NotFound, PathNotFound


class EntryNotFound(NotFound):
    """No input goes by that reference; the nearest names are in ``candidates``."""


class AmbiguousEntry(AmbiguousReference):
    """Several inputs go by that reference; ``candidates`` lists their ids."""


class ValidationFailed(InvalidInput):
    """A file is not what its variable's contract expects; it is kept aside and not served.

    ``checks`` names what failed, ``path`` is where the file was put, relative to the workspace.
    """

    exit_code = 16
    checks: list[str]
    path: str


class SourceNotFound(InvalidInput):
    """No source goes by that name, or its package cannot be imported; ``known`` lists those that are installed."""

    source: str
    known: list[str]


class ArtifactGone(PathNotFound):
    """The record of a version is there, its bytes are not; ``sha256`` says which bytes they were."""

    sha256: str


class DownloadFailed(HmpError, ConnectionError):
    """Nothing usable came from a URI; every attempt is in ``failures``.

    ``reason`` is one of network, http, truncated, content; ``status`` the last HTTP status, if there was one.
    """

    exit_code = 6
    uri: str
    reason: str
    status: int | None
    attempts: int


class UpstreamChanged(HmpError):
    """What a version came from has other bytes now; nothing was changed.

    ``uri`` says where, ``expected`` is the SHA-256 of the version, ``found`` of what is there now.
    """

    exit_code = 7
    uri: str
    expected: str
    found: str


class FrozenDataError(HmpError):
    """The inputs are frozen: ``hydromodpy.lock`` does not name that, or in other bytes; nothing was changed.

    ``reference`` says what was asked for, ``expected`` the SHA-256 that the lock file names, ``found`` that of what is
    here; None where there is none.
    """

    exit_code = 8
    reference: str
    expected: str | None
    found: str | None


class RetryLater(DownloadFailed):
    """What failed is not asked for again yet; nobody was asked.

    ``next_retry`` is from when on (UTC without a zone), ``attempts`` how many fetches in a row have failed, ``reason``
    and ``status`` are those of the last; ``reason`` may also be validation or disk.
    """

    next_retry: datetime


class NotAllAdded(InvalidInput):
    """Some of many files could not be added; all the others are in.

    ``refused`` has (which of them, counted from 0; why) for each that is not, ``entries`` those that are.
    """

    refused: list[tuple[int, HmpError]]
    entries: list[Any]


class NothingThere(NotFound):
    """A source was asked, or lately was, and has nothing for that period; ``until`` is when it may be asked again.

    ``source`` and ``periods`` say who has nothing of when; ``until`` is None where it does not even offer it.
    """

    source: str
    periods: list[Any]
    until: datetime | None


class PartlyFetched(DownloadFailed):
    """Some of a period came and is kept: ``entry`` has it; what is still missing of it is in ``missing``."""

    entry: Any
    missing: list[Any]
