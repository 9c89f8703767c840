"""The list: what is written is read, what is damaged is left alone, the same workspace is one line."""

from __future__ import annotations

import string
from datetime import datetime
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hmp_core.errors import (
    AmbiguousReference,
    CorruptError,
    InvalidInput,
    NotFound,
    SchemaTooNewError,
    UnsupportedScheme,
)
from hmp_core.layout import Root
from hmp_index import roster
from hmp_index.errors import OtherWorkspace, WorkspaceListCorrupt
from hmp_index.roster import Listed

NOW = datetime(2026, 11, 21, 3, 0, 0, 123456)
ROOT = Root(Path("/data/aare"), uuid4(), "Aare")


def line(**changes):
    facts = {"id": ROOT.id, "path": ROOT.path, "label": "Aare", "registered_at": NOW}
    return Listed(**facts | changes)


def present(_):
    return True


def gone(_):
    return False


# ── the file ─────────────────────────────────────────────────────────────────────────────────────────

printable = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1)


@settings(deadline=None)
@given(
    st.lists(
        st.builds(
            Listed,
            id=st.uuids(),
            path=printable.map(lambda text: Path("/", text.replace("/", "-"))),
            label=printable,
            registered_at=st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1)),
            copy_of=st.none() | st.uuids(),
        ),
        unique_by=lambda one: one.id,
    )
)
def test_what_is_written_is_read(tmp_path_factory, listed):
    file = tmp_path_factory.mktemp("list") / "workspaces.toml"
    roster.write(file, listed)
    assert roster.read(file) == listed


def test_no_file_is_not_an_empty_list(tmp_path):
    assert roster.read(tmp_path / "workspaces.toml") is None


@pytest.mark.parametrize(
    "text",
    [
        "not toml [",
        "version = " + "[" * 5000,
        "",
        'version = "x"',
        "version = 1\nworkspaces = 3",
        "version = 1\nworkspaces = [3]",
        'version = 1\n[[workspaces]]\nid = "x"\npath = "/a"\nlabel = "a"\nregistered_at = 2026-01-01T00:00:00Z',
        f'version = 1\n[[workspaces]]\nid = "{uuid4()}"\npath = "a"\nlabel = "a"\nregistered_at = 2026-01-01T00:00:00Z',
        f'version = 1\n[[workspaces]]\nid = "{uuid4()}"\npath = "/a"\nlabel = "a"\nregistered_at = "yesterday"',
        f'version = 1\n[[workspaces]]\nid = "{uuid4()}"\npath = "/a"\nregistered_at = 2026-01-01T00:00:00Z',
    ],
)
def test_a_damaged_list_is_refused_and_left_as_it_is(tmp_path, text):
    file = tmp_path / "workspaces.toml"
    file.write_text(text)
    with pytest.raises(WorkspaceListCorrupt, match=r"workspaces\.toml"):
        roster.read(file)
    assert file.read_text() == text


def test_bytes_that_are_no_text_are_refused(tmp_path):
    file = tmp_path / "workspaces.toml"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CorruptError):
        roster.read(file)


def test_a_folder_in_its_place_is_refused(tmp_path):
    with pytest.raises(WorkspaceListCorrupt):
        roster.read(tmp_path)


def test_an_id_that_is_there_twice_is_refused(tmp_path):
    file = tmp_path / "workspaces.toml"
    roster.write(file, [line(), line(path=Path("/b"))])
    with pytest.raises(WorkspaceListCorrupt, match="twice"):
        roster.read(file)


def test_a_list_of_a_newer_hmp_is_refused(tmp_path):
    file = tmp_path / "workspaces.toml"
    file.write_text("version = 2\n")
    with pytest.raises(SchemaTooNewError):
        roster.read(file)


# ── putting workspaces on it ─────────────────────────────────────────────────────────────────────────


def test_a_new_workspace_has_the_id_it_carries():
    listed, found, outcome = roster.enlist([], ROOT, None, NOW, present)
    assert (listed, found.id, found.label, outcome) == ([found], ROOT.id, "Aare", "registered")


def test_the_same_again_is_one_line():
    assert roster.enlist([line()], ROOT, None, NOW, present) == ([line()], line(), "known")


def test_registering_again_may_change_the_label():
    assert roster.enlist([line()], ROOT, "Upper Aare", NOW, present)[1].label == "Upper Aare"


def test_registering_again_keeps_the_label():
    assert roster.enlist([line(label="mine")], ROOT, None, NOW, present)[1].label == "mine"


def test_a_moved_workspace_gets_its_new_path():
    listed, found, outcome = roster.enlist([line(path=Path("/old"), label="mine")], ROOT, None, NOW, gone)
    assert (listed, found, outcome) == ([line(label="mine")], line(label="mine"), "moved")


def test_a_copy_gets_an_id_of_its_own():
    original = line(path=Path("/old"))
    listed, found, outcome = roster.enlist([original], ROOT, None, NOW, present)
    assert (len(listed), found.own_id, found.copy_of, outcome) == (2, ROOT.id, ROOT.id, "copied")
    assert found.id != original.id


