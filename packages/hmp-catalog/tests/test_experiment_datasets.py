"""What a pipeline is trained on: every form of it, what is refused, and what is kept of where it came from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest

pytest.importorskip("polars")

import polars as pl

from hmp_catalog.errors import InputChanged
from hmp_catalog.experiments.training import running
from hmp_catalog.experiments.training.datasets import read
from hmp_core.errors import InvalidInput, PathNotFound
from hmp_core.identity import sha256_file

X = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.5]])
y = np.array([1.5, 2.5, 3.5])
COLUMNS = {"a": X[:, 0], "b": X[:, 1], "head": y}


def told(given: Any, target: Any = None, root: Path = Path()) -> tuple[Any, ...]:
    found = read(given, target, root)
    return tuple(each.tolist() for each in found.X), found.y.tolist()


# ── forms ────────────────────────────────────────────────────────────────────────────────────────────


def test_arrays_lists_and_mappings_are_the_same() -> None:
    expected = ((X.tolist(),), y.tolist())
    assert told((X, y)) == told({"X": X.tolist(), "y": y.tolist()}) == told((X, y.reshape(-1, 1))) == expected


def test_four_arrays_are_training_and_test() -> None:
    found = read((X, y, X[:1], y[:1]), None, Path())
    assert (found.X_test[0].tolist(), found.y_test.tolist()) == (X[:1].tolist(), y[:1].tolist())
    assert (found.n_samples, found.n_features, found.name) == (4, 2, "dataset")


def test_a_list_of_matrices_is_several_sources() -> None:
    found = read(([X, X[:, :1]], y), None, Path())
    assert (len(found.X), found.n_features) == (2, 3)


def test_a_test_part_may_lack_its_targets() -> None:
    assert read({"X": X, "y": y, "X_test": X}, None, Path()).y_test is None


def test_a_frame_of_polars_gives_its_columns() -> None:
    assert told(pl.DataFrame(COLUMNS), "head") == ((X.tolist(),), y.tolist())


def test_a_frame_of_pandas_gives_its_columns() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(COLUMNS)
    assert told(frame, "head") == ((X.tolist(),), y.tolist())
    assert told((frame[["a", "b"]], frame["head"])) == ((X.tolist(),), y.tolist())
    texts = pandas.DataFrame(COLUMNS | {"head": ["dry", "wet", "dry"]})
    assert told(texts, "head")[1] == ["dry", "wet", "dry"]


def test_several_targets_stand_side_by_side() -> None:
    assert told(pl.DataFrame(COLUMNS), ["b", "head"]) == ((X[:, :1].tolist(),), np.column_stack([X[:, 1], y]).tolist())


@pytest.mark.parametrize(
    "text",
    [
        "a,b,head\n1,2,1.5\n3,4,2.5\n5,6.5,3.5\n",
        "a;b;head\n1;2;1.5\n3;4;2.5\n5;6.5;3.5\n",
        "a;b;head\n1;2;1,5\n3;4;2,5\n5;6,5;3,5\n",
        "a\tb\thead\r\n1\t2\t1.5\r\n3\t4\t2.5\r\n5\t6.5\t3.5\r\n",
    ],
)
def test_the_delimiter_of_a_file_is_seen_from_it(text, tmp_path) -> None:
    (tmp_path / "wells.csv").write_text(text, newline="")
    assert told(tmp_path / "wells.csv", "head") == ((X.tolist(),), y.tolist())


def test_test_samples_have_their_columns_by_name(tmp_path) -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"rain": [1.0, 2.0], "snow": [3.0, 4.0]})
    turned = frame[["snow", "rain"]].assign(day="a")
    found = read({"X": frame, "y": [1.0, 2.0], "X_test": turned}, None, tmp_path)
    assert found.features == ("rain", "snow")
    assert found.X_test is not None
    assert found.X_test[0].tolist() == found.X[0].tolist()
    with pytest.raises(InvalidInput, match="X_test has no column snow"):
        read({"X": frame, "y": [1.0, 2.0], "X_test": frame[["rain"]]}, None, tmp_path)
    for name, each in (("Xcal", frame), ("Xval", turned), ("Ycal", frame[["rain"]])):
        each.to_csv(tmp_path / f"{name}.csv", index=False)
    found = read(tmp_path, None, tmp_path)
    assert found.X_test is not None
    assert found.X_test[0].tolist() == found.X[0].tolist()


def test_the_targets_of_a_folder_are_named_and_stand_anywhere(tmp_path) -> None:
    for name, columns in (("X", {"a": [1.0, 2.0]}), ("Xtest", {"a": [3.0]})):
        pl.DataFrame(columns).write_csv(tmp_path / f"{name}.csv")
    pl.DataFrame({"water": [1.0, 2.0], "fat": [3.0, 4.0]}).write_csv(tmp_path / "Y.csv")
    pl.DataFrame({"fat": [5.0], "water": [6.0]}).write_csv(tmp_path / "Ytest.csv")
    both, fat = read(tmp_path, None, tmp_path), read(tmp_path, "fat", tmp_path)
    assert both.y_test is not None
    assert fat.y_test is not None
    assert (both.y.tolist(), both.y_test.tolist()) == ([[1, 3], [2, 4]], [[6, 5]])
    assert (fat.y.tolist(), fat.y_test.tolist()) == ([3, 4], [5])
    pl.DataFrame({"FAT": [5.0], "WATER": [6.0]}).write_csv(tmp_path / "Ytest.csv")
    other = read(tmp_path, None, tmp_path)
    assert other.y_test is not None
    assert other.y_test.tolist() == [[5, 6]]
    with pytest.raises(InvalidInput, match="no column ash, expected of water, fat"):
        read(tmp_path, "ash", tmp_path)
    with pytest.raises(InvalidInput, match="of arrays the targets are y"):
        read((X, y), "fat", tmp_path)


def test_columns_that_have_numbers_for_names_have_none(tmp_path) -> None:
    pd = pytest.importorskip("pandas")
    found = read(pd.DataFrame([[1.0, 2.0, 5.0], [3.0, 4.0, 6.0]]), "2", tmp_path)
    assert found.features is None
    assert found.y.tolist() == [5.0, 6.0]


def test_a_parquet_file_is_read(tmp_path) -> None:
    pl.DataFrame(COLUMNS).write_parquet(tmp_path / "wells.parquet")
    found = read(str(tmp_path / "wells.parquet"), "head", tmp_path)
    assert (found.X[0].tolist(), found.y.tolist(), found.name) == (X.tolist(), y.tolist(), "wells")


FOLDERS = {
    "plain": {"X.csv": "1,2\n3,4\n5,6.5\n", "Y.csv": "1.5\n2.5\n3.5\n"},
    "headers": {"x.csv": "a;b\n1;2\n3;4\n5;6.5\n", "y.csv": "head\n1.5\n2.5\n3.5\n"},
    "comma": {"X.csv": "1,0;2,0\n3,0;4,0\n5,0;6,5\n", "Y.csv": "head\n1,5\n2,5\n3,5\n"},
    "wavelengths": {"X.csv": "400.5;410\n1;2\n3;4\n5;6.5\n", "Y.csv": "head\n1.5\n2.5\n3.5\n"},
    "calibration": {
        "Xcal.csv": "1,2\n3,4\n5,6.5\n",
        "Ycal.csv": "1.5\n2.5\n3.5\n",
        "Xval.csv": "7,8\n",
        "Yval.csv": "9\n",
    },
}


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_is_read(name, tmp_path) -> None:
    home = tmp_path / name
    home.mkdir()
    for file, text in FOLDERS[name].items():
        (home / file).write_text(text)
    found = read(home, None, tmp_path)
    assert (found.X[0].tolist(), found.y.tolist(), found.name) == (X.tolist(), y.tolist(), name)
    assert (found.X_test is not None) == (name == "calibration")
    assert (found.wavelengths is not None) == (name == "wavelengths")


# ── refused ──────────────────────────────────────────────────────────────────────────────────────────

HOLE = X.copy()
HOLE[1, 1] = np.nan


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((HOLE, y), r"X has 1 NaN or infinite values, the first at \[1, 1\]"),
        ((X, np.array([1.0, np.nan, 2.0])), "y has 1 NaN"),
        ((X, y[:2]), "X has 3 rows and y 2"),
        ((X, y, X, y[:2]), "X_test has 3 rows and y_test 2"),
        ((X, y, X[:, :1], y), r"X has \[2\] columns and X_test \[1\]"),
        ({"X": X, "y": y, "groups": [1, 2]}, "groups"),
        (([X, X[:2]], y), "3, 2 rows"),
        ((X[:0], y[:0]), "X is empty"),
        ((X[:, 0], y), "reshape"),
        ((X.astype(object), y), "X is of type object"),
        ((X, [1, None, 2]), "y is of type object"),
        ((X, [[1], [2, 3], [4]]), "y is neither"),
        ((X, y, X), "a tuple of 3"),
        ({"X": X}, "no y"),
        ({"X": X, "Y": y}, "the dataset has Y"),
        ({"X": X, "y": y, "y_test": y}, "no X_test"),
        (7, "a int"),
    ],
)
def test_what_cannot_be_trained_on_is_refused_by_name(given, said) -> None:
    with pytest.raises(InvalidInput, match=said):
        read(given, None, Path())


@pytest.mark.parametrize(
    ("columns", "target", "said"),
    [
        ({"a": ["x", "y", "z"], "head": y}, "head", "column 'a'"),
        ({"a": [1.0, None, 2.0], "head": y}, "head", "column 'a' .* row 1"),
        ({"a": [1, 2, 3], "head": y}, None, "target=..., one of a, head"),
        ({"a": [1, 2, 3], "head": y}, "level", "no column level"),
        ({"head": y}, "head", "another column"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_by_column(columns, target, said) -> None:
    with pytest.raises(InvalidInput, match=said):
        read(pl.DataFrame(columns), target, Path())


def test_a_file_that_is_not_there_or_of_another_kind_is_refused(tmp_path) -> None:
    with pytest.raises(PathNotFound, match="no such dataset"):
        read(tmp_path / "none.csv", "head", tmp_path)
    (tmp_path / "a.xlsx").write_bytes(b"PK")
    with pytest.raises(InvalidInput, match="expected a CSV or Parquet file"):
        read(tmp_path / "a.xlsx", "head", tmp_path)
    (tmp_path / "a.parquet").write_bytes(b"no")
    with pytest.raises(InvalidInput, match="cannot be read"):
        read(tmp_path / "a.parquet", "head", tmp_path)
    with pytest.raises(InvalidInput, match=r"neither Xcal\.csv"):
        read(tmp_path, None, tmp_path)


# ── identity and origin ──────────────────────────────────────────────────────────────────────────────


def test_the_hash_is_of_the_content() -> None:
    def hashed(*parts: Any) -> str:
        return read(parts, None, Path()).hash

    assert hashed(X, y) == hashed(np.asfortranarray(X), y.copy())
    assert (
        len({hashed(X, y), hashed(X, y + 1), hashed(X.astype("f4"), y), hashed(X, y, X, y), hashed(X[:, ::-1], y)}) == 5
    )


@dataclass
class Cached:
    """What the catalog knows of an entry of the cache."""

    relative_path: str
    sha256: str
    variable: str = "heads"
    source: str = "custom"
    id: Any = None
    artifact_id: Any = None


@pytest.fixture
def cached(workspace: Path) -> Cached:
    file = workspace / "inputs" / "wells.csv"
    file.parent.mkdir(exist_ok=True)
    pl.DataFrame(COLUMNS).write_csv(file)
    return Cached("inputs/wells.csv", sha256_file(file), id=str(uuid4()), artifact_id=str(uuid4()))


def test_an_entry_of_the_cache_is_read_and_recorded(cached, workspace) -> None:
    found = read(cached, "head", workspace)
    assert (found.X[0].tolist(), found.name) == (X.tolist(), "heads")
    (facts,) = running._about(found, workspace)["inputs"]
    assert (facts["path"], facts["sha256"], facts["entry_id"]) == ("inputs/wells.csv", cached.sha256, cached.id)


def test_an_entry_whose_file_changed_is_refused(cached, workspace) -> None:
    (workspace / "inputs" / "wells.csv").write_text("a,b,head\n1,2,3\n")
    with pytest.raises(InputChanged):
        running._about(read(cached, "head", workspace), workspace)


def test_a_file_of_the_workspace_is_an_input_and_one_from_elsewhere_is_known_by_its_hash(
    cached, workspace, tmp_path
) -> None:
    inside, outside = workspace / "inputs" / "wells.csv", tmp_path / "wells.csv"
    outside.write_bytes(inside.read_bytes())
    one, two = (running._about(read(file, "head", workspace), workspace) for file in (inside, outside))
    assert [facts["path"] for facts in one["inputs"]] == ["inputs/wells.csv"]
    assert two["inputs"] == []
    assert two["elsewhere"] == [{"name": "wells.csv", "sha256": cached.sha256}]
    assert one["hash"] == two["hash"]
