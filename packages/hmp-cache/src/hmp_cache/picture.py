"""The ledger of what is covered as a picture of letters: a bar for each series, over one axis of time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from hmp_cache import windows
from hmp_cache.windows import EVER, Window
from hmp_core.cli.show import plain


@dataclass(frozen=True, slots=True)
class Marks:
    """What stands for what."""

    held: str
    partly: str
    empty: str
    missing: str
    tick: str
    nothing: str = " "


BLOCKS = Marks(held="█", partly="▒", empty="○", missing="·", tick="│")
ASCII = Marks(held="#", partly="+", empty="o", missing=".", tick="|")

#: Letters that a bar has at least, and that a name has at most.
_BAR, _NAME = 20, 36


def marks_for(encoding: str | None) -> Marks:
    """Return marks that an output of this encoding can show."""
    try:
        "".join((BLOCKS.held, BLOCKS.partly, BLOCKS.empty, BLOCKS.missing, BLOCKS.tick)).encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return BLOCKS


def draw(
    rows: Sequence[Mapping[str, Any]], *, width: int, marks: Marks = BLOCKS, period: Window | None = None
) -> list[str]:
    """Return the lines of a picture.

    Parameters
    ----------
    rows
        Those of `InputsNamespace.coverage`.
    width
        Letters in a line; a bar has 20 at least.
    marks
        What stands for what.
    period
        What the axis spans; by default what the rows of what is held, empty and missing do.

    Returns
    -------
    list of str
        A line for each series, the axis, and what the marks mean; nothing where there is nothing to show.
    """
    series = _series(rows)
    span = period or _span(row for row in rows if row["state"] != "offered")
    if not series or span is None:
        return []
    names = {key: _named(key) for key in series}
    room = min(_NAME, max(map(len, names.values())))
    length = max(_BAR, width - room - 1)
    cells = _cells(span, length)
    offers = [row for row in rows if row["state"] == "offered"]
    lines = [
        f"{names[key][:room].ljust(room)} {_bar(found, _offered(key, offers), cells, marks)}".rstrip()
        for key, found in series.items()
    ]
    return [*lines, *_axis(span, length, room, marks), _legend(marks, room)]


def _series(rows: Iterable[Mapping[str, Any]]) -> dict[tuple[Any, ...], list[Mapping[str, Any]]]:
    found: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["state"] != "offered":
            key = tuple(row[name] for name in ("variable", "source", "station_id", "frequency"))
            found.setdefault(key, []).append(row)
    return found


def _named(key: tuple[Any, ...]) -> str:
    variable, source, station, frequency = key
    return plain(" ".join(word for word in (station, variable, frequency, source) if word))


def _span(rows: Iterable[Mapping[str, Any]]) -> Window | None:
    """Return from the first moment to the last; what has always been, or goes on, is no end."""
    ends = [_window(row) for row in rows]
    starts = [start for start, _ in ends if start != EVER]
    lasts = [end for _, end in ends if end < datetime(9999, 1, 1)]
    first, last = min([*starts, *lasts], default=None), max([*starts, *lasts], default=None)
    return None if first is None or last is None or first >= last else (first, last)


def _window(row: Mapping[str, Any]) -> Window:
    return row["start"] or EVER, (row["end"] or datetime(9999, 12, 31)) + timedelta(microseconds=1)


def _cells(span: Window, length: int) -> list[Window]:
    edges = [span[0] + (span[1] - span[0]) * n / length for n in range(length + 1)]
    return list(pairwise(edges))


def _offered(key: tuple[Any, ...], offers: Sequence[Mapping[str, Any]]) -> list[Window] | None:
    """Return when a source has something, by what it says; None if it says nothing of that."""
    same = [o for o in offers if (o["variable"], o["source"]) == key[:2] and key[3] in {None, o["frequency"]}]
    return [_window(offer) for offer in same] or None


def _bar(found: Sequence[Mapping[str, Any]], offered: list[Window] | None, cells: list[Window], marks: Marks) -> str:
    held = windows.union(_window(row) for row in found if row["state"] == "held")
    empty = windows.union(_window(row) for row in found if row["state"] == "empty")
    return "".join(_mark(cell, held, empty, offered, marks) for cell in cells)


def _mark(cell: Window, held: list[Window], empty: list[Window], offered: list[Window] | None, marks: Marks) -> str:
    there = windows.common([cell], held)
    if there == [cell]:
        return marks.held
    left = windows.difference([cell], [*held, *empty])
    wanted = left if offered is None else windows.common(left, offered)
    if there:
        return marks.partly if wanted else marks.held
    nothing = windows.common([cell], empty)
    if not wanted and not nothing:
        return marks.nothing
    return marks.missing if _long(wanted) >= _long(nothing) else marks.empty


def _long(found: list[Window]) -> timedelta:
    return sum((end - start for start, end in found), timedelta(0))


def _axis(span: Window, length: int, room: int, marks: Marks) -> list[str]:
    """Return a line of ticks and a line of what they are: years, or days where it is a matter of days."""
    ticks, words = [" "] * length, [" "] * (length + 10)
    free = 0
    for moment, word in _moments(span, length // 6):
        place = int((moment - span[0]) / (span[1] - span[0]) * length)
        if 0 <= place < length and place >= free:
            ticks[place] = marks.tick
            words[place : place + len(word)] = word
            free = place + len(word) + 1
    gap = " " * (room + 1)
    return [f"{gap}{''.join(ticks)}".rstrip(), f"{gap}{''.join(words)}".rstrip()]


def _moments(span: Window, at_most: int) -> list[tuple[datetime, str]]:
    start, end = span
    years = range(start.year, end.year + 1)
    if len(years) > 2:
        step = next(s for s in (1, 2, 5, 10, 20, 50, 100, 1000, 9999) if len(years) / s <= max(2, at_most))
        return [(datetime(year, 1, 1), str(year)) for year in years if year % step == 0]
    days = (end - start).days + 1
    step = next(s for s in (1, 2, 5, 10, 30, 60, 91, 366) if days / s <= max(2, at_most // 2))
    first = datetime(start.year, start.month, start.day)
    return [(first + timedelta(days=n), f"{first + timedelta(days=n):%Y-%m-%d}") for n in range(0, days + 1, step)]


def _legend(marks: Marks, room: int) -> str:
    said = (
        (marks.held, "held"), (marks.partly, "partly held"), (marks.empty, "source has nothing"),
        (marks.missing, "missing"), ("blank", "not offered"),
    )  # fmt: skip
    return f"{' ' * (room + 1)}{'   '.join(f'{mark} {word}' for mark, word in said)}"
