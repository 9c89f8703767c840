"""``hydromodpy.results.run``: see `hmp_catalog.Run`."""

from hmp_catalog import Run

__all__ = ["Run"]
