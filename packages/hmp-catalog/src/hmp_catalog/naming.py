"""What a new run is called where its name is taken: kept beside the other, refused, numbered, or put in its place."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from hmp_catalog import queries, reuse
from hmp_catalog.errors import DuplicateSimulationName
from hmp_catalog.recorder import Recorder
from hmp_catalog.records import spec_of
from hmp_core.errors import InvalidInput

if TYPE_CHECKING:
    from hmp_catalog.catalog import SimulationCatalog
    from hmp_core.events import EventStore

MODES = ("keep", "fail", "version", "replace")
_VERSION = re.compile(r"(?P<stem>.+)\.v(?P<number>\d+)")


def require_mode(if_exists: str) -> None:
    """Refuse a mode that is none."""
    if if_exists not in MODES:
        message = f"if_exists is {if_exists!r}, expected one of {', '.join(MODES)}"
        raise InvalidInput(message)


def record(catalog: SimulationCatalog, said: dict[str, Any], if_exists: str) -> Recorder:
    """Open a run; see `SimulationCatalog.record`."""
    require_mode(if_exists)
    catalog.store.authorize(write=True, what=f"record {said['name'] or said['solver']}")
    parent = said.get("parent")
    if parent is not None:
        said["parent"] = parent.sim_id if hasattr(parent, "sim_id") else catalog[parent].sim_id
    own_id, wanted = said.get("sim_id") is not None, reuse.wish(said)
    recorder = Recorder(catalog.store, catalog.path, catalog.workspace, spec_of(said))
    start = partial(begin, catalog.store, recorder, if_exists=if_exists, own_id=own_id)
    return start() if wanted is None else reuse.finished_or_begun(catalog, recorder, wanted, start)


def begin(store: EventStore, recorder: Recorder, *, if_exists: str, own_id: bool) -> Recorder:
    """Open a run under a name that agrees with the mode; see `SimulationCatalog.record`.

    Raises
    ------
    DuplicateSimulationName
        If the name is taken and that is to be refused, or the id is that of another run.
    """
    name = recorder.said.spec.name
    if not own_id and (if_exists == "keep" or name is None):
        return recorder.begin()
    # what takes time (hashing the inputs) is done; the lock is held for the question and the answer
    with store.immediate() as backend:
        if own_id and queries.is_taken(backend, recorder.sim_id):
            message = f"there is, or was, a simulation {recorder.sim_id} in {store.path.parent.name}"
            raise DuplicateSimulationName(message, name=name)
        same = [known for known, named, _ in queries.names(backend) if named == name and name is not None]
        if same and if_exists == "fail":
            message = f"simulation {same[0]} ({name}) exists in {store.path.parent.name}"
            raise DuplicateSimulationName(message, name=name)
        if if_exists == "version" and name is not None:
            recorder.said.restate(name=next_version(name, queries.names_ever(backend)))
        begun = recorder.begin()
    if if_exists == "replace":
        # the new one is there first: a process that dies in between leaves both, and loses neither
        from hmp_catalog.lifecycle import Lifecycle

        for known in same:
            Lifecycle(store).trash(known)
    return begun


def next_version(name: str, known: Iterable[str]) -> str:
    """Return ``name``, or where it, or a version of it, was ever given, the version after the last.

    Examples
    --------
    >>> next_version("base", ["base", "base.v3", "other"])
    'base.v4'
    """
    match = _VERSION.fullmatch(name)
    stem = match["stem"] if match else name
    numbers = [1 for each in known if each == stem]
    numbers += [int(found["number"]) for each in known if (found := _VERSION.fullmatch(each)) and found["stem"] == stem]
    return f"{stem}.v{max(numbers) + 1}" if numbers else name
