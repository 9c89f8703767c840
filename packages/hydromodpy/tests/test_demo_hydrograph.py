"""The hydrograph: a real PNG with both lines, the rain and both periods, drawn without touching any state."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hmp_core.errors import InvalidInput, NotWritable, PathNotFound
from hydromodpy.demo.hydrograph import plot
from hydromodpy.demo.periods import split

needs_matplotlib = pytest.mark.skipif(find_spec("matplotlib") is None, reason="the figure needs matplotlib")

DAYS = pd.date_range("1979-01-01", "1988-12-31", name="time")
PARTS = split(DAYS)
WAVE = pd.Series(60 + 50 * np.sin(np.arange(len(DAYS)) / 58), index=DAYS)
RAIN = WAVE / 10
SCORES = {"calibration": {"nse": 0.771, "kge": 0.886}, "validation": {"nse": 0.763, "kge": 0.875}}


def draw(path, observed=WAVE, simulated=WAVE * 0.8, **changed):
    given = {
        "calibration": PARTS.calibration,
        "validation": PARTS.validation,
        "scores": SCORES,
        "precipitation": RAIN,
        "path": path,
    }
    return plot(observed, simulated, **{**given, **changed})


def pixels(path):
    from matplotlib.image import imread

    return (imread(path)[..., :3] * 255).round().astype(int)


def painted(image, colour: str):
    """Return which pixels have the colour."""
    return np.abs(image - [int(colour[i : i + 2], 16) for i in (1, 3, 5)]).max(axis=-1) <= 3


@needs_matplotlib
def test_it_is_a_png_of_legible_size(tmp_path):
    path = draw(tmp_path / "hydrograph.png")
    height, width, _ = pixels(path).shape
    assert (height, width) == (960, 1950)


@needs_matplotlib
@pytest.mark.parametrize(
    ("what", "colour", "least"),
    [
        ("rain", "#0072B2", 10_000),
        ("observed", "#222222", 1_000),
        ("calibration", "#E8F1F8", 50_000),
        ("validation", "#FBF1E3", 50_000),
    ],
)
def test_rain_observed_and_both_periods_are_drawn(tmp_path, what, colour, least):
    assert painted(pixels(draw(tmp_path / "hydrograph.png")), colour).sum() > least, what


@needs_matplotlib
def test_the_simulated_line_is_drawn(tmp_path):
    here, there = draw(tmp_path / "a.png"), draw(tmp_path / "b.png", simulated=WAVE * 0.5)
    assert (pixels(here) != pixels(there)).any(axis=-1).sum() > 1_000


@needs_matplotlib
def test_the_rain_hangs_from_the_top(tmp_path):
    """It always rains at least 1 mm here: full rows are at the upper end, broken ones at the lower."""
    image = pixels(draw(tmp_path / "hydrograph.png"))
    blue = painted(image, "#0072B2").sum(axis=1)
    rows = np.flatnonzero(blue)
    upper, lower = np.array_split(rows, 2)
    assert rows.max() < image.shape[0] / 3
    assert blue[upper].sum() > 1.5 * blue[lower].sum()


@needs_matplotlib
def test_the_scores_are_in_the_picture(tmp_path):
    other = {**SCORES, "validation": {"nse": 0.1, "kge": 0.2}}
    here, there = pixels(draw(tmp_path / "a.png")), pixels(draw(tmp_path / "b.png", scores=other))
    differs = np.flatnonzero((here != there).any(axis=(0, 2)))
    assert differs.size
    assert differs.min() > here.shape[1] / 2  # only the later period, on the right


@needs_matplotlib
def test_the_same_input_gives_the_same_bytes(tmp_path):
    assert draw(tmp_path / "a.png").read_bytes() == draw(tmp_path / "b.png").read_bytes()


@needs_matplotlib
def test_a_gap_in_the_observed_is_drawn_as_a_gap(tmp_path):
    gappy = WAVE.copy()
    gappy.iloc[500:900] = np.nan
    assert draw(tmp_path / "gap.png", observed=gappy).stat().st_size > 10_000


@needs_matplotlib
def test_an_older_figure_is_replaced_and_nothing_else_is_left(tmp_path):
    path = tmp_path / "hydrograph.png"
    path.write_bytes(b"old")
    assert draw(str(path)) == path
    assert path.read_bytes().startswith(b"\x89PNG")
    assert list(tmp_path.iterdir()) == [path]


@needs_matplotlib
def test_it_neither_imports_pyplot_nor_changes_the_settings_of_the_caller(tmp_path):
    code = f"""
import sys, matplotlib as mpl, pandas as pd
from hydromodpy.demo.hydrograph import plot
from hydromodpy.demo.periods import split
mpl.rcParams["lines.linewidth"] = 7.0
days = pd.date_range("1979-01-01", "1985-12-31")
flow, parts, score = pd.Series(1.0, index=days), split(days), {{"nse": 0.5, "kge": 0.5}}
plot(flow, flow, calibration=parts.calibration, validation=parts.validation, precipitation=flow,
     scores={{"calibration": score, "validation": score}}, path={str(tmp_path / "x.png")!r})
assert mpl.rcParams["lines.linewidth"] == 7.0
assert "matplotlib.pyplot" not in sys.modules
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@needs_matplotlib
def test_the_style_of_the_caller_does_not_change_the_figure(tmp_path):
    import matplotlib as mpl

    plain = draw(tmp_path / "a.png").read_bytes()
    with mpl.rc_context({"axes.facecolor": "black", "font.size": 30}):
        assert draw(tmp_path / "b.png").read_bytes() == plain


# ── what is refused ──────────────────────────────────────────────────────────────────────────────────


def test_another_format_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match="does not end in"):
        draw(tmp_path / "hydrograph.pdf")


def test_a_missing_folder_is_named_and_not_made(tmp_path):
    with pytest.raises(PathNotFound, match="figures"):
        draw(tmp_path / "figures" / "hydrograph.png")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("side", ["observed", "simulated", "precipitation"])
def test_series_of_other_days_are_refused(tmp_path, side):
    with pytest.raises(InvalidInput, match="same days"):
        draw(tmp_path / "x.png", **{side: WAVE[:-1]})


def test_a_missing_score_is_named(tmp_path):
    with pytest.raises(InvalidInput, match="scores of the validation lack kge"):
        draw(tmp_path / "x.png", scores={**SCORES, "validation": {"nse": 0.5}})


@needs_matplotlib
def test_a_folder_in_the_way_is_an_error(tmp_path):
    (tmp_path / "x.png").mkdir()
    with pytest.raises((NotWritable, OSError)):
        draw(tmp_path / "x.png")


def test_a_missing_matplotlib_is_named(tmp_path):
    code = f"""
import sys; sys.modules["matplotlib"] = None
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_demo_hydrograph import draw
from hmp_core.errors import MissingPart
try: draw({str(tmp_path / "x.png")!r})
except MissingPart as error: print(error.install)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "hmp-hydromodpy[demo]\n"
