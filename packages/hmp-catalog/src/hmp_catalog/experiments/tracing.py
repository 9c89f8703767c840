"""What a training did, step by step: the trace from which chains are built."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from hmp_catalog.plain import whole, word
from hmp_core.errors import InvalidInput
from hmp_core.identity import random_id

TRAIN, PREDICT, SKIP = "train", "predict", "skip"
MODES = (TRAIN, PREDICT, SKIP)


@dataclass
class StepArtifacts:
    """The fitted objects of a step, by their artefact ids."""

    #: all of them, in the order in which they are applied
    artifact_ids: list[str] = field(default_factory=list)
    primary_artifact_id: str | None = None
    #: fold -> its model, such as 0 or ``"final"``
    fold_artifact_ids: dict[int | str, str] = field(default_factory=dict)
    #: path of a chain -> its primary artefact
    primary_artifacts: dict[str, str] = field(default_factory=dict)
    by_branch: dict[tuple[int, ...], list[str]] = field(default_factory=dict)
    by_source: dict[int, list[str]] = field(default_factory=dict)
    by_chain: dict[str, list[str]] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass
class ExecutionStep:
    """One step that was executed: its operator, where it stands, what it fitted."""

    #: from 1; several steps may share one
    step_index: int
    #: ``transform``, ``y_processing``, ``model``, ``feature_augmentation``; others are no part of a chain
    operator_type: str = "transform"
    #: by its full name, so that one that keeps nothing can be made anew
    operator_class: str = ""
    operator_config: dict[str, Any] | None = None
    execution_mode: str = TRAIN
    artifacts: StepArtifacts = field(default_factory=StepArtifacts)
    branch_path: list[int] = field(default_factory=list)
    branch_name: str = ""
    duration_ms: int | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    input_chain_path: str = ""
    output_chain_paths: list[str] = field(default_factory=list)
    source_count: int = 1
    produces_branches: bool = False
    substep_index: int | None = None
    input_shape: tuple[int, ...] | None = None
    output_shape: tuple[int, ...] | None = None
    #: whether it fits nothing: it is made anew from its class and configuration
    stateless: bool = False


@dataclass
class ExecutionTrace:
    """The steps of one pipeline, in the order in which they were executed."""

    pipeline_uid: str = ""
    trace_id: str = field(default_factory=lambda: random_id().hex[:12])
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    steps: list[ExecutionStep] = field(default_factory=list)
    model_step_index: int | None = None
    #: what an average over folds was weighted with; a chain replays the plain mean
    fold_weights: dict[int | str, float] | None = None
    #: the text of all steps; each chain gets that of its own
    preprocessing_chain: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)


class TraceRecorder:
    """Writes a trace while a pipeline is trained.

    Examples
    --------
    >>> recorder = TraceRecorder("pls")
    >>> _ = recorder.start_step(1, "transform", "sklearn.preprocessing.StandardScaler")
    >>> recorder.record_artifact("a")
    >>> recorder.end_step()
    >>> _ = recorder.start_step(2, "model", "sklearn.cross_decomposition.PLSRegression")
    >>> recorder.record_artifact("b", fold_id=0)
    >>> recorder.end_step()
    >>> recorder.finalize().model_step_index
    2
    """

    def __init__(self, pipeline_uid: str = "", *, metadata: Mapping[str, Any] | None = None) -> None:
        self._trace = ExecutionTrace(pipeline_uid, metadata=dict(metadata or {}))
        self._branches: list[tuple[int, str]] = []
        self._open: ExecutionStep | None = None
        self._began = 0.0

    def start_step(
        self,
        step_index: int,
        operator_type: str,
        operator_class: str,
        operator_config: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> ExecutionStep:
        """Begin a step in the branch that was entered; ``more`` are further fields of `ExecutionStep`.

        Raises
        ------
        InvalidInput
            If another step is open, or the index is no whole number from 1.
        """
        if self._open is not None:
            message = f"step {self._open.step_index}, {self._open.operator_class}, is open: end it first"
            raise InvalidInput(message)
        if (index := whole(step_index, "step_index")) is None or index < 1:
            message = f"step_index is {index}, expected a whole number from 1"
            raise InvalidInput(message)
        config = None if operator_config is None else dict(operator_config)
        step = ExecutionStep(index, word(operator_type, "operator_type"), operator_class, config, **more)
        step.branch_path = step.branch_path or [b for b, _ in self._branches]
        step.branch_name = step.branch_name or (self._branches[-1][1] if self._branches else "")
        self._open, self._began = step, time.perf_counter()
        return step

    def record_artifact(
        self,
        artifact_id: str,
        is_primary: bool = False,  # noqa: FBT001, FBT002 - as the original takes it
        fold_id: int | str | None = None,
        chain_path: str | None = None,
        branch_path: list[int] | None = None,
        source_index: int | None = None,
    ) -> None:
        """Add a fitted object to the open step.

        Raises
        ------
        InvalidInput
            If no step is open, the id is not text, or the fold has another model already.
        """
        kept, name = self._current().artifacts, word(artifact_id, "artifact_id")
        if fold_id is not None and kept.fold_artifact_ids.get(fold_id, name) != name:
            message = f"fold {fold_id} of step {self._current().step_index} has a model: begin a step for each branch"
            raise InvalidInput(message)
        kept.artifact_ids.append(name)
        if fold_id is not None:
            kept.fold_artifact_ids[fold_id] = name
        if is_primary:
            kept.primary_artifact_id = name
            if chain_path is not None:
                kept.primary_artifacts[chain_path] = name
        if chain_path is not None:
            kept.by_chain.setdefault(chain_path, []).append(name)
        if branch_path:
            kept.by_branch.setdefault(tuple(branch_path), []).append(name)
        if source_index is not None:
            kept.by_source.setdefault(source_index, []).append(name)

    def end_step(self, **more: Any) -> None:
        """Add the open step to the trace; ``more`` are fields known only now, such as ``output_shape``.

        Raises
        ------
        InvalidInput
            If no step is open, or it has no such field.
        """
        step = self._current()
        for name, value in more.items():
            if name not in ExecutionStep.__dataclass_fields__:
                message = f"a step has no field {name!r:.40}"
                raise InvalidInput(message)
            setattr(step, name, value)
        if step.duration_ms is None:
            step.duration_ms = round((time.perf_counter() - self._began) * 1000)
        if step.execution_mode != SKIP and (step.operator_type == "model" or step.artifacts.fold_artifact_ids):
            self._trace.model_step_index = step.step_index
        self._trace.steps.append(step)
        self._open = None

    def mark_step_skipped(self) -> None:
        """Say that the open step was not executed: no chain has it.

        Raises
        ------
        InvalidInput
            If no step is open.
        """
        self._current().execution_mode = SKIP

    def enter_branch(self, index: int, name: str = "") -> None:
        """Put the steps that follow in a branch of the branch that was entered.

        Raises
        ------
        InvalidInput
            If a step is open, or the index is no whole number from 0.
        """
        if self._open is not None or (found := whole(index, "index of a branch")) is None or found < 0:
            message = f"a branch is {index!r:.40}, expected a whole number from 0, and is entered between two steps"
            raise InvalidInput(message)
        self._branches.append((found, name))

    def exit_branch(self) -> None:
        """Go on in the branch around the one that was entered last.

        Raises
        ------
        InvalidInput
            If a step is open, or no branch was entered.
        """
        if self._open is not None or not self._branches:
            message = "no branch was entered, or a step is open in it"
            raise InvalidInput(message)
        self._branches.pop()

    def finalize(self, *, preprocessing_chain: str = "", **metadata: Any) -> ExecutionTrace:
        """Return the trace.

        Raises
        ------
        InvalidInput
            If a step or a branch is open.
        """
        if self._open is not None or self._branches:
            message = "a step or a branch is open: end it before the trace"
            raise InvalidInput(message)
        self._trace.preprocessing_chain = preprocessing_chain or self._trace.preprocessing_chain
        self._trace.metadata.update(metadata)
        return self._trace

    def _current(self) -> ExecutionStep:
        if self._open is None:
            message = "no step is open: start_step begins one"
            raise InvalidInput(message)
        return self._open
