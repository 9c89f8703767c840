"""What goes through the door of the catalog: plain, frozen, comparable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from hmp_catalog.plain import mapping, numbers, period_text, plain, text, uuid_text, whole, word
from hmp_core.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class FileRecord:
    """A file that a run left behind."""

    #: relative to the run folder, POSIX
    path: str
    #: bytes
    size: int
    sha256: str
    #: "timeseries", "fields", "artifact", ... the kind of table, or what it is
    kind: str = ""
    #: rows of a table
    rows: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as the manifest keeps them."""
        return {"path": self.path, "size": self.size, "sha256": self.sha256, "kind": self.kind, "rows": self.rows}


_TEXTS = (
    "solver",
    "name",
    "description",
    "scientific_objective",
    "contact_email",
    "study_area",
    "flow_regime",
    "mesh_topology",
    "crs",
    "config_source",
    "lineage",
    "solver_version",
)


@dataclass(frozen=True, slots=True)
class RunSpec:
    """What is known of a run when it begins; see `SimulationCatalog.record`."""

    solver: str
    name: str | None = None
    sim_id: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] | None = None
    inputs: Sequence[Any] = ()
    tags: Sequence[str] = ()
    seed: int | None = None
    parent: str | None = None
    description: str | None = None
    scientific_objective: str | None = None
    contact_email: str | None = None
    study_area: str | None = None
    flow_regime: str | None = None
    mesh_topology: str | None = None
    period: tuple[Any, Any] | None = None
    bbox: tuple[float, float, float, float] | None = None
    crs: str | None = None
    outlet: tuple[float, float] | None = None
    config_source: str | None = None
    lineage: str | None = None
    solver_binary: Any = None
    solver_version: str | None = None
    additional_solvers: Mapping[str, Any] | None = None
    #: what it leaves behind becomes one file, once it is sealed
    pack: bool = False

    def __post_init__(self) -> None:
        """Refuse here what could not be kept: what is acknowledged must fold."""
        kept = {name: text(getattr(self, name), name) for name in _TEXTS}
        for name in ("study_area", "flow_regime", "mesh_topology"):
            if kept[name] is not None:
                word(kept[name], name)
        if kept["name"] is not None:
            run_name(kept["name"])
        for name, value in (
            *kept.items(),
            ("solver", word(self.solver, "solver (as 'gr4j' or 'modflow6')")),
            ("sim_id", uuid_text(self.sim_id, "sim_id")),
            ("parent", uuid_text(self.parent, "parent")),
            ("seed", whole(self.seed, "seed")),
            ("parameters", mapping(self.parameters, "parameters")),
            # a copy: what a run was configured with does not change while it runs
            ("config", None if self.config is None else plain(mapping(self.config, "config"), "config")),
            ("lineage", kept["lineage"] or (None if self.parent is None else "derived")),
            (
                "additional_solvers",
                plain(mapping(self.additional_solvers or {}, "additional_solvers"), "solvers") or None,
            ),
            ("tags", tag_names([self.tags] if isinstance(self.tags, str) else self.tags)),
            ("period", period_text(self.period, "period")),
            ("bbox", numbers(self.bbox, 4, "bbox")),
            ("outlet", numbers(self.outlet, 2, "outlet")),
        ):
            object.__setattr__(self, name, value)
        if self.bbox is not None and (self.bbox[0] > self.bbox[2] or self.bbox[1] > self.bbox[3]):
            message = f"bbox is {self.bbox}, expected (xmin, ymin, xmax, ymax)"
            raise InvalidInput(message)

    def about(self) -> dict[str, Any]:
        """Return what describes the run beside its identity, as the manifest keeps it."""
        return {
            "description": self.description,
            "scientific_objective": self.scientific_objective,
            "contact_email": self.contact_email,
            "study_area": self.study_area,
            "flow_regime": self.flow_regime,
            "mesh_topology": self.mesh_topology,
            "period": None if self.period is None else list(self.period),
            "bbox": None if self.bbox is None else list(self.bbox),
            "crs": self.crs,
            "outlet": None if self.outlet is None else list(self.outlet),
        }

    def discovery(self) -> dict[str, Any]:
        """Return what a store of fields says of its run, under the names of ACDD 1.3."""
        said = {
            "source": self.solver,
            "summary": self.description,
            "comment": self.scientific_objective,
            "creator_email": self.contact_email,
            "keywords": ", ".join(["hydrology", *([self.study_area] if self.study_area else [])]),
        }
        if self.bbox is not None:
            west, south, east, north = self.bbox
            ring = ((west, south), (east, south), (east, north), (west, north), (west, south))
            said["geospatial_bounds"] = f"POLYGON (({', '.join(f'{x:.12g} {y:.12g}' for x, y in ring)}))"
            said["geospatial_bounds_crs"] = self.crs
        return {name: value for name, value in said.items() if value is not None}


def run_name(name: Any) -> str:
    """Return the name of a run as it is kept.

    Raises
    ------
    InvalidInput
        If it is not text, or begins with "@" as references do.
    """
    if word(name, "name").startswith("@"):
        message = f"name is {name!r}; what begins with '@' is a reference"
        raise InvalidInput(message)
    return word(name, "name")


def tag_changes(changes: Sequence[str]) -> list[tuple[str, bool]]:
    """Return tags with whether each is added: a leading "-" takes one away.

    Raises
    ------
    InvalidInput
        If one is no tag.
    """
    said = [(word(word(change, "tag").removeprefix("-"), "tag"), change[0] != "-") for change in changes]
    tag_names(name for name, _ in said)
    return said


def spec_of(said: Mapping[str, Any]) -> RunSpec:
    """Return what is known of a run when it begins.

    Raises
    ------
    InvalidInput
        For a keyword nobody knows, or a value that cannot be kept.
    """
    known = {each.name for each in fields(RunSpec)}
    if unknown := sorted(said.keys() - known):
        message = f"record() knows no {', '.join(unknown)}; it takes {', '.join(sorted(known - {'solver'}))}"
        raise InvalidInput(message)
    return RunSpec(**said)


def tag_names(tags: Any) -> list[str]:
    """Return tags as they are kept.

    Raises
    ------
    InvalidInput
        If one is not text, or begins with "-", which takes a tag away.
    """
    try:
        found = [word(tag, "tag") for tag in tags]
    except TypeError as error:
        message = f"tags is a {type(tags).__name__}, expected a list of text"
        raise InvalidInput(message) from error
    for tag in found:
        if tag.startswith("-"):
            message = f"tag is {tag!r}; a leading '-' takes a tag away, and no tag begins so"
            raise InvalidInput(message)
    return found


@dataclass(frozen=True, slots=True)
class Difference:
    """Something in which two simulations differ."""

    #: "run", "parameters", "metrics", "config", "inputs" or "environment"
    part: str
    key: str
    left: Any
    right: Any
    #: "left" or "right" where the other has nothing of that name, which is not the same as None
    only: str | None = None
