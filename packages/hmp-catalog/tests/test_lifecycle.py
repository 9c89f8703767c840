"""Thrown away, brought back, purged for ever: what is hidden, what moves, what stays, and who is refused."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import hmp_catalog
from hmp_catalog import doing, privacy
from hmp_catalog.errors import PinnedRunError, SimulationNotFound
from hmp_catalog.fold import FOLD
from hmp_core.backups import take_backup
from hmp_core.errors import CorruptError, InvalidInput, PathNotFound, SchemaTooNewError
from hmp_core.events.store import components
from hmp_core.layout import catalog_path
from hmp_core.upkeep import restore

OPENS_AND_DIES = """
import os, sys, hmp_catalog
rec = hmp_catalog.open(sys.argv[1]).record("gr4j", name="dead")
rec.table("budget", {"component": ["wells"], "volume": [1.0]})
os._exit(0)
"""


def whole(cat, name="base", **about):
    """Record a run that leaves something in every table of a run, and in files."""
    with cat.record("gr4j", name=name, parameters={"x1": 1.0}, tags=["a"], study_area="Aare", **about) as rec:
        rec.metric("nse", 0.5)
        rec.table("budget", {"component": ["wells"], "volume": [1.0]})
    return cat[rec.sim_id]


def die(project):
    subprocess.run([sys.executable, "-c", OPENS_AND_DIES, str(project)], check=True)


# ── the trash ────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_thrown_away_is_hidden_and_its_folder_moves(cat, record):
    run = whole(cat)
    other = record(cat, "other", metrics={"nse": 0.1})
    assert cat.delete("base") == run
    assert run.folder.parent == cat.path / "trash"
    assert (len(cat), cat.trash.sim_ids, cat.latest(), cat.best("nse")) == (1, [run.sim_id], other, other)
    for reference in ("base", run.sim_id, run.sim_id[:8]):
        with pytest.raises(SimulationNotFound, match="in the trash"):
            cat[reference]
    assert len(cat.find(trashed=None)) == 2
    assert cat.find(trashed=True, nse_gt=0.4).sim_ids == [run.sim_id]
    assert run.facts["trashed_at"] is not None
    assert run.table("budget").num_rows == 1
    with pytest.raises(SimulationNotFound, match="is not in the trash"):
        cat.restore(other.sim_id)


def test_a_name_in_the_trash_is_free(cat, record):
    record(cat, "base").trash()
    assert record(cat, "base", if_exists="fail").name == "base"


def test_what_is_restored_is_as_before(cat, contents):
    run = whole(cat)
    before, folder = run.summary(), run.folder
    run.trash()
    assert cat.restore("base") == run
    assert (run.folder, folder.is_dir()) == (folder, True)
    assert run.summary() == before
    assert cat.audit.verify()
    with pytest.raises(SimulationNotFound):
        cat.restore("base")


def test_what_is_in_the_trash_is_not_thrown_away_again(cat, record):
    run = record(cat, "base")
    assert run.facts["trashed_at"] is None
    run.trash()
    assert run.facts["trashed_at"] is not None
    with pytest.raises(SimulationNotFound, match="in the trash"):
        run.trash()
    assert run.restore().facts["trashed_at"] is None


def test_a_pinned_run_stays(cat, record):
    run = record(cat, "base").pin()
    assert run.tags == ["pinned"]
    for verb in (run.trash, lambda: cat.delete("base"), lambda: cat.purge("base", reason="x")):
        with pytest.raises(PinnedRunError, match="--off") as caught:
            verb()
        assert caught.value.sim_id == run.sim_id
    assert not doing.is_half_done(cat.store.path)
    run.pin(on=False).trash()
    assert len(cat.trash) == 1


def test_an_open_run_stays_and_an_interrupted_one_may_go(cat, project):
    rec = cat.record("gr4j", name="open")
    with pytest.raises(InvalidInput, match=str(os.getpid())):
        cat.delete("open")
    rec.seal()
    die(project)
    assert cat["dead"].status == "interrupted"
    run = cat.delete("dead")
    assert run.folder.parent.name == "trash"
    assert cat.restore("dead").status == "interrupted"


def test_a_name_a_note_a_doi(cat, record):
    run = record(cat, "base")
    folder = run.folder
    run.rename("other").note("well").cite("10.5281/zenodo.1")
    assert (run.name, run.facts["notes"], run.facts["doi"], run.folder) == ("other", "well", "10.5281/zenodo.1", folder)
    run.cite(None).note(None)
    assert (run.facts["notes"], run.facts["doi"]) == (None, None)


def test_the_folder_alone_tells_that_it_is_in_the_trash(cat, project):
    """The log is lost: what was thrown away does not come back by that."""
    run = whole(cat)
    run.trash()
    whole(cat, "other")
    cat.close()
    shutil.rmtree(project / "events")
    shutil.rmtree(project / ".hmp")
    catalog_path(project).unlink()
    with hmp_catalog.open(project, create=True) as again:
        assert ([r.name for r in again], [r.name for r in again.trash]) == (["other"], ["base"])
        assert again.restore("base").table("budget").num_rows == 1


# ── for ever ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_purge_takes_rows_files_and_words(cat, project, contents):
    run = whole(cat, contact_email="ada@example.org")
    run.note("the garden of Ada").rename("villa")
    whole(cat, "other")
    folder = run.folder
    certificate = cat.purge("villa", reason="asked for")
    assert not folder.exists()
    assert {t for t, rows in contents(project).items() if any(r.get("sim_id") == run.sim_id for r in rows)} == {
        "audit_log",
        "deletions",
    }
    (row,) = cat.deletions()
    assert (row["sim_id"], row["reason"], row["components"]["files"]) == (run.sim_id, "asked for", 2)
    assert certificate.sha256_snapshot == row["sha256_snapshot"]
    cat.vacuum()
    said = b"".join(file.read_bytes() for file in project.rglob("*") if file.is_file())
    for word in (b"garden", b"villa", b"ada@example.org"):
        assert word not in said
    for reference in ("villa", run.sim_id):
        with pytest.raises(SimulationNotFound):
            cat[reference]
    with pytest.raises(SimulationNotFound, match="any more"):
        assert hmp_catalog.Run(cat, run.sim_id).facts


def test_a_rebuild_brings_nothing_back(cat, project, contents):
    """Trash, purge and audit come back row for row."""
    for name in ("kept", "thrown", "restored", "gone"):
        whole(cat, name).note(name)
    cat.delete("thrown")
    cat.delete("restored")
    cat.restore("restored")
    cat.delete("gone")
    cat.purge("gone", reason="asked for")
    assert len(cat) == 2
    before = contents(project)
    assert not cat.rebuild()
    assert contents(project) == before
    assert cat.audit.verify().problems == ()


RECORDS_AND_STAYS = """
import sys, hmp_catalog
cat = hmp_catalog.open(sys.argv[1])
with cat.record("gr4j", name="private", description="the well of my neighbour") as rec:
    rec.metric("nse", 0.5)
