"""What leaves the house is complete and says what it needs, and every verb is a session that CI only calls."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from house import CORE, PACKAGES, ROOT, Import, imports, metadata, modules, short, source, tree
from pages import blocks

SIBLINGS = {str(metadata(folder)["project"]["name"]): module for folder, module in PACKAGES.items()}
#: Import name -> distribution, where they differ.
DISTRIBUTIONS = {"upath": "universal-pathlib", "yaml": "pyyaml"} | {m: d for d, m in SIBLINGS.items()}
#: Needed without being imported: pandas writes Parquet through it, xarray opens stores through it, and so on.
SILENT = {"hmp-hydromodpy": set(SIBLINGS)}
HEAVY = {"duckdb", "pyarrow", "zarr", "xarray", "pandas", "numpy", "matplotlib", "httpx", "rich"}
SESSIONS = {
    "tests",
    "unit",
    "integration",
    "isolation",
    "lint",
    "types",
    "docs",
    "benchmarks",
    "soak",
    "standards",
    "another-backend",
    "lowest",
    "pythons",
    "demo",
    "build",
    "release",
    "tests-duckdb2",
}


# ── distributions ────────────────────────────────────────────────────────────────────────────────────


def _requirements(folder: str, *, extras: bool) -> set[str]:
    project = metadata(folder)["project"]
    lines = list(project["dependencies"])
    if extras:
        lines += [line for extra in project.get("optional-dependencies", {}).values() for line in extra]
    return {re.split(r"[\[<>=!~; ]", line)[0].lower() for line in lines}


def _foreign(folder: str) -> list[Import]:
    found = [each for module in modules(PACKAGES[folder]) for each in imports(module)]
    mine = {*sys.stdlib_module_names, PACKAGES[folder]}
    return [each for each in found if each.root not in mine]


def _distribution(each: Import) -> str:
    return DISTRIBUTIONS.get(each.root, each.root.replace("_", "-")).lower()


@pytest.mark.parametrize("folder", PACKAGES)
def test_what_is_imported_is_declared(folder: str) -> None:
    """A package that works only because a sibling brought something along is broken alone."""
    declared = _requirements(folder, extras=True)
    assert [str(each) for each in _foreign(folder) if not each.for_types and _distribution(each) not in declared] == []


@pytest.mark.parametrize("folder", PACKAGES)
def test_what_is_declared_is_imported(folder: str) -> None:
    """Nobody installs what nobody uses."""
    used = {_distribution(each) for each in _foreign(folder)}
    name = str(metadata(folder)["project"]["name"])
    assert _requirements(folder, extras=False) - used - SILENT.get(name, set()) == set()


@pytest.mark.parametrize("folder", PACKAGES)
def test_entry_points_lead_to_something(folder: str) -> None:
    project = metadata(folder)["project"]
    points = {**project.get("scripts", {})}
    for group, entries in project.get("entry-points", {}).items():
        points |= {f"{group}:{name}": target for name, target in entries.items()}
    assert [f"{name} = {target}" for name, target in points.items() if not _is_there(folder, target)] == []


def _is_there(folder: str, target: str) -> bool:
    name, _, attribute = target.partition(":")
    stem = source(PACKAGES[folder]).parent.joinpath(*name.split("."))
    module = next((path for path in (stem.with_suffix(".py"), stem / "__init__.py") if path.is_file()), None)
    return module is not None and attribute in _top_level_names(module)


def _top_level_names(module: Path) -> set[str]:
    names: set[str] = set()
    for node in tree(module).body:
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
            case ast.Assign(targets=targets):
                names |= {target.id for target in targets if isinstance(target, ast.Name)}
            case ast.AnnAssign(target=ast.Name(id=name)):
                names.add(name)
            case ast.ImportFrom(names=aliases):
                names |= {alias.asname or alias.name for alias in aliases}
    return names


@pytest.mark.parametrize("folder", PACKAGES)
def test_siblings_are_asked_for_by_a_range(folder: str) -> None:
    """At least what was tested, at most the next major version: never one exact version."""
    lines = [line for line in metadata(folder)["project"]["dependencies"] if re.split(r"[<>=]", line)[0] in SIBLINGS]
    assert [line for line in lines if not re.fullmatch(r"[a-z-]+>=\d+\.\d+,<\d+", line)] == []


@pytest.mark.parametrize("folder", PACKAGES)
def test_siblings_come_from_this_tree(folder: str) -> None:
    """In a checkout no installer may look for a sibling in an index, where its name may be another's."""
    asked = {name for name in _requirements(folder, extras=True) if name in SIBLINGS}
    sources = metadata(folder).get("tool", {}).get("uv", {}).get("sources", {})
    assert {name for name in asked if sources.get(name) != {"workspace": True}} == set()


