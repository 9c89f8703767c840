"""The audit trail: everything is on it, and whatever is done to it afterwards is seen, at its ends too."""

from __future__ import annotations

import json
import shutil

import pytest

import hmp_catalog
from hmp_catalog import chain
from hmp_core.backends.duckdb import DuckDBBackend
from hmp_core.errors import InvalidInput
from hmp_core.layout import catalog_path


@pytest.fixture(scope="module")
def told(tmp_path_factory, empty_project):
    """Return a project whose trail has six lines."""
    home = tmp_path_factory.mktemp("told") / "workspace"
    shutil.copytree(empty_project.parents[1], home)
    project = home / "projects" / empty_project.name
    with hmp_catalog.open(project) as cat:
        with cat.record("gr4j", name="base") as rec:
            rec.metric("nse", 0.5)
        cat["base"].tag("a").note("well").rename("other").tag("-a")
        cat.find()
    return project


@pytest.fixture
def project(told, tmp_path):
    shutil.copytree(told.parents[1], tmp_path / "w")
    return tmp_path / "w" / "projects" / told.name


def change(project, sql):
    backend = DuckDBBackend(catalog_path(project))
    with backend.lease(write=True), backend.transaction():
        backend.execute(sql)


def verify(project, anchor=None):
    with hmp_catalog.open(project) as cat:
        return cat.audit.verify(anchor)


def lines(project):
    return (project / chain.NAME).read_bytes().splitlines(keepends=True)


def rewrite(project, kept):
    """Forge a chain over some lines: what somebody does who knows how it is made."""
    links, before = [each for _, each in chain.links(project)], None
    forged = []
    for n in kept:
        before = chain.link(before, links[n].event_id, links[n].content)
        forged.append(before)
    (project / chain.NAME).write_bytes(b"".join(chain._line(each) + b"\n" for each in forged))
    change(project, "UPDATE audit_log SET seq = NULL, chain_hash = NULL")
    for each in forged:
        sql = f"UPDATE audit_log SET seq = {each.seq}, chain_hash = '{each.hash}' WHERE event_id = '{each.event_id}'"
        change(project, sql)
    change(project, "DELETE FROM audit_log WHERE seq IS NULL")


# ── what is on it ────────────────────────────────────────────────────────────────────────────────────


def test_a_trail_as_it_was_is_verified(project):
    found = verify(project)
    assert found
    assert (found.entries, found.problems, found.emptied) == (6, (), 0)
    assert str(project.parents[1] / ".hmp" / "anchors.json") in found.anchor


def test_it_says_who_did_what_newest_first(project):
    with hmp_catalog.open(project) as cat:
        rows = cat.audit.table().to_pylist()
        assert [row["event_type"] for row in rows] == [
            "sim.tag_remove",
            "sim.rename",
            "note.add",
            "sim.tag_add",
            "sim.finalize",
            "sim.register",
        ]
        assert [row["seq"] for row in rows] == [6, 5, 4, 3, 2, 1]
        assert {row["project"] for row in rows} == {"aare"}
        assert rows[0]["hostname"] == rows[-1]["hostname"] is not None
        assert cat.audit.table(simulation="other", limit=2).num_rows == 2
        assert cat.audit.table(since="2100-01-01").num_rows == 0
        assert cat.audit.head == {"seq": 6, "hash": rows[0]["chain_hash"]}


def test_a_new_project_has_an_empty_trail(empty_project):
    with hmp_catalog.open(empty_project) as cat:
        assert (cat.audit.head, cat.audit.table().num_rows) == (None, 0)
        assert cat.audit.verify()


# ── what is done to rows ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "column",
    ["actor = 'eve'", "event_type = 'note.add'", "payload = '{}'", "payload = NULL", "hostname = 'x'", "sim_id = NULL"],
)
@pytest.mark.parametrize("seq", [1, 3, 6])
def test_an_edited_row_is_seen(project, column, seq):
    change(project, f"UPDATE audit_log SET {column} WHERE seq = {seq}")
    assert any(f"row {seq} " in problem and "edited" in problem for problem in verify(project).problems)


def test_an_edited_row_is_seen_though_its_hash_was_edited_too(project):
    change(project, "UPDATE audit_log SET actor = 'eve', content_sha256 = repeat('0', 64) WHERE seq = 3")
    assert any("chained otherwise" in problem for problem in verify(project).problems)


@pytest.mark.parametrize("seq", [1, 3, 6], ids=["first", "middle", "last"])
def test_a_removed_row_is_seen(project, seq):
    change(project, f"DELETE FROM audit_log WHERE seq = {seq}")
    assert any(f"row {seq} " in problem and "gone" in problem for problem in verify(project).problems)


def test_rows_in_another_order_are_seen(project):
    change(project, "UPDATE audit_log SET seq = 9 - seq WHERE seq IN (4, 5)")
    assert len([problem for problem in verify(project).problems if "chained otherwise" in problem]) == 2


def test_an_added_row_is_seen(project):
    change(
        project,
        "INSERT INTO audit_log (event_id, seq, occurred_at, actor, event_type, _stamp) "
        "VALUES ('00000000-0000-4000-8000-000000000009', 7, '2026-01-01', 'eve', 'note.add', '1')",
    )
    assert any("was added" in problem for problem in verify(project).problems)


# ── what is done to the chain ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("number", [0, 2, 5])
def test_a_changed_line_is_seen(project, number):
    said = lines(project)
    entry = json.loads(said[number])
    said[number] = json.dumps(entry | {"content": "0" * 64}, separators=(",", ":")).encode() + b"\n"
    (project / chain.NAME).write_bytes(b"".join(said))
    assert any("does not follow" in problem for problem in verify(project).problems)


