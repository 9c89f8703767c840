"""Events in, rows per table out: what the cache's log means. Pure; rebuilding reads the sidecars into the same fold.

Kinds of events, all of version 1; what each means is in `hmp_cache.meanings`:

``input.stored``
    A version of an input is on the disk: the entry, the artifact, the one it superseded, its provenance and report.
``input.sighted``
    The file was read and is that version, though its time or place on the disk is another than was known.
``input.confirmed``
    Upstream was asked and had the same bytes; how it calls them now.
``input.purged``, ``input.restored``
    The bytes of a version went on purpose, and came back; the record stays.
``input.removed``
    An input is no longer wanted: it is hidden until it is stored again.
``input.failed``
    An attempt to obtain an input failed.
``input.rejected``
    Bytes arrived that their contract does not accept; they are kept aside.
``source.described``, ``source.answered``
    What a source says it offers; what it had of a period, or that it had nothing.
``station.described``
    Where a station is and what it is called.
``artifact.written``, ``provenance.written``, ``report.written``
    What the low-level inserters of `DataCatalogDuckDB` were told.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path

from hmp_cache import sidecar
from hmp_cache.meanings import inputs, sources, written
from hmp_core.errors import CorruptError, SchemaTooNewError
from hmp_core.events import Event, Fold, NotYet, Row, Table

_log = logging.getLogger(__name__)

#: Columns of an entry that follow its current version.
_CURRENT = ("name", "artifact_id", "file_path", "sha256", "fetch_metadata")
_SIGHTED = ("file_mtime", "file_mtime_ns", "file_inode")

TABLES = (
    Table(
        "entries",
        ("id",),
        groups={"current": _CURRENT, "state": ("state",), "sighted": _SIGHTED},
        subject="id",
    ),
    Table("artifacts", ("id",), groups={"place": ("state", "path")}, subject="entry_id"),
    Table("provenance", ("id",), subject="entry_id"),
    Table(
        "stations",
        ("id",),
        groups={"described": ("name", "lat", "lon", "z"), "valid": ("first_valid", "last_valid")},
    ),
    Table("coverage", ("id",)),
    Table("api_coverage", ("id",)),
    Table("failures", ("id",)),
    Table("validation_reports", ("id",), subject="entry_id"),
)

_MEANINGS = inputs.MEANINGS | sources.MEANINGS | written.MEANINGS


def rows(event: Event, root: Path) -> Iterable[Row]:  # noqa: ARG001 - the signature is the contract
    """Return what an event says.

    Raises
    ------
    NotYet
        For a kind or a version that only a newer hmp knows.
    """
    meaning = _MEANINGS.get(event.kind)
    if meaning is None or event.v > 1:
        message = f"{event.kind} v{event.v} is of a newer hmp"
        raise NotYet(message)
    return meaning(event)


def files(root: Path) -> Iterator[Event]:
    """Yield the events that the sidecars of a ``data`` folder hold; one that cannot be read is logged."""
    for path in sidecar.every(root):
        try:
            found = sidecar.read(path)
        except (CorruptError, SchemaTooNewError) as error:
            # the caller reports it (see `InputsNamespace.rebuild`); what the log knows of it is not lost
            _log.error("%s", error)
            continue
        yield from found.events if found else ()


FOLD = Fold(
    component="cache",
    migrations=Path(__file__).parent / "sql" / "migrations",
    tables=TABLES,
    rows=rows,
    files=files,
)
