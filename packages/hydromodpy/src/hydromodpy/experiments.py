"""Experiments as consumers of inputs: what the runs of a store were trained on, beside what simulations consumed."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hmp_catalog.experiments.consumed import recorded
from hmp_catalog.experiments.opening import reading
from hmp_core.databases import Database
from hmp_core.errors import HmpError
from hmp_core.layout import anchor, experiments_path, has_experiments, projects
from hydromodpy.fates import fates
from hydromodpy.records import Inputs, Recorded

if TYPE_CHECKING:
    from hmp_core.protocols import AuthBackend

_RUNS = (
    "SELECT run_id, name, status, CAST(datasets AS VARCHAR) FROM runs "
    "WHERE CAST(datasets AS VARCHAR) LIKE '%\"sha256\"%' ORDER BY created_at, run_id"
)

#: Told of a place what could not be asked there, and why.
Note = Callable[[Path, str], None]


class Training(NamedTuple):
    """A run of an experiments store, and what it recorded of its inputs."""

    folder: Path
    run_id: str
    name: str | None
    status: str
    inputs: list[Recorded]


def experiment_inputs(folder: Path, facts: Iterable[Mapping[str, Any]], auth: AuthBackend | None) -> Inputs:
    """Return what a run of the store in a folder consumed, each with its state now.

    See `hmp_catalog.experiments.WorkspaceStore.input_entries`.
    """
    wanted = [_recorded(each) for each in facts]
    found, notice = fates(anchor(folder), wanted, auth)
    inputs = Inputs(found[one] for one in wanted)
    inputs.notice = notice
    return inputs


def trainings(folder: Path, auth: AuthBackend | None, timeout: float, note: Note) -> Iterator[Training]:
    """Yield the runs of the store of a folder that consumed something, the oldest first; none where there is no store.

    Where the store cannot be asked, or not for everything, that is noted.
    """
    if not has_experiments(folder):
        return
    known = Database("experiments", experiments_path(folder))
    rows: list[tuple[Any, ...]] = []
    try:
        asked = known.auth() if auth is None else auth
        with reading(known.path, auth=asked, resource=known.resource, timeout=timeout) as (backend, lack):
            rows = backend.fetch_all(_RUNS)
        if lack:
            note(known.path, f"the answer is not complete: {lack}")
    except HmpError as error:
        note(known.path, str(error))
    except OSError as error:
        note(known.path, f"it cannot be read: {error.strerror}")
    for run_id, name, status, datasets in rows:
        if inputs := [_recorded(each) for each in recorded(json.loads(datasets))]:
            yield Training(folder, run_id, name, status, inputs)


def folders(workspace: Path) -> list[Path]:
    """Return the workspace and its projects, as far as there are experiments in them."""
    with contextlib.suppress(OSError):  # whoever asks the projects says so
        return [each for each in (workspace, *projects(workspace)) if has_experiments(each)]
    return []


def _recorded(fact: Mapping[str, Any]) -> Recorded:
    return Recorded(**{name: fact[name] for name in Recorded._fields})
