"""Studies of optuna that record themselves: each trial in the catalog as it ends, and no storage of optuna's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from hmp_catalog.plain import number
from hmp_core.errors import InvalidInput, MissingPart

if TYPE_CHECKING:
    from hmp_catalog.calibration.session import CalibrationSession

#: How a trial of optuna ended, and what that is called here; one that runs or waits is no trial yet.
_ENDS = {"COMPLETE": "completed", "PRUNED": "pruned", "FAIL": "crashed"}


def callback(session: CalibrationSession) -> Callable[[Any, Any], None]:
    """Return what ``study.optimize(..., callbacks=[callback(session)])`` calls when a trial has ended.

    A session minimises: of a study that maximises, the value is recorded with the other sign, and as the metric
    ``value`` as it is. What an objective says with ``trial.set_user_attr("nse", 0.8)`` becomes a metric.

    Raises
    ------
    InvalidInput
        (by the callback) For a study of several objectives.
    """

    def record(study: Any, trial: Any) -> None:
        if len(study.directions) != 1:
            message = f"the study has {len(study.directions)} objectives; a calibration session minimises one"
            raise InvalidInput(message)
        if trial.state.name not in _ENDS:
            return
        ended = _ENDS[trial.state.name]
        value = float("nan") if trial.value is None or ended != "completed" else float(trial.value)
        sign = -1.0 if study.direction.name == "MAXIMIZE" else 1.0
        metrics = {name: said for name, said in trial.user_attrs.items() if _is_number(said)}
        session.trial(trial.params, sign * value, {"value": value} | metrics, status=ended)

    return record


def _is_number(said: Any) -> bool:
    return isinstance(said, (int, float)) and not isinstance(said, bool)


def study(session: CalibrationSession, space: Mapping[str, Any], **how: Any) -> Any:
    """Return a study in memory that goes on from the completed trials of a session.

    optuna's own storage is not needed: the catalog keeps the trials. Pass `callback` to ``optimize`` all the same.

    Parameters
    ----------
    session
        Whose trials are put in.
    space
        Name -> distribution of optuna. Trials with other parameters, or outside it, are left out.
    **how
        As for ``optuna.create_study``, as ``sampler`` and ``direction``.

    Raises
    ------
    MissingPart
        If optuna is not installed.
    """
    optuna = _optuna()
    made = optuna.create_study(**how)
    sign = -1.0 if made.direction.name == "MAXIMIZE" else 1.0
    for known in session.top(2**31 - 1):
        fits = known["parameters"].keys() == space.keys() and all(
            space[name]._contains(space[name].to_internal_repr(value)) for name, value in known["parameters"].items()
        )
        if fits:
            value = sign * float(number(known["objective"]) or 0.0)
            said = {"params": known["parameters"], "distributions": dict(space), "value": value}
            made.add_trial(optuna.trial.create_trial(**said, user_attrs=known["metrics"]))
    return made


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        message = "optuna is not installed: pip install 'hmp-catalog[calibration]'"
        raise MissingPart(message, install="hmp-catalog[calibration]") from error
    return optuna
