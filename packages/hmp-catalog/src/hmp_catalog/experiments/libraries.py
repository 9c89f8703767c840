"""The libraries of the extra ``experiments``: imported when something needs them, and named where they are missing."""

from __future__ import annotations

import importlib
from typing import Any

from hmp_core.errors import MissingPart


def polars() -> Any:
    """Return polars, which answers of an experiments store come in.

    Raises
    ------
    MissingPart
        If it is not installed.
    """
    return _library("polars", "answers of an experiments store need")


def joblib() -> Any:
    """Return joblib, which fitted objects are kept with.

    Raises
    ------
    MissingPart
        If it is not installed.
    """
    return _library("joblib", "fitted objects in the format 'joblib' need")


def cloudpickle() -> Any:
    """Return cloudpickle, which keeps what is no part of an installed module.

    Raises
    ------
    MissingPart
        If it is not installed.
    """
    return _library("cloudpickle", "fitted objects in the format 'cloudpickle' need")


def yaml() -> Any:
    """Return PyYAML, which runs are exported with.

    Raises
    ------
    MissingPart
        If it is not installed.
    """
    return _library("yaml", "exported runs and configurations in YAML need")


def _library(module: str, what: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        message = f"{what} {module}, which is not installed: pip install 'hmp-catalog[experiments]'"
        raise MissingPart(message, install="hmp-catalog[experiments]") from error
