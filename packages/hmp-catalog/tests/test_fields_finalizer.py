"""The end of writing: every file accounted for and on disk, the same bytes each time, nothing lost unseen."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from hmp_catalog.fields import SimulationZarr
from hmp_core.errors import CorruptError, InvalidInput, NotWritable, PathNotFound, SealedError, StorageError
from hmp_core.identity import sha256_file, sha256_tree

DAYS = np.arange("2001-01-01", "2002-01-01", dtype="datetime64[D]")


def create(path: Path) -> SimulationZarr:
    return SimulationZarr.create(
        path, title="Base run", run_id="6f2f", date_created="2026-01-02T03:04:05+01:00", attributes={"summary": "dry"}
    )


def fill(store: SimulationZarr) -> None:
    values = np.cumsum(np.random.default_rng(3).normal(size=(365, 2, 40, 41)), 0).astype("f4")
    grid = {"x": np.arange(41) * 100.0, "y": np.arange(40) * 100.0}
    store.write_field("head", values, time=DAYS, coords=grid)
    store.write_field("top", values[0, 0], dims=("y", "x"), units="m")
    labels = {"station": ["outlet", "mill"]}
    for day, flow in zip(DAYS[:10], values[:10, 0, 0, :2], strict=True):
        store.append_field("discharge", flow, dims=("time_gauge", "station"), time=day, coords=labels)


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        store = create(tmp_path / name / "fields.zarr")
        fill(store)
        store.finalize()
    assert sha256_tree(tmp_path / "one") == sha256_tree(tmp_path / "two")


def test_every_file_is_on_record_as_it_is(tmp_path: Path) -> None:
    store = create(tmp_path / "fields.zarr")
    fill(store)
    files = store.finalize()
    on_disk = sorted(file for file in tmp_path.rglob("*") if file.is_file())
    assert [file.path for file in files] == [file.relative_to(tmp_path).as_posix() for file in on_disk]
    assert [file.size for file in files] == [file.stat().st_size for file in on_disk]
    assert [file.sha256 for file in files] == [sha256_file(file) for file in on_disk]
    assert {file.kind for file in files} == {"fields"}


def test_a_field_of_five_megabytes_costs_two_files(tmp_path: Path) -> None:
    """Beside the root, and two for each coordinate that fields share."""
    store = create(tmp_path / "fields.zarr")
    values = np.random.default_rng(3).normal(size=(365, 60, 55)).astype("f4")
    store.write_field("recharge", values, dims=("time", "y", "x"), time=DAYS, units="m d-1")
    files = store.finalize()
    assert values.nbytes > 4_800_000
    assert [file.path for file in files] == [
        "fields.zarr/recharge/c.0.0.0",
        "fields.zarr/recharge/zarr.json",
        "fields.zarr/time/c.0",
        "fields.zarr/time/zarr.json",
        "fields.zarr/zarr.json",
    ]


def test_the_root_says_what_the_store_is(tmp_path: Path) -> None:
    store = create(tmp_path / "fields.zarr")
    fill(store)
    store.finalize()
    assert store.attributes == {
        "Conventions": "CF-1.11, ACDD-1.3",
        "hmp_schema_version": "1",
        "title": "Base run",
        "id": "6f2f",
        "summary": "dry",
        "date_created": "2026-01-02T02:04:05Z",
        "time_coverage_start": "2001-01-01T00:00:00Z",
        "time_coverage_end": "2001-12-31T00:00:00Z",
        "time_coverage_duration": "P364D",
        "time_coverage_resolution": "P1D",
        "history": "2026-01-02T02:04:05Z: written by hmp-catalog",
    }


def test_the_root_says_where_on_earth_the_fields_lie(tmp_path: Path) -> None:
    store = create(tmp_path / "fields.zarr")
    grid = {"lat": [50.5, 49.5], "lon": [8.0, 9.0, 10.0]}
    store.write_field("head", np.zeros((2, 3)), dims=("lat", "lon"), coords=grid)
    store.finalize()
    found = store.attributes
    assert [found[f"geospatial_{side}"] for side in ("lat_min", "lat_max", "lon_min", "lon_max")] == [
        49.5, 50.5, 8.0, 10.0,
    ]  # fmt: skip


def test_a_store_without_fields_is_a_store(tmp_path: Path) -> None:
    store = create(tmp_path / "fields.zarr")
    assert [file.path for file in store.finalize()] == ["fields.zarr/zarr.json"]
    assert SimulationZarr.open(store.path).fields() == []


def test_a_field_of_nothing_but_nan_is_written_all_the_same(tmp_path: Path) -> None:
    """Else a chunk that was lost could not be told from one that was never there."""
    store = create(tmp_path / "fields.zarr")
    store.write_field("head", np.full((3, 4), np.nan), dims=("time", "cell"), time=DAYS[:3])
    assert "fields.zarr/head/c.0.0" in [file.path for file in store.finalize()]


def test_a_chunk_that_vanishes_while_writing_is_noticed(tmp_path: Path) -> None:
    store = create(tmp_path / "fields.zarr")
    fill(store)
    (store.path / "top" / "c.0.0").unlink()
    with pytest.raises(CorruptError, match=r"top/c\.0\.0: written, and not there") as caught:
        store.finalize()
    assert caught.value.path == str(store.path / "top" / "c.0.0")


def test_metadata_written_by_hand_is_what_zarr_reads(tmp_path: Path) -> None:
    import zarr

    store = create(tmp_path / "fields.zarr")
    fill(store)
    store.finalize()
    group = zarr.open_group(str(store.path), mode="r", use_consolidated=True)
    assert sorted(group.array_keys()) == ["discharge", "head", "station", "time", "time_gauge", "top", "x", "y"]
    for name, array in group.arrays():
        alone = json.loads((store.path / name / "zarr.json").read_text())
        assert zarr.open_array(str(store.path / name), mode="r").metadata.to_dict() == array.metadata.to_dict()
        assert alone["dimension_names"] == list(array.metadata.dimension_names)


def test_a_finished_store_is_not_written_again(tmp_path: Path) -> None:
    store = create(tmp_path / "fields.zarr")
    store.finalize()
    for write in (
        lambda: store.write_field("head", np.zeros(1), dims=("cell",)),
        lambda: store.append_field("head", [[1.0]], dims=("time", "cell"), time=DAYS[:1]),
        store.finalize,
    ):
        with pytest.raises(SealedError, match="only read"):
            write()


def test_a_store_being_written_is_not_read(tmp_path: Path) -> None:
    store = create(tmp_path / "fields.zarr")
    with pytest.raises(InvalidInput, match="finalize"):
        store.fields()


def test_a_store_that_was_never_finished_is_told_from_a_whole_one(tmp_path: Path) -> None:
    store = create(tmp_path / "fields.zarr")
    store.write_field("head", np.zeros(1), dims=("cell",))
    with pytest.raises(CorruptError, match="never finished"):
        SimulationZarr.open(store.path)


def test_nothing_is_created_over_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "fields.zarr").write_text("notes")
    with pytest.raises(InvalidInput, match="is there already"):
        create(tmp_path / "fields.zarr")
    assert (tmp_path / "fields.zarr").read_text() == "notes"


def test_a_store_in_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PathNotFound, match="make the folder of the run"):
        create(tmp_path / "run" / "fields.zarr")
    assert not (tmp_path / "run").exists()


def test_a_store_on_a_remote_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotImplementedError, match="s3://bucket"):
        SimulationZarr.create("s3://bucket/fields.zarr", title="x", run_id="1")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder that nobody may write to")
def test_a_folder_that_may_not_be_written_is_named() -> None:
    with pytest.raises((NotWritable, PathNotFound), match="/proc"):
        create(Path("/proc/self/fields.zarr"))


def test_a_title_is_not_overruled_by_an_attribute(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="hmp_schema_version"):
        SimulationZarr.create(tmp_path / "f.zarr", title="x", run_id="1", attributes={"hmp_schema_version": "2"})
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_refuses_is_an_error_of_storage(tmp_path: Path) -> None:
    script = """
        import resource, sys
        import numpy as np
        from hmp_catalog.fields import SimulationZarr
        from hmp_core.errors import StorageError

        store = SimulationZarr.create(sys.argv[1], title="x", run_id="1")
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            store.write_field("head", np.random.default_rng(1).normal(size=(1000, 1000)), dims=("y", "x"))
        except StorageError as error:
            print("refused", error.path)
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "fields.zarr")]
    said = subprocess.run(command, check=True, capture_output=True, text=True)
    assert said.stdout.strip() == f"refused {tmp_path / 'fields.zarr' / 'head'}"


def test_a_flush_that_fails_is_an_error_of_storage_though_all_was_hashed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SimulationZarr.create(tmp_path / "fields.zarr", title="x", run_id="1")
    store.write_field("head", np.ones((2, 2)), dims=("y", "x"))
    shard = os.stat(tmp_path / "fields.zarr" / "head" / "c.0.0").st_ino
    flush = os.fsync

    def failing(descriptor: int) -> None:
        if os.fstat(descriptor).st_ino == shard:
            raise OSError(errno.EIO, "Input/output error")
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(StorageError, match="Input/output error"):
        store.finalize()
