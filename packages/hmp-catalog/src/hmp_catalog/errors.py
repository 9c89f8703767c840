"""What only the catalog can refuse; the tree is in `hmp_core.errors`."""

from __future__ import annotations

from hmp_core.errors import (
    AmbiguousReference,
    CorruptError,
    HmpError,
    InvalidInput,
    NotFound,
    NotWritable,
    PathNotFound,
    SealedError,
)


class SimulationNotFound(NotFound):
    """No simulation goes by that reference; the nearest names are in ``candidates``."""


class AmbiguousSimulation(AmbiguousReference):
    """Several simulations begin with that prefix; ``candidates`` lists them."""


class SealedRunError(SealedError):
    """The run is sealed: its parameters, configuration, inputs and results are what they were."""


class PinnedRunError(InvalidInput):
    """The run is pinned: it is not thrown away or purged while it is."""

    sim_id: str


class DuplicateSimulationName(InvalidInput):
    """A simulation of that name exists and ``if_exists="fail"`` was asked for."""

    name: str


class UnrankedMetric(InvalidInput):
    """Nobody said whether more or less of this metric is better."""

    metric: str


class AmbiguousScore(AmbiguousReference):
    """A metric was measured at several places and nobody said which counts; ``candidates`` lists them."""


class InputChanged(InvalidInput):
    """The bytes of an input are no longer those it was registered with."""

    path: str
    expected: str
    found: str


class PackageConflict(InvalidInput):
    """Runs of a package are in the catalog already, ``sim_ids`` says which; nothing was imported."""

    sim_ids: list[str]


class DatasetConflict(InvalidInput):
    """Somebody else committed a change to the same; ``variable`` and ``region`` say to what. Nothing was committed."""

    path: str
    variable: str
    region: str


class LinksRefused(NotWritable):
    """The file system at ``path`` makes no hard or symbolic links, which versions of a data set are made of."""


class NoSuchCell(InvalidInput, IndexError):
    """An ``index`` beyond the ``size`` of dimension ``axis``."""

    index: int
    axis: int
    size: int


class OutOfRange(InvalidInput):
    """A value that the data type of its variable cannot keep; nothing was written.

    ``variable``, ``value``, ``position`` (its index) and ``low`` and ``high``, the declared range, are attached.
    """

    variable: str
    value: object
    position: tuple[int, ...]
    low: object
    high: object


class OverlapRefused(InvalidInput):
    """Two inputs have the same cells, and ``overlap="error"`` was asked for; nothing was written.

    ``variable`` and ``region``, as one would index that variable of the second input, say which.
    """

    variable: str
    region: str


class RemoteConflict(DatasetConflict):
    """Somebody else pushed meanwhile, or another data set is at the URL: ``url``, ``base`` (our number), ``found``.

    A pull that finds the same changed on both sides also says ``variable`` and ``region``. Nothing was changed.
    """

    url: str
    base: int
    found: int


class RemoteMissing(PathNotFound):
    """No data set at the URL ``path``, or one of its objects is not there any more."""


class RemoteUnreachable(HmpError, ConnectionError):
    """The store at ``url`` did not answer, or not as it should; what was fetched before can be read all the same."""

    url: str


class WorkerLost(HmpError, RuntimeError):
    """A worker process ended in the midst of a map; ``block`` is one that was under way."""

    block: object


class ExperimentNotFound(NotFound):
    """No run, pipeline, chain, prediction or artefact of the experiments store goes by that id."""


class EndedError(SealedError):
    """A run or pipeline that ended as failed takes nothing further; ``status`` says how it ended."""

    status: str


class StoreClosed(InvalidInput, RuntimeError):
    """The store was closed: open it again."""


class ArtifactLost(PathNotFound):
    """The file of an artefact is gone: ``artifact_id`` says of which, ``path`` where it should lie."""

    artifact_id: str


class ArtifactDamaged(CorruptError):
    """The file of an artefact has other bytes than were saved: it is not unpickled."""

    artifact_id: str


class ReplayError(HmpError, RuntimeError):
    """A chain that cannot be replayed as it was trained; ``step`` says where, nothing was predicted."""

    step: int | None


class TrainingFailed(HmpError, RuntimeError):
    """Every pipeline of the run ``run_id`` failed; the error of the first is the cause."""

    run_id: str


class NoMigrationPath(HmpError, RuntimeError):
    """No such version of a schema is known: ``found`` is the file's, ``target`` was asked for. Nothing was changed."""

    exit_code = 11
    found: int
    target: int


class WriterState(InvalidInput, RuntimeError):
    """What a writer was asked for cannot be done now: it is closed, or no run or stream is open, or one is already."""


class FrameMismatch(InvalidInput):
    """A frame of another shape or type than the others of its ``field``; not a byte was changed."""

    field: str
    expected: tuple[int, int]
    found: tuple[int, ...]


class LostFrames(CorruptError):
    """``frames`` of a ``field`` of a ``run`` are not at ``path``, where they should be, or not what was written."""

    run: str
    field: str
    frames: tuple[int, ...]
