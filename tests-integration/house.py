"""The plan of the house, in one place: its packages, rooms, engines and sizes, and how source is read.

The structure tests judge the tree by these tables; a new engine, room or exception is a line here.
"""

from __future__ import annotations

import ast
import fnmatch
import io
import tokenize
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

#: Folder under ``packages/`` -> import name, in the order they stand on each other.
PACKAGES = {
    "hmp-core": "hmp_core",
    "hmp-index": "hmp_index",
    "hmp-cache": "hmp_cache",
    "hmp-catalog": "hmp_catalog",
    "hydromodpy": "hydromodpy",
}
CORE = "hmp_core"
SCOPES = ("hmp_index", "hmp_cache", "hmp_catalog")
UMBRELLA = "hydromodpy"

#: The rooms that each scope has, under the same names.
ROOMS = (
    "__init__.py",
    "door.py",
    "records.py",
    "errors.py",
    "fold.py",
    "queries.py",
    "cli.py",
    "py.typed",
    "sql/queries.sql",
    "sql/migrations/0001_*.sql",
)

#: What a distribution carries with it.
BELONGINGS = ("pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE", "tests")

#: What each package may import of ours: arrows point inward.
ARROWS = {
    "hmp_core": {"hmp_core"},
    "hmp_index": {"hmp_core", "hmp_index"},
    "hmp_cache": {"hmp_core", "hmp_cache"},
    "hmp_catalog": {"hmp_core", "hmp_catalog"},
    "hydromodpy": set(PACKAGES.values()),
}

#: Folder of data sets -> what it may stand on there, itself apart: none of it knows an open data set.
FLOORS = {
    "values": {"dtypes"},
    "axes": {"dtypes", "libraries", "values"},
    "history": {"axes", "values"},
    "cells": {"history", "libraries", "values"},
}
#: A tree that says that parts of it are behind a URL is read through the room that fetches.
UPWARD = {("hmp_catalog.datasets.history.stores", "hmp_catalog.datasets.remote")}


@dataclass(frozen=True)
class Importers:
    """Which modules may import an engine (shell patterns), and how many of them at most."""

    patterns: tuple[str, ...]
    at_most: int | None = None


#: Engine -> the modules that may import it. Annotations under ``TYPE_CHECKING`` are free.
ENGINES = {
    "duckdb": Importers(("hmp_core.backends.duckdb",)),
    "sqlite3": Importers(("hmp_core.backends.sqlite", "hmp_core.backends.sqlite_errors")),
    "platformdirs": Importers(("hmp_core.layout",)),
    "upath": Importers(("hmp_core.paths",)),
    "httpx": Importers(("hmp_cache.*",), at_most=1),
    "fsspec": Importers(("hmp_cache.*", "hmp_catalog.datasets.*"), at_most=2),
    "zarr": Importers(("hmp_catalog.fields.*", "hmp_catalog.datasets.*", "hmp_catalog.acquisition.*")),
    "numcodecs": Importers(("hmp_catalog.fields.*", "hmp_catalog.datasets.*", "hmp_catalog.acquisition.*")),
    "xarray": Importers(("hmp_catalog.*", "hydromodpy.*")),
    # what the extra [datasets] brings
    **{
        engine: Importers(("hmp_catalog.datasets.*",))
        for engine in (
            *("cf_xarray", "distributed", "h5py"),
            *("pyproj", "rechunkit", "rioxarray", "scipy", "shapely"),
        )
    },
    **{
        engine: Importers(("hmp_catalog.datasets.*", "hmp_catalog.acquisition.exporting.*"))
        for engine in ("dask", "h5netcdf")
    },
    "flopy": Importers(("hmp_catalog.modflow",), at_most=1),
    "matplotlib": Importers(("hmp_catalog.plot.*", "hydromodpy.demo.*")),
    "optuna": Importers(("hmp_catalog.calibration.*",)),
    "spotpy": Importers(("hmp_catalog.calibration.*", "hydromodpy.demo.*")),
    "rocrate": Importers(("hydromodpy.exports.crate",), at_most=1),
    "pytest": Importers(("*.testing.*",)),
    "hypothesis": Importers(("*.testing.*",)),
}

MODULE_LINES = 300
FUNCTION_LINES = 30
PUBLIC_METHODS = 15

#: Modules and functions that may be longer, and how long; say why in a comment (none is the aim).
LONG_MODULES: dict[str, int] = {}
LONG_FUNCTIONS: dict[str, int] = {}

#: Documented wide surfaces: more verbs than a class should have, each handing over to a room of its own.
WIDE_FACADES = {
    "SimulationCatalog": "the documented low-level verbs of a catalog",
    "Run": "what a user asks of one simulation, and says of it",
    "LowLevelWriter": "the documented writing verbs, delegating",
    "InputsNamespace": "the door of the input cache",
    "DataCatalogDuckDB": "the documented low-level verbs of the cache",
    "WorkspaceStore": "the documented verbs of the experiments store",
}

