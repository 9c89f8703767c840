"""Variables block by block: every cell once, in arrays of their own, in bounded memory, read as often as planned."""

from __future__ import annotations

import itertools
import subprocess
import sys
import tracemalloc
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from hmp_catalog.datasets.blockwise import rechunking
from hmp_catalog.datasets.dataset import Dataset, open_dataset
from hmp_catalog.datasets.dtypes import dtype
from hmp_catalog.datasets.variables import DataVariableView
from hmp_catalog.errors import OutOfRange
from hmp_core.errors import InvalidInput, NotFound

KINDS = {
    "packed": dtype("float32", precision=2, min_value=0, max_value=100),
    "plain": dtype("float64"),
    "counted": dtype("int16", min_value=0, max_value=100),
    "instant": dtype("datetime64[s]"),
    "truth": dtype("bool"),
    "text": dtype("string"),
}
#: What reads as missing, by kind.
MISSING = {
    "packed": np.nan,
    "plain": np.nan,
    "counted": 0,
    "instant": np.datetime64("NaT", "h"),
    "truth": False,
    "text": "",
}
SHAPE, CHUNKS = (50, 13, 11), (12, 4, 3)
PARTS: dict[str, Any] = {
    "whole": (),
    "off": (slice(5, 47), slice(2, 11), slice(1, 10)),
    "steps": (slice(None, None, 2), slice(None, None, -3)),
    "list": (slice(3, None), [0, 4, 5, 12]),
    "point": (slice(None), 5),
    "empty": (slice(4, 4),),
}


