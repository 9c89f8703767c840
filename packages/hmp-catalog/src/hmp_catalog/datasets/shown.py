"""How data sets and variables are shown."""

from __future__ import annotations

import html as _html
from typing import Any

from hmp_core.errors import InvalidInput

#: How many attributes are listed, and how long the text of one may be.
_MOST, _LONG = 12, 60


def html(text: str) -> str:
    """Return a text as a notebook shows it."""
    return f"<pre>{_html.escape(text)}</pre>"


def variable(of: Any) -> str:
    """Return a variable in a few lines."""
    title = f"<hmp.{type(of).__name__} {of.name!r}>"
    if not of.is_open or not of.is_current:
        return f"{title} ({'labels moved since' if of.is_open else 'closed'})"
    lines = [
        title,
        f"    dtype         {_type(of)}",
        f"    dimensions    {_along(of)}",
        f"    chunk shape   {of.chunk_shape}",
    ]
    lines += _coordinates(of.coords) if type(of).__name__.startswith("Data") else [f"    values        {_ends(of)}"]
    return "\n".join(lines + _attributes(of.attrs))


def dataset(of: Any) -> str:
    """Return a data set in a few lines."""
    title = f"<hmp.{type(of).__name__} {str(of.file_path)!r}>"
    if not of.is_open:
        return f"{title} (closed)"
    about = f"    {of.dataset_type}, {of.compression}, {'to be written' if of.writable else 'read only'}"
    lines = [title, about, *_coordinates(_as_they_lie(of)), "Data variables:"]
    lines += [f"    {each.name:<20}  {_along(each)}  {_type(each)}" for each in of.data_vars]
    return "\n".join(lines + _attributes(of.attrs))


def _type(of: Any) -> str:
    """Return the type of values; others may have written some that are not read here."""
    try:
        return str(of.dtype.name)
    except InvalidInput:
        return "of a type that is not read here"


def _along(of: Any) -> str:
    if len(of.coord_names) != of.ndims:
        return str(of.shape)
    return f"({', '.join(f'{name}: {size}' for name, size in zip(of.coord_names, of.shape, strict=True))})"


def _coordinates(coords: Any) -> list[str]:
    return [
        "Coordinates:",
        *(f"    {each.name:<20}  ({each.shape[0]})  {each.dtype.name}  {_ends(each)}" for each in coords),
    ]


def _as_they_lie(of: Any) -> list[Any]:
    """Return the coordinates of a data set in the order of the dimensions of its data."""
    along = [name for each in sorted(of.data_vars, key=lambda each: -each.ndims) for name in each.coord_names]
    order = list(dict.fromkeys([*along, *of.coord_names]))
    return sorted(of.coords, key=lambda each: order.index(each.name))


def _ends(coord: Any) -> str:
    found = coord.data
    if not found.ndim:
        return str(found)
    return " ... ".join(_short(found[place]) for place in sorted({0, len(found) - 1})) if len(found) else "none"


def _attributes(attrs: Any) -> list[str]:
    found = attrs.data
    listed = [f"    {key:<20}  {_short(value)}" for key, value in list(found.items())[:_MOST]]
    more = [f"    and {len(found) - _MOST} more"] if len(found) > _MOST else []
    return ["Attributes:", *listed, *more] if found else []


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= _LONG else f"{text[: _LONG - 3]}..."
