"""A group as a picture: what a metric hangs on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hmp_catalog.plot.axes import axes
from hmp_core.errors import NotFound

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from hmp_catalog.group import SimulationGroup


class GroupPlots:
    """The pictures of a group; `SimulationGroup.plot` gives it."""

    def __init__(self, group: SimulationGroup) -> None:
        self._group = group

    def scatter(self, parameter: str, metric: str, *, ax: Any = None, **where: Any) -> Axes:
        """Draw a metric against a parameter, a point for each finished run that has both.

        Raises
        ------
        NotFound
            If no run has that parameter, as a number.
        """
        frame = self._numbers(metric, where)
        if parameter not in frame:
            known = [name for name in frame.columns if name != metric]
            message = f"none of {len(frame)} runs has a number {parameter!r}; there is {', '.join(known) or 'none'}"
            raise NotFound(message, reference=parameter, candidates=known)
        drawn = axes(ax)
        drawn.scatter(frame[parameter], frame[metric], s=12)
        drawn.set(xlabel=parameter, ylabel=metric)
        return drawn

    def parallel(self, metric: str, *, ax: Any = None, **where: Any) -> Axes:
        """Draw a line for each finished run across its parameters, each from 0 to 1, coloured by the metric.

        The best runs are drawn last, on top.
        """
        frame = self._numbers(metric, where)
        names = [name for name in frame.columns if name != metric and frame[name].notna().all()]
        if not names:
            message = f"no parameter is a number in all of {len(frame)} runs with {metric!r}"
            raise NotFound(message, reference=metric, candidates=[])
        drawn = axes(ax, figsize=(1.5 + 1.3 * len(names), 4))
        low, high = frame[names].min(), frame[names].max()
        scaled = (frame[names] - low) / (high - low).replace(0.0, 1.0)
        shades = _shades(frame[metric])
        for place in reversed(range(len(frame))):
            drawn.plot(
                range(len(names)), scaled.iloc[place], color=shades.to_rgba(frame[metric].iloc[place]), linewidth=1
            )
        drawn.figure.colorbar(shades, ax=drawn, label=metric)
        ticks = [f"{name}\n{low[name]:.4g} to {high[name]:.4g}" for name in names]
        drawn.set(xticks=range(len(names)), xticklabels=ticks, ylim=(-0.02, 1.02))
        return drawn

    def _numbers(self, metric: str, where: dict[str, Any]) -> pd.DataFrame:
        """Return the metric and the parameters that are numbers, best first."""
        frame = self._group.compare(metric, **where).drop(columns=["sim_id", "name", "solver"])
        return frame.select_dtypes("number")


def _shades(values: pd.Series) -> Any:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    return ScalarMappable(norm=Normalize(values.min(), values.max()), cmap="viridis")
