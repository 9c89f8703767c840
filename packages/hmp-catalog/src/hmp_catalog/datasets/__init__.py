"""Gridded data sets larger than memory: plain CF on Zarr v3, in folders that keep versions of themselves.

``dataset`` is where one begins: it opens data sets, and gives their ``variables`` and ``coordinates``, which are
``views`` that read when asked. ``creating`` makes them; ``growing`` is what becomes of data along a coordinate,
``referencing`` where on Earth they are, ``attributes`` are those of the user. ``opening`` and ``handle`` are what is
open, ``gates`` who may do what beside whom, ``contents`` what is in it, ``kinds`` which types of data sets there are,
``shown`` how all of it is printed. ``dtypes`` says what values are, ``tools`` goes between files, ``libraries`` are
those of the extra ``datasets``.

These stand on folders of their own. ``values`` are values and their codes, ``axes`` the labels of coordinates,
``cells`` stored arrays, ``history`` the versions of a data set and the sessions that make them. ``blockwise`` goes
through variables, ``combined`` makes one data set of several, ``exchange`` is netCDF and xarray, ``interp`` is
interpolation, and ``remote`` a data set behind a URL. Each says in its first lines what is where.
"""

from hmp_catalog.datasets.attributes import Attributes
from hmp_catalog.datasets.blockwise.rechunking import DatasetRechunker, Rechunker
from hmp_catalog.datasets.cells.chunking import guess_chunk_shape
from hmp_catalog.datasets.combined.combining import combine, merge_into
from hmp_catalog.datasets.coordinates import Coordinate, CoordinateView
from hmp_catalog.datasets.creating import Creator
from hmp_catalog.datasets.dataset import Dataset, DatasetView, open_dataset
from hmp_catalog.datasets.dtypes import DataType, dtype
from hmp_catalog.datasets.history.versions import Session, Snapshot, Versions
from hmp_catalog.datasets.remote.edataset import Change, EDataset, open_edataset
from hmp_catalog.datasets.remote.remotes import Remote
from hmp_catalog.datasets.tools import dataset_to_netcdf4, from_xarray, netcdf4_to_dataset
from hmp_catalog.datasets.values.infinities import InfinityWarning
from hmp_catalog.datasets.values.scaling import compute_scale_and_offset
from hmp_catalog.datasets.variables import DataVariable, DataVariableView
from hmp_catalog.datasets.views import LocationIndexer

__all__ = [
    "Attributes",
    "Change",
    "Coordinate",
    "CoordinateView",
    "Creator",
    "DataType",
    "DataVariable",
    "DataVariableView",
    "Dataset",
    "DatasetRechunker",
    "DatasetView",
    "EDataset",
    "InfinityWarning",
    "LocationIndexer",
    "Rechunker",
    "Remote",
    "Session",
    "Snapshot",
    "Versions",
    "combine",
    "compute_scale_and_offset",
    "dataset_to_netcdf4",
    "dtype",
    "from_xarray",
    "guess_chunk_shape",
    "merge_into",
    "netcdf4_to_dataset",
    "open_dataset",
    "open_edataset",
]
