"""The record of a chain: what may be kept as one, and which artefacts it names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hmp_catalog.errors import ReplayError
from hmp_catalog.experiments.planning import SOURCE_MAP, plan
from hmp_catalog.experiments.values import kept
from hmp_catalog.plain import mapping, one_of, whole, word
from hmp_core.errors import InvalidInput

#: How the models of the folds relate: each fold has its own, or one serves all.
PER_FOLD, SHARED = "per_fold", "shared"
STRATEGIES = (PER_FOLD, SHARED)

#: Of a list of steps, nobody made a longer one.
_MOST_STEPS = 10_000
#: What is an integer column.
_GREATEST = (1 << 31) - 1


def checked(
    *,
    steps: Any,
    model_step_idx: Any,
    model_class: Any,
    preprocessings: Any,
    fold_strategy: Any,
    fold_artifacts: Any,
    shared_artifacts: Any,
    branch_path: Any = None,
    source_index: Any = None,
) -> dict[str, Any]:
    """Return the arguments of `save_chain` as plain values that JSON keeps, if they are a chain that can be replayed.

    A chain whose model has no artefact is one as well, and one without any steps: its predictions are kept, and it
    cannot be replayed.

    Raises
    ------
    InvalidInput
        If they are not: a step without index or operator, ids that are not text, no step for the model, an artefact
        under a step that the chain does not have.

    Examples
    --------
    >>> chain = checked(
    ...     steps=[{"step_idx": 1, "operator_class": "PLS", "artifact_id": None, "stateless": False}],
    ...     model_step_idx=1,
    ...     model_class="PLS",
    ...     preprocessings="",
    ...     fold_strategy="per_fold",
    ...     fold_artifacts={"fold_0": "a", "fold_1": "b"},
    ...     shared_artifacts={},
    ... )
    >>> artifacts_of(chain)
    ['a', 'b']
    """
    found = {
        "steps": _steps(steps),
        "model_step_idx": _integer(model_step_idx, "model_step_idx"),
        "model_class": word(model_class, "model_class", most=None),
        "preprocessings": "" if isinstance(preprocessings, str) and not preprocessings else _text(preprocessings),
        "fold_strategy": one_of(fold_strategy, STRATEGIES, "fold_strategy"),
        "fold_artifacts": _keyed(fold_artifacts, "fold_artifacts"),
        "shared_artifacts": _shared(shared_artifacts),
        "branch_path": None if branch_path is None else _whole_numbers(branch_path, "branch_path"),
        "source_index": None if source_index is None else _integer(source_index, "source_index"),
    }
    artifacts_of(found)
    _check_replay(found)
    return found


def artifacts_of(chain: Mapping[str, Any]) -> list[str]:
    """Return the ids of all artefacts that a chain names, each once: of its folds, shared ones, and those of its steps.

    Raises
    ------
    InvalidInput
        If one of them is not text, or the record is no chain.
    """
    shared = dict(_table(chain, "shared_artifacts"))
    by_source = _table({SOURCE_MAP: shared.pop(SOURCE_MAP, None)}, SOURCE_MAP)
    named = [_table(chain, "fold_artifacts"), shared, *(_table(by_source, key) for key in by_source)]
    found = dict.fromkeys(i for table in named for key, value in table.items() for i in _ids(value, str(key)))
    for at, step in enumerate(chain.get("steps") or ()):
        if not isinstance(step, Mapping):
            message = f"steps[{at}] is a {type(step).__name__}, expected a mapping"
            raise InvalidInput(message)
        for key in ("artifact_ids", "artifact_id"):
            found.update(dict.fromkeys(_ids(step.get(key), f"{key} of step {step.get('step_idx')}")))
    return list(found)


def _table(holder: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = holder.get(key)
    return mapping({} if found is None else found, key)


def _ids(value: Any, where: str) -> Iterator[str]:
    if value is not None:
        for each in value if isinstance(value, (list, tuple)) else (value,):
            yield word(each, f"the artefact of {where:.80}")


def _steps(steps: Any) -> list[dict[str, Any]]:
    if not isinstance(steps, (list, tuple)) or len(steps) > _MOST_STEPS:
        message = f"steps is a {type(steps).__name__}, expected a list of at most {_MOST_STEPS} descriptions of steps"
        raise InvalidInput(message)
    return [_step(step, f"steps[{n}]") for n, step in enumerate(steps)]


def _step(step: Any, where: str) -> dict[str, Any]:
    found: Any = kept(step, where) if isinstance(step, Mapping) else None
    if not isinstance(found, dict):
        message = f"{where} is a {type(step).__name__}, expected a mapping with step_idx and operator_class"
        raise InvalidInput(message)
    found["step_idx"] = _integer(found.get("step_idx"), f"step_idx of {where}")
    word(found.get("operator_class"), f"operator_class of {where}", most=None)
    return found


def _shared(value: Any) -> dict[str, Any]:
    found = _keyed(value, "shared_artifacts")
    by_source = found.get(SOURCE_MAP)
    if by_source is not None and not (
        isinstance(by_source, dict) and all(isinstance(v, dict) for v in by_source.values())
    ):
        message = f"{SOURCE_MAP} of shared_artifacts is no mapping of steps to sources to artefacts"
        raise InvalidInput(message)
    return found


def _keyed(value: Any, where: str) -> dict[str, Any]:
    if value is not None and not isinstance(value, Mapping):
        message = f"{where} is a {type(value).__name__}, expected a mapping"
        raise InvalidInput(message)
    found: dict[str, Any] = kept(dict(value or {}), where)
    if len(found) != len(value or {}):
        message = f"{where} has keys that are the same as text, such as 1 and '1'"
        raise InvalidInput(message)
    return found


def _whole_numbers(value: Any, where: str) -> list[int]:
    found = kept(value, where)
    if not isinstance(found, list):
        message = f"{where} is a {type(value).__name__}, expected a list of whole numbers"
        raise InvalidInput(message)
    return [_integer(v, f"{where}[{n}]") for n, v in enumerate(found)]


def _integer(value: Any, where: str) -> int:
    found = whole(value, where)
    if found is None or not 0 <= found <= _GREATEST:
        message = f"{where} is {found}, expected a whole number from 0 to {_GREATEST}"
        raise InvalidInput(message)
    return found


def _text(value: Any) -> str:
    return word(value, "preprocessings", most=None)


def _check_replay(chain: dict[str, Any]) -> None:
    """Refuse what could only be refused later, when the chain is replayed."""
    if not chain["steps"] and not chain["shared_artifacts"]:
        return
    named = chain["fold_artifacts"] or any(
        s["step_idx"] == chain["model_step_idx"] and (s.get("artifact_id") or s.get("artifact_ids"))
        for s in chain["steps"]
    )
    known = named or chain["shared_artifacts"].get(str(chain["model_step_idx"]))
    try:
        plan(chain if known else {**chain, "fold_artifacts": {"fold_0": "-"}})
    except ReplayError as error:
        message = f"this is no chain that could be replayed: {error}"
        raise InvalidInput(message) from error