#: Names of files that say nothing about what is inside.
NOT_THINGS = {"util", "helper", "common", "misc", "manager", "base"}


def source(package: str) -> Path:
    """Return the source folder of an import name."""
    folder = next(folder for folder, name in PACKAGES.items() if name == package)
    return ROOT / "packages" / folder / "src" / package


def modules(package: str) -> list[Path]:
    """Return every module of an import name."""
    return sorted(source(package).rglob("*.py"))


def every_module() -> list[Path]:
    """Return every module of every package."""
    return [module for package in PACKAGES.values() for module in modules(package)]


def dotted(module: Path) -> str:
    """Return the import name of a module file."""
    parts = module.with_suffix("").parts
    inside = parts[len(parts) - 1 - parts[::-1].index("src") + 1 :]
    return ".".join(part for part in inside if part != "__init__")


def short(path: Path) -> str:
    """Return a path as a reader of the repository would say it."""
    return path.relative_to(ROOT).as_posix()


@cache
def tree(module: Path) -> ast.Module:
    """Return the syntax tree of a module."""
    return ast.parse(module.read_text(encoding="utf-8"), filename=str(module))


@cache
def metadata(folder: str) -> dict[str, Any]:
    """Return the ``pyproject.toml`` of a package folder."""
    return tomllib.loads((ROOT / "packages" / folder / "pyproject.toml").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Import:
    """One imported name: where, on which line, and whether only for annotations."""

    module: Path
    line: int
    name: str
    level: int
    for_types: bool

    @property
    def root(self) -> str:
        """The package that is imported from."""
        return self.name.partition(".")[0]

    def __str__(self) -> str:
        return f"{short(self.module)}:{self.line} imports {self.name}"


def imports(module: Path) -> list[Import]:
    """Return every import of a module, wherever it stands, and every ``import_module("...")``."""
    guarded = {
        id(inner)
        for node in ast.walk(tree(module))
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    return [
        Import(module, node.lineno, name, level, id(node) in guarded)
        for node in ast.walk(tree(module))
        for name, level in _imported(node)
    ]


def _imported(node: ast.AST) -> Iterator[tuple[str, int]]:
    match node:
        case ast.Import(names=names):
            yield from ((alias.name, 0) for alias in names)
        case ast.ImportFrom(module=name, level=level):
            yield name or "", level
        case ast.Call(func=function, args=[ast.Constant(value=str(name)), *_]) if _calls_import(function):
            yield name, 0


def _calls_import(function: ast.expr) -> bool:
    return ast.unparse(function).rpartition(".")[2] in {"import_module", "__import__"}


def allowed(name: str, importers: Importers) -> bool:
    """Say whether the module ``name`` is among those that may import an engine."""
    rooms = (form for pattern in importers.patterns for form in (pattern, pattern.removesuffix(".*")))
    return any(fnmatch.fnmatchcase(name, form) for form in rooms)


_SILENT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


@cache
def code_lines(module: Path) -> frozenset[int]:
    """Return the numbers of the lines that hold code: docstrings, comments and blank lines are free."""
    text = module.read_text(encoding="utf-8")
    lines = {
        number
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type not in _SILENT
        for number in range(token.start[0], token.end[0] + 1)
    }
    return frozenset(lines - _docstring_lines(tree(module)))


def _docstring_lines(parsed: ast.Module) -> set[int]:
    return {
        number
        for node in ast.walk(parsed)
        if isinstance(node, ast.Expr) and isinstance(getattr(node.value, "value", None), str)
        for number in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }


def functions(module: Path) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Return each function of a module with its dotted name."""
    yield from _functions(tree(module), dotted(module))


def _functions(node: ast.AST, prefix: str) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{prefix}.{child.name}", child
        named = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        yield from _functions(child, f"{prefix}.{child.name}" if named else prefix)


def classes(module: Path) -> list[ast.ClassDef]:
    """Return the classes of a module."""
    return [node for node in ast.walk(tree(module)) if isinstance(node, ast.ClassDef)]


def public_methods(node: ast.ClassDef) -> list[ast.FunctionDef]:
    """Return the verbs of a class. Properties are not verbs, nor are the claims (``test_``) of a shipped judge."""
    found = [
        child
        for child in node.body
        if isinstance(child, ast.FunctionDef) and not child.name.startswith(("_", "test_")) and not _is_property(child)
    ]
    # an overload is the same verb again
    return list({child.name: child for child in found}.values())


def _is_property(node: ast.FunctionDef) -> bool:
    marks = {ast.unparse(mark).rpartition(".")[2] for mark in node.decorator_list}
    return bool(marks & {"property", "cached_property", "setter", "deleter"})


def public_names(package: str) -> list[str]:
    """Return the sorted ``__all__`` of a package, read without importing it."""
    for node in tree(source(package) / "__init__.py").body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and "__all__" in ast.unparse(node).partition("=")[0]:
            return sorted(ast.literal_eval(node.value)) if node.value is not None else []
    message = f"{package}/__init__.py has no __all__: write down what others may use"
    raise LookupError(message)
