"""The fields of a run: heads, recharge, discharge on a grid or mesh, in one Zarr v3 store of plain CF.

``schema`` says what a store looks like, ``values`` and ``times`` take what a caller hands over, ``dimensions``
checks what fields share, ``writer``, ``finalizer`` and ``reader`` touch the disk, ``store`` is the way in.
"""

from hmp_catalog.fields.store import SimulationZarr

__all__ = ["SimulationZarr"]
