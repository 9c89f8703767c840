"""The figure of a rainfall-runoff simulation: rain from above, observed against simulated discharge below."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hmp_core.durable import write_atomic
from hmp_core.errors import InvalidInput, MissingPart, PathNotFound

if TYPE_CHECKING:
    import pandas as pd

    from hydromodpy.demo.periods import Period

    Scores = Mapping[str, Mapping[str, float]]

#: Colours that stay apart for every kind of colour vision (Wong 2011, Nature Methods 8, 441) and in grey.
_OBSERVED, _SIMULATED, _RAIN = "#222222", "#D55E00", "#0072B2"
_SHADES = {"calibration": "#E8F1F8", "validation": "#FBF1E3"}
_SCORES = ("nse", "kge")


def plot(
    observed: pd.Series,
    simulated: pd.Series,
    *,
    calibration: Period,
    validation: Period,
    scores: Scores,
    precipitation: pd.Series,
    path: str | Path,
    title: str = "",
) -> Path:
    """Draw the hydrograph as a PNG.

    Parameters
    ----------
    observed, simulated : pandas.Series, shape (n,)
        Discharge [m3 s-1] by day; a gap (NaN) leaves a gap in the line.
    calibration, validation : Period
        Days that are shaded and named with their scores.
    scores : mapping
        ``{"calibration": {"nse": ..., "kge": ...}, "validation": {...}}``.
    precipitation : pandas.Series, shape (n,)
        Catchment mean [mm d-1] of the same days, drawn downwards from the top.
    path : str or Path
        Where to write; the folder must exist, an older figure is replaced. Ends in ``.png``.
    title : str
        What the figure shows; nothing by default.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    InvalidInput
        The series are not of the same days, a score is missing, or `path` is not a ``.png``.
    PathNotFound
        The folder does not exist.
    NotWritable, StorageError
        The file system refuses.
    MissingPart
        matplotlib is not installed.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np, pandas as pd
    >>> from hydromodpy.demo.periods import split
    >>> days = pd.date_range("1979-01-01", "1985-12-31", name="time")
    >>> wave = pd.Series(30 + 20 * np.sin(np.arange(len(days)) / 58), index=days)
    >>> parts, score = split(days), {"nse": 0.9, "kge": 0.9}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     figure = plot(
    ...         wave, wave * 0.9, calibration=parts.calibration, validation=parts.validation,
    ...         scores={"calibration": score, "validation": score}, precipitation=wave / 10,
    ...         path=f"{folder}/hydrograph.png",
    ...     )
    ...     figure.read_bytes()[1:4]
    b'PNG'
    """
    target = _checked(Path(path), (observed, simulated, precipitation), scores)
    with _defaults():
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(figsize=(13.0, 6.4), layout="constrained")
        FigureCanvasAgg(figure)
        rain, flow = figure.subplots(2, 1, sharex=True, height_ratios=(1.0, 3.2))
        _draw_rain(rain, precipitation)
        _draw_flow(flow, observed, simulated)
        _shade(rain, flow, calibration, scores["calibration"])
        _shade(rain, flow, validation, scores["validation"])
        _name_warm_up(flow, observed.index[0], calibration)
        rain.set_title(title, loc="left", fontsize=13, fontweight="bold", pad=10)
        # Beside the title: anywhere within the panel it would hide some flood.
        lines = {"loc": "lower right", "bbox_to_anchor": (1.0, 1.0), "ncols": 2, "frameon": False}
        rain.legend(handles=flow.get_lines(), **lines)
        image = io.BytesIO()
        # Without the version of matplotlib, so that the same figure has the same bytes.
        figure.savefig(image, format="png", dpi=150, metadata={"Software": None})
    write_atomic(target, image.getvalue())
    return target


def _checked(path: Path, series: tuple[pd.Series, ...], scores: Scores) -> Path:
    if path.suffix.lower() != ".png":
        message = f"the hydrograph is a PNG, and {path.name} does not end in .png"
        raise InvalidInput(message)
    if not path.parent.is_dir():
        message = f"there is no folder {path.parent}: create it before drawing {path.name}"
        raise PathNotFound(message, path=str(path.parent))
    first = series[0].index
    if len(first) < 2 or any(not other.index.equals(first) for other in series[1:]):
        lengths = ", ".join(str(len(one)) for one in series)
        message = f"observed, simulated and precipitation ({lengths} days) must be of the same days, two at least"
        raise InvalidInput(message)
    for period in _SHADES:
        missing = [name for name in _SCORES if name not in scores.get(period, {})]
        if missing:
            message = f"scores of the {period} lack {', '.join(missing)}: expected {', '.join(_SCORES)}"
            raise InvalidInput(message)
    return path


@contextlib.contextmanager
def _defaults() -> Iterator[None]:
    """Draw with matplotlib's own settings, whatever style the caller has chosen, and leave that as it was."""
    try:
        import matplotlib as mpl
    except ImportError as error:
        install = "hmp-hydromodpy[demo]"
        message = f"the hydrograph needs matplotlib, which cannot be imported ({error}): install {install}"
        raise MissingPart(message, install=install) from error
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(
            {
                "font.size": 10.5,
                "axes.spines.right": False,
                "axes.edgecolor": "#888888",
                "axes.labelcolor": "#333333",
                "xtick.color": "#555555",
                "ytick.color": "#555555",
            }
        )
        yield


