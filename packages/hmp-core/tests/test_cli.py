"""The command: verbs found and loaded late, errors as messages and exit codes, every database looked after."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from hmp_core.auth import LocalAuthBackend
from hmp_core.backends import DuckDBBackend
from hmp_core.cli import doctor
from hmp_core.events import EventStore
from hmp_core.layout import cache_path, catalog_path, init_project, init_project_folder, init_workspace
from hmp_core.testing.gauges import FOLD

Hmp = Callable[..., subprocess.CompletedProcess[str]]

#: Verbs of a package that is installed for these tests: what they do is said by their names.
VERBS = '''
import click
from hmp_core.cli.show import emit, emit_record, notice
from hmp_core.errors import BusyError, NotFound

@click.group()
def group():
    """Verbs to try the command with."""

@group.command()
def refused():
    raise NotFound("no run called 'x'; did you mean 'y'?", reference="x", candidates=["y"])

@group.command()
def interrupted():
    raise KeyboardInterrupt

@group.command()
def broken():
    raise ZeroDivisionError("a defect")

@group.command()
def missing():
    raise OSError(5, "Input/output error", "/dev/tape")

@group.command()
def closed():
    raise PermissionError(13, "Permission denied", "/closed/secret")

@group.command()
def code():
    raise click.exceptions.Exit(7)

@group.command()
def many():
    for n in range(200_000):
        print("line", n)

@group.command()
@click.option("--json", "as_json", is_flag=True)
def rows(as_json):
    found = [{"name": "é", "nse": 0.8333333333, "none": None, "nan": float("nan"), "list": [1, float("inf")]}]
    emit(found, as_json=as_json)
    emit([], ["a"], as_json=as_json)
    emit_record(found[0], as_json=as_json)
    notice("one was left out")
'''


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of installed packages: verbs, one that cannot be imported, and the gauges as the catalog's fold."""
    site = tmp_path_factory.mktemp("site")
    (site / "trial.py").write_text(VERBS)
    (site / "hopeless.py").write_text("raise ImportError('never import me before I am used')")
    for name, entries in {
        "hmp_core": ["[hmp.verbs]", "db = hmp_core.cli.db:group"],
        "trial": [
            "[hmp.verbs]",
            "trial = trial:group",
            "hopeless = hopeless:group",
            "[hmp.folds]",
            "catalog = hmp_core.testing.gauges:FOLD",
            "cache = hmp_core.testing.gauges:FOLD",
        ],
    }.items():
        info = site / f"{name}-9.9.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: 9.9\n")
        (info / "entry_points.txt").write_text("\n".join(entries))
    return site


@pytest.fixture
def environment(site: Path) -> dict[str, str]:
    inherited = [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(site), *inherited]), "COLUMNS": "100"}


