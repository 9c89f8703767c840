"""The project catalog: simulations, and everything a run leaves behind.

The map: `open` gives a `SimulationCatalog`; ``cat.record(...)`` a `Recorder`; ``cat[ref]`` a `Run`; ``cat.find(...)`` a
`SimulationGroup`; ``cat.calibration(...)`` a `CalibrationSession`; ``cat.workflow(...)`` a `Workflow`;
``cat.observations`` and ``cat.stations`` are what was observed. Arrays are kept by `hmp_catalog.fields` (CF Zarr),
tables by `hmp_catalog.tables` (Parquet); `hmp_catalog.metrics` computes measures of fit.
"""

from hmp_catalog.calibration import CalibrationSession
from hmp_catalog.catalog import SimulationCatalog
from hmp_catalog.door import open  # noqa: A004 - the documented name of the door
from hmp_catalog.group import SimulationGroup
from hmp_catalog.observations import Observations
from hmp_catalog.recorder import Recorder
from hmp_catalog.run import Run
from hmp_catalog.stations import Stations
from hmp_catalog.vocabulary import Vocabulary
from hmp_catalog.workflow import Workflow

__all__ = [
    "CalibrationSession",
    "Observations",
    "Recorder",
    "Run",
    "SimulationCatalog",
    "SimulationGroup",
    "Stations",
    "Vocabulary",
    "Workflow",
    "__version__",
    "open",
]

__version__ = "0.1.0"
