"""Where things are drawn: the axes a user gave, or new ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hmp_core.errors import MissingPart

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def axes(given: Axes | None = None, **how: Any) -> Axes:
    """Return the axes that were given, or new ones in a figure of their own.

    Raises
    ------
    MissingPart
        If matplotlib is not installed.
    """
    try:
        from matplotlib import pyplot
    except ImportError as error:
        message = "plots are drawn with matplotlib: pip install 'hmp-catalog[plot]'"
        raise MissingPart(message, install="hmp-catalog[plot]") from error
    if given is not None:
        return given
    drawn: Axes = pyplot.subplots(layout="constrained", **how)[1]
    return drawn
