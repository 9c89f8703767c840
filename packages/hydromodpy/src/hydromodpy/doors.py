"""The doors as one import gives them: ``import hydromodpy as hmp``; what is behind each is imported when it opens."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydromodpy.workspace import init

if TYPE_CHECKING:
    from upath import UPath

    from hmp_catalog import SimulationCatalog
    from hmp_index import GlobalIndex
    from hydromodpy.demo.run import DemoResult

__all__ = ["demo", "index", "init", "open"]


def open(path: str | Path | UPath, *, create: bool = False, **options: Any) -> SimulationCatalog:  # noqa: A001
    """Open the catalog of a project: a project folder, its database, or a workspace with exactly one project.

    See `hmp_catalog.open` for the options and errors.
    """
    from hmp_catalog.door import open as open_catalog

    return open_catalog(path, create=create, **options)


def index(db_path: str | Path | UPath | None = None, **options: Any) -> GlobalIndex:
    """Open the machine index; see `hmp_index.index`."""
    from hmp_index.door import index as open_index

    return open_index(db_path, **options)


def demo(path: str | Path | UPath = "hmp-demo", **options: Any) -> DemoResult:
    """Calibrate GR4J on the Fulda catchment in the workspace ``path``, from download to lineage.

    See `hydromodpy.demo.run.run` for the options.
    """
    from hydromodpy.demo.run import run

    return run(init(path, force=True), **options)
