"""How verbs speak: tables for people, JSON lines for programs, notices beside the answer."""

from __future__ import annotations

import json
import math
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

#: What turns the direction of the letters after it.
_TURNS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def emit(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None, *, as_json: bool = False) -> None:
    """Print rows on standard output.

    Parameters
    ----------
    rows
        What to print, one mapping a row.
    columns
        Which keys, in which order; by default those of the first row.
    as_json
        One JSON object a line instead of a table.
    """
    names = list(columns) if columns is not None else list(rows[0]) if rows else []
    if as_json:
        for row in rows:
            print(_json({n: row.get(n) for n in names}))
        return
    if not rows:
        print("nothing found")
        return
    texts = [[_text(row.get(n)) for n in names] for row in rows]
    if sys.stdout.isatty():
        _rich(names, texts)
        return
    widths = [max(len(n), *(len(t[i]) for t in texts)) for i, n in enumerate(names)]
    for line in [list(names), *texts]:
        print("  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip())


def emit_record(record: Mapping[str, Any], *, as_json: bool = False) -> None:
    """Print one record, a line per field."""
    if as_json:
        print(_json(record))
        return
    width = max((len(name) for name in record), default=0)
    for name, value in record.items():
        print(f"{name.ljust(width)}  {_text(value)}")


def notice(text: str) -> None:
    """Say on standard error what an answer lacks."""
    print(f"note: {text}", file=sys.stderr)


def _json(record: Mapping[str, Any]) -> str:
    return json.dumps(_finite(record), ensure_ascii=False, allow_nan=False, default=str)


def _finite(value: Any) -> Any:
    """Return ``value`` without the numbers that JSON does not know: null stands for them."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    return value


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (dict, list, tuple)):
        return plain(json.dumps(value, ensure_ascii=False, default=str))
    return plain(str(value))


def plain(text: str) -> str:
    """Return ``text`` as one line that a terminal only shows: what would command it is written out, as ``\\x1b``.

    A name is chosen by whoever bears it: it must not clear a screen, nor add a line to a table.
    """
    return text if text.isprintable() else "".join(_written_out(sign) for sign in text)


def _written_out(sign: str) -> str:
    commands = unicodedata.category(sign) in {"Cc", "Cs", "Zl", "Zp"} or unicodedata.bidirectional(sign) in _TURNS
    return sign.encode("unicode_escape").decode() if commands else sign


def _rich(names: Sequence[str], texts: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold")
    for name in names:
        table.add_column(name, overflow="fold")
    for line in texts:
        table.add_row(*line)
    # a name like "[red]" or ":warning:" is a name
    Console(markup=False, emoji=False).print(table)
