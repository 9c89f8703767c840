"""Workflows: steps on record, resumed by content after a kill, done again where something changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import hmp_catalog
from hmp_core.errors import AmbiguousReference, InvalidInput, NotFound, PathEscape, PathNotFound, SealedError


class Model:
    """A workflow of three steps that notes what it did."""

    def __init__(self, cat: hmp_catalog.SimulationCatalog) -> None:
        self.cat = cat
        self.home = cat.path / "made"
        self.home.mkdir(exist_ok=True)
        self.dem = cat.workspace / "data" / "dem.txt"
        self.dem.parent.mkdir(exist_ok=True)
        self.dem.write_text("1 2 3")
        self.done: list[str] = []

    def mesh(self) -> Path:
        self.done.append("mesh")
        file = self.home / "mesh.txt"
        file.write_text(f"mesh of {self.dem.read_text()}")
        return file

    def solve(self) -> dict[str, Any]:
        self.done.append("solve")
        (self.home / "heads").mkdir(exist_ok=True)
        (self.home / "heads" / "1.txt").write_text("51.5")
        return {"heads": self.home / "heads", "steps": 3, "nse": 0.5}

    def plot(self) -> None:
        self.done.append("plot")
        (self.home / "plot.svg").write_text("<svg/>")

    def run(self, *, size: int = 50, fail: bool = False, name: str = "model", **about: Any) -> list[str]:
        self.done = []
        with self.cat.workflow(name, **about) as wf:
            mesh = wf.step("mesh", self.mesh, inputs=[self.dem], config={"size": size})
            assert mesh == self.home / "mesh.txt"
            solved = wf.step("solve", self.solve, inputs=[mesh])
            assert solved == {"heads": self.home / "heads", "steps": 3, "nse": 0.5}
            if fail:
                message = f"{self.home}: the solver did not converge"
                raise RuntimeError(message)
            assert wf.step("plot", self.plot, inputs=[solved["heads"]], artifacts=[self.home / "plot.svg"]) is None
        return self.done


@pytest.fixture
def model(cat: hmp_catalog.SimulationCatalog) -> Model:
    return Model(cat)


ALL = ["mesh", "solve", "plot"]


def test_what_is_still_there_is_not_done_again(model: Model) -> None:
    assert model.run() == ALL
    assert model.run() == []
    assert model.run(resume=False) == ALL


def test_it_is_the_same_from_another_catalog_object(model: Model) -> None:
    model.run()
    with hmp_catalog.open(model.cat.path) as other:
        assert Model(other).run() == []


@pytest.mark.parametrize(
    ("change", "again"),
    [
        (lambda m: m.dem.write_text("9 9 9"), ALL),
        (lambda m: (m.home / "mesh.txt").unlink(), ALL),
        (lambda m: (m.home / "heads" / "1.txt").write_text("99"), ["solve", "plot"]),
        (lambda m: (m.home / "heads" / "2.txt").write_text(""), ["solve", "plot"]),
        (lambda m: (m.home / "plot.svg").unlink(), ["plot"]),
        (lambda m: (m.home / "plot.svg").write_text("other"), ["plot"]),
    ],
    ids=["input", "artefact gone", "artefact changed", "file added to a folder", "declared gone", "declared changed"],
)
def test_from_the_first_that_changed_on_all_is_done_again(model: Model, change: Any, again: list[str]) -> None:
    model.run()
    change(model)
    done = model.run()
    assert done == again
    if change.__code__.co_names[0] == "dem" or (model.home / "heads" / "2.txt").exists():
        return  # the change stays
    assert model.run() == []


def test_another_configuration_is_another_content(model: Model) -> None:
    model.run()
    assert model.run(size=25) == ALL
    assert model.run(size=50) == [], "the files are the same again, and so is the content"
    assert model.run(config={"scenario": "dry"}) == ALL
    assert model.run(name="other model") == ALL


def test_a_step_stands_on_what_came_before(model: Model) -> None:
    """The second step is known by the first, also where it does not name it among its inputs."""
    seen: list[str] = []

    def run(size: int, *, both: bool) -> None:
        with model.cat.workflow("loose") as wf:
            wf.step("one", lambda: seen.append(f"one {size}") or size, config={"size": size})
            if both:
                wf.step("two", lambda: seen.append(f"two {size}"))

    run(1, both=True)
    run(2, both=False)  # as if it had been killed before the second
    run(2, both=True)
    assert seen == ["one 1", "two 1", "one 2", "two 2"]


def test_inserting_a_step_does_the_rest_again(model: Model) -> None:
    model.run()
    with model.cat.workflow("model") as wf:
        wf.step("clean", lambda: None)
        wf.step("mesh", model.mesh, inputs=[model.dem], config={"size": 50})
    assert [step["reused"] for step in wf.steps] == [False, False]


def test_a_failure_is_told_and_what_was_done_is_kept(model: Model) -> None:
    with pytest.raises(RuntimeError):
        model.run(fail=True)
    (run,) = model.cat.workflows()
    assert (run["status"], run["steps"]) == ("failed", 2)
    assert run["error_message"] == "RuntimeError: <workspace>/projects/aare/made: the solver did not converge"
    assert model.run() == ["plot"]


def test_a_step_that_fails_is_told(model: Model) -> None:
    with pytest.raises(ZeroDivisionError), model.cat.workflow("w") as wf:
        wf.step("divide", lambda: 1 / 0)
    (step,) = model.cat.workflow_steps("w")
    assert (step["status"], step["error_message"]) == ("failed", "ZeroDivisionError: division by zero")
    with pytest.raises(KeyboardInterrupt), model.cat.workflow("w") as wf:
        wf.step("stop", _interrupt)
    assert [run["status"] for run in model.cat.workflows()] == ["aborted", "failed"]


def _interrupt() -> None:
    raise KeyboardInterrupt


def test_the_ledger_tells_every_step(model: Model) -> None:
    model.run()
    model.run()
    last, first = model.cat.workflows("model")
    assert [(run["status"], run["steps"], run["reused"]) for run in (last, first)] == [
        ("completed", 3, 3),
        ("completed", 3, 0),
    ]
    done, taken = model.cat.workflow_steps(first["run_id"]), model.cat.workflow_steps("model")
    assert [step["step"] for step in done] == ALL
    assert [step["reused_step_id"] for step in taken] == [step["step_id"] for step in done]
    assert [[one["path"] for one in step["artifacts"]] for step in taken] == [
        ["projects/aare/made/mesh.txt"],
        ["projects/aare/made/heads"],
        ["projects/aare/made/plot.svg"],
    ]
    with pytest.raises(AmbiguousReference):
        model.cat.workflow_steps(first["run_id"][:4])
    with pytest.raises(NotFound, match="there is model"):
        model.cat.workflow_steps("other")


def test_a_workspace_that_moved_goes_on(model: Model, tmp_path: Path) -> None:
    model.run()
    model.cat.close()
    moved = model.cat.workspace.rename(tmp_path / "elsewhere")
    with hmp_catalog.open(moved / "projects" / "aare") as cat:
        assert Model(cat).run() == []


def test_a_rebuild_tells_the_same(model: Model, contents: Any) -> None:
    model.run()
    with pytest.raises(ZeroDivisionError), model.cat.workflow("w") as wf:
        wf.step("divide", lambda: 1 / 0)
    model.cat.workflow("open")
    len(model.cat.workflows())
    before = contents(model.cat.path)
    assert len(before["workflow_steps"]) == 7
    assert not model.cat.rebuild()
    assert contents(model.cat.path) == before
    assert model.run() == []


@pytest.mark.parametrize(
    ("result", "error"),
    [(object(), InvalidInput), ({"$path": 1}, InvalidInput), (Path("/etc/hostname"), PathEscape)],
    ids=["an object", "a key of ours", "a file outside"],
)
def test_a_result_that_cannot_be_kept_fails_the_step(
    cat: hmp_catalog.SimulationCatalog, result: object, error: type[Exception]
) -> None:
    with pytest.raises(error), cat.workflow("w") as wf:
        wf.step("one", lambda: result)
    assert [step["status"] for step in cat.workflow_steps("w")] == ["failed"]


def test_what_is_not_there_is_told(model: Model) -> None:
    with pytest.raises(PathNotFound), model.cat.workflow("w") as wf:
        wf.step("one", lambda: None, inputs=[model.home / "nothing"])
    with pytest.raises(PathNotFound), model.cat.workflow("w") as wf:
        wf.step("one", lambda: None, artifacts=[model.home / "nothing"])
    assert [run["steps"] for run in model.cat.workflows()] == [1, 0]


def test_a_run_that_ended_takes_no_step(cat: hmp_catalog.SimulationCatalog) -> None:
    with cat.workflow("w") as wf:
        pass
    with pytest.raises(SealedError):
        wf.step("one", lambda: None)


# ── killed ───────────────────────────────────────────────────────────────────────────────────────────

_KILLED = """
import os, signal, sys
from pathlib import Path
import duckdb  # before forking
import hmp_catalog

