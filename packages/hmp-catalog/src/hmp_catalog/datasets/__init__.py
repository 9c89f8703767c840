"""Gridded data sets larger than memory: plain CF on Zarr v3, in folders that keep versions of themselves.

``versions`` is how a data set changes: all of a session or nothing. ``work`` is the tree of a session and ``merging``
puts together what two of them did; ``layout`` knows where everything is, ``adopting`` takes over what others wrote,
``documents`` what each ``zarr.json`` says; ``trees`` are the folders of files that versions are made of, ``stores`` is
what writes them, ``holding`` is the kernel's locks on them.

``dtypes`` says what values are, ``packing`` makes codes of them and values again, ``plans`` how for which type, and
``instants`` does so for times. ``labels`` finds labels in a coordinate, ``ticks`` says what its values may be and how
they go on, ``templates`` what is made again and again. These know arrays and attributes, no store.

Not there yet: the data set itself (``open_dataset``), its coordinates, variables and chunks.
"""

from hmp_catalog.datasets.versions import Session, Snapshot, Versions

__all__ = ["Session", "Snapshot", "Versions"]