@pytest.fixture
def hmp(environment: dict[str, str], tmp_path: Path) -> Hmp:
    def run(*words: object, **more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "hmp_core.cli.main", *map(str, words)]
        return subprocess.run(
            command, env=environment | more, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
        )

    return run


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A workspace with a cache and two projects, whose databases are those of the gauges."""
    root = init_workspace(tmp_path / "aare").path
    for path in (cache_path(root), *(catalog_path(init_project(root, name).path) for name in ("one", "two"))):
        store = _store(path)
        store.prepare_schema()
        store.close()
    return root


def _store(path: Path) -> EventStore:
    return EventStore(path, FOLD, auth=LocalAuthBackend(), resource="x")


def _rows(done: subprocess.CompletedProcess[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


# ── the group of all verbs ───────────────────────────────────────────────────────────────────────────


def test_help_lists_every_verb_and_imports_none(hmp: Hmp) -> None:
    done = hmp("--help")
    assert (done.returncode, done.stderr) == (0, "")
    for verb in ("db", "index", "data", "catalog", "demo", "lineage", "trial", "hopeless"):
        assert verb in done.stdout
    assert "inputs, simulations" in done.stdout


def test_nothing_asked_is_help(hmp: Hmp) -> None:
    done = hmp()
    assert "Usage: hmp" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_version_names_the_installed_packages(hmp: Hmp) -> None:
    done = hmp("--version")
    assert done.returncode == 0
    assert "hmp-core 9.9" in done.stdout.splitlines()


def test_version_imports_nothing_heavy(environment: dict[str, str]) -> None:
    code = (
        "import sys; from hmp_core.cli.main import main; code = main(['--version']); "
        "found = {'click', 'rich', 'duckdb', 'pyarrow', 'numpy', 'hmp_core.events'} & set(sys.modules); "
        "sys.exit(str(found) if found else code)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_help_imports_no_engine(environment: dict[str, str]) -> None:
    code = (
        "import sys; from hmp_core.cli.main import main; code = main(['db', '--help']); "
        "found = {'duckdb', 'pyarrow', 'numpy', 'pandas', 'rich'} & set(sys.modules); "
        "sys.exit(str(found) if found else code)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "status" in done.stdout


@pytest.mark.parametrize("words", [("levitate",), ("db", "levitate"), ("--levitate",), ("db", "status", "--levitate")])
def test_what_nobody_knows_is_a_usage_error(hmp: Hmp, words: tuple[str, ...]) -> None:
    done = hmp(*words)
    assert done.returncode == 2
    assert "levitate" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("verb", "package"), [("data", "hmp-cache"), ("index", "hmp-index"), ("catalog", "hmp-catalog")]
)
def test_an_absent_scope_says_what_to_install(environment: dict[str, str], verb: str, package: str) -> None:
    code = (
        "import sys; from importlib.metadata import EntryPoints; import hmp_core.cli.verbs as verbs; "
        "verbs._points = lambda: EntryPoints(()); from hmp_core.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, verb, "ls", "--whatever", "it takes"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"install {package}" in done.stderr
    assert f"`hmp {verb}`" in done.stderr


# ── errors ───────────────────────────────────────────────────────────────────────────────────────────


def test_an_error_is_a_message_and_an_exit_code(hmp: Hmp) -> None:
    done = hmp("trial", "refused")
    assert (done.returncode, done.stdout) == (10, "")
    assert done.stderr == "error: no run called 'x'; did you mean 'y'?\n"


def test_an_interrupt_is_130(hmp: Hmp) -> None:
    done = hmp("trial", "interrupted")
    assert (done.returncode, done.stderr.strip()) == (130, "interrupted")


def test_an_exit_code_of_a_verb_is_kept(hmp: Hmp) -> None:
    assert hmp("trial", "code").returncode == 7


def test_a_defect_is_not_hidden(hmp: Hmp) -> None:
    done = hmp("trial", "broken")
    assert done.returncode == 1
    assert "ZeroDivisionError: a defect" in done.stderr


@pytest.mark.parametrize(
    ("verb", "code", "said"),
    [("missing", 5, "/dev/tape: Input/output error"), ("closed", 13, "/closed/secret is closed to this user")],
)
def test_what_the_system_refuses_is_one_line(hmp: Hmp, verb: str, code: int, said: str) -> None:
    done = hmp("trial", verb)
    assert done.returncode == code
    assert done.stderr.startswith(f"error: {said}")
    assert done.stderr.count("\n") == 1


def test_a_reader_that_leaves_is_no_error(environment: dict[str, str]) -> None:
    command = f"{sys.executable} -m hmp_core.cli.main trial many | head -n 2; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["line", "0", "line", "1", "0"]
    assert done.stderr == ""


# ── how verbs speak ──────────────────────────────────────────────────────────────────────────────────


def test_rows_for_people(hmp: Hmp) -> None:
    done = hmp("trial", "rows")
    head, row, nothing, *record = done.stdout.splitlines()
    assert head.split() == ["name", "nse", "none", "nan", "list"]
    assert row.split()[:2] == ["é", "0.833333"]
    assert nothing == "nothing found"
    assert record[0].split() == ["name", "é"]
    assert done.stderr == "note: one was left out\n"


def test_rows_for_programs(hmp: Hmp) -> None:
    row, record = _rows(hmp("trial", "rows", "--json"))
    assert row == record == {"name": "é", "nse": 0.8333333333, "none": None, "nan": None, "list": [1, None]}


# ── hmp db ───────────────────────────────────────────────────────────────────────────────────────────


def test_status_shows_every_database(hmp: Hmp, workspace: Path) -> None:
    done = hmp("db", "status", workspace, "--json")
    assert done.returncode == 0, done.stderr
    found = {Path(str(row["path"])).name: row["state"] for row in _rows(done)}
    assert found == {"index.duckdb": "absent", "cache.duckdb": "current", "catalog.duckdb": "current"}
    assert len(_rows(done)) == 4
    assert {(row["version"], row["known"]) for row in _rows(done) if row["state"] == "current"} == {(1, 1)}
    below = hmp("db", "status", (workspace / "projects" / "one" / "simulations").as_uri(), "--json")
    assert _rows(below) == _rows(done)


def test_status_changes_nothing(hmp: Hmp, workspace: Path) -> None:
    before = {path: path.read_bytes() for path in workspace.rglob("*.duckdb")}
    hmp("db", "status", workspace)
    assert {path: path.read_bytes() for path in before} == before


def _newer(path: Path) -> None:
    DuckDBBackend(path).execute("UPDATE schema_migrations SET version = 9 WHERE component = 'gauges'")


def _older(path: Path) -> None:
    backend = DuckDBBackend(path)
    for table in FOLD.tables:
        backend.execute(f"DROP TABLE {table.name}")
    backend.execute("DELETE FROM schema_migrations WHERE component = 'gauges'")


def _foreign(path: Path) -> None:
    path.unlink()
    DuckDBBackend(path, create=True).execute("CREATE TABLE recipes (a INTEGER)")


def _edited(path: Path) -> None:
    DuckDBBackend(path).execute("UPDATE schema_migrations SET checksum = 'x' WHERE component = 'gauges'")


def _damaged(path: Path) -> None:
    path.write_bytes(b"not a database")


@pytest.mark.parametrize(
    ("spoil", "state", "code"),
    [
        (_newer, "SchemaTooNewError", 11),
        (_older, "pending", 1),
        (_foreign, "recipes", 1),
        (_damaged, "CorruptError", 22),
        (_edited, "SchemaIntegrityError", 19),
    ],
)
def test_status_says_what_is_wrong(
    hmp: Hmp, workspace: Path, spoil: Callable[[Path], None], state: str, code: int
) -> None:
    path = catalog_path(workspace / "projects" / "one")
    spoil(path)
    done = hmp("db", "status", workspace, "--json")
    assert done.returncode == code
    states = {str(row["path"]): str(row["state"]) for row in _rows(done)}
    assert state in states[str(path)]
    assert states[str(cache_path(workspace))] == "current", "one in trouble keeps no other one out"


def test_fold_turns_what_is_pending_into_rows(hmp: Hmp, workspace: Path) -> None:
    path = catalog_path(workspace / "projects" / "one")
    store = _store(path)
    store.append("gauge.set", {"gauge": "6f2f1b0e-5f0a-5c39-9d5e-6a7d3c1e8b42", "river": "Aare"})
    done = hmp("db", "fold", workspace, "--json")
    assert done.returncode == 0, done.stderr
    assert {row["state"] for row in _rows(done)} == {"complete"}
    assert DuckDBBackend(path).fetch_all("SELECT river FROM gauges") == [("Aare",)]
    store.close()


def test_fold_goes_on_past_trouble_and_says_so(hmp: Hmp, workspace: Path) -> None:
    _damaged(cache_path(workspace))
    one, two = (catalog_path(workspace / "projects" / name) for name in ("one", "two"))
    for path in (one, two):
        store = _store(path)
        store.append("level.set", {"gauge": "6f2f1b0e-5f0a-5c39-9d5e-6a7d3c1e8b42", "day": 1, "level": 1.0})
        store.log.close()
    done = hmp("db", "fold", workspace, "--json")
    assert done.returncode == 22
    assert "CorruptError" in done.stderr
    states = {str(row["path"]): row["state"] for row in _rows(done)}
    assert states[str(cache_path(workspace))] == "CorruptError"
    assert states[str(one)] == states[str(two)] == "1 waiting"


def test_an_answer_that_is_not_whole_is_not_0(hmp: Hmp, workspace: Path) -> None:
    path = catalog_path(workspace / "projects" / "one")
    store = _store(path)
    event = store.append("gauge.painted", {})
    store.close()
    assert hmp("db", "fold", workspace).returncode == 1
    done = hmp("db", "waiting", workspace, "--json")
    assert done.returncode == 0
    assert _rows(done) == [
        {"path": str(path), "kind": "gauge.painted", "reason": "gauge.painted v1 is not known", "id": str(event.id)}
    ]


def test_upgrade_brings_up_to_date_on_request(hmp: Hmp, workspace: Path) -> None:
    path = catalog_path(workspace / "projects" / "one")
    _older(path)
    assert hmp("db", "fold", workspace).returncode == 11
    done = hmp("db", "upgrade", workspace, "--json", HMP_AUTO_MIGRATE="0")
    assert done.returncode == 0, done.stderr
    assert {(row["component"], row["version"]) for row in _rows(done)} == {("cache", 1), ("catalog", 1)}
    assert hmp("db", "status", workspace).returncode == 0


def test_who_may_not_is_told(hmp: Hmp, workspace: Path) -> None:
    done = hmp("db", "fold", workspace, HMP_AUTH_BACKEND="oracle")
    assert done.returncode == 2
    assert "oracle" in done.stderr


@pytest.mark.parametrize("verb", ["status", "fold", "waiting", "upgrade"])
@pytest.mark.parametrize(("path", "code"), [("nowhere", 10), ("s3://bucket/aare", 2), ("", 2)])
def test_bad_paths(hmp: Hmp, tmp_path: Path, verb: str, path: str, code: int) -> None:
    before = sorted(tmp_path.rglob("*"))
    done = hmp("db", verb, path)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith("error: ")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_with_nothing_has_nothing(hmp: Hmp, tmp_path: Path) -> None:
    done = hmp("db", "status", tmp_path)
    assert done.returncode == 0
    assert "absent" in done.stdout
    assert hmp("db", "fold", tmp_path).stdout == "nothing found\n"
    assert list(tmp_path.rglob("*")) == []


def test_a_lone_project_is_found(hmp: Hmp, tmp_path: Path) -> None:
    root = init_project_folder(tmp_path / "lone").path
    _store(catalog_path(root)).prepare_schema()
    assert [row["state"] for row in _rows(hmp("db", "status", root, "--json"))] == ["absent", "current"]


@pytest.mark.parametrize("wait", ["nan", "-1", "inf"])
def test_no_time_to_wait_is_a_usage_error(hmp: Hmp, wait: str) -> None:
    done = hmp("db", "verify", ".", f"--wait={wait}")
    assert (done.returncode, done.stdout) == (2, "")
    assert "not a number of seconds" in done.stderr
    with pytest.raises(click.BadParameter, match="not a number of seconds"):
        doctor.command.main([f"--wait={wait}"], standalone_mode=False)


def test_verify_tells_of_a_database_that_was_lost(hmp: Hmp, workspace: Path) -> None:
    path = catalog_path(workspace / "projects" / "one")
    store = _store(path)
    store.append("observer.set", {"code": "x", "called": "Ada"})
    store.close()
    path.unlink()
    done = hmp("db", "verify", workspace, "--json")
    assert done.returncode == 22, done.stderr
    assert [row["path"] for row in _rows(done) if row["state"] == "database-missing"] == [str(path)]
