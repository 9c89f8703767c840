"""What is on its way in, and what becomes of it when its writer dies."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hmp_cache.incoming import Incoming
from hmp_core.errors import InvalidInput
from hmp_core.identity import sha256_bytes


@pytest.fixture
def incoming(tmp_path: Path) -> Incoming:
    return Incoming(tmp_path / "data" / ".incoming")


def test_a_copy_is_hashed_on_the_way(incoming: Incoming, tmp_path: Path) -> None:
    content = os.urandom(3 << 20)
    (tmp_path / "big").write_bytes(content)
    with incoming.receiving() as file:
        staged = incoming.copy_in(tmp_path / "big", file)
        assert (staged.sha256, staged.size) == (sha256_bytes(content), len(content))
        assert staged.path.read_bytes() == content


def test_what_nobody_keeps_is_gone(incoming: Incoming, tmp_path: Path) -> None:
    (tmp_path / "q").write_text("x")
    with incoming.receiving() as file:
        incoming.copy_in(tmp_path / "q", file)
    assert list(incoming.folder.iterdir()) == []


def test_a_file_that_changes_while_it_is_copied_is_refused(incoming: Incoming, tmp_path: Path) -> None:
    growing = tmp_path / "q.csv"
    growing.write_bytes(b"x" * (2 << 20))

    class Meanwhile:
        """Takes what is written, and writes to the original."""

        name = str(tmp_path / "part")

        def write(self, block: bytes) -> None:
            with growing.open("ab") as file:
                file.write(b"more")

    with pytest.raises(InvalidInput, match="was written to while it was copied"):
        incoming.copy_in(growing, Meanwhile())  # type: ignore[arg-type]


def test_a_database_is_not_read_as_a_file(incoming: Incoming, tmp_path: Path) -> None:
    (tmp_path / "x.duckdb").write_bytes(b"x")
    with incoming.receiving() as file, pytest.raises(InvalidInput, match="never read as a file"):
        incoming.copy_in(tmp_path / "x.duckdb", file)


def test_what_a_dead_process_left_is_removed_and_what_a_living_one_writes_is_not(incoming: Incoming) -> None:
    script = "import sys, os, pathlib; from hmp_cache.incoming import Incoming\n"
    script += "way_in = Incoming(pathlib.Path(sys.argv[1])).receiving(); file = way_in.__enter__()\n"
    script += "file.write(b'half'); file.flush()\n"
    script += "os._exit(9)"
    subprocess.run([sys.executable, "-c", script, str(incoming.folder)], check=False)
    (orphan,) = incoming.folder.iterdir()
    with incoming.receiving() as mine, incoming.receiving():
        assert not orphan.exists()
        assert Path(mine.name).exists()


def test_bytes_that_an_intent_speaks_of_are_no_leftover(incoming: Incoming) -> None:
    incoming.folder.mkdir(parents=True)
    for name in ("a.ready", "a.json", "b.ready"):
        (incoming.folder / name).touch()
    with incoming.receiving():
        assert (incoming.folder / "a.ready").exists()
        assert not (incoming.folder / "b.ready").exists()
