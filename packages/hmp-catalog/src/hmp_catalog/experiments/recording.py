"""What a training session says as it goes on: each word an entry of the journal, none of them waits for a lock."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from typing import Any

from hmp_catalog.errors import EndedError, ExperimentNotFound
from hmp_catalog.experiments.arrays import arrays, to_payload
from hmp_catalog.experiments.artifacts import serialised
from hmp_catalog.experiments.chains import artifacts_of, checked
from hmp_catalog.experiments.consumed import described
from hmp_catalog.experiments.keeper import Keeper
from hmp_catalog.experiments.schema import COMPLETED, FAILED, RUNNING
from hmp_catalog.experiments.settling import ARRAYS, PIPELINE_ENDED, RUN_ENDED
from hmp_catalog.experiments.values import kept
from hmp_catalog.plain import dumps, label, real, shown, text, whole, word
from hmp_core.errors import InvalidInput
from hmp_core.events.clock import clock
from hmp_core.identity import derived_id, random_id

#: Ids that are remembered to be there; beyond, the database is asked.
_MANY = 100_000
#: So many of the newest are asked for with one that is not known: whoever opens a store again goes on with them.
_BESIDE = 10_000

#: The greatest number of an integer column.
_GREATEST = (1 << 31) - 1

#: Table -> its key, of what entries name.
_KEYS = {"runs": "run_id", "pipelines": "pipeline_id", "chains": "chain_id", "predictions": "prediction_id"}
_NOUNS = {"runs": "run", "pipelines": "pipeline", "chains": "chain", "predictions": "prediction"}


class Recording:
    """The verbs of a store that add something."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._guard = threading.Lock()
        #: what this store knows to be there -> its status
        self._known: dict[tuple[str, str], str] = {}
        self._forgotten = 0
        #: artefact that was saved and not named yet -> the thread that did
        self._unnamed: dict[str, threading.Thread] = {}

    # ── runs ─────────────────────────────────────────────────────────────────────────────────────────

    def begin_run(self, name: str, config: Any, datasets: Sequence[Any]) -> str:
        """See `WorkspaceStore.begin_run`."""
        row = {
            "run_id": str(random_id()),
            "name": word(name, "name of a run"),
            "config": _json(config, "config"),
            "datasets": dumps(described(datasets, self._keeper.folder)),
            "status": RUNNING,
            "created_at": clock.tick(),
        }
        return self._add("runs", "run.begun", row, RUNNING)

    def complete_run(self, run_id: str, summary: Any) -> None:
        """See `WorkspaceStore.complete_run`."""
        self.require("runs", run_id)
        facts = {"run_id": run_id, "status": COMPLETED, "completed_at": clock.tick()}
        self._keeper.write(RUN_ENDED, facts | {"summary": _json(summary, "summary")})
        self._remember("runs", run_id, COMPLETED)
        self._keeper.flush()
        self._keeper.settle_if_free()

    # ── pipelines ────────────────────────────────────────────────────────────────────────────────────

    def begin_pipeline(self, run_id: str, **said: Any) -> str:
        """See `WorkspaceStore.begin_pipeline`."""
        self.require("runs", run_id)
        row = {
            "pipeline_id": str(random_id()),
            "run_id": run_id,
            "name": word(said["name"], "name of a pipeline"),
            "expanded_config": _json(said["expanded_config"], "expanded_config"),
            "generator_choices": _json(said["generator_choices"], "generator_choices"),
            "dataset_name": word(said["dataset_name"], "dataset_name"),
            "dataset_hash": _said(said["dataset_hash"], "dataset_hash"),
            "status": RUNNING,
            "created_at": clock.tick(),
        }
        return self._add("pipelines", "pipeline.begun", row, RUNNING)

    def complete_pipeline(self, pipeline_id: str, **said: Any) -> None:
        """See `WorkspaceStore.complete_pipeline`."""
        self.require("pipelines", pipeline_id)
        facts = {
            "pipeline_id": pipeline_id,
            "status": COMPLETED,
            "completed_at": clock.tick(),
            "best_val": score(said["best_val"], "best_val"),
            "best_test": score(said["best_test"], "best_test"),
            "metric": _said(said["metric"], "metric"),
            "duration_ms": _milliseconds(said["duration_ms"]),
        }
        self._keeper.write(PIPELINE_ENDED, facts)
        self._remember("pipelines", pipeline_id, COMPLETED)
        self._keeper.flush()

    # ── what pipelines leave ─────────────────────────────────────────────────────────────────────────

    def save_chain(self, pipeline_id: str, **said: Any) -> str:
        """See `WorkspaceStore.save_chain`."""
        self.require("pipelines", pipeline_id)
        chain = checked(**said)
        row = {
            **chain,
            **{name: dumps(chain[name]) for name in ("steps", "fold_artifacts", "shared_artifacts")},
            "branch_path": None if chain["branch_path"] is None else dumps(chain["branch_path"]),
            "chain_id": str(random_id()),
            "pipeline_id": pipeline_id,
            "created_at": clock.tick(),
            "artifacts": artifacts_of(chain),
        }
        identity = self._add("chains", "chain.saved", row)
        for artifact in row["artifacts"]:
            self._unnamed.pop(artifact, None)
        return identity

    def save_prediction(self, pipeline_id: str, chain_id: str | None, **said: Any) -> str:
        """See `WorkspaceStore.save_prediction`."""
        self.require("pipelines", pipeline_id)
        if chain_id is not None:
            self.require("chains", chain_id)
        row = {
            "prediction_id": str(random_id()),
            "pipeline_id": pipeline_id,
            "chain_id": chain_id,
            **{name: word(said[name], name) for name in ("dataset_name", "model_name", "model_class", "partition")},
            **{name: label(said[name], name) for name in ("fold_id", "metric", "task_type")},
            "preprocessings": _said(said["preprocessings"], "preprocessings") or "",
            **{name: score(said[name], name) for name in ("val_score", "test_score", "train_score")},
            **{name: whole(said[name], name) for name in ("n_samples", "n_features")},
            "branch_id": None if said["branch_id"] is None else _index(said["branch_id"], "branch_id"),
            "scores": _json(said["scores"], "scores"),
            "best_params": _json(said["best_params"], "best_params"),
            "branch_name": _said(said["branch_name"], "branch_name"),
            "exclusion_count": whole(said["exclusion_count"], "exclusion_count") or 0,
            "exclusion_rate": score(said["exclusion_rate"], "exclusion_rate") or 0.0,
            "created_at": clock.tick(),
        }
        return self._add("predictions", "prediction.saved", row)

    def save_prediction_arrays(self, prediction_id: str, **said: Any) -> None:
        """See `WorkspaceStore.save_prediction_arrays`."""
        self.require("predictions", prediction_id)
        found = arrays(prediction_id, **said)
        self._keeper.write(ARRAYS, to_payload(found), found)

    def log_step(self, pipeline_id: str, **said: Any) -> None:
        """See `WorkspaceStore.log_step`."""
        self.require("pipelines", pipeline_id)
        row = {
            "log_id": str(random_id()),
            "pipeline_id": pipeline_id,
            "step_idx": _index(said["step_idx"], "step_idx"),
            "operator_class": _said(said["operator_class"], "operator_class"),
            "event": word(said["event"], "event"),
            "duration_ms": _milliseconds(said["duration_ms"]),
            "message": _said(said["message"], "message"),
            "details": _json(said["details"], "details"),
            "level": word(said["level"], "level"),
            "created_at": clock.tick(),
        }
        self._keeper.write("step.logged", row)

    def save_artifact(self, obj: Any, operator_class: str, artifact_type: str, format: str) -> str:  # noqa: A002
        """See `WorkspaceStore.save_artifact`."""
        self._keeper.authorize("write", "save an artefact")
        content = serialised(obj, format)
        row = {
            "artifact_id": str(derived_id("artifact", content.sha256, content.extension)),
            "content_hash": content.sha256,
            "operator_class": _said(operator_class, "operator_class"),
            "artifact_type": _said(artifact_type, "artifact_type"),
            "format": format,
            "size_bytes": len(content.data),
            "ref_count": 0,
            "created_at": clock.tick(),
        }
        # between the look for the file and the entry nobody may clear it away
        self._keeper.journal.require_home()
        with self._keeper.files.saving():
            row["artifact_path"] = self._keeper.files.put(content)
            self._keeper.write("artifact.saved", row)
            self._unnamed[str(row["artifact_id"])] = threading.current_thread()
        return str(row["artifact_id"])

    def held_by_others(self) -> set[str]:
        """Return the artefacts that other threads of this process saved, and are about to name."""
        here = threading.current_thread()
        return {each for each, saver in list(self._unnamed.items()) if saver is not here and saver.is_alive()}

    # ── what is there ────────────────────────────────────────────────────────────────────────────────

    def require(self, table: str, identity: str) -> None:
        """Return if something is there and takes what is to be added to it.

        Raises
        ------
        ExperimentNotFound
            If it is not there.
        EndedError
            If it failed.
        """
        status = self._known.get((table, known_form(identity, _NOUNS[table])))
        if status is None:
            status = self._ask(table, identity)
        if status == FAILED:
            message = f"{_NOUNS[table]} {identity} failed: it takes nothing further; begin another"
            raise EndedError(message, status=status)

    def _ask(self, table: str, identity: str) -> str:
        """Return the status of something that this store did not make, and remember the newest beside it."""
        key, forgotten = _KEYS[table], self._forgotten
        column = "status" if table in {"runs", "pipelines"} else "''"
        rows = f"SELECT {key}, {column} FROM {table}"
        with self._keeper.reading() as backend:
            found = backend.fetch_one(f"{rows} WHERE {key} = $1", [identity])
            if found is None:
                raise missing(identity, _NOUNS[table])
            beside = backend.fetch_all(f"{rows} ORDER BY created_at DESC LIMIT {_BESIDE}")
        with self._guard:
            if forgotten == self._forgotten:  # nothing was failed or deleted since
                for each, status in (*beside, found):
                    self._known.setdefault((table, str(each)), str(status))
        return str(found[1])

    def forget(self) -> None:
        """Ask the database again what is there: something was failed or deleted."""
        with self._guard:
            self._known.clear()
            self._forgotten += 1

    def _remember(self, table: str, identity: str, status: str) -> None:
        with self._guard:
            if len(self._known) >= _MANY:
                for key in list(self._known)[: _MANY // 2]:
                    del self._known[key]
            self._known[table, identity] = status

    def _add(self, table: str, kind: str, row: dict[str, Any], status: str = "") -> str:
        self._keeper.write(kind, row)
        identity = str(row[_KEYS[table]])
        self._remember(table, identity, status)
        return identity


def missing(identity: Any, noun: str) -> ExperimentNotFound:
    """Return the error for an id that nothing goes by."""
    message = f"no {noun} goes by the id {shown(identity)} in this store"
    return ExperimentNotFound(message, reference=f"{identity:.80}" if isinstance(identity, str) else "", candidates=[])


def known_form(identity: Any, noun: str) -> str:
    """Return an id if it is text, as all of them are.

    Raises
    ------
    ExperimentNotFound
        If it is anything else, which nothing goes by.
    """
    if isinstance(identity, str):
        return identity
    raise missing(identity, noun)


def score(value: Any, where: str) -> float | None:
    """Return a score; None for one that is missing or no number, which never wins.

    Raises
    ------
    InvalidInput
        If it is something else than a number.
    """
    if value is None:
        return None
    found = real(value, where)
    return found if math.isfinite(found) else None


def _json(value: Any, where: str) -> str | None:
    return None if value is None else dumps(kept(value, where))


def _said(value: Any, where: str) -> str | None:
    """Return text, None for empty one."""
    return None if isinstance(value, str) and not value else text(value, where)


def _index(value: Any, where: str) -> int:
    """Return a whole number as an integer column takes it: what it does not take could never be settled."""
    found = whole(value, where)
    if found is None or not -_GREATEST <= found <= _GREATEST:
        message = f"{where} is {found}, expected a whole number of 32 bits"
        raise InvalidInput(message)
    return found


def _milliseconds(value: Any) -> int | None:
    if value is None:
        return None
    found = real(value, "duration_ms")
    if not math.isfinite(found):
        message = f"duration_ms is {found}, expected a number of milliseconds"
        raise InvalidInput(message)
    return whole(round(found), "duration_ms")
