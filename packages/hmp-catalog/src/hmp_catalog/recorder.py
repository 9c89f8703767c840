"""A run while it is being made: what is said of it gathers here, and is on the disk before anybody is told.

State of a run: ``opened`` (its event is in the log), then its folder exists, then its files, then ``run.json``, then
``sealed`` (its event is in the log). A process may die between any two of these. Before ``run.json`` is whole the
run is open and its owner dead: it shows as interrupted. From then on it is sealed: the fold finds the manifest and
tells the event that could not be logged any more.
"""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hmp_catalog import artifacts, folders, manifest
from hmp_catalog.errors import SealedRunError
from hmp_catalog.facts import ENDS, EXTENT, GLOBAL_ZONE, OUTLET, metric_facts, parameter_facts
from hmp_catalog.geography import RunGeography, epsg
from hmp_catalog.plain import fingerprint, from_microseconds, plain, printable
from hmp_catalog.records import FileRecord, RunSpec, tag_names
from hmp_catalog.reuse import identity
from hmp_catalog.said import Said
from hmp_core.durable import fsync_folder, translated
from hmp_core.errors import HmpError, InvalidInput
from hmp_core.identity import random_id
from hmp_core.locks import this_process
from hmp_core.paths import to_relative

if TYPE_CHECKING:
    from hmp_catalog.claims import Claim
    from hmp_catalog.fields import SimulationZarr
    from hmp_catalog.run import Run
    from hmp_catalog.tables import TableSet
    from hmp_core.events import Event, EventStore


