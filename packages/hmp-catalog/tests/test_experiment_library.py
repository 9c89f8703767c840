"""Pipeline templates: whole or absent, within their folder, and never silently something else."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hmp_catalog.experiments import library as room
from hmp_catalog.experiments import templates
from hmp_catalog.experiments.library import PipelineLibrary
from hmp_catalog.experiments.templates import cleaned
from hmp_core.errors import (
    AccessDenied,
    AmbiguousReference,
    ArchiveInvalid,
    CorruptError,
    InvalidInput,
    PathEscape,
    PathNotFound,
    PathTaken,
)

CONFIG = {"steps": [{"scale": "minmax"}, {"pls": 10}], "cv": 5}
FILES = ["README.md", "metadata.json", "pipeline.json"]


@pytest.fixture
def library(tmp_path: Path) -> PipelineLibrary:
    return PipelineLibrary(tmp_path / "spectra")


def names(library: PipelineLibrary, **said: Any) -> list[str]:
    return [each["name"] for each in library.list_templates(**said)]


def everything(folder: Path) -> list[str]:
    """Return what lies in a folder and outside its own files."""
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if ".hmp" not in p.parts)


# ── saved and loaded ─────────────────────────────────────────────────────────────────────────────────


def test_a_template_comes_back_as_it_was_saved(library: PipelineLibrary) -> None:
    folder = library.save_template(
        CONFIG, "optimized_pls", category="regression", tags=["nirs"], metrics={"rmse": 0.42}
    )
    assert folder == library.path / "regression" / "optimized_pls"
    assert sorted(os.listdir(folder)) == FILES
    assert library.load_template("optimized_pls") == CONFIG
    about = library.get_template_metadata("optimized_pls")
    assert list(about) == [
        *("name", "category", "description", "tags", "metrics", "notes", "created_at", "modified_at", "version")
    ]
    assert (about["metrics"], about["version"]) == ({"rmse": 0.42}, "1.0")


def test_the_workspace_need_not_be_there(library: PipelineLibrary) -> None:
    assert library.list_templates() == []
    assert not library.path.exists()
    library.save_template(CONFIG, "first")
    assert names(library) == ["first"]


def test_a_name_is_found_as_it_was_given_and_as_its_folder_is_called(library: PipelineLibrary) -> None:
    library.save_template(CONFIG, "My PLS")
    assert library.load_template("My PLS") == library.load_template("my_pls") == CONFIG


def test_a_template_that_is_there_is_not_replaced_unasked(library: PipelineLibrary) -> None:
    library.save_template(CONFIG, "pls")
    with pytest.raises(PathTaken, match="overwrite=True"):
        library.save_template({}, "pls")
    assert library.load_template("pls") == CONFIG


def test_overwriting_keeps_when_it_was_first_saved(library: PipelineLibrary) -> None:
    library.save_template(CONFIG, "pls")
    before = library.get_template_metadata("pls")
    library.save_template({"steps": []}, "pls", overwrite=True)
    after = library.get_template_metadata("pls")
    assert library.load_template("pls") == {"steps": []}
    assert after["created_at"] == before["created_at"] == before["modified_at"] < after["modified_at"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_name_that_would_have_the_same_folder_is_told_of(library: PipelineLibrary, overwrite: bool) -> None:
    library.save_template(CONFIG, "my pls")
    with pytest.raises(PathTaken, match="'my pls'"):
        library.save_template({}, "My PLS*", overwrite=overwrite)
    assert library.load_template("my pls") == CONFIG


def test_listed_by_category_and_name(library: PipelineLibrary) -> None:
    for category, name in [("b", "z"), ("b", "a"), ("a", "m")]:
        library.save_template(CONFIG, name, category=category)
    assert names(library) == ["m", "a", "z"]
    assert names(library, category="b") == ["a", "z"]
    assert names(library, category="nothing") == []


def test_any_of_the_tags_is_enough(library: PipelineLibrary) -> None:
    library.save_template(CONFIG, "one", tags=["pls", "nirs"])
    library.save_template(CONFIG, "two", tags=["forest"])
    assert names(library, tags=["pls"]) == ["one"]
    assert names(library, tags=["pls", "forest"]) == ["one", "two"]
    assert names(library, tags=[]) == names(library, tags=["other"]) == []


def test_one_name_in_two_categories_is_not_guessed(library: PipelineLibrary) -> None:
    library.save_template(CONFIG, "pls", category="a")
    library.save_template({}, "pls", category="b")
    with pytest.raises(AmbiguousReference) as error:
        library.load_template("pls")
    assert error.value.candidates == ["a/pls", "b/pls"]
    assert library.load_template("pls", "b") == {}


def test_what_is_not_there_is_a_file_not_found(library: PipelineLibrary) -> None:
    for ask in (library.load_template, library.get_template_metadata, library.delete_template):
        with pytest.raises(FileNotFoundError, match="no template 'pls'"):
            ask("pls")
    with pytest.raises(PathNotFound):
        library.export_template("pls", "pls.json")
    assert not Path("pls.json").exists()


def test_deleting_removes_the_template_and_an_empty_category(library: PipelineLibrary) -> None:
    library.save_template(CONFIG, "one", category="a")
    library.save_template(CONFIG, "two", category="a")
    library.delete_template("one")
    assert names(library) == ["two"]
    library.delete_template("two")
    assert everything(library.path) == []


def test_the_readme_tells_what_it_is(library: PipelineLibrary) -> None:
    folder = library.save_template(CONFIG, "PLS", description="For wheat.", tags=["pls"], metrics={"rmse": 0.5})
    text = (folder / "README.md").read_text()
    assert all(word in text for word in ("# PLS", "For wheat.", "tags: pls", "rmse: 0.5"))


# ── values ───────────────────────────────────────────────────────────────────────────────────────────


def test_what_cannot_be_kept_leaves_nothing(library: PipelineLibrary) -> None:
    with pytest.raises(InvalidInput, match="pipeline_config"):
        library.save_template({"f": lambda x: x}, "pls")
    assert library.list_templates() == []


@pytest.mark.parametrize(
    "said", [{"tags": "pls"}, {"tags": [1]}, {"metrics": [1]}, {"description": 3}, {"notes": b"x"}, {"tags": [""]}]
)
def test_a_description_of_another_kind_is_refused(library: PipelineLibrary, said: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        library.save_template(CONFIG, "pls", **said)
    assert library.list_templates() == []


def test_estimators_are_kept_by_class_and_parameters_and_built_again(library: PipelineLibrary) -> None:
    pytest.importorskip("sklearn")
    from sklearn.cross_decomposition import PLSRegression
    from sklearn.preprocessing import MinMaxScaler

    library.save_template([MinMaxScaler(feature_range=(0, 2)), {"model": PLSRegression(10)}], "pls")
    scaler, step = PipelineLibrary.build(library.load_template("pls"))
    assert isinstance(scaler, MinMaxScaler)
    assert tuple(scaler.feature_range) == (0, 2)
    assert step["model"].get_params()["n_components"] == 10


def test_what_a_template_builds_can_be_fitted_as_what_was_saved(library: PipelineLibrary) -> None:
    pytest.importorskip("sklearn")
    from sklearn.impute import SimpleImputer
    from sklearn.neural_network import MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, RobustScaler

    saved = make_pipeline(SimpleImputer(), FunctionTransformer(round), MinMaxScaler((0, 2)), RobustScaler())
    library.save_template([saved, MLPRegressor()], "numbers")
    built, network = PipelineLibrary.build(library.load_template("numbers"))
    assert built[:1].fit_transform([[1.0], [float("nan")], [3.0]]).tolist() == [[1], [2], [3]]
    assert (built[2].feature_range, built[3].quantile_range, network.hidden_layer_sizes) == ((0, 2), (25, 75), (100,))
    assert built[2].fit_transform([[1.0], [2.0], [3.0]]).tolist() == [[0], [1], [2]]


def test_built_are_objects_classes_and_functions() -> None:
    said = [
        {"class": "fractions.Fraction", "params": {"numerator": 1}},
        {"class": "decimal.Decimal"},
        {"function": "math.sqrt"},
        {"class": "other", "weight": 2},
    ]
    one, kind, function, plain = PipelineLibrary.build(said)
    assert (one, kind, function(4.0), plain) == (Fraction(1), Decimal, 2.0, said[3])


@pytest.mark.parametrize(
    "said",
    [
        {"class": "no.Such"},
        {"class": "math.nothing"},
        {"class": "x"},
        {"class": 1},
        {"class": "fractions.Fraction", "params": {"x": 1}},
    ],
)
def test_what_cannot_be_built_is_refused(said: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        PipelineLibrary.build(said)


# ── names ────────────────────────────────────────────────────────────────────────────────────────────

OUTSIDE = [
    "../x",
    "/abs",
    "a/b",
    "..",
    ".",
    "***",
    "",
    " ",
    "...",
    "..\\x",
    "a\0b",
    "a\nb",
    "con",
    "NUL.txt",
    "x" * 201,
]


@pytest.mark.parametrize("name", OUTSIDE)
def test_names_and_categories_that_lead_elsewhere_are_refused(library: PipelineLibrary, name: str) -> None:
    library.save_template(CONFIG, "pls")
    before = everything(library.path.parent.parent)
    for say in (
        lambda: library.save_template(CONFIG, name, overwrite=True),
        lambda: library.save_template(CONFIG, "x", category=name),
        lambda: library.load_template(name),
        lambda: library.delete_template("pls", category=name),
        lambda: library.list_templates(category=name),
    ):
        with pytest.raises(InvalidInput):
            say()
    assert everything(library.path.parent.parent) == before


@given(st.text(max_size=40) | st.sampled_from(["../", "a/..", "ﬀ/", "Å", "A\u030a", "COM1.x", "K"]))
def test_a_cleaned_name_is_one_folder_and_cleaned_for_good(text: str) -> None:
    try:
        found = cleaned(text, "it")
    except InvalidInput:
        return
    assert Path("/library", found).parent == Path("/library")
    assert found == os.path.basename(os.path.normpath(found))
    assert not found.startswith(".")
    assert cleaned(found, "it") == found


@settings(max_examples=40, deadline=None)
@given(name=st.text(min_size=1, max_size=20), category=st.text(min_size=1, max_size=20))
def test_nothing_is_ever_written_outside_the_library(name: str, category: str, tmp_path_factory: Any) -> None:
    home = tmp_path_factory.mktemp("home")
    library = PipelineLibrary(home / "spectra")
    try:
        folder = library.save_template(CONFIG, name, category=category)
    except InvalidInput:
        assert everything(home) == []
    else:
        assert folder.parents[1] == library.path
        assert [(each["name"], each["category"]) for each in library.list_templates()] == [(name, folder.parent.name)]
        assert library.load_template(name, category) == CONFIG


def test_names_that_look_alike_have_one_folder(library: PipelineLibrary) -> None:
    library.save_template(CONFIG, "\u00e9t\u00e9")
    with pytest.raises(PathTaken):
        library.save_template(CONFIG, "e\u0301te\u0301")


def test_links_out_of_the_library_are_not_followed(library: PipelineLibrary, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    library.save_template(CONFIG, "pls")
    shutil.copytree(library.path / "general", elsewhere)
    (library.path / "linked").symlink_to(elsewhere)
    (library.path / "general" / "link").symlink_to(elsewhere / "pls")
    with pytest.raises(PathEscape):
        library.save_template(CONFIG, "new", category="linked")
    with pytest.raises(PathEscape):
        library.load_template("link")
    assert [each["damaged"] is not None for each in library.list_templates()] == [True, False]
    library.delete_template("link")
    assert everything(elsewhere) == ["pls", *(f"pls/{name}" for name in FILES)]
    assert names(library) == ["pls"]


# ── damage ───────────────────────────────────────────────────────────────────────────────────────────

DAMAGE = [b"", b"{", b"[]", b'{"name": 1}', b"\xff", b"[" * 100_000, b'{"name": NaN, "tags": []}']


@pytest.mark.parametrize("data", DAMAGE, ids=range(len(DAMAGE)))
def test_damaged_metadata_is_listed_as_such(library: PipelineLibrary, data: bytes) -> None:
    library.save_template(CONFIG, "good", tags=["pls"])
    folder = library.save_template(CONFIG, "bad")
    (folder / "metadata.json").write_bytes(data)
    bad, good = library.list_templates(tags=["pls"])
    assert (bad["name"], good["name"], good["damaged"]) == ("bad", "good", None)
    assert str(folder / "metadata.json") in bad["damaged"]
    assert set(bad) == set(good)
    with pytest.raises(CorruptError):
        library.get_template_metadata("bad")
    assert library.load_template("bad") == CONFIG


def test_a_damaged_template_can_be_replaced_and_deleted(library: PipelineLibrary) -> None:
    folder = library.save_template(CONFIG, "pls")
    (folder / "metadata.json").unlink()
    with pytest.raises(PathTaken):
        library.save_template({}, "pls")
    library.save_template({}, "pls", overwrite=True)
    assert library.load_template("pls") == {}
    (folder / "pipeline.json").unlink()
    assert "pipeline.json" in library.list_templates()[0]["damaged"]
    with pytest.raises(CorruptError, match=r"pipeline\.json is gone"):
        library.load_template("pls")
    library.delete_template("pls")
    assert library.list_templates() == []


def test_other_files_and_folders_are_no_templates(library: PipelineLibrary) -> None:
    library.save_template(CONFIG, "pls")
    (library.path / "notes.txt").write_text("x")
    (library.path / ".git").mkdir()
    (library.path / "general" / "notes.txt").write_text("x")
    assert names(library) == ["pls"]


# ── one file ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_template_goes_to_another_workspace_in_one_file(library: PipelineLibrary, tmp_path: Path) -> None:
    library.save_template(CONFIG, "My PLS", category="regression", tags=["pls"], metrics={"rmse": 0.5}, notes="n\nn")
    path = library.export_template("My PLS", tmp_path / "deep" / "pls")
    assert path == tmp_path / "deep" / "pls.json"
    other = PipelineLibrary(tmp_path / "other")
    other.import_template(path)
    other.import_template(path, category="mine")
    assert other.load_template("My PLS", "mine") == CONFIG
    assert other.get_template_metadata("My PLS", "regression") == library.get_template_metadata("My PLS")
    with pytest.raises(PathTaken):
        other.import_template(path)
    other.import_template(path, overwrite=True)


def _exported(library: PipelineLibrary) -> Path:
    library.save_template(CONFIG, "pls")
    return library.export_template("pls", library.path.parent / "pls.json")


@pytest.mark.parametrize(
    "change",
    [
        lambda said: said["pipeline"].update(cv=6),
        lambda said: said["metadata"].update(name="other"),
        lambda said: said.update(version=2),
        lambda said: said.update(format="x"),
        lambda said: said.pop("sha256"),
        lambda said: said.pop("pipeline"),
    ],
)
def test_a_file_that_was_changed_is_not_imported(library: PipelineLibrary, tmp_path: Path, change: Any) -> None:
    path = _exported(library)
    said = json.loads(path.read_bytes())
    change(said)
    path.write_text(json.dumps(said))
    other = PipelineLibrary(tmp_path / "other")
    with pytest.raises(ArchiveInvalid, match="nothing was imported"):
        other.import_template(path)
    assert other.list_templates() == []


@pytest.mark.parametrize("data", [b"", b"\x80", b"[1]", b'{"metadata": 1}'])
def test_a_file_of_another_kind_is_not_imported(library: PipelineLibrary, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.json").write_bytes(data)
    with pytest.raises(ArchiveInvalid):
        library.import_template(tmp_path / "x.json")


def test_a_forged_file_cannot_name_a_place_outside(library: PipelineLibrary, tmp_path: Path) -> None:
    about = {"name": "../../evil", "category": "general"}
    (tmp_path / "x.json").write_bytes(templates.sealed(about, {}))
    with pytest.raises(InvalidInput):
        library.import_template(tmp_path / "x.json")
    (tmp_path / "y.json").write_bytes(templates.sealed({"name": "evil", "category": "/tmp"}, {}))
    with pytest.raises(InvalidInput):
        library.import_template(tmp_path / "y.json")
    assert everything(tmp_path) == ["x.json", "y.json"]


def test_a_file_that_is_not_there_is_a_file_not_found(library: PipelineLibrary) -> None:
    with pytest.raises(FileNotFoundError):
        library.import_template("nothing.json")


# ── rights ───────────────────────────────────────────────────────────────────────────────────────────


class _Reader:
    def current_user(self) -> str:
        return "anna"

    def can_read(self, resource: str) -> bool:
        return True

    def can_write(self, resource: str) -> bool:
        return False


def test_who_may_only_read_writes_nothing(library: PipelineLibrary) -> None:
    path = _exported(library)
    reader = PipelineLibrary(library.path.parent, auth=_Reader())
    assert reader.load_template("pls") == CONFIG
    for say in (
        lambda: reader.save_template(CONFIG, "new"),
        lambda: reader.delete_template("pls"),
        lambda: reader.import_template(path, overwrite=True),
    ):
        with pytest.raises(AccessDenied):
            say()
    assert names(library) == ["pls"]


# ── two processes, and one that is killed ────────────────────────────────────────────────────────────

_SAVE = """
import sys
from hmp_catalog.experiments.library import PipelineLibrary
from hmp_core.errors import PathTaken
library, who = PipelineLibrary(sys.argv[1]), sys.argv[2]
for n in range(20):
    try:
        library.save_template({"who": who, "n": n, "pad": ["x"] * 500}, f"t{n}", description=who)
        print(n)
    except PathTaken:
        pass
