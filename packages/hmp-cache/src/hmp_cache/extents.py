"""Extents: whether one has all of another, and whether two have a point in common. Nothing here knows coordinates."""

from __future__ import annotations

from hmp_cache.labels import BBox


def covers(larger: BBox, smaller: BBox) -> bool:
    """Return whether an extent has all of another.

    Examples
    --------
    >>> covers((0, 0, 9, 9), (1, 1, 9, 2)), overlap((0, 0, 1, 1), (2, 0, 3, 1))
    (True, False)
    """
    west, south, east, north = smaller
    return larger[0] <= west and larger[1] <= south and larger[2] >= east and larger[3] >= north


def overlap(one: BBox, other: BBox) -> bool:
    """Return whether two extents have a point in common."""
    return one[0] <= other[2] and other[0] <= one[2] and one[1] <= other[3] and other[1] <= one[3]
