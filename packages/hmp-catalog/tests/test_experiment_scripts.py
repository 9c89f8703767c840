"""Chains as scripts: one file that predicts where hmp is not installed, and says what is wrong with a table."""

from __future__ import annotations

import ast
import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("joblib")
pytest.importorskip("polars")
pytest.importorskip("sklearn")

sys.path.append(str(Path(__file__).parent))
import trained
from trained import Trained

from hmp_catalog.experiments import script
from hmp_catalog.experiments.bundles import write
from hmp_catalog.experiments.replaying import replay

#: Runs scripts, each with its arguments, in one process that has no hmp.
WITHOUT_HMP = """
import runpy, sys

class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"hmp_core", "hmp_index", "hmp_cache", "hmp_catalog", "hydromodpy"}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Nothing())
for name in sys.argv[1:]:
    sys.argv = [name + ".n4a.py", name + ".csv", name + ".out"]
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as done:
        assert done.code == 0, done.code
assert not [name for name in sys.modules if name.startswith(("hmp_", "hydromodpy"))]
"""


@pytest.fixture(scope="module")
def chains() -> dict[str, Trained]:
    return {made.__name__: made() for made in (trained.regression, trained.several, trained.classification)}


def replayed(one: Trained) -> Any:
    return replay(one.chain, one.shelf.load, one.asked)


def export(one: Trained, place: Path) -> Path:
    return write(one.chain, one.shelf.read, place, "n4a.py")


def table(place: Path, rows: Any, header: str | None = None) -> Path:
    lines = [",".join(map(repr, row)) for row in np.asarray(rows).tolist()]
    place.write_text("\n".join([*([] if header is None else [header]), *lines, ""]), encoding="utf-8")
    return place


