"""A pipeline on a dataset: its steps executed in order, branch by branch; what is fitted is kept as it goes."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hmp_catalog.experiments.answering import copied, dense
from hmp_catalog.experiments.operators import arguments, can, of_targets
from hmp_catalog.experiments.tracing import ExecutionStep, StepArtifacts
from hmp_catalog.experiments.training import expansion, folds
from hmp_catalog.experiments.training.cloning import is_of_script, seeded
from hmp_core.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from hmp_catalog.experiments.store import WorkspaceStore
    from hmp_catalog.experiments.training.datasets import Dataset
    from hmp_catalog.experiments.training.expansion import Step
    from hmp_catalog.experiments.training.folds import Fold


@dataclass(frozen=True)
class Answer:
    """What a model predicted for one partition: as it says it, and in the units and labels of the target."""

    rows: NDArray[np.int64]
    said: NDArray[Any]
    predicted: NDArray[Any]
    #: for each target, its classes and the probability of each; None where the model tells none
    told: list[tuple[Any, NDArray[Any]]] | None


@dataclass(frozen=True)
class Trained:
    """A chain that was trained: its steps, and what the model of each fold predicted."""

    done: tuple[ExecutionStep, ...]
    model: Step
    #: its number among all branches of the pipeline, those of branches too
    branch_id: int | None
    branch_path: tuple[int, ...]
    branch_name: str | None
    n_features: int
    folds: list[Fold]
    answers: list[dict[str, Answer]]  # for each fold, partition -> answer
    targets: tuple[Any, ...]
    labelled: bool
    regresses: bool
    best_params: dict[str, Any]


@dataclass(frozen=True)
class _State:
    """What the steps so far have made of the data."""

    train: list[Any]
    test: list[Any] | None
    y: NDArray[Any]
    targets: tuple[Any, ...] = ()
    folds: list[Fold] | None = None
    branch: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    done: tuple[ExecutionStep, ...] = field(default=())

    def into(self, at: int, name: str) -> _State:
        """Return the state at the beginning of a branch, with data of its own."""
        return replace(
            self,
            train=[copied(each) for each in self.train],
            test=None if self.test is None else [copied(each) for each in self.test],
            branch=(*self.branch, at),
            names=(*self.names, name),
        )

    def joined(self) -> _State:
        """Return the state with the sources side by side."""
        if len(self.train) == 1:
            return self
        test = None if self.test is None else [np.hstack([dense(each) for each in self.test])]
        return replace(self, train=[np.hstack([dense(each) for each in self.train])], test=test)


class Fitting:
    """Trains one pipeline on one dataset; what is fitted goes into the store at once."""

    def __init__(
        self, store: WorkspaceStore, pipeline_id: str, dataset: Dataset, random_state: int | None, artifact_format: str
    ) -> None:
        self._store = store
        self._pipeline_id = pipeline_id
        self._dataset = dataset
        self._random_state = random_state
        self._format = artifact_format
        self._count = itertools.count(1)
        self._branches = itertools.count()

    def trained(self, steps: Sequence[Step]) -> Iterator[Trained]:
        """Execute the steps, and yield each chain once its model is trained.

        Raises
        ------
        InvalidInput
            If the steps do not fit one another or the data. What an operator raises passes unchanged.
        """
        data = self._dataset
        test = None if data.X_test is None else [np.array(each, order="C") for each in data.X_test]
        yield from self._walk(steps, _State([np.array(each, order="C") for each in data.X], test, data.y.copy()))

    def _walk(self, steps: Sequence[Step], state: _State) -> Iterator[Trained]:
        for n, step in enumerate(steps):
            if step.kind == expansion.BRANCH:
                for at, inner in enumerate(step.inner):
                    name = step.names[at] if step.names else f"branch_{at}"
                    yield from self._walk([*inner, *steps[n + 1 :]], state.into(at, name))
                return
            if step.kind == expansion.MODEL:
                yield self._model(step, state.joined())
                return
            state = self._step(step, state)

    def _step(self, step: Step, state: _State) -> _State:
        if step.kind == expansion.SOURCE:
            return self._sources(step, state)
        if step.kind == expansion.SPLIT:
            return self._split(step, state)
        if step.kind == expansion.TARGET:
            return self._target(step, state)
        return self._transform(step, state.joined(), 0, None)

    # ── steps ────────────────────────────────────────────────────────────────────────────────────────

    def _sources(self, step: Step, state: _State) -> _State:
        if len(step.inner) != len(state.train) or len(state.train) < 2:
            message = f"source has the steps of {len(step.inner)} sources, and X has {len(state.train)} here"
            raise InvalidInput(message)
        for at, inner in enumerate(step.inner):
            for each in inner:
                if each.kind != expansion.TRANSFORM:
                    message = f"{_called(each)} is no transformer; the steps of a source only transform"
                    raise InvalidInput(message)
                state = self._transform(each, state, at, at)
        return state

    def _split(self, step: Step, state: _State) -> _State:
        splitter, started, at = seeded(step.operator, self._random_state), time.perf_counter(), next(self._count)
        made = folds.split(splitter, state.joined().train[0], self._dataset.y, self._dataset.groups)
        self._log(at, step, started, details={"folds": len(made)})
        return replace(state, folds=made)

    def _target(self, step: Step, state: _State) -> _State:
        operator, started, at = seeded(step.operator, self._random_state), time.perf_counter(), next(self._count)
        # one of targets, as a LabelEncoder, takes them as they are; others take a matrix
        column = state.y.ndim == 1 and not of_targets(operator)
        given = state.y.reshape(-1, 1) if column else state.y
        if can(operator, "fit"):
            operator.fit(copied(given))
        made = dense(operator.transform(copied(given)))
        made = made[:, 0] if made.ndim == 2 and made.shape[1] == 1 else made
        done = self._fitted(at, step, operator, state, started)
        return replace(state, y=made, targets=(*state.targets, operator), done=(*state.done, done))

    def _transform(self, step: Step, state: _State, at: int, source: int | None) -> _State:
        operator, started, idx = seeded(step.operator, self._random_state), time.perf_counter(), next(self._count)
        if can(operator, "fit"):
            self._fit(operator, copied(state.train[at]), state.y, at)
        train, test = list(state.train), None if state.test is None else list(state.test)
        train[at] = self._applied(operator, train[at], at)
        if test is not None:
            test[at] = self._applied(operator, test[at], at)
        done = self._fitted(idx, step, operator, state, started)
        if source is not None:
            done.metadata["source_index"] = source
        return replace(state, train=train, test=test, done=(*state.done, done))

    def _fit(self, operator: Any, x: Any, y: NDArray[Any], source: int) -> None:
        takes = arguments(operator.fit)
        also = self._wavelengths(takes, source)
        if not takes or {"y", "Y", "args"} & set(takes):
            operator.fit(x, copied(y), **also)
        else:
            operator.fit(x, **also)

    def _applied(self, operator: Any, x: Any, source: int) -> Any:
        call = getattr(operator, "transform", operator)
        found = call(x, **self._wavelengths(arguments(call), source))
        found = found if hasattr(found, "shape") else np.asarray(found)
        if found.shape[:1] != x.shape[:1]:
            message = f"{type(operator).__name__} made {found.shape} of {x.shape[0]} samples, expected as many"
            raise InvalidInput(message)
        return found

    def _wavelengths(self, takes: list[str], source: int) -> dict[str, Any]:
        found = self._dataset.wavelengths
        return {"wavelengths": found.copy()} if found is not None and "wavelengths" in takes else {}

    # ── the model ────────────────────────────────────────────────────────────────────────────────────

    def _model(self, step: Step, state: _State) -> Trained:
        started, at = time.perf_counter(), next(self._count)
        x, made, kept = state.train[0], state.folds or folds.whole(len(state.y)), StepArtifacts()
        models, answers = [], []
        for fold in made:
            model = seeded(step.operator, self._random_state)
            model.fit(_rows(x, fold.train), state.y[fold.train])
            kept.fold_artifact_ids[fold.name] = self._saved(model, step, "model")
            models.append(model)
            answers.append(dict(_answers(model, fold, state)))
        done = self._executed(at, step, kept, state, started)
        return Trained(
            done=(*state.done, done),
            model=step,
            branch_id=next(self._branches) if state.branch else None,
            branch_path=state.branch,
            branch_name="/".join(state.names) or None,
            n_features=int(x.shape[1]),
            folds=made,
            answers=answers,
            targets=state.targets,
            labelled=all(hasattr(model, "classes_") for model in models),
            regresses=all(expansion.task_of(model) == "regressor" for model in models),
            best_params=dict(getattr(models[0], "best_params_", {})) if len(models) == 1 else {},
        )

    # ── what is kept ─────────────────────────────────────────────────────────────────────────────────

    def _fitted(self, at: int, step: Step, operator: Any, state: _State, started: float) -> ExecutionStep:
        """Keep what was fitted, and return the step as it was executed; a function that can be imported
        keeps nothing.
        """
        stateless = not can(operator, "transform") and not is_of_script(operator)
        role = "target" if step.kind == expansion.TARGET else "transformer"
        kept = StepArtifacts() if stateless else StepArtifacts([self._saved(operator, step, role)])
        return replace(self._executed(at, step, kept, state, started), stateless=stateless)

    def _executed(self, at: int, step: Step, kept: StepArtifacts, state: _State, started: float) -> ExecutionStep:
        called = expansion.class_of(step.operator)
        told = expansion.described(step.operator, called)
        return ExecutionStep(
            at,
            step.kind,
            called,
            told.get("params") if isinstance(told, dict) else None,
            artifacts=kept,
            branch_path=list(state.branch),
            branch_name="/".join(state.names),
            duration_ms=self._log(at, step, started),
        )

    def _saved(self, operator: Any, step: Step, role: str) -> str:
        form = "cloudpickle" if is_of_script(operator) else self._format
        return self._store.save_artifact(operator, expansion.class_of(step.operator), role, form)

    def _log(self, at: int, step: Step, started: float, details: dict[str, Any] | None = None) -> int:
        took = round((time.perf_counter() - started) * 1000)
        called = expansion.class_of(step.operator)
        self._store.log_step(self._pipeline_id, at, called, "end", duration_ms=took, details=details)
        return took


def _answers(model: Any, fold: Fold, state: _State) -> Iterator[tuple[str, Answer]]:
    x = state.train[0]
    given = {"train": (fold.train, _rows(x, fold.train))}
    if fold.val.size:
        given["val"] = (fold.val, _rows(x, fold.val))
    if state.test is not None:
        given["test"] = (np.arange(state.test[0].shape[0]), copied(state.test[0]))
    for part, (rows, matrix) in given.items():
        said = dense(model.predict(copied(matrix)))
        said = said[:, 0] if said.ndim == 2 and said.shape[1] == 1 else said
        if said.shape[:1] != rows.shape:
            message = f"{type(model).__name__} predicted {said.shape} for {len(rows)} samples"
            raise InvalidInput(message)
        yield part, Answer(rows, said, originals(said, state.targets), _told(model, matrix))


def originals(said: NDArray[Any], targets: Sequence[Any]) -> NDArray[Any]:
    """Return predictions as the targets were before they were processed."""
    for operator in reversed(targets):
        column = said.ndim == 1 and not of_targets(operator)
        said = dense(operator.inverse_transform(said.reshape(-1, 1) if column else said))
        said = said[:, 0] if said.ndim == 2 and said.shape[1] == 1 else said
    return said


def _told(model: Any, x: Any) -> list[tuple[Any, NDArray[Any]]] | None:
    if not (hasattr(model, "classes_") and can(model, "predict_proba")):
        return None
    found = model.predict_proba(x)
    return list(zip(model.classes_, found, strict=True)) if isinstance(found, list) else [(model.classes_, found)]


def _rows(x: Any, rows: NDArray[np.int64]) -> Any:
    return x.iloc[rows] if hasattr(x, "iloc") else x[rows]


def _called(step: Step) -> str:
    return step.name or expansion.class_of(step.operator)
