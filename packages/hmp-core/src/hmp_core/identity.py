"""What things are called and how content is recognised: ids, slugs, SHA-256 of files and trees."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import time
import unicodedata
from pathlib import Path
from uuid import UUID, uuid4, uuid5

from hmp_core.errors import InvalidInput

#: Names derived from content (entries, artifacts) live in this namespace, the same on every machine.
NAMESPACE = UUID("6f2f1b0e-5f0a-5c39-9d5e-6a7d3c1e8b42")

_CHUNK = 1 << 20


def uuid7(milliseconds: int | None = None) -> UUID:
    """Return a version 7 UUID (RFC 9562, section 5.7): 48 bits of Unix milliseconds, then random bits."""
    stamp = time.time_ns() // 1_000_000 if milliseconds is None else milliseconds
    value = (stamp & 0xFFFF_FFFF_FFFF) << 80 | secrets.randbits(80)
    value = (value & ~(0xF << 76)) | (0x7 << 76)
    value = (value & ~(0x3 << 62)) | (0x2 << 62)
    return UUID(int=value)


def random_id() -> UUID:
    """Return a random (version 4) id: its first hex digits tell runs of the same minute apart."""
    return uuid4()


def derived_id(*parts: str) -> UUID:
    """Return the id that the same ``parts`` always give (version 5, RFC 9562, section 5.5).

    Raises
    ------
    InvalidInput
        For text that is none, as the name of a file in another encoding.
    """
    try:
        return uuid5(NAMESPACE, "\x1f".join(parts))
    except UnicodeEncodeError as error:
        message = f"{parts!r} cannot be part of an id: {error}"
        raise InvalidInput(message) from error


def slug(text: str, *, length: int = 32) -> str:
    """Return ``text`` as a file name part: ASCII, lower case, ``[a-z0-9_-]``, never empty.

    Examples
    --------
    >>> slug("Forêt d'Orléans (sud)")
    'foret-d-orleans-sud'
    """
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9_]+", "-", ascii_text.lower())[:length].strip("-") or "unnamed"


def sha256_bytes(data: bytes) -> str:
    """Return the SHA-256 of ``data`` as 64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of the file's bytes as 64 hex digits, read in blocks of 1 MiB.

    Never call this on a live database: closing the descriptor would drop the engine's lock.

    Raises
    ------
    InvalidInput
        If ``path`` is a database file.
    """
    refuse_database(path)
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_CHUNK):
            digest.update(block)
    return digest.hexdigest()


def sha256_tree(folder: Path) -> str:
    """Return the SHA-256 of a folder: of the sorted lines ``<relative path> NUL <file hash>``."""
    digest = hashlib.sha256()
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    for file in files:
        line = f"{file.relative_to(folder).as_posix()}\0{sha256_file(file)}\n"
        digest.update(line.encode())
    return digest.hexdigest()


def sha256_path(path: Path) -> str:
    """Return the hash of a file, or the tree hash of a folder."""
    return sha256_tree(path) if path.is_dir() else sha256_file(path)


def refuse_database(path: Path) -> None:
    """Raise `InvalidInput` for a database file: its bytes are read through the engine alone.

    Closing *any* descriptor on a database drops the POSIX lock its engine holds in this process, and a
    second writer then destroys data (measured on DuckDB 1.5 and 2.0).
    """
    real = os.path.realpath(path)
    if real.endswith((".duckdb", ".duckdb.wal")):
        message = f"{os.fspath(path)}: a database is never read as a file: export what you need from it"
        raise InvalidInput(message)
