"""``hydromodpy.results.catalog.ports``: see `hmp_core.protocols`."""

from hmp_core.protocols import CatalogBackend

__all__ = ["CatalogBackend"]
