"""``hydromodpy.results.catalog``: see `hmp_catalog`."""

from hmp_catalog import SimulationCatalog
from hmp_catalog.writes import WritesMixin

__all__ = ["SimulationCatalog", "WritesMixin"]
