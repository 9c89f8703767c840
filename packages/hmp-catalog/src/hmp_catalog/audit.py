"""The audit trail as a user asks it: what was done, by whom, and whether anybody has changed the record of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hmp_catalog import chain, queries
from hmp_catalog.chain import Link
from hmp_catalog.plain import moment, time_text
from hmp_core.errors import InvalidInput

if TYPE_CHECKING:
    import pyarrow as pa

    from hmp_catalog.catalog import SimulationCatalog

_ALL = 1 << 62


@dataclass(frozen=True, slots=True)
class Verdict:
    """What verifying the trail found: true if there are no ``problems``.

    ``anchor`` says what the end of the chain was held against; without one, rows that are missing at the end are known
    only if the log still tells of them.
    """

    entries: int
    head: str
    anchor: str
    problems: tuple[str, ...]
    #: rows whose words a purge took away; that they were said is still under the hash
    emptied: int = 0

    def __bool__(self) -> bool:
        return not self.problems


class AuditTrail:
    """What was done to a catalog, in the order in which it was folded; ``catalog.audit`` is it."""

    def __init__(self, catalog: SimulationCatalog) -> None:
        self._catalog = catalog

    def __repr__(self) -> str:
        return f"<AuditTrail of {self._catalog.path.name}>"

    def table(self, *, simulation: str | None = None, since: Any = None, limit: int | None = None) -> pa.Table:
        """Return the trail, newest first.

        Parameters
        ----------
        simulation
            Only what was done to this one: a reference, or the id of one that was purged.
        since
            Only what was done at this time (UTC) or later.
        limit
            How many rows at most.
        """
        when: datetime | None = moment(time_text(since, "since"))
        sim_id = None if simulation is None else self._catalog.known_id(simulation)
        with self._catalog.reading() as backend:
            return queries.trail(backend, sim_id=sim_id, since=when, limit=_ALL if limit is None else limit)

    @property
    def head(self) -> dict[str, Any] | None:
        """The last line of the chain, ``seq`` and ``hash``: whoever keeps it can tell whether it was changed since."""
        with self._catalog.reading():
            last = _whole(self._catalog.path)[-1:]
        return {"seq": last[0].seq, "hash": last[0].hash} if last else None

    def verify(self, anchor: Mapping[str, Any] | None = None) -> Verdict:
        """Hold rows, chain, log and anchor against one another.

        Parameters
        ----------
        anchor
            A head that was kept elsewhere, as `head` gave it and exports carry it; by default the one that the
            workspace keeps in ``.hmp/anchors.json``.

        Returns
        -------
        Verdict
            False if a row was edited, removed, put in another order or added, the first and the last included.
        """
        with self._catalog.reading() as backend:
            rows = queries.trail(backend, limit=_ALL).to_pylist()
            purged = {row["sim_id"]: row for row in queries.deletions(backend)}
            lines = list(chain.links(self._catalog.path))
        known = [each for _, each in lines if each is not None]
        problems = [*_broken(lines), *_unlike(known, rows, purged), *self._unlogged(known, purged)]
        where, found = self._held_against(anchor, known)
        emptied = sum(row["payload"] is None for row in rows)
        return Verdict(len(known), known[-1].hash if known else "", where, (*problems, *found), emptied)

    def _held_against(self, given: Mapping[str, Any] | None, known: list[Link]) -> tuple[str, list[str]]:
        """Return the name of the anchor, and what is wrong with the chain by it."""
        project = self._catalog.path
        where = "the one that was given" if given is not None else str(chain.anchors_file(project))
        said = chain.anchored(project) if given is None else given
        if said is None:
            lost = [f"{where} does not know this project: the end of the chain is not vouched for"] if known else []
            return "none", lost
        try:
            seq, expected = int(said["seq"]), str(said["hash"])
        except (LookupError, TypeError, ValueError) as error:
            message = f"an anchor has seq and hash, got {said!r}"
            raise InvalidInput(message) from error
        found = next((each.hash for each in known if each.seq == seq), None)
        name = f"{where}: line {seq}"
        if found is None:
            return name, [
                f"the chain ends at {known[-1].seq if known else 0}, and once had {seq} lines: its end is gone"
            ]
        return name, [] if found == expected else [
            f"line {seq} is not the one that was anchored: all up to it is in doubt"
        ]

    def _unlogged(self, known: list[Link], purged: Mapping[str, Any]) -> Iterator[str]:
        """Yield where the log, which is kept apart, tells otherwise."""
        from hmp_catalog.fold import audited

        contents = {each.event_id: each.content for each in known}
        for event in self._catalog.store.files.everything().events:
            row = audited(event, self._catalog.path)
            if row is None:
                continue
            identity, content = row.key[0], (row.values or {}).get("content_sha256")
            if identity not in contents:
                if not self._is_waiting(identity):
                    yield f"event {identity} ({event.kind}) is in the log and not in the chain"
            elif content is not None and content != contents[identity]:
                yield f"event {identity} ({event.kind}) says something else in the log than in the chain"
            if event.kind == "run.purged" and (tombstone := purged.get(event.payload["sim_id"])) is not None:
                said = {key: event.payload[key] for key in ("reason", "components", "sha256_snapshot")}
                if any(tombstone[key] != value for key, value in said.items()):
                    yield f"the tombstone of {event.payload['sim_id']} is not what its event says"

    def _is_waiting(self, identity: str) -> bool:
        with self._catalog.reading() as backend:
            return identity in queries.waiting_ids(backend)


def _whole(project: Path) -> list[Link]:
    return [each for _, each in chain.links(project) if each is not None]


def _broken(lines: list[tuple[int, Link | None]]) -> Iterator[str]:
    """Yield where the chain itself does not hold."""
    before, hash_before = 0, chain.GENESIS
    for number, each in lines:
        if each is None:
            yield f"line {number} of {chain.NAME} is none"
            continue
        if each.seq != before + 1:
            yield f"line {number} of {chain.NAME} is number {each.seq}, expected {before + 1}"
        elif not each.follows(hash_before):
            yield f"line {number} of {chain.NAME} does not follow the one before: it, or that one, was changed"
        before, hash_before = each.seq, each.hash


def _unlike(known: list[Link], rows: list[dict[str, Any]], purged: Mapping[str, Any]) -> Iterator[str]:
    """Yield where a row is not what the chain says it was."""
    there = {row["event_id"]: row for row in rows}
    for each in known:
        row = there.pop(each.event_id, None)
        if row is None:
            yield f"row {each.seq} ({each.event_id}) is gone"
            continue
        if (row["seq"], row["chain_hash"], row["content_sha256"]) != (each.seq, each.hash, each.content):
            yield f"row {each.seq} ({each.event_id}) is chained otherwise than {chain.NAME} says"
        if row["payload"] is None and row["sim_id"] in purged:
            continue
        if chain.content_hash(row) != each.content:
            yield f"row {each.seq} ({each.event_id}, {row['event_type']}) was edited"
    for row in there.values():
        what = "was added" if row["seq"] is not None else "is not chained yet"
        yield f"row {row['event_id']} ({row['event_type']}) {what}: {chain.NAME} does not know it"
