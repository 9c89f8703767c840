"""Many simulations as columns: their facts, and their parameters and metrics made wide, without a loop over runs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hmp_catalog import criteria, queries
from hmp_catalog.errors import SimulationNotFound
from hmp_catalog.facts import json_text
from hmp_core.protocols import BulkBackend
from hmp_core.statements import load_statements

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_SQL = load_statements("hmp_catalog")
#: The simulations asked for, in the order wanted, while a question is answered.
_ASKED = "_hmp_asked"


def facts(backend: BulkBackend, sim_ids: Sequence[str]) -> pa.Table:
    """Return the facts of simulations, a row each in the order given, in the columns of `queries.SUMMARY`.

    Raises
    ------
    SimulationNotFound
        If one is not here any more: a table that lacks it would not be the group that was asked for.
    """
    import pyarrow as pa

    selected = ", ".join(f"{criteria.column(name)} AS {name}" for name in queries.SUMMARY)
    if len(sim_ids) == 1:  # by its key: 6 ms instead of 30 among 10,000
        found = backend.query(f"SELECT {selected} FROM simulations s WHERE s.sim_id = CAST($1 AS UUID)", sim_ids)
    else:
        joined = f"FROM {_ASKED} f JOIN simulations s ON s.sim_id = CAST(f.sim_id AS UUID)"
        with backend.staged(_ASKED, _asked(sim_ids)):
            found = backend.query(f"SELECT {selected} {joined} ORDER BY f.n")
    if found.num_rows < len(sim_ids):
        lost = sorted(set(sim_ids) - set(found["sim_id"].to_pylist()))
        message = f"simulation {lost[0]} is not in this catalog any more, or not yet where folding is off (see notice)"
        if len(sim_ids) > 1:
            message = f"{len(lost)} of {len(sim_ids)} simulations were purged since they were found; find them again"
        raise SimulationNotFound(message, reference=lost[0], candidates=[])
    columns = {name: found[name].cast(type_of(name)) for name in queries.SUMMARY}
    columns["status"] = _states(found)
    return pa.table(columns)


def _states(found: pa.Table) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pc.any(pc.equal(found["status"], "running")).as_py():
        return found["status"]
    pairs = zip(found["status"].to_pylist(), found["owner"].to_pylist(), strict=True)
    return pa.array([queries.state(status, owner) for status, owner in pairs], pa.string())


def type_of(column: str) -> pa.DataType:
    """Return the type of a column, which does not hang on what happens to be in it."""
    import pyarrow as pa

    if column == "seed":
        return pa.int64()
    if column in criteria.NUMBERS:
        return pa.float64()
    return pa.timestamp("us") if column in criteria.TIMES else pa.string()


def _asked(sim_ids: Sequence[str]) -> pa.Table:
    import pyarrow as pa

    return pa.table({"n": pa.array(range(len(sim_ids)), pa.int32()), "sim_id": pa.array(sim_ids, pa.string())})


# ── from long to wide ────────────────────────────────────────────────────────────────────────────────


def wide(backend: BulkBackend, kind: str, sim_ids: Sequence[str]) -> dict[str, pa.Array]:
    """Return key -> column of the parameters or metrics of simulations, in the order given; keys as `queries.wide`.

    The engine gives a row for each value (1e6 rows: 0.1 to 0.3 s); sorted by key, each column is one assignment.
    """
    if not sim_ids:
        return {}
    with backend.staged(_ASKED, _asked(sim_ids)):
        long = backend.query(_SQL[f"long_{kind}"].sql)
    keys = long["key"].combine_chunks().dictionary_encode()
    codes, rows = keys.indices.to_numpy(zero_copy_only=False), long["n"].to_numpy()
    apart = _said_twice(codes, rows, len(keys.dictionary)) if kind == "metrics" else set()
    columns = {}
    for name, places in _places(codes, keys.dictionary.to_pylist()):
        columns[name] = _column(long.take(places), len(sim_ids))
    if apart:
        columns = _mended(columns, queries.wide(backend, kind, [sim_ids[n] for n in sorted(apart)]), sim_ids)
    return dict(sorted(columns.items()))


def _places(codes: np.ndarray, names: Sequence[str]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield each key and where its rows are."""
    import numpy as np

    order = np.argsort(codes, kind="stable")
    ends = np.cumsum(np.bincount(codes, minlength=len(names)))
    for name, start, end in zip(names, [0, *ends], ends, strict=False):
        yield name, order[start:end]


def _said_twice(codes: np.ndarray, rows: np.ndarray, count: int) -> set[int]:
    """Return the simulations that have two values under one key, as a metric of two variables."""
    import numpy as np

    each, times = np.unique(rows.astype(np.int64) * count + codes, return_counts=True)
    return set((each[times > 1] // count).tolist())


def _column(long: pa.Table, height: int) -> pa.Array:
    """Return a column of numbers; one that has anything else in it is text, or all yes and no."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    rows = long["n"].to_numpy()
    if "text_value" in long.column_names and not _are_numbers(long):
        values: list[Any] = [None] * height
        pairs = zip(rows.tolist(), long["value"].to_pylist(), long["text_value"].to_pylist(), strict=True)
        for row, value, text in pairs:
            values[row] = value if text is None else json.loads(text)
        return _array(values)
    column, missing = np.zeros(height), np.ones(height, bool)
    column[rows] = pc.fill_null(long["value"], 0.0).to_numpy()
    missing[rows] = pc.is_null(long["value"]).to_numpy()
    return pa.array(column, pa.float64(), mask=missing)


def _are_numbers(long: pa.Table) -> bool:
    """Return whether every value is a number, or missing; of a whole number the digits are kept as text too."""
    import pyarrow.compute as pc

    told = pc.and_(pc.is_valid(long["text_value"]), pc.is_null(long["value"]))
    return not pc.any(pc.and_(told, pc.fill_null(pc.not_equal(long["text_value"], "null"), fill_value=False))).as_py()


def _array(values: list[Any]) -> pa.Array:
    import pyarrow as pa

    kinds = set(map(type, values)) - {type(None)}
    if kinds == {bool}:
        return pa.array(values, pa.bool_())
    if kinds <= {float, int}:
        return pa.array([None if v is None else float(v) for v in values], pa.float64())
    return pa.array([v if v is None or isinstance(v, str) else json_text(v) for v in values], pa.string())


def _mended(
    columns: Mapping[str, pa.Array], apart: Mapping[str, Mapping[str, Any]], sim_ids: Sequence[str]
) -> dict[str, pa.Array]:
    """Return the columns with the rows in place that were told apart one by one."""
    kept = {name: column.to_pylist() for name, column in columns.items()}
    places = {sim: n for n, sim in enumerate(sim_ids) if sim in apart}
    for name in {key for values in apart.values() for key in values}:
        kept.setdefault(name, [None] * len(sim_ids))
    for sim, n in places.items():
        for name, column in kept.items():
            column[n] = apart[sim].get(name)
    return {name: _array(column) for name, column in kept.items() if any(v is not None for v in column)}
