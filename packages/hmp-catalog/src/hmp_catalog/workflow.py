"""A workflow: its steps on record as they happen, and those whose work is still there not done again.

A step is known by its content: its name and place, its configuration, the bytes of its inputs, and everything before
it. One that was completed with the same content, by whichever run of the workflow, is taken over if its artefacts
still have the bytes they had; the first that cannot be taken over is done again, and so is all that follows it.
"""

from __future__ import annotations

import contextlib
import os
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from hmp_catalog import queries
from hmp_catalog.inputs import InputEntry, as_inputs, describe
from hmp_catalog.plain import fingerprint, mapping, plain, printable, word
from hmp_core.errors import AmbiguousReference, HmpError, InvalidInput, NotFound, SealedError
from hmp_core.identity import uuid7
from hmp_core.locks import this_process
from hmp_core.paths import from_relative, to_relative

if TYPE_CHECKING:
    from hmp_core.events import EventStore

T = TypeVar("T")

#: Under this key the place of a file stands among the plain values that a step returned.
_PATH = "$path"


class Workflow:
    """Records the steps of one run of a workflow; made by `SimulationCatalog.workflow`, used in a ``with`` block.

    Leaving the block ends the run as ``completed``; an exception ends it as ``failed``, and goes on. A process that is
    killed leaves it open: it shows as ``interrupted``, and the next run of that name goes on where it stopped.
    """

    def __init__(
        self, store: EventStore, workspace: Path, name: str, *, config: Mapping[str, Any] | None, resume: bool
    ) -> None:
        self._store = store
        self._workspace = workspace
        self.name = word(name, "name of the workflow")
        self.run_id = str(uuid7())
        self._chain = fingerprint({"workflow": self.name, "config": mapping(config or {}, "config")})
        self._config = plain(config or {}, "config")
        self._resume = resume
        self._known: dict[str, dict[str, Any]] = {}
        self._fresh = False
        self._over = False
        self._began = time.perf_counter()
        self._process = os.getpid()
        #: name, status and whether it was taken over, of each step so far
        self.steps: list[dict[str, Any]] = []

    def __repr__(self) -> str:
        return f"<Workflow {self.name}: {len(self.steps)} steps, run {self.run_id}>"

    def begin(self) -> Workflow:
        """Put the run on record and look up what earlier ones completed; `SimulationCatalog.workflow` does it."""
        self._store.authorize(write=True, what=f"run workflow {self.name}")
        if self._resume:
            with self._store.reading() as backend:
                self._known = queries.completed_steps(backend, self.name)
        said = {
            "run_id": self.run_id,
            "workflow": self.name,
            "project": self._store.path.parent.name,
            "config": self._config,
            "owner": this_process().as_dict(),
        }
        self._store.append("workflow.opened", said)
        return self

    def step(
        self,
        name: str,
        fn: Callable[[], T],
        *,
        inputs: Any = (),
        config: Mapping[str, Any] | None = None,
        artifacts: Any = (),
    ) -> T:
        """Do a step, or take over what it gave before; return its result.

        Parameters
        ----------
        name
            What the step is called; with its place among the steps and everything before, it is known by it.
        fn
            Does it. It returns plain values, paths of files and folders of the workspace, or lists and mappings of
            these; the bytes of these files are artefacts of the step. A change of its code is not seen: say a version
            in ``config``.
        inputs
            Cache entries and paths of the workspace, whose bytes count, or plain values.
        config
            What else the result depends on.
        artifacts
            Files and folders that it writes without returning them.

        Returns
        -------
        object
            What ``fn`` returned: as it is when the step was done now, as plain values and paths when it was taken over.

        Raises
        ------
        PathNotFound
            If an input, or an artefact that it should have written, is not there.
        PathEscape
            If one lies outside the workspace.
        InvalidInput
            For a result that cannot be kept; return the path of a file.
        SealedError
            If the run has ended.
        """
        self._require_open()
        order, step_id = len(self.steps) + 1, str(uuid7())
        content = fingerprint([self._chain, order, word(name, "name of the step"), config or {}, self._inputs(inputs)])
        self._store.authorize(write=True, what=f"do step {name} of workflow {self.name}")
        began = {"run_id": self.run_id, "workflow": self.name, "step_id": step_id, "order": order, "step": name}
        began |= {"inputs_hash": content, "owner": this_process().as_dict()}
        opening = self._store.prepare("workflow.began", began)
        before = None if self._fresh else self._still_there(content)
        if before is not None:
            ending = {name: before[name] for name in ("outputs_hash", "artifacts", "result")}
            self._end(step_id, "completed", 0.0, ending, reused=before["step_id"], opening=[opening])
            self._advance(name, content, before["outputs_hash"], reused=True)
            return self._decoded(before["result"])  # type: ignore[no-any-return]
        self._store.commit([opening])
        self._fresh = True
        result, outputs = self._do(step_id, fn, artifacts)
        self._advance(name, content, outputs, reused=False)
        return result

    def _do(self, step_id: str, fn: Callable[[], T], artifacts: Any) -> tuple[T, str]:
        start = time.perf_counter()
        try:
            result = fn()
            kept, paths = self._encoded(result)
            made = _bytes_of([*paths, *as_inputs(artifacts)], self._workspace)
        except BaseException as error:
            status = "failed" if isinstance(error, Exception) else "aborted"
            with self._beside(error):
                self._end(step_id, status, time.perf_counter() - start, error=error)
            raise
        outputs = fingerprint([kept, made])
        ending = {"outputs_hash": outputs, "artifacts": made, "result": kept}
        self._end(step_id, "completed", time.perf_counter() - start, ending)
        return result, outputs

    def _still_there(self, content: str) -> dict[str, Any] | None:
        """Return the step that was completed with this content, if its artefacts have the bytes they had."""
        before = self._known.get(content)
        if before is None:
            return None
        for one in before["artifacts"]:
            file = from_relative(one["path"], self._workspace)
            if not file.exists() or _bytes_of([file], self._workspace) != [one]:
                return None
        return before

    def _advance(self, name: str, content: str, outputs: str, *, reused: bool) -> None:
        self._chain = fingerprint([content, outputs])
        self.steps.append({"order": len(self.steps) + 1, "step": name, "status": "completed", "reused": reused})

    # ── what goes in and comes out ───────────────────────────────────────────────────────────────────

    def _inputs(self, given: Any) -> Any:
        """Return what inputs are known by: files by path and hash, values by themselves."""
        if isinstance(given, (str, bytes)) or not isinstance(given, Iterable) or isinstance(given, Mapping):
            given = [given]
        files: list[Any] = []
        values: list[Any] = []
        for one in given:
            is_file = isinstance(one, (os.PathLike, InputEntry)) or hasattr(one, "protocol")
            (files if is_file else values).append(one)
        known = [{"path": f["path"], "sha256": f["sha256"]} for f in describe(files, self._workspace)]
        return {"files": known, "values": self._encoded(values)[0]}

    def _encoded(self, value: Any) -> tuple[Any, list[Path]]:
        """Return a result as plain values, in which files are relative to the workspace, and these files."""
        paths: list[Path] = []

        def encode(one: Any) -> Any:
            if isinstance(one, os.PathLike):
                path = Path(one)
                paths.append(path)
                return {_PATH: to_relative(path, self._workspace)}
            if isinstance(one, Mapping):
                if _PATH in one:
                    message = f"a step returned a mapping with the key {_PATH!r}, which stands for files here"
                    raise InvalidInput(message)
                return {key: encode(each) for key, each in one.items()}
            return [encode(each) for each in one] if isinstance(one, (list, tuple)) else one

        return plain(encode(value), "what the step returned"), paths

    def _decoded(self, kept: Any) -> Any:
        if isinstance(kept, dict):
            if set(kept) == {_PATH}:
                return from_relative(kept[_PATH], self._workspace)
            return {key: self._decoded(each) for key, each in kept.items()}
        return [self._decoded(each) for each in kept] if isinstance(kept, list) else kept

    # ── the record ───────────────────────────────────────────────────────────────────────────────────

    def _end(
        self,
        step_id: str,
        status: str,
        seconds: float,
        ending: Mapping[str, Any] | None = None,
        *,
        error: BaseException | None = None,
        reused: str | None = None,
        opening: Iterable[Any] = (),
    ) -> None:
        said = {
            "step_id": step_id,
            "status": status,
            "duration_s": round(seconds, 6),
            "error": None if error is None else self._told(error),
            "reused_step_id": reused,
            **(ending or {"outputs_hash": None, "artifacts": [], "result": None}),
        }
        self._store.commit([*opening, self._store.prepare("workflow.ended", said)])

    def _told(self, error: BaseException) -> str:
        said = "".join(traceback.format_exception_only(error)).strip()
        return printable(said.replace(str(self._workspace), "<workspace>"))

    @contextlib.contextmanager
    def _beside(self, error: BaseException) -> Iterator[None]:
        """What goes wrong here is told beside ``error``, which came first and is what the user must see."""
        try:
            yield
        except (HmpError, OSError) as second:
            error.add_note(f"workflow {self.name} could not be ended on record either: {second}")

    def __enter__(self) -> Workflow:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: Any) -> None:
        if self._over or os.getpid() != self._process:  # a forked child leaves the block too: it is not its run
            return
        if error is None:
            self._close("completed", None)
            self._over = True
            return
        self._over = True
        status = "failed" if isinstance(error, Exception) else "aborted"
        with self._beside(error):
            self._close(status, error)

    def _close(self, status: str, error: BaseException | None) -> None:
        self._end(self.run_id, status, time.perf_counter() - self._began, error=error)

    def _require_open(self) -> None:
        if self._over:
            message = f"run {self.run_id} of workflow {self.name} has ended; begin another with catalog.workflow()"
            raise SealedError(message)
        if os.getpid() != self._process:
            message = f"run {self.run_id} of workflow {self.name} belongs to process {self._process}, which began it"
            raise InvalidInput(message)


