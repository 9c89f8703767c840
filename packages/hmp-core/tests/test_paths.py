"""Paths: what a user types becomes a local path or is refused; what is kept is relative and stays inside."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from upath import UPath

from hmp_core.errors import InvalidInput, PathEscape, UnsupportedScheme
from hmp_core.paths import from_relative, to_local, to_relative

NAMES = st.text(st.characters(blacklist_characters="/\0", blacklist_categories=["Cs"]), min_size=1, max_size=12)
PARTS = st.lists(NAMES.filter(lambda name: name not in {".", ".."}), min_size=1, max_size=4)


# ── in ───────────────────────────────────────────────────────────────────────────────────────────────


@given(PARTS)
def test_every_local_path_has_a_uri_that_leads_back(parts: list[str]) -> None:
    path = Path("/", *parts)
    assert to_local(path.as_uri()) == path
    assert to_local(UPath(path.as_uri())) == path


@given(PARTS)
def test_an_absolute_path_stays_what_it_is(parts: list[str]) -> None:
    path = Path("/", *parts)
    assert to_local(path) == path
    assert to_local(str(path)) == path
    assert to_local(UPath(str(path))) == path


@given(st.text())
def test_whatever_one_types_is_a_path_or_refused(text: str) -> None:
    """Never anything else, and never a relative path."""
    with contextlib.suppress(InvalidInput, UnsupportedScheme):
        assert to_local(text).is_absolute()


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("file:///a/b", "/a/b"),
        ("FILE:///a/b", "/a/b"),
        ("file:/a/b", "/a/b"),
        ("file://localhost/a/b", "/a/b"),
        ("file:///a%20b/%C3%A9", "/a b/é"),
        ("file:///a/../b", "/b"),
        ("/a//b/./c/..", "/a/b"),
        ("/a/100%25", "/a/100%25"),
        ("/a/s3:x", "/a/s3:x"),
    ],
)
def test_spellings(typed: str, meant: str) -> None:
    assert to_local(typed) == Path(meant)


def test_home_and_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", "/home/emma")
    monkeypatch.chdir(tmp_path)
    assert to_local("~/aare") == Path("/home/emma/aare")
    assert to_local("aare") == to_local(Path("aare")) == tmp_path / "aare"
    assert to_local("./runs:2024") == tmp_path / "runs:2024"


@pytest.mark.parametrize("drive", [r"C:\catchments\aare", "c:/catchments", "D:"])
def test_a_drive_is_no_scheme(drive: str) -> None:
    assert to_local(drive).is_absolute()


@pytest.mark.parametrize(
    "uri",
    [
        "s3://bucket/aare",
        "S3://bucket/aare",
        "http://example.org",
        "https://example.org/a",
        "gs:bucket",
        "memory://x",
        "az+blob://x",
        "file://server/share",
        Path("s3://bucket/aare"),
        UPath("memory://x"),
    ],
)
def test_other_schemes_are_refused_by_name(uri: Any) -> None:
    with pytest.raises(UnsupportedScheme) as refused:
        to_local(uri)
    assert refused.value.uri == str(uri)
    assert str(uri) in str(refused.value)
    assert isinstance(refused.value, NotImplementedError)


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "a\0b",
        "file:///a%00b",
        "file:relative",
        "file:",
        "file:///a?version=2",
        "file:///run#1",
        "file://[/x",
        "~nobody-of-that-name/aare",
        None,
        5,
        b"/a",
        PurePosixPath("/a"),
    ],
)
def test_what_is_no_path_is_refused(typed: Any) -> None:
    with pytest.raises(InvalidInput):
        to_local(typed)


# ── kept ─────────────────────────────────────────────────────────────────────────────────────────────


@given(PARTS)
def test_what_is_kept_leads_back(parts: list[str]) -> None:
    root = Path("/workspace")
    try:
        kept = to_relative(root.joinpath(*parts), root)
    except PathEscape:
        assert "\\" in "".join(parts) or ":" in parts[0]
        return
    assert not PurePosixPath(kept).is_absolute()
    assert from_relative(kept, root) == root.joinpath(*parts)


@given(st.text())
def test_nothing_kept_leads_out(text: str) -> None:
    root = Path("/workspace")
    try:
        found = from_relative(text, root)
    except PathEscape:
        return
    assert root in found.parents or found == root


@given(st.lists(NAMES | st.just(".."), min_size=1, max_size=6))
def test_nothing_is_kept_that_lies_outside(parts: list[str]) -> None:
    root = Path("/workspace/inner")
    try:
        kept = to_relative(os.path.join(root, *parts), root)
    except PathEscape:
        return
    assert ".." not in PurePosixPath(kept).parts
    assert from_relative(kept, root).is_relative_to(root)


def test_the_root_itself_can_be_kept(tmp_path: Path) -> None:
    assert to_relative(tmp_path, tmp_path) == "."
    assert from_relative(".", tmp_path) == tmp_path


@pytest.mark.parametrize(
    "text", ["", "/etc/passwd", "../x", "a/../../x", "a/..", r"..\x", r"a\b", "C:/x", "c:", "a\0b", "//server/x"]
)
def test_escapes_are_refused_on_the_way_out(tmp_path: Path, text: str) -> None:
    with pytest.raises(PathEscape):
        from_relative(text, tmp_path)


@pytest.mark.parametrize("name", [r"a\b", "c:x", "a:b/c"])
def test_what_could_not_come_out_does_not_get_in(tmp_path: Path, name: str) -> None:
    with pytest.raises(PathEscape):
        to_relative(tmp_path / name, tmp_path)


def test_links_that_lead_out_are_refused_both_ways(tmp_path: Path) -> None:
    root, outside = tmp_path / "workspace", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (root / "door").symlink_to(outside)
    with pytest.raises(PathEscape):
        to_relative(root / "door" / "file", root)
    with pytest.raises(PathEscape):
        from_relative("door/file", root)


def test_links_that_stay_inside_are_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert to_relative(tmp_path / "link" / "file", tmp_path) == "real/file"
    assert from_relative("link/file", tmp_path) == tmp_path / "link" / "file"


def test_a_workspace_that_is_itself_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert to_relative(tmp_path / "link" / "a", tmp_path / "real") == "a"
    assert from_relative("a", tmp_path / "link") == tmp_path / "real" / "a"
