"""Versions of a data set: all of a commit or nothing, one snapshot for readers, writers that lose nothing, copies."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import subprocess
import tempfile
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from zarr.storage import LocalStore

from hmp_catalog.datasets import Session, Versions
from hmp_catalog.datasets.history.stores import TreeStore
from hmp_catalog.errors import DatasetConflict, LinksRefused
from hmp_core.errors import (
    BusyError,
    CorruptError,
    InvalidInput,
    NotFound,
    NotWritable,
    PathNotFound,
    PathTaken,
    StorageError,
)
from hmp_core.testing.surroundings import fill, read_only_medium, require_root, small_disk

Values = dict[str, Any]


def group(session: Session) -> zarr.Group:
    return zarr.open_group(session.store, mode="a")


def add(
    target: zarr.Group, name: str, values: Any, *dims: str, chunks: tuple[int, ...] | None = None, **about: Any
) -> None:
    values = np.asarray(values)
    options = {"fill_value": np.nan if values.dtype.kind == "f" else 0} | about
    array = target.create_array(
        name, shape=values.shape, chunks=chunks or values.shape, dtype=values.dtype, dimension_names=dims, **options
    )
    array[...] = values


def write(session: Session, name: str, key: Any, values: Any) -> None:
    with session.writing():
        group(session)[name][key] = values


def contents(folder: Path) -> Values:
    found = zarr.open_group(LocalStore(folder, read_only=True), mode="r")
    return {name: np.asarray(array[...]).tolist() for name, array in sorted(found.arrays())}


def look(versions: Versions) -> Values:
    with versions.snapshot() as snapshot:
        return contents(snapshot.folder)


TIME = {"units": "days since 2000-01-01", "calendar": "proleptic_gregorian"}


@pytest.fixture
def versions(tmp_path: Path) -> Versions:
    """A data set of 8 times and 6 places, in chunks of 4 by 3."""
    found = Versions(tmp_path / "forcing.zarr", timeout=20)
    with found.session(create=True) as session, session.writing():
        fill_in(group(session))
    return found


def fill_in(target: zarr.Group) -> None:
    add(target, "time", np.arange(8), "time", attributes=TIME)
    add(target, "rain", np.zeros((8, 6), "f4"), "time", "x", chunks=(4, 3))
    add(target, "codes", np.zeros((8, 6), "u2"), "time", "x", chunks=(2, 3), shards=(4, 6))


# ── a session ────────────────────────────────────────────────────────────────────────────────────────


def test_plain_xarray_reads_what_was_committed(versions):
    with xr.open_zarr(versions.path) as found:
        assert dict(found.sizes) == {"time": 8, "x": 6}
        assert str(found.time.values[1])[:10] == "2000-01-02"
        assert not found.rain.values.any()


def test_plain_zarr_sees_the_arrays_and_nothing_of_the_versions(versions):
    """A warning would be an error."""
    assert sorted(name for name, _ in zarr.open_group(versions.path, mode="r").members()) == ["codes", "rain", "time"]


def test_nothing_is_seen_before_the_commit_and_all_after(versions):
    with versions.session() as session:
        write(session, "rain", ..., 1)
        with session.writing():
            add(group(session), "snow", np.ones(6), "x")
            del group(session)["codes"]
            group(session).attrs["title"] = "new"
        assert contents(session.folder).keys() == {"rain", "snow", "time"}
        assert look(versions).keys() == {"codes", "rain", "time"}
        with xr.open_zarr(versions.path) as found:
            assert not found.rain.values.any()
        session.commit()
        with xr.open_zarr(versions.path) as found:
            assert set(found.variables) == {"rain", "snow", "time"}
            assert found.rain.values.all()
            assert found.title == "new"
        assert look(versions).keys() == {"rain", "snow", "time"}
    assert not os.path.lexists(versions.path / "codes")


def test_an_exception_forgets_everything(versions):
    before = look(versions)
    with pytest.raises(ZeroDivisionError), versions.session() as session:  # noqa: PT012 - it is about the block
        write(session, "rain", ..., 1)
        raise ZeroDivisionError
    assert look(versions) == before
    assert versions.numbers() == [1]
    assert not list((versions.path / ".versions").glob("work-*"))


def test_rolling_back_goes_on_from_what_is_current_now(versions):
    with versions.session() as session, versions.session() as other:
        write(session, "rain", ..., 1)
        write(other, "rain", 0, 2)
        other.commit()
        session.rollback()
        assert (session.number, session.changed) == (2, False)
        assert contents(session.folder)["rain"][0] == [2] * 6
        write(session, "rain", 1, 3)
    assert [row[0] for row in look(versions)["rain"][:3]] == [2, 3, 0]


def test_a_session_that_wrote_nothing_makes_no_version(versions):
    with versions.session() as session:
        assert session.commit() == 1
        with session.writing():
            pass
        assert session.commit() == 1
        write(session, "rain", 0, 0)  # the same again: Zarr drops a chunk that is nothing, else it is another file
        session.commit()
    assert versions.numbers() in ([1], [2])


def test_several_commits_of_one_session(versions):
    with versions.session() as session:
        for day in range(3):
            write(session, "rain", day, day + 1)
            assert session.commit() == day + 2
    assert [row[0] for row in look(versions)["rain"]] == [1, 2, 3, 0, 0, 0, 0, 0]
    assert versions.numbers() == [4]


@pytest.mark.parametrize("others", [False, True], ids=["alone", "put together"])
def test_all_that_is_new_is_on_disk_before_the_switch(versions, monkeypatch, others):
    flushed: dict[int, tuple[int, int]] = {}
    missing: list[str] = []
    fsync, replace = os.fsync, os.replace

    def flush(descriptor: int) -> None:
        fsync(descriptor)
        told = os.fstat(descriptor)
        flushed[told.st_ino] = (told.st_size, told.st_mtime_ns)

    def switch(source: Any, target: Any) -> None:
        if Path(target).name == "current":
            new = Path(target).parent / os.readlink(source)
            for place in (new, *new.rglob("*")):
                told = place.stat()
                if told.st_ino not in known and flushed.get(told.st_ino) != (told.st_size, told.st_mtime_ns):
                    missing.append(str(place))
            seen.append(new)
        replace(source, target)

    seen: list[Path] = []
    with versions.session() as session:
        write(session, "rain", slice(0, 4), 7)
        if others:
            with versions.session() as other:
                write(other, "rain", slice(4, 8), 3)
        with versions.snapshot() as before:
            known = {place.stat().st_ino for place in before.folder.rglob("*") if place.is_file()}
            monkeypatch.setattr(os, "fsync", flush)
            monkeypatch.setattr(os, "replace", switch)
            with session.writing():
                group(session).attrs["title"] = "new"
            session.commit()
    assert (len(seen), missing) == (1, [])


def test_an_empty_session_replaces_everything(versions):
    with versions.session(empty=True) as session:
        assert not session.folder.exists()
        with session.writing():
            add(group(session), "snow", np.ones(6), "x")
        assert look(versions).keys() == {"codes", "rain", "time"}
    assert look(versions).keys() == {"snow"}
    assert {each.name for each in versions.path.iterdir()} == {".versions", "snow", "zarr.json"}


def test_a_closed_session_says_so(versions):
    session = versions.session()
    session.close()
    session.close()
    for verb in (session.commit, session.rollback, lambda: write(session, "rain", 0, 1)):
        with pytest.raises(InvalidInput, match="closed"):
            verb()


def test_a_tree_without_a_group_is_refused(tmp_path):
    versions = Versions(tmp_path / "forcing.zarr")
    with versions.session(create=True) as session:
        with session.writing() as folder:
            (folder / "notes.txt").write_text("later")
        with pytest.raises(InvalidInput, match="Zarr group"):
            session.commit()
        session.rollback()
    assert not versions.exists


def test_where_there_is_nothing(tmp_path):
    versions = Versions(tmp_path / "forcing.zarr")
    assert (versions.exists, versions.numbers(), versions.clear()) == (False, [], 0)
    with pytest.raises(PathNotFound):
        versions.snapshot()
    with pytest.raises(PathNotFound):
        versions.session()
    with pytest.raises(PathNotFound):
        Versions(tmp_path / "no" / "such.zarr").session(create=True)
    assert not list(tmp_path.iterdir())


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    for path in ("mine", "mine/notes.txt"):
        with pytest.raises(PathTaken):
            Versions(tmp_path / path).session(create=True)
    assert [each.name for each in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_a_file_that_has_the_name_of_a_variable_is_left_alone(versions):
    (versions.path / "snow").write_text("mine")
    (versions.path / "README").write_text("mine too")
    with versions.session() as session:
        with session.writing():
            add(group(session), "snow", np.ones(6), "x")
        with pytest.raises(PathTaken, match="snow"):
            session.commit()
        assert look(versions).keys() == {"codes", "rain", "time"}
        os.rename(versions.path / "snow", versions.path / "snow.txt")
        session.commit()
    assert "snow" in look(versions)
    assert (versions.path / "snow.txt").read_text() == "mine"


def test_groups_below_groups(versions):
    with versions.session() as session, session.writing():
        add(group(session).create_group("deep").create_group("deeper"), "a", np.arange(3), "y")
    found = zarr.open_group(versions.path, mode="r")  # by its consolidated metadata
    assert {name for name, _ in found.members(max_depth=None)} >= {"deep", "deep/deeper", "deep/deeper/a"}
    assert found["deep/deeper/a"][1] == 1


def test_metadata_are_consolidated_as_zarr_does(versions, tmp_path):
    with versions.session() as session, session.writing():
        add(group(session).create_group("deep"), "a", np.arange(3), "y", attributes={"b": [1, {"c": None}]})
    with versions.snapshot() as snapshot:
        shutil.copytree(snapshot.folder, tmp_path / "copy")
    ours = zarr.open_group(tmp_path / "copy", mode="r").metadata.to_dict()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = zarr.consolidate_metadata(tmp_path / "copy").metadata.to_dict()
    assert ours == theirs


# ── readers ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_reader_keeps_its_snapshot(versions):
    with versions.snapshot() as snapshot:
        before = contents(snapshot.folder)
        for value in (1, 2, 3):
            with versions.session() as session:
                write(session, "rain", ..., value)
        assert not snapshot.current
        assert versions.clear() == 0
        assert contents(snapshot.folder) == before
        assert versions.numbers() == [1, 4]
    assert versions.clear() == 1
    assert versions.numbers() == [4]
    assert not snapshot.folder.exists()


def test_a_reader_in_another_process_keeps_its_snapshot(versions, spawn):
    code = """
    import sys, zarr, numpy as np
    from pathlib import Path
    from hmp_catalog.datasets import Versions
    with Versions(Path(sys.argv[1])).snapshot() as snapshot:
        print("held", flush=True)
        sys.stdin.readline()
        rain = zarr.open_array(snapshot.folder / "rain", mode="r")[...]
        print(np.unique(rain).tolist(), flush=True)
    """
    with spawn(code, versions.path) as (other,):
        assert other.stdout.readline() == "held\n"
        for value in (1, 2):
            with versions.session() as session:
                write(session, "rain", ..., value)
        assert versions.numbers() == [1, 3]
        other.stdin.write("go\n")
        other.stdin.flush()
        assert other.stdout.readline() == "[0.0]\n"


def test_a_reader_that_was_killed_keeps_nothing(versions, spawn):
    code = """
    import sys, time
    from pathlib import Path
    from hmp_catalog.datasets import Versions
    held = Versions(Path(sys.argv[1])).snapshot()
    print("held", flush=True)
    time.sleep(60)
    """
    with spawn(code, versions.path) as (other,):
        assert other.stdout.readline() == "held\n"
        with versions.session() as session:
            write(session, "rain", ..., 1)
        assert versions.numbers() == [1, 2]
    assert versions.clear() == 1
    assert versions.numbers() == [2]


def test_readers_see_one_version_while_writers_commit(versions):
    """Each reading opens a snapshot and reads every chunk twice: all are of one commit."""
    seen: set[float] = set()
    broken: list[Any] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            with versions.snapshot() as snapshot:
                for _ in range(2):
                    found = {name: set(np.unique(values)) for name, values in contents(snapshot.folder).items()}
                    if found["rain"] != found["codes"] or len(found["rain"]) != 1:
                        broken.append(found)
                seen.update(found["rain"])

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    with versions.session() as session:
        for value in range(1, 15):
            with session.writing():
                for name in ("rain", "codes"):
                    group(session)[name][...] = value
            session.commit()
    done.set()
    for reader in readers:
        reader.join()
    assert not broken
    assert len(seen) > 1


def test_old_versions_are_kept_on_request(tmp_path):
    versions = Versions(tmp_path / "forcing.zarr", keep=2)
    with versions.session(create=True) as session:
        for value in range(5):
            with session.writing():
                if not value:
                    fill_in(group(session))
                group(session)["rain"][...] = value
            session.commit()
    assert versions.numbers() == [3, 4, 5]
    with versions.snapshot(3) as snapshot:
        assert contents(snapshot.folder)["rain"][0][0] == 2
    with pytest.raises(NotFound, match="version 2"):
        versions.snapshot(2)
    assert Versions(versions.path).clear() == 2


def test_order_is_told_by_numbers_and_not_by_clocks(versions):
    """Someone sets the clock back, or a copy gives every file the time of copying."""
    with versions.snapshot() as snapshot:
        for value in (1, 2):
            with versions.session() as session:
                write(session, "rain", ..., value)
            for each in sorted(versions.path.rglob("*")):
                os.utime(each, ns=(10**18 - value, 10**18 - value), follow_symlinks=False)
        assert not snapshot.current
    with versions.session() as session:
        write(session, "codes", ..., 3)
    assert versions.numbers() == [4]
    assert look(versions)["rain"][0][0] == 2


# ── writers ──────────────────────────────────────────────────────────────────────────────────────────


def both(versions: Versions, one: Callable[[Session], None], other: Callable[[Session], None]) -> None:
    """Let two sessions begin on one version, and commit one after the other."""
    with versions.session() as first, versions.session() as second:
        one(first)
        other(second)
        first.commit()
        second.commit()


def writing(name: str, key: Any, values: Any) -> Callable[[Session], None]:
    return lambda session: write(session, name, key, values)


def test_disjoint_cells_of_one_chunk_are_both_kept(versions):
    for name in ("rain", "codes"):
        both(versions, writing(name, np.s_[0:2, 0:2], 1), writing(name, np.s_[1:4, 2:4], 2))
        expected = np.zeros((8, 6))
        expected[0:2, 0:2], expected[1:4, 2:4] = 1, 2
        assert look(versions)[name] == expected.tolist()


def test_the_same_cell_with_the_same_value_is_no_conflict(versions):
    both(versions, writing("rain", np.s_[0:3, 0], 1), writing("rain", np.s_[2:4, 0], 1))
    assert [row[0] for row in look(versions)["rain"]] == [1, 1, 1, 1, 0, 0, 0, 0]


def test_the_same_cell_with_other_values_is_a_conflict_that_says_where(versions):
    with versions.session() as first, versions.session() as second:
        write(first, "rain", np.s_[1:3, 0:5], 1)
        write(second, "rain", np.s_[2:6, 4:6], 2)
        write(second, "time", 0, 5)
        first.commit()
        before = look(versions)
        with pytest.raises(DatasetConflict) as caught:
            second.commit()
        assert (caught.value.variable, caught.value.path) == ("rain", str(versions.path))
        assert look(versions) == before
        assert contents(second.folder)["rain"][3][5] == 2  # it can still be read
        with pytest.raises(DatasetConflict):
            second.commit()
        second.rollback()
        write(second, "rain", np.s_[3:6, 4:6], 2)
        second.commit()
    assert look(versions)["rain"][2] == [1] * 5 + [0]
    assert look(versions)["rain"][3] == [0] * 4 + [2, 2]


def test_a_conflict_names_the_cells(versions):
    with pytest.raises(DatasetConflict) as caught:
        both(versions, writing("rain", np.s_[1:3, 0:2], 1), writing("rain", np.s_[2:4, 1:3], 2))
    assert (caught.value.variable, caught.value.region) == ("rain", "[2:3, 1:2]")


@pytest.mark.parametrize("values", [np.nan, -0.0, np.inf])
def test_cells_are_compared_bit_by_bit(versions, values):
    """NaN over NaN is no change; -0.0 over 0.0 is one."""
    with versions.session() as session:
        write(session, "rain", ..., np.nan)
        write(session, "rain", np.s_[0, 0], 0.0)
    both(versions, writing("rain", np.s_[0, 0], values), writing("rain", np.s_[0, 1], 5.0))
    with versions.snapshot() as snapshot:
        rain = zarr.open_array(snapshot.folder / "rain", mode="r")[...]
    assert rain[0, 0].tobytes() == np.float32(values).tobytes()
    assert rain[0, 1] == 5


@pytest.mark.parametrize(
    ("dtype", "one", "other"),
    [
        ("string", "Aare", "Rhône"),
        ("bool", True, True),
        ("datetime64[s]", np.datetime64(5, "s"), np.datetime64(6, "s")),
    ],
)
def test_strings_and_dates_are_put_together_too(versions, dtype, one, other):
    with versions.session() as session, session.writing():
        group(session).create_array("name", shape=(4,), dtype=dtype, dimension_names=["n"])
    both(versions, writing("name", slice(0, 1), one), writing("name", slice(2, 3), other))
    with versions.snapshot() as snapshot:
        name = zarr.open_array(snapshot.folder / "name", mode="r")
        assert (name[0], name[2]) == (one, other)
        assert name[1] == name.fill_value or dtype == "datetime64[s]"
    if dtype != "bool":  # two that are no longer False are both True
        with pytest.raises(DatasetConflict, match=r"\[1:2\]"):
            both(versions, writing("name", slice(0, 2), one), writing("name", slice(1, 2), other))


def test_a_number_without_dimensions(versions):
    with versions.session() as session, session.writing():
        add(group(session), "crs", np.array(0))
    with pytest.raises(DatasetConflict):
        both(versions, writing("crs", ..., 1), writing("crs", ..., 2))
    both(versions, writing("crs", ..., 3), writing("crs", ..., 3))
    assert look(versions)["crs"] == 3


def merged(base: Any, ours: Any, theirs: Any) -> Any:
    """Say what two changes of numbers come to, cell by cell; None for a conflict."""
    mine, yours = ours != base, theirs != base
    return None if (mine & yours & (ours != theirs)).any() else np.where(mine, ours, theirs)


def put_together_at_random(versions: Versions, seed: int) -> None:
    chance, found = np.random.default_rng(seed), look(versions)
    now = {name: np.array(found[name]) for name in ("rain", "codes")}
    for _ in range(4):
        wanted = [{name: values.copy() for name, values in now.items()} for _ in range(2)]
        with versions.session() as first, versions.session() as second:
            for session, values in zip((first, second), wanted, strict=True):
                for name in chance.choice(["rain", "codes"], 2):
                    rows, columns = (slice(*sorted(chance.integers(0, n + 1, 2))) for n in (8, 6))
                    values[name][rows, columns] = chance.integers(0, 3)
                    write(session, name, np.s_[rows, columns], values[name][rows, columns])
            first.commit()
            expected = {name: merged(now[name], wanted[1][name], wanted[0][name]) for name in now}
            if any(values is None for values in expected.values()):
                expected = wanted[0]
                with pytest.raises(DatasetConflict):
                    second.commit()
                second.rollback()
        now, found = expected, look(versions)
        assert {name: found[name] for name in now} == {name: values.tolist() for name, values in now.items()}


@pytest.mark.parametrize("seed", range(2))
def test_what_two_wrote_at_random(versions, seed):
    put_together_at_random(versions, seed)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(2, 200))
def test_what_two_wrote_at_random_many_times(versions, seed):
    put_together_at_random(versions, seed)


def adding(name: str, value: float) -> Callable[[Session], None]:
    def do(session: Session) -> None:
        with session.writing():
            add(group(session), name, np.full(6, value), "x")

    return do


def test_variables_of_both_are_there(versions):
    both(versions, adding("snow", 1), adding("wind", 2))
    assert look(versions)["snow"] == [1] * 6
    assert look(versions)["wind"] == [2] * 6
    with xr.open_zarr(versions.path, consolidated=True) as found:
        assert {"snow", "wind"} <= set(found)


def test_both_add_the_same_variable(versions):
    both(versions, adding("snow", 1), adding("snow", 1))
    with pytest.raises(DatasetConflict, match="wind"):
        both(versions, adding("wind", 1), adding("wind", 2))


def removing(name: str) -> Callable[[Session], None]:
    def do(session: Session) -> None:
        with session.writing():
            del group(session)[name]

    return do


@pytest.mark.parametrize("order", [1, -1])
def test_what_one_removed_and_the_other_changed(versions, order):
    with pytest.raises(DatasetConflict, match="rain"):
        both(versions, *[removing("rain"), writing("rain", 0, 1)][::order])


@pytest.mark.parametrize("order", [1, -1])
def test_one_removes_a_variable_and_the_other_changes_another(versions, order):
    both(versions, *[removing("codes"), writing("rain", 0, 2)][::order])
    assert look(versions).keys() == {"rain", "time"}
    assert not os.path.lexists(versions.path / "codes")


def resizing(times: int, *, values: float | None = None, names: tuple[str, ...] = ("time", "rain", "codes")) -> Any:
    def do(session: Session) -> None:
        with session.writing():
            target = group(session)
            for name in names:
                array = target[name]
                array.resize((times, *array.shape[1:]))
            if values is not None:
                target["time"][8:] = np.arange(8, times)
                target["rain"][8:] = values

    return do


@pytest.mark.parametrize("order", [1, -1])
def test_one_appends_and_the_other_writes_what_was_there(versions, order):
    both(versions, *[resizing(10, values=7), writing("rain", np.s_[6:8, :], 1)][::order])
    found = look(versions)
    assert found["time"] == list(range(10))
    assert [row[0] for row in found["rain"]] == [0] * 6 + [1, 1, 7, 7]
    assert len(found["codes"]) == 10


def test_both_append_the_same_times(versions):
    """Each writes a variable of its own."""

    def codes(session: Session) -> None:
        resizing(10)(session)
        write(session, "time", slice(8, 10), [8, 9])
        write(session, "codes", slice(8, 10), 5)

    both(versions, resizing(10, values=7), codes)
    found = look(versions)
    assert (found["time"], found["rain"][9], found["codes"][9]) == (list(range(10)), [7] * 6, [5] * 6)


def adding_along_time(session: Session) -> None:
    with session.writing():
        add(group(session), "snow", np.ones(8), "time")


def prepend(session: Session) -> None:
    """Four times before all others: nothing that was there is where it was."""
    with session.writing():
        target = group(session)
        for name in ("time", "rain", "codes"):
            array = target[name]
            values = np.asarray(array[...])
            array.resize((12, *array.shape[1:]))
            array[4:] = values
            array[:4] = np.arange(-4, 0) if name == "time" else 0


def new_chunk(session: Session) -> None:
    """A chunk that was missing, and still is with four times more before it."""
    write(session, "rain", np.s_[5, 4], 1)


def describe(session: Session, **attributes: Any) -> None:
    with session.writing():
        group(session)["codes"].attrs.update(attributes)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (resizing(9, values=1), resizing(10, values=1)),
        (resizing(4), writing("rain", 0, 1)),
        (resizing(10, values=1), adding_along_time),
        (prepend, writing("rain", 7, 1)),
        (prepend, new_chunk),
        (lambda session: describe(session, scale_factor=0.1), writing("codes", 0, 1)),
        (lambda session: describe(session, title="a"), lambda session: describe(session, title="b")),
    ],
    ids=["unequal", "shorter", "new-along", "prepended", "prepended-hole", "packing", "titles"],
)
@pytest.mark.parametrize("order", [1, -1])
def test_what_makes_no_sense_together_is_a_conflict(versions, one, other, order):
    with versions.session() as session, session.writing():
        del group(session)["rain"]
        add(group(session), "rain", np.zeros((8, 6), "f4"), "time", "x", chunks=(4, 3), fill_value=0)  # all are missing
    first, second = [one, other][::order]
    with versions.session() as ours, versions.session() as theirs:
        first(ours)
        second(theirs)
        ours.commit()
        between = look(versions)
        with pytest.raises(DatasetConflict):
            theirs.commit()
        theirs.rollback()
    assert look(versions) == between


@pytest.mark.parametrize("order", [1, -1])
def test_a_title_and_numbers_go_together(versions, order):
    both(versions, *[lambda session: describe(session, long_name="codes"), writing("codes", 0, 1)][::order])
    found = zarr.open_array(versions.path / "codes", mode="r")
    assert (found.attrs["long_name"], found[0, 0]) == ("codes", 1)


def test_many_threads_share_a_session(versions):
    """Scenario 20: 8 threads write rows of the same chunks."""
    with versions.session() as session:
        threads = [threading.Thread(target=write, args=(session, "rain", n, n + 1)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [row[0] for row in look(versions)["rain"]] == list(range(1, 9))


def test_many_threads_with_a_session_each(versions):
    """Scenario 20: all begin on one version, and write rows of the same chunks."""
    sessions = [versions.session() for _ in range(8)]

    def work(n: int) -> None:
        with sessions[n] as session:
            write(session, "rain", n, n + 1)
            write(session, "codes", n, n + 1)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = look(versions)
    assert [row[0] for row in found["rain"]] == [row[5] for row in found["codes"]] == list(range(1, 9))


WRITER = """
import sys, zarr
from pathlib import Path
from hmp_catalog.datasets import Versions
path, n = Path(sys.argv[1]), int(sys.argv[2])
versions = Versions(path, timeout=60)
print("ready", flush=True)
sys.stdin.readline()
for k in range(3):
    with versions.session() as session:
        with session.writing():
            group = zarr.open_group(session.store, mode="r+")
            for name in ("rain", "codes"):
                group[name][2 * n : 2 * n + 2, 2 * k : 2 * k + 2] = 10 * n + k + 1
