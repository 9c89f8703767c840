"""Experiments: chains of preprocessing and model that were trained on datasets, kept, ranked, replayed, exported.

The way in is `run`, or `WorkspaceStore` where training is your own; `predict` needs a bundle and no store. Needs the
extra ``experiments``.
"""

from __future__ import annotations

from hmp_catalog.experiments.building import ChainBuilder
from hmp_catalog.experiments.bundles import Bundle
from hmp_catalog.experiments.library import PipelineLibrary
from hmp_catalog.experiments.predicting import predict, replay_chain
from hmp_catalog.experiments.store import WorkspaceStore
from hmp_catalog.experiments.tracing import ExecutionStep, ExecutionTrace, StepArtifacts, TraceRecorder
from hmp_catalog.experiments.training.result import Result
from hmp_catalog.experiments.training.running import run

__all__ = [
    "Bundle",
    "ChainBuilder",
    "ExecutionStep",
    "ExecutionTrace",
    "PipelineLibrary",
    "Result",
    "StepArtifacts",
    "TraceRecorder",
    "WorkspaceStore",
    "predict",
    "replay_chain",
    "run",
]
