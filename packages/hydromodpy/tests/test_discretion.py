"""What does not leave the machine: absolute paths, local addresses, its name; and what is left as it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydromodpy.exports.discretion import Discretion

KEPT = [
    "",
    "m3 s-1",
    "m3/s/km2",
    "and/or",
    "data/discharge/custom/q.csv",
    "./data/q.csv",
    "../data/q.csv",
    "<workspace>/data/q.csv",
    "https://hubeau.eaufrance.fr/api/v2/hydrometrie?code=1/2",
    "see https://example.org/a/b/c (and http://example.org/x/y).",
    "s3://bucket/home/anna/q.csv",
    "1/2",
    "a / b",
    "2001-01-01/2001-12-31",
    "10.5281/zenodo.1234",
    "K\\q",
]
TOLD = {
    "/home/anna/models/q.csv": "<path>/q.csv",
    "/home/anna": "<path>",
    "/home/anna/": "<path>",
    "/home/anna/my models/q 1.csv": "<path>/q 1.csv",
    "cannot read /home/anna/q.csv: denied": "cannot read <path>/q.csv: denied",
    "[Errno 2] No such file: '/home/anna/my models/q.csv'": "[Errno 2] No such file: '<path>/q.csv'",
    "File /home/anna/x.py:12, in run": "File <path>/x.py:12, in run",
    "PATH=/usr/local/bin:/home/anna/bin": "PATH=<path>/bin:<path>/bin",
    "cc -I/home/anna/include -L/home/anna/lib": "cc -I<path>/include -L<path>/lib",
    "file:///home/anna/q%20a.csv": "<path>/q a.csv",
    "file://node7/home/anna/q.csv": "<path>/q.csv",
    "sqlite:////home/anna/study.db": "sqlite:///<path>/study.db",
    "C:\\Users\\anna\\q.csv": "<path>/q.csv",
    "\\\\server\\share\\anna\\q.csv": "<path>/q.csv",
    "read C:\\Users\\anna\\q.csv first": "read <path>/q.csv first",
    "--grid=/home/anna/dem.tif": "--grid=<path>/dem.tif",
    "(/home/anna/dem.tif)": "(<path>/dem.tif)",
    "//home/anna/dem.tif": "<path>/dem.tif",
    "on //home/anna//dem.tif": "on <path>/dem.tif",
    "see C:/Users/anna/q.csv, C://Users/anna/q.csv": "see C:<path>/q.csv, C:<path>/q.csv",
    "postgresql://me:s3cret@db.org/x (s3://b/k?X-Amz-Signature=s3cret).": "postgresql://db.org/x (s3://b/k?X-Amz-Signature=...).",
}


@pytest.mark.parametrize("said", KEPT)
def test_what_names_no_place_of_a_machine_is_left_as_it_is(said: str) -> None:
    assert Discretion("node7").text(said) == said


@pytest.mark.parametrize("said", TOLD)
def test_of_an_absolute_path_the_last_part_is_told(said: str) -> None:
    assert Discretion().text(said) == TOLD[said]


_WORDS = st.text("abcdefghijklmnopqrstuvwxyzäß0123456789_.+@-", min_size=5, max_size=12)


@given(
    st.lists(_WORDS, min_size=2, max_size=5, unique=True), st.sampled_from(["{}", "x: {}", "'{}'", "a={} b", '["{}"]'])
)
def test_no_folder_of_an_absolute_path_is_told(folders: list[str], around: str) -> None:
    told = Discretion().text(around.format("/" + "/".join([*folders, "file.csv"])))
    assert "file.csv" in told
    assert f"/{folders[0]}" not in told
    assert f"{folders[-1]}/" not in told


def test_values_within_values_are_told_with_discretion() -> None:
    said = {"grids": ["/home/anna/dem.tif", 1, None, True], "/home/anna/key": {"node": "node7"}}
    assert Discretion("node7").value(said) == {
        "grids": ["<path>/dem.tif", 1, None, True],
        "<path>/key": {"node": "<host>"},
    }
    assert Discretion().value("node7") == "node7"


def test_the_machine_has_no_name_in_an_address() -> None:
    assert Discretion("node7").text("at http://node7:80/x, http://node77/x") == "at http://<host>:80/x, http://node77/x"


def test_what_goes_by_the_name_of_a_password_or_key_is_not_told() -> None:
    said = {"api_key": "s3cret", "db": {"password": "s3cret"}, "token": 7, "key": "q"}
    assert Discretion().value(said) == {"api_key": "...", "db": {"password": "..."}, "token": 7, "key": "q"}


def test_names_that_are_paths_stay_apart() -> None:
    said = {"/home/anna/dem.tif": 1, "/home/ben/dem.tif": 2}
    assert Discretion().value(said) == {"<path>/dem.tif": 1, "<path>/dem.tif (2)": 2}


def test_the_name_of_the_machine_is_no_part_of_an_error() -> None:
    said = "node7: node7.example.org refused, node77 too"
    assert Discretion("node7").error(said) == "<host>: <host>.example.org refused, node77 too"
    assert Discretion().error(said) == said


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        (None, None),
        ("https://example.org/a/b.csv?x=/home/anna/y", "https://example.org/a/b.csv?x=/home/anna/y"),
        ("file:///home/anna/q%20a.csv", "q a.csv"),
        ("data/raw/q.csv", "data/raw/q.csv"),
        ("s3://bucket/a/b.csv", "s3://bucket/a/b.csv"),
        ("zip://q.csv::file:///home/anna/a.zip", "zip://q.csv::<path>/a.zip"),
    ],
)
def test_an_address_is_told_as_others_may_ask_for_it(uri: str | None, told: str | None) -> None:
    assert Discretion().uri(uri) == told
