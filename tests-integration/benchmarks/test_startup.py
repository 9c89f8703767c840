"""How long the command takes to answer, cold: nothing heavy is imported before it is needed.

Goals on two cores: ``hmp --version`` <= 0.10 s, ``hmp data --help`` <= 0.25 s, ``hmp catalog find`` <= 0.4 s.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

HEAVY = ("duckdb", "pyarrow", "numpy", "pandas", "xarray", "zarr", "httpx", "rich", "matplotlib")


def measure(*words: str, cwd: Path, times: int = 12) -> list[float]:
    """Return how long each of several runs of ``hmp`` took, in seconds, shortest first."""
    command = [Path(sys.executable).with_name("hmp"), *words]
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        done = subprocess.run(command, cwd=cwd, capture_output=True, check=False)
        taken.append(time.perf_counter() - began)
        assert done.returncode == 0, done.stderr
    return sorted(taken)


@pytest.mark.parametrize(
    ("words", "goal"),
    [(("--version",), 0.10), (("--help",), 0.25), (("data", "--help"), 0.25), (("catalog", "--help"), 0.25)],
)
def test_answers_of_the_command_line(words: tuple[str, ...], goal: float, tmp_path: Path) -> None:
    taken = measure(*words, cwd=tmp_path)
    print(f"\nhmp {' '.join(words)}: best {taken[0]:.3f} s, median {taken[len(taken) // 2]:.3f} s (goal {goal:.2f} s)")


def test_find_in_a_catalog(tmp_path: Path) -> None:
    import hmp_catalog

    with hmp_catalog.open(tmp_path / "project", create=True) as catalog:
        for n in range(100):
            with catalog.record("gr4j", name=f"run-{n}", parameters={"x1": n}) as rec:
                rec.metric("nse", n / 100)
    taken = measure("catalog", "find", "nse_gt=0.5", cwd=tmp_path / "project")
    print(f"\nhmp catalog find: best {taken[0]:.3f} s, median {taken[len(taken) // 2]:.3f} s (goal 0.40 s)")


@pytest.mark.parametrize("words", [["--version"], ["data", "--help"], ["catalog", "--help"], ["index", "--help"]])
def test_nothing_heavy_is_imported(words: list[str]) -> None:
    code = (
        f"import sys; from hmp_core.cli.main import main; main({words!r}); "
        f"print(sorted(sys.modules.keys() & set({HEAVY!r})), file=sys.stderr)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stderr.strip().splitlines()[-1] == "[]"
