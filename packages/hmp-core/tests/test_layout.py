"""Layout: where things are, what marks a root, and that making one harms nothing."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID, uuid4

import pytest

from hmp_core import layout
from hmp_core.errors import CorruptError, HmpError, NotWritable, PathNotFound, UnsupportedScheme
from hmp_core.layout import (
    PROJECT_MARKER,
    WORKSPACE_MARKER,
    init_project,
    init_project_folder,
    init_workspace,
    read_root,
)
from hmp_core.testing.children import start
from hmp_core.testing.door_suite import anybodys_folder, closed_to_writers, unprivileged


def test_a_workspace_has_a_marker_and_its_folders(tmp_path: Path) -> None:
    root = init_workspace(tmp_path / "aare")
    assert sorted(p.name for p in root.path.iterdir()) == ["data", "projects", "workspace.toml"]
    assert root == read_root(tmp_path / "aare", WORKSPACE_MARKER)
    assert root.name == "aare"
    assert root.id.version == 4


def test_making_it_again_gives_the_one_that_is_there(tmp_path: Path) -> None:
    first = init_workspace(tmp_path, name="Aare")
    (tmp_path / "data" / "mine.csv").write_text("1")
    assert init_workspace(tmp_path, name="other") == first
    assert (tmp_path / "data" / "mine.csv").read_text() == "1"


def test_a_project_lies_in_its_workspace(tmp_path: Path) -> None:
    init_workspace(tmp_path)
    root = init_project(tmp_path, "Forêt d'Orléans")
    assert root.path == tmp_path / "projects" / "foret-d-orleans"
    assert root.name == "Forêt d'Orléans"
    assert (root.path / "simulations").is_dir()
    assert layout.projects(tmp_path) == [root.path]


def test_a_project_needs_a_workspace(tmp_path: Path) -> None:
    with pytest.raises(PathNotFound, match="hmp init"):
        init_project(tmp_path / "nowhere", "base")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_alone_can_be_a_project(tmp_path: Path) -> None:
    root = init_project_folder(tmp_path / "lone")
    assert layout.project_root(root.path / "simulations") == root.path
    assert layout.anchor(root.path) == root.path


def test_names_survive_in_toml(tmp_path: Path) -> None:
    name = 'the "Aare" \\ above\nBrugg é'
    assert init_workspace(tmp_path, name=name).name == name


def test_roots_are_found_from_below(tmp_path: Path) -> None:
    init_workspace(tmp_path)
    project = init_project(tmp_path, "base").path
    deep = project / "simulations" / "run" / "tables"
    assert layout.workspace_root(deep) == layout.anchor(project) == tmp_path
    assert layout.project_root(deep) == project
    assert layout.project_root(tmp_path) is None
    assert layout.workspace_root(tmp_path.parent) is None


def test_deleting_a_database_unmakes_no_project(tmp_path: Path) -> None:
    init_workspace(tmp_path)
    project = init_project(tmp_path, "base").path
    assert layout.projects(tmp_path) == [project]
    unmarked = tmp_path / "projects" / "older"
    unmarked.mkdir()
    layout.catalog_path(unmarked).touch()
    (tmp_path / "projects" / "notes").mkdir()
    (tmp_path / "projects" / "readme.txt").touch()
    assert layout.projects(tmp_path) == [project, unmarked]
    assert layout.projects(tmp_path / "nowhere") == []


def test_where_databases_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HMP_STATE_HOME", (tmp_path / "state").as_uri())
    assert layout.index_path() == tmp_path / "state" / "index.duckdb"
    assert layout.cache_path(tmp_path) == tmp_path / "data" / "cache.duckdb"
    assert layout.catalog_path(tmp_path) == tmp_path / "catalog.duckdb"
    assert layout.internal_folder(tmp_path / "catalog.duckdb") == tmp_path / ".hmp" / "catalog"
    monkeypatch.delenv("HMP_STATE_HOME")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    assert layout.index_path() == tmp_path / "xdg" / "hydromodpy" / "index.duckdb"
    monkeypatch.setenv("HMP_STATE_HOME", "s3://bucket")
    with pytest.raises(UnsupportedScheme):
        layout.index_path()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "id = 5",
        "name = 'x'",
        "id = 'no uuid'",
        "id = [1]",
        "not toml",
        "\x00",
        "id = " + "[" * 5000,
        "id = '5f0c1e2a-9b1d-4c53-8f7e-0d3a6b2c4e11'\nid = 'twice'",
    ],
)
def test_a_marker_that_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / WORKSPACE_MARKER).write_text(text)
    with pytest.raises(CorruptError, match=r"workspace\.toml"):
        read_root(tmp_path, WORKSPACE_MARKER)
    with pytest.raises(CorruptError):
        init_workspace(tmp_path)
    assert (tmp_path / WORKSPACE_MARKER).read_text() == text


def test_a_marker_without_a_name_has_that_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / PROJECT_MARKER).write_text(f"id = '{uuid4()}'\nextra = 1\n")
    assert read_root(tmp_path, PROJECT_MARKER).name == tmp_path.name


def test_a_marker_in_another_encoding(tmp_path: Path) -> None:
    (tmp_path / WORKSPACE_MARKER).write_bytes("name = 'é'".encode("latin-1"))
    with pytest.raises(CorruptError):
        read_root(tmp_path, WORKSPACE_MARKER)


@pytest.mark.parametrize("below", ["file", "file/aare"])
def test_a_file_is_in_the_way(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("of the user")
    with pytest.raises(NotWritable):
        init_workspace(tmp_path / below)
    with pytest.raises(HmpError):
        read_root(tmp_path / below, WORKSPACE_MARKER)


def test_a_folder_that_may_only_be_read() -> None:
    with anybodys_folder() as folder:
        whole = init_workspace(folder / "whole")
        init_workspace(folder / "part")
        (folder / "part" / "projects").rmdir()
        closed_to_writers(folder)
        with unprivileged():
            assert init_workspace(folder / "whole") == whole, "nothing is to be made: nothing is refused"
            with pytest.raises(NotWritable):
                init_workspace(folder / "part")
            with pytest.raises(NotWritable):
                init_workspace(folder / "new")


def test_a_marker_that_may_not_be_read() -> None:
    with anybodys_folder() as folder:
        init_workspace(folder / "aare")
        (folder / "aare" / WORKSPACE_MARKER).chmod(0)
        with unprivileged(), pytest.raises(HmpError):
            read_root(folder / "aare", WORKSPACE_MARKER)


def test_a_folder_above_that_may_not_be_entered() -> None:
    with anybodys_folder() as folder:
        (folder / "closed" / "inner").mkdir(parents=True)
        (folder / "closed").chmod(0)
        with unprivileged():
            assert layout.workspace_root(folder / "closed" / "inner") is None


def test_processes_that_make_it_at_once_make_one(tmp_path: Path) -> None:
    code = """
        from hmp_core.layout import init_workspace
        say(); listen()
        say(str(init_workspace(path).id))
    """
    children = [start(code, path=tmp_path / "aare") for _ in range(6)]
    for child in children:
        child.hear()
    for child in children:
        child.tell()
    ids = {UUID(child.hear()) for child in children}
    for child in children:
        with child:
            assert child.join() == 0
    assert ids == {read_root(tmp_path / "aare", WORKSPACE_MARKER).id}
    assert sorted(p.name for p in (tmp_path / "aare").iterdir()) == ["data", "projects", "workspace.toml"]


def test_what_to_type_where_the_marker_is_lost_or_empty_works(tmp_path: Path) -> None:
    """The message about a workspace names the command with its path, and with `--force` where it holds something."""
    place = init_workspace(tmp_path / "our aare").path
    (place / WORKSPACE_MARKER).write_text("")
    with pytest.raises(CorruptError, match="it has no id") as caught:
        read_root(place, WORKSPACE_MARKER)
    assert f"remove it and run `hmp init '{place}' --force`: a new id" in str(caught.value)
    (place / WORKSPACE_MARKER).unlink()
    with pytest.raises(PathNotFound) as missing:
        read_root(place, WORKSPACE_MARKER)
    assert str(missing.value).endswith(f"make one with `hmp init '{place}' --force`")
    with pytest.raises(PathNotFound, match=r"`hmp init \S+/new`"):
        read_root(tmp_path / "new", WORKSPACE_MARKER)
