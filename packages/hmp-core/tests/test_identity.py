"""Identity: ids as the standard says, slugs that are file names, hashes that never touch a database."""

from __future__ import annotations

import hashlib
import re
import time
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hmp_core.errors import InvalidInput
from hmp_core.identity import derived_id, random_id, sha256_bytes, sha256_file, sha256_path, sha256_tree, slug, uuid7


@given(st.integers(0, 2**48 - 1))
def test_uuid7_has_the_bits_of_rfc_9562(milliseconds: int) -> None:
    """Section 5.7: 48 bits of Unix milliseconds, version 7, variant 10."""
    made = uuid7(milliseconds)
    assert made.int >> 80 == milliseconds
    assert made.version == 7
    assert made.variant == "specified in RFC 4122"
    assert (made.int >> 62) & 0b11 == 0b10


@given(st.integers(0, 2**48 - 2), st.integers(0, 2**48 - 1))
def test_uuid7_sorts_by_time(one: int, two: int) -> None:
    if one == two:
        return
    earlier, later = sorted((one, two))
    assert uuid7(earlier) < uuid7(later)
    assert str(uuid7(earlier)) < str(uuid7(later))


def test_uuid7_is_of_now() -> None:
    before = time.time_ns() // 1_000_000
    assert before <= uuid7().int >> 80 <= time.time_ns() // 1_000_000


def test_ids_differ() -> None:
    assert len({uuid7(0) for _ in range(5000)}) == 5000
    assert len({random_id() for _ in range(5000)}) == 5000
    assert {random_id().version for _ in range(10)} == {4}


def test_derived_ids_are_the_same_for_ever() -> None:
    """They are in the databases of people: this value never changes."""
    assert derived_id("entry", "discharge", "brugg") == UUID("bc77e0e3-b3ec-55a1-bea3-d8a26bfc8a59")
    assert derived_id("a", "b").version == 5


_PART = st.text(st.characters(blacklist_characters="\x1f", blacklist_categories=["Cs"]))


def test_what_is_no_text_gives_no_id() -> None:
    with pytest.raises(InvalidInput):
        derived_id("file", "\ud800")


@given(st.lists(_PART, max_size=4), st.lists(_PART, max_size=4))
def test_derived_ids_tell_their_parts_apart(parts: list[str], others: list[str]) -> None:
    if parts and others and parts != others:
        assert derived_id(*parts) != derived_id(*others)


@given(st.text(), st.integers(1, 64))
def test_a_slug_is_a_file_name(text: str, length: int) -> None:
    made = slug(text, length=length)
    assert re.fullmatch(r"[a-z0-9_-]+", made)
    assert len(made) <= max(length, len("unnamed"))
    assert not made.startswith("-")
    assert not made.endswith("-")


def test_slugs() -> None:
    assert slug("Forêt d'Orléans (sud)") == "foret-d-orleans-sud"
    assert slug("../../etc/passwd") == "etc-passwd"
    assert slug("…") == slug("") == "unnamed"
    assert slug("a" * 100) == "a" * 32


def test_a_file_is_known_by_its_bytes(tmp_path: Path) -> None:
    content = bytes(range(256)) * 10_000
    (tmp_path / "a").write_bytes(content)
    assert sha256_file(tmp_path / "a") == sha256_bytes(content) == hashlib.sha256(content).hexdigest()
    assert sha256_path(tmp_path / "a") == sha256_bytes(content)


def test_a_tree_is_known_by_names_and_bytes(tmp_path: Path) -> None:
    def tree(name: str, files: dict[str, str]) -> str:
        for file, text in files.items():
            path = tmp_path / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return sha256_tree(tmp_path / name)

    one = tree("one", {"a/b": "x", "c": "y"})
    assert one == tree("two", {"c": "y", "a/b": "x"}) == sha256_path(tmp_path / "two")
    assert one != tree("renamed", {"a/d": "x", "c": "y"})
    assert one != tree("edited", {"a/b": "x", "c": "z"})
    assert one != tree("more", {"a/b": "x", "c": "y", "e": ""})


@pytest.mark.parametrize("name", ["catalog.duckdb", "catalog.duckdb.wal"])
def test_a_database_is_never_read_as_a_file(tmp_path: Path, name: str) -> None:
    """Closing a second descriptor would drop the lock of the engine in this process."""
    (tmp_path / name).write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / name)
    for path in (tmp_path / name, tmp_path / "link"):
        with pytest.raises(InvalidInput):
            sha256_file(path)
    with pytest.raises(InvalidInput):
        sha256_tree(tmp_path)
