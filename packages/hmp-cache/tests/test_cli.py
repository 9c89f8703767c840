"""``hmp data`` as it is typed: in processes of its own, and through the command's own main."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

import hmp_cache
from hmp_cache.cli import group
from hmp_core.errors import HmpError
from hmp_core.layout import init_workspace

Write = Callable[..., Path]


@pytest.fixture
def run(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Type ``hmp data ...`` inside a workspace."""
    init_workspace(workspace)
    monkeypatch.chdir(workspace)

    def _run(*words: object) -> Result:
        return CliRunner().invoke(group, [str(w) for w in words])

    return _run


def _json(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_help_is_there_without_an_engine() -> None:
    script = "import sys; from hmp_cache.cli import group\ntry:\n group(['--help'])\nexcept SystemExit: pass\n"
    script += "assert not {'duckdb', 'pyarrow', 'httpx', 'rich', 'pandas', 'numpy'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert {"add", "check", "failures", "fetch", "find", "ls", "rebuild", "show"} <= set(done.stdout.split())


def test_every_verb_says_what_it_does() -> None:
    for name, command in group.commands.items():
        assert command.help, name
        assert isinstance(command, click.Command)


def test_add_shows_what_it_has_kept(run: Callable[..., Result], write: Write, workspace: Path) -> None:
    (said,) = _json(run("add", write(), "--variable", "discharge", "--station", "outlet", "--unit", "m3 s-1", "--json"))
    assert said["relative_path"] == "data/discharge/custom/q.csv"
    assert (workspace / said["relative_path"]).is_file()


def test_everything_that_can_be_said(run: Callable[..., Result], write: Write) -> None:
    (said,) = _json(
        run(
            "add", write(), "--variable", "discharge", "--source", "hubeau", "--bbox", 0, 0, 1, 1, "--crs", "EPSG:2154",
            "--period", "2001-01-01/2001-12-31", "--frequency", "1D", "--license", "CC0", "--name", "Q", "--json",
        )
    )  # fmt: skip
    assert said["bbox"] == [0, 0, 1, 1]
    assert said["period"] == ["2001-01-01T00:00:00", "2001-12-31T00:00:00"]
    assert (said["name"], said["license"], said["source"]) == ("Q", "CC0", "hubeau")


def test_fetch(run: Callable[..., Result], server: Any, reply: Any) -> None:
    uri = server.on("/q.csv", reply(headers={"ETag": '"1"'}))
    first = _json(run("fetch", uri, "--variable", "discharge", "--json"))
    again = _json(run("fetch", uri, "--variable", "discharge", "--refresh", "--json"))
    assert first == again
    assert first[0]["uri"] == uri
    assert len(server.asked) == 2


def test_ls_and_its_summary(run: Callable[..., Result], write: Write) -> None:
    run("add", write(), "--variable", "discharge", "--station", "a")
    run("add", write("p.csv", "time,rain\n2001-01-01,1\n"), "--variable", "precipitation")
    assert "data/discharge/custom/q.csv" in run("ls").output
    assert [e["variable"] for e in _json(run("ls", "--json"))] == ["precipitation", "discharge"]
    assert [e["variable"] for e in _json(run("ls", "--variable", "discharge", "--json"))] == ["discharge"]
    assert {e["variable"]: e["n_stations"] for e in _json(run("ls", "--summary", "--json"))} == {
        "discharge": 1,
        "precipitation": 0,
    }


def test_find_by_conditions(run: Callable[..., Result], write: Write) -> None:
    run("add", write(), "--variable", "discharge", "--station", "a", "--bbox", 0, 0, 9, 9)
    run("add", write("p.csv", "time,rain\n2005-01-01,1\n"), "--variable", "precipitation")
    for conditions, found in (
        (["variable=discharge"], ["q"]),
        (["size_gt=40"], ["q"]),
        (["size_lt=40"], ["p"]),
        (["period=2001-01-01/2001-01-02"], ["q"]),
        (["bbox=1,1,2,2", "station=a"], ["q"]),
        (["date_start_gte=2004-01-01"], ["p"]),
        (["is_custom=true"], ["p", "q"]),
        (["name_like=%"], ["p", "q"]),
        (["variable=nothing"], []),
    ):
        assert [e["name"] for e in _json(run("find", *conditions, "--json"))] == found, conditions


@pytest.mark.parametrize("condition", ["discharge", "=x", "size_gt=many", "is_custom=perhaps", "varible=x", "bbox=1,2"])
def test_conditions_that_are_none(run: Callable[..., Result], condition: str) -> None:
    result = run("find", condition)
    assert isinstance(result.exception, HmpError)
    assert result.exception.exit_code == 2


def test_show_tells_the_whole_story(run: Callable[..., Result], write: Write) -> None:
    run("add", write(), "--variable", "discharge", "--station", "a")
    run("add", write(content="time,discharge\n2001-01-01,7\n"), "--variable", "discharge", "--station", "a")
    (said,) = _json(run("show", "q", "--json"))
    assert [v["state"] for v in said["versions"]] == ["current", "superseded"]
    assert len(said["provenance"]) == len(said["validation"]) == 2
    text = run("show", "q").output
    assert all(title in text for title in ("versions", "provenance", "validation", "discharge/1"))


def test_show_of_nothing(run: Callable[..., Result]) -> None:
    result = run("show", "nobody")
    assert isinstance(result.exception, KeyError)


def test_check_answers_with_its_exit_code(run: Callable[..., Result], write: Write) -> None:
    run("add", write(), "--variable", "discharge", "--station", "a")
    assert run("check").exit_code == 0
    Path("data/discharge/custom/q.csv").unlink()
    result = run("check", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["state"] == "missing"


def test_failures_are_listed(run: Callable[..., Result], server: Any) -> None:
    run("fetch", server.address + "/none.csv", "--variable", "discharge")
    (said,) = _json(run("failures", "--json"))
    assert (said["error_type"], said["source_ref"]) == ("http", server.address + "/none.csv")


def test_rebuild_counts_what_it_found(run: Callable[..., Result], write: Write) -> None:
    run("add", write(), "--variable", "discharge")
    assert _json(run("rebuild", "--json")) == [{"inputs": 1, "lacking": "complete"}]


@pytest.mark.parametrize("harm", [b"", b"garbage", None])
def test_rebuild_mends_a_database_that_cannot_be_opened(
    run: Callable[..., Result], write: Write, harm: bytes | None
) -> None:
    run("add", write(), "--variable", "discharge")
    database = Path("data/cache.duckdb")
    if harm is None:
        database.unlink()
    else:
        database.write_bytes(harm)
        assert run("ls").exception is not None
    assert _json(run("rebuild", "--json")) == [{"inputs": 1, "lacking": "complete"}]
    assert len(_json(run("ls", "--json"))) == 1


def test_rebuild_of_no_workspace(run: Callable[..., Result], tmp_path: Path) -> None:
    result = run("rebuild", "-w", tmp_path / "nowhere")
    assert isinstance(result.exception, FileNotFoundError)
    assert not (tmp_path / "nowhere").exists()


def test_rebuild_names_what_it_could_not_read(run: Callable[..., Result], write: Write) -> None:
    run("add", write(), "--variable", "discharge")
    Path("data/discharge/custom/q.csv.hmp.json").write_text("{")
    result = run("rebuild")
    assert result.exit_code == 22
    assert "q.csv.hmp.json" in result.output


# ── which workspace ──────────────────────────────────────────────────────────────────────────────────


def test_the_nearest_above(run: Callable[..., Result], write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    run("add", write(), "--variable", "discharge")
    monkeypatch.chdir("data/discharge")
    assert len(_json(run("ls", "--json"))) == 1


def test_the_one_that_is_named(
    run: Callable[..., Result], write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("add", write(), "--variable", "discharge")
    monkeypatch.chdir(tmp_path)
    assert len(_json(run("ls", "-w", "fulda", "--json"))) == 1
    monkeypatch.setenv("HMP_WORKSPACE", str(tmp_path / "fulda"))
    assert len(_json(run("ls", "--json"))) == 1


def test_none(run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("ls")
    assert isinstance(result.exception, FileNotFoundError)
    assert "set HMP_WORKSPACE" in str(result.exception)


def test_what_an_answer_lacks_is_said_beside_it(
    run: Callable[..., Result], write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HMP_FOLD", "never")
    run("add", write(), "--variable", "discharge")
    for words in (("ls",), ("ls", "--summary"), ("find",), ("check",), ("failures",)):
        result = run(*words)
        assert "1 unfolded (HMP_FOLD=never)" in result.stderr
        assert result.exit_code == 1


def test_through_the_command_itself(workspace: Path, write: Write) -> None:
    """Errors become a message and an exit code."""
    hmp_cache.open(workspace, create=True).close()
    script = "import sys; from hmp_core.cli.main import main; sys.exit(main())"
    words = ["data", "add", str(write(content="<html>")), "--variable", "discharge", "-w", str(workspace)]
    done = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, check=False)
    if "install hmp-cache" in done.stderr:
        pytest.skip("the packages are not installed here, so that the command finds no verbs")
    assert done.returncode == 16, done.stderr
    assert done.stderr.startswith("error: q.csv is not accepted as discharge")
