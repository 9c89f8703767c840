"""Studies of optuna and samplers of spotpy record themselves; where these are not installed the claims are skipped."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hmp_catalog.calibration import optuna as for_optuna
from hmp_catalog.calibration import spotpy as for_spotpy
from hmp_core.errors import InvalidInput


class TestOptuna:
    @pytest.fixture
    def optuna(self):
        optuna = pytest.importorskip("optuna", reason="optuna is not installed: pip install 'hmp-catalog[calibration]'")
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        return optuna

    def test_each_trial_is_recorded_as_it_ends(self, cat, optuna):
        def error(trial):
            k = trial.suggest_float("k", 0.0, 10.0)
            trial.set_user_attr("bias", k - 3.0)
            if trial.number == 3:
                raise optuna.TrialPruned
            if trial.number == 4:
                raise RuntimeError
            return (k - 3.0) ** 2

        with cat.calibration("tpe", objective="squared error", seed=1) as session:
            study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
            study.optimize(error, n_trials=8, callbacks=[for_optuna.callback(session)], catch=RuntimeError)
            best = session.best()
            statuses = session.table["status"].to_pylist()
        assert best["parameters"] == study.best_params
        assert best["objective"] == study.best_value
        assert best["metrics"] == {"value": study.best_value, "bias": study.best_params["k"] - 3.0}
        assert statuses == ["completed"] * 3 + ["pruned", "crashed"] + ["completed"] * 3

    def test_a_study_that_maximises_is_recorded_as_one_that_minimises(self, cat, optuna):
        with cat.calibration("tpe", objective="- nse") as session:
            study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=1))
            study.optimize(lambda t: -abs(t.suggest_int("k", 0, 9) - 3), 5, callbacks=[for_optuna.callback(session)])
            assert session.best()["objective"] == -study.best_value
            assert session.best()["parameters"] == study.best_params

    @pytest.mark.parametrize("direction", ["minimize", "maximize"])
    def test_a_study_goes_on_from_the_trials_of_a_session(self, cat, optuna, direction):
        space = {"k": optuna.distributions.FloatDistribution(0.0, 10.0)}
        with cat.calibration("tpe", objective="error") as session:
            session.trials([({"k": 2.0}, 1.0, {}), ({"k": 20.0}, 0.1, {}), ({"other": 1.0}, 0.1, {})])
            study = for_optuna.study(session, space, direction=direction)
        assert [trial.params for trial in study.trials] == [{"k": 2.0}]
        assert study.best_value == (1.0 if direction == "minimize" else -1.0)

    def test_several_objectives_are_refused(self, cat, optuna):
        study = optuna.create_study(directions=["minimize", "minimize"])
        with cat.calibration("tpe", objective="error") as session, pytest.raises(InvalidInput, match="2 objectives"):
            study.optimize(lambda t: (t.suggest_float("k", 0, 1), 1.0), 1, callbacks=[for_optuna.callback(session)])


class TestSpotpy:
    def test_each_trial_is_a_row_of_the_session(self, cat):
        with cat.calibration("mc", objective="1 - nse") as session:
            database = for_spotpy.Database(session, ["a", "b"], lambda like: 1.0 - like)
            database.save(0.25, [1.0, 2.0])
            database.save([0.75], np.array([3.0, 4.0]), chains=2)
            database.save(math.nan, [5.0, 6.0])
            database.finalize()
            assert session.table["status"].to_pylist() == ["completed", "completed", "diverged"]
            best = session.best()
        assert (best["objective"], best["parameters"]) == (0.25, {"a": 3.0, "b": 4.0})
        assert database.getdata()["parb"].tolist() == [2.0, 4.0, 6.0]

    def test_several_objectives_are_refused(self, cat):
        with cat.calibration("mc", objective="error") as session, pytest.raises(InvalidInput, match="2 objectives"):
            for_spotpy.Database(session, ["a"]).save([0.1, 0.2], [1.0])

    def test_a_sampler_records_itself(self, cat, capsys):
        spotpy = pytest.importorskip("spotpy", reason="spotpy is not installed")

        class Setup:
            def parameters(self):
                return spotpy.parameter.generate([spotpy.parameter.Uniform("k", 0.0, 10.0)])

            def simulation(self, values):
                return [values[0]]

            def evaluation(self):
                return [3.0]

            def objectivefunction(self, simulation, evaluation):
                return -abs(simulation[0] - evaluation[0])

        with cat.calibration("monte carlo", objective="distance") as session:
            sampler = spotpy.algorithms.mc(Setup(), dbformat="ram", random_state=7)
            for_spotpy.attach(sampler, session, lambda like: -like)
            sampler.sample(20)
            table, best = session.table, session.best()
        assert table.num_rows == 20
        assert best["objective"] == pytest.approx(abs(best["parameters"]["k"] - 3.0), abs=1e-5)
        assert sampler.getdata()["like1"].max() == -best["objective"]
