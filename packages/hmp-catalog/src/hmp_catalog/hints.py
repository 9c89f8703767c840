"""What was perhaps meant, where nothing fits: words that grow with use are never wrong, and may be mistyped.

A status is of hmp alone, so that another word is refused. A solver, a tag, a name or a parameter is whatever people
record: what is not there yet is an empty answer, and the answer says what is near.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from hmp_catalog import criteria
from hmp_core.protocols import CatalogBackend
from hmp_core.statements import load_statements

_SQL = load_statements("hmp_catalog")

#: Columns whose words grow with use.
GROWING = ("solver", "name", "project", "study_area_name", "flow_regime", "mesh_topology")
#: Among more words than these nobody looks for the nearest: 1 ms for ten of them.
_MANY = 2000
#: So few are named all.
_FEW = 5


def hint(backend: CatalogBackend, filters: Mapping[str, Any]) -> str:
    """Return which words of a question nobody has recorded, and those near to them; empty if all are known."""
    return "; ".join(_unknown(backend, filters))


def _unknown(backend: CatalogBackend, filters: Mapping[str, Any]) -> Iterator[str]:
    for key, value in filters.items():
        if key == "tags" or key in GROWING:
            wanted = [one for one in (value if isinstance(value, criteria.SEVERAL) else [value]) if one is not None]
            sql = _SQL["all_tags"].sql if key == "tags" else _distinct(key)
            what = "tag" if key == "tags" else key
        elif (parameter := criteria.parameter_of(key)) is not None:
            wanted, sql, what = [parameter], _SQL["all_parameter_names"].sql, "parameter"
        else:
            continue
        known = [row[0] for row in backend.fetch_all(f"{sql} LIMIT {_MANY + 1}")]
        if len(known) <= _MANY:
            yield from (_told(what, str(one), known) for one in wanted if str(one) not in known)


def _distinct(column: str) -> str:
    return f"SELECT DISTINCT {column} FROM simulations WHERE {column} IS NOT NULL"


def _told(what: str, value: str, known: list[str]) -> str:
    near = difflib.get_close_matches(value, known, n=3)
    said = f"no simulation has the {what} {value!r}"
    if near:
        return f"{said}, the nearest {'are' if len(near) > 1 else 'is'} {', '.join(near)}"
    return f"{said}, there is {', '.join(sorted(known)) or 'none'}" if len(known) <= _FEW else said
