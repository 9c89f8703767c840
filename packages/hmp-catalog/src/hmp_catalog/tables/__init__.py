"""The tables of a run: time series, budgets, anything in rows, one Parquet file per kind.

``schema`` says what a file looks like, ``writer`` and ``reader`` touch the disk, ``timeseries`` knows the long form,
``tableset`` holds all tables of a run while it is recorded.
"""

from hmp_catalog.tables.reader import read_table, read_timeseries, to_series
from hmp_catalog.tables.tableset import TableSet
from hmp_catalog.tables.timeseries import timeseries_table
from hmp_catalog.tables.writer import TableWriter, write_table

__all__ = [
    "TableSet",
    "TableWriter",
    "read_table",
    "read_timeseries",
    "timeseries_table",
    "to_series",
    "write_table",
]