def _shade(rain: Any, flow: Any, period: Period, scores: Mapping[str, float]) -> None:
    """Shade a period through both panels and name it, with its scores, in the lower one."""
    import pandas as pd

    start, end = pd.Timestamp(period.start), pd.Timestamp(period.end) + pd.Timedelta(days=1)
    colour = _SHADES[period.name]
    for axes in (rain, flow):
        axes.axvspan(start, end, color=colour, linewidth=0, zorder=0)
    years = f"{period.start.year}" + (f"–{period.end.year}" if period.end.year > period.start.year else "")
    values = "     ".join(f"{name.upper()} {scores[name]:.2f}" for name in _SCORES)
    _write(flow, start, end, 0.985, f"{period.name.capitalize()} {years}", colour, fontweight="bold")
    _write(flow, start, end, 0.925, values, colour)


def _name_warm_up(flow: Any, first: pd.Timestamp, calibration: Period) -> None:
    import pandas as pd

    start = pd.Timestamp(calibration.start)
    # Less than half a year leaves no room for the word.
    if start - first > pd.Timedelta(days=180):
        _write(flow, first, start, 0.985, "Warm-up", "white", color="#777777")
        _write(flow, first, start, 0.925, "not scored", "white", color="#777777")


def _write(
    axes: Any, start: pd.Timestamp, end: pd.Timestamp, height: float, text: str, ground: str, **font: str
) -> None:
    """Write in the middle of a period, on its own ground so that no grid line crosses the words."""
    from matplotlib.dates import date2num

    middle = (date2num(start) + date2num(end)) / 2
    box = {"facecolor": ground, "edgecolor": "none", "pad": 1.5}
    place = {"transform": axes.get_xaxis_transform(), "ha": "center", "va": "top", "bbox": box}
    axes.text(middle, height, text, **place, **{"fontsize": 11, "color": "#222222", **font})


def _draw_rain(axes: Any, precipitation: pd.Series) -> None:
    axes.vlines(precipitation.index, 0, precipitation.to_numpy(), color=_RAIN, linewidth=0.6)
    axes.set_ylim(max(1.0, float(precipitation.max()) * 1.05), 0)
    axes.set_ylabel("Precipitation\n[mm d⁻¹]")
    axes.xaxis.set_visible(False)
    axes.spines["bottom"].set_visible(False)


def _draw_flow(axes: Any, observed: pd.Series, simulated: pd.Series) -> None:
    from matplotlib.dates import YearLocator

    axes.plot(observed.index, observed.to_numpy(), color=_OBSERVED, linewidth=1.0, label="observed")
    axes.plot(simulated.index, simulated.to_numpy(), color=_SIMULATED, linewidth=0.9, alpha=0.85, label="simulated")
    # A fifth of the height stays free for the names of the periods.
    axes.set_ylim(0, max(1e-6, float(observed.max()), float(simulated.max())) * 1.22)
    axes.set_xlim(observed.index[0], observed.index[-1])
    axes.set_ylabel("Discharge [m³ s⁻¹]")
    axes.spines["top"].set_visible(False)
    axes.xaxis.set_major_locator(YearLocator())
    axes.grid(axis="y", color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
