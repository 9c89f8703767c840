"""Downloads that arrive at the same time in the folder of one source: stored together, by whichever comes first.

Each waits for its turn; whoever has it stores what all that wait have brought (see `hmp_cache.batch`), and they leave.
What an arrival costs is flushes, and these are then shared: of 200 files of 1 MiB from eight threads each cost 7 of its
own, and 2.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hmp_cache.arrival import Arrival
from hmp_cache.batch import Batch, Move, Put
from hmp_cache.incoming import Staged
from hmp_cache.intake import Intake
from hmp_cache.shelf import Shelf
from hmp_cache.sidecar import Sidecar
from hmp_cache.validation import Report
from hmp_core.errors import BusyError, HmpError
from hmp_core.events import Event, EventStore


@dataclass(slots=True)
class _Job:
    """Bytes that passed, and what became of them."""

    staged: Staged
    arrival: Arrival
    report: Report
    event: Event | None = None
    error: HmpError | None = None

    @property
    def is_done(self) -> bool:
        return self.event is not None or self.error is not None

    def outcome(self) -> Event:
        """Return the event that stored it, or raise why none did."""
        if self.error is not None:
            raise self.error
        assert self.event is not None
        return self.event


@dataclass(slots=True)
class _Queue:
    """Who waits at one folder."""

    turn: threading.Lock = field(default_factory=threading.Lock)
    jobs: list[_Job] = field(default_factory=list)


class Gathering:
    """The way in for those that come at the same time.

    Parameters
    ----------
    store, shelf, intake
        The log, the files and the way in of a workspace.
    timeout
        Seconds to wait for one's turn.
    """

    def __init__(self, store: EventStore, shelf: Shelf, intake: Intake, *, timeout: float) -> None:
        self._store = store
        self._shelf = shelf
        self._intake = intake
        self._timeout = timeout
        self._guard = threading.Lock()
        self._queues: dict[tuple[str, str], _Queue] = {}

    def accept(self, staged: Staged, arrival: Arrival) -> Event:
        """Make staged bytes the current version of their input; see `Intake.accept`."""
        label = arrival.label
        report = arrival.judged(staged.path)
        if not report.passed:
            raise self._intake.reject(staged, arrival, report)
        job = _Job(staged, arrival, report)
        with self._guard:
            queue = self._queues.setdefault((label.variable, label.source), _Queue())
            queue.jobs.append(job)
        if not queue.turn.acquire(timeout=self._timeout):
            raise self._gone_from(queue, job)
        try:
            if not job.is_done:
                self._lead(queue)
        finally:
            queue.turn.release()
        return job.outcome()

    def _gone_from(self, queue: _Queue, job: _Job) -> BusyError:
        with self._guard:
            if job in queue.jobs:
                queue.jobs.remove(job)
        where = f"data/{job.arrival.label.variable}/{job.arrival.label.source}"
        message = f"{where} is in the hands of other threads of this process; waited {self._timeout:.1f} s; try again"
        return BusyError(message, path=where, holder="other threads of this process", waited=self._timeout)

    def _lead(self, queue: _Queue) -> None:
        """Store what all that wait have brought; with an error of all, each has it."""
        with self._guard:
            jobs, queue.jobs = queue.jobs, []
        try:
            self._store_all(jobs)
        except HmpError as error:
            for job in jobs:
                if not job.is_done:
                    job.error = error
        except BaseException:  # this thread is to stop: the others go on without it
            with self._guard:
                queue.jobs = [job for job in jobs if not job.is_done] + queue.jobs
            raise

    def _store_all(self, jobs: Sequence[_Job]) -> None:
        label = jobs[0].arrival.label
        with self._intake.holding(label.variable, label.source):
            maybe = self._intake.ledger.maybe(label.variable, label.source) if len(jobs) > 1 else None
            fresh: dict[str, _Job] = {}
            for job in jobs:
                entry = str(job.arrival.entry_id)
                if maybe is not None and entry not in maybe and entry not in fresh:
                    fresh[entry] = job
            if len(fresh) > 1:
                self._together(fresh, self._intake.batch(f"{label.variable}.{label.source}"))
            for job in jobs:
                if not job.is_done:
                    self._alone(job)

    def _alone(self, job: _Job) -> None:
        try:
            job.event = self._intake.accept(job.staged, job.arrival, report=job.report)
        except HmpError as error:
            job.error = error

    def _together(self, fresh: dict[str, _Job], batch: Batch) -> None:
        moves: list[Move] = []
        taken: set[Path] = set()
        with batch.staging():
            for entry, job in fresh.items():
                target = self._intake.free_place(job.arrival, taken)
                if target is None:
                    continue
                taken.add(target)
                facts = job.arrival.artifact(job.staged, self._shelf.relative(target), in_place=False)
                event = self._store.prepare("input.stored", job.arrival.payload(facts, job.report, None))
                job.staged.path.replace(batch.staged(entry))
                moves.append(Move(entry, facts, (event,), (Put(entry, facts["path"]),)))
            batch.commit(moves, [Sidecar(move.entry, tuple(move.events)) for move in moves])
        for move in moves:
            fresh[move.entry].event = move.events[0]
            self._intake.ledger.remember(move.entry, self._shelf.local(move.artifact["path"]))
