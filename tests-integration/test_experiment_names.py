"""The page of names of the experiments store: every public name is on it, and what it names is there."""

from __future__ import annotations

import inspect
import re

import pytest

from hmp_catalog import experiments
from house import ROOT

PAGE = (ROOT / "docs" / "reference" / "experiments.md").read_text(encoding="utf-8")


def _rows(title: str) -> list[list[str]]:
    """Return the cells of the table below a title."""
    section = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert section, title
    lines = [line for line in section[1].splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def _named(title: str) -> set[str]:
    """Return the names in the column of ours."""
    return {name for row in _rows(title) for name in re.findall(r"`([^`]+)`", row[1])}


@pytest.mark.parametrize("kind", [experiments.WorkspaceStore, experiments.PipelineLibrary])
def test_every_verb_is_on_the_page_and_no_other(kind: type) -> None:
    public = {name for name, _ in inspect.getmembers(kind) if not name.startswith("_")}
    told = _named(kind.__name__) - {kind.__name__}
    quiet = {"path"} if kind is experiments.PipelineLibrary else set()
    assert told == public - quiet


def test_every_public_name_is_on_the_page() -> None:
    told = set(re.findall(r"\w+", " ".join(" ".join(row) for title in _TITLES for row in _rows(title))))
    assert set(experiments.__all__) - told == set()


_TITLES = ("Where things are imported from", "WorkspaceStore", "Training, predicting, building", "PipelineLibrary")


def test_what_is_imported_from_is_there() -> None:
    paths = {path for row in _rows(_TITLES[0]) for path in re.findall(r"`hmp_catalog\.experiments\.(\w+)`", row[1])}
    assert {name for name in paths if not hasattr(experiments, name)} == set()
    assert len(paths) >= 6
