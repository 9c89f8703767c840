"""Who keeps the promise of `CatalogBackend`: one adapter a module, each the sole importer of its engine."""

from hmp_core.backends.duckdb import DuckDBBackend
from hmp_core.backends.sqlite import SQLiteBackend

__all__ = ["DuckDBBackend", "SQLiteBackend"]
