"""What fails or goes: at once and whole, in one transaction under the lock, after everything said before."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from hmp_catalog.errors import EndedError
from hmp_catalog.experiments.keeper import Keeper
from hmp_catalog.experiments.recording import Recording, known_form, missing
from hmp_catalog.experiments.schema import COMPLETED, FAILED, SCHEMA
from hmp_catalog.experiments.settling import SQL, recount, staged_ids
from hmp_catalog.plain import from_microseconds, printable
from hmp_core.events.clock import clock
from hmp_core.upkeep.vacuum import Vacuumed, vacuum

if TYPE_CHECKING:
    from hmp_core.protocols import StoreBackend

#: What goes with pipelines, children first; arrays are found by predictions, references by chains.
_GOING = ("delete_arrays", "delete_predictions", "delete_references", "delete_chains", "delete_logs")
_COUNTED = ("count_logs", "count_arrays", "count_predictions", "count_chains")


class Ending:
    """The verbs of a store that fail, delete and clear away."""

    def __init__(self, keeper: Keeper, recording: Recording) -> None:
        self._keeper = keeper
        self._recording = recording

    # ── failing ──────────────────────────────────────────────────────────────────────────────────────

    def fail_run(self, run_id: str, error: str) -> None:
        """See `WorkspaceStore.fail_run`."""
        with self._changing("fail a run") as backend:
            if self._may_fail(backend, "runs", "run_id", run_id):
                ended = from_microseconds(clock.tick())
                backend.execute(
                    "UPDATE runs SET status = $1, error = $2, completed_at = $3 WHERE run_id = $4",
                    [FAILED, printable(str(error)), ended, run_id],
                )
                rows = backend.fetch_all(
                    "SELECT pipeline_id FROM pipelines WHERE run_id = $1 AND status NOT IN ('completed', 'failed')",
                    [run_id],
                )
                _fail(backend, [row[0] for row in rows], str(error))

    def fail_pipeline(self, pipeline_id: str, error: str) -> None:
        """See `WorkspaceStore.fail_pipeline`."""
        with self._changing("fail a pipeline") as backend:
            if self._may_fail(backend, "pipelines", "pipeline_id", pipeline_id):
                _fail(backend, [pipeline_id], str(error))

    def _may_fail(self, backend: StoreBackend, table: str, key: str, identity: str) -> bool:
        """Return whether there is something to do: failing twice is harmless, the first error stays."""
        noun = table.removesuffix("s")
        found = backend.fetch_one(f"SELECT status FROM {table} WHERE {key} = $1", [known_form(identity, noun)])
        if found is None:
            raise missing(identity, noun)
        if found[0] == COMPLETED:
            message = f"{noun} {identity} is completed: what ended well does not fail; delete its run instead"
            raise EndedError(message, status=COMPLETED)
        return bool(found[0] != FAILED)

    # ── deleting ─────────────────────────────────────────────────────────────────────────────────────

    def delete_run(self, run_id: str, *, delete_artifacts: bool) -> int:
        """See `WorkspaceStore.delete_run`."""
        with self._clearing() if delete_artifacts else contextlib.nullcontext():
            gone: list[str] = []
            with self._changing("delete a run") as backend:
                if not _is_there(backend, "runs", "run_id", run_id):
                    return 0
                rows = backend.fetch_all("SELECT pipeline_id FROM pipelines WHERE run_id = $1", [run_id])
                pipelines = [row[0] for row in rows]
                named, count = _delete(backend, pipelines)
                with staged_ids(backend, pipelines):
                    backend.execute(SQL["delete_pipelines"])
                backend.execute("DELETE FROM runs WHERE run_id = $1", [run_id])
                if delete_artifacts:
                    # what was saved again and is not named yet will be: the next collection tells
                    free = self._unreferenced(backend, but_for="")
                    gone = self._forget(backend, {each: free[each] for each in named if each in free})
            self._remove(gone)
        return count + len(pipelines) + 1

    def delete_prediction(self, prediction_id: str) -> bool:
        """See `WorkspaceStore.delete_prediction`."""
        with self._changing("delete a prediction") as backend:
            if not _is_there(backend, "predictions", "prediction_id", prediction_id):
                return False
            for table in ("prediction_arrays", "predictions"):
                backend.execute(f"DELETE FROM {table} WHERE prediction_id = $1", [prediction_id])
        return True

    # ── clearing away ────────────────────────────────────────────────────────────────────────────────

    def garbage(self) -> list[str]:
        """Return the paths of the files that `gc_artifacts` would remove."""
        with self._clearing(), self._keeper.reading() as backend:
            return sorted({*self._unreferenced(backend).values(), *self._strays(backend)})

    def gc_artifacts(self) -> int:
        """See `WorkspaceStore.gc_artifacts`."""
        with self._clearing():
            with self._changing("remove artefacts") as backend:
                strays = self._strays(backend)
                gone = self._forget(backend, self._unreferenced(backend))
            return self._remove([*gone, *strays])

    def _strays(self, backend: StoreBackend) -> list[str]:
        """Return the files that no row speaks of: their saver, or who removed their row, died in between."""
        known = {row[0] for row in backend.fetch_all("SELECT artifact_path FROM artifacts")}
        return [path for path in self._keeper.files.paths() if path not in known]

    def _unreferenced(self, backend: StoreBackend, but_for: str | None = None) -> dict[str, str]:
        """Return what no chain names and no living writer holds, but for one of them: by default this store."""
        held = self._recording.held_by_others()
        writer = self._keeper.journal.name if but_for is None else but_for
        rows = backend.fetch_all(SQL["unreferenced"], [writer])
        return {identity: path for identity, path in rows if identity not in held}

    def _forget(self, backend: StoreBackend, doomed: Mapping[str, str]) -> list[str]:
        """Remove the rows of artefacts; return where their files lie."""
        if doomed:
            with staged_ids(backend, doomed):
                backend.execute(SQL["delete_artifacts"])
                backend.execute(SQL["delete_held"])
        return list(doomed.values())

    def _remove(self, relatives: Sequence[str]) -> int:
        return sum(self._keeper.files.remove(relative) for relative in relatives)

    @contextlib.contextmanager
    def _clearing(self) -> Iterator[None]:
        """Keep everybody's saving of artefacts out: none is removed between the look for its file and its entry."""
        self._keeper.authorize("write", "remove artefacts")
        self._keeper.journal.require_home()
        with self._keeper.files.clearing(self._keeper.timeout):
            yield

    def vacuum(self) -> Vacuumed:
        """See `WorkspaceStore.vacuum`."""
        keeper = self._keeper
        with self._changing("vacuum it"):
            pass
        return vacuum(keeper.database, [SCHEMA], timeout=keeper.timeout, auth=keeper.auth, resource=keeper.resource)

    @contextlib.contextmanager
    def _changing(self, what: str) -> Iterator[StoreBackend]:
        try:
            with self._keeper.changing(what) as backend:
                yield backend
        finally:
            self._recording.forget()


def _is_there(backend: StoreBackend, table: str, key: str, identity: object) -> bool:
    return isinstance(identity, str) and bool(backend.fetch_all(f"SELECT 1 FROM {table} WHERE {key} = $1", [identity]))


def _fail(backend: StoreBackend, pipelines: Sequence[str], error: str) -> None:
    if not pipelines:
        return
    _delete(backend, pipelines)
    with staged_ids(backend, pipelines):
        backend.execute(SQL["fail_pipelines"], [printable(error), from_microseconds(clock.tick())])


def _delete(backend: StoreBackend, pipelines: Sequence[str]) -> tuple[list[str], int]:
    """Delete what belongs to pipelines; return the artefacts that their chains named, and how many rows went."""
    with staged_ids(backend, pipelines):
        named = [row[0] for row in backend.fetch_all(SQL["named_by"])]
        count = sum((backend.fetch_one(SQL[statement]) or (0,))[0] for statement in _COUNTED)
        for statement in _GOING:
            backend.execute(SQL[statement])
    recount(backend, named)
    return named, count