project, rounds = Path(sys.argv[1]), int(sys.argv[2])

def child(fatal):
    done, seen = [], 0
    def moment():
        nonlocal seen
        if seen == fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        seen += 1
    with hmp_catalog.open(project) as cat:
        moment()
        with cat.workflow("model") as wf:
            for n in range(3):
                def work(n=n):
                    os.write(1, f"{fatal} did {n}\\n".encode())
                    moment()
                    file = project / f"{n}.txt"
                    file.write_text(f"result {n}")
                    moment()
                    return file
                assert wf.step(f"step {n}", work).read_text() == f"result {n}"
                moment()
        moment()

for fatal in range(rounds):
    pid = os.fork()
    if not pid:
        child(fatal)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    os.write(1, f"{fatal} ended {status}\\n".encode())
"""


def test_killed_at_each_moment_it_goes_on_where_it_stopped(cat: hmp_catalog.SimulationCatalog, python: Any) -> None:
    """Each process dies one moment later than the last; no step that was acknowledged is done again."""
    lines = [line.split() for line in python(_KILLED, cat.path, 8).splitlines()]
    done = [[int(n) for r, what, n in lines if (int(r), what) == (k, "did")] for k in range(8)]
    # killed before the run, before and after the first step wrote its file, and after each step
    assert done == [[], [0], [0], [0], [1], [2], [], []]
    assert [n for _, what, n in lines if what == "ended"] == ["9"] * 6 + ["0"] * 2
    runs = cat.workflows()[::-1]
    assert [run["status"] for run in runs] == ["interrupted"] * 5 + ["completed"] * 2
    steps = [[step["status"] for step in cat.workflow_steps(run["run_id"])] for run in runs]
    assert steps[:3] == [["interrupted"], ["interrupted"], ["completed"]]
    assert [len(each) for each in steps[3:]] == [2, 3, 3, 3]
