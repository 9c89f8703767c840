"""Quick looks: what is drawn is read back from the axes, never from pixels; without matplotlib the extra is named."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest

from hmp_core.errors import InvalidInput, MissingPart, NotFound

DAYS = pd.date_range("2001-01-01", periods=5, freq="D")


@pytest.fixture(autouse=True)
def drawing(request, monkeypatch):
    """Draw into memory, and close what was drawn."""
    if "without" in request.node.name:
        yield
        return
    matplotlib = pytest.importorskip(
        "matplotlib", reason="matplotlib is not installed: pip install 'hmp-catalog[plot]'"
    )
    matplotlib.use("agg")
    yield
    from matplotlib import pyplot

    pyplot.close("all")


@pytest.fixture
def run(cat):
    with cat.record("modflow6", name="base") as rec:
        rec.timeseries("discharge", pd.Series(np.arange(5.0), index=DAYS), unit="m3 s-1")
        rec.field(
            "head",
            np.arange(5 * 2 * 3 * 4, dtype=float).reshape(5, 2, 3, 4),
            dims=("time", "layer", "y", "x"),
            time=DAYS,
        )
        rec.field("drawdown", np.zeros((5, 7)), dims=("time", "cell"), time=DAYS)
    return cat["base"]


@pytest.fixture
def group(cat):
    for n in range(4):
        with cat.record("gr4j", name=f"run {n}", parameters={"x1": 100.0 * n, "x2": 1.0, "mode": "fast"}) as rec:
            rec.metric("nse", n / 10)
    return cat.find(solver="gr4j")


def test_a_series_is_drawn_beside_what_was_observed(run):
    ax = run.plot("discharge", observed=pd.Series(np.ones(5), index=DAYS))
    drawn = {line.get_label(): list(line.get_ydata()) for line in ax.lines}
    assert drawn == {"observed": [1.0] * 5, "simulated": [0.0, 1.0, 2.0, 3.0, 4.0]}
    assert ax.get_ylabel() == "discharge [m3 s-1]"
    assert ax.get_title() == "base"


def test_observations_of_the_catalog_are_drawn_when_asked_for(cat, run):
    cat.observations.add("outlet", "discharge", pd.Series(np.full(5, 2.0), index=DAYS), unit="m3 s-1")
    ax = run.plot("discharge", observed=True)
    assert [list(line.get_ydata()) for line in ax.lines if line.get_label() == "observed"] == [[2.0] * 5]


def test_axes_that_are_given_are_drawn_in(run):
    first = run.plot("discharge")
    assert run.plot("discharge", ax=first) is first
    assert len(first.lines) == 2


@pytest.mark.parametrize(("time", "step"), [(-1, 4), (1, 1), ("2001-01-03", 2)])
def test_a_map_shows_the_layer_and_the_step_that_were_asked_for(run, time, step):
    ax = run.plot_field("head", layer=1, time=time)
    (mesh,) = ax.collections
    expected = np.arange(5 * 2 * 3 * 4, dtype=float).reshape(5, 2, 3, 4)[step, 1]
    assert np.array_equal(np.asarray(mesh.get_array()).reshape(3, 4), expected)


def test_a_map_of_what_is_not_there_is_refused(run):
    with pytest.raises(NotFound, match="head"):
        run.plot_field("heads")
    with pytest.raises(InvalidInput, match="layer is 2"):
        run.plot_field("head", layer=2)
    with pytest.raises(InvalidInput, match="along cell"):
        run.plot_field("drawdown")


def test_a_metric_is_drawn_against_a_parameter(group):
    ax = group.plot.scatter("x1", "nse")
    points = {tuple(point) for point in ax.collections[0].get_offsets().tolist()}
    assert points == {(0.0, 0.0), (100.0, 0.1), (200.0, 0.2), (300.0, 0.3)}
    with pytest.raises(NotFound, match="x1, x2"):
        group.plot.scatter("mode", "nse")


def test_parallel_coordinates_run_from_0_to_1_and_the_best_is_on_top(group):
    ax = group.plot.parallel("nse")
    lines = [list(line.get_ydata()) for line in ax.lines]
    assert [line[0] for line in lines] == pytest.approx([0.0, 1 / 3, 2 / 3, 1.0])
    assert [line[1] for line in lines] == [0.0] * 4  # a parameter that is the same in all
    assert [tick.get_text().split("\n")[0] for tick in ax.get_xticklabels()] == ["x1", "x2"]


def test_a_calibration_is_drawn_with_the_best_so_far(cat):
    with cat.calibration("grid", objective="error") as session:
        for value, status in ((3.0, "completed"), (float("nan"), "diverged"), (1.0, "completed"), (2.0, "completed")):
            session.trial({"k": value}, value, status=status)
        session.trial({"k": 0.0}, 0.0, status="crashed")  # what crashed has no objective
        ax = session.plot()
    best = next(line for line in ax.lines if line.get_label() == "best so far")
    assert list(best.get_ydata()) == [3.0, 3.0, 1.0, 1.0, 1.0]


def test_without_matplotlib_the_extra_is_named(cat, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with (
        cat.calibration("grid", objective="error") as session,
        pytest.raises(MissingPart, match=r"hmp-catalog\[plot\]"),
    ):
        session.plot()
