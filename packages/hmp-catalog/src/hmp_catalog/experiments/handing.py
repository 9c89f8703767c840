"""What a store hands out by an id: predictions of a chain, and files that stand alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hmp_catalog.experiments import bundles, exports, provenance, queries
from hmp_catalog.experiments.keeper import Keeper
from hmp_catalog.experiments.loading import Loading
from hmp_catalog.experiments.recording import missing
from hmp_catalog.experiments.replaying import replay
from hmp_core.paths import to_local

if TYPE_CHECKING:
    from upath import UPath


class Handing:
    """The verbs of a store that replay and export."""

    def __init__(self, keeper: Keeper, loading: Loading) -> None:
        self._keeper = keeper
        self._loading = loading

    def replay(self, chain_id: str, x: Any, wavelengths: Any) -> Any:
        """See `WorkspaceStore.replay_chain`."""
        with self._keeper.reading() as backend:
            chain = _there(queries.chain(backend, chain_id), chain_id, "chain")
        return replay(chain, self._loading.load, x, wavelengths)

    def chain(self, chain_id: str, output_path: str | Path | UPath, format: str) -> Path:  # noqa: A002
        """See `WorkspaceStore.export_chain`."""
        with self._keeper.reading() as backend:
            chain = _there(queries.chain(backend, chain_id), chain_id, "chain")
            pipeline = queries.pipeline(backend, chain["pipeline_id"]) or {}
            trained = provenance.origin(pipeline, queries.run(backend, pipeline.get("run_id", "")) or {})
        return bundles.write(chain, self._loading.read, to_local(output_path), format, origin=trained)

    def pipeline_config(self, pipeline_id: str, output_path: str | Path | UPath) -> Path:
        """See `WorkspaceStore.export_pipeline_config`."""
        with self._keeper.reading() as backend:
            found = _there(queries.pipeline(backend, pipeline_id), pipeline_id, "pipeline")
        return exports.config_to_json(found, to_local(output_path))

    def run(self, run_id: str, output_path: str | Path | UPath) -> Path:
        """See `WorkspaceStore.export_run`."""
        with self._keeper.reading() as backend:
            found = _there(queries.whole_run(backend, run_id), run_id, "run")
        return exports.run_to_yaml(found, to_local(output_path))


def _there(found: dict[str, Any] | None, identity: str, noun: str) -> dict[str, Any]:
    if found is None:
        raise missing(identity, noun)
    return found
