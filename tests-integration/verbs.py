"""Every public verb of every scope with plausible arguments: what it needs to be allowed, and how it is called.

A line is ``name: (needs, call)``; a verb that asks nobody stands in ``PURE`` with the reason. A name may be followed
by a colon and a circumstance. `test_denied` compares the table with what is there: a new verb is a new line here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np

import hmp_cache
import hmp_catalog
import hmp_index
import hydromodpy
from hmp_cache.opening import rebuild_cache, rooms_of
from hmp_catalog.acquisition import IndexWriter, MasterIndex
from hmp_catalog.audit import AuditTrail
from hmp_catalog.experiments import (
    Bundle,
    ChainBuilder,
    PipelineLibrary,
    Result,
    TraceRecorder,
    WorkspaceStore,
    predict,
    replay_chain,
    run,
)
from hmp_catalog.fields import SimulationZarr
from hmp_catalog.fold import FOLD
from hmp_catalog.rebuilding import rebuild_catalog
from hmp_catalog.recorder import Recorder
from hmp_catalog.records import RunSpec
from hmp_catalog.tables import TableSet, TableWriter
from hmp_catalog.writes import LowLevelWriter
from hmp_core.events import EventStore
from hmp_core.migrations.runner import apply_migrations
from hydromodpy import bridge, lineage, origins
from hydromodpy.consumers import Asker
from hydromodpy.exports import prov, ro_crate
from hydromodpy.reading import CacheReader
from hydromodpy.records import Recorded
from worlds import World

#: The classes whose verbs are tried, and the modules whose functions are.
CLASSES = (
    hmp_index.GlobalIndex,
    hmp_cache.InputsNamespace,
    hmp_cache.DataCatalogDuckDB,
    hmp_cache.Entry,
    hmp_catalog.SimulationCatalog,
    hmp_catalog.Recorder,
    hmp_catalog.Run,
    hmp_catalog.SimulationGroup,
    hmp_catalog.CalibrationSession,
    AuditTrail,
    hmp_catalog.Observations,
    hmp_catalog.Stations,
    hmp_catalog.Vocabulary,
    hmp_catalog.Workflow,
    LowLevelWriter,
    WorkspaceStore,
    PipelineLibrary,
    Result,
    IndexWriter,
    MasterIndex,
    hydromodpy.Workspace,
    hydromodpy.Project,
    EventStore,
)
MODULES = (
    "hmp_index",
    "hmp_cache",
    "hmp_cache.opening",
    "hmp_catalog",
    "hmp_catalog.rebuilding",
    "hmp_catalog.experiments",
    "hmp_catalog.fields",
    "hmp_catalog.tables",
    "hydromodpy",
    "hydromodpy.bridge",
    "hydromodpy.exports",
    "hydromodpy.lineage",
    "hydromodpy.origins",
    "hydromodpy.workspace",
    "hydromodpy.core.migrations.runner",
)
#: Classes that the scopes show beside these, and why their verbs ask nobody.
FORMATS = dict.fromkeys(
    (SimulationZarr, TableSet, TableWriter),
    "reads and writes files of a format, wherever they lie; `Run` and `Recorder` ask before they hand it a file",
) | {
    Bundle: "reads a file that was exported, wherever it lies; it knows no store",
    ChainBuilder: "makes values of values",
    TraceRecorder: "gathers in memory",
}
_DUNDERS = ("__init__", "__getitem__", "__iter__", "__len__", "__enter__", "__exit__")

R_INDEX, W_INDEX = "read index", "write index"
R_CACHE, W_CACHE = "read cache", "write cache"
R_CATALOG, W_CATALOG = "read catalog", "write catalog"
BOTH = f"{R_CATALOG}, {R_CACHE}"

Line = tuple[str, Callable[[World], object]]

INDEX: dict[str, Line] = {
    "index": (R_INDEX, lambda w: hmp_index.index(auth=w.auth)),
    "IndexWriter.ensure_schema": (W_CATALOG, lambda w: w.registering.ensure_schema()),
    "IndexWriter.register_researcher": (W_CATALOG, lambda w: w.registering.register_researcher("Ada", ".")),
    "IndexWriter.register_beamtime": (W_CATALOG, lambda w: w.registering.register_beamtime(1, "June", "new.db")),
    "IndexWriter.index_run": (W_CATALOG, lambda w: w.registering.index_run("ab", 1, 1, "count")),
    "MasterIndex.find": (R_CATALOG, lambda w: w.master.find(status="success")),
    "MasterIndex.beamtimes": (R_CATALOG, lambda w: w.master.beamtimes()),
    "MasterIndex.researchers": (R_CATALOG, lambda w: w.master.researchers()),
    "MasterIndex.refresh": (W_CATALOG, lambda w: w.master.refresh()),
    "MasterIndex.rebuild": (W_CATALOG, lambda w: w.master.rebuild()),
    "GlobalIndex.__init__": (R_INDEX, lambda w: hmp_index.GlobalIndex(auth=w.auth)),
    "GlobalIndex.__init__: read-only": (R_INDEX, lambda w: hmp_index.GlobalIndex(auth=w.auth, read_only=True)),
    "GlobalIndex.find": (R_INDEX, lambda w: w.index.find(solver="gr4j")),
    "GlobalIndex.search": (R_INDEX, lambda w: w.index.search("base")),
    "GlobalIndex.sql": (R_INDEX, lambda w: w.index.sql("SELECT * FROM workspaces")),
    "GlobalIndex.sql: live": (R_INDEX, lambda w: w.index.sql("SELECT * FROM all_simulations", live=True)),
    "GlobalIndex.table": (R_INDEX, lambda w: w.index.table),
    "GlobalIndex.frame": (R_INDEX, lambda w: w.index.frame),
    "GlobalIndex.workspaces": (R_INDEX, lambda w: w.index.workspaces()),
    "GlobalIndex.projects": (R_INDEX, lambda w: w.index.projects()),
    "GlobalIndex.health": (R_INDEX, lambda w: w.index.health()),
    "GlobalIndex.refresh": (R_INDEX, lambda w: w.index.refresh(only_stale=False)),
    "GlobalIndex.register": (W_INDEX, lambda w: w.index.register(w.workspace, "another label")),
    "GlobalIndex.relocate": (W_INDEX, lambda w: w.index.relocate("aare", w.workspace)),
    "GlobalIndex.forget": (W_INDEX, lambda w: w.index.forget("aare")),
    "GlobalIndex.prune": (W_INDEX, lambda w: w.index.prune()),
    "GlobalIndex.prune: only said": (R_INDEX, lambda w: w.index.prune(dry_run=True)),
    "GlobalIndex.rebuild": (W_INDEX, lambda w: w.index.rebuild()),
    "GlobalIndex.rebuild: below a folder": (W_INDEX, lambda w: w.index.rebuild([w.workspace], below=w.workspace)),
}

CACHE: dict[str, Line] = {
    "hmp_cache.open": (R_CACHE, lambda w: hmp_cache.open(w.workspace, auth=w.auth)),
    "hmp_cache.open: read-only": (R_CACHE, lambda w: hmp_cache.open(w.workspace, auth=w.auth, read_only=True)),
    "hmp_cache.open: a new workspace": (W_CACHE, lambda w: hmp_cache.open(w.new, auth=w.auth, create=True)),
    "rooms_of": (R_CACHE, lambda w: rooms_of(w.workspace, create=False, read_only=False, auth=w.auth, timeout=5.0)),
    "rebuild_cache": (W_CACHE, lambda w: rebuild_cache(w.workspace, auth=w.auth)),
    "InputsNamespace.__init__": (R_CACHE, lambda w: hmp_cache.InputsNamespace(w.workspace, auth=w.auth)),
    "InputsNamespace.__getitem__": (R_CACHE, lambda w: w.data["q"]),
    "InputsNamespace.add": (W_CACHE, lambda w: w.data.add(w.file, variable="discharge", station="new")),
    "InputsNamespace.add_many": (W_CACHE, lambda w: w.data.add_many([w.file], variable="discharge", station="new")),
    "InputsNamespace.archive": (R_CACHE, lambda w: w.data.archive(w.file.with_suffix(".hmpdata"))),
    "InputsNamespace.import_archive": (W_CACHE, lambda w: w.data.import_archive(w.file)),
    "InputsNamespace.fetch": (W_CACHE, lambda w: w.data.fetch(w.file.as_uri(), variable="discharge")),
    "InputsNamespace.fetch_many": (W_CACHE, lambda w: w.data.fetch_many([w.file.as_uri()], variable="discharge")),
    "InputsNamespace.fetch: from a source": (
        W_CACHE,
        lambda w: w.data.fetch(variable="discharge", source="usgs", station="01646500", period="2001-01-01/2001-01-02"),
    ),
    "InputsNamespace.artifact": (R_CACHE, lambda w: w.data.artifact(w.entry.sha256)),
    "InputsNamespace.artifact_path": (R_CACHE, lambda w: w.data.artifact_path(w.entry.sha256)),
    "InputsNamespace.check": (R_CACHE, lambda w: w.data.check()),
    "InputsNamespace.check: and fix": (W_CACHE, lambda w: w.data.check(fix=True)),
    "InputsNamespace.coverage": (R_CACHE, lambda w: w.data.coverage(variable="discharge")),
    "InputsNamespace.failures": (R_CACHE, lambda w: w.data.failures()),
    "InputsNamespace.find": (R_CACHE, lambda w: w.data.find(variable="discharge")),
    "InputsNamespace.frame": (R_CACHE, lambda w: w.data.frame),
    "InputsNamespace.gaps": (R_CACHE, lambda w: w.data.gaps(variable="discharge", source="usgs", station="01646500")),
    "InputsNamespace.latest": (R_CACHE, lambda w: w.data.latest()),
    "InputsNamespace.lock": (W_CACHE, lambda w: w.data.lock()),
    "InputsNamespace.lock_state": (R_CACHE, lambda w: w.data.lock_state(_lock_file())),
    "InputsNamespace.offers": (R_CACHE, lambda w: w.data.offers()),
    "InputsNamespace.offers: on record": (W_CACHE, lambda w: w.data.offers(record=True)),
    "InputsNamespace.prune": (R_CACHE, lambda w: w.data.prune(superseded=True)),
    "InputsNamespace.prune: done": (W_CACHE, lambda w: w.data.prune(superseded=True, apply=True)),
    "InputsNamespace.reading": (R_CACHE, lambda w: w.data.reading().__enter__()),
    "InputsNamespace.rebuild": (W_CACHE, lambda w: w.data.rebuild()),
    "InputsNamespace.refresh": (W_CACHE, lambda w: w.data.refresh()),
    "InputsNamespace.rejected": (R_CACHE, lambda w: w.data.rejected()),
    "InputsNamespace.remove": (R_CACHE, lambda w: w.data.remove("q")),
    "InputsNamespace.remove: done": (W_CACHE, lambda w: w.data.remove("q", apply=True)),
    "InputsNamespace.restore": (W_CACHE, lambda w: w.data.restore("q")),
    "InputsNamespace.sql": (R_CACHE, lambda w: w.data.sql("SELECT * FROM entries")),
    "InputsNamespace.stations": (R_CACHE, lambda w: w.data.stations()),
    "InputsNamespace.strays": (R_CACHE, lambda w: w.data.strays()),
    "InputsNamespace.story": (R_CACHE, lambda w: w.data.story("q")),
    "InputsNamespace.summary": (R_CACHE, lambda w: w.data.summary()),
    "InputsNamespace.table": (R_CACHE, lambda w: w.data.table),
    "InputsNamespace.verify": (R_CACHE, lambda w: w.data.verify()),
    "InputsNamespace.versions": (R_CACHE, lambda w: w.data.versions("q")),
    "DataCatalogDuckDB.__init__": (R_CACHE, lambda w: hmp_cache.DataCatalogDuckDB(w.cache, auth=w.auth)),
    "DataCatalogDuckDB.find_cached": (R_CACHE, lambda w: w.low.find_cached(variable="discharge")),
    "DataCatalogDuckDB.query": (R_CACHE, lambda w: w.low.query("SELECT * FROM entries")),
    "DataCatalogDuckDB.custom_file_mtime": (R_CACHE, lambda w: w.low.custom_file_mtime(variable="discharge")),
    "DataCatalogDuckDB.invalidate": (W_CACHE, lambda w: w.low.invalidate(variable="discharge")),
    "DataCatalogDuckDB.subsume_entries": (W_CACHE, lambda w: w.low.subsume_entries(w.entry.id, bbox=(0, 0, 1, 1))),
    "DataCatalogDuckDB.prune_older_than": (W_CACHE, lambda w: w.low.prune_older_than(1)),
    "DataCatalogDuckDB.check_and_fix": (W_CACHE, lambda w: w.low.check_and_fix()),
    "DataCatalogDuckDB.cleanup": (W_CACHE, lambda w: w.low.cleanup()),
    "DataCatalogDuckDB.write_artifact": (
        W_CACHE,
        lambda w: w.low.write_artifact(entry_id=w.entry.id, sha256="0" * 64, path="data/old.csv", size_bytes=1),
    ),
    "DataCatalogDuckDB.write_provenance": (W_CACHE, lambda w: w.low.write_provenance(artifact_id=w.entry.artifact_id)),
    "DataCatalogDuckDB.write_validation_report": (
        W_CACHE,
        lambda w: w.low.write_validation_report(artifact_id=w.entry.artifact_id, schema_name="mine/1", passed=True),
    ),
    "DataCatalogDuckDB.upsert_station": (
        W_CACHE,
        lambda w: w.low.upsert_station(source="hubeau", variable="discharge", station_id="K1"),
    ),
    "DataCatalogDuckDB.write_coverage": (W_CACHE, lambda w: w.low.write_coverage(variable="dem", source="ign")),
    "DataCatalogDuckDB.write_failure": (
        W_CACHE,
        lambda w: w.low.write_failure(variable="dem", source="ign", error_type="network", message="no route"),
    ),
    "DataCatalogDuckDB.list_entries": (R_CACHE, lambda w: w.low.list_entries()),
    "DataCatalogDuckDB.table_names": (R_CACHE, lambda w: w.low.table_names()),
    "DataCatalogDuckDB.resolve_path": (R_CACHE, lambda w: w.low.resolve_path(w.entry.relative_path)),
    "DataCatalogDuckDB.register": (
        W_CACHE,
        lambda w: w.low.register(variable="dem", source="custom", file_path=w.workspace / "data" / "dem.txt"),
    ),
    "Entry.open": (R_CACHE, lambda w: w.entry.open().close()),
    "Entry.read_table": (R_CACHE, lambda w: w.entry.read_table()),
    "Entry.read_frame": (R_CACHE, lambda w: w.entry.read_frame()),
    "Entry.used_by": (R_CACHE, lambda w: w.entry.used_by()),
}

CATALOG: dict[str, Line] = {
    "hmp_catalog.open": (R_CATALOG, lambda w: hmp_catalog.open(w.project, auth=w.auth)),
    "hmp_catalog.open: read-only": (R_CATALOG, lambda w: hmp_catalog.open(w.project, auth=w.auth, read_only=True)),
    "hmp_catalog.open: a new project": (
        W_CATALOG,
        lambda w: hmp_catalog.open(w.workspace / "projects" / "new", auth=w.auth, create=True),
    ),
    "hmp_catalog.open: outside any workspace": (
        W_CATALOG,
        lambda w: hmp_catalog.open(w.new, auth=w.auth, create=True),
    ),
    "rebuild_catalog": (W_CATALOG, lambda w: rebuild_catalog(w.project, auth=w.auth)),
    "SimulationCatalog.__init__": (R_CATALOG, lambda w: hmp_catalog.SimulationCatalog(w.project, auth=w.auth)),
    "SimulationCatalog.__getitem__": (R_CATALOG, lambda w: w.catalog["base"]),
    "SimulationCatalog.__iter__": (R_CATALOG, lambda w: list(w.catalog)),
    "SimulationCatalog.__len__": (R_CATALOG, lambda w: len(w.catalog)),
    "SimulationCatalog.best": (R_CATALOG, lambda w: w.catalog.best("nse")),
    "SimulationCatalog.calibration": (W_CATALOG, lambda w: w.catalog.calibration("sce-ua", objective="1 - kge")),
    "SimulationCatalog.calibration: of another process": (
        R_CATALOG,
        lambda w: w.catalog.calibration("sce-ua", objective="1 - kge", session=w.session.session_id),
    ),
    "SimulationCatalog.calibrations": (R_CATALOG, lambda w: w.catalog.calibrations()),
    "SimulationCatalog.find": (R_CATALOG, lambda w: w.catalog.find(solver="gr4j")),
    "SimulationCatalog.frame": (R_CATALOG, lambda w: w.catalog.frame),
    "SimulationCatalog.latest": (R_CATALOG, lambda w: w.catalog.latest()),
    "SimulationCatalog.reading": (R_CATALOG, lambda w: w.catalog.reading().__enter__()),
    "SimulationCatalog.rebuild": (W_CATALOG, lambda w: w.catalog.rebuild()),
    "SimulationCatalog.diff": (R_CATALOG, lambda w: w.catalog.diff("base", "base")),
    "SimulationCatalog.open_runs": (R_CATALOG, lambda w: w.catalog.open_runs()),
    "SimulationCatalog.rank": (R_CATALOG, lambda w: w.catalog.rank("nse")),
    "SimulationCatalog.simulate": (W_CATALOG, lambda w: w.catalog.simulate("gr4j", lambda rec: rec.metric("nse", 1.0))),
    "SimulationCatalog.record": (W_CATALOG, lambda w: w.catalog.record("gr4j", name="new", inputs=[w.entry])),
    "SimulationCatalog.record: a name of its own": (
        W_CATALOG,
        lambda w: w.catalog.record("gr4j", name="new", if_exists="fail"),
    ),
    "SimulationCatalog.export_package": (
        W_CATALOG,
        lambda w: w.catalog.export_package(w.found(), w.home / "again.hmprun"),
    ),
    "SimulationCatalog.import_package": (W_CATALOG, lambda w: w.catalog.import_package(w.package, rename=True)),
    "SimulationCatalog.sql": (R_CATALOG, lambda w: w.catalog.sql("SELECT * FROM simulations")),
    "SimulationCatalog.table": (R_CATALOG, lambda w: w.catalog.table),
    "SimulationCatalog.trials": (R_CATALOG, lambda w: w.catalog.trials(w.session.session_id)),
    "Recorder.begin": (
        W_CATALOG,
        lambda w: Recorder(w.catalog.store, w.project, w.workspace, RunSpec(solver="gr4j")).begin(),
    ),
    "Recorder.artifact": (W_CATALOG, lambda w: w.recorder.artifact(w.file)),
    "Recorder.field": (W_CATALOG, lambda w: w.recorder.field("head", [[1.0]], dims=("y", "x"))),
    "Recorder.table": (W_CATALOG, lambda w: w.recorder.table("budget", w.rows)),
    "Recorder.timeseries": (W_CATALOG, lambda w: w.recorder.timeseries("discharge", w.series, unit="m3 s-1")),
    "Recorder.fields": (W_CATALOG, lambda w: w.recorder.fields),
    "Recorder.import_modflow": (W_CATALOG, lambda w: w.recorder.import_modflow(w.home)),
    "Recorder.seal": (W_CATALOG, lambda w: w.recorder.seal()),
    "Recorder.__exit__": (W_CATALOG, lambda w: w.recorder.__exit__(None, None, None)),
    "Run.config": (R_CATALOG, lambda w: w.run().config),
    "Run.environment": (R_CATALOG, lambda w: w.run().environment),
    "Run.facts": (R_CATALOG, lambda w: w.run().facts),
    "Run.name": (R_CATALOG, lambda w: w.run().name),
    "Run.solver": (R_CATALOG, lambda w: w.run().solver),
    "Run.status": (R_CATALOG, lambda w: w.run().status),
    "Run.folder": (R_CATALOG, lambda w: w.run().folder),
    "Run.files": (R_CATALOG, lambda w: w.run().files()),
    "Run.files: of a run found before": (R_CATALOG, lambda w: w.found().files()),
    "Run.manifest": (R_CATALOG, lambda w: w.run().manifest),
    "Run.manifest: of a run found before": (R_CATALOG, lambda w: w.found().manifest),
    "Run.metrics": (R_CATALOG, lambda w: w.run().metrics),
    "Run.parameters": (R_CATALOG, lambda w: w.run().parameters),
    "Run.provenance": (R_CATALOG, lambda w: w.run().provenance),
    "Run.summary": (R_CATALOG, lambda w: w.run().summary()),
    "Run.tags": (R_CATALOG, lambda w: w.run().tags),
    "Run.plot": (R_CATALOG, lambda w: w.found().plot("discharge")),
    "Run.plot_field": (R_CATALOG, lambda w: w.found().plot_field("head")),
    "Run.dataset": (R_CATALOG, lambda w: w.found().dataset()),
    "Run.table": (R_CATALOG, lambda w: w.found().table("budget")),
    "Run.timeseries": (R_CATALOG, lambda w: w.found().timeseries("discharge")),
    "Run.input_entries": (BOTH, lambda w: w.run().input_entries()),
    "Run.open": (R_CATALOG, lambda w: w.found().open("tables/budget.parquet").close()),
    "Run.pack": (W_CATALOG, lambda w: w.found().pack()),
    "Run.unpack": (W_CATALOG, lambda w: w.found().unpack()),
    "Run.metric": (W_CATALOG, lambda w: w.run().metric("kge", 0.5)),
    "Run.note": (W_CATALOG, lambda w: w.run().note("well")),
    "Run.rename": (W_CATALOG, lambda w: w.run().rename("other")),
    "Run.tag": (W_CATALOG, lambda w: w.run().tag("paper")),
    "SimulationGroup.best": (R_CATALOG, lambda w: w.group.best("nse")),
    "SimulationGroup.worst": (R_CATALOG, lambda w: w.group.worst("nse")),
    "SimulationGroup.facts": (R_CATALOG, lambda w: w.group.facts),
    "SimulationGroup.rank": (R_CATALOG, lambda w: w.group.rank("nse")),
    "SimulationGroup.to_xarray": (R_CATALOG, lambda w: w.group.to_xarray("head", without="report")),
    "SimulationGroup.ranked": (R_CATALOG, lambda w: w.group.ranked("nse")),
    "SimulationGroup.compare": (R_CATALOG, lambda w: w.group.compare("nse")),
    "SimulationGroup.filter": (R_CATALOG, lambda w: w.group.filter(solver="gr4j")),
    "SimulationGroup.table": (R_CATALOG, lambda w: w.group.table),
    "SimulationGroup.frame": (R_CATALOG, lambda w: w.group.frame),
    "CalibrationSession.trial": (W_CATALOG, lambda w: w.session.trial({"x1": 1.0}, 0.5)),
    "CalibrationSession.trials": (W_CATALOG, lambda w: w.session.trials([({"x1": 1.0}, 0.5, {})])),
    "CalibrationSession.flush": (W_CATALOG, lambda w: w.waiting.flush()),
    "CalibrationSession.end": (W_CATALOG, lambda w: w.session.end()),
    "CalibrationSession.__exit__": (W_CATALOG, lambda w: w.session.__exit__(None, None, None)),
    "CalibrationSession.best": (R_CATALOG, lambda w: w.session.best()),
    "CalibrationSession.plot": (R_CATALOG, lambda w: w.session.plot()),
    "CalibrationSession.promote": (W_CATALOG, lambda w: w.session.promote(w.session.best(), "gr4j").__enter__()),
    "CalibrationSession.top": (R_CATALOG, lambda w: w.session.top(3)),
    "CalibrationSession.table": (R_CATALOG, lambda w: w.session.table),
    "SimulationCatalog.known_id": (R_CATALOG, lambda w: w.catalog.known_id("base")),
    "SimulationCatalog.delete": (W_CATALOG, lambda w: w.catalog.delete("base")),
    "SimulationCatalog.trash": (R_CATALOG, lambda w: w.catalog.trash),
    "SimulationCatalog.restore": (W_CATALOG, lambda w: w.catalog.restore("thrown")),
    "SimulationCatalog.purge": (W_CATALOG, lambda w: w.catalog.purge("thrown", reason="asked for")),
    "SimulationCatalog.empty_trash": (W_CATALOG, lambda w: w.catalog.empty_trash()),
    "SimulationCatalog.deletions": (R_CATALOG, lambda w: w.catalog.deletions()),
    "SimulationCatalog.gc": (R_CATALOG, lambda w: w.catalog.gc()),
    "SimulationCatalog.gc: applied": (W_CATALOG, lambda w: w.catalog.gc(apply=True)),
    "SimulationCatalog.vacuum": (W_CATALOG, lambda w: w.catalog.vacuum()),
    "Run.trash": (W_CATALOG, lambda w: w.run().trash()),
    "Run.restore": (W_CATALOG, lambda w: hmp_catalog.Run(w.catalog, w.thrown).restore()),
    "Run.pin": (W_CATALOG, lambda w: w.run().pin()),
    "Run.cite": (W_CATALOG, lambda w: w.run().cite("10.5281/zenodo.1")),
    "AuditTrail.table": (R_CATALOG, lambda w: w.catalog.audit.table()),
    "AuditTrail.head": (R_CATALOG, lambda w: w.catalog.audit.head),
    "AuditTrail.verify": (R_CATALOG, lambda w: w.catalog.audit.verify()),
    "SimulationCatalog.observed": (R_CATALOG, lambda w: w.catalog.observed("discharge")),
    "SimulationCatalog.workflow": (W_CATALOG, lambda w: w.catalog.workflow("model")),
    "SimulationCatalog.workflows": (R_CATALOG, lambda w: w.catalog.workflows()),
    "SimulationCatalog.workflow_steps": (R_CATALOG, lambda w: w.catalog.workflow_steps("model")),
    "Observations.add": (W_CATALOG, lambda w: w.catalog.observations.add("H1", "discharge", w.series)),
    "Observations.withdraw": (W_CATALOG, lambda w: w.catalog.observations.withdraw(w.addition)),
    "Observations.additions": (R_CATALOG, lambda w: w.catalog.observations.additions()),
    "Observations.one": (R_CATALOG, lambda w: w.catalog.observations.one("discharge")),
    "Observations.pack": (W_CATALOG, lambda w: w.catalog.observations.pack()),
    "Observations.series": (R_CATALOG, lambda w: w.catalog.observations.series("discharge")),
    "Observations.table": (R_CATALOG, lambda w: w.catalog.observations.table("discharge")),
    "Stations.add": (W_CATALOG, lambda w: w.catalog.stations.add("H1", "discharge")),
    "Stations.__getitem__": (R_CATALOG, lambda w: w.catalog.stations["H1"]),
    "Stations.__iter__": (R_CATALOG, lambda w: list(w.catalog.stations)),
    "Stations.__len__": (R_CATALOG, lambda w: len(w.catalog.stations)),
    "Stations.table": (R_CATALOG, lambda w: w.catalog.stations.table),
    "Stations.frame": (R_CATALOG, lambda w: w.catalog.stations.frame),
    "Vocabulary.table": (R_CATALOG, lambda w: w.catalog.vocabulary.table("metrics")),
    "Vocabulary.define_metric": (W_CATALOG, lambda w: w.catalog.vocabulary.define_metric("own")),
    "Vocabulary.define_solver": (W_CATALOG, lambda w: w.catalog.vocabulary.define_solver("own", category="lumped")),
    "Vocabulary.define_variable": (
        W_CATALOG,
        lambda w: w.catalog.vocabulary.define_variable("own", unit="m", category="state"),
    ),
    "Workflow.begin": (W_CATALOG, lambda w: w.flow.begin()),
    "Workflow.step": (W_CATALOG, lambda w: w.flow.step("mesh", dict)),
    "Workflow.__exit__": (W_CATALOG, lambda w: w.flow.__exit__(None, None, None)),
    "Recorder.geographic_feature": (W_CATALOG, lambda w: w.recorder.geographic_feature("outlet", _POINT)),
    "Run.observed": (R_CATALOG, lambda w: w.run().observed("discharge")),
    "Run.score": (W_CATALOG, lambda w: w.found().score("discharge")),
    "Run.geographic": (R_CATALOG, lambda w: w.run().geographic()),
    "Run.geography": (R_CATALOG, lambda w: w.found().geography),
    "Run.feature": (R_CATALOG, lambda w: w.found().feature("outlet")),
    "Run.describe": (W_CATALOG, lambda w: w.run().describe(description="again")),
    "EventStore.reading": (R_CATALOG, lambda w: w.catalog.store.reading().__enter__()),
    "EventStore.glance": (R_CATALOG, lambda w: w.catalog.store.glance(lambda *_: True)),
    "EventStore.immediate": (W_CATALOG, lambda w: w.catalog.store.immediate().__enter__()),
    "EventStore.prepare": (W_CATALOG, lambda w: w.catalog.store.prepare("run.noted", {})),
    "EventStore.append": (W_CATALOG, lambda w: w.catalog.store.append("run.noted", {})),
    "EventStore.commit": (W_CATALOG, lambda w: w.catalog.store.commit([w.event])),
    "EventStore.fold": (R_CATALOG, lambda w: w.catalog.store.fold()),
    "EventStore.prepare_schema": (R_CATALOG, lambda w: w.catalog.store.prepare_schema()),
    "EventStore.authorize": (W_CATALOG, lambda w: w.catalog.store.authorize(write=True)),
}

_POINT = {"type": "Point", "coordinates": [1.0, 2.0]}

#: The low-level verbs, which the catalog and its writer both have; `open` is a run that was registered by id.
LOW_LEVEL: dict[str, Callable[[Any, World], object]] = {
    "register_simulation": lambda on, w: on.register_simulation("gr4j", name="new"),
    "finalize": lambda on, w: on.finalize(w.open),
    "rename_simulation": lambda on, w: on.rename_simulation(w.sealed, "other"),
    "add_note": lambda on, w: on.add_note(w.sealed, "well"),
    "add_tag": lambda on, w: on.add_tag(w.sealed, "paper"),
    "remove_tag": lambda on, w: on.remove_tag(w.sealed, "paper"),
    "delete": lambda on, w: on.delete(w.sealed),
    "write_scientific_objective": lambda on, w: on.write_scientific_objective(w.sealed, "low flows"),
    "write_metric": lambda on, w: on.write_metric(w.sealed, "kge", 0.5),
    "write_metrics": lambda on, w: on.write_metrics(w.sealed, {"kge": 0.5}),
    "write_timeseries": lambda on, w: on.write_timeseries(w.open, "discharge", w.series),
    "write_timeseries_batch": lambda on, w: on.write_timeseries_batch(
        w.open, [{"variable": "discharge", "series": w.series}]
    ),
    "write_timeseries_columns": lambda on, w: on.write_timeseries_columns(w.open, "head", w.series.to_frame("p1")),
    "write_budget": lambda on, w: on.write_budget(w.open, w.rows),
    "write_budgets": lambda on, w: on.write_budgets(w.open, [w.rows]),
    "write_mass_balance": lambda on, w: on.write_mass_balance(w.open, w.rows),
    "write_mass_balances": lambda on, w: on.write_mass_balances(w.open, [w.rows]),
    "write_view": lambda on, w: on.write_view(w.open, "zones", w.rows),
    "write_mesh": lambda on, w: on.write_mesh(w.open, ([0, 1, 1], [0, 0, 1]), [[0, 1, 2]]),
    "write_field": lambda on, w: on.write_field(w.open, "h", [[1.0]], dims=("y", "x")),
    "write_field_stack": lambda on, w: on.write_field_stack(w.open, "h", [[1.0]], dims=("y", "x")),
    "write_geographic_feature": lambda on, w: on.write_geographic_feature(w.open, "outlet", _POINT),
    "write_station": lambda on, w: on.write_station("H1", "discharge"),
    "write_observations": lambda on, w: on.write_observations("H1", "discharge", w.series),
}
CATALOG |= {
    f"{kind}.{name}": (W_CATALOG, lambda w, call=call, which=which: call(which(w), w))  # type: ignore[misc]
    for kind, which in (
        ("LowLevelWriter", lambda w: w.writes),
        ("SimulationCatalog", lambda w: w.catalog),
    )
    for name, call in LOW_LEVEL.items()
    if (kind, name) != ("SimulationCatalog", "delete")
}


def _recorded(world: World) -> list[Recorded]:
    return [Recorded("discharge", "custom", world.entry.sha256, world.entry.relative_path)]


def _reader(world: World) -> CacheReader:
    return CacheReader(world.workspace, world.auth)


#: These take no authority: they ask the one that the workspace or the environment names.
UMBRELLA: dict[str, Line] = {
    "hydromodpy.open": (R_CATALOG, lambda w: hydromodpy.open(w.project)),
    "hydromodpy.open: a new project": (W_CATALOG, lambda w: hydromodpy.open(w.new, create=True)),
    "hydromodpy.index": (R_INDEX, lambda w: hydromodpy.index()),
    "hydromodpy.init": (W_CACHE, lambda w: hydromodpy.init(w.new)),
    "hydromodpy.init: a workspace that is there": (R_CACHE, lambda w: hydromodpy.init(w.workspace, force=True)),
    "hydromodpy.demo": (W_CACHE, lambda w: hydromodpy.demo(w.new)),
    "Workspace.data": (R_CACHE, lambda w: hydromodpy.Workspace(w.workspace).data),
    "Workspace.project": (W_CATALOG, lambda w: hydromodpy.Workspace(w.workspace).project("new")),
    "Project.catalog": (R_CATALOG, lambda w: hydromodpy.Project(w.project).catalog),
    "Project.data": (R_CACHE, lambda w: hydromodpy.Project(w.project).data),
    "input_entries": (BOTH, lambda w: bridge.input_entries(w.run())),
    "used_by": (R_CACHE, lambda w: bridge.used_by(w.entry)),
    "uses": (R_CACHE, lambda w: bridge.uses(w.workspace, {w.entry.sha256}, w.auth)),
    "inputs_of": (BOTH, lambda w: bridge.inputs_of(w.catalog)),
    "uses_of": (
        R_CACHE,
        lambda w: bridge.uses_of([w.entry], _reader(w), Asker(w.workspace, w.auth)),
    ),
    "prov": (BOTH, lambda w: prov(w.run())),
    "ro_crate": (BOTH, lambda w: ro_crate(w.run(), Path(mkdtemp()) / "crate")),
    "stale": (BOTH, lambda w: bridge.stale([w.project])),
    "upstream": (BOTH, lambda w: origins.upstream(w.run())),
    "upstream_in": (
        R_CACHE,
        lambda w: origins.upstream_in(w.workspace, _recorded(w), _reader(w)),
    ),
    "trace": (R_CACHE, lambda w: origins.trace({str(w.entry.artifact_id)}, _reader(w))),
    "of_run": (BOTH, lambda w: lineage.of_run(w.found())),
    "of_entry": (R_CACHE, lambda w: lineage.of_entry(w.entry, w.auth)),
    "of_file": (R_CACHE, lambda w: lineage.of_file(w.workspace / "data" / "dem.txt", w.workspace, w.auth)),
    "apply_migrations": (R_CATALOG, lambda w: apply_migrations(w.project / "catalog.duckdb", FOLD.migrations)),
    "apply_migrations: a new database": (
        W_CATALOG,
        lambda w: apply_migrations(w.workspace / "projects" / "new" / "catalog.duckdb", FOLD.migrations),
    ),
}


def _file(name: str) -> Path:
    """Return a place for a file, outside the world."""
    return Path(mkdtemp()) / name


_X = np.ones((2, 1))

EXPERIMENTS: dict[str, Line] = {
    "WorkspaceStore.__init__": (R_CATALOG, lambda w: WorkspaceStore(w.project, auth=w.auth)),
    "WorkspaceStore.__init__: a new store": (W_CATALOG, lambda w: WorkspaceStore(w.workspace, auth=w.auth)),
    "WorkspaceStore.__init__: read-only": (R_CATALOG, lambda w: WorkspaceStore(w.project, auth=w.auth, read_only=True)),
    "WorkspaceStore.begin_run": (W_CATALOG, lambda w: w.store.begin_run("new", {}, [])),
    "WorkspaceStore.complete_run": (W_CATALOG, lambda w: w.store.complete_run(w.trained, {})),
    "WorkspaceStore.fail_run": (W_CATALOG, lambda w: w.store.fail_run(w.trained, "x")),
    "WorkspaceStore.begin_pipeline": (W_CATALOG, lambda w: w.store.begin_pipeline(w.trained, "n", {}, [], "d", "")),
    "WorkspaceStore.complete_pipeline": (
        W_CATALOG,
        lambda w: w.store.complete_pipeline(w.pipeline, 0.5, None, "rmse", 1),
    ),
    "WorkspaceStore.fail_pipeline": (W_CATALOG, lambda w: w.store.fail_pipeline(w.pipeline, "x")),
    "WorkspaceStore.save_chain": (W_CATALOG, lambda w: w.store.save_chain(w.pipeline, *w.steps)),
    "WorkspaceStore.get_chain": (R_CATALOG, lambda w: w.store.get_chain(w.chain)),
    "WorkspaceStore.get_chains_for_pipeline": (R_CATALOG, lambda w: w.store.get_chains_for_pipeline(w.pipeline)),
    "WorkspaceStore.replay_chain": (R_CATALOG, lambda w: w.store.replay_chain(w.chain, _X)),
    "WorkspaceStore.save_prediction": (W_CATALOG, lambda w: w.store.save_prediction(w.pipeline, w.chain, *w.scored)),
    "WorkspaceStore.save_prediction_arrays": (
        W_CATALOG,
        lambda w: w.store.save_prediction_arrays(w.prediction, _X[:, 0], _X[:, 0]),
    ),
    "WorkspaceStore.save_artifact": (W_CATALOG, lambda w: w.store.save_artifact({"a": 1}, "dict", "model", "pickle")),
    "WorkspaceStore.load_artifact": (R_CATALOG, lambda w: w.store.load_artifact(w.model)),
    "WorkspaceStore.get_artifact_path": (R_CATALOG, lambda w: w.store.get_artifact_path(w.model)),
    "WorkspaceStore.artifact": (R_CATALOG, lambda w: w.store.artifact(w.model)),
    "WorkspaceStore.log_step": (W_CATALOG, lambda w: w.store.log_step(w.pipeline, 1, "Mean", "start")),
    "WorkspaceStore.get_pipeline_log": (R_CATALOG, lambda w: w.store.get_pipeline_log(w.pipeline)),
    "WorkspaceStore.get_run_log_summary": (R_CATALOG, lambda w: w.store.get_run_log_summary(w.trained)),
    "WorkspaceStore.get_run": (R_CATALOG, lambda w: w.store.get_run(w.trained)),
    "WorkspaceStore.list_runs": (R_CATALOG, lambda w: w.store.list_runs()),
    "WorkspaceStore.get_pipeline": (R_CATALOG, lambda w: w.store.get_pipeline(w.pipeline)),
    "WorkspaceStore.list_pipelines": (R_CATALOG, lambda w: w.store.list_pipelines()),
    "WorkspaceStore.get_prediction": (R_CATALOG, lambda w: w.store.get_prediction(w.prediction, load_arrays=True)),
    "WorkspaceStore.query_predictions": (R_CATALOG, lambda w: w.store.query_predictions()),
    "WorkspaceStore.top_predictions": (R_CATALOG, lambda w: w.store.top_predictions(1)),
    "WorkspaceStore.export_chain": (R_CATALOG, lambda w: w.store.export_chain(w.chain, _file("m.n4a"))),
    "WorkspaceStore.export_pipeline_config": (
        R_CATALOG,
        lambda w: w.store.export_pipeline_config(w.pipeline, _file("c.json")),
    ),
    "WorkspaceStore.export_run": (R_CATALOG, lambda w: w.store.export_run(w.trained, _file("r.yaml"))),
    "WorkspaceStore.export_predictions_parquet": (
        R_CATALOG,
        lambda w: w.store.export_predictions_parquet(_file("p.parquet")),
    ),
    "WorkspaceStore.input_entries": (R_CATALOG, lambda w: w.store.input_entries(w.trained)),
    "WorkspaceStore.delete_run": (W_CATALOG, lambda w: w.store.delete_run(w.trained)),
    "WorkspaceStore.delete_prediction": (W_CATALOG, lambda w: w.store.delete_prediction(w.prediction)),
    "WorkspaceStore.gc_artifacts": (W_CATALOG, lambda w: w.store.gc_artifacts()),
    "WorkspaceStore.vacuum": (W_CATALOG, lambda w: w.store.vacuum()),
    "PipelineLibrary.save_template": (W_CATALOG, lambda w: w.library.save_template({}, "new")),
    "PipelineLibrary.import_template": (W_CATALOG, lambda w: w.library.import_template(w.template, "new")),
    "PipelineLibrary.delete_template": (W_CATALOG, lambda w: w.library.delete_template("plain")),
    "PipelineLibrary.load_template": (R_CATALOG, lambda w: w.library.load_template("plain")),
    "PipelineLibrary.get_template_metadata": (R_CATALOG, lambda w: w.library.get_template_metadata("plain")),
    "PipelineLibrary.list_templates": (R_CATALOG, lambda w: w.library.list_templates()),
    "PipelineLibrary.export_template": (R_CATALOG, lambda w: w.library.export_template("plain", _file("t.json"))),
    "Result.predictions": (R_CATALOG, lambda w: w.result.predictions),
    "Result.best": (R_CATALOG, lambda w: w.result.best),
    "Result.top": (R_CATALOG, lambda w: w.result.top(1)),
    "Result.predict": (R_CATALOG, lambda w: w.result.predict(_X)),
    "Result.replay": (R_CATALOG, lambda w: w.result.replay(w.chain, _X)),
    "Result.export": (R_CATALOG, lambda w: w.result.export(_file("m.n4a"))),
    "Result.input_entries": (R_CATALOG, lambda w: w.result.input_entries()),
    "run": (W_CATALOG, lambda w: run([w.store.load_artifact(w.model)], (_X, _X[:, 0]), workspace=w.project)),
    "replay_chain": (R_CATALOG, lambda w: replay_chain(w.store, w.chain, _X)),
    "predict": (R_CATALOG, lambda w: predict(chain_id=w.chain, workspace_path=w.project, data=_X, auth=w.auth)),
}

VERBS: dict[str, Line] = INDEX | CACHE | CATALOG | EXPERIMENTS | UMBRELLA

_IN_MEMORY = (
    "write_parameters update_parameter write_provenance register_tracked_files remove_tracked_file "
    "write_run_environment write_time write_crs write_geographic_metadata write_observation_point"
)

#: Reason -> the verbs that ask nobody, by class.
_EXCUSED: dict[str, dict[str, str]] = {
    "gives back what is held; what is not folded yet is folded by whoever may": {
        **{kind.__name__: "__enter__ close" for kind in CLASSES},
        **dict.fromkeys(
            ("GlobalIndex", "InputsNamespace", "DataCatalogDuckDB", "SimulationCatalog", "Workspace", "Project"),
            "__enter__ __exit__ close",
        ),
        "WorkspaceStore": "__enter__ __exit__ close flush",
    },
    "gathers in memory; what puts it on the disk is asked": {
        "Recorder": "input metric metrics parameter tag observation_point geographic_metadata said",
        **dict.fromkeys(("LowLevelWriter", "SimulationCatalog"), _IN_MEMORY),
    },
    "says what was learnt when somebody was allowed to": {
        "SimulationGroup": "__getitem__ __iter__ __len__ sim_ids",
        "SimulationCatalog": "notice",
        "InputsNamespace": "notice",
        "WorkspaceStore": "notice",
        "Result": "metric",
    },
    "says where something lies, or who was asked; what is there is not touched": {
        **dict.fromkeys(("IndexWriter", "MasterIndex"), "__init__"),
        "Entry": "path as_dict",
        "Run": "project workspace auth",
        "EventStore": "components log",
        "InputsNamespace": "store auth",
        "SimulationCatalog": "audit store observations stations vocabulary writer",
        "SimulationGroup": "plot",
        "DataCatalogDuckDB": "auth",
        "WorkspaceStore": "path database",
        "PipelineLibrary": "path",
        "Result": "store",
    },
    "makes objects of what somebody was allowed to read": {"PipelineLibrary": "build"},
    "is made by a verb that asks, or opens nothing": dict.fromkeys(
        (
            *(
                "AuditTrail",
                "Entry",
                "LowLevelWriter",
                "EventStore",
                "Run",
                "Recorder",
                "SimulationGroup",
                "CalibrationSession",
            ),
            *("Observations", "Stations", "Vocabulary", "Workflow", "PipelineLibrary", "Result"),
        ),
        "__init__",
    ),
    "reads the marker of the folder, which holds its id and name, and the names of folders": {
        "Workspace": "__init__ id name path projects",
        "Project": "__init__ name path workspace",
    },
}

PURE: dict[str, str] = {
    f"{kind}.{verb}": reason
    for reason, kinds in _EXCUSED.items()
    for kind, verbs in kinds.items()
    for verb in verbs.split()
} | {
    **dict.fromkeys(
        ("read_table", "read_timeseries", "timeseries_table", "to_series", "write_table"),
        "knows tables and files, no database; `Run` and `Recorder` ask before they hand it a file",
    ),
    "workspace_of": "says which workspace a database belongs to, by its path",
    "migrate": "is told whom to ask by its callers, the doors among them",
    "rebuild_store": "is told whom to ask by the catalog that hands it its store",
    "has_history": "looks beside a database for what it could be made from, for a door that has asked",
    "require_current": "is given a lease that was asked for",
    "create_database": "makes the file under a name of its own, for callers that have asked",
}


def _lock_file() -> Path:
    """Return a lock file that names nothing, outside the world."""
    path = Path(mkdtemp()) / "hydromodpy.lock"
    path.write_text("version = 1\ninput = []\n")
    return path


COMMANDS: dict[str, tuple[str, list[str]]] = {
    "acquisition export": (R_CATALOG, ["{measured}", "{home}/measured.jsonl"]),
    "acquisition follow": (R_CATALOG, ["{measured}"]),
    "acquisition gc": (W_CATALOG, []),
    "acquisition gc: what would go": (R_CATALOG, ["--dry-run"]),
    "acquisition ls": (R_CATALOG, []),
    "acquisition rebuild-index": (W_CATALOG, ["--project", "{project}"]),
    "acquisition show": (R_CATALOG, ["{measured}"]),
    "acquisition verify": (R_CATALOG, ["--deep"]),
    "catalog audit list": (R_CATALOG, []),
    "catalog audit verify": (R_CATALOG, []),
    "catalog best": (R_CATALOG, ["nse"]),
    "catalog diff": (R_CATALOG, ["base", "base"]),
    "catalog rank": (R_CATALOG, ["nse"]),
    "catalog watch": (R_CATALOG, ["--once"]),
    "catalog calibration": (R_CATALOG, []),
    "catalog export": (W_CATALOG, ["base", "--output", "{home}/again.hmprun"]),
    "catalog find": (R_CATALOG, ["solver=gr4j"]),
    "catalog gc": (R_CATALOG, []),
    "catalog gc: applied": (W_CATALOG, ["--apply"]),
    "catalog import": (W_CATALOG, ["{package}", "--rename"]),
    "catalog ls": (R_CATALOG, []),
    "catalog note": (W_CATALOG, ["base", "well"]),
    "catalog observations": (R_CATALOG, []),
    "catalog pack": (W_CATALOG, ["base"]),
    "catalog pin": (W_CATALOG, ["base"]),
    "catalog privacy list": (R_CATALOG, []),
    "catalog privacy verify": (R_CATALOG, ["{certificate}"]),
    "catalog purge": (W_CATALOG, ["thrown", "--reason", "asked for", "--yes"]),
    "catalog query": (R_CATALOG, ["SELECT * FROM simulations"]),
    "catalog rebuild": (W_CATALOG, []),
    "catalog rename": (W_CATALOG, ["base", "other"]),
    "catalog restore": (W_CATALOG, ["thrown"]),
    "catalog rm": (W_CATALOG, ["base"]),
    "catalog show": (R_CATALOG, ["base"]),
    "catalog stations": (R_CATALOG, []),
    "catalog trash": (R_CATALOG, []),
    "catalog trash: emptied": (W_CATALOG, ["--empty", "--yes"]),
    "catalog unpack": (W_CATALOG, ["base"]),
    "catalog vacuum": (W_CATALOG, []),
    "catalog vocabulary": (R_CATALOG, ["solvers"]),
    "catalog workflow list": (R_CATALOG, []),
    "catalog workflow show": (R_CATALOG, ["model"]),
    "catalog tag": (W_CATALOG, ["base", "paper"]),
    "data add": (W_CACHE, ["{file}", "--variable", "discharge", "--station", "new"]),
    "data add: several": (W_CACHE, ["{file}", "{file}", "--variable", "discharge", "--station", "new"]),
    "data archive": (R_CACHE, ["{file}.hmpdata"]),
    "data check": (R_CACHE, []),
    "data check: and fix": (W_CACHE, ["--fix"]),
    "data check: what was not accepted": (R_CACHE, ["--rejected"]),
    "data coverage": (R_CACHE, ["variable=discharge"]),
    "data failures": (R_CACHE, []),
    "data fetch": (W_CACHE, ["file://{file}", "--variable", "discharge"]),
    "data fetch: several": (W_CACHE, ["file://{file}", "file://{file}", "--variable", "discharge"]),
    "data fetch: from a source": (W_CACHE, ["--variable", "discharge", "--source", "usgs", "--station", "01646500"]),
    "data gaps": (R_CACHE, ["--variable", "discharge", "--source", "usgs", "--station", "01646500"]),
    "data find": (R_CACHE, ["variable=discharge"]),
    "data import": (W_CACHE, ["{file}"]),
    "data lock": (W_CACHE, []),
    "data ls": (R_CACHE, []),
    "data prune": (R_CACHE, ["--superseded"]),
    "data prune: done": (W_CACHE, ["--superseded", "--apply"]),
    "data rebuild": (W_CACHE, []),
    "data refresh": (W_CACHE, []),
    "data remove": (R_CACHE, ["q"]),
    "data remove: done": (W_CACHE, ["q", "--apply"]),
    "data restore": (W_CACHE, ["q"]),
    "data stations": (R_CACHE, []),
    "data show": (R_CACHE, ["q"]),
    "data sources": (R_CACHE, []),
    "data sources: on record": (W_CACHE, ["--record"]),
    "data verify": (R_CACHE, []),
    "db backup": (f"{W_CATALOG}, {W_CACHE}, {W_INDEX}", ["{workspace}"]),
    "db restore": (W_CATALOG, ["{workspace}", "--database", "base"]),
    "db restore: what there is": (f"{R_CATALOG}, {R_CACHE}, {R_INDEX}", ["{workspace}", "--list"]),
    "db vacuum": (f"{W_CATALOG}, {W_CACHE}, {W_INDEX}", ["{workspace}"]),
    "db verify": (f"{R_CATALOG}, {R_CACHE}, {R_INDEX}", ["{workspace}"]),
    "db fold": (f"{R_CATALOG}, {R_CACHE}", ["{workspace}"]),
    "db refused": (f"{R_CATALOG}, {R_CACHE}, {R_INDEX}", ["{workspace}"]),
    "db status": (f"{R_CATALOG}, {R_CACHE}, {R_INDEX}", ["{workspace}"]),
    "db unlock": (f"{W_CATALOG}, {W_CACHE}, {W_INDEX}", ["{workspace}"]),
    "db unlock: by force": (f"{W_CATALOG}, {W_CACHE}, {W_INDEX}", ["{workspace}", "--force"]),
    "db upgrade": (f"{W_CATALOG}, {W_CACHE}, {W_INDEX}", ["{workspace}"]),
    "db waiting": (f"{R_CATALOG}, {R_CACHE}", ["{workspace}"]),
    "demo": (W_CACHE, ["{new}"]),
    "experiment export": (R_CATALOG, ["trained", "{home}/model.n4a"]),
    "experiment gc": (W_CATALOG, []),
    "experiment ls": (R_CATALOG, []),
    "experiment replay": (R_CATALOG, ["trained", "{samples}"]),
    "experiment show": (R_CATALOG, ["trained"]),
    "experiment templates export": (R_CATALOG, ["plain", "{home}/again.json"]),
    "experiment templates import": (W_CATALOG, ["{template}", "--category", "new"]),
    "experiment templates ls": (R_CATALOG, []),
    "experiment templates rm": (W_CATALOG, ["plain"]),
    "experiment templates show": (R_CATALOG, ["plain"]),
    "experiment top": (R_CATALOG, []),
    "experiment vacuum": (W_CATALOG, []),
    "doctor": (f"{R_CATALOG}, {R_CACHE}, {R_INDEX}", ["{workspace}"]),
    "export prov": (BOTH, ["base", "--project", "{project}"]),
    "export ro-crate": (BOTH, ["base", "--project", "{project}", "--output", "{home}/crate.zip"]),
    "index find": (R_INDEX, ["solver=gr4j"]),
    "index forget": (W_INDEX, ["aare"]),
    "index health": (R_INDEX, []),
    "index ls": (R_INDEX, []),
    "index prune": (W_INDEX, []),
    "index projects": (R_INDEX, []),
    "index rebuild": (W_INDEX, []),
    "index rebuild: below a folder": (W_INDEX, ["{workspace}", "--below", "{workspace}"]),
    "index refresh": (R_INDEX, ["--all"]),
    "index register": (W_INDEX, ["{workspace}", "--label", "another"]),
    "index relocate": (W_INDEX, ["aare", "{workspace}"]),
    "index search": (R_INDEX, ["base"]),
    "index sql": (R_INDEX, ["SELECT * FROM workspaces"]),
    "index sql: live": (R_INDEX, ["--live", "SELECT * FROM all_simulations"]),
    "init": (W_CACHE, ["{new}"]),
    "init: a project": (W_CATALOG, ["{workspace}", "--project", "new"]),
    "lineage": (BOTH, ["base", "--project", "{project}"]),
    "lineage: what is stale": (BOTH, ["--stale", "--project", "{project}"]),
}

#: Commands that report on several things and go on: what they may not look into is a finding, with its own exit code.
REPORTS: dict[str, int] = {"doctor": 1}


# ── what there is ────────────────────────────────────────────────────────────────────────────────────


def verbs_there_are() -> set[str]:
    """Return the names of the public verbs, as the table writes them."""
    found = {f"{kind.__name__}.{name}" for kind in CLASSES for name in _members(kind)}
    for module in MODULES:
        found |= {_name(module, verb) for verb in _functions(module)}
    return found


def _members(kind: type) -> set[str]:
    ours = [base for base in kind.__mro__ if base.__module__.startswith(("hmp_", "hydromodpy"))]
    verbs = (property, cached_property, classmethod, staticmethod)
    return {
        name
        for base in ours
        for name, value in vars(base).items()
        if (not name.startswith("_") or name in _DUNDERS) and (callable(value) or isinstance(value, verbs))
    }


def _functions(module: str) -> Iterator[str]:
    """Yield the public functions: those in ``__all__``, else those that are defined there."""
    there = import_module(module)
    listed = getattr(there, "__all__", None)
    for name, value in vars(there).items():
        plain = callable(value) and not isinstance(value, type)
        chosen = name in listed if listed is not None else getattr(value, "__module__", "") == module
        if plain and chosen and not name.startswith("_"):
            yield name


def _name(module: str, verb: str) -> str:
    scope = module.partition(".")[0]
    shared = {"open", "init", "demo", "index"} if scope == "hydromodpy" else {"open"}
    return f"{scope}.{verb}" if verb in shared else verb


def classes_there_are() -> set[type]:
    """Return the classes that the scopes show and that are more than records and errors."""
    shown = [there for module in MODULES if hasattr(there := import_module(module), "__all__")]
    kinds = {value for there in shown for name in there.__all__ if isinstance(value := getattr(there, name), type)}
    return {kind for kind in kinds if not issubclass(kind, Exception) and not _is_record(kind)}


def _is_record(kind: type) -> bool:
    return hasattr(kind, "__dataclass_fields__") and kind not in CLASSES


def commands_there_are() -> set[str]:
    """Return every command, without ``hmp``."""
    points = entry_points(group="hmp.verbs")
    return {name for point in points for name in _below(point.name, point.load())}


def _below(path: str, command: Any) -> list[str]:
    inner = getattr(command, "commands", None)
    return [name for one in inner for name in _below(f"{path} {one}", inner[one])] if inner else [path]
