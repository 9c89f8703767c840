"""What a run was trained on: its data sets as they were said, with the bytes of those that lie in the workspace.

A data set that comes from the input cache, or from a file of the workspace, is recorded with entry, version, SHA-256
and relative path, as what a simulation consumes is (`hmp_catalog.inputs`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hmp_catalog.errors import ExperimentNotFound, InputChanged
from hmp_catalog.experiments.values import kept
from hmp_catalog.inputs import InputEntry, describe
from hmp_core.errors import HmpError, InvalidInput
from hmp_core.layout import workspace_root
from hmp_core.paths import to_local

if TYPE_CHECKING:
    from hmp_catalog.experiments.store import WorkspaceStore

#: The key under which a data set has what is recorded of its bytes: a list of facts, of one input each.
INPUTS = "inputs"
#: What is recorded of an input in any case; see `hmp_catalog.inputs.describe`.
_FACTS = ("variable", "source", "sha256", "path", "entry_id", "artifact_id", "license")


def described(datasets: Any, folder: Path) -> list[Any]:
    """Return data sets as they are recorded: plain, with the facts of their bytes under ``inputs``.

    Parameters
    ----------
    datasets
        What is known of each data set: a mapping, a name, or an entry of the input cache. In a mapping ``entry`` is
        such an entry (or a list of them), ``path`` a file or folder, ``inputs`` facts that were recorded before. A
        path outside the workspace, or where nothing is, stays as it was said.
    folder
        The folder of the store.

    Raises
    ------
    InputChanged
        If the file of an entry is not what the cache registered.
    InvalidInput
        If it is no list, or one of its items cannot be kept.
    """
    no_list = isinstance(datasets, (str, bytes, Mapping)) or not isinstance(datasets, Iterable)
    if no_list or getattr(datasets, "ndim", 1) == 0:
        message = f"datasets is a {type(datasets).__name__}, expected a list of mappings"
        raise InvalidInput(message)
    workspace = workspace_root(folder)
    return [_described(item, f"datasets[{n}]", folder, workspace) for n, item in enumerate(datasets)]


def _described(item: Any, where: str, folder: Path, workspace: Path | None) -> Any:
    if isinstance(item, InputEntry):
        item = {"name": item.variable, "entry": item}
    if not isinstance(item, Mapping):
        return kept(item, where)
    said = dict(item)
    entries = _entries(said.pop("entry", None))
    facts = [*said.pop(INPUTS, ())] if isinstance(said.get(INPUTS), Sequence) else []
    facts = [*(each for each in facts if not isinstance(each, InputEntry)), *(_of_entry(e, workspace) for e in entries)]
    if "path" in said and workspace is not None:
        facts += _of_path(said["path"], folder, workspace)
    if "path" in said:
        said["path"] = _text(said["path"])
    return kept(said | ({INPUTS: facts} if facts else {}), where)


def _entries(said: Any) -> list[InputEntry]:
    if said is None:
        return []
    entries: list[Any] = (
        [said] if isinstance(said, InputEntry) else list(said) if isinstance(said, Iterable) else [None]
    )
    if not all(isinstance(entry, InputEntry) for entry in entries):
        message = f"entry is a {type(said).__name__}, expected an entry of the input cache, or a list of them"
        raise InvalidInput(message)
    return entries


def _of_entry(entry: InputEntry, workspace: Path | None) -> dict[str, Any]:
    """Return the facts of an entry, whose bytes are compared with what was registered where they can be had."""
    home = getattr(entry, "workspace", None) or workspace
    if home is not None:
        try:
            return describe([entry], to_local(home))[0]
        except InputChanged:
            raise
        except HmpError:  # its bytes are out of reach: what is known of them is recorded
            pass
    values = (entry.variable, entry.source, entry.sha256, entry.relative_path, str(entry.id), str(entry.artifact_id))
    return {"role": "input"} | dict(zip(_FACTS, (*values, getattr(entry, "license", None)), strict=True))


def _of_path(said: Any, folder: Path, workspace: Path) -> list[dict[str, Any]]:
    """Return the facts of a file or folder of the workspace; nothing of what is none."""
    try:
        path = to_local(said)
        if not path.exists() and isinstance(said, (str, os.PathLike)):
            path = workspace / said  # an absolute one stays as it is
        if not path.exists() or _is_live(path, folder):
            return []
        return describe([path], workspace)
    except (HmpError, OSError, TypeError, ValueError):  # outside, elsewhere, or no path at all
        return []


def _is_live(path: Path, folder: Path) -> bool:
    """Return whether a path is a database, or a folder with one: these are never read as files."""
    real, store = Path(os.path.realpath(path)), Path(os.path.realpath(folder))
    if real == store or real in store.parents or real.suffix == ".duckdb":
        return True
    return real.is_dir() and any(real.rglob("*.duckdb"))


def _text(said: Any) -> Any:
    return said.as_posix() if isinstance(said, Path) else str(said) if hasattr(said, "protocol") else said


# ── what became of it ────────────────────────────────────────────────────────────────────────────────


def recorded(datasets: Any) -> Iterator[dict[str, Any]]:
    """Yield the facts of every input in the data sets of a run, each once, with the columns that are always there."""
    seen = set()
    for item in datasets if isinstance(datasets, list) else ():
        facts = item.get(INPUTS) if isinstance(item, Mapping) else None
        for fact in facts if isinstance(facts, list) else ():
            if not isinstance(fact, Mapping) or not fact.get("sha256") or not fact.get("path"):
                continue
            known = {name: fact.get(name) for name in _FACTS}
            key = tuple(known.values())
            if key not in seen:
                seen.add(key)
                yield known | {"variable": known["variable"] or "", "source": known["source"] or ""}


def input_entries(store: WorkspaceStore, run_id: str) -> list[Any]:
    """Return what a run consumed, each with its state now; see `WorkspaceStore.input_entries`."""
    from hmp_catalog.run import bridge

    found = store.get_run(run_id)
    if found is None:
        message = f"no run goes by the id {run_id!r} in this store"
        raise ExperimentNotFound(message, reference=str(run_id), candidates=[])
    resolve = bridge("experiment_inputs")
    entries: list[Any] = resolve(store.path, list(recorded(found["datasets"])), store._asked["auth"])
    return entries
