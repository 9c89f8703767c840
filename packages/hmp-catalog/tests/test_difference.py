"""How two simulations differ, named part by part; what is missing is not the same as None."""

from __future__ import annotations

import dataclasses

import pytest

from hmp_core.errors import PathNotFound


@pytest.fixture
def rain(workspace):
    path = workspace / "data" / "rain.csv"
    path.parent.mkdir(exist_ok=True)
    path.write_text("3.0\n")
    return path


def told(cat, left, right):
    return {(one.part, one.key): (one.left, one.right, one.only) for one in cat.diff(left, right)}


def test_each_part_in_which_they_differ_is_named(cat, rain):
    config = {"time": {"step": 86400, "scheme": "euler"}}
    with cat.record("gr4j", name="a", parameters={"x1": 1.0, "x2": 2.0}, config=config, inputs=[rain], seed=1) as rec:
        rec.metric("nse", 0.8)
    rain.write_text("4.0\n")
    config = {"time": {"step": 3600, "scheme": "euler"}}
    about = {"config": config, "inputs": [rain], "seed": 1, "solver_version": "2"}
    with cat.record("gr5j", name="b", parameters={"x1": 1.5, "x2": 2.0, "x5": None}, **about) as rec:
        rec.metric("nse", 0.9)
    found = told(cat, "a", "b")
    hashes = found.pop(("inputs", "data/rain.csv"))
    assert hashes[0] != hashes[1]
    assert found == {
        ("run", "solver"): ("gr4j", "gr5j", None),
        ("parameters", "x1"): (1.0, 1.5, None),
        ("parameters", "x5"): (None, None, "right"),
        ("metrics", "nse"): (0.8, 0.9, None),
        ("config", "time.step"): (86400, 3600, None),
        ("environment", "solver_version_text"): (None, "2", None),
    }
    assert cat.diff("a", "a") == []
    assert {(d.part, d.key): (d.right, d.left) for d in cat.diff("b", "a")} == {
        (d.part, d.key): (d.left, d.right) for d in cat.diff("a", "b")
    }


def test_not_a_number_is_the_same_as_itself(cat):
    for name in "ab":
        with cat.record("gr4j", name=name) as rec:
            rec.metric("nse", float("nan"))
    assert cat.diff("a", "b") == []


def test_an_open_run_is_not_compared(cat):
    with cat.record("gr4j", name="a"):
        pass
    with cat.record("gr4j", name="open"), pytest.raises(PathNotFound, match="running"):
        cat.diff("a", "open")


def test_a_difference_is_plain(cat):
    for name, value in (("a", 1.0), ("b", 2.0)):
        with cat.record("gr4j", name=name, parameters={"x1": value}):
            pass
    (found,) = cat.diff("a", "b")
    assert dataclasses.asdict(found) == {"part": "parameters", "key": "x1", "left": 1.0, "right": 2.0, "only": None}