def isolated(*arguments: Any, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def made(chains, tmp_path_factory) -> dict[str, Any]:
    """Return what a script has when it is imported."""
    place = tmp_path_factory.mktemp("made")
    return runpy.run_path(str(export(chains["regression"], place / "model")))


# ── without hmp ──────────────────────────────────────────────────────────────────────────────────────


def test_scripts_predict_the_same_to_the_last_bit_where_there_is_no_hmp(chains, tmp_path) -> None:
    for name, one in chains.items():
        export(one, tmp_path / name)
        table(tmp_path / f"{name}.csv", one.asked, ",".join(f"x{n}" for n in range(12)))
    done = isolated("-c", WITHOUT_HMP, *chains, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    for name in ("regression", "several"):
        found = np.loadtxt(tmp_path / f"{name}.out", delimiter=",")
        assert found.shape == replayed(chains[name]).shape
        assert found.tobytes() == replayed(chains[name]).tobytes()
    written = (tmp_path / "classification.out").read_text(encoding="utf-8")
    assert written.replace('"', "").splitlines() == replayed(chains["classification"]).tolist()
    assert '"loam, sandy"\n' in written, "a label with a comma is quoted"


def test_a_script_runs_alone_in_an_empty_folder_and_exits_with_0(chains, tmp_path) -> None:
    one = chains["several"]
    place = export(one, tmp_path / "model")
    table(tmp_path / "in.csv", one.asked)
    done = isolated("-X", "importtime", place.name, "in.csv", "out.csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "| hmp" not in re.sub(r"\| +", "| ", done.stderr), "nothing of hmp was imported, though it may be installed"
    assert np.loadtxt(tmp_path / "out.csv", delimiter=",").tobytes() == replayed(one).tobytes()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["in.csv", "model.n4a.py", "out.csv"]


# ── in this process ──────────────────────────────────────────────────────────────────────────────────


def test_an_imported_script_predicts_and_leaves_the_samples_as_they_are(chains, made) -> None:
    one = chains["regression"]
    before = one.asked.copy()
    assert made["predict"](one.asked).tobytes() == replayed(one).tobytes()
    assert one.asked.tobytes() == before.tobytes()
    assert made["ABOUT"]["chain_id"] == one.chain["chain_id"]
    assert "scikit-learn" in made["ABOUT"]["versions"]


def test_a_file_is_predicted_for_and_the_answer_written(chains, made, tmp_path) -> None:
    one = chains["regression"]
    expected = replayed(one).tobytes()
    source = tmp_path / "in.txt"
    source.write_text("\n".join(";".join(map(repr, row)) for row in one.asked.tolist()))
    assert made["predict_from_file"](source, delimiter=";").tobytes() == expected
    assert made["predict_from_file"](str(source), str(tmp_path / "out.csv"), ";").tobytes() == expected
    assert np.loadtxt(tmp_path / "out.csv").tobytes() == expected


def test_without_a_second_file_the_predictions_are_printed(chains, made, tmp_path, capsys) -> None:
    one = chains["regression"]
    assert made["main"]([str(table(tmp_path / "in.csv", one.asked))]) == 0
    assert np.array(capsys.readouterr().out.split(), dtype=float).tobytes() == replayed(one).tobytes()


def test_a_header_of_numbers_is_left_out_where_that_is_said(chains, made, tmp_path, capsys) -> None:
    one = chains["regression"]
    place = table(tmp_path / "in.csv", one.asked, ",".join(str(1100 + 2 * n) for n in range(12)))
    for arguments, rows in (([str(place)], 10), ([str(place), "--header"], 9)):
        assert made["main"](arguments) == 0
        assert len(capsys.readouterr().out.split()) == rows


def test_the_same_chain_gives_the_same_script(chains, tmp_path) -> None:
    assert export(chains["several"], tmp_path / "a" / "model").read_bytes() == (
        export(chains["several"], tmp_path / "b" / "model").read_bytes()
    )


def test_a_changed_artefact_is_not_unpickled(chains, tmp_path) -> None:
    one = chains["several"]
    place = export(one, tmp_path / "model")
    text = place.read_text(encoding="utf-8")
    at = text.index('"""\n', text.index("\nARTIFACTS['")) + 40
    place.write_text(text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :], encoding="utf-8")
    changed = runpy.run_path(str(place))
    with pytest.raises(ValueError, match="has been changed: it is not unpickled"):
        changed["predict"](one.asked)
    assert changed["main"]([str(table(tmp_path / "in.csv", one.asked))]) == 1


def test_swapped_artefacts_are_not_unpickled(chains, tmp_path) -> None:
    one = chains["several"]
    found = runpy.run_path(str(export(one, tmp_path / "model")))
    kept = found["ARTIFACTS"]
    (first, a), (second, b) = list(kept.items())[:2]
    kept[first], kept[second] = (*a[:2], b[2]), (*b[:2], a[2])
    with pytest.raises(ValueError, match="has been changed"):
        found["predict"](one.asked)
    del kept[first], kept[second]
    with pytest.raises(ValueError, match="no artefact"):
        found["predict"](one.asked)


# ── tables ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "header", "expected"),
    [
        ("1,2\n3,4\n", None, [[1, 2], [3, 4]]),
        ("a,b\n1,2\n", None, [[1, 2]]),
        ("\ufeffa,b\n1,2\n", None, [[1, 2]]),
        ("sample,1100\n1,2\n", None, [[1, 2]]),
        ("1100,1102\n1,2\n", True, [[1, 2]]),
        ("1100,1102\n1,2\n", None, [[1100, 1102], [1, 2]]),
        ("\n1,2\n\n3,4", None, [[1, 2], [3, 4]]),
        ("1\r\n2\r\n", None, [[1], [2]]),
        ('"0.1", 1e-3 \n', None, [[0.1, 0.001]]),
        ("0.1000000000000000055511151231257827,5e-324\n", None, [[0.1, 5e-324]]),
    ],
)
def test_tables_are_read_with_or_without_a_header(made, tmp_path, text, header, expected) -> None:
    (tmp_path / "in.csv").write_text(text, encoding="utf-8", newline="")
    assert made["read_csv"](tmp_path / "in.csv", header=header).tolist() == expected


@pytest.mark.parametrize(
    "text",
    [
        "rain,temperature\n1,2\n",
        "temperature,day,rain\n2,2020-01-01,1\n",
        '\ufeff"temperature", rain \r\n2,1\r\n',
        "1,2\n",
    ],
)
def test_columns_are_taken_by_their_names_where_there_are_names(made, tmp_path, text) -> None:
    (tmp_path / "in.csv").write_text(text, encoding="utf-8", newline="")
    assert made["read_csv"](tmp_path / "in.csv", features=["rain", "temperature"]).tolist() == [[1, 2]]


def test_wavelengths_are_names_where_that_is_said(made, tmp_path) -> None:
    (tmp_path / "in.csv").write_text("1102,1100.0\n2,1\n", encoding="utf-8")
    assert made["read_csv"](tmp_path / "in.csv", header=True, features=["1100", "1102"]).tolist() == [[1, 2]]


def test_a_table_that_lacks_a_column_by_its_name_is_refused(made, tmp_path) -> None:
    (tmp_path / "in.csv").write_text("rain,snow\n1,2\n", encoding="utf-8")
    with pytest.raises(RuntimeError, match=r"in\.csv has no column temperature, which the chain was trained on"):
        made["read_csv"](tmp_path / "in.csv", features=["rain", "temperature"])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no row of numbers"),
        ("a,b\n", "no row of numbers"),
        ("1,2\n3\n", "line 2 has 1 columns, expected 2"),
        ("1,2\n3,x\n", "line 2, column 2: 'x' is not a number"),
        ("1,NA\n3,4\n", "line 1, column 2: 'NA' is not a number"),
        (",0,1\n0,3,4\n", "line 1, column 1: '' is not a number"),
        ("1_000,1\n2_000,1\n", "line 2, column 1: '2_000' is not a number"),
        ("a;b\n1;2\n", "line 2, column 1: '1;2' is not a number; is the delimiter right"),
        (b"\xff\xfe1,2", "not a CSV file in UTF-8"),
    ],
)
def test_a_table_that_cannot_be_read_says_where_and_exits_with_1(made, tmp_path, capsys, text, says) -> None:
    place = tmp_path / "in.csv"
    place.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=re.escape(says)):
        made["read_csv"](place)
    assert made["main"]([str(place), str(tmp_path / "out.csv")]) == 1
    told = capsys.readouterr()
    assert says in told.err
    assert "Traceback" not in told.err
    assert not told.out
    assert [file.name for file in tmp_path.iterdir()] == ["in.csv"]


