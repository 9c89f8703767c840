"""Gridded data sets larger than memory: plain CF on Zarr v3, in folders that keep versions of themselves.

``dataset`` is where one begins: it opens data sets, and gives their ``variables`` and ``coordinates``, which are
``views`` that read when asked. ``creating`` makes them, from ``templates`` or not; ``referencing`` says where on
Earth they are; ``growing`` is what becomes of data along a coordinate; ``keeping`` is who keeps labels;
``attributes`` are those of the user. ``opening`` and ``handle`` are what is open, ``gates`` who may do what beside
whom, ``contents`` what is in it, ``kinds`` which types of data sets there are, ``shown`` how all of it is printed.

``arrays`` are stored arrays and what their cells mean, ``direct`` reads our own ones without zarr, ``selecting`` says
what a key means, ``blocks`` and ``chunking`` how arrays are cut. ``dtypes`` says what values are, ``packing`` makes
codes of them and values again (``floats`` of those), ``plans`` how for which type, and ``instants`` does so for times.
``labels`` finds labels in a coordinate, ``ticks`` says what its values may be and how they go on; ``geometry`` and
``containers`` do so for geometries, ``crs`` for reference systems. ``libraries`` are those of the extra ``datasets``.

``iterating`` gives variables block by block and ``grouping`` by their labels or the calendar, ``mapping`` hands blocks
to workers, and ``rechunking`` gives them in other chunks, which ``pouring`` writes.

``combining`` makes one data set of several: ``inputs`` opens them and holds them against one another, ``joining``
unites their labels, ``overlaying`` lays their blocks over one another and ``filling`` writes these. ``copying`` makes
two of one.

``interpolation`` takes the values of grids elsewhere, and ``stations`` those of stations: ``places`` and ``targets``
are where, ``roles`` what dimensions mean; ``regridding``, ``triangles`` and ``levels`` are how.

``tools`` goes between files: ``netcdf`` writes them, ``given`` says how what others have is kept, and ``intake`` takes
it. ``xarrays`` shows data sets to xarray.

``versions`` is how a data set changes: all of a session or nothing. ``work`` is the tree of a session and ``merging``
puts together what two of them did; ``layout`` knows where everything is, ``adopting`` takes over what others wrote,
``documents`` what each ``zarr.json`` says; ``trees`` are the folders of files that versions are made of, ``stores`` is
what writes them, ``holding`` is the kernel's locks on them.

``edataset`` is a data set that is also behind a URL: ``pushing`` and ``pulling`` bring it there and here, ``clearing``
takes away there. ``remotes`` are the stores, ``manifests`` what a version there consists of, ``pieces`` how shards are
cut; ``stubs`` stand for what is not here and ``fetching`` fetches it; ``standing`` says on which version there a
version here stands, ``differing`` what changed since.
"""

from hmp_catalog.datasets.attributes import Attributes
from hmp_catalog.datasets.chunking import guess_chunk_shape
from hmp_catalog.datasets.combining import combine, merge_into
from hmp_catalog.datasets.coordinates import Coordinate, CoordinateView
from hmp_catalog.datasets.creating import Creator
from hmp_catalog.datasets.dataset import Dataset, DatasetView, open_dataset
from hmp_catalog.datasets.dtypes import DataType, dtype
from hmp_catalog.datasets.edataset import Change, EDataset, open_edataset
from hmp_catalog.datasets.rechunking import DatasetRechunker, Rechunker
from hmp_catalog.datasets.remotes import Remote
from hmp_catalog.datasets.scaling import compute_scale_and_offset
from hmp_catalog.datasets.tools import dataset_to_netcdf4, from_xarray, netcdf4_to_dataset
from hmp_catalog.datasets.variables import DataVariable, DataVariableView
from hmp_catalog.datasets.versions import Session, Snapshot, Versions
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
