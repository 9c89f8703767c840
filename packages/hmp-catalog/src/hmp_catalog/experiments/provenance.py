"""What an exported chain says of itself: where it was trained, on what, and with which versions of which libraries."""

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
ORIGIN = ("run_id", "run_name", "dataset_name", "dataset_hash", "datasets", "input_entries")

#: What a chain says of itself, in the order in which it is told.
_OF_CHAIN = ("chain_id", "pipeline_id", "model_class", "model_step_idx", "preprocessings", "fold_strategy")


def manifest(chain: Mapping[str, Any], origin: Mapping[str, Any], version: tuple[int, int]) -> dict[str, Any]:
    """Return what is told of a chain, without its files; the same chain and environment give the same.

    Parameters
    ----------
    chain : mapping
        The plain record of a chain.
    origin : mapping
        Some of `ORIGIN`; None is told of the others.
    version : (int, int)
        Of the format.

    Raises
    ------
    InvalidInput
        For something else in ``origin``.
    """
    if unknown := sorted(set(origin) - set(ORIGIN)):
        message = f"origin has {', '.join(unknown)}; known are {', '.join(ORIGIN)}"
        raise InvalidInput(message)
    told: dict[str, Any] = {
        "bundle_format_version": "{}.{}".format(*version),
        "hmp_version": __version__,
        "created_at": chain.get("created_at"),
    }
    told |= {key: chain.get(key) for key in _OF_CHAIN}
    told |= {key: plain(origin.get(key), f"origin.{key}") for key in ORIGIN}
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
