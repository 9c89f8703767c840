"""The demo itself: a real record into the cache, a calibration on record, the best runs in the catalog, the lineage."""

from __future__ import annotations

import contextlib
import logging
import math
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydromodpy.demo import fulda
from hydromodpy.demo.calibrate import RANGES, calibrate
from hydromodpy.demo.evapotranspiration import oudin
from hydromodpy.demo.gr4j import UNITS, Parameters, simulate
from hydromodpy.demo.hydrograph import plot
from hydromodpy.demo.periods import Split, split

if TYPE_CHECKING:
    import pandas as pd

    from hmp_cache import Entry, InputsNamespace
    from hmp_catalog import CalibrationSession, Run
    from hydromodpy.demo.calibrate import Trial
    from hydromodpy.workspace import Workspace

_log = logging.getLogger(__name__)

_SCORES = ("nse", "kge", "log_nse", "rmse", "pbias")


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What the demo made."""

    workspace: Path
    project: Path
    session_id: str
    trials: int
    #: the recorded simulations, best first
    runs: list[Run]
    #: a row per run: rank, name, scores in both periods, parameters
    ranking: list[dict[str, Any]]
    #: the lineage of the best run, as text
    lineage: str
    #: the figure of the best run
    hydrograph: Path

    def report(self) -> str:
        """Return the ranked table, the lineage of the best run and where the figure is."""
        head = list(self.ranking[0])
        texts = [[f"{row[c]:.3f}" if isinstance(row[c], float) else str(row[c]) for c in head] for row in self.ranking]
        widths = [max(len(c), *(len(t[i]) for t in texts)) for i, c in enumerate(head)]
        table = ["  ".join(w.rjust(n) for w, n in zip(line, widths, strict=True)) for line in [head, *texts]]
        return "\n".join(
            [
                f"{self.trials} trials on record; the best simulations of {self.project.name}:",
                *table,
                "",
                self.lineage,
                "",
                f"hydrograph  {self.hydrograph}",
                f"workspace   {self.workspace}",
                "look around: hmp catalog ls, hmp catalog show @best:kge_validation, hmp index search fulda",
            ]
        )


def run(
    workspace: Workspace,
    *,
    repetitions: int = 2000,
    seed: int = 1,
    keep: int = 5,
    say: Callable[[str], object] | None = None,
) -> DemoResult:
    """Run the demo in a workspace; running it again adds new runs on the same inputs.

    Parameters
    ----------
    workspace
        Where to; the project "fulda" is made in it.
    repetitions
        Model runs of the calibration, at most.
    seed
        Of the random numbers.
    keep
        How many of the best trials become recorded simulations.
    say
        Told what is being done, a line a step; silent by default.

    Raises
    ------
    MissingPart
        If the extra ``[demo]`` is not installed.
    """
    tell = say or _log.info
    with workspace, workspace.project("fulda") as project:
        tell("1/4 the record of the Fulda goes into the input cache")
        climate, evapotranspiration = _inputs(workspace.data)
        forcing, observed = _forcing(climate, evapotranspiration)
        periods = split(forcing.index)
        tell("2/4 GR4J is calibrated on it (SCE-UA, every trial on record)")
        session, trials = _calibrate(project.catalog, forcing, observed, periods, repetitions, seed)
        tell(f"3/4 the best {keep} of {len(trials)} trials become simulations")
        inputs = [climate, evapotranspiration]
        chosen = _distinct(trials, keep)
        about = {"seed": seed, "inputs": inputs, "session": session, "periods": periods}
        made = [_record(project.catalog, rank, trial, forcing, observed, about) for rank, trial in enumerate(chosen, 1)]
        tell("4/4 found again, ranked, with their lineage")
        return _result(workspace, project, session, len(trials), made)


# ── inputs ───────────────────────────────────────────────────────────────────────────────────────────


def _inputs(cache: InputsNamespace) -> tuple[Entry, Entry]:
    """Put the record, and the evapotranspiration derived from it, into the cache."""
    from importlib.metadata import version

    climate = cache.add(
        fulda.source_file(),
        variable="climate",
        source="spotpy",
        station="Grebenau",
        frequency="1D",
        license="MIT",
        tool=f"spotpy {version('spotpy')}",
    )
    frame = fulda.read(climate.path)
    derived = frame[[]].assign(
        potential_evapotranspiration=oudin(frame["air_temperature"], frame.index.day_of_year, fulda.LATITUDE)
    )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "fulda_oudin.csv"
        derived.to_csv(file, index_label="date", float_format="%.4f", lineterminator="\n")
        evapotranspiration = cache.add(
            file,
            variable="potential_evapotranspiration",
            source="oudin2005",
            station="Grebenau",
            frequency="1D",
            unit="mm d-1",
            parents=[climate],
            tool="hydromodpy.demo.evapotranspiration.oudin",
            parameters={"latitude": fulda.LATITUDE},
        )
    return climate, evapotranspiration


def _forcing(climate: Entry, evapotranspiration: Entry) -> tuple[pd.DataFrame, pd.Series]:
    """Return the forcing [mm/d] and the observed discharge [mm/d], as the cache serves them."""
    import pandas as pd

    frame = fulda.read(climate.path)
    derived = pd.read_csv(evapotranspiration.path, index_col="date", parse_dates=True)
    forcing = frame[["precipitation"]].join(derived)
    return forcing, fulda.to_depth(frame["discharge"])


# ── calibration ──────────────────────────────────────────────────────────────────────────────────────


def _calibrate(
    catalog: Any, forcing: pd.DataFrame, observed: pd.Series, periods: Split, repetitions: int, seed: int
) -> tuple[CalibrationSession, list[Trial]]:
    config = {
        "model": "gr4j",
        "repetitions": repetitions,
        "calibration": [str(periods.calibration.start), str(periods.calibration.end)],
    }
    with (
        catalog.calibration("sce-ua", objective="1 - kge", config=config, seed=seed) as session,
        _progress(repetitions) as advance,
    ):

        def on_trial(parameters: dict[str, float], value: float, metrics: dict[str, float]) -> None:
            session.trial(parameters, 1.0 - value, metrics)
            advance()

        trials = calibrate(
            forcing, observed, period=periods.calibration, repetitions=repetitions, seed=seed, on_trial=on_trial
        )
    return session, trials


@contextlib.contextmanager
def _progress(total: int) -> Iterator[Callable[[], None]]:
    """Show a bar on a terminal; the search may converge, and end, before the last repetition."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("calibrating", total=total)
        yield lambda: progress.advance(task)
        progress.update(task, completed=total)