def values_of(kind: str) -> Any:
    drawn = np.random.default_rng(11).integers(1, 100, SHAPE)
    if kind == "text":
        return drawn.astype(str).astype(object)
    return drawn > 50 if kind == "truth" else drawn.astype(KINDS[kind].decoded)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of all kinds of values; of the first 30 steps and 3 rows nothing was ever written."""
    made = tmp_path_factory.mktemp("blocks") / "grid.zarr"
    with open_dataset(made, "n") as ds:
        for name, size in zip("tyx", SHAPE, strict=True):
            ds.create.coord.generic(name, data=np.arange(size))
        for kind, declared in KINDS.items():
            variable = ds.create.data_var.generic(kind, tuple("tyx"), dtype=declared, chunk_shape=CHUNKS)
            variable[30:, 4:] = values_of(kind)[30:, 4:]
    return made


@pytest.fixture
def ds(path: Path) -> Iterator[Dataset]:
    with open_dataset(path) as opened:
        yield opened


def together(view: DataVariableView, found: Iterable[tuple[Any, Any]]) -> Any:
    """Put blocks together after all were given, and see that they cover everything once, in C order."""
    kept = list(found)
    whole, seen = np.empty_like(view.data), np.zeros(view.shape, dtype=int)
    for place, values in kept:
        assert values.shape == tuple(side.stop - side.start for side in place)
        whole[place] = values
        seen[place] += 1
    assert (seen == 1).all()
    order = [tuple(side.start for side in place) for place, _ in kept]
    assert order == sorted(order)
    return whole


@pytest.mark.parametrize(("kind", "part"), [*itertools.product(["packed", "plain"], PARTS), ("text", "off")])
def test_blocks_of_every_kind_are_the_values(ds: Dataset, kind: str, part: str) -> None:
    view = ds[kind][PARTS[part]] if part != "whole" else ds[kind]
    across = {"x": 3} if part == "point" else {"y": 100}
    for max_mem in (2**29, 9_000):
        for shape in ({"t": 7} | across, {"t": 1000, "x": 4}):
            found = together(view, view.iter_chunks(shape, max_mem))
            np.testing.assert_array_equal(found, view.data)
            found = together(view, view.rechunker().rechunk(shape, max_mem))
            np.testing.assert_array_equal(found, view.data)
        np.testing.assert_array_equal(together(view, view.iter_chunks(None, max_mem)), view.data)


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_never_written_is_missing_by_every_way(ds: Dataset, tmp_path: Path, kind: str) -> None:
    """Whole, slice, chunks, blocks, groups, rechunked: in the session that made it and after it was opened again."""
    with open_dataset(tmp_path / "new.zarr", "n") as made:
        for name in "tyx":
            made.create.coord.like(name, ds[name], copy_data=True)
        new = made.create.data_var.generic(kind, tuple("tyx"), dtype=KINDS[kind], chunk_shape=CHUNKS)
        new[30:, 4:] = values_of(kind)[30:, 4:]
        _missing_by_every_way(new, kind)
    _missing_by_every_way(ds[kind], kind)


def _missing_by_every_way(variable: DataVariableView, kind: str) -> None:
    ways = {
        "whole": variable.data,
        "slice": np.concatenate([variable[:7].data, variable[7:].data]),
        "chunks": together(variable, variable.iter_chunks()),
        "blocks": together(variable, variable.iter_chunks({"t": 5})),
        "rechunked": together(variable, variable.rechunker().rechunk((50, 5, 5))),
        "groups": together(variable, variable.groupby("t")),
    }
    expected = np.full(SHAPE, MISSING[kind], dtype=ways["whole"].dtype)
    expected[30:, 4:] = values_of(kind)[30:, 4:]
    for way, found in ways.items():
        assert found.dtype == KINDS[kind].decoded, way
        np.testing.assert_array_equal(found, expected, err_msg=way)


@pytest.mark.parametrize("kind", ["packed", "plain", "counted"])
def test_arrays_that_were_given_may_be_kept_and_changed(ds: Dataset, kind: str) -> None:
    variable = ds[kind]
    expected = variable.codes()
    for ways in (variable.iter_chunks, variable.rechunker().rechunk):
        kept = list(ways({"t": 6, "y": 5}, decoded=False))
        for (_, one), (_, other) in itertools.combinations(kept, 2):
            assert not np.shares_memory(one, other)
        for place, codes in kept:
            np.testing.assert_array_equal(codes, expected[place])
            codes[...] = 0
    for _, values in variable.iter_chunks():
        values[...] = 1
    np.testing.assert_array_equal(variable.codes(), expected)


def test_places_alone_are_those_of_the_blocks(ds: Dataset) -> None:
    view = ds["packed"][5:40, 3:]
    for shape in (None, {"t": 7}, {"t": 7, "y": 2, "x": 2}):
        assert list(view.iter_chunks(shape, include_data=False)) == [place for place, _ in view.iter_chunks(shape)]


def test_stored_chunks_are_cut_where_they_lie(ds: Dataset) -> None:
    view = ds["packed"][5:40, 3:, 1:5]
    sides = [sorted({(place[axis].start, place[axis].stop) for place, _ in view.iter_chunks()}) for axis in range(3)]
    assert sides == [[(0, 7), (7, 19), (19, 31), (31, 35)], [(0, 1), (1, 5), (5, 9), (9, 10)], [(0, 2), (2, 4)]]


def test_a_data_set_gives_its_variables_together(ds: Dataset) -> None:
    part = ds.select({"t": slice(3, 44)})
    names = ["packed", "instant"]
    found = list(part.iter_chunks({"t": 10, "x": 4}, data_vars=iter(names)))
    again = list(part.rechunker(names).rechunk({"t": 10, "x": 4}))
    assert [place for place, _ in found] == list(part.iter_chunks({"t": 10, "x": 4}, names, include_data=False))
    for (place, values), (_, others) in zip(found, again, strict=True):
        for name in names:
            np.testing.assert_array_equal(values[name], part[name][tuple(place.values())].data)
            np.testing.assert_array_equal(values[name], others[name])
    assert len(found) == len(again) == 5 * 3


# ── plans ────────────────────────────────────────────────────────────────────────────────────────────


def counted(monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...]) -> tuple[list[Any], Any]:
    """Note what is asked of variables of a shape."""
    asked: list[Any] = []
    cells = np.zeros(shape, dtype=int)
    codes = DataVariableView.codes

    def noted(self: DataVariableView, window: Any = None) -> Any:
        asked.append(window)
        cells[window] += 1
        return codes(self, window)

    monkeypatch.setattr(DataVariableView, "codes", noted)
    return asked, cells


@pytest.mark.parametrize("max_mem", [2**20, 30_000, 8_000, 3_000])
def test_it_is_read_as_often_as_planned(ds: Dataset, monkeypatch: pytest.MonkeyPatch, max_mem: int) -> None:
    target = (50, 3, 2)
    planned = ds["packed"].rechunker().calc_n_reads_rechunker(target, max_mem)
    asked, cells = counted(monkeypatch, SHAPE)
    blocks = list(ds["packed"].rechunker().rechunk(target, max_mem))
    assert (len(asked), len(blocks)) == planned
    if max_mem == 2**20:
        assert cells.max() == 1
    assert cells.max() <= -(-planned[0] // 5)


def test_the_numbers_of_a_plan(ds: Dataset) -> None:
    of = ds["packed"].rechunker()
    assert of.calc_n_chunks() == 5 * 4 * 4
    assert ds["packed"][5:14].rechunker().calc_n_chunks() == 2 * 4 * 4
    assert of.calc_ideal_read_chunk_shape((24, 2, 2)) == (24, 4, 6)
    assert of.calc_ideal_read_chunk_mem((24, 2, 2)) == 24 * 4 * 6 * 2
    assert of.calc_source_read_chunk_shape((24, 2, 2), 2**20) == (24, 4, 6)
    assert of.guess_chunk_shape(1000) == rechunking.guess_chunk_shape(SHAPE, 2, 1000)
    several = ds.rechunker(["packed", "plain"])
    assert several.calc_ideal_read_chunk_mem({"t": 24, "y": 2, "x": 2}) == 24 * 4 * 6 * (2 + 8)
    reads, writes = several.calc_n_reads_rechunker({"t": 24, "y": 2, "x": 2})
    assert writes == 3 * 7 * 6
    assert reads <= 2 * 5 * 4 * 4


@pytest.mark.parametrize("max_mem", [2**20, 3_000])
@pytest.mark.parametrize("chunks", [(50, 3, 2), (7, 13, 11), (60, 20, 20)], ids=["many", "one", "larger"])
@pytest.mark.parametrize(
    ("kind", "to"), [("packed", "packed"), ("plain", "packed"), ("plain", "plain"), ("text", "text")]
)
def test_a_variable_is_written_into_another(
    ds: Dataset, tmp_path: Path, kind: str, to: str, chunks: tuple[int, ...], max_mem: int
) -> None:
    """Plain zarr reads what came, over what was there before; nothing else is left in the folder."""
    with open_dataset(tmp_path / "new.zarr", "n") as made:
        for name in "tyx":
            made.create.coord.like(name, ds[name], copy_data=True)
        new = made.create.data_var.generic(to, tuple("tyx"), dtype=KINDS[to], chunk_shape=chunks)
        new[:] = values_of(to)
        ds[kind].rechunker().into(new, max_mem)
        np.testing.assert_array_equal(new.codes(), ds[to].codes())
    stored = zarr.open_group(tmp_path / "new.zarr", mode="r")[to]
    found = np.asarray(stored[...])
    np.testing.assert_array_equal(found.astype(object) if to == "text" else found, ds[to].codes())
    folder = (tmp_path / "new.zarr" / to).resolve()
    assert all(name.name.startswith(("c.", "zarr.json")) and name.suffix != ".partial" for name in folder.iterdir())


def test_values_packed_alike_are_not_decoded(ds: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_dataset(tmp_path / "new.zarr", "n") as made:
        for name in "tyx":
            made.create.coord.like(name, ds[name], copy_data=True)
        new = made.create.data_var.generic("v", tuple("tyx"), dtype=KINDS["packed"], chunk_shape=(50, 3, 2))
        monkeypatch.setattr(type(new.packing), "decode", None)
        ds["packed"].rechunker().into(new)
        with pytest.raises(TypeError):
            ds["plain"].rechunker().into(new)


def test_chunks_that_are_missing_are_not_stored(ds: Dataset, tmp_path: Path) -> None:
    with open_dataset(tmp_path / "new.zarr", "n") as made:
        for name in "tyx":
            made.create.coord.like(name, ds[name], copy_data=True)
        new = made.create.data_var.generic("v", tuple("tyx"), dtype=KINDS["plain"], chunk_shape=(10, 4, 3))
        new[:] = 5.0
        ds["plain"].rechunker().into(new)
        cells = made.handle.cells("v")
        assert cells.shards is not None
        chunks = itertools.product(range(5), range(4), range(4))
        assert {number for number in chunks if cells.stored(number)} == set(
            itertools.product((3, 4), (1, 2, 3), range(4))
        )
        folder = made.handle.group().store.root / "v"
        assert sorted(file.name for file in folder.glob("c.*")) == ["c.3.0.0", "c.4.0.0"]


@pytest.mark.parametrize(
    ("of", "to"),
    [((), (slice(None, None, -1),)), ((slice(15, 45), slice(0, 6)), (slice(10, 40), slice(3, 9)))],
    ids=["backwards", "block"],
)
def test_a_part_goes_into_a_part(ds: Dataset, tmp_path: Path, of: Any, to: Any) -> None:
    with open_dataset(tmp_path / "new.zarr", "n") as made:
        for name in "tyx":
            made.create.coord.like(name, ds[name], copy_data=True)
        new = made.create.data_var.generic("v", tuple("tyx"), dtype=KINDS["plain"], chunk_shape=(10, 4, 3))
        new[:] = 5.0
        expected = new.data
        expected[to] = ds["plain"][of].data
        ds["plain"][of].rechunker().into(new[to])
        np.testing.assert_array_equal(new.data, expected)


def test_a_missing_integer_stays_missing_in_another_packing(ds: Dataset, tmp_path: Path) -> None:
    with open_dataset(tmp_path / "new.zarr", "n") as made:
        for name in "tyx":
            made.create.coord.like(name, ds[name], copy_data=True)
        wide = dtype("int32", min_value=-5, max_value=100_000)
        new = made.create.data_var.generic("v", tuple("tyx"), dtype=wide, chunk_shape=(10, 4, 3))
        ds["counted"].rechunker().into(new)
        np.testing.assert_array_equal(new.masked.mask, ds["counted"].masked.mask)
        np.testing.assert_array_equal(new.data, ds["counted"].data)


def test_who_reads_the_version_before_sees_nothing_of_it(ds: Dataset, tmp_path: Path) -> None:
    """Files are put in the place of others, which versions share; they are seen with the commit."""
    with open_dataset(tmp_path / "new.zarr", "n") as made:
        for name in "tyx":
            made.create.coord.like(name, ds[name], copy_data=True)
        made.create.data_var.generic("v", tuple("tyx"), dtype=KINDS["plain"], chunk_shape=(10, 4, 3))[:] = 5.0
    with open_dataset(tmp_path / "new.zarr") as reader, open_dataset(tmp_path / "new.zarr", "w") as made:
        ds["plain"].rechunker().into(made["v"])
        made.commit()
        np.testing.assert_array_equal(made["v"].data, ds["plain"].data)
        np.testing.assert_array_equal(reader["v"].data, 5.0)
        reader.refresh()
        np.testing.assert_array_equal(reader["v"].data, ds["plain"].data)


def test_what_sticks_out_of_the_last_chunk_is_missing_when_the_axis_grows(ds: Dataset, tmp_path: Path) -> None:
    with open_dataset(tmp_path / "new.zarr", "n") as made:
        for name in "tyx":
            made.create.coord.like(name, ds[name], copy_data=True)
        new = made.create.data_var.generic("v", tuple("tyx"), dtype=KINDS["plain"], chunk_shape=(40, 4, 3))
        ds["plain"].rechunker().into(new)
        made["t"].append(np.arange(50, 60))
        np.testing.assert_array_equal(new[:50].data, ds["plain"].data)
        assert np.isnan(new[50:].data).all()


def test_a_value_that_does_not_fit_leaves_whole_files(ds: Dataset, tmp_path: Path) -> None:
    with open_dataset(tmp_path / "new.zarr", "n") as made:
        for name in "tyx":
            made.create.coord.like(name, ds[name], copy_data=True)
        narrow = dtype("float32", precision=0, min_value=0, max_value=50)
        wide = made.create.data_var.generic("wide", tuple("tyx"), dtype="float64", chunk_shape=(10, 4, 3))
        wide[:] = 3.0
        wide[35, 6, 7] = 99.0
        new = made.create.data_var.generic("new", tuple("tyx"), dtype=narrow, chunk_shape=(10, 4, 3))
        new[:] = 7.0
        with pytest.raises(OutOfRange) as refused:
            wide.rechunker().into(new)
        assert (refused.value.value, refused.value.position) == (99.0, (35, 6, 7))
        np.testing.assert_array_equal(new[:30].data, 3.0)
        np.testing.assert_array_equal(new[30:].data, 7.0)
        assert not list(tmp_path.rglob("*.partial"))
        with pytest.raises(InvalidInput, match="half-way"):
            made.commit()
        made.rollback()


def test_a_variable_goes_into_another_of_its_shape_only(path: Path) -> None:
    with open_dataset(path, "w") as ds:
        with pytest.raises(InvalidInput, match="must be the same"):
            ds["packed"][1:].rechunker().into(ds["plain"])
        with pytest.raises(InvalidInput, match="into itself"):
            ds["packed"].rechunker().into(ds["packed"])
    with open_dataset(path) as ds, pytest.raises(InvalidInput, match="reading only"):
        ds["packed"].rechunker().into(ds["plain"])


@pytest.mark.parametrize("shape", [{"t": 0}, {"t": -1}, {"t": 1.5}, (5, 5), (1, 2, 0), 7, "tyx"])
def test_lengths_are_checked_at_once(ds: Dataset, shape: Any) -> None:
    with pytest.raises(InvalidInput, match="chunk_shape"):
        ds["packed"].iter_chunks(shape)
    with pytest.raises(InvalidInput, match="chunk_shape"):
        ds["packed"].rechunker().rechunk(shape)


def test_names_and_budgets_are_checked_at_once(ds: Dataset) -> None:
    for ask in (ds["packed"].iter_chunks, ds.iter_chunks, ds["packed"].rechunker().rechunk):
        with pytest.raises(NotFound, match="no coordinate 'level'"):
            ask({"level": 3})
    with pytest.raises(NotFound, match="no variable 'wind'"):
        ds.iter_chunks({}, data_vars=["packed", "wind"])
    with pytest.raises(InvalidInput, match="no data variables"):
        ds.rechunker([])
    with pytest.raises(InvalidInput, match="max_mem"):
        ds["packed"].iter_chunks(None, 0)
    with pytest.raises(InvalidInput, match="mask"):
        ds["packed"][np.ones(SHAPE, dtype=bool)].iter_chunks()


# ── memory ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """9.6 MB of codes in 300 chunks, 25 in a file."""
    made = tmp_path_factory.mktemp("large") / "grid.zarr"
    with open_dataset(made, "n") as ds:
        for name, size in zip("tyx", (480, 100, 100), strict=True):
            ds.create.coord.generic(name, data=np.arange(size))
        variable = ds.create.data_var.generic("v", tuple("tyx"), dtype=KINDS["packed"], chunk_shape=(40, 20, 20))
        variable.set((), np.random.default_rng(5).integers(1, 9_000, (480, 100, 100), "u2"), decoded=False)
    return made


@pytest.mark.parametrize("megabytes", [2, 4, 8, 14])
def test_what_python_holds_keeps_to_the_budget(large: Path, megabytes: int) -> None:
    budget = megabytes << 20
    with open_dataset(large) as ds:
        of = ds["v"].rechunker()
        for ways in (lambda: of.rechunk((480, 5, 5), budget), lambda: ds["v"].groupby({"t": 7}, budget)):
            next(ways())
            tracemalloc.start()
            for _ in ways():
                pass
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert peak <= 1.2 * budget


@pytest.mark.parametrize("chunk", [(480, 5, 5)])
def test_rows_of_blocks_do_not_wait_where_there_is_no_room(large: Path, tmp_path: Path, chunk: tuple[int, ...]) -> None:
    """A row of chunks across the array is more than the budget: 286 MB for 128 of ten years of hours."""
    budget = 5 << 17
    with open_dataset(large) as ds, open_dataset(tmp_path / "new.zarr", "n") as out:
        for coord in ds.coords:
            out.create.coord.like(coord.name, coord, copy_data=True)
        new = out.create.data_var.generic("v", tuple("tyx"), dtype=ds["v"].dtype, chunk_shape=chunk)
        of = ds["v"].rechunker()
        given = [place for place, _ in of.rechunk(chunk, budget)]
        assert given == list(ds["v"].iter_chunks(dict(zip("tyx", chunk, strict=True)), include_data=False))
        tracemalloc.start()
        of.into(new, budget)
        held = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        for place, codes in of.rechunk(chunk, budget, decoded=False):
            assert codes.shape == new[place].shape
        held = max(held, tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert held <= 1.5 * budget
        assert np.array_equal(new.codes(), ds["v"].codes())


def test_parts_of_a_view_are_its_values(large: Path) -> None:
    with open_dataset(large) as ds:
        view = ds["v"][7:471, 13:88, 5:99]
        whole = view.data
        for place, values in view.rechunker().rechunk((464, 4, 5), 1 << 19):
            assert np.array_equal(values, whole[place])


def test_many_chunks_are_asked_for_at_a_time(large: Path) -> None:
    """A request costs as much as decoding a chunk: 60 rows of chunks, each once, rather than 300 chunks."""
    with open_dataset(large) as ds:
        assert ds["v"].rechunker().calc_n_reads_rechunker((480, 5, 5), 6 << 20) == (60, 400)
        assert ds["v"].rechunker().calc_n_reads_rechunker((480, 5, 5), 32 << 20) == (12, 400)


MEASURED = """
import sys, threading, time
import numpy as np
from hmp_catalog.datasets.dataset import open_dataset

