"""A workspace with everything in it, open at every door, and an authority that can be told what it allows."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

import hmp_cache
import hmp_catalog
import hmp_index
import hydromodpy
from hmp_catalog.acquisition import IndexWriter, MasterIndex, RunWriter, SampleMetadata, delete_run
from hmp_catalog.experiments import PipelineLibrary, Result, WorkspaceStore
from hmp_core.auth import Refusal
from hmp_core.auth.refused import NAME, read
from hmp_core.backups import take_backup
from hmp_core.layout import acquisition_folder
from hmp_core.protocols import AuthBackend
from hmp_core.testing.traces import Trace, trace

USER = "anna"


class Mean:
    """A model that predicts the mean of each row."""

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return it."""
        return X.mean(axis=1)


class Switch:
    """Allows what it is told to: rights as "read cache"; everything while it is told nothing."""

    granted: ClassVar[set[str] | None] = None

    def current_user(self) -> str:
        """Return a name."""
        return USER

    def can_read(self, resource: str) -> bool:
        """Return whether reading that kind of database is granted."""
        return self._may("read", resource)

    def can_write(self, resource: str) -> bool:
        """Return whether changing that kind of database is granted."""
        return self._may("write", resource)

    def _may(self, action: str, resource: str) -> bool:
        return Switch.granted is None or f"{action} {resource.partition(':')[0]}" in Switch.granted


def register_switch(site: Path) -> None:
    """Let `Switch` go by the name "switch", as an authority of another package does."""
    info = site / "switch-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: switch\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[hmp.auth]\nswitch = worlds:Switch\n")


