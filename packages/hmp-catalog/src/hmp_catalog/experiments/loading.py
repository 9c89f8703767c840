"""Fitted objects by their ids: what an id stands for never changes, so that it is asked once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hmp_catalog.errors import ArtifactLost
from hmp_catalog.experiments import artifacts, queries
from hmp_catalog.experiments.keeper import Keeper
from hmp_catalog.experiments.recording import known_form, missing

#: How many ids are remembered.
_MANY = 10_000
#: So many of the newest are asked for with one that is not known: a chain names several, saved one after the other.
_BESIDE = 1_000


class Loading:
    """The verbs of a store that give fitted objects back."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._known: dict[str, dict[str, Any]] = {}

    def record(self, artifact_id: str) -> dict[str, Any] | None:
        """See `WorkspaceStore.artifact`."""
        with self._keeper.reading() as backend:
            return queries.artifact(backend, artifact_id)

    def path(self, artifact_id: str) -> Path:
        """See `WorkspaceStore.get_artifact_path`."""
        return self._keeper.files.path(self._asked(artifact_id)["artifact_path"])

    def load(self, artifact_id: str) -> Any:
        """See `WorkspaceStore.load_artifact`."""
        record, data = self.read(artifact_id)
        return artifacts.load(data, record["format"])

    def read(self, artifact_id: str) -> tuple[dict[str, Any], bytes]:
        """Return what is known of an artefact, and its bytes, which are checked.

        Raises
        ------
        ExperimentNotFound, ArtifactLost, ArtifactDamaged
            See `WorkspaceStore.load_artifact`.
        """
        self._keeper.authorize("read")
        record = self._known.get(known_form(artifact_id, "artefact"))
        if record is not None:
            try:
                return record, self._bytes(record)
            except ArtifactLost:
                self._known.pop(artifact_id, None)  # it may have been removed by somebody, and the id with it
        record = self._asked(artifact_id)
        return record, self._bytes(record)

    def _asked(self, artifact_id: str) -> dict[str, Any]:
        with self._keeper.reading() as backend:
            found = queries.artifact(backend, artifact_id)
            if found is None:
                raise missing(artifact_id, "artefact")
            beside = queries.newest_artifacts(backend, _BESIDE)
        if len(self._known) >= _MANY:
            self._known.clear()
        self._known |= {each["artifact_id"]: each for each in (*beside, found)}
        return found

    def _bytes(self, record: dict[str, Any]) -> bytes:
        return self._keeper.files.read(record["artifact_path"], record["content_hash"], record["artifact_id"])
