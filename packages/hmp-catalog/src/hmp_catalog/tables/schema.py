"""What a table file looks like: its columns, its key-value metadata, how it is cut.

A column has one of the plain types that every reader of Parquet knows; times are UTC without a zone, to the
microsecond. The metadata says in text which kind of table it is, of which run, and in which units.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hmp_catalog.plain import word
from hmp_core.errors import CorruptError, InvalidInput, SchemaTooNewError

if TYPE_CHECKING:
    import pyarrow as pa

    from hmp_catalog.packs import Packed

SCHEMA_VERSION = 1

#: Rows of a row group: what is gathered in memory, and what a reader skips or reads as a whole. DuckDB works
#: on groups of this many.
ROW_GROUP = 122_880

TIMESERIES = "timeseries"

_KIND = re.compile(r"[a-z][a-z0-9_]{0,63}")
_RESERVED = frozenset({"schema_version", "kind", "keys", "units"})


def check_kind(kind: str) -> str:
    """Return ``kind`` if a table may be called so.

    Raises
    ------
    InvalidInput
        Not a lower-case ASCII letter followed by letters, digits and underscores, or longer than 64.
    """
    if isinstance(kind, str) and _KIND.fullmatch(kind):
        return kind
    message = f"{kind!r} cannot be a kind of table: expected lower-case letters, digits and _, as in 'mass_balance'"
    raise InvalidInput(message)


def metadata_of(kind: str, keys: Sequence[str], units: Mapping[str, str], more: Mapping[str, Any]) -> dict[str, str]:
    """Return the key-value metadata of a table file.

    Examples
    --------
    >>> metadata_of("budget", ("time",), {"inflow": "m3 d-1"}, {"run_id": "6f2f1b0e"})["hmp.run_id"]
    '6f2f1b0e'
    """
    own = {
        "schema_version": str(SCHEMA_VERSION),
        "kind": check_kind(kind),
        "keys": json.dumps(list(keys)),
        "units": json.dumps(dict(units), ensure_ascii=False, sort_keys=True),
    }
    for name, value in more.items():
        if name in _RESERVED or not isinstance(name, str) or not isinstance(value, (str, int, float)):
            message = f"metadata {name!r} of {kind}: {value!r}: expected text or a number under a name of its own"
            raise InvalidInput(message)
    return {f"hmp.{name}": str(value) for name, value in sorted((own | dict(more)).items())}


def check_version(schema: pa.Schema, path: Path | Packed) -> None:
    """Raise if a table file was not written by hmp, or by a newer one.

    Raises
    ------
    CorruptError
        Without a version of hmp.
    SchemaTooNewError
        Written by a newer hmp.
    """
    found = (schema.metadata or {}).get(b"hmp.schema_version", b"").decode(errors="replace")
    if not found.isdecimal():
        message = f"{path}: hmp.schema_version is {found!r}; expected a number: hmp did not write this table"
        raise CorruptError(message, path=str(path))
    if int(found) > SCHEMA_VERSION:
        message = (
            f"{path}: written by a newer hmp (schema {found}, this one knows {SCHEMA_VERSION}); upgrade hmp-catalog"
        )
        raise SchemaTooNewError(message, path=str(path), found=int(found), known=SCHEMA_VERSION)


# ── columns ──────────────────────────────────────────────────────────────────────────────────────────


def as_table(given: Any, of: str) -> pa.Table:
    """Return rows in plain columns.

    Parameters
    ----------
    given : pyarrow.Table, pandas.DataFrame or mapping
        Columns by name. An index of the frame that has a name becomes a column; NaN of a frame is no value,
        NaN of an array stays NaN.
    of : str
        Which table it is, for the message of an error.

    Raises
    ------
    InvalidInput
        Not a table, columns of different length, without a name, twice, or of a type that has no plain form.
    """
    import pyarrow as pa

    try:
        table = _converted(given)
        names = table.column_names
        if not names or len(set(names)) < len(names) or not all(isinstance(name, str) and name for name in names):
            message = f"table {of}: columns {names}: each needs a name of its own"
            raise InvalidInput(message)
        names = [word(name, f"a column of table {of}") for name in names]
        columns = [_plain(table.column(name), name, of) for name in names]
    except (pa.ArrowException, TypeError, ValueError) as error:
        if isinstance(error, InvalidInput):
            raise
        message = f"table {of}: cannot be kept: {error}; expected columns of numbers, text, times or true and false"
        raise InvalidInput(message) from error
    fields = [
        pa.field(name, column.type, metadata=table.schema.field(name).metadata)
        for name, column in zip(names, columns, strict=True)
    ]
    return pa.table(columns, schema=pa.schema(fields))


def _converted(given: Any) -> pa.Table:
    import pyarrow as pa

    if isinstance(given, pa.Table):
        return given
    if isinstance(given, pa.RecordBatch):
        return pa.Table.from_batches([given])
    if isinstance(given, Mapping):
        return pa.table({name: _column(values) for name, values in given.items()})
    if hasattr(given, "reset_index") and hasattr(given, "columns"):
        named = any(name is not None for name in given.index.names)
        return pa.Table.from_pandas(given.reset_index() if named else given, preserve_index=False)
    message = f"{type(given).__name__} is not a table; pass a pandas.DataFrame, a pyarrow.Table or columns by name"
    raise InvalidInput(message)


def _column(values: Any) -> Any:
    import pyarrow as pa

    return values if isinstance(values, (pa.Array, pa.ChunkedArray)) else pa.array(values, from_pandas=False)


def _plain(column: pa.ChunkedArray, name: str, of: str) -> pa.ChunkedArray:
    """Return a column in the type in which it is kept, or refuse what would lose something."""
    import pyarrow as pa

    kept = _kept_type(column.type)
    if kept is None:
        message = (
            f"table {of}: column {name!r} is {column.type}; expected numbers, text, times or true and false: "
            "convert it, or keep it as a file of its own"
        )
        raise InvalidInput(message)
    try:
        return column.cast(kept)
    except pa.ArrowInvalid as error:
        message = f"table {of}: column {name!r} cannot be {kept}: {error}; round it first"
        raise InvalidInput(message) from error


def _kept_type(found: pa.DataType) -> pa.DataType | None:
    import pyarrow as pa

    types = pa.types
    if types.is_dictionary(found):
        return _kept_type(found.value_type)
    if types.is_timestamp(found):
        # the values of a timestamp with a zone are UTC already
        return pa.timestamp("us")
    if types.is_date(found):
        return pa.date32()
    if types.is_string(found) or types.is_large_string(found) or found == pa.string_view():
        return pa.string()
    if types.is_float16(found):
        return pa.float32()
    plain = types.is_integer(found) or types.is_floating(found) or types.is_boolean(found) or types.is_decimal(found)
    return found if plain or types.is_null(found) else None
