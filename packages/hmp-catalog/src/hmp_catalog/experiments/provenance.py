"""What an exported chain says of itself: where it was trained, on what, and with which libraries it was exported."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import metadata
from typing import Any

from hmp_catalog import __version__
from hmp_catalog.plain import plain
from hmp_core.errors import InvalidInput

#: What may be told of where a chain was trained.
ORIGIN = ("run_id", "run_name", "dataset_name", "dataset_hash", "datasets")

#: What a chain says of itself, in the order in which it is told.
_OF_CHAIN = ("chain_id", "pipeline_id", "model_class", "model_step_idx", "preprocessings", "fold_strategy")


def origin(pipeline: Mapping[str, Any], run: Mapping[str, Any]) -> dict[str, Any]:
    """Return where a chain was trained: its run, and the data sets as that recorded them."""
    return {
        "run_id": run.get("run_id"),
        "run_name": run.get("name"),
        "dataset_name": pipeline.get("dataset_name"),
        "dataset_hash": pipeline.get("dataset_hash"),
        "datasets": run.get("datasets"),
    }


def manifest(chain: Mapping[str, Any], trained: Mapping[str, Any], version: tuple[int, int]) -> dict[str, Any]:
    """Return what is told of a chain, without its files; the same chain and environment give the same.

    Parameters
    ----------
    chain : mapping
        The plain record of a chain.
    trained : mapping
        Some of `ORIGIN`; None is told of the others.
    version : (int, int)
        Of the format.

    Raises
    ------
    InvalidInput
        For something else in ``trained``.
    """
    if unknown := sorted(set(trained) - set(ORIGIN)):
        message = f"origin has {', '.join(unknown)}; known are {', '.join(ORIGIN)}"
        raise InvalidInput(message)
    told: dict[str, Any] = {
        "bundle_format_version": "{}.{}".format(*version),
        "hmp_version": __version__,
        "created_at": chain.get("created_at"),
    }
    told |= {key: chain.get(key) for key in _OF_CHAIN}
    told |= {key: plain(trained.get(key), f"origin.{key}") for key in ORIGIN}
    return told | {"versions": versions(_classes(chain))}


def _classes(chain: Mapping[str, Any]) -> set[str]:
    steps = chain.get("steps") or []
    return {str(chain.get("model_class"))} | {str(step.get("operator_class")) for step in steps}


def versions(classes: Iterable[str]) -> dict[str, str]:
    """Return the versions of Python, numpy, joblib, and of what the classes come from, as far as they are known.

    Examples
    --------
    >>> sorted(versions(["numpy.log1p", "StandardScaler"]))[-1]
    'python'
    """
    modules = {"numpy", "joblib"} | {name.partition(".")[0] for name in classes if "." in name}
    found = {distribution: _version(distribution) for module in modules for distribution in _distributions(module)}
    known = {distribution: version for distribution, version in sorted(found.items()) if version}
    return {"python": platform.python_version()} | known


@cache
def _distributions(module: str) -> tuple[str, ...]:
    # its own name first: looking through all that is installed takes a tenth of a second
    return (module,) if _version(module) else tuple(sorted(set(_installed().get(module, ()))))


@cache
def _installed() -> Mapping[str, list[str]]:
    return metadata.packages_distributions()


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except (metadata.PackageNotFoundError, ValueError):
        return None
