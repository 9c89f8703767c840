"""Whether the bytes of inputs are still what was registered: size and time first, and the hash only if they differ."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from hmp_cache import queries
from hmp_cache.errors import ArtifactGone, EntryNotFound
from hmp_cache.records import Entry
from hmp_cache.shelf import Shelf
from hmp_cache.signature import Bytes
from hmp_core.errors import InvalidInput
from hmp_core.protocols import CatalogBackend


def check(backend: CatalogBackend, shelf: Shelf, filters: Mapping[str, Any]) -> list[Entry]:
    """Return the inputs that fit, each with its state: current, modified, missing or purged."""
    found = queries.entries(queries.find(backend, filters), shelf)
    return [_checked(entry, shelf) for entry in found]


def _checked(entry: Entry, shelf: Shelf) -> Entry:
    if entry.state != "current" or _looks_the_same(entry, shelf):
        return entry
    path = shelf.within(entry.relative_path)
    if path is None:
        return replace(entry, state="missing")
    return entry if Bytes(entry.sha256, entry.signature).are_in(path) else replace(entry, state="modified")


def _looks_the_same(entry: Entry, shelf: Shelf) -> bool:
    """Return whether a file looks as it did, and is no link, which may lead elsewhere; that is not followed (40 us)."""
    try:
        return entry.signature.fits(os.lstat(f"{shelf.workspace}/{entry.relative_path}"))
    except OSError:
        return False


def artifact(backend: CatalogBackend, shelf: Shelf, reference: str) -> Entry:
    """Return one version of an input, by its artifact id or by the SHA-256 of its bytes.

    Where several inputs have had these bytes, the version that is current comes first, then the newest.

    Raises
    ------
    EntryNotFound
        If no input ever had them.
    InvalidInput
        If it is neither an id nor a SHA-256.
    """
    text = str(reference).strip().lower()
    column = "sha256" if re.fullmatch(r"[0-9a-f]{64}", text) else "artifact_id"
    if column == "artifact_id" and not re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", text):
        message = f"{reference!r} is neither the id of an artifact nor a SHA-256 (64 hex digits)"
        raise InvalidInput(message)
    found = queries.entries(queries.versions(backend, column, text), shelf)
    if not found:
        message = f"no input has ever had the version {text}"
        raise EntryNotFound(message, reference=text, candidates=[])
    return min(found, key=lambda entry: entry.state != "current")


def path_of(backend: CatalogBackend, shelf: Shelf, sha256: str) -> Path:
    """Return where the bytes with this SHA-256 lie.

    Raises
    ------
    ArtifactGone
        If a record of them is here, but not the bytes.
    EntryNotFound, InvalidInput
        See `artifact`.
    """
    version = artifact(backend, shelf, sha256)
    for path in _places(backend, shelf, version.sha256):
        return path
    message = f"the bytes {version.sha256[:12]} of {version.name} are not here any more; add or fetch them again"
    raise ArtifactGone(message, path=version.relative_path, sha256=version.sha256)


def _places(backend: CatalogBackend, shelf: Shelf, sha256: str) -> Iterator[Path]:
    kept = shelf.version(sha256)
    if kept.exists():
        yield kept
    for entry in queries.entries(queries.versions(backend, "sha256", sha256), shelf):
        path = shelf.within(entry.relative_path)
        if path is not None and Bytes(sha256, entry.signature).are_in(path):
            yield path
