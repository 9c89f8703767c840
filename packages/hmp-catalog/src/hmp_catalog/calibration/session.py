"""A calibration while it runs: trials gather, go to the disk together, and the best are made simulations."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from hmp_catalog import queries
from hmp_catalog.facts import ENDS
from hmp_catalog.plain import LONGEST_NAME, digest, mapping, plain, printable, real, uuid_text, whole, word
from hmp_core.errors import BusyError, HmpError, InvalidInput, NotFound, NotWritable, SealedError
from hmp_core.identity import uuid7
from hmp_core.locks import this_process

if TYPE_CHECKING:
    import pyarrow as pa
    from matplotlib.axes import Axes

    from hmp_catalog.recorder import Recorder
    from hmp_core.events import EventStore

#: Trials are put on the disk together, at the latest after so many, or so many seconds.
_BATCH = 64
_SECONDS = 1.0
#: How many trials an event tells of at most: one event of each was 0.5 ms a trial, so many together are 0.03.
_TOLD_TOGETHER = 250
#: How a trial can end.
STATUSES = ("completed", "diverged", "timeout", "crashed", "cached", "pruned")


class CalibrationSession:
    """Records trials; made by `SimulationCatalog.calibration`, used in a ``with`` block.

    The objective is minimised. Trials are flushed in batches of 64, at least once a second while they come, before
    every question and at the end of the block; `trial` with ``flush=True`` acknowledges one at once.
    """

    def __init__(
        self,
        store: EventStore,
        *,
        method: str,
        objective: str,
        config: Mapping[str, Any] | None = None,
        seed: int | None = None,
        session: str | None = None,
        record: Callable[..., Recorder] | None = None,
    ) -> None:
        self._store = store
        self._record = record
        self._waiting: list[dict[str, Any]] = []
        self._flushed = time.monotonic()
        self._began = time.monotonic()
        self._count = 0
        self._ended = False
        self._own = session is None
        self.session_id = str(uuid7())
        if session is None:
            payload = {
                "session_id": self.session_id,
                "project": store.path.parent.name,
                "method": word(method, "method"),
                "objective": word(objective, "objective"),
                "config": plain(mapping(config or {}, "config"), "config"),
                "seed": whole(seed, "seed"),
                "hostname": this_process().host,
                "owner": this_process().as_dict(),
            }
            store.append("calibration.opened", payload)
            return
        with store.reading() as backend:
            self.session_id = queries.session_id(backend, session)

    def __repr__(self) -> str:
        return f"<CalibrationSession {self.session_id}: {self._count} trials here>"

    def trial(
        self,
        parameters: Mapping[str, Any],
        objective: float,
        metrics: Mapping[str, float] | None = None,
        *,
        status: str = "completed",
        sim_id: str | None = None,
        flush: bool = False,
    ) -> str:
        """Record one trial and return its id.

        Parameters
        ----------
        parameters
            Name -> value.
        objective
            What was minimised; NaN for a trial that failed. What is not finite is on record and never the best.
        metrics
            Name -> value.
        status
            completed, diverged, timeout, crashed or cached.
        sim_id
            The run that holds its results, if it was recorded as one.
        flush
            Put it on the disk before returning.

        Raises
        ------
        InvalidInput
            For a value that cannot be kept; the trial is not recorded.
        SealedError
            If the session has ended.
        """
        self._store.authorize(write=True, what="record a trial")
        said = self._said(parameters, objective, metrics or {}, status=status, sim_id=sim_id)
        self._waiting.append(said)
        if flush or len(self._waiting) >= _BATCH or time.monotonic() - self._flushed > _SECONDS:
            self.flush()
        return str(said["trial_id"])

    def trials(self, trials: Iterable[tuple[Mapping[str, Any], float, Mapping[str, float]]]) -> list[str]:
        """Record several (parameters, objective, metrics) and return their ids; they are on the disk then.

        All of them, or none if one cannot be kept.
        """
        self._store.authorize(write=True, what="record trials")
        count = self._count
        try:
            said = [self._said(parameters, objective, metrics) for parameters, objective, metrics in trials]
        except BaseException:
            self._count = count
            raise
        self._waiting += said
        self.flush()
        return [str(one["trial_id"]) for one in said]

    def _said(
        self,
        parameters: Mapping[str, Any],
        objective: float,
        metrics: Mapping[str, float],
        *,
        status: str = "completed",
        sim_id: str | None = None,
    ) -> dict[str, Any]:
        if self._ended:
            message = f"calibration session {self.session_id} has ended"
            raise SealedError(message)
        if status not in STATUSES:
            message = f"status is {status!r}, expected one of {', '.join(STATUSES)}"
            raise InvalidInput(message)
        kept = _named(plain(mapping(parameters, "parameters"), "parameters"), "a parameter")
        said = {
            "trial_id": str(uuid7()),
            "iteration": self._count + 1,
            "parameters": kept,
            "params_hash": digest(kept),
            "objective": plain(real(objective, "objective")),
            "metrics": _named(
                plain({k: real(v, f"metric {k}") for k, v in mapping(metrics, "metrics").items()}), "a metric"
            ),
            "status": status,
            "sim_id": uuid_text(sim_id, "sim_id"),
        }
        self._count += 1
        return said

    def flush(self) -> None:
        """Put the trials that wait on the disk."""
        waiting, self._waiting = self._waiting, []
        self._flushed = time.monotonic()
        try:
            told = iter(waiting)
            parts = iter(lambda: list(itertools.islice(told, _TOLD_TOGETHER)), [])
            session = {"session_id": self.session_id}
            self._store.commit([self._store.prepare("calibration.trials", session | {"trials": p}) for p in parts])
        except BaseException:
            self._waiting = waiting + self._waiting
            raise

    def best(self) -> dict[str, Any]:
        """Return the best trial so far: trial_id, objective, parameters, metrics.

        Raises
        ------
        NotFound
            If no trial was completed with a finite number.
        """
        found = self.top(1)
        if not found:
            message = f"calibration session {self.session_id} has no completed trial yet"
            raise NotFound(message, reference=self.session_id, candidates=[])
        return found[0]

    def top(self, n: int) -> list[dict[str, Any]]:
        """Return the ``n`` best trials, best (lowest objective) first; what is not finite never counts."""
        self.flush()
        with self._store.reading() as backend:
            return queries.top_trials(backend, self.session_id, n)

    @contextlib.contextmanager
    def promote(self, trial: str | Mapping[str, Any], solver: str, **about: Any) -> Iterator[Recorder]:
        """Record a trial as a simulation; use it in a ``with`` block, as `SimulationCatalog.record`.

        The run has the parameters of the trial and says where it comes from; once it is sealed, the trial says which
        run it is.

        Parameters
        ----------
        trial
            Its id, or what `best` and `top` return.
        solver, **about
            As for `SimulationCatalog.record`.

        Raises
        ------
        NotFound
            If this session has no such trial.
        """
        if self._record is None:
            message = "this session was made without a catalog; record the run with SimulationCatalog.record"
            raise InvalidInput(message)
        wanted = str(trial if isinstance(trial, str) else trial["trial_id"])
        self.flush()
        with self._store.reading() as backend:
            said = queries.trial(backend, self.session_id, wanted)
        origin = {"config_source": f"calibration:{self.session_id}/{wanted}", "lineage": "promoted"}
        with self._record(solver, parameters=said["parameters"], **(origin | about)) as recorder:
            yield recorder
        promoted = {"session_id": self.session_id, "trials": [said | {"sim_id": recorder.sim_id}]}
        self._store.append("calibration.trials", promoted)

    @property
    def table(self) -> pa.Table:
        """All trials, of every process, in the order they were made."""
        self.flush()
        with self._store.reading() as backend:
            return queries.trials(backend, self.session_id)

    def plot(self, *, ax: Any = None) -> Axes:
        """Draw the objective of each trial and the best so far (extra ``[plot]``).

        Raises
        ------
        MissingPart
            If matplotlib is not installed.
        """
        from hmp_catalog.plot.sessions import convergence

        return convergence(self, ax=ax)

    def end(self, status: str = "completed", *, error: str | None = None, best_sim_id: str | None = None) -> None:
        """Close the session; leaving the block does it.

        Parameters
        ----------
        status
            How it ended: completed, partial, failed or aborted.
        error
            What went wrong, in a line.
        best_sim_id
            The run that holds the best trial, if it was recorded as one.
        """
        if self._ended:
            message = f"calibration session {self.session_id} has ended"
            raise SealedError(message)
        if status not in ENDS:
            message = f"status is {status!r}, expected one of {', '.join(ENDS)}"
            raise InvalidInput(message)
        best = uuid_text(best_sim_id, "best_sim_id")
        self.flush()
        payload = {
            "session_id": self.session_id,
            "status": status,
            "error": None if error is None else printable(error),
            **self._outcome(),
            "best_sim_id": best,
            "duration_s": round(time.monotonic() - self._began, 6),
        }
        self._store.append("calibration.closed", payload)
        self._ended = True

    def _outcome(self) -> dict[str, Any]:
        """Return how many trials there are and the best of them; nothing where the database cannot be had now.

        Every trial is on the disk: that a session has ended must not hang on a lock.
        """
        try:
            with self._store.reading() as backend:
                best, count = queries.top_trials(backend, self.session_id, 1), queries.count(backend, self.session_id)
                complete = not self._store.notice.unfolded
        except (BusyError, NotWritable):
            best, count, complete = [], 0, False
        return {
            "n_trials": count if complete else None,
            "best_objective": plain(best[0]["objective"]) if complete and best else None,
            "best_params_hash": best[0]["params_hash"] if complete and best else None,
        }

    def __enter__(self) -> CalibrationSession:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: Any) -> None:
        if self._ended:
            return
        if not self._own:
            self.flush()
        elif error is None:
            self.end()
        else:
            status = "failed" if isinstance(error, Exception) else "aborted"
            try:
                self.end(status, error=f"{type(error).__name__}: {error}")
            except (HmpError, OSError) as second:
                # what went wrong first is what the user must see
                error.add_note(f"calibration session {self.session_id} could not be ended either: {second}")


def _named(kept: dict[str, Any], what: str) -> dict[str, Any]:
    """Return what is kept by names that are names: there are twenty in each of a hundred thousand trials."""
    for name in kept:
        if len(name) > LONGEST_NAME or not name or name.isspace():
            word(name, f"the name of {what}")
    return kept
