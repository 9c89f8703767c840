"""What is promised: the contracts that adapters keep and the suites of `hmp_core.testing` judge."""

from hmp_core.protocols.auth import AuthBackend
from hmp_core.protocols.backend import BackendFactory, BulkBackend, CatalogBackend, StoreBackend

__all__ = ["AuthBackend", "BackendFactory", "BulkBackend", "CatalogBackend", "StoreBackend"]