def test_a_copy_gets_the_same_id_wherever_it_is_registered_again():
    ids = {roster.enlist([line(path=Path("/old"))], ROOT, None, NOW, present)[1].id for _ in range(2)}
    assert len(ids) == 1


def test_a_second_copy_in_the_place_of_a_moved_one_is_told_apart():
    listed, first, _ = roster.enlist([line(path=Path("/old"))], ROOT, None, NOW, present)
    moved, _, _ = roster.enlist(listed, Root(Path("/new"), ROOT.id, "Aare"), None, NOW, lambda one: one.id != first.id)
    after, _, outcome = roster.enlist(moved, ROOT, None, NOW, present)
    assert outcome == "copied"
    assert len({one.id for one in after}) == 3


def test_another_workspace_in_the_place_of_a_listed_one_is_a_line_of_its_own():
    other = Root(ROOT.path, uuid4(), "Other")
    listed, found, outcome = roster.enlist([line()], other, None, NOW, present)
    assert (listed, outcome) == ([line(), found], "registered")


# ── relocating ───────────────────────────────────────────────────────────────────────────────────────


def test_a_relocated_line_has_the_new_path():
    assert roster.relocated([line(path=Path("/old"))], line(path=Path("/old")), ROOT) == [line()]


def test_a_folder_with_another_workspace_is_refused():
    with pytest.raises(OtherWorkspace) as caught:
        roster.relocated([line()], line(), Root(Path("/new"), uuid4(), "Other"))
    assert caught.value.expected == str(ROOT.id)


def test_a_folder_that_another_line_has_is_refused():
    copy = line(id=uuid4(), path=Path("/copy"), copy_of=ROOT.id)
    with pytest.raises(InvalidInput, match="registered already"):
        roster.relocated([line(), copy], line(), Root(Path("/copy"), ROOT.id, "Aare"))


# ── references ───────────────────────────────────────────────────────────────────────────────────────

LISTED = [
    line(id=UUID("3f2a0000-0000-4000-8000-000000000001"), path=Path("/data/aare"), label="Aare"),
    line(id=UUID("3f2b0000-0000-4000-8000-000000000002"), path=Path("/data/fulda"), label="Fulda: upper"),
    line(id=UUID("9c000000-0000-4000-8000-000000000003"), path=Path("/data/face"), label="twice"),
    line(id=UUID("9d000000-0000-4000-8000-000000000004"), path=Path("/data/b"), label="twice"),
]


@pytest.mark.parametrize(
    ("reference", "position"),
    [
        ("3f2a0000-0000-4000-8000-000000000001", 0),
        ("3F2A0000-0000-4000-8000-000000000001", 0),
        (LISTED[0].id, 0),
        ("3f2a", 0),
        ("3f2b0000-00", 1),
        ("Aare", 0),
        ("Fulda: upper", 1),
        ("/data/fulda", 1),
        (Path("/data/fulda"), 1),
        ("file:///data/fulda", 1),
        ("/data/../data/face", 2),
    ],
)
def test_a_reference_is_an_id_a_prefix_a_label_or_a_path(reference, position):
    assert roster.resolve(LISTED, reference) == LISTED[position]


@pytest.mark.parametrize("reference", ["nothing", "3f2", "3f", "/data", "aare", "3f2a0000-0000-4000-8000-00000000000f"])
def test_an_unknown_reference_lists_the_labels(reference):
    with pytest.raises(NotFound, match="Aare") as caught:
        roster.resolve(LISTED, reference)
    assert caught.value.exit_code == 10


@pytest.mark.parametrize("reference", ["twice", "9c000000"])
def test_only_several_are_ambiguous(reference):
    if reference == "twice":
        with pytest.raises(AmbiguousReference, match="9d000000"):
            roster.resolve(LISTED, reference)
    else:
        assert roster.resolve(LISTED, reference) == LISTED[2]


def test_a_prefix_of_several_is_ambiguous():
    with pytest.raises(AmbiguousReference):
        roster.resolve([*LISTED, line(id=UUID("3f2a0000-0000-4000-8000-000000000009"))], "3f2a")


def test_a_place_that_is_not_on_this_machine_is_refused():
    with pytest.raises(UnsupportedScheme):
        roster.resolve(LISTED, "s3://bucket/aare")


def test_a_path_through_a_link_means_the_folder(tmp_path):
    home = tmp_path / "aare"
    home.mkdir()
    (tmp_path / "link").symlink_to(home)
    here = line(path=home)
    assert roster.resolve([here], tmp_path / "link") == here


@settings(deadline=None)
@given(st.text(string.printable))
def test_any_text_is_resolved_or_refused_in_our_words(text):
    try:
        found = roster.resolve(LISTED, text)
    except (NotFound, InvalidInput, UnsupportedScheme):
        return
    assert found in LISTED
