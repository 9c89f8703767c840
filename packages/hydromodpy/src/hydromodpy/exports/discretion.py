"""What does not leave the machine: where things lie on it, and what it is called.

A run says where its inputs lie relative to the workspace; but a parameter, a configuration, or the message of an error
may name a folder of somebody's home. Of an absolute path the last part is left, also of one into the workspace:
where that was when the run was made is not known any more once it was moved, and a run tells the same everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any
from urllib.parse import unquote, urlsplit

#: What stands for the folders of a path that is not told.
ELSEWHERE = "<path>"
#: Where a path begins: after a blank, a quote or a bracket, never within a word, a URI or a quotient of units.
_BEGINS = r"(?<![\w.:/~%\\-])(?<!<workspace>)"
_QUOTED = re.compile(r"(?P<quote>['\"`])(?P<path>(?:/|[A-Za-z]:[\\/]|\\\\)[^'\"`\n]*)(?P=quote)")
_BARE = re.compile(
    _BEGINS
    + r"(?:/[^\s/'\"`<>|:;,()\[\]{}]+(?:/[^\s/'\"`<>|:;,()\[\]{}]+)+/?|(?:[A-Za-z]:\\|\\\\)[^\s'\"`<>|;,()\[\]{}]+)"
)
_WHOLE = re.compile(r"(?:/[^/\n]+/|[A-Za-z]:[\\/]|\\\\)[^\n]*")
_FILE_URI = re.compile(r"file:/+[^\s'\"`<>]+")


@dataclass(frozen=True, slots=True)
class Discretion:
    """Says of texts and values what may be known elsewhere.

    Parameters
    ----------
    host
        The name that the machine does not leave in the message of an error; None where it may.
    """

    host: str | None = None

    def text(self, said: str) -> str:
        """Return a text without absolute paths.

        Examples
        --------
        >>> Discretion().text("no such file: '/home/anna/my models/q.csv' nor /opt/grid/dem.tif; https://a.org/b/c is")
        "no such file: '<path>/q.csv' nor <path>/dem.tif; https://a.org/b/c is"
        """
        if _WHOLE.fullmatch(said):
            return _last_part(said)
        found = _FILE_URI.sub(lambda match: _of_uri(match[0]), said)
        found = _QUOTED.sub(lambda match: f"{match['quote']}{_last_part(match['path'])}{match['quote']}", found)
        return _BARE.sub(lambda match: _last_part(match[0]), found)

    def error(self, said: str) -> str:
        """Return the message of an error without absolute paths and without the name of the machine."""
        found = self.text(said)
        return re.sub(rf"(?<!\w){re.escape(self.host)}(?!\w)", "<host>", found) if self.host else found

    def value(self, said: Any) -> Any:
        """Return a plain value whose texts are told with discretion."""
        if isinstance(said, str):
            return "<host>" if self.host and said == self.host else self.text(said)
        if isinstance(said, Mapping):
            return {self.text(str(name)): self.value(one) for name, one in said.items()}
        return [self.value(one) for one in said] if isinstance(said, (list, tuple)) else said

    def uri(self, said: str | None) -> str | None:
        """Return where bytes came from: a URI as it is, of a file of this machine its name."""
        if said is None:
            return None
        if said.startswith("file:"):
            return PurePosixPath(unquote(urlsplit(said).path)).name or None
        return said if "://" in said else self.text(said)


def is_web(uri: str | None) -> bool:
    """Return whether somebody else may ask for it."""
    return uri is not None and urlsplit(uri).scheme in {"http", "https", "ftp"}


def _of_uri(uri: str) -> str:
    return _last_part(unquote(urlsplit(uri).path))


def _last_part(path: str) -> str:
    """Return a path without its folders; nothing is left of a folder of the root, which may be somebody's home."""
    parts = [part for part in PureWindowsPath(path).parts if part not in {"/", "\\"}]
    few = 3
    return ELSEWHERE if len(parts) < few else f"{ELSEWHERE}/{parts[-1]}"
