"""Experiments: chains of preprocessing and model that were trained on datasets, kept, ranked, replayed, exported.

The way in is `WorkspaceStore`; `predict` needs a bundle and no store. Needs the extra ``experiments``.
"""

from __future__ import annotations

from hmp_catalog.experiments.library import PipelineLibrary
from hmp_catalog.experiments.predicting import predict
from hmp_catalog.experiments.store import WorkspaceStore

__all__ = ["PipelineLibrary", "WorkspaceStore", "predict"]
