"""What others have becomes a data set, netCDF files and data sets of xarray, and a data set becomes a netCDF file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hmp_catalog.datasets.dataset import open_dataset
from hmp_catalog.datasets.exchange.given import Given, of_file, of_values
from hmp_catalog.datasets.exchange.intake import Intake, taken
from hmp_catalog.datasets.exchange.netcdf import to_netcdf4
from hmp_catalog.datasets.libraries import library
from hmp_core.errors import CorruptError, InvalidInput, PathNotFound

if TYPE_CHECKING:
    import xarray as xr

    from hmp_catalog.datasets.dataset import Dataset

#: Bytes that an import may take for data.
MAX_MEM = 1 << 27


def dataset_to_netcdf4(
    dataset_path: str | Path,
    nc_path: str | Path,
    compression: str | None = "gzip",
    sel: Mapping[str, Any] | None = None,
    sel_loc: Mapping[str, Any] | None = None,
    include_data_vars: Sequence[str] | None = None,
    exclude_data_vars: Sequence[str] | None = None,
    **h5netcdf_kwargs: Any,
) -> None:
    """Write a data set, or a part of it, to a new netCDF-4 file.

    Parameters
    ----------
    dataset_path : str or Path
        The data set.
    nc_path : str or Path
        A file that is not there yet.
    compression : str, optional
        ``gzip``, ``lzf`` or None.
    sel, sel_loc : mapping, optional
        A part by positions or by labels, as `Dataset.select` and `Dataset.select_loc`.
    include_data_vars, exclude_data_vars : sequence of str, optional
        The variables that are written, or those that are not.
    **h5netcdf_kwargs
        Passed to `h5netcdf.File`.

    Raises
    ------
    PathNotFound
        If there is no data set.
    PathTaken
        If there is something at ``nc_path``.
    NotFound
        A coordinate, a label or a variable that is not there.
    InvalidInput
        Both selections, both lists of variables, or another compression.
    MissingPart
        If h5netcdf is not installed.
    """
    if sel is not None and sel_loc is not None:
        message = "sel and sel_loc: say one of them"
        raise InvalidInput(message)
    with open_dataset(dataset_path) as whole:
        part = whole.select_loc(sel_loc) if sel_loc is not None else whole if sel is None else whole.select(sel)
        to_netcdf4(part, nc_path, compression, include_data_vars, exclude_data_vars, **h5netcdf_kwargs)


def netcdf4_to_dataset(
    nc_path: str | Path,
    dataset_path: str | Path,
    sel: Mapping[str, Any] | None = None,
    sel_loc: Mapping[str, Any] | None = None,
    max_mem: int = MAX_MEM,
    *,
    include_data_vars: Sequence[str] | None = None,
    exclude_data_vars: Sequence[str] | None = None,
    dataset_type: str | None = None,
    compression: str | None = None,
    compression_level: int | None = None,
    group: str | None = None,
) -> None:
    """Make a data set of a netCDF file, also one that others wrote; netCDF-3 is read where SciPy or netCDF4 is there.

    Codes stay what they are in the file where hmp can keep them. Coordinates that descend are turned round, with the
    data along them. Dimensions without labels are numbered from 0. A file that hmp wrote becomes what it was.

    Parameters
    ----------
    nc_path : str or Path
        The file.
    dataset_path : str or Path
        A folder that is not there yet.
    sel, sel_loc : mapping, optional
        A part by positions (from the least label on) or by labels.
    max_mem : int
        Bytes that data may take in memory at a time; a file of the store is the least.
    include_data_vars, exclude_data_vars : sequence of str, optional
        The variables that are taken, or those that are not.
    dataset_type, compression, compression_level
        As `open_dataset`; if not given those of the data set that the file was made of, else ``ts_ortho`` where it has
        geometries and ``grid`` where not, compressed as usual.
    group : str, optional
        The group of the file, where it has several.

    Raises
    ------
    PathNotFound
        If there is no file.
    PathTaken
        If there is something at ``dataset_path``.
    CorruptError
        If it cannot be read as netCDF.
    NotFound
        A coordinate, a label or a variable that is not there.
    InvalidInput
        What hmp cannot keep: it is named, and nothing is made.
    """
    with opened(Path(nc_path), group) as source:
        found = Intake(source, of_file, include_data_vars, exclude_data_vars)
        found.select(sel, sel_loc)
        asked = {"dataset_type": dataset_type, "compression": compression, "compression_level": compression_level}
        about = _about(source) | {key: value for key, value in asked.items() if value is not None}
        taken(found, Path(dataset_path), about=about, max_mem=max_mem).close()


def from_xarray(
    dataset: xr.Dataset,
    file_path: str | Path,
    dtypes: Mapping[str, Any] | None = None,
    *,
    dataset_type: str | None = None,
    compression: str = "zstd_shuffle",
    compression_level: int | None = None,
    max_mem: int = MAX_MEM,
) -> Dataset:
    """Make a data set of one of xarray, block by block; return it, open to write.

    Coordinates that descend are turned round, with the data along them; dimensions without labels are numbered from 0.

    Parameters
    ----------
    dataset : xarray.Dataset
        With its values decoded, as `xarray.open_dataset` gives them; lazy or not.
    file_path : str or Path
        A folder that is not there yet.
    dtypes : mapping of str to DataType, optional
        How variables are kept, by name; as they are if not given.
    dataset_type, compression, compression_level
        As `open_dataset`; ``ts_ortho`` if there are geometries and no type was given.
    max_mem : int
        Bytes that data may take in memory at a time; a file of the store is the least.

    Raises
    ------
    PathTaken
        If there is something at ``file_path``.
    OutOfRange
        A value that its type does not keep.
    InvalidInput
        What hmp cannot keep: it is named, and nothing is made.
    """
    said = dict(dtypes or {})

    def plan(name: str, variable: xr.Variable) -> Given:
        return of_values(name, variable, said.get(name))

    unknown = said.keys() - set(map(str, dataset.variables))
    if unknown:
        message = f"dtypes: no variable {min(unknown)!r}; there are {', '.join(map(str, dataset.variables))}"
        raise InvalidInput(message)
    found = Intake(dataset, plan)
    about: dict[str, Any] = {"compression": compression, "compression_level": compression_level}
    about |= {} if dataset_type is None else {"dataset_type": dataset_type}
    return taken(found, Path(file_path), about=about, max_mem=max_mem)


# ── files ────────────────────────────────────────────────────────────────────────────────────────────


def opened(path: Path, group: str | None = None) -> xr.Dataset:
    """Open a netCDF file as it is stored: nothing decoded but text.

    Raises
    ------
    PathNotFound
        If there is no file.
    CorruptError
        If it cannot be read as netCDF.
    InvalidInput
        If it has groups and nobody said which.
    """
    import xarray as xr

    if not path.is_file():
        message = f"{path}: no such file"
        raise PathNotFound(message, path=str(path))
    how: dict[str, Any] = {"decode_times": False, "mask_and_scale": False, "decode_coords": False, "cache": False}
    how |= {"decode_timedelta": False, "concat_characters": True} | ({} if group is None else {"group": group})
    try:
        found = xr.open_dataset(path, **how)
    except (OSError, ValueError, RuntimeError, IndexError) as error:
        message = f"{path}: cannot be read as netCDF: {error}"
        raise CorruptError(message, path=str(path)) from error
    groups = _groups(path) if group is None else []
    if groups:
        found.close()
        message = f"{path} has the groups {', '.join(groups)}; import each by group=, '/' is the root"
        raise InvalidInput(message)
    for name, names in _enumerations(path, group).items():
        found[name].attrs |= {"flag_values": list(names.values()), "flag_meanings": " ".join(names)}
    return found


def _is_netcdf3(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(3) == b"CDF"


def _enumerations(path: Path, group: str | None) -> dict[str, dict[str, int]]:
    """Return what the integers of enumerations are called, which xarray does not pass on: CF has words for it (3.5)."""
    if _is_netcdf3(path):
        return {}
    h5netcdf = library("h5netcdf", "netCDF-4 files are read with")
    with h5netcdf.File(os.fspath(path), "r") as file:
        there = (file if group in {None, "/"} else file[group]).variables
        kinds = {name: getattr(variable.datatype, "enum_dict", None) for name, variable in there.items()}
    return {name: dict(names) for name, names in kinds.items() if names}


def _groups(path: Path) -> list[str]:
    """Return the groups of a file that have variables; netCDF-3 has none."""
    if _is_netcdf3(path):
        return []
    h5netcdf = library("h5netcdf", "netCDF-4 files are read with")
    with h5netcdf.File(os.fspath(path), "r") as file:
        return [name for name, group in file.groups.items() if group.variables or group.groups]


def _about(source: xr.Dataset) -> dict[str, Any]:
    """Return what a file says of the data set that it was made of."""
    from hmp_catalog.datasets.exchange.given import attributes

    said = attributes(source.attrs).get("hmp")
    keys = ("dataset_type", "compression", "compression_level")
    return {key: said[key] for key in keys if key in said} if isinstance(said, dict) else {}
