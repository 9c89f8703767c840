"""What does not leave the machine: where things lie on it, what it is called, and what lets somebody in.

A run says where its inputs lie relative to the workspace; but a parameter, a configuration, or the message of an error
may name a folder of somebody's home. Of an absolute path the last part is left, also of one into the workspace:
where that was when the run was made is not known any more once it was moved, and a run tells the same everywhere.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any
from urllib.parse import unquote, urlsplit

from hmp_cache.addresses import lets_in, public

#: What stands for the folders of a path that is not told, for the machine, and for a password or a key.
ELSEWHERE, MACHINE, HIDDEN = "<path>", "<host>", "..."
#: Where a path begins: never within a word, a relative path or a quotient of units; after an option as ``-I`` it does.
_BEGINS = r"(?:(?<![\w./~%\\-])(?<!<workspace>)|(?<=[\s'\"=]-[A-Z]))"
_PART = r"[^\s/'\"`<>|:;,()\[\]{}]+"
_QUOTED = re.compile(r"(?P<quote>['\"`])(?P<path>(?:/|[A-Za-z]:[\\/]|\\\\)[^'\"`\n]*)(?P=quote)")
#: An address elsewhere, or a path; one letter and a colon are a drive.
_BARE = re.compile(
    rf"(?P<uri>(?!file:)[A-Za-z][\w+.-]+://[^/\s]\S*)|{_BEGINS}(?:/+{_PART}(?:/+{_PART})+/?"
    r"|(?:[A-Za-z]:\\|\\\\)[^\s'\"`<>|;,()\[\]{}]+)"
)
_WHOLE = re.compile(r"(?:/+[^/\n]+/|[A-Za-z]:[\\/]|\\\\)[^\n]*")
#: An address of this machine: that of a file, and one without a host, as of a database.
_LOCAL = re.compile(r"(?P<scheme>file:/+|[A-Za-z][\w+.-]*:/{3,})[^\s'\"`<>]+")


@dataclass(frozen=True, slots=True)
class Discretion:
    """Says of texts and values what may be known elsewhere.

    Parameters
    ----------
    host
        The name of the machine, which does not leave it in an error, an address or a value; None where it may.
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
        found = _LOCAL.sub(_of_local, said)
        found = _QUOTED.sub(lambda match: f"{match['quote']}{_last_part(match['path'])}{match['quote']}", found)
        return _BARE.sub(lambda match: self._address(match["uri"]) if match["uri"] else _last_part(match[0]), found)

    def maybe(self, said: str | None) -> str | None:
        """Return the same of what may not have been said."""
        return None if said is None else self.text(said)

    def error(self, said: str) -> str:
        """Return the message of an error without absolute paths and without the name of the machine."""
        found = self.text(said)
        return re.sub(rf"(?<!\w){re.escape(self.host)}(?!\w)", MACHINE, found) if self.host else found

    def value(self, said: Any) -> Any:
        """Return a plain value whose texts are told with discretion."""
        if isinstance(said, str):
            return MACHINE if self.host and said == self.host else self.text(said)
        if isinstance(said, Mapping):
            return {shown: self.named(name, said[name]) for name, shown in self.names(said).items()}
        return [self.value(one) for one in said] if isinstance(said, (list, tuple)) else said

    def names(self, said: Iterable[Any]) -> dict[Any, str]:
        """Return under what each name is told; two that are paths may have become one, and stay apart."""
        found, seen = {}, Counter[str]()
        for name in said:
            shown = self.text(str(name))
            seen[shown] += 1
            found[name] = shown if seen[shown] == 1 else f"{shown} ({seen[shown]})"
        return found

    def named(self, name: Any, said: Any) -> Any:
        """Return what goes by a name; not a password or a key."""
        return HIDDEN if isinstance(said, str) and lets_in(str(name), said) else self.value(said)

    def _address(self, said: str) -> str:
        """Return an address within a text, as others may know it."""
        bare = said.rstrip(".,;:!?'\"`)]}>")
        found = public(bare)
        if self.host:
            found = re.sub(rf"(?<=://){re.escape(self.host)}(?!\w)", MACHINE, found)
        return found + said[len(bare) :]

    def uri(self, said: str | None) -> str | None:
        """Return where bytes came from: a URI as it is, of a file of this machine its name."""
        if said is None:
            return None
        if said.startswith("file:"):
            return PurePosixPath(unquote(urlsplit(said).path)).name or None
        return public(said) if is_web(said) and "::" not in said else self.text(said)


def is_web(uri: str | None) -> bool:
    """Return whether somebody else may ask for it."""
    return uri is not None and urlsplit(uri).scheme in {"http", "https", "ftp"}


def _of_local(match: re.Match[str]) -> str:
    """Return the last part of an address of this machine, with the kind of the address where that says something."""
    scheme = match["scheme"].partition(":")[0]
    path = "/" + unquote(urlsplit(match[0]).path).lstrip("/")
    return ("" if scheme == "file" else f"{scheme}:///") + _last_part(path)


def _last_part(path: str) -> str:
    """Return a path without its folders; nothing is left of a folder of the root, which may be somebody's home."""
    path = f"/{path.lstrip('/')}" if path.startswith("/") else path  # of Windows two are the name of a server
    parts = [part for part in PureWindowsPath(path).parts if part not in {"/", "\\"}]
    few = 3
    return ELSEWHERE if len(parts) < few else f"{ELSEWHERE}/{parts[-1]}"
