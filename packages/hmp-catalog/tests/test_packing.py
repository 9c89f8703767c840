"""One file of a finished run: everything reads from it, it is whole before the loose files go, and it can be undone."""

from __future__ import annotations

import os
import signal
import zipfile
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import zarr

import hmp_catalog
from hmp_core.databases import Database
from hmp_core.doctor import Case
from hmp_core.doctor.verify import verify
from hmp_core.errors import CorruptError, InvalidInput, PathNotFound, PathTaken
from hmp_core.identity import sha256_file, sha256_tree
from hmp_core.layout import catalog_path

DAYS = pd.date_range("2001-01-01", periods=30, name="time")
HEADS = np.random.default_rng(1).normal(size=(30, 2, 7, 5)).astype("f4")


def record(cat: hmp_catalog.SimulationCatalog, report: Path, name: str = "base") -> hmp_catalog.Run:
    report.write_text("all is well")
    with cat.record("modflow6", name=name) as rec:
        rec.metric("nse", 0.5)
        rec.timeseries("discharge", pd.Series(np.arange(30.0), index=DAYS), unit="m3 s-1")
        rec.table("budget", {"component": ["wells"], "volume": [1.5]})
        rec.field("head", HEADS, time=DAYS, coords={"x": np.arange(5.0), "y": np.arange(7.0)})
        rec.artifact(report)
    return cat[rec.sim_id]


@pytest.fixture
def run(cat, tmp_path):
    return record(cat, tmp_path / "report.txt")


def reads(run: hmp_catalog.Run) -> None:
    """Hold everything that a run left behind against what was recorded."""
    assert run.table("budget").to_pylist() == [{"component": "wells", "volume": 1.5}]
    assert run.timeseries("discharge", period=("2001-01-03", "2001-01-04")).tolist() == [2.0, 3.0]
    with run.open("artifacts/report.txt") as file:
        assert file.read() == b"all is well"
    dataset = run.dataset()
    assert np.array_equal(dataset["head"].values, HEADS)
    assert dataset["head"].sel(time="2001-01-05", y=3, x=2).values.tolist() == HEADS[4, :, 3, 2].tolist()
    assert str(dataset["time"].values[-1]).startswith("2001-01-30")


def files(run: hmp_catalog.Run) -> list[str]:
    return sorted(p.relative_to(run.folder).as_posix() for p in run.folder.rglob("*"))


def findings(run: hmp_catalog.Run) -> list[str]:
    case = Case(Database("catalog", catalog_path(run.project)), run.project)
    return [finding.code for finding in verify(case, deep=True).findings if finding.severity != "info"]


def test_a_packed_run_is_two_files_and_everything_reads(run) -> None:
    reads(run)
    assert run.pack() is run
    assert files(run) == ["files.zip", "run.json"]
    reads(run)
    assert (run.metrics, run.status) == ({"nse": 0.5}, "completed")
    with zipfile.ZipFile(run.folder / "files.zip") as archive:
        assert archive.testzip() is None
        assert sorted(archive.namelist()) == sorted(["zarr.json", *(file["path"] for file in run.files())])


def test_the_pack_is_read_without_hmp(run) -> None:
    run.pack()
    with zarr.storage.ZipStore(run.folder / "files.zip", mode="r") as store:
        found = xr.open_zarr(store, group="fields.zarr")
        assert np.array_equal(found["head"].values, HEADS)


def test_a_run_may_be_packed_as_it_is_sealed(cat, tmp_path) -> None:
    with cat.record("gr4j", name="packed", pack=True) as rec:
        rec.table("budget", {"volume": [1.5]})
        rec.field("storage", [[12.0, 8.5]], dims=("y", "x"), coords={"x": [0.0, 1.0]})
    assert files(cat["packed"]) == ["files.zip", "run.json"]
    assert cat["packed"].dataset()["storage"].values.tolist() == [[12.0, 8.5]]
    with cat.record("gr4j", name="nothing", pack=True):
        pass
    assert files(cat["nothing"]) == ["run.json"]


