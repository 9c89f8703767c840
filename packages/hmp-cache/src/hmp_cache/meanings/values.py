"""Plain values of an event as the columns of a row have them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hmp_core.events import Event
from hmp_core.events.record import to_json


def at(event: Event) -> datetime:
    """Return when an event happened, UTC without a zone."""
    return datetime.fromtimestamp(event.at / 1e6, UTC).replace(tzinfo=None)


def moment(text: str | None) -> datetime | None:
    """Return the moment that ISO 8601 text names."""
    return datetime.fromisoformat(text) if text else None


def json(value: Any) -> str | None:
    """Return JSON; nothing for nothing."""
    return None if value is None else to_json(value)


def polygon(bbox: list[float] | None) -> str | None:
    """Return an extent as WKT."""
    if not bbox:
        return None
    xmin, ymin, xmax, ymax = bbox
    corners = ((xmin, ymin), (xmax, ymin), (xmax, ymax), (xmin, ymax), (xmin, ymin))
    return f"POLYGON (({', '.join(f'{x!r} {y!r}' for x, y in corners)}))"


def box(bbox: list[float] | None) -> dict[str, float | None]:
    """Return an extent as four columns."""
    return dict(zip(("bbox_xmin", "bbox_ymin", "bbox_xmax", "bbox_ymax"), bbox or (None,) * 4, strict=True))
