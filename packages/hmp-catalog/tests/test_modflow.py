"""What MODFLOW 6 left behind is what flopy reads, cell by cell: of real models, and of grids written here."""

from __future__ import annotations

import os
import shutil
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest

from hmp_core.errors import AmbiguousReference, CorruptError, InvalidInput, PathNotFound

flopy = pytest.importorskip("flopy", reason="flopy is not installed: the extra [modflow]")


def real(name: str) -> Path:
    """Return a real output of MODFLOW 6, or skip."""
    home = os.environ.get("HMP_TEST_DATA")
    folder = (Path(home) if home else Path(__file__).parents[4] / "shared" / "data") / "modflow6"
    if not (folder / name).is_file():
        pytest.skip(f"{folder / name} is not there; HMP_TEST_DATA names the folder of the real data")
    return folder / name


@pytest.fixture
def freyberg(tmp_path) -> Path:
    for name in ("freyberg.hds", "freyberg.cbc", "freyberg.dis.grb"):
        shutil.copy(real(name), tmp_path)
    return tmp_path


@pytest.fixture
def tidal(tmp_path) -> Path:
    for name in ("AdvGW_tidal.hds", "advgw_tidal.dis.grb"):
        shutil.copy(real(name), tmp_path)
    return tmp_path


def imported(cat, folder: Path, **more):
    with cat.record("modflow6", name="model", crs="EPSG:2154") as rec:
        fields = rec.import_modflow(folder, **more)
    run = cat[rec.sim_id]
    assert set(fields) <= set(run.dataset().variables)
    return run


@pytest.fixture
def read():
    """Return a function that opens a file with flopy; all are closed afterwards."""
    opened = []

    def opening(kind, file: Path):
        opened.append(kind(str(file)))
        return opened[-1]

    yield opening
    for each in opened:
        getattr(each, "close", each.file.close)()


def masked(values: np.ndarray) -> np.ndarray:
    """Return what flopy reads with the marks of MODFLOW as NaN."""
    assert isinstance(values, np.ndarray)
    return np.where(np.abs(values) == 1e30, np.nan, values)


# ── real models ──────────────────────────────────────────────────────────────────────────────────────


def test_heads_of_a_steady_model_are_those_of_flopy(cat, freyberg, read) -> None:
    found = imported(cat, freyberg).dataset()
    theirs = read(flopy.utils.HeadFile, (freyberg / "freyberg.hds"))
    grid = read(flopy.mf6.utils.MfGrdFile, (freyberg / "freyberg.dis.grb"))
    assert found["head"].dims == ("step", "layer", "y", "x")
    assert np.array_equal(found["head"].values, masked(theirs.get_alldata()), equal_nan=True)
    assert np.isnan(found["head"].values).sum() == (grid.idomain == 0).sum()
    assert np.array_equal(found["x"], grid.modelgrid.xcellcenters[0])
    assert np.array_equal(found["y"], grid.modelgrid.ycellcenters[:, 0])
    assert np.array_equal(found["top"].values.ravel(), grid.top)
    assert np.array_equal(found["bottom"].values.ravel(), grid.bot)
    assert found["elapsed_step"].values.tolist() == [10.0]
    assert found["head"].attrs["units"] == "m"


def test_budgets_are_those_of_flopy_cell_by_cell(cat, freyberg, read) -> None:
    run = imported(cat, freyberg, time_units="days")
    found, theirs = run.dataset(), read(flopy.utils.CellBudgetFile, (freyberg / "freyberg.cbc"))
    for name in theirs.get_unique_record_names():
        text = name.decode().strip()
        ours = found[f"budget_{text.lower().replace('-', '_')}"]
        if text == "FLOW-JA-FACE":
            assert np.array_equal(ours.values[0], theirs.get_data(text=name)[0].ravel())
            continue
        full = theirs.get_data(text=name, full3D=True)[0]
        assert np.array_equal(ours.fillna(0).values[0], np.ma.filled(full, 0.0)), text
        assert ours.attrs["units"] == "m3 d-1"
    table = {row["component"]: row for row in run.table("budget").to_pylist()}
    for text in ("WEL", "RIV", "RCH", "CHD"):
        q = theirs.get_data(text=text)[0]["q"]
        assert (table[text]["inflow"], table[text]["outflow"]) == (q[q > 0].sum(), -q[q < 0].sum())
    assert table["RIV"]["package"] == "RIV-1"
    assert sum(row["inflow"] - row["outflow"] for row in table.values()) == pytest.approx(0, abs=1e-3)


def test_a_transient_model_has_times_where_its_start_is_known(cat, tidal, read) -> None:
    run = imported(cat, tidal, start="2001-01-01", time_units="days")
    theirs = read(flopy.utils.HeadFile, (tidal / "AdvGW_tidal.hds"))
    found = run.dataset()
    assert found["head"].dims == ("time", "layer", "y", "x")
    assert np.array_equal(found["head"].values, masked(theirs.get_alldata()), equal_nan=True)
    days = (found["time"].values - np.datetime64("2001-01-01")) / np.timedelta64(1, "D")
    assert np.allclose(days, theirs.get_times(), atol=1e-9)
    at = found["head"].sel(time="2001-01-02T02:00")
    assert np.array_equal(at.values, masked(theirs.get_data(totim=theirs.get_times()[1])), equal_nan=True)