print(rec.sim_id, flush=True)
sys.stdin.readline()
"""


def holding(project, words: bytes) -> list[str]:
    files = [file for file in project.rglob("*") if file.is_file() and file.name != "catalog.duckdb"]
    return [file.parent.name for file in files if words in file.read_bytes()]


def test_a_purge_says_what_is_in_the_log_of_a_process_that_lives(cat, project, spawn, hmp):
    """Nobody else may change that log: gc does it once the process has ended, and the certificate says so."""
    with spawn(RECORDS_AND_STAYS, project) as (other,):
        sim_id = other.stdout.readline().strip()
        done = hmp("catalog", "purge", sim_id, "--reason", "asked for", "--yes", "-p", project)
        told = "what 2 events say of the run, in the logs of processes that still run: when these have ended, "
        told += "`hmp catalog gc --apply` empties them"
        assert f"note: not removed: {told}" in done.stderr.splitlines()
        file = project / ".hmp" / "purge_certificates" / f"{sim_id}.json"
        assert told in json.loads(file.read_text())["remains"]
        assert holding(project, b"neighbour") == ["pending"]
        assert [each.kind for each in cat.gc(apply=True)] == []
        other.communicate("end\n")
    assert "gc --apply" in "".join(privacy.verify(cat, file).problems)
    assert [(each.kind, each.sim_id) for each in cat.gc(apply=True)] == [("log", sim_id)]
    assert holding(project, b"neighbour") == []
    assert privacy.verify(cat, file)


def test_what_waited_for_a_purged_run_waits_no_longer(cat, project):
    """Its event is kept as it was logged, with the name, until it can be folded: after a purge that is never."""
    sealed = "import sys, hmp_catalog\nwith hmp_catalog.open(sys.argv[1]).record('gr4j', name='secret'): pass"
    subprocess.run([sys.executable, "-c", sealed, str(project)], check=True)
    (folder,) = (project / "simulations").iterdir()
    shutil.rmtree(folder)
    (run,) = cat.find()
    assert cat.notice.waiting == 1
    cat.purge(run.sim_id, reason="asked for")
    assert (cat.notice.waiting, cat.sql("SELECT * FROM _hmp_waiting").num_rows) == (0, 0)
    assert cat.audit.verify().problems == ()
    before = cat.audit.table().to_pylist()
    cat.rebuild()
    assert (cat.notice.waiting, cat.audit.table().to_pylist()) == (0, before)


def test_calibrations_forget_a_purged_run(cat, record, project, contents):
    run, other = record(cat, "best"), record(cat, "other")
    with cat.calibration("sce-ua", objective="1 - kge") as session:
        session.trial({"x1": 1.0}, 0.1, sim_id=run.sim_id)
        session.trial({"x1": 2.0}, 0.2, sim_id=other.sim_id)
    cat.find()
    cat.purge("best", reason="asked for")
    trials = cat.trials(session.session_id).to_pylist()
    assert [(t["objective_value"], t["sim_id"]) for t in trials] == [(0.1, None), (0.2, other.sim_id)]
    assert [row["best_sim_id"] for row in cat.calibrations()] == [None]
    before = contents(project)
    cat.rebuild()
    assert contents(project) == before


def test_a_backup_from_before_brings_nothing_back(cat, project, contents):
    whole(cat)
    cat.find()
    backup = take_backup(catalog_path(project))
    cat.purge("base", reason="asked for")
    before = contents(project)
    restore(catalog_path(project), components(FOLD), backup=backup, fold=FOLD)
    assert contents(project) == before


def test_what_is_purged_is_purged_by_everybody(cat, record, contents):
    """What another process says of it afterwards changes nothing."""
    run = record(cat, "base")
    cat.purge("base", reason="asked for")
    for kind, said in (("run.noted", {"notes": "villa"}), ("run.trashed", {})):
        cat.store.append(kind, {"sim_id": run.sim_id, "project": cat.path.name} | said)
    assert (len(cat), len(cat.trash), cat.notice.waiting) == (0, 0, 0)
    trail = contents(cat.path)["audit_log"]
    assert {row["payload"] for row in trail if row["sim_id"] == run.sim_id} == {"None"}
    # a certificate is true again once the log is emptied of it too
    certificate = cat.path / ".hmp" / privacy.FOLDER / f"{run.sim_id}.json"
    assert any("log" in problem for problem in privacy.verify(cat, certificate).problems)
    cat.store.log.turn()
    cat.store.fold()
    assert [each.kind for each in cat.gc()] == ["log"]
    cat.gc(apply=True)
    assert privacy.verify(cat, certificate).problems == ()
    assert cat.audit.verify().problems == ()


def test_the_trash_is_emptied(cat, record):
    for name in ("a", "b", "c"):
        record(cat, name)
    cat.delete("a")
    cat.delete("b").pin()
    assert cat.empty_trash(older_than=1) == []
    assert [done.reason for done in cat.empty_trash(reason="spring")] == ["spring"]
    assert ([run.name for run in cat.trash], [run.name for run in cat]) == (["b"], ["c"])
    assert cat.empty_trash() == []


def test_all_or_none_is_purged(cat, record):
    runs = [record(cat, "a"), record(cat, "b").pin()]
    with pytest.raises(PinnedRunError):
        cat._lifecycle.purge([run.sim_id for run in runs], "x")
    assert (len(cat), cat.deletions()) == (2, [])


@pytest.mark.parametrize("reason", ["", 5, None])
def test_a_purge_has_a_reason(cat, record, reason):
    record(cat, "base")
    with pytest.raises(InvalidInput):
        cat.purge("base", reason=reason)
    assert len(cat) == 1


# ── certificates ─────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def certificate(cat, record) -> Path:
    record(cat, "base")
    return Path(cat.purge("base", reason="asked for").path)


def test_a_certificate_is_for_its_owner_alone_and_verifies(cat, certificate, monkeypatch):
    assert stat.S_IMODE(certificate.stat().st_mode) == 0o600
    assert privacy.verify(cat, certificate)
    said = json.loads(certificate.read_text())
    assert {"sim_id", "timestamp_utc", "operator", "reason", "sha256_snapshot", "components", "chain"} <= said.keys()
    assert any("backups" in what for what in said["remains"])


def test_the_operator_is_whom_the_authority_names(cat, record, monkeypatch):
    monkeypatch.setenv("HMP_USER", "ada")
    record(cat, "base")
    assert cat.purge("base", reason="asked for").operator == "ada"
    assert cat.audit.table(limit=1)["actor"].to_pylist() == ["ada"]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"reason": "another"}, CorruptError),
        ({"format": "other"}, CorruptError),
        ({"version": 2}, SchemaTooNewError),
    ],
    ids=["reason", "format", "version"],
)
def test_a_changed_certificate_is_refused(cat, certificate, change, error):
    certificate.write_text(json.dumps(json.loads(certificate.read_text()) | change))
    with pytest.raises(error):
        privacy.verify(cat, certificate)


def test_a_certificate_that_is_not_there(cat, tmp_path):
    with pytest.raises(PathNotFound):
        privacy.verify(cat, tmp_path / "none.json")


def test_a_certificate_of_another_project_is_not_true_here(cat, certificate, tmp_path):
    with hmp_catalog.open(tmp_path / "other", create=True) as other:
        assert any("no tombstone" in problem for problem in privacy.verify(other, certificate).problems)


def test_what_came_back_is_said(cat, certificate):
    """A folder that somebody put back from a copy."""
    sim = certificate.stem
    (cat.path / "simulations" / f"base__{sim[:8]}").mkdir()
    assert any("is there" in problem for problem in privacy.verify(cat, certificate).problems)


# ── what is left behind ──────────────────────────────────────────────────────────────────────────────


def _aged(folder: Path, days: float) -> None:
    for path in (folder, *folder.rglob("*")):
        then = path.stat().st_mtime - days * 86_400
        os.utime(path, (then, then))


def test_gc_lists_first_and_removes_what_nothing_speaks_of(cat, project, record):
    record(cat, "sealed")
    die(project)
    half, orphan = cat["dead"].folder, project / "simulations" / "nobody__00000000"
    orphan.mkdir()
    (orphan / "x").write_text("1")
    (project / "simulations" / "young__00000000").mkdir()
    for folder in (half, orphan):
        _aged(folder, 40)
    found = {each.kind: each for each in cat.gc()}
    assert {kind: Path(each.path).name for kind, each in found.items()} == {
        "interrupted": half.name,
        "orphan": orphan.name,
    }
    assert half.is_dir()
    assert cat.gc(older_than=41) == [found["orphan"]]
    assert {each.kind for each in cat.gc(apply=True)} == {"interrupted", "orphan"}
    assert sorted(path.name[:6] for path in (project / "simulations").iterdir()) == ["sealed", "young_"]
    assert cat["dead"].status == "interrupted"
    assert cat.gc() == []
    assert "gc" in cat.audit.table()["event_type"].to_pylist()


def test_gc_keeps_what_was_sealed_and_what_is_pinned(cat, project):
    whole(cat)
    die(project)
    pinned = cat["dead"].pin().folder
    strange = project / "simulations" / "strange__00000000"
    shutil.copytree(cat["base"].folder, strange)
    for folder in (pinned, strange, cat["base"].folder):
        _aged(folder, 400)
    assert cat.gc(apply=True) == []
    assert strange.is_dir()


def test_vacuum_makes_the_file_smaller(cat, project):
    with cat.record("gr4j", name="r", parameters={f"p{i}": float(i) for i in range(20_000)}):
        pass
    cat.find()
    cat.purge("r", reason="too large")
    done = cat.vacuum()
    assert done.after == catalog_path(project).stat().st_size
    assert done.after < done.before / 2
    assert (len(cat.deletions()), cat.audit.verify().problems) == (1, ())


def test_what_nobody_wrote_is_not_taken_for_half_done(cat, project):
    folder = project / ".hmp" / "catalog" / "doing"
    folder.mkdir(parents=True)
    (folder / "x.json").write_text("no")
    with hmp_catalog.open(project) as again:
        assert len(again) == 0
    with pytest.raises(CorruptError, match="half done"):
        doing.half_done(catalog_path(project))
