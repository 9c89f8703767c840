"""Acceptance scenarios of measuring sessions at their doors: those that only several rooms together can show.

Where the others are: tables, versions, migrations and refusals (1 to 5) in ``test_acquisition_schema``, and as a writer
and a reader meet them in ``test_acquisition_writer`` and ``test_acquisition_catalog``; runs, how they end, frames and
those that do not fit (6, 7, 10, 11) in ``test_acquisition_writer`` and ``test_acquisition_images``; kills (8) in
``test_acquisition_killed``; live readers (9) in ``test_acquisition_live``; what is lost (12) in
``test_acquisition_images`` and ``test_acquisition_verify``; reading (13) in ``test_acquisition_catalog`` and
``test_acquisition_images``; the master index (14) in ``test_acquisition_index``; deleting and clearing (15) in
``test_acquisition_verify``.
"""

from __future__ import annotations

import signal
import sqlite3  # noqa: TID251 - as somebody else who looks on
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hmp_catalog.acquisition import Catalog, MasterIndex, RunWriter, SampleMetadata, delete_run, gc, verify
from hmp_core.errors import BusyError, CorruptError, DatabaseNotFound, SchemaTooNewError

PS = SampleMetadata("PS")
BATCH = 5

#: Gathers events, says of each what returned, and dies behind the last of them.
DYING = """
import os, signal, sys
import numpy as np
from hmp_catalog.acquisition import RunWriter, SampleMetadata

path, count, batch = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
writer = RunWriter(path, SampleMetadata("PS"), flush_events=batch)
writer.open()
print(writer.open_run("scan"), flush=True)
writer.open_stream("primary", {"level": {}})
for n in range(count):
    writer.write_image(writer.write_event({"level": n}), "camera", np.full((4, 6), n, "u2"))
os.kill(os.getpid(), signal.SIGKILL)
"""


def record(path: Path, *levels: int) -> str:
    with RunWriter(path, PS) as writer:
        run = writer.open_run("scan")
        writer.open_stream("primary", {"level": {}})
        for n in levels:
            writer.write_image(writer.write_event({"level": n}), "camera", np.full((4, 6), n, "u2"))
    return run


def rows(path: Path) -> dict[str, int]:
    """Return how many rows each table has."""
    with closing(sqlite3.connect(path)) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in names}


