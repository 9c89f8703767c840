"""One field of many runs is one lazy array; a run that lacks it is named, never left out silently."""

from __future__ import annotations

import numpy as np
import pytest

from hmp_core.errors import CorruptError, InvalidInput, NotFound


def head(n):
    return np.arange(24, dtype=float).reshape(2, 3, 4) + 100 * n


@pytest.fixture
def group(cat):
    times = np.array(["2001-01-01", "2001-01-02"], "datetime64[ns]")
    for n in range(3):
        with cat.record("modflow6", name=f"run {n}") as rec:
            rec.field("head", head(n), dims=("time", "y", "x"), time=times)
    return cat.find()[::-1]


def test_each_run_is_a_member_with_its_values_and_its_name(group):
    found = group.to_xarray("head")
    assert found.dims == ("simulation", "time", "y", "x")
    assert np.array_equal(found.to_numpy(), np.stack([head(n) for n in range(3)]))
    assert found["simulation"].to_numpy().tolist() == group.sim_ids
    assert found["name"].to_numpy().tolist() == ["run 0", "run 1", "run 2"]
    assert found["time"].dtype.kind == "M"
    assert found.attrs["simulations_without"] == []


@pytest.mark.parametrize(
    "part",
    [
        {"simulation": 1},
        {"simulation": slice(1, None), "time": 0},
        {"simulation": [2, 0], "x": slice(None, None, 2)},
        {"simulation": slice(0, 0)},
        {"time": 1, "y": 2, "x": 3},
    ],
    ids=["one", "some", "picked", "none", "a cell"],
)
def test_a_part_is_the_same_part_of_the_whole(group, part):
    found = group.to_xarray("head")
    assert np.array_equal(found.isel(part).to_numpy(), found.copy(deep=True).load().isel(part).to_numpy())


def test_nothing_is_read_before_it_is_asked_for(group):
    """The chunks of all but one run are gone: the part that lies in that one is read all the same."""
    found = group.to_xarray("head")
    for run in group[1:]:
        for chunk in (run.folder / "fields.zarr" / "head").rglob("*"):
            if chunk.is_file() and chunk.name != "zarr.json":
                chunk.write_bytes(b"no chunk")
    assert np.array_equal(found.isel(simulation=0).to_numpy(), head(0))
    with pytest.raises((ValueError, RuntimeError, CorruptError)):
        found.isel(simulation=1).to_numpy()


def test_a_run_that_lacks_the_field_is_named(cat, group):
    with cat.record("gr4j", name="no fields") as rec:
        pass
    with pytest.raises(NotFound, match="1 of 4 runs have no field 'head': no fields"):
        cat.find().to_xarray("head")
    found = cat.find().to_xarray("head", without="report")
    assert found.attrs["simulations_without"] == [rec.sim_id]
    assert found.sizes["simulation"] == 3
    with pytest.raises(NotFound):
        cat.find(name="no fields").to_xarray("head", without="report")


def test_fields_of_other_shapes_are_refused(cat, group):
    with cat.record("modflow6", name="finer") as rec:
        rec.field("head", np.zeros((6, 8)), dims=("y", "x"))
    with pytest.raises(InvalidInput, match="only fields of one shape"):
        cat.find().to_xarray("head")
