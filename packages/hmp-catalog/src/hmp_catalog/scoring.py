"""How a run is scored against what the catalog observed: which series are compared, and what is kept of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hmp_catalog import pairing
from hmp_catalog.facts import OUTLETS
from hmp_catalog.metrics import evaluate
from hmp_core.errors import AmbiguousReference, NotFound

if TYPE_CHECKING:
    import pyarrow as pa

    from hmp_catalog.observations import Observations
    from hmp_catalog.packs import Packed

#: What is computed unless more, or other, measures are named.
USUAL = ("nse", "kge", "rmse", "pbias")


def score(
    simulated: pa.Table, observed: pa.Table, metrics: Iterable[str] | None = None
) -> tuple[Mapping[str, float], dict[str, Any]]:
    """Return name -> value, and what is recorded with each value: the period and the number of pairs.

    Raises
    ------
    InvalidInput
        For different units, no common time, an unknown measure.
    """
    there, here, period = pairing.common(simulated, observed)
    found = evaluate(there, here, list(USUAL if metrics is None else metrics))
    return found, {"period": period, "n_samples": len(pairing.pairs(there, here)[0])}


def simulated(file: Path | Packed, variable: str, station: str | None, period: tuple[Any, Any] | None) -> pa.Table:
    """Return one simulated series of a file of time series.

    Raises
    ------
    NotFound, AmbiguousReference
        If there is none, or one for each of several stations.
    """
    from hmp_catalog.tables import read_timeseries

    found = read_timeseries(file, variable=variable, station=station, period=period)
    stations = sorted(found["station"].unique().to_pylist())
    if len(stations) > 1:
        message = f"{variable} was simulated at {', '.join(stations)}: name the station"
        raise AmbiguousReference(message, reference=variable, candidates=stations)
    return found


def counterpart(
    observations: Observations, variable: str, station: str | None, period: tuple[Any, Any] | None
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
