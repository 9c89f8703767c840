"""The manual cannot lie: what it shows is run, what it lists is what there is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from hmp_cache.sources.registry import Registry
from hmp_core import errors
from hmp_core.doctor import codes
from hmp_core.doctor.checks import checks_of
from house import PACKAGES, ROOT, modules, short
from pages import blocks, commands, run

PAGES = sorted(
    page
    for pattern in ("*.md", "packages/*/*.md", "docs/**/*.md")
    for page in ROOT.glob(pattern)
    if "_build" not in page.parts
)
REFERENCE = ROOT / "docs" / "reference"
#: What declares kinds of findings of its own.
COMPONENTS = ("catalog", "experiments", "cache", "index")
#: What a fenced block may be. Only the first two are run; `sh` is for what prepares the machine itself.
LANGUAGES = {"python", "console", "sh", "text", "toml", "json", "sql", "yaml", "markdown", "{toctree}", "{eval-rst}"}


def _pages(*, that_run: bool = False) -> list[Any]:
    chosen = [page for page in PAGES if not that_run or any(block.runs for block in blocks(page))]
    return [pytest.param(page, id=short(page)) for page in chosen]


# ── what is shown is so ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("page", _pages(that_run=True))
def test_page_runs(page: Path, tmp_path: Path, state_home: Path) -> None:
    """Every Python block and every command of the page works, in order, on a machine that has nothing yet."""
    here = tmp_path / "here"
    here.mkdir()
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": tools, "HOME": str(tmp_path), "HMP_STATE_HOME": str(state_home)}
    command = [sys.executable, "-W", "error", str(Path(__file__).with_name("pages.py")), str(page)]
    done = subprocess.run(command, cwd=here, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", _pages())
def test_block_is_of_a_known_kind(page: Path) -> None:
    """A block that names no language, or an odd one, would escape being run."""
    odd = [f"line {block.line}: {block.language!r}" for block in blocks(page) if block.language not in LANGUAGES]
    assert odd == []


@pytest.mark.parametrize("page", _pages())
def test_block_that_is_not_run_says_why(page: Path) -> None:
    assert [block.line for block in blocks(page) if block.excuse is not None and len(block.excuse) < 8] == []


@pytest.mark.parametrize("page", _pages())
def test_no_command_hides_in_another_kind_of_block(page: Path) -> None:
    hidden = [
        f"line {block.line}: {line}"
        for block in blocks(page)
        for line in block.text.splitlines()
        if (block.language != "console" and re.match(r"\s*\$?\s*hmp [a-z]", line))
        or (block.language == "console" and line.startswith("hmp "))
    ]
    assert hidden == []


@pytest.mark.parametrize("page", _pages())
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    local = [target for target in targets if not re.match(r"[a-z]+:|#", target)]
    broken = [target for target in local if not (page.parent / unquote(target.partition("#")[0])).exists()]
    assert broken == []


# ── what is listed is what there is ──────────────────────────────────────────────────────────────────


def _generated(page: Path, name: str, lines: list[str], *, accept: bool) -> None:
    """Compare the generated part ``name`` of a page with what it should be, or write it down."""
    text = page.read_text(encoding="utf-8")
    pattern = re.compile(rf"(<!-- generated: {name} -->\n)(.*?)(<!-- end -->)", re.DOTALL)
    assert pattern.search(text), f"{short(page)} has no part <!-- generated: {name} --> ... <!-- end -->"
    fresh = "\n" + "\n".join(lines) + "\n\n"
    if accept:
        page.write_text(pattern.sub(lambda found: found[1] + fresh + found[3], text), encoding="utf-8")
    else:
        remedy = "run `nox -s integration -- --accept -k generated`"
        assert pattern.search(text)[2] == fresh, f"{short(page)} is behind: {remedy}"  # type: ignore[index]


def _error_rows() -> list[str]:
    tree = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.HmpError)]
    rows = ["| error | also a | exit code | what it says |", "| --- | --- | --- | --- |"]
    for kind in tree:
        builtins = [f"`{base.__name__}`" for base in kind.__mro__ if base.__module__ == "builtins"]
        also = builtins[0] if builtins[0] != "`Exception`" else ""
        sentence = (kind.__doc__ or "").partition("\n")[0].replace("``", "`")
        rows.append(f"| `{kind.__name__}` | {also} | {kind.exit_code} | {sentence} |")
    return rows


def _verb_rows() -> list[str]:
    rows = ["| command | what it does |", "| --- | --- |"]
    for point in sorted(entry_points(group="hmp.verbs"), key=lambda point: point.name):
        rows += _below(f"hmp {point.name}", point.load())
    return rows


def _below(path: str, command: Any) -> list[str]:
    inner = getattr(command, "commands", None)
    if not inner:
        return [f"| `{path}` | {command.get_short_help_str(200)} |"]
    return [row for name in sorted(inner) for row in _below(f"{path} {name}", inner[name])]


def test_generated_errors(request: pytest.FixtureRequest) -> None:
    """The table of errors and exit codes is the tree."""
    _generated(REFERENCE / "errors.md", "errors", _error_rows(), accept=request.config.getoption("--accept"))


def test_generated_verbs(request: pytest.FixtureRequest) -> None:
    """The table of commands is what the installed command knows."""
    rows = _verb_rows()
    assert len(rows) > len(PACKAGES)
    _generated(REFERENCE / "command-line.md", "verbs", rows, accept=request.config.getoption("--accept"))


def _finding_rows() -> list[str]:
    rows = ["| finding | | what it says | what to do |", "| --- | --- | --- | --- |"]
    every = [*codes.ALL, *(code for scope in COMPONENTS for code in checks_of(scope).codes)]
    for code in sorted(every, key=lambda code: code.name):
        remedy = code.remedy.replace("{verb}", "<verb>")
        rows.append(f"| `{code.name}` | {code.severity} | {code.meaning} | {remedy} |")
    return rows


def test_generated_findings(request: pytest.FixtureRequest) -> None:
    """The table of findings is what the core and the scopes declare."""
    _generated(REFERENCE / "findings.md", "findings", _finding_rows(), accept=request.config.getoption("--accept"))


def _offer_rows() -> list[str]:
    rows = ["| source | variable | unit | frequency | | since |", "| --- | --- | --- | --- | --- | --- |"]
    for one in Registry().listed():
        for offer in one.offers:
            since = f"{offer.period[0]:%Y}" if offer.period and offer.period[0] else ""
            named = f"| {one.name} | `{offer.variable}` | {offer.unit} | {offer.frequency} |"
            rows.append(f"{named} {offer.description} | {since} |")
    return rows


def test_generated_offers(request: pytest.FixtureRequest) -> None:
    """The table of what sources offer is what they say."""
    _generated(REFERENCE / "sources.md", "offers", _offer_rows(), accept=request.config.getoption("--accept"))


def test_every_verb_says_what_it_does() -> None:
    assert [row for row in _verb_rows() if row.endswith("|  |")] == []


def test_every_variable_of_the_environment_is_described() -> None:
    """The page names each ``HMP_*`` variable that the code reads, and no other."""
    read = {
        name
        for package in PACKAGES.values()
        for module in modules(package)
        for name in re.findall(r"\bHMP_[A-Z_]+\b", module.read_text(encoding="utf-8"))
    }
    told = set(re.findall(r"^## `(HMP_[A-Z_]+)`", (REFERENCE / "environment.md").read_text(), re.MULTILINE))
    assert told == read


@pytest.mark.parametrize("package", PACKAGES.values())
def test_public_names_are_in_the_reference(package: str) -> None:
    assert f"automodule:: {package}\n" in (REFERENCE / "python.md").read_text(encoding="utf-8")


def test_every_page_is_in_a_table_of_contents() -> None:
    """A page nobody links to is not read."""
    listed = {
        (index.parent / entry).with_suffix(".md").resolve()
        for index in (ROOT / "docs").rglob("index.md")
        for entry in re.findall(r"^([a-z0-9/_-]+)$", index.read_text(encoding="utf-8"), re.MULTILINE)
    }
    pages = {page for page in PAGES if ROOT / "docs" in page.parents and page != ROOT / "docs" / "index.md"}
    assert {short(page) for page in pages - listed} == set()


# ── the judge can fail ───────────────────────────────────────────────────────────────────────────────


def test_a_page_shares_one_namespace_and_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "page.md"
    page.write_text("```python\nn = 2\nopen('a', 'w').close()\n```\n```console\n$ ls a\n```\n```python\nn += 1\n```\n")
    monkeypatch.chdir(tmp_path)
    run(page)


@pytest.mark.parametrize(
    "text",
    [
        "```python\nassert False\n```\n",
        "```console\n$ false\n```\n",
        "```console\n$ true  # exit 3\n```\n",
        "- in a list\n\n  ```python\n  assert False\n  ```\n",
    ],
)
def test_a_page_that_lies_is_caught(text: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises((AssertionError, SystemExit)):
        run(page)


def test_an_excused_block_is_not_run(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- not run: needs the network -->\n```python\nassert False\n```\n")
    run(page)
    assert blocks(page)[0].excuse == "needs the network"


def test_a_command_states_its_exit_code(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```console\n$ hmp catalog show nothing  # exit 10\nnothing goes by that name\n$ a \\\n  b\n```\n")
    found = [(command.text.split(), command.code) for command in commands(blocks(page)[0])]
    assert found == [(["hmp", "catalog", "show", "nothing", "#", "exit", "10"], 10), (["a", "b"], 0)]