for n in range(20):
    library.save_template({"who": who, "pad": ["x"] * 500}, "same", description=who, overwrite=True)
"""


def test_two_processes_save_the_same_templates(library: PipelineLibrary) -> None:
    """Each name has one winner, and a reader meanwhile sees whole templates alone."""
    command = [sys.executable, "-c", _SAVE, str(library.path.parent)]
    both = [subprocess.Popen([*command, who], stdout=subprocess.PIPE, text=True) for who in ("one", "two")]
    while any(each.poll() is None for each in both):
        for about in library.list_templates():
            assert about["damaged"] is None
            said, pipeline = templates.read(library.path / "general" / about["name"], "metadata.json", "pipeline.json")
            assert pipeline["who"] == said["description"]
    won = [each.communicate()[0].split() for each in both]
    assert [each.returncode for each in both] == [0, 0]
    assert sorted(int(n) for each in won for n in each) == list(range(20))
    assert all(len(os.listdir(library.path / "general" / name)) == 3 for name in names(library))


_KILLED = """
import os, signal, sys
from hmp_catalog.experiments import library, templates
from hmp_core import durable
rooms, fatal, at = {library.__file__, templates.__file__, durable.__file__}, int(sys.argv[2]), 0
def step(frame, event, _):
    global at
    if frame.f_code.co_filename not in rooms:
        return None
    if event == "line":
        at += 1
        if at == fatal:
            os.kill(os.getpid(), signal.SIGKILL)
    return step
