"""A statement as text: its parameters, its parts, and the types it declares, before SQLite is given it."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

#: What a statement is made of: blanks and comments, text and quoted names, parameters, words, anything else.
_TOKEN = re.compile(
    r"(?P<blank>\s+|--[^\n]*|/\*.*?(?:\*/|\Z))"
    r"|(?P<quoted>'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|`(?:[^`]|``)*`|\[[^\]]*\])"
    r"|(?P<parameter>\$\d+)"
    r"|(?P<word>[^\W\d]\w*)"
    r"|(?P<other>\d[\w.]*|.)",
    re.DOTALL,
)

#: A column of these types would change what is put into it: a DOUBLE loses the sign of -0.0, a JSON its number as it
#: was written. With one more word SQLite keeps the value as it is, and the first word stays the declared type.
_KEPT = {"DOUBLE": "BLOB", "REAL": "BLOB", "FLOAT": "BLOB", "JSON": "TEXT"}

#: Statements of more characters are not remembered.
_LONG = 4_000

_BEFORE_A_COLUMN = {"(", ",", "ADD", "COLUMN"}


def parameters(sql: str) -> set[int]:
    """Return the numbers of the parameters of a statement.

    Examples
    --------
    >>> sorted(parameters("SELECT $2, '$3' WHERE a = $1 -- $4"))
    [1, 2]
    """
    return {int(text[1:]) for kind, text in _tokens(sql) if kind == "parameter"}


def parts(script: str, complete: Callable[[str], bool]) -> list[str]:
    """Return the single statements of a script; ``complete`` says whether one ends at the semicolon it ends with."""
    found, text, says = [], "", False
    for kind, token in _tokens(script):
        text += token
        says = says or (kind != "blank" and token != ";")
        if token == ";" and complete(text):
            found += [text.strip()] if says else []
            text, says = "", False
    return found + ([text.strip()] if says else [])


def question(sql: str) -> str | None:
    """Return a statement that selects as it can stand in a view, without parameters; None if it does not select.

    Examples
    --------
    >>> question("SELECT code FROM gauges WHERE area > $1;")
    'SELECT code FROM gauges WHERE area > NULL'
    >>> question("DELETE FROM gauges")
    """
    kept = [("word", "NULL") if kind == "parameter" else (kind, text) for kind, text in _tokens(sql)]
    words = [text.upper() for kind, text in kept if kind == "word"]
    if not words or words[0] not in {"SELECT", "WITH", "VALUES"}:
        return None
    return "".join(text for _, text in kept).rstrip().rstrip(";")


def declared(sql: str) -> str:
    """Return a statement whose new columns keep every value as it is given.

    Examples
    --------
    >>> declared("CREATE TABLE t (a DOUBLE, json JSON)")
    'CREATE TABLE t (a DOUBLE BLOB, json JSON TEXT)'
    """
    tokens = list(_tokens(sql))
    head = [text.upper() for kind, text in _tokens(sql.partition("(")[0]) if kind == "word"]
    if not head or head[0] not in {"CREATE", "ALTER"} or "TABLE" not in head or "AS" in head:
        return sql
    said = [place for place, (kind, _) in enumerate(tokens) if kind != "blank"]
    for before, name, here in zip(said, said[1:], said[2:], strict=False):
        kind, word = tokens[here]
        if _is_name(tokens[name]) and tokens[before][1].upper() in _BEFORE_A_COLUMN and word.upper() in _KEPT:
            tokens[here] = (kind, f"{word} {_KEPT[word.upper()]}")
    return "".join(text for _, text in tokens)


def _is_name(token: tuple[str, str]) -> bool:
    kind, text = token
    return kind == "quoted" or (kind == "word" and text.upper() != "COLUMN")


def _tokens(sql: str) -> tuple[tuple[str, str], ...]:
    return _split(sql) if len(sql) > _LONG else _known(sql)


def _split(sql: str) -> tuple[tuple[str, str], ...]:
    return tuple((str(found.lastgroup), found[0]) for found in _TOKEN.finditer(sql))


#: Whoever writes row by row says the same statement each time: to take it apart was a fifth of an event (0.07 ms).
_known = lru_cache(maxsize=256)(_split)