def test_the_same_cell_through_a_whole_simulation(cat, tidal, read) -> None:
    found = imported(cat, tidal).dataset()
    theirs = read(flopy.utils.HeadFile, (tidal / "AdvGW_tidal.hds"))
    series = theirs.get_ts((2, 7, 4))
    assert np.array_equal(found["head"].values[:, 2, 7, 4], series[:, 1])
    assert np.array_equal(found["elapsed_step"].values, series[:, 0])


def plain_grid(rows: int, columns: int) -> dict:
    """Return the variables of a grid of one layer."""
    n = rows * columns
    sizes = {"NCELLS": n, "NLAY": 1, "NROW": rows, "NCOL": columns, "NJA": n}
    place = {"XORIGIN": 0.0, "YORIGIN": 0.0, "ANGROT": 0.0, "DELR": np.ones(columns), "DELC": np.ones(rows)}
    heights = {"TOP": np.full(n, 10.0), "BOTM": np.zeros(n)}
    ones = np.ones(n, int)
    return sizes | place | heights | {"IA": np.arange(1, n + 2), "JA": np.arange(1, n + 1), "IDOMAIN": ones,
                                      "ICELLTYPE": ones}  # fmt: skip


@pytest.mark.parametrize("start", [None, "2001-01-01"])
def test_a_file_of_heads_is_never_in_memory_as_a_whole(cat, tmp_path, monkeypatch, start) -> None:
    """Without a start all of it was: the memory of a laptop was the longest simulation."""
    monkeypatch.setattr("hmp_catalog.fields.schema.SHARD_BYTES", 1 << 20)
    write_grid(tmp_path / "m.dis.grb", "DIS", plain_grid(50, 100))
    heads = np.random.default_rng(7).normal(size=(500, 1, 50, 100))
    write_heads(tmp_path / "m.hds", heads, nlay=1, nrow=50, ncol=100)
    tracemalloc.start()
    try:
        run = imported(cat, tmp_path, start=start, time_units="days")
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert np.array_equal(run.dataset()["head"].values, heads)
    assert most < heads.nbytes / 2


# ── times and files ──────────────────────────────────────────────────────────────────────────────────


def test_start_and_units_come_from_the_tdis(cat, tidal) -> None:
    options = "  TIME_UNITS  HOURS # of course\n  START_DATE_TIME 2010-05-01T06:00:00\n"
    options = f"# a comment\nBEGIN options\n{options}END options\n"
    (tidal / "sim.tdis").write_text(options)
    times = imported(cat, tidal).dataset()["time"].values
    assert times[0] == np.datetime64("2010-05-01T07:00:00")


def test_without_a_unit_there_are_no_times(cat, tidal) -> None:
    (tidal / "sim.tdis").write_text("BEGIN OPTIONS\nSTART_DATE_TIME 2010-05-01\nEND OPTIONS\n")
    with pytest.raises(InvalidInput, match="time_units="):
        imported(cat, tidal)
    with pytest.raises(InvalidInput, match="expected one of seconds"):
        imported(cat, tidal, time_units="fortnights")


def test_several_models_in_one_folder_are_told_apart(cat, freyberg) -> None:
    for name in ("AdvGW_tidal.hds", "advgw_tidal.dis.grb"):
        shutil.copy(real(name), freyberg)
    with pytest.raises(AmbiguousReference, match="say which"):
        imported(cat, freyberg)
    assert imported(cat, freyberg, model="advgw_tidal").dataset()["head"].shape == (361, 3, 15, 10)


def test_a_folder_without_a_model_is_told(cat, tmp_path, freyberg) -> None:
    with pytest.raises(PathNotFound, match="no such folder"):
        imported(cat, tmp_path / "nowhere")
    (freyberg / "freyberg.dis.grb").rename(freyberg / "x")
    with pytest.raises(PathNotFound, match=r"no binary grid file \(.grb\)"):
        imported(cat, freyberg)


# flopy computes with what it finds, and leaves files open that it cannot read
@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::ResourceWarning", "ignore:The inplace keyword")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", ["freyberg.hds", "freyberg.cbc", "freyberg.dis.grb"])
def test_a_file_that_is_none_is_told(cat, freyberg, name) -> None:
    (freyberg / name).write_bytes(b"this is no output of a model" * 40)
    with pytest.raises(CorruptError, match="cannot be read"):
        imported(cat, freyberg)


# ── grids of vertices ────────────────────────────────────────────────────────────────────────────────

VERTICES = np.array([[0, 0], [1, 0], [2, 0], [0, 1], [1, 1], [2, 1], [3, 0]], dtype="f8") * 100
#: closed polygons of vertices counted from 1, as MODFLOW keeps them
POLYGONS = [[1, 2, 5, 4, 1], [2, 3, 6, 5, 2], [3, 7, 6, 3]]
CENTRES = np.array([[50, 50], [150, 50], [233, 33]], dtype="f8")