@pytest.mark.parametrize("kept", [slice(1, None), slice(None, -1), slice(0, 0)], ids=["first", "last", "all"])
def test_lines_that_are_gone_are_seen(project, kept):
    (project / chain.NAME).write_bytes(b"".join(lines(project)[kept]))
    assert not verify(project)


def test_a_line_that_is_none_is_seen(project):
    said = lines(project)
    (project / chain.NAME).write_bytes(b"".join([*said[:2], b"x\n", *said[2:]]))
    assert any("line 3" in problem for problem in verify(project).problems)


@pytest.mark.parametrize("kept", [range(1, 6), range(5), [0, 1, 3, 4, 5], [1, 0, 2, 3, 4, 5]], ids=str)
def test_a_forged_chain_is_seen(project, kept):
    """Rows and lines agree, and every hash is right: the anchor and the log know better."""
    rewrite(project, kept)
    problems = verify(project).problems
    assert any("anchored" in problem or "its end is gone" in problem for problem in problems)
    assert len(kept) == 6 or any("in the log and not in the chain" in problem for problem in problems)


def test_without_the_log_too_the_anchor_knows(project):
    rewrite(project, range(5))
    shutil.rmtree(project / "events")
    shutil.rmtree(project / ".hmp" / "catalog" / "pending", ignore_errors=True)
    problems = verify(project).problems
    assert any("its end is gone" in problem for problem in problems)


def test_without_an_anchor_it_is_said(project):
    (project.parents[1] / ".hmp" / "anchors.json").unlink()
    found = verify(project)
    assert (found.anchor, bool(found)) == ("none", False)
    assert "not vouched for" in found.problems[0]


def test_an_anchor_that_was_kept_elsewhere(project):
    with hmp_catalog.open(project) as cat:
        head = cat.audit.head
        cat["other"].note("later")
    (project.parents[1] / ".hmp" / "anchors.json").unlink()
    assert verify(project, head)
    assert "given" in verify(project, head).anchor
    assert not verify(project, head | {"hash": "0" * 64})
    assert not verify(project, {"seq": 99, "hash": head["hash"]})
    with pytest.raises(InvalidInput, match="seq and hash"):
        verify(project, {"seq": 1})


def test_an_edited_event_of_the_log_is_seen(project):
    """The same length and a right checksum: the chain knows what it said."""
    from dataclasses import replace

    from hmp_core.events.scrubbing import scrub

    def forged(event):
        said = event.kind == "run.noted"
        return replace(event, payload=event.payload | {"notes": "ill."}) if said else None

    with hmp_catalog.open(project) as cat:
        assert scrub(cat.store.path, forged).emptied == 1
        assert any("something else in the log" in problem for problem in cat.audit.verify().problems)


def test_an_edited_tombstone_is_seen(project):
    with hmp_catalog.open(project) as cat:
        cat.purge("other", reason="asked for")
        assert cat.audit.verify()
        assert cat.audit.verify().emptied == 7
    change(project, "UPDATE deletions SET reason = 'no reason'")
    assert any("tombstone" in problem for problem in verify(project).problems)


# ── how it goes on ───────────────────────────────────────────────────────────────────────────────────


def test_a_torn_line_is_cut_off(project):
    with (project / chain.NAME).open("ab") as file:
        file.write(b'{"seq":7,"event')
    with hmp_catalog.open(project) as cat:
        cat["other"].note("later")
        assert cat.audit.verify().problems == ()
        assert cat.audit.verify().entries == 7


def test_a_lost_file_comes_back_from_the_rows(project, contents):
    before = lines(project)
    (project / chain.NAME).unlink()
    with hmp_catalog.open(project) as cat:
        cat["other"].note("later")
        assert cat.audit.verify().problems == ()
    assert lines(project)[:6] == before


def test_rows_of_the_first_schema_are_chained_as_they_would_be_today(project, contents):
    """What 0.1.0 folded has no hash yet."""
    before = contents(project)
    (project / chain.NAME).unlink()
    change(project, "UPDATE audit_log SET seq = NULL, chain_hash = NULL, content_sha256 = NULL")
    with hmp_catalog.open(project) as cat:
        cat.store.fold()
        assert cat.audit.verify().problems == ()
    assert contents(project) == before


def test_a_project_beside_it_keeps_its_own_anchor(project):
    with hmp_catalog.open(project.parent / "emme", create=True) as other:
        with other.record("gr4j"):
            pass
        other.find()
        assert other.audit.verify()
    assert verify(project)
    anchors = json.loads((project.parents[1] / ".hmp" / "anchors.json").read_bytes())
    assert {name: said["seq"] for name, said in anchors.items()} == {"projects/aare": 6, "projects/emme": 2}


def test_a_moved_workspace_is_verified(project, tmp_path):
    shutil.move(tmp_path / "w", tmp_path / "elsewhere")
    assert verify(tmp_path / "elsewhere" / "projects" / project.name)


def test_a_long_chain_goes_on_from_its_end(cat, project, monkeypatch):
    """No more of the file is read than is needed."""
    monkeypatch.setattr(chain, "_BLOCK", 256)
    with cat.record("gr4j", name="base"):
        pass
    for n in range(12):
        cat["base"].note(str(n))
    assert (cat.audit.verify().problems, cat.audit.head["seq"]) == ((), 20)
