"""A run goes out: to xarray, to a netCDF file, and as documents that the event model of Bluesky takes."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
import xarray as xr
import zarr

from hmp_catalog.acquisition import Catalog, LazyImageSequence, Run, RunWriter, SampleMetadata
from hmp_catalog.errors import LostFrames
from hmp_core.errors import MissingPart, PathNotFound, PathTaken

COUNT = 70

KEYS: dict[str, Any] = {
    "level": {"dtype": "number", "units": "m", "source": "gauge 7", "precision": 3, "shape": []},
    "time": {"dtype": "number"},
    "spectrum": {"dtype": "array", "shape": [3]},
    "note": {"dtype": "string"},
    "wet": {"dtype": "bool"},
    "count": {"dtype": "uint16"},
    "odd": None,
    "camera": {"dtype": "int32", "external": True, "source": "eye", "units": 5},
}

METADATA: dict[str, Any] = {
    "weather": "rain",
    "owner": 7,
    "project": "aare",
    "a.b": 1,
    "deep": {"x/y": 2},
    "uid": "mine",
    "beam": {"keV": 8.5, "on": [True]},
}


def frame(n: int) -> np.ndarray[Any, Any]:
    return (np.arange(24).reshape(4, 6) + n).astype("uint16")


def write(writer: RunWriter, status: str = "success", count: int = COUNT) -> str:
    uid = writer.open_run("scan", operator="Ada", metadata=METADATA)
    writer.open_stream("baseline", {"temperature": {}})
    writer.write_event({"temperature": 3.5})
    writer.open_stream("primary", KEYS)
    for n in range(count):
        data = {"level": n / 4, "time": n, "spectrum": [n, 1.5, float("nan")], "wet": n % 2 == 0, "count": n}
        data |= {"note": "first"} if n == 0 else {"odd": {"n": n}}
        event = writer.write_event(data, {"level": 100.0 + n})
        writer.write_image(event, "camera", frame(n))
        if n % 3 == 0:
            writer.write_image(event, "eye", frame(n)[:3].astype("float32"))
    if status != "running":
        writer.close_run(exit_status=status, reason="it rained" if status != "success" else None)
    return uid


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    path = tmp_path_factory.mktemp("session") / "june #1.db"
    with RunWriter(path, SampleMetadata("film", tags=["thin"]), flush_events=64) as writer:
        uid = write(writer)
    return Catalog(path)[uid]


# ── xarray ───────────────────────────────────────────────────────────────────────────────────────────


def test_keys_and_frames_lie_along_the_events(run: Run) -> None:
    found = run.to_xarray()
    assert found["level"].dims == ("event",)
    assert found["level"].values.tolist() == [n / 4 for n in range(COUNT)]
    assert found["seq_num"].values.tolist() == list(range(1, COUNT + 1))
    assert found["camera"].dims == ("event", "camera_y", "camera_x")
    assert (found["camera"].shape, found["camera"].dtype) == ((COUNT, 4, 6), np.uint16)
    assert np.array_equal(found["camera"].values, [frame(n) for n in range(COUNT)])
    assert found["data_time"].values.tolist() == list(range(COUNT))


def test_the_time_of_an_event_is_a_datetime_in_utc(run: Run) -> None:
    found = run.to_xarray()["time"]
    assert found.dtype.kind == "M"
    seconds = found.values.astype("datetime64[us]").astype("int64") / 1e6
    assert np.allclose(seconds, run.table()["time"], rtol=0, atol=1e-6)


def test_fields_that_not_each_event_has_lie_along_their_own_frames(run: Run) -> None:
    found = run.to_xarray()
    assert found["eye"].dims == ("eye_frame", "eye_y", "eye_x")
    assert found["eye_seq_num"].values.tolist() == list(range(1, COUNT + 1, 3))
    assert np.array_equal(found["eye"][5], frame(15)[:3])


def test_values_keep_their_types(run: Run) -> None:
    found = run.to_xarray()
    assert [found[name].dtype.kind for name in ("level", "wet", "count", "spectrum")] == ["f", "b", "i", "f"]
    assert found["spectrum"].dims == ("event", "spectrum_dim_0")
    assert np.isnan(found["spectrum"].values[:, 2]).all()
    assert found["note"].values.tolist()[:2] == ["first", ""]
    assert json.loads(found["odd"].values[1]) == {"n": 1}
    assert found["odd"].attrs["hmp_json"] == 1


def test_what_is_known_of_the_run_and_of_its_keys_is_there(run: Run) -> None:
    found = run.to_xarray()
    assert (found.attrs["run_uid"], found.attrs["plan_name"], found.attrs["operator"]) == (run.uid, "scan", "Ada")
    assert (found.attrs["exit_status"], found.attrs["stream"], found.attrs["scan_id"]) == ("success", "primary", 1)
    assert json.loads(found.attrs["metadata"]) == METADATA
    assert json.loads(found.attrs["sample"])["tags"] == ["thin"]
    assert (found["level"].attrs["units"], found["level"].attrs["source"]) == ("m", "gauge 7")


def test_frames_are_read_when_they_are_needed_if_dask_is_there(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("dask")
    read: list[Any] = []
    plainly = LazyImageSequence.__getitem__
    monkeypatch.setattr(
        LazyImageSequence, "__getitem__", lambda self, item: (read.append(item), plainly(self, item))[1]
    )
    found = run.to_xarray()["camera"]
    assert read == []
    assert np.array_equal(found[3].values, frame(3))
    assert len(read) == 1


def test_frames_are_read_at_once_without_dask(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*(name for name in sys.modules if name.partition(".")[0] == "dask"), "dask", "dask.array"]:
        monkeypatch.setitem(sys.modules, name, None)
    found = run.to_xarray()["camera"]
    assert isinstance(found.variable._data, np.ndarray)
    assert np.array_equal(found[3].values, frame(3))


def test_another_stream_and_one_without_events_go_out_too(run: Run, tmp_path: Path) -> None:
    assert run.to_xarray("baseline")["temperature"].values.tolist() == [3.5]
    assert "camera" not in run.to_xarray("baseline")
    with RunWriter(tmp_path / "june.db", SampleMetadata("a")) as writer:
        uid = writer.open_run("scan")
        writer.open_stream("primary", KEYS)
    empty = Catalog(tmp_path / "june.db")[uid].to_xarray()
    assert dict(empty.sizes) == {"event": 0}


# ── netCDF ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_file_says_what_the_data_set_says(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("h5netcdf")
    run.to_netcdf(tmp_path / "run.nc")
    with xr.open_dataset(tmp_path / "run.nc", engine="h5netcdf") as found:
        xr.testing.assert_equal(found.load(), run.to_xarray().load())
        assert found.attrs == run.to_xarray().attrs
        assert found["camera"].encoding["chunksizes"] == (1, 4, 6)
    assert [file.name for file in tmp_path.iterdir()] == ["run.nc"]


def test_a_run_without_events_is_a_file_too(tmp_path: Path) -> None:
    pytest.importorskip("h5netcdf")
    with RunWriter(tmp_path / "june.db", SampleMetadata("a")) as writer:
        uid = writer.open_run("scan")
        writer.open_stream("primary", KEYS)
    Catalog(tmp_path / "june.db")[uid].to_netcdf(str(tmp_path / "run.nc"))
    with xr.open_dataset(tmp_path / "run.nc", engine="h5netcdf") as found:
        assert found.sizes["event"] == 0


def test_a_file_is_whole_or_not_there(tmp_path: Path) -> None:
    pytest.importorskip("h5netcdf")
    with RunWriter(tmp_path / "june.db", SampleMetadata("a"), flush_events=64) as writer:
        uid = write(writer)
    run = Catalog(tmp_path / "june.db")[uid]
    (run.images("camera").folder / "c.1.0.0").unlink()
    with pytest.raises(LostFrames, match="frame 64"):
        run.to_netcdf(tmp_path / "run.nc")
    # what SQLite has beside a file while it is read comes and goes
    left = {p.name for p in tmp_path.iterdir() if not p.name.startswith("june.db")}
    assert left == {"june.zarr"}
    with pytest.raises(PathNotFound):
        run.to_netcdf(tmp_path / "nowhere" / "run.nc", "baseline")
    (tmp_path / "run.nc").write_text("mine")
    with pytest.raises(PathTaken):
        run.to_netcdf(tmp_path / "run.nc", "baseline")
    assert (tmp_path / "run.nc").read_text() == "mine"


def test_without_h5netcdf_it_says_what_to_install(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5netcdf", None)
    with pytest.raises(MissingPart, match=r"hmp-catalog\[datasets\]"):
        run.to_netcdf(tmp_path / "run.nc")


# ── Bluesky ──────────────────────────────────────────────────────────────────────────────────────────


def valid(documents: Iterator[tuple[str, dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """Return documents by name, each of which the event model takes."""
    model = pytest.importorskip("event_model")
    found: dict[str, list[dict[str, Any]]] = {}
    for name, document in documents:
        model.schema_validators[model.DocumentNames[name]].validate(document)
        found.setdefault(name, []).append(document)
    return found


def test_the_event_model_takes_every_document(run: Run) -> None:
    found = valid(run.documents())
    assert {name: len(documents) for name, documents in found.items()} == {
        "start": 1,
        "descriptor": 2,
        "stream_resource": 2,
        "stream_datum": 1 + 24,
        "event": 1 + COUNT,
        "stop": 1,
    }
    assert [name for name, _ in run.documents()][:1] == ["start"]
    assert [name for name, _ in run.documents()][-1:] == ["stop"]


def test_bluesky_itself_routes_the_run(run: Run) -> None:
    """Its router looks descriptors and events up by their uids."""
    model = pytest.importorskip("event_model")
    seen: list[str] = []

    class Taken(model.DocumentRouter):  # type: ignore[name-defined, misc]
        def event(self, doc: dict[str, Any]) -> None:
            seen.append(doc["uid"])

        def event_page(self, doc: dict[str, Any]) -> None:
            seen.extend(doc["uid"])

    router = Taken()
    for name, document in run.documents():
        router(name, document)
    assert len(seen) == len(set(seen)) == COUNT + 1


def test_the_start_keeps_all_metadata(run: Run) -> None:
    (start,) = valid(run.documents())["start"]
    assert (start["uid"], start["plan_name"], start["scan_id"], start["operator"]) == (run.uid, "scan", 1, "Ada")
    assert (start["sample"]["name"], start["time"], start["project"]) == ("film", run.time_start, "aare")
    assert start["beam"] == {"keV": 8.5, "on": [True]}
    apart = json.loads(start["metadata_json"])
    assert apart == {"owner": 7, "a.b": 1, "deep": {"x/y": 2}, "uid": "mine"}


def test_keys_are_described_in_the_words_of_the_model(run: Run) -> None:
    baseline, primary = valid(run.documents())["descriptor"]
    assert (baseline["name"], primary["name"]) == ("baseline", "primary")
    keys = primary["data_keys"]
    words = {name: (key["dtype"], key["shape"], key.get("dtype_numpy")) for name, key in keys.items()}
    assert words == {
        "level": ("number", [], None),
        "time": ("number", [], None),
        "spectrum": ("array", [3], None),
        "note": ("string", [], None),
        "wet": ("boolean", [], "|b1"),
        "count": ("integer", [], "<u2"),
        "odd": ("string", [], None),
        "camera": ("array", [4, 6], "<u2"),
        "eye": ("array", [3, 6], "<f4"),
    }
    assert {name for name, key in keys.items() if "external" in key} == {"camera", "eye"}
    assert keys["camera"]["external"] == "STREAM:"
    assert (keys["camera"]["source"], keys["camera"]["declared_units"]) == ("eye", 5)
    assert (keys["level"]["units"], keys["level"]["precision"]) == ("m", 3)
    assert baseline["data_keys"]["temperature"]["dtype"] == "number"


def test_events_hold_what_is_not_elsewhere(run: Run) -> None:
    found = valid(run.documents())
    first = found["event"][1]
    assert first["descriptor"] == found["descriptor"][1]["uid"]
    assert set(first["data"]) == set(first["timestamps"]) == {"level", "time", "spectrum", "wet", "count", "note"}
    assert (first["timestamps"]["level"], first["timestamps"]["wet"]) == (100.0, first["time"])
    assert [event["seq_num"] for event in found["event"][1:]] == list(range(1, COUNT + 1))


def test_frames_are_found_by_what_the_documents_say(run: Run) -> None:
    found = valid(run.documents())
    camera, eye = found["stream_resource"]
    assert (camera["data_key"], camera["mimetype"], camera["run_start"]) == ("camera", "application/x-zarr", run.uid)
    array = zarr.open_array(unquote(urlsplit(camera["uri"]).path), mode="r")
    whole, *single = found["stream_datum"]
    assert (whole["indices"], whole["seq_nums"]) == ({"start": 0, "stop": COUNT}, {"start": 1, "stop": COUNT + 1})
    assert np.array_equal(array[whole["indices"]["start"] : whole["indices"]["stop"]], run.images("camera")[:])
    assert {datum["stream_resource"] for datum in single} == {eye["uid"]}
    assert [datum["seq_nums"]["start"] for datum in single] == list(range(1, COUNT + 1, 3))
    assert len({datum["uid"] for datum in found["stream_datum"]}) == 25


@pytest.mark.parametrize(("status", "word"), [("success", "success"), ("failed", "fail"), ("aborted", "abort")])
def test_the_stop_says_how_it_ended(tmp_path: Path, status: str, word: str) -> None:
    with RunWriter(tmp_path / "june.db", SampleMetadata("a")) as writer:
        uid = write(writer, status, count=2)
    run = Catalog(tmp_path / "june.db")[uid]
    (stop,) = valid(run.documents())["stop"]
    assert (stop["exit_status"], stop["run_start"], stop["time"]) == (word, uid, run.time_stop)
    assert stop["num_events"] == {"baseline": 1, "primary": 2}
    assert stop.get("reason") == (None if status == "success" else "it rained")
    assert stop["uid"] != uid


def test_a_run_that_goes_on_has_no_stop_and_one_whose_writer_died_failed(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path / "june.db", SampleMetadata("a"))
    writer.open()
    uid = write(writer, "running", count=2)
    run = Catalog(tmp_path / "june.db")[uid]
    found = valid(run.documents())
    assert "stop" not in found
    assert len(found["event"]) == 3
    assert found["stream_datum"][0]["indices"] == {"start": 0, "stop": 2}
    writer.close()
    assert valid(run.documents())["stop"][0]["exit_status"] == "abort"


def test_a_run_whose_writer_died_failed(tmp_path: Path, killed: Any) -> None:
    uid = killed(tmp_path / "june.db")
    run = Catalog(tmp_path / "june.db")[uid]
    assert run.exit_status == "interrupted"
    (stop,) = valid(run.documents())["stop"]
    assert (stop["exit_status"], stop["num_events"]) == ("fail", {"primary": 1})
    assert stop["time"] == run.events()[-1].time
    assert "ended without" in stop["reason"]


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return a run whose names mean something to files and models."""
    keys: dict[str, Any] = {
        "motor/x": {"units": "", "scale_factor": 2, "big": 1 << 80, "dotted": {"a.b": 1}, "_FillValue": "none"},
        "motor.x": {"shape": "none", "dtype": ["int"], "units": True, "choices": [1]},
        **dict.fromkeys(("event", "camera_y", "eye.1", "great", "ragged", "nothing", "")),
    }
    path = tmp_path_factory.mktemp("session") / "odd.db"
    with RunWriter(path, SampleMetadata("a", extra={"a.b": 1})) as writer:
        uid = writer.open_run("scan")
        writer.open_stream("pri.mary", keys)
        for n in range(3):
            data = {"motor/x": n, "motor.x": n / 2, "event": n, "camera_y": "a", "great": (1 << 63) + n, "": n}
            event = writer.write_event(data | {"ragged": [[1], [2, n]], "nothing": None, "eye.1": n})
            writer.write_image(event, "eye.1", frame(n))
            writer.write_image(event, "camera", frame(n))
    return Catalog(path)[uid]


