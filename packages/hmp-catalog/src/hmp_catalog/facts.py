"""What is kept of a parameter and of a metric: checked where it is said, so that what is acknowledged can be read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from hmp_catalog.plain import label, number, period_text, plain, real, text, whole, word
from hmp_core.errors import InvalidInput

#: Where a metric is measured unless told otherwise, and the zone of a parameter that has none.
OUTLET = "__outlet__"
GLOBAL_ZONE = "__global__"
#: What people call the outlet.
OUTLETS = frozenset({OUTLET, "outlet"})

_NOT_FINITE = ("nan", "inf", "-inf")

#: What is said of a run in words of its user, column by column.
ABOUT = ("description", "scientific_objective", "contact_email", "study_area_name")

#: What a store of fields tells of the mesh and the steps of a run (see `hmp_catalog.extent`).
EXTENT = ("n_cells", "n_layers", "n_timesteps", "mesh_hash", "zarr_path", "time_unit")

#: How a run can end.
ENDS = ("completed", "partial", "failed", "aborted")
#: All that a run can be: the words of the table ``statuses``, to which nobody else adds any.
STATUSES = ("pending", "running", *ENDS, "resumed", "interrupted")


def parameter_facts(name: str, value: Any, *, unit: str | None = None, zone: str = GLOBAL_ZONE) -> dict[str, Any]:
    """Return what a manifest keeps of a parameter.

    Raises
    ------
    InvalidInput
        If the value is not a number, text, a bool or None, or a name is not text.
    """
    kept = plain(value, f"parameter {word(name, 'the name of a parameter')}")
    if isinstance(kept, (dict, list)):
        message = f"parameter {name} is a {type(value).__name__}; a parameter is one value, use zone= for several"
        raise InvalidInput(message)
    if "::" in name:
        message = f"the name of a parameter is {name!r}; what follows '::' is a zone, pass it as zone="
        raise InvalidInput(message)
    kind = _kind(value, kept)
    if kind == "number":
        real(kept if not isinstance(kept, str) else number(kept), f"parameter {name}")
    return {
        "name": word(name, "the name of a parameter"),
        "zone": word(zone, f"zone of parameter {name}"),
        "type": kind,
        "value": kept,
        "unit": None if unit is None else word(unit, f"unit of parameter {name}"),
    }


def _kind(value: Any, kept: Any) -> str:
    if kept is None or isinstance(kept, bool):
        return "null" if kept is None else "bool"
    # NaN and infinities are kept as text, and are numbers all the same; so said as text they stay text
    unfinite = kept in _NOT_FINITE and not isinstance(value, (str, PurePath))
    return "number" if isinstance(kept, (int, float)) or unfinite else "text"


def parameter_values(said: dict[str, Any]) -> dict[str, Any]:
    """Return the columns that hold the value of a parameter.

    A number is in ``value``; what is none, and a whole number, which a float is not, is JSON in ``text_value``.
    """
    value = said["value"]
    if said["type"] != "number":
        return {"value": None, "text_value": json_text(value)}
    return {"value": float(value), "text_value": json_text(value) if isinstance(value, int) else None}


def json_text(value: Any) -> str:
    """Return JSON as a person would read it in a table."""
    return json.dumps(value, ensure_ascii=False)


def metric_facts(
    name: str,
    value: float,
    *,
    station: str = OUTLET,
    variable: str = "",
    period: tuple[Any, Any] | None = None,
    n_samples: int | None = None,
) -> dict[str, Any]:
    """Return what a manifest, or an event, keeps of a metric.

    Raises
    ------
    InvalidInput
        If the value is not a number, or a name is not text.
    """
    where = f"metric {word(name, 'the name of a metric')}"
    return {
        "name": word(name, "the name of a metric"),
        "station": word(station, f"station of {where}"),
        "variable": label(variable, f"variable of {where}"),
        "value": plain(real(value, where)),
        "n_samples": whole(n_samples, f"n_samples of {where}"),
        "period": list(period_text(period, f"period of {where}") or (None, None)),
    }


def described(known: Mapping[str, Any], anew: Mapping[str, Any]) -> dict[str, Any]:
    """Return all that an event keeps of what a run is for: what is said anew, and what was known.

    Raises
    ------
    InvalidInput
        If it is not text, or something else of a run.
    """
    columns = {"study_area" if name == "study_area_name" else name: name for name in ABOUT}
    if unknown := sorted(anew.keys() - columns.keys()):
        message = f"describe() knows no {', '.join(unknown)}; it takes {', '.join(columns)}"
        raise InvalidInput(message)
    said = {columns[name]: text(value, name) for name, value in anew.items()}
    return {name: known[name] for name in ABOUT} | said
