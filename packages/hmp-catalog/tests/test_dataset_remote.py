"""A data set behind a URL: attached, read as far as asked for, pushed and pulled by several, refused when damaged."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import os
import shutil
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

pytest.importorskip("fsspec")
pytest.importorskip("aiohttp")

import fsspec
from fsspec.implementations.memory import MemoryFileSystem

sys.path.append(str(Path(__file__).parent))
from shop import Shop

from hmp_catalog.datasets import Versions, open_dataset
from hmp_catalog.datasets.history import trees
from hmp_catalog.datasets.remote import clearing, manifests, pieces, pulling, remotes, standing, stubs
from hmp_catalog.datasets.remote.edataset import EDataset, open_edataset
from hmp_catalog.datasets.remote.fetching import Fetcher
from hmp_catalog.datasets.remote.remotes import Remote
from hmp_catalog.errors import DatasetConflict, RemoteConflict, RemoteMissing, RemoteUnreachable
from hmp_core.errors import CorruptError, InvalidInput, NotWritable, PathTaken, UnsupportedScheme

Values = np.ndarray[Any, Any]

HOURS, ROWS, COLUMNS = 60, 24, 24
NOW = timedelta(0)


def values(seed: int = 0) -> Values:
    """Return what does not get smaller by compression: a chunk of 20 x 6 x 6 is of 2.9 kB, one of 4 x 4 in a shard."""
    return np.random.default_rng(seed).normal(size=(HOURS, ROWS, COLUMNS)).astype("f4")


def make(path: Path, url: str | Remote, seed: int = 0) -> EDataset:
    ds = open_edataset(url, path, "c")
    ds.create.coord.time(np.arange(HOURS).astype("datetime64[h]"), dtype="datetime64[h]")
    ds.create.coord.lat(np.arange(ROWS) / 2)
    ds.create.coord.lon(np.arange(COLUMNS) / 2)
    rain = ds.create.data_var.generic("rain", ("time", "latitude", "longitude"), "float32", chunk_shape=(20, 6, 6))
    rain[...] = values(seed)
    ds.push()
    return ds


@pytest.fixture
def url(place: Path) -> str:
    """Where a data set may be pushed to."""
    return place.as_uri()


@pytest.fixture(params=["file", "memory"])
def any_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Each of the stores that there are on every machine."""
    if request.param == "file":
        yield (tmp_path / "store" / "forcing").as_uri()
        return
    name = f"{tmp_path.name}-{os.getpid()}"
    yield f"memory://{name}/forcing"
    with contextlib.suppress(FileNotFoundError):
        fsspec.filesystem("memory").rm(f"/{name}", recursive=True)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder that is the store."""
    return tmp_path / "store"


def other(tmp_path: Path, url: str | Remote, name: str = "second", flag: str = "w") -> EDataset:
    return open_edataset(url, tmp_path / f"{name}.zarr", flag)


# ── there and back ───────────────────────────────────────────────────────────────────────────────────


def test_another_machine_reads_what_was_pushed(tmp_path, url):
    make(tmp_path / "first.zarr", url).close()
    with other(tmp_path, url, flag="r") as ds:
        assert np.array_equal(ds["rain"].data, values())
        assert ds.remote_number == 1
        assert sorted(os.listdir(ds.file_path)) == [".versions", "latitude", "longitude", "rain", "time", "zarr.json"]
        assert list(ds.changes()) == []


def test_another_machine_edits_and_pushes_and_the_first_pulls(tmp_path, any_url):
    first = make(tmp_path / "first.zarr", any_url)
    with other(tmp_path, any_url) as second:
        second["rain"][3] = 7
        assert second.push().number == 2
    assert not (first["rain"][3].data == 7).any()
    before = inodes(tmp_path / "first.zarr")
    assert first.pull() == 2
    after = inodes(tmp_path / "first.zarr")
    assert {name for name in after if after[name] != before.get(name)} == {".remote", "rain/c.0.0.0"}
    expected = values()
    expected[3] = 7
    assert np.array_equal(first["rain"].data, expected)
    assert not first.changes()
    first.close()


def inodes(path: Path) -> dict[str, int]:
    """Return which file has which name in the current version."""
    return trees.inventory(path / ".versions" / "current")


def test_another_process_attaches_edits_and_pushes(tmp_path, python):
    url = (tmp_path / "store").as_uri()
    first = make(tmp_path / "first.zarr", url)
    code = """
        import sys
        from hmp_catalog.datasets.remote.edataset import open_edataset
        with open_edataset(sys.argv[1], sys.argv[2], "w") as ds:
            ds["rain"][0, 0] = 5
            print(ds.push().number)
    """
    assert python(code, url, tmp_path / "second.zarr").split() == ["2"]
    assert first.pull() == 2
    assert (first["rain"][0, 0].data == 5).all()
    first.close()


def test_opening_brings_what_others_pushed_unless_something_changed_here(tmp_path, url):
    make(tmp_path / "first.zarr", url).close()
    other(tmp_path, url).close()
    with open_edataset(url, tmp_path / "first.zarr", "w") as first:
        first["rain"][3] = 7
        first.push()
    with other(tmp_path, url) as second:
        assert second.remote_number == 2
        second["rain"][4] = 8
    with open_edataset(url, tmp_path / "first.zarr", "w") as first:
        first["rain"][5] = 9
        first.push()
    with other(tmp_path, url) as second:
        assert second.remote_number == 2
        assert second.pull() == 3
        assert [int(second["rain"][k, 0, 0].data) for k in (3, 4, 5)] == [7, 8, 9]


def test_what_is_not_behind_the_url_and_not_here_is_missing(tmp_path, any_url):
    with pytest.raises(RemoteMissing, match="no data set there"):
        open_edataset(any_url, tmp_path / "a.zarr", "w")
    assert not (tmp_path / "a.zarr").exists()


def test_nothing_is_sent_twice(tmp_path, place):
    first = make(tmp_path / "first.zarr", place.as_uri())
    before = {each: each.stat().st_mtime_ns for each in place.rglob("*") if each.is_file()}
    first["rain"][0, 0, 0] = 7
    assert [(each.variable, each.kind, each.files) for each in first.changes()] == [
        ("rain", "changed", ("rain/c.0.0.0",))
    ]
    pushed = first.push()
    assert (pushed.number, pushed.files, bool(pushed)) == (2, 1, True)
    again = first.push()
    assert (again.number, again.files, again.nbytes, bool(again)) == (2, 0, 0, False)
    assert pushed.nbytes == sum(
        each.stat().st_size for each in place.rglob("*/*") if each.is_file() and each not in before
    )
    new = {each.relative_to(place).parts[0] for each in place.rglob("*") if each.is_file() and each not in before}
    assert new == {"objects", "manifests"}
    assert len([each for each in place.rglob("objects/*/*") if each not in before]) == 2  # a shard and its table
    assert all(each.stat().st_mtime_ns == moment for each, moment in before.items() if each.name != "HEAD")
    first.close()


def test_what_was_written_is_a_change_before_it_is_committed_and_no_commit_comes_of_looking(tmp_path, url):
    with open_edataset(url, tmp_path / "first.zarr", "c") as ds:
        ds.create.coord.lat(np.arange(3.0))
        assert [(each.variable, each.kind) for each in ds.changes()] == [("", "added"), ("latitude", "added")]
        assert not Versions(tmp_path / "first.zarr").exists
        assert ds.changes().push().files == 3
        assert not ds.changes()
        ds.attrs["title"] = "new"
        assert [(each.variable, each.kind) for each in ds.changes()] == [("", "changed")]
        ds.rollback()
        assert not ds.changes()


def test_what_was_written_is_told_where_somebody_else_pushed_from_the_same_folder(tmp_path, url):
    with make(tmp_path / "first.zarr", url) as ds, open_edataset(url, tmp_path / "first.zarr", "w") as same:
        ds["rain"][0] = 7
        same["rain"][30] = 8
        same.push()
        assert [each.files for each in ds.changes()] == [("rain/c.0.0.0",)]
        assert ds.push().number == 3
        assert (ds["rain"][[0, 30], 0, 0].data == [7, 8]).all()


def test_a_variable_that_was_added_removed_and_discarded(tmp_path, url):
    with make(tmp_path / "first.zarr", url) as ds:
        del ds["rain"]
        snow = ds.create.data_var.generic("snow", ("time",), "float64")
        snow[:] = 1.0
        ds.attrs["title"] = "new"
        ds.commit()
        changes = ds.changes()
        assert [(each.variable, each.kind) for each in changes] == [
            ("", "changed"),
            ("rain", "removed"),
            ("snow", "added"),
        ]
        changes.discard()
        assert not changes
        assert set(ds.data_var_names) == {"rain"}
        assert np.array_equal(ds["rain"].data, values())
        assert "title" not in ds.attrs


def test_labels_that_grow_on_one_side_and_data_that_change_on_the_other(tmp_path, url):
    first = make(tmp_path / "first.zarr", url)
    with other(tmp_path, url) as second:
        second["time"].append(np.arange(HOURS, HOURS + 5).astype("datetime64[h]"))
        second["rain"][HOURS:] = 1
        second.push()
    first["rain"][0] = 2
    first.pull()
    assert first["rain"].shape == (HOURS + 5, ROWS, COLUMNS)
    assert (first["rain"][HOURS:].data == 1).all()
    assert (first["rain"][0].data == 2).all()
    assert first.push().number == 3
    first.close()


def test_labels_put_before_the_first_move_no_bytes(tmp_path, place):
    """Files that moved are known by what they are; nothing of them is sent again."""
    with make(tmp_path / "first.zarr", place.as_uri()) as ds:
        sent = set(place.rglob("objects/*/*"))
        ds["time"].prepend(np.arange(-20, 0).astype("datetime64[h]"))
        ds.push()
        new = [each for each in place.rglob("objects/*/*") if each not in sent]
        assert sum(each.stat().st_size for each in new) < 2000
    with other(tmp_path, place.as_uri()) as second:
        assert np.array_equal(second["rain"][20:].data, values())


def test_a_data_set_that_was_here_before_is_pushed(tmp_path, url):
    xr.Dataset({"rain": (("time", "x"), values()[:, 0])}).to_zarr(tmp_path / "plain.zarr", consolidated=False)
    with open_edataset(url, tmp_path / "plain.zarr", "w") as ds:
        assert ds.remote_number == 0
        assert ds.push().number == 1
    with other(tmp_path, url, flag="r") as second:
        assert np.array_equal(second["rain"].data, values()[:, 0])


def test_beginning_anew_replaces_what_is_there_by_the_next_push(tmp_path, url):
    make(tmp_path / "first.zarr", url).close()
    with other(tmp_path, url, flag="n") as second:
        second.create.coord.lat(np.arange(3.0))
        assert second.push().number == 2
    with open_edataset(url, tmp_path / "first.zarr") as first:
        assert first.var_names == ("latitude",)


# ── what is fetched ──────────────────────────────────────────────────────────────────────────────────


def test_opening_takes_a_few_requests_and_a_point_series_few_bytes_more_than_it_needs(tmp_path, place):
    make(tmp_path / "first.zarr", place.as_uri()).close()
    with Shop(place) as shop:
        ds = open_edataset(shop.url, tmp_path / "second.zarr")
        assert [key for key, _, _ in shop.gave] == ["HEAD", "manifests/00000001.hmp", "manifests/00000002.hmp"]
        shop.gave.clear()
        assert np.array_equal(ds["rain"][:, 7, 7].data, values()[:, 7, 7])
        needed = sum(size for size in inner_sizes(tmp_path / "first.zarr" / "rain", row=1, column=1))
        given = sum(size for _, _, size in shop.gave)
        assert needed <= given <= 3 * needed
        whole = sum(each.stat().st_size for each in (tmp_path / "first.zarr" / "rain").rglob("*") if each.is_file())
        assert given < whole / 4
        shop.gave.clear()
        assert np.array_equal(ds["rain"][:, 8, 8].data, values()[:, 8, 8])
        assert shop.gave == []  # the same chunks
        ds.close()


def inner_sizes(array: Path, row: int, column: int) -> Iterator[int]:
    """Yield the bytes of one chunk of 4 x 4 in each shard."""
    for shard in sorted(array.glob("c.*")):
        index = np.frombuffer(shard.read_bytes()[-(16 * 16 + 4) : -4], "<u8").reshape(4, 4, 2)
        yield int(index[row, column, 1])


def test_a_server_that_knows_no_ranges_serves_too(tmp_path, place):
    make(tmp_path / "first.zarr", place.as_uri()).close()
    with Shop(place, ranges=False) as shop, open_edataset(shop.url, tmp_path / "second.zarr") as ds:
        assert np.array_equal(ds["rain"][:, 7, 7].data, values()[:, 7, 7])
        assert np.array_equal(ds["rain"].data, values())


def test_a_web_server_is_not_pushed_to(tmp_path, place):
    make(tmp_path / "first.zarr", place.as_uri()).close()
    with Shop(place) as shop, open_edataset(shop.url, tmp_path / "second.zarr", "w") as ds:
        ds["rain"][0] = 1
        with pytest.raises(NotWritable, match="nothing can be pushed to http"):
            ds.push()
        assert (ds["rain"][0].data == 1).all()
        with pytest.raises(NotWritable):
            ds.delete_remote()


def test_who_knows_no_stubs_gets_an_error_and_no_missing_values(tmp_path, url):
    make(tmp_path / "first.zarr", url).close()
    other(tmp_path, url).close()
    with xr.open_zarr(tmp_path / "second.zarr", consolidated=True) as found, pytest.raises((ValueError, RuntimeError)):
        found.rain.load()


def test_all_is_loaded_and_then_it_is_a_data_set_as_any_other(tmp_path, any_url):
    make(tmp_path / "first.zarr", any_url).close()
    with other(tmp_path, any_url) as ds:
        assert ds.load() == 3
        assert ds.load() == 0
        assert not ds.changes()
        ds.delete_remote()
        assert np.array_equal(ds["rain"].data, values())
    with xr.open_zarr(tmp_path / "second.zarr") as found:
        assert np.array_equal(found.rain.values, values())
    with open_dataset(tmp_path / "second.zarr", "w") as ds:
        assert np.array_equal(ds["rain"].data, values())
    assert list((tmp_path / "second.zarr/.versions/remote/objects").rglob("*/*")) == []


def test_open_dataset_reads_what_was_not_fetched(tmp_path, url):
    make(tmp_path / "first.zarr", url).close()
    other(tmp_path, url).close()
    with open_dataset(tmp_path / "second.zarr", "w") as ds:
        ds["rain"][0, 0, 0] = 3
    with other(tmp_path, url) as ds:
        assert [each.variable for each in ds.changes()] == ["rain"]
        assert ds["rain"][0, 0, :2].data.tolist() == [3, values()[0, 0, 1]]


def test_what_was_fetched_is_read_without_the_store(tmp_path, place):
    make(tmp_path / "first.zarr", place.as_uri()).close()
    with other(tmp_path, place.as_uri()) as ds:
        assert np.array_equal(ds["rain"][:20].data, values()[:20])
    place.rename(tmp_path / "gone")
    with other(tmp_path, place.as_uri()) as ds:
        assert np.array_equal(ds["rain"][:20].data, values()[:20])
        with pytest.raises(RemoteMissing):
            ds["rain"][20:].data  # noqa: B018 - what is read is not there
        with pytest.raises(RemoteMissing):
            ds.pull()
        with pytest.raises(RemoteMissing, match="force"):
            ds.push()


def test_a_server_that_does_not_answer_is_unreachable(tmp_path, place):
    make(tmp_path / "first.zarr", place.as_uri()).close()
    with Shop(place) as shop:
        open_edataset(shop.url, tmp_path / "second.zarr").close()
    with open_edataset(shop.url, tmp_path / "second.zarr", pull=False) as ds:
        with pytest.raises(RemoteUnreachable, match="try again"):
            ds["rain"].data  # noqa: B018 - what is read does not come
        with pytest.raises(RemoteUnreachable):
            ds.pull()


@pytest.mark.parametrize("seed", range(4))
def test_any_cut_gives_the_bytes_asked_for(seed, tmp_path):
    """Ranges of a file in pieces, in any order, from a store and from what was kept."""
    chance = np.random.default_rng(seed)
    data = chance.bytes(int(chance.integers(1, 30_000)))
    ends = sorted({*map(int, chance.integers(1, len(data) + 1, 6)), len(data)})
    found = [pieces.Piece(a, b, sha(data[a:b])) for a, b in itertools.pairwise([0, *ends])]
    table = pieces.table(found)
    assert pieces.read(table, len(data)) == found
    entry = manifests.Entry(sha(data), len(data), "0" * 16, sha(table))
    remote = Remote(tmp_path / "store")
    remote.put(entry.keys[0], data)
    remote.put(entry.keys[1], table)
    fetcher = Fetcher(tmp_path / "home", remote)
    for _ in range(10):
        start, stop = sorted(map(int, chance.integers(0, len(data) + 1, 2)))
        assert fetcher.read(entry, start, stop) == data[start:stop]


def sha(data: bytes) -> str:
    import hashlib

    return hashlib.sha256(data).hexdigest()


# ── several who push ─────────────────────────────────────────────────────────────────────────────────


def test_of_two_who_push_one_gets_a_conflict_pulls_and_pushes(tmp_path, url):
    first = make(tmp_path / "first.zarr", url)
    second = other(tmp_path, url)
    first["rain"][0, 0, 0] = 7
    second["rain"][0, 0, 1] = 8  # the same chunk
    assert first.push().number == 2
    with pytest.raises(RemoteConflict, match=r"pushed version 2 since 1 was pulled; pull") as caught:
        second.push()
    assert (caught.value.base, caught.value.found) == (1, 2)
    assert second.pull() == 2
    assert second.push().number == 3
    assert first.pull() == 3
    expected = values()
    expected[0, 0, :2] = 7, 8
    for ds in (first, second):
        assert np.array_equal(ds["rain"].data, expected)
        ds.close()


def test_the_same_cell_changed_on_both_sides_is_a_conflict_and_changes_nothing(tmp_path, url):
    first = make(tmp_path / "first.zarr", url)
    second = other(tmp_path, url)
    first["rain"][0, 0, 0] = 7
    first.push()
    second["rain"][0, 0, 0] = 8
    with pytest.raises(DatasetConflict, match=r"rain, \[0:1, 0:1, 0:1\], was changed here and by") as caught:
        second.pull()
    assert isinstance(caught.value, RemoteConflict)
    assert caught.value.variable == "rain"
    assert float(second["rain"][0, 0, 0].data) == 8
    second.changes().discard()
    assert second.pull() == 2
    assert float(second["rain"][0, 0, 0].data) == 7
    first.close()
    second.close()


def test_force_puts_ours_in_the_place_of_theirs(tmp_path, url):
    first = make(tmp_path / "first.zarr", url)
    second = other(tmp_path, url)
    first["rain"][0] = 7
    first.push()
    second["rain"][1] = 8
    assert second.push(force_push=True).number == 3
    assert first.pull() == 3
    expected = values()
    expected[1] = 8
    assert np.array_equal(first["rain"].data, expected)
    first.close()
    second.close()


def test_a_push_that_is_overtaken_while_it_sends_gets_a_conflict(tmp_path, any_url):
    first = make(tmp_path / "first.zarr", any_url)
    late = Meddled(any_url, lambda: (first["rain"].__setitem__(0, 7), first.push()))
    second = other(tmp_path, late)
    second["rain"][30] = 8
    with pytest.raises(RemoteConflict):
        second.push()
    second.pull()
    assert second.push().number == 3
    assert (second["rain"][0].data == 7).all()
    first.close()
    second.close()


class Meddled(Remote):
    """A connection on which something happens before the first manifest is created."""

    def __init__(self, url: str, meddle: Any) -> None:
        super().__init__(url)
        self._meddle = meddle

    def create(self, key: str, data: bytes) -> bool:
        if key.startswith("manifests") and self._meddle is not None:
            meddle, self._meddle = self._meddle, None
            meddle()
        return super().create(key, data)


def test_a_data_set_of_another_kind_is_not_mixed_in(tmp_path, url):
    make(tmp_path / "first.zarr", url).close()
    with open_dataset(tmp_path / "stranger.zarr", "n") as ds:
        ds.create.coord.lat(np.arange(3.0))
    with pytest.raises(RemoteConflict, match="is no copy"):
        open_edataset(url, tmp_path / "stranger.zarr", "w")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(PathTaken):
        open_edataset(url, tmp_path / "mine", "w")
    assert os.listdir(tmp_path / "mine") == ["notes.txt"]


def test_a_folder_that_was_opened_with_the_wrong_url_still_knows_its_own(tmp_path, url):
    make(tmp_path / "first.zarr", url).close()
    other(tmp_path, url).close()
    make(tmp_path / "stranger.zarr", tmp_path / "another").close()
    with pytest.raises(RemoteConflict, match="is no copy"):
        other(tmp_path, str(tmp_path / "another"))
    with other(tmp_path, str(tmp_path / "empty")) as ds, pytest.raises(RemoteMissing):
        ds.push()
    with open_dataset(tmp_path / "second.zarr") as ds:
        assert np.array_equal(ds["rain"].data, values())


def test_what_was_not_fetched_is_pushed_to_another_url_all_the_same(tmp_path, url):
    make(tmp_path / "first.zarr", url).close()
    other(tmp_path, url).close()
    with other(tmp_path, str(tmp_path / "empty")) as ds:
        assert ds.push(force_push=True).number == 1
    with other(tmp_path, str(tmp_path / "empty"), "third") as third:
        assert np.array_equal(third["rain"].data, values())


def test_a_folder_that_was_copied_goes_on_with_its_own_changes(tmp_path, url):
    """The links between its trees are gone: every file looks as if it were another."""
    make(tmp_path / "first.zarr", url).close()
    with other(tmp_path, url) as ds:
        ds["rain"][0] = 1
    shutil.copytree(tmp_path / "second.zarr", tmp_path / "copy.zarr", symlinks=True)
    with other(tmp_path, url, "third") as third:
        third["rain"][30] = 2
        third.push()
    with other(tmp_path, url, "copy") as copy:
        assert copy.pull() == 2
        assert copy.push().number == 3
        assert (copy["rain"][[0, 30], 0, 0].data == [1, 2]).all()
        assert np.array_equal(copy["rain"][31:].data, values()[31:])


def test_a_remote_that_was_made_anew_is_another_data_set(tmp_path, place):
    first = make(tmp_path / "first.zarr", place.as_uri())
    place.rename(tmp_path / "old")
    make(tmp_path / "second.zarr", place.as_uri(), seed=1).close()
    first["rain"][0] = 1
    with pytest.raises(RemoteConflict, match="is no copy"):
        first.push()
    with pytest.raises(RemoteConflict, match="is no copy"):
        first.pull()
    assert first.push(force_push=True).number == 2
    first.close()


def test_threads_that_create_one_object_are_one_at_a_time(any_url):
    remote, interval = Remote(any_url), sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for each in range(20):
            assert sorted(at_once(remote, f"x/{each}")) == [False] * 7 + [True]
    finally:
        sys.setswitchinterval(interval)


def at_once(remote: Remote, key: str) -> list[bool]:
    """Create an object in eight threads; return what each was told."""
    done: list[bool] = []
    start = threading.Barrier(8)

    def create(k: int) -> None:
        start.wait()
        done.append(remote.create(key, b"%d" % k))

    in_threads(create, 8)
    return done


PUSHER = """
    import sys
    from hmp_catalog.datasets.remote.edataset import open_edataset
    from hmp_catalog.errors import RemoteConflict
    any_url, folder, row = sys.argv[1], sys.argv[2], int(sys.argv[3])
    with open_edataset(any_url, f"{folder}/machine{row}.zarr", "w") as ds:
        for k in range(2):
            ds["rain"][:, row, k] = row
            while True:
                try:
                    ds.push()
                    break
                except RemoteConflict:
                    ds.pull()
