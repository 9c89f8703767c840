"""Several downloads at once: each by itself, in the order they were asked for, one that fails stopping no other."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any

from hmp_cache.addresses import file_name, public
from hmp_cache.arrival import Arrival
from hmp_cache.fetching import lock_name
from hmp_cache.labels import Label
from hmp_cache.progress import Progress, Step, shown
from hmp_cache.records import Entry, Fetched
from hmp_core.durable import refusal
from hmp_core.errors import HmpError, InvalidInput


def fetch_many(
    fetch: Callable[..., Entry],
    requests: Iterable[str | Mapping[str, Any]],
    said: Mapping[str, Any],
    *,
    at_once: int,
    progress: bool | Progress | None,
    each: Callable[[Fetched], None] | None = None,
) -> list[Fetched]:
    """Fetch several inputs; see `InputsNamespace.fetch_many`.

    Parameters
    ----------
    fetch
        `InputsNamespace.fetch`.
    said
        What is said of all requests that do not say otherwise.
    """
    if at_once < 1:
        message = f"at_once is {at_once}; expected at least one download at a time"
        raise InvalidInput(message)
    asked = [{**said, **({"uri": wanted} if isinstance(wanted, str) else wanted)} for wanted in requests]
    with shown(progress) as told:
        work = _Work(fetch, asked, told, each)
        with ThreadPoolExecutor(at_once, thread_name_prefix="hmp-fetch") as threads:
            _wait([threads.submit(work.through, chain) for chain in _chains(asked)], work, threads)
    return [work.outcome[number] for number in range(len(asked))]


def _wait(futures: Sequence[Future[None]], work: _Work, threads: ThreadPoolExecutor) -> None:
    try:
        for future in wait(futures, return_when=FIRST_EXCEPTION).done:
            future.result()
    except BaseException:  # Ctrl-C, or a mistake of ours: what is under way stops at its next byte
        work.stopped.set()
        threads.shutdown(wait=False, cancel_futures=True)
        raise


def _chains(asked: Sequence[Mapping[str, Any]]) -> list[list[int]]:
    """Return the numbers of the requests, those together that would wait for one another."""
    chains: dict[str, list[int]] = {}
    for number, request in enumerate(asked):
        chains.setdefault(_lock(request) or str(number), []).append(number)
    return list(chains.values())


def _lock(request: Mapping[str, Any]) -> str | None:
    """Return what a request holds while it is under way; None if that cannot be said, or it will be refused."""
    said = {key: request[key] for key in Label.__dataclass_fields__ if key in request and key != "parents"}
    try:
        label = Label(**{"source": "url", **said})
    except (HmpError, TypeError):
        return None
    uri = request.get("uri")
    shown_as = public(uri) if isinstance(uri, str) else ""
    return lock_name(Arrival(label, file_name(shown_as), stand_in=shown_as))


@dataclass(slots=True)
class _Work:
    fetch: Callable[..., Entry]
    asked: Sequence[Mapping[str, Any]]
    told: Progress | None
    each: Callable[[Fetched], None] | None
    outcome: dict[int, Fetched] = field(default_factory=dict)
    stopped: threading.Event = field(default_factory=threading.Event)
    telling: threading.Lock = field(default_factory=threading.Lock)

    def through(self, chain: Sequence[int]) -> None:
        """Fetch some of the inputs, one after the other."""
        for number in chain:
            if self.stopped.is_set():
                return
            found = self.outcome[number] = self._one(self.asked[number])
            if self.each is not None:
                with self.telling:
                    self.each(found)

    def _one(self, request: Mapping[str, Any]) -> Fetched:
        try:
            unknown = sorted(request.keys() - _words(self.fetch))
            if unknown:
                message = f"{', '.join(unknown)}: not what one can say of a request; see fetch()"
                raise InvalidInput(message)
            return Fetched(request, entry=self.fetch(**{"progress": self._step, **request}))
        except HmpError as error:
            return Fetched(request, error=error)
        except OSError as error:
            return Fetched(request, error=refusal(error))

    def _step(self, step: Step) -> None:
        if self.stopped.is_set():
            raise KeyboardInterrupt
        if self.told is not None:
            self.told(Step(step.uri, step.bytes, step.total, len(self.outcome), len(self.asked)))


def _words(fetch: Callable[..., Entry]) -> set[str]:
    return set(inspect.signature(fetch).parameters)
