"""Why a service says no: the sentence that web services put into the body of an error."""

from __future__ import annotations

import re

_LONGEST = 200
#: Open-Meteo says ``reason``, Hub'Eau ``message``; RFC 9457 has ``detail`` and ``title``.
_KEYS = ("reason", "message", "detail", "title", "error")


def reason_in(head: bytes) -> str:
    """Return the reason in the first bytes of a JSON body; empty if there is none.

    Examples
    --------
    >>> reason_in(b'{"error": true, "reason": "Latitude must be in range of -90 to 90."}')
    'Latitude must be in range of -90 to 90.'
    >>> reason_in(b"<html>")
    ''
    """
    if not head.lstrip().startswith(b"{"):
        return ""
    text = head.decode(errors="replace")
    for key in _KEYS:
        # by its key, not by parsing: the head of a long body is no complete JSON
        found = re.search(rf'"{key}"\s*:\s*"((?:[^"\\]|\\.)*)"', text)
        if found:
            return _unescaped(found[1])
    return ""


def _unescaped(text: str) -> str:
    """Return JSON text without its escapes, on one line; where they are wrong they stay, for a person to read."""
    import json

    try:
        text = json.loads(f'"{text}"', strict=False)
    except ValueError:
        return text[:_LONGEST]
    readable = text.encode(errors="replace").decode()  # "\\ud800" alone is no character that could be kept
    return " ".join(readable.split())[:_LONGEST]
