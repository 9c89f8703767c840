"""A data set beside arrays in memory: whatever is done to both, they say the same; also to xarray, and after a kill."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from hmp_catalog.datasets import dtype, open_dataset
from hmp_catalog.errors import DatasetConflict

#: Variables -> their dimensions, type and chunks; what is missing in each.
KINDS: dict[str, tuple[tuple[str, ...], Any, tuple[int, ...], Any]] = {
    "packed": (("t", "k"), dtype("float32", precision=1, min_value=0, max_value=1000), (4, 2), np.nan),
    "plain": (("k", "t"), "float64", (3, 5), np.nan),
    "series": (("t",), dtype("int16", min_value=0, max_value=1000), (3,), 0),
    "words": (("t",), "string", (4,), ""),
}

State = dict[str, Any]


def empty(name: str, sizes: dict[str, int]) -> Any:
    dims, _, _, missing = KINDS[name]
    kind = object if name == "words" else "int64" if name == "series" else "float64"
    return np.full([sizes[dim] for dim in dims], missing, kind)


class Beside(RuleBasedStateMachine):
    """``now`` is what the session has to see, ``kept`` what was committed."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.path = self.folder / "forcing.zarr"
        self.ds = open_dataset(self.path, "n")
        self.ds.create.coord.generic("t", np.arange(6) * 10, step=True)
        self.ds.create.coord.generic("k", ["k0", "k1", "k2"])
        self.ds.commit()
        self.now: State = {"t": np.arange(6) * 10, "k": [f"k{n}" for n in range(3)], "data": {}, "attrs": {}}
        self.named = 3
        self.kept = self._copy(self.now)

    @staticmethod
    def _copy(state: State) -> State:
        return {
            "t": state["t"].copy(),
            "k": [*state["k"]],
            "data": {name: values.copy() for name, values in state["data"].items()},
            "attrs": dict(state["attrs"]),
        }

    @property
    def sizes(self) -> dict[str, int]:
        return {dim: len(self.now[dim]) for dim in "tk"}

    def _padded(self, dim: str, before: int, after: int) -> None:
        for name, values in self.now["data"].items():
            axis = KINDS[name][0].index(dim) if dim in KINDS[name][0] else None
            if axis is not None:
                sizes = dict(zip(KINDS[name][0], values.shape, strict=True))
                ends = [empty(name, sizes | {dim: count}) for count in (before, after)]
                self.now["data"][name] = np.concatenate([ends[0], values, ends[1]], axis=axis)

    # ── what is done ─────────────────────────────────────────────────────────────────────────────────

    @rule(name=st.sampled_from(sorted(KINDS)))
    def make_or_remove(self, name: str) -> None:
        if name in self.now["data"]:
            del self.ds[name]
            del self.now["data"][name]
        else:
            dims, of, chunks, _ = KINDS[name]
            self.ds.create.data_var.generic(name, dims, of, chunks)
            self.now["data"][name] = empty(name, self.sizes)

    @precondition(lambda self: self.now["data"])
    @rule(data=st.data())
    def write(self, data: Any) -> None:
        name = data.draw(st.sampled_from(sorted(self.now["data"])))
        values = self.now["data"][name]
        key = tuple(
            slice(*sorted(data.draw(st.tuples(*[st.integers(0, size)] * 2)))) if size else slice(None)
            for size in values.shape
        )
        value: Any = data.draw(st.integers(0, 1000))
        value = f"w{value}" if name == "words" else value
        self.ds[name][key] = value
        values[key] = value

    @rule(gap=st.integers(1, 4), count=st.integers(1, 9))
    def append_times(self, gap: int, count: int) -> None:
        new = self.now["t"][-1] + 10 * (gap + np.arange(count))
        self.ds["t"].append(new)
        self._padded("t", 0, gap - 1 + count)
        self.now["t"] = np.arange(self.now["t"][0], new[-1] + 1, 10)

    @rule(gap=st.integers(1, 4), count=st.integers(1, 9))
    def prepend_times(self, gap: int, count: int) -> None:
        new = self.now["t"][0] - 10 * (gap + np.arange(count))[::-1]
        self.ds["t"].prepend(new)
        self._padded("t", gap - 1 + count, 0)
        self.now["t"] = np.arange(new[0], self.now["t"][-1] + 1, 10)

    @rule(before=st.booleans(), count=st.integers(1, 3))
    def name_more(self, before: bool, count: int) -> None:
        new = [f"k{self.named + n}" for n in range(count)]
        self.named += count
        (self.ds["k"].prepend if before else self.ds["k"].append)(new)
        self._padded("k", count * before, count * (not before))
        self.now["k"] = new + self.now["k"] if before else self.now["k"] + new

    @precondition(lambda self: len(self.now["t"]) > 1)
    @rule(data=st.data())
    def cut(self, data: Any) -> None:
        dim = data.draw(st.sampled_from("tk"))
        labels = self.now[dim]
        first, last = sorted(data.draw(st.tuples(*[st.integers(0, len(labels) - 1)] * 2)))
        self.ds[dim].truncate(labels[first], labels[last])
        self.now[dim] = labels[first : last + 1]
        for name, values in self.now["data"].items():
            if dim in KINDS[name][0]:
                kept = np.arange(first, last + 1)
                self.now["data"][name] = values.take(kept, axis=KINDS[name][0].index(dim))

    @rule(key=st.sampled_from("ab"), value=st.one_of(st.integers(-5, 5), st.text("xyz", max_size=3)))
    def say(self, key: str, value: Any) -> None:
        self.ds.attrs[key] = value
        self.now["attrs"][key] = value

    @rule()
    def commit(self) -> None:
        self.ds.commit()
        self.kept = self._copy(self.now)

    @rule()
    def roll_back(self) -> None:
        self.ds.rollback()
        self.now = self._copy(self.kept)

    @rule(how=st.sampled_from(["close", "forget", "another"]))
    def open_again(self, how: str) -> None:
        if how == "close":
            self.ds.close()
            self.kept = self._copy(self.now)
        elif how == "forget":
            self.ds.handle.close()
            self.now = self._copy(self.kept)
        else:
            self._beside_another()
            return
        self.ds = open_dataset(self.path, "w")

    def _beside_another(self) -> None:
        """Another session commits an attribute: this one is put together with it, unless it said some too."""
        with open_dataset(self.path, "w") as other:
            other.attrs["c"] = self.named
        if self.kept["attrs"].get("c") == self.named:
            return
        said = self.now["attrs"] != self.kept["attrs"]
        if not self.ds.handle.changed:
            self.ds.rollback()
        elif said:
            with pytest.raises(DatasetConflict):
                self.ds.commit()
            self.ds.rollback()
            self.now = self._copy(self.kept)
        else:
            self.ds.commit()
        self.now["attrs"]["c"] = self.named
        self.kept = self._copy(self.now)

    # ── what has to be seen ──────────────────────────────────────────────────────────────────────────

    @invariant()
    def sees_its_own(self) -> None:
        compare(self.ds, self.now)

    @rule()
    def others_see_what_was_committed(self) -> None:
        with open_dataset(self.path) as found:
            compare(found, self.kept)
        with xr.open_zarr(self.path) as plain:
            assert plain.sizes["t"] == len(self.kept["t"])
            for name, values in self.kept["data"].items():
                there = plain[name].values
                expected = np.where(values == 0, np.nan, values) if name == "series" else values
                got = np.where(there == 0, np.nan, there) if name == "series" else there
                np.testing.assert_array_equal(got, expected if name != "packed" else expected.astype(got.dtype))

    def teardown(self) -> None:
        self.ds.handle.close()
        shutil.rmtree(self.folder)


def compare(ds: Any, state: State) -> None:
    np.testing.assert_array_equal(ds["t"].data, state["t"])
    assert ds["k"].data.tolist() == state["k"]
    assert ds.data_var_names == tuple(sorted(state["data"]))
    assert {key: value for key, value in ds.attrs.items() if key != "Conventions"} == state["attrs"]
    for name, values in state["data"].items():
        np.testing.assert_array_equal(ds[name].data, values.astype(ds[name].dtype.decoded))
        if values.size:
            np.testing.assert_array_equal(
                ds[name][-1].data, values[-1].astype(ds[name].dtype.decoded) if values.ndim > 1 else values[-1]
            )


#: Making a failure smaller takes minutes, with data sets on disk.
QUICK = {"deadline": None, "suppress_health_check": list(HealthCheck), "phases": [Phase.reuse, Phase.generate]}

TestBeside = Beside.TestCase
TestBeside.settings = settings(max_examples=4, stateful_step_count=20, **QUICK)


@pytest.mark.soak
def test_beside_for_long():
    run_state_machine_as_test(Beside, settings=settings(max_examples=60, stateful_step_count=40, **QUICK))
