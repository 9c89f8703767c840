"""A stream of a run as a netCDF-4 file, which is there whole or not at all."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hmp_catalog.acquisition.events import free
from hmp_catalog.acquisition.exporting.arrays import to_xarray
from hmp_core.durable import new_file
from hmp_core.errors import MissingPart
from hmp_core.paths import to_local

if TYPE_CHECKING:
    import xarray as xr
    from upath import UPath

    from hmp_catalog.acquisition.run import Run

#: Frames are packed one by one: whoever reads one of them unpacks no other.
_PACKED = {"zlib": True, "complevel": 1, "shuffle": True}

_FRAMES = 3

#: What no node of an HDF5 file is called; a slash in it would make a group.
_NO_NAMES = frozenset({"", ".", ".."})


def to_netcdf(run: Run, path: str | Path | UPath, stream: str) -> None:
    """Write a stream to a new file; see `Run.to_netcdf`."""
    try:
        import h5netcdf  # noqa: F401 - xarray asks for it by name
    except ImportError as error:
        message = "netCDF files are written with h5netcdf: pip install 'hmp-catalog[datasets]'"
        raise MissingPart(message, install="hmp-catalog[datasets]") from error
    found = _named(to_xarray(run, stream))
    said: dict[Any, Any] = {
        name: {**_PACKED, "chunksizes": (1, *variable.shape[1:])}
        for name, variable in found.data_vars.items()
        if variable.ndim == _FRAMES and variable.attrs.get("hmp_name", name) in run.fields and variable.size
    }
    with new_file(to_local(path)) as draft, _one_by_one():
        found.to_netcdf(draft, engine="h5netcdf", encoding=said)


def _one_by_one() -> contextlib.AbstractContextManager[object]:
    """Let blocks be written by this thread: another one would open the draft again after a failure took it away."""
    try:
        import dask
    except ImportError:
        return contextlib.nullcontext()  # then there are no blocks
    alone: contextlib.AbstractContextManager[object] = dask.config.set(scheduler="synchronous")
    return alone


def _named(found: xr.Dataset) -> xr.Dataset:
    """Return a data set whose names may stand in a file; ``hmp_name`` says what a variable was called."""
    taken = {str(name) for name in [*found.variables, *found.dims]}
    new: dict[Any, str] = {}
    for name in sorted(taken):
        if "/" in name or name in _NO_NAMES:
            new[name] = free(name.replace("/", "_").replace(".", "_") or "_", taken | set(new.values()))
            if name in found.variables:
                found[name].attrs["hmp_name"] = name
    return found.rename(new)