def _bytes_of(paths: Iterable[Path], workspace: Path) -> list[dict[str, Any]]:
    return [{name: one[name] for name in ("path", "sha256", "size")} for one in describe(paths, workspace)]


# ── asked later ──────────────────────────────────────────────────────────────────────────────────────


def workflow_runs(rows: Sequence[Mapping[str, Any]], name: str | None = None) -> list[dict[str, Any]]:
    """Return a mapping for each run among the steps of all, in their order."""
    found = {row["run_id"]: _as_run(row) for row in rows if row["step_order"] == 0 and name in {None, row["workflow"]}}
    for row in rows:
        if row["step_order"] and row["run_id"] in found:
            found[row["run_id"]]["steps"] += 1
            found[row["run_id"]]["reused"] += row["reused_step_id"] is not None
    return list(found.values())


def _as_run(row: Mapping[str, Any]) -> dict[str, Any]:
    named = ("run_id", "workflow", "status", "started_at", "ended_at", "duration_s", "error_message")
    return {name: row[name] for name in named} | {"steps": 0, "reused": 0}


def steps_of(rows: Sequence[Mapping[str, Any]], run: str) -> list[dict[str, Any]]:
    """Return the steps of the run that ``run`` names: its id, the head of it, or a workflow, of which the newest run.

    Raises
    ------
    NotFound, AmbiguousReference
        If there is none, or several begin so.
    """
    runs = workflow_runs(rows)
    named = [one["run_id"] for one in runs if one["workflow"] == run][:1]
    found = named or [one["run_id"] for one in runs if str(run) and one["run_id"].startswith(str(run))]
    if len(found) != 1:
        known = found or [f"{one['workflow']} {one['run_id']}" for one in runs[:10]]
        kind, what = (AmbiguousReference, "several runs begin with") if found else (NotFound, "no workflow, or run, is")
        message = f"{what} {run!r}; there is {', '.join(known) or 'none'}"
        raise kind(message, reference=str(run), candidates=known)
    return [dict(row) for row in rows if row["run_id"] == found[0] and row["step_order"]]
