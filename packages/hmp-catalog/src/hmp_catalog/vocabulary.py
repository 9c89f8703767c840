"""The words of a project: what its metrics, variables and solvers are called, and what they mean.

hmp brings those that everybody uses; what it brings is not changed, so that a word means the same in every project.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hmp_catalog import queries
from hmp_catalog.plain import plain, real, text, word
from hmp_core.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    import pyarrow as pa

    from hmp_core.events import EventStore

#: What one may ask for, and the table that holds it.
KINDS = {
    "metrics": "metric_definitions",
    "variables": "dim_variables",
    "solvers": "solvers",
    "study_areas": "dim_study_areas",
    "statuses": "statuses",
    "flow_regimes": "flow_regimes",
    "mesh_topologies": "mesh_topologies",
}
ROLES = ("feature", "target", "diagnostic")
CATEGORIES = ("state", "derived", "budget", "forcing", "observation")
SOLVERS = ("distributed", "integrated", "lumped", "transport", "particle_tracking", "unspecified")


class Vocabulary:
    """The vocabularies of a project; `SimulationCatalog.vocabulary` gives it."""

    def __init__(self, store: EventStore) -> None:
        self._store = store

    def table(self, kind: str) -> pa.Table:
        """Return the words of a kind with what they mean: metrics, variables, solvers, study_areas, statuses, ...

        Raises
        ------
        NotFound
            For another kind.
        """
        if kind not in KINDS:
            message = f"there is no vocabulary {kind!r}; there are {', '.join(KINDS)}"
            raise NotFound(message, reference=str(kind), candidates=list(KINDS))
        with self._store.reading() as backend:
            return queries.vocabulary(backend, KINDS[kind])

    def define_metric(
        self,
        name: str,
        *,
        unit: str = "1",
        higher_is_better: bool | None = None,
        best_value: float | None = None,
        bounds: tuple[float | None, float | None] = (None, None),
        role: str = "target",
        description: str | None = None,
        reference: str | None = None,
    ) -> None:
        """Say what a metric of your own means, so that runs are ranked by it.

        Parameters
        ----------
        name
            As ``rec.metric`` takes it: "low_flow_bias".
        unit
            UDUNITS, or "same" for that of the variable, "square" for its square.
        higher_is_better
            None: the closer to ``best_value`` (0 unless it is said) the better.
        best_value
            What a perfect run has.
        bounds
            The least and the greatest it can be.
        role
            feature, target or diagnostic.
        description, reference
            What it is, and who described it.

        Raises
        ------
        InvalidInput
            If it is a metric that hmp brings, or a value cannot be kept.
        """
        least, most = (None if bound is None else plain(real(bound, "bounds")) for bound in bounds)
        said = {
            "unit": word(unit, "unit"),
            "higher_is_better": None if higher_is_better is None else bool(higher_is_better),
            "best_value": None if best_value is None else plain(real(best_value, "best_value")),
            "physical_min": least,
            "physical_max": most,
            "role": _one_of(role, ROLES, "role"),
            "description": text(description, "description"),
            "metric_references": text(reference, "reference"),
        }
        self._define("metrics", name, said)

    def define_variable(
        self,
        code: str,
        *,
        unit: str,
        category: str,
        standard_name: str | None = None,
        description: str | None = None,
    ) -> None:
        """Say what a variable of your own means: its unit, its CF standard name if there is one, and its category.

        Raises
        ------
        InvalidInput
            If it is a variable that hmp brings, or a value cannot be kept.
        """
        said = {
            "standard_name": text(standard_name, "standard_name"),
            "unit": word(unit, "unit"),
            "category": _one_of(category, CATEGORIES, "category"),
            "description": text(description, "description"),
        }
        self._define("variables", code, said)

    def define_solver(self, code: str, *, category: str, description: str | None = None) -> None:
        """Say what kind of program a solver is.

        Raises
        ------
        InvalidInput
            If it is a solver that hmp brings, or a value cannot be kept.
        """
        said = {"category": _one_of(category, SOLVERS, "category"), "description": text(description, "description")}
        self._define("solvers", code, said)

    def _define(self, kind: str, code: str, said: dict[str, Any]) -> None:
        name = word(code, f"name of one of the {kind}")
        self._store.authorize(write=True, what=f"define {name}")
        with self._store.reading() as backend:
            if name in queries.seeds(backend, KINDS[kind]):
                message = (
                    f"{name} is one of the {kind} that hmp brings: it means the same everywhere; choose another name"
                )
                raise InvalidInput(message)
        self._store.append("vocabulary.defined", {"kind": kind, "code": name, "values": said})

    def __repr__(self) -> str:
        return f"<Vocabulary of {self._store.path.parent.name}: {', '.join(KINDS)}>"


def _one_of(value: Any, known: tuple[str, ...], where: str) -> str:
    if value not in known:
        message = f"{where} is {value!r}, expected one of {', '.join(known)}"
        raise InvalidInput(message)
    return str(value)
