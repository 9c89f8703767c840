"""``hydromodpy.data.registry``: see `hmp_cache`."""

from hmp_cache import DataCatalogDuckDB

__all__ = ["DataCatalogDuckDB"]
