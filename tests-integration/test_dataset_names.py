"""The table of names says what there is: each name of cfdb has a row, and what stands beside it exists."""

from __future__ import annotations

from typing import Any

import pytest

from house import ROOT

pytest.importorskip("pyproj", reason="the extra [datasets] is not installed")

from hmp_catalog import datasets
from hmp_catalog.datasets import creating
from hmp_catalog.datasets.blockwise import rechunking
from hmp_catalog.datasets.interp import interpolation
from hmp_catalog.datasets.values import packing

PAGE = ROOT / "docs" / "reference" / "datasets.md"

#: The public names of cfdb 0.11, as its manual and the installed package say them.
CFDB = {
    "": "open_dataset open_edataset combine merge_into cfdb_to_netcdf4 netcdf4_to_cfdb guess_chunk_shape "
    "compute_scale_and_offset PartialDataWarning",
    "Dataset": "file_path dataset_type compression compression_level writable is_open var_names coord_names "
    "data_var_names coords data_vars variables attrs crs create get select select_loc iter_chunks groupby map "
    "rechunker copy to_netcdf4 prune sync close load",
    "DatasetView": "get select select_loc",
    "EDataset": "changes push delete_remote copy_remote",
    "Creator": "coord data_var crs",
    "Coord": "generic like lat lon time x y z height altitude depth pressure point line polygon "
    "forecast_reference_time forecast_period",
    "DataVar": "generic like air_temperature precipitation",
    "CRS": "from_user_input",
    "Variable": "name shape chunk_shape dtype ndims coord_names coords attrs writable is_open units update_units loc "
    "data values items get_chunk iter_chunks load",
    "CoordinateView": "iter_chunks",
    "Coordinate": "step origin axis auto_increment append prepend truncate update_step update_axis get_coord_origins "
    "load",
    "DataVariableView": "set groupby map interp",
    "DataVariable": "rechunker",
    "Attributes": "data writable get set keys values items pop update clear",
    "Rechunker": "guess_chunk_shape calc_ideal_read_chunk_shape calc_ideal_read_chunk_mem "
    "calc_source_read_chunk_shape calc_n_chunks calc_n_reads_rechunker rechunk",
    "DatasetRechunker": "calc_ideal_read_chunk_mem calc_n_reads_rechunker rechunk",
    "GridInterp": "to_grid to_points interp_na regrid_levels",
    "PointInterp": "to_grid to_points",
    "dtypes": "dtype",
    "DataType": "name kind itemsize dtype_decoded dtype_encoded precision fillvalue offset to_dict encode decode dumps "
    "loads",
}

#: Where a name that has no module is found.
ROOMS = (datasets, creating, interpolation, packing, rechunking)


def _rows() -> list[tuple[str, str, str]]:
    """Return each row: the name in cfdb, the name here, and what is different; either name may be empty."""
    rows = [line.strip("|").split("|") for line in PAGE.read_text(encoding="utf-8").splitlines() if line[:1] == "|"]
    cells = [(old.strip().strip("`"), new.strip().strip("`"), why.strip()) for old, new, why in rows]
    return [row for row in cells if row[0] != "cfdb" and not row[0].startswith("---")]


def _there(name: str) -> bool:
    holder, _, member = name.rpartition(".")
    if not holder:
        return hasattr(datasets, name) and name in datasets.__all__
    found = next((getattr(room, holder) for room in ROOMS if hasattr(room, holder)), None)
    return found is not None and _has(found, member)


def _has(kind: Any, member: str) -> bool:
    if hasattr(kind, member) or member in getattr(kind, "__dataclass_fields__", {}):
        return True
    told = {name for each in kind.__mro__ for name in getattr(each, "__annotations__", {})}
    # what templates are called is known to an object, and names are given where one is made
    return member in told or member in _of_objects(kind)


def _of_objects(kind: Any) -> set[str]:
    if kind in (creating.CoordCreator, creating.DataVarCreator):
        return set(dir(kind(None)))
    return {"name"} if issubclass(kind, datasets.DataVariableView) else set()


def test_every_name_of_cfdb_has_a_row() -> None:
    told = {row[0] for row in _rows()}
    names = {f"{holder}.{name}".lstrip(".") for holder, names in CFDB.items() for name in names.split()}
    assert names - told == set()


@pytest.mark.parametrize("row", [row for row in _rows() if row[1]], ids=lambda row: row[1])
def test_what_a_row_names_is_there(row: tuple[str, str, str]) -> None:
    assert _there(row[1])


@pytest.mark.parametrize("row", [row for row in _rows() if not row[1]], ids=lambda row: row[0])
def test_what_is_left_out_is_said_why(row: tuple[str, str, str]) -> None:
    assert len(row[2]) > 5
