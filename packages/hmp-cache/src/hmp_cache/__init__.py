"""The input cache of a workspace: downloads and custom files, every version of them, how each was obtained.

The map: `open` gives an `InputsNamespace`: ``add`` a file, ``fetch`` a URI, ``find`` an `Entry`. `DataCatalogDuckDB`
registers files where they lie, over the same rooms: `labels` (what is the same input), `intake` (how bytes come in),
`shelf` (where they lie), `sidecar` (what is said beside them), `fetching` and `http`, `validation` and `contracts`,
`obtaining` and `series` (what a source is asked for), `coverage` (what is held, and what is missing), `purging`,
`restoring` and `mending` over `changes` (what becomes of bytes), `locking` and `frozen` (exactly these bytes).
"""

from hmp_cache.catalog_duckdb import DataCatalogDuckDB
from hmp_cache.door import open  # noqa: A004 - the documented name of the door
from hmp_cache.errors import (
    AmbiguousEntry,
    ArtifactGone,
    DownloadFailed,
    EntryNotFound,
    FrozenDataError,
    NotAllAdded,
    NothingThere,
    PartlyFetched,
    RetryLater,
    SourceNotFound,
    UpstreamChanged,
    ValidationFailed,
)
from hmp_cache.inputs import InputsNamespace
from hmp_cache.records import Entry, Fetched
from hmp_cache.retries import Retry

__all__ = [
    "AmbiguousEntry",
    "ArtifactGone",
    "DataCatalogDuckDB",
    "DownloadFailed",
    "Entry",
    "EntryNotFound",
    "Fetched",
    "FrozenDataError",
    "InputsNamespace",
    "NotAllAdded",
    "NothingThere",
    "PartlyFetched",
    "Retry",
    "RetryLater",
    "SourceNotFound",
    "UpstreamChanged",
    "ValidationFailed",
    "__version__",
    "open",
]
__version__ = "0.1.0"
