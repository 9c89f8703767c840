"""Chains of a trace: one for each model, with the steps, artefacts and label of its own branch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hmp_catalog.experiments.chains import PER_FOLD, SHARED
from hmp_catalog.experiments.planning import MODEL, SOURCE_MAP, TARGET
from hmp_catalog.experiments.tracing import SKIP, ExecutionStep, ExecutionTrace
from hmp_core.errors import InvalidInput

#: What shapes neither what a model reads nor what it answers; a step of any other kind is replayed, or refused then.
_ASIDE = frozenset({"splitter", "branch", "chart", "metric", "sample_filter", "sample_augmentation", "weights"})
#: What would have to be replayed, and no chain can say how.
_REFUSED = frozenset({"merge", "meta_model"})


class ChainBuilder:
    """Makes of a trace what `WorkspaceStore.save_chain` takes beside the pipeline.

    Parameters
    ----------
    trace
        What a training did; see `TraceRecorder`.
    artifact_registry
        Artefact id of the trace -> id in the store, where they differ.

    Examples
    --------
    >>> from hmp_catalog.experiments.tracing import StepArtifacts
    >>> scaler = ExecutionStep(1, operator_class="a.Scaler", artifacts=StepArtifacts(["s"]))
    >>> model = ExecutionStep(2, "model", "a.PLS", artifacts=StepArtifacts(fold_artifact_ids={0: "m", 1: "n"}))
    >>> chain = ChainBuilder(ExecutionTrace(steps=[scaler, model])).build()
    >>> chain["preprocessings"], chain["shared_artifacts"], chain["fold_artifacts"]
    ('Scaler', {'1': ['s']}, {'fold_0': 'm', 'fold_1': 'n'})
    """

    def __init__(self, trace: ExecutionTrace, artifact_registry: Mapping[str, str] | None = None) -> None:
        self._trace = trace
        self._registry = artifact_registry
        self._steps = [s for s in trace.steps if s.execution_mode != SKIP]

    def build(self) -> dict[str, Any]:
        """Return the chain of the trace's model: its ``model_step_index``, else its last; {} of an empty trace.

        Without a model it is a chain of the other steps, which can be looked at and not saved.

        Raises
        ------
        InvalidInput
            As of `build_all`.
        """
        chains = self.build_all()
        if not chains:
            return {}
        return next((c for c in chains if c["model_step_idx"] == self._trace.model_step_index), chains[-1])

    def build_all(self) -> list[dict[str, Any]]:
        """Return a chain for each model of each branch, in the order in which they were trained.

        Raises
        ------
        InvalidInput
            If a model was trained on branches that were merged, which no chain can say, or the registry misses an
            artefact.
        """
        models = [(at, s) for at, s in enumerate(self._steps) if _is_model(s)]
        if models:
            return [self._chain(at, step, branch) for at, step in models for branch in _branches(step)]
        if not self._steps:
            return []
        last = self._steps[-1]
        found = self._record(self._steps, tuple(last.branch_path))
        return [{**found, "model_step_idx": last.step_index, "model_class": "", "fold_strategy": SHARED}]

    def _chain(self, at: int, model: ExecutionStep, branch: tuple[int, ...]) -> dict[str, Any]:
        before = [s for s in self._steps[:at] if not _is_model(s)]
        found = self._record(before, branch)
        kept = model.artifacts
        folds = {f: i for f, i in kept.fold_artifact_ids.items() if _in_branch(model, i, branch)}
        found["steps"].append(_described(model, [], branch, kind=MODEL))
        if folds:
            found["fold_artifacts"] = {_fold(fold): self._named(i) for fold, i in folds.items()}
        else:
            ids = [i for i in _every(model) if _in_branch(model, i, branch)]
            if kept.primary_artifact_id in ids:
                ids = [kept.primary_artifact_id]
            if ids:
                found["shared_artifacts"][str(model.step_index)] = [self._named(i) for i in ids]
        found["fold_strategy"] = PER_FOLD if folds else SHARED
        alone = model.source_count > 1 and len(kept.by_source) == 1
        found["source_index"] = next(iter(kept.by_source)) if alone else None
        return {**found, "model_step_idx": model.step_index, "model_class": model.operator_class}

    def _record(self, steps: list[ExecutionStep], branch: tuple[int, ...]) -> dict[str, Any]:
        described: list[dict[str, Any]] = []
        names: list[str] = []
        shared: dict[str, list[str]] = {}
        sources: dict[str, dict[str, list[str]]] = {}
        for step in steps:
            ids = self._own(step, branch)
            if ids is None:
                continue
            described.append(_described(step, [self._named(i) for i in ids], branch))
            if ids:
                shared.setdefault(str(step.step_index), []).extend(map(self._named, ids))
            for source, of_source in step.artifacts.by_source.items():
                if step.source_count > 1 or len(step.artifacts.by_source) > 1:
                    table = sources.setdefault(str(step.step_index), {})
                    table.setdefault(str(source), []).extend(self._named(i) for i in of_source if i in ids)
            if step.operator_type != TARGET:
                names.append(step.operator_class.rpartition(".")[2])
        return {
            "steps": described,
            "preprocessings": ">".join(names),
            "fold_artifacts": {},
            "shared_artifacts": {**shared, **({SOURCE_MAP: sources} if sources else {})},
            "branch_path": list(branch) or None,
            "source_index": None,
        }

    def _own(self, step: ExecutionStep, branch: tuple[int, ...]) -> list[str] | None:
        """Return the artefacts of a step that a chain of a branch applies; None if the step is none of its."""
        path, every = tuple(step.branch_path), _every(step)
        if step.operator_type in _ASIDE and not every:
            return None
        if step.operator_type in _REFUSED or path[: len(branch)] == branch != path:
            message = (
                f"step {step.step_index}, {step.operator_class}, is of branch {list(path)}, and a model of branch "
                f"{list(branch)} was trained on it: branches that were merged cannot be replayed"
            )
            raise InvalidInput(message)
        if branch[: len(path)] != path:
            return None
        found = [i for i in every if _in_branch(step, i, branch)]
        return None if every and not found else found

    def _named(self, artifact: str) -> str:
        if self._registry is None:
            return artifact
        if artifact not in self._registry:
            message = f"artefact {artifact!r:.80} of trace {self._trace.trace_id} is not in the registry"
            raise InvalidInput(message)
        return self._registry[artifact]


def _is_model(step: ExecutionStep) -> bool:
    return step.operator_type == MODEL or bool(step.artifacts.fold_artifact_ids)


def _every(step: ExecutionStep) -> list[str]:
    """Return all artefacts of a step, also those that only a table of theirs names."""
    kept = step.artifacts
    tables = [i for table in (kept.by_branch, kept.by_source, kept.by_chain) for ids in table.values() for i in ids]
    first = [kept.primary_artifact_id] if kept.primary_artifact_id else []
    return [*kept.artifact_ids, *(i for i in dict.fromkeys((*first, *tables)) if i not in kept.artifact_ids)]


def _branches(model: ExecutionStep) -> list[tuple[int, ...]]:
    """Return the branches in which a model was trained: that of its step, or those of its artefacts."""
    return [tuple(model.branch_path)] if model.branch_path else list(model.artifacts.by_branch) or [()]


def _in_branch(step: ExecutionStep, artifact: str, branch: tuple[int, ...]) -> bool:
    paths = [path for path, ids in step.artifacts.by_branch.items() if artifact in ids]
    return not paths or any(branch[: len(path)] == tuple(path) for path in paths)


def _described(step: ExecutionStep, ids: list[str], branch: tuple[int, ...], kind: str | None = None) -> dict[str, Any]:
    """Return the entry of a step; what only one branch has of it says so."""
    own = tuple(step.branch_path) or (branch if step.artifacts.by_branch else ())
    return {
        "step_idx": step.step_index,
        "operator_class": step.operator_class,
        "operator_type": kind or step.operator_type,
        "params": step.operator_config,
        "artifact_ids": ids,
        "stateless": step.stateless,
        **({"branch_path": list(own)} if own else {}),
    }


def _fold(fold: int | str) -> str:
    text = str(fold)
    return text if text.startswith("fold_") else f"fold_{text}"
