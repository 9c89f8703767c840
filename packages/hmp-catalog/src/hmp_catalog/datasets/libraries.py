"""The libraries of the extra ``datasets``: imported when something needs them, and named where they are missing."""

from __future__ import annotations

import importlib
from typing import Any

from hmp_core.errors import MissingPart


def library(module: str, what: str) -> Any:
    """Return a library that may not be installed.

    Parameters
    ----------
    module : str
        What is imported.
    what : str
        What needs it, for the message of the error: ``"geometries need"``.

    Raises
    ------
    MissingPart
        If it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        message = f"{what} {module.partition('.')[0]}: pip install 'hmp-catalog[datasets]'"
        raise MissingPart(message, install="hmp-catalog[datasets]") from error