work = library.PipelineLibrary(sys.argv[1])
sys.settrace(step)
if sys.argv[3] == "delete":
    work.delete_template("pls")
else:
    work.save_template({"n": 2}, "pls", description="2", overwrite=True)
sys.settrace(None)
print(at)
"""


def _killed(folder: Path, verb: str, *, points: int, there: bool) -> set[str]:
    """Kill a process that does ``verb`` at several of its lines; return what was found afterwards."""
    found, command = set(), [sys.executable, "-c", _KILLED]

    def begin() -> PipelineLibrary:
        shutil.rmtree(folder, ignore_errors=True)
        library = PipelineLibrary(folder)
        library.save_template(CONFIG, "neighbour")
        if there:
            library.save_template({"n": 1}, "pls", description="1")
        return library

    begin()
    done = subprocess.run([*command, str(folder), "0", verb], capture_output=True, text=True, check=True)
    steps = int(done.stdout)
    for fatal in sorted({1 + n * (steps - 1) // points for n in range(points + 1)}):
        library = begin()
        died = subprocess.run([*command, str(folder), str(fatal), verb], capture_output=True, text=True, check=False)
        assert died.returncode == -9, died.stderr
        said = {each["name"]: each for each in library.list_templates()}
        assert [each["damaged"] for each in said.values()] == [None] * len(said)
        state = "none"
        if "pls" in said:
            state = said["pls"]["description"]
            assert library.load_template("pls") == {"n": int(state)}
        library.save_template({"n": 3}, "pls", overwrite=True)  # whoever comes next clears up
        assert sorted(os.listdir(library.path / "general")) == ["neighbour", "pls"]
        found.add(state)
    return found


def test_killed_while_saving_there_is_no_template_or_all_of_it(tmp_path: Path) -> None:
    assert _killed(tmp_path / "w", "save", points=5, there=False) <= {"none", "2"}


def test_killed_while_replacing_there_is_the_one_before_or_the_one_after(tmp_path: Path) -> None:
    assert _killed(tmp_path / "w", "save", points=5, there=True) <= {"1", "2"}


@pytest.mark.soak
@pytest.mark.parametrize(("verb", "there"), [("save", False), ("save", True), ("delete", True)])
def test_killed_anywhere(tmp_path: Path, verb: str, there: bool) -> None:
    found = _killed(tmp_path / "w", verb, points=90, there=there)
    assert found == {("1" if there else "none"), ("none" if verb == "delete" else "2")}


def test_replacing_that_fails_half_way_leaves_the_one_before(
    library: PipelineLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.save_template(CONFIG, "pls")
    real = os.rename

    def refuse(source: Any, target: Any) -> None:
        if str(source).endswith(".new"):
            raise OSError(28, "No space left on device")
        real(source, target)

    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(OSError, match="No space"):
        library.save_template({}, "pls", overwrite=True)
    assert library.load_template("pls") == CONFIG
    assert os.listdir(library.path / "general") == ["pls"]


def test_templates_need_no_part_of_the_extra() -> None:
    code = f"""
import sys
from {room.__name__} import PipelineLibrary
library = PipelineLibrary("here")
library.save_template({{"n": 1}}, "pls")
library.list_templates()
print(sorted({{"polars", "joblib", "yaml", "duckdb", "sklearn"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