def write_grid(file: Path, kind: str, values: dict) -> None:
    """Write a binary grid file after the Description of Input and Output of MODFLOW 6."""
    types = {"i": "INTEGER", "f": "DOUBLE"}
    arrays = {name: np.asarray(value) for name, value in values.items()}
    lines = [f"GRID {kind}", "VERSION 1", f"NTXT {len(arrays)}", "LENTXT 100"]
    text = "".join(f"{line:<49}\n" for line in lines)
    for name, value in arrays.items():
        shape = " ".join(map(str, value.shape[::-1]))
        text += f"{name} {types[value.dtype.kind]} NDIM {value.ndim} {shape}".ljust(99) + "\n"
    data = b"".join(v.astype("<i4" if v.dtype.kind == "i" else "<f8").tobytes() for v in arrays.values())
    file.write_bytes(text.encode() + data)


def cells_of(kind: str, layers: int) -> dict:
    """Return the variables of a grid of three polygons."""
    n = 3 * layers
    first = {"NCELLS": n, "NLAY": layers, "NCPL": 3} if kind == "DISV" else {"NODES": n}
    area = {"NVERT": len(VERTICES), "NJAVERT": 14 * (n // 3 if kind == "DISU" else 1), "NJA": n}
    place = {"XORIGIN": 0.0, "YORIGIN": 0.0, "ANGROT": 0.0}
    heights = {
        "TOP": np.full(3 if kind == "DISV" else n, 10.0),
        "BOTM" if kind == "DISV" else "BOT": -np.arange(1.0, n + 1),
    }
    times = n // 3 if kind == "DISU" else 1
    corners = [corner for polygon in POLYGONS for corner in polygon] * times
    starts = np.cumsum([1] + [len(polygon) for polygon in POLYGONS] * times)
    mesh = {
        "VERTICES": VERTICES, "CELLX": np.tile(CENTRES[:, 0], times), "CELLY": np.tile(CENTRES[:, 1], times),
        "IAVERT": starts, "JAVERT": np.array(corners),
    }  # fmt: skip
    links = {
        "IA": np.arange(1, n + 2),
        "JA": np.arange(1, n + 1),
        "IDOMAIN": np.ones(n, int),
        "ICELLTYPE": np.ones(n, int),
    }
    if kind == "DISU":
        links = {name: links[name] for name in ("IA", "JA", "ICELLTYPE")}
    return first | area | place | heights | mesh | links


def write_heads(file: Path, heads: np.ndarray, **shape) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        flopy.utils.HeadFile.write(str(file), heads, **shape)


def test_a_grid_of_vertices_becomes_a_layered_mesh(cat, tmp_path, read) -> None:
    write_grid(tmp_path / "m.disv.grb", "DISV", cells_of("DISV", 2))
    heads = np.arange(12.0).reshape(2, 2, 3)
    heads[1, 0, 2] = -1e30
    write_heads(tmp_path / "m.hds", heads, nlay=2, ncpl=3)
    found = imported(cat, tmp_path, start="2001-01-01", time_units="days").dataset()
    theirs = read(flopy.utils.HeadFile, (tmp_path / "m.hds")).get_alldata().reshape(2, 2, 3)
    assert found["head"].dims == ("time", "layer", "cell")
    assert np.array_equal(found["head"].values, masked(theirs), equal_nan=True)
    assert np.isnan(found["head"].values[1, 0, 2])
    assert found["head"].attrs["mesh"] == "mesh"
    assert np.nan_to_num(found["mesh_face_nodes"].values, nan=-1).tolist() == [
        [0, 1, 4, 3],
        [1, 2, 5, 4],
        [2, 6, 5, -1],
    ]
    assert found["mesh_node_x"].values.tolist() == VERTICES[:, 0].tolist()
    assert np.allclose([found["mesh_face_x"], found["mesh_face_y"]], CENTRES.T)
    assert found["bottom"].values.tolist() == [[-1.0, -2.0, -3.0], [-4.0, -5.0, -6.0]]
    assert (found["top"].dims, found["top"].shape) == (("cell",), (3,))


def test_an_unstructured_grid_becomes_a_mesh(cat, tmp_path, read) -> None:
    write_grid(tmp_path / "m.disu.grb", "DISU", cells_of("DISU", 2))
    heads = np.arange(12.0).reshape(2, 6)
    write_heads(tmp_path / "m.hds", heads, nnodes=6)
    found = imported(cat, tmp_path).dataset()
    assert found["head"].dims == ("step", "cell")
    theirs = read(flopy.utils.HeadFile, (tmp_path / "m.hds")).get_alldata().reshape(2, 6)
    assert np.array_equal(found["head"].values, theirs)
    assert found["head"].attrs["location"] == "face"
    assert found["mesh_face_nodes"].shape == (6, 4)
    assert found["mesh_face_x"].values.tolist() == np.tile(CENTRES[:, 0], 2).tolist()