def test_names_that_mean_something_to_a_file_go_by_others(odd: Run, tmp_path: Path) -> None:
    pytest.importorskip("h5netcdf")
    found = odd.to_xarray("pri.mary")
    assert found["great"].values.tolist() == [(1 << 63) + n for n in range(3)]
    assert found["data_camera_y"].dims == ("event",)
    odd.to_netcdf(tmp_path / "odd.nc", "pri.mary")
    with xr.open_dataset(tmp_path / "odd.nc", engine="h5netcdf") as kept:
        called = {kept[name].attrs.get("hmp_name", name): name for name in kept.variables}
        assert set(called) == set(found.variables)
        for name, variable in found.variables.items():
            assert np.array_equal(kept[called[name]].values, variable.values)
        assert kept[called["motor/x"]].attrs["described_scale_factor"] == 2


def test_names_that_the_model_does_not_know_go_by_others(odd: Run) -> None:
    found = valid(odd.documents())
    (descriptor,), (first, *_) = found["descriptor"], found["event"]
    keys = descriptor["data_keys"]
    assert {key.get("declared_name", name) for name, key in keys.items()} == {*odd.data_keys("pri.mary"), "camera"}
    assert set(first["data"]) == {name for name, key in keys.items() if "external" not in key}
    assert {each["data_key"] for each in found["stream_resource"]} == {"camera", "eye_1"}
    assert (keys["eye_1"]["external"], keys["data_eye_1"]["dtype"]) == ("STREAM:", "integer")
    assert found["stop"][0]["num_events"] == {descriptor["name"]: 3}
    assert json.loads(found["start"][0]["sample"]["extra_json"]) == {"a.b": 1}


@pytest.fixture
def killed(python: Any) -> Any:
    """Return a function that makes a session in a process that dies in the midst of a run."""

    def make(path: Path) -> str:
        return str(python(_DIES, path)).strip()

    return make


_DIES = """
import os, sys
from hmp_catalog.acquisition import RunWriter, SampleMetadata
writer = RunWriter(sys.argv[1], SampleMetadata("a"))
writer.open()
print(writer.open_run("scan"), flush=True)
writer.open_stream("primary", {"n": {}})
writer.write_event({"n": 1})
os._exit(0)
"""
