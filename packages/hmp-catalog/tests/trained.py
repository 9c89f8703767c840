"""Chains of scikit-learn that were trained here, and their artefacts in memory, as a store keeps them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from hmp_catalog.experiments.artifacts import load, serialised
from hmp_core.identity import derived_id

Values = np.ndarray[Any, Any]
FOLDS = 5


@dataclass
class Shelf:
    """Artefacts by their ids: what a store says of them, and their bytes."""

    kept: dict[str, tuple[dict[str, Any], bytes]] = field(default_factory=dict)

    def put(self, obj: Any, kind: str = "transformer", form: str = "joblib") -> str:
        content = serialised(obj, form)
        artifact_id = str(derived_id("artifact", content.sha256, content.extension))
        said = {
            "artifact_id": artifact_id,
            "content_hash": content.sha256,
            "operator_class": f"{type(obj).__module__}.{type(obj).__qualname__}",
            "artifact_type": kind,
            "format": form,
            "size_bytes": len(content.data),
        }
        self.kept[artifact_id] = said, content.data
        return artifact_id

    def read(self, artifact_id: str) -> tuple[dict[str, Any], bytes]:
        return self.kept[artifact_id]

    def load(self, artifact_id: str) -> Any:
        said, data = self.kept[artifact_id]
        return load(data, said["format"])


@dataclass
class Trained:
    """A chain, what it was trained on, and what it may be asked."""

    chain: dict[str, Any]
    shelf: Shelf
    asked: Values


def _chain(name: str, steps: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {
        "chain_id": f"00000000-0000-4000-8000-{len(name):012}",
        "pipeline_id": "11111111-1111-4111-8111-111111111111",
        "steps": steps,
        "model_step_idx": steps[-1]["step_idx"],
        "model_class": steps[-1]["operator_class"],
        "preprocessings": 'MinMax>"""Log1p\\',
        "fold_strategy": "per_fold",
        "branch_path": None,
        "source_index": None,
        "created_at": datetime(2025, 3, 4, 5, 6, 7, 8),
    } | more


def _spectra(targets: int) -> tuple[Values, Values]:
    rng = np.random.default_rng(7)
    return rng.random((60, 12)), rng.random((60, targets)) * 100


def regression() -> Trained:
    """Return minmax, log1p, a scaled target, and five ridges."""
    shelf, (X, y) = Shelf(), _spectra(1)
    scaler, target = MinMaxScaler().fit(X), StandardScaler().fit(y)
    features, scaled = np.log1p(scaler.transform(X)), target.transform(y).ravel()
    folds = {
        f"fold_{n}": shelf.put(Ridge(0.1 * (n + 1)).fit(features[n::2], scaled[n::2]), "model") for n in range(FOLDS)
    }
    steps = [
        {"step_idx": 1, "operator_class": "sklearn.preprocessing.MinMaxScaler", "params": {}, "stateless": False},
        {"step_idx": 2, "operator_class": "numpy.log1p", "params": None, "stateless": True},
        {
            "step_idx": 3,
            "operator_class": "sklearn.preprocessing.StandardScaler",
            "params": {"note": "été"},
            "stateless": False,
            "operator_type": "y_processing",
        },
        {"step_idx": 4, "operator_class": "sklearn.linear_model.Ridge", "params": {"alpha": 0.1}, "stateless": False},
    ]
    shared = {"1": [shelf.put(scaler)], "3": [shelf.put(target)]}
    chain = _chain("regression", steps, fold_artifacts=folds, shared_artifacts=shared)
    return Trained(chain, shelf, np.random.default_rng(8).random((9, 12)))


def several() -> Trained:
    """Return a scaler and ridges for three targets; the artefacts are kept by pickle."""
    shelf, (X, y) = Shelf(), _spectra(3)
    scaler = StandardScaler().fit(X)
    models = [Ridge(n + 1.0).fit(scaler.transform(X), y) for n in range(2)]
    steps = [
        {"step_idx": 1, "operator_class": "sklearn.preprocessing.StandardScaler", "params": {}, "stateless": False},
        {"step_idx": 2, "operator_class": "sklearn.linear_model.Ridge", "params": {}, "stateless": False},
    ]
    folds = {f"fold_{n}": shelf.put(model, "model", "pickle") for n, model in enumerate(models)}
    chain = _chain("several", steps, fold_artifacts=folds, shared_artifacts={"1": shelf.put(scaler, form="pickle")})
    return Trained(chain, shelf, np.random.default_rng(9).random((7, 12)))


def classification() -> Trained:
    """Return three classifiers with labels that are text, one of them with a comma."""
    shelf, (X, _) = Shelf(), _spectra(1)
    labels = np.array(["clay", "loam, sandy", "été"])[np.digitize(X[:, 0], [0.3, 0.6])]
    models = [LogisticRegression(C=10.0**n).fit(X[n::2], labels[n::2]) for n in range(3)]
    steps = [
        {"step_idx": 1, "operator_class": "sklearn.linear_model.LogisticRegression", "params": {}, "stateless": False}
    ]
    folds = {f"fold_{n}": shelf.put(model, "model") for n, model in enumerate(models)}
    chain = _chain("classification", steps, fold_artifacts=folds, shared_artifacts={})
    return Trained(chain, shelf, np.random.default_rng(10).random((8, 12)))
