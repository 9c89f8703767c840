"""``hydromodpy.results.simulation_group``: see `hmp_catalog.SimulationGroup`."""

from hmp_catalog import SimulationGroup

__all__ = ["SimulationGroup"]
