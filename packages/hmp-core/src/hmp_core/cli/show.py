"""How verbs speak: tables for people, JSON lines and CSV for programs, notices beside the answer."""

from __future__ import annotations

import csv
import json
import math
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

#: How a verb can answer.
FORMS = ("table", "json", "csv")
#: What turns the direction of the letters after it.
_TURNS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def emit(
    rows: Sequence[Mapping[str, Any]],
    columns: Sequence[str] | None = None,
    *,
    as_json: bool = False,
    form: str = "table",
) -> None:
    """Print rows on standard output.

    Parameters
    ----------
    rows
        What to print, one mapping a row.
    columns
        Which keys, in which order; by default those of the first row.
    as_json
        The same as ``form="json"``.
    form
        "table"; "json", an object a line; or "csv", a line of names and a line a row, whose numbers have every digit.
    """
    names = list(columns) if columns is not None else list(rows[0]) if rows else []
    if as_json or form == "json":
        for row in rows:
            print(_json({n: row.get(n) for n in names}))
        return
    if form == "csv":
        _csv(names, rows)
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


def emit_record(record: Mapping[str, Any], *, as_json: bool = False, form: str = "table") -> None:
    """Print one record, a line per field; as JSON or CSV it is one row."""
    if as_json or form in {"json", "csv"}:
        emit([record], as_json=as_json, form=form)
        return
    width = max((len(name) for name in record), default=0)
    for name, value in record.items():
        print(f"{name.ljust(width)}  {_text(value)}")


def notice(text: str) -> None:
    """Say on standard error what an answer lacks."""
    print(f"note: {text}", file=sys.stderr)


def _json(value: Any) -> str:
    return json.dumps(_finite(value), ensure_ascii=False, allow_nan=False, default=str)


def _finite(value: Any) -> Any:
    """Return ``value`` without the numbers that JSON does not know: null stands for them."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    return value


def _csv(names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    shown = plain if sys.stdout.isatty() else str
    lines = csv.writer(sys.stdout, lineterminator="\n")
    lines.writerow([shown(name) for name in names])
    lines.writerows([shown(_cell(row.get(name))) for name in names] for row in rows)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return _json(value) if isinstance(value, (dict, list, tuple)) else str(value)


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
