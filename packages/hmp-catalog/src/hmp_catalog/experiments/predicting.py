"""Predictions in one call: from a bundle, or from a chain of a store."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hmp_catalog.experiments.bundles import SCRIPT, Bundle
from hmp_core.errors import InvalidInput

if TYPE_CHECKING:
    from hmp_catalog.experiments.store import WorkspaceStore
    from hmp_core.protocols import AuthBackend


def predict(
    model: Bundle | str | Path | None = None,
    data: Any = None,
    *,
    chain_id: str | None = None,
    workspace_path: str | Path | None = None,
    wavelengths: Any = None,
    auth: AuthBackend | None = None,
) -> Any:
    """Return what a trained chain predicts for new samples: of a bundle, or of a store.

    A bundle is code that is executed when it predicts: predict only with bundles that you trust.

    Parameters
    ----------
    model : Path or Bundle, optional
        A ``.n4a`` file; no workspace is needed.
    data : array of shape (n_samples, n_features)
        The samples, or a list of such where the chain has several sources; it is not changed.
    chain_id : str, optional
        A chain of the store in ``workspace_path``, in place of ``model``.
    workspace_path : Path, optional
        The folder of that store.
    wavelengths : array of shape (n_features,), optional
        For transformers that ask for them.
    auth : AuthBackend, optional
        Who decides whether that store may be read; as at `WorkspaceStore`.

    Returns
    -------
    numpy.ndarray
        In the units of the targets, or labels; one a sample, or a row a sample where there are several targets.

    Raises
    ------
    InvalidInput
        If it is not said, or said twice, what predicts, and for what.
    PathNotFound, ExperimentNotFound
        If there is no such file, store or chain.
    ArchiveInvalid, SchemaTooNewError
        If the bundle is damaged, or a newer hmp wrote it; nothing of it was unpickled.
    ArtifactLost, ArtifactDamaged
        If an artefact of the store is gone, or has other bytes than were saved.
    ReplayError
        If the chain cannot be replayed as it was trained.
    """
    if (model is None) == (chain_id is None):
        message = "say what predicts: either model, a bundle, or chain_id and workspace_path, a chain of a store"
        raise InvalidInput(message)
    if data is None:
        message = "data is None; pass the samples to predict for, a row each"
        raise InvalidInput(message)
    if (chain_id is None) != (workspace_path is None):
        message = "chain_id and workspace_path go together: a chain is looked for in the store of a folder"
        raise InvalidInput(message)
    if chain_id is None or workspace_path is None:
        return _bundle(model).predict(data, wavelengths=wavelengths)
    from hmp_catalog.experiments.store import WorkspaceStore

    with WorkspaceStore(workspace_path, auth=auth, read_only=True) as store:
        return store.replay_chain(chain_id, data, wavelengths=wavelengths)


def replay_chain(store: WorkspaceStore, chain_id: str, X: Any, wavelengths: Any = None) -> Any:  # noqa: N803
    """Return what a chain of a store predicts: `WorkspaceStore.replay_chain` as a function."""
    return store.replay_chain(chain_id, X, wavelengths=wavelengths)


def _bundle(model: Any) -> Bundle:
    if isinstance(model, Bundle):
        return model
    if not isinstance(model, (str, os.PathLike)):
        message = f"model is a {type(model).__name__}, expected the path of a .n4a bundle"
        raise InvalidInput(message)
    path = os.fsdecode(model)
    if path.endswith(f".{SCRIPT}"):
        message = (
            f"{path} is a script: run it as `python {path} input.csv output.csv`, or import its predict(X); "
            "only .n4a bundles are opened here"
        )
        raise InvalidInput(message)
    return Bundle.open(path)