def _distinct(trials: list[Trial], keep: int) -> list[Trial]:
    """Return the best trials that differ: a converged search repeats itself.

    Two differ if at least one parameter does by a twentieth of its range.
    """
    chosen: list[Trial] = []
    for trial in sorted((t for t in trials if not math.isnan(t.value)), key=lambda t: -t.value):
        if all(_apart(trial.parameters, other.parameters) for other in chosen):
            chosen.append(trial)
        if len(chosen) == keep:
            break
    return chosen


def _apart(one: Parameters, other: Parameters) -> bool:
    left, right = one.as_dict(), other.as_dict()
    return any(abs(left[name] - right[name]) > (high - low) / 20 for name, (low, high) in RANGES.items())


# ── runs ─────────────────────────────────────────────────────────────────────────────────────────────


def _record(
    catalog: Any, rank: int, trial: Trial, forcing: pd.DataFrame, observed: pd.Series, about: dict[str, Any]
) -> str:
    """Record one simulation with its discharge, states, scores and figure; return its id."""
    periods: Split = about["periods"]
    with catalog.record(
        "gr4j",
        name=f"gr4j-{rank}",
        inputs=about["inputs"],
        seed=about["seed"],
        config={"model": "gr4j", "session": about["session"].session_id, "trial": trial.number},
        tags=["demo", f"calibration:{about['session'].session_id}"],
        description="GR4J on the Fulda at Grebenau, calibrated on the Kling-Gupta efficiency",
        scientific_objective="discharge",
        study_area="Fulda",
        flow_regime="transient",
        mesh_topology="lumped",
        period=(forcing.index[0], forcing.index[-1]),
    ) as rec:
        for name, value in trial.parameters.as_dict().items():
            rec.parameter(name, value, unit=UNITS[name])
        scores = _simulate(rec, trial.parameters, forcing, observed, periods)
        if rank == 1:
            _draw(rec, scores, forcing, periods)
    return str(rec.sim_id)


def _simulate(
    rec: Any, parameters: Parameters, forcing: pd.DataFrame, observed: pd.Series, periods: Split
) -> dict[str, Any]:
    import pandas as pd

    from hmp_catalog.metrics import evaluate

    result = simulate(forcing["precipitation"], forcing["potential_evapotranspiration"], parameters)
    index = forcing.index
    simulated = pd.Series(fulda.to_discharge(result.discharge), index=index)
    measured = pd.Series(fulda.to_discharge(observed.to_numpy()), index=index)
    rec.timeseries("discharge", simulated, station="Grebenau", unit="m3 s-1")
    for name, values in {
        "production_store": result.production_store,
        "routing_store": result.routing_store,
        "actual_evapotranspiration": result.actual_evapotranspiration,
    }.items():
        rec.timeseries(name, pd.Series(values, index=index), station="catchment", unit="mm")
    scores: dict[str, Any] = {"simulated": simulated, "measured": measured}
    for period in (periods.calibration, periods.validation):
        inside = period.mask(index)
        found = evaluate(simulated[inside], measured[inside], _SCORES)
        scores[period.name] = found
        for name, value in found.items():
            where = {"variable": "discharge", "period": (period.start, period.end), "n_samples": int(inside.sum())}
            rec.metric(f"{name}_{period.name}", value, **where)
    return scores


def _draw(rec: Any, scores: dict[str, Any], forcing: pd.DataFrame, periods: Split) -> None:
    with tempfile.TemporaryDirectory() as folder:
        figure = plot(
            scores["measured"],
            scores["simulated"],
            calibration=periods.calibration,
            validation=periods.validation,
            scores={name: scores[name] for name in ("calibration", "validation")},
            precipitation=forcing["precipitation"],
            path=Path(folder) / "hydrograph.png",
            title="Fulda at Grebenau: GR4J",
        )
        rec.artifact(figure)


def _result(
    workspace: Workspace, project: Any, session: CalibrationSession, trials: int, made: list[str]
) -> DemoResult:
    from hydromodpy.lineage import of_run

    ranked = project.catalog.find(sim_id=made).ranked("kge_calibration")
    rows = []
    for rank, (one, _) in enumerate(ranked, 1):
        wanted = ("kge_calibration", "nse_calibration", "kge_validation", "nse_validation")
        rows.append({"rank": rank, "name": one.name} | {m: one.metrics[m] for m in wanted} | one.parameters)
    best = ranked[0][0]
    return DemoResult(
        workspace=workspace.path,
        project=project.path,
        session_id=session.session_id,
        trials=trials,
        runs=[one for one, _ in ranked],
        ranking=rows,
        lineage=of_run(best).to_text(),
        hydrograph=best.folder / "artifacts" / "hydrograph.png",
    )
