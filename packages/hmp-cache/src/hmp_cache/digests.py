"""Hashes that a server sends with its data (RFC 9530 and its forerunners), and holding what came to them."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

#: What the algorithms are called in headers -> in `hashlib`. What is not here promises nothing that we can check.
_ALGORITHMS = {"sha-256": "sha256", "sha-512": "sha512", "md5": "md5", "sha": "sha1"}
_ENTRY = re.compile(r"([A-Za-z0-9-]+)\s*=\s*:?([A-Za-z0-9+/=]+):?")


@dataclass(slots=True)
class Promise:
    """A hash that was promised, and that of what came so far."""

    header: str
    algorithm: str
    expected: bytes
    #: of all the data, not only of what this answer carries
    of_all: bool
    found: Any

    @property
    def kept(self) -> bool:
        """Whether what came has that hash."""
        return bool(self.found.digest() == self.expected)


def promised(headers: Mapping[str, str], *, partial: bool) -> list[Promise]:
    """Return what the headers of an answer promise.

    Parameters
    ----------
    headers
        Names in any case (a mapping that does not mind).
    partial
        The answer carries the rest of something (206): then only hashes of what it carries can be checked here; for
        those of the whole, see `whole_sha256`.
    """
    found = []
    for header, algorithm, expected, of_all in _said(headers):
        name = _ALGORITHMS.get(algorithm)
        if name is not None and not (partial and of_all):
            found.append(Promise(header, name, expected, of_all, hashlib.new(name, usedforsecurity=False)))
    return found


def whole_sha256(headers: Mapping[str, str]) -> str | None:
    """Return the SHA-256 (hex) of the whole data that an answer promises, also where it carries a part of them."""
    said = (value for _, algorithm, value, of_all in _said(headers) if of_all and algorithm == "sha-256")
    return next((value.hex() for value in said), None)


def _said(headers: Mapping[str, str]) -> Iterator[tuple[str, str, bytes, bool]]:
    """Yield header, algorithm, hash, and whether it is of all the data."""
    for header, of_all in (("Repr-Digest", True), ("Digest", True), ("Content-Digest", False)):
        for algorithm, text in _ENTRY.findall(headers.get(header, "")):
            yield from ((header, algorithm.lower(), value, of_all) for value in _bytes(text))
    for value in _bytes(headers.get("Content-MD5", "")):
        yield "Content-MD5", "md5", value, False


def _bytes(text: str) -> list[bytes]:
    """Return what base64 text stands for; nothing where it is none."""
    try:
        return [base64.b64decode(text, validate=True)] if text else []
    except (binascii.Error, ValueError):
        return []