"""


def test_threads_that_push_at_the_same_time_lose_nothing(tmp_path, any_url):
    make(tmp_path / "first.zarr", any_url).close()
    machines = [other(tmp_path, any_url, f"machine{row}") for row in range(2)]
    refused: list[int] = []
    start = threading.Barrier(2)

    def push(row: int) -> None:
        machines[row]["rain"][:, row] = row
        machines[row].commit()
        start.wait()
        while True:
            try:
                machines[row].push()
                break
            except RemoteConflict:
                refused.append(row)
                machines[row].pull()

    in_threads(push)
    assert len(refused) == 1
    for each in machines:
        assert each.pull() == 3
        assert all((each["rain"].data[:, row] == row).all() for row in range(2))
        each.close()


def in_threads(function: Any, count: int = 2) -> None:
    threads = [threading.Thread(target=function, args=(k,)) for k in range(count)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()


@pytest.mark.soak
def test_processes_that_push_at_the_same_time_lose_nothing(tmp_path, spawn):
    url = (tmp_path / "store").as_uri()
    first = make(tmp_path / "first.zarr", url)
    with spawn(PUSHER, url, tmp_path, count=3) as started:
        for each in started:
            assert each.wait(60) == 0
    first.pull()
    found = first["rain"].data
    assert all((found[:, row, :2] == row).all() for row in range(3))
    assert first.remote_number == 7
    first.close()


# ── damage ───────────────────────────────────────────────────────────────────────────────────────────


def spoil(place: Path) -> None:
    data = bytearray(place.read_bytes())
    data[len(data) // 2] ^= 1
    place.write_bytes(data)


def test_a_damaged_object_is_refused(tmp_path, place):
    make(tmp_path / "first.zarr", place.as_uri()).close()
    with other(tmp_path, place.as_uri()) as ds:
        for each in sorted(place.rglob("objects/*/*"), key=lambda each: each.stat().st_size)[-3:]:
            spoil(each)
        with pytest.raises(CorruptError, match=r"is not what it should be \(SHA-256, asked for twice\)"):
            ds["rain"].data  # noqa: B018 - what is read is damaged


@pytest.mark.parametrize("how", ["spoiled", "cut", "empty"])
def test_a_damaged_manifest_is_refused(how, tmp_path, place):
    make(tmp_path / "first.zarr", place.as_uri()).close()
    manifest = place / "manifests" / "00000001.hmp"
    spoil(manifest) if how == "spoiled" else manifest.write_bytes(manifest.read_bytes()[: 200 if how == "cut" else 0])
    with pytest.raises(CorruptError, match="no manifest, or a damaged one"):
        other(tmp_path, place.as_uri())
    assert not (tmp_path / "second.zarr").exists()


def test_what_was_fetched_and_damaged_here_is_fetched_anew(tmp_path, place):
    make(tmp_path / "first.zarr", place.as_uri()).close()
    with other(tmp_path, place.as_uri()) as ds:
        ds["rain"].data  # noqa: B018 - it is fetched
    for each in (tmp_path / "second.zarr/.versions/remote/objects").rglob("*/*"):
        spoil(each)
    with other(tmp_path, place.as_uri()) as ds:
        assert np.array_equal(ds["rain"].data, values())


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "a/../../b", ".remote", "rain/.hidden", "a//b", ""])
def test_a_manifest_names_no_file_outside_of_the_data_set(name):
    evil = manifests.Manifest("0" * 32, 1, "0" * 16, held={name: b"x"})
    with pytest.raises(CorruptError, match="cannot be understood"):
        manifests.loads(evil.dumps(), "there")


@pytest.mark.parametrize(
    "name", ["../mine", "objects/../../mine", "/etc/passwd", "objects", "manifests/1", "objects//x"]
)
def test_a_manifest_dooms_no_file_outside_of_the_objects(name):
    """Whoever deletes a data set removes what its last manifest dooms."""
    evil = manifests.Manifest("0" * 32, 1, "0" * 16, doomed=frozenset([name]), deleted=True)
    with pytest.raises(CorruptError, match="is no object of a data set"):
        manifests.loads(evil.dumps(), "there")


EVIL = {
    "a file in a file": {"held": {"rain": b"x", "rain/zarr.json": b"{}"}},
    "too long": {"held": {"x" * 256: b"x"}},
    "no text": {"held": {"\ud800": b"x"}},
    "number": {"number": "1"},
    "push": {"push": "../../x"},
    "deleted": {"deleted": "no"},
    "when": {"when": "2001-01-01T00:00:00"},
}


@pytest.mark.parametrize("what", EVIL)
def test_a_manifest_that_nobody_wrote_is_refused(what):
    said: dict[str, Any] = {"dataset": "0" * 32, "number": 1, "push": "0" * 16}
    good = manifests.Manifest(**said)
    assert manifests.loads(good.dumps(), "there") == good
    with pytest.raises(CorruptError, match="cannot be understood"):
        manifests.loads(manifests.Manifest(**(said | EVIL[what])).dumps(), "there")


def test_a_manifest_that_is_nested_or_grows_without_end_is_refused(monkeypatch):
    monkeypatch.setattr(manifests, "_LARGEST", 10**6)
    for said, why in ((b"[" * 200_000, "recursion"), (b" " * (10**6 + 1), "larger than 1,000,000 bytes")):
        body = gzip.compress(said)
        with pytest.raises(CorruptError, match=why):
            manifests.loads(b"hmp data set, manifest 1, %s\n" % sha(body).encode() + body, "there")


def test_a_table_that_does_not_make_up_its_file_is_refused(tmp_path):
    remote, data = Remote(tmp_path / "store"), b"x" * 100
    rows = [pieces.Piece(0, 60, sha(data[:60])), pieces.Piece(60, 100, sha(data[60:]))]
    bad = (b"", b"abc", pieces.table(rows[:1]), pieces.table(rows[::-1]), pieces.table([*rows, rows[1]]))
    for table in bad:
        entry = manifests.Entry(sha(data), 100, "0" * 16, sha(table))
        remote.put(entry.keys[0], data)
        remote.put(entry.keys[1], table)
        with pytest.raises(CorruptError, match="is no table of"):
            Fetcher(tmp_path / "home", remote).read(entry)


def test_a_size_that_no_memory_has_is_refused(tmp_path):
    remote = Remote(tmp_path / "store")
    entry = manifests.Entry(sha(b"x"), 2**62, "0" * 16)
    remote.put(entry.key, b"x")
    with pytest.raises(RemoteUnreachable):
        Fetcher(tmp_path / "home", remote).read(entry)


def test_a_stub_is_smaller_than_any_file_it_stands_for():
    longest = manifests.Entry("f" * 64, 2**63, "f" * 16, "f" * 64)
    assert len(stubs.text(longest)) < stubs.SMALL
    assert stubs.heard(stubs.text(longest), "x") == longest


# ── stores ───────────────────────────────────────────────────────────────────────────────────────────


class Careless(MemoryFileSystem):  # type: ignore[misc]
    """A store that creates what is there already."""

    protocol = "careless"

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **options: Any) -> None:
        super().pipe_file(path, value, **options)


def test_a_store_that_creates_nothing_exclusively_is_not_pushed_to(tmp_path, monkeypatch):
    fsspec.register_implementation("careless", Careless, clobber=True)
    with open_edataset("careless://here/forcing", tmp_path / "a.zarr", "c") as ds:
        ds.create.coord.lat(np.arange(3.0))
        with pytest.raises(NotWritable, match="makes no object exclusively"):
            ds.push()
        monkeypatch.setattr(remotes, "_CREATE", frozenset({"careless"}))
        with pytest.raises(NotWritable, match="created one object twice"):
            ds.push()
    assert fsspec.filesystem("careless").find("/here") == []


@pytest.mark.parametrize("url", ["nobody://x/y", "sftpx://x"])
def test_a_url_that_nobody_opens_is_refused(url):
    with pytest.raises(UnsupportedScheme, match="nobody here opens"):
        Remote(url)


@pytest.mark.parametrize("url", ["https://example.org/x?key=1", "simplecache::s3://x/y", "memory://"])
def test_what_is_no_folder_is_refused(url):
    with pytest.raises(InvalidInput, match="expected the URL of a folder"):
        Remote(url)


def test_a_password_is_shown_to_nobody(tmp_path):
    remote = Remote("http://me:secret@127.0.0.1:9/forcing")
    assert "secret" not in remote.url + repr(remote)
    with pytest.raises(RemoteUnreachable) as caught:
        manifests.newest(remote)
    assert "secret" not in str(caught.value)


def test_paths_and_upaths_are_urls(tmp_path):
    upath = pytest.importorskip("upath").UPath
    for said in (tmp_path / "store", str(tmp_path / "store"), upath(tmp_path / "store"), (tmp_path / "store").as_uri()):
        assert Remote(said).url == (tmp_path / "store").as_uri()
    assert Remote(upath("memory://x/y")).url == "memory://x/y"


def test_the_url_of_a_path_with_spaces_is_that_path(tmp_path):
    there = tmp_path / "a b é%20#x"
    for said in (there, str(there), there.as_uri()):
        remote = Remote(said)
        remote.put("x", b"1")
        assert (there / "x").read_bytes() == b"1"
        (there / "x").unlink()
        assert Remote(remote.url).url == remote.url == there.as_uri()


def test_who_only_reads_does_not_push_nor_discard(tmp_path, url):
    make(tmp_path / "first.zarr", url).close()
    with other(tmp_path, url, flag="r") as ds:
        with pytest.raises(InvalidInput, match="open for reading only"):
            ds.push()
        with pytest.raises(InvalidInput, match="open for reading only"):
            ds.changes().discard()
        assert ds.pull() == 1


# ── clearing, copying, deleting ──────────────────────────────────────────────────────────────────────


def test_what_no_version_needs_is_cleared_and_the_newest_stays(tmp_path, any_url):
    first = make(tmp_path / "first.zarr", any_url)
    second = other(tmp_path, any_url)
    first["rain"][...] = values(1)
    first.push()
    assert first.clear_remote() == 0  # somebody may still read the version before
    assert first.clear_remote(NOW) == 6
    assert first.clear_remote(NOW) == 0
    assert manifests.numbers(Remote(any_url)) == [2, 3]
    with pytest.raises(RemoteMissing):
        second["rain"].data  # noqa: B018 - it was cleared
    assert second.pull() == 3
    assert np.array_equal(second["rain"].data, values(1))
    assert second.push().number == 3
    first["rain"][0] = 1
    assert first.push().number == 4
    first.close()
    second.close()


def test_a_push_goes_on_when_somebody_clears_what_it_sent(tmp_path, any_url):
    """The worst moment: all objects were sent, the manifest was not created; and what is cleared goes late."""

    class Slow(Remote):
        def remove(self, keys: Any) -> None:
            self.late = [*getattr(self, "late", ()), *keys]

        def really(self) -> None:
            super().remove(self.late)

    make(tmp_path / "first.zarr", any_url).close()
    slow = Slow(any_url)
    second = other(tmp_path, Meddled(any_url, lambda: clearing.clear(slow, NOW)))
    second["rain"][...] = values(2)
    assert second.push().number == 3
    second.close()
    slow.really()
    with other(tmp_path, any_url, "third", "r") as third:
        assert np.array_equal(third["rain"].data, values(2))
    assert clearing.clear(Remote(any_url), NOW) == 6  # of the first version


def test_a_deleted_data_set_is_gone_and_whoever_pushes_meanwhile_is_told(tmp_path, any_url):
    first = make(tmp_path / "first.zarr", any_url)
    second = other(tmp_path, Meddled(any_url, first.delete_remote))
    second["rain"][0] = 1
    with pytest.raises(RemoteConflict, match="deleted"):
        second.push()
    with pytest.raises(RemoteMissing, match="deleted"):
        other(tmp_path, any_url, "third")
    with pytest.raises(RemoteMissing):
        first.delete_remote()
    assert Remote(any_url).listing("objects") == {}
    assert first.push(force_push=True).number == 3
    with other(tmp_path, any_url, "third", "r") as third:
        assert np.array_equal(third["rain"].data, values())
    first.close()
    second.handle.close()


def test_a_copy_is_a_data_set_of_its_own(tmp_path, url):
    make(tmp_path / "first.zarr", url).close()
    with other(tmp_path, url) as ds:
        assert ds.copy_remote(tmp_path / "copy") == 1
        with pytest.raises(RemoteConflict, match="a data set is there"):
            ds.copy_remote(tmp_path / "copy")
        ds.delete_remote()
    with other(tmp_path, str(tmp_path / "copy"), "third", "r") as third:
        assert np.array_equal(third["rain"].data, values())


def test_a_reader_whose_version_was_replaced_reads_on(tmp_path, url):
    """Objects that moved are found by what they are."""
    first = make(tmp_path / "first.zarr", url)
    second = other(tmp_path, url, flag="r")
    first["rain"][0, 0, 0] = 7
    first.push()
    first.clear_remote(NOW)
    assert np.array_equal(second["rain"][20:].data, values()[20:])
    first.close()
    second.close()


# ── the hint ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_hint_that_lags_behind_or_is_lost_does_not_matter(tmp_path, place):
    first = make(tmp_path / "first.zarr", place.as_uri())
    for k in range(2):
        first["rain"][k] = k
        first.push()
    first.close()
    for said in (None, b"1\n", b"3\n", b"0"):
        (place / "HEAD").unlink() if said is None else (place / "HEAD").write_bytes(said)
        assert pulling.live(Remote(place)).number == 3


@pytest.mark.parametrize("said", [b"9" * 5000, b"-1", b"", "²".encode()], ids=len)
def test_a_hint_that_is_no_number_is_refused(said, tmp_path):
    (tmp_path / "HEAD").write_bytes(said)
    with pytest.raises(CorruptError, match="holds no number"):
        manifests.newest(Remote(tmp_path))


def test_a_hint_to_what_was_cleared_is_mended_by_a_listing(tmp_path, place):
    first = make(tmp_path / "first.zarr", place.as_uri())
    first["rain"][...] = 1
    first.push()
    first.clear_remote(NOW)
    (place / "HEAD").write_bytes(b"1\n")
    assert pulling.live(Remote(place)).number == 3
    (place / "HEAD").write_bytes(b"nonsense")
    with pytest.raises(CorruptError, match="holds no number"):
        pulling.live(Remote(place))
    first.close()


def test_versions_of_the_folder_are_cleared_as_always(tmp_path, url):
    with make(tmp_path / "first.zarr", url) as ds:
        for k in range(3):
            ds["rain"][k] = k
            ds.push()
    assert len(Versions(tmp_path / "first.zarr").numbers()) <= 2  # the one it was closed on, and the last
    assert len(list((tmp_path / "first.zarr/.versions/remote").glob("base-*"))) == 1
    assert len(list((tmp_path / "first.zarr/.versions/remote").glob("new-*"))) == 0


def test_what_is_sent_while_a_data_set_is_deleted_is_not_deleted_with_it(tmp_path, url):
    """Whoever deletes is slow: the next data set was sent before the objects of the last were removed."""

    class Slow(Remote):
        def create(self, key: str, data: bytes) -> bool:
            done = super().create(key, data)
            make(tmp_path / "new.zarr", url, seed=5).close()
            return done

    make(tmp_path / "first.zarr", url).close()
    clearing.delete(Slow(url))
    with other(tmp_path, url, "third", "r") as third:
        assert np.array_equal(third["rain"].data, values(5))


def test_changes_are_discarded_where_not_all_was_fetched(tmp_path, url):
    make(tmp_path / "first.zarr", url).close()
    with other(tmp_path, url) as ds:
        ds["rain"][0] = 1
        ds.load()  # not what was changed here
        ds.changes().discard()
        assert np.array_equal(ds["rain"].data, values())


def test_what_is_written_after_a_push_stands_on_it(tmp_path, url):
    with make(tmp_path / "first.zarr", url) as ds:
        ds["rain"][0] = 1
        ds.push()
        ds["rain"][1] = 2
        ds.commit()
        assert [each.files for each in ds.changes()] == [("rain/c.0.0.0",)]
        assert ds.push().number == 3
    with other(tmp_path, url, flag="r") as second:
        assert (second["rain"][:2, 0, 0].data == [1, 2]).all()


def test_a_reader_does_not_wait_for_who_pushes_from_the_same_folder(tmp_path, url):
    make(tmp_path / "first.zarr", url).close()
    with (
        standing.Home(tmp_path / "first.zarr").turn(1),
        open_edataset(url, tmp_path / "first.zarr") as ds,
    ):
        assert np.array_equal(ds["rain"][0].data, values()[0])