print("done", flush=True)
"""


@pytest.mark.soak
def test_many_processes_write_disjoint_cells_of_the_same_chunks(versions, spawn):
    """Scenario 20: 4 processes, each with 3 commits, while a thread of this one writes too: nothing is lost.

    The ordinary run has it of whole data sets, in `test_dataset_sessions`.
    """
    with versions.session() as session, session.writing():
        add(group(session), "days", np.zeros(8, "i4"), "time")
    with spawn(WRITER, versions.path, count=4) as writers:
        for each in writers:
            assert each.stdout.readline() == "ready\n"
        for each in writers:
            each.stdin.write("go\n")
            each.stdin.flush()
        with versions.session() as session:
            write(session, "days", slice(0, 8), range(100, 108))
        for each in writers:
            assert each.stdout.readline() == "done\n"
    expected = [[10 * (row // 2) + column // 2 + 1 for column in range(6)] for row in range(8)]
    found = look(versions)
    assert found["rain"] == found["codes"] == expected
    assert found["days"] == list(range(100, 108))
    versions.clear()
    assert versions.numbers() == [15]


def test_a_commit_waits_for_another_and_says_for_whom(versions, monkeypatch):
    impatient = Versions(versions.path, timeout=0.05)
    with versions._alone(), impatient.session() as session:
        write(session, "rain", 0, 1)
        failed: list[BaseException] = []

        def commit() -> None:
            try:
                session.commit()
            except BusyError as error:
                failed.append(error)

        thread = threading.Thread(target=commit)
        thread.start()
        thread.join()
        assert "thread" in str(failed[0])
        assert versions.numbers() == [1]


def test_a_session_belongs_to_its_process(versions):
    with versions.session() as session:
        write(session, "rain", 0, 1)
        pid = os.fork()
        if not pid:
            code = 1
            try:
                try:
                    session.commit()
                except InvalidInput:
                    session.close()
                    code = 0
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        session.commit()
    assert look(versions)["rain"][0] == [1] * 6


def test_trees_of_the_dead_are_cleared(versions, spawn):
    code = """
    import sys, zarr, time
    from pathlib import Path
    from hmp_catalog.datasets import Versions
    session = Versions(Path(sys.argv[1])).session()
    with session.writing() as folder:
        print(folder, flush=True)
        time.sleep(60)
    """
    hidden = versions.path / ".versions"
    with spawn(code, versions.path) as (other,):
        tree = Path(other.stdout.readline().strip())
        with versions.session() as session:
            write(session, "rain", 0, 1)
        assert versions.clear() == 0
        assert tree.is_dir()  # it lives
    with versions.session() as session:
        write(session, "rain", 0, 2)
        assert not tree.parent.exists()
    assert {each.name for each in hidden.iterdir()} == {
        *("00000003", "00000003.lock", "commit.lock", "commit.lock.json", "current")
    }


def test_what_a_cut_write_left_is_no_part_of_a_version(versions):
    with versions.session() as session, session.writing() as folder:
        (folder / "rain" / f"zarr.{'0' * 32}.partial").write_bytes(b"half")
        group(session)["rain"][0] = 1
    with versions.snapshot() as snapshot:
        assert not list(snapshot.folder.rglob("*.partial"))


# ── nothing is written in place ──────────────────────────────────────────────────────────────────────


class InPlace(TreeStore):
    """What must not be: a store that writes over its files."""

    async def set(self, key: str, value: Any) -> None:
        place = self.root / key
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(value.to_bytes())


def everything_zarr_does(store: LocalStore) -> None:
    target = zarr.open_group(store, mode="r+")
    for name in ("rain", "codes"):
        target[name][1:3, 1:4] = 5
        target[name][...] = 6
        target[name].append(np.ones((3, 6), target[name].dtype))
        target[name].resize((5, 6))
        target[name].attrs["long_name"] = name
        target[name][0] = target[name].fill_value
        target[name][0:4, 0:3] = target[name].fill_value
    target.create_array("name", shape=(3,), dtype="string", overwrite=True)[...] = np.array(["a", "b", "c"])
    add(target, "time", np.arange(5), "time", overwrite=True)
    target.attrs["title"] = "new"
    del target["point"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zarr.consolidate_metadata(store)
        new = xr.Dataset({"snow": (("time", "x"), np.ones((5, 6)))})
        new.to_zarr(store, mode="a")
        new.isel(time=[0]).to_zarr(store, mode="a", append_dim="time")
        new.isel(time=[0], x=slice(0, 2)).to_zarr(store, region={"time": slice(1, 2), "x": slice(0, 2)})


def hashes(folder: Path) -> dict[str, str]:
    return {
        each.relative_to(folder).as_posix(): hashlib.sha256(each.read_bytes()).hexdigest()
        for each in folder.rglob("*")
        if each.is_file()
    }


@pytest.mark.parametrize("kind", [TreeStore, LocalStore, InPlace])
def test_no_file_is_written_in_place(versions, kind):
    """Held against the zarr that is installed; a store that does write in place is seen."""
    with versions.session() as session, session.writing():
        target = group(session)
        add(target, "point", np.array(1))
        target.create_array("name", shape=(3,), dtype="string")[...] = np.array(["x", "y", "z"])
        add(target, "snow", np.zeros((5, 6)), "time", "x")
        target["time"].resize((5,))
    session = versions.session()
    with session.writing() as folder:
        before = hashes(versions.path / ".versions" / "current")
        everything_zarr_does(kind(folder))
        after = hashes(versions.path / ".versions" / "current")
        assert (before == after) is (kind is not InPlace)
        assert hashes(folder) != before
    session.close()


def test_what_was_changed_in_place_is_refused(versions):
    with versions.session() as session:
        with session.writing() as folder:
            add(zarr.open_group(session.store, mode="r+"), "snow", np.ones(6), "x")
            with (folder / "time" / "c" / "0").open("r+b") as file:
                file.write(b"!")
        with pytest.raises(CorruptError, match="time/c/0 was changed in place"):
            session.commit()
        session.rollback()
    assert versions.numbers() == [1]


def test_zarrs_does_not_write_over_the_files_of_a_tree(versions):
    """It writes those of a `LocalStore` in place (0.2.3)."""
    pytest.importorskip("zarrs", reason="zarrs is not installed")
    with zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}):
        with versions.session() as session, session.writing():
            before = hashes(versions.path / ".versions" / "current")
            group(session)["rain"][...] = 5
            group(session)["codes"][1:3] = 5
            assert hashes(versions.path / ".versions" / "current") == before
        assert look(versions)["rain"] == [[5] * 6] * 8


# ── stores that others wrote, copied or moved ────────────────────────────────────────────────────────


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """A store as xarray writes it, with a file of the user's in it."""
    path = tmp_path / "plain.zarr"
    found = xr.Dataset(
        {"rain": (("time", "x"), np.zeros((8, 6), "f4"))}, {"time": ("time", np.arange(8), TIME), "x": np.arange(6)}
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        xr.decode_cf(found).to_zarr(path, zarr_format=3, encoding={"rain": {"chunks": (4, 3)}})
    (path / "README").write_text("mine")
    (path / "docs").mkdir()
    return path


def test_a_store_of_others_is_read_as_it_is(plain):
    versions = Versions(plain)
    before = hashes(plain)
    assert (versions.exists, versions.numbers()) == (True, [0])
    with versions.snapshot() as snapshot:
        assert (snapshot.folder, snapshot.number, snapshot.current) == (plain, 0, True)
    with versions.session() as session:
        assert session.folder == plain
    with versions.session() as session:
        write(session, "rain", 0, 1)
        session.rollback()
    assert hashes(plain) == before


def test_a_store_of_others_is_taken_over_by_the_first_commit(plain):
    versions = Versions(plain)
    with versions.session() as session:
        write(session, "rain", 0, 1)
    assert versions.numbers() == [2]
    assert {each.name: each.is_symlink() for each in plain.iterdir()} == {
        **dict.fromkeys(("rain", "time", "x", "zarr.json"), True),
        **dict.fromkeys(("README", "docs", ".versions"), False),
    }
    with xr.open_zarr(plain) as found:
        assert found.rain.values[:2, 0].tolist() == [1, 0]
        assert found.time.dtype.kind == "M"


def test_two_take_over_the_same_store(plain):
    versions = Versions(plain)
    both(versions, writing("rain", np.s_[0, 0], 1), writing("rain", np.s_[0, 1], 2))
    assert look(versions)["rain"][0] == [1, 2, 0, 0, 0, 0]
    with pytest.raises(DatasetConflict):
        both(Versions(plain), writing("rain", 0, 3), writing("rain", 0, 4))


def test_what_others_write_later_is_not_lost(versions):
    """xarray appends through the links and puts a file in the place of the link to the metadata."""
    with versions.session() as session:
        write(session, "rain", ..., 1)
    with warnings.catch_warnings(), xr.open_zarr(versions.path, consolidated=True) as found:
        warnings.simplefilter("ignore")
        more = found.isel(time=slice(6, 8)).load().assign_coords(time=found.time[6:8] + np.timedelta64(2, "D"))
        more.drop_encoding().to_zarr(versions.path, append_dim="time")
        xr.Dataset({"double": ("x", np.full(6, 2.0))}).to_zarr(versions.path, mode="a")
    assert not (versions.path / "zarr.json").is_symlink()
    assert versions.numbers()[-1] == 0
    with versions.session() as session:
        write(session, "rain", 0, 5)
    with xr.open_zarr(versions.path) as found:
        assert found.rain.values[:, 0].tolist() == [5, *[1] * 9]
        assert found.double.values.tolist() == [2] * 6
        assert found.sizes["time"] == 10
    assert (versions.path / "zarr.json").is_symlink()
    assert (versions.path / "double").is_symlink()
    assert len(versions.numbers()) == 1


def test_a_copy_that_keeps_the_links(versions, tmp_path):
    with versions.snapshot(), versions.session() as session:
        write(session, "rain", 0, 1)
        session.commit()
        write(session, "rain", 1, 1)
        shutil.copytree(versions.path, tmp_path / "copy.zarr", symlinks=True)
    check_copy(versions, tmp_path / "copy.zarr")


def test_a_copy_that_follows_the_links(versions, tmp_path):
    with versions.session() as session:
        write(session, "rain", 0, 1)
    shutil.copytree(versions.path, tmp_path / "copy.zarr", symlinks=False)
    assert Versions(tmp_path / "copy.zarr").numbers() == [0]
    check_copy(versions, tmp_path / "copy.zarr")


def test_a_copy_that_loses_hard_links(versions, tmp_path):
    with versions.session() as session:
        write(session, "rain", 0, 1)
    subprocess.run(["cp", "-r", "--no-preserve=links", versions.path, tmp_path / "copy.zarr"], check=True)
    check_copy(versions, tmp_path / "copy.zarr")


def test_a_copy_without_hidden_files_says_so(versions, tmp_path):
    shutil.copytree(versions.path, tmp_path / "copy.zarr", symlinks=True, ignore=shutil.ignore_patterns(".*"))
    copy = Versions(tmp_path / "copy.zarr")
    for verb in (copy.snapshot, copy.session):
        with pytest.raises(CorruptError, match=r"\.versions"):
            verb()
    with pytest.raises(PathTaken):
        copy.session(create=True)
    assert len(list(copy.path.iterdir())) == 4


@pytest.mark.parametrize("how", ["zip", "no links", "no version", "no current"])
def test_a_copy_that_lost_what_holds_it_together_says_so(how, versions, tmp_path):
    """Arrays whose files did not come along are not empty, and what came along is not cleared away."""
    copy = tmp_path / "copy.zarr"
    if how == "zip":  # the links to folders become empty folders, that to zarr.json a file
        shutil.make_archive(str(tmp_path / "archive"), "zip", versions.path)
        shutil.unpack_archive(tmp_path / "archive.zip", copy)
    else:
        shutil.copytree(versions.path, copy, symlinks=True)
        if how == "no version":
            shutil.rmtree(copy / ".versions" / os.readlink(copy / ".versions" / "current"))
        for each in [*(copy.iterdir() if how == "no links" else ()), copy / ".versions" / "current"]:
            if each.is_symlink() and how != "no version":
                each.unlink()
    before = sorted(copy.rglob("*"))
    verbs = Versions(copy)
    for verb in (
        verbs.snapshot,
        verbs.session,
        lambda: verbs.session(create=True),
        lambda: verbs.session(create=True, empty=True),
        lambda: verbs.session(empty=True),
        *([verbs.clear] if how != "zip" else []),  # its folder of versions is a part like others, and there is no lock
    ):
        with pytest.raises(CorruptError, match=r"copy it again|restore it"):
            verb()
    assert sorted(copy.rglob("*")) == before


def test_a_version_of_a_first_commit_that_died_is_not_taken_for_one_whose_link_was_lost(tmp_path, monkeypatch):
    path, real = tmp_path / "new.zarr", os.replace

    def dies(source: Any, target: Any) -> None:
        if Path(target) == path / ".versions" / "current":
            shutil.copytree(path, tmp_path / "died.zarr", symlinks=True)
        real(source, target)

    monkeypatch.setattr(os, "replace", dies)
    with Versions(path).session(create=True) as session, session.writing():
        fill_in(group(session))
    died = Versions(tmp_path / "died.zarr")
    assert (died._layout.numbers(), died.exists) == ([1], False)
    with died.session(create=True) as session, session.writing():
        fill_in(group(session))
    assert died.numbers() == [2]


def test_a_reader_that_comes_while_its_version_is_cleared_finds_the_next(versions, monkeypatch):
    said, real = [], os.readlink

    def readlink(place: Any) -> str:
        found = real(place)
        if not said:  # between the name and the look at its folder: another commits and clears
            said.append(found)
            with Versions(versions.path).session() as session:
                write(session, "rain", 0, 1)
        return found

    monkeypatch.setattr(os, "readlink", readlink)
    assert (versions._layout.switched(), said) == (2, ["00000001"])


def test_a_copy_that_keeps_everything(versions, tmp_path):
    with versions.session() as session:
        write(session, "rain", 0, 1)
    subprocess.run(["cp", "-a", versions.path, tmp_path / "copy.zarr"], check=True)
    check_copy(versions, tmp_path / "copy.zarr")


def check_copy(versions: Versions, path: Path) -> None:
    """A copy is written, read and cleared, and is independent of the original."""
    before, copy = look(versions), Versions(path)
    assert look(copy)["rain"][0] == [1] * 6
    both(copy, writing("rain", np.s_[5, 0], 7), writing("rain", np.s_[5, 1], 8))
    assert look(copy)["rain"][5] == [7, 8, 0, 0, 0, 0]
    assert look(versions) == before
    with xr.open_zarr(path) as found:
        assert found.rain.values[5, 1] == 8
    copy.clear()
    assert len(copy.numbers()) == 1
    assert len(list((path / ".versions").iterdir())) == 5


def test_a_store_that_was_moved(versions, tmp_path):
    before = look(versions)
    os.rename(versions.path, tmp_path / "moved.zarr")
    moved = Versions(tmp_path / "moved.zarr")
    assert look(moved) == before
    with moved.session() as session:
        write(session, "rain", 0, 1)
    with xr.open_zarr(moved.path) as found:
        assert found.rain.values[0].all()


def test_a_store_that_was_moved_away_under_a_session(versions, tmp_path):
    session = versions.session()
    write(session, "rain", 0, 1)
    os.rename(versions.path, tmp_path / "moved.zarr")
    with pytest.raises(PathNotFound):
        session.commit()
    session.close()
    assert look(Versions(tmp_path / "moved.zarr"))["rain"][0] == [0] * 6


def test_through_a_link_to_the_store(versions, tmp_path):
    (tmp_path / "link.zarr").symlink_to("forcing.zarr")
    with Versions(tmp_path / "link.zarr").session() as session:
        write(session, "rain", 0, 1)
    assert look(versions)["rain"][0] == [1] * 6
    assert (tmp_path / "link.zarr").is_symlink()


# ── hard surroundings ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("leaving", [0, 8192, 65_536, 200_000])
def test_a_disk_that_fills_up(leaving):
    """Whatever was refused, the last version is whole, and there is no more of anything than before."""
    with small_disk("4m") as disk:
        versions = Versions(disk / "forcing.zarr")
        chance = np.random.default_rng(1)
        with versions.session(create=True) as session, session.writing():
            add(group(session), "rain", chance.random((40, 40)), "time", "x", chunks=(10, 10))
        before = look(versions)
        ballast = fill(disk, leaving=leaving)
        done = 0
        for number in range(1, 6):
            try:
                with versions.session() as session:
                    write(session, "rain", ..., chance.random((40, 40)) + number)
                done = number
            except StorageError as error:
                assert "space" in str(error)  # noqa: PT017 - it may succeed
                break
        found = look(versions)
        assert (found == before) is not done
        assert int(found["rain"][0][0]) == done
        with xr.open_zarr(versions.path) as plain:
            assert plain.rain.values.tolist() == found["rain"]
        ballast.unlink()
        with versions.session() as session:
            write(session, "rain", ..., 9)
        assert len(versions.numbers()) == 1
        assert len(list((versions.path / ".versions").iterdir())) == 5


def test_a_disk_that_fills_up_before_there_is_anything():
    with small_disk("1m") as disk:
        ballast = fill(disk, leaving=0)
        versions = Versions(disk / "forcing.zarr")
        with pytest.raises(StorageError), versions.session(create=True) as session, session.writing():
            fill_in(group(session))
        assert not versions.exists
        ballast.unlink()
        with versions.session(create=True) as session, session.writing():
            fill_in(group(session))
        assert versions.exists


def test_a_medium_that_may_only_be_read(versions):
    before = look(versions)
    with read_only_medium(versions.path.parent) as medium:
        found = Versions(medium / versions.path.name)
        with found.snapshot() as snapshot:
            assert contents(snapshot.folder) == before
            assert snapshot.held
        with pytest.raises(NotWritable):
            found.session()
        with pytest.raises(NotWritable):
            Versions(medium / "new.zarr").session(create=True)
        assert found.clear() == 0


def test_a_medium_without_locks(versions):
    before = look(versions)
    (versions.path / ".versions" / "00000001.lock").unlink()
    with (
        read_only_medium(versions.path.parent) as medium,
        Versions(medium / versions.path.name).snapshot() as snapshot,
    ):
        assert not snapshot.held
        assert contents(snapshot.folder) == before


def test_a_folder_of_somebody_else_is_read(versions, python):
    require_root("become another user")
    code = """
    import os, sys
    from pathlib import Path
    from hmp_catalog.datasets import Versions
    from hmp_core.errors import NotWritable
    from hmp_core.testing.surroundings import STRANGER, become
    import zarr
    become(STRANGER)
    versions = Versions(Path(sys.argv[1]))
    with versions.snapshot() as snapshot:
        print(snapshot.held, zarr.open_array(snapshot.folder / "time", mode="r")[3])
    for verb in (versions.session, Versions(Path(sys.argv[2])).snapshot):
        try:
            verb()
        except NotWritable as error:
            print("belongs to" in str(error), "closed to this user" in str(error))
    """
    with tempfile.TemporaryDirectory() as place:  # that of the tests is closed to others
        os.chmod(place, 0o755)
        for name, mode in (("open", 0o755), ("closed", 0o700)):
            os.mkdir(f"{place}/{name}", mode)
            shutil.copytree(versions.path, f"{place}/{name}/forcing.zarr", symlinks=True)
        said = python(code, f"{place}/open/forcing.zarr", f"{place}/closed/forcing.zarr")
    assert said == "True 3\nTrue False\nTrue True\n"


def test_a_variable_on_another_disk_is_refused_by_name(plain, tmp_path):
    """Files there cannot be linked: versions would need copies."""
    (tmp_path / "elsewhere").mkdir()
    before = look(Versions(plain))
    with small_disk("4m") as disk:
        shutil.move(plain / "rain", disk / "rain")
        (plain / "rain").symlink_to(disk / "rain")
        assert look(Versions(plain)) == before
        with Versions(plain).session() as session, pytest.raises(LinksRefused, match="one local file system"):
            write(session, "rain", 0, 1)
        assert look(Versions(plain)) == before
        assert not (plain / ".versions").exists()


@pytest.mark.parametrize("refused", ["link", "symlink"])
@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP])
def test_a_file_system_without_links_is_refused_by_name(tmp_path, plain, monkeypatch, refused, number):
    """As FAT says it (vfat: EPERM); there is none here to try."""

    def refuse(source: Any, target: Any, **_: Any) -> None:
        raise OSError(number, os.strerror(number), source, None, target)

    monkeypatch.setattr(os, refused, refuse)
    for path, create in ((tmp_path / "new.zarr", True), (plain, False)):
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(LinksRefused) as caught, Versions(path).session(create=create) as session:
            write(session, "rain", 0, 1)
        assert "ext4" not in str(caught.value)
        assert "file system" in str(caught.value)
        assert sorted(tmp_path.rglob("*")) == before


def test_a_switch_that_fails_leaves_everything_as_it_was(versions, monkeypatch):
    """The last step of a commit: the session has its tree again, and can commit it later."""
    replace, full = os.replace, [True]

    def refuse(source: Any, target: Any) -> None:
        if full and Path(target).name == "current":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(source))
        replace(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    before = look(versions)
    with versions.session() as session:
        write(session, "rain", 0, 1)
        for _ in range(2):
            with pytest.raises(StorageError, match="space"):
                session.commit()
            assert look(versions) == before
            assert contents(session.folder)["rain"][0] == [1] * 6
        full.clear()
        session.commit()
    assert look(versions)["rain"][0] == [1] * 6
    assert len(list((versions.path / ".versions").iterdir())) == 5