def test_unpacking_gives_the_same_files(run) -> None:
    before = sha256_tree(run.folder)
    run.pack()
    run.unpack()
    assert sha256_tree(run.folder) == before
    reads(run)
    run.unpack()
    assert sha256_tree(run.folder) == before


def test_packing_twice_is_packing_once(run) -> None:
    run.pack()
    sha = sha256_file(run.folder / "files.zip")
    run.pack()
    assert sha256_file(run.folder / "files.zip") == sha
    reads(run)


def test_the_same_files_give_the_same_pack(run) -> None:
    run.pack()
    first = sha256_file(run.folder / "files.zip")
    run.unpack()
    for file in run.folder.rglob("*"):
        os.utime(file, (0, 0))
    run.pack()
    assert sha256_file(run.folder / "files.zip") == first


def test_the_catalog_knows_and_a_rebuild_gives_the_same(cat, run, contents) -> None:
    run.pack()
    row = "SELECT zarr_packed, pack_sha256 FROM simulations"
    assert cat.sql(row).to_pylist() == [{"zarr_packed": True, "pack_sha256": sha256_file(run.folder / "files.zip")}]
    before = contents(cat.path)
    assert not cat.rebuild()
    assert contents(cat.path) == before
    cat["base"].unpack()
    assert cat.sql(row).to_pylist() == [{"zarr_packed": False, "pack_sha256": None}]
    kinds = cat.sql("SELECT event_type FROM audit_log ORDER BY occurred_at").column("event_type").to_pylist()
    assert kinds[-2:] == ["sim.pack", "sim.unpack"]


def test_the_doctor_reads_packs(cat, run) -> None:
    file = run.pack().folder / "files.zip"
    cat.close()
    assert findings(run) == []
    data = bytearray(file.read_bytes())
    data[data.index(b"all is well")] ^= 1
    file.write_bytes(data)
    assert findings(run) == ["run-file-changed"]
    file.write_bytes(data[:-30])
    assert findings(run) == ["run-file-changed"]


def test_a_changed_file_is_never_packed(run) -> None:
    (run.folder / "artifacts" / "report.txt").write_text("all is ill!")
    before = files(run)
    with pytest.raises(CorruptError, match=r"artifacts/report\.txt is not as it was sealed"):
        run.pack()
    assert files(run) == before


def test_a_missing_file_is_told(run) -> None:
    (run.folder / "artifacts" / "report.txt").unlink()
    with pytest.raises(CorruptError, match=r"report.txt is missing"):
        run.pack()
    assert not (run.folder / "files.zip").exists()


def test_a_damaged_pack_is_not_unpacked(run) -> None:
    run.pack()
    data = bytearray((run.folder / "files.zip").read_bytes())
    data[data.index(b"all is well")] ^= 1
    (run.folder / "files.zip").write_bytes(data)
    with pytest.raises(CorruptError, match=r"artifacts/report\.txt is not as it was sealed"):
        run.unpack()
    assert files(run) == ["files.zip", "run.json"]


def test_what_a_user_put_there_stays(run) -> None:
    (run.folder / "artifacts" / "mine.txt").write_text("a note")
    run.pack()
    assert files(run) == ["artifacts", "artifacts/mine.txt", "files.zip", "run.json"]
    (run.folder / "artifacts" / "report.txt").write_text("mine too")
    run.pack()
    with pytest.raises(PathTaken, match=r"artifacts/report.txt lies where a packed file belongs"):
        run.unpack()
    assert (run.folder / "artifacts" / "report.txt").read_text() == "mine too"
    reads(run)


def test_only_a_sealed_run_with_files_is_packed(cat) -> None:
    rec = cat.record("gr4j", name="open")
    with pytest.raises(PathNotFound, match="only a sealed run"):
        cat["open"].pack()
    rec.seal()
    with pytest.raises(InvalidInput, match="left no files"):
        cat["open"].pack()