def anonymous():
    with open("/proc/self/smaps_rollup") as told:
        return next(int(line.split()[1]) * 1024 for line in told if line.startswith("Anonymous:"))

source, target, budget = sys.argv[1], sys.argv[2], int(sys.argv[3])
with open_dataset(source) as ds, open_dataset(target, "n") as out:
    for coord in ds.coords:
        out.create.coord.like(coord.name, coord, copy_data=True)
    steps = ds["v"].shape[0]
    new = out.create.data_var.generic("v", ("t", "y", "x"), dtype=ds["v"].dtype, chunk_shape=(steps, 5, 5))
    ds["v"][:1, :1, :1].data
    base = peak = anonymous()
    done = False
    def watch():
        global peak
        while not done:
            peak = max(peak, anonymous())
            time.sleep(0.002)
    watching = threading.Thread(target=watch)
    watching.start()
    ds["v"].rechunker().into(new, budget)
    done = True
    watching.join()
    same = all(np.array_equal(ds["v"][:, row].codes(), new[:, row].codes()) for row in range(0, 100, 9))
    print(peak - base, same)
"""


def _peak(tmp_path: Path, steps: int, budget: int) -> int:
    with open_dataset(tmp_path / "source.zarr", "n") as ds:
        for name, size in zip("tyx", (steps, 100, 100), strict=True):
            ds.create.coord.generic(name, data=np.arange(size))
        variable = ds.create.data_var.generic("v", tuple("tyx"), dtype=KINDS["packed"], chunk_shape=(730, 20, 20))
        draw = np.random.default_rng(5)
        for start in range(0, steps, 730):
            variable.set(slice(start, start + 730), draw.integers(1, 9_000, (730, 100, 100), "u2"), decoded=False)
    command = [sys.executable, "-c", MEASURED, str(tmp_path / "source.zarr"), str(tmp_path / "new.zarr"), str(budget)]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    assert told[1] == "True"
    return int(told[0])


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="the kernel tells no anonymous memory")
def test_rechunking_keeps_to_its_budget(tmp_path: Path) -> None:
    budget = 20 << 20
    assert _peak(tmp_path, 1460, budget) <= 1.5 * budget  # 29 MB of codes, 58 of values


@pytest.mark.soak
@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="the kernel tells no anonymous memory")
def test_rechunking_a_year_of_hours_keeps_to_its_budget(tmp_path: Path) -> None:
    budget = 128 << 20
    assert _peak(tmp_path, 8760, budget) <= 1.5 * budget  # 175 MB of codes, 350 of values
