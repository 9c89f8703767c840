"""Acquisition: what a measuring session records as it happens; its runs, events and frames."""

from __future__ import annotations

from hmp_catalog.acquisition.catalog import Catalog
from hmp_catalog.acquisition.checking import verify
from hmp_catalog.acquisition.clearing import delete_run, gc
from hmp_catalog.acquisition.events import Event
from hmp_catalog.acquisition.images import LazyImageSequence
from hmp_catalog.acquisition.index import IndexedRun, IndexWriter, MasterIndex
from hmp_catalog.acquisition.indexing import Refreshed
from hmp_catalog.acquisition.looking import Finding
from hmp_catalog.acquisition.records import BeamtimeInfo, ResearcherInfo, RunSummary, SampleMetadata
from hmp_catalog.acquisition.run import Run
from hmp_catalog.acquisition.schema import (
    BEAMTIME_SCHEMA_VERSION,
    INDEX_SCHEMA_VERSION,
    create_beamtime_schema,
    create_index_schema,
    migrate_beamtime_schema,
    migrate_index_schema,
)
from hmp_catalog.acquisition.writer import RunWriter

__all__ = [
    "BEAMTIME_SCHEMA_VERSION",
    "INDEX_SCHEMA_VERSION",
    "BeamtimeInfo",
    "Catalog",
    "Event",
    "Finding",
    "IndexWriter",
    "IndexedRun",
    "LazyImageSequence",
    "MasterIndex",
    "Refreshed",
    "ResearcherInfo",
    "Run",
    "RunSummary",
    "RunWriter",
    "SampleMetadata",
    "create_beamtime_schema",
    "create_index_schema",
    "delete_run",
    "gc",
    "migrate_beamtime_schema",
    "migrate_index_schema",
    "verify",
]
