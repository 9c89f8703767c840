"""A run as a picture: a series beside what was observed, a layer of a field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hmp_catalog.plot.axes import axes
from hmp_core.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

    from hmp_catalog.run import Run


def series(
    run: Run, variable: str, *, station: str | None = None, observed: Any = None, period: Any = None, ax: Any = None
) -> Axes:
    """Draw a time series of a run; see `Run.plot`."""
    drawn = axes(ax, figsize=(9, 3.5))
    simulated = run.timeseries(variable, station=station, period=period)
    if observed is not None and observed is not False:
        if observed is True or isinstance(observed, str):
            beside = observed if isinstance(observed, str) else station
            observed = run.observed(variable, station=beside, period=period)
        drawn.plot(observed.index, observed.to_numpy(), color="black", linewidth=1.0, label="observed")
    drawn.plot(simulated.index, simulated.to_numpy(), color="tab:blue", linewidth=1.0, label="simulated")
    unit = simulated.attrs.get("units", "")
    drawn.set(ylabel=f"{variable} [{unit}]" if unit else variable, title=run.name or run.sim_id[:8])
    drawn.legend()
    return drawn


def field(run: Run, name: str, *, layer: int | None = None, time: Any = -1, ax: Any = None) -> Axes:
    """Draw a field as a map; see `Run.plot_field`."""
    data = run.dataset()
    if name not in data.data_vars:
        known = sorted(map(str, data.data_vars))
        message = f"run {run.name or run.sim_id[:8]} has no field {name!r}; it has {', '.join(known) or 'none'}"
        raise NotFound(message, reference=name, candidates=known)
    chosen = _at(_at(data[name], "time", time), "layer", 0 if layer is None else layer)
    drawn = axes(ax)
    unit = chosen.attrs.get("units", "")
    label = f"{chosen.attrs.get('long_name', name)} [{unit}]" if unit else name
    if chosen.ndim != 2:
        message = (
            f"{name} lies along {', '.join(map(str, chosen.dims))} there; a map is drawn of a grid of rows and columns"
        )
        raise InvalidInput(message)
    down, across = (chosen[dim] if dim in chosen.coords else None for dim in chosen.dims)
    sides = () if down is None or across is None else (across.to_numpy(), down.to_numpy())
    mesh = drawn.pcolormesh(*sides, chosen.to_numpy(), shading="nearest" if sides else "auto")
    drawn.figure.colorbar(mesh, ax=drawn, label=label)
    drawn.set(title=run.name or run.sim_id[:8], aspect="equal", xlabel=str(chosen.dims[1]), ylabel=str(chosen.dims[0]))
    return drawn


def _at(data: xr.DataArray, dim: str, where: Any) -> xr.DataArray:
    """Return one step of a dimension: by its number, or a time by what it is nearest to."""
    if dim not in data.dims:
        return data
    if isinstance(where, int):
        if not -data.sizes[dim] <= where < data.sizes[dim]:
            message = f"{dim} is {where}, expected 0 to {data.sizes[dim] - 1}"
            raise InvalidInput(message)
        return data.isel({dim: where})
    return data.sel({dim: where}, method="nearest")
