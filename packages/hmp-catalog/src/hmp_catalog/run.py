"""One simulation as a user holds it: what it was, what came out, and what was said of it since."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from hmp_catalog import columns, manifest, packs, queries
from hmp_catalog.facts import OUTLET, described, metric_facts
from hmp_catalog.lifecycle import PINNED
from hmp_catalog.plain import text, word
from hmp_catalog.records import run_name, tag_changes
from hmp_core.errors import MissingPart, PathNotFound
from hmp_core.locks import this_process

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    import xarray as xr
    from matplotlib.axes import Axes

    from hmp_catalog.catalog import SimulationCatalog
    from hmp_core.protocols import AuthBackend


class Run:
    """A simulation of a catalog, by its id; facts are read when asked for, and then kept.

    What was recorded does not change. Tags, notes, the name and further metrics may be added.
    """

    def __init__(self, catalog: SimulationCatalog, sim_id: str, facts: dict[str, Any] | None = None) -> None:
        self._catalog = catalog
        self.sim_id = sim_id
        self._given = facts

    def __repr__(self) -> str:
        return f"<Run {self.name or self.sim_id[:8]}: {self.solver}, {self.status}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Run) and other.sim_id == self.sim_id

    def __hash__(self) -> int:
        return hash(self.sim_id)

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What is known of it in a line: column -> value, as `hmp_catalog.SimulationGroup.table` has it."""
        if self._given is not None:
            return self._given
        with self._catalog.reading() as backend:
            return columns.facts(backend, [self.sim_id]).to_pylist()[0]  # type: ignore[no-any-return]

    @property
    def name(self) -> str | None:
        """What people call it."""
        return self.facts["name"]  # type: ignore[no-any-return]

    @property
    def solver(self) -> str:
        """What computed it."""
        return str(self.facts["solver"])

    @property
    def status(self) -> str:
        """One of running, interrupted (its process died), completed, partial, failed, aborted."""
        return str(self.facts["status"])

    @property
    def folder(self) -> Path:
        """The folder of the run: ``run.json``, ``tables/``, ``fields.zarr``, ``artifacts/``."""
        return manifest.run_folder(self._catalog.path, str(self.facts["storage_basename"]))

    @property
    def project(self) -> Path:
        """The folder of the project."""
        return self._catalog.path

    @property
    def workspace(self) -> Path:
        """The folder that the paths of inputs are relative to."""
        return self._catalog.workspace

    @property
    def auth(self) -> AuthBackend | None:
        """The authority that was given to its catalog; None where the workspace or the environment names it."""
        return self._catalog.auth

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """``run.json`` as it was sealed.

        Raises
        ------
        PathNotFound
            If the run is not sealed, or its folder is gone.
        """
        self._catalog.store.authorize(write=False)
        try:
            return manifest.read(self.folder)[0]
        except FileNotFoundError as error:
            message = f"{self.folder} has no {manifest.NAME}: the run is {self.status}, or its folder was removed"
            raise PathNotFound(message, path=str(self.folder)) from error

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """Name -> value; ``name::zone`` where a parameter differs in space."""
        return self._ask(queries.parameters)  # type: ignore[no-any-return]

    @cached_property
    def metrics(self) -> dict[str, float]:
        """Name -> value at the outlet; ``name@station`` elsewhere, later additions included."""
        return self._ask(queries.metrics)  # type: ignore[no-any-return]

    @cached_property
    def tags(self) -> list[str]:
        """The tags, by name."""
        return self._ask(queries.tags)  # type: ignore[no-any-return]

    @property
    def config(self) -> dict[str, Any]:
        """The configuration it was run with."""
        return self.manifest["config"] or {}

    @property
    def environment(self) -> dict[str, Any]:
        """Interpreter, packages, code and host it was run with."""
        return self.manifest["environment"]  # type: ignore[no-any-return]

    @property
    def provenance(self) -> pa.Table:
        """What it consumed, a row per input: entry, version, hash, source, path.

        Raises
        ------
        SimulationNotFound
            If it was purged: that it consumed nothing would not be true.
        """
        with self._catalog.reading() as backend:
            found = queries.provenance(backend, self.sim_id)
            if not found.num_rows:
                columns.facts(backend, [self.sim_id])
            return found

    def _ask(self, question: Any) -> Any:
        with self._catalog.reading() as backend:
            found = question(backend, self.sim_id)
            if not found:  # of a run that is not there: "no metrics" would be an answer
                columns.facts(backend, [self.sim_id])
            return found

    # ── what it left behind ──────────────────────────────────────────────────────────────────────────

    def timeseries(
        self, variable: str, *, station: str | None = None, period: tuple[Any, Any] | None = None
    ) -> pd.Series:
        """Return a time series as a pandas Series by time; its unit is in ``attrs["units"]``.

        Raises
        ------
        PathNotFound
            If the run has no time series.
        NotFound
            If it has none of that variable and station.
        """
        from hmp_catalog.tables import read_timeseries, to_series

        file = self._file("tables/timeseries.parquet")
        return to_series(read_timeseries(file, variable=variable, station=station, period=period))

    def _timeseries(self, variable: str, station: str | None, period: tuple[Any, Any] | None) -> pa.Table:
        from hmp_catalog.tables import read_timeseries

        file = self._file("tables/timeseries.parquet")
        return read_timeseries(file, variable=variable, station=station, period=period)

    def observed(
        self, variable: str, *, station: str | None = None, period: tuple[Any, Any] | None = None
    ) -> pd.Series:
        """Return what was observed beside it, as `timeseries` returns what it simulated.

        Raises
        ------
        NotFound, AmbiguousReference
            If nothing was observed there, or several stations observed it.
        """
        from hmp_catalog.scoring import counterpart
        from hmp_catalog.tables import to_series

        return to_series(counterpart(self._catalog.observations, variable, station, period))

    def score(
        self,
        variable: str,
        *,
        station: str | None = None,
        observed: str | None = None,
        metrics: Sequence[str] | None = None,
        period: tuple[Any, Any] | None = None,
    ) -> dict[str, float]:
        """Compare a time series with what the catalog observed, add the measures to the run, and return them.

        Parameters
        ----------
        variable, station
            Which series of the run; its only one of the variable unless a station is named.
        observed
            The station that observed it, where it goes by another name than in the run. The outlet may be left out
            if one station alone observed the variable.
        metrics
            As in `hmp_catalog.metrics.METRICS`; by default nse, kge, rmse and pbias.
        period
            First and last time compared, both included.

        Raises
        ------
        NotFound, AmbiguousReference
            If the run, or the catalog, has no such series, or several.
        InvalidInput
            If they are in different units, or have no time in common.
        """
        from hmp_catalog.scoring import compared

        simulated = self._timeseries(variable, station, period)
        return self._measured(compared(simulated, self._catalog.observations, observed, metrics))

    def _measured(self, facts: list[dict[str, Any]]) -> dict[str, float]:
        self._say(*(("run.measured", {"metric": one}) for one in facts))
        return {one["name"]: float(one["value"]) for one in facts}

    def table(self, kind: str) -> pa.Table:
        """Return the table that was recorded as ``kind``."""
        from hmp_catalog.tables import read_table

        return read_table(self._file(f"tables/{kind}.parquet"))

    def geographic(self) -> dict[str, Any]:
        """Return what was said of its catchment, by key; see `geography` for the units."""
        return {one["key"]: one["value"] for one in self.geography["metadata"]}

    @property
    def geography(self) -> dict[str, list[dict[str, Any]]]:
        """Its ``points`` (stations in the mesh), ``metadata`` (figures of the catchment) and ``features`` (layers)."""
        said: dict[str, list[dict[str, Any]]] = self.manifest.get("geography", {})
        return {"points": [], "metadata": [], "features": []} | said

    def feature(self, name: str) -> pa.Table:
        """Return a layer of features: their properties, and ``geometry`` as WKB (GeoParquet).

        `hmp_catalog.geography.collection` makes GeoJSON of it, ``geopandas.read_parquet`` opens the file.
        """
        from hmp_catalog.geography import read

        return read(self._file(f"geography/{name}.parquet"))

    def dataset(self) -> xr.Dataset:
        """Return the fields as a lazy xarray Dataset."""
        from hmp_catalog.fields import SimulationZarr

        return SimulationZarr.open(self._file("fields.zarr")).dataset()

    def plot(self, variable: str, *, observed: Any = None, ax: Any = None, **where: Any) -> Axes:
        """Draw a time series, and what was observed beside it (extra ``[plot]``).

        Parameters
        ----------
        variable
            Which series; ``station=`` and ``period=`` as in `timeseries`.
        observed
            True for what the catalog has observed there, the name of a station, or a pandas Series.
        ax
            Axes of matplotlib to draw in.

        Raises
        ------
        MissingPart
            If matplotlib is not installed.
        PathNotFound, NotFound
            As `timeseries` and `observed`.
        """
        from hmp_catalog.plot.runs import series

        return series(self, variable, observed=observed, ax=ax, **where)

    def plot_field(self, name: str, *, layer: int | None = None, time: Any = -1, ax: Any = None) -> Axes:
        """Draw a field on a grid as a map (extra ``[plot]``).

        Parameters
        ----------
        name
            Which field.
        layer
            Its number from the top; the first if there are layers.
        time
            The number of the step, or a time, to which the nearest step is taken; by default the last.
        ax
            Axes of matplotlib to draw in.

        Raises
        ------
        MissingPart
            If matplotlib is not installed.
        NotFound, InvalidInput
            If there is no such field, step or layer, or it does not lie on a grid.
        """
        from hmp_catalog.plot.runs import field

        return field(self, name, layer=layer, time=time, ax=ax)

    def files(self) -> list[dict[str, Any]]:
        """Return what it left behind: path, size, SHA-256, kind."""
        return list(self.manifest["files"])

    def open(self, path: str) -> BinaryIO:
        """Open a file it left behind for reading, packed or not, as ``run.open("artifacts/report.pdf")``.

        Raises
        ------
        PathNotFound
            If it left no such file.
        """
        return self._left(path).open("rb")

    def _left(self, path: str) -> Path | packs.Packed:
        if path not in {str(said["path"]) for said in self.files()}:
            message = f"run {self.name or self.sim_id[:8]} left no {path!r}; see files()"
            raise PathNotFound(message, path=path)
        return self._file(path)

    def pack(self) -> Run:
        """Make one file of its tables, fields and artefacts (``files.zip``); everything reads as before.

        The files are read back from the pack before they go. Datasets of this run that are open elsewhere are opened
        again. ``unpack`` undoes it.

        Raises
        ------
        CorruptError
            If a file is not what was sealed; nothing is changed.
        PathNotFound, InvalidInput, StorageError
            If it is not sealed, left no files, or there is no room.
        """
        from hmp_catalog import packing

        packing.pack(self._catalog.store, self.folder)
        return self._say()

    def unpack(self) -> Run:
        """Make loose files of its pack again; one that is not packed stays as it is."""
        from hmp_catalog import packing

        packing.unpack(self._catalog.store, self.folder)
        return self._say()

    def _file(self, relative: str) -> Path | packs.Packed:
        self._catalog.store.authorize(write=False)
        file = packs.find(self.folder, relative)
        if file is None:
            kinds = sorted({str(f["kind"]) for f in self.files()}) if self.status != "running" else []
            message = f"run {self.name or self.sim_id[:8]} has no {relative}; it left {', '.join(kinds) or 'no files'}"
            raise PathNotFound(message, path=str(self.folder / relative))
        return file

    def input_entries(self) -> list[Any]:
        """Return the cache entries that it consumed, each with its state now.

        Raises
        ------
        MissingPart
            If the umbrella, which knows both scopes, is not installed.
        """
        return bridge("input_entries")(self)  # type: ignore[no-any-return]

    # ── what is said of it later ─────────────────────────────────────────────────────────────────────

    def tag(self, *changes: str) -> Run:
        """Add tags; ``"-draft"`` removes the tag "draft". All of them, or none if one is no tag."""
        said = tag_changes(changes)
        return self._say(*(("run.tagged", {"tag": name, "on": on}) for name, on in said))

    def rename(self, name: str) -> Run:
        """Give it another name; its folder stays where it is."""
        return self._say(("run.renamed", {"name": run_name(name)}))

    def note(self, words: str | None) -> Run:
        """Set the note; None takes it away."""
        return self._say(("run.noted", {"notes": text(words, "note")}))

    def pin(self, *, on: bool = True) -> Run:
        """Keep it from being thrown away or purged, until the pin is taken away (``on=False``)."""
        return self.tag(PINNED if on else f"-{PINNED}")

    def cite(self, doi: str | None) -> Run:
        """Set the DOI under which it was published; None takes it away."""
        return self._say(("run.cited", {"doi": None if doi is None else word(doi, "doi")}))

    def trash(self) -> Run:
        """Move it to the trash (see `SimulationCatalog.delete`)."""
        self._catalog.delete(self.sim_id)
        return self._anew()

    def restore(self) -> Run:
        """Bring it back from the trash."""
        self._catalog.restore(self.sim_id)
        return self._anew()

    def describe(self, **about: str | None) -> Run:
        """Say anew what it is for: ``description``, ``scientific_objective``, ``contact_email``, ``study_area``."""
        return self._say(("run.described", described(self.facts, about)))

    def metric(
        self,
        name: str,
        value: float,
        *,
        station: str = OUTLET,
        variable: str = "",
        period: tuple[Any, Any] | None = None,
        n_samples: int | None = None,
    ) -> Run:
        """Add a metric that was computed after the run was sealed, or correct one."""
        facts = metric_facts(name, value, station=station, variable=variable, period=period, n_samples=n_samples)
        return self._say(("run.measured", {"metric": facts}))

    def _say(self, *said: tuple[str, dict[str, Any]]) -> Run:
        store = self._catalog.store
        about = {"sim_id": self.sim_id, "project": self._catalog.path.name, "host": this_process().host}
        store.commit([store.prepare(kind, about | payload) for kind, payload in said])
        return self._anew()

    def _anew(self) -> Run:
        """Forget what was read: it is not so any more."""
        self._given = None
        for kept in ("facts", "tags", "metrics"):
            self.__dict__.pop(kept, None)
        return self

    def summary(self) -> dict[str, Any]:
        """Return facts, parameters, metrics and tags as one mapping."""
        return self.facts | {"parameters": self.parameters, "metrics": self.metrics, "tags": self.tags}

    def _repr_html_(self) -> str:
        from hmp_catalog.shown import run_html

        return run_html(self)


@cache
def bridge(name: str) -> Any:
    """Return the umbrella's way from a run to the input cache; looking for it takes 6 ms, of the 20 of an answer."""
    from importlib.metadata import entry_points

    for point in entry_points(group="hmp.bridge", name=name):
        return point.load()
    message = "the way from a run to the input cache is in the umbrella: install hmp-hydromodpy"
    raise MissingPart(message, install="hmp-hydromodpy")
