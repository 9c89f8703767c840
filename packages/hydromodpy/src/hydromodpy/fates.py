"""What has become of the bytes that runs consumed: asked once a workspace, however many runs there are.

What a run recorded is looked for by entry and SHA-256. A run that came in a package names entries of another cache:
then the bytes themselves are looked for. What the cache never knew is a file, and is looked at as one.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, cast

from hmp_core.errors import PathEscape
from hmp_core.identity import sha256_path
from hmp_core.paths import from_relative
from hydromodpy.reading import AT_ONCE, CacheReader, has_cache
from hydromodpy.records import Consumed, Recorded, State

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from hmp_cache import Entry
    from hmp_catalog import Run
    from hmp_core.protocols import AuthBackend

#: Where an import of runs puts an input whose place is taken; see `hmp_catalog.importing`.
_IMPORTED = "data/imported"


def fates(
    workspace: Path, recorded: Iterable[Recorded], auth: AuthBackend | None
) -> tuple[dict[Recorded, Consumed], str]:
    """Return what has become of each input, in the workspace whose runs recorded it, and what the answer lacks."""
    wanted = list(dict.fromkeys(recorded))
    with opened(workspace, auth) if wanted else contextlib.nullcontext() as cache:
        return fates_in(workspace, wanted, cache), cache.lack if cache is not None else ""


def fates_in(workspace: Path, wanted: Sequence[Recorded], cache: CacheReader | None) -> dict[Recorded, Consumed]:
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


def opened(workspace: Path, auth: AuthBackend | None) -> AbstractContextManager[CacheReader | None]:
    """Open the input cache of a workspace; None where it has none, and none is made."""
    return CacheReader(workspace, auth) if has_cache(workspace) else contextlib.nullcontext()


class _Known:
    """What a cache knows of some inputs."""

    def __init__(self, cache: CacheReader) -> None:
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
        versions, now = self._cache.versions({key: sorted(values)} if len(values) <= AT_ONCE else {})
        for each in versions:
            self._versions[str(each.id), each.sha256] = each
            self._holders.setdefault(each.sha256, []).append(each)
        self._now |= {str(each.id): each for each in now}

    def fate(self, one: Recorded) -> Consumed:
        """Return what has become of an input."""
        version = self._version(one)
        if version is None:
            return _told(one, _of_file(one, self._cache.workspace))
        now = self._now.get(str(version.id))
        if now is None:
            return _told(one, self._of_removed(one, version), version=version)
        is_current = now.artifact_id == version.artifact_id
        state = cast("State", now.state) if is_current else self._of_former(version)
        # what came in a package is a file of its own, which stays when the bytes of an input here go
        came = str(version.id) != one.entry_id and state in {"purged", "missing"}
        if came and _of_file(one, self._cache.workspace) == "current":
            state = "current" if is_current else "superseded"
        return _told(one, state, now, version)

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


def places(path: str, sha256: str) -> tuple[str, str]:
    """Return where the bytes of an input may lie: where they lay, or beside, where an import put them."""
    return path, f"{_IMPORTED}/{sha256[:12]}/{PurePosixPath(path).name}"


def _of_file(one: Recorded, workspace: Path) -> State:
    """Return the state of what the cache does not know: the file itself is all there is to ask."""
    states = [_of_path(kept, one.sha256, workspace) for kept in places(one.path, one.sha256)]
    return "current" if "current" in states else states[0]


def _of_path(kept: str, sha256: str, workspace: Path) -> State:
    try:
        file = from_relative(kept, workspace)
    except PathEscape:
        return "missing"
    if not file.exists():
        return "missing"
    return "current" if sha256_path(file) == sha256 else "modified"
