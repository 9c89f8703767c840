"""What has become of the bytes that runs consumed: asked once a workspace, however many runs there are.

What a run recorded is looked for by entry and SHA-256. A run that came in a package names entries of another cache:
then the bytes themselves are looked for. What the cache never knew is a file, and is looked at as one.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, cast

from hmp_core.errors import PathEscape
from hmp_core.identity import sha256_path
from hmp_core.layout import cache_path, internal_folder
from hmp_core.paths import from_relative
from hydromodpy.records import Consumed, Recorded, State

if TYPE_CHECKING:
    from hmp_cache import Entry, InputsNamespace
    from hmp_catalog import Run
    from hmp_core.protocols import AuthBackend

#: How many inputs are asked for by their ids; of more, all are asked for: that takes 0.1 s a 10,000.
_AT_ONCE = 1000

#: Where an import of runs puts an input whose place is taken; see `hmp_catalog.importing`.
_IMPORTED = "data/imported"


def fates(
    workspace: Path, recorded: Iterable[Recorded], auth: AuthBackend | None
) -> tuple[dict[Recorded, Consumed], str]:
    """Return what has become of each input, in the workspace whose runs recorded it, and what the answer lacks."""
    wanted = list(dict.fromkeys(recorded))
    with opened(workspace, auth) if wanted else contextlib.nullcontext() as cache:
        return fates_in(workspace, wanted, cache), lack(cache)


def lack(cache: InputsNamespace | None) -> str:
    """Return what the last answer of a cache lacks; empty where it is complete."""
    return f"the answer of the cache is not complete: {cache.notice}" if cache is not None and cache.notice else ""


def fates_in(workspace: Path, wanted: Sequence[Recorded], cache: InputsNamespace | None) -> dict[Recorded, Consumed]:
    """Return the same from a cache that is open; None where a workspace has none."""
    if cache is None:
        return {one: _told(one, _of_file(one, workspace)) for one in wanted}
    known = _Known(cache)
    known.ask(wanted)
    return {one: known.fate(one) for one in wanted}


def recorded_by(run: Run) -> list[Recorded]:
    """Return what a run recorded of its inputs, in the order of `hmp_catalog.Run.provenance`."""
    table = run.provenance
    names = ("variable", "data_provider", "source_sha256", "file_path", "entry_id", "artifact_id", "license")
    return [Recorded(*row) for row in zip(*(table[name].to_pylist() for name in names), strict=True)]


@contextlib.contextmanager
def opened(workspace: Path, auth: AuthBackend | None) -> Iterator[InputsNamespace | None]:
    """Open the input cache of a workspace; None where it has none, and none is made.

    What is frozen is what a run may be given, not what became of what it was given: all that there is answers.
    """
    if not has_cache(workspace):
        yield None
        return
    from hmp_cache import InputsNamespace

    with InputsNamespace(workspace, auth=auth, frozen=False) as cache:
        yield cache


def has_cache(workspace: Path) -> bool:
    """Return whether a workspace has an input cache, or the log that one can be made from."""
    database = cache_path(workspace)
    return any(map(os.path.exists, (database, internal_folder(database), database.with_name("events"))))


class _Known:
    """What a cache knows of some inputs."""

    def __init__(self, cache: InputsNamespace) -> None:
        self._cache = cache
        #: entry id -> the entry as it is now, looked at; without those that were removed
        self._now: dict[str, Entry] = {}
        #: (entry id, SHA-256) -> that version
        self._versions: dict[tuple[str, str], Entry] = {}
        #: SHA-256 -> all versions with these bytes
        self._holders: dict[str, list[Entry]] = {}

    def ask(self, wanted: Sequence[Recorded]) -> None:
        """Ask for these: by their entries, and by their bytes where those say nothing of them, or have them no more."""
        self._learn("id", {one.entry_id for one in wanted if one.entry_id is not None})
        lost = set()
        for one in wanted:
            version = self._versions.get((one.entry_id or "", one.sha256))
            if version is None or version.state in {"purged", "missing"}:
                lost.add(one.sha256)
        self._learn("sha256", lost)

    def _learn(self, key: str, values: set[str]) -> None:
        if not values:
            return
        from hmp_cache import queries
        from hmp_cache.shelf import Shelf

        asked: Mapping[str, Any] = {key: sorted(values)} if len(values) <= _AT_ONCE else {}
        with self._cache.reading() as backend:
            shelf = Shelf(self._cache.workspace, self._cache.auth)
            versions = queries.entries(queries.every(backend, asked, removed=True), shelf)
        for each in versions:
            self._versions[str(each.id), each.sha256] = each
            self._holders.setdefault(each.sha256, []).append(each)
        unseen = {str(each.id) for each in versions} - self._now.keys()
        asked = {"id": sorted(unseen)} if len(unseen) <= _AT_ONCE else {}
        self._now |= {str(each.id): each for each in self._cache.check(**asked)} if unseen else {}

    def fate(self, one: Recorded) -> Consumed:
        """Return what has become of an input."""
        version = self._version(one)
        if version is None:
            return _told(one, _of_file(one, self._cache.workspace))
        now = self._now.get(str(version.id))
        if now is None:
            return _told(one, self._of_removed(one, version), version=version)
        is_current = now.artifact_id == version.artifact_id
        return _told(one, cast("State", now.state) if is_current else self._of_former(version), now, version)

    def _version(self, one: Recorded) -> Entry | None:
        known = self._versions.get((one.entry_id or "", one.sha256))
        if known is not None:
            return known
        holders = [each for each in self._holders.get(one.sha256, ()) if str(each.id) in self._now]
        if one.entry_id is None:  # it was given as a path: the entry that has its home there, if one has
            holders = [each for each in holders if self._now[str(each.id)].relative_path == one.path]
        return min(holders, key=self._rank, default=None)

    def _rank(self, each: Entry) -> tuple[bool, str]:
        return self._now[str(each.id)].artifact_id != each.artifact_id, str(each.id)

    def _of_former(self, version: Entry) -> State:
        """Return the state of a version that is not the current one of its entry."""
        if version.state == "superseded":
            same = os.path.getsize(version.path) == version.size if version.path.exists() else None
            return "missing" if same is None else "superseded" if same else "modified"
        if version.state == "current" or self._is_held(version.sha256):  # the former: superseded since it was asked for
            return "superseded"
        return cast("State", version.state)

    def _of_removed(self, one: Recorded, version: Entry) -> State:
        """Return the state of a version whose entry was removed: its owner's file may still be there."""
        state = _of_file(one, self._cache.workspace)
        if state != "missing":
            return state
        return "superseded" if version.state == "superseded" or self._is_held(version.sha256) else "purged"

    def _is_held(self, sha256: str) -> bool:
        """Return whether another input has these bytes here."""
        for each in self._holders.get(sha256, ()):
            now = self._now.get(str(each.id))
            current = now is not None and now.artifact_id == each.artifact_id and now.state == "current"
            if current or each.state == "superseded":
                return True
        return False


def _told(one: Recorded, state: State, entry: Entry | None = None, version: Entry | None = None) -> Consumed:
    return Consumed(
        one.variable,
        one.source,
        one.sha256,
        one.path,
        state,
        entry,
        version,
        one.entry_id,
        one.artifact_id,
        one.license,
    )


def _of_file(one: Recorded, workspace: Path) -> State:
    """Return the state of what the cache does not know: the file itself is all there is to ask."""
    beside = f"{_IMPORTED}/{one.sha256[:12]}/{PurePosixPath(one.path).name}"
    states = [_of_path(kept, one.sha256, workspace) for kept in (one.path, beside)]
    return "current" if "current" in states else states[0]


def _of_path(kept: str, sha256: str, workspace: Path) -> State:
    try:
        file = from_relative(kept, workspace)
    except PathEscape:
        return "missing"
    if not file.exists():
        return "missing"
    return "current" if sha256_path(file) == sha256 else "modified"
