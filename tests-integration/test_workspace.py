"""Making a workspace, and what two projects share."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow as pa
import pytest

import hmp_cache
import hydromodpy as hmp
from hmp_cache.sources import Asset, Destination, Offer, Request
from hmp_core.errors import NotWritable, PathTaken, UnsupportedScheme
from hydromodpy import Project, Workspace


def test_init_makes_the_tree_and_both_databases_open_on_it(tmp_path: Path) -> None:
    with hmp.init(tmp_path / "fulda") as workspace:
        names = {p.name for p in workspace.path.iterdir()}
        assert {"workspace.toml", "data", "projects"} <= names
        assert workspace.data.find() == []
        with workspace.project("base") as project:
            assert len(project.catalog) == 0


def test_a_second_init_refuses_and_force_opens_what_is_there(tmp_path: Path) -> None:
    first = hmp.init(tmp_path / "fulda")
    with pytest.raises(FileExistsError, match="is a workspace already"):
        hmp.init(tmp_path / "fulda")
    assert hmp.init(tmp_path / "fulda", force=True).id == first.id


def test_a_folder_that_holds_something_is_not_taken_over(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("1")
    with pytest.raises(PathTaken):
        hmp.init(tmp_path / "thesis")
    assert [p.name for p in (tmp_path / "thesis").iterdir()] == ["chapter.txt"]


@pytest.mark.parametrize("uri", ["s3://bucket/fulda", "http://host/fulda"])
def test_other_schemes_are_refused_before_anything_is_made(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for door in (hmp.init, hmp.open, Workspace, hmp.index):
        with pytest.raises(UnsupportedScheme, match=uri):
            door(uri)
    assert [p for p in tmp_path.iterdir() if p.name != "state"] == []


def test_below_a_file_nothing_can_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NotWritable):
        hmp.init(tmp_path / "file" / "fulda")


class _Rivers:
    """Rivers on loopback."""

    name = "rivers"

    def __init__(self, address: str) -> None:
        self.address = address

    def coverage(self) -> list[Offer]:
        return [Offer("discharge", "m3 s-1", "1D")]

    def plan(self, request: Request) -> list[Asset]:
        return [Asset(f"{self.address}/{request.station}.txt", "q.txt", request.period)]

    def fetch(self, asset: Asset, destination: Destination) -> None:
        days = [datetime.fromisoformat(line) for line in destination.text(asset.uri).split()]
        destination.rows(pa.table({"time": pa.array(days, pa.timestamp("us")), "value": [1.0] * len(days)}))


def test_a_download_of_one_project_is_there_for_the_other(tmp_path: Path) -> None:
    """Nobody answers any more when the second project asks, and it has what the first one fetched."""
    served = tmp_path / "served"
    served.mkdir()
    (served / "q.csv").write_text("time,discharge\n2001-01-01,1.0\n")
    (served / "K1.txt").write_text("2001-01-01 2001-01-02")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=served))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"

    def fetch(project: Project) -> list[hmp_cache.Entry]:
        series = {"source": _Rivers(address), "station": "K1", "period": "2001-01-01/2001-01-02"}
        return [
            project.data.fetch(f"{address}/q.csv", variable="discharge"),
            project.data.fetch(variable="discharge", **series),
        ]

    with hmp.init(tmp_path / "fulda") as workspace:
        with workspace.project("a") as a:
            first = fetch(a)
        server.shutdown()
        server.server_close()
        thread.join()
        with workspace.project("b") as b:
            assert fetch(b) == first
            assert first[1].read_table().num_rows == 2


def test_two_projects_share_one_cache(tmp_path: Path) -> None:
    (tmp_path / "q.csv").write_text("time,discharge\n2001-01-01,1.0\n")
    with hmp.init(tmp_path / "fulda") as workspace:
        with workspace.project("a") as a:
            made = a.data.add(tmp_path / "q.csv", variable="discharge")
        with workspace.project("b") as b:
            assert [entry.id for entry in b.data.find(variable="discharge")] == [made.id]


def test_a_new_workspace_is_known_to_the_machine_unless_that_is_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = hmp.init(tmp_path / "known")
    monkeypatch.setenv("HMP_AUTO_REGISTER_WORKSPACE", "0")
    hmp.init(tmp_path / "quiet")
    with hmp.index() as machine:
        assert [w.path for w in machine.workspaces()] == [known.path]


def test_open_takes_a_workspace_with_one_project_and_lists_several(tmp_path: Path) -> None:
    with hmp.init(tmp_path / "fulda") as workspace:
        workspace.project("a").catalog.close()
        with hmp.open(workspace.path) as catalog:
            assert catalog.path.name == "a"
        workspace.project("b").catalog.close()
        with pytest.raises(ValueError, match="a, b"):
            hmp.open(workspace.path)


def test_the_documented_import_paths_are_the_real_objects() -> None:
    import hmp_cache
    import hmp_catalog
    import hmp_core.migrations.runner
    import hmp_core.protocols
    import hmp_index
    from hydromodpy.catalog import InputsNamespace, index
    from hydromodpy.catalog import open as open_door
    from hydromodpy.core.auth import AuthBackend, LocalAuthBackend
    from hydromodpy.core.migrations.runner import apply_migrations
    from hydromodpy.core.state.global_index import GlobalIndex
    from hydromodpy.data.registry import DataCatalogDuckDB
    from hydromodpy.results.catalog import SimulationCatalog, WritesMixin
    from hydromodpy.results.catalog.ports import CatalogBackend
    from hydromodpy.results.run import Run
    from hydromodpy.results.simulation_group import SimulationGroup
    from hydromodpy.results.simulation_zarr import SimulationZarr

    assert InputsNamespace is hmp_cache.InputsNamespace
    assert DataCatalogDuckDB is hmp_cache.DataCatalogDuckDB
    assert GlobalIndex is hmp_index.GlobalIndex
    assert (SimulationCatalog, Run, SimulationGroup) == (
        hmp_catalog.SimulationCatalog,
        hmp_catalog.Run,
        hmp_catalog.SimulationGroup,
    )
    assert apply_migrations is hmp_core.migrations.runner.apply_migrations
    assert (AuthBackend, CatalogBackend) == (hmp_core.protocols.AuthBackend, hmp_core.protocols.CatalogBackend)
    assert isinstance(LocalAuthBackend(), AuthBackend)
    assert (open_door, index) == (hmp.open, hmp.index)
    assert SimulationZarr.__module__.startswith("hmp_catalog.fields")
    assert WritesMixin.__module__ == "hmp_catalog.writes"


def test_importing_the_umbrella_imports_no_engine() -> None:
    import subprocess
    import sys

    code = "import sys, hydromodpy; print(sorted(sys.modules.keys() & {'duckdb', 'pyarrow', 'zarr', 'pandas'}))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


def test_the_command_makes_a_workspace_with_a_project(tmp_path: Path, hmp: Callable[..., object]) -> None:
    made = hmp("init", "fulda", "--project", "base", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "fulda" / "projects" / "base" / "catalog.duckdb").exists()
    again = hmp("init", "fulda", cwd=tmp_path)
    assert again.returncode == 2
    assert "workspace already" in again.stderr


def test_catalog_runs_and_entries_travel_to_another_process(tmp_path: Path) -> None:
    import pickle

    (tmp_path / "q.csv").write_text("time,discharge\n2001-01-01,1.0\n")
    with hmp.init(tmp_path / "fulda") as workspace, workspace.project("a") as project:
        entry = project.data.add(tmp_path / "q.csv", variable="discharge")
        with project.catalog.record("gr4j", name="base", inputs=[entry]) as rec:
            rec.metric("nse", 0.8)
        catalog, run, same = pickle.loads(pickle.dumps((project.catalog, project.catalog["base"], entry)))
        assert same == entry
        assert (catalog["base"].sim_id, run.metrics) == (rec.sim_id, {"nse": 0.8})