def test_samples_that_do_not_fit_the_chain_exit_with_1(made, tmp_path, capsys) -> None:
    assert made["main"]([str(table(tmp_path / "in.csv", [[1.0, 2.0]]))]) == 1
    assert "features" in capsys.readouterr().err


def test_a_missing_file_exits_with_1(made, tmp_path, capsys) -> None:
    assert made["main"]([str(tmp_path / "none.csv")]) == 1
    assert "none.csv" in capsys.readouterr().err


def test_what_was_written_before_is_kept_where_nothing_can_be_written(chains, made, tmp_path, capsys) -> None:
    source = table(tmp_path / "in.csv", chains["regression"].asked)
    (tmp_path / "out.csv").mkdir()
    assert made["main"]([str(source), str(tmp_path / "out.csv")]) == 1
    assert made["main"]([str(source), str(tmp_path / "no" / "out.csv")]) == 1
    assert sorted(file.name for file in tmp_path.iterdir()) == ["in.csv", "out.csv"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [([], 1), (["a", "b", "c"], 1), (["a", "--delimiter"], 1), (["--header"], 1), (["--help"], 0), (["-h"], 0)],
)
def test_how_it_is_used(made, capsys, arguments, code) -> None:
    assert made["main"](arguments) == code
    told = capsys.readouterr()
    assert "input.csv [output.csv]" in (told.err if code else told.out)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int64", "bool", "U8"])
def test_what_is_written_reads_back_to_the_last_bit(made, tmp_path, dtype) -> None:
    values = np.array([0.1, 1 / 3, 5e-8, 12345.678, 3e4]).astype(dtype)
    made["write_csv"](tmp_path / "out.csv", values)
    read = (tmp_path / "out.csv").read_text().splitlines()
    back: Callable[[str], Any] = {"bool": lambda text: text == "True"}.get(dtype, np.dtype(dtype).type)
    assert np.array([back(text) for text in read], dtype=dtype).tobytes() == values.tobytes()


# ── the text ─────────────────────────────────────────────────────────────────────────────────────────


def test_the_rooms_of_a_script_share_no_name_and_need_no_hmp(chains, tmp_path) -> None:
    seen: set[str] = set()
    for room in script.ROOMS:
        text = script.body(room)
        tree = ast.parse(text)
        names = {node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
        for node in tree.body:
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
        assert not names & seen, f"{room} names something as a room before it does"
        seen |= names
        assert not re.search(r"^\s*(from|import) hmp", text, re.MULTILINE)
    assert {"replay", "predict", "predict_from_file", "ReplayError"} <= seen


def test_a_script_says_that_it_is_code_and_how_it_is_run(chains, tmp_path) -> None:
    head = export(chains["several"], tmp_path / "model").read_text(encoding="utf-8")[:1000]
    assert head.startswith("#!/usr/bin/env python3\n")
    assert "python model.n4a.py input.csv [output.csv]" in head
    assert "run this file only if you trust where it comes from" in head


def test_a_name_that_would_end_the_text_of_a_script_is_left_out(chains, tmp_path) -> None:
    place = export(chains["several"], tmp_path / '"""; import os; """')
    assert "predict" in runpy.run_path(str(place))
