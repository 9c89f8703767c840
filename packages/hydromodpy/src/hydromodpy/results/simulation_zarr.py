"""``hydromodpy.results.simulation_zarr``: see `hmp_catalog.fields`."""

from hmp_catalog.fields import SimulationZarr

__all__ = ["SimulationZarr"]