def test_a_point_of_a_packed_field_reads_little_of_it(run, monkeypatch) -> None:
    run.pack()
    read, asked = os.pread, list[int]()

    def counted(descriptor: int, length: int, offset: int) -> bytes:
        asked.append(length)
        return read(descriptor, length, offset)

    monkeypatch.setattr(os, "pread", counted)
    run.table("budget")
    assert 0 < sum(asked) < 2 * (run.folder / "files.zip").stat().st_size


def test_the_command_packs_and_unpacks(run, hmp) -> None:
    done = hmp("catalog", "pack", "base", "-p", run.project, "--format", "csv")
    assert done.stdout.splitlines()[1].endswith("True"), done
    reads(run)
    done = hmp("catalog", "unpack", "base", "-p", run.project, "--format", "csv")
    assert done.stdout.splitlines()[1].endswith("False"), done
    reads(run)


def test_what_a_killed_process_left_is_cleared_away(cat, run) -> None:
    (run.folder / ".files.zip.0123abcd.tmp").write_bytes(b"half")
    (cat.path / ".hmp" / "importing" / "0123abcd").mkdir(parents=True)
    assert cat.gc() == []  # it may be at work
    for path in (*run.folder.glob(".*.tmp"), *(cat.path / ".hmp" / "importing").iterdir()):
        os.utime(path, (0, 0))
    found = {(each.path, each.size) for each in cat.gc(apply=True)}
    half = (run.folder / ".files.zip.0123abcd.tmp").relative_to(cat.path).as_posix()
    assert found == {(half, 4), (".hmp/importing/0123abcd", 0)}
    assert not list(run.folder.glob(".*.tmp"))
    reads(run)


# ── killed ───────────────────────────────────────────────────────────────────────────────────────────

#: Forks a child for each line ``STEP VERB``, which packs or unpacks and kills itself at that call; says how it ended.
VICTIMS = """
import functools, os, signal, sys, traceback
import hmp_catalog, hmp_catalog.packing
import duckdb
def work(fatal, verb):
    made = 0
    def around(call):
        @functools.wraps(call)
        def counted(*arguments, **options):
            nonlocal made
            made += 1
            if made == fatal:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **options)
        return counted
    with hmp_catalog.open(sys.argv[1]) as cat:
        run = cat["base"]
        run.folder
        for name in ("open", "fsync", "replace", "unlink", "rmdir", "mkdir", "write"):
            setattr(os, name, around(getattr(os, name)))
        getattr(run, verb)()
for line in sys.stdin:
    step, verb = line.split()
    pid = os.fork()
    if not pid:
        code = 1
        try:
            work(int(step), verb)
            code = 0
        except Exception:
            traceback.print_exc()
        finally:
            os._exit(code)
    status = os.waitpid(pid, 0)[1]
    print(os.WTERMSIG(status) if os.WIFSIGNALED(status) else -os.WEXITSTATUS(status), flush=True)
"""


def _killed_at(steps, run, spawn) -> int:
    """Kill packing and unpacking at each of the steps; return how often it came to that."""
    deaths = 0
    with spawn(VICTIMS, run.project) as (victims,):
        for step, verb in product(steps, ("pack", "unpack")):
            victims.stdin.write(f"{step} {verb}\n")
            victims.stdin.flush()
            ended = int(victims.stdout.readline())
            assert ended in {0, signal.SIGKILL}
            deaths += ended == signal.SIGKILL
            with hmp_catalog.open(run.project) as cat:
                reads(cat["base"])
                assert not cat.notice
                getattr(cat["base"], verb)()
                reads(cat["base"])
            assert (run.folder / "files.zip").exists() is (verb == "pack")
    assert findings(run) == []
    return deaths


def test_killed_at_some_steps(cat, run, spawn) -> None:
    run.folder  # noqa: B018 - read while the catalog is open
    cat.close()
    assert _killed_at((4, 12), run, spawn) == 4


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_killed_at_every_step(cat, run, spawn) -> None:
    run.folder  # noqa: B018
    cat.close()
    assert _killed_at(range(1, 80), run, spawn) > 40
