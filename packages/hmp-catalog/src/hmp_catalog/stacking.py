"""One field of many runs as one lazy array: nothing is read before a part of it is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from hmp_core.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from hmp_catalog.run import Run

#: The dimension along which the runs lie.
ALONG = "simulation"


class _Stack(BackendArray):
    """Arrays of one shape, one above the other, each read when its part is asked for."""

    def __init__(self, members: Sequence[xr.DataArray]) -> None:
        self._members = members
        self.shape = (len(members), *members[0].shape)
        self.dtype = np.result_type(*(member.dtype for member in members))

    def __getitem__(self, key: Any) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._read)

    def _read(self, key: tuple[Any, ...]) -> np.ndarray:
        which, rest = key[0], dict(zip(self._members[0].dims, key[1:], strict=True))
        if isinstance(which, (int, np.integer)):
            return self._members[int(which)].isel(rest).to_numpy().astype(self.dtype)
        numbers = range(*which.indices(len(self._members))) if isinstance(which, slice) else which
        parts = [self._members[int(n)].isel(rest).to_numpy() for n in numbers]
        empty = np.empty((0, *self._members[0].isel(rest).shape), self.dtype)
        return np.stack(parts).astype(self.dtype) if parts else empty


def stacked(runs: Sequence[Run], field: str, *, without: str = "raise") -> xr.DataArray:
    """Return one field of runs along ``simulation``; see `SimulationGroup.to_xarray`."""
    if without not in {"raise", "report"}:
        message = f"without is {without!r}, expected 'raise' or 'report'"
        raise InvalidInput(message)
    found = {run: data for run in runs if (data := _field(run, field)) is not None}
    lacking = [run for run in runs if run not in found]
    if lacking and (without == "raise" or not found):
        named = ", ".join(run.name or run.sim_id[:8] for run in lacking[:8])
        message = f"{len(lacking)} of {len(runs)} runs have no field {field!r}: {named}; pass without='report'"
        raise NotFound(message, reference=field, candidates=[])
    if not found:
        message = f"there is no run whose {field!r} could be read"
        raise NotFound(message, reference=field, candidates=[])
    first = next(iter(found.values()))
    for run, data in found.items():
        if (data.dims, data.shape) != (first.dims, first.shape):
            message = (
                f"{field} of {run.name or run.sim_id[:8]} is {dict(data.sizes)}, of the first {dict(first.sizes)}: "
                "only fields of one shape lie in one array"
            )
            raise InvalidInput(message)
    return _labelled(found, first, field, lacking)


def _labelled(found: dict[Run, xr.DataArray], first: xr.DataArray, field: str, lacking: Sequence[Run]) -> xr.DataArray:
    attributes = first.attrs | {"simulations_without": [run.sim_id for run in lacking]}
    lazy = indexing.LazilyIndexedArray(_Stack([*found.values()]))
    variable = xr.Variable((ALONG, *first.dims), lazy, attributes)
    about = {ALONG: [run.sim_id for run in found], "name": (ALONG, [run.name or "" for run in found])}
    return xr.DataArray(variable, coords=dict(first.coords) | about, name=field)


def _field(run: Run, field: str) -> xr.DataArray | None:
    if run.status in {"running", "interrupted"}:
        return None  # nothing of it is whole yet
    kinds = {str(one["path"]).partition("/")[0] for one in run.files()}
    if "fields.zarr" not in kinds:
        return None
    data = run.dataset()
    return data[field] if field in data.data_vars else None
