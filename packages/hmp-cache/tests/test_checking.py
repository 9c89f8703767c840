"""Whether the bytes of inputs are still what was registered."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import hmp_cache
from hmp_cache import ArtifactGone, EntryNotFound, InputsNamespace

Write = Callable[..., Path]
OTHER = "time,discharge\n2001-01-01,9\n"


def test_an_unchanged_file_is_not_read(data: InputsNamespace, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = data.add(write(), variable="discharge")

    def never(path: Path) -> str:
        raise AssertionError(path)

    monkeypatch.setattr("hmp_cache.signature.sha256_file", never)
    assert data.check() == [entry]


def test_a_copy_with_other_times_is_the_same(data: InputsNamespace, write: Write, tmp_path: Path) -> None:
    data.add(write(), variable="discharge")
    data.close()
    shutil.copytree(data.workspace, tmp_path / "copy", copy_function=shutil.copyfile)
    with hmp_cache.open(tmp_path / "copy") as copy:
        assert [e.state for e in copy.check()] == ["current"]


def test_an_edit_that_keeps_the_size_is_noticed(data: InputsNamespace, write: Write) -> None:
    entry = data.add(write(), variable="discharge")
    entry.path.write_bytes(write().read_bytes().replace(b"1.4", b"4.1"))
    os.utime(entry.path, (1, 1))
    assert [e.state for e in data.check(variable="discharge")] == ["modified"]


def test_an_edit_is_not_served_under_the_old_hash(data: InputsNamespace, write: Write) -> None:
    entry = data.add(write(), variable="discharge")
    entry.path.write_bytes(b"x" * entry.size)
    os.utime(entry.path, (1, 1))
    with pytest.raises(ArtifactGone):
        data.artifact_path(entry.sha256)


def test_the_same_bytes_in_two_inputs(data: InputsNamespace, write: Write) -> None:
    one = data.add(write(), variable="discharge", station="a")
    two = data.add(write(), variable="discharge", station="b")
    one.path.unlink()
    assert data.artifact_path(one.sha256) == two.path
    data.add(write(content=OTHER), variable="discharge", station="b")
    assert data.artifact_path(one.sha256).read_bytes() == write().read_bytes()


def test_a_version_by_its_id_or_its_hash(data: InputsNamespace, write: Write) -> None:
    old = data.add(write(), variable="discharge", station="a")
    new = data.add(write(content=OTHER), variable="discharge", station="a")
    assert data.artifact(new.artifact_id) == new
    assert data.artifact(new.sha256.upper()) == new
    assert data.artifact(old.artifact_id).state == "superseded"
    assert data.artifact(old.artifact_id).relative_path == f"data/.versions/{old.sha256}"


def test_of_several_inputs_with_these_bytes_the_one_that_is_current_comes_first(
    data: InputsNamespace, write: Write
) -> None:
    old = data.add(write(), variable="discharge", station="a")
    data.add(write(content=OTHER), variable="discharge", station="a")
    now = data.add(write(), variable="discharge", station="b")
    assert data.artifact(old.sha256) == now


def test_what_there_never_was(data: InputsNamespace) -> None:
    with pytest.raises(EntryNotFound, match="no input has ever had"):
        data.artifact("f" * 64)
