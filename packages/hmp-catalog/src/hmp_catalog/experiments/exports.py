"""Runs, configurations and predictions as files that other programs read: each is whole, or not there."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hmp_catalog.experiments.libraries import yaml
from hmp_core.durable import make_folder, write_atomic

if TYPE_CHECKING:
    import polars as pl

#: PyYAML writes them as they are and reads the end of a line (6.0).
_LINE_ENDS = "\x85\u2028\u2029"


def predictions_to_parquet(frame: pl.DataFrame, path: Path) -> Path:
    """Write predictions as Parquet; without one, a file that has the columns.

    Raises
    ------
    StorageError, NotWritable
        If it cannot be written; what was there before stays.
    """
    file = io.BytesIO()
    frame.write_parquet(file)
    return _written(path, file.getvalue())


def run_to_yaml(run: Mapping[str, Any], path: Path) -> Path:
    """Write a run with its pipelines and their chains as YAML, times in UTC.

    Parameters
    ----------
    run : mapping
        See `hmp_catalog.experiments.queries.whole_run`.
    path : Path
        Where to; folders that are missing are made.

    Raises
    ------
    StorageError, NotWritable
        If it cannot be written; what was there before stays.
    MissingPart
        If PyYAML is not installed.
    """
    text = yaml().safe_dump(dict(run), sort_keys=False, allow_unicode=True)
    if any(mark in text for mark in _LINE_ENDS):
        text = yaml().safe_dump(dict(run), sort_keys=False)
    return _written(path, text.encode())


def config_to_json(pipeline: Mapping[str, Any], path: Path) -> Path:
    """Write the expanded configuration of a pipeline as JSON.

    Raises
    ------
    StorageError, NotWritable
        If it cannot be written; what was there before stays.
    """
    return _written(path, json.dumps(pipeline["expanded_config"], indent=2, ensure_ascii=False).encode() + b"\n")


def _written(path: Path, data: bytes) -> Path:
    make_folder(path.parent)
    write_atomic(path, data)
    return path