def files(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


# ── 1: foreign keys hold on every connection ─────────────────────────────────────────────────────────


def test_what_belongs_to_a_deleted_run_goes_with_it_and_nothing_else(tmp_path):
    path = tmp_path / "june.db"
    record(path, 1, 2)
    before = rows(path)
    delete_run(path, record(path, *range(70)))
    assert {name: count for name, count in rows(path).items() if name != "sqlite_sequence"} == {
        name: count for name, count in before.items() if name != "sqlite_sequence"
    }


# ── 5: refusals at the doors ─────────────────────────────────────────────────────────────────────────


def test_each_refusal_at_a_door_is_a_kind_of_its_own(tmp_path, spawn):
    path = tmp_path / "june.db"
    record(path, 1)
    holding = f"from hmp_catalog.acquisition import *; w = RunWriter({str(path)!r}, SampleMetadata('PS')); w.open(); "
    with spawn(holding + "print('ready', flush=True); input()") as (other,):
        assert other.stdout.readline() == "ready\n"
        with pytest.raises(BusyError, match=str(other.pid)):
            RunWriter(path, PS, timeout=0.1).open()
    (tmp_path / "text.db").write_text("no database " * 100)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 9")
    for name, kind in (("missing", DatabaseNotFound), ("text", CorruptError), ("june", SchemaTooNewError)):
        with pytest.raises(kind):
            Catalog(tmp_path / f"{name}.db")
        if name != "missing":
            with pytest.raises(kind):
                RunWriter(tmp_path / f"{name}.db", PS).open()
    assert len({BusyError, DatabaseNotFound, CorruptError, SchemaTooNewError}) == 4
    assert not any(issubclass(one, other) for one in (BusyError, SchemaTooNewError) for other in (CorruptError,))


# ── 8: killed while events are gathered ──────────────────────────────────────────────────────────────


@pytest.mark.parametrize("count", [1, 3, 34, 66])
def test_of_events_that_are_gathered_a_kill_takes_the_last_few_and_leaves_no_gap(tmp_path, spawn, count):
    path = tmp_path / "june.db"
    with spawn(DYING, path, count, BATCH) as (writer,):
        run = writer.stdout.readline().strip()
        assert writer.wait(30) == -signal.SIGKILL
    look(path, run, count)
    record(path, 7)  # the next writer closes what the dead one left
    look(path, run, count)
    assert {each.code for each in gc(path, dry_run=False)} <= {"orphan-array"}  # none of its frames was acknowledged
    assert verify(path, deep=True) == []


def look(path: Path, uid: str, count: int) -> None:
    with Catalog(path) as catalog:
        run = catalog[uid]
        assert run.exit_status == "interrupted"
        levels = [event.data["level"] for event in run.events()]
        frames: Any = run.images("camera") if "camera" in run.fields else []
        assert levels == list(range(len(levels)))
        assert [each[3, 5] for each in frames] == list(range(len(frames)))
        assert 0 <= 2 * count - len(levels) - len(frames) < BATCH
        assert 0 <= len(levels) - len(frames) <= 1


# ── 15: what follows a deletion ──────────────────────────────────────────────────────────────────────


def test_the_index_follows_a_deletion_and_other_runs_are_untouched(tmp_path):
    path = tmp_path / "june.db"
    kept, gone = record(path, *range(70)), record(path, 1, 2)
    index = MasterIndex(tmp_path / "index.db")
    index.refresh()
    assert {run.uid for run in index.find()} == {kept, gone}
    before = files(path.with_suffix(".zarr") / "runs" / kept)
    delete_run(path, gone)
    planned = [each.where for each in gc(path)]
    assert [each.where for each in gc(path, dry_run=False)] == planned == [path.with_suffix(".zarr") / "runs" / gone]
    index.refresh()
    assert [run.uid for run in index.find()] == [kept]
    assert files(path.with_suffix(".zarr") / "runs" / kept) == before
    assert [each[0, 0] for each in Catalog(path)[kept].images("camera")] == list(range(70))


# ── what others make of it ───────────────────────────────────────────────────────────────────────────


def test_fields_of_a_run_are_one_data_set_to_xarray_whatever_their_sizes(tmp_path):
    xr = pytest.importorskip("xarray")
    path = tmp_path / "june.db"
    with RunWriter(path, PS) as writer:
        run = writer.open_run("scan")
        writer.open_stream("primary", {"level": {}})
        for n in range(3):
            event = writer.write_event({"level": n})
            writer.write_image(event, "camera", np.full((4, 6), n, "u2"))
            if n:
                writer.write_image(event, "radar", np.full((5, 3), n, "f4"))
    found = xr.open_zarr(path.with_suffix(".zarr"), group=f"runs/{run}", consolidated=False)
    assert {name: each.shape for name, each in found.data_vars.items()} == {"camera": (3, 4, 6), "radar": (2, 5, 3)}
    assert found["radar"].dims == ("radar_frame", "radar_y", "radar_x")


CLOSED_TO_THIS_USER = """
import os, sys
from hmp_catalog.acquisition import verify
verify(sys.argv[1])  # another user may not import what lies in the home of this one
os.chmod(sys.argv[2], 0o700 if os.geteuid() == 0 else 0)
if os.geteuid() == 0:
    os.setgid(65534); os.setuid(65534)
try:
    verify(sys.argv[1])
except Exception as error:
    print(type(error).__name__, "is closed to this user" in str(error))
"""


def test_frames_that_are_closed_to_this_user_are_no_frames_that_are_lost(python):
    with tempfile.TemporaryDirectory() as folder:  # that of the tests is closed to others
        path = Path(folder) / "june.db"
        record(path, 1)
        for each in (Path(folder), *Path(folder).rglob("*")):
            each.chmod(0o755 if each.is_dir() else 0o644)
        zarr_group = path.with_suffix(".zarr")
        assert python(CLOSED_TO_THIS_USER, path, zarr_group) == "NotWritable True\n"
        zarr_group.chmod(0o755)
