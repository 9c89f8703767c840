"""``hydromodpy.results.catalog.writes``: see `hmp_catalog.writes`."""

from hmp_catalog.writes import WritesMixin

__all__ = ["WritesMixin"]
