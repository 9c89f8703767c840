"""A function for each block of variables, by many workers: processes, threads, or those of dask.

Blocks are read here, so that what a session has not committed is seen and workers need no file system, and sent as
codes, a half or a quarter of the values. Only so many are under way at a time; results that nobody took count among
them.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import multiprocessing
import os
import pickle
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hmp_catalog.datasets.blockwise import iterating
from hmp_catalog.datasets.blockwise.planning import source
from hmp_catalog.datasets.blockwise.rechunking import MAX_MEM, together
from hmp_catalog.datasets.cells.chunking import checked_chunk_shape
from hmp_catalog.errors import WorkerLost
from hmp_core.errors import InvalidInput

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hmp_catalog.datasets.dataset import DatasetView
    from hmp_catalog.datasets.values.packing import Packing
    from hmp_catalog.datasets.variables import DataVariableView

    Values = NDArray[Any]
    Results = Iterator[tuple[Any, Any]]
    Submit = Callable[..., Future[Any]]

PROCESSES, THREADS = "processes", "threads"

#: What classes raise that pickle makes again with other arguments than they want, or does not find.
_UNREAD = (
    pickle.PickleError, TypeError, ValueError, AttributeError, LookupError, ImportError, EOFError, RuntimeError,
)  # fmt: skip

#: Blocks under way for each worker: one that it works on, and one that waits for it.
_AHEAD = 2


@dataclass(frozen=True)
class Task:
    """A block: where it is, the codes of each variable."""

    place: Any
    codes: tuple[Values, ...]


@dataclass(frozen=True)
class Result:
    """What a function returned in another process, pickled."""

    sent: bytes = field(repr=False)


@dataclass(frozen=True)
class Work:
    """What is done with every block.

    ``call`` is the function, pickled for another process; ``names`` are the variables if it takes them by name.
    """

    call: Callable[..., Any] | bytes = field(repr=False)
    packings: tuple[Packing, ...]
    names: tuple[str, ...] | None

    def __call__(self, place: Any, *codes: Values) -> Any:
        """Return what the function makes of a block."""
        values = [packing.decode(each) for packing, each in zip(self.packings, codes, strict=True)]
        given = values[0] if self.names is None else dict(zip(self.names, values, strict=True))
        return _sent(self.call, place, given) if isinstance(self.call, bytes) else self.call(place, given)


@functools.lru_cache(maxsize=4)
def _loaded(call: bytes) -> Callable[..., Any]:
    found: Callable[..., Any] = pickle.loads(call)
    return found


def _sent(call: bytes, place: Any, given: Any) -> Result:
    """Return what a function makes of a block as bytes: what cannot be read back breaks a pool without a word."""
    with _Readable():
        return Result(_pickler().dumps(_loaded(call)(place, given)))


class _Readable(contextlib.AbstractContextManager[None]):
    """Turns an exception that could not be read back in another process into one that can."""

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is None:
            return
        try:
            pickle.loads(pickle.dumps(error))
        except _UNREAD as lost:
            message = f"map: the function raised {error!r}, which cannot be sent to another process: {lost}"
            raise InvalidInput(message) from error


# ── what is asked for ────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class How:
    """By whom it is done, and whether results come in the order of the blocks."""

    workers: Any = PROCESSES
    n_workers: int | None = None
    ordered: bool = False


_HOW = How()


def map_variable(
    view: DataVariableView, func: Callable[..., Any], chunk_shape: Any = None, max_mem: int = MAX_MEM, how: How = _HOW
) -> Results:
    """Yield what a function makes of each block of a variable; `DataVariableView.map` says how."""
    found = iterating.iter_chunks(view, chunk_shape, max_mem, decoded=False)
    tasks = (Task(place, (codes,)) for place, codes in found)
    return _mapped(func, tasks, (source(view).packing,), None, how)


def map_dataset(
    dataset: DatasetView,
    func: Callable[..., Any],
    chunk_shape: Any,
    data_vars: Iterable[str] | None = None,
    max_mem: int = MAX_MEM,
    how: How = _HOW,
) -> Results:
    """Yield what a function makes of each block of several variables; `DatasetView.map` says how."""
    views = iterating.named(dataset, data_vars)
    together(views)
    names = tuple(view.name for view in views)
    found = iterating.iter_dataset(dataset, chunk_shape, names, max_mem, decoded=False)
    tasks = (Task(place, tuple(codes[name] for name in names)) for place, codes in found)
    return _mapped(func, tasks, tuple(view.packing for view in views), names, how)


def _mapped(
    func: Callable[..., Any],
    tasks: Iterator[Task],
    packings: tuple[Packing, ...],
    names: tuple[str, ...] | None,
    how: How,
) -> Results:
    if not callable(func):
        message = f"map: {func!r} is no function"
        raise InvalidInput(message)
    count = None if how.n_workers is None else checked_chunk_shape((how.n_workers,), what="n_workers")[0]
    pool, size = _pool(how.workers, count)
    inside = how.workers == THREADS or isinstance(how.workers, ThreadPoolExecutor)
    work = Work(func if inside else _pickled(func), packings, names)
    return _results(pool, work, tasks, _AHEAD * size, ordered=how.ordered)


def _pickled(func: Callable[..., Any]) -> bytes:
    """Return a function as another process understands it."""
    try:
        sent: bytes = _pickler().dumps(func)
    except (pickle.PicklingError, TypeError, AttributeError, ValueError, RecursionError) as error:
        message = f"map: {func!r} cannot be sent to another process: {error}; say workers='threads'"
        raise InvalidInput(message) from error
    return sent


def _pickler() -> Any:
    """Return what pickles; cloudpickle sends also what a script or notebook defines."""
    try:
        return importlib.import_module("cloudpickle")
    except ImportError:
        return pickle


# ── workers ──────────────────────────────────────────────────────────────────────────────────────────


def _pool(workers: Any, count: int | None) -> tuple[Any, int]:
    """Return a context that gives what takes work, and how many work there. Executors of others stay open."""
    if workers in (PROCESSES, THREADS):
        size = count or os.cpu_count() or 1
        # a process that is forked from one with threads, as zarr has them, may wait for a lock that nobody holds
        spawned = functools.partial(ProcessPoolExecutor, size, multiprocessing.get_context("spawn"))
        return _own(spawned if workers == PROCESSES else functools.partial(ThreadPoolExecutor, size)), size
    if hasattr(workers, "get_executor"):
        cores = sum(workers.nthreads().values())
        return contextlib.nullcontext(_of_dask(workers)), count or max(1, cores)
    if isinstance(workers, Executor):
        return contextlib.nullcontext(workers.submit), count or getattr(
            workers, "_max_workers", None
        ) or os.cpu_count() or 1
    message = f"map: workers={workers!r}; expected 'processes', 'threads', an Executor or a Client of dask.distributed"
    raise InvalidInput(message)


@contextlib.contextmanager
def _own(make: Callable[[], Executor]) -> Iterator[Submit]:
    with make() as executor:
        yield executor.submit


def _of_dask(client: Any) -> Submit:
    """Return what sends work by a client: codes go to the worker by themselves, for a task is not meant to be large."""
    executor = client.get_executor(pure=False)

    def submit(work: Work, place: Any, *codes: Values) -> Future[Any]:
        sent: Future[Any] = executor.submit(work, place, *client.scatter(list(codes), hash=False))
        return sent

    return submit


def _results(pool: Any, work: Work, tasks: Iterator[Task], most: int, *, ordered: bool) -> Results:
    under_way: dict[Future[Any], Any] = {}
    with contextlib.ExitStack() as stack:
        submit = stack.enter_context(pool)
        stack.callback(_cancel, under_way)
        for task in tasks:
            under_way[_submitted(submit, work, task)] = task.place
            if len(under_way) >= most:
                yield from _finished(under_way, ordered=ordered)
        while under_way:
            yield from _finished(under_way, ordered=ordered)


def _submitted(submit: Submit, work: Work, task: Task) -> Future[Any]:
    try:
        return submit(work, task.place, *task.codes)
    except BrokenExecutor as error:
        raise _lost(task.place) from error


def _finished(under_way: dict[Future[Any], Any], *, ordered: bool) -> Results:
    """Wait for the next result, and yield those that are there."""
    if ordered:
        done = {next(iter(under_way))}
        futures.wait(done)
    else:
        done, _ = futures.wait(under_way, return_when=futures.FIRST_COMPLETED)
    for future in [each for each in under_way if each in done]:
        place = under_way.pop(future)
        result = _result(future, place)
        if result is not None:
            yield place, result


def _result(future: Future[Any], place: Any) -> Any:
    error = future.exception()
    if error is None:
        found = future.result()
        return _read(found, place) if isinstance(found, Result) else found
    if isinstance(error, BrokenExecutor):
        raise _lost(place) from error
    error.add_note(f"in block {place}")
    error.block = place  # type: ignore[attr-defined]
    raise error


def _read(found: Result, place: Any) -> Any:
    try:
        return pickle.loads(found.sent)
    except _UNREAD as error:
        message = f"map: what the function returned for block {place} cannot be read back from its process: {error}"
        raise InvalidInput(message) from error


def _lost(place: Any) -> WorkerLost:
    message = (
        f"a worker process ended without a word, block {place} or another under way with it: killed, out of memory, or "
        "it could not start, as from a script without: if __name__ == '__main__'"
    )
    return WorkerLost(message, block=place)


def _cancel(under_way: dict[Future[Any], Any]) -> None:
    for future in under_way:
        future.cancel()
