"""A trained chain on new data: every step as it was trained, the models' answers averaged or voted on.

This room, `planning`, `operators` and `answering` stand alone: their text is part of exported scripts, where hmp is not
installed. They need Python and numpy, and what the fitted objects need. Keep them so: their names differ, each imports
but those before it, and has no dataclass (text that `exec` runs has no module in which to look up annotations).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hmp_catalog.experiments.answering import answer, copied, dense, in_turn, model_of, suited
from hmp_catalog.experiments.operators import arguments, named, of_targets, operators_of
from hmp_catalog.experiments.planning import AUGMENTED, TARGET, Action, Step, article, plan, refused, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence


def replay(
    chain: Mapping[str, Any],
    load: Callable[[str], Any],
    X: Any,  # noqa: N803 - the seed's word
    wavelengths: Any = None,
) -> np.ndarray[Any, Any]:
    """Return what a chain predicts for ``X``: the steps as they were trained, then the model.

    Parameters
    ----------
    chain
        The record that `WorkspaceStore.get_chain` gives.
    load
        Returns the fitted object of an artefact id; what it raises for one that is gone passes unchanged.
    X
        Matrix of samples by features, or a list of them, one a source. It is not modified. Of a frame with names,
        the columns that the chain was trained on are taken by their names, if it knows them (``features`` of the
        model's step).
    wavelengths
        Given to the operators that take an argument of that name; for several sources it may be a list of arrays.

    Returns
    -------
    numpy.ndarray
        Regression: the plain mean of the fold models in the units of the training target, float64, samples or
        samples by targets. Classification: the label most fold models vote for, in their dtype; a tie goes to
        the greatest summed probability where every model tells it, then to the smallest label. The model under
        ``fold_final`` or ``final`` answers alone.

    Raises
    ------
    ReplayError
        If the chain is not one, misses an artefact, or an operator refuses the data; ``step`` says where.

    Examples
    --------
    >>> class Mean:
    ...     def predict(self, X):
    ...         return X.mean(axis=1)
    >>> chain = {
    ...     "steps": [
    ...         {"step_idx": 1, "operator_class": "numpy.log1p", "params": None, "stateless": True},
    ...         {"step_idx": 2, "operator_class": "Mean", "stateless": False},
    ...     ],
    ...     "model_step_idx": 2,
    ...     "fold_artifacts": {"fold_0": "a"},
    ... }
    >>> replay(chain, {"a": Mean()}.__getitem__, [[0.0, 0.0], [0.0, np.e - 1]])
    array([0. , 0.5])
    """
    actions, last, models = plan(chain)
    only = chain.get("source_index")
    matrix = Matrix(
        by_name(X, features_of(chain)), wavelengths, sourced=any(a.source is not None for a in actions), only=only
    )
    targets: list[tuple[Step, Any]] = []
    for alike in _together(actions):
        forward: list[Any] = []
        for action in alike:
            for operator in operators_of(action, load):
                if action.step.kind == TARGET or (not action.step.kind and of_targets(operator)):
                    targets.append((action.step, operator))
                else:
                    forward.append(operator)
        if forward:
            matrix.transform(alike[0], forward)
    found = [model_of(last, artifact, load(artifact)) for artifact in models]
    with named(last), in_turn():
        return answer(last, found, matrix.joined(), targets)


def features_of(chain: Mapping[str, Any]) -> list[str] | None:
    """Return the names of the columns that a chain was trained on, in order; None where they had none."""
    idx = chain.get("model_step_idx")
    found = next((s.get("features") for s in chain.get("steps") or () if s.get("step_idx") == idx), None)
    if found is not None and not (isinstance(found, list) and all(isinstance(name, str) for name in found)):
        raise refused(None, f"the features of the chain are {shown(found)}, expected a list of names")
    return found


def by_name(x: Any, features: list[str] | None, where: str = "X") -> Any:
    """Return a frame with these columns, in their order; anything without names as it is."""
    names = names_of(x)
    if features is None or names is None:
        return x
    order = places(names, features, where)
    if order == list(range(len(names))):
        return x
    return x.iloc[:, order] if hasattr(x, "iloc") else x[:, order]


def names_of(x: Any) -> list[str] | None:
    """Return what the columns of a frame are called, None if it is none, or numbered them itself."""
    if not hasattr(x, "columns") or not hasattr(x, "to_numpy"):
        return None
    names = [str(name) for name in x.columns]
    numbered = [[f"{word}{n + first}" for n in range(len(names))] for word, first in _NUMBERED]
    return None if names in numbered else names


def places(names: Sequence[str], features: Sequence[str], where: str) -> list[int]:
    """Return where the columns of these names stand; a number is the same however it is written."""
    found = {_key(name): n for n, name in reversed(list(enumerate(names)))}
    if lost := [name for name in features if _key(name) not in found]:
        message = f"{where} has no column {', '.join(lost[:5])}, which the chain was trained on; it has "
        raise refused(None, f"{message}{', '.join(names[:5])}{' and others' if len(names) > 5 else ''}"[:1000])
    return [found[_key(name)] for name in features]


def _key(name: str) -> str | float:
    try:
        return float(name)
    except ValueError:
        return name.strip()


def _together(actions: list[Action]) -> Iterator[list[Action]]:
    """Yield what is applied to the same matrix: augmenting entries of one step, anything else alone."""
    alike: list[Action] = []
    for action in actions:
        same = alike and action.step.kind == alike[0].step.kind == AUGMENTED
        if not (same and (action.step.idx, action.source) == (alike[0].step.idx, alike[0].source)):
            if alike:
                yield alike
            alike = []
        alike.append(action)
    if alike:
        yield alike


#: How pandas and polars, and polars of a file without a header, call columns that have no names.
_NUMBERED = (("", 0), ("column_", 0), ("column_", 1))


class Matrix:
    """What the steps have made of X so far: one matrix, or one for each source until something needs them joined."""

    def __init__(self, x: Any, wavelengths: Any, *, sourced: bool, only: int | None) -> None:
        several = isinstance(x, (list, tuple)) and len(x) > 0 and all(_dimensions(part) == 2 for part in x)
        if sourced and not several:
            raise refused(
                None, f"the chain was trained on several sources: X is {article(x)}, expected a list of matrices"
            )
        if several and only is not None:
            if only >= len(x):
                raise refused(None, f"the chain was trained on source {shown(only)}, and X has {len(x)} sources")
            x, wavelengths, several = x[only], _nth(wavelengths, only, len(x)), False
        self._parts = [_own_copy(part) for part in x] if several else [_own_copy(x)]
        self._wavelengths, self._apart = wavelengths, several
        self.rows = int(self._parts[0].shape[0]) if self._parts else 0
        if any(p.shape[0] != self.rows for p in self._parts):
            raise refused(
                None, f"the sources have {[int(p.shape[0]) for p in self._parts]} samples, expected the same of each"
            )

    def transform(self, action: Action, operators: Sequence[Any]) -> None:
        """Apply the operators of a step, one after the other, or side by side if it augments."""
        step, at = action.step, action.source
        if at is None:
            self.joined()
        elif not self._apart or at >= len(self._parts):
            state = f"X has {len(self._parts)} of them" if self._apart else "an earlier step joined them"
            raise refused(step, f"it is for source {shown(at)}, and {state}")
        at = at or 0
        wavelengths = _nth(self._wavelengths, at, len(self._parts)) if self._apart else self._wavelengths
        with named(step), in_turn():
            before = self._parts[at]
            if step.kind == AUGMENTED:
                made = [self._applied(o, copied(before), wavelengths, step) for o in operators]
                self._parts[at] = _beside([before, *made])
            else:
                for operator in operators:
                    self._parts[at] = self._applied(operator, self._parts[at], wavelengths, step)

    def _applied(self, operator: Any, x: Any, wavelengths: Any, step: Step) -> Any:
        call, x = getattr(operator, "transform", operator), suited(operator, x)
        if getattr(operator, "n_features_in_", None) == 1 and len(x.shape) == 2 and x.shape[1] != 1:
            message = f"it was fitted on one column, and X has {x.shape[1]} here; if that was the target, say so"
            raise refused(step, f"{message}: operator_type is {TARGET!r}")
        named = wavelengths is not None and "wavelengths" in arguments(call)
        found = call(x, wavelengths=copied(wavelengths)) if named else call(x)
        found = found if hasattr(found, "shape") else np.asarray(found)
        if found.shape[:1] != (self.rows,):
            raise refused(step, f"it made {found.shape} of {self.rows} samples")
        return found

    def joined(self) -> Any:
        """Return one matrix: the sources side by side."""
        if self._apart:
            self._parts, self._apart = [_beside(self._parts)], False
        return self._parts[0]


def _dimensions(part: Any) -> int:
    try:
        return int(np.ndim(part))
    except ValueError:  # rows that differ in length
        return 0


def _own_copy(x: Any) -> Any:
    if hasattr(x, "iloc") or hasattr(x, "tocsr"):  # data frames and sparse matrices stay what they are
        return x.copy()
    if isinstance(x, np.ma.MaskedArray) and np.ma.is_masked(x):
        raise refused(None, "X is masked: put values, or NaN, where it is")
    try:
        # always in the same order: sums over other orders differ in the last bit
        found = np.array(x, order="C")
    except (TypeError, ValueError) as error:
        raise refused(None, f"X is {article(x)} that is no matrix: {error}") from error
    if found.ndim == 0:
        raise refused(None, f"X is {article(x)}, expected a matrix of samples by features")
    return found


def _beside(parts: list[Any]) -> Any:
    return parts[0] if len(parts) == 1 else np.hstack([dense(p) for p in parts])


def _nth(wavelengths: Any, at: int, count: int) -> Any:
    """Return the wavelengths of a source, where each has its own."""
    each = isinstance(wavelengths, (list, tuple)) and len(wavelengths) == count and all(map(np.ndim, wavelengths))
    return wavelengths[at] if each else wavelengths
