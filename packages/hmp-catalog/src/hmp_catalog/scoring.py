"""How a run is scored against what the catalog observed: which series are compared, and what is kept of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from hmp_catalog import pairing
from hmp_catalog.facts import OUTLET, OUTLETS, metric_facts
from hmp_catalog.metrics import evaluate
from hmp_core.errors import AmbiguousReference, NotFound

if TYPE_CHECKING:
    import pyarrow as pa

    from hmp_catalog.observations import Observations

#: What is computed unless more, or other, measures are named.
USUAL = ("nse", "kge", "rmse", "pbias")


def compared(
    simulated: pa.Table, observations: Observations, observed: str | None, metrics: Iterable[str] | None
) -> list[dict[str, Any]]:
    """Return what is kept of each measure of one simulated series: its value, the period and the number of pairs.

    Parameters
    ----------
    simulated
        The series, in long form, and in the period that is compared.
    observations
        What was observed.
    observed
        The station that observed it, where it goes by another name.
    metrics
        Which measures; `USUAL` unless they are named.

    Raises
    ------
    NotFound, AmbiguousReference
        If there are several simulated series, or none or several that were observed there.
    InvalidInput
        For different units, no common time, an unknown measure.
    """
    first = simulated.slice(0, 1).to_pylist()[0]
    stations = sorted(simulated["station"].unique().to_pylist())
    if len(stations) > 1:
        message = f"{first['variable']} was simulated at {', '.join(stations)}: name the station"
        raise AmbiguousReference(message, reference=first["variable"], candidates=stations)
    place = first["station"] or OUTLET
    there, here, period = pairing.common(simulated, counterpart(observations, first["variable"], observed or place))
    how: dict[str, Any] = {"period": period, "n_samples": len(pairing.pairs(there, here)[0])}
    found = evaluate(there, here, list(USUAL if metrics is None else metrics))
    return [metric_facts(n, v, station=place, variable=first["variable"], **how) for n, v in found.items()]


def counterpart(
    observations: Observations, variable: str, station: str | None, period: tuple[Any, Any] | None = None
) -> pa.Table:
    """Return what was observed where a series was simulated.

    The outlet is what a model calls the place of a gauge that has a number of its own: where nothing was observed under
    "outlet", the only station that observed the variable is meant.

    Raises
    ------
    NotFound, AmbiguousReference
        If nothing was observed there, or several stations might be meant.
    """
    try:
        return observations.one(variable, station, period)
    except AmbiguousReference:
        raise
    except NotFound:
        if station not in OUTLETS or observations.additions(variable, station):
            raise
    return observations.one(variable, None, period)