@pytest.mark.parametrize("folder", PACKAGES)
def test_distribution_lists_what_it_ships(folder: str) -> None:
    """hatchling builds an empty wheel without complaint from a folder that is not there."""
    targets = metadata(folder)["tool"]["hatch"]["build"]["targets"]
    shipped = [*targets["wheel"]["packages"], *targets["sdist"]["only-include"]]
    assert [path for path in shipped if not (ROOT / "packages" / folder / path).exists()] == []


@pytest.mark.parametrize("folder", PACKAGES)
def test_package_states_who_may_use_it_and_on_what(folder: str) -> None:
    project = metadata(folder)["project"]
    versions = re.findall(r"Python :: (3\.\d+)", " ".join(project["classifiers"]))
    assert (project["license"], project["requires-python"], versions) == (
        "Apache-2.0",
        ">=3.11",
        ["3.11", "3.12", "3.13"],
    )


@pytest.mark.parametrize("folder", PACKAGES)
def test_licence_is_the_same_everywhere(folder: str) -> None:
    assert (ROOT / "packages" / folder / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


@pytest.mark.parametrize("folder", PACKAGES)
def test_changelog_speaks_of_the_version(folder: str) -> None:
    """Its first heading is the version in the source, unreleased or with its day."""
    entrance = (source(PACKAGES[folder]) / "__init__.py").read_text(encoding="utf-8")
    version = re.findall(r'^__version__ = "(.+)"$', entrance, re.MULTILINE)
    headings = re.findall(
        r"^## \[(.+?)\] - (?:Unreleased|\d{4}-\d{2}-\d{2})$",
        (ROOT / "packages" / folder / "CHANGELOG.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    assert headings[:1] == version


@pytest.mark.parametrize("package", PACKAGES.values())
def test_import_is_light(package: str) -> None:
    """Engines are imported where they are used: the doors and the command open in milliseconds."""
    rooms = [package, *(f"{package}.{room}" for room in ("cli", "door") if list(source(package).glob(f"{room}.py")))]
    question = f"import sys, {', '.join(rooms)}; print(*sorted({HEAVY!r} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", question], capture_output=True, text=True, check=False)
    assert (done.stdout.split(), done.stderr) == ([], "")


def test_only_the_core_names_its_engine() -> None:
    """One range of DuckDB versions, in one place."""
    asking = [module for folder, module in PACKAGES.items() if "duckdb" in _requirements(folder, extras=True)]
    assert asking == [CORE]


@pytest.mark.parametrize("folder", PACKAGES)
def test_dependency_has_its_reason(folder: str) -> None:
    """A new dependency gets a line in the decision about dependencies."""
    page = (ROOT / "docs" / "decisions" / "0005-dependencies.md").read_text(encoding="utf-8")
    reasons = {name for row in re.findall(r"^\| (`.+?) \|", page, re.MULTILINE) for name in re.findall(r"`(.+?)`", row)}
    assert _requirements(folder, extras=True) - set(SIBLINGS) - reasons == set()


# ── the two commands ─────────────────────────────────────────────────────────────────────────────────


def _set_up_commands() -> list[str]:
    return [
        line
        for block in blocks(ROOT / "README.md")
        if block.language == "sh"
        for line in block.text.splitlines()
        if line.strip()
    ]


def test_readme_sets_up_with_two_commands() -> None:
    """One runs the demo, one passes the tests; each is a line of its own."""
    assert [line.split()[-1] for line in _set_up_commands()] == ["demo", "tests"]


def test_ci_runs_the_second_command_and_nothing_else() -> None:
    script = ROOT / ".ci" / "run"
    lines = [line for line in script.read_text().splitlines() if line.strip() and not line.startswith("#")]
    assert lines == ["set -eu", 'cd "$(dirname "$0")/.."', _set_up_commands()[1]]
    assert script.read_text().startswith("#!/usr/bin/env bash\n")
    assert os.access(script, os.X_OK)


# ── sessions ─────────────────────────────────────────────────────────────────────────────────────────


def _sessions() -> dict[str, str]:
    nodes = [node for node in tree(ROOT / "noxfile.py").body if isinstance(node, ast.FunctionDef)]
    marked = [node for node in nodes if any("nox.session" in ast.unparse(mark) for mark in node.decorator_list)]
    return {_name(node): ast.get_docstring(node) or "" for node in marked}


def _name(session: ast.FunctionDef) -> str:
    """Return what a session is called: what its mark says, else as its function."""
    said = [
        word.value for mark in session.decorator_list for word in getattr(mark, "keywords", []) if word.arg == "name"
    ]
    return str(ast.literal_eval(said[0])) if said else session.name


def test_every_verb_is_a_session() -> None:
    assert _sessions().keys() == SESSIONS


@pytest.mark.parametrize("session", sorted(SESSIONS))
def test_session_is_described_in_one_sentence(session: str) -> None:
    assert re.fullmatch(r"[A-Z][^\n]+\.", _sessions()[session])


def test_packages_of_the_sessions_are_those_of_the_house() -> None:
    assigned = {
        ast.unparse(node.targets[0]): node.value
        for node in tree(ROOT / "noxfile.py").body
        if isinstance(node, ast.Assign)
    }
    assert list(ast.literal_eval(assigned["PACKAGES"])) == list(PACKAGES)


# ── workflows ────────────────────────────────────────────────────────────────────────────────────────

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
#: What a step may run: get nox, call nox, or say which package a tag is about.
STEPS = (
    r'python -m pip install "nox\[uv\]"',
    r"\.ci/run",
    r"""nox -s (?P<session>[a-z][a-z\d-]*|"unit\(\$PACKAGE\)")(-\$\{\{ matrix\.python \}\})?"""
    r"""( -- ("\$PACKAGE"|[a-z-]+))?""",
    r'echo "package=\$\{GITHUB_REF_NAME%-v\*\}" >> "\$GITHUB_OUTPUT"',
)


def _workflow(path: Path) -> dict[Any, Any]:
    loaded: dict[Any, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return loaded


def _steps(path: Path) -> list[dict[str, Any]]:
    return [step for job in _workflow(path)["jobs"].values() for step in job.get("steps", [])]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflow_is_well_formed(path: Path) -> None:
    """It has a name, something that starts it, the least permissions, and jobs that end."""
    loaded = _workflow(path)
    assert {"name", "permissions", "jobs"} <= loaded.keys()
    assert loaded[True]  # `on` is a truth value in YAML
    for job in loaded["jobs"].values():
        assert "uses" in job or (job["runs-on"] and job["timeout-minutes"] and job["steps"])


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflow_only_calls_sessions(path: Path) -> None:
    """What CI does, anybody can do."""
    lines = [line for step in _steps(path) for line in step.get("run", "").splitlines()]
    matches = [(line, next((m for form in STEPS if (m := re.fullmatch(form, line))), None)) for line in lines]
    assert [line for line, match in matches if match is None] == []
    called = {m["session"] for _, m in matches if m and "session" in m.groupdict() and m["session"]}
    assert {name for name in called if not name.startswith('"unit')} <= SESSIONS


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_by_version(path: Path) -> None:
    used = [step["uses"] for step in _steps(path) if "uses" in step]
    assert [each for each in used if not re.fullmatch(r"[\w-]+/[\w-]+@v\d+(\.\d+){0,2}", each)] == []


@pytest.mark.parametrize("folder", PACKAGES)
def test_package_has_its_workflow(folder: str) -> None:
    """It runs when the package or a sibling it stands on changes, and hands over to the common job."""
    loaded = _workflow(ROOT / ".github" / "workflows" / f"{folder}.yml")
    siblings = {f for f in PACKAGES if str(metadata(f)["project"]["name"]) in _requirements(folder, extras=False)}
    watched = {path.removeprefix("packages/").removesuffix("/**") for path in loaded[True]["push"]["paths"]}
    assert {folder, *siblings} <= watched
    assert loaded[True]["push"]["paths"] == loaded[True]["pull_request"]["paths"]
    assert [job["uses"] for job in loaded["jobs"].values()] == ["./.github/workflows/package.yml"]
    assert [job["with"]["package"] for job in loaded["jobs"].values()] == [folder]


def test_release_listens_to_the_tags_of_every_package() -> None:
    loaded = _workflow(ROOT / ".github" / "workflows" / "release.yml")
    assert loaded[True]["push"]["tags"] == [f"{folder}-v*" for folder in PACKAGES]


def test_nothing_is_said_about_a_file_that_is_not_there() -> None:
    """Path filters that match nothing never start."""
    patterns = {
        pattern
        for path in WORKFLOWS
        for event in ("push", "pull_request")
        for pattern in (_workflow(path)[True].get(event) or {}).get("paths", [])
    }
    assert [short(ROOT / p) for p in patterns if not (ROOT / p.removesuffix("/**")).exists()] == []
