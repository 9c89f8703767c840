"""How files look that were just read and are what they were: put on record, so that they need not be read again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from hmp_cache.batch import Move
from hmp_cache.ledger import Known
from hmp_cache.signature import Bytes, Signature

if TYPE_CHECKING:
    from hmp_cache.intake import Intake
    from hmp_cache.shelf import Shelf


def sight(intake: Intake, shelf: Shelf, folder: str, seen: Iterable[tuple[Known, Signature]]) -> None:
    """Record how the files of current versions look, if that is news; the folder's lock is held.

    Parameters
    ----------
    folder
        The name of that lock.
    seen
        Each input, and how its file looked while it was read.
    """
    moves, sidecars = [], []
    for known, looks in seen:
        path = shelf.local(known.artifact["path"])
        if known.bytes.signature == looks or not Bytes(known.bytes.sha256, looks).unchanged(path):
            continue  # nothing new, or it was written to since
        artifact = {"id": known.artifact["id"], **looks.as_dict()}
        event = intake.changes.event("input.sighted", known, artifact=artifact)
        moves.append(Move(known.sidecar.entry, known.artifact, (event,)))
        sidecars.append(known.sidecar.with_event(event))
    if moves:
        with intake.batch(folder).staging() as batch:
            batch.commit(moves, sidecars)