class Recorder:
    """Records one run; made by `SimulationCatalog.record`, used in a ``with`` block.

    Leaving the block seals the run as ``completed``; an exception seals it as ``failed`` with its traceback, and
    goes on.
    """

    def __init__(self, store: EventStore, project: Path, workspace: Path, spec: RunSpec) -> None:
        self._store = store
        self._project = project
        self._workspace = workspace
        self._began = 0.0
        self._said = Said(spec, project, workspace)
        self._artifacts: list[FileRecord] = []
        self._files: list[FileRecord] | None = None
        self._written: list[FileRecord] = []
        self._tables: TableSet | None = None
        self._fields: SimulationZarr | None = None
        self._opened: Event | None = None
        self._seal: Event | None = None
        self._sealed = False
        #: what is to be done before anything is said of a run that stands for a finished one (see `hmp_catalog.reuse`)
        self.later: Callable[[], Any] | None = None
        #: the finished run that is the same, with ``record(..., reuse=True)``: there is nothing to do then
        self.reused: Run | None = None
        #: while it runs, others that want the same simulation wait (see `hmp_catalog.claims`)
        self.claim: Claim | None = None
        self._process = os.getpid()
        for name, value in spec.parameters.items():
            self.parameter(name, value)
        self.sim_id = spec.sim_id or str(random_id())
        self.folder = self._place()
        self._extent: dict[str, Any] = dict.fromkeys(EXTENT)

    @property
    def said(self) -> Said:
        """What was said of it so far, which until it is sealed may be said anew.

        Raises
        ------
        SealedRunError
            If it is sealed.
        """
        self._require_open()
        return self._said

    def _place(self) -> Path:
        return folders.folder_of(self._project, self._said.spec.name or self._said.spec.solver, self.sim_id)

    def __repr__(self) -> str:
        return f"<Recorder {self._said.spec.name or self.sim_id[:8]}: {'sealed' if self._sealed else 'open'}>"

    # ── opening ──────────────────────────────────────────────────────────────────────────────────────

    def begin(self) -> Recorder:
        """Put the run on record as open and make its folder; `SimulationCatalog.record` does it."""
        self._may_write()
        spec = self._said.spec
        self.folder = self._place()
        while spec.sim_id is None and self.folder.exists():
            self.sim_id = str(random_id())
            self.folder = self._place()
        self._relative = to_relative(self.folder, self._workspace)
        self._geography = RunGeography(self.folder, self._said)
        folders.require_room(self.folder, self.sim_id)
        payload = {
            "sim_id": self.sim_id,
            "name": spec.name,
            "project": self._project.name,
            "solver": spec.solver,
            "folder": self.folder.name,
            "path": self._relative,
            "owner": this_process().as_dict(),
            "about": spec.about(),
        }
        self._began = time.perf_counter()
        self._opened = self._store.append("run.opened", payload)
        folders.make(self.folder, self.sim_id)
        return self

    # ── what is said of the run ──────────────────────────────────────────────────────────────────────

    def parameter(self, name: str, value: Any, *, unit: str | None = None, zone: str = GLOBAL_ZONE) -> None:
        """Set a parameter: a number, text, a bool or None; ``zone`` where it differs in space."""
        self._require_open()
        self._said.parameters[name, zone] = parameter_facts(name, value, unit=unit, zone=zone)

    def metric(
        self,
        name: str,
        value: float,
        *,
        station: str = OUTLET,
        variable: str = "",
        period: tuple[Any, Any] | None = None,
        n_samples: int | None = None,
    ) -> None:
        """Set a metric, as ``rec.metric("nse", 0.83, station="outlet", variable="discharge")``.

        Parameters
        ----------
        name
            As in ``metric_definitions``: "nse", "kge", "rmse", ...; another name is allowed.
        value
            A number; NaN means that it could not be computed.
        station, variable
            What was compared; one value per name, station and variable.
        period
            First and last time compared.
        n_samples
            How many pairs were compared.
        """
        self._require_open()
        self._said.metrics[name, station, variable] = metric_facts(
            name, value, station=station, variable=variable, period=period, n_samples=n_samples
        )

    def metrics(self, values: Mapping[str, float], **where: Any) -> None:
        """Set several metrics measured at the same place (see `metric`)."""
        for name, value in values.items():
            self.metric(name, value, **where)

    def input(self, *items: Any) -> None:
        """Say that the run consumed cache entries, or files of the workspace."""
        self._require_open()
        self._said.consume(*items)

    def tag(self, *tags: str) -> None:
        """Add tags."""
        self._require_open()
        self._said.tags.update(dict.fromkeys(tag_names(tags)))

    def timeseries(self, variable: str, series: Any, *, station: str = "outlet", unit: str = "") -> None:
        """Keep a time series in ``tables/timeseries.parquet``.

        Parameters
        ----------
        variable
            What it is: "discharge", "head", ...
        series
            A pandas Series with a DatetimeIndex, an xarray DataArray with ``time``, or (times, values).
        station, unit
            Where, and in which UDUNITS unit.
        """
        self._table_set().timeseries(variable, series, station=station, unit=unit)

    def table(self, kind: str, frame: Any, **more: Any) -> None:
        """Keep a table in ``tables/<kind>.parquet``; more rows of the same kind go to the same file.

        ``keys=`` and ``units=`` are those of `hmp_catalog.tables.TableSet.add`.
        """
        self._table_set().add(kind, frame, **more)

    def field(
        self, name: str, array: Any, *, dims: tuple[str, ...] | None = None, time: Any = None, **more: Any
    ) -> None:
        """Keep a field in ``fields.zarr`` (CF Zarr), or further steps of one that begins with time.

        See `hmp_catalog.fields.SimulationZarr.write_field`.
        """
        self.fields.write_field(name, array, dims, time=time, **more)

    def import_modflow(self, folder: Any, **more: Any) -> list[str]:
        """Keep what MODFLOW 6 left in a folder: heads, budgets and the grid, read with flopy (extra ``[modflow]``).

        Parameters
        ----------
        folder
            Where the binary grid file (``.grb``) lies, with heads (``.hds``) and budget (``.cbc``, ``.bud``) or one of
            them, and the ``.tdis`` if there is one.
        **more
            ``model`` (what its files begin with, where a folder holds several), ``start`` (when the model's time 0 is)
            and ``time_units`` ("seconds", "minutes", "hours", "days", "years"), by default those of the TDIS;
            ``length_unit`` ("m"); ``missing`` (HDRY, HNOFLO, where they are not 1e30 or -1e30).

        Returns
        -------
        list of str
            The fields: ``head``, ``top``, ``bottom``, ``idomain``, ``budget_...``. Along ``time`` where the start is
            known, else along ``step`` with the elapsed time beside it. The table ``budget`` has what went in and out
            by package and step.

        Raises
        ------
        PathNotFound, AmbiguousReference, CorruptError, MissingPart
            If there is nothing to read, more than one model, a damaged file, or no flopy.
        """
        from hmp_catalog.modflow import import_folder

        self._require_files()
        return import_folder(self, folder, **more)

    def artifact(self, path: Any, name: str | None = None) -> None:
        """Keep a copy of a file in ``artifacts/``.

        Raises
        ------
        PathNotFound
            If ``path`` is no file.
        InvalidInput
            If ``name`` (by default that of the file) is not a plain new name, or the file is a database.
        """
        self._require_files()
        self._artifacts.append(artifacts.keep(self.folder, path, name))

    # ── where it is ──────────────────────────────────────────────────────────────────────────────────

    def observation_point(self, station: str, x: float, y: float, **where: Any) -> None:
        """Say where a station lies in the mesh.

        Parameters
        ----------
        station
            As its observations call it.
        x, y
            In the coordinate system of the run.
        **where
            ``cell`` (number of its cell), ``layer``, ``crs`` (where it is another than that of the run).
        """
        self._require_open()
        if unknown := sorted(where.keys() - {"cell", "layer", "crs"}):
            message = f"observation_point() knows no {', '.join(unknown)}; it takes cell, layer, crs"
            raise InvalidInput(message)
        self._geography.point(station, x, y, where)

    def geographic_metadata(self, key: str, value: Any, unit: str | None = None) -> None:
        """Say a figure or a word about the catchment: ``rec.geographic_metadata("area", 2945.0, "km2")``."""
        self._require_open()
        self._geography.say(key, value, unit)

    def geographic_feature(self, name: str, features: Any, *, crs: Any = None) -> None:
        """Keep a layer of points, lines or polygons as GeoParquet, in ``geography/<name>.parquet``.

        Parameters
        ----------
        name
            What the layer is: "catchment", "rivers", ...
        features
            GeoJSON (a geometry, a feature, a collection, or a list of these), a GeoDataFrame, or an Arrow table whose
            column ``geometry`` is WKB.
        crs
            WKT, an EPSG code, or a CRS of pyproj; by default that of the features, else that of the run.

        Raises
        ------
        InvalidInput
            If the features are none of these, or the run has a layer of that name.
        """
        self._require_files()
        self._geography.feature(name, features, crs)

    # ── sealing ──────────────────────────────────────────────────────────────────────────────────────

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: Any) -> None:
        if self.later is not None:  # it was finished long ago, and nothing more was said
            return
        if self._sealed or os.getpid() != self._process:  # a forked child leaves the block too: it is not its run
            return
        if error is None:
            self.seal()
            return
        status = "failed" if isinstance(error, Exception) else "aborted"
        try:
            self.seal(status, error="".join(traceback.format_exception_only(error)).strip(), details=error)
        except (HmpError, OSError) as second:
            # what went wrong first is what the user must see
            error.add_note(f"run {self.sim_id[:8]} could not be sealed either, and stays open: {second}")
        finally:
            self._let_go()

    def seal(
        self, status: str = "completed", *, error: str | None = None, details: BaseException | None = None
    ) -> None:
        """Put everything on the disk and on record; afterwards the run does not change.

        Parameters
        ----------
        status
            How it ended: completed, partial, failed or aborted.
        error, details
            What went wrong: in a line, and the exception whose traceback is kept.

        Raises
        ------
        SealedRunError
            If it is sealed already.
        InvalidInput
            For another status, or from another process.
        StorageError
            If the disk is full: the run stays open, nothing is acknowledged; make room and seal again.
        """
        self._require_open()
        if os.getpid() != self._process:
            message = f"run {self.sim_id[:8]} belongs to process {self._process}, which opened it"
            raise InvalidInput(message)
        if status not in ENDS:
            message = f"status is {status!r}, expected one of {', '.join(ENDS)}"
            raise InvalidInput(message)
        self._may_write()
        if self._seal is None:
            trace = "".join(traceback.format_exception(details)) if details else None
            self._seal = self._write(status, {"error": self._portable(error), "traceback": self._portable(trace)})
        # a manifest that is whole tells its run: when only the log refused, the same seal is tried again
        self._store.commit([self._seal])
        self._sealed = True
        self._let_go()
        if self._said.spec.pack and self._written:
            from hmp_catalog import packing

            packing.pack(self._store, self.folder)

    def _let_go(self) -> None:
        """Let those who wait for the same simulation go on."""
        if self.claim is not None:
            self.claim.release()

    def _portable(self, said: str | None) -> str | None:
        """Errors name files; in a workspace that moves, they lie relative to it."""
        return None if said is None else printable(said.replace(str(self._workspace), "<workspace>"))

    def _write(self, status: str, ending: dict[str, Any]) -> Event:
        files = self._close_files()
        event = self._store.prepare("run.sealed", {})
        content = self._manifest(event, status, files)
        content["run"] |= ending
        with translated(self.folder):
            checksum = manifest.write(self.folder, content)
            fsync_folder(self.folder.parent)
        event.payload.update(manifest.sealing_payload(content["run"], checksum))
        return event

    def _close_files(self) -> list[FileRecord]:
        """Put the files in place; each once, also when a full disk interrupts and `seal` is called again."""
        self._files = self._files or []
        with translated(self.folder):
            if self._tables is not None:
                self._files += self._tables.close()
                self._tables = None
            if self._fields is not None:
                written = self._fields.finalize()
                from hmp_catalog import extent  # and with it everything that arrays need: none of it to find a run

                self._extent = extent.of_store(self.folder / "fields.zarr", written)
                self._files += written
                self._fields = None
            self._geography.flush()
            if self._artifacts:
                fsync_folder(self.folder / "artifacts")
        self._written = self._files + self._geography.files + self._artifacts
        return self._written

    def _manifest(self, event: Event, status: str, files: list[FileRecord]) -> dict[str, Any]:
        assert self._opened is not None
        return {
            "format": manifest.FORMAT,
            "version": manifest.VERSION,
            "event": manifest.event_facts(event),
            "opened": manifest.event_facts(self._opened),
            "run": self._facts(event, self._opened, status),
            "config": self._said.spec.config,
            "parameters": list(self._said.parameters.values()),
            "metrics": list(self._said.metrics.values()),
            "inputs": self._said.files(),
            "geography": self._geography.facts(),
            "tags": list(self._said.tags),
            "environment": self._said.environment,
            "files": [f.as_dict() for f in files],
        }

    def _facts(self, event: Event, opened: Event, status: str) -> dict[str, Any]:
        spec = self._said.spec
        return {
            "sim_id": self.sim_id,
            "name": spec.name,
            "project": self._project.name,
            "solver": spec.solver,
            "status": status,
            "folder": self.folder.name,
            "path": self._relative,
            "seed": spec.seed,
            "parent_sim_id": spec.parent,
            "lineage_kind": spec.lineage,
            "config_source": spec.config_source,
            "config_hash": fingerprint(spec.config) if spec.config else None,
            "identity_hash": identity(self._said),
            "started_at": plain(from_microseconds(opened.at)),
            "ended_at": plain(from_microseconds(event.at)),
            "duration_s": round(time.perf_counter() - self._began, 6),
            "owner": this_process().as_dict(),
            **spec.about(),
            **self._extent,
            "crs_epsg": epsg(spec.crs),
            "geographic_fingerprint": self._geography.fingerprint(self._extent["mesh_hash"], spec.bbox, spec.crs),
        }

    # ── rooms of the run ─────────────────────────────────────────────────────────────────────────────

    def _table_set(self) -> TableSet:
        self._require_files()
        if self._tables is None:
            from hmp_catalog.tables import TableSet

            self._tables = TableSet(self.folder, run_id=self.sim_id)
        return self._tables

    @property
    def fields(self) -> SimulationZarr:
        """The store of its fields, begun when it is first asked for."""
        self._require_files()
        if self._fields is None:
            from hmp_catalog.fields import SimulationZarr

            assert self._opened is not None
            self._fields = SimulationZarr.create(
                self.folder / "fields.zarr",
                title=self._said.spec.name or self._said.spec.solver,
                run_id=self.sim_id,
                date_created=from_microseconds(self._opened.at // 1_000_000 * 1_000_000),
                crs=self._said.spec.crs,
                attributes=self._said.spec.discovery() | {"project": self._project.name},
            )
        return self._fields

    def _require_open(self) -> None:
        if self.later is not None:
            later, self.later = self.later, None
            try:
                later()
            except BaseException:
                self.later = later
                raise
        if self._sealed:
            message = (
                f"run {self.sim_id[:8]} is sealed; add tags, notes or metrics through its Run, or record a new one"
            )
            raise SealedRunError(message)

    def _may_write(self) -> None:
        """Files of a run are changed on the word of the authority too, before any of them is touched."""
        self._store.authorize(write=True, what=f"write run {self.sim_id[:8]}")

    def _require_files(self) -> None:
        self._require_open()
        self._may_write()
        if self._files is not None:
            message = f"run {self.sim_id[:8]} was about to be sealed, and its files are closed; call seal() again"
            raise SealedRunError(message)
