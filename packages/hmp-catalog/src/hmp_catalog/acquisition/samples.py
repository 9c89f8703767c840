"""The samples of a session: a name alone stands for the first one; said otherwise, it is another sample."""

from __future__ import annotations

from typing import Any

from hmp_catalog.acquisition.records import SampleMetadata
from hmp_catalog.acquisition.session import SQL
from hmp_catalog.acquisition.values import dumped, loaded
from hmp_catalog.plain import text, word
from hmp_core.errors import InvalidInput
from hmp_core.protocols import CatalogBackend


def sample_id(backend: CatalogBackend, sample: SampleMetadata) -> int:
    """Return the number of a sample in a session, which is added if nothing there says the same; in a transaction.

    Raises
    ------
    InvalidInput
        If it has a number that is another sample's, or nobody's, in this session; or cannot be kept.
    """
    row = _row(sample)
    if sample.id is not None:
        found = backend.fetch_one(SQL["sample"], [sample.id])
        if found is None or sample_of(found) != sample_of((sample.id, *row)):
            message = (
                f"sample {sample.id} of this session is {found and sample_of(found)}, not {sample}: leave its id out"
            )
            raise InvalidInput(message)
        return sample.id
    known = backend.fetch_all(SQL["samples_called"], [sample.name])
    for each in known:
        if sample_of(each) == sample_of((each[0], *row)):
            return int(each[0])
    if known and sample == SampleMetadata(sample.name):
        return int(known[0][0])  # nothing else is said of it
    backend.execute(SQL["add_sample"], row)
    added: int = backend.fetch_all(SQL["samples_called"], [sample.name])[-1][0]
    return added


def sample_of(row: tuple[Any, ...]) -> SampleMetadata:
    """Return the sample of a row."""
    identity, name, formula, serial, tags, position, extra = row
    known = loaded(tags, "tags of a sample") or []
    return SampleMetadata(name, formula, serial, known, position, loaded(extra, "extra of a sample") or {}, identity)


def _row(sample: SampleMetadata) -> list[Any]:
    return [
        word(sample.name, "name of a sample"),
        text(sample.formula or None, "formula"),
        text(sample.serial or None, "serial"),
        dumped(list(sample.tags or ()), "tags"),
        text(sample.beamline_pos or None, "beamline_pos"),
        dumped(dict(sample.extra or {}), "extra"),
    ]