class World:
    """A workspace ``aare`` with the project ``base`` and one more thing of each kind, made by somebody who may.

    Parameters
    ----------
    home : Path
        An empty folder.
    auth : AuthBackend, optional
        Who is given at the doors; None leaves the choice to the environment.
    """

    def __init__(self, home: Path, auth: AuthBackend | None) -> None:
        self.auth = auth
        self._doors = ExitStack()
        self.home = home / "home"
        self.state = home / "state"
        self.workspace = self.home / "aare"
        self.project = self.workspace / "projects" / "base"
        self.cache = self.workspace / "data" / "cache.duckdb"
        self.new = self.home / "new"
        self.file = self.home / "q.csv"
        self.rows = pd.DataFrame({"zone": [1, 2], "flow": [0.5, 0.6]})
        times = pd.date_range("2001-01-01", periods=5, name="time")
        self.series = pd.Series(np.arange(5.0), index=times)
        self._settle()
        self._open()
        self._train()
        self._measure()
        self._record()

    def _settle(self) -> None:
        self.home.mkdir(parents=True)
        self.file.write_text("time,discharge\n" + "".join(f"2001-01-0{day},1.{day}\n" for day in range(1, 8)))
        hydromodpy.init(self.home / "gone").close()
        with hmp_index.index(auth=self.auth) as index:
            index.register(self.home / "gone")
        shutil.rmtree(self.home / "gone")
        with hydromodpy.init(self.workspace) as workspace:
            workspace.project("base").catalog.close()
        (self.workspace / "data" / "dem.txt").write_text("1 2 3")

    def _open(self) -> None:
        self.data = self._doors.enter_context(hmp_cache.open(self.workspace, auth=self.auth))
        self.low = self._doors.enter_context(hmp_cache.DataCatalogDuckDB(self.cache, auth=self.auth))
        self.catalog = self._doors.enter_context(hmp_catalog.open(self.project, auth=self.auth))
        self.index = self._doors.enter_context(hmp_index.index(auth=self.auth))
        self.writes = self.catalog.writer
        self.store = self._doors.enter_context(WorkspaceStore(self.project, auth=self.auth))
        self.library = PipelineLibrary(self.project, auth=self.auth)

    def _train(self) -> None:
        """Keep a run of training in the project: a pipeline, a chain with its model, a prediction, a template."""
        self.trained = self.store.begin_run("trained", {}, [{"name": "wheat"}])
        self.pipeline = self.store.begin_pipeline(self.trained, "0001_mean", {}, [], "wheat", "")
        self.model = self.store.save_artifact(Mean(), "worlds.Mean", "model", "pickle")
        step = {"step_idx": 1, "operator_class": "Mean", "params": {}, "artifact_id": None, "stateless": False}
        self.steps = [[step], 1, "Mean", "", "per_fold", {"fold_0": self.model}, {}]
        self.chain = self.store.save_chain(self.pipeline, *self.steps)
        self.scored = ["wheat", "Mean", "Mean", "avg", "val", 0.5, None, None, "rmse", "regression", 2, 1]
        self.scored += [{}, {}, None, None, 0, 0.0]
        self.prediction = self.store.save_prediction(self.pipeline, self.chain, *self.scored)
        self.store.save_prediction_arrays(self.prediction, np.ones(2), np.ones(2))
        self.store.complete_pipeline(self.pipeline, 0.5, None, "rmse", 1)
        self.store.complete_run(self.trained, {})
        self.library.save_template({"steps": []}, "plain")
        self.template = self.library.export_template("plain", self.home / "plain.json")
        self.samples = self.home / "samples.csv"
        self.samples.write_text("1.0\n3.0\n")
        self.result = Result(self.store, self.trained, {"metric": "rmse"})
        self.store.list_runs()

    def _measure(self) -> None:
        """Keep a measuring session in the project: a run with an event and a frame, and one that was deleted."""
        self.measuring = acquisition_folder(self.project) / "june.db"
        with RunWriter(self.measuring, SampleMetadata("outlet"), auth=self.auth) as writer:
            for _ in range(2):
                self.measured = writer.open_run("count")
                writer.open_stream("primary", {"level": {"dtype": "number"}})
                writer.write_image(writer.write_event({"level": 1.0}), "camera", np.ones((2, 3), np.uint16))
                writer.close_run()
            deleted = writer.open_run("deleted")
        delete_run(self.measuring, deleted, auth=self.auth)
        self.master = MasterIndex(self.project / "measured.db", auth=self.auth)
        self.master.refresh()
        self.registering = IndexWriter(self.master.path, auth=self.auth)

    def _record(self) -> None:
        self.entry = self.data.add(self.file, variable="discharge", station="outlet")
        with self.catalog.record("gr4j", name="base", inputs=[self.entry], parameters={"x1": 1.0}) as rec:
            rec.metric("nse", 0.8)
            rec.timeseries("discharge", self.series, unit="m3 s-1")
            rec.table("budget", self.rows)
            rec.field("head", np.ones((2, 2)), dims=("y", "x"))
            rec.geographic_feature("outlet", {"type": "Point", "coordinates": [1.0, 2.0]})
        self.sealed = rec.sim_id
        self.addition = self.catalog.observations.add("H1", "discharge", self.series, unit="m3 s-1")
        self.flow = self.catalog.workflow("model")
        self.recorder = self.catalog.record("gr4j", name="open")
        self.open = self.writes.register_simulation("gr4j", name="low")
        self.session = self.catalog.calibration("sce-ua", objective="1 - kge")
        self.session.trial({"x1": 1.0}, 0.4, flush=True)
        self.waiting = self.catalog.calibration("sce-ua", objective="1 - kge")
        self.waiting.trial({"x1": 1.0}, 0.4)
        self.event = self.catalog.store.prepare("run.noted", {"sim_id": self.sealed, "notes": "x", "project": "base"})
        for name in ("thrown", "purged"):
            self.catalog.record("gr4j", name=name).seal()
        self.thrown = self.catalog.delete("thrown").sim_id
        self.certificate = Path(self.catalog.purge("purged", reason="asked for").path)
        self.package = self.catalog.export_package("base", self.home / "base.hmprun").path
        take_backup(self.project / "catalog.duckdb")
        # everything is folded and looked at: from now on reading has nothing to write
        self.group = self.catalog.find()
        self.data.find()
        self.index.find()

    def run(self) -> hmp_catalog.Run:
        """Return the sealed run by its id, of which nothing is known yet."""
        return hmp_catalog.Run(self.catalog, self.sealed)

    def found(self) -> hmp_catalog.Run:
        """Return the sealed run as it was found when that was allowed."""
        return next(run for run in self.group if run.sim_id == self.sealed)

    def words(self, words: Sequence[str]) -> list[str]:
        """Return the words of a command with the places of this world."""
        return [word.format(**{k: v for k, v in vars(self).items() if isinstance(v, (Path, str))}) for word in words]

    def trace(self, *, locks: bool) -> Trace:
        """Return all there is in the workspace and in the state of the machine."""
        return trace(self.home, self.state, locks=locks)

    def refused(self) -> list[Refusal]:
        """Return the refused writes that are on record anywhere."""
        folders = {file.parent for root in (self.home, self.state) for file in root.rglob(NAME)}
        return [refusal for folder in folders for refusal in read(folder)]

    def close(self) -> None:
        """Close every door."""
        self._doors.close()


Granted = dict[str, Any]
