"""The catalog of a project: record simulations, find them again, read what they left behind."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hmp_catalog import naming, queries, refs, reuse
from hmp_catalog.audit import AuditTrail
from hmp_catalog.calibration import CalibrationSession
from hmp_catalog.fold import FOLD
from hmp_catalog.gc import shrink, sweep
from hmp_catalog.group import SimulationGroup
from hmp_catalog.hints import hint
from hmp_catalog.lifecycle import Lifecycle
from hmp_catalog.observations import Observations
from hmp_catalog.plain import real, word
from hmp_catalog.rebuilding import has_history, rebuild_store
from hmp_catalog.recorder import Recorder
from hmp_catalog.run import Run
from hmp_catalog.stations import Stations
from hmp_catalog.vocabulary import Vocabulary
from hmp_catalog.watch import open_runs
from hmp_catalog.workflow import Workflow, steps_of, workflow_runs
from hmp_catalog.writes import LowLevelWriter, verb
from hmp_core.arrivals import announce
from hmp_core.databases import Database
from hmp_core.errors import DatabaseNotFound, MigrationPending
from hmp_core.events import EventStore
from hmp_core.layout import anchor, catalog_path
from hmp_core.locks import DEFAULT_TIMEOUT
from hmp_core.paths import to_local
from hmp_core.questions import ask

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from upath import UPath

    from hmp_catalog.gc import Leftover
    from hmp_catalog.package import Package
    from hmp_catalog.privacy import Certificate
    from hmp_catalog.records import Difference
    from hmp_core.events.store import Notice
    from hmp_core.protocols import AuthBackend, BackendFactory, BulkBackend
    from hmp_core.upkeep.vacuum import Vacuumed


class SimulationCatalog:
    """The simulations of one project; `hmp_catalog.open` makes it.

    Parameters
    ----------
    project
        The project folder.
    create
        Make the database if it is not there; from the run folders and the log, if there are any.
    read_only, auth, timeout, backend
        See `hmp_catalog.open`.
    """

    def __init__(
        self,
        project: str | Path | UPath,
        *,
        create: bool = False,
        read_only: bool = False,
        auth: AuthBackend | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        backend: BackendFactory | None = None,
    ) -> None:
        # links followed: what is recorded lies where it really is
        self.path = Path(os.path.realpath(to_local(project)))
        self.workspace = anchor(self.path)
        self._timeout = timeout
        #: the authority that was given; None where the workspace or the environment names it
        self.auth = auth
        database = Database("catalog", catalog_path(self.path))
        self._store = EventStore(
            database.path,
            FOLD,
            auth=database.auth() if auth is None else auth,
            resource=database.resource,
            timeout=timeout,
            read_only=read_only,
            backend=backend,
        )
        self._lifecycle = Lifecycle(self._store, timeout=timeout)
        self._enter(create=create, read_only=read_only)
        self._lifecycle.finish()
        if not read_only:
            announce(self.workspace)

    def _enter(self, *, create: bool, read_only: bool) -> None:
        if self._store.path.exists():
            self._arrive(read_only=read_only)
            return
        if not create or read_only:
            remedy = "`hmp catalog rebuild` makes it from the runs" if has_history(self._store) else "pass create=True"
            message = f"{self.path} has no catalog.duckdb; {remedy}"
            raise DatabaseNotFound(message, path=str(self._store.path))
        if has_history(self._store):
            rebuild_store(self._store, auth=self.auth, timeout=self._timeout)
        else:
            self._store.prepare_schema()
        self._arrive(read_only=read_only)

    def _arrive(self, *, read_only: bool) -> None:
        """Read once: what cannot be read is refused here, at the door. An older database is brought up to date."""
        try:
            with self._store.reading(tables=False):
                return
        except MigrationPending:
            if read_only:
                raise
        self._store.prepare_schema()
        with self._store.reading(tables=False):
            pass

    def __reduce__(self) -> tuple[Any, ...]:
        # a worker of joblib or dask opens the catalog for itself: locks and leases do not travel
        about: dict[str, Any] = {"auth": self.auth, "timeout": self._timeout, "read_only": self._store.read_only}
        return functools.partial(SimulationCatalog, backend=self._store.backend_factory, **about), (str(self.path),)

    def __repr__(self) -> str:
        return f"<SimulationCatalog {self.path.name}: {self._store.path}>"

    def _repr_html_(self) -> str:
        from hmp_catalog.shown import catalog_html

        return catalog_html(self)

    # ── recording ────────────────────────────────────────────────────────────────────────────────────

    def record(
        self,
        solver: str,
        *,
        name: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        inputs: Sequence[Any] = (),
        if_exists: Literal["keep", "fail", "version", "replace"] = "keep",
        **about: Any,
    ) -> Recorder:
        """Record a simulation; use it in a ``with`` block.

        Parameters
        ----------
        solver
            What computed it: "gr4j", "modflow6", ...
        name
            What people call it; two runs may have the same name, which then means the newest finished one.
        parameters
            Name -> value.
        inputs
            What it consumed: cache entries, or files of the workspace. Their bytes are hashed now.
        if_exists
            What to do where the name exists already: "keep" both; "fail"; "version" calls this one ``<name>.v2``, or by
            the number after the last; "replace" moves the others to the trash. All but "keep" need the database.
        **about
            ``config`` (mapping), ``tags`` (list), ``seed``, ``parent`` (a run, or a reference to one), ``description``,
            ``scientific_objective``, ``contact_email``, ``study_area``, ``flow_regime``, ``mesh_topology``,
            ``period`` (first and last time), ``bbox`` (xmin, ymin, xmax, ymax), ``crs``, ``outlet`` (x, y),
            ``lineage`` (how it follows from its parent), ``config_source`` (where the configuration was read),
            ``solver_binary`` (a file, which is hashed), ``solver_version``, ``additional_solvers`` (mapping),
            ``pack`` (True: what it leaves behind becomes one file once it is sealed, see `Run.pack`),
            ``reuse`` (True: where a finished run is the same, it is ``rec.reused``: skip the work then. `simulate` does
            so by itself). With it ``if_running``, what to do where another process or thread is running the same
            simulation: "wait" for it (at most ``wait`` seconds, 3600 unless said), "fail", or "run" it beside.

        Returns
        -------
        Recorder
            ``rec.metric(...)``, ``rec.timeseries(...)``, ``rec.field(...)``, ``rec.table(...)``; ``rec.sim_id``.

        Raises
        ------
        InvalidInput
            For a value that cannot be kept, or an unknown keyword.
        InputChanged
            If an input's bytes are not those that the cache registered.
        DuplicateSimulationName
            With ``if_exists="fail"``.
        NotWritable, StorageError
            If it cannot be recorded here.
        BusyError
            With ``reuse``, if the same simulation is still running; says in which process.
        """
        said = {"solver": solver, "name": name, "parameters": parameters or {}, "inputs": inputs}
        return naming.record(self, said | about, if_exists)

    def simulate(self, solver: str, work: Callable[[Recorder], Any], **about: Any) -> Run:
        """Return the finished run of an identical simulation; where there is none, do the work and record it.

        Identical are solver, its version and binary, configuration, parameters, seed, period, extent, mesh and the
        SHA-256 of every input. See `hmp_catalog.reuse`. Of several that ask at once one does the work, and the others
        wait for it; where it fails or its process dies, the next does the work.

        Parameters
        ----------
        solver, **about
            As for `record`: ``if_running`` ("wait", "fail" or "run") and ``wait`` (seconds, 3600 unless said) too.
        work
            Called with the recorder, and only if it has to be done.

        Raises
        ------
        BusyError
            If another process or thread is still running it; says which.

        Examples
        --------
        ``run = cat.simulate("gr4j", lambda rec: rec.metric("nse", model(x1=320.0)), parameters={"x1": 320.0})``
        """
        return reuse.simulate(self, solver, work, about)

    def calibration(
        self,
        method: str,
        *,
        objective: str,
        config: Mapping[str, Any] | None = None,
        seed: int | None = None,
        session: str | None = None,
    ) -> CalibrationSession:
        """Record a calibration; use it in a ``with`` block.

        Parameters
        ----------
        method
            The algorithm, as "sce-ua".
        objective
            What is minimised, as "1 - kge".
        config
            Bounds, repetitions, ... (plain values).
        seed
            Of the random numbers.
        session
            The id of an open session to add trials to, from another process.
        """
        about = {"method": method, "objective": objective, "config": config, "seed": seed, "session": session}
        return CalibrationSession(self._store, record=self.record, **about)  # type: ignore[arg-type]

    def workflow(self, name: str, *, config: Mapping[str, Any] | None = None, resume: bool = True) -> Workflow:
        """Run a workflow step by step; use it in a ``with`` block.

        Parameters
        ----------
        name
            What it is called; runs of the same name take over each other's steps.
        config
            What all its steps depend on.
        resume
            Take over what earlier runs completed; without it every step is done.

        Returns
        -------
        Workflow
            ``wf.step("mesh", make_mesh, inputs=[dem], config={"size": 50})`` returns what the step gives.
        """
        return Workflow(self._store, self.workspace, name, config=config, resume=resume).begin()

    # ── finding ──────────────────────────────────────────────────────────────────────────────────────

    def find(self, **filters: Any) -> SimulationGroup:
        """Return the simulations that fit, newest first; none is an empty group.

        Parameters
        ----------
        **filters
            Columns (``solver``, ``status``, ``name``, ``study_area_name``, ``created_at``, ...), ``tags`` (one, or a
            list of which all are needed), metrics (``nse_gt=0.7``), parameters (``**{"param.x1_gt": 300}``), ``text``
            (words in name, description, objective). Suffixes ``_gt _gte _lt _lte _ne _like``; a list means any of.

        Raises
        ------
        UnknownFilter
            For a key nobody knows; lists the valid ones. It is a ``ValueError``.
        InvalidInput
            For a status that there is not. A solver, name, tag or parameter that nobody recorded is none: the group is
            empty, and its ``hint`` says which are near.

        Examples
        --------
        ``cat.find(solver="gr4j", nse_gt=0.7, tags="paper").best("nse").parameters``
        """
        with self._store.reading(tables=False) as backend:
            found = queries.find(backend, filters)
            return SimulationGroup(self, found, hint="" if found else hint(backend, filters))

    def __getitem__(self, reference: str) -> Run:
        with self.reading() as backend:
            return Run(self, refs.resolve_in(self._store, backend, reference))

    def __len__(self) -> int:
        return len(self.find())

    def __iter__(self) -> Iterator[Run]:
        return iter(self.find())

    def latest(self, **filters: Any) -> Run:
        """Return the newest finished simulation (that fits the filters)."""
        return self.find(**({"status": "completed"} | filters))[0] if filters else self["@latest"]

    def rank(self, metric: str, n: int | None = None, *, ascending: bool | None = None, **fits: Any) -> SimulationGroup:
        """Return the ``n`` best finished simulations (that fit the filters), best first; see `SimulationGroup.ranked`.

        ``ascending`` orders by the value itself, and not by the metric's own direction.
        """
        return self.find(**fits).rank(metric, n, ascending=ascending)

    def diff(self, left: str | Run, right: str | Run) -> list[Difference]:
        """Return how two simulations differ: parameters, metrics, configuration, inputs, environment.

        Raises
        ------
        PathNotFound
            If one is not sealed.
        """
        from hmp_catalog.difference import difference

        return difference(*(one if isinstance(one, Run) else self[one] for one in (left, right)))

    def open_runs(self) -> list[dict[str, Any]]:
        """Return the simulations that are running, or were interrupted, with their age and last sign of life."""
        return open_runs(self)

    def best(self, metric: str, **filters: Any) -> Run:
        """Return the best finished simulation by the metric's own direction; NaN never wins."""
        return self.find(**filters).best(metric)

    @property
    def table(self) -> pa.Table:
        """All simulations as an Arrow table, a row each, newest first; metrics and parameters as columns."""
        return self.find().table

    @property
    def frame(self) -> pd.DataFrame:
        """All simulations as a pandas DataFrame (see `table`)."""
        return self.find().frame

    def calibrations(self) -> list[dict[str, Any]]:
        """Return the calibration sessions, newest first."""
        with self.reading() as backend:
            return queries.calibrations(backend)

    def workflows(self, name: str | None = None) -> list[dict[str, Any]]:
        """Return the runs of workflows, newest first; one whose process died is ``interrupted``."""
        with self.reading() as backend:
            return workflow_runs(queries.workflow_steps(backend), name)

    def workflow_steps(self, run: str) -> list[dict[str, Any]]:
        """Return the steps of a run: its id, the head of it, or the name of a workflow for its newest run.

        Raises
        ------
        NotFound, AmbiguousReference
            If there is no such run, or several begin so.
        """
        with self.reading() as backend:
            return steps_of(queries.workflow_steps(backend), run)

    def trials(self, session: str) -> pa.Table:
        """Return the trials of a calibration session, in the order they were made.

        Raises
        ------
        NotFound
            If there is no such session.
        """
        with self.reading() as backend:
            known = queries.session_id(backend, session)
            return queries.trials(backend, known)

    def sql(self, query: str, params: Sequence[Any] = ()) -> pa.Table:
        """Return the answer to one SQL question, as ``SELECT`` or ``FROM``; anything that does something is refused."""
        with self.reading() as backend:
            return ask(backend, query, params)

    # ── by id, where a ``with`` block does not fit ───────────────────────────────────────────────────

    @cached_property
    def writer(self) -> LowLevelWriter:
        """Holds the simulations that were registered by id and are not finalized."""
        return LowLevelWriter(self)

    register_simulation = verb(LowLevelWriter.register_simulation)
    finalize = verb(LowLevelWriter.finalize)
    rename_simulation = verb(LowLevelWriter.rename_simulation)
    add_note = verb(LowLevelWriter.add_note)
    add_tag = verb(LowLevelWriter.add_tag)
    remove_tag = verb(LowLevelWriter.remove_tag)
    write_scientific_objective = verb(LowLevelWriter.write_scientific_objective)
    write_parameters = verb(LowLevelWriter.write_parameters)
    update_parameter = verb(LowLevelWriter.update_parameter)
    write_provenance = verb(LowLevelWriter.write_provenance)
    register_tracked_files = verb(LowLevelWriter.register_tracked_files)
    remove_tracked_file = verb(LowLevelWriter.remove_tracked_file)
    write_run_environment = verb(LowLevelWriter.write_run_environment)
    write_metric = verb(LowLevelWriter.write_metric)
    write_metrics = verb(LowLevelWriter.write_metrics)
    write_timeseries = verb(LowLevelWriter.write_timeseries)
    write_timeseries_batch = verb(LowLevelWriter.write_timeseries_batch)
    write_timeseries_columns = verb(LowLevelWriter.write_timeseries_columns)
    write_budget = verb(LowLevelWriter.write_budget)
    write_budgets = verb(LowLevelWriter.write_budgets)
    write_mass_balance = verb(LowLevelWriter.write_mass_balance)
    write_mass_balances = verb(LowLevelWriter.write_mass_balances)
    write_view = verb(LowLevelWriter.write_view)
    write_time = verb(LowLevelWriter.write_time)
    write_crs = verb(LowLevelWriter.write_crs)
    write_mesh = verb(LowLevelWriter.write_mesh)
    write_field = verb(LowLevelWriter.write_field)
    write_field_stack = verb(LowLevelWriter.write_field_stack)
    write_geographic_metadata = verb(LowLevelWriter.write_geographic_metadata)
    write_geographic_feature = verb(LowLevelWriter.write_geographic_feature)
    write_observation_point = verb(LowLevelWriter.write_observation_point)
    write_station = verb(LowLevelWriter.write_station)
    write_observations = verb(LowLevelWriter.write_observations)

    # ── what was observed ────────────────────────────────────────────────────────────────────────────

    @property
    def observations(self) -> Observations:
        """What stations observed: ``cat.observations.add(station, variable, series, unit=...)``, `table`, ..."""
        return Observations(self._store, self.path, self.workspace)

    @property
    def stations(self) -> Stations:
        """The stations: ``cat.stations.add(station, variable, name=...)``, `table`, `frame`."""
        return Stations(self._store)

    @property
    def vocabulary(self) -> Vocabulary:
        """What metrics, variables and solvers mean: ``table(kind)``, ``define_metric(name, unit=...)``, ..."""
        return Vocabulary(self._store)

    def observed(self, variable: str, station: str | None = None, period: tuple[Any, Any] | None = None) -> pd.Series:
        """Return an observed series as a pandas Series by time; see `Observations.series`."""
        return self.observations.series(variable, station, period)

    # ── from one project to another ──────────────────────────────────────────────────────────────────

    def export_package(
        self,
        references: str | Run | Iterable[str | Run],
        path: str | Path | UPath,
        *,
        with_inputs: bool = False,
        overwrite: bool = False,
    ) -> Package:
        """Write finished simulations into one file that another project imports.

        Parameters
        ----------
        references
            One, or several; a `SimulationGroup` too.
        path
            The file, as ``base.hmprun``. Every byte of it is read back and held to its hash before it is in place.
        with_inputs
            Take along the bytes of the inputs that are still what was consumed; their hashes and where they came from
            go along in any case.
        overwrite
            Replace a file that is there.

        Returns
        -------
        Package
            ``path``, ``sha256`` (say it to whom you send the file), ``content``.

        Raises
        ------
        PathTaken
            If something is at ``path``.
        CorruptError
            If a file of a simulation is not what was sealed; nothing is written.
        PathNotFound, InvalidInput
            If a simulation is not sealed, or there is none.
        """
        from hmp_catalog.exporting import take

        return take(self, references, to_local(path), with_inputs=with_inputs, overwrite=overwrite)

    def import_package(
        self,
        path: str | Path | UPath,
        *,
        force: bool = False,
        rename: bool = False,
        as_project: str | None = None,
        dry_run: bool = False,
        sha256: str | None = None,
    ) -> list[Run]:
        """Import the simulations of a package, under their own ids: they are sealed here as they were there.

        Everything is read and compared before a byte is written: damage, a newer version, a name that leads elsewhere
        or a simulation that is here already refuses the whole package.

        Parameters
        ----------
        path
            The package.
        force
            Of simulations that are here already, restore files that are missing or damaged, and take what was said of
            them there since. What was recorded is never replaced.
        rename
            Give all of them new ids; their manifests say what they were.
        as_project
            Import into the project of that name in this workspace, which is made if it is not there.
        dry_run
            Only verify; the answer is empty.
        sha256
            What the file must have.

        Raises
        ------
        ArchiveInvalid
            If a byte is not as it was written, or it is no package.
        SchemaTooNewError
            If a newer hmp wrote it.
        PackageConflict
            If simulations are here already.
        StorageError
            If there is no room.
        """
        from hmp_catalog.importing import Wish, bring

        wish = Wish(force=force, rename=rename, as_project=as_project, dry_run=dry_run)
        return bring(self, to_local(path), wish, sha256=sha256)

    # ── throwing away, and looking after ─────────────────────────────────────────────────────────────

    def known_id(self, reference: str, *, trashed: bool | None = None) -> str:
        """Return the id that a reference means, of a run that is there, in the trash, or was purged.

        Parameters
        ----------
        reference
            As for ``catalog[reference]``; one that was purged is known by its whole id alone.
        trashed
            True looks in the trash alone, False everywhere else, None everywhere.
        """
        with self._store.reading(tables=False) as backend:
            return refs.known_id(backend, reference, trashed=trashed)

    def delete(self, reference: str) -> Run:
        """Move a run to the trash: it is hidden from every question that does not ask for it, and can be restored.

        Raises
        ------
        PinnedRunError
            If it is pinned.
        InvalidInput
            If it is open.
        """
        run = self[reference]
        self._lifecycle.trash(run.sim_id)
        return Run(self, run.sim_id)

    @property
    def trash(self) -> SimulationGroup:
        """The runs in the trash, newest first."""
        return self.find(trashed=True)

    def restore(self, reference: str) -> Run:
        """Bring a run back from the trash."""
        sim_id = self.known_id(reference, trashed=True)
        self._lifecycle.restore(sim_id)
        return Run(self, sim_id)

    def purge(self, reference: str, *, reason: str) -> Certificate:
        """Remove a run for ever: files, rows, and what the log said of it; a tombstone and a certificate stay.

        Parameters
        ----------
        reference
            Which run, in the trash or not.
        reason
            Why; it stays on record.

        Returns
        -------
        Certificate
            Also in ``.hmp/purge_certificates/``; its ``remains`` says what is not reached, as backups.

        Raises
        ------
        PinnedRunError
            If it is pinned.
        InvalidInput
            If it is open.
        """
        return self._lifecycle.purge([self.known_id(reference)], word(reason, "reason"))[0]

    def empty_trash(
        self, *, older_than: float | None = None, reason: str = "the trash was emptied"
    ) -> list[Certificate]:
        """Purge what is in the trash, or has been for more than ``older_than`` days; what is pinned stays."""
        age = None if older_than is None else timedelta(days=real(older_than, "older_than"))
        return self._lifecycle.empty_trash(word(reason, "reason"), age)

    def deletions(self) -> list[dict[str, Any]]:
        """Return the runs that were purged, newest first: when, by whom, why, what there was, and its hash."""
        with self.reading() as backend:
            return queries.deletions(backend)

    @property
    def audit(self) -> AuditTrail:
        """What was done to the catalog and by whom; ``audit.verify()`` says whether the record was changed."""
        return AuditTrail(self)

    def gc(self, *, older_than: float = 30, apply: bool = False) -> list[Leftover]:
        """Return what dead processes left behind and nothing speaks of; with ``apply`` clear it away.

        Parameters
        ----------
        older_than
            Days since a run was interrupted before its files count as left behind.
        apply
            Remove what is listed. Nothing that was sealed is ever listed.
        """
        age = timedelta(days=real(older_than, "older_than"))
        return sweep(self._store, older_than=age, apply=apply, timeout=self._timeout)

    def vacuum(self) -> Vacuumed:
        """Write the database anew without the room that deleted rows took; return its size before and after.

        The many files of observations become one for each variable (`Observations.pack`).
        """
        self.observations.pack()
        return shrink(self._store, auth=self.auth, timeout=self._timeout)

    # ── the database ─────────────────────────────────────────────────────────────────────────────────

    @contextlib.contextmanager
    def reading(self) -> Iterator[BulkBackend]:
        """Hold one lease for several questions, which then see the same state."""
        with self._store.reading() as backend:
            yield backend

    @property
    def notice(self) -> Notice:
        """What the last answer lacks; false when it was complete."""
        return self._store.notice

    @property
    def store(self) -> EventStore:
        """The database with its log."""
        return self._store

    def rebuild(self) -> Notice:
        """Make the database anew from the run folders and the log; return what could not be told.

        Raises
        ------
        NotWritable
            If the catalog was opened read-only.
        """
        return rebuild_store(self._store, auth=self.auth, timeout=self._timeout)

    def close(self) -> None:
        """Fold what is pending if nobody else is at it, and give everything back."""
        self._store.close()

    def __enter__(self) -> SimulationCatalog:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
