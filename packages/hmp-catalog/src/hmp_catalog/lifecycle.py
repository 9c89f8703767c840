"""What becomes of a run: thrown away, brought back, purged for ever. Files first, then the event; all can be finished.

Each verb holds the lock of the database from its question to its last step, and first finishes what a process that
died left half done.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from hmp_catalog import doing, manifest, purging, queries
from hmp_catalog.doing import Doing
from hmp_catalog.errors import PinnedRunError, SimulationNotFound
from hmp_catalog.plain import from_microseconds
from hmp_core.errors import HmpError, InvalidInput
from hmp_core.locks import DEFAULT_TIMEOUT, Owner, database_lock, this_process

if TYPE_CHECKING:
    from hmp_catalog.privacy import Certificate
    from hmp_core.events import EventStore

_log = logging.getLogger(__name__)

#: The tag that keeps a run from being thrown away.
PINNED = "pinned"


@dataclass(frozen=True, slots=True)
class Subject:
    """A run as it is before anything is done to it."""

    sim_id: str
    name: str | None
    status: str
    owner: str | None
    folder: str
    manifest_sha256: str | None
    trashed: bool
    pinned: bool

    def __str__(self) -> str:
        return f"run {self.sim_id[:8]}" + (f" ({self.name})" if self.name else "")


class Lifecycle:
    """Throws runs away, brings them back and purges them; `SimulationCatalog` has its verbs.

    Parameters
    ----------
    store
        The database with its log.
    timeout
        Seconds to wait for the lock.
    """

    def __init__(self, store: EventStore, *, timeout: float = DEFAULT_TIMEOUT) -> None:
        self._store = store
        self._project = store.path.parent
        self._timeout = timeout

    # ── the trash ────────────────────────────────────────────────────────────────────────────────────

    def trash(self, sim_id: str) -> None:
        """Move a run to the trash: its folder, then the row."""
        with self._held(f"throw run {sim_id[:8]} away"):
            subject = self._subject(sim_id)
            if subject.trashed:
                message = f"{subject} is in the trash already"
                raise InvalidInput(message)
            _refuse(subject)
            self._move("trash", "run.trashed", subject)

    def restore(self, sim_id: str) -> None:
        """Bring a run back from the trash."""
        with self._held(f"restore run {sim_id[:8]}"):
            subject = self._subject(sim_id)
            if not subject.trashed:
                message = f"{subject} is not in the trash"
                raise InvalidInput(message)
            self._move("restore", "run.restored", subject)

    def _move(self, verb: str, kind: str, subject: Subject) -> None:
        event = self._store.prepare(kind, self._about(subject.sim_id))
        begun = Doing(verb, subject.sim_id, subject.folder, event.as_dict())
        doing.begin(self._store.path, begun)
        self._carry_out(begun)

    # ── for ever ─────────────────────────────────────────────────────────────────────────────────────

    def purge(self, sim_ids: Sequence[str], reason: str) -> list[Certificate]:
        """Remove runs for ever, and certify it; all of them or, if one may not go, none."""
        with self._held(f"purge {len(sim_ids)} runs"):
            with self._store.immediate() as backend:
                rows = [purging.rows_of(backend, sim) for sim in sim_ids]
            subjects = [self._subject(sim_id) for sim_id in sim_ids]
            for subject in subjects:
                _refuse(subject)
            begun = []
            for subject, counted in zip(subjects, rows, strict=True):
                said = purging.facts(self._project, subject.folder, counted, subject.manifest_sha256)
                event = self._store.prepare("run.purged", self._about(subject.sim_id) | {"reason": reason} | said)
                begun.append(Doing("purge", subject.sim_id, subject.folder, event.as_dict()))
            for each in begun:
                doing.begin(self._store.path, each)
            return purging.carry_out(self._store, begun)

    def empty_trash(self, reason: str, older_than: timedelta | None = None) -> list[Certificate]:
        """Purge what has been in the trash for longer than ``older_than``; what is pinned stays."""
        with self._store.reading() as backend:
            there = queries.trashed(backend)
        before = datetime.max if older_than is None else _now() - older_than
        due = [sim for sim, since, pinned in there if since <= before and not pinned]
        return self.purge(due, reason) if due else []

    # ── what others left ─────────────────────────────────────────────────────────────────────────────

    def finish(self) -> None:
        """Finish what processes that died left half done, if it can be done here and now."""
        if self._store.read_only or not doing.is_half_done(self._store.path):
            return
        try:
            with self._held("finish what was left half done"):
                pass
        except (HmpError, OSError) as error:
            # it is as before; who opens next tries again, and `hmp doctor` tells of it
            _log.warning("%s: something is half done and was not finished: %s", self._project, error)

    @contextlib.contextmanager
    def _held(self, what: str) -> Iterator[None]:
        """Hold the lock, with nothing half done."""
        self._store.authorize(write=True, what=what)
        with database_lock(self._store.path).hold(self._timeout):
            with self._store.immediate():
                pass  # everything is folded, or this is not the place
            left = doing.half_done(self._store.path)
            for each in left:
                if each.verb != "purge":
                    self._carry_out(each)
            purging.carry_out(self._store, [each for each in left if each.verb == "purge"])
            yield

    def _carry_out(self, begun: Doing) -> None:
        home, trash = (self._project / place / begun.folder for place in (manifest.HOME, manifest.TRASH))
        doing.move(*((home, trash) if begun.verb == "trash" else (trash, home)))
        self._store.commit([begun.told()])
        doing.end(self._store.path, begun)

    def _about(self, sim_id: str) -> dict[str, Any]:
        return {"sim_id": sim_id, "project": self._project.name, "host": this_process().host}

    def _subject(self, sim_id: str) -> Subject:
        with self._store.immediate() as backend:
            found = queries.to_delete(backend, sim_id)
        if found is None:
            message = f"simulation {sim_id} is not in this catalog any more"
            raise SimulationNotFound(message, reference=sim_id, candidates=[])
        return Subject(*found)


def _refuse(subject: Subject) -> None:
    """Raise if a run must stay: somebody pinned it, or is writing it."""
    if subject.pinned:
        message = f"{subject} is pinned; take the pin away first: `hmp catalog pin --off {subject.sim_id[:8]}`"
        raise PinnedRunError(message, sim_id=subject.sim_id)
    if queries.state(subject.status, subject.owner) == "running":
        message = f"{subject} is open{_by(subject.owner)}: seal it, or wait until it is"
        raise InvalidInput(message)


def _by(owner: str | None) -> str:
    try:
        found = Owner(**json.loads(owner or "{}"))
    except TypeError:
        return ""
    return f" in process {found.pid} on {found.host}"


def _now() -> datetime:
    import time

    return from_microseconds(time.time_ns() // 1000)
